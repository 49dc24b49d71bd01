//! Originals of an HTTP origin: renditions equal those from a folder, and the origin's failures stay its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::tls::Tls;
use crate::common::{Answer, Connection, Server, folder, poll, testdata, tintype};

const PHOTO: &str = "photos/coffee.png";

/// Every request asks the origin, and what is known is used for long if that fails.
const ASK: [(&str, &str); 2] = [("TINTYPE_SOURCE_REVALIDATE", "1ms"), ("TINTYPE_SOURCE_STALE_WHILE_REVALIDATE", "0s")];

/// An origin over the test pictures. Paths below `hang/` get no answer, below `private/` a 403, below `broken/` a 500; those
/// below `slow/` are answered after a moment.
struct Origin {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    is_down: AtomicBool,
    requests: AtomicUsize,
    hanging: Mutex<Vec<TcpStream>>,
}

impl Origin {
    fn start() -> Origin {
        Origin::start_at("127.0.0.1:0".parse().expect("an address"))
    }

    fn start_at(address: SocketAddr) -> Origin {
        let listener = TcpListener::bind(address).expect("a port");
        let (address, state) = (listener.local_addr().expect("an address"), Arc::<State>::default());
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.is_down.load(Ordering::SeqCst) {
                    return;
                }
                // the client may leave at any time
                drop(shared.answer(stream));
            }
        });
        Origin { address, state, thread: Some(thread) }
    }

    /// Closes its port.
    fn stop(&mut self) {
        self.state.is_down.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        self.thread.take().map(std::thread::JoinHandle::join).expect("once").expect("no panic");
    }

    fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }
}

impl State {
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let head: Vec<String> = BufReader::new(stream.try_clone()?)
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        self.requests.fetch_add(1, Ordering::SeqCst);
        let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or("/").to_owned();
        let mut path = path.trim_start_matches("/base/");
        if let Some(rest) = path.strip_prefix("slow/") {
            std::thread::sleep(Duration::from_millis(500));
            path = rest;
        }
        let (status, body) = match path.split('/').next().unwrap_or_default() {
            "hang" => {
                self.hanging.lock().expect("no panic").push(stream);
                return Ok(());
            }
            "private" => (403, Vec::new()),
            "broken" => (500, Vec::new()),
            _ => match std::fs::read(testdata().join(path)) {
                Ok(body) => (200, body),
                Err(_) => (404, Vec::new()),
            },
        };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {length}\r\nETag: \"{length}\"\r\n\r\n"
        )?;
        stream.write_all(&body)
    }
}

/// `tintype serve` with that origin and settings.
fn serve(origin: &Origin, cache: &std::path::Path, settings: &[(&str, &str)]) -> Server {
    let mut command = tintype();
    command.arg("serve").arg("--cache-dir").arg(cache).args(["--listen", "127.0.0.1:0"]);
    command.env("TINTYPE_SOURCE_URL", format!("http://{}/base", origin.address)).envs(settings.iter().copied());
    Server::spawn(command).unwrap_or_else(|log| panic!("tintype did not say where it listens:\n{log}"))
}

#[test]
fn renditions_of_an_origin_equal_those_of_a_folder() {
    let (origin, caches) = (Origin::start(), [folder(), folder()]);
    let remote = serve(&origin, caches[0].path(), &[]);
    let local = Server::start(&testdata(), caches[1].path());
    for query in ["?width=100&format=webp", "?width=60&format=jpeg", "", "?format=json"] {
        let target = format!("/{PHOTO}{query}");
        let [answer, expected] = [&remote, &local].map(|server| server.get(&target, &[]));
        assert_eq!((answer.status, expected.status), (200, 200), "{target}");
        assert!(answer.body == expected.body, "{target}");
        assert_eq!(answer.header("etag"), expected.header("etag"), "{target}");
        assert_eq!(answer.try_header("last-modified"), None, "the origin tells no date");
        let etag = answer.header("etag");
        assert_eq!(remote.get(&target, &[("If-None-Match", &etag)]).status, 304, "{target}");
    }
    assert_eq!(origin.requests(), 1, "one original, fresh for a minute");
}

#[test]
fn cached_renditions_outlive_the_origin() {
    let (mut origin, cache) = (Origin::start(), folder());
    let server = serve(&origin, cache.path(), &ASK);
    let target = format!("/{PHOTO}?width=50&format=webp");
    let first = server.get(&target, &[]);
    assert_eq!(first.status, 200);
    origin.stop();
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(20));
        let answer = server.get(&target, &[]);
        assert!(answer.status == 200 && answer.body == first.body);
        assert_stale(&answer, "tintype; hit");
    }
    // an original that was never fetched
    let answer = server.get("/photos/other.png?width=50", &[]);
    answer.assert_problem(502);
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[track_caller]
fn assert_stale(answer: &Answer, cache_status: &str) {
    assert_eq!(answer.header("cache-status"), format!("{cache_status}; detail=stale"), "{}", answer.head);
    assert_eq!(answer.header("cache-control"), "public, max-age=10");
}

#[test]
fn kills_and_restarts_while_the_origin_is_down_cost_no_cached_picture() {
    let (mut origin, cache) = (Origin::start(), folder());
    let mut server = serve(&origin, cache.path(), &ASK);
    let targets: Vec<String> = (1..=20).map(|n| format!("/{PHOTO}?width={}&format=webp", 20 * n)).collect();
    let first: Vec<Answer> = targets.iter().map(|target| server.get(target, &[])).collect();
    assert!(first.iter().all(|answer| answer.status == 200));
    origin.stop();
    let mut heads = Vec::new();
    for fast_path in ["true", "false"] {
        // killed
        drop(server);
        server = serve(&origin, cache.path(), &[ASK[0], ASK[1], ("TINTYPE_SERVER_FAST_PATH", fast_path)]);
        let mut slowest = Duration::ZERO;
        // from disk, then out of memory, by the fast path if it is on
        for _ in 0..3 {
            for (target, first) in targets.iter().zip(&first) {
                let started = Instant::now();
                let answer = server.get(target, &[]);
                slowest = slowest.max(started.elapsed());
                assert!(answer.status == 200 && answer.body == first.body, "{}", answer.head);
                assert_eq!(answer.header("etag"), first.header("etag"));
                assert_stale(&answer, "tintype; hit");
            }
        }
        println!("fast_path = {fast_path}: the slowest of 60 answers without the origin took {slowest:?}");
        let etag = first[0].header("etag");
        let unchanged = server.get(&targets[0], &[("If-None-Match", &etag)]);
        assert_eq!((unchanged.status, unchanged.header("cache-control")), (304, "public, max-age=10".into()));
        let head = server.get(&targets[0], &[]).head;
        let own = ["date", "x-request-id"];
        let is_own = |line: &&str| own.iter().any(|name| line.to_ascii_lowercase().starts_with(name));
        heads.push(head.lines().filter(|line| !is_own(line)).map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(server.metric("tintype_fast_path_answers_total") > 0.0, fast_path == "true");
        assert!(server.metric("tintype_source_stale_served_total") >= 60.0);
        assert_eq!(server.metric("tintype_source_sick"), 1.0);
    }
    assert_eq!(heads[0], heads[1], "both paths give the same answer");
    // a new rendition is made from the original on disk
    let answer = server.get(&format!("/{PHOTO}?width=33&format=webp"), &[]);
    assert_eq!(answer.picture().1, 33);
    assert_stale(&answer, "tintype; fwd=uri-miss; stored");
    let answer = server.get(&format!("/{PHOTO}"), &[]);
    assert_eq!(answer.body, std::fs::read(testdata().join(PHOTO)).expect("a picture"));
    assert_stale(&answer, "tintype; fwd=bypass");
    let started = Instant::now();
    server.get("/photos/other.png?width=50", &[]).assert_problem(502);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());

    let _origin = Origin::start_at(origin.address);
    let started = Instant::now();
    poll("the origin is asked again", || {
        (server.get(&targets[0], &[]).header("cache-status") == "tintype; hit").then_some(())
    });
    println!("recovered after {:?}", started.elapsed());
    assert_eq!(server.metric("tintype_source_sick"), 0.0);
    let log = server.log();
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!((lines("the origin fails"), lines("the origin answers again")), (1, 1), "{log}");
}

#[test]
fn purged_original_does_not_come_back_after_a_kill() {
    let (mut origin, cache) = (Origin::start(), folder());
    let settings = [ASK[0], ASK[1], ("TINTYPE_SECURITY_ADMIN_TOKEN", "0123456789abcdef")];
    let mut server = serve(&origin, cache.path(), &settings);
    let others = ["photos/chelsea.png", PHOTO].map(|name| format!("/{name}?width=50&format=webp"));
    for target in &others {
        assert_eq!(server.get(target, &[]).status, 200, "{target}");
    }
    let token = [("Authorization", "Bearer 0123456789abcdef"), ("Content-Length", "0")];
    assert_eq!(server.connect().ask("POST", &format!("/-/purge?path=/{PHOTO}"), &token).status, 200);
    origin.stop();
    drop(server);
    server = serve(&origin, cache.path(), &settings);
    assert_stale(&server.get(&others[0], &[]), "tintype; hit");
    server.get(&others[1], &[]).assert_problem(502);
    server.get(&format!("/{PHOTO}"), &[]).assert_problem(502);
}

#[test]
fn thousand_clients_of_a_cold_original_cause_one_fetch() {
    let (origin, cache) = (Origin::start(), folder());
    let server = serve(&origin, cache.path(), &[]);
    let clients: Vec<Connection> = (0..1000)
        .map(|number| {
            let mut client = server.connect();
            let target = format!("/slow/{PHOTO}?width={}&format=webp", 20 + number % 10);
            client.send_request("GET", &target, &[]);
            client
        })
        .collect();
    for (number, mut client) in clients.into_iter().enumerate() {
        assert_eq!(client.receive("GET").picture().1, 20 + number as u32 % 10);
    }
    assert_eq!(origin.requests(), 1);
    assert_eq!(server.metric("tintype_renders_total"), 10.0);
}

#[test]
fn failures_of_the_origin_have_statuses_that_caches_do_not_keep() {
    let (origin, cache) = (Origin::start(), folder());
    let server = serve(&origin, cache.path(), &[]);
    for _ in 0..3 {
        server.get("/photos/missing.png?width=50", &[]).assert_problem(404);
    }
    assert_eq!(origin.requests(), 1, "a missing original is remembered");
    for path in ["/private/a.png", "/broken/a.png"] {
        let answer = server.get(&format!("{path}?width=50"), &[]);
        answer.assert_problem(502);
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[test]
fn original_that_hangs_delays_no_other() {
    let (origin, cache) = (Origin::start(), folder());
    let server = serve(&origin, cache.path(), &[("TINTYPE_LIMITS_WORKERS", "1"), ("TINTYPE_LIMITS_QUEUE", "4")]);
    let hanging: Vec<TcpStream> = (0..8)
        .map(|number| server.stuck(&format!("GET /hang/{number}.jpg?width=50 HTTP/1.1\r\nHost: a\r\n\r\n")))
        .collect();
    let started = Instant::now();
    while origin.state.hanging.lock().expect("no panic").len() < hanging.len() {
        assert!(started.elapsed() < Duration::from_secs(5), "all of them reach the origin");
        std::thread::sleep(Duration::from_millis(5));
    }
    let answer = server.get(&format!("/{PHOTO}?width=50&format=webp"), &[]);
    assert_eq!(answer.status, 200);
    assert!(started.elapsed() < Duration::from_secs(9), "before the origin's time is over: {:?}", started.elapsed());
}

#[test]
fn purge_forgets_the_original() {
    let (origin, cache) = (Origin::start(), folder());
    let server = serve(&origin, cache.path(), &[("TINTYPE_SECURITY_ADMIN_TOKEN", "0123456789abcdef")]);
    let target = format!("/{PHOTO}?width=50&format=webp");
    assert_eq!(server.get(&target, &[]).status, 200);
    let token = [("Authorization", "Bearer 0123456789abcdef"), ("Content-Length", "0")];
    assert_eq!(server.connect().ask("POST", &format!("/-/purge?path=/{PHOTO}"), &token).status, 200);
    assert_eq!(server.get(&target, &[]).status, 200);
    assert_eq!(origin.requests(), 2);
}

#[test]
fn https_origin_is_verified_by_the_system_certificates() {
    let [place, cache] = [folder(), folder()];
    let bundle = place.path().join("roots.pem");
    let tls = Tls::new(&bundle);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let photo = std::fs::read(testdata().join(PHOTO)).expect("a picture");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            tls.serve(stream, |stream| {
                let mut head = [0; 4096];
                // a client that does not trust the certificate sends nothing
                if stream.read(&mut head).is_ok_and(|read| read > 0) {
                    let length = photo.len();
                    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
                    let _ = stream.write_all(&[head.as_bytes(), &photo].concat());
                }
            });
        }
    });
    // the certificate is of localhost
    for (host, status) in [("localhost", 200), ("127.0.0.1", 502)] {
        let mut command = tintype();
        command.arg("serve").arg("--cache-dir").arg(cache.path()).args(["--listen", "127.0.0.1:0"]);
        command.env("TINTYPE_SOURCE_URL", format!("https://user:secret@{host}:{port}/")).env("SSL_CERT_FILE", &bundle);
        let server = Server::spawn(command).unwrap_or_else(|log| panic!("tintype did not start:\n{log}"));
        assert_eq!(server.get(&format!("/{PHOTO}?width={}", 40 + status / 100), &[]).status, status, "{host}");
        let log = server.log();
        assert!(log.contains(&format!("https://{host}:{port}/")) && !log.contains("secret"), "{log}");
    }
}
