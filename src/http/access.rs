//! The access log: one line for each request.
//!
//! On a terminal its lines are written through `tracing`, like the rest of the log. Elsewhere they are JSON of the same shape
//! as the rest of the log, and are written here: going through `tracing`, with a system call for each line, took a quarter
//! of the CPU of a hit. The target `tintype::access` switches both.

mod streamed;
mod writer;

use std::cell::RefCell;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::response::Response;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, Uri, header};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{format, time};

use super::clients::Client;
use super::headers;
use super::request_id::RequestId;
use super::traffic::Streamed;
pub use writer::LogWriter;

/// The access log in JSON.
pub(super) struct AccessLog(pub(super) Arc<LogWriter>);

impl LogWriter {
    /// Writes to standard error. `as_json` is the form of the line about dropped lines.
    ///
    /// # Errors
    /// If the thread cannot be started, or standard error is closed.
    pub fn to_stderr(as_json: bool) -> std::io::Result<LogWriter> {
        LogWriter::stderr(if as_json { loss_as_json } else { loss_as_text })
    }
}

const LOSS: &str = "log lines were dropped: standard error was not read fast enough";

fn loss_as_json(lines: u64) -> Vec<u8> {
    let mut json = Json::begin(Vec::new(), "WARN");
    json.text("message", LOSS);
    json.number("lines", lines);
    json.end("tintype::log")
}

fn loss_as_text(lines: u64) -> Vec<u8> {
    let mut line = Vec::new();
    timestamp(&mut line);
    // writing to memory does not fail
    let _ = writeln!(line, "  WARN tintype::log: {LOSS} lines={lines}");
    line
}

/// The log line of a request in flight.
pub(super) struct Line {
    started: Instant,
    client: Client,
    method: Method,
    uri: Uri,
}

impl Line {
    /// `None` if the access log is off.
    pub(super) fn begin<B>(request: &Request<B>, client: impl FnOnce() -> Client) -> Option<Line> {
        is_enabled().then(|| Line {
            started: Instant::now(),
            client: client(),
            method: request.method().clone(),
            uri: request.uri().clone(),
        })
    }

    /// Logs the answer; a streamed one at the end of its body.
    pub(super) fn end(self, log: Option<&Arc<AccessLog>>, id: &RequestId, response: Response) -> Response {
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
}

impl Entry<'_> {
    /// Writes the line to `log`, or through `tracing`.
    pub(super) fn write(&self, log: Option<&AccessLog>) {
        match log {
            Some(log) => SCRATCH.with_borrow_mut(|line| {
                *line = self.json(std::mem::take(line));
                log.0.push(line);
            }),
            None => self.trace(),
        }
    }

    fn json(&self, scratch: Vec<u8>) -> Vec<u8> {
        let mut json = Json::begin(scratch, "INFO");
        json.text("id", self.id);
        json.client(&self.client);
        json.text("method", self.method);
        json.text("path", self.path);
        json.text("query", self.query);
        json.number("status", self.status.as_u16().into());
        json.text("kind", self.header(header::CONTENT_TYPE));
        json.text("bytes", self.header(header::CONTENT_LENGTH));
        json.text("cache", self.header(headers::CACHE_STATUS));
        json.milliseconds("ms", self.duration);
        json.end(TARGET)
    }

    fn trace(&self) {
        tracing::info!(
            target: TARGET,
            id = self.id,
            client = %self.client,
            method = %self.method,
            path = self.path,
            query = self.query,
            status = self.status.as_u16(),
            kind = self.header(header::CONTENT_TYPE),
            bytes = self.header(header::CONTENT_LENGTH),
            cache = self.header(headers::CACHE_STATUS),
            ms = self.duration.as_secs_f64() * 1000.0,
        );
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

/// A JSON object on a line, of the shape that `tracing_subscriber` writes.
struct Json(Vec<u8>);

impl Json {
    fn begin(mut scratch: Vec<u8>, level: &str) -> Json {
        scratch.clear();
        let mut json = Json(scratch);
        json.0.extend_from_slice(b"{\"timestamp\":\"");
        timestamp(&mut json.0);
        json.0.push(b'"');
        json.text("level", level);
        json
    }

    /// Names are constants that need no escaping.
    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.0.push(b'"');
        escape(&mut self.0, value);
        self.0.push(b'"');
    }

    /// An address needs no escaping.
    fn client(&mut self, client: &Client) {
        self.name("client");
        self.0.push(b'"');
        match client.ipv4() {
            Some([first, rest @ ..]) => {
                decimal(&mut self.0, first.into(), 1);
                for octet in rest {
                    self.0.push(b'.');
                    decimal(&mut self.0, octet.into(), 1);
                }
            }
            // writing to memory does not fail
            None => drop(write!(self.0, "{client}")),
        }
        self.0.push(b'"');
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        decimal(&mut self.0, value, 1);
    }

    fn milliseconds(&mut self, name: &str, duration: Duration) {
        self.name(name);
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        decimal(&mut self.0, microseconds / 1000, 1);
        self.0.push(b'.');
        decimal(&mut self.0, microseconds % 1000, 3);
    }

    fn end(mut self, target: &str) -> Vec<u8> {
        self.text("target", target);
        self.0.extend_from_slice(b"}\n");
        self.0
    }
}

/// Escapes quotes, backslashes and control characters (RFC 8259 §7), and also DEL and Unicode's line separators, since many
/// readers split the log into lines before they parse it.
fn escape(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend([b'\\', c as u8]),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Appends a number with at least `digits` digits.
fn decimal(out: &mut Vec<u8>, number: u64, digits: usize) {
    let mut text = [b'0'; 20];
    let (mut at, mut rest) = (text.len(), number);
    while rest > 0 || text.len() - at < digits {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&text[at..]);
}

/// Appends the time as the rest of the log has it: in UTC, with microseconds.
fn timestamp(out: &mut Vec<u8>) {
    thread_local! {
        /// The second that was written last, and its text without the fraction.
        static SECOND: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|(second, text)| {
        let mut since = now();
        while *second != since.as_secs() {
            text.clear();
            // writing to memory does not fail
            let _ = time::SystemTime.format_time(&mut format::Writer::new(text));
            text.truncate(text.find('.').unwrap_or(text.len()));
            let written = now();
            // otherwise the text may be of the next second
            if written.as_secs() == since.as_secs() {
                *second = since.as_secs();
            }
            since = written;
        }
        out.extend_from_slice(text.as_bytes());
        out.push(b'.');
        decimal(out, since.subsec_micros().into(), 6);
        out.push(b'Z');
    });
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
            let line =
                Line { started: Instant::now(), client, method: method.parse().expect("a method"), uri: uri.clone() };
            let mut response = Response::new(axum::body::Body::empty());
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_bytes(kind).expect("a value"));
            let id = RequestId(HeaderValue::from_static("a-1"));
            let (status, headers) = (response.status(), response.headers());
            let line = line.entry(&id, status, headers, line.started.elapsed()).json(b"a previous line".to_vec());
            let text = String::from_utf8(line).expect("UTF-8");
            assert!(text.ends_with("}\n") && text.matches('\n').count() == 1, "{text}");
            assert!(!text.trim_end().contains(|c: char| c.is_control()), "{text:?}");
            let read: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(read["path"], uri.path(), "{text}");
            assert_eq!(read["query"], uri.query().unwrap_or(""), "{text}");
            assert_eq!(
                (&read["status"], &read["bytes"], &read["client"]),
                (&200.into(), &"-".into(), &"2001:db8::1".into())
            );
            assert!(read["ms"].is_f64() && read["method"] == method, "{text}");
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

    #[test]
    fn timestamps_are_those_of_tracing() {
        let theirs = || {
            let mut text = String::new();
            time::SystemTime.format_time(&mut format::Writer::new(&mut text)).expect("memory");
            text
        };
        for _ in 0..50 {
            let before = theirs();
            let mut out = Vec::new();
            timestamp(&mut out);
            let ours = String::from_utf8(out).expect("ASCII");
            assert!(ours.len() == before.len() && before <= ours && ours <= theirs(), "{before} {ours}");
            // across some seconds
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    #[test]
    fn control_characters_and_line_separators_are_escaped() {
        let check = |text: &str, expected: &str| {
            let mut out = Vec::new();
            escape(&mut out, text);
            assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
        };
        check("plain {text}: 'x'", "plain {text}: 'x'");
        check("a\"b\\c", "a\\\"b\\\\c");
        check("\n\r\t\u{0}\u{1b}\u{7f}", "\\u000a\\u000d\\u0009\\u0000\\u001b\\u007f");
        check("\u{85}\u{2028}\u{2029}\u{e9}", "\\u0085\\u2028\\u2029\u{e9}");
    }

    proptest::proptest! {
        #[test]
        fn every_text_round_trips(text: String) {
            let mut json = Json::begin(Vec::new(), "INFO");
            json.text("text", &text);
            let read: serde_json::Value = serde_json::from_slice(&json.end("a")).expect("JSON");
            assert_eq!(read["text"], text);
        }
    }
}
