//! Uncompressed pixels.

use super::Bitmap;
use super::header::Header;

/// Decodes the complete rows. Missing rows are transparent.
pub(super) fn read(header: &Header, data: &[u8]) -> Bitmap {
    let (width, height) = (header.width, header.height);
    let rows = data.chunks(header.stride()).take(height).filter(|row| row.len() >= header.row());
    let complete = (data.len() + header.stride() - header.row()) / header.stride();
    let channels = if header.masks[3] != 0 || complete < height { 4 } else { 3 };
    let mut samples = vec![0; width * height * channels];
    for (stored, row) in rows.enumerate() {
        let at = header.row_at(stored) * width * channels;
        put(header, row, channels, &mut samples[at..at + width * channels]);
    }
    Bitmap { channels, samples, rows: complete.min(height), is_whole: complete >= height }
}

fn put(header: &Header, row: &[u8], channels: usize, out: &mut [u8]) {
    let pixels = out.chunks_exact_mut(channels).enumerate();
    match header.bits {
        bits @ (1 | 2 | 4 | 8) => pixels.for_each(|(x, pixel)| {
            let at = x * bits;
            let index = row[at / 8] >> (8 - bits - at % 8) & (0xFF >> (8 - bits));
            pixel[..3].copy_from_slice(&header.colour(index));
            pixel[3..].fill(255);
        }),
        24 if header.masks[3] == 0 => pixels.for_each(|(x, pixel)| {
            pixel[..3].copy_from_slice(&[row[3 * x + 2], row[3 * x + 1], row[3 * x]]);
            pixel[3..].fill(255);
        }),
        bits => {
            let fields = header.masks.map(Field::new);
            pixels.for_each(|(x, pixel)| {
                let stored = &row[x * bits / 8..][..bits / 8];
                let value = stored.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte));
                pixel.iter_mut().zip(&fields).for_each(|(sample, field)| *sample = field.read(value));
                if header.masks[3] == 0 {
                    pixel[3..].fill(255);
                }
            });
        }
    }
}

/// A bit field of a pixel.
struct Field {
    shift: u32,
    /// The largest value; 0 for an empty mask.
    max: u32,
}

impl Field {
    /// Uses the highest 8 bits of the mask.
    fn new(mask: u32) -> Field {
        if mask == 0 {
            return Field { shift: 0, max: 0 };
        }
        let excess = mask.count_ones().saturating_sub(8);
        let shift = mask.trailing_zeros() + excess;
        Field { shift, max: mask >> shift }
    }

    /// The value scaled to 0 to 255.
    fn read(&self, value: u32) -> u8 {
        if self.max == 0 {
            return 0;
        }
        (((value >> self.shift & self.max) * 255 + self.max / 2) / self.max) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_scaled_to_a_byte() {
        for (mask, value, expected) in [
            (0, 0xFFFF_FFFF, 0),
            (1, 1, 255),
            (0x7C00, 0x7C00, 255),
            (0x7C00, 0x4000, 132),
            (0x7E0, 0x7E0, 255),
            (0x3FF, 0x3FF, 255),
            (0x3FF, 0x200, 128),
            (0xFF00_0000, 0x8000_0000, 128),
            (0xFFFF_FFFF, 0x8000_0000, 128),
        ] {
            assert_eq!(Field::new(mask).read(value), expected, "{mask:x} of {value:x}");
        }
    }
}
