//! Images that are encoded again in idle time: other bytes and another ETag under the same URL, also after a restart;
//! other answers stay.

use std::path::Path;

use crate::common::{Answer, Server, folder, poll, testdata};

const URL: &str = "/photos/rocket.jpg?width=300&format=avif";
const IDLE: (&str, &str) = ("TINTYPE_OUTPUT_UPGRADE", "idle");

fn start(cache: &Path, settings: &[(&str, &str)]) -> Server {
    Server::start_with(&testdata(), cache, "127.0.0.1:0", settings)
}

fn upgrades(server: &Server, result: &str) -> f64 {
    server.metric(&format!("tintype_upgrades_total{{result=\"{result}\"}}"))
}

/// Asks until the ETag is another one.
fn ask_until_upgraded(server: &Server, target: &str, first: &Answer) -> Answer {
    let mut connection = server.connect();
    poll("an upgrade", || {
        let answer = connection.ask("GET", target, &[]);
        assert_eq!(answer.status, 200, "{}", answer.head);
        (answer.header("etag") != first.header("etag")).then_some(answer)
    })
}

#[test]
fn image_that_is_requested_often_gets_smaller() {
    let cache = folder();
    let server = start(cache.path(), &[IDLE]);
    let first = server.get(URL, &[]);
    let other = server.get("/photos/rocket.jpg?width=200&format=avif", &[]);
    let upgraded = ask_until_upgraded(&server, URL, &first);
    assert_eq!(upgraded.picture(), first.picture());
    let (before, after) = (first.body.len(), upgraded.body.len());
    assert!(after * 100 <= before * 97, "{before} {after}");
    for name in ["content-type", "last-modified", "cache-control"] {
        assert_eq!(upgraded.header(name), first.header(name));
    }
    let conditional = |etag: &str| server.get(URL, &[("If-None-Match", etag)]);
    assert_eq!(conditional(&first.header("etag")).body, upgraded.body);
    assert_eq!(conditional(&upgraded.header("etag")).status, 304);
    let again = server.get("/photos/rocket.jpg?width=200&format=avif", &[]);
    assert_eq!(again.header("etag"), other.header("etag"), "requested twice");

    server.wait_for("tintype_upgrades_total{result=\"replaced\"}", 1.0);
    assert_eq!(server.metric("tintype_upgrade_saved_bytes_total"), (before - after) as f64);
    assert!(server.metric("tintype_upgrade_cpu_seconds_total") > 0.0);
    assert!(server.stop().success());

    // the effort of the file is known
    let server = start(cache.path(), &[IDLE]);
    let mut connection = server.connect();
    for _ in 0..40 {
        assert_eq!(connection.ask("GET", URL, &[]).body, upgraded.body);
    }
    assert_eq!((upgrades(&server, "replaced"), upgrades(&server, "kept")), (0.0, 0.0));
    assert_eq!(server.metric("tintype_upgrade_candidates"), 0.0);
}

#[test]
fn image_in_memory_alone_gets_smaller() {
    let cache = folder();
    let server = start(cache.path(), &[IDLE, ("TINTYPE_CACHE_DIR", "none")]);
    let first = server.get(URL, &[]);
    let upgraded = ask_until_upgraded(&server, URL, &first);
    assert!(upgraded.body.len() < first.body.len());
}

#[test]
fn file_that_a_proxy_sends_is_replaced() {
    let cache = folder();
    let server = start(cache.path(), &[IDLE, ("TINTYPE_SERVER_X_ACCEL", "/store")]);
    server.get(URL, &[]);
    server.wait_for("tintype_cache_stored_total", 1.0);
    let file = |answer: &Answer| cache.path().join(answer.header("x-accel-redirect").trim_start_matches("/store/"));
    let first = server.get(URL, &[]);
    let before = std::fs::metadata(file(&first)).expect("a file").len();
    let upgraded = ask_until_upgraded(&server, URL, &first);
    let after = std::fs::metadata(file(&upgraded)).expect("a file").len();
    assert!(after * 100 <= before * 97, "{before} {after}");
    poll("the end of the former file", || (!file(&first).exists()).then_some(()));
}

#[test]
fn animations_and_damaged_originals_are_not_upgraded() {
    let (root, cache) = (folder(), folder());
    let photo = std::fs::read(testdata().join("photos/rocket.jpg")).expect("a file");
    std::fs::write(root.path().join("damaged.jpg"), &photo[..photo.len() / 2]).expect("written");
    std::fs::copy(testdata().join("generated/animated.gif"), root.path().join("moving.gif")).expect("copied");
    let server = Server::start_with(root.path(), cache.path(), "127.0.0.1:0", &[IDLE]);
    for (nth, target) in ["/damaged.jpg?width=300&format=avif", "/moving.gif?width=20&format=webp"].iter().enumerate() {
        let first = server.get(target, &[]);
        let mut connection = server.connect();
        poll("a job", || {
            let answer = connection.ask("GET", target, &[]);
            assert_eq!(answer.header("etag"), first.header("etag"));
            (upgrades(&server, "skipped") >= (nth + 1) as f64).then_some(())
        });
    }
    assert_eq!(upgrades(&server, "replaced"), 0.0);
}
