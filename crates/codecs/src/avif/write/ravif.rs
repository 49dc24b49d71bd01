//! AVIF through ravif, which is Rust all through: for builds without a C compiler's tools.

use ::ravif::{BitDepth, Img};
use rgb::FromSlice;

use super::Encoder;
use crate::Picture;
use crate::encoding::Effort;

/// rav1e behind ravif at the speed that an effort stands for.
pub(super) struct Ravif;

/// rav1e's speed, 1 to 10: 10 takes a quarter of the time of 8 for a sixth more bytes.
fn speed(effort: Effort) -> u8 {
    match effort {
        Effort::Fast => 10,
        Effort::Dense => 6,
    }
}

impl Encoder for Ravif {
    fn encode(&self, picture: &Picture) -> Result<Vec<u8>, String> {
        let pixels = picture.first();
        let (width, height) = (pixels.size.width as usize, pixels.size.height as usize);
        let mut encoder = ::ravif::Encoder::new()
            .with_quality(picture.quality)
            .with_alpha_quality(picture.quality.max(60.0))
            .with_speed(speed(picture.encoding.effort))
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
        encoded.map(|image| image.avif_file).map_err(|error| error.to_string())
    }
}
