//! Bytes of remote originals on this machine: in files beside the cache of renditions, so that ten sizes of an original are
//! one fetch and what waits for a worker holds no memory; and in memory as far as the disk does not take them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tintype_store::{Attributes, Digest, Key, Object, Selection, Store, Usage};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{ImageId, Original, RemoteConfig, Version};
use crate::sync;

/// Bytes of originals that were just fetched; at least one of the largest fits. They save reading what was just written.
const MAX_RECENT: u64 = 32 << 20;
const RECENT: Duration = Duration::from_secs(10);

/// Bytes of originals that are not on disk and that renders wait with; at least one of the largest fits.
const MAX_HELD: u64 = 128 << 20;

/// The unit of the semaphore of [`MAX_HELD`].
const KIB: u64 = 1 << 10;

/// A small file takes a block, so that more files than this many a gibibyte do not fit in any case.
const MIN_FILE: u64 = 4 << 10;

/// The kind of a file in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OriginalFile;

impl OriginalFile {
    const SUFFIX: &str = "original";
}

impl Attributes for OriginalFile {
    fn to_suffix(&self) -> Cow<'static, str> {
        OriginalFile::SUFFIX.into()
    }

    fn from_suffix(suffix: &str) -> Option<OriginalFile> {
        (suffix == OriginalFile::SUFFIX).then_some(OriginalFile)
    }
}

/// An original in memory that stays there for those that hold it.
pub(super) struct PinnedOriginal {
    pub(super) original: Original,
    _reserved: Reserved,
}

/// Memory for an original.
pub(super) type Reserved = Option<OwnedSemaphorePermit>;

/// The originals of one place.
pub(super) struct OriginalCache {
    store: Option<Store<OriginalFile>>,
    max_bytes: u64,
    recent: moka::sync::Cache<ImageId, Original>,
    pinned: Mutex<HashMap<Version, Weak<PinnedOriginal>>>,
    memory: Arc<Semaphore>,
}

impl OriginalCache {
    pub(super) fn new(config: &RemoteConfig) -> OriginalCache {
        let RemoteConfig { max_bytes: largest, ref dir, cache_bytes, min_free, .. } = *config;
        let dir = dir.clone().filter(|_| cache_bytes > 0);
        let max_files = cache_bytes / MIN_FILE;
        let config = tintype_store::Config { dir, max_bytes: cache_bytes, max_files, min_free };
        let weight = |_: &ImageId, original: &Original| u32::try_from(original.bytes.len()).unwrap_or(u32::MAX);
        OriginalCache {
            store: config.dir.is_some().then(|| Store::new(config)),
            max_bytes: cache_bytes,
            recent: moka::sync::Cache::builder()
                .max_capacity(MAX_RECENT.max(largest))
                .weigher(weight)
                // an original is needed right after its fetch; admission by frequency would refuse it
                .eviction_policy(moka::policy::EvictionPolicy::lru())
                .time_to_idle(RECENT)
                .build(),
            pinned: Mutex::default(),
            memory: Arc::new(Semaphore::new(kib(MAX_HELD.max(largest)) as usize)),
        }
    }

    /// Keeps an original that was fetched, whose bytes have that digest; `true` if it is on disk.
    pub(super) async fn put(&self, id: &ImageId, original: &Original, digest: Digest) -> bool {
        self.recent.insert(id.clone(), original.clone());
        let Some(store) = &self.store else { return false };
        let Original { bytes, version } = original;
        let object = Object { bytes: bytes.clone(), digest, attributes: OriginalFile };
        store.put(id.as_str(), key(id, *version), &Arc::new(object)).await
    }

    /// The bytes of that version, verified.
    pub(super) async fn get(&self, id: &ImageId, version: Version) -> Option<Original> {
        if let Some(original) = self.in_memory(id, version) {
            return Some(original);
        }
        let (store, key) = (self.store.as_ref()?, key(id, version));
        let object = store.get(key).await?;
        store.touch(key);
        Some(Original { bytes: object.bytes.clone(), version })
    }

    pub(super) fn in_memory(&self, id: &ImageId, version: Version) -> Option<Original> {
        let pinned = || self.pinned(version).map(|pinned| pinned.original.clone());
        self.recent.get(id).filter(|original| original.version == version).or_else(pinned)
    }

    /// Whether the disk has that version, or it is being written.
    pub(super) fn is_on_disk(&self, id: &ImageId, version: Version) -> bool {
        self.store.as_ref().is_some_and(|store| store.entry(key(id, version)).is_some())
    }

    /// Waits for memory for an original of so many bytes.
    pub(super) async fn reserve(&self, bytes: u64) -> Reserved {
        // the semaphore is never closed
        Arc::clone(&self.memory).acquire_many_owned(kib(bytes).min(kib(self.max_held()))).await.ok()
    }

    fn max_held(&self) -> u64 {
        MAX_HELD.max(self.recent.policy().max_capacity().unwrap_or(0))
    }

    /// The bytes of that version, if anything holds them in memory.
    pub(super) fn pinned(&self, version: Version) -> Option<Arc<PinnedOriginal>> {
        sync::lock(&self.pinned).get(&version).and_then(Weak::upgrade)
    }

    /// Holds an original in memory for those that need it next.
    pub(super) fn pin(&self, original: Original, reserved: Reserved) -> Arc<PinnedOriginal> {
        let mut pinned = sync::lock(&self.pinned);
        if let Some(pinned) = pinned.get(&original.version).and_then(Weak::upgrade) {
            return pinned;
        }
        pinned.retain(|_, pinned| pinned.strong_count() > 0);
        let version = original.version;
        let new = Arc::new(PinnedOriginal { original, _reserved: reserved });
        pinned.insert(version, Arc::downgrade(&new));
        new
    }

    /// Removes all versions of an original; those that are being used stay in memory until then.
    pub(super) fn remove(&self, id: &ImageId) {
        self.recent.invalidate(id);
        if let Some(store) = &self.store {
            store.purge(&Selection::Original(id.as_str()));
        }
    }

    /// The same of all originals whose names start so.
    pub(super) fn remove_below(&self, prefix: &str) {
        let below = self.recent.iter().filter(|(id, _)| id.as_str().starts_with(prefix));
        below.for_each(|(id, _)| self.recent.invalidate(&*id));
        if let Some(store) = &self.store {
            store.purge(&Selection::Prefix(prefix));
        }
    }

    /// Removes one version, which is not the current one any more.
    pub(super) fn remove_version(&self, id: &ImageId, version: Version) {
        self.recent.invalidate(id);
        if let Some(store) = &self.store {
            store.remove(key(id, version));
        }
    }

    /// The files, and the most bytes that they may take.
    pub(super) fn usage(&self) -> (Usage, u64) {
        (self.store.as_ref().map(Store::usage).unwrap_or_default(), self.max_bytes)
    }
}

/// The name of the file of a version.
fn key(id: &ImageId, version: Version) -> Key {
    let digest = blake3::Hasher::new().update(&version.identity).update(OriginalFile::SUFFIX.as_bytes()).finalize();
    Key::new(id.as_str(), digest.into())
}

/// So many bytes in KiB, at least one.
fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(KIB).max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;

    use super::super::freshness::Windows;
    use super::*;

    async fn put(cache: &OriginalCache, id: &ImageId, original: &Original) -> bool {
        cache.put(id, original, Digest::of(&original.bytes)).await
    }

    fn cache(dir: Option<&Path>, cache_bytes: u64) -> OriginalCache {
        let zero = Duration::ZERO;
        let windows = Windows {
            revalidate: zero,
            stale_while_revalidate: zero,
            stale_if_error: zero,
            patience: zero,
            missing: zero,
        };
        let dir = dir.map(|dir| dir.join("originals"));
        OriginalCache::new(&RemoteConfig { max_bytes: 1 << 20, windows, dir, cache_bytes, min_free: 0 })
    }

    fn original(number: u8, length: usize) -> Original {
        let version = Version { identity: [number; 32], modified: None, length: length as u64 };
        Original { bytes: Bytes::from(vec![number; length]), version }
    }

    fn id(name: &str) -> ImageId {
        ImageId::of(name).expect("a name")
    }

    #[tokio::test]
    async fn originals_survive_a_restart_verified() {
        let dir = tempfile::tempdir().expect("a folder");
        let (first, second) = (original(1, 5000), original(2, 6000));
        {
            let cache = cache(Some(dir.path()), 1 << 20);
            assert!(put(&cache, &id("a/b"), &first).await && put(&cache, &id("a/b"), &second).await);
            cache.remove_version(&id("a/b"), first.version);
        }
        let reopened = cache(Some(dir.path()), 1 << 20);
        assert_eq!(reopened.get(&id("a/b"), second.version).await.expect("it is there").bytes, second.bytes);
        assert!(reopened.get(&id("a/b"), first.version).await.is_none());
        assert!(reopened.get(&id("a/c"), second.version).await.is_none());
        let file = walk(dir.path()).into_iter().find(|path| path.to_string_lossy().ends_with(".original"));
        std::fs::write(file.expect("a file"), vec![2; 5999]).expect("it is ours");
        assert!(reopened.get(&id("a/b"), second.version).await.is_none(), "it is damaged");
    }

    fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(dir).expect("a folder").flatten();
        entries.flat_map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { vec![entry.path()] }).collect()
    }

    #[tokio::test]
    async fn removed_originals_are_gone() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = cache(Some(dir.path()), 1 << 20);
        let removals: [fn(&OriginalCache); 2] = [|cache| cache.remove(&id("a/b")), |cache| cache.remove_below("a/")];
        for remove in removals {
            let (one, other) = (original(1, 5000), original(2, 5000));
            assert!(put(&cache, &id("a/b"), &one).await && put(&cache, &id("c"), &other).await);
            assert!(cache.is_on_disk(&id("a/b"), one.version), "as soon as it is put");
            remove(&cache);
            assert!(!cache.is_on_disk(&id("a/b"), one.version));
            assert!(cache.get(&id("a/b"), one.version).await.is_none());
            assert!(cache.get(&id("c"), other.version).await.is_some());
        }
    }

    #[tokio::test]
    async fn files_stay_within_the_bound() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = cache(Some(dir.path()), 2 << 20);
        for number in 0..20 {
            put(&cache, &id(&number.to_string()), &original(number, 300_000)).await;
        }
        cache.store.as_ref().expect("a store").flush();
        let (usage, max) = cache.usage();
        assert!(usage.files > 2 && usage.bytes <= max, "{usage:?}");
        assert!(!cache.is_on_disk(&id("0"), original(0, 300_000).version), "it was evicted");
    }

    #[tokio::test]
    async fn without_a_disk_those_that_hold_an_original_wait_for_memory() {
        for (dir, bytes) in [(None, 1 << 20), (Some(tempfile::tempdir().expect("a folder")), 0)] {
            let cache = cache(dir.as_ref().map(tempfile::TempDir::path), bytes);
            let one = original(1, 5000);
            assert!(!put(&cache, &id("a"), &one).await);
            let all = cache.reserve(MAX_HELD).await;
            let pinned = cache.pin(one.clone(), all);
            let waits = tokio::time::timeout(Duration::from_millis(20), cache.reserve(1)).await;
            assert!(waits.is_err(), "the memory is taken");
            cache.remove(&id("a"));
            assert_eq!(cache.get(&id("a"), one.version).await.expect("it is held").bytes, one.bytes);
            drop(pinned);
            assert!(cache.get(&id("a"), one.version).await.is_none());
            assert!(cache.reserve(u64::MAX).await.is_some(), "more than there is takes all");
        }
    }
}
