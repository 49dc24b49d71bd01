//! Huffman codes of JPEG (T.81 Annex C) and how the next one is found.

/// Bits that codes alone are looked up by.
const SHORT: u32 = 10;

/// Which code bits begin with.
pub(crate) struct Codes {
    /// By the next [`SHORT`] bits: the code's length and its symbol, 0 where it is longer.
    short: [u16; 1 << SHORT],
    /// For each length the first 16 bits that are beyond its codes, and what is to be added to a code to find its symbol.
    beyond: [u32; 17],
    offset: [i32; 17],
    symbols: [u8; 256],
}

impl Codes {
    /// From a table's definition: how many codes there are of each length, and the symbols in order (§C.2). `None` where
    /// that is no code, or one that has ones alone in it, which stand for the end of the data.
    pub(crate) fn new(counts: &[u8; 16], listed: &[u8]) -> Option<Codes> {
        let mut codes = Codes { short: [0; 1 << SHORT], beyond: [0; 17], offset: [0; 17], symbols: [0; 256] };
        codes.symbols.get_mut(..listed.len())?.copy_from_slice(listed);
        let (mut code, mut index) = (0_u32, 0_usize);
        for (length, &count) in (1_u32..).zip(counts) {
            codes.offset[length as usize] = index as i32 - code as i32;
            for _ in 0..count {
                if code + 1 >= 1 << length {
                    return None;
                }
                let symbol = *listed.get(index)?;
                if length <= SHORT {
                    let first = (code << (SHORT - length)) as usize;
                    let entry = (length as u16) << 8 | u16::from(symbol);
                    codes.short[first..first + (1 << (SHORT - length))].fill(entry);
                }
                (code, index) = (code + 1, index + 1);
            }
            codes.beyond[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Some(codes)
    }

    /// Length and symbol of the code that 16 bits begin with; a length of 0 for those longer than [`SHORT`].
    pub(crate) fn starting(&self, bits: u32) -> (u32, u32) {
        let entry = self.short[(bits >> (16 - SHORT)) as usize & ((1 << SHORT) - 1)];
        (u32::from(entry >> 8), u32::from(entry & 255))
    }

    /// Length and symbol of the code that 16 bits begin with.
    pub(crate) fn find(&self, bits: u32) -> Option<(u32, u32)> {
        let (length, symbol) = self.starting(bits);
        if length > 0 {
            return Some((length, symbol));
        }
        let length = (SHORT + 1..=16).find(|&length| bits < self.beyond[length as usize])?;
        let index = (bits >> (16 - length)) as i32 + self.offset[length as usize];
        Some((length, self.symbols[index as usize & 255].into()))
    }

    /// Whether no symbol is larger: those of means are lengths.
    pub(crate) fn has_no_symbol_beyond(&self, most: u8) -> bool {
        self.symbols.iter().all(|&symbol| symbol <= most)
    }
}
