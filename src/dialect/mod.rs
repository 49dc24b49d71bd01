//! URLs are read into targets: text in, a [`Target`] out. Does no I/O and never sees an original.
//!
//! [`native`] parses a query into [`Params`]. [`policy`] lowers them to a [`Recipe`]: it checks the signature ([`signature`]),
//! applies preset, defaults and allowed widths, and negotiates the format ([`negotiate`]).

mod invalid;
pub mod native;
pub mod negotiate;
pub mod policy;
pub mod signature;

pub use invalid::{InvalidParam, InvalidParams};
pub use native::{Params, UnknownParam};
pub use policy::{Config, Policy, Snap};

use crate::render::Recipe;
use crate::source::ImageId;

/// The request of a URL.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The name of the original.
    pub id: ImageId,
    /// The rendition; `None` where the answer is the original itself.
    pub recipe: Option<Recipe>,
    /// Whether the recipe depends on the `Accept` header.
    pub negotiable: bool,
    /// The query of the canonical URL, where the width was changed to an allowed one.
    pub snapped: Option<String>,
    /// The file name of a `Content-Disposition: attachment`.
    pub download: Option<String>,
    /// Whether the URL contains a version (`v`), so that caches may keep the answer for ever.
    pub immutable: bool,
    /// The last second, in unix time, in which the URL is valid.
    pub expires: Option<u64>,
}

/// Why a URL is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The path cannot name an original.
    #[error("the path names no original")]
    InvalidName,
    /// At least one parameter is invalid.
    #[error("{0}")]
    InvalidParams(InvalidParams),
    /// The signature is missing or wrong.
    #[error("{0}")]
    Signature(&'static str),
    /// `expires` has passed.
    #[error("the URL has expired")]
    Expired,
}

/// Longer input gets no suggestion: the comparison takes time proportional to the product of both lengths.
const MAX_INPUT_BYTES: usize = 64;

/// The word nearest to a misspelt input, if one is near enough.
pub(crate) fn nearest<'a>(input: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if input.len() > MAX_INPUT_BYTES {
        return None;
    }
    let input = input.to_ascii_lowercase();
    let scored = known.into_iter().map(|word| (strsim::damerau_levenshtein(&input, word), word));
    let near = |&(distance, word): &(usize, &str)| distance <= 1 + word.len() / 4 && distance < word.len();
    scored.filter(near).min_by_key(|&(distance, _)| distance).map(|(_, word)| word)
}
