//! Renditions in memory are answered as by the slow path; `tests/it/fast_path.rs` compares all kinds of requests over sockets.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, Request};
use http_body_util::BodyExt;

use super::answer::{self, Body};
use super::head::{self, Head, MAX_HEADERS};
use crate::cache::Config as CacheConfig;
use crate::dialect::{Config as PolicyConfig, Policy, policy};
use crate::http::request_id::X_REQUEST_ID;
use crate::http::{AllowOrigin, App, Config, LiveConfig, State, app};
use crate::render::Settings;
use crate::render::recipe::Quality;
use crate::service::{Service, workers};
use crate::source::Files;

const TARGET: &str = "/generated/alpha.png?width=20";

/// A server of testdata.
fn site(config: Config, change: impl FnOnce(&mut LiveConfig)) -> (App, tempfile::TempDir) {
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
    let workers = workers::Config { workers: 1, queue: 4, memory: 1 << 26, deadline, decode_cache: 0 };
    let quality = Quality::new(80).expect("a quality");
    let policy = PolicyConfig { quality, formats: Vec::new(), max_dimension: 1000, ..policy::tests::config() };
    let policy = Policy::new(policy).expect("no presets");
    let source = Arc::new(Files::new(root.as_ref(), 1 << 20).expect("testdata"));
    let service = Service::new(source, &cache, workers, Settings::default());
    let mut live = LiveConfig {
        policy,
        fast_path: true,
        server_timing: false,
        overload_fallback: false,
        fallback: None,
        admin_token: String::new(),
        allow_origin: AllowOrigin::default(),
    };
    change(&mut live);
    (app(State::new(service, config, live)), folder)
}

/// The answer of the slow path as it is sent, but for `Date`.
async fn slow(app: &App, headers: &[(HeaderName, &str)]) -> (String, Bytes) {
    let mut request = Request::get(TARGET).header("host", "test").header(X_REQUEST_ID, "mine");
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let response = app.answer(request.body(axum::body::Body::empty()).expect("a request")).await;
    let (parts, body) = response.into_parts();
    let mut head = format!("HTTP/1.1 {}\r\n", parts.status);
    for (name, value) in &parts.headers {
        let _ = write!(head, "{name}: {}\r\n", value.to_str().expect("text"));
    }
    (head, body.collect().await.expect("a body").to_bytes())
}

/// The answer of the fast path, if it has one.
fn fast(app: &App, head: &str) -> Option<(String, Body)> {
    let Head::Plain(request) = head::read(head.as_bytes(), "x-forwarded-for") else { panic!("not plain: {head}") };
    let mut answer = Vec::new();
    let body = answer::answer(app, &request, &mut answer)?;
    Some((String::from_utf8(answer).expect("text"), body))
}

#[tokio::test]
async fn rendition_in_memory_is_answered_as_by_the_slow_path() {
    let (app, _folder) = site(Config::default(), |_| {});
    let head = format!("GET {TARGET} HTTP/1.1\r\nHost: test\r\nX-Request-Id: mine\r\n\r\n");
    assert!(fast(&app, &head).is_none(), "not rendered yet");
    let (rendered, bytes) = slow(&app, &[]).await;
    assert!(rendered.starts_with("HTTP/1.1 200") && rendered.contains("fwd=uri-miss"), "{rendered}");
    let etag = rendered.split("etag: ").nth(1).and_then(|rest| rest.split("\r\n").next()).expect("an ETag");
    let modified = rendered.split("last-modified: ").nth(1).and_then(|rest| rest.split("\r\n").next()).expect("a date");
    // several times: the first one prepares the headers
    for _ in 0..3 {
        for (name, value, is_unchanged) in [
            (http::header::ACCEPT, "", false),
            (http::header::IF_NONE_MATCH, etag, true),
            (http::header::IF_NONE_MATCH, "\"other\"", false),
            (http::header::IF_MODIFIED_SINCE, modified, true),
            (http::header::IF_MODIFIED_SINCE, "Thu, 01 Jan 1970 00:00:00 GMT", false),
        ] {
            let (expected, expected_body) = slow(&app, &[(name.clone(), value)]).await;
            let with_header = head.replace("X-Request-Id", &format!("{name}: {value}\r\nX-Request-Id"));
            let (answer, body) = fast(&app, &with_header).expect("in memory");
            let (answer, date) = answer.rsplit_once("date: ").expect("a date");
            assert_eq!((answer, &body.bytes), (expected.as_str(), &expected_body), "{name}: {value}");
            assert_eq!(body.bytes, if is_unchanged { Bytes::new() } else { bytes.clone() }, "{name}: {value}");
            assert!(httpdate::parse_http_date(date.strip_suffix("\r\n\r\n").expect("an end")).is_ok(), "{date}");
        }
    }
    // another Accept header, another URL
    assert!(fast(&app, &head.replace("X-Request-Id: mine", "Accept: image/*")).is_none());
    assert!(fast(&app, &head.replace("width=20", "width=0020")).is_none());
    let generated = fast(&app, &head.replace("mine", "not valid")).expect("in memory").0;
    assert!(!generated.contains("not valid") && generated.contains("x-request-id: "), "{generated}");
}

#[tokio::test]
async fn settings_leave_requests_to_the_slow_path() {
    for (app, _folder) in [
        site(Config::default(), |live| live.fast_path = false),
        site(Config::default(), |live| live.server_timing = true),
        site(Config { x_accel: "/files".into(), ..Config::default() }, |_| {}),
    ] {
        slow(&app, &[]).await;
        slow(&app, &[]).await;
        assert!(fast(&app, &format!("GET {TARGET} HTTP/1.1\r\nHost: test\r\n\r\n")).is_none());
    }
}

#[test]
fn kinds_of_heads() {
    #[derive(Debug, PartialEq)]
    enum Is {
        Plain,
        Bodiless,
        Other,
    }
    use Is::{Bodiless, Other, Plain};
    let check = |text: &str, expected: Is| {
        let is = match head::read(text.as_bytes(), "x-forwarded-for") {
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
        "If-None-Match: *\r\n",
        "If-None-Match: \"a\", W/\"b\"\r\nif-modified-since: x\r\n",
    ] {
        with(plain, Plain);
    }
    for bodiless in [
        "Range: bytes=0-1\r\n",
        "iF-rAnGe: x\r\n",
        "If-Match: *\r\n",
        "If-Unmodified-Since: x\r\n",
        "If-None-Match: \"a\"\r\nIf-None-Match: \"b\"\r\n",
        "If-None-Match: \"\u{e9}\"\r\n",
        "If-Modified-Since: a\r\nIf-Modified-Since: b\r\n",
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
    with(&"X: y\r\n".repeat(MAX_HEADERS), Other);
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
