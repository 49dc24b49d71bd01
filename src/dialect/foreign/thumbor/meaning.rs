//! The meaning of a draft as native parameters.
//!
//! thumbor crops, resizes, mirrors, and then applies filters, `rotate` among them. Native URLs turn and mirror first: so sides and axes
//! change places with a quarter turn, and words and focal points are mirrored.

use super::draft::{Draft, FitIn, Side, is_grey};
use super::{Flavour, Meaning};
use crate::dialect::Error;
use crate::dialect::foreign::OverlayNames;
use crate::dialect::foreign::meaning::invalid;
use crate::dialect::foreign::values::{percent_of_levels, show, show_colour};
use crate::dialect::foreign::watermark::{Watermark, on_canvas};
use crate::source::ImageId;

/// The sides of the result in pixels, before turning.
type Sides = [Option<u32>; 2];

impl Draft {
    /// The native parameters for an original.
    pub(super) fn meaning(&self, id: &ImageId, overlays: &OverlayNames) -> Result<Meaning, Error> {
        let mut meaning = Meaning::default();
        let sides = self.sides()?;
        self.set_part(&mut meaning)?;
        self.set_fit(&mut meaning, sides)?;
        self.set_turn(&mut meaning)?;
        self.set_filters(&mut meaning)?;
        self.set_watermark(&mut meaning, overlays)?;
        self.set_delivery(&mut meaning, id)?;
        Ok(meaning)
    }

    fn sides(&self) -> Result<Sides, Error> {
        match (self.width, self.height) {
            (Side::Original, Side::Original) => Ok([None, None]),
            (Side::Original, _) | (_, Side::Original) => {
                Err(invalid("size", "orig", "a number, or orig for both sides"))
            }
            (width, height) => Ok([width, height].map(|side| match side {
                Side::Pixels(pixels) if pixels > 0 => Some(pixels),
                _ => None,
            })),
        }
    }

    /// The part of the original.
    fn set_part(&self, meaning: &mut Meaning) -> Result<(), Error> {
        if let Some(rect) = &self.rect {
            if self.trim.is_some() {
                return Err(invalid("trim", rect, "without a crop"));
            }
            meaning.set(("crop", rect), "rect", rect)?;
        }
        if let Some(levels) = self.trim {
            let percent = percent_of_levels(levels.min(255)).to_string();
            meaning.set(("trim", &levels.to_string()), "trim", &percent)?;
        }
        Ok(())
    }

    fn set_fit(&self, meaning: &mut Meaning, sides: Sides) -> Result<(), Error> {
        let has_both = sides.iter().all(Option::is_some);
        let (fit, enlarges) = self.fit(has_both);
        if !fit.is_empty() {
            meaning.set(("size", fit), "fit", fit)?;
        }
        if self.no_upscale && matches!(fit, "cover" | "fill") {
            meaning.set(("no_upscale", ""), "limit", "sides")?;
        }
        if enlarges && sides.iter().any(Option::is_some) {
            meaning.set(("size", ""), "enlarge", "true")?;
        }
        let turned = if self.turns % 2 == 1 { [sides[1], sides[0]] } else { sides };
        for (name, side) in ["width", "height"].into_iter().zip(turned) {
            if let Some(side) = side.map(|side| side.to_string()) {
                meaning.set(("size", &side), name, &side)?;
            }
        }
        if fit == "cover" {
            self.set_position(meaning)?;
        }
        self.set_canvas(meaning, fit == "pad")
    }

    /// The native `fit`, empty for the default, and whether it enlarges.
    fn fit(&self, has_both: bool) -> (&'static str, bool) {
        match self.fit_in {
            FitIn::On => {
                // thumbor looks at a missing side as 0, below which no picture is
                let enlarges = self.upscale && !self.no_upscale && (has_both || self.flavour == Flavour::Imagor);
                (if self.fill.is_some() && has_both { "pad" } else { "" }, enlarges)
            }
            _ if !has_both => ("", !self.no_upscale),
            FitIn::Full => ("outside", !self.no_upscale),
            FitIn::Off if self.stretch => ("fill", !self.no_upscale),
            FitIn::Off => ("cover", !self.no_upscale),
        }
    }

    fn set_position(&self, meaning: &mut Meaning) -> Result<(), Error> {
        let has_words = self.across.is_some_and(|at| at != 1) || self.down.is_some_and(|at| at != 1);
        if let Some(focal) = self.focal {
            let shown = focal.map(show).join("x");
            if self.smart || self.turns != 0 || self.rect.is_some() || self.trim.is_some() {
                return Err(invalid("focal", &shown, "without smart, rotate, a crop and trim"));
            }
            let mirrored = |at: usize| if self.flip[at] { 1.0 - focal[at] } else { focal[at] };
            let position = format!("{}x{}", show(mirrored(0)), show(mirrored(1)));
            return meaning.set(("focal", &shown), "position", &position);
        }
        if self.smart {
            return meaning.set(("smart", ""), "position", "smart");
        }
        if !has_words {
            return Ok(());
        }
        if self.turns != 0 {
            return Err(invalid(
                "rotate",
                &(360 - u32::from(self.turns) * 90).to_string(),
                "without left, right, top and bottom",
            ));
        }
        let mirrored = |at: Option<u8>, is_mirrored| if is_mirrored { 2 - at.unwrap_or(1) } else { at.unwrap_or(1) };
        let across = ["left", "", "right"][usize::from(mirrored(self.across, self.flip[0]))];
        let down = ["top", "", "bottom"][usize::from(mirrored(self.down, self.flip[1]))];
        let words: Vec<&str> = [down, across].into_iter().filter(|word| !word.is_empty()).collect();
        let position = words.join("-");
        meaning.set(("align", &position), "position", &position)
    }

    /// The canvas and the colour behind transparent pixels.
    fn set_canvas(&self, meaning: &mut Meaning, is_padded: bool) -> Result<(), Error> {
        if let Some(padding) = self.padding {
            let padding = padding.map(|side| side.to_string()).join(",");
            if self.fill.is_none() || self.turns != 0 {
                return Err(invalid("padding", &padding, "with the filter fill, and without rotate"));
            }
            meaning.set(("padding", &padding), "padding", &padding)?;
        }
        let Some(fill) = self.fill else { return Ok(()) };
        let colour = show_colour(fill.colour);
        let has_canvas = is_padded || self.padding.is_some();
        match fill.after {
            Some(filter) if has_canvas => return Err(invalid("fill", &colour, format!("before {filter}"))),
            Some("grayscale") if fill.behind && !is_grey(fill.colour) => {
                return Err(invalid("fill", &colour, "before grayscale, or a grey"));
            }
            _ if has_canvas && self.no_upscale => return Err(invalid("fill", &colour, "without no_upscale")),
            _ if fill.behind => meaning.set(("fill", &colour), "background", &colour)?,
            _ if has_canvas => meaning.set(("fill", &colour), "canvas", &colour)?,
            _ => {}
        }
        Ok(())
    }

    fn set_turn(&self, meaning: &mut Meaning) -> Result<(), Error> {
        let degrees = (u32::from(self.turns) * 90).to_string();
        if self.turns != 0 {
            meaning.set(("rotate", &degrees), "rotate", &degrees)?;
        }
        let [horizontal, vertical] = self.flip;
        let axes = if self.turns % 2 == 1 { [vertical, horizontal] } else { [horizontal, vertical] };
        meaning.set_flip(("size", "-"), axes)
    }

    fn set_filters(&self, meaning: &mut Meaning) -> Result<(), Error> {
        if let Some(background) = self.background {
            let colour = show_colour(background);
            // of two colours behind transparent pixels, the first filter's remains
            if self.fill.is_some_and(|fill| fill.behind && fill.colour != background) {
                return Err(invalid("background_color", &colour, "without fill, where that is for transparent pixels"));
            }
            meaning.set(("background_color", &colour), "background", &colour)?;
        }
        for (name, amount) in [("blur", self.blur), ("sharpen", self.sharpen)] {
            if let Some(amount) = amount.filter(|amount| *amount != 0.0).map(show) {
                meaning.set((name, &amount), name, &amount)?;
            }
        }
        if self.greyscale {
            meaning.set(("grayscale", ""), "greyscale", "true")?;
        }
        if let Some(format) = self.format {
            meaning.set(("format", format), "format", format)?;
        }
        if let Some(quality) = self.quality.map(|quality| quality.to_string()) {
            meaning.set(("quality", &quality), "quality", &quality)?;
        }
        Ok(())
    }

    fn set_watermark(&self, meaning: &mut Meaning, overlays: &OverlayNames) -> Result<(), Error> {
        let Some(watermark) = &self.watermark else { return Ok(()) };
        let (option, value) = (watermark.option.0, watermark.option.1.as_str());
        if watermark.opacity > 0.0 && self.fill.is_some() {
            return Err(on_canvas(option, value));
        }
        let overlay = overlays.find(&watermark.overlay).ok_or_else(|| invalid(option, value, overlays.listed()))?;
        Watermark { overlay: overlay.to_owned(), ..watermark.clone() }.set(meaning)
    }

    /// Parameters that change no pixel.
    fn set_delivery(&self, meaning: &mut Meaning, id: &ImageId) -> Result<(), Error> {
        if let Some(expires) = self.expires.map(|expires| expires.to_string()) {
            meaning.set(("expire", &expires), "expires", &expires)?;
        }
        if let Some(name) = &self.attachment {
            let name = if name.is_empty() { id.file_name() } else { name };
            meaning.set(("attachment", name), "download", name)?;
        }
        Ok(())
    }
}
