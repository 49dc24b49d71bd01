//! The operator's picture for answers without an image, which has a version and bytes like an original.
//!
//! Its name begins with a dot, so that no URL names it. All missing originals share its renditions: their key has the digest of its
//! bytes, and nothing of the URL but the recipe.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;

use super::{
    BoxFuture, Error, ImageId, Listing, LocalCopy, Opened, Original, RemoteStats, Source, UploadStore, Version,
};

/// A source with the fallback picture in addition to its originals.
pub struct WithFallback {
    originals: Arc<dyn Source>,
    picture: ArcSwapOption<Original>,
}

impl WithFallback {
    /// The source without a picture.
    pub fn new(originals: Arc<dyn Source>) -> WithFallback {
        WithFallback { originals, picture: ArcSwapOption::empty() }
    }

    /// Replaces the picture.
    pub fn set(&self, bytes: Option<Bytes>) {
        let picture = bytes.map(|bytes| {
            let identity = *blake3::hash(&bytes).as_bytes();
            // without a date: the date of a missing original would be another
            let version = Version { identity, modified: None, length: bytes.len() as u64 };
            Arc::new(Original { bytes, version })
        });
        self.picture.store(picture);
    }

    fn picture(&self) -> Result<Original, Error> {
        self.picture.load().as_deref().cloned().ok_or(Error::NotFound)
    }
}

/// A future that is ready.
fn ready<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Source for WithFallback {
    fn version<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Version, Error>> {
        match id.is_fallback() {
            true => ready(self.picture().map(|picture| picture.version)),
            false => self.originals.version(id),
        }
    }

    fn known(&self, id: &ImageId) -> Option<Version> {
        match id.is_fallback() {
            true => self.picture().ok().map(|picture| picture.version),
            false => self.originals.known(id),
        }
    }

    fn is_stale(&self, id: &ImageId) -> bool {
        !id.is_fallback() && self.originals.is_stale(id)
    }

    fn make_local<'a>(&'a self, id: &'a ImageId, version: Version) -> BoxFuture<'a, Result<LocalCopy, Error>> {
        match id.is_fallback() {
            true => ready(Ok(LocalCopy::default())),
            false => self.originals.make_local(id, version),
        }
    }

    fn fetch_local<'a>(
        &'a self, id: &'a ImageId, copy: &'a LocalCopy,
    ) -> BoxFuture<'a, Result<Option<Original>, Error>> {
        match id.is_fallback() {
            true => ready(self.picture().map(Some)),
            false => self.originals.fetch_local(id, copy),
        }
    }

    fn is_local(&self, id: &ImageId, version: Version) -> bool {
        id.is_fallback() || self.originals.is_local(id, version)
    }

    fn fetch<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Original, Error>> {
        match id.is_fallback() {
            true => ready(self.picture()),
            false => self.originals.fetch(id),
        }
    }

    fn open<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Opened, Error>> {
        match id.is_fallback() {
            true => ready(self.picture().map(|Original { bytes, version }| Opened::new(version, bytes))),
            false => self.originals.open(id),
        }
    }

    fn upload_store(&self) -> Option<UploadStore> {
        self.originals.upload_store()
    }

    fn listing(&self) -> Option<Listing> {
        self.originals.listing()
    }

    fn remote_stats(&self) -> Option<RemoteStats> {
        self.originals.remote_stats()
    }

    fn require_confirmation(&self, is_required: bool) {
        self.originals.require_confirmation(is_required);
    }

    fn forget(&self, id: &ImageId) {
        self.originals.forget(id);
    }

    fn forget_below(&self, prefix: &str) {
        self.originals.forget_below(prefix);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Files;
    use super::super::testsuite::{self, Fixture, OverFiles};
    use super::*;

    type Folder = testsuite::Folder<WithFallback>;

    impl OverFiles for WithFallback {
        fn over(files: Files) -> WithFallback {
            let source = WithFallback::new(Arc::new(files));
            source.set(Some("a picture".into()));
            source
        }
    }

    #[tokio::test]
    async fn keeps_the_promises_of_a_source() {
        testsuite::run::<Folder>().await;
    }

    #[test]
    fn no_url_names_the_fallback() {
        let fallback = ImageId::fallback();
        assert!(fallback.is_fallback());
        assert!(ImageId::of(fallback.as_str()).is_err() && ImageId::parse(&fallback.to_path()).is_err());
    }

    #[tokio::test]
    async fn picture_has_the_version_of_its_bytes() {
        let folder = Folder::with(100, |files| WithFallback::new(Arc::new(files)));
        let (source, id) = (&folder.source, ImageId::fallback());
        // a file of that name is not it
        folder.put(id.as_str(), b"a file");
        assert!(matches!(source.version(&id).await, Err(Error::NotFound)));
        let mut versions = Vec::new();
        for text in ["one", "two", "one"] {
            source.set(Some(text.into()));
            let version = source.version(&id).await.expect("a picture");
            assert_eq!((source.known(&id), version.modified, version.length), (Some(version), None, 3));
            let original = source.fetch(&id).await.expect("a picture");
            assert_eq!((&original.bytes[..], original.version), (text.as_bytes(), version));
            let opened = source.open(&id).await.expect("a picture");
            assert_eq!(opened.read(0..9).read_to_end().await.expect("bytes"), text.as_bytes());
            versions.push(version);
        }
        assert!(versions[0] == versions[2] && versions[0] != versions[1]);
        source.set(None);
        assert!(matches!(source.fetch(&id).await, Err(Error::NotFound)));
    }
}
