//! A BMP without file header: pixels with an AND mask.

use super::failure::{Failure, malformed, u32_at};

/// A BMP without file header.
pub(super) struct Bitmap<'a> {
    /// Columns.
    pub(super) width: u32,
    /// Rows of pixels.
    pub(super) height: u32,
    /// Bits of a pixel.
    pub(super) bits: usize,
    /// Whether the first stored row is the top one.
    top_down: bool,
    /// Entries of blue, green, red and a reserved byte.
    palette: &'a [[u8; 4]],
    /// Masks of red, green, blue and alpha, for pixels of 16 or 32 bits.
    masks: [u32; 4],
    /// The rows that are in the file, padded to four bytes.
    pixels: &'a [u8],
    /// The AND mask: a bit a pixel, 1 is transparent; rows are padded to four bytes. Empty if truncated.
    and_mask: &'a [u8],
    /// The missing part, for the log.
    pub(super) missing: Option<&'static str>,
}

impl<'a> Bitmap<'a> {
    /// Reads a `BITMAPINFOHEADER` or a later version.
    pub(super) fn read(data: &'a [u8]) -> Result<Bitmap<'a>, Failure> {
        let cut_off = || malformed("a BMP entry is truncated");
        let header: &[u8; 40] = data.first_chunk().ok_or_else(cut_off)?;
        let field = |at| u32_at(header, at).map_or(0, |value| value);
        let (size, compression, used) = (field(0) as usize, field(16), field(32) as usize);
        let bits = usize::from(header[14]) | usize::from(header[15]) << 8;
        if !(40..=4096).contains(&size) {
            return Err(malformed(format!("a BMP entry has a header of {size} bytes")));
        }
        if !matches!((bits, compression), (1 | 2 | 4 | 8 | 16 | 24 | 32, 0) | (16 | 32, 3 | 6)) {
            return Err(Failure::Unsupported(format!("a BMP entry of {bits} bits, compression {compression}")));
        }
        let (width, height) = (field(4) as i32, field(8) as i32);
        let (pixel_width, pixel_height) = (width.max(0) as usize, height.unsigned_abs() as usize / 2);
        if pixel_width == 0 || pixel_height == 0 || height == i32::MIN {
            return Err(malformed(format!("a BMP entry has {width}x{height} pixels")));
        }
        // three or four masks follow a header of 40 bytes; longer headers include them
        let masks_after = if size == 40 && compression != 0 { if compression == 6 { 16 } else { 12 } } else { 0 };
        let colours = if bits <= 8 && (used == 0 || used > 1 << bits) { 1 << bits } else { used };
        let palette_at = size + masks_after;
        let pixels_at = colours.checked_mul(4).and_then(|length| length.checked_add(palette_at)).ok_or_else(cut_off)?;
        let palette = data.get(palette_at..pixels_at).ok_or_else(cut_off)?;
        // at most 2^31 times 32 bits, times 2^30 rows
        let mask_at = pixels_at + stride(pixel_width, bits) * pixel_height;
        let pixels = &data[pixels_at..mask_at.min(data.len())];
        if pixels.len() < stride(pixel_width, bits) {
            return Err(cut_off());
        }
        let mask = data.get(mask_at..mask_at + stride(pixel_width, 1) * pixel_height);
        let missing = match mask {
            _ if data.len() < mask_at => Some("its pixels are truncated"),
            // 32-bit images usually have alpha, and need no AND mask
            None if bits < 32 => Some("its AND mask is truncated"),
            _ => None,
        };
        Ok(Bitmap {
            width: pixel_width as u32,
            height: pixel_height as u32,
            bits,
            top_down: height < 0,
            palette: palette.as_chunks().0,
            masks: masks(data, bits, compression, size),
            pixels,
            and_mask: mask.unwrap_or_default(),
            missing,
        })
    }

    /// The pixels as RGBA with straight alpha.
    pub(super) fn decode(&self, width: usize, height: usize) -> Vec<u8> {
        let mut rgba = vec![0; width * height * 4];
        let pixel_rows = self.pixels.chunks_exact(stride(width, self.bits));
        for (index, stored) in pixel_rows.enumerate() {
            let row = if self.top_down { index } else { height - 1 - index };
            let out = rgba[row * width * 4..][..width * 4].as_chunks_mut::<4>().0;
            out.iter_mut().enumerate().for_each(|(x, out)| *out = self.pixel(stored, x));
        }
        let opacity = |rgba: &[u8]| rgba.as_chunks::<4>().0.iter().any(|pixel| pixel[3] != 0);
        if self.bits == 32 && opacity(&rgba) {
            return rgba;
        }
        // missing rows stay transparent
        let decoded = self.pixels.len() / stride(width, self.bits) * width * 4;
        let rows = if self.top_down { 0..decoded } else { rgba.len() - decoded..rgba.len() };
        rgba[rows].as_chunks_mut::<4>().0.iter_mut().for_each(|pixel| pixel[3] = 255);
        self.apply_and_mask(&mut rgba, width, height);
        rgba
    }

    /// Applies the AND mask.
    fn apply_and_mask(&self, rgba: &mut [u8], width: usize, height: usize) {
        for (index, stored) in self.and_mask.chunks_exact(stride(width, 1)).enumerate() {
            let row = if self.top_down { index } else { height - 1 - index };
            let out = rgba[row * width * 4..][..width * 4].as_chunks_mut::<4>().0;
            for (x, pixel) in out.iter_mut().enumerate() {
                if stored[x / 8] >> (7 - x % 8) & 1 == 1 {
                    pixel[3] = 0;
                }
            }
        }
    }

    /// A pixel of a row as RGBA.
    fn pixel(&self, row: &[u8], x: usize) -> [u8; 4] {
        match self.bits {
            1 | 2 | 4 | 8 => {
                let at = x * self.bits;
                let index = row[at / 8] >> (8 - self.bits - at % 8) & (0xFF >> (8 - self.bits));
                // indices behind the palette are black, as in Windows
                let [b, g, r, _] = self.palette.get(usize::from(index)).map_or([0; 4], |&colour| colour);
                [r, g, b, 255]
            }
            24 => [row[3 * x + 2], row[3 * x + 1], row[3 * x], 255],
            bits => {
                let size = bits / 8;
                let value = row[x * size..][..size].iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte));
                self.masks.map(|mask| scale(value, mask))
            }
        }
    }
}

/// Bytes of a row, padded to four.
fn stride(width: usize, bits: usize) -> usize {
    (width * bits).div_ceil(32) * 4
}

/// Masks of red, green, blue and alpha. `BI_BITFIELDS` (3) has those of the colours, `BI_ALPHABITFIELDS` (6) and headers of 56 bytes
/// and more have that of alpha, too; all are at the same offset. Of 16 bits the alpha is not used: their AND mask counts.
fn masks(data: &[u8], bits: usize, compression: u32, size: usize) -> [u32; 4] {
    let standard = if bits == 16 { [0x7C00, 0x03E0, 0x001F, 0] } else { [0xFF_0000, 0xFF00, 0xFF, 0xFF00_0000] };
    if compression == 0 {
        return standard;
    }
    let stored = |index: usize| u32_at(data, 40 + 4 * index).map_or(0, |mask| mask);
    let has_alpha = bits == 32 && (size >= 56 || compression == 6);
    let alpha = if has_alpha { stored(3) } else { standard[3] };
    [stored(0), stored(1), stored(2), alpha]
}

/// The masked bits scaled to 0 to 255.
fn scale(value: u32, mask: u32) -> u8 {
    let shift = mask.trailing_zeros().min(31);
    let max = u64::from(mask >> shift);
    if max == 0 {
        return 0;
    }
    (u64::from((value & mask) >> shift) * 255 / max) as u8
}
