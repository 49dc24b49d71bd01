//! What only the operator may do.

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, Method, Uri, header};
use serde_json::json;

use super::problem::Problem;
use super::{RequestId, State};
use crate::cache::Purge;
use crate::dialect::native::query;
use crate::source::ImageId;

/// Drops every rendition of an original.
pub(super) async fn purge(
    Shared(state): Shared<State>, id: Extension<RequestId>, method: Method, uri: Uri, asked: HeaderMap,
) -> Response {
    match try_purge(&state, &method, &uri, &asked).await {
        Ok(purged) => ([(header::CACHE_CONTROL, "no-store")], Json(json!({ "purged": purged }))).into_response(),
        Err(problem) => problem.respond(Some(&id)),
    }
}

async fn try_purge(state: &State, method: &Method, uri: &Uri, asked: &HeaderMap) -> Result<u64, Problem> {
    let rules = state.rules.load_full();
    let token = &rules.config.admin_token;
    if token.is_empty() {
        return Err(Problem::nothing_here());
    }
    if method != Method::POST {
        return Err(Problem::method("POST"));
    }
    authorize(token, asked)?;
    let allowed = "the path of an original, as in its URL but decoded; with a slash at its end, of a folder";
    let said = path_said(uri, allowed)?;
    let wrong = || Problem::parameter(PATH, &said, allowed);
    // an empty one is a script's empty variable rather than a wish to drop everything, which is /
    if said.is_empty() {
        return Err(wrong());
    }
    let path = said.trim_start_matches('/');
    let what = match path.strip_suffix('/') {
        Some(folder) => Purge::Folder(format!("{}/", name(folder).ok_or_else(wrong)?.as_str())),
        // the root alone: the slash in front was its own
        None if path.is_empty() => Purge::Folder(String::new()),
        None => Purge::Original(name(path).ok_or_else(wrong)?),
    };
    Ok(state.service.purge(what).await)
}

/// The parameter that says about which path it is.
pub(super) const PATH: &str = "path";

/// What that parameter says; nothing where it is not there.
pub(super) fn path_said(uri: &Uri, allowed: &str) -> Result<String, Problem> {
    let mut values = query::values(uri.query().unwrap_or_default(), PATH);
    let said = values.next().unwrap_or(Ok("".into()));
    let said = said.map_err(|written| Problem::parameter(PATH, written, allowed))?;
    match values.next() {
        None => Ok(said.into_owned()),
        Some(again) => {
            let again = again.unwrap_or_else(|written| written.into());
            Err(Problem::parameter(PATH, &again, "it may be said once only"))
        }
    }
}

/// The name that a decoded path says. It is checked as a URL's would be.
pub(super) fn name(path: &str) -> Option<ImageId> {
    let encoded: String = path
        .split('/')
        .map(|segment| {
            format!("/{}", percent_encoding::utf8_percent_encode(segment, percent_encoding::NON_ALPHANUMERIC))
        })
        .collect();
    ImageId::parse(&encoded).ok()
}

/// The token of the settings must be brought along.
pub(super) fn authorize(token: &str, asked: &HeaderMap) -> Result<(), Problem> {
    let given = asked.get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes).unwrap_or_default();
    // the scheme may be written in any case (RFC 9110 §11.1)
    const SCHEME: &[u8] = b"Bearer ";
    let (scheme, given) = given.split_at(SCHEME.len().min(given.len()));
    // digests take the same time to compare wherever the texts differ (blake3's equality is constant-time)
    let is_right = blake3::hash(given) == blake3::hash(token.as_bytes());
    if scheme.eq_ignore_ascii_case(SCHEME) && is_right { Ok(()) } else { Err(Problem::unauthorized()) }
}
