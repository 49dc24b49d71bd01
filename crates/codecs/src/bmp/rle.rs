//! `BI_RLE8` and `BI_RLE4` of Windows, and RLE24 of OS/2.
//!
//! Runs may exceed the row, and the last end of line or the end of bitmap may be missing. Excess pixels are dropped, and skipped
//! pixels are black, as in Chromium.

use super::Bitmap;
use super::header::Header;

/// Decodes pixels of `bits` bits as far as the data go. Missing pixels are transparent.
pub(super) fn read(header: &Header, bits: usize, data: &[u8]) -> Bitmap {
    let (width, height) = (header.width, header.height);
    let mut samples = vec![0; width * height * 3];
    let mut decoder = Decoder { header, bits, data, x: 0, y: 0, samples: &mut samples };
    if decoder.run().is_some() {
        return Bitmap { channels: 3, samples, rows: height, is_whole: true };
    }
    let (x, y) = (decoder.x.min(width), decoder.y);
    let rows = (y + usize::from(x > 0)).min(height);
    let is_decoded = |row: usize, column: usize| row < y || row == y && column < x;
    let pixels = samples.as_chunks::<3>().0.iter().enumerate();
    let samples = pixels.flat_map(|(at, &[r, g, b])| {
        // row_at is its own inverse
        if is_decoded(header.row_at(at / width), at % width) { [r, g, b, 255] } else { [0; 4] }
    });
    Bitmap { channels: 4, samples: samples.collect(), rows, is_whole: false }
}

/// Whether the data are complete, without decoding pixels.
pub(super) fn is_whole(header: &Header, bits: usize, data: &[u8]) -> bool {
    Decoder { header, bits, data, x: 0, y: 0, samples: &mut [] }.run().is_some()
}

struct Decoder<'a> {
    header: &'a Header,
    /// Bits of a pixel: 4, 8 or 24.
    bits: usize,
    data: &'a [u8],
    x: usize,
    /// The number of the row in the order of the file.
    y: usize,
    /// RGB of all rows; empty where pixels are not wanted.
    samples: &'a mut [u8],
}

impl Decoder<'_> {
    /// Decodes up to the end of bitmap; `None` where the data end before.
    fn run(&mut self) -> Option<()> {
        let (width, height) = (self.header.width, self.header.height);
        while self.y < height {
            // a missing end of bitmap is no damage
            let Some(&[count, code]) = self.data.first_chunk() else {
                return (self.y + 1 == height && self.x >= width).then_some(());
            };
            match (count, code) {
                // end of line
                (0, 0) => {
                    (self.x, self.y) = (0, self.y + 1);
                    self.take(2)?;
                }
                // end of bitmap
                (0, 1) => return Some(()),
                // delta
                (0, 2) => {
                    let delta = self.take(4)?;
                    (self.x, self.y) = (self.x + usize::from(delta[2]), self.y + usize::from(delta[3]));
                }
                // absolute mode
                (0, count) => {
                    let count = usize::from(count);
                    let length = (count * self.bits).div_ceil(8);
                    // padded to an even length; the last padding may be missing
                    let padded = 2 + length.next_multiple_of(2);
                    let pixels = self.data.get(2..2 + length)?;
                    self.data = self.data.get(padded..).unwrap_or_default();
                    self.put(count, pixels, count);
                }
                // encoded mode
                (count, _) => {
                    let pixels = &self.take(1 + self.bits.div_ceil(8))?[1..];
                    // RLE4 alternates between two colours
                    let period = if self.bits == 4 { 2 } else { 1 };
                    self.put(count.into(), pixels, period);
                }
            }
        }
        Some(())
    }

    fn pixel(&self, pixels: &[u8], at: usize) -> [u8; 3] {
        match self.bits {
            4 => self.header.colour(if at.is_multiple_of(2) { pixels[at / 2] >> 4 } else { pixels[at / 2] & 15 }),
            8 => self.header.colour(pixels[at]),
            _ => [pixels[3 * at + 2], pixels[3 * at + 1], pixels[3 * at]],
        }
    }

    /// Writes a run of `count` pixels, which repeats the first `period` of `pixels`. Those beyond the row take no time.
    fn put(&mut self, count: usize, pixels: &[u8], period: usize) {
        let visible = count.min(self.header.width.saturating_sub(self.x));
        if visible > 0 && !self.samples.is_empty() {
            let start = (self.header.row_at(self.y) * self.header.width + self.x) * 3;
            for number in 0..visible {
                let colour = self.pixel(pixels, number % period);
                self.samples[start + 3 * number..][..3].copy_from_slice(&colour);
            }
        }
        self.x += count;
    }
}

impl<'a> Decoder<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.data.split_at_checked(length)?;
        self.data = rest;
        Some(taken)
    }
}
