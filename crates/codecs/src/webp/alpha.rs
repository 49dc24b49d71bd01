//! `ALPH` chunks of lossy pictures (RFC 9649 §2.7.1.2), and decoding such pictures reduced.

use std::io::Cursor;

use image_webp::WebPDecoder;

use super::planes::{CHROMA, LUMA, reduced_planes, whole_planes};
use super::{FORMAT, HEADROOM, Integrity, failed, mux};
use tintype_pixels::Pixels;
use tintype_pixels::error::{Error, Result};
use tintype_pixels::geometry::{DctScale, Size};
use tintype_pixels::ycbcr;
use tintype_vp8::{self as vp8, ScaledPlanes};

/// RGBA of a picture of that size, at that scale, from its `VP8 ` and `ALPH` chunks. It is meant for pictures that are
/// reduced further: the loop filter is skipped, and chroma is not interpolated.
pub(super) fn reduced(
    frame: &[u8], alpha: &[u8], size: Size, scale: DctScale, memory: usize,
) -> Result<(Pixels, Integrity)> {
    let mut alpha = decode_alpha(alpha, size, memory)?;
    // rows have whole macroblocks of 16 by 16 pixels (RFC 6386 §2)
    let stride = (size.width.next_multiple_of(16) / 8 * scale.eighths()) as usize;
    if scale == DctScale::FULL {
        let (planes, rows) = whole_planes(frame, size, false)?;
        alpha[rows as usize * size.width as usize..].fill(0);
        let pixels = interleave(&planes, stride, Some((&alpha, size.width as usize)), size)?;
        return Ok((pixels, super::integrity(rows, size)));
    }
    let target = ScaledPlanes::new(size, scale).with_alpha(alpha);
    let (reduced, rows) = reduced_planes(frame, size, false, target)?;
    let alpha = Some((reduced.alpha().unwrap_or_default(), stride));
    Ok((interleave(&reduced.planes, stride, alpha, size.scaled(scale))?, super::integrity(rows, size)))
}

/// The decodable rows of a damaged picture at full size, and their number; `None` where there are none. Damaged alpha is an error,
/// as in browsers.
pub(super) fn rows(frame: &[u8], alpha: Option<&[u8]>, size: Size, memory: usize) -> Result<Option<(Pixels, u32)>> {
    let mut alpha = alpha.map(|alpha| decode_alpha(alpha, size, memory)).transpose()?;
    let Some((planes, rows)) = vp8::decode_partial(frame, size, true) else { return Ok(None) };
    let width = size.width as usize;
    if let Some(alpha) = &mut alpha {
        alpha[rows as usize * width..].fill(0);
    }
    let alpha = alpha.as_deref().map(|alpha| (alpha, width));
    Ok(Some((interleave(&planes, size.width.next_multiple_of(16) as usize, alpha, size)?, rows)))
}

/// RGB or RGBA from limited-range planes. `stride` is that of luma, and twice that of chroma; alpha comes with its own stride.
fn interleave(
    [luma, cb, cr]: &[Vec<u8>; 3], stride: usize, alpha: Option<(&[u8], usize)>, size: Size,
) -> Result<Pixels> {
    let (width, height) = (size.width as usize, size.height as usize);
    let channels = if alpha.is_some() { 4 } else { 3 };
    let mut samples = Vec::with_capacity(width * height * channels);
    let (mut y_row, mut chroma, mut rgb) = (vec![0; width], [vec![0; width], vec![0; width]], vec![0; width * 3]);
    for y in 0..height {
        y_row.iter_mut().zip(&luma[y * stride..]).for_each(|(to, &level)| *to = LUMA[usize::from(level)]);
        for (to, plane) in chroma.iter_mut().zip([cb, cr]) {
            let row = &plane[y / 2 * (stride / 2)..];
            to.iter_mut().enumerate().for_each(|(x, to)| *to = CHROMA[usize::from(row[x / 2])]);
        }
        ycbcr::write_rgb(&mut rgb, &y_row, &chroma[0], &chroma[1]);
        match alpha {
            Some((alpha, stride)) => {
                let pixels = rgb.as_chunks::<3>().0.iter().zip(&alpha[y * stride..]);
                samples.extend(pixels.flat_map(|(&[r, g, b], &a)| [r, g, b, a]));
            }
            None => samples.extend_from_slice(&rgb),
        }
    }
    Pixels::new(FORMAT, size, channels, samples)
}

/// Decodes an `ALPH` chunk to one byte a pixel.
fn decode_alpha(chunk: &[u8], size: Size, memory: usize) -> Result<Vec<u8>> {
    let damaged = || Error::malformed(FORMAT, "its ALPH chunk is damaged");
    let (&flags, data) = chunk.split_first().ok_or_else(damaged)?;
    let (width, height) = (size.width as usize, size.height as usize);
    // pre-processing (bits 4 and 5) is informative, but 2 and 3 are reserved
    let mut alpha = match (flags & 3, flags >> 4 & 3) {
        (0, 0 | 1) => data.get(..width * height).ok_or_else(damaged)?.to_vec(),
        (1, 0 | 1) => decode_lossless(data, size, memory)?,
        _ => return Err(damaged()),
    };
    unfilter(&mut alpha, width, flags >> 2 & 3);
    Ok(alpha)
}

/// Decodes alpha that is stored in the green channel of a headerless VP8L bitstream.
fn decode_lossless(data: &[u8], size: Size, memory: usize) -> Result<Vec<u8>> {
    // signature, 14 bits each of width - 1 and height - 1, alpha_is_used, version 0 (§3.4)
    let sides = (size.width - 1) | (size.height - 1) << 14 | 1 << 28;
    let mut chunk = Vec::with_capacity(data.len() + 16);
    mux::put_chunk(&mut chunk, b"VP8L", &[&[0x2F][..], &sides.to_le_bytes(), data].concat());
    let mut decoder = WebPDecoder::new(Cursor::new(mux::riff(&chunk))).map_err(failed)?;
    decoder.set_memory_limit(memory + HEADROOM);
    let mut samples = vec![0; (size.pixels() * 4) as usize];
    decoder.read_image(&mut samples).map_err(failed)?;
    Ok(samples.chunks_exact(4).map(|pixel| pixel[1]).collect())
}

/// Undoes the filtering method: 1 horizontal, 2 vertical, 3 gradient. The first row is always predicted from the left, the first
/// column from above.
fn unfilter(alpha: &mut [u8], width: usize, method: u8) {
    if method == 0 {
        return;
    }
    let (first, rest) = alpha.split_at_mut(width);
    let mut left = 0_u8;
    for value in &mut *first {
        left = left.wrapping_add(*value);
        *value = left;
    }
    let mut above: &[u8] = first;
    for row in rest.chunks_exact_mut(width) {
        row[0] = row[0].wrapping_add(above[0]);
        match method {
            1 => (1..width).for_each(|x| row[x] = row[x].wrapping_add(row[x - 1])),
            2 => (1..width).for_each(|x| row[x] = row[x].wrapping_add(above[x])),
            _ => {
                for x in 1..width {
                    let gradient = i16::from(row[x - 1]) + i16::from(above[x]) - i16::from(above[x - 1]);
                    row[x] = row[x].wrapping_add(gradient.clamp(0, 255) as u8);
                }
            }
        }
        above = row;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::webp::tests::lossy;
    use tintype_codec_sys::libwebp;

    /// A lossy file with alpha, and its alpha.
    fn written(size: Size, filter: i32, compressed: bool, seed: u32) -> (Vec<u8>, Vec<u8>) {
        let alpha = |at: u32| {
            let (x, y) = (at % size.width, at / size.width);
            ((x * 9 + y * 4 + seed % 7) as u8).saturating_sub(if (x / 5 + y / 3) % 2 == 0 { 255 } else { 20 })
        };
        let pixel = |at: u32| [(at % size.width * 3) as u8, (at / size.width * 2) as u8, seed as u8, alpha(at)];
        let data = (0..size.pixels() as u32).flat_map(pixel).collect();
        let mut config = webp::WebPConfig::new().expect("a configuration");
        (config.quality, config.alpha_filtering, config.alpha_compression) = (90.0, filter, i32::from(compressed));
        let shown = Pixels { size, channels: 4, data };
        let file = libwebp::encode(&libwebp::Input::Packed(&shown), &config, &mut || true).unwrap_or_default();
        (file, (0..size.pixels() as u32).map(alpha).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

        #[test]
        fn reduced_pixels_are_alpha_weighted_means(
            width in 1_u32..80, height in 1_u32..80, filter in 0..3, compressed: bool, seed: u32,
            scale in prop::sample::select(vec![1_u32, 2, 4, 8]).prop_map(DctScale::new),
        ) {
            let size = Size::new(width, height);
            let (file, alpha) = written(size, filter, compressed, seed);
            let (frame, chunk) = lossy(&file).expect("lossy");
            // opaque pictures are written without ALPH
            prop_assume!(chunk.is_some());
            let chunk = chunk.unwrap_or_default();
            prop_assert_eq!(&decode_alpha(chunk, size, 1 << 20).expect("alpha"), &alpha);
            let ours = reduced(frame, chunk, size, scale, 1 << 20).expect("as written").0;
            prop_assert_eq!(ours.size, size.scaled(scale));

            let mut decoder = WebPDecoder::new(Cursor::new(&file)).expect("a WebP");
            let mut whole = vec![0; decoder.output_buffer_size().expect("it fits")];
            decoder.read_image(&mut whole).expect("a picture");
            let factor = 8 / scale.eighths();
            let (mut off, mut count) = (0, 0);
            for (at, ours) in (0..).zip(ours.data.chunks_exact(4)) {
                let (left, top) = (at % ours_width(size, scale) * factor, at / ours_width(size, scale) * factor);
                let square = (top..(top + factor).min(height))
                    .flat_map(|y| (left..(left + factor).min(width)).map(move |x| (y * width + x) as usize * 4));
                let square: Vec<&[u8]> = square.map(|at| &whole[at..at + 4]).collect();
                let all: u32 = square.iter().map(|pixel| u32::from(pixel[3])).sum();
                // rows that are not there count as the last one
                if top + factor <= height {
                    let mean = (all + square.len() as u32 / 2) / square.len() as u32;
                    prop_assert!(mean.abs_diff(ours[3].into()) <= 1, "alpha {} for {}", ours[3], mean);
                }
                if all > 64 * square.len() as u32 && top + factor <= height {
                    for channel in 0..3 {
                        let sum: u32 = square.iter().map(|pixel| u32::from(pixel[channel]) * u32::from(pixel[3])).sum();
                        off += (sum / all).abs_diff(ours[channel].into());
                        count += 1;
                    }
                }
            }
            // the library filters edges and puts chroma between its samples, which a few samples do not make up for
            prop_assert!(off <= 6 * count + 12, "{} of {}", off, count);
        }

        #[test]
        fn damaged_alpha_has_the_size_of_the_picture_or_is_an_error(
            filter in 0..3, compressed: bool, cut in any::<prop::sample::Index>(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let size = Size::new(40, 30);
            let (file, _) = written(size, filter, compressed, 3);
            let (_, chunk) = lossy(&file).expect("lossy");
            let mut chunk = chunk.expect("alpha").to_vec();
            for (place, value) in damage {
                let place = place.index(chunk.len());
                chunk[place] = value;
            }
            chunk.truncate(cut.index(chunk.len() + 1));
            if let Ok(alpha) = decode_alpha(&chunk, size, 1 << 20) {
                prop_assert_eq!(alpha.len(), 1200);
            }
        }
    }

    #[test]
    fn damaged_alpha_is_an_error() {
        let size = Size::new(40, 30);
        let chunk = |compressed: bool| {
            let (file, _) = written(size, 0, compressed, 3);
            lossy(&file).and_then(|(_, alpha)| alpha).expect("alpha").to_vec()
        };
        let (raw, compressed) = (chunk(false), chunk(true));
        let with_flags = |flags: u8| [&[raw[0] | flags][..], &raw[1..]].concat();
        for (name, chunk, is_alpha) in [
            ("raw", raw.clone(), true),
            ("compressed", compressed.clone(), true),
            ("an unknown compression", with_flags(2), false),
            ("another unknown compression", with_flags(3), false),
            ("a reserved pre-processing", with_flags(0x20), false),
            ("another reserved pre-processing", with_flags(0x30), false),
            ("no flags", Vec::new(), false),
            ("raw, truncated", raw[..raw.len() - 1].to_vec(), false),
            ("compressed, truncated", compressed[..compressed.len() / 2].to_vec(), false),
        ] {
            assert_eq!(decode_alpha(&chunk, size, 1 << 20).is_ok(), is_alpha, "{name}");
        }
    }

    fn ours_width(size: Size, scale: DctScale) -> u32 {
        size.scaled(scale).width
    }
}
