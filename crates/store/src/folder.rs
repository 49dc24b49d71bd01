//! System calls beneath one folder. Files are opened, renamed, linked and removed beneath the folder's descriptor and through no
//! symbolic link (`openat2` with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`), and a file is checked to be regular before it is
//! read: a planted file or folder can at most cause a miss. Only metadata is read without that protection.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};

/// The unit in which space is counted. File systems allocate blocks of this size, or multiples of it.
pub(crate) const BLOCK: u64 = 4096;

/// The blocks of a file of that length.
pub(crate) fn blocks(length: u64) -> u64 {
    length.div_ceil(BLOCK)
}

/// An open folder.
pub(crate) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// File metadata.
pub(crate) struct FileInfo {
    pub(crate) is_file: bool,
    pub(crate) length: u64,
    /// Allocated space in units of [`BLOCK`].
    pub(crate) blocks: u64,
    /// The mtime in seconds since 1970.
    pub(crate) seconds: u32,
    /// Whether the mtime is a whole second, as [`Folder::mark_used`] sets it and a write hardly ever does.
    pub(crate) is_marked: bool,
    /// The inode and its ctime in seconds and nanoseconds.
    pub(crate) identity: (u64, i64, i64),
    /// The number of hard links.
    pub(crate) links: u64,
}

/// The free space of a file system for this process.
pub(crate) struct Free {
    pub(crate) bytes: u64,
    /// `None` where the file system has no fixed number of inodes.
    pub(crate) files: Option<Files>,
}

/// Inodes of a file system.
pub(crate) struct Files {
    pub(crate) free: u64,
    pub(crate) all: u64,
}

impl FileInfo {
    pub(crate) fn inode(&self) -> u64 {
        self.identity.0
    }
}

impl Folder {
    /// Opens a folder; its own path may have links.
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

    /// Whether its path still leads to this folder. Also `true` where the file system cannot tell at the moment.
    pub(crate) fn is_current(&self) -> bool {
        let Ok(own) = rustix::fs::fstat(&self.fd) else { return true };
        match rustix::fs::stat(&self.path) {
            Ok(now) => own.st_nlink > 0 && (own.st_dev, own.st_ino) == (now.st_dev, now.st_ino),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => false,
            Err(_) => true,
        }
    }

    /// Owner and mode.
    pub(crate) fn ownership(&self) -> Result<(u32, u32)> {
        let stat = rustix::fs::fstat(&self.fd)?;
        Ok((stat.st_uid, stat.st_mode & 0o7777))
    }

    /// Removes the write permission of group and others, if the folder is empty; `false` where it is not.
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
        // a file may have been added before the change
        is_empty()
    }

    /// Lists a folder below: each name, and whether it may be a regular file. Returns the blocks of the folder itself.
    pub(crate) fn list(&self, name: &str, mut each: impl FnMut(&std::ffi::CStr, bool)) -> Result<u64> {
        self.list_inodes(name, |name, is_file, _| each(name, is_file))
    }

    /// As [`Folder::list`], with inode numbers, which take no further system call.
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

    /// Opens a regular file of that length for reading. Everything else is [`ErrorKind::InvalidData`].
    pub(crate) fn read(&self, path: &str, length: u64) -> Result<File> {
        // nonblocking, since opening a FIFO waits for its writer
        let fd = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty());
        let file: File = match fd {
            Ok(fd) => fd.into(),
            // a symbolic link, or a socket
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO | rustix::io::Errno::XDEV) => {
                return Err(ErrorKind::InvalidData.into());
            }
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        if metadata.is_file() && metadata.len() == length { Ok(file) } else { Err(ErrorKind::InvalidData.into()) }
    }

    /// Opens a regular file of any length for reading.
    pub(crate) fn open_file(&self, path: &str) -> Result<File> {
        let file: File = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?.into();
        if file.metadata()?.is_file() { Ok(file) } else { Err(ErrorKind::InvalidData.into()) }
    }

    /// Creates a file; fails where one of that name exists. The group may read it, so that nginx can.
    pub(crate) fn create(&self, path: &str) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        Ok(self.open_at(path, flags, Mode::from_raw_mode(0o640))?.into())
    }

    /// Opens a file for appending; creates it where it is missing.
    pub(crate) fn append(&self, path: &str) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file: File = self.open_at(path, flags, Mode::from_raw_mode(0o640))?.into();
        if file.metadata()?.is_file() { Ok(file) } else { Err(ErrorKind::InvalidData.into()) }
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        let ((from_folder, from), (to_folder, to)) = (self.parent(from)?, self.parent(to)?);
        Ok(rustix::fs::renameat(from_folder, from, to_folder, to)?)
    }

    /// Creates a hard link; fails where the name exists.
    pub(crate) fn link(&self, from: &str, to: &str) -> std::result::Result<(), rustix::io::Errno> {
        let ((from_folder, from), (to_folder, to)) = (self.parent(from)?, self.parent(to)?);
        rustix::fs::linkat(from_folder, from, to_folder, to, AtFlags::empty())
    }

    /// Removes a file; succeeds where it is missing.
    pub(crate) fn remove(&self, path: &str) -> Result<()> {
        let removed = self.parent(path).and_then(|(folder, name)| rustix::fs::unlinkat(folder, name, AtFlags::empty()));
        match removed {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Creates a folder below durably where it is missing.
    pub(crate) fn make_folder(&self, name: &str) -> Result<()> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o750)) {
            Ok(()) => Ok(rustix::fs::fsync(&self.fd)?),
            Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn file_info(&self, path: &str) -> Result<FileInfo> {
        let stat = rustix::fs::statat(&self.fd, path, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileInfo {
            is_file: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
            length: stat.st_size.unsigned_abs(),
            blocks: blocks(stat.st_blocks.unsigned_abs() * 512),
            seconds: u32::try_from(stat.st_mtime).unwrap_or(0),
            is_marked: stat.st_mtime_nsec == 0,
            identity: (stat.st_ino, stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or(0)),
            links: stat.st_nlink,
        })
    }

    /// Marks the last use of a file by its mtime.
    pub(crate) fn mark_used(&self, path: &str, seconds: u32) -> Result<()> {
        let time = Timespec { tv_sec: seconds.into(), tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        let (folder, name) = self.parent(path)?;
        Ok(rustix::fs::utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    pub(crate) fn free(&self) -> Result<Free> {
        let system = rustix::fs::fstatvfs(&self.fd)?;
        let files = Files { free: system.f_favail, all: system.f_files };
        Ok(Free {
            bytes: system.f_bavail.saturating_mul(system.f_frsize),
            files: (system.f_files > 0).then_some(files),
        })
    }

    /// Creates, writes, syncs and removes a file in a folder below.
    pub(crate) fn probe(&self, name: &str) -> Result<()> {
        let path = format!("{name}/probe-{}", std::process::id());
        self.remove(&path)?;
        let written = self.create(&path).and_then(|file| {
            std::io::Write::write_all(&mut &file, b"probe")?;
            // a disk may take bytes and fail to keep them
            file.sync_data()
        });
        self.remove(&path)?;
        written
    }

    /// The folder that a path leads to, which is no link, and the name in it.
    fn parent<'a>(&self, path: &'a str) -> std::result::Result<(OwnedFd, &'a str), rustix::io::Errno> {
        let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
        Ok((self.open_at(folder, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?, name))
    }

    fn open_at(&self, path: &str, flags: OFlags, mode: Mode) -> std::result::Result<OwnedFd, rustix::io::Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC, mode, resolve) {
                // a concurrent rename on the way, or a signal: openat2(2) asks for a retry
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                result => return result,
            }
        }
    }
}

/// The allocated blocks of an open file.
pub(crate) fn blocks_of(file: &File) -> Result<u64> {
    Ok(blocks(file.metadata()?.blocks() * 512))
}

/// Why a folder is unsafe: other users could place files in it that would be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermissionIssue {
    /// All users may write to it, and it is not sticky. In a sticky one others can add files, but not remove or replace any.
    WorldWritable {
        /// Its permissions.
        mode: u32,
    },
    /// It belongs to another user.
    ForeignOwner {
        /// The user ID of its owner.
        owner: u32,
        /// The user ID of this process.
        own: u32,
    },
}

/// Checks owner and mode of a folder.
pub(crate) fn permission_issue(folder: &Folder) -> Result<Option<PermissionIssue>> {
    let (owner, mode) = folder.ownership()?;
    let own = rustix::process::geteuid().as_raw();
    Ok(if mode & 0o1002 == 0o002 {
        Some(PermissionIssue::WorldWritable { mode })
    } else if owner != own && owner != 0 {
        Some(PermissionIssue::ForeignOwner { owner, own })
    } else {
        None
    })
}

/// Fails where a folder is unsafe. The write permission of others is removed instead from an empty folder of this user.
pub(crate) fn check_permissions(folder: &Folder) -> Result<()> {
    let path = folder.path().display();
    let mut permission_issue = self::permission_issue(folder)?;
    let is_own = || Ok::<_, Error>(folder.ownership()?.0 == rustix::process::geteuid().as_raw());
    if let Some(PermissionIssue::WorldWritable { mode }) = permission_issue
        && is_own()?
        && folder.close_if_empty(mode)?
    {
        tracing::warn!(dir = %path, "the cache folder was writable by all users; changed its mode");
        permission_issue = self::permission_issue(folder)?;
    }
    let refuse = |text| Err(Error::new(ErrorKind::PermissionDenied, text));
    match permission_issue {
        None => Ok(()),
        Some(PermissionIssue::WorldWritable { mode }) => refuse(format!(
            "{path} is writable by all users (mode {mode:04o}); chmod o-w it, or take a folder below it"
        )),
        Some(PermissionIssue::ForeignOwner { owner, own }) => refuse(format!(
            "{path} belongs to user {owner}, and tintype runs as {own}; chown it, or take another folder"
        )),
    }
}

/// Creates a folder and those above it with mode 0750.
pub(crate) fn create_all(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o750).create(path)
}
