//! The colours of pictures and how often they occur.

use std::cmp::Reverse;

use super::{Nearest, Sample, space};

/// The most colours that are told apart. Where a picture has more, low bits of the channels are dropped.
const MAX_ENTRIES: usize = 1 << 14;

/// Slots of the hash table, a power of two.
const SLOTS: usize = 2 * MAX_ENTRIES;

/// Colours that were counted, at most [`MAX_ENTRIES`].
pub(crate) struct Histogram {
    entries: Vec<Entry>,
    /// Index + 1 of an entry, 0 in free slots; open addressing. Its length is a power of two and at least twice the entries.
    slots: Vec<u16>,
    /// Bits of each channel that are dropped.
    shift: u32,
}

/// The colours that are equal without the dropped bits.
struct Entry {
    key: u32,
    count: u64,
    /// Sums of the channels of the counted pixels.
    sums: [u64; 4],
}

impl Entry {
    /// The mean of the pixels.
    fn colour(&self) -> [u8; 4] {
        self.sums.map(|sum| ((sum + self.count / 2) / self.count) as u8)
    }
}

impl Histogram {
    pub(crate) fn new() -> Histogram {
        Histogram { entries: Vec::new(), slots: vec![0; 1024], shift: 0 }
    }

    /// Counts RGBA pixels.
    pub(crate) fn add(&mut self, pixels: impl IntoIterator<Item = [u8; 4]>) {
        let mut pixels = pixels.into_iter();
        let Some(mut last) = pixels.next() else { return };
        let mut run = 1;
        for pixel in pixels {
            if pixel == last {
                run += 1;
                continue;
            }
            self.add_run(last, run);
            (last, run) = (pixel, 1);
        }
        self.add_run(last, run);
    }

    fn add_run(&mut self, colour: [u8; 4], count: u64) {
        // transparent pixels have no colour
        let colour = if colour[3] == 0 { [0; 4] } else { colour };
        let key = self.key(colour);
        self.insert(Entry { key, count, sums: colour.map(|level| u64::from(level) * count) });
    }

    /// The colour without its dropped bits. Alphas of 0 and 255 share theirs with no other.
    fn key(&self, colour: [u8; 4]) -> u32 {
        let [r, g, b, alpha] = colour.map(|level| level >> self.shift << self.shift);
        let alpha = match colour[3] {
            255 => 255,
            0 => 0,
            _ => alpha.max(1),
        };
        u32::from_le_bytes([r, g, b, alpha])
    }

    fn insert(&mut self, added: Entry) {
        let slot = match self.find(added.key) {
            Ok(at) => {
                let entry = &mut self.entries[at];
                entry.count += added.count;
                entry.sums = std::array::from_fn(|channel| entry.sums[channel] + added.sums[channel]);
                return;
            }
            Err(slot) => slot,
        };
        if self.entries.len() == MAX_ENTRIES {
            self.shift += 1;
            self.rebuild();
            let key = self.key(added.key.to_le_bytes());
            return self.insert(Entry { key, ..added });
        }
        self.entries.push(added);
        self.slots[slot] = self.entries.len() as u16;
        if 2 * self.entries.len() > self.slots.len() && self.slots.len() < SLOTS {
            self.slots = vec![0; 2 * self.slots.len()];
            self.rebuild();
        }
    }

    /// Inserts all entries anew, with the bits dropped that [`shift`](Self::shift) says.
    fn rebuild(&mut self) {
        self.slots.fill(0);
        for entry in std::mem::take(&mut self.entries) {
            let key = self.key(entry.key.to_le_bytes());
            self.insert(Entry { key, ..entry });
        }
    }

    /// The colours, the most frequent one first.
    pub(crate) fn by_frequency(&self, colours: &[[u8; 4]]) -> Vec<[u8; 4]> {
        let mut counted: Vec<(u64, [u8; 4])> = colours.iter().map(|&colour| (self.count(colour), colour)).collect();
        counted.sort_by_key(|&(count, colour)| (Reverse(count), colour));
        counted.into_iter().map(|(_, colour)| colour).collect()
    }

    /// How often the colour was counted.
    fn count(&self, colour: [u8; 4]) -> u64 {
        match self.find(self.key(colour)) {
            Ok(at) => self.entries[at].count,
            Err(_) => 0,
        }
    }

    /// The index of an entry, or the slot where it would be inserted.
    fn find(&self, key: u32) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = (key.wrapping_mul(0x9E37_79B1) >> 12) as usize & mask;
        while let Some(at) = usize::from(self.slots[slot]).checked_sub(1) {
            if self.entries[at].key == key {
                return Ok(at);
            }
            slot = (slot + 1) & mask;
        }
        Err(slot)
    }

    /// The sum of the squared distances of the counted pixels to the nearest colours of a palette, and the number of pixels.
    pub(crate) fn error(&self, nearest: &mut Nearest) -> (u64, u64) {
        let mut all = (0, 0);
        for entry in &self.entries {
            let (_, distance) = nearest.find(entry.colour());
            all = (all.0 + u64::from(distance) * entry.count, all.1 + entry.count);
        }
        all
    }

    /// The mean colours of the entries, weighted.
    pub(super) fn samples(&self) -> Vec<Sample> {
        let sample = |entry: &Entry| {
            let colour = entry.colour();
            Sample { point: space::point(colour), colour, weight: weight(entry.count) }
        };
        self.entries.iter().map(sample).collect()
    }
}

/// The weight of a colour of so many pixels, eight times its power of 7/8: a little more for rare colours than in the sum of squared
/// errors, which gives the same SSIMULACRA2 with fewer bytes.
fn weight(count: u64) -> u32 {
    // 32 times the eighth root
    let root = (u128::from(count) << 40).isqrt().isqrt().isqrt();
    u32::try_from(256 * u128::from(count) / root.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn few_colours_are_counted_exactly(seeds in prop::collection::vec(any::<u32>(), 1..3000), bits in 1_u32..10) {
            let colour = |seed: &u32| (seed % (1 << bits)).wrapping_mul(0x0101_4567).to_le_bytes();
            let mut expected = BTreeMap::new();
            for seed in &seeds {
                let colour = colour(seed);
                *expected.entry(if colour[3] == 0 { [0; 4] } else { colour }).or_insert(0_u64) += 1;
            }
            let mut histogram = Histogram::new();
            histogram.add(seeds.iter().map(colour));
            let counted = histogram.entries.iter().map(|entry| (entry.colour(), entry.count));
            prop_assert_eq!(counted.collect::<BTreeMap<_, _>>(), expected.clone());
            let colours: Vec<[u8; 4]> = expected.keys().copied().collect();
            let counts = histogram.by_frequency(&colours).into_iter().map(|colour| expected[&colour]);
            prop_assert!(counts.is_sorted_by_key(Reverse));
        }
    }

    #[test]
    fn many_colours_are_merged_with_their_neighbours() {
        let all = 1 << 18;
        let colour = |at: u32| {
            let [r, g, b] = [at % 64 * 4, at / 64 % 64 * 4, at / 4096 * 4].map(|level| level as u8);
            [r, g, b, if at.is_multiple_of(3) { 255 } else { (at % 255) as u8 }]
        };
        let mut histogram = Histogram::new();
        histogram.add((0..all).map(colour));
        assert!(histogram.entries.len() <= MAX_ENTRIES && histogram.shift > 2, "{}", histogram.shift);
        assert_eq!(histogram.entries.iter().map(|entry| entry.count).sum::<u64>(), u64::from(all));
        for class in [0, 255] {
            let expected = (0..all).filter(|&at| colour(at)[3] == class).count();
            let counted = histogram.entries.iter().filter(|entry| entry.colour()[3] == class).map(|entry| entry.count);
            assert_eq!(counted.sum::<u64>() as usize, expected, "alpha {class}");
        }
    }

    #[test]
    fn pixels_of_large_pictures_are_all_counted() {
        let mut histogram = Histogram::new();
        for level in [7, 9, 9, 9] {
            histogram.add(std::iter::repeat_n([level, 255, 255, 255], 9_000_000));
        }
        let counts: Vec<u64> = histogram.entries.iter().map(|entry| entry.count).collect();
        assert_eq!(counts, [9_000_000, 27_000_000]);
        assert_eq!(histogram.entries[1].colour(), [9, 255, 255, 255]);
    }

    #[test]
    fn weight_is_eight_times_the_power_of_seven_eighths() {
        assert_eq!(weight(1), 8);
        for bits in [8, 16, 24, 32] {
            assert_eq!(weight(1 << bits), 8 << (bits / 8 * 7), "2^{bits}");
        }
        assert_eq!(weight(u64::MAX), u32::MAX);
    }
}
