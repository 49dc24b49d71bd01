//! Originals that are sent as they are. An original is read once for each version, to learn its format and digest; after
//! that it is opened to be sent, and not even read to say that it is unchanged.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use super::workers::{Class, Need, Refused};
use super::{ATTEMPTS, Answer, Error, Facts, Payload, Service, Timing};
use crate::cache::Digest;
use crate::render::{self, Content, Format};
use crate::source::{self, Chunks, ImageId, Version};

/// How many originals are examined at a time; each has its beginning in memory, and takes a core now and then.
const AT_ONCE: usize = 4;

/// Bytes in which the header of nearly every image lies, and all of an original that stands in for a rendition: that one
/// must not have to wait for a worker.
const BEGINNING: u64 = 2 << 20;

/// The facts that are being found out, once for each version however many ask.
pub(super) struct Examinations {
    turns: Semaphore,
    running: Mutex<HashMap<Version, Arc<Examination>>>,
}

type Examination = OnceCell<Result<Facts, Error>>;

impl Examinations {
    pub(super) fn new() -> Examinations {
        Examinations { turns: Semaphore::new(AT_ONCE), running: Mutex::default() }
    }

    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // it is never closed
        self.turns.acquire().await.ok()
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Version, Arc<Examination>>> {
        // every change is made whole
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, version: Version) -> Arc<Examination> {
        Arc::clone(self.running().entry(version).or_default())
    }

    fn end(&self, version: Version, ended: &Arc<Examination>) {
        let mut running = self.running();
        if running.get(&version).is_some_and(|examination| Arc::ptr_eq(examination, ended)) {
            running.remove(&version);
        }
    }
}

impl Service {
    /// The original as it is, if it is an image.
    ///
    /// # Errors
    /// [`render::Error::UnknownFormat`] where it is not, all of [`source::Error`], and [`Refused`] where it could not be
    /// examined in time.
    pub async fn original(self: &Arc<Self>, id: &ImageId) -> Result<Answer, Error> {
        let started = Instant::now();
        let examined = async {
            let mut attempts = 1;
            loop {
                let opened = self.source.open(id).await?;
                match self.facts(id, opened.version).await {
                    Err(Error::Source(source::Error::Changing)) if attempts < ATTEMPTS => attempts += 1,
                    facts => return facts.map(|facts| (opened, facts)),
                }
            }
        };
        let examined = tokio::time::timeout(self.workers.deadline(), examined).await;
        let (opened, Facts { digest, content }) = examined.unwrap_or(Err(Refused::Deadline.into()))?;
        let timing = Timing { source: started.elapsed(), ..Timing::default() };
        let (modified, payload) = (opened.version.modified, Payload::Original(opened));
        Ok(Answer { payload, digest, content, damaged: false, modified, found: None, timing })
    }

    /// The facts of a version, known or found out now.
    async fn facts(self: &Arc<Self>, id: &ImageId, version: Version) -> Result<Facts, Error> {
        if let Some(facts) = self.facts.get(&version) {
            return Ok(facts);
        }
        let examination = self.examinations.join(version);
        let (service, id) = (Arc::clone(self), id.clone());
        // a task of its own: a client that leaves does not stop what others wait for
        let task = tokio::spawn(async move {
            let facts = examination.get_or_init(|| service.examine(&id, version)).await.clone();
            service.examinations.end(version, &examination);
            facts
        });
        task.await.unwrap_or(Err(Refused::Lost.into()))
    }

    async fn examine(&self, id: &ImageId, version: Version) -> Result<Facts, Error> {
        // another examination may have ended between the look and the joining
        if let Some(facts) = self.facts.get(&version) {
            return Ok(facts);
        }
        let content = Content::Image(self.identify(id, version).await?);
        let facts = Facts { digest: self.digest(id, version).await?, content };
        self.facts.insert(version, facts);
        Ok(facts)
    }

    /// The format, read from the beginning where that says enough. All of it is read in the account of memory.
    async fn identify(&self, id: &ImageId, version: Version) -> Result<Format, Error> {
        let settings = self.settings.load_full();
        let identified = {
            let _turn = self.examinations.turn().await;
            let beginning = self.read(id, version, 0..version.length.min(BEGINNING)).await?.read_to_end().await?;
            render::identify(&beginning, &settings)
        };
        match identified {
            // a signature stands at the beginning or nowhere
            Err(render::Error::UnknownFormat) => return Err(render::Error::UnknownFormat.into()),
            Err(_) if version.length > BEGINNING => {}
            identified => return Ok(identified?),
        }
        let bytes = version.length + render::FIXED_MEMORY;
        let place = self.workers.visit().place(Need { class: Class::Cheap, bytes, time: None }).await?;
        let original = self.source.fetch(id).await?;
        if original.version != version {
            return Err(source::Error::Changing.into());
        }
        let identified = place.run(move |account| {
            account.tells_nothing();
            render::identify(&original.bytes, &settings)
        });
        Ok(identified.await??)
    }

    async fn digest(&self, id: &ImageId, version: Version) -> Result<Digest, Error> {
        let _turn = self.examinations.turn().await;
        let mut chunks = self.read(id, version, 0..version.length).await?;
        let mut hasher = blake3::Hasher::new();
        while let Some(chunk) = chunks.next().await {
            hasher.update(&chunk?);
            // a chunk takes some fifty microseconds, and answers go first
            tokio::task::yield_now().await;
        }
        Ok(hasher.finalize().into())
    }

    /// A range of that version's bytes.
    pub(super) async fn read(&self, id: &ImageId, version: Version, range: Range<u64>) -> Result<Chunks, Error> {
        let opened = self.source.open(id).await?;
        if opened.version != version {
            return Err(source::Error::Changing.into());
        }
        Ok(opened.read(range))
    }
}
