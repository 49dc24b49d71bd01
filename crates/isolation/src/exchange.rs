//! One job's traffic on the socket, as the parent sees it: everything has a bound in bytes and time, and the worker is taken
//! for hostile.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::death::Reason;
use crate::frame::{self, HEADER, Kind};
use crate::job::{FrameWriter, Job};
use crate::process::Process;
use crate::shared_memory::Span;

/// The usual [`Limits::grace`].
pub const GRACE: Duration = Duration::from_millis(50);
/// Time between two calls of [`Caller::keep_going`].
const CHECK: Duration = Duration::from_millis(20);
/// Bytes of memory that are taken at a time for an answer.
const CHUNK: usize = 1 << 20;

/// The bounds of one job.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// When the job is cancelled.
    pub deadline: Instant,
    /// Time from the message that the job is cancelled to the worker's SIGKILL.
    pub grace: Duration,
    /// Bytes that the worker may allocate, beyond what it has when it is idle and the job's own bytes.
    pub memory: u64,
    /// Answers to the job.
    pub answers: usize,
    /// Bytes of an answer.
    pub answer_bytes: usize,
}

/// The side that called.
pub trait Caller {
    /// Takes an answer, as soon as it is there. The content may be anything that an attacker could have written; `Break` where
    /// it is not what was asked for, and the worker is killed.
    fn answer(&mut self, answer: Vec<u8>) -> ControlFlow<()>;

    /// Whether the job is still needed; asked every 20 ms.
    fn keep_going(&mut self) -> bool {
        true
    }
}

impl<F: FnMut(Vec<u8>) -> ControlFlow<()>> Caller for F {
    fn answer(&mut self, answer: Vec<u8>) -> ControlFlow<()> {
        self(answer)
    }
}

/// Why a job was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Deadline,
    Cancelled,
}

impl Stop {
    fn reason(self) -> Reason {
        match self {
            Stop::Deadline => Reason::Deadline,
            Stop::Cancelled => Reason::Cancelled,
        }
    }
}

/// Why the worker cannot be used any more.
pub(crate) enum Failure {
    /// It closed its socket, probably by dying.
    Closed,
    /// It has to be killed.
    Kill(Reason),
}

/// Sends a frame and takes answers until the worker is done with it. `Some` where the job was cancelled and the worker
/// stopped by itself.
pub(crate) fn exchange(
    process: &mut Process, kind: Kind, job: Job<'_>, limits: &Limits, caller: &mut dyn Caller,
) -> Result<Option<Stop>, Failure> {
    let outgoing = FrameWriter::new(kind, job).ok_or(Failure::Kill(Reason::Protocol))?;
    let incoming = FrameReader::default();
    Exchange { process, kind, outgoing, incoming, limits, caller, answers: 0, stop: None }.run()
}

struct Exchange<'a, 'b> {
    process: &'a mut Process,
    /// The kind of the frame that is sent.
    kind: Kind,
    outgoing: FrameWriter<'b>,
    incoming: FrameReader,
    limits: &'a Limits,
    caller: &'a mut dyn Caller,
    /// Answers so far.
    answers: usize,
    /// Since when the job is cancelled, and why.
    stop: Option<(Stop, Instant)>,
}

impl Exchange<'_, '_> {
    fn run(mut self) -> Result<Option<Stop>, Failure> {
        self.process.stderr.begin();
        loop {
            self.outgoing.send(self.process.as_fd()).map_err(|_| Failure::Closed)?;
            let ready = self.poll()?;
            if ready.stderr {
                self.process.stderr.drain().map_err(|_| Failure::Kill(Reason::StderrFlood))?;
            }
            while ready.socket
                && let Some((kind, body)) = self.incoming.next(&self.process.socket, self.limits.answer_bytes)?
            {
                if self.take(kind, body)? {
                    return Ok(self.stop.map(|(stop, _)| stop));
                }
                // here, too: a worker that never stops sending would never be killed
                self.check()?;
            }
            self.check()?;
        }
    }

    /// Waits until there is something to do.
    fn poll(&self) -> Result<Ready, Failure> {
        let out = if self.outgoing.is_sent() { PollFlags::empty() } else { PollFlags::OUT };
        let mut polled = Vec::with_capacity(2);
        polled.push(PollFd::new(&self.process.socket, PollFlags::IN | out));
        let pipe = self.process.stderr.pipe();
        polled.extend(pipe.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        match rustix::event::poll(&mut polled, Some(&self.timeout())) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Ready { socket: false, stderr: false }),
            Err(_) => return Err(Failure::Kill(Reason::Io)),
        }
        let readable = |polled: &PollFd<'_>| !(polled.revents() - PollFlags::OUT).is_empty();
        Ok(Ready { socket: readable(&polled[0]), stderr: polled.get(1).is_some_and(readable) })
    }

    /// Until the next look at the caller or the end of the grace.
    fn timeout(&self) -> Timespec {
        let end = self.stop.map_or(self.limits.deadline, |(_, since)| since + self.limits.grace);
        let wait = end.saturating_duration_since(Instant::now()).min(CHECK);
        Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() }
    }

    /// Takes a frame; true where it is the last one.
    fn take(&mut self, kind: Kind, body: Vec<u8>) -> Result<bool, Failure> {
        match kind {
            // answers that were made after the job was cancelled
            Kind::Answer | Kind::SharedAnswer if self.stop.is_some() => Ok(false),
            Kind::Answer => self.answer(body).map(|()| false),
            Kind::SharedAnswer => self.answer(self.shared(&body)?).map(|()| false),
            Kind::Ready if self.kind == Kind::Start && self.outgoing.is_sent() => self.answer(body).map(|()| true),
            Kind::Done if body.is_empty() && self.outgoing.is_sent() => Ok(true),
            _ => Err(Failure::Kill(Reason::Protocol)),
        }
    }

    /// An answer in the shared memory, whose span is as hostile as its content.
    fn shared(&self, span: &[u8]) -> Result<Vec<u8>, Failure> {
        let span = Span::decode(span).filter(|span| span.length() <= self.limits.answer_bytes);
        let span = span.ok_or(Failure::Kill(Reason::Protocol))?;
        self.process.memory.read(span).map_err(|_| Failure::Kill(Reason::Protocol))
    }

    fn answer(&mut self, body: Vec<u8>) -> Result<(), Failure> {
        self.answers += 1;
        if self.answers > self.limits.answers {
            return Err(Failure::Kill(Reason::Protocol));
        }
        match self.caller.answer(body) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Failure::Kill(Reason::Rejected)),
        }
    }

    /// Cancels the job when it is time, and kills the worker that has not stopped.
    fn check(&mut self) -> Result<(), Failure> {
        match self.stop {
            Some((stop, since)) if since.elapsed() >= self.limits.grace => Err(Failure::Kill(stop.reason())),
            Some(_) => Ok(()),
            None if Instant::now() >= self.limits.deadline => self.cancel(Stop::Deadline),
            None if !self.caller.keep_going() => self.cancel(Stop::Cancelled),
            None => Ok(()),
        }
    }

    fn cancel(&mut self, stop: Stop) -> Result<(), Failure> {
        self.stop = Some((stop, Instant::now()));
        // a worker that has not even read its job is not told but killed
        if !self.outgoing.is_sent() {
            return Err(Failure::Kill(stop.reason()));
        }
        let message = FrameWriter::new(Kind::Cancel, Job::new(&[]));
        message.map_or(Ok(()), |mut message| message.send(self.process.as_fd()).map_err(|_| Failure::Closed))
    }
}

struct Ready {
    socket: bool,
    stderr: bool,
}

/// A frame that is being received.
#[derive(Default)]
struct FrameReader {
    header: [u8; HEADER],
    /// Bytes of the header so far.
    filled: usize,
    body: Vec<u8>,
}

impl FrameReader {
    /// The next frame if all of it is there. A body longer than `longest` is refused by its header.
    fn next(&mut self, mut socket: &UnixStream, longest: usize) -> Result<Option<(Kind, Vec<u8>)>, Failure> {
        while self.filled < HEADER {
            match socket.read(&mut self.header[self.filled..]) {
                Ok(0) => return Err(Failure::Closed),
                Ok(count) => self.filled += count,
                Err(error) => return pending(&error),
            }
        }
        let (kind, length) = frame::decode(self.header).ok_or(Failure::Kill(Reason::Protocol))?;
        if length > longest {
            return Err(Failure::Kill(Reason::Protocol));
        }
        if self.body.len() < length {
            // memory is taken as bytes come, not as they are announced
            self.body.reserve((length - self.body.len()).min(CHUNK));
            match socket.take((length - self.body.len()) as u64).read_to_end(&mut self.body) {
                Ok(_) if self.body.len() < length => return Err(Failure::Closed),
                Ok(_) => {}
                Err(error) => return pending(&error),
            }
        }
        self.filled = 0;
        Ok(Some((kind, std::mem::take(&mut self.body))))
    }
}

/// A worker that died with unread bytes resets the connection.
fn pending<T>(error: &io::Error) -> Result<Option<T>, Failure> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
        _ => Err(Failure::Closed),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        ours.set_nonblocking(true).expect("a flag of the socket");
        (ours, theirs)
    }

    #[test]
    fn frame_in_pieces_is_put_together() {
        let frames = [5, 3, 0, 0, 0, b'a', b'b', b'c', 6, 0, 0, 0, 0];
        for split in 0..=frames.len() {
            let (ours, mut theirs) = pair();
            let mut incoming = FrameReader::default();
            let mut received = Vec::new();
            for piece in [&frames[..split], &frames[split..]] {
                theirs.write_all(piece).expect("the socket takes it");
                while let Ok(Some(frame)) = incoming.next(&ours, 3) {
                    received.push(frame);
                }
            }
            assert_eq!(received, [(Kind::Answer, b"abc".to_vec()), (Kind::Done, Vec::new())], "split at {split}");
        }
    }

    #[test]
    fn announced_length_takes_no_memory() {
        let (ours, mut theirs) = pair();
        let mut incoming = FrameReader::default();
        theirs.write_all(&[5, 255, 255, 255, 127, 1]).expect("the socket takes it");
        assert!(matches!(incoming.next(&ours, usize::MAX), Ok(None)));
        assert!(incoming.body.capacity() <= 2 * CHUNK);
    }

    #[test]
    fn length_beyond_the_bound_and_early_end_are_failures() {
        let (ours, mut theirs) = pair();
        theirs.write_all(&[5, 4, 0, 0, 0]).expect("the socket takes it");
        assert!(matches!(FrameReader::default().next(&ours, 3), Err(Failure::Kill(Reason::Protocol))));
        theirs.write_all(&[5, 4, 0, 0, 0, 1]).expect("the socket takes it");
        drop(theirs);
        assert!(matches!(FrameReader::default().next(&ours, 4), Err(Failure::Closed)));
    }
}
