//! Bits and prefix codes of VP8L (RFC 9649 §3.7.2).

/// Reads bits from the least significant one of each byte on.
pub(super) struct BitReader<'a> {
    pub(super) data: &'a [u8],
    pub(super) buffer: u64,
    /// Bits in the buffer.
    pub(super) count: u32,
}

impl BitReader<'_> {
    fn fill(&mut self) {
        while self.count <= 56
            && let Some((&byte, rest)) = self.data.split_first()
        {
            self.buffer |= u64::from(byte) << self.count;
            self.count += 8;
            self.data = rest;
        }
    }

    /// Reads up to 32 bits; `None` at the end.
    pub(super) fn read(&mut self, bits: u32) -> Option<u32> {
        if self.count < bits {
            self.fill();
            if self.count < bits {
                return None;
            }
        }
        let number = self.buffer & ((1 << bits) - 1);
        self.buffer >>= bits;
        self.count -= bits;
        Some(number as u32)
    }
}

/// A prefix code (§3.7.2) in canonical form.
#[derive(Default)]
pub(super) struct PrefixCode {
    /// The number of codes of each length.
    counts: [u16; MAX_LENGTH + 1],
    /// The symbols in the order of their codes.
    symbols: Vec<u16>,
}

/// Bits of the longest code (§3.7.2.1).
const MAX_LENGTH: usize = 15;

impl PrefixCode {
    /// The code of these code lengths, one a symbol, 0 for unused ones; `None` for an incomplete or oversubscribed code.
    fn from_lengths(lengths: &[u8]) -> Option<PrefixCode> {
        let mut code = PrefixCode::default();
        lengths.iter().filter(|length| **length > 0).for_each(|length| code.counts[usize::from(*length)] += 1);
        // for each length, the place of its next symbol
        let mut places = [0; MAX_LENGTH + 1];
        for length in 1..MAX_LENGTH {
            places[length + 1] = places[length] + usize::from(code.counts[length]);
        }
        code.symbols.resize(places[MAX_LENGTH] + usize::from(code.counts[MAX_LENGTH]), 0);
        for (symbol, &length) in (0_u16..).zip(lengths).filter(|(_, length)| **length > 0) {
            let place = &mut places[usize::from(length)];
            code.symbols[*place] = symbol;
            *place += 1;
        }
        // a single symbol is coded in no bits
        if code.symbols.len() == 1 {
            return Some(code);
        }
        let left = (1..=MAX_LENGTH).try_fold(1_i32, |left, length| {
            let left = 2 * left - i32::from(code.counts[length]);
            (left >= 0).then_some(left)
        })?;
        (left == 0).then_some(code)
    }

    /// A code of one symbol or two of one bit each; symbols outside of the alphabet are left out. `None` without any.
    fn simple(mut symbols: Vec<u16>, alphabet_size: usize) -> Option<PrefixCode> {
        symbols.retain(|&symbol| usize::from(symbol) < alphabet_size);
        symbols.sort_unstable();
        symbols.dedup();
        let mut code = PrefixCode { counts: [0; MAX_LENGTH + 1], symbols };
        code.counts[1] = code.symbols.len() as u16;
        (!code.symbols.is_empty()).then_some(code)
    }

    pub(super) fn read_symbol(&self, bits: &mut BitReader<'_>) -> Option<u16> {
        if let [symbol] = self.symbols[..] {
            return Some(symbol);
        }
        let (mut code, mut first, mut index) = (0_u32, 0_u32, 0_u32);
        for count in &self.counts[1..] {
            code |= bits.read(1)?;
            let count = u32::from(*count);
            if code < first + count {
                return self.symbols.get((index + code - first) as usize).copied();
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }

    /// Reads a code of `alphabet_size` symbols (§3.7.2.1).
    pub(super) fn read(bits: &mut BitReader<'_>, alphabet_size: usize) -> Option<PrefixCode> {
        if bits.read(1)? == 1 {
            let count = bits.read(1)? + 1;
            let wide = bits.read(1)? == 1;
            let mut symbols = vec![bits.read(if wide { 8 } else { 1 })? as u16];
            if count == 2 {
                symbols.push(bits.read(8)? as u16);
            }
            return PrefixCode::simple(symbols, alphabet_size);
        }
        const ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let mut length_code_lengths = [0; 19];
        for &at in &ORDER[..bits.read(4)? as usize + 4] {
            length_code_lengths[at] = bits.read(3)? as u8;
        }
        let length_code = PrefixCode::from_lengths(&length_code_lengths)?;
        let mut remaining = alphabet_size;
        if bits.read(1)? == 1 {
            let wide = 2 + 2 * bits.read(3)?;
            remaining = bits.read(wide)? as usize + 2;
        }
        let mut lengths: Vec<u8> = Vec::with_capacity(alphabet_size);
        let mut last = 8;
        while lengths.len() < alphabet_size && remaining > 0 {
            remaining -= 1;
            let (length, repeats) = match length_code.read_symbol(bits)? {
                16 => (last, bits.read(2)? + 3),
                17 => (0, bits.read(3)? + 3),
                18 => (0, bits.read(7)? + 11),
                length => (length as u8, 1),
            };
            last = if length > 0 { length } else { last };
            lengths.extend(std::iter::repeat_n(length, repeats as usize));
        }
        (lengths.len() <= alphabet_size).then(|| PrefixCode::from_lengths(&lengths))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The symbols of the bits, of which the first is the lowest.
    fn symbols(code: &PrefixCode, bytes: &[u8], count: usize) -> Option<Vec<u16>> {
        let mut bits = BitReader { data: bytes, buffer: 0, count: 0 };
        (0..count).map(|_| code.read_symbol(&mut bits)).collect()
    }

    #[test]
    fn symbols_of_a_length_are_in_ascending_order() {
        // 1 is 0, 0 is 10, 3 is 110 and 4 is 111
        let code = PrefixCode::from_lengths(&[2, 1, 0, 3, 3]).expect("a complete code");
        assert_eq!(symbols(&code, &[0b1101_1010, 0b0000_0001], 4), Some(vec![1, 0, 3, 4]));
        assert_eq!(code.symbols, [1, 0, 3, 4]);
        let longest: Vec<u8> = (1..=15).chain([15]).collect();
        assert_eq!(PrefixCode::from_lengths(&longest).map(|code| code.symbols), Some((0..16).collect()));
    }

    #[test]
    fn incomplete_and_oversubscribed_codes_are_refused() {
        for (lengths, is_code) in
            [(&[1, 1][..], true), (&[0, 5, 0], true), (&[1, 2], false), (&[1, 1, 1], false), (&[0, 0], false)]
        {
            assert_eq!(PrefixCode::from_lengths(lengths).is_some(), is_code, "{lengths:?}");
        }
    }

    #[test]
    fn simple_codes_have_the_symbols_of_the_alphabet() {
        for (stated, expected) in [
            (vec![7], Some(vec![7, 7])),
            (vec![9, 3], Some(vec![3, 9])),
            (vec![9, 9], Some(vec![9, 9])),
            (vec![200, 3], Some(vec![3, 3])),
            (vec![200], None),
        ] {
            let code = PrefixCode::simple(stated.clone(), 40);
            assert_eq!(code.and_then(|code| symbols(&code, &[0b10], 2)), expected, "{stated:?}");
        }
    }
}
