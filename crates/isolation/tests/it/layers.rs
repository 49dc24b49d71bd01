//! Each layer by itself, and what the report says of it.

use std::os::fd::AsRawFd;

use tintype_isolation::{Landlock, LockDown, Program, Reason, Seccomp, Worker};

use crate::faults::death;
use crate::support::{Lines, START, call, limits, program, start_with};

#[test]
fn report_names_the_layers_that_hold() {
    let cases = [(true, Seccomp::Kill), (true, Seccomp::Off), (false, Seccomp::Kill), (false, Seccomp::Off)];
    for (landlock, seccomp) in cases {
        let worker = start_with(&LockDown { landlock, seccomp, threads: false });
        let report = worker.report();
        assert_eq!(report.seccomp, seccomp);
        assert_eq!(report.landlock == Landlock::Off, !landlock, "{report}");
        assert_eq!(
            report.is_isolated(),
            landlock && report.landlock != Landlock::Unsupported || seccomp == Seccomp::Kill
        );
    }
}

#[test]
fn layers_that_are_forbidden_from_outside_are_reported() {
    let program = Program { args: vec!["old-kernel".into()], ..program() };
    let mut worker = Worker::start(&program, &LockDown::default(), START, Lines::default().log()).expect("it starts");
    let report = *worker.report();
    assert_eq!((report.landlock, report.seccomp), (Landlock::Unsupported, Seccomp::Unsupported));
    assert_eq!(
        (report.is_isolated(), report.to_string().as_str()),
        (false, "seccomp not supported, Landlock not supported")
    );
    assert_eq!(call(&mut worker, "echo on", &limits()).expect("the job is good"), [b"on"]);
}

#[test]
fn landlock_alone_keeps_files_and_network_away() {
    let mut worker = start_with(&LockDown { seccomp: Seccomp::Off, ..Default::default() });
    let Landlock::Enforced { abi } = worker.report().landlock else {
        eprintln!("skipped: landlock_alone_keeps_files_and_network_away needs a kernel with Landlock");
        return;
    };
    let open = call(&mut worker, "try-open", &limits()).expect("it is refused, not killed");
    assert_eq!(open, [b"permission denied"]);
    if abi >= 4 {
        let connect = call(&mut worker, "try-connect", &limits()).expect("it is refused, not killed");
        assert_eq!(connect, [b"permission denied"]);
    }
}

#[test]
fn without_layers_files_can_be_opened() {
    let mut worker = start_with(&LockDown { landlock: false, seccomp: Seccomp::Off, threads: false });
    assert_eq!(call(&mut worker, "try-open", &limits()).expect("the job is good"), [b"opened"]);
    // limits hold all the same
    assert_eq!(death(&mut worker, "allocate 4000000000").reason, Reason::OutOfMemory);
}

#[test]
fn seccomp_alone_kills_at_open() {
    let mut worker = start_with(&LockDown { landlock: false, ..Default::default() });
    assert_eq!(death(&mut worker, "open").reason, Reason::ForbiddenCall);
}

#[test]
fn logged_calls_are_made() {
    let mut worker = start_with(&LockDown { landlock: false, seccomp: Seccomp::Log, threads: false });
    assert!(!worker.report().is_isolated());
    assert_eq!(call(&mut worker, "try-open", &limits()).expect("the job is good"), [b"opened"]);
}

#[test]
fn shared_memory_cannot_grow_beyond_its_bound() {
    for seccomp in [Seccomp::Kill, Seccomp::Off] {
        let mut worker = start_with(&LockDown { landlock: false, seccomp, threads: false });
        call(&mut worker, "fill", &limits()).expect_err("more than the shared memory may have");
        // SIGXFSZ of RLIMIT_FSIZE
        assert_eq!(worker.death().map(|death| death.reason), Some(Reason::Signal(25)));
    }
}

#[test]
fn inherited_descriptor_is_reported_and_cannot_be_used() {
    let file = std::fs::File::open("/etc/passwd").expect("it can be read");
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).expect("it is open");
    let mut worker = start_with(&LockDown::default());
    let number = file.as_raw_fd();
    drop(file);
    assert!(worker.report().inherited >= 1);
    // a closed one would be an error, not a death
    assert_eq!(death(&mut worker, &format!("call {} {number} 0 0", libc::SYS_read)).reason, Reason::ForbiddenCall);
}
