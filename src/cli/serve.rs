//! `tintype serve`: runs the service until a signal stops it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::build;
use super::log::Log;
use super::reload::{self, Reloader};
use super::sockets::{self, PassedSocket, Sockets};
use super::{Common, UsageError, supervisor};
use crate::config::fixed::Server;
use crate::config::{Config, FLAGS, FOLDER, FixedSettings, Flag, Loaded, Origin};
use crate::http::server::{self, Listener};
use crate::http::{self, App, Playground, State};
use crate::service::Service;

/// The end of `tintype serve --help`.
const HELP: &str = "\
Variables:
  TINTYPE_SECTION_KEY    A setting, such as TINTYPE_LIMITS_WORKERS; tintype config --default lists all
  RUST_LOG               What is logged, such as info,tintype::http=debug [default: info]
  CREDENTIALS_DIRECTORY  Folder of secrets that systemd passes (LoadCredential=)
  LISTEN_FDS             Sockets that systemd passes
  NOTIFY_SOCKET          Where systemd is told that the service is ready

Signals:
  SIGHUP                 Read the settings again
  SIGTERM, SIGINT        Finish requests in flight, within server.shutdown_timeout, and exit; the second one exits at once

A setting is taken from the option, else from the variable, else from the file, else it has its default.";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The folder of originals [env: TINTYPE_SOURCE_ROOT] [default: .]
    folder: Option<PathBuf>,
    /// Address to listen on: host:port or unix:/path [env: TINTYPE_SERVER_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Folder of the cache; "none" for memory only [env: TINTYPE_CACHE_DIR] [default: /var/cache/tintype, or the user's]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Maximum size of the cache, such as 10GiB [env: TINTYPE_CACHE_MAX_BYTES] [default: 10GiB]
    #[arg(long, value_name = "SIZE")]
    cache_size: Option<String>,
    #[command(flatten)]
    common: Common,
}

impl Arguments {
    fn flags(&self) -> Result<Vec<Flag>, UsageError> {
        let path = |path: &Option<PathBuf>| match path {
            None => Ok(None),
            Some(path) => match path.to_str() {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(UsageError(format!("{} is not valid UTF-8", path.display()))),
            },
        };
        // in the order of FLAGS
        let given = [path(&self.folder)?, self.listen.clone(), path(&self.cache_dir)?, self.cache_size.clone()];
        let flags = FLAGS.into_iter().zip(given);
        Ok(flags.filter_map(|((section, key, flag), text)| Some((section, key, text?, flag))).collect())
    }
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let passed = sockets::passed_sockets()?;
    let flags = arguments.flags()?;
    let loaded = arguments.common.load(&flags)?.with_secrets().map_err(UsageError::from)?;
    let log = Log::start().context("cannot write the log")?;
    if !loaded.unknown_env.is_empty() {
        tracing::warn!(variables = loaded.unknown_env.join(" "), "ignored: no settings have these names");
    }
    if !loaded.service_links.is_empty() {
        let variables = loaded.service_links.join(" ");
        tracing::debug!(variables, "ignored: Kubernetes service variables");
    }
    reload::warn_world_readable(&loaded);
    let reloader = Reloader::new(arguments.common.config, flags, loaded);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(reloader, passed, &log));
    let wait = match result {
        Ok(End::Now) => SHORT_WAIT,
        Ok(End::Drained) | Err(_) => LAST_WAIT,
    };
    // bounded, since renders without a client and a log that is not read may take for ever
    runtime.shutdown_timeout(wait);
    log.writer.flush(wait);
    result.map(drop)
}

/// How long the process waits at its end for running renders, and then for log lines, each.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// The same after a second signal.
const SHORT_WAIT: Duration = Duration::from_millis(100);

/// How the service ended.
enum End {
    /// Requests in flight finished, or reached `shutdown_timeout`.
    Drained,
    /// A second signal ended the wait.
    Now,
}

/// SIGTERM and SIGINT.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> std::io::Result<StopSignals> {
        Ok(StopSignals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Connections reserved for the listener of health, metrics and administration.
const ADMIN_CONNECTIONS: usize = 8;

async fn serve(mut reloader: Reloader, passed: Vec<PassedSocket>, log: &Log) -> anyhow::Result<End> {
    // first of all: SIGHUP ends the program until there is a handler for it
    let mut hangup = signal(SignalKind::hangup())?;
    let mut stop_signals = StopSignals::listen()?;
    let config = reloader.loaded().config.clone();
    let service = build::service(&config)?;
    if config.fixed.security.upload {
        prepare_uploads(&config, &service);
    }
    let sockets = listen(&config.fixed.server, passed).await?;
    let state = state(reloader.loaded(), &service, &sockets, log)?;
    // connections wait meanwhile
    service.follow_purges().await;
    let servers = Servers::start(sockets, &state, &config.fixed, &service, log);
    tokio::spawn(state.clone().keep_history());
    supervisor::ready(&service);

    tokio::select! {
        () = stop_signals.next() => {}
        () = reloader.run(&mut hangup, &state) => {}
    }
    supervisor::stopping();
    state.drain();
    let delay = config.fixed.server.drain_delay.0;
    tracing::info!(?delay, "stopping: requests in flight are finished");
    tokio::select! {
        all = servers.stop(delay, service) => {
            tracing::info!(all_finished = all, "stopped");
            Ok(End::Drained)
        }
        () = stop_signals.next() => {
            tracing::info!(all_finished = false, "stopped by a second signal");
            Ok(End::Now)
        }
    }
}

fn state(loaded: &Loaded, service: &Arc<Service>, sockets: &Sockets, log: &Log) -> anyhow::Result<State> {
    let config = &loaded.config;
    let live = config.live_http().map_err(|invalid| UsageError(invalid.to_string()))?;
    let mut http = config.fixed.http();
    http.separate_admin |= !sockets.admin.is_empty();
    if loaded.origins.get("server.playground") == Some(&Origin::Flag(FOLDER)) {
        // the address that was looked at is not the one of a passed socket
        http.playground = if sockets.are_passed { Playground::Off } else { Playground::Local };
    }
    Ok(State::new(Arc::clone(service), http, live).with_access_log(Arc::clone(&log.writer), log.as_json))
}

/// The servers of both apps, which stop one after the other.
struct Servers {
    images: Tasks,
    admin: Tasks,
}

impl Servers {
    fn start(sockets: Sockets, state: &State, config: &FixedSettings, service: &Service, log: &Log) -> Servers {
        let addresses: Vec<String> = sockets.images.iter().map(Listener::shown).collect();
        sockets.admin.iter().for_each(|listener| {
            tracing::info!(address = listener.shown(), "health, metrics and administration");
        });
        // permits of its own: an overloaded server must still answer the operator
        let admin = Tasks::start(sockets.admin, &http::admin_app(state.clone()), ADMIN_CONNECTIONS, config);
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            backends = ?crate::render::BACKENDS,
            originals = build::originals(config),
            cache = %config.cache.dir.display(),
            workers = service.workers().count(),
            "tintype starts"
        );
        for address in addresses {
            log.writer.push_now(format!("listening on {address}\n").as_bytes());
        }
        let permits = max_connections(&config.server);
        Servers { images: Tasks::start(sockets.images, &http::app(state.clone()), permits, config), admin }
    }

    /// Finishes requests in flight and writes results to disk; returns whether all requests finished in time. The admin
    /// app stops last, so that `/-/ready` answers 503 until then.
    async fn stop(self, delay: Duration, service: Arc<Service>) -> bool {
        // load balancers that ask /-/ready send requests elsewhere meanwhile
        tokio::time::sleep(delay).await;
        let images = self.images.stop().await;
        let admin = self.admin.stop().await;
        flush(service).await;
        images && admin
    }
}

/// The servers of one app, a task for each listener.
struct Tasks {
    tasks: Vec<JoinHandle<bool>>,
    stop: watch::Sender<bool>,
}

impl Tasks {
    /// `permits` is the maximum number of connections, over all listeners.
    fn start(listeners: Vec<Listener>, app: &App, permits: usize, config: &FixedSettings) -> Tasks {
        let (stop, stopped) = watch::channel(false);
        let permits = Arc::new(Semaphore::new(permits));
        let serve = |listener| {
            let mut stopped = stopped.clone();
            let until = async move {
                // fails only if the sender is gone, which stops the server as well
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            let (timeouts, shutdown) = (config.connections(), config.server.shutdown_timeout.0);
            tokio::spawn(server::serve(listener, app.clone(), Arc::clone(&permits), timeouts, until, shutdown))
        };
        Tasks { tasks: listeners.into_iter().map(serve).collect(), stop }
    }

    /// Returns whether all requests finished within `shutdown_timeout`.
    async fn stop(self) -> bool {
        // fails only if all servers have ended already
        let _ = self.stop.send(true);
        let mut all = true;
        for task in self.tasks {
            all &= task.await.unwrap_or(false);
        }
        all
    }
}

/// The maximum number of connections for images, within the process's limit on open files.
fn max_connections(server: &Server) -> usize {
    let possible = server::max_connections().saturating_sub(ADMIN_CONNECTIONS).max(4);
    match server.max_connections {
        0 => possible,
        configured => configured.min(possible),
    }
}

/// The sockets that the service manager passed, or else those of the settings.
async fn listen(server: &Server, passed: Vec<PassedSocket>) -> anyhow::Result<Sockets> {
    let Server { listen, admin_listen, .. } = server;
    let mut sockets = Sockets::listen(passed)?;
    if sockets.images.is_empty() {
        sockets.images.push(bind(server, listen).await?);
    } else {
        tracing::info!(server.listen = listen, "not used: sockets come from the service manager (LISTEN_FDS)");
    }
    if sockets.admin.is_empty() && !admin_listen.is_empty() {
        sockets.admin.push(bind(server, admin_listen).await?);
    }
    Ok(sockets)
}

/// Waits until all results are on disk; on a thread of its own, since a disk may hang and a second signal must still end
/// the process.
async fn flush(service: Arc<Service>) {
    let (done, flushed) = tokio::sync::oneshot::channel();
    let flush = move || {
        service.flush();
        // the process may be ending in the meantime
        let _ = done.send(());
    };
    match std::thread::Builder::new().name("flush".into()).spawn(flush) {
        Ok(_) => drop(flushed.await),
        Err(error) => tracing::warn!(%error, "cannot start a thread to flush the cache; results in flight may be lost"),
    }
}

/// Removes unfinished uploads, and logs what would make uploads fail. Images are served in any case.
fn prepare_uploads(config: &Config, service: &Service) {
    if config.live.security.admin_token.is_empty() {
        tracing::warn!("security.upload does nothing without a security.admin_token");
    }
    match service.sweep_uploads() {
        Ok(0) => {}
        Ok(swept) => tracing::info!(files = swept, "removed unfinished uploads of a killed process"),
        Err(error) => tracing::warn!(%error, "uploads are disabled: the staging folder cannot be used"),
    }
}

async fn bind(server: &Server, address: &str) -> anyhow::Result<Listener> {
    Listener::bind(address, server.socket_mode.0).await.with_context(|| format!("cannot listen on {address}"))
}
