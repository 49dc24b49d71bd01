//! Settings: defaults, then a TOML file, then the environment, then flags; each value knows where it came from.
//!
//! This is the only file that reads the environment, and the only one that sees every module's own `Config`. The
//! defaults are a value of the same type as the result, so every key exists once: unknown keys are told from known ones
//! by looking there.

mod environment;
mod reference;
mod reload;
mod secrets;
mod sections;
mod units;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

pub use reference::{FLAGS, Setting, default_file, settings};
pub use reload::{Reload, reload};
pub use sections::{
    AvifEncoder, Cache, Config, Damaged, Effort, Limits, Output, Overload, Security, Server, Source, UnknownParams,
};
pub use units::{Bytes, Mode, Span, StringList};

use crate::dialect::{self, Snap};
use crate::render::recipe::Quality;
use crate::render::{Encoding, Format, Settings};
use crate::service::workers;
use crate::{cache, http, render};

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
pub struct Invalid(String);

impl Invalid {
    /// A problem in those words.
    pub fn new(what: String) -> Invalid {
        Invalid(what)
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
    pub strangers: Vec<String>,
    /// Variables that Kubernetes and Docker make for services whose names begin like ours.
    pub service_links: Vec<String>,
    /// Files with secrets in them that everyone may read.
    pub exposed: Vec<PathBuf>,
    /// Secrets that are not for this process, each in a sentence: what can do without them goes on.
    pub withheld: Vec<String>,
}

impl Loaded {
    /// The same for whoever needs the secrets.
    ///
    /// # Errors
    /// Where one is withheld.
    pub fn with_secrets(self) -> Result<Loaded, Invalid> {
        match self.withheld.first() {
            Some(why) => Err(Invalid(why.clone())),
            None => Ok(self),
        }
    }
}

/// A value from the command line: its section, key, text and the flag's name.
pub type Flag = (&'static str, &'static str, String, &'static str);

/// Reads all layers: defaults, the file if there is one, this process's environment, flags.
///
/// # Errors
/// [`Invalid`] at the first key or value that is wrong.
pub fn load(file: Option<&Path>, flags: &[Flag]) -> Result<Loaded, Invalid> {
    let environment = environment::ours(std::env::vars_os())?;
    let text = file.map(|path| {
        let text = std::fs::read_to_string(path);
        text.map(|text| (path, text)).map_err(|error| Invalid(format!("{} cannot be read: {error}", path.display())))
    });
    let mut loaded = merge(text.transpose()?, environment, flags)?;
    if !loaded.origins.contains_key("cache.dir") {
        loaded.config.cache.dir = default_cache_dir(loaded.config.cache.dir);
    }
    secrets::read(&mut loaded, std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).as_deref())?;
    Ok(loaded)
}

/// Reads the text of a settings file and nothing else, not even the files that it names; for tests.
#[doc(hidden)]
pub fn read_text(text: &str) -> Result<Loaded, Invalid> {
    merge(Some((Path::new("settings"), text.to_owned())), Vec::new(), &[])
}

/// systemd's `$CACHE_DIRECTORY`, then the usual place, then the user's own, whichever can be written first.
fn default_cache_dir(usual: PathBuf) -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let own =
        variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache"))).map(|dir| dir.join("tintype"));
    let candidates = [variable("CACHE_DIRECTORY"), Some(usual.clone()), own];
    candidates.into_iter().flatten().find(|dir| cache::is_usable(dir)).unwrap_or(usual)
}

fn merge(file: Option<(&Path, String)>, environment: Vec<(String, String)>, flags: &[Flag]) -> Result<Loaded, Invalid> {
    let mut table = Table::try_from(Config::default()).map_err(|error| Invalid(error.to_string()))?;
    let (mut origins, mut strangers, mut service_links) = (BTreeMap::new(), Vec::new(), Vec::new());
    if let Some((path, text)) = file {
        let said: Table = text.parse().map_err(|error| Invalid(format!("{}: {error}", path.display())))?;
        for (section, values) in said {
            let origin = Origin::File(path.to_owned());
            let Value::Table(values) = values else {
                return Err(Invalid(format!("{origin}: {section} stands outside of a section")));
            };
            // an empty one, too: whoever wrote it believes in it
            known(&table, &section, &origin)?;
            for (key, value) in values {
                let origin = origin.clone();
                put(&mut table, &mut origins, &section, &key, value, origin)?;
            }
        }
    }
    for (name, text) in environment {
        // Compose files and charts pass on what is not set as empty
        if text.is_empty() && name != environment::KEYS {
            continue;
        }
        // any name may be a preset's
        let setting = environment::split(&name, &table);
        if setting.as_ref().is_none_or(|(section, _)| section == "presets")
            && environment::is_service_link(&name, &text)
        {
            service_links.push(name);
            continue;
        }
        let Some((section, key)) = setting else {
            if environment::is_meant_for_us(&name, &table) {
                return Err(environment::unknown(&name, &table));
            }
            // a script may have variables of that prefix for itself
            strangers.push(name);
            continue;
        };
        let value = environment::value_like(table.get(&section).and_then(|table| table.get(&key)), &text);
        put(&mut table, &mut origins, &section, &key, value, Origin::Environment(name))?;
    }
    for (section, key, text, flag) in flags {
        let value = environment::value_like(table.get(*section).and_then(|table| table.get(key)), text);
        put(&mut table, &mut origins, section, key, value, Origin::Flag(flag))?;
    }
    let mut config: Config = check_each(&table, &origins)?;
    // keys are there to be used, unless somebody says otherwise
    let has_keys = !config.security.keys.is_empty() || !config.security.keys_file.as_os_str().is_empty();
    if has_keys && !origins.contains_key("security.require_signature") {
        config.security.require_signature = true;
    }
    validate(&config)?;
    let empty = config.security.keys.is_empty();
    if let Some(Origin::Environment(name)) = origins.get("security.keys").filter(|_| empty) {
        // a variable that was to be filled in elsewhere would leave the door open
        return Err(Invalid(format!("${name} is wrong: it is empty; leave it out where there are no keys")));
    }
    Ok(Loaded { config, origins, strangers, service_links, exposed: Vec::new(), withheld: Vec::new() })
}

/// A section that there is.
fn known(table: &Table, section: &str, origin: &Origin) -> Result<(), Invalid> {
    if table.contains_key(section) {
        return Ok(());
    }
    let nearest = dialect::nearest(section, table.keys().map(String::as_str));
    let hint = nearest.map(|nearest| format!("; did you mean [{nearest}]?")).unwrap_or_default();
    Err(Invalid(format!("{origin}: there is no section [{section}]{hint}")))
}

/// Puts one value in its place, if there is such a place.
fn put(
    table: &mut Table, origins: &mut BTreeMap<String, Origin>, section: &str, key: &str, value: Value, origin: Origin,
) -> Result<(), Invalid> {
    known(table, section, &origin)?;
    let Some(Value::Table(values)) = table.get_mut(section) else { return Ok(()) };
    if section != "presets" && !values.contains_key(key) {
        let nearest = dialect::nearest(key, values.keys().map(String::as_str));
        let hint = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
        return Err(Invalid(format!("{origin}: there is no setting {section}.{key}{hint}")));
    }
    if section == "presets" && !value.is_str() {
        let like = format!("{key} = \"width=96&height=96\"");
        return Err(Invalid(format!("{origin}: presets.{key} is wrong: it is parameters in a text, such as {like}")));
    }
    values.insert(key.to_owned(), value);
    origins.insert(format!("{section}.{key}"), origin);
    Ok(())
}

/// Reads the table; where that fails, finds out which value is to blame by reading them one by one.
fn check_each(table: &Table, origins: &BTreeMap<String, Origin>) -> Result<Config, Invalid> {
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
            return Err(Invalid(format!("{origin}: {name} is wrong: {}", without_types(error.message()))));
        }
    }
    Err(Invalid(error.to_string()))
}

/// A message that says what numbers there may be, rather than which type has them.
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

/// What types do not say.
fn validate(config: &Config) -> Result<(), Invalid> {
    let wrong = |name: &str, why: String| Err(Invalid(format!("{name} is wrong: {why}")));
    if config.quality().is_none() {
        return wrong("output.quality", "it is 1 to 100".into());
    }
    if !matches!(config.output.oversampling, 1 | 2) {
        return wrong("output.oversampling", "it is 1 or 2".into());
    }
    for name in &config.output.formats {
        if !matches!(Format::from_name(name), Some(Format::Avif | Format::WebP)) {
            return wrong("output.formats", format!("{name:?} is neither \"avif\" nor \"webp\""));
        }
    }
    if let Some(name) = config.source.formats_in.iter().find(|name| Format::from_name(name).is_none()) {
        return wrong("source.formats_in", format!("{name:?} is no format"));
    }
    for (name, address) in
        [("server.listen", &config.server.listen), ("server.admin_listen", &config.server.admin_listen)]
    {
        // no admin listener is a setting, too
        let may_be_empty = name == "server.admin_listen";
        if !(is_address(address) || may_be_empty && address.is_empty()) {
            return wrong(name, not_an_address(address));
        }
    }
    match config.proxies() {
        Err(invalid @ http::InvalidProxies::Address(_)) => return wrong("server.real_ip_from", invalid.to_string()),
        Err(invalid @ http::InvalidProxies::Header(_)) => return wrong("server.real_ip_header", invalid.to_string()),
        Ok(_) => {}
    }
    if let Err(invalid) = http::AllowOrigin::new(&config.server.allow_origin.0) {
        return wrong("server.allow_origin", invalid.to_string());
    }
    if config.limits.rate > 0 && config.limits.burst == 0 {
        return wrong("limits.burst", "with a rate it is at least 1".into());
    }
    if !(1..=10_000).contains(&config.limits.uploads) {
        return wrong("limits.uploads", "it is 1 to 10000; security.upload switches uploads off".into());
    }
    if !(config.server.x_accel.is_empty() || is_location(&config.server.x_accel)) {
        let (given, like) = (&config.server.x_accel, "\"/_tintype_store\"");
        return wrong("server.x_accel", format!("{given:?} is not a path such as {like}, without a slash at its end"));
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    let is_name = |name: &str| (1..=32).contains(&name.len()) && name.bytes().all(plain);
    if let Some(name) = config.presets.keys().find(|name| !is_name(name)) {
        return wrong("presets", format!("{name:?} is not a name of 1 to 32 of a-z, 0-9, _ and -"));
    }
    let limits = &config.limits;
    for (name, is_nothing) in [
        ("source.max_bytes", config.source.max_bytes.0 == 0),
        ("limits.max_pixels", limits.max_pixels == 0),
        ("limits.max_frames", limits.max_frames == 0),
        ("limits.memory", limits.memory.0 == 0),
        ("limits.deadline", limits.deadline.0.is_zero()),
    ] {
        if is_nothing {
            return wrong(name, "with nothing allowed no image could be sent".into());
        }
    }
    if !(1..=65_535).contains(&config.limits.max_dimension) {
        return wrong("limits.max_dimension", "it is 1 to 65535".into());
    }
    if config.output.snap != Snap::Off && config.output.widths.is_empty() {
        return wrong("output.snap", "there are no output.widths to snap to".into());
    }
    if config.output.widths.contains(&0) {
        return wrong("output.widths", "a width is at least 1".into());
    }
    let Security { keys, keys_file, require_signature, admin_token, admin_token_file, upload: _, log_beacons: _ } =
        &config.security;
    if *require_signature && keys.is_empty() && keys_file.as_os_str().is_empty() {
        return wrong("security.require_signature", "there are no security.keys".into());
    }
    if !(admin_token.is_empty() || admin_token_file.as_os_str().is_empty()) {
        return wrong("security.admin_token_file", "there is a security.admin_token as well".into());
    }
    if let Err(short) = dialect::signature::Keys::new(keys.iter().map(String::as_str)) {
        return wrong("security.keys", short.to_string());
    }
    if let Err(invalid) = config.policy() {
        return wrong("presets", invalid.to_string());
    }
    Ok(())
}

/// `host:port`, the port a number, or `unix:/path`.
fn is_address(text: &str) -> bool {
    if let Some(path) = text.strip_prefix("unix:") {
        return path.starts_with('/');
    }
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// The right form of an address. A port alone means every network to some programs and this machine to others, so it is
/// left to say which.
fn not_an_address(text: &str) -> String {
    match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        Ok(port) => format!(
            "{text:?} has no host; it is \"127.0.0.1:{port}\" for this machine alone, \"0.0.0.0:{port}\" for every network"
        ),
        Err(_) => format!("{text:?} is neither host:port nor unix:/path"),
    }
}

/// A path that means the same however it is read: nothing in it to be decoded or resolved.
fn is_location(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let mut segments = text.split('/');
    segments.next() == Some("") && segments.all(|segment| !segment.is_empty() && segment.bytes().all(plain))
}

impl Config {
    fn quality(&self) -> Option<Quality> {
        u8::try_from(self.output.quality).ok().and_then(Quality::new)
    }

    /// What rendering sees.
    pub fn settings(&self) -> Settings {
        Settings {
            max_dimension: self.limits.max_dimension,
            max_enlarged: self.limits.max_enlarged,
            max_pixels: self.limits.max_pixels,
            max_frames: self.limits.max_frames,
            max_memory: self.limits.memory.0,
            formats_in: self.source.formats_in.iter().filter_map(|name| Format::from_name(name)).collect(),
            smallest_wins: self.output.smallest_wins,
            refuse_damaged: self.source.damaged == Damaged::Refuse,
            linear: self.output.linear,
            oversampling: self.output.oversampling,
            encoding: Encoding {
                effort: match self.output.effort {
                    Effort::Fast => render::Effort::Fast,
                    Effort::Dense => render::Effort::Dense,
                },
                avif: match self.output.avif {
                    AvifEncoder::Auto => render::AvifEncoder::default(),
                    #[cfg(feature = "native")]
                    AvifEncoder::Libaom => render::AvifEncoder::Libaom,
                    AvifEncoder::Ravif => render::AvifEncoder::Ravif,
                },
            },
        }
    }

    /// What the cache sees.
    pub fn cache(&self) -> cache::Config {
        cache::Config {
            dir: self.cache.folder().map(Path::to_owned),
            max_bytes: self.cache.max_bytes.0,
            max_files: self.cache.max_files,
            min_free: self.cache.min_free.0,
            memory: self.cache.memory.0,
        }
    }

    /// What the workers see.
    pub fn workers(&self) -> workers::Config {
        let Limits { workers, queue, memory, deadline, decoded, .. } = &self.limits;
        let (workers, queue, memory) = (*workers, *queue, memory.0);
        workers::Config { workers, queue, memory, deadline: deadline.0, decoded: decoded.0 }
    }

    /// What the dialect sees.
    ///
    /// # Errors
    /// Where a preset is wrong.
    pub fn policy(&self) -> Result<dialect::Policy, dialect::policy::InvalidPreset> {
        let keys = dialect::signature::Keys::new(self.security.keys.iter().map(String::as_str));
        dialect::Policy::new(dialect::Config {
            quality: self.quality().unwrap_or_default(),
            formats: self.output.formats.iter().filter_map(|name| Format::from_name(name)).collect(),
            max_dimension: self.limits.max_dimension,
            widths: self.output.widths.clone(),
            snap: self.output.snap,
            reject_unknown: self.output.unknown_params == UnknownParams::Reject,
            presets: self.presets.clone(),
            keys: keys.unwrap_or_default(),
            require_signature: self.security.require_signature,
        })
    }

    fn proxies(&self) -> Result<http::Proxies, http::InvalidProxies> {
        http::Proxies::new(&self.server.real_ip_from, &self.server.real_ip_header)
    }

    /// What the wire sees.
    pub fn http(&self) -> http::Config {
        http::Config {
            server_timing: self.server.server_timing,
            x_accel: self.server.x_accel.clone(),
            stand_ins: self.limits.overload == Overload::Original && !self.security.require_signature,
            admin_apart: !self.server.admin_listen.is_empty(),
            admin_token: self.security.admin_token.clone(),
            upload: self.security.upload,
            uploads: self.limits.uploads,
            upload_timeout: self.limits.upload_timeout.0,
            log_beacons: self.security.log_beacons,
            rate: self.limits.rate,
            burst: self.limits.burst,
            proxies: self.proxies().unwrap_or_default(),
            // checked when it was read; what is wrong all the same allows nothing
            allow_origin: http::AllowOrigin::new(&self.server.allow_origin.0).unwrap_or(http::AllowOrigin::Off),
        }
    }

    /// How long connections wait for what.
    pub fn connections(&self) -> http::server::Patience {
        let Server { header_timeout, send_timeout, idle_timeout, .. } = &self.server;
        http::server::Patience { header: header_timeout.0, send: send_timeout.0, idle: idle_timeout.0 }
    }

    /// The same settings with secrets replaced, for showing.
    pub fn without_secrets(&self) -> Config {
        let mut shown = self.clone();
        shown.security.keys.iter_mut().for_each(|key| "(hidden)".clone_into(key));
        if !shown.security.admin_token.is_empty() {
            shown.security.admin_token = "(hidden)".into();
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, environment: &[(&str, &str)], flags: &[Flag]) -> Result<Loaded, Invalid> {
        let environment = environment.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
        merge(Some((Path::new("t.toml"), file.to_owned())), environment, flags)
    }

    #[test]
    fn cache_folder_may_be_none() {
        let folder = |file: &str| read(file, &[], &[]).expect("good").config.cache().dir;
        assert_eq!(folder("[cache]\ndir = \"none\"\n"), None);
        for dir in ["./none", "/var/none", "None"] {
            assert_eq!(folder(&format!("[cache]\ndir = \"{dir}\"\n")).as_deref(), Some(Path::new(dir)));
        }
        let Loaded { config, .. } = read("", &[("TINTYPE_CACHE_DIR", "none")], &[]).expect("good");
        assert_eq!(config.cache.folder(), None);
        let flag = ("cache", "dir", "none".to_owned(), "--cache-dir");
        assert_eq!(read("", &[], &[flag]).expect("good").config.cache.folder(), None);
    }

    #[test]
    fn later_layers_win_and_are_remembered() {
        let file = "[server]\nlisten = \"a:1\"\n[cache]\nmax_bytes = \"1GiB\"\nmax_files = 7\n";
        let environment = [("TINTYPE_CACHE_MAX_BYTES", "2GiB"), ("TINTYPE_OUTPUT_FORMATS", "webp, avif")];
        let flag = ("server", "listen", "b:2".to_owned(), "--listen");
        let Loaded { config, origins, .. } = read(file, &environment, &[flag]).expect("good");
        assert_eq!(config.server.listen, "b:2");
        assert_eq!(config.cache.max_bytes, Bytes(2 << 30));
        assert_eq!(config.cache.max_files, 7);
        assert_eq!(config.output.formats, ["webp", "avif"]);
        assert_eq!(config.limits, Limits::default());
        assert_eq!(origins["server.listen"], Origin::Flag("--listen"));
        assert_eq!(origins["cache.max_bytes"], Origin::Environment("TINTYPE_CACHE_MAX_BYTES".into()));
        assert_eq!(origins["cache.max_files"], Origin::File("t.toml".into()));
        assert!(!origins.contains_key("limits.queue"));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_near() {
        let check = |file: &str, expected: &[&str]| {
            let Invalid(message) = read(file, &[], &[]).expect_err(file);
            for part in expected {
                assert!(message.contains(part), "{file}: {message}");
            }
        };
        check("[sever]\nlisten = 1\n", &["[sever]", "[server]"]);
        check("[cashe]\n", &["[cashe]", "[cache]"]);
        check("[server]\n[server.tls]\n", &["server.tls"]);
        check("[presets.avatar]\nwidth = 96\n", &["presets.avatar", "in a text"]);
        check("[presets]\navatar = \"widht=96\"\n", &["preset avatar", "width"]);
        check("[presets]\navatar = 96\n", &["presets.avatar", "in a text"]);
        check("[[server]]\n", &["server"]);
        check("[server]\nlisen = \"a\"\n", &["server.lisen", "listen"]);
        check("[cache]\nmax_bytes = \"10 apples\"\n", &["cache.max_bytes", "10 apples", "10GiB"]);
        check("[limits]\ndeadline = 30\n", &["limits.deadline", "30s"]);
        check("[limits]\nworkers = \"many\"\n", &["limits.workers"]);
        for path in ["store", "/store/", "/", "/a//b", "/a b", "/../x", "/%2e"] {
            check(&format!("[server]\nx_accel = {path:?}\n"), &["server.x_accel", path, "/_tintype_store"]);
        }
        check(
            "[server]\nallow_origin = \"a.example\"\n",
            &["server.allow_origin", "a.example", "https://www.example.com"],
        );
        check("[server]\nallow_origin = [\"*\", \"https://a.example\"]\n", &["server.allow_origin", "alone"]);
        check("[server]\nallow_origin = true\n", &["server.allow_origin", "a list of texts"]);
        check("[output]\nquality = 0\n", &["output.quality", "1 to 100"]);
        check("[output]\nquality = 900\n", &["output.quality", "1 to 100"]);
        for nothing in ["memory = \"0B\"", "deadline = \"0s\"", "max_pixels = 0"] {
            check(&format!("[limits]\n{nothing}\n"), &["limits", "nothing"]);
        }
        check("[output]\nformats = [\"jpeg\"]\n", &["output.formats", "jpeg"]);
        check("[output]\nsnap = \"up\"\n", &["output.widths"]);
        check("[security]\nkeys = [\"short\"]\n", &["security.keys", "16 bytes"]);
        check("[presets]\na = \"w=0\"\n", &["preset a"]);
        check("listen = \"a\"\n", &["listen"]);
        check("[server\n", &["t.toml"]);
        let read_all = read("", &[("TINTYPE_CMD", "x"), ("TINTYPE_URL", "x")], &[]).expect("somebody else's");
        assert_eq!(read_all.strangers, ["TINTYPE_CMD", "TINTYPE_URL"]);
        for (name, meant) in [
            ("TINTYPE_LISTEN", "TINTYPE_SERVER_LISTEN"),
            ("TINTYPE_CAHCE_DIR", "TINTYPE_CACHE_DIR"),
            ("TINTYPE_LIMITS_X", "TINTYPE_LIMITS_X"),
        ] {
            let Invalid(message) = read("", &[(name, "1")], &[]).expect_err("unknown");
            assert!(message.contains(meant), "{message}");
        }
        let Invalid(message) = read("", &[("TINTYPE_CACHE_MAX_BITES", "1")], &[]).expect_err("unknown");
        assert!(message.contains("TINTYPE_CACHE_MAX_BYTES"), "{message}");
    }

    #[test]
    fn service_links_are_no_settings() {
        let links = [
            ("TINTYPE_PORT", "tcp://10.0.0.1:80"),
            ("TINTYPE_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("TINTYPE_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("TINTYPE_PORT_80_TCP_PORT", "80"),
            ("TINTYPE_PORT_80_TCP_PROTO", "tcp"),
            ("TINTYPE_SERVICE_HOST", "10.0.0.1"),
            ("TINTYPE_SERVICE_PORT", "80"),
            ("TINTYPE_SERVICE_PORT_HTTP", "80"),
            ("TINTYPE_SERVER_PORT", "tcp://10.0.0.1:80"),
            ("TINTYPE_SERVER_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("TINTYPE_SERVER_SERVICE_HOST", "10.0.0.1"),
            ("TINTYPE_SERVER_SERVICE_PORT_WEB_UI", "80"),
            ("TINTYPE_CACHE_DIR_PORT_53_UDP", "udp://10.0.0.1:53"),
            ("TINTYPE_CACHE_PORT_9_SCTP_PROTO", "sctp"),
        ];
        let Loaded { config, service_links, strangers, .. } = read("", &links, &[]).expect("no settings");
        assert_eq!(config, Config::default());
        assert_eq!(service_links, links.map(|(name, _)| name));
        assert!(strangers.is_empty());
        for (name, value) in [
            ("TINTYPE_SERVER_PORT", "8080"),
            ("TINTYPE_SERVER_PORT", "http://10.0.0.1:80"),
            ("TINTYPE_SERVER_SERVICE", "x"),
            ("TINTYPE_SERVER_PORT_X_TCP", "80"),
            ("TINTYPE_SERVER_PORT_80_TCP_NAME", "80"),
            ("TINTYPE_SERVER_REPORT", "tcp://10.0.0.1:80"),
        ] {
            assert!(read("", &[(name, value)], &[]).is_err(), "{name}={value}");
        }
    }

    #[test]
    fn empty_variables_are_as_none() {
        let file = "[server]\nadmin_listen = \"127.0.0.1:9000\"\n";
        let empty = [
            ("TINTYPE_SERVER_LISTEN", ""),
            ("TINTYPE_SERVER_ADMIN_LISTEN", ""),
            ("TINTYPE_CACHE_MAX_BYTES", ""),
            ("TINTYPE_OUTPUT_WIDTHS", ""),
            ("TINTYPE_SECURITY_UPLOAD", ""),
            ("TINTYPE_SECURITY_ADMIN_TOKEN", ""),
            ("TINTYPE_PRESETS_A", ""),
        ];
        assert_eq!(read(file, &empty, &[]).expect("good").config, read(file, &[], &[]).expect("good").config);
        // unsigned URLs would be answered
        let Invalid(message) = read("", &[("TINTYPE_SECURITY_KEYS", "")], &[]).expect_err("no keys");
        assert!(message.contains("empty"), "{message}");
    }

    #[test]
    fn booleans_of_the_environment_are_written_in_many_ways() {
        for (text, expected) in [
            ("true", Some(true)),
            ("True", Some(true)),
            ("YES", Some(true)),
            ("on", Some(true)),
            ("1", Some(true)),
            ("false", Some(false)),
            ("No", Some(false)),
            ("off", Some(false)),
            ("0", Some(false)),
            ("maybe", None),
            ("2", None),
        ] {
            let read = read("", &[("TINTYPE_SERVER_SERVER_TIMING", text)], &[]);
            assert_eq!(read.as_ref().ok().map(|loaded| loaded.config.server.server_timing), expected, "{text}");
            if let Err(Invalid(message)) = read {
                assert!(message.contains("true") && message.contains("TINTYPE_SERVER_SERVER_TIMING"), "{message}");
            }
        }
    }

    #[test]
    fn addresses_without_a_host_are_refused_with_what_is_right() {
        for text in [":8080", "8080"] {
            let Invalid(message) = read("", &[("TINTYPE_SERVER_LISTEN", text)], &[]).expect_err(text);
            assert!(message.contains("127.0.0.1:8080") && message.contains("0.0.0.0:8080"), "{message}");
        }
        let Invalid(message) = read("", &[("TINTYPE_SERVER_LISTEN", "x:99999")], &[]).expect_err("no port");
        assert!(message.contains("host:port"), "{message}");
    }

    #[test]
    fn origins_are_a_text_or_a_list() {
        let check = |file: &str, environment: &[(&str, &str)], expected: &[&str]| {
            let loaded = read(file, environment, &[]).unwrap_or_else(|invalid| panic!("{file}: {invalid}"));
            assert_eq!(loaded.config.server.allow_origin.0, expected, "{file} {environment:?}");
            let text = toml::to_string(&loaded.config).expect("TOML");
            assert_eq!(read(&text, &[], &[]).expect("good").config, loaded.config, "{text}");
        };
        let (a, b) = ("https://a.example", "http://b.example:8080");
        check("", &[], &["*"]);
        check("[server]\nallow_origin = \"\"\n", &[], &[]);
        check("[server]\nallow_origin = []\n", &[], &[]);
        check(&format!("[server]\nallow_origin = {a:?}\n"), &[], &[a]);
        check(&format!("[server]\nallow_origin = [{a:?}, {b:?}]\n"), &[], &[a, b]);
        check("", &[("TINTYPE_SERVER_ALLOW_ORIGIN", &format!("{a}, {b}"))], &[a, b]);
    }

    #[test]
    fn keys_are_there_to_be_used() {
        let keys = "[security]\nkeys = [\"0123456789abcdef\"]\n";
        assert!(read(keys, &[], &[]).expect("good").config.security.require_signature);
        let off = format!("{keys}require_signature = false\n");
        assert!(!read(&off, &[], &[]).expect("good").config.security.require_signature);
        assert!(read("[security]\nrequire_signature = true\n", &[], &[]).is_err());
    }

    #[test]
    fn quantities() {
        let bytes = |text: &str| text.parse::<Bytes>().ok().map(|bytes| bytes.0);
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes("10 gib"), Some(10 << 30));
        assert_eq!(bytes("1kB"), Some(1000));
        assert_eq!(bytes("17"), Some(17));
        assert_eq!(bytes("MiB"), None);
        assert_eq!(bytes("-1MiB"), None);
        assert_eq!(bytes("99999999999TiB"), None);
        let span = |text: &str| text.parse::<Span>().ok().map(|span| span.0.as_millis());
        assert_eq!(span("30s"), Some(30_000));
        assert_eq!(span("500ms"), Some(500));
        assert_eq!(span("2h"), Some(7_200_000));
        assert_eq!(span("0"), Some(0));
        assert_eq!(span("30"), None);
        for bytes in [Bytes(0), Bytes(1), Bytes(1 << 10), Bytes(3 << 30)] {
            assert_eq!(bytes.to_string().parse(), Ok(bytes));
        }
    }

    #[test]
    fn the_defaults_are_a_good_file() {
        let text = toml::to_string(&Config::default()).expect("TOML");
        assert_eq!(read(&text, &[], &[]).expect("good").config, Config::default());
    }
}
