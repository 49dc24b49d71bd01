//! Conditional requests (RFC 9110 §13): preconditions, 304s, and the condition of a range.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, header};

use super::problem::Problem;

/// Evaluates If-Match and If-Unmodified-Since. If-Match is compared strongly, and wins over If-Unmodified-Since
/// (RFC 9110 §13.1.1, §13.1.4). Conditions on dates are ignored where the original has none (§13.1.3, §13.1.4).
pub(super) fn check_preconditions(
    request_headers: &HeaderMap, etag: &str, modified: Option<SystemTime>,
) -> Result<(), Problem> {
    if let Some(tags) = tags(request_headers, header::IF_MATCH) {
        let mut tags = tags;
        return if tags.any(|tag| tag == "*" || tag == etag) {
            Ok(())
        } else {
            Err(Problem::precondition("If-Match names another version of the image"))
        };
    }
    match date(request_headers, header::IF_UNMODIFIED_SINCE).and_then(parse_date) {
        Some(since) if modified.is_some_and(|modified| modified > since) => {
            Err(Problem::precondition("the original was changed since"))
        }
        _ => Ok(()),
    }
}

/// Whether the answer is 304, by If-None-Match and If-Modified-Since.
pub(super) fn is_unchanged(request_headers: &HeaderMap, etag: &str, modified: Option<SystemTime>) -> bool {
    let since = date(request_headers, header::IF_MODIFIED_SINCE);
    is_not_modified(tags(request_headers, header::IF_NONE_MATCH), since, etag, modified)
}

/// The same for these values. If-None-Match is compared weakly, and wins over If-Modified-Since even where no tag
/// matches (RFC 9110 §13.1.2, §13.2.2).
pub(super) fn is_not_modified<'a>(
    none_match: Option<impl Iterator<Item = &'a str>>, since: Option<&str>, etag: &str, modified: Option<SystemTime>,
) -> bool {
    match none_match {
        Some(mut tags) => tags.any(|tag| tag == "*" || weakly_equal(tag, etag)),
        None => since.and_then(parse_date).zip(modified).is_some_and(|(since, modified)| modified <= since),
    }
}

/// Whether a range is of the very bytes that the client has the rest of: strong comparison, and no date, since two versions
/// may have the same second (RFC 9110 §13.1.5).
pub(super) fn if_range_holds(request_headers: &HeaderMap, etag: &str) -> bool {
    request_headers.get(header::IF_RANGE).is_none_or(|value| value.as_bytes() == etag.as_bytes())
}

/// The entity tags of a list; a comma within the quotes belongs to the tag (RFC 9110 §8.8.3).
pub(super) fn entity_tags(list: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    list.split(move |c| {
        if c == '"' {
            quoted = !quoted;
        }
        c == ',' && !quoted
    })
    .map(str::trim)
}

/// The entity tags of all lines of a header; `None` where it is absent. Lines that are not text have none.
fn tags(request_headers: &HeaderMap, name: HeaderName) -> Option<impl Iterator<Item = &str>> {
    let is_there = request_headers.contains_key(&name);
    let lines = request_headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    is_there.then(|| lines.flat_map(entity_tags))
}

fn date(request_headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    request_headers.get(name)?.to_str().ok()
}

fn parse_date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

fn weakly_equal(a: &str, b: &str) -> bool {
    fn opaque(tag: &str) -> &str {
        tag.strip_prefix("W/").unwrap_or(tag)
    }
    opaque(a) == opaque(b)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn unchanged_by_tag_or_date() {
        let modified = parse_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
        let check = |name: HeaderName, value: &str, expected: bool| {
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_str(value).expect("a value"))]);
            assert_eq!(is_unchanged(&headers, "\"abc\"", Some(modified)), expected, "{value}");
        };
        check(header::IF_NONE_MATCH, "\"abc\"", true);
        check(header::IF_NONE_MATCH, "W/\"abc\"", true);
        check(header::IF_NONE_MATCH, "\"x\", \"a,b\" , \"abc\"", true);
        check(header::IF_NONE_MATCH, "*", true);
        check(header::IF_NONE_MATCH, "\"abd\"", false);
        check(header::IF_NONE_MATCH, "abc", false);
        check(header::IF_NONE_MATCH, "\"x,*\"", false);
        check(header::IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:37 GMT", true);
        check(header::IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:38 GMT", true);
        check(header::IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT", false);
        check(header::IF_MODIFIED_SINCE, "yesterday", false);
        let both = HeaderMap::from_iter([
            (header::IF_NONE_MATCH, HeaderValue::from_static("\"x\"")),
            (header::IF_MODIFIED_SINCE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT")),
        ]);
        assert!(!is_unchanged(&both, "\"abc\"", Some(modified)));
    }
}
