//! Bits and prefix codes of VP8L (RFC 9649 §3.7.2).

/// Reads bits from the least significant one of each byte on.
pub(super) struct BitReader<'a> {
    pub(super) data: &'a [u8],
    pub(super) buffer: u64,
    /// BitReader in the buffer.
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

/// BitReader of the longest code (§3.7.2.1).
const MAX_LENGTH: usize = 15;

impl PrefixCode {
    /// The code of these code lengths, one a symbol, 0 for unused ones; `None` for an incomplete or oversubscribed code.
    fn from_lengths(lengths: &[u8]) -> Option<PrefixCode> {
        let mut code = PrefixCode::default();
        for length in 1..=MAX_LENGTH {
            let of_length = (0_u16..).zip(lengths).filter(|(_, its)| usize::from(**its) == length);
            let before = code.symbols.len();
            code.symbols.extend(of_length.map(|(symbol, _)| symbol));
            code.counts[length] = (code.symbols.len() - before) as u16;
        }
        // a single symbol is coded in no bits
        if let [symbol] = code.symbols[..] {
            return Some(PrefixCode::single(symbol));
        }
        let left = (1..=MAX_LENGTH).try_fold(1_i32, |left, length| {
            let left = 2 * left - i32::from(code.counts[length]);
            (left >= 0).then_some(left)
        })?;
        (left == 0).then_some(code)
    }

    fn single(symbol: u16) -> PrefixCode {
        PrefixCode { counts: [0; MAX_LENGTH + 1], symbols: vec![symbol] }
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
            let mut lengths = vec![0; alphabet_size.max(256)];
            let first = bits.read(if wide { 8 } else { 1 })?;
            lengths[first as usize] = 1;
            if count == 2 {
                lengths[bits.read(8)? as usize] = 1;
            }
            return PrefixCode::from_lengths(&lengths[..alphabet_size]).filter(|code| !code.symbols.is_empty());
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
