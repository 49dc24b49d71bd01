//! The ghost list: keys of entries that were evicted lately.

use std::collections::{HashSet, VecDeque};

/// How many keys are remembered for each entry, and the bounds of their number.
const GHOSTS_PER_ENTRY: usize = 4;
const MIN_GHOSTS: usize = 1 << 12;
const MAX_GHOSTS: usize = 1 << 20;

/// Hashes of the keys that were evicted lately, in the order of eviction.
#[derive(Default)]
pub(super) struct GhostList {
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl GhostList {
    /// Remembers a key's hash, for an index of `entries` entries.
    pub(super) fn add(&mut self, hash: u64, entries: usize) {
        if self.known.insert(hash) {
            self.order.push_back(hash);
        }
        let most = (entries * GHOSTS_PER_ENTRY).clamp(MIN_GHOSTS, MAX_GHOSTS);
        while self.order.len() > most {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    /// Whether the key was remembered; it is forgotten.
    pub(super) fn remove(&mut self, hash: u64) -> bool {
        // its place in the order stays, and may expire a later eviction of the same key early
        self.known.remove(&hash)
    }
}
