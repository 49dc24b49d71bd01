//! The `Range` header (RFC 9110 §14): one range of bytes is supported, anything else is ignored.

use std::ops::Range;

/// The part of a body that a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selected {
    /// All of it: no range, several, or an invalid one.
    All,
    /// These bytes: not empty, and within the body.
    Part(Range<u64>),
    /// A range outside of the body.
    Unsatisfiable,
}

/// Parses the header's value for a body of `length` bytes.
pub(super) fn select(value: &str, length: u64) -> Selected {
    let Some((unit, set)) = value.split_once('=') else { return Selected::All };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Selected::All;
    }
    let Some((first, last)) = set.trim().split_once('-') else { return Selected::All };
    match (number(first), number(last)) {
        (Some(first), _) if first >= length => {
            match last.is_empty() || number(last).is_some_and(|last| last >= first) {
                true => Selected::Unsatisfiable,
                false => Selected::All,
            }
        }
        (Some(first), None) if last.is_empty() => Selected::Part(first..length),
        (Some(first), Some(last)) if last >= first => Selected::Part(first..last.saturating_add(1).min(length)),
        // a suffix range
        (None, Some(0)) if first.is_empty() => Selected::Unsatisfiable,
        (None, Some(_)) if first.is_empty() && length == 0 => Selected::Unsatisfiable,
        (None, Some(suffix)) if first.is_empty() => Selected::Part(length.saturating_sub(suffix)..length),
        _ => Selected::All,
    }
}

/// Whether all software parses the value as the same range: a single one in the common form, with numbers that do not
/// overflow.
pub(super) fn is_plain(value: &str) -> bool {
    const DIGITS: usize = 15;
    let Some((first, last)) = value.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return false;
    };
    let short = |text: &str| text.len() <= DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    short(first) && short(last) && select(value, u64::MAX) != Selected::All
}

fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // a number that overflows is beyond every body
    plain.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_parsed_or_ignored() {
        let check = |value: &str, expected: Selected| assert_eq!(select(value, 100), expected, "{value}");
        check("bytes=0-9", Selected::Part(0..10));
        check("bytes=90-", Selected::Part(90..100));
        check("bytes=90-200", Selected::Part(90..100));
        check("bytes=-10", Selected::Part(90..100));
        check("bytes=-1000", Selected::Part(0..100));
        check("bytes=99-99", Selected::Part(99..100));
        check("Bytes = 0-0", Selected::Part(0..1));
        check("bytes=0-99999999999999999999999", Selected::Part(0..100));
        check("bytes=100-", Selected::Unsatisfiable);
        check("bytes=100-200", Selected::Unsatisfiable);
        check("bytes=-0", Selected::Unsatisfiable);
        check("bytes=0-1,5-6", Selected::All);
        check("bytes=9-1", Selected::All);
        check("bytes=900-1", Selected::All);
        check("bytes=a-b", Selected::All);
        check("bytes=-", Selected::All);
        check("bytes=", Selected::All);
        check("lines=0-1", Selected::All);
        check("", Selected::All);
        assert_eq!(select("bytes=0-", 0), Selected::Unsatisfiable);
        assert_eq!(select("bytes=-5", 0), Selected::Unsatisfiable);
    }

    #[test]
    fn plain_ranges_are_recognised() {
        for value in ["bytes=0-9", "bytes=90-", "bytes=-10", "bytes=-0", "bytes=100-999999999999999"] {
            assert!(is_plain(value), "{value}");
        }
        let others =
            ["bytes = 0-9", "Bytes=0-9", "bytes=0-1,5-6", "bytes=9-1", "bytes=-", "bytes=a-b", "bytes=0-9 ", ""];
        for value in others.into_iter().chain(["bytes=0-9999999999999999", "lines=0-1", "bytes=+1-2", "bytes"]) {
            assert!(!is_plain(value), "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn part_is_within_the_body(value in "(bytes=)?[0-9,-]{0,12}", length in 0u64..1000) {
            if let Selected::Part(part) = select(&value, length) {
                assert!(part.start < part.end && part.end <= length);
            }
        }
    }
}
