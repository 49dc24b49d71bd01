//! Settings read again while the program runs: what takes effect at once, and what waits for the next start.

use std::collections::BTreeSet;

use serde::Deserialize;
use toml::{Table, Value};

use super::sections::Config;
use super::{Invalid, Loaded};

/// What takes effect at once: whole sections, and settings. It is what `http` and `service` exchange as one set; a new
/// setting waits for a start until it stands here.
const LIVE: [&str; 13] = [
    "limits.max_dimension",
    "limits.max_enlarged",
    "limits.max_frames",
    "limits.max_pixels",
    "output",
    "presets",
    "security.admin_token",
    "security.admin_token_file",
    "security.keys",
    "security.keys_file",
    "security.require_signature",
    "server.server_timing",
    "source.damaged",
];

/// Whether a change of that setting takes effect at once.
pub(super) fn is_live(section: &str, key: &str) -> bool {
    LIVE.contains(&section) || LIVE.iter().any(|name| name.split_once('.') == Some((section, key)))
}

/// What a new reading comes to.
#[derive(Clone, Debug)]
pub struct Reload {
    /// The settings from now on, with what waits as it was: so the next reading is compared with what is in effect.
    pub loaded: Loaded,
    /// The settings that change, by `section.key`.
    pub applied: Vec<String>,
    /// The settings that are written otherwise now and stay as they were.
    pub waiting: Vec<String>,
}

/// Compares what is in effect with what was read anew.
///
/// # Errors
/// Where what changes does not go together with what stays.
pub fn reload(now: &Loaded, read: Loaded) -> Result<Reload, Invalid> {
    let table = |config: &Config| Table::try_from(config).map_err(|error| Invalid(error.to_string()));
    let (mut result, mut wished) = (table(&now.config)?, table(&read.config)?);
    if [now, &read].iter().all(|loaded| !loaded.origins.contains_key("cache.dir")) {
        // nobody names it: what could be written in first is no decision that changed
        copy(&result, &mut wished, "cache", "dir");
    }
    let (mut applied, mut waiting) = (Vec::new(), Vec::new());
    for (section, key) in names(&result).union(&names(&wished)) {
        if get(&result, section, key) == get(&wished, section, key) {
            continue;
        }
        if is_live(section, key) {
            copy(&wished, &mut result, section, key);
            applied.push(format!("{section}.{key}"));
        } else {
            waiting.push(format!("{section}.{key}"));
        }
    }
    let config = Config::deserialize(result).map_err(|error| Invalid(error.to_string()))?;
    config.policy().map_err(|invalid| Invalid(invalid.to_string()))?;
    Ok(Reload { loaded: Loaded { config, ..read }, applied, waiting })
}

fn names(table: &Table) -> BTreeSet<(String, String)> {
    let keys = |(section, values): (&String, &Value)| {
        let keys = values.as_table().into_iter().flat_map(Table::keys);
        keys.map(|key| (section.clone(), key.clone())).collect::<Vec<_>>()
    };
    table.iter().flat_map(keys).collect()
}

fn get<'a>(table: &'a Table, section: &str, key: &str) -> Option<&'a Value> {
    table.get(section)?.get(key)
}

/// Makes a value what it is in another table, absent if it is absent there.
fn copy(from: &Table, to: &mut Table, section: &str, key: &str) {
    let Some(Value::Table(values)) = to.get_mut(section) else { return };
    match get(from, section, key) {
        Some(value) => drop(values.insert(key.to_owned(), value.clone())),
        None => drop(values.remove(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read_text;

    #[test]
    fn every_live_setting_is_one() {
        let table = Table::try_from(Config::default()).expect("a table");
        for name in LIVE {
            let there = match name.split_once('.') {
                Some((section, key)) => get(&table, section, key).is_some(),
                None => table.contains_key(name),
            };
            assert!(there, "{name}");
        }
    }

    #[test]
    fn what_waits_stays_as_it_was() {
        let read = |text: &str| read_text(text).expect("good settings");
        let before = read("[output]\nquality = 70\n[limits]\nqueue = 5\n[presets]\na = 'w=1'\nb = 'w=2'\n");
        let after = "[output]\nquality = 60\n[limits]\nqueue = 6\nmax_pixels = 9\n[presets]\nb = 'w=3'\nc = 'w=4'\n";
        let Reload { loaded, applied, waiting } = reload(&before, read(after)).expect("good");
        assert_eq!(applied, ["limits.max_pixels", "output.quality", "presets.a", "presets.b", "presets.c"]);
        assert_eq!(waiting, ["limits.queue"]);
        assert_eq!((loaded.config.output.quality, loaded.config.limits.max_pixels), (60, 9));
        assert_eq!(loaded.config.limits.queue, 5);
        assert_eq!(loaded.config.presets.keys().collect::<Vec<_>>(), ["b", "c"]);
        // it is told each time, and what was applied is not
        let again = reload(&loaded, read(after)).expect("good");
        assert_eq!((again.applied.len(), again.waiting), (0, vec!["limits.queue".to_owned()]));
        let back = reload(&loaded, before.clone()).expect("good");
        assert!(back.waiting.is_empty());
        assert_eq!(back.loaded.config, before.config);
    }

    #[test]
    fn a_folder_that_nobody_named_is_no_change() {
        let read = |text: &str| read_text(text).expect("good settings");
        let mut now = read("");
        now.config.cache.dir = "/found/at/the/start".into();
        let Reload { loaded, applied, waiting } = reload(&now, read("")).expect("good");
        assert!(applied.is_empty() && waiting.is_empty());
        assert_eq!(loaded.config, now.config);
        let named = reload(&now, read("[cache]\ndir = '/elsewhere'\n")).expect("good");
        assert_eq!(named.waiting, ["cache.dir"]);
    }
}
