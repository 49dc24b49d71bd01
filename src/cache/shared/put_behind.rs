//! Renditions are written to the bucket behind the answer: a bounded queue that a few tasks work on. A rendition that does not fit is
//! dropped, since a rendition can be made again.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::{Key, Purge};
use super::counters::Event;
use super::object::{self, Rendition};
use super::{MAX_BYTES, SharedTier, markers, record};
use crate::bucket::{Condition, Error, NewObject};
use crate::source::ImageId;
use crate::sync;

/// Renditions that wait at most, and bytes of those and of the ones being written.
const MAX_WAITING: usize = 256;
const MAX_QUEUE_BYTES: u64 = MAX_BYTES;

/// Renditions that are written at a time.
const CONCURRENT: usize = 4;

/// The limit of one request, and the least speed that large renditions are written with.
const LIMIT: Duration = Duration::from_secs(2);
const BYTES_PER_SECOND: u64 = 8 << 20;

/// Before the one repetition after a 429 or 503.
const PAUSE: Duration = Duration::from_millis(500);

/// How long the end of the process waits for the queue.
const DRAIN: Duration = Duration::from_secs(5);

/// A rendition to be written.
pub(in super::super) struct Put {
    pub(in super::super) id: ImageId,
    pub(in super::super) key: Key,
    pub(in super::super) rendition: Arc<Rendition>,
    /// When its making began, or it was read: a purge since then voids it.
    pub(in super::super) begun: Instant,
    /// Whether it takes the place of what an earlier effort made.
    pub(in super::super) is_upgrade: bool,
}

/// Renditions that wait.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Notified when the last task ends.
    idle: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Put>,
    /// Of the waiting ones, and of those being written.
    bytes: u64,
    tasks: usize,
}

impl Queue {
    pub(super) fn bytes(&self) -> u64 {
        sync::lock(&self.state).bytes
    }

    /// Whether nothing waits and nothing is being written.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        sync::lock(&self.state).tasks == 0
    }

    /// Drops what waits and `matches`; returns the number.
    fn drop_waiting(&self, matches: impl Fn(&Put) -> bool) -> u64 {
        let mut state = sync::lock(&self.state);
        let before = state.waiting.len();
        let mut bytes = 0;
        state.waiting.retain(|put| {
            let is_dropped = matches(put);
            bytes += if is_dropped { put.length() } else { 0 };
            !is_dropped
        });
        state.bytes -= bytes;
        (before - state.waiting.len()) as u64
    }

    /// The next rendition; `None` ends the task that asks.
    fn next(&self) -> Option<Put> {
        let mut state = sync::lock(&self.state);
        let next = state.waiting.pop_front();
        if next.is_none() {
            state.tasks -= 1;
            self.idle.notify_all();
        }
        next
    }

    /// Waits until nothing waits and nothing is being written; `false` where that takes longer than `limit`.
    fn wait(&self, limit: Duration) -> bool {
        let is_busy = |state: &mut State| state.tasks > 0;
        let waited = self.idle.wait_timeout_while(sync::lock(&self.state), limit, is_busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Put {
    fn length(&self) -> u64 {
        self.rendition.bytes.len() as u64
    }
}

impl SharedTier {
    /// Hands over a rendition to be written behind the answer. It is dropped where the queue is full, the store does not answer
    /// at present, or its original was purged since it was begun. Called within the runtime.
    pub(in super::super) fn put_behind(self: &Arc<Self>, put: Put) {
        let mut state = sync::lock(&self.queue.state);
        let is_full = state.waiting.len() >= MAX_WAITING || state.bytes + put.length() > MAX_QUEUE_BYTES;
        // under the lock, so that a purge that is noted later finds it in the queue
        let is_void = self.stamps.is_since(&put.id, put.begun);
        if is_full || is_void {
            self.counters.count(Event::PutSkipped);
            return;
        }
        state.bytes += put.length();
        state.waiting.push_back(put);
        if state.tasks < CONCURRENT {
            state.tasks += 1;
            tokio::spawn(Arc::clone(self).write_waiting());
        }
    }

    /// Drops what waits to be written of purged originals.
    pub(super) fn drop_purged(&self, what: &Purge) {
        let dropped = self.queue.drop_waiting(|put| what.selection().matches(put.id.as_str()));
        (0..dropped).for_each(|_| self.counters.count(Event::PutSkipped));
    }

    /// Waits some seconds for what is to be written, and drops the rest. Blocks; for shutdown and tests.
    pub(crate) fn flush(&self) {
        if !self.queue.wait(DRAIN) {
            let dropped = self.queue.drop_waiting(|_| true);
            (0..dropped).for_each(|_| self.counters.count(Event::PutSkipped));
            tracing::warn!(dropped, "the shared bucket is slow; results that waited to be written to it were dropped");
        }
    }

    async fn write_waiting(self: Arc<Self>) {
        while let Some(put) = self.queue.next() {
            self.write(&put).await;
            sync::lock(&self.queue.state).bytes -= put.length();
        }
    }

    async fn write(&self, put: &Put) {
        if !self.mark(put).await || self.stamps.is_since(&put.id, put.begun) {
            return self.counters.count(Event::PutSkipped);
        }
        let name = object::name(put.key);
        let condition = match put.is_upgrade {
            false => Condition::Absent,
            true if self.is_better(&name, put).await => Condition::None,
            true => return self.counters.count(Event::PutExists),
        };
        let written = self.write_object(&name, self.signer.seal(put.key, &put.rendition), condition).await;
        self.counters.count(match written {
            None => Event::PutSkipped,
            Some(Ok(())) => Event::PutStored,
            Some(Err(Error::Exists)) => Event::PutExists,
            Some(Err(Error::TimedOut)) => Event::PutTimeout,
            Some(Err(_)) => Event::PutError,
        });
        if matches!(written, Some(Ok(()) | Err(Error::Exists))) {
            self.in_bucket.insert(put.key, ());
        }
        if self.stamps.is_since(&put.id, put.begun) {
            // purged while it was sent; the listing of the purge may have been too early to see it
            let _ = self.delete(&name).await;
        }
    }

    /// Writes the marker of a rendition's original, unless it was written lately: first, so that there is no rendition that a purge of
    /// its folder does not find. Markers are written again each day, so that they do not expire before the renditions.
    async fn mark(&self, put: &Put) -> bool {
        if self.marked.contains_key(&put.id) {
            return true;
        }
        let Some(name) = markers::name(&put.id) else { return false };
        let marker = NewObject {
            bytes: bytes::Bytes::new(),
            media_type: "application/octet-stream",
            cache_control: None,
            metadata: Vec::new(),
        };
        match self.write_object(&name, marker, Condition::None).await {
            None => return false,
            Some(Ok(())) => self.counters.count(Event::MarkStored),
            Some(Err(error)) => {
                self.counters.count(if matches!(error, Error::TimedOut) {
                    Event::MarkTimeout
                } else {
                    Event::MarkError
                });
                return false;
            }
        }
        self.marked.insert(put.id.clone(), ());
        // a purge forgets the marker after it is noted, perhaps just before the insertion
        if self.stamps.is_since(&put.id, put.begun) {
            self.marked.invalidate(&put.id);
        }
        true
    }

    /// Whether an upgraded rendition is the result of more work than the one in the bucket. Of two servers that upgrade the
    /// same rendition, the first wins.
    async fn is_better(&self, name: &str, put: &Put) -> bool {
        let limited = tokio::time::timeout(LIMIT, self.bucket.get(name, None, MAX_BYTES));
        match limited.await.unwrap_or(Err(Error::TimedOut)) {
            Ok(object) => {
                let current = self.signer.open(put.key, object);
                current.is_none_or(|current| current.attributes.upgrade < put.rendition.attributes.upgrade)
            }
            Err(Error::NotFound) => self.config.store != super::Policy::Heavy,
            Err(_) => false,
        }
    }

    /// Writes an object, and once more after a 429 or 503; `None` where nothing was sent.
    async fn write_object(&self, name: &str, object: NewObject, condition: Condition<'_>) -> Option<Result<(), Error>> {
        let first = self.try_write(name, object.clone(), condition).await?;
        if !matches!(first, Err(Error::Status(429 | 503))) {
            return Some(first);
        }
        tokio::time::sleep(PAUSE).await;
        Some(self.try_write(name, object, condition).await.unwrap_or(first))
    }

    async fn try_write(&self, name: &str, object: NewObject, condition: Condition<'_>) -> Option<Result<(), Error>> {
        if self.is_open() {
            return None;
        }
        let admitted = self.writes.admit(Instant::now())?;
        let limit = LIMIT.max(Duration::from_secs(object.bytes.len() as u64 / BYTES_PER_SECOND));
        let limited = tokio::time::timeout(limit, self.bucket.put(name, object, condition));
        let written = limited.await.unwrap_or(Err(Error::TimedOut));
        record(&self.writes, &admitted, &written);
        Some(written.map(drop))
    }
}
