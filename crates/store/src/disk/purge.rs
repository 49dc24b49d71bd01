//! Removing the files of an original, or of all originals below a path.

use std::collections::HashSet;

use super::{Attributes, STEP, Shared, lock};
use crate::key::PathHash;
use crate::layout::{self, FAN_OUT};
use crate::{Key, Selection, original_paths};

impl<A: Attributes> Shared<A> {
    /// Removes the selected files and returns their keys.
    pub(crate) fn purge(&self, selection: &Selection<'_>) -> HashSet<Key> {
        let folders = match selection {
            Selection::Original(path) => {
                let number = PathHash::of(path).first_byte() % FAN_OUT;
                number..number + 1
            }
            Selection::Prefix(_) => 0..FAN_OUT,
        };
        folders.for_each(|number| self.list_folder(number));
        let is_selected = self.key_filter(selection);
        let mut purged = HashSet::new();
        // publishing takes these locks in the same order: a file that is being written is found in one of the two
        lock(&self.pending).retain(|key, pending| {
            let keep = !selection.matches(&pending.original);
            if !keep {
                purged.insert(*key);
            }
            keep
        });
        let mut from = Some(0);
        while let Some(at) = from {
            let (entries, next) = lock(&self.index).entries(at, STEP * 8);
            for (key, record) in entries.into_iter().filter(|(key, _)| is_selected(*key)) {
                if let Some(removed) = self.remove_entry(key, &record) {
                    self.remove_file(&layout::path(key, &record), removed.charge);
                    purged.insert(key);
                }
            }
            from = next;
        }
        purged
    }

    /// Tells which keys are selected. A prefix also selects keys whose original's path is not known: it may begin so.
    fn key_filter(&self, selection: &Selection<'_>) -> Box<dyn Fn(Key) -> bool> {
        match selection {
            Selection::Original(path) => {
                let hash = PathHash::of(path);
                Box::new(move |key| key.original() == hash)
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
