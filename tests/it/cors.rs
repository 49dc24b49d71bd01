//! Cross-origin resource sharing (`server.allow_origin`).

use crate::common::{Answer, Server, folder, serve, testdata, tintype};

const A: &str = "https://a.example";
const B: &str = "http://b.example:8080";
const LIST: &str = "https://a.example, http://b.example:8080";
const EXPOSED: &str = "ETag, Cache-Status, Content-Length, Server-Timing, X-Request-Id";

const IMAGE: &str = "/photos/coffee.png?width=60&format=webp";
const NEGOTIATED: &str = "/photos/coffee.png?width=60&format=auto";

/// Every kind of answer, and its status.
const ANSWERS: &[(&str, &str, &[(&str, &str)], u16)] = &[
    ("GET", IMAGE, &[], 200),
    ("HEAD", IMAGE, &[], 200),
    ("GET", NEGOTIATED, &[], 200),
    ("GET", IMAGE, &[("If-None-Match", "*")], 304),
    ("GET", NEGOTIATED, &[("If-None-Match", "*")], 304),
    ("GET", IMAGE, &[("Range", "bytes=0-9")], 206),
    ("GET", IMAGE, &[("Range", "bytes=9999999-")], 416),
    ("GET", "/photos/coffee.png", &[], 200),
    ("GET", "/photos/coffee.png", &[("If-None-Match", "*")], 304),
    ("GET", "/photos/coffee.png?format=json", &[], 200),
    ("GET", "/photos/coffee.png?width=0", &[], 400),
    ("GET", "/photos/coffee.png?width=0&format=auto", &[], 400),
    ("GET", "/photos/none.png?width=60", &[], 404),
    ("GET", "/hostile/text.txt", &[], 415),
    ("GET", "/hostile/png-header-100000.png?width=60", &[], 422),
    ("POST", IMAGE, &[("Content-Length", "0")], 405),
    ("OPTIONS", IMAGE, &[], 405),
    ("GET", IMAGE, &[("Host", "another")], 400),
    ("GET", "/-/nothing", &[], 404),
];

fn start(allow_origin: &str) -> (Server, tempfile::TempDir) {
    let cache = folder();
    // an empty variable counts as unset, so the setting is in a file
    let file = cache.path().join("tintype.toml");
    let origins: Vec<&str> = allow_origin.split(',').map(str::trim).filter(|origin| !origin.is_empty()).collect();
    std::fs::write(&file, format!("[server]\nallow_origin = {origins:?}\n")).expect("a file");
    let mut command = serve(tintype(), &testdata(), &cache.path().join("cache"), "127.0.0.1:0", &[]);
    command.arg("--config").arg(file);
    (Server::spawn(command).expect("it serves"), cache)
}

fn with_origin<'a>(headers: &[(&'a str, &'a str)], origin: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    headers.iter().copied().chain(origin.map(|origin| ("Origin", origin))).collect()
}

#[track_caller]
fn assert_granted(answer: &Answer, granted: Option<&str>, what: &str) {
    let expected = granted.map(str::to_owned);
    for name in ["access-control-allow-origin", "timing-allow-origin"] {
        assert_eq!(answer.try_header(name), expected, "{name}: {what}\n{}", answer.head);
    }
    let exposed = answer.try_header("access-control-expose-headers");
    assert_eq!(exposed, granted.map(|_| EXPOSED.to_owned()), "{what}\n{}", answer.head);
}

#[test]
fn every_answer_names_the_origins_that_may_read_it() {
    for (setting, is_list) in [("*", false), ("", false), (LIST, true)] {
        let (server, _cache) = start(setting);
        for origin in [None, Some(A), Some(B), Some("https://c.example"), Some("https://A.example"), Some("null")] {
            let granted = match setting {
                "*" => Some("*"),
                LIST => origin.filter(|origin| [A, B].contains(origin)),
                _ => None,
            };
            for (method, target, headers, status) in ANSWERS {
                let what = format!("{setting:?} {origin:?} {method} {target} {headers:?}");
                let answer = server.connect().ask(method, target, &with_origin(headers, origin));
                assert_eq!(answer.status, *status, "{what}\n{}", answer.head);
                assert_granted(&answer, granted, &what);
                let accept = target.contains("format=auto").then_some("Accept");
                let vary: Vec<&str> = accept.into_iter().chain(is_list.then_some("Origin")).collect();
                assert_eq!(answer.try_header("vary").unwrap_or_default(), vary.join(", "), "{what}\n{}", answer.head);
                assert!(answer.try_header("access-control-allow-credentials").is_none(), "{what}");
            }
            // neither an image nor a problem
            assert_granted(&server.get("/-/live", &with_origin(&[], origin)), None, setting);
            // an unreadable request has no Origin
            let mut connection = server.connect();
            connection.send(b"GET / HTTP/1.1\r\nOrigin: https://a.example\r\nX : y\r\n\r\n");
            let answer = connection.receive("GET");
            answer.assert_problem(400);
            assert_granted(&answer, granted.filter(|_| !is_list), setting);
        }
    }
}

#[test]
fn preflights_are_allowed_to_read() {
    let ask = |server: &Server, target: &str, origin: Option<&str>, method: Option<&str>| {
        let method = method.map(|method| ("Access-Control-Request-Method", method));
        let more = [("Access-Control-Request-Headers", "range, x-request-id")];
        let headers: Vec<_> = method.into_iter().chain(more).collect();
        server.connect().ask("OPTIONS", target, &with_origin(&headers, origin))
    };
    for (setting, origin, granted) in [
        ("*", Some("https://c.example"), Some("*")),
        ("*", None, Some("*")),
        (LIST, Some(A), Some(A)),
        (LIST, Some(B), Some(B)),
        (LIST, Some("https://c.example"), None),
        (LIST, None, None),
    ] {
        let (server, _cache) = start(setting);
        for method in ["GET", "HEAD", "DELETE"] {
            let answer = ask(&server, IMAGE, origin, Some(method));
            assert_eq!((answer.status, answer.body.len()), (204, 0), "{}", answer.head);
            assert!(answer.try_header("content-length").is_none() && answer.try_header("content-type").is_none());
            assert_eq!(answer.try_header("access-control-allow-origin").as_deref(), granted);
            let allowed = granted.map(|_| ("GET, HEAD", "*", "86400"));
            for (name, value) in [
                ("access-control-allow-methods", allowed.map(|allowed| allowed.0)),
                ("access-control-allow-headers", allowed.map(|allowed| allowed.1)),
                ("access-control-max-age", allowed.map(|allowed| allowed.2)),
                ("vary", (setting == LIST).then_some("Origin")),
            ] {
                assert_eq!(answer.try_header(name).as_deref(), value, "{setting} {origin:?} {name}\n{}", answer.head);
            }
        }
        assert_eq!(server.metric("tintype_preflights_total"), 3.0);
        // without the header it is no preflight
        let other = ask(&server, IMAGE, origin, None);
        other.assert_problem(405);
        assert_eq!(other.header("allow"), "GET, HEAD");
        // requests below /-/ are not allowed from pages
        assert_ne!(ask(&server, "/-/upload/a.png", origin, Some("PUT")).status, 204);
    }
    let (off, _cache) = start("");
    ask(&off, IMAGE, Some(A), Some("GET")).assert_problem(405);
}
