//! Good jobs and faults mixed: no good one fails, and nothing is left behind.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tintype_isolation::{CallError, Pool, Reason};

use support::{call_pool, limits, pool, within};

const GOOD: usize = 1000;
const FAULTS: [&str; 14] = [
    "abort",
    "overflow",
    "null",
    "panic",
    "allocate 4000000000",
    "open",
    "connect",
    "spawn",
    "huge",
    "lie",
    "garbage",
    "short",
    "flood",
    "loop",
];

/// Both tests look at the children of the process.
static ALONE: Mutex<()> = Mutex::new(());

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc is mounted").count()
}

/// Children of this process, zombies included.
fn children() -> Vec<Pid> {
    let own = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_child = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // the name in parentheses, the state, the parent
        stat.rsplit(')').next().and_then(|rest| rest.split(' ').nth(2)) == Some(&own)
    };
    pids.filter(is_child).filter_map(Pid::from_raw).collect()
}

#[test]
fn good_jobs_among_faults_all_succeed() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = (descriptors(), children());
    let pool = pool(2);
    let failed: usize = std::thread::scope(|scope| {
        let threads = [0, 1].map(|thread| {
            let pool = &pool;
            scope.spawn(move || (0..GOOD / 2).filter(|round| !pair(pool, thread, *round)).count())
        });
        threads.into_iter().map(|thread| thread.join().expect("a fault does not reach its caller")).sum()
    });
    assert_eq!(failed, 0);
    let mut stats = pool.stats();
    let loops = (0..GOOD / 2).filter(|round| fault(*round) == "loop").count() * 2;
    // on a busy machine a loop's time may be over before it has a worker
    assert!((1..=loops as u64).contains(&stats.deaths.remove(Reason::Deadline.label()).unwrap_or(0)), "{stats:?}");
    assert_eq!(stats.deaths.values().sum::<u64>() as usize, GOOD - loops, "{stats:?}");
    drop(pool);
    assert_eq!((descriptors(), children()), before);
}

fn fault(round: usize) -> &'static str {
    FAULTS[round % FAULTS.len()]
}

/// One fault and one good job; true where the good one succeeds.
fn pair(pool: &Pool, thread: usize, round: usize) -> bool {
    let fault = fault(round);
    // only the endless loop lasts until then
    let time = if fault == "loop" { Duration::from_millis(50) } else { Duration::from_secs(30) };
    let result = call_pool(pool, fault, &within(time));
    assert!(result.is_err(), "{fault} succeeded");
    let text = format!("{thread}.{round}");
    call_pool(pool, &format!("echo {text}"), &limits()).is_ok_and(|answers| answers == [text.as_bytes()])
}

#[test]
fn kills_under_load_cost_only_the_jobs_of_the_killed() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = pool(2);
    let is_over = AtomicBool::new(false);
    let (is_replaced, jobs) = std::thread::scope(|scope| {
        let callers = [0, 1, 2].map(|_| scope.spawn(|| call_until(&pool, &is_over)));
        let is_replaced = (1..=100).all(|kills| kill_all(&pool, kills));
        is_over.store(true, Ordering::Relaxed);
        let jobs = callers.map(|caller| caller.join().expect("no job fails"));
        (is_replaced, jobs.into_iter().sum::<usize>())
    });
    let stats = pool.stats();
    assert!(is_replaced, "{stats:?}");
    assert!(jobs >= 100, "{jobs} jobs among {stats:?}");
    // and a start that was hit
    assert!(stats.deaths[Reason::Signal(9).label()] + stats.failed_starts >= 100, "{stats:?}");
}

/// Kills all workers and waits for a new one; false where none comes.
fn kill_all(pool: &Pool, kills: u64) -> bool {
    for pid in children() {
        // it may have died meanwhile
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    let end = Instant::now() + Duration::from_secs(20);
    while pool.stats().started <= kills && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    pool.stats().started > kills
}

/// Calls until told otherwise, again where a worker was killed, and gives the number of jobs.
fn call_until(pool: &Pool, is_over: &AtomicBool) -> usize {
    let mut jobs = 0;
    while !is_over.load(Ordering::Relaxed) {
        match call_pool(pool, "echo good", &limits()) {
            Ok(answers) => assert_eq!(answers, [b"good"]),
            Err(CallError::Died(death)) => assert!(death.reason.is_external(), "{death}"),
            // all workers were killed while they started
            Err(CallError::Unavailable(_)) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
        jobs += 1;
    }
    jobs
}

/// Bytes of the memory that this process shares with workers.
fn shared_bytes() -> u64 {
    let entries = std::fs::read_dir("/proc/self/fd").expect("/proc is mounted").flatten().map(|entry| entry.path());
    let is_shared = |path: &std::path::PathBuf| {
        std::fs::read_link(path).is_ok_and(|target| target.to_string_lossy().contains("tintype-job"))
    };
    entries.filter(is_shared).filter_map(|path| std::fs::metadata(path).ok()).map(|metadata| metadata.len()).sum()
}

#[test]
fn shared_memory_is_returned_when_there_are_no_jobs() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pool = pool(1);
    let job = format!("length {}", "x".repeat(8 << 20));
    let length = call_pool(&pool, &job, &limits()).expect("the job is good");
    assert_eq!(length, [(8 << 20).to_string().into_bytes()]);
    assert!(shared_bytes() > 8 << 20);
    let end = Instant::now() + Duration::from_secs(20);
    while shared_bytes() > 1 << 20 {
        assert!(Instant::now() < end, "{} bytes are still there", shared_bytes());
        std::thread::sleep(Duration::from_millis(20));
    }
}
