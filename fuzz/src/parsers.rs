//! Fuzz targets of text that is only parsed. They have a program of their own, `tintype-fuzz-parsers`: libFuzzer reads the
//! counters of the whole program after each input, and without the codecs these are fewer.

use std::sync::LazyLock;

use tintype::config::{Config, Loaded};
use tintype::dialect::native::query;
use tintype::dialect::{self, Policy, negotiate};
use tintype::render::{self, Format};
use tintype::source::ImageId;

/// Runs one input.
pub(crate) type Target = fn(&[u8]);

/// Targets by name.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("query", parameters),
    ("accept", accept),
    ("path", path),
    ("signature", signature),
    ("names", names),
    ("settings", settings),
    ("dialect-paths", |data| foreign("", data)),
    ("dialect-imgproxy", |data| foreign("/imgproxy", data)),
    ("dialect-cloudflare", |data| foreign("/cloudflare", data)),
    ("dialect-ipx", |data| foreign("/ipx", data)),
    ("dialect-thumbor", |data| foreign("/thumbor", data)),
    ("dialect-imgix", |data| foreign("/imgix", data)),
    ("dialect-next", |data| foreign("/next", data)),
    ("dialect-wsrv", |data| foreign("/wsrv", data)),
];

/// Every dialect, without keys.
const DIALECTS: &str = r#"
[dialects]
native = ""
bases = ["https://www.example.com"]
[dialects.imgproxy]
mount = "/imgproxy"
presets = { thumb = "rs:fill:96:96", loop = "pr:loop", default = "q:70" }
[dialects.cloudflare]
mount = "/cloudflare"
[dialects.ipx]
mount = "/ipx"
[dialects.thumbor]
mount = "/thumbor"
unsafe = true
[dialects.imgix]
mount = "/imgix"
[dialects.next]
mount = "/next"
widths = []
qualities = []
[dialects.wsrv]
mount = "/wsrv"
[[dialects.paths]]
match = "/resize/{size}/{path}"
query = "fit=contain"
[[dialects.paths]]
match = "/img/{width}x{height}/{format}/{path}"
[[dialects.paths]]
match = "/w{width}/{path}.webp"
query = "format=webp"
"#;

/// The path and query of a foreign URL behind its mount: no text names a file outside of the root or another host.
fn foreign(mount: &str, data: &[u8]) {
    static POLICY: LazyLock<Policy> = LazyLock::new(|| {
        let loaded = tintype::config::read_text(DIALECTS).expect("good settings");
        loaded.config.live.policy().expect("no presets")
    });
    let Ok(text) = std::str::from_utf8(data) else { return };
    let url = format!("{mount}{text}");
    let (path, query) = url.split_once('?').map_or((&*url, None), |(path, query)| (path, Some(query)));
    let _ = POLICY.negotiates_format(path, query);
    let Ok(target) = POLICY.target(path, query, "image/avif,image/webp", 1_800_000_000) else { return };
    assert_ne!(target.dialect, "native");
    let name = target.id.as_str();
    assert!(name.split('/').all(|segment| !segment.is_empty() && !segment.starts_with('.')), "{name}");
    // the name is the same as that of the native URL
    assert_eq!(ImageId::parse(&target.id.to_path()).as_ref(), Ok(&target.id));
}

/// Queries: the canonical form is stable and parses to the same parameters.
fn parameters(data: &[u8]) {
    static POLICY: LazyLock<Policy> = LazyLock::new(|| policy(&[]));
    let Ok(text) = std::str::from_utf8(data) else { return };
    query::negotiates_format(text);
    let _ = POLICY.target("/a.jpg", Some(text), "image/webp", 0);
    let Ok(parsed) = query::parse(text) else { return };
    let once = query::canonical(&parsed.params, &[]);
    let again = query::parse(&once).unwrap_or_else(|invalid| panic!("{once}: {invalid:?}"));
    assert_eq!(again.params, parsed.params, "{once}");
    assert_eq!(query::canonical(&again.params, &[]), once);
}

/// Accept headers.
fn accept(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let chosen = negotiate::choose(text, &[Format::Avif, Format::WebP]);
    let lower = text.to_ascii_lowercase();
    if !lower.contains("image/avif") && !lower.contains("image/webp") {
        assert_eq!(chosen, render::recipe::Choice::Baseline, "a format that is not named is not chosen");
    }
}

/// Paths: a name cannot leave the root, and has one decoded form.
fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(id) = ImageId::parse(text) else { return };
    for segment in id.as_str().split('/') {
        assert!(!segment.is_empty() && !segment.starts_with('.') && segment.len() <= 255, "{id}");
        assert!(!segment.contains(|c: char| c == '\\' || c.is_control()), "{id}");
    }
    let encoded: String = id.as_str().bytes().fold(String::from("/"), |path, byte| match byte {
        b'/' => path + "/",
        byte => path + &format!("%{byte:02X}"),
    });
    assert_eq!(ImageId::parse(&encoded).as_ref(), Ok(&id), "{encoded}");
}

/// Signed URLs: a signed one is valid, an unsigned one is not, and no signature is valid for two answers. The input is a path
/// and two queries, one a line.
fn signature(data: &[u8]) {
    static POLICY: LazyLock<Policy> =
        LazyLock::new(|| policy(&["a key that nobody guesses", "another one of its kind"]));
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(3, '\n');
    let (path, query, unsigned) =
        (lines.next().unwrap_or_default(), lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let refused = |query: &str| matches!(POLICY.target(path, Some(query), "", 0), Err(dialect::Error::Signature(_)));
    if let Ok(signed) = POLICY.sign(path, query) {
        let signed = signed.expect("there are keys");
        let query = signed[path.len()..].strip_prefix('?').expect("a query");
        assert!(!refused(query), "{signed} was signed");
        let cut = &query[..query.len() - 1];
        assert!(refused(cut), "{path}?{cut} was not signed");
    }
    if query::parse(unsigned).is_ok() {
        assert!(refused(unsigned), "{path}?{unsigned}");
    }
    static WITHOUT_KEYS: LazyLock<Policy> = LazyLock::new(|| policy(&[]));
    let both = format!("{query}&{unsigned}");
    if query::parse(&both).map_or(true, |parsed| parsed.params.s.is_some()) {
        return;
    }
    let signature = |query: &str| Some(POLICY.sign(path, query).ok()??.rsplit_once("s=")?.1.to_owned());
    if let (Some(one), Some(other)) = (signature(query), signature(&both))
        && one == other
    {
        let answer = |query: &str| WITHOUT_KEYS.target(path, Some(query), "", 0).ok();
        assert_eq!(answer(query), answer(&both), "{path}?{query} and {both}");
    }
}

/// Names of files in the cache: a name that parses is printed as the same.
fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(again) = tintype::cache::name_again(text) {
        assert_eq!(again, text);
    }
}

/// Settings files: parsed settings can be printed and parsed again.
fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(Loaded { config, .. }) = tintype::config::read_text(text) else { return };
    let again = toml::to_string(&config).expect("TOML");
    let read = tintype::config::read_text(&again).unwrap_or_else(|error| panic!("{error}\n{again}"));
    assert_eq!(read.config, config, "{again}");
}

/// The rules of native URLs with these keys, and a preset.
pub(crate) fn policy(keys: &[&str]) -> Policy {
    let mut config = Config::default();
    config.live.security.keys = keys.iter().map(|&key| key.to_owned()).collect();
    config.live.security.require_signature = !keys.is_empty();
    config.live.presets.insert("a".into(), "width=96&fit=cover&quality=50&blur=2&position=top&animated=false".into());
    config.live.policy().expect("a valid preset")
}
