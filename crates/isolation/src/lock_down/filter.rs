//! The seccomp filter: an allow-list. Anything else kills the process, but for harmless queries, which answer `ENOSYS`.

use std::collections::BTreeMap;

use libc::{
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS, CLONE_THREAD,
    CLONE_VM,
};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::{LockDown, Seccomp};

/// The calls of each number; no rule allows all of them.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Allowed whatever their arguments are: none opens anything or reaches another process.
const ALLOWED: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getcpu,
    libc::SYS_getrusage,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    // asked by qsort of glibc, which wants to know how much memory there is
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // of a thread that begins
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_membarrier,
];

/// Allowed on standard input (the socket), output (the shared memory) and error (the log).
const ON_STANDARD: &[i64] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_fstat,
    libc::SYS_lseek,
];

/// Queries that libraries make on the way, and that can be refused: the filter answers `ENOSYS`.
const REFUSED: &[i64] = &[
    // glibc falls back to `clone`, whose flags a filter can read
    libc::SYS_clone3,
    libc::SYS_faccessat,
    libc::SYS_fcntl,
    libc::SYS_getcwd,
    libc::SYS_getpriority,
    libc::SYS_ioctl,
    libc::SYS_newfstatat,
    libc::SYS_prlimit64,
    libc::SYS_readlinkat,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_setscheduler,
    libc::SYS_setpriority,
    libc::SYS_statx,
    libc::SYS_times,
];

/// As [`REFUSED`]; calls of which newer architectures have the `at` form alone.
#[cfg(target_arch = "x86_64")]
const REFUSED_OLD: &[i64] =
    &[libc::SYS_access, libc::SYS_getrlimit, libc::SYS_lstat, libc::SYS_readlink, libc::SYS_stat];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_OLD: &[i64] = &[];

/// Names of memory regions, which jemalloc may give (`PR_SET_VMA`).
const PR_SET_VMA: u64 = 0x5356_4d41;
const PR_SET_NAME: u64 = libc::PR_SET_NAME as u64;

/// Filters the system calls of this thread and those that it starts.
pub(super) fn apply(wanted: &LockDown) -> Result<Seccomp, BackendError> {
    let forbidden = match wanted.seccomp {
        Seccomp::Kill => SeccompAction::KillProcess,
        Seccomp::Log => SeccompAction::Log,
        off => return Ok(off),
    };
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(Seccomp::Unsupported) };
    // the kernel takes the stricter answer of two filters, so the allow-list has the refused calls, too
    let refusals: BpfProgram =
        SeccompFilter::new(refusals(), SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32), arch)?
            .try_into()?;
    let allowed: BpfProgram =
        SeccompFilter::new(allowed(wanted.threads)?, forbidden, SeccompAction::Allow, arch)?.try_into()?;
    // in this order: the allow-list does not let a filter be applied
    let applied = seccompiler::apply_filter(&refusals).and_then(|()| seccompiler::apply_filter(&allowed));
    Ok(applied.map_or(Seccomp::Unsupported, |()| wanted.seccomp))
}

fn refusals() -> Rules {
    REFUSED.iter().chain(REFUSED_OLD).map(|&number| (number, Vec::new())).collect()
}

fn allowed(threads: bool) -> Result<Rules, BackendError> {
    let mut rules = refusals();
    rules.extend(ALLOWED.iter().map(|&number| (number, Vec::new())));
    for &number in ON_STANDARD {
        rules.insert(number, vec![rule([at_most(0, 2)?])?]);
    }
    // the socket alone: a look at whether the job was cancelled
    rules.insert(libc::SYS_recvfrom, vec![rule([is(0, 0)?])?]);
    // the shared memory alone
    rules.insert(libc::SYS_pwrite64, vec![rule([is(0, 1)?])?]);
    // no code is made, and no descriptor mapped
    let no_descriptor = is(4, u64::from(u32::MAX))?;
    rules.insert(libc::SYS_mmap, vec![rule([not_executable()?, no_descriptor])?]);
    rules.insert(libc::SYS_mprotect, vec![rule([not_executable()?])?]);
    rules.insert(libc::SYS_prctl, vec![rule([is(0, PR_SET_VMA)?])?, rule([is(0, PR_SET_NAME)?])?]);
    // `abort` raises its signal in its own process; by SIGKILL a worker would feign that another process killed it
    let (own, abort) = (u64::from(std::process::id()), libc::SIGABRT as u64);
    rules.insert(libc::SYS_tgkill, vec![rule([is(0, own)?, is(2, abort)?])?]);
    rules.insert(libc::SYS_tkill, vec![rule([is(0, own)?, is(1, abort)?])?]);
    if threads {
        rules.insert(libc::SYS_clone, vec![rule([is_thread()?])?]);
    }
    Ok(rules)
}

fn rule<const N: usize>(conditions: [SeccompCondition; N]) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions.to_vec())
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

fn is(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    condition(argument, SeccompCmpOp::Eq, value)
}

fn at_most(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    condition(argument, SeccompCmpOp::Le, value)
}

fn not_executable() -> Result<SeccompCondition, BackendError> {
    condition(2, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0)
}

/// Flags of `clone` that make a thread of this process, in no namespace of its own.
fn is_thread() -> Result<SeccompCondition, BackendError> {
    let namespaces =
        CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWUTS;
    let thread = (CLONE_THREAD | CLONE_VM) as u64;
    condition(0, SeccompCmpOp::MaskedEq(thread | namespaces as u64), thread)
}
