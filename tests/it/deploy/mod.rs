//! The files of `deploy/` as they are shipped, in a real nginx and with the built program: only paths and addresses are
//! replaced.

mod cluster;
mod demo;
mod fallback;
mod files;
mod shells;
mod x_accel;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::need::needs;
use crate::common::nginx::Nginx;
use crate::common::site::{SiteFolder, Stub, sent, shipped, text_of, with};
use crate::common::{Address, Answer, Connection, PATIENCE, folder, run, tintype};
use rustix::process::Signal;
use tintype::render::Format;

const URL: &str = "/photos/coffee.png?width=200&format=webp";
const CHROMIUM: &str = "image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";
const FIREFOX: &str = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5";
const STORE: &str = "/_tintype_store";

#[test]
fn site_sends_renditions_and_problems_of_tintype() {
    needs!(Nginx);
    let place = SiteFolder::new();
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
    // problems come from tintype unchanged
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
    let place = SiteFolder::new();
    // tintype does not run
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
    // nginx does not send these, and tintype is down
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

/// nginx and tintype send the same headers with an original.
#[test]
fn headers_of_originals_equal_those_of_tintype() {
    needs!(Nginx);
    let place = SiteFolder::new();
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

/// The site with its commented lines for `proxy_cache`.
fn with_cache(place: &SiteFolder, site: &str) -> String {
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
    let place = SiteFolder::new();
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
fn request_headers_of_the_site_reach_tintype() {
    needs!(Nginx);
    let place = SiteFolder::new();
    let _stub = Stub::echoing(&place);
    let nginx = place.nginx();
    // the request target is unchanged, byte for byte
    for path in
        ["/a%2Fb.png?w=1", "//a//b.png", "/a/../b.png", "/./a.png", "/%61%20b%25.png", "/a.png?", "/a;b?x=%2F&y=a+b"]
    {
        let line = nginx.get(path, &[]).text();
        assert!(line.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{line}");
    }
    let (avif, webp, any) = ("image/avif,image/webp,*/*", "image/webp,*/*", "*/*");
    for (accept, class) in [
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
        let answer = nginx.get("/a.png?format=auto", &[("Accept", accept)]);
        assert_eq!(sent(&answer, "Accept").as_deref(), Some(class), "{accept}");
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

    // below /-/ only beacons and uploads are public
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

/// The nginx block of the README.
#[test]
fn readme_site_serves_renditions() {
    needs!(Nginx);
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).expect("the README");
    let site = readme.split_once("```nginx\n").and_then(|(_, rest)| rest.split_once("```")).expect("a block").0;
    let place = SiteFolder::new();
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

/// The nginx blocks of docs/openresty.md, placed where it says.
#[test]
fn rewrites_of_the_migration_guide_map_old_urls() {
    needs!(Nginx);
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migrate/openresty.md");
    let manual = std::fs::read_to_string(manual).expect("a document");
    let mut blocks = manual.split("```nginx\n").skip(1).map(|rest| rest.split_once("```").expect("an end").0);
    let (map, location) = (blocks.next().expect("a map"), blocks.next().expect("a location"));
    let place = SiteFolder::new();
    let _stub = Stub::echoing(&place);
    let nginx = place.nginx_with(|site| {
        let site = with(site.to_owned(), &[("    location / {", &format!("{location}\n    location / {{"))]);
        format!("{map}\n{site}")
    });
    for (old, new) in [
        ("/users/123/avatar-64.jpg", "/avatars/123.jpg?width=64&height=64&fit=cover"),
        ("/resize/300x200/a%20b%2F//c.jpg?x=1", "/resize/300x200/a%20b%2F//c.jpg?x=1"),
        ("/cats/tom.jpg?w=3", "/cats/tom.jpg?w=3"),
    ] {
        let line = nginx.get(old, &[]).text();
        assert!(line.starts_with(&format!("GET {new} HTTP/1.1\r\n")), "{old}: {line}");
    }
}

/// Answers that nginx makes itself have the CORS headers of tintype's, and each header once: browsers refuse two
/// of them.
#[test]
fn cors_headers_stand_once_on_answers_of_nginx() {
    needs!(Nginx);
    let place = SiteFolder::new();
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
    // the headers of tintype's refused answer are not sent along
    let stub = Stub::start(&place, |_| {
        "HTTP/1.1 503 X\r\nAccess-Control-Allow-Origin: https://other.example\r\nContent-Length: 4\r\n\r\nours"
            .to_owned()
    });
    granted("original for a refusal", &ask(URL, &[]), 200);
    granted("nothing for a refusal", &ask("/photos/none.png?width=20", &[]), 503);
    drop(stub);
    std::fs::write(place.flag(), "").expect("a file");
    granted("maintenance", &ask(URL, &[]), 503);
}
