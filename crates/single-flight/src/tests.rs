//! Threads that join, complete, invalidate and drop at the same time, under many schedules of a random scheduler.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use shuttle::future::block_on;
use shuttle::sync::atomic::AtomicU64;
use shuttle::thread;

use super::*;

/// Schedules for each test.
const SCHEDULES: usize = 2000;

#[test]
fn concurrent_callers_all_get_the_result_of_a_flight() {
    let callers = || {
        let single_flight: Arc<SingleFlight<u8, (), u64>> = Arc::default();
        let made = Arc::new(AtomicU64::new(0));
        let call = |waits: bool| {
            let (single_flight, made) = (Arc::clone(&single_flight), Arc::clone(&made));
            thread::spawn(move || {
                let (waiter, leader) = single_flight.join(1, ());
                let work = leader.map(|leader| {
                    thread::spawn(move || {
                        let number = made.fetch_add(1, Ordering::SeqCst) + 1;
                        leader.complete(number);
                    })
                });
                let result = waits.then(|| block_on(waiter));
                if let Some(work) = work {
                    work.join().expect("no panic");
                }
                result
            })
        };
        let threads = [true, false, true, true].map(call);
        for thread in threads {
            if let Some(result) = thread.join().expect("no panic") {
                // a caller that comes after a flight has ended starts another
                let number = result.expect("it was completed");
                assert!((1..=made.load(Ordering::SeqCst)).contains(&number));
            }
        }
    };
    shuttle::check_random(callers, SCHEDULES);
}

#[test]
fn dropped_leader_leaves_no_waiter_pending() {
    let callers = || {
        let single_flight: Arc<SingleFlight<u8, (), u64>> = Arc::default();
        let (waiter, leader) = single_flight.join(1, ());
        let leader = leader.expect("the first caller leads");
        let (second, none) = single_flight.join(1, ());
        assert!(none.is_none());
        let waiting = thread::spawn(move || block_on(second));
        let dropping = thread::spawn(move || drop(leader));
        let joining = {
            let single_flight = Arc::clone(&single_flight);
            thread::spawn(move || match single_flight.join(1, ()) {
                (waiter, None) => block_on(waiter).is_none(),
                // the flight is removed before its waiters are woken
                (waiter, Some(leader)) => {
                    leader.complete(7);
                    block_on(waiter) == Some(7)
                }
            })
        };
        assert_eq!(block_on(waiter), None);
        assert_eq!(waiting.join().expect("no panic"), None);
        dropping.join().expect("no panic");
        assert!(joining.join().expect("no panic"));
        assert!(!single_flight.contains(&1));
    };
    shuttle::check_random(callers, SCHEDULES);
}

#[test]
fn leader_learns_that_all_waiters_left() {
    let callers = || {
        let single_flight: Arc<SingleFlight<u8, (), u64>> = Arc::default();
        let (first, leader) = single_flight.join(1, ());
        let leader = leader.expect("the first caller leads");
        let (second, _) = single_flight.join(1, ());
        let waiters = leader.waiters();
        assert!(!waiters.is_empty());
        let working = thread::spawn(move || {
            block_on(waiters.abandoned());
            let is_empty = waiters.is_empty();
            leader.complete(1);
            is_empty
        });
        let leaving = [first, second].map(|waiter| thread::spawn(move || drop(waiter)));
        for thread in leaving {
            thread.join().expect("no panic");
        }
        assert!(working.join().expect("no panic"));
    };
    shuttle::check_random(callers, SCHEDULES);
}

#[test]
fn caller_after_an_invalidation_starts_a_flight_of_its_own() {
    let race = || {
        let single_flight: Arc<SingleFlight<u8, (), u64>> = Arc::default();
        let (former, leader) = single_flight.join(1, ());
        single_flight.invalidate(|()| true);
        let leader = leader.expect("the first caller leads");
        let ending = thread::spawn(move || leader.complete(1));
        let (later, leader) = single_flight.join(1, ());
        let leader = leader.expect("the former result is of before the invalidation");
        assert!(leader.is_valid());
        ending.join().expect("no panic");
        assert!(single_flight.contains(&1), "the end of the former flight leaves the later one");
        leader.complete(2);
        assert_eq!((block_on(former), block_on(later)), (Some(1), Some(2)));
        assert!(!single_flight.contains(&1));
    };
    shuttle::check_random(race, SCHEDULES);
}

#[test]
fn flight_invalidated_while_it_runs_is_not_stored() {
    let purge = || {
        let single_flight: Arc<SingleFlight<u8, &'static str, u64>> = Arc::default();
        let stored = Arc::new(Mutex::new(false));
        let (_waiter, leader) = single_flight.join(1, "a");
        let leader = leader.expect("the first caller leads");
        let making = {
            let stored = Arc::clone(&stored);
            thread::spawn(move || {
                if leader.is_valid() {
                    *lock(&stored) = true;
                    // invalidated between the check and the store
                    if !leader.is_valid() {
                        *lock(&stored) = false;
                    }
                }
                leader.complete(1);
            })
        };
        let purging = {
            let (single_flight, stored) = (Arc::clone(&single_flight), Arc::clone(&stored));
            thread::spawn(move || {
                single_flight.invalidate(|label| *label == "a");
                *lock(&stored) = false;
            })
        };
        purging.join().expect("no panic");
        making.join().expect("no panic");
        assert!(!*lock(&stored));
    };
    shuttle::check_random(purge, SCHEDULES);
}

#[test]
fn caller_after_a_result_starts_another_flight() {
    let callers = || {
        let single_flight: Arc<SingleFlight<u8, (), u64>> = Arc::default();
        let (waiter, leader) = single_flight.join(1, ());
        let leader = leader.expect("the first caller leads");
        let completing = thread::spawn(move || leader.complete(1));
        assert_eq!(block_on(waiter), Some(1));
        assert!(single_flight.join(1, ()).1.is_some(), "the flight has ended");
        completing.join().expect("no panic");
    };
    shuttle::check_random(callers, SCHEDULES);
}

#[test]
fn flight_that_was_joined_again_is_not_abandoned() {
    let callers = || {
        let single_flight: Arc<SingleFlight<u8, (), u64>> = Arc::default();
        let (first, leader) = single_flight.join(1, ());
        let waiters = leader.as_ref().expect("the first caller leads").waiters();
        let mut abandoned = std::pin::pin!(waiters.abandoned());
        let mut poll = || abandoned.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll().is_pending());
        drop(first);
        // before the task that was woken runs
        let (second, none) = single_flight.join(1, ());
        assert!(none.is_none());
        assert!(poll().is_pending(), "another waits");
        drop(second);
        assert!(poll().is_ready());
    };
    shuttle::check_random(callers, 1);
}
