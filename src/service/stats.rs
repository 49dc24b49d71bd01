//! Counters of what the service did, for metrics and tests.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Timing;
use crate::cache::Found;

/// Counts since the start; durations in microseconds.
#[derive(Debug, Default)]
pub struct Stats {
    /// Renders begun.
    pub renders: AtomicU64,
    /// Answers from memory.
    pub memory_hits: AtomicU64,
    /// Answers from disk.
    pub disk_hits: AtomicU64,
    /// Answers that were rendered for the request.
    pub misses: AtomicU64,
    /// Answers that were rendered for another request that asked first.
    pub collapsed: AtomicU64,
    /// Originals taken in.
    pub uploads: AtomicU64,
    /// Microseconds of decoding.
    pub decode_us: AtomicU64,
    /// Microseconds of operations on pixels.
    pub resize_us: AtomicU64,
    /// Microseconds of encoding.
    pub encode_us: AtomicU64,
}

impl Stats {
    pub(super) fn count(&self, found: Found) {
        let counter = match found {
            Found::Memory => &self.memory_hits,
            Found::Disk => &self.disk_hits,
            Found::Made { collapsed: false, .. } => &self.misses,
            Found::Made { collapsed: true, .. } => &self.collapsed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn time(&self, timing: &Timing) {
        let add = |counter: &AtomicU64, spent: std::time::Duration| {
            counter.fetch_add(u64::try_from(spent.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        };
        add(&self.decode_us, timing.decode);
        add(&self.resize_us, timing.resize);
        add(&self.encode_us, timing.encode);
    }
}
