//! The service of given settings, without anything that listens: for `serve`, and for `warm` where no server runs.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;

use super::Wrong;
use crate::config::Config;
use crate::service::Service;
use crate::source::{CachedVersions, Files, SharedBytes, Source};

/// The service of these settings, without anything that listens.
pub(super) fn service(config: &Config) -> anyhow::Result<Arc<Service>> {
    let root = &config.fixed.source.root;
    let source = Files::new(root, config.fixed.source.max_bytes.0)
        .and_then(|files| files.with_links(&config.fixed.source.links));
    let source = source.with_context(|| format!("the folder with originals, {}, cannot be opened", root.display()))?;
    if let Some((cache, root)) = overlap(config)? {
        let (cache, root) = (cache.display(), root.display());
        anyhow::bail!(Wrong(format!(
            "the cache folder {cache} and the originals in {root} lie within each other; set cache.dir or \
                --cache-dir to a place of its own"
        )));
    }
    if let Some(dir) = config.fixed.cache.folder() {
        crate::cache::preflight::distrust(dir).context("the cache folder is not safe")?;
    }
    let mut source: Arc<dyn Source> = Arc::new(SharedBytes::new(Arc::new(source)));
    if !config.fixed.source.revalidate.0.is_zero() {
        source = Arc::new(CachedVersions::new(source, config.fixed.source.revalidate.0));
    }
    Ok(Service::new(source, &config.fixed.cache(), config.fixed.workers(), config.render()))
}

/// The cache folder and the originals, where one lies within the other: a cache below the originals would be served as
/// originals, and originals below the cache be evicted.
pub(super) fn overlap(config: &Config) -> std::io::Result<Option<(PathBuf, PathBuf)>> {
    let Some(dir) = config.fixed.cache.folder() else { return Ok(None) };
    // it may not be there yet: the part of it that is there decides
    let mut dir = std::path::absolute(dir)?;
    let mut rest = Vec::new();
    let cache = loop {
        match dir.canonicalize() {
            Ok(real) => break rest.iter().rev().fold(real, |path: PathBuf, name| path.join(name)),
            Err(_) => match (dir.file_name().map(ToOwned::to_owned), dir.parent()) {
                (Some(name), Some(parent)) => {
                    rest.push(name);
                    dir = parent.to_owned();
                }
                _ => break dir,
            },
        }
    };
    let root = config.fixed.source.root.canonicalize()?;
    // one that is not there holds no originals
    let linked = config.fixed.source.links.iter().filter_map(|folder| folder.canonicalize().ok());
    let mut originals = std::iter::once(root).chain(linked);
    Ok(originals.find(|folder| cache.starts_with(folder) || folder.starts_with(&cache)).map(|folder| (cache, folder)))
}
