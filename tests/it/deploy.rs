//! The files of `deploy/` as they are shipped, in a real nginx and with the built program: only paths and addresses are
//! put in.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::need::needs;
use crate::common::nginx::Nginx;
use crate::common::site::{Place, Stand, sent, shipped, text_of, with};
use crate::common::{Address, Answer, Connection, PATIENCE, run, tintype};
use rustix::process::Signal;
use tintype::render::Format;

const URL: &str = "/photos/coffee.png?width=200&format=webp";
const CHROMIUM: &str = "image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";
const FIREFOX: &str = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5";
const STORE: &str = "/_tintype_store";

#[test]
fn site_sends_renditions_and_problems_of_tintype() {
    needs!(Nginx);
    let place = Place::new();
    let (tintype, nginx) = (place.tintype(&[]), place.nginx());
    let first = nginx.get(URL, &[]);
    assert_eq!(first.picture(), (Format::WebP, 200, 133));
    assert_eq!(first.header("cache-status"), "tintype; fwd=uri-miss; stored");
    let second = nginx.get(URL, &[("X-Request-Id", "mine.1")]);
    assert_eq!(
        (second.header("cache-status"), second.header("x-request-id")),
        ("tintype; hit".into(), "mine.1".into())
    );
    assert!(second.body == first.body);
    let etag = first.header("etag");
    assert_eq!(nginx.get(URL, &[("If-None-Match", &etag)]).status, 304);
    let part = nginx.get(URL, &[("Range", "bytes=10-19"), ("If-Range", &etag)]);
    assert_eq!((part.status, &part.body[..]), (206, &first.body[10..20]));
    let head = nginx.ask("HEAD", URL, &[]);
    assert_eq!((head.header("content-length"), head.header("etag")), (first.body.len().to_string(), etag));
    assert_eq!(nginx.get("/photos/a%20b%20%C3%A9.png?width=20", &[]).picture().1, 20);
    assert_eq!(nginx.get("/photos/within.png?width=20", &[]).picture().1, 20);
    for (accept, kind) in [(CHROMIUM, "image/avif"), ("image/webp", "image/webp"), ("image/png", "image/jpeg")] {
        let auto = nginx.get("/photos/coffee.png?width=30&format=auto", &[("Accept", accept)]);
        assert_eq!((auto.header("content-type").as_str(), auto.header("vary").as_str()), (kind, "Accept"), "{accept}");
    }
    // failures are tintype's, word for word
    for (target, status) in [
        ("/photos/coffee.png?width=0", 400),
        ("/photos/none.png?width=20", 404),
        ("/photos/none.png", 404),
        ("/photos/notes.png?width=20", 415),
        ("/photos/notes.txt", 415),
        ("/photos/notes.txt?width=20", 415),
        ("/photos/.hidden.png", 404),
        ("/photos/.hidden/coffee.png", 404),
        ("/photos/out.png", 404),
        ("/photos/out.png?width=20", 404),
        ("/photos/%2e%2e/photos/coffee.png", 404),
        ("/photos/../photos/coffee.png", 404),
        ("/photos//coffee.png", 404),
        ("//photos/coffee.png", 404),
        ("/photos%2Fcoffee.png", 404),
        ("/photos/./coffee.png", 404),
        ("/photos/", 404),
        ("/photos/coffee.png/", 404),
    ] {
        let answer = nginx.get(target, &[]);
        assert_eq!(answer.status, status, "{target}: {}", answer.head);
        answer.assert_problem(status);
    }
    let refused = nginx.ask("DELETE", "/photos/coffee.png", &[]);
    refused.assert_problem(405);
    assert_eq!(refused.header("allow"), "GET, HEAD");
    assert!(tintype.metric("tintype_renders_total") >= 1.0);
}

#[test]
fn originals_are_sent_by_nginx_without_tintype() {
    needs!(Nginx);
    let place = Place::new();
    // nobody else could
    let nginx = place.nginx();
    for (name, kind) in [("coffee.png", "image/png"), ("rocket.JPG", "image/jpeg"), ("script.svg", "image/svg+xml")] {
        let target = format!("/photos/{name}");
        let answer = nginx.get(&target, &[]);
        assert_eq!((answer.status, answer.header("content-type").as_str()), (200, kind));
        assert!(answer.body == std::fs::read(place.root().join("photos").join(name)).expect("it is there"));
        assert!(answer.header("content-security-policy").contains("sandbox"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.header("cache-control").contains("max-age=86400"));
        let unchanged = nginx.get(&target, &[("If-None-Match", &answer.header("etag"))]);
        assert_eq!(unchanged.status, 304);
        let part = nginx.get(&target, &[("Range", "bytes=0-3")]);
        assert_eq!((part.status, &part.body[..]), (206, &answer.body[..4]));
    }
    // not by nginx, and tintype is not there; nor may they stand in
    for target in [
        "/photos/notes.txt",
        "/photos/.hidden.png",
        "/photos/.hidden/coffee.png",
        "/photos/out.png",
        "/photos/%2e%2e/photos/coffee.png",
        "/photos/../photos/coffee.png",
        "/photos//coffee.png",
        "/photos%2Fcoffee.png",
        "/photos/none.png",
        "/photos/",
    ] {
        for query in ["", "?width=20"] {
            let answer = nginx.get(&format!("{target}{query}"), &[]);
            assert_eq!((answer.status, answer.header("retry-after").as_str()), (503, "5"), "{target}{query}");
            assert_eq!(answer.header("cache-control"), "no-store");
        }
    }
}

/// With tintype's header, what nginx gives for it is what tintype gives.
#[test]
fn headers_of_originals_equal_those_of_tintype() {
    needs!(Nginx);
    let place = Place::new();
    let (tintype, nginx) = (place.tintype(&[]), place.nginx());
    let (ours, its) = (tintype.get("/photos/script.svg", &[]), nginx.get("/photos/script.svg", &[]));
    assert!(its.body == ours.body);
    let names = ["content-type", "content-security-policy", "x-content-type-options", "cache-control"];
    for name in names.into_iter().chain(["cross-origin-resource-policy", "accept-ranges", "last-modified"]) {
        assert_eq!(its.header(name), ours.header(name), "{name}");
    }
    let conf = text_of("nginx.conf");
    let types = conf.split_once("types {").and_then(|(_, rest)| rest.split_once('}')).expect("a list").0;
    let mut seen = BTreeSet::new();
    for line in types.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.trim_end_matches(';').split_whitespace();
        let kind = words.next().expect("a type");
        for extension in words {
            let format = Format::from_name(extension).unwrap_or_else(|| panic!("{extension} is no format"));
            assert_eq!(format.media_type(), kind, "{extension}");
            seen.insert(format);
        }
    }
    let served: BTreeSet<Format> = Format::all().filter(|f| !matches!(f, Format::Heic | Format::Pnm)).collect();
    assert_eq!(seen, served);
}

#[test]
fn original_is_sent_while_tintype_is_down() {
    needs!(Nginx);
    let place = Place::new();
    let tintype = place.tintype(&[]);
    let nginx = place.nginx();
    let rendition = nginx.get(URL, &[]);
    assert_eq!(rendition.picture().0, Format::WebP);
    assert!(tintype.stop().success());

    let original = std::fs::read(place.root().join("photos/coffee.png")).expect("it is there");
    let as_is = |target: &str, headers: &[(&str, &str)]| {
        let answer = nginx.get(target, headers);
        assert_eq!((answer.status, answer.header("cache-control").as_str()), (200, "no-store"), "{target}");
        assert!(answer.body == original, "{target}");
        for name in ["etag", "last-modified", "accept-ranges"] {
            assert!(answer.try_header(name).is_none(), "{name}:\n{}", answer.head);
        }
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    };
    as_is(URL, &[]);
    as_is("/photos/a%20b%20%C3%A9.png?width=20", &[]);
    // a client must not put parts of two pictures together, nor take this for what it has
    let (etag, date) = (rendition.header("etag"), rendition.header("last-modified"));
    as_is(URL, &[("Range", "bytes=10-"), ("If-Range", &etag)]);
    as_is(URL, &[("Range", "bytes=10-")]);
    as_is(URL, &[("If-None-Match", &etag)]);
    as_is(URL, &[("If-Modified-Since", &date)]);
    let head = nginx.ask("HEAD", URL, &[]);
    assert_eq!((head.status, head.header("content-length")), (200, original.len().to_string()));
    // what was asked for is no picture, or changes something
    for (method, target) in [
        ("GET", "/photos/coffee.png?format=json"),
        ("GET", "/photos/coffee.png?width=20&fm=json"),
        ("POST", "/photos/coffee.png?width=20"),
    ] {
        assert_eq!(nginx.ask(method, target, &[("Content-Length", "0")]).status, 503, "{method} {target}");
    }
    // back again, on the same socket
    let _tintype = place.tintype(&[]);
    assert!(nginx.get(URL, &[]).body == rendition.body);
}

/// Percent-encoded but for letters, digits and the dot.
fn encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'.' => ".".to_owned(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[test]
fn original_of_any_name_is_sent_while_tintype_is_down() {
    needs!(Nginx);
    let place = Place::new();
    let original = std::fs::read(place.root().join("photos/coffee.png")).expect("it is there");
    let names = [
        "[a].png",
        "it's.png",
        "a&b.png",
        "a;b.png",
        "a:b.png",
        "a$b.png",
        "a*b.png",
        "a#b.png",
        "a?b.png",
        "50%.png",
        "a|b.png",
        "100%25.png",
        "%2e.png",
        "a+b.png",
        "a,b.png",
        "{a}.png",
        "a\"b.png",
        "<a>.png",
        "a^b`.png",
        "~a.png",
    ];
    for name in names {
        std::fs::write(place.root().join("photos").join(name), &original).expect("a file");
    }
    std::fs::create_dir(place.root().join("[x] & 'y'")).expect("a folder");
    std::fs::write(place.root().join("[x] & 'y'/a.png"), &original).expect("a file");
    let encoded_once = names.iter().map(|name| format!("/photos/{}?width=20", encoded(name)));
    let more = [
        format!("/{}/a.png?width=20", encoded("[x] & 'y'")),
        // as clients send them that encode nothing
        "/photos/[a].png?width=20".into(),
        "/photos/it's.png?width=20".into(),
        "/photos/a&b.png?width=20".into(),
        "/photos/a;b.png?width=20".into(),
        "/photos/a:b.png?width=20".into(),
        "/photos/a$b.png?width=20".into(),
        "/photos/a*b.png?width=20".into(),
        "/photos/a|b.png?width=20".into(),
        "/photos/a%7cb.png?width=20".into(),
    ];
    let targets: Vec<String> = encoded_once.chain(more).collect();
    let nginx = place.nginx();
    for target in &targets {
        let answer = nginx.get(target, &[]);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        assert_eq!(answer.header("cache-control"), "no-store", "{target}");
        assert!(answer.body == original, "{target}");
    }
    // what nginx could read otherwise than tintype, and what is nobody's
    for target in [
        "/photos/%2Ehidden.png?width=20",
        "/photos/.hidden.png?width=20",
        "/photos/%2e%2e/photos/coffee.png?width=20",
        "/photos%2Fcoffee.png?width=20",
        "/photos/a%5Cb.png?width=20",
        "/photos/a%00.png?width=20",
        "/photos/%252e.png/..%2fcoffee.png?width=20",
        "/photos/a%zz.png?width=20",
        "/photos/out.png?width=20",
    ] {
        let answer = nginx.get(target, &[]);
        assert!(matches!(answer.status, 400 | 503), "{target}: {}", answer.head);
        assert!(answer.body != original, "{target}");
    }
    // and tintype itself has the same names
    let _tintype = place.tintype(&[]);
    for target in targets.iter().filter(|target| !target.contains(['[', '|'])) {
        assert_eq!(nginx.get(target, &[]).picture().1, 20, "{target}");
    }
}

/// The site with the commented lines for a cache of nginx's own.
fn with_cache(place: &Place, site: &str) -> String {
    let is_meant = |line: &str| {
        ["# proxy_cache", "# proxy_ignore_headers", "# add_header X-Cache-Status"]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let lines = site.lines().map(|line| match is_meant(line.trim_start()) {
        true => line.replacen("# ", "", 1),
        false => line.to_owned(),
    });
    let site = lines.collect::<Vec<_>>().join("\n");
    with(site, &[("/var/cache/nginx/tintype", &place.0.path().join("kept").display().to_string())])
}

#[test]
fn nginx_cache_keeps_three_copies_for_all_accept_headers() {
    needs!(Nginx);
    let place = Place::new();
    let _tintype = place.tintype(&[]);
    let nginx = place.nginx_with(|site| with_cache(&place, site));
    let url = "/photos/coffee.png?width=100&format=auto";
    let clients = [
        ("image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", Format::Avif),
        ("image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", Format::Avif),
        ("image/webp,image/avif,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", Format::Avif),
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", Format::Avif),
        ("image/webp,image/apng,image/*,*/*;q=0.8", Format::WebP),
        ("image/webp,*/*", Format::WebP),
        ("image/webp,image/*;q=0.9", Format::WebP),
        ("*/*", Format::Jpeg),
        ("image/png,image/*;q=0.8", Format::Jpeg),
        ("text/html", Format::Jpeg),
    ];
    let mut misses = 0;
    for _ in 0..2 {
        for (accept, format) in clients {
            let answer = nginx.get(url, &[("Accept", accept)]);
            assert_eq!(answer.picture().0, format, "{accept}");
            assert_eq!(answer.header("vary"), "Accept", "caches that follow are told");
            misses += u32::from(answer.header("x-cache-status") == "MISS");
        }
    }
    assert_eq!(misses, 3);
}

#[test]
fn original_is_sent_for_502_503_and_504_only() {
    needs!(Nginx);
    for (status, stands_in) in [(502, true), (503, true), (504, true), (500, false), (404, false), (422, false)] {
        let place = Place::new();
        let _stand = Stand::start(&place, move |_| {
            format!("HTTP/1.1 {status} X\r\nContent-Length: 4\r\nContent-Type: text/x\r\n\r\nours")
        });
        let nginx = place.nginx();
        let answer = nginx.get(URL, &[]);
        if stands_in {
            assert_eq!((answer.picture().0, answer.header("cache-control").as_str()), (Format::Png, "no-store"));
        } else {
            assert_eq!((answer.status, answer.text().as_str()), (status, "ours"));
        }
        // there is none for these
        let none = nginx.get("/photos/none.png?width=20", &[]);
        assert_eq!(none.status, if stands_in { 503 } else { status });
    }
}

#[test]
fn request_headers_of_the_site_reach_tintype() {
    needs!(Nginx);
    let place = Place::new();
    let _stand = Stand::echoing(&place);
    let nginx = place.nginx();
    // byte for byte
    for path in
        ["/a%2Fb.png?w=1", "//a//b.png", "/a/../b.png", "/./a.png", "/%61%20b%25.png", "/a.png?", "/a;b?x=%2F&y=a+b"]
    {
        let line = nginx.get(path, &[]).text();
        assert!(line.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{line}");
    }
    let (avif, webp, any) = ("image/avif,image/webp,*/*", "image/webp,*/*", "*/*");
    for (said, class) in [
        (CHROMIUM, avif),
        (FIREFOX, avif),
        ("IMAGE/AVIF", avif),
        ("text/html,image/avif;q=0.9,*/*", avif),
        ("image/webp", webp),
        ("image/webp , */*", webp),
        ("image/avif;q=0, image/webp", webp),
        ("image/avif;q=0.5, image/webp", webp),
        ("image/avif; q=0.0, image/webp;q=0.4", webp),
        ("image/avif;q=0, image/webp;q=0.000", any),
        ("image/*", any),
        ("*/*", any),
        ("image/avif-x, image/webpx", any),
    ] {
        let answer = nginx.get("/a.png?format=auto", &[("Accept", said)]);
        assert_eq!(sent(&answer, "Accept").as_deref(), Some(class), "{said}");
    }
    let answer = nginx.get("/a.png?w=1", &[]);
    assert_eq!(sent(&answer, "Accept").as_deref(), Some(any));
    assert_eq!(sent(&answer, "X-Real-IP").as_deref(), Some("127.0.0.1"));
    assert_eq!(sent(&answer, "X-Request-Id").map(|id| id.len()), Some(32));
    assert_eq!(sent(&answer, "Host").as_deref(), Some("test"));
    assert_eq!(sent(&answer, "X-Tintype-Direct"), None);
    let forged = [
        ("CF-Connecting-IP", "2001:db8::7"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Real-IP", "10.0.0.1"),
        ("X-Tintype-Direct", "1"),
        ("X-Request-Id", "not plain"),
    ];
    let answer = nginx.get("/a.png?w=1", &forged);
    assert_eq!(sent(&answer, "X-Real-IP").as_deref(), Some("2001:db8::7"));
    assert_eq!(sent(&answer, "X-Forwarded-For").as_deref(), Some("2001:db8::7"));
    assert_eq!(sent(&answer, "X-Tintype-Direct"), None);
    assert_eq!(sent(&answer, "X-Request-Id").map(|id| id.len()), Some(32));

    // what is beside images is private but for what is for everyone
    for path in ["/-/metrics", "/-/live", "/-/ready", "/-/purge?path=a", "//-/metrics", "/a/../-/metrics", "/%2d/live"]
    {
        for method in ["GET", "POST"] {
            assert_eq!(nginx.ask(method, path, &[("Content-Length", "0")]).status, 404, "{method} {path}");
        }
    }
    for (method, path, status) in [
        ("POST", "/-/log", 200),
        ("GET", "/-/log", 403),
        ("POST", "/-/log/x", 404),
        ("POST", "/-/upload", 200),
        ("PUT", "/-/upload/a%2Fb/c.jpg", 200),
        ("PUT", "/-/uploads/c.jpg", 404),
    ] {
        let answer = nginx.ask(method, path, &[("Content-Length", "0"), ("Authorization", "Bearer x")]);
        assert_eq!(answer.status, status, "{method} {path}");
        if status == 200 {
            assert!(answer.text().starts_with(&format!("{method} {path} ")));
            assert_eq!(sent(&answer, "Authorization").as_deref(), Some("Bearer x"));
        }
    }
    let large = nginx.ask("POST", "/-/log", &[("Content-Length", "20000")]);
    assert_eq!(large.status, 413);
}

/// The few lines that the README begins with.
#[test]
fn readme_site_serves_renditions() {
    needs!(Nginx);
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).expect("the README");
    let site = readme.split_once("```nginx\n").and_then(|(_, rest)| rest.split_once("```")).expect("a block").0;
    let place = Place::new();
    let _tintype = place.tintype(&[]);
    let socket = format!("unix:{}", place.socket().display());
    let nginx = Nginx::start(place.0.path(), |listen| {
        let listen = format!("listen {listen};");
        let changes = [("listen 80;", listen.as_str()), ("unix:/run/tintype/tintype.sock", &socket)];
        with(site.to_owned(), &changes).replace("/images/", "/photos/")
    });
    assert_eq!(nginx.get(URL, &[]).picture(), (Format::WebP, 200, 133));
    assert_eq!(nginx.get("/photos/a%20b%20%C3%A9.png?width=20", &[]).picture().1, 20);
    nginx.get("/photos%2Fcoffee.png?width=20", &[]).assert_problem(404);
}

/// The blocks of the manual's page on moving, put where it says.
#[test]
fn rewrites_of_the_migration_guide_map_old_urls() {
    needs!(Nginx);
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openresty.md");
    let manual = std::fs::read_to_string(manual).expect("a document");
    let mut blocks = manual.split("```nginx\n").skip(1).map(|rest| rest.split_once("```").expect("an end").0);
    let (map, location) = (blocks.next().expect("a map"), blocks.next().expect("a location"));
    let place = Place::new();
    let _stand = Stand::echoing(&place);
    let nginx = place.nginx_with(|site| {
        let site = with(site.to_owned(), &[("    location / {", &format!("{location}\n    location / {{"))]);
        format!("{map}\n{site}")
    });
    for (old, new) in [
        ("/resize/300x200/cats/tom.jpg", "/cats/tom.jpg?width=300&height=200&fit=cover"),
        ("/resize/300x200/a%20b%2F//c.jpg?x=1", "/a%20b%2F//c.jpg?width=300&height=200&fit=cover"),
        ("/thumb/cats/tom.jpg", "/cats/tom.jpg?preset=thumb"),
        ("/cats/tom.jpg?w=3", "/cats/tom.jpg?w=3"),
    ] {
        let line = nginx.get(old, &[]).text();
        assert!(line.starts_with(&format!("GET {new} HTTP/1.1\r\n")), "{old}: {line}");
    }
}

#[test]
fn maintenance_flag_shows_the_page() {
    needs!(Nginx);
    let place = Place::new();
    let (_tintype, nginx) = (place.tintype(&[]), place.nginx());
    assert_eq!(nginx.get(URL, &[]).status, 200);
    std::fs::write(place.flag(), "").expect("a file");
    for (method, target) in [("GET", URL), ("HEAD", URL), ("GET", "/photos/coffee.png"), ("POST", "/-/upload")] {
        let answer = nginx.ask(method, target, &[("Content-Length", "0")]);
        assert_eq!((answer.status, answer.header("retry-after").as_str()), (503, "600"), "{method} {target}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("content-type"), "text/html");
        assert_eq!(answer.text().contains("will be back soon"), method != "HEAD");
    }
    std::fs::remove_file(place.flag()).expect("it is there");
    assert_eq!(nginx.get(URL, &[]).status, 200);
}

/// The headers of an answer, but for those that differ from one to the next, in one order.
fn headers(answer: &Answer) -> Vec<(String, String)> {
    let passing = ["date", "server", "connection", "x-request-id"];
    let lines = answer.head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
    let mut all: Vec<(String, String)> =
        lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    all.retain(|(name, _)| !passing.contains(&name.as_str()));
    all.sort();
    all
}

#[test]
fn x_accel_hit_equals_the_direct_answer() {
    needs!(Nginx);
    let place = Place::new();
    let settings =
        [("TINTYPE_SERVER_X_ACCEL", STORE), ("TINTYPE_OUTPUT_WIDTHS", "100,200"), ("TINTYPE_OUTPUT_SNAP", "up")];
    let (tintype, nginx) = (place.tintype(&settings), place.nginx());
    let targets = [
        URL,
        "/photos/coffee.png?width=150&format=auto",
        "/photos/coffee.png?width=100&download=a%20%C3%A9.png",
        "/photos/coffee.png?width=100&v=7",
    ];
    for (nth, target) in targets.iter().enumerate() {
        assert!(!nginx.get(target, &[]).body.is_empty());
        // the last differs from the one before in nothing that is kept
        tintype.wait_for("tintype_cache_stored_total", (nth + 1).min(3) as f64);
    }
    for target in targets {
        let direct = |method: &str, more: &[(&str, &str)]| {
            let more: Vec<(&str, &str)> = more.iter().copied().chain([("X-Tintype-Direct", "1")]).collect();
            tintype.connect().ask(method, target, &more)
        };
        let whole = direct("GET", &[]);
        let left = tintype.get(target, &[]);
        assert!(left.header("x-accel-redirect").starts_with(STORE) && left.body.is_empty(), "{}", left.head);

        let (etag, date) = (whole.header("etag"), whole.header("last-modified"));
        let (length, one_more) = (whole.body.len(), format!("bytes={}-", whole.body.len()));
        assert!(length > 300);
        let cases: [&[(&str, &str)]; 18] = [
            &[],
            &[("If-None-Match", &etag)],
            &[("If-None-Match", "\"other\"")],
            &[("If-Modified-Since", &date)],
            &[("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")],
            &[("Range", "bytes=0-0")],
            &[("Range", "bytes=100-299")],
            &[("Range", "bytes=100-")],
            &[("Range", "bytes=-100")],
            &[("Range", "bytes=-9999999")],
            &[("Range", "bytes=0-9999999")],
            &[("Range", "bytes=0-99999999999999999999")],
            &[("Range", &one_more)],
            &[("Range", "bytes=0-1,5-9")],
            &[("Range", "bytes=9-1")],
            &[("Range", "bytes=100-299"), ("If-Range", &etag)],
            &[("Range", "bytes=100-299"), ("If-Range", "\"other\"")],
            &[("Range", "bytes=100-299"), ("If-Range", &date)],
        ];
        for case in cases {
            for method in ["GET", "HEAD"] {
                let (ours, its) = (direct(method, case), nginx.ask(method, target, case));
                let what = format!("{method} {target} {case:?}");
                assert_eq!(its.status, ours.status, "{what}");
                if ours.status == 416 {
                    // their bodies name the request
                    assert_eq!(its.header("content-range"), ours.header("content-range"));
                    continue;
                }
                let mut expected = headers(&ours);
                if its.status == 206 {
                    // nginx says so with whole bodies only
                    expected.retain(|(name, _)| name != "accept-ranges");
                }
                let mut got = headers(&its);
                got.retain(|(name, _)| its.status != 206 || name != "accept-ranges");
                assert_eq!(got, expected, "{what}");
                assert!(its.body == ours.body, "{what}");
            }
        }
        assert!(nginx.get(target, &[]).header("x-request-id").len() == 32);
    }
    // nothing of the cache is to be had by its name
    let left = tintype.get(URL, &[]).header("x-accel-redirect");
    nginx.get(&left, &[]).assert_problem(404);
    // and a purged one is made again
    let made = nginx.get(URL, &[]);
    std::fs::remove_dir_all(place.cache().join("v2")).expect("it is there");
    assert!(nginx.get(URL, &[]).body == made.body);
}

#[test]
fn x_accel_file_evicted_meanwhile_is_requested_again() {
    needs!(Nginx);
    let place = Place::new();
    std::fs::create_dir_all(place.cache()).expect("a folder");
    // as tintype, when the file is evicted right after it was looked at
    let _stand = Stand::start(&place, |head| {
        if head.contains("X-Tintype-Direct: 1\r\n") {
            return format!("HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: {}\r\n\r\n{head}", head.len());
        }
        let gone = format!("X-Accel-Redirect: {STORE}/v2/00/gone.webp\r\nETag: \"gone\"\r\nVary: Gone\r\n");
        format!("HTTP/1.1 200 OK\r\n{gone}Content-Length: 0\r\n\r\n")
    });
    let nginx = place.nginx();
    for path in ["/photos/a%2F%20b.png?w=1&x=%C3%A9", "//a/../b.png?w=2", URL] {
        let answer = nginx.get(path, &[("Accept", CHROMIUM)]);
        assert_eq!((answer.status, answer.header("etag").as_str()), (200, "\"x\""), "{path}");
        assert!(answer.try_header("vary").is_none(), "{}", answer.head);
        assert!(answer.text().starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{}", answer.text());
        assert_eq!(sent(&answer, "Accept").as_deref(), Some("image/avif,image/webp,*/*"));
    }
}

#[test]
fn service_manager_is_notified_of_start_and_stop() {
    let place = Place::new();
    let manager = place.0.path().join("notify");
    let notified = UnixDatagram::bind(&manager).expect("a socket");
    notified.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let next = || {
        let mut buffer = [0; 512];
        let count = notified.recv(&mut buffer).expect("it says something");
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    let manager = manager.to_str().expect("UTF-8");
    let mut server = place.tintype(&[("NOTIFY_SOCKET", manager), ("WATCHDOG_USEC", "60000")]);
    assert_eq!(next(), "READY=1\n");
    assert_eq!(Connection::open(&Address::Unix(place.socket())).ask("GET", "/-/ready", &[]).status, 200);
    assert_eq!((next(), next()), ("WATCHDOG=1\n".to_owned(), "WATCHDOG=1\n".to_owned()));
    server.signal(Signal::TERM);
    while next() != "STOPPING=1\n" {}
    assert!(server.wait().success());
}

/// Every file below a folder, with its bytes.
fn tree(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => {
                    files.push((path.strip_prefix(root).expect("below").to_owned(), std::fs::read(&path).expect("it")))
                }
            }
        }
    }
    files.sort();
    files
}

#[test]
fn install_keeps_changed_settings() {
    let root = tempfile::tempdir().expect("a folder");
    // any program will do that writes a manual, and a small one is copied sooner
    let program = root.path().join("program");
    let writes = "#!/bin/sh\n[ $1 != man ] || { mkdir $2 && touch $2/tintype.1 $2/tintype-serve.1; }\n";
    std::fs::write(&program, writes).expect("a file");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("ours");
    let root = root.path().join("root");
    std::fs::create_dir(&root).expect("a folder");
    let install = |more: &[&str]| {
        let mut command = Command::new("sh");
        command.arg(shipped("install")).arg("--root").arg(&root).arg("--binary").arg(&program).args(more);
        let (code, output, said) = run(&mut command, b"");
        assert_eq!(code, Some(0), "{said}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let count = |said: &str, what: &str| said.lines().filter(|line| line.starts_with(&format!("{what} "))).count();

    let said = install(&["--dry-run"]);
    assert!(tree(&root).is_empty());
    assert_eq!(count(&said, "new"), 14, "{said}");
    assert_eq!(count(&install(&[]), "new"), 14);
    let first = tree(&root);
    assert_eq!(first.len(), 15, "with the record");
    let unit = std::fs::read_to_string(root.join("usr/local/lib/systemd/system/tintype.service")).expect("the unit");
    assert!(unit.contains("ExecStart=/usr/local/bin/tintype serve --config /etc/tintype/tintype.toml\n"));
    assert_eq!(count(&install(&[]), "same"), 14);
    assert!(tree(&root) == first);

    // a new program takes the place of the old one; settings that were changed stay
    std::fs::write(&program, format!("{writes}# newer\n")).expect("a file");
    let settings = root.join("etc/tintype/tintype.toml");
    std::fs::write(&settings, "# mine\n").expect("a file");
    for _ in 0..2 {
        let said = install(&["--dry-run"]);
        assert_eq!(count(&said, "kept"), 1, "{said}");
        install(&[]);
        assert_eq!(std::fs::read_to_string(&settings).expect("it"), "# mine\n");
        let new = std::fs::read_to_string(settings.with_extension("toml.new")).expect("it");
        assert_eq!(new, text_of("tintype.toml"));
        assert!(std::fs::read_to_string(root.join("usr/local/bin/tintype")).expect("it").contains("newer"));
    }
    install(&["--uninstall"]);
    let left: Vec<PathBuf> = tree(&root).into_iter().map(|(path, _)| path).collect();
    assert_eq!(left, ["etc/tintype/tintype.toml", "etc/tintype/tintype.toml.new"].map(PathBuf::from));
}

#[test]
fn deployment_files_agree_with_the_program() {
    let networks = |text: &str| -> BTreeSet<String> {
        let is_network = |word: &&str| {
            word.rsplit_once('/').is_some_and(|(address, bits)| {
                address.parse::<std::net::IpAddr>().is_ok() && bits.parse::<u8>().is_ok() && address != "fe80::"
            })
        };
        text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';'))
            .filter(is_network)
            .map(str::to_owned)
            .collect()
    };
    let trusted = networks(&text_of("nginx-cloudflare.conf"));
    assert_eq!(trusted.len(), 22);
    for name in ["nftables.conf", "iptables.rules", "Caddyfile"] {
        assert_eq!(networks(&text_of(name)), trusted, "{name}");
    }

    let unit = text_of("tintype.service");
    let said = |name: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {name}"))
    };
    let seconds = |name: &str| said(name).trim_end_matches('s').parse::<u64>().expect("seconds");
    let defaults = tintype::config::Config::default();
    assert!(seconds("TimeoutStopSec") > defaults.fixed.server.shutdown_timeout.0.as_secs() + 5);
    assert_eq!((said("Type"), said("ExecReload")), ("notify", "/bin/sh -c 'kill -HUP $MAINPID'"));
    assert_eq!(seconds("WatchdogSec"), 30);
    let settings: toml::Table = text_of("tintype.toml").parse().expect("TOML");
    assert_eq!(settings["source"]["root"].as_str(), Some("/srv/images"));
    let socket = settings["server"]["listen"].as_str().expect("an address");
    // the socket that systemd keeps open is the one that the settings and the site name, and outlives the service
    let kept = text_of("tintype.socket");
    let has = |line: &str| kept.lines().any(|this| this == line);
    assert!(has(&format!("ListenStream={}", socket.trim_start_matches("unix:"))));
    assert!(has("SocketMode=0660") && has("SocketGroup=tintype") && has("FileDescriptorName=tintype"));
    assert_eq!(defaults.fixed.server.socket_mode.to_string(), "0660");
    assert_eq!((said("RuntimeDirectory"), said("RuntimeDirectoryPreserve")), ("tintype", "yes"));
    // what the site says of clients is believed, and it says no more than it knows
    assert_eq!(settings["server"]["real_ip_from"].as_array().map(Vec::len), Some(1));
    assert!(text_of("nginx.conf").contains("proxy_set_header X-Forwarded-For $remote_addr;"));
    assert_eq!(defaults.fixed.server.real_ip_header, "X-Forwarded-For");
    assert!(text_of("nginx.conf").contains(&format!("server {socket} ")));
    // a credential whose file is missing would keep the service from starting
    let credentials: Vec<&str> = unit.lines().filter_map(|line| line.strip_prefix("LoadCredential=")).collect();
    assert_eq!(credentials.len(), 2);
    for (name, path) in credentials.iter().map(|one| one.split_once(':').expect("a name and a path")) {
        assert!(text_of("tmpfiles.d/tintype.conf").contains(&format!("f {path} ")), "{path}");
        assert!(text_of("tintype.toml").contains(&format!("_file = \"{name}\"")), "{name}");
    }
    let mut config = tintype();
    let (code, output, said) = run(config.arg("config").arg("--config").arg(shipped("tintype.toml")), b"");
    assert_eq!(code, Some(0), "{said}");
    let shown = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(shown.contains(&format!("listen = \"{socket}\"")), "{shown}");
    assert!(text_of("sysusers.d/tintype.conf").lines().any(|line| line.starts_with("u tintype ")));

    // what the package takes along
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("the manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let deb = &manifest["package"]["metadata"]["deb"];
    let makefile = std::fs::read_to_string(root.join("Makefile")).expect("the Makefile");
    let mut places = BTreeSet::new();
    for asset in deb["assets"].as_array().expect("a list") {
        let (from, to) = (asset[0].as_str().expect("a path"), asset[1].as_str().expect("a path"));
        // the one is built, the others are a pattern
        let is_there = from.starts_with("target/") || root.join(from.replace("*.md", "")).exists();
        if let Some(made) = from.strip_prefix("target/release/manual/") {
            assert!(makefile.contains(made.trim_start_matches("*.")), "{made} is made by `make deb`");
        }
        assert!(is_there, "{from}");
        let name = if to.ends_with('/') { from.rsplit('/').next().unwrap_or_default() } else { "" };
        places.insert(format!("/{to}{name}"));
    }
    for file in deb["conf-files"].as_array().expect("a list") {
        assert!(places.contains(file.as_str().expect("a path")), "{file}");
    }
    assert!(places.contains("/usr/bin/tintype"), "as the unit says");
    assert!(unit.contains("ExecStart=/usr/bin/tintype serve "));
}

/// Pages of other sites may read answers of nginx's own as they may tintype's, and no header is there twice, which browsers
/// take for none.
#[test]
fn cors_headers_stand_once_on_answers_of_nginx() {
    needs!(Nginx);
    let place = Place::new();
    let tintype = place.tintype(&[]);
    let nginx = place.nginx();
    let origin = ("Origin", "https://a.example");
    let granted = |what: &str, answer: &Answer, status: u16| {
        assert_eq!(answer.status, status, "{what}\n{}", answer.head);
        for name in ["access-control-allow-origin", "timing-allow-origin"] {
            assert_eq!(answer.header(name), "*", "{what}: {name}\n{}", answer.head);
        }
        assert!(answer.header("access-control-expose-headers").contains("ETag"), "{what}\n{}", answer.head);
    };
    let ask = |target: &str, more: &[(&str, &str)]| {
        nginx.get(target, &[origin].into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
    };
    let first = ask(URL, &[]);
    granted("rendition", &first, 200);
    granted("hit", &ask(URL, &[]), 200);
    granted("unchanged", &ask(URL, &[("If-None-Match", &first.header("etag"))]), 304);
    granted("problem", &ask("/photos/coffee.png?width=0", &[]), 400);
    let original = ask("/photos/coffee.png", &[]);
    granted("original", &original, 200);
    granted("unchanged original", &ask("/photos/coffee.png", &[("If-None-Match", &original.header("etag"))]), 304);
    granted("no such range", &ask("/photos/coffee.png", &[("Range", "bytes=99999999-")]), 416);
    granted("nginx's own 404", &ask("/-/metrics", &[]), 404);
    granted("nginx's own 413", &nginx.ask("POST", "/-/log", &[origin, ("Content-Length", "20000")]), 413);
    let preflight = nginx.ask("OPTIONS", URL, &[origin, ("Access-Control-Request-Method", "GET")]);
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin").as_str()), (204, "*"));
    assert_eq!(preflight.header("access-control-allow-methods"), "GET, HEAD");

    assert!(tintype.stop().success());
    granted("original for a rendition", &ask(URL, &[]), 200);
    granted("nothing for a rendition", &ask("/photos/none.png?width=20", &[]), 503);
    // also where tintype has answered, and what it said is not sent
    let stand = Stand::start(&place, |_| {
        "HTTP/1.1 503 X\r\nAccess-Control-Allow-Origin: https://other.example\r\nContent-Length: 4\r\n\r\nours"
            .to_owned()
    });
    granted("original for a refusal", &ask(URL, &[]), 200);
    granted("nothing for a refusal", &ask("/photos/none.png?width=20", &[]), 503);
    drop(stand);
    std::fs::write(place.flag(), "").expect("a file");
    granted("maintenance", &ask(URL, &[]), 503);
}

/// With X-Accel-Redirect the body is nginx's, and the headers are tintype's.
#[test]
fn x_accel_hits_grant_listed_origins_only() {
    needs!(Nginx);
    let place = Place::new();
    let allowed = ("TINTYPE_SERVER_ALLOW_ORIGIN", "https://a.example, https://b.example");
    let tintype = place.tintype(&[("TINTYPE_SERVER_X_ACCEL", STORE), allowed]);
    let nginx = place.nginx_with(|site| {
        // as the comment in the site says
        let list = "default \"\"; \"https://a.example\" $http_origin; \"https://b.example\" $http_origin;";
        with(
            site.to_owned(),
            &[
                (
                    "map $http_origin $tintype_allow_origin {\n    default \"*\";",
                    &format!("map $http_origin $tintype_allow_origin {{\n    {list}"),
                ),
                (
                    "map $http_origin $tintype_vary_origin {\n    default \"\";",
                    "map $http_origin $tintype_vary_origin {\n    default Origin;",
                ),
            ],
        )
    });
    assert_eq!(nginx.get(URL, &[]).status, 200);
    tintype.wait_for("tintype_cache_stored_total", 1.0);
    for (origin, granted) in
        [(None, None), (Some("https://a.example"), Some("https://a.example")), (Some("https://c.example"), None)]
    {
        let headers: Vec<_> = origin.map(|origin| ("Origin", origin)).into_iter().collect();
        for target in [URL, "/photos/coffee.png", "/photos/coffee.png?width=0", "/-/metrics"] {
            let answer = nginx.get(target, &headers);
            for name in ["access-control-allow-origin", "timing-allow-origin"] {
                assert_eq!(answer.try_header(name).as_deref(), granted, "{target} {name}\n{}", answer.head);
            }
            assert_eq!(answer.header("vary"), "Origin", "{target}\n{}", answer.head);
        }
    }
}
