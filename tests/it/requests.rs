//! Whole requests in process, without a socket: what API users and nginx may rely on.

use crate::common::inside::Inside as Server;
use crate::common::testdata;
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

    /// The same server for whoever has that address.
    fn for_client(&self, address: &str) -> App {
        self.app.for_peer(Peer::Ip(address.parse().expect("an address")))
    }
}

/// One request with a body: its status, and what it is told to wait.
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

    // another spelling of the same wish
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
async fn failures_have_their_status_and_problem() {
    let server = Server::of_testdata();
    let check = async |uri: &str, status: u16, sentence: &str| {
        let answer = server.get(uri).await;
        assert_eq!(answer.status.as_u16(), status, "{uri}: {}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.header("content-type"), "application/problem+json", "{uri}");
        let problem = answer.json();
        assert_eq!(problem["status"], status, "{uri}");
        let detail = problem["detail"].as_str().expect("a text");
        assert!(detail.contains(sentence), "{uri}: {detail}");
        assert!(!detail.contains("/testdata"), "{uri}: {detail}");
        answer
    };
    let wrong = check("/photos/rocket.jpg?width=0&fromat=x&format=wepb", 400, "an integer from 1").await;
    assert_eq!(wrong.json()["invalid_params"][1]["did_you_mean"], "webp");
    assert_eq!(wrong.header("cache-control"), "max-age=60");
    let absent = check("/photos/nothing.jpg?width=10", 404, "no such original").await;
    assert_eq!(absent.header("cache-control"), "max-age=30");
    check("/photos", 404, "no such original").await;
    check("/photos/?width=10", 404, "names no original").await;
    check("/", 404, "names no original").await;
    check("/photos/../Cargo.toml", 404, "names no original").await;
    check("/photos/%2e%2e/x.png", 404, "names no original").await;
    check("/photos//rocket.jpg?width=3", 404, "names no original").await;
    check("/hostile/text.txt", 415, "not an image").await;
    check("/hostile/text.txt?width=10", 415, "not an image").await;
    check("/hostile/html-named.jpg?width=10", 415, "not an image").await;
    check("/hostile/empty.jpg?width=10", 415, "not an image").await;
    check("/hostile/one-byte.png", 415, "not an image").await;
    check("/hostile/png-header-100000.png?width=10", 422, "limit").await;
    check("/generated/svg.svg?width=10&format=png", 415, "SVG").await;
    check("/-/nothing", 404, "nothing").await;
    let long = format!("/photos/rocket.jpg?v={}", "x".repeat(9000));
    check(&long, 414, "8192").await;
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let answer = server.ask(method, "/photos/rocket.jpg", &[]).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET, HEAD"));
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn conditions_and_ranges() {
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
async fn auto_format_follows_the_accept_header() {
    let server = Server::of_testdata();
    let ask = async |path: &str, accept: &str| {
        let headers = if accept.is_empty() { vec![] } else { vec![("accept", accept)] };
        server.ask(Method::GET, &format!("/{path}?w=50&format=auto"), &headers).await
    };
    for (path, accept, expected) in [
        ("photos/rocket.jpg", CHROMIUM, Format::Avif),
        ("photos/rocket.jpg", "image/avif", Format::Avif),
        ("photos/rocket.jpg", "image/webp,*/*", Format::WebP),
        ("photos/rocket.jpg", "*/*", Format::Jpeg),
        ("photos/rocket.jpg", "", Format::Jpeg),
        ("generated/alpha.png", "*/*", Format::Png),
        ("generated/alpha.png", CHROMIUM, Format::Avif),
        ("generated/opaque-rgba.png", "*/*", Format::Png),
        ("generated/animated.gif", CHROMIUM, Format::WebP),
        ("generated/animated.gif", "image/avif", Format::Gif),
        ("generated/animated.gif", "*/*", Format::Gif),
    ] {
        let answer = ask(path, accept).await;
        assert_eq!((answer.status.as_u16(), answer.format()), (200, Some(expected)), "{path} for {accept:?}");
        assert_eq!(answer.header("vary"), "Accept");
    }
    let etag = ask("photos/rocket.jpg", CHROMIUM).await.header("etag").to_owned();
    let headers = [("accept", CHROMIUM), ("if-none-match", etag.as_str())];
    let unchanged = server.ask(Method::GET, "/photos/rocket.jpg?w=50&format=auto", &headers).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.header("vary")), (304, "Accept"));
    let missing = server.get("/photos/none.jpg?format=auto").await;
    assert_eq!((missing.status.as_u16(), missing.header("vary")), (404, "Accept"));
    assert!(!server.get("/photos/rocket.jpg?w=50&f=webp").await.headers.contains_key("vary"));
}

#[tokio::test]
async fn accept_headers_make_three_renditions_at_most() {
    let server = Server::of_testdata();
    for accept in [
        CHROMIUM,
        "image/avif",
        "image/webp",
        "*/*",
        "",
        "image/avif,image/webp",
        "image/avif;q=0.3,image/webp;q=0.2",
        "x/y",
    ] {
        server.ask(Method::GET, "/photos/rocket.jpg?w=50&format=auto", &[("accept", accept)]).await;
    }
    let renders = server.service.stats().renders.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(renders, 3);
}

#[tokio::test]
async fn changed_original_is_seen_by_the_next_request() {
    let dir = tempfile::tempdir().expect("a folder");
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
async fn original_above_max_bytes_is_refused() {
    let server = Server::new(&testdata(), |config| config.fixed.source.max_bytes = tintype::config::Bytes(1000));
    assert_eq!(server.get("/photos/rocket.jpg").await.status.as_u16(), 413);
    assert_eq!(server.get("/photos/rocket.jpg?w=10").await.status.as_u16(), 413);
}

#[tokio::test]
async fn pixel_limit_is_checked_before_decoding() {
    let server = Server::new(&testdata(), |config| config.live.limits.max_pixels = 10_000);
    let answer = server.get("/photos/rocket.jpg?w=10").await;
    assert_eq!(answer.status.as_u16(), 422);
    assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.contains("10000 are allowed")));
}

#[tokio::test]
async fn health_metrics_and_request_ids_are_answered() {
    let server = Server::of_testdata();
    assert_eq!(server.get("/-/live").await.status.as_u16(), 200);
    let ready = server.get("/-/ready").await;
    assert_eq!((ready.status.as_u16(), ready.json()["status"].as_str()), (200, Some("ready")));
    assert_eq!(ready.json()["cache"], "open");
    server.get("/photos/coffee.png?w=10").await;
    let metrics = server.get("/-/metrics").await;
    assert!(String::from_utf8_lossy(&metrics.body).contains("tintype_renders_total 1\n"));
    assert_eq!(server.ask(Method::POST, "/-/live", &[]).await.status.as_u16(), 405);

    let echoed = server.ask(Method::GET, "/photos/none.png", &[("x-request-id", "abc.DEF-1_2")]).await;
    assert_eq!(echoed.header("x-request-id"), "abc.DEF-1_2");
    assert_eq!(echoed.json()["instance"], "urn:request:abc.DEF-1_2");
    let made = server.ask(Method::GET, "/photos/none.png", &[("x-request-id", "not plain!")]).await;
    assert!(!made.header("x-request-id").is_empty() && made.header("x-request-id") != "not plain!");
}

#[tokio::test]
async fn purge_needs_the_token_and_a_path() {
    let off = Server::of_testdata();
    assert_eq!(off.ask(Method::POST, "/-/purge?path=photos/coffee.png", &[]).await.status.as_u16(), 404);
    let server = Server::new(&testdata(), |config| config.live.security.admin_token = "let me in".into());
    server.get("/photos/coffee.png?w=10").await;
    server.get("/photos/coffee.png?w=20").await;
    server.get("/photos/rocket.jpg?w=20").await;
    let purge = async |path: &str, token: &str| {
        let headers = [("authorization", token)];
        server.ask(Method::POST, &format!("/-/purge?path={path}"), &headers).await
    };
    let refused = purge("photos/coffee.png", "Bearer wrong").await;
    assert_eq!((refused.status.as_u16(), refused.header("www-authenticate")), (401, "Bearer"));
    assert_eq!(purge("photos/../x", "Bearer let me in").await.status.as_u16(), 400);
    assert_eq!(purge("/photos/coffee.png", "Bearer let me in").await.json()["purged"], 2);
    assert_eq!(server.get("/photos/coffee.png?w=10").await.header("cache-status"), "tintype; fwd=uri-miss; stored");
    assert_eq!(server.get("/photos/rocket.jpg?w=20").await.header("cache-status"), "tintype; hit");
    // folders: what only begins like one is not in it
    server.get("/generated/grey.png?w=20").await;
    for (path, purged) in [("phot/", 0), ("photos/", 2), ("/photos/", 0), ("/", 1)] {
        assert_eq!(purge(path, "Bearer let me in").await.json()["purged"], purged, "{path}");
    }
    for path in ["", "photos//", "..%2F", "photos/../"] {
        // what a script's empty variable asks for is not all there is
        assert_eq!(purge(path, "Bearer let me in").await.status.as_u16(), 400, "{path}");
    }
    for (path, value) in [("photos/%ff.png", "photos/%ff.png"), ("a%2F..", "a/.."), ("a.png&path=b.png", "b.png")] {
        let refused = purge(path, "Bearer let me in").await;
        assert_eq!((refused.status.as_u16(), refused.header("content-type")), (400, "application/problem+json"));
        let wrong = &refused.json()["invalid_params"][0];
        assert_eq!((&wrong["name"], &wrong["value"]), (&"path".into(), &value.into()), "{path}");
    }
    for (token, status) in [("bearer let me in", 200), ("Basic let me in", 401), ("Bearerlet me in", 401), ("", 401)] {
        assert_eq!(purge("/", token).await.status.as_u16(), status, "{token}");
    }
}

#[tokio::test]
async fn purged_path_keeps_its_plus() {
    let root = tempfile::tempdir().expect("a folder");
    for name in ["a+b.png", "a b.png"] {
        std::fs::copy(testdata().join("generated/grey.png"), root.path().join(name)).expect("a copy");
    }
    let server = Server::new(root.path(), |config| config.live.security.admin_token = "let me in".into());
    let hit = async |name: &str| server.get(&format!("/{name}?w=20")).await.header("cache-status") == "tintype; hit";
    for (path, plus, blank) in [("a+b.png", 1, 0), ("a%2Bb.png", 1, 0), ("a%20b.png", 0, 1)] {
        hit("a+b.png").await;
        hit("a%20b.png").await;
        let headers = [("authorization", "Bearer let me in")];
        let purged =
            server.ask(Method::POST, &format!("/-/purge?path={path}"), &headers).await.json()["purged"].clone();
        assert_eq!(purged, 1, "{path}");
        assert_eq!((hit("a+b.png").await, hit("a%20b.png").await), (plus == 0, blank == 0), "{path}");
    }
}

#[tokio::test]
async fn problem_lists_eight_parameters_and_counts_the_rest() {
    let server = Server::new(&testdata(), |config| {
        config.live.security.keys = vec!["a key of sixteen bytes".into()];
        config.live.security.require_signature = true;
        config.live.output.unknown_params = tintype::config::live::UnknownParams::Reject;
    });
    let began = std::time::Instant::now();
    for (query, listed, omitted) in [
        ("w=0".to_owned(), 1, 0),
        ("w=0&h=0&q=0&dpr=0&ar=0&rect=0&blur=0&trim=x".to_owned(), 8, 0),
        ("w=0&h=0&q=0&dpr=0&ar=0&rect=0&blur=0&trim=x&flip=x".to_owned(), 8, 1),
        ("w&".repeat(4000), 8, 3992),
        ("zz&".repeat(2700), 8, 2692),
        (format!("w={}", "%01".repeat(2700)), 1, 0),
        (format!("{}=1", "a".repeat(8000)), 1, 0),
        (format!("bg={}", "a".repeat(8000)), 1, 0),
    ] {
        let shown = &query[..query.len().min(60)];
        let answer = server.get(&format!("/photos/rocket.jpg?{query}")).await;
        // what is unknown is looked at behind the signature, which is missing
        let status = if query.starts_with(['a', 'z']) { 403 } else { 400 };
        assert_eq!(answer.status.as_u16(), status, "{shown}");
        assert!(answer.body.len() <= 8 * 1024, "{shown}: {}", answer.body.len());
        if status == 400 {
            let problem = answer.json();
            assert_eq!(problem["invalid_params"].as_array().map(Vec::len), Some(listed), "{shown}");
            assert_eq!(problem["invalid_params_omitted"].as_u64().unwrap_or(0), omitted, "{shown}");
        }
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn html_entity_in_a_query_is_named_or_counted() {
    let lenient = Server::of_testdata();
    let metric = async |server: &Server, name: &str| {
        let metrics = server.get("/-/metrics").await;
        let text = String::from_utf8(metrics.body).expect("UTF-8");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}")).parse::<u64>().expect("a number")
    };
    let entity = "tintype_unknown_params_total{kind=\"html_entity\"}";
    let other = "tintype_unknown_params_total{kind=\"other\"}";
    let url = "/photos/coffee.png?width=100&amp;height=50";
    // also where the URL was read before
    for count in 1..=3 {
        assert_eq!(lenient.get(url).await.size(), (100, 67));
        assert_eq!((metric(&lenient, entity).await, metric(&lenient, other).await), (count, 0));
    }
    lenient.get("/photos/coffee.png?width=100&utm_source=x").await;
    assert_eq!((metric(&lenient, entity).await, metric(&lenient, other).await), (3, 1));
    let strict = Server::new(&testdata(), |config| {
        config.live.output.unknown_params = tintype::config::live::UnknownParams::Reject
    });
    let refused = strict.get(url).await;
    let wrong = &refused.json()["invalid_params"][0];
    assert_eq!((&wrong["name"], &wrong["did_you_mean"]), (&"amp;height".into(), &"height".into()));
    assert_eq!((refused.status.as_u16(), metric(&strict, entity).await), (400, 0));
}

/// A body that does not come.
struct Never;

impl hyper::body::Body for Never {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

/// Every kind of failure that is counted can be brought about; those that need a fault of the machine are named.
#[tokio::test]
async fn failures_are_counted_by_kind_wherever_they_happen() {
    const ELSEWHERE: [&str; 6] = [
        // a bug
        "internal-error",
        // these two come over a socket only: tests/it/wire.rs
        "invalid-request",
        // faults of the machine: tests/it/faults.rs
        "no-space-left",
        "original-is-changing",
        "original-unavailable",
        "request-head-too-large",
    ];
    let root = tempfile::tempdir().expect("a folder");
    let put = |from: &str, to: &str| {
        std::fs::copy(testdata().join(from), root.path().join(to)).expect("a copy");
    };
    put("photos/coffee.png", "coffee.png");
    put("photos/large-12mp.jpg", "large.jpg");
    put("hostile/png-header-100000.png", "huge.png");
    put("hostile/text.txt", "text.txt");
    let original = std::fs::read(testdata().join("photos/coffee.png")).expect("a picture");
    std::fs::write(root.path().join("damaged.png"), &original[..40]).expect("written");
    std::fs::write(root.path().join("photo.heic"), b"\0\0\0\x18ftypheic\0\0\0\0heicmif1").expect("written");
    std::fs::File::create(root.path().join("sparse.jpg")).and_then(|file| file.set_len(1 << 30)).expect("a file");
    let open = |config: &mut Config| {
        config.live.security.admin_token = "let me in".into();
        config.fixed.security.upload = true;
        config.fixed.security.log_beacons = true;
    };
    let server = Server::new(root.path(), |config| {
        open(config);
        config.fixed.limits.upload_timeout = tintype::config::Span(std::time::Duration::from_millis(50));
        (config.fixed.limits.rate, config.fixed.limits.burst) = (1, 30);
    });
    let signed = Server::new(root.path(), |config| {
        config.live.security.keys = vec!["a key of sixteen bytes".into()];
        config.live.security.require_signature = true;
    });
    let hurried = Server::new(root.path(), |config| {
        config.fixed.limits.deadline = tintype::config::Span(std::time::Duration::from_millis(1));
    });
    let full = Server::new(&testdata(), |config| (config.fixed.limits.workers, config.fixed.limits.queue) = (1, 0));
    let bearer = ("authorization", "Bearer let me in");
    let png = || Body::from(original.clone());
    let text = ("content-type", "text/plain");
    let far = server.for_client("192.0.2.9");

    let get = async |server: &Server, url: &str| drop(server.get(url).await);
    get(&server, "/damaged.png?w=10").await;
    get(&server, "/huge.png?w=10").await;
    get(&server, "/coffee.png?w=0").await;
    get(&server, "/coffee.png?expires=1").await;
    get(&server, "/text.txt").await;
    get(&server, "/none.png").await;
    get(&server, "/sparse.jpg").await;
    get(&server, "/photo.heic?w=10").await;
    get(&server, &format!("/coffee.png?v={}", "x".repeat(9000))).await;
    get(&server, "/coffee.png?rect=9999,9999,10,10").await;
    server.ask(Method::GET, "/coffee.png", &[("range", "bytes=9999999-")]).await;
    server.ask(Method::GET, "/coffee.png", &[("if-match", "\"x\"")]).await;
    server.ask(Method::POST, "/coffee.png", &[]).await;
    send(&far, Method::POST, "/-/log", &[text], Body::from("x".repeat(9000))).await;
    send(&far, Method::POST, "/-/log", &[("content-type", "application/json")], Body::from("{")).await;
    send(&far, Method::POST, "/-/log", &[("content-type", "image/png")], Body::from("{")).await;
    for _ in 0..60 {
        send(&far, Method::POST, "/-/log", &[text], Body::from("a")).await;
    }
    send(&far, Method::PUT, "/-/upload/new.png", &[], png()).await;
    send(&far, Method::PUT, "/-/upload/coffee.png", &[bearer], png()).await;
    send(&far, Method::PUT, "/-/upload/slow.png", &[bearer], Body::new(Never)).await;
    for width in 100..140 {
        send(&far, Method::GET, &format!("/coffee.png?w={width}&f=jpeg"), &[], Body::empty()).await;
    }
    get(&signed, "/coffee.png?w=10").await;
    get(&hurried, "/large.jpg?w=1000&f=avif").await;
    let busy = occupy(&full).await;
    get(&full, "/photos/chelsea.png?width=91&format=webp").await;
    busy.await.expect("it was rendered");

    let mut seen = std::collections::BTreeMap::new();
    for server in [&server, &signed, &hurried, &full] {
        let metrics = String::from_utf8(server.get("/-/metrics").await.body).expect("UTF-8");
        for line in metrics.lines().filter_map(|line| line.strip_prefix("tintype_failures_total{kind=\"")) {
            let (kind, count) = line.split_once("\"} ").expect("a count");
            *seen.entry(kind.to_owned()).or_insert(0) += count.parse::<u64>().expect("a number");
        }
    }
    let never: Vec<&str> = seen.iter().filter(|(_, count)| **count == 0).map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(never, ELSEWHERE, "{seen:?}");
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
async fn original_with_metadata_is_not_sent_as_smallest() {
    let dir = tempfile::tempdir().expect("a folder");
    let plain = std::fs::read(testdata().join("generated/zone-plate.png")).expect("a file");
    // a text chunk before the end, and bytes behind it
    let mut text = plain[..plain.len() - 12].to_vec();
    text.extend([0, 0, 0, 9]);
    text.extend(b"tEXtAuthor\0me");
    text.extend(0x1da1_9e3d_u32.to_be_bytes());
    text.extend(&plain[plain.len() - 12..]);
    std::fs::write(dir.path().join("plain.png"), &plain).expect("written");
    std::fs::write(dir.path().join("behind.png"), [&plain[..], b"a secret"].concat()).expect("written");
    std::fs::write(dir.path().join("text.png"), &text).expect("written");
    let server = Server::new(dir.path(), |_| {});
    assert!(server.get("/plain.png?format=png").await.body == plain, "nothing was to be removed");
    for name in ["behind.png", "text.png"] {
        for query in ["metadata=none", "q=100", "format=png"] {
            let answer = server.get(&format!("/{name}?{query}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{name}");
            let found = |needle: &[u8]| answer.body.windows(needle.len()).any(|window| window == needle);
            assert!(!found(b"Author") && !found(b"secret"), "{name}?{query}");
        }
    }
}

#[tokio::test]
async fn translucent_background_is_painted_once() {
    let server = Server::of_testdata();
    let answer = server.get("/generated/grey.png?w=50&h=200&fit=pad&bg=00ff0080&f=png").await;
    let pixels = image::load_from_memory(&answer.body).expect("a PNG").into_rgba8();
    assert_eq!(pixels.get_pixel(1, 1).0, [0, 255, 0, 128]);
    assert_eq!(pixels.get_pixel(25, 100).0[3], 255);
}

#[tokio::test]
async fn animated_png_stays_animated() {
    let server = Server::of_testdata();
    for query in ["w=40", "w=40&format=auto", "w=40&format=original"] {
        let answer = server.get(&format!("/generated/animated.png?{query}")).await;
        let info = probe(&answer.body).expect("an image");
        assert_eq!((info.format, info.frames), (Format::Png, 5), "{query}");
    }
    let still = server.get("/generated/animated.png?w=40&format=png").await;
    assert_eq!(probe(&still.body).expect("an image").frames, 1);
}

#[tokio::test]
async fn lossless_keeps_animations() {
    let server = Server::of_testdata();
    for (query, accept, format) in [
        ("w=40&lossless", "", Format::Gif),
        ("w=40&lossless&format=original", "", Format::Gif),
        ("w=40&lossless&format=auto", "*/*", Format::Gif),
        ("w=40&lossless&format=auto", "image/avif,image/webp,*/*", Format::WebP),
        ("w=40&lossless&animated=0", "", Format::Png),
    ] {
        let target = format!("/generated/animated.gif?{query}");
        let answer = server.ask(Method::GET, &target, &[("accept", accept)]).await;
        let info = probe(&answer.body).expect("an image");
        let frames = if query.contains("animated=0") { 1 } else { 5 };
        assert_eq!((info.format, info.frames), (format, frames), "{query}, {accept}");
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
    // from the cache, too
    for _ in 0..4 {
        let short = control(now + 100).await;
        let seconds = short.strip_prefix("public, max-age=").and_then(|rest| rest.strip_suffix(", no-transform"));
        let seconds: u64 = seconds.and_then(|seconds| seconds.parse().ok()).expect("seconds");
        assert!((90..=100).contains(&seconds), "{short}");
    }
}

#[tokio::test]
async fn refusals_of_negotiable_urls_vary() {
    let server = Server::of_testdata();
    for query in ["format=auto&w=0", "w=0&auto=format,compress", "fm=AUTO&expires=1"] {
        assert_eq!(server.get(&format!("/photos/rocket.jpg?{query}")).await.header("vary"), "Accept", "{query}");
    }
    assert_eq!(server.get("/photos/rocket.jpg?w=0&f=webp").await.header("vary"), "");
    let post = server.ask(Method::POST, "/photos/rocket.jpg?format=auto", &[]).await;
    assert_eq!((post.status.as_u16(), post.header("vary")), (405, "Accept"));
    let long = server.get(&format!("/photos/rocket.jpg?format=auto&x={}", "x".repeat(9000))).await;
    assert_eq!((long.status.as_u16(), long.header("vary")), (414, "Accept"));
    let signed = Server::new(&testdata(), |config| {
        config.live.security.keys = vec!["a key of sixteen bytes".into()];
        config.live.security.require_signature = true;
        config.live.presets.insert("open".into(), "format=auto&width=100".into());
        config.live.presets.insert("closed".into(), "format=webp&width=100".into());
    });
    for (query, vary) in [("preset=open", "Accept"), ("preset=open&s=x", "Accept"), ("preset=closed", "")] {
        let answer = signed.get(&format!("/photos/rocket.jpg?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.header("vary")), (403, vary), "{query}");
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
async fn smallest_acceptable_format_is_sent() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::of_testdata();
    for (name, query) in [("small.webp", "w=200&q=20&f=webp"), ("small.avif", "w=200&q=20&f=avif")] {
        let small = server.get(&format!("/photos/coffee.png?{query}")).await;
        std::fs::write(dir.path().join(name), &small.body).expect("written");
    }
    let server = Server::new(dir.path(), |_| {});
    for (name, query, accept, is_sent) in [
        ("small.webp", "format=auto&q=100", CHROMIUM, true),
        ("small.webp", "format=auto&q=100", "image/webp", true),
        ("small.webp", "format=auto&q=100", "image/avif", false),
        ("small.webp", "format=auto&q=100", "*/*", false),
        ("small.webp", "format=webp&q=100", "*/*", true),
        ("small.avif", "format=avif&q=100", "*/*", true),
        ("small.avif", "format=auto&q=100", "image/avif", true),
        ("small.avif", "format=auto&q=100", "image/webp", false),
        ("small.avif", "format=webp&q=100", "*/*", false),
    ] {
        let answer = server.ask(Method::GET, &format!("/{name}?{query}"), &[("accept", accept)]).await;
        let original = std::fs::read(dir.path().join(name)).expect("a file");
        assert_eq!((answer.status.as_u16(), answer.body == original), (200, is_sent), "{name}?{query} for {accept}");
    }
}

#[tokio::test]
async fn svg_is_sent_for_auto_format() {
    let server = Server::of_testdata();
    let file = std::fs::read(testdata().join("generated/svg.svg")).expect("a file");
    for accept in [CHROMIUM, "image/avif", "image/webp", "*/*"] {
        let answer = server.ask(Method::GET, "/generated/svg.svg?format=auto", &[("accept", accept)]).await;
        assert_eq!((answer.status.as_u16(), answer.body == file), (200, true), "{accept}");
        assert_eq!((answer.header("vary"), answer.header("content-type")), ("Accept", "image/svg+xml"));
    }
    for query in ["w=10", "w=4000&h=10&fit=cover&dpr=2", "q=30", "format=original&rotate=90", "format=auto&w=10&blur=3"]
    {
        let answer = server.get(&format!("/generated/svg.svg?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.body == file), (200, true), "{query}");
        assert_eq!(answer.header("content-type"), "image/svg+xml", "{query}");
    }
    assert_eq!(server.service.stats().renders.load(std::sync::atomic::Ordering::Relaxed), 1, "one file for all");
    assert_eq!(server.get("/generated/svg.svg?format=webp").await.status.as_u16(), 415);
}

#[tokio::test]
async fn format_too_small_for_the_result_is_skipped() {
    let dir = tempfile::tempdir().expect("a folder");
    image::RgbImage::new(17_000, 4).save(dir.path().join("wide.png")).expect("saved");
    let server = Server::new(dir.path(), |config| {
        config.live.limits.max_dimension = 20_000;
        config.live.output.smallest_wins = false;
    });
    let auto = server.ask(Method::GET, "/wide.png?format=auto", &[("accept", "image/webp")]).await;
    assert_eq!((auto.format(), auto.size()), (Some(Format::Jpeg), (17_000, 4)));
    assert_eq!(server.get("/wide.png?format=webp").await.status.as_u16(), 422);
}

#[tokio::test]
async fn format_above_the_memory_limit_is_skipped() {
    // 0.27 megapixels, of which AVIF takes 32 bytes each, WebP 12 and JPEG 8, beside what the original takes
    for (kilobytes, expected) in [(64 << 10, Format::Avif), (6 << 10, Format::WebP), (4 << 10, Format::Jpeg)] {
        let server =
            Server::new(&testdata(), |config| config.fixed.limits.memory = tintype::config::Bytes(kilobytes << 10));
        let auto = server.ask(Method::GET, "/photos/rocket.jpg?format=auto&q=50", &[("accept", CHROMIUM)]).await;
        assert_eq!((auto.status.as_u16(), auto.format()), (200, Some(expected)), "{kilobytes} KiB");
        let named = server.get("/photos/rocket.jpg?format=avif&q=50").await.status.as_u16();
        assert_eq!(named, if expected == Format::Avif { 200 } else { 422 });
    }
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

#[tokio::test]
async fn renders_are_rate_limited_by_client_and_hits_are_not() {
    // a rate so low that no test takes long enough for another token
    let server = Server::new(&testdata(), |config| {
        (config.fixed.limits.rate, config.fixed.limits.burst) = (1, 2);
        config.fixed.server.real_ip_from = vec!["127.0.0.0/8".into()];
        config.live.output.smallest_wins = false;
    });
    let ask = async |from: &str, forwarded: &str, width: u32| {
        let uri = format!("/generated/grey.png?w={width}");
        send(&server.for_client(from), Method::GET, &uri, &[("x-forwarded-for", forwarded)], Body::empty()).await
    };
    let (mut refused, mut width) = (None, 10);
    // the bucket fills up meanwhile on a slow machine: it is emptied sooner or later
    while refused.is_none() && width < 1000 {
        width += 1;
        let (status, wait) = ask("192.0.2.1", "203.0.113.1", width).await;
        assert!(matches!(status, 200 | 429), "{status}");
        refused = (status == 429).then_some(wait);
    }
    assert_eq!(refused, Some(Some("1".into())));
    assert!(width >= 13, "two at once are allowed");
    for _ in 0..50 {
        assert_eq!(ask("192.0.2.1", "", 11).await.0, 200, "hits are free");
    }
    // others have their own, also behind a proxy that is believed
    assert_eq!(ask("192.0.2.2", "", 1001).await.0, 200);
    assert_eq!(ask("127.0.0.1", "203.0.113.1", 1002).await.0, 200);
    assert_eq!(ask("127.0.0.1", "203.0.113.2", 1003).await.0, 200);
}

#[tokio::test]
async fn waiter_is_not_limited_for_the_leader() {
    let server = Server::new(&testdata(), |config| (config.fixed.limits.rate, config.fixed.limits.burst) = (1, 1));
    let ask =
        async |from: &str, uri: &str| send(&server.for_client(from), Method::GET, uri, &[], Body::empty()).await.0;
    for round in 0..20 {
        let (debtor, other) = (format!("192.0.2.{round}"), format!("198.51.100.{round}"));
        ask(&debtor, &format!("/generated/grey.png?w={}", 100 + round)).await;
        let uri = format!("/generated/grey.png?w={}", 200 + round);
        // the debtor asks first, and is the one who should pay
        let (_, answered) = tokio::join!(ask(&debtor, &uri), ask(&other, &uri));
        assert_eq!(answered, 200, "round {round}");
    }
}

#[tokio::test]
async fn beacons_are_limited_in_size_and_rate() {
    let off = Server::of_testdata();
    let text = [("content-type", "text/plain;charset=UTF-8")];
    assert_eq!(send(&off.app, Method::POST, "/-/log", &text, Body::from("a")).await.0, 404);
    let server = Server::new(&testdata(), |config| config.fixed.security.log_beacons = true);
    for (number, (kind, body, status)) in [
        ("text/plain;charset=UTF-8", b"LCP 1200\n{}".to_vec(), 204),
        ("application/json", b"{\"lcp\": 1200}".to_vec(), 204),
        ("application/json", b"[1200]".to_vec(), 400),
        ("application/json", b"{".to_vec(), 400),
        ("text/plain", b"\xff\xfe".to_vec(), 400),
        ("image/png", b"a".to_vec(), 415),
        ("text/plain", vec![b'a'; 8192], 204),
        ("text/plain", vec![b'a'; 8193], 413),
        ("text/plain", vec![b'a'; 10_000_000], 413),
    ]
    .into_iter()
    .enumerate()
    {
        let client = server.for_client(&format!("192.0.2.{number}"));
        let got = send(&client, Method::POST, "/-/log", &[("content-type", kind)], Body::from(body)).await;
        assert_eq!(got.0, status, "{number}");
    }
    assert_eq!(send(&server.app, Method::GET, "/-/log", &[], Body::empty()).await.0, 405);
    let client = server.for_client("203.0.113.1");
    let mut refused = None;
    for _ in 0..1000 {
        let (status, wait) = send(&client, Method::POST, "/-/log", &text, Body::from("a")).await;
        if status == 429 {
            refused = wait;
            break;
        }
    }
    assert_eq!(refused.as_deref(), Some("1"));
    let another = server.for_client("203.0.113.2");
    assert_eq!(send(&another, Method::POST, "/-/log", &text, Body::from("a")).await.0, 204);
}

/// What nginx is told to send, read as nginx would.
fn redirected(server: &Server, answer: &Answer) -> (std::path::PathBuf, Vec<u8>) {
    let location = answer.header("x-accel-redirect");
    let below =
        location.strip_prefix("/_tintype_store/").unwrap_or_else(|| panic!("{location:?}: {:?}", answer.headers));
    let path = server.cache.path().join(below);
    let bytes = std::fs::read(&path).expect("the file is there");
    (path, bytes)
}

#[tokio::test]
async fn hit_on_disk_is_redirected_to_nginx() {
    let server = Server::new(&testdata(), |config| config.fixed.server.x_accel = "/_tintype_store".into());
    let url = "/photos/coffee.png?width=200&format=auto";
    let accept = ("accept", CHROMIUM);
    let made = server.ask(Method::GET, url, &[accept]).await;
    assert!(!made.headers.contains_key("x-accel-redirect"), "it is not on disk yet");
    assert!(!made.body.is_empty());
    server.service.flush();

    let direct = server.ask(Method::GET, url, &[accept, ("x-tintype-direct", "1")]).await;
    assert!(!direct.headers.contains_key("x-accel-redirect"));
    assert_eq!((direct.header("cache-status"), &direct.body), ("tintype; hit", &made.body));
    for method in [Method::GET, Method::HEAD] {
        let left = server.ask(method.clone(), url, &[accept]).await;
        assert_eq!((left.status, left.body.len()), (StatusCode::OK, 0));
        assert_eq!(redirected(&server, &left).1, made.body);
        // all but the body, its length and its parts is as if it were sent from here
        for (name, value) in &direct.headers {
            if !["content-length", "accept-ranges", "x-request-id"].contains(&name.as_str()) {
                assert_eq!(left.headers.get(name), Some(value), "{method} {name}");
            }
        }
    }

    // conditions are answered here
    let etag = direct.header("etag");
    let unchanged = server.ask(Method::GET, url, &[accept, ("if-none-match", etag)]).await;
    assert_eq!((unchanged.status, unchanged.header("etag")), (StatusCode::NOT_MODIFIED, etag));
    assert!(!unchanged.headers.contains_key("x-accel-redirect"));
    // of ranges, those that nginx reads as tintype does are nginx's
    let (date, other) = (direct.header("last-modified"), "\"other\"");
    for (method, headers, left, status) in [
        (Method::GET, vec![("range", "bytes=5-9")], true, StatusCode::OK),
        (Method::GET, vec![("range", "bytes=-9"), ("if-range", etag)], true, StatusCode::OK),
        (Method::GET, vec![("range", "bytes=-9"), ("if-range", other)], true, StatusCode::OK),
        (Method::GET, vec![("range", "bytes=-9"), ("if-range", date)], false, StatusCode::OK),
        (Method::GET, vec![("range", "bytes=0-1,5-9")], false, StatusCode::OK),
        (Method::GET, vec![("range", "bytes=9-1")], false, StatusCode::OK),
        (Method::GET, vec![("range", "bytes=0-99999999999999999999")], false, StatusCode::PARTIAL_CONTENT),
        (Method::GET, vec![("range", "bytes=99999999-")], false, StatusCode::RANGE_NOT_SATISFIABLE),
        (Method::GET, vec![("range", "bytes=99999999-"), ("if-range", other)], true, StatusCode::OK),
        (Method::HEAD, vec![("range", "bytes=5-9")], false, StatusCode::OK),
    ] {
        let all: Vec<(&str, &str)> = std::iter::once(accept).chain(headers.iter().copied()).collect();
        let answer = server.ask(method, url, &all).await;
        assert_eq!((answer.headers.contains_key("x-accel-redirect"), answer.status), (left, status), "{headers:?}");
    }

    // originals are sent from here
    let original = server.get("/photos/coffee.png").await;
    assert!(!original.headers.contains_key("x-accel-redirect") && !original.body.is_empty());
}

#[tokio::test]
async fn redirected_file_is_verified_first() {
    let server = Server::new(&testdata(), |config| config.fixed.server.x_accel = "/_tintype_store".into());
    let url = "/photos/chelsea.png?width=120&format=webp";
    let made = server.get(url).await.body;
    server.service.flush();
    let (path, _) = redirected(&server, &server.get(url).await);
    let damages: [&dyn Fn(); 4] = [
        &|| {
            let mut bytes = made.clone();
            bytes[100] ^= 1;
            std::fs::write(&path, bytes).expect("written");
        },
        &|| std::fs::write(&path, &made[..made.len() - 1]).expect("written"),
        &|| std::fs::remove_file(&path).expect("removed"),
        &|| {
            std::fs::remove_file(&path).expect("removed");
            std::os::unix::fs::symlink("/etc/passwd", &path).expect("a link");
        },
    ];
    for damage in damages {
        damage();
        let again = server.get(url).await;
        assert!(!again.headers.contains_key("x-accel-redirect"));
        assert_eq!((again.status, again.header("cache-status")), (StatusCode::OK, "tintype; fwd=uri-miss; stored"));
        assert!(again.body == made);
        server.service.flush();
        assert!(redirected(&server, &server.get(url).await).1 == made);
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

#[tokio::test]
async fn full_queue_is_refused_at_once() {
    let server = Server::new(&testdata(), |config| (config.fixed.limits.workers, config.fixed.limits.queue) = (1, 0));
    assert_eq!(server.get("/photos/chelsea.png?width=90&format=webp").await.status, 200);
    let busy = occupy(&server).await;
    let refused = server.get("/photos/chelsea.png?width=91&format=webp").await;
    assert_eq!((refused.status.as_u16(), refused.header("cache-control")), (503, "no-store"));
    assert!((1..=30).contains(&refused.header("retry-after").parse::<u64>().expect("seconds")));
    assert!(refused.json()["type"].as_str().expect("a type").ends_with("overloaded"), "{:?}", refused.json());
    // hits and originals need no worker
    assert_eq!(server.get("/photos/chelsea.png?width=90&format=webp").await.header("cache-status"), "tintype; hit");
    assert_eq!(server.get("/photos/chelsea.png").await.status, 200);
    busy.await.expect("it was rendered");
    assert_eq!(server.get("/photos/chelsea.png?width=91&format=webp").await.status, 200);
}

#[tokio::test]
async fn overload_fallback_sends_the_original() {
    let without_room = |config: &mut Config| {
        (config.fixed.limits.workers, config.fixed.limits.queue) = (1, 0);
        config.fixed.limits.overload = tintype::config::fixed::Overload::Original;
        config.live.output.widths = vec![50, 100];
    };
    let server = Server::new(&testdata(), without_room);
    let original = server.get("/photos/chelsea.png").await;
    let busy = occupy(&server).await;
    for uri in [
        "/photos/chelsea.png?width=90&format=webp",
        "/photos/chelsea.png?width=50&format=auto",
        "/photos/chelsea.png?v=1&width=60&format=avif",
    ] {
        let stand_in = server.get(uri).await;
        assert_eq!((stand_in.status, stand_in.header("content-type")), (StatusCode::OK, "image/png"), "{uri}");
        assert!(stand_in.body == original.body);
        assert_eq!(stand_in.header("cache-control"), "public, max-age=10, no-transform");
        assert_eq!(stand_in.header("cache-status"), "tintype; fwd=bypass; detail=overloaded");
        assert_eq!(stand_in.headers.contains_key("vary"), uri.contains("auto"));
        for absent in ["last-modified", "content-location"] {
            assert!(!stand_in.headers.contains_key(absent), "{absent}");
        }
        let again = server.ask(Method::GET, uri, &[("if-none-match", stand_in.header("etag"))]).await;
        assert_eq!((again.status.as_u16(), again.header("cache-control")), (304, stand_in.header("cache-control")));
    }
    // too large, no picture at all, and none that is there
    assert_eq!(server.get("/photos/large-12mp.jpg?width=80&format=webp").await.status, 503);
    assert_eq!(server.get("/photos/chelsea.png?format=json").await.status, 503);
    assert_eq!(server.get("/photos/none.png?width=80").await.status, 404);
    busy.await.expect("it was rendered");
    let made = server.get("/photos/chelsea.png?width=90&format=webp").await;
    assert_eq!((made.format(), made.size().0), (Some(Format::WebP), 90));

    // whoever may have a small picture need not be allowed the whole one
    let mut policy = None;
    let signed = Server::new(&testdata(), |config| {
        without_room(config);
        (config.live.security.keys, config.live.security.require_signature) = (vec!["0123456789abcdef".into()], true);
        policy = Some(config.live.policy().expect("good presets"));
    });
    let sign = |path: &str, query: &str| {
        let policy = policy.as_ref().expect("it was made");
        policy.sign(path, query).expect("a good query").expect("a key")
    };
    let long = sign("/photos/large-12mp.jpg", "width=2400&format=avif");
    let short = sign("/photos/chelsea.png", "width=90");
    let app = signed.app.clone();
    let busy = tokio::spawn(async move { send(&app, Method::GET, &long, &[], Body::empty()).await.0 });
    while signed.service.workers().longest().is_none() && !busy.is_finished() {
        tokio::task::yield_now().await;
    }
    assert_eq!(signed.get(&short).await.status, 503);
    assert_eq!(busy.await.expect("no panic"), 200);
}

#[tokio::test]
async fn abandoned_request_starts_no_render() {
    let server = Server::new(&testdata(), |config| (config.fixed.limits.workers, config.fixed.limits.queue) = (1, 8));
    let busy = occupy(&server).await;
    let ask = |width: u32| {
        let app = server.app.clone();
        let uri = format!("/photos/chelsea.png?width={width}&format=webp");
        tokio::spawn(async move { send(&app, Method::GET, &uri, &[], Body::empty()).await.0 })
    };
    let (leaving, staying): (Vec<_>, Vec<_>) =
        ((0..4).map(|n| ask(60 + n)).collect(), (0..4).map(|n| ask(70 + n)).collect());
    // two ask for one of them, and one of the two stays
    let second = ask(60);
    while server.service.workers().waiting() < 8 {
        tokio::task::yield_now().await;
    }
    leaving.iter().for_each(tokio::task::JoinHandle::abort);
    while server.service.workers().waiting() > 5 {
        tokio::task::yield_now().await;
    }
    busy.await.expect("it was rendered");
    for one in staying.into_iter().chain([second]) {
        assert_eq!(one.await.expect("no panic"), 200);
    }
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    let stats = server.service.stats();
    assert_eq!((count(&stats.renders), count(&stats.deserted)), (6, 3));
    assert_eq!((server.service.workers().waiting(), server.service.workers().memory()), (0, 0));
}

#[tokio::test]
async fn concurrent_renders_stay_within_the_memory_limit() {
    // room for one 12 MP photograph at full size, not for two
    let server = Server::new(&testdata(), |config| {
        (config.fixed.limits.workers, config.fixed.limits.queue) = (4, 64);
        config.fixed.limits.memory = tintype::config::Bytes(128 << 20);
    });
    let asked: Vec<_> = (0..8)
        .map(|n| {
            let app = server.app.clone();
            let uri = format!("/photos/large-12mp.jpg?width={}&format=jpeg", 3000 + n);
            tokio::spawn(async move { send(&app, Method::GET, &uri, &[], Body::empty()).await.0 })
        })
        .collect();
    let mut most = 0;
    while !asked.iter().all(tokio::task::JoinHandle::is_finished) {
        most = most.max(server.service.workers().memory());
        tokio::task::yield_now().await;
    }
    for one in asked {
        assert_eq!(one.await.expect("no panic"), 200);
    }
    assert!((1 << 20..=128 << 20).contains(&most), "{most}");
    assert_eq!(server.service.workers().memory(), 0);
}
