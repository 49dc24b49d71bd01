//! A circuit breaker: after several failures the store is left alone for a while, and then tried with one request.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::bucket::Error;
use crate::sync;

/// So many failures open the breaker, within that time.
const MAX_FAILURES: usize = 5;
const WINDOW: Duration = Duration::from_secs(10);

/// How long it stays open at first, and at most: the time doubles with each probe that fails.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Decides whether requests are sent. Times are arguments, so that tests need not wait.
pub(super) struct Breaker {
    requests: Requests,
    state: Mutex<State>,
}

/// The requests that a breaker admits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Requests {
    Reads,
    Writes,
}

#[derive(Default)]
struct State {
    /// Times of the latest failures while it is closed.
    failures: VecDeque<Instant>,
    open: Option<Open>,
    /// Changes whenever the breaker opens, closes or sends a probe: results of requests admitted before are ignored.
    generation: u64,
}

struct Open {
    probe_at: Instant,
    wait: Duration,
}

/// Admission of one request.
pub(super) struct Admitted {
    generation: u64,
}

impl Breaker {
    pub(super) fn new(requests: Requests) -> Breaker {
        Breaker { requests, state: Mutex::default() }
    }

    /// Admits a request; `None` while the breaker is open, except for one probe at the end of each wait.
    pub(super) fn admit(&self, now: Instant) -> Option<Admitted> {
        let mut state = sync::lock(&self.state);
        if let Some(open) = &mut state.open {
            if now < open.probe_at {
                return None;
            }
            // a probe that is lost is followed by another
            open.probe_at = now + open.wait;
            state.generation += 1;
        }
        Some(Admitted { generation: state.generation })
    }

    /// Notes how an admitted request ended.
    pub(super) fn record(&self, admitted: &Admitted, failure: Option<&Error>, now: Instant) {
        let mut state = sync::lock(&self.state);
        if admitted.generation != state.generation {
            return;
        }
        match (failure, state.open.as_ref().map(|open| open.wait)) {
            (None, None) => {}
            (None, Some(_)) => {
                state.close();
                self.requests.log_closed();
            }
            (Some(error), None) => {
                if state.fail(now) {
                    self.requests.log_opened(error);
                }
            }
            (Some(_), Some(wait)) => state.open(now, (wait * 2).min(LONGEST_WAIT)),
        }
    }

    /// Whether the store is left alone at present.
    pub(super) fn is_open(&self) -> bool {
        sync::lock(&self.state).open.is_some()
    }
}

impl State {
    /// Notes a failure; whether it is the one that opens the breaker.
    fn fail(&mut self, now: Instant) -> bool {
        self.failures.push_back(now);
        self.failures.retain(|at| now.duration_since(*at) < WINDOW);
        let opens = self.failures.len() >= MAX_FAILURES;
        if opens {
            self.open(now, FIRST_WAIT);
        }
        opens
    }

    fn open(&mut self, now: Instant, wait: Duration) {
        self.generation += 1;
        self.failures.clear();
        self.open = Some(Open { probe_at: now + wait, wait });
    }

    fn close(&mut self) {
        self.generation += 1;
        self.open = None;
    }
}

impl Requests {
    fn log_opened(self, error: &Error) {
        match self {
            Requests::Reads => {
                tracing::warn!(%error, "the shared bucket fails; results of other servers are rendered again")
            }
            Requests::Writes => {
                tracing::warn!(%error, "the shared bucket takes no results; other servers render them again")
            }
        }
    }

    fn log_closed(self) {
        match self {
            Requests::Reads => tracing::info!("the shared bucket answers again"),
            Requests::Writes => tracing::info!("the shared bucket takes results again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn fail(breaker: &Breaker, now: Instant) {
        let admitted = breaker.admit(now).expect("admitted");
        breaker.record(&admitted, Some(&Error::TimedOut), now);
    }

    fn succeed(breaker: &Breaker, now: Instant) {
        let admitted = breaker.admit(now).expect("admitted");
        breaker.record(&admitted, None, now);
    }

    #[test]
    fn failures_within_the_window_open_it() {
        let (breaker, start) = (Breaker::new(Requests::Reads), Instant::now());
        // four in any ten seconds
        (0..20).for_each(|number| fail(&breaker, start + SECOND * 5 / 2 * number));
        assert!(!breaker.is_open());
        let (breaker, start) = (Breaker::new(Requests::Reads), start + SECOND * 100);
        (0..4).for_each(|number| fail(&breaker, start + SECOND * number));
        succeed(&breaker, start + SECOND * 4);
        assert!(!breaker.is_open());
        fail(&breaker, start + SECOND * 5);
        assert!(breaker.is_open() && breaker.admit(start + SECOND * 5).is_none());
    }

    #[test]
    fn waits_double_up_to_a_minute_and_one_probe_closes_it() {
        let breaker = Breaker::new(Requests::Reads);
        let mut now = Instant::now();
        (0..5).for_each(|_| fail(&breaker, now));
        for wait in [5, 10, 20, 40, 60, 60] {
            assert!(breaker.admit(now + SECOND * wait - SECOND / 1000).is_none(), "{wait}");
            now += SECOND * wait;
            let probe = breaker.admit(now).expect("a probe");
            assert!(breaker.admit(now).is_none(), "one probe at a time");
            breaker.record(&probe, Some(&Error::Status(503)), now);
            assert!(breaker.is_open());
        }
        now += SECOND * 60;
        succeed(&breaker, now);
        assert!(!breaker.is_open());
        // the wait begins at five seconds again
        (0..5).for_each(|_| fail(&breaker, now));
        assert!(breaker.admit(now + SECOND * 5).is_some());
    }

    #[test]
    fn results_from_before_the_opening_are_ignored_and_a_lost_probe_is_followed_by_another() {
        let (breaker, now) = (Breaker::new(Requests::Reads), Instant::now());
        let early = breaker.admit(now).expect("admitted");
        (0..5).for_each(|_| fail(&breaker, now));
        breaker.record(&early, None, now);
        assert!(breaker.is_open());
        let lost = breaker.admit(now + SECOND * 5).expect("a probe");
        assert!(breaker.admit(now + SECOND * 9).is_none());
        succeed(&breaker, now + SECOND * 10);
        assert!(!breaker.is_open());
        breaker.record(&lost, Some(&Error::TimedOut), now + SECOND * 11);
        assert!(!breaker.is_open());
    }
}
