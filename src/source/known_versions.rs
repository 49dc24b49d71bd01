//! The versions of remote originals that are known: in memory, and recorded on disk for the next start.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use super::ImageId;
use super::freshness::{KnownVersion, Windows};
use super::version_log::{Change, Entry, VersionLog};
use crate::sync;

/// Versions in memory.
const MAX_KNOWN: u64 = 100_000;

/// A version that was only confirmed is recorded again after this time at most.
const MAX_INTERVAL: Duration = Duration::from_secs(3600);

/// How often a file that another process writes is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The versions of one origin's originals.
pub(super) struct KnownVersions {
    shared: Arc<Shared>,
    /// A version that was only confirmed is recorded again after this time.
    interval: Duration,
}

struct Shared {
    known: moka::sync::Cache<ImageId, Recorded>,
    log: OnceLock<Arc<VersionLog>>,
    /// Whether a version was forgotten while there was no log. Held while one is,
    /// while a version is confirmed, and while those of the log are loaded.
    has_forgotten: Mutex<bool>,
}

#[derive(Clone)]
struct Recorded {
    known: KnownVersion,
    /// When it was last recorded.
    at: Instant,
}

impl KnownVersions {
    /// The versions that are recorded in a folder for that origin. Where that cannot be used, they are in memory only; what
    /// another process writes is waited for.
    pub(super) fn open(dir: Option<&Path>, origin: &str, windows: &Windows) -> KnownVersions {
        let known = moka::sync::Cache::new(MAX_KNOWN);
        let shared = Arc::new(Shared { known, log: OnceLock::new(), has_forgotten: Mutex::new(false) });
        if let Some(dir) = dir
            && let Err(error) = shared.open(dir, origin, windows)
        {
            let text = "versions of originals are not recorded; a restart forgets them";
            tracing::warn!(dir = %dir.display(), %error, "{text}");
            if error.kind() == ErrorKind::ResourceBusy {
                shared.open_later(dir, origin, windows);
            }
        }
        KnownVersions { shared, interval: MAX_INTERVAL.min(windows.stale_if_error / 64) }
    }

    pub(super) fn get(&self, id: &ImageId) -> Option<KnownVersion> {
        self.shared.known.get(id).map(|recorded| recorded.known)
    }

    /// Notes a version that the origin confirmed, unless it was purged since the request began. That is asked under the lock
    /// of a purge: a version of before it does not come back, not even for a moment.
    pub(super) fn confirm(&self, id: &ImageId, known: KnownVersion, is_valid: impl FnOnce() -> bool) {
        let _no_purge = sync::lock(&self.shared.has_forgotten);
        if !is_valid() {
            return;
        }
        let (all, now) = (&self.shared.known, Instant::now());
        let former = all.get(id).filter(|former| former.known.version == known.version);
        let recent = former.map(|former| former.at).filter(|&at| now.saturating_duration_since(at) < self.interval);
        let entry = entry(&known, now);
        all.insert(id.clone(), Recorded { known, at: recent.unwrap_or(now) });
        if recent.is_none() {
            self.append(&Change::Set(id.clone(), entry));
        }
    }

    /// Notes that a request failed.
    pub(super) fn fail(&self, id: &ImageId) {
        let _no_purge = sync::lock(&self.shared.has_forgotten);
        if let Some(Recorded { known, at }) = self.shared.known.get(id) {
            self.shared.known.insert(id.clone(), Recorded { known: known.failed(Instant::now()), at });
        }
    }

    /// Forgets an original that the origin does not have; returns what was known of it.
    pub(super) fn remove(&self, id: &ImageId) -> Option<KnownVersion> {
        let mut has_forgotten = sync::lock(&self.shared.has_forgotten);
        let former = self.shared.known.remove(id);
        // a version that was evicted from memory, or not read yet, may still be recorded
        let may_be_recorded = || self.log().is_none() || self.shared.known.entry_count() > MAX_KNOWN * 9 / 10;
        if former.is_some() || may_be_recorded() {
            self.forget(&mut has_forgotten, &Change::Remove(id.clone()));
        }
        former.map(|former| former.known)
    }

    /// Forgets an original durably.
    pub(super) fn purge(&self, id: &ImageId) {
        let mut has_forgotten = sync::lock(&self.shared.has_forgotten);
        self.shared.known.invalidate(id);
        self.forget(&mut has_forgotten, &Change::Remove(id.clone()));
        drop(has_forgotten);
        self.sync();
    }

    /// The same for all originals whose names start so.
    pub(super) fn purge_below(&self, prefix: &str) {
        let mut has_forgotten = sync::lock(&self.shared.has_forgotten);
        let known = &self.shared.known;
        let below = known.iter().filter(|(id, _)| id.as_str().starts_with(prefix));
        below.for_each(|(id, _)| known.invalidate(&*id));
        self.forget(&mut has_forgotten, &Change::RemoveBelow(prefix.to_owned()));
        drop(has_forgotten);
        self.sync();
    }

    fn log(&self) -> Option<&Arc<VersionLog>> {
        self.shared.log.get()
    }

    fn forget(&self, has_forgotten: &mut bool, change: &Change) {
        *has_forgotten |= self.log().is_none();
        self.append(change);
    }

    fn sync(&self) {
        if let Some(log) = self.log() {
            log.sync();
        }
    }

    fn append(&self, change: &Change) {
        let Some(log) = self.log() else { return };
        log.append(change);
        if log.begin_rewrite(self.shared.known.entry_count()) {
            let (log, shared) = (Arc::clone(log), Arc::clone(&self.shared));
            std::thread::spawn(move || log.rewrite(shared.changes()));
        }
    }
}

impl Shared {
    fn open(&self, dir: &Path, origin: &str, windows: &Windows) -> std::io::Result<()> {
        let (log, mut changes) = VersionLog::open(dir, origin)?;
        let has_forgotten = sync::lock(&self.has_forgotten);
        if *has_forgotten {
            // removed versions may be among them
            log.append(&Change::RemoveBelow(String::new()));
            changes.clear();
        }
        // the versions in memory are newer
        self.changes().for_each(|change| log.append(&change));
        load(&self.known, changes, windows);
        let _ = self.log.set(Arc::new(log));
        Ok(())
    }

    /// Opens the file when the process that writes it has ended.
    fn open_later(self: &Arc<Shared>, dir: &Path, origin: &str, windows: &Windows) {
        let (shared, dir, origin, windows) = (Arc::downgrade(self), dir.to_owned(), origin.to_owned(), *windows);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(RETRY);
                let Some(shared) = shared.upgrade() else { return };
                match shared.open(&dir, &origin, &windows) {
                    Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
                    Err(error) => {
                        tracing::warn!(dir = %dir.display(), %error, "versions of originals cannot be recorded");
                        return;
                    }
                    Ok(()) => {
                        tracing::info!(dir = %dir.display(), "versions of originals are recorded from now on");
                        return;
                    }
                }
            }
        });
    }

    /// All versions, as changes.
    fn changes(&self) -> impl Iterator<Item = Change> {
        let now = Instant::now();
        self.known.iter().map(move |(id, recorded)| Change::Set((*id).clone(), entry(&recorded.known, now)))
    }
}

fn entry(known: &KnownVersion, now: Instant) -> Entry {
    let KnownVersion { version, conditions, lifetime, .. } = known.clone();
    let confirmed = SystemTime::now().checked_sub(known.age(now)).unwrap_or(SystemTime::UNIX_EPOCH);
    // the log has no earlier times, which a clock that was not set yet gives
    let confirmed = confirmed.max(SystemTime::UNIX_EPOCH);
    Entry { version, conditions, lifetime, confirmed }
}

/// Puts the last recorded version of each original into memory, with its age by the time of day.
fn load(known: &moka::sync::Cache<ImageId, Recorded>, changes: Vec<Change>, windows: &Windows) {
    let mut entries = HashMap::new();
    for change in changes {
        match change {
            Change::Set(id, entry) => drop(entries.insert(id, entry)),
            Change::Remove(id) => drop(entries.remove(&id)),
            Change::RemoveBelow(prefix) => entries.retain(|id: &ImageId, _| !id.as_str().starts_with(&prefix)),
        }
    }
    let (now, today) = (Instant::now(), SystemTime::now());
    for (id, Entry { version, conditions, lifetime, confirmed }) in entries {
        // of a clock that was put back it is new
        let age = today.duration_since(confirmed).unwrap_or_default();
        let aged = KnownVersion::new(version, conditions, lifetime, windows, now).aged(age);
        known.entry(id).or_insert(Recorded { known: aged, at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::super::freshness::Staleness;
    use super::super::transport::{Conditions, Lifetime};
    use super::*;
    use crate::source::Version;

    const SECOND: Duration = Duration::from_secs(1);
    const WINDOWS: Windows = Windows {
        revalidate: SECOND,
        stale_while_revalidate: Duration::from_secs(600),
        stale_if_error: Duration::from_secs(86_400),
        patience: SECOND,
        missing: SECOND,
    };

    fn open(dir: &Path) -> KnownVersions {
        KnownVersions::open(Some(dir), "http://o/", &WINDOWS)
    }

    fn id(number: u32) -> ImageId {
        ImageId::of(&format!("{}/{number}.jpg", number % 2)).expect("a name")
    }

    fn known(number: u8) -> KnownVersion {
        let version = Version { identity: [number; 32], modified: None, length: 1 };
        let conditions = Some(Conditions::etag(http::HeaderValue::from_static("\"a\"")));
        KnownVersion::new(version, conditions, Lifetime::default(), &WINDOWS, Instant::now())
    }

    #[test]
    fn versions_are_stale_after_a_restart_and_removed_ones_stay_away() {
        let dir = tempfile::tempdir().expect("a folder");
        let versions = open(dir.path());
        (0..6).for_each(|number| versions.confirm(&id(number), known(number as u8), || true));
        versions.confirm(&id(0), known(9), || true);
        versions.remove(&id(2));
        versions.purge(&id(4));
        versions.purge_below("1/");
        drop(versions);
        for _ in 0..2 {
            let versions = open(dir.path());
            let found: Vec<_> = (0..6).filter_map(|number| Some((number, versions.get(&id(number))?))).collect();
            assert_eq!(found.len(), 1);
            let (number, known) = &found[0];
            assert_eq!((*number, known.version.identity), (0, [9; 32]));
            assert!(known.conditions.is_some());
            assert_eq!(known.staleness(&WINDOWS, Instant::now()), Staleness::Stale);
        }
    }

    #[test]
    fn versions_have_their_age_by_the_clock() {
        let loaded = |ago: i64| {
            let cache = moka::sync::Cache::new(10);
            let KnownVersion { version, conditions, lifetime, .. } = known(1);
            let now = SystemTime::now();
            let span = Duration::from_secs(ago.unsigned_abs());
            let confirmed = if ago < 0 { now + span } else { now - span };
            load(&cache, vec![Change::Set(id(0), Entry { version, conditions, lifetime, confirmed })], &WINDOWS);
            cache.get(&id(0)).expect("it is known").known.staleness(&WINDOWS, Instant::now())
        };
        assert_eq!(loaded(0), Staleness::Stale);
        assert_eq!(loaded(300), Staleness::Stale);
        assert_eq!(loaded(700), Staleness::Expired);
        assert_eq!(loaded(90_000), Staleness::TooOld);
        assert_eq!(loaded(-90_000), Staleness::Stale, "the clock was put back");
    }

    #[test]
    fn confirmations_are_not_recorded_each_time_and_the_file_is_bounded() {
        let dir = tempfile::tempdir().expect("a folder");
        let versions = open(dir.path());
        let length = || std::fs::metadata(dir.path().join("versions")).expect("a file").len();
        versions.confirm(&id(0), known(1), || true);
        let once = length();
        versions.confirm(&id(0), known(1), || true);
        assert_eq!(length(), once);
        for number in 0..40_000_u32 {
            versions.confirm(&id(0), known(number as u8), || true);
        }
        let started = Instant::now();
        while length() > 3000 * once && started.elapsed() < 20 * SECOND {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(length() < 3000 * once, "{} bytes, {once} at first", length());
        drop(versions);
        // a rewrite may still be under way
        let last = std::iter::repeat_with(|| open(dir.path())).find_map(|reopened| reopened.get(&id(0)));
        let last = last.expect("it is known");
        assert_eq!(last.version.identity, [(39_999_u32 % 256) as u8; 32]);
    }

    #[test]
    fn unusable_folder_keeps_versions_in_memory() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("file");
        std::fs::write(&file, b"").expect("a file");
        for dir in [Some(file.as_path()), None] {
            let versions = KnownVersions::open(dir, "http://o/", &WINDOWS);
            assert!(versions.log().is_none());
            versions.confirm(&id(0), known(1), || true);
            assert!(versions.get(&id(0)).is_some());
            versions.purge(&id(0));
            assert!(versions.get(&id(0)).is_none());
        }
    }

    #[test]
    fn file_of_a_process_that_ends_is_taken_over() {
        for purges in [false, true] {
            let dir = tempfile::tempdir().expect("a folder");
            let first = open(dir.path());
            first.confirm(&id(0), known(1), || true);
            first.confirm(&id(1), known(1), || true);
            let second = open(dir.path());
            second.confirm(&id(1), known(2), || true);
            second.confirm(&id(2), known(2), || true);
            if purges {
                second.purge(&id(0));
            }
            assert!(second.log().is_none(), "the first has it");
            drop(first);
            let started = Instant::now();
            while second.log().is_none() && started.elapsed() < 20 * SECOND {
                std::thread::sleep(Duration::from_millis(5));
            }
            let identities = |versions: &KnownVersions| {
                [0, 1, 2].map(|number| versions.get(&id(number)).map(|known| known.version.identity[0]))
            };
            let expected = [Some(1).filter(|_| !purges), Some(2), Some(2)];
            assert_eq!(identities(&second), expected);
            drop(second);
            // the thread that opened it may still be ending
            let reopened = std::iter::repeat_with(|| open(dir.path())).find(|reopened| reopened.log().is_some());
            assert_eq!(identities(&reopened.expect("it is free")), expected);
        }
    }

    /// A version that was confirmed while its original was purged was known for a moment.
    #[test]
    fn purged_version_is_not_confirmed() {
        let versions = KnownVersions::open(None, "http://o/", &WINDOWS);
        versions.confirm(&id(0), known(1), || false);
        assert!(versions.get(&id(0)).is_none());
        // a purge waits for a version that is being confirmed, and removes it
        std::thread::scope(|scope| {
            let (began, begins) = std::sync::mpsc::channel();
            versions.confirm(&id(0), known(1), || {
                let versions = &versions;
                scope.spawn(move || {
                    began.send(()).expect("it is waited for");
                    versions.purge(&id(0));
                });
                begins.recv().is_ok()
            });
        });
        assert!(versions.get(&id(0)).is_none());
    }
}
