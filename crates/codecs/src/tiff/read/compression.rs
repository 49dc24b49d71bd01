//! General compressions (PackBits, TIFF 6.0 §9; LZW, §13; Deflate, Photoshop TIFF technical notes 2002) and predictors (§14).
//!
//! LZW of before TIFF 6.0 is LSB-first and widens its codes one later; it is told by the first two bytes, as in libtiff
//! (`LZW_COMPAT`).

use std::borrow::Cow;

use flate2::{Decompress, FlushDecompress, Status};
use weezl::{BitOrder, LzwStatus, decode::Configuration};

use super::page::Page;
use super::tags::{Compression, Predictor};
use super::{Failure, fax};
use crate::lzw::{self, Order};

/// Decompresses a strip or tile of `rows` rows and undoes its predictor.
pub(super) fn decompress<'a>(page: &Page<'_>, input: &'a [u8], rows: u32) -> Result<Cow<'a, [u8]>, Failure> {
    let length = page.segment_bytes(rows) as usize;
    if page.compression.is_fax() {
        return fax::decode(page, input, rows).map(Cow::Owned);
    }
    let input = msb_first(page, input);
    if page.compression == Compression::None {
        return Ok(input);
    }
    let mut out = vec![0; length];
    let written = match page.compression {
        Compression::PackBits => unpack_bits(&input, &mut out),
        Compression::Lzw => unpack_lzw(&input, &mut out),
        _ => inflate(&input, &mut out),
    };
    if written < length {
        return Err(Failure::malformed(format!("a strip or tile has {written} bytes of {length}")));
    }
    for row in out.chunks_exact_mut(page.stride() as usize) {
        undo_predictor(page, row);
    }
    Ok(Cow::Owned(out))
}

/// The bytes in FillOrder 1 (TIFF 6.0 §8).
fn msb_first<'a>(page: &Page<'_>, input: &'a [u8]) -> Cow<'a, [u8]> {
    // some writers of Deflate state a FillOrder that they do not follow
    let is_zlib = page.compression == Compression::Deflate && starts_zlib(input);
    if !page.lsb_first || is_zlib {
        return Cow::Borrowed(input);
    }
    input.iter().map(|byte| byte.reverse_bits()).collect()
}

/// RFC 1950 §2.2: method 8, and a header that is a multiple of 31.
fn starts_zlib(input: &[u8]) -> bool {
    matches!(input, [method, flags, ..] if method & 15 == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0)
}

/// PackBits (TIFF 6.0 §9); the number of bytes written.
fn unpack_bits(mut input: &[u8], out: &mut [u8]) -> usize {
    let mut at = 0;
    while let ([head, rest @ ..], true) = (input, at < out.len()) {
        let room = out.len() - at;
        match *head as i8 {
            // a no-op
            -128 => input = rest,
            repeat @ ..0 => {
                let Some((&byte, rest)) = rest.split_first() else { break };
                let run = room.min(1 + usize::from(repeat.unsigned_abs()));
                out[at..at + run].fill(byte);
                (at, input) = (at + run, rest);
            }
            literal => {
                let run = room.min(literal as usize + 1).min(rest.len());
                out[at..at + run].copy_from_slice(&rest[..run]);
                (at, input) = (at + run, &rest[run..]);
            }
        }
    }
    at
}

/// LZW (TIFF 6.0 §13); the number of bytes written.
fn unpack_lzw(input: &[u8], out: &mut [u8]) -> usize {
    let (order, configuration) = match input {
        [0, second, ..] if second & 1 == 1 => (Order::LsbFirst, Configuration::new(BitOrder::Lsb, 8)),
        _ => (Order::MsbFirst, Configuration::with_tiff_size_switch(BitOrder::Msb, 8)),
    };
    if lzw::decode(order, 8, input, out).is_some() {
        return out.len();
    }
    // `weezl` decodes what [`lzw`] refuses; data behind a full strip are ignored, an end code is not required
    let mut decoder = configuration.with_yield_on_full_buffer(true).build();
    let (mut read, mut written) = (0, 0);
    while written < out.len() {
        let step = decoder.decode_bytes(&input[read..], &mut out[written..]);
        read += step.consumed_in;
        written += step.consumed_out;
        let moved = step.consumed_in > 0 || step.consumed_out > 0;
        if !matches!(step.status, Ok(LzwStatus::Ok)) || !moved {
            break;
        }
    }
    written
}

/// zlib (RFC 1950) without checking Adler-32; the number of bytes written.
fn inflate(input: &[u8], out: &mut [u8]) -> usize {
    if inflate_all(input, out) {
        return out.len();
    }
    // on damage, `flate2` is slower but reports how many bytes it inflated
    let mut decoder = Decompress::new(true);
    loop {
        let (read, written) = (decoder.total_in() as usize, decoder.total_out() as usize);
        let status = decoder.decompress(&input[read..], &mut out[written..], FlushDecompress::None);
        let (now_read, now_written) = (decoder.total_in() as usize, decoder.total_out() as usize);
        let moved = (read, written) != (now_read, now_written);
        if !matches!(status, Ok(Status::Ok)) || !moved || now_written == out.len() {
            return now_written;
        }
    }
}

/// Inflates by `fdeflate`; whether it filled `out`.
fn inflate_all(input: &[u8], out: &mut [u8]) -> bool {
    let mut decoder = fdeflate::Decompressor::new();
    decoder.ignore_adler32();
    let (mut read, mut written) = (0, 0);
    while written < out.len() {
        match decoder.read(&input[read..], out, written, true) {
            Ok((0, 0)) | Err(_) => return false,
            Ok((taken, given)) => (read, written) = (read + taken, written + given),
        }
    }
    true
}

/// Undoes the predictor of a row (TIFF 6.0 §14, Photoshop TIFF technical note 3).
fn undo_predictor(page: &Page<'_>, row: &mut [u8]) {
    let samples = page.interleaved_samples();
    match (page.predictor, page.bits) {
        (Predictor::None, _) => {}
        (Predictor::Horizontal, 16) => undo_horizontal::<2>(row, samples, page.file.big_endian),
        (Predictor::Horizontal, 32) => undo_horizontal::<4>(row, samples, page.file.big_endian),
        (Predictor::Horizontal, 64) => undo_horizontal::<8>(row, samples, page.file.big_endian),
        (Predictor::Horizontal, _) => match samples {
            1 => undo_bytes::<1>(row),
            3 => undo_bytes::<3>(row),
            4 => undo_bytes::<4>(row),
            _ => undo_horizontal::<1>(row, samples, page.file.big_endian),
        },
        (Predictor::Float, bits) => undo_float(row, samples, usize::from(bits / 8), page.file.big_endian),
    }
}

/// The same of samples of a byte, so many a pixel.
fn undo_bytes<const SAMPLES: usize>(row: &mut [u8]) {
    let mut left = [0; SAMPLES];
    for pixel in row.as_chunks_mut::<SAMPLES>().0 {
        left = std::array::from_fn(|at| pixel[at].wrapping_add(left[at]));
        *pixel = left;
    }
}

/// Each sample of `N` bytes was stored as the difference to the one of the pixel to its left.
fn undo_horizontal<const N: usize>(row: &mut [u8], samples: usize, big_endian: bool) {
    let mut left = vec![[0; N]; samples];
    for pixel in row.as_chunks_mut::<N>().0.chunks_mut(samples) {
        for (sample, left) in pixel.iter_mut().zip(&mut left) {
            add(sample, left, big_endian);
            *left = *sample;
        }
    }

    /// Adds without regard for overflow, from the byte that counts least on.
    fn add<const N: usize>(sample: &mut [u8; N], left: &[u8; N], big_endian: bool) {
        let mut carry = 0;
        for place in 0..N {
            let byte = if big_endian { N - 1 - place } else { place };
            let sum = u16::from(sample[byte]) + u16::from(left[byte]) + carry;
            sample[byte] = sum as u8;
            carry = sum >> 8;
        }
    }
}

/// The bytes were stored as differences, those of all samples that count most first.
fn undo_float(row: &mut [u8], samples: usize, size: usize, big_endian: bool) {
    for at in samples..row.len() {
        row[at] = row[at].wrapping_add(row[at - samples]);
    }
    let planes = row.to_vec();
    let count = row.len() / size;
    for (index, sample) in row.chunks_exact_mut(size).enumerate() {
        for (place, byte) in sample.iter_mut().enumerate() {
            let place = if big_endian { place } else { size - 1 - place };
            *byte = planes[place * count + index];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ifd::File;
    use super::super::testing::TestFile;
    use super::*;

    fn read(made: &TestFile, input: &[u8], rows: u32) -> Result<Vec<u8>, Failure> {
        let bytes = made.build();
        let (file, first) = File::open(&bytes)?;
        let page = Page::read(file, &file.directory(first)?)?;
        decompress(&page, input, rows).map(Cow::into_owned)
    }

    #[test]
    fn packed_bits() {
        for (input, wanted) in [
            // the example of §9
            (
                &b"\xFE\xAA\x02\x80\x00\x2A\xFD\xAA\x03\x80\x00\x2A\x22\xF7\xAA"[..],
                &b"\xAA\xAA\xAA\x80\x00\x2A\xAA\xAA\xAA\xAA\x80\x00\x2A\x22\xAA\xAA\xAA\xAA\xAA\xAA\xAA\xAA\xAA\xAA"[..],
            ),
            (b"\x80\x80\x00\x07", b"\x07"),
            (b"\x81\x05", &[5; 128]),
            (b"\x05\x01\x02", b"\x01\x02"),
            (b"\xFF", b""),
            (b"", b""),
        ] {
            let mut out = vec![0; 200];
            let written = unpack_bits(input, &mut out);
            assert_eq!(&out[..written], wanted);
        }
        // a run longer than the room
        let mut out = [0; 3];
        assert_eq!((unpack_bits(b"\x81\x05", &mut out), out), (3, [5; 3]));
    }

    #[test]
    fn lzw_of_both_ages() {
        let data: Vec<u8> = (0..20_000u32).map(|index| ((index * index) >> 7) as u8).collect();
        let new = weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8).encode(&data).expect("encoded");
        let old = weezl::encode::Encoder::new(BitOrder::Lsb, 8).encode(&data).expect("encoded");
        for packed in [new, old] {
            let mut out = vec![0; data.len()];
            assert_eq!(unpack_lzw(&packed, &mut out), data.len());
            assert_eq!(out, data);
            let mut short = vec![0; 100];
            assert_eq!((unpack_lzw(&packed, &mut short), &short[..]), (100, &data[..100]));
            assert!(unpack_lzw(&packed[..packed.len() / 2], &mut out) < data.len());
        }
    }

    #[test]
    fn deflate_in_either_bit_order() {
        let stored = [0x78, 0x01, 1, 4, 0, 0xFB, 0xFF, 1, 2, 3, 4];
        let reversed = stored.map(u8::reverse_bits);
        let made = TestFile::new((4, 1), &[8], 1, &[0]);
        for (number, order, input) in [(8, 1, stored), (32946, 1, stored), (8, 2, stored), (8, 2, reversed)] {
            let made = made.clone().with(259, &[number]).with(266, &[order]);
            assert_eq!(read(&made, &input, 1), Ok(vec![1, 2, 3, 4]));
        }
    }

    #[test]
    fn predictions() {
        let stored = |data: &[u8]| {
            let length = (data.len() as u16).to_le_bytes();
            [&[0x78, 1, 1][..], &length, &length.map(|byte| !byte), data].concat()
        };
        let floats: Vec<u8> = vec![0x3F, 0x00, 0x40, 0x00, 0, 0, 0, 0];
        let mut differences = floats.clone();
        (1..8).rev().for_each(|at| differences[at] = differences[at].wrapping_sub(differences[at - 1]));
        let table: Vec<(u64, u64, Vec<u8>, Vec<u8>)> = vec![
            (2, 8, vec![250, 10, 1], vec![250, 4, 5]),
            (2, 16, vec![0xFF, 0x01, 0x01, 0x00], vec![0xFF, 0x01, 0x00, 0x02]),
            (2, 32, vec![0xFF, 0xFF, 0xFF, 0, 1, 0, 0, 0], vec![0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 1]),
            // the bytes that count most come first: 3F.. and 00.. make 3F400000 and 00000000
            (3, 32, differences, vec![0, 0, 0x40, 0x3F, 0, 0, 0, 0]),
        ];
        for (predictor, bits, packed, wanted) in table {
            let width = packed.len() as u64 * 8 / bits;
            let made = TestFile::new((width, 1), &[bits], 1, &[0]).with(259, &[8]).with(317, &[predictor]);
            let made = if predictor == 3 { made.with(339, &[3]) } else { made };
            assert_eq!(read(&made, &stored(&packed), 1), Ok(wanted), "{predictor} of {bits} bits");
        }
        // of colours, each is predicted from its own kind; in the other byte order the sum is another
        let made = TestFile::new((2, 1), &[8; 3], 2, &[0]).with(259, &[8]).with(317, &[2]);
        assert_eq!(read(&made, &stored(&[1, 2, 3, 1, 1, 1]), 1), Ok(vec![1, 2, 3, 2, 3, 4]));
        let made = TestFile::new((2, 1), &[16], 1, &[0]).with(259, &[8]).with(317, &[2]).big_endian();
        assert_eq!(read(&made, &stored(&[0x01, 0xFF, 0x00, 0x01]), 1), Ok(vec![0x01, 0xFF, 0x02, 0x00]));
    }
}
