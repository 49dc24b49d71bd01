//! The operations on the pixels of the result, and their order.

/// The operations on the pixels of the result, after resizing.
///
/// An operation has its field here and its place in [`Effects::in_order`], which takes the struct apart without `..`: an operation
/// that is not applied does not compile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Gaussian blur: sigma in hundredths of a pixel of the result, 30 to 10000.
    pub blur: Option<u16>,
    /// Sharpening in hundredths, 1 to 1000.
    pub sharpen: Option<u16>,
}

/// One operation on the pixels of the result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// Gaussian blur; sigma in pixels of the result.
    Blur(f32),
    /// Unsharp masking; its amount, 1 is as much as the picture differs from its blurred self.
    Sharpen(f32),
}

impl Effects {
    /// The operations that are asked for, in the order in which they are applied.
    pub fn in_order(&self) -> impl Iterator<Item = Effect> + use<> {
        let Effects { blur, sharpen } = *self;
        let hundredths = |value: u16| f32::from(value) / 100.0;
        let blur = blur.map(|sigma| Effect::Blur(hundredths(sigma)));
        let sharpen = sharpen.map(|amount| Effect::Sharpen(hundredths(amount)));
        [blur, sharpen].into_iter().flatten()
    }

    /// Whether no operation is asked for.
    pub fn is_empty(&self) -> bool {
        self.in_order().next().is_none()
    }
}
