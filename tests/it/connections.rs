//! Clients that half-close a connection, disconnect, or send invalid bytes after a request.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::common::{Address, Answer, Connection, Server, folder, poll, testdata};

/// A rendition, in memory from the second request on.
const HIT: &str = "/photos/coffee.png?width=60&format=webp";
const ORIGINAL: &str = "/photos/large-12mp.jpg";
/// Not the beginning of an HTTP/1.1 head.
const GARBAGE: &[u8] = b"G@T / HTTP/1.1\r\n\r\n";

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n").into_bytes()
}

/// A client that keeps the connection.
enum Client {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Client {
    fn connect(address: &Address) -> Client {
        match address {
            Address::Tcp(address) => Client::Tcp(TcpStream::connect(address).expect("a connection")),
            Address::Unix(path) => Client::Unix(UnixStream::connect(path).expect("a connection")),
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        match self {
            Client::Tcp(stream) => stream.write_all(bytes),
            Client::Unix(stream) => stream.write_all(bytes),
        }
        .expect("the server reads");
    }

    /// Shuts the sending side down.
    fn end(&self) {
        match self {
            Client::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Client::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
        .expect("an open socket");
    }

    /// Reads to the end of the connection.
    fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        match self {
            Client::Tcp(stream) => {
                stream.set_read_timeout(Some(crate::common::PATIENCE)).expect("an open socket");
                stream.read_to_end(&mut all)
            }
            Client::Unix(stream) => {
                stream.set_read_timeout(Some(crate::common::PATIENCE)).expect("an open socket");
                stream.read_to_end(&mut all)
            }
        }
        .unwrap_or_else(|error| panic!("after {} bytes: {error}", all.len()));
        all
    }
}

/// Splits received bytes into answers.
fn answers(mut received: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !received.is_empty() {
        let end = received.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8_lossy(&received[..end]).into_owned();
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let mut answer = Answer { status: status.unwrap_or_else(|| panic!("{head}")), head, body: Vec::new() };
        let length: usize = answer.header("content-length").parse().expect("a number");
        assert!(received.len() - end >= length, "{} of {length} bytes: {}", received.len() - end, answer.head);
        answer.body = received[end..end + length].to_vec();
        received = &received[end + length..];
        answers.push(answer);
    }
    answers
}

/// A server on TCP and one on a Unix socket.
fn servers(settings: &[(&str, &str)]) -> Vec<(Server, tempfile::TempDir)> {
    [false, true]
        .into_iter()
        .map(|is_unix| {
            let place = folder();
            let socket = format!("unix:{}", place.path().join("socket").display());
            let listen = if is_unix { socket.as_str() } else { "127.0.0.1:0" };
            (Server::start_with(&testdata(), &place.path().join("cache"), listen, settings), place)
        })
        .collect()
}

#[test]
fn half_closed_client_gets_its_answers_whole() {
    for (server, _place) in servers(&[]) {
        let hit = server.get(HIT, &[]).body;
        (0..2).for_each(|_| drop(server.get(HIT, &[])));
        let original = std::fs::read(testdata().join(&ORIGINAL[1..])).expect("the original");
        let mut width = 100;
        let mut miss = || {
            width += 1;
            format!("/photos/large-12mp.jpg?width={width}&format=webp")
        };
        // targets, and the body where it is known
        let rows: Vec<Vec<(String, Option<&[u8]>)>> = vec![
            vec![(miss(), None)],
            vec![(HIT.into(), Some(hit.as_slice()))],
            vec![(ORIGINAL.into(), Some(original.as_slice()))],
            vec![(miss(), None), (miss(), None)],
            vec![
                (HIT.into(), Some(hit.as_slice())),
                (miss(), None),
                (ORIGINAL.into(), Some(original.as_slice())),
                (HIT.into(), Some(hit.as_slice())),
            ],
        ];
        for row in rows {
            for garbage in [&b""[..], GARBAGE] {
                let mut client = Client::connect(&server.address);
                let sent: Vec<u8> =
                    row.iter().flat_map(|(target, _)| get(target)).chain(garbage.iter().copied()).collect();
                client.send(&sent);
                client.end();
                let answers = answers(&client.rest());
                let targets: Vec<&String> = row.iter().map(|(target, _)| target).collect();
                assert_eq!(answers.len(), row.len() + usize::from(!garbage.is_empty()), "{targets:?}");
                for ((target, body), answer) in row.iter().zip(&answers) {
                    assert_eq!(answer.status, 200, "{target}: {}", answer.head);
                    assert!(body.is_none_or(|body| body == answer.body), "{target}");
                }
                if !garbage.is_empty() {
                    answers.last().expect("one").assert_problem(400);
                }
            }
        }
        assert!(server.metric("tintype_fast_path_answers_total") > 0.0);
        assert_eq!(server.metric("tintype_requests_abandoned_total"), 0.0);
    }
}

/// A client may half-close after the body of its request.
#[test]
fn half_closed_client_may_have_sent_a_body() {
    let settings = [("TINTYPE_SECURITY_UPLOAD", "true"), ("TINTYPE_SECURITY_ADMIN_TOKEN", "a token for tests")];
    let (root, cache) = (folder(), folder());
    let server = Server::start_with(root.path(), cache.path(), "127.0.0.1:0", &settings);
    let picture = std::fs::read(testdata().join("photos/coffee.png")).expect("a picture");
    let head = |length: usize| {
        let token = "Authorization: Bearer a token for tests";
        format!("PUT /-/upload/a{length}.png HTTP/1.1\r\nHost: test\r\n{token}\r\nContent-Length: {length}\r\n\r\n")
    };
    let mut client = Client::connect(&server.address);
    client.send(&[head(picture.len()).as_bytes(), &picture].concat());
    client.end();
    assert_eq!(answers(&client.rest())[0].status, 201);
    // an incomplete body is not waited for
    let mut client = Client::connect(&server.address);
    client.send(&[head(picture.len() + 1).as_bytes(), &picture].concat());
    client.end();
    let began = Instant::now();
    let rest = client.rest();
    assert!(!rest.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&rest));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(!root.path().join(format!("a{}.png", picture.len() + 1)).exists());
}

/// Bytes after an invalid head, even late ones, do not cut off the answer before it.
#[test]
fn bad_head_does_not_cut_the_answer_before_it() {
    let place = folder();
    let server = Server::start(&testdata(), place.path());
    let whole = |target: &str| server.get(target, &[]).body;
    let hit = "/photos/large-12mp.jpg?width=400&format=jpeg";
    let miss = "/photos/large-12mp.jpg?width=401&format=jpeg";
    let bodies = [whole("/photos/rocket.jpg"), whole(hit), whole(hit), whole(hit)];
    for (target, body) in [("/photos/rocket.jpg", Some(&bodies[0])), (hit, Some(&bodies[3])), (miss, None)] {
        for together in [true, false] {
            // the client reads nearly nothing: most of the answer waits in the server's kernel
            let mut client = server.stuck("");
            let request = get(target);
            match together {
                true => client.write_all(&[request.as_slice(), GARBAGE].concat()).expect("sent"),
                false => {
                    client.write_all(&request).expect("sent");
                    client.peek(&mut [0]).expect("the beginning of the answer");
                    client.write_all(GARBAGE).expect("sent");
                }
            }
            for _ in 0..5 {
                // long after the server's last bytes
                std::thread::sleep(Duration::from_millis(100));
                client.write_all(GARBAGE).expect("the server still reads");
            }
            client.set_read_timeout(Some(crate::common::PATIENCE)).expect("an open socket");
            let mut all = Vec::new();
            client.read_to_end(&mut all).unwrap_or_else(|error| panic!("{target}: after {}: {error}", all.len()));
            let answers = answers(&all);
            assert_eq!((answers.len(), answers[0].status), (2, 200), "{target} {together}");
            assert!(body.is_none_or(|body| *body == answers[0].body), "{target} {together}");
            answers[1].assert_problem(400);
        }
    }
}

/// A refused client that keeps the connection is disconnected after a while.
#[test]
fn refused_clients_are_disconnected() {
    let place = folder();
    let server = Server::start(&testdata(), place.path());
    let mut silent = Client::connect(&server.address);
    silent.send(GARBAGE);
    assert_eq!(answers(&silent.rest()).len(), 1);
    let began = Instant::now();
    poll("it is let go", || (server.metric("tintype_connections") <= 1.0).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // a client that leaves at once
    let mut gone = Client::connect(&server.address);
    gone.send(GARBAGE);
    assert_eq!(answers(&gone.rest()).len(), 1);
    drop(gone);
    let began = Instant::now();
    poll("it is let go", || (server.metric("tintype_connections") <= 1.0).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

/// Abandoned requests are not rendered. Half-closed connections are told from closed ones.
#[test]
fn work_of_disconnected_clients_is_dropped() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Leaves {
        Closing,
        Resetting,
        EndingFirst,
        Not,
    }
    for (server, _place) in servers(&[("TINTYPE_LIMITS_WORKERS", "1"), ("TINTYPE_LIMITS_QUEUE", "50")]) {
        let is_unix = matches!(server.address, Address::Unix(_));
        // a render that takes much longer than disconnecting
        let busy: Vec<Connection> = (0..3)
            .map(|number| {
                let mut connection = server.connect();
                connection.send_request(
                    "GET",
                    &format!("/photos/large-12mp.jpg?width={}&format=avif", 2000 + number),
                    &[],
                );
                connection
            })
            .collect();
        server.wait_for("tintype_renders_total", 1.0);
        let ways = [Leaves::Closing, Leaves::Resetting, Leaves::EndingFirst, Leaves::Not];
        let ways = ways.into_iter().filter(|way| !(is_unix && *way == Leaves::Resetting));
        let mut clients = Vec::new();
        for (number, way) in ways.flat_map(|way| [way; 4]).enumerate() {
            let mut client = Client::connect(&server.address);
            client.send(&get(&format!("/photos/chelsea.png?width={}&format=webp", 60 + number)));
            clients.push((client, way));
        }
        let waiting = busy.len() - 1 + clients.len();
        server.wait_for("tintype_queue_length", waiting as f64);
        let (mut staying, mut ended) = (Vec::new(), Vec::new());
        for (client, way) in clients {
            match (way, client) {
                (Leaves::Not, client) => {
                    client.end();
                    staying.push(client);
                }
                (Leaves::EndingFirst, client) => {
                    client.end();
                    ended.push(client);
                }
                (Leaves::Resetting, Client::Tcp(stream)) => {
                    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
                }
                (_, client) => drop(client),
            }
        }
        // some time after the half-close was noticed
        std::thread::sleep(Duration::from_millis(200));
        drop(ended);
        // the requests that stay, and those that the worker is busy with
        let left = staying.len() + busy.len() - 1;
        poll("they are noticed", || (server.metric("tintype_queue_length") <= left as f64).then_some(()));
        // none of them has been rendered by then
        assert_eq!(server.metric("tintype_renders_total"), 1.0);
        drop(busy);
        for mut client in staying {
            assert_eq!(answers(&client.rest())[0].status, 200);
        }
        assert!(server.metric("tintype_requests_abandoned_total") >= 8.0);
    }
}
