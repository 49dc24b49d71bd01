//! Equal bodies share one inode: its space, and purges, evictions and damage of its links.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::testing::*;
use super::*;

/// Two blocks.
const BODY: &[u8] = &[7; 6000];

fn inode(path: &Path) -> u64 {
    std::fs::metadata(path).expect("a file").ino()
}

fn inodes(dir: &Path) -> HashSet<u64> {
    files(dir).iter().map(|path| inode(path)).collect()
}

/// The used space, once it is complete.
fn settled(store: &Store<Extension>) -> (u64, u64) {
    store.flush();
    poll(|| store.usage().scanned == 1.0);
    let usage = store.usage();
    (usage.bytes, usage.files)
}

/// The path of one file.
fn file_of(dir: &Path, name: &'static str, number: u32) -> PathBuf {
    let key = file(name, number).1.to_hex();
    let is_it = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&key));
    files(dir).into_iter().find(is_it).expect("it is there")
}

#[tokio::test]
async fn equal_bodies_are_one_file_and_counted_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    ask(&store, file("a", 0), BODY).await;
    let (one, _) = settled(&store);
    // some are linked to a file that is in place, some to one that is staged yet
    for number in 1..20 {
        assert_eq!(ask(&store, file(["a", "b", "c"][number as usize % 3], number), BODY).await.1, MADE);
    }
    assert_eq!(ask(&store, file("d", 1), b"another").await.1, MADE);
    let (bytes, count) = settled(&store);
    assert_eq!(inodes(dir.path()).len(), 2);
    assert_eq!((bytes, count), taken(dir.path()));
    assert_eq!((bytes, count), (one + 4096, 21 + 2));
    assert_eq!(store.usage().bodies, 2);
    let stats = store.counters();
    assert_eq!((stats.stored.load(Ordering::Relaxed), stats.linked.load(Ordering::Relaxed)), (21, 19));
    drop(store);
    let store = open(dir.path());
    assert_eq!(settled(&store), (bytes, count), "a restart counts as before");
    assert_eq!(store.usage().bodies, 2);
    assert_eq!(ask(&store, file("b", 1), b"new").await.0.bytes, BODY);
}

#[tokio::test]
async fn equal_bodies_with_different_attributes_share_a_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open_with(dir.path(), 1 << 30);
    for (number, attributes) in [(1, Extension::WebP), (2, Extension::Json)] {
        let (path, key) = file("a", number);
        assert!(store.put(path, key, &Arc::new(Object { attributes, ..(*object(BODY)).clone() })).await);
    }
    assert_eq!(settled(&store), taken(dir.path()));
    assert_eq!((files(dir.path()).len(), inodes(dir.path()).len()), (2, 1));
    for (number, attributes) in [(1, Extension::WebP), (2, Extension::Json)] {
        let (object, found) = ask(&store, file("a", number), b"new").await;
        assert_eq!((object.attributes, found), (attributes, Found::Stored));
    }
}

#[tokio::test]
async fn equal_bodies_stored_concurrently_are_one_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Arc::new(open(dir.path()));
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { ask(&store, file("a", number), BODY).await.1 })
        })
        .collect();
    for one in tasks {
        assert_eq!(one.await.expect("no panic"), MADE);
    }
    assert_eq!(settled(&store), taken(dir.path()));
    assert_eq!((files(dir.path()).len(), inodes(dir.path()).len()), (50, 1));
}

#[tokio::test]
async fn purge_of_one_original_leaves_the_body_to_others() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open_with(dir.path(), 1 << 30);
    for (name, number) in [("a", 1), ("a", 2), ("b", 1)] {
        ask(&store, file(name, number), BODY).await;
    }
    let (bytes, _) = settled(&store);
    assert_eq!(store.purge(&Selection::Original("a")).keys.len(), 2);
    assert_eq!(settled(&store), (bytes, 3), "the body is there");
    assert_eq!(ask(&store, file("b", 1), b"new").await.1, Found::Stored);
    assert_eq!(ask(&store, file("a", 1), BODY).await.1, MADE);
    assert_eq!(settled(&store), (bytes, 4));
    assert_eq!(inodes(dir.path()).len(), 1);
    assert_eq!(store.purge(&Selection::Prefix("")).keys.len(), 2);
    let (after, count) = settled(&store);
    // the names of the originals take a block
    assert_eq!((after, count), (4096, 2));
    assert_eq!((after, count), taken(dir.path()));
}

#[tokio::test]
async fn eviction_frees_a_body_with_its_last_name() {
    let dir = tempfile::tempdir().expect("a folder");
    // room for five bodies of eight blocks
    let store = open_with(dir.path(), 48 * 4096);
    const SHARED: &[u8] = &[1; 30_000];
    let alone: [&'static [u8]; 8] = std::array::from_fn(|number| &*vec![number as u8 + 2; 30_000].leak());
    for number in 0..6 {
        ask(&store, file("shared", number), SHARED).await;
    }
    for (number, body) in (0..).zip(alone) {
        ask(&store, file("alone", number), body).await;
        let (bytes, count) = settled(&store);
        assert_eq!((bytes, count), taken(dir.path()));
        assert!(bytes <= 48 * 4096);
    }
    // the first names gave nothing, so all had to go before the first of the others
    assert!(files(dir.path()).len() >= 4, "{:?}", files(dir.path()));
    assert_eq!(inodes(dir.path()).len(), files(dir.path()).len());
}

#[tokio::test]
async fn bounds_hold_with_shared_bodies() {
    let bodies: [&'static [u8]; 5] = std::array::from_fn(|number| &*vec![number as u8; 4096 * (number + 1)].leak());
    for (max_blocks, max_files) in [(24, 1000), (1000, 14)] {
        let dir = tempfile::tempdir().expect("a folder");
        let max_bytes = max_blocks * 4096;
        let config = super::Config { dir: Some(dir.path().to_owned()), max_bytes, max_files, min_free: 0 };
        let store = Store::<Extension>::new(config.clone());
        for number in 0..200_u32 {
            let body = bodies[(number * number / 7) as usize % 5];
            assert_eq!(ask(&store, file("a", number), body).await.1, MADE);
            let (bytes, count) = taken(dir.path());
            assert!(bytes <= max_bytes && count <= max_files, "{bytes} bytes, {count} files");
        }
        assert_eq!(settled(&store), taken(dir.path()));
    }
}

#[tokio::test]
async fn flood_of_equal_bodies_leaves_room_for_others() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open_with(dir.path(), 64 * 4096);
    // names alone would fill the folders up to the bound
    for number in 0..2500 {
        ask(&store, file("a", number), BODY).await;
    }
    let (bytes, count) = settled(&store);
    assert!(bytes <= 16 * 4096 && count <= 66, "{bytes} bytes, {count} files");
    assert_eq!(ask(&store, file("b", 1), &[9; 120_000]).await.1, MADE);
    assert_eq!(settled(&store), taken(dir.path()));
    assert_eq!(ask(&store, file("b", 1), b"new").await.1, Found::Stored);
}

#[tokio::test]
async fn equal_files_that_are_not_linked_are_counted_each() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    for number in 0..3 {
        ask(&store, file("a", number), BODY).await;
    }
    let (bytes, count) = settled(&store);
    drop(store);
    // as a copy of the folder by a tool that does not keep links
    let path = file_of(dir.path(), "a", 1);
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&path, BODY).expect("written");
    let store = open(dir.path());
    assert_eq!(settled(&store), (bytes + 2 * 4096, count));
    assert_eq!(settled(&store), taken(dir.path()));
    // each gives back its own
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(ask(&store, file("a", 1), BODY).await.1, MADE);
    assert_eq!(settled(&store), (bytes, count));
}

#[tokio::test]
async fn damaged_file_is_never_linked_to() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open_with(dir.path(), 1 << 30);
    for number in 0..3 {
        ask(&store, file("a", number), BODY).await;
    }
    store.flush();
    let damaged = inode(&file_of(dir.path(), "a", 0));
    std::fs::write(file_of(dir.path(), "a", 0), [8; 6000]).expect("written");
    // the first to be read shows it; made again, it is a file of its own
    assert_eq!(ask(&store, file("a", 0), BODY).await.1, MADE);
    store.flush();
    assert_ne!(inode(&file_of(dir.path(), "a", 0)), damaged);
    // a new file of that body, and the others once they have been read, are links to the new one
    for number in 1..4 {
        let (body, found) = ask(&store, file("a", number), BODY).await;
        assert_eq!((&body.bytes[..], found), (BODY, MADE));
    }
    let (bytes, count) = settled(&store);
    assert_eq!((inodes(dir.path()).len(), files(dir.path()).len()), (1, 4));
    assert!(!inodes(dir.path()).contains(&damaged));
    assert_eq!((bytes, count), taken(dir.path()));
    assert_eq!(store.counters().corrupt.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn file_is_verified_before_it_is_linked_to() {
    for damaged in [&b"cut"[..], &[8; 6000], &[7; 6001]] {
        let dir = tempfile::tempdir().expect("a folder");
        let store = open_with(dir.path(), 1 << 30);
        ask(&store, file("a", 0), BODY).await;
        store.flush();
        std::fs::write(file_of(dir.path(), "a", 0), damaged).expect("written");
        ask(&store, file("a", 1), BODY).await;
        store.flush();
        assert_eq!(ask(&store, file("a", 1), b"new").await.1, Found::Stored);
        assert_eq!(store.counters().corrupt.load(Ordering::Relaxed), 1);
        assert_eq!(settled(&store), taken(dir.path()));
    }
}

#[tokio::test]
async fn missing_file_is_written_instead_of_linked_to() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open_with(dir.path(), 1 << 30);
    ask(&store, file("a", 0), BODY).await;
    store.flush();
    std::fs::remove_file(file_of(dir.path(), "a", 0)).expect("removed");
    assert_eq!(ask(&store, file("a", 1), BODY).await.1, MADE);
    store.flush();
    assert_eq!(ask(&store, file("a", 1), b"new").await.1, Found::Stored);
}

#[tokio::test]
async fn staged_links_are_recovered_after_a_kill() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    for number in 0..3 {
        ask(&store, file("a", number), BODY).await;
    }
    let (bytes, count) = settled(&store);
    drop(store);
    let staging = dir.path().join("v2/staging");
    // one that was not renamed, and one that has its name already, which renaming would leave alone
    let (moved, doubled) = (file_of(dir.path(), "a", 0), file_of(dir.path(), "a", 1));
    let staged = |number: u32, path: &Path| {
        staging.join(format!("{number:x}-{}", path.file_name().expect("a name").to_string_lossy()))
    };
    std::fs::rename(&moved, staged(1, &moved)).expect("moved");
    std::fs::hard_link(&doubled, staged(2, &doubled)).expect("linked");
    let store = open(dir.path());
    assert_eq!(settled(&store), (bytes, count));
    assert_eq!(settled(&store), taken(dir.path()));
    assert!(files(&staging).is_empty());
    assert_eq!(inodes(dir.path()).len(), 1);
    for number in 0..3 {
        assert!(!matches!(ask(&store, file("a", number), b"new").await.1, Found::Made { .. }));
    }
}

#[tokio::test]
async fn stats_counts_shared_bodies_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    for (name, number) in [("a", 1), ("a", 2), ("b", 1)] {
        ask(&store, file(name, number), BODY).await;
    }
    ask(&store, file("b", 2), b"another").await;
    let (bytes, _) = settled(&store);
    let stats = stats::folder_stats::<Extension>(dir.path()).expect("it can be read");
    // it counts the two folders, and not the block that the names of the originals take
    assert_eq!((stats.entries, stats.bytes), (4, bytes + 4096));
    assert_eq!((stats.shared, stats.sharing, stats.length), (1, 3, 6007));
    let of = |name: &str| {
        let share = stats.originals.iter().find(|share| share.path.as_deref() == Some(name)).expect("a share");
        (share.entries, share.bytes)
    };
    assert_eq!((of("a"), of("b")), ((2, 2 * 4096), (2, 3 * 4096)));
    // damage shows under every name
    std::fs::write(file_of(dir.path(), "a", 1), [8; 6000]).expect("written");
    let (sound, damaged) = stats::verify::<Extension>(dir.path(), |_, _| {}).expect("it can be read");
    assert_eq!((sound, damaged.len()), (1, 3));
    assert!(
        damaged
            .iter()
            .all(|entry| layout::parse::<Extension>(entry.path.rsplit('/').next().expect("a name")).is_some())
    );
}
