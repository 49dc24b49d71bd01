//! TIFF: the first page.

mod read;

use super::samples::Samples;
use super::{Codec, Cost, Decoded, Info, Plan, Sink};
use crate::render::error::{Error, Result};
use crate::render::format::Format;
use crate::render::geometry::{Orientation, Size};
use crate::render::ops::colour::{self, Profile};
use crate::render::pixels::Pixels;

/// Reads TIFF.
pub(crate) struct Tiff;

const FORMAT: Format = Format::Tiff;

/// What decoding may take beside the pixels that were accounted for.
const HEADROOM: u64 = 4 << 20;

impl Codec for Tiff {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let header = read::probe(original).map_err(failed)?;
        let size = Size::new(header.width, header.height);
        let profile = header.icc.as_deref().and_then(Profile::from_icc);
        let mut info = Info::new(FORMAT, size).with_exif(header.exif).with_profile(profile.as_ref());
        info.orientation = Orientation::from_exif(header.orientation.into());
        info.has_alpha = header.has_alpha;
        info.has_profile |= header.is_cmyk;
        // what the reader says of itself, and the 8-bit picture made of it
        let per_pixel = header.decoded_bytes as f64 / size.pixels().max(1) as f64;
        info.cost = Cost { per_stored_pixel: per_pixel, per_decoded_pixel: 8.0 };
        Ok(info)
    }

    fn decode(&self, original: &[u8], info: &Info, plan: &Plan<'_>, sink: Sink<'_>) -> Result<()> {
        let header = read::probe(original).map_err(failed)?;
        let decoded = read::decode(original, &header, plan.memory() + HEADROOM).map_err(failed)?;
        if header.is_cmyk {
            let inks: Vec<u8> = match decoded.samples {
                Samples::Eight(inks) => inks,
                Samples::Sixteen(wide) => wide.into_iter().map(colour::narrow).collect(),
            };
            let rgb = colour::cmyk_to_rgb(&inks, false, header.icc.as_deref());
            return sink(Decoded::still(Pixels::new(FORMAT, info.size, 3, rgb)?, None));
        }
        let profile = header.icc.as_deref().and_then(Profile::from_icc);
        let (pixels, profile) = decoded.into_pixels(FORMAT, profile)?;
        sink(Decoded::still(pixels, profile))
    }
}

fn failed(failure: read::Failure) -> Error {
    match failure {
        read::Failure::Unsupported(reason) => Error::unsupported(FORMAT, reason),
        read::Failure::Malformed(reason) => Error::malformed(FORMAT, reason),
        read::Failure::Limit(reason) => Error::Limit(reason),
    }
}
