//! Versions remembered for a while: where that is allowed, an original is not looked at on every request.

use std::sync::Arc;
use std::time::Duration;

use super::{BoxFuture, Error, ImageId, Inbox, Opened, Original, Source, Version};

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

impl Remembered {
    /// Takes over what was learnt by reading an original: it holds from now on.
    fn learn(&self, id: &ImageId, version: Option<Version>) {
        match version {
            Some(version) => self.versions.insert(id.clone(), version),
            None => self.versions.invalidate(id),
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
            self.learn(id, fetched.as_ref().ok().map(|original| original.version));
            fetched
        })
    }

    fn open<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Opened, Error>> {
        Box::pin(async move {
            let opened = self.source.open(id).await;
            self.learn(id, opened.as_ref().ok().map(|opened| opened.version));
            opened
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
    use super::super::testsuite::{self, Fixture, OverFiles};
    use super::*;
    use crate::source::Files;

    type Folder = testsuite::Folder<Remembered>;

    impl OverFiles for Remembered {
        fn over(files: Files) -> Remembered {
            // so short that it is a source like any other
            Remembered::new(Arc::new(files), Duration::from_nanos(1))
        }
    }

    #[tokio::test]
    async fn keeps_the_promises_of_a_source() {
        testsuite::run::<Folder>().await;
    }

    #[tokio::test]
    async fn a_version_holds_for_its_time_and_never_against_what_was_fetched() {
        let folder = Folder::with(100, |files| Remembered::new(Arc::new(files), Duration::from_secs(3600)));
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
