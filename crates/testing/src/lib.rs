//! Files for the tests of tintype's crates.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of `testdata`, by its path below that folder.
///
/// # Panics
/// Where it cannot be read.
pub fn testdata(path: &str) -> Vec<u8> {
    let path = workspace().join("testdata").join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of `testdata` whose first bytes match. Those of the corpus of real and hostile images are added where it is there,
/// which no test may rely on: in `TINTYPE_CORPUS`, or in `shared/corpus` beside the project.
///
/// # Panics
/// Where a file cannot be read.
pub fn originals(matches: fn(&[u8]) -> bool) -> impl Iterator<Item = (PathBuf, Vec<u8>)> {
    let root = workspace();
    let corpus = std::env::var_os("TINTYPE_CORPUS").map_or_else(|| root.join("../shared/corpus"), PathBuf::from);
    let all = [root.join("testdata"), corpus].map(|folder| files(&folder));
    let with_bytes = move |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        matches(&bytes).then_some((path, bytes))
    };
    all.into_iter().flatten().filter_map(with_bytes)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
