//! The canvas around a picture that does not fill the requested box.

use crate::geometry::Fitted;
use crate::recipe::Rgba;
use tintype_pixels::Pixels;

/// Puts a picture on its canvas. The rest has the background's colour; without one it is transparent, or white
/// where the format has no alpha.
pub(crate) fn pad(pixels: Pixels, fitted: Fitted, background: Option<Rgba>, format_has_alpha: bool) -> Pixels {
    if fitted.canvas == pixels.size {
        return pixels;
    }
    // a translucent background is laid under everything at the end; painted here too, it would be there twice
    let empty = match background {
        Some(colour) if colour.0[3] == 255 => colour,
        Some(_) => Rgba([0; 4]),
        None if format_has_alpha => Rgba([0; 4]),
        None => Rgba::WHITE,
    };
    let opaque = empty.0[3] == 255 && !pixels.has_alpha();
    let pixels = if opaque { pixels } else { pixels.with_alpha() };
    let mut canvas = Pixels::filled(fitted.canvas, &empty.0[..pixels.channels]);
    let (left, top) = fitted.offset();
    let (stride, start) = (canvas.stride(), left as usize * canvas.channels);
    for (row, source) in pixels.rows().enumerate() {
        let at = (top as usize + row) * stride + start;
        canvas.data[at..at + source.len()].copy_from_slice(source);
    }
    canvas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Gravity;
    use tintype_pixels::Size;

    #[test]
    fn canvases() {
        let check = |pixel: &[u8], background: Option<[u8; 4]>, has_alpha, expected: &[&[u8]]| {
            let canvas = Size::new(3, 1);
            let fitted = Fitted { shown: (1.0, 1.0), size: Size::new(1, 1), canvas, gravity: Gravity::CENTER };
            let out = pad(Pixels::filled(Size::new(1, 1), pixel), fitted, background.map(Rgba), has_alpha);
            assert_eq!(out.data, expected.concat(), "{pixel:?} on {background:?}");
        };
        let white: &[u8] = &[255; 3];
        check(&[1, 2, 3], None, false, &[white, &[1, 2, 3], white]);
        check(&[1, 2, 3], None, true, &[&[0; 4], &[1, 2, 3, 255], &[0; 4]]);
        check(&[1, 2, 3], Some([9, 9, 9, 255]), true, &[&[9; 3], &[1, 2, 3], &[9; 3]]);
        check(&[1, 2, 3, 4], Some([9, 9, 9, 255]), true, &[&[9, 9, 9, 255], &[1, 2, 3, 4], &[9, 9, 9, 255]]);
        check(&[1, 2, 3], Some([9, 9, 9, 7]), true, &[&[0; 4], &[1, 2, 3, 255], &[0; 4]]);
    }
}
