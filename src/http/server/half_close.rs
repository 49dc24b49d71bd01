//! A stream that finds out whether its client is still there while a request is being answered.
//!
//! A client may end its side of a connection once it has asked, and wait (RFC 9112 §9.6). From here that looks the same as
//! having left, until something is sent: a client that waits takes it, and for one that has left the kernel at its end
//! refuses it. So the first bytes of the answer, which are the same for all answers, are sent ahead. If they are refused the
//! request is dropped, and so is the work that nobody else waits for.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep};

use super::direct::{Direct, Raw};
use super::timed::{Abort, Phase};
use crate::http::traffic::Counted;

/// The beginning of every answer (RFC 9112 §4), which may be sent before there is one.
const BEGINNING: &[u8] = b"HTTP/1.";

/// How often it is seen whether a client that has ended its side has left since.
const INTERVAL: Duration = Duration::from_millis(100);

/// A stream of the system that can tell about its other end without anything being read or sent.
pub(super) trait Probe {
    /// Waits until there is something to read, which the end of the stream and its failure are, too.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<Result<()>>;

    /// How much there is to read of a buffer of one byte, which stays to be read; 0 at the end.
    fn peek(&self) -> Result<usize>;

    /// Fails if the other end has gone.
    fn probe(&self) -> Result<()>;
}

/// The bytes that are there are left to be read.
fn peek(socket: BorrowedFd<'_>) -> Result<usize> {
    let (_, count) = rustix::net::recv(socket, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    Ok(count)
}

/// Sends no bytes, which fails where bytes would.
fn probe(socket: BorrowedFd<'_>) -> Result<()> {
    match rustix::net::send(socket, &[], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Probe for TcpStream {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_read_ready(context)
    }

    fn peek(&self) -> Result<usize> {
        self.try_io(Interest::READABLE, || peek(self.as_fd()))
    }

    fn probe(&self) -> Result<()> {
        probe(self.as_fd())
    }
}

impl Probe for UnixStream {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_read_ready(context)
    }

    fn peek(&self) -> Result<usize> {
        self.try_io(Interest::READABLE, || peek(self.as_fd()))
    }

    fn probe(&self) -> Result<()> {
        probe(self.as_fd())
    }
}

/// Forwards to what is within, which `$stream` gives.
macro_rules! forward {
    ($stream:ident) => {
        fn poll_readable(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
            self.$stream().poll_readable(context)
        }

        fn peek(&self) -> Result<usize> {
            self.$stream().peek()
        }

        fn probe(&self) -> Result<()> {
            self.$stream().probe()
        }
    };
}

impl<S: Raw + Probe> Probe for Direct<S> {
    forward!(stream);
}

impl<S: Probe> Probe for Counted<S> {
    forward!(stream);
}

impl Probe for Box<dyn super::Stream> {
    forward!(as_ref);
}

/// A stream whose client is checked on while a request is being answered.
pub(super) struct HalfClose<S> {
    stream: S,
    phase: Phase,
    /// Set once the client has ended its side.
    ended: Option<Ended>,
    /// Bytes of the next answer that have been sent already.
    ahead: usize,
}

struct Ended {
    /// Bytes of [`BEGINNING`] that were sent; once in a connection is enough.
    sent: usize,
    /// When it is looked at again.
    again: Pin<Box<Sleep>>,
}

impl<S> HalfClose<S> {
    /// That stream, whose requests are told by `phase`.
    pub(super) fn new(stream: S, phase: Phase) -> HalfClose<S> {
        HalfClose { stream, phase, ended: None, ahead: 0 }
    }
}

impl<S: AsyncWrite + Probe + Unpin> HalfClose<S> {
    /// Looks whether the client is there, and has this task woken when that may have changed.
    fn check_client(&mut self, context: &mut Context<'_>) -> Result<()> {
        while self.ended.is_none() {
            match self.stream.poll_readable(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
            match self.stream.peek() {
                Ok(0) => self.ended = Some(Ended { sent: 0, again: Box::pin(tokio::time::sleep(INTERVAL)) }),
                // the next request, or the body of this one
                Ok(_) => return Ok(()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
        let Some(ended) = &mut self.ended else { return Ok(()) };
        // a socket of this machine says at once that nobody is there any more
        self.stream.probe()?;
        while ended.sent < BEGINNING.len() {
            match Pin::new(&mut self.stream).poll_write(context, &BEGINNING[ended.sent..]) {
                Poll::Ready(count) => {
                    let count = count?;
                    ended.sent += count;
                    self.ahead += count;
                }
                // the answer before is still on its way, and will tell
                Poll::Pending => break,
            }
        }
        while ended.again.as_mut().poll(context).is_ready() {
            ended.again.as_mut().reset(Instant::now() + INTERVAL);
        }
        Ok(())
    }

    /// Writes what comes after the bytes that were sent ahead.
    fn poll_rest(&mut self, context: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        let Some((first, others)) = parts.split_first() else { return Poll::Ready(Ok(0)) };
        let sent = self.ahead.min(first.len());
        if first[..sent] != BEGINNING[BEGINNING.len() - self.ahead..][..sent] {
            return Poll::Ready(Err(Error::new(ErrorKind::InvalidData, "an answer does not begin as answers do")));
        }
        let rest: Vec<IoSlice<'_>> =
            std::iter::once(IoSlice::new(&first[sent..])).chain(others.iter().copied()).collect();
        let count = match rest.iter().all(|part| part.is_empty()) {
            true => 0,
            false => ready!(Pin::new(&mut self.stream).poll_write_vectored(context, &rest))?,
        };
        self.ahead -= sent;
        Poll::Ready(Ok(sent + count))
    }
}

impl<S: Abort> Abort for HalfClose<S> {
    fn abort(&self) {
        self.stream.abort();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HalfClose<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Probe + Unpin> AsyncWrite for HalfClose<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        match self.ahead {
            0 => Pin::new(&mut self.stream).poll_write(context, bytes),
            _ => self.poll_rest(context, &[IoSlice::new(bytes)]),
        }
    }

    /// Asked for by hyper, too, whenever there is nothing to write: while it waits for an answer nothing else is.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if self.phase.answering() {
            self.check_client(context)?;
        }
        Poll::Ready(Ok(()))
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
        match self.ahead {
            0 => Pin::new(&mut self.stream).poll_write_vectored(context, parts),
            _ => self.poll_rest(context, parts),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A stream over which a request is being answered, and its client.
    async fn pair() -> (HalfClose<UnixStream>, UnixStream) {
        let (server, client) = UnixStream::pair().expect("sockets");
        let phase = Phase::default();
        phase.begin_answer();
        (HalfClose::new(server, phase), client)
    }

    /// Polls as hyper does while it waits for an answer.
    async fn wait(server: &mut HalfClose<UnixStream>, time: Duration) -> Result<()> {
        let flush = std::future::poll_fn(|context| match Pin::new(&mut *server).poll_flush(context) {
            Poll::Ready(Err(error)) => Poll::Ready(error),
            _ => Poll::Pending,
        });
        tokio::time::timeout(time, flush).await.map_or(Ok(()), Err)
    }

    #[tokio::test]
    async fn client_that_ended_its_side_gets_the_whole_answer() {
        for chunk in [1, 3, 7, 8, 100] {
            let (mut server, mut client) = pair().await;
            client.shutdown().await.expect("ended");
            wait(&mut server, 2 * INTERVAL).await.expect("it waits");
            let answer = b"HTTP/1.1 200 OK\r\n\r\nbody";
            for part in answer.chunks(chunk) {
                server.write_all(part).await.expect("taken");
            }
            drop(server);
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.expect("the answer");
            assert_eq!(all, answer, "in chunks of {chunk}");
        }
    }

    #[tokio::test]
    async fn client_that_left_is_noticed_whenever_it_leaves() {
        for ends_first in [false, true] {
            let (mut server, mut client) = pair().await;
            wait(&mut server, INTERVAL).await.expect("it is there");
            if ends_first {
                client.shutdown().await.expect("ended");
                wait(&mut server, 2 * INTERVAL).await.expect("it is there");
            }
            drop(client);
            wait(&mut server, Duration::from_secs(10)).await.expect_err("it has left");
        }
    }

    #[tokio::test]
    async fn next_request_is_left_to_be_read() {
        let (mut server, mut client) = pair().await;
        client.write_all(b"GET").await.expect("sent");
        wait(&mut server, INTERVAL).await.expect("it is there");
        let mut bytes = [0; 3];
        server.read_exact(&mut bytes).await.expect("all of it");
        assert_eq!(&bytes, b"GET");
        client.shutdown().await.expect("ended");
        wait(&mut server, INTERVAL).await.expect("it is there");
    }

    #[tokio::test]
    async fn other_bytes_than_an_answer_are_not_sent_behind_its_beginning() {
        let (mut server, mut client) = pair().await;
        client.shutdown().await.expect("ended");
        wait(&mut server, INTERVAL).await.expect("it is there");
        assert!(server.write_all(b"something else").await.is_err());
    }
}
