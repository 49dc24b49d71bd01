//! Who may use cores and memory: as many renders at a time as there are workers, none that would take more memory than
//! is left, a bounded queue before them, and a deadline.
//!
//! This is the only place that hands work to blocking threads. What does not find room is refused at once: a queue that
//! only grows is how image servers die. In which order it goes on is decided in `queue.rs`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub use super::queue::{Class, Need};
use super::queue::{Queue, Reception};

/// How much work is taken in.
#[derive(Clone, Debug)]
pub struct Config {
    /// Renders at a time; 0 is one for each core.
    pub workers: usize,
    /// Renders waiting; one more is refused.
    pub queue: usize,
    /// Bytes of memory for renders, all together.
    pub memory: u64,
    /// How long a render may take, waiting included.
    pub deadline: Duration,
    /// Bytes of decoded originals kept for renditions that are made together.
    pub decoded: u64,
}

/// Why work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The queue is full, or the wait would be longer than the deadline allows.
    #[error("too many renders are waiting; in {} s they will have been served", .retry.as_secs_f64().ceil().max(1.0))]
    Overloaded {
        /// How long those who wait will take.
        retry: Duration,
    },
    /// It waited longer than it may.
    #[error("the deadline passed")]
    Deadline,
    /// Whoever asks has had as much as they may for now.
    #[error("too many renditions were asked for from this address; {} s from now there may be another", .0.as_secs_f64().ceil())]
    TooMany(Duration),
    /// The work panicked outside of any codec: a bug.
    #[error("the render ended without a result")]
    Lost,
}

/// The workers and their queue.
pub struct Workers {
    shared: Arc<Shared>,
    config: Config,
    count: usize,
}

/// What those who wait and those who run have in common.
struct Shared {
    queue: Mutex<Queue<oneshot::Sender<Ticket>>>,
    refused: AtomicU64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue<oneshot::Sender<Ticket>>> {
        // every change is made whole
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets in whoever is next, as long as there is something for them.
    fn serve(self: &Arc<Self>) {
        loop {
            // the lock is not held while somebody is told: whoever left meanwhile gives back what they got
            let next = self.lock().serve();
            let Some((number, tell)) = next else { break };
            let _ = tell.send(Ticket { shared: Arc::clone(self), number, took: None });
        }
    }
}

impl Workers {
    /// Workers as the settings say.
    pub fn new(config: Config) -> Workers {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let count = if config.workers == 0 { cores() } else { config.workers };
        let queue = Mutex::new(Queue::new(count, config.memory, config.queue));
        Workers { shared: Arc::new(Shared { queue, refused: AtomicU64::new(0) }), config, count }
    }

    /// Somebody comes to have something done; their time runs from now on.
    pub fn visit(&self) -> Visit<'_> {
        let now = Instant::now();
        Visit { workers: self, came: now, deadline: now + self.config.deadline, number: None }
    }

    /// How long a request may take, waiting included.
    pub fn deadline(&self) -> Duration {
        self.config.deadline
    }

    /// Renders waiting for a place.
    pub fn waiting(&self) -> usize {
        self.shared.lock().waits()
    }

    /// Renders of one class waiting for a place.
    pub fn waiting_in(&self, class: Class) -> usize {
        self.shared.lock().waits_in(class)
    }

    /// Renders running.
    pub fn busy(&self) -> usize {
        self.shared.lock().runs()
    }

    /// Bytes of memory that running renders were given.
    pub fn memory(&self) -> u64 {
        self.shared.lock().held()
    }

    /// How many were refused because of the queue so far.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// How long the render has been running that began first of those that run.
    pub fn longest(&self) -> Option<Duration> {
        self.shared.lock().oldest().map(|began| began.elapsed())
    }

    /// How many may run at a time.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Looks at how much waits, again and again.
    pub fn pressure(&self) -> Pressure {
        Pressure(Arc::clone(&self.shared))
    }
}

/// Whether others wait.
#[derive(Clone)]
pub struct Pressure(Arc<Shared>);

impl Pressure {
    /// Whether anyone waits for a place.
    pub fn is_felt(&self) -> bool {
        self.0.lock().waits() > 0
    }
}

/// Somebody who wants something done, from their coming to the end of their patience.
pub struct Visit<'a> {
    workers: &'a Workers,
    came: Instant,
    deadline: Instant,
    /// The place in the queue of a first turn that was not enough.
    number: Option<u64>,
}

impl Visit<'_> {
    /// The moment by which the work must be done.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits for a core and memory. Whatever the work needs is to be fetched once they are there: what waits must not hold
    /// memory. Whoever had a place that was too small asks again, and stands where they stood.
    ///
    /// # Errors
    /// [`Refused::Overloaded`] at once, [`Refused::Deadline`] after a wait.
    pub async fn place(&mut self, need: Need) -> Result<Place, Refused> {
        let (tell, told) = oneshot::channel();
        let shared = &self.workers.shared;
        let received = {
            let mut queue = shared.lock();
            let now = Instant::now();
            match self.number {
                Some(number) => {
                    queue.come_again(number, need, tell);
                    Reception::Waits(number)
                }
                None => queue.come(need, self.deadline.saturating_duration_since(now), tell, now),
            }
        };
        let number = match received {
            Reception::Granted(number) => {
                let ticket = Ticket { shared: Arc::clone(shared), number, took: None };
                return Ok(self.granted(ticket));
            }
            Reception::Waits(number) => number,
            Reception::Refused(retry) => {
                shared.refused.fetch_add(1, Ordering::Relaxed);
                return Err(Refused::Overloaded { retry });
            }
        };
        let _waiting = Waiting { shared, number };
        if self.number.is_some() {
            // the place that was too small was given back before this one was asked for
            shared.serve();
        }
        let told = tokio::time::timeout_at(self.deadline.into(), told).await.map_err(|_| Refused::Deadline)?;
        // whoever could tell does not go without
        told.map(|ticket| self.granted(ticket)).map_err(|_| Refused::Lost)
    }

    fn granted(&mut self, ticket: Ticket) -> Place {
        self.number = Some(ticket.number);
        Place { ticket, queued: self.came.elapsed() }
    }
}

/// Somebody in the queue, who leaves it however the wait ends.
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.leave(self.number);
        drop(queue);
        // who stood behind may fit where they did not
        self.shared.serve();
    }
}

/// What somebody was given, until it is given back.
struct Ticket {
    shared: Arc<Shared>,
    number: u64,
    /// How long the work took, where that says something about others.
    took: Option<Duration>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.shared.lock().end(self.number, self.took);
        self.shared.serve();
    }
}

/// The right to use one core and so much memory, until the work is done.
pub struct Place {
    ticket: Ticket,
    /// How long the place was waited for.
    pub queued: Duration,
}

impl Place {
    /// Runs CPU-bound work on a blocking thread.
    ///
    /// # Errors
    /// [`Refused::Lost`] where it panicked.
    pub async fn run<T: Send + 'static>(
        self, work: impl FnOnce(&mut Account<'_>) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let mut ticket = self.ticket;
        let task = tokio::task::spawn_blocking(move || {
            // the ticket is held until the work is done, even when nobody waits for it any more
            yield_to_others();
            let began = Instant::now();
            ticket.shared.lock().started(ticket.number, began);
            let mut account = Account { ticket: &ticket, is_telling: true };
            let result = work(&mut account);
            if account.is_telling {
                ticket.took = Some(began.elapsed());
            }
            drop(ticket);
            result
        });
        task.await.map_err(|_| Refused::Lost)
    }
}

/// How much less a thread that renders counts than one that answers, of the 19 that there are.
const NICE: i32 = 5;

/// Lets answers, and whatever else the machine does, go first: a render has time, and a hit is done within microseconds.
fn yield_to_others() {
    thread_local! {
        static IS_NICE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }
    if !IS_NICE.replace(true) {
        // on Linux it is the thread's own; where it is not allowed, everyone counts alike
        let _ = rustix::process::setpriority_process(None, NICE);
    }
}

/// What running work was given.
pub struct Account<'a> {
    ticket: &'a Ticket,
    is_telling: bool,
}

impl Account<'_> {
    /// Asks for what is needed, now that more is known; `false` where there is not so much memory at present: then the
    /// work is to be given up, and a place to be asked for anew.
    #[must_use]
    pub fn change(&mut self, need: Need) -> bool {
        let changed = self.ticket.shared.lock().change(self.ticket.number, need);
        self.is_telling &= changed;
        changed
    }

    /// How long this takes says nothing about what others take.
    pub fn tells_nothing(&mut self) {
        self.is_telling = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Need = Need { class: Class::Cheap, bytes: 1, time: None };

    impl Workers {
        async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refused> {
            self.visit().place(SMALL).await?.run(|_| work()).await
        }
    }

    fn workers(workers: usize, queue: usize, deadline: Duration) -> Arc<Workers> {
        Arc::new(Workers::new(Config { workers, queue, memory: 100, deadline, decoded: 0 }))
    }

    /// Work that goes on until the sender goes.
    async fn occupy(
        workers: &Arc<Workers>,
    ) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<Result<Result<(), std::sync::mpsc::RecvError>, Refused>>)
    {
        let busy = workers.busy();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let first = tokio::spawn({
            let workers = Arc::clone(workers);
            async move { workers.run(move || wait.recv()).await }
        });
        while workers.busy() == busy || workers.longest().is_none() {
            tokio::task::yield_now().await;
        }
        (go, first)
    }

    #[tokio::test]
    async fn one_more_than_the_queue_holds_is_refused_at_once() {
        let workers = workers(1, 1, Duration::from_secs(60));
        let (go, first) = occupy(&workers).await;
        let second = tokio::spawn({
            let workers = Arc::clone(&workers);
            async move { workers.run(|| 2).await }
        });
        while workers.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(workers.run(|| 3).await, Err(Refused::Overloaded { .. })));
        go.send(()).expect("the first waits for it");
        assert_eq!(second.await.expect("no panic"), Ok(2));
        assert!(first.await.expect("no panic").is_ok());
        assert_eq!((workers.busy(), workers.waiting(), workers.memory(), workers.refused()), (0, 0, 0, 1));
    }

    #[tokio::test]
    async fn waiting_ends_with_the_deadline() {
        let workers = workers(1, 1, Duration::from_millis(200));
        let (go, first) = occupy(&workers).await;
        assert_eq!(workers.run(|| 2).await, Err(Refused::Deadline));
        assert_eq!(workers.waiting(), 0);
        drop(go);
        assert!(first.await.expect("no panic").is_ok());
    }

    #[tokio::test]
    async fn who_leaves_the_queue_is_not_served() {
        let workers = workers(1, 2, Duration::from_secs(60));
        let (go, first) = occupy(&workers).await;
        let gone = tokio::spawn({
            let workers = Arc::clone(&workers);
            async move { workers.run(|| unreachable!("nobody waits for this")).await }
        });
        while workers.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        gone.abort();
        assert!(gone.await.is_err());
        assert_eq!(workers.waiting(), 0);
        drop(go);
        assert!(first.await.expect("no panic").is_ok());
        assert_eq!(workers.run(|| 1).await, Ok(1));
    }

    #[tokio::test]
    async fn who_needs_more_waits_for_it_where_they_stood() {
        let workers = workers(2, 4, Duration::from_secs(60));
        let mut first = workers.visit();
        let place = first.place(Need { bytes: 60, ..SMALL }).await.expect("free");
        let mut second = workers.visit();
        let need = |bytes| Need { bytes, ..SMALL };
        let small = second.place(need(10)).await.expect("free");
        assert!(!small.run(move |account| account.change(need(50))).await.expect("no panic"));
        assert_eq!(workers.memory(), 60);
        let again = tokio::spawn({
            let workers = Arc::clone(&workers);
            async move {
                let mut visit = workers.visit();
                let place = visit.place(need(50)).await.expect("in the end");
                place.run(move |account| account.change(need(40))).await
            }
        });
        while workers.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        let mut asks = std::pin::pin!(second.place(need(50)));
        assert!(tokio::time::timeout(Duration::from_millis(10), asks.as_mut()).await.is_err());
        assert_eq!(workers.waiting(), 2);
        drop(place);
        let large = asks.await.expect("free");
        // who came later waits for the rest
        assert_eq!((workers.memory(), workers.busy()), (100, 2));
        drop(large);
        assert_eq!(again.await.expect("no panic"), Ok(true));
        assert_eq!((workers.busy(), workers.memory()), (0, 0));
    }

    #[tokio::test]
    async fn a_panic_frees_its_place() {
        let workers = workers(1, 1, Duration::from_secs(60));
        assert_eq!(workers.run(|| panic!("a bug")).await, Err::<(), _>(Refused::Lost));
        assert_eq!(workers.run(|| 1).await, Ok(1));
        assert_eq!(workers.longest(), None);
    }

    #[tokio::test]
    async fn what_does_not_end_is_seen() {
        let workers = workers(2, 1, Duration::from_secs(60));
        let (go, stuck) = occupy(&workers).await;
        let then = workers.longest();
        assert_eq!(workers.run(|| 1).await, Ok(1));
        assert!(workers.longest() > then, "others come and go, and it is still there");
        drop(go);
        assert!(stuck.await.expect("no panic").is_ok());
        assert_eq!(workers.longest(), None);
    }
}
