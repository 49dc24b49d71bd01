//! Formats that are known by name so that they can be refused with a reason.

use super::{Codec, Info, Integrity, Plan, Sink};
use crate::render::error::{Error, Result};
use crate::render::format::Format;

/// A format that is not read, and why.
pub(crate) struct Refused(pub(crate) Format, pub(crate) &'static str);

impl Refused {
    fn refuse<T>(&self) -> Result<T> {
        Err(Error::unsupported(self.0, self.1))
    }
}

impl Codec for Refused {
    fn probe(&self, _original: &[u8]) -> Result<Info> {
        self.refuse()
    }

    fn decode(&self, _original: &[u8], _info: &Info, _plan: &Plan<'_>, _sink: Sink<'_>) -> Result<Integrity> {
        self.refuse()
    }
}
