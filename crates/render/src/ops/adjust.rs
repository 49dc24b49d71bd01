//! Colour adjustments: brightness, contrast, saturation, gamma, greyscale.
//!
//! All work on sRGB values and leave alpha alone. Brightness, contrast and saturation are the filter functions of CSS (Filter
//! Effects Module Level 1 §13); the weights of greyscale are those of luma in ITU-R BT.601.

use tintype_pixels::Pixels;

/// Replaces each colour sample by its entry in a table of 256.
fn map(pixels: &mut Pixels, level: impl Fn(f64) -> f64) {
    let table: [u8; 256] = std::array::from_fn(|at| level(at as f64).round().clamp(0.0, 255.0) as u8);
    match pixels.has_alpha() {
        false => pixels.data.iter_mut().for_each(|sample| *sample = table[usize::from(*sample)]),
        true => each::<4>(pixels, |[r, g, b, alpha]| {
            let [r, g, b] = [r, g, b].map(|sample| table[usize::from(sample)]);
            [r, g, b, alpha]
        }),
    }
}

/// Replaces each pixel of `C` channels.
fn each<const C: usize>(pixels: &mut Pixels, change: impl Fn([u8; C]) -> [u8; C]) {
    let (all, _) = pixels.data.as_chunks_mut::<C>();
    all.iter_mut().for_each(|pixel| *pixel = change(*pixel));
}

/// The same for the colours of pixels of either kind.
fn each_colour(pixels: &mut Pixels, change: impl Fn([u8; 3]) -> [u8; 3]) {
    match pixels.has_alpha() {
        false => each::<3>(pixels, change),
        true => each::<4>(pixels, |[r, g, b, alpha]| {
            let [r, g, b] = change([r, g, b]);
            [r, g, b, alpha]
        }),
    }
}

/// Multiplies colours by a factor in hundredths.
pub(crate) fn brightness(pixels: &mut Pixels, hundredths: u16) {
    let factor = f64::from(hundredths) / 100.0;
    map(pixels, |level| level * factor);
}

/// Multiplies the distance of colours from the middle by a factor in hundredths.
pub(crate) fn contrast(pixels: &mut Pixels, hundredths: u16) {
    let factor = f64::from(hundredths) / 100.0;
    map(pixels, |level| (level - 127.5) * factor + 127.5);
}

/// Raises colours to the power of 1/gamma, in hundredths: above 100 they become lighter.
pub(crate) fn gamma(pixels: &mut Pixels, hundredths: u16) {
    let exponent = 100.0 / f64::from(hundredths.max(1));
    map(pixels, |level| (level / 255.0).powf(exponent) * 255.0);
}

/// Moves colours away from grey of the same luminance by a factor in hundredths, or towards it below 100.
pub(crate) fn saturation(pixels: &mut Pixels, hundredths: u16) {
    const WHOLE: i32 = 100_000;
    let factor = i32::from(hundredths).min(MAX_FACTOR);
    each_colour(pixels, |colour| {
        let [r, g, b] = colour.map(i32::from);
        // in thousandths of a level
        let grey = 213 * r + 715 * g + 72 * b;
        colour.map(|sample| {
            let moved = grey * (100 - factor) + 1000 * factor * i32::from(sample) + WHOLE / 2;
            // the divisor is a constant, and the quotient is not negative
            (moved.clamp(0, 256 * WHOLE - 1) as u32 / WHOLE as u32).min(255) as u8
        })
    });
}

/// The largest factor on offer, in hundredths: products with it are within 32 bits.
const MAX_FACTOR: i32 = 1000;

/// Replaces colours by their luma.
pub(crate) fn greyscale(pixels: &mut Pixels) {
    each_colour(pixels, |colour| [luma(colour); 3]);
}

/// Luma in whole levels.
pub(crate) fn luma(colour: [u8; 3]) -> u8 {
    let [r, g, b] = colour.map(u32::from);
    // a division by 1000 in 32 bits, exact for every colour: by 8 first, which leaves the quotient as it is
    (((299 * r + 587 * g + 114 * b + 500) / 8 * 33_555) >> 22) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_pixels::Size;

    fn check(adjust: impl Fn(&mut Pixels), before: [u8; 3], after: [u8; 3]) {
        let mut opaque = Pixels::filled(Size::new(2, 1), &before);
        adjust(&mut opaque);
        assert_eq!(opaque.data, [after, after].concat(), "{before:?}");
        let [r, g, b] = before;
        let mut clear = Pixels::filled(Size::new(1, 1), &[r, g, b, 77]);
        adjust(&mut clear);
        assert_eq!(clear.data, [after[0], after[1], after[2], 77], "{before:?} with alpha");
    }

    #[test]
    fn brightness_multiplies() {
        check(|pixels| brightness(pixels, 50), [0, 101, 255], [0, 51, 128]);
        check(|pixels| brightness(pixels, 200), [0, 101, 200], [0, 202, 255]);
        check(|pixels| brightness(pixels, 0), [1, 2, 3], [0, 0, 0]);
    }

    #[test]
    fn contrast_turns_about_the_middle() {
        check(|pixels| contrast(pixels, 50), [0, 128, 255], [64, 128, 191]);
        check(|pixels| contrast(pixels, 200), [0, 128, 200], [0, 129, 255]);
        check(|pixels| contrast(pixels, 0), [0, 100, 255], [128, 128, 128]);
    }

    #[test]
    fn gamma_above_one_lightens() {
        check(|pixels| gamma(pixels, 200), [0, 64, 255], [0, 128, 255]);
        check(|pixels| gamma(pixels, 50), [0, 128, 255], [0, 64, 255]);
    }

    #[test]
    fn saturation_keeps_greys() {
        for hundredths in [0, 50, 200, 1000] {
            check(|pixels| saturation(pixels, hundredths), [90, 90, 90], [90, 90, 90]);
        }
        check(|pixels| saturation(pixels, 0), [255, 0, 0], [54, 54, 54]);
        check(|pixels| saturation(pixels, 50), [255, 0, 0], [155, 27, 27]);
        check(|pixels| saturation(pixels, 200), [200, 100, 100], [255, 79, 79]);
    }

    #[test]
    fn saturation_is_exact() {
        // in 64 bits, as it is defined
        let expected = |colour: [u8; 3], factor: i64, sample: u8| {
            let [r, g, b] = colour.map(i64::from);
            let grey = 213 * r + 715 * g + 72 * b;
            let moved = grey * 100 + factor * (1000 * i64::from(sample) - grey);
            (moved + 50_000).div_euclid(100_000).clamp(0, 255) as u8
        };
        for factor in [0, 1, 37, 99, 101, 150, 333, 999, 1000] {
            for (r, g, b) in (0..=255).step_by(15).flat_map(|r| (0..=255).map(move |g| (r, g, r ^ g))) {
                let mut pixels = Pixels::filled(Size::new(1, 1), &[r, g, b]);
                saturation(&mut pixels, factor);
                let colour = [r, g, b].map(|sample| expected([r, g, b], factor.into(), sample));
                assert_eq!(pixels.data, colour, "{r} {g} {b} by {factor}");
            }
        }
    }

    #[test]
    fn greyscale_is_luma() {
        check(greyscale, [255, 0, 0], [76, 76, 76]);
        check(greyscale, [0, 255, 0], [150, 150, 150]);
        check(greyscale, [0, 0, 255], [29, 29, 29]);
        for level in 0..=255 {
            assert_eq!(luma([level; 3]), level);
        }
        for sum in 0..=255_500_u32 {
            assert_eq!((sum / 8 * 33_555) >> 22, sum / 1000, "{sum}");
        }
    }
}
