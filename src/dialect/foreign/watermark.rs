//! Watermarks of other systems as native overlays.

use super::meaning::{Meaning, invalid};
use super::values::show;
use crate::dialect::Error;

/// A watermark that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::dialect) struct Watermark {
    /// The option that asks for it and its value, for errors.
    pub(in crate::dialect) option: (&'static str, String),
    /// The name of the overlay.
    pub(in crate::dialect) overlay: String,
    /// Native `overlay_position`.
    pub(in crate::dialect) position: String,
    /// Inward, in pixels from 1 on, and below in shares of the picture.
    pub(in crate::dialect) offset: [f64; 2],
    /// In percent; at 0 there is none.
    pub(in crate::dialect) opacity: f64,
    /// The shares of the width and the height of the picture, within which it is as large as it can be; `None` for its own size.
    pub(in crate::dialect) scale: Option<[f64; 2]>,
}

impl Watermark {
    /// Sets the native parameters.
    ///
    /// # Errors
    /// Where one of them does not allow a value.
    pub(in crate::dialect) fn set(&self, meaning: &mut Meaning) -> Result<(), Error> {
        let option = (self.option.0, self.option.1.as_str());
        let opacity = self.opacity.round();
        if self.opacity > 0.0 && opacity < 1.0 {
            return Err(invalid(option.0, option.1, "an opacity of 0, or from 1 percent"));
        }
        if opacity == 0.0 {
            return meaning.set(option, "overlay", "none");
        }
        meaning.set(option, "overlay", &self.overlay)?;
        meaning.set(option, "overlay_position", &self.position)?;
        meaning.set(option, "overlay_opacity", &show(opacity))?;
        if self.offset != [0.0; 2] {
            meaning.set(option, "overlay_offset", &self.offset.map(show).join(","))?;
        }
        match self.scale {
            Some(scale) => meaning.set(option, "overlay_scale", &scale.map(show).join("x")),
            None => Ok(()),
        }
    }
}

/// The 400 for a watermark on a canvas: other systems put it on the canvas, and native overlays are on the picture.
pub(in crate::dialect) fn on_canvas(option: &str, value: &str) -> Error {
    invalid(
        option,
        value,
        "a picture without a canvas or padding around it; natively an overlay is on the picture itself",
    )
}
