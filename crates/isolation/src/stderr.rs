//! The worker's standard error: bounded, cut into lines, escaped and passed to the log.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ChildStderr;
use std::sync::Arc;

use rustix::io::Errno;

/// Takes a line of a worker's standard error: its process ID and the escaped line.
pub type Log = Arc<dyn Fn(u32, &str) + Send + Sync>;

/// Bytes that one job may write.
const MAX_BYTES: usize = 64 << 10;
/// Bytes of a line; a longer one is cut into several.
const MAX_LINE: usize = 1 << 10;

/// More was written than [`MAX_BYTES`].
#[derive(Debug)]
pub(crate) struct Flood;

/// The reader of one worker's standard error.
pub(crate) struct Stderr {
    /// `None` once it was closed.
    pipe: Option<OwnedFd>,
    pid: u32,
    log: Log,
    line: Vec<u8>,
    /// The last line of the job, but for hints at how to get a backtrace.
    last: String,
    /// Bytes read since [`Stderr::begin`].
    read: usize,
}

impl Stderr {
    pub(crate) fn new(pipe: ChildStderr, pid: u32, log: Log) -> std::io::Result<Stderr> {
        let pipe = OwnedFd::from(pipe);
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(Stderr { pipe: Some(pipe), pid, log, line: Vec::new(), last: String::new(), read: 0 })
    }

    /// A job begins, with its own bound.
    pub(crate) fn begin(&mut self) {
        self.read = 0;
        self.last.clear();
    }

    /// The pipe to poll.
    pub(crate) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Passes on what is there, without waiting.
    pub(crate) fn drain(&mut self) -> Result<(), Flood> {
        let mut buffer = [0; 4096];
        while let Some(pipe) = &self.pipe {
            match rustix::io::read(pipe, &mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => self.take(&buffer[..count])?,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.pipe = None,
            }
        }
        Ok(())
    }

    /// Passes on the rest after the process has ended, and gives the last line of the job. A flood is cut off.
    pub(crate) fn end(&mut self) -> &str {
        let _ = self.drain();
        self.flush();
        &self.last
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Flood> {
        self.read += bytes.len();
        if self.read > MAX_BYTES {
            return Err(Flood);
        }
        for &byte in bytes {
            match byte {
                b'\n' => self.flush(),
                byte => self.line.push(byte),
            }
            if self.line.len() == MAX_LINE {
                self.flush();
            }
        }
        Ok(())
    }

    fn flush(&mut self) {
        if self.line.is_empty() {
            return;
        }
        // control characters could forge lines of the log or move a terminal's cursor
        let line = String::from_utf8_lossy(&self.line).escape_debug().to_string();
        self.line.clear();
        (self.log)(self.pid, &line);
        if !line.starts_with("note: ") {
            self.last = line;
        }
    }
}
