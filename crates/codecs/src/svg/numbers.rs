//! How large the numbers of an SVG are: an arc becomes curves by the sixth root of its radius, without a bound of its own.

/// Units that are relative to a font.
const OF_FONTS: [(&str, f64); 2] = [("em", 1.0), ("ex", 0.5)];

/// The most digits that a number of a text has before its point, with its exponent added.
pub(super) fn most_digits(text: &str) -> u64 {
    let mut bytes = text.bytes().peekable();
    let mut most = 0;
    while let Some(first) = bytes.next() {
        if !first.is_ascii_digit() && first != b'.' {
            continue;
        }
        let mut is_whole = first != b'.';
        let mut digits = u64::from(is_whole && first != b'0');
        while let Some(next) = bytes.next_if(|byte| byte.is_ascii_digit() || (*byte == b'.' && is_whole)) {
            is_whole &= next != b'.';
            // zeros in front do not count
            digits += u64::from(is_whole && (digits > 0 || next != b'0'));
        }
        if bytes.next_if(|byte| matches!(byte, b'e' | b'E')).is_some() {
            let sign = bytes.next_if(|byte| matches!(byte, b'+' | b'-'));
            let mut exponent = 0_u64;
            while let Some(digit) = bytes.next_if(u8::is_ascii_digit) {
                exponent = exponent.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
            }
            let is_small = sign == Some(b'-');
            digits = if is_small { digits.saturating_sub(exponent) } else { digits.saturating_add(exponent) };
        }
        most = most.max(digits);
    }
    most
}

/// Whether a length is relative to something around it.
pub(super) fn is_relative(length: &str) -> bool {
    let length = length.trim();
    length.ends_with('%') || OF_FONTS.iter().any(|(unit, _)| length.ends_with(*unit))
}

/// Thousandths of a power of ten by which a percentage is more than all.
pub(super) fn growth_of_share(length: &str) -> u64 {
    length.trim().strip_suffix('%').map_or(0, |number| growth(number, 0.01))
}

/// Thousandths of a power of ten by which a size of fonts is more than the one around it.
pub(super) fn growth_of_font(size: &str) -> u64 {
    let size = size.trim();
    let of_unit = |(unit, factor): &(&str, f64)| Some(growth(size.strip_suffix(*unit)?, *factor));
    match size {
        "larger" => growth("1.2", 1.0),
        size if size.ends_with('%') => growth_of_share(size),
        _ => OF_FONTS.iter().find_map(of_unit).unwrap_or(0),
    }
}

fn growth(number: &str, factor: f64) -> u64 {
    // resvg reads no number that this does not
    let number = number.trim().parse().unwrap_or(0.0);
    ((number * factor).abs().max(1.0).log10() * 1000.0).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_before_the_point() {
        for (text, expected) in [
            ("", 0),
            ("M0 0h.5v-0.25z", 0),
            ("M10,20 100.123456789-1e3", 4),
            ("007", 1),
            ("1.5.25e2", 2),
            ("12e-1", 1),
            ("A1e70 1e70 0 1 1 9 9", 71),
            ("1e99999999999999999999999", u64::MAX),
            ("3em", 1),
        ] {
            assert_eq!(most_digits(text), expected, "{text}");
        }
    }

    #[test]
    fn only_lengths_that_grow_count() {
        for (size, expected) in [
            ("12", 0),
            ("12px", 0),
            ("1em", 0),
            ("0.5em", 0),
            ("10em", 1000),
            ("1000%", 1000),
            ("100 %", 0),
            ("20ex", 1000),
            ("1rem", 0),
            ("larger", 80),
            ("smaller", 0),
        ] {
            assert_eq!(growth_of_font(size), expected, "{size}");
        }
        assert_eq!([growth_of_share("100%"), growth_of_share("10000%"), growth_of_share("50em")], [0, 2000, 0]);
        assert!(is_relative(" 50% ") && is_relative("1em") && !is_relative("1mm"));
    }
}
