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
    assert!((0.6..0.9).contains(&share), "{share}: {seconds:?}");
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
    assert!(!queue.try_resize(0, need(Class::Light, 90, 10)) || queue.held() == 90);
    queue.release(0, None);
    assert_eq!(queue.grant_next(), Some((1, 1)));
    assert!(!queue.try_resize(1, need(Class::Light, 101, 10)) || queue.held() == 100);
    // a render that needs more than all memory runs alone
    queue.release(1, None);
    assert_eq!(queue.grant_next(), Some((2, 2)));
    assert_eq!(enqueue(&mut queue, need(Class::Heavy, 5000, 10), now), Outcome::Queued(3));
    queue.release(2, None);
    assert_eq!(queue.grant_next(), Some((3, 3)));
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

proptest! {
    /// For any order of events: bounds hold, no render is lost, and all that wait are served in the end.
    #[test]
    fn arbitrary_events_keep_the_bounds(
        slots in 1_usize..4, bytes in 1_u64..200, limit in 0_usize..6,
        events in proptest::collection::vec((0_u8..6, any::<bool>(), 0_u64..300, 0_u64..400), 0..200),
    ) {
        let (mut queue, mut now) = (Queue::new(slots, bytes, limit), Instant::now());
        let (mut running, mut waiting) = (Vec::new(), Vec::new());
        for (event, is_heavy, amount, time) in events {
            now += Duration::from_millis(time / 4);
            let class = if is_heavy { Class::Heavy } else { Class::Light };
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
                    queue.try_resize(number, need(class, amount, time));
                }
                _ if !running.is_empty() => {
                    let number = running.swap_remove(amount as usize % running.len());
                    queue.release(number, is_heavy.then_some(Duration::from_millis(time)));
                }
                _ => {}
            }
            while let Some((number, notified)) = queue.grant_next() {
                prop_assert_eq!(number, notified);
                waiting.retain(|other| *other != number);
                running.push(number);
            }
            prop_assert!(queue.queued() <= limit && queue.running() <= slots && queue.held() <= bytes);
            prop_assert_eq!((queue.queued(), queue.running()), (waiting.len(), running.len()));
        }
        while let Some(number) = running.pop() {
            queue.release(number, None);
            while let Some((number, _)) = queue.grant_next() {
                running.push(number);
            }
        }
        prop_assert_eq!((queue.queued(), queue.running(), queue.held()), (0, 0, 0));
    }
}
