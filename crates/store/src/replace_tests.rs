//! Replacing a file: other bytes or other attributes under its key, and nothing that was removed comes back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::testing::*;
use super::*;

/// The bytes of the only file in a folder, and its name after the digest.
fn only(dir: &Path) -> (Vec<u8>, String) {
    let files = files(dir);
    assert_eq!(files.len(), 1, "{files:?}");
    let name = files[0].file_name().expect("a name").to_string_lossy().into_owned();
    (std::fs::read(&files[0]).expect("a file"), name[130..].to_owned())
}

#[tokio::test]
async fn replaced_file_has_new_bytes_also_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let (path, key) = file("a", 1);
    ask(&store, (path, key), b"first").await;
    store.flush();
    let better = Arc::new(Object { attributes: Extension::Json, ..(*object(b"1st")).clone() });
    assert!(store.replace(path, key, Digest::of(b"first"), &better).await);
    // before and after it has its final name
    for _ in 0..2 {
        let entry = store.entry(key).expect("an entry");
        assert_eq!((entry.length, entry.digest, entry.attributes), (3, better.digest, Extension::Json));
        assert_eq!(store.get(key).await.expect("a file").bytes, &b"1st"[..]);
        store.flush();
    }
    assert_eq!(only(dir.path()), (b"1st".to_vec(), "3.part.json".into()));
    poll(|| store.usage().scanned == 1.0);
    assert_eq!((store.usage().bytes, store.usage().files), taken(dir.path()));
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.get(key).await.expect("a file").attributes, Extension::Json);
}

#[tokio::test]
async fn attributes_are_replaced_without_other_bytes() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let (path, key) = file("a", 1);
    ask(&store, (path, key), b"same").await;
    store.flush();
    let marked = Arc::new(Object { attributes: Extension::Json, ..(*object(b"same")).clone() });
    assert!(store.replace(path, key, Digest::of(b"same"), &marked).await);
    store.flush();
    assert_eq!(only(dir.path()), (b"same".to_vec(), "4.part.json".into()));
    poll(|| store.usage().scanned == 1.0);
    assert_eq!((store.usage().bytes, store.usage().files), taken(dir.path()));
}

#[tokio::test]
async fn file_that_is_not_the_expected_one_is_not_replaced() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    let (path, key) = file("a", 1);
    assert!(!store.replace(path, key, Digest::of(b"one"), &object(b"1")).await, "there is none");
    ask(&store, (path, key), b"two").await;
    store.flush();
    assert!(!store.replace(path, key, Digest::of(b"one"), &object(b"1")).await, "it is another");
    store.purge(&Selection::Original("a"));
    assert!(!store.replace(path, key, Digest::of(b"two"), &object(b"2")).await, "it was purged");
    store.flush();
    assert_eq!(files(dir.path()).len(), 0);
    assert_eq!((store.usage().pending, store.counters().not_stored.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_at_any_moment_of_a_replacement_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Arc::new(open(dir.path()));
    let (path, key) = file("a", 1);
    let mut replaced = [0; 2];
    for round in 0..200_u32 {
        ask(&store, (path, key), b"first").await;
        if round % 2 == 0 {
            store.flush();
        }
        // the purge comes ever later, and the replacement ever earlier
        let wait = |spins: u32| (0..spins * 50).for_each(|_| std::hint::spin_loop());
        let purge = std::thread::spawn({
            let store = Arc::clone(&store);
            move || {
                wait(round);
                store.purge(&Selection::Original("a"))
            }
        });
        wait(200 - round);
        let is_replaced = store.replace(path, key, Digest::of(b"first"), &object(b"1st")).await;
        replaced[usize::from(is_replaced)] += 1;
        purge.join().expect("no panic");
        assert_eq!(store.entry(key), None, "{round}");
        store.flush();
        assert_eq!(files(dir.path()).len(), 0, "{round}");
    }
    // otherwise nothing was raced
    assert!(replaced[0] > 0 && replaced[1] > 0, "{replaced:?}");
    poll(|| store.usage().scanned == 1.0);
    assert_eq!((store.usage().bytes, store.usage().files), taken(dir.path()));
}
