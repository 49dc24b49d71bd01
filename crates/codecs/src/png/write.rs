//! PNG and APNG as they are written: without loss, in the layout that needs the fewest bytes for it (PNG, third edition,
//! §6.1).
//!
//! A picture without colour is written as grey, one of few colours as places of a palette, in as few bits as tell them apart.
//! Photographs are compressed by what their filters leave, drawings by what repeats in them; which it is a sample tells.

use std::borrow::Cow;

use ::png::{BitDepth, BlendOp, ColorType, DeflateCompression, Encoder, EncodingError, Filter, Info};

use super::FORMAT;
use crate::encode_input::EncodeInput;
use crate::encoding::Effort;
use crate::palette::{MAX_COLOURS, Palette, rgba};
use tintype_pixels::Loops;
use tintype_pixels::Pixels;
use tintype_pixels::error::{Error, Result};

/// Samples of a pixel.
enum Layout {
    /// As they are here: red, green and blue, and alpha where any frame has it.
    Colour { alpha: bool },
    /// One for all three, and alpha where any frame has it.
    Grey { alpha: bool },
    /// The place of its colour.
    Places(Palette),
}

impl Layout {
    /// The one of the fewest bytes that holds all frames.
    fn of(picture: &EncodeInput) -> Layout {
        let frames = picture.frames();
        let alpha = frames.iter().any(|frame| frame.pixels.has_alpha());
        let colours = frames.iter().flat_map(|frame| rgba(&frame.pixels.data, frame.pixels.channels));
        // a profile of colours could not stand beside grey (§11.3.2.3)
        let plain = if picture.is_grey() { Layout::Grey { alpha } } else { Layout::Colour { alpha } };
        match Palette::exact(colours, MAX_COLOURS) {
            Some(palette) => {
                let pixels: u64 = frames.iter().map(|frame| frame.pixels.size.pixels()).sum();
                let table = 8 * (24 + palette.colours().len() as u64 * 4);
                let places = Layout::Places(palette);
                // places of a palette compress worse than what a filter leaves of samples
                if 4 * (pixels * places.bits() + table) < 3 * pixels * plain.bits() { places } else { plain }
            }
            None => plain,
        }
    }

    /// Bits of a pixel.
    fn bits(&self) -> u64 {
        match self {
            Layout::Colour { alpha } => 24 + 8 * u64::from(*alpha),
            Layout::Grey { alpha } => 8 + 8 * u64::from(*alpha),
            Layout::Places(palette) => match palette.colours().len() {
                0..=2 => 1,
                3..=4 => 2,
                5..=16 => 4,
                _ => 8,
            },
        }
    }

    /// Bytes of a row of so many pixels, and of a pixel, or of as many pixels as have one together.
    fn strides(&self, width: u32) -> (usize, usize) {
        let bits = self.bits();
        ((u64::from(width) * bits).div_ceil(8) as usize, (bits / 8).max(1) as usize)
    }

    /// Writes it down in a header.
    fn declare(&self, header: &mut Info<'_>) {
        header.bit_depth = BitDepth::Eight;
        match self {
            Layout::Colour { alpha } => header.color_type = if *alpha { ColorType::Rgba } else { ColorType::Rgb },
            Layout::Grey { alpha } => {
                header.color_type = if *alpha { ColorType::GrayscaleAlpha } else { ColorType::Grayscale };
            }
            Layout::Places(palette) => {
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

    /// The samples of a frame, rows from the top, each beginning with a byte.
    fn samples<'a>(&self, pixels: &'a Pixels) -> Cow<'a, [u8]> {
        let all = || rgba(&pixels.data, pixels.channels);
        match self {
            Layout::Colour { alpha } if *alpha == pixels.has_alpha() => Cow::Borrowed(&pixels.data),
            // one layout for all: a frame that happens to be opaque gets its alpha back
            Layout::Colour { .. } => Cow::Owned(all().flatten().collect()),
            Layout::Grey { alpha: true } => Cow::Owned(all().flat_map(|[grey, _, _, alpha]| [grey, alpha]).collect()),
            Layout::Grey { alpha: false } => Cow::Owned(pixels.grey()),
            Layout::Places(palette) => {
                let bits = self.bits() as usize;
                let packed = |pixels: &[u8], channels: usize| {
                    let places = rgba(pixels, channels).map(|colour| palette.index(colour));
                    // the leftmost pixel is in the high bits (§7.2)
                    places.zip(1..).fold(0, |byte, (place, number)| byte | place << (8 - bits * number))
                };
                let row =
                    |row: &'a [u8]| row.chunks(8 / bits * pixels.channels).map(|some| packed(some, pixels.channels));
                Cow::Owned(pixels.rows().flat_map(row).collect())
            }
        }
    }
}

/// How samples are compressed.
#[derive(Clone, Copy)]
struct Way {
    filter: Filter,
    compression: DeflateCompression,
}

impl Way {
    /// What filters leave, by its frequencies alone: a tenth of the time of the default levels of other encoders, and of
    /// photographs smaller files than theirs.
    const QUICK: Way = Way { filter: Filter::Adaptive, compression: DeflateCompression::FdeflateUltraFast };

    /// What repeats, which filters would hide. Of a drawing of 1280 columns 0.77 of the bytes for four times the time; the
    /// next levels take half as long again for 4 percent less.
    const REPEATING: Way = Way { filter: Filter::NoFilter, compression: DeflateCompression::Level(2) };

    /// The same two for who has time. Higher levels take thrice as long for another 1 percent.
    const DENSE: [Way; 2] = [
        Way { filter: Filter::Adaptive, compression: DeflateCompression::Level(6) },
        Way { filter: Filter::NoFilter, compression: DeflateCompression::Level(6) },
    ];

    /// Filters take differences, which mean nothing between places of a palette.
    fn without_filter(self) -> Way {
        Way { filter: Filter::NoFilter, ..self }
    }

    /// The one for samples of that layout, told by a part of them.
    fn of(layout: &Layout, samples: &[u8], width: u32, effort: Effort) -> Result<Way> {
        // there is always time for an icon
        let effort = if samples.len() <= SMALL { Effort::Dense } else { effort };
        // from a seventh on, fewer bytes are worth more time
        let (candidates, worth) = match effort {
            Effort::Fast => ([Way::QUICK, Way::REPEATING], 0.85),
            Effort::Dense => (Way::DENSE, 1.0),
        };
        let (stride, bytes) = layout.strides(width);
        let [first, second] = match layout {
            // these may have any frequencies
            Layout::Places(_) => candidates.map(Way::without_filter),
            _ if effort == Effort::Fast && repeating(samples, stride, bytes) < REPEATS => return Ok(Way::QUICK),
            _ => candidates,
        };
        let length = |way: Way| -> Result<f64> {
            let parts = parts(samples, stride).map(|part| {
                let rows = (part.len() / stride) as u32;
                let mut header = Info::with_size(width, rows);
                layout.declare(&mut header);
                written(header, way, None, std::iter::once((Cow::Borrowed(part), 0))).map(|file| file.len() as f64)
            });
            parts.sum()
        };
        Ok(if length(second)? < worth * length(first)? { second } else { first })
    }
}

/// Bytes that the slower ways take less than a millisecond for.
const SMALL: usize = 32 << 10;

/// Of photographs up to a third of the pixels are what their neighbours are, of drawings more than half.
const REPEATS: f64 = 0.4;

/// The share of pixels that are what the ones before them are, in every eighth row.
fn repeating(samples: &[u8], stride: usize, bytes: usize) -> f64 {
    let rows = || samples.chunks_exact(stride).step_by(8);
    let alike = |row: &[u8]| {
        let pixels = row.chunks_exact(bytes);
        pixels.clone().zip(pixels.skip(1)).filter(|(before, pixel)| before == pixel).count()
    };
    let all = rows().count() * (stride / bytes).saturating_sub(1);
    rows().map(alike).sum::<usize>() as f64 / all.max(1) as f64
}

/// Rows from three places of a picture, or all of it where it is small.
fn parts(samples: &[u8], stride: usize) -> impl Iterator<Item = &[u8]> {
    const PART: usize = 64 << 10;
    let rows = samples.len() / stride;
    let each = (PART / stride).max(1);
    let (places, each) = if rows <= 3 * each { (1, rows) } else { (3, each) };
    (0..places).map(move |place| {
        // the middle of each third
        let first = (rows * (2 * place + 1) / (2 * places)).saturating_sub(each / 2).min(rows - each);
        &samples[first * stride..(first + each) * stride]
    })
}

/// The file of a picture.
pub(super) fn encode(picture: &EncodeInput) -> Result<Vec<u8>> {
    let (size, frames) = (picture.size(), picture.frames());
    let layout = Layout::of(picture);
    let mut header = Info::with_size(size.width, size.height);
    layout.declare(&mut header);
    header.exif_metadata = picture.exif.as_deref().map(Into::into);
    header.icc_profile = picture.profile.as_deref().map(Into::into);
    let first = layout.samples(&frames[0].pixels);
    let way = Way::of(&layout, &first, size.width, picture.encoding.effort)?;
    let others = frames[1..].iter().map(|frame| (layout.samples(&frame.pixels), frame.delay));
    let moving = (frames.len() > 1).then_some((frames.len() as u32, picture.loops));
    written(header, way, moving, std::iter::once((first, frames[0].delay)).chain(others))
}

/// The file of samples, each of a frame that is shown so many milliseconds; of several it is said how many they are.
fn written<'a>(
    header: Info<'_>, way: Way, moving: Option<(u32, Loops)>, frames: impl Iterator<Item = (Cow<'a, [u8]>, u32)>,
) -> Result<Vec<u8>> {
    let failed = |error: EncodingError| Error::Encode { format: FORMAT, reason: error.to_string() };
    let mut out = Vec::with_capacity(header.raw_row_length() * header.height as usize / 2);
    let mut encoder = Encoder::with_info(&mut out, header).map_err(failed)?;
    encoder.set_deflate_compression(way.compression);
    encoder.set_filter(way.filter);
    if let Some((count, loops)) = moving {
        let plays = match loops {
            Loops::Forever => 0,
            Loops::Times(times) => times.into(),
        };
        encoder.set_animated(count, plays).map_err(failed)?;
        encoder.set_blend_op(BlendOp::Source).map_err(failed)?;
    }
    let mut writer = encoder.write_header().map_err(failed)?;
    for (samples, delay) in frames {
        if moving.is_some() {
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
    use crate::encoding::{AvifEncoder, Effort, Encoding};
    use crate::png::Png;
    use crate::testing::{decode, packed};
    use tintype_pixels::{Frame, Size};

    fn picture(size: Size, frames: Vec<(usize, Vec<u8>)>) -> EncodeInput {
        let frame = |(channels, data)| Frame { pixels: Pixels { size, channels, data }, delay: 40 };
        EncodeInput {
            data: PictureData::Frames(frames.into_iter().map(frame).collect()),
            loops: Loops::Times(3),
            quality: 80.0,
            lossless: false,
            encoding: Encoding { effort: Effort::Fast, avif: AvifEncoder::default() },
            exif: None,
            profile: None,
        }
    }

    /// The colour type and bits a sample in the header, and the frames as RGBA.
    fn written_and_read(picture: &EncodeInput) -> (u8, u8, Vec<Vec<u8>>) {
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
    fn the_layout_is_the_smallest_that_holds_it() {
        let size = Size::new(41, 33);
        let of = |colour: &dyn Fn(usize) -> Vec<u8>| {
            let data: Vec<u8> = (0..size.pixels() as usize).flat_map(colour).collect();
            (data.len() / size.pixels() as usize, data)
        };
        let few = |most: usize| of(&|at| vec![(at % most) as u8, 9, 200]);
        let grey = |most: usize| of(&|at| [(at % most) as u8; 3].to_vec());
        let veiled = |most: usize| of(&|at| vec![7, 8, 9, (at % most) as u8]);
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
            ("alpha of one colour", vec![veiled(256)], 3, 8),
            ("grey with alpha", vec![grey_alpha.clone()], 4, 8),
            ("grey with alpha, then opaque colours", vec![grey_alpha, many.clone()], 6, 8),
            ("few, then others", vec![few(2), grey(2)], 3, 2),
            ("grey, then colours", vec![grey(200), many], 2, 8),
        ];
        for (name, frames, kind, depth) in table {
            let picture = picture(size, frames);
            let (read_kind, read_depth, read) = written_and_read(&picture);
            assert_eq!((read_kind, read_depth), (kind, depth), "{name}");
            assert!(read == all_rgba(&picture), "{name}");
        }
    }

    #[test]
    fn a_table_that_would_be_longer_than_the_picture_is_not_written() {
        let picture = picture(Size::new(16, 16), vec![(3, (0..=255).flat_map(|at| [at, 1, 2]).collect())]);
        assert_eq!(written_and_read(&picture), (2, 8, all_rgba(&picture)));
    }

    #[test]
    fn grey_in_the_colours_of_a_profile_stays_rgb() {
        let mut picture = picture(Size::new(20, 20), vec![(3, (0..400).flat_map(|at| [at as u8; 3]).collect())]);
        assert_eq!(written_and_read(&picture).0, 0);
        picture.profile = Some([1, 2, 3].as_slice().into());
        assert_eq!(encode(&picture).expect("encoded")[25], 2);
    }

    #[test]
    fn what_repeats_is_written_once() {
        // a pattern that no filter sees, and noise that nothing but a filter makes smaller
        let size = Size::new(300, 200);
        let noise = |at: u32| (at.wrapping_mul(2_654_435_761) >> 27) as u8;
        let drawing = |at: u32| [noise(at % 40 / 4), noise(at % 60 / 20 + 7), noise(at / 3000)].map(|level| level * 8);
        let photograph =
            |at: u32| [at / 300, at % 300 / 2, at / 200].map(|level| (level as u8).wrapping_add(noise(at) / 4));
        let of = |pixel: &dyn Fn(u32) -> [u8; 3], effort| {
            let data = (0..size.pixels() as u32).flat_map(pixel).collect();
            let mut picture = picture(size, vec![(3, data)]);
            picture.encoding.effort = effort;
            let (_, _, read) = written_and_read(&picture);
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
        fn whatever_is_written_comes_back(
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
            prop_assert_eq!(written_and_read(&picture).2, all_rgba(&picture));
        }
    }
}
