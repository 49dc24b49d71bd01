//! Arithmetic on one number of each of [`LANES`] blocks; its loops compile to vector instructions.

// LLVM vectorises counted loops reliably
#![allow(clippy::needless_range_loop)]

use std::ops::{Add, Mul, Sub};

use crate::zigzag::LANES;

/// One number of each of [`LANES`] blocks.
#[derive(Clone, Copy)]
pub(crate) struct Lanes(pub(crate) [f32; LANES]);

impl Lanes {
    pub(crate) const ZERO: Lanes = Lanes([0.0; LANES]);

    #[inline(always)]
    pub(crate) fn of(coefficients: &[i16; LANES]) -> Lanes {
        let mut lanes = [0.0; LANES];
        for at in 0..LANES {
            lanes[at] = f32::from(coefficients[at]);
        }
        Lanes(lanes)
    }

    /// Rounded to the nearest and clamped to 0 to 255.
    #[inline(always)]
    pub(crate) fn samples(self) -> [u32; LANES] {
        // 1.5 · 2^23: added to a float it makes the lowest bits of its representation the rounded number
        const UNITS: f32 = 12_582_912.0;
        let mut samples = [0; LANES];
        for at in 0..LANES {
            // comparisons, since processors have an instruction for each of just these
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
