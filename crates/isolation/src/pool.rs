//! A pool of workers of one kind. One thread starts them all and replaces those that died or were recycled.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::death::Reason;
use crate::exchange::{Caller, Limits};
use crate::job::Job;
use crate::lock_down::{LockDown, Report};
use crate::process::{Program, StartError};
use crate::stderr::Log;
use crate::worker::{CallError, Worker};

/// The workers of a pool.
#[derive(Clone)]
pub struct PoolConfig {
    /// Workers, each for one job at a time; at least 1.
    pub workers: usize,
    /// Their program.
    pub program: Program,
    /// Which layers are asked for.
    pub lock_down: LockDown,
    /// How long a worker may take until it is ready.
    pub start_timeout: Duration,
    /// Jobs after which a worker is replaced. With 1 each job has a process of its own, which no other job can have taken
    /// over.
    pub max_jobs: u64,
    /// Bytes that an idle worker may have more than a fresh one before it is replaced.
    pub max_growth: u64,
    /// Where lines of their standard error go.
    pub log: Log,
}

/// Counters of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Workers that are ready or at work.
    pub alive: usize,
    /// Workers without a job.
    pub idle: usize,
    /// Processes started so far.
    pub started: u64,
    /// Workers replaced for their age or size.
    pub recycled: u64,
    /// Starts that failed.
    pub failed_starts: u64,
    /// Deaths by the label of their [reason](crate::Reason::label).
    pub deaths: BTreeMap<&'static str, u64>,
}

/// Workers that are called from any thread.
pub struct Pool {
    shared: Arc<Shared>,
    report: Report,
    /// It outlives its workers, which the kernel kills when the thread that started them ends.
    starter: Option<JoinHandle<()>>,
}

struct Shared {
    config: PoolConfig,
    state: Mutex<State>,
    /// A worker is idle, or cannot be started.
    idle: Condvar,
    /// A worker is to be started, or the pool closed.
    wanted: Condvar,
}

#[derive(Default)]
struct State {
    /// The last one first, since its memory is warm.
    idle: Vec<Worker>,
    /// Workers, idle or not, and the one that is being started.
    alive: usize,
    /// Why the last start failed, after the one before it failed as well.
    failure: Option<String>,
    is_closed: bool,
    /// Whether a job has ended since the idle workers were trimmed.
    is_used: bool,
    stats: Stats,
}

/// Time without a job after which idle workers are trimmed.
const TRIM_AFTER: Duration = Duration::from_secs(1);

/// Time until a failed start is tried again: the first, doubled by each further one up to the last.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

impl Pool {
    /// Starts the workers and waits until the first is ready.
    ///
    /// # Errors
    ///
    /// Where the first worker, or the thread that starts them, cannot be started.
    pub fn start(config: PoolConfig) -> Result<Pool, StartError> {
        let shared = Arc::new(Shared {
            config,
            state: Mutex::new(State::default()),
            idle: Condvar::new(),
            wanted: Condvar::new(),
        });
        let (first, started) = std::sync::mpsc::sync_channel(1);
        let inner = Arc::clone(&shared);
        let starter = std::thread::Builder::new().name("isolation".into()).spawn(move || {
            let report = inner.start_first();
            let is_started = report.is_ok();
            if first.send(report).is_ok() && is_started {
                inner.keep_started();
            }
        })?;
        // the thread ends without a message only by a panic
        let report = started.recv().map_err(std::io::Error::other)??;
        Ok(Pool { shared, report, starter: Some(starter) })
    }

    /// Runs a job on an idle worker, after waiting for one until the deadline; see [`Worker::call`].
    ///
    /// # Errors
    ///
    /// As [`Worker::call`], and where no worker can be started.
    pub fn call(&self, job: &Job<'_>, limits: &Limits, caller: &mut dyn Caller) -> Result<(), CallError> {
        let mut worker = self.shared.take(limits.deadline)?;
        let guard = PanicGuard(&self.shared);
        let result = worker.call_ready(job, limits, caller);
        std::mem::forget(guard);
        self.shared.put_back(worker);
        result
    }

    /// Which layers held in the first worker.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Its counters.
    pub fn stats(&self) -> Stats {
        let state = self.shared.lock();
        Stats { alive: state.alive, idle: state.idle.len(), ..state.stats.clone() }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.wanted.notify_all();
        if let Some(starter) = self.starter.take() {
            let _ = starter.join();
        }
    }
}

/// Dropped by a panic of a caller, whose worker ends with it.
struct PanicGuard<'a>(&'a Shared);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        *state.stats.deaths.entry(Reason::Rejected.label()).or_default() += 1;
        self.0.count_out(&mut state);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self) -> Result<Worker, StartError> {
        let PoolConfig { program, lock_down, start_timeout, log, .. } = &self.config;
        Worker::start(program, lock_down, *start_timeout, Arc::clone(log))
    }

    fn start_first(&self) -> Result<Report, StartError> {
        let worker = self.start()?;
        let report = *worker.report();
        let mut state = self.lock();
        state.alive = 1;
        self.add(&mut state, worker);
        Ok(report)
    }

    fn add(&self, state: &mut State, worker: Worker) {
        state.stats.started += 1;
        state.failure = None;
        state.idle.push(worker);
        self.idle.notify_one();
    }

    /// Starts workers whenever some are missing, until the pool is closed. Then all are idle, and ended here.
    fn keep_started(&self) {
        let mut retry = RETRY.0;
        let mut state = self.lock();
        while !state.is_closed {
            if state.alive >= self.config.workers.max(1) {
                state = self.wait(state);
                continue;
            }
            state.alive += 1;
            drop(state);
            let worker = self.start();
            state = self.lock();
            match worker {
                Ok(worker) => {
                    self.add(&mut state, worker);
                    retry = RETRY.0;
                }
                Err(error) => {
                    state = self.pause(state, &error, retry);
                    retry = (retry * 2).min(RETRY.1);
                }
            }
        }
        state.alive = 0;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        drop(idle);
    }

    /// Waits until there is something to start or to end, and trims the workers that had no job for a while.
    fn wait<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if !std::mem::take(&mut state.is_used) {
            return self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let waited = self.wanted.wait_timeout(state, TRIM_AFTER).unwrap_or_else(PoisonError::into_inner);
        let (state, ended) = waited;
        if ended.timed_out() && !state.is_used {
            state.idle.iter().for_each(Worker::trim);
        }
        state
    }

    /// After a start that failed.
    fn pause<'a>(
        &'a self, mut state: MutexGuard<'a, State>, error: &StartError, pause: Duration,
    ) -> MutexGuard<'a, State> {
        state.alive -= 1;
        state.stats.failed_starts += 1;
        // the first may be a worker that was killed as it started, and the next is tried soon
        if pause > RETRY.0 {
            state.failure = Some(error.to_string());
            self.idle.notify_all();
        }
        let waited = self.wanted.wait_timeout_while(state, pause, |state| !state.is_closed);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn take(&self, deadline: Instant) -> Result<Worker, CallError> {
        let mut state = self.lock();
        loop {
            if let Some(mut worker) = state.idle.pop() {
                if worker.is_ready() {
                    return Ok(worker);
                }
                self.remove(&mut state, &worker);
                continue;
            }
            if let Some(failure) = state.failure.as_ref().filter(|_| state.alive == 0) {
                return Err(CallError::Unavailable(failure.clone()));
            }
            let wait = deadline.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return Err(CallError::DeadlineExceeded);
            }
            state = self.idle.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn put_back(&self, worker: Worker) {
        let is_kept = worker.death().is_none() && !self.needs_recycling(&worker);
        let mut state = self.lock();
        if is_kept {
            state.idle.push(worker);
            self.idle.notify_one();
            if !std::mem::replace(&mut state.is_used, true) {
                self.wanted.notify_one();
            }
        } else {
            self.remove(&mut state, &worker);
            // its process ends without the lock
            drop(state);
            drop(worker);
        }
    }

    /// Whether a worker that is alive is to be replaced. After each job: what it has grown by, its next job cannot allocate.
    fn needs_recycling(&self, worker: &Worker) -> bool {
        worker.jobs() >= self.config.max_jobs || worker.growth().is_ok_and(|growth| growth > self.config.max_growth)
    }

    fn remove(&self, state: &mut State, worker: &Worker) {
        match worker.death() {
            Some(death) => *state.stats.deaths.entry(death.reason.label()).or_default() += 1,
            None => state.stats.recycled += 1,
        }
        self.count_out(state);
    }

    fn count_out(&self, state: &mut State) {
        state.alive -= 1;
        self.wanted.notify_one();
    }
}
