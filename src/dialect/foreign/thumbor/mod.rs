//! The URLs of thumbor and imagor: `/{signature}/{parts}/{filters}/{image}`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`keys`] | signatures |
//! | [`path`] | the grammar |
//! | [`table`] | the parts and the filters |
//! | [`draft`] | their values in thumbor's terms |
//! | [`meaning`] | the native parameters of a draft |

mod draft;
mod keys;
mod meaning;
mod path;
mod table;
#[cfg(test)]
mod tests;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use self::keys::{EmptyKey, Hash, Keys};
use super::meaning::{Meaning, invalid, unsupported};
use super::options::{self, OptionDoc};
use super::overlays::OverlayNames;
use super::source::Sources;
use super::values::percent_decode;
use crate::dialect::{Dialect, Error, Statement};

/// In the place of a signature, that there is none.
const UNSIGNED: &str = "unsafe";

/// The dialect of thumbor and imagor.
#[derive(Clone, Debug)]
pub struct Thumbor {
    /// The addresses of our own originals.
    pub sources: Sources,
    /// The names of overlays.
    pub overlays: OverlayNames,
    /// The signing keys.
    pub keys: Keys,
    /// Whether URLs with `unsafe` for a signature are answered.
    pub allows_unsafe: bool,
    /// Which of the two decides where their URLs differ.
    pub flavour: Flavour,
}

/// thumbor or imagor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flavour {
    /// thumbor.
    #[default]
    Thumbor,
    /// imagor.
    Imagor,
}

impl Dialect for Thumbor {
    fn name(&self) -> &'static str {
        "thumbor"
    }

    fn read(&self, rest: &str, _query: Option<&str>, now: u64) -> Result<Statement, Error> {
        let rest = rest.split('?').next().unwrap_or_default();
        let path = rest.strip_prefix('/').filter(|path| !path.is_empty()).ok_or(Error::InvalidName)?;
        let (signature, signed) = path.split_once('/').unwrap_or((path, ""));
        self.check_signature(signature, signed)?;
        let (draft, image) = path::read(signed, self.flavour)?;
        if draft.expires.is_some_and(|expires| expires < now) {
            return Err(Error::Expired);
        }
        let id = self.sources.id_of_host(&source(image)?)?;
        let is_signed = signature != UNSIGNED;
        let params = draft.meaning(&id, &self.overlays)?.into_rendition();
        // `attachment` is imagor's, which does the same
        Ok(Statement { is_signed, completes_name: true, ..Statement::new(id, params) })
    }

    fn negotiates_format(&self, _rest: &str, _query: Option<&str>) -> bool {
        false
    }

    fn options(&self) -> Vec<OptionDoc> {
        let mut docs = options::docs(table::PARTS);
        docs.extend(options::docs(table::FILTERS));
        docs
    }

    fn write(&self, id: &crate::source::ImageId, params: &crate::dialect::Params) -> Vec<String> {
        super::write::thumbor(id, params)
    }

    fn is_unsigned(&self) -> bool {
        self.allows_unsafe || self.keys.is_empty()
    }

    fn sign(&self, rest: &str) -> Option<String> {
        let signed = rest.split('?').next().unwrap_or_default().trim_start_matches('/');
        Some(format!("/{}/{signed}", self.keys.sign(signed)?))
    }
}

impl Thumbor {
    fn check_signature(&self, signature: &str, signed: &str) -> Result<(), Error> {
        if signature == UNSIGNED {
            return match self.allows_unsafe {
                true => Ok(()),
                false => Err(Error::Signature("unsigned URLs are not answered here")),
            };
        }
        // clients encode the = of the padding
        let signature = percent_decode(signature).unwrap_or_default();
        match self.keys.verify(signed, &signature) {
            true => Ok(()),
            false => Err(Error::Signature("the signature does not match this path")),
        }
    }
}

/// The decoded text that names the source.
fn source(image: &str) -> Result<String, Error> {
    if image.is_empty() {
        return Err(invalid("image", "", "it is missing"));
    }
    if image.starts_with("color:") {
        return Err(unsupported("color:", image, None));
    }
    let Some(encoded) = image.strip_prefix("b64:") else {
        return Ok(percent_decode(image).ok_or(Error::InvalidName)?.into_owned());
    };
    let bytes = URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('='));
    let bytes = bytes.map_err(|_| invalid("image", image, "b64: and base64url"))?;
    String::from_utf8(bytes).map_err(|_| Error::InvalidName)
}
