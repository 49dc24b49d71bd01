//! Counters and histograms of the service, for metrics and tests.
//!
//! Every answer updates them, so each is an atomic in a field of its own: no lock, no map, no label lookup. Labels are
//! added when the metrics are read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Timing, UpgradeOutcome};
use crate::cache::Found;
use crate::render::{Content, Encoded, Format, PictureKind};

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Stats {
    /// Renders started.
    pub renders: AtomicU64,
    /// Answers from memory.
    pub memory_hits: AtomicU64,
    /// Answers from disk.
    pub disk_hits: AtomicU64,
    /// Answers from the shared bucket.
    pub shared_hits: AtomicU64,
    /// Answers rendered for their request.
    pub misses: AtomicU64,
    /// Answers rendered for an earlier request for the same key.
    pub collapsed: AtomicU64,
    /// Renders of originals whose pixel data is truncated or corrupt.
    pub damaged: AtomicU64,
    /// Renders cancelled because all their clients had left.
    pub cancelled: AtomicU64,
    /// Uploaded originals.
    pub uploads: AtomicU64,
    /// Answers whose original could not be asked for because its origin fails.
    pub stale: AtomicU64,
    /// Answers cut off because their original was changed in place while it was sent.
    pub cut_off: AtomicU64,
    /// Duration of finished renders by stage.
    pub stages: Stages,
    rendered: [Rendered; CONTENTS],
    /// Upgrades by how they ended, by [`UpgradeOutcome::index`].
    pub upgrades: [AtomicU64; UpgradeOutcome::NAMES.len()],
    /// Bytes that upgrades saved: of the former files without those of the new ones.
    pub upgrade_saved: AtomicU64,
    /// CPU time of upgrades in nanoseconds.
    pub upgrade_cpu: AtomicU64,
    /// Renders that were encoded as photographs and as drawings.
    kinds: [AtomicU64; 2],
}

/// Duration of finished renders by stage.
#[derive(Debug, Default)]
pub struct Stages {
    /// Wait for a worker.
    pub queue: Histogram,
    /// Fetch of the original.
    pub source: Histogram,
    /// Decode.
    pub decode: Histogram,
    /// Resize and other operations.
    pub resize: Histogram,
    /// Encode.
    pub encode: Histogram,
}

/// Totals of finished renders to one type of content.
#[derive(Debug, Default)]
pub struct Rendered {
    /// Their number.
    pub renditions: AtomicU64,
    /// Bytes of the results.
    pub bytes: AtomicU64,
    /// Bytes of the originals, each counted for every render.
    pub original_bytes: AtomicU64,
}

/// All formats, and JSON.
const CONTENTS: usize = Format::Svg as usize + 2;

fn index(content: Content) -> usize {
    match content {
        Content::Image(format) => format as usize,
        Content::Json => CONTENTS - 1,
    }
}

impl Stats {
    /// Totals of one type of content.
    pub fn rendered(&self, content: Content) -> &Rendered {
        &self.rendered[index(content)]
    }

    /// Renders that were encoded as that kind of picture.
    pub fn of_kind(&self, kind: PictureKind) -> &AtomicU64 {
        &self.kinds[kind as usize]
    }

    pub(super) fn count(&self, found: Found) {
        let counter = match found {
            Found::Memory => &self.memory_hits,
            Found::Disk => &self.disk_hits,
            Found::Shared => &self.shared_hits,
            Found::Made { collapsed: false, .. } => &self.misses,
            Found::Made { collapsed: true, .. } => &self.collapsed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_upgrade(&self, outcome: UpgradeOutcome, cpu: Duration) {
        self.upgrades[outcome.index()].fetch_add(1, Ordering::Relaxed);
        if let UpgradeOutcome::Replaced(saved) = outcome {
            self.upgrade_saved.fetch_add(saved, Ordering::Relaxed);
        }
        self.upgrade_cpu.fetch_add(u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Counts a finished render of an original of so many bytes.
    pub(super) fn count_render(&self, timing: &Timing, original_bytes: usize, encoded: &Encoded) {
        let Timing { cache: _, queue, source, decode, resize, encode } = *timing;
        let stages = &self.stages;
        for (stage, spent) in [
            (&stages.queue, queue),
            (&stages.source, source),
            (&stages.decode, decode),
            (&stages.resize, resize),
            (&stages.encode, encode),
        ] {
            stage.observe(spent);
        }
        if let Some(kind) = encoded.kind {
            self.of_kind(kind).fetch_add(1, Ordering::Relaxed);
        }
        if encoded.damaged {
            self.damaged.fetch_add(1, Ordering::Relaxed);
        }
        let rendered = self.rendered(encoded.content);
        rendered.renditions.fetch_add(1, Ordering::Relaxed);
        rendered.bytes.fetch_add(encoded.bytes.len() as u64, Ordering::Relaxed);
        rendered.original_bytes.fetch_add(original_bytes as u64, Ordering::Relaxed);
    }
}

/// Upper bounds of the buckets in microseconds, from a hit in memory to the default deadline. All histograms have the same, so
/// that they can be compared and added.
pub const BOUNDS: [u64; 18] = [
    25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000, 30_000_000,
];

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Not cumulative; the last is for durations above every bound.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&self, spent: Duration) {
        // saturates after five hundred years
        let nanoseconds = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| bound * 1000 < nanoseconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Cumulative counts by bound, then the total count, and the sum in seconds.
    pub fn cumulative(&self) -> ([u64; BOUNDS.len() + 1], f64) {
        let mut all = 0;
        let counts = std::array::from_fn(|bucket| {
            all += self.buckets[bucket].load(Ordering::Relaxed);
            all
        });
        (counts, self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_at_a_bound_count_below_it() {
        let check = |nanoseconds: u64, bucket: usize| {
            let histogram = Histogram::default();
            histogram.observe(Duration::from_nanos(nanoseconds));
            let (counts, sum) = histogram.cumulative();
            let expected: Vec<u64> = (0..counts.len()).map(|at| u64::from(at >= bucket)).collect();
            assert_eq!(counts.as_slice(), expected, "{nanoseconds}");
            assert!((sum - nanoseconds as f64 / 1e9).abs() < 1e-12, "{nanoseconds}");
        };
        check(0, 0);
        check(25_000, 0);
        check(25_001, 1);
        check(1_000_000, 5);
        check(30_000_000_000, BOUNDS.len() - 1);
        check(30_000_000_001, BOUNDS.len());
        assert!(BOUNDS.is_sorted());
    }

    #[test]
    fn contents_have_distinct_indices() {
        let contents = Format::all().map(Content::Image).chain([Content::Json]);
        let mut indices: Vec<usize> = contents.map(index).collect();
        indices.sort_unstable();
        assert_eq!(indices, (0..CONTENTS).collect::<Vec<_>>());
    }
}
