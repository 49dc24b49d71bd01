//! Reads a request's head as far as the fast path needs it.

use super::super::conditions::entity_tags;
use super::super::host::is_host;
use super::super::request_id::{self, X_REQUEST_ID};
use crate::dialect::Hints;
use crate::dialect::hints::HEADERS;

/// Headers of a request on the fast path at most; browsers and proxies together send half as many.
pub(super) const MAX_HEADERS: usize = 64;

/// The kind of a request's head.
pub(super) enum Head<'a> {
    /// A GET that the fast path may answer.
    Plain(PlainRequest<'a>),
    /// A GET or HEAD without a body: the next request begins right behind it.
    Bodiless,
    /// Anything else: an incomplete head, more than one, or one that may have a body.
    Other,
}

/// A GET that the fast path may answer.
#[derive(Default)]
pub(super) struct PlainRequest<'a> {
    /// Path and query as they were sent.
    pub(super) target: &'a str,
    pub(super) accept: &'a str,
    pub(super) hints: Hints,
    /// The client's `X-Request-Id` if it is valid.
    pub(super) id: Option<&'a str>,
    /// The lines of the header that names the client, in their order; `None` for one that is not text.
    pub(super) forwarded: Vec<Option<&'a str>>,
    pub(super) origin: Option<&'a str>,
    if_none_match: Option<&'a str>,
    pub(super) if_modified_since: Option<&'a str>,
}

impl<'a> PlainRequest<'a> {
    /// The entity tags of `If-None-Match`; `None` where it is absent.
    pub(super) fn if_none_match(&self) -> Option<impl Iterator<Item = &'a str>> {
        self.if_none_match.map(entity_tags)
    }

    /// Whether the answer may be a 304.
    pub(super) fn is_conditional(&self) -> bool {
        self.if_none_match.is_some() || self.if_modified_since.is_some()
    }
}

/// Reads `input`, which arrived between two requests. `forwarded` is the name of the header that names the client.
///
/// The parser is hyper's, and what it refuses is `Other`: both paths read the same heads in the same way.
pub(super) fn read<'a>(input: &'a [u8], forwarded: &str) -> Head<'a> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(input) {
        Ok(httparse::Status::Complete(length)) if length == input.len() => {}
        _ => return Head::Other,
    }
    let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version) else {
        return Head::Other;
    };
    if !matches!(method, "GET" | "HEAD") {
        return Head::Other;
    }
    let mut plain = PlainRequest { target, ..PlainRequest::default() };
    let mut once = Once::default();
    let mut is_plain = method == "GET";
    let mut hints = [None; HEADERS.len()];
    for httparse::Header { name, value } in &*request.headers {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        // a header that is not text is left to the slow path
        let mut text = |place: &mut Option<&'a str>| {
            *place = visible(value);
            is_plain &= place.is_some();
        };
        if is("host") {
            is_plain &= once.is_first(Once::HOST) && is_host(value);
        } else if is("accept") {
            let mut accept = None;
            text(&mut accept);
            plain.accept = accept.unwrap_or_default();
            is_plain &= once.is_first(Once::ACCEPT);
        } else if is("content-length") || is("transfer-encoding") || is("upgrade") {
            return Head::Other;
        } else if is("connection") {
            is_plain &= value.eq_ignore_ascii_case(b"keep-alive");
        } else if is("if-none-match") {
            text(&mut plain.if_none_match);
            is_plain &= once.is_first(Once::IF_NONE_MATCH);
        } else if is("if-modified-since") {
            text(&mut plain.if_modified_since);
            is_plain &= once.is_first(Once::IF_MODIFIED_SINCE);
        } else if is("range") || is("expect") || name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("if-")) {
            is_plain = false;
        } else if is(X_REQUEST_ID.as_str()) {
            plain.id = visible(value).filter(|id| request_id::is_valid(id.as_bytes()));
            is_plain &= once.is_first(Once::REQUEST_ID);
        } else if is("origin") {
            text(&mut plain.origin);
            is_plain &= once.is_first(Once::ORIGIN);
        } else if let Some(index) = Hints::index(name) {
            // the first line, as on the slow path
            hints[index].get_or_insert(*value);
        }
        if is(forwarded) {
            plain.forwarded.push(visible(value));
        }
    }
    plain.hints = Hints::parse(hints);
    if is_plain && once.has(Once::HOST) { Head::Plain(plain) } else { Head::Bodiless }
}

/// The headers that were there, of those that may be there once.
#[derive(Default)]
struct Once(u8);

impl Once {
    const HOST: u8 = 1;
    const ACCEPT: u8 = 2;
    const IF_NONE_MATCH: u8 = 4;
    const IF_MODIFIED_SINCE: u8 = 8;
    const REQUEST_ID: u8 = 16;
    const ORIGIN: u8 = 32;

    fn has(&self, header: u8) -> bool {
        self.0 & header != 0
    }

    fn is_first(&mut self, header: u8) -> bool {
        let is_first = !self.has(header);
        self.0 |= header;
        is_first
    }
}

/// A value as text, by the rule of `HeaderValue::to_str`.
fn visible(value: &[u8]) -> Option<&str> {
    let is_visible = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    std::str::from_utf8(value).ok().filter(|text| text.as_bytes().iter().all(is_visible))
}
