//! The scan of the folder at the start, and its maintenance later.

use std::collections::HashSet;
use std::io::{ErrorKind, Result};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{FIXED_LEGACY, FIXED_PATHS, Folder, LegacyLayouts, STEP, Shared, lock, now};
use crate::folder::{blocks, blocks_of};
use crate::index::{Inode, Space};
use crate::key::PathHash;
use crate::layout::{self, FAN_OUT, Record};
use crate::{Attributes, Digest, Key};

/// How far the scan has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Folders are being listed: nothing is written, since the space that is taken is not known.
    Listing,
    /// Times are being read: nothing is evicted, since the order of use is not known.
    Ordering,
    /// The scan has ended.
    Ready,
}

/// The nice value of the scanning thread.
const NICE: i32 = 10;

/// The interval of progress lines in the log.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

impl<A: Attributes> Shared<A> {
    /// Renames intact files that earlier processes staged, and removes unfinished ones. Returns the renamed files, which are to
    /// be synced.
    pub(crate) fn recover_staged(&self) -> Result<Vec<String>> {
        let mut staged = Vec::new();
        self.folder.list(layout::STAGING, |name, _| staged.extend(name.to_str().ok().map(str::to_owned)))?;
        let mut recovered = Vec::new();
        for name in staged {
            let path = format!("{}/{name}", layout::STAGING);
            match layout::parse_staged(&name) {
                Some((key, record)) if self.is_intact(&path, &record).unwrap_or(false) => {
                    self.folder.make_folder(&layout::folder(key.first_byte() % FAN_OUT))?;
                    let target = layout::path(key, &record);
                    self.folder.rename(&path, &target)?;
                    // rename(2) does nothing where both are links to one file
                    self.folder.remove(&path)?;
                    recovered.push(target);
                }
                None if name != layout::ORIGINAL_PATHS && !name.starts_with("probe-") => {
                    self.foreign.fetch_add(1, Ordering::Relaxed);
                }
                // a folder of such a name, for example
                _ if self.folder.remove(&path).is_err() => {
                    self.foreign.fetch_add(1, Ordering::Relaxed);
                }
                _ => {
                    self.counters.strays.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        if !recovered.is_empty() {
            tracing::info!(files = recovered.len(), "recovered staged files of a process that was killed");
        }
        Ok(recovered)
    }

    /// Whether a file holds what its name says.
    pub(crate) fn is_intact(&self, path: &str, record: &Record<A>) -> Result<bool> {
        let mut bytes = Vec::new();
        match self.folder.read(path, record.length.into()) {
            Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(false),
            file => std::io::Read::read_to_end(&mut file?, &mut bytes)?,
        };
        Ok(Digest::of(&bytes) == record.digest)
    }

    /// Reads the folder: first the names of files, then the time of the last use of each.
    pub(crate) fn scan(self: &Arc<Self>, dir: &Folder, recovered: &[String]) {
        // a failure only costs other threads some CPU
        let _ = rustix::process::setpriority_process(None, NICE);
        let started = Instant::now();
        let mut logged = started;
        let mut report = |part: u32| {
            self.progress.store(part, Ordering::Relaxed);
            if logged.elapsed() >= LOG_INTERVAL {
                logged = Instant::now();
                tracing::info!(percent = part / 10, "reading the cache folder");
            }
            !self.stopping.load(Ordering::Relaxed)
        };
        self.count_other_files(dir);
        for number in 0..FAN_OUT {
            self.list_folder(number);
            if !report(500 * (u32::from(number) + 1) / u32::from(FAN_OUT)) {
                return;
            }
        }
        self.enter_phase(Phase::Ordering);
        for path in recovered {
            // a file that cannot be synced now may be lost in a power failure, as before the kill
            let _ = self.folder.open_file(path).and_then(|file| file.sync_data());
        }
        let mut from = Some(0);
        while let Some(at) = from {
            let (entries, next) = lock(&self.index).entries(at, STEP);
            for (key, record) in entries {
                self.read_file_info(key, &record);
            }
            let all = lock(&self.index).len().max(1);
            // slots are numbered in the order in which files were found
            if !report(500 + u32::try_from(at.min(all) * 490 / all).unwrap_or(0)) {
                return;
            }
            from = next;
        }
        let mut order = lock(&self.index).unordered();
        order.sort_unstable_by(|a, b| b.cmp(a));
        for part in order.chunks(STEP) {
            lock(&self.index).order(part);
        }
        self.enter_phase(Phase::Ready);
        self.enforce_bounds();
        self.progress.store(1000, Ordering::Relaxed);
        let entries = lock(&self.index).len();
        let used = lock(&self.index).used();
        let (foreign, elapsed) = (self.foreign.load(Ordering::Relaxed), started.elapsed());
        tracing::info!(entries, bytes = used.blocks * 4096, foreign, ?elapsed, "finished reading the cache folder");
    }

    /// Counts files beside the fan-out folders.
    fn count_other_files(&self, dir: &Folder) {
        match LegacyLayouts::find::<A>(dir) {
            Ok(legacy) => {
                self.set_fixed(FIXED_LEGACY, legacy.space());
                *lock(&self.legacy) = legacy;
            }
            Err(error) => tracing::warn!(%error, "the files of an older layout cannot be read"),
        }
        if let Ok(file) = self.folder.append(layout::ORIGINAL_PATHS)
            && let Ok(blocks) = blocks_of(&file)
        {
            self.set_fixed(FIXED_PATHS, Space { blocks, files: 0 });
        }
        // a failure was logged when the folder was opened
        let _ = self.folder.list(".", |name, is_file| {
            let known = [layout::LOCK, layout::ORIGINAL_PATHS];
            if is_file && !name.to_str().is_ok_and(|name| known.contains(&name)) {
                self.foreign.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    /// Lists one fan-out folder into the index, once; `false` where it cannot be listed.
    pub(crate) fn list_folder(&self, number: u8) -> bool {
        let mut listed = lock(&self.listed[usize::from(number)]);
        if *listed {
            return true;
        }
        let name = layout::folder(number);
        let (mut found, mut foreign) = (Vec::new(), 0);
        let taken = self.folder.list_inodes(&name, |name, is_file, inode| {
            let parsed = name.to_str().ok().and_then(layout::parse);
            match parsed.filter(|(key, _)| is_file && layout::is_in(*key, number)) {
                Some((key, record)) => found.push((key, record, Inode::new(inode))),
                None => foreign += 1,
            }
        });
        match taken {
            Ok(blocks) => self.set_fixed(number.into(), Space { blocks: blocks.saturating_sub(1), files: 0 }),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                // tried again the next time
                if let Some(suppressed) = self.unreadable.allow() {
                    tracing::warn!(folder = name, %error, suppressed, "a folder of the cache cannot be listed");
                }
                return false;
            }
        }
        *listed = true;
        self.foreign.fetch_add(foreign, Ordering::Relaxed);
        let mut duplicates = Vec::new();
        for part in found.chunks(STEP) {
            let mut index = lock(&self.index);
            for &(key, record, inode) in part {
                let blocks = u32::try_from(blocks(record.length.into())).unwrap_or(u32::MAX);
                if !index.add_found(key, record, (inode, blocks)) && index.get(&key) != Some(record) {
                    duplicates.push((key, record));
                }
            }
        }
        for (key, record) in duplicates {
            // a kill between a rename and a removal leaves two files of one key
            let _ = self.folder.remove(&layout::path(key, &record));
        }
        true
    }

    /// Waits for a phase of the scan; `false` where it is not reached within `timeout`, or the store is closing.
    pub(crate) fn wait_for_phase(&self, wanted: Phase, timeout: Duration) -> bool {
        let began = Instant::now();
        let mut phase = lock(&self.phase);
        while *phase < wanted && began.elapsed() < timeout && !self.stopping.load(Ordering::Relaxed) {
            let waited = self.phase_changed.wait_timeout(phase, Duration::from_millis(50));
            phase = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        *phase >= wanted
    }

    fn enter_phase(&self, phase: Phase) {
        *lock(&self.phase) = phase;
        self.phase_changed.notify_all();
    }

    /// Reads the blocks of a file and the time of its last use into the index.
    fn read_file_info(&self, key: Key, record: &Record<A>) {
        match self.folder.file_info(&layout::path(key, record)) {
            Ok(info) if info.is_file && info.length == u64::from(record.length) => {
                let file = (Inode::new(info.inode()), u32::try_from(info.blocks).unwrap_or(u32::MAX));
                // a time in the future is no later use than one of now
                let used = info.seconds.min(now());
                lock(&self.index).set_details(&key, file, used, info.is_marked);
            }
            Ok(_) => self.remove_corrupt(key, record),
            Err(error) if error.kind() == ErrorKind::NotFound => self.forget(key, record),
            // found out when it is read
            Err(_) => {}
        }
    }

    /// Maintenance, called twice a second.
    pub(crate) fn tick(&self) {
        let is_current = self.lock.metadata().map_or(true, |lock| lock.nlink() > 0) && self.folder.is_current();
        if !is_current && !self.lost.swap(true, Ordering::Relaxed) {
            let dir = self.folder.path().display();
            tracing::warn!(%dir, "the cache folder was removed or replaced; it is reopened");
            return;
        }
        self.probe();
        let used = std::mem::take(&mut *lock(&self.used));
        for key in used {
            let record = lock(&self.index).get(&key);
            if let Some(record) = record {
                // without the mark the file may be evicted earlier after a restart
                let _ = self.folder.mark_used(&layout::path(key, &record), now());
            }
        }
        self.retry_undeleted(|_| true);
        if *lock(&self.phase) == Phase::Ready {
            self.enforce_bounds();
            // writes log that there is no space
            let _ = self.ensure_free_space(Space::default());
            self.compact_original_paths();
        }
    }

    /// Evicts files above the bounds, which may be lower than at the last start.
    fn enforce_bounds(&self) {
        while lock(&self.index).exceeds_bound() && matches!(self.evict_one(), Ok(Some(_))) {}
    }

    /// Removes paths of originals without files, once they are most of the list.
    fn compact_original_paths(&self) {
        let mut paths = lock(&self.original_paths);
        if paths.len() < 1024 + 2 * lock(&self.index).len() {
            return;
        }
        let mut needed: HashSet<PathHash> = lock(&self.pending).keys().map(|key| key.original()).collect();
        let mut from = Some(0);
        while let Some(at) = from {
            let (entries, next) = lock(&self.index).entries(at, STEP);
            needed.extend(entries.iter().map(|(key, _)| key.original()));
            from = next;
        }
        match paths.compact(&self.folder, &needed) {
            Ok(blocks) => self.set_fixed(FIXED_PATHS, Space { blocks, files: 0 }),
            Err(error) => tracing::warn!(%error, "the list of originals' paths cannot be rewritten"),
        }
    }
}
