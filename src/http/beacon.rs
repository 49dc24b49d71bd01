//! `POST /-/log`: beacons of pages, each a line of the log. They need no token, so their length and their rate are limited,
//! and they stay on one line.

use std::fmt::Write;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode, header};

use super::clients::Client;
use super::problem::Problem;
use super::request_body;
use super::request_id::RequestId;
use super::state::State;

/// Bytes of a beacon at most.
const MAX_BYTES: usize = 8 * 1024;

/// How long a beacon may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The handler.
pub(super) async fn log(
    Shared(state): Shared<State>, id: Extension<RequestId>, client: Extension<Client>, request: Request<Body>,
) -> Response {
    let (parts, mut body) = request.into_parts();
    let result = try_log(&state, &id, client.0, &parts, &mut body).await;
    request_body::finish(result, &id, &parts.headers, body)
}

async fn try_log(
    state: &State, id: &RequestId, client: Client, parts: &Parts, body: &mut Body,
) -> Result<Response, Problem> {
    let Some(limit) = &state.beacons else { return Err(Problem::no_such_path()) };
    if parts.method != Method::POST {
        return Err(Problem::method("POST"));
    }
    limit.acquire(client).map_err(Problem::too_many_beacons)?;
    let kind = Kind::of(&parts.headers)?;
    let read = tokio::time::timeout(TIMEOUT, request_body::read(body, &parts.headers, MAX_BYTES));
    let bytes = read.await.map_err(|_| Problem::request_timeout(TIMEOUT))??;
    let line = kind.line(bytes)?;
    tracing::info!(
        target: "tintype::beacon",
        id = id.0.to_str().unwrap_or("-"),
        client = %client,
        kind = kind.name(),
        beacon = line,
    );
    Ok((StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, "no-store")]).into_response())
}

/// The content type of a beacon.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Text,
}

impl Kind {
    /// `navigator.sendBeacon` sends `text/plain;charset=UTF-8` with a string, and no type with an untyped blob.
    fn of(request_headers: &HeaderMap) -> Result<Kind, Problem> {
        let Some(kind) = request_headers.get(header::CONTENT_TYPE) else { return Ok(Kind::Text) };
        let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "application/json" => Ok(Kind::Json),
            text if text.starts_with("text/") => Ok(Kind::Text),
            _ => Err(Problem::media_type("a beacon must be application/json or text/plain")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Json => "json",
            Kind::Text => "text",
        }
    }

    fn line(self, bytes: Vec<u8>) -> Result<String, Problem> {
        let text = String::from_utf8(bytes).map_err(|_| Problem::invalid_body("a beacon must be valid UTF-8"))?;
        if self == Kind::Text {
            return Ok(on_one_line(text.trim_end()));
        }
        let invalid = |_| Problem::invalid_body("a beacon of type application/json must be a JSON object");
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).map_err(invalid)?;
        Ok(on_one_line(&serde_json::Value::Object(object).to_string()))
    }
}

/// Escapes everything that could end or colour a line, as JSON does.
fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                // writing to a String does not fail
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beacon_stays_on_one_line() {
        let check = |kind: Kind, body: &[u8], expected: Option<&str>| {
            assert_eq!(kind.line(body.to_vec()).ok().as_deref(), expected, "{}", String::from_utf8_lossy(body));
        };
        check(Kind::Text, b"LCP 1200\n", Some("LCP 1200"));
        check(Kind::Text, b"a\r\n{\"level\":\"ERROR\"}\n", Some("a\\r\\n{\"level\":\"ERROR\"}"));
        check(
            Kind::Text,
            "\u{1b}[31m\0\u{7f}\u{85}\u{2028}é".as_bytes(),
            Some("\\u001b[31m\\u0000\\u007f\\u0085\\u2028é"),
        );
        check(Kind::Text, b"\xff", None);
        check(Kind::Text, b"", Some(""));
        check(Kind::Json, b" { \"a\" :\n \"b\\n\" }", Some("{\"a\":\"b\\n\"}"));
        check(Kind::Json, "{\"a\":\"\u{2028}\"}".as_bytes(), Some("{\"a\":\"\\u2028\"}"));
        for wrong in ["", "[]", "1", "{", "{} {}", "{\"a\":\"\n\"}"] {
            check(Kind::Json, wrong.as_bytes(), None);
        }
        check(Kind::Json, "{\"a\":".repeat(4000).as_bytes(), None);
    }
}
