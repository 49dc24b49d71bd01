//! Tells half-closed clients from disconnected ones while a request is being answered.
//!
//! A client may close its sending side once it has sent its request, and wait (RFC 9112 §9.6). From here that looks the same
//! as a disconnected client until something is sent: a waiting client receives it, and the kernel of a disconnected one
//! resets the connection. So the first bytes of the answer, which all answers share, are sent ahead. If that fails the
//! request is dropped, and its work is abandoned unless others wait for it.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep};

use super::{Abort, ConnectionState, Probe};

/// The beginning of every answer (RFC 9112 §4), which may be sent before the answer is known.
const PREFIX: &[u8] = b"HTTP/1.";

/// How often a half-closed client is probed.
const INTERVAL: Duration = Duration::from_millis(100);

/// The bytes stay in the kernel's buffer.
fn peek(socket: BorrowedFd<'_>) -> Result<usize> {
    let (_, count) = rustix::net::recv(socket, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    Ok(count)
}

/// Sends zero bytes, which fails where bytes would.
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

/// A stream that fails when its client disconnects during an answer.
pub(in crate::http) struct HalfCloseStream<S> {
    stream: S,
    state: ConnectionState,
    /// Set once the client has closed its sending side.
    half_closed: Option<HalfClosed>,
    /// The bytes of [`PREFIX`] that were sent ahead, and that the next answer has not written yet.
    ahead: Range<usize>,
}

struct HalfClosed {
    /// Bytes of [`PREFIX`] that are sent ahead no more: it is sent once in a connection, and not after the answer has begun.
    sent: usize,
    next_probe: Pin<Box<Sleep>>,
}

impl<S> HalfCloseStream<S> {
    pub(in crate::http) fn new(stream: S, state: ConnectionState) -> HalfCloseStream<S> {
        HalfCloseStream { stream, state, half_closed: None, ahead: 0..0 }
    }
}

impl<S: AsyncWrite + Probe + Unpin> HalfCloseStream<S> {
    /// Fails if the client has disconnected, and registers the task for when that may change.
    fn check_client(&mut self, context: &mut Context<'_>) -> Result<()> {
        while self.half_closed.is_none() {
            match self.stream.poll_readable(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
            match self.stream.peek() {
                Ok(0) => {
                    self.half_closed = Some(HalfClosed { sent: 0, next_probe: Box::pin(tokio::time::sleep(INTERVAL)) })
                }
                // the next request, or the body of this one
                Ok(_) => return Ok(()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
        let Some(half_closed) = &mut self.half_closed else { return Ok(()) };
        // Unix sockets and loopback connections fail at once
        self.stream.probe()?;
        while half_closed.sent < PREFIX.len() {
            match Pin::new(&mut self.stream).poll_write(context, &PREFIX[half_closed.sent..]) {
                Poll::Ready(count) => {
                    let count = count?;
                    half_closed.sent += count;
                    self.ahead.end += count;
                }
                // the previous answer is still being sent, and will fail in the same way
                Poll::Pending => break,
            }
        }
        while half_closed.next_probe.as_mut().poll(context).is_ready() {
            half_closed.next_probe.as_mut().reset(Instant::now() + INTERVAL);
        }
        Ok(())
    }

    /// Writes without the bytes that were sent ahead.
    fn poll_rest(&mut self, context: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        let Some((first, others)) = parts.split_first() else { return Poll::Ready(Ok(0)) };
        let sent = self.ahead.len().min(first.len());
        if first[..sent] != PREFIX[self.ahead.clone()][..sent] {
            return Poll::Ready(Err(Error::new(ErrorKind::InvalidData, "an answer does not begin as answers do")));
        }
        let rest: Vec<IoSlice<'_>> =
            std::iter::once(IoSlice::new(&first[sent..])).chain(others.iter().copied()).collect();
        let count = match rest.iter().all(|part| part.is_empty()) {
            true => 0,
            false => ready!(Pin::new(&mut self.stream).poll_write_vectored(context, &rest))?,
        };
        self.ahead.start += sent;
        // where only a part of the prefix was sent, the answer has the rest
        if let Some(half_closed) = &mut self.half_closed {
            half_closed.sent = PREFIX.len();
        }
        Poll::Ready(Ok(sent + count))
    }
}

impl<S: Abort> Abort for HalfCloseStream<S> {
    fn abort(&self) {
        self.stream.abort();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HalfCloseStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Probe + Unpin> AsyncWrite for HalfCloseStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        match self.ahead.is_empty() {
            true => Pin::new(&mut self.stream).poll_write(context, bytes),
            false => self.poll_rest(context, &[IoSlice::new(bytes)]),
        }
    }

    /// The only method that hyper calls while it waits for an answer.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if self.state.is_answering() {
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
        match self.ahead.is_empty() {
            true => Pin::new(&mut self.stream).poll_write_vectored(context, parts),
            false => self.poll_rest(context, parts),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A server's stream with a request in flight, and its client.
    async fn pair() -> (HalfCloseStream<UnixStream>, UnixStream) {
        let (server, client) = UnixStream::pair().expect("sockets");
        let state = ConnectionState::default();
        state.begin_answer();
        (HalfCloseStream::new(server, state), client)
    }

    /// Polls as hyper does while it waits for an answer.
    async fn wait<S: AsyncWrite + Probe + Unpin>(server: &mut HalfCloseStream<S>, time: Duration) -> Result<()> {
        let flush = std::future::poll_fn(|context| match Pin::new(&mut *server).poll_flush(context) {
            Poll::Ready(Err(error)) => Poll::Ready(error),
            _ => Poll::Pending,
        });
        tokio::time::timeout(time, flush).await.map_or(Ok(()), Err)
    }

    #[tokio::test]
    async fn half_closed_client_gets_the_whole_answer() {
        for chunk in [1, 3, 7, 8, 100] {
            let (mut server, mut client) = pair().await;
            client.shutdown().await.expect("closed");
            wait(&mut server, 2 * INTERVAL).await.expect("connected");
            let answer = b"HTTP/1.1 200 OK\r\n\r\nbody";
            for part in answer.chunks(chunk) {
                server.write_all(part).await.expect("received");
            }
            drop(server);
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.expect("the answer");
            assert_eq!(all, answer, "in chunks of {chunk}");
        }
    }

    /// A stream with room for so many bytes.
    struct Bounded {
        stream: UnixStream,
        room: usize,
    }

    impl Probe for Bounded {
        fn poll_readable(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
            self.stream.poll_readable(context)
        }

        fn peek(&self) -> Result<usize> {
            Probe::peek(&self.stream)
        }

        fn probe(&self) -> Result<()> {
            self.stream.probe()
        }
    }

    impl AsyncWrite for Bounded {
        fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
            let length = bytes.len().min(self.room);
            if length == 0 {
                return Poll::Pending;
            }
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, &bytes[..length]))?;
            self.room -= count;
            Poll::Ready(Ok(count))
        }

        fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
            Pin::new(&mut self.stream).poll_flush(context)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
            Pin::new(&mut self.stream).poll_shutdown(context)
        }
    }

    /// Where the former answer fills the kernel's buffer, a part of the prefix is sent ahead: the answer was refused, and the
    /// rest would have been sent ahead of the next one.
    #[tokio::test]
    async fn answer_completes_a_prefix_that_was_sent_in_part() {
        let answer = b"HTTP/1.1 200 OK\r\n\r\nbody";
        for (room, chunk) in (0..=PREFIX.len()).flat_map(|room| [1, 2, 100].map(|chunk| (room, chunk))) {
            let (server, mut client) = UnixStream::pair().expect("sockets");
            let state = ConnectionState::default();
            state.begin_answer();
            let mut server = HalfCloseStream::new(Bounded { stream: server, room }, state);
            client.shutdown().await.expect("closed");
            for _ in 0..2 {
                wait(&mut server, INTERVAL / 4).await.expect("connected");
                server.stream.room = usize::MAX;
                for part in answer.chunks(chunk) {
                    server.write_all(part).await.expect("received");
                }
            }
            drop(server);
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.expect("the answers");
            assert_eq!(all, answer.repeat(2), "room for {room}, in chunks of {chunk}");
        }
    }

    #[tokio::test]
    async fn disconnected_client_is_noticed() {
        for closes_first in [false, true] {
            let (mut server, mut client) = pair().await;
            wait(&mut server, INTERVAL).await.expect("connected");
            if closes_first {
                client.shutdown().await.expect("closed");
                wait(&mut server, 2 * INTERVAL).await.expect("connected");
            }
            drop(client);
            wait(&mut server, Duration::from_secs(10)).await.expect_err("disconnected");
        }
    }

    #[tokio::test]
    async fn next_request_stays_to_be_read() {
        let (mut server, mut client) = pair().await;
        client.write_all(b"GET").await.expect("sent");
        wait(&mut server, INTERVAL).await.expect("connected");
        let mut bytes = [0; 3];
        server.read_exact(&mut bytes).await.expect("all of it");
        assert_eq!(&bytes, b"GET");
        client.shutdown().await.expect("closed");
        wait(&mut server, INTERVAL).await.expect("connected");
    }

    #[tokio::test]
    async fn bytes_that_do_not_begin_like_an_answer_are_refused() {
        let (mut server, mut client) = pair().await;
        client.shutdown().await.expect("closed");
        wait(&mut server, INTERVAL).await.expect("connected");
        assert!(server.write_all(b"something else").await.is_err());
    }
}
