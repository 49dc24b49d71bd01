//! Statistics and verification of a folder that has more in it than the store's files.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::testing::*;
use crate::stats::{folder_stats, verify};

/// A folder with three files of 4000 bytes, which no store has open.
async fn folder() -> (tempfile::TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    for number in 0..3 {
        ask(&store, file("a", number), body(number)).await;
    }
    drop(store);
    let mut stored = files(dir.path());
    stored.sort();
    assert_eq!(stored.len(), 3);
    (dir, stored)
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).expect("a name")
}

fn last_used(path: &Path, ago: u64) {
    let file = std::fs::File::options().write(true).open(path).expect("it is there");
    file.set_modified(SystemTime::now() - Duration::from_secs(ago)).expect("its time is set");
}

#[tokio::test]
async fn files_of_others_and_staged_ones_are_counted_apart() {
    let (dir, stored) = folder().await;
    let layout = dir.path().join("v2");
    let fan_out = stored[0].parent().expect("a folder");
    let write = |path: PathBuf| std::fs::write(path, b"text").expect("written");
    let before = folder_stats::<Extension>(dir.path()).expect("it can be read");
    assert_eq!((before.entries, before.length, before.foreign, before.staged), (3, 12_000, 0, 0));
    assert_eq!((before.shared, before.sharing), (0, 0));

    write(fan_out.join("another"));
    // where its key does not belong
    let elsewhere = layout.join("3f").join(name(&stored[0]));
    std::fs::create_dir_all(layout.join("3f")).expect("made");
    assert_ne!(fan_out.file_name().expect("a name"), "3f");
    write(elsewhere);
    std::fs::create_dir(fan_out.join(name(&stored[0]).replace("webp", "part.json"))).expect("made");
    for other in ["another", "1-another", "x-0"] {
        write(layout.join("staging").join(other));
    }
    for number in 1..=2 {
        write(layout.join("staging").join(format!("{number:x}-{}", name(&stored[1]))));
    }
    for (path, ago) in stored.iter().zip([100, 3000, 20]) {
        last_used(path, ago);
    }
    let stats = folder_stats::<Extension>(dir.path()).expect("it can be read");
    assert_eq!((stats.entries, stats.length, stats.foreign, stats.staged), (3, 12_000, 6, 2));
    let (first, last) = stats.ages.expect("there are files");
    assert!((3000..3010).contains(&first.as_secs()) && (20..30).contains(&last.as_secs()), "{first:?} {last:?}");
    assert_eq!(stats.originals.len(), 1);
    assert_eq!((stats.originals[0].entries, stats.originals[0].bytes), (3, 3 * 4096));
}

#[tokio::test]
async fn originals_are_in_the_order_of_their_space() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    for (path, count) in [("c", 1), ("b", 2), ("d", 1), ("a", 1)] {
        for number in 0..count {
            let seed = number + 10 * u32::from(path.as_bytes()[0]);
            ask(&store, file(path, number), body(seed)).await;
        }
    }
    drop(store);
    let stats = folder_stats::<Extension>(dir.path()).expect("it can be read");
    let order: Vec<_> = stats.originals.iter().map(|share| share.path.as_deref().expect("its path")).collect();
    assert_eq!(order, ["b", "a", "c", "d"]);
    assert!(folder_stats::<Extension>(&dir.path().join("none")).is_err());
}

#[tokio::test]
async fn folder_that_cannot_be_listed_is_an_error() {
    let (dir, stored) = folder().await;
    let layout = dir.path().join("v2");
    let missing = (0..64)
        .map(|number| layout.join(format!("{number:02x}")))
        .find(|folder| !stored.iter().any(|path| path.starts_with(folder)));
    let missing = missing.expect("an empty fan-out folder");
    // it is made with its first file
    let _ = std::fs::remove_dir(&missing);
    assert_eq!(folder_stats::<Extension>(dir.path()).expect("it can be read").entries, 3);
    std::fs::write(&missing, b"no folder").expect("written");
    assert!(folder_stats::<Extension>(dir.path()).is_err());
    assert!(verify::<Extension>(dir.path(), |_, _| {}).is_err());
}

#[tokio::test]
async fn damage_is_described() {
    let (dir, stored) = folder().await;
    std::fs::write(&stored[0], [7; 4000]).expect("written");
    std::fs::write(&stored[1], [7; 3999]).expect("written");
    let mut calls = Vec::new();
    let found = verify::<Extension>(dir.path(), |done, all| calls.push((done, all)));
    let (intact, damaged) = found.expect("it can be read");
    assert_eq!((intact, calls), (1, vec![(0, 3), (1, 3), (2, 3), (3, 3)]));
    let reason = |path: &Path| {
        let entry = damaged.iter().find(|entry| dir.path().join(&entry.path) == path);
        entry.map(|entry| entry.reason.as_str())
    };
    assert_eq!(reason(&stored[0]), Some("its bytes are not those that were written"));
    assert_eq!(reason(&stored[1]), Some("it has 3999 bytes and should have 4000"));
    assert_eq!(reason(&stored[2]), None);
}
