//! The time of the kernel's last clock tick, at most some milliseconds ago. Reading it takes a few loads from memory; the
//! exact time takes the processor's counter, which a cache hit read twenty times.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, Timespec, clock_gettime};

fn read(clock: ClockId) -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    Duration::new(tv_sec.try_into().unwrap_or(0), tv_nsec.try_into().unwrap_or(0))
}

/// The time of day, of the same clock as file times.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + read(ClockId::RealtimeCoarse)
}

/// Seconds since 1970.
pub(crate) fn seconds() -> u64 {
    read(ClockId::RealtimeCoarse).as_secs()
}

/// Monotonic time, exact to a tick in either direction.
pub(crate) fn instant() -> Instant {
    static START: LazyLock<(Instant, Duration)> = LazyLock::new(|| (Instant::now(), read(ClockId::MonotonicCoarse)));
    let (start, read_then) = *START;
    start + read(ClockId::MonotonicCoarse).saturating_sub(read_then)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_time_is_exact_to_some_ticks() {
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
