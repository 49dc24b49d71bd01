//! Values that several dialects have: numbers, colours and percent-encoding.

use crate::dialect::native::colours;
pub use crate::dialect::native::query::{form_decode, percent_decode};

/// Digits alone. A number that is too large for `u32` is its maximum, which is clamped like any other that is too large.
pub fn whole(text: &str) -> Option<u32> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().unwrap_or(u32::MAX))
}

/// A decimal with an optional sign, without exponent: `1`, `-0.5`, `.5`.
pub fn number(text: &str) -> Option<f64> {
    const LONGEST: usize = 24;
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let has_digit = digits.bytes().any(|byte| byte.is_ascii_digit());
    (is_plain && has_digit && text.len() <= LONGEST).then(|| text.parse().ok())?
}

/// The quarter turns of a multiple of 90 degrees with any sign, 0 to 3.
pub fn quarter_turns(text: &str) -> Option<u8> {
    let turns = number(text).map(|degrees| degrees / 90.0).filter(|turns| turns.fract() == 0.0)?;
    Some(turns.rem_euclid(4.0) as u8)
}

/// A tolerance of trimming in levels, 0 to 255, as the percentage of native URLs, which is at least 2.
pub fn percent_of_levels(levels: u32) -> u32 {
    const MIN: u32 = 2;
    ((f64::from(levels) / 2.55).round() as u32).max(MIN)
}

/// A number without needless zeros, of at most four decimals, as native parameters have it.
pub fn show(number: f64) -> String {
    // nearly all are whole, and decimals take ten times as long to print
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return (number as i64).to_string();
    }
    let text = format!("{number:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

/// Red, green, blue and alpha as the eight hexadecimal digits of native parameters, or six where it is opaque.
pub fn show_colour([r, g, b, a]: [u8; 4]) -> String {
    let opaque = format!("{r:02x}{g:02x}{b:02x}");
    if a == u8::MAX { opaque } else { format!("{opaque}{a:02x}") }
}

/// A colour of 3, 4, 6 or 8 hexadecimal digits: red, green, blue, and alpha at the end.
pub fn hex_colour(text: &str) -> Option<[u8; 4]> {
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let nibble = |at: usize| u8::from_str_radix(&text[at..=at], 16).ok();
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).ok();
    let short = |at: usize| nibble(at).map(|digit| digit * 17);
    Some(match text.len() {
        3 => [short(0)?, short(1)?, short(2)?, 255],
        4 => [short(0)?, short(1)?, short(2)?, short(3)?],
        6 => [byte(0)?, byte(2)?, byte(4)?, 255],
        8 => [byte(0)?, byte(2)?, byte(4)?, byte(6)?],
        _ => return None,
    })
}

/// A colour whose alpha stands in front: 4 or 8 hexadecimal digits as in imgix and wsrv; 3 and 6 are opaque.
pub fn argb_colour(text: &str) -> Option<[u8; 4]> {
    let colour = hex_colour(text)?;
    Some(match text.len() {
        4 | 8 => [colour[1], colour[2], colour[3], colour[0]],
        _ => colour,
    })
}

/// The colour of a CSS name, `transparent` among them.
pub fn named_colour(name: &str) -> Option<[u8; 4]> {
    colours::named(name).map(|colour| colour.0)
}

/// The pairs of a query in their order, not decoded; a name without `=` has no value.
pub fn pairs(query: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| match pair.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (pair, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_digits_alone() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0800", Some(800)),
            ("99999999999", Some(u32::MAX)),
            ("", None),
            ("+1", None),
            ("1.0", None),
        ] {
            assert_eq!(whole(text), expected, "{text}");
        }
        for (text, expected) in [
            ("1", Some(1.0)),
            ("-.5", Some(-0.5)),
            ("2.", Some(2.0)),
            ("", None),
            (".", None),
            ("1e3", None),
            ("inf", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
        for (number, expected) in [(1.0, "1"), (0.25, "0.25"), (-0.000_01, "0"), (100.0, "100")] {
            assert_eq!(show(number), expected);
        }
    }

    #[test]
    fn turns_are_multiples_of_90() {
        for (text, expected) in
            [("0", Some(0)), ("-90", Some(3)), ("450", Some(1)), ("45", None), ("90.5", None), ("", None)]
        {
            assert_eq!(quarter_turns(text), expected, "{text}");
        }
        assert_eq!([0, 1, 10, 254, 255].map(percent_of_levels), [2, 2, 4, 100, 100]);
    }

    #[test]
    fn colours_have_their_alpha_where_the_system_says() {
        assert_eq!(hex_colour("0f08"), Some([0, 255, 0, 136]));
        assert_eq!(hex_colour("ff000080"), Some([255, 0, 0, 128]));
        assert_eq!(argb_colour("80ff0000"), Some([255, 0, 0, 128]));
        assert_eq!(argb_colour("abc"), Some([170, 187, 204, 255]));
        assert_eq!(["", "12345", "ggg", "é1"].map(hex_colour), [None; 4]);
        assert_eq!(show_colour([255, 0, 0, 255]), "ff0000");
        assert_eq!(show_colour([255, 0, 0, 128]), "ff000080");
    }

    #[test]
    fn malformed_escapes_are_refused() {
        assert_eq!(percent_decode("a%20b+c").as_deref(), Some("a b+c"));
        assert_eq!(form_decode("a%20b+c").as_deref(), Some("a b c"));
        assert_eq!(["%", "%2", "%zz", "%ff"].map(percent_decode), [None, None, None, None]);
    }
}
