//! Encodes PNG and APNG, with the colour type and bit depth of the fewest bytes (`layout.rs`).
//!
//! Filtered scanlines compress photographs better, unfiltered ones drawings, which have repetitions; for drawings trial encoding of a
//! part of the rows decides.

use std::borrow::Cow;

use ::png::{BlendOp, DeflateCompression, Encoder, EncodingError, Filter, Info};

use super::FORMAT;
use super::layout::Layout;
use crate::canvas::Area;
use crate::encode_input::EncodeInput;
use crate::encoding::{Effort, PictureKind};
use tintype_pixels::error::{Error, Result};
use tintype_pixels::{Frame, Loops, Pixels, Size};

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

    /// Unfiltered, since differences between palette indices are arbitrary. Level 5 takes 1.4 times as long as level 2 for 0.94 of the
    /// bytes, level 8 twice as long again for 0.98 of those.
    const INDEXED: CompressionMode =
        CompressionMode { filter: Filter::NoFilter, compression: DeflateCompression::Level(5) };

    /// The same for [`Effort::Dense`].
    const DENSE_INDEXED: CompressionMode =
        CompressionMode { filter: Filter::NoFilter, compression: DeflateCompression::Level(8) };

    /// The mode for a picture, of whose first frame these are the samples. For a drawing it is the one with the smaller output for a
    /// part of the rows.
    fn select(layout: &Layout<'_>, samples: &[u8], width: u32, picture: &EncodeInput) -> Result<CompressionMode> {
        // small pictures are fast at any level
        let effort = if samples.len() <= SMALL_BYTES { Effort::Dense } else { picture.encoding.effort };
        // the slower mode has to save 15 percent of the bytes
        let ([first, second], worth) = match (effort, picture.kind) {
            (Effort::Dense, _) if layout.is_indexed() => return Ok(CompressionMode::DENSE_INDEXED),
            (Effort::Fast | Effort::Balanced, _) if layout.is_indexed() => return Ok(CompressionMode::INDEXED),
            (Effort::Dense, _) => (CompressionMode::DENSE, 1.0),
            (_, PictureKind::Photo) => return Ok(CompressionMode::FAST_FILTERED),
            (_, PictureKind::Drawing) => ([CompressionMode::FAST_FILTERED, CompressionMode::FAST_UNFILTERED], 0.85),
        };
        let stride = layout.stride(width);
        let length = |mode: CompressionMode| -> Result<f64> {
            let parts = trial_parts(samples, stride).map(|part| {
                let rows = (part.len() / stride) as u32;
                let mut header = Info::with_size(width, rows);
                layout.declare(&mut header);
                let area = Area::all(Size::new(width, rows));
                let frame = EncodedFrame { area, samples: Cow::Borrowed(part), delay: 0 };
                write_file(header, mode, None, std::iter::once(frame)).map(|file| file.len() as f64)
            });
            parts.sum()
        };
        Ok(if length(second)? < worth * length(first)? { second } else { first })
    }
}

/// Bytes that the slower modes compress in less than a millisecond.
const SMALL_BYTES: usize = 32 << 10;

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
    let mode = CompressionMode::select(&layout, &first, size.width, picture)?;
    let first = EncodedFrame { area: Area::all(size), samples: first, delay: frames[0].delay };
    let later = frames.windows(2).map(|pair| later_frame(&layout, &pair[0].pixels, &pair[1]));
    let animation = (frames.len() > 1).then_some((frames.len() as u32, picture.loops));
    write_file(header, mode, animation, std::iter::once(first).chain(later))
}

/// A frame as it is written.
struct EncodedFrame<'a> {
    area: Area,
    /// The samples of the area, in rows of whole bytes.
    samples: Cow<'a, [u8]>,
    /// In milliseconds.
    delay: u32,
}

/// The rectangle of a frame that differs from the frame before.
fn later_frame<'a>(layout: &Layout<'a>, before: &Pixels, frame: &'a Frame) -> EncodedFrame<'a> {
    let pixels = &frame.pixels;
    let area = Area::changed(before, pixels).unwrap_or(Area::ONE);
    let samples = if area.size == pixels.size {
        layout.samples(pixels)
    } else {
        Cow::Owned(layout.samples_of(&pixels.cut(area.left, area.top, area.size)))
    };
    EncodedFrame { area, samples, delay: frame.delay }
}

/// Writes a PNG file. `animation` is the number of frames and plays of an animation.
fn write_file<'a>(
    header: Info<'_>, mode: CompressionMode, animation: Option<(u32, Loops)>,
    frames: impl Iterator<Item = EncodedFrame<'a>>,
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
        // pixels of the area are replaced, and those around it stay
        encoder.set_blend_op(BlendOp::Source).map_err(failed)?;
    }
    let mut writer = encoder.write_header().map_err(failed)?;
    for EncodedFrame { area, samples, delay } in frames {
        if animation.is_some() {
            // of any position the area has to fit the canvas
            writer.reset_frame_position().map_err(failed)?;
            writer.set_frame_dimension(area.size.width, area.size.height).map_err(failed)?;
            writer.set_frame_position(area.left, area.top).map_err(failed)?;
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
    use crate::indexed::IndexedPixels;
    use crate::palette::rgba;
    use crate::png::Png;
    use crate::testing::{decode, packed};

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
        let of = |pixel: &dyn Fn(u32) -> [u8; 3], kind, effort| {
            let data = (0..size.pixels() as u32).flat_map(pixel).collect();
            let mut picture = picture(size, vec![(3, data)]);
            picture.encoding.effort = effort;
            picture.kind = kind;
            let (_, _, read) = round_trip(&picture);
            assert!(read == all_rgba(&picture));
            encode(&picture).expect("encoded").len()
        };
        let all = size.pixels() as usize * 3;
        for effort in [Effort::Fast, Effort::Dense] {
            let length = of(&drawing, PictureKind::Drawing, effort);
            assert!(length < all / 8, "{effort:?}: {length}");
            for kind in [PictureKind::Photo, PictureKind::Drawing] {
                let length = of(&photograph, kind, effort);
                assert!(length < all * 7 / 10, "{kind:?}, {effort:?}: {length}");
            }
        }
    }

    #[test]
    fn quantised_pixels_are_written() {
        let size = Size::new(120, 90);
        let noise = |at: u32| at.wrapping_mul(2_654_435_761) >> 24;
        let shades = |levels: u32| {
            let pixel = move |at: u32| [noise(at) % levels, at / 700, noise(at / 5) % levels].map(|level| level as u8);
            (0..size.pixels() as u32).flat_map(pixel).collect::<Vec<u8>>()
        };
        // many colours, and some that hardly differ
        for (levels, depth) in [(250, 8), (7, 4)] {
            let mut picture = picture(size, vec![(3, shades(levels))]);
            picture.indexed = IndexedPixels::quantised(picture.first());
            let expected = picture.indexed.as_ref().expect("many colours").pixels().with_alpha().data;
            assert_eq!(round_trip(&picture), (3, depth, vec![expected]), "{levels}");
        }
    }

    #[test]
    fn opaque_colours_take_no_alpha() {
        let size = Size::new(120, 90);
        let pixel = |at: u32| [(at * 7) as u8, (at / 50) as u8, 9, if at < 30 { 99 } else { 255 }];
        let mut picture = picture(size, vec![(4, (0..size.pixels() as u32).flat_map(pixel).collect())]);
        picture.indexed = IndexedPixels::quantised(picture.first());
        let file = encode(&picture).expect("encoded");
        let at = memchr::memmem::find(&file, b"tRNS").expect("a chunk");
        let translucent =
            picture.indexed.as_ref().map(|indexed| indexed.palette().iter().filter(|colour| colour[3] < 255));
        assert_eq!(usize::from(file[at - 1]), translucent.expect("many colours").count());
    }

    #[test]
    fn frames_are_cut_to_what_changed() {
        let size = Size::new(200, 100);
        let noise: Vec<u8> = (0..60_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut moved = noise.clone();
        moved[30_000..30_030].fill(7);
        let length = |frames: Vec<(usize, Vec<u8>)>| {
            let picture = picture(size, frames);
            let (_, _, read) = round_trip(&picture);
            assert!(read == all_rgba(&picture));
            encode(&picture).expect("encoded").len()
        };
        let one = length(vec![(3, noise.clone())]);
        let three = length(vec![(3, noise.clone()), (3, noise.clone()), (3, moved)]);
        assert!(three < one + 400, "{one} bytes of one frame, {three} of three");
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
