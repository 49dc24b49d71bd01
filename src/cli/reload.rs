//! SIGHUP: reads the settings again and applies the live ones, all at once. Invalid settings change nothing.

use std::io::IsTerminal;
use std::path::PathBuf;

use tokio::signal::unix::Signal;

use super::supervisor;
use crate::config::{self, ConfigError, Flag, Loaded, Reload};
use crate::http::State;

/// The sources of the settings, and the settings in effect.
pub(super) struct Reloader {
    file: Option<PathBuf>,
    flags: Vec<Flag>,
    loaded: Loaded,
    /// Whether standard input is a terminal.
    on_terminal: bool,
}

impl Reloader {
    /// `loaded` are the settings of that file and those flags.
    pub(super) fn new(file: Option<PathBuf>, flags: Vec<Flag>, loaded: Loaded) -> Reloader {
        Reloader { file, flags, loaded, on_terminal: std::io::stdin().is_terminal() }
    }

    /// The settings in effect.
    pub(super) fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Reloads at each signal. Returns when the signal means that the terminal was closed.
    pub(super) async fn run(&mut self, hangup: &mut Signal, state: &State) {
        while hangup.recv().await.is_some() {
            if self.on_terminal && !std::io::stdin().is_terminal() {
                return;
            }
            supervisor::reloading();
            let status = match self.reload(state).await {
                Ok(status) => status,
                Err(invalid) => {
                    let error = invalid.to_string();
                    tracing::error!(%error, "invalid settings were not applied; the previous ones stay in effect");
                    format!("invalid settings were not applied: {}", error.lines().next().unwrap_or_default())
                }
            };
            supervisor::reloaded(&status);
        }
        // without signals there is nothing to do, and no reason to stop the service
        std::future::pending().await
    }

    async fn reload(&mut self, state: &State) -> Result<String, ConfigError> {
        let Reload { loaded, applied, waiting } = config::reload(&self.loaded, self.read().await?)?;
        let config = loaded.config.clone();
        let live =
            on_thread(move || config.live_http().map_err(|invalid| ConfigError::new(invalid.to_string()))).await?;
        warn_world_readable(&loaded);
        state.set_live_config(live, loaded.config.render(), loaded.config.upgrades());
        self.loaded = loaded;
        let (applied, waiting) = (applied.join(" "), waiting.join(" "));
        tracing::info!(applied, "settings reloaded");
        if waiting.is_empty() {
            return Ok("settings reloaded".into());
        }
        tracing::warn!(settings = waiting, "changed settings need a restart");
        Ok(format!("settings reloaded; a restart is needed for: {waiting}"))
    }

    /// Reads all layers, as at the start.
    async fn read(&self) -> Result<Loaded, ConfigError> {
        let (file, flags) = (self.file.clone(), self.flags.clone());
        on_thread(move || config::load(file.as_deref(), &flags).and_then(Loaded::with_secrets)).await
    }
}

/// The result of a function that reads files, on a thread of its own, since a file may be on a slow network file system.
async fn on_thread<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ConfigError> + Send + 'static,
) -> Result<T, ConfigError> {
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // fails if the service is stopping
        let _ = done.send(read());
    });
    result.await.unwrap_or_else(|_| Err(ConfigError::new("they could not be read".into())))
}

/// Warns of files with secrets that every user may read.
pub(super) fn warn_world_readable(loaded: &Loaded) {
    for path in &loaded.world_readable {
        tracing::warn!(path = %path.display(), "a file with secrets is world-readable");
    }
}
