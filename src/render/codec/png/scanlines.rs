//! The rows of the most common kinds of PNG one after the other, in 8-bit RGB, RGBA or grey and not interlaced, so that a
//! picture of any height is never held whole. Other kinds are read by the crate `png`, which also reads the header of these.
//!
//! What is refused is what that crate refuses: a wrong checksum of a chunk, data that ends too early, an unknown filter.
//! Zlib's own checksum is passed over by both, and so are data that nobody needs.

use std::borrow::Cow;

use ::png::{BitDepth, ColorType};
use fdeflate::Decompressor;

use super::super::{Error, Result};
use super::FORMAT;
use super::unfilter::{ROWS, unfilter};
use crate::render::geometry::Size;
use crate::render::ops::Rows;

/// How far back inflating looks (RFC 1950, §2.2).
const WINDOW: usize = 32 << 10;

/// Bytes that are inflated before what went before is dropped.
const AT_ONCE: usize = 128 << 10;

/// Bytes of the longest row that is read here.
pub(super) const LONGEST: usize = 1 << 20;

/// Bytes that reading holds beside the rows it gives, where a row is of so many.
pub(super) fn held(stride: usize) -> usize {
    WINDOW + AT_ONCE + (2 * ROWS + 1) * (stride + 1) + INFLATING
}

/// Tables of codes.
const INFLATING: usize = 64 << 10;

/// Samples of a pixel, where a file with that header is read here.
pub(super) fn channels(header: &::png::Info<'_>) -> Option<usize> {
    let channels = match header.color_type {
        ColorType::Grayscale => 1,
        ColorType::Rgb => 3,
        ColorType::Rgba => 4,
        _ => return None,
    };
    let fits = header.width as usize <= LONGEST / channels;
    let is_plain = header.bit_depth == BitDepth::Eight && !header.interlaced && header.trns.is_none();
    (fits && is_plain && header.animation_control.is_none()).then_some(channels)
}

/// Rows yet to be read.
pub(super) struct Scanlines<'a> {
    data: ImageData<'a>,
    inflate: Decompressor,
    /// What was inflated: bytes that may be looked back at, then scanlines not yet read.
    inflated: Vec<u8>,
    /// Where the next scanline begins.
    next: usize,
    /// Where the inflated bytes end.
    end: usize,
    /// Bytes of the picture that are yet to be inflated. Of what is behind them nothing is looked at, damaged or not.
    missing: u64,
    /// The row before the next one.
    above: Vec<u8>,
    size: Size,
    channels: usize,
    rows_left: u32,
}

impl<'a> Scanlines<'a> {
    /// The rows of a file whose header is `header`, which [`channels`] has accepted.
    ///
    /// # Errors
    /// [`Error::Malformed`] where there is no picture in it.
    pub(super) fn new(file: Cow<'a, [u8]>, header: &::png::Info<'_>) -> Result<Scanlines<'a>> {
        let channels = channels(header).ok_or_else(|| Error::malformed(FORMAT, "its rows are of another kind"))?;
        let stride = header.width as usize * channels;
        Ok(Scanlines {
            data: ImageData::of(file)?,
            inflate: {
                let mut inflate = Decompressor::new();
                inflate.ignore_adler32();
                inflate
            },
            inflated: vec![0; WINDOW + AT_ONCE + ROWS * (stride + 1)],
            next: 0,
            end: 0,
            missing: u64::from(header.height) * (stride as u64 + 1),
            above: vec![0; stride],
            size: Size::new(header.width, header.height),
            channels,
            rows_left: header.height,
        })
    }

    /// Bytes of a row.
    pub(super) fn stride(&self) -> usize {
        self.above.len()
    }

    /// Reads what is left of the data and sees to it that all is there.
    ///
    /// # Errors
    /// [`Error::Malformed`] for damaged data.
    pub(super) fn finish(mut self) -> Result<()> {
        self.skip(self.rows_left)?;
        while self.data.next_chunk()? {}
        Ok(())
    }

    /// Inflates what there is room for, of the data at hand.
    fn inflate_more(&mut self) -> Result<()> {
        if self.end == self.inflated.len() {
            let from = self.next.min(self.end - WINDOW);
            self.inflated.copy_within(from.., 0);
            self.next -= from;
            self.end -= from;
        }
        let at_hand = self.data.at_hand();
        let room = (self.inflated.len() - self.end).min(usize::try_from(self.missing).unwrap_or(usize::MAX));
        let inflated = self.inflate.read(at_hand, &mut self.inflated[..self.end + room], self.end, false);
        let (taken, given) = inflated.map_err(|error| damaged(&error))?;
        let is_stuck = taken == 0 && given == 0;
        self.data.take(taken);
        self.end += given;
        self.missing -= given as u64;
        if is_stuck && !self.data.next_chunk()? {
            return Err(Error::malformed(FORMAT, "its data end before the picture does"));
        }
        Ok(())
    }
}

impl Rows for Scanlines<'_> {
    fn size(&self) -> Size {
        self.size
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn read(&mut self, out: &mut [u8]) -> Result<()> {
        let (stride, line) = (self.stride(), self.stride() + 1);
        let mut out = out;
        while !out.is_empty() {
            let wanted = out.len() / stride;
            if wanted > self.rows_left as usize {
                return Err(Error::malformed(FORMAT, "it has fewer rows than its header says"));
            }
            let mut ready = (self.end - self.next) / line;
            if ready < wanted.min(ROWS) {
                self.inflate_more()?;
                continue;
            }
            ready = ready.min(wanted);
            if ready < wanted {
                // whole groups, as long as more are to come
                ready -= ready % ROWS;
            }
            let (rows, rest) = out.split_at_mut(ready * stride);
            let lines = &self.inflated[self.next..self.next + ready * line];
            match self.channels {
                1 => unfilter::<1>(lines, &self.above, rows)?,
                3 => unfilter::<3>(lines, &self.above, rows)?,
                _ => unfilter::<4>(lines, &self.above, rows)?,
            }
            self.above.copy_from_slice(&rows[rows.len() - stride..]);
            self.next += ready * line;
            self.rows_left -= ready as u32;
            out = rest;
        }
        Ok(())
    }

    fn skip(&mut self, rows: u32) -> Result<()> {
        // whole groups are read fastest
        let mut unseen = vec![0; self.stride() * ROWS.min(rows as usize)];
        for at in (0..rows as usize).step_by(ROWS) {
            let count = ROWS.min(rows as usize - at);
            let stride = self.stride();
            self.read(&mut unseen[..count * stride])?;
        }
        Ok(())
    }
}

fn damaged(error: &fdeflate::DecompressionError) -> Error {
    Error::malformed(FORMAT, format!("its data are damaged ({error:?})"))
}

/// The data of `IDAT` chunks, which follow each other (PNG, third edition, §11.2.3).
struct ImageData<'a> {
    file: Cow<'a, [u8]>,
    /// Where the chunk at hand has data not yet taken.
    at: usize,
    /// Where its data end.
    end: usize,
}

impl<'a> ImageData<'a> {
    /// Stands before the first of them.
    fn of(file: Cow<'a, [u8]>) -> Result<ImageData<'a>> {
        let mut at = super::SIGNATURE;
        loop {
            let (kind, data) = chunk(&file, at)?;
            if kind == *b"IDAT" {
                let mut all = ImageData { file, at: 0, end: at };
                all.enter(at)?;
                return Ok(all);
            }
            at = data.end + CHECKSUM;
        }
    }

    fn at_hand(&self) -> &[u8] {
        &self.file[self.at..self.end]
    }

    fn take(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Goes on to the next chunk; `false` where it has none of the picture's data.
    fn next_chunk(&mut self) -> Result<bool> {
        let next = self.end + CHECKSUM;
        // something has to follow, if only the end: or else nobody knows whether more was to come
        match self.file.get(next..next + HEAD) {
            Some([.., b'I', b'D', b'A', b'T']) => self.enter(next).map(|()| true),
            Some(_) => Ok(false),
            None => Err(cut_off()),
        }
    }

    fn enter(&mut self, at: usize) -> Result<()> {
        let (_, data) = chunk(&self.file, at)?;
        let stated = self.file.get(data.end..data.end + CHECKSUM).ok_or_else(cut_off)?;
        // the checksum is of the chunk's kind as well
        if crc32fast::hash(&self.file[at + 4..data.end]).to_be_bytes() != stated {
            return Err(Error::malformed(FORMAT, "the checksum of its data is wrong"));
        }
        (self.at, self.end) = (data.start, data.end);
        Ok(())
    }
}

/// Bytes of a chunk before its data: how many those are, and of what kind.
const HEAD: usize = 8;

/// Bytes of a chunk behind its data.
const CHECKSUM: usize = 4;

/// The kind of a chunk, and where its data lie.
fn chunk(file: &[u8], at: usize) -> Result<([u8; 4], std::ops::Range<usize>)> {
    let Some(&[a, b, c, d, e, f, g, h]) = file.get(at..at + HEAD) else { return Err(cut_off()) };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length > file.len() {
        return Err(cut_off());
    }
    let start = at + HEAD;
    if start + length > file.len() {
        return Err(cut_off());
    }
    Ok(([e, f, g, h], start..start + length))
}

fn cut_off() -> Error {
    Error::malformed(FORMAT, "it is cut off")
}

#[cfg(test)]
mod tests {
    use ::png::{Compression, Filter};
    use proptest::prelude::*;

    use super::*;

    const KINDS: [(ColorType, u32); 3] = [(ColorType::Grayscale, 1), (ColorType::Rgb, 3), (ColorType::Rgba, 4)];

    fn written(
        width: u32, height: u32, (kind, channels): (ColorType, u32), filter: Filter, compression: Compression,
        seed: u32,
    ) -> Vec<u8> {
        let sample = |at: u32| {
            ((at / 5) as u8).wrapping_mul(3) ^ (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 29) as u8
        };
        let data: Vec<u8> = (0..width * height * channels).map(sample).collect();
        let mut out = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut out, width, height);
        encoder.set_color(kind);
        encoder.set_compression(compression);
        encoder.set_filter(filter);
        let mut writer = encoder.write_header().expect("a header");
        writer.write_image_data(&data).expect("data");
        writer.finish().expect("the end");
        out
    }

    /// By the crate `png`.
    fn expected(file: &[u8]) -> Option<Vec<u8>> {
        let mut reader = super::super::open(file, 64 << 20).ok()?;
        let mut samples = vec![0; reader.output_buffer_size()?];
        reader.next_frame(&mut samples).ok()?;
        Some(samples)
    }

    fn found(file: &[u8], at_once: usize) -> Option<Vec<u8>> {
        let reader = super::super::open(file, 64 << 20).ok()?;
        let header = reader.info();
        let mut lines = Scanlines::new(Cow::Borrowed(file), header).ok()?;
        let mut samples = vec![0; lines.stride() * header.height as usize];
        for rows in samples.chunks_mut(at_once * lines.stride()) {
            lines.read(rows).ok()?;
        }
        lines.finish().ok()?;
        Some(samples)
    }

    const FILTERS: [Filter; 6] =
        [Filter::NoFilter, Filter::Sub, Filter::Up, Filter::Avg, Filter::Paeth, Filter::Adaptive];
    const COMPRESSIONS: [Compression; 4] =
        [Compression::NoCompression, Compression::Fastest, Compression::Fast, Compression::Balanced];

    proptest! {
        #[test]
        fn rows_are_those_of_the_picture_and_damage_is_found(
            width in 1_u32..200, height in 1_u32..90, kind in 0_usize..3, filter in 0_usize..6, compression in 0_usize..4,
            at_once in 1_usize..40, seed: u32, damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cut in any::<prop::sample::Index>(), is_cut: bool, mends: bool,
        ) {
            let mut file = written(width, height, KINDS[kind], FILTERS[filter], COMPRESSIONS[compression], seed);
            prop_assert_eq!(found(&file, at_once).expect("a sound file"), expected(&file).expect("a sound file"));
            // the header is read by the other in any case
            const BEFORE_DATA: usize = 33;
            for (place, value) in damage {
                let place = BEFORE_DATA + place.index(file.len() - BEFORE_DATA);
                file[place] = value;
            }
            if is_cut {
                file.truncate(BEFORE_DATA + cut.index(file.len() - BEFORE_DATA));
            }
            if mends {
                mend(&mut file);
            }
            prop_assert_eq!(found(&file, at_once), expected(&file));
        }
    }

    /// Makes the checksums right again, so that damage goes deeper.
    fn mend(file: &mut [u8]) {
        let mut at = super::super::SIGNATURE;
        while let Ok((_, data)) = chunk(file, at) {
            let checksum = crc32fast::hash(&file[at + 4..data.end]).to_be_bytes();
            let Some(stated) = file.get_mut(data.end..data.end + CHECKSUM) else { break };
            stated.copy_from_slice(&checksum);
            at = data.end + CHECKSUM;
        }
    }
}
