//! Taking originals in: `PUT /-/upload/{path}` with the file as its body, and forms in [`form`].

mod form;

use axum::Extension;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::SemaphorePermit;

use super::image::LONGEST_URL;
use super::problem::Problem;
use super::{RequestId, State, admin, body, headers};
use crate::cache::Digest;
use crate::render::Format;
use crate::service::uploads::{Current, Expected, Upload, Uploaded};
use crate::source::ImageId;

pub(super) use form::form;

const PREFIX: &str = "/-/upload";

/// Takes one original in under the name in the path.
pub(super) async fn put(Shared(state): Shared<State>, id: Extension<RequestId>, request: Request<Body>) -> Response {
    let (parts, mut body) = request.into_parts();
    let result = try_put(&state, &parts, &mut body).await;
    body::finish(result, &id, &parts.headers, body)
}

async fn try_put(state: &State, parts: &Parts, body: &mut Body) -> Result<Response, Problem> {
    let limit = admitted(state, parts, "PUT")?;
    let asked = &parts.headers;
    let path = parts.uri.path();
    if path.len() > LONGEST_URL {
        return Err(Problem::uri_too_long(LONGEST_URL));
    }
    let name = ImageId::parse(path.strip_prefix(PREFIX).unwrap_or_default()).map_err(|_| Problem::no_name())?;
    fits_an_image(&name)?;
    // a part of a file must not be stored as the whole (RFC 9110 §14.5)
    if asked.contains_key(header::CONTENT_RANGE) {
        return Err(Problem::body_wrong("partial uploads are not supported; send the whole file"));
    }
    if body::length(asked).is_some_and(|length| length > limit) {
        return Err(Problem::body_too_large(limit));
    }
    let expected = expected(asked, state.service.current(&name).await?)?;
    let _place = place(state)?;
    let mut upload = state.service.begin_upload()?;
    in_time(state, receive(&mut upload, body)).await?;
    let validated = state.service.validate_upload(upload).await?;
    let (uploaded, is_new) = (validated.uploaded, expected == Expected::Absent);
    let published = state.service.publish(vec![(name.clone(), validated)], expected).await;
    published.map_err(|(_, error)| match asked.contains_key(header::IF_NONE_MATCH) {
        true => Problem::from(error).if_conflict_then_precondition(),
        false => error.into(),
    })?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = answer(status, &described(&name, &uploaded));
    if is_new {
        headers::insert(response.headers_mut(), header::LOCATION, &headers::encoded_path(&name));
    }
    // what was sent is what will be sent (RFC 9110 §9.3.4)
    headers::insert(response.headers_mut(), header::ETAG, &format!("\"{}\"", uploaded.digest.to_hex()));
    Ok(response)
}

/// Who may upload how: the most bytes of one original, or why not.
fn admitted(state: &State, parts: &Parts, method: &'static str) -> Result<u64, Problem> {
    let rules = state.rules.load();
    let token = &rules.config.admin_token;
    let limit = state.service.upload_limit().filter(|_| rules.config.upload && !token.is_empty());
    let limit = limit.ok_or_else(Problem::nothing_here)?;
    if parts.method.as_str() != method {
        return Err(Problem::method(method));
    }
    admin::authorize(token, &parts.headers)?;
    Ok(limit)
}

/// A place among those who upload; what is being sent takes room on the disk.
fn place(state: &State) -> Result<SemaphorePermit<'_>, Problem> {
    state.uploads.try_acquire().map_err(|_| Problem::too_many_uploads())
}

/// What arrives by the time that the settings allow.
async fn in_time<T>(state: &State, receiving: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let time = state.rules.load().config.upload_timeout;
    tokio::time::timeout(time, receiving).await.unwrap_or_else(|_| Err(Problem::too_slow(time)))
}

async fn receive(upload: &mut Upload, body: &mut Body) -> Result<(), Problem> {
    while let Some(bytes) = body::next(body).await? {
        upload.write(&bytes).await?;
    }
    Ok(())
}

/// A name tells others what a file is: web servers its type, CDNs whether to keep it. What is served as a page or a script
/// must not come in as an image; which image's extension it is does not matter, since content decides here.
fn fits_an_image(name: &ImageId) -> Result<(), Problem> {
    // what is below /-/ is never an original
    if name.as_str().starts_with("-/") {
        return Err(Problem::no_name());
    }
    let extension = name.file_name().rsplit_once('.').and_then(|(_, extension)| Format::from_name(extension));
    extension
        .map(|_| ())
        .ok_or_else(|| Problem::media_type("the name must end as an image's does, such as .jpg or .png"))
}

/// What must have the name for this request to be carried out, if that can still be so (RFC 9110 §13.2.2).
fn expected(asked: &HeaderMap, current: Current) -> Result<Expected, Problem> {
    let expected = match Tags::of(asked, header::IF_MATCH) {
        None => Expected::Absent,
        Some(Tags::Any) => Expected::Present,
        Some(Tags::These(digests)) => Expected::OneOf(digests),
    };
    if let Some(tags) = Tags::of(asked, header::IF_NONE_MATCH) {
        let matches = match (&tags, current) {
            (_, Current::Absent) => false,
            (Tags::Any, _) => true,
            (Tags::These(digests), Current::Image(digest)) => digests.contains(&digest),
            (Tags::These(_), Current::Unsendable) => false,
        };
        if matches {
            return Err(Problem::precondition("there is an original of that name"));
        }
    }
    match (expected.is_met_by(current), current) {
        (true, _) => Ok(expected),
        (false, Current::Absent) => Err(Problem::precondition("there is no original of that name to replace")),
        (false, _) => Err(Problem::conflict(
            "there is an original of that name, and If-Match names neither its ETag nor *, which would replace it",
        )),
    }
}

/// The entity tags of a condition.
enum Tags {
    Any,
    These(Vec<Digest>),
}

impl Tags {
    /// Compared strongly: those that are weak, or none of ours, match nothing (RFC 9110 §13.1.1).
    fn of(asked: &HeaderMap, name: header::HeaderName) -> Option<Tags> {
        let values: Vec<&str> = asked.get_all(name).iter().map(|value| value.to_str().unwrap_or_default()).collect();
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
        Some(Tags::These(values.into_iter().flat_map(headers::entity_tags).filter_map(digest).collect()))
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
    let kept = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, kept, axum::Json(body)).into_response()
}
