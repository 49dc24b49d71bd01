//! A request for an image.

use std::sync::Arc;

use axum::body::HttpBody;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, Method, Uri};

use super::clients::{Client, Peer};
use super::problem::Problem;
use super::rate_limit::PerClient;
use super::request_cache::ParsedRequest;
use super::request_id::RequestId;
use super::state::State;
use super::traffic::{ForeignDialect, Outcome, Streamed};
use super::{headers, health, response_body, x_accel};
use crate::clock;
use crate::dialect::{Target, UnknownParam, native};
use crate::render::{Content, Format, Settings};
use crate::service::Error;
use crate::service::rate_limit::RateLimitCheck;
use crate::service::workers::WorkError;
use crate::source;

/// The longest URL that is accepted, in bytes.
pub(super) const MAX_URL_BYTES: usize = 8 * 1024;

/// How often an original is opened again that changes before it can be read.
const ATTEMPTS: usize = 3;

/// Answers every path that is not under `/-/`.
pub(super) async fn answer(state: &State, peer: Peer, id: &RequestId, request: &Parts) -> Response {
    let is_read = matches!(request.method, Method::GET | Method::HEAD);
    if is_read && state.live.load().config.policy.mounts().is_health_check(request.uri.path()) {
        return health::live().await;
    }
    let in_flight = state.traffic.begin();
    let (mut response, outcome) = match try_answer(state, peer, &request.method, &request.uri, &request.headers).await {
        Ok(answered) => answered,
        Err((problem, negotiable)) => {
            state.traffic.fail(problem.title());
            note_failure(state, request, &problem);
            let mut response = problem.respond(Some(id));
            if negotiable {
                headers::vary(response.headers_mut());
            }
            (response, Outcome::Failure)
        }
    };
    let dialect = state.live.load().config.policy.dialect(request.uri.path());
    if dialect != native::NAME {
        state.traffic.count_dialect(dialect);
        response.extensions_mut().insert(ForeignDialect(dialect));
    }
    // bytes of streamed bodies are counted as they leave
    let is_streamed = response.extensions().get::<Streamed>().is_some();
    let bytes = if is_streamed { 0 } else { response.body().size_hint().exact().unwrap_or(0) };
    in_flight.finish(response.status(), outcome, bytes);
    response
}

/// An error comes with whether it depends on `Accept`.
async fn try_answer(
    state: &State, peer: Peer, method: &Method, uri: &Uri, request_headers: &HeaderMap,
) -> Result<(Response, Outcome), (Problem, bool)> {
    let unparsed =
        |problem: Problem| (problem, state.live.load().config.policy.negotiates_format(uri.path(), uri.query()));
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(unparsed(Problem::method("GET, HEAD")));
    }
    let length = uri.path_and_query().map_or(0, |target| target.as_str().len());
    if length > MAX_URL_BYTES {
        return Err(unparsed(Problem::uri_too_long(MAX_URL_BYTES)));
    }
    let now = clock::seconds();
    let (parsed, settings, timing) = {
        let live = state.live.load();
        let parsed = live.requests.get_or_parse(&live.config.policy, uri, &headers::accept(request_headers), now);
        (parsed, Arc::clone(&live.settings), live.config.server_timing)
    };
    let parsed = parsed.map_err(|error| unparsed(error.into()))?;
    note_unknown(state, uri, parsed.unknown);
    let answered = respond(state, peer, method, request_headers, &parsed, settings, timing).await;
    answered.map_err(|problem| (problem, parsed.target.negotiable))
}

async fn respond(
    state: &State, peer: Peer, method: &Method, request_headers: &HeaderMap, parsed: &ParsedRequest,
    settings: Arc<Settings>, timing: bool,
) -> Result<(Response, Outcome), Problem> {
    let target = &parsed.target;
    if let (Some(prefix), Some(recipe)) = (&state.x_accel, &target.recipe)
        && x_accel::is_possible(method, request_headers)
        && let Some(file) = state.service.file(&settings, &target.id, recipe.clone()).await?
    {
        check_content(target, file.stored.content)?;
        return Ok((x_accel::respond(method, request_headers, target, file, prefix, timing)?, Outcome::Disk));
    }
    let Some(recipe) = &target.recipe else {
        return Ok((original(state, method, request_headers, parsed, timing).await?, Outcome::Original));
    };
    let rate_limit =
        || state.renders.as_ref().map(|limit| rate_limit(limit, state.proxies.client(peer, request_headers)));
    let (answer, head) = match state.service.rendition(&settings, &target.id, recipe, &parsed.key, rate_limit).await {
        Err(Error::Work(overloaded @ WorkError::Overloaded { .. })) if state.live.load().config.overload_fallback => {
            let original = state.service.overload_fallback(&target.id, recipe).await.ok_or(overloaded)?;
            let head = headers::fallback_head(method, request_headers, target, &original, timing)?;
            (original, head)
        }
        answer => {
            let answer = answer?;
            check_content(target, answer.content)?;
            let head = headers::head(method, request_headers, target, &answer, timing, &parsed.headers)?;
            (answer, head)
        }
    };
    let outcome = Outcome::of(answer.found);
    if outcome == Outcome::Miss {
        state.history.rendered(&target.id, &answer.timing);
    }
    Ok((response_body::attach(head, answer.payload, state).await.map_err(Error::from)?, outcome))
}

/// Remembers an error for the status page.
fn note_failure(state: &State, request: &Parts, problem: &Problem) {
    let url = request.uri.path_and_query().map_or("", |target| target.as_str());
    state.history.fail(problem.status().as_u16(), problem.title(), url, problem.detail());
}

/// Refuses an SVG where the dialect of the URL does not send any.
pub(super) fn check_content(target: &Target, content: Content) -> Result<(), Problem> {
    match target.refuses_svg && content == Content::Image(Format::Svg) {
        true => Err(Problem::media_type("the original is an SVG, which this dialect does not send")),
        false => Ok(()),
    }
}

/// The unchanged original. One that changes before its first bytes were read is opened again.
async fn original(
    state: &State, method: &Method, request_headers: &HeaderMap, parsed: &ParsedRequest, timing: bool,
) -> Result<Response, Problem> {
    let target = &parsed.target;
    let mut attempts = 1;
    loop {
        let answer = state.service.original(&target.id).await?;
        let head = headers::head(method, request_headers, target, &answer, timing, &parsed.headers)?;
        match response_body::attach(head, answer.payload, state).await {
            Err(source::Error::Changing) if attempts < ATTEMPTS => attempts += 1,
            response => return Ok(response.map_err(Error::from)?),
        }
    }
}

/// Counts unknown parameters. HTML entities are logged as well: the parameters behind them were meant to be read.
fn note_unknown(state: &State, uri: &Uri, unknown: Option<UnknownParam>) {
    state.traffic.count_unknown(unknown);
    if unknown == Some(UnknownParam::HtmlEntity)
        && let Some(omitted) = state.traffic.entities.admit()
    {
        tracing::warn!(
            path = uri.path(),
            query = uri.query().unwrap_or_default(),
            omitted,
            "the query contains HTML entities, and the parameters behind them are ignored: decode &amp; to &"
        );
    }
}

/// The check of a client's rate limit, which is made if something has to be rendered.
fn rate_limit(limit: &PerClient, client: Client) -> Arc<RateLimitCheck> {
    let limit = limit.clone();
    Arc::new(RateLimitCheck::new(move || limit.acquire(client)))
}
