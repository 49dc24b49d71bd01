//! A cache folder seen by somebody who does not serve from it: whether it is safe, whether it can be written as the cache
//! writes, and who has it. Nothing that is done here stays.

use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

pub use crate::folder::Doubt;
use crate::folder::{self, Folder};
use crate::{disk, layout};

/// What was being done when a folder turned out to be of no use.
#[derive(Debug)]
pub struct Obstacle {
    /// What was tried.
    pub tried: Tried,
    /// On what.
    pub path: PathBuf,
    /// What became of it.
    pub error: Error,
}

/// What a rendition's way into the folder consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// Making a folder that is not there yet.
    Make,
    /// Opening a folder.
    Open,
    /// Making sure that no newer tintype has been here.
    Versions,
    /// Writing a file beside the others.
    Stage,
    /// Bringing it to its place.
    Rename,
}

/// What speaks against the folder and the one of this layout in it, as far as they are there; with which of them it is.
///
/// # Errors
/// Where they cannot be looked at.
pub fn doubt(dir: &Path) -> std::io::Result<Option<(PathBuf, Doubt)>> {
    for path in [dir.to_owned(), layout_in(dir)] {
        let doubt = match Folder::open(&path) {
            Ok(folder) => folder::doubt(&folder)?,
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if let Some(doubt) = doubt {
            return Ok(Some((path, doubt)));
        }
    }
    Ok(None)
}

/// The folder of this layout.
pub fn layout_in(dir: &Path) -> PathBuf {
    dir.join(format!("v{}", layout::VERSION))
}

/// The folder in which files are staged.
pub fn staging_in(dir: &Path) -> PathBuf {
    layout_in(dir).join(layout::STAGING)
}

/// Brings a file into the folder the way that a rendition gets there, and takes it away again with every folder that was
/// made for it.
///
/// # Errors
/// What stood in the way.
pub fn try_out(dir: &Path) -> Result<(), Obstacle> {
    let mut made = Made::default();
    for folder in [dir.to_owned(), staging_in(dir), layout_in(dir).join(layout::folder(0))] {
        made.make(&folder)?;
    }
    let stopped = |tried, path: &Path| {
        let path = path.to_owned();
        move |error| Obstacle { tried, path, error }
    };
    let top = Folder::open(dir).map_err(stopped(Tried::Open, dir))?;
    disk::refuse_newer(&top).map_err(stopped(Tried::Versions, dir))?;
    let path = layout_in(dir);
    let folder = Folder::open(&path).map_err(stopped(Tried::Open, &path))?;
    let name = format!("probe-{}", std::process::id());
    let staged = format!("{}/{name}", layout::STAGING);
    let target = format!("{}/{name}", layout::folder(0));
    // of one that was killed and had this number
    folder.remove(&staged).map_err(stopped(Tried::Stage, &path.join(layout::STAGING)))?;
    let write = || {
        let mut file = folder.create(&staged)?;
        file.write_all(&[0; folder::BLOCK as usize])?;
        file.sync_data()
    };
    let done = write().map_err(stopped(Tried::Stage, &path.join(layout::STAGING))).and_then(|()| {
        let renamed = folder.rename(&staged, &target);
        renamed.map_err(stopped(Tried::Rename, &path.join(layout::folder(0))))
    });
    let removed = folder.remove(&staged).and_then(|()| folder.remove(&target));
    done.and_then(|()| removed.map_err(stopped(Tried::Stage, &path)))
}

/// Whether a folder, where it is there, is safe from others.
///
/// # Errors
/// Why it is not: whoever can write in it could have pictures of their own sent.
pub fn distrust(dir: &Path) -> std::io::Result<()> {
    match Folder::open(dir) {
        Ok(folder) => folder::distrust(&folder),
        Err(_) => Ok(()),
    }
}

/// Whether a folder could hold a cache: a file can be written in it or, where it is not there yet, in what is above it.
pub fn is_usable(dir: &Path) -> bool {
    let there = dir.ancestors().find(|dir| dir.exists());
    there.is_some_and(|dir| tempfile::Builder::new().prefix(".probe").tempfile_in(dir).is_ok())
}

/// Folders that were made, removed with this unless somebody has put something in them meanwhile.
#[derive(Default)]
struct Made(Vec<PathBuf>);

impl Made {
    /// Makes a folder and those above it.
    fn make(&mut self, dir: &Path) -> Result<(), Obstacle> {
        let missing: Vec<&Path> =
            dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
        for dir in missing.into_iter().rev() {
            match std::fs::DirBuilder::new().mode(0o750).create(dir) {
                Ok(()) => self.0.push(dir.to_owned()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir() => {}
                Err(error) => return Err(Obstacle { tried: Tried::Make, path: dir.to_owned(), error }),
            }
        }
        Ok(())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for dir in self.0.iter().rev() {
            // what is not empty is somebody's by now
            let _ = std::fs::remove_dir(dir);
        }
    }
}

/// Who writes in the folder at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The number of its process, where the system tells.
    pub pid: Option<u32>,
}

/// The process that serves from the folder, if there is one and it can be seen.
pub fn holder(dir: &Path) -> Option<Holder> {
    let lock = Folder::open(&layout_in(dir)).and_then(|folder| folder.open_file(layout::LOCK)).ok()?;
    // one that starts at this very moment finds it taken, and tries again half a second later
    if lock.try_lock_shared().is_ok() {
        return None;
    }
    let file = lock.metadata().ok()?;
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    Some(Holder { pid: holder_in(&locks, file.ino()) })
}

/// The process that holds a lock on that inode, by what the kernel lists: `1: FLOCK ADVISORY WRITE 731 fe:00:52 0 EOF`.
fn holder_in(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, file, ..] = words[..] else { return None };
        (file.rsplit(':').next()? == inode.to_string()).then(|| pid.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_leaves_nothing_behind() {
        let place = tempfile::tempdir().expect("a folder");
        let dir = place.path().join("not/there");
        try_out(&dir).expect("it can be written");
        assert!(!place.path().join("not").exists());
        std::fs::create_dir(place.path().join("not")).expect("made");
        std::fs::write(place.path().join("not/there"), b"a file").expect("written");
        let obstacle = try_out(&dir).expect_err("a file");
        assert_eq!(obstacle.path, layout_in(&dir));
        assert_eq!(obstacle.error.kind(), ErrorKind::NotADirectory);
    }

    #[test]
    fn whoever_holds_the_lock_is_named() {
        let locks = "1: POSIX  ADVISORY  WRITE 3 fe:00:52 0 EOF\n2: FLOCK  ADVISORY  WRITE 731 fe:00:52 0 EOF\n";
        assert_eq!(holder_in(locks, 52), Some(731));
        assert_eq!(holder_in(locks, 5), None);
        let place = tempfile::tempdir().expect("a folder");
        assert_eq!(holder(place.path()), None);
        std::fs::create_dir(layout_in(place.path())).expect("made");
        let lock = std::fs::File::create(layout_in(place.path()).join(layout::LOCK)).expect("made");
        assert_eq!(holder(place.path()), None);
        lock.lock().expect("free");
        assert!(holder(place.path()).is_some());
    }
}
