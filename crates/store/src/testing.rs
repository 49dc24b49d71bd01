//! Helpers of the tests: attributes, files, and the space that a folder takes.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

pub(crate) use tintype_testing::{stored_files as files, taken};

use super::*;

/// Attributes of tests: an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extension {
    WebP,
    Json,
}

impl Attributes for Extension {
    fn to_suffix(&self) -> Cow<'static, str> {
        match self {
            Extension::WebP => "webp".into(),
            Extension::Json => "part.json".into(),
        }
    }

    fn from_suffix(suffix: &str) -> Option<Extension> {
        match suffix {
            "webp" => Some(Extension::WebP),
            "part.json" => Some(Extension::Json),
            _ => None,
        }
    }
}

/// Where an answer to [`ask`] came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Stored,
    Made { stored: bool },
}

pub(crate) const MADE: Found = Found::Made { stored: true };

pub(crate) fn open(dir: &Path) -> Store<Extension> {
    open_with(dir, 1 << 30)
}

pub(crate) fn open_with(dir: &Path, max_bytes: u64) -> Store<Extension> {
    Store::new(Config { dir: Some(dir.to_owned()), max_bytes, max_files: 1000, min_free: 0 })
}

/// A file of the original at `path`, one for each number.
pub(crate) fn file(path: &'static str, number: u32) -> (&'static str, Key) {
    let mut digest = [0; 32];
    digest[8..12].copy_from_slice(&number.to_le_bytes());
    (path, Key::new(path, digest))
}

pub(crate) fn object(bytes: &'static [u8]) -> Arc<Object<Extension>> {
    let bytes = Bytes::from_static(bytes);
    Arc::new(Object { digest: Digest::of(&bytes), bytes, attributes: Extension::WebP })
}

/// Gets a file, or puts one with these bytes.
pub(crate) async fn ask(
    store: &Store<Extension>, (path, key): (&str, Key), bytes: &'static [u8],
) -> (Arc<Object<Extension>>, Found) {
    if let Some(object) = store.get(key).await {
        return (object, Found::Stored);
    }
    let object = object(bytes);
    let stored = store.put(path, key, &object).await;
    (object, Found::Made { stored })
}

/// Nearly a block of bytes that no other number has.
pub(crate) fn body(number: u32) -> &'static [u8] {
    let mut bytes = vec![7; 4000];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes.leak()
}

/// Waits for what another thread is about to do.
pub(crate) fn poll(mut is_so: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !is_so() {
        assert!(std::time::Instant::now() < end, "waited in vain");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
