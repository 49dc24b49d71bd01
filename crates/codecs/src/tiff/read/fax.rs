//! Fax compressions (TIFF 6.0 §10 Modified Huffman, §11 CCITT T.4 and T.6), with the code tables of the crate `fax`.
//!
//! Codes have no synchronisation: after one wrong bit the rest is noise, so a row of a wrong length is an error. Group 3 strips
//! without an EOL before the first row occur, and are read.

use fax::BitReader;
use fax::maps::{Mode, black, mode, white};

use super::Failure;
use super::page::Page;
use super::tags::Compression;

/// Decodes a strip or tile to packed rows; 1 is black.
pub(super) fn decode(page: &Page<'_>, input: &[u8], rows: u32) -> Result<Vec<u8>, Failure> {
    let stride = page.stride() as usize;
    let mut out = vec![0; stride * rows as usize];
    let mut decoder = Decoder::new(input, page.lsb_first, page.grid.width);
    for (index, row) in out.chunks_exact_mut(stride).enumerate() {
        match page.compression {
            Compression::FaxRle { word_aligned } => decoder.modified_huffman(word_aligned),
            Compression::FaxGroup3 { two_dimensional } => decoder.group3(two_dimensional),
            _ => decoder.two_dimensional(),
        }
        .map_err(|reason| fault(reason, index))?;
        decoder.write_row(row);
    }
    Ok(out)
}

fn fault(reason: &str, row: usize) -> Failure {
    let text = format!("row {row} of a fax strip or tile {reason}");
    if reason == UNCOMPRESSED { Failure::Unsupported(text) } else { Failure::Malformed(text) }
}

const BAD_CODE: &str = "has an invalid code";
const TRUNCATED: &str = "is truncated";
const NO_START: &str = "does not begin with an EOL";
const TOO_SHORT: &str = "has too few pixels";
const UNCOMPRESSED: &str = "uses the uncompressed mode";

type Row = Result<(), &'static str>;

/// A row is a list of changing elements: even ones to black, odd ones to white, in ascending order.
struct Decoder<'a> {
    bits: BitSource<'a>,
    width: u32,
    /// Changing elements of the coding line.
    changes: Vec<u32>,
    /// Changing elements of the reference line.
    reference: Vec<u32>,
}

impl<'a> Decoder<'a> {
    fn new(input: &'a [u8], lsb_first: bool, width: u32) -> Decoder<'a> {
        Decoder { bits: BitSource { input, at: 0, lsb_first }, width, changes: Vec::new(), reference: Vec::new() }
    }

    /// §10: rows are aligned, without EOL.
    fn modified_huffman(&mut self, word_aligned: bool) -> Row {
        self.bits.align(if word_aligned { 16 } else { 8 });
        self.one_dimensional()
    }

    /// T.4 §4.1.2: an EOL before each row; with two-dimensional coding a tag bit behind it.
    fn group3(&mut self, two_dimensional: bool) -> Row {
        let has_eol = self.bits.skip_eol();
        if !two_dimensional {
            return self.one_dimensional();
        }
        if !has_eol {
            return Err(NO_START);
        }
        if self.bits.take(1) == 1 { self.one_dimensional() } else { self.two_dimensional() }
    }

    /// T.4 §4.1: alternating runs of white and black.
    fn one_dimensional(&mut self) -> Row {
        std::mem::swap(&mut self.changes, &mut self.reference);
        self.changes.clear();
        let (mut at, mut is_black) = (0, false);
        while at < self.width {
            if self.bits.is_at_eol() {
                return Err(TOO_SHORT);
            }
            at = self.read_run(at, is_black)?;
            self.push_change(at)?;
            is_black = !is_black;
        }
        Ok(())
    }

    /// T.6 §2.2: changing elements relative to the reference line; that of the first row is white.
    fn two_dimensional(&mut self) -> Row {
        std::mem::swap(&mut self.changes, &mut self.reference);
        self.changes.clear();
        // the index of b1 in the reference line
        let mut found = 0;
        let (mut a0, mut is_black) = (None, false);
        while a0.unwrap_or(0) < self.width {
            let b1 = self.find_b1(&mut found, a0, is_black);
            match mode::decode(&mut self.bits).ok_or(BAD_CODE)? {
                Mode::Pass => a0 = Some(self.reference.get(found + 1).map_or(self.width, |&b2| b2)),
                Mode::Vertical(offset) => {
                    let a1 = b1.checked_add_signed(offset.into()).filter(|&a1| a1 >= a0.unwrap_or(0));
                    let a1 = a1.ok_or(BAD_CODE)?.min(self.width);
                    self.push_change(a1)?;
                    (a0, is_black) = (Some(a1), !is_black);
                }
                Mode::Horizontal => {
                    for colour in [is_black, !is_black] {
                        let end = self.read_run(a0.unwrap_or(0), colour)?;
                        self.push_change(end)?;
                        a0 = Some(end);
                    }
                }
                Mode::Extension => return Err(UNCOMPRESSED),
                Mode::EOF => return Err(TRUNCATED),
            }
            self.check_input()?;
        }
        Ok(())
    }

    /// b1 (T.6 §2.2.1): the first changing element of the reference line to the right of a0 and of the opposite colour.
    fn find_b1(&self, found: &mut usize, a0: Option<u32>, is_black: bool) -> u32 {
        let right = |at: u32| a0.is_none_or(|a0| at > a0);
        *found = (*found & !1) | usize::from(is_black);
        while *found >= 2 && self.reference.get(*found - 2).is_none_or(|&at| right(at)) {
            *found -= 2;
        }
        while self.reference.get(*found).is_some_and(|&at| !right(at)) {
            *found += 2;
        }
        self.reference.get(*found).map_or(self.width, |&at| at)
    }

    /// The end of the run at `start`; runs beyond the right edge end there, as in libtiff.
    fn read_run(&mut self, start: u32, is_black: bool) -> Result<u32, &'static str> {
        let mut at = start;
        loop {
            let code = if is_black { black::decode(&mut self.bits) } else { white::decode(&mut self.bits) };
            let length = code.ok_or(BAD_CODE)?;
            self.check_input()?;
            at = at.saturating_add(length.into()).min(self.width);
            // make-up codes are followed by another code
            if length < 64 {
                return Ok(at);
            }
        }
    }

    /// Appends a changing element. Empty runs are allowed, in a limited number.
    fn push_change(&mut self, at: u32) -> Row {
        if self.changes.len() > 2 * self.width as usize + 2 {
            return Err(BAD_CODE);
        }
        self.changes.push(at);
        Ok(())
    }

    fn check_input(&self) -> Row {
        if self.bits.is_overrun() { Err(TRUNCATED) } else { Ok(()) }
    }

    fn write_row(&self, row: &mut [u8]) {
        for run in self.changes.chunks(2) {
            let end = run.get(1).map_or(self.width, |&end| end);
            set_bits(row, run[0] as usize, end as usize);
        }
    }
}

/// Sets the bits of a run.
fn set_bits(row: &mut [u8], start: usize, end: usize) {
    if start >= end {
        return;
    }
    let (first, last) = (start / 8, (end - 1) / 8);
    let (head, tail) = (0xFF >> (start % 8), 0xFF << (7 - (end - 1) % 8));
    if first == last {
        row[first] |= head & tail;
        return;
    }
    row[first] |= head;
    row[first + 1..last].fill(0xFF);
    row[last] |= tail;
}

/// Reads bits of the input, and zeros behind its end.
struct BitSource<'a> {
    input: &'a [u8],
    at: usize,
    lsb_first: bool,
}

impl BitSource<'_> {
    fn byte(&self, index: usize) -> u32 {
        let byte = self.input.get(index).map_or(0, |&byte| byte);
        u32::from(if self.lsb_first { byte.reverse_bits() } else { byte })
    }

    /// The next up to 16 bits.
    fn peek_bits(&self, count: u8) -> u16 {
        let first = self.at / 8;
        let window = self.byte(first) << 16 | self.byte(first + 1) << 8 | self.byte(first + 2);
        (window << (8 + self.at % 8) >> (32 - u32::from(count))) as u16
    }

    fn take(&mut self, count: u8) -> u16 {
        let bits = self.peek_bits(count);
        self.at += usize::from(count);
        bits
    }

    /// Whether an EOL follows (T.4 §4.1.2): eleven zeros; no code has more than seven before its first 1.
    fn is_at_eol(&self) -> bool {
        self.peek_bits(11) == 0
    }

    /// Skips an EOL with its fill bits; whether there was one.
    fn skip_eol(&mut self) -> bool {
        if !self.is_at_eol() {
            return false;
        }
        while self.peek_bits(1) == 0 && !self.is_overrun() {
            self.at += 1;
        }
        self.at += 1;
        true
    }

    fn align(&mut self, bits: usize) {
        self.at = self.at.next_multiple_of(bits);
    }

    fn is_overrun(&self) -> bool {
        self.at > self.input.len() * 8
    }
}

impl BitReader for BitSource<'_> {
    type Error = std::convert::Infallible;

    fn peek(&self, bits: u8) -> Option<u16> {
        (bits <= 16).then(|| if bits == 0 { 0 } else { self.peek_bits(bits) })
    }

    fn consume(&mut self, bits: u8) -> Result<(), Self::Error> {
        self.at += usize::from(bits);
        Ok(())
    }

    fn bits_to_byte_boundary(&self) -> u8 {
        (8 - self.at % 8) as u8 % 8
    }
}

#[cfg(test)]
mod tests {
    use fax::{Color, VecWriter, encoder::Encoder};

    use super::super::ifd::File;
    use super::super::testing::TestFile;
    use super::*;

    fn read(made: &TestFile, input: &[u8], rows: u32) -> Result<Vec<u8>, Failure> {
        let bytes = made.build();
        let (file, first) = File::open(&bytes)?;
        decode(&Page::read(file, &file.directory(first)?)?, input, rows)
    }

    fn made(width: u64, rows: u64, compression: u64, options: u64) -> TestFile {
        TestFile::new((width, rows), &[1], 0, &[0]).with(259, &[compression]).with(292, &[options])
    }

    /// Bytes from bits written as text.
    fn bits(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|byte| matches!(byte, b'0' | b'1')).map(|byte| byte - b'0').collect();
        let byte = |digits: &[u8]| digits.iter().enumerate().fold(0, |byte, (at, &digit)| byte | digit << (7 - at));
        digits.chunks(8).map(byte).collect()
    }

    const EOL: &str = "000000000001";

    #[test]
    fn every_fax_compression_is_decoded() {
        // four white and four black, eight white
        let (half, white) = ("1011 011", "10011");
        let rows: [u8; 2] = [0x0F, 0x00];
        let table: Vec<(&str, u64, u64, String)> = vec![
            ("huffman", 2, 0, format!("{half} 0 {white}")),
            ("huffman by words", 32771, 0, format!("{half} 0 00000000 {white}")),
            ("group 3", 3, 0, format!("{EOL} {half} {EOL} {white}")),
            ("group 3 with fill", 3, 4, format!("0000 {EOL} {half} 00000 {EOL} {white}")),
            ("group 3 without the first mark", 3, 0, format!("{half} {EOL} {white}")),
            ("group 3 in two dimensions", 3, 1, format!("{EOL} 1 {half} {EOL} 0 0001 1 {EOL} 1 {EOL} 1")),
            ("group 4", 4, 0, "001 1011 011  0001 1  000000000001 000000000001".into()),
        ];
        for (name, compression, options, text) in table {
            let packed = bits(&text);
            let made = made(8, 2, compression, options);
            assert_eq!(read(&made, &packed, 2), Ok(rows.to_vec()), "{name}");
            let reversed: Vec<u8> = packed.iter().map(|byte| byte.reverse_bits()).collect();
            assert_eq!(read(&made.with(266, &[2]), &reversed, 2), Ok(rows.to_vec()), "{name}, low bit first");
        }
    }

    #[test]
    fn truncated_and_invalid_codes_are_refused() {
        let half = "1011 011";
        for (name, compression, text) in [
            ("no data", 4, String::new()),
            ("one row of two", 4, format!("001 {half}")),
            ("an end mark too soon", 4, format!("001 {half} {EOL} {EOL}")),
            ("a short row", 3, format!("{EOL} 1011 {EOL} 10011 {EOL}")),
            ("the marks of the end", 3, format!("{EOL} {half} {EOL} {EOL} {EOL} {EOL} {EOL} {EOL}")),
            ("a code of nothing", 4, "00000001".into()),
            ("runs of nothing without end", 4, "001 00110101 0000110111".repeat(100)),
        ] {
            assert!(matches!(read(&made(8, 2, compression, 0), &bits(&text), 2), Err(Failure::Malformed(_))), "{name}");
        }
        let extension = read(&made(8, 2, 4, 0), &bits("0000001 111"), 2);
        assert!(matches!(extension, Err(Failure::Unsupported(_))), "{extension:?}");
    }

    #[test]
    fn group_4_of_the_fax_crate_is_decoded() {
        let mut state = 1u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 24
        };
        for width in [1u16, 7, 8, 9, 63, 64, 65, 500, 5000] {
            let stride = usize::from(width).div_ceil(8);
            let mut encoder = Encoder::new(VecWriter::new());
            let mut wanted: Vec<u8> = Vec::new();
            let mut row = vec![0u8; stride];
            for _ in 0..30 {
                // similar rows, so that all modes occur
                row.iter_mut().for_each(|byte| *byte ^= if random() < 40 { 1 << (random() % 8) } else { 0 });
                let black = |x: usize| row[x / 8] >> (7 - x % 8) & 1 == 1;
                let colours = (0..width.into()).map(|x| if black(x) { Color::Black } else { Color::White });
                encoder.encode_line(colours, width).expect("it cannot fail");
                let mut stored = row.clone();
                stored[stride - 1] &= 0xFF << (stride * 8 - usize::from(width));
                wanted.extend(stored);
            }
            let packed = encoder.finish().expect("it cannot fail").finish();
            assert_eq!(read(&made(width.into(), 30, 4, 0), &packed, 30), Ok(wanted), "{width}");
        }
    }

    #[test]
    fn runs_set_their_bits() {
        for (start, end, wanted) in [
            (0, 0, [0, 0, 0]),
            (0, 1, [0x80, 0, 0]),
            (3, 5, [0x18, 0, 0]),
            (7, 9, [1, 0x80, 0]),
            (4, 24, [15, 255, 255]),
        ] {
            let mut row = [0; 3];
            set_bits(&mut row, start, end);
            assert_eq!(row, wanted);
        }
    }
}
