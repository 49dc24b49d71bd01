//! Parsers of the values of parameters, and printers of their canonical form.

mod geometry;
mod overlay;

use super::colours;
use super::params::RequestedQuality;
use super::params::{Auto, Flip, RequestedFormat};
use crate::render::Format;
use crate::render::recipe::{Metadata, Quality, Rgba, Target};

pub(super) use geometry::*;
pub(super) use overlay::*;

/// The tolerance of `trim=true`, in percent.
const TRIM_TOLERANCE: u8 = 10;

pub(super) const FORMATS: &[&str] =
    &["auto", "avif", "webp", "jpeg", "jpg", "png", "gif", "original", "json", "dominant", "lqip"];
pub(super) const QUALITIES: &[&str] = &["low", "medium-low", "medium-high", "high", "auto"];
pub(super) const BOOLEANS: &[&str] = &["true", "false", "1", "0"];

pub(super) fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    // no sign, which `parse` would take
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// A width, and whether it is left to the client hints.
pub(super) fn width(text: &str) -> Option<(Option<u32>, bool)> {
    match text.eq_ignore_ascii_case("auto") {
        true => Some((None, true)),
        false => side(text).map(|width| (Some(width), false)),
    }
}

pub(super) fn show_width(width: Option<u32>, is_auto: bool) -> Option<String> {
    width.map(|width| width.to_string()).or(is_auto.then(|| "auto".into()))
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

pub(super) fn format(text: &str) -> Option<RequestedFormat> {
    Some(match text.to_ascii_lowercase().as_str() {
        "auto" => RequestedFormat::Auto,
        "original" => RequestedFormat::Original,
        "json" => RequestedFormat::Json,
        "dominant" => RequestedFormat::Dominant,
        "lqip" => RequestedFormat::Lqip,
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
        RequestedFormat::Dominant => "dominant",
        RequestedFormat::Lqip => "lqip",
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

/// Whether a text can be the name of a preset or an overlay: 1 to 32 of a-z, 0-9, _ and -.
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    (1..=32).contains(&text.len()) && text.bytes().all(plain)
}

pub(super) fn preset(text: &str) -> Option<String> {
    is_name(text).then(|| text.to_owned())
}

pub(super) fn file_name(text: &str) -> Option<String> {
    let strange = |c: char| c.is_control() || matches!(c, '/' | '\\');
    let plain = !text.is_empty() && text.len() <= 255 && !text.contains(strange) && text != "." && text != "..";
    plain.then(|| text.to_owned())
}

pub(super) fn version(text: &str) -> Option<String> {
    (text.chars().count() <= 64).then(|| text.to_owned())
}
