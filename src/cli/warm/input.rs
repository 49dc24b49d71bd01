//! What is read: lists of URLs, access logs and pages, told apart by what stands in them.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::html;

/// The largest page, and the longest line; what is larger is neither.
const LARGEST_PAGE: u64 = 64 << 20;
const LONGEST_LINE: u64 = 64 << 10;

/// Everything that was read.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Each URL that was met, with how often.
    pub(super) met: HashMap<Met, u64>,
    /// Lines, and images of pages.
    pub(super) entries: u64,
    /// What was passed over, and why.
    pub(super) passed: BTreeMap<String, u64>,
}

/// A URL without its host, and what is known of who asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Met {
    pub(super) target: String,
    /// The media type that a page expects of it.
    pub(super) kind: Option<String>,
    /// Whether it comes from a log, which has everything that was ever asked for.
    pub(super) is_logged: bool,
}

impl Input {
    /// Reads files; `-` is standard input.
    pub(super) fn read(paths: &[PathBuf]) -> anyhow::Result<Input> {
        let mut input = Input::default();
        for path in paths {
            let mut read = || -> anyhow::Result<()> {
                if path == Path::new("-") {
                    input.take(std::io::stdin().lock())
                } else {
                    input.take(std::fs::File::open(path)?)
                }
            };
            read().with_context(|| format!("reading {}", path.display()))?;
        }
        Ok(input)
    }

    /// Logs that were put away are often compressed.
    fn take(&mut self, reader: impl Read) -> anyhow::Result<()> {
        let mut reader = BufReader::new(reader);
        if reader.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
            return self.take_plain(BufReader::new(flate2::bufread::MultiGzDecoder::new(reader)));
        }
        self.take_plain(reader)
    }

    fn take_plain(&mut self, mut reader: impl BufRead) -> anyhow::Result<()> {
        let start = reader.fill_buf()?;
        let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
        if start.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<') {
            return self.page(reader);
        }
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            self.line(String::from_utf8_lossy(&line).trim());
        }
    }

    fn page(&mut self, reader: impl BufRead) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        reader.take(LARGEST_PAGE + 1).read_to_end(&mut bytes)?;
        anyhow::ensure!(bytes.len() as u64 <= LARGEST_PAGE, "a page of more than {LARGEST_PAGE} bytes");
        for found in html::images(&String::from_utf8_lossy(&bytes)) {
            self.entries += 1;
            if found.url.starts_with("data:") {
                self.pass("they stand in the page itself (data:)");
            } else {
                self.meet(&found.url, found.kind, false);
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        self.entries += 1;
        match log_line(line) {
            Some(Logged::Wanted(target)) => self.meet(&target, None, true),
            Some(Logged::Other(why)) => self.pass(why),
            None => self.meet(line, None, false),
        }
    }

    fn meet(&mut self, url: &str, kind: Option<String>, is_logged: bool) {
        match target(url) {
            Some(target) => *self.met.entry(Met { target, kind, is_logged }).or_default() += 1,
            None => self.pass("neither a URL, a line of an access log nor a path that begins with /"),
        }
    }

    pub(super) fn pass(&mut self, why: &str) {
        *self.passed.entry(why.to_owned()).or_default() += 1;
    }
}

/// Path and query of a URL; its host, and what follows a `#`, make no difference here.
fn target(url: &str) -> Option<String> {
    let rest = ["https://", "http://", "//"].iter().find_map(|start| url.strip_prefix(start));
    let path = match rest {
        Some(rest) => &rest[rest.find(['/', '?', '#'])?..],
        None => url,
    };
    let path = path.split('#').next().unwrap_or_default();
    // what browsers encode before they send it
    const UNSENT: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`');
    (path.starts_with('/') && !path.starts_with("//")).then(|| utf8_percent_encode(path, UNSENT).to_string())
}

/// A request in an access log.
#[derive(Debug, PartialEq, Eq)]
enum Logged {
    /// What was asked for and there.
    Wanted(String),
    /// It is not to be repeated.
    Other(&'static str),
}

/// A line of a log in the combined format, or another that has the request in the first quotes and the status behind:
/// `1.2.3.4 - - [25/Nov/2026:10:00:00 +0000] "GET /a.jpg?w=1 HTTP/1.1" 200 4711 "-" "curl"`.
fn log_line(line: &str) -> Option<Logged> {
    let (_, rest) = line.split_once('"')?;
    let end = closing_quote(rest)?;
    let (request, rest) = (&rest[..end], &rest[end + 1..]);
    let (method, request) = request.split_once(' ')?;
    let (target, version) = request.rsplit_once(' ')?;
    if !version.starts_with("HTTP/") || method.is_empty() {
        return None;
    }
    let status: u16 = rest.split_whitespace().next()?.parse().ok()?;
    Some(match (method, status) {
        ("GET" | "HEAD", 200..=299 | 304 | 499..=599) => Logged::Wanted(unescaped(target)),
        ("GET" | "HEAD", _) => Logged::Other("their answers were refusals or led elsewhere"),
        _ => Logged::Other("they were no GET"),
    })
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        closes
    })
}

/// nginx writes quotes, backslashes and what is not ASCII as `\x22`.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits =
            after.strip_prefix(b"x").filter(|_| byte == b'\\').and_then(|hex| std::str::from_utf8(hex.get(..2)?).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Input {
        let mut input = Input::default();
        input.take(text).expect("a text can be read");
        input
    }

    fn targets(text: &[u8]) -> Vec<String> {
        let mut all: Vec<String> = read(text).met.into_keys().map(|met| met.target).collect();
        all.sort();
        all
    }

    #[test]
    fn lists() {
        let check = |line: &str, expected: &[&str]| assert_eq!(targets(line.as_bytes()), expected, "{line}");
        check("/a.jpg?w=1\r\n# no\n\n  /b.jpg  \n", &["/a.jpg?w=1", "/b.jpg"]);
        check("https://example.com/a.jpg?w=1#top", &["/a.jpg?w=1"]);
        check("//cdn.example/a.jpg", &["/a.jpg"]);
        check("http://example.com:80/a/b.jpg", &["/a/b.jpg"]);
        check("/caf\u{e9} 1.jpg?w=2", &["/caf%C3%A9%201.jpg?w=2"]);
        for line in ["a.jpg", "http://example.com", "ftp://x/a.jpg", "https:///a", "https://example.com//a.jpg"] {
            check(line, if line == "https:///a" { &["/a"] } else { &[] });
        }
    }

    #[test]
    fn logs() {
        let check = |request: &str, rest: &str, expected: Option<Logged>| {
            let line = format!("::1 - - [25/Nov/2026:10:00:00 +0000] \"{request}\" {rest}");
            assert_eq!(log_line(&line), expected, "{line}");
        };
        let wanted = |target: &str| Some(Logged::Wanted(target.into()));
        check("GET /a.jpg?w=1 HTTP/1.1", "200 12 \"-\" \"Mozilla/5.0 (X11)\"", wanted("/a.jpg?w=1"));
        check("GET /a.jpg?w=1 HTTP/2.0", "503 12", wanted("/a.jpg?w=1"));
        check("HEAD /a\\x22b\\xC3\\xA9.jpg HTTP/1.1", "304 0 \"-\" \"-\"", wanted("/a\"b\u{e9}.jpg"));
        check("GET /a b.jpg HTTP/1.1", "200 1", wanted("/a b.jpg"));
        check("GET /a.jpg HTTP/1.1", "404 1", Some(Logged::Other("their answers were refusals or led elsewhere")));
        check("POST /-/purge HTTP/1.1", "200 1", Some(Logged::Other("they were no GET")));
        check("\\x16\\x03\\x01", "400 0", None);
        assert_eq!(log_line("/a.jpg?w=1"), None);
    }

    #[test]
    fn what_is_met_often_is_counted() {
        let log = "1.1.1.1 - - [x] \"GET /a?w=1 HTTP/1.1\" 200 1\n".repeat(3) + "nonsense\n/b\n";
        let input = read(log.as_bytes());
        assert_eq!(input.entries, 5);
        assert_eq!(input.met.values().copied().max(), Some(3));
        assert_eq!(input.passed.values().sum::<u64>(), 1);
    }

    #[test]
    fn compressed_ones_are_read_too() {
        use std::io::Write;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"/a.jpg?w=1\n").expect("memory");
        assert_eq!(targets(&packed.finish().expect("memory")), ["/a.jpg?w=1"]);
    }

    #[test]
    fn pages_are_told_by_their_first_sign() {
        assert_eq!(targets(b"\xef\xbb\xbf\n <p><img src=/a.jpg?w=3><img src='data:,'>"), ["/a.jpg?w=3"]);
    }
}
