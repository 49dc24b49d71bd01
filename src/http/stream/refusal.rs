//! Sends a problem document where hyper refuses a request's head, which hyper answers with a status and no body.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ConnectionState;

/// The head and the body of a refusal in place of hyper's bare one, given with whether the request line was complete; `None`
/// for bytes that are no refusal.
pub(in crate::http) trait Refuse: Fn(&[u8], bool) -> Option<(Vec<u8>, Bytes)> + Unpin {}

impl<F: Fn(&[u8], bool) -> Option<(Vec<u8>, Bytes)> + Unpin> Refuse for F {}

/// A stream below hyper that replaces its refusals.
pub(in crate::http) struct RefusalStream<S, F> {
    stream: S,
    state: ConnectionState,
    refuse: F,
    /// Whether a line has ended since the last request.
    has_line: bool,
    /// A refusal that is being sent, and how much of it was.
    refusal: Option<(Vec<u8>, usize)>,
}

impl<S, F: Refuse> RefusalStream<S, F> {
    pub(in crate::http) fn new(stream: S, state: ConnectionState, refuse: F) -> RefusalStream<S, F> {
        RefusalStream { stream, state, refuse, has_line: false, refusal: None }
    }

    /// Prepares the refusal that replaces what hyper is about to write, if that is one of its own: hyper has nothing else
    /// to say between requests.
    fn replace(&mut self, parts: &[IoSlice<'_>]) {
        if self.refusal.is_some() || !self.state.is_between_requests() || self.state.is_refused() {
            return;
        }
        let bare = parts.first().map_or(&[][..], |part| part);
        if let Some((mut head, body)) = (self.refuse)(bare, self.has_line) {
            self.state.refuse();
            head.extend_from_slice(&body);
            self.refusal = Some((head, 0));
        }
    }
}

impl<S: AsyncWrite + Unpin, F: Refuse> RefusalStream<S, F> {
    fn poll_replaced(&mut self, context: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        self.replace(parts);
        let Some((refusal, sent)) = &mut self.refusal else {
            return Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        };
        while *sent < refusal.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &refusal[*sent..]))? {
                0 => return Poll::Ready(Err(Error::from(ErrorKind::WriteZero))),
                count => *sent += count,
            }
        }
        self.refusal = None;
        Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()))
    }
}

impl<S: AsyncRead + Unpin, F: Refuse> AsyncRead for RefusalStream<S, F> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let has_line = memchr::memchr(b'\n', &buffer.filled()[before..]).is_some();
        // bytes that arrive during an answer are the next request, or the rest of this one's body
        self.has_line = has_line || self.has_line && self.state.is_between_requests();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, F: Refuse> AsyncWrite for RefusalStream<S, F> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.poll_replaced(context, &[IoSlice::new(bytes)])
    }

    /// hyper flushes once it has written all it has.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if !self.state.is_between_requests() {
            self.state.mark_flushed();
            self.has_line = false;
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
        self.poll_replaced(context, parts)
    }
}
