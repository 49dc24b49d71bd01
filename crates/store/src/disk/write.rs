//! How a rendition gets onto the disk: room is made, it is staged (written, or linked to an equal body), synced and
//! renamed.

use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, SyncSender};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::link::Synced;
use super::scan::Phase;
use super::{FIXED_NAMES, FIXED_OLDER, FIXED_STAGING, Shared, lock, now};
use crate::folder::{BLOCK, blocks};
use crate::index::{Inode, Space};
use crate::layout::{self, FAN_OUT, Record};
use crate::{Attributes, Key, Object};

/// Inodes of the file system that are always left to others, where it has many; otherwise a sixteenth.
const MIN_FREE_FILES: u64 = 1024;

/// How long it is waited, right after the start, to know what has been used least.
const ORDERED_WITHIN: Duration = Duration::from_millis(200);

/// How long a want of file descriptors may last before what was staged is given up.
const REOPENED_WITHIN: Duration = Duration::from_secs(10);

/// What the staging thread is given.
pub(crate) enum Job<A> {
    Write(Box<Rendition<A>>),
    Flush(Sender<()>),
}

pub(crate) struct Rendition<A> {
    original: Arc<str>,
    key: Key,
    body: Arc<Object<A>>,
    staged: oneshot::Sender<()>,
}

/// What the syncing thread is given.
pub(crate) enum Next<A> {
    Sync(Box<Staged<A>>),
    Flush(Sender<()>),
}

pub(crate) struct Staged<A> {
    key: Key,
    record: Record<A>,
    body: Arc<Object<A>>,
    /// It is opened again to be synced: what waits for the disk must not use up the process's files.
    path: String,
    reserved: Space,
    synced: Synced,
    /// Whether it is another name of a file that was there.
    is_link: bool,
}

impl<A> Job<A> {
    pub(crate) fn write(original: Arc<str>, key: Key, body: Arc<Object<A>>, staged: oneshot::Sender<()>) -> Job<A> {
        Job::Write(Box::new(Rendition { original, key, body, staged }))
    }
}

/// Why something is not written.
pub(crate) enum Trouble {
    /// There is no room that may be taken.
    Full(String),
    /// Something failed.
    Fault(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Fault(error)
    }
}

impl<A: Attributes> Shared<A> {
    pub(crate) fn stage_all(&self, jobs: &Receiver<Job<A>>, sync: &SyncSender<Next<A>>) {
        while let Ok(job) = jobs.recv() {
            let next = match job {
                Job::Flush(done) => Next::Flush(done),
                Job::Write(rendition) => match self.stage(&rendition) {
                    Ok(staged) => {
                        // whoever waited may have given up
                        let _ = rendition.staged.send(());
                        Next::Sync(Box::new(staged))
                    }
                    Err(trouble) => {
                        self.not_stored(rendition.key, &rendition.body, &trouble);
                        continue;
                    }
                },
            };
            if sync.send(next).is_err() {
                // the other thread has panicked: nothing more can be kept
                return;
            }
        }
    }

    pub(crate) fn sync_all(&self, jobs: &Receiver<Next<A>>) {
        while let Ok(next) = jobs.recv() {
            match next {
                // whoever waited may have given up
                Next::Flush(done) => drop(done.send(())),
                Next::Sync(staged) => {
                    if let Err(error) = self.sync(&staged) {
                        self.remove(&staged.path, staged.reserved);
                        self.not_stored(staged.key, &staged.body, &error.into());
                    }
                    self.staged.remove(&staged.record.digest, &staged.path);
                    self.touch_down(staged.reserved);
                }
            }
        }
    }

    fn not_stored(&self, key: Key, body: &Arc<Object<A>>, trouble: &Trouble) {
        self.drop_pending(key, body);
        self.counters.not_stored.fetch_add(1, Ordering::Relaxed);
        let dir = self.folder.path().display();
        // once, not for every request: the reason stays the same until it changes
        match trouble {
            Trouble::Full(reason) => {
                if !self.full.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%dir, reason, "there is no room in the cache; serving goes on without it");
                }
            }
            Trouble::Fault(error) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%dir, %error, "the cache cannot be written; serving goes on without it");
                }
                if !self.folder.is_current() {
                    self.lost.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// From here on it survives this process.
    fn stage(&self, rendition: &Rendition<A>) -> std::result::Result<Staged<A>, Trouble> {
        let Rendition { original, key, body, staged: _ } = rendition;
        let length = u32::try_from(body.bytes.len()).map_err(|_| Trouble::Full("it is larger than 4 GiB".into()))?;
        let record = Record { digest: body.digest, length, attributes: body.attributes };
        if !self.reached(Phase::Ordering, Duration::MAX) {
            return Err(Trouble::Full("the folder has not been read in yet".into()));
        }
        // one block more for the folder, should it have to grow
        let space = Space::file(blocks(length.into()) + 1);
        self.take_off(space);
        let staged = self.stage_within(space, original, *key, record, body);
        if staged.is_err() {
            self.touch_down(space);
        }
        staged
    }

    fn stage_within(
        &self, space: Space, original: &str, key: Key, record: Record<A>, body: &Arc<Object<A>>,
    ) -> std::result::Result<Staged<A>, Trouble> {
        self.make_room(space)?;
        let written = self.leave_free(space).and_then(|()| self.write_down(original)).and_then(|()| {
            let path = format!(
                "{}/{}",
                layout::STAGING,
                layout::staged(self.next.fetch_add(1, Ordering::Relaxed), key, &record)
            );
            if let Some(synced) = self.link(&path, key, &record) {
                return Ok((path, synced, true));
            }
            match self.write(&path, &body.bytes) {
                Err(error) if is_no_room(&error) => {
                    // it is full before our bound is reached: let the cache be as large as there is room
                    self.evict(Space { blocks: space.blocks * 2, files: 2 })?;
                    self.write(&path, &body.bytes)?;
                }
                result => result?,
            }
            Ok((path, Synced::default(), false))
        });
        match written {
            Ok((path, synced, is_link)) => {
                self.count_staging();
                self.staged.add(record.digest, &path, layout::path(key, &record), &synced);
                Ok(Staged { key, record, body: Arc::clone(body), path, reserved: space, synced, is_link })
            }
            Err(trouble) => {
                lock(&self.index).release(space);
                Err(trouble)
            }
        }
    }

    /// Counts one more file in flight, waiting until there may be.
    fn take_off(&self, space: Space) {
        let mut now = lock(&self.in_flight);
        while now.files > 0
            && (now.blocks + space.blocks > self.max_in_flight.blocks
                || now.files + space.files > self.max_in_flight.files)
        {
            now = self.landed.wait(now).unwrap_or_else(PoisonError::into_inner);
        }
        now.blocks += space.blocks;
        now.files += space.files;
    }

    fn touch_down(&self, space: Space) {
        let mut now = lock(&self.in_flight);
        now.blocks -= space.blocks;
        now.files -= space.files;
        self.landed.notify_all();
    }

    /// A new file with these bytes, or none.
    fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let mut file = match self.folder.create(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.folder.make_folder(layout::STAGING)?;
                self.folder.create(path)?
            }
            result => result?,
        };
        if let Err(error) = file.write_all(bytes) {
            // the first error is the one to tell
            let _ = self.folder.remove(path);
            return Err(error);
        }
        Ok(())
    }

    /// Counts what the staging folder takes by now. Where that cannot be told, the next write does.
    fn count_staging(&self) {
        if let Ok(facts) = self.folder.facts(layout::STAGING) {
            self.set_fixed(FIXED_STAGING, Space { blocks: facts.blocks.saturating_sub(1), files: 0 });
        }
    }

    /// Opens what was staged. It has been said that it is kept, so a want of file descriptors is waited out for a while.
    fn reopen(&self, path: &str) -> Result<File> {
        let began = Instant::now();
        loop {
            match self.folder.open_file(path) {
                Err(error) if is_no_file(&error) && began.elapsed() < REOPENED_WITHIN => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                result => return result,
            }
        }
    }

    /// Sees to it that the bytes of a staged file are on the disk; gives its inode and the blocks that it takes.
    fn persist(&self, Staged { path, synced, .. }: &Staged<A>) -> Result<(Inode, u32)> {
        match synced.get() {
            Some(true) => {}
            Some(false) => return Err(Error::other("another name of the same file could not be synced")),
            None => {
                let file = self.reopen(path)?;
                // an error here may have dropped the pages it was about: the file must go, not be synced again
                let result = file.sync_data();
                // only this thread sets it
                let _ = synced.set(result.is_ok());
                result?;
            }
        }
        let facts = self.folder.facts(path)?;
        Ok((Inode::new(facts.inode()), u32::try_from(facts.blocks).unwrap_or(u32::MAX)))
    }

    /// Brings a staged body under its final name.
    fn sync(&self, staged: &Staged<A>) -> Result<()> {
        let Staged { key, record, body, path, reserved, is_link, .. } = staged;
        if !self.is_pending(*key, body) {
            // purged meanwhile
            self.remove(path, *reserved);
            self.drop_pending(*key, body);
            return Ok(());
        }
        let file = self.persist(staged)?;
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
            // where both are names of one file already, renaming does nothing (POSIX)
            let _ = self.folder.remove(path);
        }
        // beyond its first block, which there is one of for each folder
        let grown = self.folder.facts(&folder).map_or(0, |facts| facts.blocks.saturating_sub(1));
        self.set_fixed(number.into(), Space { blocks: grown, files: 0 });

        let mut pending = lock(&self.pending);
        if !pending.get(key).is_some_and(|pending| Arc::ptr_eq(&pending.body, body)) {
            drop(pending);
            self.remove(&target, *reserved);
            self.drop_pending(*key, body);
            return Ok(());
        }
        let former = lock(&self.index).commit(*key, *record, *reserved, file, now());
        pending.remove(key);
        drop(pending);
        self.pending_bytes.fetch_sub(body.bytes.len() as u64, Ordering::Relaxed);
        match former {
            Some(former) if former.value == *record => drop(lock(&self.index).release(former.charge)),
            Some(former) => self.remove(&layout::path(*key, &former.value), former.charge),
            None => {}
        }
        self.counters.stored.fetch_add(1, Ordering::Relaxed);
        self.counters.linked.fetch_add(u64::from(*is_link), Ordering::Relaxed);
        self.full.store(false, Ordering::Relaxed);
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(dir = %self.folder.path().display(), "the cache can be written again");
        }
        Ok(())
    }

    fn is_pending(&self, key: Key, body: &Arc<Object<A>>) -> bool {
        lock(&self.pending).get(&key).is_some_and(|pending| Arc::ptr_eq(&pending.body, body))
    }

    /// Writes down whose rendition it is.
    fn write_down(&self, original: &str) -> std::result::Result<(), Trouble> {
        if let Some(blocks) = lock(&self.names).keep(&self.folder, original)? {
            self.set_fixed(FIXED_NAMES, Space { blocks, files: 0 });
        }
        Ok(())
    }

    /// Reserves space, for which others may have to go.
    fn make_room(&self, space: Space) -> std::result::Result<(), Trouble> {
        loop {
            let could_hold = {
                let mut index = lock(&self.index);
                if index.reserve(space) {
                    return Ok(());
                }
                index.could_hold(space)
            };
            if !could_hold && lock(&self.older).is_empty() {
                return Err(Trouble::Full("it is larger than the cache may be".into()));
            }
            if self.evict_one()?.is_none() {
                return Err(Trouble::Full("nothing in it can be removed".into()));
            }
        }
    }

    /// Sees to it that others keep what they were promised of the file system.
    pub(crate) fn leave_free(&self, space: Space) -> std::result::Result<(), Trouble> {
        let short = self.short_of_free(space)?;
        if short == Space::default() {
            return Ok(());
        }
        self.evict(short)?;
        let short = self.short_of_free(space)?;
        if short == Space::default() {
            return Ok(());
        }
        let (bytes, files) = (short.blocks * BLOCK, short.files);
        let text = format!("its file system is {bytes} bytes and {files} files short of what others are to have");
        Err(Trouble::Full(text))
    }

    fn short_of_free(&self, space: Space) -> Result<Space> {
        let free = self.folder.free()?;
        let bytes = self.min_free.saturating_add(space.blocks * BLOCK).saturating_sub(free.bytes);
        let files = free.files.map_or(0, |files| {
            let least = MIN_FREE_FILES.min(files.all / 16);
            (least + space.files).saturating_sub(files.free)
        });
        Ok(Space { blocks: bytes.div_ceil(BLOCK), files })
    }

    /// Removes entries until they took that much, or there are none.
    fn evict(&self, space: Space) -> std::result::Result<(), Trouble> {
        let mut freed = Space::default();
        while freed.blocks < space.blocks || freed.files < space.files {
            let Some(part) = self.evict_one()? else { return Ok(()) };
            freed = Space { blocks: freed.blocks + part.blocks, files: freed.files + part.files };
        }
        Ok(())
    }

    /// Removes what should go first; gives the blocks and inodes that are free now, which are none where other names
    /// share them. `None` where there is nothing or it cannot be removed.
    pub(crate) fn evict_one(&self) -> std::result::Result<Option<Space>, Trouble> {
        let mut older = lock(&self.older);
        if !older.is_empty() {
            let before = older.space();
            let removed = older.remove_one::<A>();
            self.set_fixed(FIXED_OLDER, older.space());
            if removed? {
                self.counters.evicted.fetch_add(1, Ordering::Relaxed);
                let after = older.space();
                let (blocks, files) = (before.blocks - after.blocks, before.files - after.files);
                return Ok(Some(Space { blocks, files }));
            }
        }
        drop(older);
        if !self.reached(Phase::Ready, ORDERED_WITHIN) {
            return Err(Trouble::Full("it is not known yet what has been used least".into()));
        }
        let Some(victim) = lock(&self.index).evict() else { return Ok(None) };
        let file = layout::path(victim.key, &victim.value);
        if let Err(error) = self.folder.remove(&file) {
            if let Some(others) = self.undeletable.say() {
                tracing::warn!(%file, %error, others, "a cached file cannot be removed to make room");
            }
            lock(&self.index).put_back(victim);
            return Ok(None);
        }
        let freed = lock(&self.index).release(victim.charge);
        self.counters.evicted.fetch_add(1, Ordering::Relaxed);
        Ok(Some(freed))
    }

    pub(crate) fn is_writable(&self) -> bool {
        if self.failing.load(Ordering::Relaxed) && self.folder.probe(layout::STAGING).is_ok() {
            self.failing.store(false, Ordering::Relaxed);
            tracing::info!(dir = %self.folder.path().display(), "the cache can be written again");
        }
        !self.failing.load(Ordering::Relaxed) && !self.lost.load(Ordering::Relaxed)
    }
}

fn is_no_file(error: &Error) -> bool {
    matches!(rustix::io::Errno::from_io_error(error), Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE))
}

fn is_no_room(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
