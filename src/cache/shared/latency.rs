//! How long the store takes to answer, and from that, how long a render waits for it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sync;

/// Answers that the estimate is made of.
const SAMPLES: usize = 64;

/// The hedge is twice the 95th percentile within these bounds, and `UNKNOWN` before the first answers.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(100);
const UNKNOWN: Duration = Duration::from_millis(50);

/// The latest times of the store.
pub(super) struct Latency {
    samples: Mutex<Samples>,
    /// In microseconds.
    hedge: AtomicU64,
}

struct Samples {
    /// In microseconds.
    times: [u64; SAMPLES],
    seen: usize,
}

impl Default for Latency {
    fn default() -> Latency {
        let samples = Mutex::new(Samples { times: [0; SAMPLES], seen: 0 });
        Latency { samples, hedge: AtomicU64::new(UNKNOWN.as_micros() as u64) }
    }
}

impl Latency {
    /// Notes one answer, or the limit that passed without one.
    pub(super) fn observe(&self, spent: Duration) {
        let mut samples = sync::lock(&self.samples);
        let place = samples.seen % SAMPLES;
        samples.times[place] = u64::try_from(spent.as_micros()).unwrap_or(u64::MAX);
        samples.seen += 1;
        let known = samples.seen.min(SAMPLES);
        // too few say nothing about the slowest twentieth
        if known >= 8 {
            let mut sorted = samples.times;
            let sorted = &mut sorted[..known];
            sorted.sort_unstable();
            let hedge = Duration::from_micros(sorted[(known * 95).div_ceil(100) - 1].saturating_mul(2));
            self.hedge.store(hedge.clamp(SHORTEST, LONGEST).as_micros() as u64, Ordering::Relaxed);
        }
    }

    /// How long a render waits for the store.
    pub(super) fn hedge(&self) -> Duration {
        Duration::from_micros(self.hedge.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hedge_is_twice_the_95th_percentile_within_its_bounds() {
        let check = |times: &[u64], expected: Duration| {
            let latency = Latency::default();
            times.iter().for_each(|time| latency.observe(Duration::from_millis(*time)));
            assert_eq!(latency.hedge(), expected, "{times:?}");
        };
        check(&[], UNKNOWN);
        check(&[1; 7], UNKNOWN);
        check(&[1; 8], SHORTEST);
        check(&[20; 64], Duration::from_millis(40));
        check(&[2000; 64], LONGEST);
        // 3 of 64 are within the slowest twentieth, 4 are not
        check(&[vec![20; 61], vec![45; 3]].concat(), Duration::from_millis(40));
        check(&[vec![20; 60], vec![45; 4]].concat(), Duration::from_millis(90));
        // old times are forgotten
        check(&[vec![2000; 64], vec![20; 64]].concat(), Duration::from_millis(40));
    }
}
