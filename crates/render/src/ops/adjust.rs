//! Colour adjustments: brightness, contrast, saturation, gamma, greyscale.
//!
//! All work on sRGB values and leave alpha alone. Brightness, contrast and saturation are the filter functions of CSS (Filter
//! Effects Module Level 1 §13); the weights of greyscale are those of luma in ITU-R BT.601.

use tintype_pixels::Pixels;

/// Replaces each colour sample by its entry in a table of 256.
fn map(pixels: &mut Pixels, table: impl Fn(f64) -> f64) {
    let table: Vec<u8> = (0..=255u8).map(|level| table(f64::from(level)).round().clamp(0.0, 255.0) as u8).collect();
    let colours = pixels.data.chunks_exact_mut(pixels.channels).flat_map(|pixel| &mut pixel[..3]);
    colours.for_each(|sample| *sample = table[usize::from(*sample)]);
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
    let factor = i64::from(hundredths);
    for pixel in pixels.data.chunks_exact_mut(pixels.channels) {
        let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(i64::from);
        // in thousandths
        let grey = 213 * r + 715 * g + 72 * b;
        for sample in &mut pixel[..3] {
            let moved = grey * 100 + factor * (1000 * i64::from(*sample) - grey);
            *sample = ((moved + 50_000).div_euclid(100_000)).clamp(0, 255) as u8;
        }
    }
}

/// Replaces colours by their luma.
pub(crate) fn greyscale(pixels: &mut Pixels) {
    for pixel in pixels.data.chunks_exact_mut(pixels.channels) {
        let grey = luma([pixel[0], pixel[1], pixel[2]]);
        pixel[..3].fill(grey);
    }
}

/// Luma in whole levels.
pub(crate) fn luma(colour: [u8; 3]) -> u8 {
    let [r, g, b] = colour.map(u32::from);
    ((299 * r + 587 * g + 114 * b + 500) / 1000) as u8
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
    fn greyscale_is_luma() {
        check(greyscale, [255, 0, 0], [76, 76, 76]);
        check(greyscale, [0, 255, 0], [150, 150, 150]);
        check(greyscale, [0, 0, 255], [29, 29, 29]);
        for level in 0..=255 {
            assert_eq!(luma([level; 3]), level);
        }
    }
}
