//! Huffman tables (ITU T.81 Annex C, §F.2.2) that yield symbol and coefficient in one lookup.
//!
//! Codes that are short together with the bits behind them are looked up at once, coefficient included. Where coefficients are
//! skipped, as many codes as fit into 13 bits are looked up at once.

use crate::huffman_codes::HuffmanCodes;

/// Bits that index [`HuffmanTable::lookup`].
pub(crate) const LOOKUP_BITS: u32 = 11;
/// Bits that index [`HuffmanTable::multi_lookup`].
pub(crate) const MULTI_LOOKUP_BITS: u32 = 13;
/// The run that stands for an end of block: longer than a block.
pub(crate) const EOB: u32 = 128;

/// The entry of [`HuffmanTable::multi_lookup`] for bits that hold no whole code: longer than any run.
const NO_CODE: u16 = 0xFF00;

/// A Huffman table for DC or AC coefficients.
pub(crate) struct HuffmanTable {
    /// All codes, long ones included.
    pub(crate) codes: HuffmanCodes,
    /// By the next [`LOOKUP_BITS`] bits: the length of the code and the bits behind it (bits 0 to 7), the run of zeros before
    /// the coefficient (8 to 15), the coefficient (16 to 31). 0 where they do not hold both whole.
    pub(crate) lookup: [u32; 1 << LOOKUP_BITS],
    /// By the next [`MULTI_LOOKUP_BITS`] bits, for all AC codes that are whole in them, coefficients included: their length
    /// (0 to 7) and by how many coefficients they go on (8 to 15), [`EOB`] added where the last one is an EOB. [`NO_CODE`] where
    /// not even one is whole. Empty in tables for DC and for progressive scans.
    pub(crate) multi_lookup: Vec<u16>,
}

impl HuffmanTable {
    /// A table for DC coefficients, whose symbols are categories, 0 to 15. `bits` and `huffval` are the lists of T.81 §B.2.4.2;
    /// `None` where they are no code.
    pub(crate) fn dc(bits: &[u8; 16], huffval: &[u8]) -> Option<HuffmanTable> {
        if huffval.iter().any(|&size| size > 15) {
            return None;
        }
        Some(HuffmanTable::new(bits, huffval)?.with_lookup(|size| (0, size, extend)))
    }

    /// A table for the AC coefficients of sequential scans.
    pub(crate) fn ac(bits: &[u8; 16], huffval: &[u8]) -> Option<HuffmanTable> {
        let table = HuffmanTable::new(bits, huffval)?.with_lookup(|symbol| match (symbol >> 4, symbol & 15) {
            (15, 0) => (15, 0, extend),
            (_, 0) => (EOB, 0, extend),
            (run, size) => (run, size, extend),
        });
        Some(table.with_multi_lookup())
    }

    /// A table for the AC coefficients of progressive scans (§G.1.2.2): the coefficient of an EOB is the length of its run.
    pub(crate) fn progressive_ac(bits: &[u8; 16], huffval: &[u8]) -> Option<HuffmanTable> {
        let table = HuffmanTable::new(bits, huffval)?.with_lookup(|symbol| match (symbol >> 4, symbol & 15) {
            (15, 0) => (15, 0, extend),
            (size, 0) => (EOB, size, eob_run),
            (run, size) => (run, size, extend),
        });
        Some(table)
    }

    fn new(bits: &[u8; 16], huffval: &[u8]) -> Option<HuffmanTable> {
        let codes = HuffmanCodes::new(bits, huffval)?;
        Some(HuffmanTable { codes, lookup: [0; 1 << LOOKUP_BITS], multi_lookup: Vec::new() })
    }

    /// Fills `lookup`. `meaning` returns for a symbol its run, the number of bits behind its code, and the function that makes a value of them.
    fn with_lookup(mut self, meaning: impl Fn(u32) -> (u32, u32, fn(u32, u32) -> i32)) -> HuffmanTable {
        for bits in 0..1_u32 << LOOKUP_BITS {
            let (length, symbol) = self.codes.find_short(bits << (16 - LOOKUP_BITS));
            let (run, size, value) = meaning(symbol);
            if length > 0 && length + size <= LOOKUP_BITS {
                let raw = bits >> (LOOKUP_BITS - length - size) & ((1 << size) - 1);
                self.lookup[bits as usize] = (value(raw, size) as u32) << 16 | run << 8 | (length + size);
            }
        }
        self
    }

    fn with_multi_lookup(mut self) -> HuffmanTable {
        // entries for every number of bits, since what follows a first code is an entry for fewer bits
        let mut entries = vec![vec![0]];
        for count in 1..=MULTI_LOOKUP_BITS {
            entries.push((0..1 << count).map(|bits| self.multi_entry(bits, count, &entries)).collect());
        }
        let longest = entries.pop().unwrap_or_default();
        self.multi_lookup = longest.into_iter().map(|entry| if entry == 0 { NO_CODE } else { entry }).collect();
        self
    }

    /// The entry of [`HuffmanTable::multi_lookup`] for `count` bits, by the entries for fewer; 0 for none.
    fn multi_entry(&self, bits: u32, count: u32, entries: &[Vec<u16>]) -> u16 {
        let (length, symbol) = self.codes.find_short(bits << (16 - count));
        let (run, size) = (symbol >> 4, symbol & 15);
        let used = length + size;
        if length == 0 || used > count {
            return 0;
        }
        if size == 0 && run < 15 {
            return (EOB << 8 | used) as u16;
        }
        let left = count - used;
        let first = ((run + 1) << 8 | used) as u16;
        let rest = entries[left as usize][(bits & ((1 << left) - 1)) as usize];
        // codes that run past the end of a block are left to be decoded one by one
        if u32::from(rest >> 8) % EOB + run < 64 { first + rest } else { first }
    }
}

/// EXTEND (§F.2.2.1, figure F.12): the coefficient of category `size` whose bits are `raw`.
#[inline(always)]
pub(crate) fn extend(raw: u32, size: u32) -> i32 {
    let half = (1_i32 << size) >> 1;
    let raw = raw as i32;
    if raw < half { raw - (1 << size) + 1 } else { raw }
}

/// The length of an EOB run of category `size` whose bits are `raw`, this block included (§G.1.2.2, table G.1).
pub(crate) fn eob_run(raw: u32, size: u32) -> i32 {
    (raw | 1 << size) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BITS from pairs of length and number of codes.
    fn bits(few: &[(usize, u8)]) -> [u8; 16] {
        let mut bits = [0; 16];
        few.iter().for_each(|&(length, count)| bits[length - 1] = count);
        bits
    }

    #[test]
    fn overfull_table_is_refused() {
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
            let bits = bits(few);
            let huffval: Vec<u8> = (0..bits.iter().map(|&count| u32::from(count)).sum()).map(|at| at as u8).collect();
            assert_eq!(HuffmanTable::ac(&bits, &huffval).is_some(), is_code, "{few:?}");
        }
        assert!(HuffmanTable::dc(&bits(&[(1, 1)]), &[16]).is_none(), "no DC category is 16");
    }

    #[test]
    fn codes_of_any_length_are_found() {
        // 0, 10, 110 and so on
        let bits = bits(&(1..=16).map(|length| (length, 1)).collect::<Vec<_>>());
        let huffval: Vec<u8> = (1..=16).collect();
        let table = HuffmanTable::ac(&bits, &huffval).expect("a code");
        for length in 1..=16 {
            let code = 0xFFFF_u32 << (17 - length) & 0xFFFF;
            assert_eq!(table.codes.find(code), Some((length, length)));
        }
        assert_eq!(table.codes.find(0xFFFF), None);
    }

    #[test]
    fn extend_returns_the_coefficients_of_table_f_1() {
        for (size, raw, expected) in
            [(0, 0, 0), (1, 0, -1), (1, 1, 1), (3, 0, -7), (3, 3, -4), (3, 4, 4), (15, 0, -32_767)]
        {
            assert_eq!(extend(raw, size), expected, "{raw} of {size} bits");
        }
    }
}
