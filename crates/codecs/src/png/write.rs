//! Encodes PNG and APNG losslessly, with the colour type and bit depth of the fewest bytes (PNG, third edition, §6.1).
//!
//! Grey pictures are written as greyscale, pictures of few colours as palette indices of the smallest bit depth. Filtered scanlines
//! compress photographs better, unfiltered ones drawings, which have repetitions; trial encoding of a part of the rows decides.

use std::borrow::Cow;

use ::png::{BitDepth, BlendOp, ColorType, DeflateCompression, Encoder, EncodingError, Filter, Info};

use super::FORMAT;
use crate::encode_input::EncodeInput;
use crate::encoding::Effort;
use crate::palette::{MAX_COLOURS, Palette, rgba};
use tintype_pixels::Loops;
use tintype_pixels::Pixels;
use tintype_pixels::error::{Error, Result};

/// Colour type and bit depth.
enum Layout {
    /// Truecolour of 8 bits, with alpha if any frame has it.
    Colour { alpha: bool },
    /// Greyscale of 8 bits, with alpha if any frame has it.
    Grey { alpha: bool },
    /// Palette indices.
    Indexed(Palette),
}

impl Layout {
    /// The layout of the fewest bytes that represents all frames losslessly.
    fn of(picture: &EncodeInput) -> Layout {
        let frames = picture.frames();
        let alpha = frames.iter().any(|frame| frame.pixels.has_alpha());
        let colours = frames.iter().flat_map(|frame| rgba(&frame.pixels.data, frame.pixels.channels));
        // an RGB profile is not allowed with greyscale (§11.3.2.3)
        let plain = if picture.is_grey() { Layout::Grey { alpha } } else { Layout::Colour { alpha } };
        match Palette::exact(colours, MAX_COLOURS) {
            Some(palette) => {
                let pixels: u64 = frames.iter().map(|frame| frame.pixels.size.pixels()).sum();
                let table = 8 * (24 + palette.colours().len() as u64 * 4);
                let indexed = Layout::Indexed(palette);
                // palette indices compress worse than filtered samples
                if 4 * (pixels * indexed.bits() + table) < 3 * pixels * plain.bits() { indexed } else { plain }
            }
            None => plain,
        }
    }

    /// Bits of a pixel.
    fn bits(&self) -> u64 {
        match self {
            Layout::Colour { alpha } => 24 + 8 * u64::from(*alpha),
            Layout::Grey { alpha } => 8 + 8 * u64::from(*alpha),
            Layout::Indexed(palette) => match palette.colours().len() {
                0..=2 => 1,
                3..=4 => 2,
                5..=16 => 4,
                _ => 8,
            },
        }
    }

    /// Bytes of a row of `width` pixels, and of a pixel, 1 for pixels of less than a byte.
    fn strides(&self, width: u32) -> (usize, usize) {
        let bits = self.bits();
        ((u64::from(width) * bits).div_ceil(8) as usize, (bits / 8).max(1) as usize)
    }

    /// Sets colour type, bit depth, PLTE and tRNS of a header.
    fn declare(&self, header: &mut Info<'_>) {
        header.bit_depth = BitDepth::Eight;
        match self {
            Layout::Colour { alpha } => header.color_type = if *alpha { ColorType::Rgba } else { ColorType::Rgb },
            Layout::Grey { alpha } => {
                header.color_type = if *alpha { ColorType::GrayscaleAlpha } else { ColorType::Grayscale };
            }
            Layout::Indexed(palette) => {
                header.color_type = ColorType::Indexed;
                header.bit_depth = match self.bits() {
                    1 => BitDepth::One,
                    2 => BitDepth::Two,
                    4 => BitDepth::Four,
                    _ => BitDepth::Eight,
                };
                let colours = palette.colours();
                header.palette = Some(colours.iter().flat_map(|colour| &colour[..3]).copied().collect());
                if colours.iter().any(|colour| colour[3] < 255) {
                    header.trns = Some(colours.iter().map(|colour| colour[3]).collect());
                }
            }
        }
    }

    /// The samples of a frame from the top row on; rows are padded to bytes.
    fn samples<'a>(&self, pixels: &'a Pixels) -> Cow<'a, [u8]> {
        let all = || rgba(&pixels.data, pixels.channels);
        match self {
            Layout::Colour { alpha } if *alpha == pixels.has_alpha() => Cow::Borrowed(&pixels.data),
            // all frames have one layout: an opaque frame gets alpha if another has it
            Layout::Colour { .. } => Cow::Owned(all().flatten().collect()),
            Layout::Grey { alpha: true } => Cow::Owned(all().flat_map(|[grey, _, _, alpha]| [grey, alpha]).collect()),
            Layout::Grey { alpha: false } => Cow::Owned(pixels.grey()),
            Layout::Indexed(palette) => {
                let bits = self.bits() as usize;
                let packed = |pixels: &[u8], channels: usize| {
                    let indices = rgba(pixels, channels).map(|colour| palette.index(colour));
                    // the leftmost pixel is in the high bits (§7.2)
                    indices.zip(1..).fold(0, |byte, (index, number)| byte | index << (8 - bits * number))
                };
                let row =
                    |row: &'a [u8]| row.chunks(8 / bits * pixels.channels).map(|some| packed(some, pixels.channels));
                Cow::Owned(pixels.rows().flat_map(row).collect())
            }
        }
    }
}

/// Parameters of the compression.
#[derive(Clone, Copy)]
struct CompressionMode {
    filter: Filter,
    compression: DeflateCompression,
}

impl CompressionMode {
    /// Filtered, with Huffman coding and runs of zeros only: a tenth of the time of the default levels of other encoders, and
    /// smaller files than theirs for photographs.
    const FAST_FILTERED: CompressionMode =
        CompressionMode { filter: Filter::Adaptive, compression: DeflateCompression::FdeflateUltraFast };

    /// Unfiltered, with matches, since filters hide repetitions: 0.77 of the bytes of a drawing of 1280 columns for four times the
    /// time. The next levels take 1.5 times as long for 4 percent less.
    const FAST_UNFILTERED: CompressionMode =
        CompressionMode { filter: Filter::NoFilter, compression: DeflateCompression::Level(2) };

    /// The same two for [`Effort::Dense`]. Higher levels take three times as long for another 1 percent.
    const DENSE: [CompressionMode; 2] = [
        CompressionMode { filter: Filter::Adaptive, compression: DeflateCompression::Level(6) },
        CompressionMode { filter: Filter::NoFilter, compression: DeflateCompression::Level(6) },
    ];

    /// Palette indices are not filtered: differences between them are arbitrary.
    fn without_filter(self) -> CompressionMode {
        CompressionMode { filter: Filter::NoFilter, ..self }
    }

    /// The mode with the smaller output for a part of the rows.
    fn select(layout: &Layout, samples: &[u8], width: u32, effort: Effort) -> Result<CompressionMode> {
        // small pictures are fast at any level
        let effort = if samples.len() <= SMALL_BYTES { Effort::Dense } else { effort };
        // the slower mode has to save 15 percent of the bytes
        let (candidates, worth) = match effort {
            Effort::Fast | Effort::Balanced => {
                ([CompressionMode::FAST_FILTERED, CompressionMode::FAST_UNFILTERED], 0.85)
            }
            Effort::Dense => (CompressionMode::DENSE, 1.0),
        };
        let (stride, bytes) = layout.strides(width);
        let [first, second] = match layout {
            // the share of repeated pixels tells nothing about indices
            Layout::Indexed(_) => candidates.map(CompressionMode::without_filter),
            _ if effort != Effort::Dense && repeated_share(samples, stride, bytes) < MIN_REPEATED_SHARE => {
                return Ok(CompressionMode::FAST_FILTERED);
            }
            _ => candidates,
        };
        let length = |mode: CompressionMode| -> Result<f64> {
            let parts = trial_parts(samples, stride).map(|part| {
                let rows = (part.len() / stride) as u32;
                let mut header = Info::with_size(width, rows);
                layout.declare(&mut header);
                write_file(header, mode, None, std::iter::once((Cow::Borrowed(part), 0))).map(|file| file.len() as f64)
            });
            parts.sum()
        };
        Ok(if length(second)? < worth * length(first)? { second } else { first })
    }
}

/// Bytes that the slower modes compress in less than a millisecond.
const SMALL_BYTES: usize = 32 << 10;

/// The share of repeated pixels from which on matches are tried: photographs have up to a third, drawings more than half.
const MIN_REPEATED_SHARE: f64 = 0.4;

/// The share of pixels that equal the one to their left, in each eighth row.
fn repeated_share(samples: &[u8], stride: usize, bytes: usize) -> f64 {
    let rows = || samples.chunks_exact(stride).step_by(8);
    let alike = |row: &[u8]| {
        let pixels = row.chunks_exact(bytes);
        pixels.clone().zip(pixels.skip(1)).filter(|(before, pixel)| before == pixel).count()
    };
    let all = rows().count() * (stride / bytes).saturating_sub(1);
    rows().map(alike).sum::<usize>() as f64 / all.max(1) as f64
}

/// The rows for trial encoding: three parts of a picture, or all of a small one.
fn trial_parts(samples: &[u8], stride: usize) -> impl Iterator<Item = &[u8]> {
    const PART: usize = 64 << 10;
    let rows = samples.len() / stride;
    let each = (PART / stride).max(1);
    let (parts, each) = if rows <= 3 * each { (1, rows) } else { (3, each) };
    (0..parts).map(move |part| {
        // the middle of each third
        let first = (rows * (2 * part + 1) / (2 * parts)).saturating_sub(each / 2).min(rows - each);
        &samples[first * stride..(first + each) * stride]
    })
}

/// Encodes a still or an animation as a PNG file.
pub(super) fn encode(picture: &EncodeInput) -> Result<Vec<u8>> {
    let (size, frames) = (picture.size(), picture.frames());
    let layout = Layout::of(picture);
    let mut header = Info::with_size(size.width, size.height);
    layout.declare(&mut header);
    header.exif_metadata = picture.exif.as_deref().map(Into::into);
    header.icc_profile = picture.profile.as_deref().map(Into::into);
    let first = layout.samples(&frames[0].pixels);
    let mode = CompressionMode::select(&layout, &first, size.width, picture.encoding.effort)?;
    let others = frames[1..].iter().map(|frame| (layout.samples(&frame.pixels), frame.delay));
    let animation = (frames.len() > 1).then_some((frames.len() as u32, picture.loops));
    write_file(header, mode, animation, std::iter::once((first, frames[0].delay)).chain(others))
}

/// Writes a PNG file of frames, each the samples and the delay in milliseconds. `animation` is the number of frames and plays of an
/// animation.
fn write_file<'a>(
    header: Info<'_>, mode: CompressionMode, animation: Option<(u32, Loops)>,
    frames: impl Iterator<Item = (Cow<'a, [u8]>, u32)>,
) -> Result<Vec<u8>> {
    let failed = |error: EncodingError| Error::Encode { format: FORMAT, reason: error.to_string() };
    let mut out = Vec::with_capacity(header.raw_row_length() * header.height as usize / 2);
    let mut encoder = Encoder::with_info(&mut out, header).map_err(failed)?;
    encoder.set_deflate_compression(mode.compression);
    encoder.set_filter(mode.filter);
    if let Some((count, loops)) = animation {
        let plays = match loops {
            Loops::Forever => 0,
            Loops::Times(times) => times.into(),
        };
        encoder.set_animated(count, plays).map_err(failed)?;
        encoder.set_blend_op(BlendOp::Source).map_err(failed)?;
    }
    let mut writer = encoder.write_header().map_err(failed)?;
    for (samples, delay) in frames {
        if animation.is_some() {
            writer.set_frame_delay(delay.min(u16::MAX.into()) as u16, 1000).map_err(failed)?;
        }
        writer.write_image_data(&samples).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::Codec;
    use crate::encode_input::PictureData;
    use crate::encoding::Effort;
    use crate::png::Png;
    use crate::testing::{decode, packed};
    use tintype_pixels::{Frame, Size};

    fn picture(size: Size, frames: Vec<(usize, Vec<u8>)>) -> EncodeInput {
        let frame = |(channels, data)| Frame { pixels: Pixels { size, channels, data }, delay: 40 };
        let data = PictureData::Frames(frames.into_iter().map(frame).collect());
        EncodeInput { loops: Loops::Times(3), ..EncodeInput::new(data, 80.0) }
    }

    /// The colour type and bit depth of the header, and the frames decoded to RGBA.
    fn round_trip(picture: &EncodeInput) -> (u8, u8, Vec<Vec<u8>>) {
        let file = encode(picture).expect("encoded");
        let info = Png.probe(&file).expect("a header");
        assert_eq!(info.size, picture.size());
        let (frames, _) = decode(&Png, &file, true).expect("decoded");
        let read = frames.into_iter().map(|frame| packed(frame).with_alpha().data).collect();
        (file[25], file[24], read)
    }

    fn all_rgba(picture: &EncodeInput) -> Vec<Vec<u8>> {
        let whole = |frame: &Frame| rgba(&frame.pixels.data, frame.pixels.channels).flatten().collect();
        picture.frames().iter().map(whole).collect()
    }

    #[test]
    fn smallest_lossless_layout_is_selected() {
        let size = Size::new(41, 33);
        let of = |colour: &dyn Fn(usize) -> Vec<u8>| {
            let data: Vec<u8> = (0..size.pixels() as usize).flat_map(colour).collect();
            (data.len() / size.pixels() as usize, data)
        };
        let few = |most: usize| of(&|at| vec![(at % most) as u8, 9, 200]);
        let grey = |most: usize| of(&|at| [(at % most) as u8; 3].to_vec());
        let translucent = |most: usize| of(&|at| vec![7, 8, 9, (at % most) as u8]);
        let grey_alpha = of(&|at| vec![at as u8, at as u8, at as u8, (at / 9) as u8]);
        let many = of(&|at| vec![at as u8, (at / 256) as u8, 3]);
        let table = [
            ("one colour", vec![few(1)], 3, 1),
            ("two", vec![few(2)], 3, 1),
            ("three", vec![few(3)], 3, 2),
            ("four", vec![few(4)], 3, 2),
            ("sixteen", vec![few(16)], 3, 4),
            ("seventeen", vec![few(17)], 3, 8),
            ("256", vec![few(256)], 3, 8),
            ("257", vec![few(256), of(&|_| vec![0, 0, 0])], 2, 8),
            ("many", vec![many.clone()], 2, 8),
            ("two greys", vec![grey(2)], 3, 1),
            ("sixteen greys", vec![grey(16)], 3, 4),
            ("greys", vec![grey(200)], 0, 8),
            ("alpha of one colour", vec![translucent(256)], 3, 8),
            ("grey with alpha", vec![grey_alpha.clone()], 4, 8),
            ("grey with alpha, then opaque colours", vec![grey_alpha, many.clone()], 6, 8),
            ("few, then others", vec![few(2), grey(2)], 3, 2),
            ("grey, then colours", vec![grey(200), many], 2, 8),
        ];
        for (name, frames, kind, depth) in table {
            let picture = picture(size, frames);
            let (read_kind, read_depth, read) = round_trip(&picture);
            assert_eq!((read_kind, read_depth), (kind, depth), "{name}");
            assert!(read == all_rgba(&picture), "{name}");
        }
    }

    #[test]
    fn palette_larger_than_the_picture_is_not_written() {
        let picture = picture(Size::new(16, 16), vec![(3, (0..=255).flat_map(|at| [at, 1, 2]).collect())]);
        assert_eq!(round_trip(&picture), (2, 8, all_rgba(&picture)));
    }

    #[test]
    fn grey_picture_with_a_profile_stays_rgb() {
        let mut picture = picture(Size::new(20, 20), vec![(3, (0..400).flat_map(|at| [at as u8; 3]).collect())]);
        assert_eq!(round_trip(&picture).0, 0);
        picture.profile = Some([1, 2, 3].as_slice().into());
        assert_eq!(encode(&picture).expect("encoded")[25], 2);
    }

    #[test]
    fn repetitions_and_smooth_areas_are_compressed() {
        // a pattern that filters do not predict, and noise on gradients, which only filters reduce
        let size = Size::new(300, 200);
        let noise = |at: u32| (at.wrapping_mul(2_654_435_761) >> 27) as u8;
        let drawing = |at: u32| [noise(at % 40 / 4), noise(at % 60 / 20 + 7), noise(at / 3000)].map(|level| level * 8);
        let photograph =
            |at: u32| [at / 300, at % 300 / 2, at / 200].map(|level| (level as u8).wrapping_add(noise(at) / 4));
        let of = |pixel: &dyn Fn(u32) -> [u8; 3], effort| {
            let data = (0..size.pixels() as u32).flat_map(pixel).collect();
            let mut picture = picture(size, vec![(3, data)]);
            picture.encoding.effort = effort;
            let (_, _, read) = round_trip(&picture);
            assert!(read == all_rgba(&picture));
            encode(&picture).expect("encoded").len()
        };
        let all = size.pixels() as usize * 3;
        for effort in [Effort::Fast, Effort::Dense] {
            assert!(of(&drawing, effort) < all / 8, "{effort:?}: {}", of(&drawing, effort));
            assert!(of(&photograph, effort) < all * 7 / 10, "{effort:?}: {}", of(&photograph, effort));
        }
    }

    proptest! {
        #[test]
        fn encoded_picture_decodes_to_the_same_pixels(
            width in 1_u32..40, height in 1_u32..40, alpha: bool, grey: bool, bits in 0_u32..9, count in 1_usize..4, seed: u32,
        ) {
            let size = Size::new(width, height);
            let pixel = |at: u32| {
                let random = at.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 8;
                let [r, g, b, _] = (random % (1 << bits)).wrapping_mul(0x35_2B17).to_le_bytes();
                let colour = if grey { [r; 3] } else { [r, g, b] };
                colour.into_iter().chain(alpha.then_some((random >> 20) as u8 | 0xF0))
            };
            let frame = |number: u32| {
                let pixels = size.pixels() as u32;
                (3 + usize::from(alpha), (number * pixels..(number + 1) * pixels).flat_map(pixel).collect())
            };
            let picture = picture(size, (0..count as u32).map(frame).collect());
            prop_assert_eq!(round_trip(&picture).2, all_rgba(&picture));
        }
    }
}
