//! The lock-down of a worker before its first job: privileges, files, system calls and resources are given up for good.

mod filter;
mod report;

use std::io;

use landlock::{ABI, Access, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, RulesetStatus, Scope};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};

use crate::shared_memory;

pub use report::{Landlock, Report, Seccomp};

/// Which layers a worker locks itself down with; by default, all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockDown {
    /// Landlock, without any rule: no file can be opened, no TCP port used, no process outside signalled.
    pub landlock: bool,
    /// The answer to a system call that a worker has no need of.
    pub seccomp: Seccomp,
    /// Whether the worker may start threads, for encoders that use several. New processes stay forbidden.
    pub threads: bool,
}

impl Default for LockDown {
    fn default() -> LockDown {
        LockDown { landlock: true, seccomp: Seccomp::Kill, threads: false }
    }
}

impl LockDown {
    pub(crate) fn encode(self) -> [u8; 3] {
        [u8::from(self.landlock), self.seccomp.encode(), u8::from(self.threads)]
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<LockDown> {
        let &[landlock, seccomp, threads] = bytes else { return None };
        Some(LockDown { landlock: landlock == 1, seccomp: Seccomp::decode(seccomp)?, threads: threads == 1 })
    }
}

/// Why a worker cannot be locked down. A kernel that lacks Landlock or seccomp is no error but said in the [`Report`].
#[derive(Debug, thiserror::Error)]
pub enum LockDownError {
    /// Both layers hold for the calling thread and those that it starts.
    #[error("the process has {0} threads; a worker is locked down while it has one")]
    Threads(usize),
    /// The process itself could not be looked at.
    #[error("cannot read /proc/self: {0}")]
    Proc(io::Error),
    /// A limit or an attribute of the process could not be set.
    #[error("cannot set {0}: {1}")]
    Attribute(&'static str, rustix::io::Errno),
    /// The Landlock ruleset is invalid, or the kernel refuses it for another reason than its age.
    #[error("Landlock: {0}")]
    Landlock(#[from] landlock::RulesetError),
    /// The filter cannot be compiled.
    #[error("seccomp: {0}")]
    Filter(#[from] seccompiler::BackendError),
}

/// Open files of a worker: the three standard ones, and some to spare.
const MAX_FILES: u64 = 16;
/// The kernel kills workers before the service, when memory is short.
const OOM_SCORE_ADJ: &str = "500";

/// Locks this process down, for good. Everything that opens files at its first use has to have run before: allocators, random
/// numbers, time zones. `std::thread::available_parallelism` opens files at every use and must not be called later.
///
/// # Errors
///
/// Where the process has several threads, or the kernel refuses what every kernel since 5.3 grants.
pub(crate) fn lock_down(wanted: &LockDown) -> Result<Report, LockDownError> {
    let threads = count("/proc/self/task").map_err(LockDownError::Proc)?;
    if threads != 1 {
        return Err(LockDownError::Threads(threads));
    }
    // the folder that is read is open, too
    let inherited = count("/proc/self/fd").map_err(LockDownError::Proc)?.saturating_sub(4);
    // written before the process stops being dumpable, when /proc/self becomes root's
    let is_oom_preferred = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ).is_ok();
    restrict_process()?;
    let landlock = if wanted.landlock { restrict_files()? } else { Landlock::Off };
    restrict_resources()?;
    let seccomp = filter::apply(wanted)?;
    Ok(Report { landlock, seccomp, inherited: u32::try_from(inherited).unwrap_or(u32::MAX), is_oom_preferred })
}

fn count(folder: &str) -> io::Result<usize> {
    Ok(std::fs::read_dir(folder)?.count())
}

fn restrict_process() -> Result<(), LockDownError> {
    let attribute = |name| move |error| LockDownError::Attribute(name, error);
    rustix::thread::set_no_new_privs(true).map_err(attribute("no_new_privs"))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(attribute("dumpable"))?;
    // the parent's thread that started this process has to live on; see `Worker::start`
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(attribute("parent_death_signal"))
}

fn restrict_resources() -> Result<(), LockDownError> {
    let limits = [
        ("RLIMIT_CORE", Resource::Core, 0),
        // kills a process that writes more to the shared memory; standard error is a pipe, so that messages get through
        ("RLIMIT_FSIZE", Resource::Fsize, shared_memory::MAX as u64),
        ("RLIMIT_MEMLOCK", Resource::Memlock, 0),
        ("RLIMIT_MSGQUEUE", Resource::Msgqueue, 0),
        ("RLIMIT_NOFILE", Resource::Nofile, MAX_FILES),
    ];
    limits.into_iter().try_for_each(|(name, resource, limit)| {
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        rustix::process::setrlimit(resource, limit).map_err(|error| LockDownError::Attribute(name, error))
    })
}

/// Denies every right that the kernel's Landlock knows.
fn restrict_files() -> Result<Landlock, LockDownError> {
    let newest = ABI::V10;
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(newest))?
        .handle_access(AccessNet::from_all(newest))?
        .scope(Scope::from_all(newest))?
        .create()?
        .restrict_self()?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => Landlock::Unsupported,
        (_, LandlockStatus::Available { effective_abi, .. }) => Landlock::Enforced { abi: effective_abi as u8 },
        _ => Landlock::Unsupported,
    })
}
