//! The URLs of ipx, which Nuxt Image and unpic print: `/_ipx/{modifiers}/{id}`.
//!
//! Options are called modifiers there. They are joined by `,` or `&`, and a modifier and its values by `_`, `:` or `=`;
//! `_` alone is none. As there, a modifier that is not known is ignored, and the id may be an absolute address.

mod draft;
#[cfg(test)]
mod tests;

use draft::{Draft, bounded, extract, first, format, padding, side, size, trim};

use super::meaning::invalid;
use super::options::{self, ForeignOption, OptionDoc};
use super::source::Sources;
use super::values::{percent_decode, quarter_turns, show_colour, whole};
use crate::dialect::{Dialect, Error, Statement};

/// The dialect of ipx.
#[derive(Clone, Debug)]
pub struct Ipx {
    /// The addresses of our own originals.
    pub sources: Sources,
    /// Whether a modifier that ipx does not know is an error.
    pub reject_unknown: bool,
}

const OPTIONS: &[ForeignOption<Draft>] = &[
    ForeignOption::read(
        "width",
        &["w"],
        "an integer from 1",
        "`width`, alone: `height` and `resize` have no effect then",
        |draft, name, value| side(name, value).map(|side| draft.width = Some(side)),
    ),
    ForeignOption::read(
        "height",
        &["h"],
        "an integer from 1",
        "`height`, where neither `width` nor `resize` is given",
        |draft, name, value| side(name, value).map(|side| draft.height = Some(side)),
    ),
    ForeignOption::read(
        "resize",
        &["s"],
        "WxH, or W for a square",
        "`width` and `height` with `fit=cover`",
        |draft, name, value| {
            (draft.resize, draft.has_long_resize) = (size(name, value)?, name == "resize");
            Ok(())
        },
    ),
    ForeignOption::read(
        "fit",
        &[],
        "cover, contain, inside, outside or fill",
        "`fit` of `resize`; contain is `fit=pad`",
        |draft, _, value| {
            draft.fit = Some(first(value).to_owned());
            Ok(())
        },
    ),
    ForeignOption::read("enlarge", &[], "any, false too", "`enlarge`", |draft, _, _| {
        draft.enlarges = true;
        Ok(())
    }),
    ForeignOption::read(
        "position",
        &["pos"],
        "top, right top … northeast, center, 0 to 8, entropy or attention",
        "`position`",
        |draft, _, value| {
            draft.position = Some(first(value).to_owned());
            Ok(())
        },
    ),
    ForeignOption::read(
        "background",
        &["b"],
        "a colour as hex of 3, 4, 6 or 8 digits with or without #, or a CSS colour name",
        "the colour of `fit=contain`, `extend` and `flatten`; black without it",
        |draft, _, value| {
            draft.background = Some(value.to_owned());
            Ok(())
        },
    ),
    ForeignOption::read("extract", &["crop"], "left_top_width_height in pixels", "`rect`", |draft, name, value| {
        extract(name, value).map(|rect| draft.rect = Some(rect))
    }),
    ForeignOption::read("rotate", &[], "a multiple of 90", "`rotate`", |draft, name, value| {
        let turns = quarter_turns(first(value)).ok_or_else(|| invalid(name, value, "a multiple of 90"))?;
        draft.turns = turns;
        Ok(())
    }),
    ForeignOption::read("flip", &[], "any", "`flip=v`, before `rotate`", |draft, _, _| {
        draft.flips = true;
        Ok(())
    }),
    ForeignOption::read("flop", &[], "any", "`flip=h`, before `rotate`", |draft, _, _| {
        draft.flops = true;
        Ok(())
    }),
    ForeignOption::read("extend", &[], "top_right_bottom_left in pixels", "`padding`", |draft, name, value| {
        padding(name, value).map(|padding| draft.padding = Some(padding))
    }),
    ForeignOption::read("quality", &["q"], "an integer from 1 to 100", "`quality`", |draft, name, value| {
        let quality = whole(first(value)).filter(|quality| (1..=100).contains(quality));
        draft.quality = Some(quality.ok_or_else(|| invalid(name, value, "an integer from 1 to 100"))?);
        Ok(())
    }),
    ForeignOption::read(
        "format",
        &["f"],
        "auto, jpeg, jpg, png, webp, avif or gif",
        "`format`",
        |draft, name, value| format(name, value).map(|format| draft.format = Some(format)),
    ),
    ForeignOption::read(
        "animated",
        &["a"],
        "any, false too",
        "without it `format` other than gif means `animated=false`",
        |draft, _, _| {
            draft.is_animated = true;
            Ok(())
        },
    ),
    ForeignOption::read("blur", &[], "0.3 to 100", "`blur`", |draft, name, value| {
        bounded(name, value, 0.3, 100.0).map(|sigma| draft.blur = Some(sigma))
    }),
    ForeignOption::read("sharpen", &[], "0.000001 to 10", "`sharpen`, approximately", |draft, name, value| {
        bounded(name, value, 0.000_001, 10.0).map(|sigma| draft.sharpen = Some(sigma))
    }),
    ForeignOption::read("flatten", &[], "any", "`background`", |draft, _, _| {
        draft.flattens = true;
        Ok(())
    }),
    ForeignOption::read(
        "trim",
        &[],
        "an integer from 0 to 255; 10 without one",
        "`trim` in percent, approximately",
        |draft, name, value| trim(name, value).map(|tolerance| draft.trim = Some(tolerance)),
    ),
    ForeignOption::read("grayscale", &["greyscale"], "any, false too", "`greyscale`", |draft, _, _| {
        draft.is_grey = true;
        Ok(())
    }),
    ForeignOption::refused_unless(
        "kernel",
        &[],
        "any but nearest",
        "every value but nearest is ignored: the size is the same",
        |value| value != "nearest",
    ),
    ForeignOption::read("tint", &[], "a CSS name or hexadecimal digits", "`tint`", |draft, name, value| {
        let colour = draft::colour(value).ok_or_else(|| invalid(name, value, "a CSS name or hexadecimal digits"))?;
        draft.tint = Some(show_colour(colour));
        Ok(())
    }),
    ForeignOption::refused("negate", &[], ""),
    ForeignOption::refused("gamma", &[], "native URLs have `gamma`, which changes the result"),
    ForeignOption::refused("normalize", &["normalise"], ""),
    ForeignOption::refused("threshold", &[], ""),
    ForeignOption::refused("median", &[], ""),
    ForeignOption::refused("modulate", &[], "native URLs have `brightness` and `saturation`"),
    ForeignOption::refused("dilate", &[], ""),
    ForeignOption::refused("erode", &[], ""),
    ForeignOption::refused("clahe", &[], ""),
];

impl Dialect for Ipx {
    fn name(&self) -> &'static str {
        "ipx"
    }

    fn read(&self, rest: &str, _query: Option<&str>, _now: u64) -> Result<Statement, Error> {
        let (modifiers, id) = split(rest);
        if modifiers.is_empty() {
            return Err(invalid("modifiers", "", "modifiers such as w_300, or _ for none, stand in front of the name"));
        }
        if id.is_empty() {
            return Err(invalid("id", "", "the name of the original stands behind the modifiers"));
        }
        let Effective { modifiers, unknown } = Effective::of(modifiers);
        if let Some((name, value)) = unknown.filter(|_| self.reject_unknown) {
            return Err(options::unknown(OPTIONS, name, value));
        }
        let mut draft = Draft::default();
        for (option, modifier) in OPTIONS.iter().zip(modifiers) {
            let Some((name, value)) = modifier else { continue };
            let values = decoded(value).ok_or_else(|| invalid(name, value, "it is percent-encoded UTF-8"))?;
            option.apply(&mut draft, name, &values)?;
        }
        let params = draft.meaning()?.into_rendition();
        let id = percent_decode(id).ok_or(Error::InvalidName)?;
        Ok(Statement::new(self.sources.id(&id)?, params))
    }

    fn negotiates_format(&self, rest: &str, _query: Option<&str>) -> bool {
        let modifiers = Effective::of(split(rest).0).modifiers;
        let format = OPTIONS.iter().zip(modifiers).find(|(option, _)| option.name == "format");
        let value = format.and_then(|(_, modifier)| decoded(modifier?.1));
        value.as_deref() == Some("auto")
    }

    fn options(&self) -> Vec<OptionDoc> {
        options::docs(OPTIONS)
    }

    fn write(&self, id: &crate::source::ImageId, params: &crate::dialect::Params) -> Vec<String> {
        super::write::ipx(id, params)
    }

    fn is_unsigned(&self) -> bool {
        true
    }
}

/// The modifiers and the id of a path, not decoded.
fn split(rest: &str) -> (&str, &str) {
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    rest.split_once('/').unwrap_or((rest, ""))
}

/// A name and its values, not decoded.
type Modifier<'a> = (&'a str, &'a str);

/// The modifiers that have an effect.
struct Effective<'a> {
    /// For each row of the table: of equal names the last, and of a long and a short name the long one.
    modifiers: Vec<Option<Modifier<'a>>>,
    /// The first that no row has.
    unknown: Option<Modifier<'a>>,
}

impl<'a> Effective<'a> {
    fn of(text: &'a str) -> Effective<'a> {
        let mut effective = Effective { modifiers: vec![None; OPTIONS.len()], unknown: None };
        for modifier in text.split([',', '&']) {
            let (name, value) = modifier.split_once(is_separator).unwrap_or((modifier, ""));
            if name.is_empty() {
                continue;
            }
            let is_of = |option: &ForeignOption<Draft>| option.name == name || option.aliases.contains(&name);
            let Some(at) = OPTIONS.iter().position(is_of) else {
                effective.unknown.get_or_insert((name, value));
                continue;
            };
            let long = OPTIONS[at].name;
            if name == long || effective.modifiers[at].is_none_or(|(before, _)| before != long) {
                effective.modifiers[at] = Some((name, value));
            }
        }
        effective
    }
}

/// Whether a character separates a modifier from its values, and these from each other.
fn is_separator(c: char) -> bool {
    matches!(c, '_' | ':' | '=')
}

/// The values, split before they are decoded, and then joined by `_`, as in ipx.
fn decoded(values: &str) -> Option<String> {
    values.split(is_separator).map(percent_decode).collect::<Option<Vec<_>>>().map(|values| values.join("_"))
}
