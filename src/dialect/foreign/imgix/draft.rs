//! The values of options, and the native parameters that they mean together.

use super::mark::Mark;
use super::words;
use crate::dialect::Error;
use crate::dialect::foreign::OverlayNames;
use crate::dialect::foreign::meaning::{Meaning, invalid, unsupported};
use crate::dialect::foreign::values::{number, show, whole};

/// The quality of `auto=compress` without `q`.
const COMPRESSED: u32 = 45;

/// The values of a URL's options.
pub(super) struct Draft {
    /// Whether there is an option that makes imgix render, rather than send the original.
    pub(super) asks_for_rendition: bool,
    /// Whole pixels, before `dpr`.
    pub(super) width: Option<f64>,
    /// Whole pixels, before `dpr`.
    pub(super) height: Option<f64>,
    pub(super) dpr: Option<f64>,
    pub(super) fit: Fit,
    /// As `aspect_ratio` has it.
    pub(super) ratio: Option<String>,
    pub(super) crop: Option<String>,
    pub(super) focal_point: (f64, f64),
    /// As `rect` has it.
    pub(super) rect: Option<String>,
    pub(super) negotiates: bool,
    pub(super) compresses: bool,
    pub(super) format: Option<&'static str>,
    pub(super) quality: Option<u32>,
    pub(super) is_lossless: bool,
    /// As `background` has it.
    pub(super) background: Option<String>,
    /// As `canvas` has it.
    pub(super) fill_colour: Option<String>,
    pub(super) fill: Option<String>,
    pub(super) flip: Option<String>,
    /// By 180 degrees.
    pub(super) is_turned: bool,
    /// Of EXIF.
    pub(super) orientation: Option<u32>,
    pub(super) blur: f64,
    pub(super) sharpness: f64,
    pub(super) trims: bool,
    /// The side of a block in pixels; 0 is off.
    pub(super) blocks: u32,
    pub(super) is_grey: bool,
    pub(super) mark: Mark,
    pub(super) download: Option<String>,
    pub(super) expires: Option<u64>,
}

/// The values of `fit` that have a native equal.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Fit {
    #[default]
    Clip,
    Max,
    Min,
    Crop,
    Scale,
    Fill,
    FillMax,
}

impl Default for Draft {
    fn default() -> Draft {
        Draft {
            asks_for_rendition: false,
            width: None,
            height: None,
            dpr: None,
            fit: Fit::default(),
            ratio: None,
            crop: None,
            focal_point: (0.5, 0.5),
            rect: None,
            negotiates: false,
            compresses: false,
            format: None,
            quality: None,
            is_lossless: false,
            background: None,
            fill_colour: None,
            fill: None,
            flip: None,
            is_turned: false,
            orientation: None,
            blur: 0.0,
            sharpness: 0.0,
            trims: false,
            blocks: 0,
            is_grey: false,
            mark: Mark::default(),
            download: None,
            expires: None,
        }
    }
}

impl Draft {
    /// The native parameters.
    ///
    /// # Errors
    /// Where values are invalid together.
    pub(super) fn meaning(&self, overlays: &OverlayNames) -> Result<Meaning, Error> {
        let mut meaning = Meaning::default();
        self.set_size(&mut meaning)?;
        self.set_part(&mut meaning)?;
        self.set_fill(&mut meaning)?;
        self.set_turn(&mut meaning)?;
        self.set_effects(&mut meaning)?;
        let has_canvas = matches!(self.fit, Fit::Fill | Fit::FillMax) && self.has_both_sides();
        self.set_mark(&mut meaning, overlays, has_canvas)?;
        self.set_output(&mut meaning)?;
        Ok(meaning)
    }

    fn has_both_sides(&self) -> bool {
        self.width.is_some() && self.height.is_some()
    }

    /// The ratio, where it has an effect.
    fn ratio(&self) -> Option<&str> {
        self.ratio.as_deref().filter(|_| self.fit == Fit::Crop && !self.has_both_sides())
    }

    fn set_size(&self, meaning: &mut Meaning) -> Result<(), Error> {
        for (option, name, side) in [("w", "width", self.width), ("h", "height", self.height)] {
            let Some(side) = side else { continue };
            let side = (side * self.dpr.unwrap_or(1.0)).round().max(1.0);
            meaning.set((option, &show(side)), name, &show(side))?;
        }
        if let Some(ratio) = self.ratio() {
            meaning.set(("ar", ratio), "aspect_ratio", ratio)?;
        } else if let (Some(fit), true) = (self.fit.native(), self.has_both_sides()) {
            meaning.set(("fit", fit), "fit", fit)?;
        }
        let has_side = self.width.is_some() || self.height.is_some();
        let enlarges = !matches!(self.fit, Fit::Max | Fit::Min | Fit::FillMax);
        if has_side && enlarges { meaning.set(("fit", ""), "enlarge", "true") } else { Ok(()) }
    }

    fn set_part(&self, meaning: &mut Meaning) -> Result<(), Error> {
        if let Some(rect) = &self.rect {
            meaning.set(("rect", rect), "rect", rect)?;
        }
        let is_cropped = match self.fit {
            Fit::Crop => self.has_both_sides() || self.ratio.is_some(),
            Fit::Min => self.has_both_sides(),
            _ => false,
        };
        let Some(crop) = self.crop.as_deref().filter(|crop| is_cropped && !crop.is_empty()) else { return Ok(()) };
        let position = self.position(crop)?;
        if position != "smart" && (self.flip.is_some() || self.is_turned) {
            return Err(invalid(
                "crop",
                crop,
                "faces, entropy or edges beside flip and rot; imgix does not say which comes first",
            ));
        }
        meaning.set(("crop", crop), "position", &position)
    }

    /// The native position: the first word decides, and those of another kind are what imgix falls back on.
    fn position(&self, crop: &str) -> Result<String, Error> {
        let is_side = |word: &str| matches!(word, "top" | "bottom" | "left" | "right");
        let is_smart = |word: &str| matches!(word, "faces" | "entropy" | "edges");
        if !words(crop).all(|word| is_side(word) || is_smart(word) || word == "focalpoint") {
            let allowed = "a list of top, bottom, left, right, focalpoint, faces, entropy and edges";
            return Err(invalid("crop", crop, allowed));
        }
        let first = words(crop).next().unwrap_or_default();
        Ok(match first {
            "focalpoint" => format!("{}x{}", show(self.focal_point.0), show(self.focal_point.1)),
            _ if is_side(first) => words(crop).filter(|word| is_side(word)).collect::<Vec<_>>().join("-"),
            _ => "smart".to_owned(),
        })
    }

    fn set_fill(&self, meaning: &mut Meaning) -> Result<(), Error> {
        if let Some(colour) = &self.background {
            meaning.set(("bg", colour), "background", colour)?;
        }
        if !matches!(self.fit, Fit::Fill | Fit::FillMax) {
            return Ok(());
        }
        if let Some(fill) = self.fill.as_deref().filter(|fill| !matches!(*fill, "" | "solid")) {
            return Err(invalid("fill", fill, "solid, of `fill-color`"));
        }
        if let Some(ratio) = self.ratio.as_deref().filter(|_| !self.has_both_sides()) {
            return Err(unsupported("ar", ratio, Some("with fit=fill both w and h are needed")));
        }
        match &self.fill_colour {
            Some(colour) if self.background.is_none() && self.has_both_sides() => {
                meaning.set(("fill-color", colour), "background", colour)
            }
            _ => Ok(()),
        }
    }

    fn set_turn(&self, meaning: &mut Meaning) -> Result<(), Error> {
        if let Some(orientation) = self.orientation.map(|orientation| orientation.to_string()) {
            meaning.set(("orient", &orientation), "orient", &orientation)?;
        }
        if self.is_turned {
            meaning.set(("rot", "180"), "rotate", "180")?;
        }
        self.flip.as_ref().map_or(Ok(()), |flip| meaning.set(("flip", flip), "flip", flip))
    }

    fn set_effects(&self, meaning: &mut Meaning) -> Result<(), Error> {
        if self.blur > 0.0 {
            let sigma = show((self.blur / 20.0).clamp(0.3, 100.0));
            meaning.set(("blur", &sigma), "blur", &sigma)?;
        }
        if self.sharpness > 0.0 {
            let amount = show(self.sharpness / 10.0);
            meaning.set(("sharp", &amount), "sharpen", &amount)?;
        }
        if self.trims {
            meaning.set(("trim", "auto"), "trim", "true")?;
        }
        if self.blocks > 0 {
            let side = self.blocks.to_string();
            meaning.set(("px", &side), "pixelate", &side)?;
        }
        if self.is_grey { meaning.set(("sat", "-100"), "greyscale", "true") } else { Ok(()) }
    }

    fn set_output(&self, meaning: &mut Meaning) -> Result<(), Error> {
        if self.is_lossless && self.format != Some("webp") {
            return Err(invalid("lossless", "1", "with fm=webp only"));
        }
        if let Some(format) = if self.negotiates { Some("auto") } else { self.format } {
            meaning.set(("fm", format), "format", format)?;
        }
        let quality = self.quality.or(self.compresses.then_some(COMPRESSED)).map(|quality| quality.to_string());
        if let Some(quality) = quality {
            meaning.set(("q", &quality), "quality", &quality)?;
        }
        if self.is_lossless {
            meaning.set(("lossless", "1"), "lossless", "true")?;
        }
        if let Some(name) = &self.download {
            meaning.set(("dl", name), "download", name)?;
        }
        let expires = self.expires.map(|expires| expires.to_string());
        expires.map_or(Ok(()), |expires| meaning.set(("expires", &expires), "expires", &expires))
    }
}

impl Fit {
    pub(super) fn parse(name: &str, value: &str) -> Result<Fit, Error> {
        Ok(match value {
            "clip" => Fit::Clip,
            "max" => Fit::Max,
            "min" => Fit::Min,
            "crop" => Fit::Crop,
            "scale" => Fit::Scale,
            "fill" => Fit::Fill,
            "fillmax" => Fit::FillMax,
            _ => return Err(invalid(name, value, "clip, max, min, crop, scale, fill or fillmax")),
        })
    }

    /// The native fit of two sides, where it is not the default.
    fn native(self) -> Option<&'static str> {
        match self {
            Fit::Clip | Fit::Max => None,
            Fit::Min | Fit::Crop => Some("cover"),
            Fit::Scale => Some("fill"),
            Fit::Fill | Fit::FillMax => Some("pad"),
        }
    }
}

/// A side in whole pixels.
pub(super) fn side(name: &str, value: &str) -> Result<f64, Error> {
    let side = number(value).filter(|&side| side > 1.0).map(f64::round);
    side.ok_or_else(|| {
        invalid(name, value, "pixels, above 1; shares of the original are not an operation of this server")
    })
}

pub(super) fn number_in(name: &str, value: &str, min: f64, max: f64) -> Result<f64, Error> {
    let number = number(value).filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| invalid(name, value, format!("a number from {min} to {max}")))
}

pub(super) fn ratio(name: &str, value: &str) -> Result<String, Error> {
    let is_positive = |text: &str| number(text).is_some_and(|number| number > 0.0);
    let is_ratio = value.split_once(':').is_some_and(|(width, height)| is_positive(width) && is_positive(height));
    if is_ratio { Ok(value.to_owned()) } else { Err(invalid(name, value, "W:H such as 16:9")) }
}

/// A rectangle as `rect` has it: digits alone are pixels, a decimal up to 1 is a share.
pub(super) fn shares_or_pixels(name: &str, value: &str) -> Result<String, Error> {
    const PLACES: usize = 4;
    let length = |text: &str| match text.split_once('.') {
        None => whole(text).map(|pixels| pixels.to_string()),
        Some((_, places)) if places.len() <= PLACES => {
            let share = number(text).filter(|share| (0.0..=1.0).contains(share))?;
            Some(format!("{}p", show(share * 100.0)))
        }
        Some(_) => None,
    };
    let lengths = words(value).map(length).collect::<Option<Vec<_>>>().filter(|lengths| lengths.len() == 4);
    let allowed = "x,y,w,h in pixels, or in shares of at most four decimals; words are not an operation of this server";
    lengths.map(|lengths| lengths.join(",")).ok_or_else(|| invalid(name, value, allowed))
}

pub(super) fn image_format(name: &str, value: &str) -> Result<&'static str, Error> {
    Ok(match value {
        "jpg" | "pjpg" => "jpeg",
        "png" | "png8" | "png32" => "png",
        "webp" => "webp",
        "avif" => "avif",
        "gif" => "gif",
        _ => return Err(invalid(name, value, "jpg, pjpg, png, png8, png32, webp, avif or gif")),
    })
}

pub(super) fn switch(name: &str, value: &str) -> Result<bool, Error> {
    match value {
        "1" | "true" => Ok(true),
        "0" | "false" | "" => Ok(false),
        _ => Err(invalid(name, value, "1, true, 0 or false")),
    }
}

pub(super) fn half_turn(name: &str, value: &str) -> Result<bool, Error> {
    match number(value) {
        Some(0.0) => Ok(false),
        Some(180.0) => Ok(true),
        _ => {
            let allowed =
                "0 or 180: other angles turn within the frame; native URLs have `rotate`, which turns the frame, too";
            Err(invalid(name, value, allowed))
        }
    }
}

/// The orientation of EXIF.
pub(super) fn orientation(name: &str, value: &str) -> Result<u32, Error> {
    match whole(value) {
        Some(0) => Ok(1),
        Some(orientation @ 1..=8) => Ok(orientation),
        Some(90) => Ok(6),
        Some(180) => Ok(3),
        Some(270) => Ok(8),
        _ => Err(invalid(name, value, "0 to 8, 90, 180 or 270")),
    }
}
