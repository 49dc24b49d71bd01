//! The coefficients that are held between scans.

use super::file::Component;
use crate::request::PlaneView;
use crate::zigzag::{LANES, Zigzag};

/// The coefficients of one component: `N` × `N` of each block.
pub(super) struct CoefficientBuffer<const N: usize> {
    /// For each row of blocks groups of [`LANES`] blocks, as the IDCT takes them, then [`LANES`] coefficients of which the first
    /// is written in place of those that are not held.
    pub(super) coefficients: Vec<i16>,
    /// Coefficients from one row of blocks to the next.
    pub(super) stride: usize,
    /// For each block that contains samples of the image, row by row, the set of its nonzero AC coefficients, held or not.
    nonzero: Vec<u64>,
    /// Blocks of a row of `nonzero`.
    columns: usize,
}

impl<const N: usize> CoefficientBuffer<N> {
    /// Coefficients of a group.
    const GROUP: usize = N * N * LANES;

    /// Zeros, for an image of that many columns and rows of MCUs.
    pub(super) fn new(component: &Component, (mcu_columns, mcu_rows): (usize, usize)) -> CoefficientBuffer<N> {
        let stride = (mcu_columns * component.h).div_ceil(LANES) * Self::GROUP + LANES;
        let Component { columns, rows, .. } = *component;
        CoefficientBuffer {
            coefficients: vec![0; stride * mcu_rows * component.v],
            stride,
            nonzero: if N > 1 { vec![0; columns * rows] } else { Vec::new() },
            columns,
        }
    }

    /// A row of blocks: its coefficients, the sets of nonzero ones, and the index of the place for coefficients that are not held.
    pub(super) fn row(&mut self, row: usize) -> (&mut [i16], &mut [u64], usize) {
        let coefficients = &mut self.coefficients[row * self.stride..][..self.stride];
        (coefficients, &mut self.nonzero[row * self.columns..][..self.columns], self.stride - LANES)
    }

    /// The index in a row of coefficient `k` of the block in that column, or `unheld` where it is not held.
    #[inline(always)]
    pub(super) fn index(column: usize, k: usize, unheld: usize) -> usize {
        let start = usize::from(Zigzag::<N>::STARTS[k & 63]);
        let held = column / LANES * Self::GROUP + start + column % LANES;
        if start < Self::GROUP { held } else { unheld }
    }

    /// Transforms all blocks into a plane.
    pub(super) fn write(&self, view: &mut PlaneView<'_>) {
        for (row, coefficients) in self.coefficients.chunks_exact(self.stride).enumerate() {
            let groups = &coefficients[..self.stride - LANES];
            for (at, group) in groups.chunks_exact(Self::GROUP).enumerate() {
                view.write_group(group, N, (at * LANES, row));
            }
        }
    }
}
