//! The HTTP origin of originals, in place of a folder.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fixed::{FixedSettings, Source};
use super::units::Span;
use super::{Config, ConfigError, Origin};
use crate::source::{self, InvalidOrigin, RemoteConfig, Windows};

/// How long an original that the origin does not have is not asked for again.
const MISSING: Duration = Duration::from_secs(10);

/// The folder below that of the cache for what is kept of remote originals.
const ORIGINALS: &str = "originals";

impl FixedSettings {
    /// The HTTP origin; `None` where originals are elsewhere.
    ///
    /// # Errors
    /// If `source.url` is invalid.
    pub fn origin(&self) -> Result<Option<source::Origin>, InvalidOrigin> {
        let url = &self.source.url;
        if url.is_empty() { Ok(None) } else { url.parse().map(Some) }
    }

    /// How the originals of an HTTP origin or a bucket are used, and what is kept of them.
    pub fn remote(&self) -> RemoteConfig {
        let Source { revalidate, stale_while_revalidate, stale_if_error, patience, .. } = &self.source;
        let windows = Windows {
            revalidate: revalidate.0,
            stale_while_revalidate: stale_while_revalidate.0,
            stale_if_error: stale_if_error.0,
            patience: patience.0,
            missing: MISSING,
        };
        RemoteConfig {
            max_bytes: self.source.max_bytes.0,
            windows,
            dir: self.cache.folder().map(|dir| dir.join(ORIGINALS)),
            cache_bytes: self.source.cache_bytes.0,
            min_free: self.cache.min_free.0,
        }
    }
}

/// The freshness of originals of an HTTP origin, which is asked at a cost.
const REVALIDATE: Span = Span(Duration::from_secs(60));

/// Originals come from a folder, a URL or a bucket; the latter are asked less often than a folder unless it is set otherwise.
pub(super) fn complete(config: &mut Config, origins: &BTreeMap<String, Origin>) -> Result<(), ConfigError> {
    let source = &mut config.fixed.source;
    let set = [("source.url", &source.url), ("source.bucket", &source.bucket)];
    let mut set = set.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name);
    let Some(name) = set.next() else { return Ok(()) };
    let other = set.next().or_else(|| origins.contains_key("source.root").then_some("source.root"));
    if let Some(other) = other {
        let set = origins.get(other).unwrap_or(&Origin::Default);
        return Err(ConfigError(format!("{set}: {other} is set as well as {name}; remove one of them")));
    }
    if !origins.contains_key("source.revalidate") {
        source.revalidate = REVALIDATE;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::layers::merge;
    use super::super::{Flag, Loaded};
    use super::*;

    fn read(file: &str, flags: &[Flag]) -> Result<Loaded, ConfigError> {
        merge(Some((std::path::Path::new("t.toml"), file.to_owned())), Vec::new(), flags)
    }

    #[test]
    fn url_excludes_a_folder_and_its_credentials_are_hidden() {
        let url = "[source]\nurl = \"https://user:secret@o.example/i\"\n";
        let Loaded { config, .. } = read(url, &[]).expect("good");
        assert_eq!(config.fixed.source.revalidate, REVALIDATE);
        assert_eq!(config.without_secrets().fixed.source.url, "https://o.example/i/");
        let set = read(&format!("{url}revalidate = \"0s\"\n"), &[]).expect("good");
        assert_eq!(set.config.fixed.source.revalidate, Span(Duration::ZERO));
        let folder = ("source", "root", ".".to_owned(), "FOLDER");
        for invalid in [
            read(url, &[folder]),
            read(&format!("{url}root = \"/srv\"\n"), &[]),
            read("[source]\nurl = \"user:secret@o.example\"\n", &[]),
        ] {
            let message = invalid.expect_err("invalid").to_string();
            assert!(message.contains("source.url") && !message.contains("secret"), "{message}");
        }
        let folder = read("", &[]).expect("good").config.fixed;
        assert!(folder.origin().expect("none").is_none() && folder.source.revalidate == Span(Duration::ZERO));
    }
}
