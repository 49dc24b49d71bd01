//! A request for an image.

use std::sync::Arc;

use axum::body::HttpBody;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, Method, Uri};

use super::clients::Peer;
use super::problem::{self, Problem};
use super::request_cache::ParsedRequest;
use super::request_id::RequestId;
use super::state::State;
use super::traffic::{ForeignDialect, Outcome, Streamed};
use super::{fallback, headers, health, request_cache, response_body, x_accel};
use crate::clock;
use crate::dialect::{Consulted, Target, UnknownParam, native};
use crate::render::recipe::Output;
use crate::render::{Content, Format, Settings};
use crate::service::rate_limit::RateLimitCheck;
use crate::service::workers::WorkError;
use crate::service::{Error, KeyMemo};
use crate::source::{self, ImageId};

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
    // of an error, whatever the status of the fallback picture
    let mut status = None;
    let (mut response, outcome) = match try_answer(state, peer, &request.method, &request.uri, &request.headers).await {
        Ok(answered) => answered,
        Err(Failed { problem, negotiable, hints, picture }) => {
            state.traffic.fail(problem.title());
            note_failure(state, request, &problem);
            status = Some(problem.status());
            let response = picture.unwrap_or_else(|| {
                let mut response = problem.respond(Some(id));
                headers::vary(response.headers_mut(), negotiable, hints);
                response
            });
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
    in_flight.finish(status.unwrap_or(response.status()), outcome, bytes);
    response
}

/// A request without an image.
struct Failed {
    problem: Problem,
    /// Whether the answer depends on `Accept`.
    negotiable: bool,
    hints: Consulted,
    /// The answer with the fallback picture.
    picture: Option<Response>,
}

async fn try_answer(
    state: &State, peer: Peer, method: &Method, uri: &Uri, request_headers: &HeaderMap,
) -> Result<(Response, Outcome), Failed> {
    let unparsed = |problem: Problem| {
        let negotiable = state.live.load().config.policy.negotiates_format(uri.path(), uri.query());
        Failed { problem, negotiable, hints: Consulted::default(), picture: None }
    };
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
        let (accept, hints) = (request_cache::accept(request_headers), request_cache::hints(request_headers));
        let parsed = live.requests.get_or_parse(&live.config.policy, uri, &accept, hints, now);
        (parsed, Arc::clone(&live.settings), live.config.server_timing)
    };
    let parsed = parsed.map_err(|error| unparsed(error.into()))?;
    note_unknown(state, uri, parsed.unknown);
    match respond(state, peer, method, request_headers, &parsed, &settings, timing).await {
        Ok(answered) => Ok(answered),
        Err(problem) => {
            let picture = fallback_picture(state, peer, method, request_headers, &parsed, &settings, &problem).await;
            let Target { negotiable, hints, .. } = parsed.target;
            Err(Failed { problem, negotiable, hints, picture })
        }
    }
}

/// The answer with the fallback picture in place of a problem with the original, where the settings have one. It is rendered as the URL
/// asks; a problem with that leaves the first one.
async fn fallback_picture(
    state: &State, peer: Peer, method: &Method, request_headers: &HeaderMap, parsed: &ParsedRequest,
    settings: &Arc<Settings>, problem: &Problem,
) -> Option<Response> {
    let is_ok = state.live.load().config.fallback.as_ref()?.is_ok;
    let (target, id) = (&parsed.target, ImageId::fallback());
    let picture = match &target.recipe {
        _ if !problem.lacks_original() => return None,
        Some(recipe) if recipe.encode.output == Output::Json => return None,
        Some(recipe) => {
            let rate_limit = || rate_limit_of(state, peer, request_headers);
            let memo = KeyMemo::clamped_from(target.requested);
            state.service.rendition(settings, &id, recipe, &memo, rate_limit).await
        }
        None => state.service.original(&id).await,
    };
    let picture = picture.ok()?;
    check_content(target, picture.content).ok()?;
    let head = fallback::picture_head(method, request_headers, target, &picture, problem, is_ok).ok()?;
    let mut response = response_body::attach(head, picture.payload, state).await.ok()?;
    response.extensions_mut().insert(problem::Kind(problem.title()));
    Some(response)
}

async fn respond(
    state: &State, peer: Peer, method: &Method, request_headers: &HeaderMap, parsed: &ParsedRequest,
    settings: &Arc<Settings>, timing: bool,
) -> Result<(Response, Outcome), Problem> {
    let target = &parsed.target;
    if let (Some(prefix), Some(recipe)) = (&state.x_accel, &target.recipe)
        && x_accel::is_possible(method, request_headers)
        && let Some(file) = state.service.file(settings, &target.id, recipe, &parsed.key).await?
    {
        check_content(target, file.stored.content)?;
        return Ok((x_accel::respond(method, request_headers, target, file, prefix, timing)?, Outcome::Disk));
    }
    let Some(recipe) = &target.recipe else {
        return Ok((original(state, method, request_headers, parsed, timing).await?, Outcome::Original));
    };
    let rate_limit = || rate_limit_of(state, peer, request_headers);
    let (answer, head) = match state.service.rendition(settings, &target.id, recipe, &parsed.key, rate_limit).await {
        Err(Error::Work(overloaded @ WorkError::Overloaded { .. })) if state.live.load().config.overload_fallback => {
            let original = state.service.overload_fallback(&target.id, recipe).await.ok_or(overloaded)?;
            let head = fallback::overload_head(method, request_headers, target, &original, timing)?;
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

/// The check of a client's rate limit, which is made if something has to be rendered; `None` for no limit.
fn rate_limit_of(state: &State, peer: Peer, request_headers: &HeaderMap) -> Option<Arc<RateLimitCheck>> {
    let limit = state.renders.clone()?;
    let client = state.proxies.client(peer, request_headers);
    Some(Arc::new(RateLimitCheck::new(move || limit.acquire(client))))
}
