//! Files beneath one folder. Every path is resolved by the kernel from the folder's own descriptor, never outside it and
//! never through a link (`openat2` with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`), and what is opened is looked at
//! before it is read: whoever can plant something in the folder can at most make it a miss.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};

/// Space is counted in this unit; file systems give it out in blocks of this size, or their multiples.
pub(crate) const BLOCK: u64 = 4096;

/// The blocks that a file of that length takes.
pub(crate) fn blocks(length: u64) -> u64 {
    length.div_ceil(BLOCK)
}

/// An open folder.
pub(crate) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// What the file system says of a file.
pub(crate) struct Facts {
    pub(crate) is_file: bool,
    pub(crate) length: u64,
    /// What it takes, in units of [`BLOCK`].
    pub(crate) blocks: u64,
    /// When it was last changed, in seconds since 1970.
    pub(crate) seconds: u32,
    /// Whether that is a whole second, as [`Folder::mark`] sets it and a write hardly ever does.
    pub(crate) is_marked: bool,
    /// Its inode, and when that was last changed in any way, in seconds and nanoseconds.
    pub(crate) identity: (u64, i64, i64),
    /// How many names it has.
    pub(crate) names: u64,
}

/// What a file system has left for this process.
pub(crate) struct Free {
    pub(crate) bytes: u64,
    /// `None` where the file system does not number its files beforehand.
    pub(crate) files: Option<Files>,
}

/// How many files there can be.
pub(crate) struct Files {
    pub(crate) free: u64,
    pub(crate) all: u64,
}

impl Facts {
    /// The number of its inode.
    pub(crate) fn inode(&self) -> u64 {
        self.identity.0
    }
}

impl Folder {
    /// Opens a folder, which may be reached through links.
    pub(crate) fn open(path: &Path) -> Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Folder { fd: rustix::fs::open(path, flags, Mode::empty())?, path: path.to_owned() })
    }

    /// Opens a folder in this one.
    pub(crate) fn folder(&self, name: &str) -> Result<Folder> {
        let fd = self.open_at(name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        Ok(Folder { fd, path: self.path.join(name) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its path still leads to this folder, as far as that can be told: a file system that cannot be asked for a
    /// moment has not lost it.
    pub(crate) fn is_current(&self) -> bool {
        let Ok(own) = rustix::fs::fstat(&self.fd) else { return true };
        match rustix::fs::stat(&self.path) {
            Ok(now) => own.st_nlink > 0 && (own.st_dev, own.st_ino) == (now.st_dev, now.st_ino),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => false,
            Err(_) => true,
        }
    }

    /// Who owns it and what others may do with it.
    pub(crate) fn ownership(&self) -> Result<(u32, u32)> {
        let stat = rustix::fs::fstat(&self.fd)?;
        Ok((stat.st_uid, stat.st_mode & 0o7777))
    }

    /// Takes the right to write from everyone else, unless something is in the folder: then it is too late, and `false`.
    fn close_if_empty(&self, mode: u32) -> Result<bool> {
        let is_empty = || -> Result<bool> {
            let mut is_empty = true;
            self.list(".", |_, _| is_empty = false)?;
            Ok(is_empty)
        };
        if !is_empty()? {
            return Ok(false);
        }
        rustix::fs::fchmod(&self.fd, Mode::from_raw_mode(mode & !0o022))?;
        // whatever came before the door was shut
        is_empty()
    }

    /// The names in a folder below, with whether each is a regular file (as far as the folder tells), and how many
    /// blocks the folder itself takes.
    pub(crate) fn list(&self, name: &str, mut each: impl FnMut(&std::ffi::CStr, bool)) -> Result<u64> {
        self.list_inodes(name, |name, is_file, _| each(name, is_file))
    }

    /// As [`Folder::list`], with the number of each inode, which the folder tells without a look at the file.
    pub(crate) fn list_inodes(&self, name: &str, mut each: impl FnMut(&std::ffi::CStr, bool, u64)) -> Result<u64> {
        let fd = self.open_at(name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        let blocks = blocks(rustix::fs::fstat(&fd)?.st_blocks.unsigned_abs() * 512);
        for entry in rustix::fs::Dir::new(fd)? {
            let entry = entry?;
            if entry.file_name() != c"." && entry.file_name() != c".." {
                let is_file = matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown);
                each(entry.file_name(), is_file, entry.ino());
            }
        }
        Ok(blocks)
    }

    /// Opens a regular file of that length to be read. Anything else is [`ErrorKind::InvalidData`].
    pub(crate) fn read(&self, path: &str, length: u64) -> Result<File> {
        // nonblocking, since opening a FIFO waits for its writer
        let fd = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty());
        let file: File = match fd {
            Ok(fd) => fd.into(),
            // a link, or a socket
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO | rustix::io::Errno::XDEV) => {
                return Err(ErrorKind::InvalidData.into());
            }
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        if metadata.is_file() && metadata.len() == length { Ok(file) } else { Err(ErrorKind::InvalidData.into()) }
    }

    /// Opens a regular file of any length to be read.
    pub(crate) fn open_file(&self, path: &str) -> Result<File> {
        let file: File = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?.into();
        if file.metadata()?.is_file() { Ok(file) } else { Err(ErrorKind::InvalidData.into()) }
    }

    /// A new file, which nothing of that name may be in the way of. The group may read: so nginx is given the files.
    pub(crate) fn create(&self, path: &str) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        Ok(self.open_at(path, flags, Mode::from_raw_mode(0o640))?.into())
    }

    /// A file to be written at its end, made if it is not there.
    pub(crate) fn append(&self, path: &str) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file: File = self.open_at(path, flags, Mode::from_raw_mode(0o640))?.into();
        if file.metadata()?.is_file() { Ok(file) } else { Err(ErrorKind::InvalidData.into()) }
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Gives a file another name, which nothing may have yet.
    pub(crate) fn link(&self, from: &str, to: &str) -> std::result::Result<(), rustix::io::Errno> {
        rustix::fs::linkat(&self.fd, from, &self.fd, to, AtFlags::empty())
    }

    /// Removes a file; that it is gone already is no error.
    pub(crate) fn remove(&self, path: &str) -> Result<()> {
        match rustix::fs::unlinkat(&self.fd, path, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a folder below if it is not there, for good: a power loss after this leaves it.
    pub(crate) fn make_folder(&self, name: &str) -> Result<()> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o750)) {
            Ok(()) => Ok(rustix::fs::fsync(&self.fd)?),
            Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn facts(&self, path: &str) -> Result<Facts> {
        let stat = rustix::fs::statat(&self.fd, path, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Facts {
            is_file: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
            length: stat.st_size.unsigned_abs(),
            blocks: blocks(stat.st_blocks.unsigned_abs() * 512),
            seconds: u32::try_from(stat.st_mtime).unwrap_or(0),
            is_marked: stat.st_mtime_nsec == 0,
            identity: (stat.st_ino, stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or(0)),
            names: stat.st_nlink,
        })
    }

    /// Writes down that a file was used: its time of change becomes that second.
    pub(crate) fn mark(&self, path: &str, seconds: u32) -> Result<()> {
        let time = Timespec { tv_sec: seconds.into(), tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(rustix::fs::utimensat(&self.fd, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    pub(crate) fn free(&self) -> Result<Free> {
        let system = rustix::fs::fstatvfs(&self.fd)?;
        let files = Files { free: system.f_favail, all: system.f_files };
        Ok(Free {
            bytes: system.f_bavail.saturating_mul(system.f_frsize),
            files: (system.f_files > 0).then_some(files),
        })
    }

    /// Whether a file can be made in a folder below, and written.
    pub(crate) fn probe(&self, name: &str) -> Result<()> {
        let path = format!("{name}/probe-{}", std::process::id());
        self.remove(&path)?;
        let written = self.create(&path).and_then(|file| std::io::Write::write_all(&mut &file, b"probe"));
        self.remove(&path)?;
        written
    }

    fn open_at(&self, path: &str, flags: OFlags, mode: Mode) -> std::result::Result<OwnedFd, rustix::io::Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC, mode, resolve) {
                // a rename somewhere on the way while the kernel looked, or a signal: it asks to be asked again
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                result => return result,
            }
        }
    }
}

/// The blocks that an open file takes.
pub(crate) fn blocks_of(file: &File) -> Result<u64> {
    Ok(blocks(file.metadata()?.blocks() * 512))
}

/// Why a folder should hold no cache: whoever can write in it could put pictures there that would be sent as ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Everyone may write in it. In a sticky one others can add to it, but take away or replace nothing of ours.
    Open {
        /// Its permissions.
        mode: u32,
    },
    /// It belongs to somebody else.
    Foreign {
        /// To whom.
        owner: u32,
        /// Who we are.
        own: u32,
    },
}

/// What speaks against a folder, as it is.
pub(crate) fn doubt(folder: &Folder) -> Result<Option<Doubt>> {
    let (owner, mode) = folder.ownership()?;
    let own = rustix::process::geteuid().as_raw();
    Ok(if mode & 0o1002 == 0o002 {
        Some(Doubt::Open { mode })
    } else if owner != own && owner != 0 {
        Some(Doubt::Foreign { owner, own })
    } else {
        None
    })
}

/// Refuses a folder that there are doubts about.
///
/// A new folder of ours that is merely open, with nothing in it yet, is closed to others instead of being refused.
pub(crate) fn distrust(folder: &Folder) -> Result<()> {
    let path = folder.path().display();
    let mut doubt = self::doubt(folder)?;
    let is_own = || Ok::<_, Error>(folder.ownership()?.0 == rustix::process::geteuid().as_raw());
    if let Some(Doubt::Open { mode }) = doubt
        && is_own()?
        && folder.close_if_empty(mode)?
    {
        tracing::warn!(dir = %path, "the cache folder could be written by everyone; that is no longer so");
        doubt = self::doubt(folder)?;
    }
    let refuse = |text| Err(Error::new(ErrorKind::PermissionDenied, text));
    match doubt {
        None => Ok(()),
        Some(Doubt::Open { mode }) => refuse(format!(
            "{path} may be written by everyone (mode {mode:04o}); chmod o-w it, or take a folder below it"
        )),
        Some(Doubt::Foreign { owner, own }) => refuse(format!(
            "{path} belongs to user {owner}, and tintype runs as {own}; chown it, or take another folder"
        )),
    }
}

/// Makes a folder and those above it, for the owner and to be read by the group.
pub(crate) fn make(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o750).create(path)
}
