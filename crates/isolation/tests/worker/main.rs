//! A worker for the tests: each job names an action, good or bad.

#![allow(missing_docs, unsafe_code)] // raw system calls are what the tests are about

use std::hint::black_box;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::stdio::stdin;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use tintype_isolation::{Answers, Canceller, GRACE, Job, Limits, LockDown, Program, Received, Worker, serve};

fn main() -> ExitCode {
    let argument = std::env::args().nth(1).unwrap_or_default();
    if argument == "parent" {
        return parent();
    }
    let warm_up = || match argument.as_str() {
        "slow" => std::thread::sleep(Duration::from_secs(60)),
        "threads" => drop(std::thread::spawn(|| std::thread::sleep(Duration::from_secs(60)))),
        "old-kernel" => forbid_layers().expect("this kernel has seccomp"),
        _ => {}
    };
    match serve(warm_up, work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// As a service manager's filter does that does not know the layers: their calls fail with `EPERM`.
fn forbid_layers() -> Result<(), seccompiler::Error> {
    let calls = [libc::SYS_landlock_create_ruleset, libc::SYS_landlock_restrict_self, libc::SYS_seccomp];
    let rules = calls.map(|number| (number, Vec::new())).into_iter().collect();
    let refusal = SeccompAction::Errno(libc::EPERM as u32);
    let arch = std::env::consts::ARCH.try_into()?;
    let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, refusal, arch)?.try_into()?;
    seccompiler::apply_filter(&program)
}

/// Starts a worker of its own, prints its process ID and keeps it in an endless loop.
fn parent() -> ExitCode {
    let program = Program::this("isolation-test-worker", [""; 0]);
    let minute = Duration::from_secs(60);
    let mut worker = Worker::start(&program, &LockDown::default(), minute, Arc::new(|_, _| {})).expect("it starts");
    println!("{}", worker.pid());
    let limits =
        Limits { deadline: Instant::now() + minute, grace: GRACE, memory: 1 << 20, answers: 1, answer_bytes: 1 };
    let _ = worker.call(&Job::new(&[b"loop"]), &limits, &mut |_| ControlFlow::Continue(()));
    ExitCode::SUCCESS
}

fn work(job: Received, canceller: &Canceller, answers: &mut Answers) -> io::Result<()> {
    let (action, data) =
        job.bytes().split_at(job.bytes().iter().position(|&byte| byte == b' ').unwrap_or(job.bytes().len()));
    let data = data.get(1..).unwrap_or_default();
    match std::str::from_utf8(action).unwrap_or_default() {
        "echo" => return answers.send(&[data]),
        "repeat" => {
            for part in data.chunks(1) {
                answers.send(&[part])?;
            }
        }
        "environment" => {
            for (name, value) in std::env::vars() {
                answers.send(&[name.as_bytes(), b"=", value.as_bytes()])?;
            }
        }
        "until-cancelled" => {
            let mut asked: u64 = 0;
            while !canceller.is_cancelled() {
                asked = black_box(asked + 1);
            }
            // an answer that nobody waits for
            return answers.send(&[b"cancelled"]);
        }
        "allocate" => {
            let bytes = number(data);
            answers.send(&[&allocate(bytes).to_le_bytes()])?;
        }
        "try-allocate" => {
            let mut buffer: Vec<u8> = Vec::new();
            let result = buffer.try_reserve_exact(number(data));
            return answers.send(&[if result.is_ok() { b"granted" } else { b"refused" }]);
        }
        "sort" => {
            // glibc's qsort asks for the size of memory
            let mut numbers: Vec<u32> = (0..100_000).rev().collect();
            // SAFETY: the array has that many elements of that size, and the function compares two of them
            unsafe { libc::qsort(numbers.as_mut_ptr().cast(), numbers.len(), 4, Some(compare)) };
            assert!(numbers.is_sorted(), "qsort sorts");
            return answers.send(&[b"sorted"]);
        }
        "query" => {
            // queries that libraries make
            let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
            let metadata = std::fs::metadata("/etc/passwd").map(|_| ()).map_err(|error| error.raw_os_error());
            return answers.send(&[format!("{is_terminal} {metadata:?}").as_bytes()]);
        }
        "try-open" => return answers.send(&[outcome(std::fs::File::open("/etc/passwd"), "opened").as_bytes()]),
        "try-connect" => {
            let result = std::net::TcpStream::connect("127.0.0.1:9");
            return answers.send(&[outcome(result, "connected").as_bytes()]);
        }
        "chatter" => {
            while !canceller.is_cancelled() {}
            // empty answers without an end
            loop {
                write(&[5, 0, 0, 0, 0].repeat(8192))?;
            }
        }
        "fill" => {
            let mut offset = 0;
            loop {
                offset += rustix::io::pwrite(rustix::stdio::stdout(), &[1; 65536], offset)? as u64;
            }
        }
        "length" => return answers.send(&[data.len().to_string().as_bytes()]),
        "pid" => return answers.send(&[std::process::id().to_string().as_bytes()]),
        "leak" => {
            let bytes = number(data);
            std::mem::forget(black_box(vec![1_u8; bytes]));
        }
        "print" => eprintln!("{}", String::from_utf8_lossy(data)),
        action => misbehave(action, data, answers)?,
    }
    Ok(())
}

fn misbehave(action: &str, data: &[u8], answers: &mut Answers) -> io::Result<()> {
    match action {
        "abort" => std::process::abort(),
        "panic" => panic!("a panic on demand"),
        "exit" => std::process::exit(3),
        "overflow" => drop(black_box(recurse(0))),
        "null" => {
            // SAFETY: none; this is the fault that the test asks for
            unsafe { black_box(std::ptr::null::<u8>().wrapping_add(8)).read_volatile() };
        }
        "loop" => loop {
            black_box(());
        },
        "open" => drop(std::fs::read("/etc/passwd")),
        "connect" => drop(std::net::TcpStream::connect("127.0.0.1:9")),
        "spawn" => drop(Command::new("/bin/true").spawn()),
        "exec" => drop(Command::new("/bin/true").exec()),
        "thread" => {
            let sum = std::thread::Builder::new().spawn(|| black_box(1) + 1)?.join();
            answers.send(&[format!("{sum:?}").as_bytes()])?;
        }
        "huge" => answers.send(&[&vec![b'x'; 8 << 20]])?,
        "many" => {
            for _ in 0..1000 {
                answers.send(&[])?;
            }
        }
        // a length of 4 GB, and some bytes
        "lie" => write(&[5, 255, 255, 255, 255, 1, 2, 3])?,
        // a length within the limit, and fewer bytes
        "short" => {
            write(&[5, 100, 0, 0, 0, 1, 2, 3])?;
            std::process::exit(0);
        }
        "garbage" => write(&[b'G'; 4096])?,
        // done, and then an answer to the job that comes next
        "early" => write(&[6, 0, 0, 0, 0, 5, 4, 0, 0, 0, b'e', b'v', b'i', b'l'])?,
        "ready" => write(&[2, 0, 0, 0, 0])?,
        "close" => {
            // SAFETY: the descriptor is not used after this
            unsafe { libc::close(0) };
            std::thread::sleep(Duration::from_secs(60));
        }
        "flood" => loop {
            eprintln!("{}", "flood ".repeat(100));
        },
        "call" => call(data),
        _ => answers.send(&[b"unknown action"])?,
    }
    Ok(())
}

/// Any system call: its number and arguments in decimal. Pointers are null, so that none of them has an effect.
fn call(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut numbers = text.split(' ').map(|number| number.parse::<i64>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    // SAFETY: the tests name calls that the filter kills, and that would fail by their arguments
    unsafe { libc::syscall(next(), next(), next(), next(), next(), next(), next()) };
}

fn write(bytes: &[u8]) -> io::Result<()> {
    rustix::io::write(stdin(), bytes)?;
    Ok(())
}

fn outcome<T>(result: io::Result<T>, done: &str) -> String {
    result.map_or_else(|error| error.kind().to_string(), |_| done.to_owned())
}

fn number(data: &[u8]) -> usize {
    String::from_utf8_lossy(data).parse().unwrap_or(0)
}

/// Allocates and touches memory.
fn allocate(bytes: usize) -> u64 {
    let mut buffer = vec![1_u8; bytes];
    black_box(&mut buffer).iter().map(|&byte| u64::from(byte)).sum()
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    let frame = [depth; 64];
    black_box(frame)[0] + recurse(depth + 1) + black_box(frame)[1]
}

unsafe extern "C" fn compare(a: *const libc::c_void, b: *const libc::c_void) -> libc::c_int {
    // SAFETY: qsort passes pointers to two elements
    let (a, b) = unsafe { (*a.cast::<u32>(), *b.cast::<u32>()) };
    a.cmp(&b) as libc::c_int
}
