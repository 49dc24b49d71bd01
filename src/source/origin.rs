//! The URL of an origin: where originals are below it, and where its redirects lead.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use super::ImageId;

/// The URL that originals are below, such as `https://origin.example/images/`. It is displayed without its credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Origin {
    /// Without credentials, with a trailing slash.
    url: Uri,
    authorization: Option<HeaderValue>,
}

/// A URL that cannot be an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is a URL such as \"https://origin.example/images/\", without a query")]
pub struct InvalidOrigin;

impl std::str::FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Origin, InvalidOrigin> {
        let url: Uri = text.parse().map_err(|_| InvalidOrigin)?;
        let is_http = matches!(url.scheme_str(), Some("http" | "https"));
        let (true, Some(authority), None, false) = (is_http, url.authority(), url.query(), text.contains('#')) else {
            return Err(InvalidOrigin);
        };
        let (credentials, host) = match authority.as_str().rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, authority.as_str()),
        };
        let slash = if url.path().ends_with('/') { "" } else { "/" };
        let shown = format!("{}://{host}{}{slash}", url.scheme_str().unwrap_or_default(), url.path());
        let url: Uri = shown.parse().map_err(|_| InvalidOrigin)?;
        if url.host().is_none_or(str::is_empty) {
            return Err(InvalidOrigin);
        }
        let authorization = credentials.map(basic).transpose()?;
        Ok(Origin { url, authorization })
    }
}

/// The header of `user:password`, percent-decoded (RFC 7617).
fn basic(credentials: &str) -> Result<HeaderValue, InvalidOrigin> {
    let decoded: Vec<u8> = percent_decode_str(credentials).collect();
    let value = format!("Basic {}", STANDARD.encode(decoded));
    let mut value = HeaderValue::from_str(&value).map_err(|_| InvalidOrigin)?;
    value.set_sensitive(true);
    Ok(value)
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.url.fmt(f)
    }
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Origin({})", self.url)
    }
}

impl Origin {
    pub(super) fn url(&self) -> &Uri {
        &self.url
    }

    /// The URL of an original; `None` if it is too long.
    pub(super) fn url_of(&self, id: &ImageId) -> Option<Uri> {
        let path = id.to_path();
        format!("{}{}", self.url, path.trim_start_matches('/')).parse().ok()
    }

    /// The credentials, if the URL is of the origin itself.
    pub(super) fn authorization(&self, url: &Uri) -> Option<&HeaderValue> {
        let is_own = (url.scheme(), url.authority()) == (self.url.scheme(), self.url.authority());
        self.authorization.as_ref().filter(|_| is_own)
    }
}

/// The URL that a redirect leads to; `None` where it is not to be followed: from https to http, with credentials, or to no
/// web server.
pub(super) fn redirect(from: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let location = location.split('#').next()?;
    // RFC 3986, 4.2: a colon in the first segment ends a scheme
    let has_scheme = location.split(['/', '?']).next().is_some_and(|start| start.contains(':'));
    let absolute = if has_scheme {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", from.path())
    } else {
        let (folder, _) = from.path().rsplit_once('/')?;
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let to: Uri = absolute.parse().ok()?;
    let keeps_tls = to.scheme_str() == Some("https") || (to.scheme_str(), scheme) == (Some("http"), "http");
    (keeps_tls && !to.authority()?.as_str().contains('@')).then_some(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_a_url_without_query_whose_credentials_are_hidden() {
        let shown = |text: &str| text.parse::<Origin>().ok().map(|origin| format!("{origin} {origin:?}"));
        let check = |text: &str, url: &str| assert_eq!(shown(text), Some(format!("{url} Origin({url})")), "{text}");
        check("https://o.example/images/", "https://o.example/images/");
        check("http://o.example:81/images", "http://o.example:81/images/");
        check("http://[::1]:81", "http://[::1]:81/");
        check("https://user:secret@o.example/", "https://o.example/");
        for text in
            ["", "o.example", "/images", "ftp://o.example/", "https://o.example/?a", "https:///a", "https://o/#a"]
        {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn names_are_encoded_and_credentials_stay_at_the_origin() {
        let origin: Origin = "https://user:p%40ss@o.example/i/".parse().expect("an origin");
        let url = origin.url_of(&ImageId::of("a b/ü?.jpg").expect("a name")).expect("a URL");
        assert_eq!(url, "https://o.example/i/a%20b/%C3%BC%3F.jpg");
        assert_eq!(origin.authorization(&url).expect("its own"), "Basic dXNlcjpwQHNz");
        for other in ["http://o.example/i/a", "https://o.example:444/i/a", "https://p.example/i/a"] {
            assert_eq!(origin.authorization(&other.parse().expect("a URL")), None, "{other}");
        }
    }

    #[test]
    fn redirects_lead_to_web_servers_and_never_from_https_to_http() {
        let check = |from: &str, location: &str, expected: Option<&str>| {
            let to = redirect(&from.parse().expect("a URL"), location).map(|to| to.to_string());
            assert_eq!(to.as_deref(), expected, "{from} {location}");
        };
        check("http://o/a/b", "/c?d#e", Some("http://o/c?d"));
        check("http://o/a/b", "c", Some("http://o/a/c"));
        check("http://o/a/b", "//p/c", Some("http://p/c"));
        check("http://o/a/b", "https://p/c", Some("https://p/c"));
        check("https://o/a/b", "http://o/c", None);
        check("http://o/a/b", "http://user@p/c", None);
        check("http://o/a/b", "file:///etc/passwd", None);
        check("http://o/a/b", "gopher://p/", None);
        check("http://o/a/b", "mailto:a@b", None);
        check("http://o/a/b", "/c?src=https://p/x", Some("http://o/c?src=https://p/x"));
        check("http://o/a/b", "c?src=https://p/x", Some("http://o/a/c?src=https://p/x"));
        check("http://o/a/b?v=1", "?v=2", Some("http://o/a/b?v=2"));
    }
}
