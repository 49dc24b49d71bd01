//! A bounded store of files in one folder of a local file system.
//!
//! [`Store::put`] hands a file over, [`Store::get`] reads one back, [`Store::replace`] puts other bytes in its place,
//! [`Store::purge`] removes all files of an original. The store promises four things:
//!
//! - **A file is whole or absent.** It is staged, synced and renamed (`disk/write.rs`), and its name has its digest and
//!   length (`layout.rs`), which are compared whenever it is read.
//! - **Stored files survive the process.** A file that [`Store::put`] reports as stored lies in a staged file that the next
//!   start takes over (`disk/scan.rs`). A power failure can lose files that were not synced yet; the next start finds and removes them.
//! - **The folder never exceeds its bounds.** Space is reserved in the index before a byte is written and released after
//!   the file is gone (`index/`). Files are evicted by a segmented LRU.
//! - **Planted files are neither followed nor served.** Files are opened beneath the folder, without links (`folder.rs`).
//!
//! Files with equal bytes are hard links to one inode, whose blocks count once (`disk/link.rs`). Three threads work behind
//! the callers: one stages, one syncs and renames, one reads the folder at the start; a fourth looks after the folder
//! twice a second and opens it again when it has been removed.
//!
//! The store knows neither what the bytes are nor how they are made. Its caller says what it wants to know of a file
//! without reading it in [`Attributes`], which become the end of the file's name.
//!
//! | module | what it is for |
//! |---|---|
//! | `store` | the folder as it is now: open, in another process's hands, unusable |
//! | `disk` | an open folder: reads, writes, links, eviction, the scan at the start |
//! | `index` | the files, their space, and the order of eviction; no I/O and no clock |
//! | `layout` | names of files and folders |
//! | `folder` | system calls beneath one folder |
//! | `original_paths` | the paths of the originals that files belong to |
//! | [`preflight`], [`stats`] | a folder seen from outside, while a service may be using it |

#![forbid(unsafe_code)]

mod digest;
mod disk;
mod folder;
#[cfg(test)]
mod folder_tests;
mod index;
mod key;
mod layout;
mod log_throttle;
mod original_paths;
pub mod preflight;
#[cfg(test)]
mod replace_tests;
#[cfg(test)]
mod sharing_tests;
pub mod stats;
#[cfg(test)]
mod stats_tests;
mod store;
mod sync;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod testsuite;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;

pub use digest::Digest;
pub use key::Key;
#[doc(hidden)]
pub use layout::name_again;
pub use log_throttle::LogThrottle;
pub use store::{FolderState, Store};

/// The folder and its bounds.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder, made if it is not there. Files in it that are not the store's stay untouched. `None` stores nothing.
    pub dir: Option<PathBuf>,
    /// The most bytes on disk, in whole blocks.
    pub max_bytes: u64,
    /// The most files.
    pub max_files: u64,
    /// Bytes of the file system that are left to others.
    pub min_free: u64,
}

/// Metadata of a file that the caller needs without reading it: its media type above all.
pub trait Attributes: Copy + Eq + Debug + Send + Sync + 'static {
    /// The end of the file's name after the last dot of the store's own part: an extension such as `webp`, perhaps with
    /// parts before it. Few characters, no slash.
    fn to_suffix(&self) -> Cow<'static, str>;

    /// The attributes with that suffix; `None` for every text that [`to_suffix`](Attributes::to_suffix) does not give.
    fn from_suffix(suffix: &str) -> Option<Self>;
}

/// A file's bytes and what is known of them.
#[derive(Clone, Debug)]
pub struct Object<A> {
    /// All bytes.
    pub bytes: Bytes,
    /// Their digest.
    pub digest: Digest,
    /// The caller's attributes.
    pub attributes: A,
}

/// Length, digest and attributes of a file, known without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<A> {
    /// Bytes.
    pub length: u64,
    /// The digest of its bytes.
    pub digest: Digest,
    /// The caller's attributes.
    pub attributes: A,
}

/// A verified file, for another program to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile<A> {
    /// Its path below the store's folder.
    pub path: String,
    /// Bytes.
    pub length: u64,
    /// The digest of its bytes.
    pub digest: Digest,
    /// The caller's attributes.
    pub attributes: A,
}

/// The files that a purge removes.
#[derive(Clone, Copy, Debug)]
pub enum Selection<'a> {
    /// The files of the original of that path.
    Original(&'a str),
    /// The files of the originals of these paths, which are found in one pass.
    Originals(&'a HashSet<&'a str>),
    /// The files of all originals whose paths start so. Files whose original's path is not known are removed, too.
    Prefix(&'a str),
}

impl Selection<'_> {
    /// Whether it selects the files of the original of that path.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Selection::Original(original) => *original == path,
            Selection::Originals(originals) => originals.contains(path),
            Selection::Prefix(prefix) => path.starts_with(prefix),
        }
    }
}

/// The outcome of [`Store::purge`].
#[derive(Clone, Debug, Default)]
pub struct Purged {
    /// The keys of the selected files.
    pub keys: HashSet<Key>,
    /// Selected files that cannot be removed, by this purge or an earlier one. It is tried again twice a second; the next
    /// start would find them again.
    pub undeleted: usize,
    /// Folders that cannot be listed: selected files in them may be found later.
    pub unlisted: usize,
}

/// Counters of events since the store was made, across reopened folders.
#[derive(Debug, Default)]
pub struct Counters {
    /// Files stored.
    pub stored: AtomicU64,
    /// Writes that became another link to a file with the same bytes.
    pub linked: AtomicU64,
    /// Files that should have been stored and were not: the queue was full or the disk failed.
    pub not_stored: AtomicU64,
    /// Files removed to make room.
    pub evicted: AtomicU64,
    /// Files that did not hold what their names said.
    pub corrupt: AtomicU64,
    /// Unfinished files of processes that were killed, removed.
    pub strays: AtomicU64,
}

/// How full the folder is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Files of the store, with those being written and those being removed.
    pub files: u64,
    /// Bytes that they take, in whole blocks.
    pub bytes: u64,
    /// Bodies that are kept as files; equal ones are one.
    pub bodies: u64,
    /// Files in the folder that are not the store's.
    pub foreign: u64,
    /// How much of the folder has been read since the start, from 0 to 1.
    pub scanned: f64,
    /// Bytes of bodies that are being written.
    pub pending: u64,
}
