//! The text by which a foreign URL names its source, and the name of the original that it stands for.

use super::values::percent_decode;
use crate::dialect::Error;
use crate::source::ImageId;

/// Absolute addresses under which our own originals are known: the path behind one is a path below the source's root. Text is
/// compared, and no name is resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<Base>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Base {
    /// Scheme, `://`, host and port, in lower case.
    origin: String,
    /// The path without a slash at its end; empty for all of the host.
    path: String,
}

/// A base that is not `http://host` or `https://host` with an optional path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address such as \"https://www.example.com\"")]
pub struct InvalidBase(pub String);

/// Schemes of sources of other systems, which have no `//` in every case.
const SCHEMES: [&str; 8] = ["s3:", "gs:", "abs:", "swift:", "data:", "file:", "ftp:", "blob:"];

impl Sources {
    /// The addresses of `dialects.bases`.
    ///
    /// # Errors
    /// [`InvalidBase`].
    pub fn new<'a>(bases: impl IntoIterator<Item = &'a str>) -> Result<Sources, InvalidBase> {
        let parsed = bases.into_iter().map(|text| Base::parse(text).ok_or_else(|| InvalidBase(text.to_owned())));
        parsed.collect::<Result<_, _>>().map(Sources)
    }

    /// The first address, without a slash at its end.
    pub(super) fn first_base(&self) -> Option<String> {
        self.0.first().map(|base| format!("{}{}", base.origin, base.path))
    }

    /// The original that a decoded text names: an address below a base, `local://`, or a path with or without a slash in front.
    ///
    /// # Errors
    /// [`Error::ForeignSource`] for another host or scheme, [`Error::InvalidName`].
    pub fn id(&self, source: &str) -> Result<ImageId, Error> {
        if let Some((scheme, rest)) = web_address(source) {
            return self.below_base(Some(scheme), rest).ok_or(Error::ForeignSource)?;
        }
        if let Some(rest) = source.strip_prefix("local:") {
            let slashes = rest.bytes().take_while(|&byte| byte == b'/').count();
            return if (1..=3).contains(&slashes) { named(&rest[slashes..]) } else { Err(Error::InvalidName) };
        }
        let has_scheme = source.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme));
        if has_scheme || SCHEMES.iter().any(|scheme| source.starts_with(scheme)) {
            return Err(Error::ForeignSource);
        }
        named(source.strip_prefix('/').unwrap_or(source))
    }

    /// The same for dialects whose addresses may have no scheme: a text that begins with the host of a base is an address.
    ///
    /// # Errors
    /// The errors of [`Sources::id`].
    pub fn id_of_host(&self, source: &str) -> Result<ImageId, Error> {
        let host = source.split_once('/').map(|(host, _)| host);
        match host.is_some_and(|host| self.0.iter().any(|base| base.host().eq_ignore_ascii_case(host))) {
            true => self.id_below_host(source),
            false => self.id(source),
        }
    }

    /// The original of an address without a scheme, which is below a base of either scheme.
    ///
    /// # Errors
    /// The errors of [`Sources::id`].
    pub(super) fn id_below_host(&self, address: &str) -> Result<ImageId, Error> {
        self.below_base(None, address).ok_or(Error::ForeignSource)?
    }

    /// The name behind the base that an address is below; `None` where there is none. Without a scheme, bases of both are tried.
    fn below_base(&self, scheme: Option<&str>, rest: &str) -> Option<Result<ImageId, Error>> {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let path = &rest[end..];
        let path = &path[..path.find(['?', '#']).unwrap_or(path.len())];
        let is_origin = |base: &Base| {
            base.host().eq_ignore_ascii_case(&rest[..end]) && scheme.is_none_or(|scheme| base.scheme() == scheme)
        };
        let below = |base: &Base| {
            let rest = path.strip_prefix(base.path.as_str()).filter(|_| is_origin(base))?;
            // a base alone is ours, too, and names nothing
            if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
        };
        let name = self.0.iter().find_map(below)?;
        Some(percent_decode(name).ok_or(Error::InvalidName).and_then(|name| named(&name)))
    }
}

impl Base {
    fn scheme(&self) -> &str {
        self.origin.split("://").next().unwrap_or_default()
    }

    /// The host and the port.
    fn host(&self) -> &str {
        self.origin.split("://").nth(1).unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Base> {
        let (scheme, rest) = web_address(text)?;
        let (host, path) = match rest.find('/') {
            Some(at) => (&rest[..at], rest[at..].trim_end_matches('/')),
            None => (rest, ""),
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        let is_host = !host.is_empty() && host.chars().all(is_plain);
        (is_host && !path.contains(['?', '#', ' ']) && text.contains("://"))
            .then(|| Base { origin: format!("{scheme}://{}", host.to_ascii_lowercase()), path: path.to_owned() })
    }
}

/// The scheme and what is behind the slashes of an address. One slash is read as two, since proxies merge them.
fn web_address(text: &str) -> Option<(&'static str, &str)> {
    ["https", "http"].into_iter().find_map(|scheme| {
        let start = text.get(..scheme.len()).filter(|start| start.eq_ignore_ascii_case(scheme))?;
        let rest = text[start.len()..].strip_prefix(":/")?;
        Some((scheme, rest.strip_prefix('/').unwrap_or(rest)))
    })
}

/// Whether a text is the scheme of an address (RFC 3986 §3.1).
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn named(name: &str) -> Result<ImageId, Error> {
    ImageId::of(name).map_err(|_| Error::InvalidName)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Sources {
        Sources::new(["https://www.example.com", "http://img.example:8080/files/"]).expect("good")
    }

    #[test]
    fn sources_are_our_own_or_refused() {
        let foreign = Err(Error::ForeignSource);
        let invalid = Err(Error::InvalidName);
        for (source, expected) in [
            ("photos/tom.jpg", Ok("photos/tom.jpg")),
            ("/photos/tom.jpg", Ok("photos/tom.jpg")),
            ("a:b.jpg", Ok("a:b.jpg")),
            ("https://www.example.com/photos/tom.jpg", Ok("photos/tom.jpg")),
            ("https:/www.example.com/photos/tom.jpg", Ok("photos/tom.jpg")),
            ("HTTPS://WWW.example.com/a%20b.jpg?v=1#x", Ok("a b.jpg")),
            ("http://img.example:8080/files/a.jpg", Ok("a.jpg")),
            ("local:///photos/tom.jpg", Ok("photos/tom.jpg")),
            ("local:/photos/a%20b.jpg", Ok("photos/a%20b.jpg")),
            ("http://www.example.com/a.jpg", foreign.clone()),
            ("https://www.example.com:443/a.jpg", foreign.clone()),
            ("https://www.example.com.evil.example/a.jpg", foreign.clone()),
            ("https://www.example.com@evil.example/a.jpg", foreign.clone()),
            ("https://user@www.example.com/a.jpg", foreign.clone()),
            ("http://img.example:8080/filesystem/a.jpg", foreign.clone()),
            ("http://169.254.169.254/latest", foreign.clone()),
            ("s3://bucket/a.jpg", foreign.clone()),
            ("data:image/png;base64,AAAA", foreign.clone()),
            ("file:///etc/passwd", foreign),
            ("//evil.example/a.jpg", invalid.clone()),
            ("local:a.jpg", invalid.clone()),
            ("https://www.example.com", invalid.clone()),
            ("http://img.example:8080/files?v=1", invalid.clone()),
            ("https://www.example.com/%2e%2e/a.jpg", invalid.clone()),
            ("https://www.example.com/a%zz.jpg", invalid.clone()),
            ("https://www.example.com", invalid.clone()),
            ("https://www.example.com/?v=1", invalid.clone()),
            ("http://img.example:8080/files", invalid.clone()),
            ("../etc/passwd", invalid.clone()),
            ("", invalid),
        ] {
            let id = sources().id(source);
            assert_eq!(id.as_ref().map(ImageId::as_str).map_err(Clone::clone), expected, "{source}");
        }
    }

    #[test]
    fn host_without_a_scheme_is_a_base() {
        let id = |source: &str| sources().id_of_host(source).map(|id| id.as_str().to_owned());
        assert_eq!(id("www.example.com/a%20b.jpg"), Ok("a b.jpg".into()));
        assert_eq!(id("photos/tom.jpg"), Ok("photos/tom.jpg".into()));
        assert_eq!(id("https://evil.example/a.jpg"), Err(Error::ForeignSource));
    }

    /// Only bases with the scheme of the host's first one were tried.
    #[test]
    fn host_without_a_scheme_is_below_any_of_its_bases() {
        let bases = ["https://www.example.com/shop", "http://www.example.com/blog", "http://img.example:8080"];
        let sources = Sources::new(bases).expect("good");
        for (source, expected) in [
            ("www.example.com/shop/a.jpg", Ok("a.jpg")),
            ("www.example.com/blog/b.jpg?v=1", Ok("b.jpg")),
            ("WWW.Example.com/blog/b.jpg", Ok("b.jpg")),
            ("img.example:8080/c.jpg", Ok("c.jpg")),
            ("www.example.com/other/a.jpg", Err(Error::ForeignSource)),
            ("www.example.com/blog/", Err(Error::InvalidName)),
        ] {
            for id in [sources.id_of_host(source), sources.id_below_host(source)] {
                assert_eq!(id.as_ref().map(ImageId::as_str).map_err(Clone::clone), expected, "{source}");
            }
        }
        // another host is a folder, or no address of ours
        assert_eq!(sources.id_of_host("img.example/c.jpg").as_ref().map(ImageId::as_str), Ok("img.example/c.jpg"));
        assert_eq!(sources.id_below_host("img.example/c.jpg"), Err(Error::ForeignSource));
    }

    #[test]
    fn bases_are_addresses() {
        for text in ["www.example.com", "https:/www.example.com", "ftp://a", "https://", "https://a b", "https://a/?x"]
        {
            assert_eq!(Sources::new([text]), Err(InvalidBase(text.into())));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_source_has_dot_segments(source in "(https:/+www\\.example\\.com)?(local:)?[/.%a-z0-9:]{0,40}") {
            if let Ok(id) = sources().id(&source) {
                for segment in id.as_str().split('/') {
                    assert!(!segment.is_empty() && !segment.starts_with('.'));
                }
            }
        }
    }
}
