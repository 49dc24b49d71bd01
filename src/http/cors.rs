//! Cross-origin resource sharing: the origins whose pages may read answers with a script.
//!
//! Images do not go through tower's layers, and the fast path has no response that a layer could change. So
//! [`AllowOrigin::apply`] adds the headers to a response, and [`AllowOrigin::write`] to a head that is already written; a test
//! checks that both give the same bytes.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use memchr::memmem;

/// The headers that a page may read in addition to the CORS-safelisted ones.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("ETag, Cache-Status, Content-Length, Server-Timing, X-Request-Id");
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");
static ANY: HeaderValue = HeaderValue::from_static("*");
const VARY: HeaderValue = HeaderValue::from_static("Origin");
/// How long a browser may cache the answer to a preflight, in seconds: the longest that any browser does.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// The setting `server.allow_origin`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowOrigin {
    /// No origin: no header is sent.
    Off,
    /// Every origin. Credentials are never allowed.
    #[default]
    Any,
    /// These origins; answers vary by `Origin`.
    List(Vec<HeaderValue>),
}

/// An invalid origin in the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrigin {
    /// Not an origin.
    #[error(
        "{0:?} is not an origin such as \"https://www.example.com\": scheme, host and, unless it is the default, port"
    )]
    Form(String),
    /// An origin in another spelling than that of browsers, with which it is compared.
    #[error("browsers write {0:?} as {1:?}")]
    Spelling(String, String),
    /// The origin of all sandboxed and local pages.
    #[error("\"null\" is the origin of every sandboxed page; \"*\" allows these and all others")]
    Null,
    /// Every origin, together with others.
    #[error("\"*\" allows every origin, and cannot be combined with others")]
    AnyAndOthers,
}

impl AllowOrigin {
    /// Parses a list of origins; `*` alone is every origin.
    ///
    /// # Errors
    /// The first invalid one.
    pub fn new(origins: &[String]) -> Result<AllowOrigin, InvalidOrigin> {
        match origins {
            [] => Ok(AllowOrigin::Off),
            [any] if any == "*" => Ok(AllowOrigin::Any),
            several => several.iter().map(|origin| parse(origin)).collect::<Result<_, _>>().map(AllowOrigin::List),
        }
    }

    pub(super) fn is_on(&self) -> bool {
        *self != AllowOrigin::Off
    }

    /// Adds the headers to an answer: those for the page of `origin`, and `Vary: Origin`.
    pub(super) fn apply(&self, headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
        if let AllowOrigin::List(_) = self {
            // one line, in the place of the existing one: some caches look at one line only
            let vary = match headers.get(header::VARY).map(HeaderValue::to_str) {
                Some(Ok(vary)) => HeaderValue::try_from(format!("{vary}, Origin")).unwrap_or(VARY),
                _ => VARY,
            };
            headers.insert(header::VARY, vary);
        }
        let Some(granted) = self.granted(origin.map(HeaderValue::as_bytes)) else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, granted.clone());
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        headers.insert(TIMING_ALLOW_ORIGIN, granted.clone());
    }

    /// Extends the line `vary` of a written head by `Origin`; returns whether there is such a line.
    pub(super) fn extend_vary(&self, head: &mut Vec<u8>) -> bool {
        let AllowOrigin::List(_) = self else { return false };
        let Some(at) = memmem::find(head, b"\r\nvary: ") else { return false };
        let value = at + b"\r\nvary: ".len();
        let Some(length) = memmem::find(&head[value..], b"\r\n") else { return false };
        let end = value + length;
        head.splice(end..end, *b", Origin");
        true
    }

    /// Adds the other lines of [`AllowOrigin::apply`] to a written head; `is_extended` is what
    /// [`AllowOrigin::extend_vary`] returned.
    pub(super) fn write(&self, head: &mut Vec<u8>, is_extended: bool, origin: Option<&str>) {
        if matches!(self, AllowOrigin::List(_)) && !is_extended {
            line(head, &header::VARY, &VARY);
        }
        let Some(granted) = self.granted(origin.map(str::as_bytes)) else { return };
        line(head, &header::ACCESS_CONTROL_ALLOW_ORIGIN, granted);
        line(head, &header::ACCESS_CONTROL_EXPOSE_HEADERS, &EXPOSED);
        line(head, &TIMING_ALLOW_ORIGIN, granted);
    }

    /// Adds the headers to the answer to a preflight (Fetch standard, §3.3.3), which allows any request headers.
    pub(super) fn apply_to_preflight(&self, headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
        self.apply(headers, origin);
        if self.granted(origin.map(HeaderValue::as_bytes)).is_none() {
            return;
        }
        headers.remove(header::ACCESS_CONTROL_EXPOSE_HEADERS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ANY.clone());
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }

    /// The value of `Access-Control-Allow-Origin` for a page of that origin.
    fn granted(&self, origin: Option<&[u8]>) -> Option<&HeaderValue> {
        match self {
            AllowOrigin::Off => None,
            AllowOrigin::Any => Some(&ANY),
            AllowOrigin::List(origins) => origins.iter().find(|allowed| Some(allowed.as_bytes()) == origin),
        }
    }
}

/// The value of `Origin`; `None` if there are several.
pub(super) fn origin(request_headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut origins = request_headers.get_all(header::ORIGIN).iter();
    origins.next().filter(|_| origins.next().is_none())
}

fn line(head: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        head.extend_from_slice(part);
    }
}

/// Parses an origin as browsers serialise it (RFC 6454 §6.2): in lower case, without a default port and without a path.
fn parse(text: &str) -> Result<HeaderValue, InvalidOrigin> {
    let form = || InvalidOrigin::Form(text.to_owned());
    match text {
        "*" => return Err(InvalidOrigin::AnyAndOthers),
        "null" => return Err(InvalidOrigin::Null),
        _ => {}
    }
    let lower = text.to_ascii_lowercase();
    let (scheme, rest) = lower.split_once("://").ok_or_else(form)?;
    let host = rest.strip_suffix('/').unwrap_or(rest);
    let host = match scheme {
        "http" => host.strip_suffix(":80").unwrap_or(host),
        "https" => host.strip_suffix(":443").unwrap_or(host),
        _ => host,
    };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme || !super::host::is_host(host.as_bytes()) || host.ends_with(':') {
        return Err(form());
    }
    let canonical = format!("{scheme}://{host}");
    if canonical != text {
        return Err(InvalidOrigin::Spelling(text.to_owned(), canonical));
    }
    HeaderValue::from_str(text).map_err(|_| form())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_in_another_spelling_is_refused() {
        let parse = |texts: &[&str]| AllowOrigin::new(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(parse(&[]), Ok(AllowOrigin::Off));
        assert_eq!(parse(&["*"]), Ok(AllowOrigin::Any));
        for good in [
            "https://a.example",
            "http://localhost:3000",
            "https://[2001:db8::1]:8443",
            "capacitor://localhost",
            "chrome-extension://abcdef",
            "http://192.0.2.1",
        ] {
            assert_eq!(parse(&[good]), Ok(AllowOrigin::List(vec![good.parse().expect("a value")])), "{good}");
        }
        for (spelling, canonical) in [
            ("https://A.example", "https://a.example"),
            ("https://a.example/", "https://a.example"),
            ("https://a.example:443", "https://a.example"),
            ("http://a.example:80/", "http://a.example"),
        ] {
            let error = InvalidOrigin::Spelling(spelling.into(), canonical.into());
            assert_eq!(parse(&["https://b.example", spelling]), Err(error));
        }
        for wrong in [
            "",
            "a.example",
            "https://",
            "https:///",
            "https://a b",
            "https://u@a.example",
            "https://a.example/b",
            "://a",
        ] {
            assert_eq!(parse(&[wrong]), Err(InvalidOrigin::Form(wrong.into())));
        }
        assert_eq!(parse(&["null"]), Err(InvalidOrigin::Null));
        assert_eq!(parse(&["https://a.example", "*"]), Err(InvalidOrigin::AnyAndOthers));
    }

    #[test]
    fn apply_and_write_give_the_same_bytes() {
        let list = AllowOrigin::List(vec!["https://a.example".parse().expect("a value")]);
        for allowed in [AllowOrigin::Off, AllowOrigin::Any, list] {
            for vary in [None, Some("Accept")] {
                for origin in [None, Some("https://a.example"), Some("https://b.example"), Some("null")] {
                    let mut headers = HeaderMap::new();
                    headers.insert(header::ETAG, HeaderValue::from_static("\"vary: Accept\""));
                    vary.map(|vary| headers.insert(header::VARY, HeaderValue::from_static(vary)));
                    headers.insert(header::AGE, HeaderValue::from_static("1"));
                    let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
                    headers.iter().for_each(|(name, value)| line(&mut head, name, value));
                    let is_extended = allowed.extend_vary(&mut head);
                    allowed.write(&mut head, is_extended, origin);
                    allowed.apply(&mut headers, origin.map(HeaderValue::from_static).as_ref());
                    let mut expected = b"HTTP/1.1 200 OK\r\n".to_vec();
                    headers.iter().for_each(|(name, value)| line(&mut expected, name, value));
                    let (head, expected) = (String::from_utf8_lossy(&head), String::from_utf8_lossy(&expected));
                    assert_eq!(head, expected, "{allowed:?} {origin:?}");
                }
            }
        }
    }

    #[test]
    fn several_origins_are_ignored() {
        let headers =
            |count| std::iter::repeat_n((header::ORIGIN, HeaderValue::from_static("https://a.example")), 2).take(count);
        assert_eq!(origin(&headers(0).collect()), None);
        assert_eq!(origin(&headers(1).collect()), Some(&HeaderValue::from_static("https://a.example")));
        assert_eq!(origin(&headers(2).collect()), None);
    }
}
