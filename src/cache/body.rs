//! Renditions as the cache takes them and gives them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tintype_store::{Digest, Key, Object};

use super::attributes::{Attributes, Upgrade};
use super::memfd::MemfdBytes;
use crate::render::{Content, Encoded};

/// A rendition's bytes.
#[derive(Clone, Debug)]
pub struct Body {
    /// All bytes; clones share one allocation.
    pub bytes: Bytes,
    /// Their digest.
    pub digest: Digest,
    /// Their media type.
    pub content: Content,
    /// Whether the original is damaged, so that this shows the intact part.
    pub damaged: bool,
    /// The last upgrade that was tried.
    pub upgrade: Option<Upgrade>,
    /// The memfd that has the same bytes, if there is one.
    pub memfd: Option<MemfdBytes>,
}

impl Body {
    /// The body of an encoded rendition.
    pub fn new(encoded: Encoded) -> Body {
        let Encoded { bytes, content, damaged, kind: _ } = encoded;
        Body { digest: Digest::of(&bytes), bytes: bytes.into(), content, damaged, upgrade: None, memfd: None }
    }

    pub(super) fn object(&self) -> Object<Attributes> {
        let Body { content, damaged, upgrade, .. } = *self;
        Object { bytes: self.bytes.clone(), digest: self.digest, attributes: Attributes { content, damaged, upgrade } }
    }

    /// A copy in a memfd, where that is of use and possible.
    pub(super) fn in_memfd(self: &Arc<Self>) -> Arc<Body> {
        let Some(memfd) = MemfdBytes::copy(&self.bytes) else { return Arc::clone(self) };
        Arc::new(Body { bytes: memfd.bytes(), memfd: Some(memfd), ..(**self).clone() })
    }
}

impl From<&Object<Attributes>> for Body {
    fn from(object: &Object<Attributes>) -> Body {
        let Attributes { content, damaged, upgrade } = object.attributes;
        Body { bytes: object.bytes.clone(), digest: object.digest, content, damaged, upgrade, memfd: None }
    }
}

/// A rendition that was made, and the keys that it is kept under.
#[derive(Debug)]
pub struct Made {
    /// The rendition.
    pub encoded: Encoded,
    /// A second key of the same rendition.
    pub also: Option<Key>,
    /// How long its fetch and render took, without waits for a worker.
    pub took: Duration,
}

impl From<Encoded> for Made {
    fn from(encoded: Encoded) -> Made {
        Made { encoded, also: None, took: Duration::ZERO }
    }
}

/// A verified file with a rendition, for another program to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its path below the cache folder.
    pub path: String,
    /// Length in bytes.
    pub length: u64,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its media type.
    pub content: Content,
    /// Whether the original is damaged, so that it shows the intact part.
    pub damaged: bool,
    /// The last upgrade that was tried.
    pub upgrade: Option<Upgrade>,
}
