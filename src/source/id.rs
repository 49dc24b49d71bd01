//! The checked name of an original. Everything that could make a name mean a file elsewhere, or one file have two names,
//! is refused here and never repaired: each repaired spelling would be one more key for the same picture.

use percent_encoding::percent_decode_str;

/// The name of an original within its source: segments joined by `/`, without one at the front.
///
/// No segment is empty, `.`, `..` or begins with a dot, and none has a slash, a backslash or a control character.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId(String);

/// A path that names no original.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path names no original")]
pub struct InvalidName;

/// What file systems allow for one name, in bytes.
const LONGEST_SEGMENT: usize = 255;

impl ImageId {
    /// Reads the path of a URL as it was sent, `/` in front; it is percent-decoded once, segment by segment.
    ///
    /// # Errors
    /// [`InvalidName`] for anything a file under the root could not be named by, or only in a second way.
    pub fn parse(path: &str) -> Result<ImageId, InvalidName> {
        let path = path.strip_prefix('/').ok_or(InvalidName)?;
        let mut name = String::with_capacity(path.len());
        for segment in path.split('/') {
            if !is_well_encoded(segment) {
                return Err(InvalidName);
            }
            let decoded = percent_decode_str(segment).decode_utf8().map_err(|_| InvalidName)?;
            if !is_plain(&decoded) {
                return Err(InvalidName);
            }
            if !name.is_empty() {
                name.push('/');
            }
            name.push_str(&decoded);
        }
        Ok(ImageId(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
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

/// Every `%` is followed by two hexadecimal digits; otherwise decoding would keep it, and `%zz` be a second spelling
/// of `%25zz`.
fn is_well_encoded(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    bytes
        .iter()
        .enumerate()
        .filter(|&(_, &byte)| byte == b'%')
        .all(|(at, _)| bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// Whether a name can be a segment of an original's.
pub(super) fn is_plain(segment: &str) -> bool {
    let strange = |c: char| matches!(c, '/' | '\\') || c.is_control();
    !segment.is_empty() && !segment.starts_with('.') && segment.len() <= LONGEST_SEGMENT && !segment.contains(strange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
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
        fn no_path_climbs(path in "[/.%\\\\a-z0-9]{0,40}") {
            if let Ok(id) = ImageId::parse(&path) {
                for segment in id.as_str().split('/') {
                    assert!(!segment.is_empty() && !segment.starts_with('.'));
                }
            }
        }
    }
}
