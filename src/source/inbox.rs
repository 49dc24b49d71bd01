//! Where new originals come in: staged beneath the root under a name that is never served, and published whole.
//!
//! What is published is on the disk before anybody hears of it: the file, its name, and every folder that leads to it.
//! Staged files are locked by the process that writes them, so that what a killed one left behind can be told from what
//! another is still writing.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::ImageId;
use super::root::{Links, Root, create_beneath, open_beneath};

/// The folder of what is being taken in. No original's name begins with a dot.
pub(crate) const STAGING: &str = ".tintype-uploads";

/// What the names of staged files begin with; sixteen hexadecimal digits follow.
const PREFIX: &str = "upload-";

/// How often another name is tried for a staged file.
const ATTEMPTS: usize = 8;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// Why an original was not taken in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Rejected {
    /// Something has that name.
    #[error("there is something of that name already")]
    Exists,
    /// A part of the path that should be a folder is none, or the path is longer than the file system allows.
    #[error("a part of the path is no folder, or the path is too long")]
    NoFolder,
    /// A link on the way leads out of the originals.
    #[error("the path leads out of the originals")]
    Outside,
    /// It has more bytes than are allowed.
    #[error("it has more than the {limit} bytes that are allowed")]
    TooLarge {
        /// What is allowed.
        limit: u64,
    },
    /// This process may not write there.
    #[error("tintype's user may not write there")]
    Forbidden,
    /// The disk is full.
    #[error("there is no space left for it")]
    Full,
    /// The storage failed.
    #[error("the originals' storage failed")]
    Unavailable(#[source] Arc<std::io::Error>),
}

/// The way into a folder of originals.
#[derive(Clone, Debug)]
pub struct Inbox {
    root: Arc<Root>,
    max_bytes: u64,
}

/// A file that is being taken in. Dropped before it is published, it leaves nothing behind.
#[derive(Debug)]
pub struct Staged {
    file: tokio::fs::File,
    folder: File,
    name: String,
    bytes: u64,
    max_bytes: u64,
    is_published: bool,
}

impl Inbox {
    pub(super) fn new(root: Arc<Root>, max_bytes: u64) -> Inbox {
        Inbox { root, max_bytes }
    }

    /// The most bytes of one original.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Removes what killed processes left unfinished; says how many files that were.
    ///
    /// # Errors
    /// Where the staging folder cannot be made or read.
    pub fn sweep(&self) -> Result<usize, Rejected> {
        Ok(sweep(&self.staging()?)?)
    }

    /// Begins to take something in.
    ///
    /// # Errors
    /// Where nothing can be written.
    pub fn stage(&self) -> Result<Staged, Rejected> {
        let folder = self.staging()?;
        sweep(&folder)?;
        for _ in 0..ATTEMPTS {
            let name = format!("{PREFIX}{:016x}", RandomState::new().build_hasher().finish());
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
            let file = match create_beneath(&folder, Path::new(&name), flags, Mode::from_raw_mode(0o666), Links::Refuse)
            {
                Ok(file) => file,
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(error.into()),
            };
            let mut staged = Staged {
                file: tokio::fs::File::from_std(file),
                folder: folder.try_clone().map_err(unavailable)?,
                name,
                bytes: 0,
                max_bytes: self.max_bytes,
                is_published: false,
            };
            if staged.lock()? {
                return Ok(staged);
            }
        }
        Err(unavailable(std::io::Error::other("no name could be had for a staged file")))
    }

    /// The staging folder; nobody else may look into it.
    fn staging(&self) -> Result<File, Rejected> {
        match rustix::fs::mkdirat(self.root.dir(), STAGING, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(open_beneath(self.root.dir(), Path::new(STAGING), FOLDER, Links::Refuse)?)
    }

    /// Gives staged files their names, all or none, and returns when that can no longer be lost. `replaces` says whether
    /// what has a name already gives way. Blocks.
    ///
    /// # Errors
    /// The place in the list of what could not be published, and why.
    pub fn publish(&self, files: &mut [(ImageId, Staged)], replaces: bool) -> Result<(), (usize, Rejected)> {
        let mut done: Vec<File> = Vec::new();
        let mut failed = None;
        for (index, (id, staged)) in files.iter_mut().enumerate() {
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
            let synced = files.iter().map(|(id, _)| self.sync_way_to(id));
            synced.enumerate().find_map(|(index, result)| result.err().map(|rejected| (index, rejected)))
        });
        let Some(failed) = failed else { return Ok(()) };
        if !replaces {
            for (folder, (id, staged)) in done.iter().zip(files.iter()) {
                staged.retract(folder, id.file_name());
            }
        }
        Err(failed)
    }

    /// Opens the folder that an original lies in, and makes what is missing of it.
    fn folder_of(&self, id: &ImageId) -> Result<File, Rejected> {
        let ways = ways_to(id);
        let (mut folder, missing) = self.deepest(&ways)?;
        for way in missing {
            let name = Path::new(way.file_name().unwrap_or_default());
            match rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            // what is new is no link, and what is a link leads nowhere or outside
            folder = open_beneath(&folder, name, FOLDER, Links::Refuse)?;
        }
        Ok(folder)
    }

    /// The deepest of these folders, each within the one before, that is there; and those that are not.
    fn deepest<'a>(&self, ways: &'a [PathBuf]) -> Result<(File, &'a [PathBuf]), Rejected> {
        for (index, way) in ways.iter().enumerate().rev() {
            match self.root.open(way, FOLDER, &[]) {
                Ok(folder) => return Ok((folder, &ways[index + 1..])),
                Err(Errno::NOENT) if index > 0 => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::NOENT.into())
    }

    /// Brings every folder on the way to an original onto the disk, whoever made it: one that another upload has only
    /// just made may not be there yet after a power loss.
    fn sync_way_to(&self, id: &ImageId) -> Result<(), Rejected> {
        for way in ways_to(id).iter().rev() {
            match rustix::fs::fsync(self.root.open(way, FOLDER, &[])?) {
                // some network file systems keep folders without being asked, and refuse to be
                Ok(()) | Err(Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The root and each folder on the way to an original.
fn ways_to(id: &ImageId) -> Vec<PathBuf> {
    let mut ways = vec![PathBuf::from(".")];
    let folders = id.as_str().rsplit_once('/').map_or("", |(folders, _)| folders);
    for segment in folders.split('/').filter(|segment| !segment.is_empty()) {
        let way = ways.last().map(|above| above.join(segment)).unwrap_or_default();
        ways.push(way);
    }
    ways
}

impl Staged {
    /// Takes the file for this process; `false` where somebody was quicker and took it for a stray.
    fn lock(&mut self) -> Result<bool, Rejected> {
        // where there are no locks, nobody takes it for a stray either
        if rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            return Ok(false);
        }
        Ok(rustix::fs::fstat(&self.file)?.st_nlink > 0)
    }

    /// Adds to the file.
    ///
    /// # Errors
    /// [`Rejected::TooLarge`] at the first byte too many; failures of the disk.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Rejected> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.max_bytes {
            return Err(Rejected::TooLarge { limit: self.max_bytes });
        }
        self.file.write_all(bytes).await.map_err(rejected)
    }

    /// How long it is so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All of it.
    ///
    /// # Errors
    /// Failures of the disk.
    pub async fn read(&mut self) -> Result<Bytes, Rejected> {
        self.file.flush().await.map_err(rejected)?;
        self.file.rewind().await.map_err(rejected)?;
        let mut buffer = Vec::with_capacity(usize::try_from(self.bytes).unwrap_or(0));
        self.file.read_to_end(&mut buffer).await.map_err(rejected)?;
        Ok(buffer.into())
    }

    /// Brings its bytes onto the disk.
    ///
    /// # Errors
    /// Failures of the disk.
    pub async fn sync(&mut self) -> Result<(), Rejected> {
        self.file.flush().await.map_err(rejected)?;
        self.file.sync_all().await.map_err(rejected)
    }

    fn rename(&mut self, folder: &File, name: &str, replaces: bool) -> Result<(), Rejected> {
        let flags = if replaces { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        let renamed = match rustix::fs::renameat_with(&self.folder, &self.name, folder, name, flags) {
            // not every file system can rename without replacing; a link never replaces
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if !replaces => {
                rustix::fs::linkat(&self.folder, &self.name, folder, name, AtFlags::empty())
                    .and_then(|()| rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty()))
            }
            // the folder is a mount of its own
            Err(Errno::XDEV) => return Err(unavailable(std::io::ErrorKind::CrossesDevices.into())),
            result => result,
        };
        renamed?;
        self.is_published = true;
        Ok(())
    }

    /// Takes back what was published under a new name, unless something else has that name by now.
    fn retract(&self, folder: &File, name: &str) {
        let (Ok(own), Ok(there)) =
            (rustix::fs::fstat(&self.file), rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW))
        else {
            return;
        };
        if (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino) {
            // nobody was told that it is there
            let _ = rustix::fs::unlinkat(folder, name, AtFlags::empty());
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_published {
            // what cannot be removed now is a stray for the next upload
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
        // gone already, or nothing of ours
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

impl From<Errno> for Rejected {
    fn from(error: Errno) -> Rejected {
        match error {
            Errno::EXIST | Errno::ISDIR | Errno::NOTEMPTY => Rejected::Exists,
            Errno::NOTDIR | Errno::NAMETOOLONG => Rejected::NoFolder,
            Errno::LOOP | Errno::XDEV => Rejected::Outside,
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Rejected::Forbidden,
            Errno::NOSPC | Errno::DQUOT => Rejected::Full,
            error => unavailable(error.into()),
        }
    }
}

fn rejected(error: std::io::Error) -> Rejected {
    match Errno::from_io_error(&error) {
        Some(errno) => errno.into(),
        None => unavailable(error),
    }
}

fn unavailable(error: std::io::Error) -> Rejected {
    Rejected::Unavailable(Arc::new(error))
}
