//! Rate limits: a token bucket for each client, for a bounded number of clients, and one for each kind of log line that
//! clients can cause.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::clients::Client;

/// Clients with a bucket of their own at most; the least recently seen ones are forgotten, and begin with a full bucket.
const MAX_CLIENTS: u64 = 65_536;

/// A rate limit for each client.
#[derive(Clone)]
pub(super) struct PerClient {
    quota: Quota,
    buckets: moka::sync::Cache<Client, Arc<DefaultDirectRateLimiter>>,
}

impl PerClient {
    /// `rate` per second, and `burst` at once after a while of none. `None` for no limit, if one of them is 0.
    pub(super) fn new(rate: u32, burst: u32) -> Option<PerClient> {
        let (rate, burst) = (NonZeroU32::new(rate)?, NonZeroU32::new(burst)?);
        // a bucket is full again after that long, as one that was forgotten
        let full = Duration::from_secs(u64::from(burst.get() / rate.get()) + 1);
        let buckets = moka::sync::Cache::builder().max_capacity(MAX_CLIENTS).time_to_idle(full).build();
        Some(PerClient { quota: Quota::per_second(rate).allow_burst(burst), buckets })
    }

    /// Takes a token of that client.
    ///
    /// # Errors
    /// The time until there is one.
    pub(super) fn acquire(&self, client: Client) -> Result<(), Duration> {
        let bucket = self.buckets.get_with(client.network(), || Arc::new(RateLimiter::direct(self.quota)));
        acquire(&bucket)
    }
}

fn acquire(bucket: &DefaultDirectRateLimiter) -> Result<(), Duration> {
    bucket.check().map_err(|later| later.wait_time_from(DefaultClock::default().now()))
}

/// Beacons per second and burst: of one client, and of all clients together, which bounds the growth of the log.
const BEACON_RATE: NonZeroU32 = NonZeroU32::new(5).expect("not 0");
const BEACON_BURST: NonZeroU32 = NonZeroU32::new(50).expect("not 0");
const ALL_BEACONS_RATE: NonZeroU32 = NonZeroU32::new(50).expect("not 0");
const ALL_BEACONS_BURST: NonZeroU32 = NonZeroU32::new(500).expect("not 0");

/// The rate limit of beacons.
pub(super) struct BeaconLimit {
    each: Option<PerClient>,
    all: DefaultDirectRateLimiter,
}

impl BeaconLimit {
    pub(super) fn new() -> BeaconLimit {
        let all = RateLimiter::direct(Quota::per_second(ALL_BEACONS_RATE).allow_burst(ALL_BEACONS_BURST));
        BeaconLimit { each: PerClient::new(BEACON_RATE.get(), BEACON_BURST.get()), all }
    }

    /// Takes a token of that client, and one of all clients.
    ///
    /// # Errors
    /// The time until there are both.
    pub(super) fn acquire(&self, client: Client) -> Result<(), Duration> {
        self.each.as_ref().map_or(Ok(()), |each| each.acquire(client))?;
        acquire(&self.all)
    }
}

/// Limits the rate of one kind of log line that clients can cause.
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
    /// The number of lines that were omitted since the last one, if a line may be logged now.
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
    fn clients_have_buckets_of_their_own() {
        assert!(PerClient::new(0, 10).is_none());
        let limit = PerClient::new(1, 3).expect("a limit");
        for _ in 0..3 {
            assert_eq!(limit.acquire(client("192.0.2.1")), Ok(()));
        }
        let wait = limit.acquire(client("192.0.2.1")).expect_err("the burst is three");
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(limit.acquire(client("192.0.2.2")), Ok(()));
    }

    #[test]
    fn log_lines_beyond_the_burst_are_counted() {
        let throttle = LogThrottle::default();
        let admitted = (0..1000).filter_map(|_| throttle.admit()).count();
        assert!((10..20).contains(&admitted), "{admitted}");
        assert!(throttle.omitted.load(Ordering::Relaxed) > 900);
    }

    #[test]
    fn ipv6_network_has_one_bucket() {
        let limit = PerClient::new(1, 2).expect("a limit");
        assert_eq!(limit.acquire(client("2001:db8::1")), Ok(()));
        assert_eq!(limit.acquire(client("2001:db8::2")), Ok(()));
        assert!(limit.acquire(client("2001:db8::3")).is_err());
        assert_eq!(limit.acquire(client("2001:db8:0:1::1")), Ok(()));
    }
}
