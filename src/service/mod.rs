//! One request without the wire: the version of the original, the key, the cache, and a render on a miss. Sees no URL, no
//! header and no status code.
//!
//! | module | what it does |
//! |---|---|
//! | `resolve` | version, key, cache lookup, render on a miss, by the deadline |
//! | `memory_hit` | the fast path to renditions in memory |
//! | `render_job` | one render: permit, fetch, decode, operations, encode |
//! | [`workers`], `queue` | admission of renders to cores and memory |
//! | [`renderer`] | what reads originals, in this process or in isolated ones |
//! | [`isolated`] | the one in worker processes |
//! | `crashes` | originals whose renders crash again and again |
//! | `decode_cache` | decoded originals, shared by concurrent renders |
//! | `header` | headers of originals, by version |
//! | `passthrough` | originals sent unchanged |
//! | `overload_fallback` | originals in place of renditions that the queue refuses |
//! | [`rate_limit`] | renders of one client |
//! | [`purge`] | purges of this server, of the shared bucket and of the other servers |
//! | [`cluster`] | the other servers: their purges, and requests to them |
//! | [`uploads`] | new originals: staged, validated, published |
//! | [`explain`] | the answer that a request would get, without giving it |
//! | `listing` | names of originals, page by page |
//! | `upgrade_job`, `upgrades` | denser renditions in idle time |
//! | [`stats`] | counters and histograms |

mod answer;
pub mod cluster;
mod crashes;
mod decode_cache;
pub mod explain;
mod header;
pub mod isolated;
mod listing;
mod memory_hit;
mod overload_fallback;
mod passthrough;
pub mod purge;
mod queue;
pub mod rate_limit;
mod render_job;
pub mod renderer;
mod resolve;
pub mod stats;
mod upgrade_job;
mod upgrades;
pub mod uploads;
pub mod workers;

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;

pub use answer::{Answer, Error, File, Payload, Timing};
pub use memory_hit::KeyMemo;
pub use upgrade_job::Outcome as UpgradeOutcome;

use crate::cache::shared::SharedTier;
use crate::cache::{self, Cache, Digest, Key};
use crate::render::{Content, Settings};
use crate::source::{self, Source, Version, WithFallback};
use cluster::Cluster;
use crashes::Crashes;
use decode_cache::DecodeCache;
use header::Header;
use passthrough::Inspections;
use rate_limit::RateLimitCheck;
use renderer::{InProcess, Isolation, Renderer};
use resolve::{Failed, is_smallest};
use stats::Stats;
use upgrades::Upgrades;
use workers::Workers;

/// How long failures of renders are remembered, and how many.
const FAILURES_TTL: Duration = Duration::from_secs(60);
const MAX_FAILURES: u64 = 10_000;

/// Originals whose format and digest are remembered.
const MAX_ORIGINALS: u64 = 100_000;

/// Bytes of memory for headers of originals.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Format and digest of one version of an original.
#[derive(Clone, Copy, Debug)]
struct OriginalInfo {
    digest: Digest,
    content: Content,
}

/// Answers requests from the cache, and renders on a miss.
pub struct Service {
    source: Arc<dyn Source>,
    /// The same source.
    fallback: Arc<WithFallback>,
    cache: Arc<Cache<Failed>>,
    workers: Workers,
    renderer: Arc<dyn Renderer>,
    bounds: workers::Config,
    decode_cache: Arc<DecodeCache>,
    /// Loaded once for each request, so that key and render agree.
    settings: ArcSwap<Settings>,
    /// So that a 304 for an original does not read it.
    originals: moka::sync::Cache<Version, OriginalInfo>,
    /// So that the resources of a render are known before its original is fetched.
    headers: moka::sync::Cache<Version, Header>,
    failures: moka::sync::Cache<Key, Error>,
    crashes: Crashes,
    inspections: Inspections,
    upgrades: Upgrades,
    /// Set before the first request, if this server is one of several.
    cluster: OnceLock<Cluster>,
    stats: Arc<Stats>,
    /// Held while an upload is published.
    publishing: Arc<tokio::sync::Mutex<()>>,
}

impl Service {
    /// A service over a source, with a cache and workers as configured, that renders in this process.
    pub fn new(
        source: Arc<dyn Source>, cache: &cache::Config, workers: workers::Config, settings: Settings,
    ) -> Arc<Service> {
        Service::with_renderer(source, cache, workers, settings, Arc::new(InProcess))
    }

    /// The same with another renderer.
    pub fn with_renderer(
        source: Arc<dyn Source>, cache: &cache::Config, workers: workers::Config, settings: Settings,
        renderer: Arc<dyn Renderer>,
    ) -> Arc<Service> {
        let fallback = Arc::new(WithFallback::new(source));
        let failures = moka::sync::Cache::builder().max_capacity(MAX_FAILURES).time_to_live(FAILURES_TTL).build();
        Arc::new_cyclic(|service| Service {
            upgrades: Upgrades::new(Weak::clone(service)),
            source: Arc::clone(&fallback) as Arc<dyn Source>,
            fallback,
            cache: Arc::new(Cache::new(cache)),
            decode_cache: DecodeCache::new(workers.decode_cache),
            bounds: workers.clone(),
            workers: Workers::new(workers),
            renderer,
            settings: ArcSwap::from_pointee(settings),
            originals: moka::sync::Cache::new(MAX_ORIGINALS),
            headers: moka::sync::Cache::builder().max_capacity(MAX_HEADER_BYTES).weigher(Header::weight).build(),
            failures,
            crashes: Crashes::new(),
            inspections: Inspections::new(),
            cluster: OnceLock::new(),
            stats: Arc::default(),
            publishing: Arc::default(),
        })
    }

    /// Shares renditions with other servers; called before the first request.
    pub(crate) fn share(&self, tier: Arc<SharedTier>) {
        self.cache.share(tier);
    }

    /// The renditions that are shared with other servers, if there are any.
    pub(crate) fn shared(&self) -> Option<&Arc<SharedTier>> {
        self.cache.shared()
    }

    /// The settings of renders.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Changes the settings for later requests; running renders keep theirs.
    pub fn set_settings(&self, settings: Settings) {
        self.settings.store(settings.into());
        // a new limit may allow what failed
        self.failures.invalidate_all();
    }

    /// Changes the picture whose name is [`ImageId::fallback`](source::ImageId).
    pub fn set_fallback(&self, picture: Option<Bytes>) {
        self.fallback.set(picture);
    }

    /// Whether the cache folder is usable at present.
    pub fn cache_folder_state(&self) -> cache::FolderState {
        self.cache.folder_state()
    }

    /// Counters of the service.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Counters of the cache.
    pub fn cache_stats(&self) -> &cache::Counters {
        self.cache.counters()
    }

    /// Bytes and files of the cache folder.
    pub fn cache_usage(&self) -> cache::Usage {
        self.cache.usage()
    }

    /// The bounds of the cache.
    pub fn cache_config(&self) -> &cache::Config {
        self.cache.config()
    }

    /// Renditions in memory, and their bytes.
    pub fn cache_memory(&self) -> (u64, u64) {
        self.cache.memory()
    }

    /// Bodies in sealed memory files, and their bytes: cached ones, and those still being sent.
    pub fn memfd_usage(&self) -> (u64, u64) {
        cache::memfd_usage()
    }

    /// Counters of the source, if its originals are fetched over the network.
    pub fn remote_stats(&self) -> Option<source::RemoteStats> {
        self.source.remote_stats()
    }

    /// Bytes of originals that were read and not sent yet.
    pub fn buffered_bytes(&self) -> u64 {
        source::buffered_bytes()
    }

    /// Bytes of the decode cache, reserved ones included.
    pub fn decode_cache_bytes(&self) -> u64 {
        self.decode_cache.bytes()
    }

    /// The bounds of the workers.
    pub fn bounds(&self) -> &workers::Config {
        &self.bounds
    }

    /// The admission of renders and the threads that run them.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// The state of the worker processes; `None` where this process renders.
    pub fn isolation(&self) -> Option<Isolation> {
        self.renderer.isolation()
    }

    /// Writes all results to disk, and to the shared bucket if that answers. Blocks; for shutdown and tests.
    pub fn flush(&self) {
        self.cache.flush();
    }
}
