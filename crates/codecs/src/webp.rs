//! WebP. The container is parsed in `container.rs`. Still pictures are decoded by the crate `image-webp`, with two exceptions: lossy
//! pictures that are opaque or reduced by `tintype-vp8`, in half of that crate's time or less, and the decodable rows of damaged ones by
//! `tintype-vp8` and `vp8l.rs`. libwebp encodes.

mod alpha;
mod animation;
mod container;
mod encode;
mod mux;
mod planes;
#[cfg(test)]
mod tests;
mod vp8l;

use std::borrow::Cow;

use image_webp::WebPDecoder;

use container::{Container, Content, Image};

use crate::codec::{Codec, ShouldContinue, Sink};
use crate::encode_input::EncodeInput;
use crate::encoding::Encoding;
use tintype_pixels::colour::{ColourModel, Profile};
use tintype_pixels::error::{Error, Result};
use tintype_pixels::format::Format;
use tintype_pixels::geometry::{DctScale, Size};
use tintype_pixels::{Admitted, DecodeMemory, DecodeOptions, Decoded, Info, Integrity, Loops, PixelLayout};
use tintype_pixels::{Pixels, Samples};

/// Reads and writes WebP.
pub(crate) struct WebP;

const FORMAT: Format = Format::WebP;

/// The scales at which lossy pictures are decoded, by box means of 8, 4 or 2 pixels a side.
const SCALES: [DctScale; 4] = tintype_pixels::POWER_OF_TWO_SCALES;

/// Bytes that `image-webp` may allocate besides the pixels.
const HEADROOM: usize = 16 << 20;

fn failed(error: image_webp::DecodingError) -> Error {
    Error::malformed(FORMAT, error)
}

impl Codec for WebP {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let container = Container::read(original)?;
        let mut info = Info::new(FORMAT, container.size).with_exif(container.exif.map(<[u8]>::to_vec));
        info = info.with_profile(profile(&container).as_ref());
        info.has_metadata |= container.has_others;
        match container.content {
            Content::Animation { frames, plays } => {
                info.frames = frames;
                info.loops = if plays == 0 { Loops::Forever } else { Loops::Times(plays) };
                // frames need not cover the canvas
                info.has_alpha = true;
                info.caps.memory = DecodeMemory { per_stored_pixel: 3.0, per_decoded_pixel: 20.0 };
            }
            Content::Still(image) => {
                info.has_alpha = image.has_alpha();
                info.caps.memory = DecodeMemory { per_stored_pixel: 3.0, per_decoded_pixel: 8.0 };
                if let Image::Lossy { alpha, .. } = image {
                    info.caps.scales = &SCALES;
                    (info.caps.scale_margin, info.caps.has_loop_filter) = (1.25, true);
                    // the planes of `image-webp`, where that decodes the picture, and lossless alpha as ARGB
                    let per_stored_pixel = if alpha.is_some() { 6.6 } else { 1.6 };
                    info.caps.memory = DecodeMemory { per_stored_pixel, per_decoded_pixel: 9.4 };
                }
            }
        }
        Ok(info)
    }

    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity> {
        let info = admitted.info();
        let container = Container::read(original)?;
        let profile = profile(&container);
        let (scale, memory) = (options.scale, admitted.memory() as usize);
        let image = match container.content {
            Content::Still(image) => image,
            // the first frame need not cover the canvas, either
            Content::Animation { .. } => {
                return animation::frames(&container, admitted.frames(), memory, &mut |pixels, delay| {
                    sink(Decoded { delay, ..Decoded::still(pixels, profile.clone()) })
                });
            }
        };
        match image {
            Image::Lossy { frame, alpha: None } if options.layout == PixelLayout::YCbCr => {
                let (planes, integrity) = planes::decode(frame, info.size, scale, !options.skip_loop_filter)?;
                let samples = Samples::Planes(planes);
                let of_frame = integrity.clone();
                sink(Decoded { samples, profile, scale, origin: (0, 0), delay: 0, integrity: of_frame })?;
                Ok(integrity)
            }
            Image::Lossy { frame, alpha: Some(alpha) } if options.skip_loop_filter => {
                let (pixels, integrity) = alpha::reduced(frame, alpha, info.size, scale, memory)?;
                sink(Decoded { scale, ..Decoded::still(pixels, profile) })?;
                Ok(integrity)
            }
            image => {
                let (pixels, integrity) = decode_full_size(&image, info.size, memory)?;
                sink(Decoded::still(pixels, profile))?;
                Ok(integrity)
            }
        }
    }

    fn accepts_ycbcr(&self, size: Size, _encoding: Encoding, quality: f32) -> bool {
        size.pixels() > encode::TRY_BOTH && !encode::is_exact(quality)
    }

    fn has_end(&self, original: &[u8]) -> bool {
        container::riff_length(original).is_some_and(|length| original.len() as u64 >= length)
    }

    fn encode(&self, input: &EncodeInput, should_continue: ShouldContinue<'_>) -> Result<Vec<u8>> {
        encode::encode(input, should_continue)
    }
}

/// The embedded profile, unless it is one of another colour model.
fn profile(container: &Container<'_>) -> Option<Profile> {
    container.icc.filter(|icc| ColourModel::Rgb.is_of(icc)).and_then(Profile::from_icc)
}

/// Decodes a picture of that size at full size, or its rows before the damage.
fn decode_full_size(image: &Image<'_>, size: Size, memory: usize) -> Result<(Pixels, Integrity)> {
    let failed = match decode_by_image_webp(image, size, memory) {
        Ok(pixels) => return Ok((pixels, Integrity::Whole)),
        Err(error) => error,
    };
    let (pixels, rows) = match *image {
        Image::Lossy { frame, alpha } => alpha::rows(frame, alpha, size, memory)?,
        Image::Lossless(data) => vp8l::rows(data, size)?,
    }
    .ok_or(failed)?;
    Ok((pixels, integrity(rows, size)))
}

/// The integrity of a picture of which `rows` rows were decoded.
fn integrity(rows: u32, size: Size) -> Integrity {
    if rows >= size.height {
        return Integrity::Whole;
    }
    Integrity::Damaged(Cow::Owned(format!("the image data end or are damaged: {rows} of {} rows decoded", size.height)))
}

/// Decodes an undamaged picture.
fn decode_by_image_webp(image: &Image<'_>, size: Size, memory: usize) -> Result<Pixels> {
    let mut decoder = WebPDecoder::new(image.file(size)).map_err(failed)?;
    decoder.set_memory_limit(memory + HEADROOM);
    if image.size()? != size || decoder.dimensions() != (size.width, size.height) {
        return Err(Error::malformed(FORMAT, "it states two different sizes"));
    }
    let length = decoder.output_buffer_size().ok_or_else(|| Error::malformed(FORMAT, "it is too large"))?;
    let mut samples = vec![0; length];
    decoder.read_image(&mut samples).map_err(failed)?;
    Pixels::new(FORMAT, size, if decoder.has_alpha() { 4 } else { 3 }, samples)
}
