//! Formats that are known by name so that they can be refused with a reason.

use crate::codec::{Codec, Sink};
use tintype_pixels::error::{Error, Result};
use tintype_pixels::format::Format;
use tintype_pixels::{Admitted, DecodeOptions, Info, Integrity};

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

    fn decode(
        &self, _original: &[u8], _admitted: &Admitted<'_>, _options: &DecodeOptions, _sink: Sink<'_>,
    ) -> Result<Integrity> {
        self.refuse()
    }
}
