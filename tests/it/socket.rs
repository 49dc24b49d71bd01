//! The built program over real sockets: framing, timeouts, signals, exit codes.

use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::common::{Address, Connection, Server, folder, poll, run, serve, testdata, tintype};
use rustix::process::Signal;
use tintype::render::Format;

/// A render that takes long enough for something else to happen meanwhile.
const SLOW: &str = "/photos/large-12mp.jpg?width=2000&format=avif";

#[test]
fn get_head_and_conditions_are_answered() {
    let cache = folder();
    let server = Server::start(&testdata(), cache.path());
    assert!(matches!(&server.address, Address::Tcp(address) if address.port() != 0), "{:?}", server.address);
    let url = "/photos/coffee.png?width=200&format=webp";

    let got = server.get(url, &[]);
    assert_eq!(got.picture(), (Format::WebP, 200, 133));
    assert_eq!(got.header("content-type"), "image/webp");
    assert_eq!(got.header("content-length"), got.body.len().to_string());
    assert_eq!(got.header("cache-status"), "tintype; fwd=uri-miss; stored");
    assert!(got.try_header("transfer-encoding").is_none(), "{}", got.head);
    for name in ["date", "last-modified", "etag", "cache-control", "accept-ranges", "x-request-id"] {
        got.header(name);
    }

    // a body after a HEAD would be read as the beginning of the next answer
    let mut connection = server.connect();
    let head = connection.ask("HEAD", url, &[]);
    assert_eq!(head.status, 200);
    for name in ["content-length", "content-type", "etag", "last-modified", "content-disposition"] {
        assert_eq!(head.try_header(name), got.try_header(name), "{name}");
    }

    let etag = got.header("etag");
    for method in ["GET", "HEAD"] {
        let unchanged = connection.ask(method, url, &[("If-None-Match", &etag)]);
        assert_eq!(unchanged.status, 304);
        assert_eq!(unchanged.header("etag"), etag);
        unchanged.header("date");
        unchanged.header("cache-control");
        for name in ["content-length", "transfer-encoding", "content-type"] {
            assert!(unchanged.try_header(name).is_none(), "{method}:\n{}", unchanged.head);
        }
    }
    let changed = connection.ask("GET", url, &[("If-None-Match", "\"other\""), ("Connection", "close")]);
    assert_eq!((changed.status, &changed.body), (200, &got.body));
    assert_eq!(connection.rest(), b"");
}

#[test]
fn connection_carries_several_requests() {
    let cache = folder();
    let server = Server::start(&testdata(), cache.path());
    let mut connection = server.connect();
    let first = connection.ask("GET", "/generated/alpha.png?width=20", &[]);
    let second = connection.ask("GET", "/generated/grey.png?width=20", &[]);
    assert_eq!((first.status, second.status), (200, 200));
    // pipelined: the answers come in the order of the requests
    connection.send_request("GET", "/generated/alpha.png?width=20", &[]);
    connection.send_request("GET", "/generated/grey.png?width=20", &[]);
    assert_eq!(connection.receive("GET").body, first.body);
    assert_eq!(connection.receive("GET").body, second.body);
    // a problem does not close the connection
    connection.ask("GET", "/photos/none.png", &[]).assert_problem(404);
    assert_eq!(connection.ask("GET", "/generated/alpha.png?width=20", &[]).status, 200);
}

#[test]
fn invalid_http_gets_400_and_close() {
    let cache = folder();
    let server = Server::start(&testdata(), cache.path());
    let mut connection = server.connect();
    connection.send_request("GET", "/generated/alpha.png?width=20", &[]);
    connection.send(b"\x16\x03\x01 nonsense\r\n\r\n");
    assert_eq!(connection.receive("GET").status, 200);
    connection.receive("GET").assert_problem(400);
    assert_eq!(connection.rest(), b"");
    assert_eq!(server.get("/-/live", &[]).status, 200);
}

#[test]
fn incomplete_head_is_ended_by_timeout() {
    let cache = folder();
    let settings = [("TINTYPE_SERVER_HEADER_TIMEOUT", "300ms")];
    let server = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &settings);
    let mut connection = server.connect();
    connection.send(b"GET /photos/coffee.png HTTP/1.1\r\nHost: te");
    let began = Instant::now();
    let answer = String::from_utf8(connection.rest()).expect("text");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
    // far above the timeout, for busy machines, and far below every other limit
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(server.get("/-/live", &[]).status, 200);
}

#[test]
fn idle_connection_outlives_the_header_timeout() {
    let cache = folder();
    let settings = [("TINTYPE_SERVER_HEADER_TIMEOUT", "300ms")];
    let server = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &settings);
    let mut connection = server.connect();
    assert_eq!(connection.ask("GET", "/-/live", &[]).status, 200);
    // nginx keeps connections: a request on one that is just being closed is a 502
    assert!(connection.stays_open_for(Duration::from_millis(900)), "closed for want of a request");
    assert_eq!(connection.ask("GET", "/-/live", &[]).status, 200);
}

#[test]
fn idle_connection_is_closed_by_timeout() {
    let cache = folder();
    let settings = [("TINTYPE_SERVER_HEADER_TIMEOUT", "300ms"), ("TINTYPE_SERVER_IDLE_TIMEOUT", "600ms")];
    let server = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &settings);
    // a render, a hit, /-/, a problem, and a render longer than the header timeout
    for target in ["/photos/coffee.png?width=20", "/photos/coffee.png?width=20", "/-/live", "/photos/none.png", SLOW] {
        let mut connection = server.connect();
        connection.ask("GET", target, &[]);
        assert!(!connection.stays_open_for(Duration::from_secs(8)), "{target}");
    }
}

#[test]
fn long_url_gets_414() {
    let cache = folder();
    let server = Server::start(&testdata(), cache.path());
    let url = |length: usize| {
        let start = "/generated/alpha.png?width=20&x=";
        format!("{start}{}", "a".repeat(length - start.len()))
    };
    server.get(&url(9000), &[]).assert_problem(414);
    server.get(&url(8193), &[]).assert_problem(414);
    assert_eq!(server.get(&url(8192), &[]).status, 200);
}

#[test]
fn sigterm_finishes_requests_and_restart_finds_the_rendition() {
    let cache = folder();
    let mut server = Server::start(&testdata(), cache.path());
    let mut idle = server.connect();
    assert_eq!(idle.ask("GET", "/-/live", &[]).status, 200);
    let mut busy = server.connect();
    busy.send_request("GET", SLOW, &[]);
    server.wait_for("tintype_renders_total", 1.0);
    server.signal(Signal::TERM);

    let finished = busy.receive("GET");
    assert_eq!((finished.status, Format::sniff(&finished.body)), (200, Some(Format::Avif)), "{}", finished.head);
    // an idle connection does not delay the shutdown
    assert_eq!(idle.rest(), b"");
    assert_eq!(busy.rest(), b"");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    assert!(Connection::try_open(&server.address).is_err(), "it should not listen any more");

    let again = Server::start(&testdata(), cache.path());
    let hit = again.get(SLOW, &[]);
    assert_eq!(hit.header("cache-status"), "tintype; hit");
    assert_eq!(hit.header("etag"), finished.header("etag"));
    assert_eq!(hit.body, finished.body);
    assert_eq!(again.metric("tintype_renders_total"), 0.0);
    assert_eq!(again.stop().code(), Some(0));
}

#[test]
fn shutdown_ends_by_timeout_or_second_signal() {
    let cache = folder();
    // more work than can be done before the assertions
    let start = |patience: &str| {
        let settings = [("TINTYPE_SERVER_SHUTDOWN_TIMEOUT", patience), ("TINTYPE_LIMITS_WORKERS", "1")];
        let server = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &settings);
        let ask = |width| {
            let mut connection = server.connect();
            connection.send_request("GET", &format!("/photos/large-12mp.jpg?width={width}&format=avif"), &[]);
            connection
        };
        let clients: Vec<Connection> = (2001..2021).map(ask).collect();
        server.wait_for("tintype_queue_length", 10.0);
        (server, clients)
    };
    let given_up = |mut server: Server| {
        assert_eq!(server.wait().code(), Some(0));
        poll("its last words", || server.log().contains("\"all_finished\":false").then_some(()));
    };
    let (server, _clients) = start("100ms");
    server.signal(Signal::TERM);
    given_up(server);

    let (server, _clients) = start("1h");
    server.signal(Signal::TERM);
    poll("the first signal is logged", || server.log().contains("stopping").then_some(()));
    server.signal(Signal::TERM);
    given_up(server);
}

#[test]
fn concurrent_requests_share_one_render() {
    const CLIENTS: usize = 100;
    let cache = folder();
    let server = Server::start(&testdata(), cache.path());
    let together = Barrier::new(CLIENTS);
    let url = "/photos/retina.jpg?width=300&format=webp";
    let answers: Vec<_> = std::thread::scope(|scope| {
        let ask = || {
            let mut connection = server.connect();
            together.wait();
            connection.ask("GET", url, &[])
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
        clients.into_iter().map(|client| client.join().expect("an answer")).collect()
    });
    assert_eq!(answers[0].picture(), (Format::WebP, 300, 300));
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (200, &answers[0].body));
        assert_eq!(answer.header("etag"), answers[0].header("etag"));
    }
    let led = answers.iter().filter(|answer| answer.header("cache-status") == "tintype; fwd=uri-miss; stored");
    assert_eq!(led.count(), 1);
    assert_eq!(server.metric("tintype_renders_total"), 1.0);
}

#[test]
fn disconnected_clients_do_not_stop_the_render() {
    let cache = folder();
    let server = Server::start(&testdata(), cache.path());
    let mut clients: Vec<Connection> = (0..10).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.send_request("GET", SLOW, &[]));
    server.wait_for("tintype_renders_total", 1.0);
    drop(clients);
    server.wait_for("tintype_cache_stored_total", 1.0);
    let hit = server.get(SLOW, &[]);
    assert_eq!(hit.header("cache-status"), "tintype; hit");
    assert_eq!(Format::sniff(&hit.body), Some(Format::Avif));
    assert_eq!(server.metric("tintype_renders_total"), 1.0);
}

#[test]
fn unix_socket_of_a_dead_process_only_is_replaced() {
    let (cache, place) = (folder(), folder());
    let path = place.path().join("tintype.sock");
    let listen = format!("unix:{}", path.display());
    let start = || Server::start_with(&testdata(), cache.path(), &listen, &[]);
    // a killed process leaves its socket behind
    drop(start());
    assert!(path.exists());
    let server = start();
    assert_eq!(server.get("/generated/alpha.png?width=20", &[]).status, 200);
    assert_eq!(mode(&path), 0o660);
    let mut second = tintype();
    second.arg("serve").arg(testdata()).arg("--cache-dir").arg(cache.path()).args(["--listen", &listen]);
    let (code, _, stderr) = run(&mut second, b"");
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("cannot listen on"), "{stderr}");
    assert_eq!(server.get("/-/live", &[]).status, 200);
    assert_eq!(server.stop().code(), Some(0));
    assert!(!path.exists());
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).expect("a socket").permissions().mode() & 0o777
}

#[test]
fn server_without_cache_folder_keeps_results_in_memory() {
    let place = folder();
    let mut command = tintype();
    // drawings are passed on: there may be no fonts, of which the log warns
    command.current_dir(place.path()).env("RUST_LOG", "info").env("TINTYPE_SOURCE_SVG", "pass");
    let server = Server::spawn(serve(command, &testdata(), Path::new("none"), "127.0.0.1:0", &[])).expect("it starts");
    let ready = server.get("/-/ready", &[]);
    let body = String::from_utf8_lossy(&ready.body).into_owned();
    assert_eq!(ready.status, 200);
    assert!(body.contains(r#""cache":"none""#), "{body}");
    let url = "/generated/alpha.png?width=20";
    assert_eq!(server.get(url, &[]).header("cache-status"), "tintype; fwd=uri-miss");
    assert_eq!(server.get(url, &[]).header("cache-status"), "tintype; hit");
    assert_eq!(server.metric("tintype_cache_state{state=\"none\"}"), 1.0);
    assert_eq!(server.metric("tintype_cache_writable"), 0.0);
    assert_eq!(server.metric("tintype_cache_not_stored_total"), 0.0);
    assert!(!server.log().contains("WARN"), "{}", server.log());
    assert!(!place.path().join("none").exists());
    assert_eq!(server.stop().code(), Some(0));
    let mut command = tintype();
    let (code, _, stderr) = run(command.args(["cache", "stats", "--cache-dir", "none"]), b"");
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("there is no cache folder"), "{stderr}");
}

#[test]
fn version_check_is_cached_for_revalidate() {
    let (root, cache) = (folder(), folder());
    let path = root.path().join("a.png");
    let put = |name: &str| std::fs::copy(testdata().join("generated").join(name), &path).expect("copied");
    put("grey.png");
    let settings = [("TINTYPE_SOURCE_REVALIDATE", "1h")];
    let server = Server::start_with(root.path(), cache.path(), "127.0.0.1:0", &settings);
    let before = server.get("/a.png?width=20", &[]);
    put("alpha.png");
    assert_eq!(server.get("/a.png?width=20", &[]).body, before.body);
    // a miss reads the new original, and its version is known from then on
    let wider = server.get("/a.png?width=30", &[]);
    let after = server.get("/a.png?width=20", &[]);
    assert_ne!(after.body, before.body);
    assert_eq!(after.header("last-modified"), wider.header("last-modified"));
}

#[test]
fn beacon_is_one_line_of_the_log() {
    let cache = folder();
    let settings = [("TINTYPE_SECURITY_LOG_BEACONS", "true"), ("TINTYPE_SERVER_REAL_IP_FROM", "127.0.0.1")];
    let server = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &settings);
    let post = |body: &[u8], forwarded: &str| {
        let length = body.len().to_string();
        let mut connection = server.connect();
        let headers =
            [("Content-Type", "text/plain;charset=UTF-8"), ("Content-Length", &length), ("X-Forwarded-For", forwarded)];
        connection.send_request("POST", "/-/log", &headers);
        connection.send(body);
        connection.receive("POST")
    };
    let forged = "slow\r\n{\"level\":\"ERROR\",\"message\":\"forged\"}\n\u{1b}[2J\u{2028}end";
    let answer = post(forged.as_bytes(), "203.0.113.9");
    assert_eq!((answer.status, answer.header("cache-control").as_str()), (204, "no-store"));
    // ten megabytes, sent before the answer is read
    post(&vec![b'x'; 10_000_000], "203.0.113.9").assert_problem(413);
    poll("both are in the log", || (server.log().matches("\"path\":\"/-/log\"").count() == 2).then_some(()));
    let log = server.log();
    let mut lines = log.lines().filter(|line| line.contains("forged"));
    let line: serde_json::Value = serde_json::from_str(lines.next().expect("the beacon")).expect("JSON");
    assert!(lines.next().is_none());
    assert_eq!((&line["target"], &line["level"]), (&"tintype::beacon".into(), &"INFO".into()));
    assert_eq!(line["client"], "203.0.113.9");
    let beacon = line["beacon"].as_str().expect("a text");
    assert!(beacon.starts_with("slow\\r\\n{") && beacon.ends_with("\\n\\u001b[2J\\u2028end"), "{beacon}");
}
