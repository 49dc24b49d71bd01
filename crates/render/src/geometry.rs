//! How a part of an original becomes a result of some size: fitting, cropping, padding.
//!
//! Pure arithmetic on sizes; no pixels are read here.
//!
//! | module | contents |
//! |---|---|
//! | this one | the types: [`Resize`] with its [`TargetSize`], and the result, [`Fitted`] |
//! | `options` | [`ResizeOptions`]: limits of enlarging, device pixel ratio, offset, padding |
//! | `area` | [`Area`]: the part of an original that is used |
//! | `fit` | the arithmetic from the one to the other |

mod area;
mod fit;
mod options;

use serde::{Deserialize, Serialize};

use tintype_pixels::{Region, Size};

pub use area::{Area, Length};
pub use fit::Sizing;
pub use options::{Limit, Offset, Padding, ResizeOptions};

/// The position of a crop in the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

    /// The point that it names; the middle for [`Gravity::Smart`], which needs a look at the pixels.
    pub(crate) fn point(self) -> (u16, u16) {
        match self {
            Gravity::Point(x, y) => (x, y),
            Gravity::Smart => (5000, 5000),
        }
    }

    /// The offset of a window of `inner` in `outer` that has the point at `at` (1/10000) in its middle, kept inside.
    fn offset(at: u16, outer: f64, inner: f64) -> f64 {
        (outer * f64::from(at) / 10_000.0 - inner / 2.0).clamp(0.0, (outer - inner).max(0.0))
    }
}

/// An aspect ratio as a fraction in lowest terms, width to height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u32, u32)", into = "(u32, u32)")]
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

impl TryFrom<(u32, u32)> for Ratio {
    type Error = &'static str;

    fn try_from((width, height): (u32, u32)) -> Result<Ratio, &'static str> {
        let ratio = Ratio::new(width, height).filter(|ratio| ratio.width == width);
        ratio.ok_or("a ratio is a fraction in lowest terms")
    }
}

impl From<Ratio> for (u32, u32) {
    fn from(Ratio { width, height }: Ratio) -> (u32, u32) {
        (width, height)
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

/// The size of the result, and the part of the original that it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
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
    /// `Cover` where the picture and the box are both at least as wide as high, or both higher; `Contain` elsewhere. Both sides are
    /// given.
    Auto(TargetSize, Gravity),
}

/// The requested box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// The size of the canvas, larger than `size` only for [`Resize::Pad`].
    pub canvas: Size,
    /// Where the shown part lies in the original, and on the canvas.
    pub gravity: Gravity,
    /// By how far the part lies to the right of and below its place by gravity: in pixels of the original where it is cropped, in
    /// pixels of the canvas where it is padded.
    pub shift: (f64, f64),
    /// The pixels around the canvas.
    pub padding: Padding,
}

impl Fitted {
    /// All of a region at that size.
    fn whole(shown: (f64, f64), size: Size) -> Fitted {
        Fitted { shown, size, canvas: size, gravity: Gravity::CENTER, shift: (0.0, 0.0), padding: Padding::NONE }
    }

    /// The size of the whole result: the canvas and the padding.
    pub fn outer(&self) -> Size {
        self.padding.around(self.canvas)
    }

    /// Whether the shown part has another size in the result than in the original.
    pub(crate) fn resamples(&self) -> bool {
        self.shown != (f64::from(self.size.width), f64::from(self.size.height))
    }

    /// The shown part within `region`, for a gravity that needs no look at the pixels; `Smart` counts as the middle.
    pub fn window(&self, region: Region) -> Region {
        let (x, y) = self.gravity.point();
        let left = Gravity::offset(x, region.width, self.shown.0) + self.shift.0;
        let top = Gravity::offset(y, region.height, self.shown.1) + self.shift.1;
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
        let (x, y) = self.gravity.point();
        let at = |fraction: u16, outer: u32, inner: u32, shift: f64| {
            let free = f64::from(outer.saturating_sub(inner));
            // on a canvas a gravity aligns: 0 at the near edge, a half in the middle, 1 at the far edge
            ((free * f64::from(fraction) / 10_000.0).floor() + shift.round_ties_even()).clamp(0.0, free) as u32
        };
        (
            at(x, self.canvas.width, self.size.width, self.shift.0),
            at(y, self.canvas.height, self.size.height, self.shift.1),
        )
    }
}

#[cfg(test)]
mod options_tests;
#[cfg(test)]
mod tests;
