//! Bits and Huffman symbols of a scan, read leniently and one by one.

use super::FaultKind;
use crate::huffman_codes::HuffmanCodes;

/// A reader of entropy-coded data.
pub(super) struct SymbolReader<'a> {
    bytes: &'a [u8],
    /// Offset of the next byte to load.
    pub(super) position: usize,
    /// Left-aligned: the next bit is the highest.
    bits: u64,
    /// How many bits are loaded.
    count: u32,
}

impl<'a> SymbolReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> SymbolReader<'a> {
        SymbolReader { bytes, position: 0, bits: 0, count: 0 }
    }

    /// The next byte of data, without stuffed zeros (§B.1.1.5), and the offset behind it; `None` at a marker and at the end.
    fn next_byte(&self) -> Option<(u8, usize)> {
        let &byte = self.bytes.get(self.position)?;
        if byte != 0xFF {
            return Some((byte, self.position + 1));
        }
        // any number of 0xFF may stand before a zero or a marker
        let behind = self.position + self.bytes[self.position..].iter().position(|&byte| byte != 0xFF)?;
        (self.bytes[behind] == 0).then_some((0xFF, behind + 1))
    }

    fn refill(&mut self) {
        while self.count <= 56 {
            let Some((byte, next)) = self.next_byte() else { break };
            self.bits |= u64::from(byte) << (56 - self.count);
            (self.count, self.position) = (self.count + 8, next);
        }
    }

    /// RECEIVE (§F.2.2.4): the next `size` bits, 0 to 16.
    pub(super) fn receive(&mut self, size: u32) -> Result<u32, FaultKind> {
        if size > self.count {
            self.refill();
            if size > self.count {
                return Err(FaultKind::Truncated);
            }
        }
        let bits = (self.bits >> 1 >> (63 - size)) as u32;
        self.bits <<= size;
        self.count -= size;
        Ok(bits)
    }

    /// DECODE (§F.2.2.3): the symbol of the next code.
    pub(super) fn decode(&mut self, codes: &HuffmanCodes) -> Result<u32, FaultKind> {
        if self.count < 16 {
            self.refill();
        }
        // zeros follow the last bit
        match codes.find((self.bits >> 48) as u32) {
            Some((length, symbol)) => {
                self.receive(length)?;
                Ok(symbol)
            }
            None if self.count < 16 => Err(FaultKind::Truncated),
            None => Err(FaultKind::BadCode),
        }
    }

    /// Discards the loaded bits. Returns whether they were padding: of the last byte, and whole bytes of zeros or ones.
    pub(super) fn discard_bits(&mut self) -> bool {
        let (bytes, bits) = (self.count / 8, self.bits << (self.count % 8));
        (self.bits, self.count) = (0, 0);
        bits.to_be_bytes().iter().take(bytes as usize).all(|byte| matches!(byte, 0 | 0xFF))
    }

    /// Goes on to the next marker. Returns whether only padding was skipped.
    pub(super) fn skip_to_marker(&mut self) -> bool {
        let mut is_padding = true;
        while let Some((byte, next)) = self.next_byte() {
            is_padding &= matches!(byte, 0 | 0xFF);
            self.position = next;
        }
        is_padding
    }

    /// Reads the marker at the position.
    pub(super) fn read_marker(&mut self) -> Option<u8> {
        let behind = self.position + self.bytes.get(self.position..)?.iter().position(|&byte| byte != 0xFF)?;
        self.position = behind + 1;
        Some(self.bytes[behind])
    }
}
