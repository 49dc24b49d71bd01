//! The server that the targets share.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tintype::config::Config;
use tintype::http::{App, LiveConfig, State, app};
use tintype::service::Service;
use tintype::source::{BoxFuture, Error, ImageId, Opened, Original, Source, Version};

use super::{png, policy, small};

/// A server with one image in memory.
pub(super) struct World {
    pub(super) runtime: tokio::runtime::Runtime,
    pub(super) app: App,
    pub(super) image: Bytes,
    _cache: tempfile::TempDir,
}

thread_local! {
    pub(super) static WORLD: RefCell<World> = RefCell::new(World::new());
}

impl World {
    fn new() -> World {
        let cache = tempfile::tempdir().expect("a folder");
        let app = new_app(cache.path(), true);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        World { runtime, app, image: Bytes::from(png(&[])), _cache: cache }
    }
}

/// The application with one image under every name, which keeps its results in that folder.
pub(super) fn new_app(cache: &Path, fast_path: bool) -> App {
    let mut config = Config::default();
    config.fixed.cache.dir = cache.to_owned();
    config.live.server.fast_path = fast_path;
    let source = Arc::new(Memory(Bytes::from(png(&[]))));
    let service = Service::new(source, &config.fixed.cache(), config.fixed.workers(), small());
    let live = config.live_http().expect("no presets");
    let live = LiveConfig { policy: policy(&[]), ..live };
    app(State::new(service, config.fixed.http(), live))
}

/// A source with one image under every name.
struct Memory(Bytes);

impl Source for Memory {
    fn version<'a>(&'a self, _: &'a ImageId) -> BoxFuture<'a, Result<Version, Error>> {
        Box::pin(std::future::ready(Ok(Version {
            identity: [7; 32],
            modified: Some(SystemTime::UNIX_EPOCH),
            length: self.0.len() as u64,
        })))
    }

    fn fetch<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Original, Error>> {
        Box::pin(async { Ok(Original { bytes: self.0.clone(), version: self.version(id).await? }) })
    }

    fn open<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Opened, Error>> {
        Box::pin(async { Ok(Opened::new(self.version(id).await?, self.0.clone())) })
    }
}
