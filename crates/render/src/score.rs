//! How near an encoded picture comes to the pixels that it was made from: SSIMULACRA2, by the crate `fast-ssim2`.
//!
//! 100 is the same picture, 90 is not told from it, 70 has artefacts that one sees side by side, 50 ones that one sees alone
//! (J. Sneyers, SSIMULACRA 2, 2022). The measure knows no alpha: translucent pictures are laid over white and over black, and
//! the worse score counts.

use std::borrow::Cow;

use fast_ssim2::{PixelDescriptor, PixelSlice, Ssimulacra2Reference};
use tintype_pixels::{Pixels, Size};

/// Bytes of memory that a comparison takes for each pixel.
pub(crate) const MEMORY: u64 = 100;

/// Pixels on each side of the parts that [`in_parts`] compares.
pub(crate) const PART: u32 = 512;

/// The least width and height that is measured.
const LEAST_SIDE: u32 = 8;

/// The greys that a translucent picture is laid over.
const BACKGROUNDS: [u8; 2] = [255, 0];

/// A picture that others are compared with.
pub(crate) struct Reference {
    size: Size,
    /// Opaque over each of the backgrounds that matter.
    over: Vec<(u8, Ssimulacra2Reference)>,
}

impl Reference {
    /// `None` for a picture that is too small to be measured.
    pub(crate) fn new(exact: &Pixels) -> Option<Reference> {
        if exact.size.width.min(exact.size.height) < LEAST_SIDE {
            return None;
        }
        let backgrounds = if exact.has_alpha() { &BACKGROUNDS[..] } else { &BACKGROUNDS[..1] };
        let reference = |&background: &u8| {
            let opaque = laid_over(exact, background);
            Some((background, Ssimulacra2Reference::new(&slice(&opaque, exact.size)?).ok()?))
        };
        let over = backgrounds.iter().map(reference).collect::<Option<Vec<_>>>()?;
        Some(Reference { size: exact.size, over })
    }

    /// The score of a picture of the same size, 100 at most; `None` if it has another size.
    pub(crate) fn score(&self, made: &Pixels) -> Option<f64> {
        if made.size != self.size {
            return None;
        }
        let score = |(background, reference): &(u8, Ssimulacra2Reference)| {
            reference.compare(&slice(&laid_over(made, *background), made.size)?).ok()
        };
        self.over.iter().map(score).try_fold(f64::INFINITY, |worst, score| Some(worst.min(score?)))
    }
}

/// The mean score of the parts of a picture, by their area: the memory of one part, whatever the size. `None` for a picture that is
/// too small to be measured.
pub(crate) fn in_parts(exact: &Pixels, made: &Pixels) -> Option<f64> {
    let Size { width, height } = exact.size;
    if made.size != exact.size {
        return None;
    }
    let (mut sum, mut area) = (0.0, 0.0);
    for (top, rows) in parts(height) {
        for (left, columns) in parts(width) {
            let size = Size::new(columns, rows);
            let score = Reference::new(&exact.cut(left, top, size))?.score(&made.cut(left, top, size))?;
            sum += score * size.pixels() as f64;
            area += size.pixels() as f64;
        }
    }
    Some(sum / area)
}

/// Where the parts of a side begin, and their lengths: about equal, none longer than [`PART`].
fn parts(length: u32) -> impl Iterator<Item = (u32, u32)> {
    let count = length.div_ceil(PART);
    let start = move |number: u32| (u64::from(length) * u64::from(number) / u64::from(count)) as u32;
    (0..count).map(move |number| (start(number), start(number + 1) - start(number)))
}

fn slice(rgb: &[u8], size: Size) -> Option<PixelSlice<'_>> {
    PixelSlice::new(rgb, size.width, size.height, size.width as usize * 3, PixelDescriptor::RGB8_SRGB).ok()
}

/// The picture in red, green and blue over a grey.
fn laid_over(pixels: &Pixels, background: u8) -> Cow<'_, [u8]> {
    if !pixels.has_alpha() {
        return Cow::Borrowed(&pixels.data);
    }
    let mixed = |sample: u8, alpha: u8| {
        let sum = u32::from(sample) * u32::from(alpha) + u32::from(background) * u32::from(255 - alpha);
        ((sum + 127) / 255) as u8
    };
    pixels.data.chunks_exact(4).flat_map(|pixel| [0, 1, 2].map(|channel| mixed(pixel[channel], pixel[3]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(width: u32, height: u32, channels: usize, step: usize) -> Pixels {
        let data = (0..(width * height) as usize * channels).map(|at| (at / step * step % 251) as u8).collect();
        Pixels { size: Size::new(width, height), channels, data }
    }

    #[test]
    fn same_picture_scores_100_and_others_less() {
        for channels in [3, 4] {
            let exact = gradient(64, 40, channels, 1);
            let reference = Reference::new(&exact).expect("large enough");
            assert!(reference.score(&exact).expect("of that size") > 99.9);
            let coarse = gradient(64, 40, channels, 32);
            assert!(reference.score(&coarse).expect("of that size") < 80.0);
            assert_eq!(reference.score(&gradient(40, 64, channels, 1)), None);
        }
    }

    #[test]
    fn colour_behind_transparent_pixels_does_not_count() {
        let pixel = |colour: u8| {
            move |at: usize| if at.is_multiple_of(7) { [colour, colour, colour, 0] } else { [at as u8, 9, 9, 255] }
        };
        let of =
            |colour| Pixels { size: Size::new(50, 50), channels: 4, data: (0..2500).flat_map(pixel(colour)).collect() };
        assert!(in_parts(&of(0), &of(200)).expect("large enough") > 99.9);
    }

    #[test]
    fn parts_cover_a_side() {
        for length in [8, 511, 512, 513, 1024, 1025, 3000] {
            let parts: Vec<(u32, u32)> = parts(length).collect();
            assert!(parts.iter().all(|&(_, length)| (LEAST_SIDE..=PART).contains(&length)), "{length}");
            assert_eq!(parts.iter().map(|(_, length)| length).sum::<u32>(), length);
            assert!(parts.windows(2).all(|pair| pair[0].0 + pair[0].1 == pair[1].0));
        }
    }

    #[test]
    fn too_small_pictures_are_not_measured() {
        assert!(Reference::new(&gradient(7, 40, 3, 1)).is_none());
        assert_eq!(in_parts(&gradient(7, 40, 3, 1), &gradient(7, 40, 3, 1)), None);
    }
}
