//! Whole requests in process, without a socket: the contract with users of the API.

mod admin;
mod clamped;
mod dialects;
mod fallback;
mod formats;
mod hints;
mod overload;
mod problems;
mod redirect;

use crate::common::in_process::InProcess as Server;
use crate::common::{folder, testdata};
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use tintype::config::Config;
use tintype::http::{App, Peer};
use tintype::render::{Format, probe};

const CHROMIUM: &str = "image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    fn format(&self) -> Option<Format> {
        Format::sniff(&self.body)
    }

    fn size(&self) -> (u32, u32) {
        let size = probe(&self.body).expect("an image").displayed();
        (size.width, size.height)
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

impl Server {
    fn of_testdata() -> Server {
        Server::new(&testdata(), |_| {})
    }

    async fn ask(&self, method: Method, uri: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = self.app.answer(request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, uri: &str) -> Answer {
        self.ask(Method::GET, uri, &[]).await
    }

    /// The server for a client of that address.
    fn for_client(&self, address: &str) -> App {
        self.app.for_peer(Peer::Ip(address.parse().expect("an address")))
    }
}

/// Sends one request with a body, and returns the status and `Retry-After`.
async fn send(app: &App, method: Method, uri: &str, headers: &[(&str, &str)], body: Body) -> (u16, Option<String>) {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app.answer(request.body(body).expect("a request")).await;
    let wait = response.headers().get("retry-after").map(|value| value.to_str().expect("ASCII").to_owned());
    (response.status().as_u16(), wait)
}

#[tokio::test]
async fn rendition_is_made_once_and_then_a_hit() {
    let server = Server::of_testdata();
    let first = server.get("/photos/coffee.png?width=300&format=webp").await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!((first.format(), first.size()), (Some(Format::WebP), (300, 200)));
    assert_eq!(first.header("content-type"), "image/webp");
    assert_eq!(first.header("content-length"), first.body.len().to_string());
    assert_eq!(first.header("cache-status"), "tintype; fwd=uri-miss; stored");
    assert_eq!(first.header("content-disposition"), "inline; filename=\"coffee.webp\"");
    assert_eq!(first.header("x-content-type-options"), "nosniff");
    assert_eq!(first.header("cross-origin-resource-policy"), "cross-origin");
    assert_eq!(first.header("accept-ranges"), "bytes");
    assert!(first.header("content-security-policy").contains("sandbox"));
    assert!(
        first.header("cache-control").contains("max-age=86400")
            && first.header("cache-control").contains("no-transform")
    );
    assert!(first.header("last-modified").ends_with("GMT"));
    assert!(!first.headers.contains_key("vary"));
    assert!(!first.headers.contains_key("server-timing"));
    let digest = blake3::hash(&first.body).to_hex();
    assert_eq!(first.header("etag"), format!("\"{digest}\""));

    // an equal query in another spelling
    let second = server.get("/photos/coffee.png?f=WEBP&w=150&dpr=2&utm_source=x&q=75").await;
    assert_eq!(second.header("cache-status"), "tintype; hit");
    assert_eq!((second.header("etag"), &second.body), (first.header("etag"), &first.body));
}

#[tokio::test]
async fn every_format_converts_to_every_output() {
    let server = Server::of_testdata();
    let originals = [
        "photos/rocket.jpg",
        "generated/alpha.png",
        "generated/animated.gif",
        "generated/alpha.webp",
        "generated/bmp24.bmp",
        "generated/rgb.tif",
        "generated/ico.ico",
        "generated/rgb.ppm",
        "generated/qoi.qoi",
    ];
    let outputs = [
        ("webp", Format::WebP),
        ("avif", Format::Avif),
        ("jpeg", Format::Jpeg),
        ("png", Format::Png),
        ("gif", Format::Gif),
    ];
    for original in originals {
        for (name, format) in outputs {
            let answer = server.get(&format!("/{original}?width=40&format={name}")).await;
            assert_eq!((answer.status, answer.format()), (StatusCode::OK, Some(format)), "{original} to {name}");
            assert_eq!(answer.header("content-type"), format.media_type());
        }
    }
}

#[tokio::test]
async fn request_without_parameters_gets_the_original() {
    let server = Server::of_testdata();
    for (path, kind) in [
        ("photos/rocket.jpg", "image/jpeg"),
        ("generated/animated.gif", "image/gif"),
        ("generated/svg.svg", "image/svg+xml"),
        ("hostile/png-named.jpg", "image/png"),
    ] {
        let file = std::fs::read(testdata().join(path)).expect("a file");
        for query in ["", "?utm_source=mail", "?v=3", "?download=a.png"] {
            let answer = server.get(&format!("/{path}{query}")).await;
            assert_eq!((answer.status, &answer.body), (StatusCode::OK, &file), "{path}{query}");
            assert_eq!(answer.header("content-type"), kind, "{path}");
            assert_eq!(answer.header("etag"), format!("\"{}\"", blake3::hash(&file).to_hex()));
        }
    }
    let saved = server.get("/photos/rocket.jpg?download=mine.jpg").await;
    assert_eq!(saved.header("content-disposition"), "attachment; filename=\"mine.jpg\"");
    let kept = server.get("/photos/rocket.jpg?v=3").await;
    assert_eq!(kept.header("cache-control"), "public, max-age=31536000, immutable, no-transform");
}

#[tokio::test]
async fn conditions_and_ranges_are_answered() {
    let server = Server::of_testdata();
    let uri = "/photos/coffee.png?w=100&f=webp";
    let full = server.get(uri).await;
    let (etag, modified) = (full.header("etag").to_owned(), full.header("last-modified").to_owned());
    let ask = async |headers: &[(&str, &str)]| server.ask(Method::GET, uri, headers).await;

    for headers in [
        &[("if-none-match", etag.as_str())][..],
        &[("if-none-match", "*")],
        &[("if-modified-since", modified.as_str())],
        &[("if-none-match", etag.as_str()), ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")],
    ] {
        let answer = ask(headers).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0), "{headers:?}");
        assert_eq!(
            (answer.header("etag"), answer.header("cache-control")),
            (etag.as_str(), full.header("cache-control"))
        );
        assert!(!answer.headers.contains_key("content-type"));
    }
    let changed = ask(&[("if-none-match", "\"x\""), ("if-modified-since", &modified)]).await;
    assert_eq!(changed.status.as_u16(), 200);

    for (headers, status) in [
        (&[("if-match", etag.as_str())][..], 200),
        (&[("if-match", "*")], 200),
        (&[("if-match", "\"x\"")], 412),
        (&[("if-match", &format!("W/{etag}"))], 412),
        (&[("if-unmodified-since", modified.as_str())], 200),
        (&[("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], 412),
        (&[("if-match", &etag), ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], 200),
        (&[("if-match", &etag), ("if-none-match", &etag)], 304),
    ] {
        assert_eq!(ask(headers).await.status.as_u16(), status, "{headers:?}");
    }

    let part = ask(&[("range", "bytes=10-19")]).await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &full.body[10..20]));
    assert_eq!(part.header("content-range"), format!("bytes 10-19/{}", full.body.len()));
    assert_eq!(part.header("content-length"), "10");
    assert_eq!(ask(&[("range", "bytes=-5")]).await.body, full.body[full.body.len() - 5..]);
    assert_eq!(ask(&[("range", "bytes=0-1,5-6")]).await.body, full.body);
    assert_eq!(ask(&[("range", "bytes=0-9"), ("if-range", &etag)]).await.status.as_u16(), 206);
    assert_eq!(ask(&[("range", "bytes=0-9"), ("if-range", "\"x\"")]).await.status.as_u16(), 200);
    assert_eq!(ask(&[("range", "bytes=0-9"), ("if-range", &modified)]).await.status.as_u16(), 200);
    let beyond = ask(&[("range", "bytes=999999999-")]).await;
    assert_eq!(beyond.status.as_u16(), 416);
    assert_eq!(beyond.header("content-range"), format!("bytes */{}", full.body.len()));

    let head = server.ask(Method::HEAD, uri, &[("range", "bytes=0-9")]).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    for name in ["content-length", "content-type", "etag", "last-modified", "cache-control", "content-disposition"] {
        assert_eq!(head.header(name), full.header(name), "{name}");
    }
    let none = server.ask(Method::HEAD, "/photos/none.png", &[]).await;
    assert_eq!((none.status.as_u16(), none.body.len()), (404, 0));
}

#[tokio::test]
async fn changed_original_is_seen_by_the_next_request() {
    let dir = folder();
    let path = dir.path().join("a.png");
    let put = |name: &str| {
        std::fs::remove_file(&path).ok();
        std::fs::copy(testdata().join(name), &path).expect("copied")
    };
    let server = Server::new(dir.path(), |_| {});
    put("generated/alpha.png");
    let first = server.get("/a.png?w=20&f=webp").await;
    put("generated/grey.png");
    let second = server.get("/a.png?w=20&f=webp").await;
    assert_eq!(second.header("cache-status"), "tintype; fwd=uri-miss; stored");
    assert_ne!(first.header("etag"), second.header("etag"));
    std::fs::remove_file(&path).expect("it was there");
    assert_eq!(server.get("/a.png?w=20&f=webp").await.status.as_u16(), 404);
}

#[tokio::test]
async fn server_timing_is_sent_by_setting() {
    let server = Server::new(&testdata(), |config| config.live.server.server_timing = true);
    let answer = server.get("/photos/coffee.png?w=10").await;
    for part in ["cache;dur=", "queue;dur=", "source;dur=", "decode;dur=", "resize;dur=", "encode;dur="] {
        assert!(answer.header("server-timing").contains(part), "{}", answer.header("server-timing"));
    }
}

#[tokio::test]
async fn max_age_ends_with_expires() {
    let server = Server::of_testdata();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a date").as_secs();
    let control = async |expires: u64| {
        let answer = server.get(&format!("/photos/coffee.png?w=10&expires={expires}")).await;
        answer.header("cache-control").to_owned()
    };
    let usual = control(now + 1_000_000).await;
    assert!(usual.contains("max-age=86400") && usual.contains("stale-while-revalidate"), "{usual}");
    // hits, too
    for _ in 0..4 {
        let short = control(now + 100).await;
        let seconds = short.strip_prefix("public, max-age=").and_then(|rest| rest.strip_suffix(", no-transform"));
        let seconds: u64 = seconds.and_then(|seconds| seconds.parse().ok()).expect("seconds");
        assert!((90..=100).contains(&seconds), "{short}");
    }
}

#[tokio::test]
async fn not_modified_has_content_location() {
    let server = Server::new(&testdata(), |config| {
        (config.live.output.widths, config.live.output.snap) = (vec![100, 320], tintype::dialect::Snap::Up);
    });
    let full = server.get("/photos/rocket.jpg?w=101").await;
    assert_eq!(full.header("content-location"), "/photos/rocket.jpg?width=320");
    let headers = [("if-none-match", full.header("etag"))];
    let unchanged = server.ask(Method::GET, "/photos/rocket.jpg?w=101", &headers).await;
    assert_eq!(
        (unchanged.status.as_u16(), unchanged.header("content-location")),
        (304, "/photos/rocket.jpg?width=320")
    );
}

#[tokio::test]
async fn damaged_original_is_sent_unchanged() {
    let server = Server::of_testdata();
    for name in ["truncated.jpg", "truncated.png", "truncated.webp", "truncated.gif", "png-header-100000.png"] {
        let file = std::fs::read(testdata().join("hostile").join(name)).expect("a file");
        let answer = server.get(&format!("/hostile/{name}")).await;
        assert_eq!((answer.status.as_u16(), answer.body == file), (200, true), "{name}");
    }
}

/// Occupies the only worker for a while.
async fn occupy(server: &Server) -> tokio::task::JoinHandle<()> {
    let app = server.app.clone();
    let busy = tokio::spawn(async move {
        let long = "/photos/large-12mp.jpg?width=2400&format=avif";
        assert_eq!(send(&app, Method::GET, long, &[], Body::empty()).await.0, 200);
    });
    while server.service.workers().longest().is_none() {
        tokio::task::yield_now().await;
    }
    busy
}
