//! `/-/live` and `/-/ready`.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use super::state::State;
use crate::cache::FolderState;
use crate::render;

/// Never tied to load: an overloaded server that fails its liveness probe is restarted again and again.
pub(super) async fn live() -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(json!({ "status": "live" }))).into_response()
}

/// 503 while draining or while the cache folder is not writable, so that a load balancer takes another server. A process is
/// ready while another one has the cache folder open: in a restart without downtime that is the state of the new process
/// until the old one has ended.
pub(super) async fn ready(Shared(state): Shared<State>) -> Response {
    let draining = state.draining.load(Ordering::Relaxed);
    let folder = state.service.cache_folder_state();
    let (status, text) = match (draining, folder) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, FolderState::Unusable) => (StatusCode::SERVICE_UNAVAILABLE, "the cache folder is not writable"),
        (false, FolderState::Open | FolderState::InUse | FolderState::None) => (StatusCode::OK, "ready"),
    };
    let cache = match folder {
        FolderState::Open => "open",
        FolderState::InUse => "in use by another process",
        FolderState::Unusable => "unusable",
        FolderState::None => "none",
    };
    let mut headers = HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))]);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let isolation =
        state.service.isolation().map_or_else(|| "off".to_owned(), |isolation| isolation.report.to_string());
    let body = json!({
        "status": text,
        "cache": cache,
        "version": env!("CARGO_PKG_VERSION"),
        "backends": render::BACKENDS,
        "isolation": isolation,
    });
    (status, headers, Json(body)).into_response()
}
