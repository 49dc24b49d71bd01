//! The page to try parameters at `/-/playground`, and what it asks for.
//!
//! | file | what it answers |
//! |---|---|
//! | `settings` | the parameters, formats, dialects and limits that the page offers |
//! | `originals` | names of originals |
//! | `markup` | HTML and CSS for an original |
//! | `compare` | one rendition in several formats, with their scores |

mod compare;
mod markup;
mod originals;
mod settings;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::explain;
use super::page::{self, CSS, HTML, JAVASCRIPT, SVG};
use super::problem::{self, Problem};
use super::request_id::RequestId;
use super::state::{Playground, State};

const PATH: &str = "/-/playground";

/// The routes of the playground; none where it is off.
pub(super) fn routes(state: &State) -> Router<State> {
    if state.config.playground == Playground::Off {
        return Router::new();
    }
    let only = |method_router: MethodRouter<State>| method_router.fallback(problem::method_not_allowed);
    let file = |media_type, text: &'static str| only(get(async move || page::asset(media_type, text)));
    Router::new()
        .route(PATH, file(HTML, include_str!("assets/index.html")))
        .route("/-/playground/style.css", file(CSS, include_str!("assets/style.css")))
        .route("/-/playground/app.js", file(JAVASCRIPT, include_str!("assets/app.js")))
        .route("/-/playground/icon.svg", file(SVG, include_str!("../status/assets/icon.svg")))
        .route("/-/playground/settings", only(get(settings::settings)))
        .route("/-/playground/originals", only(get(originals::originals)))
        .route("/-/playground/markup", only(get(markup::markup)))
        .route("/-/playground/compare", only(get(compare::compare)))
        .route("/-/playground/explain", only(get(explain::for_playground)))
        .layer(from_fn(own_pages))
        .layer(from_fn_with_state(state.clone(), local_names))
        .layer(map_response(page::secure))
}

/// The answer to `GET /`, which leads to the playground.
pub(super) fn home(method: &Method, path: &str) -> Option<Response> {
    let is_home = path == "/" && matches!(*method, Method::GET | Method::HEAD);
    let headers = [(header::LOCATION, PATH), (header::CACHE_CONTROL, "no-store")];
    is_home.then(|| (StatusCode::FOUND, headers).into_response())
}

/// Refuses requests under a name that is not a local one, where the playground is for this machine only.
async fn local_names(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    if state.config.playground == Playground::Local && !is_local(&request) {
        return refuse(&request, "the playground is answered under localhost or a loopback address only");
    }
    next.run(request).await
}

/// Refuses requests that the page of another site caused, which may cost a render.
async fn own_pages(request: Request, next: Next) -> Response {
    if is_cross_site(request.headers()) && request.uri().path() != PATH {
        return refuse(&request, "the request comes from the page of another site");
    }
    next.run(request).await
}

fn refuse(request: &Request, why: &str) -> Response {
    Problem::forbidden(why).respond(request.extensions().get::<RequestId>())
}

/// Whether a browser says that another site caused the request (Fetch Metadata).
fn is_cross_site(request_headers: &HeaderMap) -> bool {
    let site = request_headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    !matches!(site, None | Some(b"same-origin" | b"none"))
}

/// Whether a request comes from this machine: its host is a name that no other site can have, and no proxy has forwarded it.
/// nginx names its upstream as the host unless it is told otherwise, and speaks HTTP/1.0, which no browser does.
pub(super) fn is_local<B>(request: &http::Request<B>) -> bool {
    const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    let is_direct = request.version() != http::Version::HTTP_10
        && FORWARDED.iter().all(|name| !request.headers().contains_key(*name));
    is_direct && has_local_name(request)
}

fn has_local_name<B>(request: &http::Request<B>) -> bool {
    let header = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().authority().map(http::uri::Authority::as_str).or(header).unwrap_or_default();
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    host == "localhost"
        || host.ends_with(".localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        let check = |host: &str, expected: bool| {
            let request = Request::builder().header("host", host).body(axum::body::Body::empty()).expect("a request");
            assert_eq!(is_local(&request), expected, "{host}");
        };
        for host in
            ["localhost", "LOCALHOST:8080", "a.localhost", "localhost.:1", "127.0.0.1", "127.1.2.3:80", "[::1]:8"]
        {
            check(host, true);
        }
        let build = |request: http::request::Builder| request.body(axum::body::Body::empty()).expect("a request");
        for header in ["x-forwarded-for", "Forwarded", "x-real-ip", "via"] {
            let forwarded = build(Request::builder().header("host", "localhost").header(header, "10.0.0.1"));
            assert!(!is_local(&forwarded), "{header}");
        }
        let nginx = build(Request::builder().version(http::Version::HTTP_10).header("host", "127.0.0.1:8080"));
        assert!(!is_local(&nginx), "a proxy that says nothing of itself");
        for host in
            ["evil.example", "127.0.0.1.evil.example:80", "localhost.evil.example", "10.0.0.1", "[2001:db8::1]", ""]
        {
            check(host, false);
        }
    }
}
