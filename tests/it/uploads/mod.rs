//! Uploads to the built program: refusals, names that try to leave the root, races between clients, and a server that is
//! killed during uploads.
//!
//! There are few kills by default; `TINTYPE_FAULTS=200 cargo test --release --test it -- uploads::killed --nocapture` makes more
//! and prints the figures.

mod kill;
mod refusals;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::Duration;

use crate::common::{Address, Answer, Server, folder, poll, testdata};
use rustix::process::Signal;

const TOKEN: (&str, &str) = ("Authorization", "Bearer a token for tests");

const OPEN: [(&str, &str); 4] = [
    ("TINTYPE_SECURITY_ADMIN_TOKEN", "a token for tests"),
    ("TINTYPE_SECURITY_UPLOAD", "true"),
    ("TINTYPE_SOURCE_MAX_BYTES", "500000"),
    ("TINTYPE_CACHE_MIN_FREE", "0"),
];

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

/// Uploads a file with the token and more headers.
fn put(server: &Server, name: &str, more: &[(&str, &str)], body: &[u8]) -> Answer {
    let headers: Vec<_> = [TOKEN].iter().chain(more).copied().collect();
    send(server, "PUT", &format!("/-/upload/{name}"), &headers, body)
}

/// Every file below a folder: path and bytes.
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

    let created = put(&server, name, &[], &first);
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(created.header("location"), format!("/{name}"));
    let answer: serde_json::Value = serde_json::from_slice(&created.body).expect("JSON");
    let expected = serde_json::json!({
        "path": "new/folder/café one.jpg", "format": "png", "width": 600, "height": 400, "frames": 1, "bytes": first.len(),
    });
    assert_eq!(answer, expected);
    let got = server.get(&format!("/{name}"), &[]);
    assert!(got.status == 200 && got.body == first);
    let etag = got.header("etag");
    assert_eq!(created.header("etag"), etag);
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
    // an ETag is valid for one replacement only
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

/// A multipart form of files.
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
    let created = post("?path=/album%2F2026/", &body);
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(created.header("location"), "/album/2026/one.png");
    let answer: serde_json::Value = serde_json::from_slice(&created.body).expect("JSON");
    assert_eq!(
        (&answer["files"][1]["path"], &answer["files"][1]["format"]),
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
    // staged files are removed after the answer
    poll("a refused form leaves nothing", || (files(root.path()) == before).then_some(()));
    assert!(!root.path().join("fresh").exists(), "a refused form left its folder");
}

#[test]
fn uploads_racing_for_a_name_have_one_winner() {
    const CLIENTS: usize = 12;
    let (root, cache) = (folder(), folder());
    let server = start(root.path(), cache.path(), &[("TINTYPE_LIMITS_UPLOADS", "100")]);
    let race = |more: &[(&str, &str)], first: u64| {
        let barrier = Barrier::new(CLIENTS);
        let ask = |number: u64| {
            let body = body(number);
            barrier.wait();
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
        assert!(got.body == body(winners[0].0), "another upload than the winner's");
        got.header("etag")
    };
    let etag = race(&[], 0);
    let next = race(&[("If-Match", &etag)], 100);
    race(&[("If-Match", &next)], 200);
}

/// An image of 30 to 400 kB, distinct for each number.
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
