//! Bodies of requests: read within a bound on their bytes, and read on for a moment after a refusal.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::Body as _;

use super::RequestId;
use super::problem::Problem;

/// How long is read on after a refusal. Closing a connection on bytes that nobody reads makes the kernel reset it, and
/// what was said before may be lost with it: whoever is still sending would never learn why.
const LINGER: Duration = Duration::from_secs(5);

/// How far a reader of forms may be behind what it was given.
const AHEAD: usize = 256 * 1024;

/// How long a request says that its body is.
pub(super) fn length(asked: &HeaderMap) -> Option<u64> {
    asked.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// All of a body of at most `limit` bytes.
pub(super) async fn read(body: &mut Body, asked: &HeaderMap, limit: usize) -> Result<Vec<u8>, Problem> {
    if length(asked).is_some_and(|length| length > limit as u64) {
        return Err(Problem::body_too_large(limit as u64));
    }
    let mut all = Vec::new();
    while let Some(bytes) = next(body).await? {
        if all.len() + bytes.len() > limit {
            return Err(Problem::body_too_large(limit as u64));
        }
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

/// The next bytes of a body.
pub(super) async fn next(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(_)) => return Err(Problem::body_cut_off()),
            // trailers are no part of it
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

/// The answer, or the problem. After a problem the rest of the body is read for a moment and thrown away.
pub(super) fn finish(result: Result<Response, Problem>, id: &RequestId, asked: &HeaderMap, mut body: Body) -> Response {
    let problem = match result {
        Ok(response) => return response,
        Err(problem) => problem,
    };
    // who waits to be told to go on is not told so, and sends nothing (RFC 9110 §10.1.1)
    if !body.is_end_stream() && !asked.contains_key(header::EXPECT) {
        tokio::spawn(tokio::time::timeout(LINGER, async move { while let Some(Ok(_)) = body.frame().await {} }));
    }
    problem.respond(Some(id))
}

/// A body for a reader of forms, which keeps in memory what it can make nothing of; so it is only given more as long as it
/// makes something of it.
pub(super) struct Chunks<'a> {
    body: &'a mut Body,
    ahead: &'a AtomicUsize,
}

/// More came than a form has between two parts.
#[derive(Debug, thiserror::Error)]
#[error("the form has no boundaries where they should be")]
struct Shapeless;

impl<'a> Chunks<'a> {
    /// That body; whoever is given something by the reader sets `ahead` to zero.
    pub(super) fn new(body: &'a mut Body, ahead: &'a AtomicUsize) -> Chunks<'a> {
        Chunks { body, ahead }
    }
}

impl Stream for Chunks<'_> {
    type Item = Result<Bytes, axum::BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ahead.load(Ordering::Relaxed) > AHEAD {
            return Poll::Ready(Some(Err(Shapeless.into())));
        }
        loop {
            let Some(frame) = ready!(Pin::new(&mut *self.body).poll_frame(context)) else { return Poll::Ready(None) };
            match frame.map(hyper::body::Frame::into_data) {
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
                Ok(Ok(bytes)) => {
                    self.ahead.fetch_add(bytes.len(), Ordering::Relaxed);
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Ok(Err(_trailers)) => {}
            }
        }
    }
}
