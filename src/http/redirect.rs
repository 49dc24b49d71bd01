//! Answers whose body nginx sends: a header names the file of the cache, and the rest is as if the body stood here.
//!
//! nginx takes the range out of the file, and nothing else is left to it: conditions are answered here, and so is every
//! request that it would read otherwise than tintype does. It adds nothing of its own if it is set up as
//! `deploy/nginx-x-accel.conf` says, and asks again with [`DIRECT`] where the file has gone meanwhile.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, Method, header};

use super::headers;
use super::problem::Problem;
use super::ranges::{self, Wanted};
use crate::cache::Found;
use crate::dialect::Target;
use crate::service::File;

const X_ACCEL_REDIRECT: HeaderName = HeaderName::from_static("x-accel-redirect");

/// With this header in the request, the body itself is wanted.
const DIRECT: HeaderName = HeaderName::from_static("x-tintype-direct");

/// Whether the body may be left to nginx. It answers HEAD with a range, several ranges, and ranges by date, where tintype
/// does not; and ranges that make no sense with errors of its own.
pub(super) fn is_possible(method: &Method, asked: &HeaderMap) -> bool {
    if asked.contains_key(DIRECT) {
        return false;
    }
    let mut ranges = asked.get_all(header::RANGE).iter();
    let Some(range) = ranges.next() else { return true };
    let is_tag = |value: &http::HeaderValue| value.as_bytes().ends_with(b"\"");
    method == Method::GET
        && ranges.next().is_none()
        && range.to_str().is_ok_and(ranges::is_plain)
        && asked.get_all(header::IF_RANGE).iter().all(is_tag)
}

/// The answer to a request whose body may be left to nginx, which finds the cache folder below the path `prefix`.
pub(super) fn respond(
    method: &Method, asked: &HeaderMap, target: &Target, file: File, prefix: &str, timing: bool,
) -> Result<Response, Problem> {
    let etag = headers::etag(&file.stored.digest);
    let modified = headers::whole_seconds(file.modified);
    headers::check_preconditions(asked, &etag, modified)?;
    if headers::is_unchanged(asked, &etag, modified) {
        return Ok(headers::not_modified(target, &etag, modified, file.stored.damaged));
    }
    let range = asked.get(header::RANGE).and_then(|value| value.to_str().ok());
    let range = range.filter(|_| method == Method::GET && headers::if_range_holds(asked, &etag));
    // it was read from a file of that length, or written to one
    let length = usize::try_from(file.stored.length).unwrap_or(usize::MAX);
    if range.is_some_and(|range| ranges::wanted(range, length) == Wanted::Unsatisfiable) {
        return Err(Problem::range(length));
    }
    let mut response = Response::new(Body::empty());
    let answer = response.headers_mut();
    headers::insert(answer, X_ACCEL_REDIRECT, &format!("{prefix}/{}", file.stored.path));
    headers::describe(answer, target, file.stored.content, Some(Found::Disk), file.stored.damaged);
    if timing {
        headers::add_timing(answer, &file.timing);
    }
    headers::add_validators(answer, target, &etag, modified, file.stored.damaged);
    // whoever sends the body says so; nginx would keep ours beside its own
    answer.remove(header::ACCEPT_RANGES);
    Ok(response)
}
