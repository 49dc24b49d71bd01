//! `POST /-/upload`: files of a form (RFC 7578), which are stored all or none.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Extension;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::Response;
use http::request::Parts;
use http::{Request, StatusCode, header};
use multer::{Constraints, Field, Multipart, SizeLimit};
use serde_json::json;

use super::{answer, authorize, check_extension, described, permit, with_timeout};
use crate::http::problem::Problem;
use crate::http::request_body::{self, Chunks};
use crate::http::request_id::RequestId;
use crate::http::state::State;
use crate::http::{admin, headers};
use crate::service::uploads::{Expected, Upload};
use crate::source::ImageId;

/// Files of a form at most.
const MAX_FILES: usize = 32;

/// The limit of a whole form, as a multiple of the limit of one original.
const FORM_FACTOR: u64 = 8;

/// Stores the files of a form below the folder in the query.
pub(in crate::http) async fn form(
    Shared(state): Shared<State>, id: Extension<RequestId>, request: Request<Body>,
) -> Response {
    let (parts, mut body) = request.into_parts();
    let result = try_form(&state, &parts, &mut body).await;
    request_body::finish(result, &id, &parts.headers, body)
}

async fn try_form(state: &State, parts: &Parts, body: &mut Body) -> Result<Response, Problem> {
    let limit = authorize(state, parts, "POST")?.saturating_mul(FORM_FACTOR);
    let folder = folder(parts)?;
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(kind)
        .map_err(|_| Problem::media_type("the form must be multipart/form-data; PUT a single file to its path"))?;
    if request_body::length(&parts.headers).is_some_and(|length| length > limit) {
        return Err(Problem::body_too_large(limit));
    }
    let _permit = permit(state)?;
    let uploads = with_timeout(state, receive(state, &folder, boundary, limit, body)).await?;
    if uploads.is_empty() {
        return Err(Problem::invalid_body("there is no file in the form"));
    }
    let mut files = Vec::with_capacity(uploads.len());
    for (name, upload) in uploads {
        let validated =
            state.service.validate_upload(upload).await.map_err(|error| Problem::from(error).of_file(&name))?;
        files.push((name, validated));
    }
    let uploaded: Vec<_> = files.iter().map(|(name, validated)| (name.clone(), validated.uploaded)).collect();
    let published = state.service.publish(files, Expected::Absent).await;
    published.map_err(|(index, error)| Problem::from(error).of_file(&uploaded[index].0))?;
    let described: Vec<_> = uploaded.iter().map(|(name, uploaded)| described(name, uploaded)).collect();
    let mut response = answer(StatusCode::CREATED, &json!({ "files": described }));
    headers::insert(
        response.headers_mut(),
        header::LOCATION,
        &state.live.load().config.policy.native_path(&uploaded[0].0),
    );
    Ok(response)
}

/// The folder in the query, with a trailing slash; empty for the root.
fn folder(parts: &Parts) -> Result<String, Problem> {
    let allowed = "the folder for the files, as in a URL but decoded; absent for the root";
    let value = admin::path_param(&parts.uri, allowed)?;
    // a slash at each end is allowed
    let path = value.strip_prefix('/').unwrap_or(&value);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(String::new());
    }
    let name = ImageId::of(path).map_err(|_| Problem::parameter(admin::PATH, &value, allowed))?;
    Ok(format!("{}/", name.as_str()))
}

/// Stages every file of a form.
async fn receive(
    state: &State, folder: &str, boundary: String, limit: u64, body: &mut Body,
) -> Result<Vec<(ImageId, Upload)>, Problem> {
    let buffered = AtomicUsize::new(0);
    let constraints = Constraints::new().size_limit(SizeLimit::new().whole_stream(limit));
    let mut form = Multipart::with_constraints(Chunks::new(body, &buffered), boundary, constraints);
    let mut uploads = Vec::new();
    while let Some(mut field) = form.next_field().await.map_err(|error| failed(error, limit))? {
        buffered.store(0, Ordering::Relaxed);
        // browsers send an empty file field without a name
        let Some(name) = field.file_name().filter(|name| !name.is_empty()).map(str::to_owned) else {
            while next(&mut field, &buffered, limit).await?.is_some() {}
            continue;
        };
        let name = self::name(folder, &name)?;
        if uploads.len() == MAX_FILES {
            return Err(Problem::invalid_body(&format!("a form has at most {MAX_FILES} files")));
        }
        if uploads.iter().any(|(other, _)| *other == name) {
            return Err(Problem::conflict("two files of the form have the same name").of_file(&name));
        }
        let mut upload = state.service.begin_upload()?;
        while let Some(bytes) = next(&mut field, &buffered, limit).await? {
            upload.write(&bytes).await.map_err(|error| Problem::from(error).of_file(&name))?;
        }
        uploads.push((name, upload));
    }
    Ok(uploads)
}

async fn next(field: &mut Field<'_>, buffered: &AtomicUsize, limit: u64) -> Result<Option<bytes::Bytes>, Problem> {
    let bytes = field.chunk().await.map_err(|error| failed(error, limit))?;
    buffered.store(0, Ordering::Relaxed);
    Ok(bytes)
}

fn failed(error: multer::Error, limit: u64) -> Problem {
    match error {
        multer::Error::StreamSizeExceeded { .. } => Problem::body_too_large(limit),
        error => Problem::invalid_body(&format!("the form cannot be read: {error}")),
    }
}

/// The original's name for a file of a form.
fn name(folder: &str, file_name: &str) -> Result<ImageId, Problem> {
    let cleaned = clean(file_name);
    let name = ImageId::of(&format!("{folder}{cleaned}")).ok().filter(|_| !cleaned.is_empty());
    let name = name.ok_or_else(|| Problem::invalid_body("a file of the form has a name that no original can have"))?;
    check_extension(&name)?;
    Ok(name)
}

/// A file's name without folders, which some browsers send, control characters and leading dots.
fn clean(file_name: &str) -> String {
    let last = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = last.chars().filter(|c| !c.is_control()).collect();
    plain.trim_start_matches(|c: char| c == '.' || c.is_whitespace()).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_of_browsers_are_cleaned() {
        for (file_name, expected) in [
            ("a.jpg", "a.jpg"),
            ("My photo (1).JPG", "My photo (1).JPG"),
            ("C:\\fakepath\\a.jpg", "a.jpg"),
            ("../../etc/a.jpg", "a.jpg"),
            ("..\\a.jpg", "a.jpg"),
            (" .. .a.jpg ", "a.jpg"),
            ("a\0b\r\n.jpg", "ab.jpg"),
            ("caf\u{e9}.png", "caf\u{e9}.png"),
            ("a%2fb.png", "a%2fb.png"),
        ] {
            assert_eq!(name("f/", file_name).expect(file_name).as_str(), format!("f/{expected}"), "{file_name}");
        }
        let long = format!("{}.jpg", "x".repeat(300));
        for file_name in ["", ".", "..", "a/", "a.html", "jpg", ".jpg", "a.jpg.php", &long] {
            assert!(name("f/", file_name).is_err(), "{file_name}");
        }
    }
}
