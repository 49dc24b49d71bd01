//! The headers of an image and what a client's conditions make of it (RFC 9110 §13).

use std::borrow::Cow;
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

use super::X_REQUEST_ID;
use super::problem::Problem;
use super::ranges::{self, Wanted};
use crate::cache::{Digest, Found};
use crate::clock;
use crate::dialect::Target;
use crate::render::{Content, Format};
use crate::service::{Answer, Timing};
use crate::source::ImageId;

pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// A day, and a week in which a shared cache may answer with what it has while it asks again. `no-transform` keeps
/// networks from encoding a picture once more.
const FRESH: &str = "public, max-age=86400, stale-while-revalidate=604800, stale-if-error=604800, no-transform";
/// The URL changes when the picture does.
const IMMUTABLE: &str = "public, max-age=31536000, immutable, no-transform";
/// Seconds for which [`FRESH`] lets an answer be kept, and then be sent while it is asked for anew.
const DAY: u64 = 86_400;
const WEEK: u64 = 604_800;
/// Seconds for which the picture of a damaged original may be kept: it may be one that is still being written.
const MINUTE: u64 = 60;
/// Those of [`IMMUTABLE`].
const YEAR: u64 = 31_536_000;
/// Not what was asked for: soon it may be had.
const FOR_NOW: HeaderValue = HeaderValue::from_static("public, max-age=10, no-transform");
/// An image opened as a page may load and run nothing: an SVG is a document.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox";

/// The headers of a rendition that is at hand, as they are made once and sent many times.
pub(super) struct Ready {
    /// Of which body.
    digest: Digest,
    content: Content,
    /// What is said to be its date.
    modified: SystemTime,
    kept: Kept,
    etag: HeaderValue,
    /// Those of the whole body, with a place for what differs from answer to answer.
    whole: HeaderMap,
    /// The status line and the same as they are sent, without what differs.
    lines: Box<[u8]>,
}

impl Ready {
    fn new(target: &Target, answer: &Answer, modified: SystemTime, kept: Kept) -> Ready {
        let etag = etag(&answer.digest);
        let mut whole = HeaderMap::with_capacity(20);
        whole.insert(header::CONTENT_LENGTH, answer.bytes.len().into());
        describe(&mut whole, target, answer.content, answer.found, answer.damaged);
        add_kept_validators(&mut whole, target, &etag, modified, kept);
        let lines = lines(&whole);
        // its place: one more would not fit into a copy as it is
        whole.insert(X_REQUEST_ID, HeaderValue::from_static("-"));
        let etag = HeaderValue::from_str(&etag).expect("hexadecimal digits in quotes are a header value");
        Ready { digest: answer.digest, content: answer.content, modified, kept, etag, whole, lines }
    }

    /// Those of the whole body.
    pub(super) fn whole(&self) -> &HeaderMap {
        &self.whole
    }

    /// The head of the answer with the whole body as it is sent: the status line and all headers but those that differ
    /// from answer to answer.
    pub(super) fn lines(&self) -> &[u8] {
        &self.lines
    }

    fn is_of(&self, answer: &Answer, modified: SystemTime, kept: Kept) -> bool {
        let Ready { digest, content, modified: said, kept: stated, etag: _, whole: _, lines: _ } = self;
        (*digest, *content, *said, *stated) == (answer.digest, answer.content, modified, kept)
    }
}

/// How long others may keep an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Fresh,
    Immutable,
    /// So many seconds, and no longer: then its URL is no longer good.
    Seconds(u64),
    /// So many seconds, since the original is damaged.
    Damaged(u64),
}

impl Kept {
    fn of(target: &Target, damaged: bool) -> Kept {
        let left = target.expires.map_or(u64::MAX, |expires| expires.saturating_sub(clock::seconds()));
        if damaged { Kept::Damaged(left.min(MINUTE)) } else { Kept::within(target.immutable, left) }
    }

    /// As long as is usual, but not beyond so many seconds.
    fn within(immutable: bool, left: u64) -> Kept {
        let (usual, longest, age) =
            if immutable { (Kept::Immutable, YEAR, YEAR) } else { (Kept::Fresh, DAY + WEEK, DAY) };
        if longest <= left { usual } else { Kept::Seconds(age.min(left)) }
    }

    fn value(self) -> Cow<'static, str> {
        match self {
            Kept::Fresh => FRESH.into(),
            Kept::Immutable => IMMUTABLE.into(),
            Kept::Seconds(seconds) => format!("public, max-age={seconds}, no-transform").into(),
            Kept::Damaged(seconds) => format!("public, max-age={seconds}").into(),
        }
    }
}

/// The status line of a whole body and these headers, as they are sent (RFC 9112 §4, §5).
fn lines(headers: &HeaderMap) -> Box<[u8]> {
    let mut lines = b"HTTP/1.1 200 OK\r\n".to_vec();
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            lines.extend_from_slice(part);
        }
    }
    lines.into()
}

/// The headers of an answer, made or left in `place`, which is of this target alone. `modified` is what is said to be its
/// date.
pub(super) fn ready(
    target: &Target, answer: &Answer, modified: SystemTime, place: &ArcSwapOption<Ready>,
) -> Arc<Ready> {
    let is_at_hand = matches!(answer.found, Some(Found::Memory | Found::Disk));
    let how_long = Kept::of(target, answer.damaged);
    if is_at_hand
        && let Some(ready) = &*place.load()
        && ready.is_of(answer, modified, how_long)
    {
        return Arc::clone(ready);
    }
    let ready = Arc::new(Ready::new(target, answer, modified, how_long));
    if is_at_hand {
        place.store(Some(Arc::clone(&ready)));
    }
    ready
}

/// The answer to a request for an image. `place` is where the headers of this target's answer are left.
pub(super) fn respond(
    method: &Method, asked: &HeaderMap, target: &Target, answer: Answer, timing: bool, place: &ArcSwapOption<Ready>,
) -> Result<Response, Problem> {
    let modified = whole_seconds(answer.modified);
    let ready = ready(target, &answer, modified, place);
    let etag = ready.etag.to_str().unwrap_or_default();
    check_preconditions(asked, etag, modified)?;
    if is_unchanged(asked, etag, modified) {
        return Ok(not_modified(target, etag, modified, answer.damaged));
    }
    let length = answer.bytes.len();
    let range = asked.get(header::RANGE).and_then(|value| value.to_str().ok());
    let range = range.filter(|_| method == Method::GET && if_range_holds(asked, etag));
    let (status, bytes, content_range) = match range.map_or(Wanted::All, |range| ranges::wanted(range, length)) {
        Wanted::All => (StatusCode::OK, answer.bytes, None),
        Wanted::Part(part) => {
            let content_range = format!("bytes {}-{}/{length}", part.start, part.end - 1);
            (StatusCode::PARTIAL_CONTENT, answer.bytes.slice(part), Some(content_range))
        }
        Wanted::Unsatisfiable => return Err(Problem::range(length)),
    };
    let mut headers = ready.whole.clone();
    if let Some(content_range) = content_range {
        headers.insert(header::CONTENT_LENGTH, bytes.len().into());
        insert(&mut headers, header::CONTENT_RANGE, &content_range);
    }
    if timing {
        add_timing(&mut headers, &answer.timing);
    }
    let mut response = Response::new(if method == Method::HEAD { Body::empty() } else { Body::from(bytes) });
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if let Some(sealed) = answer.sealed {
        // for whoever sends it
        response.extensions_mut().insert(sealed);
    }
    Ok(response)
}

/// The answer with something else than was asked for, since there is no room to make that.
pub(super) fn respond_for_now(
    method: &Method, asked: &HeaderMap, target: &Target, stand_in: Answer, timing: bool,
) -> Result<Response, Problem> {
    let mut response = respond(method, asked, target, stand_in, timing, &ArcSwapOption::empty())?;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, FOR_NOW);
    headers.insert(CACHE_STATUS, HeaderValue::from_static("tintype; fwd=bypass; detail=overloaded"));
    // by its date it could not be told from what was asked for, and it is nothing of that width
    headers.remove(header::LAST_MODIFIED);
    headers.remove(header::CONTENT_LOCATION);
    Ok(response)
}

/// What a body is and how it may be used, whoever sends it.
pub(super) fn describe(
    headers: &mut HeaderMap, target: &Target, content: Content, found: Option<Found>, damaged: bool,
) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content.media_type()));
    insert(headers, header::CONTENT_DISPOSITION, &disposition(target, content));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CORP, HeaderValue::from_static("cross-origin"));
    insert(headers, CACHE_STATUS, &cache_status(found, damaged));
}

/// The strong validator of a body: equal wherever and whenever it was made.
pub(super) fn etag(digest: &Digest) -> String {
    format!("\"{}\"", digest.to_hex())
}

/// 304 repeats what a 200 would say about keeping and choosing it, and nothing about a body (RFC 9110 §15.4.5).
pub(super) fn not_modified(target: &Target, etag: &str, modified: SystemTime, damaged: bool) -> Response {
    // a body whose length is not known beforehand: one that is known to be empty would make a Content-Length
    // of 0 for HEAD, which is not the length of what would be sent (RFC 9110 §8.6)
    let mut response = Response::new(Body::new(http_body_util::StreamBody::new(NoFrames)));
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    add_validators(response.headers_mut(), target, etag, modified, damaged);
    response
}

/// A stream that ends at once and does not say so beforehand.
struct NoFrames;

impl Stream for NoFrames {
    type Item = Result<Frame<Bytes>, std::convert::Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}

/// What a 304 says as well as a 200 (RFC 9110 §15.4.5).
pub(super) fn add_validators(
    headers: &mut HeaderMap, target: &Target, etag: &str, modified: SystemTime, damaged: bool,
) {
    add_kept_validators(headers, target, etag, modified, Kept::of(target, damaged));
}

fn add_kept_validators(headers: &mut HeaderMap, target: &Target, etag: &str, modified: SystemTime, kept: Kept) {
    insert(headers, header::ETAG, etag);
    insert(headers, header::LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    insert(headers, header::CACHE_CONTROL, &kept.value());
    if target.negotiable {
        vary(headers);
    }
    if let Some(query) = &target.snapped {
        insert(headers, header::CONTENT_LOCATION, &format!("{}?{query}", encoded_path(&target.id)));
    }
}

/// Says that another Accept header may be answered otherwise.
pub(super) fn vary(headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("Accept"));
}

/// All Accept headers joined, as one would be read (RFC 9110 §5.3).
pub(super) fn accept(headers: &HeaderMap) -> Cow<'_, str> {
    let mut values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let Some(first) = values.next() else { return Cow::Borrowed("") };
    values.fold(Cow::Borrowed(first), |joined, next| Cow::Owned(format!("{joined},{next}")))
}

/// If-Match is compared strongly, and wins over If-Unmodified-Since (RFC 9110 §13.1.1, §13.1.4).
pub(super) fn check_preconditions(asked: &HeaderMap, etag: &str, modified: SystemTime) -> Result<(), Problem> {
    if asked.contains_key(header::IF_MATCH) {
        let values = asked.get_all(header::IF_MATCH).iter().filter_map(|value| value.to_str().ok());
        let matches = values.flat_map(entity_tags).any(|tag| tag == "*" || tag == etag);
        return if matches {
            Ok(())
        } else {
            Err(Problem::precondition("If-Match names another version of the image"))
        };
    }
    let since = asked.get(header::IF_UNMODIFIED_SINCE).and_then(|value| value.to_str().ok());
    match since.and_then(|date| httpdate::parse_http_date(date).ok()) {
        Some(since) if modified > since => Err(Problem::precondition("the original was changed since")),
        _ => Ok(()),
    }
}

/// If-None-Match wins over If-Modified-Since (RFC 9110 §13.2.2).
pub(super) fn is_unchanged(asked: &HeaderMap, etag: &str, modified: SystemTime) -> bool {
    if asked.contains_key(header::IF_NONE_MATCH) {
        let values = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        return values.flat_map(entity_tags).any(|tag| tag == "*" || weakly_equal(tag, etag));
    }
    let since = asked.get(header::IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    since.and_then(|date| httpdate::parse_http_date(date).ok()).is_some_and(|since| modified <= since)
}

/// The entity tags of a list; a comma within the quotes belongs to the tag (RFC 9110 §8.8.3).
pub(super) fn entity_tags(list: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    list.split(move |c| {
        if c == '"' {
            quoted = !quoted;
        }
        c == ',' && !quoted
    })
    .map(str::trim)
}

fn weakly_equal(a: &str, b: &str) -> bool {
    fn opaque(tag: &str) -> &str {
        tag.strip_prefix("W/").unwrap_or(tag)
    }
    opaque(a) == opaque(b)
}

/// A range is of the very bytes that the client has the rest of: strong comparison, and no date, since two versions
/// may have one second (RFC 9110 §13.1.5).
pub(super) fn if_range_holds(asked: &HeaderMap, etag: &str) -> bool {
    asked.get(header::IF_RANGE).is_none_or(|value| value.as_bytes() == etag.as_bytes())
}

/// HTTP dates have no fractions, and a picture must not look newer than its own date.
pub(super) fn whole_seconds(time: SystemTime) -> SystemTime {
    // nothing was changed later than now (RFC 9110 §8.8.2.1), whatever a camera's clock says
    let time = time.min(clock::now());
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// RFC 9211: where it came from.
fn cache_status(found: Option<Found>, damaged: bool) -> String {
    let status: String = match found {
        None => "tintype; fwd=bypass".into(),
        Some(Found::Memory | Found::Disk) => "tintype; hit".into(),
        Some(Found::Made { stored, collapsed }) => {
            let stored = if stored { "; stored" } else { "" };
            let collapsed = if collapsed { "; collapsed" } else { "" };
            format!("tintype; fwd=uri-miss{stored}{collapsed}")
        }
    };
    if damaged { status + "; detail=damaged" } else { status }
}

/// What the time went to, for whoever looks at the network in a browser.
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

/// RFC 6266: the name to save it under, with the extension of what it is.
fn disposition(target: &Target, content: Content) -> String {
    let (kind, name) = match &target.download {
        Some(name) => ("attachment", name.clone()),
        None => {
            let name = target.id.file_name();
            let (stem, own) = name.rsplit_once('.').unwrap_or((name, ""));
            // .jpeg says as much as .jpg
            let fits = Format::from_name(own).is_some_and(|format| Content::Image(format) == content);
            let extension = if fits { own } else { content.extension() };
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

/// What RFC 8187 lets stand in an extended value without encoding.
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

/// RFC 3986's unreserved characters stand for themselves in a path, as do the slashes between segments.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The path of an original in a URL.
pub(super) fn encoded_path(id: &ImageId) -> String {
    id.as_str().split('/').map(|segment| format!("/{}", utf8_percent_encode(segment, SEGMENT))).collect()
}

/// Inserts a value that is made of visible ASCII by construction.
pub(super) fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str, download: Option<&str>) -> Target {
        Target {
            id: ImageId::parse(path).expect("a name"),
            recipe: None,
            negotiable: false,
            snapped: None,
            download: download.map(str::to_owned),
            immutable: false,
            expires: None,
        }
    }

    #[test]
    fn dispositions() {
        let check = |path: &str, download: Option<&str>, expected: &str| {
            assert_eq!(disposition(&target(path, download), Content::Image(Format::WebP)), expected);
        };
        check("/cats/tom.jpg", None, "inline; filename=\"tom.webp\"");
        check("/tom", None, "inline; filename=\"tom.webp\"");
        check("/tom.tar.gz", None, "inline; filename=\"tom.tar.webp\"");
        check("/a%22b.jpg", None, "inline; filename=\"a_b.webp\"; filename*=UTF-8''a%22b.webp");
        check("/caf%C3%A9.jpg", None, "inline; filename=\"caf_.webp\"; filename*=UTF-8''caf%C3%A9.webp");
        check("/a.jpg", Some("my photo.jpg"), "attachment; filename=\"my photo.jpg\"");
        let own = |path: &str| disposition(&target(path, None), Content::Image(Format::Jpeg));
        assert_eq!(own("/a.JPEG"), "inline; filename=\"a.JPEG\"");
        assert_eq!(own("/jpeg"), "inline; filename=\"jpeg.jpg\"");
    }

    #[test]
    fn nobody_keeps_what_has_expired() {
        for (immutable, left, expected) in [
            (false, u64::MAX, FRESH),
            (false, 691_200, FRESH),
            (false, 691_199, "public, max-age=86400, no-transform"),
            (false, 86_399, "public, max-age=86399, no-transform"),
            (false, 0, "public, max-age=0, no-transform"),
            (true, u64::MAX, IMMUTABLE),
            (true, 31_536_000, IMMUTABLE),
            (true, 31_535_999, "public, max-age=31535999, no-transform"),
        ] {
            assert_eq!(Kept::within(immutable, left).value(), expected);
        }
    }

    #[test]
    fn conditions() {
        let modified = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
        let check = |name: HeaderName, value: &str, expected: bool| {
            let asked = HeaderMap::from_iter([(name, HeaderValue::from_str(value).expect("a value"))]);
            assert_eq!(is_unchanged(&asked, "\"abc\"", modified), expected, "{value}");
        };
        check(header::IF_NONE_MATCH, "\"abc\"", true);
        check(header::IF_NONE_MATCH, "W/\"abc\"", true);
        check(header::IF_NONE_MATCH, "\"x\", \"a,b\" , \"abc\"", true);
        check(header::IF_NONE_MATCH, "*", true);
        check(header::IF_NONE_MATCH, "\"abd\"", false);
        check(header::IF_NONE_MATCH, "abc", false);
        check(header::IF_NONE_MATCH, "\"x,*\"", false);
        check(header::IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:37 GMT", true);
        check(header::IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:38 GMT", true);
        check(header::IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT", false);
        check(header::IF_MODIFIED_SINCE, "yesterday", false);
        let both = HeaderMap::from_iter([
            (header::IF_NONE_MATCH, HeaderValue::from_static("\"x\"")),
            (header::IF_MODIFIED_SINCE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT")),
        ]);
        assert!(!is_unchanged(&both, "\"abc\"", modified));
    }
}
