//! Every error's status code and body (RFC 9457). No other file chooses the status of an error.
//!
//! Texts say what would have been right. They repeat nothing of the request but a few names and values, truncated, and no
//! path of this machine. So a body has at most 8 KiB.

mod conversions;

use std::any::Any;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::request_id::RequestId;
use crate::dialect;
use crate::source;

/// Every title, in the order of their counters. A test checks that none is missing.
pub(super) const TITLES: [&str; 33] = [
    "Body too large",
    "Conflict",
    "Damaged image",
    "Deadline passed",
    "Forbidden",
    "Gone",
    "Image over a limit",
    "Impossible result",
    INTERNAL,
    "Invalid body",
    "Invalid parameter",
    "Invalid request",
    "Method not allowed",
    "No space left",
    "Not an image",
    "Not found",
    "Not supported",
    "Original is changing",
    "Original too large",
    "Original unavailable",
    "Overloaded",
    "Precondition failed",
    "Purge incomplete",
    "Range not satisfiable",
    "Render crashed",
    "Request head too large",
    "Request timeout",
    "Too many beacons",
    "Too many requests",
    "URL too long",
    "Unauthorized",
    "Unsupported image",
    "Unsupported media type",
];

const INTERNAL: &str = "Internal error";

/// The status and the title of a panic.
pub(super) const PANIC: (StatusCode, &str) = (StatusCode::INTERNAL_SERVER_ERROR, INTERNAL);

/// The title as it stands in the problem's type and in the label of its counter.
pub(super) fn kind(title: &str) -> String {
    title.to_ascii_lowercase().replace(' ', "-")
}

/// Bytes at most of the list of parameters, and of texts that come from the request or the settings.
const MAX_LIST_BYTES: usize = 5 * 1024;
const MAX_DETAIL_BYTES: usize = 1024;
const MAX_TEXT_BYTES: usize = 512;

/// A response extension: the title of the problem, for its counter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind(pub(super) &'static str);

/// An error as it is answered.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: String,
    /// Extension members (RFC 9457 §3.2).
    extra: Vec<(&'static str, Value)>,
    headers: HeaderMap,
}

impl Problem {
    fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Problem {
        Problem { status, title, detail: detail.into(), extra: Vec::new(), headers: HeaderMap::new() }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Problem {
        self.headers.insert(name, value);
        self
    }

    /// 414.
    pub(super) fn uri_too_long(limit: usize) -> Problem {
        let detail = format!("the URL is longer than {limit} bytes");
        Problem::new(StatusCode::URI_TOO_LONG, "URL too long", detail)
    }

    /// 431.
    pub(super) fn head_too_large() -> Problem {
        let detail = "a request's head has at most 64 KiB and 100 headers";
        let problem = Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request head too large", detail);
        problem.close_connection()
    }

    /// 400: a head that is not HTTP/1.1, or from which the end of the body is not clear.
    pub(super) fn bad_head() -> Problem {
        let detail = "the head of the request is not valid HTTP/1.1 (RFC 9112): check the request line, the headers and the length of the body";
        Problem::new(StatusCode::BAD_REQUEST, "Invalid request", detail).no_store().close_connection()
    }

    /// 405.
    pub(super) fn method(allow: &'static str) -> Problem {
        let problem =
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", format!("allowed here: {allow}"));
        problem.with(header::ALLOW, HeaderValue::from_static(allow))
    }

    /// 416 (RFC 9110 §15.5.17).
    pub(super) fn range(length: u64) -> Problem {
        let value = HeaderValue::from_str(&format!("bytes */{length}")).expect("digits are a header value");
        let detail = format!("the range lies outside of the {length} bytes");
        let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "Range not satisfiable", detail);
        problem.with(header::CONTENT_RANGE, value).with(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"))
    }

    /// 401: a bearer token that is missing or wrong.
    pub(super) fn unauthorized() -> Problem {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "Unauthorized", "a valid bearer token is required");
        problem.with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 401 for a page: a browser asks for the token as the password of HTTP Basic.
    pub(super) fn unauthorized_in_browser() -> Problem {
        let mut problem = Problem::unauthorized();
        let basic =
            HeaderValue::from_static("Basic realm=\"tintype: the password is the admin token\", charset=\"UTF-8\"");
        problem.headers.append(header::WWW_AUTHENTICATE, basic);
        problem
    }

    /// 404: a path that is no original's name.
    pub(super) fn invalid_name() -> Problem {
        dialect::Error::InvalidName.into()
    }

    /// 413: a request body over the limit.
    pub(super) fn body_too_large(limit: u64) -> Problem {
        let detail = format!("the body is longer than {limit} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "Body too large", detail)
    }

    /// 400: a truncated request body.
    pub(super) fn body_cut_off() -> Problem {
        Problem::invalid_body("the body is truncated")
    }

    /// 400: an invalid request body.
    pub(super) fn invalid_body(detail: &str) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "Invalid body", detail)
    }

    /// 408: a body that takes too long to arrive (RFC 9110 §15.5.9).
    pub(super) fn request_timeout(limit: Duration) -> Problem {
        let detail = format!("the body did not arrive within {limit:?}");
        Problem::new(StatusCode::REQUEST_TIMEOUT, "Request timeout", detail).close_connection()
    }

    /// 415: a type of body, or of file name, that is not accepted.
    pub(super) fn media_type(detail: &str) -> Problem {
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type", detail)
    }

    /// 409: the original exists, and the request does not replace it.
    pub(super) fn conflict(detail: &str) -> Problem {
        Problem::new(StatusCode::CONFLICT, "Conflict", detail)
    }

    /// 412.
    pub(super) fn precondition(detail: &str) -> Problem {
        Problem::new(StatusCode::PRECONDITION_FAILED, "Precondition failed", detail)
    }

    /// 503: too many concurrent uploads.
    pub(super) fn too_many_uploads() -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Overloaded", "too many concurrent uploads")
    }

    /// 503: another comparison of formats runs.
    pub(super) fn too_many_comparisons() -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Overloaded", "another comparison of formats runs")
    }

    /// 429: too many beacons.
    pub(super) fn too_many_beacons(wait: Duration) -> Problem {
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "Too many beacons", "send fewer beacons").retry_after(wait)
    }

    /// Adds `Retry-After`, in whole seconds.
    fn retry_after(self, wait: Duration) -> Problem {
        let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
        self.with(header::RETRY_AFTER, seconds.into())
    }

    /// Turns a 409 into a 412, for a request with `If-None-Match`: its condition is what failed.
    pub(super) fn conflict_to_precondition(self) -> Problem {
        if self.status == StatusCode::CONFLICT { Problem::precondition(&self.detail) } else { self }
    }

    /// Adds the name of the file, of several.
    pub(super) fn of_file(mut self, name: &source::ImageId) -> Problem {
        self.extra.push(("file", truncate(name.as_str(), MAX_TEXT_BYTES).into()));
        self
    }

    /// Forbids caching: a shared cache would answer other clients with an error that one client's head caused.
    fn no_store(self) -> Problem {
        self.with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    /// Closes the connection after the answer: what follows in it may not be a request.
    fn close_connection(self) -> Problem {
        self.with(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// 404: an unknown path under `/-/`.
    pub(super) fn no_such_path() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "Not found", "there is nothing at this path")
    }

    /// 400: a request without exactly one valid `Host`.
    pub(super) fn host() -> Problem {
        let detail = "a request must have exactly one Host header, with a host name or address and an optional port";
        Problem::new(StatusCode::BAD_REQUEST, "Invalid request", detail).no_store().close_connection()
    }

    /// 403: a request that is not answered to its sender.
    pub(super) fn forbidden(detail: &str) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "Forbidden", detail)
    }

    /// 501: originals on another server, whose names are not known.
    pub(super) fn cannot_list() -> Problem {
        let detail = "originals can be listed where they are in a folder (source.root) only";
        Problem::new(StatusCode::NOT_IMPLEMENTED, "Not supported", detail)
    }

    /// 400: an invalid parameter of a request under `/-/`.
    pub(super) fn parameter(name: &str, value: &str, allowed: &str) -> Problem {
        dialect::Error::InvalidParams(dialect::InvalidParam::new(name, value, allowed, None).into()).into()
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether the fallback picture may be sent in its place: the URL is right, and its original is the reason.
    pub(super) fn lacks_original(&self) -> bool {
        matches!(
            self.title,
            "Damaged image"
                | "Image over a limit"
                | "Not an image"
                | "Not found"
                | "Original too large"
                | "Original unavailable"
                | "Render crashed"
                | "Unsupported image"
        )
    }

    /// How long its answer may be cached.
    pub(super) fn cache_control(&self) -> &'static str {
        cache_control(self.status)
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    pub(super) fn title(&self) -> &'static str {
        self.title
    }

    /// The answer to the request with that identifier.
    pub(super) fn respond(self, id: Option<&RequestId>) -> Response {
        let mut response = (self.status, self.to_json(id).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control(self.status)));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.extend(self.headers);
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.entry(header::RETRY_AFTER).or_insert(HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(Kind(self.title));
        response
    }

    /// The document of the answer to the request with that identifier.
    pub(super) fn to_json(&self, id: Option<&RequestId>) -> Value {
        let mut body = json!({
            // a name and not an address: there is no more to read than what is here (RFC 9457 §3.1.1)
            "type": format!("urn:tintype:problem:{}", kind(self.title)),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": truncate(&self.detail, MAX_DETAIL_BYTES),
            "instance": format!("urn:request:{}", id.and_then(|id| id.0.to_str().ok()).unwrap_or("unknown")),
        });
        for (name, value) in &self.extra {
            body[*name] = value.clone();
        }
        body
    }
}

/// How long an error may be cached.
fn cache_control(status: StatusCode) -> &'static str {
    match status.as_u16() {
        404 => "max-age=30",
        400 | 403 | 410 | 413 | 415 | 422 => "max-age=60",
        _ => "no-store",
    }
}

/// A text of at most `max_bytes` as JSON writes it, with an ellipsis where it was truncated.
fn truncate(text: &str, max_bytes: usize) -> std::borrow::Cow<'_, str> {
    let mut room = max_bytes;
    let end = text.char_indices().find_map(|(at, c)| {
        let bytes = match c {
            '"' | '\\' => 2,
            c if c.is_control() => 6,
            c => c.len_utf8(),
        };
        match room.checked_sub(bytes) {
            Some(rest) => {
                room = rest;
                None
            }
            None => Some(at),
        }
    });
    end.map_or(text.into(), |end| format!("{}…", &text[..end]).into())
}

fn internal() -> Problem {
    let (status, title) = PANIC;
    Problem::new(status, title, "this is a bug in tintype; the log has the cause")
}

/// The answer after a panic, which is logged.
pub(super) fn after_panic(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("unknown"), "a request handler panicked");
    internal().respond(None)
}

/// The handler of unknown paths under `/-/`.
pub(super) async fn not_found(id: axum::Extension<RequestId>) -> Response {
    Problem::no_such_path().respond(Some(&id))
}

/// The handler of other methods for paths that have GET and HEAD.
pub(super) async fn method_not_allowed(id: axum::Extension<RequestId>) -> Response {
    Problem::method("GET, HEAD").respond(Some(&id))
}

#[cfg(test)]
mod tests;
