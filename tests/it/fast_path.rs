//! The fast path gives the answers of the slow path: every kind of request is sent to a server with `server.fast_path` and to
//! one without, and the answers are compared byte for byte.

use crate::common::{Answer, Connection, Server, serve, testdata, tintype};

/// In memory on both servers; larger and smaller than what is sent by sendfile.
const LARGE: &str = "/photos/astronaut.png?format=png&width=300&sharpen=1";
const SMALL: &str = "/photos/coffee.png?format=webp&width=60";
const NEGOTIATED: &str = "/photos/coffee.png?width=60&format=auto";
const DAMAGED: &str = "/hostile/truncated.jpg?width=20";
const HINTED: &str = "/photos/coffee.png?width=auto&format=auto";
const URLS: [&str; 10] = [
    HINTED,
    SMALL,
    LARGE,
    NEGOTIATED,
    "/photos/coffee.png?w=60&fm=webp&v=1&utm_source=x&amp;height=9",
    "/photos/coffee.png?width=60&download=a%20%22b%22.webp",
    "/photos/coffee.png?format=json",
    "/photos/coffee.png",
    "/generated/%61lpha.png?width=20",
    DAMAGED,
];

const EPOCH: &str = "Thu, 01 Jan 1970 00:00:00 GMT";
const FUTURE: &str = "Fri, 31 Dec 2100 23:59:59 GMT";

/// Headers of a request, of which `{etag}` and `{date}` stand for those of the URL's rendition.
const HEADERS: &[&[(&str, &str)]] = &[
    &[],
    &[("Accept", "image/avif,image/webp,*/*")],
    &[("Accept", "image/webp"), ("Accept", "image/png")],
    &[("Accept", "\u{e9}")],
    &[("Accept", "")],
    // client hints: the first line counts
    &[("Sec-CH-Width", "60")],
    &[("sec-ch-width", "60"), ("Save-Data", "on")],
    &[("Save-Data", "on")],
    &[("Width", "60")],
    &[("Sec-CH-Viewport-Width", "40"), ("Sec-CH-DPR", "1.5")],
    &[("Sec-CH-Width", "\u{e9}")],
    &[("Sec-CH-Width", "60"), ("Sec-CH-Width", "150")],
    &[("Sec-CH-Width", "x"), ("Sec-CH-Width", "60")],
    &[("Connection", "keep-alive")],
    &[("Connection", "Keep-Alive, x")],
    &[
        ("User-Agent", "\u{e9}\u{fc}"),
        ("Cookie", "a=b; c=\"d\""),
        ("Cache-Control", "no-cache"),
        ("Pragma", "no-cache"),
    ],
    &[("X-Request-Id", "a b")],
    &[("X-Request-Id", "b"), ("X-Request-Id", "c")],
    &[("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-For", "\u{e9}")],
    // conditions
    &[("If-None-Match", "{etag}")],
    &[("If-None-Match", "W/{etag}")],
    &[("If-None-Match", "\"a,b\", {etag} , \"c\"")],
    &[("If-None-Match", "*")],
    &[("If-None-Match", "\"other\"")],
    &[("If-None-Match", "{etag}x")],
    &[("If-None-Match", "")],
    &[("If-None-Match", "\"\u{e9}\", {etag}")],
    &[("If-None-Match", "\"other\""), ("If-None-Match", "{etag}")],
    &[("if-none-match", "\"other\""), ("if-modified-since", "{date}")],
    &[("If-None-Match", "{etag}"), ("If-Modified-Since", EPOCH)],
    &[("If-Modified-Since", "{date}")],
    &[("If-Modified-Since", EPOCH)],
    &[("If-Modified-Since", FUTURE)],
    &[("If-Modified-Since", "yesterday")],
    &[("If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT")],
    &[("If-Modified-Since", "{date}"), ("If-Modified-Since", EPOCH)],
    &[("If-Match", "{etag}")],
    &[("If-Match", "\"other\"")],
    &[("If-Match", "*"), ("If-None-Match", "{etag}")],
    &[("If-Unmodified-Since", EPOCH)],
    &[("If-Unmodified-Since", FUTURE), ("If-None-Match", "{etag}")],
    &[("If-None-Match", "{etag}"), ("Range", "bytes=0-9")],
    // ranges
    &[("Range", "bytes=1-99")],
    &[("Range", "bytes=-5")],
    &[("Range", "bytes=0-1,3-4")],
    &[("Range", "bytes=9999999-")],
    &[("Range", "lines=1-2")],
    &[("Range", "bytes=0-9"), ("If-Range", "{etag}")],
    &[("Range", "bytes=0-9"), ("If-Range", "\"other\"")],
    &[("If-Range", "{etag}")],
    // CORS
    &[("Origin", "https://a.example")],
    &[("Origin", "https://b.example"), ("If-None-Match", "{etag}")],
    &[("Origin", "https://a.example"), ("If-None-Match", "{etag}")],
    &[("Origin", "null")],
    &[("Origin", "https://a.example"), ("Origin", "https://a.example")],
    &[("Origin", "\u{e9}")],
    &[("Access-Control-Request-Method", "GET"), ("Origin", "https://a.example")],
    // hosts and bodies
    &[("Host", "other")],
    &[("Content-Length", "0")],
    &[("Expect", "nothing")],
    &[("Upgrade", "h2c")],
    &[("If", "x"), ("If-Something", "x")],
];

/// Heads that are odd as a whole, with the number of answers.
const HEADS: &[(&str, usize)] = &[
    ("GET {url} HTTP/1.1\r\nhOsT:test\r\n\r\n", 1),
    ("GET {url} HTTP/1.1\nHost: test\n\n", 1),
    ("\r\nGET {url} HTTP/1.1\r\nHost: test\r\n\r\n", 1),
    ("GET http://test{url} HTTP/1.1\r\nHost: test\r\n\r\n", 1),
    ("GET {url} HTTP/1.1\r\nHost: a b\r\n\r\n", 1),
    ("GET {url} HTTP/1.1\r\n\r\n", 1),
    ("GET {url} HTTP/1.1\r\nHost: test\r\nX : y\r\n\r\n", 1),
    ("GET {url}#a HTTP/1.1\r\nHost: test\r\n\r\n", 1),
    ("GET {url}& HTTP/1.1\r\nHost: test\r\n\r\n", 1),
    ("GET /.{url} HTTP/1.1\r\nHost: test\r\n\r\n", 1),
    ("GET {url} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", 1),
    ("GET {url} HTTP/1.1\r\nHost: test\r\n\r\nGET {url} HTTP/1.1\r\nHost: test\r\n\r\n", 2),
    ("GET {url} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 1),
];

fn start(fast_path: bool, allow_origin: &[&str]) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tintype.toml");
    let text = format!(
        "[server]\nfast_path = {fast_path}\nallow_origin = {allow_origin:?}\n\
         [output]\nclient_hints = true\nsave_data_quality = 40\n"
    );
    std::fs::write(&file, text).expect("a file");
    let mut command = serve(tintype(), &testdata(), &folder.path().join("cache"), "127.0.0.1:0", &[]);
    command.arg("--config").arg(file);
    (Server::spawn(command).expect("it serves"), folder)
}

/// The head of an answer without what differs from answer to answer.
fn constant(answer: &Answer) -> String {
    let lines = answer.head.split_inclusive("\r\n");
    lines
        .map(|line| match line.split_once(": ") {
            Some((name @ "x-request-id", id)) if id != "mine\r\n" => format!("{name}: …\r\n"),
            Some((name @ "date", _)) => format!("{name}: …\r\n"),
            _ => line.to_owned(),
        })
        .collect()
}

/// The body without the identifiers of problems.
fn constant_body(answer: &Answer) -> Vec<u8> {
    // none in the answer to HEAD
    let is_problem = answer.try_header("content-type").as_deref() == Some("application/problem+json");
    if !is_problem || answer.body.is_empty() {
        return answer.body.clone();
    }
    let mut body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    let instance = body["instance"].as_str().expect("text").to_owned();
    if instance != "urn:request:mine" {
        body["instance"] = "…".into();
    }
    body.to_string().into_bytes()
}

#[track_caller]
fn assert_same(servers: &[Server; 2], ask: impl Fn(&mut Connection) -> Vec<Answer>, what: &str) -> Vec<Answer> {
    let [fast, slow] = servers.each_ref().map(|server| ask(&mut server.connect()));
    for (fast, slow) in fast.iter().zip(&slow) {
        // a problem's identifier has no fixed length
        let [fast_head, slow_head] = [fast, slow].map(|answer| match answer.status {
            400.. => without_length(&constant(answer)),
            _ => constant(answer),
        });
        assert_eq!(fast_head, slow_head, "{what}");
        assert!(constant_body(fast) == constant_body(slow), "{what}: the bodies differ\n{}", fast.head);
    }
    fast
}

fn without_length(head: &str) -> String {
    head.split_inclusive("\r\n").filter(|line| !line.starts_with("content-length: ")).collect()
}

#[test]
fn fast_path_and_slow_path_give_the_same_answers() {
    for allow_origin in [&["*"][..], &[], &["https://a.example", "https://c.example"]] {
        let started = [true, false].map(|fast_path| start(fast_path, allow_origin));
        let servers = started.each_ref().map(|(server, _)| server);
        // rendered, read from disk, and from memory from now on; all with the Accept headers that follow
        for server in servers {
            for url in URLS {
                let hints = [("Sec-CH-Width", "60"), ("Save-Data", "on")];
                let accept = ("Accept", "image/avif,image/webp,*/*");
                for accept in [&[][..], &[accept], &[("Accept", "")], &hints[..1], &hints[1..], &hints] {
                    (0..3).for_each(|_| drop(server.get(url, accept)));
                }
            }
        }
        let [(fast, _fast_folder), (slow, _slow_folder)] = started;
        let servers = [fast, slow];
        let mut not_modified = 0;
        for url in URLS {
            let [plain] = &assert_same(&servers, |connection| vec![connection.ask("GET", url, &[])], url)[..] else {
                panic!("one answer")
            };
            let (etag, date) = (plain.try_header("etag"), plain.try_header("last-modified"));
            let put_in = |value: &str| {
                let etag = etag.as_deref().unwrap_or_default();
                value.replace("{etag}", etag).replace("{date}", date.as_deref().unwrap_or_default())
            };
            for method in ["GET", "HEAD", "OPTIONS", "POST"] {
                for headers in HEADERS {
                    let values: Vec<_> = headers.iter().map(|(name, value)| (*name, put_in(value))).collect();
                    let id =
                        (!headers.iter().any(|(name, _)| *name == "X-Request-Id")).then_some(("X-Request-Id", "mine"));
                    let sent: Vec<_> = values.iter().map(|(name, value)| (*name, value.as_str())).chain(id).collect();
                    let what = format!("{allow_origin:?} {method} {url} {sent:?}");
                    // twice on a connection, so that the second request follows an answer of either path
                    let ask = |connection: &mut Connection| {
                        let first = connection.ask(method, url, &sent);
                        if first.try_header("connection").as_deref() == Some("close") {
                            return vec![first];
                        }
                        vec![first, connection.ask(method, url, &sent)]
                    };
                    let answers = assert_same(&servers, ask, &what);
                    not_modified += answers.iter().filter(|answer| answer.status == 304).count();
                }
            }
            for (head, count) in HEADS {
                let head = head.replace("{url}", url);
                let ask = |connection: &mut Connection| {
                    connection.try_send(head.as_bytes());
                    (0..*count).map(|_| connection.receive("GET")).collect()
                };
                assert_same(&servers, ask, &format!("{allow_origin:?} {head:?}"));
            }
        }
        assert!(not_modified > 400, "{not_modified}");
        let [fast, slow] = servers.each_ref().map(|server| server.metric("tintype_fast_path_answers_total"));
        assert!(fast > 400.0, "{fast}");
        assert_eq!(slow, 0.0);
        // the same requests have the same counters
        let counters = |server: &Server| {
            let text = server.get("/-/metrics", &[]).text();
            let is_counted = |line: &&str| {
                [
                    "tintype_requests_total",
                    "tintype_body_bytes_total",
                    "tintype_failures_total",
                    "tintype_unknown_params",
                ]
                .iter()
                .any(|name| line.starts_with(name))
            };
            text.lines().filter(is_counted).map(str::to_owned).collect::<Vec<_>>()
        };
        let [fast, slow] = servers.each_ref().map(counters);
        assert_eq!(fast, slow);
    }
}
