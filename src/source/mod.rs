//! Where originals live: a [`Source`] knows which version of an original is current and can fetch it.
//!
//! Sources know nothing of what is wanted from an original. The promise that the cache rests on is in [`Version`]: bytes
//! that differ have versions that differ.

mod chunks;
mod files;
mod id;
mod inbox;
mod remembered;
mod root;
mod shared;
mod stat;
#[cfg(test)]
mod testsuite;

pub use chunks::buffered_bytes;
pub use files::Files;
pub use id::{ImageId, InvalidName};
pub(crate) use inbox::STAGING;
pub use inbox::{Inbox, Rejected, Staged};
pub use remembered::Remembered;
pub use shared::Shared;

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use futures_core::Stream;

/// A future in a box, so that sources can be chosen when the program starts.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A place with originals.
///
/// Promises, checked by one suite for every implementation: what `fetch` gives is one version whole, never a blend of
/// two, and so is what is read after `open`; a name that is not there is [`Error::NotFound`] and nothing outside of the
/// source is ever opened; an original above the limit is refused without being read.
pub trait Source: Send + Sync {
    /// The current version of an original. Cheap: asked on every request.
    fn version<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Version, Error>>;

    /// The original's bytes, and the version that they are.
    fn fetch<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Original, Error>>;

    /// Opens an original, to read a part of it without holding all of it in memory.
    fn open<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Opened, Error>>;

    /// Where new originals come in, if any can.
    fn inbox(&self) -> Option<Inbox> {
        None
    }

    /// Lets go of what is remembered of an original that was just changed.
    fn forget(&self, _id: &ImageId) {}
}

/// Which bytes an original has at present: equal only while they are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// A digest of whatever the source tells versions apart by.
    pub identity: [u8; 32],
    /// When it was last changed, for `Last-Modified`.
    pub modified: SystemTime,
    /// How many bytes it has.
    pub length: u64,
}

/// An original's bytes.
#[derive(Clone, Debug)]
pub struct Original {
    /// All of them.
    pub bytes: Bytes,
    /// The version that they are.
    pub version: Version,
}

/// An original that is open for reading. It stays the same version when another file takes its name.
pub struct Opened {
    /// The version that is read.
    pub version: Version,
    reader: Box<dyn Reader>,
}

/// Reads one version of an original.
pub trait Reader: Send + Sync {
    /// The bytes of a range, which lies within the original.
    ///
    /// Every chunk is checked before it is given out: if the original was changed in place, the stream ends with
    /// [`Error::Changing`] and has given out nothing of the other version. Chunks have a bounded size.
    fn read(self: Box<Self>, range: Range<u64>) -> Chunks;
}

/// An original that is in memory; its bytes are one chunk.
impl Reader for Bytes {
    fn read(self: Box<Self>, range: Range<u64>) -> Chunks {
        let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let part = self.slice(place(range.start)..place(range.end));
        Chunks::new(OneChunk((!part.is_empty()).then_some(part)))
    }
}

/// A stream of one chunk, or of none.
struct OneChunk(Option<Bytes>);

impl Stream for OneChunk {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().map(Ok))
    }
}

impl Opened {
    /// That version, read by that reader.
    pub fn new(version: Version, reader: impl Reader + 'static) -> Opened {
        Opened { version, reader: Box::new(reader) }
    }

    /// The bytes of a range, cut to what the original has.
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
    /// The chunks of that stream.
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

    /// All that is left, in one piece.
    ///
    /// # Errors
    /// The first one of the stream.
    pub async fn read_to_end(mut self) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while let Some(chunk) = self.next().await {
            all.extend_from_slice(&chunk?);
        }
        Ok(all)
    }
}

/// Why there is no original.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// There is none of that name, or what has the name is no regular file.
    #[error("there is no such original")]
    NotFound,
    /// There is one, but tintype may not read it.
    #[error("the original may not be read by tintype's user")]
    Forbidden,
    /// It has more bytes than are allowed.
    #[error("the original has {bytes} bytes; {limit} are allowed")]
    TooLarge {
        /// What it has.
        bytes: u64,
        /// What is allowed.
        limit: u64,
    },
    /// It was being written each time it was read.
    #[error("the original changes faster than it can be read")]
    Changing,
    /// The place it lives in failed.
    #[error("the original's storage failed")]
    Unavailable(#[source] Arc<std::io::Error>),
}
