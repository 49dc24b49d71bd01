//! A look-up in the bucket, and its race with the render of the same rendition.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::super::Key;
use super::breaker::Admitted;
use super::counters::Event;
use super::object::{self, Rendition};
use super::{MAX_BYTES, SharedTier, record};
use crate::bucket::Error;
use crate::source::ImageId;

/// The limit of a look-up. Renders do not wait so long; but a store that is slow must be noticed.
const LIMIT: Duration = Duration::from_secs(2);

/// A look-up under way. It ends by itself where the render is first, since the breaker and the hedge are made of how look-ups
/// end.
pub(in super::super) struct Lookup {
    tier: Arc<SharedTier>,
    answer: oneshot::Receiver<Option<Rendition>>,
}

/// The winner of a look-up and a render.
pub(in super::super) enum First<T> {
    /// The rendition from the bucket.
    Shared(Rendition),
    /// The result of making it.
    Made(T),
}

impl SharedTier {
    /// Starts a look-up; `None` where the store is not to be asked at present. Called within the runtime.
    pub(in super::super) fn lookup(self: &Arc<Self>, id: &ImageId, key: Key) -> Option<Lookup> {
        let started = self.start_lookup(id, key);
        if started.is_none() {
            self.counters.count(Event::GetSkipped);
        }
        started
    }

    fn start_lookup(self: &Arc<Self>, id: &ImageId, key: Key) -> Option<Lookup> {
        if !self.stamps.allows(id, std::time::SystemTime::now()) {
            return None;
        }
        let place = Arc::clone(&self.lookups).try_acquire_owned().ok()?;
        let admitted = self.reads.admit(Instant::now())?;
        let (tier, id) = (Arc::clone(self), id.clone());
        let (done, answer) = oneshot::channel();
        tokio::spawn(async move {
            let found = tier.get(&id, key, &admitted).await;
            drop(place);
            // the render may have been first
            let _ = done.send(found);
        });
        Some(Lookup { tier: Arc::clone(self), answer })
    }

    async fn get(&self, id: &ImageId, key: Key, admitted: &Admitted) -> Option<Rendition> {
        let (name, started) = (object::name(key), Instant::now());
        let limited = tokio::time::timeout(LIMIT, self.bucket.get(&name, None, MAX_BYTES));
        let got = limited.await.unwrap_or(Err(Error::TimedOut));
        self.latency.observe(started.elapsed());
        record(&self.reads, admitted, &got);
        let event = match got {
            Ok(object) if !self.stamps.allows(id, object.modified) => Event::GetSkipped,
            Ok(object) => match self.signer.open(key, object) {
                Some(rendition) => {
                    self.counters.count(Event::GetHit);
                    self.in_bucket.insert(key, ());
                    return Some(rendition);
                }
                None => Event::GetInvalid,
            },
            Err(Error::TooLarge { .. }) => Event::GetInvalid,
            Err(Error::NotFound) => Event::GetMiss,
            Err(Error::TimedOut) => Event::GetTimeout,
            Err(_) => Event::GetError,
        };
        self.counters.count(event);
        if event == Event::GetInvalid {
            tracing::debug!(%id, name, "an invalid object in the shared bucket is removed");
            // before the answer, so that the rendition that is made instead takes its place
            let _ = self.delete(&name).await;
        }
        None
    }
}

impl Lookup {
    /// The rendition from the bucket or from `make`, which starts when the store has none, or is slower than usual. The first
    /// of both wins, and a `make` that is too late is dropped.
    pub(in super::super) async fn or_make<F: Future>(mut self, make: impl FnOnce() -> F) -> First<F::Output> {
        match tokio::time::timeout(self.tier.latency.hedge(), &mut self.answer).await {
            Ok(Ok(Some(rendition))) => return First::Shared(rendition),
            Ok(_) => return First::Made(make().await),
            Err(_) => self.tier.counters.count_hedged(),
        }
        let mut making = pin!(make());
        tokio::select! {
            biased;
            answer = &mut self.answer => match answer {
                Ok(Some(rendition)) => First::Shared(rendition),
                _ => First::Made(making.await),
            },
            made = &mut making => First::Made(made),
        }
    }
}
