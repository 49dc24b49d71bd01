//! How a part of an original becomes a result of some size: fitting, cropping, padding.
//!
//! Pure arithmetic on sizes; no pixels are read here.

use tintype_pixels::{Region, Size};

/// The position of a crop in the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gravity {
    /// A point that stays as near to the middle as the edges allow, in 1/10000 of the width and the height; the compass
    /// words are the points at 0, a half and 1.
    Point(u16, u16),
    /// The region with the highest saliency.
    Smart,
}

impl Gravity {
    /// The middle.
    pub const CENTER: Gravity = Gravity::Point(5000, 5000);

    /// The offset of a window of `inner` in `outer` that has the point at `at` (1/10000) in its middle, kept inside.
    fn offset(at: u16, outer: f64, inner: f64) -> f64 {
        (outer * f64::from(at) / 10_000.0 - inner / 2.0).clamp(0.0, (outer - inner).max(0.0))
    }
}

/// An aspect ratio as a fraction in lowest terms, width to height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ratio {
    /// The width's part.
    pub width: u32,
    /// The height's part.
    pub height: u32,
}

impl Ratio {
    /// The fraction in lowest terms; `None` where a part is 0.
    pub fn new(width: u32, height: u32) -> Option<Ratio> {
        let divisor = gcd(width, height);
        (width > 0 && height > 0).then(|| Ratio { width: width / divisor, height: height / divisor })
    }

    /// Width divided by height.
    pub fn value(self) -> f64 {
        f64::from(self.width) / f64::from(self.height)
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

/// The size of the result, and the part of the original that it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Resize {
    /// The original's own size.
    #[default]
    Native,
    /// As large as fits in the box, keeping the ratio. At least one side is given.
    Contain(TargetSize),
    /// As small as covers the box, keeping the ratio, nothing cut off. Both sides are given.
    Outside(TargetSize),
    /// The box itself, stretched. Both sides are given.
    Fill(TargetSize),
    /// The box itself, what does not fit is cut off. Both sides are given.
    Cover(TargetSize, Gravity),
    /// The box itself, what is left over is background. At least one side is given.
    Pad(TargetSize, Gravity),
    /// The largest part of that ratio, at the original's own scale.
    Crop(Ratio, Gravity),
}

/// The requested box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TargetSize {
    /// Width, or 0 where it follows from the height.
    pub width: u32,
    /// Height, or 0 where it follows from the width.
    pub height: u32,
    /// Whether the result may be larger than the original.
    pub enlarge: bool,
}

/// How a region becomes a picture: which part is read, the size it is resized to, and the canvas it stands on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fitted {
    /// The width and height of the part that is shown, in pixels of the original.
    pub shown: (f64, f64),
    /// The size of that part in the result.
    pub size: Size,
    /// The size of the whole result, larger than `size` only when padded.
    pub canvas: Size,
    /// Where the shown part lies in the original, and on the canvas.
    pub gravity: Gravity,
}

impl Fitted {
    /// Whether the shown part has another size in the result than in the original.
    pub(crate) fn resamples(&self) -> bool {
        self.shown != (f64::from(self.size.width), f64::from(self.size.height))
    }

    /// The shown part within `region`, for a gravity that needs no look at the pixels; `Smart` counts as the middle.
    pub fn window(&self, region: Region) -> Region {
        let (x, y) = match self.gravity {
            Gravity::Point(x, y) => (x, y),
            Gravity::Smart => (5000, 5000),
        };
        let left = Gravity::offset(x, region.width, self.shown.0);
        let top = Gravity::offset(y, region.height, self.shown.1);
        self.window_at(region, left, top)
    }

    /// The shown part with its corner at `left`, `top` within `region`.
    pub fn window_at(&self, region: Region, left: f64, top: f64) -> Region {
        let (width, height) = self.shown;
        // at the original's own scale a window between pixels would blur what could be copied
        let copies = width == f64::from(self.size.width) && height == f64::from(self.size.height);
        let (left, top) = if copies { (left.round(), top.round()) } else { (left, top) };
        let left = left.clamp(0.0, (region.width - width).max(0.0));
        let top = top.clamp(0.0, (region.height - height).max(0.0));
        Region { x: region.x + left, y: region.y + top, width, height }
    }

    /// Where the picture stands on its canvas: the left and the top edge in pixels.
    pub fn offset(&self) -> (u32, u32) {
        let (x, y) = match self.gravity {
            Gravity::Point(x, y) => (x, y),
            Gravity::Smart => (5000, 5000),
        };
        let at = |fraction: u16, outer: u32, inner: u32| {
            // on a canvas a gravity aligns: 0 at the near edge, a half in the middle, 1 at the far edge
            (f64::from(outer.saturating_sub(inner)) * f64::from(fraction) / 10_000.0).floor() as u32
        };
        (at(x, self.canvas.width, self.size.width), at(y, self.canvas.height, self.size.height))
    }
}

impl Resize {
    /// Fits a region like [`fit`](Resize::fit). A result with more pixels than the region has at most `max_enlarged`
    /// pixels, or as many as the region: a larger one is scaled down, keeping its ratio.
    pub fn fit_within(self, width: f64, height: f64, max: u32, max_enlarged: u64) -> Fitted {
        let fitted = self.fit(width, height, max);
        let limit = (max_enlarged as f64).max(width * height);
        let is_within = |fitted: &Fitted| fitted.canvas.pixels() as f64 <= limit;
        if is_within(&fitted) {
            return fitted;
        }
        let Size { width: across, height: down } = fitted.canvas;
        let ratio = f64::from(across.max(down)) / f64::from(across.min(down));
        // rounding of the shorter side may put the first one a row beyond the limit
        let longest = ((limit * ratio).sqrt() as u32).min(max);
        let mut sides = (1..=longest).rev().map(|side| self.fit(width, height, side));
        sides.find(is_within).unwrap_or(fitted)
    }

    /// Fits a region of `width` × `height` pixels; no side of the result is longer than `max`.
    pub fn fit(self, width: f64, height: f64, max: u32) -> Fitted {
        match self {
            Resize::Native => scaled(width, height, 1.0, max),
            Resize::Contain(target) => scaled(width, height, target.scale(width, height, f64::min), max),
            Resize::Outside(target) => scaled(width, height, target.scale(width, height, f64::max), max),
            Resize::Fill(target) => {
                let size = target.shrunk(width, height, max);
                Fitted { shown: (width, height), size, canvas: size, gravity: Gravity::CENTER }
            }
            Resize::Cover(target, gravity) => {
                let size = target.shrunk(width, height, max);
                cropped(width, height, f64::from(size.width) / f64::from(size.height), Some(size), gravity, max)
            }
            Resize::Pad(target, gravity) => {
                let canvas = target.canvas(width, height, max);
                let scale = target.scale(width, height, f64::min);
                let inner = scaled(width, height, scale, canvas.width.max(canvas.height));
                let size = Size::new(inner.size.width.min(canvas.width), inner.size.height.min(canvas.height));
                Fitted { shown: (width, height), size, canvas, gravity }
            }
            Resize::Crop(ratio, gravity) => cropped(width, height, ratio.value(), None, gravity, max),
        }
    }
}

impl TargetSize {
    /// The scale at which the given sides are met, the smaller or the larger of the two as `choose` says.
    fn scale(self, width: f64, height: f64, choose: fn(f64, f64) -> f64) -> f64 {
        let scale = match (self.width, self.height) {
            (0, 0) => 1.0,
            (0, target) => f64::from(target) / height,
            (target, 0) => f64::from(target) / width,
            (w, h) => choose(f64::from(w) / width, f64::from(h) / height),
        };
        if self.enlarge { scale } else { scale.min(1.0) }
    }

    /// The box scaled down, keeping its own ratio, until nothing of the original would be enlarged.
    fn shrunk(self, width: f64, height: f64, max: u32) -> Size {
        let (w, h) = (f64::from(self.width), f64::from(self.height));
        let limit = f64::from(max);
        let mut factor = 1.0_f64.min(limit / w).min(limit / h);
        if !self.enlarge {
            factor = factor.min(width / w).min(height / h);
        }
        Size::new(side(w * factor, max), side(h * factor, max))
    }

    /// The box with a missing side filled in from the original's ratio.
    fn canvas(self, width: f64, height: f64, max: u32) -> Size {
        let (w, h) = match (self.width, self.height) {
            (0, h) => (f64::from(h) * width / height, f64::from(h)),
            (w, 0) => (f64::from(w), f64::from(w) * height / width),
            (w, h) => (f64::from(w), f64::from(h)),
        };
        let factor = 1.0_f64.min(f64::from(max) / w).min(f64::from(max) / h);
        Size::new(side(w * factor, max), side(h * factor, max))
    }
}

/// All of the region at a scale, smaller where a side would pass `max`.
fn scaled(width: f64, height: f64, scale: f64, max: u32) -> Fitted {
    let scale = scale.min(f64::from(max) / width).min(f64::from(max) / height);
    let size = Size::new(side(width * scale, max), side(height * scale, max));
    Fitted { shown: (width, height), size, canvas: size, gravity: Gravity::CENTER }
}

/// The largest part of that ratio, at `size` or at its own scale.
fn cropped(width: f64, height: f64, ratio: f64, size: Option<Size>, gravity: Gravity, max: u32) -> Fitted {
    let shown = if width > height * ratio { (height * ratio, height) } else { (width, width / ratio) };
    // division errors are removed, so that a region at its own scale is copied and not resampled
    let snapped = |length: f64| if (length - length.round()).abs() < EPSILON { length.round() } else { length };
    let shown = (snapped(shown.0), snapped(shown.1));
    // a part narrower than a pixel still shows one
    let mut shown = (shown.0.clamp(1.0_f64.min(width), width), shown.1.clamp(1.0_f64.min(height), height));
    let size = size.unwrap_or_else(|| {
        shown = ((shown.0 + EPSILON).round().max(1.0), (shown.1 + EPSILON).round().max(1.0));
        scaled(shown.0, shown.1, 1.0, max).size
    });
    Fitted { shown, size, canvas: size, gravity }
}

/// The largest error of a division, in pixels.
const EPSILON: f64 = 1e-6;

/// A length in whole pixels: rounded to nearest, at least 1 (a 4000 × 2 line at width 10 is still a line).
fn side(length: f64, max: u32) -> u32 {
    // a half stays a half despite division errors
    ((length + EPSILON).round() as u32).clamp(1, max.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(width: u32, height: u32) -> TargetSize {
        TargetSize { width, height, enlarge: false }
    }

    fn enlarging(width: u32, height: u32) -> TargetSize {
        TargetSize { width, height, enlarge: true }
    }

    #[test]
    fn crop_at_native_scale_is_not_resampled() {
        for side in 1..400 {
            for (size, from) in [((600, side), (600.0, 400.0)), ((side, 400), (600.0, 400.0))] {
                let fitted = Resize::Cover(target(size.0, size.1), Gravity::CENTER).fit(from.0, from.1, 8192);
                assert!(!fitted.resamples(), "{size:?} of {from:?}: {:?}", fitted.shown);
            }
        }
    }

    #[test]
    fn resize_modes_give_expected_sizes() {
        let check = |resize: Resize, from: (u32, u32), size: (u32, u32), canvas: (u32, u32)| {
            let fitted = resize.fit(from.0.into(), from.1.into(), 8192);
            let got = ((fitted.size.width, fitted.size.height), (fitted.canvas.width, fitted.canvas.height));
            assert_eq!(got, (size, canvas), "{resize:?} of {from:?}");
        };
        let c = Gravity::CENTER;
        check(Resize::Native, (4000, 3000), (4000, 3000), (4000, 3000));
        check(Resize::Native, (20_000, 100), (8192, 41), (8192, 41));
        check(Resize::Contain(target(800, 0)), (4000, 3000), (800, 600), (800, 600));
        check(Resize::Contain(target(0, 600)), (4000, 3000), (800, 600), (800, 600));
        check(Resize::Contain(target(113, 0)), (200, 100), (113, 57), (113, 57));
        check(Resize::Contain(target(82, 0)), (400, 300), (82, 62), (82, 62));
        check(Resize::Contain(target(0, 138)), (300, 400), (104, 138), (104, 138));
        check(Resize::Contain(target(800, 800)), (3000, 4000), (600, 800), (600, 800));
        check(Resize::Contain(target(800, 0)), (333, 500), (333, 500), (333, 500));
        check(Resize::Contain(enlarging(800, 0)), (400, 333), (800, 666), (800, 666));
        check(Resize::Contain(target(10, 0)), (4000, 2), (10, 1), (10, 1));
        check(Resize::Contain(target(100, 0)), (10, 5000), (10, 5000), (10, 5000));
        check(Resize::Contain(enlarging(100, 0)), (10, 5000), (16, 8192), (16, 8192));
        check(Resize::Outside(target(800, 800)), (4000, 3000), (1067, 800), (1067, 800));
        check(Resize::Outside(target(800, 800)), (1000, 400), (1000, 400), (1000, 400));
        check(Resize::Fill(target(100, 300)), (4000, 3000), (100, 300), (100, 300));
        check(Resize::Fill(target(8000, 3000)), (4000, 3000), (4000, 1500), (4000, 1500));
        check(Resize::Cover(target(500, 500), c), (4000, 3000), (500, 500), (500, 500));
        check(Resize::Cover(target(900, 900), c), (1000, 750), (750, 750), (750, 750));
        check(Resize::Cover(enlarging(900, 900), c), (1000, 750), (900, 900), (900, 900));
        let tall = Ratio::new(7, 10).expect("a ratio");
        check(Resize::Crop(tall, c), (354, 355), (249, 355), (249, 355));
        check(Resize::Crop(tall, c), (400, 45), (32, 45), (32, 45));
        check(Resize::Pad(target(800, 800), c), (4000, 3000), (800, 600), (800, 800));
        check(Resize::Pad(target(800, 800), c), (400, 300), (400, 300), (800, 800));
        check(Resize::Pad(enlarging(800, 800), c), (400, 300), (800, 600), (800, 800));
        check(Resize::Pad(target(800, 0), c), (400, 300), (400, 300), (800, 600));
        check(Resize::Crop(Ratio { width: 1, height: 1 }, c), (4000, 3000), (3000, 3000), (3000, 3000));
        check(Resize::Crop(Ratio { width: 16, height: 9 }, c), (4000, 3000), (4000, 2250), (4000, 2250));
    }

    #[test]
    fn crop_windows_stay_inside_the_original() {
        let region = Region::whole(Size::new(1000, 750));
        let fitted = Resize::Cover(target(750, 750), Gravity::CENTER).fit(1000.0, 750.0, 8192);
        assert_eq!(fitted.window(region), Region { x: 125.0, y: 0.0, width: 750.0, height: 750.0 });
        let fitted = Resize::Cover(target(300, 300), Gravity::Point(10_000, 0)).fit(1000.0, 750.0, 8192);
        assert_eq!(fitted.window(region), Region { x: 250.0, y: 0.0, width: 750.0, height: 750.0 });
        let fitted = Resize::Cover(target(300, 300), Gravity::Point(4000, 0)).fit(1000.0, 750.0, 8192);
        assert_eq!(fitted.window(region), Region { x: 25.0, y: 0.0, width: 750.0, height: 750.0 });
    }

    #[test]
    fn padding_follows_gravity() {
        let check = |gravity: Gravity, expected: (u32, u32)| {
            assert_eq!(Resize::Pad(target(100, 100), gravity).fit(50.0, 20.0, 8192).offset(), expected);
        };
        check(Gravity::CENTER, (25, 40));
        check(Gravity::Point(0, 0), (0, 0));
        check(Gravity::Point(10_000, 10_000), (50, 80));
    }

    proptest::proptest! {
        #[test]
        fn no_fit_passes_its_limits(
            w in 1u32..70_000, h in 1u32..70_000, ww in 0u32..9000, wh in 0u32..9000,
            enlarge: bool, x in 0u16..=10_000, y in 0u16..=10_000, kind in 0usize..6,
        ) {
            let target = TargetSize { width: ww, height: wh, enlarge };
            let both = TargetSize { width: ww.max(1), height: wh.max(1), enlarge };
            let g = Gravity::Point(x, y);
            let ratio = Ratio::new(ww.max(1), wh.max(1)).expect("no side is 0");
            let resize = [
                Resize::Contain(target), Resize::Outside(both), Resize::Fill(both),
                Resize::Cover(both, g), Resize::Pad(both, g), Resize::Crop(ratio, g),
            ][kind];
            let fitted = resize.fit(w.into(), h.into(), 8192);
            let within = resize.fit_within(w.into(), h.into(), 8192, 1_000_000);
            assert!(within.canvas.pixels() <= fitted.canvas.pixels().min(1_000_000.max(u64::from(w) * u64::from(h))));
            if within != fitted {
                assert!(within.canvas.pixels() > 900_000 || within.canvas.width.min(within.canvas.height) < 20, "{within:?}");
            }
            assert!(fitted.canvas.width <= 8192 && fitted.canvas.height <= 8192);
            assert!(fitted.size.width >= 1 && fitted.size.height >= 1);
            assert!(fitted.size.width <= fitted.canvas.width && fitted.size.height <= fitted.canvas.height);
            let window = fitted.window(Region::whole(Size::new(w, h)));
            assert!(window.x >= 0.0 && window.y >= 0.0);
            assert!(window.x + window.width <= f64::from(w) + 1e-6, "{window:?}");
            assert!(window.y + window.height <= f64::from(h) + 1e-6, "{window:?}");
            if !enlarge {
                assert!(fitted.size.width <= w.max(1) && fitted.size.height <= h.max(1), "{fitted:?}");
            }
            if let Resize::Contain(_) = resize {
                // the ratio is kept within half a pixel of either side
                let exact = f64::from(fitted.size.width) * f64::from(h) / f64::from(w);
                let other = f64::from(fitted.size.height) * f64::from(w) / f64::from(h);
                let close = (exact - f64::from(fitted.size.height)).abs() <= 0.51 + 0.5 * f64::from(h) / f64::from(w)
                    || (other - f64::from(fitted.size.width)).abs() <= 0.51 + 0.5 * f64::from(w) / f64::from(h);
                assert!(close || fitted.size.width == 1 || fitted.size.height == 1, "{fitted:?}");
            }
        }
    }
}
