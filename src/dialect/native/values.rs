//! Parsers of the values of parameters, and printers of their canonical form.

use super::colours;
use super::params::RequestedQuality;
use super::params::{Auto, Fit, Flip, RequestedFormat};
use crate::render::Format;
use crate::render::Rect;
use crate::render::geometry::{Gravity, Ratio};
use crate::render::recipe::{Metadata, Quality, Rgba, Target};

/// The tolerance of `trim=true`, in percent.
const TRIM_TOLERANCE: u8 = 10;

pub(super) const FITS: &[&str] = &[
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
pub(super) const POSITIONS: &[&str] = &[
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
pub(super) const FORMATS: &[&str] = &["auto", "avif", "webp", "jpeg", "jpg", "png", "gif", "original", "json"];
pub(super) const QUALITIES: &[&str] = &["low", "medium-low", "medium-high", "high", "auto"];
pub(super) const BOOLEANS: &[&str] = &["true", "false", "1", "0"];

pub(super) fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    // no sign, which `parse` would take
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

pub(super) fn side(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // a number of more digits than fit is clamped like any other that is too large
    let side = plain.then(|| text.parse().unwrap_or(u32::MAX))?;
    (side > 0).then_some(side)
}

/// A decimal without sign and exponent, and how many digits follow its point.
pub(super) fn decimal(text: &str) -> Option<(f64, usize)> {
    const LONGEST: usize = 24;
    // ".5" is valid in CSS
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_good = text.len() <= LONGEST && !text.ends_with('.') && plain(whole) && plain(fraction);
    let value = is_good.then(|| text.parse().ok())??;
    Some((value, fraction.len()))
}

/// A decimal of that range, rounded to hundredths.
pub(super) fn hundredths(text: &str, min: f64, max: f64) -> Option<u16> {
    let (value, _) = decimal(text)?;
    (min..=max).contains(&value).then(|| (value * 100.0).round() as u16)
}

pub(super) fn show_hundredths(value: &u16) -> String {
    let text = format!("{}.{:02}", value / 100, value % 100);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(super) fn ratio(text: &str) -> Option<Ratio> {
    let fraction = |text: &str| -> Option<(u32, u32)> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        // 1.3333333333333333 has more digits than matter
        decimal(text)?;
        let decimals = &decimals[..decimals.len().min(8_usize.saturating_sub(whole.len()))];
        let scale = 10u32.checked_pow(u32::try_from(decimals.len()).ok()?)?;
        let value: u32 = digits(&format!("{whole}{decimals}"))?;
        Some((value, scale))
    };
    let (width, height) = match text.split_once(':') {
        Some((width, height)) => {
            let ((w, w_scale), (h, h_scale)) = (fraction(width)?, fraction(height)?);
            (w.checked_mul(h_scale)?, h.checked_mul(w_scale)?)
        }
        None => fraction(text)?,
    };
    let ratio = Ratio::new(width, height)?;
    // beyond these no original has a side that is long enough
    (0.0001..=10_000.0).contains(&ratio.value()).then_some(ratio)
}

pub(super) fn show_ratio(ratio: &Ratio) -> String {
    format!("{}:{}", ratio.width, ratio.height)
}

pub(super) fn fit(text: &str) -> Option<Fit> {
    Some(match text.to_ascii_lowercase().as_str() {
        "contain" | "inside" | "clip" | "max" | "scale-down" | "bounds" | "limit" => Fit::Contain,
        "cover" | "crop" | "min" => Fit::Cover,
        "fill" | "scale" | "stretch" | "squeeze" | "force" => Fit::Fill,
        "outside" => Fit::Outside,
        "pad" => Fit::Pad,
        _ => return None,
    })
}

pub(super) fn show_fit(fit: &Fit) -> String {
    match fit {
        Fit::Contain => "contain",
        Fit::Cover => "cover",
        Fit::Fill => "fill",
        Fit::Outside => "outside",
        Fit::Pad => "pad",
    }
    .into()
}

pub(super) fn position(text: &str) -> Option<Gravity> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "smart" => return Some(Gravity::Smart),
        "center" | "centre" | "middle" | "c" => return Some(Gravity::CENTER),
        _ => {}
    }
    if let Some((x, y)) = lower.split_once('x') {
        return Some(Gravity::Point(fraction(x)?, fraction(y)?));
    }
    // in either order, with or without a separator: top-left, left-top, northeast, se
    let (mut x, mut y) = (None, None);
    let mut rest = lower.as_str();
    while !rest.is_empty() {
        let (axis, value, after) = direction(rest)?;
        let axis = if axis == 'x' { &mut x } else { &mut y };
        if axis.replace(value).is_some() {
            return None;
        }
        rest = match after.strip_prefix(['-', '_', ' ', ',']) {
            Some("") => return None,
            Some(next) => next,
            None => after,
        };
    }
    if x.is_none() && y.is_none() {
        return None;
    }
    Some(Gravity::Point(x.unwrap_or(5000), y.unwrap_or(5000)))
}

/// The first direction of a text, and what follows it.
pub(super) fn direction(text: &str) -> Option<(char, u16, &str)> {
    const WORDS: [(&str, char, u16); 12] = [
        ("north", 'y', 0),
        ("south", 'y', 10_000),
        ("west", 'x', 0),
        ("east", 'x', 10_000),
        ("top", 'y', 0),
        ("bottom", 'y', 10_000),
        ("left", 'x', 0),
        ("right", 'x', 10_000),
        ("n", 'y', 0),
        ("s", 'y', 10_000),
        ("w", 'x', 0),
        ("e", 'x', 10_000),
    ];
    WORDS.iter().find_map(|&(word, axis, value)| text.strip_prefix(word).map(|rest| (axis, value, rest)))
}

/// A decimal from 0 to 1 in 1/10000.
pub(super) fn fraction(text: &str) -> Option<u16> {
    let (value, _) = decimal(text)?;
    (0.0..=1.0).contains(&value).then(|| (value * 10_000.0).round() as u16)
}

pub(super) fn show_position(gravity: &Gravity) -> String {
    let Gravity::Point(x, y) = *gravity else { return "smart".into() };
    let word = |value, near, far| match value {
        0 => Some(near),
        5000 => Some(""),
        10_000 => Some(far),
        _ => None,
    };
    match (word(y, "top", "bottom"), word(x, "left", "right")) {
        (Some(""), Some("")) => "center".into(),
        (Some(one), Some("")) | (Some(""), Some(one)) => one.into(),
        (Some(vertical), Some(horizontal)) => format!("{vertical}-{horizontal}"),
        _ => format!("{}x{}", f64::from(x) / 10_000.0, f64::from(y) / 10_000.0),
    }
}

pub(super) fn rect(text: &str) -> Option<Rect> {
    let numbers: Vec<u32> = text.split(',').map(digits).collect::<Option<_>>()?;
    let &[x, y, width, height] = numbers.as_slice() else { return None };
    (width > 0 && height > 0).then_some(Rect { x, y, width, height })
}

pub(super) fn show_rect(rect: &Rect) -> String {
    format!("{},{},{},{}", rect.x, rect.y, rect.width, rect.height)
}

pub(super) fn format(text: &str) -> Option<RequestedFormat> {
    Some(match text.to_ascii_lowercase().as_str() {
        "auto" => RequestedFormat::Auto,
        "original" => RequestedFormat::Original,
        "json" => RequestedFormat::Json,
        "jpeg" | "jpg" => RequestedFormat::Exactly(Format::Jpeg),
        "png" => RequestedFormat::Exactly(Format::Png),
        "gif" => RequestedFormat::Exactly(Format::Gif),
        "webp" => RequestedFormat::Exactly(Format::WebP),
        "avif" => RequestedFormat::Exactly(Format::Avif),
        _ => return None,
    })
}

pub(super) fn show_format(format: &RequestedFormat) -> String {
    match format {
        RequestedFormat::Auto => "auto",
        RequestedFormat::Original => "original",
        RequestedFormat::Json => "json",
        RequestedFormat::Exactly(format) => format.name(),
    }
    .into()
}

pub(super) fn auto(text: &str) -> Option<Auto> {
    let mut auto = Auto { format: false };
    for word in text.split(',') {
        match word.trim().to_ascii_lowercase().as_str() {
            "format" => auto.format = true,
            "compress" => {}
            _ => return None,
        }
    }
    Some(auto)
}

pub(super) fn show_auto(auto: &Auto) -> String {
    if auto.format { "format" } else { "compress" }.into()
}

pub(super) fn quality(text: &str) -> Option<RequestedQuality> {
    let number = match text.to_ascii_lowercase().as_str() {
        "auto" => return Some(RequestedQuality::Auto),
        "low" => 50,
        "medium-low" => 65,
        "medium-high" => 80,
        "high" => 90,
        number => digits(number)?,
    };
    Quality::new(number).map(RequestedQuality::Number)
}

pub(super) fn show_quality(quality: &RequestedQuality) -> String {
    match quality {
        RequestedQuality::Number(quality) => quality.get().to_string(),
        RequestedQuality::Auto => "auto".into(),
    }
}

pub(super) fn target(text: &str) -> Option<Target> {
    Target::new(digits(text)?)
}

pub(super) fn show_target(target: &Target) -> String {
    target.get().to_string()
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

pub(super) fn trim(text: &str) -> Option<u8> {
    match boolean(text) {
        Some(on) => Some(if on { TRIM_TOLERANCE } else { 0 }),
        // 01 is the boolean, too: a tolerance of 1 would have no canonical form
        None => digits(text)
            .filter(|tolerance| (1..=100).contains(tolerance))
            .map(|tolerance| if tolerance == 1 { TRIM_TOLERANCE } else { tolerance }),
    }
}

pub(super) fn show_trim(tolerance: &u8) -> String {
    match *tolerance {
        0 => "false".into(),
        TRIM_TOLERANCE => "true".into(),
        tolerance => tolerance.to_string(),
    }
}

pub(super) fn colour(text: &str) -> Option<Rgba> {
    if let Some(named) = colours::named(text) {
        return Some(named);
    }
    let nibbles: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let pair = |index: usize| nibbles[2 * index] * 16 + nibbles[2 * index + 1];
    let twice = |index: usize| nibbles[index] * 17;
    Some(Rgba(match nibbles.len() {
        3 => [twice(0), twice(1), twice(2), 255],
        4 => [twice(0), twice(1), twice(2), twice(3)],
        6 => [pair(0), pair(1), pair(2), 255],
        8 => [pair(0), pair(1), pair(2), pair(3)],
        _ => return None,
    }))
}

pub(super) fn show_colour(Rgba([r, g, b, a]): &Rgba) -> String {
    if *a == 255 { format!("{r:02x}{g:02x}{b:02x}") } else { format!("{r:02x}{g:02x}{b:02x}{a:02x}") }
}

pub(super) fn rotation(text: &str) -> Option<u16> {
    digits(text).filter(|degrees| matches!(degrees, 0 | 90 | 180 | 270))
}

pub(super) fn flip(text: &str) -> Option<Flip> {
    let (horizontal, vertical) = match text.to_ascii_lowercase().as_str() {
        "h" => (true, false),
        "v" => (false, true),
        "hv" | "vh" => (true, true),
        _ => return None,
    };
    Some(Flip { horizontal, vertical })
}

pub(super) fn show_flip(flip: &Flip) -> String {
    match (flip.horizontal, flip.vertical) {
        (true, true) => "hv",
        (true, false) => "h",
        _ => "v",
    }
    .into()
}

pub(super) fn metadata(text: &str) -> Option<Metadata> {
    Some(match text.to_ascii_lowercase().as_str() {
        "none" => Metadata::None,
        "copyright" => Metadata::Copyright,
        "keep" => Metadata::Keep,
        _ => return None,
    })
}

pub(super) fn show_metadata(metadata: &Metadata) -> String {
    match metadata {
        Metadata::None => "none",
        Metadata::Copyright => "copyright",
        Metadata::Keep => "keep",
    }
    .into()
}

pub(super) fn preset(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    ((1..=32).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
}

pub(super) fn file_name(text: &str) -> Option<String> {
    let strange = |c: char| c.is_control() || matches!(c, '/' | '\\');
    let plain = !text.is_empty() && text.len() <= 255 && !text.contains(strange) && text != "." && text != "..";
    plain.then(|| text.to_owned())
}

pub(super) fn version(text: &str) -> Option<String> {
    (text.chars().count() <= 64).then(|| text.to_owned())
}
