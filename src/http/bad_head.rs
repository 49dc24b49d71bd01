//! Requests with an invalid head: not HTTP/1.1, too long, or without exactly one valid `Host`. They are answered with a
//! problem document like all others, counted, and logged at a limited rate.

use std::time::Instant;

use axum::body::HttpBody;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};

use super::app::{App, RequestInfo};
use super::image;
use super::problem::Problem;
use super::request_id::{RequestId, X_REQUEST_ID};
use super::traffic::Outcome;

impl App {
    /// The answer to a request without exactly one valid `Host`.
    pub(super) fn refuse_host<B>(&self, request: &Request<B>) -> Response {
        let started = Instant::now();
        let info = RequestInfo::of(request, self);
        let problem = Problem::host();
        let title = problem.title();
        let response = problem.respond(Some(&info.id));
        if info.is_admin {
            self.record_admin(&response);
        } else {
            self.count_refusal(started, title, &response);
        }
        self.log_refusal("no valid Host header");
        self.finish(info, response)
    }

    /// The head and the body of the answer to a request that hyper refused with `bare`, which has a status and no body.
    /// Without a complete request line (`has_line`) it is the URL that is too long. `None` if `bare` is no refusal.
    pub(super) fn refuse_head(&self, bare: &[u8], has_line: bool) -> Option<(Vec<u8>, Bytes)> {
        let started = Instant::now();
        let problem = match bare.strip_prefix(b"HTTP/1.1 ")?.get(..3)? {
            b"400" => Problem::bad_head(),
            b"431" if has_line => Problem::head_too_large(),
            b"414" | b"431" => Problem::uri_too_long(image::MAX_URL_BYTES),
            _ => return None,
        };
        let title = problem.title();
        let id = RequestId::generate();
        let mut response = problem.respond(Some(&id));
        self.count_refusal(started, title, &response);
        self.state().live.load().config.allow_origin.apply(response.headers_mut(), None);
        response.headers_mut().insert(X_REQUEST_ID, id.0);
        let length = response.body().size_hint().exact().unwrap_or_default();
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        write(response)
    }

    /// Counts an invalid head that could not be answered.
    pub(super) fn count_unanswered_head(&self) {
        self.state().traffic.fail(Problem::bad_head().title());
    }

    fn count_refusal(&self, started: Instant, title: &'static str, response: &Response) {
        let bytes = response.body().size_hint().exact().unwrap_or_default();
        self.state().traffic.fail(title);
        self.state().traffic.record(started, response.status(), Outcome::Failure, bytes);
    }

    /// Logs the reason of a refusal, at a limited rate.
    pub(super) fn log_refusal(&self, reason: &str) {
        if let Some(omitted) = self.state().traffic.refusals.admit() {
            let client = self.client(&HeaderMap::new());
            tracing::info!(%client, reason, omitted, "a request with an invalid head was refused");
        }
    }
}

/// Writes the head of an answer; returns it with the body.
fn write(response: Response) -> Option<(Vec<u8>, Bytes)> {
    let (parts, mut body) = response.into_parts();
    let status: StatusCode = parts.status;
    let mut head = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for (name, value) in &parts.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    let now = httpdate::fmt_http_date(crate::clock::now());
    head.extend_from_slice(format!("date: {now}\r\n\r\n").as_bytes());
    // the body of a problem is one frame in memory
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(&mut body).poll_frame(&mut context) {
        std::task::Poll::Ready(Some(Ok(frame))) => Some((head, frame.into_data().ok()?)),
        _ => None,
    }
}
