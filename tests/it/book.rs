//! The documentation as a website: `make docs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::need::needs;
use crate::common::{folder, run};

/// The values of an attribute in a page.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let begins = format!(" {attribute}=\"");
    page.match_indices(&begins).filter_map(|(at, _)| page[at + begins.len()..].split('"').next()).collect()
}

/// The page without its examples of code, which have links of their own.
fn without_code(page: &str) -> String {
    let mut parts = page.split("<code");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.filter_map(|part| Some(part.split_once("</code>")?.1)).fold(first, |text, rest| text + rest)
}

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            pages(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "html") {
            found.push(entry);
        }
    }
}

#[test]
fn book_has_every_page_search_and_no_dead_link() {
    needs!(Mdbook);
    let place = folder();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("docs/book/render"));
    let (code, _, said) = run(command.arg(place.path().join("book")), b"");
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");

    let html = place.path().join("book/html");
    for folder in ["docs", "docs/migrate"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("a folder").map(|entry| entry.expect("an entry")) {
            let name = entry.file_name().into_string().expect("UTF-8").replace("README.md", "index.md");
            let Some(name) = name.strip_suffix(".md") else { continue };
            // the index of the documents is the table of contents
            let is_there = html.join(folder).join(format!("{name}.html")).exists();
            assert!(is_there || (folder, name) == ("docs", "index"), "{folder}/{name}");
        }
    }
    let files: Vec<_> = std::fs::read_dir(&html).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
    assert!(files.iter().any(|name| name.to_string_lossy().starts_with("searchindex")), "{files:?}");

    let mut found = Vec::new();
    pages(&html, &mut found);
    let mut seen = BTreeSet::new();
    for page in found.iter().filter(|page| !page.ends_with("404.html") && !page.ends_with("print.html")) {
        let text = without_code(&std::fs::read_to_string(page).expect("a page"));
        let links = values(&text, "href").into_iter().chain(values(&text, "src"));
        for link in links.filter(|link| !link.contains(':') && !link.is_empty()) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.parent().expect("a folder").join(path) };
            assert!(target.exists(), "{}: {link}", page.display());
            if !anchor.is_empty() {
                let target = std::fs::read_to_string(&target).expect("a page");
                assert!(values(&target, "id").contains(&anchor), "{}: {link}", page.display());
                seen.insert(link.to_owned());
            }
        }
    }
    assert!(seen.len() > 20, "{seen:?}");
}
