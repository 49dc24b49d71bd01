//! The file header and info header of a BMP.
//!
//! The size of the info header tells its version: `BITMAPCOREHEADER` of OS/2 1.x (12 bytes), `BITMAPINFOHEADER` to `BITMAPV5HEADER` (40,
//! 52, 56, 108, 124), or OS/2 2.x (16 to 64), which begins like `BITMAPINFOHEADER` and may end anywhere.

use super::FORMAT;
use tintype_pixels::error::{Error, Result};

/// Bytes of `BITMAPFILEHEADER`.
const FILE_HEADER: usize = 14;

/// The fields that decoding needs.
pub(super) struct Header {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Whether the first stored row is the top one.
    pub(super) top_down: bool,
    /// Bits of a pixel.
    pub(super) bits: usize,
    pub(super) compression: Compression,
    /// Masks of red, green, blue and alpha, where there is no palette.
    pub(super) masks: [u32; 4],
    /// RGB.
    pub(super) palette: Vec<[u8; 3]>,
    /// The offset of the pixels in the file.
    data: usize,
}

/// The storage of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    /// Uncompressed rows.
    None,
    /// Run lengths of pixels with 4, 8 or 24 bits.
    Rle(usize),
}

impl Header {
    pub(super) fn read(file: &[u8]) -> Result<Header> {
        let damaged = |reason: &str| Error::malformed(FORMAT, reason);
        let cut_off = || damaged("its header is truncated");
        let start = u32_at(file, 10).ok_or_else(cut_off)? as usize;
        let size = u32_at(file, FILE_HEADER).ok_or_else(cut_off)? as usize;
        if !matches!(size, 12 | 16..=64 | 108 | 124) || size % 2 == 1 {
            return Err(Error::unsupported(FORMAT, format!("it has a header of {size} bytes")));
        }
        let header = file.get(FILE_HEADER..FILE_HEADER + size).ok_or_else(cut_off)?;
        let field = |at: usize| u32_at(header, at).unwrap_or(0);
        let half = |at: usize| header.get(at..at + 2).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
        let is_core = size == 12;
        let (width, height, bits) = match is_core {
            true => (i32::from(half(4)), i32::from(half(6)), half(10)),
            false => (field(4).cast_signed(), field(8).cast_signed(), half(14)),
        };
        if width <= 0 || height == 0 || height == i32::MIN {
            return Err(damaged(&format!("its header says {width}x{height} pixels")));
        }
        let (compression, has_masks) = compression(bits, field(16))?;
        let mut behind = FILE_HEADER + size;
        let mut masks = default_masks(bits);
        let (holds_rgb_masks, holds_alpha_mask) = (matches!(size, 52 | 56 | 108 | 124), matches!(size, 56 | 108 | 124));
        if has_masks {
            let count = if field(16) == 6 { 4 } else { 3 };
            let at = if holds_rgb_masks { FILE_HEADER + 40 } else { behind };
            for (number, mask) in masks.iter_mut().enumerate().take(count) {
                *mask = u32_at(file, at + 4 * number).ok_or_else(cut_off)?;
            }
            behind += if holds_rgb_masks { 0 } else { 4 * count };
        }
        if holds_alpha_mask {
            masks[3] = field(52);
        }
        // some masks have bits beyond the pixel
        let all = u32::MAX >> (32 - u32::from(bits));
        let masks = masks.map(|mask| mask & all);
        let has_gaps = |mask: u32| {
            mask != 0 && (mask >> mask.trailing_zeros()).wrapping_add(1) & (mask >> mask.trailing_zeros()) != 0
        };
        if bits > 8 && masks.into_iter().any(has_gaps) {
            return Err(damaged("its masks have gaps"));
        }
        let (palette, behind) = palette(file, behind, bits, field(32), if is_core { 3 } else { 4 });
        Ok(Header {
            width: width as usize,
            height: height.unsigned_abs() as usize,
            top_down: height < 0,
            bits: bits.into(),
            compression,
            masks: if bits > 8 { masks } else { [0; 4] },
            palette,
            // an offset inside of the headers is replaced by their end
            data: if start < FILE_HEADER + size { behind } else { start },
        })
    }

    /// Bytes from one row to the next.
    pub(super) fn stride(&self) -> usize {
        (self.width * self.bits).div_ceil(32) * 4
    }

    /// Bytes of a row without padding.
    pub(super) fn row(&self) -> usize {
        (self.width * self.bits).div_ceil(8)
    }

    /// The stored pixels.
    pub(super) fn pixels<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        file.get(self.data..).unwrap_or_default()
    }

    /// Whether uncompressed data are too short for the rows.
    pub(super) fn is_truncated(&self, data: &[u8]) -> bool {
        data.len() < self.stride() * (self.height - 1) + self.row()
    }

    /// The row from the top of the stored row with that number.
    pub(super) fn row_at(&self, stored: usize) -> usize {
        if self.top_down { stored } else { self.height - 1 - stored }
    }

    /// A colour of the palette; indices behind its end are black.
    pub(super) fn colour(&self, index: u8) -> [u8; 3] {
        self.palette.get(usize::from(index)).copied().unwrap_or([0; 3])
    }
}

/// The storage of pixels, and whether masks follow the header (`BI_BITFIELDS`, `BI_ALPHABITFIELDS`).
fn compression(bits: u16, method: u32) -> Result<(Compression, bool)> {
    let unsupported = |reason: &str| Err(Error::unsupported(FORMAT, reason));
    match (method, bits) {
        (0, 1 | 2 | 4 | 8 | 16 | 24 | 32) => Ok((Compression::None, false)),
        // some files state fewer bits, for a smaller palette
        (1, 1 | 2 | 4 | 8) => Ok((Compression::Rle(8), false)),
        (2, 1 | 2 | 4) => Ok((Compression::Rle(4), false)),
        (3 | 6, 16 | 32) => Ok((Compression::None, true)),
        (4, 24) => Ok((Compression::Rle(24), false)),
        (3, 1) => unsupported("its compression is Huffman 1D"),
        (4 | 5, 0) => unsupported("it holds a JPEG or PNG file"),
        (11..=13, _) => unsupported("its colour space is CMYK"),
        _ => unsupported(&format!("it has {bits} bits a pixel in compression {method}")),
    }
}

/// The masks of `BI_RGB`.
fn default_masks(bits: u16) -> [u32; 4] {
    if bits == 16 { [0x7C00, 0x03E0, 0x001F, 0] } else { [0xFF_0000, 0xFF00, 0xFF, 0] }
}

/// The palette, and its end in the file. Entries behind the end of the file are left out.
fn palette(file: &[u8], at: usize, bits: u16, used: u32, length: usize) -> (Vec<[u8; 3]>, usize) {
    if bits > 8 {
        return (Vec::new(), at);
    }
    let (max, used) = (1 << bits, used as usize);
    let end = at + if used == 0 || used > max { max } else { used } * length;
    let stored = file.get(at..end.min(file.len())).unwrap_or_default();
    (stored.chunks_exact(length).map(|colour| [colour[2], colour[1], colour[0]]).collect(), end)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|&bytes| u32::from_le_bytes(bytes))
}
