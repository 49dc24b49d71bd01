//! How long an image may be cached (`Cache-Control`, RFC 9111).

use std::borrow::Cow;

use http::HeaderValue;

use crate::clock;
use crate::dialect::Target;

/// A day, and a week in which a shared cache may answer with what it has while it revalidates. `no-transform` keeps
/// networks from encoding a picture once more.
const FRESH: &str = "public, max-age=86400, stale-while-revalidate=604800, stale-if-error=604800, no-transform";
/// For URLs that change when the picture does (`v`).
const IMMUTABLE: &str = "public, max-age=31536000, immutable, no-transform";
/// `max-age` and `stale-while-revalidate` of [`FRESH`], in seconds.
const DAY: u64 = 86_400;
const WEEK: u64 = 604_800;
/// `max-age` of the picture of a damaged original, in seconds: the file may still be being written.
const MINUTE: u64 = 60;
/// `max-age` of a picture whose origin fails, in seconds.
const STALE: u64 = 10;
/// `max-age` of [`IMMUTABLE`], in seconds.
const YEAR: u64 = 31_536_000;

/// The freshness of an original that is sent in place of a rendition for which there was no room.
pub(super) const FALLBACK_MAX_AGE: HeaderValue = HeaderValue::from_static("public, max-age=10, no-transform");

/// Reasons why an answer is not a current and complete picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Defects {
    /// The original is damaged.
    pub(super) damaged: bool,
    /// The original may have changed: its origin fails.
    pub(super) stale: bool,
}

/// How long an answer may be cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    Fresh,
    Immutable,
    /// So many seconds and no longer: then its URL expires.
    Seconds(u64),
    /// So many seconds, since the original is damaged.
    Damaged(u64),
    /// So many seconds, since the origin fails.
    Stale(u64),
}

impl Freshness {
    /// The freshness of a target's image, which never outlives the URL's `expires`.
    pub(super) fn of(target: &Target, defects: Defects) -> Freshness {
        let left = target.expires.map_or(u64::MAX, |expires| expires.saturating_sub(clock::seconds()));
        Freshness::until(left, target.immutable, defects)
    }

    /// The freshness for `left` more seconds.
    fn until(left: u64, immutable: bool, defects: Defects) -> Freshness {
        match defects {
            Defects { damaged: false, stale: false } => Freshness::within(immutable, left),
            Defects { damaged: false, stale: true } => Freshness::Stale(left.min(STALE)),
            Defects { damaged: true, stale } => Freshness::Damaged(left.min(if stale { STALE } else { MINUTE })),
        }
    }

    fn within(immutable: bool, left: u64) -> Freshness {
        let (usual, longest, age) =
            if immutable { (Freshness::Immutable, YEAR, YEAR) } else { (Freshness::Fresh, DAY + WEEK, DAY) };
        if longest <= left { usual } else { Freshness::Seconds(age.min(left)) }
    }

    /// The value of `Cache-Control`.
    pub(super) fn cache_control(self) -> Cow<'static, str> {
        match self {
            Freshness::Fresh => FRESH.into(),
            Freshness::Immutable => IMMUTABLE.into(),
            Freshness::Seconds(seconds) => format!("public, max-age={seconds}, no-transform").into(),
            Freshness::Damaged(seconds) | Freshness::Stale(seconds) => format!("public, max-age={seconds}").into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defects_are_cached_briefly_and_never_longer_than_the_url_is_valid() {
        for (damaged, stale, left, expected) in [
            (false, true, u64::MAX, Freshness::Stale(STALE)),
            (false, true, 3, Freshness::Stale(3)),
            (true, false, u64::MAX, Freshness::Damaged(MINUTE)),
            (true, false, 3, Freshness::Damaged(3)),
            (true, true, u64::MAX, Freshness::Damaged(STALE)),
            (false, false, u64::MAX, Freshness::Immutable),
        ] {
            assert_eq!(Freshness::until(left, true, Defects { damaged, stale }), expected);
        }
        assert_eq!((STALE, MINUTE), (10, 60));
    }

    #[test]
    fn freshness_ends_when_the_url_expires() {
        for (immutable, left, expected) in [
            (false, u64::MAX, FRESH),
            (false, 691_200, FRESH),
            (false, 691_199, "public, max-age=86400, no-transform"),
            (false, 86_399, "public, max-age=86399, no-transform"),
            (false, 0, "public, max-age=0, no-transform"),
            (true, u64::MAX, IMMUTABLE),
            (true, 31_536_000, IMMUTABLE),
            (true, 31_535_999, "public, max-age=31535999, no-transform"),
        ] {
            assert_eq!(Freshness::within(immutable, left).cache_control(), expected);
        }
    }
}
