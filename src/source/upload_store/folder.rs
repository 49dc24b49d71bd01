//! Uploads into a folder of originals: staged beneath the root under a name that is never served, then renamed.
//!
//! Publishing syncs the file, its name and every folder on the way to it before it returns. A process locks the files that
//! it stages, so that [`FolderStore::sweep`] can tell the leftovers of a killed process from files being written.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::{NamedUpload, Rejected, StagedUpload, unavailable};
use crate::source::ImageId;
use crate::source::root::{Links, Root, create_beneath, open_beneath};

/// The folder of staged uploads. No original's name begins with a dot.
pub(crate) const STAGING: &str = ".tintype-uploads";

/// The start of a staged file's name; sixteen hexadecimal digits follow.
const PREFIX: &str = "upload-";

/// How many random names are tried for a staged file.
const NAME_ATTEMPTS: usize = 8;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// Stores uploads in a folder of originals.
#[derive(Clone, Debug)]
pub(super) struct FolderStore {
    root: Arc<Root>,
    max_bytes: u64,
}

/// The name of a staged file. Dropped before it is renamed, the file is removed.
#[derive(Debug)]
pub(super) struct StagedName {
    folder: File,
    name: String,
    is_published: bool,
}

impl FolderStore {
    pub(super) fn new(root: Arc<Root>, max_bytes: u64) -> FolderStore {
        FolderStore { root, max_bytes }
    }

    /// The most bytes of one original.
    pub(super) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Removes the staged files of killed processes and returns their number.
    ///
    /// # Errors
    /// Where the staging folder cannot be made or read.
    pub(super) fn sweep(&self) -> Result<usize, Rejected> {
        Ok(sweep(&self.staging()?)?)
    }

    /// Creates an empty staged file.
    ///
    /// # Errors
    /// Where no file can be created.
    pub(super) fn stage(&self) -> Result<StagedUpload, Rejected> {
        let folder = self.staging()?;
        sweep(&folder)?;
        for _ in 0..NAME_ATTEMPTS {
            let name = format!("{PREFIX}{:016x}", RandomState::new().build_hasher().finish());
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
            let file = match create_beneath(&folder, Path::new(&name), flags, Mode::from_raw_mode(0o666), Links::Refuse)
            {
                Ok(file) => file,
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(error.into()),
            };
            let staged = StagedName { folder: folder.try_clone().map_err(unavailable)?, name, is_published: false };
            if lock(&file)? {
                return Ok(StagedUpload::new(file, Some(staged), self.max_bytes));
            }
        }
        Err(unavailable(std::io::Error::other("no free name for a staged file")))
    }

    /// Opens the staging folder, which only this user may read; creates it where it is missing.
    fn staging(&self) -> Result<File, Rejected> {
        match rustix::fs::mkdirat(self.root.dir(), STAGING, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(open_beneath(self.root.dir(), Path::new(STAGING), FOLDER, Links::Refuse)?)
    }

    /// Renames staged files to their final names, all or none, and returns once that is durable. `replaces` says whether
    /// existing files are replaced.
    ///
    /// # Errors
    /// The index of the file that failed, and why. With `replaces`, files before it stay replaced.
    pub(super) async fn publish(&self, mut files: Vec<NamedUpload>, replaces: bool) -> Result<(), (usize, Rejected)> {
        let (done, wait) = tokio::sync::oneshot::channel();
        let store = self.clone();
        // a thread of its own: it blocks on the disk, and must not be cancelled half-way
        std::thread::spawn(move || {
            let result = store.publish_blocking(&mut files, replaces);
            // the client may have left
            let _ = done.send(result);
        });
        let panicked = |_| Err((0, unavailable(std::io::Error::other("the thread of an upload panicked"))));
        wait.await.unwrap_or_else(panicked)
    }

    fn publish_blocking(&self, files: &mut [NamedUpload], replaces: bool) -> Result<(), (usize, Rejected)> {
        let mut done: Vec<File> = Vec::new();
        let mut failed = None;
        for (index, NamedUpload { id, staged, .. }) in files.iter_mut().enumerate() {
            match self
                .folder_of(id)
                .and_then(|folder| staged.rename(&folder, id.file_name(), replaces).map(|()| folder))
            {
                Ok(folder) => done.push(folder),
                Err(rejected) => {
                    failed = Some((index, rejected));
                    break;
                }
            }
        }
        let failed = failed.or_else(|| {
            let synced = files.iter().map(|file| self.sync_folders_to(&file.id));
            synced.enumerate().find_map(|(index, result)| result.err().map(|rejected| (index, rejected)))
        });
        let Some(failed) = failed else { return Ok(()) };
        if !replaces {
            for (folder, file) in done.iter().zip(files.iter()) {
                file.staged.retract(folder, file.id.file_name());
            }
        }
        Err(failed)
    }

    /// Opens the folder of an original; creates it and those above it where they are missing.
    fn folder_of(&self, id: &ImageId) -> Result<File, Rejected> {
        let folders = folders_to(id);
        let (mut folder, missing) = self.deepest(&folders)?;
        for path in missing {
            let name = Path::new(path.file_name().unwrap_or_default());
            match rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            // the kernel found nothing here through links: a link leads nowhere or outside
            folder = open_beneath(&folder, name, FOLDER, Links::Refuse)?;
        }
        Ok(folder)
    }

    /// Opens the deepest of these folders that exists and returns the others. Each lies within the one before.
    fn deepest<'a>(&self, folders: &'a [PathBuf]) -> Result<(File, &'a [PathBuf]), Rejected> {
        for (index, path) in folders.iter().enumerate().rev() {
            match self.root.open(path, FOLDER, &[]) {
                Ok(folder) => return Ok((folder, &folders[index + 1..])),
                Err(Errno::NOENT) if index > 0 => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::NOENT.into())
    }

    /// Syncs every folder on the way to an original, also those that another upload has just created: they may not be
    /// durable yet.
    fn sync_folders_to(&self, id: &ImageId) -> Result<(), Rejected> {
        for path in folders_to(id).iter().rev() {
            match rustix::fs::fsync(self.root.open(path, FOLDER, &[])?) {
                // some network file systems sync folders by themselves and refuse the call
                Ok(()) | Err(Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The root and each folder on the way to an original.
fn folders_to(id: &ImageId) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::from(".")];
    let folders = id.as_str().rsplit_once('/').map_or("", |(folders, _)| folders);
    for segment in folders.split('/').filter(|segment| !segment.is_empty()) {
        let path = paths.last().map(|above| above.join(segment)).unwrap_or_default();
        paths.push(path);
    }
    paths
}

/// Locks a staged file; `false` where a sweep of another process was first.
fn lock(file: &File) -> Result<bool, Rejected> {
    // on a file system without locks no sweep can lock it either
    if rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        return Ok(false);
    }
    Ok(rustix::fs::fstat(file)?.st_nlink > 0)
}

impl StagedName {
    fn rename(&mut self, folder: &File, name: &str, replaces: bool) -> Result<(), Rejected> {
        let flags = if replaces { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        let renamed = match rustix::fs::renameat_with(&self.folder, &self.name, folder, name, flags) {
            // the file system has no RENAME_NOREPLACE; a hard link never replaces
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if !replaces => {
                rustix::fs::linkat(&self.folder, &self.name, folder, name, AtFlags::empty())
                    .and_then(|()| rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty()))
            }
            // the folder is another mount
            Err(Errno::XDEV) => return Err(unavailable(std::io::ErrorKind::CrossesDevices.into())),
            result => result,
        };
        renamed?;
        self.is_published = true;
        Ok(())
    }
}

impl StagedUpload {
    fn rename(&mut self, folder: &File, name: &str, replaces: bool) -> Result<(), Rejected> {
        match &mut self.name {
            Some(staged) => staged.rename(folder, name, replaces),
            None => Err(unavailable(std::io::Error::other("the file was staged elsewhere"))),
        }
    }

    /// Removes the published name, unless another file has it by now.
    fn retract(&self, folder: &File, name: &str) {
        let (Ok(own), Ok(there)) =
            (rustix::fs::fstat(&self.file), rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW))
        else {
            return;
        };
        if (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino) {
            // the upload fails, so a leftover is not an acknowledged original
            let _ = rustix::fs::unlinkat(folder, name, AtFlags::empty());
        }
    }
}

impl Drop for StagedName {
    fn drop(&mut self) {
        if !self.is_published {
            // the next sweep removes it otherwise
            let _ = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
        }
    }
}

/// Removes the staged files of a folder that no process has locked.
fn sweep(folder: &File) -> Result<usize, Errno> {
    let mut swept = 0;
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if !is_staged_name(name) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        // gone, or not created by an upload
        let Ok(file) = open_beneath(folder, Path::new(name), flags, Links::Refuse) else { continue };
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        if is_file && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
                Ok(()) => swept += 1,
                // published, or removed by another sweep, since it was opened
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(swept)
}

fn is_staged_name(name: &str) -> bool {
    let digits = name.strip_prefix(PREFIX);
    digits.is_some_and(|digits| digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
