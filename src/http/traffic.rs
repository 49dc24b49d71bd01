//! Counters of requests and connections.
//!
//! They are plain atomics that are never looked up by a label: a status code is an index.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::StatusCode;

use super::problem;
use super::rate_limit::LogThrottle;
use crate::cache::Found;
use crate::dialect::{UnknownParam, foreign};
use crate::service::stats::Histogram;

/// How a request for an image ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A rendition from memory.
    Memory,
    /// A rendition from disk.
    Disk,
    /// A rendition from the shared bucket.
    Shared,
    /// A rendition that was made for this request.
    Miss,
    /// A rendition that was being made for another request.
    Collapsed,
    /// The unchanged original.
    Original,
    /// An error.
    Failure,
}

impl Outcome {
    /// All outcomes with their labels, in the order of the enum.
    pub(super) const ALL: [(Outcome, &str); 7] = [
        (Outcome::Memory, "memory"),
        (Outcome::Disk, "disk"),
        (Outcome::Shared, "shared"),
        (Outcome::Miss, "miss"),
        (Outcome::Collapsed, "collapsed"),
        (Outcome::Original, "original"),
        (Outcome::Failure, "failure"),
    ];

    /// The outcome of a request whose image came from there; `None` is the original.
    pub(super) fn of(found: Option<Found>) -> Outcome {
        match found {
            Some(Found::Memory) => Outcome::Memory,
            Some(Found::Disk) => Outcome::Disk,
            Some(Found::Shared) => Outcome::Shared,
            Some(Found::Made { collapsed: false, .. }) => Outcome::Miss,
            Some(Found::Made { collapsed: true, .. }) => Outcome::Collapsed,
            None => Outcome::Original,
        }
    }
}

/// Counts of the finished requests with one outcome.
#[derive(Debug)]
pub(super) struct Finished {
    codes: [AtomicU64; 1000],
    /// From a request's head to its answer's.
    pub(super) seconds: Histogram,
    /// Bytes of bodies.
    pub(super) bytes: AtomicU64,
}

impl Default for Finished {
    fn default() -> Self {
        Finished { codes: [const { AtomicU64::new(0) }; 1000], seconds: Histogram::default(), bytes: AtomicU64::new(0) }
    }
}

impl Finished {
    /// Requests that were answered with that status.
    pub(super) fn with(&self, code: u16) -> u64 {
        self.codes.get(usize::from(code)).map_or(0, load)
    }

    pub(super) fn all(&self) -> u64 {
        self.codes.iter().map(load).sum()
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Errors, in the order of [`problem::TITLES`].
#[derive(Debug)]
struct Failures([AtomicU64; problem::TITLES.len()]);

// the standard library has it for up to 32 elements
impl Default for Failures {
    fn default() -> Failures {
        Failures(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// Counts since the start of the process.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    started: AtomicU64,
    finished: [Finished; Outcome::ALL.len()],
    /// Requests whose client disconnected before the answer.
    pub(super) abandoned: AtomicU64,
    failures: Failures,
    /// Requests under `/-/`, by the first digit of their status.
    admin: [AtomicU64; 6],
    /// Requests that the fast path answered.
    pub(super) fast_path: AtomicU64,
    /// CORS preflights.
    pub(super) preflights: AtomicU64,
    /// Requests with unknown parameters that were ignored, by [`UnknownParam`].
    unknown_params: [AtomicU64; 2],
    /// Requests with URLs of other systems, in the order of [`foreign::NAMES`].
    foreign: [AtomicU64; foreign::NAMES.len()],
    /// The log's lines about invalid request heads.
    pub(super) refusals: LogThrottle,
    /// The log's lines about URLs with HTML entities.
    pub(super) entities: LogThrottle,
    /// Connections that were accepted.
    pub(super) opened: AtomicU64,
    closed: AtomicU64,
    /// Bytes read from connections, heads included.
    pub(super) received: AtomicU64,
    /// Bytes written to connections, heads included.
    pub(super) sent: AtomicU64,
}

impl Traffic {
    /// Counts a request for an image as in flight, until the guard is finished or dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.started.fetch_add(1, Ordering::Relaxed);
        InFlight { traffic: Arc::clone(self), started: Instant::now(), is_finished: false }
    }

    /// Counts a request for an image that arrived at `started` and is answered now.
    pub(super) fn record(&self, started: Instant, status: StatusCode, outcome: Outcome, bytes: u64) {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.count(started, status, outcome, bytes);
    }

    fn count(&self, started: Instant, status: StatusCode, outcome: Outcome, bytes: u64) {
        let finished = self.finished(outcome);
        if let Some(counter) = finished.codes.get(usize::from(status.as_u16())) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        finished.seconds.observe(started.elapsed());
        finished.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes of a body that is streamed ([`Streamed`]).
    pub(super) fn add_bytes(&self, outcome: Outcome, bytes: u64) {
        self.finished(outcome).bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a connection, which is open until the guard is dropped.
    pub(super) fn connect(self: &Arc<Self>) -> OpenConnection {
        self.opened.fetch_add(1, Ordering::Relaxed);
        OpenConnection(Arc::clone(self))
    }

    /// Counts an error by its title.
    pub(super) fn fail(&self, title: &'static str) {
        if let Some(index) = problem::TITLES.iter().position(|known| *known == title) {
            self.failures.0[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a request with unknown parameters that were ignored.
    pub(super) fn count_unknown(&self, unknown: Option<UnknownParam>) {
        if let Some(unknown) = unknown {
            self.unknown_params[unknown as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Requests with unknown parameters that were ignored, by kind.
    pub(super) fn unknown_params(&self) -> [(&'static str, u64); 2] {
        [("html_entity", UnknownParam::HtmlEntity), ("other", UnknownParam::Other)]
            .map(|(kind, unknown)| (kind, load(&self.unknown_params[unknown as usize])))
    }

    /// Counts a request by the dialect of its URL.
    pub(super) fn count_dialect(&self, name: &'static str) {
        if let Some(index) = foreign::NAMES.iter().position(|known| *known == name) {
            self.foreign[index].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Requests with URLs of other systems, by dialect.
    pub(super) fn foreign(&self) -> impl Iterator<Item = (&'static str, u64)> {
        foreign::NAMES.iter().zip(&self.foreign).map(|(name, count)| (*name, load(count)))
    }

    /// Counts the answer to a request under `/-/`.
    pub(super) fn record_admin(&self, status: StatusCode) {
        if let Some(counter) = self.admin.get(usize::from(status.as_u16() / 100)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Requests under `/-/`, by class of status.
    pub(super) fn admin(&self) -> [(&'static str, u64); 3] {
        [("2xx", 2), ("4xx", 4), ("5xx", 5)].map(|(class, digit)| (class, load(&self.admin[digit])))
    }

    /// The counts of the requests with that outcome.
    pub(super) fn finished(&self, outcome: Outcome) -> &Finished {
        &self.finished[outcome as usize]
    }

    /// Errors by title.
    pub(super) fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        problem::TITLES.iter().zip(&self.failures.0).map(|(title, count)| (*title, load(count)))
    }

    /// Requests for images that are in flight.
    pub(super) fn in_flight(&self) -> u64 {
        // finished ones first: a request that starts in between then counts as one more, and the difference is never negative
        let finished = self.finished.iter().map(Finished::all).sum::<u64>() + load(&self.abandoned);
        load(&self.started).saturating_sub(finished)
    }

    /// Open connections.
    pub(super) fn connections(&self) -> u64 {
        let closed = load(&self.closed);
        load(&self.opened).saturating_sub(closed)
    }
}

/// A response extension: the dialect of the URL, where it is a foreign one.
#[derive(Clone, Copy)]
pub(super) struct ForeignDialect(pub(super) &'static str);

/// A response extension: the body is read while it is sent, and its bytes are counted as they leave.
#[derive(Clone, Copy)]
pub(super) struct Streamed;

/// A request in flight.
pub(super) struct InFlight {
    traffic: Arc<Traffic>,
    started: Instant,
    is_finished: bool,
}

impl InFlight {
    /// Counts the answer, whose body has that many bytes.
    pub(super) fn finish(mut self, status: StatusCode, outcome: Outcome, bytes: u64) {
        self.is_finished = true;
        self.count(status, outcome, bytes);
    }

    fn count(&self, status: StatusCode, outcome: Outcome, bytes: u64) {
        self.traffic.count(self.started, status, outcome, bytes);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        if std::thread::panicking() {
            let (status, title) = problem::PANIC;
            self.traffic.fail(title);
            self.count(status, Outcome::Failure, 0);
        } else {
            self.traffic.abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub(super) struct OpenConnection(Arc<Traffic>);

impl OpenConnection {
    pub(super) fn add_received(&self, bytes: u64) {
        self.0.received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_sent(&self, bytes: u64) {
        self.0.sent.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_flight_request_is_counted_once_however_it_ends() {
        let traffic = Arc::<Traffic>::default();
        let answered = traffic.begin();
        let left = traffic.begin();
        assert_eq!(traffic.in_flight(), 2);
        answered.finish(StatusCode::OK, Outcome::Disk, 7);
        drop(left);
        let panicked = traffic.begin();
        std::thread::spawn(move || {
            let _in_flight = panicked;
            panic!("expected by this test");
        })
        .join()
        .expect_err("it panicked");
        assert_eq!(traffic.in_flight(), 0);
        assert_eq!(load(&traffic.abandoned), 1);
        let disk = traffic.finished(Outcome::Disk);
        assert_eq!((disk.with(200), load(&disk.bytes), disk.seconds.cumulative().0.last()), (1, 7, Some(&1)));
        assert_eq!(traffic.finished(Outcome::Failure).with(500), 1);
        assert_eq!(traffic.failures().filter(|(_, count)| *count > 0).collect::<Vec<_>>(), [("Internal error", 1)]);
    }

    #[test]
    fn outcome_labels_are_in_the_order_of_the_enum() {
        for (index, (outcome, _)) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
        }
    }
}
