//! Files for the tests of tintype's crates.

#![forbid(unsafe_code)]

pub mod object_store;

use std::collections::HashSet;
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

/// The files of `testdata` whose first bytes match. Files of the corpus of real and hostile images are added where it is there,
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

/// The inputs that are kept of a fuzz target, by the target's name.
///
/// # Panics
/// Where there are none.
pub fn fuzz_inputs(target: &str) -> Vec<Vec<u8>> {
    let paths = files(&workspace().join("fuzz/corpus").join(target));
    assert!(!paths.is_empty(), "{target} has no inputs");
    let read = |path: PathBuf| std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    paths.into_iter().map(read).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The space of the store's files and folders, in bytes, without the first block of each folder, and how many files there
/// are; a file with several names takes its space once. Looked at twice, until nothing moved meanwhile: a file that goes
/// from one folder to another while they are listed would count in both.
///
/// # Panics
/// Where a folder cannot be read.
pub fn taken(dir: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let look = || {
        let mut seen: Vec<(PathBuf, u64, bool)> = Vec::new();
        let mut inodes = HashSet::new();
        let mut folders = vec![dir.join("v2")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("readable").flatten() {
                // evicted meanwhile
                let Ok(metadata) = entry.metadata() else { continue };
                let bytes = metadata.blocks() * 512;
                if metadata.is_dir() {
                    folders.push(entry.path());
                    seen.push((entry.path(), bytes.saturating_sub(4096), false));
                } else {
                    let bytes = if inodes.insert(metadata.ino()) { bytes } else { 0 };
                    seen.push((entry.path(), bytes, true));
                }
            }
        }
        seen
    };
    let mut before = look();
    loop {
        let now = look();
        if now == before {
            let files = now.iter().filter(|(.., is_file)| *is_file).count();
            return (now.iter().map(|(_, bytes, _)| bytes).sum(), files as u64);
        }
        before = now;
    }
}

/// All files in a cache folder but the lock and the list of paths.
///
/// # Panics
/// Where a folder cannot be read.
pub fn stored_files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.ends_with("lock") || path.ends_with("names") => {}
                path => all.push(path),
            }
        }
    }
    all
}
