//! How often one client may ask: a bucket of tokens for each, of which there are never more than a bounded number. And how
//! often a line of one kind may be logged.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::clients::Client;

/// How many clients are told apart; beyond that those who have been still for longest begin with a full bucket.
const CLIENTS: u64 = 65_536;

/// A limit that each client has for itself.
#[derive(Clone)]
pub(super) struct PerClient {
    quota: Quota,
    buckets: moka::sync::Cache<Client, Arc<DefaultDirectRateLimiter>>,
}

impl PerClient {
    /// So many a second, and so many at once after a while of none. `None` where that is no limit.
    pub(super) fn new(rate: u32, burst: u32) -> Option<PerClient> {
        let (rate, burst) = (NonZeroU32::new(rate)?, NonZeroU32::new(burst)?);
        // after that long a bucket is full again, and need not be remembered
        let full = Duration::from_secs(u64::from(burst.get() / rate.get()) + 1);
        let buckets = moka::sync::Cache::builder().max_capacity(CLIENTS).time_to_idle(full).build();
        Some(PerClient { quota: Quota::per_second(rate).allow_burst(burst), buckets })
    }

    /// Takes a token of that client's, or says how long it is until there is one.
    pub(super) fn take(&self, client: Client) -> Result<(), Duration> {
        let bucket = self.buckets.get_with(client.household(), || Arc::new(RateLimiter::direct(self.quota)));
        take(&bucket)
    }
}

/// Takes a token, or says how long it is until there is one.
pub(super) fn take(bucket: &DefaultDirectRateLimiter) -> Result<(), Duration> {
    bucket.check().map_err(|later| later.wait_time_from(DefaultClock::default().now()))
}

/// Lets a line into the log now and then, for what anybody can cause as often as they like.
#[derive(Debug)]
pub(super) struct LogThrottle {
    bucket: DefaultDirectRateLimiter,
    omitted: AtomicU64,
}

impl Default for LogThrottle {
    /// One line a second, and ten at once after a while of none.
    fn default() -> Self {
        const BURST: NonZeroU32 = NonZeroU32::new(10).expect("more than none");
        let bucket = RateLimiter::direct(Quota::per_second(NonZeroU32::MIN).allow_burst(BURST));
        LogThrottle { bucket, omitted: AtomicU64::new(0) }
    }
}

impl LogThrottle {
    /// How many lines were left out since the last one, if there may be one now.
    pub(super) fn admit(&self) -> Option<u64> {
        if self.bucket.check().is_ok() {
            return Some(self.omitted.swap(0, Ordering::Relaxed));
        }
        self.omitted.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::clients::{Peer, Proxies};
    use super::*;

    fn client(text: &str) -> Client {
        Proxies::default().client(Peer::Ip(text.parse().expect("an address")), &http::HeaderMap::new())
    }

    #[test]
    fn each_has_their_own() {
        assert!(PerClient::new(0, 10).is_none());
        let limit = PerClient::new(1, 3).expect("a limit");
        for _ in 0..3 {
            assert_eq!(limit.take(client("192.0.2.1")), Ok(()));
        }
        let wait = limit.take(client("192.0.2.1")).expect_err("three is all");
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(limit.take(client("192.0.2.2")), Ok(()));
    }

    #[test]
    fn log_lines_beyond_the_burst_are_counted() {
        let throttle = LogThrottle::default();
        let admitted = (0..1000).filter_map(|_| throttle.admit()).count();
        assert!((10..20).contains(&admitted), "{admitted}");
        assert!(throttle.omitted.load(Ordering::Relaxed) > 900);
    }

    #[test]
    fn a_household_has_one() {
        let limit = PerClient::new(1, 2).expect("a limit");
        assert_eq!(limit.take(client("2001:db8::1")), Ok(()));
        assert_eq!(limit.take(client("2001:db8::2")), Ok(()));
        assert!(limit.take(client("2001:db8::3")).is_err());
        assert_eq!(limit.take(client("2001:db8:0:1::1")), Ok(()));
    }
}
