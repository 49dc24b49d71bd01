//! The access log: one line for each request.
//!
//! On a terminal its lines are written through `tracing`, like the rest of the log. Elsewhere they are JSON of the same shape
//! as the rest of the log, and are written here: going through `tracing`, with a system call for each line, took a quarter
//! of the CPU of a hit. The target `tintype::access` switches both.

mod json;
mod streamed;
mod writer;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::Response;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Uri, header};

use super::clients::Client;
use super::headers;
use super::request_id::RequestId;
use super::traffic::{ForeignDialect, Streamed};
pub use writer::LogWriter;

/// The access log in JSON.
pub(super) struct AccessLog(pub(super) Arc<LogWriter>);

impl LogWriter {
    /// Writes to standard error. `as_json` is the form of the line about dropped lines.
    ///
    /// # Errors
    /// If the thread cannot be started, or standard error is closed.
    pub fn to_stderr(as_json: bool) -> std::io::Result<LogWriter> {
        LogWriter::stderr(if as_json { json::loss } else { loss_as_text })
    }
}

const LOSS: &str = "log lines were dropped: standard error was not read fast enough";

fn loss_as_text(lines: u64) -> Vec<u8> {
    json::with_timestamp(|timestamp| format!("{timestamp}  WARN tintype::log: {LOSS} lines={lines}\n").into_bytes())
}

/// The log line of a request in flight.
pub(super) struct Line {
    started: Instant,
    client: Client,
    method: Method,
    uri: Uri,
    dialect: Option<&'static str>,
}

impl Line {
    /// `None` if the access log is off.
    pub(super) fn begin<B>(request: &Request<B>, client: impl FnOnce() -> Client) -> Option<Line> {
        is_enabled().then(|| Line {
            started: Instant::now(),
            client: client(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            dialect: None,
        })
    }

    /// Logs the answer; a streamed one at the end of its body.
    pub(super) fn end(mut self, log: Option<&Arc<AccessLog>>, id: &RequestId, response: Response) -> Response {
        self.dialect = response.extensions().get::<ForeignDialect>().map(|dialect| dialect.0);
        if response.extensions().get::<Streamed>().is_some() {
            return streamed::log_at_end(response, self, id, log);
        }
        let entry = self.entry(id, response.status(), response.headers(), self.started.elapsed());
        entry.write(log.map(Arc::as_ref));
        response
    }

    fn entry<'a>(
        &'a self, id: &'a RequestId, status: StatusCode, headers: &'a HeaderMap, duration: Duration,
    ) -> Entry<'a> {
        Entry {
            id: id.0.to_str().unwrap_or("-"),
            client: self.client,
            method: self.method.as_str(),
            path: self.uri.path(),
            query: self.uri.query().unwrap_or(""),
            status,
            headers,
            duration,
            dialect: self.dialect,
        }
    }
}

/// Whether the access log is on.
pub(super) fn is_enabled() -> bool {
    tracing::enabled!(target: TARGET, tracing::Level::INFO)
}

/// The content of a line.
pub(super) struct Entry<'a> {
    pub(super) id: &'a str,
    pub(super) client: Client,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) status: StatusCode,
    /// The headers of the answer.
    pub(super) headers: &'a HeaderMap,
    pub(super) duration: Duration,
    /// Of a foreign URL.
    pub(super) dialect: Option<&'static str>,
}

impl Entry<'_> {
    /// Writes the line to `log`, or through `tracing`.
    pub(super) fn write(&self, log: Option<&AccessLog>) {
        match log {
            Some(log) => SCRATCH.with_borrow_mut(|line| {
                json::write_request(line, self);
                log.0.push(line);
            }),
            None => self.trace(),
        }
    }

    fn trace(&self) {
        tracing::info!(
            target: TARGET,
            request_id = self.id,
            client = %self.client,
            method = %self.method,
            path = self.path,
            query = self.query,
            status = self.status.as_u16(),
            content_type = self.content_type(),
            bytes = self.bytes(),
            cache = self.cache_status(),
            duration_ms = self.duration.as_secs_f64() * 1000.0,
            dialect = self.dialect,
        );
    }

    fn content_type(&self) -> &str {
        self.header(header::CONTENT_TYPE)
    }

    fn bytes(&self) -> &str {
        self.header(header::CONTENT_LENGTH)
    }

    fn cache_status(&self) -> &str {
        self.header(headers::CACHE_STATUS)
    }

    fn header(&self, name: HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-")
    }
}

/// The target in `RUST_LOG`.
const TARGET: &str = "tintype::access";

thread_local! {
    /// The last line, for its allocation.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::super::clients::{Peer, Proxies};
    use super::*;

    #[test]
    fn line_is_json_for_every_request() {
        let client = Proxies::default().client(Peer::Ip("2001:db8::1".parse().expect("an address")), &<_>::default());
        let check = |method: &str, target: &str, kind: &[u8]| {
            // other targets are refused before
            let Ok(uri) = target.parse::<Uri>() else { return false };
            let line = Line {
                started: Instant::now(),
                client,
                method: method.parse().expect("a method"),
                uri: uri.clone(),
                dialect: None,
            };
            let mut response = Response::new(axum::body::Body::empty());
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_bytes(kind).expect("a value"));
            let id = RequestId(HeaderValue::from_static("a-1"));
            let (status, headers) = (response.status(), response.headers());
            let mut text = b"a previous line".to_vec();
            json::write_request(&mut text, &line.entry(&id, status, headers, line.started.elapsed()));
            let text = String::from_utf8(text).expect("UTF-8");
            assert!(text.ends_with("}\n") && text.matches('\n').count() == 1, "{text}");
            assert!(!text.trim_end().contains(|c: char| c.is_control()), "{text:?}");
            let read: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(read["path"], uri.path(), "{text}");
            assert_eq!(read["query"], uri.query().unwrap_or(""), "{text}");
            assert_eq!(
                (&read["status"], &read["bytes"], &read["client"]),
                (&200.into(), &"-".into(), &"2001:db8::1".into())
            );
            assert!(read["duration_ms"].is_f64() && read["method"] == method, "{text}");
            true
        };
        let targets = [
            "/a.jpg",
            "/a.jpg?width=1&format=webp",
            "/a\"b.jpg?x=\"y\"",
            "/%00%0a%22%5c%ff.jpg?%ff=%00",
            "/\u{e9}\u{2028}\u{85}.jpg",
            "/\\.jpg?\\\"",
            "/\u{7f}\u{1}.jpg",
            "/{}?{\"a\":1}",
            "*",
        ];
        let logged = targets
            .into_iter()
            .filter(|target| check("GET", target, b"image/webp") && check("!#$%&'*+-.^_`|~0", target, b"\xff\"\\"));
        assert!(logged.count() >= 5);
    }
}
