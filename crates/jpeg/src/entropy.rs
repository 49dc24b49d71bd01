//! Decoding of entropy-coded segments (ITU T.81 Annex F and G): unstuffed bytes, Huffman codes, coefficients, restarts.
//!
//! Everything here returns `None` where the data is not exactly as the standard says.

use crate::bit_reader::{BUFFER_MASK, BitReader, Buffer, band};
use crate::huffman::{EOB, HuffmanTable};
use crate::marker::RST0;

/// Bytes that are unstuffed at a time.
const CHUNK: usize = 24 << 10;
/// Bytes that are buffered before an MCU is begun. No MCU has more: 10 blocks of 64 coefficients of 31 bits at most.
const MCU_BYTES: usize = 4096;

/// A reader of one scan's data, without the zero bytes that are stuffed in behind 0xFF (§B.1.1.5).
pub(crate) struct EntropyReader<'a> {
    file: &'a [u8],
    /// Offset in the file of the next byte to unstuff.
    position: usize,
    /// Unstuffed bytes up to `end`, then zeros.
    buffer: Box<Buffer>,
    end: usize,
    reader: BitReader,
    /// The marker that ends the segment, once it is reached.
    marker: Option<u8>,
}

impl<'a> EntropyReader<'a> {
    /// A reader of the entropy-coded segment that begins at the offset `position` of a file.
    pub(crate) fn new(file: &'a [u8], position: usize) -> EntropyReader<'a> {
        let buffer = Box::new([0; BUFFER_MASK + 9]);
        EntropyReader { file, position, buffer, end: 0, reader: BitReader::default(), marker: None }
    }

    /// Buffers enough bytes for one MCU. `None` where more was read than there was.
    #[inline]
    pub(crate) fn fill_mcu(&mut self) -> Option<()> {
        if self.reader.position + MCU_BYTES <= self.end { Some(()) } else { self.unstuff() }
    }

    #[cold]
    #[inline(never)]
    fn unstuff(&mut self) -> Option<()> {
        if self.marker.is_some() {
            // the bit reader holds 8 bytes at most
            return (self.reader.position <= self.end + 8).then_some(());
        }
        self.buffer.copy_within(self.reader.position..self.end, 0);
        (self.end, self.reader.position) = (self.end - self.reader.position, 0);
        while self.end < CHUNK {
            let rest = self.file.get(self.position..)?;
            let window = &rest[..rest.len().min(CHUNK - self.end)];
            let found = memchr::memchr(0xFF, window);
            let plain = found.unwrap_or(window.len());
            self.buffer[self.end..self.end + plain].copy_from_slice(&window[..plain]);
            (self.end, self.position) = (self.end + plain, self.position + plain);
            if found.is_some() {
                let next = *rest.get(plain + 1)?;
                if next != 0 {
                    self.marker = Some(next);
                    break;
                }
                self.buffer[self.end] = 0xFF;
                (self.end, self.position) = (self.end + 1, self.position + 2);
            } else if plain == rest.len() {
                return None;
            }
        }
        let zeros = (self.end + 2 * MCU_BYTES).min(self.buffer.len());
        self.buffer[self.end..zeros].fill(0);
        Some(())
    }

    /// Ends the segment and returns the marker behind it. The next segment is expected right behind that marker. `None` where
    /// more than the padding of the last byte is left.
    pub(crate) fn finish_segment(&mut self) -> Option<u8> {
        if self.marker.is_none() {
            self.unstuff()?;
        }
        let marker = self.marker.take()?;
        let left = (self.end * 8).checked_sub(self.reader.position * 8 - self.reader.available())?;
        if left >= 8 {
            return None;
        }
        self.position += 2;
        (self.end, self.reader) = (0, BitReader::default());
        Some(marker)
    }

    /// The difference of a block's DC coefficient to its prediction (§F.2.2.1).
    #[inline(always)]
    pub(crate) fn decode_dc_diff(&mut self, dc: &HuffmanTable) -> Option<i32> {
        self.reader.decode_dc_diff(&self.buffer, dc)
    }

    /// One bit: the refinement of a DC coefficient (§G.1.2.1).
    #[inline(always)]
    pub(crate) fn read_bit(&mut self) -> i16 {
        self.reader.refill(&self.buffer);
        let bit = self.reader.peek(1);
        self.reader.consume(1);
        bit as i16
    }

    /// Decodes a block of a sequential scan (§F.2.2). Returns the DC difference; the AC coefficients up to `last` in zigzag
    /// order are passed to `put`, the rest is skipped.
    #[inline(always)]
    pub(crate) fn decode_block(
        &mut self, dc: &HuffmanTable, ac: &HuffmanTable, last: usize, put: impl FnMut(usize, i32),
    ) -> Option<i32> {
        let multi_lookup = ac.multi_lookup.first_chunk()?;
        let mut reader = self.reader;
        let diff = reader.decode_dc_diff(&self.buffer, dc)?;
        let k = reader.decode_ac(&self.buffer, ac, last, put)?;
        let k = reader.skip_ac(&self.buffer, ac, multi_lookup, k)?;
        self.reader = reader;
        (k == 64 || k >= EOB as usize).then_some(diff)
    }

    /// Decodes the coefficients `ss..=se` of a block in the first scan that has them (§G.1.2.2); all but some of those that are
    /// zero are passed to `put`. Returns the EOB run: how many more blocks have none of them.
    #[inline(always)]
    pub(crate) fn decode_ac_first(
        &mut self, table: &HuffmanTable, ss: usize, se: usize, mut put: impl FnMut(usize, i32),
    ) -> Option<u32> {
        let mut reader = self.reader;
        let mut k = ss;
        let mut eob_run = 0;
        'block: while k <= se {
            reader.refill(&self.buffer);
            // from at least 56 bits
            for _ in 0..4 {
                let (run, value) = reader.decode_run(&self.buffer, table)?;
                k += run as usize;
                if k > se {
                    if run < EOB {
                        return None;
                    }
                    eob_run = value as u32 - 1;
                    break 'block;
                }
                put(k, value);
                k += 1;
                if k > se {
                    break 'block;
                }
            }
        }
        self.reader = reader;
        Some(eob_run)
    }

    /// Decodes one more bit of the coefficients `ss..=se` of a block (§G.1.2.3), of which those in the set `nonzero` are known
    /// not to be zero. `correct` is passed the correction bits of those up to `last`; `put` is passed the coefficients that
    /// become 1 or -1. Returns the EOB run: how many more blocks have correction bits alone.
    #[inline(always)]
    pub(crate) fn decode_ac_refine(
        &mut self, table: &HuffmanTable, (ss, se, last): (usize, usize, usize), nonzero: u64,
        mut correct: impl FnMut(usize, i16), mut put: impl FnMut(usize, i16),
    ) -> Option<u32> {
        let mut reader = self.reader;
        let mut eob_run = 0;
        let mut rest = band(ss, se);
        while rest != 0 {
            reader.refill(&self.buffer);
            let (run, value) = reader.decode_run(&self.buffer, table)?;
            if run >= EOB {
                reader.read_corrections(&self.buffer, nonzero & rest, last, &mut correct);
                eob_run = value as u32 - 1;
                break;
            }
            let mut zeros = rest & !nonzero;
            for _ in 0..run {
                zeros &= zeros.wrapping_sub(1);
            }
            // the lowest bit alone
            let place = zeros & zeros.wrapping_neg();
            if place == 0 || !(-1..=1).contains(&value) {
                return None;
            }
            let passed = rest & (place - 1);
            reader.read_corrections(&self.buffer, nonzero & passed, last, &mut correct);
            if value != 0 {
                put(place.trailing_zeros() as usize, value as i16);
            }
            rest &= !(passed | place);
        }
        self.reader = reader;
        Some(eob_run)
    }

    /// Reads the correction bits of a block within an EOB run, as [`EntropyReader::decode_ac_refine`] does.
    #[inline(always)]
    pub(crate) fn read_corrections(
        &mut self, (ss, se, last): (usize, usize, usize), nonzero: u64, mut correct: impl FnMut(usize, i16),
    ) {
        self.reader.read_corrections(&self.buffer, nonzero & band(ss, se), last, &mut correct);
    }
}

/// Counts MCUs between restart markers (§E.1.4).
pub(crate) struct RestartCounter {
    /// MCUs of a restart interval.
    interval: usize,
    /// MCUs until the next restart marker.
    left: usize,
    /// The next restart marker.
    marker: u8,
}

impl RestartCounter {
    /// A counter for a restart interval of that many MCUs; 0 for none.
    pub(crate) fn new(interval: usize) -> RestartCounter {
        let interval = if interval == 0 { usize::MAX } else { interval };
        RestartCounter { interval, left: interval, marker: RST0 }
    }

    /// Reads the restart marker where one is due, and returns whether it was. `None` where another marker is found.
    #[inline(always)]
    pub(crate) fn restart_if_due(&mut self, entropy: &mut EntropyReader<'_>) -> Option<bool> {
        if self.left > 0 {
            return Some(false);
        }
        if entropy.finish_segment()? != self.marker {
            return None;
        }
        self.marker = RST0 | (self.marker + 1) & 7;
        self.left = self.interval;
        Some(true)
    }

    /// MCUs until the next restart marker.
    #[inline(always)]
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Counts MCUs that were decoded.
    #[inline(always)]
    pub(crate) fn advance(&mut self, mcus: usize) {
        self.left -= mcus;
    }
}
