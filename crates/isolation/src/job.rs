//! A job as it is sent: bytes in several parts, and perhaps an open file.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use crate::frame::{self, HEADER, Kind};

/// A job for a worker. Its bytes are copied through the socket, which costs 0.2 ms a megabyte; a file is passed as it is.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    parts: &'a [&'a [u8]],
    file: Option<BorrowedFd<'a>>,
}

impl<'a> Job<'a> {
    /// A job of those bytes, one part after the other; at most 4 GiB.
    pub fn new(parts: &'a [&'a [u8]]) -> Job<'a> {
        Job { parts, file: None }
    }

    /// The job with a file that the worker may read during it.
    ///
    /// # Errors
    ///
    /// Of a file that is not open for reading alone: a worker that can write could change it for others.
    pub fn with_file(self, file: &'a impl AsFd) -> io::Result<Job<'a>> {
        let file = file.as_fd();
        if rustix::fs::fcntl_getfl(file)? & OFlags::RWMODE != OFlags::RDONLY {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the file of a job has to be open for reading alone",
            ));
        }
        Ok(Job { file: Some(file), ..self })
    }

    /// Bytes of all parts.
    pub(crate) fn length(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }
}

/// What is still to be sent of one frame.
pub(crate) struct Outgoing<'a> {
    header: [u8; HEADER],
    job: Job<'a>,
    sent: usize,
    length: usize,
}

impl<'a> Outgoing<'a> {
    /// `None` where the body is longer than 4 GiB.
    pub(crate) fn new(kind: Kind, job: Job<'a>) -> Option<Outgoing<'a>> {
        let length = job.length();
        Some(Outgoing { header: frame::encode(kind, length)?, job, sent: 0, length: HEADER + length })
    }

    pub(crate) fn is_sent(&self) -> bool {
        self.sent == self.length
    }

    /// Sends what the socket takes without waiting.
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>) -> Result<(), Errno> {
        while !self.is_sent() {
            match self.send_some(socket) {
                Ok(count) => self.sent += count,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn send_some(&self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        let mut slices = Vec::with_capacity(self.job.parts.len() + 1);
        slices.push(IoSlice::new(&self.header));
        slices.extend(self.job.parts.iter().map(|part| IoSlice::new(part)));
        let mut rest = slices.as_mut_slice();
        IoSlice::advance_slices(&mut rest, self.sent);
        let files: Vec<BorrowedFd<'_>> = self.job.file.into_iter().filter(|_| self.sent == 0).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&files));
        }
        rustix::net::sendmsg(socket, rest, &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
    }
}
