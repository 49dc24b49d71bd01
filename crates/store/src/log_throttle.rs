//! Log lines about events that may occur with every request.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::sync::lock;

/// Allows a log line every ten seconds, however often the event occurs.
#[derive(Debug, Default)]
pub struct LogThrottle {
    last: Mutex<Option<Instant>>,
    suppressed: AtomicU64,
}

impl LogThrottle {
    /// The number of suppressed lines since the last one, if a line may be logged now.
    pub fn allow(&self) -> Option<u64> {
        const INTERVAL: Duration = Duration::from_secs(10);
        let mut last = lock(&self.last);
        if last.is_some_and(|at| at.elapsed() < INTERVAL) {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *last = Some(Instant::now());
        Some(self.suppressed.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_ten_seconds_is_allowed() {
        let throttle = LogThrottle::default();
        assert_eq!([throttle.allow(), throttle.allow(), throttle.allow()], [Some(0), None, None]);
        let pass = |seconds| {
            let mut last = lock(&throttle.last);
            *last = last.and_then(|at| at.checked_sub(Duration::from_secs(seconds)));
        };
        pass(8);
        assert_eq!(throttle.allow(), None);
        pass(2);
        assert_eq!([throttle.allow(), throttle.allow()], [Some(3), None]);
    }
}
