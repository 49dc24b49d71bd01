//! How fast it may go: whoever warms is never the reason that somebody else waits.

use std::collections::HashMap;
use std::time::Duration;

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
    fn the_server_says_for_how_long() {
        assert_eq!(refused("3", 0), Duration::from_secs(3));
        assert_eq!(refused("100000", 0), LONGEST);
        assert_eq!(refused("", 0), Duration::from_millis(500));
        assert_eq!(refused("Wed, 25 Nov 2026 10:00:00 GMT", 2), Duration::from_secs(2));
    }
}
