//! How long the version of a remote original is used: fresh, stale while it is asked for again (RFC 5861 §3), and stale
//! where the origin fails (§4).

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::transport::{Conditions, Lifetime};
use super::{Error, Version};
use crate::sync;

/// How long an origin that failed is not asked again.
const RETRY: Duration = Duration::from_secs(5);

/// The bounds of the time that an origin gives in `Cache-Control`.
const MIN_FRESH: Duration = Duration::from_secs(1);
const MAX_FRESH: Duration = Duration::from_secs(86_400);

/// Failures in a row that mean that the origin is down, rather than that single originals are slow or torn.
const FAILURES: u32 = 3;

/// The windows in which the version of an original is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// It is used without a request.
    pub revalidate: Duration,
    /// For so much longer it is used while a request is made.
    pub stale_while_revalidate: Duration,
    /// For so long it is used if that request fails.
    pub stale_if_error: Duration,
    /// How long a client waits for that request before the version is used as if it had failed.
    pub patience: Duration,
    /// How long an original that the origin does not have is not asked for again.
    pub missing: Duration,
}

/// A version, and when the origin last confirmed it.
#[derive(Clone, Debug)]
pub(super) struct KnownVersion {
    pub(super) version: Version,
    pub(super) conditions: Option<Conditions>,
    pub(super) lifetime: Lifetime,
    /// When it was confirmed, or read from disk.
    since: Instant,
    /// Its age then.
    aged: Duration,
    fresh: Duration,
    /// The next request after one that failed.
    retry: Option<Instant>,
}

/// The treatment of a version by its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Staleness {
    /// It is used.
    Fresh,
    /// It is used, and asked for again meanwhile.
    Stale,
    /// It is asked for again, and used if that fails.
    Expired,
    /// It is not used any more.
    TooOld,
}

impl KnownVersion {
    /// A version that the origin just confirmed.
    pub(super) fn new(
        version: Version, conditions: Option<Conditions>, lifetime: Lifetime, windows: &Windows, now: Instant,
    ) -> KnownVersion {
        let usual = match lifetime.max_age {
            Some(age) if !windows.revalidate.is_zero() => age.clamp(MIN_FRESH, MAX_FRESH),
            _ => windows.revalidate,
        };
        let fresh = jittered(usual, &version.identity);
        KnownVersion { version, conditions, lifetime, since: now, aged: Duration::ZERO, fresh, retry: None }
    }

    /// A version of that age that was read from disk. It is not fresh: the original may have changed, and other processes
    /// may have seen it.
    pub(super) fn aged(self, age: Duration) -> KnownVersion {
        KnownVersion { aged: age.max(self.fresh), ..self }
    }

    /// Whether it was read from disk, and not confirmed since.
    pub(super) fn is_from_disk(&self) -> bool {
        !self.aged.is_zero()
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        self.aged.saturating_add(now.saturating_duration_since(self.since))
    }

    pub(super) fn staleness(&self, windows: &Windows, now: Instant) -> Staleness {
        let age = self.age(now);
        let may_ask = self.retry.is_none_or(|retry| now >= retry);
        if age < self.fresh {
            Staleness::Fresh
        } else if age < self.fresh + windows.stale_while_revalidate {
            if may_ask { Staleness::Stale } else { Staleness::Fresh }
        } else if age < self.fresh + windows.stale_if_error && !self.lifetime.must_revalidate {
            if may_ask { Staleness::Expired } else { Staleness::Fresh }
        } else {
            Staleness::TooOld
        }
    }

    /// Whether it is only used because the origin fails.
    pub(super) fn is_stale(&self, windows: &Windows, now: Instant) -> bool {
        self.retry.is_some() && self.age(now) >= self.fresh + windows.stale_while_revalidate
    }

    /// The same after a request that failed.
    pub(super) fn failed(self, now: Instant) -> KnownVersion {
        KnownVersion { retry: Some(now + RETRY), ..self }
    }
}

/// A duration changed by up to a tenth, so that names learnt together are not asked for together.
pub(super) fn jittered(duration: Duration, seed: &[u8; 32]) -> Duration {
    duration.mul_f64(0.9 + f64::from(seed[0]) / 255.0 * 0.2)
}

/// Whether an error is an outage of the origin, not its answer about an original.
pub(super) fn is_outage(error: &Error) -> bool {
    match error {
        Error::Unavailable(_) | Error::TimedOut => true,
        Error::Status(status) => *status == 429 || *status >= 500,
        Error::NotFound | Error::Forbidden | Error::TooLarge { .. } | Error::Changing => false,
        Error::Refused(_) | Error::Credentials => false,
    }
}

/// Whether the origin is sick, so that requests need not wait for it to fail.
#[derive(Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    open: Option<(Instant, Error)>,
}

/// The outcome of a request, as a sign of the origin's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OriginChange {
    Fails,
    Recovers,
}

impl Breaker {
    /// The error of the origin, while it is not to be asked. After each pause one caller may ask it.
    pub(super) fn error(&self, now: Instant) -> Option<Error> {
        let mut state = sync::lock(&self.0);
        let (until, error) = state.open.as_mut()?;
        if now < *until {
            return Some(error.clone());
        }
        *until = now + RETRY;
        None
    }

    pub(super) fn is_open(&self) -> bool {
        sync::lock(&self.0).open.is_some()
    }

    /// Counts a request that ended. A connection that is refused tells about the whole origin, a timeout about one original
    /// at first, and a status that the origin answers.
    pub(super) fn count(&self, failure: Option<&Error>, now: Instant) -> Option<OriginChange> {
        let mut state = sync::lock(&self.0);
        let was_open = state.open.is_some();
        match failure {
            Some(Error::Unavailable(error)) if is_connection_error(error) => state.failures = FAILURES,
            Some(Error::TimedOut | Error::Unavailable(_)) => state.failures = state.failures.saturating_add(1),
            Some(_) | None => *state = State::default(),
        }
        if let Some(error) = failure.filter(|_| state.failures >= FAILURES) {
            state.open = Some((now + RETRY, error.clone()));
        }
        match (was_open, state.open.is_some()) {
            (false, true) => Some(OriginChange::Fails),
            (true, false) => Some(OriginChange::Recovers),
            _ => None,
        }
    }
}

fn is_connection_error(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: Windows = Windows {
        revalidate: Duration::from_secs(60),
        stale_while_revalidate: Duration::from_secs(600),
        stale_if_error: Duration::from_secs(6000),
        patience: Duration::from_secs(2),
        missing: Duration::from_secs(10),
    };

    #[test]
    fn version_is_fresh_then_stale_then_expired_then_too_old() {
        let start = Instant::now();
        let version = Version { identity: [7; 32], modified: None, length: 1 };
        let known = KnownVersion::new(version, None, Lifetime::default(), &WINDOWS, start);
        let check = |known: &KnownVersion, seconds: u64, expected: Staleness| {
            assert_eq!(known.staleness(&WINDOWS, start + Duration::from_secs(seconds)), expected, "{seconds}");
        };
        check(&known, 0, Staleness::Fresh);
        check(&known, 53, Staleness::Fresh);
        check(&known, 67, Staleness::Stale);
        check(&known, 650, Staleness::Stale);
        check(&known, 670, Staleness::Expired);
        check(&known, 6050, Staleness::Expired);
        check(&known, 6070, Staleness::TooOld);
        let failed = known.clone().failed(start + Duration::from_secs(1000));
        check(&failed, 1004, Staleness::Fresh);
        check(&failed, 1006, Staleness::Expired);
        let is_stale =
            |known: &KnownVersion, seconds: u64| known.is_stale(&WINDOWS, start + Duration::from_secs(seconds));
        assert!(!is_stale(&failed, 650) && is_stale(&failed, 670) && is_stale(&failed, 1004));
        assert!(!is_stale(&known, 670), "no request has failed");
        // read from disk
        for (age, expected) in [(0, Staleness::Stale), (650, Staleness::Expired), (7000, Staleness::TooOld)] {
            check(&known.clone().aged(Duration::from_secs(age)), 20, expected);
        }
        check(&known.aged(Duration::MAX), 1, Staleness::TooOld);
    }

    #[test]
    fn each_window_ends_at_its_last_moment() {
        let start = Instant::now();
        let version = Version { identity: [7; 32], modified: None, length: 1 };
        let known = KnownVersion::new(version, None, Lifetime::default(), &WINDOWS, start);
        let just_before = |end: Duration| end - Duration::from_nanos(1);
        for (end, before, after) in [
            (known.fresh, Staleness::Fresh, Staleness::Stale),
            (known.fresh + WINDOWS.stale_while_revalidate, Staleness::Stale, Staleness::Expired),
            (known.fresh + WINDOWS.stale_if_error, Staleness::Expired, Staleness::TooOld),
        ] {
            assert_eq!(known.staleness(&WINDOWS, start + just_before(end)), before, "{end:?}");
            assert_eq!(known.staleness(&WINDOWS, start + end), after, "{end:?}");
        }
        let failed = known.clone().failed(start);
        let end = known.fresh + WINDOWS.stale_while_revalidate;
        assert!(!failed.is_stale(&WINDOWS, start + just_before(end)) && failed.is_stale(&WINDOWS, start + end));
        let late = known.clone().failed(start + end);
        assert_eq!(late.staleness(&WINDOWS, start + end + just_before(RETRY)), Staleness::Fresh);
        assert_eq!(late.staleness(&WINDOWS, start + end + RETRY), Staleness::Expired);
        assert!(!known.is_from_disk() && known.aged(Duration::ZERO).is_from_disk());
    }

    #[test]
    fn outages_are_told_from_answers() {
        let unavailable = Error::Unavailable(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into());
        for (error, expected) in [
            (unavailable, true),
            (Error::TimedOut, true),
            (Error::Status(429), true),
            (Error::Status(500), true),
            (Error::Status(503), true),
            (Error::Status(499), false),
            (Error::Status(400), false),
            (Error::NotFound, false),
            (Error::Forbidden, false),
            (Error::Changing, false),
            (Error::Credentials, false),
        ] {
            assert_eq!(is_outage(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn lifetime_of_the_origin_is_used_within_bounds() {
        let start = Instant::now();
        let version = Version { identity: [127; 32], modified: None, length: 1 };
        let fresh = |max_age: u64, windows: &Windows| {
            let lifetime = Lifetime { max_age: Some(Duration::from_secs(max_age)), ..Lifetime::default() };
            KnownVersion::new(version, None, lifetime, windows, start).fresh.as_secs_f64().round()
        };
        assert_eq!(
            [0, 1, 30, 600, 86_400, u64::MAX].map(|age| fresh(age, &WINDOWS)),
            [1.0, 1.0, 30.0, 600.0, 86_366.0, 86_366.0]
        );
        let asks_always = Windows { revalidate: Duration::ZERO, ..WINDOWS };
        assert_eq!(fresh(600, &asks_always), 0.0);
        let lifetime = Lifetime { must_revalidate: true, ..Lifetime::default() };
        let known = KnownVersion::new(version, None, lifetime, &WINDOWS, start);
        assert_eq!(known.staleness(&WINDOWS, start + Duration::from_secs(650)), Staleness::Stale);
        assert_eq!(known.staleness(&WINDOWS, start + Duration::from_secs(670)), Staleness::TooOld);
    }

    #[test]
    fn breaker_opens_at_refused_connections_and_failures_in_a_row() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        let is_refused = |seconds| breaker.error(start + Duration::from_secs(seconds)).is_some();
        let count = |failure: Option<&Error>| breaker.count(failure, start);
        for failure in [Some(&Error::TimedOut), Some(&Error::TimedOut), None, Some(&Error::TimedOut)] {
            assert_eq!(count(failure), None);
        }
        assert_eq!(count(Some(&Error::TimedOut)), None);
        assert!(!is_refused(0), "an answer came between");
        assert_eq!(count(Some(&Error::TimedOut)), Some(OriginChange::Fails));
        assert!(is_refused(4));
        assert!(!is_refused(5), "one request tells");
        assert!(is_refused(5), "only one");
        assert_eq!(count(Some(&Error::TimedOut)), None);
        assert_eq!(count(None), Some(OriginChange::Recovers));
        assert!(!is_refused(0) && !breaker.is_open());
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(count(Some(&Error::Unavailable(refused.into()))), Some(OriginChange::Fails));
        assert!(is_refused(0) && breaker.is_open());
        assert_eq!(count(Some(&Error::Status(500))), Some(OriginChange::Recovers), "it answers");
        assert!(!is_refused(0));
    }
}
