//! Whether the process lives, and whether it should be sent requests.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use super::State;
use crate::render;

/// Never tied to load: an overloaded server that fails its liveness probe is restarted, and then again.
pub(super) async fn live() -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(json!({ "status": "live" }))).into_response()
}

/// 503 while draining or while results cannot be kept, so that a balancer looks elsewhere.
pub(super) async fn ready(Shared(state): Shared<State>) -> Response {
    let draining = state.draining.load(Ordering::Relaxed);
    let cache_writable = state.service.is_cache_writable();
    let (status, text) = match (draining, cache_writable) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "the cache folder is not writable"),
        (false, true) => (StatusCode::OK, "ready"),
    };
    let mut headers = HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))]);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let body = json!({ "status": text, "version": env!("CARGO_PKG_VERSION"), "backends": render::codec::BACKENDS });
    (status, headers, Json(body)).into_response()
}
