//! The memory of the status page, all of it bounded: samples of the counters, the last errors, and the slowest originals.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::traffic::{Outcome, Traffic};
use crate::clock;
use crate::service::{Service, Timing};
use crate::source::ImageId;
use crate::sync;

/// The time between two samples.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);

/// Samples that are kept: ten minutes.
pub(super) const SAMPLES: usize = 120;

/// Errors that are kept, and bytes of each text.
const ERRORS: usize = 50;
const MAX_TEXT: usize = 300;

/// Originals that are kept.
const SLOWEST: usize = 20;

/// The memory of the status page.
#[derive(Debug, Default)]
pub(super) struct History {
    samples: Mutex<VecDeque<Sample>>,
    errors: Mutex<VecDeque<Failure>>,
    slowest: Mutex<Vec<Slow>>,
}

/// Counters since the start, and gauges, at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// Requests for images.
    pub(super) requests: u64,
    /// Requests answered from memory, disk or the shared bucket.
    pub(super) hits: u64,
    /// Requests that waited for a render.
    pub(super) misses: u64,
    /// Originals that were sent unchanged.
    pub(super) originals: u64,
    /// Errors.
    pub(super) failures: u64,
    /// Renders that were started.
    pub(super) renders: u64,
    /// Bytes written to connections.
    pub(super) sent: u64,
    /// Renders that wait.
    pub(super) waiting: u64,
    /// Renders that run.
    pub(super) busy: u64,
    /// Bytes of memory granted to renders.
    pub(super) memory: u64,
    /// Bytes of the cache on disk.
    pub(super) disk: u64,
}

/// A request that was answered with an error.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) time: SystemTime,
    pub(super) status: u16,
    pub(super) title: &'static str,
    /// Path and query; both texts may be truncated.
    pub(super) url: String,
    pub(super) detail: String,
}

/// The renders of one original.
#[derive(Clone, Debug)]
pub(super) struct Slow {
    pub(super) id: String,
    /// The longest of them, without the wait for a worker.
    pub(super) longest: Duration,
    /// How many have been seen since it is listed.
    pub(super) renders: u64,
}

impl History {
    /// Adds a sample of now.
    pub(super) fn sample(&self, traffic: &Traffic, service: &Service) {
        let mut samples = sync::lock(&self.samples);
        if samples.len() == SAMPLES {
            samples.pop_front();
        }
        samples.push_back(Sample::now(traffic, service));
    }

    /// The samples, the oldest first.
    pub(super) fn samples(&self) -> Vec<Sample> {
        sync::lock(&self.samples).iter().copied().collect()
    }

    /// Notes an error.
    pub(super) fn fail(&self, status: u16, title: &'static str, url: &str, detail: &str) {
        let (url, detail) = (truncated(url), truncated(detail));
        let mut errors = sync::lock(&self.errors);
        if errors.len() == ERRORS {
            errors.pop_front();
        }
        errors.push_back(Failure { time: clock::now(), status, title, url, detail });
    }

    /// The last errors, the newest first.
    pub(super) fn errors(&self) -> Vec<Failure> {
        sync::lock(&self.errors).iter().rev().cloned().collect()
    }

    /// Notes a render.
    pub(super) fn rendered(&self, id: &ImageId, timing: &Timing) {
        let Timing { cache: _, queue: _, source, decode, resize, encode } = *timing;
        let took = source + decode + resize + encode;
        let mut slowest = sync::lock(&self.slowest);
        if let Some(slow) = slowest.iter_mut().find(|slow| slow.id == id.as_str()) {
            slow.longest = slow.longest.max(took);
            slow.renders += 1;
        } else if slowest.len() < SLOWEST || slowest.last().is_some_and(|last| last.longest < took) {
            slowest.truncate(SLOWEST - 1);
            slowest.push(Slow { id: id.as_str().to_owned(), longest: took, renders: 1 });
        }
        slowest.sort_by_key(|slow| std::cmp::Reverse(slow.longest));
    }

    /// The originals whose renders took longest.
    pub(super) fn slowest(&self) -> Vec<Slow> {
        sync::lock(&self.slowest).clone()
    }
}

impl Sample {
    /// The counters and gauges of now.
    pub(super) fn now(traffic: &Traffic, service: &Service) -> Sample {
        let of = |outcome| traffic.finished(outcome).all();
        let (workers, originals, failures) = (service.workers(), of(Outcome::Original), of(Outcome::Failure));
        let hits = of(Outcome::Memory) + of(Outcome::Disk) + of(Outcome::Shared);
        let misses = of(Outcome::Miss) + of(Outcome::Collapsed);
        Sample {
            requests: hits + misses + originals + failures,
            hits,
            misses,
            originals,
            failures,
            renders: service.stats().renders.load(Ordering::Relaxed),
            sent: traffic.sent.load(Ordering::Relaxed),
            waiting: workers.waiting() as u64,
            busy: workers.busy() as u64,
            memory: workers.memory(),
            disk: service.cache_usage().bytes,
        }
    }

    /// The share of renditions that were found, between an earlier sample and this one; `None` without any.
    pub(super) fn hit_ratio(&self, earlier: &Sample) -> Option<f64> {
        let (hits, misses) = (self.hits - earlier.hits.min(self.hits), self.misses - earlier.misses.min(self.misses));
        (hits + misses > 0).then(|| hits as f64 / (hits + misses) as f64)
    }
}

fn truncated(text: &str) -> String {
    match text.char_indices().find(|(at, c)| at + c.len_utf8() > MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(milliseconds: u64) -> Timing {
        Timing { decode: Duration::from_millis(milliseconds), queue: Duration::from_secs(9), ..Timing::default() }
    }

    #[test]
    fn errors_are_bounded_and_the_newest_is_first() {
        let history = History::default();
        for number in 0..200 {
            history.fail(404, "Not found", &format!("/{number}{}", "é".repeat(1000)), "");
        }
        let errors = history.errors();
        assert_eq!(errors.len(), ERRORS);
        assert!(errors[0].url.starts_with("/199é") && errors[0].url.len() <= MAX_TEXT + 3);
    }

    #[test]
    fn slowest_originals_are_kept() {
        let history = History::default();
        let id = |number: u64| ImageId::of(&format!("{number}.jpg")).expect("a name");
        for number in 0..100 {
            history.rendered(&id(number), &timing(number));
            history.rendered(&id(number), &timing(number / 2));
        }
        let slowest = history.slowest();
        assert_eq!((slowest.len(), &*slowest[0].id, &*slowest[SLOWEST - 1].id), (SLOWEST, "99.jpg", "80.jpg"));
        assert_eq!((slowest[0].longest, slowest[0].renders), (Duration::from_millis(99), 2));
    }
}
