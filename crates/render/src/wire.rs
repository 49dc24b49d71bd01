//! Values as bytes, for renders in another process: recipes and settings on their way to it, headers, pictures and results on
//! their way back.
//!
//! Both ends are the same program, so the encoding (postcard's) carries no version and no names. Samples and files are large; they are
//! sent beside a short header, as they are. Received bytes may come from a process that an original has taken over: each value is
//! checked for what a constructor would check, and is an error where it could not have been made here.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use tintype_codecs::PictureKind;
use tintype_pixels::{ChromaSubsampling, DctScale, Decoded, Format, Integrity, Pixels, Planes, Profile, Samples, Size};

use crate::encoded::{Content, Encoded};
use crate::recipe::{Output, Recipe};

/// Why a value cannot be sent, or what was received is none.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Longer than the receiver allows.
    #[error("a message of {length} bytes; {longest} are allowed")]
    TooLong {
        /// Bytes of the message.
        length: usize,
        /// Bytes that are allowed.
        longest: usize,
    },
    /// No value of its type, or one that is not valid.
    #[error("a message that cannot be read: {0}")]
    Encoding(#[from] postcard::Error),
    /// Bytes are left over.
    #[error("a message with {0} bytes too many")]
    TrailingBytes(usize),
    /// The header does not fit the bytes beside it.
    #[error("a message whose content is not what its header says")]
    Mismatch,
}

/// The encoding of a value.
///
/// # Errors
/// [`WireError::Encoding`], for no type of this project.
pub fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, WireError> {
    Ok(postcard::to_allocvec(value)?)
}

/// The value that those bytes are the encoding of, where they are no more than `longest`.
///
/// # Errors
/// All of [`WireError`] but [`WireError::Mismatch`].
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8], longest: usize) -> Result<T, WireError> {
    if bytes.len() > longest {
        return Err(WireError::TooLong { length: bytes.len(), longest });
    }
    let (value, rest) = postcard::take_from_bytes(bytes)?;
    if rest.is_empty() { Ok(value) } else { Err(WireError::TrailingBytes(rest.len())) }
}

/// A decoded picture without its samples.
#[derive(Serialize, Deserialize)]
struct DecodedHeader {
    layout: Layout,
    size: Size,
    profile: Option<Profile>,
    scale: DctScale,
    origin: (u32, u32),
    delay: u32,
    integrity: Integrity,
}

/// How samples are arranged.
#[derive(Serialize, Deserialize)]
enum Layout {
    /// Interleaved, of that many channels.
    Packed(u8),
    Planes(Option<ChromaSubsampling>),
}

/// A decoded picture as a header and its samples.
///
/// # Errors
/// As [`to_bytes`].
pub fn decoded_parts(decoded: &Decoded) -> Result<(Vec<u8>, &[u8]), WireError> {
    let Decoded { samples, profile, scale, origin, delay, integrity } = decoded;
    let (layout, data) = match samples {
        Samples::Packed(pixels) => (Layout::Packed(pixels.channels as u8), &pixels.data[..]),
        Samples::Planes(planes) => (Layout::Planes(planes.subsampling), planes.data()),
    };
    let header = DecodedHeader {
        layout,
        size: samples.size(),
        profile: profile.clone(),
        scale: *scale,
        origin: *origin,
        delay: *delay,
        integrity: integrity.clone(),
    };
    Ok((to_bytes(&header)?, data))
}

/// The decoded picture of those parts, where the header is no longer than `longest`. Its profile is parsed when it is used.
///
/// # Errors
/// All of [`WireError`].
pub fn decoded_from(header: &[u8], samples: Vec<u8>, longest: usize) -> Result<Decoded, WireError> {
    let header: DecodedHeader = from_bytes(header, longest)?;
    let DecodedHeader { layout, size, profile, scale, origin, delay, integrity } = header;
    let samples = match layout {
        Layout::Packed(channels) => Pixels::checked(size, channels.into(), samples).map(Samples::Packed),
        Layout::Planes(subsampling) => Planes::checked(size, subsampling, samples).map(Samples::Planes),
    };
    let ends = (origin.0.checked_add(size.width), origin.1.checked_add(size.height));
    let (Some(samples), (Some(_), Some(_))) = (samples, ends) else { return Err(WireError::Mismatch) };
    Ok(Decoded { samples, profile, scale, origin, delay, integrity })
}

/// A rendition without its file.
#[derive(Serialize, Deserialize)]
struct EncodedHeader {
    content: Content,
    damaged: bool,
    kind: Option<PictureKind>,
}

/// A rendition as a header and its file.
///
/// # Errors
/// As [`to_bytes`].
pub fn encoded_parts(encoded: &Encoded) -> Result<(Vec<u8>, &[u8]), WireError> {
    let Encoded { bytes, content, damaged, kind } = encoded;
    let header = EncodedHeader { content: *content, damaged: *damaged, kind: *kind };
    Ok((to_bytes(&header)?, bytes))
}

/// The rendition of those parts, where the header is no longer than `longest` and the file begins like its content.
///
/// # Errors
/// All of [`WireError`].
pub fn encoded_from(header: &[u8], bytes: Vec<u8>, longest: usize) -> Result<Encoded, WireError> {
    let EncodedHeader { content, damaged, kind } = from_bytes(header, longest)?;
    let is_content = match content {
        Content::Image(format) => Format::sniff(&bytes) == Some(format),
        Content::Json => serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok(),
    };
    if is_content { Ok(Encoded { bytes, content, damaged, kind }) } else { Err(WireError::Mismatch) }
}

/// Whether a render of that recipe can have that content, for an original of that format.
pub fn can_have(recipe: &Recipe, original: Format, content: Content) -> bool {
    match (recipe.encode.output, content) {
        (Output::Json, Content::Json) => true,
        (Output::Exactly(wanted), Content::Image(format)) => format == wanted,
        // the original may be sent as it is
        (Output::Original | Output::Auto(_), Content::Image(format)) => format == original || format.is_output(),
        (Output::Dominant, Content::Image(format)) => format == Format::Png,
        (Output::Lqip, Content::Image(format)) => format == Format::WebP,
        (Output::Json, Content::Image(_)) | (_, Content::Json) => false,
    }
}

#[cfg(test)]
mod tests;
