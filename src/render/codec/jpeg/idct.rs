//! Blocks of 8 by 8 coefficients turned into 4 by 4, 2 by 2 or 1 sample.
//!
//! Of a block's coefficients those are kept that a block of the smaller size would have, and transformed as such a block
//! would be (T.81 §A.3.3): what goes is what the smaller picture cannot show.

// lanes are counted in numbers: LLVM makes vectors of such loops for sure
#![allow(clippy::needless_range_loop)]

use std::ops::{Add, Mul, Sub};

/// Rows and columns of the coefficients that are kept of a block.
const KEPT: usize = 4;
/// How many there are.
const COUNT: usize = KEPT * KEPT;

/// Blocks that are transformed side by side: one in each lane of the processor's vectors.
pub(super) const LANES: usize = 8;

/// Coefficients of [`LANES`] blocks: those of one place in the blocks beside each other, place after place, as many in a
/// row as the blocks have columns. Behind them is room for coefficients that have none.
pub(super) type Group = [i16; 32 * LANES];

/// For each coefficient in zigzag order its place in a block of `N` by `N`; behind them all for others.
pub(super) const fn places<const N: usize>() -> [u8; 64] {
    let mut places = [COUNT as u8; 64];
    let (mut row, mut column, mut k) = (0_usize, 0_usize, 0);
    while k < 64 {
        if row < N && column < N {
            places[k] = (row * N + column) as u8;
        }
        // along diagonals, up and down in turn (§A.3.6)
        match ((row + column).is_multiple_of(2), row, column) {
            (true, _, 7) => row += 1,
            (true, 0, _) => column += 1,
            (true, ..) => (row, column) = (row - 1, column + 1),
            (false, 7, _) => column += 1,
            (false, _, 0) => row += 1,
            (false, ..) => (row, column) = (row + 1, column - 1),
        }
        k += 1;
    }
    places
}

/// What depends on how large the blocks are made.
pub(super) struct Places<const N: usize>;

impl<const N: usize> Places<N> {
    /// For each coefficient in zigzag order where in a [`Group`] its place begins.
    pub(super) const STARTS: &[u8; 64] = &{
        let mut starts = places::<N>();
        let mut k = 0;
        while k < 64 {
            starts[k] *= LANES as u8;
            k += 1;
        }
        starts
    };

    /// The last coefficient in zigzag order that a block of `N` by `N` has.
    pub(super) const LAST: usize = match N {
        1 => 0,
        2 => 4,
        _ => 24,
    };
}

/// What each coefficient is multiplied with for blocks of `N` by `N`: its step of the quantisation table, which is in zigzag
/// order, and the factors of the transform.
pub(super) fn factors<const N: usize>(steps: &[u16; 64]) -> [f32; COUNT] {
    // of the transform in one direction: c(u) / 2, times the cosine that is common to all outputs
    let odd = (std::f64::consts::PI / 8.0).cos() / 2.0;
    let even = std::f64::consts::FRAC_1_SQRT_2 / 2.0;
    let factor = |index: usize| if N == 4 && index % 2 == 1 { odd } else { even };
    let mut factors = [0.0; COUNT];
    for (&place, &step) in places::<N>().iter().zip(steps) {
        let place = usize::from(place);
        if place < COUNT {
            factors[place] = (f64::from(step) * factor(place / N) * factor(place % N)) as f32;
        }
    }
    factors
}

/// The samples of [`LANES`] blocks of `N` by `N`, whose coefficients lie as in a [`Group`]: rows of which `N` times `LANES`
/// samples are filled, the blocks side by side.
#[inline]
fn samples<const N: usize>(group: &[i16], factors: &[f32; COUNT]) -> [[u8; KEPT * LANES]; KEPT] {
    let mut rows = [[0; KEPT * LANES]; KEPT];
    let (places, _) = group.as_chunks::<LANES>();
    let places = &places[..N * N];
    let level = |row: usize, column: usize| Lanes::of(&places[row * N + column]) * factors[row * N + column];
    match N {
        4 => {
            let column = |at: usize| four([level(0, at), level(1, at), level(2, at), level(3, at)]);
            let ([a0, a1, a2, a3], b, c, d) = (column(0), column(1), column(2), column(3));
            let a = [a0 + MIDDLE, a1 + MIDDLE, a2 + MIDDLE, a3 + MIDDLE];
            for (at, row) in rows.iter_mut().enumerate() {
                let [p, q, r, s] = four([a[at], b[at], c[at], d[at]]);
                let (p, q, r, s) = (p.samples(), q.samples(), r.samples(), s.samples());
                let (blocks, _) = row.as_chunks_mut::<4>();
                for lane in 0..LANES {
                    blocks[lane] = (p[lane] | q[lane] << 8 | r[lane] << 16 | s[lane] << 24).to_le_bytes();
                }
            }
        }
        2 => {
            let (a, b, c, d) = (level(0, 0) + MIDDLE, level(0, 1), level(1, 0), level(1, 1));
            for (row, (left, right)) in rows.iter_mut().zip([(a + c, b + d), (a - c, b - d)]) {
                let (p, q) = ((left + right).samples(), (left - right).samples());
                let (blocks, _) = row.as_chunks_mut::<2>();
                for lane in 0..LANES {
                    blocks[lane] = ((p[lane] | q[lane] << 8) as u16).to_le_bytes();
                }
            }
        }
        _ => {
            let samples = (level(0, 0) + MIDDLE).samples();
            rows[0].iter_mut().zip(samples).for_each(|(to, sample)| *to = sample as u8);
        }
    }
    rows
}

/// Puts the samples of [`LANES`] blocks into a plane of that width, at a column and a row, as far as it reaches.
#[inline]
pub(super) fn put<const N: usize>(
    group: &[i16], factors: &[f32; COUNT], (left, top): (usize, usize), plane: &mut [u8], width: usize,
) {
    let seen = width.saturating_sub(left).min(LANES * N);
    if seen == 0 {
        return;
    }
    let samples = samples::<N>(group, factors);
    let rows = plane.chunks_exact_mut(width).skip(top);
    for (to, samples) in rows.zip(samples.iter().take(N)) {
        to[left..left + seen].copy_from_slice(&samples[..seen]);
    }
}

/// What is added to all samples, which are coded around zero (§A.3.1), and a little more: a half, which flat areas often
/// have for all their samples, becomes the next whole number as in other decoders, not the next even one.
const MIDDLE: Lanes = Lanes([128.0 + 1.0 / 1024.0; LANES]);

/// The tangent of an eighth of pi: what the outer odd coefficient counts in the one output, and the inner in the other.
const TANGENT: f32 = 0.414_213_56;

/// Four outputs of the transform in one direction.
#[inline(always)]
fn four([a, b, c, d]: [Lanes; 4]) -> [Lanes; 4] {
    let (sum, difference) = (a + c, a - c);
    let (outer, inner) = (b + d * TANGENT, b * TANGENT - d);
    [sum + outer, difference + inner, difference - inner, sum - outer]
}

/// A number of each of [`LANES`] blocks; loops over just these become instructions on vectors.
#[derive(Clone, Copy)]
struct Lanes([f32; LANES]);

impl Lanes {
    #[inline(always)]
    fn of(coefficients: &[i16; LANES]) -> Lanes {
        let mut lanes = [0.0; LANES];
        for at in 0..LANES {
            lanes[at] = f32::from(coefficients[at]);
        }
        Lanes(lanes)
    }

    /// To nearest, 0 at least, 255 at most.
    #[inline(always)]
    fn samples(self) -> [u32; LANES] {
        // added to a number it makes the lowest bits of the float the number itself
        const UNITS: f32 = 12_582_912.0;
        let mut samples = [0; LANES];
        for at in 0..LANES {
            // comparisons, as the processor has an instruction for each of just these
            let level = if self.0[at] > 0.0 { self.0[at] } else { 0.0 };
            let level = if level < 255.0 { level } else { 255.0 };
            samples[at] = (level + UNITS).to_bits() & 255;
        }
        samples
    }
}

impl Add for Lanes {
    type Output = Lanes;

    #[inline(always)]
    fn add(mut self, other: Lanes) -> Lanes {
        for at in 0..LANES {
            self.0[at] += other.0[at];
        }
        self
    }
}

impl Sub for Lanes {
    type Output = Lanes;

    #[inline(always)]
    fn sub(mut self, other: Lanes) -> Lanes {
        for at in 0..LANES {
            self.0[at] -= other.0[at];
        }
        self
    }
}

impl Mul<f32> for Lanes {
    type Output = Lanes;

    #[inline(always)]
    fn mul(mut self, factor: f32) -> Lanes {
        for at in 0..LANES {
            self.0[at] *= factor;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum of the standard for one sample of a block of `n` by `n`.
    fn expected(coefficients: &[i16; COUNT], n: usize, x: usize, y: usize) -> f64 {
        let wave = |at: usize, u: usize| {
            let c = if u == 0 { std::f64::consts::FRAC_1_SQRT_2 } else { 1.0 };
            c * ((2 * at + 1) as f64 * u as f64 * std::f64::consts::PI / (2 * n) as f64).cos()
        };
        let all = (0..n * n).map(|at| (at / n, at % n));
        let sum: f64 = all.map(|(v, u)| f64::from(coefficients[v * n + u]) * wave(x, u) * wave(y, v)).sum();
        // in a block of 8 by 8 the factor is a quarter whatever the sample counts for
        sum / 4.0 + 128.0
    }

    fn check<const N: usize>(seed: u32) {
        let mut group: Group = [0; 32 * LANES];
        let mut blocks = [[0_i16; COUNT]; LANES];
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        for (lane, block) in blocks.iter_mut().enumerate() {
            for (place, coefficient) in block.iter_mut().enumerate() {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                *coefficient = (state % 401) as i16 - 200;
                group[place * LANES + lane] = *coefficient;
            }
        }
        let rows = samples::<N>(&group, &factors::<N>(&[1; 64]));
        for (lane, block) in blocks.iter().enumerate() {
            for (y, row) in rows.iter().take(N).enumerate() {
                for x in 0..N {
                    let (got, wanted) = (f64::from(row[lane * N + x]), expected(block, N, x, y).clamp(0.0, 255.0));
                    assert!((got - wanted).abs() <= 0.502, "{N}, block {lane} at {x},{y}: {got}, not {wanted}");
                }
            }
        }
    }

    #[test]
    fn samples_are_what_the_sum_of_the_standard_gives() {
        for seed in 1..50 {
            check::<1>(seed);
            check::<2>(seed);
            check::<4>(seed);
        }
    }

    #[test]
    fn coefficients_that_are_kept_come_before_the_last() {
        fn last<const N: usize>() -> Option<usize> {
            places::<N>().iter().rposition(|&place| usize::from(place) < COUNT)
        }
        assert_eq!(
            [last::<1>(), last::<2>(), last::<4>()],
            [Places::<1>::LAST, Places::<2>::LAST, Places::<4>::LAST].map(Some)
        );
    }
}
