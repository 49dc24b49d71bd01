//! Checks of values that arrive from another process, for the derives of `Deserialize`.
//!
//! A worker process that has decoded a hostile file may send anything. A value that could not have been made here is an error, so that
//! no other code has to expect one. Sizes and bytes of memory may be any number: sums of them saturate.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Bytes of a text at most; a longer one is cut.
const LONGEST_TEXT: usize = 4096;

/// Characters of a name at most.
pub(crate) const LONGEST_NAME: usize = 200;

/// A message for people.
pub(crate) fn text<'de, D: Deserializer<'de>, T: From<String>>(deserializer: D) -> Result<T, D::Error> {
    let mut text = String::deserialize(deserializer)?;
    text.truncate(text.floor_char_boundary(LONGEST_TEXT));
    Ok(T::from(text))
}

/// The name of a profile.
pub(crate) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name: Option<String> = Deserialize::deserialize(deserializer)?;
    let is_short = name.as_ref().is_none_or(|name| name.chars().count() <= LONGEST_NAME);
    is_short.then_some(name).ok_or_else(|| D::Error::custom("a name of more than 200 characters"))
}

/// Bytes that several values share.
pub(crate) mod bytes {
    use std::sync::Arc;

    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &Arc<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[u8]>, D::Error> {
        serde_bytes::deserialize::<&[u8], D>(deserializer).map(Arc::from)
    }
}

/// A length or a number of things, at least 1.
pub(crate) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    within::<D, 1, { u32::MAX }>(deserializer)
}

/// A number of luma samples that share one of chroma, 1 to 4 (T.81 §B.2.2).
pub(crate) fn sampling<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    within::<D, 1, 4>(deserializer)
}

fn within<'de, D: Deserializer<'de>, const MIN: u32, const MAX: u32>(deserializer: D) -> Result<u32, D::Error> {
    let number = u32::deserialize(deserializer)?;
    let is_within = (MIN..=MAX).contains(&number);
    is_within.then_some(number).ok_or_else(|| D::Error::custom("a number out of its range"))
}

/// Channels of a pixel, 1 to 4.
pub(crate) fn channels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    within::<D, 1, 4>(deserializer).map(|channels| channels as usize)
}

/// A cost or a factor: finite, and not below 0.
pub(crate) fn cost<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let cost = f64::deserialize(deserializer)?;
    let is_cost = cost.is_finite() && cost >= 0.0;
    is_cost.then_some(cost).ok_or_else(|| D::Error::custom("a cost that is no positive number"))
}
