//! JPEG in pure Rust: decoded by the crate `jpeg-decoder`, which scales down while it decodes, too, and encoded by `jpeg-encoder`.
//!
//! `jpeg-decoder` refuses damage that libjpeg conceals: invalid Huffman codes, and missing restart markers. It reads zeros behind
//! the end of truncated data without an error, so that missing rows are not always grey; [`integrity`] finds out whether all data
//! are present.

use std::io::Cursor;

use jpeg_decoder::{Decoder, PixelFormat};
use jpeg_encoder::QuantizationTableType::Custom;
use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};

use super::FORMAT;
use super::quantisation::Quantisation;
use crate::ShouldContinue;
use crate::encode_input::EncodeInput;
use tintype_jpeg::header::Header;
use tintype_jpeg::integrity::integrity;
use tintype_jpeg::repair::{before_refused_marker, repair};
use tintype_pixels::Decoded;
use tintype_pixels::colour::{self, Profile};
use tintype_pixels::error::{Error, Result};
use tintype_pixels::geometry::Size;
use tintype_pixels::{Admitted, DecodeOptions};
use tintype_pixels::{Pixels, Samples};

/// Decodes at the requested scale.
pub(super) fn decode(
    original: &[u8], header: &Header, admitted: &Admitted<'_>, options: &DecodeOptions,
) -> Result<Decoded> {
    let repaired = repair(original, header);
    match decode_repaired(&repaired.bytes, repaired.has_end, header, admitted, options) {
        // the refused marker may be behind all image data, or the data before it may be enough for a picture
        Err(error @ (Error::Malformed { .. } | Error::Unsupported { .. })) => {
            match before_refused_marker(&repaired.bytes) {
                Some(before) => decode_repaired(&before, false, header, admitted, options),
                None => Err(error),
            }
        }
        result => result,
    }
}

fn decode_repaired(
    original: &[u8], has_end: bool, header: &Header, admitted: &Admitted<'_>, options: &DecodeOptions,
) -> Result<Decoded> {
    let failed = |error: jpeg_decoder::Error| match error {
        jpeg_decoder::Error::Unsupported(feature) => Error::unsupported(FORMAT, format!("{feature:?}")),
        error => Error::malformed(FORMAT, error),
    };
    let mut decoder = Decoder::new(Cursor::new(original));
    decoder.set_max_decoding_buffer_size(usize::try_from(admitted.memory()).unwrap_or(usize::MAX));
    decoder.read_info().map_err(failed)?;
    let part = |length: u32| length.div_ceil(8 / options.scale.eighths());
    let size = Size::new(part(admitted.info().size.width), part(admitted.info().size.height));
    let side = |length: u32| u16::try_from(length).map_err(|_| Error::malformed(FORMAT, "a side is too long"));
    // the decoder selects its smallest scale that is not below the requested size
    decoder.scale(side(size.width)?, side(size.height)?).map_err(failed)?;
    let samples = decoder.decode().map_err(failed)?;
    let integrity = integrity(original, has_end, None)?;
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
        PixelFormat::CMYK32 => (colour::cmyk_to_rgb(samples, false, header.profile.as_deref()), None),
        PixelFormat::L16 => return Err(Error::unsupported(FORMAT, "it has 16 bits a sample, only 8 are read")),
    };
    let pixels = Pixels::new(FORMAT, size, 3, rgb)?;
    let samples = Samples::Packed(pixels);
    Ok(Decoded { samples, profile, scale: options.scale, origin: (0, 0), delay: 0, integrity })
}

/// Encodes with the tables of the quality, and one component if all pixels are grey.
///
/// The effort makes no difference, and the encoder cannot be cancelled.
pub(super) fn encode(picture: &EncodeInput, _should_continue: ShouldContinue<'_>) -> Result<Vec<u8>> {
    let failed = |reason: String| Error::Encode { format: FORMAT, reason };
    let pixels = picture.first();
    let side = |length: u32| u16::try_from(length).map_err(|_| failed("a side is too long".into()));
    let (width, height) = (side(pixels.size.width)?, side(pixels.size.height)?);
    let mut bytes = Vec::new();
    // its quality scales its own tables only
    let mut encoder = Encoder::new(&mut bytes, 100);
    let Quantisation { tables, halves_chroma } = Quantisation::of(picture);
    let [luma, chroma] = tables.map(|table| Custom(Box::new(table)));
    encoder.set_quantization_tables(luma, chroma);
    encoder.set_sampling_factor(if halves_chroma { SamplingFactor::F_2_2 } else { SamplingFactor::F_1_1 });
    // the default takes one pixel of four
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
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
