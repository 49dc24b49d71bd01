//! The access log: one line for each request, with what it asked and how it was answered.
//!
//! All other lines go to the same writer, which blocks nobody.
//!
//! For collectors the lines are written here, as JSON of the same shape as the rest of the log: making a line by way of
//! `tracing` and writing each by itself took a quarter of the time of a hit. On a terminal they are lines like all others.
//! Both are switched by the target `tintype::access`.

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
use super::payload::Streamed;
use super::{App, RequestId, headers};
pub use writer::LogWriter;

/// The access log's own lines for collectors, in JSON.
pub(super) struct AccessLog(pub(super) Arc<LogWriter>);

impl LogWriter {
    /// Lines go to standard error; the one about dropped lines is JSON, or a line for people.
    ///
    /// # Errors
    /// If the thread cannot be started, or standard error is closed.
    pub fn to_stderr(as_json: bool) -> std::io::Result<LogWriter> {
        LogWriter::stderr(if as_json { loss_in_json } else { loss_in_words })
    }
}

const LOSS: &str = "lines of the log were dropped: standard error did not take them fast enough";

fn loss_in_json(lines: u64) -> Vec<u8> {
    let mut json = Json::begin(Vec::new(), "WARN");
    json.text("message", LOSS);
    json.number("lines", lines);
    json.end("tintype::log")
}

fn loss_in_words(lines: u64) -> Vec<u8> {
    let mut line = Vec::new();
    timestamp(&mut line);
    // writing to memory does not fail
    let _ = writeln!(line, "  WARN tintype::log: {LOSS} lines={lines}");
    line
}

/// A request that is being answered.
pub(super) struct Line {
    started: Instant,
    client: Client,
    method: Method,
    uri: Uri,
}

impl Line {
    /// Notes what is asked, if such lines are wanted at all.
    pub(super) fn begin<B>(request: &Request<B>, app: &App) -> Option<Line> {
        is_wanted().then(|| Line {
            started: Instant::now(),
            client: app.client(request.headers()),
            method: request.method().clone(),
            uri: request.uri().clone(),
        })
    }

    /// Says how it was answered; where the body is streamed, when that has ended.
    pub(super) fn end(self, log: Option<&Arc<AccessLog>>, id: &RequestId, response: Response) -> Response {
        if response.extensions().get::<Streamed>().is_some() {
            return streamed::log_at_end(response, self, id, log);
        }
        let entry = self.entry(id, response.status(), response.headers(), self.started.elapsed());
        entry.write(log.map(Arc::as_ref));
        response
    }

    fn entry<'a>(&'a self, id: &'a RequestId, status: StatusCode, fields: &'a HeaderMap, spent: Duration) -> Entry<'a> {
        Entry {
            id: id.0.to_str().unwrap_or("-"),
            client: self.client,
            method: self.method.as_str(),
            path: self.uri.path(),
            query: self.uri.query().unwrap_or(""),
            status,
            fields,
            spent,
        }
    }
}

/// Whether lines of requests are wanted at all.
pub(super) fn is_wanted() -> bool {
    tracing::enabled!(target: TARGET, tracing::Level::INFO)
}

/// What the line of an answered request says.
pub(super) struct Entry<'a> {
    pub(super) id: &'a str,
    pub(super) client: Client,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) status: StatusCode,
    /// Those of the answer.
    pub(super) fields: &'a HeaderMap,
    pub(super) spent: Duration,
}

impl Entry<'_> {
    /// Writes it there, or to where all other lines go.
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
        json.text("kind", self.said(header::CONTENT_TYPE));
        json.text("bytes", self.said(header::CONTENT_LENGTH));
        json.text("cache", self.said(headers::CACHE_STATUS));
        json.milliseconds("ms", self.spent);
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
            kind = self.said(header::CONTENT_TYPE),
            bytes = self.said(header::CONTENT_LENGTH),
            cache = self.said(headers::CACHE_STATUS),
            ms = self.spent.as_secs_f64() * 1000.0,
        );
    }

    fn said(&self, name: HeaderName) -> &str {
        self.fields.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-")
    }
}

/// The target of these lines in `RUST_LOG`.
const TARGET: &str = "tintype::access";

thread_local! {
    /// The line that was written last, for its allocation.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One object of JSON on a line of its own, shaped as `tracing_subscriber` writes the others.
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

    /// The names are ours and plain.
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

    /// An address, which needs no escaping.
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

    fn milliseconds(&mut self, name: &str, span: Duration) {
        self.name(name);
        let microseconds = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
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

/// RFC 8259 §7: quotes, backslashes and control characters are escaped, everything else stands for itself. DEL and what
/// Unicode has for ends of lines are escaped as well, for readers that take JSON for text.
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

/// A number with at least so many digits.
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

/// This moment, as the rest of the log has it: to the microsecond, in UTC.
fn timestamp(out: &mut Vec<u8>) {
    thread_local! {
        /// The second that was written last, and how it is written up to its fraction.
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
            // or else it may have been written in the next one already
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
    fn lines_are_json_whatever_is_asked() {
        let client = Proxies::default().client(Peer::Ip("2001:db8::1".parse().expect("an address")), &<_>::default());
        let check = |method: &str, target: &str, kind: &[u8]| {
            // what is none does not get here
            let Ok(uri) = target.parse::<Uri>() else { return false };
            let line =
                Line { started: Instant::now(), client, method: method.parse().expect("a method"), uri: uri.clone() };
            let mut response = Response::new(axum::body::Body::empty());
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_bytes(kind).expect("a value"));
            let id = RequestId(HeaderValue::from_static("a-1"));
            let (status, fields) = (response.status(), response.headers());
            let line = line.entry(&id, status, fields, line.started.elapsed()).json(b"what was there before".to_vec());
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
    fn moments_are_written_as_in_the_rest_of_the_log() {
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
            // past some ends of seconds
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    #[test]
    fn what_is_escaped() {
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
        fn every_text_is_read_back(text: String) {
            let mut json = Json::begin(Vec::new(), "INFO");
            json.text("text", &text);
            let read: serde_json::Value = serde_json::from_slice(&json.end("a")).expect("JSON");
            assert_eq!(read["text"], text);
        }
    }
}
