//! `tintype serve`: the service.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use super::reload::Reloader;
use super::{Common, Wrong, supervisor};
use crate::config::{Config, FLAGS, Flag, Loaded, Server};
use crate::http::server::{self, Listener};
use crate::http::{self, AccessLog, State};
use crate::service::Service;
use crate::source::{Files, Remembered, Shared, Source};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The folder with originals
    folder: Option<PathBuf>,
    /// host:port or unix:/path
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where results are kept; "none" for memory alone
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// How much is kept, such as 10GiB
    #[arg(long, value_name = "SIZE")]
    cache_size: Option<String>,
    #[command(flatten)]
    common: Common,
}

impl Arguments {
    fn flags(&self) -> Result<Vec<Flag>, Wrong> {
        let path = |path: &Option<PathBuf>| match path {
            None => Ok(None),
            Some(path) => match path.to_str() {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(Wrong(format!("{} is not valid UTF-8", path.display()))),
            },
        };
        // in the order of the table
        let given = [path(&self.folder)?, self.listen.clone(), path(&self.cache_dir)?, self.cache_size.clone()];
        let flags = FLAGS.into_iter().zip(given);
        Ok(flags.filter_map(|((section, key, flag), text)| Some((section, key, text?, flag))).collect())
    }
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let flags = arguments.flags()?;
    let loaded = arguments.common.load(&flags)?.with_secrets().map_err(Wrong::from)?;
    let access = start_log();
    if !loaded.strangers.is_empty() {
        tracing::warn!(variables = loaded.strangers.join(" "), "these are no settings and change nothing");
    }
    warn_of(&loaded);
    let reloader = Reloader::new(arguments.common.config, flags, loaded);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(reloader, access.clone()));
    // renders that nobody waits for any more must not hold up the end
    runtime.shutdown_timeout(Duration::from_secs(1));
    access.inspect(|access| access.flush());
    result
}

/// Says which files with secrets are open to everyone.
pub(super) fn warn_of(loaded: &Loaded) {
    for path in &loaded.exposed {
        tracing::warn!(path = %path.display(), "everyone on this machine may read this file, and there is a secret in it");
    }
}

/// Connections kept for the listener of health, metrics and administration.
const ADMIN_CONNECTIONS: usize = 8;

/// What is logged unless `RUST_LOG` says otherwise. The JPEG XL decoder takes damage in a file for an error of its own.
const DEFAULT_LOG: &str = "info,jxl_oxide=off,jxl_bitstream=off,jxl_coding=off,jxl_frame=off,jxl_image=off,jxl_modular=off,\
    jxl_render=off,jxl_vardct=off";

/// Lines for people on a terminal, JSON for collectors anywhere else; both to standard error, which journald reads. What
/// comes back is for the lines of the access log, where they are JSON.
fn start_log() -> Option<Arc<AccessLog>> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(DEFAULT_LOG));
    // a line that cannot be written, as to a terminal that is gone, would otherwise be told of in the same place, and a
    // failure to do that is a panic
    let log = tracing_subscriber::fmt().log_internal_errors(false);
    let log = log.with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.init();
        return None;
    }
    log.json().flatten_event(true).init();
    let access = AccessLog::to_stderr();
    let access = access.inspect_err(|error| tracing::warn!(%error, "lines of the access log are written one by one"));
    access.ok().map(Arc::new)
}

async fn serve(mut reloader: Reloader, access: Option<Arc<AccessLog>>) -> anyhow::Result<()> {
    // first of all: until somebody listens for it, this signal ends the program
    let mut hangup = signal(SignalKind::hangup())?;
    let config = reloader.loaded().config.clone();
    let service = service(&config)?;
    if config.security.upload {
        prepare_uploads(&config, &service);
    }
    let policy = config.policy().map_err(|invalid| Wrong(invalid.to_string()))?;
    let mut state = State::new(Arc::clone(&service), policy, config.http());
    if let Some(access) = &access {
        state = state.logging_to(Arc::clone(access));
    }

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = bind(&config.server, &config.server.listen).await?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    // whoever asks whether tintype is ready is told that it is not until the last image has left
    let (drain, drained) = tokio::sync::watch::channel(false);
    let patience = config.server.shutdown_timeout.0;
    let limits = config.connections();
    let until = |mut stopped: tokio::sync::watch::Receiver<bool>| async move {
        // the sender lives as long as this function
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let admin = if config.server.admin_listen.is_empty() {
        None
    } else {
        let listener = bind(&config.server, &config.server.admin_listen).await?;
        tracing::info!(address = listener.shown(), "health, metrics and administration");
        let app = http::admin_app(state.clone());
        // places of its own: whoever looks after an overloaded server must get through to it
        let places = Arc::new(Semaphore::new(ADMIN_CONNECTIONS));
        Some(tokio::spawn(server::serve(listener, app, places, limits, until(drained.clone()), patience)))
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        backends = ?crate::render::codec::BACKENDS,
        originals = %config.source.root.display(),
        cache = %config.cache.dir.display(),
        workers = service.workers().count(),
        "tintype starts"
    );
    // whoever waits for it reads it; where nobody does, that is no reason to end, as it would be by `eprintln!`
    let _ = writeln!(std::io::stderr(), "listening on {}", listener.shown());
    let possible = server::connections().saturating_sub(ADMIN_CONNECTIONS).max(4);
    let places = match config.server.max_connections {
        0 => possible,
        wished => wished.min(possible),
    };
    let places = Arc::new(Semaphore::new(places));
    let app = http::app(state.clone());
    let images = tokio::spawn(server::serve(listener, app, places, limits, until(stopped), patience));
    supervisor::ready(&service);

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = reloader.run(&mut hangup, &state) => {}
    }
    supervisor::stopping();
    tracing::info!("stopping: requests in flight are finished");
    state.drain();
    // nobody listens only if both servers have ended already
    let _ = stop.send(true);
    let finished = async {
        let mut all = images.await.unwrap_or(false);
        // nobody listens only if that server has ended already
        let _ = drain.send(true);
        if let Some(admin) = admin {
            all &= admin.await.unwrap_or(false);
        }
        all
    };
    let all = tokio::select! {
        all = finished => all,
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
    };
    service.flush();
    if let Some(access) = &access {
        access.flush();
    }
    tracing::info!(all_finished = all, "stopped");
    Ok(())
}

/// Says beforehand what would keep uploads from being taken in; images are served all the same.
fn prepare_uploads(config: &Config, service: &Service) {
    if config.security.admin_token.is_empty() {
        tracing::warn!("security.upload does nothing without a security.admin_token");
    }
    match service.sweep_uploads() {
        Ok(0) => {}
        Ok(swept) => tracing::info!(files = swept, "uploads that a killed process left unfinished are removed"),
        Err(error) => tracing::warn!(%error, "originals cannot be taken in"),
    }
}

/// The service of these settings, without anything that listens.
pub(super) fn service(config: &Config) -> anyhow::Result<Arc<Service>> {
    let root = &config.source.root;
    let source = Files::new(root, config.source.max_bytes.0);
    let source = source.with_context(|| format!("the folder with originals, {}, cannot be opened", root.display()))?;
    if let Some((cache, root)) = overlap(config)? {
        let (cache, root) = (cache.display(), root.display());
        anyhow::bail!(Wrong(format!(
            "the cache folder {cache} and the originals in {root} lie within each other; set cache.dir or \
                --cache-dir to a place of its own"
        )));
    }
    if let Some(dir) = config.cache.folder() {
        crate::cache::distrust(dir).context("the cache folder is not safe")?;
    }
    let mut source: Arc<dyn Source> = Arc::new(Shared::new(Arc::new(source)));
    if !config.source.revalidate.0.is_zero() {
        source = Arc::new(Remembered::new(source, config.source.revalidate.0));
    }
    Ok(Service::new(source, &config.cache(), config.workers(), config.settings()))
}

async fn bind(server: &Server, address: &str) -> anyhow::Result<Listener> {
    Listener::bind(address, server.socket_mode.0).await.with_context(|| format!("cannot listen on {address}"))
}

/// The cache folder and the originals, where one lies within the other: a cache below the originals would be served as
/// originals, and originals below the cache be evicted.
pub(super) fn overlap(config: &Config) -> std::io::Result<Option<(PathBuf, PathBuf)>> {
    let Some(dir) = config.cache.folder() else { return Ok(None) };
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
    let root = config.source.root.canonicalize()?;
    Ok((cache.starts_with(&root) || root.starts_with(&cache)).then_some((cache, root)))
}
