//! The path of one request, without the wire: which version the original has, the key, the cache, and a render where
//! there is nothing yet. Never sees a URL, a header or a status code.

mod at_hand;
mod decodes;
mod head;
mod make;
mod passthrough;
mod queue;
mod stand_in;
pub mod stats;
pub mod toll;
pub mod uploads;
pub mod workers;

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;

use crate::cache::{self, Body, Cache, Digest, Failure, Found, Key, Sealed, Stored};
use crate::render::codec::Info;
use crate::render::{self, Content, Recipe, Settings};
use crate::source::{self, ImageId, Opened, Source, Version};
pub use at_hand::KeyMemo;
use decodes::Decodes;
use passthrough::Examinations;
use stats::Stats;
use toll::Toll;
use workers::{Refused, Workers};

/// How often a request begins again because its original changed under it.
const ATTEMPTS: usize = 3;

/// How long it is remembered that an original cannot be rendered, and of how many.
const FAILURES_KEPT: Duration = Duration::from_secs(60);
const FAILURES: u64 = 10_000;

/// Of how many originals the digest is remembered.
const FACTS: u64 = 100_000;

/// Bytes that what headers say is remembered in. Most take [`HEAD_BYTES`]; some come with a block of EXIF.
const HEADS: u64 = 16 << 20;
const HEAD_BYTES: usize = 300;

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The original could not be had.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// It could not be rendered.
    #[error(transparent)]
    Render(#[from] render::Error),
    /// There was no room or no time for it.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// What is sent.
#[derive(Debug)]
pub struct Answer {
    /// The bytes, or where they are.
    pub payload: Payload,
    /// Their digest.
    pub digest: Digest,
    /// What they are.
    pub content: Content,
    /// Whether they show what there is of a damaged original.
    pub damaged: bool,
    /// When the original was last changed.
    pub modified: SystemTime,
    /// How they came to be at hand; `None` for an original that is sent as it is.
    pub found: Option<Found>,
    /// What the time went to.
    pub timing: Timing,
}

/// The bytes of an answer, or where they are.
#[derive(Debug)]
pub enum Payload {
    /// They are in memory.
    Memory {
        /// All of them.
        bytes: Bytes,
        /// The file that they are, where they are kept in one.
        sealed: Option<Sealed>,
    },
    /// They are those of an original, to be read while it is sent.
    Original(Opened),
}

impl Payload {
    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        match self {
            Payload::Memory { bytes, .. } => bytes.len() as u64,
            Payload::Original(opened) => opened.version.length,
        }
    }
}

/// A rendition as a file of the cache, for a proxy that sends it itself.
#[derive(Clone, Debug)]
pub struct File {
    /// Where it is and what it holds.
    pub stored: Stored,
    /// When the original was last changed.
    pub modified: SystemTime,
    /// What the time went to.
    pub timing: Timing,
}

/// What the time of one request went to; zero where a part did not happen in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Looking for it in the cache.
    pub cache: Duration,
    /// Waiting for a worker.
    pub queue: Duration,
    /// Fetching the original.
    pub source: Duration,
    /// Decoding.
    pub decode: Duration,
    /// Resizing and the other operations.
    pub resize: Duration,
    /// Encoding.
    pub encode: Duration,
}

/// The header of one version of an original.
#[derive(Clone, Debug)]
enum Head {
    /// A picture of pixels.
    Picture(Arc<Info>),
    /// An SVG, which has no header to read.
    Svg,
}

/// What is known of one version of an original.
#[derive(Clone, Copy, Debug)]
struct Facts {
    digest: Digest,
    content: Content,
}

/// Answers requests.
pub struct Service {
    source: Arc<dyn Source>,
    cache: Arc<Cache<Failed>>,
    workers: Workers,
    bounds: workers::Config,
    decodes: Arc<Decodes>,
    /// Read once for each request, so that it is keyed and made under the same.
    settings: ArcSwap<Settings>,
    /// Digests of originals, so that an unchanged one is not read to say that it is unchanged.
    facts: moka::sync::Cache<Version, Facts>,
    /// What the headers of originals say: what a render takes is known before its original is fetched.
    heads: moka::sync::Cache<Version, Head>,
    failures: moka::sync::Cache<Key, render::Error>,
    examinations: Examinations,
    stats: Arc<Stats>,
    /// Held by whoever gives an upload its name.
    publishing: Arc<tokio::sync::Mutex<()>>,
}

/// How a render inside the cache's task ended without a result.
#[derive(Clone, Debug)]
enum Failed {
    Error(Error),
    /// The original has this version now; the key was another's.
    Changed(Version),
    /// By the original's header, the recipe comes to this one, which has a key of its own.
    Reduced(Recipe),
    /// Everybody who waited for it had left.
    Deserted,
}

impl<T: Into<Error>> From<T> for Failed {
    fn from(error: T) -> Self {
        Failed::Error(error.into())
    }
}

impl Service {
    /// A service over a source, with a cache and workers as configured.
    pub fn new(
        source: Arc<dyn Source>, cache: &cache::Config, workers: workers::Config, settings: Settings,
    ) -> Arc<Service> {
        let failures = moka::sync::Cache::builder().max_capacity(FAILURES).time_to_live(FAILURES_KEPT).build();
        Arc::new(Service {
            source,
            cache: Arc::new(Cache::new(cache)),
            decodes: Decodes::new(workers.decoded),
            bounds: workers.clone(),
            workers: Workers::new(workers),
            settings: ArcSwap::from_pointee(settings),
            facts: moka::sync::Cache::new(FACTS),
            heads: moka::sync::Cache::builder().max_capacity(HEADS).weigher(head_bytes).build(),
            failures,
            examinations: Examinations::new(),
            stats: Arc::default(),
            publishing: Arc::default(),
        })
    }

    /// The rendition of an original, by the deadline. What is under way then stops before its next stage, and within
    /// encoding to WebP; other encoders finish, and what they made is kept for the next who asks. What waits for a place
    /// when everyone who asked for it has left is not begun, and what runs then stops if others wait.
    ///
    /// `memo` is of this original and recipe alone; `toll` is asked for where it is not in memory, and paid where
    /// something has to be rendered.
    ///
    /// # Errors
    /// All of [`Error`]; [`Refused::TooMany`] where the toll is not paid.
    pub async fn rendition(
        self: &Arc<Self>, settings: &Arc<Settings>, id: &ImageId, recipe: &Recipe, memo: &KeyMemo,
        toll: impl FnOnce() -> Option<Arc<Toll>>,
    ) -> Result<Answer, Error> {
        let answer = async {
            let came = Instant::now();
            let version = self.source.version(id).await?;
            match self.at_hand(settings, id, version, recipe, memo) {
                Some(mut answer) => {
                    answer.timing.cache = came.elapsed();
                    Ok(answer)
                }
                None => self.found_or_made(settings, id, version, recipe, toll(), came).await,
            }
        };
        let mut answer = std::pin::pin!(answer);
        // what is in memory is there at once, and no time is measured for it
        let at_once = std::future::poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await;
        match at_once {
            Poll::Ready(answer) => answer,
            Poll::Pending => {
                let in_time = tokio::time::timeout(self.workers.deadline(), answer).await;
                in_time.unwrap_or(Err(Refused::Deadline.into()))
            }
        }
    }

    /// The rendition as a file, where it is one already; `None` where it is to be asked for as bytes, which may mean to be
    /// made.
    ///
    /// # Errors
    /// Those of the original, and [`Refused::Deadline`].
    pub async fn file(&self, settings: &Settings, id: &ImageId, recipe: Recipe) -> Result<Option<File>, Error> {
        let looked_for = async {
            let started = Instant::now();
            let version = self.source.version(id).await?;
            let recipe = self.effective(version, settings, &recipe).unwrap_or(recipe);
            let stored = self.cache.stored(Key::new(id, &version, &recipe, settings)).await;
            Ok(stored.map(|stored| {
                self.stats.count(Found::Disk);
                let timing = Timing { cache: started.elapsed(), ..Timing::default() };
                File { stored, modified: version.modified, timing }
            }))
        };
        tokio::time::timeout(self.workers.deadline(), looked_for).await.unwrap_or(Err(Refused::Deadline.into()))
    }

    async fn found_or_made(
        self: &Arc<Self>, settings: &Arc<Settings>, id: &ImageId, mut version: Version, recipe: &Recipe,
        toll: Option<Arc<Toll>>, came: Instant,
    ) -> Result<Answer, Error> {
        let mut attempts = 0;
        if !self.cache.is_on_disk(Key::new(id, &version, recipe, settings)) {
            self.learn_head(id, version, settings).await;
        }
        let mut reduced = None;
        while attempts < ATTEMPTS {
            let recipe = reduced.take().or_else(|| self.effective(version, settings, recipe)).unwrap_or(recipe.clone());
            let key = Key::new(id, &version, &recipe, settings);
            if let Some(failure) = self.failures.get(&key) {
                return Err(failure.into());
            }
            match self.attempt(id, version, key, recipe, settings, toll.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(Failed::Changed(now)) => {
                    version = now;
                    attempts += 1;
                }
                // reducing twice changes nothing, so this happens once for a version
                Err(Failed::Reduced(recipe)) => reduced = Some(recipe),
                // another one should have paid; now it may be this one's turn, and each is refused once only
                Err(Failed::Error(Error::Refused(Refused::TooMany(_))))
                    if !toll.as_ref().is_some_and(|toll| toll.is_unpaid()) => {}
                // came as the others had just left; and their time was over, not this one's
                Err(Failed::Deserted) => {}
                Err(Failed::Error(Error::Refused(Refused::Deadline))) if came.elapsed() < self.workers.deadline() => {}
                Err(Failed::Error(error)) => {
                    if let Error::Render(failure) = &error {
                        self.remember(key, failure);
                    }
                    return Err(error);
                }
            }
        }
        Err(source::Error::Changing.into())
    }

    /// Where the original itself may be the smallest, only the rendition that it is compared with is made; it is shared
    /// with requests that name its format.
    async fn attempt(
        self: &Arc<Self>, id: &ImageId, version: Version, key: Key, recipe: Recipe, settings: &Arc<Settings>,
        toll: Option<Arc<Toll>>,
    ) -> Result<Answer, Failed> {
        if let Some(exact) = self.compared(version, settings, &recipe) {
            let key = Key::new(id, &version, &exact, settings);
            let answer = self.look_up(id, version, key, exact, settings, toll.clone()).await?;
            if is_smallest(answer.payload.length(), answer.damaged, version) {
                return Ok(answer);
            }
        }
        self.look_up(id, version, key, recipe, settings, toll).await
    }

    async fn look_up(
        self: &Arc<Self>, id: &ImageId, version: Version, key: Key, recipe: Recipe, settings: &Arc<Settings>,
        toll: Option<Arc<Toll>>,
    ) -> Result<Answer, Failed> {
        let started = Instant::now();
        let (service, id, settings) = (Arc::clone(self), id.clone(), Arc::clone(settings));
        let timing = Arc::<std::sync::Mutex<Timing>>::default();
        let measured = Arc::clone(&timing);
        let named = id.clone();
        let made = self.cache.get_or_make(&named, key, move |waiters| async move {
            if let Some(toll) = toll {
                toll.pay().map_err(Refused::TooMany)?;
            }
            let result = service.make(&id, version, recipe, settings, waiters).await;
            result.map(|(encoded, timing)| {
                *measured.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = timing;
                encoded
            })
        });
        let (body, found) = made.await.map_err(|failure| match failure {
            Failure::Make(failed) => failed,
            Failure::Lost => Refused::Lost.into(),
        })?;
        let mut timing = *timing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if matches!(found, Found::Memory | Found::Disk) {
            timing.cache = started.elapsed();
        }
        self.stats.count(found);
        let Body { bytes, digest, content, damaged, sealed } = (*body).clone();
        let (payload, modified) = (Payload::Memory { bytes, sealed }, version.modified);
        Ok(Answer { payload, digest, content, damaged, modified, found: Some(found), timing })
    }

    /// The recipe in its one form for the original, where the original's header is known.
    fn effective(&self, version: Version, settings: &Settings, recipe: &Recipe) -> Option<Recipe> {
        Some(self.heads.get(&version)?.effective(recipe, settings))
    }

    /// The recipe that an effective recipe is compared with, where the original itself may be smaller.
    fn compared(&self, version: Version, settings: &Settings, recipe: &Recipe) -> Option<Recipe> {
        recipe.compared(self.heads.get(&version)?.info()?, settings)
    }

    fn remember(&self, key: Key, failure: &render::Error) {
        use render::Error::{Cancelled, Encode, Impossible, Limit, Malformed, UnknownFormat, Unsupported};
        match failure {
            UnknownFormat | Unsupported { .. } | Malformed { .. } | Limit(_) | Impossible(_) => {
                self.failures.insert(key, failure.clone());
            }
            // these do not come from the original
            Cancelled | Encode { .. } => {}
        }
    }

    /// Drops every rendition that is meant and says how many there were.
    pub async fn purge(self: &Arc<Self>, what: cache::Purge) -> u64 {
        let (done, wait) = tokio::sync::oneshot::channel();
        let service = Arc::clone(self);
        // a thread of its own: removing many files takes long, and is no work that waits for a worker
        std::thread::spawn(move || {
            let purged = service.cache.purge(&what);
            // whoever asked may have left
            let _ = done.send(purged);
        });
        wait.await.unwrap_or(0)
    }

    /// What renditions are made under where nobody says otherwise.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// What every rendition that is asked for from now on is made under. Those that are being made are not disturbed.
    pub fn set_settings(&self, settings: Settings) {
        self.settings.store(settings.into());
        // what was over a limit need not be over this one
        self.failures.invalidate_all();
    }

    /// How the cache has its folder at present.
    pub fn cache_folder_state(&self) -> cache::FolderState {
        self.cache.folder_state()
    }

    /// What has happened so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What has happened to the cache so far.
    pub fn cache_stats(&self) -> &cache::Stats {
        self.cache.stats()
    }

    /// How the cache folder stands.
    pub fn cache_usage(&self) -> cache::Usage {
        self.cache.usage()
    }

    /// The cache's bounds.
    pub fn cache_config(&self) -> &cache::Config {
        self.cache.config()
    }

    /// Renditions in memory, and their bytes.
    pub fn cache_memory(&self) -> (u64, u64) {
        self.cache.memory()
    }

    /// Bodies that are files in memory, and their bytes: those in the cache, and those still being sent.
    pub fn sealed_memory(&self) -> (u64, u64) {
        cache::live_sealed()
    }

    /// Bytes of originals that were read to be sent, and have not been sent yet.
    pub fn buffered_bytes(&self) -> u64 {
        source::buffered_bytes()
    }

    /// Bytes of decoded originals that are kept for a moment, or put by for those being decoded.
    pub fn decoded_bytes(&self) -> u64 {
        self.decodes.bytes()
    }

    /// How much work is taken in.
    pub fn bounds(&self) -> &workers::Config {
        &self.bounds
    }

    /// The workers.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Brings what was made so far onto disk. Blocks; for the end of the program and for tests.
    pub fn flush(&self) {
        self.cache.flush();
    }
}

impl Head {
    /// The recipe in its one form for an original with this header.
    fn effective(&self, recipe: &Recipe, settings: &Settings) -> Recipe {
        match self {
            Head::Picture(info) => recipe.effective(info, settings),
            Head::Svg if recipe.passes_svg_through() => Recipe::passthrough(),
            Head::Svg => recipe.clone(),
        }
    }

    fn info(&self) -> Option<&Arc<Info>> {
        match self {
            Head::Picture(info) => Some(info),
            Head::Svg => None,
        }
    }
}

/// Whether a rendition is sent rather than its original.
fn is_smallest(length: u64, damaged: bool, version: Version) -> bool {
    damaged || length <= version.length
}

/// Bytes that the memory of a header takes.
fn head_bytes(_: &Version, head: &Head) -> u32 {
    let Head::Picture(info) = head else { return HEAD_BYTES as u32 };
    let more = info.exif.as_ref().map_or(0, Vec::len) + info.profile_name.as_ref().map_or(0, String::len);
    u32::try_from(HEAD_BYTES + more).unwrap_or(u32::MAX)
}
