//! Uploads into a bucket: staged in a file without a name, and written by one conditional PUT, so that an original is there
//! whole or not at all. The store's acknowledgement is the durability.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags};
use rustix::io::Errno;
use tintype_store::Digest;

use super::{Current, Expected, NamedUpload, Rejected, StagedUpload, unavailable};
use crate::bucket::{self, Condition, NewObject};
use crate::source::bucket::BucketClient;
use crate::source::{Error, ImageId};

/// Stores uploads in a bucket of originals.
#[derive(Clone)]
pub(super) struct BucketStore(Arc<BucketClient>);

impl BucketStore {
    pub(super) fn new(client: Arc<BucketClient>) -> BucketStore {
        BucketStore(client)
    }

    pub(super) fn max_bytes(&self) -> u64 {
        self.0.originals().max_bytes
    }

    /// Creates an empty file without a name, which no other process can open and which ends with the process.
    pub(super) fn stage(&self) -> Result<StagedUpload, Rejected> {
        let file = match &self.0.originals().staging {
            Some(folder) => unnamed_file(folder)?,
            None => File::from(rustix::fs::memfd_create("upload", MemfdFlags::CLOEXEC)?),
        };
        Ok(StagedUpload { file: tokio::fs::File::from_std(file), name: None, bytes: 0, max_bytes: self.max_bytes() })
    }

    pub(super) async fn current(&self, id: &ImageId) -> Result<Current, Error> {
        match self.0.object(id, None, self.max_bytes()).await {
            Ok(Some(object)) => Ok(Current::Image(Digest::of(&object.bytes))),
            Ok(None) | Err(Error::NotFound) => Ok(Current::Absent),
            Err(Error::TooLarge { .. }) => Ok(Current::Unsendable),
            Err(error) => Err(error),
        }
    }

    /// Writes the files one after the other. New ones are removed where a later one fails.
    pub(super) async fn publish(
        &self, mut files: Vec<NamedUpload>, expected: &Expected,
    ) -> Result<(), (usize, Rejected)> {
        for index in 0..files.len() {
            if let Err(rejected) = self.write(&mut files[index], expected).await {
                if *expected == Expected::Absent {
                    self.retract(&mut files[..index]).await;
                }
                return Err((index, rejected));
            }
        }
        Ok(())
    }

    async fn write(&self, file: &mut NamedUpload, expected: &Expected) -> Result<(), Rejected> {
        let bytes = file.staged.read().await?;
        let object = NewObject { bytes, media_type: file.media_type, cache_control: None, metadata: Vec::new() };
        let revision = self.replaced(&file.id, expected).await?;
        let condition = match (expected, &revision) {
            (Expected::Absent, _) => Condition::Absent,
            // any other original may be replaced as well
            (Expected::Present, _) => Condition::None,
            (Expected::OneOf(_), Some(revision)) => Condition::Unchanged(revision),
            (Expected::OneOf(_), None) => return Err(Rejected::Changed),
        };
        self.0.put(&file.id, object, condition).await.map_err(|error| match error {
            bucket::Error::Exists => Rejected::Exists,
            bucket::Error::Changed => Rejected::Changed,
            error => self.0.error(error).into(),
        })
    }

    /// The revision of the object that is to be replaced, if the precondition holds for it.
    async fn replaced(&self, id: &ImageId, expected: &Expected) -> Result<Option<String>, Rejected> {
        let max_bytes = match expected {
            Expected::Absent => return Ok(None),
            // the length tells that there is one
            Expected::Present => 0,
            Expected::OneOf(_) => self.max_bytes(),
        };
        let (current, revision) = match self.0.object(id, None, max_bytes).await {
            Ok(Some(object)) => (Current::Image(Digest::of(&object.bytes)), object.revision),
            Ok(None) | Err(Error::NotFound) => (Current::Absent, None),
            Err(Error::TooLarge { .. }) => (Current::Unsendable, None),
            Err(error) => return Err(error.into()),
        };
        if expected.is_met_by(current) { Ok(revision) } else { Err(Rejected::Changed) }
    }

    /// Removes new objects of an upload that failed, unless another one has replaced them. Object stores have no conditional
    /// removal: one that is replaced between the look and the removal is lost.
    async fn retract(&self, files: &mut [NamedUpload]) {
        for file in files {
            if let Err(error) = self.remove_own(file).await {
                tracing::warn!(id = %file.id, %error, "an original of a failed form upload cannot be removed");
            }
        }
    }

    async fn remove_own(&self, file: &mut NamedUpload) -> Result<(), Rejected> {
        let own = Digest::of(&file.staged.read().await?);
        match self.current(&file.id).await? {
            Current::Image(digest) if digest == own => Ok(self.0.delete(&file.id).await?),
            _ => Ok(()),
        }
    }
}

fn unnamed_file(folder: &Path) -> Result<File, Rejected> {
    let (flags, mode) = (OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
    match rustix::fs::openat(CWD, folder, flags | OFlags::TMPFILE, mode) {
        // the file system has no files without names
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => tempfile::tempfile_in(folder).map_err(unavailable),
        opened => Ok(File::from(opened?)),
    }
}
