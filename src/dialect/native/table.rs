//! One row for each parameter of a URL.
//!
//! To add a parameter: a field of [`Params`], a row here with its parser and printer in `values.rs`, its default in
//! [`defaults`], and its place in `policy.rs`.

use super::params::{Params, defaults};
use super::{colours, values::*};
use crate::dialect::{InvalidParam, nearest};
use crate::render::recipe::Quality;

/// One parameter.
pub struct Parameter {
    /// The name in canonical URLs.
    pub name: &'static str,
    /// Other names of the same parameter.
    pub aliases: &'static [&'static str],
    /// The allowed values, for people.
    pub allowed: &'static str,
    /// Its effect, for the documentation.
    pub about: &'static str,
    /// Whether it asks for a rendition rather than the original.
    pub renders: bool,
    /// Whether its value may be left out, for `true`.
    pub is_switch: bool,
    /// Values to suggest in place of one that is not allowed.
    words: &'static [&'static str],
    default: fn() -> String,
    set: fn(&mut Params, &str) -> Option<()>,
    clear: fn(&mut Params),
    get: fn(&Params) -> Option<String>,
}

/// Builds a row from the name of a field of [`Params`].
macro_rules! parameter {
    (
        $field:ident, aliases: $aliases:expr,
        allowed: $allowed:expr,
        default: $default:expr,
        about: $about:expr,
        parse: $parse:expr,
        print: $print:expr,
        $($option:ident: $value:expr,)*
    ) => {
        Parameter {
            name: stringify!($field),
            aliases: &$aliases,
            allowed: $allowed,
            about: $about,
            default: $default,
            set: |params, value| $parse(value).map(|parsed| params.$field = Some(parsed)),
            clear: |params| params.$field = None,
            get: |params| params.$field.as_ref().map($print),
            $($option: $value,)*
            ..BASE
        }
    };
}

const BASE: Parameter = Parameter {
    name: "",
    aliases: &[],
    allowed: "",
    about: "",
    renders: true,
    is_switch: false,
    words: &[],
    default: none,
    set: |_, _| None,
    clear: |_| (),
    get: |_| None,
};

/// The text for a parameter that has no default.
fn none() -> String {
    "–".into()
}

/// All parameters, in the order of the documentation.
pub const PARAMETERS: &[Parameter] = &[
    parameter! {
        width, aliases: ["w"],
        allowed: "an integer from 1; above `max_dimension` it is clamped",
        default: none,
        about: "width of the result in pixels",
        parse: side,
        print: u32::to_string,
    },
    parameter! {
        height, aliases: ["h"],
        allowed: "an integer from 1; above `max_dimension` it is clamped",
        default: none,
        about: "height of the result in pixels",
        parse: side,
        print: u32::to_string,
    },
    parameter! {
        aspect_ratio, aliases: ["ar"],
        allowed: "`16:9` or a decimal",
        default: none,
        about: "gives the missing side; alone it crops to the ratio",
        parse: ratio,
        print: show_ratio,
    },
    parameter! {
        dpr, aliases: [],
        allowed: "0.1 to 5, at most two decimals",
        default: || show_hundredths(&defaults::DPR),
        about: "multiplies width and height",
        parse: |text: &str| hundredths(text, 0.1, 5.0).filter(|_| decimal(text).is_some_and(|(_, places)| places <= 2)),
        print: show_hundredths,
    },
    parameter! {
        fit, aliases: [],
        allowed: "contain, cover, fill, outside or pad",
        default: || format!("{}; {} with `aspect_ratio`", show_fit(&defaults::FIT), show_fit(&defaults::FIT_OF_RATIO)),
        about: "how the original fits the requested box",
        parse: fit,
        print: show_fit,
        words: FITS,
    },
    parameter! {
        position, aliases: ["gravity", "g", "pos", "a"],
        allowed: "center, top, top-right … a compass word, smart, or a focal point such as 0.5x0.33",
        default: || show_position(&defaults::POSITION),
        about: "what is kept when something is cut off",
        parse: position,
        print: show_position,
        words: POSITIONS,
    },
    parameter! {
        rect, aliases: ["extract"],
        allowed: "x,y,w,h in pixels of the upright original",
        default: none,
        about: "the part that is used, before resizing",
        parse: rect,
        print: show_rect,
    },
    parameter! {
        format, aliases: ["fm", "f", "output"],
        allowed: "auto, avif, webp, jpeg, png, gif, original or json",
        default: || "the original's format".into(),
        about: "format of the result; json describes it",
        parse: format,
        print: show_format,
        words: FORMATS,
    },
    parameter! {
        auto, aliases: [],
        allowed: "a comma list of format and compress",
        default: none,
        about: "`format` is the same as `format=auto`; `compress` does nothing",
        parse: auto,
        print: show_auto,
        words: &["format", "compress"],
    },
    parameter! {
        quality, aliases: ["q"],
        allowed: "1 to 100, low, medium-low, medium-high, high, or auto for the target of the settings",
        default: || Quality::default().get().to_string(),
        about: "one perceptual scale for all formats",
        parse: quality,
        print: show_quality,
        words: QUALITIES,
    },
    parameter! {
        target, aliases: [],
        allowed: "40 to 90, without quality and lossless",
        default: none,
        about: "the SSIMULACRA2 that the result reaches",
        parse: target,
        print: show_target,
    },
    parameter! {
        lossless, aliases: ["ll"],
        allowed: "true or false",
        default: || defaults::LOSSLESS.to_string(),
        about: "every pixel survives (WebP and PNG)",
        parse: boolean,
        print: bool::to_string,
        words: BOOLEANS,
        is_switch: true,
    },
    parameter! {
        enlarge, aliases: ["upscale"],
        allowed: "true or false",
        default: || defaults::ENLARGE.to_string(),
        about: "allows a result larger than the original",
        parse: boolean,
        print: bool::to_string,
        words: BOOLEANS,
        is_switch: true,
    },
    parameter! {
        background, aliases: ["bg"],
        allowed: "a colour as hex of 3, 4, 6 or 8 digits without #, or a CSS colour name",
        default: || "transparent, or white".into(),
        about: "what stands behind transparent pixels and on `pad`'s canvas",
        parse: colour,
        print: show_colour,
    },
    parameter! {
        rotate, aliases: ["ro"],
        allowed: "0, 90, 180 or 270",
        default: || defaults::ROTATE.to_string(),
        about: "turns clockwise, after the EXIF orientation",
        parse: rotation,
        print: u16::to_string,
        words: &["0", "90", "180", "270"],
    },
    parameter! {
        flip, aliases: [],
        allowed: "h, v or hv",
        default: none,
        about: "mirrors left to right, top to bottom, or both",
        parse: flip,
        print: show_flip,
        words: &["h", "v", "hv"],
    },
    parameter! {
        blur, aliases: [],
        allowed: "0.3 to 100",
        default: || "off".into(),
        about: "Gaussian blur, sigma in pixels of the result",
        parse: |text: &str| hundredths(text, 0.3, 100.0),
        print: show_hundredths,
    },
    parameter! {
        sharpen, aliases: ["sharp"],
        allowed: "0 to 10",
        default: || show_hundredths(&defaults::SHARPEN),
        about: "unsharp mask",
        parse: |text: &str| hundredths(text, 0.0, 10.0),
        print: show_hundredths,
    },
    parameter! {
        trim, aliases: [],
        allowed: "true, false, or a tolerance from 1 to 100",
        default: || show_trim(&defaults::TRIM),
        about: "cuts borders of one colour off",
        parse: trim,
        print: show_trim,
        words: BOOLEANS,
        is_switch: true,
    },
    parameter! {
        animated, aliases: ["anim"],
        allowed: "true or false",
        default: || defaults::ANIMATED.to_string(),
        about: "false gives the first frame",
        parse: boolean,
        print: bool::to_string,
        words: BOOLEANS,
        is_switch: true,
    },
    parameter! {
        metadata, aliases: [],
        allowed: "none, copyright or keep",
        default: || show_metadata(&defaults::METADATA),
        about: "what of the original's EXIF is kept",
        parse: metadata,
        print: show_metadata,
        words: &["none", "copyright", "keep"],
    },
    parameter! {
        preset, aliases: [],
        allowed: "a name of 1 to 32 of a–z, 0–9, _ and - that the settings define",
        default: none,
        about: "parameters from the settings; others override them",
        parse: preset,
        print: String::clone,
    },
    parameter! {
        download, aliases: ["dl"],
        allowed: "a file name",
        default: none,
        about: "offers the answer for saving under that name",
        parse: file_name,
        print: String::clone,
        renders: false,
    },
    parameter! {
        v, aliases: ["cb"],
        allowed: "any text of at most 64 characters",
        default: none,
        about: "makes the answer `immutable`",
        parse: version,
        print: String::clone,
        renders: false,
    },
    parameter! {
        expires, aliases: [],
        allowed: "unix seconds",
        default: none,
        about: "when the URL stops being good",
        parse: |text: &str| digits(text),
        print: u64::to_string,
        renders: false,
    },
    parameter! {
        s, aliases: ["sig"],
        allowed: "base64url without padding",
        default: none,
        about: "the signature",
        parse: |text: &str| Some(text.to_owned()),
        print: String::clone,
        renders: false,
    },
];

impl Parameter {
    /// The parameter of that name or alias.
    pub fn find(name: &str) -> Option<&'static Parameter> {
        PARAMETERS.iter().find(|parameter| parameter.name == name || parameter.aliases.contains(&name))
    }

    /// Every name and alias.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PARAMETERS.iter().flat_map(|parameter| std::iter::once(parameter.name).chain(parameter.aliases.iter().copied()))
    }

    /// The value of a URL that leaves it out, for people.
    pub fn default(&self) -> String {
        (self.default)()
    }

    /// The canonical value, where there is one.
    pub fn value(&self, params: &Params) -> Option<String> {
        (self.get)(params)
    }

    /// Leaves the parameter out.
    pub(in crate::dialect) fn clear(&self, params: &mut Params) {
        (self.clear)(params);
    }

    /// Parses a value, `None` for a name without one, into `params`. `false` where it is not allowed;
    /// [`Parameter::invalid_value`] is the error then.
    pub(in crate::dialect) fn parse(&self, value: Option<&str>, params: &mut Params) -> bool {
        (self.set)(params, self.text(value)).is_some()
    }

    /// The error for a value that is not allowed; `name` is the one that the URL used.
    pub(super) fn invalid_value(&self, name: &str, value: Option<&str>) -> InvalidParam {
        let text = self.text(value);
        self.invalid(name, text, self.suggestion(text))
    }

    /// The error for a parameter with that suggestion.
    pub(super) fn invalid(&self, name: &str, value: &str, did_you_mean: Option<String>) -> InvalidParam {
        InvalidParam::new(name, value, self.allowed, did_you_mean)
    }

    fn text<'a>(&self, value: Option<&'a str>) -> &'a str {
        value.unwrap_or(if self.is_switch { "true" } else { "" })
    }

    fn suggestion(&self, text: &str) -> Option<String> {
        // negative angles, and more than one turn
        if let ("rotate", Ok(degrees)) = (self.name, text.parse::<i32>())
            && degrees % 90 == 0
        {
            return Some(degrees.rem_euclid(360).to_string());
        }
        let colours = if self.name == "background" { Some(colours::names()) } else { None };
        nearest(text, self.words.iter().copied().chain(colours.into_iter().flatten())).map(str::to_owned)
    }
}

impl Params {
    /// Parameters of `other` fill those that are `None`.
    pub fn or(self, other: &Params) -> Params {
        let mut all = other.clone();
        for parameter in PARAMETERS {
            if let Some(value) = parameter.value(&self) {
                // a row reads what it prints: a test goes through all of them
                parameter.parse(Some(&value), &mut all);
            }
        }
        all
    }

    /// Whether a parameter asks for a rendition rather than the original.
    pub fn asks_for_rendition(&self) -> bool {
        PARAMETERS.iter().any(|parameter| parameter.renders && parameter.value(self).is_some())
    }
}
