//! Checks of a folder without using it: whether it is safe, whether the store can write to it, and which process uses it. No
//! check leaves files behind; only [`check_permissions`] changes anything: the mode of an empty folder.

use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

pub use crate::folder::PermissionIssue;
use crate::folder::{self, Folder};
use crate::{disk, layout};

/// The step that failed.
#[derive(Debug)]
pub struct Obstacle {
    /// The step.
    pub step: Step,
    /// The path that it failed on.
    pub path: PathBuf,
    /// Its error.
    pub error: Error,
}

/// The steps of storing a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Creating a missing folder.
    Make,
    /// Opening a folder.
    Open,
    /// Checking that there is no newer layout.
    Versions,
    /// Writing a staged file.
    Stage,
    /// Renaming it to its final name.
    Rename,
}

/// The permission issue of the folder, or of the layout's folder in it, with its path. Missing folders have none.
///
/// # Errors
/// Where their metadata cannot be read.
pub fn permission_issue(dir: &Path) -> std::io::Result<Option<(PathBuf, PermissionIssue)>> {
    for path in [dir.to_owned(), layout_in(dir)] {
        let permission_issue = match Folder::open(&path) {
            Ok(folder) => folder::permission_issue(&folder)?,
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if let Some(permission_issue) = permission_issue {
            return Ok(Some((path, permission_issue)));
        }
    }
    Ok(None)
}

/// The folder of this layout version in the store's folder.
pub fn layout_in(dir: &Path) -> PathBuf {
    dir.join(format!("v{}", layout::VERSION))
}

/// The folder of staged files.
fn staging_in(dir: &Path) -> PathBuf {
    layout_in(dir).join(layout::STAGING)
}

/// Stores a file as the store does, and removes it again with every folder that was created for it.
///
/// # Errors
/// The first step that failed.
pub fn probe(dir: &Path) -> Result<(), Obstacle> {
    let mut made = CreatedFolders::default();
    for folder in [dir.to_owned(), staging_in(dir), layout_in(dir).join(layout::folder(0))] {
        made.make(&folder)?;
    }
    let stopped = |step, path: &Path| {
        let path = path.to_owned();
        move |error| Obstacle { step, path, error }
    };
    let top = Folder::open(dir).map_err(stopped(Step::Open, dir))?;
    disk::refuse_newer(&top).map_err(stopped(Step::Versions, dir))?;
    let path = layout_in(dir);
    let folder = Folder::open(&path).map_err(stopped(Step::Open, &path))?;
    let name = format!("probe-{}", std::process::id());
    let staged = format!("{}/{name}", layout::STAGING);
    let target = format!("{}/{name}", layout::folder(0));
    // left by a killed process of the same ID
    folder.remove(&staged).map_err(stopped(Step::Stage, &path.join(layout::STAGING)))?;
    let write = || {
        let mut file = folder.create(&staged)?;
        file.write_all(&[0; folder::BLOCK as usize])?;
        file.sync_data()
    };
    let done = write().map_err(stopped(Step::Stage, &path.join(layout::STAGING))).and_then(|()| {
        let renamed = folder.rename(&staged, &target);
        renamed.map_err(stopped(Step::Rename, &path.join(layout::folder(0))))
    });
    let removed = folder.remove(&staged).and_then(|()| folder.remove(&target));
    done.and_then(|()| removed.map_err(stopped(Step::Stage, &path)))
}

/// Whether other users cannot place files in the folder. A folder that is missing, or that cannot be opened and so is not used,
/// is safe. The write permission of others is removed from an empty folder of this user.
///
/// # Errors
/// Why the folder is unsafe, and how to fix that.
pub fn check_permissions(dir: &Path) -> std::io::Result<()> {
    match Folder::open(dir) {
        Ok(folder) => folder::check_permissions(&folder),
        // opening it as a store checks it again
        Err(_) => Ok(()),
    }
}

/// Whether a file can be written in the folder or, where it is missing, in the nearest folder above it.
pub fn is_usable(dir: &Path) -> bool {
    let there = dir.ancestors().find(|dir| dir.exists());
    there.is_some_and(|dir| tempfile::Builder::new().prefix(".probe").tempfile_in(dir).is_ok())
}

/// Folders that were created; empty ones are removed on drop.
#[derive(Default)]
struct CreatedFolders(Vec<PathBuf>);

impl CreatedFolders {
    /// Creates a folder and those above it.
    fn make(&mut self, dir: &Path) -> Result<(), Obstacle> {
        let missing: Vec<&Path> =
            dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
        for dir in missing.into_iter().rev() {
            match std::fs::DirBuilder::new().mode(0o750).create(dir) {
                Ok(()) => self.0.push(dir.to_owned()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir() => {}
                Err(error) => return Err(Obstacle { step: Step::Make, path: dir.to_owned(), error }),
            }
        }
        Ok(())
    }
}

impl Drop for CreatedFolders {
    fn drop(&mut self) {
        for dir in self.0.iter().rev() {
            // a folder that is not empty is in use
            let _ = std::fs::remove_dir(dir);
        }
    }
}

/// The process that uses the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its ID, where the system tells.
    pub pid: Option<u32>,
}

/// The process that uses the folder, if one does.
pub fn holder(dir: &Path) -> Option<Holder> {
    let lock = Folder::open(&layout_in(dir)).and_then(|folder| folder.open_file(layout::LOCK)).ok()?;
    // a process that starts at this moment finds it locked and tries again half a second later
    if lock.try_lock_shared().is_ok() {
        return None;
    }
    let file = lock.metadata().ok()?;
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    Some(Holder { pid: holder_in(&locks, file.ino()) })
}

/// The process that locks that inode, from the lines of /proc/locks: `1: FLOCK ADVISORY WRITE 731 fe:00:52 0 EOF`.
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
    fn probe_leaves_nothing_behind() {
        let place = tempfile::tempdir().expect("a folder");
        let dir = place.path().join("not/there");
        probe(&dir).expect("it can be written");
        assert!(!place.path().join("not").exists());
        std::fs::create_dir(place.path().join("not")).expect("made");
        std::fs::write(place.path().join("not/there"), b"a file").expect("written");
        let obstacle = probe(&dir).expect_err("a file");
        assert_eq!(obstacle.path, layout_in(&dir));
        assert_eq!(obstacle.error.kind(), ErrorKind::NotADirectory);
    }

    #[test]
    fn permission_issues_are_those_of_both_folders() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().expect("a folder");
        let dir = place.path().join("cache");
        assert_eq!(permission_issue(&dir).expect("it is missing"), None);
        std::fs::create_dir_all(layout_in(&dir)).expect("made");
        assert_eq!(permission_issue(&dir).expect("they are safe"), None);
        for path in [layout_in(&dir), dir.clone()] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).expect("a mode");
            let issue = Some((path.clone(), PermissionIssue::WorldWritable { mode: 0o777 }));
            assert_eq!(permission_issue(&dir).expect("they can be read"), issue);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).expect("a mode");
        }
        std::fs::write(place.path().join("file"), b"a file").expect("written");
        let error = permission_issue(&place.path().join("file")).expect_err("a file");
        assert_eq!(error.kind(), ErrorKind::NotADirectory);
    }

    #[test]
    fn holder_of_the_lock_is_found() {
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
