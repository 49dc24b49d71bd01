//! The fast path to a rendition in memory, where nearly all requests end.
//!
//! The version of the original is checked as on every request; a key that was computed before is used again while none of
//! its parts has changed, and so is what is known of the limits that made the rendition smaller than requested.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use arc_swap::ArcSwapOption;

use super::{Answer, Payload, Service, Timing, is_smallest};
use crate::cache::{Body, Found, Hit, Key, rendition_key};
use crate::render::geometry::Sizing;
use crate::render::{self, Clamp, Recipe, Settings};
use crate::source::{ImageId, Version};

/// The latest key of one rendition, for one original and recipe.
#[derive(Default)]
pub struct KeyMemo {
    keyed: ArcSwapOption<Keyed>,
    clamped: ArcSwapOption<Clamped>,
    /// The sizing of the URL where the recipe has a smaller one.
    requested: Option<Sizing>,
}

struct Keyed {
    version: Version,
    settings: Arc<Settings>,
    key: Key,
}

struct Clamped {
    version: Version,
    settings: Arc<Settings>,
    clamp: Option<Clamp>,
}

impl KeyMemo {
    /// The memo of a recipe whose URL requested more than `max_dimension`: a sizing that the recipe does not have.
    pub fn clamped_from(requested: Option<Sizing>) -> KeyMemo {
        KeyMemo { requested, ..KeyMemo::default() }
    }
}

impl Service {
    /// The result of [`Service::rendition`], if it is in memory and the version of the original is known without waiting.
    /// Its timing is not measured.
    pub fn in_memory(&self, settings: &Arc<Settings>, id: &ImageId, recipe: &Recipe, memo: &KeyMemo) -> Option<Answer> {
        if let Some(version) = self.source.known(id) {
            return self.memory_hit(settings, id, version, recipe, memo);
        }
        let mut version = self.source.version(id);
        match version.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(version) => self.memory_hit(settings, id, version.ok()?, recipe, memo),
            Poll::Pending => None,
        }
    }

    /// The rendition of a version, if it is in memory. `memo` must belong to this original and recipe.
    pub(super) fn memory_hit(
        &self, settings: &Arc<Settings>, id: &ImageId, version: Version, recipe: &Recipe, memo: &KeyMemo,
    ) -> Option<Answer> {
        let key = self.key(settings, id, &version, recipe, memo);
        let Hit { body, uses } = self.cache.in_memory(key)?;
        let clamp = self.known_clamp(settings, &version, recipe, memo)?;
        self.stats.count(Found::Memory);
        let Body { ref bytes, digest, content, damaged, upgrade, ref memfd } = *body;
        self.note_use(settings, id, recipe, key, upgrade, uses);
        let payload = Payload::Memory { bytes: bytes.clone(), memfd: memfd.clone() };
        let (modified, found) = (version.modified, Some(Found::Memory));
        let stale = self.is_stale(id);
        Some(Answer { payload, digest, content, damaged, clamp, stale, modified, found, timing: Timing::default() })
    }

    /// The key of the rendition, from the memo or computed. Before the header of the original is known it is the key of the
    /// recipe as it stands. That is the right key, or, where the header would reduce the recipe, one without a result.
    fn key(&self, settings: &Arc<Settings>, id: &ImageId, version: &Version, recipe: &Recipe, memo: &KeyMemo) -> Key {
        if let Some(known) = &*memo.keyed.load()
            && known.version == *version
            && Arc::ptr_eq(&known.settings, settings)
        {
            return known.key;
        }
        let Some(effective) = self.effective(*version, settings, recipe) else {
            return rendition_key(id, version, recipe, settings);
        };
        let mut key = rendition_key(id, version, &effective, settings);
        let mut is_final = true;
        if let Some(compared) = self.compared(*version, settings, &effective) {
            let compared = rendition_key(id, version, &compared, settings);
            match self.cache.in_memory(compared) {
                Some(Hit { body, .. }) if is_smallest(body.bytes.len() as u64, body.damaged, *version) => {
                    key = compared
                }
                Some(_) => {}
                // whether the original is smaller is not known
                None => is_final = false,
            }
        }
        if is_final {
            memo.keyed.store(Some(Arc::new(Keyed { version: *version, settings: Arc::clone(settings), key })));
        }
        key
    }

    /// The limit that made the rendition smaller than requested, from the memo or by the header of the original. `None` where
    /// neither is known, as for a rendition that was made before the start.
    pub(super) fn known_clamp(
        &self, settings: &Arc<Settings>, version: &Version, recipe: &Recipe, memo: &KeyMemo,
    ) -> Option<Option<Clamp>> {
        if let Some(known) = &*memo.clamped.load()
            && known.version == *version
            && Arc::ptr_eq(&known.settings, settings)
        {
            return Some(known.clamp);
        }
        let header = self.headers.get(version)?;
        let clamp = header.info().and_then(|info| Clamp::of(info, recipe, memo.requested, settings));
        memo.clamped.store(Some(Arc::new(Clamped { version: *version, settings: Arc::clone(settings), clamp })));
        Some(clamp)
    }

    /// The same for an answer. Where the header is not known, it is read only if the rendition has a size at which a limit may have
    /// made it smaller.
    pub(super) async fn clamp(
        &self, settings: &Arc<Settings>, (id, version): (&ImageId, Version), recipe: &Recipe, memo: &KeyMemo,
        answer: &Answer,
    ) -> Option<Clamp> {
        if let Some(clamp) = self.known_clamp(settings, &version, recipe, memo) {
            return clamp;
        }
        let is_possible = match &answer.payload {
            Payload::Memory { bytes, .. } => render::probe(bytes).is_ok_and(|info| {
                Clamp::is_possible(recipe, memo.requested, answer.content, info.displayed(), settings)
            }),
            Payload::Original(_) => false,
        };
        if is_possible && self.header(id, version, settings).await.is_ok() {
            return self.known_clamp(settings, &version, recipe, memo).flatten();
        }
        if !is_possible {
            let clamped = Clamped { version, settings: Arc::clone(settings), clamp: None };
            memo.clamped.store(Some(Arc::new(clamped)));
        }
        None
    }
}
