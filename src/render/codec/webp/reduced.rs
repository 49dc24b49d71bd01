//! Planes of macroblocks made smaller as they come: each pixel is the mean of those that it stands for.

use crate::render::geometry::Size;

/// Columns and rows of a macroblock in a plane: Y, Cb and Cr.
pub(super) fn side(plane: usize) -> usize {
    if plane == 0 { 16 } else { 8 }
}

/// A picture that is made smaller, to a half, a quarter or an eighth on each side.
pub(super) struct Reduced {
    size: Size,
    /// Pixels on each side that become one.
    factor: usize,
    /// Y, Cb and Cr so far, with rows of whole macroblocks.
    pub(super) planes: [Vec<u8>; 3],
    sums: Vec<u16>,
}

impl Reduced {
    /// For a picture of that size, to be made `eighths` of it: 1, 2 or 4.
    pub(super) fn new(size: Size, eighths: u32) -> Reduced {
        let (across, down) = (size.width.div_ceil(16) as usize, size.height.div_ceil(16) as usize);
        let factor = 8 / eighths as usize;
        let planes = std::array::from_fn(|plane| {
            let side = side(plane) / factor;
            Vec::with_capacity(across * down * side * side)
        });
        Reduced { size, factor, planes, sums: vec![0; across * 16] }
    }

    /// Takes the next row of macroblocks, the `y`th, of a plane.
    pub(super) fn add(&mut self, plane: usize, y: usize, rows: &[u8]) {
        let side = side(plane);
        let stride = rows.len() / side;
        // what is behind the last column and row of the picture does not count
        let share = 16 / side;
        let columns = (self.size.width as usize).div_ceil(share);
        let left = (self.size.height as usize).div_ceil(share) - y * side;
        let sums = &mut self.sums[..stride];
        for first in (0..side).step_by(self.factor) {
            sums.fill(0);
            for row in first..first + self.factor {
                let row = &rows[row.min(left - 1) * stride..][..stride];
                sums.iter_mut().zip(row).for_each(|(sum, &pixel)| *sum += u16::from(pixel));
            }
            let last = sums[columns - 1];
            sums[columns..].fill(last);
            let out = &mut self.planes[plane];
            match self.factor {
                2 => means::<2>(sums, out),
                4 => means::<4>(sums, out),
                _ => means::<8>(sums, out),
            }
        }
    }
}

/// The means of squares of pixels whose columns were added up.
fn means<const FACTOR: usize>(sums: &[u16], out: &mut Vec<u8>) {
    let (half, bits) = ((FACTOR * FACTOR / 2) as u16, 2 * FACTOR.trailing_zeros());
    out.extend(sums.as_chunks::<FACTOR>().0.iter().map(|sums| ((sums.iter().sum::<u16>() + half) >> bits) as u8));
}
