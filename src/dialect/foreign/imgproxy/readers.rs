//! The readers of the rows of the table: arguments into a draft. An empty argument keeps what was before.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::draft::{Draft, Resizing};
use super::gravity::{self, Gravity};
use crate::dialect::Error;
use crate::dialect::foreign::meaning::invalid;
use crate::dialect::foreign::values::{hex_colour, number, percent_decode, whole};
use crate::dialect::foreign::watermark::Watermark;

pub(super) const FORMATS: &str = "jpg, jpeg, png, webp, avif or gif";

/// Every format of imgproxy with its native name, where there is one.
const KNOWN_FORMATS: [(&str, Option<&str>); 16] = [
    ("jpg", Some("jpeg")),
    ("jpeg", Some("jpeg")),
    ("png", Some("png")),
    ("webp", Some("webp")),
    ("avif", Some("avif")),
    ("gif", Some("gif")),
    ("ico", None),
    ("svg", None),
    ("bmp", None),
    ("tiff", None),
    ("heic", None),
    ("jxl", None),
    ("mp4", None),
    ("pdf", None),
    ("psd", None),
    ("best", None),
];

/// The argument of that place, where it is not empty.
fn nth<'a>(arguments: &[&'a str], at: usize) -> Option<&'a str> {
    arguments.get(at).copied().filter(|argument| !argument.is_empty())
}

fn truth(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "TRUE" | "true" | "True")
}

/// A whole number into `field`; an empty one keeps it.
fn set_whole(field: &mut u32, name: &str, argument: Option<&str>) -> Result<(), Error> {
    if let Some(text) = argument {
        *field = whole(text).ok_or_else(|| invalid(name, text, "a whole number"))?;
    }
    Ok(())
}

/// A number from 0 into `field`; an empty one keeps it.
fn set_number(field: &mut f64, name: &str, argument: Option<&str>) -> Result<(), Error> {
    if let Some(text) = argument {
        *field = number(text).filter(|number| *number >= 0.0).ok_or_else(|| invalid(name, text, "a number from 0"))?;
    }
    Ok(())
}

/// A number in the value of an option into `field`; the reader of a row.
macro_rules! readers {
    ($($name:ident: $set:ident,)*) => {
        $(pub(super) fn $name(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
            let argument = draft.argument(name, value)?;
            $set(&mut draft.$name, name, argument)
        })*
    };
}

fn set_truth(field: &mut bool, _: &str, argument: Option<&str>) -> Result<(), Error> {
    *field = argument.map_or(*field, truth);
    Ok(())
}

fn set_text(field: &mut String, _: &str, argument: Option<&str>) -> Result<(), Error> {
    if let Some(text) = argument {
        text.clone_into(field);
    }
    Ok(())
}

readers! {
    width: set_whole,
    height: set_whole,
    pixelate: set_whole,
    blur: set_number,
    sharpen: set_number,
    enlarge: set_truth,
    auto_rotate: set_truth,
    strip_metadata: set_truth,
    keep_copyright: set_truth,
    attachment: set_truth,
    raw: set_truth,
    cache_buster: set_text,
}

pub(super) fn resize(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let arguments = draft.arguments(name, value, 8)?;
    set_resizing(draft, name, arguments[0])?;
    set_size(draft, name, &arguments[1..])
}

pub(super) fn size(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let arguments = draft.arguments(name, value, 7)?;
    set_size(draft, name, &arguments)
}

pub(super) fn resizing_type(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let argument = draft.argument(name, value)?.unwrap_or_default();
    set_resizing(draft, name, argument)
}

fn set_resizing(draft: &mut Draft, name: &str, text: &str) -> Result<(), Error> {
    if !text.is_empty() {
        let allowed = "fit, fill, fill-down, force or auto";
        draft.resizing = Resizing::of(text).ok_or_else(|| invalid(name, text, allowed))?;
    }
    Ok(())
}

fn set_size(draft: &mut Draft, name: &str, arguments: &[&str]) -> Result<(), Error> {
    set_whole(&mut draft.width, name, nth(arguments, 0))?;
    set_whole(&mut draft.height, name, nth(arguments, 1))?;
    set_truth(&mut draft.enlarge, name, nth(arguments, 2))?;
    match nth(arguments, 3) {
        Some(_) => set_extend(draft, name, &arguments[3..]),
        None => Ok(()),
    }
}

pub(super) fn extend(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let arguments = draft.arguments(name, value, 4)?;
    set_extend(draft, name, &arguments)
}

fn set_extend(draft: &mut Draft, name: &str, arguments: &[&str]) -> Result<(), Error> {
    draft.extend = nth(arguments, 0).map_or(draft.extend, truth);
    draft.extend_gravity.read_side(name, &arguments[1..])
}

pub(super) fn extend_ratio(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let arguments = draft.arguments(name, value, 4)?;
    draft.extend_ratio = nth(&arguments, 0).map_or(draft.extend_ratio, truth);
    // refused wherever its gravity would matter
    Gravity::default().read_side(name, &arguments[1..])
}

pub(super) fn zoom(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let arguments = draft.arguments(name, value, 2)?;
    let positive =
        |text: &str| number(text).filter(|factor| *factor > 0.0).ok_or_else(|| invalid(name, text, "a number above 0"));
    if let Some(both) = nth(&arguments, 0) {
        draft.zoom = [positive(both)?; 2];
    }
    if let Some(vertical) = nth(&arguments, 1) {
        draft.zoom[1] = positive(vertical)?;
    }
    Ok(())
}

pub(super) fn dpr(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    if let Some(text) = draft.argument(name, value)? {
        let dpr = number(text).filter(|dpr| (0.1..=5.0).contains(dpr));
        draft.dpr = dpr.ok_or_else(|| invalid(name, text, "0.1 to 5"))?;
    }
    Ok(())
}

pub(super) fn gravity(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let arguments: Vec<&str> = value.split(draft.separator.as_str()).collect();
    draft.gravity.read(name, &arguments)
}

pub(super) fn crop(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let arguments = draft.arguments(name, value, 5)?;
    for at in 0..2 {
        set_number(&mut draft.crop[at], name, nth(&arguments, at))?;
    }
    if nth(&arguments, 2).is_some() {
        let mut gravity = draft.crop_gravity.unwrap_or_default();
        gravity.read(name, &arguments[2..])?;
        draft.crop_gravity = Some(gravity);
    } else if arguments.iter().skip(3).any(|argument| !argument.is_empty()) {
        return Err(invalid(name, value, "offsets follow a gravity"));
    }
    Ok(())
}

pub(super) fn trim(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let arguments = draft.arguments(name, value, 4)?;
    if arguments[1..].iter().any(|argument| !argument.is_empty()) {
        return Err(invalid(name, value, "a threshold alone: this server finds the colour itself"));
    }
    draft.trim = match nth(&arguments, 0) {
        Some(text) => {
            let threshold = number(text).filter(|threshold| *threshold >= 0.0);
            Some(threshold.ok_or_else(|| invalid(name, text, "a number from 0"))?)
        }
        None => None,
    };
    Ok(())
}

pub(super) fn padding(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let arguments = draft.arguments(name, value, 4)?;
    // each argument is also that of the sides behind it which have none: top, right, bottom and left
    let sides: [&[usize]; 4] = [&[0, 1, 2, 3], &[1, 3], &[2], &[3]];
    for (at, sides) in sides.into_iter().enumerate() {
        let Some(text) = nth(&arguments, at) else { continue };
        let pixels = whole(text).ok_or_else(|| invalid(name, text, "a whole number"))?;
        sides.iter().for_each(|&side| draft.padding[side] = pixels);
    }
    Ok(())
}

pub(super) fn rotate(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    if let Some(text) = draft.argument(name, value)? {
        let angle = text.parse::<i32>().ok().filter(|angle| angle % 90 == 0);
        let angle = angle.ok_or_else(|| invalid(name, text, "a multiple of 90"))?;
        draft.rotate = angle.rem_euclid(360) as u16;
    }
    Ok(())
}

pub(super) fn flip(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let arguments = draft.arguments(name, value, 2)?;
    for at in 0..2 {
        set_truth(&mut draft.flip[at], name, nth(&arguments, at))?;
    }
    Ok(())
}

pub(super) fn background(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let byte = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u8>().ok())?;
    let colour = match draft.arguments(name, value, 3)?[..] {
        [""] => {
            draft.background = None;
            return Ok(());
        }
        [hex] if matches!(hex.len(), 3 | 6) => hex_colour(hex),
        [r, g, b] => byte(r).zip(byte(g)).zip(byte(b)).map(|((r, g), b)| [r, g, b, u8::MAX]),
        _ => None,
    };
    let allowed = "3 or 6 hexadecimal digits, or R, G and B from 0 to 255";
    draft.background = Some(colour.ok_or_else(|| invalid(name, value, allowed))?);
    Ok(())
}

pub(super) fn watermark(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let arguments = draft.arguments(name, value, 5)?;
    let Some(opacity) = nth(&arguments, 0) else { return Ok(()) };
    let opacity = number(opacity).filter(|opacity| (0.0..=1.0).contains(opacity));
    let opacity = opacity.ok_or_else(|| invalid(name, value, "an opacity of 0 to 1"))? * 100.0;
    let position = match nth(&arguments, 1).unwrap_or("ce") {
        "re" => "repeat",
        place => gravity::side(place)
            .ok_or_else(|| invalid(name, place, "ce, no, so, ea, we, noea, nowe, soea, sowe or re"))?,
    };
    let offset = |at: usize| match nth(&arguments, at) {
        Some(text) => number(text).ok_or_else(|| invalid(name, text, "a number")),
        None => Ok(0.0),
    };
    let scale = match nth(&arguments, 4).map(number) {
        None | Some(Some(0.0)) => None,
        Some(Some(scale)) if (0.01..=1.0).contains(&scale) => Some([scale; 2]),
        Some(_) => return Err(invalid(name, value, "a scale of 0.01 to 1, or 0")),
    };
    draft.watermark = Some(Watermark {
        option: ("watermark", value.to_owned()),
        // the dialect's setting names it
        overlay: String::new(),
        position: position.to_owned(),
        offset: [offset(2)?, offset(3)?],
        opacity,
        scale,
    });
    Ok(())
}

pub(super) fn quality(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    if let Some(text) = draft.argument(name, value)? {
        draft.quality = quality_of(text).ok_or_else(|| invalid(name, text, "1 to 100; 0 for the default"))?;
    }
    Ok(())
}

fn quality_of(text: &str) -> Option<u32> {
    whole(text).filter(|quality| *quality <= 100)
}

pub(super) fn format_quality(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let arguments: Vec<&str> = value.split(draft.separator.as_str()).collect();
    let wrong = || invalid(name, value, "pairs of a format and a quality from 1 to 100");
    for pair in arguments.chunks(2) {
        let [format, quality] = *pair else { return Err(wrong()) };
        let &(_, native) = KNOWN_FORMATS.iter().find(|(known, _)| *known == format).ok_or_else(wrong)?;
        draft.format_quality.push((native, quality_of(quality).ok_or_else(wrong)?));
    }
    Ok(())
}

pub(super) fn format(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    if let Some(text) = draft.argument(name, value)? {
        let native = KNOWN_FORMATS.iter().find(|(known, _)| *known == text).and_then(|(_, native)| *native);
        draft.format = Some(native.ok_or_else(|| invalid(name, text, FORMATS))?);
    }
    Ok(())
}

pub(super) fn expires(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    if let Some(text) = draft.argument(name, value)? {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = is_plain.then(|| text.parse().ok()).flatten();
        draft.expires = seconds.ok_or_else(|| invalid(name, text, "unix seconds; 0 for never"))?;
    }
    Ok(())
}

pub(super) fn filename(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let arguments = draft.arguments(name, value, 2)?;
    let Some(text) = nth(&arguments, 0) else { return Ok(()) };
    let decoded = match nth(&arguments, 1).is_some_and(truth) {
        true => {
            let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
            bytes.and_then(|bytes| String::from_utf8(bytes).ok())
        }
        false => percent_decode(text).map(|text| text.into_owned()),
    };
    draft.filename = Some(decoded.ok_or_else(|| invalid(name, value, "a percent-encoded name, or base64url and 1"))?);
    Ok(())
}
