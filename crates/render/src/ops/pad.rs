//! The canvas around a picture that does not fill the requested box, and the padding around that.

use crate::geometry::{Fitted, Padding};
use crate::recipe::Rgba;
use tintype_pixels::{Pixels, Size};

/// The colours of pixels that no original has.
#[derive(Clone, Copy)]
pub(crate) struct Colours {
    /// Of canvas and padding, where they are not the background's.
    pub(crate) canvas: Option<Rgba>,
    /// Laid under the result at the end.
    pub(crate) background: Option<Rgba>,
    /// Whether the format of the result has alpha.
    pub(crate) format_has_alpha: bool,
}

impl Colours {
    /// The colour that is painted: the canvas's, or the background's; without one it is transparent, or white where the format
    /// has no alpha.
    fn empty(self) -> Rgba {
        // a translucent background is laid under everything at the end; painted here too, it would be there twice
        match (self.canvas, self.background) {
            (Some(colour), _) => colour,
            (None, Some(colour)) if colour.0[3] == 255 => colour,
            (None, Some(_)) => Rgba([0; 4]),
            (None, None) if self.format_has_alpha => Rgba([0; 4]),
            (None, None) => Rgba::WHITE,
        }
    }
}

/// Puts a picture on the canvas of its fit.
pub(crate) fn pad(pixels: Pixels, fitted: Fitted, colours: Colours) -> Pixels {
    placed(pixels, fitted.canvas, fitted.offset(), colours)
}

/// Adds the padding of its fit around a canvas.
pub(crate) fn frame(pixels: Pixels, fitted: Fitted, colours: Colours) -> Pixels {
    let Padding { left, top, .. } = fitted.padding;
    placed(pixels, fitted.outer(), (left.into(), top.into()), colours)
}

/// A picture of `size` with another whose corner is at `left`, `top`.
fn placed(pixels: Pixels, size: Size, (left, top): (u32, u32), colours: Colours) -> Pixels {
    if size == pixels.size {
        return pixels;
    }
    let empty = colours.empty();
    let opaque = empty.0[3] == 255 && !pixels.has_alpha();
    let pixels = if opaque { pixels } else { pixels.with_alpha() };
    let mut canvas = Pixels::filled(size, &empty.0[..pixels.channels]);
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

    const WHITE: [u8; 3] = [255; 3];

    /// A picture of one pixel on a canvas of three.
    fn padded(pixel: &[u8], colours: Colours) -> Vec<u8> {
        let (size, canvas, shown) = (Size::new(1, 1), Size::new(3, 1), (1.0, 1.0));
        let (shift, padding) = ((0.0, 0.0), Padding::NONE);
        let fitted = Fitted { shown, size, canvas, gravity: Gravity::CENTER, shift, padding };
        pad(Pixels::filled(size, pixel), fitted, colours).data
    }

    #[test]
    fn canvas_has_the_colour_of_the_background() {
        let check = |pixel: &[u8], background: Option<[u8; 4]>, format_has_alpha, expected: &[&[u8]]| {
            let colours = Colours { canvas: None, background: background.map(Rgba), format_has_alpha };
            assert_eq!(padded(pixel, colours), expected.concat(), "{pixel:?} on {background:?}");
        };
        check(&[1, 2, 3], None, false, &[&WHITE, &[1, 2, 3], &WHITE]);
        check(&[1, 2, 3], None, true, &[&[0; 4], &[1, 2, 3, 255], &[0; 4]]);
        check(&[1, 2, 3], Some([9, 9, 9, 255]), true, &[&[9; 3], &[1, 2, 3], &[9; 3]]);
        check(&[1, 2, 3, 4], Some([9, 9, 9, 255]), true, &[&[9, 9, 9, 255], &[1, 2, 3, 4], &[9, 9, 9, 255]]);
        check(&[1, 2, 3], Some([9, 9, 9, 7]), true, &[&[0; 4], &[1, 2, 3, 255], &[0; 4]]);
    }

    #[test]
    fn canvas_with_a_colour_of_its_own_is_not_under_the_picture() {
        let check = |pixel: &[u8], canvas: [u8; 4], expected: &[&[u8]]| {
            let background = Some(Rgba([9, 9, 9, 255]));
            let colours = Colours { canvas: Some(Rgba(canvas)), background, format_has_alpha: true };
            assert_eq!(padded(pixel, colours), expected.concat(), "{pixel:?} on {canvas:?}");
        };
        check(&[1, 2, 3], [5, 5, 5, 255], &[&[5; 3], &[1, 2, 3], &[5; 3]]);
        check(&[1, 2, 3, 0], [5, 5, 5, 255], &[&[5, 5, 5, 255], &[1, 2, 3, 0], &[5, 5, 5, 255]]);
        check(&[1, 2, 3], [5, 5, 5, 7], &[&[5, 5, 5, 7], &[1, 2, 3, 255], &[5, 5, 5, 7]]);
    }
}
