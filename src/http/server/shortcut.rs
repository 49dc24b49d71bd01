//! A stream that answers some requests itself, before whoever reads from it sees them.
//!
//! A request is answered here if it comes alone while the other one is between requests: it has read nothing of one that it
//! has not answered, and everything that it wrote has left. Where that is not known for sure it is never assumed, and the
//! stream is like any other from then on.
//!
//! Where hyper refuses a head, it answers with a status and no body; a problem is sent in its place.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::App;
use super::super::at_once::Head;
use super::direct::Outgoing;
use super::timed::Phase;

/// A stream with a short way for plain requests.
pub(super) struct Shortcut<S> {
    stream: S,
    app: App,
    phase: Phase,
    outgoing: Outgoing,
    stage: Stage,
    /// The head of the answer that is being sent; kept for its allocation.
    head: Vec<u8>,
    body: Bytes,
    /// How much of both has been sent.
    sent: usize,
    /// How many answers have left to their last byte. Once these are as many as there were requests, anything that hyper
    /// writes is a refusal of its own.
    left: u64,
}

/// Where the one who reads is.
#[derive(Clone, Copy)]
enum Stage {
    /// Between two requests.
    Between,
    /// It was given one whole request without a body, the one of that number, and has not answered it yet.
    Within { request: u64 },
    /// Not known.
    Unclear,
}

impl<S> Shortcut<S> {
    /// That stream, whose other end asks `app`.
    pub(super) fn new(stream: S, app: App, phase: Phase, outgoing: Outgoing) -> Shortcut<S> {
        let (head, body) = (Vec::new(), Bytes::new());
        Shortcut { stream, app, phase, outgoing, stage: Stage::Between, head, body, sent: 0, left: 0 }
    }

    /// Answers what came between two requests. Says whether it did.
    fn answer(&mut self, came: &[u8]) -> bool {
        let head = self.app.read_head(came);
        let body = match &head {
            // the last answer of a connection says so, which hyper sees to
            Head::Plain(plain) if !self.phase.is_leaving() => self.app.at_once(plain, &mut self.head),
            Head::Plain(_) | Head::Bodiless | Head::Other => None,
        };
        let Some(body) = body else {
            self.stage = match head {
                Head::Other => Stage::Unclear,
                Head::Plain(_) | Head::Bodiless => Stage::Within { request: self.phase.requests() + 1 },
            };
            return false;
        };
        self.phase.begin_answer();
        self.outgoing.set(body.sealed.as_ref());
        (self.body, self.sent) = (body.bytes, 0);
        self.phase.end_answer();
        self.phase.end_body();
        self.left = self.phase.bodies();
        true
    }

    /// Makes a problem of what hyper is about to write, where that is a refusal of its own. Says whether it is.
    fn refuse(&mut self, parts: &[IoSlice<'_>]) -> bool {
        if self.phase.requests() != self.left || self.phase.is_refused() {
            return false;
        }
        let bare = parts.first().map_or(&[][..], |part| part);
        let Some(body) = self.app.refuse_head(bare, &mut self.head) else { return false };
        self.phase.refuse();
        (self.body, self.sent) = (body, 0);
        true
    }
}

impl<S: AsyncWrite + Unpin> Shortcut<S> {
    /// Sends what is left of an answer.
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
        // whoever has nothing more to send holds no picture
        (self.body, self.sent) = (Bytes::new(), 0);
        self.head.clear();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Shortcut<S> {
    /// Writes for hyper, unless what it writes is a refusal.
    fn poll_pass(&mut self, context: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        // one that is being sent is asked for again
        if !self.head.is_empty() || self.refuse(parts) {
            ready!(self.poll_send(context))?;
            return Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Shortcut<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        loop {
            ready!(this.poll_send(context))?;
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            let came = &buffer.filled()[before..];
            if came.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if !matches!(this.stage, Stage::Between) {
                this.stage = Stage::Unclear;
                return Poll::Ready(Ok(()));
            }
            if !this.answer(came) {
                return Poll::Ready(Ok(()));
            }
            buffer.set_filled(before);
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Shortcut<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.poll_pass(context, &[IoSlice::new(bytes)])
    }

    /// Asked for by hyper when there is nothing left that it has not written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        ready!(Pin::new(&mut this.stream).poll_flush(context))?;
        if let Stage::Within { request } = this.stage
            && this.phase.bodies() == request
        {
            this.stage = Stage::Between;
        }
        this.left = this.phase.bodies();
        Poll::Ready(Ok(()))
    }

    /// Ends it after what is still to be sent.
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
        self.poll_pass(context, parts)
    }
}
