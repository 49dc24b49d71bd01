//! Shared by the pages under `/-/`: the headers of their answers, and text in HTML.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, header};

pub(super) use crate::dialect::markup::escape;

/// The headers of every answer: scripts, styles and pictures of this server only, and nothing written in the page itself.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
];

/// Adds the headers of pages to an answer, also to one that failed.
pub(super) async fn secure(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A file of a page; the program contains its text.
pub(super) fn asset(media_type: &'static str, text: impl Into<String>) -> Response {
    ([(header::CONTENT_TYPE, media_type)], text.into()).into_response()
}

/// The media types of assets.
pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const CSS: &str = "text/css; charset=utf-8";
pub(super) const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
pub(super) const SVG: &str = "image/svg+xml";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_text_has_no_markup() {
        let check = |text: &str, expected: &str| assert_eq!(escape(text), expected, "{text:?}");
        check("<img src=x onerror=alert(1)>.png", "&lt;img src=x onerror=alert(1)&gt;.png");
        check("\" onload='x'", "&quot; onload=&#39;x&#39;");
        check("a&lt;\u{0}\u{1b}é", "a&amp;lt;\u{fffd}\u{fffd}é");
    }
}
