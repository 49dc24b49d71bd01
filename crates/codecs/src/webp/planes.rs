//! Y'CbCr planes of lossy pictures: decoding, and conversion between WebP's limited range and full range.

use image_webp::vp8::Vp8Decoder;

use super::container::Image;
use super::{FORMAT, failed};
use tintype_pixels::error::{Error, Result};
use tintype_pixels::geometry::{DctScale, Size};
use tintype_pixels::{ChromaSubsampling, Integrity, Planes};
use tintype_vp8::{self as vp8, ScaledPlanes};

/// Full-range Y'CbCr planes of a VP8 frame of that size, at that scale. The loop filter is optional.
pub(super) fn decode(frame: &[u8], size: Size, scale: DctScale, loop_filter: bool) -> Result<(Planes, Integrity)> {
    let (planes, rows) = if scale == DctScale::FULL {
        whole_planes(frame, size, loop_filter)?
    } else {
        let (reduced, rows) = reduced_planes(frame, size, loop_filter, ScaledPlanes::new(size, scale))?;
        (reduced.planes, rows)
    };
    let integrity = super::integrity(rows, size);
    // rows have whole macroblocks of 16 by 16 pixels (RFC 6386 §2)
    let stride = (size.width.next_multiple_of(16) / 8 * scale.eighths()) as usize;
    let size = size.scaled(scale);
    let (luma, chroma) = Planes::stored(size, Some(ChromaSubsampling::S420));
    let mut data = Vec::with_capacity(Planes::bytes(size, Some(ChromaSubsampling::S420)));
    let kinds = [(stride, luma, &LUMA), (stride / 2, chroma, &CHROMA), (stride / 2, chroma, &CHROMA)];
    for (plane, (stride, size, to_full_range)) in planes.iter().zip(kinds) {
        for row in plane.chunks_exact(stride).take(size.height as usize) {
            data.extend(row[..size.width as usize].iter().map(|&level| to_full_range[usize::from(level)]));
        }
    }
    Ok((Planes::new(size, Some(ChromaSubsampling::S420), data).edges_repeated(), integrity))
}

/// Y, Cb and Cr at full size, with rows of whole macroblocks, and the number of decoded rows of the picture. `tintype-vp8` decodes
/// the frame; `image-webp` decodes the frames that it refuses, and `tintype-vp8` damaged ones up to the damage.
pub(super) fn whole_planes(frame: &[u8], size: Size, loop_filter: bool) -> Result<([Vec<u8>; 3], u32)> {
    if let Some(planes) = vp8::decode_planes(frame, size, loop_filter) {
        return Ok((planes, size.height));
    }
    check_size(frame, size)?;
    match Vp8Decoder::decode_frame(frame) {
        Ok(frame) => Ok(([frame.ybuf, frame.ubuf, frame.vbuf], size.height)),
        Err(error) => vp8::decode_partial(frame, size, loop_filter).ok_or_else(|| failed(error)),
    }
}

/// The same, reduced.
pub(super) fn reduced_planes(
    frame: &[u8], size: Size, loop_filter: bool, to: ScaledPlanes,
) -> Result<(ScaledPlanes, u32)> {
    let mut to = match vp8::decode_scaled(frame, to) {
        Ok(reduced) => return Ok((reduced, size.height)),
        Err(to) => to,
    };
    let (planes, rows) = whole_planes(frame, size, loop_filter)?;
    to.hide_below(rows);
    for (number, plane) in planes.iter().enumerate() {
        let side = vp8::macroblock_side(number);
        let row = size.width.div_ceil(16) as usize * side * side;
        plane.chunks_exact(row).enumerate().for_each(|(y, rows)| to.add_row(number, y, rows));
    }
    Ok((to, rows))
}

/// Refuses a frame of another size than its container states: its memory was not accounted for.
fn check_size(frame: &[u8], size: Size) -> Result<()> {
    match (Image::Lossy { frame, alpha: None }).size() {
        Ok(stated) if stated != size => Err(Error::malformed(FORMAT, "it states two different sizes")),
        stated => stated.map(|_| ()),
    }
}

/// Full range by limited-range level, rounded to nearest and clamped; the inverse of [`to_limited_range`].
pub(super) const LUMA: [u8; 256] = to_full_range(16, 219);
pub(super) const CHROMA: [u8; 256] = to_full_range(128, 224);

/// Maps `span` levels to 255. `origin` is 16 for luma, which maps to 0, and 128 for chroma, which stays.
const fn to_full_range(origin: i32, span: i32) -> [u8; 256] {
    let mut levels = [0; 256];
    let mut level = 0;
    while level < 256 {
        let distance = (level - origin) * 255;
        let half = if distance < 0 { -span } else { span };
        let base = if origin == 16 { 0 } else { origin };
        let wide = (2 * distance + half) / (2 * span) + base;
        levels[level as usize] = if wide < 0 {
            0
        } else if wide > 255 {
            255
        } else {
            wide as u8
        };
        level += 1;
    }
    levels
}

/// Planes in limited range, as WebP stores them: 16 to 235 for luma and 16 to 240 for chroma (RFC 6386 §9.2, BT.601).
pub(super) fn to_limited_range(planes: &Planes) -> Planes {
    let mut limited = planes.clone();
    let (luma, chroma) = limited.samples_mut();
    luma.iter_mut().for_each(|y| *y = limited_luma(*y));
    chroma.iter_mut().for_each(|c| *c = limited_chroma(*c));
    limited
}

/// 219/255 as 16.16 fixed point, rounded to nearest.
fn limited_luma(y: u8) -> u8 {
    (((u32::from(y) * 56_284 + (1 << 15)) >> 16) + 16) as u8
}

/// 224/255 as 16.16 fixed point around 128.
fn limited_chroma(c: u8) -> u8 {
    (((i32::from(c) - 128) * 57_569 + (128 << 16) + (1 << 15)) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image_webp::WebPDecoder;

    use super::super::encode::{config, encode_bitstream};
    use super::super::tests::lossy;
    use super::*;

    use crate::{EncodeInput, PictureData};
    use tintype_codec_sys::libwebp;
    use tintype_pixels::{Frame, Pixels};

    #[test]
    fn full_range_is_the_inverse_of_limited_range() {
        for level in 0..=255_u8 {
            assert!(LUMA[usize::from(limited_luma(level))].abs_diff(level) <= 1, "{level}");
            assert!(CHROMA[usize::from(limited_chroma(level))].abs_diff(level) <= 1, "{level}");
        }
        for level in 16..=235_u8 {
            assert_eq!(limited_luma(LUMA[usize::from(level)]), level);
        }
        for level in 16..=240_u8 {
            assert_eq!(limited_chroma(CHROMA[usize::from(level)]), level);
        }
        assert_eq!((LUMA[0], LUMA[16], LUMA[235], LUMA[255]), (0, 0, 255, 255));
        assert_eq!((CHROMA[0], CHROMA[16], CHROMA[128], CHROMA[240], CHROMA[255]), (0, 0, 128, 255, 255));
    }

    #[test]
    fn planes_have_the_colours_of_image_webp() {
        for (width, height) in [(1, 1), (2, 3), (16, 16), (17, 33), (63, 48), (130, 95)] {
            let size = Size::new(width, height);
            let sample = |at: u32| {
                let (x, y) = (at / 3 % width, at / 3 / width);
                (40 + [x, y, (x + y) / 2][at as usize % 3]) as u8
            };
            let pixels = Pixels { size, channels: 3, data: (0..width * height * 3).map(sample).collect() };
            let input = EncodeInput::new(PictureData::Frames(vec![Frame { pixels, delay: 0 }]), 90.0);
            let config = config(&input).expect("a configuration");
            let webp =
                encode_bitstream(&libwebp::Input::Packed(input.first()), &config, &mut || true).expect("encoded");
            let (frame, _) = lossy(&webp).expect("lossy");
            let (planes, _) = decode(frame, size, DctScale::FULL, true).expect("planes");
            let (luma, luma_size) = planes.luma();
            let ([cb, cr], _) = planes.chroma();
            let mut decoder = WebPDecoder::new(Cursor::new(&webp)).expect("a WebP");
            let mut rgb = vec![0; decoder.output_buffer_size().expect("it fits")];
            decoder.read_image(&mut rgb).expect("a picture");
            let (mut difference, mut worst) = (0, 0);
            for (at, theirs) in rgb.chunks_exact(3).enumerate() {
                let (x, y) = (at % width as usize, at / width as usize);
                let (luma, shared) = (luma.data[y * luma_size.width as usize + x], y / 2 * cb.stride + x / 2);
                let ours = tintype_pixels::ycbcr::to_rgb(&[luma], &[cb.data[shared]], &[cr.data[shared]]);
                for (a, b) in ours.iter().zip(theirs) {
                    difference += u32::from(a.abs_diff(*b));
                    worst = worst.max(a.abs_diff(*b));
                }
            }
            // image-webp interpolates chroma
            assert!(
                f64::from(difference) / rgb.len() as f64 <= 1.0 && worst <= 4,
                "{size}: {difference} of {}, {worst}",
                rgb.len()
            );
        }
    }

    #[test]
    fn limited_range_is_rounded_to_nearest() {
        for level in 0..=255_u8 {
            let exact = f64::from(level) * 219.0 / 255.0 + 16.0;
            assert_eq!(f64::from(limited_luma(level)), exact.round(), "luma {level}");
            let exact = (f64::from(level) - 128.0) * 224.0 / 255.0 + 128.0;
            assert!((f64::from(limited_chroma(level)) - exact).abs() <= 0.501, "chroma {level}");
        }
    }
}
