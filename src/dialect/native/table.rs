//! One row for each parameter of a URL.
//!
//! To add a parameter: a field of [`Params`], a row in `table/rows.rs` with its parser and printer in `values.rs`, its default in
//! [`defaults`](super::params::defaults), and its place in `policy.rs` and `policy/recipe.rs`.

use super::colours;
use super::params::Params;
use crate::dialect::{InvalidParam, nearest};

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
    /// The control of a form that takes its values, unless [`Parameter::words`] tell.
    pub control: Control,
    /// The part of a form that it stands in.
    pub group: Group,
    /// Values to suggest in place of one that is not allowed.
    words: &'static [&'static str],
    default: fn() -> String,
    set: fn(&mut Params, &str) -> Option<()>,
    get: fn(&Params) -> Option<String>,
}

/// The control of a form for the values of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Control {
    /// A switch, a choice of its words, or else a text.
    Plain,
    /// The side of a result, from 1 to the limit of the settings.
    Side,
    /// An integer of that range.
    Integer(u32, u32),
    /// A decimal of that range, with at most two places.
    Decimal(f32, f32),
    /// A colour.
    Colour,
    /// A place in the picture: a word or a focal point.
    Point,
    /// The name of a preset.
    Preset,
    /// The name of an overlay.
    Overlay,
}

/// The part of a form that a parameter stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Sizes.
    Size,
    /// The part of the picture.
    Crop,
    /// Format and quality.
    Format,
    /// Effects on the pixels.
    Effects,
    /// How the answer is sent.
    Delivery,
}

impl Group {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Group::Size => "size",
            Group::Crop => "crop",
            Group::Format => "format",
            Group::Effects => "effects",
            Group::Delivery => "delivery",
        }
    }
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
    control: Control::Plain,
    group: Group::Effects,
    words: &[],
    default: none,
    set: |_, _| None,
    get: |_| None,
};

/// The text for a parameter that has no default.
fn none() -> String {
    "–".into()
}

mod overlays;
mod rows;

pub use rows::PARAMETERS;

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

    /// Words among the allowed values, each in its canonical spelling only.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        let is_canonical = |word: &&str| {
            let mut params = Params::default();
            self.parse(Some(word), &mut params) && self.value(&params).as_deref() == Some(*word)
        };
        self.words.iter().copied().filter(is_canonical)
    }

    /// The canonical value, where there is one.
    pub fn value(&self, params: &Params) -> Option<String> {
        (self.get)(params)
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
        let colours = if matches!(self.name, "background" | "canvas" | "tint") { Some(colours::names()) } else { None };
        nearest(text, self.words.iter().copied().chain(colours.into_iter().flatten())).map(str::to_owned)
    }
}

impl Params {
    /// Parameters of `other` fill those that are `None`.
    pub fn or(self, other: &Params) -> Params {
        let mut all = other.clone();
        for parameter in PARAMETERS {
            if let Some(value) = parameter.value(&self) {
                let is_read = parameter.parse(Some(&value), &mut all);
                debug_assert!(is_read, "{}={value} is printed, but not read", parameter.name);
            }
        }
        all
    }

    /// Whether a parameter asks for a rendition rather than the original.
    pub fn asks_for_rendition(&self) -> bool {
        PARAMETERS.iter().any(|parameter| parameter.renders && parameter.value(self).is_some())
    }
}
