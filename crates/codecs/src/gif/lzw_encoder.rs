//! LZW encoding of colour indices (GIF89a, Appendix F), where a pixel may have two indices that show the same.
//!
//! A pixel that already shows the right colour can be written as that colour or as transparent.

/// Codes have at most 12 bits.
const MAX_CODES: u32 = 1 << 12;

/// Slots of the hash table of strings: at most half of them are in use.
const SLOTS: usize = 2 * MAX_CODES as usize;

/// Writes codes into data sub-blocks.
pub(super) struct LzwEncoder<'a> {
    out: BlockWriter<'a>,
    /// Strings by their prefix and last index: `prefix << 20 | index << 12 | code`, 0 in free slots; open addressing.
    strings: Box<[u32; SLOTS]>,
    /// The code of the string that was matched so far.
    prefix: Option<u32>,
    /// The next free code, and the bits of codes.
    next: u32,
    bits: u32,
    literal_bits: u32,
}

impl<'a> LzwEncoder<'a> {
    /// Begins the image data of indices below `1 << literal_bits`, 2 to 8: the LZW minimum code size and a clear code.
    pub(super) fn new(out: &'a mut Vec<u8>, literal_bits: u32) -> LzwEncoder<'a> {
        out.push(literal_bits as u8);
        let mut encoder = LzwEncoder {
            out: BlockWriter::new(out),
            strings: Box::new([0; SLOTS]),
            prefix: None,
            next: 0,
            bits: literal_bits + 1,
            literal_bits,
        };
        encoder.clear();
        encoder
    }

    fn clear(&mut self) {
        self.out.write(1 << self.literal_bits, self.bits);
        self.strings.fill(0);
        self.next = (1 << self.literal_bits) + 2;
        self.bits = self.literal_bits + 1;
    }

    /// Adds a pixel as `index`; or as `other`, which shows the same, where only that continues a string of the table.
    pub(super) fn push(&mut self, index: u8, other: Option<u8>) {
        let Some(prefix) = self.prefix else {
            self.prefix = Some(index.into());
            return;
        };
        let found = self.find(prefix, index);
        let code = found.ok().or_else(|| self.find(prefix, other?).ok());
        if code.is_some() {
            self.prefix = code;
            return;
        }
        self.out.write(prefix, self.bits);
        self.prefix = Some(index.into());
        if self.next == MAX_CODES {
            self.clear();
            return;
        }
        if let Err(slot) = found {
            self.strings[slot] = prefix << 20 | u32::from(index) << 12 | self.next;
        }
        // the decoder adds this string one code later, so codes grow behind the power of two
        if self.next == 1 << self.bits {
            self.bits += 1;
        }
        self.next += 1;
    }

    /// The code of a string, or the slot where it would be inserted.
    fn find(&self, prefix: u32, index: u8) -> Result<u32, usize> {
        let key = prefix << 8 | u32::from(index);
        let mut slot = (key.wrapping_mul(0x9E37_79B1) >> 19) as usize;
        loop {
            match self.strings[slot] {
                0 => return Err(slot),
                string if string >> 12 == key => return Ok(string & (MAX_CODES - 1)),
                _ => slot = (slot + 1) % SLOTS,
            }
        }
    }

    /// Writes the last code, the end code and the block terminator.
    pub(super) fn finish(mut self) {
        if let Some(prefix) = self.prefix {
            self.out.write(prefix, self.bits);
            // the decoder adds a string behind this code, too
            if self.next == 1 << self.bits && self.bits < 12 {
                self.bits += 1;
            }
        }
        self.out.write((1 << self.literal_bits) + 1, self.bits);
        self.out.finish();
    }
}

/// Packs codes from the least significant bit on into sub-blocks of 255 bytes.
struct BlockWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Where the length of the current sub-block is.
    length_at: usize,
    buffer: u32,
    bits: u32,
}

impl<'a> BlockWriter<'a> {
    fn new(out: &'a mut Vec<u8>) -> BlockWriter<'a> {
        let length_at = out.len();
        out.push(0);
        BlockWriter { out, length_at, buffer: 0, bits: 0 }
    }

    fn write(&mut self, code: u32, bits: u32) {
        self.buffer |= code << self.bits;
        self.bits += bits;
        while self.bits >= 8 {
            self.push(self.buffer as u8);
            self.buffer >>= 8;
            self.bits -= 8;
        }
    }

    fn push(&mut self, byte: u8) {
        if self.out[self.length_at] == u8::MAX {
            self.length_at = self.out.len();
            self.out.push(0);
        }
        self.out.push(byte);
        self.out[self.length_at] += 1;
    }

    fn finish(mut self) {
        if self.bits > 0 {
            self.push(self.buffer as u8);
        }
        // a sub-block of no bytes is the terminator
        if self.out[self.length_at] > 0 {
            self.out.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lzw::{self, Order};

    /// The codes of sub-blocks behind the minimum code size, which end with a terminator.
    fn codes(mut data: &[u8]) -> Vec<u8> {
        let mut codes = Vec::new();
        while let Some((&length, rest)) = data.split_first()
            && length > 0
        {
            let (block, rest) = rest.split_at(length.into());
            codes.extend(block);
            data = rest;
        }
        assert_eq!(data, [0], "a terminator and nothing behind it");
        codes
    }

    fn encode(literal_bits: u32, pixels: &[(u8, Option<u8>)]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = LzwEncoder::new(&mut out, literal_bits);
        for &(index, other) in pixels {
            encoder.push(index, other);
        }
        encoder.finish();
        assert_eq!(u32::from(out[0]), literal_bits);
        codes(&out[1..])
    }

    proptest! {
        #[test]
        fn decoded_pixels_are_one_of_their_indices(
            literal_bits in 2_u32..9, seed in 1_u32.., length in 0_usize..30_000, repeats in 1_u32..40, choices in 0_u32..5,
        ) {
            let mut state = seed;
            let mut next = |most: u32| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) % most
            };
            let (mut pixels, mut index) = (Vec::new(), 0);
            for _ in 0..length {
                if next(repeats) == 0 {
                    index = next(1 << literal_bits) as u8;
                }
                pixels.push((index, (next(5) < choices).then_some(1)));
            }
            let codes = encode(literal_bits, &pixels);
            let mut ours = vec![0; length];
            let decoded = lzw::decode_partial(Order::LsbFirst, literal_bits as u8, &codes, &mut ours);
            prop_assert_eq!(decoded, length);
            for (&(index, other), &decoded) in pixels.iter().zip(&ours) {
                prop_assert!(decoded == index || Some(decoded) == other);
            }
            let theirs = weezl::decode::Decoder::new(weezl::BitOrder::Lsb, literal_bits as u8).decode(&codes);
            prop_assert!(theirs.is_ok_and(|theirs| theirs == ours));
        }
    }

    #[test]
    fn choice_of_indices_makes_fewer_codes() {
        let free: Vec<(u8, Option<u8>)> = (0..5000_u32).map(|at| ((at * at / 3 % 16) as u8, Some(3))).collect();
        let bound: Vec<(u8, Option<u8>)> = free.iter().map(|&(index, _)| (index, None)).collect();
        assert!(encode(4, &free).len() < encode(4, &bound).len());
    }
}
