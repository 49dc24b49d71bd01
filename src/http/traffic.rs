//! What came in and how it was answered: counters that every request and connection passes.
//!
//! Like the service's own they are plain atomics that need no looking up: a status code is its own index.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::problem;
use super::rate::LogThrottle;
use crate::cache::Found;
use crate::dialect::UnknownParam;
use crate::service::stats::Histogram;

/// How a request for an image ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A rendition out of memory.
    Memory,
    /// A rendition from disk.
    Disk,
    /// A rendition that was made for it.
    Miss,
    /// A rendition that was being made for another request.
    Collapsed,
    /// The original as it is.
    Original,
    /// No image.
    Failure,
}

impl Outcome {
    /// All of them, in the order of the enum, with their names.
    pub(super) const ALL: [(Outcome, &str); 6] = [
        (Outcome::Memory, "memory"),
        (Outcome::Disk, "disk"),
        (Outcome::Miss, "miss"),
        (Outcome::Collapsed, "collapsed"),
        (Outcome::Original, "original"),
        (Outcome::Failure, "failure"),
    ];

    /// How an image was come by.
    pub(super) fn of(found: Option<Found>) -> Outcome {
        match found {
            Some(Found::Memory) => Outcome::Memory,
            Some(Found::Disk) => Outcome::Disk,
            Some(Found::Made { collapsed: false, .. }) => Outcome::Miss,
            Some(Found::Made { collapsed: true, .. }) => Outcome::Collapsed,
            None => Outcome::Original,
        }
    }
}

/// What is known of all requests with one outcome.
#[derive(Debug)]
pub(super) struct Ended {
    codes: [AtomicU64; 1000],
    /// How long they took.
    pub(super) seconds: Histogram,
    /// The bytes of their bodies.
    pub(super) bytes: AtomicU64,
}

impl Default for Ended {
    fn default() -> Self {
        Ended { codes: [const { AtomicU64::new(0) }; 1000], seconds: Histogram::default(), bytes: AtomicU64::new(0) }
    }
}

impl Ended {
    /// How many were answered with that status.
    pub(super) fn with(&self, code: u16) -> u64 {
        self.codes.get(usize::from(code)).map_or(0, load)
    }

    fn all(&self) -> u64 {
        self.codes.iter().map(load).sum()
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    begun: AtomicU64,
    ended: [Ended; Outcome::ALL.len()],
    /// Requests whose client left before they were answered.
    pub(super) abandoned: AtomicU64,
    /// Failures, in the order of [`problem::TITLES`].
    failures: [AtomicU64; problem::TITLES.len()],
    /// Requests that were not for images, by the first digit of their status.
    beside: [AtomicU64; 6],
    /// Requests for images that were answered without hyper.
    pub(super) fast_path: AtomicU64,
    /// Preflights of CORS that were answered.
    pub(super) preflights: AtomicU64,
    /// Requests with parameters that were ignored since they are not known: other ones, and those left by HTML entities.
    unknown_params: [AtomicU64; 2],
    /// Lines about heads that are no requests.
    pub(super) refusals: LogThrottle,
    /// Lines about URLs with HTML entities.
    pub(super) entities: LogThrottle,
    /// Connections that came in.
    pub(super) opened: AtomicU64,
    closed: AtomicU64,
    /// Bytes read from connections, heads included.
    pub(super) received: AtomicU64,
    /// Bytes written to connections, heads included.
    pub(super) sent: AtomicU64,
}

impl Traffic {
    /// A request for an image has come in.
    pub(super) fn begin(self: &Arc<Self>) -> Begun {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Begun { traffic: Arc::clone(self), started: Instant::now(), ended: false }
    }

    /// A request for an image that came in at that moment is answered.
    pub(super) fn answered(&self, started: Instant, status: StatusCode, outcome: Outcome, bytes: u64) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.count(started, status, outcome, bytes);
    }

    fn count(&self, started: Instant, status: StatusCode, outcome: Outcome, bytes: u64) {
        let ended = self.ended(outcome);
        if let Some(counter) = ended.codes.get(usize::from(status.as_u16())) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        ended.seconds.observe(started.elapsed());
        ended.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes of the body of an answer are on their way, beside those that were told with its end.
    pub(super) fn add_bytes(&self, outcome: Outcome, bytes: u64) {
        self.ended(outcome).bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A connection has come in; it counts as open until what is given back is dropped.
    pub(super) fn connect(self: &Arc<Self>) -> Open {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// A failure is answered.
    pub(super) fn fail(&self, title: &'static str) {
        if let Some(place) = problem::TITLES.iter().position(|known| *known == title) {
            self.failures[place].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A request for an image has parameters that are ignored.
    pub(super) fn count_unknown(&self, unknown: Option<UnknownParam>) {
        if let Some(unknown) = unknown {
            self.unknown_params[unknown as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Kinds of parameters that are not known, and how many requests had one that was ignored.
    pub(super) fn unknown_params(&self) -> [(&'static str, u64); 2] {
        [("html_entity", UnknownParam::HtmlEntity), ("other", UnknownParam::Other)]
            .map(|(kind, unknown)| (kind, load(&self.unknown_params[unknown as usize])))
    }

    /// A request beside those for images is answered.
    pub(super) fn answered_beside(&self, status: StatusCode) {
        if let Some(counter) = self.beside.get(usize::from(status.as_u16() / 100)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Classes of statuses, and how many requests beside those for images were answered with one.
    pub(super) fn beside(&self) -> [(&'static str, u64); 3] {
        [("2xx", 2), ("4xx", 4), ("5xx", 5)].map(|(class, digit)| (class, load(&self.beside[digit])))
    }

    /// What is known of the requests with that outcome.
    pub(super) fn ended(&self, outcome: Outcome) -> &Ended {
        &self.ended[outcome as usize]
    }

    /// Each kind of failure by its title, and how often it was answered.
    pub(super) fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        problem::TITLES.iter().zip(&self.failures).map(|(title, count)| (*title, load(count)))
    }

    /// Requests for images that are being answered.
    pub(super) fn in_flight(&self) -> u64 {
        // the ends first: what begins meanwhile then makes one more, never less than none
        let ended = self.ended.iter().map(Ended::all).sum::<u64>() + load(&self.abandoned);
        load(&self.begun).saturating_sub(ended)
    }

    /// Connections that are open.
    pub(super) fn connections(&self) -> u64 {
        let closed = load(&self.closed);
        load(&self.opened).saturating_sub(closed)
    }
}

/// A request that is being answered.
pub(super) struct Begun {
    traffic: Arc<Traffic>,
    started: Instant,
    ended: bool,
}

impl Begun {
    /// It is answered, with so many bytes.
    pub(super) fn end(mut self, status: StatusCode, outcome: Outcome, bytes: u64) {
        self.ended = true;
        self.count(status, outcome, bytes);
    }

    fn count(&self, status: StatusCode, outcome: Outcome, bytes: u64) {
        self.traffic.count(self.started, status, outcome, bytes);
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if std::thread::panicking() {
            let (status, title) = problem::OF_PANICS;
            self.traffic.fail(title);
            self.count(status, Outcome::Failure, 0);
        } else {
            self.traffic.abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A connection, for as long as it is open.
pub(super) struct Open(Arc<Traffic>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// A stream whose bytes are counted.
pub(super) struct Counted<S> {
    stream: S,
    open: Open,
}

impl<S> Counted<S> {
    /// Counts what goes over that connection.
    pub(super) fn new(stream: S, open: Open) -> Counted<S> {
        Counted { stream, open }
    }

    /// What is counted.
    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    fn sent(&self, written: Poll<std::io::Result<usize>>) -> Poll<std::io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = &written {
            self.open.0.sent.fetch_add(*count as u64, Ordering::Relaxed);
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.open.0.received.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.sent(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.sent(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_ends_once_however_it_ends() {
        let traffic = Arc::<Traffic>::default();
        let answered = traffic.begin();
        let left = traffic.begin();
        assert_eq!(traffic.in_flight(), 2);
        answered.end(StatusCode::OK, Outcome::Disk, 7);
        drop(left);
        let panicked = traffic.begin();
        std::thread::spawn(move || {
            let _held = panicked;
            panic!("a bug, brought about by this test");
        })
        .join()
        .expect_err("it panicked");
        assert_eq!(traffic.in_flight(), 0);
        assert_eq!(load(&traffic.abandoned), 1);
        let disk = traffic.ended(Outcome::Disk);
        assert_eq!((disk.with(200), load(&disk.bytes), disk.seconds.cumulative().0.last()), (1, 7, Some(&1)));
        assert_eq!(traffic.ended(Outcome::Failure).with(500), 1);
        assert_eq!(traffic.failures().filter(|(_, count)| *count > 0).collect::<Vec<_>>(), [("Internal error", 1)]);
    }

    #[test]
    fn outcomes_are_their_own_places() {
        for (place, (outcome, _)) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place);
        }
    }
}
