//! Fixed and live settings as one table of sections, as files and variables have them. A section may have settings of both
//! kinds; a setting's kind is known by the type that has it.

use std::sync::LazyLock;

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::{Table, Value};

use super::{FixedSettings, LiveSettings};

/// Every setting.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Settings that need a restart.
    pub fixed: FixedSettings,
    /// Settings that take effect on SIGHUP.
    pub live: LiveSettings,
}

/// Whether the keys of a section are names of the operator's own.
pub(super) fn has_own_names(section: &str) -> bool {
    matches!(section, "presets" | "overlays")
}

/// Whether a setting takes effect on SIGHUP: it is one of [`LiveSettings`]. Presets and overlays have names of the operator's own.
pub(super) fn is_live(section: &str, key: &str) -> bool {
    static LIVE: LazyLock<Table> = LazyLock::new(|| Table::try_from(LiveSettings::default()).unwrap_or_default());
    let section = section.split('.').next().unwrap_or(section);
    has_own_names(section)
        || section == "dialects"
        || LIVE.get(section).is_some_and(|settings| settings.get(key).is_some())
}

impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all = Table::try_from(&self.fixed).map_err(S::Error::custom)?;
        for (section, settings) in Table::try_from(&self.live).map_err(S::Error::custom)? {
            match (all.get_mut(&section), settings) {
                (Some(Value::Table(fixed)), Value::Table(live)) => fixed.extend(live),
                (_, settings) => drop(all.insert(section, settings)),
            }
        }
        all.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Config, D::Error> {
        let (mut fixed, mut live) = (Table::new(), Table::new());
        for (section, settings) in Table::deserialize(deserializer)? {
            let Value::Table(settings) = settings else {
                return Err(D::Error::custom(format!("{section} is not a section")));
            };
            for (key, value) in settings {
                let kind = if is_live(&section, &key) { &mut live } else { &mut fixed };
                let section = kind.entry(section.as_str()).or_insert_with(|| Table::new().into());
                if let Value::Table(settings) = section {
                    settings.insert(key, value);
                }
            }
        }
        let custom = |error: toml::de::Error| D::Error::custom(error.message());
        let fixed = FixedSettings::deserialize(fixed).map_err(custom)?;
        Ok(Config { fixed, live: LiveSettings::deserialize(live).map_err(custom)? })
    }
}
