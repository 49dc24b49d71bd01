//! The rows of a PNG as they are stored, inflated and without their filters, one after the other, so that a picture of any
//! height is never held whole.
//!
//! Rows come as far as the data are sound. A wrong checksum does not stop them: libpng shows what it inflates up to the end of
//! the chunk, and browsers show all that inflates.

use std::borrow::Cow;

use fdeflate::Decompressor;
use flate2::{Decompress, FlushDecompress, Status};

use super::header::{CHECKSUM, Chunk, Header, chunk};
use super::unfilter::{Filter, ROWS, unfilter};
use tintype_pixels::Integrity;

/// How far back inflating looks (RFC 1950, §2.2).
const WINDOW: usize = 32 << 10;

/// Bytes that are inflated before what went before is dropped.
const AT_ONCE: usize = 128 << 10;

/// Bytes of the longest row that is read several at a time.
pub(super) const LONGEST: usize = 1 << 20;

/// Bytes that reading holds beside the rows it gives, where a row is of so many.
pub(super) fn held(stride: usize) -> usize {
    WINDOW + AT_ONCE + (2 * ROWS + 1) * (stride + 1) + INFLATING
}

/// Tables of codes, of both that inflate.
const INFLATING: usize = 128 << 10;

/// Rows yet to be read.
pub(super) struct Scanlines<'a> {
    inflate: Inflate<'a>,
    /// What was inflated: bytes that may be looked back at, then scanlines not yet read.
    inflated: Vec<u8>,
    /// Where the next scanline begins.
    next: usize,
    /// Where the inflated bytes end.
    end: usize,
    /// Bytes of the picture that are yet to be inflated. Of what is behind them only the checksum is looked at.
    missing: u64,
    /// The row before the next one.
    above: Vec<u8>,
    /// Bytes from one byte of a row to the one that predicts it (§9.2).
    distance: usize,
    /// Why no more rows come.
    stopped: Option<&'static str>,
}

impl<'a> Scanlines<'a> {
    /// Those of the data that begin with a chunk, which are of `bytes` in all with a byte for the filter before each row,
    /// and whose longest row has `stride`.
    pub(super) fn new(file: &'a [u8], data: &Chunk, header: &Header, bytes: u64, stride: usize) -> Scanlines<'a> {
        let at_once = if stride > LONGEST { 1 } else { ROWS };
        Scanlines {
            inflate: Inflate::new(ImageData::from(file, data)),
            inflated: vec![0; WINDOW + AT_ONCE + at_once * (stride + 1)],
            next: 0,
            end: 0,
            missing: bytes,
            above: vec![0; stride],
            distance: header.bits().div_ceil(8),
            stopped: None,
        }
    }

    /// Bytes of a row.
    pub(super) fn stride(&self) -> usize {
        self.above.len()
    }

    /// Goes on to rows of another length, before the first of which there is none.
    pub(super) fn begin(&mut self, stride: usize) {
        self.above.clear();
        self.above.resize(stride, 0);
    }

    /// Fills `out` with the next rows, as far as they come; how many rows those are.
    pub(super) fn read(&mut self, out: &mut [u8]) -> usize {
        let (stride, line) = (self.above.len(), self.above.len() + 1);
        let wanted = out.len() / stride;
        let mut read = 0;
        while read < wanted && self.stopped.is_none() {
            let mut ready = (self.end - self.next) / line;
            let left = wanted - read;
            let at_once = if stride > LONGEST { 1 } else { ROWS };
            if ready < left.min(at_once) && self.inflate_more() {
                continue;
            }
            // whole groups, as long as more are to come
            ready = ready.min(left);
            if ready < left && self.stopped.is_none() {
                ready -= ready % at_once;
            }
            let lines = &self.inflated[self.next..self.next + ready * line];
            if let Some(at) = lines.iter().step_by(line).position(|&filter| Filter::from_byte(filter).is_none()) {
                self.stopped = Some("a row is filtered by an unknown method");
                ready = at;
            }
            let rows = &mut out[read * stride..(read + ready) * stride];
            let lines = &self.inflated[self.next..self.next + ready * line];
            match self.distance {
                1 => unfilter::<1>(lines, &self.above, rows),
                2 => unfilter::<2>(lines, &self.above, rows),
                3 => unfilter::<3>(lines, &self.above, rows),
                4 => unfilter::<4>(lines, &self.above, rows),
                6 => unfilter::<6>(lines, &self.above, rows),
                _ => unfilter::<8>(lines, &self.above, rows),
            }
            if ready > 0 {
                self.above.copy_from_slice(&rows[rows.len() - stride..]);
            }
            self.next += ready * line;
            read += ready;
        }
        read
    }

    /// Looks at what is left behind the last row.
    pub(super) fn finish(mut self) -> Integrity {
        if self.stopped.is_none() {
            let end = self.end;
            while self.inflate.read(&mut self.inflated[..end], end) > 0 {}
        }
        match self.stopped.or(self.inflate.wrong) {
            Some(reason) => Integrity::Damaged(Cow::Borrowed(reason)),
            None => Integrity::Whole,
        }
    }

    /// Inflates what there is room for; `false` where no more comes.
    fn inflate_more(&mut self) -> bool {
        if self.end == self.inflated.len() {
            let from = self.next.min(self.end - WINDOW);
            self.inflated.copy_within(from.., 0);
            self.next -= from;
            self.end -= from;
        }
        let room = (self.inflated.len() - self.end).min(usize::try_from(self.missing).unwrap_or(usize::MAX));
        let given = self.inflate.read(&mut self.inflated[..self.end + room], self.end);
        self.end += given;
        self.missing -= given as u64;
        if given == 0 {
            self.stopped = Some(self.inflate.wrong.unwrap_or("the image data end before the picture does"));
        }
        given > 0
    }
}

/// Inflates image data as far as they are sound.
struct Inflate<'a> {
    data: ImageData<'a>,
    by: By,
    /// Bytes that were given.
    given: u64,
    /// The fault of the data.
    wrong: Option<&'static str>,
}

enum By {
    Fast(Box<Decompressor>),
    /// The inflater that goes on where the fast one meets damage, since that does not say how much it inflated before.
    Exact(Box<Exact>),
    /// The data has ended.
    Nothing,
}

impl<'a> Inflate<'a> {
    fn new(data: ImageData<'a>) -> Inflate<'a> {
        Inflate { data, by: By::Fast(Box::new(Decompressor::new())), given: 0, wrong: None }
    }

    /// Puts more bytes into `out` from `at` on, behind those that were given before, and says how many; 0 where no more come,
    /// or there is no room.
    fn read(&mut self, out: &mut [u8], at: usize) -> usize {
        loop {
            let given = match &mut self.by {
                By::Fast(fast) => match fast.read(self.data.at_hand(), out, at, false) {
                    Ok((taken, given)) => {
                        self.data.take(taken);
                        if taken == 0 && given == 0 {
                            // more data than the picture has are passed over
                            let is_full = at == out.len() && !self.data.at_hand().is_empty();
                            if fast.is_done() || is_full || self.data.at_hand().is_empty() && !self.data.go_on() {
                                self.by = By::Nothing;
                            }
                        }
                        given
                    }
                    Err(_) => {
                        self.data.rewind();
                        self.by = By::Exact(Box::new(Exact::after(self.given)));
                        0
                    }
                },
                By::Exact(exact) => {
                    let given = exact.read(&mut self.data, &mut out[at..]);
                    if given == 0 {
                        if exact.has_failed {
                            self.wrong = Some("the image data are damaged");
                        }
                        self.by = By::Nothing;
                    }
                    given
                }
                By::Nothing => {
                    if self.data.is_wrong {
                        self.wrong = self.wrong.or(Some("a checksum of the image data is wrong"));
                    }
                    return 0;
                }
            };
            self.given += given as u64;
            if given > 0 {
                return given;
            }
        }
    }
}

/// Inflates to the very byte before which the data are damaged.
struct Exact {
    inflate: Decompress,
    /// Bytes that were inflated and not yet taken: the library drops what it has no room for when it fails, which is not more than
    /// its window.
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    /// Bytes that were given before.
    skip: u64,
    has_failed: bool,
}

impl Exact {
    fn after(skip: u64) -> Exact {
        let buffer = vec![0; 2 * WINDOW];
        Exact { inflate: Decompress::new(true), buffer, at: 0, end: 0, skip, has_failed: false }
    }

    /// Puts more bytes into `out` and says how many; 0 where no more come, or there is no room.
    fn read(&mut self, data: &mut ImageData<'_>, out: &mut [u8]) -> usize {
        loop {
            let skipped = (self.end - self.at).min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.at += skipped;
            self.skip -= skipped as u64;
            let given = (self.end - self.at).min(out.len());
            if given > 0 || self.at < self.end {
                out[..given].copy_from_slice(&self.buffer[self.at..self.at + given]);
                self.at += given;
                return given;
            }
            if self.has_failed || !self.refill(data) {
                return 0;
            }
        }
    }

    /// Inflates more; `false` where nothing comes.
    fn refill(&mut self, data: &mut ImageData<'_>) -> bool {
        let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
        let result = self.inflate.decompress(data.at_hand(), &mut self.buffer, FlushDecompress::None);
        let taken = (self.inflate.total_in() - before_in) as usize;
        data.take(taken);
        (self.at, self.end) = (0, (self.inflate.total_out() - before_out) as usize);
        self.has_failed = result.is_err();
        match result {
            Ok(Status::StreamEnd) | Err(_) => self.end > 0,
            Ok(_) => taken > 0 || self.end > 0 || data.at_hand().is_empty() && data.go_on(),
        }
    }
}

/// The data of a picture: those of chunks of a kind that follow each other, whatever stands between them that is no part of
/// another picture.
struct ImageData<'a> {
    file: &'a [u8],
    first: Chunk,
    /// Where the chunk at hand has data not yet taken.
    at: usize,
    /// Where its data end.
    end: usize,
    /// Whether the checksum of a chunk is wrong.
    is_wrong: bool,
}

impl<'a> ImageData<'a> {
    /// The chunks that begin with that one.
    fn from(file: &'a [u8], first: &Chunk) -> ImageData<'a> {
        let mut data = ImageData { file, first: first.clone(), at: 0, end: 0, is_wrong: false };
        data.enter(first);
        data
    }

    fn rewind(&mut self) {
        let first = self.first.clone();
        self.enter(&first);
    }

    fn at_hand(&self) -> &'a [u8] {
        &self.file[self.at..self.end]
    }

    fn take(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Goes on to the next chunk; `false` where there is none.
    fn go_on(&mut self) -> bool {
        let mut next = self.end + CHECKSUM;
        while let Some(chunk) = chunk(self.file, next) {
            if chunk.kind == self.first.kind {
                self.enter(&chunk);
                return true;
            }
            if matches!(&chunk.kind, b"IEND" | b"fcTL" | b"fdAT" | b"IDAT" | b"IHDR") {
                return false;
            }
            next = chunk.end();
        }
        false
    }

    fn enter(&mut self, chunk: &Chunk) {
        // of a chunk that is cut off nothing can be said but by what is in it
        let has_checksum = chunk.end() <= self.file.len();
        self.is_wrong |= has_checksum && !chunk.is_sound(self.file);
        // those of a frame begin with the number of the chunk
        let number = if chunk.kind == *b"fdAT" { 4 } else { 0 };
        (self.at, self.end) = ((chunk.data.start + number).min(chunk.data.end), chunk.data.end);
    }
}

#[cfg(test)]
mod tests {
    use ::png::{BitDepth, ColorType, Compression, Filter};
    use proptest::prelude::*;

    use super::super::header::chunks;
    use super::*;

    const KINDS: [(ColorType, BitDepth, u32); 7] = [
        (ColorType::Grayscale, BitDepth::Eight, 1),
        (ColorType::Rgb, BitDepth::Eight, 3),
        (ColorType::Rgba, BitDepth::Eight, 4),
        (ColorType::GrayscaleAlpha, BitDepth::Eight, 2),
        (ColorType::Grayscale, BitDepth::Sixteen, 2),
        (ColorType::Rgb, BitDepth::Sixteen, 6),
        (ColorType::Rgba, BitDepth::Sixteen, 8),
    ];

    fn sample(at: u32, seed: u32) -> u8 {
        ((at / 5) as u8).wrapping_mul(3) ^ (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 29) as u8
    }

    fn written(
        width: u32, height: u32, (kind, depth, bytes): (ColorType, BitDepth, u32), filter: Filter,
        compression: Compression, seed: u32,
    ) -> Vec<u8> {
        let data: Vec<u8> = (0..width * height * bytes).map(|at| sample(at, seed)).collect();
        let mut out = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut out, width, height);
        encoder.set_color(kind);
        encoder.set_depth(depth);
        encoder.set_compression(compression);
        encoder.set_filter(filter);
        let mut writer = encoder.write_header().expect("a header");
        writer.write_image_data(&data).expect("data");
        writer.finish().expect("the end");
        out
    }

    /// The rows, so many at once, and whether they are all.
    fn found(file: &[u8], at_once: usize) -> Option<(Vec<u8>, usize, Integrity)> {
        let header = Header::read(file).ok()?;
        let stride = header.stride(header.size.width);
        let bytes = (stride as u64 + 1) * u64::from(header.size.height);
        let first = chunk(file, header.data)?;
        let mut lines = Scanlines::new(file, &first, &header, bytes, stride);
        let mut samples = vec![0; stride * header.size.height as usize];
        let mut read = 0;
        for rows in samples.chunks_mut(at_once * stride) {
            read += lines.read(rows);
        }
        Some((samples, read, lines.finish()))
    }

    const FILTERS: [Filter; 6] =
        [Filter::NoFilter, Filter::Sub, Filter::Up, Filter::Avg, Filter::Paeth, Filter::Adaptive];
    const COMPRESSIONS: [Compression; 4] =
        [Compression::NoCompression, Compression::Fastest, Compression::Fast, Compression::Balanced];

    proptest! {
        #[test]
        fn rows_of_sound_files_are_all_there_and_rows_before_damage_are_sound(
            width in 1_u32..200, height in 1_u32..90, kind in 0_usize..7, filter in 0_usize..6, compression in 0_usize..4,
            at_once in 1_usize..40, seed: u32, cut in any::<prop::sample::Index>(),
            flipped in any::<prop::sample::Index>(), bit in 0_u32..8,
        ) {
            let kind = KINDS[kind];
            let file = written(width, height, kind, FILTERS[filter], COMPRESSIONS[compression], seed);
            let stride = (width * kind.2) as usize;
            let expected: Vec<u8> = (0..width * height * kind.2).map(|at| sample(at, seed)).collect();
            let (samples, read, integrity) = found(&file, at_once).expect("a sound file");
            prop_assert!(samples == expected && read == height as usize && integrity == Integrity::Whole);

            let data = chunks(&file).find(|chunk| chunk.kind == *b"IDAT").expect("data");
            let cut = data.data.start + cut.index(file.len() - data.data.start);
            let (samples, read, integrity) = found(&file[..cut], at_once).expect("a header");
            prop_assert!(samples[..read * stride] == expected[..read * stride]);
            prop_assert!(samples[read * stride..].iter().all(|&sample| sample == 0));
            prop_assert_eq!(integrity == Integrity::Whole, read == height as usize);
            // how many rows come does not depend on how many are asked for
            prop_assert_eq!(found(&file[..cut], at_once % 7 + 1).expect("a header"), (samples, read, integrity));

            let mut damaged = file.clone();
            damaged[data.data.start + flipped.index(data.data.len())] ^= 1 << bit;
            let (samples, read, integrity) = found(&damaged, at_once).expect("a header");
            prop_assert!(integrity != Integrity::Whole);
            prop_assert_eq!(found(&damaged, at_once % 7 + 1).expect("a header"), (samples, read, integrity));
        }
    }
}
