//! Counters of requests to the shared bucket.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a request to the bucket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A valid rendition was read.
    GetHit,
    /// There was none.
    GetMiss,
    /// It was damaged, not signed by the secret, or another's, and was removed.
    GetInvalid,
    /// Reading failed.
    GetError,
    /// It took too long.
    GetTimeout,
    /// Nothing was asked: the breaker is open, too many look-ups are under way, or the original was just purged.
    GetSkipped,
    /// A rendition was written.
    PutStored,
    /// There was one.
    PutExists,
    /// Writing failed.
    PutError,
    /// It took too long.
    PutTimeout,
    /// Nothing was written: the breaker is open, the queue is full, or the original was purged.
    PutSkipped,
    /// The marker of an original was written.
    MarkStored,
    /// Writing a marker failed.
    MarkError,
    /// It took too long.
    MarkTimeout,
    /// An object was removed.
    DeleteDone,
    /// Removing failed.
    DeleteError,
    /// It took too long.
    DeleteTimeout,
    /// Objects were listed.
    ListDone,
    /// Listing failed.
    ListError,
    /// It took too long.
    ListTimeout,
}

impl Event {
    /// All of them in the order of the enum, with their labels.
    pub(crate) const ALL: [(Event, &str, &str); 20] = [
        (Event::GetHit, "get", "hit"),
        (Event::GetMiss, "get", "miss"),
        (Event::GetInvalid, "get", "invalid"),
        (Event::GetError, "get", "error"),
        (Event::GetTimeout, "get", "timeout"),
        (Event::GetSkipped, "get", "skipped"),
        (Event::PutStored, "put", "stored"),
        (Event::PutExists, "put", "exists"),
        (Event::PutError, "put", "error"),
        (Event::PutTimeout, "put", "timeout"),
        (Event::PutSkipped, "put", "skipped"),
        (Event::MarkStored, "mark", "stored"),
        (Event::MarkError, "mark", "error"),
        (Event::MarkTimeout, "mark", "timeout"),
        (Event::DeleteDone, "delete", "done"),
        (Event::DeleteError, "delete", "error"),
        (Event::DeleteTimeout, "delete", "timeout"),
        (Event::ListDone, "list", "done"),
        (Event::ListError, "list", "error"),
        (Event::ListTimeout, "list", "timeout"),
    ];
}

/// Counts since the start.
#[derive(Default)]
pub(crate) struct Counters {
    events: [AtomicU64; Event::ALL.len()],
    /// Renders that started because the store did not answer in time.
    hedged: AtomicU64,
}

impl Counters {
    pub(super) fn count(&self, event: Event) {
        self.events[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_hedged(&self) {
        self.hedged.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that ended so.
    pub(crate) fn of(&self, event: Event) -> u64 {
        self.events[event as usize].load(Ordering::Relaxed)
    }

    /// Renders that started because the store did not answer in time.
    pub(crate) fn hedged(&self) -> u64 {
        self.hedged.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_listed_in_their_order() {
        for (place, (event, ..)) in Event::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, place);
        }
    }
}
