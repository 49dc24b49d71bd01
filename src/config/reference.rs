//! The reference of all settings, for `tintype config --default` and `docs/configuration.md`.
//!
//! It is derived from the doc comments and defaults in `fixed.rs` and `live.rs`: a new setting needs no change here, and
//! a new section a line in [`settings`].

use std::fmt::Write;

use documented::DocumentedFields;
use serde::Deserialize;
use toml::{Table, Value};

#[cfg(test)]
use super::table::has_own_names;
use super::table::is_live;
use super::units::{Bytes, CpuTime, Mode, Span};
use super::{Config, FixedSettings, LiveSettings, dialects, fixed, live};

/// The name of the argument with the folder of originals.
pub const FOLDER: &str = "FOLDER";

/// The settings with a flag of `tintype serve`: section, key and name of the flag.
pub const FLAGS: [(&str, &str, &str); 4] = [
    ("source", "root", FOLDER),
    ("server", "listen", "--listen"),
    ("cache", "dir", "--cache-dir"),
    ("cache", "max_bytes", "--cache-size"),
];

/// The maximum length of a line in the file of defaults.
const WIDTH: usize = 120;

/// The documentation of a setting.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The section of the file.
    pub section: &'static str,
    /// The documentation of the section.
    pub section_about: &'static str,
    /// The name within the section.
    pub key: &'static str,
    /// The documentation, on one line.
    pub about: String,
    /// The default, as TOML.
    pub default: Value,
    /// The valid strings; empty unless it is an enumeration.
    pub choices: Vec<String>,
}

impl Setting {
    /// The format of the value, unless it is obvious from the default.
    pub fn unit(&self) -> Option<String> {
        let Value::String(default) = &self.default else { return None };
        if !self.choices.is_empty() {
            let choices: Vec<String> = self.choices.iter().map(|name| format!("{name:?}")).collect();
            return Some(format!("One of {}", choices.join(", ")));
        }
        // four digits would be a size as well
        let is_mode = default.starts_with('0') && default.parse::<Mode>().is_ok();
        let units = [
            (is_mode, "A mode as chmod takes it"),
            (default.parse::<Span>().is_ok(), "A duration such as \"500ms\", \"30s\" or \"2h\""),
            (default.parse::<CpuTime>().is_ok(), "A share such as \"10%\", or a duration such as \"2h\""),
            (default.parse::<Bytes>().is_ok(), "A size such as \"64MiB\" or \"10GB\""),
        ];
        units.into_iter().find(|(is_one, _)| *is_one).map(|(_, unit)| unit.to_owned())
    }

    /// The environment variable; sections within sections and lists of tables have none.
    pub fn variable(&self) -> Option<String> {
        let is_nested = self.section.contains('.') || (self.section, self.key) == ("dialects", "paths");
        (!is_nested).then(|| format!("TINTYPE_{}_{}", self.section, self.key).to_ascii_uppercase())
    }

    /// The flag of `tintype serve`.
    pub fn flag(&self) -> Option<&'static str> {
        FLAGS.iter().find(|(section, key, _)| (*section, *key) == (self.section, self.key)).map(|&(.., flag)| flag)
    }

    /// Whether it takes effect on SIGHUP; otherwise it needs a restart.
    pub fn is_live(&self) -> bool {
        is_live(self.section, self.key)
    }
}

/// All settings by section, fixed ones first; without presets, which have names of the operator's own.
pub fn settings() -> Vec<Setting> {
    let defaults = Table::try_from(Config::default()).unwrap_or_default();
    let mut all = Vec::new();
    let mut add = |section: &'static str, about: &'static str, keys: &[&'static str], docs: &[&'static str]| {
        let values = section.split('.').try_fold(&defaults, |table, name| table.get(name)?.as_table());
        for (key, doc) in keys.iter().zip(docs) {
            // serde has another name for the word of Rust
            let key = key.strip_prefix("r#").unwrap_or(key);
            let default = values.and_then(|values| values.get(key)).cloned();
            if default.as_ref().is_some_and(Value::is_table) && section == "dialects" {
                continue;
            }
            all.push(Setting {
                section,
                section_about: about,
                key,
                about: doc.split_whitespace().collect::<Vec<_>>().join(" "),
                default: default.unwrap_or_else(|| Value::String(String::new())),
                choices: choices(section, key),
            });
        }
    };
    macro_rules! add {
        ($($section:literal $($type:ty),+;)*) => {
            $($(add($section, about($section), <$type>::FIELD_NAMES, <$type>::FIELD_DOCS);)+)*
        };
    }
    add! {
        "server" fixed::Server, live::Server;
        "source" fixed::Source, live::Source;
        "cache" fixed::Cache;
        "shared" fixed::Shared;
        "cluster" fixed::Cluster;
        "limits" fixed::Limits, live::Limits;
        "output" live::Output;
        "security" live::Security, fixed::Security;
        "dialects" dialects::Dialects;
        "dialects.imgproxy" dialects::Imgproxy;
        "dialects.cloudflare" dialects::Cloudflare;
        "dialects.ipx" dialects::Ipx;
        "dialects.thumbor" dialects::Thumbor;
        "dialects.imgix" dialects::Imgix;
        "dialects.next" dialects::Next;
        "dialects.wsrv" dialects::Wsrv;
    }
    all
}

/// The documentation of a section.
fn about(section: &str) -> &'static str {
    if let Some(dialect) = section.strip_prefix("dialects.") {
        return dialects::Dialects::get_field_docs(dialect).unwrap_or_default();
    }
    FixedSettings::get_field_docs(section).or_else(|_| LiveSettings::get_field_docs(section)).unwrap_or_default()
}

/// The valid strings of an enumeration, from the error message for another string.
fn choices(section: &str, key: &str) -> Vec<String> {
    let innermost = Table::from_iter([(key.to_owned(), Value::String("?".into()))]);
    let within = |table: Table, name: &str| Table::from_iter([(name.to_owned(), Value::Table(table))]);
    let error = Config::deserialize(section.rsplit('.').fold(innermost, within)).err();
    let message = error.map(|error| error.message().to_owned()).unwrap_or_default();
    match message.strip_prefix("unknown variant `?`, expected ") {
        Some(names) => names.split('`').skip(1).step_by(2).map(str::to_owned).collect(),
        None => Vec::new(),
    }
}

/// A settings file with every setting, its documentation and its default, all commented out: a copied default would stay when
/// the default changes, and some settings have another effect when they are set to their default.
pub fn default_file() -> String {
    let mut file = String::from(
        "# All settings of tintype with their defaults. Uncomment those that you change.\n\
         # Settings marked [live] take effect on SIGHUP (systemctl reload tintype), the others need a restart.\n",
    );
    let mut section = "";
    for setting in settings() {
        if setting.section != section {
            section = setting.section;
            file.push('\n');
            comment(&mut file, setting.section_about);
            // a table within a section would count as set
            let mark = if section.contains('.') { "#" } else { "" };
            let _ = writeln!(file, "{mark}[{section}]");
        }
        let unit = setting.unit().map(|unit| format!(" {unit}.")).unwrap_or_default();
        let live = if setting.is_live() { " [live]" } else { "" };
        file.push('\n');
        comment(&mut file, &format!("{}{unit}{live}", setting.about));
        let _ = writeln!(file, "#{} = {}", setting.key, setting.default);
    }
    file.push('\n');
    comment(&mut file, about("presets"));
    file.push_str("[presets]\n#avatar = \"width=96&height=96&fit=cover\"\n\n");
    comment(&mut file, &format!("{} [live]", about("overlays")));
    file.push_str("[overlays]\n#logo = \"logo.png\"\n");
    file
}

/// Writes a text as comment lines.
fn comment(file: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(file, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(file, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read_text;

    #[test]
    fn file_of_defaults_is_valid() {
        let file = default_file();
        assert_eq!(read_text(&file).expect("good settings").config, Config::default());
        // and with all settings uncommented
        let lines: Vec<&str> = file.lines().map(|line| line.strip_prefix('#').unwrap_or(line)).collect();
        let lines: Vec<&str> = lines.into_iter().filter(|line| !line.starts_with([' ']) && !line.is_empty()).collect();
        let loaded =
            read_text(&lines.join("\n").replace("avatar = ", "# ").replace("logo = ", "# ")).expect("good settings");
        assert_eq!(loaded.config, Config::default());
        let keys: usize = Table::try_from(Config::default())
            .expect("a table")
            .values()
            .map(|values| values.as_table().map_or(0, Table::len))
            .sum();
        assert_eq!(loaded.origins.len(), keys);
        assert!(file.lines().all(|line| line.len() <= WIDTH), "{file}");
    }

    #[test]
    fn every_setting_is_documented() {
        let all = settings();
        for setting in &all {
            let name = format!("{}.{}", setting.section, setting.key);
            assert!(setting.about.ends_with('.') && setting.about.len() > 10, "{name}: {}", setting.about);
            // a table's cell
            assert!(!setting.about.contains(['|', '\n']), "{name}");
        }
        let names = Table::try_from(Config::default()).expect("a table");
        let names: Vec<&str> = names.keys().map(String::as_str).filter(|name| !has_own_names(name)).collect();
        let sections = all.iter().map(|setting| setting.section);
        let mut sections: Vec<&str> = sections.filter(|section| !section.contains('.')).collect();
        sections.dedup();
        sections.sort_unstable();
        assert_eq!(sections, names);
        let of = |section, key| all.iter().find(|one| (one.section, one.key) == (section, key)).expect("a setting");
        assert_eq!(of("output", "snap").choices, ["off", "up", "reject"]);
        assert_eq!(of("cache", "max_bytes").flag(), Some("--cache-size"));
        let unit = |section, key| of(section, key).unit().unwrap_or_default();
        assert!(unit("limits", "deadline").starts_with("A duration"));
        assert!(unit("source", "revalidate").starts_with("A duration"));
        assert!(unit("cache", "memory").starts_with("A size"));
        assert!(unit("output", "upgrade_cpu").starts_with("A share"));
        assert!(unit("server", "socket_mode").starts_with("A mode"));
        assert!(unit("output", "effort").starts_with("One of \"fast\""));
        assert_eq!((unit("server", "listen"), unit("output", "quality")), (String::new(), String::new()));
        for (section, key, flag) in FLAGS {
            assert_eq!(of(section, key).flag(), Some(flag));
        }
        assert_eq!(of("dialects", "native").variable().as_deref(), Some("TINTYPE_DIALECTS_NATIVE"));
        // a list of tables
        assert_eq!(of("dialects", "paths").variable(), None);
    }
}
