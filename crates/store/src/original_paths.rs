//! Which originals there are renditions of. A key holds only a digest of its original's name, so a purge of a whole
//! folder, and whoever wants to know what takes the space, needs the names: one a line in a file that is only ever
//! appended to or replaced. A line that is torn or lost makes its renditions nameless; a purge takes those along.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Result, Write};

use crate::folder::{Folder, blocks_of};
use crate::key::PathHash;
use crate::layout;

/// Longer lines are no names of ours.
const LONGEST: u64 = 64 * 1024;

/// The names that are written down.
pub(crate) struct OriginalPaths {
    known: HashSet<PathHash>,
    /// Whether the file ends within a line, as after a power loss.
    torn: bool,
}

impl OriginalPaths {
    /// What is written down in that folder.
    pub(crate) fn load(folder: &Folder) -> Result<OriginalPaths> {
        let mut known = HashSet::new();
        let file = folder.append(layout::NAMES)?;
        let torn = each(&file, |name| {
            known.insert(PathHash::of(name));
        })?;
        Ok(OriginalPaths { known, torn })
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Writes a name down unless it is; gives the blocks that the file takes now if it has grown.
    pub(crate) fn keep(&mut self, folder: &Folder, original: &str) -> Result<Option<u64>> {
        let hash = PathHash::of(original);
        if self.known.contains(&hash) {
            return Ok(None);
        }
        let mut file = folder.append(layout::NAMES)?;
        let separator = if self.torn { "\n" } else { "" };
        // until it is known that the line is whole
        self.torn = true;
        file.write_all(format!("{separator}{}\n", original).as_bytes())?;
        self.torn = false;
        self.known.insert(hash);
        Ok(Some(blocks_of(&file)?))
    }

    /// Writes the file anew with those names alone that are still needed.
    pub(crate) fn compact(&mut self, folder: &Folder, needed: &HashSet<PathHash>) -> Result<u64> {
        let old = folder.append(layout::NAMES)?;
        let path = format!("{}/{}", layout::STAGING, layout::NAMES);
        folder.remove(&path)?;
        let mut kept = HashSet::new();
        let mut new = std::io::BufWriter::new(folder.create(&path)?);
        let mut written = Ok(());
        each(&old, |name| {
            let hash = PathHash::of(name);
            if needed.contains(&hash) && kept.insert(hash) && written.is_ok() {
                written = writeln!(new, "{name}");
            }
        })?;
        written?;
        let new = new.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        new.sync_data()?;
        folder.rename(&path, layout::NAMES)?;
        (self.known, self.torn) = (kept, false);
        blocks_of(&new)
    }
}

/// The names that are written down in that folder, each handed to `see`.
pub(crate) fn read(folder: &Folder, see: impl FnMut(&str)) -> Result<()> {
    match folder.open_file(layout::NAMES) {
        Ok(file) => each(&file, see).map(|_torn| ()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Each line that may be a name; `true` where the file ends within a line.
fn each(file: &File, mut see: impl FnMut(&str)) -> Result<bool> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut reader).take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            return Ok(false);
        }
        let Some(name) = line.strip_suffix(b"\n") else {
            if (line.len() as u64) < LONGEST {
                return Ok(true);
            }
            continue;
        };
        if let Ok(name) = std::str::from_utf8(name) {
            see(name);
        }
    }
}
