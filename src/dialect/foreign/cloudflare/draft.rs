//! The options of one URL in Cloudflare's terms, their readers, and their meaning as native parameters.

use super::{Meaning, invalid};
use crate::dialect::Error;
use crate::dialect::foreign::values::{hex_colour, named_colour, number, show, show_colour, whole};

pub(super) const FITS: &str = "scale-down, contain, cover, crop, aspect-crop, pad or squeeze";
pub(super) const FORMATS: &str = "auto, avif, webp, jpeg, baseline-jpeg, png or gif";

/// How a picture fits its box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fit {
    #[default]
    ScaleDown,
    Contain,
    Cover,
    Crop,
    AspectCrop,
    Pad,
    Squeeze,
}

/// The part that is cut off at the edges.
#[derive(Clone, Copy, Debug)]
enum Trim {
    Border,
    /// Top, right, bottom and left.
    Edges([u32; 4]),
}

/// The values of all options; of two equal ones the later.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    still: bool,
    background: Option<[u8; 4]>,
    blur: Option<f64>,
    /// 1 is no change.
    brightness: Option<f64>,
    contrast: Option<f64>,
    gamma: Option<f64>,
    saturation: Option<f64>,
    dpr: Option<f64>,
    fit: Fit,
    /// Horizontally and vertically.
    flip: [bool; 2],
    /// The native name.
    format: Option<&'static str>,
    /// The native position.
    gravity: Option<String>,
    width: Option<u32>,
    /// Whether the width is that of the client hints.
    auto_width: bool,
    height: Option<u32>,
    metadata: Option<&'static str>,
    quality: Option<String>,
    /// Quarter turns.
    turns: u8,
    sharpen: Option<f64>,
    trim: Option<Trim>,
}

fn word(name: &str, value: &str, words: &[&'static str]) -> Result<&'static str, Error> {
    let found = words.iter().find(|word| **word == value).copied();
    found.ok_or_else(|| invalid(name, value, words.join(", ")))
}

/// A number of a range.
fn ranged(name: &str, value: &str, range: std::ops::RangeInclusive<f64>) -> Result<f64, Error> {
    let ranged = number(value).filter(|number| range.contains(number));
    ranged.ok_or_else(|| invalid(name, value, format!("{} to {}", show(*range.start()), show(*range.end()))))
}

/// A factor that is not 1 and not 0, which change nothing.
fn factor(name: &str, value: &str) -> Result<Option<f64>, Error> {
    let factor = number(value).filter(|factor| *factor >= 0.0);
    let factor = factor.ok_or_else(|| invalid(name, value, "a factor from 0"))?;
    Ok(Some(factor).filter(|factor| *factor != 1.0 && *factor != 0.0))
}

fn side(name: &str, value: &str) -> Result<Option<u32>, Error> {
    whole(value).filter(|side| *side > 0).map(Some).ok_or_else(|| invalid(name, value, "a whole number from 1"))
}

pub(super) fn width(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    draft.auto_width = value == "auto";
    draft.width = if draft.auto_width { None } else { side(name, value)? };
    Ok(())
}

/// The readers of rows that have a field of their own.
macro_rules! readers {
    ($($name:ident: $read:expr,)*) => {
        $(pub(super) fn $name(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
            draft.$name = $read(name, value)?;
            Ok(())
        })*
    };
}

readers! {
    height: side,
    brightness: factor,
    contrast: factor,
    gamma: factor,
    saturation: |name, value| ranged(name, value, 0.0..=10.0).map(|factor| Some(factor).filter(|factor| *factor != 1.0)),
    dpr: |name, value| ranged(name, value, 0.1..=5.0).map(Some),
    blur: |name, value| ranged(name, value, 1.0..=250.0).map(Some),
    sharpen: |name, value| ranged(name, value, 0.0..=10.0).map(Some),
    metadata: |name, value| word(name, value, &["copyright", "keep", "none"]).map(Some),
    background: colour,
    fit: fit_of,
    trim: trim_of,
}

fn fit_of(name: &str, value: &str) -> Result<Fit, Error> {
    Ok(match value {
        "scale-down" => Fit::ScaleDown,
        "contain" => Fit::Contain,
        "cover" => Fit::Cover,
        "crop" => Fit::Crop,
        "aspect-crop" => Fit::AspectCrop,
        "pad" => Fit::Pad,
        "squeeze" => Fit::Squeeze,
        _ => return Err(invalid(name, value, FITS)),
    })
}

pub(super) fn anim(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    draft.still = word(name, value, &["true", "false"])? == "false";
    Ok(())
}

/// A CSS colour: a name, `#` and hexadecimal digits, or `rgb()` and `rgba()` of numbers.
fn colour(name: &str, value: &str) -> Result<Option<[u8; 4]>, Error> {
    let colour = match value.strip_prefix('#') {
        Some(hex) => hex_colour(hex),
        None => named_colour(value).or_else(|| function(value)),
    };
    colour.map(Some).ok_or_else(|| invalid(name, value, "a CSS name, #hex, rgb() or rgba() of numbers"))
}

/// The colour of `rgb(240,40,145)`, `rgb(240 40 145 / 0.5)` and `rgba(240,40,145,0.5)`.
fn function(value: &str) -> Option<[u8; 4]> {
    let arguments = value.strip_prefix("rgba").or_else(|| value.strip_prefix("rgb"))?;
    let arguments = arguments.strip_prefix('(')?.strip_suffix(')')?;
    let numbers: Option<Vec<f64>> =
        arguments.split([',', ' ', '/']).filter(|text| !text.is_empty()).map(number).collect();
    let byte = |number: f64| (0.0..=255.0).contains(&number).then(|| number.round() as u8);
    let (colours, alpha) = match numbers?[..] {
        [r, g, b] => ([r, g, b], 1.0),
        [r, g, b, alpha] if (0.0..=1.0).contains(&alpha) => ([r, g, b], alpha),
        _ => return None,
    };
    Some([byte(colours[0])?, byte(colours[1])?, byte(colours[2])?, byte(alpha * 255.0)?])
}

pub(super) fn flip(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let axes = word(name, value, &["h", "v", "hv"])?;
    draft.flip = [axes.contains('h'), axes.contains('v')];
    Ok(())
}

pub(super) fn format(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    draft.format = Some(match value {
        "auto" => "auto",
        "avif" => "avif",
        "webp" => "webp",
        "jpeg" | "baseline-jpeg" => "jpeg",
        "png" => "png",
        "gif" => "gif",
        "json" => return Err(invalid(name, value, "other fields are in Cloudflare's; natively `format=json`")),
        _ => return Err(invalid(name, value, FORMATS)),
    });
    Ok(())
}

pub(super) fn gravity(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let share = |text: &str| number(text).filter(|share| (0.0..=1.0).contains(share)).map(show);
    let point = |text: &str| text.split_once('x').and_then(|(x, y)| Some(format!("{}x{}", share(x)?, share(y)?)));
    draft.gravity = Some(match value {
        "auto" | "face" => "smart".into(),
        "left" | "right" | "top" | "bottom" | "center" => value.into(),
        _ => point(value)
            .ok_or_else(|| invalid(name, value, "auto, face, left, right, top, bottom, center or XxY from 0 to 1"))?,
    });
    Ok(())
}

pub(super) fn quality(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let number = whole(value).filter(|quality| (1..=100).contains(quality));
    draft.quality = Some(match (number, value) {
        (Some(number), _) => number.to_string(),
        (None, "high" | "medium-high" | "medium-low" | "low") => value.to_owned(),
        _ => return Err(invalid(name, value, "1 to 100, high, medium-high, medium-low or low")),
    });
    Ok(())
}

pub(super) fn rotate(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let degrees = word(name, value, &["0", "90", "180", "270"])?;
    draft.turns = (whole(degrees).unwrap_or_default() / 90) as u8;
    Ok(())
}

fn trim_of(name: &str, value: &str) -> Result<Option<Trim>, Error> {
    if value == "border" {
        return Ok(Some(Trim::Border));
    }
    let edges: Option<Vec<u32>> = value.split(';').map(whole).collect();
    let edges = edges.and_then(|edges| <[u32; 4]>::try_from(edges).ok());
    edges.map(|edges| Some(Trim::Edges(edges))).ok_or_else(|| invalid(name, value, "top;right;bottom;left, or border"))
}

impl Draft {
    /// The native parameters.
    pub(super) fn meaning(&self) -> Result<Meaning, Error> {
        let mut meaning = Meaning::default();
        self.check_gravity()?;
        self.set_sizes(&mut meaning)?;
        self.set_turn(&mut meaning)?;
        self.set_part(&mut meaning)?;
        self.set_picture(&mut meaning)?;
        self.set_encoding(&mut meaning)?;
        Ok(meaning)
    }

    /// A length in pixels of the result or of the original, as whole as it was stated.
    fn scaled(&self, pixels: u32) -> String {
        show((f64::from(pixels) * self.dpr.unwrap_or(1.0)).round())
    }

    fn set_sizes(&self, meaning: &mut Meaning) -> Result<(), Error> {
        for (name, side) in [("width", self.width), ("height", self.height)] {
            if let Some(side) = side {
                // the width of a hint is multiplied as well, so that `dpr` stays a parameter of its own
                let scaled = if self.auto_width { side.to_string() } else { self.scaled(side) };
                meaning.set((name, &side.to_string()), name, if scaled == "0" { "1" } else { &scaled })?;
            }
        }
        if self.auto_width {
            meaning.set(("width", "auto"), "width", "auto")?;
            if let Some(dpr) = self.dpr.map(show) {
                meaning.set(("dpr", &dpr), "dpr", &dpr)?;
            }
        }
        let has_width = self.width.is_some() || self.auto_width;
        let has_both = has_width && self.height.is_some();
        let (fit, enlarges) = match self.fit {
            _ if !has_width && self.height.is_none() => return Ok(()),
            Fit::Squeeze if !has_both => return Err(invalid("fit", "squeeze", "with width and height")),
            Fit::ScaleDown => ("", false),
            Fit::Crop | Fit::AspectCrop => (if has_both { "cover" } else { "" }, false),
            Fit::Contain => ("", true),
            Fit::Cover => (if has_both { "cover" } else { "" }, true),
            Fit::Pad => (if has_both { "pad" } else { "" }, true),
            Fit::Squeeze => ("fill", true),
        };
        if !fit.is_empty() {
            meaning.set(("fit", fit), "fit", fit)?;
        }
        if enlarges {
            meaning.set(("fit", fit), "enlarge", "true")?;
        }
        match fit {
            "pad" if self.background.is_none() => meaning.set(("fit", "pad"), "canvas", "ffffff"),
            "cover" => {
                if self.fit == Fit::Crop {
                    meaning.set(("fit", "crop"), "limit", "sides")?;
                }
                self.set_position(meaning)
            }
            _ => Ok(()),
        }
    }

    /// Refuses a place beside a turn: whether the picture is cropped before or after it is turned is not documented.
    fn check_gravity(&self) -> Result<(), Error> {
        let is_turned = self.flip != [false; 2] || self.turns != 0;
        match self.gravity.as_deref().filter(|position| is_turned && *position != "smart") {
            Some(position) => Err(invalid("gravity", position, "without flip and rotate")),
            None => Ok(()),
        }
    }

    fn set_position(&self, meaning: &mut Meaning) -> Result<(), Error> {
        match &self.gravity {
            Some(position) => meaning.set(("gravity", position), "position", position),
            None => Ok(()),
        }
    }

    /// `flip`, then `rotate`: native URLs have them the other way round, so that axes change places with a quarter turn.
    fn set_turn(&self, meaning: &mut Meaning) -> Result<(), Error> {
        let degrees = (u32::from(self.turns) * 90).to_string();
        if self.turns != 0 {
            meaning.set(("rotate", &degrees), "rotate", &degrees)?;
        }
        let [horizontal, vertical] = self.flip;
        let axes = if self.turns % 2 == 1 { [vertical, horizontal] } else { [horizontal, vertical] };
        meaning.set_flip(("flip", ""), axes)
    }

    fn set_part(&self, meaning: &mut Meaning) -> Result<(), Error> {
        match self.trim {
            None => Ok(()),
            Some(Trim::Border) => meaning.set(("trim", "border"), "trim", "true"),
            Some(Trim::Edges(edges)) => {
                let shown = edges.map(|edge| edge.to_string()).join(";");
                let inset = edges.map(|edge| self.scaled(edge)).join(",");
                meaning.set(("trim", &shown), "inset", &inset)
            }
        }
    }

    fn set_picture(&self, meaning: &mut Meaning) -> Result<(), Error> {
        if let Some(colour) = self.background.map(show_colour) {
            meaning.set(("background", &colour), "background", &colour)?;
        }
        if let Some(radius) = self.blur {
            meaning.set(("blur", &show(radius)), "blur", &show((radius / 2.0).clamp(0.3, 100.0)))?;
        }
        let saturation = self.saturation.filter(|saturation| *saturation != 0.0);
        if self.saturation == Some(0.0) {
            meaning.set(("saturation", "0"), "greyscale", "true")?;
        }
        let factors = [("brightness", self.brightness), ("contrast", self.contrast), ("gamma", self.gamma)];
        for (name, amount) in factors.into_iter().chain([("saturation", saturation), ("sharpen", self.sharpen)]) {
            if let Some(amount) = amount.map(show) {
                meaning.set((name, &amount), name, &amount)?;
            }
        }
        Ok(())
    }

    fn set_encoding(&self, meaning: &mut Meaning) -> Result<(), Error> {
        let metadata = self.metadata.unwrap_or("copyright");
        meaning.set(("metadata", metadata), "metadata", metadata)?;
        if self.still {
            meaning.set(("anim", "false"), "animated", "false")?;
        }
        if let Some(format) = self.format {
            meaning.set(("format", format), "format", format)?;
        }
        match self.quality.as_deref() {
            None => Ok(()),
            Some("100") if self.format == Some("webp") => meaning.set(("quality", "100"), "lossless", "true"),
            Some(quality) => meaning.set(("quality", quality), "quality", quality),
        }
    }
}
