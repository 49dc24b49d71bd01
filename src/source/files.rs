//! Originals in a folder.
//!
//! The kernel resolves every path beneath the root. A path is checked to be a regular file before it is opened and read, so
//! that no FIFO or device is ever waited for.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, OFlags, Stat};
use tokio::io::AsyncReadExt;

use super::chunks::FileReader;
use super::root::{Root, RootPath};
use super::stat::{from_errno, stat, unavailable, unsigned, version};
use super::{BoxFuture, Error, ImageId, Listing, Opened, Original, Source, UploadStore, Version};
use crate::clock;

/// How many times a file that changes during the read is read.
const READ_ATTEMPTS: usize = 3;

/// Longer than the kernel's clock tick, which is 1 to 10 ms.
const TICK: Duration = Duration::from_millis(20);

/// How many times a file that was changed within the last tick is waited for.
const STABLE_ATTEMPTS: usize = 5;

/// A folder with originals.
#[derive(Debug)]
pub struct Files {
    root: RootPath,
    /// Folders outside of the root that links may lead to.
    linked: Arc<[RootPath]>,
    max_bytes: u64,
}

impl Files {
    /// Serves the folder `root`; originals of more than `max_bytes` bytes are refused.
    ///
    /// # Errors
    /// Where the folder is not there or may not be opened.
    pub fn new(root: &Path, max_bytes: u64) -> std::io::Result<Files> {
        Ok(Files { root: RootPath::open_at(root)?, linked: Arc::default(), max_bytes })
    }

    /// Also follows links into these folders outside of the root.
    ///
    /// # Errors
    /// Where a path is relative and the working directory is not known.
    pub fn with_links(self, folders: &[PathBuf]) -> std::io::Result<Files> {
        let linked = folders.iter().map(|folder| RootPath::linked(folder)).collect::<std::io::Result<_>>()?;
        Ok(Files { linked, ..self })
    }

    fn open_with(&self, root: &Root, id: &ImageId, flags: OFlags) -> Result<File, Error> {
        root.open(Path::new(id.as_str()), flags, &self.linked).map_err(from_errno)
    }

    /// Opens a file that was checked to be regular.
    fn open_for_reading(&self, id: &ImageId) -> Result<File, Error> {
        // nonblocking, since opening a FIFO waits for its writer; regular files ignore the flag
        self.open_with(&*self.open_root()?, id, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
    }

    /// The root; [`Error::Unavailable`] while it is gone: that does not mean that its originals are.
    fn open_root(&self) -> Result<Arc<Root>, Error> {
        self.root.current().clone().ok_or_else(|| unavailable(std::io::ErrorKind::NotFound.into()))
    }

    async fn read(&self, id: &ImageId) -> Result<Original, Error> {
        for _ in 0..READ_ATTEMPTS {
            let file = self.open_for_reading(id)?;
            let (version, bytes) = self.version_within_limit(&self.stable_stat(|| stat(&file)).await?)?;
            let mut file = tokio::fs::File::from_std(file);
            let mut buffer = Vec::with_capacity(bytes as usize);
            // one byte more than expected, to notice a file that grows
            (&mut file).take(bytes + 1).read_to_end(&mut buffer).await.map_err(unavailable)?;
            let file = file.into_std().await;
            let unchanged = stat(&file)
                .and_then(|after| self.version_within_limit(&after))
                .is_ok_and(|(after, _)| after == version);
            if unchanged && buffer.len() as u64 == bytes {
                return Ok(Original { bytes: buffer.into(), version });
            }
        }
        Err(Error::Changing)
    }

    /// The metadata of a file whose last change is at least a clock tick ago. File times advance with the kernel's clock tick:
    /// two changes within one tick leave the same times, and the content between them would have the version of the content
    /// after them (git calls such files racy).
    async fn stable_stat(&self, stat: impl Fn() -> Result<Stat, Error>) -> Result<Stat, Error> {
        for _ in 0..STABLE_ATTEMPTS {
            let now = clock::now();
            let stat = stat()?;
            self.version_within_limit(&stat)?;
            let seconds = unsigned(stat.st_ctime);
            let changed = SystemTime::UNIX_EPOCH
                + Duration::from_secs(seconds)
                + Duration::from_nanos(unsigned(stat.st_ctime_nsec));
            match now.duration_since(changed) {
                Ok(ago) if ago < TICK => tokio::time::sleep(TICK - ago).await,
                Ok(_) => return Ok(stat),
                // the file's clock is a tick ahead of ours, or the clock was set back
                Err(ahead) if ahead.duration() < TICK => tokio::time::sleep(TICK).await,
                Err(_) => return Ok(stat),
            }
        }
        // it is written all the time; the read finds out whether it is stable
        stat()
    }

    /// The version and length of a regular file within the limit.
    fn version_within_limit(&self, stat: &Stat) -> Result<(Version, u64), Error> {
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::NotFound);
        }
        let bytes = unsigned(stat.st_size);
        if bytes > self.max_bytes {
            return Err(Error::TooLarge { bytes, limit: self.max_bytes });
        }
        Ok((version(stat), bytes))
    }
}

impl Source for Files {
    fn version<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Version, Error>> {
        // a few system calls that read no data: another thread would cost more
        Box::pin(async move {
            let look = || {
                let current = self.root.current();
                let root = current.as_deref().ok_or_else(|| unavailable(std::io::ErrorKind::NotFound.into()))?;
                match root.stat_regular_file(Path::new(id.as_str())) {
                    Some(stat) => Ok(stat),
                    None => stat(&self.open_with(root, id, OFlags::PATH)?),
                }
            };
            Ok(self.version_within_limit(&self.stable_stat(look).await?)?.0)
        })
    }

    fn fetch<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Original, Error>> {
        Box::pin(async move {
            // before the open, since opening some devices has effects
            self.version(id).await?;
            self.read(id).await
        })
    }

    fn open<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Opened, Error>> {
        Box::pin(async move {
            // before the open, since opening some devices has effects
            self.version(id).await?;
            let file = self.open_for_reading(id)?;
            let stat = self.stable_stat(|| stat(&file)).await?;
            let (version, _) = self.version_within_limit(&stat)?;
            Ok(Opened::new(version, FileReader::new(file, &stat)))
        })
    }

    fn upload_store(&self) -> Option<UploadStore> {
        Some(UploadStore::folder(self.open_root().ok()?, self.max_bytes))
    }

    fn listing(&self) -> Option<Listing> {
        Some(Listing::new(self.open_root().ok()?, Arc::clone(&self.linked)))
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::Mode;

    use super::super::testsuite::{self, Fixture, OverFiles};
    use super::*;

    type Folder = testsuite::Folder<Files>;

    impl OverFiles for Files {
        fn over(files: Files) -> Files {
            files
        }
    }

    #[tokio::test]
    async fn files_pass_the_source_suite() {
        testsuite::run::<Folder>().await;
    }

    #[tokio::test]
    async fn replaced_root_is_reopened() {
        let all = tempfile::tempdir().expect("a folder");
        let [one, two, link] = ["one", "two", "current"].map(|name| all.path().join(name));
        for (folder, bytes) in [(&one, b"one"), (&two, b"two")] {
            std::fs::create_dir(folder).expect("a folder");
            std::fs::write(folder.join("a.jpg"), bytes).expect("a file");
        }
        let point_to = |folder: &Path| {
            let _ = std::fs::remove_file(&link);
            std::os::unix::fs::symlink(folder, &link).expect("a link");
        };
        point_to(&one);
        let files = Files::new(&link, 100).expect("a source");
        let id = ImageId::parse("/a.jpg").expect("a name");
        let fetch = async || {
            tokio::time::sleep(Duration::from_millis(250)).await;
            files.fetch(&id).await.map(|original| original.bytes.to_vec())
        };
        assert_eq!(fetch().await.expect("there"), b"one");
        point_to(&two);
        assert_eq!(fetch().await.expect("there"), b"two");
        std::fs::rename(&two, all.path().join("away")).expect("renamed");
        assert!(matches!(fetch().await, Err(Error::Unavailable(_))), "it may be there");
        assert!(files.upload_store().is_none(), "what is put there could not be found again");
        std::fs::create_dir(&two).expect("a folder");
        assert!(matches!(fetch().await, Err(Error::NotFound)));
        std::fs::write(two.join("a.jpg"), b"new").expect("a file");
        assert_eq!(fetch().await.expect("there"), b"new");
    }

    #[tokio::test]
    async fn only_regular_files_are_originals() {
        let folder = Folder::new(100);
        folder.put("sub/a.jpg", b"a");
        let fifo = folder.dir.path().join("fifo.jpg");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::RUSR | Mode::WUSR).expect("a fifo");
        let _socket = std::os::unix::net::UnixListener::bind(folder.dir.path().join("socket.jpg")).expect("a socket");
        for name in ["sub", "fifo.jpg", "socket.jpg", "sub/a.jpg/b"] {
            assert!(matches!(folder.fetch(name).await, Err(Error::NotFound)), "{name}");
        }
    }

    #[tokio::test]
    async fn rewrite_that_keeps_size_and_mtime_is_a_new_version() {
        let folder = Folder::new(100);
        folder.put("a.jpg", b"one");
        let id = ImageId::parse("/a.jpg").expect("a name");
        let before = folder.source.version(&id).await.expect("a version");
        let file = File::options().write(true).open(folder.dir.path().join("a.jpg")).expect("the file");
        let modified = file.metadata().expect("metadata").modified().expect("a time");
        loop {
            folder.put("a.jpg", b"two");
            file.set_modified(modified).expect("set back");
            // ctime advances with the kernel's clock tick, a few milliseconds
            if folder.source.version(&id).await.expect("a version") != before {
                break;
            }
        }
    }
}
