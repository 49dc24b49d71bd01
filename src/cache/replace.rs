//! Replacing the bytes of a rendition: a compare-and-swap, so that nothing that was purged or evicted comes back.

use std::sync::Arc;

use super::attributes::Attributes;
use super::hot::Hot;
use super::shared::Put;
use super::{Body, Cache, Digest, Key, Upgrade};
use crate::render::Content;
use crate::source::ImageId;
use crate::sync;

/// Length, digest and attributes of a rendition, known without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Bytes.
    pub length: u64,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its media type.
    pub content: Content,
    /// Whether the original is damaged.
    pub damaged: bool,
    /// The last upgrade that was tried.
    pub upgrade: Option<Upgrade>,
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Length, digest and attributes of the rendition of that key, on disk or else in memory. A body in memory that is another than the one
    /// on disk is dropped.
    pub fn entry(&self, key: Key) -> Option<Entry> {
        if let Some(stored) = self.store.entry(key) {
            self.drop_unless(key, stored.digest);
            let Attributes { content, damaged, upgrade } = stored.attributes;
            return Some(Entry { length: stored.length, digest: stored.digest, content, damaged, upgrade });
        }
        let body = self.hot.get(&key)?.body.load_full()?;
        let Body { digest, content, damaged, upgrade, .. } = *body;
        Some(Entry { length: body.bytes.len() as u64, digest, content, damaged, upgrade })
    }

    /// Puts `body` in the place of the rendition of that key, of the original `id`, if that has the digest `current`: on
    /// disk, and in memory where it is there. `false` where it has not, and where `body` could not be stored; a rendition that
    /// was purged, evicted or rendered again in the meantime stays as it is.
    pub async fn replace(&self, id: &ImageId, key: Key, current: Digest, body: Body) -> bool {
        let mut body = Arc::new(body);
        let is_on_disk = self.store.entry(key).is_some();
        if is_on_disk && !self.store.replace(id.as_str(), key, current, &Arc::new(body.object())).await {
            return false;
        }
        if body.memfd.is_none() && self.hot.contains_key(&key) {
            body = body.in_memfd();
        }
        let is_replaced = is_on_disk | self.replace_in_memory(id, key, current, Arc::clone(&body));
        if let Some(tier) = self.shared.get().filter(|_| is_replaced) {
            let (id, rendition) = (id.clone(), Arc::new(body.object()));
            // a purge may have begun before the replacement, so any purge of the last minute counts
            tier.put_behind(Put { id, key, rendition, begun: self.began, is_upgrade: true });
        }
        is_replaced
    }

    fn replace_in_memory(&self, id: &ImageId, key: Key, current: Digest, body: Arc<Body>) -> bool {
        let _guard = sync::lock(&self.replacing);
        let is_current = |hot: &Arc<Hot>| hot.body.load().as_ref().is_some_and(|body| body.digest == current);
        let former = self.hot.get(&key).filter(is_current);
        if let Some(former) = &former {
            self.hot.insert(key, Arc::new(Hot::new(id, body, former.uses())));
        }
        former.is_some()
    }

    /// Notes that an upgrade was tried and the bytes with the digest `current` are kept; `false` as for
    /// [`Cache::replace`].
    pub async fn mark(&self, id: &ImageId, key: Key, current: Digest, upgrade: Upgrade) -> bool {
        let body = match self.hot.get(&key).and_then(|hot| hot.body.load_full()) {
            Some(body) => body,
            None => match self.store.get(key).await {
                Some(object) => Arc::new(Body::from(&*object)),
                None => return false,
            },
        };
        let marked = Body { upgrade: Some(upgrade), ..(*body).clone() };
        body.digest == current && self.replace(id, key, current, marked).await
    }

    /// Drops the body in memory where the one on disk is another, as after a replacement while it was read from disk.
    pub(super) fn drop_replaced(&self, key: Key) {
        if let Some(stored) = self.store.entry(key) {
            self.drop_unless(key, stored.digest);
        }
    }

    fn drop_unless(&self, key: Key, digest: Digest) {
        let is_other = |hot: Arc<Hot>| hot.body.load().as_ref().is_some_and(|body| body.digest != digest);
        if self.hot.get(&key).is_some_and(is_other) {
            self.hot.invalidate(&key);
        }
    }
}
