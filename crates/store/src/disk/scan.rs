//! Reading the folder in at the start, and looking after it later.

use std::collections::HashSet;
use std::io::{ErrorKind, Result};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{FIXED_NAMES, FIXED_OLDER, Folder, LegacyLayouts, STEP, Shared, lock, now};
use crate::folder::{blocks, blocks_of};
use crate::index::{Inode, Space};
use crate::key::PathHash;
use crate::layout::{self, FAN_OUT, Record};
use crate::{Attributes, Digest, Key};

/// How far reading the folder in has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Names are being listed: what is there is not known, so nothing is written.
    Listing,
    /// Times are being read: what has been used least is not known, so nothing is evicted.
    Ordering,
    /// All is known.
    Ready,
}

/// How nice the thread is that reads the folder in: serving comes first.
const NICE: i32 = 10;

/// How often a long reading tells how far it is.
const TELL: Duration = Duration::from_secs(5);

impl<A: Attributes> Shared<A> {
    /// Takes in what earlier processes staged and did not rename, and removes what they left unfinished. Gives the
    /// files taken in, which are to be synced.
    pub(crate) fn adopt(&self) -> Result<Vec<String>> {
        let mut staged = Vec::new();
        self.folder.list(layout::STAGING, |name, _| staged.extend(name.to_str().ok().map(str::to_owned)))?;
        let mut adopted = Vec::new();
        for name in staged {
            let path = format!("{}/{name}", layout::STAGING);
            match layout::parse_staged(&name) {
                Some((key, record)) if self.holds(&path, &record).unwrap_or(false) => {
                    self.folder.make_folder(&layout::folder(key.first_byte() % FAN_OUT))?;
                    let target = layout::path(key, &record);
                    self.folder.rename(&path, &target)?;
                    // where both are names of one file already, renaming does nothing (POSIX)
                    self.folder.remove(&path)?;
                    adopted.push(target);
                }
                None if name != layout::NAMES && !name.starts_with("probe-") => {
                    self.foreign.fetch_add(1, Ordering::Relaxed);
                }
                // a folder of such a name, perhaps: in nobody's way
                _ if self.folder.remove(&path).is_err() => {
                    self.foreign.fetch_add(1, Ordering::Relaxed);
                }
                _ => {
                    self.counters.strays.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        if !adopted.is_empty() {
            tracing::info!(renditions = adopted.len(), "taken over from a process that was killed");
        }
        Ok(adopted)
    }

    /// Whether a file holds what its name says, as far as it can be read.
    pub(crate) fn holds(&self, path: &str, record: &Record<A>) -> Result<bool> {
        let mut bytes = Vec::new();
        match self.folder.read(path, record.length.into()) {
            Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(false),
            file => std::io::Read::read_to_end(&mut file?, &mut bytes)?,
        };
        Ok(Digest::of(&bytes) == record.digest)
    }

    /// Reads the whole folder in: first the names, then when each file was used.
    pub(crate) fn scan(self: &Arc<Self>, dir: &Folder, adopted: &[String]) {
        // serving comes first; without the right to be nicer it is read all the same
        let _ = rustix::process::setpriority_process(None, NICE);
        let started = Instant::now();
        let mut told = started;
        let mut tell = |part: u32| {
            self.progress.store(part, Ordering::Relaxed);
            if told.elapsed() >= TELL {
                told = Instant::now();
                tracing::info!(percent = part / 10, "reading the cache folder");
            }
            !self.stopping.load(Ordering::Relaxed)
        };
        self.count_rest(dir);
        for number in 0..FAN_OUT {
            self.list(number);
            if !tell(500 * (u32::from(number) + 1) / u32::from(FAN_OUT)) {
                return;
            }
        }
        self.enter(Phase::Ordering);
        for path in adopted {
            // what cannot be synced now is as good as what was not synced before the kill
            let _ = self.folder.open_file(path).and_then(|file| file.sync_data());
        }
        let mut from = Some(0);
        while let Some(at) = from {
            let (entries, next) = lock(&self.index).some(at, STEP);
            for (key, record) in entries {
                self.look_at(key, &record);
            }
            let all = lock(&self.index).len().max(1);
            // slots are numbered in the order they were found
            if !tell(500 + u32::try_from(at.min(all) * 490 / all).unwrap_or(0)) {
                return;
            }
            from = next;
        }
        let mut order = lock(&self.index).unplaced();
        order.sort_unstable_by(|a, b| b.cmp(a));
        for part in order.chunks(STEP) {
            lock(&self.index).place(part);
        }
        self.enter(Phase::Ready);
        self.keep_bounds();
        self.progress.store(1000, Ordering::Relaxed);
        let entries = lock(&self.index).len();
        let used = lock(&self.index).used();
        let (foreign, elapsed) = (self.foreign.load(Ordering::Relaxed), started.elapsed());
        tracing::info!(entries, bytes = used.blocks * 4096, foreign, ?elapsed, "the cache folder has been read");
    }

    /// Counts what lies beside the fan-out folders.
    fn count_rest(&self, dir: &Folder) {
        match LegacyLayouts::find::<A>(dir) {
            Ok(older) => {
                self.set_fixed(FIXED_OLDER, older.space());
                *lock(&self.older) = older;
            }
            Err(error) => tracing::warn!(%error, "an older cache in the same folder cannot be read"),
        }
        if let Ok(file) = self.folder.append(layout::NAMES)
            && let Ok(blocks) = blocks_of(&file)
        {
            self.set_fixed(FIXED_NAMES, Space { blocks, files: 0 });
        }
        // a folder that cannot be listed has been complained of when it was opened
        let _ = self.folder.list(".", |name, is_file| {
            let known = [layout::LOCK, layout::NAMES];
            if is_file && !name.to_str().is_ok_and(|name| known.contains(&name)) {
                self.foreign.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    /// Lists one fan-out folder into the index, once.
    pub(crate) fn list(&self, number: u8) {
        let mut listed = lock(&self.listed[usize::from(number)]);
        if *listed {
            return;
        }
        let name = layout::folder(number);
        let (mut found, mut foreign) = (Vec::new(), 0);
        let taken = self.folder.list_inodes(&name, |name, is_file, inode| {
            let ours = name.to_str().ok().and_then(layout::parse);
            match ours.filter(|(key, _)| is_file && layout::is_in(*key, number)) {
                Some((key, record)) => found.push((key, record, Inode::new(inode))),
                None => foreign += 1,
            }
        });
        match taken {
            Ok(blocks) => self.set_fixed(number.into(), Space { blocks: blocks.saturating_sub(1), files: 0 }),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                // it may be readable later
                if let Some(others) = self.unreadable.say() {
                    tracing::warn!(folder = name, %error, others, "a folder of the cache cannot be listed");
                }
                return;
            }
        }
        *listed = true;
        self.foreign.fetch_add(foreign, Ordering::Relaxed);
        let mut doubles = Vec::new();
        for part in found.chunks(STEP) {
            let mut index = lock(&self.index);
            for &(key, record, inode) in part {
                let blocks = u32::try_from(blocks(record.length.into())).unwrap_or(u32::MAX);
                if !index.found(key, record, (inode, blocks)) && index.get(&key) != Some(record) {
                    doubles.push((key, record));
                }
            }
        }
        for (key, record) in doubles {
            // two files of one key are what a kill between a rename and a removal leaves
            let _ = self.folder.remove(&layout::path(key, &record));
        }
    }

    /// Whether reading the folder in has come that far, waiting for it.
    pub(crate) fn reached(&self, wished: Phase, patience: Duration) -> bool {
        let began = Instant::now();
        let mut phase = lock(&self.phase);
        while *phase < wished && began.elapsed() < patience && !self.stopping.load(Ordering::Relaxed) {
            let waited = self.phase_changed.wait_timeout(phase, Duration::from_millis(50));
            phase = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        *phase >= wished
    }

    fn enter(&self, phase: Phase) {
        *lock(&self.phase) = phase;
        self.phase_changed.notify_all();
    }

    /// Looks at one file: what it takes, and when it was used.
    fn look_at(&self, key: Key, record: &Record<A>) {
        match self.folder.facts(&layout::path(key, record)) {
            Ok(facts) if facts.is_file && facts.length == u64::from(record.length) => {
                let file = (Inode::new(facts.inode()), u32::try_from(facts.blocks).unwrap_or(u32::MAX));
                // a file dated in the future was not used after one of today
                let used = facts.seconds.min(now());
                lock(&self.index).describe(&key, file, used, facts.is_marked);
            }
            Ok(_) => self.drop_corrupt(key, record),
            Err(error) if error.kind() == ErrorKind::NotFound => self.forget(key, record),
            // reading it will tell
            Err(_) => {}
        }
    }

    /// What is to be done every second or so.
    pub(crate) fn tick(&self) {
        let is_ours = self.lock.metadata().map_or(true, |lock| lock.nlink() > 0) && self.folder.is_current();
        if !is_ours && !self.lost.swap(true, Ordering::Relaxed) {
            let dir = self.folder.path().display();
            tracing::warn!(%dir, "the cache folder has been removed or replaced; it is opened anew");
            return;
        }
        // says itself when it is well again
        self.is_writable();
        let used = std::mem::take(&mut *lock(&self.used));
        for key in used {
            let record = lock(&self.index).get(&key);
            if let Some(record) = record {
                // whether it is written down that it was used decides at most how long it is kept after a restart
                let _ = self.folder.mark(&layout::path(key, &record), now());
            }
        }
        let undeleted = std::mem::take(&mut *lock(&self.undeleted));
        for (file, charge) in undeleted {
            self.remove(&file, charge);
        }
        if *lock(&self.phase) == Phase::Ready {
            self.keep_bounds();
            // said by the writes that find no room
            let _ = self.leave_free(Space::default());
            self.compact_names();
        }
    }

    /// Removes what is too much: the bounds may be lower than they were, and others may put things here.
    fn keep_bounds(&self) {
        while lock(&self.index).is_over() && matches!(self.evict_one(), Ok(Some(_))) {}
    }

    /// Forgets names that nothing is left of, once they are the most of the file.
    fn compact_names(&self) {
        let mut names = lock(&self.names);
        if names.len() < 1024 + 2 * lock(&self.index).len() {
            return;
        }
        let mut needed: HashSet<PathHash> = lock(&self.pending).keys().map(|key| key.original()).collect();
        let mut from = Some(0);
        while let Some(at) = from {
            let (entries, next) = lock(&self.index).some(at, STEP);
            needed.extend(entries.iter().map(|(key, _)| key.original()));
            from = next;
        }
        match names.compact(&self.folder, &needed) {
            Ok(blocks) => self.set_fixed(FIXED_NAMES, Space { blocks, files: 0 }),
            Err(error) => tracing::warn!(%error, "the list of originals' names cannot be written anew"),
        }
    }
}
