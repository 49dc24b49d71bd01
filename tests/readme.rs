//! The README's tables are made from the code. `TINTYPE_BLESS=1` writes them anew.

use std::fmt::Write;
use std::path::Path;

use tintype::config::Config;
use tintype::dialect::params::PARAMETERS;

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
