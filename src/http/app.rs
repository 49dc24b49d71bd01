//! Answers the requests of one listener: routes, request ids, CORS, the access log.
//!
//! Images, which are nearly all requests, do not go through axum's router: routes and layers of middleware took a fifth of
//! the CPU of a hit. Requests under `/-/` do.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{MethodRouter, any, get};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;

use super::access::Line;
use super::clients::{Client, Peer};
use super::request_id::{RequestId, X_REQUEST_ID};
use super::state::{Playground, State};
use super::traffic::OpenConnection;
use super::{admin, beacon, cors, explain, health, image, metrics, page, playground, problem, status, upload};

/// The handler of a listener's requests. Clones are cheap: a connection has one.
#[derive(Clone)]
pub struct App {
    routes: Arc<Routes>,
    /// The other end of the connection.
    peer: Peer,
}

struct Routes {
    state: State,
    /// Whether paths outside of `/-/` are images; otherwise they are 404.
    serves_images: bool,
    /// Whether `GET /` leads to the playground, which is on this listener.
    has_playground: bool,
    admin: Router,
}

/// The handler of the main listener.
pub fn app(state: State) -> App {
    let has_admin = !state.config.separate_admin;
    let routes = if has_admin {
        admin_routes(&state)
    } else {
        // a path below /-/ must not become an original's name just because the admin listener is elsewhere
        Router::new().route("/-/{*path}", any(problem::not_found))
    };
    App::new(state, true, has_admin, routes)
}

/// The handler of the admin listener: health, metrics, purges and uploads; images as well where the playground shows them.
pub fn admin_app(state: State) -> App {
    let routes = admin_routes(&state);
    // the policy of the page allows pictures of its own listener only
    let serves_images = state.config.playground != Playground::Off;
    App::new(state, serves_images, true, routes)
}

fn admin_routes(state: &State) -> Router<State> {
    let only = |method_router: MethodRouter<State>| method_router.fallback(problem::method_not_allowed);
    Router::new()
        .route("/-/live", only(get(health::live)))
        .route("/-/ready", only(get(health::ready)))
        .route("/-/metrics", only(get(metrics::metrics)))
        .route("/-/purge", any(admin::purge))
        .route("/-/upload", any(upload::form))
        .route("/-/upload/{*path}", any(upload::put))
        .route("/-/log", any(beacon::log))
        .route("/-/explain", only(get(explain::with_token)).layer(map_response(page::secure)))
        .merge(playground::routes(state))
        .merge(status::routes())
        .route("/-/{*path}", any(problem::not_found))
}

impl App {
    fn new(state: State, serves_images: bool, has_admin: bool, admin: Router<State>) -> App {
        let admin = admin.fallback(problem::not_found).layer(CatchPanicLayer::custom(problem::after_panic));
        let admin = admin.with_state(state.clone());
        let has_playground = has_admin && state.config.playground != Playground::Off;
        App { routes: Arc::new(Routes { state, serves_images, has_playground, admin }), peer: Peer::default() }
    }

    /// The same handler for the requests of one connection.
    pub fn for_peer(&self, peer: Peer) -> App {
        App { peer, ..self.clone() }
    }

    /// The other end of the connection.
    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    pub(super) fn state(&self) -> &State {
        &self.routes.state
    }

    pub(super) fn serves_images(&self) -> bool {
        self.routes.serves_images
    }

    /// Counts a connection, which is open until the guard is dropped.
    pub(super) fn connect(&self) -> OpenConnection {
        self.state().traffic.connect()
    }

    pub(super) fn client(&self, request_headers: &HeaderMap) -> Client {
        self.state().proxies.client(self.peer, request_headers)
    }

    /// Answers one request, and logs it.
    pub async fn answer<B>(&self, mut request: Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let info = RequestInfo::of(&request, self);
        if self.is_preflight(&request) {
            return self.finish(info, self.preflight());
        }
        if self.routes.has_playground
            && let Some(home) = playground::home(request.method(), request.uri().path())
        {
            self.record_admin(&home);
            return self.finish(RequestInfo { is_admin: true, ..info }, home);
        }
        let response = if self.serves_images() && !info.is_admin {
            let (parts, _) = request.into_parts();
            let answer = image::answer(self.state(), self.peer, &info.id, &parts);
            let response = catch_panic(answer).await.unwrap_or_else(problem::after_panic);
            if parts.method == Method::HEAD { without_body(response) } else { response }
        } else {
            let client = self.client(request.headers());
            request.extensions_mut().insert(info.id.clone());
            request.extensions_mut().insert(client);
            let answer = self.routes.admin.clone().oneshot(request.map(Body::new)).await;
            let answer = answer.unwrap_or_else(|never| match never {});
            self.record_admin(&answer);
            answer
        };
        self.finish(info, response)
    }

    /// Whether a request is a CORS preflight for an image (Fetch standard, §3.3.2).
    fn is_preflight<B>(&self, request: &Request<B>) -> bool {
        request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
            && self.serves_images()
            && !is_admin(request.uri().path())
            && self.state().live.load().config.allow_origin.is_on()
    }

    fn preflight(&self) -> Response {
        self.state().traffic.preflights.fetch_add(1, Ordering::Relaxed);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    }

    /// Counts the answer to a request under `/-/`.
    pub(super) fn record_admin(&self, response: &Response) {
        self.state().traffic.record_admin(response.status());
        if let Some(problem::Kind(title)) = response.extensions().get() {
            self.state().traffic.fail(title);
        }
    }

    /// Adds the headers that every answer has, and logs it.
    pub(super) fn finish(&self, request: RequestInfo, mut response: Response) -> Response {
        let RequestInfo { id, line, origin, is_admin } = request;
        // pages may not read what is under /-/, but for why it failed
        if !is_admin || response.extensions().get::<problem::Kind>().is_some() {
            let allowed = &self.state().live.load().config.allow_origin;
            match response.status() {
                StatusCode::NO_CONTENT => allowed.apply_to_preflight(response.headers_mut(), origin.as_ref()),
                _ => allowed.apply(response.headers_mut(), origin.as_ref()),
            }
        }
        if let Some(line) = line {
            response = line.end(self.state().access.as_ref(), &id, response);
        }
        response.headers_mut().insert(X_REQUEST_ID, id.0);
        response
    }
}

/// The parts of a request that are needed once it is answered.
pub(super) struct RequestInfo {
    pub(super) id: RequestId,
    line: Option<Line>,
    /// The value of `Origin`.
    origin: Option<HeaderValue>,
    /// Whether its path is under `/-/`.
    pub(super) is_admin: bool,
}

impl RequestInfo {
    pub(super) fn of<B>(request: &Request<B>, app: &App) -> RequestInfo {
        RequestInfo {
            id: RequestId::of(request.headers()),
            line: Line::begin(request, || app.client(request.headers())),
            origin: cors::origin(request.headers()).cloned(),
            is_admin: is_admin(request.uri().path()),
        }
    }
}

fn is_admin(path: &str) -> bool {
    path.starts_with("/-/")
}

/// The output of a future, or what it panicked with.
async fn catch_panic<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        // unwind safe: a future that panicked is not polled again, and the locks that it held are poisoned
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

/// The answer to HEAD: the headers of the answer to GET, `Content-Length` included, without its body (RFC 9110 §9.3.2).
fn without_body(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact()
        && !parts.headers.contains_key(header::CONTENT_LENGTH)
    {
        parts.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    // hyper adds `Content-Length: 0` for a body that is known to be empty
    let keeps_body = !parts.headers.contains_key(header::CONTENT_LENGTH);
    Response::from_parts(parts, if keeps_body { body } else { Body::empty() })
}
