//! The order of the modules in `src`, held by looking at the source: a module uses only those before it. The order of the crates
//! is the compiler's to hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Each module and the modules of the service that it may use. `lib.rs` has the same order in words.
const MAY_USE: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("sync", &[]),
    ("net", &[]),
    ("bucket", &["sync", "net"]),
    ("source", &["clock", "sync", "net", "bucket"]),
    ("cache", &["clock", "sync", "net", "bucket", "source"]),
    ("dialect", &["source"]),
    ("service", &["clock", "sync", "net", "bucket", "source", "cache"]),
    ("http", &["clock", "sync", "net", "source", "cache", "dialect", "service"]),
    ("config", &["bucket", "source", "cache", "dialect", "service", "http"]),
    ("cli", &["sync", "net", "bucket", "source", "cache", "dialect", "service", "http", "config"]),
    ("main", &["cli"]),
];

#[test]
fn modules_use_only_those_before_them() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let module = module_of(&path);
        let Some((_, may_use)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            assert_eq!(module, "lib", "{} belongs to no module of the list", path.display());
            continue;
        };
        for used in uses(&text) {
            if used != module && !may_use.contains(&used.as_str()) {
                wrong.push(format!("{} uses {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn restricted_names_stand_in_one_file() {
    let only = [
        ("spawn_blocking", "src/service/workers.rs"),
        ("std::env::", "src/config/mod.rs"),
        ("StatusCode::INTERNAL_SERVER_ERROR", "src/http/problem.rs"),
    ];
    for (what, place) in only {
        let found: Vec<String> = sources("src")
            .iter()
            // helpers of tests may ask the environment for files
            .filter(|(path, _)| !path.ends_with("testing.rs") && path.to_string_lossy() != place)
            .filter(|(_, text)| code(text).contains(what))
            .map(|(path, _)| path.display().to_string())
            .collect();
        assert!(found.is_empty(), "{what} stands in {found:?}, not only in {place}");
    }
}

#[test]
fn source_files_begin_with_their_purpose() {
    for (path, text) in sources("src").into_iter().chain(sources("crates")) {
        assert!(text.starts_with("//! "), "{}", path.display());
    }
}

#[test]
fn imports_in_any_style_are_found() {
    let check = |text: &str, expected: &[&str]| assert_eq!(uses(text), expected, "{text}");
    check("use crate::cli::main;", &["cli"]);
    check("use crate::{cache, http::server};", &["cache", "http"]);
    check("use crate::{\n    cache::{self, Key},\n    source as originals,\n};", &["cache", "source"]);
    check("let x = crate::config::load();", &["config"]);
    check("pub(crate) use super::super::cli;", &["cli"]);
    check("use tintype::{cli};", &["cli"]);
    check("// crate::cli is not used\n", &[]);
}

/// Every Rust file below a folder of the workspace, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a file");
                files.push((path.strip_prefix(root).expect("below it").to_owned(), text));
            }
        }
    }
    assert!(files.len() > 30, "the sources were not found");
    files
}

/// The first folder or file name below `src`.
fn module_of(path: &Path) -> String {
    let first = path.components().nth(1).expect("below src").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The text without comments.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The modules of this crate that a text names, sorted.
fn uses(text: &str) -> Vec<String> {
    let code = code(text);
    let mut found = BTreeMap::new();
    for prefix in ["crate::", "tintype::", "super::super::", "super::super::super::"] {
        for (at, _) in code.match_indices(prefix) {
            let rest = code[at + prefix.len()..].trim_start();
            let group = rest.strip_prefix('{').map_or_else(|| vec![rest], members);
            for member in group {
                let name: String =
                    member.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if MAY_USE.iter().any(|(module, _)| *module == name) {
                    found.insert(name, ());
                }
            }
        }
    }
    found.into_keys().collect()
}

/// The members of a group import, at its own level.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut all) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                all.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                all.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    all
}
