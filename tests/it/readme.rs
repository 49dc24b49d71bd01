//! The documents agree with the code and with each other: tables are generated (`TINTYPE_BLESS=1` writes them), examples of
//! settings and URLs parse, links and paths lead somewhere.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use crate::common::folder;
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

/// Every setting with its default and description.
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
        let variable = setting.variable().map_or_else(|| "–".into(), |name| format!("`{name}`"));
        let (key, default, about) = (setting.key, &setting.default, &setting.about);
        writeln!(text, "| `{key}` | `{default}` | {about}{unit} | {live} | {variable}{flag} |").expect("a String");
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
    let app = tintype::http::app(State::new(service, config.fixed.http(), config.live_http().expect("no presets")));
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
            // it differs in every release
            "version" => "`version`".to_owned(),
            _ => format!("`{label}`: {}", values.join(", ")),
        });
        let shown = shown.collect::<Vec<_>>().join("; ");
        writeln!(table, "| `{name}` | {kind} | {shown} | {help} |").expect("a String");
    }
    table
}

/// Every Markdown file that readers are sent to, by its path in the project.
fn documents() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["", "docs", "docs/migrate", ".github", "testdata"] {
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else { continue };
        let names = entries.map(|entry| entry.expect("a directory entry").file_name().into_string().expect("UTF-8"));
        found.extend(
            names
                .filter(|name| name.ends_with(".md"))
                .map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") }),
        );
    }
    found.sort();
    found
}

fn read(document: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{document}: {error}"))
}

/// Compares a generated table with the document, or writes it.
fn assert_table(document: &str, name: &str, table: &str) {
    let before = read(document);
    let begin = format!("<!-- {name}: generated from the code; TINTYPE_BLESS=1 writes it -->\n");
    let start = before.find(&begin).expect("the first mark") + begin.len();
    let stop = before.find(&format!("<!-- end of {name} -->")).expect("the last mark");
    let mut after = before.clone();
    after.replace_range(start..stop, table);
    if std::env::var_os("TINTYPE_BLESS").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(document), &after).expect("a writable file");
    } else {
        assert!(before == after, "{document} is out of date: TINTYPE_BLESS=1 cargo test --test it readme::");
    }
}

#[test]
fn parameters_reference_is_current() {
    assert_table("docs/url-parameters.md", "parameters", &parameters());
}

/// The pages with the options of foreign dialects.
const DIALECTS: [(&str, &str); 8] = [
    ("paths", "docs/migrate/nginx-and-lua.md"),
    ("next", "docs/migrate/next.md"),
    ("imgproxy", "docs/migrate/imgproxy.md"),
    ("cloudflare", "docs/migrate/cloudflare.md"),
    ("ipx", "docs/migrate/ipx.md"),
    ("thumbor", "docs/migrate/thumbor.md"),
    ("imgix", "docs/migrate/imgix.md"),
    ("wsrv", "docs/migrate/wsrv.md"),
];

/// Every dialect, mounted.
fn all_dialects() -> tintype::dialect::Mounts {
    let mut text = String::from("[[dialects.paths]]\nmatch = \"/paths/{size}/{path}\"\n");
    text.push_str("[dialects.thumbor]\nmount = \"/thumbor\"\nunsafe = true\n");
    for (name, _) in DIALECTS[1..].iter().filter(|(name, _)| *name != "thumbor") {
        write!(text, "[dialects.{name}]\nmount = \"/{name}\"\n").expect("a String");
    }
    let loaded = tintype::config::read_text(&text).expect("good settings");
    loaded.config.live.mounts().expect("good mounts")
}

#[test]
fn options_of_dialects_are_current() {
    let mounts = all_dialects();
    assert_eq!(mounts.foreign().count(), DIALECTS.len());
    for (name, document) in DIALECTS {
        let (_, dialect) = mounts.foreign().find(|(_, dialect)| dialect.name() == name).expect(name);
        let mut table = String::from("| option | values | meaning |\n|---|---|---|\n");
        for option in dialect.options() {
            let names = option.names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ");
            let meaning = match (option.treatment, option.about) {
                ("read", about) => about.to_owned(),
                (treatment, "") => treatment.to_owned(),
                (treatment, about) => format!("{treatment}: {about}"),
            };
            writeln!(table, "| {names} | {} | {meaning} |", option.allowed).expect("a String");
        }
        assert_table(document, &format!("options of {name}"), &table);
    }
}

#[test]
fn settings_reference_is_current() {
    assert_table("docs/configuration.md", "settings", &settings_in_full());
}

#[tokio::test]
async fn metrics_reference_is_current() {
    let table = metrics().await;
    assert_table("docs/metrics.md", "metrics", &table);
    for document in documents().iter().filter(|document| document.as_str() != "CHANGELOG.md") {
        let text = read(document);
        let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
        for name in words.filter(|word| word.starts_with("tintype_") && !word.ends_with('_')) {
            let name = ["_bucket", "_sum", "_count"].iter().fold(name, |name, end| name.trim_end_matches(end));
            // a target of the log; nginx's variables and zones of the shipped site
            let is_metric =
                name != "tintype_store" && !text.contains(&format!("${name}")) && !text.contains(&format!("/_{name}"));
            assert!(!is_metric || table.contains(&format!("| `{name}` |")), "{document}: there is no {name}");
        }
    }
}

#[test]
fn settings_examples_are_valid() {
    let mut seen = 0;
    for document in documents() {
        for block in read(&document).split("```toml\n").skip(1).map(|rest| rest.split_once("```").expect("an end").0) {
            tintype::config::read_text(block).unwrap_or_else(|error| panic!("{document}: {error}"));
            seen += 1;
        }
    }
    assert!(seen >= 2);
}

/// Every status that `problem.rs` names is in the table of statuses.
#[test]
fn every_status_is_documented() {
    let document = read("docs/url-parameters.md");
    let table =
        document.split_once("| status | when |").and_then(|(_, rest)| rest.split_once("\n\n")).expect("a table").0;
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
        assert!(explained.contains(code.to_string().as_str()), "{code} {name} is not in docs/url-parameters.md");
    }
}

/// The lines of a document outside of fenced code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The anchors that GitHub gives the headings of a document.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let slug = |heading: &str| {
        let kept =
            heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
        kept.replace(' ', "-")
    };
    headings.map(slug).collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for document in documents() {
        let text = read(&document);
        let folder = Path::new(&document).parent().expect("a folder");
        let links =
            prose(&text).flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split([')', ' ']).next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { root.join(&document) } else { root.join(folder).join(path) };
            assert!(target.exists(), "{document}: {link}");
            if !anchor.is_empty() {
                let target = std::fs::read_to_string(&target).expect("a document");
                assert!(anchors(&target).contains(anchor), "{document}: no heading for {link}");
            }
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn every_page_is_in_the_index() {
    let index = read("docs/README.md");
    for document in documents().iter().filter_map(|document| document.strip_prefix("docs/")) {
        assert!(document == "README.md" || index.contains(&format!("]({document})")), "docs/README.md: no {document}");
    }
}

#[test]
fn every_part_is_in_the_architecture() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (page, picture) = (read("docs/architecture.md"), read("docs/architecture.svg"));
    for folder in ["crates", "src"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("a folder").map(|entry| entry.expect("an entry")) {
            let name = entry.file_name().into_string().expect("UTF-8");
            // only tests use it
            if entry.file_type().expect("a type").is_dir() && name != "testing" {
                assert!(page.contains(&format!("| `{folder}/{name}` |")), "docs/architecture.md: no {folder}/{name}");
                assert!(picture.contains(&format!(">{name}<")), "docs/architecture.svg: no {name}");
            }
        }
    }
}

/// Paths of the project between backticks, as in `src/lib.rs` or `src/http/problem.rs:Problem`; those with `<` are patterns.
#[test]
fn paths_in_documents_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders =
        ["src/", "crates/", "tests/", "testdata/", "benches/", "fuzz/", "deploy/", "docs/", ".github/", ".ci/"];
    for document in documents().iter().filter(|document| document.as_str() != "CHANGELOG.md") {
        let text = read(document);
        let code = prose(&text).flat_map(|line| line.split('`').skip(1).step_by(2));
        let paths = code.filter(|code| folders.iter().any(|folder| code.starts_with(folder)));
        for path in paths.filter(|path| !path.contains(['<', '{', '*', '…'])) {
            let (path, item) = path.split_once(':').unwrap_or((path, ""));
            let (path, _) = path.split_once(' ').unwrap_or((path, ""));
            assert!(root.join(path).exists(), "{document}: there is no {path}");
            let names = item.trim_start_matches(':').split("::").filter(|name| !name.is_empty());
            for name in names {
                let source = std::fs::read_to_string(root.join(path)).expect("a file");
                assert!(source.contains(name), "{document}: there is no {name} in {path}");
            }
        }
    }
}

/// The queries in a text: those of URLs, and code between backticks that begins like one.
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
    // not a query for an image: `purge?path=`, `<?php`
    found.retain(|query| !query.starts_with("path=") && query != "php" && !query.contains('$'));
    found
}

#[test]
fn documented_queries_are_valid() {
    for (name, least) in
        [("html", 30), ("cloudflare", 3), ("migrate/openresty", 15), ("migrate/image-filter", 6), ("install", 2)]
    {
        let document = format!("docs/{name}.md");
        let found = queries(&read(&document));
        assert!(found.len() >= least, "{document}: {found:?}");
        for query in found {
            if let Err(wrong) = query::parse(&query) {
                panic!("{document}: {query}: {wrong:?}");
            }
            // unknown parameters are ignored, which would hide a typing error
            for (key, _) in query.split('&').map(|part| part.split_once('=').unwrap_or((part, ""))) {
                let known = PARAMETERS.iter().any(|one| one.name == key || one.aliases.contains(&key));
                assert!(known, "{document}: {query}: there is no {key}");
            }
        }
    }
}
