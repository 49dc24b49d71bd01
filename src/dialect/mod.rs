//! What a URL asks for: text in, a [`Target`] out. Does no I/O and never sees an original.
//!
//! Three steps, one file each: [`query`] splits a URL into a name and [`Params`], what was *said*; [`policy`] fills in
//! presets, defaults and the width ladder and asks [`negotiate`] about the client, and out comes a
//! [`Recipe`](crate::render::Recipe), what was *meant*. [`signature`] says whether it was ours to ask for.

mod colours;
mod invalid;
pub mod negotiate;
pub mod params;
pub mod policy;
pub mod query;
pub mod signature;

pub use invalid::{InvalidParam, InvalidParams};
pub use params::Params;
pub use policy::{Config, Policy, Snap};
pub use query::Unknown;

use crate::render::Recipe;
use crate::source::ImageId;

/// What a URL asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Which original.
    pub id: ImageId,
    /// What to make of it; `None` where nothing was asked for, and the original itself is the answer.
    pub recipe: Option<Recipe>,
    /// Whether another `Accept` header might have led to another recipe.
    pub negotiable: bool,
    /// The query of the canonical URL where the width ladder changed the wish.
    pub snapped: Option<String>,
    /// The file name to offer for saving.
    pub download: Option<String>,
    /// Whether the URL names its own version, so that the answer may be kept for ever.
    pub immutable: bool,
    /// The last second, of unix time, in which the URL is good.
    pub expires: Option<u64>,
}

/// Why a URL asks for nothing that can be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The path can be no original's.
    #[error("the path names no original")]
    InvalidName,
    /// Parameters are wrong; at least one.
    #[error("{0}")]
    InvalidParams(InvalidParams),
    /// A signature is missing or wrong.
    #[error("{0}")]
    Signature(&'static str),
    /// The URL was good until a moment that has passed.
    #[error("the URL has expired")]
    Expired,
}

/// The most bytes of what was written for which a near word is looked for: comparing takes as long as both lengths multiplied.
const LONGEST_GUESS: usize = 64;

/// The word that is nearest to what was written, if any is near enough to have been meant.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if written.len() > LONGEST_GUESS {
        return None;
    }
    let written = written.to_ascii_lowercase();
    let scored = known.into_iter().map(|word| (strsim::damerau_levenshtein(&written, word), word));
    let near = |&(distance, word): &(usize, &str)| distance <= 1 + word.len() / 4 && distance < word.len();
    scored.filter(near).min_by_key(|&(distance, _)| distance).map(|(_, word)| word)
}
