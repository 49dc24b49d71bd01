//! Canonical Huffman codes (ITU T.81 Annex C).

/// Bits that index [`HuffmanCodes::short`].
const SHORT_BITS: u32 = 10;

/// The codes of a Huffman table, without the bits behind them.
pub(crate) struct HuffmanCodes {
    /// By the next [`SHORT_BITS`] bits: the code's length (bits 8 to 15) and its symbol (0 to 7), 0 where it is longer.
    short: [u16; 1 << SHORT_BITS],
    /// By length: the first 16 bits that are above all codes of that length.
    limit: [u32; 17],
    /// By length: the difference between the index of a symbol and its code.
    offset: [i32; 17],
    /// HUFFVAL, the symbols in the order of their codes.
    symbols: [u8; 256],
}

impl HuffmanCodes {
    /// From the lists BITS, the number of codes by length, and HUFFVAL, their symbols (§C.2). `None` where that is no code, or
    /// has a code of ones alone, which are reserved for padding.
    pub(crate) fn new(bits: &[u8; 16], huffval: &[u8]) -> Option<HuffmanCodes> {
        let mut codes =
            HuffmanCodes { short: [0; 1 << SHORT_BITS], limit: [0; 17], offset: [0; 17], symbols: [0; 256] };
        codes.symbols.get_mut(..huffval.len())?.copy_from_slice(huffval);
        let (mut code, mut index) = (0_u32, 0_usize);
        for (length, &count) in (1_u32..).zip(bits) {
            codes.offset[length as usize] = index as i32 - code as i32;
            for _ in 0..count {
                if code + 1 >= 1 << length {
                    return None;
                }
                let symbol = *huffval.get(index)?;
                if length <= SHORT_BITS {
                    let first = (code << (SHORT_BITS - length)) as usize;
                    let entry = (length as u16) << 8 | u16::from(symbol);
                    codes.short[first..first + (1 << (SHORT_BITS - length))].fill(entry);
                }
                (code, index) = (code + 1, index + 1);
            }
            codes.limit[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Some(codes)
    }

    /// Length and symbol of the code that the 16 bits begin with; length 0 for codes longer than [`SHORT_BITS`].
    pub(crate) fn find_short(&self, bits: u32) -> (u32, u32) {
        let entry = self.short[(bits >> (16 - SHORT_BITS)) as usize & ((1 << SHORT_BITS) - 1)];
        (u32::from(entry >> 8), u32::from(entry & 255))
    }

    /// Length and symbol of the code that the 16 bits begin with.
    pub(crate) fn find(&self, bits: u32) -> Option<(u32, u32)> {
        let (length, symbol) = self.find_short(bits);
        if length > 0 {
            return Some((length, symbol));
        }
        let length = (SHORT_BITS + 1..=16).find(|&length| bits < self.limit[length as usize])?;
        let index = (bits >> (16 - length)) as i32 + self.offset[length as usize];
        Some((length, self.symbols[index as usize & 255].into()))
    }

    /// Whether all symbols are DC categories, 0 to 15.
    pub(crate) fn are_dc(&self) -> bool {
        self.symbols.iter().all(|&symbol| symbol <= 15)
    }
}
