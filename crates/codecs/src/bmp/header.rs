//! The headers of a BMP file.
//!
//! The second header says its own size, and by that which of its many versions it is: OS/2 version 1 (12 bytes), Windows
//! (40, 52, 56, 108, 124) or OS/2 version 2 (16 to 64), which begins as that of Windows and may end anywhere.

use super::FORMAT;
use tintype_pixels::error::{Error, Result};

/// The length of the first header.
const FILE: usize = 14;

/// The fields of a file's headers that decoding needs.
pub(super) struct Header {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Whether the first row is the top one.
    pub(super) top_down: bool,
    /// Of a pixel.
    pub(super) bits: usize,
    pub(super) coding: Coding,
    /// Which bits are red, green, blue and alpha, where there is no palette.
    pub(super) masks: [u32; 4],
    /// Red, green and blue of each colour.
    pub(super) palette: Vec<[u8; 3]>,
    /// Where in the file the pixels begin.
    pub(super) data: usize,
}

/// How pixels are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Row by row.
    Rows,
    /// As run lengths of pixels of so many bits: 4, 8 or 24.
    Runs(usize),
}

impl Header {
    pub(super) fn read(file: &[u8]) -> Result<Header> {
        let damaged = |reason: &str| Error::malformed(FORMAT, reason);
        let cut_off = || damaged("its header is cut off");
        let start = u32_at(file, 10).ok_or_else(cut_off)? as usize;
        let size = u32_at(file, FILE).ok_or_else(cut_off)? as usize;
        if !matches!(size, 12 | 16..=64 | 108 | 124) || size % 2 == 1 {
            return Err(Error::unsupported(FORMAT, format!("it has a header of {size} bytes")));
        }
        let header = file.get(FILE..FILE + size).ok_or_else(cut_off)?;
        let field = |at: usize| u32_at(header, at).unwrap_or(0);
        let half = |at: usize| header.get(at..at + 2).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
        let is_first = size == 12;
        let (width, height, bits) = match is_first {
            true => (i32::from(half(4)), i32::from(half(6)), half(10)),
            false => (field(4).cast_signed(), field(8).cast_signed(), half(14)),
        };
        if width <= 0 || height == 0 || height == i32::MIN {
            return Err(damaged(&format!("its header says {width}x{height} pixels")));
        }
        let (coding, has_masks) = coding(bits, field(16))?;
        let mut behind = FILE + size;
        let mut masks = plain_masks(bits);
        let (names_colours, names_alpha) = (matches!(size, 52 | 56 | 108 | 124), matches!(size, 56 | 108 | 124));
        if has_masks {
            let count = if field(16) == 6 { 4 } else { 3 };
            let at = if names_colours { FILE + 40 } else { behind };
            for (number, mask) in masks.iter_mut().enumerate().take(count) {
                *mask = u32_at(file, at + 4 * number).ok_or_else(cut_off)?;
            }
            behind += if names_colours { 0 } else { 4 * count };
        }
        if names_alpha {
            masks[3] = field(52);
        }
        // some name bits that pixels do not have
        let all = u32::MAX >> (32 - u32::from(bits));
        let masks = masks.map(|mask| mask & all);
        let has_gaps = |mask: u32| {
            mask != 0 && (mask >> mask.trailing_zeros()).wrapping_add(1) & (mask >> mask.trailing_zeros()) != 0
        };
        if bits > 8 && masks.into_iter().any(has_gaps) {
            return Err(damaged("its masks have gaps"));
        }
        let (palette, behind) = palette(file, behind, bits, field(32), if is_first { 3 } else { 4 });
        Ok(Header {
            width: width as usize,
            height: height.unsigned_abs() as usize,
            top_down: height < 0,
            bits: bits.into(),
            coding,
            masks: if bits > 8 { masks } else { [0; 4] },
            palette,
            // where it cannot be, it is taken to be behind all else
            data: if start < FILE + size { behind } else { start },
        })
    }

    /// Bytes from one row to the next.
    pub(super) fn stride(&self) -> usize {
        (self.width * self.bits).div_ceil(32) * 4
    }

    /// Bytes of a row without what fills it up.
    pub(super) fn row(&self) -> usize {
        (self.width * self.bits).div_ceil(8)
    }

    /// Whether the file is too short for its rows, or its run lengths do not say that they end.
    pub(super) fn seems_cut_off(&self, file: &[u8]) -> bool {
        let data = file.get(self.data..).unwrap_or_default();
        match self.coding {
            Coding::Rows => data.len() < self.stride() * (self.height - 1) + self.row(),
            Coding::Runs(_) => !data[data.len().saturating_sub(8)..].windows(2).any(|pair| pair == [0, 1]),
        }
    }

    /// The row of the picture that is stored at that place.
    pub(super) fn row_at(&self, stored: usize) -> usize {
        if self.top_down { stored } else { self.height - 1 - stored }
    }

    /// A colour of the palette; one beyond it is black.
    pub(super) fn colour(&self, index: u8) -> [u8; 3] {
        self.palette.get(usize::from(index)).copied().unwrap_or([0; 3])
    }
}

/// How pixels of so many bits are stored, and whether the masks of colours are named.
fn coding(bits: u16, compression: u32) -> Result<(Coding, bool)> {
    let unsupported = |reason: &str| Err(Error::unsupported(FORMAT, reason));
    match (compression, bits) {
        (0, 1 | 2 | 4 | 8 | 16 | 24 | 32) => Ok((Coding::Rows, false)),
        // some say fewer bits, as their palettes have fewer colours
        (1, 1 | 2 | 4 | 8) => Ok((Coding::Runs(8), false)),
        (2, 1 | 2 | 4) => Ok((Coding::Runs(4), false)),
        (3 | 6, 16 | 32) => Ok((Coding::Rows, true)),
        (4, 24) => Ok((Coding::Runs(24), false)),
        (3, 1) => unsupported("its pixels are coded as those of a fax"),
        (4 | 5, 0) => unsupported("it holds a JPEG or PNG file"),
        (11..=13, _) => unsupported("its colours are those of inks"),
        _ => unsupported(&format!("it has {bits} bits a pixel in compression {compression}")),
    }
}

/// The bits of red, green, blue and alpha where nothing says otherwise.
fn plain_masks(bits: u16) -> [u32; 4] {
    if bits == 16 { [0x7C00, 0x03E0, 0x001F, 0] } else { [0xFF_0000, 0xFF00, 0xFF, 0] }
}

/// The palette, and where it ends. Colours behind the end of the file are left out.
fn palette(file: &[u8], at: usize, bits: u16, said: u32, length: usize) -> (Vec<[u8; 3]>, usize) {
    if bits > 8 {
        return (Vec::new(), at);
    }
    let (most, said) = (1 << bits, said as usize);
    let end = at + if said == 0 || said > most { most } else { said } * length;
    let stored = file.get(at..end.min(file.len())).unwrap_or_default();
    (stored.chunks_exact(length).map(|colour| [colour[2], colour[1], colour[0]]).collect(), end)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|&bytes| u32::from_le_bytes(bytes))
}
