//! Good jobs and misdeeds mixed: no good one fails, and nothing is left behind.

mod support;

use std::time::Duration;

use support::{call_pool, limits, pool, within};

const GOOD: usize = 1000;
const MISDEEDS: [&str; 14] = [
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

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc is mounted").count()
}

/// Children of this process, zombies included.
fn children() -> usize {
    let own = format!(" {} ", std::process::id());
    let stats = std::fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    // the name in parentheses, the state, the parent
    stats.filter(|stat| stat.rsplit(')').next().is_some_and(|rest| rest[2..].starts_with(&own))).count()
}

#[test]
fn good_jobs_among_misdeeds_all_succeed() {
    let before = (descriptors(), children());
    let pool = pool(2);
    let failed: usize = std::thread::scope(|scope| {
        let threads = [0, 1].map(|thread| {
            let pool = &pool;
            scope.spawn(move || (0..GOOD / 2).filter(|round| !pair(pool, thread, *round)).count())
        });
        threads.into_iter().map(|thread| thread.join().expect("a misdeed does not reach its caller")).sum()
    });
    assert_eq!(failed, 0);
    let stats = pool.stats();
    assert_eq!(stats.deaths.values().sum::<u64>() as usize, GOOD, "{stats:?}");
    drop(pool);
    assert_eq!((descriptors(), children()), before);
}

/// One misdeed and one good job; true where the good one succeeds.
fn pair(pool: &tintype_isolation::Pool, thread: usize, round: usize) -> bool {
    let misdeed = MISDEEDS[round % MISDEEDS.len()];
    // only the endless loop lasts until then
    let time = if misdeed == "loop" { Duration::from_millis(50) } else { Duration::from_secs(10) };
    let result = call_pool(pool, misdeed, &within(time));
    assert!(result.is_err(), "{misdeed} succeeded");
    let text = format!("{thread}.{round}");
    call_pool(pool, &format!("echo {text}"), &limits()).is_ok_and(|answers| answers == [text.as_bytes()])
}
