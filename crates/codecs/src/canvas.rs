//! Composition of the frames of an animation.
//!
//! GIF, APNG and WebP share the model: a frame is blended into a rectangle of the canvas, and disposed of before the next one.
//! Encoders take the composed pictures.

use tintype_pixels::{Pixels, Size};

/// The treatment of a frame's area before the next frame is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposal {
    /// It is left in place.
    None,
    /// It is cleared to transparent.
    Background,
    /// It is restored to the pixels before the frame.
    Previous,
}

/// How a frame is composed with the canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blend {
    /// Pixels are replaced, alpha included.
    Source,
    /// Pixels are alpha-blended over the canvas.
    Over,
}

/// A rectangle on the canvas, in pixels; that of a decoder may reach beyond the edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) size: Size,
}

impl Area {
    /// The top left pixel: a frame that changes nothing has to have one.
    pub(super) const ONE: Area = Area { left: 0, top: 0, size: Size::new(1, 1) };

    /// A whole canvas.
    pub(super) fn all(size: Size) -> Area {
        Area { left: 0, top: 0, size }
    }

    /// The rectangle around the pixels of a canvas for which `is_within` holds, which is called with their numbers; `None` without
    /// any.
    pub(super) fn around(canvas: Size, mut is_within: impl FnMut(usize) -> bool) -> Option<Area> {
        let width = canvas.width as usize;
        let mut bounds: Option<[usize; 4]> = None;
        for row in 0..canvas.height as usize {
            let start = row * width;
            let Some(first) = (start..start + width).find(|&at| is_within(at)) else { continue };
            let last = (first..start + width).rfind(|&at| is_within(at)).unwrap_or(first);
            let [left, right] = [first - start, last - start];
            bounds = Some(match bounds {
                Some([l, r, top, _]) => [l.min(left), r.max(right), top, row],
                None => [left, right, row, row],
            });
        }
        bounds.map(|bounds| {
            let [left, right, top, bottom] = bounds.map(|bound| bound as u32);
            Area { left, top, size: Size::new(right - left + 1, bottom - top + 1) }
        })
    }

    /// The rectangle in which a picture differs from another one of its size; `None` where they are equal.
    pub(super) fn changed(before: &Pixels, after: &Pixels) -> Option<Area> {
        let pixel = |pixels: &Pixels, at: usize| -> [u8; 4] {
            let data = &pixels.data[at * pixels.channels..];
            [data[0], data[1], data[2], if pixels.has_alpha() { data[3] } else { 255 }]
        };
        Area::around(after.size, |at| pixel(before, at) != pixel(after, at))
    }

    /// The smallest rectangle with both.
    pub(super) fn union(self, other: Area) -> Area {
        let (left, top) = (self.left.min(other.left), self.top.min(other.top));
        let right = (self.left + self.size.width).max(other.left + other.size.width);
        let bottom = (self.top + self.size.height).max(other.top + other.size.height);
        Area { left, top, size: Size::new(right - left, bottom - top) }
    }

    /// The numbers of its pixels, row by row, on a canvas of that many columns.
    pub(super) fn pixels(self, width: usize) -> impl Iterator<Item = usize> {
        let (left, columns) = (self.left as usize, self.size.width as usize);
        let rows = self.top as usize..(self.top + self.size.height) as usize;
        rows.flat_map(move |row| row * width + left..row * width + left + columns)
    }
}

/// The composed picture, RGBA with straight alpha; transparent at first.
pub(super) struct Canvas {
    pixels: Pixels,
    /// The area and disposal of the last frame, applied before the next one.
    pending: Option<(Area, Disposal)>,
    /// The canvas before the last frame, if its disposal is [`Disposal::Previous`].
    saved: Vec<u8>,
}

impl Canvas {
    pub(super) fn new(size: Size) -> Canvas {
        Canvas { pixels: Pixels::filled(size, &[0, 0, 0, 0]), pending: None, saved: Vec::new() }
    }

    /// Draws a frame: `rgba` has the pixels of the whole area. Parts outside of the canvas are clipped.
    pub(super) fn draw(&mut self, area: Area, rgba: &[u8], blend: Blend, disposal: Disposal) {
        let stride = area.size.width as usize * 4;
        self.draw_rows(area, blend, disposal, |row, columns, target| target(&rgba[row * stride..][..columns * 4]));
    }

    /// Draws a frame row by row: `give` gets the row in the frame, the number of visible columns, and a function that takes the RGBA
    /// pixels of those.
    pub(super) fn draw_rows(
        &mut self, area: Area, blend: Blend, disposal: Disposal,
        mut give: impl FnMut(usize, usize, &mut dyn FnMut(&[u8])),
    ) {
        self.dispose();
        if disposal == Disposal::Previous {
            self.saved = self.pixels.data.clone();
        }
        let columns = area.size.width.min(self.pixels.size.width.saturating_sub(area.left));
        let rows = area.size.height.min(self.pixels.size.height.saturating_sub(area.top));
        // a frame outside of the canvas has nothing to dispose of
        let visible = if columns == 0 || rows == 0 { Size::new(0, 0) } else { Size::new(columns, rows) };
        let stride = self.pixels.stride();
        for row in 0..visible.height as usize {
            let start = (area.top as usize + row) * stride + area.left as usize * 4;
            let target = &mut self.pixels.data[start..start + columns as usize * 4];
            give(row, columns as usize, &mut |source| match blend {
                Blend::Source => target.copy_from_slice(source),
                Blend::Over => blend_over(target, source),
            });
        }
        self.pending = Some((Area { size: visible, ..area }, disposal));
    }

    /// A copy of the composed picture.
    pub(super) fn snapshot(&self) -> Pixels {
        self.pixels.clone()
    }

    fn dispose(&mut self) {
        match self.pending.take() {
            Some((area, Disposal::Background)) => {
                let stride = self.pixels.stride();
                for row in 0..area.size.height as usize {
                    let start = (area.top as usize + row) * stride + area.left as usize * 4;
                    self.pixels.data[start..start + area.size.width as usize * 4].fill(0);
                }
            }
            Some((_, Disposal::Previous)) => self.pixels.data.copy_from_slice(&self.saved),
            Some((_, Disposal::None)) | None => {}
        }
    }
}

/// Source over destination with straight alpha (PNG, third edition, §13.16).
fn blend_over(target: &mut [u8], source: &[u8]) {
    for (to, from) in target.chunks_exact_mut(4).zip(source.chunks_exact(4)) {
        match (from[3], to[3]) {
            (0, _) => {}
            (255, _) | (_, 0) => to.copy_from_slice(from),
            (alpha, below) => {
                let (alpha, below) = (u32::from(alpha), u32::from(below));
                let under = below * (255 - alpha);
                let sum = alpha * 255 + under;
                for channel in 0..3 {
                    let mixed = u32::from(from[channel]) * alpha * 255 + u32::from(to[channel]) * under;
                    to[channel] = ((mixed + sum / 2) / sum) as u8;
                }
                to[3] = ((sum + 127) / 255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: [u8; 4] = [255, 0, 0, 255];
    const BLUE: [u8; 4] = [0, 0, 255, 255];
    const NONE: [u8; 4] = [0; 4];

    fn area(left: u32, width: u32) -> Area {
        Area { left, top: 0, size: Size::new(width, 1) }
    }

    fn row(canvas: &Canvas) -> Vec<[u8; 4]> {
        canvas.pixels.data.as_chunks::<4>().0.to_vec()
    }

    #[test]
    fn area_around_pixels_has_them_all() {
        let size = Size::new(5, 4);
        let around = |pixels: &[usize]| Area::around(size, |at| pixels.contains(&at));
        assert_eq!(around(&[]), None);
        assert_eq!(around(&(0..20).collect::<Vec<_>>()), Some(Area::all(size)));
        assert_eq!(around(&[0]), Some(Area::ONE));
        let found = around(&[8, 11]).expect("pixels");
        assert_eq!(found, Area { left: 1, top: 1, size: Size::new(3, 2) });
        assert_eq!(found.pixels(5).collect::<Vec<_>>(), [6, 7, 8, 11, 12, 13]);
        assert_eq!(found.union(Area::ONE), Area::all(Size::new(4, 3)));
    }

    #[test]
    fn disposal_is_applied_before_the_next_frame() {
        let mut canvas = Canvas::new(Size::new(3, 1));
        canvas.draw(area(0, 3), &RED.repeat(3), Blend::Source, Disposal::None);
        canvas.draw(area(1, 1), &BLUE, Blend::Over, Disposal::Previous);
        assert_eq!(row(&canvas), [RED, BLUE, RED]);
        canvas.draw(area(2, 1), &BLUE, Blend::Over, Disposal::Background);
        assert_eq!(row(&canvas), [RED, RED, BLUE]);
        canvas.draw(area(0, 1), &NONE, Blend::Over, Disposal::None);
        assert_eq!(row(&canvas), [RED, RED, NONE]);
        canvas.draw(area(0, 1), &NONE, Blend::Source, Disposal::None);
        assert_eq!(row(&canvas), [NONE, RED, NONE]);
    }

    #[test]
    fn frames_beyond_the_edge_are_clipped() {
        let mut canvas = Canvas::new(Size::new(2, 1));
        canvas.draw(area(1, 3), &RED.repeat(3), Blend::Over, Disposal::None);
        let outside =
            [(9, 9, 1, 1), (3, 0, 1, 1), (2, 0, 1, 1), (0, 1, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0), (3, 0, 0, 9)];
        for (left, top, width, height) in outside {
            for disposal in [Disposal::Background, Disposal::Previous, Disposal::None] {
                let size = Size::new(width, height);
                let pixels = RED.repeat(size.pixels() as usize);
                canvas.draw(Area { left, top, size }, &pixels, Blend::Source, disposal);
                assert_eq!(row(&canvas), [NONE, RED], "{left}, {top}, {size}, {disposal:?}");
            }
        }
    }

    #[test]
    fn partial_alpha_is_blended() {
        let mut target = [0, 0, 255, 255];
        blend_over(&mut target, &[255, 0, 0, 128]);
        assert_eq!(target, [128, 0, 127, 255]);
    }
}
