//! What the cache must do, whatever happens to its folder and to those who ask.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Body, Cache, Config, Failure, Found, Key};
use crate::render::recipe::{Output, Quality};
use crate::render::{Content, Encoded, Format, Recipe, Settings};
use crate::source::{ImageId, Version};

type Result = std::result::Result<(Arc<Body>, Found), Failure<&'static str>>;

const MADE: Found = Found::Made { stored: true, collapsed: false };

fn open(dir: &Path) -> Arc<Cache<&'static str>> {
    open_with(dir, 1 << 30, 1 << 20)
}

fn open_with(dir: &Path, max_bytes: u64, memory: u64) -> Arc<Cache<&'static str>> {
    Arc::new(Cache::new(&Config { dir: dir.to_owned(), max_bytes, max_files: 1000, min_free: 0, memory }))
}

fn id(name: &str) -> ImageId {
    ImageId::parse(name).expect("a name")
}

fn key(name: &str, quality: u8) -> Key {
    let version = Version { identity: [0; 32], modified: std::time::SystemTime::UNIX_EPOCH };
    let recipe = Recipe::new(Output::Original, Quality::new(quality).expect("in range"));
    Key::new(&id(name), &version, &recipe, &Settings::default())
}

fn encoded(text: &[u8]) -> Encoded {
    Encoded { bytes: text.to_vec(), content: Content::Image(Format::WebP) }
}

async fn ask(cache: &Arc<Cache<&'static str>>, key: Key, text: &'static [u8]) -> Result {
    cache.get_or_make(key, move || async move { Ok(encoded(text)) }).await
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.extension().is_some_and(|e| e == "lock") => {}
                path => all.push(path),
            }
        }
    }
    all
}

#[tokio::test]
async fn found_in_memory_then_on_disk_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open(dir.path());
    let (body, found) = ask(&cache, key("/a", 1), b"one").await.expect("made");
    assert_eq!((&body.bytes[..], found), (&b"one"[..], MADE));
    assert_eq!(ask(&cache, key("/a", 1), b"two").await.expect("there").1, Found::Memory);
    cache.flush();
    drop(cache);
    let cache = open(dir.path());
    let (again, found) = ask(&cache, key("/a", 1), b"two").await.expect("there");
    assert_eq!((&again.bytes[..], again.digest, found), (&b"one"[..], body.digest, Found::Disk));
}

#[tokio::test]
async fn a_crowd_on_one_key_makes_it_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open(dir.path());
    let made = Arc::new(AtomicUsize::new(0));
    let (go, ready) = tokio::sync::watch::channel(false);
    let crowd: Vec<_> = (0..100)
        .map(|_| {
            let (cache, made, mut ready) = (Arc::clone(&cache), Arc::clone(&made), ready.clone());
            tokio::spawn(async move {
                let make = move || async move {
                    made.fetch_add(1, Ordering::SeqCst);
                    ready.wait_for(|go| *go).await.expect("the test goes on");
                    Ok(encoded(b"one"))
                };
                cache.get_or_make(key("/a", 1), make).await.expect("made").1
            })
        })
        .collect();
    tokio::task::yield_now().await;
    go.send(true).expect("someone waits");
    let mut leaders = 0;
    for one in crowd {
        leaders += usize::from(one.await.expect("no panic") == MADE);
    }
    assert_eq!((made.load(Ordering::SeqCst), leaders), (1, 1));
}

#[tokio::test]
async fn those_who_leave_do_not_stop_the_work() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open(dir.path());
    let (go, mut ready) = tokio::sync::watch::channel(false);
    let make = move || async move {
        ready.wait_for(|go| *go).await.expect("the test goes on");
        Ok(encoded(b"one"))
    };
    let impatient = cache.get_or_make(key("/a", 1), make);
    let left = tokio::time::timeout(std::time::Duration::ZERO, impatient).await;
    assert!(left.is_err());
    go.send(true).expect("the work goes on");
    // whoever asks now joins the same flight or finds what it made
    let (body, _) = ask(&cache, key("/a", 1), b"two").await.expect("made");
    assert_eq!(&body.bytes[..], b"one");
}

#[tokio::test]
async fn failures_and_panics_reach_everyone_and_are_not_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open(dir.path());
    let failed = cache.get_or_make(key("/a", 1), || async { Err("broken") }).await;
    assert!(matches!(failed, Err(Failure::Make("broken"))));
    let lost = cache.get_or_make(key("/a", 1), || async { panic!("a bug") }).await;
    assert!(matches!(lost, Err(Failure::Lost)));
    assert_eq!(ask(&cache, key("/a", 1), b"one").await.expect("made").1, MADE);
}

#[tokio::test]
async fn no_damaged_file_is_served() {
    let damage: [(&str, fn(&Path)); 5] = [
        ("a flipped bit", |path| {
            let mut bytes = std::fs::read(path).expect("a file");
            bytes[1] ^= 1;
            std::fs::write(path, bytes).expect("written");
        }),
        ("cut", |path| std::fs::write(path, b"on").expect("written")),
        ("empty", |path| std::fs::write(path, b"").expect("written")),
        ("longer", |path| std::fs::write(path, b"one!").expect("written")),
        ("gone", |path| std::fs::remove_file(path).expect("removed")),
    ];
    for (name, damage) in damage {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = open(dir.path());
        ask(&cache, key("/a", 1), b"one").await.expect("made");
        cache.flush();
        drop(cache);
        damage(&files(dir.path())[0]);
        let cache = open(dir.path());
        let (body, found) = ask(&cache, key("/a", 1), b"new").await.expect("made");
        assert_eq!((&body.bytes[..], found), (&b"new"[..], MADE), "{name}");
        cache.flush();
        assert_eq!(files(dir.path()).len(), 1, "{name}: the damaged file is gone");
    }
}

#[tokio::test]
async fn swapped_files_are_told_apart() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open(dir.path());
    ask(&cache, key("/a", 1), b"one").await.expect("made");
    ask(&cache, key("/a", 2), b"two").await.expect("made");
    cache.flush();
    drop(cache);
    let found = files(dir.path());
    let (a, b) = (std::fs::read(&found[0]).expect("a file"), std::fs::read(&found[1]).expect("a file"));
    std::fs::write(&found[0], b).expect("written");
    std::fs::write(&found[1], a).expect("written");
    let cache = open(dir.path());
    for quality in [1, 2] {
        assert_eq!(ask(&cache, key("/a", quality), b"new").await.expect("made").0.bytes, &b"new"[..]);
    }
}

#[tokio::test]
async fn strays_go_and_what_is_not_ours_stays() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(open(dir.path()));
    let put = |name: &str| std::fs::write(dir.path().join(name), b"x").expect("written");
    put("v1/staging/.tmpAbCdEf.lock");
    put("v1/staging/.tmpAbCdEf-123456.new");
    put("v1/staging/notes.txt");
    put("v1/README");
    let second = open(dir.path());
    let third = open(dir.path());
    ask(&second, key("/a", 1), b"one").await.expect("made");
    second.flush();
    drop(third);
    let mut left: Vec<String> =
        files(dir.path()).iter().map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect();
    left.retain(|name| !name.ends_with(".webp"));
    left.sort();
    assert_eq!(left, ["README", "notes.txt"]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_does_not_fail_requests() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("file"), b"").expect("written");
    let cache = open(&dir.path().join("file"));
    let (_, found) = ask(&cache, key("/a", 1), b"one").await.expect("made");
    assert_eq!(found, Found::Made { stored: false, collapsed: false });
    assert!(!cache.is_writable());
}

#[tokio::test]
async fn a_folder_removed_while_running_is_made_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open(dir.path());
    std::fs::remove_dir_all(dir.path().join("v1")).expect("removed");
    ask(&cache, key("/a", 1), b"one").await.expect("made");
    cache.flush();
    assert_eq!(files(dir.path()).len(), 1);
    assert!(cache.is_writable());
}

#[tokio::test]
async fn purging_removes_all_of_one_original_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open(dir.path());
    for quality in [1, 2, 3] {
        ask(&cache, key("/a", quality), b"one").await.expect("made");
    }
    ask(&cache, key("/b", 1), b"one").await.expect("made");
    assert_eq!(cache.purge(&id("/a")), 3);
    assert_eq!(files(dir.path()).len(), 1);
    assert_eq!(ask(&cache, key("/a", 1), b"two").await.expect("made").1, MADE);
    assert_eq!(ask(&cache, key("/b", 1), b"two").await.expect("there").1, Found::Memory);
}

#[tokio::test]
async fn the_folder_stays_near_its_bound() {
    let dir = tempfile::tempdir().expect("a folder");
    // sixteen blocks, and nothing held in memory
    let cache = open_with(dir.path(), 16 * 4096, 0);
    for quality in 1..=100 {
        ask(&cache, key("/a", quality), &[7; 4000]).await.expect("made");
        cache.flush();
    }
    assert!(files(dir.path()).len() <= 17, "{}", files(dir.path()).len());
}

#[tokio::test]
async fn what_others_need_stays_free() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = Config { dir: dir.path().to_owned(), max_bytes: 1 << 30, max_files: 9, min_free: u64::MAX, memory: 0 };
    let cache = Arc::new(Cache::<&'static str>::new(&config));
    ask(&cache, key("/a", 1), b"one").await.expect("made");
    cache.flush();
    assert!(files(dir.path()).is_empty());
    assert_eq!(cache.stats().not_stored.load(Ordering::Relaxed), 1);
    // nothing is wrong with the folder
    assert!(cache.is_writable());
}

#[tokio::test]
async fn a_failed_write_is_forgotten_once_the_folder_is_well_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open(dir.path());
    let staging = dir.path().join("v1/staging");
    std::fs::remove_dir_all(&staging).expect("removed");
    std::fs::write(&staging, b"in the way").expect("written");
    ask(&cache, key("/a", 1), b"one").await.expect("made");
    cache.flush();
    assert!(!cache.is_writable());
    std::fs::remove_file(&staging).expect("removed");
    // without a request in between
    assert!(cache.is_writable());
    ask(&cache, key("/a", 2), b"two").await.expect("made");
    cache.flush();
    assert_eq!(files(dir.path()).len(), 1);
}
