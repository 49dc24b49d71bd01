//! The operations on pixels, one file each.

pub(crate) mod blur;
pub(crate) mod flatten;
mod kernel;
pub(crate) mod orient;
pub(crate) mod pad;
pub(crate) mod planes;
pub(crate) mod resize;
pub(crate) mod sharpen;
pub(crate) mod smart;
pub(crate) mod trim;

use tintype_pixels::Pixels;

use crate::recipe::Effect;

/// Applies one effect.
pub(crate) fn apply(effect: Effect, pixels: &mut Pixels) {
    match effect {
        Effect::Blur(sigma) => blur::blur(pixels, sigma),
        Effect::Sharpen(amount) => sharpen::sharpen(pixels, amount),
    }
}
