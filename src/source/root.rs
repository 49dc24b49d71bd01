//! The folder of originals as the kernel holds it: everything is opened beneath it (`openat2` with `RESOLVE_BENEATH`), so
//! that no link swapped in between a check and an opening leads outside.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwapOption, Guard};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::id;
use crate::clock;

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

    /// Whether that is this very folder.
    fn is(&self, found: &Stat) -> bool {
        rustix::fs::fstat(&self.dir).is_ok_and(|own| (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino))
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

    /// Opens what is there at a path beneath it. Links are followed as long as they stay there, or lead to one of these folders.
    pub(super) fn open(&self, path: &Path, flags: OFlags, linked: &[Place]) -> Result<File, Errno> {
        match open_beneath(&self.dir, path, flags, Links::Follow) {
            // an absolute link counts as leaving even where it leads back beneath the root: follow it by name, and let
            // the kernel check that the name it gives has no further links
            Err(Errno::XDEV) => {
                let target = self.real.join(path).canonicalize().map_err(|_| Errno::NOENT)?;
                if let Some(inside) = self.inside(&target) {
                    return open_beneath(&self.dir, inside, flags, Links::Refuse);
                }
                open_linked(&target, flags, linked).unwrap_or_else(|| {
                    log_link_out(path, &target);
                    Err(Errno::NOENT)
                })
            }
            result => result,
        }
    }

    /// The rest of a path without links that lies beneath this folder.
    fn inside<'a>(&self, target: &'a Path) -> Option<&'a Path> {
        let inside = target.strip_prefix(&self.real).ok()?;
        // the folder itself has no name of its own
        Some(if inside.as_os_str().is_empty() { Path::new(".") } else { inside })
    }
}

/// Opens the target of a link that leads out of the root, if it lies beneath one of the folders that links may lead to.
///
/// The target is the path that the kernel gave a moment ago. It is opened beneath the folder and through no link, so that
/// exchanging a part of it in between leads nowhere else. Its names are held to the same rules as those of a URL.
fn open_linked(target: &Path, flags: OFlags, linked: &[Place]) -> Option<Result<File, Errno>> {
    linked.iter().find_map(|place| {
        let folder = place.current().clone()?;
        let inside = folder.inside(target)?;
        let is_named_well = inside.to_str().is_some_and(|inside| inside == "." || inside.split('/').all(id::is_plain));
        Some(if is_named_well { open_beneath(&folder.dir, inside, flags, Links::Refuse) } else { Err(Errno::NOENT) })
    })
}

/// How often the log says that a link leads out of the root.
const LINK_LOGS: Duration = Duration::from_secs(60);

/// Says why a link was not followed, once a minute.
fn log_link_out(path: &Path, target: &Path) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let now = clock::instant();
    {
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| now.saturating_duration_since(last) < LINK_LOGS) {
            return;
        }
        *last = Some(now);
    }
    tracing::warn!(
        path = %path.display(),
        leads_to = %target.display(),
        "404: a link leads out of source.root; source.links names the folders that links may lead to (said once a minute)"
    );
}

/// The folder that has a name at present: a deployment may put another one in its place, and a file system may be mounted
/// over it or taken away.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// `None` while there is none.
    current: ArcSwapOption<Root>,
    /// When it was last looked whether it is still the same, in milliseconds since `begun`.
    looked: AtomicU64,
    begun: Instant,
    /// Its name in the log.
    what: &'static str,
}

/// How long a replaced folder may go unseen: looking costs a system call.
const LOOKS: Duration = Duration::from_millis(100);

impl Place {
    /// Opens the folder, which may be reached through links.
    pub(super) fn open_at(path: &Path) -> std::io::Result<Place> {
        let root = Root::open_at(path)?;
        Place::new(path, Some(root), "the folder of originals")
    }

    /// A folder that links may lead to. It need not be there yet.
    pub(super) fn linked(path: &Path) -> std::io::Result<Place> {
        let root = Root::open_at(path).inspect_err(|error| {
            tracing::warn!(path = %path.display(), %error, "a folder of source.links cannot be opened");
        });
        Place::new(path, root.ok(), "a folder of source.links")
    }

    fn new(path: &Path, root: Option<Root>, what: &'static str) -> std::io::Result<Place> {
        let (path, current) = (std::path::absolute(path)?, ArcSwapOption::from_pointee(root));
        Ok(Place { path, current, looked: AtomicU64::new(0), begun: clock::instant(), what })
    }

    /// The folder; `None` while nothing is there.
    pub(super) fn current(&self) -> Guard<Option<Arc<Root>>> {
        let now = clock::instant().saturating_duration_since(self.begun).as_millis() as u64;
        let looked = self.looked.load(Ordering::Relaxed);
        if now >= looked + LOOKS.as_millis() as u64
            && self.looked.compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.look_again();
        }
        self.current.load()
    }

    fn look_again(&self) {
        let current = self.current.load();
        let opened = match (rustix::fs::stat(&self.path), &*current) {
            (Ok(found), Some(root)) if root.is(&found) => return,
            (Ok(_), _) => Root::open_at(&self.path).map(Arc::new),
            (Err(_), None) => return,
            (Err(error), Some(_)) => Err(error.into()),
        };
        match opened {
            Ok(root) => {
                tracing::info!(path = %self.path.display(), "{} was replaced; it is opened anew", self.what);
                self.current.store(Some(root));
            }
            Err(error) => {
                // said once, and not again while it stays so
                if current.is_some() {
                    tracing::warn!(path = %self.path.display(), %error, "{} is gone", self.what);
                }
                self.current.store(None);
            }
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
