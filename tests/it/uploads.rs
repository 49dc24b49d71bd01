//! Uploads to the built program: every refusal of the contract, names that try to get out, clients that race each other,
//! and a program that is killed while it takes them in.
//!
//! The kills are few with all other tests; `TINTYPE_FAULTS=200 cargo test --release --test it -- uploads::killed --nocapture`
//! makes them many and prints the figures.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::Duration;

use crate::common::{Address, Answer, Server, poll, testdata};
use rustix::process::Signal;

const TOKEN: (&str, &str) = ("Authorization", "Bearer a token for tests");

const OPEN: [(&str, &str); 4] = [
    ("TINTYPE_SECURITY_ADMIN_TOKEN", "a token for tests"),
    ("TINTYPE_SECURITY_UPLOAD", "true"),
    ("TINTYPE_SOURCE_MAX_BYTES", "500000"),
    ("TINTYPE_CACHE_MIN_FREE", "0"),
];

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn start(root: &Path, cache: &Path, settings: &[(&str, &str)]) -> Server {
    let all: Vec<_> = OPEN.iter().chain(settings).copied().collect();
    Server::start_with(root, cache, "127.0.0.1:0", &all)
}

fn picture(name: &str) -> Vec<u8> {
    std::fs::read(testdata().join(name)).expect("a picture")
}

fn send(server: &Server, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let length = body.len().to_string();
    let all: Vec<_> = headers.iter().copied().chain([("Content-Length", length.as_str())]).collect();
    let mut connection = server.connect();
    connection.send_request(method, target, &all);
    connection.send(body);
    connection.receive(method)
}

/// Puts a file with the token and one more header.
fn put(server: &Server, name: &str, more: &[(&str, &str)], body: &[u8]) -> Answer {
    let headers: Vec<_> = [TOKEN].iter().chain(more).copied().collect();
    send(server, "PUT", &format!("/-/upload/{name}"), &headers, body)
}

/// Every file below a folder, by its path, with its bytes.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut all, mut folders) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            match entry.file_type().expect("a kind") {
                kind if kind.is_dir() => folders.push(entry.path()),
                _ => {
                    let bytes = std::fs::read(entry.path()).unwrap_or_default();
                    all.insert(entry.path().strip_prefix(root).expect("below it").to_owned(), bytes);
                }
            }
        }
    }
    all
}

#[test]
fn upload_is_served_and_replaced_only_if_matched() {
    let (root, cache) = (folder(), folder());
    let server = start(root.path(), cache.path(), &[]);
    let (first, second) = (picture("photos/coffee.png"), picture("photos/rocket.jpg"));
    let name = "new/folder/caf%C3%A9%20one.jpg";

    let taken = put(&server, name, &[], &first);
    assert_eq!(taken.status, 201, "{}", taken.text());
    assert_eq!(taken.header("location"), format!("/{name}"));
    let said: serde_json::Value = serde_json::from_slice(&taken.body).expect("JSON");
    let expected = serde_json::json!({
        "path": "new/folder/café one.jpg", "format": "png", "width": 600, "height": 400, "frames": 1, "bytes": first.len(),
    });
    assert_eq!(said, expected);
    let got = server.get(&format!("/{name}"), &[]);
    assert!(got.status == 200 && got.body == first);
    let etag = got.header("etag");
    assert_eq!(taken.header("etag"), etag);
    let before = server.get(&format!("/{name}?width=30"), &[]);

    let (weak, other) = (format!("W/{etag}"), "\"0000\"".to_owned());
    for (more, status) in [
        (&[][..], 409),
        (&[("If-Match", weak.as_str())], 409),
        (&[("If-Match", other.as_str())], 409),
        (&[("If-None-Match", "*")], 412),
        (&[("If-None-Match", etag.as_str())], 412),
        (&[("If-None-Match", other.as_str())], 409),
        (&[("If-Match", "*"), ("If-None-Match", "*")], 412),
    ] {
        put(&server, name, more, &second).assert_problem(status);
    }
    put(&server, "absent.jpg", &[("If-Match", "*")], &second).assert_problem(412);
    put(&server, "absent.jpg", &[("If-Match", &etag)], &second).assert_problem(412);
    assert!(server.get(&format!("/{name}"), &[]).body == first, "a refused upload changed something");

    let list = format!("\"x\", {etag}");
    let replaced = put(&server, name, &[("If-Match", &list)], &second);
    assert_eq!((replaced.status, replaced.try_header("location")), (200, None), "{}", replaced.text());
    assert!(server.get(&format!("/{name}"), &[]).body == second);
    let after = server.get(&format!("/{name}?width=30"), &[]);
    assert_eq!(after.header("cache-status"), "tintype; fwd=uri-miss; stored");
    assert_ne!(after.body, before.body);
    // the ETag that was good for one replacement is not for another
    put(&server, name, &[("If-Match", &etag)], &first).assert_problem(409);
    assert_eq!(put(&server, name, &[("If-Match", "*")], &first).status, 200);
    assert_eq!(put(&server, "fresh.png", &[("If-None-Match", "*")], &first).status, 201);
    assert_eq!(server.metric("tintype_uploads_total"), 4.0);

    let kept = files(root.path());
    assert_eq!(
        kept.keys().map(|path| path.to_str().expect("text")).collect::<Vec<_>>(),
        ["fresh.png", "new/folder/café one.jpg"]
    );
    assert!(kept.values().all(|bytes| *bytes == first));
}

#[test]
fn replaced_original_is_seen_despite_revalidate() {
    let (root, cache) = (folder(), folder());
    let server = start(root.path(), cache.path(), &[("TINTYPE_SOURCE_REVALIDATE", "1h")]);
    assert_eq!(put(&server, "a.png", &[], &picture("generated/grey.png")).status, 201);
    let before = server.get("/a.png?width=20", &[]);
    assert_eq!(put(&server, "a.png", &[("If-Match", "*")], &picture("generated/alpha.png")).status, 200);
    let after = server.get("/a.png?width=20", &[]);
    assert_eq!(after.header("cache-status"), "tintype; fwd=uri-miss; stored");
    assert_ne!(after.body, before.body);
}

#[test]
fn refused_upload_leaves_nothing() {
    let (root, cache) = (folder(), folder());
    let server = start(root.path(), cache.path(), &[("TINTYPE_LIMITS_MAX_PIXELS", "1000000")]);
    let good = picture("photos/coffee.png");
    let wrong = ("Authorization", "Bearer another");
    for headers in [&[][..], &[wrong], &[("Authorization", "a token for tests")], &[("Authorization", "Bearer ")]] {
        let refused = send(&server, "PUT", "/-/upload/a.png", headers, &good);
        refused.assert_problem(401);
        assert_eq!(refused.header("www-authenticate"), "Bearer");
        send(&server, "POST", "/-/upload", headers, &good).assert_problem(401);
    }
    for (name, status) in [
        ("hostile/truncated.jpg", 422),
        ("hostile/truncated.png", 422),
        ("hostile/truncated.webp", 422),
        ("hostile/truncated.gif", 422),
        ("hostile/png-header-100000.png", 422),
        ("photos/retina.jpg", 422),
        ("hostile/text.txt", 415),
        ("hostile/html-named.jpg", 415),
        ("hostile/empty.jpg", 415),
        ("hostile/one-byte.png", 415),
    ] {
        let refused = put(&server, "a.png", &[], &picture(name));
        assert_eq!(refused.status, status, "{name}: {}", refused.text());
    }
    put(&server, "a.svg", &[], b"<svg><g>").assert_problem(422);
    put(&server, "a.png", &[("Content-Range", "bytes 0-9/10")], &good).assert_problem(400);
    // by what is said at once, by what comes otherwise
    let mut connection = server.connect();
    connection.send_request("PUT", "/-/upload/a.png", &[TOKEN, ("Content-Length", "500001")]);
    connection.receive("PUT").assert_problem(413);
    let mut connection = server.connect();
    connection.send_request("PUT", "/-/upload/a.png", &[TOKEN, ("Transfer-Encoding", "chunked")]);
    for _ in 0..6 {
        connection.send(format!("{:x}\r\n{}\r\n", 100_000, "x".repeat(100_000)).as_bytes());
    }
    connection.receive("PUT").assert_problem(413);
    // ten times as much, all sent before the answer is read
    put(&server, "a.png", &[], &vec![0; 5_000_000]).assert_problem(413);
    for (method, target, allow) in [
        ("GET", "/-/upload/a.png", "PUT"),
        ("POST", "/-/upload/a.png", "PUT"),
        ("DELETE", "/-/upload/a.png", "PUT"),
        ("PUT", "/-/upload", "POST"),
        ("GET", "/-/upload", "POST"),
    ] {
        let refused = send(&server, method, target, &[TOKEN], b"");
        refused.assert_problem(405);
        assert_eq!(refused.header("allow"), allow, "{method} {target}");
    }
    assert_eq!(files(root.path()), BTreeMap::new());
    assert_eq!(server.metric("tintype_uploads_total"), 0.0);
}

#[test]
fn uploads_are_off_without_token_or_setting() {
    let (root, cache) = (folder(), folder());
    for (name, value) in [("TINTYPE_SECURITY_ADMIN_TOKEN", ""), ("TINTYPE_SECURITY_UPLOAD", "false")] {
        let server = start(root.path(), cache.path(), &[(name, value)]);
        put(&server, "a.png", &[], &picture("generated/grey.png")).assert_problem(404);
        send(&server, "POST", "/-/upload", &[TOKEN], b"").assert_problem(404);
        assert_eq!(files(root.path()), BTreeMap::new());
    }
}

#[test]
fn upload_names_stay_below_the_root() {
    let (root, cache, outside) = (folder(), folder(), folder());
    std::fs::create_dir(root.path().join("real")).expect("a folder");
    std::fs::write(root.path().join("file.png"), picture("generated/grey.png")).expect("written");
    let link = |target: &Path, name: &str| symlink(target, root.path().join(name)).expect("a link");
    link(outside.path(), "out");
    link(Path::new("../.."), "up");
    link(&outside.path().join("x.png"), "out.png");
    link(Path::new("nowhere"), "dangling");
    link(Path::new("real"), "relative");
    link(&root.path().join("real"), "absolute");
    let server = start(root.path(), cache.path(), &[]);
    let good = picture("generated/grey.png");
    let (long, deep) = (format!("{}.png", "x".repeat(252)), format!("{}a.png", "d/".repeat(2500)));
    for (name, status) in [
        ("../a.png", 404),
        ("a/../../a.png", 404),
        ("%2e%2e/a.png", 404),
        ("a%2Fb.png", 404),
        ("a%5Cb.png", 404),
        ("..%5Ca.png", 404),
        ("a//b.png", 404),
        ("/a.png", 404),
        ("./a.png", 404),
        ("a%00.png", 404),
        ("a%0d%0ab.png", 404),
        ("%ff.png", 404),
        ("%zz.png", 404),
        (".a.png", 404),
        (".git/a.png", 404),
        (".tintype-uploads/a.png", 404),
        ("a/", 404),
        // what is asked for below it is never an original
        ("-/a.png", 404),
        ("", 404),
        (&long, 404),
        (&deep, 409),
        ("a", 415),
        ("a.html", 415),
        ("a.png.php", 415),
        ("png", 415),
        ("file.png/a.png", 409),
        ("out/a.png", 403),
        ("out/deeper/a.png", 403),
        ("up/a.png", 403),
        ("dangling/a.png", 403),
        ("out.png", 409),
    ] {
        let refused = put(&server, name, &[], &good);
        assert_eq!(refused.status, status, "{name}: {}", refused.text());
    }
    // what a link leads to is not written through
    assert_eq!(put(&server, "out.png", &[("If-Match", "*")], &good).status, 412);
    assert_eq!(files(outside.path()), BTreeMap::new());
    let before = files(root.path());
    for name in ["relative/a.png", "absolute/b.png", "absolute/deeper/c.png"] {
        assert_eq!(put(&server, name, &[], &good).status, 201, "{name}");
    }
    let added: Vec<_> = files(root.path()).into_keys().filter(|path| !before.contains_key(path)).collect();
    assert_eq!(added, ["real/a.png", "real/b.png", "real/deeper/c.png"].map(PathBuf::from));
}

#[test]
fn planted_staging_link_is_not_followed() {
    let (root, cache, outside) = (folder(), folder(), folder());
    symlink(outside.path(), root.path().join(".tintype-uploads")).expect("a link");
    let server = start(root.path(), cache.path(), &[]);
    put(&server, "a.png", &[], &picture("generated/grey.png")).assert_problem(403);
    assert_eq!(files(outside.path()), BTreeMap::new());
    assert!(server.log().contains("originals cannot be taken in"), "{}", server.log());
}

/// A form of files, each with its name and bytes.
fn form(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, bytes) in files {
        let head = format!("--edge\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--edge--\r\n");
    body
}

#[test]
fn form_files_are_stored_together_or_not_at_all() {
    let (root, cache) = (folder(), folder());
    let server = start(root.path(), cache.path(), &[]);
    let (png, jpeg, bad) =
        (picture("generated/grey.png"), picture("photos/rocket.jpg"), picture("hostile/truncated.png"));
    let kind = ("Content-Type", "multipart/form-data; boundary=edge");
    let post = |query: &str, body: &[u8]| send(&server, "POST", &format!("/-/upload{query}"), &[TOKEN, kind], body);

    let mut body = b"--edge\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n".to_vec();
    body.extend(b"--edge\r\nContent-Disposition: form-data; name=\"f\"; filename=\"\"\r\n\r\n\r\n");
    body.extend(form(&[("C:\\fakepath\\one.png", &png), ("../../two two.jpg", &jpeg)]));
    let taken = post("?path=/album%2F2026/", &body);
    assert_eq!(taken.status, 201, "{}", taken.text());
    assert_eq!(taken.header("location"), "/album/2026/one.png");
    let said: serde_json::Value = serde_json::from_slice(&taken.body).expect("JSON");
    assert_eq!(
        (&said["files"][1]["path"], &said["files"][1]["format"]),
        (&"album/2026/two two.jpg".into(), &"jpeg".into())
    );
    assert!(server.get("/album/2026/one.png", &[]).body == png);
    assert!(server.get("/album/2026/two%20two.jpg", &[]).body == jpeg);
    assert_eq!(post("", &form(&[("root.png", &png)])).header("location"), "/root.png");
    let before = files(root.path());
    assert_eq!(before.len(), 3);

    let many: Vec<_> = (0..33).map(|number| format!("{number}.png")).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), &png[..])).collect();
    let large = vec![0; 500_001];
    for (query, body, status) in [
        ("?path=album", form(&[("new.png", &png), ("bad.png", &bad)]), 422),
        ("?path=album", form(&[("new.png", &png), ("page.png", b"<html>")]), 415),
        ("?path=album", form(&[("new.png", &png), ("page.html", &png)]), 415),
        ("?path=album", form(&[("new.png", &png), ("large.png", &large)]), 413),
        ("?path=album/2026", form(&[("new.png", &png), ("one.png", &png)]), 409),
        ("?path=fresh", form(&[("new.png", &png), ("new.png", &png)]), 409),
        ("?path=album", form(&[("new.png", &png), ("..", &png)]), 400),
        ("?path=album", form(&[]), 400),
        ("?path=album", form(&many), 400),
        ("?path=album", b"--edge\r\n".repeat(10), 400),
        ("?path=album", b"no form at all".to_vec(), 400),
        ("?path=album", vec![b'x'; 600_000], 400),
        ("?path=album", vec![0; 4_000_001], 413),
        ("?path=../out", form(&[("new.png", &png)]), 400),
        ("?path=a%ffb", form(&[("new.png", &png)]), 400),
        ("?path=album&path=other", form(&[("new.png", &png)]), 400),
        ("?path=.git", form(&[("new.png", &png)]), 400),
        ("?path=a//b", form(&[("new.png", &png)]), 400),
        ("?path=root.png", form(&[("new.png", &png)]), 409),
    ] {
        let refused = post(query, &body);
        assert_eq!(
            refused.status,
            status,
            "{query} {}: {}",
            String::from_utf8_lossy(&body[..60.min(body.len())]),
            refused.text()
        );
    }
    send(&server, "POST", "/-/upload", &[TOKEN, ("Content-Type", "image/png")], &png).assert_problem(415);
    // what was staged is removed behind the answer
    poll("a refused form leaves nothing", || (files(root.path()) == before).then_some(()));
    assert!(!root.path().join("fresh").exists(), "a refused form left its folder");
}

#[test]
fn slow_upload_is_ended_by_timeout() {
    let (root, cache) = (folder(), folder());
    let settings = [("TINTYPE_LIMITS_UPLOAD_TIMEOUT", "300ms"), ("TINTYPE_LIMITS_UPLOADS", "1")];
    let server = start(root.path(), cache.path(), &settings);
    let good = picture("generated/grey.png");
    let length = good.len().to_string();
    let mut connection = server.connect();
    connection.send_request("PUT", "/-/upload/a.png", &[TOKEN, ("Content-Length", &length)]);
    connection.send(&good[..10]);
    let refused = connection.receive("PUT");
    refused.assert_problem(408);
    assert_eq!(refused.header("connection"), "close");
    drop(connection);
    // its place is free again
    poll("the place", || (put(&server, "a.png", &[], &good).status == 201).then_some(()));
    assert_eq!(files(root.path()).into_keys().collect::<Vec<_>>(), [PathBuf::from("a.png")]);
}

#[test]
fn uploads_above_the_limit_are_refused() {
    let (root, cache) = (folder(), folder());
    let server = start(root.path(), cache.path(), &[("TINTYPE_LIMITS_UPLOADS", "1")]);
    let good = picture("generated/grey.png");
    let length = good.len().to_string();
    let mut first = server.connect();
    first.send_request("PUT", "/-/upload/a.png", &[TOKEN, ("Content-Length", &length)]);
    let staging = root.path().join(".tintype-uploads");
    poll("the first is staged", || (std::fs::read_dir(&staging).ok()?.count() == 1).then_some(()));
    let refused = put(&server, "b.png", &[], &good);
    refused.assert_problem(503);
    refused.header("retry-after");
    first.send(&good);
    assert_eq!(first.receive("PUT").status, 201);
    // one that leaves half-way leaves nothing, and its place
    let mut leaving = server.connect();
    leaving.send_request("PUT", "/-/upload/c.png", &[TOKEN, ("Content-Length", &length)]);
    poll("it is staged", || (std::fs::read_dir(&staging).ok()?.count() == 1).then_some(()));
    drop(leaving);
    poll("it is gone", || (std::fs::read_dir(&staging).ok()?.count() == 0).then_some(()));
    poll("the place", || (put(&server, "b.png", &[], &good).status == 201).then_some(()));
}

#[test]
fn uploads_racing_for_a_name_have_one_winner() {
    const CLIENTS: usize = 12;
    let (root, cache) = (folder(), folder());
    let server = start(root.path(), cache.path(), &[("TINTYPE_LIMITS_UPLOADS", "100")]);
    let race = |more: &[(&str, &str)], first: u64| {
        let together = Barrier::new(CLIENTS);
        let ask = |number: u64| {
            let body = body(number);
            together.wait();
            (number, put(&server, "contested.ppm", more, &body).status)
        };
        let answers: Vec<_> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS as u64)
                .map(|client| {
                    let ask = &ask;
                    scope.spawn(move || ask(first + client))
                })
                .collect();
            clients.into_iter().map(|client| client.join().expect("an answer")).collect()
        });
        let won = if more.is_empty() { 201 } else { 200 };
        let winners: Vec<_> = answers.iter().filter(|(_, status)| *status == won).collect();
        assert!(answers.iter().all(|(_, status)| [won, 409].contains(status)), "{answers:?}");
        assert_eq!(winners.len(), 1, "{answers:?}");
        let got = server.get("/contested.ppm", &[]);
        assert!(got.body == body(winners[0].0), "it is not the winner's");
        got.header("etag")
    };
    let etag = race(&[], 0);
    let next = race(&[("If-Match", &etag)], 100);
    race(&[("If-Match", &next)], 200);
}

#[test]
fn staged_files_of_dead_processes_are_removed() {
    let (root, cache) = (folder(), folder());
    let staging = root.path().join(".tintype-uploads");
    std::fs::create_dir(&staging).expect("a folder");
    let stray = "upload-0123456789abcdef";
    for name in [stray, "upload-0123", "notes.txt"] {
        std::fs::write(staging.join(name), b"half a pict").expect("written");
    }
    let server = start(root.path(), cache.path(), &[]);
    let left = || files(&staging).into_keys().map(|path| path.display().to_string()).collect::<Vec<_>>();
    assert_eq!(left(), ["notes.txt", "upload-0123"]);
    // what another process is writing is no stray
    std::fs::write(staging.join(stray), b"half a pict").expect("written");
    let other = std::fs::File::open(staging.join(stray)).expect("a file");
    other.lock().expect("a lock");
    assert_eq!(put(&server, "a.png", &[], &picture("generated/grey.png")).status, 201);
    assert_eq!(left(), ["notes.txt", "upload-0123", stray]);
    drop(other);
    assert_eq!(put(&server, "b.png", &[], &picture("generated/grey.png")).status, 201);
    assert_eq!(left(), ["notes.txt", "upload-0123"]);
}

/// A picture that no other number has, of 30 to 400 kB.
fn body(number: u64) -> Vec<u8> {
    let (width, height) = (100 + number % 7 * 30, 100 + number % 11 * 30);
    let mut bytes = format!("P6\n{width} {height}\n255\n").into_bytes();
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    bytes.extend((0..width * height * 3).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    }));
    bytes
}

/// The status of one PUT; `None` where the server has gone meanwhile.
fn try_put(address: &Address, name: &str, replaces: bool, body: &[u8]) -> Option<u16> {
    let Address::Tcp(address) = address else { panic!("this test goes over TCP") };
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let condition = if replaces { "If-Match: *\r\n" } else { "" };
    let (name_of_token, token) = TOKEN;
    let head = format!(
        "PUT /-/upload/{name} HTTP/1.1\r\nHost: test\r\n{name_of_token}: {token}\r\n{condition}Content-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let head = String::from_utf8_lossy(&answer);
    head.contains("\r\n\r\n").then(|| head.split(' ').nth(1)?.parse().ok())?
}

/// What one client of the killed server knows.
#[derive(Default)]
struct Known {
    /// New names that were acknowledged.
    taken: Vec<u64>,
    /// The last replacement that was acknowledged, and the one that was sent and not answered.
    replaced: Option<u64>,
    unanswered: Option<u64>,
}

#[test]
fn killed_server_loses_no_upload_and_keeps_no_part() {
    const CLIENTS: u64 = 4;
    let kills: u64 = std::env::var("TINTYPE_FAULTS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let (root, cache) = (folder(), folder());
    let staging = root.path().join(".tintype-uploads");
    let (mut acknowledged, mut unacknowledged, mut strays, mut replacements) = (0, 0, 0, 0);
    let mut last: Vec<Option<u64>> = vec![None; CLIENTS as usize];
    for cycle in 0..kills {
        let mut server = start(root.path(), cache.path(), &[]);
        assert!(files(&staging).is_empty(), "strays after a start");
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (address, mut known) = (server.address.clone(), Known::default());
                let begun = last[client as usize].is_some();
                std::thread::spawn(move || {
                    for step in 0.. {
                        let number = (cycle * CLIENTS + client) * 100_000 + step;
                        let status = try_put(&address, &format!("{client}/{cycle}/{number}.ppm"), false, &body(number));
                        match status {
                            Some(201) => known.taken.push(number),
                            Some(status) => panic!("a new name: {status}"),
                            None => return known,
                        }
                        known.unanswered = Some(number);
                        let replaces = begun || known.replaced.is_some();
                        match try_put(&address, &format!("replaced-{client}.ppm"), replaces, &body(number)) {
                            Some(200 | 201) => known.replaced = Some(number),
                            Some(status) => panic!("a replacement: {status}"),
                            None => return known,
                        }
                        known.unanswered = None;
                    }
                    known
                })
            })
            .collect();
        // at a moment that differs in each cycle
        std::thread::sleep(Duration::from_millis(5 + (cycle * 37) % 120));
        server.signal(Signal::KILL);
        server.wait();
        strays += files(&staging).len();
        let known: Vec<Known> = clients.into_iter().map(|client| client.join().expect("no refusal")).collect();

        let kept = files(root.path());
        for (client, known) in known.iter().enumerate() {
            for number in &known.taken {
                let path = PathBuf::from(format!("{client}/{cycle}/{number}.ppm"));
                assert!(kept.contains_key(&path), "{} was acknowledged and is lost", path.display());
            }
            acknowledged += known.taken.len();
            replacements += usize::from(known.replaced.is_some());
            let shown = kept.get(Path::new(&format!("replaced-{client}.ppm")));
            let newest = known.replaced.or(last[client]);
            let possible: Vec<u64> = newest.into_iter().chain(known.unanswered).collect();
            let found = shown.map(|bytes| possible.iter().copied().find(|number| *bytes == body(*number)));
            match found {
                None => assert!(newest.is_none(), "a replaced original is gone"),
                Some(None) => panic!("a replaced original is none of {possible:?}"),
                Some(number) => last[client] = number,
            }
        }
        let this_cycle = |path: &Path| path.iter().nth(1).is_some_and(|part| part.to_str() == Some(&cycle.to_string()));
        for (path, bytes) in kept.iter().filter(|(path, _)| path.components().count() == 3 && this_cycle(path)) {
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).expect("a number");
            assert!(*bytes == body(number), "{} is no whole upload", path.display());
            unacknowledged += 1;
        }
    }
    unacknowledged -= acknowledged;
    // and at the end all of them once more
    let kept = files(root.path());
    let whole = kept.iter().filter(|(path, _)| path.components().count() == 3);
    let wrong = whole.filter(|(path, bytes)| {
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        number.is_none_or(|number| **bytes != body(number))
    });
    assert_eq!(wrong.count(), 0);
    eprintln!(
        "{kills} kills: {acknowledged} uploads acknowledged, 0 lost; {replacements} times replaced before the kill, 0 torn; \
         {unacknowledged} published and not yet acknowledged, 0 partial; {strays} staged files left behind and removed"
    );
    assert!(acknowledged > 0);
}
