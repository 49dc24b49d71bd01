//! The files that `warm` reads: lists of URLs, access logs and HTML pages, recognised by their contents.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::html;

/// Size limits in bytes.
const MAX_PAGE: u64 = 64 << 20;
const MAX_LINE: u64 = 64 << 10;

/// The contents of all files.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Each URL, with how often it occurred.
    pub(super) urls: HashMap<SeenUrl, u64>,
    /// Lines of lists and logs, and images of pages.
    pub(super) entries: u64,
    /// How many entries were skipped, by reason.
    pub(super) skipped: BTreeMap<String, u64>,
}

/// A URL without its host, and its context.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SeenUrl {
    pub(super) target: String,
    /// The media type that a page declares for it.
    pub(super) media_type: Option<String>,
    /// Whether it comes from an access log, which also has requests that are not for renditions.
    pub(super) is_logged: bool,
}

impl Input {
    /// Reads files; `-` is standard input.
    pub(super) fn read(paths: &[PathBuf]) -> anyhow::Result<Input> {
        let mut input = Input::default();
        for path in paths {
            let mut read = || -> anyhow::Result<()> {
                if path == Path::new("-") {
                    input.read_from(std::io::stdin().lock())
                } else {
                    input.read_from(std::fs::File::open(path)?)
                }
            };
            read().with_context(|| format!("reading {}", path.display()))?;
        }
        Ok(input)
    }

    /// Reads one file, compressed by gzip (as rotated logs are) or not.
    fn read_from(&mut self, reader: impl Read) -> anyhow::Result<()> {
        let mut reader = BufReader::new(reader);
        if reader.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
            return self.read_plain(BufReader::new(flate2::bufread::MultiGzDecoder::new(reader)));
        }
        self.read_plain(reader)
    }

    fn read_plain(&mut self, mut reader: impl BufRead) -> anyhow::Result<()> {
        let start = reader.fill_buf()?;
        let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
        if start.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<') {
            return self.page(reader);
        }
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            self.line(String::from_utf8_lossy(&line).trim());
        }
    }

    fn page(&mut self, reader: impl BufRead) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        reader.take(MAX_PAGE + 1).read_to_end(&mut bytes)?;
        anyhow::ensure!(bytes.len() as u64 <= MAX_PAGE, "a page of more than {MAX_PAGE} bytes");
        for found in html::images(&String::from_utf8_lossy(&bytes)) {
            self.entries += 1;
            if found.url.starts_with("data:") {
                self.skip("data: URLs, which are part of the page");
            } else {
                self.add(&found.url, found.media_type, false);
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
            Some(Logged::Target(target)) => self.add(&target, None, true),
            Some(Logged::Skipped(why)) => self.skip(why),
            None => self.add(line, None, false),
        }
    }

    fn add(&mut self, url: &str, media_type: Option<String>, is_logged: bool) {
        match target(url) {
            Some(target) => *self.urls.entry(SeenUrl { target, media_type, is_logged }).or_default() += 1,
            None => self.skip("neither a URL, a line of an access log nor a path that begins with /"),
        }
    }

    pub(super) fn skip(&mut self, why: &str) {
        *self.skipped.entry(why.to_owned()).or_default() += 1;
    }
}

/// Path and query of a URL, without host and fragment.
fn target(url: &str) -> Option<String> {
    let rest = ["https://", "http://", "//"].iter().find_map(|start| url.strip_prefix(start));
    let path = match rest {
        Some(rest) => &rest[rest.find(['/', '?', '#'])?..],
        None => url,
    };
    let path = path.split('#').next().unwrap_or_default();
    // the characters that browsers percent-encode
    const UNSENT: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`');
    (path.starts_with('/') && !path.starts_with("//")).then(|| utf8_percent_encode(path, UNSENT).to_string())
}

#[derive(Debug, PartialEq, Eq)]
enum Logged {
    /// A request target to repeat.
    Target(String),
    /// The reason not to repeat it.
    Skipped(&'static str),
}

/// Parses a line of the combined log format, or another with the request in the first quotes and the status after it:
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
        ("GET" | "HEAD", 200..=299 | 304 | 499..=599) => Logged::Target(unescaped(target)),
        ("GET" | "HEAD", _) => Logged::Skipped("requests that were redirected or refused"),
        _ => Logged::Skipped("requests other than GET and HEAD"),
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

/// Undoes nginx's escapes of quotes, backslashes and bytes outside ASCII, such as `\x22`.
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
        input.read_from(text).expect("a text can be read");
        input
    }

    fn targets(text: &[u8]) -> Vec<String> {
        let mut all: Vec<String> = read(text).urls.into_keys().map(|url| url.target).collect();
        all.sort();
        all
    }

    #[test]
    fn list_of_urls_is_read() {
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
    fn access_log_is_read() {
        let check = |request: &str, rest: &str, expected: Option<Logged>| {
            let line = format!("::1 - - [25/Nov/2026:10:00:00 +0000] \"{request}\" {rest}");
            assert_eq!(log_line(&line), expected, "{line}");
        };
        let repeated = |target: &str| Some(Logged::Target(target.into()));
        check("GET /a.jpg?w=1 HTTP/1.1", "200 12 \"-\" \"Mozilla/5.0 (X11)\"", repeated("/a.jpg?w=1"));
        check("GET /a.jpg?w=1 HTTP/2.0", "503 12", repeated("/a.jpg?w=1"));
        check("HEAD /a\\x22b\\xC3\\xA9.jpg HTTP/1.1", "304 0 \"-\" \"-\"", repeated("/a\"b\u{e9}.jpg"));
        check("GET /a b.jpg HTTP/1.1", "200 1", repeated("/a b.jpg"));
        check("GET /a.jpg HTTP/1.1", "404 1", Some(Logged::Skipped("requests that were redirected or refused")));
        check("POST /-/purge HTTP/1.1", "200 1", Some(Logged::Skipped("requests other than GET and HEAD")));
        check("\\x16\\x03\\x01", "400 0", None);
        assert_eq!(log_line("/a.jpg?w=1"), None);
    }

    #[test]
    fn repeated_urls_are_counted() {
        let log = "1.1.1.1 - - [x] \"GET /a?w=1 HTTP/1.1\" 200 1\n".repeat(3) + "nonsense\n/b\n";
        let input = read(log.as_bytes());
        assert_eq!(input.entries, 5);
        assert_eq!(input.urls.values().copied().max(), Some(3));
        assert_eq!(input.skipped.values().sum::<u64>(), 1);
    }

    #[test]
    fn gzip_is_read() {
        use std::io::Write;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"/a.jpg?w=1\n").expect("memory");
        assert_eq!(targets(&packed.finish().expect("memory")), ["/a.jpg?w=1"]);
    }

    #[test]
    fn page_is_recognised_by_its_first_character() {
        assert_eq!(targets(b"\xef\xbb\xbf\n <p><img src=/a.jpg?w=3><img src='data:,'>"), ["/a.jpg?w=3"]);
    }
}
