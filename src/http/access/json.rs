//! Lines of the access log in JSON, of the shape that `tracing_subscriber` writes.

use std::cell::RefCell;
use std::io::{Result, Write};
use std::time::SystemTime;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{format, time};

use super::{Entry, LOSS, TARGET};
use crate::http::clients::Client;

/// A line about a request.
#[derive(Serialize)]
struct RequestLine<'a> {
    timestamp: &'a str,
    level: &'a str,
    request_id: &'a str,
    #[serde(serialize_with = "as_text")]
    client: Client,
    method: &'a str,
    path: &'a str,
    query: &'a str,
    status: u16,
    content_type: &'a str,
    bytes: &'a str,
    cache: &'a str,
    duration_ms: f64,
    target: &'a str,
}

/// A line about dropped lines.
#[derive(Serialize)]
struct LossLine<'a> {
    timestamp: &'a str,
    level: &'a str,
    message: &'a str,
    lines: u64,
    target: &'a str,
}

fn as_text<S: serde::Serializer>(client: &Client, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(client)
}

/// Replaces the content of `line` by the line of a request.
pub(super) fn write_request(line: &mut Vec<u8>, entry: &Entry<'_>) {
    line.clear();
    with_timestamp(|timestamp| {
        let json = RequestLine {
            timestamp,
            level: "INFO",
            request_id: entry.id,
            client: entry.client,
            method: entry.method,
            path: entry.path,
            query: entry.query,
            status: entry.status.as_u16(),
            content_type: entry.content_type(),
            bytes: entry.bytes(),
            cache: entry.cache_status(),
            // to the microsecond
            duration_ms: entry.duration.as_micros() as f64 / 1000.0,
            target: TARGET,
        };
        write(line, &json);
    });
}

/// The line about dropped lines.
pub(super) fn loss(lines: u64) -> Vec<u8> {
    let mut line = Vec::new();
    with_timestamp(|timestamp| {
        write(&mut line, &LossLine { timestamp, level: "WARN", message: LOSS, lines, target: "tintype::log" });
    });
    line
}

fn write(line: &mut Vec<u8>, json: &impl Serialize) {
    // texts and numbers can be serialised, and writing to memory does not fail
    let _ = json.serialize(&mut Serializer::with_formatter(&mut *line, OneLine));
    line.push(b'\n');
}

/// Escapes also DEL, C1 control characters and Unicode's line separators, which JSON does not require: many readers split
/// the log into lines before they parse it.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> Result<()> {
        if fragment.bytes().all(|byte| byte.is_ascii() && byte != 0x7f) {
            return writer.write_all(fragment.as_bytes());
        }
        for c in fragment.chars() {
            if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
                write!(writer, "\\u{:04x}", u32::from(c))?;
            } else {
                writer.write_all(c.encode_utf8(&mut [0; 4]).as_bytes())?;
            }
        }
        Ok(())
    }
}

/// Calls `f` with the time as the rest of the log has it: in UTC, with microseconds.
pub(super) fn with_timestamp<T>(f: impl FnOnce(&str) -> T) -> T {
    thread_local! {
        /// The second that was written last, and its text, of which the fraction is replaced.
        static SECOND: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|(second, text)| {
        let mut since = now();
        while *second != since.as_secs() {
            text.clear();
            // writing to memory does not fail
            let _ = time::SystemTime.format_time(&mut format::Writer::new(text));
            let written = now();
            // otherwise the text may be of the next second
            if written.as_secs() == since.as_secs() {
                *second = since.as_secs();
            }
            since = written;
        }
        text.truncate(text.find('.').unwrap_or(text.len()));
        text.push('.');
        let micros = since.subsec_micros();
        text.extend((0..6).rev().map(|digit| char::from(b'0' + (micros / 10_u32.pow(digit) % 10) as u8)));
        text.push('Z');
        f(text)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timestamps_are_those_of_tracing() {
        let theirs = || {
            let mut text = String::new();
            time::SystemTime.format_time(&mut format::Writer::new(&mut text)).expect("memory");
            text
        };
        for _ in 0..50 {
            let before = theirs();
            let ours = with_timestamp(str::to_owned);
            assert!(ours.len() == before.len() && before <= ours && ours <= theirs(), "{before} {ours}");
            // across some seconds
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    #[test]
    fn control_characters_and_line_separators_are_escaped() {
        let check = |text: &str, expected: &str| {
            let mut line = Vec::new();
            write(&mut line, &text);
            assert_eq!(String::from_utf8(line).expect("UTF-8"), format!("\"{expected}\"\n"));
        };
        check("plain {text}: 'x'", "plain {text}: 'x'");
        check("a\"b\\c", "a\\\"b\\\\c");
        check("\n\r\t\u{0}\u{1b}\u{7f}", "\\n\\r\\t\\u0000\\u001b\\u007f");
        check("\u{85}\u{2028}\u{2029}\u{e9}", "\\u0085\\u2028\\u2029\u{e9}");
    }

    proptest::proptest! {
        #[test]
        fn every_text_round_trips(text: String) {
            let mut line = Vec::new();
            write(&mut line, &text);
            let line = String::from_utf8(line).expect("UTF-8");
            let json = line.strip_suffix('\n').expect("a line");
            assert!(!json.contains(|c: char| c.is_control()), "{json:?}");
            assert_eq!(serde_json::from_str::<String>(json).expect("JSON"), text);
        }
    }
}
