//! Originals sent unchanged. An original is read once for each version, for its format and digest; after that it is opened
//! only to be sent, and a 304 reads nothing.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tintype_single_flight::{SingleFlight, Waiters};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::resolve::ATTEMPTS;
use super::workers::{Class, Need, WorkError};
use super::{Answer, Error, OriginalInfo, Payload, Service, Timing};
use crate::cache::Digest;
use crate::render::{self, Content, Format};
use crate::source::{self, Chunks, ImageId, Version};

/// Originals inspected at a time; each has its first bytes in memory, and is hashed.
const MAX_INSPECTIONS: usize = 4;

/// Contains the header of nearly every image, and any original that is an overload fallback, which must not wait for a
/// worker.
const PREFIX_BYTES: u64 = 2 << 20;

/// Inspections that run or wait to; more are refused.
const MAX_WAITING: usize = 256;

/// When a client may try again that was refused for [`MAX_WAITING`].
const RETRY: Duration = Duration::from_secs(1);

/// Inspections under way: one for each version, however many requests wait for it.
pub(super) struct Inspections {
    permits: Semaphore,
    places: Semaphore,
    flights: Arc<SingleFlight<Version, (), Inspected>>,
}

/// The result of an inspection; `None` where all requests that waited for it left before it began.
type Inspected = Option<Result<OriginalInfo, Error>>;

impl Inspections {
    pub(super) fn new() -> Inspections {
        Inspections {
            permits: Semaphore::new(MAX_INSPECTIONS),
            places: Semaphore::new(MAX_WAITING),
            flights: Arc::default(),
        }
    }

    async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // the semaphore is never closed
        self.permits.acquire().await.ok()
    }
}

impl Service {
    /// The original unchanged, if it is an image.
    ///
    /// # Errors
    /// [`render::Error::UnknownFormat`] where it is not, all of [`source::Error`], and [`WorkError`] where it was not
    /// inspected in time.
    pub async fn original(self: &Arc<Self>, id: &ImageId) -> Result<Answer, Error> {
        let started = Instant::now();
        let inspected = async {
            let mut attempts = 1;
            loop {
                let opened = self.source.open(id).await?;
                match self.original_info(id, opened.version).await {
                    Err(Error::Source(source::Error::Changing)) if attempts < ATTEMPTS => attempts += 1,
                    info => return info.map(|info| (opened, info)),
                }
            }
        };
        let inspected = tokio::time::timeout(self.workers.deadline(), inspected).await;
        let (opened, OriginalInfo { digest, content }) =
            inspected.unwrap_or(Err(WorkError::DeadlineExceeded.into()))?;
        let timing = Timing { source: started.elapsed(), ..Timing::default() };
        let (modified, payload) = (opened.version.modified, Payload::Original(opened));
        let stale = self.is_stale(id);
        Ok(Answer { payload, digest, content, damaged: false, clamp: None, stale, modified, found: None, timing })
    }

    /// The format and digest of a version, remembered or from an inspection.
    async fn original_info(self: &Arc<Self>, id: &ImageId, version: Version) -> Result<OriginalInfo, Error> {
        if let Some(info) = self.originals.get(&version) {
            return Ok(info);
        }
        loop {
            let (waiter, leader) = self.inspections.flights.join(version, ());
            if let Some(leader) = leader {
                let (service, id) = (Arc::clone(self), id.clone());
                // a task of its own, so that a client that leaves does not stop it for the others
                tokio::spawn(async move {
                    let inspected = service.inspect_for(&leader.waiters(), &id, version).await;
                    leader.complete(inspected);
                });
            }
            match waiter.await {
                Some(Some(info)) => return info,
                // this request joined as the others had just left
                Some(None) => {}
                None => return Err(WorkError::Panicked.into()),
            }
        }
    }

    /// Inspects a version while a request waits for that, or once it has begun.
    async fn inspect_for(&self, waiters: &Waiters, id: &ImageId, version: Version) -> Inspected {
        let Ok(_place) = self.inspections.places.try_acquire() else {
            return Some(Err(WorkError::Overloaded { retry: RETRY }.into()));
        };
        let permit = tokio::select! {
            biased;
            permit = self.inspections.permit() => permit,
            () = waiters.abandoned() => return None,
        };
        Some(self.inspect(id, version, permit).await)
    }

    async fn inspect(
        &self, id: &ImageId, version: Version, permit: Option<SemaphorePermit<'_>>,
    ) -> Result<OriginalInfo, Error> {
        // another inspection may have ended between the lookup and the join
        if let Some(info) = self.originals.get(&version) {
            return Ok(info);
        }
        let content = Content::Image(self.identify(id, version, permit).await?);
        let info = OriginalInfo { digest: self.digest(id, version).await?, content };
        self.originals.insert(version, info);
        Ok(info)
    }

    /// The format, from the first bytes where those suffice; otherwise a worker reads the whole original.
    async fn identify(
        &self, id: &ImageId, version: Version, permit: Option<SemaphorePermit<'_>>,
    ) -> Result<Format, Error> {
        let settings = self.settings.load_full();
        let identified = {
            let _permit = permit;
            let prefix = self.read(id, version, 0..version.length.min(PREFIX_BYTES)).await?.read_to_end().await?;
            render::identify(&prefix, &settings)
        };
        match identified {
            // signatures of formats are in the first bytes
            Err(render::Error::UnknownFormat) => return Err(render::Error::UnknownFormat.into()),
            Err(_) if version.length > PREFIX_BYTES => {}
            identified => return Ok(identified?),
        }
        let copy = self.source.make_local(id, version).await?;
        let bytes = version.length + render::FIXED_MEMORY;
        let permit = self.workers.admission().permit(Need { class: Class::Light, bytes, time: None }).await?;
        let original = self.source.fetch_local(id, &copy).await?.filter(|original| original.version == version);
        let original = original.ok_or(source::Error::Changing)?;
        let identified = permit.run(move |grant| {
            grant.exclude_from_stats();
            render::identify(&original.bytes, &settings)
        });
        Ok(identified.await??)
    }

    async fn digest(&self, id: &ImageId, version: Version) -> Result<Digest, Error> {
        let _permit = self.inspections.permit().await;
        let mut chunks = self.read(id, version, 0..version.length).await?;
        let mut hasher = blake3::Hasher::new();
        while let Some(chunk) = chunks.next().await {
            hasher.update(&chunk?);
            // a chunk takes some fifty microseconds; other tasks run in between
            tokio::task::yield_now().await;
        }
        Ok(hasher.finalize().into())
    }

    /// A range of the bytes of that version.
    pub(super) async fn read(&self, id: &ImageId, version: Version, range: Range<u64>) -> Result<Chunks, Error> {
        let opened = self.source.open(id).await?;
        if opened.version != version {
            return Err(source::Error::Changing.into());
        }
        Ok(opened.read(range))
    }
}

#[cfg(test)]
mod tests;
