//! The fast path: hits and 304s out of memory, answered from the bytes of the request's head before hyper sees them.
//!
//! hyper and what is built on it take a third of the CPU of a hit, for what most requests do not use. The fast path answers
//! a GET without a body or a range, for a URL that was parsed before and a rendition that is in memory. Every other request
//! is left to hyper and [`App::answer`], the *slow path*. Both give the same answers byte for byte: headers, conditions,
//! counters and log lines come from the same functions, and `tests/it/fast_path.rs` compares them. Bodies are sent by
//! sendfile(2) on both paths.
//!
//! [`FastPath`] is the only item that the rest of `http` uses, in `server/connection.rs`. `server.fast_path = false` leaves
//! all requests to the slow path and all bodies to plain writes.

mod answer;
mod head;
mod sendfile;
mod stream;
#[cfg(test)]
mod tests;

use axum::response::Response;

use super::app::App;
use super::stream::ConnectionState;
use sendfile::{CurrentBody, SendfileStream, Socket};
use stream::FastPathStream;

/// The fast path of one connection.
pub(super) struct FastPath {
    app: App,
    body: CurrentBody,
}

impl FastPath {
    pub(super) fn new(app: App) -> FastPath {
        FastPath { app, body: CurrentBody::default() }
    }

    /// The lowest layer of the connection: its socket, which sends bodies from their files.
    pub(super) fn socket<S: Socket>(&self, socket: S) -> SendfileStream<S> {
        SendfileStream::new(socket, self.body.clone())
    }

    /// The highest layer but for refusals: answers requests in place of hyper.
    pub(super) fn stream<S>(&self, stream: S, state: ConnectionState) -> FastPathStream<S> {
        FastPathStream::new(stream, self.app.clone(), state, self.body.clone())
    }

    /// Has the body of hyper's next answer sent from its file, if it has one.
    pub(super) fn send(&self, response: &mut Response) {
        let file = response.extensions_mut().remove();
        let is_on = self.app.state().live.load().config.fast_path;
        self.body.set(file.as_ref().filter(|_| is_on));
    }
}
