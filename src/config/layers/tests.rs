//! Layers: what overrides what, what is refused, and what the messages say.

use super::*;
use crate::config::{Bytes, fixed};

fn read(file: &str, environment: &[(&str, &str)], flags: &[Flag]) -> Result<Loaded, ConfigError> {
    let environment = environment.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
    merge(Some((Path::new("t.toml"), file.to_owned())), environment, flags)
}

#[test]
fn cache_dir_none_is_no_folder() {
    let folder = |file: &str| read(file, &[], &[]).expect("good").config.fixed.cache().dir;
    assert_eq!(folder("[cache]\ndir = \"none\"\n"), None);
    for dir in ["./none", "/var/none", "None"] {
        assert_eq!(folder(&format!("[cache]\ndir = \"{dir}\"\n")).as_deref(), Some(Path::new(dir)));
    }
    let Loaded { config, .. } = read("", &[("TINTYPE_CACHE_DIR", "none")], &[]).expect("good");
    assert_eq!(config.fixed.cache.folder(), None);
    let flag = ("cache", "dir", "none".to_owned(), "--cache-dir");
    assert_eq!(read("", &[], &[flag]).expect("good").config.fixed.cache.folder(), None);
}

#[test]
fn later_layer_overrides_and_is_the_origin() {
    let file = "[server]\nlisten = \"a:1\"\n[cache]\nmax_bytes = \"1GiB\"\nmax_files = 7\n";
    let environment = [("TINTYPE_CACHE_MAX_BYTES", "2GiB"), ("TINTYPE_OUTPUT_FORMATS", "webp, avif")];
    let flag = ("server", "listen", "b:2".to_owned(), "--listen");
    let Loaded { config, origins, .. } = read(file, &environment, &[flag]).expect("good");
    assert_eq!(config.fixed.server.listen, "b:2");
    assert_eq!(config.fixed.cache.max_bytes, Bytes(2 << 30));
    assert_eq!(config.fixed.cache.max_files, 7);
    assert_eq!(config.live.output.formats, ["webp", "avif"]);
    assert_eq!(config.fixed.limits, fixed::Limits::default());
    assert_eq!(origins["server.listen"], Origin::Flag("--listen"));
    assert_eq!(origins["cache.max_bytes"], Origin::Environment("TINTYPE_CACHE_MAX_BYTES".into()));
    assert_eq!(origins["cache.max_files"], Origin::File("t.toml".into()));
    assert!(!origins.contains_key("limits.queue"));
}

#[test]
fn error_names_the_setting_and_the_nearest_one() {
    let check = |file: &str, expected: &[&str]| {
        let ConfigError(message) = read(file, &[], &[]).expect_err(file);
        for part in expected {
            assert!(message.contains(part), "{file}: {message}");
        }
    };
    check("[sever]\nlisten = 1\n", &["[sever]", "[server]"]);
    check("[cashe]\n", &["[cashe]", "[cache]"]);
    check("[server]\n[server.tls]\n", &["server.tls"]);
    check("[presets.avatar]\nwidth = 96\n", &["presets.avatar", "a string"]);
    check("[presets]\navatar = \"widht=96\"\n", &["preset avatar", "width"]);
    check("[presets]\navatar = 96\n", &["presets.avatar", "a string"]);
    check("[[server]]\n", &["server"]);
    check("[server]\nlisen = \"a\"\n", &["server.lisen", "listen"]);
    check("[cache]\nmax_bytes = \"10 apples\"\n", &["cache.max_bytes", "10 apples", "10GiB"]);
    check("[limits]\ndeadline = 30\n", &["limits.deadline", "30s"]);
    check("[limits]\nworkers = \"many\"\n", &["limits.workers"]);
    for path in ["store", "/store/", "/", "/a//b", "/a b", "/../x", "/%2e"] {
        check(&format!("[server]\nx_accel = {path:?}\n"), &["server.x_accel", path, "/_tintype_store"]);
    }
    check("[server]\nallow_origin = \"a.example\"\n", &["server.allow_origin", "a.example", "https://www.example.com"]);
    check("[server]\nallow_origin = [\"*\", \"https://a.example\"]\n", &["server.allow_origin", "combined"]);
    check("[server]\nallow_origin = true\n", &["server.allow_origin", "a list of strings"]);
    check("[output]\nquality = 0\n", &["output.quality", "1 to 100"]);
    check("[output]\nquality = 900\n", &["output.quality", "1 to 100"]);
    for nothing in ["memory = \"0B\"", "deadline = \"0s\"", "max_pixels = 0"] {
        check(&format!("[limits]\n{nothing}\n"), &["limits", "no image"]);
    }
    for (section, setting) in [("server", "header_timeout"), ("server", "send_timeout"), ("limits", "upload_timeout")] {
        check(&format!("[{section}]\n{setting} = \"0s\"\n"), &[setting, "too slow"]);
    }
    check("[output]\nformats = [\"jpeg\"]\n", &["output.formats", "jpeg"]);
    check("[output]\nsnap = \"up\"\n", &["output.widths"]);
    check("[security]\nkeys = [\"short\"]\n", &["security.keys", "16 bytes"]);
    check("[presets]\na = \"w=0\"\n", &["preset a"]);
    check("listen = \"a\"\n", &["listen"]);
    check("[server\n", &["t.toml"]);
    let read_all = read("", &[("TINTYPE_CMD", "x"), ("TINTYPE_URL", "x")], &[]).expect("somebody else's");
    assert_eq!(read_all.unknown_env, ["TINTYPE_CMD", "TINTYPE_URL"]);
    for (name, meant) in [
        ("TINTYPE_LISTEN", "TINTYPE_SERVER_LISTEN"),
        ("TINTYPE_CAHCE_DIR", "TINTYPE_CACHE_DIR"),
        ("TINTYPE_LIMITS_X", "TINTYPE_LIMITS_X"),
    ] {
        let ConfigError(message) = read("", &[(name, "1")], &[]).expect_err("unknown");
        assert!(message.contains(meant), "{message}");
    }
    let ConfigError(message) = read("", &[("TINTYPE_CACHE_MAX_BITES", "1")], &[]).expect_err("unknown");
    assert!(message.contains("TINTYPE_CACHE_MAX_BYTES"), "{message}");
}

/// Digits in a list were numbers: a key of digits was refused, and printed.
#[test]
fn list_of_digits_in_a_variable_is_one_of_strings() {
    let key = "0123456789012345";
    let keys = format!("{key},1234567890123456");
    let variables = [
        ("TINTYPE_SECURITY_KEYS", keys.as_str()),
        ("TINTYPE_SOURCE_LINKS", "2024"),
        ("TINTYPE_OUTPUT_WIDTHS", "320, 640"),
    ];
    let Loaded { config, .. } = read("", &variables, &[]).expect("good");
    assert_eq!(config.live.security.keys, [key, "1234567890123456"]);
    assert_eq!(config.fixed.source.links, [Path::new("2024")]);
    assert_eq!(config.live.output.widths, [320, 640]);
    let ConfigError(message) = read("", &[("TINTYPE_OUTPUT_WIDTHS", "320,wide")], &[]).expect_err("no number");
    assert!(message.contains("output.widths") && message.contains("wide"), "{message}");
}

/// Errors are printed and logged.
#[test]
fn errors_contain_no_secret() {
    const SECRET: &str = "7777777777777777";
    for (file, part) in [
        // a quote or a bracket is not closed, or there is none
        (format!("[security]\nkeys = [\"{SECRET}\n"), "t.toml: TOML parse error"),
        (format!("[security]\nkeys = [\"{SECRET}\"\nadmin_token = \"\"\n"), "t.toml: TOML parse error"),
        (format!("[security]\nadmin_token = {SECRET}x\n"), "t.toml: TOML parse error"),
        (format!("[security]\nadmin_token = {SECRET}7777\n"), "t.toml: TOML parse error"),
        (format!("[security]\nadmin_token = \"{SECRET}\" \"\"\n"), "t.toml: TOML parse error at line 2, column "),
        (format!("[security]\nadmin_token = {SECRET}\n"), "security.admin_token is invalid: expected a string"),
        (format!("[security]\nkeys = [{SECRET}]\n"), "security.keys is invalid: expected a string"),
        (format!("[security]\nkeys = \"{SECRET}, expected x\"\n"), "security.keys is invalid: expected a sequence"),
        (format!("[source]\nurl = {SECRET}\n"), "source.url is invalid: expected a string"),
        (format!("[source]\nsecret_key = {SECRET}\n"), "source.secret_key is invalid: expected a string"),
        (format!("[shared]\nkey = {SECRET}\n"), "shared.key is invalid: expected a string"),
        (format!("[dialects.imgix]\ntoken = {SECRET}\n"), "dialects.imgix is invalid: expected a string"),
        (format!("[dialects.thumbor]\nkeys = [{SECRET}]\n"), "dialects.thumbor is invalid: expected a string"),
        (format!("[dialects.imgproxy]\nsalts = [{SECRET}]\n"), "dialects.imgproxy is invalid: expected a string"),
    ] {
        let ConfigError(message) = read(&file, &[], &[]).expect_err(&file);
        assert!(message.contains(part) && !message.contains("7777"), "{file}: {message}");
    }
}

#[test]
fn kubernetes_service_variables_are_ignored() {
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
    let Loaded { config, service_links, unknown_env, .. } = read("", &links, &[]).expect("no settings");
    assert_eq!(config, Config::default());
    assert_eq!(service_links, links.map(|(name, _)| name));
    assert!(unknown_env.is_empty());
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
fn empty_variable_is_ignored() {
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
    let ConfigError(message) = read("", &[("TINTYPE_SECURITY_KEYS", "")], &[]).expect_err("no keys");
    assert!(message.contains("empty"), "{message}");
}

#[test]
fn booleans_of_the_environment_have_several_spellings() {
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
        assert_eq!(read.as_ref().ok().map(|loaded| loaded.config.live.server.server_timing), expected, "{text}");
        if let Err(ConfigError(message)) = read {
            assert!(message.contains("true") && message.contains("TINTYPE_SERVER_SERVER_TIMING"), "{message}");
        }
    }
}

#[test]
fn address_without_a_host_is_refused_with_a_hint() {
    for text in [":8080", "8080"] {
        let ConfigError(message) = read("", &[("TINTYPE_SERVER_LISTEN", text)], &[]).expect_err(text);
        assert!(message.contains("127.0.0.1:8080") && message.contains("0.0.0.0:8080"), "{message}");
    }
    let ConfigError(message) = read("", &[("TINTYPE_SERVER_LISTEN", "x:99999")], &[]).expect_err("no port");
    assert!(message.contains("host:port"), "{message}");
}

#[test]
fn allow_origin_is_a_string_or_a_list() {
    let check = |file: &str, environment: &[(&str, &str)], expected: &[&str]| {
        let loaded = read(file, environment, &[]).unwrap_or_else(|invalid| panic!("{file}: {invalid}"));
        assert_eq!(loaded.config.live.server.allow_origin.0, expected, "{file} {environment:?}");
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
fn keys_require_signatures_by_default() {
    let keys = "[security]\nkeys = [\"0123456789abcdef\"]\n";
    assert!(read(keys, &[], &[]).expect("good").config.live.security.require_signature);
    let off = format!("{keys}require_signature = false\n");
    assert!(!read(&off, &[], &[]).expect("good").config.live.security.require_signature);
    assert!(read("[security]\nrequire_signature = true\n", &[], &[]).is_err());
}

#[test]
fn playground_is_on_by_itself_on_loopback_only() {
    let folder = [("source", "root", "pictures".to_owned(), FOLDER)];
    let is_on = |variables: &[(&str, &str)], flags: &[Flag]| {
        let environment = variables.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
        let loaded = merge(None, environment, flags).expect("good");
        (loaded.config.fixed.server.playground, loaded.origins.get("server.playground").cloned())
    };
    let on = (true, Some(Origin::Flag(FOLDER)));
    assert_eq!(is_on(&[], &folder), on);
    for listen in ["127.0.0.1:0", "127.3.2.1:80", "[::1]:8080", "localhost:8080"] {
        assert_eq!(is_on(&[("TINTYPE_SERVER_LISTEN", listen)], &folder), on, "{listen}");
    }
    assert_eq!(is_on(&[], &[]), (false, None), "without a folder");
    for (name, value) in [
        ("TINTYPE_SERVER_LISTEN", "0.0.0.0:8080"),
        ("TINTYPE_SERVER_LISTEN", "[::]:8080"),
        ("TINTYPE_SERVER_LISTEN", "10.0.0.1:8080"),
        ("TINTYPE_SERVER_LISTEN", "localhost.example:8080"),
        ("TINTYPE_SERVER_LISTEN", "unix:/run/tintype.sock"),
        ("TINTYPE_SERVER_ADMIN_LISTEN", "0.0.0.0:9000"),
        ("TINTYPE_SERVER_PLAYGROUND", "false"),
    ] {
        assert!(!is_on(&[(name, value)], &folder).0, "{name}={value}");
    }
    assert!(!read("[server]\n", &[], &folder).expect("good").config.fixed.server.playground, "with a file");
    assert!(is_on(&[("TINTYPE_SERVER_PLAYGROUND", "true")], &[]).0);
}

#[test]
fn defaults_are_a_valid_file() {
    let text = toml::to_string(&Config::default()).expect("TOML");
    assert_eq!(read(&text, &[], &[]).expect("good").config, Config::default());
}
