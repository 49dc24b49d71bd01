//! Memory that the parent and one worker share, for bytes that a socket would copy in many pieces: a job of 270 kB cost 0.6 ms of
//! CPU through the socket and costs 0.1 ms through a file in memory.
//!
//! Both ends copy: nothing is mapped, so that neither can change what the other has taken, and no `unsafe` is needed. The
//! worker reads a job before it writes answers, which may lie at the same span.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::process::Stdio;

use rustix::buffer::spare_capacity;
use rustix::fs::MemfdFlags;

/// The most that is shared, in bytes; the kernel stops a worker that writes more. Longer bodies go through the socket.
pub(crate) const MAX: usize = 16 << 20;
/// Bytes that are kept while there is no job, so that the kernel does not have to clear them again.
const KEPT: u64 = 1 << 20;
/// Bytes of bodies that are as cheap through the socket.
pub(crate) const SMALL: usize = 32 << 10;

/// A span in the shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    offset: u32,
    length: u32,
}

impl Span {
    /// Bytes of a span as it is sent.
    const ENCODED: usize = 8;

    /// A span for a body of that length; `None` for one that belongs into the socket.
    pub(crate) fn after(offset: usize, length: usize) -> Option<Span> {
        let end = offset.checked_add(length)?;
        let (offset, length) = (u32::try_from(offset).ok()?, u32::try_from(length).ok()?);
        (end <= MAX && length as usize > SMALL).then_some(Span { offset, length })
    }

    /// Where it ends.
    pub(crate) fn end(self) -> usize {
        self.offset as usize + self.length as usize
    }

    /// Bytes of it.
    pub(crate) fn length(self) -> usize {
        self.length as usize
    }

    pub(crate) fn encode(self) -> [u8; Span::ENCODED] {
        (u64::from(self.offset) << 32 | u64::from(self.length)).to_le_bytes()
    }

    /// `None` where the bytes are no span, or one that ends beyond [`MAX`].
    pub(crate) fn decode(bytes: &[u8]) -> Option<Span> {
        let span = u64::from_le_bytes(bytes.try_into().ok()?);
        let span = Span { offset: (span >> 32) as u32, length: span as u32 };
        (span.end() <= MAX).then_some(span)
    }
}

/// The parent's end.
pub(crate) struct SharedMemory(File);

impl SharedMemory {
    pub(crate) fn new() -> io::Result<SharedMemory> {
        Ok(SharedMemory(rustix::fs::memfd_create("tintype-job", MemfdFlags::CLOEXEC)?.into()))
    }

    /// The worker's end, its standard output.
    pub(crate) fn worker_end(&self) -> io::Result<Stdio> {
        Ok(self.0.try_clone()?.into())
    }

    pub(crate) fn write(&self, parts: &[&[u8]], span: Span) -> io::Result<()> {
        write(&self.0, parts, span)
    }

    /// The bytes at a span as they are now.
    ///
    /// # Errors
    ///
    /// Where the memory ends before the span does.
    pub(crate) fn read(&self, span: Span) -> io::Result<Vec<u8>> {
        read(&self.0, span)
    }

    /// Returns to the system what is not kept.
    pub(crate) fn trim(&self) -> io::Result<()> {
        if self.0.metadata()?.len() > KEPT { self.0.set_len(KEPT) } else { Ok(()) }
    }
}

/// Writes a body of several parts.
pub(crate) fn write(memory: impl AsFd, parts: &[&[u8]], span: Span) -> io::Result<()> {
    let mut offset = u64::from(span.offset);
    for part in parts {
        let mut rest = *part;
        while !rest.is_empty() {
            let count = rustix::io::retry_on_intr(|| rustix::io::pwrite(&memory, rest, offset))?;
            rest = &rest[count..];
            offset += count as u64;
        }
    }
    Ok(())
}

/// Reads a body.
pub(crate) fn read(memory: impl AsFd, span: Span) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(span.length());
    while bytes.len() < span.length() {
        let offset = u64::from(span.offset) + bytes.len() as u64;
        let (missing, length) = (span.length() - bytes.len(), bytes.len());
        // the capacity may be larger than what was asked for
        let count = rustix::io::pread(&memory, spare_capacity(&mut bytes), offset);
        match count {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => bytes.truncate(length + count.min(missing)),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_is_read_as_it_was_written() {
        let memory = SharedMemory::new().expect("memory");
        let parts: [&[u8]; 3] = [&[1; 20_000], &[2; 30_000], &[]];
        let span = Span::after(70_000, 50_000).expect("a span");
        memory.write(&parts, span).expect("the memory grows");
        assert_eq!(memory.read(span).expect("its bytes"), parts.concat());
        assert_eq!(span.end(), 120_000);
    }

    #[test]
    fn place_beyond_the_memory_is_refused() {
        let memory = SharedMemory::new().expect("memory");
        let span = Span::after(0, 40_000).expect("a span");
        memory.write(&[&[1; 40_000]], span).expect("the memory grows");
        let beyond = Span::after(1, 40_000).expect("a span");
        assert!(memory.read(beyond).is_err());
        assert_eq!(Span::decode(&span.encode()), Some(span));
        let high = (u64::from(u32::MAX) << 32 | u64::from(u32::MAX)).to_le_bytes();
        for bytes in [&high[..], &span.encode()[..7], &((MAX as u64) << 32 | 1).to_le_bytes()] {
            assert_eq!(Span::decode(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn short_and_long_bodies_go_through_the_socket() {
        for (offset, length) in [(0, 0), (0, SMALL), (0, MAX + 1), (MAX, SMALL + 1), (usize::MAX, MAX)] {
            assert_eq!(Span::after(offset, length), None, "{length} at {offset}");
        }
        assert!(Span::after(0, MAX).is_some());
    }

    #[test]
    fn memory_is_returned_after_a_large_job() {
        let memory = SharedMemory::new().expect("memory");
        let span = Span::after(0, MAX).expect("a span");
        memory.write(&[&vec![1; MAX]], span).expect("the memory grows");
        memory.trim().expect("it shrinks");
        assert_eq!(memory.0.metadata().expect("its size").len(), KEPT);
        assert!(memory.read(span).is_err());
    }
}
