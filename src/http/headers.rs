//! The headers of an image.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use hyper::body::Frame;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::conditions;
use super::freshness::{Defects, Freshness};
use super::problem::Problem;
use super::ranges::{self, Selected};
use super::request_id::X_REQUEST_ID;
use crate::cache::{Digest, Found};
use crate::clock;
use crate::dialect::{Consulted, Target};
use crate::render::{Clamp, Content, Format};
use crate::service::{Answer, Timing};

pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const ACCEPT_CH: HeaderName = HeaderName::from_static("accept-ch");
const ACCEPTED_HINTS: HeaderValue = HeaderValue::from_static("Sec-CH-Width, Sec-CH-Viewport-Width, Sec-CH-DPR");
const X_CLAMPED: HeaderName = HeaderName::from_static("x-clamped");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// An image opened as a page may load and run nothing: an SVG is a document.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox";

/// The headers of a cached rendition: made once, sent many times.
pub(super) struct PreparedHeaders {
    /// The digest and the type of the body.
    digest: Digest,
    content: Content,
    /// The value of `Last-Modified`.
    modified: Option<SystemTime>,
    freshness: Freshness,
    clamp: Option<Clamp>,
    etag: HeaderValue,
    /// The headers of the whole body, with room for those that differ from answer to answer.
    headers: HeaderMap,
    /// The same headers as they are sent, without those that differ.
    lines: Box<[u8]>,
    /// Where in `lines` those begin that a 304 has as well.
    validators: usize,
}

impl PreparedHeaders {
    fn new(target: &Target, answer: &Answer, modified: Option<SystemTime>, freshness: Freshness) -> PreparedHeaders {
        let etag = etag(&answer.digest);
        let mut headers = HeaderMap::with_capacity(20);
        headers.insert(header::CONTENT_LENGTH, answer.payload.length().into());
        describe(&mut headers, target, answer.content, answer.found, defects(answer));
        add_clamp(&mut headers, answer.clamp);
        let validators = lines(&headers).len();
        insert_validators(&mut headers, target, &etag, modified, freshness);
        let lines = lines(&headers);
        // reserves its place: one more would not fit into a clone without growing it
        headers.insert(X_REQUEST_ID, HeaderValue::from_static("-"));
        let etag = HeaderValue::from_str(&etag).expect("hexadecimal digits in quotes are a header value");
        let (digest, content, clamp) = (answer.digest, answer.content, answer.clamp);
        PreparedHeaders { digest, content, modified, freshness, clamp, etag, headers, lines, validators }
    }

    /// The headers of the whole body.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub(super) fn etag(&self) -> &str {
        self.etag.to_str().unwrap_or_default()
    }

    /// The header lines of the answer with the whole body, without those that differ from answer to answer.
    pub(super) fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// The same of a 304.
    pub(super) fn not_modified_lines(&self) -> &[u8] {
        &self.lines[self.validators..]
    }

    fn is_of(&self, answer: &Answer, modified: Option<SystemTime>, freshness: Freshness) -> bool {
        (self.digest, self.content, self.modified, self.freshness, self.clamp)
            == (answer.digest, answer.content, modified, freshness, answer.clamp)
    }
}

fn defects(answer: &Answer) -> Defects {
    Defects { damaged: answer.damaged, stale: answer.stale }
}

/// Headers as they are sent (RFC 9112 §5).
fn lines(headers: &HeaderMap) -> Box<[u8]> {
    let mut lines = Vec::new();
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            lines.extend_from_slice(part);
        }
    }
    lines.into()
}

/// The headers of an answer, taken from `prepared` or left there; `prepared` belongs to this target alone. `modified` is
/// the value of `Last-Modified`.
pub(super) fn prepare(
    target: &Target, answer: &Answer, modified: Option<SystemTime>, prepared: &ArcSwapOption<PreparedHeaders>,
) -> Arc<PreparedHeaders> {
    let is_hit = matches!(answer.found, Some(Found::Memory | Found::Disk));
    let freshness = Freshness::of(target, defects(answer));
    if is_hit
        && let Some(headers) = &*prepared.load()
        && headers.is_of(answer, modified, freshness)
    {
        return Arc::clone(headers);
    }
    let headers = Arc::new(PreparedHeaders::new(target, answer, modified, freshness));
    if is_hit {
        prepared.store(Some(Arc::clone(&headers)));
    }
    headers
}

/// The head of an answer.
pub(super) struct Head {
    pub(super) response: Response,
    /// The part of the body that follows; `None` where none does.
    pub(super) part: Option<Range<u64>>,
}

/// The head of the answer to a request for an image. `prepared` belongs to this target alone.
pub(super) fn head(
    method: &Method, request_headers: &HeaderMap, target: &Target, answer: &Answer, timing: bool,
    prepared: &ArcSwapOption<PreparedHeaders>,
) -> Result<Head, Problem> {
    let modified = answer.modified.map(whole_seconds);
    let prepared = prepare(target, answer, modified, prepared);
    let etag = prepared.etag();
    conditions::check_preconditions(request_headers, etag, modified)?;
    if conditions::is_unchanged(request_headers, etag, modified) {
        return Ok(Head { response: not_modified(target, etag, modified, defects(answer)), part: None });
    }
    let length = answer.payload.length();
    let range = request_headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let range = range.filter(|_| method == Method::GET && conditions::if_range_holds(request_headers, etag));
    let (status, part, content_range) = match range.map_or(Selected::All, |range| ranges::select(range, length)) {
        Selected::All => (StatusCode::OK, 0..length, None),
        Selected::Part(part) => {
            let content_range = format!("bytes {}-{}/{length}", part.start, part.end - 1);
            (StatusCode::PARTIAL_CONTENT, part, Some(content_range))
        }
        Selected::Unsatisfiable => return Err(Problem::range(length)),
    };
    let mut headers = prepared.headers().clone();
    if let Some(content_range) = content_range {
        headers.insert(header::CONTENT_LENGTH, (part.end - part.start).into());
        insert(&mut headers, header::CONTENT_RANGE, &content_range);
    }
    if timing {
        add_timing(&mut headers, &answer.timing);
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(Head { response, part: (method != Method::HEAD).then_some(part) })
}

/// Inserts the headers that say what a body is and how it may be used.
pub(super) fn describe(
    headers: &mut HeaderMap, target: &Target, content: Content, found: Option<Found>, defects: Defects,
) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content.media_type()));
    insert(headers, header::CONTENT_DISPOSITION, &disposition(target, content));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    if target.hints.width {
        // a page has to ask for hints itself; an image that is opened alone does here
        headers.insert(ACCEPT_CH, ACCEPTED_HINTS);
    }
    headers.insert(CORP, HeaderValue::from_static("cross-origin"));
    insert(headers, CACHE_STATUS, &cache_status(found, defects));
}

/// Adds `X-Clamped` (a dictionary of RFC 9651) to an image that a limit made smaller than requested: the limit, the size without it
/// and the size of the image.
pub(super) fn add_clamp(headers: &mut HeaderMap, clamp: Option<Clamp>) {
    if let Some(Clamp { limit, bound, requested, size }) = clamp {
        insert(headers, X_CLAMPED, &format!("{}={bound};from=\"{requested}\";to=\"{size}\"", limit.name()));
    }
}

/// The strong validator of a body: equal on every node and after every restart.
pub(super) fn etag(digest: &Digest) -> String {
    format!("\"{}\"", digest.to_hex())
}

/// A 304, which has the validators, freshness and `Vary` of the 200, and nothing about a body (RFC 9110 §15.4.5).
pub(super) fn not_modified(target: &Target, etag: &str, modified: Option<SystemTime>, defects: Defects) -> Response {
    // a body of unknown length: for one that is known to be empty, the answer to HEAD would get a Content-Length of 0,
    // which is not the length of the image (RFC 9110 §8.6)
    let mut response = Response::new(Body::new(http_body_util::StreamBody::new(NoFrames)));
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    add_validators(response.headers_mut(), target, etag, modified, defects);
    // reserves its place, which is the same as in the 200
    response.headers_mut().insert(X_REQUEST_ID, HeaderValue::from_static("-"));
    response
}

/// An empty stream whose length is not known beforehand.
struct NoFrames;

impl Stream for NoFrames {
    type Item = Result<Frame<Bytes>, std::convert::Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}

/// Inserts the headers that a 304 has as well as a 200 (RFC 9110 §15.4.5).
pub(super) fn add_validators(
    headers: &mut HeaderMap, target: &Target, etag: &str, modified: Option<SystemTime>, defects: Defects,
) {
    insert_validators(headers, target, etag, modified, Freshness::of(target, defects));
}

fn insert_validators(
    headers: &mut HeaderMap, target: &Target, etag: &str, modified: Option<SystemTime>, freshness: Freshness,
) {
    insert(headers, header::ETAG, etag);
    if let Some(modified) = modified {
        insert(headers, header::LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    }
    insert(headers, header::CACHE_CONTROL, &freshness.cache_control());
    vary(headers, target.negotiable, target.hints);
    if let Some(query) = &target.snapped {
        insert(headers, header::CONTENT_LOCATION, &format!("{}{}?{query}", target.native_prefix, target.id.to_path()));
    }
}

/// Adds `Vary` with the headers that were consulted, if there are any.
pub(super) fn vary(headers: &mut HeaderMap, negotiable: bool, hints: Consulted) {
    if hints == Consulted::default() {
        if negotiable {
            headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        }
        return;
    }
    let names: Vec<&str> = negotiable.then_some("Accept").into_iter().chain(hints.headers()).collect();
    // one line: some caches look at one line only
    insert(headers, header::VARY, &names.join(", "));
}

/// A date as `Last-Modified` has it: HTTP dates have no fractions, and an image must not look newer than it is.
pub(super) fn whole_seconds(time: SystemTime) -> SystemTime {
    // never in the future (RFC 9110 §8.8.2.1)
    let time = time.min(clock::now());
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// `Cache-Status` (RFC 9211).
pub(super) fn cache_status(found: Option<Found>, defects: Defects) -> String {
    let is_shared = found == Some(Found::Shared);
    let status: String = match found {
        None => "tintype; fwd=bypass".into(),
        Some(Found::Memory | Found::Disk | Found::Shared) => "tintype; hit".into(),
        Some(Found::Made { stored, collapsed }) => {
            let stored = if stored { "; stored" } else { "" };
            let collapsed = if collapsed { "; collapsed" } else { "" };
            format!("tintype; fwd=uri-miss{stored}{collapsed}")
        }
    };
    // a parameter is given once
    match (defects, is_shared) {
        (Defects { damaged: true, .. }, _) => status + "; detail=damaged",
        (Defects { stale: true, .. }, _) => status + "; detail=stale",
        (Defects { damaged: false, stale: false }, true) => status + "; detail=shared",
        (Defects { damaged: false, stale: false }, false) => status,
    }
}

/// Adds `Server-Timing`, which browsers show beside the request.
pub(super) fn add_timing(headers: &mut HeaderMap, timing: &Timing) {
    insert(headers, SERVER_TIMING, &server_timing(timing));
}

fn server_timing(timing: &Timing) -> String {
    let Timing { cache, queue, source, decode, resize, encode } = *timing;
    let parts = [
        ("cache", cache),
        ("queue", queue),
        ("source", source),
        ("decode", decode),
        ("resize", resize),
        ("encode", encode),
    ];
    let shown = parts.iter().map(|(name, spent)| format!("{name};dur={:.2}", spent.as_secs_f64() * 1000.0));
    shown.collect::<Vec<_>>().join(", ")
}

/// `Content-Disposition` (RFC 6266): the name to save the file under, with the extension of the result's format.
fn disposition(target: &Target, content: Content) -> String {
    // .jpeg stays .jpeg
    let fits = |own: &str| Format::from_name(own).is_some_and(|format| Content::Image(format) == content);
    let (kind, name) = match &target.download {
        Some(name) => {
            let is_complete = !target.completes_name || name.rsplit_once('.').is_some_and(|(_, own)| fits(own));
            let name = if is_complete { name.clone() } else { format!("{name}.{}", content.extension()) };
            ("attachment", name)
        }
        None => {
            let name = target.id.file_name();
            let (stem, own) = name.rsplit_once('.').unwrap_or((name, ""));
            let extension = if fits(own) { own } else { content.extension() };
            ("inline", format!("{stem}.{extension}"))
        }
    };
    let quotable = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ';
    let plain: String = name.chars().map(|c| if quotable(c) { c } else { '_' }).collect();
    if plain == name {
        return format!("{kind}; filename=\"{plain}\"");
    }
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{}", utf8_percent_encode(&name, ATTR_CHAR))
}

/// The characters that RFC 8187 leaves unencoded in an extended value.
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Inserts a value that is visible ASCII by construction.
pub(super) fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ImageId;

    fn target(path: &str, download: Option<&str>) -> Target {
        Target {
            id: ImageId::parse(path).expect("a name"),
            recipe: None,
            requested: None,
            negotiable: false,
            hints: Default::default(),
            snapped: None,
            native_prefix: String::new(),
            download: download.map(str::to_owned),
            completes_name: false,
            immutable: false,
            expires: None,
            dialect: "native",
            refuses_svg: false,
        }
    }

    #[test]
    fn disposition_has_the_extension_of_the_result() {
        let check = |path: &str, download: Option<&str>, expected: &str| {
            assert_eq!(disposition(&target(path, download), Content::Image(Format::WebP)), expected);
        };
        check("/cats/tom.jpg", None, "inline; filename=\"tom.webp\"");
        check("/tom", None, "inline; filename=\"tom.webp\"");
        check("/tom.tar.gz", None, "inline; filename=\"tom.tar.webp\"");
        check("/a%22b.jpg", None, "inline; filename=\"a_b.webp\"; filename*=UTF-8''a%22b.webp");
        check("/caf%C3%A9.jpg", None, "inline; filename=\"caf_.webp\"; filename*=UTF-8''caf%C3%A9.webp");
        check("/a.jpg", Some("my photo.jpg"), "attachment; filename=\"my photo.jpg\"");
        // an attachment of imgproxy was saved without an extension
        for (name, expected) in [("tom", "tom.webp"), ("tom.jpg", "tom.jpg.webp"), ("tom.WebP", "tom.WebP")] {
            let target = Target { completes_name: true, ..target("/a.jpg", Some(name)) };
            let expected = format!("attachment; filename=\"{expected}\"");
            assert_eq!(disposition(&target, Content::Image(Format::WebP)), expected, "{name}");
        }
        let own = |path: &str| disposition(&target(path, None), Content::Image(Format::Jpeg));
        assert_eq!(own("/a.JPEG"), "inline; filename=\"a.JPEG\"");
        assert_eq!(own("/jpeg"), "inline; filename=\"jpeg.jpg\"");
    }
}
