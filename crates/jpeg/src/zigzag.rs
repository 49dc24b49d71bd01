//! The zigzag order (ITU T.81 §A.3.6), and which coefficients blocks of `N` × `N` have.

use tintype_pixels::DctScale;

/// Coefficients of a block.
pub(crate) const BLOCK: usize = 64;

/// Blocks that are transformed side by side, one in each lane of the processor's vectors.
pub(crate) const LANES: usize = 8;

/// Coefficients of [`LANES`] blocks of `N` × `N`, interleaved: `LANES` coefficients of each place, place after place, `N` places a
/// row. Behind them is room for coefficients that such blocks do not have.
pub(crate) type Group = [i16; BLOCK * LANES];

/// The place in a block of `N` × `N`, row by row, of each coefficient in zigzag order; `N * N` for those that it does not have.
pub(crate) const fn places<const N: usize>() -> [u16; BLOCK] {
    let mut places = [(N * N) as u16; BLOCK];
    let (mut row, mut column, mut k) = (0_usize, 0_usize, 0);
    while k < BLOCK {
        if row < N && column < N {
            places[k] = (row * N + column) as u16;
        }
        // along diagonals, up and down in turn
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

/// Constants for blocks of `N` × `N`.
pub(crate) struct Zigzag<const N: usize>;

impl<const N: usize> Zigzag<N> {
    /// By coefficient in zigzag order, the index in a [`Group`] of its place in the first block.
    pub(crate) const STARTS: &[u16; BLOCK] = &{
        let mut starts = places::<N>();
        let mut k = 0;
        while k < BLOCK {
            starts[k] *= LANES as u16;
            k += 1;
        }
        starts
    };

    /// The set of coefficients that the blocks have, as bits by their indices in zigzag order.
    pub(crate) const NEEDED: u64 = {
        let (mut needed, mut k) = (0, 0);
        while k < BLOCK {
            if (places::<N>()[k] as usize) < N * N {
                needed |= 1 << k;
            }
            k += 1;
        }
        needed
    };

    /// The index of the last of them.
    pub(crate) const LAST: usize = Self::NEEDED.ilog2() as usize;
}

/// [`Zigzag::NEEDED`] at that scale.
pub(crate) fn needed_coefficients(scale: DctScale) -> u64 {
    match scale.eighths() {
        1 => Zigzag::<1>::NEEDED,
        2 => Zigzag::<2>::NEEDED,
        3 => Zigzag::<3>::NEEDED,
        4 => Zigzag::<4>::NEEDED,
        6 => Zigzag::<6>::NEEDED,
        _ => Zigzag::<8>::NEEDED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_needed_coefficient_is_that_of_the_corner() {
        assert_eq!([Zigzag::<1>::LAST, Zigzag::<2>::LAST, Zigzag::<4>::LAST, Zigzag::<8>::LAST], [0, 4, 24, 63]);
    }
}
