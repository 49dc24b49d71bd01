//! Purges: the renditions of originals and folders are removed from memory and disk, and what is being made of them is not kept.

use std::collections::HashSet;

use tintype_store::Selection;

use super::{Cache, Key};
use crate::source::ImageId;
use crate::sync;

/// The renditions to remove.
#[derive(Clone, Debug)]
pub enum Purge {
    /// All of that original.
    Original(ImageId),
    /// All of the originals whose names start so. It ends with a slash, or is empty for all.
    Folder(String),
}

impl Purge {
    /// The files that it alone selects.
    pub(super) fn selection(&self) -> Selection<'_> {
        match self {
            Purge::Original(id) => Selection::Original(id.as_str()),
            Purge::Folder(prefix) => Selection::Prefix(prefix),
        }
    }

    /// The original, where it is one.
    fn original(&self) -> Option<&str> {
        match self {
            Purge::Original(id) => Some(id.as_str()),
            Purge::Folder(_) => None,
        }
    }
}

/// The selections of all these purges: one for the originals, and one for each folder that is in no other.
fn selections<'a>(purges: &'a [Purge], originals: &'a HashSet<&'a str>) -> Vec<Selection<'a>> {
    let folder = |what: &'a Purge| match what {
        Purge::Original(_) => None,
        Purge::Folder(prefix) => Some(prefix.as_str()),
    };
    let mut folders: Vec<&str> = purges.iter().filter_map(folder).collect();
    folders.sort_unstable();
    folders.dedup_by(|next, kept| next.starts_with(*kept));
    let originals = (!originals.is_empty()).then_some(Selection::Originals(originals));
    originals.into_iter().chain(folders.into_iter().map(Selection::Prefix)).collect()
}

/// The outcome of [`Cache::purge`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Renditions that were removed from memory and disk.
    pub renditions: u64,
    /// Their files that cannot be removed from the folder; the next start would find them again.
    pub undeleted: usize,
    /// Folders that cannot be listed, so that files in them were not found.
    pub unlisted: usize,
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Removes the selected renditions from memory and disk. Renditions that are being made are sent to their clients and not
    /// stored.
    pub fn purge(&self, what: &Purge) -> Purged {
        self.purge_all(std::slice::from_ref(what))
    }

    /// The same for several purges at once: the files of any number of originals are looked for in one pass.
    pub(crate) fn purge_all(&self, purges: &[Purge]) -> Purged {
        // first, so that flights which begin after the invalidation take nothing from the bucket that is purged there later
        if let Some(tier) = self.shared.get() {
            purges.iter().for_each(|what| tier.note_purge(what));
        }
        self.purge_own(purges)
    }

    /// The same for this server's renditions only: those in the bucket are not in question.
    pub(crate) fn purge_own(&self, purges: &[Purge]) -> Purged {
        let originals: HashSet<&str> = purges.iter().filter_map(Purge::original).collect();
        let selections = selections(purges, &originals);
        let matches = |id: &ImageId| selections.iter().any(|selection| selection.matches(id.as_str()));
        self.single_flight.invalidate(matches);
        let in_memory = || self.hot.iter().filter(|(_, hot)| matches(&hot.id)).map(|(key, _)| *key);
        let mut keys: HashSet<Key> = in_memory().collect();
        let mut purged = Purged::default();
        for selection in &selections {
            let removed = self.store.purge(selection);
            keys.extend(removed.keys);
            purged.undeleted += removed.undeleted;
            purged.unlisted += removed.unlisted;
        }
        // again: flights that began since may have read from disk what is purged now, and must not keep it in memory
        self.single_flight.invalidate(matches);
        let _guard = sync::lock(&self.replacing);
        // again: a rendition may have been read from disk into memory in the meantime
        in_memory().collect::<Vec<Key>>().iter().for_each(|key| self.hot.invalidate(key));
        keys.iter().for_each(|key| self.hot.invalidate(key));
        self.hot.run_pending_tasks();
        Purged { renditions: keys.len() as u64, ..purged }
    }

    /// Whether files are on disk that should have been removed and could not be.
    pub(crate) fn has_undeleted(&self) -> bool {
        self.store.undeleted() > 0
    }
}
