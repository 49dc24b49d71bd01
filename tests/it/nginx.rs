//! tintype behind a real nginx, configured as the README says: requests and answers pass through unchanged.

use std::net::SocketAddr;
use std::path::Path;

use crate::common::need::needs;
use crate::common::nginx::Nginx;
use crate::common::{Answer, Server, folder, run, testdata, tintype};
use tintype::render::Format;

const URL: &str = "/photos/coffee.png?width=200&format=webp";
const CHROMIUM: &str = "image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";
const WEBKIT: &str = "image/webp,image/avif,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5";

/// nginx in front of tintype. Killed when it goes out of scope, nginx first.
struct Site {
    nginx: Nginx,
    tintype: Server,
    _place: tempfile::TempDir,
}

impl Site {
    fn start(root: &Path) -> Site {
        let place = folder();
        let socket = place.path().join("tintype.sock");
        let listen = format!("unix:{}", socket.display());
        let tintype = Server::start_with(root, &place.path().join("cache"), &listen, &[]);
        let nginx = Nginx::start(place.path(), |listen| site(place.path(), &socket, listen));
        Site { nginx, tintype, _place: place }
    }

    fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.nginx.ask(method, target, headers)
    }

    fn get(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.nginx.get(target, headers)
    }
}

/// As in the README: `proxy_pass` without a URI part, which leaves the path as it was sent.
fn site(place: &Path, socket: &Path, listen: SocketAddr) -> String {
    let (place, socket) = (place.display(), socket.display());
    format!(
        r#"
    proxy_cache_path "{place}/kept" keys_zone=kept:1m;
    add_header X-Cache-Status $upstream_cache_status;

    upstream tintype {{
        server "unix:{socket}" max_fails=0;
        keepalive 32;
        keepalive_timeout 30s;
    }}

    server {{
        listen {listen};
        location / {{
            proxy_pass http://tintype;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_next_upstream off;
        }}
        # a cache that minds Vary, and one that does not
        location /kept/ {{
            rewrite ^/kept(/.*) $1 break;
            proxy_pass http://tintype;
            proxy_cache kept;
            proxy_cache_key kept$request_uri;
        }}
        location /mixed/ {{
            rewrite ^/mixed(/.*) $1 break;
            proxy_pass http://tintype;
            proxy_cache kept;
            proxy_cache_key mixed$request_uri;
            proxy_ignore_headers Vary;
        }}
    }}
"#
    )
}

#[test]
fn rendition_through_nginx_equals_the_direct_one() {
    needs!(Nginx);
    let site = Site::start(&testdata());
    let first = site.get(URL, &[]);
    assert_eq!(first.picture(), (Format::WebP, 200, 133));
    assert_eq!(first.header("content-type"), "image/webp");
    assert_eq!(first.header("cache-status"), "tintype; fwd=uri-miss; stored");
    let second = site.get(URL, &[]);
    assert_eq!(second.header("cache-status"), "tintype; hit");

    let direct = site.tintype.get(URL, &[]);
    for answer in [&first, &second] {
        assert!(answer.body == direct.body);
        let kept = ["etag", "last-modified", "cache-control", "content-length", "content-disposition", "accept-ranges"];
        let safe = ["content-security-policy", "x-content-type-options", "cross-origin-resource-policy"];
        for name in kept.iter().chain(&safe) {
            assert_eq!(answer.header(name), direct.header(name), "{name}");
        }
        assert!(answer.try_header("vary").is_none(), "an explicit format does not vary:\n{}", answer.head);
    }
    assert_eq!(site.tintype.metric("tintype_renders_total"), 1.0);
}

#[test]
fn conditions_ranges_and_head_are_answered() {
    needs!(Nginx);
    let site = Site::start(&testdata());
    let whole = site.get(URL, &[]);
    let etag = whole.header("etag");

    let mut connection = site.nginx.connect();
    for method in ["GET", "HEAD"] {
        let unchanged = connection.ask(method, URL, &[("If-None-Match", &etag)]);
        assert_eq!(unchanged.status, 304);
        assert_eq!(unchanged.header("etag"), etag);
        assert!(unchanged.try_header("content-length").is_none(), "{}", unchanged.head);
    }
    // on the same connection: a body after the 304 would break this answer
    let head = connection.ask("HEAD", URL, &[]);
    assert_eq!((head.status, head.header("content-length")), (200, whole.body.len().to_string()));
    assert_eq!(head.header("etag"), etag);

    let part = connection.ask("GET", URL, &[("Range", "bytes=100-299")]);
    assert_eq!(part.status, 206);
    assert_eq!(part.header("content-range"), format!("bytes 100-299/{}", whole.body.len()));
    assert_eq!(part.body, &whole.body[100..300]);
    let end = connection.ask("GET", URL, &[("Range", "bytes=-50"), ("If-Range", &etag)]);
    assert_eq!((end.status, &end.body[..]), (206, &whole.body[whole.body.len() - 50..]));
    let other = connection.ask("GET", URL, &[("Range", "bytes=-50"), ("If-Range", "\"other\"")]);
    assert_eq!((other.status, &other.body), (200, &whole.body));
    let beyond = connection.ask("GET", URL, &[("Range", "bytes=9999999-")]);
    beyond.assert_problem(416);
    assert_eq!(beyond.header("content-range"), format!("bytes */{}", whole.body.len()));
}

#[test]
fn encoded_paths_are_decoded_once() {
    needs!(Nginx);
    let root = folder();
    let put = |name: &str, from: &str| {
        std::fs::copy(testdata().join(from), root.path().join(name)).expect("a copy");
    };
    put("a b é%.png", "photos/coffee.png");
    put("x y.png", "photos/chelsea.png");
    put("x%20y.png", "photos/astronaut.png");
    let site = Site::start(root.path());

    let strange = site.get("/a%20b%20%C3%A9%25.png?width=60", &[]);
    assert_eq!(strange.picture(), (Format::Png, 60, 40));
    let name = strange.header("content-disposition");
    assert!(name.ends_with("filename*=UTF-8''a%20b%20%C3%A9%25.png"), "{name}");
    // the case of hexadecimal digits and needless encoding name the same file
    assert_eq!(site.get("/%61%20b%20%c3%a9%25.png?width=60", &[]).header("etag"), strange.header("etag"));
    // decoded once, by tintype alone: these are two files
    assert_eq!(site.get("/x%20y.png?width=451", &[]).picture(), (Format::Png, 451, 300));
    assert_eq!(site.get("/x%2520y.png?width=512", &[]).picture(), (Format::Png, 512, 512));
}

#[test]
fn paths_with_traversal_are_refused() {
    needs!(Nginx);
    let site = Site::start(&testdata());
    let refused = [
        "//photos/coffee.png",
        "/photos//coffee.png",
        "/photos/coffee.png/",
        "/../Cargo.toml",
        "/photos/../../Cargo.toml",
        "/photos/../photos/coffee.png",
        "/photos/./coffee.png",
        "/photos/%2e%2e/photos/coffee.png",
        "/photos/..%2fphotos/coffee.png",
        "/photos%2fcoffee.png",
        "/photos/..%5c..%5cCargo.toml",
        "/photos/coffee.png%00.png",
        "/photos/%ff.png",
        "/photos/",
        "/",
    ];
    for path in refused {
        for query in ["", "?width=20"] {
            let answer = site.get(&format!("{path}{query}"), &[]);
            assert!((400..500).contains(&answer.status), "{path}{query}: {}", answer.head);
        }
    }
    assert_eq!(site.tintype.metric("tintype_renders_total"), 0.0);
}

#[test]
fn negotiation_and_problems_pass_through_nginx() {
    needs!(Nginx);
    let site = Site::start(&testdata());
    let url = "/photos/coffee.png?width=64&format=auto";
    for (accept, content_type) in [(CHROMIUM, "image/avif"), (WEBKIT, "image/avif"), ("*/*", "image/jpeg")] {
        let answer = site.get(url, &[("Accept", accept)]);
        assert_eq!((answer.status, answer.header("content-type").as_str()), (200, content_type), "{accept}");
        assert_eq!(answer.header("vary"), "Accept");
        let etag = answer.header("etag");
        let unchanged = site.get(url, &[("Accept", accept), ("If-None-Match", &etag)]);
        assert_eq!((unchanged.status, unchanged.header("vary")), (304, "Accept".to_owned()));
    }
    let missing = site.get("/photos/none.png?format=auto", &[("Accept", CHROMIUM)]);
    missing.assert_problem(404);
    assert_eq!((missing.header("vary").as_str(), missing.header("cache-control").as_str()), ("Accept", "max-age=30"));
    site.get("/photos/none.png?width=20", &[]).assert_problem(404);
    site.get("/photos/coffee.png?width=0", &[]).assert_problem(400);
    site.get("/hostile/html-named.jpg?width=20", &[]).assert_problem(415);
    site.get("/hostile/png-header-100000.png?width=20", &[]).assert_problem(422);
    let refused = site.ask("DELETE", "/photos/coffee.png", &[]);
    refused.assert_problem(405);
    assert_eq!(refused.header("allow"), "GET, HEAD");
}

#[test]
fn cors_headers_pass_through_nginx_once() {
    needs!(Nginx);
    let site = Site::start(&testdata());
    let origin = ("Origin", "https://a.example");
    let etag = site.get(URL, &[]).header("etag");
    for (method, target, more, status) in [
        ("GET", URL, None, 200),
        ("GET", URL, Some(("If-None-Match", etag.as_str())), 304),
        ("GET", URL, Some(("Range", "bytes=0-9")), 206),
        ("HEAD", URL, None, 200),
        ("GET", "/photos/coffee.png", None, 200),
        ("GET", "/photos/coffee.png?format=json", None, 200),
        ("GET", "/photos/coffee.png?width=0", None, 400),
        ("GET", "/photos/none.png?width=20", None, 404),
    ] {
        let answer = site.ask(method, target, &[origin].into_iter().chain(more).collect::<Vec<_>>());
        assert_eq!(answer.status, status, "{target}\n{}", answer.head);
        for name in ["access-control-allow-origin", "timing-allow-origin"] {
            assert_eq!(answer.header(name), "*", "{target}\n{}", answer.head);
        }
    }
    let preflight = site.ask("OPTIONS", URL, &[origin, ("Access-Control-Request-Method", "GET")]);
    assert_eq!((preflight.status, preflight.header("access-control-allow-methods").as_str()), (204, "GET, HEAD"));
}

#[test]
fn cache_that_ignores_vary_is_reported() {
    needs!(Nginx);
    let site = Site::start(&testdata());
    let place = folder();
    let check = |path: &str| {
        let mut command = tintype();
        command.env("TINTYPE_SOURCE_ROOT", testdata()).env("TINTYPE_CACHE_DIR", place.path());
        command.env("TINTYPE_SERVER_LISTEN", "127.0.0.1:0");
        let url = format!("http://{}{path}", site.nginx.address);
        let (code, output, _) = run(command.arg("check").arg(url), b"");
        (code, String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let url = "/photos/coffee.png?width=64&format=auto";
    let (code, output) = check(url);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("formats: each client gets a format that it supports"), "{output}");
    let (code, output) = check(&format!("/kept{url}"));
    assert_eq!(code, Some(0), "{output}");
    assert!(
        output.contains("formats: each client gets a format") && output.contains("X-Cache-Status: HIT"),
        "{output}"
    );
    let (code, output) = check(&format!("/mixed{url}"));
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("error    formats: a client that accepts no modern format got image/avif"), "{output}");
    // an explicit format is the same for every client
    let (code, output) = check("/mixed/photos/coffee.png?width=64&format=webp");
    assert_eq!(code, Some(0), "{output}");
}

#[test]
fn fallback_picture_passes_with_its_status() {
    needs!(Nginx);
    let place = folder();
    let socket = place.path().join("tintype.sock");
    let listen = format!("unix:{}", socket.display());
    let picture = testdata().join("photos/coffee.png").display().to_string();
    let environment = [("TINTYPE_OUTPUT_FALLBACK", picture.as_str())];
    let tintype = Server::start_with(&testdata(), &place.path().join("cache"), &listen, &environment);
    let nginx = Nginx::start(place.path(), |listen| site(place.path(), &socket, listen));
    for _ in 0..2 {
        let answer = nginx.get("/no.jpg?width=60&format=webp", &[]);
        let picture = tintype::render::probe(&answer.body).expect("a picture");
        assert_eq!((answer.status, picture.format, picture.size.to_string()), (404, Format::WebP, "60x40".into()));
        assert_eq!(answer.header("cache-control"), "max-age=30");
        assert!(answer.header("cache-status").ends_with("detail=fallback-404"), "{}", answer.head);
        assert_eq!(answer.body, tintype.get("/other.jpg?width=60&format=webp", &[]).body);
    }
}
