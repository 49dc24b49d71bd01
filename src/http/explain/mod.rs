//! `GET /-/explain?url=…`: what a URL means and what a request for it would do, as JSON. A URL that would be refused is explained
//! as well: `problem` is what a request for it would answer.
//!
//! | file | what it describes |
//! |---|---|
//! | `facts` | the original, the plan and the place in the cache |
//! | `format` | why the result has the format that it has |

mod facts;
mod format;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, Uri};
use serde_json::{Map, Value, json};

use super::admin::{self, param};
use super::image::{MAX_URL_BYTES, check_content};
use super::problem::Problem;
use super::request_id::RequestId;
use super::state::State;
use crate::clock;
use crate::dialect::policy::Reading;
use crate::dialect::{Params, Policy, Target};
use crate::service::explain::Explained;

/// For the administrator, with the token.
pub(super) async fn with_token(
    Shared(state): Shared<State>, id: Extension<RequestId>, uri: Uri, request_headers: HeaderMap,
) -> Response {
    let token = state.live.load().config.admin_token.clone();
    let authorized = match token.is_empty() {
        true => Err(Problem::no_such_path()),
        false => admin::authorize(&token, &request_headers),
    };
    match authorized {
        Ok(()) => answer(&state, &id, &uri).await,
        Err(problem) => problem.respond(Some(&id)),
    }
}

/// For the playground.
pub(super) async fn for_playground(Shared(state): Shared<State>, id: Extension<RequestId>, uri: Uri) -> Response {
    answer(&state, &id, &uri).await
}

async fn answer(state: &State, id: &RequestId, uri: &Uri) -> Response {
    let inputs = || {
        let url = param(uri, "url", ALLOWED)?.unwrap_or_default();
        match url.find('/') {
            Some(_) => Ok((url, param(uri, "accept", "the value of an Accept header")?.unwrap_or_default())),
            None => Err(Problem::parameter("url", &url, ALLOWED)),
        }
    };
    match inputs() {
        Ok((url, accept)) => Json(explain(state, id, &url, &accept).await).into_response(),
        Err(problem) => problem.respond(Some(id)),
    }
}

const ALLOWED: &str = "a URL of this server, or its path and query, percent-encoded";

/// The explanation of a URL for a client that sends `accept`.
pub(super) async fn explain(state: &State, id: &RequestId, url: &str, accept: &str) -> Value {
    let (path, query) = path_and_query(url);
    let live = state.live.load_full();
    let (policy, settings) = (&live.config.policy, &live.settings);
    let mut report = Report::new(url, path, policy);
    let read = report.read(policy, path, query, accept);
    if let Err(problem) = read.as_ref() {
        let problem = problem.to_json(Some(id));
        return report.end(problem);
    }
    let Ok((reading, target)) = read else { return report.end(Value::Null) };
    let explained = state.service.explain(settings, &target.id, target.recipe.as_ref()).await;
    let problem = report.explained(&reading, &target, explained, settings, accept);
    report.end(problem.map_or(Value::Null, |problem| problem.to_json(Some(id))))
}

/// Path and query of an address on this server, or of a path.
fn path_and_query(url: &str) -> (&str, Option<&str>) {
    let rest = match url.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            &rest[rest.find('/').unwrap_or(rest.len())..]
        }
        _ => url,
    };
    // a fragment is never sent
    let rest = rest.split('#').next().unwrap_or_default();
    rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)))
}

/// The answer while it is written.
struct Report {
    fields: Map<String, Value>,
    steps: Vec<Value>,
}

impl Report {
    fn new(url: &str, path: &str, policy: &Policy) -> Report {
        let mut report = Report { fields: Map::new(), steps: Vec::new() };
        report.set("url", url);
        report.set("path", Value::Null);
        let dialect = policy.dialect(path);
        report.set("dialect", dialect);
        report.step("dialect", dialect, "the longest mount that the path begins with");
        for name in ["params", "original", "target", "recipe", "plan", "estimate", "format", "cache", "urls"] {
            report.set(name, Value::Null);
        }
        report
    }

    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.insert(name.to_owned(), value.into());
    }

    fn step(&mut self, step: &str, result: impl Into<Value>, why: impl Into<String>) {
        self.steps.push(json!({ "step": step, "result": result.into(), "why": why.into() }));
    }

    fn end(mut self, problem: Value) -> Value {
        if let Some(detail) = problem.get("detail").cloned() {
            let status = problem.get("status").cloned().unwrap_or_default();
            self.steps.push(json!({ "step": "refused", "result": status, "why": detail }));
        }
        self.set("problem", problem);
        let steps = std::mem::take(&mut self.steps);
        self.set("steps", steps);
        Value::Object(self.fields)
    }

    /// Reads the URL as a request does.
    fn read(
        &mut self, policy: &Policy, path: &str, query: Option<&str>, accept: &str,
    ) -> Result<(Reading, Target), Problem> {
        if path.len() + query.map_or(0, |query| query.len() + 1) > MAX_URL_BYTES {
            return Err(Problem::uri_too_long(MAX_URL_BYTES));
        }
        if path.starts_with("/-/") {
            return Err(Problem::no_such_path());
        }
        let now = clock::seconds();
        let reading = policy.reading(path, query, now);
        if let Ok(reading) = &reading {
            self.reading(policy, reading);
        }
        let target = policy.target(path, query, accept, now)?;
        Ok((reading?, target))
    }

    fn reading(&mut self, policy: &Policy, reading: &Reading) {
        let Reading { id, params, effective, unknown } = reading;
        self.set("path", id.as_str());
        let ignored: Vec<&str> = unknown.iter().map(|(name, _)| name.as_str()).collect();
        self.set("params", json!({ "asked": object(params), "effective": object(effective), "ignored": ignored }));
        let urls = policy.urls(id, effective).into_iter().map(|(name, url)| (name.to_owned(), Value::from(url)));
        self.set("urls", Value::Object(urls.collect()));
        if let Some(preset) = &params.preset {
            self.step("preset", preset.as_str(), "its parameters fill those that the URL leaves out");
        }
        if !ignored.is_empty() {
            self.step("ignored", ignored.join(", "), "no parameters of this server; output.unknown_params says so");
        }
        match params.asks_for_rendition() {
            true => self.step("answer", "rendition", "the URL has parameters"),
            false => {
                self.step("answer", "original", "no parameter asks for a change: the original's own bytes are sent")
            }
        }
    }

    /// Adds what the service knows; returns what the request would fail with.
    fn explained(
        &mut self, reading: &Reading, target: &Target, explained: Explained, settings: &crate::render::Settings,
        accept: &str,
    ) -> Option<Problem> {
        self.set("target", facts::target(target));
        if let Some(query) = &target.snapped {
            let why = "output.widths and output.snap allow no other width near it";
            self.step("width", reading.effective.width, format!("{why}: {query}"));
        }
        let Explained { version, stale, header, rendition, digest, failure } = explained;
        if let Some(version) = &version {
            let cached = rendition.as_ref().and_then(|rendition| rendition.cached);
            self.set("original", facts::original(version, header.as_ref(), cached.and_then(|peek| peek.facts), stale));
        }
        if let Some(header) = &header {
            self.step("original", header.format().name(), "by its first bytes, whatever its name says");
        }
        if let Some(rendition) = &rendition {
            self.set("recipe", json!({ "text": rendition.recipe.to_string() }));
            let clamp = facts::clamp(target, header.as_ref(), settings);
            self.set("plan", facts::plan(rendition, clamp));
            self.set("estimate", facts::estimate(rendition));
            facts::steps(self, rendition, clamp);
        }
        self.set("cache", facts::cache(rendition.as_ref(), digest));
        let (chosen, why) = format::chosen(reading, target, header.as_ref(), rendition.as_ref(), accept, settings);
        if let Some(chosen) = chosen {
            self.step("format", chosen.name(), why.join("; "));
        }
        self.set("format", json!({ "chosen": chosen.map(|format| format.name()), "why": why }));
        let refused = header.as_ref().and_then(|header| {
            let content = crate::render::Content::Image(header.format());
            check_content(target, content).err()
        });
        failure.map(Problem::from).or(refused)
    }
}

fn object(params: &Params) -> Value {
    // a signature is not repeated: explanations are copied into reports
    let stated = params.stated().filter(|(name, _)| *name != "s");
    Value::Object(stated.map(|(name, value)| (name.to_owned(), Value::from(value))).collect())
}
