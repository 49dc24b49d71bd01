//! One row for each option of images.weserv.nl 5.

use std::sync::LazyLock;

use super::draft::{Draft, Fit, coordinate, image_format, number_in, position, sharpness, side};
use crate::dialect::Error;
use crate::dialect::foreign::meaning::invalid;
use crate::dialect::foreign::options::{ForeignOption, Index};
use crate::dialect::foreign::values::{
    argb_colour, named_colour, number, percent_of_levels, quarter_turns, show_colour, whole,
};

type Row = ForeignOption<Draft>;

const COLOUR: &str = "hex of 3, 4, 6 or 8 digits, where alpha is in front, or a CSS colour name";
const COORDINATE: &str = "pixels, or percent such as 25%";

/// The rows of [`OPTIONS`] by name.
pub(super) static INDEX: LazyLock<Index<Draft>> = LazyLock::new(|| Index::new(OPTIONS));

pub(super) const OPTIONS: &[Row] = &[
    Row::read("url", &[], "an address below `bases`, with or without a scheme", "the original", |draft, _, value| {
        draft.url = Some(value.to_owned());
        Ok(())
    }),
    Row::read("w", &["width"], "an integer from 1", "`width`", |draft, name, value| {
        side(name, value).map(|side| draft.width = Some(side))
    }),
    Row::read("h", &["height"], "an integer from 1", "`height`", |draft, name, value| {
        side(name, value).map(|side| draft.height = Some(side))
    }),
    Row::read("dpr", &[], "0.1 to 8", "factor of `w` and `h`", |draft, name, value| {
        number_in(name, value, 0.1, 8.0).map(|dpr| draft.dpr = Some(dpr))
    }),
    Row::read(
        "fit",
        &["t"],
        "inside, cover, fill, outside or contain",
        "`fit` with `enlarge`; contain is `fit=pad`",
        |draft, name, value| {
            let (fit, is_kept_small) = Fit::parse(name, value)?;
            draft.fit = fit;
            if is_kept_small {
                draft.is_kept_small.get_or_insert(true);
            }
            Ok(())
        },
    ),
    Row::read("we", &[], "no value, true or false", "without `enlarge`", |draft, _, value| {
        draft.is_kept_small.get_or_insert(is_on(value));
        Ok(())
    }),
    Row::read(
        "a",
        &["align"],
        "center, top, top-left …, focal, entropy or attention",
        "`position`, with cover and contain",
        |draft, name, value| position(name, value).map(|position| draft.position = Some(position)),
    ),
    Row::read("fpx", &[], "0 to 1", "`position`, with `a=focal`", |draft, name, value| {
        number_in(name, value, 0.0, 1.0).map(|x| draft.focal_point.0 = Some(x))
    }),
    Row::read("fpy", &[], "0 to 1", "`position`, with `a=focal`", |draft, name, value| {
        number_in(name, value, 0.0, 1.0).map(|y| draft.focal_point.1 = Some(y))
    }),
    Row::read("cbg", &[], COLOUR, "`canvas`, with contain", |draft, name, value| {
        colour(name, value).map(|colour| draft.canvas = Some(colour))
    }),
    Row::read("bg", &[], COLOUR, "`background`", |draft, name, value| {
        colour(name, value).map(|colour| draft.background = Some(colour))
    }),
    Row::read("cx", &[], COORDINATE, "`rect`, with `precrop`", |draft, name, value| {
        coordinate(name, value).map(|x| draft.crop[0] = Some(x))
    }),
    Row::read("cy", &[], COORDINATE, "`rect`, with `precrop`", |draft, name, value| {
        coordinate(name, value).map(|y| draft.crop[1] = Some(y))
    }),
    Row::read("cw", &[], COORDINATE, "`rect`, with `precrop`", |draft, name, value| {
        coordinate(name, value).map(|width| draft.crop[2] = Some(width))
    }),
    Row::read("ch", &[], COORDINATE, "`rect`, with `precrop`", |draft, name, value| {
        coordinate(name, value).map(|height| draft.crop[3] = Some(height))
    }),
    Row::read("precrop", &[], "no value, true or false", "`rect`, before resizing", |draft, _, value| {
        draft.is_cropped_before = is_on(value);
        Ok(())
    }),
    Row::read("ro", &["or"], "a multiple of 90", "`rotate`", |draft, name, value| {
        draft.turns = quarter_turns(value).ok_or_else(|| invalid(name, value, "a multiple of 90"))?;
        Ok(())
    }),
    Row::read("flip", &[], "no value, true or false", "`flip=v`", |draft, _, value| {
        draft.flips = is_on(value);
        Ok(())
    }),
    Row::read("flop", &[], "no value, true or false", "`flip=h`", |draft, _, value| {
        draft.flops = is_on(value);
        Ok(())
    }),
    Row::read("blur", &[], "0.3 to 100", "`blur`", |draft, name, value| {
        number_in(name, value, 0.3, 100.0).map(|sigma| draft.blur = Some(sigma))
    }),
    Row::read(
        "sharp",
        &[],
        "0.000001 to 10, or flat,jagged,sigma",
        "`sharpen` of sigma, approximately",
        |draft, name, value| sharpness(name, value).map(|sigma| draft.sharpness = Some(sigma)),
    ),
    Row::read("trim", &[], "an integer from 1 to 254", "`trim` in percent, approximately", |draft, name, value| {
        let levels = whole(value).filter(|levels| (1..=254).contains(levels));
        let levels = levels.ok_or_else(|| invalid(name, value, "an integer from 1 to 254"))?;
        draft.trim = Some(percent_of_levels(levels));
        Ok(())
    }),
    Row::read("filt", &[], "greyscale or none", "`greyscale`", |draft, name, value| match value {
        "greyscale" => {
            draft.is_grey = true;
            Ok(())
        }
        "none" => Ok(()),
        _ => Err(invalid(name, value, "greyscale; other filters are not operations of this server")),
    }),
    Row::read("output", &[], "jpg, png, gif, webp or avif", "`format`", |draft, name, value| {
        image_format(name, value).map(|format| draft.format = Some(format))
    }),
    Row::read("q", &["quality"], "an integer from 1 to 100", "`quality`", |draft, name, value| {
        let quality = whole(value).filter(|quality| (1..=100).contains(quality));
        draft.quality = Some(quality.ok_or_else(|| invalid(name, value, "an integer from 1 to 100"))?);
        Ok(())
    }),
    Row::read("ll", &["lossless"], "no value, true or false", "`lossless`, with `output=webp`", |draft, _, value| {
        draft.is_lossless = is_on(value);
        Ok(())
    }),
    Row::read("n", &["pages"], "1 or -1", "1, or without it, is `animated=false`", |draft, name, value| match value {
        "1" => Ok(()),
        "-1" => {
            draft.is_animated = true;
            Ok(())
        }
        _ => Err(invalid(name, value, "1 for the first frame, or -1 for all")),
    }),
    Row::refused_unless("page", &[], "0", "", |value| value == "0"),
    Row::refused("loop", &[], ""),
    Row::refused("delay", &[], ""),
    Row::refused_unless("encoding", &[], "empty", "", str::is_empty),
    Row::refused("crop", &[], "with `precrop` there are `cx`, `cy`, `cw` and `ch`"),
    Row::refused_unless("mask", &["shape"], "none", "", |value| matches!(value, "" | "none")),
    Row::read("tint", &[], COLOUR, "`tint`, approximately", |draft, name, value| {
        if !value.is_empty() {
            draft.tint = Some(colour(name, value)?);
        }
        Ok(())
    }),
    Row::refused_unless("bri", &[], "0", "native URLs have `brightness`, a factor", |value| number(value) == Some(0.0)),
    Row::refused_unless("con", &[], "0", "native URLs have `contrast`, a factor", |value| number(value) == Some(0.0)),
    Row::refused_unless("gam", &[], "0 or 1", "native URLs have `gamma`", |value| {
        number(value).is_some_and(|gamma| gamma == 0.0 || gamma == 1.0)
    }),
    Row::refused_unless("mod", &[], "1,1,0", "native URLs have `brightness` and `saturation`", |value| {
        value.split(',').zip([1.0, 1.0, 0.0]).all(|(factor, neutral)| number(factor) == Some(neutral))
    }),
    Row::refused_unless("sat", &[], "1", "native URLs have `saturation`", |value| number(value) == Some(1.0)),
    Row::refused_unless("hue", &[], "0", "", |value| number(value).is_some_and(|degrees| degrees % 360.0 == 0.0)),
    Row::ignored("sharpf", &[], "the shape of `sharp`, which is approximate"),
    Row::ignored("sharpj", &[], "the shape of `sharp`, which is approximate"),
    Row::ignored("mtrim", &["strim"], "of `mask`, which is refused"),
    Row::ignored("mbg", &[], "of `mask`, which is refused"),
    Row::ignored("rbg", &[], "of angles that are no quarter turns, which are refused"),
    Row::ignored("start", &[], "of `filt=duotone`, which is refused"),
    Row::ignored("stop", &[], "of `filt=duotone`, which is refused"),
    Row::ignored("il", &[], "the encoder chooses"),
    Row::ignored("af", &[], "the encoder chooses"),
    Row::ignored("l", &["level"], "the encoder chooses"),
    Row::ignored("fsol", &[], "the decoder chooses"),
    Row::ignored("maxage", &[], "freshness is a setting"),
    Row::ignored("default", &[], "of failures only"),
    Row::ignored("errorredirect", &[], "of failures only"),
    Row::ignored("filename", &[], "a name for saving"),
];

/// Whether a switch is on: without a value, too.
fn is_on(value: &str) -> bool {
    !matches!(value, "false" | "0")
}

/// A colour as native parameters have it.
fn colour(name: &str, value: &str) -> Result<String, Error> {
    let digits = value.strip_prefix('#').unwrap_or(value);
    let colour = argb_colour(digits).or_else(|| named_colour(value));
    colour.map(show_colour).ok_or_else(|| invalid(name, value, COLOUR))
}
