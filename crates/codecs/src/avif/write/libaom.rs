//! Encoding by libaom, an AV1 encoder in C: an order of magnitude faster than rav1e at the same quality.

use avif_serialize::Aviffy;
use tintype_codec_sys::libaom::{self as binding, Chroma, EncoderOptions, Input};

use super::Encoder;
use crate::encoding::Effort;
use crate::{EncodeInput, PictureData};
use tintype_pixels::geometry::Size;
use tintype_pixels::ycbcr;
use tintype_pixels::{Pixels, Plane, Planes};

/// The encoder libaom.
pub(super) struct Libaom;

/// libaom's `cpu-used` and options. Measured at equal SSIMULACRA2 on photographs of 640 and 1280 columns: quantisation matrices save
/// 12 to 16 percent of the bytes at no cost, a lower `qm-min` another 3 to 5. At speed 9, `tune=ssim` saves nothing for a tenth more
/// time, and CDEF, sharpness and adaptive quantisation change nothing. Speed 7 saves 2 percent for six times the time, 6 saves 5 for
/// ten times, 5 saves 10 for 35 times, which is still a third of rav1e's time for that.
fn encoder_options(effort: Effort, quality: f32) -> EncoderOptions {
    let quantiser = quantiser(quality);
    match effort {
        Effort::Fast => EncoderOptions {
            speed: 9,
            quantiser,
            options: &[(c"enable-qm", c"1"), (c"qm-min", c"2"), (c"qm-max", c"10")],
        },
        Effort::Balanced | Effort::Dense => EncoderOptions {
            speed: 5,
            quantiser,
            options: &[
                (c"enable-qm", c"1"),
                (c"qm-min", c"2"),
                (c"qm-max", c"10"),
                (c"tune", c"ssim"),
                (c"sharpness", c"7"),
                (c"enable-cdef", c"0"),
            ],
        },
    }
}

/// The least quality of alpha, 0 to 100: artefacts on edges of alpha are conspicuous.
const MIN_ALPHA_QUALITY: f32 = 60.0;

impl Encoder for Libaom {
    fn encode(&self, input: &EncodeInput) -> Result<Vec<u8>, String> {
        let options = |quality: f32| encoder_options(input.encoding.effort, quality);
        let size = input.size();
        let (colour, alpha) = match &input.data {
            PictureData::Planes(planes) => (self::colour(planes, options(input.quality))?, None),
            PictureData::Frames(frames) => {
                let pixels = &frames[0].pixels;
                let alpha = pixels.has_alpha().then(|| alpha(pixels, options(input.quality.max(MIN_ALPHA_QUALITY))));
                let opaque = if pixels.has_alpha() { &bleed_colours(pixels) } else { pixels };
                (self::colour(&ycbcr::halved(opaque), options(input.quality))?, alpha.transpose()?)
            }
        };
        let mut container = Aviffy::new();
        // the other defaults of the container hold: BT.709 primaries, sRGB transfer, BT.601 matrix, full range
        container.set_chroma_subsampling((true, true));
        if let Some(exif) = &input.exif {
            container.set_exif(exif.clone());
        }
        Ok(container.to_vec(&colour, alpha.as_deref(), size.width, size.height, 8))
    }
}

/// The quantiser of libaom, 0 to 63 and less is better, for a quality of 0 to 100.
fn quantiser(quality: f32) -> u8 {
    ((100.0 - quality.clamp(0.0, 100.0)) * 0.63).round() as u8
}

fn colour(planes: &Planes, options: EncoderOptions) -> Result<Vec<u8>, String> {
    let [luma, cb, cr] = planes.all();
    let Size { width, height } = planes.size;
    binding::encode(&Input { width, height, luma, chroma: Some(Chroma { planes: [cb, cr], is_420: true }) }, options)
}

fn alpha(pixels: &Pixels, options: EncoderOptions) -> Result<Vec<u8>, String> {
    let Size { width, height } = pixels.size;
    let samples: Vec<u8> = pixels.data.chunks_exact(4).map(|pixel| pixel[3]).collect();
    let luma = Plane { data: &samples, stride: width as usize };
    binding::encode(&Input { width, height, luma, chroma: None }, options)
}

/// Gives fully transparent pixels the colour of the last visible pixel in their row, so that they cost few bits.
fn bleed_colours(pixels: &Pixels) -> Pixels {
    let mut out = pixels.clone();
    let stride = out.stride();
    for row in out.data.chunks_exact_mut(stride) {
        let first_visible =
            row.chunks_exact(4).find(|pixel| pixel[3] > 0).map_or([0; 3], |pixel| [pixel[0], pixel[1], pixel[2]]);
        let mut last = first_visible;
        for pixel in row.chunks_exact_mut(4) {
            if pixel[3] == 0 {
                pixel[..3].copy_from_slice(&last);
            } else {
                last = [pixel[0], pixel[1], pixel[2]];
            }
        }
    }
    out
}
