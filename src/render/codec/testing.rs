//! Files for the tests of codecs.

use std::path::{Path, PathBuf};

/// The files of testdata that are of a kind by their first bytes. Those of the corpus are added where it is there, which no
/// test may rely on: in `TINTYPE_CORPUS`, or in `shared/corpus` beside the project.
pub(super) fn originals(is_of_kind: fn(&[u8]) -> bool) -> impl Iterator<Item = (PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = std::env::var_os("TINTYPE_CORPUS").map_or_else(|| root.join("../shared/corpus"), PathBuf::from);
    let all = [root.join("testdata"), corpus].map(|folder| files(&folder));
    let with_bytes = move |path: PathBuf| {
        let bytes = std::fs::read(&path).expect("a file");
        is_of_kind(&bytes).then_some((path, bytes))
    };
    all.into_iter().flatten().filter_map(with_bytes)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
