//! Uploads from a form (RFC 7578): one or more files, stored all or none.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Extension;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::Response;
use http::request::Parts;
use http::{Request, StatusCode, header};
use multer::{Constraints, Field, Multipart, SizeLimit};
use serde_json::json;

use super::{admitted, answer, described, fits_an_image, in_time, place};
use crate::http::body::{self, Chunks};
use crate::http::problem::Problem;
use crate::http::{RequestId, State, admin, headers};
use crate::service::uploads::{Expected, Upload};
use crate::source::ImageId;

/// How many files one form may have.
const FILES: usize = 32;

/// How many times the limit of one original the whole form may have.
const TOTAL: u64 = 8;

/// Takes the files of a form in, below the folder that the query says.
pub(in crate::http) async fn form(
    Shared(state): Shared<State>, id: Extension<RequestId>, request: Request<Body>,
) -> Response {
    let (parts, mut body) = request.into_parts();
    let result = try_form(&state, &parts, &mut body).await;
    body::finish(result, &id, &parts.headers, body)
}

async fn try_form(state: &State, parts: &Parts, body: &mut Body) -> Result<Response, Problem> {
    let limit = admitted(state, parts, "POST")?.saturating_mul(TOTAL);
    let folder = folder(parts)?;
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(kind).map_err(|_| {
        Problem::media_type("files are posted as multipart/form-data; to send one by itself, PUT it to its path")
    })?;
    if body::length(&parts.headers).is_some_and(|length| length > limit) {
        return Err(Problem::body_too_large(limit));
    }
    let _place = place(state)?;
    let uploads = in_time(state, receive(state, &folder, boundary, limit, body)).await?;
    if uploads.is_empty() {
        return Err(Problem::body_wrong("there is no file in the form"));
    }
    let mut files = Vec::with_capacity(uploads.len());
    for (name, upload) in uploads {
        let validated =
            state.service.validate_upload(upload).await.map_err(|error| Problem::from(error).of_file(&name))?;
        files.push((name, validated));
    }
    let uploaded: Vec<_> = files.iter().map(|(name, file)| (name.clone(), file.uploaded)).collect();
    let published = state.service.publish(files, Expected::Absent).await;
    published.map_err(|(index, error)| Problem::from(error).of_file(&uploaded[index].0))?;
    let described: Vec<_> = uploaded.iter().map(|(name, file)| described(name, file)).collect();
    let mut response = answer(StatusCode::CREATED, &json!({ "files": described }));
    headers::insert(response.headers_mut(), header::LOCATION, &headers::encoded_path(&uploaded[0].0));
    Ok(response)
}

/// The folder that the query says, with a slash at its end; nothing is the root.
fn folder(parts: &Parts) -> Result<String, Problem> {
    let allowed = "the folder for the files, as in a URL but decoded; none for the root";
    let said = admin::path_said(&parts.uri, allowed)?;
    // one slash at each end is its own
    let path = said.strip_prefix('/').unwrap_or(&said);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(String::new());
    }
    let name = admin::name(path).ok_or_else(|| Problem::parameter(admin::PATH, &said, allowed))?;
    Ok(format!("{}/", name.as_str()))
}

/// Stages every file of a form.
async fn receive(
    state: &State, folder: &str, boundary: String, limit: u64, body: &mut Body,
) -> Result<Vec<(ImageId, Upload)>, Problem> {
    let ahead = AtomicUsize::new(0);
    let constraints = Constraints::new().size_limit(SizeLimit::new().whole_stream(limit));
    let mut form = Multipart::with_constraints(Chunks::new(body, &ahead), boundary, constraints);
    let mut uploads = Vec::new();
    while let Some(mut field) = form.next_field().await.map_err(|error| failed(error, limit))? {
        ahead.store(0, Ordering::Relaxed);
        // a file that was not chosen is sent as one without a name
        let Some(name) = field.file_name().filter(|name| !name.is_empty()).map(str::to_owned) else {
            while next(&mut field, &ahead, limit).await?.is_some() {}
            continue;
        };
        let name = named(folder, &name)?;
        if uploads.len() == FILES {
            return Err(Problem::body_wrong(&format!("a form has at most {FILES} files")));
        }
        if uploads.iter().any(|(other, _)| *other == name) {
            return Err(Problem::conflict("two files of the form have the same name").of_file(&name));
        }
        let mut upload = state.service.begin_upload()?;
        while let Some(bytes) = next(&mut field, &ahead, limit).await? {
            upload.write(&bytes).await.map_err(|error| Problem::from(error).of_file(&name))?;
        }
        uploads.push((name, upload));
    }
    Ok(uploads)
}

async fn next(field: &mut Field<'_>, ahead: &AtomicUsize, limit: u64) -> Result<Option<bytes::Bytes>, Problem> {
    let bytes = field.chunk().await.map_err(|error| failed(error, limit))?;
    ahead.store(0, Ordering::Relaxed);
    Ok(bytes)
}

fn failed(error: multer::Error, limit: u64) -> Problem {
    match error {
        multer::Error::StreamSizeExceeded { .. } => Problem::body_too_large(limit),
        error => Problem::body_wrong(&format!("the form cannot be read: {error}")),
    }
}

/// The original's name that a file of a form gets.
fn named(folder: &str, said: &str) -> Result<ImageId, Problem> {
    let cleaned = cleaned(said);
    let name = admin::name(&format!("{folder}{cleaned}")).filter(|_| !cleaned.is_empty());
    let name = name.ok_or_else(|| Problem::body_wrong("a file of the form has no name that an original could have"))?;
    fits_an_image(&name)?;
    Ok(name)
}

/// A file's name as a browser says it: without the folders that some send along, control characters, and dots in front.
fn cleaned(said: &str) -> String {
    let last = said.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = last.chars().filter(|c| !c.is_control()).collect();
    plain.trim_start_matches(|c: char| c == '.' || c.is_whitespace()).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_browsers() {
        for (said, expected) in [
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
            assert_eq!(named("f/", said).expect(said).as_str(), format!("f/{expected}"), "{said}");
        }
        let long = format!("{}.jpg", "x".repeat(300));
        for said in ["", ".", "..", "a/", "a.html", "jpg", ".jpg", "a.jpg.php", &long] {
            assert!(named("f/", said).is_err(), "{said}");
        }
    }
}
