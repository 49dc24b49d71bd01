//! Symbolic links among originals: which are followed, and that none leads elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::testsuite::{self, Fixture};
use super::{Error, Files, ImageId, Source};

type Folder = testsuite::Folder<Files>;

#[tokio::test]
async fn links_are_followed_only_beneath_the_root() {
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
    assert_eq!(folder.fetch("relative.jpg").await.expect("inside"), b"real");
    assert_eq!(folder.fetch("absolute.jpg").await.expect("inside"), b"real");
    for name in ["out.jpg", "climbing.jpg", "folder/secret", "circle.jpg"] {
        assert!(matches!(folder.fetch(name).await, Err(Error::NotFound)), "{name}");
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
async fn links_into_allowed_folders_are_followed() {
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
async fn swapped_link_never_leads_outside() {
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
