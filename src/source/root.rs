//! The folder of originals as the kernel holds it: everything is opened beneath it (`openat2` with `RESOLVE_BENEATH`), so
//! that no link swapped in between a check and an opening leads outside.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// An open folder that nothing is opened outside of.
#[derive(Debug)]
pub(super) struct Root {
    dir: File,
    /// The folder without links, to tell whether an absolute link stays beneath it.
    real: PathBuf,
}

impl Root {
    /// Opens the folder itself, which may be reached through links.
    pub(super) fn open_at(path: &Path) -> std::io::Result<Root> {
        let real = path.canonicalize()?;
        let dir = File::open(&real)?;
        if !dir.metadata()?.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        Ok(Root { dir, real })
    }

    /// The folder.
    pub(super) fn dir(&self) -> &File {
        &self.dir
    }

    /// What is there at a path, where no link and no more than one folder is on the way: that takes a third of the time of
    /// opening it. `None` says nothing: it is to be opened then.
    ///
    /// Whoever puts a link in the place of the folder between the two looks has another file looked at, and nothing of
    /// it told: it is not this one's bytes that are fetched.
    pub(super) fn look(&self, path: &Path) -> Option<Stat> {
        let look = |path: &Path, wanted: FileType| {
            let stat = rustix::fs::statat(&self.dir, path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
            (FileType::from_raw_mode(stat.st_mode) == wanted).then_some(stat)
        };
        let mut components = path.components();
        match (components.next()?, components.next(), components.next()) {
            (Component::Normal(_), None, _) => {}
            (Component::Normal(folder), Some(Component::Normal(_)), None) => {
                look(Path::new(folder), FileType::Directory)?;
            }
            _ => return None,
        }
        look(path, FileType::RegularFile)
    }

    /// Opens what is there at a path beneath it. Links are followed as long as they stay there.
    pub(super) fn open(&self, path: &Path, flags: OFlags) -> Result<File, Errno> {
        match open_beneath(&self.dir, path, flags, Links::Follow) {
            // an absolute link counts as leaving even where it leads back beneath the root: follow it by name, and let
            // the kernel check that the name it gives has no further links
            Err(Errno::XDEV) => {
                let target = self.real.join(path).canonicalize().map_err(|_| Errno::NOENT)?;
                let inside = target.strip_prefix(&self.real).map_err(|_| Errno::NOENT)?;
                // the root itself has no name of its own
                let inside = if inside.as_os_str().is_empty() { Path::new(".") } else { inside };
                open_beneath(&self.dir, inside, flags, Links::Refuse)
            }
            result => result,
        }
    }
}

/// What becomes of links on the way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// They are followed while they stay beneath.
    Follow,
    /// There must be none.
    Refuse,
}

/// Opens what is there at a path beneath an open folder.
pub(super) fn open_beneath(dir: &File, path: &Path, flags: OFlags, links: Links) -> Result<File, Errno> {
    create_beneath(dir, path, flags, Mode::empty(), links)
}

/// The same, for flags that may make a file: it then has that mode, less what the umask takes away.
pub(super) fn create_beneath(dir: &File, path: &Path, flags: OFlags, mode: Mode, links: Links) -> Result<File, Errno> {
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    if links == Links::Refuse {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    let open = || rustix::fs::openat2(dir, path, flags | OFlags::CLOEXEC, mode, resolve).map(File::from);
    match open() {
        // a rename somewhere on the way while the kernel looked: it asks to be asked again
        Err(Errno::AGAIN) => open(),
        result => result,
    }
}
