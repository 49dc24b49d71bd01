//! Renditions in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwapOption;

use super::{Body, Key};
use crate::source::ImageId;

/// The renditions in memory, by key.
pub(super) type HotBodies = moka::sync::Cache<Key, Arc<Hot>>;

/// A body in memory.
pub(super) struct Hot {
    pub(super) id: ImageId,
    /// `None` as soon as it is evicted or purged: moka frees removed entries later.
    pub(super) body: ArcSwapOption<Body>,
    /// Bytes of the entry with its overhead.
    weight: u32,
    /// When the store was last told of its use, in seconds since the start.
    touched: AtomicU32,
    /// How often it was used in memory.
    uses: AtomicU32,
}

/// A body that was found in memory.
pub struct Hit {
    /// The bytes, shared with the cache.
    pub body: Arc<Body>,
    /// How often it was used since it is in memory, now included.
    pub uses: u32,
}

impl Hot {
    pub(super) fn new(id: &ImageId, body: Arc<Body>, uses: u32) -> Hot {
        // bytes of an entry in addition to its body
        const OVERHEAD: usize = 480;
        let length = body.bytes.len();
        // a memfd takes whole pages
        let length = if body.memfd.is_some() { length.next_multiple_of(4096) } else { length };
        let weight = u32::try_from(length + id.as_str().len() + OVERHEAD).unwrap_or(u32::MAX);
        let (touched, uses) = (AtomicU32::new(0), AtomicU32::new(uses));
        Hot { id: id.clone(), body: ArcSwapOption::new(Some(body)), weight, touched, uses }
    }

    /// Notes a use at a time in seconds since the start; returns the number of uses, and whether the store should be told.
    pub(super) fn note_use(&self, now: u32) -> (u32, bool) {
        let uses = self.uses.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        // one locked instruction a hit is enough: the swap is needed once a second
        let is_due = self.touched.load(Ordering::Relaxed) != now && self.touched.swap(now, Ordering::Relaxed) != now;
        (uses, is_due)
    }

    pub(super) fn uses(&self) -> u32 {
        self.uses.load(Ordering::Relaxed)
    }
}

/// Renditions in memory, of so many bytes at most.
pub(super) fn hot_bodies(bytes: u64) -> HotBodies {
    let cache = moka::sync::Cache::builder().max_capacity(bytes).weigher(|_: &Key, hot: &Arc<Hot>| hot.weight);
    // responses that send it keep their own reference
    cache.eviction_listener(|_, hot, _| hot.body.store(None)).build()
}
