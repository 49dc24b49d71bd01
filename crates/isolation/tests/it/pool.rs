//! Several workers, replaced as they die.

use std::io::{BufRead, BufReader};
use std::panic::AssertUnwindSafe;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::process::PidfdFlags;
use tintype_isolation::{CallError, Job, Pool, PoolConfig, Program, Reason};

use crate::support::{call_pool, config, limits, pool, program, within};

/// Polls until it holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "{what} does not come about");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn jobs_of_many_threads_run_on_few_workers() {
    let pool = pool(2);
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (pool, done) = (&pool, &done);
            scope.spawn(move || {
                for job in 0..50 {
                    let text = format!("{thread}.{job}");
                    let answers = call_pool(pool, &format!("echo {text}"), &limits()).expect("the job is good");
                    assert_eq!(answers, [text.as_bytes()]);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(done.into_inner(), 400);
    let stats = pool.stats();
    assert!(stats.started <= 2 && stats.deaths.is_empty(), "{stats:?}");
}

#[test]
fn dead_workers_are_replaced_and_counted() {
    let pool = pool(2);
    for _ in 0..5 {
        call_pool(&pool, "abort", &limits()).expect_err("the worker dies");
        call_pool(&pool, "open", &limits()).expect_err("the worker dies");
    }
    until("two idle workers", || pool.stats().idle == 2);
    let stats = pool.stats();
    assert_eq!(stats.deaths.into_iter().collect::<Vec<_>>(), [("forbidden_call", 5), ("signal", 5)]);
    assert_eq!(stats.started, 12);
}

#[test]
fn worker_killed_while_idle_costs_no_job() {
    let pool = pool(1);
    for _ in 0..20 {
        let answers = call_pool(&pool, "pid", &limits()).expect("the job is good");
        let pid = String::from_utf8_lossy(&answers[0]).parse().expect("the answer is a number");
        let pid = rustix::process::Pid::from_raw(pid).expect("the number is a process");
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).expect("the worker is alive");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the worker is alive");
        let mut polled = [PollFd::new(&pidfd, PollFlags::IN)];
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut polled, None)).expect("it can be waited for");
        assert_eq!(call_pool(&pool, "echo after", &limits()).expect("the job is good"), [b"after"]);
    }
    assert_eq!(pool.stats().deaths.get(Reason::Signal(9).label()), Some(&20));
}

#[test]
fn worker_killed_at_work_is_an_external_death() {
    let pool = pool(1);
    let answers = call_pool(&pool, "pid", &limits()).expect("the job is good");
    let pid = String::from_utf8_lossy(&answers[0]).parse().expect("the answer is a number");
    let pid = rustix::process::Pid::from_raw(pid).expect("the number is a process");
    let result = std::thread::scope(|scope| {
        let job = scope.spawn(|| call_pool(&pool, "loop", &limits()));
        until("the job", || pool.stats().idle == 0);
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the worker is alive");
        job.join().expect("the call does not panic")
    });
    let Err(CallError::Died(death)) = result else { panic!("the worker dies: {result:?}") };
    assert_eq!((death.reason, death.reason.is_external()), (Reason::Signal(9), true));
}

#[test]
fn worker_ends_with_its_parent_even_in_an_endless_loop() {
    let parent = Command::new(program().path).arg("parent").stdout(Stdio::piped()).spawn();
    let mut parent = parent.expect("the program starts");
    let mut line = String::new();
    let output = parent.stdout.as_mut().expect("it is piped");
    BufReader::new(output).read_line(&mut line).expect("it prints a line");
    let stat = format!("/proc/{}/stat", line.trim());
    let is_at_work = |stat: &str| stat.contains(") R ");
    until("the loop", || std::fs::read_to_string(&stat).is_ok_and(|stat| is_at_work(&stat)));
    parent.kill().expect("it is alive");
    parent.wait().expect("it is a child");
    until("the end", || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z ")));
}

#[test]
fn workers_outlive_the_thread_that_made_the_pool() {
    let pool = std::thread::spawn(|| pool(1)).join().expect("the pool starts");
    for _ in 0..20 {
        call_pool(&pool, "echo", &limits()).expect("the job is good");
    }
    assert_eq!(pool.stats().started, 1);
}

#[test]
fn worker_is_recycled_after_its_jobs() {
    let pool = Pool::start(PoolConfig { max_jobs: 1, ..config(1) }).expect("the first worker starts");
    let pids: std::collections::BTreeSet<_> =
        (0..10).map(|_| call_pool(&pool, "pid", &limits()).expect("the job is good")).collect();
    assert_eq!(pids.len(), 10);
    assert_eq!(pool.stats().recycled, 10);
}

#[test]
fn worker_that_grew_is_recycled() {
    let pool = Pool::start(PoolConfig { max_growth: 8 << 20, ..config(1) }).expect("the first worker starts");
    call_pool(&pool, "echo", &limits()).expect("the job is good");
    assert_eq!(pool.stats().recycled, 0);
    call_pool(&pool, "leak 16777216", &limits()).expect("the job is good");
    assert_eq!(pool.stats().recycled, 1);
}

#[test]
fn panic_of_a_caller_costs_its_worker_alone() {
    let pool = pool(1);
    for _ in 0..3 {
        let call = || pool.call(&Job::new(&[b"echo"]), &limits(), &mut |_| panic!("a caller that cannot read it"));
        std::panic::catch_unwind(AssertUnwindSafe(call)).expect_err("the panic reaches the caller");
        assert_eq!(call_pool(&pool, "echo next", &limits()).expect("the job is good"), [b"next"]);
    }
    assert_eq!(pool.stats().deaths.get(Reason::Rejected.label()), Some(&3));
}

#[test]
fn busy_pool_is_waited_for_until_the_deadline() {
    let pool = pool(1);
    std::thread::scope(|scope| {
        let job = scope.spawn(|| call_pool(&pool, "until-cancelled", &within(Duration::from_millis(600))));
        until("the job", || pool.stats().idle == 0);
        let result = call_pool(&pool, "echo", &within(Duration::from_millis(50)));
        assert!(matches!(result, Err(CallError::DeadlineExceeded)), "{result:?}");
        assert_eq!(call_pool(&pool, "echo later", &limits()).expect("the job is good"), [b"later"]);
        job.join().expect("the call does not panic").expect_err("the job ends at its deadline");
    });
}

#[test]
fn program_that_cannot_start_is_an_error() {
    let missing = Program { path: "/nonexistent".into(), ..program() };
    let error = Pool::start(PoolConfig { program: missing, ..config(2) }).err().expect("there is no such program");
    assert!(error.to_string().contains("No such file"), "{error}");
}

#[test]
fn program_that_vanishes_makes_the_pool_unavailable_until_it_is_back() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("worker");
    let copy = || std::fs::copy(program().path, &path).expect("the program can be copied");
    copy();
    let program = Program { path: path.clone(), ..program() };
    let pool = Pool::start(PoolConfig { program, ..config(1) }).expect("the first worker starts");
    std::fs::remove_file(&path).expect("it can be removed");
    call_pool(&pool, "abort", &limits()).expect_err("the worker dies");
    let result = call_pool(&pool, "echo", &limits());
    assert!(matches!(&result, Err(CallError::Unavailable(message)) if message.contains("No such file")), "{result:?}");
    copy();
    until("the return", || call_pool(&pool, "echo", &limits()).is_ok());
    assert!(pool.stats().failed_starts >= 1);
}
