//! Tests of remote originals over an HTTP origin.

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

/// Nothing is kept on disk.
fn config(max_bytes: u64, windows: Windows) -> RemoteConfig {
    RemoteConfig { max_bytes, windows, dir: None, cache_bytes: 0, min_free: 0 }
}

struct OverHttp {
    origin: TestOrigin,
    source: RemoteSource,
}

impl OverHttp {
    fn with(max_bytes: u64, windows: Windows) -> OverHttp {
        let origin = TestOrigin::start();
        let url = origin.url().parse().expect("an origin");
        let source = RemoteSource::http(url, config(max_bytes, windows)).expect("a source");
        OverHttp { origin, source }
    }

    async fn version(&self) -> Result<Version, Error> {
        self.source.version(&id()).await
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
    remote.source.bring(&id(), version).await.expect("it is near");
    assert_eq!(remote.origin.requests().len(), 1);
    // bytes that are not held any more are requested again
    assert!(remote.source.is_near(&id(), version));
    shared.held.invalidate_all();
    assert!(!remote.source.is_near(&id(), version));
    remote.source.bring(&id(), version).await.expect("it is near");
    assert_eq!(remote.source.fetch(&id()).await.expect("an original").version, version);
    assert_eq!(remote.origin.requests().len(), 2);
}

#[tokio::test]
async fn brought_bytes_are_read_without_a_request() {
    let remote = OverHttp::with(100, NOTHING);
    remote.put("a.jpg", b"one");
    let version = remote.version().await.expect("a version");
    remote.source.bring(&id(), version).await.expect("it is near");
    let requests = remote.origin.requests().len();
    assert_eq!(remote.source.fetch(&id()).await.expect("an original").version, version);
    assert_eq!(remote.origin.requests().len(), requests);
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
        let (started, requests) = (Instant::now(), remote.origin.requests().len());
        assert_eq!(remote.version().await.expect(what), version, "{what}");
        assert_eq!(remote.origin.requests().len(), requests, "{what}");
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
        assert!(remote.source.0.held.get(&id()).is_none());
    }
    // a request that began before the purge
    remote.origin.set("a.jpg", Reply::Endless(Vec::new(), ok(b"old"), NOTHING.patience));
    let waiter = remote.source.0.start(&id(), Want::Version);
    tokio::time::sleep(NOTHING.patience / 3).await;
    remote.source.forget(&id());
    assert!(waiter.await.is_some_and(|transfer| transfer.is_ok()));
    assert!(remote.source.known(&id()).is_none() && remote.source.0.held.get(&id()).is_none());
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
    assert_eq!(remote.origin.requests().len(), 1);
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
}
