//! Up to 64 bits of an entropy-coded segment in a register, and the decoding of Huffman codes from them.

use crate::huffman::{EOB, HuffmanTable, LOOKUP_BITS, MULTI_LOOKUP_BITS, eob_run, extend};

/// Unstuffed bytes of an entropy-coded segment. An 8-byte load from any masked position stays within it.
pub(crate) type Buffer = [u8; BUFFER_MASK + 9];
pub(crate) const BUFFER_MASK: usize = (32 << 10) - 1;

/// The bits that were loaded and not yet consumed. It is `Copy`: loops work on a local copy, which the compiler keeps in registers.
#[derive(Clone, Copy, Default)]
pub(crate) struct BitReader {
    /// Left-aligned: the next bit is the highest.
    bits: u64,
    /// How many are valid, in the lowest 6 bits; the bits above are garbage that [`BitReader::consume`] leaves.
    count: u32,
    /// Offset of the next byte of the buffer to load.
    pub(crate) position: usize,
}

impl BitReader {
    /// How many bits are loaded and not consumed.
    pub(crate) fn available(&self) -> usize {
        (self.count & 63) as usize
    }

    /// Loads bytes until at least 56 bits are available. Branchless: a branch would be taken at every third or fourth code and
    /// cost more.
    #[inline(always)]
    pub(crate) fn refill(&mut self, buffer: &Buffer) {
        let bytes = buffer[self.position & BUFFER_MASK..].first_chunk::<8>();
        self.bits |= bytes.map_or(0, |&bytes| u64::from_be_bytes(bytes)) >> (self.count & 63);
        self.position += ((63 - (self.count & 63)) >> 3) as usize;
        self.count |= 56;
    }

    /// The next `n` bits, 1 to 63, as an index. They are not consumed.
    #[inline(always)]
    pub(crate) fn peek(&self, n: u32) -> usize {
        (self.bits >> (64 - n)) as usize
    }

    /// Consumes as many bits as the lowest 8 bits of `entry` say, fewer than 64. Taking a whole table entry spares a mask.
    #[inline(always)]
    pub(crate) fn consume(&mut self, entry: u32) {
        self.bits <<= entry & 63;
        self.count = self.count.wrapping_sub(entry);
    }

    /// RECEIVE (§F.2.2.4): the next `size` bits, 0 to 16.
    #[inline(always)]
    fn receive(&mut self, size: u32) -> u32 {
        // two shifts, since a shift by 64 is undefined
        let raw = (self.bits >> 1 >> (63 - size)) as u32;
        self.consume(size);
        raw
    }

    /// RECEIVE and EXTEND: a coefficient of category `size`.
    #[inline(always)]
    fn receive_extend(&mut self, size: u32) -> i32 {
        extend(self.receive(size), size)
    }

    /// DECODE by canonical code, for codes that the lookup tables do not hold: the symbol (RS for AC, SSSS for DC).
    #[inline(always)]
    fn decode_long(&mut self, table: &HuffmanTable) -> Option<u32> {
        let (length, symbol) = table.codes.find(self.peek(16) as u32)?;
        self.consume(length);
        Some(symbol)
    }

    /// The difference of a DC coefficient to its prediction (§F.2.2.1). At least 45 bits are available afterwards.
    #[inline(always)]
    pub(crate) fn decode_dc_diff(&mut self, buffer: &Buffer, dc: &HuffmanTable) -> Option<i32> {
        self.refill(buffer);
        let entry = dc.lookup[self.peek(LOOKUP_BITS)];
        if entry != 0 {
            self.consume(entry);
            return Some(entry as i32 >> 16);
        }
        let size = self.decode_long(dc)?;
        let diff = self.receive_extend(size);
        self.refill(buffer);
        Some(diff)
    }

    /// The AC coefficients of a block in zigzag order from 1 up to at least `last` (§F.2.2.2), each passed to `put`. Returns the
    /// index of the coefficient to go on with, [`EOB`] or more where the block is at its end.
    #[inline(always)]
    pub(crate) fn decode_ac(
        &mut self, buffer: &Buffer, ac: &HuffmanTable, last: usize, mut put: impl FnMut(usize, i32),
    ) -> Option<usize> {
        let mut k = 1;
        'block: while k <= last {
            // at least 56 bits, minus the DC coefficient, are available
            for _ in 0..4 {
                let entry = ac.lookup[self.peek(LOOKUP_BITS)];
                if entry == 0 {
                    self.refill(buffer);
                    let symbol = self.decode_long(ac)?;
                    let (run, size) = (symbol >> 4, symbol & 15);
                    if size == 0 {
                        k += if run == 15 { 16 } else { EOB as usize };
                        break;
                    }
                    k += run as usize;
                    if k > 63 {
                        return None;
                    }
                    put(k, self.receive_extend(size));
                    k += 1;
                    break;
                }
                self.consume(entry);
                k += (entry >> 8 & 255) as usize;
                // EOB and ZRL put a 0 where nothing has been put yet
                put(k, entry as i32 >> 16);
                k += 1;
                if k > last {
                    break 'block;
                }
            }
            self.refill(buffer);
        }
        if last > 0 {
            self.refill(buffer);
        }
        Some(k)
    }

    /// Skips the AC coefficients of a block from `k` on, several codes at a time. Returns 64, or [`EOB`] or more.
    #[inline(always)]
    pub(crate) fn skip_ac(
        &mut self, buffer: &Buffer, ac: &HuffmanTable, multi_lookup: &[u16; 1 << MULTI_LOOKUP_BITS], mut k: usize,
    ) -> Option<usize> {
        'block: while k < 64 {
            for _ in 0..3 {
                let entry = u32::from(multi_lookup[self.peek(MULTI_LOOKUP_BITS)]);
                let next = k + (entry >> 8) as usize;
                if next < 64 {
                    self.consume(entry);
                    k = next;
                } else if next == 64 || (EOB as usize..EOB as usize + 64).contains(&next) {
                    self.consume(entry);
                    k = next;
                    break 'block;
                } else {
                    // no code is short enough, or the codes run past the end of a block that is full and has no EOB
                    self.refill(buffer);
                    let symbol = self.decode_long(ac)?;
                    let (run, size) = (symbol >> 4, symbol & 15);
                    k += if size == 0 && run < 15 { EOB } else { run + 1 } as usize;
                    self.consume(size);
                    break;
                }
            }
            self.refill(buffer);
        }
        Some(k)
    }

    /// One code of an AC scan of a progressive file, and the bits behind it (§G.1.2.2): the run of zeros and the coefficient, or
    /// [`EOB`] or more and the length of the EOB run, 1 to 32767. At least 32 bits must be available, and are afterwards where the
    /// code was not in the lookup table.
    #[inline(always)]
    pub(crate) fn decode_run(&mut self, buffer: &Buffer, table: &HuffmanTable) -> Option<(u32, i32)> {
        let entry = table.lookup[self.peek(LOOKUP_BITS)];
        if entry != 0 {
            self.consume(entry);
            return Some((entry >> 8 & 255, entry as i32 >> 16));
        }
        self.refill(buffer);
        let symbol = self.decode_long(table)?;
        let run = match (symbol >> 4, symbol & 15) {
            (15, 0) => (15, 0),
            (size, 0) => (EOB, eob_run(self.receive(size), size)),
            (run, size) => (run, self.receive_extend(size)),
        };
        self.refill(buffer);
        Some(run)
    }

    /// Reads one correction bit for each coefficient of the set `nonzero` (§G.1.2.3) and passes those up to `last` to `correct`.
    #[inline(always)]
    pub(crate) fn read_corrections(
        &mut self, buffer: &Buffer, nonzero: u64, last: usize, correct: &mut impl FnMut(usize, i16),
    ) {
        // in halves, since no more than 56 bits are sure to be available
        for half in [nonzero & 0xFFFF_FFFF, nonzero >> 32 << 32] {
            if half == 0 {
                continue;
            }
            self.refill(buffer);
            let mut bits = self.bits;
            let mut kept = half & band(0, last);
            while kept != 0 {
                correct(kept.trailing_zeros() as usize, (bits >> 63) as i16);
                bits <<= 1;
                kept &= kept - 1;
            }
            self.consume(half.count_ones());
        }
    }
}

/// The coefficients `ss..=se`, 63 at most, as a set of bits by their indices in zigzag order.
pub(crate) fn band(ss: usize, se: usize) -> u64 {
    u64::MAX >> (63 - se) & u64::MAX << ss
}
