//! Palettes of pictures with up to 256 colours, for formats that store colour indices.

use std::array;

/// Up to 256 RGBA colours in ascending order, and a hash table from colour to index.
pub(super) struct Palette {
    colours: Vec<[u8; 4]>,
    /// Index + 1 of a colour, 0 in free slots; open addressing, at most a quarter full.
    slots: Box<[u16; SLOTS]>,
}

const SLOTS: usize = 1024;

/// The most colours that 8-bit indices address.
pub(super) const MAX_COLOURS: usize = 256;

impl Palette {
    /// The palette of RGBA pixels; `None` where they have more than `max_colours`, or [`MAX_COLOURS`], colours.
    pub(super) fn exact(pixels: impl IntoIterator<Item = [u8; 4]>, max_colours: usize) -> Option<Palette> {
        let mut palette = Palette { colours: Vec::new(), slots: Box::new([0; SLOTS]) };
        let mut last = None;
        for pixel in pixels {
            if last == Some(pixel) {
                continue;
            }
            last = Some(pixel);
            let slot = palette.slot(pixel);
            if palette.slots[slot] == 0 {
                if palette.colours.len() == max_colours.min(MAX_COLOURS) {
                    return None;
                }
                palette.colours.push(pixel);
                palette.slots[slot] = palette.colours.len() as u16;
            }
        }
        palette.sort();
        Some(palette)
    }

    /// Neighbouring pixels often have neighbouring colours in this order, which compresses better.
    fn sort(&mut self) {
        self.colours.sort_unstable();
        self.slots.fill(0);
        for index in 0..self.colours.len() {
            let slot = self.slot(self.colours[index]);
            self.slots[slot] = index as u16 + 1;
        }
    }

    /// The slot of a colour, or the free one where it would be inserted.
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

    /// The index of a colour of the palette.
    pub(super) fn index(&self, colour: [u8; 4]) -> u8 {
        self.slots[self.slot(colour)].saturating_sub(1) as u8
    }
}

/// Interleaved RGB or RGBA as RGBA pixels.
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
        fn colours_are_indexed_in_ascending_order(
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
                    prop_assert_eq!(palette.colours()[usize::from(palette.index(pixel))], pixel);
                }
            }
        }
    }

    #[test]
    fn rgb_becomes_opaque_rgba() {
        assert_eq!(rgba(&[1, 2, 3, 4, 5, 6], 3).collect::<Vec<_>>(), [[1, 2, 3, 255], [4, 5, 6, 255]]);
        assert_eq!(rgba(&[1, 2, 3, 4], 4).collect::<Vec<_>>(), [[1, 2, 3, 4]]);
    }
}
