//! `GET /-/playground/markup`: markup for an original. Native parameters in the query are those of all its URLs.

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, Uri, header};
use serde_json::json;

use crate::dialect::markup::{Kind, Layout};
use crate::dialect::native::query;
use crate::http::admin::param;
use crate::http::markup::{self, Wanted};
use crate::http::problem::Problem;
use crate::http::request_id::RequestId;
use crate::http::state::State;
use crate::source::ImageId;

pub(super) async fn markup(
    Shared(state): Shared<State>, id: Extension<RequestId>, uri: Uri, request_headers: HeaderMap,
) -> Response {
    match try_markup(&state, &uri, &request_headers).await {
        Ok(markup) => Json(json!({ "markup": markup })).into_response(),
        Err(problem) => problem.respond(Some(&id)),
    }
}

async fn try_markup(state: &State, uri: &Uri, request_headers: &HeaderMap) -> Result<String, Problem> {
    let allowed = "the path of an original";
    let path = param(uri, "path", allowed)?.unwrap_or_default();
    let kind = one_of(uri, "kind", &Kind::NAMES)?.unwrap_or_default();
    let host = request_headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let lqip = one_of(uri, "lqip", &[("true", true), ("1", true), ("false", false), ("0", false), ("", false)])?;
    let live = state.live.load_full();
    let policy = &live.config.policy;
    let wanted = Wanted {
        id: ImageId::of(path.trim_start_matches('/')).map_err(|_| Problem::parameter("path", &path, allowed))?,
        params: query::parse(uri.query().unwrap_or_default()).map_err(crate::dialect::Error::InvalidParams)?.params,
        kind,
        layout: one_of(uri, "layout", &Layout::NAMES)?.unwrap_or_default(),
        sizes: param(uri, "sizes", "a value of the attribute sizes")?,
        // a placeholder shows the picture, for which a URL would need a signature
        lqip: lqip.unwrap_or_default() && policy.originals_are_open(),
        // a command runs outside of the page
        base: if kind == Kind::Curl { format!("http://{host}") } else { String::new() },
        signs: false,
    };
    markup::write(&state.service, policy, wanted).await.map_err(|error| match error {
        markup::Error::Service(error) => error.into(),
        markup::Error::Params(error) => error.into(),
    })
}

/// The value of a parameter that has names for its values.
fn one_of<T: Copy>(uri: &Uri, name: &str, values: &[(&str, T)]) -> Result<Option<T>, Problem> {
    let names = values.iter().map(|(name, _)| *name).filter(|name| !name.is_empty()).collect::<Vec<_>>().join(", ");
    let Some(value) = param(uri, name, &names)? else { return Ok(None) };
    match values.iter().find(|(known, _)| *known == value) {
        Some((_, found)) => Ok(Some(*found)),
        None => Err(Problem::parameter(name, &value, &names)),
    }
}
