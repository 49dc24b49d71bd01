//! A worker that behaves.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tintype_isolation::{CallError, Caller, Job, Limits};

use crate::support::{Lines, START, call, limits, program, start, start_with, within};

#[test]
fn bytes_of_any_length_come_back() {
    let mut worker = start();
    for length in [0, 1, 4096, 32_700, 33_000, 300_000, 1 << 20, 16 << 20, 17 << 20, 40_000] {
        let data: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let mut answers = Vec::new();
        let mut caller = |answer| {
            answers.push(answer);
            ControlFlow::Continue(())
        };
        let parts: [&[u8]; 3] = [b"echo ", &data[..length / 2], &data[length / 2..]];
        let limits = Limits { answer_bytes: length, ..limits() };
        worker.call(&Job::new(&parts), &limits, &mut caller).expect("the job is good");
        assert!(answers == [data], "{length} bytes");
    }
}

#[test]
fn answers_come_in_order_and_before_the_end() {
    let mut worker = start();
    let answers = call(&mut worker, "repeat abc", &limits()).expect("the job is good");
    assert_eq!(answers, [b"a", b"b", b"c"]);
}

#[test]
fn environment_is_only_what_was_given() {
    let answers = call(&mut start(), "environment", &limits()).expect("the job is good");
    assert_eq!(answers, [b"GREETING=hello"]);
}

#[test]
fn library_calls_are_not_killed() {
    let mut worker = start();
    assert_eq!(call(&mut worker, "sort", &limits()).expect("qsort may ask for the size of memory"), [b"sorted"]);
    let answers = call(&mut worker, "query", &limits()).expect("queries are refused, not punished");
    assert_eq!(String::from_utf8_lossy(&answers[0]), format!("false Err(Some({}))", libc::ENOSYS));
}

#[test]
fn standard_error_is_logged_by_line_and_escaped() {
    let lines = Lines::default();
    let mut worker = tintype_isolation::Worker::start(&program(), &Default::default(), START, lines.log())
        .expect("the worker starts");
    call(&mut worker, "print two\nlines with \u{1b}[31m colour", &limits()).expect("the job is good");
    call(&mut worker, "echo", &limits()).expect("the job is good");
    drop(worker);
    assert_eq!(lines.all(), ["two", "lines with \\u{1b}[31m colour"]);
}

/// With time for a busy machine to let the worker answer.
fn patient(limits: Limits) -> Limits {
    Limits { grace: Duration::from_secs(20), ..limits }
}

/// Does not want the job any more after a while.
struct Impatient(Instant);

impl Caller for Impatient {
    fn answer(&mut self, _: Vec<u8>) -> ControlFlow<()> {
        panic!("answers after the cancellation are dropped");
    }

    fn keep_going(&mut self) -> bool {
        Instant::now() < self.0
    }
}

#[test]
fn cancelled_job_stops_and_its_worker_lives() {
    let mut worker = start();
    for _ in 0..10 {
        let end = Instant::now() + Duration::from_millis(20);
        let result = worker.call(&Job::new(&[b"until-cancelled"]), &patient(limits()), &mut Impatient(end));
        assert!(matches!(result, Err(CallError::Cancelled)), "{result:?}");
        assert!(worker.death().is_none());
        assert_eq!(call(&mut worker, "echo after", &limits()).expect("the job is good"), [b"after"]);
    }
}

#[test]
fn deadline_stops_a_job_and_its_worker_lives() {
    let mut worker = start();
    let result = call(&mut worker, "until-cancelled", &patient(within(Duration::from_millis(20))));
    assert!(matches!(result, Err(CallError::DeadlineExceeded)), "{result:?}");
    assert_eq!(call(&mut worker, "echo after", &limits()).expect("the job is good"), [b"after"]);
}

#[test]
fn memory_is_bounded_by_job() {
    let mut worker = start();
    let small = Limits { memory: 16 << 20, ..limits() };
    let large = Limits { memory: 256 << 20, ..limits() };
    for _ in 0..3 {
        let job = "try-allocate 100000000";
        assert_eq!(call(&mut worker, job, &small).expect("it is refused, not killed"), [b"refused"]);
        assert_eq!(call(&mut worker, job, &large).expect("it is granted"), [b"granted"]);
    }
}

#[test]
fn threads_start_where_they_are_allowed() {
    let wanted = tintype_isolation::LockDown { threads: true, ..Default::default() };
    let mut worker = start_with(&wanted);
    assert_eq!(call(&mut worker, "thread", &limits()).expect("the job is good"), [b"Ok(2)"]);
    let death = crate::faults::death(&mut worker, "spawn");
    assert_eq!(death.reason, tintype_isolation::Reason::ForbiddenCall);
}
