//! Why a worker process died.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::Signal;

/// The message with which Rust's default allocation error handler aborts (a test holds it).
const OUT_OF_MEMORY: &str = "memory allocation of ";

/// A dead worker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("worker {pid} {reason}{}{message}", if .message.is_empty() { "" } else { ": " })]
pub struct Death {
    /// The process that died.
    pub pid: u32,
    /// Why.
    pub reason: Reason,
    /// The last line that it wrote to standard error, escaped; empty where there is none. It is not to be trusted.
    pub message: String,
}

/// Why a worker died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The seccomp filter killed it.
    #[error("made a forbidden system call")]
    ForbiddenCall,
    /// An allocation failed within the limit of the job.
    #[error("needed more memory than its limit")]
    OutOfMemory,
    /// A signal: 6 is an abort or a stack overflow, 9 the kernel's when memory is short, or an administrator's.
    #[error("died of signal {0}")]
    Signal(i32),
    /// It exited, with that status; 101 is a panic.
    #[error("exited with status {0}")]
    Exit(i32),
    /// Killed: the job ran beyond its deadline and did not stop when told to.
    #[error("was killed at its deadline")]
    Deadline,
    /// Killed: the job was cancelled and did not stop when told to.
    #[error("was killed since its job was cancelled")]
    Cancelled,
    /// Killed: it closed its socket.
    #[error("was killed since it closed its socket")]
    Closed,
    /// Killed: it sent what the protocol forbids, or longer or more answers than the limits allow.
    #[error("was killed since it broke the protocol")]
    Protocol,
    /// Killed: the caller rejected an answer.
    #[error("was killed since its answer was rejected")]
    Rejected,
    /// Killed: it wrote more to standard error than one job may.
    #[error("was killed since it flooded standard error")]
    StderrFlood,
    /// Killed: this side could not poll it or limit its memory.
    #[error("was killed since it could not be polled or limited")]
    Io,
}

impl Reason {
    /// All labels.
    pub const LABELS: [&str; 11] = [
        "forbidden_call",
        "out_of_memory",
        "signal",
        "exit",
        "deadline",
        "cancelled",
        "closed",
        "protocol",
        "rejected",
        "stderr_flood",
        "io",
    ];

    /// A label for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Reason::ForbiddenCall => "forbidden_call",
            Reason::OutOfMemory => "out_of_memory",
            Reason::Signal(_) => "signal",
            Reason::Exit(_) => "exit",
            Reason::Deadline => "deadline",
            Reason::Cancelled => "cancelled",
            Reason::Closed => "closed",
            Reason::Protocol => "protocol",
            Reason::Rejected => "rejected",
            Reason::StderrFlood => "stderr_flood",
            Reason::Io => "io",
        }
    }

    /// Whether the job had no part in it: another process, or the kernel when memory was short, killed the worker. Such a job
    /// can be tried again.
    pub fn is_external(self) -> bool {
        let external = [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];
        matches!(self, Reason::Signal(number) if external.iter().any(|signal| signal.as_raw() == number))
    }

    /// Of a process that ended by itself.
    pub(crate) fn of(status: ExitStatus, stderr: &str) -> Reason {
        match status.signal() {
            Some(number) if number == Signal::SYS.as_raw() => Reason::ForbiddenCall,
            Some(number) if number == Signal::ABORT.as_raw() && stderr.contains(OUT_OF_MEMORY) => Reason::OutOfMemory,
            Some(number) => Reason::Signal(number),
            None => Reason::Exit(status.code().unwrap_or(-1)),
        }
    }
}
