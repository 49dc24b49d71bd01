//! The folder of a cache as the commands read it, beside a running service or without one.

use std::path::Path;

use tintype_store::stats::{self, Damaged, FolderStats};

use super::attributes::Attributes;

/// Reads the statistics of a cache folder. A rendition that is removed in the meantime is not counted.
///
/// # Errors
/// Where the folder is missing or cannot be read.
pub fn folder_stats(dir: &Path) -> std::io::Result<FolderStats> {
    stats::folder_stats::<Attributes>(dir)
}

/// Reads every rendition and compares it with its name. `progress` gets the number of files read and of all. Returns the
/// number of intact files, and the damaged ones.
///
/// # Errors
/// Where the folder is missing or cannot be listed.
pub fn verify(dir: &Path, progress: impl FnMut(u64, u64)) -> std::io::Result<(u64, Vec<Damaged>)> {
    stats::verify::<Attributes>(dir, progress)
}

/// The name that is made of a parsed name; for tests that both are equal.
#[doc(hidden)]
pub fn name_again(written: &str) -> Option<String> {
    tintype_store::name_again::<Attributes>(written)
}
