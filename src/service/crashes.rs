//! Originals whose renders crash again and again: they are refused for a while, since each crash costs a worker process.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::Error;
use super::renderer::IsolationError;
use crate::source::Version;
use crate::sync;

/// So many crashes within [`WINDOW`] make an original refused for [`REFUSED`].
const MAX_CRASHES: usize = 3;
const WINDOW: Duration = Duration::from_secs(60);
const REFUSED: Duration = Duration::from_secs(3600);

/// Versions that are remembered.
const MAX_VERSIONS: u64 = 10_000;

/// The crashes of each version of an original.
#[derive(Clone)]
pub(super) struct Crashes {
    recent: moka::sync::Cache<Version, Arc<Mutex<Vec<Instant>>>>,
    refused: moka::sync::Cache<Version, ()>,
}

impl Crashes {
    pub(super) fn new() -> Crashes {
        Crashes {
            recent: moka::sync::Cache::builder().max_capacity(MAX_VERSIONS).time_to_idle(WINDOW).build(),
            refused: moka::sync::Cache::builder().max_capacity(MAX_VERSIONS).time_to_live(REFUSED).build(),
        }
    }

    /// Whether renders of that version are refused.
    pub(super) fn is_refused(&self, version: Version) -> bool {
        self.refused.contains_key(&version)
    }

    /// Counts a failure of a render of that version, if it is a crash. A lack of memory is none: the estimate for one recipe
    /// may be too low, and others must not be refused for it.
    pub(super) fn note(&self, version: Version, error: &Error) {
        if matches!(error, Error::Isolation(IsolationError::Crashed)) {
            self.count(version, Instant::now());
        }
    }

    fn count(&self, version: Version, now: Instant) {
        let crashes = self.recent.get_with(version, Arc::default);
        let mut crashes = sync::lock(&crashes);
        crashes.retain(|crash| now.duration_since(*crash) < WINDOW);
        crashes.push(now);
        if crashes.len() >= MAX_CRASHES {
            self.refused.insert(version, ());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(length: u64) -> Version {
        Version { identity: [0; 32], modified: None, length }
    }

    #[test]
    fn three_crashes_within_a_minute_refuse_an_original() {
        let crashes = Crashes::new();
        let start = Instant::now();
        for second in [0, 30, 61, 90] {
            crashes.count(version(1), start + Duration::from_secs(second));
            assert!(!crashes.is_refused(version(1)), "{second}");
        }
        crashes.count(version(1), start + Duration::from_secs(91));
        assert!(crashes.is_refused(version(1)));
        assert!(!crashes.is_refused(version(2)));
    }

    #[test]
    fn only_crashes_are_counted() {
        let crashes = Crashes::new();
        for _ in 0..MAX_CRASHES {
            crashes.note(version(1), &crate::render::Error::Cancelled.into());
            crashes.note(version(1), &IsolationError::Unavailable.into());
            crashes.note(version(1), &IsolationError::OutOfMemory.into());
        }
        assert!(!crashes.is_refused(version(1)));
        for _ in 0..MAX_CRASHES {
            crashes.note(version(1), &IsolationError::Crashed.into());
        }
        assert!(crashes.is_refused(version(1)));
    }
}
