//! Planes that are scaled down as the rows of macroblocks come: each sample is the mean of the square that it covers, weighted by alpha
//! where there is one.

use tintype_pixels::{DctScale, Size};

/// Columns and rows of a macroblock in a plane, 0 for Y, 1 for Cb, 2 for Cr.
pub fn macroblock_side(plane: usize) -> usize {
    if plane == 0 { 16 } else { 8 }
}

/// Planes of an image at 4/8, 2/8 or 1/8 of its size, filled from top to bottom.
pub struct ScaledPlanes {
    /// The full size.
    size: Size,
    /// The side of the square of samples that become one: 2, 4 or 8.
    factor: usize,
    /// Y, Cb and Cr so far, in rows of whole macroblocks.
    pub planes: [Vec<u8>; 3],
    /// Column sums of the rows that become one.
    sums: Vec<u16>,
    /// For images with alpha.
    alpha: Option<Alpha>,
}

/// The alpha of an image.
struct Alpha {
    /// At full size, rows packed.
    full: Vec<u8>,
    /// Scaled so far, in rows of whole macroblocks.
    scaled: Vec<u8>,
    /// Column sums of samples times weights, and of weights.
    weighted: Vec<u32>,
    weights: Vec<u32>,
}

impl ScaledPlanes {
    /// Empty planes for an image of that full size at 1/8, 2/8 or 4/8.
    pub fn new(size: Size, scale: DctScale) -> ScaledPlanes {
        let (across, down) = (size.width.div_ceil(16) as usize, size.height.div_ceil(16) as usize);
        let factor = 8 / scale.eighths() as usize;
        let planes = std::array::from_fn(|plane| {
            let side = macroblock_side(plane) / factor;
            Vec::with_capacity(across * down * side * side)
        });
        ScaledPlanes { size, factor, planes, sums: vec![0; across * 16], alpha: None }
    }

    /// Weights samples by an alpha, one byte for each pixel at full size, rows packed.
    #[must_use]
    pub fn with_alpha(self, full: Vec<u8>) -> ScaledPlanes {
        let (scaled, sums) = (Vec::with_capacity(self.planes[0].capacity()), vec![0; self.sums.len()]);
        ScaledPlanes { alpha: Some(Alpha { full, scaled, weighted: sums.clone(), weights: sums }), ..self }
    }

    /// The full size of the image.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The planes without the rows that were added.
    #[must_use]
    pub fn cleared(mut self) -> ScaledPlanes {
        self.planes.iter_mut().for_each(Vec::clear);
        if let Some(alpha) = &mut self.alpha {
            alpha.scaled.clear();
        }
        self
    }

    /// Makes all but the first `rows` at full size transparent, where there is an alpha. Call it before rows are added.
    pub fn hide_below(&mut self, rows: u32) {
        if let Some(alpha) = &mut self.alpha {
            alpha.full[rows as usize * self.size.width as usize..].fill(0);
        }
    }

    /// The scaled alpha so far, in rows of whole macroblocks, where there is one.
    pub fn alpha(&self) -> Option<&[u8]> {
        self.alpha.as_ref().map(|alpha| &*alpha.scaled)
    }

    /// Adds row `y` of macroblocks of a plane, 0 for Y, 1 for Cb, 2 for Cr. Rows are added in order, and those of Y, Cb and Cr in turn.
    pub fn add_row(&mut self, plane: usize, y: usize, rows: &[u8]) {
        let side = macroblock_side(plane);
        let stride = rows.len() / side;
        // padding behind the last column and row of the image does not count
        let share = 16 / side;
        let columns = (self.size.width as usize).div_ceil(share);
        let left = (self.size.height as usize).div_ceil(share) - y * side;
        if let Some(alpha) = &mut self.alpha {
            return alpha.add_row(self.size, self.factor, plane, y, rows, &mut self.planes[plane]);
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
    /// As [`ScaledPlanes::add_row`], weighted by alpha; squares that are wholly transparent get the plain mean.
    fn add_row(&mut self, size: Size, factor: usize, plane: usize, y: usize, rows: &[u8], out: &mut Vec<u8>) {
        let side = macroblock_side(plane);
        let stride = rows.len() / side;
        let share = 16 / side;
        let (width, height) = (size.width as usize, size.height as usize);
        // padding behind the last column and row of the image does not count
        let (columns, last) = (width.div_ceil(share), height.div_ceil(share) - 1 - y * side);
        let (weighted, weights) = (&mut self.weighted[..stride], &mut self.weights[..stride]);
        for first in (0..side).step_by(factor) {
            weighted.fill(0);
            weights.fill(0);
            for row in first..first + factor {
                let row = row.min(last);
                let samples = &rows[row * stride..][..columns];
                // the rows of pixels that a row of samples covers
                let above = ((y * side + row) * share).min(height - 1);
                let below = (above + share - 1).min(height - 1);
                let [above, below] = [above, below].map(|row| &self.full[row * width..][..width]);
                let sums = weighted.iter_mut().zip(weights.iter_mut()).zip(samples);
                // weights are at least 1, so that there is always a mean, and at most 65,281, of which 64 times 255 fit into 32 bits
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
                let scaled = weights[..columns].chunks(factor).map(|weights| {
                    // the last square may be cut off
                    let all = most * weights.len() as u32 / factor as u32;
                    (weights.iter().sum::<u32>() + all / 2) / all
                });
                let before = self.scaled.len();
                self.scaled.extend(scaled.map(|alpha| alpha.min(255) as u8));
                self.scaled.resize(before + stride / factor, 0);
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

/// The means of squares, from their column sums.
fn means<const FACTOR: usize>(sums: &[u16], out: &mut Vec<u8>) {
    let (half, bits) = ((FACTOR * FACTOR / 2) as u16, 2 * FACTOR.trailing_zeros());
    out.extend(sums.as_chunks::<FACTOR>().0.iter().map(|sums| ((sums.iter().sum::<u16>() + half) >> bits) as u8));
}
