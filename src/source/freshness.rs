//! How long the version of a remote original is used: fresh, stale while it is asked for again (RFC 5861 §3), and stale
//! where the origin fails (§4).

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::transport::Conditions;
use super::{Error, Version};
use crate::sync;

/// How long an origin that failed is not asked again.
const RETRY: Duration = Duration::from_secs(5);

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
pub(super) struct Known {
    pub(super) version: Version,
    pub(super) conditions: Option<Conditions>,
    confirmed: Instant,
    fresh: Duration,
    /// The next request after one that failed.
    retry: Option<Instant>,
}

/// The treatment of a version by its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is used.
    Fresh,
    /// It is used, and asked for again meanwhile.
    Stale,
    /// It is asked for again, and used if that fails.
    Expired,
    /// It is not used any more.
    TooOld,
}

impl Known {
    pub(super) fn new(version: Version, conditions: Option<Conditions>, windows: &Windows, now: Instant) -> Known {
        let fresh = jittered(windows.revalidate, &version.identity);
        Known { version, conditions, confirmed: now, fresh, retry: None }
    }

    pub(super) fn standing(&self, windows: &Windows, now: Instant) -> Standing {
        let age = now.saturating_duration_since(self.confirmed);
        let may_ask = self.retry.is_none_or(|retry| now >= retry);
        if age < self.fresh {
            Standing::Fresh
        } else if age < self.fresh + windows.stale_while_revalidate {
            if may_ask { Standing::Stale } else { Standing::Fresh }
        } else if age < self.fresh + windows.stale_if_error {
            if may_ask { Standing::Expired } else { Standing::Fresh }
        } else {
            Standing::TooOld
        }
    }

    /// The same after a request that failed.
    pub(super) fn failed(self, now: Instant) -> Known {
        Known { retry: Some(now + RETRY), ..self }
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

/// Whether the origin is down, so that requests need not wait for it to fail.
#[derive(Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    open: Option<(Instant, Error)>,
}

impl Breaker {
    /// The error of the origin, while it is not to be asked.
    pub(super) fn error(&self, now: Instant) -> Option<Error> {
        sync::lock(&self.0).open.as_ref().filter(|(until, _)| now < *until).map(|(_, error)| error.clone())
    }

    /// Counts a request that ended. A connection that is refused tells about the whole origin, a timeout about one original
    /// at first, and a status that the origin answers.
    pub(super) fn count(&self, failure: Option<&Error>, now: Instant) {
        let mut state = sync::lock(&self.0);
        match failure {
            Some(Error::Unavailable(error)) if is_connection_error(error) => state.failures = FAILURES,
            Some(Error::TimedOut | Error::Unavailable(_)) => state.failures += 1,
            Some(_) | None => *state = State::default(),
        }
        if let Some(error) = failure.filter(|_| state.failures >= FAILURES) {
            // after the pause a single request tells
            state.failures = FAILURES - 1;
            state.open = Some((now + RETRY, error.clone()));
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
        let known = Known::new(version, None, &WINDOWS, start);
        let check = |known: &Known, seconds: u64, expected: Standing| {
            assert_eq!(known.standing(&WINDOWS, start + Duration::from_secs(seconds)), expected, "{seconds}");
        };
        check(&known, 0, Standing::Fresh);
        check(&known, 53, Standing::Fresh);
        check(&known, 67, Standing::Stale);
        check(&known, 650, Standing::Stale);
        check(&known, 670, Standing::Expired);
        check(&known, 6050, Standing::Expired);
        check(&known, 6070, Standing::TooOld);
        let failed = known.failed(start + Duration::from_secs(1000));
        check(&failed, 1004, Standing::Fresh);
        check(&failed, 1006, Standing::Expired);
    }

    #[test]
    fn breaker_opens_at_refused_connections_and_failures_in_a_row() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        let is_open = |seconds| breaker.error(start + Duration::from_secs(seconds)).is_some();
        breaker.count(Some(&Error::TimedOut), start);
        breaker.count(Some(&Error::TimedOut), start);
        breaker.count(None, start);
        breaker.count(Some(&Error::TimedOut), start);
        breaker.count(Some(&Error::TimedOut), start);
        assert!(!is_open(0), "an answer came between");
        breaker.count(Some(&Error::TimedOut), start);
        assert!(is_open(4) && !is_open(6));
        breaker.count(None, start);
        assert!(!is_open(0));
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        breaker.count(Some(&Error::Unavailable(refused.into())), start);
        assert!(is_open(0));
        breaker.count(Some(&Error::Status(500)), start);
        assert!(!is_open(0), "it answers");
    }
}
