//! The heads of answers that have another picture than the one that was asked for: the original under overload, and the fallback
//! picture.

use arc_swap::ArcSwapOption;
use http::{HeaderMap, HeaderValue, Method, header};

use super::freshness::{Defects, FALLBACK_MAX_AGE};
use super::headers::{CACHE_STATUS, Head, cache_status, head, insert};
use super::problem::Problem;
use crate::cache::Found;
use crate::dialect::Target;
use crate::service::Answer;

/// The head of the answer with an original in place of a rendition that was refused for overload.
pub(super) fn overload_head(
    method: &Method, request_headers: &HeaderMap, target: &Target, original: &Answer, timing: bool,
) -> Result<Head, Problem> {
    let mut head = head(method, request_headers, target, original, timing, &ArcSwapOption::empty())?;
    let headers = head.response.headers_mut();
    headers.insert(header::CACHE_CONTROL, FALLBACK_MAX_AGE);
    headers.insert(CACHE_STATUS, HeaderValue::from_static("tintype; fwd=bypass; detail=overloaded"));
    // the rendition will have the same date, and other bytes
    headers.remove(header::LAST_MODIFIED);
    // which names the rendition of an allowed width
    headers.remove(header::CONTENT_LOCATION);
    Ok(head)
}

/// The head of the answer with the fallback picture in place of `problem`. With the status of the problem it is sent whole and without a
/// validator: conditions and ranges are for answers that have the original (RFC 9110 §13.2.1, §14.2).
pub(super) fn picture_head(
    method: &Method, request_headers: &HeaderMap, target: &Target, picture: &Answer, problem: &Problem, is_ok: bool,
) -> Result<Head, Problem> {
    let none = HeaderMap::new();
    let conditions = if is_ok { request_headers } else { &none };
    let mut head = head(method, conditions, target, picture, false, &ArcSwapOption::empty())?;
    if !is_ok {
        *head.response.status_mut() = problem.status();
    }
    let headers = head.response.headers_mut();
    if !is_ok {
        headers.remove(header::ETAG);
        headers.remove(header::ACCEPT_RANGES);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(problem.cache_control()));
    // which names the rendition of an allowed width
    headers.remove(header::CONTENT_LOCATION);
    if headers.contains_key(CACHE_STATUS) {
        let status = cache_status(picture.found.filter(|found| *found != Found::Shared), Defects::default());
        insert(headers, CACHE_STATUS, &format!("{status}; detail=fallback-{}", problem.status().as_u16()));
    }
    Ok(head)
}
