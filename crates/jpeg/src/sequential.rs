//! Sequential JPEG files scaled down while they are decoded, as planes.
//!
//! Most of what it takes to decode a photograph is reading its Huffman codes, and most codes stand for detail that a
//! smaller picture does not show. Here they are passed over, several at a time.
//!
//! At a half, a quarter and an eighth this takes 0.78, 0.66 and 0.52 of the library's time (the mean of fifteen
//! photographs; the worst, 0.24 megapixels at a half, 1.01, as building the tables is a good part of it). At three and
//! six scale the library has no fast transforms. At full size it is the faster one, by its transform.
//!
//! This reads what cameras and encoders write nearly always: one scan of 8-bit samples, luma and two of chroma or luma
//! alone. Whatever is otherwise, or odd, or damaged in the least gives `None`: it is the library's to read or to refuse.

use std::rc::Rc;

use crate::bits::{Bits, Restarts};
use crate::header::{segments, whole};
use crate::huffman::Values;
use crate::idct::{Group, LANES, Places};
use crate::tables::{Tables, shared};
use crate::views::{Pictures, View};
use tintype_pixels::Planes;
use tintype_pixels::{DctScale, Size};

/// The marker codes that matter here (T.81 table B.1).
const SOF0: u8 = 0xC0;
const SOF1: u8 = 0xC1;
const DHT: u8 = 0xC4;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const DQT: u8 = 0xDB;
const DRI: u8 = 0xDD;

/// The most blocks that a unit has (§B.2.3).
const MAX_BLOCKS: usize = 10;

/// The planes of a file whose header the library has read, at one scale or at several, each with its
/// scale, which is of [`super::SCALES`].
pub fn planes(original: &[u8], wanted: &Pictures<'_>) -> Option<Vec<(DctScale, Planes)>> {
    let scan = Scan::read(original)?;
    let factors = scan.components.iter().map(|component| (component.across, component.down));
    if scan.size != wanted.size || !shared(factors, wanted.subsampling) {
        return None;
    }
    match wanted.largest()?.eighths() {
        1 => scan.decode::<1>(original, wanted),
        2 => scan.decode::<2>(original, wanted),
        3 => scan.decode::<3>(original, wanted),
        4 => scan.decode::<4>(original, wanted),
        6 => scan.decode::<6>(original, wanted),
        8 => scan.decode::<8>(original, wanted),
        _ => None,
    }
}

/// The only scan of a file, and all that it takes to read it.
struct Scan {
    size: Size,
    components: Vec<Component>,
    /// Units between two restarts; 0 where there are none.
    interval: usize,
    /// Where in the file its bits begin.
    start: usize,
}

/// A component of the frame.
struct Component {
    /// Its blocks in a unit.
    across: usize,
    down: usize,
    /// The steps of its quantisation table, in zigzag order.
    steps: [u16; 64],
    means: Rc<Values>,
    others: Rc<Values>,
}

impl Scan {
    fn read(original: &[u8]) -> Option<Scan> {
        let mut tables = Tables::default();
        let mut frame = None;
        let mut interval = 0;
        let mut end = 2;
        for segment in segments(original) {
            match segment.marker {
                DQT => tables.add_steps(segment.body)?,
                DHT => tables.add_codes(segment.body)?,
                DRI => interval = u16::from_be_bytes(*segment.body.first_chunk()?).into(),
                SOF0 | SOF1 if frame.is_none() => frame = Some(segment.body),
                0xC0..=0xCF => return None,
                _ => {}
            }
            end = segment.end;
        }
        let &[8, h1, h0, w1, w0, count, ref components @ ..] = frame? else {
            return None;
        };
        let &[0xFF, SOS, l1, l0, ref header @ ..] = original.get(end..)? else {
            return None;
        };
        let length = usize::from(u16::from_be_bytes([l1, l0]));
        // as many components as there are, all coefficients, to the last bit
        let header = header.get(..length.checked_sub(2)?)?;
        let (&scanned, header) = header.split_first()?;
        let (said, [0, 63, 0]) = header.split_last_chunk()? else {
            return None;
        };
        if !matches!(count, 1 | 3) || scanned != count {
            return None;
        }
        let (components, said) = (whole::<3>(components)?, whole::<2>(said)?);
        if components.len() != usize::from(count) || said.len() != components.len() {
            return None;
        }
        let mut components: Vec<Component> = components
            .iter()
            .zip(said)
            .map(|(&component, &said)| Component::read(&mut tables, component, said))
            .collect::<Option<_>>()?;
        if let [only] = components.as_mut_slice() {
            // a unit of one component is one block (§A.2.2)
            (only.across, only.down) = (1, 1);
        }
        let blocks: usize = components.iter().map(|component| component.across * component.down).sum();
        if !(components.len()..=MAX_BLOCKS).contains(&blocks) {
            return None;
        }
        let size = Size::new(u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into());
        Some(Scan { size, components, interval, start: end + 2 + length })
    }

    /// Decodes blocks of `N` by `N` samples, and what else is wanted, which has fewer.
    fn decode<const N: usize>(&self, original: &[u8], wanted: &Pictures<'_>) -> Option<Vec<(DctScale, Planes)>> {
        let steps = self.components.iter().map(|component| &component.steps);
        wanted.filled(steps, |views| self.decode_into::<N>(original, views))
    }

    fn decode_into<const N: usize>(&self, original: &[u8], views: Vec<Vec<View<'_>>>) -> Option<()> {
        let mut parts: Vec<Part<'_>> =
            self.components.iter().zip(views).map(|(component, views)| Part::new(component, views)).collect();
        // luma has the most blocks of all
        let luma = self.components.first()?;
        let across = (self.size.width as usize).div_ceil(8 * luma.across);
        let down = (self.size.height as usize).div_ceil(8 * luma.down);
        let mut bits = Bits::new(original, self.start);
        let mut restarts = Restarts::new(self.interval);
        for y in 0..down {
            for first in (0..across).step_by(LANES) {
                for unit in 0..LANES.min(across - first) {
                    if restarts.pass(&mut bits)? {
                        parts.iter_mut().for_each(|part| part.mean = 0);
                    }
                    restarts.count(1);
                    bits.ready()?;
                    for part in &mut parts {
                        if part.shows(first, y) {
                            part.read::<N, true>(&mut bits, unit)?;
                        } else {
                            part.read::<N, false>(&mut bits, unit)?;
                        }
                    }
                }
                for part in &mut parts {
                    part.put::<N>(first, y);
                }
            }
        }
        (bits.close()? == EOI).then_some(())
    }
}

/// One component while it is decoded.
struct Part<'a> {
    component: &'a Component,
    /// The mean of the block before.
    mean: i32,
    /// The blocks of [`LANES`] units: for each row of blocks as many groups as a unit has blocks in a row.
    groups: Vec<Group>,
    /// Its plane in each picture.
    views: Vec<View<'a>>,
}

impl<'a> Part<'a> {
    fn new(component: &'a Component, views: Vec<View<'a>>) -> Part<'a> {
        Part { component, mean: 0, groups: vec![[0; 64 * LANES]; component.across * component.down], views }
    }

    /// Whether anything is seen of the group of units that begins with that one, in that row of them.
    #[inline(always)]
    fn shows(&self, first: usize, y: usize) -> bool {
        let Component { across, down, .. } = *self.component;
        self.views.iter().any(|view| view.shows((first * across, y * down), (LANES * across, down)))
    }

    /// Reads the blocks of one unit; of those that are not `SHOWN` no more than it takes to read on.
    #[inline(always)]
    fn read<const N: usize, const SHOWN: bool>(&mut self, bits: &mut Bits<'_>, unit: usize) -> Option<()> {
        let Component { across, down, ref means, ref others, .. } = *self.component;
        for row in 0..down {
            for column in 0..across {
                let block = unit * across + column;
                let (group, lane) = (&mut self.groups[row * across + block / LANES], block % LANES);
                let difference = bits.block(means, others, if SHOWN { Places::<N>::LAST } else { 0 }, |k, value| {
                    let start = usize::from(Places::<N>::STARTS[k & 63]);
                    // the mask changes nothing and spares a check
                    group[(start + lane) & (64 * LANES - 1)] = value as i16;
                })?;
                self.mean = self.mean.wrapping_add(difference);
                group[lane] = self.mean as i16;
            }
        }
        Some(())
    }

    /// Puts the samples of [`LANES`] units into the planes, as far as those reach, and clears their coefficients.
    fn put<const N: usize>(&mut self, first: usize, y: usize) {
        let Component { across, down, .. } = *self.component;
        for (at, group) in self.groups.iter_mut().enumerate() {
            let (row, column) = (at / across, at % across);
            let block = (first * across + column * LANES, y * down + row);
            self.views.iter_mut().for_each(|view| view.put(group, N, block));
            group[..N * N * LANES].fill(0);
        }
    }
}

impl Component {
    /// By what the headers of the frame (§B.2.2) and of the scan (§B.2.3) say of it.
    fn read(tables: &mut Tables<'_>, [id, factors, steps]: [u8; 3], [scanned, used]: [u8; 2]) -> Option<Component> {
        if scanned != id {
            return None;
        }
        Some(Component {
            across: (factors >> 4).into(),
            down: (factors & 15).into(),
            steps: (*tables.steps.get(usize::from(steps))?)?,
            means: tables.means.get_mut(usize::from(used >> 4))?.values(Values::of_means)?,
            others: tables.others.get_mut(usize::from(used & 15))?.values(Values::of_others)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::SamplingFactor;
    use proptest::prelude::*;

    use super::*;
    use crate::SCALES;
    use crate::header::Header;
    use crate::library::planes_alone;
    use crate::testing::{
        SAMPLINGS, changed, changes, check_part, check_several_changed, difference, encoded, near, one, originals,
        parts, same, scales,
    };
    use tintype_pixels::ChromaSubsampling;
    use tintype_pixels::Rect;

    fn planes(
        original: &[u8], size: Size, subsampling: Option<ChromaSubsampling>, scale: DctScale, shown: Option<Rect>,
    ) -> Option<Planes> {
        one(super::planes, original, size, subsampling, scale, shown)
    }

    #[test]
    fn files_look_as_the_library_shows_them() {
        let mut read = 0;
        for (path, original) in originals() {
            if Header::read(&original).is_ok_and(|header| header.progressive) {
                continue;
            }
            for scale in SCALES {
                let Some((size, subsampling, by_library)) = planes_alone(&original, scale) else { continue };
                let Some(ours) = planes(&original, size, subsampling, scale, None) else { continue };
                let by_library = by_library.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                let off = difference(&ours, &by_library);
                assert!(near(scale, size, off), "{} at {scale}: {off:?}", path.display());
                read += 1;
            }
        }
        assert!(read > 20, "{read}");
    }

    #[test]
    fn odd_sizes_of_all_samplings_with_and_without_restarts() {
        for (width, height) in
            [(1, 1), (7, 9), (8, 8), (9, 7), (16, 16), (17, 33), (63, 5), (64, 64), (65, 130), (131, 18)]
        {
            for (sampling, interval) in
                SAMPLINGS.iter().flat_map(|&sampling| [0, 1, 2, 7].map(|interval| (sampling, interval)))
            {
                let file = encoded(width, height, sampling, interval, 90);
                for scale in SCALES {
                    let case = format!("{width}x{height}, {sampling:?}, restarts {interval}, {scale}");
                    let (size, subsampling, by_library) = planes_alone(&file, scale).expect("planes");
                    let ours =
                        planes(&file, size, subsampling, scale, None).unwrap_or_else(|| panic!("{case}: not read"));
                    let off = difference(&ours, &by_library.expect("a sound file"));
                    assert!(off.0 <= 4.0 && near(scale, size, off), "{case}: {off:?}");
                }
            }
        }
    }

    #[test]
    fn parts_are_those_of_the_whole() {
        for (width, height) in [(9, 300), (400, 33), (555, 301)] {
            for (sampling, interval) in
                SAMPLINGS.iter().flat_map(|&sampling| [0, 5].map(|interval| (sampling, interval)))
            {
                let file = encoded(width, height, sampling, interval, 90);
                for scale in SCALES {
                    let case = format!("{width}x{height}, {sampling:?}, restarts {interval}, {scale}");
                    let (size, subsampling, _) = planes_alone(&file, scale).expect("planes");
                    let whole = planes(&file, size, subsampling, scale, None).expect("read");
                    for part in parts(size.scaled(scale), scale) {
                        let ours = planes(&file, size, subsampling, scale, Some(part)).expect("read");
                        assert!(same(&ours, &whole.cut(part)), "{case}: {part:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_odd_is_left_to_the_library() {
        let sound = encoded(40, 30, Some(SamplingFactor::F_2_2), 0, 80);
        let read = |file: &[u8]| {
            planes(file, Size::new(40, 30), Some(ChromaSubsampling::S420), DctScale::new(4), None).is_some()
        };
        assert!(read(&sound));
        let end = sound.len() - 2;
        for (what, file) in [
            ("cut off", sound[..end].to_vec()),
            ("a fill byte before the end", [&sound[..end], &[0xFF, 0xFF, 0xD9]].concat()),
            ("more than it takes", [&sound[..end], &[0x55, 0xFF, 0xD9]].concat()),
            ("a restart at the end", [&sound[..end], &[0xFF, 0xD0, 0xFF, 0xD9]].concat()),
            ("a second scan", [&sound[..end], &[0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 0xFF, 0xD9]].concat()),
        ] {
            assert!(!read(&file), "{what}");
        }
        for length in 0..end {
            assert!(!read(&sound[..length]), "{length} bytes of it");
        }
        // what is behind the end is nobody's
        assert!(read(&[&sound[..], b"more"].concat()));
        let progressive = tintype_testing::testdata("photos/astronaut-progressive.jpg");
        assert!(Scan::read(&progressive).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn nothing_is_read_that_the_library_refuses(
            kind in 0..SAMPLINGS.len(), interval in 0_u16..4, scale in prop::sample::select(&SCALES[..]),
            changes in changes(),
        ) {
            let file = changed(encoded(50, 37, SAMPLINGS[kind], interval, 70), changes);
            if let Some((size, subsampling, by_library)) = planes_alone(&file, scale)
                // the limits are the plan's
                && size.pixels() < 1 << 20
                && let Some(ours) = planes(&file, size, subsampling, scale, None)
            {
                prop_assert_eq!(by_library.expect("it reads it, too").size, ours.size);
            }
        }

        #[test]
        fn damage_is_found_whatever_part_is_wanted(
            kind in 0..SAMPLINGS.len(), interval in 0_u16..4, scale in prop::sample::select(&SCALES[..]),
            changes in changes(), which in any::<prop::sample::Index>(),
        ) {
            let file = changed(encoded(300, 90, SAMPLINGS[kind], interval, 70), changes);
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
            let file = encoded(90, 57, SAMPLINGS[kind], interval, 70);
            check_several_changed(super::planes, file, &scales, changes)?;
        }
    }
}
