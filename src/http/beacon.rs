//! Beacons: a line from a page into the log, whoever sends it. So it is bounded, it is one line, and there are only so
//! many.

use std::fmt::Write;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode, header};

use super::clients::Client;
use super::problem::Problem;
use super::rate::{PerClient, take};
use super::{RequestId, State, body};

/// The most bytes of one.
const LONGEST: usize = 8 * 1024;

/// How long one may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many a second, and at once: for one client, and for all together, so that the log grows no faster than that.
const RATE: u32 = 5;
const BURST: u32 = 50;
const RATE_OF_ALL: u32 = 50;
const BURST_OF_ALL: u32 = 500;

/// How often there may be one.
pub(super) struct Limits {
    each: Option<PerClient>,
    all: Option<DefaultDirectRateLimiter>,
}

impl Limits {
    pub(super) fn new() -> Limits {
        let quota =
            |rate: u32, burst: u32| Some(Quota::per_second(rate.try_into().ok()?).allow_burst(burst.try_into().ok()?));
        Limits { each: PerClient::new(RATE, BURST), all: quota(RATE_OF_ALL, BURST_OF_ALL).map(RateLimiter::direct) }
    }

    fn take(&self, client: Client) -> Result<(), Problem> {
        let each = self.each.as_ref().map_or(Ok(()), |each| each.take(client));
        let all = || self.all.as_ref().map_or(Ok(()), take);
        each.and_then(|()| all()).map_err(Problem::too_many_beacons)
    }
}

/// Takes one in.
pub(super) async fn log(
    Shared(state): Shared<State>, id: Extension<RequestId>, client: Extension<Client>, request: Request<Body>,
) -> Response {
    let (parts, mut body) = request.into_parts();
    let result = try_log(&state, &id, client.0, &parts, &mut body).await;
    body::finish(result, &id, &parts.headers, body)
}

async fn try_log(
    state: &State, id: &RequestId, client: Client, parts: &Parts, body: &mut Body,
) -> Result<Response, Problem> {
    let Some(limits) = &state.beacons else { return Err(Problem::nothing_here()) };
    if parts.method != Method::POST {
        return Err(Problem::method("POST"));
    }
    limits.take(client)?;
    let kind = Kind::of(&parts.headers)?;
    let read = tokio::time::timeout(PATIENCE, body::read(body, &parts.headers, LONGEST));
    let bytes = read.await.map_err(|_| Problem::too_slow(PATIENCE))??;
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

/// What one is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Text,
}

impl Kind {
    /// `navigator.sendBeacon` with a text says `text/plain;charset=UTF-8`, and with a blob of no type nothing.
    fn of(asked: &HeaderMap) -> Result<Kind, Problem> {
        let Some(kind) = asked.get(header::CONTENT_TYPE) else { return Ok(Kind::Text) };
        let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "application/json" => Ok(Kind::Json),
            text if text.starts_with("text/") => Ok(Kind::Text),
            _ => Err(Problem::media_type("a beacon is application/json or text/plain")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Json => "json",
            Kind::Text => "text",
        }
    }

    /// The line for the log.
    fn line(self, bytes: Vec<u8>) -> Result<String, Problem> {
        let text = String::from_utf8(bytes).map_err(|_| Problem::body_wrong("a beacon is text in UTF-8"))?;
        if self == Kind::Text {
            return Ok(on_one_line(text.trim_end()));
        }
        let wrong = |_| Problem::body_wrong("the beacon says that it is JSON, and is no JSON object");
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).map_err(wrong)?;
        Ok(on_one_line(&serde_json::Value::Object(object).to_string()))
    }
}

/// The text with everything that could end or colour a line written as JSON would write it.
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
    fn lines() {
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
