//! tintype's own dialect: parameters in the query.
//!
//! Decoded once; a name said twice is refused rather than one of the two believed.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::params::{PARAMETERS, Parameter, Params};
use super::{InvalidParam, nearest};

/// What a query says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The parameters that tintype knows.
    pub params: Params,
    /// Those that it does not know, names and values as written.
    pub unknown: Vec<(String, String)>,
}

/// Everything but RFC 3986's unreserved characters is encoded in a canonical URL.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Reads the part of a URL behind the question mark.
///
/// # Errors
/// Every parameter that is wrong, not only the first.
pub fn parse(query: &str) -> Result<Query, Vec<InvalidParam>> {
    let mut parsed = Query::default();
    let mut wrong = Vec::new();
    let mut said: Vec<(&'static str, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (pair, None),
        };
        let name = decode(name).unwrap_or(Cow::Borrowed(name));
        let Some(parameter) = Parameter::find(&name) else {
            parsed.unknown.push((name.into_owned(), value.unwrap_or_default().to_owned()));
            continue;
        };
        let Some(value) = value.map(decode).map_or(Some(None), |decoded| decoded.map(Some)) else {
            wrong.push(parameter.invalid(&name, value.unwrap_or_default(), None));
            continue;
        };
        let repeated = said.iter().any(|(canonical, written)| *canonical == parameter.name && *written == name);
        let before = parameter.value(&parsed.params);
        if let Err(error) = parameter.read(&name, value.as_deref(), &mut parsed.params) {
            wrong.push(error);
        } else if repeated || before.is_some() && before != parameter.value(&parsed.params) {
            let mut error = parameter.invalid(&name, value.as_deref().unwrap_or_default(), None);
            error.allowed = format!("{} may be said once only", parameter.name);
            wrong.push(error);
        }
        said.push((parameter.name, name.into_owned()));
    }
    if wrong.is_empty() { Ok(parsed) } else { Err(wrong) }
}

/// What a query says by that name, decoded, each time it says it; an error, as it is written, where that is no text. A `+` is a
/// plus, since these are names of files and not words of a form.
pub fn values<'a>(query: &'a str, name: &str) -> impl Iterator<Item = Result<Cow<'a, str>, &'a str>> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let named = pairs.filter(move |(said, _)| decode(said).is_some_and(|said| said == name));
    named.map(|(_, value)| percent_decode(value).ok_or(value))
}

/// Whether a query, right or wrong, leaves the format to negotiation.
pub fn leaves_the_format_open(query: &str) -> bool {
    said(query).any(|(name, value)| match name {
        "format" => value == "auto",
        "auto" => value.split(',').any(|word| word.trim() == "format"),
        _ => false,
    })
}

/// The name of a query's preset, whether or not there is one of that name.
pub(super) fn said_preset(query: &str) -> Option<String> {
    said(query).find(|(name, _)| *name == "preset").map(|(_, value)| value)
}

/// The parameters of a query, right or wrong, by their canonical names, and their values in lower case.
fn said(query: &str) -> impl Iterator<Item = (&'static str, String)> {
    query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (decode(name)?, decode(value)?.to_ascii_lowercase());
        Some((Parameter::find(&name)?.name, value))
    })
}

/// The error for a name that is not known, where such are refused.
pub(super) fn unknown(name: &str, value: &str) -> InvalidParam {
    InvalidParam {
        name: name.chars().take(100).collect(),
        value: value.chars().take(100).collect(),
        allowed: "a parameter that tintype knows".into(),
        did_you_mean: nearest(name, Parameter::names()).map(str::to_owned),
    }
}

/// Writes parameters as a query in canonical form: canonical names, sorted; those named in `without` left out.
pub fn canonical(params: &Params, without: &[&str]) -> String {
    let mut pairs: Vec<(&str, String)> = PARAMETERS
        .iter()
        .filter(|parameter| !without.contains(&parameter.name))
        .filter_map(|parameter| Some((parameter.name, parameter.value(params)?)))
        .collect();
    pairs.sort_unstable();
    let encoded = pairs.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, RESERVED)));
    encoded.collect::<Vec<_>>().join("&")
}

/// Percent-decoded, `+` as a blank the way forms write it; `None` where that is no text.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return percent_decode(&spaced).map(|text| Cow::Owned(text.into_owned()));
    }
    percent_decode(text)
}

/// Percent-decoded; `None` where that is no text.
fn percent_decode(text: &str) -> Option<Cow<'_, str>> {
    let bytes = text.as_bytes();
    let well_formed = bytes
        .iter()
        .enumerate()
        .filter(|&(_, &byte)| byte == b'%')
        .all(|(at, _)| bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    if !well_formed {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_wish_are_one() {
        let check = |query: &str, expected: &str| {
            let parsed = parse(query).unwrap_or_else(|wrong| panic!("{query}: {wrong:?}"));
            assert_eq!(canonical(&parsed.params, &[]), expected, "{query}");
        };
        check("", "");
        check("&&", "");
        check("utm_source=x&fbclid", "");
        check("w=800&f=WEBP", "format=webp&width=800");
        check("format=webp&width=800", "format=webp&width=800");
        check("%77=80%30", "width=800");
        check("trim=01", "trim=true");
        check("lossless", "lossless=true");
        check("ll=1&lossless=true", "lossless=true");
        check("dl=my+photo%C3%A9.jpg", "download=my%20photo%C3%A9.jpg");
        check("g=ne", "position=top-right");
        check("gravity=northeast", "position=top-right");
    }

    #[test]
    fn values_of_one_name() {
        let check = |query: &str, expected: &[Result<&str, &str>]| {
            let found: Vec<_> = values(query, "path").collect();
            let found: Vec<_> = found.iter().map(|value| value.as_deref().map_err(|written| *written)).collect();
            assert_eq!(found, expected, "{query}");
        };
        check("", &[]);
        check("a=b&pathy=c", &[]);
        // a plus is one, as in the path of a URL
        check("path=a%2Fb+c%2Bd%20e.jpg", &[Ok("a/b+c+d e.jpg")]);
        check("pat%68=%ff&path&path=%zz", &[Err("%ff"), Ok(""), Err("%zz")]);
    }

    #[test]
    fn every_wrong_parameter_is_named() {
        let check = |query: &str, expected: &[&str]| {
            let wrong = parse(query).expect_err(query);
            let names: Vec<&str> = wrong.iter().map(|wrong| wrong.name.as_str()).collect();
            assert_eq!(names, expected, "{query}");
        };
        check("w=0", &["w"]);
        check("w", &["w"]);
        check("w=&h=x", &["w", "h"]);
        check("w=1&w=1", &["w"]);
        check("width=1&w=2", &["w"]);
        check("w=%zz", &["w"]);
        check("w=%ff", &["w"]);
        check("lossless=", &["lossless"]);
    }

    proptest::proptest! {
        #[test]
        fn canonical_is_idempotent(query in "(([a-z_]{1,9}|w|h|q|f|fit|g|bg|dpr|ar|blur|trim)(=[a-z0-9.,:%x-]{0,9})?&?){0,6}") {
            if let Ok(parsed) = parse(&query) {
                let once = canonical(&parsed.params, &[]);
                let again = parse(&once).expect("canonical text parses");
                assert_eq!(&again.params, &parsed.params);
                assert_eq!(canonical(&again.params, &[]), once);
            }
        }

        #[test]
        fn no_text_can_hurt(query: String) {
            let _ = parse(&query);
        }
    }
}
