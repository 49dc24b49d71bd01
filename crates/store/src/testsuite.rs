//! The behaviour of a store on its folder: damage, foreign files, bounds, purges.

use std::path::Path;
use std::sync::atomic::Ordering;

use super::testing::*;
use super::*;

#[tokio::test]
async fn damaged_files_are_not_served() {
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
        let store = open(dir.path());
        ask(&store, file("a", 1), b"one").await;
        store.flush();
        drop(store);
        damage(&files(dir.path())[0]);
        let store = open(dir.path());
        let (body, found) = ask(&store, file("a", 1), b"new").await;
        assert_eq!((&body.bytes[..], found), (&b"new"[..], MADE), "{name}");
        store.flush();
        assert_eq!(files(dir.path()).len(), 1, "{name}: the damaged file is gone");
    }
}

#[tokio::test]
async fn swapped_files_are_not_served() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    ask(&store, file("a", 1), b"one").await;
    ask(&store, file("a", 2), b"two").await;
    store.flush();
    drop(store);
    let found = files(dir.path());
    let (a, b) = (std::fs::read(&found[0]).expect("a file"), std::fs::read(&found[1]).expect("a file"));
    std::fs::write(&found[0], b).expect("written");
    std::fs::write(&found[1], a).expect("written");
    let store = open(dir.path());
    for quality in [1, 2] {
        assert_eq!(ask(&store, file("a", quality), b"new").await.0.bytes, &b"new"[..]);
    }
}

#[tokio::test]
async fn intact_staged_files_are_recovered_and_foreign_files_stay() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    for number in [1, 2, 3] {
        ask(&store, file("a", number), body(number)).await;
    }
    drop(store);
    // as a kill leaves them: staged and not renamed, one of them cut and one damaged
    let staging = dir.path().join("v2/staging");
    for (number, path) in files(dir.path()).iter().enumerate() {
        let name = path.file_name().expect("a name").to_str().expect("text");
        std::fs::rename(path, staging.join(format!("{number:x}-{name}"))).expect("moved");
    }
    let mut staged = files(&staging);
    staged.sort();
    std::fs::write(&staged[1], b"on").expect("cut");
    std::fs::write(&staged[2], b"two").expect("damaged");
    let put = |name: &str| std::fs::write(dir.path().join(name), b"x").expect("written");
    for name in ["v2/staging/notes.txt", "v2/README", "v2/00-notes"] {
        put(name);
    }
    std::fs::create_dir_all(dir.path().join("v2/00")).expect("made");
    put("v2/00/abc.webp");
    let store = open(dir.path());
    let mut found = Vec::new();
    for number in [1, 2, 3] {
        found.push(ask(&store, file("a", number), b"one").await.1);
    }
    found.sort_by_key(|found| *found == MADE);
    assert_eq!(found, [Found::Stored, MADE, MADE]);
    assert_eq!(store.counters().strays.load(Ordering::Relaxed), 2);
    store.flush();
    poll(|| store.usage().scanned == 1.0);
    assert_eq!(store.usage().foreign, 4);
    let mut left: Vec<String> =
        files(dir.path()).iter().map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect();
    left.retain(|name| layout::parse::<Extension>(name).is_none());
    left.sort();
    assert_eq!(left, ["00-notes", "README", "abc.webp", "notes.txt"]);
}

#[tokio::test]
async fn unusable_folder_stores_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("file"), b"").expect("written");
    let store = open(&dir.path().join("file"));
    let (_, found) = ask(&store, file("a", 1), b"one").await;
    assert_eq!(found, Found::Made { stored: false });
    assert!(!store.is_writable());
}

#[tokio::test]
async fn removed_folder_is_created_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    ask(&store, file("a", 1), b"one").await;
    std::fs::remove_dir_all(dir.path()).expect("removed");
    poll(|| dir.path().join("v2").exists());
    poll(|| store.is_writable());
    assert_eq!(ask(&store, file("a", 2), b"one").await.1, MADE);
    store.flush();
    assert_eq!(files(dir.path()).len(), 1);
}

#[tokio::test]
async fn purge_of_an_original_removes_its_files_only() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    for quality in [1, 2, 3] {
        ask(&store, file("a", quality), b"one").await;
    }
    ask(&store, file("b", 1), b"one").await;
    assert_eq!(store.purge(&Selection::Original("a")).len(), 3);
    assert_eq!(files(dir.path()).len(), 1);
    assert_eq!(ask(&store, file("a", 1), b"two").await.1, MADE);
    assert_eq!(ask(&store, file("b", 1), b"two").await.1, Found::Stored);
}

#[tokio::test]
async fn bounds_hold_at_every_moment() {
    for (max_blocks, max_files) in [(32, 1000), (1000, 12)] {
        let dir = tempfile::tempdir().expect("a folder");
        let config = Config { dir: Some(dir.path().to_owned()), max_bytes: max_blocks * 4096, max_files, min_free: 0 };
        let store = Store::<Extension>::new(config.clone());
        let mut stored = 0;
        for number in 1..=200 {
            let (_, found) = ask(&store, file("a", number), body(number)).await;
            stored += usize::from(found == MADE);
            let (bytes, count) = taken(dir.path());
            assert!(bytes <= config.max_bytes, "{bytes} bytes of {}", config.max_bytes);
            assert!(count <= config.max_files, "{count} files of {}", config.max_files);
        }
        store.flush();
        assert_eq!(stored, 200);
        assert!(files(dir.path()).len() >= 9, "{}", files(dir.path()).len());
        let usage = store.usage();
        assert_eq!(usage.files, files(dir.path()).len() as u64 + 2);
        assert!(usage.bytes >= taken(dir.path()).0);
        drop(store);
        // a smaller bound is soon kept too
        let config = Config { max_bytes: config.max_bytes / 4, max_files: max_files / 2, ..config };
        let store = Store::<Extension>::new(config.clone());
        poll(|| {
            let (bytes, count) = taken(dir.path());
            bytes <= config.max_bytes && count <= config.max_files
        });
        poll(|| store.usage().files == files(dir.path()).len() as u64 + 2);
    }
}

#[tokio::test]
async fn file_larger_than_the_store_evicts_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open_with(dir.path(), 16 * 4096);
    ask(&store, file("a", 1), b"one").await;
    let (_, found) = ask(&store, file("a", 2), &[7; 20 * 4096]).await;
    assert_eq!(found, Found::Made { stored: false });
    assert_eq!(ask(&store, file("a", 1), b"two").await.1, Found::Stored);
    assert!(store.is_writable());
}

#[tokio::test]
async fn used_files_survive_a_flood() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut store = open_with(dir.path(), 100 * 4096);
    let (mut hits, mut requests, mut flood) = (0, 0, 1000);
    for round in 0..12 {
        if round == 6 {
            drop(store);
            store = open_with(dir.path(), 100 * 4096);
            poll(|| store.usage().scanned == 1.0);
        }
        for hot in 0..20 {
            let (_, found) = ask(&store, file("hot", hot), body(hot)).await;
            if round >= 2 {
                requests += 1;
                hits += u32::from(matches!(found, Found::Stored));
            }
            for _ in 0..if round == 0 { 0 } else { 10 } {
                flood += 1;
                ask(&store, file("cold", flood), body(flood)).await;
            }
        }
        // uses are written down twice a second
        tokio::time::sleep(std::time::Duration::from_millis(if round == 5 { 1200 } else { 0 })).await;
    }
    assert!(hits * 100 >= requests * 95, "{hits} hits of {requests}");
}

#[tokio::test]
async fn purge_of_a_prefix_removes_files_of_unknown_originals_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    for name in ["cats/a", "cats/small/b", "cats2/c", "dogs/d", "cats"] {
        ask(&store, file(name, 1), b"one").await;
    }
    assert_eq!(store.purge(&Selection::Prefix("cats/")).len(), 2);
    assert_eq!(store.purge(&Selection::Prefix("cats/")).len(), 0);
    store.flush();
    assert_eq!(files(dir.path()).len(), 3);
    assert_eq!(ask(&store, file("cats/a", 1), b"two").await.1, MADE);
    assert_eq!(ask(&store, file("cats2/c", 1), b"two").await.1, Found::Stored);
    drop(store);
    // the last line is torn and the first is lost, as after a power loss
    let names = std::fs::read_to_string(dir.path().join("v2/names")).expect("names");
    assert_eq!(names, "cats/a\ncats/small/b\ncats2/c\ndogs/d\ncats\n");
    std::fs::write(dir.path().join("v2/names"), "cats2/c\ndogs/d\nca").expect("written");
    let store = open(dir.path());
    ask(&store, file("fish/e", 1), b"one").await;
    assert_eq!(store.purge(&Selection::Prefix("cats/")).len(), 2, "/cats/a, and /cats whose name is lost");
    assert_eq!(store.purge(&Selection::Prefix("fish/")).len(), 1);
    assert_eq!(store.purge(&Selection::Prefix("")).len(), 2);
    assert!(files(dir.path()).is_empty());
}

#[tokio::test]
async fn folder_is_locked_by_one_process_at_a_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = open(dir.path());
    ask(&first, file("a", 1), b"one").await;
    let second = open(dir.path());
    let (body, found) = ask(&second, file("a", 1), b"one").await;
    assert_eq!((&body.bytes[..], found), (&b"one"[..], Found::Made { stored: false }));
    assert_eq!(second.folder_state(), FolderState::InUse);
    assert!(!second.is_writable());
    drop(first);
    poll(|| second.usage().files > 0);
    assert_eq!(second.folder_state(), FolderState::Open);
    ask(&second, file("a", 2), b"two").await;
    second.flush();
    assert_eq!(files(dir.path()).len(), 2);
}

#[tokio::test]
async fn older_layout_is_evicted_first_and_newer_one_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let old = dir.path().join("v1");
    std::fs::create_dir_all(old.join("ab")).expect("made");
    for number in 0..20 {
        let name = layout::name(
            file("old", number).1,
            &layout::Record { digest: super::Digest::of(b"old"), length: 3, attributes: Extension::WebP },
        );
        std::fs::write(old.join("ab").join(name), b"old").expect("written");
    }
    std::fs::write(old.join("ab/notes"), b"mine").expect("written");
    let store = open_with(dir.path(), 32 * 4096);
    poll(|| store.usage().scanned == 1.0);
    assert_eq!(store.usage().files, 22);
    for number in 0..20 {
        ask(&store, file("a", number), body(number)).await;
    }
    store.flush();
    assert_eq!(files(&dir.path().join("v2")).len(), 20);
    let left = files(&old).len();
    assert!((1..=12).contains(&left), "{left}");
    assert!(old.join("ab/notes").exists());
    drop(store);

    std::fs::create_dir(dir.path().join("v3")).expect("made");
    let before = files(dir.path());
    let store = open(dir.path());
    assert_eq!(ask(&store, file("a", 1), b"one").await.0.bytes, &b"one"[..]);
    assert!(!store.is_writable());
    assert_eq!(files(dir.path()), before);
}

#[tokio::test]
async fn planted_links_and_devices_are_not_followed() {
    let secret = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(secret.path(), b"one").expect("written");
    let plants: [(&str, fn(&Path, &Path)); 4] = [
        ("a link to the same bytes", |path, secret| std::os::unix::fs::symlink(secret, path).expect("a link")),
        ("a fifo", |path, _| {
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).expect("a fifo");
        }),
        ("a folder", |path, _| std::fs::create_dir(path).expect("a folder")),
        ("a socket", |path, _| drop(std::os::unix::net::UnixListener::bind(path))),
    ];
    for (name, plant) in plants {
        for restart in [false, true] {
            let dir = tempfile::tempdir().expect("a folder");
            let mut store = open_with(dir.path(), 1 << 30);
            ask(&store, file("a", 1), b"one").await;
            store.flush();
            let path = files(dir.path()).remove(0);
            std::fs::remove_file(&path).expect("removed");
            // the path is too long for a socket's address
            let short = dir.path().join("plant");
            plant(&short, secret.path());
            std::fs::rename(&short, &path).expect("moved");
            if restart {
                drop(store);
                store = open_with(dir.path(), 1 << 30);
                poll(|| store.usage().scanned == 1.0);
            }
            let (body, found) = ask(&store, file("a", 1), b"one").await;
            assert_eq!(&body.bytes[..], b"one", "{name}");
            assert!(matches!(found, Found::Made { .. }), "{name}: {found:?}");
            store.flush();
        }
    }
    assert_eq!(std::fs::read(secret.path()).expect("still there"), b"one");
}

#[test]
fn world_writable_folder_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a folder");
    assert!(preflight::check_permissions(dir.path()).is_ok());
    assert!(preflight::check_permissions(&dir.path().join("not there")).is_ok());
    let mode = || std::fs::metadata(dir.path()).expect("there").permissions().mode() & 0o7777;
    let opened = || std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).expect("changed");
    // an empty one is closed to others
    opened();
    assert!(preflight::check_permissions(dir.path()).is_ok());
    assert_eq!(mode(), 0o755);
    std::fs::write(dir.path().join("anything"), b"planted").expect("written");
    opened();
    let reason = preflight::check_permissions(dir.path()).expect_err("it is not safe").to_string();
    assert!(reason.contains("0777"), "{reason}");
    let store = open(dir.path());
    assert!(!store.is_writable());
}

#[tokio::test]
async fn min_free_is_left_to_others() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = Config { dir: Some(dir.path().to_owned()), max_bytes: 1 << 30, max_files: 9, min_free: u64::MAX };
    let store = Store::<Extension>::new(config.clone());
    ask(&store, file("a", 1), b"one").await;
    store.flush();
    assert!(files(dir.path()).is_empty());
    poll(|| store.counters().not_stored.load(Ordering::Relaxed) == 1);
    // the folder itself is in order
    assert!(store.is_writable());
}

#[tokio::test]
async fn store_recovers_from_a_failed_write() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let staging = dir.path().join("v2/staging");
    std::fs::remove_dir_all(&staging).expect("removed");
    std::fs::write(&staging, b"in the way").expect("written");
    let (_, found) = ask(&store, file("a", 1), b"one").await;
    assert_eq!(found, Found::Made { stored: false });
    poll(|| !store.is_writable());
    std::fs::remove_file(&staging).expect("removed");
    std::fs::create_dir(&staging).expect("made");
    // without a request in between
    poll(|| store.is_writable());
    assert_eq!(ask(&store, file("a", 2), b"two").await.1, MADE);
    store.flush();
    assert_eq!(files(dir.path()).len(), 1);
}
