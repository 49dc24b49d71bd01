//! The rows that came of a picture coded without loss (RFC 9649 §3) whose data end early or are damaged. Sound pictures are the
//! library's to read, which gives nothing of others.

use super::FORMAT;
use tintype_pixels::Pixels;
use tintype_pixels::error::Result;
use tintype_pixels::geometry::Size;

/// Rows come in groups of so many, as in libwebp.
const GROUP: usize = 16;

/// Red, green, blue and alpha.
type Pixel = [u8; 4];

/// The rows that came of a picture of that size, and how many they are; those below are transparent where pixels may be, or else
/// black. `None` where none came.
pub(super) fn rows(data: &[u8], size: Size) -> Result<Option<(Pixels, u32)>> {
    let Some((pixels, rows, has_alpha)) = read(data, size) else { return Ok(None) };
    let channels = if has_alpha { 4 } else { 3 };
    let mut samples = Vec::with_capacity(size.pixels() as usize * channels);
    pixels.iter().for_each(|pixel| samples.extend_from_slice(&pixel[..channels]));
    Ok(Some((Pixels::new(FORMAT, size, channels, samples)?, rows)))
}

fn read(data: &[u8], size: Size) -> Option<(Vec<Pixel>, u32, bool)> {
    let mut bits = Bits { data, held: 0, count: 0 };
    // what was looked at for the size before, whether there is alpha, and the version
    (bits.read(8)? == 0x2F).then_some(())?;
    let stated = Size::new(bits.read(14)? + 1, bits.read(14)? + 1);
    let has_alpha = bits.read(1)? == 1;
    (stated == size && bits.read(3)? == 0).then_some(())?;
    let (width, height) = (size.width as usize, size.height as usize);
    let (transforms, coded) = transforms(&mut bits, width, height)?;
    let mut pixels = vec![[0; 4]; width * height];
    let came = Coded::read(&mut bits, coded, height, true)?.pixels(&mut bits, &mut pixels[..coded * height]);
    let rows = came / coded / GROUP * GROUP;
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

/// The bits of the data, the lowest of a byte first.
struct Bits<'a> {
    data: &'a [u8],
    held: u64,
    count: u32,
}

impl Bits<'_> {
    fn fill(&mut self) {
        while self.count <= 56
            && let Some((&byte, rest)) = self.data.split_first()
        {
            self.held |= u64::from(byte) << self.count;
            self.count += 8;
            self.data = rest;
        }
    }

    /// A number of up to 32 bits; `None` at the end.
    fn read(&mut self, bits: u32) -> Option<u32> {
        if self.count < bits {
            self.fill();
            if self.count < bits {
                return None;
            }
        }
        let number = self.held & ((1 << bits) - 1);
        self.held >>= bits;
        self.count -= bits;
        Some(number as u32)
    }
}

/// A prefix code (§3.7.2): how many codes there are of each length, and their symbols in order.
#[derive(Default)]
struct Code {
    counts: [u16; LONGEST + 1],
    symbols: Vec<u16>,
}

/// Bits of the longest code.
const LONGEST: usize = 15;

impl Code {
    /// The code with that length for each symbol, 0 for one that is not used; `None` where it is none.
    fn of(lengths: &[u8]) -> Option<Code> {
        let mut code = Code::default();
        for length in 1..=LONGEST {
            let of_length = (0_u16..).zip(lengths).filter(|(_, its)| usize::from(**its) == length);
            let before = code.symbols.len();
            code.symbols.extend(of_length.map(|(symbol, _)| symbol));
            code.counts[length] = (code.symbols.len() - before) as u16;
        }
        // one symbol needs no bits
        if let [symbol] = code.symbols[..] {
            return Some(Code::only(symbol));
        }
        let left = (1..=LONGEST).try_fold(1_i32, |left, length| {
            let left = 2 * left - i32::from(code.counts[length]);
            (left >= 0).then_some(left)
        })?;
        (left == 0).then_some(code)
    }

    fn only(symbol: u16) -> Code {
        Code { counts: [0; LONGEST + 1], symbols: vec![symbol] }
    }

    fn read(&self, bits: &mut Bits<'_>) -> Option<u16> {
        if let [symbol] = self.symbols[..] {
            return Some(symbol);
        }
        let (mut code, mut first, mut index) = (0_u32, 0_u32, 0_u32);
        for count in &self.counts[1..] {
            code |= bits.read(1)?;
            let count = u32::from(*count);
            if code < first + count {
                return self.symbols.get((index + code - first) as usize).copied();
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }

    /// Reads a code of symbols below `most` (§3.7.2.1).
    fn described(bits: &mut Bits<'_>, most: usize) -> Option<Code> {
        if bits.read(1)? == 1 {
            let count = bits.read(1)? + 1;
            let wide = bits.read(1)? == 1;
            let mut lengths = vec![0; most.max(256)];
            let first = bits.read(if wide { 8 } else { 1 })?;
            lengths[first as usize] = 1;
            if count == 2 {
                lengths[bits.read(8)? as usize] = 1;
            }
            return Code::of(&lengths[..most]).filter(|code| !code.symbols.is_empty());
        }
        const ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let mut of_lengths = [0; 19];
        for &at in &ORDER[..bits.read(4)? as usize + 4] {
            of_lengths[at] = bits.read(3)? as u8;
        }
        let of_lengths = Code::of(&of_lengths)?;
        let mut left = most;
        if bits.read(1)? == 1 {
            let wide = 2 + 2 * bits.read(3)?;
            left = bits.read(wide)? as usize + 2;
        }
        let mut lengths: Vec<u8> = Vec::with_capacity(most);
        let mut last = 8;
        while lengths.len() < most && left > 0 {
            left -= 1;
            let (length, repeats) = match of_lengths.read(bits)? {
                16 => (last, bits.read(2)? + 3),
                17 => (0, bits.read(3)? + 3),
                18 => (0, bits.read(7)? + 11),
                length => (length as u8, 1),
            };
            last = if length > 0 { length } else { last };
            lengths.extend(std::iter::repeat_n(length, repeats as usize));
        }
        (lengths.len() <= most).then(|| Code::of(&lengths))?
    }
}

/// The codes of green with lengths and places of the cache, of red, blue, alpha, and of distances.
type Group = [Code; 5];

/// An image as it is coded (§3.6), with its codes.
struct Coded {
    width: usize,
    /// The colours that came last, by a hash of each.
    cache: Vec<Pixel>,
    cache_bits: u32,
    groups: Vec<Group>,
    /// Which group counts for each block of so many pixels on each side, as a power of two; none where there is but one group.
    which: Vec<u16>,
    block_bits: u32,
}

impl Coded {
    fn read(bits: &mut Bits<'_>, width: usize, height: usize, is_picture: bool) -> Option<Coded> {
        let cache_bits = if bits.read(1)? == 1 { bits.read(4).filter(|bits| (1..=11).contains(bits))? } else { 0 };
        let (mut which, mut block_bits) = (Vec::new(), 0);
        if is_picture && bits.read(1)? == 1 {
            block_bits = bits.read(3)? + 2;
            let blocks = image(bits, blocks(width, block_bits), blocks(height, block_bits))?;
            which = blocks.iter().map(|&[red, green, ..]| u16::from_be_bytes([red, green])).collect();
        }
        let groups = which.iter().max().map_or(1, |&last| usize::from(last) + 1);
        let cached = if cache_bits > 0 { 1 << cache_bits } else { 0 };
        let group = |bits: &mut Bits<'_>| {
            let mut group = Group::default();
            for (code, most) in group.iter_mut().zip([256 + 24 + cached, 256, 256, 256, 40]) {
                *code = Code::described(bits, most)?;
            }
            Some(group)
        };
        let groups: Option<Vec<Group>> = (0..groups).map(|_| group(bits)).collect();
        Some(Coded { width, cache: vec![[0; 4]; cached], cache_bits, groups: groups?, which, block_bits })
    }

    /// Decodes the pixels, and says how many came.
    fn pixels(&mut self, bits: &mut Bits<'_>, out: &mut [Pixel]) -> usize {
        let mut at = 0;
        while at < out.len() {
            match self.next(bits, out, at) {
                Some(count) => at += count,
                None => break,
            }
        }
        at
    }

    /// Decodes one pixel or several that were there before (§3.7.3), and says how many.
    fn next(&mut self, bits: &mut Bits<'_>, out: &mut [Pixel], at: usize) -> Option<usize> {
        let (x, y) = (at % self.width, at / self.width);
        let block = (y >> self.block_bits) * blocks(self.width, self.block_bits) + (x >> self.block_bits);
        let group = self.groups.get(self.which.get(block).map_or(0, |&group| usize::from(group)))?;
        let symbol = usize::from(group[0].read(bits)?);
        let count = match symbol {
            0..256 => {
                let (red, blue) = (group[1].read(bits)?, group[2].read(bits)?);
                out[at] = [red as u8, symbol as u8, blue as u8, group[3].read(bits)? as u8];
                1
            }
            256..280 => {
                let count = number(bits, symbol - 256)?;
                let code = usize::from(group[4].read(bits)?);
                let back = distance(number(bits, code)?, self.width);
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

/// An image that belongs to a picture, whole.
fn image(bits: &mut Bits<'_>, width: usize, height: usize) -> Option<Vec<Pixel>> {
    let mut pixels = vec![[0; 4]; width * height];
    let came = Coded::read(bits, width, height, false)?.pixels(bits, &mut pixels);
    (came == pixels.len()).then_some(pixels)
}

/// Blocks on a side.
fn blocks(side: usize, bits: u32) -> usize {
    side.div_ceil(1 << bits)
}

/// A length or a distance by its prefix and extra bits (§3.7.2.2).
fn number(bits: &mut Bits<'_>, prefix: usize) -> Option<usize> {
    if prefix < 4 {
        return Some(prefix + 1);
    }
    let extra = (prefix as u32 - 2) >> 1;
    Some(((2 + (prefix & 1)) << extra) + bits.read(extra)? as usize + 1)
}

/// How many pixels before, where near ones have short numbers (§3.7.2.2).
fn distance(code: usize, width: usize) -> usize {
    /// How many columns to the left, with 8 added, and rows above, in a nibble each.
    const NEAR: [u8; 120] = [
        0x18, 0x07, 0x17, 0x19, 0x28, 0x06, 0x27, 0x29, 0x16, 0x1a, 0x26, 0x2a, 0x38, 0x05, 0x37, 0x39, 0x15, 0x1b,
        0x36, 0x3a, 0x25, 0x2b, 0x48, 0x04, 0x47, 0x49, 0x14, 0x1c, 0x35, 0x3b, 0x46, 0x4a, 0x24, 0x2c, 0x58, 0x45,
        0x4b, 0x34, 0x3c, 0x03, 0x57, 0x59, 0x13, 0x1d, 0x56, 0x5a, 0x23, 0x2d, 0x44, 0x4c, 0x55, 0x5b, 0x33, 0x3d,
        0x68, 0x02, 0x67, 0x69, 0x12, 0x1e, 0x66, 0x6a, 0x22, 0x2e, 0x54, 0x5c, 0x43, 0x4d, 0x65, 0x6b, 0x32, 0x3e,
        0x78, 0x01, 0x77, 0x79, 0x53, 0x5d, 0x11, 0x1f, 0x64, 0x6c, 0x42, 0x4e, 0x76, 0x7a, 0x21, 0x2f, 0x75, 0x7b,
        0x31, 0x3f, 0x63, 0x6d, 0x52, 0x5e, 0x00, 0x74, 0x7c, 0x41, 0x4f, 0x10, 0x20, 0x62, 0x6e, 0x30, 0x73, 0x7d,
        0x51, 0x5f, 0x40, 0x72, 0x7e, 0x61, 0x6f, 0x50, 0x71, 0x7f, 0x60, 0x70,
    ];
    match NEAR.get(code - 1) {
        Some(&near) => {
            let (left, above) = (8 - isize::from((near & 15) as i8), isize::from((near >> 4) as i8));
            (above * width as isize + left).max(1) as usize
        }
        None => code - NEAR.len(),
    }
}

/// A transform of a picture before it was coded (§3.5).
enum Transform {
    /// Each pixel less what its neighbours let expect, by one of 14 modes for each block.
    Predicted {
        modes: Vec<Pixel>,
        bits: u32,
    },
    /// Less what green lets expect of red and blue.
    Correlated {
        factors: Vec<Pixel>,
        bits: u32,
    },
    SubtractedGreen,
    /// Places of a table, several in one pixel where they are few.
    Indexed {
        table: Vec<Pixel>,
        bits: u32,
    },
}

/// Those of a picture, and its width as it is coded.
fn transforms(bits: &mut Bits<'_>, width: usize, height: usize) -> Option<(Vec<Transform>, usize)> {
    let (mut found, mut width) = (Vec::new(), width);
    let mut kinds = 0_u8;
    while bits.read(1)? == 1 {
        let kind = bits.read(2)?;
        // each but once
        (kinds >> kind & 1 == 0).then_some(())?;
        kinds |= 1 << kind;
        found.push(match kind {
            0 | 1 => {
                let block = bits.read(3)? + 2;
                let image = image(bits, blocks(width, block), blocks(height, block))?;
                match kind {
                    0 => Transform::Predicted { modes: image, bits: block },
                    _ => Transform::Correlated { factors: image, bits: block },
                }
            }
            2 => Transform::SubtractedGreen,
            _ => {
                let colours = bits.read(8)? as usize + 1;
                let mut table = image(bits, colours, 1)?;
                for at in 1..table.len() {
                    table[at] = added(table[at], table[at - 1]);
                }
                let packed = match table.len() {
                    0..=2 => 3,
                    3..=4 => 2,
                    5..=16 => 1,
                    _ => 0,
                };
                width = blocks(width, packed);
                Transform::Indexed { table, bits: packed }
            }
        });
    }
    Some((found, width))
}

fn added(a: Pixel, b: Pixel) -> Pixel {
    std::array::from_fn(|at| a[at].wrapping_add(b[at]))
}

impl Transform {
    /// Undoes it in the first `rows` rows of `across` pixels, and says how many pixels a row has then; `width` is that of the
    /// picture.
    fn undo(&self, pixels: &mut [Pixel], across: usize, width: usize, rows: usize) -> usize {
        match self {
            Transform::Predicted { modes, bits } => {
                for at in 0..rows * across {
                    let (x, y) = (at % across, at / across);
                    let mode = modes[(y >> bits) * blocks(across, *bits) + (x >> bits)][1] & 15;
                    pixels[at] = added(pixels[at], predicted(pixels, at, across, mode));
                }
            }
            Transform::Correlated { factors, bits } => {
                for (at, pixel) in pixels[..rows * across].iter_mut().enumerate() {
                    let (x, y) = (at % across, at / across);
                    let [of_red, of_green, green_to_red, _] =
                        factors[(y >> bits) * blocks(across, *bits) + (x >> bits)];
                    let share = |factor: u8, of: u8| {
                        ((i32::from(factor.cast_signed()) * i32::from(of.cast_signed())) >> 5) as u8
                    };
                    let [red, green, blue, _] = pixel;
                    *red = red.wrapping_add(share(green_to_red, *green));
                    *blue = blue.wrapping_add(share(of_green, *green)).wrapping_add(share(of_red, *red));
                }
            }
            Transform::SubtractedGreen => {
                for [red, green, blue, _] in &mut pixels[..rows * across] {
                    (*red, *blue) = (red.wrapping_add(*green), blue.wrapping_add(*green));
                }
            }
            Transform::Indexed { table, bits } => {
                let (each, wide) = (1_usize << bits, 8 >> bits);
                // from the last on, since rows become longer
                for at in (0..rows * width).rev() {
                    let (x, y) = (at % width, at / width);
                    let packed = u16::from(pixels[y * across + x / each][1]);
                    let place = packed >> (x % each * wide) & ((1 << wide) - 1);
                    pixels[at] = table.get(usize::from(place)).copied().unwrap_or_default();
                }
                return width;
            }
        }
        across
    }
}

/// The prediction of a pixel from its neighbours (§3.5.1).
fn predicted(pixels: &[Pixel], at: usize, across: usize, mode: u8) -> Pixel {
    const BLACK: Pixel = [0, 0, 0, 255];
    let (x, y) = (at % across, at / across);
    match (x, y) {
        (0, 0) => return BLACK,
        (_, 0) => return pixels[at - 1],
        (0, _) => return pixels[at - across],
        _ => {}
    }
    let (left, above) = (pixels[at - 1], pixels[at - across]);
    // behind the last one of the row above is the first one of this row
    let (corner, right) = (pixels[at - across - 1], pixels[at - across + 1]);
    let mean = |a: Pixel, b: Pixel| -> Pixel { std::array::from_fn(|at| a[at].midpoint(b[at])) };
    let clamped = |value: i32| value.clamp(0, 255) as u8;
    match mode {
        1 => left,
        2 => above,
        3 => right,
        4 => corner,
        5 => mean(mean(left, right), above),
        6 => mean(left, corner),
        7 => mean(left, above),
        8 => mean(corner, above),
        9 => mean(above, right),
        10 => mean(mean(left, corner), mean(above, right)),
        11 => {
            let off = |from: Pixel| -> u32 { (0..4).map(|at| u32::from(from[at].abs_diff(corner[at]))).sum() };
            // what differs least from the gradient
            if off(above) < off(left) { left } else { above }
        }
        12 => std::array::from_fn(|at| clamped(i32::from(left[at]) + i32::from(above[at]) - i32::from(corner[at]))),
        13 => {
            let mean = mean(left, above);
            std::array::from_fn(|at| {
                let value = i32::from(mean[at]);
                clamped(value + (value - i32::from(corner[at])) / 2)
            })
        }
        _ => BLACK,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image_webp::WebPDecoder;
    use proptest::prelude::*;

    use super::*;
    use crate::webp::{Image, container::Container, container::Shown, set_lossless};
    use tintype_codec_sys::libwebp;

    fn lossless(file: &[u8]) -> Option<&[u8]> {
        match Container::read(file).ok()?.shown {
            Shown::Still(Image::Lossless(data)) => Some(data),
            _ => None,
        }
    }

    /// Holds all but the last rows to be those of the library, and each shorter part of the data to give the first of them.
    fn check(name: &str, file: &[u8], parts: &[usize]) {
        let Some(data) = lossless(file) else { return };
        let mut decoder = WebPDecoder::new(Cursor::new(file)).expect("a WebP");
        let (width, height) = decoder.dimensions();
        let size = Size::new(width, height);
        let mut expected = vec![0; decoder.output_buffer_size().expect("it fits")];
        // one that the library refuses is not for comparing
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
    fn rows_are_those_of_the_library() {
        for (path, file) in crate::testing::originals(|bytes| bytes.get(8..12) == Some(b"WEBP")) {
            if lossless(&file).is_some() && WebPDecoder::new(Cursor::new(&file)).is_ok_and(|webp| !webp.is_animated()) {
                check(&path.display().to_string(), &file, &[]);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

        #[test]
        fn rows_of_a_part_are_those_of_the_whole_and_damage_does_no_harm(
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
            let data = lossless(&file).expect("without loss");
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
