//! Renditions that several servers share: objects in a bucket, asked between the disk and a render.
//!
//! A key covers everything that shapes the bytes of a rendition, so an object never becomes stale, and a store that shows
//! writes late costs a render and nothing else. Bytes from the bucket are verified; any failure is a miss. No request fails because
//! of the store, and none waits for it longer than a hedge.

mod breaker;
mod counters;
mod latency;
mod lookup;
mod markers;
mod object;
mod purge;
mod put_behind;
mod stamps;
#[cfg(test)]
pub(super) mod tests;

pub(crate) use counters::{Counters, Event};
pub(super) use lookup::First;
pub(super) use put_behind::Put;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Key;
use crate::bucket::{Bucket, Error};
use crate::source::ImageId;
use breaker::{Admitted, Breaker, Requests};
use latency::Latency;
use object::Signer;
use put_behind::Queue;
use stamps::Stamps;
use tokio::sync::Semaphore;

/// The largest rendition that is read and written.
const MAX_BYTES: u64 = 64 << 20;

/// Look-ups under way at most, each of which may hold a rendition; requests beyond them do without.
const MAX_LOOKUPS: usize = 32;

/// A render that takes at least this long is heavy.
const HEAVY: Duration = Duration::from_millis(200);

/// Originals whose marker is known to be there, and how long that is cached.
const MAX_MARKED: u64 = 100_000;
const MARKED_TTL: Duration = Duration::from_secs(86_400);

/// Renditions that are known to be in the bucket.
const MAX_KNOWN: u64 = 100_000;

/// The renditions that are written to the bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Policy {
    /// All.
    #[default]
    All,
    /// Results that took at least 200 ms to make, fetch included.
    Heavy,
    /// Results that are asked for again after they were made.
    Twice,
}

/// The settings of shared renditions.
#[derive(Clone, Default)]
pub(crate) struct Config {
    /// The secret that signs objects; empty signs nothing.
    pub key: String,
    /// The renditions that are written.
    pub store: Policy,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Config { key: _, store } = self;
        write!(f, "Config({store:?})")
    }
}

/// The renditions in a bucket.
pub(crate) struct SharedTier {
    bucket: Arc<dyn Bucket>,
    config: Config,
    signer: Signer,
    reads: Breaker,
    /// A store may answer reads and take no writes: where it is full, elects a leader, or allows them no more.
    writes: Breaker,
    latency: Latency,
    stamps: Stamps,
    queue: Queue,
    lookups: Arc<Semaphore>,
    marked: moka::sync::Cache<ImageId, ()>,
    in_bucket: moka::sync::Cache<Key, ()>,
    counters: Counters,
}

impl SharedTier {
    /// The renditions in that bucket.
    pub(crate) fn new(bucket: Arc<dyn Bucket>, config: Config) -> Arc<SharedTier> {
        Arc::new(SharedTier {
            bucket,
            signer: Signer::new(&config.key),
            config,
            reads: Breaker::new(Requests::Reads),
            writes: Breaker::new(Requests::Writes),
            latency: Latency::default(),
            stamps: Stamps::default(),
            queue: Queue::default(),
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            marked: moka::sync::Cache::builder().max_capacity(MAX_MARKED).time_to_live(MARKED_TTL).build(),
            in_bucket: moka::sync::Cache::new(MAX_KNOWN),
            counters: Counters::default(),
        })
    }

    pub(crate) fn bucket(&self) -> &Arc<dyn Bucket> {
        &self.bucket
    }

    /// Counters of requests to the bucket.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Bytes that wait to be written, and that are being written.
    pub(crate) fn queue_bytes(&self) -> u64 {
        self.queue.bytes()
    }

    /// Whether reads failed lately, and the store is left alone.
    pub(crate) fn is_open(&self) -> bool {
        self.reads.is_open()
    }

    /// Whether nothing is written, since writes or reads failed lately.
    pub(crate) fn is_open_for_writes(&self) -> bool {
        self.writes.is_open() || self.is_open()
    }

    /// Whether a rendition that took so long is written as soon as it is made.
    pub(super) fn wants_made(&self, took: Duration) -> bool {
        match self.config.store {
            Policy::All => true,
            Policy::Heavy => took >= HEAVY,
            Policy::Twice => false,
        }
    }

    /// Whether a rendition was in the bucket when this server last read or wrote it.
    pub(super) fn has_seen(&self, key: Key) -> bool {
        self.in_bucket.contains_key(&key)
    }

    /// Whether a rendition that is asked for again is written.
    pub(super) fn wants_used(&self, key: Key) -> bool {
        self.config.store == Policy::Twice && !self.in_bucket.contains_key(&key)
    }
}

/// Whether the store is to blame.
fn is_failure(error: &Error) -> bool {
    match error {
        Error::NotFound | Error::Unmodified | Error::Exists | Error::Changed | Error::TooLarge { .. } => false,
        Error::Credentials(_) | Error::Refused(_) => true,
        Error::TimedOut | Error::Status(_) | Error::Unavailable(_) => true,
    }
}

/// Notes for a breaker how a request ended.
fn record<T>(breaker: &Breaker, admitted: &Admitted, result: &std::result::Result<T, Error>) {
    let failure = result.as_ref().err().filter(|error| is_failure(error));
    breaker.record(admitted, failure, Instant::now());
}
