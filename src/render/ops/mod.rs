//! The operations on pixels, in their order: the part that is shown, resize, orientation, colours, canvas, blur,
//! sharpen, background. One file each.
//!
//! Everything that can be done on the pixels of the result is done there and not on the original's, which are often
//! twenty times as many.

pub mod colour;
mod flatten;
mod orient;
mod resize;

use super::codec::Decoded;
use super::error::Result;
use super::pixels::Pixels;
use super::plan::Plan;

/// Applies a plan's operations to each frame of an original in turn.
pub struct Pipeline<'a> {
    plan: &'a Plan<'a>,
}

impl<'a> Pipeline<'a> {
    /// A pipeline for one original.
    pub fn new(plan: &'a Plan<'a>) -> Pipeline<'a> {
        Pipeline { plan }
    }

    /// One frame from the decoder as it goes to the encoder.
    pub(crate) fn apply(&mut self, decoded: Decoded) -> Result<Pixels> {
        let plan = self.plan;
        let Decoded { pixels, profile, shrink, delay: _ } = decoded;
        let pixels = pixels.without_opaque_alpha();

        let fitted = plan.fit(plan.region);
        let window = fitted.window(plan.region);
        let size = plan.orientation.inverse().apply(fitted.size);
        let region = window.scaled(1.0 / f64::from(shrink));
        let pixels = resize::resize(pixels, region, size, plan.linear)?;
        let pixels = orient::orient(pixels, plan.orientation);
        let pixels = match &profile {
            Some(profile) => colour::to_srgb(pixels, profile),
            None => pixels,
        };
        Ok(flatten::flatten(pixels, plan.recipe.background, plan.format.has_alpha()))
    }
}
