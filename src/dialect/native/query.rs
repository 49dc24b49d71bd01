//! Queries parsed into [`Params`] and printed in canonical form.
//!
//! Percent-encoding is decoded once. A parameter that is given twice is an error, since proxies and servers disagree about
//! which of the two counts.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{PARAMETERS, Parameter, Params};
use crate::dialect::{InvalidParam, InvalidParams, nearest};
use crate::source::is_well_encoded;

/// A parsed query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The known parameters.
    pub params: Params,
    /// Names and raw values of the others.
    pub unknown: Vec<(String, String)>,
}

/// Canonical URLs encode everything but the unreserved characters of RFC 3986.
pub(in crate::dialect) const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Parses the part of a URL behind the question mark.
///
/// # Errors
/// All parameters that are invalid, not only the first.
pub fn parse(query: &str) -> Result<Query, InvalidParams> {
    let mut parsed = Query::default();
    let mut invalid = InvalidParams::default();
    // each spelling once, so no longer than the list of names and aliases, however long the query is
    let mut seen: Vec<String> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (pair, None),
        };
        let name = form_decode(name).unwrap_or(Cow::Borrowed(name));
        let Some(parameter) = Parameter::find(&name) else {
            parsed.unknown.push((name.into_owned(), value.unwrap_or_default().to_owned()));
            continue;
        };
        let Some(value) = value.map(form_decode).map_or(Some(None), |decoded| decoded.map(Some)) else {
            invalid.add(|| parameter.invalid(&name, value.unwrap_or_default(), None));
            continue;
        };
        let repeated = seen.iter().any(|earlier| *earlier == name);
        let before = parameter.value(&parsed.params);
        if !parameter.parse(value.as_deref(), &mut parsed.params) {
            invalid.add(|| parameter.invalid_value(&name, value.as_deref()));
        } else if repeated || before.is_some() && before != parameter.value(&parsed.params) {
            let allowed = format!("{} may be given only once", parameter.name);
            invalid.add(|| InvalidParam::new(&name, value.as_deref().unwrap_or_default(), allowed, None));
        }
        if !repeated {
            seen.push(name.into_owned());
        }
    }
    invalid.into_result().map(|()| parsed)
}

/// The values of a name in a query, in its order; the raw value as an error where it is not UTF-8.
///
/// Only `%XX` is decoded: the values are paths of files, in which `+` is itself.
pub fn values<'a>(query: &'a str, name: &str) -> impl Iterator<Item = Result<Cow<'a, str>, &'a str>> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let named = pairs.filter(move |(raw, _)| percent_decode(raw).is_some_and(|decoded| decoded == name));
    named.map(|(_, value)| percent_decode(value).ok_or(value))
}

/// Whether a query, valid or not, leaves the format to negotiation.
pub fn negotiates_format(query: &str) -> bool {
    known_pairs(query).any(|(name, value)| match name {
        "format" => value == "auto",
        "auto" => value.split(',').any(|word| word.trim() == "format"),
        _ => false,
    })
}

/// The name of a query's preset, whether or not the settings define it.
pub(in crate::dialect) fn preset_name(query: &str) -> Option<String> {
    known_pairs(query).find(|(name, _)| *name == "preset").map(|(_, value)| value)
}

/// The canonical names of the known parameters of a query, and their raw values in lower case, valid or not.
fn known_pairs(query: &str) -> impl Iterator<Item = (&'static str, String)> {
    query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (form_decode(name)?, form_decode(value)?.to_ascii_lowercase());
        Some((Parameter::find(&name)?.name, value))
    })
}

/// The kind of a name that is not a parameter of tintype.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnknownParam {
    /// A parameter of another program, or a misspelt one.
    Other,
    /// `amp;height`: the client did not decode the `&amp;` of the HTML that contains the URL.
    HtmlEntity,
}

impl UnknownParam {
    /// The most telling kind among the unknown names of a query.
    pub fn among(query: &str) -> Option<UnknownParam> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let names = pairs.map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
        let names = names.map(|name| form_decode(name).unwrap_or(Cow::Borrowed(name)));
        let unknown = names.filter(|name| Parameter::find(name).is_none());
        let kind = |name: Cow<'_, str>| match without_entity(&name) {
            Some(_) => UnknownParam::HtmlEntity,
            None => UnknownParam::Other,
        };
        unknown.map(kind).max()
    }
}

/// A name without the `amp;` that is left of `&amp;`, which may have been encoded more than once.
fn without_entity(name: &str) -> Option<&str> {
    let bare = name.trim_start_matches("amp;");
    (bare.len() < name.len()).then_some(bare)
}

/// The error for an unknown name, where the settings refuse them.
pub fn unknown(name: &str, value: &str) -> InvalidParam {
    let bare = without_entity(name);
    let suggestion = nearest(bare.unwrap_or(name), Parameter::names()).map(str::to_owned);
    let allowed = match bare {
        Some(_) => "a known parameter; `&amp;` in HTML stands for `&` and must be decoded before the URL is requested",
        None => "a known parameter",
    };
    InvalidParam::new(name, value, allowed, suggestion)
}

/// Prints parameters as a query: canonical names, sorted, without those in `without`.
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

/// Percent-decoded with `+` for a space, as in forms; `None` where an escape is malformed or the result is not UTF-8.
pub fn form_decode(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return percent_decode(&spaced).map(|text| Cow::Owned(text.into_owned()));
    }
    percent_decode(text)
}

/// Percent-decoded once, `+` being itself; `None` where an escape is malformed or the result is not UTF-8.
pub fn percent_decode(text: &str) -> Option<Cow<'_, str>> {
    is_well_encoded(text).then(|| percent_decode_str(text).decode_utf8().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_queries_have_one_canonical_form() {
        let check = |query: &str, expected: &str| {
            let parsed = parse(query).unwrap_or_else(|invalid| panic!("{query}: {invalid:?}"));
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
    fn values_decode_percent_but_not_plus() {
        let check = |query: &str, expected: &[Result<&str, &str>]| {
            let found: Vec<_> = values(query, "path").collect();
            let found: Vec<_> = found.iter().map(|value| value.as_deref().map_err(|raw| *raw)).collect();
            assert_eq!(found, expected, "{query}");
        };
        check("", &[]);
        check("a=b&pathy=c", &[]);
        // + is itself in the path of a URL
        check("path=a%2Fb+c%2Bd%20e.jpg", &[Ok("a/b+c+d e.jpg")]);
        check("pa+th=a", &[]);
        check("pat%68=%ff&path&path=%zz", &[Err("%ff"), Ok(""), Err("%zz")]);
    }

    #[test]
    fn invalid_params_are_all_named() {
        let check = |query: &str, expected: &[&str]| {
            let invalid = parse(query).expect_err(query);
            let names: Vec<&str> = invalid.iter().map(|invalid| invalid.name.as_str()).collect();
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

    #[test]
    fn undecoded_html_entities_are_recognised() {
        let check = |query: &str, kind: Option<UnknownParam>, suggestion: Option<&str>| {
            let parsed = parse(query).unwrap_or_else(|invalid| panic!("{query}: {invalid}"));
            assert_eq!(UnknownParam::among(query), kind, "{query}");
            let suggested = parsed.unknown.last().and_then(|(name, value)| unknown(name, value).did_you_mean);
            assert_eq!(suggested.as_deref(), suggestion, "{query}");
        };
        check("", None, None);
        check("w=1&h=2&%77idth=1", None, None);
        check("utm_source=x", Some(UnknownParam::Other), None);
        check("widht=1", Some(UnknownParam::Other), Some("width"));
        check("width=100&amp;height=50", Some(UnknownParam::HtmlEntity), Some("height"));
        check("width=100&amp%3Bheight=50", Some(UnknownParam::HtmlEntity), Some("height"));
        check("w=100&amp;h=50", Some(UnknownParam::HtmlEntity), Some("h"));
        check("w=100&amp;amp;hieght=50", Some(UnknownParam::HtmlEntity), Some("height"));
        check("amp;height=50&utm_source=x", Some(UnknownParam::HtmlEntity), None);
        check("amp;&ampere=3", Some(UnknownParam::HtmlEntity), None);
        check("ampere=3", Some(UnknownParam::Other), None);
    }

    #[test]
    fn repeated_params_are_refused_in_linear_time() {
        let began = std::time::Instant::now();
        for query in ["w&".repeat(4096), "w=1&".repeat(2048), format!("bg={}", "a".repeat(8000)), "ll&".repeat(2700)] {
            let invalid = parse(&query).expect_err("repeated");
            assert!(invalid.len() <= 8 && invalid.to_string().len() < 4096, "{invalid}");
        }
        // milliseconds; a quadratic parser took seconds
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    }

    proptest::proptest! {
        #[test]
        fn canonical_form_is_idempotent(query in "(([a-z_]{1,9}|w|h|q|f|fit|g|bg|dpr|ar|blur|trim)(=[a-z0-9.,:%x-]{0,9})?&?){0,6}") {
            if let Ok(parsed) = parse(&query) {
                let once = canonical(&parsed.params, &[]);
                let again = parse(&once).expect("canonical text parses");
                assert_eq!(&again.params, &parsed.params);
                assert_eq!(canonical(&again.params, &[]), once);
            }
        }

        #[test]
        fn canonical_form_of_geometry_is_idempotent(
            query in "((offset|window|inset|padding|rect|orient|limit|gamma|pixelate)=[0-9.,xp@%2B-]{1,9}[a-z]{0,4}&?){1,3}",
            window in "window=[0-9.]{0,3}x[0-9.]{0,3}@(top|bottom-left|0.3x0.25)([+ -][0-9.]{1,4}[+-][0-9]{1,4})?",
        ) {
            for query in [query, window] {
                if let Ok(parsed) = parse(&query) {
                    let once = canonical(&parsed.params, &[]);
                    assert_eq!(parse(&once).expect("canonical text parses").params, parsed.params, "{once}");
                }
            }
        }

        #[test]
        fn arbitrary_queries_do_not_panic(query: String) {
            let _ = parse(&query);
        }
    }
}
