//! The first palette: boxes of colours are divided where that reduces the squared error most.

use super::Sample;
use super::space::{LEVEL, Point};

/// Parts of a box's extent between which it can be divided.
const BINS: usize = 64;

/// The least and the most colours of a palette, with the reserved ones.
const LEAST: usize = 4;
const MOST: usize = 256;

/// Neighbouring samples.
struct Group {
    from: usize,
    to: usize,
    mean: Point,
    weight: u64,
    /// The weighted squared error along each axis.
    errors: [u64; 4],
}

impl Group {
    fn new(samples: &[Sample], from: usize, to: usize) -> Group {
        let samples = &samples[from..to];
        let weight: i64 = samples.iter().map(|sample| i64::from(sample.weight)).sum();
        let (mut sums, mut squares) = ([0_i64; 4], [0_i64; 4]);
        for sample in samples {
            for axis in 0..4 {
                let value = i64::from(sample.point[axis]);
                sums[axis] += i64::from(sample.weight) * value;
                squares[axis] += i64::from(sample.weight) * value * value;
            }
        }
        let error = |axis: usize| {
            let mean = i128::from(sums[axis]) * i128::from(sums[axis]) / i128::from(weight.max(1));
            (i128::from(squares[axis]) - mean).max(0) as u64
        };
        let errors: [u64; 4] = std::array::from_fn(error);
        let mean = sums.map(|sum| sum.div_euclid(weight.max(1)) as i16);
        Group { from, to, mean, weight: weight as u64, errors }
    }

    /// The axis with the largest error, and that error.
    fn widest(&self) -> (usize, u64) {
        let axis = (0..4).rev().max_by_key(|&axis| self.errors[axis]).unwrap_or(0);
        (axis, self.errors[axis])
    }

    /// Orders the samples so that those below the best division come first; the position of the first one above.
    fn divide(&self, samples: &mut [Sample]) -> usize {
        let samples = &mut samples[self.from..self.to];
        let (axis, _) = self.widest();
        let value = |sample: &Sample| i64::from(sample.point[axis]);
        let lowest = samples.iter().map(value).min().unwrap_or(0);
        let extent = samples.iter().map(value).max().unwrap_or(0) - lowest + 1;
        let bin = |sample: &Sample| ((value(sample) - lowest) * BINS as i64 / extent) as usize;
        let mut bins = [(0_i64, 0_i64); BINS];
        for sample in samples.iter() {
            let (weight, sum) = &mut bins[bin(sample)];
            *weight += i64::from(sample.weight);
            *sum += i64::from(sample.weight) * (value(sample) - lowest);
        }
        let first_above = best_division(&bins);
        // a stable partition would need another buffer; the order within a part makes no difference
        let (mut low, mut high) = (0, samples.len());
        while low < high {
            if bin(&samples[low]) < first_above {
                low += 1;
            } else {
                high -= 1;
                samples.swap(low, high);
            }
        }
        self.from + low
    }
}

/// The bin with which the upper part begins, for the smallest squared error of weighted values: that is where the sum of
/// (sum of values)² / weight is largest.
fn best_division(bins: &[(i64, i64); BINS]) -> usize {
    let (all_weight, all_sum) = bins.iter().fold((0, 0), |all, bin| (all.0 + bin.0, all.1 + bin.1));
    let (mut weight, mut sum) = (0, 0);
    let (mut best, mut largest) = (BINS / 2, -1);
    for (at, bin) in bins.iter().enumerate().take(BINS - 1) {
        weight += bin.0;
        sum += bin.1;
        if weight == 0 || weight == all_weight {
            continue;
        }
        let part = |sum: i64, weight: i64| i128::from(sum) * i128::from(sum) / i128::from(weight);
        let gain = part(sum, weight) + part(all_sum - sum, all_weight - weight);
        if gain > largest {
            (best, largest) = (at + 1, gain);
        }
    }
    best
}

/// Divides the samples, whose order changes, into groups; the means of these. There are a power of two less `reserved`, the least
/// with an error that is not visible, or [`MOST`] less `reserved`, or as many as there are samples.
pub(super) fn divide(samples: &mut [Sample], reserved: usize) -> Vec<Point> {
    if samples.is_empty() {
        return Vec::new();
    }
    let mut groups = vec![Group::new(samples, 0, samples.len())];
    let mut count = LEAST;
    loop {
        while groups.len() < count - reserved {
            let worst = (0..groups.len()).rev().max_by_key(|&at| groups[at].widest().1);
            let Some(worst) = worst.filter(|&worst| groups[worst].widest().1 > 0) else { break };
            let group = &groups[worst];
            let (from, to) = (group.from, group.to);
            let middle = group.divide(samples);
            groups[worst] = Group::new(samples, from, middle);
            groups.push(Group::new(samples, middle, to));
        }
        if count == MOST || is_invisible(&groups) {
            return groups.into_iter().map(|group| group.mean).collect();
        }
        count *= 2;
    }
}

/// Whether the mean error of the groups is not visible.
fn is_invisible(groups: &[Group]) -> bool {
    let error: u64 = groups.iter().flat_map(|group| group.errors).sum();
    let weight: u64 = groups.iter().map(|group| group.weight).sum();
    error <= INVISIBLE * weight
}

/// The mean squared error of a palette with which drawings still have a SSIMULACRA2 above 90 in most cases: that of 1.4 levels.
const INVISIBLE: u64 = 2 * (LEVEL as u64).pow(2);
