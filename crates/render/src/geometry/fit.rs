//! The arithmetic of fitting.
//!
//! A box and a device pixel ratio that are too large for the picture are reduced together. With `k` the scale at which the picture
//! meets the box:
//!
//! ```text
//! k ≥ 1:  scale = min(dpr × k, 1)      dpr' = scale, or min(dpr, 1) on a padded canvas
//! k < 1:  dpr'  = min(dpr, 1 / k)      scale = k × dpr'
//! ```
//!
//! The box is then dpr' as large, and so are padding and offset. Source: imgproxy's `calcScale`, whose URLs a dialect answers.

use tintype_pixels::Size;

use super::{Fitted, Gravity, Limit, Offset, Resize, ResizeOptions, TargetSize};

/// A resize and its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Sizing {
    /// The mode and the box.
    pub resize: Resize,
    /// All else.
    pub options: ResizeOptions,
}

impl From<Resize> for Sizing {
    fn from(resize: Resize) -> Sizing {
        Sizing { resize, options: ResizeOptions::default() }
    }
}

impl Resize {
    /// [`Sizing::fit_within`] without options.
    pub fn fit_within(self, width: f64, height: f64, max: u32, max_enlarged: u64) -> Fitted {
        Sizing::from(self).fit_within(width, height, max, max_enlarged)
    }

    /// [`Sizing::fit`] without options.
    pub fn fit(self, width: f64, height: f64, max: u32) -> Fitted {
        Sizing::from(self).fit(width, height, max)
    }
}

impl Sizing {
    /// The same where results may be larger than the original.
    #[must_use]
    pub fn enlarging(self) -> Sizing {
        let Sizing { resize, options } = self;
        let larger = |target: TargetSize| TargetSize { enlarge: true, ..target };
        let resize = match resize {
            Resize::Native | Resize::Crop(..) => resize,
            Resize::Contain(target) => Resize::Contain(larger(target)),
            Resize::Outside(target) => Resize::Outside(larger(target)),
            Resize::Fill(target) => Resize::Fill(larger(target)),
            Resize::Cover(target, gravity) => Resize::Cover(larger(target), gravity),
            Resize::Pad(target, gravity) => Resize::Pad(larger(target), gravity),
            Resize::Auto(target, gravity) => Resize::Auto(larger(target), gravity),
        };
        Sizing { resize, options }
    }

    /// Fits a region like [`fit`](Sizing::fit). A result with more pixels than the region has at most `max_enlarged`
    /// pixels, or as many as the region: a larger one is scaled down, keeping its ratio.
    pub fn fit_within(self, width: f64, height: f64, max: u32, max_enlarged: u64) -> Fitted {
        self.fit_to_pixels(width, height, max, (max_enlarged as f64).max(width * height))
    }

    /// Fits a region like [`fit`](Sizing::fit) to at most `limit` pixels: a larger result is scaled down, keeping its ratio.
    pub(crate) fn fit_to_pixels(self, width: f64, height: f64, max: u32, limit: f64) -> Fitted {
        let fitted = self.fit(width, height, max);
        let is_within = |fitted: &Fitted| fitted.outer().pixels() as f64 <= limit;
        if is_within(&fitted) {
            return fitted;
        }
        let Size { width: across, height: down } = fitted.outer();
        let ratio = f64::from(across.max(down)) / f64::from(across.min(down));
        // rounding of the shorter side may put the first one a row beyond the limit
        let longest = ((limit * ratio).sqrt() as u32).min(max);
        let mut sides = (1..=longest).rev().map(|side| self.fit(width, height, side));
        sides.find(is_within).unwrap_or(fitted)
    }

    /// Sides that no [`fit`](Sizing::fit) of a part of a region has more of, padding included: for regions that pixels decide.
    pub(crate) fn largest(self, width: f64, height: f64, max: u32) -> Size {
        let (any, whole) = (Size::new(max, max), Size::new(side(width, max), side(height, max)));
        let own = |target: TargetSize| if target.enlarge { any } else { whole };
        // a ratio above 1 is reduced at most
        let dpr = self.dpr().max(1.0);
        let requested = |target: TargetSize| {
            let TargetSize { width, height, .. } = target.times(dpr);
            // a side that is not given follows from the ratio of the part
            let or_any = |length: u32| if length == 0 { max } else { length };
            Size::new(or_any(width), or_any(height))
        };
        let within = |one: Size, other: Size| Size::new(one.width.min(other.width), one.height.min(other.height));
        let canvas = match self.resize {
            Resize::Native | Resize::Crop(..) => whole,
            Resize::Outside(target) => own(target),
            // its canvas may be larger than the picture
            Resize::Pad(target, _) => requested(target),
            Resize::Contain(target) | Resize::Fill(target) | Resize::Cover(target, _) | Resize::Auto(target, _) => {
                within(requested(target), own(target))
            }
        };
        within(self.options.padding.times(dpr).around(canvas), any)
    }

    /// Fits a region of `width` × `height` pixels; no side of the result, padding included, is longer than `max`.
    pub fn fit(self, width: f64, height: f64, max: u32) -> Fitted {
        let (fitted, dpr) = self.fit_canvas(width, height, max);
        let padding = self.options.padding.times(dpr);
        let padded = Fitted { padding, ..fitted };
        if padding.is_none() || longest(padded.outer()) <= max {
            return padded;
        }
        // the canvas and its padding are scaled down together
        let (whole, _) = self.fit_canvas(width, height, u32::MAX);
        let factor = f64::from(max) / f64::from(longest(padding.around(whole.canvas)));
        let padding = padding.map(|side| (side * factor).floor());
        let first = (f64::from(longest(whole.canvas)) * factor) as u32;
        // rounding of the shorter side may put the first one a row beyond the limit
        let mut sides = (1..=first.max(1)).rev().map(|side| self.fit_canvas(width, height, side).0);
        let is_within = |fitted: &Fitted| longest(padding.around(fitted.canvas)) <= max;
        sides.find(is_within).map_or(fitted, |fitted| Fitted { padding, ..fitted })
    }

    /// The fit without padding, and the reduced device pixel ratio.
    fn fit_canvas(self, width: f64, height: f64, max: u32) -> (Fitted, f64) {
        let (fitted, dpr) = self.fit_centred(width, height, max);
        if self.options.offset == Offset::NONE {
            return (fitted, dpr);
        }
        let Fitted { shown, size, canvas, gravity, .. } = fitted;
        let across = (shown.0 < width || size.width < canvas.width, shown.0 / f64::from(size.width));
        let down = (shown.1 < height || size.height < canvas.height, shown.1 / f64::from(size.height));
        let (outer, pixel) = match self.resize {
            Resize::Pad(..) => ((f64::from(canvas.width), f64::from(canvas.height)), (dpr, dpr)),
            _ => ((width, height), (dpr * across.1, dpr * down.1)),
        };
        let shift = self.options.offset.shift(gravity, outer, pixel);
        // along an axis on which nothing is cut off or left over there is one place only
        let shift = (if across.0 { shift.0 } else { 0.0 }, if down.0 { shift.1 } else { 0.0 });
        (Fitted { shift, ..fitted }, dpr)
    }

    /// The fit without padding and offset, and the reduced device pixel ratio.
    fn fit_centred(self, width: f64, height: f64, max: u32) -> (Fitted, f64) {
        let scaling = |target, choose| self.scaling(target, choose, width, height);
        let is_by_sides = |target: TargetSize| self.options.limit == Limit::Sides && !target.enlarge;
        match self.resize {
            Resize::Native => (scaled(width, height, 1.0, max), self.own_dpr()),
            Resize::Crop(ratio, gravity) => (cropped(width, height, ratio.value(), None, gravity, max), self.own_dpr()),
            Resize::Auto(target, gravity) => {
                let is_alike = (width >= height) == (target.width >= target.height);
                let resize = if is_alike { Resize::Cover(target, gravity) } else { Resize::Contain(target) };
                Sizing { resize, ..self }.fit_centred(width, height, max)
            }
            Resize::Contain(target) => {
                let Scaling { scale, dpr, .. } = scaling(target, f64::min);
                (scaled(width, height, scale, max), dpr)
            }
            Resize::Outside(target) => {
                let Scaling { scale, dpr, .. } = scaling(target, f64::max);
                (scaled(width, height, scale, max), dpr)
            }
            Resize::Fill(target) => {
                let Scaling { target, dpr, .. } = scaling(target, f64::max);
                let size = if is_by_sides(target) {
                    target.clipped(width, height).shrunk(width, height, max)
                } else {
                    target.shrunk(width, height, max)
                };
                (Fitted::whole((width, height), size), dpr)
            }
            Resize::Cover(target, gravity) => {
                let scaling = scaling(target, f64::max);
                let fitted = if is_by_sides(target) {
                    scaling.cover_by_sides(width, height, gravity, max)
                } else {
                    covered(width, height, scaling.target.shrunk(width, height, max), gravity, max)
                };
                (fitted, scaling.dpr)
            }
            Resize::Pad(target, gravity) => {
                let Scaling { target, scale, dpr } = scaling(target, f64::min);
                let canvas = target.canvas(width, height, max);
                let inner = scaled(width, height, scale, canvas.width.max(canvas.height));
                let size = Size::new(inner.size.width.min(canvas.width), inner.size.height.min(canvas.height));
                (Fitted { canvas, gravity, ..Fitted::whole((width, height), size) }, dpr)
            }
        }
    }

    /// The device pixel ratio of a picture at its own size.
    fn own_dpr(self) -> f64 {
        self.dpr().min(1.0)
    }

    fn dpr(self) -> f64 {
        f64::from(self.options.dpr) / 100.0
    }

    /// The scale of the picture in a box, whose smaller or larger side counts as `choose` says.
    fn scaling(self, target: TargetSize, choose: fn(f64, f64) -> f64, width: f64, height: f64) -> Scaling {
        let dpr = self.dpr();
        let is_boxed = self.options.canonical(self.resize).limit == Limit::Box;
        if is_boxed {
            let (target, dpr) = target.within(width, height, dpr);
            let scale = target.scale(width, height, choose).min(1.0);
            return Scaling { target, scale, dpr };
        }
        let k = target.scale(width, height, choose);
        let (scale, dpr) = match () {
            () if target.enlarge => (k * dpr, dpr),
            () if k >= 1.0 => {
                let scale = (dpr * k).min(1.0);
                (scale, if matches!(self.resize, Resize::Pad(..)) { dpr.min(1.0) } else { scale })
            }
            () => {
                let dpr = dpr.min(1.0 / k);
                (k * dpr, dpr)
            }
        };
        Scaling { target: target.times(dpr), scale, dpr }
    }
}

/// A box and a device pixel ratio that were reduced together.
#[derive(Clone, Copy)]
struct Scaling {
    /// The box, `dpr` times as large as requested.
    target: TargetSize,
    /// The scale of the picture.
    scale: f64,
    /// The reduced device pixel ratio.
    dpr: f64,
}

impl Scaling {
    /// The scaled picture, cropped to the box on each side on which it is larger.
    fn cover_by_sides(self, width: f64, height: f64, gravity: Gravity, max: u32) -> Fitted {
        let Scaling { target, scale, .. } = self;
        let picture = Size::new(side(width * scale, u32::MAX), side(height * scale, u32::MAX));
        if target.width <= picture.width && target.height <= picture.height {
            return covered(width, height, target.shrunk(width, height, max), gravity, max);
        }
        let size =
            TargetSize { width: target.width.min(picture.width), height: target.height.min(picture.height), ..target };
        let shown = |target: u32, picture: u32, all: f64| match target < picture {
            true => snapped(f64::from(target) / scale).clamp(1.0_f64.min(all), all),
            false => all,
        };
        let shown = (shown(target.width, picture.width, width), shown(target.height, picture.height, height));
        Fitted { gravity, ..Fitted::whole(shown, size.shrunk(width, height, max)) }
    }
}

impl TargetSize {
    /// The scale at which the given sides are met, the smaller or the larger of the two as `choose` says.
    fn scale(self, width: f64, height: f64, choose: fn(f64, f64) -> f64) -> f64 {
        match (self.width, self.height) {
            (0, 0) => 1.0,
            (0, target) => f64::from(target) / height,
            (target, 0) => f64::from(target) / width,
            (w, h) => choose(f64::from(w) / width, f64::from(h) / height),
        }
    }

    /// The given sides multiplied, rounded to nearest.
    fn times(self, factor: f64) -> TargetSize {
        let times = |length: u32| if length == 0 { 0 } else { side(f64::from(length) * factor, u32::MAX) };
        TargetSize { width: times(self.width), height: times(self.height), ..self }
    }

    /// The box `dpr` times as large, scaled down until it is within the picture, and the factor to it from this box.
    fn within(self, width: f64, height: f64, dpr: f64) -> (TargetSize, f64) {
        let factor = dpr.min(width / f64::from(self.width)).min(height / f64::from(self.height));
        (self.times(factor), factor)
    }

    /// The box with no side larger than the picture's.
    fn clipped(self, width: f64, height: f64) -> TargetSize {
        let clipped = |target: u32, all: f64| target.min(side(all, u32::MAX));
        TargetSize { width: clipped(self.width, width), height: clipped(self.height, height), ..self }
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
    Fitted::whole((width, height), Size::new(side(width * scale, max), side(height * scale, max)))
}

/// The largest part with the ratio of `size`, at that size.
fn covered(width: f64, height: f64, size: Size, gravity: Gravity, max: u32) -> Fitted {
    cropped(width, height, f64::from(size.width) / f64::from(size.height), Some(size), gravity, max)
}

/// The largest part of that ratio, at `size` or at its own scale.
fn cropped(width: f64, height: f64, ratio: f64, size: Option<Size>, gravity: Gravity, max: u32) -> Fitted {
    let shown = if width > height * ratio { (height * ratio, height) } else { (width, width / ratio) };
    let shown = (snapped(shown.0), snapped(shown.1));
    // a part narrower than a pixel still shows one
    let mut shown = (shown.0.clamp(1.0_f64.min(width), width), shown.1.clamp(1.0_f64.min(height), height));
    let size = size.unwrap_or_else(|| {
        shown = ((shown.0 + EPSILON).round().max(1.0), (shown.1 + EPSILON).round().max(1.0));
        scaled(shown.0, shown.1, 1.0, max).size
    });
    Fitted { gravity, ..Fitted::whole(shown, size) }
}

/// The largest error of a division, in pixels.
const EPSILON: f64 = 1e-6;

/// Without division errors, so that a region at its own scale is copied and not resampled.
fn snapped(length: f64) -> f64 {
    if (length - length.round()).abs() < EPSILON { length.round() } else { length }
}

/// A length in whole pixels: rounded to nearest, at least 1 (a 4000 × 2 line at width 10 is still a line).
fn side(length: f64, max: u32) -> u32 {
    // a half stays a half despite division errors
    ((length + EPSILON).round() as u32).clamp(1, max.max(1))
}

fn longest(size: Size) -> u32 {
    size.width.max(size.height)
}
