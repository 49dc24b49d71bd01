//! The time of the kernel's last tick, some milliseconds ago at most: for what is looked at on every request and need not
//! be known any better. Reading it is a few loads from memory, where the exact time takes the processor's counter, and a
//! hit looked at that twenty times.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, Timespec, clock_gettime};

fn read(clock: ClockId) -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    Duration::new(tv_sec.try_into().unwrap_or(0), tv_nsec.try_into().unwrap_or(0))
}

/// The time of day. What files are marked with is the same clock's.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + read(ClockId::RealtimeCoarse)
}

/// The same in seconds of unix time.
pub(crate) fn seconds() -> u64 {
    read(ClockId::RealtimeCoarse).as_secs()
}

/// A point on the steady clock, off by a tick either way.
pub(crate) fn instant() -> Instant {
    static START: LazyLock<(Instant, Duration)> = LazyLock::new(|| (Instant::now(), read(ClockId::MonotonicCoarse)));
    let (start, read_then) = *START;
    start + read(ClockId::MonotonicCoarse).saturating_sub(read_then)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_time_within_some_ticks() {
        const TICKS: Duration = Duration::from_millis(50);
        for _ in 0..20 {
            let (exact, coarse) = (SystemTime::now(), now());
            assert!(coarse <= exact + TICKS && exact <= coarse + TICKS, "{exact:?} {coarse:?}");
            let (exact, coarse) = (Instant::now(), instant());
            assert!(coarse <= exact + TICKS && exact <= coarse + TICKS, "{exact:?} {coarse:?}");
            std::thread::sleep(Duration::from_millis(3));
        }
    }
}
