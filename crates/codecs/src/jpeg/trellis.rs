//! Rate-distortion optimal ("trellis") quantisation of DCT coefficients, for the dense effort.
//!
//! Rounding keeps each coefficient as near as possible, whatever its bits cost. Here the levels of a block are those of the least
//! sum of error and bits, found by dynamic programming over the block's nonzero coefficients in zigzag order (M. Crouse and
//! K. Ramchandran, "Joint thresholding and quantizer selection for transform image coding", IEEE Transactions on Image Processing
//! 6(2), 1997). Bits are estimated by how often each symbol of a sequential scan (T.81 §F.1.2.2) occurs among the rounded
//! coefficients of the picture; the scans of a progressive file are close to proportional. DC is rounded.
//!
//! A block takes at most 63 * 63 steps, so that the time is linear in the samples. The result depends neither on threads nor on the machine:
//! floating-point operations are additions, multiplications and divisions in a fixed order.

use super::fdct::{Block, SIDE, forward};
use crate::ShouldContinue;
use tintype_pixels::{Plane, Size};

/// Coefficients of a block.
const COEFFICIENTS: usize = SIDE * SIDE;

/// The index in natural order of each coefficient in zigzag order (T.81 figure A.6).
#[rustfmt::skip]
const ZIGZAG: [usize; COEFFICIENTS] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// The bits that the squared error of a whole quantiser step is worth in a block without texture, at the lowest frequency; twice
/// as many at the highest. At equal SSIMULACRA2, files have 1.005 of the bytes with 30 (on 12 photographs), 1.004 with 28 at all
/// frequencies, 1.02 with 12 at all frequencies (on 6).
const ERROR_BITS: f32 = 20.0;

/// The mean square of a block's AC coefficients at which its texture hides half of an error. Files have 1.005 of the bytes without
/// such masking.
const MASKING: f32 = 1448.0;

/// The most bits of the magnitude of an AC coefficient of 8-bit samples (T.81 table F.2): it is at most 928.
const MAX_SIZE: usize = 10;

/// The longest Huffman code.
const MAX_CODE_BITS: f32 = 16.0;

/// More bits than any coefficient adds: its code and magnitude, the codes of zero runs before it, and a longer code of the next one.
const MAX_SAVING: f32 = 2.0 * MAX_CODE_BITS + MAX_SIZE as f32 + 3.0 * MAX_CODE_BITS;

/// A component of a picture, and how it is quantised.
pub(super) struct Component<'a> {
    plane: Plane<'a>,
    size: Size,
    /// In natural order, as `Block` has it.
    quant_table: Block,
}

impl<'a> Component<'a> {
    /// The first `size` samples of a plane, with a quantisation table in natural order.
    pub(super) fn new(plane: Plane<'a>, size: Size, table: &[u16; COEFFICIENTS]) -> Component<'a> {
        let quant_table = std::array::from_fn(|v| std::array::from_fn(|u| f32::from(table[v * SIDE + u])));
        Component { plane, size, quant_table }
    }

    /// The coefficients of a block in quantiser steps, the last row and column of samples repeated, and the mean square of the
    /// block's AC coefficients.
    fn block(&self, column: usize, row: usize) -> (Block, f32) {
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let left = column * SIDE;
        let mut samples: Block = [[0.0; SIDE]; SIDE];
        for (y, samples) in (row * SIDE..).zip(&mut samples) {
            let line = &self.plane.data[y.min(height - 1) * self.plane.stride..][..width];
            let level = |sample: u8| f32::from(sample) - 128.0;
            match line[left..].first_chunk::<SIDE>() {
                Some(line) => *samples = line.map(level),
                None => *samples = std::array::from_fn(|x| level(line[(left + x).min(width - 1)])),
            }
        }
        let mut coefficients = forward(&samples);
        let mut squares = [0.0; SIDE];
        for row in &coefficients {
            for (sum, value) in squares.iter_mut().zip(row) {
                *sum += value * value;
            }
        }
        let dc = coefficients[0][0];
        let mean_square = (squares.iter().sum::<f32>() - dc * dc).max(0.0) / (COEFFICIENTS - 1) as f32;
        for (value, step) in coefficients.as_flattened_mut().iter_mut().zip(self.quant_table.as_flattened()) {
            *value /= step;
        }
        (coefficients, mean_square)
    }

    /// Writes the quantised coefficients of a row of blocks in natural order.
    pub(super) fn quantise_row(&self, row: usize, rates: &Rates, blocks: &mut [[i16; COEFFICIENTS]]) {
        for (column, quantised) in blocks.iter_mut().enumerate() {
            let (coefficients, mean_square) = self.block(column, row);
            *quantised = quantise(coefficients.as_flattened(), mean_square, rates);
        }
    }
}

/// How often each symbol of AC coefficients occurs.
struct Counts {
    /// By size, 1 to 10, and run of zeros before, 0 to 15.
    levels: [[u64; 16]; MAX_SIZE + 1],
    /// Sixteen zeros.
    zero_runs: u64,
    /// Ends of blocks whose last coefficient is zero.
    ends: u64,
}

impl Counts {
    const NONE: Counts = Counts { levels: [[0; 16]; MAX_SIZE + 1], zero_runs: 0, ends: 0 };

    /// Adds the symbols of a block whose coefficients, in quantiser steps, are rounded.
    fn add(&mut self, coefficients: &[f32]) {
        let mut run = 0;
        for &index in &ZIGZAG[1..] {
            let level = rounded(coefficients[index].abs());
            if level == 0 {
                run += 1;
                continue;
            }
            self.zero_runs += run / 16;
            self.levels[size(level)][run as usize % 16] += 1;
            run = 0;
        }
        self.ends += u64::from(run > 0);
    }

    fn total(&self) -> u64 {
        self.levels.as_flattened().iter().sum::<u64>() + self.zero_runs + self.ends
    }
}

/// The estimated bits of AC coefficients.
pub(super) struct Rates {
    /// Of a coefficient, by its size, 1 to 10, and the run of zeros before it: codes and bits of the magnitude.
    levels: [[f32; COEFFICIENTS]; MAX_SIZE + 1],
    /// Of the end of a block.
    end: f32,
}

impl Rates {
    /// The rates of components that share Huffman tables; `None` if `should_continue` returned false.
    pub(super) fn of(components: &[Component<'_>], should_continue: ShouldContinue<'_>) -> Option<Rates> {
        let mut counts = Counts::NONE;
        for component in components {
            let blocks = |length: u32| (length as usize).div_ceil(SIDE);
            for row in 0..blocks(component.size.height) {
                if !should_continue() {
                    return None;
                }
                for column in 0..blocks(component.size.width) {
                    counts.add(component.block(column, row).0.as_flattened());
                }
            }
        }
        Some(Rates::new(&counts))
    }

    fn new(counts: &Counts) -> Rates {
        // a fifth of an occurrence more of each, so that symbols that do not occur have a rate, too
        let total = log2(counts.total() * 5 + 5);
        let code = |count: u64| (total - log2(count * 5 + 1)).min(MAX_CODE_BITS);
        let zero_run = code(counts.zero_runs);
        let level =
            |size: usize, run: usize| code(counts.levels[size][run % 16]) + size as f32 + zero_run * (run / 16) as f32;
        let levels = std::array::from_fn(|size| std::array::from_fn(|run| level(size, run)));
        Rates { levels, end: code(counts.ends) }
    }
}

/// A coefficient that rounding leaves, and the best way to code the block up to it.
#[derive(Clone, Copy)]
struct Node {
    /// Its index in zigzag order.
    position: usize,
    /// Its value in quantiser steps.
    value: f32,
    /// Bits, and error in bits, of the coefficients up to this one, less the error of a block of zeros.
    cost: f32,
    /// Its quantised magnitude.
    level: u32,
    /// The node of the nonzero coefficient before it.
    previous: usize,
}

/// Quantises a block whose coefficients are given in quantiser steps.
fn quantise(coefficients: &[f32], mean_square: f32, rates: &Rates) -> [i16; COEFFICIENTS] {
    let mut quantised = [0; COEFFICIENTS];
    quantised[0] = signed(rounded(coefficients[0].abs()), coefficients[0]);
    // the first stands for DC
    let mut nodes = [Node { position: 0, value: 0.0, cost: 0.0, level: 0, previous: 0 }; COEFFICIENTS];
    let mut count = 1;
    for (position, &index) in ZIGZAG.iter().enumerate().skip(1) {
        let value = coefficients[index];
        if value.abs() >= 0.5 {
            nodes[count] = Node { position, value, ..nodes[0] };
            count += 1;
        }
    }
    let in_smooth = ERROR_BITS / (1.0 + mean_square / MASKING);
    // the last coefficient that is certain to be kept
    let mut first = 0;
    for at in 1..count {
        let position = nodes[at].position;
        let weight = in_smooth * (1.0 + position as f32 / (COEFFICIENTS - 1) as f32);
        let magnitude = nodes[at].value.abs();
        let nearest = rounded(magnitude);
        let gain = |level: u32| {
            let error = magnitude - level as f32;
            weight * (magnitude * magnitude - error * error)
        };
        nodes[at].cost = f32::INFINITY;
        // the level below has fewer bits only where it has another size; zero is for the nodes behind to choose
        let below = Some(nearest - 1).filter(|below| *below > 0 && nearest.is_power_of_two());
        for level in [nearest].into_iter().chain(below) {
            let bits = &rates.levels[size(level)];
            let gain = gain(level);
            for previous in first..at {
                let cost = nodes[previous].cost + bits[position - 1 - nodes[previous].position] - gain;
                if cost < nodes[at].cost {
                    nodes[at] = Node { cost, level, previous, ..nodes[at] };
                }
            }
        }
        if gain(nearest) > MAX_SAVING {
            first = at;
        }
    }
    let total = |at: &usize| {
        let Node { position, cost, .. } = nodes[*at];
        if position == COEFFICIENTS - 1 { cost } else { cost + rates.end }
    };
    let mut at = (first..count).min_by(|a, b| total(a).total_cmp(&total(b))).unwrap_or(0);
    while at > 0 {
        let Node { position, value, level, previous, .. } = nodes[at];
        quantised[ZIGZAG[position]] = signed(level, value);
        at = previous;
    }
    quantised
}

fn rounded(magnitude: f32) -> u32 {
    (magnitude + 0.5) as u32
}

fn signed(level: u32, like: f32) -> i16 {
    if like < 0.0 { -(level as i16) } else { level as i16 }
}

/// The bits of a nonzero magnitude, "SSSS" of T.81.
fn size(level: u32) -> usize {
    level.ilog2() as usize + 1
}

/// The binary logarithm, in whole numbers: that of the standard library is not the same on all machines.
fn log2(value: u64) -> f32 {
    const FRACTION_BITS: u32 = 16;
    let exponent = value.ilog2();
    // 1 to 2 with 31 bits behind the point; each square yields the next bit of the logarithm
    let mut mantissa = (value << (63 - exponent)) >> 32;
    let mut fraction = 0_u32;
    for _ in 0..FRACTION_BITS {
        mantissa = (mantissa * mantissa) >> 31;
        let bit = (mantissa >> 32) as u32;
        mantissa >>= bit;
        fraction = fraction << 1 | bit;
    }
    exponent as f32 + fraction as f32 / (1 << FRACTION_BITS) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A photograph's rates, roughly: long runs and large values are rare.
    fn rates() -> Rates {
        let mut counts = Counts { zero_runs: 40, ends: 8000, ..Counts::NONE };
        for (size, levels) in counts.levels.iter_mut().enumerate().skip(1) {
            for (run, count) in levels.iter_mut().enumerate() {
                *count = 20_000 >> (size + run).min(14);
            }
        }
        Rates::new(&counts)
    }

    /// Coefficients in quantiser steps, by index in zigzag order.
    fn block(values: &[(usize, f32)]) -> [f32; COEFFICIENTS] {
        let mut block = [0.0; COEFFICIENTS];
        values.iter().for_each(|&(position, value)| block[ZIGZAG[position]] = value);
        block
    }

    /// Bits, and error in bits, of the AC coefficients of a quantised block.
    fn cost(coefficients: &[f32], quantised: &[i16; COEFFICIENTS], mean_square: f32, rates: &Rates) -> f32 {
        let (mut cost, mut last) = (0.0, 0);
        for (position, &index) in ZIGZAG.iter().enumerate().skip(1) {
            let level = quantised[index];
            let error = coefficients[index] - f32::from(level);
            let weight = ERROR_BITS / (1.0 + mean_square / MASKING) * (1.0 + position as f32 / 63.0);
            cost += weight * error * error;
            if level != 0 {
                cost += rates.levels[size(level.unsigned_abs().into())][position - 1 - last];
                last = position;
            }
        }
        if last < 63 { cost + rates.end } else { cost }
    }

    #[test]
    fn no_choice_of_levels_costs_less() {
        let rates = rates();
        let near = |a: f32, b: f32| (a - b).abs() < 0.01;
        for (seed, mean_square) in [0.0, 500.0, 20_000.0].into_iter().cycle().enumerate().take(90) {
            let random = |at: usize| ((seed * 64 + at) as u32).wrapping_mul(2_654_435_761) >> 16;
            let positions = [1, 2, 5, 22, 40, 60 + seed % 4];
            let value = |at: usize| {
                let magnitude = (random(at) % 1000) as f32 / if random(at + 20) % 4 == 0 { 60.0 } else { 400.0 };
                if random(at + 10) % 2 == 0 { magnitude } else { -magnitude }
            };
            let values: Vec<(usize, f32)> = positions.into_iter().map(|at| (at, value(at))).collect();
            let coefficients = block(&values);
            let found = quantise(&coefficients, mean_square, &rates);
            let found_cost = cost(&coefficients, &found, mean_square, &rates);
            // each coefficient rounded, a step below, or zero
            let mut least = f32::INFINITY;
            for choice in 0..3_usize.pow(6) {
                let mut tried = [0; COEFFICIENTS];
                for (digit, &(position, value)) in values.iter().enumerate() {
                    let nearest = rounded(value.abs());
                    let level = [nearest, nearest.saturating_sub(1), 0][choice / 3_usize.pow(digit as u32) % 3];
                    tried[ZIGZAG[position]] = signed(level, value);
                }
                least = least.min(cost(&coefficients, &tried, mean_square, &rates));
            }
            assert!(near(found_cost, least), "{found_cost} and {least} for {values:?}");
        }
    }

    #[test]
    fn small_values_far_apart_are_dropped_and_large_ones_kept() {
        let rates = rates();
        let values = [(0, -3.4), (1, 9.4), (3, -20.6), (40, 0.51), (63, 30.0)];
        let quantised = quantise(&block(&values), 100.0, &rates);
        assert_eq!(quantised, block(&[(0, -3.0), (1, 9.0), (3, -21.0), (63, 30.0)]).map(|value| value as i16));
        assert_eq!(quantise(&block(&[(40, 0.51)]), 100.0, &rates), [0; COEFFICIENTS]);
    }

    #[test]
    fn symbols_are_counted_as_the_entropy_coder_writes_them() {
        let mut counts = Counts::NONE;
        // a run of 34 is two of sixteen zeros and two more
        counts.add(&block(&[(1, 1.2), (2, -3.0), (37, 0.5), (40, 0.4)]));
        counts.add(&block(&[(63, 928.0)]));
        counts.add(&block(&[(0, 5.0)]));
        let levels = [(1, 0), (2, 0), (1, 2), (10, 14)];
        assert!(levels.iter().all(|&(size, run)| counts.levels[size][run] == 1));
        assert_eq!((counts.zero_runs, counts.ends, counts.total()), (2 + 3, 2, 4 + 5 + 2));
    }

    #[test]
    fn logarithm_is_that_of_the_standard_library() {
        for value in (1..2000).chain([1 << 20, (1 << 40) - 1, u64::MAX]) {
            let expected = (value as f64).log2();
            assert!((f64::from(log2(value)) - expected).abs() < 3e-5, "{value}: {} and {expected}", log2(value));
        }
    }

    #[test]
    fn samples_beyond_the_edge_repeat_the_last() {
        let samples: Vec<u8> = (0..9 * 20).map(|at| (at * 7 % 251) as u8).collect();
        let table = [1; COEFFICIENTS];
        let narrow = Component::new(Plane { data: &samples, stride: 20 }, Size::new(11, 9), &table);
        let padded: Vec<u8> = (0..16)
            .flat_map(|y: usize| (0..16).map(move |x: usize| y.min(8) * 20 + x.min(10)))
            .map(|at| samples[at])
            .collect();
        let whole = Component::new(Plane { data: &padded, stride: 16 }, Size::new(16, 16), &table);
        for (column, row) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            assert_eq!(narrow.block(column, row), whole.block(column, row));
        }
    }
}
