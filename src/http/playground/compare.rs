//! `GET /-/playground/compare`: one rendition in several formats, with its bytes, the time that it took and its SSIMULACRA2.
//! Renders go through cache and queue like every request; one comparison runs at a time.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use http::Uri;
use serde_json::{Value, json};

use crate::clock;
use crate::dialect::Params;
use crate::dialect::native::params::RequestedFormat;
use crate::dialect::policy::Reading;
use crate::http::admin::param;
use crate::http::problem::Problem;
use crate::http::request_id::RequestId;
use crate::http::state::{Live, State};
use crate::render::{Content, Format};
use crate::service::{self, KeyMemo, Payload};
use crate::source::ImageId;

/// Pixels of the largest result that is scored.
const MAX_SCORED: u64 = 8_000_000;

/// Formats that are compared unless the request names some.
const FORMATS: &str = "avif,webp,jpeg,png";

pub(super) async fn compare(Shared(state): Shared<State>, id: Extension<RequestId>, uri: Uri) -> Response {
    match try_compare(&state, &id, &uri).await {
        Ok(rows) => Json(rows).into_response(),
        Err(problem) => problem.respond(Some(&id)),
    }
}

async fn try_compare(state: &State, id: &RequestId, uri: &Uri) -> Result<Vec<Value>, Problem> {
    let allowed = "a URL's path and query, percent-encoded";
    let url = param(uri, "url", allowed)?.ok_or_else(|| Problem::parameter("url", "", allowed))?;
    let formats = formats(uri)?;
    let live = state.live.load_full();
    let (path, query) = url.split_once('?').map_or((&*url, None), |(path, query)| (path, Some(query)));
    let policy = &live.config.policy;
    // refused as a request for it is, signature included
    policy.target(path, query, "", clock::seconds())?;
    let Reading { id: original, effective, .. } = policy.reading(path, query, clock::seconds())?;
    let _permit = state.comparisons.try_acquire().map_err(|_| Problem::too_many_comparisons())?;
    let comparison = Comparison { state, live: &live, original, params: effective };
    let exact = comparison.exact().await;
    let mut rows = Vec::new();
    for format in formats {
        rows.push(match comparison.row(format, exact.as_ref()).await {
            Ok(row) => row,
            Err(problem) => json!({ "format": format.name(), "problem": problem.to_json(Some(id)) }),
        });
    }
    Ok(rows)
}

/// The formats of a request, each once.
fn formats(uri: &Uri) -> Result<Vec<Format>, Problem> {
    let text = param(uri, "formats", FORMATS)?.unwrap_or_else(|| FORMATS.into());
    let mut formats = Vec::new();
    for name in text.split(',') {
        let known = Format::from_name(name).filter(|format| format.is_output());
        let format = known.ok_or_else(|| Problem::parameter("formats", name, FORMATS))?;
        if !formats.contains(&format) {
            formats.push(format);
        }
    }
    Ok(formats)
}

struct Comparison<'a> {
    state: &'a State,
    live: &'a Live,
    original: ImageId,
    params: Params,
}

impl Comparison<'_> {
    /// The same picture without loss, in PNG. One that cannot be made leaves the scores out.
    async fn exact(&self) -> Option<(Bytes, u64)> {
        let png = Some(RequestedFormat::Exactly(Format::Png));
        let params = Params {
            format: png,
            lossless: Some(true),
            animated: Some(false),
            quality: None,
            target: None,
            auto: None,
            ..self.params.clone()
        };
        let (bytes, _) = self.rendition(&params).await.ok()?;
        let pixels = crate::render::probe(&bytes).ok()?.size.pixels();
        (pixels <= MAX_SCORED).then_some((bytes, pixels))
    }

    async fn row(&self, format: Format, exact: Option<&(Bytes, u64)>) -> Result<Value, Problem> {
        let lossless = self.params.lossless.filter(|_| format.supports_lossless());
        let format_param = Some(RequestedFormat::Exactly(format));
        let params = Params { format: format_param, auto: None, lossless, ..self.params.clone() };
        let started = Instant::now();
        let (bytes, timing) = self.rendition(&params).await?;
        let made = timing.decode + timing.resize + timing.encode;
        // of a cached one, the time of this answer
        let took = if made.is_zero() { started.elapsed() } else { made };
        let score = match exact {
            Some((exact, pixels)) => self.score(exact, &bytes, *pixels).await?,
            None => None,
        };
        Ok(json!({
            "format": format.name(),
            "bytes": bytes.len(),
            "milliseconds": tenths(took.as_secs_f64() * 1000.0),
            "cached": made.is_zero(),
            "score": score.map(tenths),
            "url": self.live.config.policy.native_url(&self.original, &params, false)?,
            "problem": Value::Null,
        }))
    }

    async fn rendition(&self, params: &Params) -> Result<(Bytes, service::Timing), Problem> {
        let recipe = self.live.config.policy.recipe_of(params)?;
        let (memo, service) = (KeyMemo::default(), &self.state.service);
        let answer = service.rendition(&self.live.settings, &self.original, &recipe, &memo, || None).await?;
        match (answer.payload, answer.content) {
            (Payload::Memory { bytes, .. }, Content::Image(format)) if format != Format::Svg => {
                Ok((bytes, answer.timing))
            }
            _ => Err(Problem::media_type("only raster images are compared")),
        }
    }

    /// The score of a rendition. The original's own bytes, which are sent where they are fewer, are not decoded here.
    async fn score(&self, exact: &Bytes, made: &Bytes, pixels: u64) -> Result<Option<f64>, Problem> {
        let service = &self.state.service;
        let is_original = service.is_original(&self.original, made).await?;
        if is_original {
            return Ok(Some(100.0));
        }
        Ok(service.score(exact.clone(), made.clone(), pixels, &Arc::clone(&self.live.settings)).await?)
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
