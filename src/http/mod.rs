//! The wire: routes, requests and answers. Never touches a codec or a file.
//!
//! Everything that is not an image is under `/-/`; every other path is an original's.

mod access;
mod admin;
mod at_once;
mod beacon;
mod body;
mod clients;
mod cors;
mod headers;
mod health;
mod host;
mod image;
mod known;
mod metrics;
mod payload;
mod problem;
mod ranges;
mod rate;
mod redirect;
mod refused;
pub mod server;
mod traffic;
mod upload;

pub use access::LogWriter;
pub use clients::{InvalidProxies, Peer, Proxies};
pub use cors::{AllowOrigin, InvalidOrigin};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use tokio::sync::Semaphore;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;

use access::{AccessLog, Line};
use clients::Client;
use known::Known;
use rate::PerClient;

use crate::dialect::Policy;
use crate::render::Settings;
use crate::service::Service;
use traffic::Traffic;

/// How requests are answered.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Whether answers say what the time went to.
    pub server_timing: bool,
    /// Where `/-/` is found: on the listener for images, or only on one of its own.
    pub admin_apart: bool,
    /// Below which path a proxy finds the cache folder and sends what lies there itself; empty where none does.
    pub x_accel: String,
    /// Whether small originals are sent in place of renditions that the queue refuses.
    pub overload_fallback: bool,
    /// What purges and uploads must know; empty switches them off.
    pub admin_token: String,
    /// Whether originals are taken in.
    pub upload: bool,
    /// How many at a time.
    pub uploads: usize,
    /// How long one may take to arrive.
    pub upload_timeout: Duration,
    /// Whether beacons are logged.
    pub log_beacons: bool,
    /// How many renders a second one client may cause; 0 for any number.
    pub rate: u32,
    /// How many at once, after a while of none.
    pub burst: u32,
    /// Who is believed about whom a request is from.
    pub proxies: Proxies,
    /// The origins whose pages may read answers.
    pub allow_origin: AllowOrigin,
}

/// What every request sees.
#[derive(Clone)]
pub struct State {
    service: Arc<Service>,
    rules: Arc<ArcSwap<Rules>>,
    traffic: Arc<Traffic>,
    draining: Arc<AtomicBool>,
    started: SystemTime,
    proxies: Arc<Proxies>,
    /// [`Config::x_accel`], if there is one.
    x_accel: Option<Arc<str>>,
    /// Places for uploads.
    uploads: Arc<Semaphore>,
    /// How often there may be beacons; `None` where there are none at all.
    beacons: Option<Arc<beacon::Limits>>,
    /// How many renders a client may cause; `None` for any number.
    renders: Option<PerClient>,
    /// Where the lines of the access log go; `None` for where all others go.
    access: Option<Arc<AccessLog>>,
    /// Where all lines go; `None` in tests.
    log: Option<Arc<LogWriter>>,
}

/// What may change while the program runs; whoever began under the former ones ends under them. They are exchanged together,
/// so that nobody is answered under some of the old ones and some of the new.
struct Rules {
    policy: Policy,
    config: Config,
    /// What renditions are made under.
    settings: Arc<Settings>,
    known: Known,
}

impl Rules {
    fn new(policy: Policy, config: Config, settings: Arc<Settings>) -> Rules {
        Rules { policy, config, settings, known: Known::default() }
    }
}

impl State {
    /// The parts that answer requests.
    pub fn new(service: Arc<Service>, policy: Policy, config: Config) -> State {
        let settings = service.settings();
        State {
            service,
            traffic: Arc::default(),
            draining: Arc::default(),
            started: SystemTime::now(),
            proxies: config.proxies.clone().into(),
            x_accel: Some(config.x_accel.as_str()).filter(|prefix| !prefix.is_empty()).map(Into::into),
            uploads: Arc::new(Semaphore::new(config.uploads)),
            beacons: config.log_beacons.then(|| Arc::new(beacon::Limits::new())),
            renders: PerClient::new(config.rate, config.burst),
            access: None,
            log: None,
            rules: Arc::new(ArcSwap::from_pointee(Rules::new(policy, config, settings))),
        }
    }

    /// The same, counting the lines that this writer drops. With `as_json` those of the access log go straight to it.
    #[must_use]
    pub fn logging_to(self, log: Arc<LogWriter>, as_json: bool) -> State {
        let access = as_json.then(|| Arc::new(AccessLog(Arc::clone(&log))));
        State { access, log: Some(log), ..self }
    }

    /// Requests that come in from now on are answered by these: the policy, the settings of renders, the administrator's
    /// token, whose pages may read answers, and whether these say what the time went to. Everything else stays as it was at
    /// the start.
    pub fn set_rules(&self, policy: Policy, config: Config, settings: Settings) {
        self.service.set_settings(settings);
        let settings = self.service.settings();
        self.rules.store(Rules::new(policy, config, settings).into());
    }

    /// From now on tintype says that it is not ready.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

/// Answers the requests of one listener.
///
/// Images, which are nearly all of them, are answered straight away: going through routes and layers of middleware took a
/// fifth of what a hit takes. What is under `/-/` goes through axum's router.
#[derive(Clone)]
pub struct App {
    routes: Arc<Routes>,
    /// Who is at the other end.
    peer: Peer,
}

struct Routes {
    /// `None` where no images are served.
    images: Option<State>,
    others: Router,
    rules: Arc<ArcSwap<Rules>>,
    traffic: Arc<Traffic>,
    proxies: Arc<Proxies>,
    access: Option<Arc<AccessLog>>,
}

/// What answers on the main listener.
pub fn app(state: State) -> App {
    let routes = if state.rules.load().config.admin_apart {
        // a path below /-/ must not become an original's name just because the admin listener is elsewhere
        Router::new().route("/-/{*path}", axum::routing::any(problem::not_found))
    } else {
        admin_routes()
    };
    App::new(Some(state.clone()), routes, state)
}

/// What answers on the listener for health, metrics and administration, where it is apart.
pub fn admin_app(state: State) -> App {
    App::new(None, admin_routes(), state)
}

fn admin_routes() -> Router<State> {
    let only = |method_router: axum::routing::MethodRouter<State>| method_router.fallback(problem::method_not_allowed);
    Router::new()
        .route("/-/live", only(get(health::live)))
        .route("/-/ready", only(get(health::ready)))
        .route("/-/metrics", only(get(metrics::metrics)))
        .route("/-/purge", axum::routing::any(admin::purge))
        .route("/-/upload", axum::routing::any(upload::form))
        .route("/-/upload/{*path}", axum::routing::any(upload::put))
        .route("/-/log", axum::routing::any(beacon::log))
        .route("/-/{*path}", axum::routing::any(problem::not_found))
}

impl App {
    fn new(images: Option<State>, others: Router<State>, state: State) -> App {
        let (traffic, proxies) = (Arc::clone(&state.traffic), Arc::clone(&state.proxies));
        let (access, rules) = (state.access.clone(), Arc::clone(&state.rules));
        let others = others.fallback(problem::not_found).layer(CatchPanicLayer::custom(problem::after_panic));
        let others = others.with_state(state);
        App { routes: Arc::new(Routes { images, others, rules, traffic, proxies, access }), peer: Peer::default() }
    }

    /// The same for the requests of one connection.
    pub fn for_peer(&self, peer: Peer) -> App {
        App { peer, ..self.clone() }
    }

    /// A connection has come in; it counts as open until what is given back is dropped.
    fn connect(&self) -> traffic::Open {
        self.routes.traffic.connect()
    }

    fn client(&self, asked: &HeaderMap) -> Client {
        self.routes.proxies.client(self.peer, asked)
    }

    /// The answer to one request, identified and logged.
    pub async fn answer<B>(&self, mut request: Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let asked = RequestInfo::of(&request, self);
        if self.is_preflight(&request) {
            return self.finish(asked, self.preflight());
        }
        let images = self.routes.images.as_ref().filter(|_| !asked.is_apart);
        let response = match images {
            Some(state) => {
                let (parts, _) = request.into_parts();
                let is_head = parts.method == Method::HEAD;
                let answer = image::answer(state, self.peer, &asked.id, &parts);
                let response = unless_it_panics(answer).await.unwrap_or_else(problem::after_panic);
                if is_head { without_body(response) } else { response }
            }
            None => {
                let client = self.client(request.headers());
                request.extensions_mut().insert(asked.id.clone());
                request.extensions_mut().insert(client);
                let answer = self.routes.others.clone().oneshot(request.map(Body::new)).await;
                let answer = answer.unwrap_or_else(|never| match never {});
                self.count_beside(&answer);
                answer
            }
        };
        self.finish(asked, response)
    }

    /// Whether a browser asks beforehand if a page may read an image.
    fn is_preflight<B>(&self, request: &Request<B>) -> bool {
        request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
            && self.routes.images.is_some()
            && !is_apart(request.uri().path())
            && self.routes.rules.load().config.allow_origin.is_on()
    }

    fn preflight(&self) -> Response {
        self.routes.traffic.preflights.fetch_add(1, Ordering::Relaxed);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    }

    /// A request that was not for an image is answered.
    fn count_beside(&self, response: &Response) {
        self.routes.traffic.answered_beside(response.status());
        if let Some(problem::Kind(title)) = response.extensions().get() {
            self.routes.traffic.fail(title);
        }
    }

    /// Adds what every answer has, and logs it.
    fn finish(&self, asked: RequestInfo, mut response: Response) -> Response {
        let RequestInfo { id, line, origin, is_apart } = asked;
        // what is under /-/ is no page's business, but for why it failed
        if !is_apart || response.extensions().get::<problem::Kind>().is_some() {
            let allowed = &self.routes.rules.load().config.allow_origin;
            match response.status() {
                StatusCode::NO_CONTENT => allowed.apply_to_preflight(response.headers_mut(), origin.as_ref()),
                _ => allowed.apply(response.headers_mut(), origin.as_ref()),
            }
        }
        if let Some(line) = line {
            response = line.end(self.routes.access.as_ref(), &id, response);
        }
        response.headers_mut().insert(X_REQUEST_ID, id.0);
        response
    }
}

/// The parts of a request that are needed once it is answered.
struct RequestInfo {
    id: RequestId,
    line: Option<Line>,
    /// Where the page is from that asks.
    origin: Option<HeaderValue>,
    /// Whether it is none for an image.
    is_apart: bool,
}

impl RequestInfo {
    fn of<B>(request: &Request<B>, app: &App) -> RequestInfo {
        RequestInfo {
            id: request_id(request.headers()),
            line: Line::begin(request, app),
            origin: cors::origin(request.headers()).cloned(),
            is_apart: is_apart(request.uri().path()),
        }
    }
}

/// Whether a path is none of an original.
fn is_apart(path: &str) -> bool {
    path.starts_with("/-/")
}

/// What a future gives, or what it panicked with.
async fn unless_it_panics<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn std::any::Any + Send>> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        // unwind safe: a future that panicked is not polled again, and what it shared is behind locks that mind
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

/// The answer to HEAD: what the answer to GET would say of its body, without it (RFC 9110 §9.3.2).
fn without_body(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact()
        && !parts.headers.contains_key(header::CONTENT_LENGTH)
    {
        parts.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    let is_bare = !parts.headers.contains_key(header::CONTENT_LENGTH);
    // hyper makes a length of 0 from a body that is known to be empty
    Response::from_parts(parts, if is_bare { body } else { Body::empty() })
}

/// One request's identifier, for its answer, its errors and its log line.
#[derive(Clone, Debug)]
struct RequestId(HeaderValue);

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The identifier that came with a request if it is plain, or a new one.
fn request_id(asked: &HeaderMap) -> RequestId {
    let plain = |value: &&HeaderValue| is_plain_id(value.as_bytes());
    let made_up = || {
        let mut id = Vec::with_capacity(8 + 1 + 16);
        make_up_id(&mut id);
        HeaderValue::from_maybe_shared(Bytes::from(id)).expect("hexadecimal digits and a dash are a header value")
    };
    RequestId(asked.get(X_REQUEST_ID).filter(plain).cloned().unwrap_or_else(made_up))
}

/// Whether an identifier that came with a request is taken over.
fn is_plain_id(id: &[u8]) -> bool {
    (1..=64).contains(&id.len()) && id.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
}

/// Writes one that is distinct within and between processes: a random prefix for each start, then a count.
fn make_up_id(id: &mut Vec<u8>) {
    use std::hash::{BuildHasher, Hasher, RandomState};
    use std::sync::LazyLock;
    use std::sync::atomic::AtomicU64;

    static PREFIX: LazyLock<u32> = LazyLock::new(|| RandomState::new().build_hasher().finish() as u32);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (prefix, count) = (u64::from(*PREFIX), COUNT.fetch_add(1, Ordering::Relaxed));
    hexadecimal(id, prefix, 8);
    id.push(b'-');
    hexadecimal(id, count, 1);
}

/// A number with at least so many digits.
fn hexadecimal(out: &mut Vec<u8>, number: u64, digits: u32) {
    let digits = digits.max((u64::BITS - number.leading_zeros()).div_ceil(4));
    out.extend((0..digits).rev().map(|digit| b"0123456789abcdef"[(number >> (4 * digit)) as usize & 15]));
}
