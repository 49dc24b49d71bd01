//! Originals of an HTTP origin or a bucket. One GET tells the version and brings the bytes, which are kept on disk for the
//! renders that follow; later GETs are conditional. HEAD is never sent: servers answer it with other validators than GET.

mod request;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use tintype_single_flight::{SingleFlight, Waiter};
use tintype_store::LogThrottle;

use super::freshness::{Breaker, KnownVersion, Staleness, Windows, is_outage};
use super::known_versions::KnownVersions;
use super::origin::Origin;
use super::original_cache::OriginalCache;
use super::remote_stats::Requests;
use super::stat::unavailable;
use super::transport::Remote;
use super::wire::{Client, Limits};
use super::{
    BoxFuture, CopyLocation, Error, ImageId, LocalCopy, Opened, Original, RemoteStats, Source, UploadStore, Version,
};

/// Names that the origin does not have.
const MAX_MISSING: u64 = 10_000;

/// How remote originals are used, and what is kept of them.
#[derive(Clone, Debug)]
pub struct RemoteConfig {
    /// Larger originals are refused.
    pub max_bytes: u64,
    /// How long their versions are used.
    pub windows: Windows,
    /// The folder for originals and versions that were fetched; `None` keeps them in memory only.
    pub dir: Option<PathBuf>,
    /// The most bytes of originals on disk; 0 keeps none.
    pub cache_bytes: u64,
    /// Bytes of the file system that are left to others.
    pub min_free: u64,
}

/// Originals that are fetched over the network.
pub struct RemoteSource(Arc<Shared>);

struct Shared {
    remote: Box<dyn Remote>,
    windows: Windows,
    known: KnownVersions,
    /// When each may be asked for again.
    missing: moka::sync::Cache<ImageId, Instant>,
    originals: OriginalCache,
    flights: Arc<SingleFlight<FlightKey, ImageId, Result<Transfer, Error>>>,
    breaker: Breaker,
    requests: Requests,
    refused: LogThrottle,
    /// Whether the log says that the origin forbids to cache its originals.
    warned: AtomicBool,
    /// Whether versions that were read from disk are used only once they are confirmed.
    needs_confirmation: AtomicBool,
}

/// The digest of a name, and what the request is for.
type FlightKey = ([u8; 32], Want);

/// The purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Want {
    /// The version; the bytes only if they are others.
    Version,
    Bytes,
}

/// The result of a request.
#[derive(Clone, Debug)]
struct Transfer {
    version: Version,
    /// `None` where the origin confirmed the version.
    bytes: Option<Bytes>,
}

impl RemoteSource {
    /// The originals of an HTTP origin.
    ///
    /// # Errors
    /// If the origin needs TLS and the system has no root certificates.
    pub fn http(origin: Origin, config: RemoteConfig) -> std::io::Result<RemoteSource> {
        let client = Client::new(origin, Limits::new(config.max_bytes)).map_err(std::io::Error::other)?;
        Ok(RemoteSource::over(Box::new(client), config))
    }

    /// The originals of a place, which refuses those that are larger than `max_bytes` itself.
    pub(super) fn over(remote: Box<dyn Remote>, config: RemoteConfig) -> RemoteSource {
        let originals = OriginalCache::new(&config);
        let RemoteConfig { windows, dir, .. } = config;
        RemoteSource(Arc::new(Shared {
            known: KnownVersions::open(dir.as_deref(), remote.name(), &windows),
            remote,
            windows,
            missing: moka::sync::Cache::new(MAX_MISSING),
            originals,
            flights: Arc::default(),
            breaker: Breaker::default(),
            needs_confirmation: AtomicBool::new(false),
            requests: Requests::default(),
            refused: LogThrottle::default(),
            warned: AtomicBool::new(false),
        }))
    }
}

impl Shared {
    /// Joins a request, or makes it in a task of its own.
    fn start(self: &Arc<Self>, id: &ImageId, want: Want) -> Waiter<ImageId, Result<Transfer, Error>> {
        let key = (blake3::hash(id.as_str().as_bytes()).into(), want);
        let (waiter, leader) = self.flights.join(key, id.clone());
        if let Some(leader) = leader {
            let (shared, id) = (Arc::clone(self), id.clone());
            tokio::spawn(async move {
                let result = shared.request(&id, want, &leader).await;
                leader.complete(result);
            });
        }
        waiter
    }

    async fn transfer(self: &Arc<Self>, id: &ImageId, want: Want) -> Result<Transfer, Error> {
        let result = self.start(id, want).await;
        result.unwrap_or_else(|| Err(unavailable(std::io::Error::other("a request ended without a result"))))
    }

    fn forget(&self, id: &ImageId) {
        self.flights.invalidate(|name| name == id);
        self.known.purge(id);
        self.missing.invalidate(id);
        self.originals.remove(id);
    }

    fn forget_below(&self, prefix: &str) {
        self.flights.invalidate(|name| name.as_str().starts_with(prefix));
        self.known.purge_below(prefix);
        let below = self.missing.iter().filter(|(id, _)| id.as_str().starts_with(prefix));
        below.for_each(|(id, _)| self.missing.invalidate(&*id));
        self.originals.remove_below(prefix);
    }

    async fn version(self: &Arc<Self>, id: &ImageId) -> Result<Version, Error> {
        let now = Instant::now();
        if self.missing.get(id).is_some_and(|until| now < until) {
            return Err(Error::NotFound);
        }
        match self.usable(id).map(|known| (known.staleness(&self.windows, now), known)) {
            Some((Staleness::Fresh, known)) => Ok(known.version),
            Some((Staleness::Stale, known)) => {
                // its outcome is noted where it is made
                drop(self.start(id, Want::Version));
                Ok(known.version)
            }
            Some((Staleness::Expired, known)) => self.revalidate(id, known).await,
            Some((Staleness::TooOld, _)) | None => Ok(self.transfer(id, Want::Version).await?.version),
        }
    }

    /// The known version, unless it has to be confirmed first.
    fn usable(&self, id: &ImageId) -> Option<KnownVersion> {
        let needs_confirmation = self.needs_confirmation.load(Ordering::Relaxed);
        self.known.get(id).filter(|known| !(needs_confirmation && known.is_from_disk()))
    }

    /// The version that the origin has now, or the known one if the origin fails or takes too long.
    async fn revalidate(self: &Arc<Self>, id: &ImageId, known: KnownVersion) -> Result<Version, Error> {
        let transfer = self.transfer(id, Want::Version);
        match tokio::time::timeout(self.windows.patience, transfer).await {
            Ok(Ok(transfer)) => Ok(transfer.version),
            Ok(Err(error)) if is_outage(&error) => Ok(known.version),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                self.fail(id, &Error::TimedOut);
                Ok(known.version)
            }
        }
    }

    /// The bytes are on disk, or in memory that was reserved for them before they were requested.
    async fn make_local(self: &Arc<Self>, id: &ImageId, version: Version) -> Result<LocalCopy, Error> {
        let originals = &self.originals;
        if originals.is_on_disk(id, version) {
            return Ok(LocalCopy::on_disk(version));
        }
        if let Some(pinned) = originals.pinned(version) {
            return Ok(LocalCopy::in_memory(pinned));
        }
        // where there is a disk, too: it may be full
        let reserved = originals.reserve(version.length).await;
        // another render may have downloaded it meanwhile
        if originals.is_on_disk(id, version) {
            return Ok(LocalCopy::on_disk(version));
        }
        if let Some(pinned) = originals.pinned(version) {
            return Ok(LocalCopy::in_memory(pinned));
        }
        let original = match originals.in_memory(id, version) {
            Some(original) => original,
            None => self.download(id).await?,
        };
        if originals.is_on_disk(id, original.version) {
            return Ok(LocalCopy::on_disk(original.version));
        }
        Ok(LocalCopy::in_memory(originals.pin(original, reserved)))
    }

    async fn fetch(self: &Arc<Self>, id: &ImageId) -> Result<Original, Error> {
        let version = self.version(id).await?;
        match self.originals.get(id, version).await {
            Some(original) => Ok(original),
            None => self.download(id).await,
        }
    }

    async fn download(self: &Arc<Self>, id: &ImageId) -> Result<Original, Error> {
        let Transfer { version, bytes } = self.transfer(id, Want::Bytes).await?;
        bytes.map(|bytes| Original { bytes, version }).ok_or(Error::Changing)
    }
}

impl Source for RemoteSource {
    fn version<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Version, Error>> {
        Box::pin(self.0.version(id))
    }

    fn known(&self, id: &ImageId) -> Option<Version> {
        let known = self.0.usable(id)?;
        (known.staleness(&self.0.windows, crate::clock::instant()) == Staleness::Fresh).then_some(known.version)
    }

    fn is_stale(&self, id: &ImageId) -> bool {
        self.0.known.get(id).is_some_and(|known| known.is_stale(&self.0.windows, crate::clock::instant()))
    }

    fn make_local<'a>(&'a self, id: &'a ImageId, version: Version) -> BoxFuture<'a, Result<LocalCopy, Error>> {
        Box::pin(self.0.make_local(id, version))
    }

    fn is_local(&self, id: &ImageId, version: Version) -> bool {
        let originals = &self.0.originals;
        originals.is_on_disk(id, version) || originals.in_memory(id, version).is_some()
    }

    fn fetch<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Original, Error>> {
        Box::pin(self.0.fetch(id))
    }

    fn fetch_local<'a>(
        &'a self, id: &'a ImageId, copy: &'a LocalCopy,
    ) -> BoxFuture<'a, Result<Option<Original>, Error>> {
        Box::pin(async move {
            Ok(match &copy.0 {
                Some(CopyLocation::Memory(pinned)) => Some(pinned.original.clone()),
                Some(CopyLocation::Disk(version)) => self.0.originals.get(id, *version).await,
                None => None,
            })
        })
    }

    fn open<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Opened, Error>> {
        Box::pin(async move {
            let Original { bytes, version } = self.0.fetch(id).await?;
            Ok(Opened::new(version, bytes))
        })
    }

    fn upload_store(&self) -> Option<UploadStore> {
        self.0.remote.upload_store()
    }

    fn forget(&self, id: &ImageId) {
        self.0.forget(id);
    }

    fn forget_below(&self, prefix: &str) {
        self.0.forget_below(prefix);
    }

    fn require_confirmation(&self, is_required: bool) {
        self.0.needs_confirmation.store(is_required, Ordering::Relaxed);
    }

    fn remote_stats(&self) -> Option<RemoteStats> {
        let (cached, max_cached_bytes) = self.0.originals.usage();
        Some(RemoteStats {
            requests: self.0.requests.snapshot(),
            waiting: self.0.remote.waiting(),
            is_sick: self.0.breaker.is_open(),
            cached,
            max_cached_bytes,
        })
    }
}

#[cfg(test)]
mod tests;
