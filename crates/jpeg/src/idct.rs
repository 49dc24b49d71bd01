//! The inverse DCT (ITU T.81 §A.3.3) of blocks of 8 × 8 coefficients to `N` × `N` samples, where `N`/8 is the scale.
//!
//! The `N` × `N` lowest coefficients of a block are transformed as a block of that size; the scaled image cannot show the others.

// LLVM vectorises counted loops reliably
#![allow(clippy::needless_range_loop)]

use tintype_pixels::DctScale;

use crate::lanes::Lanes;
use crate::zigzag::{BLOCK, Group, LANES, places};

/// `N` rows of samples of [`LANES`] blocks side by side, the first `N * LANES` of each row; the rest is scratch space.
type Samples = [[u8; 8 * LANES + 8]; 8];

/// The level shift of samples, which are coded around zero (§A.3.1). The little more makes halves, which flat areas often have for
/// all their samples, round up as in other decoders, not to even.
const LEVEL_SHIFT: Lanes = Lanes([128.0 + 1.0 / 1024.0; LANES]);

/// The basis functions of a transform of length `N`.
struct Basis<const N: usize>;

impl<const N: usize> Basis<N> {
    /// By sample x and coefficient u: cos((2x + 1) u π / 2N).
    const COS: [[f32; 8]; 8] = {
        let mut cos = [[0.0; 8]; 8];
        let (mut x, mut u) = (0, 0);
        while x < N {
            cos[x][u] = cosine((2 * x + 1) * u, N) as f32;
            (x, u) = if u + 1 < N { (x, u + 1) } else { (x + 1, 0) };
        }
        cos
    };
}

/// The cosine of `count` times π / 2`n`.
const fn cosine(count: usize, n: usize) -> f64 {
    let angle = count % (4 * n);
    let angle = if angle > 2 * n { 4 * n - angle } else { angle };
    let (angle, sign) = if angle > n { (2 * n - angle, -1.0) } else { (angle, 1.0) };
    let angle = std::f64::consts::FRAC_PI_2 * angle as f64 / n as f64;
    // its Taylor series
    let (mut sum, mut term, mut at) = (1.0, 1.0, 1.0);
    while at < 30.0 {
        term *= -angle * angle / (at * (at + 1.0));
        sum += term;
        at += 2.0;
    }
    sign * sum
}

/// By place in a block of `N` × `N`, the factor of its coefficient: the element of the quantisation table, which is in
/// zigzag order, and the constants that the transform leaves out.
fn factors<const N: usize>(quant_table: &[u16; BLOCK]) -> [f32; BLOCK] {
    // in one direction: C(u) / 2, times the cosine that is common to all outputs
    let even = std::f64::consts::FRAC_1_SQRT_2 / 2.0;
    let factor = |u: usize| match (N, u) {
        (_, 0) | (2, _) | (4, 2) => even,
        (4, _) => (std::f64::consts::PI / 8.0).cos() / 2.0,
        (8, _) => (std::f64::consts::PI / 16.0 * u as f64).cos() / 2.0,
        _ => 0.5,
    };
    let mut factors = [0.0; BLOCK];
    for (&place, &element) in places::<N>().iter().zip(quant_table) {
        let place = usize::from(place);
        if place < N * N {
            factors[place] = (f64::from(element) * factor(place / N) * factor(place % N)) as f32;
        }
    }
    factors
}

/// [`factors`] at that scale.
pub(crate) fn factors_at(scale: DctScale, quant_table: &[u16; BLOCK]) -> [f32; BLOCK] {
    match scale.eighths() {
        1 => factors::<1>(quant_table),
        2 => factors::<2>(quant_table),
        3 => factors::<3>(quant_table),
        4 => factors::<4>(quant_table),
        6 => factors::<6>(quant_table),
        _ => factors::<8>(quant_table),
    }
}

/// The `N` × `N` lowest coefficients of groups of blocks with `n` × `n` of them.
pub(crate) fn truncate<const N: usize>(group: &[i16], n: usize) -> Group {
    let mut truncated = [0; BLOCK * LANES];
    for (to, from) in truncated.chunks_exact_mut(N * LANES).zip(group.chunks_exact(n * LANES)).take(N) {
        to.copy_from_slice(&from[..N * LANES]);
    }
    truncated
}

/// Transforms a group of blocks and writes its samples into a plane. `left` and `top` are the place of its first sample among the
/// component's samples, `origin` is that of the plane's, `width` is the length of the plane's rows. Groups that begin above or to the
/// left of the plane are skipped.
#[inline]
pub(crate) fn write_within<const N: usize>(
    group: &[i16], factors: &[f32; BLOCK], (left, top): (usize, usize), origin: (usize, usize), plane: &mut [u8],
    width: usize,
) {
    let (Some(left), Some(top)) = (left.checked_sub(origin.0), top.checked_sub(origin.1)) else { return };
    if left < width && top < plane.len() / width {
        write::<N>(group, factors, (left, top), plane, width);
    }
}

/// Writes the samples of a group of blocks at a column and a row of a plane, as far as it reaches.
#[inline]
fn write<const N: usize>(
    group: &[i16], factors: &[f32; BLOCK], (left, top): (usize, usize), plane: &mut [u8], width: usize,
) {
    let count = width.saturating_sub(left).min(LANES * N);
    if count == 0 {
        return;
    }
    let samples = samples::<N>(group, factors);
    let rows = plane.chunks_exact_mut(width).skip(top);
    for (to, samples) in rows.zip(samples.iter().take(N)) {
        to[left..left + count].copy_from_slice(&samples[..count]);
    }
}

/// The samples of a group of blocks of `N` × `N`.
#[inline]
fn samples<const N: usize>(group: &[i16], factors: &[f32; BLOCK]) -> Samples {
    let (places, _) = group.as_chunks::<LANES>();
    let places = &places[..N * N];
    let coefficient = |row: usize, column: usize| Lanes::of(&places[row * N + column]) * factors[row * N + column];
    match N {
        1 => samples_1(coefficient),
        2 => samples_2(coefficient),
        4 => samples_4(coefficient),
        _ => samples_n::<N>(coefficient),
    }
}

#[inline(always)]
fn samples_1(coefficient: impl Fn(usize, usize) -> Lanes) -> Samples {
    let mut rows = [[0; 8 * LANES + 8]; 8];
    let samples = (coefficient(0, 0) + LEVEL_SHIFT).samples();
    rows[0].iter_mut().zip(samples).for_each(|(to, sample)| *to = sample as u8);
    rows
}

#[inline(always)]
fn samples_2(coefficient: impl Fn(usize, usize) -> Lanes) -> Samples {
    let mut rows = [[0; 8 * LANES + 8]; 8];
    let (a, b) = (coefficient(0, 0) + LEVEL_SHIFT, coefficient(0, 1));
    let (c, d) = (coefficient(1, 0), coefficient(1, 1));
    for (row, (left, right)) in rows.iter_mut().zip([(a + c, b + d), (a - c, b - d)]) {
        let (p, q) = ((left + right).samples(), (left - right).samples());
        let (blocks, _) = row.as_chunks_mut::<2>();
        for lane in 0..LANES {
            blocks[lane] = ((p[lane] | q[lane] << 8) as u16).to_le_bytes();
        }
    }
    rows
}

#[inline(always)]
fn samples_4(coefficient: impl Fn(usize, usize) -> Lanes) -> Samples {
    let mut rows = [[0; 8 * LANES + 8]; 8];
    let column = |at: usize| idct_4([coefficient(0, at), coefficient(1, at), coefficient(2, at), coefficient(3, at)]);
    let ([a0, a1, a2, a3], b, c, d) = (column(0), column(1), column(2), column(3));
    let a = [a0 + LEVEL_SHIFT, a1 + LEVEL_SHIFT, a2 + LEVEL_SHIFT, a3 + LEVEL_SHIFT];
    for (at, row) in rows.iter_mut().take(4).enumerate() {
        let [p, q, r, s] = idct_4([a[at], b[at], c[at], d[at]]);
        let (p, q, r, s) = (p.samples(), q.samples(), r.samples(), s.samples());
        let (blocks, _) = row.as_chunks_mut::<4>();
        for lane in 0..LANES {
            blocks[lane] = (p[lane] | q[lane] << 8 | r[lane] << 16 | s[lane] << 24).to_le_bytes();
        }
    }
    rows
}

#[inline(always)]
fn samples_n<const N: usize>(coefficient: impl Fn(usize, usize) -> Lanes) -> Samples {
    let mut rows = [[0; 8 * LANES + 8]; 8];
    let mut columns = [[Lanes::ZERO; 8]; 8];
    for at in 0..N {
        let mut inputs = [Lanes::ZERO; 8];
        for row in 0..N {
            inputs[row] = coefficient(row, at);
        }
        columns[at] = idct_n::<N>(&inputs);
    }
    for (at, row) in rows.iter_mut().take(N).enumerate() {
        let mut inputs = [Lanes::ZERO; 8];
        for column in 0..N {
            inputs[column] = columns[column][at];
        }
        inputs[0] = inputs[0] + LEVEL_SHIFT;
        let outputs = idct_n::<N>(&inputs);
        let mut halves = [[0; LANES]; 2];
        for at in 0..N {
            let samples = outputs[at].samples();
            for lane in 0..LANES {
                halves[at / 4][lane] |= samples[lane] << (8 * (at % 4));
            }
        }
        // 8 bytes are stored of every block; the next block overwrites the surplus
        for lane in 0..LANES {
            let samples = u64::from(halves[0][lane]) | u64::from(halves[1][lane]) << 32;
            row[lane * N..lane * N + 8].copy_from_slice(&samples.to_le_bytes());
        }
    }
    rows
}

/// The IDCT in one direction, of length 4.
#[inline(always)]
fn idct_4([a, b, c, d]: [Lanes; 4]) -> [Lanes; 4] {
    /// tan(π/8): the weight of the one odd coefficient relative to the other.
    const TANGENT: f32 = 0.414_213_56;
    let (sum, difference) = (a + c, a - c);
    let (outer, inner) = (b + d * TANGENT, b * TANGENT - d);
    [sum + outer, difference + inner, difference - inner, sum - outer]
}

/// The IDCT in one direction, of length `N`: by its definition, unless `N` is 8.
#[inline(always)]
fn idct_n<const N: usize>(inputs: &[Lanes; 8]) -> [Lanes; 8] {
    if N == 8 {
        return idct_8(*inputs);
    }
    let mut outputs = [Lanes::ZERO; 8];
    for x in 0..N.div_ceil(2) {
        // the basis functions are even or odd around the middle
        let (mut even, mut odd) = (inputs[0], Lanes::ZERO);
        for u in 1..N {
            if u % 2 == 0 {
                even = even + inputs[u] * Basis::<N>::COS[x][u];
            } else {
                odd = odd + inputs[u] * Basis::<N>::COS[x][u];
            }
        }
        outputs[x] = even + odd;
        outputs[N - 1 - x] = even - odd;
    }
    outputs
}

/// The IDCT in one direction, of length 8, after Arai, Agui and Nakajima ("A fast DCT-SQ scheme for images", 1988): what all outputs
/// have in common is in [`factors`], and five multiplications are left.
#[inline(always)]
fn idct_8([a, b, c, d, e, f, g, h]: [Lanes; 8]) -> [Lanes; 8] {
    use std::f32::consts::SQRT_2;
    // 2 cos(π/8), and its difference to and its sum with 2 sin(π/8)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum of §A.3.3 for one sample of a block of `n` × `n`.
    fn expected(coefficients: &[i16; BLOCK], n: usize, x: usize, y: usize) -> f64 {
        let wave = |at: usize, u: usize| {
            let c = if u == 0 { std::f64::consts::FRAC_1_SQRT_2 } else { 1.0 };
            c * ((2 * at + 1) as f64 * u as f64 * std::f64::consts::PI / (2 * n) as f64).cos()
        };
        let all = (0..n * n).map(|at| (at / n, at % n));
        let sum: f64 = all.map(|(v, u)| f64::from(coefficients[v * n + u]) * wave(x, u) * wave(y, v)).sum();
        // the coefficients were scaled for blocks of 8 × 8, whatever the number of samples
        sum / 4.0 + 128.0
    }

    fn check<const N: usize>(seed: u32) {
        let mut group: Group = [0; BLOCK * LANES];
        let mut blocks = [[0_i16; BLOCK]; LANES];
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
        let rows = samples::<N>(&group, &factors::<N>(&[1; BLOCK]));
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
    fn samples_are_those_of_the_definition() {
        for seed in 1..50 {
            check::<1>(seed);
            check::<2>(seed);
            check::<3>(seed);
            check::<4>(seed);
            check::<6>(seed);
            check::<8>(seed);
        }
    }
}
