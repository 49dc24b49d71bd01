//! The worker's side: its `main` is [`serve`].

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::stdio::{stdin, stdout};

use crate::frame::{self, HEADER, Kind};
use crate::lock_down::{LockDown, LockDownError, lock_down};
use crate::shared_memory::{self, Span};

/// Why a worker ends.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The socket failed, or the work.
    #[error("worker: {0}")]
    Io(#[from] io::Error),
    /// It cannot be locked down.
    #[error("worker: {0}")]
    LockDown(#[from] LockDownError),
    /// Standard input is no socket of a parent, or the parent is of another version.
    #[error("worker: this command is for the service itself: standard input has to be its socket")]
    NoParent,
}

/// Serves jobs on standard input until the parent closes it; standard output is the shared memory. `warm_up` runs before the lock-down, and has to do everything
/// that opens files or starts to be lazy later; then `work` is called for each job.
///
/// # Errors
///
/// Where standard input is not the socket of a parent, this process cannot be locked down, or `work` fails.
pub fn serve(
    warm_up: impl FnOnce(), mut work: impl FnMut(Received, &Canceller, &mut Answers) -> io::Result<()>,
) -> Result<(), ServeError> {
    let Some((Kind::Start, wanted)) = receive().map_err(|_| ServeError::NoParent)? else {
        return Err(ServeError::NoParent);
    };
    let wanted = LockDown::decode(&wanted.bytes).ok_or(ServeError::NoParent)?;
    warm_up();
    let report = lock_down(&wanted)?;
    Answers::default().flush(Kind::Ready, &[&report.encode()])?;
    while let Some((kind, received)) = receive()? {
        match kind {
            Kind::Job => {
                let mut answers = Answers::default();
                work(received, &Canceller::new(), &mut answers)?;
                answers.flush(Kind::Done, &[])?;
            }
            // of the job before, which had ended
            Kind::Cancel => {}
            _ => return Err(ServeError::NoParent),
        }
    }
    Ok(())
}

/// A job as it was received.
pub struct Received {
    bytes: Vec<u8>,
}

impl Received {
    /// The job's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The job's bytes, for a job that needs them as its own.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Where the answers to a job go.
#[derive(Default)]
pub struct Answers {
    /// Bytes of the shared memory that have answers in them.
    used: usize,
    /// The last frame, which is sent with the one after it: each message wakes the parent.
    pending: Vec<u8>,
}

impl Answers {
    /// Sends an answer, made of those parts, at the latest with the next one or the end of the job.
    ///
    /// # Errors
    ///
    /// Where it is longer than 4 GiB or the parent is gone.
    pub fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let length = parts.iter().map(|part| part.len()).sum();
        match Span::after(self.used, length) {
            Some(span) => {
                shared_memory::write(stdout(), parts, span)?;
                self.used = span.end();
                self.keep(Kind::SharedAnswer, &[&span.encode()])
            }
            None if length <= shared_memory::SMALL => self.keep(Kind::Answer, parts),
            None => self.flush(Kind::Answer, parts),
        }
    }

    fn keep(&mut self, kind: Kind, parts: &[&[u8]]) -> io::Result<()> {
        if !self.pending.is_empty() {
            write_all(&[&self.pending])?;
            self.pending.clear();
        }
        self.pending.extend(header(kind, parts)?);
        parts.iter().for_each(|part| self.pending.extend_from_slice(part));
        Ok(())
    }

    /// Sends what is kept, and a frame behind it.
    fn flush(&mut self, kind: Kind, parts: &[&[u8]]) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let header = header(kind, parts)?;
        let all: Vec<&[u8]> = [pending.as_slice(), &header].into_iter().chain(parts.iter().copied()).collect();
        write_all(&all)
    }
}

/// Time between two looks at the socket.
const CHECK: Duration = Duration::from_millis(1);

/// Says whether the parent has cancelled the job. It can be asked often: it looks at the socket once a millisecond.
pub struct Canceller {
    started: Instant,
    /// Nanoseconds since `started`.
    next: AtomicU64,
    is_cancelled: AtomicBool,
}

impl Canceller {
    fn new() -> Canceller {
        let first = CHECK.as_nanos() as u64;
        Canceller { started: Instant::now(), next: AtomicU64::new(first), is_cancelled: AtomicBool::new(false) }
    }

    /// Whether the job's result is not needed any more.
    pub fn is_cancelled(&self) -> bool {
        let now = self.started.elapsed().as_nanos() as u64;
        if now >= self.next.load(Ordering::Relaxed) {
            self.next.store(now + CHECK.as_nanos() as u64, Ordering::Relaxed);
            if has_message() {
                self.is_cancelled.store(true, Ordering::Relaxed);
            }
        }
        self.is_cancelled.load(Ordering::Relaxed)
    }
}

/// During a job the parent sends a cancellation alone; the end of the parent counts as one.
fn has_message() -> bool {
    let mut byte = [0];
    rustix::net::recv(stdin(), &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) != Err(Errno::AGAIN)
}

/// The next frame; `None` at the end of the socket. A job in the shared memory is read from there.
fn receive() -> io::Result<Option<(Kind, Received)>> {
    let mut header = [0; HEADER];
    let count = rustix::io::retry_on_intr(|| rustix::io::read(stdin(), &mut header))?;
    if count == 0 {
        return Ok(None);
    }
    read_exact(&mut header[count..])?;
    let (kind, length) = frame::decode(header).ok_or(io::ErrorKind::InvalidData)?;
    let mut bytes = vec![0; length];
    read_exact(&mut bytes)?;
    if kind != Kind::SharedJob {
        return Ok(Some((kind, Received { bytes })));
    }
    let span = Span::decode(&bytes).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Some((Kind::Job, Received { bytes: shared_memory::read(stdout(), span)? })))
}

fn read_exact(mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match rustix::io::retry_on_intr(|| rustix::io::read(stdin(), &mut *buffer))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => buffer = &mut buffer[count..],
        }
    }
    Ok(())
}

fn header(kind: Kind, parts: &[&[u8]]) -> io::Result<[u8; HEADER]> {
    let length = parts.iter().map(|part| part.len()).sum();
    frame::encode(kind, length).ok_or(io::ErrorKind::FileTooLarge.into())
}

fn write_all(parts: &[&[u8]]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut rest = slices.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        // with a parent that is gone, this is EPIPE: Rust ignores SIGPIPE
        let count = rustix::io::retry_on_intr(|| rustix::io::writev(stdin(), rest))?;
        IoSlice::advance_slices(&mut rest, count);
    }
    Ok(())
}
