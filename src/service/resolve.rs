//! A recipe resolved to an answer: the version of the original, the key, the cache, and a render on a miss.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Instant;

use super::renderer::IsolationError;
use super::workers::WorkError;
use super::{Answer, Error, File, KeyMemo, Payload, RateLimitCheck, Service, Timing};
use crate::cache::{Body, Failure, Found, Key, Made, Stored, rendition_key};
use crate::render::{self, Recipe, Settings};
use crate::source::{self, ImageId, Version};
use crate::sync;

/// How often a request starts over because its original changed meanwhile.
pub(super) const ATTEMPTS: usize = 3;

/// Why a render inside the cache's task has no result.
#[derive(Clone, Debug)]
pub(super) enum Failed {
    Error(Error),
    /// The original has this version now, so the key was another's.
    Changed(Version),
    /// By the original's header, this recipe gives the same result, and has a key of its own.
    Reduced(Recipe),
    /// All clients that waited for it have left.
    Cancelled,
}

impl<T: Into<Error>> From<T> for Failed {
    fn from(error: T) -> Self {
        Failed::Error(error.into())
    }
}

impl Service {
    /// The rendition of an original, by the deadline. At the deadline, a render stops before its next stage, within the
    /// encoder of WebP, or with its worker process; encoders of AVIF in this process finish, and their result is cached. A render that all its
    /// clients have left is not started, and a running one stops if others wait.
    ///
    /// `memo` must belong to this original and recipe. `limit` is called where the rendition is not in memory, and acquired
    /// where it has to be rendered.
    ///
    /// # Errors
    /// All of [`Error`]; [`WorkError::RateLimited`] where `limit` refuses.
    pub async fn rendition(
        self: &Arc<Self>, settings: &Arc<Settings>, id: &ImageId, recipe: &Recipe, memo: &KeyMemo,
        limit: impl FnOnce() -> Option<Arc<RateLimitCheck>>,
    ) -> Result<Answer, Error> {
        let answer = async {
            let started = Instant::now();
            let version = self.source.version(id).await?;
            match self.memory_hit(settings, id, version, recipe, memo) {
                Some(mut answer) => {
                    answer.timing.cache = started.elapsed();
                    Ok(answer)
                }
                None => {
                    let answer = self.resolve_output(settings, id, version, recipe, limit(), started).await?;
                    let clamp = self.clamp(settings, (id, version), recipe, memo, &answer).await;
                    Ok(Answer { clamp, stale: self.is_stale(id), ..answer })
                }
            }
        };
        let mut answer = std::pin::pin!(answer);
        // a hit in memory is ready at the first poll, and needs no timer
        let first_poll = std::future::poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await;
        match first_poll {
            Poll::Ready(answer) => answer,
            Poll::Pending => {
                let in_time = tokio::time::timeout(self.workers.deadline(), answer).await;
                in_time.unwrap_or(Err(WorkError::DeadlineExceeded.into()))
            }
        }
    }

    /// The rendition as a file of the cache; `None` where there is none, and [`Service::rendition`] has to make it, or look at it.
    /// `memo` must belong to this original and recipe.
    ///
    /// # Errors
    /// The errors of the source, and [`WorkError::DeadlineExceeded`].
    pub async fn file(
        &self, settings: &Arc<Settings>, id: &ImageId, recipe: &Recipe, memo: &KeyMemo,
    ) -> Result<Option<File>, Error> {
        let file = async {
            let started = Instant::now();
            let version = self.source.version(id).await?;
            // after a restart it is known once the rendition was looked at
            let Some(clamp) = self.known_clamp(settings, &version, recipe, memo) else { return Ok(None) };
            let effective = self.effective(version, settings, recipe).unwrap_or(recipe.clone());
            let stored = self.stored(settings, id, version, effective).await;
            Ok(stored.map(|(recipe, key, stored)| {
                self.stats.count(Found::Disk);
                self.note_disk_use(settings, id, &recipe, key, stored.upgrade);
                let timing = Timing { cache: started.elapsed(), ..Timing::default() };
                File { stored, clamp, stale: self.is_stale(id), modified: version.modified, timing }
            }))
        };
        let in_time = tokio::time::timeout(self.workers.deadline(), file).await;
        in_time.unwrap_or(Err(WorkError::DeadlineExceeded.into()))
    }

    /// The stored file of an effective recipe, with the recipe and the key that it is stored under: where the original may be
    /// the smallest, those of the rendition that it is compared with, if that is what is sent.
    async fn stored(
        &self, settings: &Settings, id: &ImageId, version: Version, effective: Recipe,
    ) -> Option<(Recipe, Key, Stored)> {
        if let Some(compared) = self.compared(version, settings, &effective) {
            let key = rendition_key(id, &version, &compared, settings);
            let stored = self.cache.stored(id, key).await?;
            if is_smallest(stored.length, stored.damaged, version) {
                return Some((compared, key, stored));
            }
        }
        let key = rendition_key(id, &version, &effective, settings);
        self.cache.stored(id, key).await.map(|stored| (effective, key, stored))
    }

    /// Whether the version of the original is used only because its origin fails, which is counted.
    pub(super) fn is_stale(&self, id: &ImageId) -> bool {
        let is_stale = self.source.is_stale(id);
        if is_stale {
            self.stats.stale.fetch_add(1, Ordering::Relaxed);
        }
        is_stale
    }

    async fn resolve_output(
        self: &Arc<Self>, settings: &Arc<Settings>, id: &ImageId, mut version: Version, recipe: &Recipe,
        limit: Option<Arc<RateLimitCheck>>, started: Instant,
    ) -> Result<Answer, Error> {
        let mut attempts = 0;
        if !self.cache.is_on_disk(rendition_key(id, &version, recipe, settings)) {
            self.read_header(id, version, settings).await;
        }
        let mut reduced = None;
        while attempts < ATTEMPTS {
            let recipe = reduced.take().or_else(|| self.effective(version, settings, recipe)).unwrap_or(recipe.clone());
            let key = rendition_key(id, &version, &recipe, settings);
            if let Some(failure) = self.failures.get(&key) {
                return Err(failure);
            }
            match self.get_or_render(id, version, key, recipe, settings, limit.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(Failed::Changed(now)) => {
                    version = now;
                    attempts += 1;
                }
                // reducing twice changes nothing, so this happens once for a version
                Err(Failed::Reduced(recipe)) => reduced = Some(recipe),
                // another client was limited, and this request waited for its render; each is limited at most once
                Err(Failed::Error(Error::Work(WorkError::RateLimited(_))))
                    if !limit.as_ref().is_some_and(|limit| limit.is_limited()) => {}
                // this request joined as the others had just left, or ran out of their time, not of its own
                Err(Failed::Cancelled) => {}
                Err(Failed::Error(Error::Work(WorkError::DeadlineExceeded)))
                    if started.elapsed() < self.workers.deadline() => {}
                Err(Failed::Error(error)) => {
                    self.remember_failure(key, &error);
                    return Err(error);
                }
            }
        }
        Err(source::Error::Changing.into())
    }

    /// Where the original itself may be the smallest, only the rendition that it is compared with is rendered; it is shared
    /// with requests that name its format.
    async fn get_or_render(
        self: &Arc<Self>, id: &ImageId, version: Version, key: Key, recipe: Recipe, settings: &Arc<Settings>,
        limit: Option<Arc<RateLimitCheck>>,
    ) -> Result<Answer, Failed> {
        if let Some(compared) = self.compared(version, settings, &recipe) {
            let key = rendition_key(id, &version, &compared, settings);
            let answer = self.lookup(id, version, key, compared, settings, limit.clone()).await?;
            if is_smallest(answer.payload.length(), answer.damaged, version) {
                return Ok(answer);
            }
        }
        self.lookup(id, version, key, recipe, settings, limit).await
    }

    async fn lookup(
        self: &Arc<Self>, id: &ImageId, version: Version, key: Key, recipe: Recipe, settings: &Arc<Settings>,
        limit: Option<Arc<RateLimitCheck>>,
    ) -> Result<Answer, Failed> {
        let started = Instant::now();
        let (service, own_id, own_recipe, own_settings) =
            (Arc::clone(self), id.clone(), recipe.clone(), Arc::clone(settings));
        let timing = Arc::<Mutex<Timing>>::default();
        let measured = Arc::clone(&timing);
        let cached = self.cache.get_or_make(id, key, move |waiters| async move {
            if let Some(limit) = limit {
                limit.acquire().map_err(WorkError::RateLimited)?;
            }
            let result = service.render(&own_id, version, own_recipe.clone(), Arc::clone(&own_settings), waiters).await;
            result.map(|(encoded, timing)| {
                *sync::lock(&measured) = timing;
                let exact = service.exact(version, &own_settings, &own_recipe, encoded.content);
                let also = exact.map(|exact| rendition_key(&own_id, &version, &exact, &own_settings));
                let Timing { cache: _, queue: _, source, decode, resize, encode } = timing;
                Made { encoded, also, took: source + decode + resize + encode }
            })
        });
        let (body, found) = cached.await.map_err(|failure| match failure {
            Failure::Make(failed) => failed,
            Failure::Lost => WorkError::Panicked.into(),
        })?;
        let mut timing = *sync::lock(&timing);
        if matches!(found, Found::Memory | Found::Disk | Found::Shared) {
            timing.cache = started.elapsed();
        }
        self.stats.count(found);
        if matches!(found, Found::Disk | Found::Shared) {
            self.note_disk_use(settings, id, &recipe, key, body.upgrade);
        }
        let Body { bytes, digest, content, damaged, memfd, .. } = (*body).clone();
        let (payload, modified) = (Payload::Memory { bytes, memfd }, version.modified);
        Ok(Answer {
            payload,
            digest,
            content,
            damaged,
            clamp: None,
            stale: false,
            modified,
            found: Some(found),
            timing,
        })
    }

    /// Remembers failures that the original causes, so that they are not rendered again.
    fn remember_failure(&self, key: Key, failure: &Error) {
        use render::Error::{Cancelled, Encode, Impossible, Limit, Malformed, UnknownFormat, Unsupported};
        match failure {
            Error::Render(UnknownFormat | Unsupported { .. } | Malformed { .. } | Limit(_) | Impossible(_))
            | Error::Isolation(IsolationError::Crashed | IsolationError::OutOfMemory) => {
                self.failures.insert(key, failure.clone());
            }
            // refused originals are remembered for longer
            Error::Isolation(IsolationError::Refused | IsolationError::Unavailable)
            | Error::Render(Cancelled | Encode { .. })
            | Error::Source(_)
            | Error::Work(_) => {}
        }
    }
}

/// Whether a rendition is sent rather than its original.
pub(super) fn is_smallest(length: u64, damaged: bool, version: Version) -> bool {
    damaged || length <= version.length
}

#[cfg(test)]
mod tests;
