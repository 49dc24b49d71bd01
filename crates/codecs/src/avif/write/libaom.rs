//! AVIF through libaom, an AV1 encoder in C: an order of magnitude cheaper than rav1e at the same look, so that a
//! request can wait for it.

use avif_serialize::Aviffy;
use tintype_codec_sys::libaom::{self as binding, Chroma, EncoderOptions, Input};

use super::Encoder;
use crate::encoding::Effort;
use crate::{picture::Picture, picture::Shown};
use tintype_pixels::geometry::Size;
use tintype_pixels::ycbcr;
use tintype_pixels::{Pixels, Plane, Planes};

/// libaom at the speed that an effort stands for.
pub(super) struct Libaom;

/// libaom's `cpu-used`, and what else it is told. Measured at equal SSIMULACRA2 on photographs of 640 and 1280 columns:
/// quantisation matrices, which spend bits where the eye sees them, save 12 to 16 percent of the bytes at no cost; how
/// steep they are at most (`qm-min`) another 3 to 5. At speed 9, `tune=ssim` saves nothing for a tenth more work, and CDEF,
/// sharpness and adaptive quantisation change nothing. Speed 7 saves 2 percent for six times the work, 6 saves 5 for ten
/// times, 5 saves 10 for 35 times, which is still a third of what rav1e takes for that.
fn encoder_options(effort: Effort, quality: f32) -> EncoderOptions {
    let quantiser = quantiser(quality);
    match effort {
        Effort::Fast => EncoderOptions {
            speed: 9,
            quantiser,
            options: &[(c"enable-qm", c"1"), (c"qm-min", c"2"), (c"qm-max", c"10")],
        },
        Effort::Dense => EncoderOptions {
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

/// Transparency is looked at as an outline, and a coarse one shows: never coarser than this, of 100.
const ALPHA_QUALITY: f32 = 60.0;

impl Encoder for Libaom {
    fn encode(&self, picture: &Picture) -> Result<Vec<u8>, String> {
        let options = |quality: f32| encoder_options(picture.encoding.effort, quality);
        let size = picture.size();
        let (colour, alpha) = match &picture.shown {
            Shown::Planes(planes) => (self::colour(planes, options(picture.quality))?, None),
            Shown::Frames(frames) => {
                let pixels = &frames[0].pixels;
                let alpha = pixels.has_alpha().then(|| alpha(pixels, options(picture.quality.max(ALPHA_QUALITY))));
                let seen = if pixels.has_alpha() { &bled(pixels) } else { pixels };
                (self::colour(&ycbcr::halved(seen), options(picture.quality))?, alpha.transpose()?)
            }
        };
        let mut container = Aviffy::new();
        // what else there is to say is the container's default: BT.709 primaries, sRGB's curve, BT.601, full range
        container.set_chroma_subsampling((true, true));
        if let Some(exif) = &picture.exif {
            container.set_exif(exif.clone());
        }
        Ok(container.to_vec(&colour, alpha.as_deref(), size.width, size.height, 8))
    }
}

/// libaom's 0 to 63, less is better, for 0 to 100, more is better.
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

/// The picture with the colours of pixels that cannot be seen taken from the nearest one before them in the row that
/// can: whatever is under them, it should not cost anything.
fn bled(pixels: &Pixels) -> Pixels {
    let mut out = pixels.clone();
    let stride = out.stride();
    for row in out.data.chunks_exact_mut(stride) {
        let seen =
            row.chunks_exact(4).find(|pixel| pixel[3] > 0).map_or([0; 3], |pixel| [pixel[0], pixel[1], pixel[2]]);
        let mut last = seen;
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
