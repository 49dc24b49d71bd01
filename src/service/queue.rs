//! Who is next: the order in which renders get a core and memory, and whether one more may wait at all.
//!
//! Pure bookkeeping that knows neither threads nor clocks of its own, so that every rule can be tried. Two classes wait
//! apart, so that a gallery asked for as AVIF does not hold up everyone's JPEG: where both wait, cores are shared out by
//! time spent ([`SHARES`]; Demers, Keshav and Shenker, "Analysis and simulation of a fair queueing algorithm", 1989), and
//! dear work never takes up the whole queue. Whoever waits is not sent away for another: a refusal comes at once. Within a class it is first come, first served, and memory is no reason to overtake:
//! whoever needs much of it would never get it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How much work it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Most renders.
    Cheap,
    /// What takes a multiple of that: AVIF, and very large originals.
    Dear,
}

/// Parts of the cores' time that the classes get while both wait.
const SHARES: [f64; 2] = [3.0, 1.0];

/// What a render takes until it has been seen how long they take.
const FIRST_GUESS: [f64; 2] = [0.05, 0.25];

/// How much of what is known about time the latest render is worth.
const LATEST: f64 = 0.1;

/// No machine is faster or slower by more than this than the one that estimates are made for.
const PACE: std::ops::RangeInclusive<f64> = 0.05..=50.0;

/// What somebody needs to render.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Need {
    /// How much work it is.
    pub class: Class,
    /// Bytes of memory.
    pub bytes: u64,
    /// Time of one core, by estimate from the header; `None` while it is not known.
    pub time: Option<Duration>,
}

/// How somebody who comes is received.
#[derive(Debug, PartialEq)]
pub(super) enum Reception {
    /// What was asked for is theirs, under that number.
    Granted(u64),
    /// They wait under that number.
    Waits(u64),
    /// There is no room, or they would wait longer than they can; it will take so long until those who wait are served.
    Refused(Duration),
}

/// The queue; `T` is what those who wait are told with.
#[derive(Debug)]
pub(super) struct Queue<T> {
    slots: usize,
    bytes: u64,
    limit: usize,
    held: u64,
    next: u64,
    waiting: [BTreeMap<u64, Waiting<T>>; 2],
    running: BTreeMap<u64, Running>,
    /// Seconds of core time that each class has had, by its share.
    served: [f64; 2],
    /// What seconds there are to one of an estimate.
    pace: [f64; 2],
    /// Seconds of one render.
    usual: [f64; 2],
}

#[derive(Debug)]
struct Waiting<T> {
    need: Need,
    tell: T,
}

#[derive(Debug)]
struct Running {
    need: Need,
    /// Seconds that were expected when it was let in.
    expected: f64,
    began: Option<Instant>,
}

impl<T> Queue<T> {
    /// A queue of at most `limit` before so many cores and bytes of memory.
    pub(super) fn new(slots: usize, bytes: u64, limit: usize) -> Queue<T> {
        Queue {
            slots,
            bytes,
            limit,
            held: 0,
            next: 0,
            waiting: [BTreeMap::new(), BTreeMap::new()],
            running: BTreeMap::new(),
            served: [0.0; 2],
            pace: [1.0; 2],
            usual: FIRST_GUESS,
        }
    }

    /// Somebody comes who can wait for `patience`, and is told with `tell` when it is their turn.
    pub(super) fn come(&mut self, need: Need, patience: Duration, tell: T, now: Instant) -> Reception {
        let need = self.possible(need);
        let number = self.next;
        self.next += 1;
        if self.waits() == 0 && self.fits(&need) {
            self.begin(number, need);
            return Reception::Granted(number);
        }
        let class = need.class as usize;
        let too_many = self.waits() >= self.limit || self.waiting[class].len() >= self.most(need.class);
        if too_many || self.wait(class, now) + self.expected(&need) > patience.as_secs_f64() {
            return Reception::Refused(Duration::from_secs_f64(self.backlog(now)));
        }
        self.enter(number, need, tell);
        Reception::Waits(number)
    }

    /// Somebody who had their turn needs more than they were let in for, and waits again where they stood.
    pub(super) fn come_again(&mut self, number: u64, need: Need, tell: T) {
        let need = self.possible(need);
        self.enter(number, need, tell);
    }

    /// Whoever is next, if there is something for them. They have it from now on.
    pub(super) fn serve(&mut self) -> Option<(u64, T)> {
        let class = match [0, 1].map(|class| !self.waiting[class].is_empty()) {
            [true, true] => usize::from(self.served[1] < self.served[0]),
            [true, false] => 0,
            [false, true] => 1,
            [false, false] => return None,
        };
        let (&number, first) = self.waiting[class].first_key_value()?;
        if !self.fits(&first.need) {
            return None;
        }
        let Waiting { need, tell } = self.waiting[class].remove(&number)?;
        self.begin(number, need);
        Some((number, tell))
    }

    /// Somebody does not wait any more.
    pub(super) fn leave(&mut self, number: u64) {
        for waiting in &mut self.waiting {
            waiting.remove(&number);
        }
    }

    /// The work of that number has begun.
    pub(super) fn started(&mut self, number: u64, now: Instant) {
        if let Some(running) = self.running.get_mut(&number) {
            running.began = Some(now);
        }
    }

    /// Now that more is known, the render of that number needs this; `false` where there is not so much memory free.
    pub(super) fn change(&mut self, number: u64, need: Need) -> bool {
        let need = self.possible(need);
        let expected = self.expected(&need);
        let Some(running) = self.running.get_mut(&number) else { return false };
        let held = self.held - running.need.bytes + need.bytes;
        if held > self.bytes {
            return false;
        }
        self.held = held;
        self.served[running.need.class as usize] -= running.expected / SHARES[running.need.class as usize];
        self.served[need.class as usize] += expected / SHARES[need.class as usize];
        (running.need, running.expected) = (need, expected);
        true
    }

    /// Gives back what that number was given. `took` is how long the work took, where that says something about others.
    pub(super) fn end(&mut self, number: u64, took: Option<Duration>) {
        let Some(running) = self.running.remove(&number) else { return };
        self.held -= running.need.bytes;
        let class = running.need.class as usize;
        let spent = took.map_or(0.0, |took| took.as_secs_f64());
        // paid beforehand by estimate, settled now
        self.served[class] += (spent - running.expected) / SHARES[class];
        let Some(took) = took.map(|took| took.as_secs_f64()) else { return };
        self.usual[class] += LATEST * (took - self.usual[class]);
        if let Some(estimate) = running.need.time.map(|time| time.as_secs_f64()).filter(|&time| time > 0.0) {
            let pace = self.pace[class] + LATEST * (took / estimate - self.pace[class]);
            self.pace[class] = pace.clamp(*PACE.start(), *PACE.end());
        }
    }

    /// How many wait.
    pub(super) fn waits(&self) -> usize {
        self.waiting.iter().map(BTreeMap::len).sum()
    }

    /// How many of a class wait.
    pub(super) fn waits_in(&self, class: Class) -> usize {
        self.waiting[class as usize].len()
    }

    /// How many were let in.
    pub(super) fn runs(&self) -> usize {
        self.running.len()
    }

    /// Bytes of memory that are given out.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// When the work began that has been going on for longest.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.running.values().filter_map(|running| running.began).min()
    }

    /// More memory than there is cannot be waited for; who plans with that little was refused before.
    fn possible(&self, need: Need) -> Need {
        Need { bytes: need.bytes.min(self.bytes), ..need }
    }

    fn fits(&self, need: &Need) -> bool {
        self.running.len() < self.slots && self.held + need.bytes <= self.bytes
    }

    /// How many of a class may wait.
    fn most(&self, class: Class) -> usize {
        match class {
            Class::Cheap => self.limit,
            Class::Dear => (self.limit * 3).div_ceil(4),
        }
    }

    fn enter(&mut self, number: u64, need: Need, tell: T) {
        let class = need.class as usize;
        if self.waiting[class].is_empty() {
            // having been away gives no credit
            self.served[class] = self.served[class].max(self.served[1 - class]);
        }
        self.waiting[class].insert(number, Waiting { need, tell });
    }

    fn begin(&mut self, number: u64, need: Need) {
        let expected = self.expected(&need);
        self.held += need.bytes;
        self.served[need.class as usize] += expected / SHARES[need.class as usize];
        self.running.insert(number, Running { need, expected, began: None });
    }

    /// Seconds that a render will take.
    fn expected(&self, need: &Need) -> f64 {
        let class = need.class as usize;
        need.time.map_or(self.usual[class], |time| time.as_secs_f64() * self.pace[class])
    }

    /// Seconds of work that wait in a class.
    fn work(&self, class: usize) -> f64 {
        self.waiting[class].values().map(|waiting| self.expected(&waiting.need)).sum()
    }

    /// Seconds of work that is left of what runs.
    fn left(&self, now: Instant) -> f64 {
        let left = |running: &Running| {
            let spent = running.began.map_or(0.0, |began| now.duration_since(began).as_secs_f64());
            (running.expected - spent).max(0.0)
        };
        self.running.values().map(left).sum()
    }

    /// Seconds until somebody new in a class would be next.
    fn wait(&self, class: usize, now: Instant) -> f64 {
        let own = self.work(class);
        // the other one gets no more than its share meanwhile
        let both = (own + self.work(1 - class)).min(own * SHARES.iter().sum::<f64>() / SHARES[class]);
        (self.left(now) + both) / self.slots as f64
    }

    /// Seconds until all who wait would be served.
    fn backlog(&self, now: Instant) -> f64 {
        (self.left(now) + self.work(0) + self.work(1)) / self.slots as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn need(class: Class, bytes: u64, milliseconds: u64) -> Need {
        Need { class, bytes, time: Some(Duration::from_millis(milliseconds)) }
    }

    /// A queue whose only slot is taken.
    fn busy(limit: usize) -> (Queue<u64>, Instant) {
        let (mut queue, now) = (Queue::new(1, 1000, limit), Instant::now());
        assert_eq!(come(&mut queue, need(Class::Cheap, 10, 100), now), Reception::Granted(0));
        queue.started(0, now);
        (queue, now)
    }

    fn come(queue: &mut Queue<u64>, need: Need, now: Instant) -> Reception {
        let number = queue.next;
        queue.come(need, LONG, number, now)
    }

    #[test]
    fn first_come_first_served_within_a_class() {
        let (mut queue, now) = busy(10);
        for number in 1..5 {
            assert_eq!(come(&mut queue, need(Class::Cheap, 10, 100), now), Reception::Waits(number));
        }
        assert_eq!(queue.serve(), None);
        queue.leave(2);
        for (done, next) in [(0, 1), (1, 3), (3, 4)] {
            queue.end(done, Some(Duration::from_millis(100)));
            assert_eq!(queue.serve(), Some((next, next)));
        }
        queue.end(4, None);
        assert_eq!((queue.serve(), queue.waits(), queue.runs(), queue.held()), (None, 0, 0, 0));
    }

    #[test]
    fn classes_share_the_cores_by_time() {
        let (mut queue, now) = busy(1000);
        for _ in 0..400 {
            come(&mut queue, need(Class::Cheap, 1, 20), now);
            come(&mut queue, need(Class::Dear, 1, 200), now);
        }
        let (mut done, mut seconds) = (0, [0.0; 2]);
        for _ in 0..200 {
            // what the queue was told is what it takes
            let class = usize::from(done > 0 && done % 2 == 0);
            let took = [20, 200][class];
            seconds[class] += f64::from(took) / 1000.0;
            queue.end(done, Some(Duration::from_millis(u64::try_from(took).expect("positive"))));
            done = queue.serve().expect("both wait").0;
        }
        let share = seconds[0] / (seconds[0] + seconds[1]);
        assert!((0.6..0.9).contains(&share), "{share}: {seconds:?}");
    }

    #[test]
    fn memory_is_waited_for_in_turn() {
        let (mut queue, now) = (Queue::new(4, 100, 10), Instant::now());
        assert_eq!(come(&mut queue, need(Class::Cheap, 60, 10), now), Reception::Granted(0));
        assert_eq!(come(&mut queue, need(Class::Cheap, 60, 10), now), Reception::Waits(1));
        // fits, and has to wait all the same
        assert_eq!(come(&mut queue, need(Class::Cheap, 10, 10), now), Reception::Waits(2));
        assert_eq!(queue.serve(), None);
        assert!(queue.change(0, need(Class::Cheap, 90, 10)));
        assert!(!queue.change(0, need(Class::Cheap, 90, 10)) || queue.held() == 90);
        queue.end(0, None);
        assert_eq!(queue.serve(), Some((1, 1)));
        assert!(!queue.change(1, need(Class::Cheap, 101, 10)) || queue.held() == 100);
        // more than there is comes alone
        queue.end(1, None);
        assert_eq!(queue.serve(), Some((2, 2)));
        assert_eq!(come(&mut queue, need(Class::Dear, 5000, 10), now), Reception::Waits(3));
        queue.end(2, None);
        assert_eq!(queue.serve(), Some((3, 3)));
        assert_eq!(queue.held(), 100);
    }

    #[test]
    fn who_would_wait_too_long_is_refused_at_once() {
        let (mut queue, now) = busy(1000);
        for number in 1..=10 {
            // 100 ms run, and 100 ms each before it
            let patience = Duration::from_millis(100 * (number + 1) + 1);
            assert_eq!(queue.come(need(Class::Cheap, 1, 100), patience, number, now), Reception::Waits(number));
        }
        let refused = queue.come(need(Class::Cheap, 1, 100), Duration::from_millis(1150), 0, now);
        let Reception::Refused(retry) = refused else { panic!("{refused:?}") };
        assert!((1090..1110).contains(&retry.as_millis()), "{retry:?}");
        // as time goes by less is left of what runs
        let later = now + Duration::from_millis(90);
        let patience = Duration::from_millis(1150);
        assert!(matches!(queue.come(need(Class::Cheap, 1, 100), patience, 0, later), Reception::Waits(_)));
    }

    #[test]
    fn dear_work_leaves_room_for_cheap() {
        for (limit, dear, cheap) in [(0, 0, 0), (1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 3, 1), (16, 12, 4), (128, 96, 32)]
        {
            let (mut queue, now) = busy(limit);
            let mut wait = |class| {
                let waits = std::iter::repeat_with(|| come(&mut queue, need(class, 1, 1), now));
                waits.take_while(|came| matches!(came, Reception::Waits(_))).count()
            };
            assert_eq!((wait(Class::Dear), wait(Class::Cheap)), (dear, cheap), "{limit}");
        }
        let (mut queue, now) = busy(16);
        let came = std::iter::repeat_with(|| come(&mut queue, need(Class::Cheap, 1, 1), now));
        assert_eq!(came.take_while(|came| matches!(came, Reception::Waits(_))).count(), 16);
    }

    #[test]
    fn what_was_seen_is_what_is_expected() {
        let (mut queue, now) = (Queue::<u64>::new(1, 10, 10), Instant::now());
        for _ in 0..100 {
            let Reception::Granted(number) = come(&mut queue, need(Class::Cheap, 1, 100), now) else { panic!("free") };
            queue.end(number, Some(Duration::from_millis(300)));
        }
        assert!((queue.expected(&need(Class::Cheap, 1, 200)) - 0.6).abs() < 0.01);
        assert!((queue.expected(&Need { time: None, ..need(Class::Cheap, 1, 0) }) - 0.3).abs() < 0.01);
        // the other class has its own
        assert!((queue.expected(&need(Class::Dear, 1, 200)) - 0.2).abs() < 0.01);
    }

    proptest! {
        /// Whatever comes and goes in whatever order: bounds hold, nothing is lost, and all who wait are served in the end.
        #[test]
        fn bounds_hold(
            slots in 1_usize..4, bytes in 1_u64..200, limit in 0_usize..6,
            events in proptest::collection::vec((0_u8..6, any::<bool>(), 0_u64..300, 0_u64..400), 0..200),
        ) {
            let (mut queue, mut now) = (Queue::new(slots, bytes, limit), Instant::now());
            let (mut running, mut waiting) = (Vec::new(), Vec::new());
            for (event, dear, amount, time) in events {
                now += Duration::from_millis(time / 4);
                let class = if dear { Class::Dear } else { Class::Cheap };
                match event {
                    0..=2 => match queue.come(need(class, amount, time), Duration::from_millis(1500), queue.next, now) {
                        Reception::Granted(number) => running.push(number),
                        Reception::Waits(number) => waiting.push(number),
                        Reception::Refused(_) => {}
                    },
                    3 if !waiting.is_empty() => queue.leave(waiting.swap_remove(amount as usize % waiting.len())),
                    4 if !running.is_empty() => {
                        let number = running[amount as usize % running.len()];
                        queue.started(number, now);
                        queue.change(number, need(class, amount, time));
                    }
                    _ if !running.is_empty() => {
                        let number = running.swap_remove(amount as usize % running.len());
                        queue.end(number, dear.then_some(Duration::from_millis(time)));
                    }
                    _ => {}
                }
                while let Some((number, told)) = queue.serve() {
                    prop_assert_eq!(number, told);
                    waiting.retain(|other| *other != number);
                    running.push(number);
                }
                prop_assert!(queue.waits() <= limit && queue.runs() <= slots && queue.held() <= bytes);
                prop_assert_eq!((queue.waits(), queue.runs()), (waiting.len(), running.len()));
            }
            while let Some(number) = running.pop() {
                queue.end(number, None);
                while let Some((number, _)) = queue.serve() {
                    running.push(number);
                }
            }
            prop_assert_eq!((queue.waits(), queue.runs(), queue.held()), (0, 0, 0));
        }
    }
}
