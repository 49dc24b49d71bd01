//! Bytes of originals held once: whoever asks for an original while others are still being sent it gets theirs.
//!
//! An answer holds its bytes until the last of them has left. Without this, a few hundred clients that take a large
//! original slowly, or not at all, would hold as many copies of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

use super::{BoxFuture, Error, ImageId, Inbox, Opened, Original, Source, Version};

/// A source whose originals are in memory at most once for each version.
pub struct Shared {
    source: Arc<dyn Source>,
    held: Mutex<HashMap<Version, Weak<Bytes>>>,
}

/// Bytes that others may hold as well.
struct Held(Arc<Bytes>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Below this many nothing is cleared out.
const FEW: usize = 64;

impl Shared {
    /// That source, with its bytes shared.
    pub fn new(source: Arc<dyn Source>) -> Shared {
        Shared { source, held: Mutex::default() }
    }

    /// The bytes of that version, if somebody still holds them.
    fn get(&self, version: &Version) -> Option<Bytes> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(version).and_then(Weak::upgrade).map(|bytes| Bytes::from_owner(Held(bytes)))
    }

    fn keep(&self, version: Version, bytes: Bytes) -> Bytes {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // two that were read at the same time become one
        if let Some(bytes) = held.get(&version).and_then(Weak::upgrade) {
            return Bytes::from_owner(Held(bytes));
        }
        if held.len() >= FEW && held.len() == held.capacity() {
            held.retain(|_, bytes| bytes.strong_count() > 0);
        }
        let bytes = Arc::new(bytes);
        held.insert(version, Arc::downgrade(&bytes));
        Bytes::from_owner(Held(bytes))
    }
}

impl Source for Shared {
    fn version<'a>(&'a self, id: &'a ImageId) -> BoxFuture<'a, Result<Version, Error>> {
        self.source.version(id)
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

    fn inbox(&self) -> Option<Inbox> {
        self.source.inbox()
    }

    fn forget(&self, id: &ImageId) {
        self.source.forget(id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testsuite::{self, Fixture, OverFiles};
    use super::*;
    use crate::source::Files;

    type Folder = testsuite::Folder<Shared>;

    impl OverFiles for Shared {
        fn over(files: Files) -> Shared {
            Shared::new(Arc::new(files))
        }
    }

    #[tokio::test]
    async fn keeps_the_promises() {
        testsuite::run::<Folder>().await;
    }

    #[tokio::test]
    async fn bytes_are_held_once_and_not_longer_than_needed() {
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
        // what it was is still whole when it has become something else
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
        assert!(fixture.source.held.lock().expect("no panic").len() < 300, "the names of what is gone are kept");
    }
}
