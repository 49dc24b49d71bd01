//! LZW decoding for GIF (GIF89a, Appendix F) and TIFF (TIFF 6.0 §13), into a buffer of known length.
//!
//! Every string of the table is in the output already, so the table holds positions in the output, and a code is a copy from
//! there: no prefix chain is followed. This takes a third of the time of the crate `weezl`, which was two thirds of the work of
//! reducing a TIFF; that is why it is not used here.
//!
//! The output equals `weezl`'s; a test compares them. Where the codes end early or are invalid, [`decode_partial`] returns the
//! length decoded.

/// Bits of the longest code.
const MAX_BITS: u32 = 12;

/// How codes are packed into bytes, and when their width grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// From the least significant bit on: GIF, and TIFF before version 6.
    LsbFirst,
    /// From the most significant bit on, with the width growing one code early: TIFF.
    MsbFirst,
}

/// Decodes exactly `out.len()` bytes; `None` where the codes end before. Codes behind that are ignored.
pub(super) fn decode(order: Order, literal_bits: u8, input: &[u8], out: &mut [u8]) -> Option<()> {
    (decode_partial(order, literal_bits, input, out) == out.len()).then_some(())
}

/// Decodes up to the end code or the first invalid code; the number of bytes written.
pub(super) fn decode_partial(order: Order, literal_bits: u8, input: &[u8], out: &mut [u8]) -> usize {
    // the table holds positions in 32 bits
    if !(2..=8).contains(&literal_bits) || u32::try_from(out.len()).is_err() {
        return 0;
    }
    match order {
        Order::LsbFirst => decode_in::<false>(literal_bits.into(), input, out),
        Order::MsbFirst => decode_in::<true>(literal_bits.into(), input, out),
    }
}

/// An entry of the string table, by its position in the output.
#[derive(Clone, Copy)]
struct Entry {
    start: u32,
    length: u32,
}

fn decode_in<const MSB_FIRST: bool>(literal_bits: u32, input: &[u8], out: &mut [u8]) -> usize {
    let clear = 1_usize << literal_bits;
    let (end, first) = (clear + 1, clear + 2);
    let early = usize::from(MSB_FIRST);
    let mut table = [Entry { start: 0, length: 0 }; 1 << MAX_BITS];
    // the next free code, the width of codes, and the code from which on they are wider
    let (mut next, mut bits) = (first, literal_bits + 1);
    let mut grows = (1 << bits) - early;
    let mut last: Option<Entry> = None;
    let mut codes = CodeReader::<MSB_FIRST> { input, buffer: 0, bits: 0 };
    let mut at = 0;
    while at < out.len() {
        let Some(code) = codes.next(bits) else { break };
        if code == clear {
            (next, bits, last) = (first, literal_bits + 1, None);
            grows = (1 << bits) - early;
            continue;
        }
        // each code adds an entry: the previous string and the first byte of this one
        let mut newest = usize::MAX;
        if let Some(Entry { start, length }) = last
            && next < table.len()
        {
            newest = next;
            table[next & ((1 << MAX_BITS) - 1)] = Entry { start, length: length + 1 };
            next += 1;
            if next >= grows && bits < MAX_BITS {
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
            let entry = table[code & ((1 << MAX_BITS) - 1)];
            let (from, length) = (entry.start as usize, entry.length as usize);
            let room = length.min(out.len() - at);
            copy_within(out, from, at, room);
            // KwKwK: the last byte of the newest entry is its first one
            if code == newest && room == length {
                out[at + length - 1] = out[from];
            }
            at += room;
        }
        last = Some(Entry { start: start as u32, length: (at - start) as u32 });
    }
    at
}

/// Copies `length` bytes from `from`, which is before `to`. It may write further bytes behind them, which later codes overwrite.
#[inline(always)]
fn copy_within(out: &mut [u8], from: usize, to: usize, length: usize) {
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

/// Reads codes of varying width.
struct CodeReader<'a, const MSB_FIRST: bool> {
    input: &'a [u8],
    /// Unread bits, left-aligned for MSB-first, right-aligned for LSB-first order.
    buffer: u64,
    /// How many those are.
    bits: u32,
}

impl<const MSB_FIRST: bool> CodeReader<'_, MSB_FIRST> {
    #[inline(always)]
    fn next(&mut self, width: u32) -> Option<usize> {
        if self.bits < width {
            self.fill();
            if self.bits < width {
                return None;
            }
        }
        self.bits -= width;
        if MSB_FIRST {
            let code = self.buffer >> (64 - width);
            self.buffer <<= width;
            Some(code as usize)
        } else {
            let code = self.buffer & ((1 << width) - 1);
            self.buffer >>= width;
            Some(code as usize)
        }
    }

    /// Refills the buffer by four bytes, or by those that are left.
    #[inline(always)]
    fn fill(&mut self) {
        if let Some((bytes, rest)) = self.input.split_first_chunk::<4>() {
            self.input = rest;
            self.buffer |= if MSB_FIRST {
                u64::from(u32::from_be_bytes(*bytes)) << (32 - self.bits)
            } else {
                u64::from(u32::from_le_bytes(*bytes)) << self.bits
            };
            self.bits += 32;
            return;
        }
        while let Some((&byte, rest)) = self.input.split_first() {
            self.input = rest;
            self.buffer |= u64::from(byte) << if MSB_FIRST { 56 - self.bits } else { self.bits };
            self.bits += 8;
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
            Order::LsbFirst => Encoder::new(BitOrder::Lsb, literal_bits),
            Order::MsbFirst => Encoder::with_tiff_size_switch(BitOrder::Msb, literal_bits),
        };
        encoder.encode(data).expect("encoded")
    }

    /// The output of `weezl`, if it is of that length.
    fn decode_by_weezl(order: Order, literal_bits: u8, input: &[u8], length: usize) -> Option<Vec<u8>> {
        let configuration = match order {
            Order::LsbFirst => Configuration::new(BitOrder::Lsb, literal_bits),
            Order::MsbFirst => Configuration::with_tiff_size_switch(BitOrder::Msb, literal_bits),
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

    fn decode_to_vec(order: Order, literal_bits: u8, input: &[u8], length: usize) -> Option<Vec<u8>> {
        let mut out = vec![0; length];
        decode(order, literal_bits, input, &mut out).map(|()| out)
    }

    /// Noise, runs and repetitions of values below `1 << literal_bits`.
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
        prop_oneof![Just(Order::LsbFirst), Just(Order::MsbFirst)]
    }

    #[test]
    fn long_data_fill_the_table() {
        for order in [Order::LsbFirst, Order::MsbFirst] {
            for (bits, length) in [(8, 300_000), (5, 100_000), (2, 50_000)] {
                // TIFF has literals of 8 bits
                let bits = if order == Order::MsbFirst { 8 } else { bits };
                for data in [data(bits, 7, length), vec![1; length]] {
                    let file = encoded(order, bits, &data);
                    assert!(
                        decode_to_vec(order, bits, &file, length).is_some_and(|decoded| decoded == data),
                        "{order:?}, {bits}"
                    );
                }
            }
        }
    }

    #[test]
    fn full_table_without_clear_code_decodes() {
        // a clear code, literals whose pairs fill the table, and the last entry repeated
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
        let expected = decode_by_weezl(Order::LsbFirst, 8, &file, length).expect("valid codes");
        assert_eq!(decode_to_vec(Order::LsbFirst, 8, &file, length), Some(expected));
    }

    #[test]
    fn short_codes_and_invalid_literal_sizes_are_refused() {
        let data = data(8, 3, 1000);
        for order in [Order::LsbFirst, Order::MsbFirst] {
            let file = encoded(order, 8, &data);
            assert!(decode_to_vec(order, 8, &file, 1000).is_some());
            assert!(decode_to_vec(order, 8, &file, 1001).is_none(), "end code before the end");
            assert!(decode_to_vec(order, 8, &file[..file.len() / 2], 1000).is_none(), "truncated");
            assert!(decode_to_vec(order, 1, &file, 1000).is_none() && decode_to_vec(order, 9, &file, 1000).is_none());
            assert_eq!(decode_to_vec(order, 8, &[], 0), Some(Vec::new()));
        }
    }

    proptest! {
        #[test]
        fn truncated_codes_give_a_prefix(
            order in order(), bits in 2_u8..=8, seed: u32, length in 1_usize..30_000, cut in any::<prop::sample::Index>(),
        ) {
            let bits = if order == Order::MsbFirst { 8 } else { bits };
            let data = data(bits, seed, length);
            let file = encoded(order, bits, &data);
            let part = cut.index(file.len() + 1);
            let mut out = vec![0; length];
            let filled = decode_partial(order, bits, &file[..part], &mut out);
            prop_assert!(out[..filled] == data[..filled]);
            prop_assert!(part < file.len() || filled == length);
        }

        #[test]
        fn round_trip_by_weezl(
            order in order(), bits in 2_u8..=8, seed: u32, length in 0_usize..30_000, short in 0_usize..20,
        ) {
            let bits = if order == Order::MsbFirst { 8 } else { bits };
            let data = data(bits, seed, length);
            let file = encoded(order, bits, &data);
            let length = length.saturating_sub(short);
            prop_assert!(decode_to_vec(order, bits, &file, length).is_some_and(|decoded| decoded == data[..length]));
        }

        #[test]
        fn damaged_codes_decode_as_by_weezl(
            order in order(), bits in 2_u8..=8, seed: u32, length in 1_usize..9_000,
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), wanted in 1_usize..12_000,
        ) {
            let bits = if order == Order::MsbFirst { 8 } else { bits };
            let mut file = encoded(order, bits, &data(bits, seed, length));
            for (place, byte) in damage {
                let place = place.index(file.len());
                file[place] = byte;
            }
            if let Some(ours) = decode_to_vec(order, bits, &file, wanted) {
                prop_assert!(decode_by_weezl(order, bits, &file, wanted).is_some_and(|theirs| theirs == ours));
            }
        }
    }
}
