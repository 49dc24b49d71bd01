//! Unsharp masking of a picture's luma, in place, for an `amount` between 0 and 10.
//!
//! With Y the BT.601 luma of a pixel and B the Gaussian blur of Y:
//!
//! ```text
//! sigma = 0.5 + 0.1 × amount          (pixels: 0.6 at 1, 1.5 at 10)
//! d     = 0.3 × amount × (Y - B)      (levels)
//! R,G,B = clamp(R,G,B + d / (1 + |d| / 48))
//! ```
//!
//! Surprising: the detail added is squeezed to less than ±48 levels, whatever the amount.
//! Without that, amount 10 draws solid white and black outlines (halos) along every edge, while
//! the fine texture one wanted to see grows no faster. libvips and thereby sharp limit the same
//! thing with their `y2` and `y3`, by a hard cut.
//!
//! All three colours get the same number added, so the colour differences Cb and Cr stay as
//! they were and no fringes appear. Sources: ITU-R BT.601-7 section 2.5.1 for the weights;
//! libvips' `vips_sharpen` for limiting.

use super::kernel::{Kernel, Window, luma, to_byte};
use tintype_pixels::Pixels;

/// Largest amount on offer.
pub(crate) const MAX_AMOUNT: f32 = 10.0;

/// Levels that the added detail approaches but does not reach.
const LIMIT: f32 = 48.0;

/// Sharpens `pixels`: an `amount` of 1 is slight but visible, 10 is strong, and 0 (or anything
/// less, or not a number) does nothing.
///
/// Alpha is left alone and weighs the blur, so that the colours of transparent pixels do not
/// show as an outline around what is visible.
pub(crate) fn sharpen(pixels: &mut Pixels, amount: f32) {
    // written this way round so that NaN leaves too
    let usable = amount > 0.0;
    if !usable || pixels.size.width == 0 || pixels.size.height == 0 {
        return;
    }
    let amount = amount.min(MAX_AMOUNT);
    if pixels.channels == 4 {
        run::<4, 2>(pixels, amount);
    } else {
        run::<3, 1>(pixels, amount);
    }
}

/// `C` samples a pixel; `P` planes are blurred: luma alone, or luma × alpha and alpha.
fn run<const C: usize, const P: usize>(pixels: &mut Pixels, amount: f32) {
    let (width, height) = (pixels.size.width as usize, pixels.size.height as usize);
    let stride = width * C;
    let sigma = 0.5 + 0.1 * f64::from(amount);
    let gain = 0.3 * amount;
    let mut window = Window::<f32>::new(&Kernel::gaussian(sigma), width, P);
    let radius = window.radius();
    let mut line = window.line();
    for y in 0..height + 2 * radius {
        // rows are read `radius` ahead of the one written, so in place is safe
        let from = y.saturating_sub(radius).min(height - 1);
        let row = pixels.data[from * stride..][..stride].as_chunks::<C>().0;
        window.push(|planes| {
            for (to, px) in planes.as_chunks_mut::<P>().0.iter_mut().zip(row) {
                let y = luma(px);
                if P == 2 {
                    let alpha = f32::from(px[C - 1]);
                    to[0] = y * alpha;
                    to[1] = alpha;
                } else {
                    to[0] = y;
                }
            }
        });
        let Some(done) = y.checked_sub(2 * radius) else {
            continue;
        };
        window.blurred(&mut line);
        let row = pixels.data[done * stride..][..stride].as_chunks_mut::<C>().0;
        for (px, blurred) in row.iter_mut().zip(line.as_chunks::<P>().0) {
            let blurred = match P {
                // no visible pixel within reach: nothing to sharpen
                2 if blurred[1] <= 0.0 => continue,
                2 => blurred[0] / blurred[1],
                _ => blurred[0],
            };
            let detail = gain * (luma(px) - blurred);
            let detail = detail / (1.0 + detail.abs() * (1.0 / LIMIT));
            for v in &mut px[..3] {
                *v = to_byte((f32::from(*v) + detail).clamp(0.0, 255.0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tintype_pixels::Size;

    fn picture(width: u32, height: u32, channels: usize, at: impl Fn(u32, u32) -> [u8; 4]) -> Pixels {
        let mut data = Vec::new();
        for y in 0..height {
            for x in 0..width {
                data.extend(&at(x, y)[..channels]);
            }
        }
        Pixels { size: Size::new(width, height), channels, data }
    }

    /// Left half dark, right half light.
    fn edge(x: u32, _: u32) -> [u8; 4] {
        if x < 8 { [80, 80, 80, 255] } else { [160, 160, 160, 255] }
    }

    #[test]
    fn overshoot_grows_with_the_amount() {
        // (amount, least and most by which the pixel right of the edge gets lighter)
        for (amount, least, most) in
            [(0.0, 0, 0), (0.5, 1, 4), (1.0, 3, 9), (3.0, 9, 22), (10.0, 25, 48), (99.0, 25, 48)]
        {
            for channels in [3, 4] {
                let mut p = picture(16, 8, channels, edge);
                sharpen(&mut p, amount);
                let row = &p.data[4 * 16 * channels..];
                let (dark, light) = (row[7 * channels], row[8 * channels]);
                let over = light - 160;
                assert!((least..=most).contains(&over), "{amount}: {over}");
                assert_eq!(80 - dark, over, "{amount}: the same on the dark side");
                assert_eq!((row[0], row[15 * channels]), (80, 160), "{amount}: far off");
            }
        }
    }

    #[test]
    fn colours_move_together() {
        let mut p = picture(16, 8, 3, |x, _| if x < 8 { [120, 90, 60, 255] } else { [150, 130, 140, 255] });
        let before = p.clone();
        sharpen(&mut p, 6.0);
        assert_ne!(p, before);
        for (new, old) in p.data.as_chunks::<3>().0.iter().zip(before.data.as_chunks::<3>().0) {
            let moved = [0, 1, 2].map(|c| i32::from(new[c]) - i32::from(old[c]));
            assert!(moved[0] == moved[1] && moved[1] == moved[2], "{moved:?}");
        }
    }

    #[test]
    fn isoluminant_edges_get_no_fringe() {
        // two colours of equal luma (to a tenth of a level): nothing to sharpen
        let mut p = picture(16, 8, 3, |x, _| if x < 8 { [131, 80, 80, 255] } else { [80, 106, 80, 255] });
        let before = p.clone();
        sharpen(&mut p, 10.0);
        for (new, old) in p.data.iter().zip(&before.data) {
            assert!(new.abs_diff(*old) <= 1, "{new} was {old}");
        }
    }

    #[test]
    fn transparent_neighbours_do_not_count() {
        // white but invisible on the left must not darken the grey on the right
        let mut p = picture(16, 8, 4, |x, _| if x < 8 { [255, 255, 255, 0] } else { [100, 100, 100, 255] });
        let before = p.clone();
        sharpen(&mut p, 10.0);
        for (new, old) in p.data.as_chunks::<4>().0.iter().zip(before.data.as_chunks::<4>().0) {
            assert!(old[3] == 0 || new == old, "{new:?} was {old:?}");
            assert_eq!(new[3], old[3]);
        }
    }

    #[test]
    fn invalid_amount_changes_no_pixel() {
        let before = picture(16, 8, 3, edge);
        for amount in [0.0, -1.0, f32::NAN, f32::NEG_INFINITY] {
            let mut p = before.clone();
            sharpen(&mut p, amount);
            assert_eq!(p, before, "{amount}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn flat_stays_flat(
            w in 1u32..30, h in 1u32..30, alpha: bool, amount in 0.0f32..10.0, px: [u8; 4]
        ) {
            let before = picture(w, h, if alpha { 4 } else { 3 }, |_, _| px);
            let mut p = before.clone();
            sharpen(&mut p, amount);
            prop_assert_eq!(p, before);
        }

        #[test]
        fn no_sample_moves_beyond_the_limit(
            w in 1u32..20, h in 1u32..20, alpha: bool, amount in 0.0f32..10.0, seed: u32
        ) {
            let before = picture(w, h, if alpha { 4 } else { 3 }, |x, y| {
                (seed ^ x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA77))
                    .wrapping_mul(0x2C1B_3C6D)
                    .to_le_bytes()
            });
            let mut p = before.clone();
            sharpen(&mut p, amount);
            for (new, old) in p.data.iter().zip(&before.data) {
                prop_assert!(new.abs_diff(*old) <= 48);
            }
        }
    }
}
