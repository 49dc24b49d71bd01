//! `tintype sign`: signs URLs.

use std::io::{BufRead, Write};
use std::time::SystemTime;

use clap::Args;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{Common, UsageError};
use crate::config::Span;
use crate::config::live::UnknownParams;
use crate::dialect::Policy;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// URLs, or paths with queries, as they will be requested; `-` reads them from standard input, one per line
    #[arg(required = true)]
    urls: Vec<String>,
    /// Expiry: a duration such as 1h or 7d, or a Unix time in seconds
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// Ignore unknown parameters, as the server does by default; without this they are an error
    #[arg(long)]
    allow_unknown: bool,
    /// The dialect of the URLs, such as imgproxy: they are what stands behind its mount, without a signature
    #[arg(long, value_name = "NAME", conflicts_with = "expires")]
    dialect: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut config = arguments.common.load(&[])?.with_secrets().map_err(UsageError::from)?.config;
    // a misspelt parameter would be ignored, and the signed URL be one of another image, possibly of the original
    let unknown = if arguments.allow_unknown { UnknownParams::Ignore } else { UnknownParams::Reject };
    config.live.output.unknown_params = unknown;
    let policy = config.live.policy().map_err(|invalid| UsageError(invalid.to_string()))?;
    let expires = arguments.expires.as_deref().map(|text| expiry(text, SystemTime::now())).transpose()?;
    let signed = |url: &str| match &arguments.dialect {
        Some(name) => signed_by(&policy, name, url),
        None => signed(&policy, url, expires),
    };
    let mut out = std::io::stdout().lock();
    for url in &arguments.urls {
        if url != "-" {
            writeln!(out, "{}", signed(url)?)?;
            continue;
        }
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            let url = line.trim();
            if !url.is_empty() {
                writeln!(out, "{}", signed(url)?)?;
            }
        }
    }
    Ok(())
}

/// Characters that a path must not have unencoded (RFC 3986 §3.3). Percent signs stay, since the path may be encoded already.
const UNSAFE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

fn signed(policy: &Policy, url: &str, expires: Option<u64>) -> Result<String, UsageError> {
    let (origin, rest) = split_origin(url);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    // a fragment is never sent to the server
    if !path.starts_with('/') || rest.contains('#') {
        return Err(UsageError(format!("{url:?} is not a path that begins with / and an optional query")));
    }
    // encoded as a request sends it, since that is what the signature covers
    let path = &utf8_percent_encode(path, UNSAFE).to_string();
    let joint = if query.is_empty() { "" } else { "&" };
    let query = expires.map_or(query.to_owned(), |second| format!("{query}{joint}expires={second}"));
    let signed = policy.sign(path, &query).map_err(|error| UsageError(format!("{url}: {error}")))?;
    let signed = signed.ok_or_else(|| UsageError("there is no signing key; set security.keys".into()))?;
    Ok(format!("{origin}{signed}"))
}

/// The URL with the signature of a foreign dialect.
fn signed_by(policy: &Policy, name: &str, url: &str) -> Result<String, UsageError> {
    let mounted = policy.mounts().foreign().find(|(_, dialect)| dialect.name() == name);
    let (mount, dialect) = mounted.ok_or_else(|| UsageError(format!("there is no mount in dialects.{name}")))?;
    if !url.starts_with('/') {
        return Err(UsageError(format!("{url:?} does not begin with /")));
    }
    let signed = dialect.sign(url).ok_or_else(|| UsageError(format!("dialects.{name} has no keys")))?;
    Ok(format!("{}{signed}", mount.trim_end_matches('/')))
}

/// Parses an expiry: a Unix time, or a duration from now.
fn expiry(text: &str, now: SystemTime) -> Result<u64, UsageError> {
    if let Ok(second) = text.parse() {
        return Ok(second);
    }
    let wrong =
        || UsageError(format!("--expires {text} is neither a duration such as 1h or 7d nor a Unix time in seconds"));
    let span: Span = text.parse().map_err(|_| wrong())?;
    let then = now.checked_add(span.0).ok_or_else(wrong)?;
    Ok(then.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| wrong())?.as_secs())
}

/// Splits off scheme and host, if the URL has them.
fn split_origin(url: &str) -> (&str, &str) {
    let start =
        url.find("://").filter(|&at| url[..at].bytes().all(|byte| byte.is_ascii_alphanumeric())).map_or(0, |at| at + 3);
    if start == 0 {
        return ("", url);
    }
    let path = url[start..].find('/').map_or(url.len(), |at| start + at);
    url.split_at(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn encoded_path_is_signed_unchanged() {
        let mut config = Config::default();
        config.live.security.keys = vec!["a key of sixteen bytes".into()];
        let policy = config.live.policy().expect("good settings");
        let check = |url: &str, expected: &str| {
            let signed = signed(&policy, url, None).expect("signed");
            assert_eq!(signed.split_once('?').expect("a query").0, expected, "{url}");
            let (path, query) =
                signed.rsplit_once("example").map_or(&*signed, |(_, rest)| rest).split_once('?').expect("a query");
            assert!(policy.target(path, Some(query), "", 0).is_ok(), "{signed}");
        };
        check("/a b.jpg?w=10", "/a%20b.jpg");
        check("/a%20b.jpg?w=10", "/a%20b.jpg");
        check("https://example/caf\u{e9}/[1].jpg?w=10", "https://example/caf%C3%A9/%5B1%5D.jpg");
    }

    #[test]
    fn misspelt_parameter_is_refused_unless_allowed() {
        let mut config = Config::default();
        config.live.security.keys = vec!["a key of sixteen bytes".into()];
        let lax = config.live.policy().expect("good settings");
        config.live.output.unknown_params = UnknownParams::Reject;
        let strict = config.live.policy().expect("good settings");
        for (url, part) in [("/a.jpg?widht=10", "width"), ("/a.jpg?w=10&qualty=5", "quality"), ("/a.jpg?utm=1", "utm")]
        {
            let UsageError(message) = signed(&strict, url, None).expect_err(url);
            assert!(message.contains(part), "{message}");
            assert!(signed(&lax, url, None).is_ok(), "{url}");
        }
    }
}
