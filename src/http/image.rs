//! A request for an image.

use std::time::SystemTime;

use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, Method, Uri};

use super::problem::Problem;
use super::{RequestId, State, headers, redirect};
use crate::dialect::{Target, query};

/// The longest URL that is read, in bytes.
const LONGEST_URL: usize = 8 * 1024;

/// Answers every path that is not under `/-/`.
pub(super) async fn answer(state: &State, id: &RequestId, request: &Parts) -> Response {
    match try_answer(state, &request.method, &request.uri, &request.headers).await {
        Ok(response) => response,
        Err((problem, negotiable)) => {
            let mut response = problem.respond(Some(id));
            if negotiable {
                headers::vary(response.headers_mut());
            }
            response
        }
    }
}

/// A failure comes with whether another Accept header might have fared otherwise.
async fn try_answer(state: &State, method: &Method, uri: &Uri, asked: &HeaderMap) -> Result<Response, (Problem, bool)> {
    let plain = |problem: Problem| (problem, false);
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(plain(Problem::method("GET, HEAD")));
    }
    let length = uri.path_and_query().map_or(0, |target| target.as_str().len());
    if length > LONGEST_URL {
        return Err(plain(Problem::uri_too_long(LONGEST_URL)));
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let target = state
        .policy
        .target(uri.path(), uri.query(), &headers::accept(asked), now)
        .map_err(|error| (error.into(), query::leaves_the_format_open(uri.query().unwrap_or_default())))?;
    respond(state, method, asked, &target).await.map_err(|problem| (problem, target.negotiable))
}

async fn respond(state: &State, method: &Method, asked: &HeaderMap, target: &Target) -> Result<Response, Problem> {
    let prefix = state.config.x_accel.as_str();
    if let Some(recipe) = &target.recipe
        && !prefix.is_empty()
        && redirect::is_possible(method, asked)
        && let Some(file) = state.service.file(&target.id, recipe.clone()).await?
    {
        return redirect::respond(method, asked, target, file, prefix, state.config.server_timing);
    }
    let answer = match &target.recipe {
        Some(recipe) => state.service.rendition(&target.id, recipe.clone()).await?,
        None => state.service.original(&target.id).await?,
    };
    headers::respond(method, asked, target, answer, state.config.server_timing)
}
