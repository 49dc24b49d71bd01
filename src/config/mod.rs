//! Settings: defaults, overridden by a TOML file, the environment and flags; each value has its origin.
//!
//! Settings are of two types: [`FixedSettings`] stay as they were at the start, [`LiveSettings`] change on SIGHUP. This is
//! the only file that reads the environment. The defaults are a value of the same type as the result, so every
//! key exists once: unknown keys are told from known ones by looking there.

mod buckets;
pub mod dialects;
mod environment;
mod fallback;
mod files;
pub mod fixed;
mod layers;
pub mod live;
mod modules;
mod mounts;
mod origin;
mod overlays;
mod reference;
mod reload;
mod secrets;
mod table;
mod units;
mod validate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use fallback::InvalidFallback;
pub use fixed::FixedSettings;
pub use live::LiveSettings;
pub use modules::InvalidPolicy;
pub use mounts::InvalidDialect;
pub use overlays::OverlaySetting;
pub use reference::{FLAGS, FOLDER, Setting, default_file, settings};
pub use reload::{Reload, reload};
pub use table::Config;
pub use units::{Bytes, CpuTime, Mode, Span, StringList};

use crate::cache;
use layers::merge;

/// The origin of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is not set.
    Default,
    /// The settings file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag on the command line.
    Flag(&'static str),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Environment(name) => write!(f, "${name}"),
            Origin::Flag(name) => f.write_str(name),
        }
    }
}

/// An invalid setting; the message names the setting, its origin and what is valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    /// An error with that message.
    pub fn new(message: String) -> ConfigError {
        ConfigError(message)
    }
}

/// Settings with the origin of each, by `section.key`.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The origin of each key; a missing key has its default.
    pub origins: BTreeMap<String, Origin>,
    /// Environment variables with the prefix of settings that are no settings.
    pub unknown_env: Vec<String>,
    /// Environment variables that Kubernetes and Docker set for services named like tintype.
    pub service_links: Vec<String>,
    /// Files with secrets that every user may read.
    pub world_readable: Vec<PathBuf>,
    /// Secrets that this process may not read, each in a sentence; commands that need no secrets go on.
    pub unreadable_secrets: Vec<String>,
}

impl Loaded {
    /// For commands that need the secrets.
    ///
    /// # Errors
    /// If a secret cannot be read.
    pub fn with_secrets(self) -> Result<Loaded, ConfigError> {
        match self.unreadable_secrets.first() {
            Some(why) => Err(ConfigError(why.clone())),
            None => Ok(self),
        }
    }
}

/// A value of the command line: section, key, text and name of the flag.
pub type Flag = (&'static str, &'static str, String, &'static str);

/// Reads all layers: defaults, the file if there is one, this process's environment, flags.
///
/// # Errors
/// [`ConfigError`] at the first invalid key or value.
pub fn load(file: Option<&Path>, flags: &[Flag]) -> Result<Loaded, ConfigError> {
    let environment = environment::ours(std::env::vars_os())?;
    let text = file.map(|path| {
        let text = std::fs::read_to_string(path);
        text.map(|text| (path, text)).map_err(|error| ConfigError(format!("cannot read {}: {error}", path.display())))
    });
    let mut loaded = merge(text.transpose()?, environment, flags)?;
    if !loaded.origins.contains_key("cache.dir") {
        let cache = &mut loaded.config.fixed.cache;
        cache.dir = default_cache_dir(std::mem::take(&mut cache.dir));
    }
    fallback::resolve(&mut loaded);
    secrets::read(&mut loaded, std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).as_deref())?;
    overlays::read(&mut loaded)?;
    Ok(loaded)
}

/// The value of `RUST_LOG`, which selects the lines that are logged, unless it is empty.
pub fn log_filter() -> Option<String> {
    std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty())
}

/// Reads the text of a settings file only, without the files that it names; for tests.
#[doc(hidden)]
pub fn read_text(text: &str) -> Result<Loaded, ConfigError> {
    merge(Some((Path::new("settings"), text.to_owned())), Vec::new(), &[])
}

/// The first writable folder of systemd's `$CACHE_DIRECTORY`, the default and the user's cache folder.
fn default_cache_dir(default: PathBuf) -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let own =
        variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache"))).map(|dir| dir.join("tintype"));
    let candidates = [variable("CACHE_DIRECTORY"), Some(default.clone()), own];
    candidates.into_iter().flatten().find(|dir| cache::preflight::is_usable(dir)).unwrap_or(default)
}
