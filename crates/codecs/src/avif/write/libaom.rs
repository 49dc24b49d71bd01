//! Encoding by libaom, an AV1 encoder in C: an order of magnitude faster than rav1e at the same quality.

mod settings;
#[cfg(test)]
mod tests;

use avif_serialize::Aviffy;
use tintype_codec_sys::libaom::{self as binding, Chroma, EncoderOptions, Input};

use super::Encoder;
use crate::{EncodeInput, PictureData};
use settings::Settings;
use tintype_pixels::geometry::Size;
use tintype_pixels::ycbcr::{self, Sample};
use tintype_pixels::{ChromaSubsampling, Pixels, Plane, Planes};

/// The encoder libaom.
pub(super) struct Libaom;

impl Encoder for Libaom {
    fn encode(&self, input: &EncodeInput) -> Result<Vec<u8>, String> {
        let settings = Settings::of(input);
        let (streams, subsampling) = match &input.data {
            PictureData::Planes(planes) => {
                let colour = match settings.is_10_bit {
                    true => colour(&ycbcr::widened(planes), settings.colour),
                    false => colour(planes, settings.colour),
                };
                (Streams { colour: colour?, alpha: None }, planes.subsampling)
            }
            PictureData::Frames(frames) => {
                let encode = if settings.is_10_bit { encode_pixels::<u16> } else { encode_pixels::<u8> };
                (encode(&frames[0].pixels, &settings)?, Some(settings.subsampling))
            }
        };
        Ok(write_container(input, &settings, &streams, subsampling == Some(ChromaSubsampling::S420)))
    }
}

/// Whether planes of 4:2:0 are as good as pixels at that quality.
pub(super) fn accepts_ycbcr(quality: f32) -> bool {
    !settings::is_exact(quality)
}

/// AV1 streams of a picture.
struct Streams {
    colour: Vec<u8>,
    /// Of the same depth as `colour`, as AVIF requires (§4.1).
    alpha: Option<Vec<u8>>,
}

fn encode_pixels<S: Sample>(pixels: &Pixels, settings: &Settings) -> Result<Streams, String> {
    if !pixels.has_alpha() {
        let planes = ycbcr::planes::<S>(pixels, settings.subsampling);
        return Ok(Streams { colour: colour(&planes, settings.colour)?, alpha: None });
    }
    let planes = ycbcr::planes::<S>(&bleed_colours(pixels), settings.subsampling);
    let colour = colour(&planes, settings.colour)?;
    drop(planes);
    Ok(Streams { colour, alpha: Some(alpha::<S>(pixels, settings.alpha)?) })
}

fn colour<S: Sample>(planes: &Planes<S>, options: EncoderOptions) -> Result<Vec<u8>, String> {
    let [luma, cb, cr] = planes.all();
    let Size { width, height } = planes.size;
    let is_420 = planes.subsampling == Some(ChromaSubsampling::S420);
    binding::encode(&Input { width, height, luma, chroma: Some(Chroma { planes: [cb, cr], is_420 }) }, options)
}

fn alpha<S: Sample>(pixels: &Pixels, options: EncoderOptions) -> Result<Vec<u8>, String> {
    let Size { width, height } = pixels.size;
    let samples: Vec<S> = pixels.data.chunks_exact(4).map(|pixel| S::from_luma(pixel[3])).collect();
    let luma = Plane { data: &samples, stride: width as usize };
    binding::encode(&Input { width, height, luma, chroma: None }, options)
}

fn write_container(input: &EncodeInput, settings: &Settings, streams: &Streams, is_420: bool) -> Vec<u8> {
    let mut container = Aviffy::new();
    // the other defaults of the container hold: BT.709 primaries, sRGB transfer, BT.601 matrix, full range
    container.set_chroma_subsampling((is_420, is_420));
    // profile 1, High, has 4:4:4 (AV1 §6.4.1)
    container.set_seq_profile(if is_420 { 0 } else { 1 });
    if let Some(exif) = &input.exif {
        container.set_exif(exif.clone());
    }
    let size = input.size();
    let depth = if settings.is_10_bit { 10 } else { 8 };
    container.to_vec(&streams.colour, streams.alpha.as_deref(), size.width, size.height, depth)
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
