//! Lines on their way to a file that may be slow: gathered, and written many at a time by a thread of their own.
//!
//! Whoever has a line to write never waits for the file. What it does not take in time is dropped and counted, and the
//! number is written where the lines would have been.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So much is written at once, without waiting for more.
const ENOUGH: usize = 128 * 1024;

/// The most that waits: a tenth of a second of lines at a hundred thousand requests a second.
const MOST: usize = 4 * 1024 * 1024;

/// How old a line gets here.
const LINGER: Duration = Duration::from_millis(200);

/// Where lines are handed in.
pub(super) struct Writer(Arc<Shared>);

struct Shared {
    lines: Mutex<Lines>,
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
    /// How many wait for everything to be written.
    hurried: usize,
    ending: bool,
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Writes to `out`; `loss` is how it is said that so many lines were dropped.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub(super) fn start(mut out: Box<dyn Write + Send>, loss: fn(u64) -> Vec<u8>) -> std::io::Result<Writer> {
        let shared = Arc::new(Shared { lines: Mutex::default(), more: Condvar::new(), done: Condvar::new() });
        let writer = Writer(Arc::clone(&shared));
        let work = move || {
            let mut batch = Vec::new();
            while let Some(lost) = shared.take(&mut batch) {
                if lost > 0 {
                    batch.extend(loss(lost));
                }
                let failed = out.write_all(&batch).and_then(|()| out.flush()).is_err();
                let mut lines = shared.lines();
                if failed {
                    // as many as there were in it at most; what is left of one is at least ended by the next
                    lines.lost += memchr::memchr_iter(b'\n', &batch).count() as u64 + lost;
                }
                lines.writing = false;
                drop(lines);
                shared.done.notify_all();
            }
        };
        std::thread::Builder::new().name("access-log".into()).spawn(work)?;
        Ok(writer)
    }

    /// Hands in one line, its end included.
    pub(super) fn push(&self, line: &[u8]) {
        let mut lines = self.0.lines();
        let before = lines.waiting.len();
        if before + line.len() > MOST {
            lines.lost += 1;
            return;
        }
        lines.waiting.extend_from_slice(line);
        let is_enough = before < ENOUGH && lines.waiting.len() >= ENOUGH;
        let is_due = std::mem::take(&mut lines.idle) || is_enough;
        drop(lines);
        if is_due {
            self.0.more.notify_one();
        }
    }

    /// Waits until everything that was handed in is written, at most for that long.
    pub(super) fn flush(&self, patience: Duration) {
        let mut lines = self.0.lines();
        lines.hurried += 1;
        self.0.more.notify_one();
        let waited =
            self.0.done.wait_timeout_while(lines, patience, |lines| lines.writing || !lines.waiting.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.hurried -= 1;
    }
}

impl Drop for Writer {
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
        let early = |lines: &mut Lines| lines.waiting.len() < ENOUGH && lines.hurried == 0 && !lines.ending;
        let mut lines = self.lines();
        // while there are lines all the time, each batch wakes the thread once; it sleeps for good only when there are none
        loop {
            lines = self.more.wait_timeout_while(lines, LINGER, early).unwrap_or_else(PoisonError::into_inner).0;
            if !lines.waiting.is_empty() || lines.ending {
                break;
            }
            lines.idle = true;
            let idle = |lines: &mut Lines| lines.idle && !lines.ending;
            lines = self.more.wait_while(lines, idle).unwrap_or_else(PoisonError::into_inner);
        }
        lines.idle = false;
        // where the file fails, what was lost is no reason to go on for ever
        if lines.waiting.is_empty() {
            return None;
        }
        std::mem::swap(&mut lines.waiting, batch);
        lines.writing = true;
        Some(std::mem::take(&mut lines.lost))
    }
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

    fn start() -> (Writer, SyncSender<()>, Arc<Mutex<Vec<u8>>>) {
        let (open, let_in) = sync_channel(0);
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let slow = Slow { let_in, written: Arc::clone(&written) };
        let loss = |lines: u64| format!("lost {lines}\n").into_bytes();
        (Writer::start(Box::new(slow), loss).expect("a thread"), open, written)
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
