//! The service in process, without a socket: tests can look at its state.

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
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

    /// The answer to a GET with these headers.
    pub(crate) async fn get_with(&self, uri: &str, headers: &[(&str, &str)]) -> Answer {
        let request = headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        let response = self.app.answer(request.body(Body::empty()).expect("a request")).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

/// An answer of the service in process.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }
}
