//! The wire: routes, requests and answers. Never touches a codec or a file.
//!
//! Everything that is not an image is under `/-/`; every other path is an original's.

mod admin;
mod headers;
mod health;
mod image;
mod metrics;
mod problem;
mod ranges;
pub mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use http::{HeaderName, HeaderValue};
use tower_http::catch_panic::CatchPanicLayer;

use crate::dialect::Policy;
use crate::service::Service;

/// How requests are answered.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Whether answers say what the time went to.
    pub server_timing: bool,
    /// Where `/-/` is found: on the listener for images, or only on one of its own.
    pub admin_apart: bool,
    /// What a purge must know; empty switches it off.
    pub admin_token: String,
}

/// What every request sees.
#[derive(Clone)]
pub struct State {
    service: Arc<Service>,
    policy: Arc<Policy>,
    config: Arc<Config>,
    draining: Arc<AtomicBool>,
}

impl State {
    /// The parts that answer requests.
    pub fn new(service: Arc<Service>, policy: Policy, config: Config) -> State {
        State { service, policy: policy.into(), config: config.into(), draining: Arc::default() }
    }

    /// From now on tintype says that it is not ready.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

/// The routes of the main listener.
pub fn router(state: State) -> Router {
    let images = Router::new().fallback(image::answer);
    let routes = if state.config.admin_apart {
        // a path below /-/ must not become an original's name just because the admin listener is elsewhere
        images.route("/-/{*path}", axum::routing::any(problem::not_found))
    } else {
        images.merge(admin_routes())
    };
    finish(routes, state)
}

/// The routes of the listener for health, metrics and administration, where it is apart.
pub fn admin_router(state: State) -> Router {
    finish(admin_routes().fallback(problem::not_found), state)
}

fn admin_routes() -> Router<State> {
    let only = |method_router: axum::routing::MethodRouter<State>| method_router.fallback(problem::method_not_allowed);
    Router::new()
        .route("/-/live", only(get(health::live)))
        .route("/-/ready", only(get(health::ready)))
        .route("/-/metrics", only(get(metrics::metrics)))
        .route("/-/purge", axum::routing::any(admin::purge))
        .route("/-/{*path}", axum::routing::any(problem::not_found))
}

fn finish(routes: Router<State>, state: State) -> Router {
    routes
        .layer(CatchPanicLayer::custom(problem::after_panic))
        .layer(middleware::from_fn(access_log))
        .layer(middleware::from_fn(request_id))
        .with_state(state)
}

/// One request's identifier, for its answer, its errors and its log line.
#[derive(Clone, Debug)]
struct RequestId(HeaderValue);

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Takes the identifier that came with the request if it is plain, or makes one.
async fn request_id(mut request: Request, next: Next) -> Response {
    let plain = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=64).contains(&bytes.len()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
    };
    let given = request.headers().get(X_REQUEST_ID).filter(plain).cloned();
    let id = given.unwrap_or_else(made_up_id);
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}

/// Distinct within and between processes: a random prefix for each start, then a count.
fn made_up_id() -> HeaderValue {
    use std::hash::{BuildHasher, Hasher, RandomState};
    use std::sync::LazyLock;
    use std::sync::atomic::AtomicU64;

    static PREFIX: LazyLock<u32> = LazyLock::new(|| RandomState::new().build_hasher().finish() as u32);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let id = format!("{:08x}-{:x}", *PREFIX, COUNT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::from_str(&id).expect("hexadecimal digits and a dash are a header value")
}

/// One line for each request, with what it asked and how it was answered.
async fn access_log(request: Request, next: Next) -> Response {
    if !tracing::enabled!(target: "tintype::access", tracing::Level::INFO) {
        return next.run(request).await;
    }
    let started = std::time::Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let id = request.extensions().get::<RequestId>().cloned();
    let response = next.run(request).await;
    let header =
        |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
    tracing::info!(
        target: "tintype::access",
        id = id.as_ref().and_then(|id| id.0.to_str().ok()).unwrap_or("-"),
        method = %method,
        path = uri.path(),
        query = uri.query().unwrap_or(""),
        status = response.status().as_u16(),
        kind = header("content-type"),
        bytes = header("content-length"),
        cache = header("cache-status"),
        ms = started.elapsed().as_secs_f64() * 1000.0,
    );
    response
}
