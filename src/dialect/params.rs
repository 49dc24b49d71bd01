//! What was said: one row for each parameter of the contract, from which parsing, the canonical form, the errors'
//! suggestions and the README's table all come. How their values are read and written is in `params/values.rs`.

mod values;

use values::*;

use super::{InvalidParam, colours, nearest};
use crate::render::Format;
use crate::render::geometry::{Gravity, Ratio, Rect};
use crate::render::recipe::{Metadata, Quality, Rgba};

/// Every parameter, said or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// Wished width in pixels, before `dpr`.
    pub width: Option<u32>,
    /// Wished height in pixels, before `dpr`.
    pub height: Option<u32>,
    /// Wished width to height.
    pub aspect_ratio: Option<Ratio>,
    /// Factor for width and height, in hundredths.
    pub dpr: Option<u16>,
    /// How the original fits the wished box.
    pub fit: Option<Fit>,
    /// What of it is kept when it is cropped.
    pub position: Option<Gravity>,
    /// The part of the original that is used at all.
    pub rect: Option<Rect>,
    /// The format of the answer.
    pub format: Option<Wanted>,
    /// What is chosen automatically.
    pub auto: Option<Auto>,
    /// How good it must look.
    pub quality: Option<Quality>,
    /// Whether the pixels must survive exactly.
    pub lossless: Option<bool>,
    /// Whether it may become larger than the original.
    pub enlarge: Option<bool>,
    /// What stands behind transparent pixels.
    pub background: Option<Rgba>,
    /// Clockwise, in degrees: 0, 90, 180 or 270.
    pub rotate: Option<u16>,
    /// Mirroring.
    pub flip: Option<Flip>,
    /// Sigma in hundredths of a pixel.
    pub blur: Option<u16>,
    /// Amount in hundredths.
    pub sharpen: Option<u16>,
    /// Tolerance in percent, 0 for not at all.
    pub trim: Option<u8>,
    /// Whether a moving original may move.
    pub animated: Option<bool>,
    /// What metadata is kept.
    pub metadata: Option<Metadata>,
    /// The name of a set of parameters in the settings.
    pub preset: Option<String>,
    /// The file name to offer for saving.
    pub download: Option<String>,
    /// Whatever tells this version of the page's picture from others.
    pub v: Option<String>,
    /// Unix seconds after which the URL is no longer good.
    pub expires: Option<u64>,
    /// The signature.
    pub s: Option<String>,
}

/// How the original fits the wished box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// Inside of it.
    #[default]
    Contain,
    /// Covering it, the rest cut off.
    Cover,
    /// Stretched to it.
    Fill,
    /// Covering it, nothing cut off.
    Outside,
    /// Inside of it, the rest filled up.
    Pad,
}

/// The format that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// What suits client and original.
    Auto,
    /// The original's own.
    Original,
    /// A description instead of a picture.
    Json,
    /// This one.
    Exactly(Format),
}

/// What `auto` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auto {
    /// The format.
    pub format: bool,
}

/// Mirroring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flip {
    /// Left and right change places.
    pub horizontal: bool,
    /// Top and bottom change places.
    pub vertical: bool,
}

/// One parameter of the contract.
pub struct Parameter {
    /// The name in canonical URLs.
    pub name: &'static str,
    /// Other names that mean the same.
    pub aliases: &'static [&'static str],
    /// What is allowed, for people.
    pub grammar: &'static str,
    /// The value it has when it is not said, for people.
    pub default: &'static str,
    /// What it does, for people.
    pub about: &'static str,
    /// Whether saying it asks for a rendition rather than the original.
    pub renders: bool,
    /// Words to suggest for a value that is none of them.
    words: &'static [&'static str],
    /// Whether it may stand without a value, which then is `true`.
    bare: bool,
    set: fn(&mut Params, &str) -> Option<()>,
    get: fn(&Params) -> Option<String>,
}

/// Builds a row: `parameter!(field, aliases, grammar, default, about, parser, printer)` and what differs from usual.
macro_rules! parameter {
    ($field:ident, $aliases:expr, $grammar:expr, $default:expr, $about:expr, $parse:expr, $show:expr
     $(, $option:ident = $value:expr)*) => {
        Parameter {
            name: stringify!($field),
            aliases: &$aliases,
            grammar: $grammar,
            default: $default,
            about: $about,
            set: |params, value| $parse(value).map(|parsed| params.$field = Some(parsed)),
            get: |params| params.$field.as_ref().map($show),
            $($option: $value,)*
            ..USUAL
        }
    };
}

const USUAL: Parameter = Parameter {
    name: "",
    aliases: &[],
    grammar: "",
    default: "–",
    about: "",
    renders: true,
    words: &[],
    bare: false,
    set: |_, _| None,
    get: |_| None,
};

/// All parameters, in the order of the contract.
pub const PARAMETERS: &[Parameter] = &[
    parameter!(
        width,
        ["w"],
        "an integer from 1; above `max_dimension` it is clamped",
        "–",
        "width of the result in pixels",
        side,
        u32::to_string
    ),
    parameter!(
        height,
        ["h"],
        "an integer from 1; above `max_dimension` it is clamped",
        "–",
        "height of the result in pixels",
        side,
        u32::to_string
    ),
    parameter!(
        aspect_ratio,
        ["ar"],
        "`16:9` or a decimal",
        "–",
        "gives the missing side; alone it crops to the ratio",
        ratio,
        show_ratio
    ),
    parameter!(
        dpr,
        [],
        "0.1 to 5, at most two decimals",
        "1",
        "multiplies width and height",
        |text: &str| hundredths(text, 0.1, 5.0).filter(|_| decimal(text).is_some_and(|(_, places)| places <= 2)),
        show_hundredths
    ),
    parameter!(
        fit,
        [],
        "contain, cover, fill, outside or pad",
        "contain",
        "how the original fits the wished box",
        fit,
        show_fit,
        words = FITS
    ),
    parameter!(
        position,
        ["gravity", "g", "pos", "a"],
        "center, top, top-right … a compass word, smart, or a focal point such as 0.5x0.33",
        "center",
        "what is kept when something is cut off",
        position,
        show_position,
        words = POSITIONS
    ),
    parameter!(
        rect,
        ["extract"],
        "x,y,w,h in pixels of the upright original",
        "–",
        "the part that is used, before resizing",
        rect,
        show_rect
    ),
    parameter!(
        format,
        ["fm", "f", "output"],
        "auto, avif, webp, jpeg, png, gif, original or json",
        "the original's format",
        "format of the result; json describes it",
        format,
        show_format,
        words = FORMATS
    ),
    parameter!(
        auto,
        [],
        "a comma list of format and compress",
        "–",
        "`format` is the same as `format=auto`; `compress` does nothing",
        auto,
        show_auto,
        words = &["format", "compress"]
    ),
    parameter!(
        quality,
        ["q"],
        "1 to 100, low, medium-low, medium-high or high",
        "75",
        "one perceptual scale for all formats",
        quality,
        |q: &Quality| q.get().to_string(),
        words = QUALITIES
    ),
    parameter!(
        lossless,
        ["ll"],
        "true or false",
        "false",
        "every pixel survives (WebP and PNG)",
        boolean,
        bool::to_string,
        words = BOOLEANS,
        bare = true
    ),
    parameter!(
        enlarge,
        ["upscale"],
        "true or false",
        "false",
        "allows a result larger than the original",
        boolean,
        bool::to_string,
        words = BOOLEANS,
        bare = true
    ),
    parameter!(
        background,
        ["bg"],
        "a colour as hex of 3, 4, 6 or 8 digits without #, or a CSS colour name",
        "transparent, or white",
        "what stands behind transparent pixels and on `pad`'s canvas",
        colour,
        show_colour
    ),
    parameter!(
        rotate,
        ["ro"],
        "0, 90, 180 or 270",
        "0",
        "turns clockwise, after the EXIF orientation",
        rotation,
        u16::to_string,
        words = &["0", "90", "180", "270"]
    ),
    parameter!(
        flip,
        [],
        "h, v or hv",
        "–",
        "mirrors left to right, top to bottom, or both",
        flip,
        show_flip,
        words = &["h", "v", "hv"]
    ),
    parameter!(
        blur,
        [],
        "0.3 to 100",
        "off",
        "Gaussian blur, sigma in pixels of the result",
        |text: &str| hundredths(text, 0.3, 100.0),
        show_hundredths
    ),
    parameter!(
        sharpen,
        ["sharp"],
        "0 to 10",
        "off",
        "unsharp mask",
        |text: &str| hundredths(text, 0.0, 10.0),
        show_hundredths
    ),
    parameter!(
        trim,
        [],
        "true, false, or a tolerance from 1 to 100",
        "off",
        "cuts borders of one colour off",
        trim,
        show_trim,
        words = BOOLEANS,
        bare = true
    ),
    parameter!(
        animated,
        ["anim"],
        "true or false",
        "true",
        "false gives the first frame",
        boolean,
        bool::to_string,
        words = BOOLEANS,
        bare = true
    ),
    parameter!(
        metadata,
        [],
        "none, copyright or keep",
        "none",
        "what of the original's EXIF is kept",
        metadata,
        show_metadata,
        words = &["none", "copyright", "keep"]
    ),
    parameter!(
        preset,
        [],
        "a name of 1 to 32 of a–z, 0–9, _ and - that the settings define",
        "–",
        "parameters from the settings; others override them",
        preset,
        String::clone
    ),
    parameter!(
        download,
        ["dl"],
        "a file name",
        "–",
        "offers the answer for saving under that name",
        file_name,
        String::clone,
        renders = false
    ),
    parameter!(
        v,
        ["cb"],
        "any text of at most 64 characters",
        "–",
        "makes the answer `immutable`",
        version,
        String::clone,
        renders = false
    ),
    parameter!(
        expires,
        [],
        "unix seconds",
        "–",
        "when the URL stops being good",
        |text: &str| digits(text),
        u64::to_string,
        renders = false
    ),
    parameter!(
        s,
        ["sig"],
        "base64url without padding",
        "–",
        "the signature",
        |text: &str| Some(text.to_owned()),
        String::clone,
        renders = false
    ),
];

/// The tolerance of `trim=true`, in percent.
const TRIM: u8 = 10;

const FITS: &[&str] = &[
    "contain",
    "cover",
    "fill",
    "outside",
    "pad",
    "inside",
    "clip",
    "max",
    "scale-down",
    "bounds",
    "limit",
    "crop",
    "min",
    "scale",
    "stretch",
    "squeeze",
    "force",
];
const POSITIONS: &[&str] = &[
    "center",
    "top",
    "top-right",
    "right",
    "bottom-right",
    "bottom",
    "bottom-left",
    "left",
    "top-left",
    "smart",
    "north",
    "north-east",
    "east",
    "south-east",
    "south",
    "south-west",
    "west",
    "north-west",
];
const FORMATS: &[&str] = &["auto", "avif", "webp", "jpeg", "jpg", "png", "gif", "original", "json"];
const QUALITIES: &[&str] = &["low", "medium-low", "medium-high", "high"];
const BOOLEANS: &[&str] = &["true", "false", "1", "0"];

impl Parameter {
    /// The parameter of that name or alias.
    pub fn find(name: &str) -> Option<&'static Parameter> {
        PARAMETERS.iter().find(|parameter| parameter.name == name || parameter.aliases.contains(&name))
    }

    /// Whether it may stand without a value, which then is `true`.
    pub fn takes_no_value(&self) -> bool {
        self.bare
    }

    /// Every name and alias.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PARAMETERS.iter().flat_map(|parameter| std::iter::once(parameter.name).chain(parameter.aliases.iter().copied()))
    }

    /// Takes a value in, where `None` is a name without one. Says whether it is one that this parameter may have;
    /// [`Parameter::unread`] is the error if it is not.
    pub(super) fn read(&self, value: Option<&str>, params: &mut Params) -> bool {
        (self.set)(params, self.text(value)).is_some()
    }

    /// That this parameter, as it was written, may not have this value.
    pub(super) fn unread(&self, written: &str, value: Option<&str>) -> InvalidParam {
        let text = self.text(value);
        self.invalid(written, text, self.suggestion(text))
    }

    /// That this parameter may not have this value, or not here.
    pub(super) fn invalid(&self, written: &str, value: &str, did_you_mean: Option<String>) -> InvalidParam {
        InvalidParam::new(written, value, self.grammar, did_you_mean)
    }

    /// The text of a value; a name without one may stand for `true`.
    fn text<'a>(&self, value: Option<&'a str>) -> &'a str {
        match value {
            None if self.bare => "true",
            None => "",
            Some(text) => text,
        }
    }

    fn suggestion(&self, text: &str) -> Option<String> {
        // the other way round, and more than once round
        if let ("rotate", Ok(degrees)) = (self.name, text.parse::<i32>())
            && degrees % 90 == 0
        {
            return Some(degrees.rem_euclid(360).to_string());
        }
        let colours = if self.name == "background" { Some(colours::names()) } else { None };
        nearest(text, self.words.iter().copied().chain(colours.into_iter().flatten())).map(str::to_owned)
    }

    /// The canonical value, where it was said.
    pub fn value(&self, params: &Params) -> Option<String> {
        (self.get)(params)
    }
}

impl Params {
    /// Fills what was not said from another set.
    pub fn or(self, other: &Params) -> Params {
        let mut all = other.clone();
        for parameter in PARAMETERS {
            if let Some(value) = parameter.value(&self) {
                // what a row has printed it can read: a test goes through all of them
                let _ = (parameter.set)(&mut all, &value);
            }
        }
        all
    }

    /// Whether anything was said that asks for a rendition.
    pub fn render(&self) -> bool {
        PARAMETERS.iter().any(|parameter| parameter.renders && parameter.value(self).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_means_two_parameters() {
        let mut names: Vec<&str> = Parameter::names().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn what_is_printed_is_read_as_the_same() {
        let values: &[(&str, &[&str])] = &[
            ("width", &["1", "800", "99999999999"]),
            ("aspect_ratio", &["16:9", "1.5", "0.5625", "1.85:1", "10:10"]),
            ("dpr", &["1", "2.0", "0.1", "1.25", ".5", "5"]),
            ("fit", FITS),
            ("position", POSITIONS),
            ("position", &["0.5x0.33", "1x0", "ne", "left-top", "northeast", "c", "0.12345x1"]),
            ("rect", &["0,0,1,1", "10,20,300,400"]),
            ("format", FORMATS),
            ("auto", &["format", "compress", "compress,format"]),
            ("quality", &["1", "100", "low", "HIGH"]),
            ("lossless", BOOLEANS),
            ("background", &["fff", "FFF8", "336699", "33669980", "RebeccaPurple", "transparent"]),
            ("rotate", &["0", "90", "180", "270"]),
            ("flip", &["h", "v", "hv", "vh"]),
            ("blur", &["0.3", "100", "2.55"]),
            ("sharpen", &["0", "10", "1.5"]),
            ("trim", &["true", "false", "1", "0", "2", "100"]),
            ("metadata", &["none", "Copyright", "keep"]),
            ("preset", &["avatar", "a-b_c9"]),
            ("download", &["my photo.jpg", "ü.png"]),
            ("v", &["", "2024-01-01"]),
            ("expires", &["0", "1893456000"]),
        ];
        for (name, values) in values {
            let parameter = Parameter::find(name).expect("a parameter");
            for value in *values {
                let mut first = Params::default();
                assert!(parameter.read(Some(value), &mut first), "{name}={value}");
                let shown = parameter.value(&first).expect("it was said");
                let mut second = Params::default();
                assert!(parameter.read(Some(&shown), &mut second), "{name}={shown}");
                assert_eq!(first, second, "{name}={value} is printed as {shown}");
            }
        }
    }

    #[test]
    fn decimals_are_taken_as_programs_write_them() {
        for (name, written, shown) in [
            ("aspect_ratio", "1.5", "3:2"),
            ("aspect_ratio", "1.7777777777777777", "17777777:10000000"),
            ("aspect_ratio", "0.6666666666666666:0.5", "3333333:2500000"),
            ("position", "0.3333333333333333x.5", "0.3333x0.5"),
            ("blur", "1.125", "1.13"),
            ("sharpen", "1.2345", "1.23"),
            ("dpr", "1.25", "1.25"),
        ] {
            let parameter = Parameter::find(name).expect("a parameter");
            let mut params = Params::default();
            assert!(parameter.read(Some(written), &mut params), "{name}={written}");
            assert_eq!(parameter.value(&params).as_deref(), Some(shown), "{name}={written}");
        }
    }

    #[test]
    fn what_is_refused() {
        let values: &[(&str, &[&str])] = &[
            ("width", &["", "0", "-1", "+5", "1.5", "800px", "1e3", " 8", "٣"]),
            ("aspect_ratio", &["", "0", "16:0", "0:9", "16:", ":9", "16x9", "-1", "1e5:1", "99999999999"]),
            ("dpr", &["", "0", "0.05", "5.01", "1.234", "2x", "-1", "1."]),
            ("fit", &["", "contian", "contain "]),
            ("position", &["", "up", "top-top", "left-right", "2x2", "0.5", "0.5x", "top-", "-", "1e0x1"]),
            ("rect", &["", "1,2,3", "1,2,3,4,5", "0,0,0,1", "-1,0,1,1", "a,b,c,d"]),
            ("format", &["", "bmp", "jpegxl", "tiff"]),
            ("auto", &["", "format,", "enhance"]),
            ("quality", &["", "0", "101", "medium", "80%"]),
            ("lossless", &["", "yes", "2"]),
            ("background", &["", "#fff", "ff", "fffff", "blurple", "1234567"]),
            ("rotate", &["", "45", "360", "-90"]),
            ("flip", &["", "x", "hh"]),
            ("blur", &["", "0", "0.2", "0.299", "100.001", "101", "NaN", "1e1"]),
            ("sharpen", &["", "-1", "10.01", "inf"]),
            ("trim", &["", "101", "yes"]),
            ("metadata", &["", "all"]),
            ("preset", &["", "Avatar", "a b", "0123456789012345678901234567890123"]),
            ("download", &["", "a/b.jpg", "..", "a\r\nb"]),
            ("expires", &["", "-1", "tomorrow"]),
        ];
        for (name, values) in values {
            let parameter = Parameter::find(name).expect("a parameter");
            for value in *values {
                assert!(!parameter.read(Some(value), &mut Params::default()), "{name}={value}");
            }
        }
    }

    #[test]
    fn suggestions() {
        let check = |name: &str, value: &str, expected: Option<&str>| {
            let parameter = Parameter::find(name).expect("a parameter");
            assert!(!parameter.read(Some(value), &mut Params::default()), "{name}={value}");
            let error = parameter.unread(name, Some(value));
            assert_eq!(error.did_you_mean.as_deref(), expected, "{name}={value}");
        };
        check("format", "wepb", Some("webp"));
        check("fit", "contian", Some("contain"));
        check("background", "blu", Some("blue"));
        check("position", "botom", Some("bottom"));
        check("rotate", "-90", Some("270"));
        check("rotate", "450", Some("90"));
        check("rotate", "45", None);
        check("format", "application", None);
        check("width", "wide", None);
    }
}
