//! URLs are read into targets: text in, a [`Target`] out. Does no I/O and never sees an original.
//!
//! [`mounts`] decides by the path which [`Dialect`] reads a URL: [`native`], or one of [`foreign`] systems. A dialect parses into
//! [`Params`] and checks its signature ([`signature`]). [`policy`] lowers them to a [`Recipe`]: it applies preset, defaults and
//! allowed widths and client hints ([`hints`]), and negotiates the format ([`negotiate`]). [`markup`] writes URLs of several widths for a page.

pub mod foreign;
pub mod hints;
mod invalid;
pub mod markup;
pub mod mounts;
pub mod native;
pub mod negotiate;
pub mod policy;
pub mod signature;

pub use hints::{Consulted, Hints};
pub use invalid::{InvalidParam, InvalidParams};
pub use mounts::{Mount, Mounts};
pub use native::{Params, UnknownParam};
pub use policy::{Config, Policy, Snap};

use crate::render::Recipe;
use crate::render::geometry::Sizing;
use crate::source::ImageId;

/// The request of a URL.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The name of the original.
    pub id: ImageId,
    /// The rendition; `None` where the answer is the original itself.
    pub recipe: Option<Recipe>,
    /// The sizing that the URL asks for, where a side above `max_dimension` gave the recipe a smaller one.
    pub requested: Option<Sizing>,
    /// Whether the recipe depends on the `Accept` header.
    pub negotiable: bool,
    /// The client hints that the recipe depends on.
    pub hints: Consulted,
    /// The query of the canonical URL, where the width was changed to an allowed one.
    pub snapped: Option<String>,
    /// The prefix of native URLs, without a slash at its end.
    pub native_prefix: String,
    /// The file name of a `Content-Disposition: attachment`.
    pub download: Option<String>,
    /// Whether the result's extension is added to that name, unless it has it.
    pub completes_name: bool,
    /// Whether the URL contains a version (`v`), so that caches may keep the answer for ever.
    pub immutable: bool,
    /// The last second, in unix time, in which the URL is valid.
    pub expires: Option<u64>,
    /// The name of the dialect.
    pub dialect: &'static str,
    /// Whether an SVG original is refused.
    pub refuses_svg: bool,
}

/// A grammar of URLs.
pub trait Dialect: std::fmt::Debug + Send + Sync {
    /// Its name in settings, logs and metrics.
    fn name(&self) -> &'static str;

    /// Reads a URL: `rest` is its path behind the mount and `query` its query, both as they were sent, `now` is in unix seconds.
    ///
    /// # Errors
    /// All of [`Error`].
    fn read(&self, rest: &str, query: Option<&str>, now: u64) -> Result<Statement, Error>;

    /// Whether a URL, valid or not, leaves the format to negotiation: errors for such a URL vary by `Accept`, too.
    fn negotiates_format(&self, rest: &str, query: Option<&str>) -> bool;

    /// Whether a path behind the mount asks if the server lives, rather than for an image.
    fn is_health_check(&self, _rest: &str) -> bool {
        false
    }

    /// The options that it knows, for documentation.
    fn options(&self) -> Vec<foreign::options::OptionDoc>;

    /// Whether nothing but a setting keeps clients from asking for any size: it has no keys.
    fn is_unsigned(&self) -> bool;

    /// URLs, behind the mount and without a signature, that may mean an original and parameters: the caller reads them to see
    /// which does. None where the dialect has no words for them.
    fn write(&self, _id: &ImageId, _params: &Params) -> Vec<String> {
        Vec::new()
    }

    /// The URL, behind the mount, with its signature; `None` where it has no keys.
    fn sign(&self, _rest: &str) -> Option<String> {
        None
    }
}

/// The content of a URL, by any dialect.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The name of the original.
    pub id: ImageId,
    /// The parameters that it means.
    pub params: Params,
    /// Whether an SVG original is refused, which is otherwise sent untouched where no raster format is named.
    pub refuses_svg: bool,
    /// Whether a signature of the dialect's own covers the URL.
    pub is_signed: bool,
    /// Whether the result's extension is added to the name of `download`, unless it has it.
    pub completes_name: bool,
}

impl Statement {
    /// The statement of an original and parameters.
    pub fn new(id: ImageId, params: Params) -> Statement {
        Statement { id, params, refuses_svg: false, is_signed: false, completes_name: false }
    }
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
    /// The source is on another host, or of another kind, than this server may read.
    #[error("the source is not allowed: it is not below an entry of `bases`")]
    ForeignSource,
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
