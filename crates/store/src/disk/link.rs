//! A rendition whose body equals that of another becomes one more name of the same file: no second write, no second sync.
//!
//! A file that is in place is read and compared with its digest before it gets another name, so that a body which was said
//! to be kept is no file that has decayed since; one that has is dropped, and gets no name again. Damage that happens
//! later is seen by reads, which compare the digest too, under whichever name. Anything that stands in the way of a link
//! (the file has gone, has all the names that it may have, or the file system has no hard links) means that the body is
//! written as any other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use rustix::io::Errno;

use super::{Shared, lock};
use crate::layout::{self, Record};
use crate::{Attributes, Digest, Key};

/// Whether the bytes of a staged file have reached the disk, once that has been tried; all names of the file share it. A
/// sync that failed is not repeated: the kernel may have dropped the pages that it was about.
pub(crate) type Synced = Arc<OnceLock<bool>>;

/// Files that are staged and not in the index yet, by their bodies.
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

    /// To be called once the file is in the index, or has been given up.
    pub(crate) fn remove(&self, digest: &Digest, path: &str) {
        let mut files = lock(&self.0);
        // a later one of the same body may have taken its place
        if files.get(digest).is_some_and(|file| file.path == path) {
            files.remove(digest);
        }
    }

    fn get(&self, digest: &Digest) -> Option<StagedFile> {
        lock(&self.0).get(digest).cloned()
    }
}

impl<A: Attributes> Shared<A> {
    /// Stages a rendition as another name of a file with the same body; `None` where it has to be written.
    pub(crate) fn link(&self, path: &str, key: Key, record: &Record<A>) -> Option<Synced> {
        // in this order: a file is in the index before it is no longer among the staged ones
        self.link_to_staged(path, record).or_else(|| self.link_to_stored(path, key, record))
    }

    fn link_to_staged(&self, path: &str, record: &Record<A>) -> Option<Synced> {
        let StagedFile { path: from, target, synced } = self.staged.get(&record.digest)?;
        if synced.get() == Some(&false) {
            return None;
        }
        // it may have been renamed meanwhile
        let is_linked = self.folder.link(&from, path).is_ok() || self.folder.link(&target, path).is_ok();
        is_linked.then_some(synced)
    }

    fn link_to_stored(&self, path: &str, key: Key, record: &Record<A>) -> Option<Synced> {
        let (other, found) = lock(&self.index).with_body(&record.digest)?;
        if other == key {
            // its file is there and could not be read, or the body would not have been made again
            return None;
        }
        match self.folder.link(&layout::path(other, &found), path) {
            Ok(()) => {}
            Err(Errno::MLINK) => {
                lock(&self.index).note_full(&other);
                return None;
            }
            Err(_) => return None,
        }
        let is_sound = self.holds(path, record);
        if matches!(is_sound, Ok(true)) {
            return Some(Arc::new(OnceLock::from(true)));
        }
        // what cannot be removed is looked at again by the next start
        let _ = self.folder.remove(path);
        if matches!(is_sound, Ok(false)) {
            self.drop_corrupt(other, &found);
        }
        None
    }
}
