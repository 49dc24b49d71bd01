//! Decoding damaged or truncated VP8L bitstreams (RFC 9649 §3) as far as they go. Undamaged ones are decoded by `image-webp`, which
//! returns nothing of others.

mod prefix;
mod transform;

use self::prefix::{BitReader, PrefixCode};
use self::transform::read_transforms;
use super::FORMAT;
use tintype_pixels::Pixels;
use tintype_pixels::error::Result;
use tintype_pixels::geometry::Size;

/// Rows are returned in multiples of this, as by libwebp.
const ROW_GROUP: usize = 16;

/// RGBA.
pub(super) type Pixel = [u8; 4];

/// Decodes a picture of that size as far as possible; the pixels and the number of decoded rows. Missing rows are transparent, or black
/// without alpha. `None` where no row can be decoded.
pub(super) fn rows(data: &[u8], size: Size) -> Result<Option<(Pixels, u32)>> {
    let Some((pixels, rows, has_alpha)) = read(data, size) else { return Ok(None) };
    let channels = if has_alpha { 4 } else { 3 };
    let mut samples = Vec::with_capacity(size.pixels() as usize * channels);
    pixels.iter().for_each(|pixel| samples.extend_from_slice(&pixel[..channels]));
    Ok(Some((Pixels::new(FORMAT, size, channels, samples)?, rows)))
}

fn read(data: &[u8], size: Size) -> Option<(Vec<Pixel>, u32, bool)> {
    let mut bits = BitReader { data, buffer: 0, count: 0 };
    // signature, size, alpha_is_used, version (§3.4)
    (bits.read(8)? == 0x2F).then_some(())?;
    let stated = Size::new(bits.read(14)? + 1, bits.read(14)? + 1);
    let has_alpha = bits.read(1)? == 1;
    (stated == size && bits.read(3)? == 0).then_some(())?;
    let (width, height) = (size.width as usize, size.height as usize);
    let (transforms, coded) = read_transforms(&mut bits, width, height)?;
    let mut pixels = vec![[0; 4]; width * height];
    let decoded = EntropyImage::read(&mut bits, coded, height, true)?.decode(&mut bits, &mut pixels[..coded * height]);
    let rows = decoded / coded / ROW_GROUP * ROW_GROUP;
    if rows == 0 {
        return None;
    }
    let mut across = coded;
    for transform in transforms.iter().rev() {
        across = transform.undo(&mut pixels, across, width, rows);
    }
    pixels[rows * width..].fill([0; 4]);
    Some((pixels, rows as u32, has_alpha))
}

/// The prefix codes of green with lengths and cache indices, of red, blue, alpha, and of distances (§3.7.1).
type Group = [PrefixCode; 5];

/// An entropy-coded image (§3.7) with its prefix codes.
struct EntropyImage {
    width: usize,
    /// The colour cache (§3.6.3).
    cache: Vec<Pixel>,
    cache_bits: u32,
    groups: Vec<Group>,
    /// The index of the group of each block; empty with a single group.
    block_groups: Vec<u16>,
    /// The logarithm of a block's side.
    block_bits: u32,
}

impl EntropyImage {
    fn read(bits: &mut BitReader<'_>, width: usize, height: usize, is_picture: bool) -> Option<EntropyImage> {
        let cache_bits = if bits.read(1)? == 1 { bits.read(4).filter(|bits| (1..=11).contains(bits))? } else { 0 };
        let (mut block_groups, mut block_bits) = (Vec::new(), 0);
        if is_picture && bits.read(1)? == 1 {
            block_bits = bits.read(3)? + 2;
            let blocks = read_image(bits, blocks(width, block_bits), blocks(height, block_bits))?;
            block_groups = blocks.iter().map(|&[red, green, ..]| u16::from_be_bytes([red, green])).collect();
        }
        let count = block_groups.iter().max().map_or(1, |&last| usize::from(last) + 1);
        let mut is_used = vec![block_groups.is_empty(); count];
        block_groups.iter().for_each(|&group| is_used[usize::from(group)] = true);
        let cached = if cache_bits > 0 { 1 << cache_bits } else { 0 };
        // groups of no block are read, and not kept: a picture of one block may state 65,536
        let mut groups = Vec::new();
        let mut kept = vec![0; count];
        for (is_used, place) in is_used.into_iter().zip(&mut kept) {
            let mut group = Group::default();
            for (code, alphabet_size) in group.iter_mut().zip([256 + 24 + cached, 256, 256, 256, 40]) {
                *code = PrefixCode::read(bits, alphabet_size)?;
            }
            if is_used {
                *place = groups.len() as u16;
                groups.push(group);
            }
        }
        block_groups.iter_mut().for_each(|group| *group = kept[usize::from(*group)]);
        Some(EntropyImage { width, cache: vec![[0; 4]; cached], cache_bits, groups, block_groups, block_bits })
    }

    /// Decodes pixels up to the end or damage; their number.
    fn decode(&mut self, bits: &mut BitReader<'_>, out: &mut [Pixel]) -> usize {
        let mut at = 0;
        while at < out.len() {
            match self.decode_next(bits, out, at) {
                Some(count) => at += count,
                None => break,
            }
        }
        at
    }

    /// Decodes a literal, a backward reference or a cache index (§3.7.3); the number of pixels.
    fn decode_next(&mut self, bits: &mut BitReader<'_>, out: &mut [Pixel], at: usize) -> Option<usize> {
        let (x, y) = (at % self.width, at / self.width);
        let block = (y >> self.block_bits) * blocks(self.width, self.block_bits) + (x >> self.block_bits);
        let group = self.groups.get(self.block_groups.get(block).map_or(0, |&group| usize::from(group)))?;
        let symbol = usize::from(group[0].read_symbol(bits)?);
        let count = match symbol {
            0..256 => {
                let (red, blue) = (group[1].read_symbol(bits)?, group[2].read_symbol(bits)?);
                out[at] = [red as u8, symbol as u8, blue as u8, group[3].read_symbol(bits)? as u8];
                1
            }
            256..280 => {
                let count = read_prefixed(bits, symbol - 256)?;
                let code = usize::from(group[4].read_symbol(bits)?);
                let back = distance(read_prefixed(bits, code)?, self.width);
                if back > at || count > out.len() - at {
                    return None;
                }
                (at..at + count).for_each(|at| out[at] = out[at - back]);
                count
            }
            _ => {
                out[at] = *self.cache.get(symbol - 280)?;
                1
            }
        };
        if self.cache_bits > 0 {
            for &[red, green, blue, alpha] in &out[at..at + count] {
                let hash = u32::from_be_bytes([alpha, red, green, blue]).wrapping_mul(0x1E35_A7BD);
                self.cache[(hash >> (32 - self.cache_bits)) as usize] = [red, green, blue, alpha];
            }
        }
        Some(count)
    }
}

/// Reads a complete sub-image: of a transform or of the group indices.
fn read_image(bits: &mut BitReader<'_>, width: usize, height: usize) -> Option<Vec<Pixel>> {
    let mut pixels = vec![[0; 4]; width * height];
    let decoded = EntropyImage::read(bits, width, height, false)?.decode(bits, &mut pixels);
    (decoded == pixels.len()).then_some(pixels)
}

/// The number of blocks along a side.
fn blocks(side: usize, bits: u32) -> usize {
    side.div_ceil(1 << bits)
}

/// Reads a length or distance of that prefix with its extra bits (§3.6.2.2).
fn read_prefixed(bits: &mut BitReader<'_>, prefix: usize) -> Option<usize> {
    if prefix < 4 {
        return Some(prefix + 1);
    }
    let extra = (prefix as u32 - 2) >> 1;
    Some(((2 + (prefix & 1)) << extra) + bits.read(extra)? as usize + 1)
}

/// The distance in pixels of a distance code; the first 120 codes are neighbours in two dimensions (§3.6.2.2).
fn distance(code: usize, width: usize) -> usize {
    /// Rows above in the high nibble, and 8 less the columns to the left in the low one.
    const NEIGHBOURS: [u8; 120] = [
        0x18, 0x07, 0x17, 0x19, 0x28, 0x06, 0x27, 0x29, 0x16, 0x1a, 0x26, 0x2a, 0x38, 0x05, 0x37, 0x39, 0x15, 0x1b,
        0x36, 0x3a, 0x25, 0x2b, 0x48, 0x04, 0x47, 0x49, 0x14, 0x1c, 0x35, 0x3b, 0x46, 0x4a, 0x24, 0x2c, 0x58, 0x45,
        0x4b, 0x34, 0x3c, 0x03, 0x57, 0x59, 0x13, 0x1d, 0x56, 0x5a, 0x23, 0x2d, 0x44, 0x4c, 0x55, 0x5b, 0x33, 0x3d,
        0x68, 0x02, 0x67, 0x69, 0x12, 0x1e, 0x66, 0x6a, 0x22, 0x2e, 0x54, 0x5c, 0x43, 0x4d, 0x65, 0x6b, 0x32, 0x3e,
        0x78, 0x01, 0x77, 0x79, 0x53, 0x5d, 0x11, 0x1f, 0x64, 0x6c, 0x42, 0x4e, 0x76, 0x7a, 0x21, 0x2f, 0x75, 0x7b,
        0x31, 0x3f, 0x63, 0x6d, 0x52, 0x5e, 0x00, 0x74, 0x7c, 0x41, 0x4f, 0x10, 0x20, 0x62, 0x6e, 0x30, 0x73, 0x7d,
        0x51, 0x5f, 0x40, 0x72, 0x7e, 0x61, 0x6f, 0x50, 0x71, 0x7f, 0x60, 0x70,
    ];
    match NEIGHBOURS.get(code - 1) {
        Some(&offset) => {
            let (left, above) = (8 - isize::from((offset & 15) as i8), isize::from((offset >> 4) as i8));
            (above * width as isize + left).max(1) as usize
        }
        None => code - NEIGHBOURS.len(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image_webp::WebPDecoder;
    use proptest::prelude::*;

    use super::*;
    use crate::webp::container::{Container, Content, Image};
    use crate::webp::encode::set_lossless;
    use tintype_codec_sys::libwebp;

    fn lossless(file: &[u8]) -> Option<&[u8]> {
        match Container::read(file).ok()?.content {
            Content::Still(Image::Lossless(data)) => Some(data),
            _ => None,
        }
    }

    /// Asserts that the rows of whole groups equal those of `image-webp`, and that each truncated part gives the first of them.
    fn check(name: &str, file: &[u8], parts: &[usize]) {
        let Some(data) = lossless(file) else { return };
        let image = Image::Lossless(data);
        let size = image.size().expect("a header");
        // without VP8X, whose flags would decide on alpha
        let mut decoder = WebPDecoder::new(image.file(size)).expect("a WebP");
        let mut expected = vec![0; decoder.output_buffer_size().expect("it fits")];
        // files that image-webp refuses cannot be compared
        if decoder.read_image(&mut expected).is_err() {
            return;
        }
        let stride = expected.len() / size.height as usize;
        for part in [data.len()].iter().chain(parts) {
            let Some((pixels, rows)) = rows(&data[..*part], size).expect("whole rows") else {
                assert!(*part < data.len() || size.height < 16, "{name}: no row of {size}");
                continue;
            };
            let (shown, hidden) = pixels.data.split_at(rows as usize * stride);
            assert!(shown == &expected[..shown.len()], "{name}: {part} bytes, {rows} rows");
            assert!(hidden.iter().all(|&sample| sample == 0), "{name}");
            assert!(*part < data.len() || rows == size.height / 16 * 16, "{name}: {rows} rows of {size}");
        }
    }

    #[test]
    fn groups_of_no_block_are_not_kept() {
        // a number, and how many bits it has
        let mut parts = vec![(0, 1), (1, 1), (0, 3)];
        // the group image: no cache, and codes of one symbol: 255 in green and red
        parts.extend([(0, 1), (0b101, 3), (255, 8), (0b101, 3), (255, 8)]);
        parts.extend([(0b0001, 4); 3]);
        // group 65,535 and those before it, of codes of the symbol 0
        parts.extend(std::iter::repeat_n((0b0001, 4), 5 * 65_536));
        let mut data = Vec::new();
        let (mut buffer, mut count) = (0_u32, 0);
        for (number, length) in parts {
            (buffer, count) = (buffer | number << count, count + length);
            while count >= 8 {
                data.push(buffer as u8);
                (buffer, count) = (buffer >> 8, count - 8);
            }
        }
        data.push(buffer as u8);
        let mut bits = BitReader { data: &data, buffer: 0, count: 0 };
        let image = EntropyImage::read(&mut bits, 1, 1, true).expect("a picture");
        assert_eq!((image.groups.len(), &image.block_groups[..]), (1, &[0][..]));
    }

    #[test]
    fn corpus_rows_decode_as_by_image_webp() {
        for (path, file) in crate::testing::originals(|bytes| bytes.get(8..12) == Some(b"WEBP")) {
            if lossless(&file).is_some() && WebPDecoder::new(Cursor::new(&file)).is_ok_and(|webp| !webp.is_animated()) {
                check(&path.display().to_string(), &file, &[]);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

        #[test]
        fn truncated_data_give_the_first_rows_and_damage_never_panics(
            width in 1_u32..120, height in 1_u32..90, colours in prop::sample::select(vec![2_u32, 4, 16, 200, 1 << 20]),
            alpha: bool, method in 0..6, seed: u32, parts in prop::collection::vec(any::<prop::sample::Index>(), 3),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let size = Size::new(width, height);
            let pixel = |at: u32| {
                let (x, y) = (at % width, at / width);
                let noise = at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 27;
                let number = (x * x / 7 + y * 3 + if (x + y) % 16 < 5 { noise } else { 0 }) % colours;
                [(number * 37) as u8, (number * 11 + x / 3) as u8, (number * 5) as u8, if alpha { (x + y) as u8 } else { 255 }]
            };
            let pixels = Pixels { size, channels: 4, data: (0..width * height).flat_map(pixel).collect() };
            let mut config = webp::WebPConfig::new().expect("a configuration");
            set_lossless(&mut config);
            config.method = method;
            let file = libwebp::encode(&libwebp::Input::Packed(&pixels), &config, &mut || true).unwrap_or_default();
            let data = lossless(&file).expect("lossless");
            let parts: Vec<usize> = parts.iter().map(|part| part.index(data.len())).collect();
            check("as written", &file, &parts);
            let mut damaged = data.to_vec();
            for (place, value) in damage {
                let place = 5 + place.index(damaged.len() - 5);
                damaged[place] = value;
            }
            let shown = rows(&damaged, size).expect("whole rows");
            prop_assert!(shown.is_none_or(|(pixels, rows)| pixels.size == size && rows > 0));
        }
    }
}
