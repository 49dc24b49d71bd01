//! AVIF: written by ravif, a pure Rust encoder.

use ravif::{BitDepth, Img};
use rgb::FromSlice;

use super::{Codec, Info, Picture, Plan, Sink};
use crate::render::error::{Error, Result};
use crate::render::format::Format;
use crate::render::quality;

/// Writes AVIF.
pub(crate) struct Avif;

const FORMAT: Format = Format::Avif;

/// rav1e's speed, 1 to 10: 10 takes a quarter of the time of 8 for a sixth more bytes, and somebody waits for it.
const SPEED: u8 = 10;

impl Codec for Avif {
    fn probe(&self, _original: &[u8]) -> Result<Info> {
        Err(Error::unsupported(FORMAT, "AVIF originals are not decoded yet"))
    }

    fn decode(&self, _original: &[u8], _info: &Info, _plan: &Plan<'_>, _sink: Sink<'_>) -> Result<()> {
        Err(Error::unsupported(FORMAT, "AVIF originals are not decoded yet"))
    }

    fn encode(&self, picture: &Picture) -> Result<Vec<u8>> {
        let pixels = picture.first();
        let (width, height) = (pixels.size.width as usize, pixels.size.height as usize);
        let quality = quality::avif(picture.quality);
        let mut encoder = ravif::Encoder::new()
            .with_quality(quality)
            .with_alpha_quality(quality.max(60.0))
            .with_speed(SPEED)
            // 10 bits look half a point better for nearly twice the time
            .with_bit_depth(BitDepth::Eight)
            // renders are bounded by cores already; more threads would take them from others
            .with_num_threads(Some(1));
        if let Some(exif) = picture.exif.as_deref() {
            encoder = encoder.with_exif(exif);
        }
        let encoded = if pixels.has_alpha() {
            encoder.encode_rgba(Img::new(pixels.data.as_rgba(), width, height))
        } else {
            encoder.encode_rgb(Img::new(pixels.data.as_rgb(), width, height))
        };
        encoded
            .map(|image| image.avif_file)
            .map_err(|error| Error::Encode { format: FORMAT, reason: error.to_string() })
    }
}
