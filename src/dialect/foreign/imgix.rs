//! The URLs of imgix, as its own libraries, Nuxt Image and unpic print them: `/{path}?{options}`.
//!
//! With a token every URL is signed: `s`, the last option, is the MD5 of the token, the path and the query before it. A name
//! that ends in `64` has its value in base64url.

mod draft;
mod families;
mod mark;
mod table;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use draft::Draft;
use md5::{Digest, Md5};
use table::{INDEX, OPTIONS};

use super::meaning::invalid;
use super::options::{self, ForeignOption, OptionDoc, Treatment};
use super::overlays::OverlayNames;
use super::source::Sources;
use super::values::{form_decode, pairs, percent_decode};
use crate::dialect::signature::are_equal;
use crate::dialect::{Dialect, Error, Statement};

/// The dialect of imgix.
#[derive(Clone)]
pub struct Imgix {
    /// The addresses of our own originals.
    pub sources: Sources,
    /// The names of overlays.
    pub overlays: OverlayNames,
    /// The token that signs URLs; empty where they are not signed.
    pub token: String,
    /// Whether an option that imgix does not know is an error.
    pub reject_unknown: bool,
}

impl std::fmt::Debug for Imgix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Imgix { sources, overlays, token, reject_unknown } = self;
        let token = if token.is_empty() { "none" } else { "hidden" };
        f.debug_struct("Imgix")
            .field("sources", sources)
            .field("overlays", overlays)
            .field("token", &token)
            .field("reject_unknown", reject_unknown)
            .finish()
    }
}

impl Dialect for Imgix {
    fn name(&self) -> &'static str {
        "imgix"
    }

    fn read(&self, rest: &str, query: Option<&str>, now: u64) -> Result<Statement, Error> {
        let query = query.unwrap_or_default();
        if !self.token.is_empty() {
            self.check_signature(rest, query)?;
        }
        let draft = self.parse(query)?;
        if draft.expires.is_some_and(|expires| expires < now) {
            return Err(Error::Expired);
        }
        let meaning = draft.meaning(&self.overlays)?;
        let params = if draft.asks_for_rendition { meaning.into_rendition() } else { meaning.into_params() };
        let path = percent_decode(rest.strip_prefix('/').unwrap_or(rest)).ok_or(Error::InvalidName)?;
        let is_signed = !self.token.is_empty();
        Ok(Statement { is_signed, ..Statement::new(self.sources.id(&path)?, params) })
    }

    fn negotiates_format(&self, _rest: &str, query: Option<&str>) -> bool {
        let is_auto = |name: &str| form_decode(name).is_some_and(|name| name == "auto");
        let has_format =
            |value: &str| form_decode(value).is_some_and(|value| words(&value).any(|word| word == "format"));
        pairs(query.unwrap_or_default()).any(|(name, value)| is_auto(name) && value.is_some_and(has_format))
    }

    fn options(&self) -> Vec<OptionDoc> {
        options::docs(OPTIONS)
    }

    fn write(&self, id: &crate::source::ImageId, params: &crate::dialect::Params) -> Vec<String> {
        super::write::imgix(id, params)
    }

    fn is_unsigned(&self) -> bool {
        self.token.is_empty()
    }

    fn sign(&self, rest: &str) -> Option<String> {
        if self.token.is_empty() {
            return None;
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("s=")).collect();
        let query = pairs.join("&");
        let signature = self.signature(path, &query);
        let separator = if query.is_empty() { "" } else { "&" };
        Some(format!("{path}?{query}{separator}s={signature}"))
    }
}

impl Imgix {
    /// Runs before any option is read.
    fn check_signature(&self, path: &str, query: &str) -> Result<(), Error> {
        let (signed, last) = query.rsplit_once('&').unwrap_or(("", query));
        let missing = Error::Signature("the signature is missing: s is the last option");
        let signature = last.strip_prefix("s=").ok_or(missing)?;
        if are_equal(signature.as_bytes(), self.signature(path, signed).as_bytes()) {
            return Ok(());
        }
        Err(Error::Signature("the signature does not match this path and these options"))
    }

    /// The signature of a path and a query, both as they are sent.
    fn signature(&self, path: &str, query: &str) -> String {
        let mut hash = Md5::new();
        hash.update(&self.token);
        hash.update(path);
        if !query.is_empty() {
            hash.update("?");
            hash.update(query);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn parse(&self, query: &str) -> Result<Draft, Error> {
        let mut draft = Draft::default();
        // one name for each option, so that it has no more entries than the table has names
        let mut seen: Vec<&'static str> = Vec::new();
        for (name, value) in pairs(query) {
            let value = value.unwrap_or_default();
            let malformed = || invalid(name, value, "it is percent-encoded UTF-8");
            let (name, value) = (form_decode(name).ok_or_else(malformed)?, form_decode(value).ok_or_else(malformed)?);
            let Some(Found { option, known, is_base64 }) = find(&name) else {
                if self.reject_unknown {
                    return Err(options::unknown(OPTIONS, &name, &value));
                }
                continue;
            };
            if seen.contains(&known) && known != "auto" {
                return Err(invalid(&name, &value, "it may be given only once"));
            }
            seen.push(known);
            let value = if is_base64 { decode_base64(&name, &value)? } else { value };
            option.apply(&mut draft, &name, &value)?;
            draft.asks_for_rendition |= !matches!(known, "ixlib" | "ixid" | "s");
        }
        Ok(draft)
    }
}

/// The row of a name.
struct Found {
    option: &'static ForeignOption<Draft>,
    /// The name that may be given once: that of the option, or of one of the family that a row refuses.
    known: &'static str,
    is_base64: bool,
}

fn find(name: &str) -> Option<Found> {
    let row = |name: &str, is_base64| {
        let option = INDEX.find(name)?;
        let own = option.aliases.iter().find(|alias| **alias == name).copied();
        let is_family = !matches!(option.treatment, Treatment::Read(_));
        let known = own.filter(|_| is_family).unwrap_or(option.name);
        Some(Found { option, known, is_base64 })
    };
    // the words of these two are not encoded in any library
    let base64 = || name.strip_suffix("64").filter(|name| !matches!(*name, "auto" | "ch"));
    row(name, false).or_else(|| row(base64()?, true))
}

fn decode_base64<'a>(name: &str, value: &str) -> Result<Cow<'a, str>, Error> {
    let bytes = URL_SAFE_NO_PAD.decode(value.trim_end_matches('=')).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.map(Cow::Owned).ok_or_else(|| invalid(name, value, "UTF-8 in base64url"))
}

/// The words of a list.
fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}
