//! PNG and APNG as they are written: without loss, in the layout that needs the fewest bytes for it (PNG, third edition,
//! §6.1).
//!
//! A picture without colour is written as grey, one of few colours as places of a palette, in as few bits as tell them apart.

use std::borrow::Cow;

use ::png::{BitDepth, BlendOp, ColorType, Compression, Encoder, EncodingError, Filter, Info};

use super::FORMAT;
use crate::render::codec::palette::{MOST, Palette, rgba};
use crate::render::codec::{Loops, Picture};
use crate::render::error::{Error, Result};
use crate::render::pixels::{Frame, Pixels};

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
    fn of(picture: &Picture) -> Layout {
        let frames = picture.frames();
        let alpha = frames.iter().any(|frame| frame.pixels.has_alpha());
        let colours = frames.iter().flat_map(|frame| rgba(&frame.pixels.data, frame.pixels.channels));
        // a profile of colours could not stand beside grey (§11.3.2.3)
        let plain = if picture.is_grey() { Layout::Grey { alpha } } else { Layout::Colour { alpha } };
        match Palette::exact(colours, MOST) {
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
                    let places = rgba(pixels, channels).map(|colour| palette.place(colour));
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

/// The file of a picture.
pub(super) fn encode(picture: &Picture) -> Result<Vec<u8>> {
    let failed = |error: EncodingError| Error::Encode { format: FORMAT, reason: error.to_string() };
    let (size, frames) = (picture.size(), picture.frames());
    let layout = Layout::of(picture);
    let mut header = Info::with_size(size.width, size.height);
    layout.declare(&mut header);
    header.exif_metadata = picture.exif.as_deref().map(Into::into);
    header.icc_profile = picture.profile.as_deref().map(Into::into);
    let mut out = Vec::with_capacity((size.pixels() * layout.bits() / 16) as usize);
    let mut encoder = Encoder::with_info(&mut out, header).map_err(failed)?;
    // a tenth of the time of the default levels of other encoders, and smaller files than theirs
    encoder.set_compression(Compression::Fast);
    // filters take differences, which mean nothing between places
    encoder.set_filter(if let Layout::Places(_) = layout { Filter::NoFilter } else { Filter::Adaptive });
    if let [_, _, ..] = frames {
        let plays = match picture.loops {
            Loops::Forever => 0,
            Loops::Times(times) => times.into(),
        };
        encoder.set_animated(frames.len() as u32, plays).map_err(failed)?;
        encoder.set_blend_op(BlendOp::Source).map_err(failed)?;
    }
    let mut writer = encoder.write_header().map_err(failed)?;
    for Frame { pixels, delay } in frames {
        if frames.len() > 1 {
            writer.set_frame_delay((*delay).min(u16::MAX.into()) as u16, 1000).map_err(failed)?;
        }
        writer.write_image_data(&layout.samples(pixels)).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::render::codec::png::Png;
    use crate::render::codec::{Codec, Decoded, Plan, Shown};
    use crate::render::geometry::Size;
    use crate::render::pixels::Samples;
    use crate::render::recipe::{Output, Quality, Recipe};
    use crate::render::settings::{AvifEncoder, Effort, Encoding, Settings};

    fn picture(size: Size, frames: Vec<(usize, Vec<u8>)>) -> Picture {
        let frame = |(channels, data)| Frame { pixels: Pixels { size, channels, data }, delay: 40 };
        Picture {
            shown: Shown::Frames(frames.into_iter().map(frame).collect()),
            loops: Loops::Times(3),
            quality: 80.0,
            lossless: false,
            encoding: Encoding { effort: Effort::Fast, avif: AvifEncoder::default() },
            exif: None,
            profile: None,
        }
    }

    /// The colour type and bits a sample in the header, and the frames as RGBA.
    fn written_and_read(picture: &Picture) -> (u8, u8, Vec<Vec<u8>>) {
        let file = encode(picture).expect("encoded");
        let info = Png.probe(&file).expect("a header");
        assert_eq!(info.size, picture.size());
        let (recipe, settings) = (Recipe::new(Output::Original, Quality::default()), Settings::default());
        let plan = Plan::to_decode(&info, &recipe, &settings).expect("a plan");
        let mut read = Vec::new();
        let mut take = |decoded: Decoded| {
            let Samples::Packed(pixels) = decoded.samples else { unreachable!("PNG has pixels") };
            read.push(pixels.with_alpha().data);
            Ok(())
        };
        Png.decode(&file, &info, &plan, &mut take).expect("decoded");
        (file[25], file[24], read)
    }

    fn all_rgba(picture: &Picture) -> Vec<Vec<u8>> {
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
