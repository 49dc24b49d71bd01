//! The behaviour of the cache: memory, disk, single flight, purges; alone, and with an empty bucket that others might share.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) use tintype_testing::{stored_files as files, taken};

use super::shared::SharedTier;
use super::{Body, Cache, Config, Failure, FolderState, Found, Key, Purge, rendition_key, shared};
use crate::bucket::memory::MemoryBucket;
use crate::render::recipe::{Output, Quality};
use crate::render::{Content, Encoded, Format, Recipe, Settings};
use crate::source::{ImageId, Version};

thread_local! {
    /// Whether this test's caches share their renditions in a bucket, each in another.
    static IS_SHARED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

macro_rules! suite {
    ($($test:ident)*) => {
        mod alone {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test().await;
                }
            )*
        }

        mod with_a_bucket {
            $(
                #[tokio::test]
                async fn $test() {
                    super::IS_SHARED.set(true);
                    super::$test().await;
                }
            )*
        }
    };
}

suite! {
    rendition_is_found_in_memory_and_after_a_restart_on_disk
    concurrent_requests_for_one_key_make_it_once
    dropped_caller_does_not_cancel_the_work
    failures_and_panics_reach_all_callers_and_are_not_cached
    unusable_folder_does_not_fail_requests
    cache_without_a_folder_keeps_results_in_memory
    purge_of_an_original_removes_its_renditions_only
    used_renditions_survive_a_flood
    purge_of_a_folder_removes_all_below_it
    rendition_made_during_a_purge_is_sent_and_not_stored
    folder_is_locked_by_one_process_at_a_time
    look_at_a_rendition_is_no_use_of_it
}

pub(super) type Result = std::result::Result<(Arc<Body>, Found), Failure<&'static str>>;

pub(super) const MADE: Found = Found::Made { stored: true, collapsed: false };

pub(super) fn open(dir: &Path) -> Arc<Cache<&'static str>> {
    open_with(dir, 1 << 30, 1 << 20)
}

pub(super) fn open_with(dir: &Path, max_bytes: u64, memory: u64) -> Arc<Cache<&'static str>> {
    share(Cache::new(&Config { dir: Some(dir.to_owned()), max_bytes, max_files: 1000, min_free: 0, memory }))
}

fn share(cache: Cache<&'static str>) -> Arc<Cache<&'static str>> {
    if IS_SHARED.get() {
        cache.share(SharedTier::new(Arc::new(MemoryBucket::default()), shared::Config::default()));
    }
    Arc::new(cache)
}

pub(super) fn id(name: &str) -> ImageId {
    ImageId::parse(name).expect("a name")
}

/// A rendition of the original of that name, one for each number.
pub(super) fn rendition(name: &str, number: u32) -> (ImageId, Key) {
    let mut identity = [0; 32];
    identity[..4].copy_from_slice(&number.to_le_bytes());
    let version = Version { identity, modified: Some(std::time::SystemTime::UNIX_EPOCH), length: 1 };
    let recipe = Recipe::new(Output::Original, Quality::new(80).expect("in range"));
    (id(name), rendition_key(&id(name), &version, &recipe, &Settings::default()))
}

pub(super) fn encoded(text: &[u8]) -> Encoded {
    Encoded { bytes: text.to_vec(), content: Content::Image(Format::WebP), damaged: false, kind: None }
}

/// Waits until all is on disk, and in the bucket if there is one.
async fn flush(cache: &Cache<&'static str>) {
    if let Some(tier) = cache.shared() {
        // a flush blocks the thread that writes to the bucket
        shared::tests::written(tier).await;
    }
    cache.flush();
}

/// Nearly a block of bytes that no other number has.
pub(super) fn body(number: u32) -> &'static [u8] {
    let mut bytes = vec![7; 4000];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes.leak()
}

/// Asks for a rendition of `/a` or, by its key, of another.
pub(super) async fn ask(cache: &Arc<Cache<&'static str>>, (id, key): (ImageId, Key), text: &'static [u8]) -> Result {
    cache.get_or_make(&id, key, move |_| async move { Ok(encoded(text)) }).await
}

/// As [`ask`], with another way to make it.
async fn get_or_make<F>(
    cache: &Arc<Cache<&'static str>>, (id, key): (ImageId, Key), make: impl FnOnce() -> F + Send + 'static,
) -> Result
where
    F: Future<Output = std::result::Result<Encoded, &'static str>> + Send,
{
    cache.get_or_make(&id, key, |_| make()).await
}

async fn rendition_is_found_in_memory_and_after_a_restart_on_disk() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open(dir.path());
    let (body, found) = ask(&cache, rendition("/a", 1), b"one").await.expect("made");
    assert_eq!((&body.bytes[..], found), (&b"one"[..], MADE));
    // the second time it is kept in memory
    assert_eq!(ask(&cache, rendition("/a", 1), b"two").await.expect("there").1, Found::Disk);
    assert_eq!(ask(&cache, rendition("/a", 1), b"two").await.expect("there").1, Found::Memory);
    drop(cache);
    let cache = open(dir.path());
    let (again, found) = ask(&cache, rendition("/a", 1), b"two").await.expect("there");
    assert_eq!((&again.bytes[..], again.digest, found), (&b"one"[..], body.digest, Found::Disk));
}

async fn concurrent_requests_for_one_key_make_it_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open(dir.path());
    let made = Arc::new(AtomicUsize::new(0));
    let (go, ready) = tokio::sync::watch::channel(false);
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (cache, made, mut ready) = (Arc::clone(&cache), Arc::clone(&made), ready.clone());
            tokio::spawn(async move {
                let make = move || async move {
                    made.fetch_add(1, Ordering::SeqCst);
                    ready.wait_for(|go| *go).await.expect("the test goes on");
                    Ok(encoded(b"one"))
                };
                get_or_make(&cache, rendition("/a", 1), make).await.expect("made").1
            })
        })
        .collect();
    tokio::task::yield_now().await;
    go.send(true).expect("someone waits");
    let mut leaders = 0;
    for one in tasks {
        leaders += usize::from(one.await.expect("no panic") == MADE);
    }
    assert_eq!((made.load(Ordering::SeqCst), leaders), (1, 1));
}

async fn dropped_caller_does_not_cancel_the_work() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open(dir.path());
    let (go, mut ready) = tokio::sync::watch::channel(false);
    let make = move || async move {
        ready.wait_for(|go| *go).await.expect("the test goes on");
        Ok(encoded(b"one"))
    };
    let impatient = get_or_make(&cache, rendition("/a", 1), make);
    let left = tokio::time::timeout(std::time::Duration::ZERO, impatient).await;
    assert!(left.is_err());
    go.send(true).expect("the work goes on");
    // a request now joins the same flight or finds what it made
    let (body, _) = ask(&cache, rendition("/a", 1), b"two").await.expect("made");
    assert_eq!(&body.bytes[..], b"one");
}

async fn failures_and_panics_reach_all_callers_and_are_not_cached() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open(dir.path());
    let failed = get_or_make(&cache, rendition("/a", 1), || async { Err("broken") }).await;
    assert!(matches!(failed, Err(Failure::Make("broken"))));
    let lost = get_or_make(&cache, rendition("/a", 1), || async { panic!("a bug") }).await;
    assert!(matches!(lost, Err(Failure::Lost)));
    assert_eq!(ask(&cache, rendition("/a", 1), b"one").await.expect("made").1, MADE);
}

async fn unusable_folder_does_not_fail_requests() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("file"), b"").expect("written");
    let cache = open(&dir.path().join("file"));
    let (_, found) = ask(&cache, rendition("/a", 1), b"one").await.expect("made");
    assert_eq!(found, Found::Made { stored: false, collapsed: false });
    assert!(!cache.is_writable());
}

async fn cache_without_a_folder_keeps_results_in_memory() {
    let config = Config { dir: None, max_bytes: 1 << 30, max_files: 1000, min_free: 0, memory: 1 << 20 };
    let cache = share(Cache::new(&config));
    assert_eq!(cache.folder_state(), FolderState::None);
    let (_, found) = ask(&cache, rendition("/a", 1), b"one").await.expect("made");
    assert_eq!(found, Found::Made { stored: false, collapsed: false });
    assert_eq!(ask(&cache, rendition("/a", 1), b"two").await.expect("there").1, Found::Memory);
    assert_eq!(cache.purge(&Purge::Original(id("/a"))).renditions, 1);
    flush(&cache).await;
    // no write has failed
    assert_eq!(cache.counters().not_stored.load(Ordering::Relaxed), 0);
}

async fn purge_of_an_original_removes_its_renditions_only() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open(dir.path());
    for quality in [1, 2, 3] {
        ask(&cache, rendition("/a", quality), b"one").await.expect("made");
    }
    ask(&cache, rendition("/b", 1), b"one").await.expect("made");
    assert_eq!(cache.purge(&Purge::Original(id("/a"))).renditions, 3);
    assert_eq!(files(dir.path()).len(), 1);
    assert_eq!(ask(&cache, rendition("/a", 1), b"two").await.expect("made").1, MADE);
    assert_eq!(ask(&cache, rendition("/b", 1), b"two").await.expect("there").1, Found::Disk);
}

async fn used_renditions_survive_a_flood() {
    // with and without a memory that answers most of the time; and after a restart
    for memory in [0, 1 << 20] {
        let dir = tempfile::tempdir().expect("a folder");
        let mut cache = open_with(dir.path(), 100 * 4096, memory);
        let (mut hits, mut requests, mut flood) = (0, 0, 1000);
        for round in 0..12 {
            if round == 6 {
                drop(cache);
                cache = open_with(dir.path(), 100 * 4096, memory);
                poll(|| cache.usage().scanned == 1.0);
            }
            for hot in 0..20 {
                let (_, found) = ask(&cache, rendition("/hot", hot), body(hot)).await.expect("made");
                if round >= 2 {
                    requests += 1;
                    hits += u32::from(matches!(found, Found::Memory | Found::Disk));
                }
                for _ in 0..if round == 0 { 0 } else { 10 } {
                    flood += 1;
                    ask(&cache, rendition("/cold", flood), body(flood)).await.expect("made");
                }
            }
            // the use of what answers from memory is told the disk once a second; what is marked, every half
            tokio::time::sleep(std::time::Duration::from_millis(if round == 5 { 1200 } else { 0 })).await;
        }
        assert!(hits * 100 >= requests * 95, "memory {memory}: {hits} hits of {requests}");
    }
}

async fn purge_of_a_folder_removes_all_below_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open(dir.path());
    for name in ["/cats/a", "/cats/small/b", "/cats2/c", "/dogs/d", "/cats"] {
        ask(&cache, rendition(name, 1), b"one").await.expect("made");
        ask(&cache, rendition(name, 1), b"one").await.expect("kept in memory");
    }
    assert_eq!(cache.purge(&Purge::Folder("cats/".into())).renditions, 2);
    assert_eq!(cache.purge(&Purge::Folder("cats/".into())).renditions, 0);
    flush(&cache).await;
    assert_eq!(files(dir.path()).len(), 3);
    assert_eq!(ask(&cache, rendition("/cats/a", 1), b"two").await.expect("made").1, MADE);
    assert_eq!(ask(&cache, rendition("/cats2/c", 1), b"two").await.expect("there").1, Found::Memory);
    drop(cache);
    // the last line is torn and the first is lost, as after a power loss
    let names = std::fs::read_to_string(dir.path().join("v2/names")).expect("names");
    assert_eq!(names, "cats/a\ncats/small/b\ncats2/c\ndogs/d\ncats\n");
    std::fs::write(dir.path().join("v2/names"), "cats2/c\ndogs/d\nca").expect("written");
    let cache = open(dir.path());
    ask(&cache, rendition("/fish/e", 1), b"one").await.expect("made");
    assert_eq!(cache.purge(&Purge::Folder("cats/".into())).renditions, 2, "/cats/a, and /cats whose name is lost");
    assert_eq!(cache.purge(&Purge::Folder("fish/".into())).renditions, 1);
    assert_eq!(cache.purge(&Purge::Folder(String::new())).renditions, 2);
    assert!(files(dir.path()).is_empty());
}

async fn rendition_made_during_a_purge_is_sent_and_not_stored() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open(dir.path());
    let (go, mut ready) = tokio::sync::watch::channel(false);
    let make = move || async move {
        ready.wait_for(|go| *go).await.expect("the test goes on");
        Ok(encoded(b"one"))
    };
    let asking = Arc::clone(&cache);
    let asked = tokio::spawn(async move { get_or_make(&asking, rendition("/a", 1), make).await.expect("made") });
    while !cache.single_flight.contains(&rendition("/a", 1).1) {
        tokio::task::yield_now().await;
    }
    assert_eq!(cache.purge(&Purge::Original(id("/a"))).renditions, 0);
    go.send(true).expect("someone waits");
    let (body, found) = asked.await.expect("no panic");
    assert_eq!((&body.bytes[..], found), (&b"one"[..], Found::Made { stored: false, collapsed: false }));
    flush(&cache).await;
    assert!(files(dir.path()).is_empty());
    assert_eq!(ask(&cache, rendition("/a", 1), b"two").await.expect("made").1, MADE);
}

async fn folder_is_locked_by_one_process_at_a_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = open(dir.path());
    ask(&first, rendition("/a", 1), b"one").await.expect("made");
    let second = open(dir.path());
    let (body, found) = ask(&second, rendition("/a", 1), b"one").await.expect("made");
    assert_eq!((&body.bytes[..], found), (&b"one"[..], Found::Made { stored: false, collapsed: false }));
    assert_eq!(second.folder_state(), FolderState::InUse);
    assert!(!second.is_writable());
    drop(first);
    poll(|| second.usage().files > 0);
    assert_eq!(second.folder_state(), FolderState::Open);
    ask(&second, rendition("/a", 2), b"two").await.expect("made");
    flush(&second).await;
    assert_eq!(files(dir.path()).len(), 2);
}

async fn look_at_a_rendition_is_no_use_of_it() {
    let dir = tempfile::tempdir().expect("a folder");
    // no memory
    let cache = open_with(dir.path(), 40 * 4096, 0);
    let (_, key) = rendition("/a", 0);
    for number in 0..8 {
        ask(&cache, rendition("/a", number), body(number)).await.expect("made");
        flush(&cache).await;
        for _ in 0..10 {
            let peek = cache.peek(key).expect("stored");
            assert_eq!((peek.place, peek.facts.map(|facts| facts.length)), (super::Place::Disk, Some(4000)));
        }
    }
    for number in 8..60 {
        ask(&cache, rendition("/a", number), body(number)).await.expect("made");
    }
    flush(&cache).await;
    assert!(cache.peek(key).is_none_or(|peek| peek.place == super::Place::Shared), "evicted as the oldest");
}

/// Waits for what another thread is about to do.
pub(super) fn poll(mut is_so: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !is_so() {
        assert!(std::time::Instant::now() < end, "waited in vain");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
