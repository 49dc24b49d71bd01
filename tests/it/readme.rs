//! The tables of the README and of `docs/` are made from the code. `TINTYPE_BLESS=1` writes them anew.

use crate::common::folder;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use http_body_util::BodyExt;
use tintype::config::Config;
use tintype::dialect::native::PARAMETERS;
use tintype::dialect::native::query;
use tintype::http::State;
use tintype::service::Service;
use tintype::source::Files;

fn parameters() -> String {
    let mut table = String::from("| parameter | aliases | values | default | what it does |\n|---|---|---|---|---|\n");
    for parameter in PARAMETERS {
        let aliases: Vec<String> = parameter.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        let (name, values, default, about) = (parameter.name, parameter.allowed, parameter.default(), parameter.about);
        writeln!(table, "| `{name}` | {} | {values} | {default} | {about} |", aliases.join(" ")).expect("a String");
    }
    table
}

/// Every setting with all that there is to know of it.
fn settings_in_full() -> String {
    let (mut text, mut section) = (String::new(), "");
    for setting in tintype::config::settings() {
        if setting.section != section {
            section = setting.section;
            let about = setting.section_about.trim_end_matches('.');
            write!(text, "\n## `[{section}]`\n\n{about}.\n\n| setting | default | meaning | SIGHUP | environment |\n|---|---|---|---|---|\n")
                .expect("a String");
        }
        let unit = setting.unit().map(|unit| format!(" {unit}.").replace('"', "`")).unwrap_or_default();
        let flag = setting.flag().map(|flag| format!(", `serve {flag}`")).unwrap_or_default();
        let live = if setting.is_live() { "yes" } else { "restart" };
        let (key, default, about, variable) = (setting.key, &setting.default, &setting.about, setting.variable());
        writeln!(text, "| `{key}` | `{default}` | {about}{unit} | {live} | `{variable}`{flag} |").expect("a String");
    }
    text
}

/// Every metric as `/-/metrics` has it.
async fn metrics() -> String {
    let cache = folder();
    let mut config = Config::default();
    config.fixed.cache.dir = cache.path().to_owned();
    let source = Arc::new(Files::new(cache.path(), 1).expect("a folder"));
    let service = Service::new(source, &config.fixed.cache(), config.fixed.workers(), config.render());
    let app = tintype::http::app(State::new(service, config.live.policy().expect("no presets"), config.http()));
    let request = http::Request::builder().uri("/-/metrics").body(axum::body::Body::empty()).expect("a request");
    let body = app.answer(request).await.into_body().collect().await.expect("a body").to_bytes();
    let body = String::from_utf8(body.to_vec()).expect("UTF-8");

    let mut table = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for family in body.split("# HELP ").skip(1) {
        let mut lines = family.lines();
        let (name, help) = lines.next().and_then(|line| line.split_once(' ')).expect("a name and a text");
        let kind = lines.next().and_then(|line| line.rsplit(' ').next()).expect("a type");
        let mut labels: Vec<(&str, Vec<&str>)> = Vec::new();
        for pair in
            lines.filter_map(|line| Some(line.split_once('{')?.1.split_once('}')?.0)).flat_map(|all| all.split(','))
        {
            let (label, value) = pair.split_once('=').expect("a label");
            let value = value.trim_matches('"');
            match labels.iter_mut().find(|(known, _)| *known == label) {
                Some((_, values)) if values.contains(&value) => {}
                Some((_, values)) => values.push(value),
                None => labels.push((label, vec![value])),
            }
        }
        let shown = labels.iter().filter(|(label, _)| *label != "le").map(|(label, values)| match *label {
            // it is another one in every release
            "version" => "`version`".to_owned(),
            _ => format!("`{label}`: {}", values.join(", ")),
        });
        let shown = shown.collect::<Vec<_>>().join("; ");
        writeln!(table, "| `{name}` | {kind} | {shown} | {help} |").expect("a String");
    }
    table
}

/// Puts each of these between its marks, and fails where something else stands there.
fn hold(document: &str, parts: &[(&str, String)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let mut text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{document}: {error}"));
    let before = text.clone();
    for (name, made) in parts {
        let begin = format!("<!-- {name}: made from the code by tests/it/readme.rs -->\n");
        let end = format!("<!-- end of {name} -->");
        let start = text.find(&begin).expect("where it begins") + begin.len();
        let stop = text.find(&end).expect("where it ends");
        text.replace_range(start..stop, made);
    }
    if std::env::var_os("TINTYPE_BLESS").is_some() {
        std::fs::write(&path, &text).expect("written");
    } else {
        assert!(
            before == text,
            "{document} is old; TINTYPE_BLESS=1 cargo test --test it -- readme:: makes its tables anew"
        );
    }
}

#[test]
fn readme_parameters_are_current() {
    hold("README.md", &[("parameters", parameters())]);
}

#[test]
fn settings_reference_is_current() {
    hold("docs/settings.md", &[("settings", settings_in_full())]);
}

#[tokio::test]
async fn metrics_reference_is_current() {
    let table = metrics().await;
    hold("docs/metrics.md", &[("metrics", table.clone())]);
    // and what its queries name is there
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let text = std::fs::read_to_string(path).expect("a document");
    for name in text.split(|c: char| !c.is_ascii_lowercase() && c != '_').filter(|word| word.starts_with("tintype_")) {
        let name = ["_bucket", "_sum", "_count"].iter().fold(name, |name, end| name.trim_end_matches(end));
        assert!(table.contains(&format!("| `{name}` |")), "there is no {name}");
    }
}

/// What the documents show of settings can be written down as it stands.
#[test]
fn settings_examples_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for document in ["README.md", "docs/settings.md", "docs/install.md", "docs/html.md", "docs/openresty.md"] {
        let text = std::fs::read_to_string(root.join(document)).expect("a document");
        for block in text.split("```toml\n").skip(1).map(|rest| rest.split_once("```").expect("an end").0) {
            tintype::config::read_text(block).unwrap_or_else(|error| panic!("{document}: {error}"));
            seen += 1;
        }
    }
    assert!(seen >= 2);
}

/// Every status that a failure can have stands in the README's table.
#[test]
fn every_status_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).expect("a file");
    let readme = read("README.md");
    let table =
        readme.split_once("| status | when |").and_then(|(_, rest)| rest.split_once("\n\n")).expect("a table").0;
    let explained: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split('|').next())
        .flat_map(|codes| codes.trim().split(", "))
        .collect();
    let code = read("src/http/problem.rs");
    let named = code.split("StatusCode::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    });
    let named: BTreeSet<&str> = named.filter(|name| !name.is_empty()).collect();
    assert!(named.len() > 15, "{named:?}");
    for name in named {
        let is_it = |code: &u16| {
            let reason = http::StatusCode::from_u16(*code).ok().and_then(|status| status.canonical_reason());
            reason.is_some_and(|reason| reason.replace([' ', '-'], "_").to_uppercase() == name)
        };
        let code = (100..600).find(is_it).unwrap_or_else(|| panic!("{name} is no status"));
        assert!(explained.contains(code.to_string().as_str()), "{code} {name} does not stand in the README");
    }
}

/// The queries that a text shows: those of URLs, and whatever stands between backticks and begins like one.
fn queries(text: &str) -> Vec<String> {
    let text = text.replace("&amp;", "&");
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ')' | '…');
    let of_urls =
        text.match_indices('?').filter(|(at, _)| text[*at + 1..].starts_with(|c: char| c.is_ascii_lowercase()));
    let mut found: Vec<String> =
        of_urls.map(|(at, _)| text[at + 1..].split(ends).next().unwrap_or_default().to_owned()).collect();
    let names: Vec<&str> = PARAMETERS.iter().flat_map(|one| one.aliases.iter().copied().chain([one.name])).collect();
    for code in text.split('`').skip(1).step_by(2) {
        let begins = code.split_once('=').is_some_and(|(name, value)| names.contains(&name) && !value.is_empty());
        if begins && !code.contains(ends) {
            found.push(code.to_owned());
        }
    }
    // `purge?path=` is another thing, `v=` and `s=` without a value stand for themselves
    found.retain(|query| !query.starts_with("path=") && !query.contains('$'));
    found
}

#[test]
fn documented_queries_are_valid() {
    for (name, least) in [("html", 30), ("cloudflare", 3), ("openresty", 20), ("install", 2)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/{name}.md"));
        let text = std::fs::read_to_string(&path).expect("a document");
        let found = queries(&text);
        assert!(found.len() >= least, "docs/{name}.md: {found:?}");
        for query in found {
            if let Err(wrong) = query::parse(&query) {
                panic!("docs/{name}.md: {query}: {wrong:?}");
            }
            // unknown names are ignored, which would hide a slip
            for (key, _) in query.split('&').map(|part| part.split_once('=').unwrap_or((part, ""))) {
                let known = PARAMETERS.iter().any(|one| one.name == key || one.aliases.contains(&key));
                assert!(known, "docs/{name}.md: {query}: there is no {key}");
            }
        }
    }
}
