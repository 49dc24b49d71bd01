//! Renditions on disk: one plain file each, with its record in its name, `<key>.<blake3 of the body>.<length>.<ext>`.
//!
//! A file is staged, synced and renamed, so under a final name it is whole; and since its name says what it must hold,
//! whatever happens to it afterwards shows when it is read. There is no second file and no database: listing the
//! folders is the index. Writing happens behind the answers, on one thread with a bounded queue.

use std::collections::HashMap;
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use moka::notification::RemovalCause;

use super::{Body, Config, Digest, Key, Stats};
use crate::render::Content;

/// The layout of the folder. A change to it takes the next name and leaves the old one for the older program.
const LAYOUT: &str = "v1";

/// Renditions waiting to be written, in number and bytes; what comes beyond is not kept.
const QUEUE: usize = 256;
const QUEUE_BYTES: u64 = 64 << 20;

/// File systems give out space in blocks of this size.
const BLOCK: u64 = 4096;

/// What is known of a file from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    digest: Digest,
    length: u64,
    content: Content,
}

/// The folder, its index and its writer.
pub(super) struct Disk {
    shared: Arc<Shared>,
    queue: SyncSender<Job>,
}

struct Shared {
    root: PathBuf,
    index: moka::sync::Cache<Key, Record>,
    /// Which of the fan-out folders have been listed into the index.
    listed: Vec<Mutex<bool>>,
    /// What is in the queue, so that it is found before it is on disk.
    pending: Mutex<HashMap<Key, Arc<Body>>>,
    pending_bytes: AtomicU64,
    /// Held while this process lives: what it stages is its own. The name is the prefix of its staged files.
    staging: Staging,
    stats: Arc<Stats>,
    /// Bytes of the file system that are always left to others.
    min_free: u64,
    failing: AtomicBool,
    /// Whether the last file could not be read, for one line of the log rather than one a request.
    unreadable: AtomicBool,
}

enum Job {
    Write(Key),
    Flush(std::sync::mpsc::Sender<()>),
}

impl Disk {
    /// Opens the folder, made if it is not there, and starts its writer. Serving can begin at once: a folder that has
    /// not been listed yet is listed when first asked for.
    pub(super) fn open(config: &Config, stats: Arc<Stats>) -> std::io::Result<Disk> {
        let (max_bytes, max_files) = (config.max_bytes, config.max_files);
        let root = config.dir.join(LAYOUT);
        let staging_dir = root.join("staging");
        make_folder(&staging_dir)?;
        remove_strays(&staging_dir);
        let staging = Staging::new(&staging_dir)?;
        let shared = Arc::new_cyclic(|weak: &std::sync::Weak<Shared>| {
            let weak = weak.clone();
            let index = moka::sync::Cache::builder()
                .max_capacity(max_bytes / BLOCK)
                .weigher(move |_, record: &Record| blocks(record.length).max(files_weight(max_bytes, max_files)))
                .eviction_listener(move |key: Arc<Key>, record, cause| {
                    if cause == RemovalCause::Size
                        && let Some(shared) = weak.upgrade()
                    {
                        shared.stats.evicted.fetch_add(1, Ordering::Relaxed);
                        shared.remove(*key, &record);
                    }
                })
                .build();
            Shared {
                root,
                index,
                listed: (0..256).map(|_| Mutex::new(false)).collect(),
                pending: Mutex::default(),
                pending_bytes: AtomicU64::new(0),
                staging,
                stats,
                min_free: config.min_free,
                failing: AtomicBool::new(false),
                unreadable: AtomicBool::new(false),
            }
        });
        let (queue, jobs) = sync_channel(QUEUE);
        let writer = Arc::clone(&shared);
        std::thread::Builder::new().name("cache-writer".into()).spawn(move || writer.write_all(&jobs))?;
        let scanner = Arc::clone(&shared);
        std::thread::Builder::new().name("cache-scan".into()).spawn(move || scanner.scan())?;
        Ok(Disk { shared, queue })
    }

    /// The rendition of that key, checked against its name. Anything wrong with it makes it absent, for good.
    pub(super) async fn get(&self, key: Key) -> Option<Arc<Body>> {
        let shared = &self.shared;
        if let Some(body) = lock(&shared.pending).get(&key) {
            return Some(Arc::clone(body));
        }
        shared.list(key.fan_out());
        let record = shared.index.get(&key)?;
        let path = shared.path(key, &record);
        match tokio::fs::read(&path).await {
            Ok(bytes) if bytes.len() as u64 == record.length && Digest::of(&bytes) == record.digest => {
                shared.unreadable.store(false, Ordering::Relaxed);
                Some(Arc::new(Body { bytes: bytes.into(), digest: record.digest, content: record.content }))
            }
            Ok(_) => {
                shared.stats.corrupt.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(file = %path.display(), "a cached file does not hold what its name says; removed");
                shared.index.invalidate(&key);
                shared.remove(key, &record);
                None
            }
            Err(error) => {
                // either way it is made again; but what cannot be read now is still there and takes its space
                if error.kind() == std::io::ErrorKind::NotFound {
                    shared.index.invalidate(&key);
                } else if !shared.unreadable.swap(true, Ordering::Relaxed) {
                    tracing::warn!(file = %path.display(), %error, "a cached file cannot be read");
                }
                None
            }
        }
    }

    /// Hands a rendition to the writer; `false` where the queue is full and it will not be kept.
    pub(super) fn put(&self, key: Key, body: &Arc<Body>) -> bool {
        let shared = &self.shared;
        let length = body.bytes.len() as u64;
        let queued = shared.pending_bytes.fetch_add(length, Ordering::Relaxed) + length;
        let accepted = queued <= QUEUE_BYTES.max(length) && {
            lock(&shared.pending).insert(key, Arc::clone(body));
            self.queue.try_send(Job::Write(key)).is_ok()
        };
        if !accepted {
            lock(&shared.pending).remove(&key);
            shared.pending_bytes.fetch_sub(length, Ordering::Relaxed);
            shared.stats.not_stored.fetch_add(1, Ordering::Relaxed);
        }
        accepted
    }

    /// Waits until everything handed over so far is on disk.
    pub(super) fn flush(&self) {
        let (done, wait) = std::sync::mpsc::channel();
        if self.queue.send(Job::Flush(done)).is_ok() {
            // the writer went away without answering only if it panicked, and then nothing is left to wait for
            let _ = wait.recv();
        }
    }

    /// Whether files can be written. After a write that failed, it is tried: a server that is sent no requests for not
    /// being ready would otherwise never find out.
    pub(super) fn is_writable(&self) -> bool {
        let shared = &self.shared;
        if shared.failing.load(Ordering::Relaxed) && super::is_usable(&shared.staging.dir) {
            shared.failing.store(false, Ordering::Relaxed);
        }
        !shared.failing.load(Ordering::Relaxed)
    }

    /// Removes every rendition whose key `matches`, queued ones too, and says how many there were.
    pub(super) fn purge(&self, fan_out: Option<u8>, matches: impl Fn(Key) -> bool) -> u64 {
        self.flush();
        let shared = &self.shared;
        match fan_out {
            Some(folder) => shared.list(folder),
            None => (0..=255).for_each(|folder| shared.list(folder)),
        }
        let doomed: Vec<(Key, Record)> =
            shared.index.iter().filter(|(key, _)| matches(**key)).map(|(key, record)| (*key, record)).collect();
        for (key, record) in &doomed {
            shared.index.invalidate(key);
            shared.remove(*key, record);
        }
        doomed.len() as u64
    }

    /// Entries and bytes in the index; complete once the scan has ended.
    pub(super) fn usage(&self) -> (u64, u64) {
        self.shared.index.run_pending_tasks();
        (self.shared.index.entry_count(), self.shared.index.weighted_size() * BLOCK)
    }
}

impl Shared {
    fn write_all(&self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Write(key) => self.write_pending(key),
                Job::Flush(done) => {
                    self.index.run_pending_tasks();
                    // whoever waited may have given up
                    let _ = done.send(());
                }
            }
        }
    }

    fn write_pending(&self, key: Key) {
        let Some(body) = lock(&self.pending).get(&key).cloned() else { return };
        let record = Record { digest: body.digest, length: body.bytes.len() as u64, content: body.content };
        match self.write(key, &record, &body.bytes) {
            Ok(()) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the cache can be written again");
                }
                self.stats.stored.fetch_add(1, Ordering::Relaxed);
                self.index.insert(key, record);
            }
            Err(error) => {
                self.stats.not_stored.fetch_add(1, Ordering::Relaxed);
                // once, not for every request: the reason stays the same until it changes
                if !self.failing.swap(true, Ordering::Relaxed) {
                    let dir = self.root.display();
                    tracing::warn!(%dir, %error, "the cache cannot be written; serving goes on without it");
                }
            }
        }
        lock(&self.pending).remove(&key);
        self.pending_bytes.fetch_sub(body.bytes.len() as u64, Ordering::Relaxed);
    }

    /// Stage, sync, rename: a kill at any point leaves a whole file or a stray that the next start removes.
    fn write(&self, key: Key, record: &Record, bytes: &[u8]) -> std::io::Result<()> {
        let path = self.path(key, record);
        let folder = path.parent().unwrap_or(&self.root);
        if !folder.is_dir() {
            make_folder(folder)?;
        }
        make_folder(&self.staging.dir)?;
        self.check_free(record.length)?;
        let mut file = tempfile::Builder::new()
            .prefix(&self.staging.prefix)
            .suffix(".new")
            .permissions(std::fs::Permissions::from_mode(0o640))
            .tempfile_in(&self.staging.dir)?;
        file.write_all(bytes)?;
        file.as_file().sync_data()?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    }

    /// What others need on the same file system is not for a cache to take.
    fn check_free(&self, length: u64) -> std::io::Result<()> {
        let system = rustix::fs::statvfs(&self.root)?;
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        if free < self.min_free.saturating_add(length) {
            let text = format!("{free} bytes are free on its file system and {} must stay so", self.min_free);
            return Err(std::io::Error::other(text));
        }
        Ok(())
    }

    fn path(&self, key: Key, record: &Record) -> PathBuf {
        let Record { digest, length, content } = record;
        let name = format!("{}.{}.{length}.{}", key.to_hex(), digest.to_hex(), content.extension());
        self.root.join(format!("{:02x}", key.fan_out())).join(name)
    }

    fn remove(&self, key: Key, record: &Record) {
        let path = self.path(key, record);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(file = %path.display(), %error, "a cached file cannot be removed");
        }
    }

    /// Lists one fan-out folder into the index, once.
    fn list(&self, folder: u8) {
        let mut listed = lock(&self.listed[usize::from(folder)]);
        if *listed {
            return;
        }
        let entries = match std::fs::read_dir(self.root.join(format!("{folder:02x}"))) {
            Ok(entries) => entries,
            // a folder that is not there has nothing in it; one that cannot be read now may be later
            Err(error) => {
                *listed = error.kind() == std::io::ErrorKind::NotFound;
                return;
            }
        };
        *listed = true;
        for entry in entries.flatten() {
            if let Some((key, record)) = entry.file_name().to_str().and_then(parse_name)
                && key.fan_out() == folder
                && self.index.get(&key).is_none()
            {
                self.index.insert(key, record);
            }
        }
    }

    fn scan(&self) {
        let started = std::time::Instant::now();
        for folder in 0..=255 {
            self.list(folder);
        }
        self.index.run_pending_tasks();
        let (entries, elapsed) = (self.index.entry_count(), started.elapsed());
        tracing::info!(entries, ?elapsed, "the cache folder has been read");
    }
}

/// The key and record that a file name states, if it is one of ours.
fn parse_name(name: &str) -> Option<(Key, Record)> {
    let mut parts = name.split('.');
    let (key, digest, length, extension) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let record = Record {
        digest: Digest::from_hex(digest)?,
        length: length.parse().ok()?,
        content: Content::from_extension(extension)?,
    };
    Some((Key::from_hex(key)?, record))
}

fn blocks(length: u64) -> u32 {
    u32::try_from(length.div_ceil(BLOCK).max(1)).unwrap_or(u32::MAX)
}

/// What an entry weighs at least, so that `max_files` of them fill the capacity.
fn files_weight(max_bytes: u64, max_files: u64) -> u32 {
    u32::try_from(max_bytes / BLOCK / max_files.max(1)).unwrap_or(u32::MAX)
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    // the group may read: that is how nginx is given the files
    DirBuilder::new().recursive(true).mode(0o750).create(path)
}

/// A process's claim to its staged files: a locked file whose name begins theirs. The lock falls with the process.
struct Staging {
    dir: PathBuf,
    prefix: String,
    lock: PathBuf,
    _held: File,
}

impl Staging {
    fn new(dir: &Path) -> std::io::Result<Staging> {
        let claim = tempfile::Builder::new().suffix(".lock").tempfile_in(dir)?;
        claim.as_file().try_lock().map_err(std::io::Error::from)?;
        let (held, lock) = claim.keep().map_err(|error| error.error)?;
        let stem = lock.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Staging { dir: dir.to_owned(), prefix: format!("{stem}-"), lock, _held: held })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // left behind, it would only be one more stray for the next start
        let _ = std::fs::remove_file(&self.lock);
    }
}

/// Removes what processes that are gone have staged and not finished.
fn remove_strays(staging: &Path) {
    let names = || {
        let entries = std::fs::read_dir(staging).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect::<Vec<String>>()
    };
    let all = names();
    let alive: Vec<&str> = all
        .iter()
        .filter_map(|name| name.strip_suffix(".lock"))
        .filter(|stem| {
            let file = File::open(staging.join(format!("{stem}.lock")));
            file.is_ok_and(|file| matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock)))
        })
        .collect();
    let is_ours = |name: &str| name.starts_with(".tmp") && (name.ends_with(".new") || name.ends_with(".lock"));
    for name in all.iter().filter(|name| is_ours(name)) {
        let owned = alive.iter().any(|stem| name.starts_with(&format!("{stem}-")) || *name == format!("{stem}.lock"));
        if !owned {
            // a stray that cannot be removed takes space but does no harm
            let _ = std::fs::remove_file(staging.join(name));
        }
    }
}

/// A lock whose holder panicked still guards what it guards: every change under it is a single insert or remove.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
