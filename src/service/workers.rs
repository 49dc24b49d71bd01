//! Admission of renders to cores and memory: at most as many at a time as there are workers, within a bound of memory, with a
//! bounded queue and a deadline.
//!
//! This is the only module that calls `spawn_blocking`, and that starts threads for idle work. A render that finds no room is
//! refused at once, since an image server with an unbounded queue answers no request in time. `queue.rs` decides about the order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub use super::queue::{Class, Need};
use super::queue::{Outcome, Queue};
use crate::sync;

/// The bounds of the workers.
#[derive(Clone, Debug)]
pub struct Config {
    /// Renders at a time; 0 is one for each core.
    pub workers: usize,
    /// Waiting renders; one more is refused.
    pub queue: usize,
    /// Bytes of memory of all renders together.
    pub memory: u64,
    /// The time of a request, waiting included.
    pub deadline: Duration,
    /// Bytes of the decode cache.
    pub decode_cache: u64,
}

impl Config {
    /// Renders at a time.
    pub fn count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }
}

/// Why a render has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkError {
    /// The queue is full, or the wait would be longer than the deadline allows.
    #[error("too many renders are waiting; retry in {} s", .retry.as_secs_f64().ceil().max(1.0))]
    Overloaded {
        /// The expected time until the present queue is served.
        retry: Duration,
    },
    /// The deadline passed before the render ended.
    #[error("the deadline passed")]
    DeadlineExceeded,
    /// The client is over its rate limit for so long.
    #[error("too many renders for this client address; retry in {} s", .0.as_secs_f64().ceil())]
    RateLimited(Duration),
    /// The render panicked outside of any codec, which is a bug.
    #[error("the render ended without a result")]
    Panicked,
}

/// The workers and their queue.
pub struct Workers {
    shared: Arc<Shared>,
    config: Config,
    count: usize,
}

struct Shared {
    queue: Mutex<Queue<oneshot::Sender<Ticket>>>,
    refused: AtomicU64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue<oneshot::Sender<Ticket>>> {
        sync::lock(&self.queue)
    }

    /// Grants resources to waiting renders, in order, while there are any.
    fn grant_waiting(self: &Arc<Self>) {
        loop {
            // the lock is not held while a ticket is sent: an unclaimed one is dropped here, which takes the lock
            let next = self.lock().grant_next();
            let Some((number, notify)) = next else { break };
            let _ = notify.send(Ticket { shared: Arc::clone(self), number, took: None });
        }
    }
}

impl Workers {
    /// Workers within those bounds.
    pub fn new(config: Config) -> Workers {
        let count = config.count();
        let queue = Mutex::new(Queue::new(count, config.memory, config.queue));
        Workers { shared: Arc::new(Shared { queue, refused: AtomicU64::new(0) }), config, count }
    }

    /// Starts the admission of a render, whose deadline counts from now.
    pub fn admission(&self) -> Admission<'_> {
        let now = Instant::now();
        Admission { workers: self, started: now, deadline: now + self.config.deadline, number: None }
    }

    /// Waits for as long as it takes until idle work may run; `None` where it needs more memory than that may have.
    pub async fn idle_permit(&self, need: Need) -> Option<Permit> {
        let now = Instant::now();
        let mut admission = Admission { workers: self, started: now, deadline: now + FOREVER, number: None };
        admission.permit(Need { class: Class::Idle, ..need }).await.ok()
    }

    /// The time of a request, waiting included.
    pub fn deadline(&self) -> Duration {
        self.config.deadline
    }

    /// Waiting renders.
    pub fn waiting(&self) -> usize {
        self.shared.lock().queued()
    }

    /// Waiting renders of a class.
    pub fn waiting_in(&self, class: Class) -> usize {
        self.shared.lock().queued_in(class)
    }

    /// Running renders.
    pub fn busy(&self) -> usize {
        self.shared.lock().running()
    }

    /// Bytes of memory granted to running renders.
    pub fn memory(&self) -> u64 {
        self.shared.lock().held()
    }

    /// Renders that the queue has refused.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// The age of the longest-running render.
    pub fn longest(&self) -> Option<Duration> {
        self.shared.lock().oldest_start().map(|start| start.elapsed())
    }

    /// Renders that may run at a time.
    pub fn count(&self) -> usize {
        self.count
    }

    /// A view of the queue for running renders.
    pub fn pressure(&self) -> Pressure {
        Pressure(Arc::clone(&self.shared))
    }
}

/// Backpressure: tells a running render whether others wait.
#[derive(Clone)]
pub struct Pressure(Arc<Shared>);

impl Pressure {
    /// Whether a render waits for a permit.
    pub fn has_waiters(&self) -> bool {
        self.0.lock().queued() > 0
    }

    /// Whether idle work should stop: a render waits for a permit, or every core has one.
    pub fn is_short(&self) -> bool {
        self.0.lock().is_short()
    }
}

/// The admission of one render, from its request to its deadline.
pub struct Admission<'a> {
    workers: &'a Workers,
    started: Instant,
    deadline: Instant,
    /// The position in the queue of an earlier permit.
    number: Option<u64>,
}

impl Admission<'_> {
    /// The deadline of the render.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits for a core and memory. The caller fetches the original after that: waiting renders must not hold memory. A
    /// second call, after a permit that was too small, waits at the old position.
    ///
    /// # Errors
    /// [`WorkError::Overloaded`] at once, [`WorkError::DeadlineExceeded`] after a wait.
    pub async fn permit(&mut self, need: Need) -> Result<Permit, WorkError> {
        let (notify, granted) = oneshot::channel();
        let shared = &self.workers.shared;
        let outcome = {
            let mut queue = shared.lock();
            let now = Instant::now();
            match self.number {
                Some(number) => {
                    queue.requeue(number, need, notify);
                    Outcome::Queued(number)
                }
                None => queue.enqueue(need, self.deadline.saturating_duration_since(now), notify, now),
            }
        };
        let number = match outcome {
            Outcome::Granted(number) => {
                let ticket = Ticket { shared: Arc::clone(shared), number, took: None };
                return Ok(self.permit_of(ticket));
            }
            Outcome::Queued(number) => number,
            Outcome::Refused(retry) => {
                shared.refused.fetch_add(u64::from(need.class != Class::Idle), Ordering::Relaxed);
                return Err(WorkError::Overloaded { retry });
            }
        };
        let _position = Position { shared, number };
        if self.number.is_some() {
            // the permit that was too small was released before this call, and may have left enough
            shared.grant_waiting();
        }
        let granted =
            tokio::time::timeout_at(self.deadline.into(), granted).await.map_err(|_| WorkError::DeadlineExceeded)?;
        // the queue keeps the sender until it grants
        granted.map(|ticket| self.permit_of(ticket)).map_err(|_| WorkError::Panicked)
    }

    fn permit_of(&mut self, ticket: Ticket) -> Permit {
        self.number = Some(ticket.number);
        Permit { ticket, queued: self.started.elapsed() }
    }
}

/// A position in the queue, which is given up however the wait ends.
struct Position<'a> {
    shared: &'a Arc<Shared>,
    number: u64,
}

impl Drop for Position<'_> {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.remove(self.number);
        drop(queue);
        // a render behind it may need less
        self.shared.grant_waiting();
    }
}

/// Granted resources; dropping it releases them.
struct Ticket {
    shared: Arc<Shared>,
    number: u64,
    /// The time of the render, where it may enter the statistics.
    took: Option<Duration>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.shared.lock().release(self.number, self.took);
        self.shared.grant_waiting();
    }
}

/// A core and memory for one render.
pub struct Permit {
    ticket: Ticket,
    /// The time in the queue.
    pub queued: Duration,
}

impl Permit {
    /// Runs CPU-bound work on a blocking thread.
    ///
    /// # Errors
    /// [`WorkError::Panicked`].
    pub async fn run<T: Send + 'static>(
        self, work: impl FnOnce(&mut Grant<'_>) -> T + Send + 'static,
    ) -> Result<T, WorkError> {
        let task = tokio::task::spawn_blocking(move || {
            lower_priority();
            self.ticket.run(work)
        });
        task.await.map_err(|_| WorkError::Panicked)
    }

    /// Runs CPU-bound work on a thread of its own with the lowest priority; returns the CPU time that it took as well.
    ///
    /// # Errors
    /// [`WorkError::Panicked`].
    pub async fn run_idle<T: Send + 'static>(
        self, work: impl FnOnce(&mut Grant<'_>) -> T + Send + 'static,
    ) -> Result<(T, Duration), WorkError> {
        let (done, result) = oneshot::channel();
        // a priority that was lowered cannot be raised again, so it is no thread that runs requested renders later; nor does
        // the end of the process wait for it
        let thread = std::thread::Builder::new().name("idle".into()).spawn(move || {
            let _ = rustix::process::setpriority_process(None, IDLE_NICE);
            let result = self.ticket.run(work);
            // the caller may have gone
            let _ = done.send((result, thread_cpu_time()));
        });
        thread.map_err(|_| WorkError::Panicked)?;
        result.await.map_err(|_| WorkError::Panicked)
    }
}

impl Ticket {
    /// Runs work on this thread. The ticket lives until it is done, also when no request awaits it any more.
    fn run<T>(mut self, work: impl FnOnce(&mut Grant<'_>) -> T) -> T {
        let started = Instant::now();
        self.shared.lock().started(self.number, started);
        let mut grant = Grant { ticket: &self, in_stats: true, widened: None };
        let result = work(&mut grant);
        if grant.in_stats {
            let saved = grant.widened.map_or(Duration::ZERO, |since| since.elapsed().mul_f64(WIDENED_GAIN));
            self.took = Some(started.elapsed() + saved);
        }
        result
    }
}

/// CPU time of this thread since its start.
fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Bytes of memory that an encoder's second thread takes.
const THREAD_BYTES: u64 = 8 << 20;

/// The time that a second thread saves an encoder, to the time that the encode still takes: expected times are those of one
/// core.
const WIDENED_GAIN: f64 = 0.5;

/// The nice value of rendering threads, 0 to 19.
pub(super) const NICE: i32 = 5;

/// The nice value of threads of idle work.
pub(super) const IDLE_NICE: i32 = 19;

/// Longer than any process runs.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Lets threads that answer requests go first: a render takes milliseconds, a hit microseconds.
fn lower_priority() {
    thread_local! {
        static IS_NICE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }
    if !IS_NICE.replace(true) {
        // on Linux this is per thread; where it is not permitted, all threads have the same priority
        let _ = rustix::process::setpriority_process(None, NICE);
    }
}

/// The resources of running work.
pub struct Grant<'a> {
    ticket: &'a Ticket,
    in_stats: bool,
    /// When it got its second slot.
    widened: Option<Instant>,
}

impl Grant<'_> {
    /// Changes the resources once the header is read. `false` where so much memory is not free at present: then the work has
    /// to end and wait for another permit.
    #[must_use]
    pub fn try_resize(&mut self, need: Need) -> bool {
        let resized = self.ticket.shared.lock().try_resize(self.ticket.number, need);
        self.in_stats &= resized;
        resized
    }

    /// Threads for the encoder of this work: two where a core and the memory for one more are free and no render waits. They
    /// count as two renders until the work ends.
    pub fn threads(&mut self) -> u32 {
        if self.widened.is_none() && self.ticket.shared.lock().try_widen(self.ticket.number, THREAD_BYTES) {
            self.widened = Some(Instant::now());
        }
        1 + u32::from(self.widened.is_some())
    }

    /// Keeps the time of this work out of the expected times of others.
    pub fn exclude_from_stats(&mut self) {
        self.in_stats = false;
    }
}

#[cfg(test)]
mod tests;
