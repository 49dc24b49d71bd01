//! Each layer by itself, and what the report says of it.

use std::ops::ControlFlow;
use std::os::fd::AsRawFd;

use tintype_isolation::{Job, Landlock, LockDown, Program, Reason, Seccomp, Worker};

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
fn files_cannot_be_written_even_without_layers() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("file");
    let mut worker = start_with(&LockDown { landlock: false, seccomp: Seccomp::Off, threads: false });
    let job = [b"write ".as_slice(), path.as_os_str().as_encoded_bytes()];
    let result = worker.call(&Job::new(&job), &limits(), &mut |_| ControlFlow::Continue(()));
    assert!(result.is_err());
    // SIGXFSZ of RLIMIT_FSIZE
    assert_eq!(worker.death().map(|death| death.reason), Some(Reason::Signal(25)));
    assert_eq!(std::fs::read(path).expect("the file was made"), b"");
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
