//! The forward DCT of a block (T.81 §A.3.3) in single precision. Rust neither contracts nor reorders floating-point operations, so
//! the results are the same on all machines.

/// Samples of a block's side.
pub(super) const SIDE: usize = 8;

/// A block of samples by row and column, or of coefficients by vertical and horizontal frequency.
pub(super) type Block = [[f32; SIDE]; SIDE];

/// cos(n π / 16) / 2 by n. 0 is never used; 4 is the scale of DC, too.
const HALF_COSINES: [f32; SIDE] =
    [0.0, 0.490_392_65, 0.461_939_75, 0.415_734_8, 0.353_553_38, 0.277_785_12, 0.191_341_72, 0.097_545_16];

/// The factor of each sample (second index) in each frequency (first).
const BASIS: Block = {
    let mut basis = [[HALF_COSINES[4]; SIDE]; SIDE];
    let mut frequency = 1;
    while frequency < SIDE {
        let mut sample = 0;
        while sample < SIDE {
            // in sixteenths of π; the cosine has a period of 32 and zeros at 8 and 24
            let angle = (2 * sample + 1) * frequency % 32;
            basis[frequency][sample] = match angle {
                0..8 => HALF_COSINES[angle],
                8 | 24 => 0.0,
                9..=16 => -HALF_COSINES[16 - angle],
                17..24 => -HALF_COSINES[angle - 16],
                _ => HALF_COSINES[32 - angle],
            };
            sample += 1;
        }
        frequency += 1;
    }
    basis
};

/// The factor of each sample (first index) in each frequency (second).
const TRANSPOSED: Block = {
    let mut transposed = [[0.0; SIDE]; SIDE];
    let mut at = 0;
    while at < SIDE * SIDE {
        transposed[at % SIDE][at / SIDE] = BASIS[at / SIDE][at % SIDE];
        at += 1;
    }
    transposed
};

/// The coefficients of a block of samples.
pub(super) fn forward(samples: &Block) -> Block {
    let columns = BASIS.map(|factors| weighted_sum(samples, &factors));
    columns.map(|row| weighted_sum(&TRANSPOSED, &row))
}

/// The sum of rows, each times its factor.
fn weighted_sum(rows: &Block, factors: &[f32; SIDE]) -> [f32; SIDE] {
    let mut sum = [0.0; SIDE];
    for (row, factor) in rows.iter().zip(factors) {
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += value * factor;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_equal_those_of_the_definition() {
        let samples: Block =
            std::array::from_fn(|y| std::array::from_fn(|x| ((x * 37 + y * 91 + x * y * 13) % 256) as f32 - 128.0));
        for (v, row) in forward(&samples).iter().enumerate() {
            for (u, &made) in row.iter().enumerate() {
                let scale = |frequency: usize| if frequency == 0 { 0.125_f64.sqrt() } else { 0.5 };
                let wave = |frequency: usize, at: usize| {
                    ((2 * at + 1) as f64 * frequency as f64 * std::f64::consts::PI / 16.0).cos()
                };
                let mut expected = 0.0;
                for (y, row) in samples.iter().enumerate() {
                    for (x, sample) in row.iter().enumerate() {
                        expected += f64::from(*sample) * wave(u, x) * wave(v, y);
                    }
                }
                expected *= scale(u) * scale(v);
                assert!((f64::from(made) - expected).abs() < 1e-3, "{u}, {v}: {made} and {expected}");
            }
        }
    }
}
