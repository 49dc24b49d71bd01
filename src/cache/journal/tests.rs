//! The journal over a bucket in memory: entries of several servers, clocks that differ, foreign objects, failures.

use std::time::Duration;

use super::*;
use crate::bucket::memory::{Faults, MemoryBucket};

fn original(name: &str) -> Purge {
    Purge::Original(ImageId::of(name).expect("a name"))
}

/// The selection of a purge, as text.
fn text(purge: &Purge) -> String {
    match purge {
        Purge::Original(id) => id.as_str().to_owned(),
        Purge::Folder(prefix) => format!("{prefix}*"),
    }
}

/// Reads the journal to its end, as a server does that applies what it finds.
async fn read(journal: &Journal) -> String {
    let unread = journal.unread().await.expect("the bucket answers");
    let purges: Vec<String> = unread.purges.iter().map(|(_, purge)| text(purge)).collect();
    journal.applied(unread);
    purges.join(" ")
}

/// Puts an object as another server, or anyone, would.
async fn put(bucket: &MemoryBucket, name: &str, body: &str) {
    let object = NewObject {
        bytes: body.to_owned().into(),
        media_type: "application/json",
        cache_control: None,
        metadata: Vec::new(),
    };
    bucket.put(name, object, Condition::None).await.expect("put");
}

/// Puts an entry of a server whose clock shows that time.
async fn put_at(bucket: &MemoryBucket, position: Position, name: &str) {
    let body = serde_json::to_string(&Entry::of(&original(name))).expect("JSON");
    put(bucket, &format!("{}-other", position.name()), &body).await;
}

fn journals() -> (Arc<MemoryBucket>, Journal, Journal) {
    let bucket = Arc::<MemoryBucket>::default();
    let journal = || Journal::new(Arc::clone(&bucket) as Arc<dyn Bucket>);
    let (one, other) = (journal(), journal());
    (bucket, one, other)
}

#[tokio::test]
async fn entry_is_applied_once_by_every_other_server() {
    let (_, one, other) = journals();
    drop(one.write(&original("a/ü \"b\".jpg")).await.expect("written"));
    drop(one.write(&Purge::Folder("cats/".into())).await.expect("written"));
    drop(one.write(&Purge::Folder(String::new())).await.expect("written"));
    assert_eq!(read(&other).await, "a/ü \"b\".jpg cats/* *");
    drop(other.write(&original("b.jpg")).await.expect("written"));
    assert_eq!(read(&one).await, "b.jpg", "its own are not applied again");
    for _ in 0..2 * LONG_EVERY {
        assert_eq!((read(&one).await, read(&other).await), (String::new(), String::new()));
    }
    let counts = |journal: &Journal| {
        let Counters { written, applied, skipped } = journal.counters();
        [written, applied, skipped].map(|counter| counter.load(Ordering::Relaxed))
    };
    assert_eq!((counts(&one), counts(&other)), ([3, 1, 0], [1, 3, 0]));
}

#[tokio::test]
async fn entries_of_clocks_that_differ_are_found() {
    let (bucket, journal, _) = journals();
    let now = Position::now();
    journal.resume(now.before(Duration::from_secs(3600)));
    assert_eq!(read(&journal).await, "");
    put_at(&bucket, now.before(Duration::from_secs(30)), "slow.jpg").await;
    put_at(&bucket, Position(now.0 + 30_000_000_000), "fast.jpg").await;
    assert_eq!(read(&journal).await, "slow.jpg fast.jpg");
    // a clock that is minutes behind: within as many listings as a minute has
    put_at(&bucket, now.before(Duration::from_secs(300)), "slower.jpg").await;
    let mut found = Vec::new();
    for _ in 0..LONG_EVERY {
        found.push(read(&journal).await);
    }
    assert_eq!(found.concat(), "slower.jpg");
}

#[tokio::test]
async fn objects_that_are_no_entries_are_skipped_and_counted_once() {
    let (bucket, journal, _) = journals();
    let name = |server: &str| format!("{}-{server}", Position::now().name());
    let valid = r#"{"version":1,"original":"a.jpg"}"#;
    let bodies = [
        "",
        "{",
        "null",
        r#"{"version":1,"original":"a.j"#,
        r#"{"version":1,"original":"../a.jpg"}"#,
        r#"{"version":1,"original":""}"#,
        r#"{"version":1,"folder":"a"}"#,
        r#"{"version":1,"folder":"/"}"#,
        r#"{"version":1,"folder":"a/../"}"#,
        r#"{"version":1}"#,
        r#"{"version":1,"original":"a.jpg","folder":"a/"}"#,
        r#"{"version":2,"original":"a.jpg"}"#,
        &format!(r#"{{"version":1,"original":"{}"}}"#, "a/".repeat(40_000)),
    ];
    for (number, body) in bodies.iter().enumerate() {
        put(&bucket, &name(&format!("bad{number}")), body).await;
    }
    let names = ["purge/readme.txt", "purge/99999999999999999999-x", &name(""), &name("a/b"), &name("ü")];
    for name in names {
        put(&bucket, name, valid).await;
    }
    put(&bucket, &name("good"), valid).await;
    for _ in 0..2 {
        let expected = if journal.counters().skipped.load(Ordering::Relaxed) == 0 { "a.jpg" } else { "" };
        assert_eq!(read(&journal).await, expected);
        assert_eq!(journal.counters().skipped.load(Ordering::Relaxed) as usize, bodies.len() + names.len());
    }
}

#[tokio::test]
async fn listing_that_fails_loses_no_entry() {
    let (bucket, one, other) = journals();
    drop(one.write(&original("a.jpg")).await.expect("written"));
    bucket.set(Faults { error: Some(Error::Status(503)), ..Faults::default() });
    assert!(one.write(&original("b.jpg")).await.is_err());
    for _ in 0..3 {
        assert!(other.unread().await.is_err());
    }
    let lag = other.lag();
    bucket.set(Faults::default());
    // found and not applied, as where the process ends meanwhile
    assert_eq!(other.unread().await.expect("listed").purges.len(), 1);
    assert!(other.lag() >= lag, "nothing was applied");
    assert_eq!(read(&other).await, "a.jpg");
    assert!(other.lag() < Duration::from_secs(5));
}

#[tokio::test]
async fn position_stays_before_purges_that_are_not_finished() {
    let (_, one, _) = journals();
    let apply = async || one.applied(one.unread().await.expect("listed"));
    let written = one.write(&original("a.jpg")).await.expect("written");
    let (start, during) = (written.position, apply().await);
    assert_eq!(during, start);
    drop(written);
    assert!(apply().await > start);
}

#[tokio::test]
async fn journal_is_read_from_the_position_of_an_earlier_process() {
    let (bucket, one, _) = journals();
    let position = Position::parse(&Position::now().to_string()).expect("the same");
    put_at(&bucket, position.before(Duration::from_secs(600)), "before.jpg").await;
    for number in 0..2 * PAGE {
        put_at(&bucket, Position(position.0 + number as u64), &format!("{number}.jpg")).await;
    }
    let later = Journal::new(Arc::clone(&bucket) as Arc<dyn Bucket>);
    later.resume(position);
    let purges = read(&later).await;
    assert_eq!(purges.split(' ').count(), 2 * PAGE);
    assert!(purges.starts_with("0.jpg 1.jpg ") && purges.ends_with(" 1999.jpg"), "in the order of their times");
    // the same process, after its folder was opened again
    later.resume(position);
    assert_eq!(read(&later).await.len(), purges.len());
    assert_eq!(read(&one).await.len(), purges.len());
}

#[tokio::test]
async fn too_many_entries_are_a_purge_of_everything() {
    let (bucket, one, _) = journals();
    let now = Position::now();
    let day = now.before(Duration::from_secs(86_400));
    one.resume(day);
    for number in 0..MAX_UNREAD {
        put_at(&bucket, Position(day.0 + number as u64), "a.jpg").await;
    }
    // their servers may have ended before they purged the bucket
    for seconds in [1, 500] {
        put_at(&bucket, now.before(Duration::from_secs(seconds)), &format!("{seconds}.jpg")).await;
    }
    let unread = one.unread().await.expect("the bucket answers");
    let of: Vec<_> = unread.purges.iter().map(|(position, what)| (*position == Position(0), text(what))).collect();
    assert_eq!(of, [(true, "*".into()), (false, "500.jpg".into()), (false, "1.jpg".into())]);
    one.applied(unread);
    assert_eq!(read(&one).await, "");
    assert_eq!(bucket.gets.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn recent_entries_are_read_one_by_one_up_to_a_bound() {
    let (bucket, one, _) = journals();
    let now = Position::now();
    for number in 0..MAX_UNREAD + 5 {
        put_at(&bucket, Position(now.0 + number as u64), "a.jpg").await;
    }
    assert_eq!(one.unread().await.expect("the bucket answers").purges.len(), 1 + MAX_UNREAD);
    assert_eq!(bucket.gets.load(Ordering::Relaxed), MAX_UNREAD as u64);
}

#[tokio::test]
async fn names_that_no_later_listing_has_are_forgotten() {
    let (bucket, one, _) = journals();
    let now = Position::now();
    for number in 0..3 {
        put_at(&bucket, Position(now.0 + number), "a.jpg").await;
    }
    read(&one).await;
    let seen = || sync::lock(&one.state).seen.len();
    let applied = |minutes: u64, names: Vec<String>| {
        let began = Position(now.0 + nanoseconds(Duration::from_secs(60 * minutes)));
        one.applied(Unread { purges: Vec::new(), names, skipped: 0, began });
    };
    applied(5, Vec::new());
    assert_eq!(seen(), 3, "a long look back has them");
    applied(20, Vec::new());
    assert_eq!(seen(), 0);
    let later = now.0 + nanoseconds(Duration::from_secs(60 * 20));
    applied(20, (0..=MAX_SEEN as u64).map(|number| format!("{}-x", Position(later + number).name())).collect());
    assert_eq!(seen(), MAX_SEEN);
}

#[tokio::test]
async fn old_entries_are_deleted() {
    let (bucket, one, other) = journals();
    let now = Position::now();
    let days = |days: u64| now.before(Duration::from_secs(days * 86_400));
    for number in 0..PAGE + 5 {
        put_at(&bucket, Position(days(9).0 + number as u64), "old.jpg").await;
    }
    put_at(&bucket, days(7), "kept.jpg").await;
    put(&bucket, "purge/readme", "").await;
    put(&bucket, "other/00000000000000000001-x", "").await;
    assert_eq!(one.delete_old().await.expect("deleted"), PAGE + 5);
    assert_eq!(other.delete_old().await.expect("nothing left"), 0);
    assert_eq!(bucket.names().len(), 3);
    assert!(days(6).is_kept() && !days(8).is_kept());
}

#[test]
fn malformed_position_is_refused() {
    let now = Position::now();
    assert_eq!(Position::parse(&now.to_string()), Some(now));
    for text in
        ["", "1", "0", " 0000000000000000001", "+0000000000000000001", "99999999999999999999", "0000000000000000000a"]
    {
        assert_eq!(Position::parse(text), None, "{text}");
    }
}
