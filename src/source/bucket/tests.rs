//! Tests of originals in a bucket, over memory and over a real store.

use std::io::{Error as IoError, ErrorKind};
use std::sync::atomic::Ordering;

use tintype_store::Digest;
use tintype_testing::object_store::{self, ObjectStore};

use super::super::testsuite::{self, Fixture};
use super::super::{Current, Expected, NamedUpload, Rejected, Source, Windows};
use super::*;
use crate::bucket::memory::{Faults, MemoryBucket};

/// Every request asks the store.
const NOTHING: Windows = Windows {
    revalidate: Duration::ZERO,
    stale_while_revalidate: Duration::ZERO,
    stale_if_error: Duration::ZERO,
    patience: Duration::from_millis(300),
    missing: Duration::ZERO,
};

/// How often an object is replaced while it is read.
const OVERWRITES: u32 = 1000;

fn originals(bucket: Arc<dyn Bucket>, max_bytes: u64) -> BucketOriginals {
    BucketOriginals { bucket, name: "s3://tests".into(), max_bytes, missing_is_forbidden: false, staging: None }
}

fn source(bucket: Arc<dyn Bucket>, max_bytes: u64) -> RemoteSource {
    let config = RemoteConfig { max_bytes, windows: NOTHING, dir: None, cache_bytes: 0, min_free: 0 };
    RemoteSource::bucket(originals(bucket, max_bytes), config)
}

fn id() -> ImageId {
    ImageId::of("a.jpg").expect("a name")
}

fn object(bytes: &[u8]) -> NewObject {
    let bytes = bytes.to_vec().into();
    NewObject { bytes, media_type: "image/jpeg", cache_control: None, metadata: Vec::new() }
}

/// Waits for a future on a thread and a runtime of its own.
fn wait<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let block_on = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(future)
    };
    std::thread::scope(|scope| scope.spawn(block_on).join()).expect("no panic")
}

/// A source, and a function that opens its bucket for one change.
struct OverBucket {
    open: Box<dyn Fn() -> Arc<dyn Bucket> + Send + Sync>,
    source: RemoteSource,
}

impl OverBucket {
    fn put(&self, name: &str, bytes: &[u8]) {
        let bucket = (self.open)();
        wait(bucket.put(name, object(bytes), Condition::None)).expect("put");
    }

    fn delete(&self, name: &str) {
        let bucket = (self.open)();
        wait(bucket.delete(name)).expect("deleted");
    }
}

struct OverMemory(OverBucket);

impl Fixture for OverMemory {
    const IS_IN_MEMORY: bool = true;

    fn new(max_bytes: u64) -> OverMemory {
        let bucket: Arc<dyn Bucket> = Arc::new(MemoryBucket::default());
        let source = source(Arc::clone(&bucket), max_bytes);
        OverMemory(OverBucket { open: Box::new(move || Arc::clone(&bucket)), source })
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

struct OverStore {
    bucket: OverBucket,
    _store: ObjectStore,
}

/// The bucket of a store.
fn opened(endpoint: &str) -> Arc<dyn Bucket> {
    let config = bucket::Config {
        location: format!("s3://{}/img", object_store::BUCKET).parse().expect("a location"),
        endpoint: endpoint.to_owned(),
        region: "us-east-1".into(),
        access_key: object_store::ACCESS_KEY.into(),
        secret_key: object_store::SECRET_KEY.into(),
        skip_signature: false,
    };
    config.open().expect("a bucket")
}

impl Fixture for OverStore {
    const IS_IN_MEMORY: bool = true;

    fn new(max_bytes: u64) -> OverStore {
        let store = ObjectStore::start().expect("it was checked");
        let endpoint = store.endpoint();
        let source = source(opened(&endpoint), max_bytes);
        let open = move || opened(&endpoint);
        OverStore { bucket: OverBucket { open: Box::new(open), source }, _store: store }
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        self.bucket.put(name, bytes);
    }

    fn delete(&self, name: &str) {
        self.bucket.delete(name);
    }

    fn source(&self) -> &dyn Source {
        &self.bucket.source
    }
}

/// Whether a real store can be started.
fn has_store() -> bool {
    cfg!(feature = "buckets") && !object_store::is_missing()
}

#[tokio::test]
async fn bucket_in_memory_passes_the_source_suite() {
    testsuite::run::<OverMemory>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bucket_of_a_real_store_passes_the_source_suite() {
    if has_store() {
        testsuite::run::<OverStore>().await;
    }
}

/// Reads an object all the time while it is replaced by bytes that are all equal, of another length each time.
async fn read_while_overwritten(bucket: Arc<dyn Bucket>) {
    let bytes = |number: u32| vec![number as u8; 1000 + (number as usize * 7919) % 200_000];
    let put = |number| bucket.put("a.jpg", object(&bytes(number)), Condition::None);
    put(0).await.expect("put");
    let source = Arc::new(source(Arc::clone(&bucket), 1 << 20));
    let is_done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (source, is_done) = (Arc::clone(&source), Arc::clone(&is_done));
            tokio::spawn(async move {
                let (mut seen, mut reads) = (std::collections::BTreeMap::new(), 0);
                while !is_done.load(Ordering::Relaxed) {
                    let original = source.fetch(&id()).await.expect("an original");
                    let (first, length) = (original.bytes[0], original.bytes.len());
                    assert!(original.bytes.iter().all(|&byte| byte == first), "two versions in one answer");
                    assert_eq!(original.version.length, length as u64);
                    let former = seen.insert(original.version.identity, original.bytes.clone());
                    assert!(former.is_none_or(|former| former == original.bytes), "one version of two originals");
                    reads += 1;
                }
                (seen.len(), reads)
            })
        })
        .collect();
    for number in 1..=OVERWRITES {
        put(number).await.expect("put");
        // a request that began before the PUT may still be under way, until it is forgotten as after an upload
        if number % 100 == 0 {
            source.forget(&id());
            let original = source.fetch(&id()).await.expect("an original");
            assert!(original.bytes == bytes(number), "not the acknowledged original");
        }
    }
    is_done.store(true, Ordering::Relaxed);
    for reader in readers {
        let (versions, reads) = reader.await.expect("no blend");
        println!("{reads} reads saw {versions} versions");
        assert!(versions > 10, "{versions} versions were read");
    }
    assert!(source.fetch(&id()).await.expect("an original").bytes == bytes(OVERWRITES), "not the last original");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn object_of_a_real_store_that_is_overwritten_is_read_whole() {
    if has_store() {
        let store = ObjectStore::start().expect("it was checked");
        read_while_overwritten(opened(&store.endpoint())).await;
    }
}

#[tokio::test]
async fn unchanged_object_is_confirmed_by_its_etag() {
    let bucket = Arc::new(MemoryBucket::default());
    bucket.put("a.jpg", object(b"one"), Condition::None).await.expect("put");
    let remote = BucketRemote(Arc::new(BucketClient::new(originals(bucket, 100))));
    let Ok(Answer::Whole(fetched)) = remote.get(&id(), None).await else { panic!("an original") };
    assert!(fetched.modified.is_some() && fetched.conditions.is_some());
    let again = remote.get(&id(), fetched.conditions.as_ref()).await;
    assert!(matches!(again, Ok(Answer::NotModified(None))), "{again:?}");
}

#[tokio::test]
async fn only_lost_connections_and_overload_are_asked_again() {
    let bucket = Arc::new(MemoryBucket::default());
    let open = |missing_is_forbidden| {
        let bucket = Arc::clone(&bucket) as Arc<dyn Bucket>;
        BucketClient::new(BucketOriginals { missing_is_forbidden, ..originals(bucket, 100) })
    };
    let (plain, forbidden) = (open(false), open(true));
    let check = async |client: &BucketClient, error: bucket::Error, expected: &str, requests: u64| {
        bucket.set(Faults { error: Some(error.clone()), ..Faults::default() });
        let before = bucket.gets.load(Ordering::Relaxed);
        let result = client.object(&id(), None, 100).await;
        let shown = format!("{:?}", result.expect_err("a fault"));
        assert!(shown.starts_with(expected), "{error:?}: {shown}");
        assert_eq!(bucket.gets.load(Ordering::Relaxed) - before, requests, "{error:?}");
    };
    let denied = || bucket::Error::Credentials(ACCESS_DENIED.into());
    let refused = IoError::from(ErrorKind::ConnectionRefused);
    check(&plain, bucket::Error::Unavailable(refused.into()), "Unavailable", 2).await;
    check(&plain, bucket::Error::Status(503), "Status(503)", 2).await;
    check(&plain, bucket::Error::Status(429), "Status(429)", 2).await;
    check(&plain, bucket::Error::Status(500), "Status(500)", 1).await;
    check(&plain, bucket::Error::TimedOut, "TimedOut", 1).await;
    check(&plain, bucket::Error::NotFound, "NotFound", 1).await;
    check(&plain, bucket::Error::TooLarge { bytes: 101, limit: 100 }, "TooLarge { bytes: 101", 1).await;
    check(&plain, bucket::Error::Refused("it".into()), "Refused", 1).await;
    check(&plain, denied(), "Credentials", 1).await;
    check(&forbidden, denied(), "NotFound", 1).await;
    check(&forbidden, bucket::Error::Credentials("SignatureDoesNotMatch".into()), "Credentials", 1).await;
}

#[tokio::test]
async fn request_ends_at_its_deadline() {
    let bucket = Arc::new(MemoryBucket::default());
    bucket.set(Faults { delay: Duration::from_secs(3600), ..Faults::default() });
    let client = BucketClient { whole: Duration::from_millis(50), ..BucketClient::new(originals(bucket, 100)) };
    let began = std::time::Instant::now();
    assert!(matches!(client.object(&id(), None, 100).await, Err(Error::TimedOut)));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// Stages bytes under a name.
async fn staged(source: &RemoteSource, name: &str, bytes: &[u8]) -> NamedUpload {
    let mut staged = source.upload_store().expect("it accepts uploads").stage().expect("a file");
    staged.write(bytes).await.expect("written");
    NamedUpload { id: ImageId::of(name).expect("a name"), staged, media_type: "image/png" }
}

/// Publishes files, and says how that went.
async fn publish(source: &RemoteSource, files: &[(&str, &[u8])], expected: &Expected) -> String {
    let store = source.upload_store().expect("it accepts uploads");
    let mut named = Vec::new();
    for (name, bytes) in files {
        named.push(staged(source, name, bytes).await);
    }
    match store.publish(named, expected).await {
        Ok(()) => "published".into(),
        Err((index, rejected)) => format!("{index}: {rejected:?}"),
    }
}

/// Uploads behave the same in every kind of bucket.
async fn check_uploads(bucket: Arc<dyn Bucket>) {
    let source = source(Arc::clone(&bucket), 100);
    let store = source.upload_store().expect("it accepts uploads");
    let digest = |bytes: &[u8]| Digest::of(bytes);
    let read = async |name: &str| bucket.get(name, None, 1000).await.map(|object| object.bytes).ok();
    let one_of = |bytes: &[u8]| Expected::OneOf(vec![digest(b"another"), digest(bytes)]);
    assert_eq!(store.current(&id()).await.expect("a bucket").expect("it answers"), Current::Absent);

    // a name is taken once
    assert_eq!(publish(&source, &[("a.jpg", b"one")], &Expected::Absent).await, "published");
    assert_eq!(publish(&source, &[("a.jpg", b"two")], &Expected::Absent).await, "0: Exists");
    assert_eq!(read("a.jpg").await.as_deref(), Some(&b"one"[..]));
    let current = store.current(&id()).await.expect("a bucket").expect("it answers");
    assert_eq!(current, Current::Image(digest(b"one")));

    // the original that is replaced is the expected one
    assert_eq!(publish(&source, &[("a.jpg", b"two")], &one_of(b"one")).await, "published");
    assert_eq!(publish(&source, &[("a.jpg", b"3")], &one_of(b"one")).await, "0: Changed");
    assert_eq!(publish(&source, &[("none.jpg", b"3")], &one_of(b"one")).await, "0: Changed");
    assert_eq!(publish(&source, &[("none.jpg", b"3")], &Expected::Present).await, "0: Changed");
    assert_eq!(read("a.jpg").await.as_deref(), Some(&b"two"[..]));
    assert_eq!(publish(&source, &[("a.jpg", b"four")], &Expected::Present).await, "published");
    assert_eq!(read("a.jpg").await.as_deref(), Some(&b"four"[..]));

    // all files of a form, or none
    let form: [(&str, &[u8]); 3] = [("b.jpg", b"b"), ("a.jpg", b"a"), ("c.jpg", b"c")];
    assert_eq!(publish(&source, &form, &Expected::Absent).await, "1: Exists");
    assert_eq!((read("b.jpg").await, read("c.jpg").await), (None, None));
    assert_eq!(publish(&source, &[form[0], form[2]], &Expected::Absent).await, "published");
    assert!(read("b.jpg").await.is_some() && read("c.jpg").await.is_some());

    // larger objects than an original may have, which others have put there
    bucket.put("large.jpg", object(&[0; 101]), Condition::None).await.expect("put");
    let large = ImageId::of("large.jpg").expect("a name");
    assert_eq!(store.current(&large).await.expect("a bucket").expect("it answers"), Current::Unsendable);
    assert_eq!(publish(&source, &[("large.jpg", b"small")], &Expected::Present).await, "published");
}

#[tokio::test]
async fn uploads_to_a_bucket_in_memory_are_conditional() {
    check_uploads(Arc::new(MemoryBucket::default())).await;
}

#[tokio::test]
async fn uploads_to_a_real_store_are_conditional() {
    if has_store() {
        let store = ObjectStore::start().expect("it was checked");
        check_uploads(opened(&store.endpoint())).await;
    }
}

#[tokio::test]
async fn upload_that_the_store_does_not_acknowledge_fails() {
    let bucket = Arc::new(MemoryBucket::default());
    let source = source(Arc::clone(&bucket) as Arc<dyn Bucket>, 100);
    for (error, expected) in [
        (bucket::Error::Status(500), "0: Source(Status(500))"),
        (bucket::Error::TimedOut, "0: Source(TimedOut)"),
        (bucket::Error::Credentials("AccessDenied".into()), "0: Source(Credentials)"),
    ] {
        bucket.set(Faults { error: Some(error), ..Faults::default() });
        assert_eq!(publish(&source, &[("a.jpg", b"one")], &Expected::Absent).await, expected);
    }
    assert_eq!(bucket.puts.load(Ordering::Relaxed), 3, "a PUT is not repeated");
}

#[tokio::test]
async fn upload_is_read_after_it_was_acknowledged_by_a_store_that_shows_it_late() {
    let bucket = Arc::new(MemoryBucket::default());
    let source = source(Arc::clone(&bucket) as Arc<dyn Bucket>, 100);
    bucket.set(Faults { lag: Duration::from_millis(50), ..Faults::default() });
    assert_eq!(publish(&source, &[("a.jpg", b"one")], &Expected::Absent).await, "published");
    assert_eq!(source.fetch(&id()).await.expect("an original").bytes, &b"one"[..]);
    // longer than an upload waits
    bucket.set(Faults { lag: Duration::from_secs(3600), ..Faults::default() });
    assert_eq!(publish(&source, &[("b.jpg", b"one")], &Expected::Absent).await, "published");
}

#[tokio::test]
async fn staged_files_have_a_limit_and_no_name() {
    let folder = tempfile::tempdir().expect("a folder");
    for staging in [None, Some(folder.path().to_owned())] {
        let bucket = Arc::new(MemoryBucket::default());
        let config = RemoteConfig { max_bytes: 5, windows: NOTHING, dir: None, cache_bytes: 0, min_free: 0 };
        let source = RemoteSource::bucket(BucketOriginals { staging, ..originals(bucket, 5) }, config);
        let mut file = staged(&source, "a.jpg", b"12345").await.staged;
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
        assert_eq!(file.read().await.expect("read"), &b"12345"[..]);
        assert!(matches!(file.write(b"6").await, Err(Rejected::TooLarge { limit: 5 })));
    }
}
