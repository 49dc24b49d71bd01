//! SIGHUP: the settings are read again, and what can change while requests are answered changes, all of it at once.
//!
//! Settings that are wrong change nothing. Whatever was in effect stays so until there is something better.

use std::io::IsTerminal;
use std::path::PathBuf;

use tokio::signal::unix::Signal;

use super::supervisor;
use crate::config::{self, Flag, Invalid, Loaded, Reload};
use crate::http::State;

/// Where the settings come from, and what is in effect of them.
pub(super) struct Reloader {
    file: Option<PathBuf>,
    flags: Vec<Flag>,
    loaded: Loaded,
    /// Whether somebody sits before it.
    on_terminal: bool,
}

impl Reloader {
    /// For settings that were read from that file and those flags.
    pub(super) fn new(file: Option<PathBuf>, flags: Vec<Flag>, loaded: Loaded) -> Reloader {
        Reloader { file, flags, loaded, on_terminal: std::io::stdin().is_terminal() }
    }

    /// What is in effect.
    pub(super) fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Reads the settings at each signal. Ends when the signal meant that the terminal is gone, as it does to programs that
    /// know nothing else of it.
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
                    tracing::error!(%error, "the settings are wrong; those from before stay in effect");
                    format!("wrong settings were not applied: {}", error.lines().next().unwrap_or_default())
                }
            };
            supervisor::reloaded(&status);
        }
        // no signal comes any more, which is no reason to end
        std::future::pending().await
    }

    async fn reload(&mut self, state: &State) -> Result<String, Invalid> {
        let Reload { loaded, applied, waiting } = config::reload(&self.loaded, self.read().await?)?;
        let policy = loaded.config.live.policy().map_err(|invalid| Invalid::new(invalid.to_string()))?;
        warn_of(&loaded);
        state.set_live_config(policy, loaded.config.http(), loaded.config.render());
        self.loaded = loaded;
        let (applied, waiting) = (applied.join(" "), waiting.join(" "));
        tracing::info!(applied, "the settings were read again");
        if waiting.is_empty() {
            return Ok("the settings were read again".into());
        }
        tracing::warn!(settings = waiting, "changed, but in effect only after a restart");
        Ok(format!("waiting for a restart: {waiting}"))
    }

    /// All layers, as at the start. Reading may take its time (a file may be far away), and no other signal waits for it.
    async fn read(&self) -> Result<Loaded, Invalid> {
        let (say, read) = tokio::sync::oneshot::channel();
        let (file, flags) = (self.file.clone(), self.flags.clone());
        std::thread::spawn(move || {
            // whoever asked may have been told to stop
            let _ = say.send(config::load(file.as_deref(), &flags).and_then(Loaded::with_secrets));
        });
        read.await.unwrap_or_else(|_| Err(Invalid::new("they could not be read".into())))
    }
}

/// Says which files with secrets are open to everyone.
pub(super) fn warn_of(loaded: &Loaded) {
    for path in &loaded.exposed {
        tracing::warn!(path = %path.display(), "everyone on this machine may read this file, and there is a secret in it");
    }
}
