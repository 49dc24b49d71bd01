//! Run lengths of BMP: `BI_RLE8` and `BI_RLE4` of Windows, and those of 24 bits of OS/2.
//!
//! Real files let runs go beyond the end of a row and leave out the end of the last one or of the picture. What goes beyond is
//! left out, and pixels that are passed over are black, as in Chromium.

use super::Read;
use super::header::Header;

/// Reads as much as there is of pixels of so many bits. Where the data ends too early the rest is transparent.
pub(super) fn read(header: &Header, unit: usize, data: &[u8]) -> Read {
    let (width, height) = (header.width, header.height);
    let mut samples = vec![0; width * height * 3];
    let mut runs = Runs { header, unit, data, x: 0, y: 0, samples: &mut samples };
    if runs.all().is_some() {
        return Read { channels: 3, samples, rows: height, is_whole: true };
    }
    let (x, y) = (runs.x.min(width), runs.y);
    let rows = (y + usize::from(x > 0)).min(height);
    let shows = |row: usize, column: usize| row < y || row == y && column < x;
    let pixels = samples.as_chunks::<3>().0.iter().enumerate();
    let samples = pixels.flat_map(|(at, &[r, g, b])| {
        // both ways of counting rows are their own inverse
        if shows(header.row_at(at / width), at % width) { [r, g, b, 255] } else { [0; 4] }
    });
    Read { channels: 4, samples: samples.collect(), rows, is_whole: false }
}

struct Runs<'a> {
    header: &'a Header,
    /// Bits of a pixel: 4, 8 or 24.
    unit: usize,
    data: &'a [u8],
    x: usize,
    /// In the order of the file.
    y: usize,
    samples: &'a mut [u8],
}

impl Runs<'_> {
    /// Reads up to the end; `None` where the data ends before.
    fn all(&mut self) -> Option<()> {
        let (width, height) = (self.header.width, self.header.height);
        while self.y < height {
            // some leave out what says that they end
            let Some(&[count, code]) = self.data.first_chunk() else {
                return (self.y + 1 == height && self.x >= width).then_some(());
            };
            match (count, code) {
                (0, 0) => {
                    (self.x, self.y) = (0, self.y + 1);
                    self.take(2)?;
                }
                (0, 1) => return Some(()),
                (0, 2) => {
                    let step = self.take(4)?;
                    (self.x, self.y) = (self.x + usize::from(step[2]), self.y + usize::from(step[3]));
                }
                (0, count) => {
                    let count = usize::from(count);
                    let length = (count * self.unit).div_ceil(8);
                    // of an even number; the last may be without what fills it up
                    let padded = 2 + length.next_multiple_of(2);
                    let pixels = self.data.get(2..2 + length)?;
                    self.data = self.data.get(padded..).unwrap_or_default();
                    (0..count).for_each(|at| self.put(self.pixel(pixels, at)));
                }
                (count, _) => {
                    let pixels = &self.take(1 + self.unit.div_ceil(8))?[1..];
                    // two nibbles take turns
                    let repeats = if self.unit == 4 { 2 } else { 1 };
                    (0..usize::from(count)).for_each(|at| self.put(self.pixel(pixels, at % repeats)));
                }
            }
        }
        Some(())
    }

    fn pixel(&self, pixels: &[u8], at: usize) -> [u8; 3] {
        match self.unit {
            4 => self.header.colour(if at.is_multiple_of(2) { pixels[at / 2] >> 4 } else { pixels[at / 2] & 15 }),
            8 => self.header.colour(pixels[at]),
            _ => [pixels[3 * at + 2], pixels[3 * at + 1], pixels[3 * at]],
        }
    }

    fn put(&mut self, colour: [u8; 3]) {
        if self.x < self.header.width {
            let at = (self.header.row_at(self.y) * self.header.width + self.x) * 3;
            self.samples[at..at + 3].copy_from_slice(&colour);
        }
        self.x += 1;
    }
}

impl<'a> Runs<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.data.split_at_checked(length)?;
        self.data = rest;
        Some(taken)
    }
}
