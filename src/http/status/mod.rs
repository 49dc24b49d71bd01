//! The status page at `/-/status`: written by the server, complete without its script, which only refreshes it.
//!
//! | file | what it does |
//! |---|---|
//! | `figures` | all numbers at one time, as JSON, too |
//! | `chart` | drawings of samples |
//! | `page` | the HTML |
//! | `access` | the tokens that it and its purges need |

mod access;
mod chart;
mod figures;
mod page;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get};
use axum::{Extension, Json, Router};
use http::{Method, Request};

use self::figures::Figures;
use self::page::Notice;
use super::page::{CSS, HTML, JAVASCRIPT, SVG, asset, secure};
use super::problem::{self, Problem};
use super::request_id::RequestId;
use super::state::State;
use super::{admin, request_body};
use crate::dialect::native::query;

/// The longest form of a purge, in bytes.
const MAX_FORM: usize = 16 * 1024;

/// The routes of the page.
pub(super) fn routes() -> Router<State> {
    let only = |method_router: MethodRouter<State>| method_router.fallback(problem::method_not_allowed);
    let file = |media_type, text: &'static str| only(get(async move || asset(media_type, text)));
    Router::new()
        .route("/-/status", any(status))
        .route("/-/status/data", only(get(data)))
        .route("/-/status/style.css", file(CSS, include_str!("assets/style.css")))
        .route("/-/status/app.js", file(JAVASCRIPT, include_str!("assets/app.js")))
        .route("/-/status/icon.svg", file(SVG, include_str!("assets/icon.svg")))
        .layer(map_response(secure))
}

async fn data(Shared(state): Shared<State>, id: Extension<RequestId>, request: Request<Body>) -> Response {
    match access::authorize(&state, &request) {
        Ok(()) => Json(Figures::of(&state).to_json()).into_response(),
        Err(problem) => problem.respond(Some(&id)),
    }
}

async fn status(Shared(state): Shared<State>, id: Extension<RequestId>, request: Request<Body>) -> Response {
    let (parts, mut body) = request.into_parts();
    let request = Request::from_parts(parts, ());
    let answered = match *request.method() {
        Method::GET | Method::HEAD => access::authorize(&state, &request).map(|()| None),
        Method::POST => purge(&state, &request, &mut body).await.map(Some),
        _ => Err(Problem::method("GET, HEAD, POST")),
    };
    let answered = answered.map(|notice| asset(HTML, page::html(&Figures::of(&state), notice.as_ref())));
    request_body::finish(answered, &id, request.headers(), body)
}

/// Purges what the form names. What is wrong with it is shown on the page, unless the sender may not see that.
async fn purge(state: &State, request: &Request<()>, body: &mut Body) -> Result<Notice, Problem> {
    access::authorize(state, request)?;
    access::same_origin(request)?;
    let form = request_body::read(body, request.headers(), MAX_FORM).await?;
    let form = String::from_utf8(form).map_err(|_| Problem::invalid_body("the form is not UTF-8"))?;
    // forms write a space as +
    let form = form.replace('+', "%20");
    let field = |name: &str| query::values(&form, name).next().and_then(Result::ok).unwrap_or_default().into_owned();
    access::authorize_purge(state, request, &field("token"))?;
    let path = field("path");
    let what = match admin::selected_path(&path) {
        Ok(what) => what,
        Err(problem) => return Ok(Notice::Failed(problem.detail().to_owned())),
    };
    let token = state.live.load().config.admin_token.clone();
    Ok(match state.service.purge(what, &token).await {
        Ok(purged) => Notice::Purged { path, renditions: purged.renditions },
        Err(incomplete) => Notice::Failed(incomplete.to_string()),
    })
}
