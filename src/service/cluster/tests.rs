//! Two servers with a folder each, over one bucket in memory: purges of one reach the other, also at its next start.

use std::path::{Path, PathBuf};

use super::*;
use crate::bucket::memory::{Faults, MemoryBucket};
use crate::bucket::{Bucket, Condition, Listed, NewObject, Object};
use crate::cache::Found;
use crate::cache::shared::SharedTier;
use crate::net::BoxFuture;
use crate::render::recipe::{Output, Quality};
use crate::render::{Recipe, Settings};
use crate::service::workers;
use crate::source::{Files, ImageId};

/// Originals, a bucket, and the cache folders of two servers.
struct Site {
    folder: tempfile::TempDir,
    bucket: Arc<MemoryBucket>,
}

impl Site {
    fn new() -> Site {
        let site = Site { folder: tempfile::tempdir().expect("a folder"), bucket: Arc::default() };
        std::fs::create_dir(site.path("root")).expect("a folder");
        site.add("a.png");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn add(&self, name: &str) -> ImageId {
        let path = self.path("root").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/generated/grey.png"), path).expect("copied");
        ImageId::of(name).expect("a name")
    }

    /// A server with that cache folder, which has not read the journal yet.
    fn server(&self, cache: &str) -> Arc<Service> {
        self.server_with(cache, Arc::clone(&self.bucket) as Arc<dyn Bucket>)
    }

    /// The same, with another view of the bucket.
    fn server_with(&self, cache: &str, bucket: Arc<dyn Bucket>) -> Arc<Service> {
        let cache = crate::cache::Config {
            dir: Some(self.path(cache)),
            max_bytes: 100 << 20,
            max_files: 10_000,
            min_free: 0,
            memory: 1 << 20,
        };
        let deadline = Duration::from_secs(60);
        let workers = workers::Config { workers: 2, queue: 100, memory: 1 << 28, deadline, decode_cache: 0 };
        let source = Files::new(&self.path("root"), 1 << 20).expect("a folder");
        let service = Service::new(Arc::new(source), &cache, workers, Settings::default());
        let tier = SharedTier::new(bucket, Default::default());
        service.share(tier);
        // read by the tests, not by a task
        let config = Config { peers: Vec::new(), poll: Duration::from_secs(3600), bucket: "memory".into() };
        service.join_cluster(config).expect("no TLS");
        service
    }

    /// The number of renditions on the disk of a server.
    fn on_disk(&self, cache: &str) -> usize {
        let files = tintype_testing::stored_files(&self.path(cache));
        files.iter().filter(|path| !path.ends_with("purge-position")).count()
    }

    /// The names of shared renditions.
    fn shared(&self) -> Vec<String> {
        self.bucket.names().into_iter().filter(|name| name.starts_with("1/")).collect()
    }
}

fn recipe(quality: u8) -> Recipe {
    Recipe::new(Output::Original, Quality::new(quality).expect("in range"))
}

/// Where the rendition of an original comes from; `None` where it cannot be had.
async fn found(service: &Arc<Service>, id: &ImageId, quality: u8) -> Option<Found> {
    let settings = service.settings();
    let answer = service.rendition(&settings, id, &recipe(quality), &Default::default(), || None).await;
    answer.ok()?.found
}

fn is_made(found: Option<Found>) -> bool {
    matches!(found, Some(Found::Made { .. }))
}

/// Reads the journal as the task does.
async fn read(follower: &mut Follower, service: &Arc<Service>) {
    follower.read_logged(service).await;
}

/// Waits until everything is on disk and in the bucket.
async fn flush(service: &Arc<Service>) {
    let service = Arc::clone(service);
    on_thread(move || service.flush()).await.expect("no panic");
}

/// Ends a server, so that its cache folder is free for the next.
async fn stop(service: Arc<Service>, dir: &Path) {
    flush(&service).await;
    assert_eq!(Arc::strong_count(&service), 1, "nobody else has it");
    on_thread(move || drop(service)).await.expect("no panic");
    assert!(dir.is_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_reaches_the_other_server_and_the_bucket() {
    let id = ImageId::of("cats/b.png").expect("a name");
    let folder = |name: &str| Purge::Folder(name.into());
    for what in [Purge::Original(id.clone()), folder("cats/"), folder("")] {
        let site = Site::new();
        site.add(id.as_str());
        let [one, two] = [site.server("one"), site.server("two")];
        let mut follower = Follower::default();
        read(&mut follower, &two).await;
        assert!(is_made(found(&one, &id, 50).await), "{what:?}");
        flush(&one).await;
        assert_eq!(found(&two, &id, 50).await, Some(Found::Shared), "{what:?}");
        flush(&two).await;
        let purged = one.purge(what.clone(), "").await.expect("all was reached");
        assert_eq!(purged.renditions, 1, "{what:?}");
        assert_eq!(purged.nodes.map(|nodes| (nodes.told, nodes.failed.len())), Some((0, 0)));
        assert_eq!(site.shared(), [""; 0]);
        assert!(matches!(found(&two, &id, 50).await, Some(Found::Disk | Found::Memory)), "it does not know yet");
        read(&mut follower, &two).await;
        assert!(is_made(found(&two, &id, 50).await), "{what:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_server_applies_purges_before_it_sends_from_disk() {
    let site = Site::new();
    let [a, b] = ["a.png", "b.png"].map(|name| site.add(name));
    let [one, two] = [site.server("one"), site.server("two")];
    for server in [&one, &two] {
        read(&mut Follower::default(), server).await;
    }
    for id in [&a, &b] {
        assert!(is_made(found(&two, id, 50).await));
    }
    stop(two, &site.path("two")).await;
    one.purge(Purge::Original(a.clone()), "").await.expect("all was reached");
    one.shared().expect("a bucket").purge(&Purge::Folder(String::new())).await.expect("purged");

    // the bucket does not answer at the start: nothing is sent from disk
    let two = site.server("two");
    site.bucket.set(Faults { error: Some(bucket::Error::Status(503)), ..Faults::default() });
    let mut follower = Follower::default();
    read(&mut follower, &two).await;
    for id in [&a, &b] {
        assert!(is_made(found(&two, id, 50).await), "rendered, since the disk is not trusted");
        assert_eq!(found(&two, id, 50).await, Some(Found::Memory), "and kept in memory");
    }
    stop(two, &site.path("two")).await;

    let two = site.server("two");
    site.bucket.set(Faults::default());
    assert!(!two.cache.trusts_disk());
    read(&mut Follower::default(), &two).await;
    assert!(two.cache.trusts_disk());
    assert_eq!(found(&two, &b, 50).await, Some(Found::Disk));
    assert!(is_made(found(&two, &a, 50).await), "purged while it was stopped");
}

/// A restart without downtime: the next process has read the journal before it gets the folder, which missed a purge.
#[tokio::test(flavor = "multi_thread")]
async fn folder_of_another_process_is_not_trusted_before_its_purges_are_applied() {
    let site = Site::new();
    let id = site.add("a.png");
    let former = site.server("one");
    read(&mut Follower::default(), &former).await;
    assert!(is_made(found(&former, &id, 50).await));
    flush(&former).await;
    let (next, mut follower) = (site.server("one"), Follower::default());
    assert_eq!(next.cache_folder_state(), crate::cache::FolderState::InUse);
    read(&mut follower, &next).await;
    stop(former, &site.path("one")).await;
    // a purge of ten minutes ago, as that process had stood still for longer
    let minutes = |minutes: u64| Position::now().before(Duration::from_secs(60 * minutes));
    PositionFile::new(&site.path("one"), "memory").write(minutes(20)).expect("written");
    let object = NewObject {
        bytes: br#"{"version":1,"original":"a.png"}"#[..].into(),
        media_type: "application/json",
        cache_control: None,
        metadata: Vec::new(),
    };
    site.bucket.put(&format!("purge/{}-x", minutes(10)), object, Condition::None).await.expect("put");
    while next.cache.disk_opening().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(next.journal_stats().applied, 0);
    assert!(site.on_disk("one") == 1 && !next.cache.trusts_disk());
    read(&mut follower, &next).await;
    assert!(site.on_disk("one") == 0 && next.cache.trusts_disk());
    assert!(is_made(found(&next, &id, 50).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn folder_without_a_valid_position_is_emptied() {
    let site = Site::new();
    let id = site.add("a.png");
    for text in [None, Some(""), Some("1 00000000000000000001 x\n")] {
        let server = site.server("one");
        read(&mut Follower::default(), &server).await;
        found(&server, &id, 50).await.expect("an answer");
        flush(&server).await;
        assert!(site.on_disk("one") > 0);
        stop(server, &site.path("one")).await;
        let position = site.path("one").join("purge-position");
        match text {
            None => std::fs::remove_file(position),
            Some(text) => std::fs::write(position, text),
        }
        .expect("changed");
        let server = site.server("one");
        read(&mut Follower::default(), &server).await;
        assert_eq!(site.on_disk("one"), 0, "{text:?}");
        stop(server, &site.path("one")).await;
    }
    let server = site.server("one");
    let eight_days = Position::now().before(Duration::from_secs(8 * 86_400));
    read(&mut Follower::default(), &server).await;
    found(&server, &id, 50).await.expect("an answer");
    stop(server, &site.path("one")).await;
    PositionFile::new(&site.path("one"), "memory").write(eight_days).expect("written");
    let server = site.server("one");
    read(&mut Follower::default(), &server).await;
    assert_eq!(site.on_disk("one"), 0, "entries of that time are no longer kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_without_the_bucket_is_done_here_and_reported() {
    let site = Site::new();
    let id = site.add("a.png");
    let server = site.server("one");
    read(&mut Follower::default(), &server).await;
    found(&server, &id, 50).await.expect("an answer");
    site.bucket.set(Faults { error: Some(bucket::Error::TimedOut), ..Faults::default() });
    let incomplete = server.purge(Purge::Original(id.clone()), "").await.expect_err("the bucket was not reached");
    assert_eq!(incomplete.purged.renditions, 1);
    assert!(incomplete.why.contains("journal"), "{incomplete}");
    flush(&server).await;
    assert_eq!((site.on_disk("one"), server.cache_memory().0), (0, 0));
}

/// The stored renditions become folders, which unlink(2) does not remove; returns their paths.
fn obstruct(cache: &Path) -> Vec<PathBuf> {
    let mut files = tintype_testing::stored_files(cache);
    files.retain(|path| !path.ends_with("purge-position"));
    for path in &files {
        std::fs::remove_file(path).expect("removed");
        std::fs::create_dir(path).expect("made");
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_that_cannot_remove_files_is_not_complete() {
    let site = Site::new();
    let id = site.add("a.png");
    let server = site.server("one");
    read(&mut Follower::default(), &server).await;
    found(&server, &id, 50).await.expect("an answer");
    flush(&server).await;
    let obstacles = obstruct(&site.path("one"));
    // repeated, too
    for renditions in [1, 0] {
        let incomplete = server.purge(Purge::Original(id.clone()), "").await.expect_err("the file stays");
        assert!(incomplete.why.starts_with("1 files of this server's cache folder"), "{incomplete}");
        assert_eq!(incomplete.purged.renditions, renditions);
        assert!(server.purge_local(Purge::Original(id.clone())).await.is_err());
    }
    obstacles.iter().for_each(|path| std::fs::remove_dir(path).expect("removed"));
    server.purge(Purge::Original(id.clone()), "").await.expect("the file is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_that_cannot_remove_files_is_applied_again_at_the_next_start() {
    let site = Site::new();
    let id = site.add("a.png");
    let [one, two] = [site.server("one"), site.server("two")];
    let mut follower = Follower::default();
    read(&mut follower, &two).await;
    found(&two, &id, 50).await.expect("an answer");
    flush(&two).await;
    let position = || std::fs::read(site.path("two").join("purge-position")).expect("a position");
    let before = position();
    let obstacles = obstruct(&site.path("two"));
    one.purge(Purge::Original(id.clone()), "").await.expect("all was reached");
    read(&mut follower, &two).await;
    assert!(!follower.is_failing && two.cache.has_undeleted());
    assert_eq!(position(), before);
    obstacles.iter().for_each(|path| std::fs::remove_dir(path).expect("removed"));
    while two.cache.has_undeleted() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    read(&mut Follower::default(), &two).await;
    assert_ne!(position(), before);
}

/// A bucket whose credentials do not allow to delete.
struct Undeletable(Arc<MemoryBucket>);

impl Bucket for Undeletable {
    fn get<'a>(
        &'a self, name: &'a str, unless: Option<&'a str>, max_bytes: u64,
    ) -> BoxFuture<'a, Result<Object, bucket::Error>> {
        self.0.get(name, unless, max_bytes)
    }

    fn put<'a>(
        &'a self, name: &'a str, object: NewObject, condition: Condition<'a>,
    ) -> BoxFuture<'a, Result<Option<String>, bucket::Error>> {
        self.0.put(name, object, condition)
    }

    fn delete<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<(), bucket::Error>> {
        Box::pin(async { Err(bucket::Error::Status(403)) })
    }

    fn list<'a>(
        &'a self, folder: &'a str, after: Option<&'a str>, count: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, bucket::Error>> {
        self.0.list(folder, after, count)
    }
}

/// An entry in the journal by another server.
async fn write_entry(site: &Site, position: Position, original: &str) {
    let bytes = format!(r#"{{"version":1,"original":"{original}"}}"#).into_bytes().into();
    let object = NewObject { bytes, media_type: "application/json", cache_control: None, metadata: Vec::new() };
    site.bucket.put(&format!("purge/{position}-x"), object, Condition::None).await.expect("put");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_entries_that_cannot_be_deleted_do_not_stop_the_reading() {
    let site = Site::new();
    let server = site.server_with("one", Arc::new(Undeletable(Arc::clone(&site.bucket))));
    write_entry(&site, Position::now().before(Duration::from_secs(9 * 86_400)), "a.png").await;
    let mut follower = Follower::default();
    read(&mut follower, &server).await;
    assert!(!follower.is_failing && follower.has_read && server.cache.trusts_disk());
}

/// A server that missed too many entries, which become one purge of everything at no time, must not empty the bucket: the
/// servers that wrote them have purged it.
#[test]
fn bucket_is_swept_for_recent_purges_at_the_start_and_for_all_after_a_lag() {
    let now = Position::now();
    let before = |seconds: u64| now.before(Duration::from_secs(seconds));
    let purges = [(before(u64::MAX), "all/"), (before(3600), "hour/"), (before(60), "minute/"), (now, "now/")]
        .map(|(position, folder)| (position, Purge::Folder(folder.into())));
    let swept = |lag: Option<Duration>| late(&purges, lag, now).len();
    assert_eq!(swept(None), 2);
    assert_eq!(swept(Some(LATE)), 0);
    assert_eq!(swept(Some(LATE * 2)), 4);
    assert_eq!(target(&late(&purges, None, now)[0]), "/-/purge?path=minute%2F&local=1");
}

/// Requests, a take-down and the reading of the journal in any order: afterwards the rendition is nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn purged_rendition_comes_back_in_no_order_of_events() {
    const ROUNDS: u64 = 1000;
    let site = Site::new();
    let servers = [site.server("one"), site.server("two")];
    let mut followers = [Follower::default(), Follower::default()];
    for (server, follower) in servers.iter().zip(&mut followers) {
        read(follower, server).await;
    }
    // before all rounds: the version of a file that was just written is waited for
    let ids: Vec<ImageId> = (0..ROUNDS).map(|round| site.add(&format!("{round}.png"))).collect();
    let (mut answers, mut shared) = (0, 0);
    for (round, id) in (0..ROUNDS).zip(ids) {
        site.bucket.set(Faults { delay: Duration::from_micros(round * 37 % 900), ..Faults::default() });
        let requests: Vec<_> = (0..6)
            .map(|number: u8| {
                let (service, id) = (Arc::clone(&servers[usize::from(number % 2)]), id.clone());
                let wait = Duration::from_micros(round * 113 * u64::from(number) % 12_000);
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    found(&service, &id, 50 + number / 4).await
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_micros(round * 71 % 30_000)).await;
        std::fs::remove_file(site.path("root").join(format!("{round}.png"))).expect("removed");
        let what = Purge::Original(id);
        let (purged, ()) = tokio::join!(servers[0].purge(what.clone(), ""), async {
            tokio::time::sleep(Duration::from_micros(round * 53 % 9000)).await;
            read(&mut followers[1], &servers[1]).await;
        });
        purged.expect("all was reached");
        read(&mut followers[1], &servers[1]).await;
        for request in requests {
            let found = request.await.expect("no panic");
            answers += u64::from(found.is_some());
            shared += u64::from(found == Some(Found::Shared));
        }
        tokio::join!(flush(&servers[0]), flush(&servers[1]));
        servers[0].shared().expect("a bucket").purge(&what).await.expect("swept");
        assert_eq!(site.shared(), [""; 0], "in the bucket after round {round}");
        for (server, cache) in servers.iter().zip(["one", "two"]) {
            assert_eq!(server.cache_memory().0, 0, "in memory after round {round}");
            // files that a round leaves stay, and looking takes long
            if round % 50 == 49 {
                assert_eq!(site.on_disk(cache), 0, "on disk after round {round}");
            }
        }
    }
    // otherwise nothing was raced
    assert!(answers > ROUNDS / 10 && shared > 0, "{answers} answers, {shared} from the bucket");
    println!("{answers} answers, {shared} from the bucket, in {ROUNDS} rounds");
}

#[test]
fn peers_are_urls_without_credentials_path_and_query() {
    for (text, shown) in [
        ("http://10.0.0.2:8080", Some("http://10.0.0.2:8080")),
        ("http://10.0.0.2:8080/", Some("http://10.0.0.2:8080")),
        ("https://img2.example", Some("https://img2.example")),
        ("http://[::1]:8080", Some("http://[::1]:8080")),
        ("", None),
        ("10.0.0.2:8080", None),
        ("ftp://10.0.0.2", None),
        ("unix:/run/tintype.sock", None),
        ("http://", None),
        ("http://10.0.0.2/img", None),
        ("http://10.0.0.2/?a", None),
        ("http://user:s3cr3t@10.0.0.2", None),
    ] {
        let peer = text.parse::<PeerUrl>();
        assert_eq!(peer.as_ref().ok().map(ToString::to_string).as_deref(), shown, "{text}");
        if let Err(invalid) = peer {
            assert!(!invalid.to_string().contains("s3cr3t"), "{invalid}");
        }
    }
}

#[test]
fn purge_of_one_server_is_percent_encoded() {
    let original = |name: &str| Purge::Original(ImageId::of(name).expect("a name"));
    for (what, expected) in [
        (original("a/b c&é.jpg"), "/-/purge?path=a%2Fb%20c%26%C3%A9%2Ejpg&local=1"),
        (Purge::Folder("a/".into()), "/-/purge?path=a%2F&local=1"),
        (Purge::Folder(String::new()), "/-/purge?path=%2F&local=1"),
    ] {
        assert_eq!(target(&what), expected);
    }
}
