//! Where originals live: a [`Source`] knows which version of an original is current and can fetch it.
//!
//! A source does not know what an original is needed for. The cache relies on [`Version`]: different bytes have different
//! versions.

mod bucket;
mod cached_versions;
mod chunks;
mod fallback;
mod files;
mod freshness;
mod id;
mod known_versions;
#[cfg(test)]
mod link_tests;
mod listing;
mod origin;
mod original_cache;
mod remote;
mod remote_stats;
mod root;
mod shared_bytes;
mod stat;
#[cfg(test)]
mod test_origin;
#[cfg(test)]
mod testsuite;
mod transport;
mod upload_store;
mod version_log;
mod wire;

pub use bucket::BucketOriginals;
pub use cached_versions::CachedVersions;
pub use chunks::buffered_bytes;
pub use fallback::WithFallback;
pub use files::Files;
pub use freshness::Windows;
pub(crate) use id::is_well_encoded;
pub use id::{ImageId, InvalidName};
pub use listing::{Filter, Listed, Listing, Page, Query};
pub use origin::{InvalidOrigin, Origin};
pub use remote::{RemoteConfig, RemoteSource};
pub use remote_stats::{RemoteStats, RequestCounts};
pub use shared_bytes::SharedBytes;
pub(crate) use upload_store::STAGING;
pub use upload_store::{Current, Expected, NamedUpload, Rejected, StagedUpload, UploadStore};

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use futures_core::Stream;
use original_cache::PinnedOriginal;

pub use crate::net::BoxFuture;

/// A place with originals.
///
/// Every implementation passes one suite of tests: `fetch`, and reads after `open`, return bytes of a single version; a
/// missing original is [`Error::NotFound`]; nothing outside of the source is opened; an original above the limit is refused
/// without being read.
pub trait Source: Send + Sync {
    /// The current version of an original. Called on every request, so it must be cheap.
    fn version<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Version, Error>>;

    /// The current version, if it is known without a system call or a request; `None` does not mean that there is none.
    fn known(&self, _id: &ImageId) -> Option<Version> {
        None
    }

    /// Whether the version of an original that was last given is used only because its origin fails.
    fn is_stale(&self, _id: &ImageId) -> bool {
        false
    }

    /// Transfers the bytes of that version, or of a newer one, to this machine, where they are not here yet, so that
    /// `fetch_local` does not wait for the network. Callers hold no worker's permit meanwhile.
    fn make_local<'a>(&'a self, _id: &'a ImageId, _version: Version) -> BoxFuture<'a, Result<LocalCopy, Error>> {
        Box::pin(std::future::ready(Ok(LocalCopy::default())))
    }

    /// The bytes of a downloaded original; `None` where they are not here any more, and are to be downloaded again. The
    /// network is not waited for.
    fn fetch_local<'a>(
        &'a self, id: &'a ImageId, _copy: &'a LocalCopy,
    ) -> BoxFuture<'a, Result<Option<Original>, Error>> {
        Box::pin(async move { self.fetch(id).await.map(Some) })
    }

    /// Whether the bytes of that version are on this machine.
    fn is_local(&self, _id: &ImageId, _version: Version) -> bool {
        true
    }

    /// The bytes of an original and their version.
    fn fetch<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Original, Error>>;

    /// Opens an original to read it in chunks.
    fn open<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Opened, Error>>;

    /// Stores uploads; `None` where the source accepts none.
    fn upload_store(&self) -> Option<UploadStore> {
        None
    }

    /// Lists originals; `None` where the source cannot.
    fn listing(&self) -> Option<Listing> {
        None
    }

    /// Counters of a source whose originals are fetched over the network.
    fn remote_stats(&self) -> Option<RemoteStats> {
        None
    }

    /// Whether versions that were known before the start are used only once the origin has confirmed them: purges may have been
    /// missed meanwhile.
    fn require_confirmation(&self, _is_required: bool) {}

    /// Drops cached state of an original that was just replaced or purged. Blocks.
    fn forget(&self, _id: &ImageId) {}

    /// The same for all originals whose names start so.
    fn forget_below(&self, _prefix: &str) {}
}

/// The version of an original's bytes: equal versions have equal bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// A digest of what the source distinguishes versions by.
    pub identity: [u8; 32],
    /// The time of the last change, for `Last-Modified`; `None` where the source does not tell.
    pub modified: Option<SystemTime>,
    /// Length in bytes.
    pub length: u64,
}

/// An original that was downloaded to this machine. It keeps the bytes in memory where the disk does not have them.
#[derive(Default)]
pub struct LocalCopy(Option<CopyLocation>);

/// Where the bytes of a downloaded original are.
enum CopyLocation {
    Disk(Version),
    Memory(Arc<PinnedOriginal>),
}

impl LocalCopy {
    fn on_disk(version: Version) -> LocalCopy {
        LocalCopy(Some(CopyLocation::Disk(version)))
    }

    fn in_memory(pinned: Arc<PinnedOriginal>) -> LocalCopy {
        LocalCopy(Some(CopyLocation::Memory(pinned)))
    }
}

/// An original in memory.
#[derive(Clone, Debug)]
pub struct Original {
    /// All bytes.
    pub bytes: Bytes,
    /// Their version.
    pub version: Version,
}

/// An original that is open for reading. Its version stays the same when its file is replaced.
pub struct Opened {
    /// The version that reads return.
    pub version: Version,
    reader: Box<dyn Reader>,
}

/// Reads one version of an original.
pub trait Reader: Send + Sync {
    /// The bytes of a range, which lies within the original.
    ///
    /// If the original is changed in place, the stream ends with [`Error::Changing`] before any byte of the other version.
    /// Chunks have a bounded size.
    fn read(self: Box<Self>, range: Range<u64>) -> Chunks;
}

/// An original in memory is read as one chunk.
impl Reader for Bytes {
    fn read(self: Box<Self>, range: Range<u64>) -> Chunks {
        let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let part = self.slice(place(range.start)..place(range.end));
        Chunks::new(OneChunk((!part.is_empty()).then_some(part)))
    }
}

/// A stream of at most one chunk.
struct OneChunk(Option<Bytes>);

impl Stream for OneChunk {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().map(Ok))
    }
}

impl Opened {
    /// An original of that version, read by `reader`.
    pub fn new(version: Version, reader: impl Reader + 'static) -> Opened {
        Opened { version, reader: Box::new(reader) }
    }

    /// The bytes of a range, clamped to the length of the original.
    pub fn read(self, range: Range<u64>) -> Chunks {
        let end = range.end.min(self.version.length);
        self.reader.read(range.start.min(end)..end)
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Consecutive bytes of an original, chunk by chunk. The first error is the last item.
pub struct Chunks(Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>);

impl Chunks {
    /// Wraps a stream.
    pub fn new(stream: impl Stream<Item = Result<Bytes, Error>> + Send + 'static) -> Chunks {
        Chunks(Box::pin(stream))
    }

    /// The next chunk; `None` at the end.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        self.0.as_mut().poll_next(context)
    }

    /// The next chunk; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Collects the remaining chunks.
    ///
    /// # Errors
    /// The first error of the stream.
    pub async fn read_to_end(mut self) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while let Some(chunk) = self.next().await {
            all.extend_from_slice(&chunk?);
        }
        Ok(all)
    }
}

/// Why an original cannot be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No regular file has that name.
    #[error("there is no such original")]
    NotFound,
    /// The process has no permission to read it.
    #[error("permission denied: tintype's user cannot read the original")]
    Forbidden,
    /// It exceeds the limit.
    #[error("the original has {bytes} bytes; {limit} are allowed")]
    TooLarge {
        /// Its length in bytes.
        bytes: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// It changed during every attempt to read it.
    #[error("the original changes faster than it can be read")]
    Changing,
    /// The storage failed.
    #[error("the original's storage failed")]
    Unavailable(#[source] Arc<std::io::Error>),
    /// The origin did not answer in time.
    #[error("the origin of the original did not answer in time")]
    TimedOut,
    /// The origin, or a redirect of it, has an address that must not be connected to. The text is for the log.
    #[error("the origin of the original has an address that is not allowed")]
    Refused(String),
    /// The origin refused the credentials of this server, which are not the client's.
    #[error("the origin of the original refused the credentials of this server")]
    Credentials,
    /// The origin answered with a status that is neither the original nor its absence.
    #[error("the origin of the original answered with status {0}")]
    Status(u16),
}
