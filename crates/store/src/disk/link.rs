//! A file whose bytes equal those of another becomes a hard link to it: no second write and no second sync.
//!
//! The other file is verified before it is linked to, so that a damaged file is never reported as stored; it is removed and
//! never linked to again. Where a link fails (the file is gone, it has the maximum number of links, the file system has no
//! hard links) the bytes are written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use rustix::io::Errno;

use super::{Shared, lock};
use crate::layout::{self, Record};
use crate::{Attributes, Digest, Key};

/// Whether the sync of a staged file succeeded, once it was tried; all links to the file share it. A sync that failed is not
/// repeated: the kernel may have dropped the pages.
pub(crate) type Synced = Arc<OnceLock<bool>>;

/// Files that are staged and not in the index yet, by digest.
#[derive(Default)]
pub(crate) struct StagedBodies(Mutex<HashMap<Digest, StagedFile>>);

#[derive(Clone)]
struct StagedFile {
    path: String,
    target: String,
    synced: Synced,
}

impl StagedBodies {
    pub(crate) fn add(&self, digest: Digest, path: &str, target: String, synced: &Synced) {
        let file = StagedFile { path: path.to_owned(), target, synced: Arc::clone(synced) };
        lock(&self.0).insert(digest, file);
    }

    /// To be called once the file is in the index or was given up.
    pub(crate) fn remove(&self, digest: &Digest, path: &str) {
        let mut files = lock(&self.0);
        // a later file of the same body may have replaced it
        if files.get(digest).is_some_and(|file| file.path == path) {
            files.remove(digest);
        }
    }

    fn get(&self, digest: &Digest) -> Option<StagedFile> {
        lock(&self.0).get(digest).cloned()
    }
}

impl<A: Attributes> Shared<A> {
    /// Stages a file as a link to one with the same bytes; `None` where it has to be written.
    pub(crate) fn link(&self, path: &str, key: Key, record: &Record<A>) -> Option<Synced> {
        // in this order: a file enters the index before it leaves the staged files
        self.link_to_staged(path, record).or_else(|| self.link_to_stored(path, key, record))
    }

    fn link_to_staged(&self, path: &str, record: &Record<A>) -> Option<Synced> {
        let StagedFile { path: from, target, synced } = self.staged.get(&record.digest)?;
        if synced.get() == Some(&false) {
            return None;
        }
        // it may have been renamed in the meantime
        let is_linked = self.folder.link(&from, path).is_ok() || self.folder.link(&target, path).is_ok();
        is_linked.then_some(synced)
    }

    fn link_to_stored(&self, path: &str, key: Key, record: &Record<A>) -> Option<Synced> {
        let (other, found) = lock(&self.index).linkable(&record.digest)?;
        if other == key {
            // its file could not be read, or it would not be stored again
            return None;
        }
        match self.folder.link(&layout::path(other, &found), path) {
            Ok(()) => {}
            Err(Errno::MLINK) => {
                lock(&self.index).mark_full(&other);
                return None;
            }
            Err(_) => return None,
        }
        let is_intact = self.is_intact(path, record);
        if matches!(is_intact, Ok(true)) {
            return Some(Arc::new(OnceLock::from(true)));
        }
        // the next start removes it otherwise
        let _ = self.folder.remove(path);
        if matches!(is_intact, Ok(false)) {
            self.remove_corrupt(other, &found);
        }
        None
    }
}
