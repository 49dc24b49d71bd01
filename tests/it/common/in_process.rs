//! The service in process, without a socket: tests can look at its state.

use std::path::Path;
use std::sync::Arc;

use tintype::config::Config;
use tintype::http::{App, State, app};
use tintype::service::Service;
use tintype::source::Files;

/// The service over a folder, with a temporary cache.
pub(crate) struct InProcess {
    pub(crate) app: App,
    pub(crate) service: Arc<Service>,
    pub(crate) config: Config,
    pub(crate) cache: tempfile::TempDir,
}

impl InProcess {
    /// The defaults with changes.
    pub(crate) fn new(root: &Path, change: impl FnOnce(&mut Config)) -> InProcess {
        let cache = super::folder();
        let mut config = Config::default();
        config.fixed.cache.dir = cache.path().to_owned();
        change(&mut config);
        InProcess::with_cache(root, cache, config)
    }

    /// The service of these settings, over a cache folder that may be that of another one.
    pub(crate) fn with_cache(root: &Path, cache: tempfile::TempDir, config: Config) -> InProcess {
        let source = Files::new(root, config.fixed.source.max_bytes.0).expect("a folder with originals");
        let service = Service::new(Arc::new(source), &config.fixed.cache(), config.fixed.workers(), config.render());
        let live = config.live_http().expect("good presets");
        let app = app(State::new(Arc::clone(&service), config.fixed.http(), live));
        InProcess { app, service, config, cache }
    }
}
