//! Unchanged originals over real sockets: they are sent from their files, so that neither their size nor the
//! number of clients decides the memory.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::common::{Address, Server, folder, poll, testdata};

/// Larger than any buffer between the file and the client.
const LARGE: usize = 5_000_000;

/// A JPEG of that length, padded with noise after its end.
fn jpeg(length: usize) -> Vec<u8> {
    let mut bytes = std::fs::read(testdata().join("photos/rocket.jpg")).expect("a picture");
    let mut state = 1_u64;
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A JPEG with that many bytes of comments before its frame header.
fn jpeg_with_late_header(comments: usize) -> Vec<u8> {
    let picture = std::fs::read(testdata().join("photos/rocket.jpg")).expect("a picture");
    let (start, rest) = picture.split_at(2);
    let mut bytes = start.to_vec();
    while bytes.len() < comments {
        bytes.extend([0xFF, 0xFE, 0xFF, 0xFF]);
        bytes.resize(bytes.len() + 0xFFFD, b'c');
    }
    bytes.extend_from_slice(rest);
    bytes
}

/// A folder of originals and one for the cache.
struct Site {
    originals: tempfile::TempDir,
    cache: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        let folder = || folder();
        Site { originals: folder(), cache: folder() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.originals.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("a file");
    }

    fn serve(&self, listen: &str, settings: &[(&str, &str)]) -> Server {
        Server::start_with(self.originals.path(), self.cache.path(), listen, settings)
    }
}

/// A number in a file of the server's `/proc` folder, in that file's unit.
fn kernel_says(server: &Server, file: &str, name: &str) -> u64 {
    let path = Path::new("/proc").join(server.pid().to_string()).join(file);
    let text = std::fs::read_to_string(path).expect("this is Linux");
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn large_original_is_sent_whole_and_in_parts() {
    let site = Site::new();
    let original = jpeg(LARGE);
    site.put("large.jpg", &original);
    let socket = format!("unix:{}", site.path("socket").display());
    for listen in ["127.0.0.1:0", &socket] {
        let server = site.serve(listen, &[]);
        let whole = server.get("/large.jpg", &[("Connection", "close")]);
        assert_eq!((whole.status, whole.header("content-type")), (200, "image/jpeg".into()));
        assert_eq!(whole.header("cache-status"), "tintype; fwd=bypass");
        assert_eq!(whole.header("content-length"), LARGE.to_string());
        assert!(whole.try_header("transfer-encoding").is_none(), "{}", whole.head);
        assert!(whole.body == original);
        let etag = whole.header("etag");
        assert_eq!(etag, format!("\"{}\"", blake3::hash(&original).to_hex()));

        let mut connection = server.connect();
        let mut check = |method: &str, headers: &[(&str, &str)], status: u16, expected: &[u8]| {
            let answer = connection.ask(method, "/large.jpg", headers);
            assert_eq!(answer.status, status, "{method} {headers:?}: {}", answer.head);
            assert!(answer.body == expected, "{method} {headers:?}: {} bytes", answer.body.len());
            answer
        };
        check("GET", &[], 200, &original);
        let head = check("HEAD", &[], 200, b"");
        assert_eq!((head.header("content-length"), head.header("etag")), (LARGE.to_string(), etag.clone()));
        check("HEAD", &[("Range", "bytes=0-1")], 200, b"");
        for (range, start, end) in [
            ("bytes=0-0", 0, 1),
            ("bytes=7-999999", 7, 1_000_000),
            ("bytes=131071-131073", 131_071, 131_074),
            ("bytes=4999999-", LARGE - 1, LARGE),
            ("bytes=-300000", LARGE - 300_000, LARGE),
            ("bytes=1-99999999", 1, LARGE),
        ] {
            let part = check("GET", &[("Range", range)], 206, &original[start..end]);
            assert_eq!(part.header("content-range"), format!("bytes {start}-{}/{LARGE}", end - 1));
            assert_eq!(part.header("content-length"), (end - start).to_string());
        }
        check("GET", &[("Range", "bytes=1-2"), ("If-Range", &etag)], 206, &original[1..3]);
        check("GET", &[("Range", "bytes=1-2"), ("If-Range", "\"other\"")], 200, &original);
        check("GET", &[("Range", "bytes=1-2,5-6")], 200, &original);
        let unchanged = check("GET", &[("If-None-Match", &etag)], 304, b"");
        assert!(unchanged.try_header("content-length").is_none());
        check("GET", &[("If-None-Match", &etag), ("Range", "bytes=1-2")], 304, b"");
        connection.send_request("GET", "/large.jpg", &[("Range", "bytes=5000000-")]);
        let beyond = connection.receive("GET");
        assert_eq!((beyond.status, beyond.header("content-range")), (416, format!("bytes */{LARGE}")));
        // pipelined, before any answer is read
        let targets = [("bytes=0-599999", 0, 600_000), ("bytes=9-9", 9, 10), ("bytes=-400000", LARGE - 400_000, LARGE)];
        for (range, _, _) in targets {
            connection.send_request("GET", "/large.jpg", &[("Range", range)]);
        }
        for (range, start, end) in targets {
            assert!(connection.receive("GET").body == original[start..end], "{range}");
        }
        assert_eq!(server.metric("tintype_originals_cut_off_total"), 0.0);
        poll("nothing is buffered", || (server.metric("tintype_originals_buffered_bytes") == 0.0).then_some(()));
    }
}

#[test]
fn body_bytes_count_what_was_sent() {
    let site = Site::new();
    site.put("large.jpg", &jpeg(LARGE));
    let server = site.serve("127.0.0.1:0", &[]);
    let sent = || server.metric("tintype_body_bytes_total{result=\"original\"}");
    assert_eq!(server.connect().ask("HEAD", "/large.jpg", &[]).status, 200);
    assert_eq!(sent(), 0.0);
    assert_eq!(server.get("/large.jpg", &[("Range", "bytes=10-19"), ("X-Request-Id", "part")]).body.len(), 10);
    assert_eq!(sent(), 10.0);
    // reads nearly nothing and disconnects
    let mut stuck = server.stuck("GET /large.jpg HTTP/1.1\r\nHost: test\r\nX-Request-Id: stuck\r\n\r\n");
    stuck.read_exact(&mut [0; 1000]).expect("the beginning");
    poll("it is being sent", || (sent() > 10.0).then_some(()));
    drop(stuck);
    poll("it has left", || (server.metric("tintype_connections") <= 1.0).then_some(()));
    assert!(sent() < LARGE as f64 / 2.0, "{}", sent());
    // the access log has the same numbers
    let line = |id: &str| {
        let wanted = format!("\"request_id\":\"{id}\"");
        let line = poll("its line", || server.log().lines().find(|line| line.contains(&wanted)).map(str::to_owned));
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        line["bytes"].as_str().and_then(|bytes| bytes.parse::<f64>().ok()).expect("a number")
    };
    assert_eq!((line("part"), line("stuck")), (10.0, sent() - 10.0));
}

#[test]
fn format_is_found_wherever_the_header_stands() {
    let site = Site::new();
    let late = jpeg_with_late_header(3 << 20);
    site.put("late.jpg", &late);
    let mut gif = std::fs::read(testdata().join("generated/animated.gif")).expect("a picture");
    gif.resize(3 << 20, 0);
    site.put("long.gif", &gif);
    site.put("text.jpg", &b"not an image at all ".repeat(200_000));
    site.put("empty.jpg", b"");
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".iter().copied().chain(std::iter::repeat_n(0, 3 << 20));
    site.put("phone.heic", &heic.collect::<Vec<u8>>());
    let server = site.serve("127.0.0.1:0", &[]);
    for (name, kind, bytes) in [("late.jpg", "image/jpeg", &late), ("long.gif", "image/gif", &gif)] {
        let answer = server.get(&format!("/{name}"), &[]);
        assert_eq!((answer.status, answer.header("content-type")), (200, kind.into()), "{name}: {}", answer.head);
        assert!(answer.body == *bytes, "{name}");
    }
    for name in ["text.jpg", "empty.jpg", "phone.heic"] {
        server.get(&format!("/{name}"), &[]).assert_problem(415);
    }
}

#[test]
fn many_clients_take_little_memory() {
    const CLIENTS: usize = 40;
    const LENGTH: usize = 20_000_000;
    let site = Site::new();
    let original = jpeg(LENGTH);
    site.put("a.jpg", &original);
    site.put("b.jpg", &original);
    let server = site.serve("127.0.0.1:0", &[("TINTYPE_LIMITS_MEMORY", "64MiB")]);
    let Address::Tcp(address) = server.address else { panic!("not on TCP") };
    // concurrent clients of files that were never requested
    let before = kernel_says(&server, "io", "rchar:");
    let requests = ["GET /a.jpg", "HEAD /a.jpg", "GET /b.jpg"];
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let request = requests[number % requests.len()];
            let original = &original;
            scope.spawn(move || {
                let mut stream = TcpStream::connect(address).expect("a connection");
                let head = format!("{request} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
                stream.write_all(head.as_bytes()).expect("the server reads");
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).expect("all of it");
                assert!(answer.starts_with(b"HTTP/1.1 200"), "{request}");
                assert!(request.starts_with("HEAD") || answer.ends_with(original), "{request}");
            });
        }
    });
    // a file is read once for its digest, once for each GET, and at its beginning
    let read = kernel_says(&server, "io", "rchar:") - before;
    let gets = (0..CLIENTS).filter(|number| requests[number % requests.len()].starts_with("GET")).count() as u64;
    assert!(read < (gets + 3) * LENGTH as u64, "{read} bytes were read for {gets} clients");
    // clients that read nearly nothing
    let stuck: Vec<TcpStream> =
        (0..CLIENTS).map(|_| server.stuck("GET /a.jpg HTTP/1.1\r\nHost: test\r\n\r\n")).collect();
    poll("all are being sent", || {
        (server.metric("tintype_connections") > CLIENTS as f64
            && server.metric("tintype_originals_buffered_bytes") > 0.0)
            .then_some(())
    });
    assert!(server.metric("tintype_originals_buffered_bytes") <= (32 << 20) as f64);
    drop(stuck);
    let peak = kernel_says(&server, "status", "VmHWM:") / 1024;
    assert!(peak < 64 + 100, "{peak} MiB");
    poll("nothing is buffered", || (server.metric("tintype_originals_buffered_bytes") == 0.0).then_some(()));
}

/// A client that has read the beginning of a large original, and the bytes.
fn begin(server: &Server) -> (TcpStream, Vec<u8>) {
    let mut stream = server.stuck("GET /large.jpg HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let mut beginning = vec![0; 2000];
    stream.read_exact(&mut beginning).expect("the beginning");
    (stream, beginning)
}

/// Reads an answer's body to the end of the connection.
fn finish((mut stream, mut answer): (TcpStream, Vec<u8>)) -> Vec<u8> {
    stream.set_read_timeout(Some(crate::common::PATIENCE)).expect("an open socket");
    // the end may be a reset
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    answer.split_off(end)
}

#[test]
fn original_changed_while_it_is_sent_is_never_blended() {
    type Change = fn(&Path);
    let replace: Change = |path| {
        std::fs::write(path.with_extension("new"), vec![1; LARGE]).expect("a file");
        std::fs::rename(path.with_extension("new"), path).expect("renamed");
    };
    let overwrite: Change = |path| {
        let file = std::fs::File::options().write(true).open(path).expect("the file");
        file.write_all_at(&vec![1; LARGE], 0).expect("written");
    };
    let cut: Change = |path| {
        let file = std::fs::File::options().write(true).open(path).expect("the file");
        file.set_len(1_000_000).expect("cut");
    };
    let remove: Change = |path| std::fs::remove_file(path).expect("removed");
    let site = Site::new();
    let server = site.serve("127.0.0.1:0", &[]);
    let mut cut_off = 0.0;
    for (what, change, is_whole) in
        [("replaced", replace, true), ("removed", remove, true), ("overwritten", overwrite, false), ("cut", cut, false)]
    {
        let original = jpeg(LARGE);
        site.put("large.jpg", &original);
        let begun = begin(&server);
        change(&site.path("large.jpg"));
        let body = finish(begun);
        assert!(original.starts_with(&body), "{what}: {} bytes", body.len());
        assert_eq!(body.len() == LARGE, is_whole, "{what}: {} bytes", body.len());
        cut_off += if is_whole { 0.0 } else { 1.0 };
        assert_eq!(server.metric("tintype_originals_cut_off_total"), cut_off, "{what}");
    }
}
