//! The rules of the admission queue one by one, and its bounds under arbitrary events.

use proptest::prelude::*;

use super::*;

const LONG: Duration = Duration::from_secs(3600);

fn need(class: Class, bytes: u64, milliseconds: u64) -> Need {
    Need { class, bytes, time: Some(Duration::from_millis(milliseconds)) }
}

/// A queue with one slot, which is taken.
fn busy(limit: usize) -> (Queue<u64>, Instant) {
    let (mut queue, now) = (Queue::new(1, 1000, limit), Instant::now());
    assert_eq!(enqueue(&mut queue, need(Class::Light, 10, 100), now), Outcome::Granted(0));
    queue.started(0, now);
    (queue, now)
}

fn enqueue(queue: &mut Queue<u64>, need: Need, now: Instant) -> Outcome {
    let number = queue.next_number;
    queue.enqueue(need, LONG, number, now)
}

#[test]
fn renders_of_a_class_are_first_in_first_out() {
    let (mut queue, now) = busy(10);
    for number in 1..5 {
        assert_eq!(enqueue(&mut queue, need(Class::Light, 10, 100), now), Outcome::Queued(number));
    }
    assert_eq!(queue.grant_next(), None);
    queue.remove(2);
    for (done, next) in [(0, 1), (1, 3), (3, 4)] {
        queue.release(done, Some(Duration::from_millis(100)));
        assert_eq!(queue.grant_next(), Some((next, next)));
    }
    queue.release(4, None);
    assert_eq!((queue.grant_next(), queue.queued(), queue.running(), queue.held()), (None, 0, 0, 0));
}

#[test]
fn classes_share_the_cores_by_time() {
    let (mut queue, now) = busy(1000);
    for _ in 0..400 {
        enqueue(&mut queue, need(Class::Light, 1, 20), now);
        enqueue(&mut queue, need(Class::Heavy, 1, 200), now);
    }
    let (mut done, mut seconds) = (0, [0.0; 2]);
    for _ in 0..200 {
        // each render takes what was estimated
        let class = usize::from(done > 0 && done % 2 == 0);
        let took = [20, 200][class];
        seconds[class] += f64::from(took) / 1000.0;
        queue.release(done, Some(Duration::from_millis(u64::try_from(took).expect("positive"))));
        done = queue.grant_next().expect("both wait").0;
    }
    let share = seconds[0] / (seconds[0] + seconds[1]);
    assert!((0.70..0.77).contains(&share), "{share}: {seconds:?}");
}

#[test]
fn class_without_renders_earns_no_credit() {
    let (mut queue, now) = busy(100);
    for number in 0..100 {
        queue.release(number, Some(Duration::from_millis(100)));
        assert_eq!(enqueue(&mut queue, need(Class::Light, 10, 100), now), Outcome::Granted(number + 1));
    }
    for _ in 0..20 {
        enqueue(&mut queue, need(Class::Light, 10, 100), now);
        enqueue(&mut queue, need(Class::Heavy, 10, 100), now);
    }
    let (mut done, mut light) = (100, 0);
    for _ in 0..8 {
        queue.release(done, Some(Duration::from_millis(100)));
        done = queue.grant_next().expect("both wait").0;
        light += usize::from(queue.running[&done].need.class == Class::Light);
    }
    assert!(light >= 5, "{light} of 8");
}

#[test]
fn heavy_queue_does_not_refuse_light_renders() {
    let (mut queue, now) = busy(1000);
    for number in 1..=50 {
        assert_eq!(enqueue(&mut queue, need(Class::Heavy, 1, 1000), now), Outcome::Queued(number));
    }
    let patience = Duration::from_secs(2);
    assert_eq!(queue.enqueue(need(Class::Light, 1, 10), patience, 51, now), Outcome::Queued(51));
}

#[test]
fn small_renders_do_not_overtake_for_memory() {
    let (mut queue, now) = (Queue::new(4, 100, 10), Instant::now());
    assert_eq!(enqueue(&mut queue, need(Class::Light, 60, 10), now), Outcome::Granted(0));
    assert_eq!(enqueue(&mut queue, need(Class::Light, 60, 10), now), Outcome::Queued(1));
    // fits, and waits all the same
    assert_eq!(enqueue(&mut queue, need(Class::Light, 10, 10), now), Outcome::Queued(2));
    assert_eq!(queue.grant_next(), None);
    assert!(queue.try_resize(0, need(Class::Light, 90, 10)));
    assert!(queue.try_resize(0, need(Class::Light, 90, 10)), "no more than it has");
    assert_eq!(queue.held(), 90);
    queue.release(0, None);
    assert_eq!(queue.grant_next(), Some((1, 1)));
    assert!(queue.try_resize(1, need(Class::Light, 101, 10)), "all memory is enough");
    assert_eq!(queue.held(), 100);
    // a render that needs more than all memory runs alone
    queue.release(1, None);
    assert_eq!(queue.grant_next(), Some((2, 2)));
    assert_eq!(enqueue(&mut queue, need(Class::Heavy, 5000, 10), now), Outcome::Queued(3));
    queue.release(2, None);
    assert_eq!(queue.grant_next(), Some((3, 3)));
    assert_eq!(queue.held(), 100);
}

#[test]
fn grant_is_not_resized_beyond_the_free_memory() {
    let (mut queue, now) = (Queue::new(4, 100, 10), Instant::now());
    assert_eq!(enqueue(&mut queue, need(Class::Light, 60, 10), now), Outcome::Granted(0));
    assert_eq!(enqueue(&mut queue, need(Class::Light, 30, 10), now), Outcome::Granted(1));
    assert!(!queue.try_resize(0, need(Class::Light, 71, 10)));
    assert_eq!(queue.held(), 90);
    assert!(queue.try_resize(0, need(Class::Light, 70, 10)));
    assert_eq!(queue.held(), 100);
}

#[test]
fn renders_that_would_wait_too_long_are_refused_at_once() {
    let (mut queue, now) = busy(1000);
    for number in 1..=10 {
        // 100 ms run, and 100 ms each before it
        let patience = Duration::from_millis(100 * (number + 1) + 1);
        assert_eq!(queue.enqueue(need(Class::Light, 1, 100), patience, number, now), Outcome::Queued(number));
    }
    let refused = queue.enqueue(need(Class::Light, 1, 100), Duration::from_millis(1150), 0, now);
    let Outcome::Refused(retry) = refused else { panic!("{refused:?}") };
    assert!((1090..1110).contains(&retry.as_millis()), "{retry:?}");
    // 90 ms later less is left of the running render
    let later = now + Duration::from_millis(90);
    let patience = Duration::from_millis(1150);
    assert!(matches!(queue.enqueue(need(Class::Light, 1, 100), patience, 0, later), Outcome::Queued(_)));
}

#[test]
fn heavy_renders_leave_room_for_light_ones() {
    for (limit, heavy, light) in [(0, 0, 0), (1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 3, 1), (16, 12, 4), (128, 96, 32)] {
        let (mut queue, now) = busy(limit);
        let mut wait = |class| {
            let outcomes = std::iter::repeat_with(|| enqueue(&mut queue, need(class, 1, 1), now));
            outcomes.take_while(|outcome| matches!(outcome, Outcome::Queued(_))).count()
        };
        assert_eq!((wait(Class::Heavy), wait(Class::Light)), (heavy, light), "{limit}");
    }
    let (mut queue, now) = busy(16);
    let outcomes = std::iter::repeat_with(|| enqueue(&mut queue, need(Class::Light, 1, 1), now));
    assert_eq!(outcomes.take_while(|outcome| matches!(outcome, Outcome::Queued(_))).count(), 16);
}

#[test]
fn expected_time_follows_measured_time() {
    let (mut queue, now) = (Queue::<u64>::new(1, 10, 10), Instant::now());
    for _ in 0..100 {
        let Outcome::Granted(number) = enqueue(&mut queue, need(Class::Light, 1, 100), now) else { panic!("free") };
        queue.release(number, Some(Duration::from_millis(300)));
    }
    assert!((queue.expected(&need(Class::Light, 1, 200)) - 0.6).abs() < 0.01);
    assert!((queue.expected(&Need { time: None, ..need(Class::Light, 1, 0) }) - 0.3).abs() < 0.01);
    // each class has its own
    assert!((queue.expected(&need(Class::Heavy, 1, 200)) - 0.2).abs() < 0.01);
}

#[test]
fn free_slot_becomes_a_second_thread_until_the_render_ends() {
    let (mut queue, now) = (Queue::new(2, 100, 10), Instant::now());
    let need = need(Class::Light, 40, 10);
    assert_eq!(enqueue(&mut queue, need, now), Outcome::Granted(0));
    assert!(!queue.try_widen(7, 1), "no such render");
    assert!(!queue.try_widen(0, 61), "no memory");
    assert!(queue.try_widen(0, 60));
    assert!(!queue.try_widen(0, 0), "it has two");
    assert_eq!((queue.running(), queue.held()), (1, 100));
    // both slots are taken
    assert_eq!(enqueue(&mut queue, need, now), Outcome::Queued(1));
    queue.release(0, None);
    assert_eq!(queue.grant_next(), Some((1, 1)));
    assert_eq!(enqueue(&mut queue, need, now), Outcome::Granted(2));
    assert!(!queue.try_widen(1, 0) && !queue.try_widen(2, 0), "no slot");
    queue.release(2, None);
    assert!(queue.try_widen(1, 0));
    queue.release(1, None);
    assert_eq!((queue.taken, queue.held()), (0, 0));
}

#[test]
fn slot_is_no_second_thread_while_a_render_waits() {
    let (mut queue, now) = (Queue::new(2, 100, 10), Instant::now());
    assert_eq!(enqueue(&mut queue, need(Class::Light, 40, 10), now), Outcome::Granted(0));
    // for memory
    assert_eq!(enqueue(&mut queue, need(Class::Light, 70, 10), now), Outcome::Queued(1));
    assert!(!queue.try_widen(0, 0));
    queue.remove(1);
    assert!(queue.try_widen(0, 0));
}

#[test]
fn idle_job_is_granted_where_nothing_waits_and_a_core_stays_free() {
    let idle = need(Class::Idle, 10, 10);
    for (slots, most) in [(1, 0), (2, 0), (3, 1), (4, 2)] {
        let (mut queue, now) = (Queue::new(slots, 1000, 10), Instant::now());
        for number in 0..=most {
            assert_eq!(enqueue(&mut queue, need(Class::Light, 10, 10), now), Outcome::Granted(number));
        }
        assert_eq!(enqueue(&mut queue, idle, now), Outcome::Queued(most + 1), "{slots}");
        // a job that waits is no render that waits
        assert_eq!((queue.grant_next(), queue.queued()), (None, 0));
        queue.release(0, None);
        assert_eq!(queue.grant_next(), Some((most + 1, most + 1)), "{slots}");
        assert_eq!(enqueue(&mut queue, idle, now), Outcome::Queued(most + 2), "one at a time");
        queue.release(most + 1, None);
        assert_eq!(queue.grant_next(), Some((most + 2, most + 2)));
    }
}

#[test]
fn idle_job_is_granted_after_every_render() {
    let (mut queue, now) = busy(10);
    assert_eq!(enqueue(&mut queue, need(Class::Idle, 10, 10), now), Outcome::Queued(1));
    assert_eq!(enqueue(&mut queue, need(Class::Heavy, 10, 10), now), Outcome::Queued(2));
    assert_eq!(enqueue(&mut queue, need(Class::Light, 10, 10), now), Outcome::Queued(3));
    for (done, next) in [(0, 3), (3, 2), (2, 1)] {
        queue.release(done, None);
        assert_eq!(queue.grant_next(), Some((next, next)));
    }
}

#[test]
fn idle_job_takes_no_slot_and_is_asked_to_stop() {
    let (mut queue, now) = (Queue::new(2, 1000, 10), Instant::now());
    let light = need(Class::Light, 10, 10);
    assert_eq!(enqueue(&mut queue, need(Class::Idle, 10, 10), now), Outcome::Granted(0));
    queue.started(0, now);
    assert_eq!((queue.running(), queue.held(), queue.oldest_start()), (0, 10, None));
    assert_eq!(enqueue(&mut queue, light, now), Outcome::Granted(1));
    assert!(!queue.is_short());
    assert_eq!(enqueue(&mut queue, light, now), Outcome::Granted(2));
    assert!(queue.is_short(), "all cores have a render");
    queue.release(1, None);
    assert!(!queue.is_short());
    assert!(queue.try_widen(2, 0), "its thread is worth more");
    assert_eq!(enqueue(&mut queue, light, now), Outcome::Queued(3));
    assert!(queue.is_short(), "a render waits");
    assert!(!queue.try_widen(0, 0));
    queue.release(0, Some(Duration::from_secs(9)));
    assert_eq!((queue.queued(), queue.held(), queue.mean[0]), (1, 10, INITIAL_MEAN[0]));
}

#[test]
fn idle_job_has_a_quarter_of_the_memory() {
    let (mut queue, now) = (Queue::new(2, 1000, 10), Instant::now());
    assert_eq!(enqueue(&mut queue, need(Class::Idle, 251, 10), now), Outcome::Refused(Duration::ZERO));
    assert_eq!(enqueue(&mut queue, need(Class::Idle, 50, 10), now), Outcome::Granted(0));
    assert!(!queue.try_resize(0, need(Class::Idle, 251, 10)));
    assert!(queue.try_resize(0, need(Class::Idle, 250, 10)));
    assert_eq!(queue.held(), 250);
}

proptest! {
    /// For any order of events: bounds hold, no render is lost, and all that wait are served in the end.
    #[test]
    fn arbitrary_events_keep_the_bounds(
        slots in 1_usize..4, bytes in 1_u64..200, limit in 0_usize..6,
        events in proptest::collection::vec((0_u8..7, 0_u8..3, 0_u64..300, 0_u64..400), 0..200),
    ) {
        let (mut queue, mut now) = (Queue::new(slots, bytes, limit), Instant::now());
        let (mut running, mut waiting) = (Vec::new(), Vec::new());
        for (event, class, amount, time) in events {
            now += Duration::from_millis(time / 4);
            let (is_timed, class) = (class == 1, [Class::Light, Class::Heavy, Class::Idle][usize::from(class)]);
            match event {
                0..=2 => match queue.enqueue(need(class, amount, time), Duration::from_millis(1500), queue.next_number, now) {
                    Outcome::Granted(number) => running.push(number),
                    Outcome::Queued(number) => waiting.push(number),
                    Outcome::Refused(_) => {}
                },
                3 if !waiting.is_empty() => queue.remove(waiting.swap_remove(amount as usize % waiting.len())),
                4 if !running.is_empty() => {
                    let number = running[amount as usize % running.len()];
                    queue.started(number, now);
                    let class = match queue.running[&number].need.class {
                        Class::Idle => Class::Idle,
                        Class::Light | Class::Heavy if class == Class::Idle => Class::Light,
                        Class::Light | Class::Heavy => class,
                    };
                    queue.try_resize(number, need(class, amount, time));
                }
                5 if !running.is_empty() => {
                    queue.try_widen(running[amount as usize % running.len()], time);
                }
                _ if !running.is_empty() => {
                    let number = running.swap_remove(amount as usize % running.len());
                    queue.release(number, is_timed.then_some(Duration::from_millis(time)));
                }
                _ => {}
            }
            while let Some((number, notified)) = queue.grant_next() {
                prop_assert_eq!(number, notified);
                waiting.retain(|other| *other != number);
                running.push(number);
            }
            prop_assert!(queue.queued() <= limit && queue.taken <= slots && queue.held() <= bytes);
            prop_assert!(queue.running() <= queue.taken);
            let idle = [queue.queued_in(Class::Idle), queue.running.len() - queue.running()];
            prop_assert!(idle[1] <= 1);
            let all = (queue.queued() + idle[0], queue.running() + idle[1]);
            prop_assert_eq!(all, (waiting.len(), running.len()));
        }
        while let Some(number) = running.pop() {
            queue.release(number, None);
            while let Some((number, _)) = queue.grant_next() {
                running.push(number);
            }
        }
        prop_assert_eq!((queue.queued(), queue.running(), queue.taken, queue.held()), (0, 0, 0, 0));
    }
}
