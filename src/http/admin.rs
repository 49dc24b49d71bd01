//! `POST /-/purge`, and what requests that need the admin token share.

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, Method, Uri, header};
use serde_json::{Value, json};

use super::problem::Problem;
use super::request_id::RequestId;
use super::state::State;
use crate::cache::Purge;
use crate::dialect::Policy;
use crate::dialect::native::query;
use crate::service::purge::{Nodes, Purged};
use crate::source::ImageId;

/// Removes every rendition of an original or a folder: here, in the shared bucket and on the other servers.
pub(super) async fn purge(
    Shared(state): Shared<State>, id: Extension<RequestId>, method: Method, uri: Uri, request_headers: HeaderMap,
) -> Response {
    match try_purge(&state, &method, &uri, &request_headers).await {
        Ok(purged) => ([(header::CACHE_CONTROL, "no-store")], Json(described(&purged))).into_response(),
        Err(problem) => problem.respond(Some(&id)),
    }
}

/// The result of a purge: renditions removed, and the servers that were told.
pub(super) fn described(purged: &Purged) -> Value {
    let Purged { renditions, nodes } = purged;
    let mut body = json!({ "purged": renditions });
    if let Some(Nodes { told, failed }) = nodes {
        body["nodes"] = json!({ "told": told, "failed": failed });
    }
    body
}

async fn try_purge(state: &State, method: &Method, uri: &Uri, request_headers: &HeaderMap) -> Result<Purged, Problem> {
    let live = state.live.load_full();
    let token = &live.config.admin_token;
    if token.is_empty() {
        return Err(Problem::no_such_path());
    }
    if method != Method::POST {
        return Err(Problem::method("POST"));
    }
    authorize(token, request_headers)?;
    let what = selected(&live.config.policy, uri)?;
    match param(uri, LOCAL, ONE)?.as_deref() {
        None => Ok(state.service.purge(what, token).await?),
        Some("1") => Ok(state.service.purge_local(what).await?),
        Some(other) => Err(Problem::parameter(LOCAL, other, ONE)),
    }
}

/// The renditions that a request names.
fn selected(policy: &Policy, uri: &Uri) -> Result<Purge, Problem> {
    if let Some(url) = param(uri, URL, "a URL's path and query, percent-encoded")? {
        return Ok(Purge::Original(named_by(policy, &url)?));
    }
    selected_path(&path_param(uri, ALLOWED_PATH)?)
}

/// The value of [`PATH`] in a purge.
const ALLOWED_PATH: &str = "the path of an original, as in its URL but decoded; with a slash at its end, of a folder";

/// The renditions of an original or of a folder, by its path.
pub(super) fn selected_path(value: &str) -> Result<Purge, Problem> {
    // an empty variable of a script, as in `/$FOLDER/`, must not purge everything, which `/` alone does
    if value == "/" {
        return Ok(Purge::Folder(String::new()));
    }
    let path = value.strip_prefix('/').unwrap_or(value);
    let folder = path.strip_suffix('/');
    let name = ImageId::of(folder.unwrap_or(path)).map_err(|_| Problem::parameter(PATH, value, ALLOWED_PATH))?;
    Ok(match folder {
        Some(_) => Purge::Folder(format!("{}/", name.as_str())),
        None => Purge::Original(name),
    })
}

/// The original that a URL of any dialect names, also one that has expired.
fn named_by(policy: &Policy, url: &str) -> Result<ImageId, Problem> {
    let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
    let before_any_expiry = 0;
    Ok(policy.target(path, query, "", before_any_expiry)?.id)
}

/// The parameter with a path.
pub(super) const PATH: &str = "path";

/// The parameter with a URL.
const URL: &str = "url";

/// The parameter of purges that another server passes on.
const LOCAL: &str = "local";
const ONE: &str = "1: purges this server only";

/// The value of [`PATH`]; empty if it is absent.
pub(super) fn path_param(uri: &Uri, allowed: &str) -> Result<String, Problem> {
    param(uri, PATH, allowed).map(Option::unwrap_or_default)
}

/// The value of a parameter that may be given once.
pub(super) fn param(uri: &Uri, name: &str, allowed: &str) -> Result<Option<String>, Problem> {
    let mut values = query::values(uri.query().unwrap_or_default(), name);
    let Some(value) = values.next() else { return Ok(None) };
    let value = value.map_err(|raw| Problem::parameter(name, raw, allowed))?;
    match values.next() {
        None => Ok(Some(value.into_owned())),
        Some(again) => {
            let again = again.unwrap_or_else(|raw| raw.into());
            Err(Problem::parameter(name, &again, "it may be given only once"))
        }
    }
}

/// Checks the bearer token.
pub(super) fn authorize(token: &str, request_headers: &HeaderMap) -> Result<(), Problem> {
    let given = request_headers.get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes).unwrap_or_default();
    // the scheme is case-insensitive (RFC 9110 §11.1)
    const SCHEME: &[u8] = b"Bearer ";
    let (scheme, given) = given.split_at(SCHEME.len().min(given.len()));
    // blake3 compares digests in constant time
    let is_valid = blake3::hash(given) == blake3::hash(token.as_bytes());
    if scheme.eq_ignore_ascii_case(SCHEME) && is_valid { Ok(()) } else { Err(Problem::unauthorized()) }
}
