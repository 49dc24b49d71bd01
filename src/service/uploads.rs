//! Uploads of originals: staged, decoded completely by a worker, and only then published.
//!
//! An acknowledged upload is durable: the client may delete its own copy.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::purge::on_thread;
use super::render_job::Clock;
use super::renderer::Bounds;
use super::workers::{Class, Need, WorkError};
use super::{Error, Service};
use crate::cache::Digest;
use crate::render::{self, Checked};
use crate::source::{self, ImageId, NamedUpload, Rejected, StagedUpload, UploadStore};
pub use crate::source::{Current, Expected};

/// Why an upload failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UploadError {
    /// It is not a valid image, or was not validated in time.
    #[error(transparent)]
    Service(#[from] Error),
    /// The source did not store it.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The original to be replaced does not exist or has changed.
    #[error("the original is not the one that was to be replaced")]
    Conflict,
    /// The source accepts no uploads.
    #[error("uploads are disabled")]
    Disabled,
}

impl From<WorkError> for UploadError {
    fn from(error: WorkError) -> UploadError {
        UploadError::Service(error.into())
    }
}

impl From<render::Error> for UploadError {
    fn from(error: render::Error) -> UploadError {
        UploadError::Service(error.into())
    }
}

/// A file that is being received.
#[derive(Debug)]
pub struct Upload {
    staged: StagedUpload,
    hasher: blake3::Hasher,
}

/// A valid image within the limits, staged and synced.
#[derive(Debug)]
pub struct ValidatedUpload {
    staged: StagedUpload,
    /// Its content.
    pub uploaded: Uploaded,
}

/// The content of an uploaded file.
#[derive(Clone, Copy, Debug)]
pub struct Uploaded {
    /// Format, size and frames.
    pub image: Checked,
    /// Length in bytes.
    pub bytes: u64,
    /// Of the bytes.
    pub digest: Digest,
}

impl Upload {
    /// Appends bytes.
    ///
    /// # Errors
    /// [`Rejected::TooLarge`], and failures of the storage.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Rejected> {
        self.hasher.update(bytes);
        self.staged.write(bytes).await
    }
}

impl Service {
    /// The maximum size of an upload in bytes; `None` where uploads are disabled.
    pub fn upload_limit(&self) -> Option<u64> {
        self.upload_store().ok().map(|store| store.max_bytes())
    }

    /// Removes the staged files of a killed process; returns how many.
    ///
    /// # Errors
    /// [`UploadError::Disabled`], and failures of the storage.
    pub fn sweep_uploads(&self) -> Result<usize, UploadError> {
        Ok(self.upload_store()?.sweep()?)
    }

    fn upload_store(&self) -> Result<UploadStore, UploadError> {
        self.source.upload_store().ok_or(UploadError::Disabled)
    }

    /// Starts an upload.
    ///
    /// # Errors
    /// [`UploadError::Disabled`], and failures of the storage.
    pub fn begin_upload(&self) -> Result<Upload, UploadError> {
        Ok(Upload { staged: self.upload_store()?.stage()?, hasher: blake3::Hasher::new() })
    }

    /// Validates an upload by decoding all of it on a worker, and syncs it to disk.
    ///
    /// # Errors
    /// The errors of a render, and failures of the storage.
    pub async fn validate_upload(&self, upload: Upload) -> Result<ValidatedUpload, UploadError> {
        let Upload { mut staged, hasher } = upload;
        let settings = self.settings.load_full();
        let mut admission = self.workers.admission();
        let deadline = admission.deadline();
        let mut need = Need { class: Class::Light, bytes: staged.bytes() + render::FIXED_MEMORY, time: None };
        let checked = loop {
            let permit = admission.permit(need).await?;
            let (bytes, settings) = (staged.read().await?, Arc::clone(&settings));
            let renderer = Arc::clone(&self.renderer);
            let work = permit.run(move |grant| {
                grant.exclude_from_stats();
                let mut bounds = Bounds { memory: need.bytes, deadline, is_idle: false };
                let header = renderer.head(&bytes, &settings, bounds)?;
                if let Some(info) = &header {
                    let estimate = render::estimate_check(info, bytes.len() as u64, &settings)?;
                    let need = Need { class: Class::Light, bytes: estimate.memory, time: Some(estimate.time) };
                    if !grant.try_resize(need) {
                        return Ok(Err(need));
                    }
                    bounds.memory = estimate.memory;
                }
                let mut clock = Clock::new(deadline, None);
                renderer.check(&bytes, header.as_ref(), &settings, bounds, &mut clock).map(Ok)
            });
            match tokio::time::timeout_at(deadline.into(), work).await.map_err(|_| WorkError::DeadlineExceeded)?? {
                // it needs more memory than is free, and waits for it without holding any
                Ok(Err(more)) => need = more,
                Ok(Ok(checked)) => break Ok(checked),
                Err(error) => break Err(error),
            }
        };
        let image = match checked {
            // only the clock cancels
            Err(Error::Render(render::Error::Cancelled)) => return Err(WorkError::DeadlineExceeded.into()),
            checked => checked?,
        };
        staged.sync().await?;
        let uploaded = Uploaded { image, bytes: staged.bytes(), digest: Digest::from(hasher.finalize()) };
        Ok(ValidatedUpload { staged, uploaded })
    }

    /// The file under a name at present.
    ///
    /// # Errors
    /// Where the source or the workers fail.
    pub async fn current(self: &Arc<Self>, id: &ImageId) -> Result<Current, Error> {
        use source::Error::{
            Changing, Credentials, Forbidden, NotFound, Refused, Status, TimedOut, TooLarge, Unavailable,
        };
        let stored = match self.source.upload_store() {
            Some(store) => store.current(id).await,
            None => None,
        };
        if let Some(current) = stored {
            return Ok(current?);
        }
        match self.original(id).await {
            Ok(answer) => Ok(Current::Image(answer.digest)),
            Err(Error::Source(NotFound)) => Ok(Current::Absent),
            Err(Error::Source(TooLarge { .. } | Forbidden) | Error::Render(_)) => Ok(Current::Unsendable),
            Err(
                error @ (Error::Source(Changing | Unavailable(_) | TimedOut | Refused(_) | Credentials | Status(_))
                | Error::Isolation(_)
                | Error::Work(_)),
            ) => Err(error),
        }
    }

    /// Gives validated files their names, all or none, if the files under these names are as expected. Afterwards they are
    /// durable, and the next request sees them. Continues where the client leaves.
    ///
    /// # Errors
    /// The index of the file that could not be published, and why.
    pub async fn publish(
        self: &Arc<Self>, files: Vec<(ImageId, ValidatedUpload)>, expected: Expected,
    ) -> Result<(), (usize, UploadError)> {
        let at = |index: usize| move |error: UploadError| (index, error);
        // one upload at a time: nothing may change between the check of the precondition and the rename
        let guard = Arc::clone(&self.publishing).lock_owned().await;
        let store = self.upload_store().map_err(at(0))?;
        if expected != Expected::Absent && !store.checks_preconditions() {
            for (index, (id, _)) in files.iter().enumerate() {
                let current = self.current(id).await.map_err(|error| (index, error.into()))?;
                if !expected.is_met_by(current) {
                    return Err((index, UploadError::Conflict));
                }
            }
        }
        let service = Arc::clone(self);
        // a task of its own, which is not cancelled half-way
        let published = tokio::spawn(async move {
            let _guard = guard;
            let ids: Vec<_> = files.iter().map(|(id, _)| id.clone()).collect();
            let named = files.into_iter().map(|(id, ValidatedUpload { staged, uploaded })| {
                let media_type = uploaded.image.format.media_type();
                NamedUpload { id, staged, media_type }
            });
            let result = store.publish(named.collect(), &expected).await;
            if result.is_ok() {
                service.stats.uploads.fetch_add(ids.len() as u64, Ordering::Relaxed);
            }
            service.forget(ids).await;
            result
        });
        let result = published.await.map_err(|_| (0, WorkError::Panicked.into()))?;
        result.map_err(|(index, rejected)| (index, rejected.into()))
    }

    /// Drops cached state of originals; on a thread of its own, since it may write to the disk.
    async fn forget(self: &Arc<Self>, ids: Vec<ImageId>) {
        let service = Arc::clone(self);
        // without a thread, which is logged, the former version is seen until it is checked again
        on_thread(move || ids.iter().for_each(|id| service.source.forget(id))).await;
    }
}
