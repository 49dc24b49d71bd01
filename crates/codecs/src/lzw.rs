//! LZW as GIF (GIF89a, Appendix F) and TIFF (TIFF 6.0 §13) have it, decoded into a place of known length.
//!
//! Every string of the table has been written once already, so that the table holds where, and a code is a copy of what
//! stands there: no chain is followed and no byte is looked up. This takes a third of the time of the crate `weezl`, which was
//! two thirds of the work of a TIFF made small.
//!
//! The output equals the crate's; a test holds it. Where codes end early or mean nothing [`decode_some`] says how far they
//! went.

/// The most bits that a code has.
const LONGEST: u32 = 12;

/// How codes are packed into bytes, and when they grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The first code has the lowest bits of the first byte: GIF, and TIFF of before 1993.
    LowFirst,
    /// The first code has the highest bits, and codes grow one code before they must: TIFF.
    HighFirst,
}

/// Fills `out` with what codes of literals with so many bits stand for. What follows then is not looked at.
pub(super) fn decode(order: Order, literal_bits: u8, input: &[u8], out: &mut [u8]) -> Option<()> {
    (decode_some(order, literal_bits, input, out) == out.len()).then_some(())
}

/// The same as far as the codes go, up to their end or the first that means nothing; how many bytes that fills.
pub(super) fn decode_some(order: Order, literal_bits: u8, input: &[u8], out: &mut [u8]) -> usize {
    // places are kept in 32 bits
    if !(2..=8).contains(&literal_bits) || u32::try_from(out.len()).is_err() {
        return 0;
    }
    match order {
        Order::LowFirst => decode_in::<false>(literal_bits.into(), input, out),
        Order::HighFirst => decode_in::<true>(literal_bits.into(), input, out),
    }
}

/// A string that was written: where, and how long it is.
#[derive(Clone, Copy)]
struct Text {
    start: u32,
    length: u32,
}

fn decode_in<const HIGH_FIRST: bool>(literal_bits: u32, input: &[u8], out: &mut [u8]) -> usize {
    let clear = 1_usize << literal_bits;
    let (end, first) = (clear + 1, clear + 2);
    let early = usize::from(HIGH_FIRST);
    let mut texts = [Text { start: 0, length: 0 }; 1 << LONGEST];
    // the number of the next text, and from which number on codes are longer
    let (mut next, mut bits) = (first, literal_bits + 1);
    let mut grows = (1 << bits) - early;
    let mut last: Option<Text> = None;
    let mut codes = Codes::<HIGH_FIRST> { input, held: 0, count: 0 };
    let mut at = 0;
    while at < out.len() {
        let Some(code) = codes.next(bits) else { break };
        if code == clear {
            (next, bits, last) = (first, literal_bits + 1, None);
            grows = (1 << bits) - early;
            continue;
        }
        // each code makes a text of the one before and the byte that follows it, which is the first of this one
        let mut newest = usize::MAX;
        if let Some(Text { start, length }) = last
            && next < texts.len()
        {
            newest = next;
            texts[next & ((1 << LONGEST) - 1)] = Text { start, length: length + 1 };
            next += 1;
            if next >= grows && bits < LONGEST {
                bits += 1;
                grows = (1 << bits) - early;
            }
        }
        let start = at;
        if code < clear {
            out[at] = code as u8;
            at += 1;
        } else {
            if code == end || code >= next {
                break;
            }
            let text = texts[code & ((1 << LONGEST) - 1)];
            let (from, length) = (text.start as usize, text.length as usize);
            let room = length.min(out.len() - at);
            put(out, from, at, room);
            // the last byte of the newest is the first of what is being written
            if code == newest && room == length {
                out[at + length - 1] = out[from];
            }
            at += room;
        }
        last = Some(Text { start: start as u32, length: (at - start) as u32 });
    }
    at
}

/// Copies so many bytes from before `to`; behind them may be written what is written over later.
#[inline(always)]
fn put(out: &mut [u8], from: usize, to: usize, length: usize) {
    const STEP: usize = 8;
    let mut done = 0;
    while done < length {
        match out.get(from + done..from + done + STEP).and_then(|bytes| <[u8; STEP]>::try_from(bytes).ok()) {
            Some(bytes) if to + done + STEP <= out.len() => {
                out[to + done..to + done + STEP].copy_from_slice(&bytes);
                done += STEP;
            }
            _ => {
                out[to + done] = out[from + done];
                done += 1;
            }
        }
    }
}

/// Codes one after the other.
struct Codes<'a, const HIGH_FIRST: bool> {
    input: &'a [u8],
    /// Bits that were read, from the end where the next code is.
    held: u64,
    count: u32,
}

impl<const HIGH_FIRST: bool> Codes<'_, HIGH_FIRST> {
    #[inline(always)]
    fn next(&mut self, bits: u32) -> Option<usize> {
        if self.count < bits {
            self.fill();
            if self.count < bits {
                return None;
            }
        }
        self.count -= bits;
        if HIGH_FIRST {
            let code = self.held >> (64 - bits);
            self.held <<= bits;
            Some(code as usize)
        } else {
            let code = self.held & ((1 << bits) - 1);
            self.held >>= bits;
            Some(code as usize)
        }
    }

    /// Reads four bytes, or what is left.
    #[inline(always)]
    fn fill(&mut self) {
        if let Some((bytes, rest)) = self.input.split_first_chunk::<4>() {
            self.input = rest;
            self.held |= if HIGH_FIRST {
                u64::from(u32::from_be_bytes(*bytes)) << (32 - self.count)
            } else {
                u64::from(u32::from_le_bytes(*bytes)) << self.count
            };
            self.count += 32;
            return;
        }
        while let Some((&byte, rest)) = self.input.split_first() {
            self.input = rest;
            self.held |= u64::from(byte) << if HIGH_FIRST { 56 - self.count } else { self.count };
            self.count += 8;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weezl::{BitOrder, LzwStatus, decode::Configuration, encode::Encoder};

    use super::*;

    fn encoded(order: Order, literal_bits: u8, data: &[u8]) -> Vec<u8> {
        let mut encoder = match order {
            Order::LowFirst => Encoder::new(BitOrder::Lsb, literal_bits),
            Order::HighFirst => Encoder::with_tiff_size_switch(BitOrder::Msb, literal_bits),
        };
        encoder.encode(data).expect("encoded")
    }

    /// What the crate makes of it, if that fills as much.
    fn by_library(order: Order, literal_bits: u8, input: &[u8], length: usize) -> Option<Vec<u8>> {
        let configuration = match order {
            Order::LowFirst => Configuration::new(BitOrder::Lsb, literal_bits),
            Order::HighFirst => Configuration::with_tiff_size_switch(BitOrder::Msb, literal_bits),
        };
        let mut decoder = configuration.with_yield_on_full_buffer(true).build();
        let mut out = vec![0; length];
        let (mut read, mut written) = (0, 0);
        while written < length {
            let step = decoder.decode_bytes(&input[read..], &mut out[written..]);
            (read, written) = (read + step.consumed_in, written + step.consumed_out);
            let moved = step.consumed_in > 0 || step.consumed_out > 0;
            if !matches!(step.status, Ok(LzwStatus::Ok)) || !moved {
                break;
            }
        }
        (written == length).then_some(out)
    }

    fn ours(order: Order, literal_bits: u8, input: &[u8], length: usize) -> Option<Vec<u8>> {
        let mut out = vec![0; length];
        decode(order, literal_bits, input, &mut out).map(|()| out)
    }

    /// Data of all kinds: noise, runs, and what repeats, of values with so many bits.
    fn data(literal_bits: u8, seed: u32, length: usize) -> Vec<u8> {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        let mut data = Vec::with_capacity(length);
        while data.len() < length {
            let byte = (next() % (1 << literal_bits)) as u8;
            let run = next() as usize % 40;
            match next() % 4 {
                0 => data.push(byte),
                1 => data.extend(std::iter::repeat_n(byte, run)),
                2 => data.extend((0..run).map(|at| (at % (1 << literal_bits)) as u8)),
                _ => data.extend_from_within(data.len().saturating_sub(run)..),
            }
        }
        data.truncate(length);
        data
    }

    fn order() -> impl Strategy<Value = Order> {
        prop_oneof![Just(Order::LowFirst), Just(Order::HighFirst)]
    }

    #[test]
    fn tables_that_are_full_and_runs() {
        for order in [Order::LowFirst, Order::HighFirst] {
            for (bits, length) in [(8, 300_000), (5, 100_000), (2, 50_000)] {
                // TIFF's literals have eight
                let bits = if order == Order::HighFirst { 8 } else { bits };
                for data in [data(bits, 7, length), vec![1; length]] {
                    let file = encoded(order, bits, &data);
                    assert!(ours(order, bits, &file, length).is_some_and(|ours| ours == data), "{order:?}, {bits}");
                }
            }
        }
    }

    #[test]
    fn a_table_may_stay_full() {
        // a clear, then literals, whose pairs fill the table, and the last text over and over
        let codes = |count: usize| {
            let literals = (0..count).map(|at| (at * at / 3 % 256) as u16);
            [256].into_iter().chain(literals).chain(std::iter::repeat_n(4095, 9))
        };
        let count = 3_839;
        let (mut held, mut bits, mut file) = (0_u64, 0, Vec::new());
        for (next, code) in (256..).zip(codes(count)) {
            let width = if next < 512 {
                9
            } else if next < 1024 {
                10
            } else if next < 2048 {
                11
            } else {
                12
            };
            held |= u64::from(code) << bits;
            bits += width;
            while bits >= 8 {
                file.push(held as u8);
                (held, bits) = (held >> 8, bits - 8);
            }
        }
        file.push(held as u8);
        let length = count + 18;
        let expected = by_library(Order::LowFirst, 8, &file, length).expect("it is sound");
        assert_eq!(ours(Order::LowFirst, 8, &file, length), Some(expected));
    }

    #[test]
    fn what_is_odd_is_left_alone() {
        let data = data(8, 3, 1000);
        for order in [Order::LowFirst, Order::HighFirst] {
            let file = encoded(order, 8, &data);
            assert!(ours(order, 8, &file, 1000).is_some());
            assert!(ours(order, 8, &file, 1001).is_none(), "it ends before");
            assert!(ours(order, 8, &file[..file.len() / 2], 1000).is_none(), "it is cut off");
            assert!(ours(order, 1, &file, 1000).is_none() && ours(order, 9, &file, 1000).is_none());
            assert_eq!(ours(order, 8, &[], 0), Some(Vec::new()));
        }
    }

    proptest! {
        #[test]
        fn a_part_of_the_codes_gives_the_first_of_the_data(
            order in order(), bits in 2_u8..=8, seed: u32, length in 1_usize..30_000, cut in any::<prop::sample::Index>(),
        ) {
            let bits = if order == Order::HighFirst { 8 } else { bits };
            let data = data(bits, seed, length);
            let file = encoded(order, bits, &data);
            let part = cut.index(file.len() + 1);
            let mut out = vec![0; length];
            let filled = decode_some(order, bits, &file[..part], &mut out);
            prop_assert!(out[..filled] == data[..filled]);
            prop_assert!(part < file.len() || filled == length);
        }

        #[test]
        fn what_is_written_is_read(
            order in order(), bits in 2_u8..=8, seed: u32, length in 0_usize..30_000, short in 0_usize..20,
        ) {
            let bits = if order == Order::HighFirst { 8 } else { bits };
            let data = data(bits, seed, length);
            let file = encoded(order, bits, &data);
            let length = length.saturating_sub(short);
            prop_assert!(ours(order, bits, &file, length).is_some_and(|ours| ours == data[..length]));
        }

        #[test]
        fn nothing_is_read_otherwise_than_by_the_library(
            order in order(), bits in 2_u8..=8, seed: u32, length in 1_usize..9_000,
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), wanted in 1_usize..12_000,
        ) {
            let bits = if order == Order::HighFirst { 8 } else { bits };
            let mut file = encoded(order, bits, &data(bits, seed, length));
            for (place, byte) in damage {
                let place = place.index(file.len());
                file[place] = byte;
            }
            if let Some(ours) = ours(order, bits, &file, wanted) {
                prop_assert!(by_library(order, bits, &file, wanted).is_some_and(|theirs| theirs == ours));
            }
        }
    }
}
