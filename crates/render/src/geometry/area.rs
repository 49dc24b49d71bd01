//! The part of an original that is used, where it is not said in pixels from the corner.

use serde::{Deserialize, Serialize};

use tintype_pixels::{Rect, Size};

use super::{Gravity, Padding};

/// The part of an original that is used, relative to its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Area {
    /// A rectangle of which some lengths are shares.
    Rect {
        /// Left edge.
        x: Length,
        /// Top edge.
        y: Length,
        /// Columns.
        width: Length,
        /// Rows.
        height: Length,
    },
    /// A part of that size at a position.
    Window {
        /// Columns; all without a length, or where it is 0.
        width: Length,
        /// Rows; all without a length, or where it is 0.
        height: Length,
        /// Its place. [`Gravity::Smart`] counts as the middle.
        gravity: Gravity,
        /// Its distance from that place, in 1/10000: from 10000 on in pixels, below that a share of the original.
        offset: super::Offset,
    },
    /// Everything but so many pixels at each edge.
    Inset(Padding),
}

/// A length along a side of the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Length {
    /// In pixels.
    Pixels(u32),
    /// In 1/10000 of the side.
    Share(u16),
}

impl Length {
    /// In pixels of a side of that length, rounded to nearest.
    fn of(self, all: u32) -> u32 {
        match self {
            Length::Pixels(pixels) => pixels,
            Length::Share(share) => (f64::from(all) * f64::from(share) / 10_000.0).round() as u32,
        }
    }
}

impl Area {
    /// The part in pixels of an original of that size. It is at least a pixel wide and high; a window and an inset lie within the
    /// original, a rectangle may reach beyond it.
    pub fn of(self, size: Size) -> Rect {
        match self {
            Area::Rect { x, y, width, height } => Rect {
                x: x.of(size.width),
                y: y.of(size.height),
                width: width.of(size.width).max(1),
                height: height.of(size.height).max(1),
            },
            Area::Window { width, height, gravity, offset } => {
                let (at_x, at_y) = gravity.point();
                let (dx, dy) =
                    offset.shift(Gravity::Point(at_x, at_y), (size.width.into(), size.height.into()), (1.0, 1.0));
                let (x, width) = window(width, size.width, at_x, dx);
                let (y, height) = window(height, size.height, at_y, dy);
                Rect { x, y, width, height }
            }
            Area::Inset(Padding { top, right, bottom, left }) => {
                let (x, width) = inset(size.width, left, right);
                let (y, height) = inset(size.height, top, bottom);
                Rect { x, y, width, height }
            }
        }
    }
}

/// The first pixel and the length of a window along a side of `all` pixels.
fn window(length: Length, all: u32, at: u16, shift: f64) -> (u32, u32) {
    let length = match length {
        Length::Pixels(0) | Length::Share(0) => all,
        length => length.of(all).clamp(1, all.max(1)),
    };
    let (outer, inner) = (f64::from(all), f64::from(length));
    let first = Gravity::offset(at, outer, inner) + shift;
    (first.round().clamp(0.0, (outer - inner).max(0.0)) as u32, length)
}

/// The first pixel and the length of what is left of `all` pixels; always one.
fn inset(all: u32, near: u16, far: u16) -> (u32, u32) {
    let first = u32::from(near).min(all.saturating_sub(1));
    (first, (all - first).saturating_sub(far.into()).max(1))
}

#[cfg(test)]
mod tests {
    use super::super::Offset;
    use super::*;

    const SIZE: Size = Size::new(600, 400);

    fn check(area: Area, expected: (u32, u32, u32, u32)) {
        let (x, y, width, height) = expected;
        assert_eq!(area.of(SIZE), Rect { x, y, width, height }, "{area:?}");
    }

    #[test]
    fn rectangles_in_shares() {
        let rect = |x, y, width, height| Area::Rect { x, y, width, height };
        let (pixels, share) = (Length::Pixels, Length::Share);
        check(rect(share(2500), share(1000), share(5000), share(5000)), (150, 40, 300, 200));
        check(rect(pixels(10), share(1000), pixels(50), share(3333)), (10, 40, 50, 133));
        check(rect(share(0), share(0), share(1), share(0)), (0, 0, 1, 1));
    }

    #[test]
    fn windows_at_positions() {
        let window = |width, height, gravity, x, y| Area::Window { width, height, gravity, offset: Offset { x, y } };
        let (pixels, half) = (Length::Pixels, Length::Share(5000));
        let (top, corner) = (Gravity::Point(5000, 0), Gravity::Point(10_000, 10_000));
        check(window(pixels(400), pixels(300), Gravity::CENTER, 0, 0), (100, 50, 400, 300));
        check(window(half, half, corner, 0, 0), (300, 200, 300, 200));
        check(window(pixels(200), pixels(100), top, 100_000, 200_000), (210, 20, 200, 100));
        // away from the edges that are named
        check(window(pixels(200), pixels(100), corner, 100_000, 200_000), (390, 280, 200, 100));
        check(window(pixels(200), pixels(100), Gravity::CENTER, 1000, -1000), (260, 110, 200, 100));
        check(window(pixels(0), pixels(100), top, 0, 0), (0, 0, 600, 100));
        check(window(pixels(900), pixels(401), corner, 0, 0), (0, 0, 600, 400));
        check(window(pixels(100), pixels(100), Gravity::Point(10_000, 0), -9_000_000, 0), (500, 0, 100, 100));
    }

    #[test]
    fn insets_leave_a_pixel() {
        let inset = |top, right, bottom, left| Area::Inset(Padding { top, right, bottom, left });
        check(inset(20, 30, 20, 0), (0, 20, 570, 360));
        check(inset(300, 200, 300, 200), (200, 300, 200, 1));
        check(inset(0, 0, 0, 900), (599, 0, 1, 400));
    }

    proptest::proptest! {
        #[test]
        fn windows_and_insets_stay_inside(
            w in 1u32..5000, h in 1u32..5000, ww in 0u32..6000, share in 0u16..=10_000, x in 0u16..=10_000, y in 0u16..=10_000,
            dx in -100_000_000i32..100_000_000, dy in -10_000i32..10_000, sides: [u16; 4],
        ) {
            let (width, height, gravity) = (Length::Pixels(ww), Length::Share(share), Gravity::Point(x, y));
            let [top, right, bottom, left] = sides;
            for area in [
                Area::Window { width, height, gravity, offset: Offset { x: dx, y: dy } },
                Area::Inset(Padding { top, right, bottom, left }),
            ] {
                let rect = area.of(Size::new(w, h));
                assert!(rect.width >= 1 && rect.height >= 1, "{rect:?}");
                assert!(rect.x + rect.width <= w && rect.y + rect.height <= h, "{rect:?}");
            }
        }
    }
}
