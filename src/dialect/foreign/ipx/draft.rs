//! The values of modifiers, and the native parameters that they mean together.

use crate::dialect::Error;
use crate::dialect::foreign::meaning::{Meaning, invalid};
use crate::dialect::foreign::values::{hex_colour, named_colour, number, percent_of_levels, show, show_colour, whole};

/// The colour of a canvas, and of flattening, without `background`.
const BLACK: [u8; 4] = [0, 0, 0, 255];

/// The tolerance of `trim` without a value.
const TRIM: u32 = 10;

/// The values of a URL's modifiers.
///
/// `fit`, `position` and `background` are text, since ipx looks at them only where they have an effect.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) width: Option<u32>,
    pub(super) height: Option<u32>,
    /// `None` where the width is 0, too.
    pub(super) resize: Option<(u32, u32)>,
    pub(super) has_long_resize: bool,
    pub(super) fit: Option<String>,
    pub(super) enlarges: bool,
    pub(super) position: Option<String>,
    pub(super) background: Option<String>,
    /// As `rect` has it.
    pub(super) rect: Option<String>,
    /// Quarter turns clockwise, 0 to 3.
    pub(super) turns: u8,
    pub(super) flips: bool,
    pub(super) flops: bool,
    /// As `padding` has it.
    pub(super) padding: Option<String>,
    pub(super) quality: Option<u32>,
    pub(super) format: Option<&'static str>,
    pub(super) is_animated: bool,
    pub(super) blur: Option<f64>,
    pub(super) sharpen: Option<f64>,
    pub(super) flattens: bool,
    /// In percent.
    pub(super) trim: Option<u32>,
    pub(super) is_grey: bool,
    /// As `tint` has it.
    pub(super) tint: Option<String>,
}

impl Draft {
    /// The native parameters.
    ///
    /// # Errors
    /// Where values are invalid together, or invalid and of effect.
    pub(super) fn meaning(&self) -> Result<Meaning, Error> {
        let mut meaning = Meaning::default();
        if let Some(rect) = &self.rect {
            meaning.set(("extract", rect), "rect", rect)?;
        }
        self.set_size(&mut meaning)?;
        self.set_turn(&mut meaning)?;
        self.set_colours(&mut meaning)?;
        self.set_effects(&mut meaning)?;
        self.set_output(&mut meaning)?;
        Ok(meaning)
    }

    fn set_size(&self, meaning: &mut Meaning) -> Result<(), Error> {
        let mut set = |name, side: u32| meaning.set((name, &side.to_string()), name, &side.to_string());
        match (self.width, self.resize, self.height) {
            (Some(width), ..) => set("width", width)?,
            (None, Some((width, height)), _) => {
                set("width", width)?;
                set("height", height)?;
                self.set_fit(meaning)?;
            }
            (None, None, Some(height)) => set("height", height)?,
            (None, None, None) => return Ok(()),
        }
        if self.enlarges { meaning.set(("enlarge", ""), "enlarge", "true") } else { Ok(()) }
    }

    fn set_fit(&self, meaning: &mut Meaning) -> Result<(), Error> {
        let fit = self.fit.as_deref().unwrap_or("cover");
        let (native, is_limited) = match fit {
            "cover" | "outside" | "fill" => (fit, false),
            "contain" => ("pad", true),
            "inside" => ("contain", true),
            _ => return Err(invalid("fit", fit, "cover, contain, inside, outside or fill")),
        };
        meaning.set(("fit", fit), "fit", native)?;
        if is_limited && !self.enlarges {
            meaning.set(("fit", fit), "limit", "box")?;
        }
        let Some(text) = &self.position else { return Ok(()) };
        let allowed = "a side or a corner such as top, right top or northeast, center, 0 to 8, entropy or attention";
        let position = position(text).ok_or_else(|| invalid("position", text, allowed))?;
        // a picture on a canvas has no part to choose
        let is_used = native == "cover" || native == "pad" && position != "smart";
        if is_used { meaning.set(("position", text), "position", position) } else { Ok(()) }
    }

    fn set_turn(&self, meaning: &mut Meaning) -> Result<(), Error> {
        let is_quarter = self.turns % 2 == 1;
        let by_height = self.resize.is_none() && self.height.is_some();
        let is_cropped_before = self.width.is_none() && (by_height || self.resize.is_some() && self.has_long_resize);
        let degrees = (u32::from(self.turns) * 90).to_string();
        if is_quarter && is_cropped_before {
            let allowed = "0 or 180 together with `height` or `resize`; with `width` or `s` every multiple of 90";
            return Err(invalid("rotate", &degrees, allowed));
        }
        if self.turns > 0 {
            meaning.set(("rotate", &degrees), "rotate", &degrees)?;
        }
        // ipx flips before it rotates
        let axes = if is_quarter { [self.flips, self.flops] } else { [self.flops, self.flips] };
        meaning.set_flip(("flip", ""), axes)
    }

    fn set_colours(&self, meaning: &mut Meaning) -> Result<(), Error> {
        let is_padded = self.padding.as_deref().is_some_and(|padding| padding != "0,0,0,0");
        let has_box = self.width.is_none() && self.resize.is_some();
        let has_canvas = is_padded || has_box && self.fit.as_deref() == Some("contain");
        if let Some(padding) = self.padding.as_deref().filter(|_| is_padded) {
            meaning.set(("extend", padding), "padding", padding)?;
        }
        if !has_canvas && !self.flattens {
            return Ok(());
        }
        let text = self.background.as_deref().unwrap_or_default();
        let colour = match &self.background {
            Some(text) => {
                let allowed = "a colour as hex of 3, 4, 6 or 8 digits with or without #, or a CSS colour name";
                colour(text).ok_or_else(|| invalid("background", text, allowed))?
            }
            None => BLACK,
        };
        if has_canvas {
            meaning.set(("background", text), "canvas", &show_colour(colour))?;
        }
        if self.flattens {
            // no transparency is left
            let [red, green, blue, _] = colour;
            meaning.set(("background", text), "background", &show_colour([red, green, blue, 255]))?;
        }
        Ok(())
    }

    fn set_effects(&self, meaning: &mut Meaning) -> Result<(), Error> {
        for (name, value) in [("blur", self.blur), ("sharpen", self.sharpen)] {
            if let Some(value) = value.map(show) {
                meaning.set((name, &value), name, &value)?;
            }
        }
        if let Some(percent) = self.trim.map(|percent| percent.to_string()) {
            meaning.set(("trim", &percent), "trim", &percent)?;
        }
        if let Some(tint) = &self.tint {
            meaning.set(("tint", tint), "tint", tint)?;
        }
        if self.is_grey { meaning.set(("grayscale", ""), "greyscale", "true") } else { Ok(()) }
    }

    fn set_output(&self, meaning: &mut Meaning) -> Result<(), Error> {
        if let Some(quality) = self.quality.map(|quality| quality.to_string()) {
            meaning.set(("quality", &quality), "quality", &quality)?;
        }
        let Some(format) = self.format else { return Ok(()) };
        meaning.set(("format", format), "format", format)?;
        let is_still = format != "gif" && !self.is_animated;
        if is_still { meaning.set(("format", format), "animated", "false") } else { Ok(()) }
    }
}

/// The first of several values: ipx ignores others.
pub(super) fn first(values: &str) -> &str {
    values.split('_').next().unwrap_or_default()
}

pub(super) fn side(name: &str, values: &str) -> Result<u32, Error> {
    let side = whole(first(values)).filter(|&side| side > 0);
    side.ok_or_else(|| invalid(name, values, "an integer from 1"))
}

/// `WxH`, where a height of 0 or none is the width; `None` where the width is 0.
pub(super) fn size(name: &str, values: &str) -> Result<Option<(u32, u32)>, Error> {
    let text = first(values);
    let (width, height) = text.split_once('x').unwrap_or((text, ""));
    let height = if height.is_empty() { Some(0) } else { whole(height) };
    let (Some(width), Some(height)) = (whole(width), height) else {
        return Err(invalid(name, values, "WxH such as 300x200, or W for a square"));
    };
    Ok((width > 0).then_some((width, if height > 0 { height } else { width })))
}

/// The four values of `rect`.
pub(super) fn extract(name: &str, values: &str) -> Result<String, Error> {
    let numbers = values.split('_').map(whole).collect::<Option<Vec<u32>>>();
    match numbers.as_deref() {
        Some(&[left, top, width, height]) if width > 0 && height > 0 => Ok(format!("{left},{top},{width},{height}")),
        _ => Err(invalid(name, values, "left_top_width_height in pixels, the latter two from 1")),
    }
}

/// The four values of `padding`; those that are missing are 0.
pub(super) fn padding(name: &str, values: &str) -> Result<String, Error> {
    let mut sides = [0; 4];
    for (side, value) in sides.iter_mut().zip(values.split('_')) {
        let number = if value.is_empty() { Some(0) } else { whole(value) };
        *side = number.ok_or_else(|| invalid(name, values, "top_right_bottom_left in pixels"))?;
    }
    Ok(sides.map(|side| side.to_string()).join(","))
}

pub(super) fn format(name: &str, value: &str) -> Result<&'static str, Error> {
    const FORMATS: [&str; 7] = ["auto", "jpeg", "jpg", "png", "webp", "avif", "gif"];
    let format = FORMATS.into_iter().find(|&format| format == value);
    format.ok_or_else(|| invalid(name, value, "auto, jpeg, jpg, png, webp, avif or gif"))
}

pub(super) fn bounded(name: &str, values: &str, min: f64, max: f64) -> Result<f64, Error> {
    let value = number(first(values)).filter(|value| (min..=max).contains(value));
    value.ok_or_else(|| invalid(name, values, format!("a number from {min} to {max}")))
}

pub(super) fn trim(name: &str, values: &str) -> Result<u32, Error> {
    let tolerance = if values.is_empty() { Some(TRIM) } else { whole(first(values)) };
    let tolerance = tolerance.filter(|&tolerance| tolerance <= 255);
    tolerance.map(percent_of_levels).ok_or_else(|| invalid(name, values, "an integer from 0 to 255"))
}

/// The native position of sharp's words and numbers.
fn position(text: &str) -> Option<&'static str> {
    Some(match text.replace('-', " ").as_str() {
        "center" | "centre" | "0" => "center",
        "top" | "north" | "1" => "top",
        "right" | "east" | "2" => "right",
        "bottom" | "south" | "3" => "bottom",
        "left" | "west" | "4" => "left",
        "right top" | "top right" | "northeast" | "5" => "top-right",
        "right bottom" | "bottom right" | "southeast" | "6" => "bottom-right",
        "left bottom" | "bottom left" | "southwest" | "7" => "bottom-left",
        "left top" | "top left" | "northwest" | "8" => "top-left",
        "entropy" | "attention" | "16" | "17" => "smart",
        _ => return None,
    })
}

pub(super) fn colour(text: &str) -> Option<[u8; 4]> {
    match text.strip_prefix('#') {
        Some(digits) => hex_colour(digits),
        None => hex_colour(text).or_else(|| named_colour(text)),
    }
}
