//! What an animation shows between two frames.

use super::colours::{TRANSPARENT, shown};
use crate::quantise::distance;
use tintype_pixels::{Pixels, Size};

/// A rectangle of the logical screen, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) left: u16,
    pub(super) top: u16,
    pub(super) width: u16,
    pub(super) height: u16,
}

impl Area {
    /// The rectangle around the pixels for which `is_within` holds, which is called with their numbers; `None` without any.
    pub(super) fn around(size: Size, mut is_within: impl FnMut(usize) -> bool) -> Option<Area> {
        let width = size.width as usize;
        let mut bounds: Option<[usize; 4]> = None;
        for row in 0..size.height as usize {
            let start = row * width;
            let Some(first) = (start..start + width).find(|&at| is_within(at)) else { continue };
            let last = (first..start + width).rfind(|&at| is_within(at)).unwrap_or(first);
            let [left, right] = [first - start, last - start];
            bounds = Some(match bounds {
                Some([l, r, top, _]) => [l.min(left), r.max(right), top, row],
                None => [left, right, row, row],
            });
        }
        bounds.map(|[left, right, top, bottom]| Area {
            left: left as u16,
            top: top as u16,
            width: (right - left + 1) as u16,
            height: (bottom - top + 1) as u16,
        })
    }

    /// The smallest rectangle with both.
    pub(super) fn union(self, other: Area) -> Area {
        let (left, top) = (self.left.min(other.left), self.top.min(other.top));
        let right = (self.left + self.width).max(other.left + other.width);
        let bottom = (self.top + self.height).max(other.top + other.height);
        Area { left, top, width: right - left, height: bottom - top }
    }

    /// The numbers of its pixels, row by row, on a screen of `width` columns.
    pub(super) fn pixels(self, width: usize) -> impl Iterator<Item = usize> {
        let left = usize::from(self.left);
        let rows = usize::from(self.top)..usize::from(self.top) + usize::from(self.height);
        rows.flat_map(move |row| (row * width + left)..(row * width + left + usize::from(self.width)))
    }
}

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

    pub(super) fn width(&self) -> usize {
        self.size.width as usize
    }

    /// All of it.
    pub(super) fn area(&self) -> Area {
        Area { left: 0, top: 0, width: self.size.width as u16, height: self.size.height as u16 }
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
