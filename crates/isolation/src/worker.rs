//! One worker: started, called, and known to be dead when it is.

use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::death::{Death, Reason};
use crate::exchange::{Caller, Failure, Limits, Stop, exchange};
use crate::frame::Kind;
use crate::job::Job;
use crate::lock_down::{LockDown, Report};
use crate::process::{MemoryUse, Process, Program, StartError};
use crate::shared_memory::Span;
use crate::stderr::Log;

/// Why a job has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// [`Caller::keep_going`] answered that it is not needed.
    #[error("the job was cancelled")]
    Cancelled,
    /// It took too long.
    #[error("the job ran beyond its deadline")]
    DeadlineExceeded,
    /// The worker died of it.
    #[error(transparent)]
    Died(Death),
    /// No worker could be started.
    #[error("{0}")]
    Unavailable(String),
}

/// Bytes by which the limit of memory may be above what a job may allocate, so that it is not set anew for each job.
const LIMIT_STEP: u64 = 16 << 20;

/// A worker process that is ready for a job, or dead.
pub struct Worker {
    process: Process,
    report: Report,
    /// When it was ready.
    initial: MemoryUse,
    /// The limit of the last job, in bytes.
    limit: Option<u64>,
    jobs: u64,
    /// Whether a job is running; it still is after a panic of its caller.
    is_busy: bool,
    death: Option<Death>,
}

impl Worker {
    /// Starts a process and waits until it is locked down. The thread that starts it has to live as long as it: the kernel
    /// kills a worker when the thread that started it ends, as it cannot tell that from the end of the process.
    ///
    /// # Errors
    ///
    /// Where the process cannot be started, dies, or is not ready within `timeout`.
    pub fn start(program: &Program, wanted: &LockDown, timeout: Duration, log: Log) -> Result<Worker, StartError> {
        let mut process = Process::spawn(program, log)?;
        let mut report = None;
        let mut take = |answer: Vec<u8>| {
            report = Report::decode(&answer);
            if report.is_some() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let grace = Duration::ZERO;
        let limits = Limits { deadline: Instant::now() + timeout, grace, memory: 0, answers: 1, answer_bytes: 64 };
        let started = exchange(&mut process, Kind::Start, Job::new(&[&wanted.encode()]), &limits, &mut take);
        match (started, report) {
            (Ok(None), Some(report)) => Worker::new(process, report),
            (Ok(_), _) => Err(StartError::Died(process.end(Some(Reason::Protocol)))),
            (Err(Failure::Kill(Reason::Deadline)), _) => Err(StartError::Timeout(process.end(Some(Reason::Deadline)))),
            (Err(failure), _) => Err(StartError::Died(process.end(cause(&failure)))),
        }
    }

    fn new(process: Process, report: Report) -> Result<Worker, StartError> {
        let initial = process.memory_use()?;
        Ok(Worker { process, report, initial, limit: None, jobs: 0, is_busy: false, death: None })
    }

    /// Runs a job and waits for its end: `Ok` after all answers were taken.
    ///
    /// # Errors
    ///
    /// Where it has no end within the limits, or was cancelled. The worker may be [dead](Worker::death) then, and answers
    /// may have been taken before.
    pub fn call(&mut self, job: &Job<'_>, limits: &Limits, caller: &mut dyn Caller) -> Result<(), CallError> {
        if !self.is_ready()
            && let Some(death) = &self.death
        {
            return Err(CallError::Died(death.clone()));
        }
        self.call_ready(job, limits, caller)
    }

    /// As [`Worker::call`], right after [`Worker::is_ready`].
    pub(crate) fn call_ready(
        &mut self, job: &Job<'_>, limits: &Limits, caller: &mut dyn Caller,
    ) -> Result<(), CallError> {
        self.jobs += 1;
        self.is_busy = true;
        let ended = match self.limit_memory(job, limits) {
            Ok(()) => self.exchange(*job, limits, caller),
            Err(_) => Err(Failure::Kill(Reason::Io)),
        };
        self.is_busy = false;
        match ended {
            Ok(None) => Ok(()),
            Ok(Some(Stop::Deadline)) => Err(CallError::DeadlineExceeded),
            Ok(Some(Stop::Cancelled)) => Err(CallError::Cancelled),
            Err(failure) => Err(self.end(&failure)),
        }
    }

    /// Sends a job by the shared memory, or through the socket if it is short, too long, or there is no memory.
    fn exchange(&mut self, job: Job<'_>, limits: &Limits, caller: &mut dyn Caller) -> Result<Option<Stop>, Failure> {
        let span = Span::after(0, job.length());
        let span = span.filter(|span| self.process.memory.write(job.parts, *span).is_ok());
        match span {
            Some(span) => {
                let process = &mut self.process;
                exchange(process, Kind::SharedJob, Job::new(&[&span.encode()]), limits, caller)
            }
            None => exchange(&mut self.process, Kind::Job, job, limits, caller),
        }
    }

    /// Returns most of the shared memory to the system: for a worker that has had no job for a while.
    pub(crate) fn trim(&self) {
        // it can wait for the next time
        let _ = self.process.memory.trim();
    }

    fn limit_memory(&mut self, job: &Job<'_>, limits: &Limits) -> io::Result<()> {
        let needed = self.initial.address_space.saturating_add(limits.memory).saturating_add(job.length() as u64);
        let is_near = |limit: u64| limit >= needed && limit - needed <= 2 * LIMIT_STEP;
        if !self.limit.is_some_and(is_near) {
            let limit = needed.saturating_add(LIMIT_STEP);
            self.process.limit_memory(limit)?;
            self.limit = Some(limit);
        }
        Ok(())
    }

    fn end(&mut self, failure: &Failure) -> CallError {
        let death = self.process.end(cause(failure));
        self.death = Some(death.clone());
        match death.reason {
            Reason::Deadline => CallError::DeadlineExceeded,
            Reason::Cancelled => CallError::Cancelled,
            _ => CallError::Died(death),
        }
    }

    /// Whether it is alive and silent, as it has to be between two jobs.
    pub(crate) fn is_ready(&mut self) -> bool {
        if self.death.is_some() {
            return false;
        }
        if self.is_busy {
            self.end(&Failure::Kill(Reason::Rejected));
            return false;
        }
        if self.process.ends_within(Duration::ZERO) {
            self.end(&Failure::Closed);
            return false;
        }
        let mut byte = [0];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(&self.process.socket, &mut byte, flags) {
            Err(Errno::AGAIN) => return true,
            Ok((_, 0)) | Err(_) => self.end(&Failure::Closed),
            Ok(_) => self.end(&Failure::Kill(Reason::Protocol)),
        };
        false
    }

    /// Which layers hold.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Its process ID.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Jobs that it was given.
    pub fn jobs(&self) -> u64 {
        self.jobs
    }

    /// Why it can take no further job.
    pub fn death(&self) -> Option<&Death> {
        self.death.as_ref()
    }

    /// Bytes of memory that it has for itself, beyond what it had when it was ready, in use or mapped.
    ///
    /// # Errors
    ///
    /// Where the process has ended.
    pub fn growth(&self) -> io::Result<u64> {
        let MemoryUse { address_space, private } = self.process.memory_use()?;
        let mapped = address_space.saturating_sub(self.initial.address_space);
        Ok(mapped.max(private.saturating_sub(self.initial.private)))
    }
}

fn cause(failure: &Failure) -> Option<Reason> {
    match failure {
        Failure::Closed => None,
        Failure::Kill(reason) => Some(*reason),
    }
}
