//! The service of given settings, without anything that listens: for `serve`, and for `warm` where no server runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::UsageError;
use crate::cache::shared::SharedTier;
use crate::config::Config;
use crate::service::Service;
use crate::source::{CachedVersions, Files, HttpSource, SharedBytes, Source};

pub(super) fn service(config: &Config) -> anyhow::Result<Arc<Service>> {
    let fixed = &config.fixed;
    let source = match fixed.origin().map_err(|invalid| UsageError(invalid.to_string()))? {
        Some((origin, windows)) => {
            let source = HttpSource::new(origin, fixed.source.max_bytes.0, windows);
            Arc::new(source.context("cannot fetch originals")?)
        }
        None => folder(config)?,
    };
    if let Some(dir) = fixed.cache.folder() {
        crate::cache::preflight::check_permissions(dir).context("the cache folder is not safe to use")?;
    }
    let service = Service::new(source, &fixed.cache(), fixed.workers(), config.render());
    service.set_upgrades(config.upgrades());
    if let Some(bucket) = fixed.shared_bucket().map_err(|invalid| UsageError(invalid.to_string()))? {
        let bucket = bucket.open().map_err(|invalid| UsageError(format!("shared.bucket is invalid: {invalid}")))?;
        service.share(SharedTier::new(bucket, fixed.shared()));
    }
    let cluster = fixed.cluster().map_err(|invalid| UsageError(invalid.to_string()))?;
    if service.shared().is_some() || !cluster.peers.is_empty() {
        service.join_cluster(cluster).context("cannot reach the servers of cluster.peers")?;
    }
    Ok(service)
}

/// The folder of originals as a source.
fn folder(config: &Config) -> anyhow::Result<Arc<dyn Source>> {
    let settings = &config.fixed.source;
    let root = &settings.root;
    let source = Files::new(root, settings.max_bytes.0).and_then(|files| files.with_links(&settings.links));
    let source = source.with_context(|| format!("cannot open the folder of originals, {}", root.display()))?;
    if let Some((cache, root)) = overlap(config)? {
        let (cache, root) = (cache.display(), root.display());
        anyhow::bail!(UsageError(format!(
            "the cache folder {cache} and the originals in {root} lie within each other; set cache.dir or \
                --cache-dir to a separate folder"
        )));
    }
    let source: Arc<dyn Source> = Arc::new(SharedBytes::new(Arc::new(source)));
    Ok(match settings.revalidate.0 {
        Duration::ZERO => source,
        time => Arc::new(CachedVersions::new(source, time)),
    })
}

/// The cache folder and the folder of originals if one lies within the other: the cache would be served as originals, or
/// originals evicted from the cache.
pub(super) fn overlap(config: &Config) -> std::io::Result<Option<(PathBuf, PathBuf)>> {
    let Some(dir) = config.fixed.cache.folder().filter(|_| config.fixed.source.url.is_empty()) else { return Ok(None) };
    // the folder may not exist yet: links are resolved in the part of the path that exists
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
    // a missing folder has no originals
    let linked = config.fixed.source.links.iter().filter_map(|folder| folder.canonicalize().ok());
    let mut originals = std::iter::once(root).chain(linked);
    Ok(originals.find(|folder| cache.starts_with(folder) || folder.starts_with(&cache)).map(|folder| (cache, folder)))
}
