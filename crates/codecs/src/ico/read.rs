//! Windows icons and cursors (ICO, CUR): selects the best image, a BMP without file header or a PNG file, and decodes the BMP.
//!
//! The fields of a directory entry are not used: a size of 0 means 256 or more, bit counts are often 0, and cursors hold the hotspot in
//! their place. The images' own headers count; the info header of a BMP has twice the height, for the AND mask behind the
//! pixels. A truncated image is decoded as far as it goes, where the file has no complete one.
//!
//! The ICO decoder of the crate `image` (0.25) was not taken, since it refuses or alters files that this module decodes:
//! - It selects an image by the bit count and the size in the directory, and refuses the file if that size differs from the one in
//!   the image's header, or if a cursor's hotspot is beyond 256.
//! - A truncated directory or image is an error, even if another image is complete. So is a truncated AND mask.
//! - PNG images other than 8-bit RGBA are refused; browsers show every colour type and bit depth.
//! - A BMP of 32 bits whose alpha is 0 everywhere becomes fully transparent; here its AND mask counts.
//! - The AND mask of a top-down BMP is read bottom-up.

use super::bitmap::Bitmap;
pub(crate) use super::failure::Failure;
use super::failure::{malformed, u16_at, u32_at};

/// The selected image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload<'a> {
    /// A PNG file; only IHDR and the lengths of its chunks were checked.
    Png(&'a [u8]),
    /// A decoded BMP.
    Pixels {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
        /// RGBA with straight alpha, from the top row on.
        rgba: Vec<u8>,
        /// The missing part, for the log.
        missing: Option<&'static str>,
    },
}

/// Directory entries that are read; real files have up to 30.
const MAX_ENTRIES: usize = 256;

/// Width and height of the image that [`decode`] returns, and its file if it is a PNG.
pub(crate) fn probe(bytes: &[u8]) -> Result<(u32, u32, Option<&[u8]>), Failure> {
    let Image { width, height, kind, .. } = select(bytes)?;
    let png = match kind {
        Kind::Png(file) => Some(file),
        Kind::Bmp(_) => None,
    };
    Ok((width, height, png))
}

/// Decodes the best image of the file.
pub(crate) fn decode(bytes: &[u8], max_pixels: u64) -> Result<Payload<'_>, Failure> {
    let Image { width, height, kind, .. } = select(bytes)?;
    if u64::from(width) * u64::from(height) > max_pixels {
        return Err(Failure::Limit(format!("{width}x{height} pixels, {max_pixels} are allowed")));
    }
    Ok(match kind {
        Kind::Png(file) => Payload::Png(file),
        Kind::Bmp(bitmap) => {
            let rgba = bitmap.decode(width as usize, height as usize);
            Payload::Pixels { width, height, rgba, missing: bitmap.missing }
        }
    })
}

/// An image of the file.
struct Image<'a> {
    /// Whether it is complete.
    is_whole: bool,
    width: u32,
    height: u32,
    /// Bits of a pixel.
    bits: u32,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Png(&'a [u8]),
    Bmp(Bitmap<'a>),
}

/// Selects the complete image of the most pixels, then of the most bits a pixel, then the first; without a complete one the best
/// truncated one.
fn select(bytes: &[u8]) -> Result<Image<'_>, Failure> {
    // ICONDIR: zero, 1 for icons or 2 for cursors, the number of entries
    let count = match (u16_at(bytes, 0), u16_at(bytes, 2), u16_at(bytes, 4)) {
        (Some(0), Some(1 | 2), Some(count)) => usize::from(count).min(MAX_ENTRIES),
        _ => return Err(malformed("it has no icon directory (ICONDIR)")),
    };
    let mut best: Result<Image<'_>, Failure> = Err(malformed("its icon directory is empty"));
    for entry in bytes[6..].as_chunks::<16>().0.iter().take(count) {
        match (read_entry(bytes, entry), &best) {
            (Ok(new), Ok(old)) if rank(&new) <= rank(old) => {}
            (Ok(new), _) => best = Ok(new),
            // the error of the last entry is reported
            (Err(failure), Err(_)) => best = Err(failure),
            (Err(_), Ok(_)) => {}
        }
    }
    best
}

fn rank(picture: &Image<'_>) -> (bool, u64, u32) {
    (picture.is_whole, u64::from(picture.width) * u64::from(picture.height), picture.bits)
}

/// Reads the header of the image of a directory entry.
fn read_entry<'a>(bytes: &'a [u8], entry: &[u8; 16]) -> Result<Image<'a>, Failure> {
    let outside = || malformed("a directory entry points outside of the file");
    let start = u32_at(entry, 12).ok_or_else(outside)?;
    // the length in the entry is often wrong, and not needed
    let data = bytes.get(start as usize..).filter(|data| !data.is_empty()).ok_or_else(outside)?;
    if data.starts_with(PNG_SIGNATURE) {
        return read_png(data);
    }
    let bitmap = Bitmap::read(data)?;
    let Bitmap { width, height, bits, .. } = bitmap;
    Ok(Image { is_whole: bitmap.missing.is_none(), width, height, bits: bits as u32, kind: Kind::Bmp(bitmap) })
}

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1A\n";

/// The most chunks of a PNG that are followed.
const MAX_CHUNKS: usize = 10_000;

/// Follows the chunks of a PNG to IEND (PNG, third edition, §5.3 and §11.2.1); without IEND it reaches to the end of the file.
fn read_png(data: &[u8]) -> Result<Image<'_>, Failure> {
    let cut_off = || malformed("a PNG entry is truncated");
    let header = data.get(8..33).filter(|header| header.starts_with(b"\0\0\0\x0DIHDR")).ok_or_else(cut_off)?;
    let number = |at: usize| header[at..at + 4].iter().fold(0, |value, &byte| value << 8 | u32::from(byte));
    let (width, height, depth, colour) = (number(8), number(12), u32::from(header[16]), header[17]);
    if width == 0 || height == 0 || width > i32::MAX as u32 || height > i32::MAX as u32 {
        return Err(malformed(format!("a PNG entry has {width}x{height} pixels")));
    }
    let samples = [1, 0, 3, 1, 2, 0, 4].get(usize::from(colour)).map_or(0, |&samples| samples);
    let image = |file, is_whole| Image { is_whole, width, height, bits: depth * samples, kind: Kind::Png(file) };
    let mut at = 8usize;
    for _ in 0..MAX_CHUNKS {
        let Some(chunk) = data.get(at..).and_then(|rest| rest.first_chunk::<8>()) else {
            return Ok(image(data, false));
        };
        let length = u32::from_be_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]) as usize;
        at = at.saturating_add(length).saturating_add(12);
        if &chunk[4..] == b"IEND" {
            return Ok(data.get(..at).map_or_else(|| image(data, false), |file| image(file, true)));
        }
    }
    Err(malformed("a PNG entry has too many chunks"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An icon file; each payload comes with the offset to write for it, where that is to be wrong.
    fn icon(kind: u8, payloads: &[(&[u8], Option<u32>)]) -> Vec<u8> {
        let mut out = vec![0, 0, kind, 0, payloads.len() as u8, 0];
        let mut at = 6 + 16 * payloads.len() as u32;
        for (payload, offset) in payloads {
            out.extend([0; 8]);
            out.extend((payload.len() as u32).to_le_bytes());
            out.extend(offset.unwrap_or(at).to_le_bytes());
            at += payload.len() as u32;
        }
        payloads.iter().for_each(|(payload, _)| out.extend(*payload));
        out
    }

    fn bmp(width: i32, height: i32, bits: u16, rest: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(40u32.to_le_bytes());
        out.extend(width.to_le_bytes());
        out.extend((2 * height).to_le_bytes());
        out.extend([1, 0]);
        out.extend(bits.to_le_bytes());
        out.resize(40, 0);
        out.extend(rest);
        out
    }

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut out = PNG_SIGNATURE.to_vec();
        out.extend(b"\0\0\0\x0DIHDR");
        out.extend(width.to_be_bytes());
        out.extend(height.to_be_bytes());
        out.extend([8, 6, 0, 0, 0, 0, 0, 0, 0]);
        out.extend(b"\0\0\0\0IEND\0\0\0\0");
        out
    }

    fn pixels(file: &[u8]) -> Option<Vec<u8>> {
        match decode(file, 1000) {
            Ok(Payload::Pixels { width, height, rgba, .. }) => {
                assert_eq!(probe(file), Ok((width, height, None)));
                Some(rgba)
            }
            _ => None,
        }
    }

    const RED: [u8; 4] = [255, 0, 0, 255];
    const BLUE: [u8; 4] = [0, 0, 255, 255];
    const CLEAR: [u8; 4] = [0, 0, 0, 0];

    #[test]
    fn every_bit_depth_is_decoded() {
        // blue, then red; in the mask the third pixel
        let palette = [255, 0, 0, 0, 0, 0, 255, 0];
        let colours = |count: usize| [&palette[..], &vec![0; 4 * count - 8]].concat();
        let table: Vec<(u16, Vec<u8>, [[u8; 4]; 3])> = vec![
            (1, [&palette[..], &[0x40, 0, 0, 0], &[0x20, 0, 0, 0]].concat(), [BLUE, RED, [0, 0, 255, 0]]),
            (4, [&colours(16)[..], &[0x01, 0x20, 0, 0], &[0x20, 0, 0, 0]].concat(), [BLUE, RED, CLEAR]),
            (8, [&colours(256)[..], &[0, 1, 2, 0], &[0x20, 0, 0, 0]].concat(), [BLUE, RED, CLEAR]),
            (16, vec![0x1F, 0, 0, 0x7C, 0, 0, 0, 0, 0x20, 0, 0, 0], [BLUE, RED, CLEAR]),
            (24, vec![255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0], [BLUE, RED, CLEAR]),
            (32, vec![255, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0x20, 0, 0, 0], [BLUE, RED, CLEAR]),
            (32, vec![255, 0, 0, 255, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0], [BLUE, RED, CLEAR]),
            (32, vec![255, 0, 0, 255, 0, 0, 255, 255, 0, 0, 0, 0], [BLUE, RED, CLEAR]),
        ];
        for (bits, rest, wanted) in table {
            for kind in [1, 2] {
                let file = icon(kind, &[(&bmp(3, 1, bits, &rest), None)]);
                assert_eq!(pixels(&file), Some(wanted.as_flattened().to_vec()), "{bits} bits");
            }
        }
    }

    #[test]
    fn row_order_follows_the_sign_of_the_height() {
        let rest = [255, 0, 0, 255, 0, 0, 255, 255];
        for (height, wanted) in [(2, [RED, BLUE]), (-2, [BLUE, RED])] {
            let file = icon(1, &[(&bmp(1, height, 32, &rest), None)]);
            assert_eq!(pixels(&file), Some(wanted.as_flattened().to_vec()));
        }
    }

    #[test]
    fn bit_fields_are_decoded() {
        let mut payload = bmp(1, 1, 16, &[0, 0xF8, 0, 0, 0xE0, 7, 0, 0, 0x1F, 0, 0, 0, 0x1F, 0xF8, 0, 0, 0, 0, 0, 0]);
        payload[16] = 3;
        assert_eq!(pixels(&icon(1, &[(&payload, None)])), Some(vec![255, 0, 255, 255]));
        // with a mask of alpha, which counts for pixels of 32 bits only
        for (bits, value, alpha) in [(16_u16, 0xFC00_u32, 0x8000_u32), (32, 0x80FF_0000, 0xFF00_0000)] {
            let masks = if bits == 16 { [0x7C00, 0x03E0, 0x1F] } else { [0xFF_0000, 0xFF00, 0xFF] };
            for (value, opacity) in [(value, if bits == 16 { 255 } else { 128 }), (value & !alpha, 255)] {
                let header = [masks[0], masks[1], masks[2], alpha].map(u32::to_le_bytes).concat();
                let mut payload = bmp(1, 1, bits, &[&header[..], &value.to_le_bytes(), &[0; 4]].concat());
                (payload[0], payload[16]) = (56, 3);
                let expected = Some(vec![255, 0, 0, opacity]);
                assert_eq!(pixels(&icon(1, &[(&payload, None)])), expected, "{bits} bits, {value:x}");
            }
        }
    }

    #[test]
    fn largest_deepest_complete_image_is_selected() {
        let small = bmp(1, 1, 32, &[0; 8]);
        let coarse = bmp(2, 1, 24, &[0; 12]);
        let fine = bmp(2, 1, 32, &[0; 12]);
        let cut_off = bmp(99, 99, 32, &[0; 50]);
        for (name, payloads, wanted) in [
            ("the larger", vec![(&small[..], None), (&coarse, None)], &coarse),
            ("the deeper", vec![(&coarse, None), (&fine, None)], &fine),
            ("the deeper, first", vec![(&fine, None), (&coarse, None)], &fine),
            ("the whole", vec![(&small, None), (&cut_off, None)], &small),
            ("the one inside", vec![(&small, None), (&fine, Some(70_000))], &small),
        ] {
            let file = icon(1, &payloads);
            let Ok(Image { width, bits, .. }) = select(&file) else { panic!("{name}: none") };
            assert_eq!(
                (width, bits),
                (u32_at(wanted, 4).unwrap_or(0), u16_at(wanted, 14).unwrap_or(0).into()),
                "{name}"
            );
        }
    }

    #[test]
    fn png_payload_is_returned_undecoded() {
        let file = png(300, 200);
        let mut bytes = icon(1, &[(&bmp(1, 1, 32, &[0; 8]), None), (&file, None)]);
        bytes.extend(b"behind");
        assert_eq!(probe(&bytes), Ok((300, 200, Some(&file[..]))));
        assert_eq!(decode(&bytes, 60_000), Ok(Payload::Png(&file)));
        assert!(matches!(decode(&bytes, 59_999), Err(Failure::Limit(_))));
        // the PNG decoder reports damage
        for length in [file.len() - 5, 40, 33] {
            assert_eq!(decode(&icon(1, &[(&file[..length], None)]), 60_000), Ok(Payload::Png(&file[..length])));
        }
        assert!(matches!(probe(&icon(1, &[(&file[..32], None)])), Err(Failure::Malformed(_))));
    }

    #[test]
    fn truncated_image_is_decoded_without_a_complete_one() {
        // red below blue, and a mask that hides neither
        let rows = [0, 0, 255, 255, 255, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 0];
        let whole = bmp(1, 2, 32, &rows);
        let cut = |bits: u16, length: usize| icon(1, &[(&bmp(1, 2, bits, &rows[..length]), None)]);
        for (name, file, expected) in [
            ("the mask of 32 bits", cut(32, 9), Some(([BLUE, RED], None))),
            ("a row", cut(32, 7), Some(([CLEAR, RED], Some("its pixels are truncated")))),
            ("the mask of 24 bits", cut(24, 9), Some(([BLUE, RED], Some("its AND mask is truncated")))),
            ("all rows", cut(32, 3), None),
            ("a larger one", icon(1, &[(&whole, None), (&bmp(3, 3, 32, &[9; 20]), None)]), Some(([BLUE, RED], None))),
        ] {
            let found = match decode(&file, 1000) {
                Ok(Payload::Pixels { rgba, missing, .. }) => Some((rgba, missing)),
                _ => None,
            };
            let expected = expected.map(|(pixels, missing)| (pixels.as_flattened().to_vec(), missing));
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn invalid_icons_are_refused() {
        let mut run_lengths = bmp(1, 1, 8, &[0; 1100]);
        run_lengths[16] = 1;
        let table: Vec<(&str, Vec<u8>)> = vec![
            ("nothing", Vec::new()),
            ("no entries", icon(1, &[])),
            ("another type", icon(3, &[(&bmp(1, 1, 32, &[0; 8]), None)])),
            ("fewer entries than said", vec![0, 0, 1, 0, 255, 255]),
            ("no pixels", icon(1, &[(&bmp(0, 1, 32, &[0; 8]), None)])),
            ("a negative width", icon(1, &[(&bmp(-1, 1, 32, &[0; 8]), None)])),
            ("the most negative height", icon(1, &[(&bmp(1, i32::MIN / 2, 32, &[0; 8]), None)])),
            ("no row of pixels", icon(1, &[(&bmp(2, 1, 24, &[0; 7]), None)])),
            ("run lengths", icon(1, &[(&run_lengths, None)])),
        ];
        for (name, file) in table {
            assert!(probe(&file).is_err() && decode(&file, 1000).is_err(), "{name}");
        }
    }
}
