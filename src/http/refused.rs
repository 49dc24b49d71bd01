//! Requests that get no further than their heads: those that HTTP/1.1 has no meaning for, and those that do not say for which
//! host they are. They are answered with a problem like all others, counted, and logged now and then.

use std::time::Instant;

use axum::body::HttpBody;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};

use super::problem::Problem;
use super::traffic::Outcome;
use super::{App, RequestId, RequestInfo, X_REQUEST_ID, image, make_up_id};

impl App {
    /// The answer to a request that says for no host that it is, or for several.
    pub(super) fn refuse_host<B>(&self, request: &Request<B>) -> Response {
        let started = Instant::now();
        let asked = RequestInfo::of(request, self);
        let problem = Problem::host();
        let title = problem.title();
        let response = problem.respond(Some(&asked.id));
        if asked.is_apart {
            self.count_beside(&response);
        } else {
            self.count_refusal(started, title, &response);
        }
        self.log_refusal("no valid Host header");
        self.finish(asked, response)
    }

    /// The answer to a head that hyper refused with the answer in `bare`, which is a status and no body: its own head is put
    /// in `head`, and its body is given back. `None` for what is no such answer.
    pub(super) fn refuse_head(&self, bare: &[u8], head: &mut Vec<u8>) -> Option<Bytes> {
        let started = Instant::now();
        let problem = match bare.strip_prefix(b"HTTP/1.1 ")?.get(..3)? {
            b"400" => Problem::bad_head(),
            b"414" => Problem::uri_too_long(image::LONGEST_URL),
            b"431" => Problem::head_too_large(),
            _ => return None,
        };
        let title = problem.title();
        let mut id = Vec::new();
        make_up_id(&mut id);
        let id = RequestId(HeaderValue::from_maybe_shared(Bytes::from(id)).ok()?);
        let mut response = problem.respond(Some(&id));
        self.count_refusal(started, title, &response);
        self.routes.rules.load().config.allow_origin.apply(response.headers_mut(), None);
        response.headers_mut().insert(X_REQUEST_ID, id.0);
        let length = response.body().size_hint().exact().unwrap_or_default();
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        write(response, head)
    }

    /// A head was refused, and could not be answered.
    pub(super) fn count_unanswered_head(&self) {
        self.routes.traffic.fail(Problem::bad_head().title());
    }

    fn count_refusal(&self, started: Instant, title: &'static str, response: &Response) {
        let bytes = response.body().size_hint().exact().unwrap_or_default();
        self.routes.traffic.fail(title);
        self.routes.traffic.answered(started, response.status(), Outcome::Failure, bytes);
    }

    /// Says that a request was refused and why, unless it was said often lately.
    pub(super) fn log_refusal(&self, reason: &str) {
        if let Some(omitted) = self.routes.traffic.refusals.admit() {
            let client = self.client(&HeaderMap::new());
            tracing::info!(%client, reason, omitted, "a request was refused for its head");
        }
    }
}

/// Writes an answer's head, with the time that it has; gives back its body.
fn write(response: Response, head: &mut Vec<u8>) -> Option<Bytes> {
    let (parts, mut body) = response.into_parts();
    let status: StatusCode = parts.status;
    head.clear();
    head.extend_from_slice(format!("HTTP/1.1 {status}\r\n").as_bytes());
    for (name, value) in &parts.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    let now = httpdate::fmt_http_date(crate::clock::now());
    head.extend_from_slice(format!("date: {now}\r\n\r\n").as_bytes());
    // a problem's body is in memory as a whole
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(&mut body).poll_frame(&mut context) {
        std::task::Poll::Ready(Some(Ok(frame))) => frame.into_data().ok(),
        _ => None,
    }
}
