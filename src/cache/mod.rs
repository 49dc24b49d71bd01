//! Where renditions are kept: in memory while they are hot, on disk under a bound, and made once at a time.
//!
//! A broken cache never fails a request: whatever goes wrong is logged and counted in the store, and ends there. The cache
//! does not know how a rendition is made; it is given a future that does it.

mod attributes;
mod key;
mod memfd;
#[cfg(test)]
mod model;
#[cfg(test)]
mod testsuite;

pub use key::rendition_key;
pub use memfd::{MemfdBytes, WeakMemfdBytes, max_files as max_memfds, usage as memfd_usage};
pub use tintype_single_flight::Waiters;
pub use tintype_store::stats::Survey;
pub use tintype_store::{Counters, Digest, FolderState, Key, Usage, preflight};

use std::collections::HashSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use tintype_single_flight::{Leader, SingleFlight};
use tintype_store::stats::{self, Damaged};
use tintype_store::{Object, Selection, Store};

use crate::render::{Content, Encoded};
use crate::source::ImageId;
use attributes::Attributes;

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
    pub memfd: Option<MemfdBytes>,
}

impl Body {
    /// Wraps what the renderer made.
    pub fn new(encoded: Encoded) -> Body {
        let Encoded { bytes, content, damaged } = encoded;
        Body { digest: Digest::of(&bytes), bytes: bytes.into(), content, damaged, memfd: None }
    }

    fn object(&self) -> Object<Attributes> {
        let Body { content, damaged, .. } = *self;
        Object { bytes: self.bytes.clone(), digest: self.digest, attributes: Attributes { content, damaged } }
    }

    /// The same in a file, where that is of use and can be had.
    fn in_memfd(self: &Arc<Self>) -> Arc<Body> {
        let Some(memfd) = MemfdBytes::copy(&self.bytes) else { return Arc::clone(self) };
        let Body { digest, content, damaged, .. } = **self;
        Arc::new(Body { bytes: memfd.bytes(), digest, content, damaged, memfd: Some(memfd) })
    }
}

impl From<&Object<Attributes>> for Body {
    fn from(object: &Object<Attributes>) -> Body {
        let Attributes { content, damaged } = object.attributes;
        Body { bytes: object.bytes.clone(), digest: object.digest, content, damaged, memfd: None }
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

/// What is to be dropped.
#[derive(Clone, Debug)]
pub enum Purge {
    /// Every rendition of that original.
    Original(ImageId),
    /// Every rendition of every original whose name begins so; it ends with a slash, or is empty for all.
    Folder(String),
}

impl Purge {
    fn selection(&self) -> Selection<'_> {
        match self {
            Purge::Original(id) => Selection::Original(id.as_str()),
            Purge::Folder(prefix) => Selection::Prefix(prefix),
        }
    }
}

type Result<E> = std::result::Result<(Arc<Body>, Found), E>;

/// Bodies in memory and on disk, and those being made; `E` is how making one fails.
pub struct Cache<E> {
    hot: moka::sync::Cache<Key, Arc<Hot>>,
    /// Whether `hot` holds anything at all.
    has_memory: bool,
    store: Store<Attributes>,
    single_flight: Arc<SingleFlight<Key, ImageId, Result<E>>>,
    began: Instant,
    config: Config,
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

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// A cache in that folder. Where the folder cannot be used, that is logged, it is tried again now and then, and the
    /// cache works in memory alone.
    pub fn new(config: &Config) -> Cache<E> {
        let Config { dir, max_bytes, max_files, min_free, memory } = config.clone();
        Cache {
            hot: hot(memory),
            has_memory: memory > 0,
            store: Store::new(tintype_store::Config { dir, max_bytes, max_files, min_free }),
            single_flight: Arc::default(),
            began: Instant::now(),
            config: config.clone(),
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
        self.store.contains(key)
    }

    /// The rendition of that key as a file, if it is one already. It was read and found right, now or not long ago; it
    /// may be evicted before whoever is told of it opens it.
    pub async fn stored(&self, key: Key) -> Option<Stored> {
        let file = self.store.file(key).await?;
        let Attributes { content, damaged } = file.attributes;
        Some(Stored { path: file.path, length: file.length, digest: file.digest, content, damaged })
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
        if let Some(object) = self.store.get(key).await {
            let body = Arc::new(Body::from(&*object));
            // asked for a second time, so that a flood of what is asked for once does not push out the rest
            self.keep_in_memory(id, key, &body, leader);
            return Ok((body, Found::Disk));
        }
        let body = Arc::new(Body::new(make(leader.waiters()).await?));
        let mut stored = false;
        if leader.is_valid() {
            stored = self.store.put(id.as_str(), key, &Arc::new(body.object())).await;
            if !leader.is_valid() {
                // purged between the check and the put
                self.store.remove(key);
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
        if hot.touched.swap(now, Ordering::Relaxed) != now {
            self.store.touch(key);
        }
        Some(body)
    }

    fn keep_in_memory(&self, id: &ImageId, key: Key, body: &Arc<Body>, leader: &Leader<Key, ImageId, Result<E>>) {
        if self.has_memory && leader.is_valid() {
            self.hot.insert(key, Arc::new(Hot::new(id, body.in_memfd())));
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
        let selection = what.selection();
        self.single_flight.invalidate(|id| selection.matches(id.as_str()));
        let in_memory = || self.hot.iter().filter(|(_, hot)| selection.matches(hot.id.as_str())).map(|(key, _)| *key);
        let mut purged: HashSet<Key> = in_memory().collect();
        purged.extend(self.store.purge(&selection));
        // once more: what was found on disk meanwhile is in memory now
        in_memory().collect::<Vec<Key>>().iter().for_each(|key| self.hot.invalidate(key));
        purged.iter().for_each(|key| self.hot.invalidate(key));
        self.hot.run_pending_tasks();
        purged.len() as u64
    }

    /// Waits until everything that was made so far is on disk.
    pub fn flush(&self) {
        self.store.flush();
    }

    /// How the folder stands at present. After a write that failed, it is tried.
    pub fn folder_state(&self) -> FolderState {
        self.store.folder_state()
    }

    /// Whether this process can keep renditions on disk at present.
    pub fn is_writable(&self) -> bool {
        self.folder_state() == FolderState::Open
    }

    /// The usage of the folder, as far as it has been read; zeros while it is not ours.
    pub fn usage(&self) -> Usage {
        self.store.usage()
    }

    /// Its bounds.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Bodies in memory, and the bytes that they take.
    pub fn memory(&self) -> (u64, u64) {
        self.hot.run_pending_tasks();
        (self.hot.entry_count(), self.hot.weighted_size())
    }

    /// Counters of the store's events.
    pub fn counters(&self) -> &Counters {
        self.store.counters()
    }
}

impl Hot {
    fn new(id: &ImageId, body: Arc<Body>) -> Hot {
        // what an entry takes beside its body
        const OVERHEAD: usize = 480;
        let length = body.bytes.len();
        // a file takes whole pages
        let length = if body.memfd.is_some() { length.next_multiple_of(4096) } else { length };
        let weight = u32::try_from(length + id.as_str().len() + OVERHEAD).unwrap_or(u32::MAX);
        Hot { id: id.clone(), body: ArcSwapOption::new(Some(body)), weight, touched: AtomicU32::new(0) }
    }
}

fn hot(bytes: u64) -> moka::sync::Cache<Key, Arc<Hot>> {
    let cache = moka::sync::Cache::builder().max_capacity(bytes).weigher(|_: &Key, hot: &Arc<Hot>| hot.weight);
    // whoever is being sent it still holds it
    cache.eviction_listener(|_, hot, _| hot.body.store(None)).build()
}

/// Looks through a cache folder. A rendition that goes while it looks is not counted.
///
/// # Errors
/// Where the folder is not there or cannot be read.
pub fn survey(dir: &Path) -> std::io::Result<Survey> {
    stats::survey::<Attributes>(dir)
}

/// Reads every rendition and compares it with its name. `progress` is told how many of how many have been read. Gives how
/// many are whole, and the others.
///
/// # Errors
/// Where the folder is not there or cannot be listed.
pub fn verify(dir: &Path, progress: impl FnMut(u64, u64)) -> std::io::Result<(u64, Vec<Damaged>)> {
    stats::verify::<Attributes>(dir, progress)
}

/// The name that is made of what a stored file's name states; for tests of what is taken for one of ours.
#[doc(hidden)]
pub fn name_again(written: &str) -> Option<String> {
    tintype_store::name_again::<Attributes>(written)
}
