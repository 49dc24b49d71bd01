//! A worker that misbehaves on demand, and its callers.

#![allow(dead_code)] // each test program uses a part

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tintype_isolation::{CallError, GRACE, Job, Limits, LockDown, Log, Pool, PoolConfig, Program, Worker};

pub(crate) const START: Duration = Duration::from_secs(20);

pub(crate) fn program() -> Program {
    Program {
        path: env!("CARGO_BIN_EXE_isolation-test-worker").into(),
        name: "isolation-test-worker".into(),
        args: Vec::new(),
        envs: vec![("GREETING".into(), "hello".into())],
    }
}

/// A log that keeps its lines.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    pub(crate) fn log(&self) -> Log {
        let lines = Arc::clone(&self.0);
        Arc::new(move |_, line| lines.lock().expect("no test panics with it").push(line.to_owned()))
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().expect("no test panics with it").clone()
    }
}

pub(crate) fn start() -> Worker {
    start_with(&LockDown::default())
}

pub(crate) fn start_with(wanted: &LockDown) -> Worker {
    Worker::start(&program(), wanted, START, Lines::default().log()).expect("the worker starts")
}

pub(crate) fn pool(workers: usize) -> Pool {
    Pool::start(config(workers)).expect("the first worker starts")
}

pub(crate) fn config(workers: usize) -> PoolConfig {
    PoolConfig {
        workers,
        program: program(),
        lock_down: LockDown::default(),
        start_timeout: START,
        max_jobs: 500,
        max_growth: 96 << 20,
        log: Lines::default().log(),
    }
}

/// Limits that a good job does not notice.
pub(crate) fn limits() -> Limits {
    within(Duration::from_secs(20))
}

pub(crate) fn within(time: Duration) -> Limits {
    Limits { deadline: Instant::now() + time, grace: GRACE, memory: 64 << 20, answers: 100, answer_bytes: 1 << 20 }
}

pub(crate) fn call(worker: &mut Worker, job: &str, limits: &Limits) -> Result<Vec<Vec<u8>>, CallError> {
    let mut answers = Vec::new();
    let mut caller = |answer| {
        answers.push(answer);
        ControlFlow::Continue(())
    };
    worker.call(&Job::new(&[job.as_bytes()]), limits, &mut caller).map(|()| answers)
}

pub(crate) fn call_pool(pool: &Pool, job: &str, limits: &Limits) -> Result<Vec<Vec<u8>>, CallError> {
    let mut answers = Vec::new();
    let mut caller = |answer| {
        answers.push(answer);
        ControlFlow::Continue(())
    };
    pool.call(&Job::new(&[job.as_bytes()]), limits, &mut caller).map(|()| answers)
}
