//! The purges of the last minute: a rendition that was begun before its original was purged is not sent to the bucket, and
//! one that was sent before, perhaps by another server, is not taken from there.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use super::super::Purge;
use crate::source::ImageId;
use crate::sync;

/// How long purges are remembered.
const KEPT: Duration = Duration::from_secs(60);

/// Other servers may not know of a purge yet, and what they sent then is removed some seconds later: what was written within
/// this time after a purge is not taken from the bucket.
pub(super) const SETTLING: Duration = Duration::from_secs(10);

/// Beyond these numbers all are one purge of everything.
const MAX_FOLDERS: usize = 256;
const MAX_ORIGINALS: usize = 100_000;

/// The latest purges.
#[derive(Default)]
pub(super) struct Stamps(Mutex<State>);

#[derive(Default)]
struct State {
    originals: HashMap<ImageId, Stamp>,
    folders: HashMap<String, Stamp>,
}

/// When something was purged.
#[derive(Clone, Copy)]
pub(super) struct Stamp {
    /// For work of this process.
    pub(super) at: Instant,
    /// For what others wrote.
    pub(super) time: SystemTime,
}

impl Stamps {
    pub(super) fn note(&self, what: &Purge) {
        self.note_at(what, Stamp { at: Instant::now(), time: SystemTime::now() });
    }

    fn note_at(&self, what: &Purge, stamp: Stamp) {
        let mut state = sync::lock(&self.0);
        let is_kept = |old: &Stamp| stamp.at.duration_since(old.at) < KEPT;
        state.originals.retain(|_, old| is_kept(old));
        state.folders.retain(|_, old| is_kept(old));
        match what {
            Purge::Original(id) => drop(state.originals.insert(id.clone(), stamp)),
            Purge::Folder(prefix) => drop(state.folders.insert(prefix.clone(), stamp)),
        }
        if state.folders.len() > MAX_FOLDERS || state.originals.len() > MAX_ORIGINALS {
            *state = State { originals: HashMap::new(), folders: [(String::new(), stamp)].into() };
        }
    }

    /// The last purge of that original in the last minute.
    pub(super) fn last(&self, id: &ImageId) -> Option<Stamp> {
        self.last_at(id, Instant::now())
    }

    fn last_at(&self, id: &ImageId, now: Instant) -> Option<Stamp> {
        let state = sync::lock(&self.0);
        let above = state.folders.iter().filter(|(prefix, _)| id.as_str().starts_with(prefix.as_str()));
        let stamps = above.map(|(_, stamp)| stamp).chain(state.originals.get(id));
        stamps.max_by_key(|stamp| stamp.at).filter(|stamp| now.duration_since(stamp.at) < KEPT).copied()
    }

    /// When exactly this was purged in the last minute.
    pub(super) fn of(&self, what: &Purge) -> Option<Stamp> {
        let state = sync::lock(&self.0);
        match what {
            Purge::Original(id) => state.originals.get(id).copied(),
            Purge::Folder(prefix) => state.folders.get(prefix).copied(),
        }
    }

    /// Whether that original was purged at that time or later.
    pub(super) fn is_since(&self, id: &ImageId, begun: Instant) -> bool {
        self.last(id).is_some_and(|stamp| stamp.at >= begun)
    }

    /// Whether an object of that original may be taken that was written at that time.
    pub(super) fn allows(&self, id: &ImageId, modified: SystemTime) -> bool {
        self.last(id).is_none_or(|stamp| modified >= stamp.time + SETTLING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ImageId {
        ImageId::of(name).expect("a name")
    }

    #[test]
    fn stamp_covers_its_original_or_folder_only() {
        let (stamps, before) = (Stamps::default(), Instant::now());
        stamps.note(&Purge::Original(id("a/b")));
        stamps.note(&Purge::Folder("c/".into()));
        for (name, is_covered) in [("a/b", true), ("a/bc", false), ("a/b/c", false), ("c/d/e", true), ("cd/e", false)] {
            assert_eq!(stamps.is_since(&id(name), before), is_covered, "{name}");
            assert_eq!(stamps.allows(&id(name), SystemTime::now()), !is_covered, "{name}");
            assert!(!stamps.is_since(&id(name), Instant::now()), "{name}");
            assert!(stamps.allows(&id(name), SystemTime::now() + SETTLING * 2), "{name}");
        }
    }

    #[test]
    fn too_many_purges_become_one_of_everything() {
        let (stamps, before) = (Stamps::default(), Instant::now());
        (0..MAX_FOLDERS).for_each(|number| stamps.note(&Purge::Folder(format!("{number}/"))));
        assert!(!stamps.is_since(&id("other"), before));
        stamps.note(&Purge::Folder("last/".into()));
        assert!(stamps.is_since(&id("other"), before) && stamps.is_since(&id("0/a"), before));
        assert_eq!(sync::lock(&stamps.0).folders.len(), 1);
    }
    #[test]
    fn purges_are_forgotten_after_a_minute() {
        let (stamps, start) = (Stamps::default(), Instant::now());
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let note = |what: &Purge, at: Instant| stamps.note_at(what, Stamp { at, time: SystemTime::now() });
        note(&Purge::Original(id("a")), start);
        note(&Purge::Folder("b/".into()), start);
        for name in ["a", "b/c"] {
            assert!(stamps.last_at(&id(name), after(59)).is_some(), "{name}");
            assert!(stamps.last_at(&id(name), after(60)).is_none(), "{name}");
        }
        note(&Purge::Original(id("d")), after(61));
        let state = sync::lock(&stamps.0);
        assert_eq!((state.originals.len(), state.folders.len()), (1, 0));
    }
}
