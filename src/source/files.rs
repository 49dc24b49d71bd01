//! Originals in a folder.
//!
//! Everything is opened beneath the root by the kernel. What is opened is looked at before it is read: a FIFO or a device
//! is never waited for.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, OFlags, Stat};
use tokio::io::AsyncReadExt;

use super::chunks::FileReader;
use super::root::{Place, Root};
use super::stat::{from_errno, stat, unavailable, unsigned, version};
use super::{BoxFuture, Error, ImageId, Inbox, Opened, Original, Source, Version};
use crate::clock;

/// How often a file that changes while it is read is read again.
const ATTEMPTS: usize = 3;

/// Longer than the kernel's clock tick, which is 1 to 10 ms.
const TICK: Duration = Duration::from_millis(20);

/// How often it is waited for a file to be left alone for a tick.
const SETTLING_ATTEMPTS: usize = 5;

/// A folder with originals.
#[derive(Debug)]
pub struct Files {
    place: Place,
    /// Folders outside of it that links may lead to.
    linked: Vec<Place>,
    max_bytes: u64,
}

impl Files {
    /// The folder `root`; originals of more than `max_bytes` are refused.
    ///
    /// # Errors
    /// Where the folder is not there or may not be opened.
    pub fn new(root: &Path, max_bytes: u64) -> std::io::Result<Files> {
        Ok(Files { place: Place::open_at(root)?, linked: Vec::new(), max_bytes })
    }

    /// The same, where links may lead to these folders outside of the root as well.
    ///
    /// # Errors
    /// Where the folder that the process runs in is not known.
    pub fn with_links(self, folders: &[PathBuf]) -> std::io::Result<Files> {
        let linked = folders.iter().map(|folder| Place::linked(folder)).collect::<std::io::Result<_>>()?;
        Ok(Files { linked, ..self })
    }

    fn open_with(&self, root: &Root, id: &ImageId, flags: OFlags) -> Result<File, Error> {
        root.open(Path::new(id.as_str()), flags, &self.linked).map_err(from_errno)
    }

    /// Opens what is known to be a regular file.
    fn open_to_read(&self, id: &ImageId) -> Result<File, Error> {
        // nonblocking, since opening a FIFO waits for its writer; regular files do not know the flag
        self.open_with(&*self.root()?, id, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
    }

    /// The folder; while it is gone, nothing is known of what was in it.
    fn root(&self) -> Result<Arc<Root>, Error> {
        self.place.current().clone().ok_or_else(|| unavailable(std::io::ErrorKind::NotFound.into()))
    }

    async fn read(&self, id: &ImageId) -> Result<Original, Error> {
        for _ in 0..ATTEMPTS {
            let file = self.open_to_read(id)?;
            let (version, bytes) = self.told_by(&self.settled(|| stat(&file)).await?)?;
            let mut file = tokio::fs::File::from_std(file);
            let mut buffer = Vec::with_capacity(bytes as usize);
            // one byte more than there should be, to see a file that grows
            (&mut file).take(bytes + 1).read_to_end(&mut buffer).await.map_err(unavailable)?;
            let file = file.into_std().await;
            let unchanged = stat(&file).and_then(|after| self.told_by(&after)).is_ok_and(|(after, _)| after == version);
            if unchanged && buffer.len() as u64 == bytes {
                return Ok(Original { bytes: buffer.into(), version });
            }
        }
        Err(Error::Changing)
    }

    /// The same, of a file that was last changed long enough ago for another change to show in its times. They advance
    /// with the kernel's clock tick: two changes within one leave the same times, and what was read between them would
    /// pass for what came after (git calls such files racy).
    async fn settled(&self, stat: impl Fn() -> Result<Stat, Error>) -> Result<Stat, Error> {
        for _ in 0..SETTLING_ATTEMPTS {
            let now = clock::now();
            let stat = stat()?;
            self.told_by(&stat)?;
            let seconds = unsigned(stat.st_ctime);
            let changed = SystemTime::UNIX_EPOCH
                + Duration::from_secs(seconds)
                + Duration::from_nanos(unsigned(stat.st_ctime_nsec));
            match now.duration_since(changed) {
                Ok(ago) if ago < TICK => tokio::time::sleep(TICK - ago).await,
                Ok(_) => return Ok(stat),
                // the file's clock is ahead of ours by a tick, or someone set the clock back
                Err(ahead) if ahead.duration() < TICK => tokio::time::sleep(TICK).await,
                Err(_) => return Ok(stat),
            }
        }
        // it is written to all the time; reading it will show whether it can be had whole
        stat()
    }

    /// The version and length of what is a regular file within the limit.
    fn told_by(&self, stat: &Stat) -> Result<(Version, u64), Error> {
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
        // a few system calls that touch no data: handing them to another thread would cost more than they do
        Box::pin(async move {
            let look = || {
                let place = self.place.current();
                let root = place.as_deref().ok_or_else(|| unavailable(std::io::ErrorKind::NotFound.into()))?;
                match root.look(Path::new(id.as_str())) {
                    Some(stat) => Ok(stat),
                    None => stat(&self.open_with(root, id, OFlags::PATH)?),
                }
            };
            Ok(self.told_by(&self.settled(look).await?)?.0)
        })
    }

    fn fetch<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Original, Error>> {
        Box::pin(async move {
            // a look before the opening, since opening some devices does something
            self.version(id).await?;
            self.read(id).await
        })
    }

    fn open<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Opened, Error>> {
        Box::pin(async move {
            // a look before the opening, since opening some devices does something
            self.version(id).await?;
            let file = self.open_to_read(id)?;
            let stat = self.settled(|| stat(&file)).await?;
            let (version, _) = self.told_by(&stat)?;
            Ok(Opened::new(version, FileReader::new(file, &stat)))
        })
    }

    fn inbox(&self) -> Option<Inbox> {
        Some(Inbox::new(self.root().ok()?, self.max_bytes))
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
    async fn keeps_the_promises_of_a_source() {
        testsuite::run::<Folder>().await;
    }

    async fn fetch(folder: &Folder, name: &str) -> Result<Vec<u8>, Error> {
        let id = ImageId::parse(&format!("/{name}")).expect("a name");
        folder.source.fetch(&id).await.map(|original| original.bytes.to_vec())
    }

    #[tokio::test]
    async fn links_are_followed_beneath_the_root_only() {
        let outside = tempfile::tempdir().expect("a folder");
        std::fs::write(outside.path().join("secret"), b"secret").expect("a file");
        let folder = Folder::new(100);
        folder.put("sub/real.jpg", b"real");
        let root = folder.dir.path();
        let link = |target: &Path, name: &str| std::os::unix::fs::symlink(target, root.join(name)).expect("a link");
        link(Path::new("sub/real.jpg"), "relative.jpg");
        link(&root.join("sub/real.jpg"), "absolute.jpg");
        link(&outside.path().join("secret"), "out.jpg");
        link(Path::new("../../../../../../etc/passwd"), "climbing.jpg");
        link(outside.path(), "folder");
        link(Path::new("circle.jpg"), "circle.jpg");
        assert_eq!(fetch(&folder, "relative.jpg").await.expect("inside"), b"real");
        assert_eq!(fetch(&folder, "absolute.jpg").await.expect("inside"), b"real");
        for name in ["out.jpg", "climbing.jpg", "folder/secret", "circle.jpg"] {
            assert!(matches!(fetch(&folder, name).await, Err(Error::NotFound)), "{name}");
        }
    }

    /// A root and a folder beside it, as capistrano lays them out: `current` and `shared`.
    struct Linked {
        all: tempfile::TempDir,
        files: Files,
    }

    impl Linked {
        fn new() -> Linked {
            let all = tempfile::tempdir().expect("a folder");
            for folder in ["current", "shared/sub/.git", "other", "private"] {
                std::fs::create_dir_all(all.path().join(folder)).expect("a folder");
            }
            for file in [
                "shared/a.jpg",
                "shared/sub/b.jpg",
                "shared/.hidden.jpg",
                "shared/sub/.git/c.jpg",
                "other/o.jpg",
                "private/p.jpg",
            ] {
                std::fs::write(all.path().join(file), file).expect("a file");
            }
            let files = Files::new(&all.path().join("current"), 100).expect("a source");
            let folders = ["shared", "other", "not-there-yet"].map(|name| all.path().join(name));
            let files = files.with_links(&folders).expect("folders");
            Linked { all, files }
        }

        fn link(&self, target: impl AsRef<Path>, name: &str) {
            std::os::unix::fs::symlink(target, self.all.path().join(name)).expect("a link");
        }

        fn path(&self, name: &str) -> PathBuf {
            self.all.path().join(name)
        }

        async fn fetch(&self, name: &str) -> Option<String> {
            let id = ImageId::parse(&format!("/{name}")).expect("a name");
            match self.files.fetch(&id).await {
                Ok(original) => Some(String::from_utf8(original.bytes.to_vec()).expect("text")),
                Err(Error::NotFound) => None,
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }

    #[tokio::test]
    async fn links_lead_to_allowed_folders_alone() {
        let linked = Linked::new();
        linked.link(linked.path("shared/a.jpg"), "current/absolute.jpg");
        linked.link("../shared/a.jpg", "current/relative.jpg");
        linked.link("../shared", "current/folder");
        linked.link(linked.path("shared/sub"), "current/sub");
        // chains: out of the root, through another allowed folder, and back into the root
        linked.link("../current/sub/b.jpg", "other/chain.jpg");
        linked.link("../other/chain.jpg", "current/chain.jpg");
        std::fs::write(linked.path("current/own.jpg"), "own").expect("a file");
        linked.link(linked.path("current/own.jpg"), "shared/back.jpg");
        // not there when the source was opened
        std::fs::create_dir(linked.path("not-there-yet")).expect("a folder");
        std::fs::write(linked.path("not-there-yet/late.jpg"), "late").expect("a file");
        linked.link("../not-there-yet/late.jpg", "current/late.jpg");
        // nowhere, or not by names like these
        linked.link("../private/p.jpg", "current/private.jpg");
        linked.link("../private/p.jpg", "shared/private.jpg");
        linked.link("../private", "shared/private");
        linked.link("../shared/.hidden.jpg", "current/hidden.jpg");
        linked.link("../shared/sub/.git", "current/git");
        linked.link("../../../../../../etc/passwd", "current/passwd");
        linked.link("../shared-not", "current/beside");
        std::fs::create_dir(linked.path("shared-not")).expect("a folder");
        std::fs::write(linked.path("shared-not/a.jpg"), "beside").expect("a file");
        for (name, expected) in [
            ("absolute.jpg", Some("shared/a.jpg")),
            ("relative.jpg", Some("shared/a.jpg")),
            ("folder/a.jpg", Some("shared/a.jpg")),
            ("folder/sub/b.jpg", Some("shared/sub/b.jpg")),
            ("sub/b.jpg", Some("shared/sub/b.jpg")),
            ("chain.jpg", Some("shared/sub/b.jpg")),
            ("folder/back.jpg", Some("own")),
            ("private.jpg", None),
            ("folder/private.jpg", None),
            ("folder/private/p.jpg", None),
            ("hidden.jpg", None),
            ("git/c.jpg", None),
            ("passwd", None),
            ("folder", None),
            ("beside/a.jpg", None),
        ] {
            assert_eq!(linked.fetch(name).await.as_deref(), expected, "{name}");
        }
        tokio::time::timeout(Duration::from_secs(30), async {
            while linked.fetch("late.jpg").await.is_none() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("a folder that is made later is found");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn link_that_is_swapped_leads_nowhere_else() {
        let linked = Arc::new(Linked::new());
        for folder in ["shared", "other"] {
            std::fs::write(linked.path(folder).join("p.jpg"), folder).expect("a file");
        }
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let swapping = std::thread::spawn({
            let (linked, stop) = (Arc::clone(&linked), Arc::clone(&stop));
            move || {
                let swap = |target: &str, name: &str| {
                    let new = linked.path("new");
                    std::os::unix::fs::symlink(target, &new).expect("a link");
                    std::fs::rename(&new, linked.path(name)).expect("renamed");
                };
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    for target in ["../shared", "../private", "../other"] {
                        // the link in the root, and one within the allowed folder that it leads through
                        swap(&format!("{target}/p.jpg"), "shared/within.jpg");
                        swap(target, "current/link");
                    }
                }
            }
        });
        let (mut found, mut missed) = (0, 0);
        for name in ["a.jpg", "o.jpg", "p.jpg", "within.jpg"].iter().cycle().take(4000) {
            let id = ImageId::parse(&format!("/link/{name}")).expect("a name");
            match linked.files.fetch(&id).await {
                Ok(original) => {
                    assert!(!original.bytes.starts_with(b"private"), "{name}");
                    found += 1;
                }
                Err(_) => missed += 1,
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        swapping.join().expect("no panic");
        assert!(found > 0 && missed > 0, "{found} found, {missed} missed");
    }

    #[tokio::test]
    async fn a_replaced_folder_is_seen() {
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
        assert!(matches!(fetch().await, Err(Error::Unavailable(_))), "nobody can say that it is not there");
        assert!(files.inbox().is_none(), "what is put there could not be found again");
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
            assert!(matches!(fetch(&folder, name).await, Err(Error::NotFound)), "{name}");
        }
    }

    #[tokio::test]
    async fn a_rewrite_that_keeps_size_and_mtime_is_seen() {
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
