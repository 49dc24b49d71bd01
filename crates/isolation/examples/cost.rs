//! The cost of isolation: `cargo run --release -p tintype-isolation --example cost`.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tintype_isolation::{
    Answers, CallError, Canceller, GRACE, Job, Limits, LockDown, Pool, PoolConfig, Program, Received, Worker, serve,
};

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        Some("worker") => serve(|| {}, work).map_err(Into::into),
        _ => measure(),
    };
    if let Err(error) = result {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn work(job: Received, canceller: &Canceller, answers: &mut Answers) -> std::io::Result<()> {
    match job.bytes() {
        b"abort" => std::process::abort(),
        b"loop" => loop {
            std::hint::spin_loop();
        },
        b"cancel" => {
            let started = Instant::now();
            let cancelled = (0..1_000_000).filter(|_| canceller.is_cancelled()).count();
            let time = started.elapsed();
            assert_eq!(cancelled, 0);
            answers.send(&[&(time.as_nanos() as u64).to_le_bytes()])
        }
        b"" => Ok(()),
        bytes => answers.send(&[bytes]),
    }
}

fn program() -> Program {
    Program::this("cost-worker", ["worker"])
}

fn start() -> Result<Worker, tintype_isolation::StartError> {
    Worker::start(&program(), &LockDown::default(), Duration::from_secs(10), Arc::new(|_, _| {}))
}

fn limits() -> Limits {
    let deadline = Instant::now() + Duration::from_secs(10);
    Limits { deadline, grace: GRACE, memory: 256 << 20, answers: 1, answer_bytes: 64 << 20 }
}

fn call(worker: &mut Worker, job: &Job<'_>) -> Result<Vec<u8>, CallError> {
    let mut answer = Vec::new();
    let mut caller = |bytes| {
        answer = bytes;
        ControlFlow::Continue(())
    };
    worker.call(job, &limits(), &mut caller).map(|()| answer)
}

fn measure() -> Result<(), Box<dyn std::error::Error>> {
    let mut worker = start()?;
    println!("layers: {}", worker.report());
    time("round trip of an empty job", 20_000, || call(&mut worker, &Job::new(&[])))?;
    for (name, length) in [("32 kB", 32 << 10), ("1 MB", 1 << 20), ("36 MB", 36 << 20)] {
        let data = vec![7; length];
        let count = (2_000_000_000 / length / 10).clamp(20, 2000);
        time(&format!("{name}, there and back"), count, || call(&mut worker, &Job::new(&[&data])))?;
    }
    let answer = call(&mut worker, &Job::new(&[b"cancel"]))?;
    let nanoseconds = u64::from_le_bytes(answer.try_into().map_err(|_| "the answer has eight bytes")?);
    println!("{:40} {:.1} ns", "a look at whether the job is cancelled", nanoseconds as f64 / 1e6);
    print_memory(worker.pid())?;
    drop(worker);

    time("start until ready", 300, start)?;
    let mut running = (0..100).map(|_| start()).collect::<Result<Vec<_>, _>>()?;
    time("kill and wait", 100, || {
        drop(running.pop());
        Ok::<_, CallError>(())
    })?;
    time("endless loop: beyond deadline and grace", 30, || {
        let mut worker = start()?;
        let deadline = Instant::now();
        worker.call(&Job::new(&[b"loop"]), &Limits { deadline, ..limits() }, &mut |_| ControlFlow::Continue(())).err();
        Ok::<_, tintype_isolation::StartError>(())
    })?;
    measure_pool()
}

fn measure_pool() -> Result<(), Box<dyn std::error::Error>> {
    let pool = Pool::start(PoolConfig {
        workers: 1,
        program: program(),
        lock_down: LockDown::default(),
        start_timeout: Duration::from_secs(10),
        max_jobs: u64::MAX,
        max_growth: u64::MAX,
        log: Arc::new(|_, _| {}),
    })?;
    let mut take = |_| ControlFlow::Continue(());
    time("pool: abort, and an answer from the next", 300, || {
        pool.call(&Job::new(&[b"abort"]), &limits(), &mut take).err();
        pool.call(&Job::new(&[]), &limits(), &mut take)
    })
}

/// Median and 99th percentile of many runs.
fn time<T, E: Into<Box<dyn std::error::Error>>>(
    what: &str, count: usize, mut run: impl FnMut() -> Result<T, E>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        let result = run().map_err(Into::into)?;
        times.push(started.elapsed());
        drop(result);
    }
    times.sort_unstable();
    println!("{what:40} {:>10.1?} p50 {:>10.1?} p99", times[count / 2], times[count * 99 / 100]);
    Ok(())
}

fn print_memory(pid: u32) -> std::io::Result<()> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: Vec<u64> = statm.split(' ').filter_map(|number| number.parse().ok()).collect();
    let megabytes = |pages: u64| (pages * rustix::param::page_size() as u64) as f64 / 1e6;
    println!("memory: {:.1} MB resident, {:.1} MB of its own", megabytes(pages[1]), megabytes(pages[1] - pages[2]));
    Ok(())
}
