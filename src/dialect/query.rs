//! tintype's own dialect: parameters in the query.
//!
//! Decoded once; a name said twice is refused rather than one of the two believed.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::params::{PARAMETERS, Parameter, Params};
use super::{InvalidParam, InvalidParams, nearest};

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
/// The parameters that are wrong, not only the first.
pub fn parse(query: &str) -> Result<Query, InvalidParams> {
    let mut parsed = Query::default();
    let mut wrong = InvalidParams::default();
    // each spelling once: as many as there are names and aliases, however long the query is
    let mut said: Vec<String> = Vec::new();
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
            wrong.add(|| parameter.invalid(&name, value.unwrap_or_default(), None));
            continue;
        };
        let repeated = said.iter().any(|written| *written == name);
        let before = parameter.value(&parsed.params);
        if !parameter.read(value.as_deref(), &mut parsed.params) {
            wrong.add(|| parameter.unread(&name, value.as_deref()));
        } else if repeated || before.is_some() && before != parameter.value(&parsed.params) {
            let allowed = format!("{} may be said once only", parameter.name);
            wrong.add(|| InvalidParam::new(&name, value.as_deref().unwrap_or_default(), allowed, None));
        }
        if !repeated {
            said.push(name.into_owned());
        }
    }
    wrong.into_result().map(|()| parsed)
}

/// The values that a query has by that name, in its order; an error, with the value as it is written, for one that is no text.
///
/// Only `%XX` is decoded: the values are paths of files, in which a plus is a plus.
pub fn values<'a>(query: &'a str, name: &str) -> impl Iterator<Item = Result<Cow<'a, str>, &'a str>> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let named = pairs.filter(move |(said, _)| percent_decode(said).is_some_and(|said| said == name));
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

/// How a parameter is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unknown {
    /// No parameter of tintype's: one for others, or misspelt.
    Other,
    /// `amp;height`: the client did not decode the HTML in which the URL stands, where `&` is written `&amp;`.
    HtmlEntity,
}

impl Unknown {
    /// The most telling kind among the parameters of a query that are not known.
    pub fn among(query: &str) -> Option<Unknown> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let names = pairs.map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
        let names = names.map(|name| decode(name).unwrap_or(Cow::Borrowed(name)));
        let unknown = names.filter(|name| Parameter::find(name).is_none());
        let kind = |name: Cow<'_, str>| match without_entity(&name) {
            Some(_) => Unknown::HtmlEntity,
            None => Unknown::Other,
        };
        unknown.map(kind).max()
    }
}

/// A name without what is left of `&amp;`, which may have been encoded more than once.
fn without_entity(name: &str) -> Option<&str> {
    let bare = name.trim_start_matches("amp;");
    (bare.len() < name.len()).then_some(bare)
}

/// The error for a name that is not known, where such are refused.
pub(super) fn unknown(name: &str, value: &str) -> InvalidParam {
    let bare = without_entity(name);
    let meant = nearest(bare.unwrap_or(name), Parameter::names()).map(str::to_owned);
    let allowed = match bare {
        Some(_) => {
            "a parameter that tintype knows; `&` in HTML is `&amp;`, which is to be decoded before the URL is used"
        }
        None => "a parameter that tintype knows",
    };
    InvalidParam::new(name, value, allowed, meant)
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
        check("pa+th=a", &[]);
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

    #[test]
    fn html_entities_are_told_from_other_unknown_names() {
        let check = |query: &str, expected: Option<Unknown>, meant: Option<&str>| {
            let parsed = parse(query).unwrap_or_else(|wrong| panic!("{query}: {wrong}"));
            assert_eq!(Unknown::among(query), expected, "{query}");
            let suggestion = parsed.unknown.last().and_then(|(name, value)| unknown(name, value).did_you_mean);
            assert_eq!(suggestion.as_deref(), meant, "{query}");
        };
        check("", None, None);
        check("w=1&h=2&%77idth=1", None, None);
        check("utm_source=x", Some(Unknown::Other), None);
        check("widht=1", Some(Unknown::Other), Some("width"));
        check("width=100&amp;height=50", Some(Unknown::HtmlEntity), Some("height"));
        check("width=100&amp%3Bheight=50", Some(Unknown::HtmlEntity), Some("height"));
        check("w=100&amp;h=50", Some(Unknown::HtmlEntity), Some("h"));
        check("w=100&amp;amp;hieght=50", Some(Unknown::HtmlEntity), Some("height"));
        check("amp;height=50&utm_source=x", Some(Unknown::HtmlEntity), None);
        check("amp;&ampere=3", Some(Unknown::HtmlEntity), None);
        check("ampere=3", Some(Unknown::Other), None);
    }

    #[test]
    fn repeated_parameters_are_refused_in_linear_time() {
        let began = std::time::Instant::now();
        for query in ["w&".repeat(4096), "w=1&".repeat(2048), format!("bg={}", "a".repeat(8000)), "ll&".repeat(2700)] {
            let wrong = parse(&query).expect_err("wrong");
            assert!(wrong.len() <= 8 && wrong.to_string().len() < 4096, "{wrong}");
        }
        // milliseconds; what was quadratic took seconds
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
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
