//! One copy of each original in memory, shared by all concurrent fetches.
//!
//! A response holds its bytes until the last of them has been sent. Without sharing, a few hundred slow clients of one
//! large original would hold as many copies of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;

use super::{BoxFuture, Error, ImageId, Listing, LocalCopy, Opened, Original, Source, UploadStore, Version};
use crate::sync;

/// A source that has each version of an original in memory at most once.
pub struct SharedBytes {
    source: Arc<dyn Source>,
    held: Mutex<HashMap<Version, Weak<Bytes>>>,
}

/// The owner of shared [`Bytes`].
struct Owner(Arc<Bytes>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Below this many entries, dead ones are not cleared.
const MIN_CLEANUP: usize = 64;

impl SharedBytes {
    /// Shares the bytes of `source`.
    pub fn new(source: Arc<dyn Source>) -> SharedBytes {
        SharedBytes { source, held: Mutex::default() }
    }

    /// The bytes of that version, if a caller still holds them.
    fn get(&self, version: &Version) -> Option<Bytes> {
        let held = sync::lock(&self.held);
        held.get(version).and_then(Weak::upgrade).map(|bytes| Bytes::from_owner(Owner(bytes)))
    }

    fn keep(&self, version: Version, bytes: Bytes) -> Bytes {
        let mut held = sync::lock(&self.held);
        // read twice at the same time: the first copy is kept
        if let Some(bytes) = held.get(&version).and_then(Weak::upgrade) {
            return Bytes::from_owner(Owner(bytes));
        }
        if held.len() >= MIN_CLEANUP && held.len() == held.capacity() {
            held.retain(|_, bytes| bytes.strong_count() > 0);
        }
        let bytes = Arc::new(bytes);
        held.insert(version, Arc::downgrade(&bytes));
        Bytes::from_owner(Owner(bytes))
    }
}

impl Source for SharedBytes {
    fn version<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Version, Error>> {
        self.source.version(id)
    }

    fn known(&self, id: &ImageId) -> Option<Version> {
        self.source.known(id)
    }

    fn make_local<'a>(&'a self, id: &'a ImageId, version: Version) -> BoxFuture<'a, Result<LocalCopy, Error>> {
        self.source.make_local(id, version)
    }

    fn is_local(&self, id: &ImageId, version: Version) -> bool {
        self.source.is_local(id, version)
    }

    fn fetch<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Original, Error>> {
        Box::pin(async move {
            let version = self.source.version(id).await?;
            if let Some(bytes) = self.get(&version) {
                return Ok(Original { bytes, version });
            }
            let Original { bytes, version } = self.source.fetch(id).await?;
            Ok(Original { bytes: self.keep(version, bytes), version })
        })
    }

    fn open<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Opened, Error>> {
        self.source.open(id)
    }

    fn upload_store(&self) -> Option<UploadStore> {
        self.source.upload_store()
    }

    fn listing(&self) -> Option<Listing> {
        self.source.listing()
    }

    fn forget(&self, id: &ImageId) {
        self.source.forget(id);
    }

    fn forget_below(&self, prefix: &str) {
        self.source.forget_below(prefix);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testsuite::{self, Fixture, OverFiles};
    use super::*;
    use crate::source::Files;

    type Folder = testsuite::Folder<SharedBytes>;

    impl OverFiles for SharedBytes {
        fn over(files: Files) -> SharedBytes {
            SharedBytes::new(Arc::new(files))
        }
    }

    #[tokio::test]
    async fn shared_bytes_pass_the_source_suite() {
        testsuite::run::<Folder>().await;
    }

    #[tokio::test]
    async fn bytes_are_shared_and_released_with_their_last_user() {
        let fixture = Folder::new(1000);
        let fetch = async |name: &str| {
            let id = ImageId::parse(name).expect("a name");
            fixture.source.fetch(&id).await.expect("it is there").bytes
        };
        fixture.put("a.jpg", &[1; 500]);
        let one = fetch("/a.jpg").await;
        let other = fetch("/a.jpg").await;
        assert_eq!(one.as_ptr(), other.as_ptr());
        assert_eq!(one, other);
        // bytes of the former version are unchanged
        fixture.put("a.jpg", &[2; 400]);
        let new = fetch("/a.jpg").await;
        assert_eq!((&one[..], &new[..]), (&[1; 500][..], &[2; 400][..]));
        drop((one, other, new));
        let held =
            || fixture.source.held.lock().expect("no panic").values().filter(|held| held.strong_count() > 0).count();
        assert_eq!(held(), 0);
        for number in 0..300 {
            fixture.put(&format!("{number}.jpg"), &[3; 10]);
            fetch(&format!("/{number}.jpg")).await;
        }
        assert_eq!(held(), 0);
        assert!(fixture.source.held.lock().expect("no panic").len() < 300, "dead entries are cleared");
    }
}
