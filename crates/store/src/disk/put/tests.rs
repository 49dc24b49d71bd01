//! The queue of files that wait to be staged: its bounds, and that a refused file costs no other.

use bytes::Bytes;

use super::super::QUEUE;
use super::*;
use crate::testing::{Extension, body, file, object, poll};
use crate::{Config, Counters};

fn open(dir: &std::path::Path) -> Arc<Disk<Extension>> {
    let config = Config { dir: None, max_bytes: 1 << 30, max_files: 10_000, min_free: 0 };
    let disk = Arc::new(Disk::open(dir, &config, Arc::default()).expect("a folder"));
    poll(|| disk.usage().scanned == 1.0);
    disk
}

fn not_stored(Counters { not_stored, .. }: &Counters) -> u64 {
    not_stored.load(Ordering::Relaxed)
}

#[tokio::test]
async fn second_put_of_a_key_does_not_lose_the_first() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = open(dir.path());
    let (path, key) = file("a", 0);
    {
        // the staging thread waits for space in flight, and its queue fills
        lock(&disk.shared.in_flight).files = disk.shared.max_in_flight.files;
        let mut puts = tokio::task::JoinSet::new();
        for number in 0..=QUEUE as u32 {
            let disk = Arc::clone(&disk);
            puts.spawn(async move {
                let (path, key) = file("a", number);
                disk.put(path, key, &object(body(number))).await
            });
        }
        while let Some(stored) = puts.join_next().await {
            assert!(!stored.expect("no panic"), "not within a quarter of a second");
        }
        // one is with the staging thread, and the queue may have room for another
        disk.put("b", file("b", 0).1, &object(b"one")).await;
        let before = not_stored(&disk.shared.counters);
        assert!(!disk.put(path, key, &object(b"another")).await);
        assert_eq!(not_stored(&disk.shared.counters), before + 1, "refused at once");
        lock(&disk.shared.in_flight).files = 0;
        disk.shared.in_flight_released.notify_all();
    }
    disk.flush();
    assert_eq!(disk.get(key).await.expect("the first put is stored").bytes, body(0));
    assert_eq!(disk.usage().pending, 0);
}

#[tokio::test]
async fn bytes_that_wait_to_be_staged_are_bounded() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = open(dir.path());
    let bytes = Bytes::from(vec![7; 40 << 20]);
    let large = Arc::new(Object { digest: Digest::of(&bytes), bytes, attributes: Extension::WebP });
    lock(&disk.shared.in_flight).files = disk.shared.max_in_flight.files;
    for (number, refused) in [(1, 0), (2, 1)] {
        let (path, key) = file("a", number);
        assert!(!disk.put(path, key, &large).await);
        assert_eq!(not_stored(&disk.shared.counters), refused, "file {number}");
    }
    lock(&disk.shared.in_flight).files = 0;
    disk.shared.in_flight_released.notify_all();
    disk.flush();
    assert!(disk.contains(file("a", 1).1) && !disk.contains(file("a", 2).1));
    assert_eq!(disk.usage().pending, 0);
}
