//! Malicious bytes on the wire: request smuggling, invalid heads, invalid hosts, heads over the limits.
//! and the end of the process while all of them are there.
//!
//! `TINTYPE_ATTACK=1 cargo test --release --test it -- wire::figures --nocapture` prints what such clients cost the others.

use crate::common::{Server, folder, poll, testdata};

/// The state of the connection after the answers.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// It is open for the next request.
    Stays,
    /// It is closed without more bytes.
    Ends,
}

const PICTURE: &str = "/generated/alpha.png";
const LIVE: &str = "GET /-/live HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";

#[test]
fn every_request_gets_one_answer() {
    let cache = folder();
    let server = Server::start(&testdata(), cache.path());
    let check = |what: &str, sent: &str, expected: &[(&str, u16)], then: Then| {
        let mut connection = server.connect();
        // the server may close the connection before it has read everything
        connection.try_send(sent.as_bytes());
        for &(method, status) in expected {
            let answer = connection.receive(method);
            assert_eq!(answer.status, status, "{what}:\n{}", answer.head);
            if status >= 400 && method != "HEAD" {
                answer.assert_problem(status);
                answer.header("x-request-id");
            }
            assert!(!answer.head.contains("EVIL") && !answer.text().contains("EVIL"), "{what}:\n{}", answer.head);
        }
        if then == Then::Stays {
            let live = connection.ask("GET", "/-/live", &[("Connection", "close")]);
            assert_eq!((live.status, live.text().contains("live")), (200, true), "{what}");
        }
        let rest = connection.rest();
        assert!(rest.is_empty(), "{what}: {}", String::from_utf8_lossy(&rest));
    };
    let get = |headers: &str| format!("GET {PICTURE} HTTP/1.1\r\nHost: test\r\n{headers}\r\n");
    let post = |headers: &str, body: &str| format!("POST {PICTURE} HTTP/1.1\r\nHost: test\r\n{headers}\r\n{body}");
    let url = |url: &str| format!("GET {url} HTTP/1.1\r\nHost: test\r\n\r\n");
    let (ok, bad) = (("GET", 200), ("GET", 400));
    let three = [get(""), url("/none.png"), get("")].concat();
    check("pipelining", &three, &[ok, ("GET", 404), ok], Then::Stays);
    let heads = "HEAD /generated/alpha.png HTTP/1.1\r\nHost: test\r\n\r\nHEAD /none.png HTTP/1.1\r\nHost: test\r\n\r\n";
    check("HEADs", &format!("{heads}{}", get("")), &[("HEAD", 200), ("HEAD", 404), ok], Then::Stays);
    check("304", &[get("If-None-Match: *\r\n"), get("")].concat(), &[("GET", 304), ok], Then::Stays);

    // framing: Content-Length and Transfer-Encoding
    let two = |headers: &str| post(headers, &format!("0\r\n\r\n{LIVE}"));
    check("CL.TE", &two("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"), &[("POST", 405)], Then::Ends);
    check("TE.CL", &two("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"), &[("POST", 405)], Then::Ends);
    check("chunked", &two("Transfer-Encoding: chunked\r\n"), &[("POST", 405)], Then::Ends);
    check("chunked GET", &[get("Transfer-Encoding: chunked\r\n"), "0\r\n\r\n".into()].concat(), &[ok], Then::Ends);
    check("two lengths", &post("Content-Length: 4\r\nContent-Length: 5\r\n", "abcde"), &[bad], Then::Ends);
    check(
        "one length twice",
        &post("Content-Length: 4\r\nContent-Length: 4\r\n", "abcd"),
        &[("POST", 405)],
        Then::Stays,
    );
    for length in ["+4", "-4", "4, 4", "0x4", "4 4", "", "99999999999999999999999"] {
        check(length, &post(&format!("Content-Length: {length}\r\n"), "abcd"), &[bad], Then::Ends);
    }
    for coding in ["chunked, identity", "xchunked", "identity", "chunked;a", "\"chunked\""] {
        check(coding, &two(&format!("Transfer-Encoding: {coding}\r\n")), &[bad], Then::Ends);
    }
    check("body on GET", &[get("Content-Length: 5\r\n"), "hello".into(), get("")].concat(), &[ok, ok], Then::Stays);
    check("body that does not come", &get("Content-Length: 1000000000\r\n"), &[ok], Then::Ends);
    let large = [get("Content-Length: 3000000\r\n"), "x".repeat(3_000_000)].concat();
    check("large body on GET", &large, &[ok], Then::Ends);
    check("expectation", &post("Expect: 100-continue\r\nContent-Length: 4\r\n", ""), &[("POST", 405)], Then::Ends);
    check("expectation on GET", &get("Expect: 100-continue\r\n"), &[ok], Then::Stays);

    // hosts
    check("no host", &format!("GET {PICTURE} HTTP/1.1\r\n\r\n"), &[bad], Then::Ends);
    check("two hosts", &get("Host: EVIL\r\n"), &[bad], Then::Ends);
    check("no such host", &get("").replace("test", "EVIL, EVIL"), &[bad], Then::Ends);
    check("host and user", &get("").replace("test", "EVIL@test"), &[bad], Then::Ends);
    check("user in the URL", &url(&format!("http://EVIL@test{PICTURE}")), &[bad], Then::Ends);
    check("another host", &url(&format!("http://EVIL{PICTURE}")), &[ok], Then::Stays);

    // header injection
    check("CRLF in the URL", &url("/a%0d%0aSet-Cookie:%20EVIL"), &[("GET", 404)], Then::Stays);
    check("CRLF in a name", &url("/generated/alpha.png?dl=a%0d%0aX:y"), &[bad], Then::Stays);
    check("CRLF in an identifier", &get("X-Request-Id: a%0d%0aEVIL\r\n"), &[ok], Then::Stays);
    check("CR alone", &get("X: a\rEVIL: b\r\n"), &[bad], Then::Ends);
    check("NUL", &get("X: a\0EVIL\r\n"), &[bad], Then::Ends);
    check("folded line", &get("X: a\r\n EVIL\r\n"), &[bad], Then::Ends);
    check("blank before the colon", &get("Content-Length : 4\r\n"), &[bad], Then::Ends);
    check("no name", &get(": EVIL\r\n"), &[bad], Then::Ends);

    // other protocols
    check("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[], Then::Ends);
    check("HTTP/2 by upgrade", &get("Connection: upgrade\r\nUpgrade: h2c\r\n"), &[ok], Then::Stays);
    check("HTTP/3.0", "GET / HTTP/3.0\r\n\r\n", &[bad], Then::Ends);
    check("TRACE", "TRACE /EVIL HTTP/1.1\r\nHost: test\r\nX: EVIL\r\n\r\n", &[("TRACE", 405)], Then::Stays);
    check("OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n", &[("OPTIONS", 405)], Then::Stays);
    check("CONNECT", "CONNECT EVIL:80 HTTP/1.1\r\nHost: test\r\n\r\n", &[("GET", 405)], Then::Stays);
    check("lower case", &get("").replace("GET", "get"), &[("GET", 405)], Then::Stays);
    check("no method", "G@T / HTTP/1.1\r\nHost: test\r\n\r\n", &[bad], Then::Ends);

    // limits
    let headers = |count: usize| get(&"X: y\r\n".repeat(count));
    check("a hundred headers", &headers(99), &[ok], Then::Stays);
    check("a hundred and one", &headers(100), &[("GET", 431)], Then::Ends);
    check("ten thousand", &headers(10_000), &[("GET", 431)], Then::Ends);
    check("a large header", &get(&format!("X: {}\r\n", "y".repeat(1 << 20))), &[("GET", 431)], Then::Ends);
    check("1 MB of URL", &url(&format!("/{}", "x".repeat(1 << 20))), &[("GET", 414)], Then::Ends);
    check("20 KB of URL", &url(&format!("/{}?a=b", "x".repeat(20_000))), &[("GET", 414)], Then::Stays);
    let ranges: String = (0..1000).map(|at| format!("{at}-{},", at + 9)).collect();
    check("a thousand ranges", &get(&format!("Range: bytes={}\r\n", ranges.trim_end_matches(','))), &[ok], Then::Stays);
    assert_eq!(server.get("/-/live", &[]).status, 200);
}

/// On the fast path and on the slow path.
#[test]
fn invalid_host_is_refused_on_both_paths() {
    let cache = folder();
    let server = Server::start(&testdata(), cache.path());
    let hit = "/generated/alpha.png?width=20";
    (0..3).for_each(|_| drop(server.get(hit, &[])));
    let ask = |target: &str, hosts: &[&str]| {
        let hosts: String = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
        let mut connection = server.connect();
        connection.send(format!("GET {target} HTTP/1.1\r\n{hosts}\r\n").as_bytes());
        connection.receive("GET")
    };
    let fast = || server.metric("tintype_fast_path_answers_total");
    for hosts in [["a"], ["A.Example.:8080"], ["[::1]:80"], ["192.0.2.1"], ["a%20b"], ["a:"]] {
        let before = fast();
        assert_eq!(ask(hit, &hosts).status, 200, "{hosts:?}");
        assert_eq!(fast(), before + 1.0, "{hosts:?}");
        assert_eq!(ask("/generated/alpha.png", &hosts).status, 200, "{hosts:?}");
    }
    let refused = server.metric("tintype_failures_total{kind=\"invalid-request\"}");
    let before = fast();
    let bad: [&[&str]; 14] = [
        &[],
        &[""],
        &["a b"],
        &["@/"],
        &[","],
        &["a,b"],
        &["u@a"],
        &["u:p@a"],
        &["a:b"],
        &["a:65536"],
        &["http://a"],
        &["[::1"],
        &["a", "a"],
        &["\u{e9}"],
    ];
    for hosts in bad {
        for target in [hit, "/generated/alpha.png", "/-/live"] {
            let answer = ask(target, hosts);
            answer.assert_problem(400);
            assert!(answer.text().contains("Host"), "{hosts:?}: {}", answer.text());
            assert_eq!(answer.header("connection"), "close");
        }
    }
    let count = (bad.len() * 3) as f64;
    assert_eq!(server.metric("tintype_failures_total{kind=\"invalid-request\"}"), refused + count);
    assert_eq!(fast(), before);
    poll("a line", || server.log().contains("no valid Host header").then_some(()));
}

/// Invalid requests are counted; their log lines are throttled.
#[test]
fn refused_heads_are_counted_and_logged_at_intervals() {
    let cache = folder();
    let server = Server::start(&testdata(), cache.path());
    let large = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(101));
    let url = format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(70_000));
    for (sent, status, kind) in [
        ("\x16\x03\x01\r\n\r\n", 400, "invalid-request"),
        ("GET / HTTP/1.1\r\nX : y\r\n\r\n", 400, "invalid-request"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400, "invalid-request"),
        (large.as_str(), 431, "request-head-too-large"),
        (many.as_str(), 431, "request-head-too-large"),
        (url.as_str(), 414, "url-too-long"),
    ] {
        let kind = format!("tintype_failures_total{{kind=\"{kind}\"}}");
        let code = format!("tintype_requests_total{{code=\"{status}\",result=\"failure\"}}");
        let before = (server.metric(&kind), server.metric(&code));
        let mut connection = server.connect();
        connection.try_send(sent.as_bytes());
        let answer = connection.receive("GET");
        answer.assert_problem(status);
        let id = answer.header("x-request-id");
        assert!(answer.text().contains(&format!("urn:request:{id}")), "{}", answer.text());
        assert_eq!((server.metric(&kind), server.metric(&code)), (before.0 + 1.0, before.1 + 1.0), "{sent:?}");
    }
    // a request that is not answered at all
    let kind = "tintype_failures_total{kind=\"invalid-request\"}";
    let before = server.metric(kind);
    let mut connection = server.connect();
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(connection.rest(), b"");
    poll("it is counted", || (server.metric(kind) == before + 1.0).then_some(()));
    let lines = || server.log().matches("with an invalid head was refused").count();
    poll("a line with the reason", || server.log().contains("invalid HTTP header parsed").then_some(()));
    for _ in 0..200 {
        let mut connection = server.connect();
        connection.send(b"nonsense\r\n\r\n");
        assert_eq!(connection.receive("GET").status, 400);
    }
    poll("all are counted", || (server.metric(kind) == before + 201.0).then_some(()));
    assert!((1..100).contains(&lines()), "{}", lines());
}

#[test]
fn http_1_0_connection_closes_unless_kept_alive() {
    let cache = folder();
    let server = Server::start(&testdata(), cache.path());
    let ask = |headers: &[&str]| {
        let mut connection = server.connect();
        for headers in headers {
            connection.try_send(format!("GET {PICTURE} HTTP/1.0\r\n{headers}\r\n").as_bytes());
        }
        String::from_utf8_lossy(&connection.rest()).into_owned()
    };
    let answers = |text: &str| text.matches("HTTP/1.0 200 OK\r\n").count();
    let one = ask(&["", ""]);
    assert!(answers(&one) == 1 && one.contains("content-length: ") && !one.contains("transfer-encoding"), "{one}");
    assert_eq!(answers(&ask(&["Connection: keep-alive\r\n", ""])), 2);
}

#[test]
fn request_id_of_a_problem_is_in_the_log() {
    let cache = folder();
    let server = Server::start(&testdata(), cache.path());
    let problem = server.get("/none.png", &[]);
    let id = problem.header("x-request-id");
    problem.assert_problem(404);
    assert!(problem.text().contains(&format!("urn:request:{id}")), "{}", problem.text());
    poll("its line", || server.log().contains(&format!("\"request_id\":\"{id}\"")).then_some(()));
}

#[test]
fn unix_socket_has_its_mode_and_replaces_no_file() {
    use std::os::unix::fs::PermissionsExt;
    let (cache, place) = (folder(), folder());
    let path = place.path().join("tintype.sock");
    let listen = format!("unix:{}", path.display());
    let settings = [("TINTYPE_SERVER_SOCKET_MODE", "0600")];
    let server = Server::start_with(&testdata(), cache.path(), &listen, &settings);
    let mode = std::fs::metadata(&path).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(server.get(PICTURE, &[]).status, 200);
    assert_eq!(server.stop().code(), Some(0));
    std::fs::write(&path, "not a socket").expect("written");
    let mut command = crate::common::serve(crate::common::tintype(), &testdata(), cache.path(), &listen, &[]);
    let (code, _, stderr) = crate::common::run(&mut command, b"");
    assert_eq!(code, Some(1), "{stderr}");
    assert_eq!(std::fs::read_to_string(&path).expect("still there"), "not a socket");
}
