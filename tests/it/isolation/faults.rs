//! The built program with originals that make its workers misbehave (debug builds read them), and with workers that are
//! killed.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::ISOLATED;
use crate::common::{Server, folder, poll, testdata};

const FAULTS: [&str; 11] =
    ["abort", "overflow", "loop", "chatter", "allocate", "open", "connect", "fork", "exec", "huge", "garbage"];

/// A folder with photographs, and an original for each fault.
fn originals() -> tempfile::TempDir {
    let root = folder();
    for name in ["photos/retina.jpg", "photos/large-12mp.jpg", "photos/rocket.jpg", "generated/alpha.png"] {
        let file = name.rsplit('/').next().expect("a name");
        std::fs::copy(testdata().join(name), root.path().join(file)).expect("a copy");
    }
    root
}

/// The worker processes of a server.
fn workers(server: &Server) -> BTreeSet<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    children.flat_map(|all| all.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Whether a process runs at present, rather than waits.
fn is_running(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|fields| fields.starts_with('R'))
}

#[test]
fn faults_of_codecs_cost_their_own_requests_alone() {
    if !cfg!(debug_assertions) {
        return;
    }
    let (root, cache) = (originals(), folder());
    for round in 0..5 {
        for fault in FAULTS {
            std::fs::write(root.path().join(format!("{fault}-{round}.jpg")), format!("tintype-fault:{fault}"))
                .expect("a file");
        }
    }
    let settings = [("TINTYPE_LIMITS_DEADLINE", "2s"), ("TINTYPE_SECURITY_ISOLATION", "on")];
    let mut server = Server::start_with(root.path(), cache.path(), "127.0.0.1:0", &settings);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let (round, fault) = (number / FAULTS.len(), FAULTS[number % FAULTS.len()]);
                    if round == 5 {
                        return;
                    }
                    let bad = server.get(&format!("/{fault}-{round}.jpg?w=10"), &[]);
                    let expected = if matches!(fault, "loop" | "chatter") { 504 } else { 422 };
                    assert_eq!(bad.status, expected, "{fault}: {}", bad.text());
                    let good = server.get(&format!("/retina.jpg?w={}", 100 + number), &[]);
                    assert_eq!(good.status, 200, "after {fault}: {}", good.text());
                }
            });
        }
    });
    assert!(!server.has_ended());
    let log = server.log();
    assert!(log.contains("a render worker died"), "{log}");
    // the last one is killed a moment after its answer
    for sample in ["{reason=\"forbidden_call\"} 20", "{reason=\"deadline\"} 10", "{reason=\"protocol\"} 5"] {
        let sample = format!("tintype_worker_deaths_total{sample}");
        poll(&sample, || server.get("/-/metrics", &[]).text().contains(&sample).then_some(()));
    }
}

#[test]
fn original_that_crashes_three_times_is_refused() {
    if !cfg!(debug_assertions) {
        return;
    }
    let (root, cache) = (originals(), folder());
    std::fs::write(root.path().join("bad.jpg"), "tintype-fault:abort").expect("a file");
    let server = Server::start_with(root.path(), cache.path(), "127.0.0.1:0", &[ISOLATED]);
    for width in 1..=3 {
        assert!(server.get(&format!("/bad.jpg?w={width}"), &[]).text().contains("the render crashed"));
        // a failure is remembered
        assert!(server.get(&format!("/bad.jpg?w={width}"), &[]).text().contains("the render crashed"));
    }
    assert_eq!(server.metric("tintype_renders_total"), 0.0);
    let started = server.metric("tintype_workers_started_total");
    let refused = server.get("/bad.jpg?w=4", &[]);
    refused.assert_problem(422);
    assert!(refused.text().contains("refused for an hour"), "{}", refused.text());
    server.wait_for("tintype_workers_started_total", started);
    // another version is another original
    std::fs::copy(testdata().join("photos/retina.jpg"), root.path().join("bad.jpg")).expect("a copy");
    assert_eq!(server.get("/bad.jpg?w=4", &[]).status, 200);
}

#[test]
fn killed_workers_fail_no_request() {
    let (root, cache) = (originals(), folder());
    let server = Server::start_with(root.path(), cache.path(), "127.0.0.1:0", &[ISOLATED]);
    let is_over = AtomicBool::new(false);
    // answers to each client
    let answered = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let counts = || answered.each_ref().map(|count| count.load(Ordering::Relaxed));
    let failures = Mutex::new(Vec::new());
    let mut kills = 0;
    std::thread::scope(|scope| {
        for (client, count) in answered.iter().enumerate() {
            let (server, is_over) = (&server, &is_over);
            let failures = &failures;
            scope.spawn(move || {
                let mut width = 200;
                while !is_over.load(Ordering::Relaxed) {
                    width += 1;
                    let answer = server.get(&format!("/rocket.jpg?w={width}&q={}", 50 + client), &[]);
                    if answer.status != 200 {
                        failures.lock().expect("no panic").push(answer.text());
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            // one that is at work, so that its job is tried again
            if let Some(pid) = workers(&server).into_iter().find(|pid| is_running(*pid)).and_then(Pid::from_raw) {
                // it may have ended
                kills += usize::from(kill_process(pid, Signal::KILL).is_ok());
                let before = counts();
                // no retry is killed: a render of each client begins after this kill and ends before the next
                let are_done = || (0..2).all(|client| counts()[client] >= before[client] + 2);
                poll("answers after a kill", || are_done().then_some(()));
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    println!("{:?} answers, {kills} kills", counts());
    assert_eq!(failures.into_inner().expect("no panic"), Vec::<String>::new());
    assert!(kills > 5, "{kills}");
    // some were killed while they started, and are no deaths
    server.wait_for("tintype_worker_deaths_total{reason=\"signal\"}", 5.0);
}

#[test]
fn encoder_is_stopped_at_the_deadline() {
    let (root, cache) = (originals(), folder());
    let settings = [ISOLATED, ("TINTYPE_LIMITS_DEADLINE", "2s"), ("TINTYPE_OUTPUT_EFFORT", "dense")];
    let server = Server::start_with(root.path(), cache.path(), "127.0.0.1:0", &settings);
    let started = Instant::now();
    let answer = server.get("/large-12mp.jpg?w=2400&format=avif", &[]);
    assert_eq!(answer.status, 504, "{}", answer.text());
    let answered = started.elapsed();
    poll("an idle core", || {
        (server.metric("tintype_workers_busy") == 0.0 && !workers(&server).into_iter().any(is_running)).then_some(())
    });
    let free = started.elapsed();
    println!("answered after {answered:?}, free after {free:?}");
    assert!(free < Duration::from_secs(4), "{free:?}");
    assert_eq!(server.get("/rocket.jpg?w=40&format=webp", &[]).status, 200);
}
