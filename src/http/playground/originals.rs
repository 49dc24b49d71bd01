//! `GET /-/playground/originals`: names of originals, page by page.

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::Uri;
use serde_json::{Value, json};

use crate::dialect::Policy;
use crate::http::admin::param;
use crate::http::problem::Problem;
use crate::http::request_id::RequestId;
use crate::http::state::State;
use crate::render::Format;
use crate::source::{ImageId, Listed, Query};

/// Originals on a page, and the most that may be asked for.
const LIMIT: usize = 60;
const MAX_LIMIT: usize = 500;

pub(super) async fn originals(Shared(state): Shared<State>, id: Extension<RequestId>, uri: Uri) -> Response {
    match try_originals(&state, &uri).await {
        Ok(page) => Json(page).into_response(),
        Err(problem) => problem.respond(Some(&id)),
    }
}

async fn try_originals(state: &State, uri: &Uri) -> Result<Value, Problem> {
    let query = query(uri)?;
    let folder = query.folder.clone();
    let page = state.service.list(query, has_image_extension).await.ok_or_else(Problem::cannot_list)??;
    let live = state.live.load();
    let originals = page.originals.iter().filter_map(|listed| described(listed, &live.config.policy));
    let next = page.originals.last().filter(|_| page.has_more).map(|last| &last.path);
    Ok(json!({
        "folder": folder,
        "folders": page.folders,
        "originals": originals.collect::<Vec<_>>(),
        "next": next,
        "incomplete": page.is_incomplete,
    }))
}

fn query(uri: &Uri) -> Result<Query, Problem> {
    let text = |name: &str, allowed: &str| param(uri, name, allowed).map(Option::unwrap_or_default);
    let folder = text("folder", "a folder, with a slash at its end")?;
    let search = text("search", "a part of a path")?;
    let after = text("after", "`next` of the page before")?;
    let limit = param(uri, "limit", "1 to 500")?;
    let limit = match limit {
        None => LIMIT,
        Some(limit) => match limit.parse() {
            Ok(number) if (1..=MAX_LIMIT).contains(&number) => number,
            _ => return Err(Problem::parameter("limit", &limit, "1 to 500")),
        },
    };
    let folder = folder.trim_start_matches('/').to_owned();
    if !folder.is_empty() && !folder.ends_with('/') {
        return Err(Problem::parameter("folder", &folder, "a folder, with a slash at its end"));
    }
    Ok(Query { folder, search, after, limit })
}

fn described(listed: &Listed, policy: &Policy) -> Option<Value> {
    let Listed { path, bytes, modified } = listed;
    let id = ImageId::of(path).ok()?;
    Some(json!({ "path": path, "url": policy.native_path(&id), "bytes": bytes, "modified": modified }))
}

/// Whether a name has the extension of an image. Other files are served as images, too, where they are; they are only not
/// listed, since each would have to be opened.
fn has_image_extension(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| Format::from_name(extension).is_some())
}
