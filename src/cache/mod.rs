//! Where results are kept: in memory while they are hot, on disk under a bound, and made once at a time.
//!
//! A broken cache never fails a request: whatever goes wrong is logged and counted here, and ends here. The cache does
//! not know how a result is made; it is given a future that does it.

mod disk;
mod key;
#[cfg(test)]
mod testsuite;

pub use key::Key;

use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use crate::render::{Content, Encoded};
use crate::source::ImageId;
use disk::Disk;

/// How much is kept, and where.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder; what is in it and is not tintype's stays untouched.
    pub dir: PathBuf,
    /// The most bytes on disk, in whole blocks.
    pub max_bytes: u64,
    /// The most files.
    pub max_files: u64,
    /// Bytes of the file system that are left to others.
    pub min_free: u64,
    /// The most bytes of bodies held in memory.
    pub memory: u64,
}

/// The blake3 digest of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(blake3::Hash);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(blake3::hash(bytes))
    }

    /// As 64 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.to_hex().to_string()
    }

    fn from_hex(hex: &str) -> Option<Digest> {
        blake3::Hash::from_hex(hex).ok().map(Digest)
    }
}

/// A rendition's bytes.
#[derive(Clone, Debug)]
pub struct Body {
    /// All of them; clones share one allocation.
    pub bytes: Bytes,
    /// Their digest.
    pub digest: Digest,
    /// What they are.
    pub content: Content,
}

impl Body {
    /// Wraps what the renderer made.
    pub fn new(encoded: Encoded) -> Body {
        let Encoded { bytes, content } = encoded;
        Body { digest: Digest::of(&bytes), bytes: bytes.into(), content }
    }
}

/// How a body came to be at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It was in memory.
    Memory,
    /// It was on disk.
    Disk,
    /// It was made.
    Made {
        /// Whether it goes to disk.
        stored: bool,
        /// Whether it was made for another request that asked first.
        collapsed: bool,
    },
}

/// Why there is no body.
#[derive(Clone, Debug)]
pub enum Failure<E> {
    /// Making it failed.
    Make(E),
    /// The task that made it ended without a result: a bug, told from the error of the work itself.
    Lost,
}

/// Counters of what happened, for metrics and logs.
#[derive(Debug, Default)]
pub struct Stats {
    /// Bodies written to disk.
    pub stored: AtomicU64,
    /// Bodies that should have been written and were not: the queue was full or the disk failed.
    pub not_stored: AtomicU64,
    /// Files removed to make room.
    pub evicted: AtomicU64,
    /// Files that did not hold what their names said.
    pub corrupt: AtomicU64,
}

/// How long a folder that cannot be used is left alone before it is tried again.
const RETRY: Duration = Duration::from_secs(5);

type Flight<E> = watch::Receiver<Option<Result<(Arc<Body>, Found), E>>>;

/// Bodies in memory and on disk, and those being made; `E` is how making one fails.
pub struct Cache<E> {
    hot: moka::sync::Cache<Key, Arc<Body>>,
    disk: RwLock<Option<Arc<Disk>>>,
    /// When it was last tried to open the folder, while it could not be.
    tried: Mutex<Instant>,
    config: Config,
    flights: Mutex<HashMap<Key, Flight<E>>>,
    stats: Arc<Stats>,
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// A cache in that folder. Where the folder cannot be used, that is logged and the cache works in memory alone.
    pub fn new(config: &Config) -> Cache<E> {
        let stats = Arc::<Stats>::default();
        let disk = Disk::open(config, Arc::clone(&stats));
        let disk = disk.inspect_err(|error| {
            tracing::warn!(dir = %config.dir.display(), %error, "the cache folder cannot be used; serving goes on without it");
        });
        Cache {
            hot: hot(config.memory),
            disk: RwLock::new(disk.ok().map(Arc::new)),
            tried: Mutex::new(Instant::now()),
            config: config.clone(),
            flights: Mutex::default(),
            stats,
        }
    }

    /// The folder, tried again now and then while it cannot be used.
    fn disk(&self) -> Option<Arc<Disk>> {
        let open = self.disk.read().unwrap_or_else(PoisonError::into_inner).clone();
        if open.is_some() {
            return open;
        }
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        if tried.elapsed() < RETRY {
            return None;
        }
        *tried = Instant::now();
        let disk = Arc::new(Disk::open(&self.config, Arc::clone(&self.stats)).ok()?);
        tracing::info!(dir = %self.config.dir.display(), "the cache folder can be used now");
        *self.disk.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&disk));
        Some(disk)
    }

    /// The body of that key: from memory, from disk, or from `make`, which runs at most once at a time for a key, in a
    /// task of its own that goes on when the one who asked has left.
    ///
    /// # Errors
    /// What `make` failed with, for everyone who waited for it. A failure is not kept.
    pub async fn get_or_make<F>(
        self: &Arc<Self>, key: Key, make: impl FnOnce() -> F + Send + 'static,
    ) -> Result<(Arc<Body>, Found), Failure<E>>
    where
        F: Future<Output = Result<Encoded, E>> + Send,
    {
        if let Some(body) = self.hot.get(&key) {
            return Ok((body, Found::Memory));
        }
        let (mut flight, leads) = self.join(key, make);
        let result = match flight.wait_for(Option::is_some).await {
            Ok(result) => result.clone(),
            Err(_) => None,
        };
        match result {
            Some(Ok((body, Found::Made { stored, .. }))) => Ok((body, Found::Made { stored, collapsed: !leads })),
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => Err(Failure::Make(error)),
            None => Err(Failure::Lost),
        }
    }

    /// The flight for that key, and whether it was begun by this call.
    fn join<F>(self: &Arc<Self>, key: Key, make: impl FnOnce() -> F + Send + 'static) -> (Flight<E>, bool)
    where
        F: Future<Output = Result<Encoded, E>> + Send,
    {
        let mut flights = self.flights();
        if let Some(flight) = flights.get(&key) {
            return (flight.clone(), false);
        }
        let (landed, flight) = watch::channel(None);
        flights.insert(key, flight.clone());
        drop(flights);
        let landing = Landing { cache: Arc::clone(self), key };
        tokio::spawn(async move {
            let result = landing.cache.find_or_make(key, make).await;
            // first out of the map, then told: whoever asks after the answer finds it in memory or on disk
            drop(landing);
            // nobody may be left to hear it
            let _ = landed.send(Some(result));
        });
        (flight, true)
    }

    async fn find_or_make<F>(&self, key: Key, make: impl FnOnce() -> F) -> Result<(Arc<Body>, Found), E>
    where
        F: Future<Output = Result<Encoded, E>>,
    {
        // another flight may have landed between the look into memory and the joining
        if let Some(body) = self.hot.get(&key) {
            return Ok((body, Found::Memory));
        }
        let disk = self.disk();
        if let Some(disk) = &disk
            && let Some(body) = disk.get(key).await
        {
            self.hot.insert(key, Arc::clone(&body));
            return Ok((body, Found::Disk));
        }
        let body = Arc::new(Body::new(make().await?));
        let stored = disk.as_ref().is_some_and(|disk| disk.put(key, &body));
        self.hot.insert(key, Arc::clone(&body));
        Ok((body, Found::Made { stored, collapsed: false }))
    }

    fn flights(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Flight<E>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes every rendition of an original, in memory and on disk, and says how many files there were.
    pub fn purge(&self, id: &ImageId) -> u64 {
        let doomed: Vec<Key> = self.hot.iter().map(|(key, _)| *key).filter(|key| key.is_of(id)).collect();
        let mut purged = doomed.len() as u64;
        if let Some(disk) = self.disk() {
            let folder = Key::fan_out_of(id);
            purged = purged.max(disk.purge(Some(folder), |key| key.is_of(id)));
        }
        doomed.iter().for_each(|key| self.hot.invalidate(key));
        purged
    }

    /// Waits until everything that was made so far is on disk.
    pub fn flush(&self) {
        if let Some(disk) = self.disk() {
            disk.flush();
        }
    }

    /// Whether renditions can be kept on disk at present.
    pub fn is_writable(&self) -> bool {
        self.disk().is_some_and(|disk| disk.is_writable())
    }

    /// Files and bytes on disk, as far as the folder has been read.
    pub fn usage(&self) -> (u64, u64) {
        self.disk().map_or((0, 0), |disk| disk.usage())
    }

    /// What happened so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}

/// Takes a flight out of the map however its task ends, so that nobody joins one that has crashed.
struct Landing<E: Clone + Send + Sync + 'static> {
    cache: Arc<Cache<E>>,
    key: Key,
}

impl<E: Clone + Send + Sync + 'static> Drop for Landing<E> {
    fn drop(&mut self) {
        self.cache.flights().remove(&self.key);
    }
}

fn hot(bytes: u64) -> moka::sync::Cache<Key, Arc<Body>> {
    // what an entry takes beside its body
    const OVERHEAD: usize = 400;
    let weight = |_: &Key, body: &Arc<Body>| u32::try_from(body.bytes.len() + OVERHEAD).unwrap_or(u32::MAX);
    moka::sync::Cache::builder().max_capacity(bytes).weigher(weight).build()
}

/// Whether a folder could hold a cache: it is or can be made, and a file can be written in it.
pub fn is_usable(dir: &Path) -> bool {
    let made = std::fs::create_dir_all(dir);
    made.is_ok() && tempfile::Builder::new().prefix(".probe").tempfile_in(dir).is_ok()
}
