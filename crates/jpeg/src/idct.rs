//! Blocks of 8 by 8 coefficients turned into as many samples, or fewer: `N` by `N`, from 8 by 8 to 1.
//!
//! Of a block's coefficients those are kept that a block of the smaller size would have, and transformed as such a block
//! would be (T.81 §A.3.3): what goes is what the smaller picture cannot show.

// lanes are counted in numbers: LLVM makes vectors of such loops for sure
#![allow(clippy::needless_range_loop)]

use std::ops::{Add, Mul, Sub};

use tintype_pixels::DctScale;

/// Coefficients of a block.
const COUNT: usize = 64;

/// Blocks that are transformed side by side: one in each lane of the processor's vectors.
pub(crate) const LANES: usize = 8;

/// Coefficients of [`LANES`] blocks: those of one place in the blocks beside each other, place after place, as many in a
/// row as the blocks have columns. Behind them is room for coefficients that have none.
pub(crate) type Group = [i16; COUNT * LANES];

/// For each coefficient in zigzag order its place in a block of `N` by `N`; behind them all for others.
const fn places<const N: usize>() -> [u16; COUNT] {
    let mut places = [(N * N) as u16; COUNT];
    let (mut row, mut column, mut k) = (0_usize, 0_usize, 0);
    while k < COUNT {
        if row < N && column < N {
            places[k] = (row * N + column) as u16;
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
pub(crate) struct Places<const N: usize>;

impl<const N: usize> Places<N> {
    /// For each coefficient in zigzag order where in a [`Group`] its place begins.
    pub(crate) const STARTS: &[u16; COUNT] = &{
        let mut starts = places::<N>();
        let mut k = 0;
        while k < COUNT {
            starts[k] *= LANES as u16;
            k += 1;
        }
        starts
    };

    /// The coefficients that a block of `N` by `N` has, as bits by their numbers in zigzag order.
    pub(crate) const SHOWN: u64 = {
        let (mut shown, mut k) = (0, 0);
        while k < COUNT {
            if (places::<N>()[k] as usize) < N * N {
                shown |= 1 << k;
            }
            k += 1;
        }
        shown
    };

    /// The last of them.
    pub(crate) const LAST: usize = Self::SHOWN.ilog2() as usize;

    /// What each coefficient counts for each sample, in one direction: cos((2x + 1) u pi / 2N).
    const WAVES: [[f32; 8]; 8] = {
        let mut waves = [[0.0; 8]; 8];
        let (mut x, mut u) = (0, 0);
        while x < N {
            waves[x][u] = cosine((2 * x + 1) * u, N) as f32;
            (x, u) = if u + 1 < N { (x, u + 1) } else { (x + 1, 0) };
        }
        waves
    };
}

/// The cosine of `count` times pi / 2`n`.
const fn cosine(count: usize, n: usize) -> f64 {
    let angle = count % (4 * n);
    let angle = if angle > 2 * n { 4 * n - angle } else { angle };
    let (angle, sign) = if angle > n { (2 * n - angle, -1.0) } else { (angle, 1.0) };
    let angle = std::f64::consts::FRAC_PI_2 * angle as f64 / n as f64;
    // its series
    let (mut sum, mut term, mut at) = (1.0, 1.0, 1.0);
    while at < 30.0 {
        term *= -angle * angle / (at * (at + 1.0));
        sum += term;
        at += 2.0;
    }
    sign * sum
}

/// What each coefficient is multiplied with for blocks of `N` by `N`: its step of the quantisation table, which is in zigzag
/// order, and the factors of the transform.
fn factors<const N: usize>(steps: &[u16; COUNT]) -> [f32; COUNT] {
    // of the transform in one direction: c(u) / 2, times the cosine that is common to all outputs
    let even = std::f64::consts::FRAC_1_SQRT_2 / 2.0;
    let factor = |index: usize| match (N, index) {
        (_, 0) | (2, _) | (4, 2) => even,
        (4, _) => (std::f64::consts::PI / 8.0).cos() / 2.0,
        (8, _) => (std::f64::consts::PI / 16.0 * index as f64).cos() / 2.0,
        _ => 0.5,
    };
    let mut factors = [0.0; COUNT];
    for (&place, &step) in places::<N>().iter().zip(steps) {
        let place = usize::from(place);
        if place < N * N {
            factors[place] = (f64::from(step) * factor(place / N) * factor(place % N)) as f32;
        }
    }
    factors
}

/// The samples of [`LANES`] blocks of `N` by `N`, whose coefficients lie as in a [`Group`]: rows of which `N` times `LANES`
/// samples are filled, the blocks side by side.
#[inline]
fn samples<const N: usize>(group: &[i16], factors: &[f32; COUNT]) -> [[u8; 8 * LANES + 8]; 8] {
    let mut rows = [[0; 8 * LANES + 8]; 8];
    let (places, _) = group.as_chunks::<LANES>();
    let places = &places[..N * N];
    let level = |row: usize, column: usize| Lanes::of(&places[row * N + column]) * factors[row * N + column];
    match N {
        4 => {
            let column = |at: usize| four([level(0, at), level(1, at), level(2, at), level(3, at)]);
            let ([a0, a1, a2, a3], b, c, d) = (column(0), column(1), column(2), column(3));
            let a = [a0 + MIDDLE, a1 + MIDDLE, a2 + MIDDLE, a3 + MIDDLE];
            for (at, row) in rows.iter_mut().take(N).enumerate() {
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
        1 => {
            let samples = (level(0, 0) + MIDDLE).samples();
            rows[0].iter_mut().zip(samples).for_each(|(to, sample)| *to = sample as u8);
        }
        _ => {
            let mut columns = [[ZERO; 8]; 8];
            for at in 0..N {
                let mut inputs = [ZERO; 8];
                for row in 0..N {
                    inputs[row] = level(row, at);
                }
                columns[at] = outputs::<N>(&inputs);
            }
            for (at, row) in rows.iter_mut().take(N).enumerate() {
                let mut inputs = [ZERO; 8];
                for column in 0..N {
                    inputs[column] = columns[column][at];
                }
                inputs[0] = inputs[0] + MIDDLE;
                let outputs = outputs::<N>(&inputs);
                let mut halves = [[0; LANES]; 2];
                for at in 0..N {
                    let samples = outputs[at].samples();
                    for lane in 0..LANES {
                        halves[at / 4][lane] |= samples[lane] << (8 * (at % 4));
                    }
                }
                // what a block has not is behind its samples, where the next one's are put
                for lane in 0..LANES {
                    let samples = u64::from(halves[0][lane]) | u64::from(halves[1][lane]) << 32;
                    row[lane * N..lane * N + 8].copy_from_slice(&samples.to_le_bytes());
                }
            }
        }
    }
    rows
}

/// Puts the samples of [`LANES`] blocks into a plane of that width, at a column and a row, as far as it reaches.
#[inline]
fn put<const N: usize>(
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

/// The same into a part of a plane that begins at `origin`: a group lies in it with its left edge, or it is not seen.
#[inline]
pub(crate) fn put_within<const N: usize>(
    group: &[i16], factors: &[f32; COUNT], (left, top): (usize, usize), origin: (usize, usize), plane: &mut [u8],
    width: usize,
) {
    let (Some(left), Some(top)) = (left.checked_sub(origin.0), top.checked_sub(origin.1)) else { return };
    if left < width && top < plane.len() / width {
        put::<N>(group, factors, (left, top), plane, width);
    }
}

/// [`Places::SHOWN`] at that scale.
pub(crate) fn shown_at(scale: DctScale) -> u64 {
    match scale.eighths() {
        1 => Places::<1>::SHOWN,
        2 => Places::<2>::SHOWN,
        3 => Places::<3>::SHOWN,
        4 => Places::<4>::SHOWN,
        6 => Places::<6>::SHOWN,
        _ => Places::<8>::SHOWN,
    }
}

/// Of groups with `held` by `held` coefficients of each block those that a block of `N` by `N` has.
pub(crate) fn fewer<const N: usize>(group: &[i16], held: usize) -> Group {
    let mut fewer = [0; COUNT * LANES];
    for (to, from) in fewer.chunks_exact_mut(N * LANES).zip(group.chunks_exact(held * LANES)).take(N) {
        to.copy_from_slice(&from[..N * LANES]);
    }
    fewer
}

/// [`factors`] for that scale.
pub(crate) fn factors_at(scale: DctScale, steps: &[u16; COUNT]) -> [f32; COUNT] {
    match scale.eighths() {
        1 => factors::<1>(steps),
        2 => factors::<2>(steps),
        3 => factors::<3>(steps),
        4 => factors::<4>(steps),
        6 => factors::<6>(steps),
        _ => factors::<8>(steps),
    }
}

/// Whether a part of a component's samples that begins there begins with a group of blocks, so that no group lies across
/// its edge.
pub(crate) fn begins_with_group(scale: DctScale, (left, top): (usize, usize)) -> bool {
    left.is_multiple_of(LANES * scale.eighths() as usize) && top.is_multiple_of(scale.eighths() as usize)
}

/// What is added to all samples, which are coded around zero (§A.3.1), and a little more: a half, which flat areas often
/// have for all their samples, becomes the next whole number as in other decoders, not the next even one.
const MIDDLE: Lanes = Lanes([128.0 + 1.0 / 1024.0; LANES]);

const ZERO: Lanes = Lanes([0.0; LANES]);

/// The tangent of an eighth of pi: what the outer odd coefficient counts in the one output, and the inner in the other.
const TANGENT: f32 = 0.414_213_56;

/// Four outputs of the transform in one direction.
#[inline(always)]
fn four([a, b, c, d]: [Lanes; 4]) -> [Lanes; 4] {
    let (sum, difference) = (a + c, a - c);
    let (outer, inner) = (b + d * TANGENT, b * TANGENT - d);
    [sum + outer, difference + inner, difference - inner, sum - outer]
}

/// The outputs of the transform in one direction, of as many inputs.
#[inline(always)]
fn outputs<const N: usize>(inputs: &[Lanes; 8]) -> [Lanes; 8] {
    if N == 8 {
        return eight(*inputs);
    }
    let mut outputs = [ZERO; 8];
    for x in 0..N.div_ceil(2) {
        // the waves are even or odd around the middle
        let (mut even, mut odd) = (inputs[0], ZERO);
        for u in 1..N {
            if u % 2 == 0 {
                even = even + inputs[u] * Places::<N>::WAVES[x][u];
            } else {
                odd = odd + inputs[u] * Places::<N>::WAVES[x][u];
            }
        }
        outputs[x] = even + odd;
        outputs[N - 1 - x] = even - odd;
    }
    outputs
}

/// Eight outputs of the transform in one direction, by the way of Arai, Agui and Nakajima ("A fast DCT-SQ scheme for
/// images", 1988): what all outputs have in common is in the factors, and five multiplications are left.
#[inline(always)]
fn eight([a, b, c, d, e, f, g, h]: [Lanes; 8]) -> [Lanes; 8] {
    use std::f32::consts::SQRT_2;
    // twice the cosine of an eighth of pi; the others are sums and differences with twice its sine
    const COS: f32 = 1.847_759_1;
    const LESS: f32 = 1.082_392_2;
    const MORE: f32 = 2.613_126;
    let (sum, difference) = (a + e, a - e);
    let outer = c + g;
    let inner = (c - g) * SQRT_2 - outer;
    let (near, far) = (f + d, f - d);
    let (wide, narrow) = (b + h, b - h);
    let both = (far + narrow) * COS;
    let first = wide + near;
    let second = both - far * MORE - first;
    let third = (wide - near) * SQRT_2 - second;
    let fourth = both - narrow * LESS - third;
    let (p, q, r, s) = (sum + outer, difference + inner, difference - inner, sum - outer);
    [p + first, q + second, r + third, s + fourth, s - fourth, r - third, q - second, p - first]
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
        let mut group: Group = [0; COUNT * LANES];
        let mut blocks = [[0_i16; COUNT]; LANES];
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        for (lane, block) in blocks.iter_mut().enumerate() {
            for (place, coefficient) in block.iter_mut().enumerate().take(N * N) {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                *coefficient = (state % 401) as i16 - 200;
                group[place * LANES + lane] = *coefficient;
            }
        }
        let rows = samples::<N>(&group, &factors::<N>(&[1; COUNT]));
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
            check::<3>(seed);
            check::<4>(seed);
            check::<6>(seed);
            check::<8>(seed);
        }
    }

    #[test]
    fn coefficients_that_are_kept_come_before_the_last() {
        assert_eq!([Places::<1>::LAST, Places::<2>::LAST, Places::<4>::LAST, Places::<8>::LAST], [0, 4, 24, 63]);
    }
}
