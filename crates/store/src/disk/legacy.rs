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
