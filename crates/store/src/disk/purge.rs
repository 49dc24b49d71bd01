//! Removing the files of originals, or of all originals below a path.

use std::collections::HashSet;

use super::{Attributes, STEP, Shared, lock};
use crate::key::PathHash;
use crate::layout::{self, FAN_OUT};
use crate::{Key, Purged, Selection, original_paths};

impl<A: Attributes> Shared<A> {
    /// Removes the selected files, whose keys `is_selected` tells.
    pub(crate) fn purge(&self, selection: &Selection<'_>, is_selected: impl Fn(Key) -> bool) -> Purged {
        let mut purged = Purged::default();
        for number in folders(selection) {
            purged.unlisted += usize::from(!self.list_folder(number));
        }
        // publishing takes these locks in the same order: a file that is being written is found in one of the two
        lock(&self.pending).retain(|key, pending| {
            let keep = !selection.matches(&pending.original);
            if !keep {
                purged.keys.insert(*key);
            }
            keep
        });
        let mut from = Some(0);
        while let Some(at) = from {
            let (entries, next) = lock(&self.index).entries_of(at, STEP * 8, |key| is_selected(*key));
            for (key, record) in entries {
                if let Some(removed) = self.remove_entry(key, &record) {
                    self.remove_file(&layout::path(key, &record), removed.charge);
                    purged.keys.insert(key);
                }
            }
            from = next;
        }
        purged
    }

    /// Tells which keys are selected. A prefix also selects keys whose original's path is not known: it may begin so.
    pub(crate) fn key_filter(&self, selection: &Selection<'_>) -> Box<dyn Fn(Key) -> bool> {
        match selection {
            Selection::Original(path) => {
                let hash = PathHash::of(path);
                Box::new(move |key| key.original() == hash)
            }
            Selection::Originals(paths) => {
                let hashes: HashSet<PathHash> = paths.iter().map(|path| PathHash::of(path)).collect();
                Box::new(move |key| hashes.contains(&key.original()))
            }
            Selection::Prefix(prefix) => {
                let mut others = HashSet::new();
                let read = original_paths::read(&self.folder, |path| {
                    if !path.starts_with(prefix) {
                        others.insert(PathHash::of(path));
                    }
                });
                if let Err(error) = read {
                    tracing::warn!(%error, "the paths of originals cannot be read; everything is purged");
                    others.clear();
                }
                Box::new(move |key| !others.contains(&key.original()))
            }
        }
    }
}

/// The fan-out folders that selected files may lie in.
fn folders(selection: &Selection<'_>) -> HashSet<u8> {
    let of = |path: &str| PathHash::of(path).first_byte() % FAN_OUT;
    match selection {
        Selection::Original(path) => [of(path)].into(),
        Selection::Originals(paths) => paths.iter().map(|path| of(path)).collect(),
        Selection::Prefix(_) => (0..FAN_OUT).collect(),
    }
}
