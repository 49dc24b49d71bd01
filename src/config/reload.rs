//! A reload: live settings take effect, fixed ones keep their value from the start.

use serde::Serialize;
use toml::{Table, Value};

use super::{Config, ConfigError, Loaded, overlays};

/// The result of a reload.
#[derive(Clone, Debug)]
pub struct Reload {
    /// The settings in effect: fixed ones from the start, live ones as they were read.
    pub loaded: Loaded,
    /// Live settings that change, as `section.key`.
    pub applied: Vec<String>,
    /// Fixed settings that were changed and need a restart.
    pub waiting: Vec<String>,
}

/// Takes the live settings of `read`, and lists the fixed ones that differ from those in effect.
///
/// # Errors
/// If settings cannot be serialised, to compare them.
pub fn reload(now: &Loaded, read: Loaded) -> Result<Reload, ConfigError> {
    let mut applied = changed(&now.config.live, &read.config.live)?;
    applied.extend(overlays::changed_files(&now.config.live, &read.config.live));
    let mut waiting = changed(&now.config.fixed, &read.config.fixed)?;
    if [now, &read].iter().all(|loaded| !loaded.origins.contains_key("cache.dir")) {
        // the default depends on which folders are writable, which is no change of settings
        waiting.retain(|name| name != "cache.dir");
    }
    let config = Config { fixed: now.config.fixed.clone(), live: read.config.live.clone() };
    Ok(Reload { loaded: Loaded { config, ..read }, applied, waiting })
}

/// The settings that differ, as `section.key`, sorted.
fn changed<T: Serialize>(before: &T, after: &T) -> Result<Vec<String>, ConfigError> {
    let table = |settings: &T| Table::try_from(settings).map_err(|error| ConfigError(error.to_string()));
    let (before, after) = (table(before)?, table(after)?);
    let names = |table: &Table| -> Vec<(String, String)> {
        let keys = |(section, values): (&String, &Value)| {
            let keys = values.as_table().into_iter().flat_map(Table::keys);
            keys.map(|key| (section.clone(), key.clone())).collect::<Vec<_>>()
        };
        table.iter().flat_map(keys).collect()
    };
    // a preset may exist on one side only
    let mut all = [names(&before), names(&after)].concat();
    all.sort();
    all.dedup();
    let get = |table: &Table, section: &str, key: &str| table.get(section).and_then(|values| values.get(key)).cloned();
    all.retain(|(section, key)| get(&before, section, key) != get(&after, section, key));
    Ok(all.into_iter().map(|(section, key)| format!("{section}.{key}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read_text;

    #[test]
    fn fixed_setting_keeps_its_value() {
        let read = |text: &str| read_text(text).expect("good settings");
        let before = read("[output]\nquality = 70\n[limits]\nqueue = 5\n[presets]\na = 'w=1'\nb = 'w=2'\n");
        let after = "[output]\nquality = 60\n[limits]\nqueue = 6\nmax_pixels = 9\n[presets]\nb = 'w=3'\nc = 'w=4'\n";
        let Reload { loaded, applied, waiting } = reload(&before, read(after)).expect("good");
        assert_eq!(applied, ["limits.max_pixels", "output.quality", "presets.a", "presets.b", "presets.c"]);
        assert_eq!(waiting, ["limits.queue"]);
        assert_eq!((loaded.config.live.output.quality, loaded.config.live.limits.max_pixels), (60, 9));
        assert_eq!(loaded.config.fixed.limits.queue, 5);
        assert_eq!(loaded.config.live.presets.keys().collect::<Vec<_>>(), ["b", "c"]);
        // a fixed one is reported each time, an applied one once
        let again = reload(&loaded, read(after)).expect("good");
        assert_eq!((again.applied.len(), again.waiting), (0, vec!["limits.queue".to_owned()]));
        let back = reload(&loaded, before.clone()).expect("good");
        assert!(back.waiting.is_empty());
        assert_eq!(back.loaded.config, before.config);
    }

    #[test]
    fn default_cache_dir_is_no_change() {
        let read = |text: &str| read_text(text).expect("good settings");
        let mut now = read("");
        now.config.fixed.cache.dir = "/found/at/the/start".into();
        let Reload { loaded, applied, waiting } = reload(&now, read("")).expect("good");
        assert!(applied.is_empty() && waiting.is_empty());
        assert_eq!(loaded.config, now.config);
        let named = reload(&now, read("[cache]\ndir = '/elsewhere'\n")).expect("good");
        assert_eq!(named.waiting, ["cache.dir"]);
    }
}
