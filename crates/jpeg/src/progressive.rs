//! Progressive JPEG files (T.81 Annex G) as planes, at their size or scaled down while they are decoded.
//!
//! Such a file sends its coefficients in scans, coarse ones first, each of which goes through the whole picture. Two things
//! make it dear: all coefficients are held until the last scan, and the later scans add single bits to those that are not
//! zero, one by one. Here no more of a block is held than a picture of the wished size shows, and a word of 64 bits that
//! says which coefficients are not zero: that is all that a scan must know of the rest to be read, and it finds the places
//! of bits by counting. Scans that neither show ([`shows`]) nor lead to one that does are not read at all.
//!
//! As in `sequential.rs`, whatever is odd or damaged in the least gives `None`: it is the library's to read or to refuse.

use crate::bits::{Bits, Restarts, band};
use crate::header::whole;
use crate::huffman::Values;
use crate::idct::{self, LANES, Places};
use crate::tables::{Definition, Tables, shared};
use crate::views::{Pictures, View};
use tintype_pixels::Planes;
use tintype_pixels::{DctScale, Size};

/// The marker codes that matter here (T.81 table B.1).
const SOF2: u8 = 0xC2;
const DHT: u8 = 0xC4;
const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const DQT: u8 = 0xDB;
const DNL: u8 = 0xDC;
const DRI: u8 = 0xDD;

/// The most scans that are read; the library has the same limit, for the same reason.
const MAX_SCANS: usize = 100;
/// The most blocks that a unit has (§B.2.3).
const MAX_BLOCKS: usize = 10;

/// The planes of a file whose header the library has read, at one scale or at several, each with its
/// scale, which is of [`super::SCALES`]. Of those after the first some may be missing: what one of them leaves out
/// another may need at the wrong time.
pub fn planes(original: &[u8], wanted: &Pictures<'_>) -> Option<Vec<(DctScale, Planes)>> {
    planes_of(original, wanted, shows)
}

/// Whether a scan adds anything to be seen at that scale, as [`shows`] says.
type Shows = fn(&Scan<'_>, DctScale) -> bool;

fn planes_of(original: &[u8], wanted: &Pictures<'_>, shows: Shows) -> Option<Vec<(DctScale, Planes)>> {
    let file = File::read(original)?;
    let factors = file.components.iter().map(|component| (component.across, component.down));
    if file.size != wanted.size || !shared(factors, wanted.subsampling) {
        return None;
    }
    let needs: Vec<Need> = wanted.scales.iter().map(|&scale| file.need(scale, shows)).collect();
    let mut together: Vec<&Need> = Vec::new();
    for need in &needs {
        together.push(need);
        if file.turns(&together).is_none() {
            together.pop();
        }
    }
    let scales: Vec<DctScale> = together.iter().map(|need| need.scale).collect();
    let (wanted, turns) = (Pictures { scales: &scales, ..*wanted }, file.turns(&together)?);
    match wanted.largest()?.eighths() {
        1 => file.decode::<1>(original, &wanted, &turns),
        2 => file.decode::<2>(original, &wanted, &turns),
        3 => file.decode::<3>(original, &wanted, &turns),
        4 => file.decode::<4>(original, &wanted, &turns),
        6 => file.decode::<6>(original, &wanted, &turns),
        8 => file.decode::<8>(original, &wanted, &turns),
        _ => None,
    }
}

/// What a file holds.
struct File<'a> {
    size: Size,
    components: Vec<Component>,
    scans: Vec<Scan<'a>>,
}

/// A component of the frame.
struct Component {
    id: u8,
    /// Its blocks in a unit of a scan of several components.
    across: usize,
    down: usize,
    /// Which quantisation table it has, and once that is there its steps, in zigzag order.
    table: usize,
    steps: [u16; 64],
    /// Columns and rows of blocks that show it; a scan of it alone has no others (§A.2.2).
    columns: usize,
    rows: usize,
}

/// One scan.
struct Scan<'a> {
    /// Which components it is of, and for each its table, where it has one.
    parts: Vec<(usize, Option<Definition<'a>>)>,
    /// Which coefficients, in zigzag order.
    first: usize,
    last: usize,
    /// Whether it adds one bit to what an earlier scan has sent.
    finer: bool,
    /// The lowest bit that is known after it.
    low: u8,
    /// Units between two restarts; 0 where there are none.
    interval: usize,
    /// Where in the file its bits begin, and where they end.
    start: usize,
    end: usize,
}

/// For each coefficient of a component down to which bit it is known, if at all.
type Known = [Option<u8>; 64];

impl<'a> File<'a> {
    fn read(original: &'a [u8]) -> Option<File<'a>> {
        let mut tables = Tables::default();
        let mut frame: Option<(Size, Vec<Component>)> = None;
        let mut scans: Vec<Scan<'a>> = Vec::new();
        let mut known: Vec<Known> = Vec::new();
        let mut interval = 0;
        let mut rest = original.strip_prefix(&[0xFF, SOI])?;
        loop {
            let &[0xFF, marker, ref after @ ..] = rest else { return None };
            if marker == EOI {
                break;
            }
            let length: usize = u16::from_be_bytes(*after.first_chunk()?).into();
            let (segment, mut behind) = after.split_at_checked(length)?;
            let body = segment.get(2..)?;
            match marker {
                // a component has the table that was there when its first scan began
                DQT if scans.is_empty() => tables.add_steps(body)?,
                DHT => tables.add_codes(body)?,
                DRI => interval = u16::from_be_bytes(*body.first_chunk()?).into(),
                SOF2 if frame.is_none() => {
                    let (size, components) = read_frame(body)?;
                    known = vec![[None; 64]; components.len()];
                    frame = Some((size, components));
                }
                SOS => {
                    let (_, components) = frame.as_mut()?;
                    if scans.is_empty() {
                        for component in &mut *components {
                            component.steps = (*tables.steps.get(component.table)?)?;
                        }
                    }
                    let start = original.len() - behind.len();
                    let end = start + scan_length(behind)?;
                    let scan = Scan::read(body, components, &tables, &mut known)?;
                    scans.push(Scan { interval, start, end, ..scan });
                    if scans.len() > MAX_SCANS {
                        return None;
                    }
                    behind = &original[end..];
                }
                DNL | DQT | 0x00..=0xCF | 0xD0..=0xD7 => return None,
                _ => {}
            }
            rest = behind;
        }
        // what was never sent the library smooths over
        let complete = known.iter().flatten().all(|&bit| bit == Some(0));
        let (size, components) = frame.filter(|_| complete)?;
        Some(File { size, components, scans })
    }

    /// Decodes blocks of `N` by `N` samples, and what else is wanted, which has fewer.
    fn decode<const N: usize>(
        &self, original: &[u8], wanted: &Pictures<'_>, turns: &Turns,
    ) -> Option<Vec<(DctScale, Planes)>> {
        let steps = self.components.iter().map(|component| &component.steps);
        wanted.filled(steps, |views| self.decode_into::<N>(original, views, turns))
    }

    fn decode_into<const N: usize>(&self, original: &[u8], mut views: Vec<Vec<View<'_>>>, turns: &Turns) -> Option<()> {
        let luma = self.components.first()?;
        let across = (self.size.width as usize).div_ceil(8 * luma.across);
        let down = (self.size.height as usize).div_ceil(8 * luma.down);
        let mut parts: Vec<Blocks<N>> =
            self.components.iter().map(|component| Blocks::new(component, across, down)).collect();
        let mut put = |parts: &[Blocks<N>], before: usize| {
            for (part, (blocks, views)) in parts.iter().zip(&mut views).enumerate() {
                let turn = views.iter_mut().zip(&turns.before).filter(|(_, turns)| turns[part] == before);
                turn.for_each(|(view, _)| blocks.put(view));
            }
        };
        for (number, scan) in self.scans.iter().enumerate().filter(|(number, _)| turns.read[*number]) {
            put(&parts, number);
            let mut bits = Bits::new(original, scan.start);
            scan.decode(&mut bits, &mut parts, &self.components, (across, down))?;
            (bits.close()? == original[scan.end + 1]).then_some(())?;
        }
        put(&parts, self.scans.len());
        Some(())
    }

    /// Which scans a picture at that scale needs: those that show, and those without which a later one that
    /// is needed cannot be read.
    fn need(&self, scale: DctScale, shows: Shows) -> Need {
        let shown = idct::shown_at(scale);
        // for each component the coefficients that must be known to be zero or not
        let mut history = vec![0_u64; self.components.len()];
        let mut scans: Vec<bool> = self
            .scans
            .iter()
            .rev()
            .map(|scan| {
                let [(part, _), ..] = scan.parts[..] else { return false };
                let band = band(scan.first, scan.last);
                let is_needed = shows(scan, scale) && band & (shown | history[part]) != 0;
                if is_needed && scan.finer {
                    history[part] |= band;
                }
                is_needed
            })
            .collect();
        scans.reverse();
        Need { scale, scans }
    }

    /// When each of several pictures is made of the coefficients while these are read for all of them: before the first scan
    /// that would change what it shows and that it leaves out. `None` where one needs another scan after that.
    fn turns(&self, together: &[&Need]) -> Option<Turns> {
        let read: Vec<bool> = (0..self.scans.len()).map(|at| together.iter().any(|need| need.scans[at])).collect();
        let turn = |need: &Need, part: usize| {
            let shown = idct::shown_at(need.scale);
            let changes = |scan: &Scan<'_>| {
                band(scan.first, scan.last) & shown != 0 && scan.parts.iter().any(|&(of, _)| of == part)
            };
            let changing = || self.scans.iter().enumerate().filter(|(at, scan)| read[*at] && changes(scan));
            let turn = changing().find(|(at, _)| !need.scans[*at]).map_or(self.scans.len(), |(at, _)| at);
            changing().all(|(at, _)| at < turn || !need.scans[at]).then_some(turn)
        };
        let turns = |need: &&Need| (0..self.components.len()).map(|part| turn(need, part)).collect();
        let before: Option<Vec<Vec<usize>>> = together.iter().map(turns).collect();
        before.map(|before| Turns { read, before })
    }
}

/// The scans that one picture needs.
struct Need {
    scale: DctScale,
    /// For each scan whether it is one of them.
    scans: Vec<bool>,
}

/// How several pictures are made of one reading.
struct Turns {
    /// For each scan whether it is read.
    read: Vec<bool>,
    /// For each picture, and each component, before which scan it is made; at the end where that is behind all.
    before: Vec<Vec<usize>>,
}

/// Whether a scan adds anything to be seen at that scale. Measured by SSIMULACRA2 against the whole file
/// on five photographs of 6 to 13 megapixels: an eighth needs no more than the means of the blocks (100, as it uses nothing
/// else); at a quarter the lowest bits can go (above 96; the two lowest, 94 to 96); at a half only those of chroma can
/// (luma's too, 93 to 95).
fn shows(scan: &Scan<'_>, scale: DctScale) -> bool {
    let is_finest = scan.finer && scan.low == 0;
    let is_of_luma = matches!(scan.parts[..], [(0, _), ..]);
    match (scan.first, scale.eighths()) {
        (0, _) => true,
        (_, 0 | 1) => false,
        (_, 2) => !is_finest,
        (_, 3 | 4) => is_of_luma || !is_finest,
        _ => true,
    }
}

/// How long a scan's data is: up to the next marker that is neither a stuffed zero nor a restart.
fn scan_length(data: &[u8]) -> Option<usize> {
    memchr::memchr_iter(0xFF, data).find(|&at| !matches!(data.get(at + 1), Some(0x00 | 0xD0..=0xD7 | 0xFF) | None))
}

/// The header of the frame (§B.2.2): one component or three.
fn read_frame(body: &[u8]) -> Option<(Size, Vec<Component>)> {
    let &[8, h1, h0, w1, w0, count, ref described @ ..] = body else { return None };
    let described = whole::<3>(described)?;
    if !matches!(count, 1 | 3) || described.len() != usize::from(count) {
        return None;
    }
    let size = Size::new(u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into());
    // a unit of one component is one block; of three the first is shared by nobody, or this is not for us
    let factors = |factors: u8| match count {
        1 => (1, 1),
        _ => (usize::from(factors >> 4), usize::from(factors & 15)),
    };
    let (widest, tallest) = factors(described[0][1]);
    if widest == 0 || tallest == 0 {
        return None;
    }
    let component = |&[id, sampling, table]: &[u8; 3]| {
        let (across, down) = factors(sampling);
        let columns = (size.width as usize * across).div_ceil(8 * widest);
        let rows = (size.height as usize * down).div_ceil(8 * tallest);
        Component { id, across, down, table: table.into(), steps: [0; 64], columns, rows }
    };
    let components: Vec<Component> = described.iter().map(component).collect();
    let blocks: usize = components.iter().map(|component| component.across * component.down).sum();
    (components.len()..=MAX_BLOCKS).contains(&blocks).then_some((size, components))
}

impl<'a> Scan<'a> {
    /// Reads a scan's header (§B.2.3) and takes note of what is known after it.
    fn read(body: &[u8], components: &[Component], tables: &Tables<'a>, known: &mut [Known]) -> Option<Scan<'a>> {
        let (said, &[first, last, bits]) = body.split_last_chunk()?;
        let (&count, said) = said.split_first()?;
        let said = whole::<2>(said)?;
        let (first, last, high, low) = (usize::from(first), usize::from(last), bits >> 4, bits & 15);
        let is_band = first > 0 && first <= last && last < 64 && count == 1;
        let is_mean = first == 0 && last == 0 && (1..=3).contains(&count);
        let finer = high > 0;
        if said.len() != usize::from(count) || !(is_band || is_mean) || low > 13 || finer && high != low + 1 {
            return None;
        }
        let mut parts = Vec::with_capacity(said.len());
        // components come in the order of the frame
        let mut from = 0;
        for &[id, used] in said {
            let part = from + components[from..].iter().position(|component| component.id == id)?;
            from = part + 1;
            for bit in &mut known[part][first..=last] {
                if *bit != finer.then_some(high) {
                    return None;
                }
                *bit = Some(low);
            }
            let table = match (first, finer) {
                (0, true) => None,
                (0, false) => Some(tables.means.get(usize::from(used >> 4))?.defined?),
                _ => Some(tables.others.get(usize::from(used & 15))?.defined?),
            };
            parts.push((part, table));
        }
        Some(Scan { parts, first, last, finer, low, interval: 0, start: 0, end: 0 })
    }

    /// Reads its bits.
    fn decode<const N: usize>(
        &self, bits: &mut Bits<'_>, blocks: &mut [Blocks<N>], components: &[Component], units: (usize, usize),
    ) -> Option<()> {
        let &[(part, table), ref others @ ..] = &self.parts[..] else { return None };
        let restarts = Restarts::new(self.interval);
        if self.first == 0 {
            let mut parts = Vec::with_capacity(self.parts.len());
            for &(part, table) in &self.parts {
                let means = match table {
                    Some((counts, symbols)) => Some(Values::of_means(counts, symbols)?),
                    None => None,
                };
                // a unit of one component is one block
                let (across, down) = match others {
                    [] => (1, 1),
                    _ => (components[part].across, components[part].down),
                };
                parts.push(Means { part, means, across, down, mean: 0 });
            }
            let units = if others.is_empty() { (components[part].columns, components[part].rows) } else { units };
            return self.decode_means(bits, restarts, blocks, &mut parts, units);
        }
        let (counts, symbols) = table?;
        let values = Values::of_bands(counts, symbols)?;
        let Component { columns, rows, .. } = components[part];
        match self.finer {
            false => self.decode_band(bits, restarts, &mut blocks[part], &values, (columns, rows)),
            true => self.decode_finer(bits, restarts, &mut blocks[part], &values, (columns, rows)),
        }
    }

    /// The means of the blocks of several components, or of one (§G.1.2.1).
    fn decode_means<const N: usize>(
        &self, bits: &mut Bits<'_>, mut restarts: Restarts, blocks: &mut [Blocks<N>], parts: &mut [Means],
        (across, down): (usize, usize),
    ) -> Option<()> {
        for y in 0..down {
            for x in 0..across {
                if restarts.pass(bits)? {
                    parts.iter_mut().for_each(|part| part.mean = 0);
                }
                restarts.count(1);
                bits.ready()?;
                for part in &mut *parts {
                    let blocks = &mut blocks[part.part];
                    for row in 0..part.down {
                        for column in 0..part.across {
                            let (row, column) = (y * part.down + row, x * part.across + column);
                            let at = row * blocks.stride + Blocks::<N>::place(column, 0, 0);
                            let mean = &mut blocks.coefficients[at];
                            match &part.means {
                                Some(means) => {
                                    part.mean = part.mean.wrapping_add(bits.mean(means)?);
                                    *mean = (part.mean << self.low) as i16;
                                }
                                None => *mean |= bits.bit() << self.low,
                            }
                        }
                    }
                }
            }
        }
        Some(())
    }

    /// A band of coefficients of one component, of which nothing is known so far (§G.1.2.2).
    fn decode_band<const N: usize>(
        &self, bits: &mut Bits<'_>, mut restarts: Restarts, blocks: &mut Blocks<N>, values: &Values,
        (columns, rows): (usize, usize),
    ) -> Option<()> {
        // how many more blocks have none of them
        let mut ended = 0;
        for row in 0..rows {
            let (coefficients, nonzero, behind) = blocks.row(row);
            let mut column = 0;
            while column < columns {
                if restarts.pass(bits)? && ended > 0 {
                    return None;
                }
                if ended > 0 {
                    let passed = (ended as usize).min(columns - column).min(restarts.left());
                    ended -= passed as u32;
                    column += passed;
                    restarts.count(passed);
                    continue;
                }
                bits.ready()?;
                let mut found = 0;
                ended = bits.band(values, self.first, self.last, |k, value| {
                    found |= u64::from(value != 0) << (k & 63);
                    if k <= Places::<N>::LAST {
                        coefficients[Blocks::<N>::place(column, k, behind)] = (value << self.low) as i16;
                    }
                })?;
                nonzero[column] |= found;
                column += 1;
                restarts.count(1);
            }
        }
        (ended == 0).then_some(())
    }

    /// One more bit of a band of one component (§G.1.2.3).
    fn decode_finer<const N: usize>(
        &self, bits: &mut Bits<'_>, mut restarts: Restarts, blocks: &mut Blocks<N>, values: &Values,
        (columns, rows): (usize, usize),
    ) -> Option<()> {
        let band = (self.first, self.last, Places::<N>::LAST);
        let one = 1_i16 << self.low;
        // how many more blocks have no others than they had
        let mut ended = 0;
        for row in 0..rows {
            let (coefficients, nonzero, behind) = blocks.row(row);
            // both are given it, one after the other
            let coefficients = std::cell::Cell::from_mut(coefficients).as_slice_of_cells();
            for (column, nonzero) in nonzero.iter_mut().enumerate().take(columns) {
                if restarts.pass(bits)? && ended > 0 {
                    return None;
                }
                restarts.count(1);
                // away from zero
                let correct = |k: usize, bit: i16| {
                    let coefficient = &coefficients[Blocks::<N>::place(column, k, behind)];
                    let sign = coefficient.get() >> 15;
                    coefficient.set(coefficient.get().wrapping_add(((one & -bit) ^ sign) - sign));
                };
                bits.ready()?;
                if ended > 0 {
                    ended -= 1;
                    bits.corrections(band, *nonzero, correct);
                    continue;
                }
                let mut found = 0;
                ended = bits.finer(values, band, *nonzero, correct, |k, sign| {
                    found |= 1 << (k & 63);
                    if k <= Places::<N>::LAST {
                        coefficients[Blocks::<N>::place(column, k, behind)].set(sign * one);
                    }
                })?;
                *nonzero |= found;
            }
        }
        (ended == 0).then_some(())
    }
}

/// A component of a scan of means while it is read.
struct Means {
    part: usize,
    /// The table of their codes; none where they get one bit more.
    means: Option<Values>,
    /// Its blocks in a unit.
    across: usize,
    down: usize,
    /// The mean of the block before.
    mean: i32,
}

/// What is held of one component's blocks.
struct Blocks<const N: usize> {
    /// For each row of blocks groups of [`LANES`] of them, as the transform wants them, and at the end of the row a place
    /// for coefficients that are not held.
    coefficients: Vec<i16>,
    /// From one row to the next.
    stride: usize,
    /// For each block that shows, row by row, which of its coefficients are not zero, but for the mean.
    nonzero: Vec<u64>,
    columns: usize,
}

impl<const N: usize> Blocks<N> {
    /// How many coefficients a group has.
    const GROUP: usize = N * N * LANES;

    /// For a picture of so many units.
    fn new(component: &Component, across: usize, down: usize) -> Blocks<N> {
        let stride = (across * component.across).div_ceil(LANES) * Self::GROUP + LANES;
        let Component { columns, rows, .. } = *component;
        Blocks {
            coefficients: vec![0; stride * down * component.down],
            stride,
            nonzero: if N > 1 { vec![0; columns * rows] } else { Vec::new() },
            columns,
        }
    }

    /// A row of blocks: the coefficients, which are not zero, and the place among them for those that are not held.
    fn row(&mut self, row: usize) -> (&mut [i16], &mut [u64], usize) {
        let coefficients = &mut self.coefficients[row * self.stride..][..self.stride];
        (coefficients, &mut self.nonzero[row * self.columns..][..self.columns], self.stride - LANES)
    }

    /// Where in a row a coefficient of a block is, or that other place.
    #[inline(always)]
    fn place(column: usize, k: usize, behind: usize) -> usize {
        let start = usize::from(Places::<N>::STARTS[k & 63]);
        let held = column / LANES * Self::GROUP + start + column % LANES;
        if start < Self::GROUP { held } else { behind }
    }

    /// Turns the blocks into the samples of a plane.
    fn put(&self, view: &mut View<'_>) {
        for (row, coefficients) in self.coefficients.chunks_exact(self.stride).enumerate() {
            let held = &coefficients[..self.stride - LANES];
            for (at, group) in held.chunks_exact(Self::GROUP).enumerate() {
                view.put(group, N, (at * LANES, row));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use turbojpeg::{Transform, TransformOp, Transformer};

    use super::*;
    use crate::SCALES;
    use crate::library::planes_alone;
    use crate::testing::{
        SAMPLINGS, changed, changes, check_part, check_several, check_several_changed, difference, encoded, near, one,
        originals, parts, same, scales,
    };
    use crate::{header::Header, sequential};
    use tintype_pixels::ChromaSubsampling;
    use tintype_pixels::Rect;

    /// The same coefficients in scans.
    fn in_scans(sequential: &[u8]) -> Vec<u8> {
        let mut transform = Transform::op(TransformOp::None);
        transform.progressive = true;
        Transformer::new().expect("memory").transform_to_vec(&transform, sequential).expect("a sound file")
    }

    fn everything(_: &Scan<'_>, _: DctScale) -> bool {
        true
    }

    fn planes(
        original: &[u8], size: Size, subsampling: Option<ChromaSubsampling>, scale: DctScale, shown: Option<Rect>,
    ) -> Option<Planes> {
        one(super::planes, original, size, subsampling, scale, shown)
    }

    /// With all scans.
    fn whole_planes(
        original: &[u8], size: Size, subsampling: Option<ChromaSubsampling>, scale: DctScale,
    ) -> Option<Planes> {
        one(|original, wanted| planes_of(original, wanted, everything), original, size, subsampling, scale, None)
    }

    #[test]
    fn the_same_coefficients_are_the_same_picture() {
        for (width, height) in [(1, 1), (7, 9), (8, 8), (17, 33), (63, 5), (64, 64), (65, 130), (131, 18), (300, 200)] {
            for sampling in SAMPLINGS {
                for (interval, quality) in [(0, 30), (0, 90), (3, 98)] {
                    let sequential = encoded(width, height, sampling, interval, quality);
                    let progressive = in_scans(&sequential);
                    for scale in SCALES {
                        let case = format!("{width}x{height}, {sampling:?}, restarts {interval}, {quality}, {scale}");
                        let (size, subsampling, _) = planes_alone(&sequential, scale).expect("planes");
                        let expected =
                            one(sequential::planes, &sequential, size, subsampling, scale, None).expect("read");
                        let ours = whole_planes(&progressive, size, subsampling, scale);
                        let ours = ours.unwrap_or_else(|| panic!("{case}: not read"));
                        assert_eq!(difference(&ours, &expected), (0.0, 0), "{case}");
                    }
                }
            }
        }
    }

    #[test]
    fn files_look_as_the_library_shows_them() {
        let mut read = 0;
        for (path, original) in originals() {
            if !Header::read(&original).is_ok_and(|header| header.progressive) {
                continue;
            }
            for scale in SCALES {
                let Some((size, subsampling, by_library)) = planes_alone(&original, scale) else { continue };
                let Some(ours) = whole_planes(&original, size, subsampling, scale) else { continue };
                let by_library = by_library.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                let off = difference(&ours, &by_library);
                assert!(near(scale, size, off), "{} at {scale}: {off:?}", path.display());
                read += 1;
            }
        }
        assert!(read >= 3, "{read}");
    }

    #[test]
    fn scans_that_do_not_show_are_not_read() {
        let original = in_scans(&encoded(120, 90, SAMPLINGS[4], 0, 90));
        let file = File::read(&original).expect("a sound file");
        let read = |needed: Vec<bool>| needed.into_iter().filter(|&needed| needed).count();
        // of ten: at an eighth the two of means, at a quarter all but the last bits, at a half but those of chroma
        let counts = [
            read(file.need(DctScale::new(1), shows).scans),
            read(file.need(DctScale::new(2), shows).scans),
            read(file.need(DctScale::new(4), shows).scans),
            read(file.need(DctScale::new(6), shows).scans),
        ];
        assert_eq!((file.scans.len(), counts), (10, [2, 7, 8, 10]));
        for (scale, mean) in [(1, 0.0), (2, 3.0), (3, 1.0), (4, 1.0), (6, 0.0), (8, 0.0)] {
            let scale = DctScale::new(scale);
            let all = whole_planes(&original, file.size, Some(ChromaSubsampling::S420), scale).expect("planes");
            let ours = planes(&original, file.size, Some(ChromaSubsampling::S420), scale, None).expect("planes");
            let off = difference(&ours, &all);
            assert!(off.0 <= mean, "{scale}: {off:?}");
        }
    }

    #[test]
    fn what_would_see_a_scan_too_early_is_made_apart() {
        let original = in_scans(&encoded(120, 90, SAMPLINGS[4], 0, 90));
        let file = File::read(&original).expect("a sound file");
        let ends: Vec<usize> = file.scans.iter().map(|scan| scan.end).collect();
        // the last bit of chroma, which a half leaves out, before that of the means, which it needs
        let (dc, chroma) = (&original[ends[5]..ends[6]], &original[ends[6]..ends[7]]);
        let swapped = [&original[..ends[5]], chroma, dc, &original[ends[7]..]].concat();
        for (file, count) in [(&original, 2), (&swapped, 1)] {
            let (size, subsampling) = (Size::new(120, 90), Some(ChromaSubsampling::S420));
            for (scales, count) in [([4, 6], count), ([6, 4], count), ([8, 6], 2)] {
                let scales = scales.map(DctScale::new);
                let made = check_several(super::planes, file, size, subsampling, &scales).expect("the same");
                assert_eq!(made, count, "{scales:?}");
            }
        }
    }

    #[test]
    fn parts_are_those_of_the_whole() {
        for (width, height) in [(9, 300), (400, 33), (333, 201)] {
            for sampling in SAMPLINGS {
                let file = in_scans(&encoded(width, height, sampling, 0, 90));
                for scale in SCALES {
                    let (size, subsampling, _) = planes_alone(&file, scale).expect("planes");
                    let whole = planes(&file, size, subsampling, scale, None).expect("read");
                    for part in parts(size.scaled(scale), scale) {
                        let ours = planes(&file, size, subsampling, scale, Some(part)).expect("read");
                        assert!(same(&ours, &whole.cut(part)), "{width}x{height}, {sampling:?}, {scale}: {part:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_odd_is_left_to_the_library() {
        let sound = in_scans(&encoded(40, 30, SAMPLINGS[4], 0, 80));
        let size = Size::new(40, 30);
        let read = |file: &[u8]| whole_planes(file, size, Some(ChromaSubsampling::S420), DctScale::new(4)).is_some();
        assert!(read(&sound));
        for length in 0..sound.len() {
            assert!(!read(&sound[..length]), "{length} bytes of it");
        }
        assert!(read(&[&sound[..], b"more"].concat()));
        // each scan once left out, and once twice
        let starts: Vec<usize> = memchr::memmem::find_iter(&sound, &[0xFF, SOS]).collect();
        let ends: Vec<usize> = starts[1..].iter().copied().chain([sound.len() - 2]).collect();
        for (&start, &end) in starts.iter().zip(&ends) {
            let end = memchr::memmem::find(&sound[start..end], &[0xFF, DHT]).map_or(end, |at| start + at);
            assert!(!read(&[&sound[..start], &sound[end..]].concat()), "without the scan at {start}");
            assert!(!read(&[&sound[..end], &sound[start..]].concat()), "twice the scan at {start}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        // at an eighth nothing but the means is read, whatever the rest is
        #[test]
        fn nothing_is_read_that_the_library_refuses(
            kind in 0..SAMPLINGS.len(), interval in 0_u16..4, scale in prop::sample::select(&SCALES[1..]),
            changes in changes(),
        ) {
            let file = changed(in_scans(&encoded(50, 37, SAMPLINGS[kind], interval, 70)), changes);
            if let Some((size, subsampling, by_library)) = planes_alone(&file, scale)
                // the limits are the plan's
                && size.pixels() < 1 << 20
                && let Some(ours) = whole_planes(&file, size, subsampling, scale)
            {
                prop_assert_eq!(by_library.expect("it reads it, too").size, ours.size);
            }
        }

        #[test]
        fn damage_is_found_whatever_part_is_wanted(
            kind in 0..SAMPLINGS.len(), interval in 0_u16..4, scale in prop::sample::select(&SCALES[..]),
            changes in changes(), which in any::<prop::sample::Index>(),
        ) {
            let file = changed(in_scans(&encoded(300, 90, SAMPLINGS[kind], interval, 70)), changes);
            if let Some((size, subsampling, _)) = planes_alone(&file, scale)
                && size.pixels() < 1 << 18
            {
                check_part(size, scale, which, |part| planes(&file, size, subsampling, scale, part))?;
            }
        }

        #[test]
        fn several_scales_of_one_reading_are_those_of_many(
            kind in 0..SAMPLINGS.len(), interval in 0_u16..4, scales in scales(),
            changes in prop_oneof![1 => Just(Vec::new()), 3 => changes()],
        ) {
            let file = in_scans(&encoded(90, 57, SAMPLINGS[kind], interval, 70));
            check_several_changed(super::planes, file, &scales, changes)?;
        }
    }
}
