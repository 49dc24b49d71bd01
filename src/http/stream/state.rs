//! The state of a connection, which the layers of its stream share with the request handler above them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// The state of one connection. Clones share it.
#[derive(Clone, Default)]
pub(in crate::http) struct ConnectionState(Arc<State>);

#[derive(Default)]
struct State {
    answering: AtomicBool,
    requests: AtomicU64,
    bodies: AtomicU64,
    flushed: AtomicU64,
    draining: AtomicBool,
    refused: AtomicBool,
}

impl ConnectionState {
    /// Counts a request whose head was read.
    pub(in crate::http) fn begin_answer(&self) {
        self.0.answering.store(true, Ordering::Relaxed);
        self.0.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// The answer's head is complete; its body may still be streamed.
    pub(in crate::http) fn end_answer(&self) {
        self.0.answering.store(false, Ordering::Relaxed);
    }

    /// Counts an answer whose body was handed over completely.
    pub(in crate::http) fn end_body(&self) {
        self.0.bodies.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything that was handed over was written.
    pub(in crate::http) fn mark_flushed(&self) {
        self.0.flushed.store(self.bodies(), Ordering::Relaxed);
    }

    /// Requests so far.
    pub(in crate::http) fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }

    /// Answers so far whose bodies were handed over completely.
    pub(in crate::http) fn bodies(&self) -> u64 {
        self.0.bodies.load(Ordering::Relaxed)
    }

    /// Whether every request so far was answered, to the last byte.
    pub(super) fn is_between_requests(&self) -> bool {
        self.0.flushed.load(Ordering::Relaxed) == self.requests()
    }

    /// Whether a request is being answered.
    pub(super) fn is_answering(&self) -> bool {
        self.0.answering.load(Ordering::Relaxed)
    }

    /// The server stops: the next answer is the last of this connection.
    pub(in crate::http) fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    pub(in crate::http) fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    /// The connection is closed after this answer, because of the request.
    pub(in crate::http) fn refuse(&self) {
        self.0.refused.store(true, Ordering::Relaxed);
    }

    pub(in crate::http) fn is_refused(&self) -> bool {
        self.0.refused.load(Ordering::Relaxed)
    }
}

/// A body that counts itself in the state when hyper has taken all of it, or dropped it.
pub(in crate::http) struct TrackedBody {
    pub(in crate::http) body: axum::body::Body,
    pub(in crate::http) state: ConnectionState,
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>, context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        self.state.end_body();
    }
}
