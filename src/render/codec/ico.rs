//! ICO and CUR: the largest picture of the file.

mod read;

use read::Payload;

use super::png::Png;
use super::{Codec, Cost, Decoded, Info, Integrity, Plan, Sink};
use crate::render::error::{Error, Result};
use crate::render::format::Format;
use crate::render::geometry::Size;
use crate::render::pixels::Pixels;

/// Reads icons and cursors.
pub(crate) struct Ico;

const FORMAT: Format = Format::Ico;

impl Codec for Ico {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let (width, height) = read::probe(original).map_err(failed)?;
        let mut info = Info::new(FORMAT, Size::new(width, height));
        info.has_alpha = true;
        info.cost = Cost { per_stored_pixel: 1.0, per_decoded_pixel: 10.0 };
        Ok(info)
    }

    fn decode(&self, original: &[u8], info: &Info, plan: &Plan<'_>, sink: Sink<'_>) -> Result<Integrity> {
        match read::decode(original, info.size.pixels()).map_err(failed)? {
            Payload::Png(png) => Png.decode(png, &Png.probe(png)?, plan, sink),
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
