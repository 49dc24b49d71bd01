//! The README's tables are made from the code. `TINTYPE_BLESS=1` writes them anew.

use std::fmt::Write;
use std::path::Path;

use tintype::config::Config;
use tintype::dialect::params::PARAMETERS;
use tintype::dialect::query;

fn parameters() -> String {
    let mut table = String::from("| parameter | aliases | values | default | what it does |\n|---|---|---|---|---|\n");
    for parameter in PARAMETERS {
        let aliases: Vec<String> = parameter.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        let (name, values, default, about) = (parameter.name, parameter.grammar, parameter.default, parameter.about);
        writeln!(table, "| `{name}` | {} | {values} | {default} | {about} |", aliases.join(" ")).expect("a String");
    }
    table
}

fn settings() -> String {
    let defaults = toml::to_string(&Config::default()).expect("TOML");
    format!("```toml\n{defaults}# avatar = \"width=96&height=96&fit=cover\"\n```\n")
}

#[test]
fn the_readme_is_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let mut readme = std::fs::read_to_string(&path).expect("the README");
    let before = readme.clone();
    for (name, made) in [("parameters", parameters()), ("settings", settings())] {
        let begin = format!("<!-- {name}: made from the code by tests/readme.rs -->\n");
        let end = format!("<!-- end of {name} -->");
        let start = readme.find(&begin).expect("where it begins") + begin.len();
        let stop = readme.find(&end).expect("where it ends");
        readme.replace_range(start..stop, &made);
    }
    if std::env::var_os("TINTYPE_BLESS").is_some() {
        std::fs::write(&path, &readme).expect("written");
    } else {
        assert!(
            before == readme,
            "the README's tables are old; TINTYPE_BLESS=1 cargo test --test readme makes them anew"
        );
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
fn the_documents_ask_for_what_there_is() {
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
