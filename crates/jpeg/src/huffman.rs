//! Huffman codes of JPEG (T.81 Annex C, §F.2.2) as tables that say at a glance what the next bits stand for.
//!
//! A code that fits into few bits is looked up together with the value behind it, and where nobody wants the values, as
//! many codes as fit are looked up at once.

use crate::codes::Codes;

/// Bits that a code and the value behind it are looked up by.
pub(crate) const NEAR: u32 = 11;
/// Bits that a run of codes with values is looked up by.
pub(crate) const FAR: u32 = 13;
/// By how many places the end of a block goes on: more than a block has.
pub(crate) const END: u32 = 128;

/// What of [`Values::far`] stands for bits that hold no whole code: more places than any run goes on by.
const NONE: u16 = 0xFF00;

/// Codes with the values behind them, for the mean of a block (DC) or for its other coefficients (AC).
pub(crate) struct Values {
    pub(crate) codes: Codes,
    /// By the next [`NEAR`] bits: how many of them a code with its value takes (bits 0 to 7), by how many places it goes on
    /// before the value (8 to 15), the value (16 to 31). 0 where they do not hold both.
    pub(crate) near: [u32; 1 << NEAR],
    /// By the next [`FAR`] bits, for all codes with values that lie within them: how many bits they take (0 to 7), by how
    /// many places they go on (8 to 15), with [`END`] where they end the block. [`NONE`] where not even one fits; empty for
    /// means and bands.
    pub(crate) far: Vec<u16>,
}

impl Values {
    /// For means, whose symbols are lengths of values, 15 at most.
    pub(crate) fn of_means(counts: &[u8; 16], listed: &[u8]) -> Option<Values> {
        if listed.iter().any(|&size| size > 15) {
            return None;
        }
        Some(Values::new(counts, listed)?.with_near(|size| (0, size, value)))
    }

    /// For the other coefficients.
    pub(crate) fn of_others(counts: &[u8; 16], listed: &[u8]) -> Option<Values> {
        let values = Values::new(counts, listed)?.with_near(|symbol| match (symbol >> 4, symbol & 15) {
            (15, 0) => (15, 0, value),
            (_, 0) => (END, 0, value),
            (zeros, size) => (zeros, size, value),
        });
        Some(values.with_far())
    }

    /// For the other coefficients in scans that send a part of them (§G.1.2.2), where what ends a block says how many
    /// blocks it ends: the value then.
    pub(crate) fn of_bands(counts: &[u8; 16], listed: &[u8]) -> Option<Values> {
        let values = Values::new(counts, listed)?.with_near(|symbol| match (symbol >> 4, symbol & 15) {
            (15, 0) => (15, 0, value),
            (size, 0) => (END, size, ended),
            (zeros, size) => (zeros, size, value),
        });
        Some(values)
    }

    fn new(counts: &[u8; 16], listed: &[u8]) -> Option<Values> {
        Some(Values { codes: Codes::new(counts, listed)?, near: [0; 1 << NEAR], far: Vec::new() })
    }

    /// By how many places each symbol goes on, and how many bits behind it stand for what value.
    fn with_near(mut self, read: impl Fn(u32) -> (u32, u32, fn(u32, u32) -> i32)) -> Values {
        for bits in 0..1_u32 << NEAR {
            let (length, symbol) = self.codes.starting(bits << (16 - NEAR));
            let (places, size, value) = read(symbol);
            if length > 0 && length + size <= NEAR {
                let raw = bits >> (NEAR - length - size) & ((1 << size) - 1);
                self.near[bits as usize] = (value(raw, size) as u32) << 16 | places << 8 | (length + size);
            }
        }
        self
    }

    fn with_far(mut self) -> Values {
        // for every number of bits, since what a first code leaves is a run in fewer
        let mut runs = vec![vec![0]];
        for count in 1..=FAR {
            runs.push((0..1 << count).map(|bits| self.run(bits, count, &runs)).collect());
        }
        let longest = runs.pop().unwrap_or_default();
        self.far = longest.into_iter().map(|run| if run == 0 { NONE } else { run }).collect();
        self
    }

    /// What of [`Values::far`] stands for so many bits, by the runs in fewer; 0 for none.
    fn run(&self, bits: u32, count: u32, runs: &[Vec<u16>]) -> u16 {
        let (length, symbol) = self.codes.starting(bits << (16 - count));
        let (zeros, size) = (symbol >> 4, symbol & 15);
        let used = length + size;
        if length == 0 || used > count {
            return 0;
        }
        if size == 0 && zeros < 15 {
            return (END << 8 | used) as u16;
        }
        let left = count - used;
        let one = ((zeros + 1) << 8 | used) as u16;
        let rest = runs[left as usize][(bits & ((1 << left) - 1)) as usize];
        // more places than a block has are left to whoever finds the end of it
        if u32::from(rest >> 8) % END + zeros < 64 { one + rest } else { one }
    }
}

/// A value from its bits (§F.2.2.1, EXTEND).
#[inline(always)]
pub(crate) fn value(raw: u32, size: u32) -> i32 {
    let half = (1_i32 << size) >> 1;
    let raw = raw as i32;
    if raw < half { raw - (1 << size) + 1 } else { raw }
}

/// How many blocks are ended, by the bits behind a code that ends blocks (§G.1.2.2, table G.1).
pub(crate) fn ended(raw: u32, size: u32) -> i32 {
    (raw | 1 << size) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many codes there are of each length.
    fn counts(few: &[(usize, u8)]) -> [u8; 16] {
        let mut counts = [0; 16];
        few.iter().for_each(|&(length, count)| counts[length - 1] = count);
        counts
    }

    #[test]
    fn what_is_no_code_is_none() {
        for (few, is_code) in [
            (&[(1, 1)][..], true),
            // a code of ones alone
            (&[(1, 2)], false),
            (&[(1, 1), (2, 1)], true),
            (&[(1, 1), (2, 2)], false),
            (&[(8, 255)], true),
            (&[(8, 255), (16, 255)], false),
            (&[(1, 1), (16, 200)], true),
        ] {
            let counts = counts(few);
            let listed: Vec<u8> = (0..counts.iter().map(|&count| u32::from(count)).sum()).map(|at| at as u8).collect();
            assert_eq!(Values::of_others(&counts, &listed).is_some(), is_code, "{few:?}");
        }
        assert!(Values::of_means(&counts(&[(1, 1)]), &[16]).is_none(), "no value has 16 bits");
    }

    #[test]
    fn codes_of_any_length_are_found() {
        // 0, 10, 110 and so on
        let counts = counts(&(1..=16).map(|length| (length, 1)).collect::<Vec<_>>());
        let listed: Vec<u8> = (1..=16).collect();
        let values = Values::of_others(&counts, &listed).expect("a code");
        for length in 1..=16 {
            let bits = 0xFFFF_u32 << (17 - length) & 0xFFFF;
            assert_eq!(values.codes.find(bits), Some((length, length)));
        }
        assert_eq!(values.codes.find(0xFFFF), None);
    }

    #[test]
    fn values_are_as_the_standard_lists_them() {
        for (size, raw, expected) in
            [(0, 0, 0), (1, 0, -1), (1, 1, 1), (3, 0, -7), (3, 3, -4), (3, 4, 4), (15, 0, -32_767)]
        {
            assert_eq!(value(raw, size), expected, "{raw} of {size} bits");
        }
    }
}
