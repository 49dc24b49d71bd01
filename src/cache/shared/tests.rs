//! The tier over a bucket in memory, with faults: two caches stand for two servers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::super::testsuite::{MADE, Result, ask, body, encoded, id, open, rendition};
use super::super::{Body, Cache, Digest, Failure, Found, Made, Purge, Upgrade};
use super::*;
use crate::bucket::memory::{Faults, MemoryBucket};
use crate::render::Encoded;

type Server = Arc<Cache<&'static str>>;

const HOUR: Duration = Duration::from_secs(3600);

/// Waits until everything that was handed over is written or dropped.
pub(in super::super) async fn written(tier: &SharedTier) {
    while !tier.queue.is_idle() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn bucket() -> Arc<MemoryBucket> {
    Arc::default()
}

/// A server with its own folder and that bucket.
fn server(dir: &Path, bucket: &Arc<MemoryBucket>) -> Server {
    server_with(dir, bucket, Config::default())
}

fn server_with(dir: &Path, bucket: &Arc<MemoryBucket>, config: Config) -> Server {
    let cache = open(dir);
    cache.share(SharedTier::new(Arc::clone(bucket) as Arc<dyn Bucket>, config));
    cache
}

fn tier(server: &Server) -> &Arc<SharedTier> {
    server.shared().expect("a tier")
}

fn count(server: &Server, event: Event) -> u64 {
    tier(server).counters.of(event)
}

/// The names of renditions in the bucket.
fn renditions(bucket: &MemoryBucket) -> Vec<String> {
    bucket.names().into_iter().filter(|name| name.starts_with("1/")).collect()
}

/// The first server makes it, and it is in the bucket afterwards.
async fn share(server: &Server, name: &str, number: u32, text: &'static [u8]) {
    assert_eq!(ask(server, rendition(name, number), text).await.expect("made").1, MADE);
    written(tier(server)).await;
}

/// A folder for each of so many servers.
fn folders<const N: usize>() -> [tempfile::TempDir; N] {
    std::array::from_fn(|_| tempfile::tempdir().expect("a folder"))
}

#[tokio::test]
async fn second_server_has_what_the_first_made() {
    let (dirs, bucket) = (folders::<2>(), bucket());
    let [one, two] = dirs.each_ref().map(|dir| server(dir.path(), &bucket));
    let (made, _) = one
        .get_or_make(&id("/a"), rendition("/a", 1).1, |_| async { Ok(Encoded { damaged: true, ..encoded(b"one") }) })
        .await
        .expect("made");
    written(tier(&one)).await;
    assert_eq!(bucket.names().len(), 2, "{:?}", bucket.names());
    let (body, found) = ask(&two, rendition("/a", 1), b"two").await.expect("there");
    assert_eq!((&body.bytes[..], body.digest, body.damaged, found), (&b"one"[..], made.digest, true, Found::Shared));
    assert_eq!(ask(&two, rendition("/a", 1), b"two").await.expect("there").1, Found::Disk);
    assert_eq!(two.memory().0, 1);
    // a disk that was lost
    let dir = tempfile::tempdir().expect("a folder");
    let one = server(dir.path(), &bucket);
    assert_eq!(ask(&one, rendition("/a", 1), b"two").await.expect("there").1, Found::Shared);
    assert_eq!((count(&two, Event::GetHit), count(&two, Event::PutStored)), (1, 0));
}

#[tokio::test]
async fn both_keys_of_a_rendition_are_shared_under_one_marker() {
    let (dirs, bucket) = (folders::<2>(), bucket());
    let [one, two] = dirs.each_ref().map(|dir| server(dir.path(), &bucket));
    let ((id, key), (_, also)) = (rendition("/a", 1), rendition("/a", 2));
    let make = move |_| async move { Ok(Made { also: Some(also), ..Made::from(encoded(b"one")) }) };
    one.get_or_make(&id, key, make).await.expect("made");
    written(tier(&one)).await;
    assert_eq!((renditions(&bucket).len(), bucket.names().len(), count(&one, Event::MarkStored)), (2, 3, 1));
    assert_eq!(ask(&two, rendition("/a", 2), b"two").await.expect("there").1, Found::Shared);
}

#[tokio::test]
async fn frozen_store_delays_a_render_by_the_hedge_and_opens_the_breaker() {
    let (dirs, bucket) = (folders::<1>(), bucket());
    let server = server(dirs[0].path(), &bucket);
    bucket.set(Faults { delay: HOUR, ..Faults::default() });
    let began = Instant::now();
    for number in 0..5 {
        let (body, found) = ask(&server, rendition("/a", number), b"one").await.expect("made");
        assert_eq!((&body.bytes[..], found), (&b"one"[..], MADE));
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(tier(&server).counters.hedged(), 5);
    while !tier(&server).is_open() {
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(count(&server, Event::GetTimeout) >= 1);
    let (gets, began) = (bucket.gets.load(Ordering::Relaxed), Instant::now());
    assert_eq!(ask(&server, rendition("/a", 9), b"one").await.expect("made").1, MADE);
    assert_eq!(bucket.gets.load(Ordering::Relaxed), gets, "it was not asked");
    assert!(count(&server, Event::GetSkipped) == 1 && began.elapsed() < Duration::from_millis(500));
}

#[tokio::test]
async fn dead_store_costs_nothing_and_opens_the_breaker() {
    let (dirs, bucket) = (folders::<1>(), bucket());
    let server = server(dirs[0].path(), &bucket);
    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    bucket.set(Faults { error: Some(Error::Unavailable(refused.into())), ..Faults::default() });
    for number in 0..20 {
        assert_eq!(ask(&server, rendition("/a", number), b"one").await.expect("made").1, MADE);
        written(tier(&server)).await;
    }
    assert!(tier(&server).is_open());
    assert_eq!(tier(&server).counters.hedged(), 0);
    assert_eq!(bucket.gets.load(Ordering::Relaxed), 5, "the breaker opened after five failures");
    assert!(bucket.puts.load(Ordering::Relaxed) <= 5);
}

#[tokio::test]
async fn store_that_fails_now_and_then_fails_no_request() {
    let (dirs, bucket) = (folders::<2>(), bucket());
    let servers = dirs.each_ref().map(|dir| server(dir.path(), &bucket));
    bucket.set(Faults { error: Some(Error::Status(503)), percent: 30, ..Faults::default() });
    for number in 0..200 {
        for server in &servers {
            let (found, _) = ask(server, rendition("/a", number), body(number)).await.expect("made");
            assert_eq!(&found.bytes[..], body(number));
        }
    }
}

#[tokio::test]
async fn store_that_takes_no_writes_is_read_all_the_same() {
    let (dirs, bucket) = (folders::<2>(), bucket());
    let [one, two] = dirs.each_ref().map(|dir| server(dir.path(), &bucket));
    for number in 0..10 {
        share(&one, "/a", number, b"one").await;
    }
    // no object is requested while there are errors
    bucket.set(Faults { error: Some(Error::Credentials("AccessDenied".into())), ..Faults::default() });
    (100..110).for_each(|number| put(&two, number, 10));
    written(tier(&two)).await;
    assert!(tier(&two).is_open_for_writes() && !tier(&two).is_open());
    assert!(count(&two, Event::MarkError) >= 5 && count(&two, Event::PutSkipped) == 10);
    bucket.set(Faults::default());
    for number in 0..10 {
        assert_eq!(ask(&two, rendition("/a", number), b"two").await.expect("there").1, Found::Shared);
    }
}

/// Sets the flag when it is dropped.
struct OnDrop(Arc<AtomicBool>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn slow_answer_ends_the_render_that_waits() {
    let (dirs, bucket) = (folders::<2>(), bucket());
    let [one, two] = dirs.each_ref().map(|dir| server(dir.path(), &bucket));
    share(&one, "/a", 1, b"one").await;
    bucket.set(Faults { delay: Duration::from_millis(200), ..Faults::default() });
    let dropped = Arc::<AtomicBool>::default();
    let flag = OnDrop(Arc::clone(&dropped));
    let (id, key) = rendition("/a", 1);
    let make = move |_| async move {
        let _flag = flag;
        std::future::pending::<std::result::Result<Encoded, &str>>().await
    };
    let (body, found) = two.get_or_make(&id, key, make).await.expect("there");
    assert_eq!((&body.bytes[..], found), (&b"one"[..], Found::Shared));
    assert!(dropped.load(Ordering::SeqCst));
    assert_eq!(tier(&two).counters.hedged(), 1);
}

#[tokio::test]
async fn errors_of_a_render_reach_the_client_and_are_not_shared() {
    let (dirs, bucket) = (folders::<1>(), bucket());
    let server = server(dirs[0].path(), &bucket);
    let (id, key) = rendition("/a", 1);
    let failed: Result = server.get_or_make(&id, key, |_| async { Err::<Encoded, _>("broken") }).await;
    assert!(matches!(failed, Err(Failure::Make("broken"))));
    written(tier(&server)).await;
    assert!(bucket.names().is_empty());
}

#[tokio::test]
async fn damaged_and_swapped_objects_are_misses_and_replaced() {
    let (dirs, bucket) = (folders::<3>(), bucket());
    let [one, two, three] = dirs.each_ref().map(|dir| server(dir.path(), &bucket));
    let changes: [(&str, fn(&MemoryBucket)); 5] = [
        ("flipped", |bucket| bucket.damage(|bytes| bytes.iter_mut().take(1).for_each(|byte| *byte ^= 1))),
        ("cut", |bucket| bucket.damage(|bytes| bytes.truncate(bytes.len() / 2))),
        ("empty", |bucket| bucket.damage(Vec::clear)),
        ("longer", |bucket| bucket.damage(|bytes| bytes.push(0))),
        ("swapped", |bucket| {
            let names = renditions(bucket);
            bucket.swap(&names[names.len() - 2], &names[names.len() - 1]);
        }),
    ];
    for (round, (how, change)) in (0_u32..).zip(changes) {
        let original = format!("/{how}");
        share(&one, &original, 1, b"one").await;
        share(&one, &original, 2, b"two").await;
        // only this round's two objects are there
        let others: Vec<String> =
            renditions(&bucket).into_iter().filter(|name| !name.starts_with(&object::folder(&id(&original)))).collect();
        for name in others {
            bucket.delete(&name).await.expect("deleted");
        }
        change(&bucket);
        for (number, text) in [(1, b"one"), (2, b"two")] {
            let (body, found) = ask(&two, rendition(&original, number), text).await.expect("made");
            assert_eq!((&body.bytes[..], found), (&text[..], MADE), "{how}");
        }
        written(tier(&two)).await;
        assert_eq!(count(&two, Event::GetInvalid), u64::from(2 * (round + 1)), "{how}");
        for number in [1, 2] {
            let (_, found) = ask(&three, rendition(&original, number), b"no").await.expect("there");
            assert_eq!(found, Found::Shared, "{how} is healed");
        }
    }
}

#[tokio::test]
async fn planted_objects_are_not_served_where_there_is_a_secret() {
    let (dirs, bucket) = (folders::<3>(), bucket());
    let signed = || Config { key: "s3cr3t".into(), ..Config::default() };
    share(&server(dirs[0].path(), &bucket), "/a", 1, b"planted").await;
    let one = server_with(dirs[1].path(), &bucket, signed());
    assert_eq!(ask(&one, rendition("/a", 1), b"one").await.expect("made").1, MADE);
    written(tier(&one)).await;
    let two = server_with(dirs[2].path(), &bucket, signed());
    let (body, found) = ask(&two, rendition("/a", 1), b"two").await.expect("there");
    assert_eq!((&body.bytes[..], found), (&b"one"[..], Found::Shared));
}

/// Hands over a rendition of so many bytes.
fn put(server: &Server, number: u32, length: usize) {
    let (id, key) = rendition("/a", number);
    let bytes = vec![number as u8; length];
    let rendition = Arc::new(Body::new(Encoded { bytes, ..encoded(b"") }).object());
    tier(server).put_behind(Put { id, key, rendition, begun: Instant::now(), is_upgrade: false });
}

#[tokio::test]
async fn queue_is_bounded_by_number_and_bytes() {
    let (dirs, bucket) = (folders::<1>(), bucket());
    let server = server(dirs[0].path(), &bucket);
    let tier = tier(&server);
    // the queue is not worked on until this task yields
    (0..300).for_each(|number| put(&server, number, 10));
    assert_eq!((count(&server, Event::PutSkipped), tier.queue_bytes()), (300 - 256, 2560));
    written(tier).await;
    assert_eq!((renditions(&bucket).len(), tier.queue_bytes()), (256, 0));
    (1000..1020).for_each(|number| put(&server, number, 4 << 20));
    assert_eq!((count(&server, Event::PutSkipped), tier.queue_bytes()), (44 + 4, 64 << 20));
    written(tier).await;
    assert_eq!((renditions(&bucket).len(), tier.queue_bytes()), (256 + 16, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn flush_waits_for_the_queue() {
    let (dirs, bucket) = (folders::<1>(), bucket());
    let server = server(dirs[0].path(), &bucket);
    for number in 0..20 {
        ask(&server, rendition("/a", number), b"one").await.expect("made");
    }
    bucket.set(Faults { delay: Duration::from_millis(20), ..Faults::default() });
    for number in 20..40 {
        ask(&server, rendition("/a", number), b"one").await.expect("made");
    }
    server.flush();
    assert_eq!(renditions(&bucket).len(), 40);
}

#[tokio::test]
async fn put_is_repeated_once_after_a_503() {
    let (dirs, bucket) = (folders::<1>(), bucket());
    let server = server(dirs[0].path(), &bucket);
    bucket.set(Faults { error: Some(Error::Status(503)), ..Faults::default() });
    ask(&server, rendition("/a", 1), b"one").await.expect("made");
    while bucket.puts.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    bucket.set(Faults::default());
    written(tier(&server)).await;
    assert_eq!((renditions(&bucket).len(), count(&server, Event::PutStored)), (1, 1));
}

#[tokio::test]
async fn policy_decides_what_is_written() {
    let (dirs, bucket) = (folders::<2>(), bucket());
    let with = |store| Config { store, ..Config::default() };
    let heavy = server_with(dirs[0].path(), &bucket, with(Policy::Heavy));
    for (number, took, expected) in [(1, 199, 0), (2, 200, 1)] {
        let (id, key) = rendition("/a", number);
        let make =
            move |_| async move { Ok(Made { took: Duration::from_millis(took), ..Made::from(encoded(b"one")) }) };
        heavy.get_or_make(&id, key, make).await.expect("made");
        written(tier(&heavy)).await;
        assert_eq!(renditions(&bucket).len(), expected);
    }
    let twice = server_with(dirs[1].path(), &bucket, with(Policy::Twice));
    share(&twice, "/b", 1, b"one").await;
    assert_eq!(renditions(&bucket).len(), 1);
    for _ in 0..3 {
        ask(&twice, rendition("/b", 1), b"one").await.expect("there");
        written(tier(&twice)).await;
        assert_eq!(renditions(&bucket).len(), 2);
    }
    // sent by another program, as nginx does
    share(&twice, "/c", 1, b"one").await;
    let (c, key) = rendition("/c", 1);
    twice.store.flush();
    assert!(twice.stored(&c, key).await.is_some());
    written(tier(&twice)).await;
    assert_eq!((renditions(&bucket).len(), count(&twice, Event::PutStored)), (3, 2));
    // without a folder
    let config = super::super::Config { dir: None, max_bytes: 1 << 30, max_files: 9, min_free: 0, memory: 1 << 20 };
    let twice: Server = Arc::new(Cache::new(&config));
    twice.share(SharedTier::new(Arc::clone(&bucket) as Arc<dyn Bucket>, with(Policy::Twice)));
    ask(&twice, rendition("/d", 1), b"one").await.expect("made");
    written(tier(&twice)).await;
    assert_eq!(renditions(&bucket).len(), 3);
    ask(&twice, rendition("/d", 1), b"one").await.expect("there");
    written(tier(&twice)).await;
    assert_eq!(renditions(&bucket).len(), 4);
}

#[tokio::test]
async fn upgraded_rendition_takes_the_place_of_the_first_and_never_goes_back() {
    let (dirs, bucket) = (folders::<3>(), bucket());
    let [one, two, three] = dirs.each_ref().map(|dir| server(dir.path(), &bucket));
    share(&one, "/a", 1, b"first").await;
    assert_eq!(ask(&two, rendition("/a", 1), b"").await.expect("there").1, Found::Shared);
    let (id, key) = rendition("/a", 1);
    let upgraded = |text, upgrade| Body { upgrade: Some(upgrade), ..Body::new(encoded(text)) };
    one.store.flush();
    two.store.flush();
    let first = Digest::of(b"first");
    assert!(one.replace(&id, key, first, upgraded(b"dense", Upgrade::Dense)).await);
    written(tier(&one)).await;
    // the other server upgrades as well, with less effort
    assert!(two.replace(&id, key, first, upgraded(b"less", Upgrade::Balanced)).await);
    written(tier(&two)).await;
    assert_eq!((count(&one, Event::PutStored), count(&two, Event::PutExists)), (2, 1));
    let (body, found) = ask(&three, rendition("/a", 1), b"").await.expect("there");
    assert_eq!((&body.bytes[..], body.upgrade, found), (&b"dense"[..], Some(Upgrade::Dense), Found::Shared));
}

#[tokio::test]
async fn original_whose_name_is_too_long_for_a_marker_is_not_shared() {
    let (dirs, bucket) = (folders::<1>(), bucket());
    let server = server(dirs[0].path(), &bucket);
    let name = format!("/{}", vec!["x".repeat(200); 5].join("/"));
    share(&server, &name, 1, b"one").await;
    assert!(bucket.names().is_empty());
    assert_eq!(count(&server, Event::PutSkipped), 1);
}

#[tokio::test]
async fn purge_removes_renditions_and_old_markers_of_its_originals_only() {
    let names = ["/cats/a", "/cats/small/b", "/cats2/c", "/cats"];
    let at = |name: &'static str| rendition(name, 1);
    for (what, gone) in [
        (Purge::Original(id("/cats/a")), &["/cats/a"][..]),
        (Purge::Folder("cats/".into()), &["/cats/a", "/cats/small/b"]),
        (Purge::Folder("cats/small/".into()), &["/cats/small/b"]),
        (Purge::Folder(String::new()), &names),
        (Purge::Original(id("/missing")), &[]),
    ] {
        let (dirs, bucket) = (folders::<2>(), bucket());
        let [one, two] = dirs.each_ref().map(|dir| server(dir.path(), &bucket));
        for name in names {
            share(&one, name, 1, b"one").await;
            share(&one, name, 2, b"two").await;
        }
        assert_eq!(one.purge(&what).renditions, 2 * gone.len() as u64);
        assert_eq!(tier(&one).purge(&what).await.expect("purged"), 2 * gone.len() as u64, "{what:?}");
        // another server may count on young markers
        assert_eq!(bucket.names().len(), 12 - 2 * gone.len(), "{what:?}");
        bucket.age(HOUR);
        assert_eq!(tier(&one).purge(&what).await.expect("purged"), 0);
        assert_eq!(bucket.names().len(), 12 - 3 * gone.len(), "{what:?}");
        for name in names {
            let expected = if gone.contains(&name) { MADE } else { Found::Shared };
            assert_eq!(ask(&two, at(name), b"one").await.expect("made").1, expected, "{what:?} {name}");
        }
    }
}

#[tokio::test]
async fn purge_of_more_than_a_page_removes_all() {
    let (dirs, bucket) = (folders::<1>(), bucket());
    let server = server(dirs[0].path(), &bucket);
    for number in 0..2100 {
        let name = format!("{}/{number}", object::folder(&id("/a")));
        let object =
            crate::bucket::NewObject { bytes: "x".into(), media_type: "", cache_control: None, metadata: vec![] };
        bucket.put(&name, object, crate::bucket::Condition::None).await.expect("written");
    }
    assert_eq!(tier(&server).purge(&Purge::Original(id("/a"))).await.expect("purged"), 2100);
    assert!(renditions(&bucket).is_empty());
    bucket.set(Faults { error: Some(Error::Status(500)), ..Faults::default() });
    assert!(tier(&server).purge(&Purge::Original(id("/a"))).await.is_err());
}

#[tokio::test]
async fn object_from_before_a_purge_is_not_taken_until_the_stamp_expires() {
    let (dirs, bucket) = (folders::<2>(), bucket());
    let [one, two] = dirs.each_ref().map(|dir| server(dir.path(), &bucket));
    share(&one, "/a", 1, b"old").await;
    share(&one, "/b", 1, b"other").await;
    // another server purged, and its removal has not come that far
    two.purge(&Purge::Original(id("/a")));
    assert_eq!(ask(&two, rendition("/a", 1), b"new").await.expect("made").1, MADE);
    assert_eq!(ask(&two, rendition("/b", 1), b"no").await.expect("there").1, Found::Shared);
    assert_eq!(count(&two, Event::GetSkipped), 1);
}

/// Waits until the bucket has got so many requests of a kind.
async fn sent(requests: &std::sync::atomic::AtomicU64, number: u64) {
    while requests.load(Ordering::SeqCst) < number {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn purge_while_a_rendition_is_written_removes_it_and_drops_those_that_wait() {
    let (dirs, bucket) = (folders::<1>(), bucket());
    let server = server(dirs[0].path(), &bucket);
    share(&server, "/a", 0, b"one").await;
    bucket.set(Faults { delay: Duration::from_millis(300), ..Faults::default() });
    // four are being written, six wait
    (1..=10).for_each(|number| put(&server, number, 10));
    sent(&bucket.puts, 6).await;
    bucket.set(Faults::default());
    server.purge(&Purge::Original(id("/a")));
    assert_eq!(tier(&server).purge(&Purge::Original(id("/a"))).await.expect("purged"), 1);
    written(tier(&server)).await;
    assert!(renditions(&bucket).is_empty(), "{:?}", renditions(&bucket));
    assert_eq!((count(&server, Event::PutStored), count(&server, Event::PutSkipped)), (5, 6));
}

#[tokio::test]
async fn purge_while_a_rendition_is_read_makes_it_a_miss() {
    let (dirs, bucket) = (folders::<2>(), bucket());
    let [one, two] = dirs.each_ref().map(|dir| server(dir.path(), &bucket));
    share(&one, "/a", 1, b"old").await;
    bucket.set(Faults { delay: Duration::from_millis(30), ..Faults::default() });
    let asking = Arc::clone(&two);
    let asked = tokio::spawn(async move { ask(&asking, rendition("/a", 1), b"new").await.expect("made") });
    sent(&bucket.gets, 2).await;
    two.purge(&Purge::Original(id("/a")));
    let (body, found) = asked.await.expect("no panic");
    assert_eq!((&body.bytes[..], found), (&b"new"[..], Found::Made { stored: false, collapsed: false }));
    assert_eq!((two.usage().files, two.memory().0), (2, 0), "its lock and list of names");
}

/// The number that a body was made with.
fn generation(body: &Body) -> u32 {
    std::str::from_utf8(&body.bytes).expect("text").parse().expect("a number")
}

/// Purges race with requests on two servers whose store answers at random times. A rendition that is requested after a purge
/// was made after it began, on both servers; and so were the objects in the bucket after the sweep.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purged_rendition_does_not_return_in_a_thousand_races() {
    let (dirs, bucket) = (folders::<2>(), bucket());
    let servers = dirs.each_ref().map(|dir| server(dir.path(), &bucket));
    let current = Arc::<AtomicU32>::default();
    let get = |server: &Server| {
        let (server, current) = (Arc::clone(server), Arc::clone(&current));
        async move {
            let (id, key) = rendition("/cats/a", 1);
            let make = move |_| async move {
                let made = current.load(Ordering::SeqCst);
                tokio::task::yield_now().await;
                Ok(encoded(made.to_string().as_bytes()))
            };
            generation(&server.get_or_make(&id, key, make).await.expect("made").0)
        }
    };
    for round in 0..1000_u64 {
        bucket.set(Faults { delay: Duration::from_micros(round * 7919 % 1500), ..Faults::default() });
        let asked: Vec<_> = servers.iter().map(|server| tokio::spawn(get(server))).collect();
        tokio::time::sleep(Duration::from_micros(round * 6007 % 3000)).await;
        let what = if round % 2 == 0 { Purge::Original(id("/cats/a")) } else { Purge::Folder("cats/".into()) };
        let purged = current.fetch_add(1, Ordering::SeqCst) + 1;
        for server in &servers {
            let (server, what) = (Arc::clone(server), what.clone());
            server.purge(&what);
        }
        tier(&servers[0]).purge(&what).await.expect("purged");
        // requests from before may get the rendition that was being made
        for one in asked {
            one.await.expect("no panic");
        }
        for server in &servers {
            let got = get(server).await;
            assert!(got >= purged, "round {round}: {got} was made before purge {purged}");
        }
        for server in &servers {
            written(tier(server)).await;
        }
        // the sweep; it may remove what was made since
        if round % 3 == 0 {
            tier(&servers[0]).purge(&what).await.expect("swept");
        }
        for name in renditions(&bucket) {
            let bytes = bucket.bytes(&name).expect("there");
            let kept: u32 = std::str::from_utf8(&bytes).expect("text").parse().expect("a number");
            assert!(kept >= purged, "round {round}: the bucket has {kept}, made before purge {purged}");
        }
    }
    assert!(servers.iter().map(|server| count(server, Event::PutStored)).sum::<u64>() > 100);
}

#[test]
fn settings_hide_their_secret() {
    let config = Config { key: "s3cr3t".into(), store: Policy::Twice };
    assert!(!format!("{config:?}").contains("s3cr3t"));
}
