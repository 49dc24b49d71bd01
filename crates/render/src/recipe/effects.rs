//! The operations on the pixels of the result, and their order.

use serde::{Deserialize, Serialize};

/// The operations on the pixels of the result, after resizing.
///
/// An operation has its field here and its place in [`Effects::in_order`], which takes the struct apart without `..`: an operation
/// that is not applied does not compile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effects {
    /// Gaussian blur: sigma in hundredths of a pixel of the result, 30 to 10000.
    pub blur: Option<u16>,
    /// Sharpening in hundredths, 1 to 1000.
    pub sharpen: Option<u16>,
    /// Blocks of one colour: their side in pixels of the result, from 2.
    pub pixelate: Option<u16>,
    /// A factor for colours in hundredths; 100 would change nothing.
    pub brightness: Option<u16>,
    /// A factor for the distance of colours from the middle, in hundredths.
    pub contrast: Option<u16>,
    /// A factor for the distance of colours from grey, in hundredths.
    pub saturation: Option<u16>,
    /// The inverse of the exponent of colours, in hundredths.
    pub gamma: Option<u16>,
    /// Whether colours are replaced by their luma.
    pub greyscale: bool,
    /// The colour that takes the place of all others: red, green and blue, 8-bit sRGB.
    pub tint: Option<[u8; 3]>,
}

/// One operation on the pixels of the result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// Gaussian blur; sigma in pixels of the result.
    Blur(f32),
    /// Unsharp masking; its amount, 1 is as much as the picture differs from its blurred self.
    Sharpen(f32),
    /// Blocks of that many pixels a side.
    Pixelate(u32),
    /// In hundredths.
    Brightness(u16),
    /// In hundredths.
    Contrast(u16),
    /// In hundredths.
    Saturation(u16),
    /// In hundredths.
    Gamma(u16),
    /// Luma in place of colours.
    Greyscale,
    /// Shades of a colour by luminance.
    Tint([u8; 3]),
}

impl Effects {
    /// The operations that are asked for, in the order in which they are applied.
    pub fn in_order(&self) -> impl Iterator<Item = Effect> + use<> {
        let Effects { blur, sharpen, pixelate, brightness, contrast, saturation, gamma, greyscale, tint } = *self;
        let hundredths = |value: u16| f32::from(value) / 100.0;
        let all = [
            blur.map(|sigma| Effect::Blur(hundredths(sigma))),
            sharpen.map(|amount| Effect::Sharpen(hundredths(amount))),
            pixelate.map(|side| Effect::Pixelate(side.into())),
            brightness.map(Effect::Brightness),
            contrast.map(Effect::Contrast),
            saturation.map(Effect::Saturation),
            gamma.map(Effect::Gamma),
            greyscale.then_some(Effect::Greyscale),
            tint.map(Effect::Tint),
        ];
        all.into_iter().flatten()
    }

    /// Whether no operation is asked for.
    pub fn is_empty(&self) -> bool {
        self.in_order().next().is_none()
    }

    /// Whether luma alone is needed of the original.
    pub fn is_greyscale_alone(&self) -> bool {
        *self == Effects { greyscale: true, ..Effects::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_are_applied_in_their_order() {
        let all = Effects {
            blur: Some(150),
            sharpen: Some(50),
            pixelate: Some(8),
            brightness: Some(110),
            contrast: Some(120),
            saturation: Some(130),
            gamma: Some(140),
            greyscale: true,
            tint: Some([1, 2, 3]),
        };
        let expected = [
            Effect::Blur(1.5),
            Effect::Sharpen(0.5),
            Effect::Pixelate(8),
            Effect::Brightness(110),
            Effect::Contrast(120),
            Effect::Saturation(130),
            Effect::Gamma(140),
            Effect::Greyscale,
            Effect::Tint([1, 2, 3]),
        ];
        assert_eq!(all.in_order().collect::<Vec<_>>(), expected);
        assert!(Effects::default().is_empty());
    }
}
