//! How fast it may go: whoever warms is never the reason that somebody else waits.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// An answer that takes this many times as long as usual is slow, if that is more than a moment.
const SLOW: u32 = 4;
const MOMENT: Duration = Duration::from_millis(100);

/// The longest pause, whatever is asked for.
const LONGEST: Duration = Duration::from_secs(60);

/// How long answers take by their media type: a render's time depends on what it writes more than on anything else.
#[derive(Debug, Default)]
pub(super) struct Pace {
    usual: HashMap<String, Duration>,
}

impl Pace {
    /// How long to wait after an answer that was made for us: as long as it took, where it took long by what is usual.
    pub(super) fn after(&mut self, kind: &str, took: Duration) -> Duration {
        let Some(usual) = self.usual.get_mut(kind) else {
            self.usual.insert(kind.to_owned(), took);
            return Duration::ZERO;
        };
        let is_slow = took > *usual * SLOW && took > MOMENT;
        // one large original is no reason to think that everything is slow
        let counted = took.min(*usual * SLOW).max(Duration::from_micros(100));
        *usual = (*usual * 9 + counted) / 10;
        if is_slow { took.min(LONGEST) } else { Duration::ZERO }
    }
}

/// Whether others have pictures made meanwhile: the server counts its renders, and we our own.
#[derive(Debug, Default)]
pub(super) struct Others {
    looked: Option<Instant>,
    before: Option<(u64, u64)>,
    is_silent: bool,
    are_there: bool,
}

impl Others {
    /// How often the server is asked for its count.
    const EVERY: Duration = Duration::from_secs(1);

    /// Whether it is time to ask; whoever is told so does.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = !self.is_silent && self.looked.is_none_or(|looked| now - looked >= Self::EVERY);
        if is_due {
            self.looked = Some(now);
        }
        is_due
    }

    /// Takes in what the server says, which is nothing where its numbers are not ours to see, and how many renders were
    /// ours. As many as we have under way may be counted there and not here yet.
    pub(super) fn learn(&mut self, renders: Option<u64>, own: u64, under_way: u64) {
        let Some(renders) = renders else {
            self.is_silent = true;
            self.are_there = false;
            return;
        };
        if let Some((renders_before, own_before)) = self.before {
            let others = renders.saturating_sub(renders_before).saturating_sub(own.saturating_sub(own_before));
            self.are_there = others > under_way;
        }
        self.before = Some((renders, own));
    }

    /// How long to wait after a render that took so long: while others are there, they have half of the time.
    pub(super) fn share(&self, took: Duration) -> Duration {
        if self.are_there { took.min(LONGEST) } else { Duration::ZERO }
    }
}

/// How long a server that has too much to do wants to be left alone: what it says, or longer each time.
pub(super) fn refused(retry_after: &str, attempt: u32) -> Duration {
    let said = retry_after.trim().parse().map(Duration::from_secs).ok();
    said.unwrap_or_else(|| Duration::from_millis(500) * 2_u32.saturating_pow(attempt.min(10))).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_answers_are_followed_by_pauses() {
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
        // what stays so becomes usual
        let pauses = (0..60).map(|_| pace.after("image/webp", ms(900))).filter(|pause| !pause.is_zero()).count();
        assert!((1..40).contains(&pauses), "{pauses}");
    }

    #[test]
    fn others_are_what_the_server_counts_beside_ours() {
        let mut others = Others::default();
        let (now, took) = (Instant::now(), Duration::from_millis(40));
        assert!(others.is_due(now) && !others.is_due(now) && others.is_due(now + Others::EVERY));
        others.learn(Some(1000), 0, 1);
        assert_eq!(others.share(took), Duration::ZERO);
        // ours, and one that is not finished
        others.learn(Some(1011), 10, 1);
        assert_eq!(others.share(took), Duration::ZERO);
        others.learn(Some(1031), 20, 1);
        assert_eq!(others.share(took), took);
        others.learn(Some(1041), 30, 1);
        assert_eq!(others.share(took), Duration::ZERO);
        others.learn(None, 30, 1);
        assert!(!others.is_due(now + Others::EVERY * 9));
    }

    #[test]
    fn the_server_says_for_how_long() {
        assert_eq!(refused("3", 0), Duration::from_secs(3));
        assert_eq!(refused("100000", 0), LONGEST);
        assert_eq!(refused("", 0), Duration::from_millis(500));
        assert_eq!(refused("Wed, 25 Nov 2026 10:00:00 GMT", 2), Duration::from_secs(2));
    }
}
