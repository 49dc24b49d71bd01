//! A stream that leaves what lies in a file to the kernel (sendfile(2)), which sends it without copying it.
//!
//! Whoever writes knows nothing of it: the bytes are told by where in memory they are. All others are written as ever, so
//! that a body that is not recognised is sent all the same.

use std::io::{ErrorKind, IoSlice, Result};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use rustix::net::SendFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::Abort;
use crate::cache::{Sealed, WeakSealed};

/// The body that is sent at present over a connection, where it is one in a file.
///
/// The bytes on their way hold the file. This does not, or else a connection that stays open after the last of them would
/// keep the memory of a body that was purged or evicted.
#[derive(Clone, Default)]
pub(super) struct Outgoing(Arc<Mutex<Option<WeakSealed>>>);

impl Outgoing {
    /// What is sent from now on.
    pub(super) fn set(&self, body: Option<&Sealed>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = body.map(Sealed::downgrade);
    }

    /// What of these parts lies in the file, where it is the first or comes after one other.
    fn find(&self, parts: &[IoSlice<'_>]) -> Option<Piece> {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.upgrade()?;
        let (part, offset) = parts
            .iter()
            .take(2)
            .enumerate()
            .filter(|(_, bytes)| !bytes.is_empty())
            .find_map(|(part, bytes)| Some((part, body.place(bytes)?)))?;
        Some(Piece { body, part, offset })
    }
}

/// A part of what is to be written that lies in a file.
struct Piece {
    body: Sealed,
    /// Which part.
    part: usize,
    /// Where in the file.
    offset: u64,
}

impl Piece {
    /// Sends what comes before it, if anything does, and as much of it as is taken.
    fn send(&mut self, to: BorrowedFd<'_>, parts: &[IoSlice<'_>]) -> Result<usize> {
        let mut sent = 0;
        if self.part == 1 {
            // more follows at once, in the same packet where there is room
            sent = rustix::net::send(to, &parts[0], SendFlags::MORE | SendFlags::NOSIGNAL)?;
            if sent < parts[0].len() {
                return Ok(sent);
            }
        }
        match rustix::fs::sendfile(to, self.body.file(), Some(&mut self.offset), parts[self.part].len()) {
            Ok(count) => Ok(sent + count),
            // it is met again when the rest is written
            Err(_) if sent > 0 => Ok(sent),
            Err(error) => Err(error.into()),
        }
    }
}

/// A stream of the system, which can be written to in other ways than `AsyncWrite` has.
pub(super) trait Raw: AsyncRead + AsyncWrite + Abort + Send + Unpin {
    /// Waits until it may take something.
    fn poll_may_write(&self, context: &mut Context<'_>) -> Poll<Result<()>>;

    /// Writes in some other way.
    fn write_with(&self, write: impl FnOnce(BorrowedFd<'_>) -> Result<usize>) -> Result<usize>;
}

impl Raw for TcpStream {
    fn poll_may_write(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_write_ready(context)
    }

    fn write_with(&self, write: impl FnOnce(BorrowedFd<'_>) -> Result<usize>) -> Result<usize> {
        self.try_io(Interest::WRITABLE, || write(self.as_fd()))
    }
}

impl Raw for UnixStream {
    fn poll_may_write(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_write_ready(context)
    }

    fn write_with(&self, write: impl FnOnce(BorrowedFd<'_>) -> Result<usize>) -> Result<usize> {
        self.try_io(Interest::WRITABLE, || write(self.as_fd()))
    }
}

/// A stream whose bytes are sent out of their file where they have one.
pub(super) struct Direct<S> {
    stream: S,
    outgoing: Outgoing,
}

impl<S> Direct<S> {
    /// That stream.
    pub(super) fn new(stream: S) -> Direct<S> {
        Direct { stream, outgoing: Outgoing::default() }
    }

    /// Where it is told what is sent.
    pub(super) fn outgoing(&self) -> Outgoing {
        self.outgoing.clone()
    }

    /// The stream itself.
    pub(super) fn stream(&self) -> &S {
        &self.stream
    }
}

impl<S: Abort> Abort for Direct<S> {
    fn abort(&self) {
        self.stream.abort();
    }
}

impl<S: Raw> AsyncRead for Direct<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: Raw> AsyncWrite for Direct<S> {
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
        let Some(mut piece) = this.outgoing.find(parts) else {
            return Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        };
        loop {
            ready!(this.stream.poll_may_write(context))?;
            match this.stream.write_with(|to| piece.send(to, parts)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // a system that cannot send it so
                Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
                    this.outgoing.set(None);
                    return Pin::new(&mut this.stream).poll_write_vectored(context, parts);
                }
                result => return Poll::Ready(result),
            }
        }
    }
}
