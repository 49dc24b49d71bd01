//! Sends bodies that are in a memfd by sendfile(2), without copying them.
//!
//! The layers above write bytes as to any stream; this one recognises those of the current body by their address. All other
//! bytes are written as they are, so a body that is not recognised is sent all the same.

use std::io::{ErrorKind, IoSlice, Result};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use rustix::net::SendFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::super::stream::{Abort, Probe, forward_probe};
use crate::cache::{MemfdBytes, WeakMemfdBytes};
use crate::sync;

/// The file of the body that a connection is sending, if it has one. Clones share it.
///
/// The reference is weak: the bytes in flight keep the file. An idle connection would otherwise keep the memory of a body
/// that was purged or evicted.
#[derive(Clone, Default)]
pub(super) struct CurrentBody(Arc<Mutex<Option<WeakMemfdBytes>>>);

impl CurrentBody {
    /// Sets the body of the next answer.
    pub(super) fn set(&self, body: Option<&MemfdBytes>) {
        *sync::lock(&self.0) = body.map(MemfdBytes::downgrade);
    }

    /// The part that is in the file, if it is the first, or the second after a head.
    fn find(&self, parts: &[IoSlice<'_>]) -> Option<FilePart> {
        let body = sync::lock(&self.0).as_ref()?.upgrade()?;
        let (part, offset) = parts
            .iter()
            .take(2)
            .enumerate()
            .filter(|(_, bytes)| !bytes.is_empty())
            .find_map(|(part, bytes)| Some((part, body.place(bytes)?)))?;
        Some(FilePart { body, part, offset })
    }
}

/// A part of a vectored write that is in a file.
struct FilePart {
    body: MemfdBytes,
    /// The index of the part.
    part: usize,
    /// Its offset in the file.
    offset: u64,
}

impl FilePart {
    /// Sends the part before it, if there is one, and as much of it as the socket takes.
    fn send(&mut self, to: BorrowedFd<'_>, parts: &[IoSlice<'_>]) -> Result<usize> {
        let mut sent = 0;
        if self.part == 1 {
            // the body follows in the same packet where there is room
            sent = rustix::net::send(to, &parts[0], SendFlags::MORE | SendFlags::NOSIGNAL)?;
            if sent < parts[0].len() {
                return Ok(sent);
            }
        }
        match rustix::fs::sendfile(to, self.body.file(), Some(&mut self.offset), parts[self.part].len()) {
            Ok(count) => Ok(sent + count),
            // the next write meets the same error
            Err(_) if sent > 0 => Ok(sent),
            Err(error) => Err(error.into()),
        }
    }
}

/// A stream with a file descriptor, which can be written to by other system calls than `AsyncWrite` has.
pub(in crate::http) trait Socket: AsyncRead + AsyncWrite + Abort + Probe + Send + Unpin {
    /// Waits until the socket may be writable.
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<Result<()>>;

    /// Writes by `write`, which says how many bytes it wrote.
    fn write_with(&self, write: impl FnOnce(BorrowedFd<'_>) -> Result<usize>) -> Result<usize>;
}

impl Socket for TcpStream {
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_write_ready(context)
    }

    fn write_with(&self, write: impl FnOnce(BorrowedFd<'_>) -> Result<usize>) -> Result<usize> {
        self.try_io(Interest::WRITABLE, || write(self.as_fd()))
    }
}

impl Socket for UnixStream {
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_write_ready(context)
    }

    fn write_with(&self, write: impl FnOnce(BorrowedFd<'_>) -> Result<usize>) -> Result<usize> {
        self.try_io(Interest::WRITABLE, || write(self.as_fd()))
    }
}

/// A socket that sends the current body from its file.
pub(in crate::http) struct SendfileStream<S> {
    stream: S,
    current: CurrentBody,
}

impl<S> SendfileStream<S> {
    pub(super) fn new(stream: S, current: CurrentBody) -> SendfileStream<S> {
        SendfileStream { stream, current }
    }

    fn stream(&self) -> &S {
        &self.stream
    }
}

impl<S: Probe> Probe for SendfileStream<S> {
    forward_probe!(stream);
}

impl<S: Abort> Abort for SendfileStream<S> {
    fn abort(&self) {
        self.stream.abort();
    }
}

impl<S: Socket> AsyncRead for SendfileStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: Socket> AsyncWrite for SendfileStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let this = &mut *self;
        let Some(mut part) = this.current.find(parts) else {
            return Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        };
        loop {
            ready!(this.stream.poll_writable(context))?;
            match this.stream.write_with(|to| part.send(to, parts)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // the system has no sendfile for this kind of socket
                Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
                    this.current.set(None);
                    return Pin::new(&mut this.stream).poll_write_vectored(context, parts);
                }
                result => return Poll::Ready(result),
            }
        }
    }
}
