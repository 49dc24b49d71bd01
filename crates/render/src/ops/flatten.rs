//! The background behind transparent pixels.

use crate::recipe::Rgba;
use tintype_pixels::Pixels;

/// Lays pixels over a background. Without one, they stay transparent where the format can say so and otherwise lie on
/// white: most pages are white, and black is what careless converters give.
pub(crate) fn flatten(pixels: Pixels, background: Option<Rgba>, format_has_alpha: bool) -> Pixels {
    if !pixels.has_alpha() {
        return pixels;
    }
    match (background, format_has_alpha) {
        (None, true) => pixels,
        (None, false) => over_opaque(&pixels, [255, 255, 255]),
        (Some(Rgba([r, g, b, 255])), _) => over_opaque(&pixels, [r, g, b]),
        (Some(colour), true) => over(pixels, colour),
        (Some(colour), false) => over_opaque(&over(pixels, colour), [255, 255, 255]),
    }
}

/// Rounded division by 255, exact for every product of two bytes.
fn div255(product: u32) -> u8 {
    ((product + 128 + ((product + 128) >> 8)) >> 8) as u8
}

fn over_opaque(pixels: &Pixels, background: [u8; 3]) -> Pixels {
    let mut data = vec![0; pixels.data.len() / 4 * 3];
    for (to, from) in data.chunks_exact_mut(3).zip(pixels.data.chunks_exact(4)) {
        let alpha = u32::from(from[3]);
        for channel in 0..3 {
            to[channel] = div255(u32::from(from[channel]) * alpha + u32::from(background[channel]) * (255 - alpha));
        }
    }
    Pixels { size: pixels.size, channels: 3, data }
}

/// Source over a translucent colour (Porter and Duff 1984), with straight alpha on both sides.
fn over(mut pixels: Pixels, Rgba(background): Rgba) -> Pixels {
    let behind = f32::from(background[3]) / 255.0;
    for pixel in pixels.data.chunks_exact_mut(4) {
        let front = f32::from(pixel[3]) / 255.0;
        let alpha = front + behind * (1.0 - front);
        if alpha > 0.0 {
            for channel in 0..3 {
                let (a, b) = (f32::from(pixel[channel]), f32::from(background[channel]));
                pixel[channel] = ((a * front + b * behind * (1.0 - front)) / alpha).round() as u8;
            }
        }
        pixel[3] = (alpha * 255.0).round() as u8;
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_pixels::Size;

    #[test]
    fn backgrounds() {
        let check = |pixel: &[u8], background: Option<[u8; 4]>, has_alpha, expected: &[u8]| {
            let out = flatten(Pixels::filled(Size::new(1, 1), pixel), background.map(Rgba), has_alpha);
            assert_eq!(out.data, expected, "{pixel:?} over {background:?}");
        };
        check(&[1, 2, 3], Some([9, 9, 9, 255]), false, &[1, 2, 3]);
        check(&[0, 0, 0, 0], None, true, &[0, 0, 0, 0]);
        check(&[0, 0, 0, 0], None, false, &[255, 255, 255]);
        check(&[0, 0, 0, 128], None, false, &[127, 127, 127]);
        check(&[200, 100, 0, 0], Some([10, 20, 30, 255]), true, &[10, 20, 30]);
        check(&[200, 100, 0, 255], Some([10, 20, 30, 255]), true, &[200, 100, 0]);
        check(&[200, 100, 0, 0], Some([10, 20, 30, 128]), true, &[10, 20, 30, 128]);
        check(&[200, 100, 0, 0], Some([0, 0, 0, 0]), false, &[255, 255, 255]);
    }

    #[test]
    fn division_is_exact() {
        for product in 0..=255 * 255 {
            assert_eq!(u32::from(div255(product)), (product + 127) / 255, "{product}");
        }
    }
}
