//! Versions remembered for a while: where that is allowed, an original is not looked at on every request.

use std::sync::Arc;
use std::time::Duration;

use super::{BoxFuture, Error, ImageId, Inbox, Original, Source, Version};

/// Of how many originals the version is remembered.
const REMEMBERED: u64 = 100_000;

/// A source whose versions are looked up at most once in a given time. What is fetched is always what is there.
pub struct Remembered {
    source: Arc<dyn Source>,
    versions: moka::sync::Cache<ImageId, Version>,
}

impl Remembered {
    /// That source, with each version remembered for `time`.
    pub fn new(source: Arc<dyn Source>, time: Duration) -> Remembered {
        Remembered {
            source,
            versions: moka::sync::Cache::builder().max_capacity(REMEMBERED).time_to_live(time).build(),
        }
    }
}

impl Source for Remembered {
    fn version<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Version, Error>> {
        Box::pin(async move {
            if let Some(version) = self.versions.get(id) {
                return Ok(version);
            }
            let version = self.source.version(id).await?;
            self.versions.insert(id.clone(), version);
            Ok(version)
        })
    }

    fn fetch<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Original, Error>> {
        Box::pin(async move {
            let fetched = self.source.fetch(id).await;
            // what was learnt by the way holds from now on
            match &fetched {
                Ok(original) => self.versions.insert(id.clone(), original.version),
                Err(_) => self.versions.invalidate(id),
            }
            fetched
        })
    }

    fn inbox(&self) -> Option<Inbox> {
        self.source.inbox()
    }

    fn forget(&self, id: &ImageId) {
        self.versions.invalidate(id);
        self.source.forget(id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testsuite::{self, Fixture};
    use super::*;
    use crate::source::Files;

    struct Folder {
        dir: tempfile::TempDir,
        source: Remembered,
    }

    impl Folder {
        fn remembering(time: Duration, max_bytes: u64) -> Folder {
            let dir = tempfile::tempdir().expect("a folder");
            let files = Arc::new(Files::new(dir.path(), max_bytes).expect("a source"));
            Folder { dir, source: Remembered::new(files, time) }
        }
    }

    impl Fixture for Folder {
        fn new(max_bytes: u64) -> Folder {
            // so short that it is a source like any other
            Folder::remembering(Duration::from_nanos(1), max_bytes)
        }

        fn put(&self, name: &str, bytes: &[u8]) {
            let path = self.dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            std::fs::write(path, bytes).expect("a file");
        }

        fn delete(&self, name: &str) {
            std::fs::remove_file(self.dir.path().join(name)).expect("it was there");
        }

        fn source(&self) -> &dyn Source {
            &self.source
        }
    }

    #[tokio::test]
    async fn keeps_the_promises_of_a_source() {
        testsuite::run::<Folder>().await;
    }

    #[tokio::test]
    async fn a_version_holds_for_its_time_and_never_against_what_was_fetched() {
        let folder = Folder::remembering(Duration::from_secs(3600), 100);
        folder.put("a.jpg", b"one");
        let id = ImageId::parse("/a.jpg").expect("a name");
        let first = folder.source.version(&id).await.expect("a version");
        folder.put("a.jpg", b"other");
        assert_eq!(folder.source.version(&id).await.expect("a version"), first);
        let fetched = folder.source.fetch(&id).await.expect("an original");
        assert_eq!(fetched.bytes, &b"other"[..]);
        assert_ne!(fetched.version, first);
        assert_eq!(folder.source.version(&id).await.expect("a version"), fetched.version);
        folder.delete("a.jpg");
        assert!(folder.source.fetch(&id).await.is_err());
        assert!(folder.source.version(&id).await.is_err());
    }
}
