//! Files mapped into memory to be read: fonts, whose tables are touched here and there, and which many processes share.
//!
//! A mapping is sound while its file is not written to. Packages of fonts replace files by renaming, which leaves the mapped one
//! as it is. A file that is truncated in place ends the process that reads the lost pages with SIGBUS, so only worker processes
//! map, whose end costs one render.

use std::fs::File;
use std::io;

/// The bytes of a file, read when they are touched.
#[derive(Debug)]
pub struct Mapping(memmap2::Mmap);

/// Maps all of a file; an empty one is an error.
///
/// # Errors
/// As mmap(2).
pub fn map(file: &File) -> io::Result<Mapping> {
    // SAFETY: private and read-only; see above for what happens to a file that others write to
    Ok(Mapping(unsafe { memmap2::Mmap::map(file)? }))
}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
