//! Hits over real connections: fast path and slow path send the same bytes, and each request is in the access log.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use crate::common::random::Random;
use crate::common::{Answer, Connection, Server, folder, poll, testdata};
use rustix::process::Signal;

/// Larger than one write.
const LARGE: &str = "/photos/astronaut.png?format=png&width=512&sharpen=1";
/// Larger than the socket buffers of both sides.
const HUGE: &str = "/photos/large-12mp.jpg?format=png&width=2000";
const SMALL: &str = "/photos/coffee.png?format=webp&width=60";

#[test]
fn hits_from_memory_equal_the_render() {
    let place = folder();
    let socket = format!("unix:{}", place.path().join("socket").display());
    for (number, listen) in ["127.0.0.1:0", &socket].into_iter().enumerate() {
        let server = Server::start_with(&testdata(), &place.path().join(number.to_string()), listen, &[]);
        let (large, small) = (server.get(LARGE, &[]).body, server.get(SMALL, &[]).body);
        assert!(large.len() > 256 * 1024 && small.len() < 16 * 1024, "{} {}", large.len(), small.len());
        // from disk, and then from memory
        for _ in 0..3 {
            assert_eq!(server.get(LARGE, &[]).body, large);
            assert_eq!(server.get(SMALL, &[]).body, small);
        }
        let mut connection = server.connect();
        let range = |connection: &mut Connection, range: &str, expected: &[u8]| {
            let answer = connection.ask("GET", LARGE, &[("Range", range)]);
            assert_eq!((answer.status, answer.body.as_slice()), (206, expected), "{range}");
        };
        range(&mut connection, "bytes=1-70001", &large[1..70_002]);
        range(&mut connection, "bytes=4095-4096", &large[4095..4097]);
        range(&mut connection, "bytes=-100001", &large[large.len() - 100_001..]);
        assert_eq!(connection.ask("HEAD", LARGE, &[]).header("content-length"), large.len().to_string());
        // pipelined before anything is read, so that the connection stalls in between
        let asked: Vec<&str> = (0..40).map(|turn| if turn % 3 == 1 { SMALL } else { LARGE }).collect();
        asked.iter().for_each(|url| connection.send_request("GET", url, &[]));
        for url in asked {
            let expected = if url == SMALL { &small } else { &large };
            assert!(connection.receive("GET").body == *expected, "{url} is another picture");
        }
        assert!(server.metric("tintype_cache_memory_bytes") > 0.0);
    }
}

/// The head of an answer without its date and request id.
fn lasting(answer: &Answer) -> String {
    let lines = answer.head.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with("x-request-id: ") && !line.starts_with("date: ")).collect()
}

/// A request and the expected answer.
struct Exchange {
    sent: Vec<u8>,
    method: &'static str,
    status: u16,
    body: Option<Vec<u8>>,
    /// Whether it is sent in one write.
    whole: bool,
}

/// The fast path answers plain requests for renditions in memory. In any order with other requests, and split
/// at any byte, each gets its own answer.
#[test]
fn fast_and_slow_path_answers_keep_their_order() {
    let place = folder();
    let socket = format!("unix:{}", place.path().join("socket").display());
    for (number, listen) in ["127.0.0.1:0", &socket].into_iter().enumerate() {
        let server = Server::start_with(&testdata(), &place.path().join(number.to_string()), listen, &[]);
        let pictures = [SMALL, LARGE].map(|url| (url, in_memory(&server, url)));
        for (url, body) in &pictures {
            // an unknown unit is no range (RFC 9110 §14.2), and takes the slow path
            let [plain, long] = [&[][..], &[("Range", "lines=1-2")][..]].map(|headers| server.get(url, headers));
            assert_eq!(lasting(&plain), lasting(&long));
            assert!(plain.body == *body && long.body == *body && plain.head.contains("tintype; hit"), "{}", plain.head);
        }
        let exchange = |random: &mut Random| {
            let (url, picture) = &pictures[random.below(2) as usize];
            let make = |method: &'static str, url: &str, rest: &str, status: u16, body: Option<&[u8]>| Exchange {
                sent: format!("{method} {url} HTTP/1.1\r\nHost: test\r\n{rest}").into_bytes(),
                method,
                status,
                body: body.map(<[u8]>::to_vec),
                whole: !rest.ends_with("\r\n\r\n") && rest != "\r\n",
            };
            match random.below(16) {
                0 => make("GET", url, "Range: bytes=1-9\r\n\r\n", 206, Some(&picture[1..10])),
                1 => make("GET", url, "If-None-Match: *\r\n\r\n", 304, None),
                2 => make("HEAD", url, "\r\n", 200, None),
                3 => make("GET", "/none.png", "\r\n", 404, None),
                4 => make("GET", "/-/live", "\r\n", 200, None),
                5 => make("POST", url, "Content-Length: 4\r\n\r\nGET ", 405, None),
                6 => make("GET", url, "Content-Length: 6\r\n\r\nGET / ", 200, Some(picture)),
                7 => make("GET", url, &format!("X: {}\r\n\r\n", "y".repeat(9000)), 200, Some(picture)),
                8 => make("GET", url, "User-Agent: a\r\nX-Request-Id: b\r\n\r\n", 200, Some(picture)),
                _ => make("GET", url, "\r\n", 200, Some(picture)),
            }
        };
        for seed in 1..=8 {
            let mut random = Random(seed);
            let mut connection = server.connect();
            for _ in 0..100 {
                let count = if random.below(3) == 0 { 1 + random.below(4) } else { 1 };
                let exchanges: Vec<Exchange> = (0..count).map(|_| exchange(&mut random)).collect();
                let mut sent = exchanges.iter().flat_map(|exchange| exchange.sent.clone()).collect::<Vec<u8>>();
                if random.below(4) == 0 && !exchanges.iter().any(|exchange| exchange.whole) {
                    let rest = sent.split_off(random.below(sent.len() as u64) as usize);
                    connection.send(&sent);
                    std::thread::sleep(Duration::from_micros(random.below(3000)));
                    sent = rest;
                }
                connection.send(&sent);
                for exchange in exchanges {
                    let answer = connection.receive(exchange.method);
                    let asked = String::from_utf8_lossy(&exchange.sent).chars().take(200).collect::<String>();
                    assert_eq!(answer.status, exchange.status, "seed {seed}: {asked}");
                    assert!(exchange.body.is_none_or(|body| body == answer.body), "seed {seed}: {asked}");
                }
            }
        }
    }
}

/// A plain request within the head of another is part of that head.
#[test]
fn bytes_within_a_head_start_no_request() {
    let cache = folder();
    let server = Server::start(&testdata(), cache.path());
    let small = in_memory(&server, SMALL);
    let plain = format!("GET {SMALL} HTTP/1.1\r\nHost: test\r\n\r\n");
    let made = "GET /photos/large-12mp.jpg?format=png&width=1090 HTTP/1.1\r\nHost: test\r\n\r\n";
    // in one write with the request before, and while that one is answered
    for (before, pause) in [("", 0), (plain.as_str(), 0), (made, 5)] {
        let mut connection = server.connect();
        let begun = "GET /none.png HTTP/1.1\r\nX: ";
        if pause == 0 {
            connection.send(format!("{before}{begun}").as_bytes());
        } else {
            connection.send(before.as_bytes());
            std::thread::sleep(Duration::from_millis(pause));
            connection.send(begun.as_bytes());
        }
        if !before.is_empty() {
            assert_eq!(connection.receive("GET").status, 200);
        }
        std::thread::sleep(Duration::from_millis(20));
        connection.send(plain.as_bytes());
        assert_eq!(connection.receive("GET").status, 404, "after {before:?}");
        assert!(connection.ask("GET", SMALL, &[]).body == small);
    }
}

/// A hit waits for the render of an earlier request on the same connection.
#[test]
fn pending_answer_is_not_overtaken_by_a_hit() {
    let cache = folder();
    let server = Server::start(&testdata(), cache.path());
    let small = in_memory(&server, SMALL);
    let mut connection = server.connect();
    for width in 100..110 {
        // takes longer than the next request needs to arrive
        connection.send_request("GET", &format!("/photos/large-12mp.jpg?format=png&width=1{width}"), &[]);
        std::thread::sleep(Duration::from_millis(5));
        connection.send_request("GET", SMALL, &[]);
        let made = connection.receive("GET");
        assert_eq!(made.picture().1, 1000 + width, "{}", made.head);
        assert!(connection.receive("GET").body == small);
        // a new connection for each round
        connection = server.connect();
    }
}

/// Brings a rendition into memory (a render, a hit from disk, a hit from memory), and returns its body.
fn in_memory(server: &Server, url: &str) -> Vec<u8> {
    let bodies = [(); 3].map(|()| server.get(url, &[]).body);
    assert!(bodies[0] == bodies[2] && server.metric("tintype_cache_memory_bytes") >= bodies[0].len() as f64);
    bodies[2].clone()
}

/// A client that has the beginning of a huge rendition and reads no more.
fn stuck(server: &Server) -> TcpStream {
    let stream = server.stuck(&format!("GET {HUGE} HTTP/1.1\r\nHost: test\r\n\r\n"));
    stream.peek(&mut [0]).expect("the beginning of the answer");
    stream
}

/// A hit from memory that the client does not read at first.
#[test]
fn shutdown_finishes_a_hit_being_sent() {
    let cache = folder();
    let mut server = Server::start(&testdata(), cache.path());
    let huge = in_memory(&server, HUGE);
    let mut stream = stuck(&server);
    server.signal(Signal::TERM);
    poll("the signal is logged", || server.log().contains("stopping").then_some(()));
    std::thread::sleep(Duration::from_millis(300));
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("all of it");
    assert!(all.ends_with(&huge) && all.starts_with(b"HTTP/1.1 200"), "{} of {} bytes", all.len(), huge.len());
    assert!(server.wait().success());
}

#[test]
fn unread_hit_is_ended_by_send_timeout() {
    let cache = folder();
    let settings = [("TINTYPE_SERVER_SEND_TIMEOUT", "300ms"), ("TINTYPE_SERVER_IDLE_TIMEOUT", "300ms")];
    let server = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &settings);
    let huge = in_memory(&server, HUGE);
    let mut stream = stuck(&server);
    // only the connection for the metrics is left
    poll("it is given up", || (server.metric("tintype_connections") <= 1.0).then_some(()));
    let mut all = Vec::new();
    // the end may be a reset
    let _ = stream.read_to_end(&mut all);
    assert!(all.len() < huge.len(), "{} of {} bytes", all.len(), huge.len());
    // the idle timeout ends a connection after a complete answer, too
    let mut connection = server.connect();
    assert!(connection.ask("GET", HUGE, &[]).body == huge);
    assert_eq!(connection.rest(), b"");
}

/// An idle connection holds no memory of a body.
#[test]
fn idle_connections_hold_no_body() {
    const CLIENTS: usize = 12;
    let cache = folder();
    let token = "0123456789abcdef";
    for memory in ["64MiB", "1MiB"] {
        let settings = [("TINTYPE_SECURITY_ADMIN_TOKEN", token), ("TINTYPE_CACHE_MEMORY", memory)];
        let server = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &settings);
        let url = |client: usize| format!("/photos/astronaut.png?format=png&width={}", 480 + client);
        let mut idle: Vec<Connection> = (0..CLIENTS).map(|_| server.connect()).collect();
        for (client, connection) in idle.iter_mut().enumerate() {
            // rendered, from disk, from memory by the fast path, and by the slow path
            let bodies = [&[][..], &[], &[], &[("Range", "bytes=0-")]].map(|headers| {
                let answer = connection.ask("GET", &url(client), headers);
                assert!(answer.status == 200 || answer.status == 206, "{}", answer.head);
                answer.body
            });
            assert!(bodies.iter().all(|body| *body == bodies[0]) && bodies[0].len() > 100_000);
        }
        let held = server.metric("tintype_memfd_bytes");
        assert!(held > 0.0 || memory == "1MiB");
        assert!(held <= server.metric("tintype_cache_memory_max_bytes"), "{memory}: {held}");
        let mut connection = server.connect();
        connection.send_request(
            "POST",
            "/-/purge?path=photos/astronaut.png",
            &[("Authorization", &format!("Bearer {token}")), ("Content-Length", "0")],
        );
        assert_eq!(connection.receive("POST").status, 200);
        // a purge does not wait for bodies that are being sent
        poll("the memory is given back", || (server.metric("tintype_memfd_files") == 0.0).then_some(()));
        assert_eq!(server.metric("tintype_memfd_bytes"), 0.0);
        // the connections stay open
        for (client, connection) in idle.iter_mut().enumerate() {
            assert_eq!(connection.ask("GET", &url(client), &[]).status, 200);
        }
    }
}

/// Both paths find the client's address in the same way.
#[test]
fn access_log_names_the_client_of_the_proxy() {
    let cache = folder();
    let settings = [("TINTYPE_SERVER_REAL_IP_FROM", "127.0.0.1")];
    let server = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &settings);
    in_memory(&server, SMALL);
    let before = server.metric("tintype_fast_path_answers_total");
    let forwarded = ("X-Forwarded-For", "10.0.0.1, 203.0.113.7");
    for (id, more) in [("plain", None), ("long", Some(("Range", "lines=1-2")))] {
        let headers: Vec<_> = [("X-Request-Id", id), forwarded].into_iter().chain(more).collect();
        assert_eq!(server.get(SMALL, &headers).status, 200);
    }
    let line = |id: &str| {
        let wanted = format!("\"request_id\":\"{id}\"");
        let line = poll("its line", || server.log().lines().find(|line| line.contains(&wanted)).map(str::to_owned));
        let mut line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        for differs in ["timestamp", "request_id", "duration_ms"] {
            assert!(line.as_object_mut().expect("an object").remove(differs).is_some(), "{differs}");
        }
        line
    };
    assert_eq!(line("plain"), line("long"));
    assert_eq!(line("plain")["client"], "203.0.113.7");
    // entries before an unreadable line may be forged
    let forged = [("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "203.0.113.7, \u{e9}")];
    for (id, more) in [("forged-plain", None), ("forged-long", Some(("Range", "lines=1-2")))] {
        let headers: Vec<_> = [("X-Request-Id", id)].into_iter().chain(forged).chain(more).collect();
        assert_eq!(server.get(SMALL, &headers).status, 200);
        assert_eq!(line(id)["client"], "127.0.0.1");
    }
    assert_eq!(server.metric("tintype_fast_path_answers_total"), before + 2.0);
}

#[test]
fn access_log_is_complete_after_shutdown() {
    const ROUNDS: usize = 300;
    let cache = folder();
    let mut server = Server::start(&testdata(), cache.path());
    let targets = [SMALL, "/a\"b.jpg", "/a\"{b}\"\"c.jpg?x='y'", "/%00%0a%22%5c%ff.jpg?%ff=%00", "/{\"a\":1}?[1]"];
    let mut connection = server.connect();
    for number in 0..ROUNDS {
        for target in targets {
            let id = format!("{number}-{}", target.len());
            connection.ask("GET", target, &[("X-Request-Id", &id), ("X-Forwarded-For", "\"\\")]);
        }
    }
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    let lines = poll("all that was said", || {
        let log = server.log();
        let lines = log.lines().filter(|line| line.contains("\"tintype::access\"")).map(str::to_owned);
        let lines: Vec<String> = lines.collect();
        (lines.len() >= ROUNDS * targets.len()).then_some(lines)
    });
    let read = lines.iter().map(|line| -> serde_json::Value {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    });
    let seen: BTreeSet<String> = read.map(|line| format!("{} {}", line["request_id"], line["path"])).collect();
    assert_eq!((lines.len(), seen.len()), (ROUNDS * targets.len(), ROUNDS * targets.len()));
}
