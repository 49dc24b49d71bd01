//! The pace of requests: pauses that leave the server free for live traffic.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A render is slow at this multiple of the usual time, and above this minimum.
const SLOW_FACTOR: u32 = 4;
const SLOW_MIN: Duration = Duration::from_millis(100);

/// The longest pause, also of a longer `Retry-After`.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The usual time of a render by media type, which it depends on most.
#[derive(Debug, Default)]
pub(super) struct Pace {
    usual: HashMap<String, Duration>,
}

impl Pace {
    /// The pause after a render of ours: as long as it took if it was slow, which means that the server is busy.
    pub(super) fn after(&mut self, kind: &str, took: Duration) -> Duration {
        let Some(usual) = self.usual.get_mut(kind) else {
            self.usual.insert(kind.to_owned(), took);
            return Duration::ZERO;
        };
        let is_slow = took > *usual * SLOW_FACTOR && took > SLOW_MIN;
        // bounded, so that one large original does not raise the average
        let counted = took.min(*usual * SLOW_FACTOR).max(Duration::from_micros(100));
        *usual = (*usual * 9 + counted) / 10;
        if is_slow { took.min(MAX_PAUSE) } else { Duration::ZERO }
    }
}

/// Whether the server renders for other clients as well, by its count of renders minus ours.
#[derive(Debug, Default)]
pub(super) struct LiveTraffic {
    last_poll: Option<Instant>,
    /// The server's renders and ours at the last poll.
    before: Option<(u64, u64)>,
    /// Whether the server's metrics are not available.
    is_unknown: bool,
    is_active: bool,
}

impl LiveTraffic {
    /// The interval of polls.
    const INTERVAL: Duration = Duration::from_secs(1);

    /// Whether the next poll is due; `true` counts as the poll.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = !self.is_unknown && self.last_poll.is_none_or(|last| now - last >= Self::INTERVAL);
        if is_due {
            self.last_poll = Some(now);
        }
        is_due
    }

    /// Records a poll: the server's renders (`None` if its metrics are not available) and ours. Renders in flight may be
    /// counted by the server only.
    pub(super) fn record(&mut self, renders: Option<u64>, own: u64, in_flight: u64) {
        let Some(renders) = renders else {
            self.is_unknown = true;
            self.is_active = false;
            return;
        };
        if let Some((renders_before, own_before)) = self.before {
            let others = renders.saturating_sub(renders_before).saturating_sub(own.saturating_sub(own_before));
            self.is_active = others > in_flight;
        }
        self.before = Some((renders, own));
    }

    /// The pause after a render of that duration: live traffic gets half of the time.
    pub(super) fn pause_after(&self, took: Duration) -> Duration {
        if self.is_active { took.min(MAX_PAUSE) } else { Duration::ZERO }
    }
}

/// The pause after a 429 or 503: `Retry-After`, or exponential backoff.
pub(super) fn backoff(retry_after: &str, attempt: u32) -> Duration {
    let seconds = retry_after.trim().parse().map(Duration::from_secs).ok();
    seconds.unwrap_or_else(|| Duration::from_millis(500) * 2_u32.saturating_pow(attempt.min(10))).min(MAX_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_render_is_followed_by_a_pause() {
        let ms = Duration::from_millis;
        let mut pace = Pace::default();
        assert_eq!(pace.after("image/webp", ms(50)), Duration::ZERO);
        assert_eq!(pace.after("image/webp", ms(90)), Duration::ZERO);
        assert_eq!(pace.after("image/webp", ms(900)), ms(900));
        // another kind has a usual time of its own
        assert_eq!(pace.after("image/avif", ms(900)), Duration::ZERO);
        // quick ones may vary as they like
        let mut quick = Pace::default();
        quick.after("image/webp", ms(1));
        assert_eq!(quick.after("image/webp", ms(99)), Duration::ZERO);
        // a lasting change becomes the usual pace
        let pauses = (0..60).map(|_| pace.after("image/webp", ms(900))).filter(|pause| !pause.is_zero()).count();
        assert!((1..40).contains(&pauses), "{pauses}");
    }

    #[test]
    fn live_traffic_is_the_servers_count_minus_ours() {
        let mut traffic = LiveTraffic::default();
        let (now, took) = (Instant::now(), Duration::from_millis(40));
        assert!(traffic.is_due(now) && !traffic.is_due(now) && traffic.is_due(now + LiveTraffic::INTERVAL));
        traffic.record(Some(1000), 0, 1);
        assert_eq!(traffic.pause_after(took), Duration::ZERO);
        // ours, and one that is not finished
        traffic.record(Some(1011), 10, 1);
        assert_eq!(traffic.pause_after(took), Duration::ZERO);
        traffic.record(Some(1031), 20, 1);
        assert_eq!(traffic.pause_after(took), took);
        traffic.record(Some(1041), 30, 1);
        assert_eq!(traffic.pause_after(took), Duration::ZERO);
        traffic.record(None, 30, 1);
        assert!(!traffic.is_due(now + LiveTraffic::INTERVAL * 9));
    }

    #[test]
    fn retry_after_is_obeyed_within_bounds() {
        assert_eq!(backoff("3", 0), Duration::from_secs(3));
        assert_eq!(backoff("100000", 0), MAX_PAUSE);
        assert_eq!(backoff("", 0), Duration::from_millis(500));
        assert_eq!(backoff("Wed, 25 Nov 2026 10:00:00 GMT", 2), Duration::from_secs(2));
    }
}
