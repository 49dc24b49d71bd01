//! Bytes in memory that have a file descriptor, so that the kernel can send them without copying them: copying was a
//! quarter of the time of a hit.
//!
//! The third of the places with `unsafe` in tintype (see `Cargo.toml`). It relies on these facts:
//!
//! - the file has no name, and no other process has it: it is made here, written once and then sealed, so that nothing can write
//!   to it, shorten it or take the seals away, this process included (memfd_create(2), fcntl(2));
//! - the mapping is private, read-only and as long as the file, so it can be read for as long as it is there, which is as
//!   long as the [`Mapping`].
#![allow(unsafe_code)]

use std::fs::File;
use std::io::Write;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::process::{Resource, getrlimit};

/// Fewer bytes than this are copied faster than they are sent in a way of their own.
const LEAST: usize = 16 * 1024;

/// The most that there are at a time; the kernel keeps 65,530 mappings for a process.
const MOST: usize = 16 * 1024;

static COUNT: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// The page size, in which the space of a file is counted.
const PAGE: u64 = 4096;

/// The number of memfds, and the bytes of memory that they take, which are not part of resident memory. They are counted
/// until they are unmapped, so that a leak shows.
pub fn usage() -> (u64, u64) {
    (COUNT.load(Ordering::Relaxed) as u64, BYTES.load(Ordering::Relaxed))
}

/// With a lower limit on file descriptors, all of them are needed for connections.
const MIN_DESCRIPTORS: u64 = 4096;

/// Memfds at most: a quarter of the process's limit on file descriptors.
pub fn max_files() -> usize {
    let all = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    if all < MIN_DESCRIPTORS {
        return 0;
    }
    usize::try_from(all / 4).unwrap_or(usize::MAX).min(MOST)
}

/// Bytes in a memfd. Clones share it.
#[derive(Clone, Debug)]
pub struct MemfdBytes(Arc<Mapping>);

/// A reference that does not keep the memory.
#[derive(Clone, Debug)]
pub struct WeakMemfdBytes(Weak<Mapping>);

impl WeakMemfdBytes {
    /// The file, while its bytes are in use.
    pub fn upgrade(&self) -> Option<MemfdBytes> {
        self.0.upgrade().map(MemfdBytes)
    }
}

#[derive(Debug)]
struct Mapping {
    file: File,
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory is never written to, and the last owner unmaps it
unsafe impl Send for Mapping {}
// SAFETY: same
unsafe impl Sync for Mapping {}

impl MemfdBytes {
    /// A copy of these bytes; `None` where they are few, or where it cannot be had.
    pub(super) fn copy(bytes: &[u8]) -> Option<MemfdBytes> {
        if bytes.len() < LEAST {
            return None;
        }
        // given back when the mapping ends, or here
        if COUNT.fetch_add(1, Ordering::Relaxed) >= max_files() {
            COUNT.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        match Mapping::of(bytes) {
            Ok(mapping) => Some(MemfdBytes(Arc::new(mapping))),
            Err(error) => {
                COUNT.fetch_sub(1, Ordering::Relaxed);
                tracing::debug!(%error, "bytes are kept without a file");
                None
            }
        }
    }

    /// The bytes, which hold on to the file.
    pub(super) fn bytes(&self) -> Bytes {
        Bytes::from_owner(self.clone())
    }

    /// The same, which does not keep the memory from being given back.
    pub fn downgrade(&self) -> WeakMemfdBytes {
        WeakMemfdBytes(Arc::downgrade(&self.0))
    }

    /// The sealed file, for `sendfile`.
    pub fn file(&self) -> &File {
        &self.0.file
    }

    /// Where in the file a slice of these very bytes stands; `None` for other bytes, equal or not.
    pub fn place(&self, part: &[u8]) -> Option<u64> {
        let (start, at) = (self.0.start.as_ptr() as usize, part.as_ptr() as usize);
        let offset = at.checked_sub(start)?;
        (offset.checked_add(part.len())? <= self.0.length).then_some(offset as u64)
    }
}

impl AsRef<[u8]> for MemfdBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the mapping is so long, is there for as long as `self.0`, and the file that it maps cannot be written to
        unsafe { std::slice::from_raw_parts(self.0.start.as_ptr(), self.0.length) }
    }
}

impl Mapping {
    fn of(bytes: &[u8]) -> std::io::Result<Mapping> {
        let mut file = File::from(memfd_create("tintype", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        file.write_all(bytes)?;
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let length = bytes.len();
        // SAFETY: at no address of our choice, so it takes the place of nothing
        let start = unsafe { mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, &file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        BYTES.fetch_add(pages(length), Ordering::Relaxed);
        Ok(Mapping { file, start, length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: it was mapped with that length, and whatever borrowed from it has ended before
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
        BYTES.fetch_sub(pages(self.length), Ordering::Relaxed);
    }
}

fn pages(length: usize) -> u64 {
    (length as u64).next_multiple_of(PAGE)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn mapped_bytes_equal_the_written_ones() {
        let original: Vec<u8> = (0..100_000_u32).map(|number| (number * 7) as u8).collect();
        let body = MemfdBytes::copy(&original).expect("memory");
        let bytes = body.bytes();
        assert_eq!(bytes, original);
        assert!(body.file().write_at(b"x", 5).is_err());
        assert!(body.file().set_len(10).is_err() && body.file().set_len(200_000).is_err());
        assert_eq!(body.place(&bytes[7..500]), Some(7));
        assert_eq!(body.place(&original[7..500]), None);
        let mut read = vec![0; original.len()];
        body.file().read_exact_at(&mut read, 0).expect("its bytes");
        let weak = body.downgrade();
        drop(body);
        assert!(weak.upgrade().is_some(), "its bytes hold it");
        assert_eq!((&bytes[..], &read), (&original[..], &original));
        drop(bytes);
        assert!(weak.upgrade().is_none());
        assert!(MemfdBytes::copy(b"few").is_none());
    }
}
