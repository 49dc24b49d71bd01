//! Taking originals in: staged, decoded to the last pixel by a worker as any render is, and only then published.
//!
//! An upload is data, not cache: whoever is told that it was taken in may forget their own copy.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::make::Clock;
use super::workers::{Class, Need, Refused};
use super::{Error, Service};
use crate::cache::Digest;
use crate::render::{self, Checked};
use crate::source::{self, ImageId, Inbox, Rejected, Staged};

/// Why something was not taken in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotTaken {
    /// It is no sound image, or there was no room or time to find out.
    #[error(transparent)]
    Service(#[from] Error),
    /// It could not be stored.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// What was to be replaced is not there, or not as it was.
    #[error("the original is not the one that was to be replaced")]
    Changed,
    /// This source takes nothing in.
    #[error("originals cannot be taken in here")]
    Closed,
}

impl From<Refused> for NotTaken {
    fn from(refused: Refused) -> NotTaken {
        NotTaken::Service(refused.into())
    }
}

impl From<render::Error> for NotTaken {
    fn from(error: render::Error) -> NotTaken {
        NotTaken::Service(error.into())
    }
}

/// A file on its way in.
#[derive(Debug)]
pub struct Upload {
    staged: Staged,
    hasher: blake3::Hasher,
}

/// A file that is a sound image and can be published.
#[derive(Debug)]
pub struct Sound {
    staged: Staged,
    /// What it is.
    pub taken: Taken,
}

/// What was taken in.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Its format, size and frames.
    pub image: Checked,
    /// How long it is.
    pub bytes: u64,
    /// The digest of its bytes.
    pub digest: Digest,
}

/// What has a name at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Current {
    /// Nothing.
    Absent,
    /// Something that is never sent, so that it has no digest.
    Unsendable,
    /// An original of that digest.
    Image(Digest),
}

/// What must have the name for an upload to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Absent,
    /// An original, whichever.
    Present,
    /// An original of one of these digests.
    OneOf(Vec<Digest>),
}

impl Upload {
    /// Adds to it.
    ///
    /// # Errors
    /// [`Rejected::TooLarge`], and failures of the storage.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Rejected> {
        self.hasher.update(bytes);
        self.staged.write(bytes).await
    }
}

impl Service {
    /// The most bytes of an upload; `None` where nothing is taken in.
    pub fn upload_limit(&self) -> Option<u64> {
        self.inbox().ok().map(|inbox| inbox.max_bytes())
    }

    /// Removes what uploads to a killed process left behind; says how many files that were.
    ///
    /// # Errors
    /// Where nothing can be taken in.
    pub fn sweep_uploads(&self) -> Result<usize, NotTaken> {
        Ok(self.inbox()?.sweep()?)
    }

    fn inbox(&self) -> Result<Inbox, NotTaken> {
        self.source.inbox().ok_or(NotTaken::Closed)
    }

    /// Begins to take something in.
    ///
    /// # Errors
    /// Where nothing can be stored.
    pub fn begin_upload(&self) -> Result<Upload, NotTaken> {
        Ok(Upload { staged: self.inbox()?.stage()?, hasher: blake3::Hasher::new() })
    }

    /// Finds out whether it is an image, whole and within the limits, by decoding all of it; then brings it onto the disk.
    /// Takes a worker, as a render does, and waits for one as long.
    ///
    /// # Errors
    /// All that rendering may fail with, and failures of the storage.
    pub async fn check_upload(&self, upload: Upload) -> Result<Sound, NotTaken> {
        let Upload { mut staged, hasher } = upload;
        let settings = self.settings.load_full();
        let mut visit = self.workers.visit();
        let deadline = visit.deadline();
        let mut need = Need { class: Class::Cheap, bytes: staged.bytes() + render::FIXED_MEMORY, time: None };
        let checked = loop {
            let place = visit.place(need).await?;
            let (bytes, settings) = (staged.read().await?, Arc::clone(&settings));
            let work = place.run(move |account| {
                account.tells_nothing();
                let head = render::head(&bytes, &settings)?;
                if let Some(info) = &head {
                    let estimate = render::estimate_check(info, bytes.len() as u64, &settings)?;
                    let need = Need { class: Class::Cheap, bytes: estimate.memory, time: Some(estimate.time) };
                    if !account.change(need) {
                        return Ok(Err(need));
                    }
                }
                render::check(&bytes, head.as_ref(), &settings, &mut Clock::new(deadline, None)).map(Ok)
            });
            match tokio::time::timeout_at(deadline.into(), work).await.map_err(|_| Refused::Deadline)?? {
                // it takes more memory than is left, and waits for it without holding any
                Ok(Err(more)) => need = more,
                Ok(Ok(checked)) => break Ok(checked),
                Err(error) => break Err(error),
            }
        };
        let image = match checked {
            // the only one who cancels is the clock
            Err(render::Error::Cancelled) => return Err(Refused::Deadline.into()),
            checked => checked?,
        };
        staged.sync().await?;
        let taken = Taken { image, bytes: staged.bytes(), digest: Digest::from(hasher.finalize()) };
        Ok(Sound { staged, taken })
    }

    /// What has that name at present.
    ///
    /// # Errors
    /// Where that cannot be told.
    pub async fn current(self: &Arc<Self>, id: &ImageId) -> Result<Current, Error> {
        use source::Error::{Changing, Forbidden, NotFound, TooLarge, Unavailable};
        match self.original(id).await {
            Ok(answer) => Ok(Current::Image(answer.digest)),
            Err(Error::Source(NotFound)) => Ok(Current::Absent),
            Err(Error::Source(TooLarge { .. } | Forbidden) | Error::Render(_)) => Ok(Current::Unsendable),
            Err(error @ (Error::Source(Changing | Unavailable(_)) | Error::Refused(_))) => Err(error),
        }
    }

    /// Gives sound files their names, all or none, if what has the names is as expected. Afterwards they cannot be lost,
    /// and the next request is answered from them. Goes on where whoever asked leaves.
    ///
    /// # Errors
    /// The place in the list of what could not be published, and why.
    pub async fn publish(
        self: &Arc<Self>, files: Vec<(ImageId, Sound)>, expected: Expected,
    ) -> Result<(), (usize, NotTaken)> {
        let at = |index: usize| move |error: NotTaken| (index, error);
        // one at a time: between the look at what is there and the replacing of it nobody else may come
        let turn = Arc::clone(&self.publishing).lock_owned().await;
        let inbox = self.inbox().map_err(at(0))?;
        if expected != Expected::Absent {
            for (index, (id, _)) in files.iter().enumerate() {
                let current = self.current(id).await.map_err(|error| (index, error.into()))?;
                if !expected.is_met_by(current) {
                    return Err((index, NotTaken::Changed));
                }
            }
        }
        let (done, wait) = tokio::sync::oneshot::channel();
        let service = Arc::clone(self);
        // a thread of its own: it waits for the disk, and must not be stopped half-way
        std::thread::spawn(move || {
            let _turn = turn;
            let mut files: Vec<_> = files.into_iter().map(|(id, Sound { staged, taken: _ })| (id, staged)).collect();
            let result = inbox.publish(&mut files, expected != Expected::Absent);
            files.iter().for_each(|(id, _)| service.source.forget(id));
            if result.is_ok() {
                service.stats.uploads.fetch_add(files.len() as u64, Ordering::Relaxed);
            }
            // whoever asked may have left
            let _ = done.send(result);
        });
        let result = wait.await.map_err(|_| (0, Refused::Lost.into()))?;
        result.map_err(|(index, rejected)| (index, rejected.into()))
    }
}

impl Expected {
    /// Whether that is it.
    pub fn is_met_by(&self, current: Current) -> bool {
        match (self, current) {
            (Expected::Absent, Current::Absent) => true,
            (Expected::Present, Current::Image(_) | Current::Unsendable) => true,
            (Expected::OneOf(digests), Current::Image(digest)) => digests.contains(&digest),
            _ => false,
        }
    }
}
