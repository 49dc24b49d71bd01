//! Clients that stall: they send half a head, or do not read their answer. A shutdown while they are connected.
//!
//! `TINTYPE_ATTACK=1 cargo test --release --test it -- stalled::attack_figures --nocapture` prints what they cost other clients.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::common::{Address, Connection, Server, folder, poll, testdata};
use rustix::process::Signal;

const PICTURE: &str = "/generated/alpha.png";

/// A client that requests several megabytes and reads nearly nothing.
fn stuck(server: &Server) -> TcpStream {
    server.stuck("GET /photos/large-12mp.jpg HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
}

fn half(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(b"GET /generated/alpha.png HTTP/1.1\r\nHost: te").expect("the server reads");
    stream
}

fn address(server: &Server) -> SocketAddr {
    match server.address {
        Address::Tcp(address) => address,
        Address::Unix(_) => panic!("not on TCP"),
    }
}

/// Reads to the end of the connection, which the server has to close, and returns the number of bytes.
fn ends(mut stream: TcpStream) -> u64 {
    stream.set_read_timeout(Some(crate::common::PATIENCE)).expect("an open socket");
    let (mut sum, mut bytes) = (0, vec![0; 64 * 1024]);
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return sum,
            Ok(count) => sum += count as u64,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return sum,
            Err(error) => panic!("it is still open: {error}"),
        }
    }
}

#[test]
fn stalled_clients_are_disconnected() {
    let cache = folder();
    let settings = [
        ("TINTYPE_SERVER_SEND_TIMEOUT", "300ms"),
        ("TINTYPE_SERVER_HEADER_TIMEOUT", "300ms"),
        ("TINTYPE_SERVER_MAX_CONNECTIONS", "4"),
    ];
    let server = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &settings);
    let whole = std::fs::metadata(testdata().join("photos/large-12mp.jpg")).expect("a file").len();
    // far more than `max_connections`: each has to be disconnected before the next is accepted
    let clients: Vec<TcpStream> = (0..16).map(|_| stuck(&server)).collect();
    let halves: Vec<TcpStream> = (0..8).map(|_| half(address(&server))).collect();
    assert_eq!(server.get(PICTURE, &[]).status, 200);
    for client in clients {
        let got = ends(client);
        assert!(got < whole, "{got} of {whole} bytes were taken by somebody who does not read");
    }
    for client in halves {
        assert_eq!(ends(client), 0);
    }
    // a client that reads is not disconnected
    let original = server.get("/photos/large-12mp.jpg", &[]);
    assert_eq!((original.status, original.body.len() as u64), (200, whole));
}

#[test]
fn shutdown_answers_all_pending_requests() {
    let cache = folder();
    let settings = [("TINTYPE_LIMITS_QUEUE", "200"), ("TINTYPE_SERVER_SHUTDOWN_TIMEOUT", "1h")];
    let mut server = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &settings);
    let mut clients: Vec<Connection> = (0..100)
        .map(|number| {
            let mut connection = server.connect();
            let url = format!("/photos/coffee.png?width={}&format=webp", 100 + number);
            connection.send_request("GET", &url, &[]);
            connection
        })
        .collect();
    let mut idle = server.connect();
    server.signal(Signal::TERM);
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.receive("GET").picture().1, 100 + number as u32);
        assert_eq!(client.rest(), b"", "it is said to be the last");
    }
    assert_eq!(idle.rest(), b"");
    assert_eq!(server.wait().code(), Some(0));
    poll("its last words", || server.log().contains("\"all_finished\":true").then_some(()));
}

#[test]
fn shutdown_does_not_wait_for_stalled_clients() {
    let (cache, place) = (folder(), folder());
    let admin = format!("unix:{}", place.path().join("admin.sock").display());
    let settings = [("TINTYPE_SERVER_SHUTDOWN_TIMEOUT", "1s"), ("TINTYPE_SERVER_ADMIN_LISTEN", admin.as_str())];
    let mut server = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &settings);
    let clients: Vec<TcpStream> = (0..5).map(|_| stuck(&server)).collect();
    assert_eq!(server.get(PICTURE, &[]).status, 200);
    let ready = |expected: u16| {
        let mut connection = Connection::open(&Address::Unix(place.path().join("admin.sock")));
        assert_eq!(connection.ask("GET", "/-/ready", &[]).status, expected);
    };
    ready(200);
    // the bytes in flight are enough to stall
    for client in &clients {
        client.peek(&mut [0]).expect("the beginning of an answer");
    }
    server.signal(Signal::TERM);
    poll("the signal is logged", || server.log().contains("stopping").then_some(()));
    ready(503);
    assert_eq!(server.wait().code(), Some(0));
    poll("its last words", || server.log().contains("\"all_finished\":false").then_some(()));
    drop(clients);
}

/// The number of good requests in some time, and their median and 99th percentile in milliseconds.
fn good_requests(server: &Server, time: Duration) -> (usize, f64, f64) {
    let end = Instant::now() + time;
    let ask = || {
        let (mut connection, mut took) = (server.connect(), Vec::new());
        while Instant::now() < end {
            let began = Instant::now();
            let url = format!("/photos/coffee.png?width={}&format=jpeg", 100 + took.len() % 50);
            assert_eq!(connection.ask("GET", &url, &[]).status, 200);
            took.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        took
    };
    let mut took: Vec<f64> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        clients.into_iter().flat_map(|client| client.join().expect("answers")).collect()
    });
    took.sort_by(f64::total_cmp);
    let at = |share: usize| took[(took.len() * share / 1000).min(took.len() - 1)];
    (took.len(), at(500), at(990))
}

fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// The latency of good requests beside two thousand half heads and five hundred clients that do not read.
#[test]
fn attack_figures() {
    let long = std::env::var_os("TINTYPE_ATTACK").is_some();
    let (halves, stuck_ones, time) = if long { (2000, 500, 10) } else { (100, 20, 1) };
    let cache = folder();
    let timeout = if long { "10s" } else { "1s" };
    let settings = [
        ("TINTYPE_SERVER_SEND_TIMEOUT", timeout),
        ("TINTYPE_SERVER_HEADER_TIMEOUT", timeout),
        // without an access log of so many lines
        ("RUST_LOG", "warn"),
    ];
    let server = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &settings);
    good_requests(&server, Duration::from_secs(1));
    let time = Duration::from_secs(time);
    let before = (good_requests(&server, time), resident(&server));
    let began = Instant::now();
    let mut clients: Vec<TcpStream> = (0..halves).map(|_| half(address(&server))).collect();
    clients.extend((0..stuck_ones).map(|_| stuck(&server)));
    let there = began.elapsed();
    let during = (good_requests(&server, time), resident(&server));
    for client in clients {
        ends(client);
    }
    let gone = began.elapsed();
    let after = (good_requests(&server, time), resident(&server));
    println!("{halves} half heads, {stuck_ones} that do not read, there after {there:.1?}, all ended after {gone:.1?}");
    for (name, ((count, median, p99), resident)) in [("before", before), ("during", during), ("after", after)] {
        println!("{name:<7} {count:>6} good requests, median {median:.2} ms, p99 {p99:.2} ms, resident {resident} MiB");
    }
}
