//! The admission queue: the order in which renders get a core and memory, and whether one more may wait.
//!
//! Pure bookkeeping without threads and clocks, so that each rule can be tested. There is a queue for each of two classes of
//! requested renders, so that a gallery requested as AVIF does not delay JPEG for everyone. While both wait, they share the
//! cores by time spent ([`SHARES`]; Demers, Keshav and Shenker, "Analysis and simulation of a fair queueing algorithm",
//! 1989), and heavy renders never fill the whole queue. A render is refused when it is enqueued or not at all. Within a class
//! the order is first in, first out, also for memory: small renders do not overtake a large one, which would starve otherwise.
//!
//! A third class, [`Class::Idle`], is for work that nobody waits for. It has no share: one job at a time is granted while
//! there is nothing else to grant. It takes no slot from requested renders, since some encoders take a moment to stop, and
//! without isolation run to their end: a render that comes later starts at once, and the job, which has the lowest priority,
//! is asked to stop.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The class of a render by its cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Most renders.
    Light,
    /// AVIF by slow encoders, and whatever is estimated to take long: large originals, large lossless results.
    Heavy,
    /// Work that no client waits for.
    Idle,
}

/// The number of classes.
const CLASSES: usize = 3;
const IDLE: usize = Class::Idle as usize;

/// Weights of the classes of requested renders for the time of the cores while both wait.
const SHARES: [f64; 2] = [3.0, 1.0];

/// The part of all memory that an idle job may take, as a divisor: a render may have to wait for it.
const IDLE_MEMORY: u64 = 4;

/// Seconds of a render before any was measured.
const INITIAL_MEAN: [f64; CLASSES] = [0.05, 0.25, 0.0];

/// Weight of the latest sample in the exponential moving averages.
const EMA_WEIGHT: f64 = 0.1;

/// Bounds of measured to estimated time: no machine differs more from the one that the estimates were calibrated on.
const PACE: std::ops::RangeInclusive<f64> = 0.05..=50.0;

/// The resources of one render.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Need {
    /// The queue that it waits in.
    pub class: Class,
    /// Bytes of memory.
    pub bytes: u64,
    /// Time on one core, estimated from the header; `None` before the header is read.
    pub time: Option<Duration>,
}

/// The outcome of [`Queue::enqueue`].
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// The resources are granted under this number.
    Granted(u64),
    /// The render waits under this number.
    Queued(u64),
    /// The queue is full, or the wait would be longer than the render can wait; the time until the present queue is served.
    Refused(Duration),
}

/// The queue. `T` notifies the owner of a waiting render.
#[derive(Debug)]
pub(super) struct Queue<T> {
    slots: usize,
    bytes: u64,
    limit: usize,
    /// Slots granted to requested renders.
    taken: usize,
    /// Granted bytes.
    held: u64,
    next_number: u64,
    waiting: [BTreeMap<u64, Waiting<T>>; CLASSES],
    running: BTreeMap<u64, Running>,
    /// Seconds of core time of each class, divided by its weight.
    served: [f64; SHARES.len()],
    /// Mean ratio of measured to estimated time of each class.
    pace: [f64; CLASSES],
    /// Mean seconds of a render of each class.
    mean: [f64; CLASSES],
}

#[derive(Debug)]
struct Waiting<T> {
    need: Need,
    notify: T,
}

#[derive(Debug)]
struct Running {
    need: Need,
    /// None for an idle job, two for a render whose encoder may use a second thread.
    slots: usize,
    /// Seconds that were expected when the resources were granted.
    expected: f64,
    started: Option<Instant>,
}

impl<T> Queue<T> {
    /// At most `limit` renders wait for `slots` cores and `bytes` of memory.
    pub(super) fn new(slots: usize, bytes: u64, limit: usize) -> Queue<T> {
        Queue {
            slots,
            bytes,
            limit,
            taken: 0,
            held: 0,
            next_number: 0,
            waiting: [const { BTreeMap::new() }; CLASSES],
            running: BTreeMap::new(),
            served: [0.0; SHARES.len()],
            pace: [1.0; CLASSES],
            mean: INITIAL_MEAN,
        }
    }

    /// Grants the resources or enqueues a render that can wait for `patience`; [`Queue::grant_next`] returns `notify` when
    /// it is its turn. An idle job waits for any time, and is refused only where it needs more memory than it may have.
    pub(super) fn enqueue(&mut self, need: Need, patience: Duration, notify: T, now: Instant) -> Outcome {
        let need = self.clamped(need);
        if self.is_too_large(&need) {
            return Outcome::Refused(Duration::ZERO);
        }
        let number = self.next_number;
        self.next_number += 1;
        if self.queued() == 0 && self.fits(&need) {
            self.grant(number, need);
            return Outcome::Granted(number);
        }
        let class = need.class as usize;
        if class == IDLE {
            self.insert(number, need, notify);
            return Outcome::Queued(number);
        }
        let is_full = self.queued() >= self.limit || self.waiting[class].len() >= self.class_limit(need.class);
        if is_full || self.expected_wait(class, now) + self.expected(&need) > patience.as_secs_f64() {
            return Outcome::Refused(Duration::from_secs_f64(self.backlog(now)));
        }
        self.insert(number, need, notify);
        Outcome::Queued(number)
    }

    /// Enqueues a render again that needs more than it was granted, at its old position.
    pub(super) fn requeue(&mut self, number: u64, need: Need, notify: T) {
        let need = self.clamped(need);
        self.insert(number, need, notify);
    }

    /// Grants the resources of the next render, if they are free.
    pub(super) fn grant_next(&mut self) -> Option<(u64, T)> {
        let class = match [0, 1].map(|class| !self.waiting[class].is_empty()) {
            [true, true] => usize::from(self.served[1] < self.served[0]),
            [true, false] => 0,
            [false, true] => 1,
            [false, false] => IDLE,
        };
        let (&number, first) = self.waiting[class].first_key_value()?;
        if !self.fits(&first.need) {
            return None;
        }
        let Waiting { need, notify } = self.waiting[class].remove(&number)?;
        self.grant(number, need);
        Some((number, notify))
    }

    /// Removes a waiting render.
    pub(super) fn remove(&mut self, number: u64) {
        for waiting in &mut self.waiting {
            waiting.remove(&number);
        }
    }

    /// Records that a granted render has started.
    pub(super) fn started(&mut self, number: u64, now: Instant) {
        if let Some(running) = self.running.get_mut(&number) {
            running.started = Some(now);
        }
    }

    /// Changes a grant to what the header says; `false`, and no change, where so much memory is not free.
    pub(super) fn try_resize(&mut self, number: u64, need: Need) -> bool {
        let need = self.clamped(need);
        let expected = self.expected(&need);
        let is_too_large = self.is_too_large(&need);
        let Some(running) = self.running.get_mut(&number) else { return false };
        let held = self.held - running.need.bytes + need.bytes;
        if held > self.bytes || is_too_large {
            return false;
        }
        self.held = held;
        let (former, charged) = (running.need.class, running.expected);
        (running.need, running.expected) = (need, expected);
        self.charge(former, -charged);
        self.charge(need.class, expected);
        true
    }

    /// Grants a running render a second slot, with so many bytes more, for a second thread of its encoder; `false`, and no
    /// change, where a render waits or there is none free. Both are returned with its grant.
    pub(super) fn try_widen(&mut self, number: u64, bytes: u64) -> bool {
        let is_free = self.queued() == 0 && self.taken < self.slots && self.held + bytes <= self.bytes;
        let Some(running) = self.running.get_mut(&number).filter(|running| is_free && running.slots == 1) else {
            return false;
        };
        running.slots += 1;
        running.need.bytes += bytes;
        self.taken += 1;
        self.held += bytes;
        true
    }

    /// Returns a grant. `took` is the time of the render, where it may enter the statistics.
    pub(super) fn release(&mut self, number: u64, took: Option<Duration>) {
        let Some(running) = self.running.remove(&number) else { return };
        self.held -= running.need.bytes;
        self.taken -= running.slots;
        let class = running.need.class as usize;
        let spent = took.map_or(0.0, |took| took.as_secs_f64());
        // the grant charged the estimate
        self.charge(running.need.class, spent - running.expected);
        let Some(took) = took.map(|took| took.as_secs_f64()) else { return };
        self.mean[class] += EMA_WEIGHT * (took - self.mean[class]);
        if let Some(estimate) = running.need.time.map(|time| time.as_secs_f64()).filter(|&time| time > 0.0) {
            let pace = self.pace[class] + EMA_WEIGHT * (took / estimate - self.pace[class]);
            self.pace[class] = pace.clamp(*PACE.start(), *PACE.end());
        }
    }

    /// Waiting renders, without idle jobs.
    pub(super) fn queued(&self) -> usize {
        self.waiting[..IDLE].iter().map(BTreeMap::len).sum()
    }

    /// Waiting renders of a class.
    pub(super) fn queued_in(&self, class: Class) -> usize {
        self.waiting[class as usize].len()
    }

    /// Granted renders, without an idle job.
    pub(super) fn running(&self) -> usize {
        self.requested().count()
    }

    /// Whether an idle job should stop: a render waits, or all cores have one.
    pub(super) fn is_short(&self) -> bool {
        self.queued() > 0 || self.running() >= self.slots
    }

    fn requested(&self) -> impl Iterator<Item = &Running> {
        self.running.values().filter(|running| running.slots > 0)
    }

    /// Granted bytes of memory.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// The start of the longest-running render.
    pub(super) fn oldest_start(&self) -> Option<Instant> {
        self.requested().filter_map(|running| running.started).min()
    }

    /// A render that needs more than all memory waits for all of it; planning has refused what cannot do with that.
    fn clamped(&self, need: Need) -> Need {
        Need { bytes: need.bytes.min(self.bytes), ..need }
    }

    /// Whether it needs more memory than an idle job may have.
    fn is_too_large(&self, need: &Need) -> bool {
        need.class == Class::Idle && need.bytes > self.bytes / IDLE_MEMORY
    }

    fn fits(&self, need: &Need) -> bool {
        let has_slot = match need.class {
            Class::Light | Class::Heavy => self.taken < self.slots,
            // the next render finds a free core
            Class::Idle => {
                let is_alone = self.running.len() == self.running();
                is_alone && self.queued() == 0 && self.taken <= self.slots.saturating_sub(2)
            }
        };
        has_slot && self.held + need.bytes <= self.bytes
    }

    /// How many of a class may wait: light renders always find a quarter of the queue.
    fn class_limit(&self, class: Class) -> usize {
        match class {
            Class::Light => self.limit,
            Class::Heavy => (self.limit * 3).div_ceil(4),
            Class::Idle => usize::MAX,
        }
    }

    fn insert(&mut self, number: u64, need: Need, notify: T) {
        let class = need.class as usize;
        if class < IDLE && self.waiting[class].is_empty() {
            // a class without renders earns no credit
            self.served[class] = self.served[class].max(self.served[1 - class]);
        }
        self.waiting[class].insert(number, Waiting { need, notify });
    }

    fn grant(&mut self, number: u64, need: Need) {
        let expected = self.expected(&need);
        let slots = usize::from(need.class != Class::Idle);
        self.held += need.bytes;
        self.taken += slots;
        self.charge(need.class, expected);
        self.running.insert(number, Running { need, slots, expected, started: None });
    }

    /// Adds seconds to what a class was served.
    fn charge(&mut self, class: Class, seconds: f64) {
        if let Some(share) = SHARES.get(class as usize) {
            self.served[class as usize] += seconds / share;
        }
    }

    /// Expected seconds of a render.
    fn expected(&self, need: &Need) -> f64 {
        let class = need.class as usize;
        need.time.map_or(self.mean[class], |time| time.as_secs_f64() * self.pace[class])
    }

    /// Expected seconds of the waiting renders of a class.
    fn queued_work(&self, class: usize) -> f64 {
        self.waiting[class].values().map(|waiting| self.expected(&waiting.need)).sum()
    }

    /// Expected seconds that are left of the running renders.
    fn running_work(&self, now: Instant) -> f64 {
        let left = |running: &Running| {
            let spent = running.started.map_or(0.0, |started| now.duration_since(started).as_secs_f64());
            (running.expected - spent).max(0.0)
        };
        self.requested().map(left).sum()
    }

    /// Expected seconds until a render that is enqueued now would be granted its resources.
    fn expected_wait(&self, class: usize, now: Instant) -> f64 {
        let own = self.queued_work(class);
        // the other class gets no more than its share meanwhile
        let both = (own + self.queued_work(1 - class)).min(own * SHARES.iter().sum::<f64>() / SHARES[class]);
        (self.running_work(now) + both) / self.slots as f64
    }

    /// Expected seconds until the present queue is served.
    fn backlog(&self, now: Instant) -> f64 {
        (self.running_work(now) + self.queued_work(0) + self.queued_work(1)) / self.slots as f64
    }
}

#[cfg(test)]
mod tests;
