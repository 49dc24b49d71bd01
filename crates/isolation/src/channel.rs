//! The worker's side: its `main` is [`serve`].

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::stdio::{stderr, stdin, stdout};

use crate::frame::{self, HEADER, Kind};
use crate::lock_down::{LockDown, LockDownError, lock_down};

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

/// Serves jobs on standard input until the parent closes it. `warm_up` runs before the lock-down, and has to do everything
/// that opens files or starts to be lazy later; then `work` is called for each job.
///
/// # Errors
///
/// Where standard input is not the socket of a parent, this process cannot be locked down, or `work` fails.
pub fn serve(
    warm_up: impl FnOnce(), mut work: impl FnMut(&Received, &Canceller, &mut Answers) -> io::Result<()>,
) -> Result<(), ServeError> {
    let Some((Kind::Start, wanted)) = receive().map_err(|_| ServeError::NoParent)? else {
        return Err(ServeError::NoParent);
    };
    let wanted = LockDown::decode(&wanted.bytes).ok_or(ServeError::NoParent)?;
    warm_up();
    let report = lock_down(&wanted)?;
    send(Kind::Ready, &[&report.encode()])?;
    while let Some((kind, received)) = receive()? {
        match kind {
            Kind::Job => {
                work(&received, &Canceller::new(), &mut Answers(()))?;
                drop(received);
                send(Kind::Done, &[])?;
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
    has_file: bool,
}

impl Received {
    /// The job's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether a file came with it.
    pub fn has_file(&self) -> bool {
        self.has_file
    }

    /// The whole content of the file that came with the job; `None` where it is longer than `max`.
    ///
    /// # Errors
    ///
    /// Where no file came, or it cannot be read.
    pub fn read_file(&self, max: u64) -> io::Result<Option<Vec<u8>>> {
        if !self.has_file {
            return Err(io::ErrorKind::NotFound.into());
        }
        let length = u64::try_from(rustix::fs::fstat(stdout())?.st_size).unwrap_or(0);
        let Some(length) = usize::try_from(length).ok().filter(|_| length <= max) else { return Ok(None) };
        let mut content = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self.read_file_at(&mut content[filled..], filled as u64)? {
                // it became shorter
                0 => break,
                count => filled += count,
            }
        }
        content.truncate(filled);
        Ok(Some(content))
    }

    /// Reads a part of the file.
    ///
    /// # Errors
    ///
    /// Where no file came, or it cannot be read.
    pub fn read_file_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if !self.has_file {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(rustix::io::retry_on_intr(|| rustix::io::pread(stdout(), &mut *buffer, offset))?)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        // the file is not held open until the next job
        if self.has_file {
            let _ = rustix::stdio::dup2_stdout(stderr());
        }
    }
}

/// Where the answers to a job go.
pub struct Answers(());

impl Answers {
    /// Sends an answer, made of those parts.
    ///
    /// # Errors
    ///
    /// Where it is longer than 4 GiB or the parent is gone.
    pub fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        send(Kind::Answer, parts)
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

/// The next frame; `None` at the end of the socket.
fn receive() -> io::Result<Option<(Kind, Received)>> {
    let mut header = [0; HEADER];
    let (count, file) = receive_header(&mut header)?;
    if count == 0 {
        return Ok(None);
    }
    read_exact(&mut header[count..])?;
    let (kind, length) = frame::decode(header).ok_or(io::ErrorKind::InvalidData)?;
    let mut bytes = vec![0; length];
    read_exact(&mut bytes)?;
    let has_file = file.is_some();
    if let Some(file) = file {
        // where the filter allows to read
        rustix::stdio::dup2_stdout(&file)?;
    }
    Ok(Some((kind, Received { bytes, has_file })))
}

/// The first bytes of a frame, with which its file comes.
fn receive_header(header: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(stdin(), &mut [IoSliceMut::new(header)], &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    let files = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    Ok((received.bytes, files.flatten().last()))
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

fn send(kind: Kind, parts: &[&[u8]]) -> io::Result<()> {
    let length = parts.iter().map(|part| part.len()).sum();
    let header = frame::encode(kind, length).ok_or(io::ErrorKind::FileTooLarge)?;
    let mut slices = Vec::with_capacity(parts.len() + 1);
    slices.push(IoSlice::new(&header));
    slices.extend(parts.iter().map(|part| IoSlice::new(part)));
    let mut rest = slices.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        // with a parent that is gone, this is EPIPE: Rust ignores SIGPIPE
        let count = rustix::io::retry_on_intr(|| rustix::io::writev(stdin(), rest))?;
        IoSlice::advance_slices(&mut rest, count);
    }
    Ok(())
}
