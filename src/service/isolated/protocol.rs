//! The messages between the service and its worker processes: a request with the bytes of an original one way, answers with
//! pixels or files the other.
//!
//! The large bytes stand first and are not encoded; the message follows them, and its length ends the whole.

use std::borrow::Cow;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::render::wire::{self, WireError};
use crate::render::{self, Checked, DecodeKey, Info, Recipe, Settings};

/// A request to a worker. The bytes of the original come with it.
#[derive(Deserialize, Serialize)]
pub(super) enum Request<'a> {
    /// The header.
    Head {
        /// Limits.
        settings: Cow<'a, Settings>,
    },
    /// The validation of the file.
    Check {
        /// Limits.
        settings: Cow<'a, Settings>,
        /// The header.
        info: Option<Cow<'a, Info>>,
    },
    /// A rendition.
    Render {
        /// Of what.
        task: Task<'a>,
        /// Threads of the encoder.
        threads: u32,
    },
    /// The decoded image of a rendition, and those of other keys that come of the same pass.
    Decode {
        /// Of what.
        task: Task<'a>,
        /// The other keys.
        others: Vec<DecodeKey>,
    },
    /// A rendition of a decoded image, whose samples come before the bytes of the original, or its first ones.
    Finish {
        /// Of what.
        task: Task<'a>,
        /// Threads of the encoder.
        threads: u32,
        /// Which image it is.
        key: DecodeKey,
        /// The header of the image.
        image: Vec<u8>,
        /// Bytes of the samples.
        samples: usize,
    },
}

/// A rendition that is asked for.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Task<'a> {
    pub(super) recipe: Cow<'a, Recipe>,
    pub(super) settings: Cow<'a, Settings>,
    pub(super) info: Option<Cow<'a, Info>>,
    /// Bytes of the file of the overlay, which come behind those of the original; a decode needs none.
    pub(super) overlay: usize,
}

/// An answer of a worker. Bytes may come with it.
#[derive(Deserialize, Serialize)]
pub(super) enum Answer {
    /// The header.
    Head(Option<Info>),
    /// The file is valid.
    Checked(Checked),
    /// A decoded image: its key and its header, with its samples.
    Image(DecodeKey, Vec<u8>),
    /// A rendition: its header, with its file.
    Rendered(Vec<u8>, Times),
    /// There is no result.
    Failed(render::Error),
}

/// Times of a render.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(super) struct Times {
    pub(super) resize: Duration,
    pub(super) encode: Duration,
    pub(super) cpu: Duration,
}

/// Bytes of the length of a message.
const LENGTH: usize = 4;

/// A message as it follows its bytes.
pub(super) fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    let mut encoded = wire::to_bytes(message)?;
    let length = u32::try_from(encoded.len()).map_err(|_| WireError::Mismatch)?;
    encoded.extend(length.to_le_bytes());
    Ok(encoded)
}

/// The message at the end, and how many bytes are in front of it.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Option<(T, usize)> {
    let (rest, length) = body.split_last_chunk::<LENGTH>()?;
    let start = rest.len().checked_sub(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    Some((wire::from_bytes(&rest[start..], rest.len()).ok()?, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_follows_its_bytes() {
        let message = encode(&Answer::Image(DecodeKey::default(), vec![7; 3])).expect("a short message");
        let body = [b"samples".as_slice(), &message].concat();
        let (answer, samples) = decode(&body).expect("a message");
        assert!(matches!(answer, Answer::Image(key, header) if key == DecodeKey::default() && header == [7; 3]));
        assert_eq!(&body[..samples], b"samples");
    }

    #[test]
    fn length_beyond_the_body_is_refused() {
        let message = encode(&Answer::Head(None)).expect("a short message");
        for cut in 0..message.len() {
            assert!(decode::<Answer>(&message[cut + 1..]).is_none(), "{cut}");
        }
        assert!(decode::<Answer>(&[255; 8]).is_none());
    }
}
