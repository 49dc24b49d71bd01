//! JPEG in Rust: read by the crate `jpeg-decoder`, which scales down while it decodes too, written by `jpeg-encoder`.

use std::io::Cursor;

use jpeg_decoder::{Decoder, PixelFormat};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::FORMAT;
use super::header::Header;
use crate::render::codec::{Decoded, Info, Integrity, Picture};
use crate::render::error::{Error, Result};
use crate::render::geometry::Size;
use crate::render::ops::colour::{self, Profile};
use crate::render::pixels::{Pixels, Samples};
use crate::render::plan::Plan;

/// Decodes a picture scaled down as planned.
pub(super) fn decode(original: &[u8], header: &Header, info: &Info, plan: &Plan<'_>) -> Result<Decoded> {
    let failed = |error: jpeg_decoder::Error| Error::malformed(FORMAT, error);
    let mut decoder = Decoder::new(Cursor::new(original));
    decoder.set_max_decoding_buffer_size(usize::try_from(plan.memory()).unwrap_or(usize::MAX));
    decoder.read_info().map_err(failed)?;
    let part = |length: u32| length.div_ceil(8 / plan.eighths);
    let size = Size::new(part(info.size.width), part(info.size.height));
    let side = |length: u32| u16::try_from(length).map_err(|_| Error::malformed(FORMAT, "a side is too long"));
    // it takes the smallest of its scales that is no smaller than what is asked for
    decoder.scale(side(size.width)?, side(size.height)?).map_err(failed)?;
    let samples = decoder.decode().map_err(failed)?;
    let found = decoder.info().ok_or_else(|| Error::malformed(FORMAT, "it has no frame header"))?;
    let got = Size::new(found.width.into(), found.height.into());
    if got != size {
        return Err(Error::malformed(FORMAT, format!("it was decoded to {got} pixels, not to {size}")));
    }
    let profile = header.profile.as_deref().and_then(Profile::from_icc);
    let (rgb, profile) = match found.pixel_format {
        PixelFormat::L8 => (samples.iter().flat_map(|&level| [level; 3]).collect(), profile),
        PixelFormat::RGB24 => (samples, profile),
        // the decoder undoes Adobe's inversion
        PixelFormat::CMYK32 => (colour::cmyk_to_rgb(&samples, false, header.profile.as_deref()), None),
        PixelFormat::L16 => return Err(Error::unsupported(FORMAT, "it has 16 bits a sample, only 8 are read")),
    };
    let pixels = Pixels::new(FORMAT, size, 3, rgb)?;
    let (samples, eighths, integrity) = (Samples::Packed(pixels), plan.eighths, Integrity::Whole);
    Ok(Decoded { samples, profile, eighths, origin: (0, 0), delay: 0, integrity })
}

/// Encodes with chroma halved both ways, or without where there is no colour.
pub(super) fn encode(picture: &Picture) -> Result<Vec<u8>> {
    let failed = |reason: String| Error::Encode { format: FORMAT, reason };
    let pixels = picture.first();
    let side = |length: u32| u16::try_from(length).map_err(|_| failed("a side is too long".into()));
    let (width, height) = (side(pixels.size.width)?, side(pixels.size.height)?);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, picture.quality.round() as u8);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_optimized_huffman_tables(true);
    let encoded = if picture.is_grey() {
        encoder.encode(&pixels.grey(), width, height, ColorType::Luma)
    } else {
        let kind = if pixels.has_alpha() { ColorType::Rgba } else { ColorType::Rgb };
        encoder.encode(&pixels.data, width, height, kind)
    };
    encoded.map_err(|error| failed(error.to_string()))?;
    Ok(bytes)
}
