//! The watermark of imgix, `mark`, as a native overlay.

use super::draft::{Draft, number_in};
use super::words;
use crate::dialect::Error;
use crate::dialect::foreign::OverlayNames;
use crate::dialect::foreign::meaning::{Meaning, invalid};
use crate::dialect::foreign::values::number;
use crate::dialect::foreign::watermark::{Watermark, on_canvas};

/// Pixels between a watermark and the edges that it is aligned to.
const PAD: f64 = 10.0;

/// The options of a watermark.
#[derive(Clone, Debug, Default)]
pub(super) struct Mark {
    /// The picture as the URL names it.
    pub(super) picture: Option<String>,
    /// Native `overlay_position`.
    pub(super) position: Option<String>,
    /// In percent.
    pub(super) alpha: Option<f64>,
    /// In pixels.
    pub(super) pad: Option<f64>,
    /// Of the width, in percent.
    pub(super) scale: Option<f64>,
    /// Shares of the sides.
    pub(super) sides: [Option<f64>; 2],
}

pub(super) fn align(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    if is_off(value) {
        return Ok(());
    }
    let is_word = |word: &str| matches!(word, "top" | "middle" | "bottom" | "left" | "center" | "right");
    if !words(value).all(is_word) {
        return Err(invalid(name, value, "a list of top, middle, bottom, left, center and right"));
    }
    let sides: Vec<&str> = words(value).filter(|word| !matches!(*word, "middle" | "center")).collect();
    draft.mark.position = Some(if sides.is_empty() { "center".into() } else { sides.join("-") });
    Ok(())
}

pub(super) fn alpha(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    if value.is_empty() || value == "false" {
        return Ok(());
    }
    number_in(name, value, 0.0, 100.0).map(|alpha| draft.mark.alpha = Some(alpha))
}

pub(super) fn pad(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    if value.is_empty() || value == "false" {
        return Ok(());
    }
    number_in(name, value, 0.0, 65_535.0).map(|pad| draft.mark.pad = Some(pad.round()))
}

pub(super) fn scale(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    if is_off(value) {
        return Ok(());
    }
    number_in(name, value, 1.0, 100.0).map(|scale| draft.mark.scale = Some(scale))
}

pub(super) fn width(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    share(name, value).map(|share| draft.mark.sides[0] = share)
}

pub(super) fn height(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    share(name, value).map(|share| draft.mark.sides[1] = share)
}

/// Whether a value switches an option off.
fn is_off(value: &str) -> bool {
    matches!(value, "" | "false") || number(value) == Some(0.0)
}

/// A share of a side; `None` for 0.
fn share(name: &str, value: &str) -> Result<Option<f64>, Error> {
    match number(value) {
        _ if is_off(value) => Ok(None),
        Some(share) if (0.01..=1.0).contains(&share) => Ok(Some(share)),
        _ => Err(invalid(
            name,
            value,
            "a share of the picture from 0.01 to 1; pixels are not an operation of this server",
        )),
    }
}

impl Draft {
    pub(super) fn set_mark(
        &self, meaning: &mut Meaning, overlays: &OverlayNames, has_canvas: bool,
    ) -> Result<(), Error> {
        let Mark { picture, position, alpha, pad, scale, sides } = &self.mark;
        let Some(picture) = picture.as_deref().filter(|picture| !is_off(picture)) else {
            return Ok(());
        };
        let overlay = overlays.find(picture).ok_or_else(|| invalid("mark", picture, overlays.listed()))?;
        if has_canvas {
            return Err(on_canvas("mark", picture));
        }
        let scale = match (scale, sides) {
            (Some(scale), [None, None]) => Some([scale / 100.0, 1.0]),
            (None, [None, None]) => None,
            (None, sides) => Some(sides.map(|share| share.unwrap_or(1.0))),
            (Some(_), _) => return Err(invalid("mark-scale", "", "without mark-w and mark-h")),
        };
        let position = position.clone().unwrap_or_else(|| "bottom-right".into());
        let pad = pad.unwrap_or(PAD);
        // along an axis in whose middle it is there is no edge
        let along = |words: [&str; 2]| if words.iter().any(|word| position.contains(word)) { pad } else { 0.0 };
        let offset = [along(["left", "right"]), along(["top", "bottom"])];
        let (option, overlay) = (("mark", picture.to_owned()), overlay.to_owned());
        Watermark { option, overlay, position, offset, opacity: alpha.unwrap_or(100.0), scale }.set(meaning)
    }
}
