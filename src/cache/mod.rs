//! Where results are kept: in memory while they are hot, on disk under a bound, and made once at a time.
//!
//! A broken cache never fails a request: whatever goes wrong is logged and counted here, and ends here. The cache does
//! not know how a result is made; it is given a future that does it.

mod disk;
mod folder;
mod index;
#[cfg(test)]
mod index_tests;
pub mod inspect;
mod key;
mod layout;
#[cfg(test)]
mod model;
mod names;
mod sealed;
#[cfg(test)]
mod sharing_tests;
pub mod survey;
mod sync;
#[cfg(test)]
mod testsuite;

pub use disk::Usage;
pub use key::Key;
#[doc(hidden)]
pub use layout::name_again;
pub use sealed::{Sealed, WeakSealed, files as sealed_files, live as live_sealed};

use std::collections::HashSet;
use std::future::Future;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;

use crate::render::{Content, Encoded};
use crate::source::ImageId;
use disk::Disk;
use folder::Folder;
pub use tintype_single_flight::Waiters;
use tintype_single_flight::{Leader, SingleFlight};

/// How much is kept, and where.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder; what is in it and is not tintype's stays untouched. `None` keeps results in memory alone.
    pub dir: Option<PathBuf>,
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

    /// The digest that these digits say.
    pub fn from_hex(hex: &str) -> Option<Digest> {
        blake3::Hash::from_hex(hex).ok().map(Digest)
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Digest {
        Digest(hash)
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
    /// Whether they show what there is of a damaged original.
    pub damaged: bool,
    /// The file that they are, where they are kept in one.
    pub sealed: Option<Sealed>,
}

impl Body {
    /// Wraps what the renderer made.
    pub fn new(encoded: Encoded) -> Body {
        let Encoded { bytes, content, damaged } = encoded;
        Body { digest: Digest::of(&bytes), bytes: bytes.into(), content, damaged, sealed: None }
    }

    /// The same in a file, where that is of use and can be had.
    fn sealed(self: &Arc<Self>) -> Arc<Body> {
        let Some(sealed) = Sealed::copy(&self.bytes) else { return Arc::clone(self) };
        let Body { digest, content, damaged, .. } = **self;
        Arc::new(Body { bytes: sealed.bytes(), digest, content, damaged, sealed: Some(sealed) })
    }
}

/// A rendition as a file, for another program to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its path below the cache folder.
    pub path: String,
    /// Bytes.
    pub length: u64,
    /// Their digest.
    pub digest: Digest,
    /// What they are.
    pub content: Content,
    /// Whether they show what there is of a damaged original.
    pub damaged: bool,
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
    /// Bodies kept on disk.
    pub stored: AtomicU64,
    /// Those of them that became another name of a file with the same bytes.
    pub linked: AtomicU64,
    /// Bodies that should have been written and were not: the queue was full or the disk failed.
    pub not_stored: AtomicU64,
    /// Files removed to make room.
    pub evicted: AtomicU64,
    /// Files that did not hold what their names said.
    pub corrupt: AtomicU64,
    /// Files that were left unfinished by processes that were killed, and removed.
    pub strays: AtomicU64,
}

/// What is to be dropped.
#[derive(Clone, Debug)]
pub enum Purge {
    /// Every rendition of that original.
    Original(ImageId),
    /// Every rendition of every original whose name begins so; it ends with a slash, or is empty for all.
    Folder(String),
}

impl Purge {
    fn means(&self, id: &ImageId) -> bool {
        match self {
            Purge::Original(original) => original == id,
            Purge::Folder(prefix) => id.as_str().starts_with(prefix.as_str()),
        }
    }
}

/// How often the folder is looked after, and one that cannot be used is tried again.
const TICK: Duration = Duration::from_millis(500);

type Result<E> = std::result::Result<(Arc<Body>, Found), E>;

/// Bodies in memory and on disk, and those being made; `E` is how making one fails.
pub struct Cache<E> {
    hot: moka::sync::Cache<Key, Arc<Hot>>,
    /// Whether `hot` holds anything at all.
    has_memory: bool,
    place: Arc<Place>,
    /// Ends the keeper when it is dropped.
    keeper: Option<(Sender<()>, JoinHandle<()>)>,
    single_flight: Arc<SingleFlight<Key, ImageId, Result<E>>>,
    began: Instant,
}

/// A body in memory.
struct Hot {
    id: ImageId,
    /// `None` from the moment on at which it is evicted or purged: moka gives back what was removed when it comes to it.
    body: ArcSwapOption<Body>,
    /// Bytes that all of it takes.
    weight: u32,
    /// When the disk was last told of its use, in seconds since the start.
    touched: AtomicU32,
}

/// The folder, as it stands.
struct Place {
    state: RwLock<State>,
    config: Config,
    stats: Arc<Stats>,
}

enum State {
    /// There is to be none.
    None,
    /// It is ours.
    Open(Arc<Disk>),
    /// It is another process's.
    InUse,
    /// It cannot be used.
    Unusable,
}

/// How a cache has its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderState {
    /// Results are read from it and written to it.
    Open,
    /// Another process has it: results are neither read from it nor written to it until that process ends. Every request
    /// is answered all the same.
    InUse,
    /// It cannot be opened, or the last write failed.
    Unusable,
    /// The settings say that there is none.
    None,
}

impl FolderState {
    /// Each with its name in metrics.
    pub const ALL: [(FolderState, &str); 4] = [
        (FolderState::Open, "open"),
        (FolderState::InUse, "in_use"),
        (FolderState::Unusable, "unusable"),
        (FolderState::None, "none"),
    ];
}

impl Place {
    fn disk(&self) -> Option<Arc<Disk>> {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Open(disk) => Some(Arc::clone(disk)),
            State::None | State::InUse | State::Unusable => None,
        }
    }

    fn set(&self, state: State) {
        let former = std::mem::replace(&mut *self.state.write().unwrap_or_else(PoisonError::into_inner), state);
        // letting go of a folder takes time, and nobody should wait for the lock meanwhile
        drop(former);
    }

    /// Tries to open the folder. `is_first` where it has not been tried before.
    fn open(&self, is_first: bool) {
        let Some(path) = &self.config.dir else {
            self.set(State::None);
            return;
        };
        let dir = path.display();
        match Disk::open(path, &self.config, Arc::clone(&self.stats)) {
            Ok(disk) => {
                if !is_first {
                    tracing::info!(%dir, "the cache folder can be used now");
                }
                self.set(State::Open(Arc::new(disk)));
            }
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                if !matches!(*self.state.read().unwrap_or_else(PoisonError::into_inner), State::InUse) {
                    tracing::warn!(%dir, "another process uses the cache folder; serving goes on without it until that one ends");
                    self.set(State::InUse);
                }
            }
            Err(error) => {
                if is_first || !matches!(*self.state.read().unwrap_or_else(PoisonError::into_inner), State::Unusable) {
                    tracing::warn!(%dir, %error, "the cache folder cannot be used; serving goes on without it");
                    self.set(State::Unusable);
                }
            }
        }
    }

    fn keep(&self) {
        match self.disk() {
            Some(disk) => {
                disk.tick();
                if disk.is_lost() {
                    drop(disk);
                    self.set(State::Unusable);
                    self.open(false);
                }
            }
            None => self.open(false),
        }
    }
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// A cache in that folder. Where the folder cannot be used, that is logged, it is tried again now and then, and the
    /// cache works in memory alone.
    pub fn new(config: &Config) -> Cache<E> {
        let place = Place { state: RwLock::new(State::Unusable), config: config.clone(), stats: Arc::default() };
        place.open(true);
        let place = Arc::new(place);
        Cache {
            hot: hot(config.memory),
            has_memory: config.memory > 0,
            keeper: config.dir.as_ref().and_then(|_| keeper(Arc::clone(&place))),
            place,
            single_flight: Arc::default(),
            began: Instant::now(),
        }
    }

    /// The body of that key, which is a rendition of that original: from memory, from disk, or from `make`, which runs
    /// at most once at a time for a key, in a task of its own that goes on when the one who asked has left.
    ///
    /// # Errors
    /// What `make` failed with, for everyone who waited for it. A failure is not kept.
    pub async fn get_or_make<F>(
        self: &Arc<Self>, id: &ImageId, key: Key, make: impl FnOnce(Waiters) -> F + Send + 'static,
    ) -> std::result::Result<(Arc<Body>, Found), Failure<E>>
    where
        F: Future<Output = std::result::Result<Encoded, E>> + Send,
    {
        if let Some(body) = self.in_memory(key) {
            return Ok((body, Found::Memory));
        }
        let (waiter, leader) = self.single_flight.join(key, id.clone());
        let leads = leader.is_some();
        if let Some(leader) = leader {
            let (cache, id) = (Arc::clone(self), id.clone());
            tokio::spawn(async move {
                let result = cache.find_or_make(&id, key, &leader, make).await;
                leader.complete(result);
            });
        }
        match waiter.await {
            Some(Ok((body, Found::Made { stored, .. }))) => Ok((body, Found::Made { stored, collapsed: !leads })),
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => Err(Failure::Make(error)),
            None => Err(Failure::Lost),
        }
    }

    /// Whether the folder has a rendition of that key, by the index alone.
    pub fn is_on_disk(&self, key: Key) -> bool {
        self.place.disk().is_some_and(|disk| disk.holds(key))
    }

    /// The rendition of that key as a file, if it is one already. It was read and found right, now or not long ago; it
    /// may be evicted before whoever is told of it opens it.
    pub async fn stored(&self, key: Key) -> Option<Stored> {
        let disk = self.place.disk()?;
        disk.stored(key).await
    }

    async fn find_or_make<F>(
        &self, id: &ImageId, key: Key, leader: &Leader<Key, ImageId, Result<E>>, make: impl FnOnce(Waiters) -> F,
    ) -> Result<E>
    where
        F: Future<Output = std::result::Result<Encoded, E>>,
    {
        // another flight may have ended between the lookup in memory and the join
        if let Some(body) = self.in_memory(key) {
            return Ok((body, Found::Memory));
        }
        let disk = self.place.disk();
        if let Some(disk) = &disk
            && let Some(body) = disk.get(key).await
        {
            // asked for a second time, so that a flood of what is asked for once does not push out the rest
            self.keep_in_memory(id, key, &body, leader);
            return Ok((body, Found::Disk));
        }
        let body = Arc::new(Body::new(make(leader.waiters()).await?));
        let mut stored = false;
        if let Some(disk) = &disk
            && leader.is_valid()
        {
            stored = disk.put(id, key, &body).await;
            if !leader.is_valid() {
                // purged between the question and the putting
                disk.discard(key);
                stored = false;
            }
        }
        if !stored {
            self.keep_in_memory(id, key, &body, leader);
        }
        Ok((body, Found::Made { stored, collapsed: false }))
    }

    /// The body of that key if it is in memory.
    pub fn in_memory(&self, key: Key) -> Option<Arc<Body>> {
        if !self.has_memory {
            return None;
        }
        let hot = self.hot.get(&key)?;
        let body = hot.body.load_full()?;
        // the disk decides what goes by what was used, and most uses are seen here only
        let now = u32::try_from(self.began.elapsed().as_secs()).unwrap_or(u32::MAX);
        if hot.touched.swap(now, Ordering::Relaxed) != now
            && let Some(disk) = self.place.disk()
        {
            disk.touch(key);
        }
        Some(body)
    }

    fn keep_in_memory(&self, id: &ImageId, key: Key, body: &Arc<Body>, leader: &Leader<Key, ImageId, Result<E>>) {
        if self.has_memory && leader.is_valid() {
            self.hot.insert(key, Arc::new(Hot::new(id, body.sealed())));
            // purged at this moment
            if !leader.is_valid() {
                self.hot.invalidate(&key);
            }
            // by itself it evicts only after dozens of insertions, each of which may be a large body
            self.hot.run_pending_tasks();
        }
    }

    /// Removes every rendition that is meant, in memory and on disk, and says how many there were. What is being made
    /// meanwhile is sent to those who asked and not kept.
    pub fn purge(&self, what: &Purge) -> u64 {
        self.single_flight.invalidate(|id| what.means(id));
        let in_memory = || self.hot.iter().filter(|(_, hot)| what.means(&hot.id)).map(|(key, _)| *key);
        let mut purged: HashSet<Key> = in_memory().collect();
        if let Some(disk) = self.place.disk() {
            purged.extend(disk.purge(what));
        }
        // once more: what was found on disk meanwhile is in memory now
        in_memory().collect::<Vec<Key>>().iter().for_each(|key| self.hot.invalidate(key));
        purged.iter().for_each(|key| self.hot.invalidate(key));
        self.hot.run_pending_tasks();
        purged.len() as u64
    }

    /// Waits until everything that was made so far is on disk.
    pub fn flush(&self) {
        if let Some(disk) = self.place.disk() {
            disk.flush();
        }
    }

    /// How the folder stands at present. After a write that failed, it is tried.
    pub fn folder_state(&self) -> FolderState {
        match &*self.place.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::None => FolderState::None,
            State::Open(disk) if disk.is_writable() => FolderState::Open,
            State::InUse => FolderState::InUse,
            State::Open(_) | State::Unusable => FolderState::Unusable,
        }
    }

    /// Whether this process can keep renditions on disk at present.
    pub fn is_writable(&self) -> bool {
        self.folder_state() == FolderState::Open
    }

    /// The usage of the folder, as far as it has been read; zeros while it is not ours.
    pub fn usage(&self) -> Usage {
        self.place.disk().map_or_else(Usage::default, |disk| disk.usage())
    }

    /// Its bounds.
    pub fn config(&self) -> &Config {
        &self.place.config
    }

    /// Bodies in memory, and the bytes that they take.
    pub fn memory(&self) -> (u64, u64) {
        self.hot.run_pending_tasks();
        (self.hot.entry_count(), self.hot.weighted_size())
    }

    /// What happened so far.
    pub fn stats(&self) -> &Stats {
        &self.place.stats
    }
}

impl<E> Drop for Cache<E> {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.keeper.take() {
            drop(end);
            // one that panicked has said so
            let _ = thread.join();
        }
    }
}

/// Starts the thread that looks after the folder until the sender is dropped.
fn keeper(place: Arc<Place>) -> Option<(Sender<()>, JoinHandle<()>)> {
    let (end, ended) = channel();
    let keep = move || {
        while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            place.keep();
        }
    };
    let thread = std::thread::Builder::new().name("cache-keeper".into()).spawn(keep);
    let thread = thread.inspect_err(|error| tracing::warn!(%error, "no thread can be had to look after the cache"));
    Some((end, thread.ok()?))
}

impl Hot {
    fn new(id: &ImageId, body: Arc<Body>) -> Hot {
        // what an entry takes beside its body
        const OVERHEAD: usize = 480;
        let length = body.bytes.len();
        // a file takes whole pages
        let length = if body.sealed.is_some() { length.next_multiple_of(4096) } else { length };
        let weight = u32::try_from(length + id.as_str().len() + OVERHEAD).unwrap_or(u32::MAX);
        Hot { id: id.clone(), body: ArcSwapOption::new(Some(body)), weight, touched: AtomicU32::new(0) }
    }
}

fn hot(bytes: u64) -> moka::sync::Cache<Key, Arc<Hot>> {
    let cache = moka::sync::Cache::builder().max_capacity(bytes).weigher(|_: &Key, hot: &Arc<Hot>| hot.weight);
    // whoever is being sent it still holds it
    cache.eviction_listener(|_, hot, _| hot.body.store(None)).build()
}

/// Whether a folder, where it is there, is safe from others.
///
/// # Errors
/// Why it is not: whoever can write in it could have pictures of their own sent.
pub fn distrust(dir: &Path) -> std::io::Result<()> {
    match Folder::open(dir) {
        Ok(folder) => folder::distrust(&folder),
        Err(_) => Ok(()),
    }
}

/// Whether a folder could hold a cache: a file can be written in it or, where it is not there yet, in what is above it.
pub fn is_usable(dir: &Path) -> bool {
    let there = dir.ancestors().find(|dir| dir.exists());
    there.is_some_and(|dir| tempfile::Builder::new().prefix(".probe").tempfile_in(dir).is_ok())
}
