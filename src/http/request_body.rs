//! Bodies of requests: read up to a limit, and discarded after an error.

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

use super::problem::Problem;
use super::request_id::RequestId;

/// How long a body is read and discarded after an error. Closing a connection with unread input makes the kernel reset it,
/// and a client that is still sending would never see the answer.
const LINGER: Duration = Duration::from_secs(5);

/// Bytes that the form parser may buffer without finding a boundary.
const MAX_BUFFERED: usize = 256 * 1024;

/// `Content-Length` of a request, if it has one.
pub(super) fn length(request_headers: &HeaderMap) -> Option<u64> {
    request_headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a whole body.
///
/// # Errors
/// If it is longer than `limit` bytes, or cut off.
pub(super) async fn read(body: &mut Body, request_headers: &HeaderMap, limit: usize) -> Result<Vec<u8>, Problem> {
    if length(request_headers).is_some_and(|length| length > limit as u64) {
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
            // trailers are ignored
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

/// The answer, or the problem, after which the rest of the body is read and discarded for a while.
pub(super) fn finish(
    result: Result<Response, Problem>, id: &RequestId, request_headers: &HeaderMap, mut body: Body,
) -> Response {
    let problem = match result {
        Ok(response) => return response,
        Err(problem) => problem,
    };
    // a client that waits for `100 Continue` does not get it, and sends no body (RFC 9110 §10.1.1)
    if !body.is_end_stream() && !request_headers.contains_key(header::EXPECT) {
        tokio::spawn(tokio::time::timeout(LINGER, async move { while let Some(Ok(_)) = body.frame().await {} }));
    }
    problem.respond(Some(id))
}

/// A body for the form parser, which buffers its input until it finds a boundary. The body fails once the parser has buffered
/// too much.
pub(super) struct Chunks<'a> {
    body: &'a mut Body,
    buffered: &'a AtomicUsize,
}

/// The input has no boundary where a form has one.
#[derive(Debug, thiserror::Error)]
#[error("the form has no boundaries where they should be")]
struct NoBoundary;

impl<'a> Chunks<'a> {
    /// The caller resets `buffered` to 0 whenever the parser yields something.
    pub(super) fn new(body: &'a mut Body, buffered: &'a AtomicUsize) -> Chunks<'a> {
        Chunks { body, buffered }
    }
}

impl Stream for Chunks<'_> {
    type Item = Result<Bytes, axum::BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.buffered.load(Ordering::Relaxed) > MAX_BUFFERED {
            return Poll::Ready(Some(Err(NoBoundary.into())));
        }
        loop {
            let Some(frame) = ready!(Pin::new(&mut *self.body).poll_frame(context)) else { return Poll::Ready(None) };
            match frame.map(hyper::body::Frame::into_data) {
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
                Ok(Ok(bytes)) => {
                    self.buffered.fetch_add(bytes.len(), Ordering::Relaxed);
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Ok(Err(_trailers)) => {}
            }
        }
    }
}
