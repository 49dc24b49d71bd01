//! Writes the log to standard error, which may be slow or not read at all: a thread writes many lines at a time.
//!
//! Pushing a line never waits for the file. Lines that do not fit into the buffer are dropped and counted, and their number
//! is logged in their place.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::sync;

/// Buffered bytes that are written without waiting for more lines.
const BATCH_BYTES: usize = 128 * 1024;

/// Buffered bytes at most: a tenth of a second of lines at a hundred thousand requests per second.
const MAX_BUFFERED_BYTES: usize = 4 * 1024 * 1024;

/// How long a line of the access log may wait for more.
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);

/// The time between two attempts to write to a non-blocking file that is full.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// The writer of the log, which never blocks its callers.
///
/// As an [`io::Write`](std::io::Write), which `tracing` uses, it takes whole lines at each call.
pub struct LogWriter(Arc<Shared>);

struct Shared {
    lines: Mutex<Lines>,
    /// Lines that were dropped since the start.
    dropped: AtomicU64,
    /// Signals the thread that there is work.
    more: Condvar,
    /// Signals that a batch was written.
    done: Condvar,
}

#[derive(Default)]
struct Lines {
    waiting: Vec<u8>,
    /// Lines that were dropped since that was last logged.
    lost: u64,
    /// Whether a batch is being written.
    writing: bool,
    /// Whether the thread waits without a timeout.
    idle: bool,
    /// Whether a line is to be written without waiting for more.
    urgent: bool,
    /// Callers of [`LogWriter::flush`] that wait.
    flushing: usize,
    ending: bool,
}

impl Lines {
    /// Whether the thread does not wait for more lines.
    fn are_due(&self) -> bool {
        self.waiting.len() >= BATCH_BYTES || self.urgent || self.flushing > 0 || self.ending
    }
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        sync::lock(&self.lines)
    }

    fn drop_lines(&self, lines: &mut Lines, count: u64) {
        lines.lost += count;
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }
}

impl LogWriter {
    /// Writes to standard error; `loss` formats the line about dropped lines.
    ///
    /// # Errors
    /// If the thread cannot be started, or standard error is closed.
    pub(super) fn stderr(loss: fn(u64) -> Vec<u8>) -> std::io::Result<LogWriter> {
        // a descriptor of its own: a blocked write would hold the lock of `std::io::stderr`, and block other writers
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
                    // an upper bound: some may have been written. The line about dropped lines does not count
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

    /// Buffers a line with its line feed. It may wait up to [`FLUSH_INTERVAL`] for more.
    pub(super) fn push(&self, line: &[u8]) {
        self.buffer(line, false);
    }

    /// Buffers a line that is written without waiting for more.
    pub fn push_now(&self, line: &[u8]) {
        self.buffer(line, true);
    }

    fn buffer(&self, line: &[u8], urgent: bool) {
        let mut lines = self.0.lines();
        if lines.waiting.len() + line.len() > MAX_BUFFERED_BYTES {
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

    /// Waits until all buffered lines are written, at most for `timeout`.
    pub fn flush(&self, timeout: Duration) {
        let mut lines = self.0.lines();
        lines.flushing += 1;
        self.0.more.notify_one();
        let waited = self.0.done.wait_timeout_while(lines, timeout, |lines| lines.writing || !lines.waiting.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.flushing -= 1;
    }

    /// Lines that were dropped since the start.
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
    /// Waits for lines, and replaces the content of `batch` by them. Returns the number of lines that were dropped, or `None`
    /// at the end.
    fn take(&self, batch: &mut Vec<u8>) -> Option<u64> {
        batch.clear();
        let mut lines = self.lines();
        // while lines keep coming, each batch wakes the thread once; it waits without a timeout only when there are none
        loop {
            let early = |lines: &mut Lines| !lines.are_due();
            lines =
                self.more.wait_timeout_while(lines, FLUSH_INTERVAL, early).unwrap_or_else(PoisonError::into_inner).0;
            if !lines.waiting.is_empty() || lines.ending {
                break;
            }
            lines.idle = true;
            let idle = |lines: &mut Lines| lines.idle && !lines.ending;
            lines = self.more.wait_while(lines, idle).unwrap_or_else(PoisonError::into_inner);
        }
        lines.idle = false;
        lines.urgent = false;
        // dropped lines alone are not written: with a broken file that would never end
        if lines.waiting.is_empty() {
            return None;
        }
        std::mem::swap(&mut lines.waiting, batch);
        lines.writing = true;
        Some(std::mem::take(&mut lines.lost))
    }
}

/// Writes everything, also to a file that another process has made non-blocking.
fn write_all(out: &mut dyn Write, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY_INTERVAL),
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

    /// A file that blocks until it is opened.
    struct Slow {
        open: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            // fails, and so does not block, once the other end is dropped
            let _ = self.open.recv();
            self.written.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn start() -> (LogWriter, SyncSender<()>, Arc<Mutex<Vec<u8>>>) {
        let (opener, open) = sync_channel(0);
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let slow = Slow { open, written: Arc::clone(&written) };
        let loss = |lines: u64| format!("lost {lines}\n").into_bytes();
        (LogWriter::start(Box::new(slow), loss).expect("a thread"), opener, written)
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
        // returns at once if there is nothing
        writer.flush(LONG);
        writer.push(b"last\n");
        drop(writer);
    }

    #[test]
    fn blocked_file_drops_lines_without_blocking() {
        let (writer, open, written) = start();
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        let pushed = 3 * MAX_BUFFERED_BYTES / line.len();
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
        assert!(kept.len() * line.len() >= MAX_BUFFERED_BYTES - line.len() && lost > 0, "{} {lost}", kept.len());
    }

    #[test]
    fn single_line_is_written_after_the_interval() {
        let (writer, open, written) = start();
        drop(open);
        writer.push(b"alone\n");
        let begun = std::time::Instant::now();
        while written.lock().expect("no panic").is_empty() {
            assert!(begun.elapsed() < LONG, "never written");
            std::thread::yield_now();
        }
    }
}
