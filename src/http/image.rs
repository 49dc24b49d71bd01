//! A request for an image.

use std::sync::Arc;

use axum::body::HttpBody;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, Method, Uri};

use super::clients::{Client, Peer};
use super::known::Read;
use super::payload::{self, Streamed};
use super::problem::Problem;
use super::rate::PerClient;
use super::traffic::Outcome;
use super::{RequestId, State, headers, redirect};
use crate::clock;
use crate::dialect::UnknownParam;
use crate::render::Settings;
use crate::service::Error;
use crate::service::rate_limit::RateLimitCheck;
use crate::service::workers::WorkError;
use crate::source;

/// The longest URL that is read, in bytes.
pub(super) const LONGEST_URL: usize = 8 * 1024;

/// How often an original is opened that is changed before it can be read.
const ATTEMPTS: usize = 3;

/// Answers every path that is not under `/-/`.
pub(super) async fn answer(state: &State, peer: Peer, id: &RequestId, request: &Parts) -> Response {
    let begun = state.traffic.begin();
    let (response, outcome) = match try_answer(state, peer, &request.method, &request.uri, &request.headers).await {
        Ok(answered) => answered,
        Err((problem, negotiable)) => {
            state.traffic.fail(problem.title());
            let mut response = problem.respond(Some(id));
            if negotiable {
                headers::vary(response.headers_mut());
            }
            (response, Outcome::Failure)
        }
    };
    // what is streamed is counted as it leaves
    let is_streamed = response.extensions().get::<Streamed>().is_some();
    let bytes = if is_streamed { 0 } else { response.body().size_hint().exact().unwrap_or(0) };
    begun.end(response.status(), outcome, bytes);
    response
}

/// A failure comes with whether another Accept header might have fared otherwise.
async fn try_answer(
    state: &State, peer: Peer, method: &Method, uri: &Uri, asked: &HeaderMap,
) -> Result<(Response, Outcome), (Problem, bool)> {
    let unread =
        |problem: Problem| (problem, state.rules.load().policy.negotiates_format(uri.query().unwrap_or_default()));
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(unread(Problem::method("GET, HEAD")));
    }
    let length = uri.path_and_query().map_or(0, |target| target.as_str().len());
    if length > LONGEST_URL {
        return Err(unread(Problem::uri_too_long(LONGEST_URL)));
    }
    let now = clock::seconds();
    let (read, settings, timing) = {
        let rules = state.rules.load();
        let read = rules.known.read(&rules.policy, uri, &headers::accept(asked), now);
        (read, Arc::clone(&rules.settings), rules.config.server_timing)
    };
    let read = read.map_err(|error| unread(error.into()))?;
    note_unknown(state, uri, read.unknown);
    let answered = respond(state, peer, method, asked, &read, settings, timing).await;
    answered.map_err(|problem| (problem, read.target.negotiable))
}

async fn respond(
    state: &State, peer: Peer, method: &Method, asked: &HeaderMap, read: &Read, settings: Arc<Settings>, timing: bool,
) -> Result<(Response, Outcome), Problem> {
    let target = &read.target;
    if let (Some(prefix), Some(recipe)) = (&state.x_accel, &target.recipe)
        && redirect::is_possible(method, asked)
        && let Some(file) = state.service.file(&settings, &target.id, recipe.clone()).await?
    {
        return Ok((redirect::respond(method, asked, target, file, prefix, timing)?, Outcome::Disk));
    }
    let Some(recipe) = &target.recipe else {
        return Ok((original(state, method, asked, read, timing).await?, Outcome::Original));
    };
    let limit = || state.renders.as_ref().map(|limit| rate_limit(limit, state.proxies.client(peer, asked)));
    let (answer, head) = match state.service.rendition(&settings, &target.id, recipe, &read.key, limit).await {
        Err(Error::Work(overloaded @ WorkError::Overloaded { .. })) if state.rules.load().config.overload_fallback => {
            let original = state.service.overload_fallback(&target.id, recipe).await.ok_or(overloaded)?;
            let head = headers::head_for_now(method, asked, target, &original, timing)?;
            (original, head)
        }
        answer => {
            let answer = answer?;
            let head = headers::head(method, asked, target, &answer, timing, &read.ready)?;
            (answer, head)
        }
    };
    let outcome = Outcome::of(answer.found);
    Ok((payload::attach(head, answer.payload, state).await.map_err(Error::from)?, outcome))
}

/// The original as it is. One that is changed before its first bytes were read is opened again.
async fn original(
    state: &State, method: &Method, asked: &HeaderMap, read: &Read, timing: bool,
) -> Result<Response, Problem> {
    let target = &read.target;
    let mut attempts = 1;
    loop {
        let answer = state.service.original(&target.id).await?;
        let head = headers::head(method, asked, target, &answer, timing, &read.ready)?;
        match payload::attach(head, answer.payload, state).await {
            Err(source::Error::Changing) if attempts < ATTEMPTS => attempts += 1,
            response => return Ok(response.map_err(Error::from)?),
        }
    }
}

/// Counts parameters that are ignored. HTML entities are logged as well: what stands behind one was meant to be heard.
fn note_unknown(state: &State, uri: &Uri, unknown: Option<UnknownParam>) {
    state.traffic.count_unknown(unknown);
    if unknown == Some(UnknownParam::HtmlEntity)
        && let Some(omitted) = state.traffic.entities.admit()
    {
        tracing::warn!(
            path = uri.path(),
            query = uri.query().unwrap_or_default(),
            omitted,
            "a query holds HTML entities, and the parameters behind them are ignored: &amp; is to be decoded to &"
        );
    }
}

/// What is taken from a client's allowance where something has to be rendered for it.
fn rate_limit(limit: &PerClient, client: Client) -> Arc<RateLimitCheck> {
    let limit = limit.clone();
    Arc::new(RateLimitCheck::new(move || limit.take(client)))
}
