//! Settings: defaults, then a TOML file, then the environment, then flags; each value knows where it came from.
//!
//! Settings are of two types: [`FixedSettings`] stay as they were at the start, [`LiveSettings`] change on SIGHUP. This is
//! the only file that reads the environment. The defaults are a value of the same type as the result, so every
//! key exists once: unknown keys are told from known ones by looking there.

mod environment;
pub mod fixed;
mod layers;
pub mod live;
mod modules;
mod reference;
mod reload;
mod secrets;
mod table;
mod units;
mod validate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use fixed::FixedSettings;
pub use live::LiveSettings;
pub use reference::{FLAGS, Setting, default_file, settings};
pub use reload::{Reload, reload};
pub use table::Config;
pub use units::{Bytes, Mode, Span, StringList};

use crate::cache;
use layers::merge;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
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

/// A settings problem, with what was being read and what would have been right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    /// A problem in those words.
    pub fn new(what: String) -> ConfigError {
        ConfigError(what)
    }
}

/// Settings with the origin of each, by `section.key`.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Where each key's value came from; what is absent is a default.
    pub origins: BTreeMap<String, Origin>,
    /// Variables of the environment that begin like settings and are none.
    pub unknown_env: Vec<String>,
    /// Variables that Kubernetes and Docker make for services whose names begin like ours.
    pub service_links: Vec<String>,
    /// Files with secrets in them that everyone may read.
    pub world_readable: Vec<PathBuf>,
    /// Secrets that are not for this process, each in a sentence: what can do without them goes on.
    pub unreadable_secrets: Vec<String>,
}

impl Loaded {
    /// The same for whoever needs the secrets.
    ///
    /// # Errors
    /// Where one is unreadable_secrets.
    pub fn with_secrets(self) -> Result<Loaded, ConfigError> {
        match self.unreadable_secrets.first() {
            Some(why) => Err(ConfigError(why.clone())),
            None => Ok(self),
        }
    }
}

/// A value from the command line: its section, key, text and the flag's name.
pub type Flag = (&'static str, &'static str, String, &'static str);

/// Reads all layers: defaults, the file if there is one, this process's environment, flags.
///
/// # Errors
/// [`ConfigError`] at the first key or value that is wrong.
pub fn load(file: Option<&Path>, flags: &[Flag]) -> Result<Loaded, ConfigError> {
    let environment = environment::ours(std::env::vars_os())?;
    let text = file.map(|path| {
        let text = std::fs::read_to_string(path);
        text.map(|text| (path, text))
            .map_err(|error| ConfigError(format!("{} cannot be read: {error}", path.display())))
    });
    let mut loaded = merge(text.transpose()?, environment, flags)?;
    if !loaded.origins.contains_key("cache.dir") {
        let cache = &mut loaded.config.fixed.cache;
        cache.dir = default_cache_dir(std::mem::take(&mut cache.dir));
    }
    secrets::read(&mut loaded, std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).as_deref())?;
    Ok(loaded)
}

/// Reads the text of a settings file and nothing else, not even the files that it names; for tests.
#[doc(hidden)]
pub fn read_text(text: &str) -> Result<Loaded, ConfigError> {
    merge(Some((Path::new("settings"), text.to_owned())), Vec::new(), &[])
}

/// systemd's `$CACHE_DIRECTORY`, then the usual place, then the user's own, whichever can be written first.
fn default_cache_dir(usual: PathBuf) -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let own =
        variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache"))).map(|dir| dir.join("tintype"));
    let candidates = [variable("CACHE_DIRECTORY"), Some(usual.clone()), own];
    candidates.into_iter().flatten().find(|dir| cache::preflight::is_usable(dir)).unwrap_or(usual)
}
