//! Values that say which part of an original is shown, and in which size.

use super::{decimal, digits, show_hundredths};
use crate::dialect::native::params::Fit;
use crate::render::geometry::{Area, Gravity, Length, Limit, Offset, Padding, Ratio};

pub(in crate::dialect::native) const FITS: &[&str] = &[
    "contain",
    "cover",
    "fill",
    "outside",
    "pad",
    "auto",
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
pub(in crate::dialect::native) const POSITIONS: &[&str] = &[
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

pub(in crate::dialect::native) fn ratio(text: &str) -> Option<Ratio> {
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

pub(in crate::dialect::native) fn show_ratio(ratio: &Ratio) -> String {
    format!("{}:{}", ratio.width, ratio.height)
}

pub(in crate::dialect::native) fn fit(text: &str) -> Option<Fit> {
    Some(match text.to_ascii_lowercase().as_str() {
        "contain" | "inside" | "clip" | "max" | "scale-down" | "bounds" | "limit" => Fit::Contain,
        "cover" | "crop" | "min" => Fit::Cover,
        "fill" | "scale" | "stretch" | "squeeze" | "force" => Fit::Fill,
        "outside" => Fit::Outside,
        "pad" => Fit::Pad,
        "auto" => Fit::Auto,
        _ => return None,
    })
}

pub(in crate::dialect::native) fn show_fit(fit: &Fit) -> String {
    match fit {
        Fit::Contain => "contain",
        Fit::Cover => "cover",
        Fit::Fill => "fill",
        Fit::Outside => "outside",
        Fit::Pad => "pad",
        Fit::Auto => "auto",
    }
    .into()
}

pub(in crate::dialect::native) fn limit(text: &str) -> Option<Limit> {
    let limits = [Limit::Ratio, Limit::Sides, Limit::Box];
    limits.into_iter().find(|limit| limit.name().eq_ignore_ascii_case(text))
}

pub(in crate::dialect::native) fn show_limit(limit: &Limit) -> String {
    limit.name().into()
}

pub(in crate::dialect::native) fn position(text: &str) -> Option<Gravity> {
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
pub(in crate::dialect::native) fn direction(text: &str) -> Option<(char, u16, &str)> {
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
pub(in crate::dialect::native) fn fraction(text: &str) -> Option<u16> {
    let (value, _) = decimal(text)?;
    (0.0..=1.0).contains(&value).then(|| (value * 10_000.0).round() as u16)
}

pub(in crate::dialect::native) fn show_position(gravity: &Gravity) -> String {
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

pub(in crate::dialect::native) fn rect(text: &str) -> Option<[Length; 4]> {
    let rect: [Length; 4] = four(text, |text| match text.strip_suffix('p') {
        Some(percent) => share(percent, 100.0).map(Length::Share),
        None => digits(text).map(Length::Pixels),
    })?;
    let is_empty = |length: Length| matches!(length, Length::Pixels(0) | Length::Share(0));
    (!is_empty(rect[2]) && !is_empty(rect[3])).then_some(rect)
}

pub(in crate::dialect::native) fn show_rect(rect: &[Length; 4]) -> String {
    let show = |length: Length| match length {
        Length::Pixels(pixels) => pixels.to_string(),
        Length::Share(share) => format!("{}p", show_hundredths(&share)),
    };
    rect.map(show).join(",")
}

/// A decimal up to `all` in 1/10000 of it.
fn share(text: &str, all: f64) -> Option<u16> {
    let (value, _) = decimal(text)?;
    (0.0..=all).contains(&value).then(|| (value / all * 10_000.0).round() as u16)
}

/// Four values that commas separate.
fn four<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<[T; 4]> {
    text.split(',').map(parse).collect::<Option<Vec<T>>>()?.try_into().ok()
}

pub(in crate::dialect::native) fn padding(text: &str) -> Option<Padding> {
    let [top, right, bottom, left] = four(text, digits)?;
    Some(Padding { top, right, bottom, left })
}

pub(in crate::dialect::native) fn show_padding(padding: &Padding) -> String {
    let Padding { top, right, bottom, left } = *padding;
    format!("{top},{right},{bottom},{left}")
}

pub(in crate::dialect::native) fn offset(text: &str) -> Option<Offset> {
    let (x, y) = text.split_once(',')?;
    Some(Offset { x: distance(x)?, y: distance(y)? })
}

pub(in crate::dialect::native) fn show_offset(offset: &Offset) -> String {
    format!("{},{}", show_distance(offset.x), show_distance(offset.y))
}

/// A decimal with or without a sign in 1/10000.
fn distance(text: &str) -> Option<i32> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (-1, text),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (value, _) = decimal(text)?;
    (value <= f64::from(Offset::LONGEST)).then(|| sign * (value * 10_000.0).round() as i32)
}

fn show_distance(distance: i32) -> String {
    // a shortest decimal of at most four places
    (f64::from(distance) / 10_000.0).to_string()
}

pub(in crate::dialect::native) fn window(text: &str) -> Option<Area> {
    let (size, place) = text.split_once('@').unwrap_or((text, "center"));
    let (width, height) = size.split_once('x')?;
    // an unescaped plus in a query is a blank
    let is_sign = |c: char| matches!(c, '+' | '-' | ' ');
    let is_number = |text: &str| decimal(text).is_some();
    let split = |text: &str| -> Option<(usize, i32)> {
        let at = text.rfind(is_sign).filter(|&at| is_number(&text[at + 1..]))?;
        let length = distance(&text[at + 1..])?;
        Some((at, if text[at..].starts_with('-') { -length } else { length }))
    };
    let (place, x, y) = match split(place) {
        Some((end, y)) => {
            let (start, x) = split(&place[..end])?;
            (&place[..start], x, y)
        }
        None => (place, 0, 0),
    };
    let gravity = position(place).filter(|gravity| *gravity != Gravity::Smart)?;
    Some(Area::Window { width: extent(width)?, height: extent(height)?, gravity, offset: Offset { x, y } })
}

/// Whole pixels, a decimal below 1, or nothing.
fn extent(text: &str) -> Option<Length> {
    if text.is_empty() {
        return Some(Length::Pixels(0));
    }
    match digits(text) {
        Some(pixels) => Some(Length::Pixels(pixels)),
        None if decimal(text)?.0 == 0.0 => Some(Length::Pixels(0)),
        // a share that is written is not all
        None => share(text, 1.0).filter(|&share| share < 10_000).map(|share| Length::Share(share.max(1))),
    }
}

pub(in crate::dialect::native) fn show_window(window: &Area) -> String {
    let Area::Window { width, height, gravity, offset } = *window else { return String::new() };
    let extent = |length: Length| match length {
        Length::Pixels(pixels) => pixels.to_string(),
        Length::Share(share) => (f64::from(share) / 10_000.0).to_string(),
    };
    let signed = |distance: i32| format!("{}{}", if distance < 0 { "" } else { "+" }, show_distance(distance));
    let offset = match offset {
        Offset::NONE => String::new(),
        Offset { x, y } => format!("{}{}", signed(x), signed(y)),
    };
    format!("{}x{}@{}{offset}", extent(width), extent(height), show_position(&gravity))
}
