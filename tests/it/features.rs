//! The table of features says what is so: each row that tintype has is tried, by a request or by a test that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use http::StatusCode;
use tintype::render;

use crate::common::in_process::InProcess;
use crate::common::testdata;

/// A row of the table: its section and its name.
type Row = (String, String);

/// The rows that tintype has, out of the document.
fn documented() -> BTreeSet<Row> {
    let document = std::fs::read_to_string(root().join("docs/features.md")).expect("the document");
    let (mut rows, mut section) = (BTreeSet::new(), String::new());
    for line in document.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            heading.clone_into(&mut section);
        }
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, name, ours, ..] = cells[..] else { continue };
        let is_row = !name.is_empty() && !name.starts_with("---");
        if is_row && ours != "no" && !ours.starts_with("no:") {
            rows.insert((section.clone(), name.to_owned()));
        }
    }
    rows
}

/// The proof of each row: a URL with the media type and the frames of its answer (`1` or `*`), or the name of a test.
fn tried() -> BTreeMap<Row, Vec<[String; 3]>> {
    let table = std::fs::read_to_string(testdata().join("features.tsv")).expect("the table");
    let mut tried: BTreeMap<Row, Vec<_>> = BTreeMap::new();
    for line in table.lines().filter(|line| !line.starts_with('#')).skip(1) {
        let cells: Vec<_> = line.split('\t').map(str::to_owned).collect();
        let [section, name, subject, media_type, frames] = cells.try_into().expect("five cells");
        tried.entry((section, name)).or_default().push([subject, media_type, frames]);
    }
    tried
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All sources in a folder, as one text.
fn sources(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries
        .map(|path| match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => std::fs::read_to_string(&path).expect("a source"),
            None if path.is_dir() && !path.ends_with("target") => sources(&path),
            _ => String::new(),
        })
        .collect()
}

#[test]
fn every_feature_is_tried() {
    let tried: BTreeSet<Row> = tried().into_keys().collect();
    assert_eq!(documented().difference(&tried).collect::<Vec<_>>(), Vec::<&Row>::new(), "rows that nothing tries");
    assert_eq!(tried.difference(&documented()).collect::<Vec<_>>(), Vec::<&Row>::new(), "rows that are not documented");
}

#[test]
fn tests_that_features_name_exist() {
    let sources: String = ["src", "crates", "tests/it"].map(|folder| sources(&root().join(folder))).concat();
    for subject in tried().into_values().flatten().map(|[subject, ..]| subject).filter(|name| !name.starts_with('/')) {
        assert!(sources.contains(&format!("fn {subject}(")), "{subject} is no test");
    }
}

#[tokio::test]
async fn features_answer_as_documented() {
    let server = InProcess::new(&testdata(), |_| {});
    for [url, media_type, frames] in tried().into_values().flatten().filter(|[subject, ..]| subject.starts_with('/')) {
        let answer = server.get_with(&url, &[("accept", "image/avif,image/webp,*/*")]).await;
        assert_eq!(answer.status, StatusCode::OK, "{url}: {}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.header("content-type"), media_type, "{url}");
        if frames != "-" {
            let info = render::probe(&answer.body).expect("an image");
            assert_eq!(info.frames > 1, frames == "*", "{url}: {} frames", info.frames);
        }
    }
}
