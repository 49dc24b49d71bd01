//! Files of other layout versions in the folder. Files of older layouts are counted and evicted first. A folder with a newer
//! layout is not used: the newer program may be started again.

use std::io::{Error, ErrorKind, Result};

use super::{Attributes, Folder, Space, layout};

/// The files of older layouts.
#[derive(Default)]
pub(crate) struct LegacyLayouts {
    folders: Vec<Layout>,
    space: Space,
    /// Whether files stay that cannot be removed.
    keeps_files: bool,
}

struct Layout {
    folder: Folder,
    /// The folders in it that are not empty yet.
    parts: Vec<String>,
    /// Files in the last of them.
    files: Vec<String>,
}

/// Fails where the folder has a newer layout.
pub(crate) fn refuse_newer(dir: &Folder) -> Result<()> {
    match versions(dir)?.into_iter().max() {
        Some(newest) if newest > layout::VERSION => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "it holds a cache of a newer tintype (v{newest}, this one writes v{}); take another folder or remove it",
                layout::VERSION
            ),
        )),
        _ => Ok(()),
    }
}

fn versions(dir: &Folder) -> Result<Vec<u32>> {
    let mut versions = Vec::new();
    dir.list(".", |name, _| versions.extend(name.to_str().ok().and_then(layout::version)))?;
    Ok(versions)
}

impl LegacyLayouts {
    /// Finds and counts the files of older layouts.
    pub(crate) fn find<A: Attributes>(dir: &Folder) -> Result<LegacyLayouts> {
        let mut legacy = LegacyLayouts::default();
        for version in versions(dir)?.into_iter().filter(|version| *version < layout::VERSION) {
            let Ok(folder) = dir.folder(&format!("v{version}")) else { continue };
            let mut parts = Vec::new();
            folder.list(".", |name, is_file| {
                if let (Ok(name), false) = (name.to_str(), is_file) {
                    parts.push(name.to_owned());
                }
            })?;
            for part in &parts {
                for file in store_files::<A>(&folder, part)? {
                    legacy.space.files += 1;
                    legacy.space.blocks += folder.file_info(&format!("{part}/{file}")).map_or(0, |info| info.blocks);
                }
            }
            legacy.folders.push(Layout { folder, parts, files: Vec::new() });
        }
        Ok(legacy)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.folders.is_empty()
    }

    /// The space that they take.
    pub(crate) fn space(&self) -> Space {
        self.space
    }

    /// Removes one file; `false` where there is none left.
    ///
    /// # Errors
    /// Where it cannot be removed. The files of its layout are given up then, and their space stays counted.
    pub(crate) fn remove_one<A: Attributes>(&mut self) -> Result<bool> {
        let removed = self.try_remove_one::<A>();
        if removed.is_err() {
            self.folders.pop();
            self.keeps_files = true;
        }
        if self.folders.is_empty() && !self.keeps_files {
            self.space = Space::default();
        }
        removed
    }

    fn try_remove_one<A: Attributes>(&mut self) -> Result<bool> {
        while let Some(layout) = self.folders.last_mut() {
            if let Some(file) = layout.files.pop() {
                let part = layout.parts.last().map(String::as_str).unwrap_or_default();
                let path = format!("{part}/{file}");
                let blocks = layout.folder.file_info(&path).map_or(0, |info| info.blocks);
                layout.folder.remove(&path)?;
                self.space.blocks = self.space.blocks.saturating_sub(blocks);
                self.space.files = self.space.files.saturating_sub(1);
                return Ok(true);
            }
            let Some(part) = layout.parts.last() else {
                self.folders.pop();
                continue;
            };
            layout.files = store_files::<A>(&layout.folder, part)?;
            if layout.files.is_empty() {
                layout.parts.pop();
            }
        }
        Ok(false)
    }
}

/// The files in a folder that an older program wrote: stored and staged ones.
fn store_files<A: Attributes>(folder: &Folder, part: &str) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let listed = folder.list(part, |name, is_file| {
        if let (Ok(name), true) = (name.to_str(), is_file) {
            let is_staged = part == layout::STAGING && name.starts_with(".tmp");
            if is_staged || layout::parse::<A>(name).is_some() {
                files.push(name.to_owned());
            }
        }
    });
    match listed {
        // a symbolic link, or gone
        Err(error) if !matches!(error.kind(), ErrorKind::PermissionDenied) => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(_) => Ok(files),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::testing::{Extension, ask, body, file, files, open};

    /// A folder with three files of an older program, two in a folder of stored files, one staged; and three of others.
    async fn older() -> (tempfile::TempDir, Folder, String) {
        let dir = tempfile::tempdir().expect("a folder");
        let store = open(dir.path());
        ask(&store, file("a", 1), body(1)).await;
        ask(&store, file("a", 2), body(2)).await;
        drop(store);
        let old = dir.path().join("v1");
        for part in ["00", "staging"] {
            std::fs::create_dir_all(old.join(part)).expect("made");
        }
        let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
        let stored = files(&dir.path().join("v2"));
        stored.iter().for_each(|path| std::fs::rename(path, old.join("00").join(name(path))).expect("moved"));
        for (part, name) in [("staging", ".tmp1"), ("staging", "another"), ("00", ".tmp1"), ("00", "another")] {
            std::fs::write(old.join(part).join(name), [1; 5000]).expect("written");
        }
        std::fs::write(old.join("lock"), "").expect("written");
        let folder = Folder::open(dir.path()).expect("it opens");
        (dir, folder, name(&stored[0]))
    }

    fn left(dir: &tempfile::TempDir) -> Vec<String> {
        let below = |path: std::path::PathBuf| path.strip_prefix(dir.path()).expect("below").display().to_string();
        let mut left: Vec<_> = files(dir.path()).into_iter().map(below).collect();
        left.sort();
        left
    }

    #[tokio::test]
    async fn files_of_older_layouts_are_removed_one_by_one() {
        let (dir, folder, _) = older().await;
        let mut legacy = LegacyLayouts::find::<Extension>(&folder).expect("it can be read");
        assert!(!legacy.is_empty());
        assert_eq!((legacy.space().files, legacy.space().blocks), (3, 4));
        let mut spaces = Vec::new();
        while legacy.remove_one::<Extension>().expect("it can be removed") {
            spaces.push(legacy.space().files);
        }
        assert_eq!(spaces, [2, 1, 0]);
        assert!(legacy.is_empty());
        assert_eq!(legacy.space().blocks, 0);
        assert_eq!(left(&dir), ["v1/00/.tmp1", "v1/00/another", "v1/staging/another"]);
        assert!(!legacy.remove_one::<Extension>().expect("nothing is left"));
        // nothing is found in this layout's own folder
        std::fs::remove_dir_all(dir.path().join("v1")).expect("removed");
        assert!(LegacyLayouts::find::<Extension>(&folder).expect("it can be read").is_empty());
    }

    #[tokio::test]
    async fn space_of_files_that_stay_is_counted() {
        let (dir, folder, name) = older().await;
        let mut legacy = LegacyLayouts::find::<Extension>(&folder).expect("it can be read");
        // what was a file when it was found
        let path = dir.path().join("v1/00").join(name);
        let mut removed = 0;
        let failed = loop {
            if path.is_file() && legacy.folders.last().is_some_and(|layout| !layout.files.is_empty()) {
                std::fs::remove_file(&path).expect("removed");
                std::fs::create_dir(&path).expect("made");
            }
            match legacy.remove_one::<Extension>() {
                Ok(true) => removed += 1,
                Ok(false) => break false,
                Err(_) => break true,
            }
        };
        assert!(failed && legacy.is_empty());
        assert_eq!(legacy.space().files, 3 - removed);
        assert!(legacy.space().blocks > 0);
        assert!(!legacy.remove_one::<Extension>().expect("nothing is tried again"));
        assert_eq!(legacy.space().files, 3 - removed);
    }

    #[tokio::test]
    async fn newer_layouts_are_refused() {
        let (dir, folder, _) = older().await;
        refuse_newer(&folder).expect("older ones and its own");
        for name in ["v03", "v+3", "v", "3", "version3"] {
            std::fs::create_dir(dir.path().join(name)).expect("made");
        }
        refuse_newer(&folder).expect("other names");
        std::fs::create_dir(dir.path().join("v3")).expect("made");
        let error = refuse_newer(&folder).expect_err("a newer one");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("v3, this one writes v2"), "{error}");
    }
}
