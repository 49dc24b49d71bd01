//! Tests of the recorded versions: what was cut off or damaged on disk.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;
use proptest::prelude::*;

use super::super::transport::{Conditions, Lifetime};
use super::super::{ImageId, Version};
use super::record::*;
use super::*;

const ORIGIN: &str = "http://o/";

fn id(name: &str) -> ImageId {
    ImageId::of(name).expect("a name")
}

fn entry(number: u8) -> Entry {
    let headers = [None, HeaderValue::from_bytes(b"\"\xe4\"").ok()];
    let [etag, last_modified] = [0, 1].map(|at| headers[usize::from(number >> at & 1)].clone());
    let conditions = (etag.is_some() || last_modified.is_some()).then_some(Conditions { etag, last_modified });
    let modified = (number & 4 > 0).then(|| UNIX_EPOCH + Duration::from_nanos(784_111_777_000_000_001));
    let version = Version { identity: [number; 32], modified, length: u64::from(number) << 40 };
    let max_age = (number & 8 > 0).then(|| Duration::from_secs(u64::from(number)));
    let lifetime = Lifetime { max_age, must_revalidate: number & 16 > 0, uncacheable: false };
    Entry { version, conditions, lifetime, confirmed: UNIX_EPOCH + Duration::from_secs(number.into()) }
}

fn changes() -> Vec<Change> {
    let set = (0..32).map(|number| Change::Set(id(&format!("a/ü {number}.jpg")), entry(number)));
    set.chain([Change::Remove(id("a/ü 3.jpg")), Change::RemoveBelow("b/".into()), Change::RemoveBelow("".into())])
        .collect()
}

/// A file of an origin with these changes.
fn file(origin: &str, changes: &[Change]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame(&mut bytes, &[MAGIC, origin.as_bytes()].concat());
    changes.iter().filter_map(record).for_each(|record| bytes.extend(record));
    bytes
}

#[test]
fn changes_are_read_in_the_order_in_which_they_were_appended() {
    let dir = tempfile::tempdir().expect("a folder");
    let (log, found) = VersionLog::open(dir.path(), ORIGIN).expect("a log");
    assert_eq!(found, []);
    changes().iter().for_each(|change| log.append(change));
    log.sync();
    // as a kill leaves it: dropping writes nothing
    let bytes = std::fs::read(dir.path().join(FILE)).expect("a file");
    assert_eq!(parse(&bytes, ORIGIN), Some(changes()));
    assert!(VersionLog::open(dir.path(), ORIGIN).is_err(), "it is in use");
    drop(log);
    let (log, found) = VersionLog::open(dir.path(), ORIGIN).expect("a log");
    assert_eq!(found, changes());
    drop(log);
    let (_log, found) = VersionLog::open(dir.path(), "http://p/").expect("a log");
    assert_eq!(found, [], "of another origin");
}

#[test]
fn file_that_was_cut_off_is_used_up_to_there() {
    let (changes, bytes) = (changes(), file(ORIGIN, &changes()));
    let first = file(ORIGIN, &[]).len();
    let mut length = 0;
    for end in 0..=bytes.len() {
        let zeros = [&bytes[..end], &[0; 50]].concat();
        let [cut, filled] = [parse(&bytes[..end], ORIGIN), parse(&zeros, ORIGIN)];
        assert_eq!(cut.is_some(), end >= first, "{end}");
        let Some(cut) = cut else { continue };
        assert_eq!(cut, changes[..cut.len()], "{end}");
        assert!(cut.len() >= length);
        length = cut.len();
        // zeros within a record are damage, unless the record ends with zeros
        assert!(
            filled.is_none_or(|filled| filled.len() <= cut.len() + 1 && filled == changes[..filled.len()]),
            "{end}"
        );
    }
    assert_eq!(length, changes.len());
}

#[test]
fn appends_during_a_rewrite_are_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let (log, _) = VersionLog::open(dir.path(), ORIGIN).expect("a log");
    assert!(!log.begin_rewrite(0));
    for _ in 0..=MIN_SURPLUS {
        log.append(&Change::Set(id("a"), entry(1)));
    }
    assert!(log.begin_rewrite(0));
    assert!(!log.begin_rewrite(0), "one at a time");
    log.append(&Change::Remove(id("a")));
    log.rewrite([Change::Set(id("a"), entry(1)), Change::Set(id("b"), entry(2))].into_iter());
    log.append(&Change::Set(id("c"), entry(3)));
    drop(log);
    let (_log, found) = VersionLog::open(dir.path(), ORIGIN).expect("a log");
    let names: Vec<String> = found.iter().map(|change| format!("{change:?}")[..5].to_owned()).collect();
    assert_eq!(names, ["Set(I", "Set(I", "Remov", "Set(I"]);
}

#[test]
fn file_that_cannot_be_appended_to_is_removed() {
    let dir = tempfile::tempdir().expect("a folder");
    let (log, _) = VersionLog::open(dir.path(), ORIGIN).expect("a log");
    log.append(&Change::Set(id("a"), entry(1)));
    // every write to it fails
    let full = File::options().append(true).open("/dev/full").expect("a device");
    sync::lock(&log.file).as_mut().expect("it is open").file = full;
    log.append(&Change::Remove(id("a")));
    assert!(!dir.path().join(FILE).exists());
    log.append(&Change::Set(id("a"), entry(1)));
    drop(log);
    assert_eq!(VersionLog::open(dir.path(), ORIGIN).expect("a log").1, []);
}

proptest! {
    #[test]
    fn damaged_file_is_void(at in 0_usize..4000, bit in 0..8_u8) {
        let mut bytes = file(ORIGIN, &changes());
        let at = at % bytes.len();
        bytes[at] ^= 1_u8 << bit;
        match parse(&bytes, ORIGIN) {
            None => {}
            // a length that leads beyond the end looks like a file that was cut off
            Some(found) => prop_assert!(found.len() < changes().len() && found == changes()[..found.len()]),
        }
    }

    #[test]
    fn random_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes, ORIGIN);
        let mut valid = file(ORIGIN, &[]);
        frame(&mut valid, &bytes);
        let _ = parse(&valid, ORIGIN);
    }
}
