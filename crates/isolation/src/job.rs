//! A job as it is sent: bytes in several parts.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};

use crate::frame::{self, HEADER, Kind};

/// A job for a worker: those bytes, one part after the other; at most 4 GiB.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    pub(crate) parts: &'a [&'a [u8]],
}

impl<'a> Job<'a> {
    /// A job of those parts.
    pub fn new(parts: &'a [&'a [u8]]) -> Job<'a> {
        Job { parts }
    }

    /// Bytes of all parts.
    pub(crate) fn length(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }
}

/// The rest of a frame that is still to be sent.
pub(crate) struct FrameWriter<'a> {
    header: [u8; HEADER],
    job: Job<'a>,
    sent: usize,
    length: usize,
}

impl<'a> FrameWriter<'a> {
    /// `None` where the body is longer than 4 GiB.
    pub(crate) fn new(kind: Kind, job: Job<'a>) -> Option<FrameWriter<'a>> {
        let length = job.length();
        Some(FrameWriter { header: frame::encode(kind, length)?, job, sent: 0, length: HEADER + length })
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
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        rustix::net::sendmsg(socket, rest, &mut SendAncillaryBuffer::default(), flags)
    }
}
