//! The validated name of an original. A name that could reach a file outside of the source, or be a second name of a file, is
//! refused and never normalised: each accepted spelling would be another key for the same picture.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The name of an original within its source: segments joined by `/`, without a leading one.
///
/// No segment is empty, `.`, `..` or begins with a dot, and none has a slash, a backslash or a control character.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId(String);

/// A path that names no original.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path names no original")]
pub struct InvalidName;

/// The characters of a segment that are encoded.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The maximum length of a file name in bytes (`NAME_MAX`).
const MAX_SEGMENT: usize = 255;

/// The name of the fallback picture: the dot keeps it apart from the names of originals.
const FALLBACK: &str = ".fallback";

impl ImageId {
    /// Parses the path of a URL as it was sent, with the leading `/`. Each segment is percent-decoded once.
    ///
    /// # Errors
    /// [`InvalidName`] for a path that no file beneath the root has, or that is not the canonical spelling.
    pub fn parse(path: &str) -> Result<ImageId, InvalidName> {
        let path = path.strip_prefix('/').ok_or(InvalidName)?;
        let mut name = String::with_capacity(path.len());
        for segment in path.split('/') {
            if !is_well_encoded(segment) {
                return Err(InvalidName);
            }
            let decoded = percent_decode_str(segment).decode_utf8().map_err(|_| InvalidName)?;
            if !is_valid_segment(&decoded) {
                return Err(InvalidName);
            }
            if !name.is_empty() {
                name.push('/');
            }
            name.push_str(&decoded);
        }
        Ok(ImageId(name))
    }

    /// The name of decoded text without a leading `/`.
    ///
    /// # Errors
    /// [`InvalidName`] as in [`ImageId::parse`].
    pub fn of(name: &str) -> Result<ImageId, InvalidName> {
        if name.split('/').all(is_valid_segment) { Ok(ImageId(name.to_owned())) } else { Err(InvalidName) }
    }

    /// The name of the fallback picture, which no URL has.
    pub(crate) fn fallback() -> ImageId {
        ImageId(FALLBACK.to_owned())
    }

    /// Whether it is the name of the fallback picture.
    pub(super) fn is_fallback(&self) -> bool {
        self.0 == FALLBACK
    }

    /// The decoded name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of a URL with this name: everything but RFC 3986's unreserved characters and the slashes between segments is
    /// percent-encoded.
    pub fn to_path(&self) -> String {
        self.0.split('/').map(|segment| format!("/{}", utf8_percent_encode(segment, SEGMENT))).collect()
    }

    /// The last segment.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl std::fmt::Display for ImageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether two hexadecimal digits follow every `%`. Decoding would keep any other `%`, so that `%zz` were a second spelling
/// of `%25zz`.
pub(crate) fn is_well_encoded(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes
        .iter()
        .enumerate()
        .filter(|&(_, &byte)| byte == b'%')
        .all(|(at, _)| bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// Whether a decoded segment is allowed in a name.
pub(super) fn is_valid_segment(segment: &str) -> bool {
    let strange = |c: char| matches!(c, '/' | '\\') || c.is_control();
    !segment.is_empty() && !segment.starts_with('.') && segment.len() <= MAX_SEGMENT && !segment.contains(strange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_source_are_refused() {
        let check = |path: &str, expected: Option<&str>| {
            let got = ImageId::parse(path).ok();
            assert_eq!(got.as_ref().map(ImageId::as_str), expected, "{path}");
        };
        check("/cats/tom.jpg", Some("cats/tom.jpg"));
        check("/caf%C3%A9/a%20b.png", Some("café/a b.png"));
        check("/100%25.png", Some("100%.png"));
        check("/a.b..c.png", Some("a.b..c.png"));
        check("/%2525.png", Some("%25.png"));
        for path in [
            "",
            "/",
            "a.png",
            "//a.png",
            "/a//b.png",
            "/a/",
            "/./a.png",
            "/../a.png",
            "/a/../b.png",
            "/a/..",
            "/%2e%2e/a.png",
            "/%2E/a.png",
            "/a%2Fb.png",
            "/a%2fb.png",
            "/a%5Cb.png",
            "/a\\b.png",
            "/a%00.png",
            "/a%0d%0ab.png",
            "/a%7F.png",
            "/%ff%fe.png",
            "/%c0%af.png",
            "/%zz.png",
            "/a%2",
            "/a%",
            "/.env",
            "/a/.git/b.png",
            "/%2egit/a.png",
            "/\u{85}.png",
        ] {
            check(path, None);
        }
        check(&format!("/{}", "x".repeat(256)), None);
    }

    proptest::proptest! {
        #[test]
        fn no_parsed_path_has_dot_segments(path in "[/.%\\\\a-z0-9]{0,40}") {
            if let Ok(id) = ImageId::parse(&path) {
                for segment in id.as_str().split('/') {
                    assert!(!segment.is_empty() && !segment.starts_with('.'));
                }
            }
        }
    }
}
