//! The canvas that the frames of an animation are drawn on, one over the other.
//!
//! GIF, APNG and WebP say in the same words how a frame is laid over those before it and what becomes of it after it
//! was shown; encoders want whole pictures.

use tintype_pixels::Pixels;
use tintype_pixels::geometry::Size;

/// What becomes of a frame's area once it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dispose {
    /// It stays.
    Keep,
    /// It becomes transparent.
    Clear,
    /// It becomes what it was before.
    Restore,
}

/// How a frame is laid over what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blend {
    /// It takes its place, transparent pixels too.
    Replace,
    /// It covers what is there where it is opaque.
    Over,
}

/// Part of the canvas: left, top, columns, rows, all within it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) size: Size,
}

/// A picture being built frame by frame, RGBA.
pub(super) struct Canvas {
    pixels: Pixels,
    /// What the last frame's disposal will undo.
    pending: Option<(Area, Dispose)>,
    /// The rows under the last frame, where it is to be restored.
    saved: Vec<u8>,
}

impl Canvas {
    pub(super) fn new(size: Size) -> Canvas {
        Canvas { pixels: Pixels::filled(size, &[0, 0, 0, 0]), pending: None, saved: Vec::new() }
    }

    /// Draws a frame: `rgba` has the area's pixels. Parts outside of the canvas are left out.
    pub(super) fn draw(&mut self, area: Area, rgba: &[u8], blend: Blend, dispose: Dispose) {
        let stride = area.size.width as usize * 4;
        self.draw_rows(area, blend, dispose, |row, columns, target| target(&rgba[row * stride..][..columns * 4]));
    }

    /// Draws a frame of which `give` has the rows: for each that is seen it gives as many pixels as are.
    pub(super) fn draw_rows(
        &mut self, area: Area, blend: Blend, dispose: Dispose,
        mut give: impl FnMut(usize, usize, &mut dyn FnMut(&[u8])),
    ) {
        self.dispose();
        if dispose == Dispose::Restore {
            self.saved = self.pixels.data.clone();
        }
        let columns = area.size.width.min(self.pixels.size.width.saturating_sub(area.left));
        let rows = area.size.height.min(self.pixels.size.height.saturating_sub(area.top));
        // of one that is wholly outside nothing is to be disposed of either
        let seen = if columns == 0 || rows == 0 { Size::new(0, 0) } else { Size::new(columns, rows) };
        let stride = self.pixels.stride();
        for row in 0..seen.height as usize {
            let start = (area.top as usize + row) * stride + area.left as usize * 4;
            let target = &mut self.pixels.data[start..start + columns as usize * 4];
            give(row, columns as usize, &mut |source| match blend {
                Blend::Replace => target.copy_from_slice(source),
                Blend::Over => lay_over(target, source),
            });
        }
        self.pending = Some((Area { size: seen, ..area }, dispose));
    }

    /// What is to be seen now.
    pub(super) fn shown(&self) -> Pixels {
        self.pixels.clone()
    }

    fn dispose(&mut self) {
        match self.pending.take() {
            Some((area, Dispose::Clear)) => {
                let stride = self.pixels.stride();
                for row in 0..area.size.height as usize {
                    let start = (area.top as usize + row) * stride + area.left as usize * 4;
                    self.pixels.data[start..start + area.size.width as usize * 4].fill(0);
                }
            }
            Some((_, Dispose::Restore)) => self.pixels.data.copy_from_slice(&self.saved),
            Some((_, Dispose::Keep)) | None => {}
        }
    }
}

/// Source over destination with straight alpha (PNG, third edition, §13.16).
fn lay_over(target: &mut [u8], source: &[u8]) {
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
    fn frames_are_disposed_of() {
        let mut canvas = Canvas::new(Size::new(3, 1));
        canvas.draw(area(0, 3), &RED.repeat(3), Blend::Replace, Dispose::Keep);
        canvas.draw(area(1, 1), &BLUE, Blend::Over, Dispose::Restore);
        assert_eq!(row(&canvas), [RED, BLUE, RED]);
        canvas.draw(area(2, 1), &BLUE, Blend::Over, Dispose::Clear);
        assert_eq!(row(&canvas), [RED, RED, BLUE]);
        canvas.draw(area(0, 1), &NONE, Blend::Over, Dispose::Keep);
        assert_eq!(row(&canvas), [RED, RED, NONE]);
        canvas.draw(area(0, 1), &NONE, Blend::Replace, Dispose::Keep);
        assert_eq!(row(&canvas), [NONE, RED, NONE]);
    }

    #[test]
    fn frames_beyond_the_edge_are_cut() {
        let mut canvas = Canvas::new(Size::new(2, 1));
        canvas.draw(area(1, 3), &RED.repeat(3), Blend::Over, Dispose::Keep);
        let outside =
            [(9, 9, 1, 1), (3, 0, 1, 1), (2, 0, 1, 1), (0, 1, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0), (3, 0, 0, 9)];
        for (left, top, width, height) in outside {
            for dispose in [Dispose::Clear, Dispose::Restore, Dispose::Keep] {
                let size = Size::new(width, height);
                let pixels = RED.repeat(size.pixels() as usize);
                canvas.draw(Area { left, top, size }, &pixels, Blend::Replace, dispose);
                assert_eq!(row(&canvas), [NONE, RED], "{left}, {top}, {size}, {dispose:?}");
            }
        }
    }

    #[test]
    fn half_transparent_colours_mix() {
        let mut target = [0, 0, 255, 255];
        lay_over(&mut target, &[255, 0, 0, 128]);
        assert_eq!(target, [128, 0, 127, 255]);
    }
}
