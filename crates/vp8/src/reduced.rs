//! Planes of macroblocks made smaller as they come: each pixel is the mean of those that it stands for, by how much of each is
//! to be seen.

use tintype_pixels::{DctScale, Size};

/// Columns and rows of a macroblock in a plane: Y, Cb and Cr.
pub fn side(plane: usize) -> usize {
    if plane == 0 { 16 } else { 8 }
}

/// A picture that is made smaller, to a half, a quarter or an eighth on each side.
pub struct Reduced {
    size: Size,
    /// Pixels on each side that become one.
    factor: usize,
    /// Y, Cb and Cr so far, with rows of whole macroblocks.
    pub planes: [Vec<u8>; 3],
    sums: Vec<u16>,
    /// Where pixels may be transparent.
    alpha: Option<Alpha>,
}

/// How much of the pixels is to be seen.
struct Alpha {
    /// Of the whole picture, rows packed.
    whole: Vec<u8>,
    /// Made smaller so far, with rows of whole macroblocks.
    reduced: Vec<u8>,
    /// Samples by their weights, and the weights, added up.
    weighted: Vec<u32>,
    weights: Vec<u32>,
}

impl Reduced {
    /// For a picture of that size, to be decoded at 1/8, 2/8 or 4/8.
    pub fn new(size: Size, scale: DctScale) -> Reduced {
        let (across, down) = (size.width.div_ceil(16) as usize, size.height.div_ceil(16) as usize);
        let factor = 8 / scale.eighths() as usize;
        let planes = std::array::from_fn(|plane| {
            let side = side(plane) / factor;
            Vec::with_capacity(across * down * side * side)
        });
        Reduced { size, factor, planes, sums: vec![0; across * 16], alpha: None }
    }

    /// The same for a picture with such an alpha, a byte for each pixel.
    pub fn with_alpha(self, whole: Vec<u8>) -> Reduced {
        let (reduced, sums) = (Vec::with_capacity(self.planes[0].capacity()), vec![0; self.sums.len()]);
        Reduced { alpha: Some(Alpha { whole, reduced, weighted: sums.clone(), weights: sums }), ..self }
    }

    /// Without what was added.
    pub fn emptied(mut self) -> Reduced {
        self.planes.iter_mut().for_each(Vec::clear);
        if let Some(alpha) = &mut self.alpha {
            alpha.reduced.clear();
        }
        self
    }

    /// Makes the rows behind so many of the whole picture transparent, where pixels may be.
    pub fn hide_below(&mut self, rows: u32) {
        if let Some(alpha) = &mut self.alpha {
            alpha.whole[rows as usize * self.size.width as usize..].fill(0);
        }
    }

    /// The alpha, made smaller, where there is one.
    pub fn alpha(&self) -> Option<&[u8]> {
        self.alpha.as_ref().map(|alpha| &*alpha.reduced)
    }

    /// Takes the next row of macroblocks, the `y`th, of a plane.
    pub fn add(&mut self, plane: usize, y: usize, rows: &[u8]) {
        let side = side(plane);
        let stride = rows.len() / side;
        // what is behind the last column and row of the picture does not count
        let share = 16 / side;
        let columns = (self.size.width as usize).div_ceil(share);
        let left = (self.size.height as usize).div_ceil(share) - y * side;
        if let Some(alpha) = &mut self.alpha {
            return alpha.add(self.size, self.factor, plane, y, rows, &mut self.planes[plane]);
        }
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

impl Alpha {
    /// As [`Reduced::add`], of what is to be seen; of what is not at all the plain means.
    fn add(&mut self, size: Size, factor: usize, plane: usize, y: usize, rows: &[u8], out: &mut Vec<u8>) {
        let side = side(plane);
        let stride = rows.len() / side;
        let share = 16 / side;
        let (width, height) = (size.width as usize, size.height as usize);
        // what is behind the last column and row of the picture does not count
        let (columns, last) = (width.div_ceil(share), height.div_ceil(share) - 1 - y * side);
        let (weighted, weights) = (&mut self.weighted[..stride], &mut self.weights[..stride]);
        for first in (0..side).step_by(factor) {
            weighted.fill(0);
            weights.fill(0);
            for row in first..first + factor {
                let row = row.min(last);
                let samples = &rows[row * stride..][..columns];
                // of the one row or the two that a row of samples stands for
                let above = ((y * side + row) * share).min(height - 1);
                let below = (above + share - 1).min(height - 1);
                let [above, below] = [above, below].map(|row| &self.whole[row * width..][..width]);
                let sums = weighted.iter_mut().zip(weights.iter_mut()).zip(samples);
                // at least a little of each, so that there is always a mean: at most 65,281, of which 64 times 255 fit
                let add = |((weighted, weights), &sample): ((&mut u32, &mut u32), &u8), weight: u32| {
                    *weighted += weight * u32::from(sample);
                    *weights += weight;
                };
                if share == 1 {
                    sums.zip(above).for_each(|(sums, &alpha)| add(sums, u32::from(alpha) * 256 + 1));
                } else {
                    let of = |pair: &[u8]| u32::from(pair[0]) + u32::from(pair[pair.len() - 1]);
                    let pairs = above.chunks(2).zip(below.chunks(2)).map(|(above, below)| of(above) + of(below));
                    sums.zip(pairs).for_each(|(sums, alpha)| add(sums, alpha * 64 + 1));
                }
            }
            if plane == 0 {
                let most = (factor * factor * 256) as u32;
                let whole = weights[..columns].chunks(factor).map(|weights| {
                    // a last square may be part of one
                    let all = most * weights.len() as u32 / factor as u32;
                    (weights.iter().sum::<u32>() + all / 2) / all
                });
                let before = self.reduced.len();
                self.reduced.extend(whole.map(|alpha| alpha.min(255) as u8));
                self.reduced.resize(before + stride / factor, 0);
            }
            let means = weighted[..columns].chunks(factor).zip(weights[..columns].chunks(factor));
            let before = out.len();
            out.extend(means.map(|(weighted, weights)| {
                let (sum, all) = (weighted.iter().sum::<u32>(), weights.iter().sum::<u32>());
                ((u64::from(sum) + u64::from(all / 2)) / u64::from(all)) as u8
            }));
            out.resize(before + stride / factor, 0);
        }
    }
}

/// The means of squares of pixels whose columns were added up.
fn means<const FACTOR: usize>(sums: &[u16], out: &mut Vec<u8>) {
    let (half, bits) = ((FACTOR * FACTOR / 2) as u16, 2 * FACTOR.trailing_zeros());
    out.extend(sums.as_chunks::<FACTOR>().0.iter().map(|sums| ((sums.iter().sum::<u16>() + half) >> bits) as u8));
}
