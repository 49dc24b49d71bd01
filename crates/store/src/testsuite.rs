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
async fn removed_staging_folder_is_made_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    ask(&store, file("a", 1), b"one").await;
    store.flush();
    std::fs::remove_dir_all(dir.path().join("v2/staging")).expect("removed");
    assert_eq!(ask(&store, file("a", 2), b"two").await.1, MADE);
    store.flush();
    assert_eq!(ask(&store, file("a", 2), b"two").await.1, Found::Stored);
    assert_eq!(store.opened(), Some(1), "by the write, and not by another opening");
}

#[tokio::test]
async fn file_of_another_length_is_removed_at_the_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    for number in 0..3 {
        ask(&store, file("a", number), body(number)).await;
    }
    drop(store);
    let short = files(dir.path()).into_iter().next().expect("a file");
    std::fs::File::options().write(true).open(&short).and_then(|file| file.set_len(10)).expect("shorter");
    let _store = open(dir.path());
    poll(|| files(dir.path()).len() == 2);
    assert!(!short.exists());
}

#[tokio::test]
async fn removed_folder_is_created_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    ask(&store, file("a", 1), b"one").await;
    assert_eq!(store.opened(), Some(1));
    std::fs::remove_dir_all(dir.path()).expect("removed");
    poll(|| dir.path().join("v2").exists());
    poll(|| store.is_writable());
    assert_eq!(store.opened(), Some(2));
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
    assert_eq!(store.purge(&Selection::Original("a")).keys.len(), 3);
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
    assert_eq!(store.purge(&Selection::Prefix("cats/")).keys.len(), 2);
    assert_eq!(store.purge(&Selection::Prefix("cats/")).keys.len(), 0);
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
    assert_eq!(store.purge(&Selection::Prefix("cats/")).keys.len(), 2, "/cats/a, and /cats whose name is lost");
    assert_eq!(store.purge(&Selection::Prefix("fish/")).keys.len(), 1);
    assert_eq!(store.purge(&Selection::Prefix("")).keys.len(), 2);
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

#[tokio::test]
async fn file_changed_after_its_verification_is_not_given_out() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    // a change within one clock tick shows in no file time, so what was changed so lately is read each time
    for (number, wait) in [(1, 30), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0)] {
        let (path, key) = file("a", number);
        ask(&store, (path, key), body(number)).await;
        store.flush();
        let own = files(dir.path()).into_iter().find(|file| file.to_string_lossy().contains(&key.to_hex()));
        let own = own.expect("a file");
        std::thread::sleep(std::time::Duration::from_millis(wait));
        let stored = store.file(key).await.expect("an intact file");
        assert_eq!(dir.path().join(stored.path), own);
        assert_eq!((stored.length, stored.digest), (4000, Digest::of(body(number))));
        std::fs::write(&own, body(number + 100)).expect("written");
        assert_eq!(store.file(key).await, None, "file {number} was changed after {wait} ms");
        assert_eq!(store.counters().corrupt.load(Ordering::Relaxed), u64::from(number));
        assert!(!own.exists());
    }
}

#[tokio::test]
async fn list_of_paths_shrinks_and_stays_complete() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = Config { dir: Some(dir.path().to_owned()), max_bytes: 1 << 30, max_files: 5000, min_free: 0 };
    let store = Store::<Extension>::new(config.clone());
    let one = object(b"one");
    let originals: Vec<String> =
        (0..1100).map(|number| format!("{}/{number}", if number % 110 == 0 { "keep" } else { "gone" })).collect();
    for path in &originals {
        assert!(store.put(path, Key::new(path, [0; 32]), &one).await, "{path}");
    }
    let recorded = || std::fs::read_to_string(dir.path().join("v2/names")).expect("names").lines().count();
    assert_eq!(recorded(), 1100);
    for path in originals.iter().filter(|path| path.starts_with("gone")) {
        assert_eq!(store.purge(&Selection::Original(path)).keys.len(), 1, "{path}");
    }
    poll(|| recorded() == 10);
    drop(store);
    let store = Store::<Extension>::new(config);
    store.put("other", Key::new("other", [0; 32]), &one).await;
    assert_eq!(store.purge(&Selection::Prefix("gone/")).keys.len(), 0);
    assert_eq!(store.purge(&Selection::Prefix("keep/")).keys.len(), 10);
    assert!(store.contains(Key::new("other", [0; 32])));
}

#[tokio::test]
async fn file_removed_right_after_the_start_does_not_come_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut store = open(dir.path());
    for number in 0..20 {
        ask(&store, file("a", number), b"one").await;
    }
    for number in 0..20 {
        store.flush();
        drop(store);
        store = open(dir.path());
        let (_, key) = file("a", number);
        store.remove(key);
        assert!(store.get(key).await.is_none(), "{number}");
        assert_eq!(files(dir.path()).len(), 19 - number as usize);
    }
}

#[tokio::test]
async fn file_removed_while_it_is_written_does_not_appear() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    for number in 0..50 {
        let (path, key) = file("a", number);
        store.put(path, key, &object(b"one")).await;
        store.remove(key);
        assert!(!store.contains(key) && store.get(key).await.is_none(), "{number}");
    }
    store.flush();
    assert!(files(dir.path()).is_empty());
    assert_eq!((store.usage().pending, store.counters().not_stored.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test]
async fn file_that_became_invalid_is_not_stored() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let (path, key) = file("a", 1);
    assert!(!store.put_if(path, key, &object(b"one"), || false).await);
    assert!(store.get(key).await.is_none());
    assert_eq!((store.usage().pending, store.counters().not_stored.load(Ordering::Relaxed)), (0, 0));
    assert!(store.put_if(path, key, &object(b"one"), || true).await);
    assert_eq!(store.get(key).await.expect("a file").bytes, &b"one"[..]);
}

#[tokio::test]
async fn older_files_that_cannot_be_removed_do_not_stop_eviction() {
    let dir = tempfile::tempdir().expect("a folder");
    let old = dir.path().join("v1/ab");
    std::fs::create_dir_all(&old).expect("made");
    let record = layout::Record { digest: super::Digest::of(b"old"), length: 3, attributes: Extension::WebP };
    let paths: Vec<_> = (0..10).map(|number| old.join(layout::name(file("old", number).1, &record))).collect();
    paths.iter().for_each(|path| std::fs::write(path, b"old").expect("written"));
    let store = open_with(dir.path(), 32 * 4096);
    poll(|| store.usage().scanned == 1.0);
    let mut number = 0;
    while store.counters().evicted.load(Ordering::Relaxed) == 0 {
        number += 1;
        assert_eq!(ask(&store, file("a", number), body(number)).await.1, MADE);
    }
    // the remaining ones, whose names are known by now, become folders, which unlink(2) does not remove
    for path in paths.iter().filter(|path| path.exists()) {
        std::fs::remove_file(path).expect("removed");
        std::fs::create_dir(path).expect("made");
    }
    for number in number + 1..number + 40 {
        assert_eq!(ask(&store, file("a", number), body(number)).await.1, MADE, "{number}");
    }
    store.flush();
    assert!(taken(dir.path()).0 <= 32 * 4096);
}

#[tokio::test]
async fn purge_that_cannot_remove_a_file_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    for name in ["a", "b"] {
        ask(&store, file(name, 1), b"one").await;
    }
    store.flush();
    let (_, key) = file("a", 1);
    let path = files(dir.path()).into_iter().find(|path| path.to_string_lossy().contains(&key.to_hex()));
    let path = path.expect("a file");
    // unlink(2) removes no folder
    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir(&path).expect("made");
    let purged = store.purge(&Selection::Original("a"));
    assert_eq!((purged.keys.len(), purged.undeleted, purged.unlisted), (1, 1, 0));
    assert_eq!(store.purge(&Selection::Original("a")).undeleted, 1, "it is still there");
    assert_eq!(store.purge(&Selection::Prefix("a")).undeleted, 1);
    assert_eq!(store.purge(&Selection::Original("b")).undeleted, 0, "another's");
    assert_eq!(store.undeleted(), 1);
    std::fs::remove_dir(&path).expect("removed");
    poll(|| store.undeleted() == 0);
    poll(|| store.usage().scanned == 1.0);
    assert_eq!((store.usage().bytes, store.usage().files), taken(dir.path()));
}

#[tokio::test]
async fn purge_of_a_folder_that_cannot_be_listed_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    ask(&store, file("a", 1), b"one").await;
    drop(store);
    let (_, key) = file("a", 1);
    let folder = dir.path().join("v2").join(layout::folder(key.first_byte() % layout::FAN_OUT));
    let aside = dir.path().join("aside");
    std::fs::rename(&folder, &aside).expect("moved");
    // a link is not followed
    std::os::unix::fs::symlink(&aside, &folder).expect("a link");
    let store = open(dir.path());
    let purged = store.purge(&Selection::Original("a"));
    assert_eq!((purged.keys.len(), purged.undeleted, purged.unlisted), (0, 0, 1));
    std::fs::remove_file(&folder).expect("removed");
    std::fs::rename(&aside, &folder).expect("moved");
    let purged = store.purge(&Selection::Original("a"));
    assert_eq!((purged.keys.len(), purged.undeleted, purged.unlisted), (1, 0, 0));
}

#[tokio::test]
async fn purge_of_several_originals_removes_their_files_only() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let names = ["a", "b", "c", "d"];
    for name in names {
        ask(&store, file(name, 1), b"one").await;
    }
    let purged = store.purge(&Selection::Originals(&["a", "c", "x"].into()));
    assert_eq!(purged.keys, [file("a", 1).1, file("c", 1).1].into());
    assert_eq!(names.map(|name| store.contains(file(name, 1).1)), [false, true, false, true]);
}

#[tokio::test]
async fn planted_link_to_a_folder_is_not_followed() {
    let (dir, elsewhere) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let store = open(dir.path());
    ask(&store, file("a", 1), b"one").await;
    store.flush();
    let (path, key) = file("a", 2);
    let folder = dir.path().join("v2").join(layout::folder(key.first_byte() % layout::FAN_OUT));
    // the files of the same names there belong to others
    let target = elsewhere.path().join("theirs");
    std::fs::rename(&folder, &target).expect("moved");
    std::os::unix::fs::symlink(&target, &folder).expect("a link");
    let there = files(&target);
    assert_eq!(there.len(), 1);
    store.put(path, key, &object(b"two")).await;
    store.flush();
    assert_eq!(files(&target), there, "nothing is written there");
    let purged = store.purge(&Selection::Original("a"));
    assert_eq!((purged.keys.len(), purged.undeleted), (1, 1));
    assert_eq!(files(&target), there, "nor removed");
}
