//! The service of given settings, without anything that listens: for `serve`, and for `warm` where no server runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::UsageError;
use crate::cache::shared::SharedTier;
use crate::config::fixed::Isolation;
use crate::config::{Config, FixedSettings};
use crate::render::fonts::{self, FontFiles};
use crate::service::Service;
use crate::service::isolated::{self, Isolated};
use crate::service::renderer::{InProcess, Renderer};
use crate::source::{BucketOriginals, CachedVersions, Files, Origin, RemoteSource, SharedBytes, Source};

pub(super) fn service(config: &Config) -> anyhow::Result<Arc<Service>> {
    let fixed = &config.fixed;
    let source: Arc<dyn Source> = match (origin(config)?, source_bucket(config)?) {
        (Some(origin), _) => {
            let source = RemoteSource::http(origin, fixed.remote());
            Arc::new(source.context("cannot fetch originals")?)
        }
        (None, Some(originals)) => Arc::new(RemoteSource::bucket(originals, fixed.remote())),
        (None, None) => folder(config)?,
    };
    if let Some(dir) = fixed.cache.folder() {
        crate::cache::preflight::check_permissions(dir).context("the cache folder is not safe to use")?;
    }
    install_fonts(config);
    let renderer = renderer(fixed)?;
    let service = Service::with_renderer(source, &fixed.cache(), fixed.workers(), config.render(), renderer);
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

/// Finds the fonts, whose digest is part of the keys of SVGs with text. Processes that draw load them; workers that are started
/// later are given the list.
pub(super) fn install_fonts(config: &Config) {
    let fonts = FontFiles::find(&config.fixed.source.fonts);
    if fonts.number() == 0 && config.render().draws_svg() {
        let folders = config.fixed.source.fonts.iter().map(|folder| folder.display().to_string());
        let folders = folders.collect::<Vec<_>>().join(" ");
        tracing::warn!(folders, "no fonts: text in SVG originals is missing where they are rasterised");
    }
    fonts.install();
}

/// The renderer that `security.isolation` asks for.
fn renderer(config: &FixedSettings) -> anyhow::Result<Arc<dyn Renderer>> {
    let isolation = config.security.isolation;
    if isolation == Isolation::Off {
        tracing::info!(isolation = "off", "renders run in this process");
        return Ok(Arc::new(InProcess));
    }
    let isolated = isolated(config).context("renders cannot be isolated");
    match isolated {
        Ok(isolated) => {
            let report = isolated.report();
            tracing::info!(isolation = %report, inherited = report.inherited, "renders run in isolated processes");
            Ok(Arc::new(isolated))
        }
        Err(error) if isolation == Isolation::Auto => {
            let error = format!("{error:#}");
            tracing::warn!(error, "renders run in this process; security.isolation = \"off\" hides this warning");
            Ok(Arc::new(InProcess))
        }
        Err(error) => Err(error.context("security.isolation cannot be met")),
    }
}

/// The worker processes of the service.
pub(super) fn isolated(config: &FixedSettings) -> anyhow::Result<Isolated> {
    start_workers(config.workers().count(), config.security.isolation == Isolation::Job)
}

/// Worker processes that the kernel locks down, with the fonts of this process.
pub(super) fn start_workers(count: usize, per_job: bool) -> anyhow::Result<Isolated> {
    let isolated = Isolated::start(isolated::Config::this(count, per_job, &fonts::installed()))?;
    anyhow::ensure!(
        isolated.report().is_isolated(),
        "the kernel has neither Landlock nor seccomp: {}",
        isolated.report()
    );
    Ok(isolated)
}

/// The HTTP origin of originals.
fn origin(config: &Config) -> Result<Option<Origin>, UsageError> {
    config.fixed.origin().map_err(|invalid| UsageError(invalid.to_string()))
}

/// The bucket of originals.
fn source_bucket(config: &Config) -> Result<Option<BucketOriginals>, UsageError> {
    let FixedSettings { source, cache, .. } = &config.fixed;
    let settings = config.fixed.source_bucket().map_err(|invalid| UsageError(invalid.to_string()))?;
    let Some(settings) = settings else { return Ok(None) };
    let bucket = settings.open().map_err(|invalid| UsageError(format!("source.bucket cannot be used: {invalid}")))?;
    Ok(Some(BucketOriginals {
        bucket,
        name: settings.location.to_string(),
        max_bytes: source.max_bytes.0,
        missing_is_forbidden: source.missing_is_forbidden,
        staging: cache.folder().map(ToOwned::to_owned),
    }))
}

/// Whether originals come from another server.
pub(super) fn is_remote(config: &FixedSettings) -> bool {
    !config.source.url.is_empty() || !config.source.bucket.is_empty()
}

/// Where the originals are, without credentials.
pub(super) fn originals(config: &FixedSettings) -> String {
    match (config.origin(), config.source_bucket()) {
        (Ok(Some(origin)), _) => origin.to_string(),
        (_, Ok(Some(bucket))) if bucket.endpoint.is_empty() => bucket.location.to_string(),
        (_, Ok(Some(bucket))) => format!("{} at {}", bucket.location, bucket.endpoint),
        _ => config.source.root.display().to_string(),
    }
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
    let source = &config.fixed.source;
    let Some(dir) = config.fixed.cache.folder().filter(|_| !is_remote(&config.fixed)) else { return Ok(None) };
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
    let root = source.root.canonicalize()?;
    // a missing folder has no originals
    let linked = source.links.iter().filter_map(|folder| folder.canonicalize().ok());
    let mut originals = std::iter::once(root).chain(linked);
    Ok(originals.find(|folder| cache.starts_with(folder) || folder.starts_with(&cache)).map(|folder| (cache, folder)))
}
