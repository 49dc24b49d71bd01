//! The folder of originals. The kernel resolves every path beneath it (`openat2` with `RESOLVE_BENEATH`), so that a link
//! that is swapped in between a check and an open leads nowhere else.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwapOption, Guard};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::id;
use crate::clock;
use crate::sync;

/// An open folder; paths are resolved beneath it.
#[derive(Debug)]
pub(super) struct Root {
    dir: File,
    /// Its canonical path, which tells whether an absolute link stays beneath it.
    real: PathBuf,
}

impl Root {
    /// Opens the folder; its own path may have links.
    pub(super) fn open_at(path: &Path) -> std::io::Result<Root> {
        let real = path.canonicalize()?;
        let dir = File::open(&real)?;
        if !dir.metadata()?.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        Ok(Root { dir, real })
    }

    /// Whether `found` is this folder's inode.
    fn is_same_inode(&self, found: &Stat) -> bool {
        rustix::fs::fstat(&self.dir).is_ok_and(|own| (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino))
    }

    pub(super) fn dir(&self) -> &File {
        &self.dir
    }

    /// The metadata of a regular file, without opening it, which takes a third of the time. `None` for everything else, for
    /// paths with links and for those of more than two segments: the caller opens these.
    ///
    /// A link that replaces the folder between the two calls leads to the metadata of another file, which gives a version
    /// that no fetch returns.
    pub(super) fn stat_regular_file(&self, path: &Path) -> Option<Stat> {
        let stat_as = |path: &Path, wanted: FileType| {
            let stat = rustix::fs::statat(&self.dir, path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
            (FileType::from_raw_mode(stat.st_mode) == wanted).then_some(stat)
        };
        let mut components = path.components();
        match (components.next()?, components.next(), components.next()) {
            (Component::Normal(_), None, _) => {}
            (Component::Normal(folder), Some(Component::Normal(_)), None) => {
                stat_as(Path::new(folder), FileType::Directory)?;
            }
            _ => return None,
        }
        stat_as(path, FileType::RegularFile)
    }

    /// Opens a path beneath the folder. Links are followed while they stay beneath it or lead into one of the `linked` folders.
    pub(super) fn open(&self, path: &Path, flags: OFlags, linked: &[RootPath]) -> Result<File, Errno> {
        match open_beneath(&self.dir, path, flags, Links::Follow) {
            // the kernel also refuses an absolute link that leads back beneath the root: resolve it by name, and have the
            // kernel check that the resolved path has no further links
            Err(Errno::XDEV) => {
                let target = self.real.join(path).canonicalize().map_err(|_| Errno::NOENT)?;
                if let Some(inside) = self.relative(&target) {
                    return open_beneath(&self.dir, inside, flags, Links::Refuse);
                }
                open_linked(&target, flags, linked).unwrap_or_else(|| {
                    log_outside_link(path, &target);
                    Err(Errno::NOENT)
                })
            }
            result => result,
        }
    }

    /// A canonical path relative to this folder, if it lies beneath it.
    fn relative<'a>(&self, target: &'a Path) -> Option<&'a Path> {
        let inside = target.strip_prefix(&self.real).ok()?;
        // the folder itself
        Some(if inside.as_os_str().is_empty() { Path::new(".") } else { inside })
    }
}

/// Opens the target of a link that leads out of the root, if it lies beneath one of the folders that links may lead to.
///
/// The target was resolved a moment ago. It is opened beneath the folder and through no link, so that replacing a part of
/// it meanwhile leads nowhere else. Its segments must be valid in a URL.
fn open_linked(target: &Path, flags: OFlags, linked: &[RootPath]) -> Option<Result<File, Errno>> {
    linked.iter().find_map(|path| {
        let folder = path.current().clone()?;
        let inside = folder.relative(target)?;
        let is_valid =
            inside.to_str().is_some_and(|inside| inside == "." || inside.split('/').all(id::is_valid_segment));
        Some(if is_valid { open_beneath(&folder.dir, inside, flags, Links::Refuse) } else { Err(Errno::NOENT) })
    })
}

/// The shortest time between two log lines about links that lead out of the root.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Logs why a link was not followed, at most once a minute.
fn log_outside_link(path: &Path, target: &Path) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let now = clock::instant();
    {
        let mut last = sync::lock(&LAST);
        if last.is_some_and(|last| now.saturating_duration_since(last) < LOG_INTERVAL) {
            return;
        }
        *last = Some(now);
    }
    tracing::warn!(
        path = %path.display(),
        leads_to = %target.display(),
        "404: a link leads out of source.root; source.links names the folders that links may lead to (logged once a minute)"
    );
}

/// A path whose folder may be replaced: by a deployment, a mount or an unmount.
#[derive(Debug)]
pub(super) struct RootPath {
    path: PathBuf,
    /// `None` while the path leads to no folder.
    current: ArcSwapOption<Root>,
    /// When it was last checked, in milliseconds since `created`.
    checked: AtomicU64,
    created: Instant,
    /// Its name in the log.
    description: &'static str,
}

/// How long a replaced folder may go unnoticed: a check costs a system call.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

impl RootPath {
    /// Opens the folder; its path may have links.
    pub(super) fn open_at(path: &Path) -> std::io::Result<RootPath> {
        let root = Root::open_at(path)?;
        RootPath::new(path, Some(root), "the folder of originals")
    }

    /// A folder that links may lead to. It may be created later.
    pub(super) fn linked(path: &Path) -> std::io::Result<RootPath> {
        let root = Root::open_at(path).inspect_err(|error| {
            tracing::warn!(path = %path.display(), %error, "a folder of source.links cannot be opened");
        });
        RootPath::new(path, root.ok(), "a folder of source.links")
    }

    fn new(path: &Path, root: Option<Root>, description: &'static str) -> std::io::Result<RootPath> {
        let (path, current) = (std::path::absolute(path)?, ArcSwapOption::from_pointee(root));
        Ok(RootPath { path, current, checked: AtomicU64::new(0), created: clock::instant(), description })
    }

    /// The folder that the path leads to now; `None` where there is none.
    pub(super) fn current(&self) -> Guard<Option<Arc<Root>>> {
        let now = clock::instant().saturating_duration_since(self.created).as_millis() as u64;
        let checked = self.checked.load(Ordering::Relaxed);
        if now >= checked + CHECK_INTERVAL.as_millis() as u64
            && self.checked.compare_exchange(checked, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.reopen_if_replaced();
        }
        self.current.load()
    }

    fn reopen_if_replaced(&self) {
        let current = self.current.load();
        let opened = match (rustix::fs::stat(&self.path), &*current) {
            (Ok(found), Some(root)) if root.is_same_inode(&found) => return,
            (Ok(_), _) => Root::open_at(&self.path).map(Arc::new),
            (Err(_), None) => return,
            // these tell nothing about the path, and what is open can still be read
            (Err(Errno::IO | Errno::NOMEM), Some(_)) => return,
            (Err(error), Some(_)) => Err(error.into()),
        };
        match opened {
            Ok(root) => {
                tracing::info!(path = %self.path.display(), "{} was replaced; reopened", self.description);
                self.current.store(Some(root));
            }
            Err(error) => {
                // logged once
                if current.is_some() {
                    tracing::warn!(path = %self.path.display(), %error, "{} is gone", self.description);
                }
                self.current.store(None);
            }
        }
    }
}

/// How symbolic links on a path are treated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// Followed while they stay beneath the folder.
    Follow,
    /// An error.
    Refuse,
}

/// Opens a path beneath an open folder.
pub(super) fn open_beneath(dir: &File, path: &Path, flags: OFlags, links: Links) -> Result<File, Errno> {
    create_beneath(dir, path, flags, Mode::empty(), links)
}

/// As [`open_beneath`], for flags that may create a file: it gets that mode, less the umask.
pub(super) fn create_beneath(dir: &File, path: &Path, flags: OFlags, mode: Mode, links: Links) -> Result<File, Errno> {
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    if links == Links::Refuse {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    let open = || rustix::fs::openat2(dir, path, flags | OFlags::CLOEXEC, mode, resolve).map(File::from);
    match open() {
        // a concurrent rename on the way: openat2(2) asks for a retry
        Err(Errno::AGAIN) => open(),
        result => result,
    }
}
