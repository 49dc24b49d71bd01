//! The cache of renditions: hot ones in memory, all on disk under a bound, perhaps shared with other servers in a bucket, each
//! rendered once at a time.
//!
//! A broken cache folder never fails a request: the store logs and counts its faults, and callers see a miss. The cache does
//! not know how a rendition is made; its caller passes a future that makes it.

mod attributes;
mod body;
mod folder;
mod hot;
pub(crate) mod journal;
mod key;
mod memfd;
#[cfg(test)]
mod model;
mod peek;
mod purge;
mod replace;
#[cfg(test)]
mod replace_tests;
pub(crate) mod shared;
#[cfg(test)]
mod testsuite;
mod trust;

pub use attributes::Upgrade;
pub use body::{Body, Made, Stored};
pub use folder::{folder_stats, name_again, verify};
pub use hot::Hit;
pub use key::rendition_key;
pub use memfd::{MemfdBytes, WeakMemfdBytes, max_files as max_memfds, usage as memfd_usage};
pub use peek::{Facts, Peek, Place};
pub use purge::{Purge, Purged};
pub use replace::Entry;
pub use tintype_single_flight::Waiters;
pub use tintype_store::stats::FolderStats;
pub use tintype_store::{Counters, Digest, FolderState, Key, Usage, preflight};

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use tintype_single_flight::{Leader, SingleFlight};
use tintype_store::{Object, Store};

use crate::source::ImageId;
use crate::sync;
use attributes::Attributes;
use hot::{Hot, HotBodies, hot_bodies};
use shared::{First, Put, SharedTier};
use trust::Trust;

/// The folder and the bounds of the cache.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder; other files in it stay untouched. `None` caches in memory only.
    pub dir: Option<PathBuf>,
    /// The most bytes on disk, in whole blocks.
    pub max_bytes: u64,
    /// The most files.
    pub max_files: u64,
    /// Bytes of the file system that are left to others.
    pub min_free: u64,
    /// The most bytes of bodies in memory.
    pub memory: u64,
}

/// Where a body came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Memory.
    Memory,
    /// Disk.
    Disk,
    /// The bucket that is shared with other servers.
    Shared,
    /// A render.
    Made {
        /// Whether it was stored on disk.
        stored: bool,
        /// Whether an earlier request started it.
        collapsed: bool,
    },
}

/// Why there is no body.
#[derive(Clone, Debug)]
pub enum Failure<E> {
    /// Making it failed.
    Make(E),
    /// The task that made it ended without a result, which is a bug.
    Lost,
}

type Result<E> = std::result::Result<(Arc<Body>, Found), E>;

/// The cache of renditions. `E` is the error of making one.
pub struct Cache<E> {
    hot: HotBodies,
    /// Whether the settings allow bodies in memory.
    has_memory: bool,
    store: Store<Attributes>,
    trust: Trust,
    single_flight: Arc<SingleFlight<Key, ImageId, Result<E>>>,
    /// Set before the first request, if there is one.
    shared: OnceLock<Arc<SharedTier>>,
    /// Held while a body in memory is compared and replaced, and while purged ones are dropped.
    replacing: Mutex<()>,
    began: Instant,
    config: Config,
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// A cache in the folder of `config`. While that cannot be used the cache works in memory only, and tries it again.
    pub fn new(config: &Config) -> Cache<E> {
        let Config { dir, max_bytes, max_files, min_free, memory } = config.clone();
        Cache {
            hot: hot_bodies(memory),
            has_memory: memory > 0,
            store: Store::new(tintype_store::Config { dir, max_bytes, max_files, min_free }),
            trust: Trust::default(),
            single_flight: Arc::default(),
            shared: OnceLock::new(),
            replacing: Mutex::default(),
            began: Instant::now(),
            config: config.clone(),
        }
    }

    /// Shares renditions with other servers from now on; a second call does nothing.
    pub(crate) fn share(&self, tier: Arc<SharedTier>) {
        let _ = self.shared.set(tier);
    }

    /// The renditions that are shared with other servers, if there are any.
    pub(crate) fn shared(&self) -> Option<&Arc<SharedTier>> {
        self.shared.get()
    }

    /// The rendition of that key, of the original `id`: from memory, from disk, from the shared bucket, or from `make`. `make` runs
    /// at most once at a time for a key, in a task of its own, which goes on when the caller is dropped; it is dropped where the
    /// bucket is first, and a thread that it has started may still run then.
    ///
    /// # Errors
    /// The error of `make`, for every caller that waited. Errors are not cached.
    pub async fn get_or_make<F, M>(
        self: &Arc<Self>, id: &ImageId, key: Key, make: impl FnOnce(Waiters) -> F + Send + 'static,
    ) -> std::result::Result<(Arc<Body>, Found), Failure<E>>
    where
        F: Future<Output = std::result::Result<M, E>> + Send,
        M: Into<Made> + Send,
    {
        if let Some(Hit { body, .. }) = self.in_memory(key) {
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

    /// Whether the index of the folder has that key.
    pub fn is_on_disk(&self, key: Key) -> bool {
        self.store.contains(key) && self.trusts_disk()
    }

    /// The file of that key, if it is on disk. It was verified within the last ten minutes, and may be evicted before it is
    /// opened.
    pub async fn stored(&self, id: &ImageId, key: Key) -> Option<Stored> {
        let file = self.store.file(key).await.filter(|_| self.trusts_disk())?;
        if self.shared.get().is_some_and(|tier| tier.wants_used(key))
            && let Some(object) = self.store.get(key).await
        {
            self.share_used(id, key, &object);
        }
        let Attributes { content, damaged, upgrade } = file.attributes;
        Some(Stored { path: file.path, length: file.length, digest: file.digest, content, damaged, upgrade })
    }

    async fn find_or_make<F, M>(
        &self, id: &ImageId, key: Key, leader: &Leader<Key, ImageId, Result<E>>, make: impl FnOnce(Waiters) -> F,
    ) -> Result<E>
    where
        F: Future<Output = std::result::Result<M, E>>,
        M: Into<Made>,
    {
        let begun = Instant::now();
        // another flight may have ended between the lookup in memory and the join
        if let Some(Hit { body, .. }) = self.in_memory(key) {
            return Ok((body, Found::Memory));
        }
        if let Some(object) = self.store.get(key).await.filter(|_| self.trusts_disk()) {
            let body = Arc::new(Body::from(&*object));
            // into memory at the second request, so that a flood of one-hit wonders does not evict the hot set
            self.keep_in_memory(id, key, &body, leader);
            self.drop_replaced(key);
            self.share_used(id, key, &object);
            return Ok((body, Found::Disk));
        }
        let made = match self.shared.get().and_then(|tier| tier.lookup(id, key)) {
            None => make(leader.waiters()).await,
            Some(lookup) => match lookup.or_make(|| make(leader.waiters())).await {
                First::Made(made) => made,
                First::Shared(object) => {
                    let body = self.keep_shared(id, key, object, leader).await;
                    return Ok((body, Found::Shared));
                }
            },
        };
        let Made { encoded, also, took } = made?.into();
        let body = Arc::new(Body::new(encoded));
        let object = Arc::new(body.object());
        let mut stored = false;
        // equal bodies share one file
        for key in [also, Some(key)].into_iter().flatten() {
            stored = self.keep_on_disk(id, key, &object, leader).await;
            if let Some(tier) = self.shared.get().filter(|tier| leader.is_valid() && tier.wants_made(took)) {
                let (id, rendition) = (id.clone(), Arc::clone(&object));
                tier.put_behind(Put { id, key, rendition, begun, is_upgrade: false });
            }
        }
        if !stored || !self.trusts_disk() {
            self.keep_in_memory(id, key, &body, leader);
        }
        Ok((body, Found::Made { stored, collapsed: false }))
    }

    /// Keeps a rendition from the bucket, so that the next request finds a file.
    async fn keep_shared(
        &self, id: &ImageId, key: Key, object: Object<Attributes>, leader: &Leader<Key, ImageId, Result<E>>,
    ) -> Arc<Body> {
        let object = Arc::new(object);
        let body = Arc::new(Body::from(&*object));
        if !self.keep_on_disk(id, key, &object, leader).await || !self.trusts_disk() {
            self.keep_in_memory(id, key, &body, leader);
        }
        body
    }

    /// Puts a rendition on disk unless its original was purged since the flight began; whether it is there.
    async fn keep_on_disk(
        &self, id: &ImageId, key: Key, object: &Arc<Object<Attributes>>, leader: &Leader<Key, ImageId, Result<E>>,
    ) -> bool {
        self.store.put_if(id.as_str(), key, object, || leader.is_valid()).await
    }

    /// Shares a rendition that is asked for again, where the settings want that.
    fn share_used(&self, id: &ImageId, key: Key, object: &Arc<Object<Attributes>>) {
        if let Some(tier) = self.shared.get().filter(|tier| tier.wants_used(key)) {
            let (id, rendition) = (id.clone(), Arc::clone(object));
            // it may have been read while a purge began, so any purge of the last minute counts
            tier.put_behind(Put { id, key, rendition, begun: self.began, is_upgrade: false });
        }
    }

    /// The body of that key, if it is in memory.
    pub fn in_memory(&self, key: Key) -> Option<Hit> {
        if !self.has_memory {
            return None;
        }
        let hot = self.hot.get(&key)?;
        let body = hot.body.load_full()?;
        // the store evicts by use, and most uses are seen here only
        let now = u32::try_from(self.began.elapsed().as_secs()).unwrap_or(u32::MAX);
        let (uses, is_due) = hot.note_use(now);
        if is_due {
            self.store.touch(key);
        }
        // without a folder, the second request is the first that memory answers
        if uses == 1 && self.shared.get().is_some_and(|tier| tier.wants_used(key)) {
            self.share_used(&hot.id, key, &Arc::new(body.object()));
        }
        Some(Hit { body, uses })
    }

    fn keep_in_memory(&self, id: &ImageId, key: Key, body: &Arc<Body>, leader: &Leader<Key, ImageId, Result<E>>) {
        if self.has_memory && leader.is_valid() {
            let hot = Arc::new(Hot::new(id, body.in_memfd(), 0));
            // a purge invalidates the flight before it takes this lock to drop what is in memory
            let guard = sync::lock(&self.replacing);
            if leader.is_valid() {
                self.hot.insert(key, hot);
            }
            drop(guard);
            // moka evicts only after dozens of insertions otherwise, each of which may be a large body
            self.hot.run_pending_tasks();
        }
    }

    /// Waits until all renditions that were handed to the store are on disk, and some seconds for those that are written to the
    /// bucket.
    pub fn flush(&self) {
        self.store.flush();
        if let Some(tier) = self.shared.get() {
            tier.flush();
        }
    }

    /// Whether the folder can be used now. After a write that failed, a file is written to find out.
    pub fn folder_state(&self) -> FolderState {
        self.store.folder_state()
    }

    /// Whether this process can store renditions on disk now.
    pub fn is_writable(&self) -> bool {
        self.folder_state() == FolderState::Open
    }

    /// How full the folder is, as far as it has been read; zeros while another process has it.
    pub fn usage(&self) -> Usage {
        self.store.usage()
    }

    /// The settings that it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The number of bodies in memory and their bytes.
    pub fn memory(&self) -> (u64, u64) {
        self.hot.run_pending_tasks();
        (self.hot.entry_count(), self.hot.weighted_size())
    }

    /// Counters of the store's events.
    pub fn counters(&self) -> &Counters {
        self.store.counters()
    }
}
