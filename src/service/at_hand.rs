//! The short way to a rendition that is in memory already, which is where nearly all requests end.
//!
//! The original is looked at as on every request; a key that was made out before is taken again while nothing that it
//! covers has changed.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use arc_swap::ArcSwapOption;

use super::{Answer, Service, Timing, is_smallest};
use crate::cache::{Body, Found, Key};
use crate::render::{Recipe, Settings};
use crate::source::{ImageId, Version};

/// What the key of one rendition, always of the same original by the same recipe, was when it was last asked for.
#[derive(Default)]
pub struct KeyMemo(ArcSwapOption<Keyed>);

struct Keyed {
    version: Version,
    settings: Arc<Settings>,
    key: Key,
}

impl Service {
    /// The rendition as [`Service::rendition`] gives it, if it is in memory and nothing needs to be waited for to know
    /// that. What the time went to is not measured.
    pub fn in_memory(&self, settings: &Arc<Settings>, id: &ImageId, recipe: &Recipe, memo: &KeyMemo) -> Option<Answer> {
        let mut version = self.source.version(id);
        match version.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(version) => self.at_hand(settings, id, version.ok()?, recipe, memo),
            Poll::Pending => None,
        }
    }

    /// The rendition, if it is in memory and no more needs to be found out of the original than its version. `memo` is
    /// of this original and recipe alone.
    pub(super) fn at_hand(
        &self, settings: &Arc<Settings>, id: &ImageId, version: Version, recipe: &Recipe, memo: &KeyMemo,
    ) -> Option<Answer> {
        let key = self.key(settings, id, &version, recipe, memo);
        let body = self.cache.in_memory(key)?;
        self.stats.count(Found::Memory);
        let Body { ref bytes, digest, content, damaged, ref sealed } = *body;
        let (bytes, sealed) = (bytes.clone(), sealed.clone());
        let (modified, found) = (version.modified, Some(Found::Memory));
        Some(Answer { bytes, digest, content, damaged, sealed, modified, found, timing: Timing::default() })
    }
}

impl Service {
    /// The key of the rendition, remembered or made out. Where the original's header is not known, it is the key of the
    /// recipe as it stands, which is the right one unless the header reduces it; then nothing is found under it.
    fn key(&self, settings: &Arc<Settings>, id: &ImageId, version: &Version, recipe: &Recipe, memo: &KeyMemo) -> Key {
        if let Some(known) = &*memo.0.load()
            && known.version == *version
            && Arc::ptr_eq(&known.settings, settings)
        {
            return known.key;
        }
        let Some(effective) = self.effective(*version, settings, recipe) else {
            return Key::new(id, version, recipe, settings);
        };
        let mut key = Key::new(id, version, &effective, settings);
        let mut is_sure = true;
        if let Some(exact) = self.compared(*version, settings, &effective) {
            let exact = Key::new(id, version, &exact, settings);
            match self.cache.in_memory(exact) {
                Some(body) if is_smallest(body.bytes.len(), body.damaged, *version) => key = exact,
                Some(_) => {}
                // which of the two is sent is not known
                None => is_sure = false,
            }
        }
        if is_sure {
            memo.0.store(Some(Arc::new(Keyed { version: *version, settings: Arc::clone(settings), key })));
        }
        key
    }
}
