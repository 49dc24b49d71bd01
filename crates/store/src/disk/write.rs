//! Writing a file: space is reserved (`space.rs`), it is staged (written, or linked to an equal body), synced and renamed.

use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, SyncSender};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::link::Synced;
use super::scan::Phase;
use super::{FIXED_PATHS, FIXED_STAGING, Shared, lock, now};
use crate::folder::blocks;
use crate::index::{Inode, Space};
use crate::layout::{self, FAN_OUT, Record};
use crate::{Attributes, Digest, Key, Object};

/// How long a lack of file descriptors is waited out before a staged file is given up.
const REOPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// A job of the staging thread.
pub(crate) enum StageJob<A> {
    Stage(Box<Put<A>>),
    Flush(Sender<()>),
}

pub(crate) struct Put<A> {
    original: Arc<str>,
    key: Key,
    object: Arc<Object<A>>,
    replaces: Option<Digest>,
    /// Notified when the file is staged; dropped if staging fails.
    staged: oneshot::Sender<()>,
}

/// A job of the syncing thread.
pub(crate) enum SyncJob<A> {
    Sync(Box<Staged<A>>),
    Flush(Sender<()>),
}

pub(crate) struct Staged<A> {
    key: Key,
    record: Record<A>,
    object: Arc<Object<A>>,
    /// The digest of the file that it replaces: without that one in the index it is not published.
    replaces: Option<Digest>,
    /// The staged file. It is opened again to be synced: files that wait for the disk must not use up descriptors.
    path: String,
    reserved: Space,
    synced: Synced,
    /// Whether it is another link to a file that was there.
    is_link: bool,
}

impl<A> StageJob<A> {
    pub(crate) fn stage(
        original: Arc<str>, key: Key, object: Arc<Object<A>>, replaces: Option<Digest>, staged: oneshot::Sender<()>,
    ) -> StageJob<A> {
        StageJob::Stage(Box::new(Put { original, key, object, replaces, staged }))
    }
}

/// Why a file is not written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// There is no space, or it must not be taken.
    NoSpace(String),
    Io(Error),
}

impl From<Error> for WriteError {
    fn from(error: Error) -> WriteError {
        WriteError::Io(error)
    }
}

impl<A: Attributes> Shared<A> {
    pub(crate) fn stage_all(&self, jobs: &Receiver<StageJob<A>>, sync: &SyncSender<SyncJob<A>>) {
        while let Ok(job) = jobs.recv() {
            let next = match job {
                StageJob::Flush(done) => SyncJob::Flush(done),
                StageJob::Stage(put) => match self.stage(&put) {
                    Ok(staged) => {
                        // the caller may have stopped waiting
                        let _ = put.staged.send(());
                        SyncJob::Sync(Box::new(staged))
                    }
                    Err(error) => {
                        self.not_stored(put.key, &put.object, &error);
                        continue;
                    }
                },
            };
            if sync.send(next).is_err() {
                // the syncing thread has panicked: nothing more can be stored
                return;
            }
        }
    }

    pub(crate) fn sync_all(&self, jobs: &Receiver<SyncJob<A>>) {
        while let Ok(next) = jobs.recv() {
            match next {
                // the caller may have stopped waiting
                SyncJob::Flush(done) => drop(done.send(())),
                SyncJob::Sync(staged) => {
                    if let Err(error) = self.publish(&staged) {
                        self.remove_file(&staged.path, staged.reserved);
                        self.not_stored(staged.key, &staged.object, &error.into());
                    }
                    self.staged.remove(&staged.record.digest, &staged.path);
                    self.release_in_flight(staged.reserved);
                }
            }
        }
    }

    fn not_stored(&self, key: Key, object: &Arc<Object<A>>, error: &WriteError) {
        self.cancel_pending(key, object);
        self.counters.not_stored.fetch_add(1, Ordering::Relaxed);
        let dir = self.folder.path().display();
        // logged once until a write succeeds
        match error {
            WriteError::NoSpace(reason) => {
                if !self.full.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%dir, reason, "no space in the cache; serving goes on without it");
                }
            }
            WriteError::Io(error) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%dir, %error, "the cache cannot be written; serving goes on without it");
                }
                if !self.folder.is_current() {
                    self.lost.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// Stages a file, which from then on survives this process.
    fn stage(&self, put: &Put<A>) -> std::result::Result<Staged<A>, WriteError> {
        let Put { original, key, object, replaces, staged: _ } = put;
        let length =
            u32::try_from(object.bytes.len()).map_err(|_| WriteError::NoSpace("it is larger than 4 GiB".into()))?;
        let record = Record { digest: object.digest, length, attributes: object.attributes };
        if !self.wait_for_phase(Phase::Ordering, Duration::MAX) {
            return Err(WriteError::NoSpace("the folder has not been read yet".into()));
        }
        // a block more: the fan-out folder may grow
        let space = Space::file(blocks(length.into()) + 1);
        self.reserve_in_flight(space);
        let (object, replaces) = (Arc::clone(object), *replaces);
        match self.stage_within(space, original, *key, record, &object) {
            Ok((path, synced, is_link)) => {
                Ok(Staged { key: *key, record, object, replaces, path, reserved: space, synced, is_link })
            }
            Err(error) => {
                self.release_in_flight(space);
                Err(error)
            }
        }
    }

    /// The path of the staged file, its state, and whether it is a link.
    fn stage_within(
        &self, space: Space, original: &str, key: Key, record: Record<A>, object: &Arc<Object<A>>,
    ) -> std::result::Result<(String, Synced, bool), WriteError> {
        self.reserve_space(space)?;
        let written = self.ensure_free_space(space).and_then(|()| self.record_original(original)).and_then(|()| {
            let path = format!(
                "{}/{}",
                layout::STAGING,
                layout::staged(self.next.fetch_add(1, Ordering::Relaxed), key, &record)
            );
            if let Some(synced) = self.link(&path, key, &record) {
                return Ok((path, synced, true));
            }
            match self.write(&path, &object.bytes) {
                Err(error) if is_disk_full(&error) => {
                    // the disk is full below the bound: the cache becomes as large as the disk allows
                    self.evict(Space { blocks: space.blocks * 2, files: 2 })?;
                    self.write(&path, &object.bytes)?;
                }
                result => result?,
            }
            Ok((path, Synced::default(), false))
        });
        match written {
            Ok((path, synced, is_link)) => {
                self.measure_staging();
                self.staged.add(record.digest, &path, layout::path(key, &record), &synced);
                Ok((path, synced, is_link))
            }
            Err(error) => {
                lock(&self.index).release(space);
                Err(error)
            }
        }
    }

    /// Waits until the space of staged files allows one more, and counts it.
    fn reserve_in_flight(&self, space: Space) {
        let mut now = lock(&self.in_flight);
        while now.files > 0
            && (now.blocks + space.blocks > self.max_in_flight.blocks
                || now.files + space.files > self.max_in_flight.files)
        {
            now = self.in_flight_released.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
        now.blocks += space.blocks;
        now.files += space.files;
    }

    fn release_in_flight(&self, space: Space) {
        let mut now = lock(&self.in_flight);
        now.blocks -= space.blocks;
        now.files -= space.files;
        self.in_flight_released.notify_all();
    }

    /// Creates a file with these bytes; on failure there is none.
    fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let mut file = match self.folder.create(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.folder.make_folder(layout::STAGING)?;
                self.folder.create(path)?
            }
            result => result?,
        };
        if let Err(error) = file.write_all(bytes) {
            // the first error is returned
            let _ = self.folder.remove(path);
            return Err(error);
        }
        Ok(())
    }

    /// Counts the blocks of the staging folder. Where that fails, the next write does it.
    fn measure_staging(&self) {
        if let Ok(info) = self.folder.file_info(layout::STAGING) {
            self.set_fixed(FIXED_STAGING, Space { blocks: info.blocks.saturating_sub(1), files: 0 });
        }
    }

    /// Opens a staged file. It was reported as stored, so a lack of file descriptors is waited out.
    fn reopen(&self, path: &str) -> Result<File> {
        let began = Instant::now();
        loop {
            match self.folder.open_file(path) {
                Err(error) if is_out_of_descriptors(&error) && began.elapsed() < REOPEN_TIMEOUT => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                result => return result,
            }
        }
    }

    /// Syncs the bytes of a staged file; returns its inode and blocks.
    fn sync_file(&self, Staged { path, synced, .. }: &Staged<A>) -> Result<(Inode, u32)> {
        match synced.get() {
            Some(true) => {}
            Some(false) => return Err(Error::other("another link to the file could not be synced")),
            None => {
                let file = self.reopen(path)?;
                // the kernel may have dropped the pages that failed: the file is removed and not synced again
                let result = file.sync_data();
                // only this thread sets it
                let _ = synced.set(result.is_ok());
                result?;
            }
        }
        let info = self.folder.file_info(path)?;
        Ok((Inode::new(info.inode()), u32::try_from(info.blocks).unwrap_or(u32::MAX)))
    }

    /// Syncs a staged file and renames it to its final name, unless it was purged.
    fn publish(&self, staged: &Staged<A>) -> Result<()> {
        let Staged { key, record, object, replaces, path, reserved, is_link, .. } = staged;
        if !self.is_pending(*key, object) {
            // purged in the meantime
            self.remove_file(path, *reserved);
            self.cancel_pending(*key, object);
            return Ok(());
        }
        let file = self.sync_file(staged)?;
        let (number, target) = (key.first_byte() % FAN_OUT, layout::path(*key, record));
        let folder = layout::folder(number);
        if let Err(error) = self.folder.rename(path, &target) {
            if error.kind() != ErrorKind::NotFound {
                return Err(error);
            }
            self.folder.make_folder(&folder)?;
            self.folder.rename(path, &target)?;
        }
        if *is_link {
            // rename(2) does nothing where both are links to one file
            let _ = self.folder.remove(path);
        }
        // without the first block, which every folder has
        let grown = self.folder.file_info(&folder).map_or(0, |info| info.blocks.saturating_sub(1));
        self.set_fixed(number.into(), Space { blocks: grown, files: 0 });

        let mut pending = lock(&self.pending);
        let is_pending = pending.get(key).is_some_and(|pending| Arc::ptr_eq(&pending.object, object));
        let present = lock(&self.index).get(key);
        let is_current = replaces.is_none_or(|current| present.is_some_and(|present| present.digest == current));
        if !is_pending || !is_current {
            drop(pending);
            if present == Some(*record) {
                // the file of an entry, by the same name
                lock(&self.index).release(*reserved);
            } else {
                self.remove_file(&target, *reserved);
            }
            self.cancel_pending(*key, object);
            return Ok(());
        }
        let former = lock(&self.index).commit(*key, *record, *reserved, file, now());
        pending.remove(key);
        drop(pending);
        self.pending_bytes.fetch_sub(object.bytes.len() as u64, Ordering::Relaxed);
        match former {
            Some(former) if former.value == *record => drop(lock(&self.index).release(former.charge)),
            Some(former) => self.remove_file(&layout::path(*key, &former.value), former.charge),
            None => {}
        }
        self.note_stored(*is_link);
        Ok(())
    }

    fn note_stored(&self, is_link: bool) {
        self.counters.stored.fetch_add(1, Ordering::Relaxed);
        self.counters.linked.fetch_add(u64::from(is_link), Ordering::Relaxed);
        self.full.store(false, Ordering::Relaxed);
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(dir = %self.folder.path().display(), "the cache can be written again");
        }
    }

    fn is_pending(&self, key: Key, object: &Arc<Object<A>>) -> bool {
        lock(&self.pending).get(&key).is_some_and(|pending| Arc::ptr_eq(&pending.object, object))
    }

    /// Records the path of the original that a file belongs to.
    fn record_original(&self, original: &str) -> std::result::Result<(), WriteError> {
        if let Some(blocks) = lock(&self.original_paths).add(&self.folder, original)? {
            self.set_fixed(FIXED_PATHS, Space { blocks, files: 0 });
        }
        Ok(())
    }

    /// After a write that failed, writes a file to find out whether that is possible again: a server that gets no requests
    /// since it is not ready would otherwise never recover.
    pub(crate) fn probe(&self) {
        if self.failing.load(Ordering::Relaxed) && self.folder.probe(layout::STAGING).is_ok() {
            self.failing.store(false, Ordering::Relaxed);
            tracing::info!(dir = %self.folder.path().display(), "the cache can be written again");
        }
    }
}

fn is_out_of_descriptors(error: &Error) -> bool {
    matches!(rustix::io::Errno::from_io_error(error), Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}

fn is_disk_full(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart() {
        use rustix::io::Errno;
        for (errno, no_descriptors, full) in [
            (Errno::MFILE, true, false),
            (Errno::NFILE, true, false),
            (Errno::NOSPC, false, true),
            (Errno::DQUOT, false, true),
            (Errno::IO, false, false),
            (Errno::NOENT, false, false),
        ] {
            let error = Error::from(errno);
            assert_eq!((is_out_of_descriptors(&error), is_disk_full(&error)), (no_descriptors, full), "{error}");
        }
    }
}
