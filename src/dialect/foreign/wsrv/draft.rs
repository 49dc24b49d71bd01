//! The values of options, and the native parameters that they mean together.

use crate::dialect::Error;
use crate::dialect::foreign::meaning::{Meaning, invalid};
use crate::dialect::foreign::values::{number, show, whole};

/// The values of a URL's options.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) url: Option<String>,
    /// In pixels, before `dpr`.
    pub(super) width: Option<u32>,
    /// In pixels, before `dpr`.
    pub(super) height: Option<u32>,
    pub(super) dpr: Option<f64>,
    pub(super) fit: Fit,
    /// Whether nothing is enlarged; the first option that states it decides.
    pub(super) is_kept_small: Option<bool>,
    pub(super) position: Option<Position>,
    pub(super) focal_point: (Option<f64>, Option<f64>),
    /// As `canvas` has it.
    pub(super) canvas: Option<String>,
    /// As `background` has it.
    pub(super) background: Option<String>,
    /// Left, top, width and height, as `rect` has them.
    pub(super) crop: [Option<String>; 4],
    /// Before resizing.
    pub(super) is_cropped_before: bool,
    /// Quarter turns clockwise, 0 to 3.
    pub(super) turns: u8,
    pub(super) flips: bool,
    pub(super) flops: bool,
    pub(super) blur: Option<f64>,
    pub(super) sharpness: Option<f64>,
    /// In percent.
    pub(super) trim: Option<u32>,
    pub(super) is_grey: bool,
    /// As `tint` has it.
    pub(super) tint: Option<String>,
    pub(super) format: Option<&'static str>,
    pub(super) quality: Option<u32>,
    pub(super) is_lossless: bool,
    pub(super) is_animated: bool,
}

/// The values of `fit`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Fit {
    #[default]
    Inside,
    Cover,
    Fill,
    Outside,
    Contain,
}

/// The values of `a`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// A native word.
    Word(&'static str),
    /// That of `fpx` and `fpy`.
    Focal,
}

impl Draft {
    /// The native parameters.
    ///
    /// # Errors
    /// Where values are invalid together.
    pub(super) fn meaning(&self) -> Result<Meaning, Error> {
        let mut meaning = Meaning::default();
        self.set_crop(&mut meaning)?;
        self.set_size(&mut meaning)?;
        self.set_turn(&mut meaning)?;
        self.set_effects(&mut meaning)?;
        self.set_output(&mut meaning)?;
        Ok(meaning)
    }

    fn set_crop(&self, meaning: &mut Meaning) -> Result<(), Error> {
        let named = ["cx", "cy", "cw", "ch"].into_iter().zip(&self.crop);
        let Some((name, value)) = named.filter_map(|(name, value)| Some((name, value.as_deref()?))).next() else {
            return Ok(());
        };
        if !self.is_cropped_before {
            return Err(invalid(
                name,
                value,
                "together with `precrop`: cropping after resizing is not an operation of this server",
            ));
        }
        // without a size the part ends where the original does
        let [left, top, width, height] = [0, 1, 2, 3].map(|at| self.crop[at].as_deref());
        let [left, top] = [left, top].map(|side| side.unwrap_or("0"));
        let [width, height] = [width, height].map(|side| side.unwrap_or("100p"));
        meaning.set((name, value), "rect", &format!("{left},{top},{width},{height}"))
    }

    fn set_size(&self, meaning: &mut Meaning) -> Result<(), Error> {
        let is_quarter = self.turns % 2 == 1;
        let (across, down) = if is_quarter { ("height", "width") } else { ("width", "height") };
        for (option, name, side) in [("w", across, self.width), ("h", down, self.height)] {
            let Some(side) = side else { continue };
            let side = (f64::from(side) * self.dpr.unwrap_or(1.0)).round().max(1.0);
            meaning.set((option, &show(side)), name, &show(side))?;
        }
        let has_both_sides = self.width.is_some() && self.height.is_some();
        if self.width.is_none() && self.height.is_none() {
            return self.set_colours(meaning);
        }
        let is_kept_small = self.is_kept_small.unwrap_or(false);
        if !is_kept_small {
            meaning.set(("we", ""), "enlarge", "true")?;
        }
        match self.fit {
            Fit::Fill if !has_both_sides => return Err(invalid("fit", "fill", "fill with both w and h")),
            Fit::Cover | Fit::Contain if has_both_sides && is_quarter => {
                let value = (u32::from(self.turns) * 90).to_string();
                return Err(invalid("ro", &value, "0 or 180 together with cover or contain, and both w and h"));
            }
            _ if !has_both_sides => return self.set_colours(meaning),
            _ => {}
        }
        if let Some(fit) = self.fit.native() {
            meaning.set(("fit", fit), "fit", fit)?;
        }
        if is_kept_small && matches!(self.fit, Fit::Cover | Fit::Fill) {
            meaning.set(("we", ""), "limit", "sides")?;
        }
        self.set_position(meaning)?;
        self.set_colours(meaning)
    }

    fn set_position(&self, meaning: &mut Meaning) -> Result<(), Error> {
        let Some(position) = self.position else { return Ok(()) };
        let is_used = match self.fit {
            Fit::Cover => true,
            // a picture on a canvas has no part to choose
            Fit::Contain => matches!(position, Position::Word(word) if word != "smart"),
            Fit::Inside | Fit::Fill | Fit::Outside => false,
        };
        if !is_used {
            return Ok(());
        }
        match position {
            Position::Word(word) => meaning.set(("a", word), "position", word),
            Position::Focal => {
                let [x, y] = [self.focal_point.0, self.focal_point.1].map(|share| show(share.unwrap_or(0.5)));
                meaning.set(("a", "focal"), "position", &format!("{x}x{y}"))
            }
        }
    }

    fn set_colours(&self, meaning: &mut Meaning) -> Result<(), Error> {
        if let Some(colour) = &self.background {
            meaning.set(("bg", colour), "background", colour)?;
        }
        let has_canvas = self.fit == Fit::Contain && self.width.is_some() && self.height.is_some();
        match &self.canvas {
            Some(colour) if has_canvas => meaning.set(("cbg", colour), "canvas", colour),
            _ => Ok(()),
        }
    }

    fn set_turn(&self, meaning: &mut Meaning) -> Result<(), Error> {
        if self.turns > 0 {
            let degrees = (u32::from(self.turns) * 90).to_string();
            meaning.set(("ro", &degrees), "rotate", &degrees)?;
        }
        meaning.set_flip(("flip", ""), [self.flops, self.flips])
    }

    fn set_effects(&self, meaning: &mut Meaning) -> Result<(), Error> {
        for (option, name, value) in [("blur", "blur", self.blur), ("sharp", "sharpen", self.sharpness)] {
            if let Some(value) = value.map(show) {
                meaning.set((option, &value), name, &value)?;
            }
        }
        if let Some(percent) = self.trim.map(|percent| percent.to_string()) {
            meaning.set(("trim", &percent), "trim", &percent)?;
        }
        if let Some(tint) = &self.tint {
            meaning.set(("tint", tint), "tint", tint)?;
        }
        if self.is_grey { meaning.set(("filt", "greyscale"), "greyscale", "true") } else { Ok(()) }
    }

    fn set_output(&self, meaning: &mut Meaning) -> Result<(), Error> {
        if let Some(format) = self.format {
            meaning.set(("output", format), "format", format)?;
        }
        if let Some(quality) = self.quality.map(|quality| quality.to_string()) {
            meaning.set(("q", &quality), "quality", &quality)?;
        }
        if self.is_lossless {
            if self.format != Some("webp") {
                return Err(invalid("ll", "true", "with output=webp only"));
            }
            meaning.set(("ll", "true"), "lossless", "true")?;
        }
        // one frame is the default there
        if self.is_animated { Ok(()) } else { meaning.set(("n", "1"), "animated", "false") }
    }
}

impl Fit {
    /// The fit of a word, and whether it implies that nothing is enlarged, as one of the words of version 4 does.
    pub(super) fn parse(name: &str, value: &str) -> Result<(Fit, bool), Error> {
        Ok(match value {
            "inside" | "fitup" => (Fit::Inside, false),
            "fit" => (Fit::Inside, true),
            "cover" | "square" => (Fit::Cover, false),
            "squaredown" => (Fit::Cover, true),
            "fill" | "absolute" => (Fit::Fill, false),
            "outside" => (Fit::Outside, false),
            "contain" | "letterbox" => (Fit::Contain, false),
            _ => return Err(invalid(name, value, "inside, cover, fill, outside or contain")),
        })
    }

    /// The native fit of two sides, where it is not the default.
    fn native(self) -> Option<&'static str> {
        match self {
            Fit::Inside => None,
            Fit::Cover => Some("cover"),
            Fit::Fill => Some("fill"),
            Fit::Outside => Some("outside"),
            Fit::Contain => Some("pad"),
        }
    }
}

pub(super) fn side(name: &str, value: &str) -> Result<u32, Error> {
    let allowed = "an integer from 1; shares of the original are not an operation of this server";
    whole(value).filter(|&side| side > 0).ok_or_else(|| invalid(name, value, allowed))
}

pub(super) fn number_in(name: &str, value: &str, min: f64, max: f64) -> Result<f64, Error> {
    let number = number(value).filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| invalid(name, value, format!("a number from {min} to {max}")))
}

/// A length as `rect` has it.
pub(super) fn coordinate(name: &str, value: &str) -> Result<String, Error> {
    let share = |text: &str| {
        number(text).filter(|percent| (0.0..=100.0).contains(percent)).map(|percent| format!("{}p", show(percent)))
    };
    let length = match value.strip_suffix('%') {
        Some(percent) => share(percent),
        None => whole(value).map(|pixels| pixels.to_string()),
    };
    length.ok_or_else(|| invalid(name, value, "pixels, or percent such as 25%"))
}

pub(super) fn position(name: &str, value: &str) -> Result<Position, Error> {
    const WORDS: [&str; 9] =
        ["center", "top", "right", "bottom", "left", "top-left", "top-right", "bottom-left", "bottom-right"];
    let word = match value {
        "t" => Some("top"),
        "l" => Some("left"),
        "r" => Some("right"),
        "b" => Some("bottom"),
        "entropy" | "attention" => Some("smart"),
        "focal" => return Ok(Position::Focal),
        _ => WORDS.into_iter().find(|&word| word == value),
    };
    let allowed = "center, a side or a corner such as top-left, focal, entropy or attention";
    word.map(Position::Word).ok_or_else(|| invalid(name, value, allowed))
}

/// The sigma, alone or behind the slopes of flat and jagged areas.
pub(super) fn sharpness(name: &str, value: &str) -> Result<f64, Error> {
    let sigma = match value.split(',').collect::<Vec<_>>()[..] {
        [sigma] => Some(sigma),
        [flat, jagged, sigma] => Some(sigma).filter(|_| number(flat).is_some() && number(jagged).is_some()),
        _ => None,
    };
    let sigma = sigma.and_then(number).filter(|sigma| (0.000_001..=10.0).contains(sigma));
    sigma.ok_or_else(|| invalid(name, value, "a number from 0.000001 to 10, or three: flat,jagged,sigma"))
}

pub(super) fn image_format(name: &str, value: &str) -> Result<&'static str, Error> {
    Ok(match value {
        "jpg" => "jpeg",
        "png" => "png",
        "gif" => "gif",
        "webp" => "webp",
        "avif" | "av1" => "avif",
        _ => return Err(invalid(name, value, "jpg, png, gif, webp or avif")),
    })
}
