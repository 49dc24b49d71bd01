//! Merges the layers of settings: defaults, file, environment, flags.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use super::reference::FOLDER;
use super::table::has_own_names;
use super::validate::validate;
use super::{Config, ConfigError, Flag, Loaded, Origin, environment, origin};
use crate::dialect;

pub(super) fn merge(
    file: Option<(&Path, String)>, environment: Vec<(String, String)>, flags: &[Flag],
) -> Result<Loaded, ConfigError> {
    let mut table = Table::try_from(Config::default()).map_err(|error| ConfigError(error.to_string()))?;
    let mut origins = BTreeMap::new();
    let has_file = file.is_some();
    if let Some((path, text)) = file {
        merge_file(&mut table, &mut origins, path, &text)?;
    }
    let (unknown_env, service_links) = merge_environment(&mut table, &mut origins, environment)?;
    for (section, key, text, flag) in flags {
        let value = environment::value_of(&table, section, key, text);
        set(&mut table, &mut origins, section, key, value, Origin::Flag(flag))?;
    }
    let mut config: Config = deserialize(&table, &origins)?;
    // keys require signatures unless it is set otherwise
    let has_keys = !config.live.security.keys.is_empty() || !config.live.security.keys_file.as_os_str().is_empty();
    if has_keys && !origins.contains_key("security.require_signature") {
        config.live.security.require_signature = true;
    }
    if !has_file && is_trial(&config, &origins) {
        config.fixed.server.playground = true;
        origins.insert("server.playground".into(), Origin::Flag(FOLDER));
    }
    origin::complete(&mut config, &origins)?;
    validate(&config)?;
    let empty = config.live.security.keys.is_empty();
    if let Some(Origin::Environment(name)) = origins.get("security.keys").filter(|_| empty) {
        // a variable that a script failed to fill would leave URLs unsigned
        return Err(ConfigError(format!("${name} is empty; remove the variable if there are no keys")));
    }
    Ok(Loaded {
        config,
        origins,
        unknown_env,
        service_links,
        world_readable: Vec::new(),
        unreadable_secrets: Vec::new(),
    })
}

/// Merges the sections of a file.
fn merge_file(
    table: &mut Table, origins: &mut BTreeMap<String, Origin>, path: &Path, text: &str,
) -> Result<(), ConfigError> {
    let sections = text.parse::<Table>().map_err(|error| syntax_error(path, text, &error))?;
    for (section, values) in sections {
        let origin = Origin::File(path.to_owned());
        let Value::Table(values) = values else {
            return Err(ConfigError(format!("{origin}: {section} is not in a section")));
        };
        // checked for an empty section as well
        check_section(table, &section, &origin)?;
        for (key, value) in values {
            let origin = origin.clone();
            set(table, origins, &section, &key, value, origin)?;
        }
    }
    Ok(())
}

/// The error for a file that is not TOML, without the line itself: it may contain a secret, and errors are logged.
fn syntax_error(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let before = error.span().and_then(|span| text.get(..span.start));
    let place = before.map(|before| {
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!(" at line {line}, column {column}")
    });
    let (path, place) = (path.display(), place.unwrap_or_default());
    ConfigError(format!("{path}: TOML parse error{place}: {}", without_value(error.message())))
}

/// Merges environment variables; returns the names of unknown ones, and of those that a platform sets for its services.
fn merge_environment(
    table: &mut Table, origins: &mut BTreeMap<String, Origin>, environment: Vec<(String, String)>,
) -> Result<(Vec<String>, Vec<String>), ConfigError> {
    let (mut unknown_env, mut service_links) = (Vec::new(), Vec::new());
    for (name, text) in environment {
        // Compose files and charts pass unset variables as empty ones
        if text.is_empty() && name != environment::KEYS {
            continue;
        }
        // any name could be one of a preset or an overlay
        let setting = environment::split(&name, table);
        if setting.as_ref().is_none_or(|(section, _)| has_own_names(section))
            && environment::is_service_link(&name, &text)
        {
            service_links.push(name);
            continue;
        }
        let Some((section, key)) = setting else {
            if environment::is_misspelt(&name, table) {
                return Err(environment::unknown(&name, table));
            }
            // a script may use that prefix for variables of its own
            unknown_env.push(name);
            continue;
        };
        let value = environment::value_of(table, &section, &key, &text);
        set(table, origins, &section, &key, value, Origin::Environment(name))?;
    }
    Ok((unknown_env, service_links))
}

/// Whether `tintype serve FOLDER` tries the program out on this machine: the playground is not set, and no other machine reaches
/// the server.
fn is_trial(config: &Config, origins: &BTreeMap<String, Origin>) -> bool {
    let server = &config.fixed.server;
    let is_local = |address: &str| {
        address.parse::<std::net::SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
            || address.rsplit_once(':').is_some_and(|(host, _)| host == "localhost")
    };
    let has_folder = origins.get("source.root") == Some(&Origin::Flag(FOLDER));
    has_folder
        && !origins.contains_key("server.playground")
        && is_local(&server.listen)
        && (server.admin_listen.is_empty() || is_local(&server.admin_listen))
}

/// Checks that a section exists.
fn check_section(table: &Table, section: &str, origin: &Origin) -> Result<(), ConfigError> {
    if table.contains_key(section) {
        return Ok(());
    }
    let nearest = dialect::nearest(section, table.keys().map(String::as_str));
    let hint = nearest.map(|nearest| format!("; did you mean [{nearest}]?")).unwrap_or_default();
    Err(ConfigError(format!("{origin}: there is no section [{section}]{hint}")))
}

/// Sets a value, if there is such a setting.
fn set(
    table: &mut Table, origins: &mut BTreeMap<String, Origin>, section: &str, key: &str, value: Value, origin: Origin,
) -> Result<(), ConfigError> {
    check_section(table, section, &origin)?;
    let Some(Value::Table(values)) = table.get_mut(section) else { return Ok(()) };
    if !has_own_names(section) && !values.contains_key(key) {
        let nearest = dialect::nearest(key, values.keys().map(String::as_str));
        let hint = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
        return Err(ConfigError(format!("{origin}: there is no setting {section}.{key}{hint}")));
    }
    if section == "presets" && !value.is_str() {
        let like = format!("{key} = \"width=96&height=96\"");
        return Err(ConfigError(format!(
            "{origin}: presets.{key} is invalid: a preset is a string of parameters, such as {like}"
        )));
    }
    if section == "overlays" && !value.is_str() {
        return Err(ConfigError(format!(
            "{origin}: overlays.{key} is invalid: it is the path of a picture, as a string"
        )));
    }
    values.insert(key.to_owned(), value);
    origins.insert(format!("{section}.{key}"), origin);
    Ok(())
}

/// Deserializes the table. If that fails, values are deserialized one by one, to name the invalid one.
fn deserialize(table: &Table, origins: &BTreeMap<String, Origin>) -> Result<Config, ConfigError> {
    let error = match Config::deserialize(table.clone()) {
        Ok(config) => return Ok(config),
        Err(error) => error,
    };
    for (name, origin) in origins {
        let Some((section, key)) = name.split_once('.') else { continue };
        let Some(value) = table.get(section).and_then(|values| values.get(key)) else { continue };
        let alone = Table::from_iter([(key.to_owned(), value.clone())]);
        let alone = Table::from_iter([(section.to_owned(), Value::Table(alone))]);
        if let Err(error) = Config::deserialize(alone) {
            let message = without_types(error.message());
            let message = if is_secret(name) { without_value(&message) } else { message.as_str() };
            return Err(ConfigError(format!("{origin}: {name} is invalid: {message}")));
        }
    }
    Err(ConfigError(error.to_string()))
}

/// Whether a setting is one that [`Config::without_secrets`] hides, or a section with such a setting.
fn is_secret(name: &str) -> bool {
    const SECRETS: [&str; 9] = [
        "source.url",
        "source.secret_key",
        "shared.secret_key",
        "shared.key",
        "security.keys",
        "security.admin_token",
        "dialects.imgproxy",
        "dialects.thumbor",
        "dialects.imgix",
    ];
    SECRETS.contains(&name)
}

/// Serde's message without the value, which is in front of what is expected.
fn without_value(message: &str) -> &str {
    let has_value = ["invalid type: ", "invalid value: "].iter().any(|kind| message.starts_with(kind));
    match message.rfind("expected ") {
        Some(at) if has_value => &message[at..],
        _ => message,
    }
}

/// Replaces the Rust types in serde's message by ranges.
fn without_types(message: &str) -> String {
    let ranges = [
        ("u8", "0 to 255"),
        ("u16", "0 to 65535"),
        ("u32", "0 to 4294967295"),
        ("u64", "0 or more"),
        ("usize", "0 or more"),
        ("f32", "a number"),
        ("f64", "a number"),
        ("a boolean", "true or false"),
    ];
    let meant = ranges.iter().find_map(|(kind, range)| Some((message.strip_suffix(kind)?, range)));
    match meant.filter(|(rest, _)| rest.ends_with("expected ")) {
        Some((rest, range)) => format!("{rest}{range}"),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests;
