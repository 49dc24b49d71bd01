//! Every failure's status code, and its body (RFC 9457). Nowhere else is a status for a failure chosen.
//!
//! The matches have no `_` arm: a new way to fail does not compile before it has a status here. Texts say what would have
//! been right; nothing of the request but a few names and values is repeated in them, cut where they are long, and no path
//! of this machine. So a body has at most 8 KiB, whatever was asked.

use std::any::Any;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::RequestId;
use crate::dialect;
use crate::render;
use crate::service;
use crate::service::uploads::UploadError;
use crate::service::workers::WorkError;
use crate::source::{self, Rejected};

/// Every title, for counting. A test holds that none is missing.
pub(super) const TITLES: [&str; 30] = [
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
    "Original is changing",
    "Original too large",
    "Original unavailable",
    "Overloaded",
    "Precondition failed",
    "Range not satisfiable",
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

/// What a panic is answered with.
pub(super) const OF_PANICS: (StatusCode, &str) = (StatusCode::INTERNAL_SERVER_ERROR, INTERNAL);

/// A title as it stands in the problem's type, which is also how it is counted.
pub(super) fn kind(title: &str) -> String {
    title.to_ascii_lowercase().replace(' ', "-")
}

/// The most bytes of the list of parameters, and of texts that are made of the request or the settings.
const LONGEST_LIST: usize = 5 * 1024;
const LONGEST_DETAIL: usize = 1024;
const LONGEST_TEXT: usize = 512;

/// The title of the problem that an answer is, for whoever counts it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind(pub(super) &'static str);

/// A failure as it is answered.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: String,
    /// Members beside those that every problem has.
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

    /// A URL that is longer than is read.
    pub(super) fn uri_too_long(limit: usize) -> Problem {
        let detail = format!("the URL is longer than {limit} bytes");
        Problem::new(StatusCode::URI_TOO_LONG, "URL too long", detail)
    }

    /// A head that is longer, or has more headers, than is read.
    pub(super) fn head_too_large() -> Problem {
        let detail = "a request's head has at most 64 KiB and 100 headers";
        let problem = Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request head too large", detail);
        problem.close_connection()
    }

    /// A head that is not HTTP/1.1, or does not say clearly where its body ends.
    pub(super) fn bad_head() -> Problem {
        let detail =
            "the request's head is not one of HTTP/1.1 (RFC 9112): request line, headers or length of the body";
        Problem::new(StatusCode::BAD_REQUEST, "Invalid request", detail).no_store().close_connection()
    }

    /// A method that this path does not have.
    pub(super) fn method(allow: &'static str) -> Problem {
        let problem =
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", format!("allowed here: {allow}"));
        problem.with(header::ALLOW, HeaderValue::from_static(allow))
    }

    /// A range that the body does not have (RFC 9110 §15.5.17).
    pub(super) fn range(length: u64) -> Problem {
        let value = HeaderValue::from_str(&format!("bytes */{length}")).expect("digits are a header value");
        let detail = format!("the range lies outside of the {length} bytes");
        let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "Range not satisfiable", detail);
        problem.with(header::CONTENT_RANGE, value).with(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"))
    }

    /// A token that is missing or wrong.
    pub(super) fn unauthorized() -> Problem {
        let problem =
            Problem::new(StatusCode::UNAUTHORIZED, "Unauthorized", "a bearer token is needed here, and the right one");
        problem.with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// A path that names no original.
    pub(super) fn no_name() -> Problem {
        dialect::Error::InvalidName.into()
    }

    /// A body that is longer than is read.
    pub(super) fn body_too_large(limit: u64) -> Problem {
        let detail = format!("the body has more than the {limit} bytes that are allowed");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "Body too large", detail)
    }

    /// A body that ended before its end.
    pub(super) fn body_cut_off() -> Problem {
        Problem::body_wrong("the body is cut off")
    }

    /// A body that is not what belongs here.
    pub(super) fn body_wrong(detail: &str) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "Invalid body", detail)
    }

    /// A body that takes too long to arrive (RFC 9110 §15.5.9).
    pub(super) fn too_slow(limit: Duration) -> Problem {
        let detail = format!("the body did not arrive within {limit:?}");
        Problem::new(StatusCode::REQUEST_TIMEOUT, "Request timeout", detail).close_connection()
    }

    /// A kind of body or name that does not belong here.
    pub(super) fn media_type(detail: &str) -> Problem {
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type", detail)
    }

    /// Something is in the way that nobody said might go.
    pub(super) fn conflict(detail: &str) -> Problem {
        Problem::new(StatusCode::CONFLICT, "Conflict", detail)
    }

    /// A condition of the request that does not hold.
    pub(super) fn precondition(detail: &str) -> Problem {
        Problem::new(StatusCode::PRECONDITION_FAILED, "Precondition failed", detail)
    }

    /// As many uploads as there may be at a time.
    pub(super) fn too_many_uploads() -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Overloaded", "too many uploads are under way")
    }

    /// More beacons than are taken in.
    pub(super) fn too_many_beacons(wait: Duration) -> Problem {
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "Too many beacons", "send fewer of them").after(wait)
    }

    /// The client may come again after that long.
    fn after(self, wait: Duration) -> Problem {
        let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
        self.with(header::RETRY_AFTER, seconds.into())
    }

    /// A conflict under a condition that there is nothing to conflict with: the condition is what fails.
    pub(super) fn if_conflict_then_precondition(self) -> Problem {
        if self.status == StatusCode::CONFLICT { Problem::precondition(&self.detail) } else { self }
    }

    /// Says which file of several it is about.
    pub(super) fn of_file(mut self, name: &source::ImageId) -> Problem {
        self.extra.push(("file", cut(name.as_str(), LONGEST_TEXT).into()));
        self
    }

    /// No cache keeps it: one that did, by its URL, would answer others with what one client did wrong.
    fn no_store(self) -> Problem {
        self.with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    /// The connection ends after the answer: what comes next on it may be no request.
    fn close_connection(self) -> Problem {
        self.with(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// A path that there is not.
    pub(super) fn nothing_here() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "Not found", "there is nothing at this path")
    }

    /// A request that does not say, or says twice, for which host it is.
    pub(super) fn host() -> Problem {
        let detail =
            "a request has one Host header, with the name or the address of a host and no more than a port behind it";
        Problem::new(StatusCode::BAD_REQUEST, "Invalid request", detail).no_store().close_connection()
    }

    /// One parameter of an administrative request that is wrong.
    pub(super) fn parameter(name: &str, value: &str, allowed: &str) -> Problem {
        dialect::Error::InvalidParams(dialect::InvalidParam::new(name, value, allowed, None).into()).into()
    }

    /// What kind of failure it is.
    pub(super) fn title(&self) -> &'static str {
        self.title
    }

    /// The answer to the request of that identifier.
    pub(super) fn respond(self, id: Option<&RequestId>) -> Response {
        let mut body = json!({
            // a name rather than an address: there is nothing more to read than what stands here (RFC 9457 §3.1.1)
            "type": format!("urn:tintype:problem:{}", kind(self.title)),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": cut(&self.detail, LONGEST_DETAIL),
            "instance": format!("urn:request:{}", id.and_then(|id| id.0.to_str().ok()).unwrap_or("unknown")),
        });
        for (name, value) in self.extra {
            body[name] = value;
        }
        let mut response = (self.status, body.to_string()).into_response();
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
}

/// How long a failure may be kept by others.
fn cache_control(status: StatusCode) -> &'static str {
    match status.as_u16() {
        404 => "max-age=30",
        400 | 403 | 410 | 413 | 415 | 422 => "max-age=60",
        _ => "no-store",
    }
}

impl From<dialect::Error> for Problem {
    fn from(error: dialect::Error) -> Problem {
        let detail = error.to_string();
        match error {
            dialect::Error::InvalidName => Problem::new(StatusCode::NOT_FOUND, "Not found", detail),
            dialect::Error::InvalidParams(wrong) => {
                let mut problem = Problem::new(StatusCode::BAD_REQUEST, "Invalid parameter", detail);
                let listed = listed(&wrong);
                let omitted = wrong.len() - listed.len() + wrong.omitted();
                problem.extra.push(("invalid_params", listed.into()));
                if omitted > 0 {
                    problem.extra.push(("invalid_params_omitted", omitted.into()));
                }
                problem
            }
            dialect::Error::Signature(_) => Problem::new(StatusCode::FORBIDDEN, "Forbidden", detail),
            dialect::Error::Expired => Problem::new(StatusCode::GONE, "Gone", detail),
        }
    }
}

impl From<service::Error> for Problem {
    fn from(error: service::Error) -> Problem {
        match error {
            service::Error::Source(error) => error.into(),
            service::Error::Render(error) => error.into(),
            service::Error::Work(error) => error.into(),
        }
    }
}

impl From<source::Error> for Problem {
    fn from(error: source::Error) -> Problem {
        let detail = error.to_string();
        match error {
            source::Error::NotFound => Problem::new(StatusCode::NOT_FOUND, "Not found", detail),
            source::Error::Forbidden => Problem::new(StatusCode::FORBIDDEN, "Forbidden", detail),
            source::Error::TooLarge { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "Original too large", detail),
            source::Error::Changing => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Original is changing", detail),
            // EMFILE and ENFILE: it is this server that has too much to do
            source::Error::Unavailable(cause) if matches!(cause.raw_os_error(), Some(23 | 24)) => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Overloaded", "too many files are open")
            }
            source::Error::Unavailable(cause) => {
                tracing::error!(error = %cause, "an original cannot be read");
                Problem::new(StatusCode::BAD_GATEWAY, "Original unavailable", detail)
            }
        }
    }
}

impl From<render::Error> for Problem {
    fn from(error: render::Error) -> Problem {
        let detail = error.to_string();
        match error {
            render::Error::UnknownFormat => Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Not an image", detail),
            render::Error::Unsupported { .. } => {
                Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported image", detail)
            }
            render::Error::Malformed { .. } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "Damaged image", detail),
            render::Error::Limit(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "Image over a limit", detail),
            render::Error::Impossible(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "Impossible result", detail),
            render::Error::Cancelled => WorkError::DeadlineExceeded.into(),
            render::Error::Encode { .. } => {
                tracing::error!(%detail, "an encoder failed");
                internal()
            }
        }
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Problem {
        match error {
            UploadError::Service(error) => error.into(),
            UploadError::Rejected(rejected) => rejected.into(),
            UploadError::Conflict => Problem::conflict(&error.to_string()),
            UploadError::Disabled => Problem::nothing_here(),
        }
    }
}

impl From<Rejected> for Problem {
    fn from(rejected: Rejected) -> Problem {
        let detail = rejected.to_string();
        match rejected {
            Rejected::Exists | Rejected::NoFolder => Problem::conflict(&detail),
            Rejected::Outside | Rejected::Forbidden => Problem::new(StatusCode::FORBIDDEN, "Forbidden", detail),
            Rejected::TooLarge { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "Original too large", detail),
            Rejected::Full => Problem::new(StatusCode::INSUFFICIENT_STORAGE, "No space left", detail),
            Rejected::Unavailable(cause) => source::Error::Unavailable(cause).into(),
        }
    }
}

impl From<WorkError> for Problem {
    fn from(error: WorkError) -> Problem {
        let detail = error.to_string();
        match error {
            WorkError::Overloaded { retry } => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Overloaded", detail).after(retry)
            }
            WorkError::DeadlineExceeded => Problem::new(StatusCode::GATEWAY_TIMEOUT, "Deadline passed", detail),
            WorkError::RateLimited(wait) => {
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests", detail).after(wait)
            }
            WorkError::Panicked => {
                tracing::error!("a render ended without a result");
                internal()
            }
        }
    }
}

/// As many of these parameters as fit.
fn listed(wrong: &[dialect::InvalidParam]) -> Vec<Value> {
    let each = wrong.iter().map(|one| {
        let allowed = cut(&one.allowed, LONGEST_TEXT);
        json!({ "name": one.name, "value": one.value, "allowed": allowed, "did_you_mean": one.did_you_mean })
    });
    let mut room = LONGEST_LIST;
    let fits = each.map_while(|one| {
        room = room.checked_sub(one.to_string().len())?;
        Some(one)
    });
    fits.collect()
}

/// A text of at most so many bytes as JSON writes it, with an ellipsis where something was left out.
fn cut(text: &str, longest: usize) -> std::borrow::Cow<'_, str> {
    let mut room = longest;
    let end = text.char_indices().find_map(|(at, c)| {
        let written = match c {
            '"' | '\\' => 2,
            c if c.is_control() => 6,
            c => c.len_utf8(),
        };
        match room.checked_sub(written) {
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
    let (status, title) = OF_PANICS;
    Problem::new(status, title, "this is a bug in tintype; its log has the cause")
}

/// The answer where a handler panicked.
pub(super) fn after_panic(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("unknown"), "a request handler panicked");
    internal().respond(None)
}

/// The handler of paths below `/-/` that there are not.
pub(super) async fn not_found(id: axum::Extension<RequestId>) -> Response {
    Problem::nothing_here().respond(Some(&id))
}

/// The handler of methods that only GET and HEAD have.
pub(super) async fn method_not_allowed(id: axum::Extension<RequestId>) -> Response {
    Problem::method("GET, HEAD").respond(Some(&id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ImageId;

    /// The most bytes of a problem's body.
    const LONGEST: usize = 8 * 1024;

    #[tokio::test]
    async fn problems_say_what_would_have_been_right_and_no_more() {
        let wrong = crate::dialect::native::query::parse("w=0&f=wepb").expect_err("wrong");
        let response = Problem::from(dialect::Error::InvalidParams(wrong)).respond(None);
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()[header::CACHE_CONTROL], "max-age=60");
        let body = http_body_util::BodyExt::collect(response.into_body()).await.expect("a body").to_bytes();
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["status"], 400);
        assert_eq!(body["invalid_params"][0]["name"], "w");
        assert_eq!(body["invalid_params"][1]["did_you_mean"], "webp");
    }

    async fn body(problem: Problem, id: Option<&RequestId>) -> (usize, Value) {
        let body = http_body_util::BodyExt::collect(problem.respond(id).into_body()).await.expect("a body").to_bytes();
        (body.len(), serde_json::from_slice(&body).expect("JSON"))
    }

    #[tokio::test]
    async fn bodies_are_bounded_whatever_was_asked() {
        let parse = |query: &str| match crate::dialect::native::query::parse(query) {
            Err(wrong) => Problem::from(dialect::Error::InvalidParams(wrong)),
            Ok(_) => panic!("{query} is good"),
        };
        let controls = "%01".repeat(2000);
        let id = RequestId(HeaderValue::from_str(&"x".repeat(64)).expect("a value"));
        let widths = (1..3000).map(|width| width.to_string()).collect::<Vec<_>>().join(", ");
        let ladder = dialect::InvalidParam::new("width", "1", format!("one of {widths}"), None);
        let file = ImageId::parse(&format!("/{}a", "a/".repeat(3000))).expect("a name");
        for (problem, listed, omitted) in [
            (parse(&"w&".repeat(4096)), 8, 4088),
            (parse(&"w=1&".repeat(2048)), 8, 2039),
            (parse(&format!("w={0}&h={0}&q={0}&f={0}&fit={0}&bg={0}&dpr={0}&ar={0}&blur={0}", controls)), 7, 2),
            (parse(&format!("w={0}&h={0}&q={0}&f={0}", "\"\\".repeat(500))), 4, 0),
            (parse(&format!("f={}", "%F0%9F%98%80".repeat(600))), 1, 0),
            (Problem::from(dialect::Error::InvalidParams(ladder.into())), 1, 0),
            (Problem::parameter("path", &"é".repeat(4000), "a path"), 1, 0),
            (Problem::conflict(&"x".repeat(100_000)).of_file(&file), 0, 0),
        ] {
            let shown = format!("{problem:?}").chars().take(200).collect::<String>();
            let (length, body) = body(problem, Some(&id)).await;
            assert!(length <= LONGEST, "{length}: {shown}");
            let count = body["invalid_params"].as_array().map_or(0, Vec::len);
            assert_eq!((count, body["invalid_params_omitted"].as_u64().unwrap_or(0)), (listed, omitted), "{shown}");
        }
    }

    #[test]
    fn texts_are_cut_as_json_writes_them() {
        let check = |text: &str, longest: usize, expected: &str| assert_eq!(cut(text, longest), expected, "{text:?}");
        check("", 0, "");
        check("abc", 3, "abc");
        check("abcd", 3, "abc…");
        check("aé", 3, "aé");
        check("aéé", 4, "aé…");
        check("a\"b", 3, "a\"…");
        check("\u{1}\u{1}", 11, "\u{1}…");
    }

    #[test]
    fn every_title_is_counted() {
        assert!(TITLES.is_sorted(), "{TITLES:?}");
        let source = include_str!("problem.rs");
        let (code, _) = source.split_once("#[cfg(test)]").expect("tests");
        let written = code.split("Problem::new(").skip(1).filter(|rest| rest.trim_start().starts_with("StatusCode::"));
        let written: std::collections::BTreeSet<&str> =
            written.map(|rest| rest.split('"').nth(1).expect("a title")).chain([INTERNAL]).collect();
        assert_eq!(written.into_iter().collect::<Vec<_>>(), TITLES);
    }

    #[test]
    fn storage_errors_tell_no_path() {
        let cause = std::io::Error::other("/srv/secret/place");
        let problem = Problem::from(source::Error::Unavailable(cause.into()));
        assert!(!problem.detail.contains("secret"));
        assert_eq!(problem.status, StatusCode::BAD_GATEWAY);
    }
}
