//! Encoding by ravif, in pure Rust, for builds without native codecs.

use ::ravif::{BitDepth, Img};
use rgb::FromSlice;

use super::Encoder;
use crate::EncodeInput;
use crate::encoding::Effort;

/// The encoder ravif, which runs rav1e.
pub(super) struct Ravif;

/// rav1e's speed, 1 to 10: 10 takes a quarter of the time of 8 for a sixth more bytes.
fn speed(effort: Effort) -> u8 {
    match effort {
        Effort::Fast => 10,
        Effort::Balanced => 8,
        Effort::Dense => 6,
    }
}

impl Encoder for Ravif {
    fn encode(&self, input: &EncodeInput) -> Result<Vec<u8>, String> {
        let pixels = input.first();
        let (width, height) = (pixels.size.width as usize, pixels.size.height as usize);
        let mut encoder = ::ravif::Encoder::new()
            .with_quality(input.quality)
            .with_alpha_quality(input.quality.max(60.0))
            .with_speed(speed(input.encoding.effort))
            // 10 bits gain half a point of SSIMULACRA2 for nearly twice the time
            .with_bit_depth(BitDepth::Eight)
            // renders already run one a core
            .with_num_threads(Some(1));
        if let Some(exif) = input.exif.as_deref() {
            encoder = encoder.with_exif(exif);
        }
        let encoded = if pixels.has_alpha() {
            encoder.encode_rgba(Img::new(pixels.data.as_rgba(), width, height))
        } else {
            encoder.encode_rgb(Img::new(pixels.data.as_rgb(), width, height))
        };
        encoded.map(|image| image.avif_file).map_err(|error| error.to_string())
    }
}
