//! Tests of remote originals over an HTTP origin.

use std::time::Duration;

use super::super::test_origin::{Reply, TestOrigin};
use super::super::testsuite::{self, Fixture};
use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Every request asks the origin.
const NOTHING: Windows = Windows {
    revalidate: Duration::ZERO,
    stale_while_revalidate: Duration::ZERO,
    stale_if_error: Duration::ZERO,
    patience: Duration::from_millis(300),
    missing: Duration::ZERO,
};

/// Without copies on disk.
fn config(max_bytes: u64, windows: Windows) -> RemoteConfig {
    RemoteConfig { max_bytes, windows, dir: None, cache_bytes: 0, min_free: 0 }
}

struct OverHttp {
    origin: TestOrigin,
    source: RemoteSource,
    dir: Option<tempfile::TempDir>,
}

impl OverHttp {
    fn with(max_bytes: u64, windows: Windows) -> OverHttp {
        let origin = TestOrigin::start();
        let source = OverHttp::open(&origin, config(max_bytes, windows));
        OverHttp { origin, source, dir: None }
    }

    /// One that keeps originals and versions on disk.
    fn on_disk(windows: Windows) -> OverHttp {
        let origin = TestOrigin::start();
        let dir = tempfile::tempdir().expect("a folder");
        let source = OverHttp::open(&origin, OverHttp::disk_config(&dir, windows));
        OverHttp { origin, source, dir: Some(dir) }
    }

    fn disk_config(dir: &tempfile::TempDir, windows: Windows) -> RemoteConfig {
        RemoteConfig { dir: Some(dir.path().join("originals")), cache_bytes: 1 << 20, ..config(100, windows) }
    }

    fn open(origin: &TestOrigin, config: RemoteConfig) -> RemoteSource {
        RemoteSource::http(origin.url().parse().expect("an origin"), config).expect("a source")
    }

    /// The same with a new process.
    fn restart(self, windows: Windows) -> OverHttp {
        let OverHttp { origin, source, dir } = self;
        drop(source);
        let source = OverHttp::open(&origin, OverHttp::disk_config(dir.as_ref().expect("on disk"), windows));
        OverHttp { origin, source, dir }
    }

    async fn version(&self) -> Result<Version, Error> {
        self.source.version(&id()).await
    }

    fn requests(&self) -> usize {
        self.origin.requests().len()
    }
}

/// As [`OverHttp`], on disk.
struct OnDisk(OverHttp);

impl Fixture for OnDisk {
    const IS_IN_MEMORY: bool = true;

    fn new(max_bytes: u64) -> OnDisk {
        let mut fixture = OverHttp::on_disk(NOTHING);
        let config = OverHttp::disk_config(fixture.dir.as_ref().expect("on disk"), NOTHING);
        // the folder has one owner
        fixture.source = OverHttp::with(1, NOTHING).source;
        fixture.source = OverHttp::open(&fixture.origin, RemoteConfig { max_bytes, ..config });
        OnDisk(fixture)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        self.0.put(name, bytes);
    }

    fn delete(&self, name: &str) {
        self.0.delete(name);
    }

    fn source(&self) -> &dyn Source {
        &self.0.source
    }
}

impl Fixture for OverHttp {
    const IS_IN_MEMORY: bool = true;

    fn new(max_bytes: u64) -> OverHttp {
        OverHttp::with(max_bytes, NOTHING)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        self.origin.set(name, Reply::File(bytes.to_vec()));
    }

    fn delete(&self, name: &str) {
        self.origin.remove(name);
    }

    fn source(&self) -> &dyn Source {
        &self.source
    }
}

fn id() -> ImageId {
    ImageId::of("a.jpg").expect("a name")
}

#[tokio::test]
async fn http_origin_passes_the_source_suite() {
    testsuite::run::<OverHttp>().await;
    testsuite::run::<OnDisk>().await;
}

#[tokio::test]
async fn one_request_brings_version_and_bytes_for_all() {
    let remote = OverHttp::with(100, Windows { revalidate: HOUR, ..NOTHING });
    remote.put("a.jpg", b"one");
    assert_eq!(remote.source.known(&id()), None);
    let shared = &remote.source.0;
    let waiting: Vec<_> = (0..1000)
        .map(|_| {
            let shared = Arc::clone(shared);
            tokio::spawn(async move { shared.fetch(&id()).await })
        })
        .collect();
    for fetched in waiting {
        assert_eq!(fetched.await.expect("no panic").expect("an original").bytes, &b"one"[..]);
    }
    let version = remote.version().await.expect("a version");
    assert_eq!(remote.source.known(&id()), Some(version));
    remote.source.make_local(&id(), version).await.expect("it is downloaded");
    assert_eq!(remote.requests(), 1);
    // bytes that are not held any more are requested again
    assert!(remote.source.is_local(&id(), version));
    shared.originals.remove(&id());
    assert!(!remote.source.is_local(&id(), version));
    remote.source.make_local(&id(), version).await.expect("it is downloaded");
    assert_eq!(remote.source.fetch(&id()).await.expect("an original").version, version);
    assert_eq!(remote.requests(), 2);
}

#[tokio::test]
async fn downloaded_bytes_are_read_without_a_request() {
    for remote in [OverHttp::with(100, NOTHING), OverHttp::on_disk(NOTHING)] {
        remote.put("a.jpg", b"one");
        let version = remote.version().await.expect("a version");
        let copy = remote.source.make_local(&id(), version).await.expect("it is downloaded");
        let requests = remote.requests();
        let fetched = remote.source.fetch_local(&id(), &copy).await.expect("an original");
        assert_eq!(fetched.expect("it is here").version, version);
        // evicted from the disk meanwhile; memory is held by those that need it
        remote.source.0.originals.remove(&id());
        let fetched = remote.source.fetch_local(&id(), &copy).await.expect("no error");
        assert_eq!(fetched.is_some(), remote.dir.is_none());
        assert_eq!(remote.requests(), requests, "no request is made under a permit");
        let copy = remote.source.make_local(&id(), version).await.expect("it is downloaded");
        assert!(remote.source.fetch_local(&id(), &copy).await.expect("an original").is_some());
        assert_eq!(remote.requests(), requests + usize::from(remote.dir.is_some()));
    }
}

#[tokio::test]
async fn original_is_requested_once_there_is_memory_for_it() {
    // the disk may turn out to be full when the original is here
    for remote in [OverHttp::with(100, NOTHING), OverHttp::on_disk(NOTHING)] {
        remote.put("a.jpg", b"one");
        let version = remote.version().await.expect("a version");
        remote.source.0.originals.remove(&id());
        let before = remote.requests();
        let all = remote.source.0.originals.reserve(u64::MAX).await;
        let id = id();
        let mut copy = remote.source.make_local(&id, version);
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut copy).await.is_err(), "the memory is taken");
        assert_eq!(remote.requests(), before);
        drop(all);
        copy.await.expect("it is downloaded");
        assert_eq!(remote.requests(), before + 1);
    }
}

#[tokio::test]
async fn original_that_changed_is_downloaded_with_its_new_version() {
    for remote in [OverHttp::with(100, NOTHING), OverHttp::on_disk(NOTHING)] {
        remote.put("a.jpg", b"one");
        let version = remote.version().await.expect("a version");
        remote.source.0.originals.remove(&id());
        remote.put("a.jpg", b"two");
        let copy = remote.source.make_local(&id(), version).await.expect("it is downloaded");
        let fetched = remote.source.fetch_local(&id(), &copy).await.expect("an original").expect("it is here");
        assert!(fetched.version != version && fetched.bytes == b"two"[..]);
        assert!(!remote.source.0.originals.is_on_disk(&id(), version), "the former version is removed");
    }
}

#[tokio::test]
async fn versions_and_originals_outlive_a_restart_and_the_origin() {
    let windows = Windows { stale_if_error: HOUR, ..NOTHING };
    let mut remote = OverHttp::on_disk(windows);
    remote.put("a.jpg", b"one");
    let version = remote.version().await.expect("a version");
    remote.origin.set("a.jpg", Reply::response(500, "", b""));
    for _ in 0..2 {
        remote = remote.restart(windows);
        assert_eq!(remote.source.known(&id()), None, "a request is made first");
        assert_eq!(remote.version().await.expect("a version"), version);
        assert!(remote.source.is_stale(&id()));
        let copy = remote.source.make_local(&id(), version).await.expect("it is downloaded");
        let fetched = remote.source.fetch_local(&id(), &copy).await.expect("an original").expect("it is here");
        assert_eq!(fetched.bytes, &b"one"[..]);
    }
    remote.put("a.jpg", b"one");
    remote = remote.restart(windows);
    assert_eq!(remote.version().await.expect("a version"), version);
    assert!(remote.origin.requests().pop().expect("a request").contains("if-none-match"), "it is only confirmed");
    // removed originals stay removed: at the origin, and by a purge
    remote.origin.remove("a.jpg");
    remote = remote.restart(windows);
    assert!(matches!(remote.version().await, Err(Error::NotFound)));
    remote.origin.set("a.jpg", Reply::response(500, "", b""));
    remote = remote.restart(windows);
    assert!(matches!(remote.version().await, Err(Error::Status(500))));
    let forget: [fn(&RemoteSource); 2] = [|source| source.forget(&id()), |source| source.forget_below("")];
    for forget in forget {
        remote.put("a.jpg", b"one");
        let version = remote.version().await.expect("a version");
        forget(&remote.source);
        assert!(!remote.source.is_local(&id(), version));
        remote.origin.set("a.jpg", Reply::response(500, "", b""));
        remote = remote.restart(windows);
        assert!(!remote.source.is_local(&id(), version));
        assert!(matches!(remote.version().await, Err(Error::Status(500))));
    }
}

#[tokio::test]
async fn version_of_before_the_start_waits_for_confirmation_where_that_is_required() {
    let windows = Windows { stale_while_revalidate: HOUR, stale_if_error: HOUR, ..NOTHING };
    let remote = OverHttp::on_disk(windows);
    remote.put("a.jpg", b"one");
    let version = remote.version().await.expect("a version");
    remote.origin.set("a.jpg", Reply::response(500, "", b""));
    let remote = remote.restart(windows);
    remote.source.require_confirmation(true);
    assert_eq!(remote.source.known(&id()), None);
    assert!(matches!(remote.version().await, Err(Error::Status(500))));
    remote.source.require_confirmation(false);
    assert_eq!(remote.version().await.expect("it is stale"), version);
    remote.source.require_confirmation(true);
    remote.put("a.jpg", b"one");
    assert_eq!(remote.version().await.expect("it is confirmed"), version);
    remote.origin.set("a.jpg", Reply::response(500, "", b""));
    assert_eq!(remote.version().await.expect("it was confirmed"), version);
}

#[tokio::test]
async fn version_that_must_be_revalidated_does_not_outlive_an_outage() {
    let remote = OverHttp::with(100, Windows { stale_if_error: HOUR, ..NOTHING });
    remote.origin.set("a.jpg", Reply::response(200, "Cache-Control: must-revalidate\r\n", b"one"));
    remote.version().await.expect("a version");
    remote.origin.set("a.jpg", Reply::response(500, "", b""));
    assert!(matches!(remote.version().await, Err(Error::Status(500))));
    remote.origin.set("a.jpg", Reply::response(200, "Cache-Control: no-store\r\n", b"one"));
    remote.version().await.expect("a version");
    remote.origin.set("a.jpg", Reply::response(500, "", b""));
    remote.version().await.expect("it is cached in spite of no-store");
}

#[tokio::test]
async fn lifetime_of_the_origin_lengthens_and_shortens_the_usual_one() {
    let short = Duration::from_millis(1);
    let remote = OverHttp::with(100, Windows { revalidate: short, ..NOTHING });
    remote.origin.set("a.jpg", Reply::response(200, "Cache-Control: max-age=600\r\n", b"one"));
    let version = remote.version().await.expect("a version");
    tokio::time::sleep(5 * short).await;
    assert_eq!(remote.source.known(&id()), Some(version));
    assert_eq!(remote.requests(), 1);
}

#[tokio::test]
async fn stale_version_is_used_while_it_is_asked_for_again() {
    let remote = OverHttp::with(100, Windows { stale_while_revalidate: HOUR, ..NOTHING });
    remote.put("a.jpg", b"one");
    let first = remote.version().await.expect("a version");
    remote.put("a.jpg", b"two");
    assert_eq!(remote.source.known(&id()), None, "the request is not made here");
    assert_eq!(remote.version().await.expect("a version"), first);
    for _ in 0..1000 {
        if remote.version().await.expect("a version") != first {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the new version was never seen");
}

#[tokio::test]
async fn version_outlives_an_outage_but_not_its_original() {
    let outages = [
        ("status", Reply::response(500, "", b"")),
        ("hangs", Reply::Endless(Vec::new(), Vec::new(), HOUR)),
        ("torn", Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na".to_vec())),
    ];
    for (what, outage) in outages {
        let remote = OverHttp::with(100, Windows { stale_if_error: HOUR, ..NOTHING });
        remote.put("a.jpg", b"one");
        let version = remote.version().await.expect("a version");
        remote.origin.set("a.jpg", outage);
        assert_eq!(remote.version().await.expect(what), version, "{what}");
        let (started, requests) = (Instant::now(), remote.requests());
        assert_eq!(remote.version().await.expect(what), version, "{what}");
        assert_eq!(remote.requests(), requests, "{what}");
        assert!(started.elapsed() < NOTHING.patience, "{what}");
    }
    for (status, expected) in [(404, "NotFound"), (403, "Credentials")] {
        let remote = OverHttp::with(100, Windows { stale_if_error: HOUR, ..NOTHING });
        remote.put("a.jpg", b"one");
        remote.version().await.expect("a version");
        remote.origin.set("a.jpg", Reply::response(status, "", b""));
        for _ in 0..2 {
            assert_eq!(format!("{:?}", remote.version().await.expect_err("gone")), expected);
        }
    }
}

#[tokio::test]
async fn purged_original_is_requested_again() {
    let remote = OverHttp::with(100, Windows { revalidate: HOUR, missing: HOUR, ..NOTHING });
    remote.put("a.jpg", b"one");
    let forget: [fn(&RemoteSource); 2] = [|source| source.forget(&id()), |source| source.forget_below("")];
    for forget in forget {
        let version = remote.version().await.expect("a version");
        remote.source.forget_below("b/");
        assert_eq!(remote.source.known(&id()), Some(version));
        forget(&remote.source);
        assert_eq!(remote.source.known(&id()), None);
        assert!(!remote.source.is_local(&id(), version));
    }
    // a request that began before the purge
    remote.origin.set("a.jpg", Reply::Endless(Vec::new(), ok(b"old"), NOTHING.patience));
    let waiter = remote.source.0.start(&id(), Want::Version);
    tokio::time::sleep(NOTHING.patience / 3).await;
    remote.source.forget(&id());
    let late = waiter.await.expect("a result").expect("an original").version;
    assert!(remote.source.known(&id()).is_none() && !remote.source.is_local(&id(), late));
}

#[tokio::test]
async fn failure_of_before_a_purge_says_nothing_about_what_came_after_it() {
    let remote = OverHttp::with(100, Windows { revalidate: HOUR, missing: HOUR, ..NOTHING });
    let missing = b"HTTP/1.1 404 x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec();
    remote.origin.set("a.jpg", Reply::Endless(Vec::new(), missing, NOTHING.patience));
    let waiter = remote.source.0.start(&id(), Want::Version);
    tokio::time::sleep(NOTHING.patience / 3).await;
    remote.source.forget(&id());
    remote.put("a.jpg", b"one");
    let version = remote.version().await.expect("it was uploaded");
    assert!(matches!(waiter.await, Some(Err(Error::NotFound))));
    assert_eq!(remote.version().await.expect("it is still there"), version);
    assert_eq!(remote.source.known(&id()), Some(version));
}

fn ok(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 x\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

#[tokio::test]
async fn missing_original_is_not_asked_for_again_soon() {
    let remote = OverHttp::with(100, Windows { missing: HOUR, ..NOTHING });
    for _ in 0..3 {
        assert!(matches!(remote.version().await, Err(Error::NotFound)));
    }
    assert_eq!(remote.requests(), 1);
    remote.put("a.jpg", b"one");
    remote.source.forget(&id());
    remote.version().await.expect("a version");
}

#[tokio::test]
async fn equal_bytes_are_one_version_whatever_the_validators() {
    let remote = OverHttp::with(100, NOTHING);
    let mut versions = Vec::new();
    for headers in ["ETag: \"a\"\r\n", "ETag: \"b\"\r\n", "ETag: W/\"a\"\r\n", ""] {
        remote.origin.set("a.jpg", Reply::response(200, headers, b"one"));
        versions.push(remote.version().await.expect("a version"));
    }
    versions.dedup();
    assert_eq!(versions.len(), 1);
    assert_eq!(versions[0].modified, None);
    remote.origin.set("a.jpg", Reply::response(200, "ETag: \"a\"\r\n", b"two"));
    assert_ne!(remote.version().await.expect("a version"), versions[0]);
}

#[tokio::test]
async fn origin_that_is_down_is_an_error_at_once() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let origin = format!("http://{closed}/").parse().expect("an origin");
    let source = RemoteSource::http(origin, config(100, NOTHING)).expect("a source");
    for _ in 0..2 {
        assert!(matches!(source.version(&id()).await, Err(Error::Unavailable(_))));
    }
    assert!(source.0.breaker.error(Instant::now()).is_some());
    let stats = source.remote_stats().expect("it is remote");
    assert!(stats.is_sick);
    let failed = stats.requests.all().find(|(kind, result, _)| (*kind, *result) == ("get", "error"));
    assert_eq!(failed.map(|(_, _, count)| count), Some(1), "the second was not sent");
}
