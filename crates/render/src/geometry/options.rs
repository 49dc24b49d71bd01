//! The options of a resize beside its mode and box.

use serde::{Deserialize, Serialize};

use tintype_pixels::Size;

use super::{Gravity, Resize, TargetSize};

/// The options of a resize. The default changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ResizeOptions {
    /// How a box that would enlarge the picture is reduced.
    pub limit: Limit,
    /// The device pixel ratio in hundredths, where it is not part of the box: it is reduced with the box, and so are padding and offset.
    pub dpr: u16,
    /// How far a crop or a padded picture lies from its place by gravity.
    pub offset: Offset,
    /// Pixels around the result, before `dpr`.
    pub padding: Padding,
}

impl Default for ResizeOptions {
    fn default() -> ResizeOptions {
        ResizeOptions { limit: Limit::Ratio, dpr: 100, offset: Offset::NONE, padding: Padding::NONE }
    }
}

/// How a box that would enlarge the picture is reduced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Limit {
    /// By its mode: `Cover` and `Fill` shrink the box, keeping its ratio; the other modes show the picture at its own size.
    #[default]
    Ratio,
    /// `Cover` and `Fill`: each side of the result is the smaller one of the box and of the picture, which is scaled to cover the box
    /// but not enlarged.
    Sides,
    /// `Contain` and `Pad`: the box is shrunk, keeping its ratio, until it is within the picture on both sides, before the picture is
    /// fitted into it.
    Box,
}

impl Limit {
    /// Its value in a URL.
    pub const fn name(self) -> &'static str {
        match self {
            Limit::Ratio => "ratio",
            Limit::Sides => "sides",
            Limit::Box => "box",
        }
    }
}

/// A distance along each axis in 1/10000. From 10000 on these are pixels of the result, below they are a share of the picture, or of
/// the canvas where it is padded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Offset {
    /// Away from the left or the right edge that the gravity names, otherwise to the right.
    pub x: i32,
    /// Away from the top or the bottom edge that the gravity names, otherwise down.
    pub y: i32,
}

impl Offset {
    /// No distance.
    pub const NONE: Offset = Offset { x: 0, y: 0 };

    /// A pixel.
    pub(crate) const PIXEL: u32 = 10_000;

    /// The longest distance that a URL may state, in pixels: the longest side of a picture.
    pub const LONGEST: u32 = 65_535;

    /// Whether a part of it is in pixels.
    pub fn is_in_pixels(self) -> bool {
        is_pixels(self.x) || is_pixels(self.y)
    }

    /// Multiplied, where it is in pixels, and at most [`Offset::LONGEST`].
    #[must_use]
    pub fn times(self, factor: f64) -> Offset {
        let [pixel, longest] = [1, Offset::LONGEST].map(|pixels| f64::from(pixels * Offset::PIXEL));
        let times = |offset: i32| match is_pixels(offset) {
            // a length of a pixel or more does not become a share
            true => (f64::from(offset.abs()) * factor).clamp(pixel, longest) as i32 * offset.signum(),
            false => offset,
        };
        Offset { x: times(self.x), y: times(self.y) }
    }

    /// The distances to the right and down in a length of `outer`, of which a pixel of the result is `pixel` units.
    pub(super) fn shift(self, gravity: Gravity, outer: (f64, f64), pixel: (f64, f64)) -> (f64, f64) {
        let Gravity::Point(x, y) = gravity else { return (0.0, 0.0) };
        let shift = |offset: i32, at: u16, outer: f64, pixel: f64| {
            let unit = if is_pixels(offset) { pixel } else { outer };
            let length = f64::from(offset) / 10_000.0 * unit;
            if at == 10_000 { -length } else { length }
        };
        (shift(self.x, x, outer.0, pixel.0), shift(self.y, y, outer.1, pixel.1))
    }
}

/// Whether a distance in 1/10000 is in pixels.
fn is_pixels(offset: i32) -> bool {
    offset.unsigned_abs() >= Offset::PIXEL
}

/// Pixels on each side of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Padding {
    /// Rows above.
    pub top: u16,
    /// Columns to the right.
    pub right: u16,
    /// Rows below.
    pub bottom: u16,
    /// Columns to the left.
    pub left: u16,
}

impl Padding {
    /// No pixels.
    pub const NONE: Padding = Padding { top: 0, right: 0, bottom: 0, left: 0 };

    /// Whether there is none.
    pub fn is_none(self) -> bool {
        self == Padding::NONE
    }

    /// Each side as `change` makes it.
    pub(super) fn map(self, change: impl Fn(f64) -> f64) -> Padding {
        let Padding { top, right, bottom, left } = self;
        // a float to an integer saturates
        let [top, right, bottom, left] = [top, right, bottom, left].map(|side| change(f64::from(side)) as u16);
        Padding { top, right, bottom, left }
    }

    /// Multiplied, with halves rounded to even.
    #[must_use]
    pub fn times(self, factor: f64) -> Padding {
        self.map(|side| (side * factor).round_ties_even())
    }

    /// The size of a picture with this padding.
    pub fn around(self, inner: Size) -> Size {
        let Padding { top, right, bottom, left } = self;
        let length = |inner: u32, near: u16, far: u16| inner.saturating_add(u32::from(near) + u32::from(far));
        Size::new(length(inner.width, left, right), length(inner.height, top, bottom))
    }
}

impl ResizeOptions {
    /// Without the options that cannot matter to that resize.
    #[must_use]
    pub fn canonical(self, resize: Resize) -> ResizeOptions {
        let ResizeOptions { limit, dpr, offset, padding } = self;
        let is_limited = |target: TargetSize| !target.enlarge && target.width > 0 && target.height > 0;
        let limit = match (resize, limit) {
            (Resize::Cover(target, _) | Resize::Fill(target) | Resize::Auto(target, _), Limit::Sides)
            | (Resize::Contain(target) | Resize::Pad(target, _), Limit::Box)
                if is_limited(target) =>
            {
                limit
            }
            _ => Limit::Ratio,
        };
        let is_placed = matches!(resize, Resize::Cover(..) | Resize::Pad(..) | Resize::Auto(..) | Resize::Crop(..));
        ResizeOptions { limit, dpr, offset: if is_placed { offset } else { Offset::NONE }, padding }
    }
}
