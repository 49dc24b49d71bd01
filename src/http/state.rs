//! The state that all requests share, and the settings under which they are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::access::{AccessLog, LogWriter};
use super::clients::Proxies;
use super::cors::AllowOrigin;
use super::history::{self, History};
use super::rate_limit::{BeaconLimit, PerClient};
use super::request_cache::RequestCache;
use super::traffic::Traffic;
use crate::dialect::Policy;
use crate::render::Settings;
use crate::service::Service;

/// The settings of the HTTP layer that stay as they were at the start.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Whether `/-/` is served on a listener of its own only.
    pub separate_admin: bool,
    /// The clients that the playground answers.
    pub playground: Playground,
    /// The path below which a proxy finds the cache folder (X-Accel-Redirect); empty for none.
    pub x_accel: String,
    /// Whether uploads are enabled.
    pub upload: bool,
    /// Concurrent uploads.
    pub uploads: usize,
    /// How long the body of an upload may take to arrive.
    pub upload_timeout: Duration,
    /// Whether beacons are logged.
    pub log_beacons: bool,
    /// Renders per second and client; 0 for no limit.
    pub rate: u32,
    /// Renders that one client may cause at once, after a while of none.
    pub burst: u32,
    /// The proxies whose header names the client.
    pub proxies: Proxies,
}

/// The clients that the playground answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Playground {
    /// There is none.
    #[default]
    Off,
    /// Requests to a local name: a page of another site may have its own name lead to this server (DNS rebinding).
    Local,
    /// All.
    On,
}

/// The picture in answers that have no image.
#[derive(Clone, Debug)]
pub struct Fallback {
    /// Its file.
    pub bytes: Bytes,
    /// Whether answers with it have the status 200 rather than that of the error.
    pub is_ok: bool,
}

/// The settings of the HTTP layer that a reload replaces.
pub struct LiveConfig {
    /// How URLs are parsed.
    pub policy: Policy,
    /// Whether hits are answered by the fast path.
    pub fast_path: bool,
    /// Whether answers have a `Server-Timing` header.
    pub server_timing: bool,
    /// Whether small originals are sent in place of renditions that are refused for overload.
    pub overload_fallback: bool,
    /// The picture for answers that have no image.
    pub fallback: Option<Fallback>,
    /// The bearer token of purges and uploads; empty switches both off.
    pub admin_token: String,
    /// The origins whose pages may read answers (CORS).
    pub allow_origin: AllowOrigin,
}

/// The state that every request handler has access to. Clones share everything.
#[derive(Clone)]
pub struct State {
    pub(super) service: Arc<Service>,
    pub(super) config: Arc<Config>,
    pub(super) live: Arc<ArcSwap<Live>>,
    pub(super) traffic: Arc<Traffic>,
    /// The memory of the status page.
    pub(super) history: Arc<History>,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) started: SystemTime,
    pub(super) proxies: Arc<Proxies>,
    /// [`Config::x_accel`] unless it is empty.
    pub(super) x_accel: Option<Arc<str>>,
    /// Permits of concurrent uploads.
    pub(super) uploads: Arc<Semaphore>,
    /// The permit of comparisons, which run one at a time.
    pub(super) comparisons: Arc<Semaphore>,
    /// `None` where beacons are off.
    pub(super) beacons: Option<Arc<BeaconLimit>>,
    /// The limit on renders; `None` for no limit.
    pub(super) renders: Option<PerClient>,
    /// The access log in JSON; `None` writes it through `tracing`.
    pub(super) access: Option<Arc<AccessLog>>,
    /// The writer of the whole log; `None` in tests.
    pub(super) log: Option<Arc<LogWriter>>,
}

/// The live settings and what depends on them. They are swapped as one pointer. A request's policy, parsed form and render
/// settings come from one load of it, which requests in flight keep; headers and limits of clients may come from a later one.
pub(super) struct Live {
    pub(super) config: LiveConfig,
    /// The settings of renders.
    pub(super) settings: Arc<Settings>,
    /// Requests that were parsed under this policy.
    pub(super) requests: RequestCache,
}

impl Live {
    fn new(config: LiveConfig, settings: Arc<Settings>) -> Live {
        Live { config, settings, requests: RequestCache::default() }
    }
}

impl State {
    /// The state of a service that begins to answer requests.
    pub fn new(service: Arc<Service>, config: Config, live: LiveConfig) -> State {
        let settings = service.settings();
        service.set_fallback(live.fallback.as_ref().map(|fallback| fallback.bytes.clone()));
        State {
            service,
            traffic: Arc::default(),
            history: Arc::default(),
            draining: Arc::default(),
            started: SystemTime::now(),
            proxies: config.proxies.clone().into(),
            x_accel: Some(config.x_accel.as_str()).filter(|prefix| !prefix.is_empty()).map(Into::into),
            uploads: Arc::new(Semaphore::new(config.uploads)),
            comparisons: Arc::new(Semaphore::new(1)),
            beacons: config.log_beacons.then(|| Arc::new(BeaconLimit::new())),
            renders: PerClient::new(config.rate, config.burst),
            access: None,
            log: None,
            live: Arc::new(ArcSwap::from_pointee(Live::new(live, settings))),
            config: Arc::new(config),
        }
    }

    /// Counts the lines that `log` drops, and writes the access log to it directly if it is in JSON (`as_json`).
    #[must_use]
    pub fn with_access_log(self, log: Arc<LogWriter>, as_json: bool) -> State {
        let access = as_json.then(|| Arc::new(AccessLog(Arc::clone(&log))));
        State { access, log: Some(log), ..self }
    }

    /// Replaces the settings of requests that arrive from now on.
    pub fn set_live_config(&self, config: LiveConfig, settings: Settings, upgrades: Option<Duration>) {
        self.service.set_settings(settings);
        self.service.set_fallback(config.fallback.as_ref().map(|fallback| fallback.bytes.clone()));
        self.service.set_upgrades(upgrades);
        self.live.store(Live::new(config, self.service.settings()).into());
    }

    /// Notes the counters for the status page, every few seconds and for ever.
    pub async fn keep_history(self) {
        loop {
            self.history.sample(&self.traffic, &self.service);
            tokio::time::sleep(history::INTERVAL).await;
        }
    }

    /// Makes `/-/ready` answer 503 from now on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}
