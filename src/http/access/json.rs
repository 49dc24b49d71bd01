//! Lines of the access log in JSON, of the shape that `tracing_subscriber` writes.
//!
//! Fields are written by hand: serialised by `serde_json` the line took 3 percent of the CPU of a hit instead of 1. Texts that need
//! escapes are left to it.

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

/// Replaces the content of `line` by the line of a request.
pub(super) fn write_request(line: &mut Vec<u8>, entry: &Entry<'_>) {
    line.clear();
    begin(line, "INFO");
    text(line, "request_id", entry.id);
    client(line, &entry.client);
    text(line, "method", entry.method);
    text(line, "path", entry.path);
    text(line, "query", entry.query);
    name(line, "status");
    line.extend_from_slice(entry.status.as_str().as_bytes());
    text(line, "content_type", entry.content_type());
    text(line, "bytes", entry.bytes());
    text(line, "cache", entry.cache_status());
    name(line, "duration_ms");
    let micros = u64::try_from(entry.duration.as_micros()).unwrap_or(u64::MAX);
    decimal(line, micros / 1000, 1);
    line.push(b'.');
    decimal(line, micros % 1000, 3);
    if let Some(dialect) = entry.dialect {
        text(line, "dialect", dialect);
    }
    end(line, TARGET);
}

/// The line about dropped lines.
pub(super) fn loss(lines: u64) -> Vec<u8> {
    let mut line = Vec::new();
    begin(&mut line, "WARN");
    text(&mut line, "message", LOSS);
    name(&mut line, "lines");
    decimal(&mut line, lines, 1);
    end(&mut line, "tintype::log");
    line
}

fn begin(line: &mut Vec<u8>, level: &str) {
    line.extend_from_slice(b"{\"timestamp\":\"");
    with_timestamp(|timestamp| line.extend_from_slice(timestamp.as_bytes()));
    line.push(b'"');
    text(line, "level", level);
}

fn end(line: &mut Vec<u8>, target: &str) {
    text(line, "target", target);
    line.extend_from_slice(b"}\n");
}

/// The names are plain.
fn name(line: &mut Vec<u8>, name: &str) {
    line.extend_from_slice(b",\"");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"\":");
}

fn text(line: &mut Vec<u8>, name: &str, value: &str) {
    self::name(line, name);
    string(line, value);
}

fn string(line: &mut Vec<u8>, value: &str) {
    let is_plain = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
    if value.bytes().all(is_plain) {
        line.push(b'"');
        line.extend_from_slice(value.as_bytes());
        line.push(b'"');
    } else {
        // a text can be serialised, and writing to memory does not fail
        let _ = value.serialize(&mut Serializer::with_formatter(line, OneLine));
    }
}

/// An address, which needs no escaping.
fn client(line: &mut Vec<u8>, client: &Client) {
    name(line, "client");
    line.push(b'"');
    match client.ipv4() {
        Some([first, rest @ ..]) => {
            decimal(line, first.into(), 1);
            for octet in rest {
                line.push(b'.');
                decimal(line, octet.into(), 1);
            }
        }
        // writing to memory does not fail
        None => drop(write!(line, "{client}")),
    }
    line.push(b'"');
}

/// Appends a number with at least `digits` digits, 20 at most.
fn decimal(line: &mut Vec<u8>, mut number: u64, digits: usize) {
    let mut text = [b'0'; 20];
    let mut start = text.len();
    while number > 0 || start > text.len() - digits {
        start -= 1;
        text[start] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    line.extend_from_slice(&text[start..]);
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
            string(&mut line, text);
            assert_eq!(String::from_utf8(line).expect("UTF-8"), format!("\"{expected}\""));
        };
        check("plain {text}: 'x'", "plain {text}: 'x'");
        check("a\"b\\c", "a\\\"b\\\\c");
        check("\n\r\t\u{0}\u{1b}\u{7f}", "\\n\\r\\t\\u0000\\u001b\\u007f");
        check("\u{85}\u{2028}\u{2029}\u{e9}", "\\u0085\\u2028\\u2029\u{e9}");
    }

    #[test]
    fn numbers_are_padded_to_their_digits() {
        for (number, digits, expected) in
            [(0, 1, "0"), (7, 3, "007"), (1234, 1, "1234"), (u64::MAX, 1, "18446744073709551615")]
        {
            let mut line = Vec::new();
            decimal(&mut line, number, digits);
            assert_eq!(String::from_utf8(line).expect("UTF-8"), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn every_text_round_trips(text: String) {
            let mut line = Vec::new();
            string(&mut line, &text);
            let json = String::from_utf8(line).expect("UTF-8");
            assert!(!json.contains(|c: char| c.is_control()), "{json:?}");
            assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
        }
    }
}
