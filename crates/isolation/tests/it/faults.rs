//! A worker that was taken over.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tintype_isolation::{CallError, Death, Job, Reason, StartError, Worker};

use crate::support::{Lines, START, call, limits, program, start, within};

/// Aborts of Rust's standard library, and of C's.
const ABORT: Reason = Reason::Signal(6);
const SEGMENTATION_FAULT: Reason = Reason::Signal(11);

/// The death by a job; one that has no end is given a tenth of a second.
pub(crate) fn death(worker: &mut Worker, job: &str) -> Death {
    let limits = if matches!(job, "loop" | "chatter") { within(Duration::from_millis(100)) } else { limits() };
    match call(worker, job, &limits) {
        Err(CallError::Died(death)) => death,
        other => worker.death().unwrap_or_else(|| panic!("{job} did not kill the worker: {other:?}")).clone(),
    }
}

#[test]
fn fault_is_death_with_its_reason() {
    let cases = [
        ("abort", ABORT, ""),
        ("overflow", ABORT, "fatal runtime error: stack overflow"),
        ("null", SEGMENTATION_FAULT, ""),
        ("panic", Reason::Exit(101), "a panic on demand"),
        ("exit", Reason::Exit(3), ""),
        ("allocate 4000000000", Reason::OutOfMemory, "memory allocation of 4000000000 bytes failed"),
        ("loop", Reason::Deadline, ""),
        ("chatter", Reason::Deadline, ""),
        ("open", Reason::ForbiddenCall, ""),
        ("connect", Reason::ForbiddenCall, ""),
        ("spawn", Reason::ForbiddenCall, ""),
        ("exec", Reason::ForbiddenCall, ""),
        ("thread", Reason::ForbiddenCall, ""),
        ("huge", Reason::Protocol, ""),
        ("many", Reason::Protocol, ""),
        ("lie", Reason::Protocol, ""),
        ("short", Reason::Exit(0), ""),
        ("garbage", Reason::Protocol, ""),
        ("ready", Reason::Protocol, ""),
        ("close", Reason::Closed, ""),
        ("flood", Reason::StderrFlood, "flood"),
    ];
    for (job, reason, message) in cases {
        let mut worker = start();
        let started = Instant::now();
        let death = death(&mut worker, job);
        let time = started.elapsed();
        assert_eq!(death.reason, reason, "{job}: {death}");
        assert!(death.message.contains(message), "{job}: {:?}", death.message);
        assert!(time < Duration::from_secs(5), "{job} took {time:?}");
        assert_eq!(call(&mut start(), "echo next", &limits()).expect("the job is good"), [b"next"]);
    }
}

#[test]
fn dead_worker_takes_no_job() {
    let mut worker = start();
    death(&mut worker, "abort");
    let result = call(&mut worker, "echo", &limits());
    assert!(matches!(result, Err(CallError::Died(Death { reason: ABORT, .. }))), "{result:?}");
}

#[test]
fn rejected_answer_kills() {
    let mut worker = start();
    let result = worker.call(&Job::new(&[b"echo false"]), &limits(), &mut |_| ControlFlow::Break(()));
    assert!(matches!(result, Err(CallError::Died(Death { reason: Reason::Rejected, .. }))), "{result:?}");
}

#[test]
fn answer_left_over_is_no_answer_to_the_next_job() {
    let mut worker = start();
    call(&mut worker, "early", &limits()).expect("it says that it is done");
    let result = call(&mut worker, "echo good", &limits());
    assert!(matches!(result, Err(CallError::Died(Death { reason: Reason::Protocol, .. }))), "{result:?}");
}

/// Every call by which a process reaches beyond itself, with arguments that would do no harm.
#[test]
fn forbidden_system_calls_kill() {
    let executable_pages = format!("{} 0 4096 4 34 -1 0", libc::SYS_mmap);
    let descriptor = format!("{} 0 4096 1 2 2 0", libc::SYS_mmap);
    let writable_and_executable = format!("{} 0 4096 7", libc::SYS_mprotect);
    let other_process = format!("{} {} {} 0", libc::SYS_tgkill, std::process::id(), std::process::id());
    let other_descriptor = format!("{} 9 0 0", libc::SYS_read);
    let duplicate = format!("{} 1 5 0", libc::SYS_dup3);
    let dumpable = format!("{} {} 1 0 0 0", libc::SYS_prctl, libc::PR_SET_DUMPABLE);
    let with_arguments =
        [executable_pages, descriptor, writable_and_executable, other_process, other_descriptor, duplicate, dumpable];
    let numbers = [
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_open_by_handle_at,
        libc::SYS_name_to_handle_at,
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept4,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_clone,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_send_signal,
        libc::SYS_kill,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_unlinkat,
        libc::SYS_renameat2,
        libc::SYS_linkat,
        libc::SYS_symlinkat,
        libc::SYS_mkdirat,
        libc::SYS_fchmodat,
        libc::SYS_fchownat,
        libc::SYS_truncate,
        libc::SYS_ftruncate,
        libc::SYS_pwrite64,
        libc::SYS_sendfile,
        libc::SYS_splice,
        libc::SYS_vmsplice,
        libc::SYS_copy_file_range,
        libc::SYS_memfd_create,
        libc::SYS_memfd_secret,
        libc::SYS_shmget,
        libc::SYS_shmat,
        libc::SYS_msgget,
        libc::SYS_semget,
        libc::SYS_mq_open,
        libc::SYS_pkey_mprotect,
        libc::SYS_remap_file_pages,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_io_setup,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_seccomp,
        libc::SYS_landlock_create_ruleset,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_chroot,
        libc::SYS_pivot_root,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_fsopen,
        libc::SYS_move_mount,
        libc::SYS_setuid,
        libc::SYS_setgid,
        libc::SYS_capset,
        libc::SYS_personality,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_getdents64,
        libc::SYS_inotify_init1,
        libc::SYS_fanotify_init,
        libc::SYS_syslog,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_sethostname,
        libc::SYS_clock_settime,
        libc::SYS_timer_create,
        libc::SYS_timerfd_create,
        libc::SYS_signalfd4,
        libc::SYS_eventfd2,
        libc::SYS_epoll_create1,
        libc::SYS_pipe2,
        libc::SYS_ppoll,
        libc::SYS_kcmp,
        libc::SYS_quotactl,
        libc::SYS_swapon,
        libc::SYS_acct,
        // in no kernel yet
        1023,
    ];
    let calls = with_arguments.into_iter().chain(numbers.iter().map(|number| number.to_string()));
    for numbers in calls {
        let death = death(&mut start(), &format!("call {numbers}"));
        assert_eq!(death.reason, Reason::ForbiddenCall, "system call {numbers}: {death}");
    }
}

/// A worker cannot feign that another process killed it, after which its job would be tried again and not counted.
#[test]
fn worker_that_kills_itself_made_a_forbidden_call() {
    for signal in [9, 15, 2] {
        let mut worker = start();
        let pid = worker.pid();
        for call in
            [format!("{} {pid} {pid} {signal}", libc::SYS_tgkill), format!("{} {pid} {signal}", libc::SYS_tkill)]
        {
            let death = death(&mut worker, &format!("call {call}"));
            assert_eq!(death.reason, Reason::ForbiddenCall, "signal {signal}: {death}");
            worker = start();
        }
    }
}

/// Calls that the filter lets through or refuses do not kill, so that the test above means something.
#[test]
fn harmless_system_calls_do_not_kill() {
    let mut worker = start();
    for number in [libc::SYS_getpid, libc::SYS_sysinfo, libc::SYS_uname, libc::SYS_ioctl, libc::SYS_prlimit64] {
        call(&mut worker, &format!("call {number}"), &limits()).expect("the call is allowed or refused");
    }
}

#[test]
fn worker_that_does_not_start_is_told_apart() {
    let start = |argument: &str, timeout| {
        let program = tintype_isolation::Program { args: vec![argument.into()], ..program() };
        Worker::start(&program, &Default::default(), timeout, Lines::default().log()).err().expect("it cannot start")
    };
    let error = start("slow", Duration::from_millis(300));
    assert!(matches!(error, StartError::Timeout(Death { reason: Reason::Deadline, .. })), "{error}");
    let error = start("threads", START);
    let StartError::Died(death) = error else { panic!("{error}") };
    assert_eq!((death.reason, death.message.contains("2 threads")), (Reason::Exit(1), true), "{death}");
    let missing = tintype_isolation::Program { path: "/nonexistent".into(), ..program() };
    let error = Worker::start(&missing, &Default::default(), START, Lines::default().log()).err();
    assert!(matches!(error, Some(StartError::Io(_))));
}
