//! Scanlines of a PNG, inflated and unfiltered in order, so that no more than a few are in memory.
//!
//! Scanlines are decoded as far as the data inflate. A wrong CRC or Adler-32 does not stop them, as in browsers; it is reported as
//! damage.

use std::borrow::Cow;

use super::chunk::Chunk;
use super::header::Header;
use super::inflate::{INFLATER_MEMORY, ImageData, Inflate, WINDOW};
use super::unfilter::{ROWS, is_filter_type, unfilter};
use tintype_pixels::Integrity;

/// Bytes that are inflated before consumed ones are dropped.
const BUFFER: usize = 128 << 10;

/// Bytes of the longest scanline that is unfiltered in groups of [`ROWS`].
pub(super) const MAX_GROUPED: usize = 1 << 20;

/// Bytes of memory for scanlines of `stride` bytes, without the output.
pub(super) fn memory(stride: usize) -> usize {
    WINDOW + BUFFER + (2 * ROWS + 1) * (stride + 1) + INFLATER_MEMORY
}

/// The scanlines that are not decoded yet.
pub(super) struct Scanlines<'a> {
    inflate: Inflate<'a>,
    /// Inflated bytes: the window, then filtered scanlines that were not read.
    inflated: Vec<u8>,
    /// The position of the next scanline in it.
    next: usize,
    /// The end of the inflated bytes in it.
    end: usize,
    /// Bytes of the picture that are not inflated yet.
    missing: u64,
    /// The unfiltered scanline before the next one.
    above: Vec<u8>,
    /// Bytes of a complete pixel, at least 1 (`bpp` of §9.2).
    bytes_per_pixel: usize,
    /// The fault that ended decoding.
    fault: Option<&'static str>,
}

impl<'a> Scanlines<'a> {
    /// `data` is the first IDAT or fdAT chunk, `bytes` the length of all scanlines with their filter bytes, and `stride` the length of
    /// the longest without it.
    pub(super) fn new(file: &'a [u8], data: &Chunk, header: &Header, bytes: u64, stride: usize) -> Scanlines<'a> {
        let group = if stride > MAX_GROUPED { 1 } else { ROWS };
        Scanlines {
            inflate: Inflate::new(ImageData::from(file, data)),
            inflated: vec![0; WINDOW + BUFFER + group * (stride + 1)],
            next: 0,
            end: 0,
            missing: bytes,
            above: vec![0; stride],
            bytes_per_pixel: header.bits_per_pixel().div_ceil(8),
            fault: None,
        }
    }

    /// Bytes of a scanline without its filter byte.
    pub(super) fn stride(&self) -> usize {
        self.above.len()
    }

    /// Starts an interlace pass with scanlines of another length.
    pub(super) fn begin_pass(&mut self, stride: usize) {
        self.above.clear();
        self.above.resize(stride, 0);
    }

    /// Decodes the next scanlines into `out`; the number decoded, less than requested at the end or before damage.
    pub(super) fn read(&mut self, out: &mut [u8]) -> usize {
        let (stride, line) = (self.above.len(), self.above.len() + 1);
        let wanted = out.len() / stride;
        let mut read = 0;
        while read < wanted && self.fault.is_none() {
            let mut ready = (self.end - self.next) / line;
            let left = wanted - read;
            let group = if stride > MAX_GROUPED { 1 } else { ROWS };
            if ready < left.min(group) && self.inflate_more() {
                continue;
            }
            // full groups, as long as more follow
            ready = ready.min(left);
            if ready < left && self.fault.is_none() {
                ready -= ready % group;
            }
            let lines = &self.inflated[self.next..self.next + ready * line];
            if let Some(at) = lines.iter().step_by(line).position(|&filter| !is_filter_type(filter)) {
                self.fault = Some("a scanline has an unknown filter type");
                ready = at;
            }
            let rows = &mut out[read * stride..(read + ready) * stride];
            let lines = &self.inflated[self.next..self.next + ready * line];
            match self.bytes_per_pixel {
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

    /// Checks the data behind the last scanline.
    pub(super) fn finish(mut self) -> Integrity {
        if self.fault.is_none() {
            let end = self.end;
            while self.inflate.read(&mut self.inflated[..end], end) > 0 {}
        }
        match self.fault.or(self.inflate.fault) {
            Some(reason) => Integrity::Damaged(Cow::Borrowed(reason)),
            None => Integrity::Whole,
        }
    }

    /// Fills the free space of the buffer; `false` at the end or before damage.
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
            self.fault = Some(self.inflate.fault.unwrap_or("the image data end before the picture does"));
        }
        given > 0
    }
}

#[cfg(test)]
mod tests {
    use ::png::{BitDepth, ColorType, Compression, Filter};
    use proptest::prelude::*;

    use super::super::chunk::{chunk, chunks};
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

    /// The scanlines, decoded in groups of `group`, their number, and the integrity.
    fn decode_by(file: &[u8], group: usize) -> Option<(Vec<u8>, usize, Integrity)> {
        let header = Header::read(file).ok()?;
        let stride = header.stride(header.size.width);
        let bytes = (stride as u64 + 1) * u64::from(header.size.height);
        let first = chunk(file, header.first_idat)?;
        let mut lines = Scanlines::new(file, &first, &header, bytes, stride);
        let mut samples = vec![0; stride * header.size.height as usize];
        let mut read = 0;
        for rows in samples.chunks_mut(group * stride) {
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
        fn scanlines_before_damage_are_decoded(
            width in 1_u32..200, height in 1_u32..90, kind in 0_usize..7, filter in 0_usize..6, compression in 0_usize..4,
            group in 1_usize..40, seed: u32, cut in any::<prop::sample::Index>(),
            flipped in any::<prop::sample::Index>(), bit in 0_u32..8,
        ) {
            let kind = KINDS[kind];
            let file = written(width, height, kind, FILTERS[filter], COMPRESSIONS[compression], seed);
            let stride = (width * kind.2) as usize;
            let expected: Vec<u8> = (0..width * height * kind.2).map(|at| sample(at, seed)).collect();
            let (samples, read, integrity) = decode_by(&file, group).expect("an undamaged file");
            prop_assert!(samples == expected && read == height as usize && integrity == Integrity::Whole);

            let data = chunks(&file).find(|chunk| chunk.kind == *b"IDAT").expect("data");
            let cut = data.data.start + cut.index(file.len() - data.data.start);
            let (samples, read, integrity) = decode_by(&file[..cut], group).expect("a header");
            prop_assert!(samples[..read * stride] == expected[..read * stride]);
            prop_assert!(samples[read * stride..].iter().all(|&sample| sample == 0));
            prop_assert_eq!(integrity == Integrity::Whole, read == height as usize);
            // the number of scanlines does not depend on the size of groups
            prop_assert_eq!(decode_by(&file[..cut], group % 7 + 1).expect("a header"), (samples, read, integrity));

            let mut damaged = file.clone();
            damaged[data.data.start + flipped.index(data.data.len())] ^= 1 << bit;
            let (samples, read, integrity) = decode_by(&damaged, group).expect("a header");
            prop_assert!(integrity != Integrity::Whole);
            prop_assert_eq!(decode_by(&damaged, group % 7 + 1).expect("a header"), (samples, read, integrity));
        }
    }
}
