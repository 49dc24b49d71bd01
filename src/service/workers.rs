//! Who may use the cores: as many renders at a time as there are workers, a bounded queue before them, and a deadline.
//!
//! This is the only place that hands work to blocking threads. What does not find room is refused at once: a queue that
//! only grows is how image servers die.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// How much work is taken in.
#[derive(Clone, Debug)]
pub struct Config {
    /// Renders at a time; 0 is one for each core.
    pub workers: usize,
    /// Renders waiting; one more is refused.
    pub queue: usize,
    /// How long a render may take, waiting included.
    pub deadline: Duration,
    /// Bytes of decoded originals kept for renditions that are made together.
    pub decoded: u64,
}

/// Why work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The queue is full.
    #[error("too many renders are waiting")]
    Overloaded,
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
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    running: Arc<Running>,
    config: Config,
    count: usize,
}

impl Workers {
    /// Workers as the settings say.
    pub fn new(config: Config) -> Workers {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let count = if config.workers == 0 { cores() } else { config.workers };
        let (places, waiting) = (Arc::new(Semaphore::new(count)), AtomicUsize::new(0));
        Workers { places, waiting, running: Arc::default(), config, count }
    }

    /// Waits for a place. Whatever the work needs is to be fetched once it has one: what waits must not hold memory.
    ///
    /// # Errors
    /// [`Refused::Overloaded`] at once, [`Refused::Deadline`] after a wait.
    pub async fn place(&self) -> Result<Place, Refused> {
        let asked = Instant::now();
        let deadline = asked + self.config.deadline;
        let running = || Arc::clone(&self.running);
        let place = |permit| Place { permit, running: running(), deadline, queued: asked.elapsed() };
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place(permit));
        }
        let _waiting = Waiting::enter(&self.waiting, self.config.queue).ok_or(Refused::Overloaded)?;
        let permit = tokio::time::timeout_at(deadline.into(), Arc::clone(&self.places).acquire_owned()).await;
        // the semaphore is never closed
        permit.map_err(|_| Refused::Deadline)?.map_err(|_| Refused::Lost).map(place)
    }

    /// How long a request may take, waiting included.
    pub fn deadline(&self) -> Duration {
        self.config.deadline
    }

    /// Renders waiting for a place.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Renders running.
    pub fn busy(&self) -> usize {
        self.count - self.places.available_permits().min(self.count)
    }

    /// How long the render has been running that began first of those that run.
    pub fn longest(&self) -> Option<Duration> {
        self.running.lock().first_key_value().map(|(_, began)| began.elapsed())
    }

    /// How many may run at a time.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// The right to use one core, until the work is done.
pub struct Place {
    permit: tokio::sync::OwnedSemaphorePermit,
    running: Arc<Running>,
    /// The moment by which the work must be done.
    pub deadline: Instant,
    /// How long the place was waited for.
    pub queued: Duration,
}

impl Place {
    /// Runs CPU-bound work on a blocking thread.
    ///
    /// # Errors
    /// [`Refused::Lost`] where it panicked.
    pub async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refused> {
        let task = tokio::task::spawn_blocking(move || {
            // held until the work is done, even when nobody waits for it any more
            let _permit = self.permit;
            let _run = Run::begin(self.running);
            work()
        });
        task.await.map_err(|_| Refused::Lost)
    }
}

/// When each render that runs began, numbered in that order.
#[derive(Default)]
struct Running {
    began: Mutex<BTreeMap<u64, Instant>>,
    next: AtomicU64,
}

impl Running {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.began.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One render that runs, until it ends in whatever way.
struct Run {
    all: Arc<Running>,
    number: u64,
}

impl Run {
    fn begin(all: Arc<Running>) -> Run {
        let number = all.next.fetch_add(1, Ordering::Relaxed);
        all.lock().insert(number, Instant::now());
        Run { all, number }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.all.lock().remove(&self.number);
    }
}

/// A place in the queue, given back however the wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize, limit: usize) -> Option<Waiting<'a>> {
        let entered = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < limit).then_some(n + 1));
        entered.ok().map(|_| Waiting(count))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Workers {
        async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refused> {
            self.place().await?.run(work).await
        }
    }

    fn workers(queue: usize, deadline: Duration) -> Arc<Workers> {
        Arc::new(Workers::new(Config { workers: 1, queue, deadline, decoded: 0 }))
    }

    #[tokio::test]
    async fn one_more_than_the_queue_holds_is_refused_at_once() {
        let workers = workers(1, Duration::from_secs(60));
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let first = tokio::spawn({
            let workers = Arc::clone(&workers);
            async move { workers.run(move || wait.recv()).await }
        });
        while workers.busy() == 0 {
            tokio::task::yield_now().await;
        }
        let second = tokio::spawn({
            let workers = Arc::clone(&workers);
            async move { workers.run(|| 2).await }
        });
        while workers.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(workers.run(|| 3).await, Err(Refused::Overloaded));
        go.send(()).expect("the first waits for it");
        assert_eq!(second.await.expect("no panic"), Ok(2));
        assert!(first.await.expect("no panic").is_ok());
        assert_eq!((workers.busy(), workers.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn waiting_ends_with_the_deadline() {
        let workers = workers(1, Duration::from_millis(20));
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let first = tokio::spawn({
            let workers = Arc::clone(&workers);
            async move { workers.run(move || wait.recv()).await }
        });
        while workers.busy() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(workers.run(|| 2).await, Err(Refused::Deadline));
        drop(go);
        assert!(first.await.expect("no panic").is_ok());
    }

    #[tokio::test]
    async fn a_panic_frees_its_place() {
        let workers = workers(1, Duration::from_secs(60));
        assert_eq!(workers.run(|| panic!("a bug")).await, Err::<(), _>(Refused::Lost));
        assert_eq!(workers.run(|| 1).await, Ok(1));
        assert_eq!(workers.longest(), None);
    }

    #[tokio::test]
    async fn what_does_not_end_is_seen() {
        let workers =
            Arc::new(Workers::new(Config { workers: 2, queue: 1, deadline: Duration::from_secs(60), decoded: 0 }));
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let stuck = tokio::spawn({
            let workers = Arc::clone(&workers);
            async move { workers.run(move || wait.recv()).await }
        });
        while workers.longest().is_none() {
            tokio::task::yield_now().await;
        }
        let then = workers.longest();
        assert_eq!(workers.run(|| 1).await, Ok(1));
        assert!(workers.longest() > then, "others come and go, and it is still there");
        drop(go);
        assert!(stuck.await.expect("no panic").is_ok());
        assert_eq!(workers.longest(), None);
    }
}
