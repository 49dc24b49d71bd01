//! Versions cached for `source.revalidate`, so that not every request asks the source.

use std::sync::Arc;
use std::time::Duration;

use super::{BoxFuture, Error, ImageId, Listing, LocalCopy, Opened, Original, Source, UploadStore, Version};

/// The longest time that is different from forever; moka refuses a thousand years.
const MAX_TIME: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The number of cached versions.
const CAPACITY: u64 = 100_000;

/// A source whose version of an original is asked for at most once in a given time. Fetches are not cached.
pub struct CachedVersions {
    source: Arc<dyn Source>,
    versions: moka::sync::Cache<ImageId, Version>,
}

impl CachedVersions {
    /// Caches each version of `source` for `time`.
    pub fn new(source: Arc<dyn Source>, time: Duration) -> CachedVersions {
        CachedVersions {
            source,
            versions: moka::sync::Cache::builder().max_capacity(CAPACITY).time_to_live(time.min(MAX_TIME)).build(),
        }
    }

    /// Caches the version that was just read; `None` where the read failed.
    fn update(&self, id: &ImageId, version: Option<Version>) {
        match version {
            Some(version) => self.versions.insert(id.clone(), version),
            None => self.versions.invalidate(id),
        }
    }
}

impl Source for CachedVersions {
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

    fn known(&self, id: &ImageId) -> Option<Version> {
        self.versions.get(id).or_else(|| self.source.known(id))
    }

    fn make_local<'a>(&'a self, id: &'a ImageId, version: Version) -> BoxFuture<'a, Result<LocalCopy, Error>> {
        self.source.make_local(id, version)
    }

    fn is_local(&self, id: &ImageId, version: Version) -> bool {
        self.source.is_local(id, version)
    }

    fn fetch<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Original, Error>> {
        Box::pin(async move {
            let fetched = self.source.fetch(id).await;
            self.update(id, fetched.as_ref().ok().map(|original| original.version));
            fetched
        })
    }

    fn open<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Opened, Error>> {
        Box::pin(async move {
            let opened = self.source.open(id).await;
            self.update(id, opened.as_ref().ok().map(|opened| opened.version));
            opened
        })
    }

    fn upload_store(&self) -> Option<UploadStore> {
        self.source.upload_store()
    }

    fn listing(&self) -> Option<Listing> {
        self.source.listing()
    }

    fn forget(&self, id: &ImageId) {
        self.versions.invalidate(id);
        self.source.forget(id);
    }

    fn forget_below(&self, prefix: &str) {
        let below = self.versions.iter().filter(|(id, _)| id.as_str().starts_with(prefix));
        below.for_each(|(id, _)| self.versions.invalidate(&*id));
        self.source.forget_below(prefix);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testsuite::{self, Fixture, OverFiles};
    use super::*;
    use crate::source::Files;

    type Folder = testsuite::Folder<CachedVersions>;

    impl OverFiles for CachedVersions {
        fn over(files: Files) -> CachedVersions {
            // too short to be noticed by the suite
            CachedVersions::new(Arc::new(files), Duration::from_nanos(1))
        }
    }

    #[tokio::test]
    async fn cached_versions_pass_the_source_suite() {
        testsuite::run::<Folder>().await;
    }

    #[tokio::test]
    async fn version_is_forgotten_by_name_and_by_folder() {
        let folder = Folder::with(100, |files| CachedVersions::new(Arc::new(files), Duration::from_secs(3600)));
        folder.put("sub/a.jpg", b"one");
        let id = ImageId::parse("/sub/a.jpg").expect("a name");
        let source = &folder.source;
        let forget: [fn(&CachedVersions, &ImageId); 2] =
            [|source, id| source.forget(id), |source, _| source.forget_below("sub/")];
        for forget in forget {
            let version = source.version(&id).await.expect("a version");
            assert_eq!(source.known(&id), Some(version));
            source.forget_below("other/");
            assert_eq!(source.known(&id), Some(version));
            forget(source, &id);
            assert_eq!(source.known(&id), None);
        }
    }

    #[tokio::test]
    async fn cached_version_expires_and_is_replaced_by_a_fetched_one() {
        let folder = Folder::with(100, |files| CachedVersions::new(Arc::new(files), Duration::from_secs(3600)));
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
