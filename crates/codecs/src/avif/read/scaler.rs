//! Scaling of frames while they are converted.

use super::failure::Result;

/// Scales a frame bilinearly to the size that the container states, holding two rows at a time.
///
/// It enlarges layers of lower resolution. Frames that are larger than stated are rare, and are undersampled.
pub(super) struct Scaler {
    from: (usize, usize),
    /// Rows of the output.
    height: usize,
    /// For each output column the frame's column at its left, and the weight of the next.
    columns: Vec<(usize, f32)>,
    /// Two neighbouring rows of the frame with their numbers, at the index of their parity.
    cached: [(Option<usize>, [Vec<f32>; 3]); 2],
    blended: Vec<f32>,
}

impl Scaler {
    /// `to` is the stated size of the output, which may be far beyond the picture: only its first `columns` columns are read.
    pub(super) fn new(from: (usize, usize), to: (usize, usize), columns: usize) -> Self {
        let row = || [(); 3].map(|()| vec![0.0; from.0]);
        let columns = (0..columns).map(|x| sample_at(x, to.0, from.0)).collect();
        Self { from, height: to.1, columns, cached: [(None, row()), (None, row())], blended: vec![0.0; from.0] }
    }

    /// Reads the start of row `y` of the output; `read` reads a row of the input.
    pub(super) fn read(
        &mut self, mut read: impl FnMut(usize, &mut [Vec<f32>; 3]) -> Result<()>, y: usize, row: &mut [Vec<f32>; 3],
    ) -> Result<()> {
        let (upper, weight) = sample_at(y, self.height, self.from.1);
        let lower = (upper + 1).min(self.from.1 - 1);
        for wanted in [upper, lower] {
            let (number, samples) = &mut self.cached[wanted % 2];
            if *number != Some(wanted) {
                read(wanted, samples)?;
                *number = Some(wanted);
            }
        }
        let (upper, lower) = (&self.cached[upper % 2].1, &self.cached[lower % 2].1);
        for ((row, upper), lower) in row.iter_mut().zip(upper).zip(lower) {
            for ((blended, &upper), &lower) in self.blended.iter_mut().zip(upper).zip(lower) {
                *blended = upper + (lower - upper) * weight;
            }
            for (value, &(left, weight)) in row.iter_mut().zip(&self.columns) {
                let right = (left + 1).min(self.from.0 - 1);
                *value = self.blended[left] + (self.blended[right] - self.blended[left]) * weight;
            }
        }
        Ok(())
    }
}

/// The position of the centre of sample `index` of `to` among `from` samples: the one before it, and the weight of the next.
fn sample_at(index: usize, to: usize, from: usize) -> (usize, f32) {
    let position = (index as f64 + 0.5) * from as f64 / to as f64 - 0.5;
    let position = position.clamp(0.0, (from - 1) as f64);
    (position as usize, position.fract() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_aligned_at_their_centres() {
        // twice as many: a quarter of the way to the neighbours, and none beyond the edges
        let at = |index| sample_at(index, 4, 2);
        assert_eq!([at(0), at(1), at(2), at(3)], [(0, 0.0), (0, 0.25), (0, 0.75), (1, 0.0)]);
        assert_eq!(sample_at(0, 1, 4), (1, 0.5));
        assert_eq!(sample_at(9, 10, 1), (0, 0.0));
    }

    #[test]
    fn columns_beyond_the_picture_take_no_memory() {
        let columns = Scaler::new((4, 1), (u32::MAX as usize, 1), 2).columns;
        assert_eq!(columns, [(0, 0.0); 2]);
        assert!(columns.capacity() < 100);
    }
}
