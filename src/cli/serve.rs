//! `tintype serve`: the service.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::sync::watch::Receiver;
use tokio::task::JoinHandle;

use super::reload::Reloader;
use super::sockets::{self, HandedOver, Inherited};
use super::{Common, Wrong, supervisor};
use crate::config::fixed::Server;
use crate::config::{Config, FLAGS, Flag, Loaded};
use crate::http::server::{self, Listener};
use crate::http::{self, App, LogWriter, State};
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
    let handed_over = sockets::handed_over()?;
    let flags = arguments.flags()?;
    let loaded = arguments.common.load(&flags)?.with_secrets().map_err(Wrong::from)?;
    let log = start_log().context("the log cannot be written")?;
    if !loaded.strangers.is_empty() {
        tracing::warn!(variables = loaded.strangers.join(" "), "these are no settings and change nothing");
    }
    if !loaded.service_links.is_empty() {
        let variables = loaded.service_links.join(" ");
        tracing::debug!(variables, "ignored: Kubernetes makes these for services, and they are no settings");
    }
    warn_of(&loaded);
    let reloader = Reloader::new(arguments.common.config, flags, loaded);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(reloader, handed_over, &log));
    let patience = match result {
        Ok(End::Now) => AT_ONCE,
        Ok(End::Drained) | Err(_) => AT_THE_END,
    };
    // neither renders without a client nor the log's reader may hold up the end
    runtime.shutdown_timeout(patience);
    log.writer.flush(patience);
    result.map(drop)
}

/// How long the end waits for renders that run, and then for the lines of the log, each.
const AT_THE_END: Duration = Duration::from_secs(1);

/// The same after a second signal.
const AT_ONCE: Duration = Duration::from_millis(100);

/// How the service ended.
enum End {
    /// Requests in flight were finished, or had `shutdown_timeout` for it.
    Drained,
    /// A second signal said not to wait.
    Now,
}

/// The signals that end the service.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> std::io::Result<Stop> {
        Ok(Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next of them.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
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

/// Where the log goes.
struct Log {
    writer: Arc<LogWriter>,
    as_json: bool,
}

/// Lines for people on a terminal, JSON for collectors anywhere else; both to standard error, which journald reads. All of
/// them go through one writer that never blocks, since requests, signals and health checks must not wait for the reader.
fn start_log() -> std::io::Result<Log> {
    let as_json = !std::io::stderr().is_terminal();
    let writer = Arc::new(LogWriter::to_stderr(as_json)?);
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(DEFAULT_LOG));
    let log = tracing_subscriber::fmt().log_internal_errors(false);
    let log = log.with_env_filter(filter).with_writer(Arc::clone(&writer));
    if as_json {
        log.json().flatten_event(true).init()
    } else {
        log.init()
    }
    std::panic::set_hook(Box::new(log_panic));
    Ok(Log { writer, as_json })
}

/// The default hook writes to standard error itself, and blocks where it is not read.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    // empty unless RUST_BACKTRACE asks for one
    let backtrace = std::backtrace::Backtrace::capture();
    let backtrace = (backtrace.status() == std::backtrace::BacktraceStatus::Captured).then(|| backtrace.to_string());
    let thread = std::thread::current();
    tracing::error!(target: "tintype::panic", thread = thread.name(), backtrace, "{panic}");
}

async fn serve(mut reloader: Reloader, handed_over: Vec<HandedOver>, log: &Log) -> anyhow::Result<End> {
    // first of all: until somebody listens for it, this signal ends the program
    let mut hangup = signal(SignalKind::hangup())?;
    let config = reloader.loaded().config.clone();
    let service = service(&config)?;
    if config.fixed.security.upload {
        prepare_uploads(&config, &service);
    }
    let policy = config.live.policy().map_err(|invalid| Wrong(invalid.to_string()))?;
    let mut stop_signals = Stop::listen()?;
    let sockets = listen(&config, handed_over).await?;
    let mut wire = config.http();
    wire.admin_apart |= !sockets.admin.is_empty();
    let state = State::new(Arc::clone(&service), policy, wire);
    let state = state.logging_to(Arc::clone(&log.writer), log.as_json);

    let (stop, stopped) = tokio::sync::watch::channel(false);
    // whoever asks whether tintype is ready is told that it is not until the last image has left
    let (drain, drained) = tokio::sync::watch::channel(false);
    let serve = |listeners: Vec<Listener>, app: App, places: usize, stopped: Receiver<bool>| {
        let (limits, patience) = (config.fixed.connections(), config.fixed.server.shutdown_timeout.0);
        let places = Arc::new(Semaphore::new(places));
        let serve = |listener| {
            let mut stopped = stopped.clone();
            let until = async move {
                // the sender lives as long as this function
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            tokio::spawn(server::serve(listener, app.clone(), Arc::clone(&places), limits, until, patience))
        };
        listeners.into_iter().map(serve).collect::<Vec<_>>()
    };
    let addresses: Vec<String> = sockets.images.iter().map(Listener::shown).collect();
    sockets.admin.iter().for_each(|listener| {
        tracing::info!(address = listener.shown(), "health, metrics and administration");
    });
    // places of its own: whoever looks after an overloaded server must get through to it
    let admin = serve(sockets.admin, http::admin_app(state.clone()), ADMIN_CONNECTIONS, drained);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        backends = ?crate::render::codec::BACKENDS,
        originals = %config.fixed.source.root.display(),
        cache = %config.fixed.cache.dir.display(),
        workers = service.workers().count(),
        "tintype starts"
    );
    for address in addresses {
        log.writer.push_now(format!("listening on {address}\n").as_bytes());
    }
    let images = serve(sockets.images, http::app(state.clone()), places(&config.fixed.server), stopped);
    supervisor::ready(&service);

    tokio::select! {
        () = stop_signals.next() => {}
        () = reloader.run(&mut hangup, &state) => {}
    }
    supervisor::stopping();
    state.drain();
    let delay = config.fixed.server.drain_delay.0;
    tracing::info!(?delay, "stopping: requests in flight are finished");
    let finished = async {
        // balancers that ask /-/ready look elsewhere meanwhile
        tokio::time::sleep(delay).await;
        // fails only if all servers have ended already
        let _ = stop.send(true);
        let mut all = have_finished(images).await;
        let _ = drain.send(true);
        all &= have_finished(admin).await;
        flush(service).await;
        all
    };
    tokio::select! {
        all = finished => {
            tracing::info!(all_finished = all, "stopped");
            Ok(End::Drained)
        }
        () = stop_signals.next() => {
            tracing::info!(all_finished = false, "stopped by a second signal");
            Ok(End::Now)
        }
    }
}

/// Whether all connections of these servers ended in time.
async fn have_finished(servers: Vec<JoinHandle<bool>>) -> bool {
    let mut all = true;
    for server in servers {
        all &= server.await.unwrap_or(false);
    }
    all
}

/// How many connections there may be for images.
fn places(server: &Server) -> usize {
    let possible = server::connections().saturating_sub(ADMIN_CONNECTIONS).max(4);
    match server.max_connections {
        0 => possible,
        wished => wished.min(possible),
    }
}

/// The sockets that were handed over, and those that the settings name where there are none.
async fn listen(config: &Config, handed_over: Vec<HandedOver>) -> anyhow::Result<Inherited> {
    let Server { listen, admin_listen, .. } = &config.fixed.server;
    let mut sockets = Inherited::listen(handed_over)?;
    if sockets.images.is_empty() {
        sockets.images.push(bind(&config.fixed.server, listen).await?);
    } else {
        tracing::info!(server.listen = listen, "not used: sockets come from the service manager (LISTEN_FDS)");
    }
    if sockets.admin.is_empty() && !admin_listen.is_empty() {
        sockets.admin.push(bind(&config.fixed.server, admin_listen).await?);
    }
    Ok(sockets)
}

/// Waits until all results are on disk. On a thread of its own, since a disk may hang and a second signal must still be heard.
async fn flush(service: Arc<Service>) {
    let (say, flushed) = tokio::sync::oneshot::channel();
    let flush = move || {
        service.flush();
        // the program may have ended in the meantime
        let _ = say.send(());
    };
    match std::thread::Builder::new().name("flush".into()).spawn(flush) {
        Ok(_) => drop(flushed.await),
        Err(error) => tracing::warn!(%error, "there is no thread to wait for results that are being written"),
    }
}

/// Says beforehand what would keep uploads from being taken in; images are served all the same.
fn prepare_uploads(config: &Config, service: &Service) {
    if config.live.security.admin_token.is_empty() {
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
        crate::cache::distrust(dir).context("the cache folder is not safe")?;
    }
    let mut source: Arc<dyn Source> = Arc::new(Shared::new(Arc::new(source)));
    if !config.fixed.source.revalidate.0.is_zero() {
        source = Arc::new(Remembered::new(source, config.fixed.source.revalidate.0));
    }
    Ok(Service::new(source, &config.fixed.cache(), config.fixed.workers(), config.render()))
}

async fn bind(server: &Server, address: &str) -> anyhow::Result<Listener> {
    Listener::bind(address, server.socket_mode.0).await.with_context(|| format!("cannot listen on {address}"))
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
