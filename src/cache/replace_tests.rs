//! Replaced renditions: in memory, on disk and after a restart, and what was removed does not come back.

use std::sync::Arc;

use super::testsuite::{ask, encoded, files, open, open_with, rendition};
use super::*;

fn upgraded(text: &[u8]) -> Body {
    Body { upgrade: Some(Upgrade::Balanced), ..Body::new(encoded(text)) }
}

async fn text(cache: &Arc<Cache<&'static str>>, number: u32) -> (Vec<u8>, Found) {
    let (body, found) = ask(cache, rendition("/a", number), b"new").await.expect("made");
    (body.bytes.to_vec(), found)
}

#[tokio::test]
async fn replaced_rendition_is_served_from_memory_and_disk() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open(dir.path());
    let (id, key) = rendition("/a", 1);
    for expected in [testsuite::MADE, Found::Disk, Found::Memory] {
        assert_eq!(ask(&cache, rendition("/a", 1), b"first").await.expect("made").1, expected);
    }
    cache.flush();
    let uses = cache.in_memory(key).expect("a hit").uses;
    assert!(cache.replace(&id, key, Digest::of(b"first"), upgraded(b"1st")).await);
    let hit = cache.in_memory(key).expect("still in memory");
    assert_eq!((&hit.body.bytes[..], hit.body.upgrade, hit.uses), (&b"1st"[..], Some(Upgrade::Balanced), uses + 1));
    drop(cache);
    let cache = open(dir.path());
    let entry = cache.entry(key).expect("on disk");
    assert_eq!((entry.length, entry.digest, entry.upgrade), (3, Digest::of(b"1st"), Some(Upgrade::Balanced)));
    assert_eq!(text(&cache, 1).await, (b"1st".to_vec(), Found::Disk));
}

#[tokio::test]
async fn rendition_is_replaced_in_memory_alone() {
    let cache = Arc::new(Cache::new(&Config { dir: None, max_bytes: 0, max_files: 0, min_free: 0, memory: 1 << 20 }));
    let (id, key) = rendition("/a", 1);
    assert!(!cache.replace(&id, key, Digest::of(b"first"), upgraded(b"1st")).await, "there is none");
    ask(&cache, rendition("/a", 1), b"first").await.expect("made");
    assert!(!cache.replace(&id, key, Digest::of(b"other"), upgraded(b"1st")).await, "it is another");
    assert!(cache.replace(&id, key, Digest::of(b"first"), upgraded(b"1st")).await);
    assert_eq!(text(&cache, 1).await, (b"1st".to_vec(), Found::Memory));
    cache.purge(&Purge::Original(id.clone()));
    assert!(!cache.replace(&id, key, Digest::of(b"1st"), upgraded(b"1")).await, "it was purged");
    assert!(cache.entry(key).is_none());
}

#[tokio::test]
async fn purged_rendition_does_not_come_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open(dir.path());
    let (id, key) = rendition("/a", 1);
    for _ in 0..3 {
        ask(&cache, rendition("/a", 1), b"first").await.expect("made");
    }
    // the upgrade began with this one
    let current = cache.entry(key).expect("stored").digest;
    assert_eq!(cache.purge(&Purge::Original(id.clone())).renditions, 1);
    assert!(!cache.replace(&id, key, current, upgraded(b"1st")).await);
    assert!(!cache.mark(&id, key, current, Upgrade::Balanced).await);
    cache.flush();
    assert!(cache.entry(key).is_none() && cache.in_memory(key).is_none());
    assert_eq!(files(dir.path()).len(), 0);
    // rendered again, with other bytes
    assert_eq!(text(&cache, 1).await, (b"new".to_vec(), testsuite::MADE));
    assert!(!cache.replace(&id, key, current, upgraded(b"1st")).await);
    assert_eq!(text(&cache, 1).await.0, b"new");
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_at_any_moment_leaves_nothing_in_memory() {
    for dir in [Some(tempfile::tempdir().expect("a folder")), None] {
        let cache = match &dir {
            Some(dir) => open(dir.path()),
            None => {
                Arc::new(Cache::new(&Config { dir: None, max_bytes: 0, max_files: 0, min_free: 0, memory: 1 << 20 }))
            }
        };
        let (id, key) = rendition("/a", 1);
        let mut replaced = [0; 2];
        for round in 0..100_u32 {
            for _ in 0..3 {
                ask(&cache, rendition("/a", 1), b"first").await.expect("made");
            }
            cache.flush();
            // the purge comes ever later, and the replacement ever earlier
            let wait = |spins: u32| (0..spins * 1000).for_each(|_| std::hint::spin_loop());
            let purge = std::thread::spawn({
                let (cache, id) = (Arc::clone(&cache), id.clone());
                move || {
                    wait(round);
                    cache.purge(&Purge::Original(id))
                }
            });
            wait(100 - round);
            let is_replaced = cache.replace(&id, key, Digest::of(b"first"), upgraded(b"1st")).await;
            replaced[usize::from(is_replaced)] += 1;
            purge.join().expect("no panic");
            assert!(cache.in_memory(key).is_none() && cache.entry(key).is_none(), "{round}");
        }
        // otherwise nothing was raced
        assert!(replaced[0] > 0 && replaced[1] > 0, "{replaced:?}");
    }
}

#[tokio::test]
async fn kept_rendition_is_marked_also_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let (id, key) = rendition("/a", 1);
    // in memory as well, and on disk alone
    for asked in [3, 1] {
        let cache = open(dir.path());
        for _ in 0..asked {
            ask(&cache, rendition("/a", 1), b"first").await.expect("made");
        }
        cache.flush();
        let current = cache.entry(key).expect("stored").digest;
        assert!(cache.mark(&id, key, current, Upgrade::Dense).await);
        if let Some(hit) = cache.in_memory(key) {
            assert_eq!(hit.body.upgrade, Some(Upgrade::Dense));
        }
        drop(cache);
        let cache = open(dir.path());
        let entry = cache.entry(key).expect("stored");
        assert_eq!((entry.digest, entry.upgrade), (current, Some(Upgrade::Dense)));
        assert_eq!(files(dir.path()).len(), 1);
        cache.purge(&Purge::Original(id.clone()));
    }
}

#[tokio::test]
async fn read_of_a_former_file_does_not_stay_in_memory() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open_with(dir.path(), 1 << 30, 1 << 20);
    let (id, key) = rendition("/a", 1);
    for _ in 0..3 {
        ask(&cache, rendition("/a", 1), b"first").await.expect("made");
    }
    cache.flush();
    // as if it had been put into memory after the replacement
    let object = Body::new(encoded(b"1st")).object();
    assert!(cache.store.replace(id.as_str(), key, Digest::of(b"first"), &Arc::new(object)).await);
    cache.drop_replaced(key);
    assert!(cache.in_memory(key).is_none());
    assert_eq!(text(&cache, 1).await, (b"1st".to_vec(), Found::Disk));
}
