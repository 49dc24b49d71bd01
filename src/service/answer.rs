//! The answer to a request, or why there is none.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::renderer::IsolationError;
use super::workers::WorkError;
use crate::cache::{Digest, Found, MemfdBytes, Stored};
use crate::render::{self, Clamp, Content};
use crate::source::{self, Opened};

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The source failed.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// The original could not be rendered.
    #[error(transparent)]
    Render(#[from] render::Error),
    /// A worker process died of it.
    #[error(transparent)]
    Isolation(#[from] IsolationError),
    /// The workers had no room or no time.
    #[error(transparent)]
    Work(#[from] WorkError),
}

/// An image or a description of one.
#[derive(Debug)]
pub struct Answer {
    /// The bytes, or where they are.
    pub payload: Payload,
    /// Of the bytes.
    pub digest: Digest,
    /// The type of the bytes.
    pub content: Content,
    /// Whether the original is damaged, so that the image is incomplete.
    pub damaged: bool,
    /// The limit that made the image smaller than requested.
    pub clamp: Option<Clamp>,
    /// Whether the version of the original is used only because its origin fails.
    pub stale: bool,
    /// Last modification of the original, where its source tells.
    pub modified: Option<SystemTime>,
    /// Where the rendition came from; `None` for an original.
    pub found: Option<Found>,
    /// Where the time went.
    pub timing: Timing,
}

/// The bytes of an answer, or where they are.
#[derive(Debug)]
pub enum Payload {
    /// A rendition.
    Memory {
        /// All of it.
        bytes: Bytes,
        /// A file in memory with the same bytes, where there is one.
        memfd: Option<MemfdBytes>,
    },
    /// An original, to be read while it is sent.
    Original(Opened),
}

impl Payload {
    /// In bytes.
    pub fn length(&self) -> u64 {
        match self {
            Payload::Memory { bytes, .. } => bytes.len() as u64,
            Payload::Original(opened) => opened.version.length,
        }
    }
}

/// A rendition as a file of the cache, for a proxy that sends it itself.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path and content.
    pub stored: Stored,
    /// The limit that made the image smaller than requested.
    pub clamp: Option<Clamp>,
    /// Whether the version of the original is used only because its origin fails.
    pub stale: bool,
    /// Last modification of the original, where its source tells.
    pub modified: Option<SystemTime>,
    /// Where the time went.
    pub timing: Timing,
}

/// Time of one request by stage; zero for a stage that it skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Lookup in the cache.
    pub cache: Duration,
    /// Wait for a worker.
    pub queue: Duration,
    /// Fetch of the original.
    pub source: Duration,
    /// Decoding of the original.
    pub decode: Duration,
    /// Resize and other operations.
    pub resize: Duration,
    /// Encode.
    pub encode: Duration,
}
