//! Originals of an HTTP origin or a bucket. One GET tells the version and brings the bytes, which are held in memory for the
//! render that follows; later GETs are conditional. HEAD is never sent: servers answer it with other validators than GET.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tintype_single_flight::{Leader, SingleFlight, Waiter};

use super::freshness::{Breaker, Known, Standing, Windows, is_outage, jittered};
use super::origin::Origin;
use super::stat::unavailable;
use super::transport::{Answer, Fetched, Remote};
use super::wire::{Client, Limits};
use super::{BoxFuture, Error, ImageId, Opened, Original, Source, UploadStore, Version};

/// Originals whose version is remembered, and names that the origin does not have.
const MAX_KNOWN: u64 = 100_000;
const MAX_MISSING: u64 = 10_000;

/// Bytes of originals in memory; at least one of the largest fits.
const MAX_HELD: u64 = 64 << 20;

/// How long the bytes that were brought for a render are used without a look at their age: longer than a render waits for
/// its permit, under which no request may be made.
const BROUGHT: Duration = Duration::from_secs(60);

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
    known: moka::sync::Cache<ImageId, Known>,
    /// When each may be asked for again.
    missing: moka::sync::Cache<ImageId, Instant>,
    held: moka::sync::Cache<ImageId, Held>,
    flights: Arc<SingleFlight<FlightKey, ImageId, Result<Transfer, Error>>>,
    breaker: Breaker,
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

/// Bytes in memory.
#[derive(Clone)]
struct Held {
    original: Original,
    /// When a render last asked for them to be near.
    brought: Option<Instant>,
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
        let RemoteConfig { max_bytes, windows, .. } = config;
        let weight = |_: &ImageId, held: &Held| u32::try_from(held.original.bytes.len()).unwrap_or(u32::MAX);
        RemoteSource(Arc::new(Shared {
            remote,
            windows,
            known: moka::sync::Cache::new(MAX_KNOWN),
            missing: moka::sync::Cache::new(MAX_MISSING),
            held: moka::sync::Cache::builder()
                .max_capacity(MAX_HELD.max(max_bytes))
                .weigher(weight)
                // what was just fetched is needed next; admission by frequency would refuse it
                .eviction_policy(moka::policy::EvictionPolicy::lru())
                .time_to_idle(BROUGHT * 10)
                .build(),
            flights: Arc::default(),
            breaker: Breaker::default(),
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

    async fn request(
        &self, id: &ImageId, want: Want, leader: &Leader<FlightKey, ImageId, Result<Transfer, Error>>,
    ) -> Result<Transfer, Error> {
        if let Some(error) = self.breaker.error(Instant::now()) {
            self.fail(id, &error);
            return Err(error);
        }
        let known = self.known.get(id);
        let conditions = known.as_ref().filter(|_| want == Want::Version).and_then(|known| known.conditions.as_ref());
        let answer = self.remote.get(id, conditions).await;
        self.breaker.count(answer.as_ref().err(), Instant::now());
        // what began before a purge is not stored after it
        let is_valid = leader.is_valid();
        match (answer, known) {
            (Ok(Answer::Whole(fetched)), known) => {
                Ok(self.keep(id, fetched, known.map(|known| known.version), is_valid))
            }
            (Ok(Answer::NotModified(_)), Some(Known { version, conditions, .. })) => {
                if is_valid {
                    self.known.insert(id.clone(), Known::new(version, conditions, &self.windows, Instant::now()));
                }
                Ok(Transfer { version, bytes: None })
            }
            // it is sent only where a condition was
            (Ok(Answer::NotModified(_)), None) => Err(Error::Status(304)),
            (Err(error), _) => {
                self.fail(id, &error);
                Err(error)
            }
        }
    }

    fn keep(&self, id: &ImageId, fetched: Fetched, former: Option<Version>, is_valid: bool) -> Transfer {
        let Fetched { bytes, conditions, modified, lifetime: _ } = fetched;
        let mut version = Version { identity: self.identity(id, &bytes), modified, length: bytes.len() as u64 };
        if let Some(former) = former.filter(|former| former.identity == version.identity) {
            // the same bytes with another date are the same version
            version = former;
        }
        if is_valid {
            let original = Original { bytes: bytes.clone(), version };
            self.missing.invalidate(id);
            self.known.insert(id.clone(), Known::new(version, conditions, &self.windows, Instant::now()));
            self.held.insert(id.clone(), Held { original, brought: None });
        }
        Transfer { version, bytes: Some(bytes) }
    }

    /// A digest of the bytes, which every transfer brings whole, rather than of a validator: an ETag that differs between
    /// the origin's servers would be another version each time, and one that the origin forgets to change would be none.
    fn identity(&self, id: &ImageId, bytes: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for part in [self.remote.name().as_bytes(), id.as_str().as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hasher.update(bytes).finalize().into()
    }

    /// Notes that a request failed.
    fn fail(&self, id: &ImageId, error: &Error) {
        let now = Instant::now();
        if matches!(error, Error::NotFound) {
            self.drop_state(id);
            let seed = blake3::hash(id.as_str().as_bytes()).into();
            self.missing.insert(id.clone(), now + jittered(self.windows.missing, &seed));
        } else if !is_outage(error) {
            // it cannot be had any more, although the origin answers
            self.known.invalidate(id);
        } else if let Some(known) = self.known.get(id) {
            self.known.insert(id.clone(), known.failed(now));
        }
    }

    fn forget(&self, id: &ImageId) {
        self.flights.invalidate(|name| name == id);
        self.drop_state(id);
    }

    fn forget_below(&self, prefix: &str) {
        self.flights.invalidate(|name| name.as_str().starts_with(prefix));
        let is_below = |id: &Arc<ImageId>| id.as_str().starts_with(prefix);
        let known = self.known.iter().map(|(id, _)| id).chain(self.held.iter().map(|(id, _)| id));
        known.chain(self.missing.iter().map(|(id, _)| id)).filter(is_below).for_each(|id| self.drop_state(&id));
    }

    fn drop_state(&self, id: &ImageId) {
        self.known.invalidate(id);
        self.missing.invalidate(id);
        self.held.invalidate(id);
    }

    async fn version(self: &Arc<Self>, id: &ImageId) -> Result<Version, Error> {
        let now = Instant::now();
        if self.missing.get(id).is_some_and(|until| now < until) {
            return Err(Error::NotFound);
        }
        let known = self.known.get(id).map(|known| (known.standing(&self.windows, now), known));
        match known {
            Some((Standing::Fresh, known)) => Ok(known.version),
            Some((Standing::Stale, known)) => {
                // its outcome is noted where it is made
                drop(self.start(id, Want::Version));
                Ok(known.version)
            }
            Some((Standing::Expired, known)) => self.confirm(id, known).await,
            Some((Standing::TooOld, _)) | None => Ok(self.transfer(id, Want::Version).await?.version),
        }
    }

    /// The version that the origin has now, or the known one if the origin fails or takes too long.
    async fn confirm(self: &Arc<Self>, id: &ImageId, known: Known) -> Result<Version, Error> {
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

    /// The bytes in memory, if a render asked for them recently.
    fn brought(&self, id: &ImageId) -> Option<Original> {
        let held = self.held.get(id)?;
        held.brought.is_some_and(|brought| brought.elapsed() < BROUGHT).then_some(held.original)
    }

    /// The bytes of that version in memory.
    fn held(&self, id: &ImageId, version: Version) -> Option<Original> {
        self.held.get(id).map(|held| held.original).filter(|original| original.version == version)
    }

    async fn bring(self: &Arc<Self>, id: &ImageId, version: Version) -> Result<(), Error> {
        let original = match self.held(id, version) {
            Some(original) => original,
            None => self.download(id).await?,
        };
        self.held.insert(id.clone(), Held { original, brought: Some(Instant::now()) });
        Ok(())
    }

    async fn fetch(self: &Arc<Self>, id: &ImageId) -> Result<Original, Error> {
        if let Some(original) = self.brought(id) {
            return Ok(original);
        }
        let version = self.version(id).await?;
        match self.held(id, version) {
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
        let known = self.0.known.get(id)?;
        (known.standing(&self.0.windows, crate::clock::instant()) == Standing::Fresh).then_some(known.version)
    }

    fn bring<'a>(&'a self, id: &'a ImageId, version: Version) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.0.bring(id, version))
    }

    fn is_near(&self, id: &ImageId, version: Version) -> bool {
        self.0.held(id, version).is_some()
    }

    fn fetch<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Original, Error>> {
        Box::pin(self.0.fetch(id))
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
}

#[cfg(test)]
mod tests;
