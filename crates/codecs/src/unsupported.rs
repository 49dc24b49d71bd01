//! Formats that are recognised but not decoded, so that the error can give the reason.

use crate::codec::{Codec, Sink};
use tintype_pixels::error::{Error, Result};
use tintype_pixels::format::Format;
use tintype_pixels::{Admitted, DecodeOptions, Info, Integrity};

/// A codec that answers every call with [`Error::Unsupported`] and this reason.
pub(crate) struct Unsupported(pub(crate) Format, pub(crate) &'static str);

impl Unsupported {
    fn error<T>(&self) -> Result<T> {
        Err(Error::unsupported(self.0, self.1))
    }
}

impl Codec for Unsupported {
    fn probe(&self, _original: &[u8]) -> Result<Info> {
        self.error()
    }

    fn decode(
        &self, _original: &[u8], _admitted: &Admitted<'_>, _options: &DecodeOptions, _sink: Sink<'_>,
    ) -> Result<Integrity> {
        self.error()
    }
}
