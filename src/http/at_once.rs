//! The shortest way to a rendition in memory: from the bytes of a request's head to those of its answer's.
//!
//! hyper and what is built on it take a third of the time of a hit, for what most requests have none of. Here only those
//! are answered that are nothing but a GET of a URL that was read before, for a rendition that is in memory. All others
//! are left to [`App::answer`], whose answers these equal: what is said of a picture, what is counted and what is logged
//! are made by the same functions.

use std::cell::RefCell;
use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::{StatusCode, header};

use super::access::{self, Entry};
use super::host::is_host;
use super::traffic::Outcome;
use super::{App, X_REQUEST_ID, headers, is_plain_id, make_up_id};
use crate::cache::Sealed;
use crate::clock;
use crate::service::Payload;

/// The most headers of a request that is answered here; browsers and proxies together send half as many.
const HEADERS: usize = 64;

/// What a request's head turned out to be.
pub(super) enum Head<'a> {
    /// A GET that asks for nothing but a picture.
    Plain(Plain<'a>),
    /// A GET or HEAD that has no body, so that the next request begins right behind it.
    Bodiless,
    /// Anything else: less than a head, more than one, or one that may have a body.
    Other,
}

/// What a plain request asks.
pub(super) struct Plain<'a> {
    /// Path and query.
    target: &'a str,
    accept: &'a str,
    id: Option<&'a str>,
    /// The lines of the header with the client's address, in their order; `None` for one that is no text.
    said: Vec<Option<&'a str>>,
    /// Where the page is from that asks.
    origin: Option<&'a str>,
}

/// The body of an answer whose head was written.
pub(super) struct Body {
    /// All of it.
    pub(super) bytes: Bytes,
    /// The file that it is, where it is kept in one.
    pub(super) sealed: Option<Sealed>,
}

impl App {
    /// Reads what came over a connection between two requests.
    ///
    /// The parser is hyper's, and what it does not take is `Other`; so no head means one thing here and another there.
    pub(super) fn read_head<'a>(&self, came: &'a [u8]) -> Head<'a> {
        let mut space = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut space);
        match request.parse(came) {
            Ok(httparse::Status::Complete(length)) if length == came.len() => {}
            _ => return Head::Other,
        }
        let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version) else {
            return Head::Other;
        };
        if !matches!(method, "GET" | "HEAD") {
            return Head::Other;
        }
        let mut plain = Plain { target, accept: "", id: None, said: Vec::new(), origin: None };
        let (mut hosts, mut accepts, mut ids, mut origins) = (0, 0, 0, 0);
        let mut is_plain = method == "GET";
        let forwarded = self.routes.proxies.header().as_str();
        for httparse::Header { name, value } in &*request.headers {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            if is("host") {
                hosts += 1;
                is_plain &= is_host(value);
            } else if is("accept") {
                accepts += 1;
                match visible(value) {
                    Some(accept) => plain.accept = accept,
                    None => is_plain = false,
                }
            } else if is("content-length") || is("transfer-encoding") || is("upgrade") {
                return Head::Other;
            } else if is("connection") {
                is_plain &= value.eq_ignore_ascii_case(b"keep-alive");
            } else if is("range")
                || is("expect")
                || name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("if-"))
            {
                is_plain = false;
            } else if is(X_REQUEST_ID.as_str()) {
                ids += 1;
                plain.id = visible(value).filter(|id| is_plain_id(id.as_bytes()));
            } else if is("origin") {
                origins += 1;
                plain.origin = visible(value);
                is_plain &= plain.origin.is_some();
            }
            if is(forwarded) {
                plain.said.push(visible(value));
            }
        }
        let is_plain = is_plain && hosts == 1 && [accepts, ids, origins].iter().all(|&count| count <= 1);
        if is_plain { Head::Plain(plain) } else { Head::Bodiless }
    }

    /// The answer to a plain request, if it is a rendition that is in memory; `head` is then what is sent before its body.
    pub(super) fn at_once(&self, plain: &Plain<'_>, head: &mut Vec<u8>) -> Option<Body> {
        let state = self.routes.images.as_ref().filter(|state| state.x_accel.is_none())?;
        let started = Instant::now();
        let now = clock::seconds();
        let rules = state.rules.load();
        if rules.config.server_timing {
            return None;
        }
        let read = rules.known.recall(plain.target, plain.accept, now)?;
        let target = &read.target;
        let answer = state.service.in_memory(&rules.settings, &target.id, target.recipe.as_ref()?, &read.key)?;
        let ready = headers::ready(target, &answer, headers::whole_seconds(answer.modified), &read.ready);
        let Payload::Memory { bytes, sealed } = answer.payload else { return None };

        head.clear();
        head.extend_from_slice(ready.lines());
        let varies_by_origin = rules.config.allow_origin.extend_vary(head);
        head.extend_from_slice(X_REQUEST_ID.as_str().as_bytes());
        head.extend_from_slice(b": ");
        let id = head.len();
        match plain.id {
            Some(id) => head.extend_from_slice(id.as_bytes()),
            None => make_up_id(head),
        }
        let id = id..head.len();
        head.extend_from_slice(b"\r\n");
        rules.config.allow_origin.write(head, varies_by_origin, plain.origin);
        head.extend_from_slice(header::DATE.as_str().as_bytes());
        head.extend_from_slice(b": ");
        date(head, now);
        head.extend_from_slice(b"\r\n\r\n");

        state.traffic.fast_path.fetch_add(1, Ordering::Relaxed);
        state.traffic.count_unknown(read.unknown);
        state.traffic.answered(started, StatusCode::OK, Outcome::of(answer.found), bytes.len() as u64);
        if access::is_wanted() {
            let (path, query) = plain.target.split_once('?').unwrap_or((plain.target, ""));
            let entry = Entry {
                id: std::str::from_utf8(&head[id]).unwrap_or("-"),
                client: self.routes.proxies.client_by(self.peer, plain.said.iter().copied()),
                method: "GET",
                path,
                query,
                status: StatusCode::OK,
                fields: ready.whole(),
                spent: started.elapsed(),
            };
            entry.write(self.routes.access.as_deref());
        }
        Some(Body { bytes, sealed })
    }
}

/// A value as text, where `HeaderValue::to_str` gives one.
fn visible(value: &[u8]) -> Option<&str> {
    let is_visible = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    std::str::from_utf8(value).ok().filter(|text| text.as_bytes().iter().all(is_visible))
}

/// Writes that moment, in unix seconds, as answers say when they were made (RFC 9110 §6.6.1).
fn date(out: &mut Vec<u8>, now: u64) {
    thread_local! {
        /// The second that was written last, and how it is written.
        static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != now {
            text.clear();
            let moment = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(now);
            // writing to memory does not fail
            let _ = write!(text, "{}", httpdate::HttpDate::from(moment));
            *second = now;
        }
        out.extend_from_slice(text.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Request;
    use http_body_util::BodyExt;

    use super::*;
    use crate::cache::Config as CacheConfig;
    use crate::dialect::{Config as PolicyConfig, Policy, Snap};
    use crate::http::{Config, State, app};
    use crate::render::Settings;
    use crate::render::recipe::Quality;
    use crate::service::{Service, workers};
    use crate::source::Files;

    const TARGET: &str = "/generated/alpha.png?width=20";

    /// What answers from testdata.
    fn site(config: Config) -> (App, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");
        let cache = CacheConfig {
            dir: Some(folder.path().to_owned()),
            max_bytes: 1 << 20,
            max_files: 100,
            min_free: 0,
            memory: 1 << 20,
        };
        let deadline = std::time::Duration::from_secs(60);
        let workers = workers::Config { workers: 1, queue: 4, memory: 1 << 26, deadline, decoded: 0 };
        let policy = PolicyConfig {
            quality: Quality::new(80).expect("a quality"),
            formats: Vec::new(),
            max_dimension: 1000,
            widths: Vec::new(),
            snap: Snap::Off,
            reject_unknown: false,
            presets: Default::default(),
            keys: Default::default(),
            require_signature: false,
        };
        let policy = Policy::new(policy).expect("no presets");
        let source = Arc::new(Files::new(root.as_ref(), 1 << 20).expect("testdata"));
        let service = Service::new(source, &cache, workers, Settings::default());
        (app(State::new(service, policy, config)), folder)
    }

    /// The answer of the long way, as it would be sent, with a date of its own.
    async fn answer(app: &App, target: &str, id: &str) -> (String, Bytes) {
        let request = Request::get(target).header("host", "test").header(X_REQUEST_ID, id);
        let response = app.answer(request.body(axum::body::Body::empty()).expect("a request")).await;
        let (parts, body) = response.into_parts();
        let mut head = format!("HTTP/1.1 {}\r\n", parts.status);
        for (name, value) in &parts.headers {
            let _ = write!(head, "{name}: {}\r\n", value.to_str().expect("text"));
        }
        (head, body.collect().await.expect("a body").to_bytes())
    }

    fn ask(app: &App, head: &str) -> Option<(String, Body)> {
        let Head::Plain(plain) = app.read_head(head.as_bytes()) else { panic!("not plain: {head}") };
        let mut answer = Vec::new();
        let body = app.at_once(&plain, &mut answer)?;
        Some((String::from_utf8(answer).expect("text"), body))
    }

    #[tokio::test]
    async fn what_is_in_memory_is_answered_as_by_the_long_way() {
        let (app, _folder) = site(Config::default());
        let head = format!("GET {TARGET} HTTP/1.1\r\nHost: test\r\nX-Request-Id: mine\r\n\r\n");
        assert!(ask(&app, &head).is_none(), "it was never asked for");
        let (made, bytes) = answer(&app, TARGET, "mine").await;
        assert!(made.starts_with("HTTP/1.1 200") && made.contains("fwd=uri-miss"), "{made}");
        // twice by the long way as well: who asks first puts the headers together
        for _ in 0..3 {
            let (long, _) = answer(&app, TARGET, "mine").await;
            let (short, body) = ask(&app, &head).expect("in memory");
            let (beginning, date) = short.rsplit_once("date: ").expect("a date");
            assert_eq!((beginning, &body.bytes), (long.as_str(), &bytes));
            assert!(httpdate::parse_http_date(date.strip_suffix("\r\n\r\n").expect("an end")).is_ok(), "{date}");
        }
        // another Accept header, another URL
        let other = head.replace("X-Request-Id: mine", "Accept: image/*");
        assert!(ask(&app, &other).is_none());
        assert!(ask(&app, &head.replace("width=20", "width=0020")).is_none());
        let made_up = ask(&app, &head.replace("mine", "not plain")).expect("in memory").0;
        assert!(!made_up.contains("not plain") && made_up.contains("x-request-id: "), "{made_up}");
    }

    #[tokio::test]
    async fn what_the_settings_change_is_left_to_the_long_way() {
        for config in [
            Config { server_timing: true, ..Config::default() },
            Config { x_accel: "/files".into(), ..Config::default() },
        ] {
            let (app, _folder) = site(config);
            answer(&app, TARGET, "a").await;
            answer(&app, TARGET, "a").await;
            assert!(ask(&app, &format!("GET {TARGET} HTTP/1.1\r\nHost: test\r\n\r\n")).is_none());
        }
    }

    #[test]
    fn heads_and_what_they_are() {
        #[derive(Debug, PartialEq)]
        enum Is {
            Plain,
            Bodiless,
            Other,
        }
        use Is::{Bodiless, Other, Plain};
        let (app, _folder) = site(Config::default());
        let check = |text: &str, expected: Is| {
            let is = match app.read_head(text.as_bytes()) {
                Head::Plain(_) => Plain,
                Head::Bodiless => Bodiless,
                Head::Other => Other,
            };
            assert_eq!(is, expected, "{text:?}");
        };
        let with = |headers: &str, expected: Is| {
            check(&format!("GET /a.png?width=1 HTTP/1.1\r\nHost: a\r\n{headers}\r\n"), expected);
        };
        for plain in [
            "",
            "Accept: image/webp\r\n",
            "accept:*/*\r\nUser-Agent: x\r\nCOOKIE: \u{e9}\r\n",
            "Connection: Keep-Alive\r\n",
            "X-Request-Id: a b\r\n",
            "X-Forwarded-For: 1.2.3.4\r\nx-forwarded-for: \u{e9}\r\n",
            "If: x\r\n",
        ] {
            with(plain, Plain);
        }
        for bodiless in [
            "Range: bytes=0-1\r\n",
            "If-None-Match: *\r\n",
            "iF-rAnGe: x\r\n",
            "If-Modified-Since: x\r\n",
            "Expect: 100-continue\r\n",
            "Connection: close\r\n",
            "Connection: keep-alive, x\r\n",
            "Accept: a\r\nAccept: b\r\n",
            "Accept: \u{e9}\r\n",
            "X-Request-Id: a\r\nX-Request-Id: b\r\n",
            "Host: b\r\n",
        ] {
            with(bodiless, Bodiless);
        }
        for other in [
            "Content-Length: 0\r\n",
            "content-length: 5\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Upgrade: h2c\r\n",
            "X\r\n",
            "X : y\r\n",
            " X: y\r\n",
            "X: a\rb\r\n",
            "X: a\0\r\n",
        ] {
            with(other, Other);
        }
        with(&"X: y\r\n".repeat(HEADERS), Other);
        check("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", Bodiless);
        check("GET / HTTP/1.1\r\n\r\n", Bodiless);
        for other in [
            "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
            "get / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nG",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r",
            "",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            check(other, Other);
        }
    }
}
