//! Worker processes that can touch nothing: bytes in, bytes out, under seccomp, Landlock and resource limits.
//!
//! The parent starts a [`Worker`], or a [`Pool`] of them, and [calls](Worker::call) it with a [`Job`]; the worker process is
//! [`serve`] in its `main`. One socket, the worker's standard input, carries jobs and cancellations one way, answers the other;
//! longer ones lie in memory that both share, the worker's standard output. The two ends agree on the meaning of a job.
//!
//! # Threats and answers
//!
//! | threat | answer |
//! |---|---|
//! | files, network, other processes | seccomp kills the worker at the call; Landlock refuses what it would let through |
//! | a crash, an abort, a stack overflow | a [`Death`] with its [`Reason`]; the next job runs in another process |
//! | memory | `RLIMIT_AS` of each job, set by the parent; `oom_score_adj` 500 makes the kernel choose the worker |
//! | endless work | [`Limits::deadline`] and [`Caller::keep_going`]: a message, and SIGKILL after [`Limits::grace`] |
//! | secrets in the environment | the environment is empty but for [`Program::envs`] |
//! | false answers | number and length are bounded here; the content is checked by the [`Caller`], which can reject it |
//! | floods of standard error | a bound a job; lines are escaped before they are logged |
//! | the parent's death | `PR_SET_PDEATHSIG`, and end of file on the socket |
//!
//! Descriptors that the worker inherits are not closed (that would take `unsafe`), but where there is seccomp, the filter lets
//! it use none but its first three; [`Report::inherited`] counts the others.

#![forbid(unsafe_code)]

mod channel;
mod death;
mod exchange;
mod frame;
mod job;
mod lock_down;
mod pool;
mod process;
mod shared_memory;
mod stderr;
mod worker;

pub use channel::{Answers, Canceller, Received, ServeError, serve};
pub use death::{Death, Reason};
pub use exchange::{Caller, GRACE, Limits};
pub use job::Job;
pub use lock_down::{Landlock, LockDown, LockDownError, Report, Seccomp};
pub use pool::{Pool, PoolConfig, Stats};
pub use process::{Program, StartError};
pub use stderr::Log;
pub use worker::{CallError, Worker};
