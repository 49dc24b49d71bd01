//! Results that several servers share in a bucket of a real object store (SeaweedFS): servers with a folder each of their own, and
//! the originals in common.

use std::path::Path;
use std::time::{Duration, Instant};

use tintype_testing::object_store::{ACCESS_KEY, ObjectStore, SECRET_KEY};

use crate::common::{Answer, Server, folder, poll, testdata};

const PHOTOS: [&str; 4] = ["photos/coffee.png", "photos/chelsea.png", "photos/astronaut.png", "photos/rocket.jpg"];

const RENDERS: &str = "tintype_renders_total";
const STORED: &str = r#"tintype_shared_requests_total{op="put",result="stored"}"#;
const HITS: &str = r#"tintype_shared_requests_total{op="get",result="hit"}"#;
const INVALID: &str = r#"tintype_shared_requests_total{op="get",result="invalid"}"#;
const MISSES: &str = r#"tintype_shared_requests_total{op="get",result="miss"}"#;
const OPEN: &str = r#"tintype_shared_open{op="get"}"#;

/// `tintype serve` that shares its results below that prefix of the bucket.
pub(crate) fn serve(root: &Path, store: &ObjectStore, cache: &Path, prefix: &str, settings: &[(&str, &str)]) -> Server {
    let (bucket, endpoint) = (store.location(prefix), store.endpoint());
    let shared = [
        ("TINTYPE_SHARED_BUCKET", bucket.as_str()),
        ("TINTYPE_SHARED_ENDPOINT", &endpoint),
        ("TINTYPE_SHARED_ACCESS_KEY", ACCESS_KEY),
        ("TINTYPE_SHARED_SECRET_KEY", SECRET_KEY),
    ];
    Server::start_with(root, cache, "127.0.0.1:0", &[&shared, settings].concat())
}

fn targets() -> Vec<String> {
    let queries = ["?width=100&format=webp", "?width=60&format=jpeg", "?width=50&height=50&fit=cover", "?format=json"];
    PHOTOS.iter().flat_map(|photo| queries.map(|query| format!("/{photo}{query}"))).collect()
}

fn ok(server: &Server, target: &str) -> Answer {
    let answer = server.get(target, &[]);
    assert_eq!(answer.status, 200, "{target}: {}", server.log());
    answer
}

/// Asserts that a server rendered so many results, and others only beside look-ups that were slow.
fn assert_renders(server: &Server, expected: usize) {
    let (renders, hedged) = (server.metric(RENDERS), server.metric("tintype_shared_hedged_total"));
    let needed = renders - hedged..=renders;
    assert!(needed.contains(&(expected as f64)), "{expected} of {renders} renders, of which {hedged} may be hedges");
}

/// Waits until a server has written what it made, and returns how many results that are.
fn wait_for_puts(server: &Server, least: f64) -> f64 {
    server.wait_for(STORED, least);
    poll("an empty queue", || (server.metric("tintype_shared_queue_bytes") == 0.0).then_some(()));
    server.metric(STORED)
}

#[test]
fn second_server_renders_nothing_that_the_first_made() {
    let Some(store) = ObjectStore::start_or_skip() else { return };
    let (root, caches, targets) = (testdata(), [folder(), folder()], targets());
    let signed = [("TINTYPE_SHARED_KEY", "one secret of all servers")];
    let first = serve(&root, &store, caches[0].path(), "a/b", &signed);
    let made: Vec<Answer> = targets.iter().map(|target| ok(&first, target)).collect();
    assert_renders(&first, targets.len());
    wait_for_puts(&first, targets.len() as f64);
    let second = serve(&root, &store, caches[1].path(), "a/b", &signed);
    let mut times = Vec::new();
    for (target, made) in targets.iter().zip(&made) {
        let began = Instant::now();
        let answer = ok(&second, target);
        times.push(began.elapsed());
        assert!(answer.body == made.body, "{target}");
        for name in ["etag", "content-type", "cache-control", "last-modified"] {
            assert_eq!(answer.try_header(name), made.try_header(name), "{target} {name}");
        }
        let status = answer.header("cache-status");
        let is_hedged = second.metric("tintype_shared_hedged_total") > 0.0;
        assert!(status == "tintype; hit; detail=shared" || is_hedged, "{target}: {status}");
        // from then on it is local
        assert_eq!(ok(&second, target).header("cache-status"), "tintype; hit", "{target}");
    }
    assert_renders(&second, 0);
    second.wait_for(HITS, targets.len() as f64);
    times.sort_unstable();
    println!("{} shared hits: median {:?}, slowest {:?}", times.len(), times[times.len() / 2], times[times.len() - 1]);

    // a server whose disk was lost
    assert!(second.stop().success());
    let empty = folder();
    let third = serve(&root, &store, empty.path(), "a/b", &signed);
    targets.iter().for_each(|target| drop(ok(&third, target)));
    assert_renders(&third, 0);

    // another secret, and another prefix, share nothing
    for (prefix, key) in [("a/b", "another secret"), ("other", "one secret of all servers")] {
        let cache = folder();
        let other = serve(&root, &store, cache.path(), prefix, &[("TINTYPE_SHARED_KEY", key)]);
        ok(&other, &targets[0]);
        assert_renders(&other, 1);
        let misses = if prefix == "a/b" { INVALID } else { MISSES };
        other.wait_for(misses, 1.0);
    }
}

#[test]
fn results_reach_the_bucket_before_the_program_ends() {
    let Some(store) = ObjectStore::start_or_skip() else { return };
    let (root, caches, targets) = (testdata(), [folder(), folder()], targets());
    let first = serve(&root, &store, caches[0].path(), "ends", &[]);
    targets.iter().for_each(|target| drop(ok(&first, target)));
    assert!(first.stop().success());
    let second = serve(&root, &store, caches[1].path(), "ends", &[]);
    targets.iter().for_each(|target| drop(ok(&second, target)));
    assert_renders(&second, 0);
}

#[test]
fn names_of_all_kinds_are_shared_and_purged_by_their_folder() {
    let Some(store) = ObjectStore::start_or_skip() else { return };
    let (root, caches) = (folder(), [folder(), folder(), folder()]);
    let names = ["é/100 %.png", "é/a+b=c.png", "é/x/中文 #1?.png", "é.png", "a.png"];
    let paths = [
        "%C3%A9/100%20%25.png",
        "%C3%A9/a%2Bb%3Dc.png",
        "%C3%A9/x/%E4%B8%AD%E6%96%87%20%231%3F.png",
        "%C3%A9.png",
        "a.png",
    ];
    for name in names {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::copy(testdata().join(PHOTOS[0]), path).expect("copied");
    }
    let token = [("TINTYPE_SECURITY_ADMIN_TOKEN", "0123456789abcdef0123456789abcdef")];
    let serve = |number: usize| serve(root.path(), &store, caches[number].path(), "names", &token);
    let target = |path: &str| format!("/{path}?width=40&format=webp");
    let first = serve(0);
    paths.iter().for_each(|path| drop(ok(&first, &target(path))));
    wait_for_puts(&first, paths.len() as f64);
    assert_eq!(first.metric(r#"tintype_shared_requests_total{op="mark",result="stored"}"#), paths.len() as f64);
    let second = serve(1);
    paths.iter().for_each(|path| drop(ok(&second, &target(path))));
    assert_renders(&second, 0);

    let headers = [("Authorization", "Bearer 0123456789abcdef0123456789abcdef")];
    let purged = second.connect().ask("POST", "/-/purge?path=/%C3%A9/", &headers);
    assert_eq!(purged.status, 200, "{}", purged.text());
    let third = serve(2);
    for (number, path) in paths.iter().enumerate() {
        ok(&third, &target(path));
        assert_renders(&third, number.min(2) + 1);
    }
}

#[test]
fn frozen_store_costs_a_hedge_and_a_dead_one_nothing() {
    let Some(store) = ObjectStore::start_or_skip() else { return };
    let (root, caches) = (testdata(), [folder(), folder()]);
    let alone = Server::start(&root, caches[0].path());
    let server = serve(&root, &store, caches[1].path(), "faults", &[]);
    // each number is another rendition
    let target =
        |number: u32| format!("/{}?width={}&quality={}&format=webp", PHOTOS[0], 100 + number % 400, 40 + number / 400);
    let mut next = 10_000;
    let mut ask = || {
        next += 1;
        ok(&server, &target(next));
    };
    let time = |server: &Server, number| {
        let began = Instant::now();
        ok(server, &target(number));
        began.elapsed()
    };
    // decoders and threads are warm, and the store's usual time is known
    for number in 0..20 {
        time(&alone, number);
        time(&server, number);
    }
    wait_for_puts(&server, 20.0);
    // of the same renders without a store and with it, one after the other
    let medians = |from: u32| {
        let mut times = [&alone, &server].map(|_| Vec::new());
        for number in from..from + 15 {
            [&alone, &server].iter().zip(&mut times).for_each(|(server, times)| times.push(time(server, number)));
        }
        times.each_mut().map(|times| {
            times.sort_unstable();
            times[times.len() / 2]
        })
    };
    let [alone_well, well] = medians(100);
    println!("median of a miss: {alone_well:?} alone, {well:?} with the store");

    store.signal("STOP");
    let [render, frozen] = medians(200);
    println!("median of a miss: {render:?} alone, {frozen:?} with a frozen store");
    // a hedge is 100 ms at most
    assert!(frozen < render + Duration::from_millis(150), "{frozen:?}, {render:?} without a store");
    poll("an open breaker", || {
        ask();
        (server.metric(OPEN) == 1.0).then_some(())
    });
    assert_eq!(server.get("/-/ready", &[]).status, 200);
    let [render, open] = medians(1000);
    println!("median of a miss: {render:?} alone, {open:?} with an open breaker");
    assert!(open < render + Duration::from_millis(40), "{open:?}, {render:?} without a store");
    assert!(server.log().contains("the shared bucket fails"), "{}", server.log());

    // it goes on, and is used again
    store.signal("CONT");
    poll("a closed breaker", || {
        ask();
        (server.metric(OPEN) == 0.0).then_some(())
    });
    let stored = server.metric(STORED);
    ask();
    server.wait_for(STORED, stored + 1.0);
    assert!(server.log().contains("the shared bucket answers again"), "{}", server.log());

    // gone for good
    drop(store);
    (0..30).for_each(|_| ask());
    assert_eq!(server.get("/-/ready", &[]).status, 200);
    assert_eq!(server.metric(r#"tintype_requests_total{code="503",result="failure"}"#), 0.0);
    assert_eq!(server.metric(r#"tintype_requests_total{code="504",result="failure"}"#), 0.0);
    assert!(server.stop().success());
}
