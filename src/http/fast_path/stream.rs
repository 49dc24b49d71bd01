//! A stream that answers plain requests itself, before its reader, which is hyper, sees them.
//!
//! It answers a request that arrives alone while hyper is between requests: hyper has then read nothing that it has not
//! answered, and everything that it wrote was flushed. Where that is not known for certain, hyper gets the request, and
//! every later one of the connection.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::app::App;
use super::super::stream::ConnectionState;
use super::answer;
use super::head::{self, Head};
use super::sendfile::CurrentBody;

pub(in crate::http) struct FastPathStream<S> {
    stream: S,
    app: App,
    state: ConnectionState,
    current: CurrentBody,
    reader: Reader,
    /// The head of the answer that is being sent; kept for its allocation.
    head: Vec<u8>,
    body: Bytes,
    /// Bytes of both that were sent.
    sent: usize,
}

/// The progress of hyper in the request.
#[derive(Clone, Copy)]
enum Reader {
    /// No request is open: all that it has read is answered.
    BetweenRequests,
    /// Exactly one request without a body, the one of that number, which it has not answered yet.
    InRequest(u64),
    Unknown,
}

impl<S> FastPathStream<S> {
    pub(super) fn new(stream: S, app: App, state: ConnectionState, current: CurrentBody) -> FastPathStream<S> {
        let (head, body) = (Vec::new(), Bytes::new());
        FastPathStream { stream, app, state, current, reader: Reader::BetweenRequests, head, body, sent: 0 }
    }

    /// Answers what arrived between two requests, if it can.
    fn answer(&mut self, input: &[u8]) -> bool {
        let request = head::read(input, self.app.state().proxies.header().as_str());
        let body = match &request {
            // the last answer of a connection says so, which only the slow path does
            Head::Plain(request) if !self.state.is_draining() => answer::answer(&self.app, request, &mut self.head),
            Head::Plain(_) | Head::Bodiless | Head::Other => None,
        };
        let Some(body) = body else {
            self.reader = match request {
                Head::Other => Reader::Unknown,
                Head::Plain(_) | Head::Bodiless => Reader::InRequest(self.state.requests() + 1),
            };
            return false;
        };
        self.state.begin_answer();
        self.current.set(body.memfd.as_ref());
        (self.body, self.sent) = (body.bytes, 0);
        self.state.end_answer();
        self.state.end_body();
        self.state.mark_flushed();
        true
    }
}

impl<S: AsyncWrite + Unpin> FastPathStream<S> {
    /// Sends the rest of an answer.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        while self.sent < self.head.len() + self.body.len() {
            let head = self.head.get(self.sent..).unwrap_or_default();
            let body = &self.body[self.sent.saturating_sub(self.head.len())..];
            let parts = [IoSlice::new(head), IoSlice::new(body)];
            let parts = if head.is_empty() { &parts[1..] } else { &parts };
            match ready!(Pin::new(&mut self.stream).poll_write_vectored(context, parts))? {
                0 => return Poll::Ready(Err(Error::from(ErrorKind::WriteZero))),
                count => self.sent += count,
            }
        }
        // an idle connection keeps no body in memory
        (self.body, self.sent) = (Bytes::new(), 0);
        self.head.clear();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for FastPathStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        loop {
            ready!(this.poll_send(context))?;
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            let input = &buffer.filled()[before..];
            if input.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if !matches!(this.reader, Reader::BetweenRequests) {
                this.reader = Reader::Unknown;
                return Poll::Ready(Ok(()));
            }
            if !this.answer(input) {
                return Poll::Ready(Ok(()));
            }
            buffer.set_filled(before);
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FastPathStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    /// hyper flushes once it has written all it has.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if let Reader::InRequest(request) = self.reader
            && self.state.bodies() == request
        {
            self.reader = Reader::BetweenRequests;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }
}
