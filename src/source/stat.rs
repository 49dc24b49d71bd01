//! File metadata of originals: versions, and the errors of system calls as those of a source.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::Stat;
use rustix::io::Errno;

use super::{Error, Version};

/// The version of a file: a digest of device, inode, size, mtime and ctime in nanoseconds. Without ctime, a rewrite by
/// `cp -p` would go unseen.
pub(super) fn version(stat: &Stat) -> Version {
    let mut fields = [[0; 8]; 7];
    let first =
        [unsigned(stat.st_dev), unsigned(stat.st_ino), unsigned(stat.st_mtime_nsec), unsigned(stat.st_ctime_nsec)];
    for (to, field) in fields.iter_mut().zip(first) {
        *to = field.to_le_bytes();
    }
    // signed: a time may lie before 1970
    for (to, field) in fields[4..].iter_mut().zip([stat.st_size, stat.st_mtime, stat.st_ctime]) {
        *to = field.to_le_bytes();
    }
    Version {
        identity: blake3::hash(fields.as_flattened()).into(),
        modified: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(unsigned(stat.st_mtime))),
        length: unsigned(stat.st_size),
    }
}

/// A field of `stat`, whose type differs between machines; 0 where it is negative.
pub(super) fn unsigned(field: impl TryInto<u64>) -> u64 {
    field.try_into().unwrap_or(0)
}

pub(super) fn stat(file: &File) -> Result<Stat, Error> {
    rustix::fs::fstat(file).map_err(from_errno)
}

pub(super) fn from_errno(error: Errno) -> Error {
    match error {
        Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG | Errno::NXIO | Errno::INVAL => {
            Error::NotFound
        }
        Errno::ACCESS | Errno::PERM => Error::Forbidden,
        error => unavailable(error.into()),
    }
}

pub(super) fn unavailable(error: std::io::Error) -> Error {
    Error::Unavailable(Arc::new(error))
}
