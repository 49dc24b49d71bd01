//! The colours of pictures that have few, for the formats that write places of a palette instead of colours.

use std::array;

/// Up to 256 colours in ascending order, and where each stands.
pub(super) struct Palette {
    colours: Vec<[u8; 4]>,
    /// One more than the place of a colour, 0 where there is none: a hash table with open addressing, a quarter full at most.
    slots: Box<[u16; SLOTS]>,
}

const SLOTS: usize = 1024;

/// What eight bits can tell apart.
pub(super) const MOST: usize = 256;

impl Palette {
    /// Of all the pixels, red, green, blue and alpha; `None` where they have more than `most` colours, [`MOST`] at most.
    pub(super) fn exact(pixels: impl IntoIterator<Item = [u8; 4]>, most: usize) -> Option<Palette> {
        let mut palette = Palette { colours: Vec::new(), slots: Box::new([0; SLOTS]) };
        let mut last = None;
        for pixel in pixels {
            if last == Some(pixel) {
                continue;
            }
            last = Some(pixel);
            let slot = palette.slot(pixel);
            if palette.slots[slot] == 0 {
                if palette.colours.len() == most.min(MOST) {
                    return None;
                }
                palette.colours.push(pixel);
                palette.slots[slot] = palette.colours.len() as u16;
            }
        }
        palette.sort();
        Some(palette)
    }

    /// Neighbours in the picture are often neighbours in that order, which compresses.
    fn sort(&mut self) {
        self.colours.sort_unstable();
        self.slots.fill(0);
        for place in 0..self.colours.len() {
            let slot = self.slot(self.colours[place]);
            self.slots[slot] = place as u16 + 1;
        }
    }

    /// Where a colour's place is noted, or would be.
    fn slot(&self, colour: [u8; 4]) -> usize {
        // Fibonacci hashing: the upper bits of the product are spread best
        let mut slot = (u32::from_le_bytes(colour).wrapping_mul(0x9E37_79B1) >> 22) as usize;
        while let Some(at) = usize::from(self.slots[slot]).checked_sub(1)
            && self.colours[at] != colour
        {
            slot = (slot + 1) % SLOTS;
        }
        slot
    }

    pub(super) fn colours(&self) -> &[[u8; 4]] {
        &self.colours
    }

    /// The place of one of its colours.
    pub(super) fn place(&self, colour: [u8; 4]) -> u8 {
        self.slots[self.slot(colour)].saturating_sub(1) as u8
    }
}

/// The pixels of interleaved RGB or RGBA, as RGBA.
pub(super) fn rgba(data: &[u8], channels: usize) -> impl Iterator<Item = [u8; 4]> {
    data.chunks_exact(channels).map(|pixel| array::from_fn(|at| pixel.get(at).copied().unwrap_or(255)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_colour_has_the_place_that_its_order_gives(
            bits in 1_u32..11, seeds in prop::collection::vec(any::<u32>(), 1..600), most in 1_usize..257,
        ) {
            let colour = |seed: &u32| (seed % (1 << bits)).wrapping_mul(0x0101_4567).to_le_bytes();
            let pixels: Vec<[u8; 4]> = seeds.iter().map(colour).collect();
            let sorted: Vec<[u8; 4]> = pixels.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
            let palette = Palette::exact(pixels.iter().copied(), most);
            prop_assert_eq!(palette.is_some(), sorted.len() <= most);
            if let Some(palette) = palette {
                prop_assert_eq!(palette.colours(), &sorted);
                for &pixel in &pixels {
                    prop_assert_eq!(palette.colours()[usize::from(palette.place(pixel))], pixel);
                }
            }
        }
    }

    #[test]
    fn rgb_is_opaque() {
        assert_eq!(rgba(&[1, 2, 3, 4, 5, 6], 3).collect::<Vec<_>>(), [[1, 2, 3, 255], [4, 5, 6, 255]]);
        assert_eq!(rgba(&[1, 2, 3, 4], 4).collect::<Vec<_>>(), [[1, 2, 3, 4]]);
    }
}
