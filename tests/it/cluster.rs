//! Purges of several servers over a real object store (SeaweedFS): servers that run, stand still, are stopped and are not
//! reached.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::common::{Address, Answer, Server, folder, poll, run, testdata, tintype};
use crate::shared::serve;
use tintype_testing::object_store::ObjectStore;

const PHOTOS: [&str; 3] = ["photos/coffee.png", "photos/chelsea.png", "photos/astronaut.png"];

const TOKEN: &str = "0123456789 a token";
const APPLIED: &str = r#"tintype_purge_journal_entries_total{result="applied"}"#;
const READ: &str = "tintype_purge_journal_lag_seconds";

/// The interval at which the servers of the settings' default read the journal, and the time for an answer.
const ONE_POLL: Duration = Duration::from_secs(3);

fn settings<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("TINTYPE_SECURITY_ADMIN_TOKEN", TOKEN)], more].concat()
}

fn target(photo: &str) -> String {
    format!("/{photo}?width=40&format=webp")
}

/// Asks for the rendition of a photo; whether it was there.
fn is_hit(server: &Server, photo: &str) -> bool {
    let answer = server.get(&target(photo), &[]);
    assert_eq!(answer.status, 200, "{photo}: {}", server.log());
    answer.header("cache-status").contains("hit")
}

/// Has a server send all photos, and waits until they are on its disk and in the bucket.
fn fill(server: &Server, cache: &Path) {
    for photo in PHOTOS {
        is_hit(server, photo);
    }
    poll("all on disk", || (on_disk(cache) == PHOTOS.len()).then_some(()));
    poll("an empty queue", || (server.metric("tintype_shared_queue_bytes") == 0.0).then_some(()));
}

/// The number of renditions in a cache folder.
fn on_disk(cache: &Path) -> usize {
    let files = tintype_testing::stored_files(cache);
    files.iter().filter(|path| path.file_name().is_some_and(|name| name != "purge-position")).count()
}

fn address(server: &Server) -> SocketAddr {
    let Address::Tcp(address) = server.address else { panic!("not on TCP") };
    address
}

fn purge(server: &Server, path: &str) -> Answer {
    let token = format!("Bearer {TOKEN}");
    let headers = [("Authorization", token.as_str()), ("Content-Length", "0")];
    server.connect().ask("POST", &format!("/-/purge?path={path}"), &headers)
}

/// The answer to a purge that succeeds: numbers of renditions and of servers that were told, and the servers that were not.
fn purged(answer: &Answer) -> (u64, u64, Vec<String>) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let failed =
        body["nodes"]["failed"].as_array().expect("a list").iter().map(|url| url.as_str().unwrap_or("?").to_owned());
    (body["purged"].as_u64().expect("a number"), body["nodes"]["told"].as_u64().expect("a number"), failed.collect())
}

#[test]
fn purge_at_one_server_reaches_all_within_a_poll() {
    let Some(store) = ObjectStore::start_or_skip() else { return };
    let (root, caches) = (testdata(), [folder(), folder(), folder()]);
    let servers = caches.each_ref().map(|cache| serve(&root, &store, cache.path(), "a", &settings(&[])));
    servers.iter().zip(&caches).for_each(|(server, cache)| fill(server, cache.path()));
    let [asked, running, frozen] = &servers;
    assert_eq!(running.metric("tintype_renders_total"), 0.0, "all was shared");

    // the third stands still meanwhile
    frozen.signal(Signal::STOP);
    let (began, answer) = (Instant::now(), purge(asked, PHOTOS[0]));
    assert_eq!(purged(&answer), (1, 0, Vec::new()));
    assert_eq!(on_disk(caches[0].path()), 2);
    poll("purged at the second", || (on_disk(caches[1].path()) == 2).then_some(()));
    let took = began.elapsed();
    assert!(took < ONE_POLL, "{took:?}");
    assert!(!is_hit(running, PHOTOS[0]) && is_hit(running, PHOTOS[1]));
    assert_eq!(on_disk(caches[2].path()), 3, "it stands still");
    let began = Instant::now();
    frozen.signal(Signal::CONT);
    poll("purged at the third", || (frozen.metric(APPLIED) > 0.0).then_some(()));
    let thawed = began.elapsed();
    assert!(thawed < ONE_POLL, "{thawed:?}");
    assert!(!is_hit(frozen, PHOTOS[0]) && is_hit(frozen, PHOTOS[1]));
    println!("purged at the second after {took:?}, at the third {thawed:?} after it went on");

    // folders are found by the markers of their originals
    let (began, answer) = (Instant::now(), purge(asked, "photos/"));
    assert_eq!(purged(&answer).0, 3);
    for (server, cache) in servers.iter().zip(&caches) {
        poll("purged", || (on_disk(cache.path()) == 0).then_some(()));
        assert!(PHOTOS.iter().all(|photo| !is_hit(server, photo)), "{}", server.log());
    }
    println!("a folder is purged everywhere after {:?}", began.elapsed());
}

#[test]
fn stopped_server_sends_nothing_that_was_purged_meanwhile() {
    let Some(store) = ObjectStore::start_or_skip() else { return };
    let (root, caches) = (testdata(), [folder(), folder()]);
    let start = |cache: &tempfile::TempDir| serve(&root, &store, cache.path(), "a", &settings(&[]));
    let [asked, stopped] = caches.each_ref().map(start);
    fill(&asked, caches[0].path());
    fill(&stopped, caches[1].path());
    assert!(stopped.stop().success());
    assert_eq!(purged(&purge(&asked, PHOTOS[0])).0, 1);
    let again = start(&caches[1]);
    // its first answers
    assert!(!is_hit(&again, PHOTOS[0]));
    assert!(is_hit(&again, PHOTOS[1]));
    assert_eq!(again.metric("tintype_renders_total"), 1.0);
    assert_eq!(again.metric(APPLIED), 1.0);

    // the object store does not answer at the start: what is on disk is not used until it does
    assert!(again.stop().success());
    store.signal("STOP");
    let began = Instant::now();
    let again = start(&caches[1]);
    let started = began.elapsed();
    assert!(started < Duration::from_secs(10), "{started:?}");
    assert!(!is_hit(&again, PHOTOS[1]), "rendered");
    assert!(is_hit(&again, PHOTOS[1]), "and kept in memory");
    assert!(again.log().contains("renditions on disk are not used"), "{}", again.log());
    assert_eq!(again.get("/-/ready", &[]).status, 200);
    store.signal("CONT");
    poll("the journal was read", || again.log().contains("is read again").then_some(()));
    assert!(is_hit(&again, PHOTOS[2]));
    assert_eq!(again.metric("tintype_renders_total"), 1.0);
    println!("started after {started:?} while the store stood still");
}

#[test]
fn other_servers_are_told_at_once() {
    let Some(store) = ObjectStore::start_or_skip() else { return };
    let (root, caches) = (testdata(), [folder(), folder()]);
    // a port without a listener
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let told = serve(&root, &store, caches[1].path(), "a", &settings(&[("TINTYPE_CLUSTER_POLL", "60s")]));
    let peers = format!("http://{},http://{closed}/", address(&told));
    let asked = serve(&root, &store, caches[0].path(), "a", &settings(&[("TINTYPE_CLUSTER_PEERS", &peers)]));
    fill(&asked, caches[0].path());
    fill(&told, caches[1].path());
    let answer = purge(&asked, "/photos/");
    assert_eq!(purged(&answer), (3, 1, vec![format!("http://{closed}")]));
    assert_eq!((on_disk(caches[0].path()), on_disk(caches[1].path())), (0, 0), "before the answer");
    assert!(PHOTOS.iter().all(|photo| !is_hit(&told, photo)));

    // the command prints the same
    let mut command = tintype();
    command.args(["purge", PHOTOS[0]]).env("TINTYPE_SECURITY_ADMIN_TOKEN", TOKEN);
    command.env("TINTYPE_SERVER_LISTEN", address(&asked).to_string());
    let (code, output, stderr) = run(&mut command, b"");
    assert_eq!(code, Some(0), "{stderr}");
    let shown: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(shown["nodes"]["told"], 1, "{shown}");

    // a server is purged alone
    fill(&told, caches[1].path());
    let answer = purge(&told, "/&local=1");
    assert_eq!(answer.text(), r#"{"purged":3}"#);
    purge(&told, "/&local=2").assert_problem(400);
}

#[test]
fn purge_that_does_not_reach_the_store_is_done_here_and_says_so() {
    let Some(store) = ObjectStore::start_or_skip() else { return };
    let (root, cache) = (testdata(), folder());
    let server = serve(&root, &store, cache.path(), "a", &settings(&[]));
    fill(&server, cache.path());
    store.signal("STOP");
    let began = Instant::now();
    let (answer, here) = std::thread::scope(|scope| {
        let answer = scope.spawn(|| purge(&server, PHOTOS[0]));
        poll("gone here", || (on_disk(cache.path()) == 2).then_some(()));
        let here = began.elapsed();
        (answer.join().expect("no panic"), here)
    });
    let took = began.elapsed();
    answer.assert_problem(503);
    assert!(here < took / 2, "gone here after {here:?}, although the store hangs for {took:?}");
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!((&body["purged"], &body["nodes"]["told"]), (&1.into(), &0.into()), "{body}");
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("journal")), "{body}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(on_disk(cache.path()), 2, "it is gone here");
    store.signal("CONT");
    // repeated, as the answer says
    assert_eq!(purged(&purge(&server, PHOTOS[0])), (1, 0, Vec::new()), "the one in the bucket");
    drop(store);
    purge(&server, PHOTOS[1]).assert_problem(503);
    assert_eq!(on_disk(cache.path()), 1);
    assert!(!is_hit(&server, PHOTOS[1]), "{}", server.log());
    println!("gone here after {here:?}, 503 after {took:?} while the store stood still");
}

#[test]
fn servers_without_a_bucket_have_to_be_reached() {
    let (root, caches) = (testdata(), [folder(), folder()]);
    let start = |cache: &tempfile::TempDir, peers: &str| {
        let more = [("TINTYPE_CLUSTER_PEERS", peers)];
        Server::start_with(&root, cache.path(), "127.0.0.1:0", &settings(&more))
    };
    let told = start(&caches[0], "");
    let asked = start(&caches[1], &format!("http://{}", address(&told)));
    assert!(!is_hit(&told, PHOTOS[0]) && is_hit(&told, PHOTOS[0]));
    assert_eq!(purged(&purge(&asked, PHOTOS[0])), (0, 1, Vec::new()));
    assert!(!is_hit(&told, PHOTOS[0]));
    assert_eq!(asked.metric(READ), 0.0, "there is no journal");
    let address = address(&told);
    assert!(told.stop().success());
    let answer = purge(&asked, PHOTOS[0]);
    answer.assert_problem(503);
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(body["nodes"]["failed"][0], format!("http://{address}"), "{body}");
}

#[test]
fn check_asks_the_other_servers() {
    let (root, cache, own) = (testdata(), folder(), folder());
    let peer = Server::start_with(&root, cache.path(), "127.0.0.1:0", &settings(&[]));
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let check = |peers: &str, token: &str| {
        let mut command = tintype();
        command.args(["check", "--json"]).env("TINTYPE_SOURCE_ROOT", &root).env("TINTYPE_CACHE_DIR", own.path());
        command.env("TINTYPE_CLUSTER_PEERS", peers).env("TINTYPE_SECURITY_ADMIN_TOKEN", token);
        let (_, output, stderr) = run(command.env("TINTYPE_SERVER_LISTEN", "127.0.0.1:0"), b"");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {stderr}"));
        let findings = report["findings"].as_array().expect("a list").iter();
        let ours = findings.filter(|finding| matches!(finding["about"].as_str(), Some("cluster.peers" | "settings")));
        ours.map(|finding| format!("{} {}\n", finding["level"], finding["cause"]).replace('"', "")).collect::<String>()
    };
    let url = format!("http://{}", address(&peer));
    let version = env!("CARGO_PKG_VERSION");
    let found = check(&url, TOKEN);
    for expected in [
        format!("ok {url} has the same version, {version}"),
        format!("ok {url} accepts security.admin_token"),
        "warning without shared.bucket".into(),
    ] {
        assert!(found.contains(&expected), "{found}");
    }
    assert!(!found.contains("error"), "{found}");
    for (peers, token, expected) in [
        (url.as_str(), "another 0123456789 token", format!("error {url} has another security.admin_token")),
        (&url, "", "error the other servers are not told of purges without security.admin_token".into()),
        (&format!("http://{closed}"), TOKEN, format!("error http://{closed} does not answer")),
        ("10.0.0.2:8080", TOKEN, "error cluster.peers is invalid".into()),
        ("http://a:b@10.0.0.2", TOKEN, "error cluster.peers is invalid".into()),
    ] {
        let found = check(peers, token);
        assert!(found.contains(&expected), "{expected} is not in:\n{found}");
    }
}
