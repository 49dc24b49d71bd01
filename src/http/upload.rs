//! Uploads: `PUT /-/upload/{path}` with the file as its body, and forms in [`form`].

mod form;

use axum::Extension;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::SemaphorePermit;

use super::conditions::entity_tags;
use super::image::MAX_URL_BYTES;
use super::problem::Problem;
use super::request_id::RequestId;
use super::state::State;
use super::{admin, headers, request_body};
use crate::cache::Digest;
use crate::render::Format;
use crate::service::uploads::{Current, Expected, Upload, Uploaded};
use crate::source::ImageId;

pub(super) use form::form;

const PREFIX: &str = "/-/upload";

/// Stores one original under the name in the path.
pub(super) async fn put(Shared(state): Shared<State>, id: Extension<RequestId>, request: Request<Body>) -> Response {
    let (parts, mut body) = request.into_parts();
    let result = try_put(&state, &parts, &mut body).await;
    request_body::finish(result, &id, &parts.headers, body)
}

async fn try_put(state: &State, parts: &Parts, body: &mut Body) -> Result<Response, Problem> {
    let limit = authorize(state, parts, "PUT")?;
    let request_headers = &parts.headers;
    let path = parts.uri.path();
    if path.len() > MAX_URL_BYTES {
        return Err(Problem::uri_too_long(MAX_URL_BYTES));
    }
    let name = ImageId::parse(path.strip_prefix(PREFIX).unwrap_or_default()).map_err(|_| Problem::invalid_name())?;
    check_extension(&name)?;
    // a part of a file must not be stored as the whole (RFC 9110 §14.5)
    if request_headers.contains_key(header::CONTENT_RANGE) {
        return Err(Problem::invalid_body("partial uploads are not supported; send the whole file"));
    }
    if request_body::length(request_headers).is_some_and(|length| length > limit) {
        return Err(Problem::body_too_large(limit));
    }
    let expected = expected(request_headers, state.service.current(&name).await?)?;
    let _permit = permit(state)?;
    let mut upload = state.service.begin_upload()?;
    with_timeout(state, receive(&mut upload, body)).await?;
    let validated = state.service.validate_upload(upload).await?;
    let (uploaded, is_new) = (validated.uploaded, expected == Expected::Absent);
    let published = state.service.publish(vec![(name.clone(), validated)], expected).await;
    published.map_err(|(_, error)| match request_headers.contains_key(header::IF_NONE_MATCH) {
        true => Problem::from(error).conflict_to_precondition(),
        false => error.into(),
    })?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = answer(status, &described(&name, &uploaded));
    if is_new {
        headers::insert(response.headers_mut(), header::LOCATION, &state.live.load().config.policy.native_path(&name));
    }
    // the original is sent as it was uploaded (RFC 9110 §9.3.4)
    headers::insert(response.headers_mut(), header::ETAG, &format!("\"{}\"", uploaded.digest.to_hex()));
    Ok(response)
}

/// Authorizes an upload; returns the limit of bytes of one original.
fn authorize(state: &State, parts: &Parts, method: &'static str) -> Result<u64, Problem> {
    let live = state.live.load();
    let token = &live.config.admin_token;
    let limit = state.service.upload_limit().filter(|_| state.config.upload && !token.is_empty());
    let limit = limit.ok_or_else(Problem::no_such_path)?;
    if parts.method.as_str() != method {
        return Err(Problem::method(method));
    }
    admin::authorize(token, &parts.headers)?;
    Ok(limit)
}

/// A permit of the concurrent uploads, whose files take space on the disk.
fn permit(state: &State) -> Result<SemaphorePermit<'_>, Problem> {
    state.uploads.try_acquire().map_err(|_| Problem::too_many_uploads())
}

/// Receives a body within `limits.upload_timeout`.
async fn with_timeout<T>(state: &State, receiving: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let timeout = state.config.upload_timeout;
    tokio::time::timeout(timeout, receiving).await.unwrap_or_else(|_| Err(Problem::request_timeout(timeout)))
}

async fn receive(upload: &mut Upload, body: &mut Body) -> Result<(), Problem> {
    while let Some(bytes) = request_body::next(body).await? {
        upload.write(&bytes).await?;
    }
    Ok(())
}

/// Checks that a name has the extension of an image: web servers choose the type by it, and CDNs whether to cache. Which
/// image's extension it is does not matter, since tintype goes by the content.
fn check_extension(name: &ImageId) -> Result<(), Problem> {
    // paths under /-/ are never originals
    if name.as_str().starts_with("-/") {
        return Err(Problem::invalid_name());
    }
    let extension = name.file_name().rsplit_once('.').and_then(|(_, extension)| Format::from_name(extension));
    extension
        .map(|_| ())
        .ok_or_else(|| Problem::media_type("the name must have an image's extension, such as .jpg or .png"))
}

/// The precondition on the file of that name when the upload is published; fails if that is already impossible (RFC 9110 §13.2.2).
fn expected(request_headers: &HeaderMap, current: Current) -> Result<Expected, Problem> {
    let expected = match Tags::of(request_headers, header::IF_MATCH) {
        None => Expected::Absent,
        Some(Tags::Any) => Expected::Present,
        Some(Tags::These(digests)) => Expected::OneOf(digests),
    };
    if let Some(tags) = Tags::of(request_headers, header::IF_NONE_MATCH) {
        let matches = match (&tags, current) {
            (_, Current::Absent) => false,
            (Tags::Any, _) => true,
            (Tags::These(digests), Current::Image(digest)) => digests.contains(&digest),
            (Tags::These(_), Current::Unsendable) => false,
        };
        if matches {
            return Err(Problem::precondition("an original of that name exists"));
        }
    }
    match (expected.is_met_by(current), current) {
        (true, _) => Ok(expected),
        (false, Current::Absent) => Err(Problem::precondition("there is no original of that name to replace")),
        (false, _) => {
            Err(Problem::conflict("an original of that name exists; If-Match with its ETag or * replaces it"))
        }
    }
}

/// The entity tags of a condition.
enum Tags {
    Any,
    These(Vec<Digest>),
}

impl Tags {
    /// Compared strongly: weak tags, and those of other servers, match nothing (RFC 9110 §13.1.1).
    fn of(request_headers: &HeaderMap, name: header::HeaderName) -> Option<Tags> {
        let values: Vec<&str> =
            request_headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default()).collect();
        if values.is_empty() {
            return None;
        }
        if values.iter().any(|value| value.trim() == "*") {
            return Some(Tags::Any);
        }
        let digest = |tag: &str| {
            let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
            Digest::from_hex(digits).filter(|digest| digest.to_hex() == digits)
        };
        Some(Tags::These(values.into_iter().flat_map(entity_tags).filter_map(digest).collect()))
    }
}

fn described(name: &ImageId, uploaded: &Uploaded) -> Value {
    let Uploaded { image, bytes, digest: _ } = uploaded;
    json!({
        "path": name.as_str(),
        "format": image.format.name(),
        "width": image.size.map(|size| size.width),
        "height": image.size.map(|size| size.height),
        "frames": image.frames,
        "bytes": bytes,
    })
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, no_store, axum::Json(body)).into_response()
}
