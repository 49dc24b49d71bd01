//! The operations on pixels, one file each.

pub(crate) mod adjust;
pub(crate) mod blur;
pub(crate) mod flatten;
mod kernel;
pub(crate) mod orient;
pub(crate) mod overlay;
pub(crate) mod pad;
pub(crate) mod pixelate;
pub(crate) mod planes;
pub(crate) mod resize;
pub(crate) mod sharpen;
pub(crate) mod smart;
pub(crate) mod tint;
pub(crate) mod trim;

use tintype_pixels::Pixels;

use crate::recipe::Effect;

/// Applies one effect.
pub(crate) fn apply(effect: Effect, pixels: &mut Pixels) {
    match effect {
        Effect::Blur(sigma) => blur::blur(pixels, sigma),
        Effect::Sharpen(amount) => sharpen::sharpen(pixels, amount),
        Effect::Pixelate(side) => pixelate::pixelate(pixels, side),
        Effect::Brightness(hundredths) => adjust::brightness(pixels, hundredths),
        Effect::Contrast(hundredths) => adjust::contrast(pixels, hundredths),
        Effect::Saturation(hundredths) => adjust::saturation(pixels, hundredths),
        Effect::Gamma(hundredths) => adjust::gamma(pixels, hundredths),
        Effect::Greyscale => adjust::greyscale(pixels),
        Effect::Tint(colour) => tint::tint(pixels, colour),
    }
}
