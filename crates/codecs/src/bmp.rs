//! BMP of Windows and OS/2, as browsers read it: palettes and bit fields, uncompressed and RLE.
//!
//! Missing rows of a truncated file are transparent. Embedded colour profiles are ignored.

mod header;
mod rle;
mod rows;

use header::{Compression, Header};

use crate::codec::{Codec, Sink};
use tintype_pixels::Pixels;
use tintype_pixels::error::{Error, Result};
use tintype_pixels::format::Format;
use tintype_pixels::geometry::Size;
use tintype_pixels::{Admitted, DecodeMemory, DecodeOptions, Decoded, Info, Integrity};

/// Decodes BMP.
pub(crate) struct Bmp;

const FORMAT: Format = Format::Bmp;

impl Codec for Bmp {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let header = Header::read(original)?;
        let size = Size::new(header.width as u32, header.height as u32);
        let mut info = Info::new(FORMAT, size);
        let data = header.pixels(original);
        let is_truncated = match header.compression {
            Compression::None => header.is_truncated(data),
            Compression::Rle(bits) => !rle::is_whole(&header, bits, data),
        };
        info.has_alpha = header.masks[3] != 0 || is_truncated;
        let channels = if info.has_alpha { 4.0 } else { 3.0 };
        // the pixels, and a copy without an alpha channel that is opaque
        info.caps.memory = DecodeMemory { per_stored_pixel: 2.0 * channels, per_decoded_pixel: 5.0 };
        Ok(info)
    }

    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, _options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity> {
        let info = admitted.info();
        let header = Header::read(original)?;
        let data = header.pixels(original);
        let read = match header.compression {
            Compression::None => rows::read(&header, data),
            Compression::Rle(bits) => rle::read(&header, bits, data),
        };
        let Bitmap { channels, samples, rows, is_whole } = read;
        if rows == 0 {
            return Err(Error::malformed(FORMAT, "it is truncated before its first row"));
        }
        let integrity = match is_whole {
            true => Integrity::Whole,
            false => Integrity::Damaged(format!("the pixels end in row {rows} of {}", header.height).into()),
        };
        sink(Decoded::still(Pixels::new(FORMAT, info.size, channels, samples)?, None))?;
        Ok(integrity)
    }
}

/// Decoded pixels.
struct Bitmap {
    /// 3 or 4.
    channels: usize,
    /// Interleaved, from the top row on.
    samples: Vec<u8>,
    /// Rows that were decoded, the last one maybe in part.
    rows: usize,
    /// Whether all rows are complete.
    is_whole: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{decode, packed};

    const RED: [u8; 4] = [255, 0, 0, 255];
    const GREEN: [u8; 4] = [0, 255, 0, 255];
    const BLUE: [u8; 4] = [0, 0, 255, 255];
    const BLACK: [u8; 4] = [0, 0, 0, 255];
    const CLEAR: [u8; 4] = [0; 4];

    /// Red, green, blue.
    const PALETTE: [u8; 12] = [0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0];

    /// A file with an info header of `size` bytes, followed by `behind` (palette or masks) and the pixels.
    fn file(
        size: u32, (width, height): (i32, i32), bits: u16, compression: u32, behind: &[u8], data: &[u8],
    ) -> Vec<u8> {
        let mut header = size.to_le_bytes().to_vec();
        header.extend(width.to_le_bytes());
        header.extend(height.to_le_bytes());
        header.extend([1, 0]);
        header.extend(bits.to_le_bytes());
        header.extend(compression.to_le_bytes());
        header.resize(32, 0);
        header.extend(if bits <= 8 { behind.len() as u32 / 4 } else { 0 }.to_le_bytes());
        header.resize(size as usize, 0);
        with_file_header(&[&header, behind].concat(), data)
    }

    fn with_file_header(header: &[u8], data: &[u8]) -> Vec<u8> {
        let start = 14 + header.len() as u32;
        [&b"BM"[..], &[0; 8], &start.to_le_bytes(), header, data].concat()
    }

    fn decoded(file: &[u8]) -> Result<(Vec<[u8; 4]>, bool)> {
        let has_alpha = Bmp.probe(file)?.has_alpha;
        let (mut all, integrity) = decode(&Bmp, file, false)?;
        let pixels = packed(all.remove(0));
        assert!(has_alpha || !pixels.has_alpha(), "the header says that nothing is transparent");
        Ok((pixels.with_alpha().data.as_chunks::<4>().0.to_vec(), integrity == Integrity::Whole))
    }

    fn masks(masks: &[u32]) -> Vec<u8> {
        masks.iter().flat_map(|mask| mask.to_le_bytes()).collect()
    }

    const OPAQUE: [u32; 4] = [0xFF_0000, 0xFF00, 0xFF, 0xFF00_0000];

    #[test]
    fn every_bit_depth_and_header_version_is_decoded() {
        let rgb = |names: &[u32]| masks(names);
        let v4 = |compression: u32, alpha: u32, data: &[u8]| {
            let mut file = file(108, (1, 1), 32, compression, &[], data);
            file[54..70].copy_from_slice(&masks(&[OPAQUE[0], OPAQUE[1], OPAQUE[2], alpha]));
            file
        };
        let core = [&[12, 0, 0, 0, 2, 0, 1, 0, 1, 0, 8, 0][..], &[0, 0, 255, 0, 255, 0], &[0; 3 * 254]].concat();
        let table: Vec<(&str, Vec<u8>, Vec<[u8; 4]>)> = vec![
            ("1 bit", file(40, (3, 1), 1, 0, &PALETTE[..8], &[0x40, 0, 0, 0]), vec![RED, GREEN, RED]),
            ("2 bits", file(40, (3, 1), 2, 0, &PALETTE, &[0x18, 0, 0, 0]), vec![RED, GREEN, BLUE]),
            ("4 bits", file(40, (3, 1), 4, 0, &PALETTE, &[0x21, 0, 0, 0]), vec![BLUE, GREEN, RED]),
            ("8 bits", file(40, (3, 1), 8, 0, &PALETTE, &[2, 1, 9, 0]), vec![BLUE, GREEN, BLACK]),
            ("16 bits", file(40, (2, 1), 16, 0, &[], &[0x1F, 0, 0, 0x7C]), vec![BLUE, RED]),
            ("24 bits", file(40, (1, 1), 24, 0, &[], &[255, 0, 0, 0]), vec![BLUE]),
            ("32 bits", file(40, (1, 1), 32, 0, &[], &[0, 0, 255, 7]), vec![RED]),
            (
                "BI_BITFIELDS of 16 bits",
                file(40, (2, 1), 16, 3, &rgb(&[0xF800, 0x7E0, 0x1F]), &[0xE0, 7, 0, 0xF8]),
                vec![GREEN, RED],
            ),
            (
                "BI_BITFIELDS of 10 bits a channel",
                file(40, (1, 1), 32, 3, &rgb(&[0x3FF0_0000, 0xF_FC00, 0x3FF]), &[0xFF, 3, 0, 0]),
                vec![BLUE],
            ),
            ("an empty mask", file(40, (1, 1), 32, 3, &rgb(&[0xFF_0000, 0, 0xFF]), &[0, 9, 255, 0]), vec![RED]),
            ("overlapping masks", file(40, (1, 1), 32, 3, &rgb(&[0xFF, 0xFF, 0xFF00]), &[0, 255, 0, 0]), vec![BLUE]),
            ("BI_ALPHABITFIELDS", file(40, (1, 1), 32, 6, &masks(&OPAQUE), &[0, 0, 255, 128]), vec![[255, 0, 0, 128]]),
            ("alpha of BITMAPV4HEADER", v4(0, OPAQUE[3], &[0, 0, 255, 128]), vec![[255, 0, 0, 128]]),
            ("alpha that is 0 everywhere", v4(3, OPAQUE[3], &[0, 0, 255, 0]), vec![[255, 0, 0, 0]]),
            ("BITMAPV4HEADER without alpha", v4(3, 0, &[0, 0, 255, 0]), vec![RED]),
            ("OS/2 version 1", with_file_header(&core, &[1, 0, 0, 0]), vec![GREEN, RED]),
            ("OS/2 version 2", file(64, (3, 1), 8, 0, &PALETTE, &[2, 1, 0, 0]), vec![BLUE, GREEN, RED]),
            ("OS/2 version 2, short", file(16, (1, 1), 24, 0, &[], &[255, 0, 0, 0]), vec![BLUE]),
            ("top down", file(40, (1, -2), 24, 0, &[], &[0, 0, 255, 0, 255, 0, 0, 0]), vec![RED, BLUE]),
            ("bottom up", file(40, (1, 2), 24, 0, &[], &[0, 0, 255, 0, 255, 0, 0, 0]), vec![BLUE, RED]),
            ("without padding of the last row", file(40, (1, 1), 24, 0, &[], &[255, 0, 0]), vec![BLUE]),
        ];
        for (name, file, expected) in table {
            assert_eq!(decoded(&file).expect(name), (expected, true), "{name}");
        }
    }

    #[test]
    fn rle_is_decoded() {
        let eight = |height: i32, data: &[u8]| file(40, (3, height), 8, 1, &PALETTE, data);
        let four = |data: &[u8]| file(40, (3, 2), 4, 2, &PALETTE, data);
        let wide = |data: &[u8]| file(64, (3, 2), 24, 4, &[], data);
        let (reds, greens, blues) = ([RED; 3], [GREEN; 3], [BLUE; 3]);
        let table: Vec<(&str, Vec<u8>, [[[u8; 4]; 3]; 2], bool)> = vec![
            ("runs", eight(2, &[3, 1, 0, 0, 3, 2, 0, 1]), [blues, greens], true),
            ("runs from the top", eight(-2, &[3, 1, 0, 0, 3, 2, 0, 1]), [greens, blues], true),
            ("runs beyond the row", eight(2, &[9, 1, 0, 0, 9, 2, 0, 1]), [blues, greens], true),
            ("absolute mode", eight(2, &[3, 1, 0, 0, 0, 3, 0, 1, 2, 0, 0, 1]), [[RED, GREEN, BLUE], greens], true),
            ("absolute mode beyond the row", eight(2, &[0, 4, 1, 1, 1, 2, 0, 0, 3, 2]), [blues, greens], true),
            ("no end of bitmap", eight(2, &[3, 1, 0, 0, 3, 2]), [blues, greens], true),
            ("more rows than there are", eight(2, &[3, 1, 0, 0, 3, 2, 0, 0, 3, 0, 0, 1]), [blues, greens], true),
            ("a delta", eight(2, &[0, 2, 1, 1, 1, 1, 0, 1]), [[BLACK, GREEN, BLACK], [BLACK; 3]], true),
            ("only an end of bitmap", eight(2, &[0, 1]), [[BLACK; 3]; 2], true),
            ("RLE4", four(&[3, 0x12, 0, 0, 0, 3, 0x01, 0x20, 0, 1]), [[RED, GREEN, BLUE], [GREEN, BLUE, GREEN]], true),
            ("24 bits", wide(&[3, 0, 0, 255, 0, 0, 3, 255, 0, 0, 0, 1]), [blues, reds], true),
            (
                "24 bits, absolute mode",
                wide(&[0, 3, 0, 0, 255, 0, 255, 0, 255, 0, 0, 0, 0, 0, 3, 0, 0, 255, 0, 1]),
                [reds, [RED, GREEN, BLUE]],
                true,
            ),
            ("truncated", eight(2, &[3, 1, 0, 0, 2, 2]), [[BLUE, BLUE, CLEAR], greens], false),
            ("truncated in the first row", eight(2, &[2, 1, 3]), [[CLEAR; 3], [GREEN, GREEN, CLEAR]], false),
            ("truncated in absolute mode", eight(2, &[3, 1, 0, 0, 0, 3, 1]), [[CLEAR; 3], greens], false),
            ("truncated behind pixels 0 and 1", eight(2, &[3, 1, 0, 0, 0, 3, 0, 1]), [[CLEAR; 3], greens], false),
            ("pixels behind the row", eight(2, &[2, 1, 9, 2, 9, 0, 0, 0, 3, 2]), [blues, [GREEN, GREEN, BLUE]], true),
        ];
        for (name, file, rows, whole) in table {
            assert_eq!(decoded(&file).expect(name), (rows.as_flattened().to_vec(), whole), "{name}");
        }
    }

    #[test]
    fn truncated_file_keeps_its_rows() {
        let whole = file(40, (1, 3), 24, 0, &[], &[0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0]);
        for (length, expected, is_whole) in [
            (12, [BLUE, GREEN, RED], true),
            (11, [BLUE, GREEN, RED], true),
            (10, [CLEAR, GREEN, RED], false),
            (7, [CLEAR, GREEN, RED], false),
            (3, [CLEAR, CLEAR, RED], false),
        ] {
            let cut = &whole[..whole.len() - 12 + length];
            assert_eq!(decoded(cut).expect("some of it"), (expected.to_vec(), is_whole), "{length}");
        }
        for length in 0..whole.len() - 10 {
            let result = decoded(&whole[..length]);
            assert!(matches!(result, Err(Error::Malformed { .. })), "{length}: {result:?}");
        }
    }

    #[test]
    fn invalid_pixel_offset_means_behind_the_palette() {
        let sound = file(40, (3, 1), 8, 0, &PALETTE, &[2, 1, 0, 0]);
        for start in [0_u32, 14, 30, 53] {
            let mut file = sound.clone();
            file[10..14].copy_from_slice(&start.to_le_bytes());
            assert_eq!(decoded(&file).expect("a start"), (vec![BLUE, GREEN, RED], true), "{start}");
        }
    }

    #[test]
    fn unsupported_and_invalid_headers_are_refused() {
        let with = |at: usize, bytes: &[u8]| {
            let mut file = file(40, (1, 1), 24, 0, &[], &[1, 2, 3, 0]);
            file[at..at + bytes.len()].copy_from_slice(bytes);
            file
        };
        let table: Vec<(&str, Vec<u8>, bool)> = vec![
            ("no columns", with(18, &[0; 4]), false),
            ("a negative width", with(18, &[255; 4]), false),
            ("no rows", with(22, &[0; 4]), false),
            ("the most negative height", with(22, &[0, 0, 0, 0x80]), false),
            ("3 bits", with(28, &[3]), true),
            ("a header of 100 bytes", with(14, &[100]), true),
            ("a JPEG file", with(28, &[0, 0, 4]), true),
            ("a PNG file", with(28, &[0, 0, 5]), true),
            ("Huffman 1D", with(28, &[1, 0, 3]), true),
            ("CMYK", with(30, &[11]), true),
            ("pixels outside of the file", with(10, &[0, 1]), false),
            ("masks with gaps", file(40, (1, 1), 32, 3, &masks(&[0xF0F0, 0xF00, 0xFF]), &[0; 4]), false),
        ];
        for (name, file, is_unsupported) in table {
            match decoded(&file) {
                Err(Error::Unsupported { .. }) => assert!(is_unsupported, "{name}"),
                Err(Error::Malformed { .. }) => assert!(!is_unsupported, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
