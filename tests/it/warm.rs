//! `tintype warm`: lists, logs and pages are read; a server or this process renders.

use std::collections::HashSet;
use std::fmt::Write;
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::random::Random;
use crate::common::{Address, Server, folder, run, testdata, tintype};

const CHROMIUM: &str = "image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";
const WEBP_ONLY: &str = "image/webp,image/*,*/*;q=0.8";

/// `tintype warm` with the settings of a server at that address.
fn warm(listen: &str, cache: &Path) -> Command {
    let mut command = tintype();
    command.arg("warm").env("TINTYPE_SOURCE_ROOT", testdata()).env("TINTYPE_CACHE_DIR", cache);
    command.env("TINTYPE_SERVER_LISTEN", listen).env("TINTYPE_CACHE_MIN_FREE", "0");
    command
}

/// An address where nothing listens.
fn unused() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").to_string()
}

fn address(server: &Server) -> String {
    match &server.address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// The exit code, standard output and standard error.
fn outcome(command: &mut Command, input: &str) -> (Option<i32>, String, String) {
    let (code, output, stderr) = run(command, input.as_bytes());
    (code, String::from_utf8_lossy(&output.stdout).into_owned(), stderr)
}

/// An access log of nginx: visitors of a few pages, and noise.
fn log(lines: usize) -> String {
    const FILES: [&str; 5] = ["alpha.png", "grey.png", "p3.png", "opaque-rgba.png", "rgb16.png"];
    const AGENTS: [&str; 2] = [
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15",
    ];
    let (mut random, mut log) = (Random(11), String::new());
    for number in 0..lines {
        let file = FILES[(random.below(5) * random.below(5) / 4) as usize];
        let width = [16, 24, 32, 48][random.below(4) as usize];
        let (request, status) = match random.below(20) {
            0 => ("GET /favicon.ico HTTP/1.1".to_owned(), 404),
            1 => ("GET /css/site.css?v=3 HTTP/2.0".to_owned(), 200),
            2 => ("POST /search HTTP/1.1".to_owned(), 200),
            3 => (format!("GET /generated/{file} HTTP/1.1"), 200),
            4 => ("\\x16\\x03\\x01\\x02".to_owned(), 400),
            5..=9 => (format!("GET /generated/{file}?width={width}&format=webp HTTP/2.0"), 200),
            10..=12 => (format!("GET /generated/{file}?f=webp&w={}&dpr=2&utm_source=mail HTTP/2.0", width / 2), 304),
            _ => (format!("GET /generated/{file}?width={width}&format=auto HTTP/2.0"), 200),
        };
        let agent = AGENTS[random.below(2) as usize];
        writeln!(
            log,
            "203.0.113.{} - - [25/Nov/2026:10:{:02}:{:02} +0000] \"{request}\" {status} {} \"https://example.com/\" \"{agent}\"",
            random.below(250),
            number / 60 % 60,
            number % 60,
            random.below(9000)
        )
        .expect("a String");
    }
    log
}

/// Requests the targets of a log as several browsers, and returns hits and requests.
fn replay(server: &Server, log: &str) -> (u32, u32) {
    let (mut requests, mut hits) = (0, 0);
    for (number, line) in log.lines().enumerate() {
        let request = line.split('"').nth(1).expect("a request");
        let Some(target) = request.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()) else { continue };
        if !target.contains("format=") && !target.contains("f=") {
            continue;
        }
        let accept = [CHROMIUM, WEBP_ONLY, "*/*"][number % 3];
        let answer = server.get(target, &[("Accept", accept)]);
        assert_eq!(answer.status, 200, "{target}");
        requests += 1;
        hits += u32::from(answer.header("cache-status").contains("hit"));
    }
    (hits, requests)
}

#[test]
fn warmed_log_is_replayed_from_the_cache() {
    let log = log(400);
    let (cold_cache, cache, place) = (folder(), folder(), folder());
    let cold = Server::start(&testdata(), cold_cache.path());
    let (hits, requests) = replay(&cold, &log);
    let before = f64::from(hits) / f64::from(requests);
    let renders = cold.metric("tintype_renders_total");

    let file = place.path().join("access.log");
    std::fs::write(&file, &log).expect("written");
    let server = Server::start(&testdata(), cache.path());
    let (code, shown, stderr) = outcome(warm(&address(&server), cache.path()).arg(&file), "");
    assert_eq!(code, Some(0), "{shown}{stderr}");
    let made = server.metric("tintype_renders_total");
    // several requests may come to one picture
    assert!(shown.contains(&format!("\n{made} rendered, ")) && shown.contains(" already cached, 0 failed"), "{shown}");
    assert!(shown.contains("400 entries read: 5 originals") && shown.contains("skipped"), "{shown}");
    let (hits, requests) = replay(&server, &log);
    let after = f64::from(hits) / f64::from(requests);
    eprintln!(
        "{requests} requests of a log of 400 lines: hit ratio {before:.3} cold ({renders} renders), {after:.3} warmed with {made}"
    );
    assert!(before < 0.9, "{before}");
    assert_eq!(hits, requests);
    assert_eq!(server.metric("tintype_renders_total"), made);
    // renders for other clients only, since a log does not name what a client accepts
    assert!(made >= renders && made <= renders * 3.0, "{made} of {renders}");

    // a second run finds everything cached
    let (code, shown, _) = outcome(warm(&address(&server), cache.path()).args(["--concurrency", "4"]).arg(&file), "");
    assert_eq!(code, Some(0));
    assert!(shown.contains("\n0 rendered, ") && shown.contains(" already cached, 0 failed"), "{shown}");
}

#[test]
fn list_summary_counts_every_outcome() {
    let cache = folder();
    let server = Server::start(&testdata(), cache.path());
    assert_eq!(server.get("/generated/grey.png?width=30", &[]).status, 200);
    let list = "# a comment\n\
        https://images.example/generated/grey.png?w=30\n\
        /generated/grey.png?width=31&v=1\n\
        /generated/grey.png?w=31&v=2\n\
        /generated/grey.png\n\
        /generated/none.png?width=30\n\
        /hostile/html-named.jpg?width=20\n\
        not/a/path.png\n";
    let (code, shown, stderr) = outcome(warm(&address(&server), cache.path()).arg("-"), list);
    assert_eq!(code, Some(0), "{shown}{stderr}");
    assert!(shown.contains("7 entries read"), "{shown}");
    assert!(shown.contains("1 skipped: neither a URL"), "{shown}");
    assert!(shown.contains("1 rendered, 1 already cached, 1 originals, 2 failed"), "{shown}");
    assert!(shown.contains("404      1  ") && shown.contains("such as /generated/none.png?width=30"), "{shown}");
    assert!(shown.contains("415      1  "), "{shown}");
    // the command fails where every request does
    let (code, shown, stderr) = outcome(warm(&address(&server), cache.path()).arg("-"), "/none.png?w=1\n");
    assert_eq!(code, Some(1), "{shown}");
    assert!(stderr.contains("every request failed"), "{stderr}");
    // an empty list is no failure
    assert_eq!(outcome(warm(&address(&server), cache.path()).arg("-"), "# nothing\n").0, Some(0));
    assert_eq!(outcome(warm(&address(&server), cache.path()).arg("/nowhere.txt"), "").0, Some(1));
    assert_eq!(outcome(warm(&address(&server), cache.path()).args(["-", "--accept", "best"]), "").0, Some(2));
}

const PAGE: &str = r#"<!doctype html><html><body>
    <picture>
      <source type="image/avif" srcset="/generated/p3.png?width=16&amp;format=auto 1x, /generated/p3.png?width=32&amp;format=auto 2x">
      <img src="/generated/p3.png?width=16" srcset="/generated/p3.png?w=16 16w,/generated/p3.png?w=8&amp;dpr=4 32w" alt="">
    </picture>
    <img src="data:image/gif;base64,R0lGOD" data-src="https://example.com/generated/grey.png?rect=0,0,8,8&amp;format=webp">
    <a href="/generated/alpha.png?width=9">not an image</a>
    </body></html>"#;

#[test]
fn html_page_is_read_for_its_images() {
    let (cache, place) = (folder(), folder());
    let file = place.path().join("index.html");
    std::fs::write(&file, PAGE).expect("written");
    let (code, shown, stderr) = outcome(warm(&unused(), cache.path()).arg("--dry-run").arg(&file), "");
    assert_eq!(code, Some(0), "{stderr}");
    let requests: HashSet<&str> = shown.lines().filter(|line| line.starts_with('/')).collect();
    let expected = [
        "/generated/p3.png?width=16&format=auto\tavif",
        "/generated/p3.png?width=32&format=auto\tavif",
        "/generated/p3.png?w=16",
        "/generated/p3.png?w=8&dpr=4",
        "/generated/grey.png?rect=0,0,8,8&format=webp",
    ];
    assert_eq!(requests, HashSet::from(expected), "{shown}");
    assert!(shown.starts_with("7 entries read: 2 originals, 5 renditions to request"), "{shown}");
    // the store was not made
    assert!(!cache.path().join("v2").exists());
}

#[test]
fn accept_option_selects_clients() {
    let cache = folder();
    let list = "/generated/p3.png?width=16&format=auto\n";
    let names = |arguments: &[&str]| {
        let (code, shown, stderr) =
            outcome(warm(&unused(), cache.path()).args(["--dry-run", "-"]).args(arguments), list);
        assert_eq!(code, Some(0), "{stderr}");
        let lines = shown.lines().filter_map(|line| line.split_once('\t'));
        lines.map(|(_, name)| name.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["avif", "webp", "any"]);
    assert_eq!(names(&["--accept", "webp"]), ["webp"]);
    // clients that get the same rendition count once
    assert_eq!(names(&["--accept", CHROMIUM, "--accept", "avif"]), [CHROMIUM]);
}

#[test]
fn warm_without_a_server_renders_in_process() {
    let cache = folder();
    let list = "/photos/rocket.jpg?width=16&format=auto\n/generated/grey.png?width=20&format=webp\n";
    let (code, shown, stderr) = outcome(warm(&unused(), cache.path()).arg("-"), list);
    assert_eq!(code, Some(0), "{shown}{stderr}");
    assert!(
        shown.contains("sending requests to this process") && shown.contains("4 rendered, 0 already cached, 0 failed"),
        "{shown}"
    );
    // the service finds what was made
    let server = Server::start(&testdata(), cache.path());
    for accept in [CHROMIUM, WEBP_ONLY, "*/*"] {
        let answer = server.get("/photos/rocket.jpg?width=16&format=auto", &[("Accept", accept)]);
        assert_eq!(answer.header("cache-status"), "tintype; hit", "{accept}");
    }
    // one process writes to a cache folder: while a server has it, --url is needed
    let (code, shown, stderr) = outcome(warm(&unused(), cache.path()).arg("-"), list);
    assert_eq!(code, Some(1), "{shown}");
    assert!(stderr.contains(&format!("process {}", server.pid())) && stderr.contains("--url"), "{stderr}");
    let url = format!("http://{}", address(&server));
    let (code, shown, stderr) = outcome(warm(&unused(), cache.path()).args(["--url", &url, "-"]), list);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(shown.contains("0 rendered, 4 already cached"), "{shown}");
    drop(server);
    let (code, _, stderr) = outcome(warm(&unused(), cache.path()).args(["--url", &url, "-"]), list);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("cannot connect"), "{stderr}");
}

#[test]
fn warm_connects_to_a_unix_socket() {
    let (cache, place) = (folder(), folder());
    let listen = format!("unix:{}", place.path().join("tintype.sock").display());
    let server = Server::start_with(&testdata(), cache.path(), &listen, &[]);
    let list = "/generated/grey.png?width=20&format=webp\n";
    let (code, shown, stderr) = outcome(warm(&listen, cache.path()).arg("-"), list);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(shown.contains(&listen) && shown.contains("1 rendered"), "{shown}");
    let (code, shown, _) = outcome(warm(&unused(), cache.path()).args(["--url", &listen, "-"]), list);
    assert_eq!(code, Some(0));
    assert!(shown.contains("1 already cached"), "{shown}");
    assert_eq!(server.metric("tintype_renders_total"), 1.0);
}

/// A server that is not tintype or in trouble: gives these answers in turn, over and over, and notes what was asked.
fn stub(answers: &'static [&'static str]) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let (requests, next) = (Arc::<Mutex<Vec<String>>>::default(), AtomicUsize::new(0));
    let noted = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut lines = reader.by_ref_lines();
            let Some(first) = lines.next() else { continue };
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            noted.lock().expect("no panic while it is held").push(first);
            let answer = answers[next.fetch_add(1, Ordering::Relaxed) % answers.len()];
            // the client may have left
            let _ = reader.get_mut().write_all(answer.as_bytes());
        }
    });
    (address, requests)
}

trait Lines {
    fn by_ref_lines(&mut self) -> impl Iterator<Item = String>;
}

impl<T: BufRead> Lines for T {
    fn by_ref_lines(&mut self) -> impl Iterator<Item = String> {
        std::iter::from_fn(|| {
            let mut line = String::new();
            self.read_line(&mut line).ok().filter(|count| *count > 0).map(|_| line.trim_end().to_owned())
        })
    }
}

#[test]
fn warm_obeys_retry_after() {
    const BUSY: &str = "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const MADE: &str = "HTTP/1.1 200 OK\r\nCache-Status: tintype; fwd=uri-miss; stored\r\nContent-Type: image/webp\r\n\
        Content-Length: 2\r\nConnection: close\r\n\r\nok";
    let cache = folder();
    let list = "/a.png?width=1\n/b.png?width=1\n";
    // --url is not checked to be tintype, only connected to once
    let (address, requests) = stub(&[BUSY, BUSY, MADE]);
    let (code, shown, stderr) =
        outcome(warm(&unused(), cache.path()).args(["--url", &format!("http://{address}"), "-"]), list);
    assert_eq!(code, Some(0), "{shown}{stderr}");
    assert!(shown.contains("2 rendered, 0 already cached, 0 failed"), "{shown}");
    let targets = requests.lock().expect("no panic").iter().filter(|line| line.starts_with("GET /a.png")).count();
    assert_eq!(targets, 3);

    let (address, _) = stub(&[BUSY]);
    let url = format!("http://{address}");
    let (code, shown, stderr) = outcome(warm(&unused(), cache.path()).args(["--url", &url, "-"]), "/a.png?width=1\n");
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("503      1  ") && stderr.contains("failed on the server"), "{shown}{stderr}");

    // a URL whose requests get no answer, from a server that answers others; the second request is for its metrics
    let (address, requests) = stub(&[MADE, MADE, "", "", "", MADE, MADE]);
    let url = format!("http://{address}");
    let list = "/a.png?width=1\n/b.png?width=1\n/c.png?width=1\n";
    let (code, shown, stderr) =
        outcome(warm(&unused(), cache.path()).args(["--url", &url, "--concurrency", "1", "-"]), list);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("2 rendered, 0 already cached, 1 failed\n---      1  "), "{shown}");
    assert!(shown.contains("such as /b.png?width=1") && stderr.contains("failed on the server"), "{shown}{stderr}");
    let asked = requests.lock().expect("no panic").join("\n");
    assert_eq!(asked.matches("GET /b.png").count(), 3, "{asked}");
    assert_eq!(asked.matches("GET /-/live").count(), 1, "{asked}");

    // a server that disappears after the first connection
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    std::thread::spawn(move || {
        let _ = listener.accept();
        let (stream, _) = listener.accept().expect("a connection");
        let mut reader = BufReader::new(stream);
        reader.by_ref_lines().take_while(|line| !line.is_empty()).for_each(drop);
        reader.get_mut().write_all(MADE.as_bytes()).expect("it reads");
    });
    let (code, shown, stderr) = outcome(warm(&unused(), cache.path()).args(["--url", &url, "-"]), list);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("1 rendered, 0 already cached, 1 failed, 1 not sent"), "{shown}");
    assert!(shown.contains("cannot connect") && stderr.contains("unreachable"), "{shown}{stderr}");

    // a listener at the configured address that is not tintype gets one request
    const OTHER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    let (address, requests) = stub(&[OTHER]);
    let (code, _, stderr) = outcome(warm(&address, cache.path()).arg("-"), list);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("is not tintype"), "{stderr}");
    assert_eq!(requests.lock().expect("no panic").len(), 1);
    let path = PathBuf::from(cache.path());
    assert!(!path.join("v2").exists(), "something was made in the folder");
}
