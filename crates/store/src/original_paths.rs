//! The paths of the originals that have files. A key has only a hash of its original's path, so a purge of a folder and the
//! statistics by original need the paths: one a line, in a file that is only appended to or replaced. Files whose line is torn
//! or lost belong to an unknown original; a purge of any folder removes them, too.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Result, Write};

use crate::folder::{Folder, blocks_of};
use crate::key::PathHash;
use crate::layout;

/// Longer lines are not paths that the store wrote.
const MAX_LINE: u64 = 64 * 1024;

/// The recorded paths.
pub(crate) struct OriginalPaths {
    known: HashSet<PathHash>,
    /// Whether the file ends within a line, as after a power failure.
    is_torn: bool,
}

impl OriginalPaths {
    /// Reads the paths that are recorded in the folder.
    pub(crate) fn load(folder: &Folder) -> Result<OriginalPaths> {
        let mut known = HashSet::new();
        let file = folder.append(layout::ORIGINAL_PATHS)?;
        let is_torn = each_line(&file, |path| {
            known.insert(PathHash::of(path));
        })?;
        Ok(OriginalPaths { known, is_torn })
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Records a path unless it is recorded; returns the blocks of the file if it has grown.
    pub(crate) fn add(&mut self, folder: &Folder, original: &str) -> Result<Option<u64>> {
        let hash = PathHash::of(original);
        if self.known.contains(&hash) {
            return Ok(None);
        }
        let mut file = folder.append(layout::ORIGINAL_PATHS)?;
        let separator = if self.is_torn { "\n" } else { "" };
        // until the line is written completely
        self.is_torn = true;
        file.write_all(format!("{separator}{original}\n").as_bytes())?;
        self.is_torn = false;
        self.known.insert(hash);
        Ok(Some(blocks_of(&file)?))
    }

    /// Rewrites the file with the paths that are still needed.
    pub(crate) fn compact(&mut self, folder: &Folder, needed: &HashSet<PathHash>) -> Result<u64> {
        let old = folder.append(layout::ORIGINAL_PATHS)?;
        let path = format!("{}/{}", layout::STAGING, layout::ORIGINAL_PATHS);
        folder.remove(&path)?;
        let mut rewritten = HashSet::new();
        let mut new = std::io::BufWriter::new(folder.create(&path)?);
        let mut written = Ok(());
        each_line(&old, |path| {
            let hash = PathHash::of(path);
            if needed.contains(&hash) && rewritten.insert(hash) && written.is_ok() {
                written = writeln!(new, "{path}");
            }
        })?;
        written?;
        let new = new.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        new.sync_data()?;
        folder.rename(&path, layout::ORIGINAL_PATHS)?;
        (self.known, self.is_torn) = (rewritten, false);
        blocks_of(&new)
    }
}

/// Passes each path that is recorded in the folder to `visit`.
pub(crate) fn read(folder: &Folder, visit: impl FnMut(&str)) -> Result<()> {
    match folder.open_file(layout::ORIGINAL_PATHS) {
        Ok(file) => each_line(&file, visit).map(|_torn| ()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Passes each complete line to `visit`; `true` where the file ends within a line.
fn each_line(file: &File, mut visit: impl FnMut(&str)) -> Result<bool> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(false);
        }
        let Some(path) = line.strip_suffix(b"\n") else {
            if (line.len() as u64) < MAX_LINE {
                return Ok(true);
            }
            continue;
        };
        if let Ok(path) = std::str::from_utf8(path) {
            visit(path);
        }
    }
}
