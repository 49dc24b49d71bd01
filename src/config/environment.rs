//! Environment variables: settings, misspelt settings, and variables of other programs.

use std::ffi::OsString;

use toml::{Table, Value};

use super::ConfigError;
use super::table::has_own_names;
use crate::dialect;

/// The one variable that must not be empty, since that would leave URLs unsigned.
pub(super) const KEYS: &str = "TINTYPE_SECURITY_KEYS";

const PREFIX: &str = "TINTYPE_";

/// The variables with the prefix of settings.
pub(super) fn ours(all: impl Iterator<Item = (OsString, OsString)>) -> Result<Vec<(String, String)>, ConfigError> {
    let mut ours = Vec::new();
    for (name, text) in all {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let Ok(text) = text.into_string() else { return Err(ConfigError(format!("${name} is not valid UTF-8"))) };
        ours.push((name.to_owned(), text));
    }
    Ok(ours)
}

/// Whether Kubernetes sets such a variable for a service named like ours (`tintype`, `tintype-server`), as Docker does for
/// links: `…_SERVICE_HOST`, `…_SERVICE_PORT`, `…_SERVICE_PORT_NAME`, `…_PORT=tcp://…`, `…_PORT_80_TCP`, `…_PORT_80_TCP_ADDR`.
pub(super) fn is_service_link(name: &str, text: &str) -> bool {
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| text.starts_with(scheme));
    if name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || name.ends_with("_PORT") && is_url {
        return true;
    }
    name.match_indices("_PORT_").any(|(at, port)| {
        let mut words = name[at + port.len()..].split('_');
        let is_port = words.next().is_some_and(|port| port.parse::<u16>().is_ok());
        is_port
            && matches!(words.next(), Some("TCP" | "UDP" | "SCTP"))
            && matches!((words.next(), words.next()), (None, _) | (Some("ADDR" | "PORT" | "PROTO"), None))
    })
}

/// Splits `TINTYPE_SECTION_KEY`. Both may contain underscores, so it is matched against the sections.
pub(super) fn split(name: &str, table: &Table) -> Option<(String, String)> {
    let rest = name.strip_prefix("TINTYPE_")?.to_ascii_lowercase();
    let (section, values) = table
        .iter()
        .find(|(section, _)| rest.strip_prefix(section.as_str()).is_some_and(|rest| rest.starts_with('_')))?;
    let key = rest[section.len() + 1..].to_owned();
    (has_own_names(section) || values.get(&key).is_some()).then(|| (section.clone(), key))
}

/// Whether a variable is a misspelt setting: it names a section, or nearly a setting.
pub(super) fn is_misspelt(name: &str, table: &Table) -> bool {
    let lower = name.to_ascii_lowercase();
    let names_section = table.keys().any(|section| lower.starts_with(&format!("tintype_{section}_")));
    names_section || nearest_variable(name, table).is_some()
}

/// The variable that was probably meant: the one with that key if the section is missing, or the one with the nearest name.
fn nearest_variable(name: &str, table: &Table) -> Option<String> {
    let named = |section: &str, key: &str| format!("tintype_{section}_{key}");
    let alone = name.to_ascii_lowercase();
    let alone = alone.strip_prefix("tintype_").unwrap_or(&alone);
    // TINTYPE_URL is what scripts call the address of a running server
    let is_setting = |values: &Value| alone != "url" && values.get(alone).is_some();
    if let Some((section, _)) = table.iter().find(|(_, values)| is_setting(values)) {
        return Some(named(section, alone));
    }
    let known: Vec<String> = table
        .iter()
        .flat_map(|(section, values)| {
            let keys = values.as_table().into_iter().flat_map(Table::keys);
            keys.map(move |key| named(section, key))
        })
        .collect();
    dialect::nearest(name, known.iter().map(String::as_str)).map(str::to_owned)
}

pub(super) fn unknown(name: &str, table: &Table) -> ConfigError {
    let nearest = nearest_variable(name, table);
    let hint = nearest.map(|nearest| format!("; did you mean {}?", nearest.to_ascii_uppercase())).unwrap_or_default();
    ConfigError(format!("${name}: there is no such setting{hint}"))
}

/// Parses the value of a setting as the type of its default. Lists are separated by commas.
pub(super) fn value_of(table: &Table, section: &str, key: &str, text: &str) -> Value {
    let default = table.get(section).and_then(|values| values.get(key));
    let one = |default: Option<&Value>, text: &str| match default {
        Some(Value::Boolean(_)) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(Value::Boolean(true)),
            "false" | "no" | "off" | "0" => Some(Value::Boolean(false)),
            _ => None,
        },
        Some(Value::Integer(_)) => text.replace('_', "").parse().ok().map(Value::Integer),
        _ => None,
    };
    if let Some(Value::Array(_)) = default {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        // the only list of numbers; deserialization reports what is not a number. A key may consist of digits
        let is_numbers = (section, key) == ("output", "widths");
        let number = |item: &str| item.parse().ok().filter(|_| is_numbers).map(Value::Integer);
        return Value::Array(items.map(|item| number(item).unwrap_or_else(|| item.into())).collect());
    }
    one(default, text).unwrap_or_else(|| Value::String(text.to_owned()))
}
