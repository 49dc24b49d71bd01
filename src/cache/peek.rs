//! A look at a rendition that does not count as a use and makes nothing.

use super::{Attributes, Body, Cache, Digest, Key};
use crate::render::Content;

/// Where a rendition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In memory.
    Memory,
    /// On disk.
    Disk,
    /// In the shared bucket only, as far as this server knows without asking it.
    Shared,
}

/// A rendition that was looked at.
#[derive(Clone, Copy, Debug)]
pub struct Peek {
    /// Where it is.
    pub place: Place,
    /// `None` for one in the shared bucket.
    pub facts: Option<Facts>,
}

/// The properties of a rendition.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Length in bytes.
    pub length: u64,
    /// Of the bytes.
    pub digest: Digest,
    /// The type of the bytes.
    pub content: Content,
    /// Whether the original is damaged.
    pub damaged: bool,
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Looks for the rendition of that key; `None` where it would have to be made.
    pub fn peek(&self, key: Key) -> Option<Peek> {
        if let Some(body) = self.hot.get(&key).and_then(|hot| hot.body.load_full()) {
            let Body { digest, content, damaged, ref bytes, .. } = *body;
            let facts = Facts { length: bytes.len() as u64, digest, content, damaged };
            return Some(Peek { place: Place::Memory, facts: Some(facts) });
        }
        if let Some(entry) = self.store.entry(key).filter(|_| self.trusts_disk()) {
            let Attributes { content, damaged, .. } = entry.attributes;
            let facts = Facts { length: entry.length, digest: entry.digest, content, damaged };
            return Some(Peek { place: Place::Disk, facts: Some(facts) });
        }
        let is_shared = self.shared().is_some_and(|tier| tier.has_seen(key));
        is_shared.then_some(Peek { place: Place::Shared, facts: None })
    }
}
