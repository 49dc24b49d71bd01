//! `tintype sign`: the signed form of a URL.

use clap::Args;

use super::{Common, Wrong};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The URL or its path with the query, as it will be requested
    url: String,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.common.load(&[])?.config;
    let policy = config.policy().map_err(|invalid| Wrong(invalid.to_string()))?;
    let (origin, rest) = split_origin(&arguments.url);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !path.starts_with('/') {
        anyhow::bail!(Wrong(format!("{:?} has no path that begins with /", arguments.url)));
    }
    let signed = policy.sign(path, query).map_err(|error| Wrong(error.to_string()))?;
    let signed = signed.ok_or_else(|| Wrong("there is no key to sign with; set security.keys".into()))?;
    println!("{origin}{signed}");
    Ok(())
}

/// Scheme and host, if they are there, and what follows them.
fn split_origin(url: &str) -> (&str, &str) {
    let start = url.find("://").map_or(0, |at| at + 3);
    if start == 0 {
        return ("", url);
    }
    let path = url[start..].find('/').map_or(url.len(), |at| start + at);
    url.split_at(path)
}
