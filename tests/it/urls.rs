//! URLs and their recipes: the tables in `testdata/urls`, one URL a line.

use std::path::{Path, PathBuf};

use tintype::dialect::{Config, Error, Policy};
use tintype::render::Format;
use tintype::render::recipe::{OverlayId, Quality};

fn policy() -> Policy {
    let presets = [("avatar", "w=96&h=96&fit=cover"), ("hero", "w=1600&ar=16:9&f=webp&q=70")];
    Policy::new(Config {
        quality: Quality::default(),
        target: Default::default(),
        formats: vec![Format::Avif, Format::WebP],
        client_hints: false,
        save_data_quality: None,
        max_dimension: 8192,
        widths: Vec::new(),
        snap: tintype::dialect::Snap::Off,
        reject_unknown: false,
        presets: presets.map(|(name, query)| (name.to_owned(), query.to_owned())).into(),
        overlays: [("logo".to_owned(), OverlayId { digest: [0xab; 32], width: 100, height: 40 })].into(),
        overlay: String::new(),
        keys: tintype::dialect::signature::Keys::default(),
        require_signature: false,
        mounts: tintype::dialect::Mounts::default(),
    })
    .expect("valid presets")
}

/// The right-hand side of a line.
fn describe(policy: &Policy, query: &str) -> String {
    // a second of 2026, for `expires`
    match policy.target("/a.jpg", Some(query), "", 1_780_000_000) {
        Ok(target) => {
            let mut text = target.recipe.map_or("the original".into(), |recipe| recipe.to_string());
            for (is_set, word) in [(target.immutable, "immutable"), (target.negotiable, "negotiable")] {
                if is_set {
                    text = format!("{text}; {word}");
                }
            }
            target.download.map_or(text.clone(), |name| format!("{text}; saved as {name}"))
        }
        Err(Error::InvalidParams(invalid)) => {
            let each = invalid.iter().map(|one| {
                let hint = one.did_you_mean.as_ref().map_or(String::new(), |word| format!(" ({word}?)"));
                format!("400 {}{hint}", one.name)
            });
            each.collect::<Vec<_>>().join("; ")
        }
        Err(Error::Signature(_) | Error::ForeignSource) => "403".into(),
        Err(Error::Expired) => "410".into(),
        Err(Error::InvalidName) => "404".into(),
    }
}

#[test]
fn urls_parse_as_the_tables_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/urls");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).expect("the tables").flatten().map(|e| e.path()).collect();
    paths.sort();
    let bless = std::env::var_os("TINTYPE_BLESS").is_some();
    let policy = policy();
    let (mut count, mut wrong) = (0, Vec::new());
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a table");
        let mut lines = Vec::new();
        for line in text.lines() {
            if line.starts_with('#') || line.trim().is_empty() {
                lines.push(line.to_owned());
                continue;
            }
            count += 1;
            let (query, expected) = line.split_once(" => ").unwrap_or((line, ""));
            let actual = describe(&policy, query.trim_end().trim_start_matches('?'));
            if actual != expected {
                wrong.push(format!("{query} => {actual}, not {expected}"));
            }
            lines.push(format!("?{:<40} => {actual}", query.trim_end().trim_start_matches('?')));
        }
        if bless {
            std::fs::write(&path, lines.join("\n") + "\n").expect("written");
        }
    }
    assert!(count >= 300, "only {count} lines");
    assert!(bless || wrong.is_empty(), "{wrong:#?}");
}
