//! Proactive negotiation of the format by the Accept header (RFC 9110 §12.5.1).
//!
//! Every browser sends `image/*` and `*/*`, so a modern format counts only when it is named.

use crate::render::Format;
use crate::render::recipe::Choice;

/// The best format that a client accepts. `formats` are those that the server offers, best first.
///
/// `accept` is all the Accept headers joined by commas; empty is the baseline.
pub fn choose(accept: &str, formats: &[Format]) -> Choice {
    let ranges: Vec<(String, u16)> = accept.split(',').filter_map(media_range).collect();
    let named = |format: Format| {
        let quality = ranges.iter().rev().find(|(range, _)| range == format.media_type());
        quality.map_or(0, |&(_, quality)| quality)
    };
    let baseline = [Format::Jpeg, Format::Png]
        .map(Format::media_type)
        .map(|exact| quality_of(&ranges, &[exact, "image/*", "*/*"]))
        .into_iter()
        .max()
        .unwrap_or(0);
    // the server's order decides between equal weights: `max_by_key` takes the last of them
    let best = formats.iter().rev().copied().max_by_key(|&format| named(format));
    match best.filter(|&format| named(format) > 0 && named(format) >= baseline) {
        Some(Format::Avif) if formats.contains(&Format::WebP) && named(Format::WebP) > 0 => Choice::Avif,
        Some(Format::Avif) => Choice::AvifStill,
        Some(Format::WebP) => Choice::WebP,
        _ => Choice::Baseline,
    }
}

/// The weight of the most specific range in the header.
fn quality_of(ranges: &[(String, u16)], most_specific_first: &[&str]) -> u16 {
    let found = most_specific_first.iter().find_map(|media| ranges.iter().rev().find(|(range, _)| range == media));
    found.map_or(0, |&(_, quality)| quality)
}

/// A media range in lower case and its weight in thousandths; `None` where it is malformed.
fn media_range(element: &str) -> Option<(String, u16)> {
    let mut parts = element.split(';');
    let range = parts.next()?.trim().to_ascii_lowercase();
    if !range.contains('/') {
        return None;
    }
    let mut quality = 1000;
    for parameter in parts {
        if let Some((name, value)) = parameter.split_once('=')
            && name.trim().eq_ignore_ascii_case("q")
        {
            quality = weight(value.trim())?;
        }
    }
    Some((range, quality))
}

/// A qvalue in thousandths (RFC 9110 §12.4.2).
fn weight(text: &str) -> Option<u16> {
    let plain = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value: f32 = plain.then(|| text.parse().ok())??;
    (0.0..=1.0).contains(&value).then(|| (value * 1000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &[Format] = &[Format::Avif, Format::WebP];

    #[test]
    fn accept_headers_of_clients_choose_the_best_format() {
        let check = |accept: &str, expected: Choice| assert_eq!(choose(accept, BOTH), expected, "{accept}");
        check("image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", Choice::Avif);
        check("image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", Choice::Avif);
        check("image/webp,image/avif,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", Choice::Avif);
        check("image/webp,image/apng,image/*,*/*;q=0.8", Choice::WebP);
        check("*/*", Choice::Baseline);
        check("", Choice::Baseline);
        check("image/*", Choice::Baseline);
        check("image/avif", Choice::AvifStill);
        check("image/webp", Choice::WebP);
        check("IMAGE/AVIF , image/WebP", Choice::Avif);
        check("image/avif;q=0, image/webp", Choice::WebP);
        check("image/avif;q=0,image/webp;q=0,*/*", Choice::Baseline);
        check("image/avif;q=0.5,image/webp;q=0.9", Choice::WebP);
        check("image/webp;q=0.5,image/jpeg;q=0.9", Choice::Baseline);
        check("image/webp;q=0.5,*/*;q=0.9", Choice::Baseline);
        check("image/webp;q=0.8,*/*;q=0.8", Choice::WebP);
        check("image/avif;q=2, image/webp;q=x", Choice::Baseline);
        check("image/avif;v=1;q=0.9,image/*;q=0.8", Choice::AvifStill);
        check(";;;,,,=/;q=", Choice::Baseline);
    }

    #[test]
    fn equal_weights_follow_the_order_of_the_server() {
        let accept = "image/avif,image/webp";
        assert_eq!(choose(accept, &[Format::WebP, Format::Avif]), Choice::WebP);
        assert_eq!(choose(accept, &[Format::WebP]), Choice::WebP);
        assert_eq!(choose(accept, &[Format::Avif]), Choice::AvifStill);
        assert_eq!(choose(accept, &[]), Choice::Baseline);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_headers_do_not_panic(accept: String) {
            choose(&accept, BOTH);
        }
    }
}
