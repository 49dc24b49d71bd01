//! All lines of the log on their way to standard error, which may be slow or not read at all: gathered, and written many at a
//! time by a thread of their own.
//!
//! Pushing a line never waits for the file. Lines that it does not take in time are dropped and counted, and the number is
//! written where the lines would have been.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So much is written at once, without waiting for more.
const ENOUGH: usize = 128 * 1024;

/// The most that waits: a tenth of a second of lines at a hundred thousand requests a second.
const MOST: usize = 4 * 1024 * 1024;

/// How old a line of the access log gets here.
const LINGER: Duration = Duration::from_millis(200);

/// How long a file that takes nothing at present is left alone before it is tried again.
const PAUSE: Duration = Duration::from_millis(10);

/// Writes the lines of the log without ever blocking the caller.
///
/// As an [`io::Write`](std::io::Write), which is how `tracing` uses it, it takes one whole line, or several, at each call.
pub struct LogWriter(Arc<Shared>);

struct Shared {
    lines: Mutex<Lines>,
    /// Lines that were dropped since the start.
    dropped: AtomicU64,
    /// There is something to do for the thread.
    more: Condvar,
    /// It has done something.
    done: Condvar,
}

#[derive(Default)]
struct Lines {
    waiting: Vec<u8>,
    /// How many were dropped since that was last written down.
    lost: u64,
    /// Whether some are being written.
    writing: bool,
    /// Whether the thread sleeps until there is a line.
    idle: bool,
    /// Whether one of them is to be written without waiting for more.
    urgent: bool,
    /// How many wait for everything to be written.
    hurried: usize,
    ending: bool,
}

impl Lines {
    /// Whether the thread has a reason not to wait for more lines.
    fn are_due(&self) -> bool {
        self.waiting.len() >= ENOUGH || self.urgent || self.hurried > 0 || self.ending
    }
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_lines(&self, lines: &mut Lines, count: u64) {
        lines.lost += count;
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }
}

impl LogWriter {
    /// Writes to standard error; `loss` formats the line that says how many were dropped.
    ///
    /// # Errors
    /// If the thread cannot be started, or standard error is closed.
    pub(super) fn stderr(loss: fn(u64) -> Vec<u8>) -> std::io::Result<LogWriter> {
        // a descriptor of its own: the lock of `std::io::stderr` would be held while the write blocks, and block other
        // writers that could give up
        let stderr = File::from(std::io::stderr().as_fd().try_clone_to_owned()?);
        LogWriter::start(Box::new(stderr), loss)
    }

    fn start(mut out: Box<dyn Write + Send>, loss: fn(u64) -> Vec<u8>) -> std::io::Result<LogWriter> {
        let shared = Arc::new(Shared {
            lines: Mutex::default(),
            dropped: AtomicU64::new(0),
            more: Condvar::new(),
            done: Condvar::new(),
        });
        let writer = LogWriter(Arc::clone(&shared));
        let work = move || {
            let mut batch = Vec::new();
            while let Some(lost) = shared.take(&mut batch) {
                if lost > 0 {
                    batch.extend(loss(lost));
                }
                let failed = write_all(&mut out, &batch).is_err();
                let mut lines = shared.lines();
                if failed {
                    // as many as there were in it at most; what is left of one is at least ended by the next. The line
                    // about losses is none of them
                    let count = memchr::memchr_iter(b'\n', &batch).count() as u64 - u64::from(lost > 0);
                    shared.drop_lines(&mut lines, count);
                    lines.lost += lost;
                }
                lines.writing = false;
                drop(lines);
                shared.done.notify_all();
            }
        };
        std::thread::Builder::new().name("log".into()).spawn(work)?;
        Ok(writer)
    }

    /// Hands in one line, its end included. It may wait for others for [`LINGER`].
    pub(super) fn push(&self, line: &[u8]) {
        self.hand_in(line, false);
    }

    /// Hands in one line that is written without waiting for others.
    pub fn push_now(&self, line: &[u8]) {
        self.hand_in(line, true);
    }

    fn hand_in(&self, line: &[u8], urgent: bool) {
        let mut lines = self.0.lines();
        if lines.waiting.len() + line.len() > MOST {
            self.0.drop_lines(&mut lines, 1);
            return;
        }
        let was_due = lines.are_due();
        lines.waiting.extend_from_slice(line);
        lines.urgent |= urgent;
        let became_due = !was_due && lines.are_due();
        let wakes = std::mem::take(&mut lines.idle) || became_due;
        drop(lines);
        if wakes {
            self.0.more.notify_one();
        }
    }

    /// Waits until everything that was handed in is written, at most for that long.
    pub fn flush(&self, patience: Duration) {
        let mut lines = self.0.lines();
        lines.hurried += 1;
        self.0.more.notify_one();
        let waited =
            self.0.done.wait_timeout_while(lines, patience, |lines| lines.writing || !lines.waiting.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.hurried -= 1;
    }

    /// How many lines were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

impl Write for &LogWriter {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.push_now(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.0.lines().ending = true;
        self.0.more.notify_one();
    }
}

impl Shared {
    /// Waits for lines and puts them in the place of what is in `batch`; how many were lost beside them, or `None` at the
    /// end.
    fn take(&self, batch: &mut Vec<u8>) -> Option<u64> {
        batch.clear();
        let mut lines = self.lines();
        // while there are lines all the time, each batch wakes the thread once; it sleeps for good only when there are none
        loop {
            let early = |lines: &mut Lines| !lines.are_due();
            lines = self.more.wait_timeout_while(lines, LINGER, early).unwrap_or_else(PoisonError::into_inner).0;
            if !lines.waiting.is_empty() || lines.ending {
                break;
            }
            lines.idle = true;
            let idle = |lines: &mut Lines| lines.idle && !lines.ending;
            lines = self.more.wait_while(lines, idle).unwrap_or_else(PoisonError::into_inner);
        }
        lines.idle = false;
        lines.urgent = false;
        // where the file fails, what was lost is no reason to go on for ever
        if lines.waiting.is_empty() {
            return None;
        }
        std::mem::swap(&mut lines.waiting, batch);
        lines.writing = true;
        Some(std::mem::take(&mut lines.lost))
    }
}

/// Writes all of it. Another program may have made the file non-blocking for everyone who has it open; then it is tried again.
fn write_all(out: &mut dyn Write, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Takes nothing until it is let.
    struct Slow {
        let_in: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            // once the other end is gone, everything is taken
            let _ = self.let_in.recv();
            self.written.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn start() -> (LogWriter, SyncSender<()>, Arc<Mutex<Vec<u8>>>) {
        let (open, let_in) = sync_channel(0);
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let slow = Slow { let_in, written: Arc::clone(&written) };
        let loss = |lines: u64| format!("lost {lines}\n").into_bytes();
        (LogWriter::start(Box::new(slow), loss).expect("a thread"), open, written)
    }

    #[test]
    fn all_lines_are_written_in_order() {
        let (writer, open, written) = start();
        drop(open);
        let lines: Vec<String> = (0..50_000).map(|number| format!("line {number}\n")).collect();
        for line in &lines {
            writer.push(line.as_bytes());
        }
        writer.flush(LONG);
        assert_eq!(*written.lock().expect("no panic"), lines.concat().into_bytes());
        // nothing is waited for where there is nothing
        writer.flush(LONG);
        writer.push(b"last\n");
        drop(writer);
    }

    #[test]
    fn nobody_waits_for_a_file_that_takes_nothing_and_what_is_lost_is_said() {
        let (writer, open, written) = start();
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        let pushed = 3 * MOST / line.len();
        for _ in 0..pushed {
            writer.push(&line);
        }
        writer.flush(Duration::from_millis(1));
        assert!(written.lock().expect("no panic").is_empty());
        drop(open);
        writer.flush(LONG);
        let written = String::from_utf8(written.lock().expect("no panic").clone()).expect("ASCII");
        let (lost, kept): (Vec<&str>, Vec<&str>) = written.lines().partition(|line| line.starts_with("lost "));
        let lost: usize = lost.iter().map(|line| line[5..].parse::<usize>().expect("a number")).sum();
        assert_eq!(kept.len() + lost, pushed);
        assert!(kept.len() * line.len() >= MOST - line.len() && lost > 0, "{} {lost}", kept.len());
    }

    #[test]
    fn lines_do_not_wait_for_others() {
        let (writer, open, written) = start();
        drop(open);
        writer.push(b"alone\n");
        let begun = std::time::Instant::now();
        while written.lock().expect("no panic").is_empty() {
            assert!(begun.elapsed() < LONG, "it is never written");
            std::thread::yield_now();
        }
    }
}
