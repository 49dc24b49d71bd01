//! Palettes of colours that come near those of a picture, for pictures of more than 256 colours in formats of colour indices.
//!
//! [`Histogram`] counts the colours, [`palette`] divides them by variance (after Wu, "Efficient statistical computations for optimal
//! color quantization", 1991) and moves the centres to the means of their colours (k-means), [`Nearest`] finds the index of a
//! colour. All of it computes in integers on one thread, so the palette is the same on every machine.

mod cut;
mod histogram;
mod nearest;
mod refine;
mod space;

pub(super) use histogram::Histogram;
pub(super) use nearest::Nearest;
pub(super) use space::LEVEL;

use space::Point;

/// A colour of the picture with its weight.
#[derive(Clone, Copy)]
struct Sample {
    point: Point,
    colour: [u8; 4],
    weight: u32,
}

/// The colours that the counted ones are nearest to, the most frequent one first: 256 less `reserved`, or half, a quarter … of that
/// where so few lose nothing visible. Fully transparent pixels get a colour of their own, and opaque ones stay opaque.
pub(super) fn palette(histogram: &Histogram, reserved: usize) -> Vec<[u8; 4]> {
    let mut samples = histogram.samples();
    let centres = cut::divide(&mut samples, reserved);
    refine::refine(&samples, centres)
}

/// The squared distance of two colours, in units of which a level of luma has [`LEVEL`].
pub(super) fn distance(one: [u8; 4], other: [u8; 4]) -> u32 {
    space::distance(space::point(one), space::point(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(at: u32) -> u32 {
        at.wrapping_mul(2_654_435_761) >> 8
    }

    fn palette_of(pixels: impl Iterator<Item = [u8; 4]>, reserved: usize) -> Vec<[u8; 4]> {
        let mut histogram = Histogram::new();
        histogram.add(pixels);
        palette(&histogram, reserved)
    }

    #[test]
    fn palette_of_noise_is_full_and_near() {
        let pixel = |at: u32| [(noise(at) % 256) as u8, (noise(at) / 256 % 256) as u8, 90, 255];
        for reserved in [0, 1] {
            let colours = palette_of((0..60_000).map(pixel), reserved);
            assert_eq!(colours.len(), 256 - reserved);
            let mut nearest = Nearest::new(&colours);
            let errors = (0..60_000).map(|at| u64::from(nearest.find(pixel(at)).1));
            // a grid of 16 by 16 colours has about this error
            assert!(
                errors.sum::<u64>() / 60_000 < 1400,
                "{}",
                (0..60_000).map(|at| u64::from(nearest.find(pixel(at)).1)).sum::<u64>() / 60_000
            );
        }
    }

    #[test]
    fn palette_is_as_small_as_is_not_visible() {
        let levels = |most: u32| palette_of((0..9000).map(move |at| [(noise(at) % most) as u8, 7, 200, 255]), 0).len();
        assert_eq!(levels(3), 3);
        assert!(levels(60) <= 16, "{}", levels(60));
        assert!(levels(255) <= 64, "{}", levels(255));
    }

    #[test]
    fn flat_areas_keep_their_colour() {
        let flat = [51, 102, 153, 255];
        let edge = |at: u32| [51 + (noise(at) % 9) as u8, 102, (noise(at) % 200) as u8, 255];
        let colours = palette_of((0..20_000).map(|at| if at % 4 == 0 { edge(at) } else { flat }), 1);
        assert_eq!(colours[0], flat, "the most frequent colour");
    }

    #[test]
    fn alpha_keeps_its_class() {
        let pixel = |at: u32| {
            let [r, g, b, alpha] = noise(at).to_le_bytes();
            [r, g, b, [0, 255, alpha.wrapping_add(r)][at as usize % 3]]
        };
        let colours = palette_of((0..50_000).map(pixel), 0);
        let mut nearest = Nearest::new(&colours);
        for wanted in (0..50_000).map(pixel) {
            let found = colours[usize::from(nearest.find(wanted).0)];
            let class = |alpha: u8| (alpha == 0, alpha == 255);
            assert_eq!(class(wanted[3]), class(found[3]), "{wanted:?} as {found:?}");
        }
        assert_eq!(colours.iter().filter(|colour| colour[3] == 0).count(), 1);
    }
}
