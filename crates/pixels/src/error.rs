//! Why a picture could not be made. Each variant is something the caller answers differently; the text is for people.

use serde::{Deserialize, Serialize};

use crate::format::Format;
use crate::wire;

/// The result of a step of rendering.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a rendering has no result.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// The bytes begin like no image that tintype knows.
    #[error("the file is not an image that tintype reads (its content decides, not its name)")]
    UnknownFormat,
    /// The format is known but is not read, or not in this form.
    #[error("this {format} file is not supported: {reason}")]
    Unsupported {
        /// The format of the content.
        format: Format,
        /// The feature that is not supported.
        #[serde(deserialize_with = "wire::text")]
        reason: String,
    },
    /// Damaged or cut off.
    #[error("the {format} file is damaged: {reason}")]
    Malformed {
        /// The format of the content.
        format: Format,
        /// The decoder's message.
        #[serde(deserialize_with = "wire::text")]
        reason: String,
    },
    /// Larger than was allowed; nothing was decoded.
    #[error("over a limit: {0}")]
    Limit(#[serde(deserialize_with = "wire::text")] String),
    /// The original is fine but cannot be made into what was asked for.
    #[error("the result cannot be made: {0}")]
    Impossible(#[serde(deserialize_with = "wire::text")] String),
    /// The caller no longer wants the result.
    #[error("the rendering was cancelled")]
    Cancelled,
    /// An encoder failed on pixels that were right: a bug.
    #[error("encoding {format} failed: {reason}")]
    Encode {
        /// The format of the result.
        format: Format,
        /// The encoder's message.
        #[serde(deserialize_with = "wire::text")]
        reason: String,
    },
}

impl Error {
    /// A damaged original of that format, with the decoder's own words.
    pub fn malformed(format: Format, reason: impl std::fmt::Display) -> Error {
        Error::Malformed { format, reason: reason.to_string() }
    }

    /// A form of that format that is not read.
    pub fn unsupported(format: Format, reason: impl Into<String>) -> Error {
        Error::Unsupported { format, reason: reason.into() }
    }
}
