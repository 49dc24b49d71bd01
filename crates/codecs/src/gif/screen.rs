//! The screen of an animation: the pixels that are shown between two frames.

use super::colours::{TRANSPARENT, shown};
use crate::canvas::Area;
use crate::quantise::distance;
use tintype_pixels::{Pixels, Size};

/// The logical screen.
pub(super) struct Screen {
    size: Size,
    /// The colour that each pixel shows.
    colours: Vec<[u8; 4]>,
}

impl Screen {
    /// A screen without anything.
    pub(super) fn new(size: Size) -> Screen {
        Screen { size, colours: vec![TRANSPARENT; size.pixels() as usize] }
    }

    pub(super) fn area(&self) -> Area {
        Area::all(self.size)
    }

    pub(super) fn width(&self) -> usize {
        self.size.width as usize
    }

    /// The colour that is shown.
    pub(super) fn at(&self, pixel: usize) -> [u8; 4] {
        self.colours[pixel]
    }

    pub(super) fn set(&mut self, pixel: usize, colour: [u8; 4]) {
        self.colours[pixel] = colour;
    }

    /// Clears a rectangle.
    pub(super) fn clear(&mut self, area: Area) {
        for pixel in area.pixels(self.width()) {
            self.colours[pixel] = TRANSPARENT;
        }
    }

    /// For each pixel of a frame whether it has to be drawn, and the rectangle around those pixels. It has not if it shows a colour
    /// within a squared distance of `tolerance`, or is as in the frame `before` and was not cleared since.
    pub(super) fn changes(&self, frame: &Pixels, before: Option<&Pixels>, tolerance: u32) -> (Vec<bool>, Option<Area>) {
        let pixels = frame.data.chunks_exact(frame.channels).map(shown);
        let before = before.unwrap_or(frame);
        let before = before.data.chunks_exact(before.channels).map(shown);
        let is_changed = |((wanted, before), &now): (([u8; 4], [u8; 4]), &[u8; 4])| {
            let is_cleared = (now == TRANSPARENT) != (wanted == TRANSPARENT);
            is_cleared || wanted != now && wanted != before && distance(wanted, now) > tolerance
        };
        let changed: Vec<bool> = pixels.zip(before).zip(&self.colours).map(is_changed).collect();
        let area = Area::around(self.size, |pixel| changed[pixel]);
        (changed, area)
    }
}

/// The rectangle around the pixels that are opaque in a frame and transparent in the next one. The frame has to be disposed of.
pub(super) fn disappearing(frame: &Pixels, next: &Pixels) -> Option<Area> {
    if !next.has_alpha() {
        return None;
    }
    let is_opaque = |pixels: &Pixels, at: usize| shown(&pixels.data[at * pixels.channels..][..pixels.channels])[3] > 0;
    Area::around(frame.size, |at| is_opaque(frame, at) && !is_opaque(next, at))
}
