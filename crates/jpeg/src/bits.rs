//! The bits of one scan of a JPEG file, and the coefficients that they stand for.
//!
//! Everything here gives `None` where the bits are not exactly what the standard says: whoever asked leaves such a file to
//! the library, which knows about damage.

use crate::huffman::{END, FAR, NEAR, Values, ended, value};

/// Bytes that are unstuffed at a time, and what is kept at hand before a unit is begun. No unit takes more: it has 10
/// blocks of 64 coefficients of 31 bits at most.
const CHUNK: usize = 24 << 10;
const UNIT: usize = 4096;

/// Room for a chunk and the zeros behind it, and for any 8 bytes from a place within it.
type Chunk = [u8; MASK + 9];
const MASK: usize = (32 << 10) - 1;

/// The bits of a scan, without the zeros that are stuffed in behind 0xFF (T.81 §B.1.1.5), up to the next marker.
pub(crate) struct Bits<'a> {
    file: &'a [u8],
    /// The next byte of the file.
    at: usize,
    /// Unstuffed bytes; behind `end` there are zeros.
    chunk: Box<Chunk>,
    end: usize,
    held: Held,
    /// The marker that ends them, once it is met.
    marker: Option<u8>,
}

impl<'a> Bits<'a> {
    /// Bits that begin at that byte of a file.
    pub(crate) fn new(file: &'a [u8], at: usize) -> Bits<'a> {
        Bits { file, at, chunk: Box::new([0; MASK + 9]), end: 0, held: Held::default(), marker: None }
    }

    /// Sees to it that a whole unit of blocks can be read. `None` where more was read than there was.
    #[inline]
    pub(crate) fn ready(&mut self) -> Option<()> {
        if self.held.at + UNIT <= self.end { Some(()) } else { self.unstuff() }
    }

    #[cold]
    #[inline(never)]
    fn unstuff(&mut self) -> Option<()> {
        if self.marker.is_some() {
            // the 8 bytes are those that are held
            return (self.held.at <= self.end + 8).then_some(());
        }
        self.chunk.copy_within(self.held.at..self.end, 0);
        (self.end, self.held.at) = (self.end - self.held.at, 0);
        while self.end < CHUNK {
            let rest = self.file.get(self.at..)?;
            let window = &rest[..rest.len().min(CHUNK - self.end)];
            let found = memchr::memchr(0xFF, window);
            let plain = found.unwrap_or(window.len());
            self.chunk[self.end..self.end + plain].copy_from_slice(&window[..plain]);
            (self.end, self.at) = (self.end + plain, self.at + plain);
            if found.is_some() {
                let next = *rest.get(plain + 1)?;
                if next != 0 {
                    self.marker = Some(next);
                    break;
                }
                self.chunk[self.end] = 0xFF;
                (self.end, self.at) = (self.end + 1, self.at + 2);
            } else if plain == rest.len() {
                return None;
            }
        }
        let zeros = (self.end + 2 * UNIT).min(self.chunk.len());
        self.chunk[self.end..zeros].fill(0);
        Some(())
    }

    /// Goes on behind the marker that ends these bits, which are all used up, and says which one it is.
    pub(crate) fn close(&mut self) -> Option<u8> {
        if self.marker.is_none() {
            self.unstuff()?;
        }
        let marker = self.marker.take()?;
        let left = (self.end * 8).checked_sub(self.held.at * 8 - (self.held.count & 63) as usize)?;
        // what fills up the last byte
        if left >= 8 {
            return None;
        }
        self.at += 2;
        (self.end, self.held) = (0, Held::default());
        Some(marker)
    }

    /// Reads a block's difference to the mean of the block before (§F.2.2.1).
    #[inline(always)]
    pub(crate) fn mean(&mut self, means: &Values) -> Option<i32> {
        self.held.refill(&self.chunk);
        let entry = means.near[self.held.next(NEAR)];
        if entry != 0 {
            self.held.pass(entry);
            return Some(entry as i32 >> 16);
        }
        let (length, size) = means.codes.find(self.held.next(16) as u32)?;
        self.held.pass(length);
        Some(self.held.value(size))
    }

    /// Reads one bit.
    #[inline(always)]
    pub(crate) fn bit(&mut self) -> i16 {
        self.held.refill(&self.chunk);
        let bit = self.held.next(1);
        self.held.pass(1);
        bit as i16
    }

    /// Reads the coefficients `first` to `last` (in zigzag order) of a block that has none of them yet (§G.1.2.2): `put` is
    /// given them without those that are zero, but for some. Returns how many more blocks have none of them.
    #[inline(always)]
    pub(crate) fn band(
        &mut self, values: &Values, first: usize, last: usize, mut put: impl FnMut(usize, i32),
    ) -> Option<u32> {
        // a copy, which the compiler keeps in registers
        let mut held = self.held;
        let mut k = first;
        let mut more = 0;
        'all: while k <= last {
            held.refill(&self.chunk);
            // of 56 bits at least
            for _ in 0..4 {
                let (places, value) = held.coded(values, &self.chunk)?;
                k += places as usize;
                if k > last {
                    if places < END {
                        return None;
                    }
                    more = value as u32 - 1;
                    break 'all;
                }
                put(k, value);
                k += 1;
                if k > last {
                    break 'all;
                }
            }
        }
        self.held = held;
        Some(more)
    }

    /// Reads one bit more of the coefficients `first` to `last` of a block (§G.1.2.3), of which `nonzero` are not zero so far:
    /// `correct` is given the bits of those up to `shown`, and `put` those that were zero and are 1 or -1. Returns how many
    /// more blocks have bits of those alone that are not zero so far.
    #[inline(always)]
    pub(crate) fn finer(
        &mut self, values: &Values, (first, last, shown): (usize, usize, usize), nonzero: u64,
        mut correct: impl FnMut(usize, i16), mut put: impl FnMut(usize, i16),
    ) -> Option<u32> {
        let mut held = self.held;
        let mut more = 0;
        let mut rest = band(first, last);
        while rest != 0 {
            held.refill(&self.chunk);
            let (places, value) = held.coded(values, &self.chunk)?;
            if places >= END {
                held.corrections(&self.chunk, nonzero & rest, shown, &mut correct);
                more = value as u32 - 1;
                break;
            }
            let mut zeros = rest & !nonzero;
            for _ in 0..places {
                zeros &= zeros.wrapping_sub(1);
            }
            // one bit alone
            let place = zeros & zeros.wrapping_neg();
            if place == 0 || !(-1..=1).contains(&value) {
                return None;
            }
            let passed = rest & (place - 1);
            held.corrections(&self.chunk, nonzero & passed, shown, &mut correct);
            if value != 0 {
                put(place.trailing_zeros() as usize, value as i16);
            }
            rest &= !(passed | place);
        }
        self.held = held;
        Some(more)
    }

    /// Reads what [`Bits::finer`] reads of a block that was said to have nothing else.
    #[inline(always)]
    pub(crate) fn corrections(
        &mut self, (first, last, shown): (usize, usize, usize), nonzero: u64, mut correct: impl FnMut(usize, i16),
    ) {
        self.held.corrections(&self.chunk, nonzero & band(first, last), shown, &mut correct);
    }

    /// Reads a block: its difference to the mean of the block before, which is returned (§F.2.2.1), and its coefficients
    /// from the second up to `last` (in zigzag order), which `put` is given (§F.2.2.2). The rest is passed over.
    #[inline(always)]
    pub(crate) fn block(
        &mut self, means: &Values, others: &Values, last: usize, mut put: impl FnMut(usize, i32),
    ) -> Option<i32> {
        let far: &[u16; 1 << FAR] = others.far.first_chunk()?;
        // a copy, which the compiler keeps in registers
        let mut held = self.held;
        held.refill(&self.chunk);
        let entry = means.near[held.next(NEAR)];
        let difference = if entry != 0 {
            held.pass(entry);
            entry as i32 >> 16
        } else {
            let (length, size) = means.codes.find(held.next(16) as u32)?;
            held.pass(length);
            let difference = held.value(size);
            held.refill(&self.chunk);
            difference
        };
        let mut k = 1;
        'near: while k <= last {
            // at least 56 bits less those of the mean are held
            for _ in 0..4 {
                let entry = others.near[held.next(NEAR)];
                if entry == 0 {
                    held.refill(&self.chunk);
                    let (length, symbol) = others.codes.find(held.next(16) as u32)?;
                    held.pass(length);
                    let (zeros, size) = (symbol >> 4, symbol & 15);
                    if size == 0 {
                        k += if zeros == 15 { 16 } else { END as usize };
                        break;
                    }
                    k += zeros as usize;
                    if k > 63 {
                        return None;
                    }
                    put(k, held.value(size));
                    k += 1;
                    break;
                }
                held.pass(entry);
                k += (entry >> 8 & 255) as usize;
                // the end of a block and a run of zeros write 0 where nothing was written yet
                put(k, entry as i32 >> 16);
                k += 1;
                if k > last {
                    break 'near;
                }
            }
            held.refill(&self.chunk);
        }
        if last > 0 {
            held.refill(&self.chunk);
        }
        'far: while k < 64 {
            for _ in 0..3 {
                let entry = u32::from(far[held.next(FAR)]);
                let to = k + (entry >> 8) as usize;
                if to < 64 {
                    held.pass(entry);
                    k = to;
                } else if to == 64 || (END as usize..END as usize + 64).contains(&to) {
                    held.pass(entry);
                    k = to;
                    break 'far;
                } else {
                    // no code is short enough, or the run goes on behind the end of a block that is full and says no end
                    held.refill(&self.chunk);
                    let (length, symbol) = others.codes.find(held.next(16) as u32)?;
                    held.pass(length);
                    let (zeros, size) = (symbol >> 4, symbol & 15);
                    k += if size == 0 && zeros < 15 { END } else { zeros + 1 } as usize;
                    held.pass(size);
                    break;
                }
            }
            held.refill(&self.chunk);
        }
        self.held = held;
        (k == 64 || k >= END as usize).then_some(difference)
    }
}

/// A set of coefficients: bits `first` to `last`, 63 at most.
pub(crate) fn band(first: usize, last: usize) -> u64 {
    u64::MAX >> (63 - last) & u64::MAX << first
}

/// The bits at hand.
#[derive(Clone, Copy, Default)]
struct Held {
    /// From the highest one down.
    bits: u64,
    /// How many, in the lowest 8 bits; what is above them has no meaning.
    count: u32,
    /// The next byte of the chunk.
    at: usize,
}

impl Held {
    /// At least 56 bits are held afterwards. Without a branch, which would be taken at every third or fourth code and
    /// cost more.
    #[inline(always)]
    fn refill(&mut self, chunk: &Chunk) {
        let bytes = chunk[self.at & MASK..].first_chunk::<8>();
        self.bits |= bytes.map_or(0, |&bytes| u64::from_be_bytes(bytes)) >> (self.count & 63);
        self.at += ((63 - (self.count & 63)) >> 3) as usize;
        self.count |= 56;
    }

    /// The next so many bits as an index.
    #[inline(always)]
    fn next(&self, bits: u32) -> usize {
        (self.bits >> (64 - bits)) as usize
    }

    /// Goes on by as many bits as the lowest 8 bits of `entry` say, which are fewer than 64.
    #[inline(always)]
    fn pass(&mut self, entry: u32) {
        self.bits <<= entry & 63;
        self.count = self.count.wrapping_sub(entry);
    }

    #[inline(always)]
    fn value(&mut self, size: u32) -> i32 {
        // two shifts, as one by 64 is none
        let raw = (self.bits >> 1 >> (63 - size)) as u32;
        self.pass(size);
        value(raw, size)
    }
    /// Reads a code of a band and what is behind it: by how many places it goes on, and the value. 32 bits are held
    /// before it at least, and afterwards as many, if it was not among the nearest.
    #[inline(always)]
    fn coded(&mut self, values: &Values, chunk: &Chunk) -> Option<(u32, i32)> {
        let entry = values.near[self.next(NEAR)];
        if entry != 0 {
            self.pass(entry);
            return Some((entry >> 8 & 255, entry as i32 >> 16));
        }
        self.refill(chunk);
        let (length, symbol) = values.codes.find(self.next(16) as u32)?;
        self.pass(length);
        let read = match (symbol >> 4, symbol & 15) {
            (15, 0) => (15, 0),
            (size, 0) => {
                let raw = (self.bits >> 1 >> (63 - size)) as u32;
                self.pass(size);
                (END, ended(raw, size))
            }
            (zeros, size) => (zeros, self.value(size)),
        };
        self.refill(chunk);
        Some(read)
    }

    /// Reads a bit for each coefficient of a set.
    #[inline(always)]
    fn corrections(&mut self, chunk: &Chunk, of: u64, shown: usize, correct: &mut impl FnMut(usize, i16)) {
        // no more than are held at once
        for of in [of & 0xFFFF_FFFF, of >> 32 << 32] {
            if of == 0 {
                continue;
            }
            self.refill(chunk);
            let mut bits = self.bits;
            let mut seen = of & band(0, shown);
            while seen != 0 {
                correct(seen.trailing_zeros() as usize, (bits >> 63) as i16);
                bits <<= 1;
                seen &= seen - 1;
            }
            self.pass(of.count_ones());
        }
    }
}

/// Where a scan begins anew (T.81 §E.1.4).
pub(crate) struct Restarts {
    /// Units between two of them.
    interval: usize,
    /// Units until the next one.
    left: usize,
    marker: u8,
}

impl Restarts {
    const FIRST: u8 = 0xD0;

    /// One each so many units; 0 for none.
    pub(crate) fn new(interval: usize) -> Restarts {
        let interval = if interval == 0 { usize::MAX } else { interval };
        Restarts { interval, left: interval, marker: Restarts::FIRST }
    }

    /// Goes past one where it is due, and says so.
    #[inline(always)]
    pub(crate) fn pass(&mut self, bits: &mut Bits<'_>) -> Option<bool> {
        if self.left > 0 {
            return Some(false);
        }
        if bits.close()? != self.marker {
            return None;
        }
        self.marker = Restarts::FIRST | (self.marker + 1) & 7;
        self.left = self.interval;
        Some(true)
    }

    /// Units until the next one.
    #[inline(always)]
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Units were read.
    #[inline(always)]
    pub(crate) fn count(&mut self, units: usize) {
        self.left -= units;
    }
}
