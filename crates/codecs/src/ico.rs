//! ICO and CUR: the largest image of the file.

mod bitmap;
mod failure;
mod read;

use read::Payload;

use super::png::Png;
use crate::codec::{Codec, Sink};
use tintype_pixels::Pixels;
use tintype_pixels::error::{Error, Result};
use tintype_pixels::format::Format;
use tintype_pixels::geometry::Size;
use tintype_pixels::{Admitted, DecodeMemory, DecodeOptions, Decoded, Info, Integrity};

/// Decodes icons and cursors.
pub(crate) struct Ico;

const FORMAT: Format = Format::Ico;

impl Codec for Ico {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let (width, height) = read::probe(original).map_err(failed)?;
        let mut info = Info::new(FORMAT, Size::new(width, height));
        info.has_alpha = true;
        info.caps.memory = DecodeMemory { per_stored_pixel: 1.0, per_decoded_pixel: 10.0 };
        Ok(info)
    }

    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity> {
        let info = admitted.info();
        match read::decode(original, info.size.pixels()).map_err(failed)? {
            Payload::Png(png) => Png.decode(png, &admitted.embedded(&Png.probe(png)?)?, options, sink),
            Payload::Pixels { width, height, rgba, missing } => {
                let integrity = missing.map_or(Integrity::Whole, |missing| Integrity::Damaged(missing.into()));
                sink(Decoded::still(Pixels::new(FORMAT, Size::new(width, height), 4, rgba)?, None))?;
                Ok(integrity)
            }
        }
    }
}

fn failed(failure: read::Failure) -> Error {
    match failure {
        read::Failure::Unsupported(reason) => Error::unsupported(FORMAT, reason),
        read::Failure::Malformed(reason) => Error::malformed(FORMAT, reason),
        read::Failure::Limit(reason) => Error::Limit(reason),
    }
}
