//! The files of the fonts that text is drawn with. They are found once, when the service starts, and their digest is part of
//! the keys of pictures with text. Worker processes are given the list: none draws with fonts that were installed later.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Files of fonts that are loaded, in the order of their paths.
const MAX_FILES: usize = 2000;
/// Bytes of all of them.
const MAX_BYTES: u64 = 1 << 30;
/// Bytes of one of them.
const MAX_FILE_BYTES: u64 = 128 << 20;
/// Folders in each other, which also ends a loop of links.
const MAX_LEVELS: usize = 8;
/// Files and folders that are looked at. Not a time: it would find other fonts on another day.
const MAX_ENTRIES: usize = 20_000;
static INSTALLED: OnceLock<FontFiles> = OnceLock::new();

/// The files of fonts beneath some folders.
#[derive(Clone, Debug, Default)]
pub struct FontFiles {
    /// Path and length, in the order of the paths.
    files: Vec<(PathBuf, u64)>,
}

/// The fonts of this process; none before [`FontFiles::install`].
pub fn installed() -> Option<&'static FontFiles> {
    INSTALLED.get()
}

impl FontFiles {
    /// Finds fonts (`.ttf`, `.otf`, `.ttc`, `.otc`) beneath folders; folders that do not exist have none.
    pub fn find(folders: &[PathBuf]) -> FontFiles {
        let mut found = FontFiles::default();
        let mut left = MAX_ENTRIES;
        folders.iter().for_each(|folder| found.add(folder, 0, &mut left));
        found.files.sort();
        found.files.dedup();
        let mut bytes = 0;
        found.files.retain(|(_, length)| {
            bytes += length;
            bytes <= MAX_BYTES
        });
        found.files.truncate(MAX_FILES);
        found
    }

    fn add(&mut self, folder: &Path, level: usize, left: &mut usize) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).take(*left).collect();
        paths.sort();
        for path in paths {
            let Some(rest) = left.checked_sub(1) else { return };
            *left = rest;
            // through links, which some distributions install fonts by
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if metadata.is_dir() && level < MAX_LEVELS {
                self.add(&path, level + 1, left);
            } else if metadata.is_file() && is_font(&path) && metadata.len() <= MAX_FILE_BYTES {
                self.files.push((path, metadata.len()));
            }
        }
    }

    /// How many files there are.
    pub fn number(&self) -> usize {
        self.files.len()
    }

    /// A digest of their names and lengths, which is part of the keys of what is drawn with them.
    pub fn digest(&self) -> u64 {
        // FNV-1a
        let mut digest = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |bytes: &[u8]| {
            for byte in bytes {
                digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for (path, length) in &self.files {
            add(path.as_os_str().as_encoded_bytes());
            add(&[0]);
            add(&length.to_le_bytes());
        }
        digest
    }

    /// Makes them the fonts that this process draws with; only the first call has an effect.
    pub fn install(self) {
        let _ = INSTALLED.set(self);
    }

    /// Their paths and lengths, in the order of the paths.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, u64)> {
        self.files.iter().map(|(path, length)| (path.as_path(), *length))
    }
}

/// Paths and lengths as another process found them, in any order.
impl FromIterator<(PathBuf, u64)> for FontFiles {
    fn from_iter<I: IntoIterator<Item = (PathBuf, u64)>>(files: I) -> FontFiles {
        let mut files: Vec<(PathBuf, u64)> = files.into_iter().collect();
        files.sort();
        FontFiles { files }
    }
}

fn is_font(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ["ttf", "otf", "ttc", "otc"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_covers_names_and_lengths() {
        let digest = |list: &[(&str, u64)]| {
            list.iter().map(|(path, length)| (PathBuf::from(path), *length)).collect::<FontFiles>().digest()
        };
        assert_eq!(digest(&[("/a.ttf", 1), ("/b.ttf", 2)]), digest(&[("/b.ttf", 2), ("/a.ttf", 1)]));
        assert_ne!(digest(&[("/a.ttf", 1)]), digest(&[("/a.ttf", 2)]));
        assert_ne!(digest(&[("/a.ttf", 1)]), digest(&[("/b.ttf", 1)]));
        assert_ne!(digest(&[]), digest(&[("/a.ttf", 1)]));
    }

    #[test]
    fn folder_without_fonts_has_none() {
        let found = FontFiles::find(&[PathBuf::from("/nonexistent"), PathBuf::from(env!("CARGO_MANIFEST_DIR"))]);
        assert_eq!(found.number(), 0);
    }
}
