//! Renditions on disk, under a bound that holds at every moment.
//!
//! - **Whole or absent.** A body is staged, synced and renamed, so under a final name it is whole; and since its name
//!   says what it must hold, whatever happens to it afterwards shows when it is read.
//! - **Kept once said so.** When [`Disk::put`] says that a rendition is kept, it is in a staged file that the next start
//!   adopts: a kill loses nothing. A power loss can cost what was not synced yet, which the next start sees and drops.
//! - **Bounded.** Space is reserved in the [`Index`] before a byte is written and given back after the file is gone;
//!   one process at a time holds the folder's lock, so its account is the whole truth.
//! - **Equal bodies once.** A body that is there already, under whichever key, becomes another name of that file by
//!   link(2), and its blocks are counted once (`link.rs`).
//! - **Behind the answers.** One thread stages, one syncs and renames, one reads the folder in at the start, and
//!   [`Disk::tick`] is called now and then to look after the rest.

mod legacy;
mod link;
mod scan;
mod verified;
mod write;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;

use crate::folder::{self, Folder};
use crate::index::{Charge, Index, Removed, Space};
use crate::key::PathHash;
use crate::layout::{self, FAN_OUT, Record};
use crate::original_paths::{self, OriginalPaths};
use crate::sync::lock;
use crate::{Attributes, Config, Counters, Digest, Key, Object, Selection, Usage};
use legacy::LegacyLayouts;
pub(crate) use legacy::refuse_newer;
use link::StagedBodies;
use scan::Phase;
use verified::Checked;
use write::Job;

/// Renditions waiting to be written, in number and bytes; what comes beyond is not kept.
const QUEUE: usize = 256;
const QUEUE_BYTES: u64 = 64 << 20;

/// How long an answer waits to be able to say that it is kept. Staging takes well under a millisecond unless the disk
/// is in trouble, and then the answer should not wait for it.
const STAGED_WITHIN: Duration = Duration::from_millis(250);

/// How many entries are looked at before whoever waits for the index is let in.
const STEP: usize = 512;

/// The folder, its index and its writers.
pub(crate) struct Disk<A: Attributes> {
    shared: Arc<Shared<A>>,
    stage: Option<SyncSender<Job<A>>>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared<A: Attributes> {
    /// The folder of this layout.
    folder: Folder,
    /// Held while this process owns the folder.
    lock: File,
    index: Mutex<Index<Key, Record<A>>>,
    /// What the store takes beside its entries: each fan-out folder beyond its first block, then the rest.
    fixed: Mutex<[Space; FIXED]>,
    /// Which of the fan-out folders have been listed into the index.
    listed: [Mutex<bool>; FAN_OUT as usize],
    phase: Mutex<Phase>,
    phase_changed: Condvar,
    /// How much of the folder has been read in, in thousandths.
    progress: AtomicU32,
    /// Files in the folder that are not ours.
    foreign: AtomicU64,
    /// What is being written, so that it is found before it is on disk.
    pending: Mutex<HashMap<Key, Pending<A>>>,
    pending_bytes: AtomicU64,
    /// What is reserved for files that are staged and not renamed yet.
    in_flight: Mutex<Space>,
    landed: Condvar,
    /// Bodies that are staged and not renamed yet.
    staged: StagedBodies,
    /// The most that `in_flight` may be, unless it is one file: what waits for the disk must not push out what is used.
    max_in_flight: Space,
    names: Mutex<OriginalPaths>,
    older: Mutex<LegacyLayouts>,
    /// Numbers staged files.
    next: AtomicU64,
    /// Files that may be named to others without being read again.
    checked: Checked,
    /// Renditions whose use is to be written down.
    used: Mutex<Vec<Key>>,
    /// Files that could not be removed; their space stays counted.
    undeleted: Mutex<Vec<(String, Charge<Digest>)>>,
    /// Bytes of the file system that are always left to others.
    min_free: u64,
    /// Whether the last write failed, and whether the last one found no room: one line of the log for each spell.
    failing: AtomicBool,
    full: AtomicBool,
    /// Whether the folder has gone from under us.
    lost: AtomicBool,
    stopping: AtomicBool,
    corrupt: Quiet,
    unreadable: Quiet,
    undeletable: Quiet,
    counters: Arc<Counters>,
}

/// Places in `fixed` after those of the fan-out folders.
const FIXED_STAGING: usize = FAN_OUT as usize;
const FIXED_NAMES: usize = FIXED_STAGING + 1;
const FIXED_OLDER: usize = FIXED_NAMES + 1;
const FIXED: usize = FIXED_OLDER + 1;

struct Pending<A> {
    original: Arc<str>,
    body: Arc<Object<A>>,
}

impl<A: Attributes> Disk<A> {
    /// Takes over the folder, made if it is not there, and starts its threads. Serving can begin at once: what has not
    /// been listed yet is listed when first asked for.
    ///
    /// # Errors
    /// Where the folder cannot be used, is not safe to be used, is another process's or of a newer layout.
    pub(crate) fn open(path: &Path, config: &Config, counters: Arc<Counters>) -> Result<Disk<A>> {
        folder::make(path)?;
        let dir = Folder::open(path)?;
        folder::distrust(&dir)?;
        refuse_newer(&dir)?;
        let name = format!("v{}", layout::VERSION);
        dir.make_folder(&name)?;
        let folder = dir.folder(&name)?;
        folder::distrust(&folder)?;
        folder.append(layout::LOCK)?;
        // held for reading: a file that is open to be written would keep the file system from being made read-only
        let held = folder.open_file(layout::LOCK)?;
        held.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => Error::new(ErrorKind::ResourceBusy, "another process uses it"),
            std::fs::TryLockError::Error(error) => error,
        })?;
        folder.make_folder(layout::STAGING)?;
        let names = OriginalPaths::load(&folder)?;
        let blocks = config.max_bytes / folder::BLOCK;
        // a name that shares its blocks takes a place in a folder all the same, and folders do not shrink: no more names
        // than files of a block each could be, or a flood of equal bodies would leave nothing but folders
        let files = config.max_files.min(u64::from(u32::MAX / 2)).min(blocks + layout::FIXED_FILES);
        let bound = Space { blocks, files };
        let shared = Arc::new(Shared {
            folder,
            lock: held,
            index: Mutex::new(Index::new(bound)),
            fixed: Mutex::new([Space::default(); FIXED]),
            listed: std::array::from_fn(|_| Mutex::new(false)),
            phase: Mutex::new(Phase::Listing),
            phase_changed: Condvar::new(),
            progress: AtomicU32::new(0),
            foreign: AtomicU64::new(0),
            pending: Mutex::default(),
            pending_bytes: AtomicU64::new(0),
            in_flight: Mutex::default(),
            landed: Condvar::new(),
            staged: StagedBodies::default(),
            max_in_flight: Space { blocks: bound.blocks / 16, files: bound.files / 16 },
            names: Mutex::new(names),
            older: Mutex::default(),
            next: AtomicU64::new(0),
            checked: Checked::default(),
            used: Mutex::default(),
            undeleted: Mutex::default(),
            min_free: config.min_free,
            failing: AtomicBool::new(false),
            full: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            corrupt: Quiet::default(),
            unreadable: Quiet::default(),
            undeletable: Quiet::default(),
            counters,
        });
        lock(&shared.index).set_fixed(Space { blocks: 0, files: layout::FIXED_FILES });
        let adopted = shared.adopt()?;
        let (stage, staging) = sync_channel(QUEUE);
        let (sync, syncing) = sync_channel(QUEUE);
        let spawn =
            |name: &str, work: Box<dyn FnOnce() + Send>| std::thread::Builder::new().name(name.into()).spawn(work);
        let (a, b, c) = (Arc::clone(&shared), Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            spawn("cache-stage", Box::new(move || a.stage_all(&staging, &sync)))?,
            spawn("cache-sync", Box::new(move || b.sync_all(&syncing)))?,
            spawn("cache-scan", Box::new(move || c.scan(&dir, &adopted)))?,
        ];
        Ok(Disk { shared, stage: Some(stage), threads })
    }

    /// The rendition of that key, checked against its name. Anything wrong with it makes it absent, for good.
    pub(crate) async fn get(&self, key: Key) -> Option<Arc<Object<A>>> {
        let shared = &self.shared;
        if let Some(pending) = lock(&shared.pending).get(&key) {
            return Some(Arc::clone(&pending.body));
        }
        shared.list(key.first_byte() % FAN_OUT);
        let record = lock(&shared.index).get(&key)?;
        let bytes = shared.checked(key, &record).await?;
        shared.touch(key);
        Some(Arc::new(Object { bytes: bytes.into(), digest: record.digest, attributes: record.attributes }))
    }

    /// Whether there is a rendition of that key, by the index alone.
    pub(crate) fn holds(&self, key: Key) -> bool {
        self.shared.list(key.first_byte() % FAN_OUT);
        lock(&self.shared.index).get(&key).is_some()
    }

    /// Notes that a rendition was used that was found elsewhere.
    pub(crate) fn touch(&self, key: Key) {
        self.shared.touch(key);
    }

    /// Hands a rendition over to be written. `true` once it would survive this process; `false` where it will not be
    /// kept, or where that is not known soon.
    pub(crate) async fn put(&self, original: &str, key: Key, body: &Arc<Object<A>>) -> bool {
        let shared = &self.shared;
        let length = body.bytes.len() as u64;
        let queued = shared.pending_bytes.fetch_add(length, Ordering::Relaxed) + length;
        let (staged, wait) = oneshot::channel();
        let accepted = queued <= QUEUE_BYTES.max(length) && {
            let original: Arc<str> = original.into();
            lock(&shared.pending).insert(key, Pending { original: Arc::clone(&original), body: Arc::clone(body) });
            let job = Job::write(original, key, Arc::clone(body), staged);
            self.stage.as_ref().is_some_and(|stage| stage.try_send(job).is_ok())
        };
        if !accepted {
            shared.drop_pending(key, body);
            shared.counters.not_stored.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        matches!(tokio::time::timeout(STAGED_WITHIN, wait).await, Ok(Ok(())))
    }

    /// Waits until everything handed over so far is on disk.
    pub(crate) fn flush(&self) {
        let (done, wait) = std::sync::mpsc::channel();
        if self.stage.as_ref().is_some_and(|stage| stage.send(Job::Flush(done)).is_ok()) {
            // the writers went away without answering only if they panicked, and then nothing is left to wait for
            let _ = wait.recv();
        }
    }

    /// Whether files can be written. After a write that failed, it is tried: a server that is sent no requests for not
    /// being ready would otherwise never find out.
    pub(crate) fn is_writable(&self) -> bool {
        self.shared.is_writable()
    }

    /// Whether the folder has been removed, or another one put in its place.
    pub(crate) fn is_lost(&self) -> bool {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Looks after what nobody waits for. To be called every second or so.
    pub(crate) fn tick(&self) {
        self.shared.tick();
    }

    /// Removes every rendition that is meant, those being written too.
    pub(crate) fn purge(&self, what: &Selection<'_>) -> HashSet<Key> {
        let purged = self.shared.purge(what);
        // what was being written is gone once the writers have seen that it is not wanted
        self.flush();
        purged
    }

    /// Removes one rendition.
    pub(crate) fn discard(&self, key: Key) {
        let shared = &self.shared;
        lock(&shared.pending).remove(&key);
        let removed = lock(&shared.index).remove(&key);
        if let Some(removed) = removed {
            shared.remove(&layout::path(key, &removed.value), removed.charge);
        }
    }

    /// How the folder stands; complete once it has been read in.
    pub(crate) fn usage(&self) -> Usage {
        let shared = &self.shared;
        let (used, bodies) = {
            let index = lock(&shared.index);
            (index.used(), index.inodes())
        };
        Usage {
            files: used.files,
            bytes: used.blocks * folder::BLOCK,
            bodies,
            foreign: shared.foreign.load(Ordering::Relaxed),
            scanned: f64::from(shared.progress.load(Ordering::Relaxed)) / 1000.0,
            pending: shared.pending_bytes.load(Ordering::Relaxed),
        }
    }
}

impl<A: Attributes> Drop for Disk<A> {
    /// Writes what was handed over, then lets go of the folder.
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.shared.phase_changed.notify_all();
        self.stage = None;
        for thread in self.threads.drain(..) {
            // one that panicked has said so
            let _ = thread.join();
        }
    }
}

impl<A: Attributes> Shared<A> {
    /// Reads a rendition; [`ErrorKind::InvalidData`] where it is not what its name says.
    async fn read(&self, key: Key, record: &Record<A>) -> Result<Vec<u8>> {
        let length = u64::from(record.length);
        let file = self.folder.read(&layout::path(key, record), length)?;
        let mut bytes = Vec::with_capacity(record.length as usize);
        tokio::fs::File::from_std(file).take(length + 1).read_to_end(&mut bytes).await?;
        let is_right = bytes.len() as u64 == length && Digest::of(&bytes) == record.digest;
        if is_right { Ok(bytes) } else { Err(ErrorKind::InvalidData.into()) }
    }

    fn touch(&self, key: Key) {
        if lock(&self.index).touch(&key, now()) {
            let mut used = lock(&self.used);
            // what does not fit is written down another time
            if used.len() < 4096 {
                used.push(key);
            }
        }
    }

    /// Takes a damaged file away. Its other names are as damaged; each goes when it is read, and none is linked to.
    fn drop_corrupt(&self, key: Key, record: &Record<A>) {
        self.counters.corrupt.fetch_add(1, Ordering::Relaxed);
        let file = layout::path(key, record);
        if let Some(others) = self.corrupt.say() {
            tracing::warn!(%file, others, "a cached file does not hold what its name says; it is removed");
        }
        let removed = {
            let mut index = lock(&self.index);
            let is_it = index.get(&key) == Some(*record);
            if is_it {
                index.note_corrupt(&key);
            }
            is_it.then(|| index.remove(&key)).flatten()
        };
        if let Some(removed) = removed {
            self.remove(&file, removed.charge);
        }
    }

    /// Takes out of the index what is no longer in the folder.
    fn forget(&self, key: Key, record: &Record<A>) {
        if let Some(removed) = self.take(key, record) {
            lock(&self.index).release(removed.charge);
        }
    }

    /// Takes an entry out if it still is the one that is meant.
    fn take(&self, key: Key, record: &Record<A>) -> Option<Removed<Key, Record<A>>> {
        let mut index = lock(&self.index);
        if index.get(&key) == Some(*record) { index.remove(&key) } else { None }
    }

    /// Removes a file that is no longer in the index; its space is free once it is gone.
    fn remove(&self, file: &str, charge: impl Into<Charge<Digest>>) {
        match self.folder.remove(file) {
            Ok(()) => drop(lock(&self.index).release(charge)),
            Err(error) => {
                if let Some(others) = self.undeletable.say() {
                    tracing::warn!(%file, %error, others, "a cached file cannot be removed; it stays counted");
                }
                lock(&self.undeleted).push((file.to_owned(), charge.into()));
            }
        }
    }

    /// Sets what one part of the store takes beside its entries.
    fn set_fixed(&self, place: usize, space: Space) {
        let mut fixed = lock(&self.fixed);
        if fixed[place] != space {
            fixed[place] = space;
            let sum = fixed.iter().fold(Space { blocks: 0, files: layout::FIXED_FILES }, |sum, part| Space {
                blocks: sum.blocks + part.blocks,
                files: sum.files + part.files,
            });
            lock(&self.index).set_fixed(sum);
        }
    }

    /// Gives up on writing a body that was handed over.
    fn drop_pending(&self, key: Key, body: &Arc<Object<A>>) {
        let mut pending = lock(&self.pending);
        if pending.get(&key).is_some_and(|pending| Arc::ptr_eq(&pending.body, body)) {
            pending.remove(&key);
        }
        self.pending_bytes.fetch_sub(body.bytes.len() as u64, Ordering::Relaxed);
    }

    fn purge(&self, what: &Selection<'_>) -> HashSet<Key> {
        let folders = match what {
            Selection::Original(path) => {
                let number = PathHash::of(path).first_byte() % FAN_OUT;
                number..number + 1
            }
            Selection::Prefix(_) => 0..FAN_OUT,
        };
        folders.for_each(|number| self.list(number));
        let is_meant = self.meant_by(what);
        let mut purged = HashSet::new();
        // a writer takes these locks in the same order when it is done: what it writes is found here or there
        lock(&self.pending).retain(|key, pending| {
            let keep = !what.matches(&pending.original);
            if !keep {
                purged.insert(*key);
            }
            keep
        });
        let mut from = Some(0);
        while let Some(at) = from {
            let (entries, next) = lock(&self.index).some(at, STEP * 8);
            for (key, record) in entries.into_iter().filter(|(key, _)| is_meant(*key)) {
                if let Some(removed) = self.take(key, &record) {
                    self.remove(&layout::path(key, &record), removed.charge);
                    purged.insert(key);
                }
            }
            from = next;
        }
        purged
    }

    /// Tells the keys that a purge means. One whose original's name is not known may be meant, so it is.
    fn meant_by(&self, what: &Selection<'_>) -> Box<dyn Fn(Key) -> bool> {
        match what {
            Selection::Original(path) => {
                let hash = PathHash::of(path);
                Box::new(move |key| key.original() == hash)
            }
            Selection::Prefix(prefix) => {
                let mut others = HashSet::new();
                let read = original_paths::read(&self.folder, |name| {
                    if !name.starts_with(prefix) {
                        others.insert(PathHash::of(name));
                    }
                });
                if let Err(error) = read {
                    tracing::warn!(%error, "the names of the originals cannot be read; everything is purged");
                    others.clear();
                }
                Box::new(move |key| !others.contains(&key.original()))
            }
        }
    }
}

/// Seconds since 1970, by the clock that file systems go by.
fn now() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

/// Lets one line into the log now and then, however often there would be something to say.
#[derive(Debug, Default)]
struct Quiet {
    said: Mutex<Option<Instant>>,
    unsaid: AtomicU64,
}

impl Quiet {
    /// How many times nothing was said since the last time, if something may be said now.
    fn say(&self) -> Option<u64> {
        const EVERY: Duration = Duration::from_secs(10);
        let mut said = lock(&self.said);
        if said.is_some_and(|at| at.elapsed() < EVERY) {
            self.unsaid.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *said = Some(Instant::now());
        Some(self.unsaid.swap(0, Ordering::Relaxed))
    }
}
