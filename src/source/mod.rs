//! Where originals live: a [`Source`] knows which version of an original is current and can fetch it.
//!
//! Sources know nothing of what is wanted from an original. The promise that the cache rests on is in [`Version`]: bytes
//! that differ have versions that differ.

mod files;
mod id;
mod inbox;
mod remembered;
mod root;
mod shared;
#[cfg(test)]
mod testsuite;

pub use files::Files;
pub use id::{ImageId, InvalidName};
pub(crate) use inbox::STAGING;
pub use inbox::{Inbox, Rejected, Staged};
pub use remembered::Remembered;
pub use shared::Shared;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

/// A future in a box, so that sources can be chosen when the program starts.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A place with originals.
///
/// Promises, checked by one suite for every implementation: what `fetch` gives is one version whole, never a blend of
/// two; a name that is not there is [`Error::NotFound`] and nothing outside of the source is ever opened; an original
/// above the limit is refused without being read.
pub trait Source: Send + Sync {
    /// The current version of an original. Cheap: asked on every request.
    fn version<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Version, Error>>;

    /// The original's bytes, and the version that they are.
    fn fetch<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Original, Error>>;

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
