//! X-Accel-Redirect: nginx sends the body from the cache folder; all other headers are those of the answer with a body.
//!
//! nginx applies the range, and nothing else is left to it: conditions are evaluated here, and so is every request that
//! nginx would understand differently. With `deploy/nginx-x-accel.conf` it adds no headers of its own, and repeats the
//! request with [`DIRECT`] if the file was removed in the meantime.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, Method, header};

use super::conditions;
use super::freshness::Defects;
use super::headers;
use super::problem::Problem;
use super::ranges::{self, Selected};
use crate::cache::Found;
use crate::dialect::Target;
use crate::service::File;

const X_ACCEL_REDIRECT: HeaderName = HeaderName::from_static("x-accel-redirect");

/// A request with this header is answered with the body itself.
const DIRECT: HeaderName = HeaderName::from_static("x-tintype-direct");

/// Whether the body may be left to nginx. Unlike tintype it answers HEAD with a range, several ranges and ranges by date,
/// and it has errors of its own for invalid ranges.
pub(super) fn is_possible(method: &Method, request_headers: &HeaderMap) -> bool {
    if request_headers.contains_key(DIRECT) {
        return false;
    }
    let mut ranges = request_headers.get_all(header::RANGE).iter();
    let Some(range) = ranges.next() else { return true };
    let is_tag = |value: &http::HeaderValue| value.as_bytes().ends_with(b"\"");
    method == Method::GET
        && ranges.next().is_none()
        && range.to_str().is_ok_and(ranges::is_plain)
        && request_headers.get_all(header::IF_RANGE).iter().all(is_tag)
}

/// The answer to a request whose body may be left to nginx, for which the cache folder is below the path `prefix`.
pub(super) fn respond(
    method: &Method, request_headers: &HeaderMap, target: &Target, file: File, prefix: &str, timing: bool,
) -> Result<Response, Problem> {
    let etag = headers::etag(&file.stored.digest);
    let modified = file.modified.map(headers::whole_seconds);
    let defects = Defects { damaged: file.stored.damaged, stale: file.stale };
    conditions::check_preconditions(request_headers, &etag, modified)?;
    if conditions::is_unchanged(request_headers, &etag, modified) {
        return Ok(headers::not_modified(target, &etag, modified, defects));
    }
    let range = request_headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let range = range.filter(|_| method == Method::GET && conditions::if_range_holds(request_headers, &etag));
    let length = file.stored.length;
    if range.is_some_and(|range| ranges::select(range, length) == Selected::Unsatisfiable) {
        return Err(Problem::range(length));
    }
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers::insert(headers, X_ACCEL_REDIRECT, &format!("{prefix}/{}", file.stored.path));
    headers::describe(headers, target, file.stored.content, Some(Found::Disk), defects);
    headers::add_clamp(headers, file.clamp);
    if timing {
        headers::add_timing(headers, &file.timing);
    }
    headers::add_validators(headers, target, &etag, modified, defects);
    // nginx adds its own, and would keep this one beside it
    headers.remove(header::ACCEPT_RANGES);
    Ok(response)
}
