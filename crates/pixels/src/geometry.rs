//! Sizes, rectangles, regions and orientations.
//!
//! Comments name three coordinate systems: *stored* (the rows as the file has them), *upright* (after the EXIF orientation) and
//! *displayed* (after `rotate` and `flip`, too).

use serde::{Deserialize, Serialize};

use crate::wire;

/// A width and a height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// A size of `width` × `height` pixels.
    pub const fn new(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    /// Width times height.
    pub const fn pixels(self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// The size of a picture of this size that is decoded at that scale: sides are rounded up, as in all decoders.
    pub const fn scaled(self, scale: DctScale) -> Size {
        let n = scale.eighths() as u64;
        Size { width: (self.width as u64 * n).div_ceil(8) as u32, height: (self.height as u64 * n).div_ceil(8) as u32 }
    }

    /// Whether a picture can be of this size: at least one pixel, and sides that no arithmetic here overflows with.
    pub(crate) fn has_valid_sides(self) -> bool {
        let sides = 1..1 << 29;
        sides.contains(&self.width) && sides.contains(&self.height)
    }

    /// The same size lying on its side.
    pub const fn transposed(self) -> Size {
        Size { width: self.height, height: self.width }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A scale n/8, 1/8 to 8/8, at which a decoder returns a picture: each block of 8 × 8 coefficients becomes n × n samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8")]
pub struct DctScale(u8);

impl DctScale {
    /// 8/8, the picture's own size.
    pub const FULL: DctScale = DctScale(8);

    /// The scale `eighths`/8.
    ///
    /// # Panics
    /// If `eighths` is not 1 to 8.
    pub const fn new(eighths: u32) -> DctScale {
        assert!(eighths >= 1 && eighths <= 8, "a scale has one to eight eighths");
        DctScale(eighths as u8)
    }

    /// Its numerator, 1 to 8.
    pub const fn eighths(self) -> u32 {
        self.0 as u32
    }

    /// The scaled length of one pixel, 0.125 to 1.
    pub fn factor(self) -> f64 {
        f64::from(self.0) / 8.0
    }

    /// The smallest of 1/8, 1/4, 1/2 and 1 that is not smaller: the scales that every decoder with a scaled IDCT has.
    #[must_use]
    pub const fn next_power_of_two(self) -> DctScale {
        DctScale(self.0.next_power_of_two())
    }
}

impl TryFrom<u8> for DctScale {
    type Error = &'static str;

    fn try_from(eighths: u8) -> Result<DctScale, &'static str> {
        (1..=8).contains(&eighths).then_some(DctScale(eighths)).ok_or("a scale has one to eight eighths")
    }
}

impl Default for DctScale {
    fn default() -> DctScale {
        DctScale::FULL
    }
}

impl std::fmt::Display for DctScale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/8", self.0)
    }
}

/// A rectangle in whole pixels, as a user asks for it with `rect=x,y,w,h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Columns, at least 1.
    #[serde(deserialize_with = "wire::positive")]
    pub width: u32,
    /// Rows, at least 1.
    #[serde(deserialize_with = "wire::positive")]
    pub height: u32,
}

impl Rect {
    /// The part of this rectangle inside an image of `size` whose corner is at `left`, `top`, in the pixels of that image; `None` if
    /// the part is the whole image.
    pub fn relative_to(self, left: u32, top: u32, size: Size) -> Option<Rect> {
        let inside = |from: u32, length: u32, corner: u32, all: u32| {
            let first = from.saturating_sub(corner).min(all.saturating_sub(1));
            (first, from.saturating_add(length).saturating_sub(corner).clamp(first + 1, all.max(first + 1)) - first)
        };
        let ((x, width), (y, height)) =
            (inside(self.x, self.width, left, size.width), inside(self.y, self.height, top, size.height));
        let rect = Rect { x, y, width, height };
        (rect != Rect { x: 0, y: 0, width: size.width, height: size.height }).then_some(rect)
    }
}

/// A part of a picture with edges between pixels: what a resize reads from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Left edge in pixels, 0 is the picture's own.
    pub x: f64,
    /// Top edge in pixels.
    pub y: f64,
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels.
    pub height: f64,
}

impl Region {
    /// All of a picture of that size.
    pub fn whole(size: Size) -> Region {
        Region { x: 0.0, y: 0.0, width: size.width.into(), height: size.height.into() }
    }

    /// The part of `rect` that lies in a picture of that size, or `None` where none does.
    pub fn of_rect(rect: Rect, size: Size) -> Option<Region> {
        if rect.x >= size.width || rect.y >= size.height {
            return None;
        }
        let width = rect.width.min(size.width - rect.x);
        let height = rect.height.min(size.height - rect.y);
        Some(Region { x: rect.x.into(), y: rect.y.into(), width: width.into(), height: height.into() })
    }

    /// The same part of a picture that was scaled by `factor`.
    pub fn scaled(self, factor: f64) -> Region {
        Region { x: self.x * factor, y: self.y * factor, width: self.width * factor, height: self.height * factor }
    }
}

/// One of the eight ways to turn and mirror a picture (the dihedral group D4): a transposition, then mirrors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Orientation {
    /// Rows become columns, before the mirrors.
    pub transpose: bool,
    /// Left and right change places.
    pub mirror_x: bool,
    /// Top and bottom change places.
    pub mirror_y: bool,
}

impl Orientation {
    /// The identity.
    pub const UPRIGHT: Orientation = Orientation { transpose: false, mirror_x: false, mirror_y: false };

    const fn new(transpose: bool, mirror_x: bool, mirror_y: bool) -> Orientation {
        Orientation { transpose, mirror_x, mirror_y }
    }

    /// The transformation to upright for a value of the EXIF tag 0x0112 (EXIF 2.32 §4.6.4). Values outside of 1 to 8 occur in
    /// real files and are ignored.
    pub const fn from_exif(value: u32) -> Orientation {
        match value {
            2 => Self::new(false, true, false),
            3 => Self::new(false, true, true),
            4 => Self::new(false, false, true),
            5 => Self::new(true, false, false),
            6 => Self::new(true, true, false),
            7 => Self::new(true, true, true),
            8 => Self::new(true, false, true),
            _ => Self::UPRIGHT,
        }
    }

    /// The EXIF value of this orientation, 1 to 8.
    pub const fn to_exif(self) -> u8 {
        match (self.transpose, self.mirror_x, self.mirror_y) {
            (false, false, false) => 1,
            (false, true, false) => 2,
            (false, true, true) => 3,
            (false, false, true) => 4,
            (true, false, false) => 5,
            (true, true, false) => 6,
            (true, true, true) => 7,
            (true, false, true) => 8,
        }
    }

    /// Turning clockwise by that many quarter turns.
    pub const fn quarter_turns(turns: u32) -> Orientation {
        match turns % 4 {
            0 => Self::UPRIGHT,
            1 => Self::from_exif(6),
            2 => Self::from_exif(3),
            _ => Self::from_exif(8),
        }
    }

    /// This transformation followed by `next`.
    pub const fn then(self, next: Orientation) -> Orientation {
        // transposing a mirrored picture is mirroring the transposed one along the other axis
        let (x, y) = if next.transpose { (self.mirror_y, self.mirror_x) } else { (self.mirror_x, self.mirror_y) };
        Self::new(self.transpose ^ next.transpose, x ^ next.mirror_x, y ^ next.mirror_y)
    }

    /// The inverse transformation.
    pub const fn inverse(self) -> Orientation {
        if self.transpose { Self::new(true, self.mirror_y, self.mirror_x) } else { self }
    }

    /// The size of a picture of `size` after this.
    pub const fn apply(self, size: Size) -> Size {
        if self.transpose { size.transposed() } else { size }
    }

    /// Where a region of a picture of `size` is found after this.
    pub fn map(self, region: Region, size: Size) -> Region {
        let mut out = region;
        if self.transpose {
            out = Region { x: region.y, y: region.x, width: region.height, height: region.width };
        }
        let after = self.apply(size);
        if self.mirror_x {
            out.x = f64::from(after.width) - out.x - out.width;
        }
        if self.mirror_y {
            out.y = f64::from(after.height) - out.y - out.height;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every() -> impl Iterator<Item = Orientation> {
        (1..=8).map(Orientation::from_exif)
    }

    #[test]
    fn scaled_sizes_are_rounded_up() {
        for (side, eighths, expected) in [(4031, 2, 1008), (1, 1, 1), (u32::MAX, 8, u32::MAX), (u32::MAX, 1, 1 << 29)] {
            let scaled = Size::new(side, side).scaled(DctScale::new(eighths));
            assert_eq!(scaled, Size::new(expected, expected), "{side} at {eighths}/8");
        }
    }

    #[test]
    fn sides_are_valid_from_one_to_a_bound() {
        const MAX: u32 = (1 << 29) - 1;
        for (width, height, expected) in
            [(1, 1, true), (MAX, MAX, true), (0, 1, false), (1, 0, false), (MAX + 1, 1, false), (1, MAX + 1, false)]
        {
            assert_eq!(Size::new(width, height).has_valid_sides(), expected, "{width}x{height}");
        }
    }

    #[test]
    fn values_are_shown_as_users_write_them() {
        assert_eq!(Size::new(3, 20).to_string(), "3x20");
        assert_eq!(DctScale::new(3).to_string(), "3/8");
    }

    #[test]
    fn scales_have_one_to_eight_eighths() {
        for eighths in 1..=8 {
            let scale = DctScale::try_from(eighths).expect("a scale");
            assert_eq!((scale.eighths(), scale.factor()), (eighths.into(), f64::from(eighths) * 0.125));
        }
        assert!(DctScale::try_from(0).is_err() && DctScale::try_from(9).is_err());
    }

    #[test]
    fn rectangle_is_found_in_a_part_of_the_image() {
        let rect = |x, y, width, height| Rect { x, y, width, height };
        // the rectangle, the corner and the size of the part, and where the rectangle lies in it
        for (asked, left, top, size, expected) in [
            (rect(10, 20, 30, 40), 0, 0, Size::new(100, 200), Some(rect(10, 20, 30, 40))),
            (rect(10, 20, 30, 40), 4, 7, Size::new(100, 200), Some(rect(6, 13, 30, 40))),
            // it begins before the part, ends behind it, or both
            (rect(10, 20, 30, 40), 15, 21, Size::new(100, 200), Some(rect(0, 0, 25, 39))),
            (rect(10, 20, 30, 40), 0, 0, Size::new(35, 50), Some(rect(10, 20, 25, 30))),
            (rect(10, 20, 30, 40), 12, 24, Size::new(20, 30), None),
            (rect(10, 20, 30, 40), 12, 24, Size::new(20, 90), Some(rect(0, 0, 20, 36))),
            (rect(10, 20, 30, 40), 12, 24, Size::new(90, 30), Some(rect(0, 0, 28, 30))),
            // outside: the nearest pixels of the part
            (rect(10, 20, 30, 40), 50, 70, Size::new(9, 8), Some(rect(0, 0, 1, 1))),
            (rect(10, 20, 30, 40), 0, 0, Size::new(5, 6), Some(rect(4, 5, 1, 1))),
            (rect(u32::MAX, 1, u32::MAX, 1), 0, 0, Size::new(5, 6), Some(rect(4, 1, 1, 1))),
            // a size of nothing, which no image has
            (rect(10, 20, 30, 40), 0, 0, Size::new(0, 0), Some(rect(0, 0, 1, 1))),
        ] {
            assert_eq!(asked.relative_to(left, top, size), expected, "{asked:?} in {size} at {left},{top}");
        }
    }

    #[test]
    fn region_of_a_rectangle_ends_at_the_image() {
        let size = Size::new(10, 20);
        for (x, y, width, height, expected) in [
            (0, 0, 10, 20, Some((0.0, 0.0, 10.0, 20.0))),
            (3, 4, 5, 6, Some((3.0, 4.0, 5.0, 6.0))),
            (3, 4, 50, 60, Some((3.0, 4.0, 7.0, 16.0))),
            (9, 19, 2, 2, Some((9.0, 19.0, 1.0, 1.0))),
            (10, 0, 1, 1, None),
            (0, 20, 1, 1, None),
        ] {
            let region = Region::of_rect(Rect { x, y, width, height }, size);
            let expected = expected.map(|(x, y, width, height)| Region { x, y, width, height });
            assert_eq!(region, expected, "{x},{y},{width},{height}");
            let Some(region) = region else { continue };
            let Region { x, y, width, height } = region.scaled(0.25);
            assert_eq!(
                (x * 4.0, y * 4.0, width * 4.0, height * 4.0),
                (region.x, region.y, region.width, region.height)
            );
        }
    }

    #[test]
    fn exif_orientations_put_the_first_pixel_where_the_standard_says() {
        // where row 0 and column 0 of the file are, EXIF 2.32 §4.6.4: the corner of the first pixel, displayed
        let size = Size::new(5, 3);
        let first = Region { x: 0.0, y: 0.0, width: 1.0, height: 1.0 };
        for (value, transposed, right, bottom) in [
            (1, false, false, false),
            (2, false, true, false),
            (3, false, true, true),
            (4, false, false, true),
            (5, true, false, false),
            (6, true, true, false),
            (7, true, true, true),
            (8, true, false, true),
            (0, false, false, false),
            (9, false, false, false),
        ] {
            let orientation = Orientation::from_exif(value);
            let after = orientation.apply(size);
            assert_eq!(after, if transposed { Size::new(3, 5) } else { size }, "{value}");
            let expected = Region {
                x: if right { f64::from(after.width - 1) } else { 0.0 },
                y: if bottom { f64::from(after.height - 1) } else { 0.0 },
                ..first
            };
            assert_eq!(orientation.map(first, size), expected, "{value}");
        }
    }

    #[test]
    fn quarter_turns_are_clockwise() {
        for (turns, exif) in [(0, 1), (1, 6), (2, 3), (3, 8), (4, 1), (5, 6), (7, 8)] {
            assert_eq!(Orientation::quarter_turns(turns).to_exif(), exif, "{turns}");
        }
    }

    #[test]
    fn orientations_compose_and_invert() {
        let size = Size::new(3, 2);
        let spot = Region { x: 2.0, y: 0.0, width: 1.0, height: 1.0 };
        for a in every() {
            assert_eq!(Orientation::from_exif(a.to_exif().into()), a);
            assert_eq!(a.then(a.inverse()), Orientation::UPRIGHT);
            assert_eq!(a.inverse().then(a), Orientation::UPRIGHT);
            for b in every() {
                let composed = a.then(b).map(spot, size);
                let in_turn = b.map(a.map(spot, size), a.apply(size));
                assert_eq!(composed, in_turn, "{a:?} {b:?}");
            }
        }
        assert_eq!(Orientation::quarter_turns(1).then(Orientation::quarter_turns(3)), Orientation::UPRIGHT);
    }
}
