//! An open store folder. The promises are on the crate's page; this is how the parts work together.
//!
//! [`Disk::put`] queues a file for the staging thread, which reserves space and writes or links it (`write.rs`, `space.rs`,
//! `link.rs`); the syncing thread syncs it and renames it to its final name. The scanning thread reads the folder into the
//! [`Index`] at the start (`scan.rs`) and ends. [`Disk::tick`] does the work that no request waits for. One process at a time holds the
//! folder's lock, so the index is the whole truth.

mod legacy;
mod link;
mod purge;
mod put;
mod scan;
mod space;
mod verified;
mod write;

use std::collections::HashMap;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::SystemTime;

use crate::folder::{self, Folder};
use crate::index::{Charge, Index, Removed, Space};
use crate::layout::{self, FAN_OUT, Record};
use crate::log_throttle::LogThrottle;
use crate::original_paths::OriginalPaths;
use crate::sync::lock;
use crate::{Attributes, Config, Counters, Digest, Key, Object, Purged, Selection, Usage};
use legacy::LegacyLayouts;
pub(crate) use legacy::refuse_newer;
use link::StagedBodies;
use scan::Phase;
use verified::VerifiedFiles;
use write::StageJob;

/// Files waiting to be staged; more are not stored.
const QUEUE: usize = 256;

/// How many entries are handled before the lock of the index is released for others.
const STEP: usize = 512;

/// An open folder, its index and its threads.
pub(crate) struct Disk<A: Attributes> {
    shared: Arc<Shared<A>>,
    stage: Option<SyncSender<StageJob<A>>>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared<A: Attributes> {
    /// The folder of this layout version.
    folder: Folder,
    /// Held while this process owns the folder.
    lock: File,
    index: Mutex<Index<Key, Record<A>>>,
    /// Space that the store takes besides its entries: of each fan-out folder without its first block, then the rest.
    fixed: Mutex<[Space; FIXED]>,
    /// Whether each fan-out folder has been listed into the index.
    listed: [Mutex<bool>; FAN_OUT as usize],
    phase: Mutex<Phase>,
    phase_changed: Condvar,
    /// How much of the folder has been read, in thousandths.
    progress: AtomicU32,
    /// Files in the folder that are not the store's.
    foreign: AtomicU64,
    /// Files that are being written, found before they are on disk.
    pending: Mutex<HashMap<Key, Pending<A>>>,
    pending_bytes: AtomicU64,
    /// Space that is reserved for files that are staged and not renamed yet.
    in_flight: Mutex<Space>,
    in_flight_released: Condvar,
    /// Bodies of files that are staged and not renamed yet.
    staged: StagedBodies,
    /// The bound of `in_flight`, unless it is one file: files that wait for the disk must not evict files in use.
    max_in_flight: Space,
    original_paths: Mutex<OriginalPaths>,
    legacy: Mutex<LegacyLayouts>,
    /// Numbers staged files.
    next: AtomicU64,
    verified: VerifiedFiles,
    /// Files whose use is to be marked.
    used: Mutex<Vec<Key>>,
    /// Files that could not be removed and stay counted.
    undeleted: Mutex<Vec<(String, Charge<Digest>)>>,
    /// Bytes of the file system that are always left to others.
    min_free: u64,
    /// Whether the last write failed, and whether it found no space: logged once until a write succeeds.
    failing: AtomicBool,
    full: AtomicBool,
    /// Whether the folder was removed or replaced.
    lost: AtomicBool,
    stopping: AtomicBool,
    corrupt: LogThrottle,
    unreadable: LogThrottle,
    undeletable: LogThrottle,
    counters: Arc<Counters>,
}

/// Indices of `fixed` after those of the fan-out folders.
const FIXED_STAGING: usize = FAN_OUT as usize;
const FIXED_PATHS: usize = FIXED_STAGING + 1;
const FIXED_LEGACY: usize = FIXED_PATHS + 1;
const FIXED: usize = FIXED_LEGACY + 1;

struct Pending<A> {
    original: Arc<str>,
    object: Arc<Object<A>>,
}

impl<A: Attributes> Disk<A> {
    /// Opens the folder, created if it is missing, and starts its threads. Files are found at once: a fan-out folder that the
    /// scan has not reached is listed when it is first needed.
    ///
    /// # Errors
    /// Where the folder cannot be used, other users can write in it, another process has it, or its layout is newer.
    pub(crate) fn open(path: &Path, config: &Config, counters: Arc<Counters>) -> Result<Disk<A>> {
        let (dir, folder, held) = open_folder(path)?;
        folder.make_folder(layout::STAGING)?;
        let original_paths = OriginalPaths::load(&folder)?;
        let blocks = config.max_bytes / folder::BLOCK;
        // links that share blocks still take space in folders, which never shrink: as many links as there could be files of
        // one block, or a flood of equal bodies would leave room for nothing but folders
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
            in_flight_released: Condvar::new(),
            staged: StagedBodies::default(),
            max_in_flight: Space { blocks: bound.blocks / 16, files: bound.files / 16 },
            original_paths: Mutex::new(original_paths),
            legacy: Mutex::default(),
            next: AtomicU64::new(0),
            verified: VerifiedFiles::default(),
            used: Mutex::default(),
            undeleted: Mutex::default(),
            min_free: config.min_free,
            failing: AtomicBool::new(false),
            full: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            corrupt: LogThrottle::default(),
            unreadable: LogThrottle::default(),
            undeletable: LogThrottle::default(),
            counters,
        });
        lock(&shared.index).set_fixed(Space { blocks: 0, files: layout::FIXED_FILES });
        let recovered = shared.recover_staged()?;
        let (stage, staging) = sync_channel(QUEUE);
        let (sync, syncing) = sync_channel(QUEUE);
        let spawn =
            |name: &str, work: Box<dyn FnOnce() + Send>| std::thread::Builder::new().name(name.into()).spawn(work);
        let (a, b, c) = (Arc::clone(&shared), Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            spawn("cache-stage", Box::new(move || a.stage_all(&staging, &sync)))?,
            spawn("cache-sync", Box::new(move || b.sync_all(&syncing)))?,
            spawn("cache-scan", Box::new(move || c.scan(&dir, &recovered)))?,
        ];
        Ok(Disk { shared, stage: Some(stage), threads })
    }

    /// The file of that key, verified. A damaged one is removed.
    pub(crate) async fn get(&self, key: Key) -> Option<Arc<Object<A>>> {
        let shared = &self.shared;
        if let Some(pending) = lock(&shared.pending).get(&key) {
            return Some(Arc::clone(&pending.object));
        }
        shared.list_folder(key.first_byte() % FAN_OUT);
        let record = lock(&shared.index).get(&key)?;
        let bytes = shared.read_verified(key, &record).await?;
        shared.touch(key);
        Some(Arc::new(Object { bytes: bytes.into(), digest: record.digest, attributes: record.attributes }))
    }

    pub(crate) fn contains(&self, key: Key) -> bool {
        self.shared.list_folder(key.first_byte() % FAN_OUT);
        lock(&self.shared.index).get(&key).is_some()
    }

    pub(crate) fn touch(&self, key: Key) {
        self.shared.touch(key);
    }

    /// Waits until everything handed over so far is on disk.
    pub(crate) fn flush(&self) {
        let (done, wait) = std::sync::mpsc::channel();
        if self.stage.as_ref().is_some_and(|stage| stage.send(StageJob::Flush(done)).is_ok()) {
            // the threads end without an answer only if they panicked
            let _ = wait.recv();
        }
    }

    /// Whether files can be written, by the last write or the last tick.
    pub(crate) fn is_writable(&self) -> bool {
        !self.shared.failing.load(Ordering::Relaxed) && !self.is_lost()
    }

    /// Whether the folder has been removed, or another one put in its place.
    pub(crate) fn is_lost(&self) -> bool {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Maintenance; to be called twice a second.
    pub(crate) fn tick(&self) {
        self.shared.tick();
    }

    /// Removes the selected files, those being written too.
    pub(crate) fn purge(&self, selection: &Selection<'_>) -> Purged {
        let is_selected = self.shared.key_filter(selection);
        let mut purged = self.shared.purge(selection, &is_selected);
        // the threads remove files that were being written
        self.flush();
        purged.undeleted = self.shared.retry_undeleted(&is_selected);
        purged
    }

    /// Files that were removed from the index and cannot be removed from the folder at present.
    pub(crate) fn undeleted(&self) -> usize {
        lock(&self.shared.undeleted).len()
    }

    pub(crate) fn remove(&self, key: Key) {
        let shared = &self.shared;
        shared.list_folder(key.first_byte() % FAN_OUT);
        lock(&shared.pending).remove(&key);
        let removed = lock(&shared.index).remove(&key);
        if let Some(removed) = removed {
            shared.remove_file(&layout::path(key, &removed.value), removed.charge);
        }
    }

    /// How full the folder is; complete once it has been read.
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

/// The folder, the one of this layout in it, and the lock that this process has on it.
fn open_folder(path: &Path) -> Result<(Folder, Folder, File)> {
    folder::create_all(path)?;
    let dir = Folder::open(path)?;
    folder::check_permissions(&dir)?;
    refuse_newer(&dir)?;
    let name = format!("v{}", layout::VERSION);
    dir.make_folder(&name)?;
    let folder = dir.folder(&name)?;
    folder::check_permissions(&folder)?;
    folder.append(layout::LOCK)?;
    // opened for reading: a file open for writing would keep the file system from being remounted read-only
    let held = folder.open_file(layout::LOCK)?;
    held.try_lock().map_err(|error| match error {
        std::fs::TryLockError::WouldBlock => Error::new(ErrorKind::ResourceBusy, "another process uses it"),
        std::fs::TryLockError::Error(error) => error,
    })?;
    Ok((dir, folder, held))
}

impl<A: Attributes> Drop for Disk<A> {
    /// Writes the files that were handed over and releases the folder.
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.shared.phase_changed.notify_all();
        self.stage = None;
        for thread in self.threads.drain(..) {
            // a panic in it was printed
            let _ = thread.join();
        }
    }
}

impl<A: Attributes> Shared<A> {
    fn touch(&self, key: Key) {
        if lock(&self.index).touch(&key, now()) {
            let mut used = lock(&self.used);
            // others are marked at their next use
            if used.len() < 4096 {
                used.push(key);
            }
        }
    }

    /// Removes a damaged file. Its other links are as damaged; each is removed when it is read, and none is linked to.
    fn remove_corrupt(&self, key: Key, record: &Record<A>) {
        self.counters.corrupt.fetch_add(1, Ordering::Relaxed);
        let file = layout::path(key, record);
        if let Some(suppressed) = self.corrupt.allow() {
            tracing::warn!(%file, suppressed, "a cached file does not hold what its name says; it is removed");
        }
        let removed = {
            let mut index = lock(&self.index);
            let is_it = index.get(&key) == Some(*record);
            if is_it {
                index.mark_corrupt(&key);
            }
            is_it.then(|| index.remove(&key)).flatten()
        };
        if let Some(removed) = removed {
            self.remove_file(&file, removed.charge);
        }
    }

    /// Removes an entry whose file is gone from the index.
    fn forget(&self, key: Key, record: &Record<A>) {
        if let Some(removed) = self.remove_entry(key, record) {
            lock(&self.index).release(removed.charge);
        }
    }

    /// Removes an entry from the index if it still is that record.
    fn remove_entry(&self, key: Key, record: &Record<A>) -> Option<Removed<Key, Record<A>>> {
        let mut index = lock(&self.index);
        if index.get(&key) == Some(*record) { index.remove(&key) } else { None }
    }

    /// Removes a file that is no longer in the index and then releases its space.
    fn remove_file(&self, file: &str, charge: impl Into<Charge<Digest>>) {
        match self.folder.remove(file) {
            Ok(()) => drop(lock(&self.index).release(charge)),
            Err(error) => {
                if let Some(suppressed) = self.undeletable.allow() {
                    tracing::warn!(%file, %error, suppressed, "a cached file cannot be removed; it stays counted");
                }
                lock(&self.undeleted).push((file.to_owned(), charge.into()));
            }
        }
    }

    /// Tries again to remove files that could not be; returns how many of the selected ones stay.
    fn retry_undeleted(&self, is_selected: impl Fn(Key) -> bool) -> usize {
        let (mut selected, mut error) = (0, None);
        lock(&self.undeleted).retain(|(file, charge)| {
            let parsed = layout::parse_path::<A>(file);
            // written again since, under the same name
            let is_replaced = parsed.is_some_and(|(key, record)| lock(&self.index).get(&key) == Some(record));
            let removed = if is_replaced { Ok(()) } else { self.folder.remove(file) };
            match removed {
                Ok(()) => drop(lock(&self.index).release(*charge)),
                Err(failed) => {
                    selected += usize::from(parsed.is_some_and(|(key, _)| is_selected(key)));
                    error = Some((file.clone(), failed));
                    return true;
                }
            }
            false
        });
        if let Some((file, error)) = error
            && let Some(suppressed) = self.undeletable.allow()
        {
            tracing::warn!(%file, %error, suppressed, "a cached file cannot be removed; it stays counted");
        }
        selected
    }

    /// Sets the space of one part of the store besides its entries.
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
}

/// Seconds since 1970, by the clock that file systems go by.
fn now() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}
