//! Counters and histograms of what the service did, for metrics and tests.
//!
//! They are counted on the way of every answer, so each is a plain atomic in a place that is known when the program is
//! built: no lock, no map, no label to look up. What belongs together is only put together when somebody reads it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Timing;
use crate::cache::Found;
use crate::render::{Content, Encoded, Format};

/// Counts since the start.
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
    /// Renders of originals whose pixel data is cut off or corrupt.
    pub damaged: AtomicU64,
    /// Renders that were given up because everyone who asked had left.
    pub deserted: AtomicU64,
    /// Originals taken in.
    pub uploads: AtomicU64,
    /// Where the time of finished renders went.
    pub stages: Stages,
    made: [Made; CONTENTS],
}

/// How long each stage of a finished render took.
#[derive(Debug, Default)]
pub struct Stages {
    /// Waiting for a worker.
    pub queue: Histogram,
    /// Fetching the original.
    pub source: Histogram,
    /// Decoding.
    pub decode: Histogram,
    /// Resizing and the other operations.
    pub resize: Histogram,
    /// Encoding.
    pub encode: Histogram,
}

/// What was rendered to one kind of content.
#[derive(Debug, Default)]
pub struct Made {
    /// How many.
    pub renditions: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
    /// The bytes of the originals that they were made from, each counted every time.
    pub original_bytes: AtomicU64,
}

/// Every format, and descriptions.
const CONTENTS: usize = Format::Svg as usize + 2;

fn index(content: Content) -> usize {
    match content {
        Content::Image(format) => format as usize,
        Content::Json => CONTENTS - 1,
    }
}

impl Stats {
    /// What was rendered to that content.
    pub fn made(&self, content: Content) -> &Made {
        &self.made[index(content)]
    }

    pub(super) fn count(&self, found: Found) {
        let counter = match found {
            Found::Memory => &self.memory_hits,
            Found::Disk => &self.disk_hits,
            Found::Made { collapsed: false, .. } => &self.misses,
            Found::Made { collapsed: true, .. } => &self.collapsed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A render that ended well: what it took, from how many bytes and to what.
    pub(super) fn rendered(&self, timing: &Timing, original: usize, encoded: &Encoded) {
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
        if encoded.damaged {
            self.damaged.fetch_add(1, Ordering::Relaxed);
        }
        let made = self.made(encoded.content);
        made.renditions.fetch_add(1, Ordering::Relaxed);
        made.bytes.fetch_add(encoded.bytes.len() as u64, Ordering::Relaxed);
        made.original_bytes.fetch_add(original as u64, Ordering::Relaxed);
    }
}

/// The upper bounds of a histogram's buckets in microseconds: from a hit in memory to more than any deadline that is of
/// use. One row for all, so that they can be compared and added.
pub const BOUNDS: [u64; 18] = [
    25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000, 30_000_000,
];

/// How often something took how long.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Not cumulative; the last is for what is over every bound.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&self, spent: Duration) {
        // longer than five hundred years does not happen
        let nanoseconds = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| bound * 1000 < nanoseconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// How many there are up to each bound, then how many in all, and the sum in seconds.
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
    fn a_bound_belongs_to_its_bucket() {
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
    fn every_content_has_a_place_of_its_own() {
        let contents = Format::all().map(Content::Image).chain([Content::Json]);
        let mut places: Vec<usize> = contents.map(index).collect();
        places.sort_unstable();
        assert_eq!(places, (0..CONTENTS).collect::<Vec<_>>());
    }
}
