//! Pictures of VP8's key frames (RFC 6386), which lossy WebP consists of, as planes.
//!
//! Whatever is odd about a frame, or damaged in the least, gives `None`: it is the library's to read or to refuse. What is
//! read at full size comes out as the library reads it, to the bit, which the format demands of everybody; a test holds it.
//!
//! Prediction goes by pixels before the filter between blocks, so the filter follows a row of macroblocks behind. A picture
//! that is made smaller is not filtered, as in libwebp: what the filter smooths is less than the pixels that become one.

use crate::constants::{CODES, MEAN_STEPS, MODES, OTHER_STEPS, UPDATES};
use tintype_pixels::Size;

use crate::filter::{Strength, normal_edges, simple_edges};
use crate::predict::{
    CHROMA, DC, FIRST, HE, LUMA, TM, VE, add, predict_block, predict_whole, put, surround, untransformed,
};
use crate::reduced::{Reduced, side};

/// Y, Cb and Cr, with rows of whole macroblocks.
struct Decoded {
    /// Macroblocks in a row.
    across: usize,
    /// The whole picture, or two rows of macroblocks of one that is made smaller row by row.
    planes: [Vec<u8>; 3],
}

/// How much of a picture is held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Whole,
    /// Rows of macroblocks.
    TwoRows,
}

/// The Y, Cb and Cr of a frame of that size in WebP's range, with rows of whole macroblocks, and with or without the filter.
pub fn decode(data: &[u8], size: Size, filters: bool) -> Option<[Vec<u8>; 3]> {
    let (mut bits, rest) = opened(data, size)?;
    let mut frame = Frame::read(&mut bits, rest, size, Held::Whole, false)?;
    if !filters {
        frame.strengths = Default::default();
    }
    (frame.decode(&mut bits, None) == frame.down).then_some(frame.decoded.planes)
}

/// The rows that came of a frame that ends early or is damaged, as libwebp shows it while it loads: those below are black. How
/// many they are, too; `None` where there are none.
pub fn rows(data: &[u8], size: Size, filters: bool) -> Option<([Vec<u8>; 3], u32)> {
    let (mut bits, rest) = opened(data, size)?;
    let mut frame = Frame::read(&mut bits, rest, size, Held::Whole, true)?;
    if !filters {
        frame.strengths = Default::default();
    }
    let whole = frame.decode(&mut bits, None);
    // rows that the filter may yet change are not shown, nor is the pair whose chroma is mixed with that of the next
    let is_filtered = frame.strengths.as_flattened().iter().any(|strength| strength.limit > 0);
    let behind = match (is_filtered, frame.simple) {
        (false, _) => 2,
        (true, true) => 4,
        (true, false) => 10,
    };
    let rows = (whole * 16).checked_sub(behind).filter(|&rows| rows > 0)?;
    let across = frame.decoded.across;
    for (number, plane) in frame.decoded.planes.iter_mut().enumerate() {
        let (black, shown) = if number == 0 { (16, rows) } else { (128, rows / 2) };
        plane[shown * across * side(number)..].fill(black);
    }
    Some((frame.decoded.planes, rows as u32))
}

/// The same made smaller, into what begins empty and comes back so where it cannot be read.
pub fn reduced(data: &[u8], size: Size, mut to: Reduced) -> Result<Reduced, Reduced> {
    let mut decode = || {
        let (mut bits, rest) = opened(data, size)?;
        let mut frame = Frame::read(&mut bits, rest, size, Held::TwoRows, false)?;
        (frame.decode(&mut bits, Some(&mut to)) == frame.down).then_some(())
    };
    match decode() {
        Some(()) => Ok(to),
        None => Err(to.emptied()),
    }
}

/// The bits of the first partition of a frame of that size, and what is behind it.
fn opened(data: &[u8], size: Size) -> Option<(Bits<'_>, &[u8])> {
    let &[a, b, c, 0x9D, 0x01, 0x2A, w0, w1, h0, h1, ref rest @ ..] = data else { return None };
    let tag = u32::from_le_bytes([a, b, c, 0]);
    // a key frame, to be shown; of a version that is known, though only other frames differ by it (§9.1)
    if tag & 0b1_1001 != 0b1_0000 {
        return None;
    }
    let (width, height) = (u16::from_le_bytes([w0, w1]) & 0x3FFF, u16::from_le_bytes([h0, h1]) & 0x3FFF);
    if width == 0 || height == 0 || Size::new(width.into(), height.into()) != size {
        return None;
    }
    let (first, rest) = rest.split_at_checked((tag >> 5) as usize)?;
    Some((Bits::new(first), rest))
}

/// The bits of a partition (§7).
struct Bits<'a> {
    data: &'a [u8],
    value: u64,
    /// One less than the range.
    range: u32,
    /// How many are held beyond the eight that are compared; less than 0 where there are too few.
    count: i32,
    /// Bytes of zeros behind the end.
    beyond: u32,
}

impl<'a> Bits<'a> {
    fn new(data: &'a [u8]) -> Bits<'a> {
        Bits { data, value: 0, range: 254, count: -8, beyond: 0 }
    }

    /// A bit that is 0 as likely as `likely` of 256.
    #[inline(always)]
    fn get(&mut self, likely: u8) -> bool {
        if self.count < 0 {
            self.load();
        }
        let split = (self.range * u32::from(likely)) >> 8;
        let is_set = (self.value >> self.count) as u32 > split;
        let range = if is_set {
            self.value -= u64::from(split + 1) << self.count;
            self.range - split
        } else {
            split + 1
        };
        let shift = range.leading_zeros() - 24;
        self.range = (range << shift) - 1;
        self.count -= shift as i32;
        is_set
    }

    #[inline(always)]
    fn load(&mut self) {
        if let Some((bytes, _)) = self.data.split_first_chunk::<8>() {
            self.value = self.value << 56 | u64::from_be_bytes(*bytes) >> 8;
            self.count += 56;
            self.data = &self.data[7..];
            return;
        }
        let byte = self.data.split_first().map(|(&byte, rest)| {
            self.data = rest;
            byte
        });
        self.beyond = self.beyond.saturating_add(u32::from(byte.is_none()));
        self.value = self.value << 8 | u64::from(byte.unwrap_or(0));
        self.count += 8;
    }

    /// Whether no more was read than is there; one byte may be left out at the end.
    fn is_within(&self) -> bool {
        self.beyond <= 1
    }

    fn flag(&mut self) -> bool {
        self.get(128)
    }

    /// What is read is not to be believed.
    fn refuse(&mut self) {
        self.beyond = 2;
    }

    fn number(&mut self, bits: u32) -> u32 {
        (0..bits).fold(0, |number, _| number << 1 | u32::from(self.flag()))
    }

    /// A number behind a flag that says that it is there, and its sign.
    fn signed(&mut self, bits: u32) -> i32 {
        if !self.flag() {
            return 0;
        }
        let number = self.number(bits) as i32;
        if self.flag() { -number } else { number }
    }
}

/// What of the first coefficient of a block and of the others each level stands for.
#[derive(Clone, Copy, Default)]
struct Steps {
    luma: [i16; 2],
    means: [i16; 2],
    chroma: [i16; 2],
}

/// What the filter has to know of a macroblock.
#[derive(Clone, Copy, Default)]
struct Edges {
    strength: Strength,
    /// Whether the edges within are filtered, too.
    within: bool,
}

/// Which blocks above or to the left had coefficients: four of luma, two of each chroma, and the one of means.
#[derive(Clone, Copy, Default)]
struct Had {
    luma: [bool; 4],
    chroma: [[bool; 2]; 2],
    means: bool,
}

struct Frame<'a> {
    decoded: Decoded,
    down: usize,
    /// Whether each macroblock says which segment it is of, and how likely the branches are.
    segmented: Option<[u8; 3]>,
    /// By segment.
    steps: [Steps; 4],
    /// By segment, without and with modes for 4 by 4 pixels.
    strengths: [[Strength; 2]; 4],
    simple: bool,
    codes: Box<[[[[u8; 11]; 3]; 8]; 4]>,
    skips: Option<u8>,
    partitions: Vec<Bits<'a>>,
}

impl<'a> Frame<'a> {
    /// Reads the header (§9.2 to §9.11) from the first partition; `rest` has the others, which may be cut off.
    fn read(bits: &mut Bits<'_>, rest: &'a [u8], size: Size, held: Held, may_be_cut: bool) -> Option<Frame<'a>> {
        // of colour spaces there is one; whether values need to be clamped can be passed over, since clamping does no harm
        (!bits.flag()).then_some(())?;
        bits.flag();
        let mut segment_steps = [None; 4];
        let mut segment_levels = [None; 4];
        let mut absolute = false;
        let mut segmented = None;
        if bits.flag() {
            let has_map = bits.flag();
            // what a frame before has said, where there is none
            bits.flag().then_some(())?;
            absolute = bits.flag();
            segment_steps = std::array::from_fn(|_| Some(bits.signed(7)));
            segment_levels = std::array::from_fn(|_| Some(bits.signed(6)));
            if has_map {
                segmented = Some(std::array::from_fn(|_| if bits.flag() { bits.number(8) as u8 } else { 255 }));
            }
        }
        let simple = bits.flag();
        let (level, sharpness) = (bits.number(6) as i32, bits.number(3) as i32);
        let (mut of_key_frames, mut of_blocks) = (0, 0);
        if bits.flag() && bits.flag() {
            let references: [i32; 4] = std::array::from_fn(|_| bits.signed(6));
            let modes: [i32; 4] = std::array::from_fn(|_| bits.signed(6));
            (of_key_frames, of_blocks) = (references[0], modes[0]);
        }
        let count = 1 << bits.number(2);
        let index = bits.number(7) as i32;
        let [luma, means, other_means, chroma, other_chroma]: [i32; 5] = std::array::from_fn(|_| bits.signed(4));
        // what later frames keep
        bits.flag();
        let in_segment = |of: Option<i32>, usual: i32| match of {
            Some(own) if absolute => own,
            Some(more) => usual + more,
            None => usual,
        };
        let steps = segment_steps.map(|of| {
            let index = in_segment(of, index);
            let at = |more: i32| (index + more).clamp(0, 127) as usize;
            Steps {
                luma: [MEAN_STEPS[at(luma)], OTHER_STEPS[at(0)]],
                means: [
                    MEAN_STEPS[at(means)] * 2,
                    ((i32::from(OTHER_STEPS[at(other_means)]) * 155 / 100) as i16).max(8),
                ],
                chroma: [MEAN_STEPS[at(chroma)].min(132), OTHER_STEPS[at(other_chroma)]],
            }
        });
        let strengths = segment_levels.map(|of| {
            let level = in_segment(of, level);
            [0, of_blocks].map(|more| Strength::of((level.clamp(0, 63) + of_key_frames + more).clamp(0, 63), sharpness))
        });
        // a picture of level 0 is not filtered, whatever its segments say
        let strengths = if level == 0 { Default::default() } else { strengths };
        let mut codes = Box::new(CODES);
        for (code, likely) in codes
            .as_flattened_mut()
            .as_flattened_mut()
            .as_flattened_mut()
            .iter_mut()
            .zip(UPDATES.as_flattened().as_flattened().as_flattened())
        {
            if bits.get(*likely) {
                *code = bits.number(8) as u8;
            }
        }
        let skips = bits.flag().then(|| bits.number(8) as u8);
        let (lengths, mut rest) = rest.split_at_checked(3 * (count - 1))?;
        let mut partitions = Vec::with_capacity(count);
        for &[a, b, c] in lengths.as_chunks::<3>().0 {
            let length = u32::from_le_bytes([a, b, c, 0]) as usize;
            let length = if may_be_cut { length.min(rest.len()) } else { length };
            let (data, others) = rest.split_at_checked(length)?;
            partitions.push(Bits::new(data));
            rest = others;
        }
        partitions.push(Bits::new(rest));
        let (across, down) = (size.width.div_ceil(16) as usize, size.height.div_ceil(16) as usize);
        let held = if held == Held::Whole { down } else { 2 };
        let planes = std::array::from_fn(|plane| vec![0; across * held * side(plane) * side(plane)]);
        let decoded = Decoded { across, planes };
        Some(Frame { decoded, down, segmented, steps, strengths, simple, codes, skips, partitions })
    }

    /// Decodes the picture, into what makes it smaller if there is any, and says how many rows of macroblocks came.
    fn decode(&mut self, bits: &mut Bits<'_>, mut reduced: Option<&mut Reduced>) -> usize {
        let across = self.decoded.across;
        let mut modes_above = vec![[DC; 4]; across];
        let mut had_above = vec![Had::default(); across];
        let mut edges = vec![Edges::default(); across];
        let mut edges_above = edges.clone();
        let parts = self.partitions.len();
        let mut work = Work::default();
        for y in 0..self.down {
            // of what is made smaller only the last line of the row above is needed again
            let held_at = if reduced.is_some() { y.min(1) } else { y };
            let mut modes_left = [DC; 4];
            let mut had_left = Had::default();
            let mut tokens = std::mem::replace(&mut self.partitions[y % parts], Bits::new(&[]));
            for x in 0..across {
                let segment = self.segmented.map_or(0, |likely| segment(bits, likely));
                let skips = self.skips.is_some_and(|likely| bits.get(likely));
                let (whole, modes) = modes(bits, &mut modes_above[x], &mut modes_left);
                let chroma = chroma_mode(bits);
                let had = if skips {
                    had_left = Had { means: had_left.means && whole.is_none(), ..Had::default() };
                    had_above[x] = Had { means: had_above[x].means && whole.is_none(), ..Had::default() };
                    work.clear();
                    false
                } else {
                    work.residuals(
                        &mut tokens,
                        &self.codes,
                        &self.steps[segment],
                        whole.is_some(),
                        &mut had_above[x],
                        &mut had_left,
                    )
                };
                edges[x] = Edges {
                    strength: self.strengths[segment][usize::from(whole.is_none())],
                    within: had || whole.is_none(),
                };
                work.predict(&mut self.decoded, (x, held_at), whole, &modes, chroma);
            }
            // what is cut off need not be read to an end that is not there
            if !bits.is_within() || !tokens.is_within() {
                if y > 0 && reduced.is_none() {
                    self.filter(y - 1, &edges_above);
                }
                return y;
            }
            self.partitions[y % parts] = tokens;
            if let Some(reduced) = &mut reduced {
                for (number, plane) in self.decoded.planes.iter_mut().enumerate() {
                    let (side, stride) = (side(number), across * side(number));
                    reduced.add(number, y, &plane[held_at * side * stride..][..side * stride]);
                    let last = (held_at + 1) * side - 1;
                    plane.copy_within(last * stride..(last + 1) * stride, (side - 1) * stride);
                }
                continue;
            }
            if y > 0 {
                self.filter(y - 1, &edges_above);
            }
            std::mem::swap(&mut edges, &mut edges_above);
        }
        if reduced.is_none() {
            self.filter(self.down - 1, &edges_above);
        }
        self.down
    }

    /// Filters the edges of a row of macroblocks (§15).
    fn filter(&mut self, y: usize, edges: &[Edges]) {
        let across = self.decoded.across;
        for (x, Edges { strength, within }) in edges.iter().enumerate() {
            if strength.limit == 0 {
                continue;
            }
            if self.simple {
                let stride = across * 16;
                let plane = &mut self.decoded.planes[0][..];
                simple_edges(plane, y * 16 * stride + x * 16, stride, *strength, *within, (x > 0, y > 0));
                continue;
            }
            self.decoded.planes.iter_mut().enumerate().for_each(|(number, plane)| {
                let side = side(number);
                let stride = across * side;
                let at = y * side * stride + x * side;
                if number == 0 {
                    normal_edges::<16>(plane, at, stride, *strength, *within, (x > 0, y > 0));
                } else {
                    normal_edges::<8>(plane, at, stride, *strength, *within, (x > 0, y > 0));
                }
            });
        }
    }
}

fn segment(bits: &mut Bits<'_>, likely: [u8; 3]) -> usize {
    if bits.get(likely[0]) { 2 + usize::from(bits.get(likely[2])) } else { usize::from(bits.get(likely[1])) }
}

/// The mode of the whole macroblock, or `None`, and those of its blocks of 4 by 4 pixels (§11.2).
fn modes(bits: &mut Bits<'_>, above: &mut [u8; 4], left: &mut [u8; 4]) -> (Option<u8>, [u8; 16]) {
    let mut modes = [DC; 16];
    if bits.get(145) {
        let mode = match bits.get(156) {
            false if bits.get(163) => VE,
            false => DC,
            true if bits.get(128) => TM,
            true => HE,
        };
        (*above, *left) = ([mode; 4], [mode; 4]);
        return (Some(mode), modes);
    }
    /// The tree of modes: where it goes on for 0 and 1, or less than 1 for the mode itself.
    const TREE: [i8; 18] = [0, 2, -1, 4, -2, 6, 8, 12, -3, 10, -5, -6, -4, 14, -7, 16, -8, -9];
    for (row, left) in modes.as_chunks_mut::<4>().0.iter_mut().zip(left) {
        for (mode, above) in row.iter_mut().zip(above.iter_mut()) {
            let likely = &MODES[usize::from(*above)][usize::from(*left)];
            let mut at = 0;
            loop {
                let next = TREE[at + usize::from(bits.get(likely[at / 2]))];
                if next <= 0 {
                    *mode = (-next) as u8;
                    break;
                }
                at = next as usize;
            }
            (*above, *left) = (*mode, *mode);
        }
    }
    (None, modes)
}

fn chroma_mode(bits: &mut Bits<'_>) -> u8 {
    if !bits.get(142) {
        DC
    } else if !bits.get(114) {
        VE
    } else if bits.get(183) {
        TM
    } else {
        HE
    }
}

/// The place of each coefficient (§13).
const ZIGZAG: [u8; 16] = [0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15];
/// The band of each, and of what is behind the last.
const BANDS: [u8; 17] = [0, 1, 2, 3, 6, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7, 0];

/// The largest coefficient, and the largest of means: ten times of what any picture has, and so small that transforms stay
/// within their numbers.
const MOST: i32 = 12_000;
const MOST_MEANS: i32 = 32_767;

/// Reads the coefficients of a block from `first` on, none larger than `most`, and returns where the last one was, counted from 1 (§13.2).
#[inline(always)]
fn coefficients(
    bits: &mut Bits<'_>, codes: &[[[u8; 11]; 3]; 8], before: usize, first: usize, steps: [i16; 2], most: i32,
    out: &mut [i16; 16],
) -> usize {
    let mut at = first;
    let mut likely = &codes[usize::from(BANDS[at])][before];
    while at < 16 {
        if !bits.get(likely[0]) {
            return at;
        }
        while !bits.get(likely[1]) {
            at += 1;
            if at == 16 {
                return 16;
            }
            likely = &codes[usize::from(BANDS[at])][0];
        }
        let next = &codes[usize::from(BANDS[at + 1])];
        let value = if bits.get(likely[2]) {
            let value = large(bits, likely);
            likely = &next[2];
            value
        } else {
            likely = &next[1];
            1
        };
        let value = if bits.flag() { -value } else { value };
        let value = value * i32::from(steps[usize::from(at > 0)]);
        if value.abs() > most {
            bits.refuse();
            return 0;
        }
        out[usize::from(ZIGZAG[at])] = value as i16;
        at += 1;
    }
    16
}

/// A value of two or more.
fn large(bits: &mut Bits<'_>, likely: &[u8; 11]) -> i32 {
    if !bits.get(likely[3]) {
        return if bits.get(likely[4]) { 3 + i32::from(bits.get(likely[5])) } else { 2 };
    }
    if !bits.get(likely[6]) {
        if !bits.get(likely[7]) {
            return 5 + i32::from(bits.get(159));
        }
        let high = 2 * i32::from(bits.get(165));
        return 7 + high + i32::from(bits.get(145));
    }
    const MORE: [&[u8]; 4] = [
        &[173, 148, 140],
        &[176, 155, 140, 135],
        &[180, 157, 141, 134, 130],
        &[254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129],
    ];
    let high = bits.get(likely[8]);
    let kind = 2 * usize::from(high) + usize::from(bits.get(likely[9 + usize::from(high)]));
    let more = MORE[kind].iter().fold(0, |value, &likely| 2 * value + i32::from(bits.get(likely)));
    3 + (8 << kind) + more
}

/// A macroblock while it is made: its pixels with a row above them and a column to their left, and what is added.
struct Work {
    luma: [u8; LUMA * 17],
    chroma: [u8; CHROMA * 9],
    residuals: [[i16; 16]; 24],
    /// Whether a block has any; what is not 0 is cleared when it was added.
    has: [bool; 24],
}

impl Default for Work {
    fn default() -> Work {
        Work { luma: [0; LUMA * 17], chroma: [0; CHROMA * 9], residuals: [[0; 16]; 24], has: [false; 24] }
    }
}

impl Work {
    fn clear(&mut self) {
        self.has = [false; 24];
    }

    /// Reads what is added to the prediction; whether there is anything.
    fn residuals(
        &mut self, bits: &mut Bits<'_>, codes: &[[[[u8; 11]; 3]; 8]; 4], steps: &Steps, has_means: bool,
        above: &mut Had, left: &mut Had,
    ) -> bool {
        let mut any = false;
        self.has = [false; 24];
        let (kind, first) = if has_means { (0, 1) } else { (3, 0) };
        if has_means {
            let mut means = [0; 16];
            let before = usize::from(above.means) + usize::from(left.means);
            let last = coefficients(bits, &codes[1], before, 0, steps.means, MOST_MEANS, &mut means);
            (above.means, left.means) = (last > 0, last > 0);
            if last > 0 {
                for (at, mean) in untransformed(&means).into_iter().enumerate() {
                    if mean.abs() > MOST {
                        bits.refuse();
                        continue;
                    }
                    self.residuals[at][0] = mean as i16;
                    self.has[at] = mean != 0;
                    any |= mean != 0;
                }
            }
        }
        for (y, left) in left.luma.iter_mut().enumerate() {
            for (x, above) in above.luma.iter_mut().enumerate() {
                let at = 4 * y + x;
                let before = usize::from(*above) + usize::from(*left);
                let last = coefficients(bits, &codes[kind], before, first, steps.luma, MOST, &mut self.residuals[at]);
                (*above, *left) = (last > first, last > first);
                self.has[at] |= last > first;
                any |= last > first;
            }
        }
        for plane in 0..2 {
            for y in 0..2 {
                for x in 0..2 {
                    let at = 16 + 4 * plane + 2 * y + x;
                    let (above, left) = (&mut above.chroma[plane][x], &mut left.chroma[plane][y]);
                    let before = usize::from(*above) + usize::from(*left);
                    let last = coefficients(bits, &codes[2], before, 0, steps.chroma, MOST, &mut self.residuals[at]);
                    (*above, *left) = (last > 0, last > 0);
                    self.has[at] = last > 0;
                    any |= last > 0;
                }
            }
        }
        any
    }

    /// Predicts a macroblock, adds what is to be added, and puts it into the planes (§12).
    fn predict(&mut self, to: &mut Decoded, (x, y): (usize, usize), whole: Option<u8>, modes: &[u8; 16], chroma: u8) {
        let stride = to.across * 16;
        surround::<16, LUMA>(&mut self.luma, &to.planes[0], stride, (x, y));
        match whole {
            Some(mode) => {
                predict_whole::<16, LUMA>(&mut self.luma, mode, (x, y));
                for at in 0..16 {
                    self.add_luma(at);
                }
            }
            None => {
                // what is above and to the right of the macroblock stands in for all blocks at its right edge
                let right = FIRST + 16;
                if y > 0 {
                    let above = &to.planes[0][(y * 16 - 1) * stride..][..stride];
                    match above.get((x + 1) * 16..(x + 1) * 16 + 4) {
                        Some(next) => self.luma[right..right + 4].copy_from_slice(next),
                        None => {
                            let last = above[x * 16 + 15];
                            self.luma[right..right + 4].fill(last);
                        }
                    }
                } else {
                    self.luma[right..right + 4].fill(127);
                }
                for row in [4, 8, 12] {
                    self.luma.copy_within(right..right + 4, row * LUMA + right);
                }
                for (at, &mode) in modes.iter().enumerate() {
                    predict_block(&mut self.luma, (at / 4 * 4 + 1) * LUMA + FIRST + at % 4 * 4, mode);
                    self.add_luma(at);
                }
            }
        }
        put::<16, LUMA>(&self.luma, &mut to.planes[0], stride, (x, y));
        let stride = to.across * 8;
        for plane in 0..2 {
            surround::<8, CHROMA>(&mut self.chroma, &to.planes[1 + plane], stride, (x, y));
            predict_whole::<8, CHROMA>(&mut self.chroma, chroma, (x, y));
            for block in 0..4 {
                let at = 16 + 4 * plane + block;
                if self.has[at] {
                    let place = (block / 2 * 4 + 1) * CHROMA + FIRST + block % 2 * 4;
                    add(&mut self.chroma, place, CHROMA, &mut self.residuals[at]);
                }
            }
            put::<8, CHROMA>(&self.chroma, &mut to.planes[1 + plane], stride, (x, y));
        }
    }

    fn add_luma(&mut self, at: usize) {
        if self.has[at] {
            let place = (at / 4 * 4 + 1) * LUMA + FIRST + at % 4 * 4;
            add(&mut self.luma, place, LUMA, &mut self.residuals[at]);
        }
    }
}

#[cfg(test)]
mod tests {
    use image_webp::vp8::Vp8Decoder;
    use proptest::prelude::*;
    use tintype_pixels::DctScale;

    use super::*;

    /// The planes by the library.
    fn expected(data: &[u8]) -> Option<[Vec<u8>; 3]> {
        let frame = Vp8Decoder::decode_frame(data).ok()?;
        Some([frame.ybuf, frame.ubuf, frame.vbuf])
    }

    /// The `VP8 ` chunk of a still WebP file (RFC 9649 §2.5).
    fn frame(file: &[u8]) -> Option<&[u8]> {
        let mut rest = file.get(12..)?;
        loop {
            let (head, body) = rest.split_first_chunk::<8>()?;
            let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
            match &head[..4] {
                b"VP8 " => return body.get(..length),
                b"VP8X" | b"ALPH" | b"ICCP" | b"EXIF" | b"XMP " => rest = body.get(length.next_multiple_of(2)..)?,
                _ => return None,
            }
        }
    }

    fn stated(data: &[u8]) -> Option<Size> {
        let &[w0, w1, h0, h1] = data.get(6..)?.first_chunk()?;
        let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
        Some(Size::new(side(w0, w1), side(h0, h1)))
    }

    fn check(name: &str, data: &[u8]) -> bool {
        let Some(size) = stated(data) else { return false };
        let Some(ours) = decode(data, size, true) else { return false };
        let theirs = expected(data).unwrap_or_else(|| panic!("{name}: the library refuses it"));
        for (number, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            let first = ours.iter().zip(theirs).position(|(a, b)| a != b);
            assert!(first.is_none() && ours.len() == theirs.len(), "{name}: plane {number} at {first:?}");
        }
        true
    }

    #[test]
    fn files_are_read_as_the_library_reads_them() {
        let mut read = 0;
        for (path, bytes) in tintype_testing::originals(|bytes| bytes.get(8..12) == Some(b"WEBP")) {
            if let Some(frame) = frame(&bytes) {
                read += u32::from(check(&path.display().to_string(), frame));
            }
        }
        // those of testdata
        assert!(read >= 3, "{read}");
    }

    /// A frame of any size, by the library that writes them.
    fn written(
        (width, height): (u32, u32), quality: f32, method: i32, sharpness: i32, simple: bool, unfiltered: bool,
        seed: u32,
    ) -> Vec<u8> {
        let size = Size::new(width, height);
        let sample = |at: u32| {
            let (x, y) = (at / 3 % width, at / 3 / width);
            let noise = (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 26) as u8;
            ((x * 5 + y * 3 + at % 3 * 40) as u8 / 2).wrapping_add(if (x + y) % 32 < 9 { noise } else { 0 })
        };
        let pixels = tintype_pixels::Pixels { size, channels: 3, data: (0..width * height * 3).map(sample).collect() };
        let mut config = webp::WebPConfig::new().expect("a configuration");
        (config.quality, config.method, config.filter_sharpness) = (quality, method, sharpness);
        config.filter_type = i32::from(!simple);
        config.partitions = (seed % 4) as i32;
        if unfiltered {
            (config.filter_strength, config.autofilter) = (0, 0);
        }
        let shown = tintype_codec_sys::libwebp::Input::Packed(&pixels);
        let file = tintype_codec_sys::libwebp::encode(&shown, &config, &mut || true).unwrap_or_default();
        frame(&file).expect("coded with loss").to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        #[test]
        fn what_is_read_is_what_the_library_reads_damaged_or_not(
            width in 1_u32..90, height in 1_u32..90, quality in 0.0_f32..100.0, method in 0..5, sharpness in 0..8,
            simple: bool, seed: u32, damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cut in any::<prop::sample::Index>(), is_cut: bool,
        ) {
            let mut data = written((width, height), quality, method, sharpness, simple, false, seed);
            prop_assert!(check("as written", &data));
            for (place, value) in damage {
                let place = place.index(data.len());
                data[place] = value;
            }
            if is_cut {
                data.truncate(cut.index(data.len()));
            }
            // no picture of gigabytes
            if data.get(6..10).is_some_and(|size| size[1] < 2 && size[3] < 2) {
                check("damaged", &data);
            }
        }

        #[test]
        fn smaller_pictures_are_the_means_of_those_that_are_not_filtered(
            width in 1_u32..90, height in 1_u32..90, quality in 0.0_f32..100.0, method in 0..5, seed: u32,
            scale in prop::sample::select(vec![1_u32, 2, 4]).prop_map(DctScale::new),
        ) {
            let data = written((width, height), quality, method, 0, false, true, seed);
            let size = Size::new(width, height);
            let whole = decode(&data, size, true).expect("as written");
            let reduced = reduced(&data, size, Reduced::new(size, scale)).ok().expect("as written").planes;
            let factor = 8 / scale.eighths();
            for (number, (whole, reduced)) in whole.iter().zip(&reduced).enumerate() {
                let side = side(number) as u32;
                let (stride, share) = (size.width.div_ceil(16) * side, 16 / side);
                let (last_column, last_row) = (size.width.div_ceil(share) - 1, size.height.div_ceil(share) - 1);
                let pixel = |x: u32, y: u32| u32::from(whole[(y.min(last_row) * stride + x.min(last_column)) as usize]);
                for (at, &found) in (0..).zip(reduced) {
                    let (x, y) = (at % (stride / factor) * factor, at / (stride / factor) * factor);
                    let sum: u32 = (0..factor * factor).map(|i| pixel(x + i % factor, y + i / factor)).sum();
                    prop_assert_eq!(u32::from(found), (sum + factor * factor / 2) / (factor * factor), "plane {} at {}", number, at);
                }
            }
        }
    }
}
