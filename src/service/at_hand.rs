//! The short way to a rendition that is in memory already, which is where nearly all requests end.
//!
//! The original is looked at as on every request; a key that was made out before is taken again while nothing that it
//! covers has changed.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use arc_swap::ArcSwapOption;

use super::{Answer, Payload, Service, Timing};
use crate::cache::{Body, Found, Key};
use crate::render::recipe::{Choice, Output};
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
        let key = key(settings, id, &version, recipe, memo)?;
        let body = self.cache.in_memory(key)?;
        self.stats.count(Found::Memory);
        let Body { ref bytes, digest, content, ref sealed } = *body;
        let payload = Payload::Memory { bytes: bytes.clone(), sealed: sealed.clone() };
        let (modified, found) = (version.modified, Some(Found::Memory));
        Some(Answer { payload, digest, content, modified, found, timing: Timing::default() })
    }
}

/// The key of the rendition, remembered or made out; `None` where more must be known of the original.
fn key(settings: &Arc<Settings>, id: &ImageId, version: &Version, recipe: &Recipe, memo: &KeyMemo) -> Option<Key> {
    // it is `settled` what that means, and that may want the original
    if recipe.output == Output::Auto(Choice::AvifStill) {
        return None;
    }
    if let Some(known) = &*memo.0.load()
        && known.version == *version
        && Arc::ptr_eq(&known.settings, settings)
    {
        return Some(known.key);
    }
    let key = Key::new(id, version, recipe, settings);
    memo.0.store(Some(Arc::new(Keyed { version: *version, settings: Arc::clone(settings), key })));
    Some(key)
}
