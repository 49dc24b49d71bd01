//! Uploads: staged in a file that is never served, and published under the names of originals.

mod bucket;
mod folder;

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;
use tintype_store::Digest;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::bucket::BucketClient;
use super::root::Root;
use super::{Error, ImageId};
use bucket::BucketStore;
pub(crate) use folder::STAGING;
use folder::{FolderStore, StagedName};

/// Why the source did not store an upload.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Rejected {
    /// A file or folder has that name.
    #[error("a file or folder of that name exists")]
    Exists,
    /// The original is another one than expected.
    #[error("the original is not the one that was to be replaced")]
    Changed,
    /// A part of the path is not a folder, or the path is longer than the file system allows.
    #[error("a part of the path is not a folder, or the path is too long")]
    NoFolder,
    /// A symbolic link on the way leads out of the root.
    #[error("the path leads out of the folder of originals")]
    Outside,
    /// It exceeds the limit.
    #[error("it has more than the {limit} bytes that are allowed")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The process has no permission to write there.
    #[error("permission denied: tintype's user cannot write there")]
    Forbidden,
    /// The disk is full.
    #[error("no space left on the device")]
    Full,
    /// The storage failed.
    #[error("the originals' storage failed")]
    Unavailable(#[source] Arc<std::io::Error>),
    /// The object store failed.
    #[error(transparent)]
    Source(#[from] Error),
}

/// The original under a name at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Current {
    /// None.
    Absent,
    /// A file that is never sent, so that it has no digest.
    Unsendable,
    /// An original of that digest.
    Image(Digest),
}

/// The precondition of an upload: the original that must be under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// None.
    Absent,
    /// Any file.
    Present,
    /// An original of one of these digests.
    OneOf(Vec<Digest>),
}

impl Expected {
    /// Whether the precondition holds.
    pub fn is_met_by(&self, current: Current) -> bool {
        match (self, current) {
            (Expected::Absent, Current::Absent) => true,
            (Expected::Present, Current::Image(_) | Current::Unsendable) => true,
            (Expected::OneOf(digests), Current::Image(digest)) => digests.contains(&digest),
            _ => false,
        }
    }
}

/// Stores uploads where the originals are.
#[derive(Clone)]
pub struct UploadStore(Backend);

#[derive(Clone)]
enum Backend {
    Folder(FolderStore),
    Bucket(BucketStore),
}

/// A file that is being uploaded. Dropped before it is published, it is removed.
#[derive(Debug)]
pub struct StagedUpload {
    /// Its name in a folder; a file without one ends with the process. Dropped before the file, whose lock guards it.
    name: Option<StagedName>,
    file: tokio::fs::File,
    bytes: u64,
    max_bytes: u64,
}

/// A staged file that is to be published.
#[derive(Debug)]
pub struct NamedUpload {
    /// The name of the original.
    pub id: ImageId,
    /// Its bytes.
    pub staged: StagedUpload,
    /// Their type.
    pub media_type: &'static str,
}

impl UploadStore {
    pub(super) fn folder(root: Arc<Root>, max_bytes: u64) -> UploadStore {
        UploadStore(Backend::Folder(FolderStore::new(root, max_bytes)))
    }

    pub(super) fn bucket(client: Arc<BucketClient>) -> UploadStore {
        UploadStore(Backend::Bucket(BucketStore::new(client)))
    }

    /// The most bytes of one original.
    pub fn max_bytes(&self) -> u64 {
        match &self.0 {
            Backend::Folder(folder) => folder.max_bytes(),
            Backend::Bucket(bucket) => bucket.max_bytes(),
        }
    }

    /// Removes the staged files of killed processes and returns their number.
    ///
    /// # Errors
    /// Where the staging folder cannot be made or read.
    pub fn sweep(&self) -> Result<usize, Rejected> {
        match &self.0 {
            Backend::Folder(folder) => folder.sweep(),
            // its files have no names
            Backend::Bucket(_) => Ok(0),
        }
    }

    /// Creates an empty staged file.
    ///
    /// # Errors
    /// Where no file can be created.
    pub fn stage(&self) -> Result<StagedUpload, Rejected> {
        match &self.0 {
            Backend::Folder(folder) => folder.stage(),
            Backend::Bucket(bucket) => bucket.stage(),
        }
    }

    /// Whether [`publish`](UploadStore::publish) checks every precondition by itself. Otherwise it checks only
    /// [`Expected::Absent`], and others must hold until it returns.
    pub fn checks_preconditions(&self) -> bool {
        matches!(self.0, Backend::Bucket(_))
    }

    /// The original under a name, where the source's versions may be old.
    ///
    /// # Errors
    /// Where the storage fails.
    pub async fn current(&self, id: &ImageId) -> Option<Result<Current, Error>> {
        match &self.0 {
            Backend::Folder(_) => None,
            Backend::Bucket(bucket) => Some(bucket.current(id).await),
        }
    }

    /// Gives staged files their final names, all or none, and returns once that is durable.
    ///
    /// # Errors
    /// The index of the file that failed, and why. Except for [`Expected::Absent`], files before it stay replaced.
    pub async fn publish(&self, files: Vec<NamedUpload>, expected: &Expected) -> Result<(), (usize, Rejected)> {
        match &self.0 {
            Backend::Folder(folder) => folder.publish(files, *expected != Expected::Absent).await,
            Backend::Bucket(bucket) => bucket.publish(files, expected).await,
        }
    }
}

impl StagedUpload {
    fn new(file: File, name: Option<StagedName>, max_bytes: u64) -> StagedUpload {
        StagedUpload { name, file: tokio::fs::File::from_std(file), bytes: 0, max_bytes }
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`Rejected::TooLarge`] at the first byte above the limit; failures of the disk.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Rejected> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.max_bytes {
            return Err(Rejected::TooLarge { limit: self.max_bytes });
        }
        self.file.write_all(bytes).await.map_err(rejected)
    }

    /// The bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads all that was written.
    ///
    /// # Errors
    /// Failures of the disk.
    pub async fn read(&mut self) -> Result<Bytes, Rejected> {
        self.file.flush().await.map_err(rejected)?;
        self.file.rewind().await.map_err(rejected)?;
        let mut buffer = Vec::with_capacity(usize::try_from(self.bytes).unwrap_or(0));
        self.file.read_to_end(&mut buffer).await.map_err(rejected)?;
        Ok(buffer.into())
    }

    /// Syncs the bytes to disk, where the file stays on it.
    ///
    /// # Errors
    /// Failures of the disk.
    pub async fn sync(&mut self) -> Result<(), Rejected> {
        self.file.flush().await.map_err(rejected)?;
        match self.name {
            Some(_) => self.file.sync_all().await.map_err(rejected),
            None => Ok(()),
        }
    }
}

impl From<Errno> for Rejected {
    fn from(error: Errno) -> Rejected {
        match error {
            Errno::EXIST | Errno::ISDIR | Errno::NOTEMPTY => Rejected::Exists,
            Errno::NOTDIR | Errno::NAMETOOLONG => Rejected::NoFolder,
            Errno::LOOP | Errno::XDEV => Rejected::Outside,
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Rejected::Forbidden,
            Errno::NOSPC | Errno::DQUOT => Rejected::Full,
            error => unavailable(error.into()),
        }
    }
}

fn rejected(error: std::io::Error) -> Rejected {
    match Errno::from_io_error(&error) {
        Some(errno) => errno.into(),
        None => unavailable(error),
    }
}

fn unavailable(error: std::io::Error) -> Rejected {
    Rejected::Unavailable(Arc::new(error))
}
