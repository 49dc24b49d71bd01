//! A short-lived cache of decoded originals: a page whose `srcset` lists six widths has its photograph decoded once, not six
//! times.
//!
//! A single render of an original caches nothing. An image is cached while other renders of the same original wait, or one
//! ended within [`TTL`]; it is evicted when it was not used for that time, or when others need the memory and no render of
//! its original waits. The render that decodes is told the scales that the waiting ones will need, and decodes them in the
//! same pass where the format allows. Cached images and memory reserved for them stay within the bound. Decoding is
//! deterministic, so results do not depend on what is cached.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::render::Info;
use crate::render::{self, Decode, DecodeKey, Decoded, Error, Recipe, Settings, SharedDecodes};
use crate::source::Version;
use crate::sync;

/// The time that an image is cached after its last use, and in which another render of the same original shares it.
const TTL: Duration = Duration::from_secs(2);

/// Waiting renders whose scales are looked up for one decode.
const MAX_LOOKAHEAD: usize = 32;

/// Decoded images by version and scale.
pub(super) struct DecodeCache {
    state: Mutex<State>,
    /// Notified when a decode ends.
    changed: Condvar,
    max_bytes: u64,
}

#[derive(Default)]
struct State {
    images: HashMap<(Version, DecodeKey), Entry>,
    /// Of cached images, and reserved for images that are decoded for waiting renders.
    bytes: u64,
    demand: HashMap<Version, Demand>,
    next_number: u64,
    /// Whether the task that evicts runs.
    is_sweeping: bool,
}

/// The renders of a version.
#[derive(Default)]
struct Demand {
    /// Waiting and running renders.
    renders: u32,
    /// The end of the latest render.
    last: Option<Instant>,
    /// Renders that have not asked for an image yet, by their numbers.
    waiting: BTreeMap<u64, Rendition>,
    /// A decode failed or gave more than fits: no render waits for the decode of another any more.
    is_unshared: bool,
    /// A decode for several scales gave only one, as with some damaged files: another attempt would double the work again.
    is_single_scale: bool,
}

type Rendition = (Arc<Recipe>, Arc<Settings>);

enum Entry {
    /// Being decoded, with so many bytes reserved.
    Pending(u64),
    Ready {
        decoded: Arc<Decoded>,
        used: Instant,
    },
}

/// Announces one render of a version to the others, until it is dropped.
pub(super) struct DecodeTicket {
    cache: Arc<DecodeCache>,
    version: Version,
    number: u64,
    /// Whether another render decoded for this one, or this one for another.
    has_shared: AtomicBool,
}

/// The outcome of [`DecodeTicket::claim`].
enum Claim {
    /// The image is cached.
    Ready(Arc<Decoded>),
    /// The caller decodes for itself.
    Unshared,
    /// The caller decodes, and others wait for its result; these renders may need further scales.
    Pending(Vec<Rendition>),
}

impl DecodeCache {
    /// A cache of at most so many bytes of pixels; 0 caches nothing.
    pub(super) fn new(max_bytes: u64) -> Arc<DecodeCache> {
        Arc::new(DecodeCache { state: Mutex::default(), changed: Condvar::new(), max_bytes })
    }

    /// Announces a render, as soon as it is known to be needed.
    pub(super) fn join(
        self: &Arc<DecodeCache>, version: Version, recipe: &Arc<Recipe>, settings: &Arc<Settings>,
    ) -> DecodeTicket {
        let mut state = self.lock();
        let now = Instant::now();
        state.sweep(now);
        state.next_number += 1;
        let number = state.next_number;
        let demand = state.demand.entry(version).or_default();
        demand.renders += 1;
        demand.waiting.insert(number, (Arc::clone(recipe), Arc::clone(settings)));
        DecodeTicket { cache: Arc::clone(self), version, number, has_shared: AtomicBool::new(false) }
    }

    /// Starts the task that evicts unused images also when no further request comes.
    pub(super) fn sweep_later(self: &Arc<DecodeCache>) {
        let mut state = self.lock();
        if state.is_sweeping || state.images.is_empty() {
            return;
        }
        state.is_sweeping = true;
        drop(state);
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            while cache.sweep() {
                tokio::time::sleep(TTL / 2).await;
            }
        });
    }

    /// Evicts images that were not used for [`TTL`]. `true` where images are left.
    fn sweep(&self) -> bool {
        let mut state = self.lock();
        state.sweep(Instant::now());
        // under the same lock as the sweep, so that an image that is cached right after it starts a new task
        state.is_sweeping = !state.images.is_empty();
        state.is_sweeping
    }

    /// Bytes of cached images, and reserved for images that are decoded for waiting renders.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        sync::lock(&self.state)
    }
}

impl State {
    fn sweep(&mut self, now: Instant) {
        let is_recent = |last: Instant| now.duration_since(last) < TTL;
        self.demand.retain(|_, demand| demand.renders > 0 || demand.last.is_some_and(is_recent));
        let demand = &self.demand;
        let mut freed = 0;
        self.images.retain(|(version, _), entry| match entry {
            Entry::Pending(_) => true,
            Entry::Ready { decoded, used } => {
                let in_demand = demand.get(version).is_some_and(|demand| demand.renders > 0);
                let keep = in_demand || now.duration_since(*used) < TTL;
                freed += if keep { 0 } else { decoded.bytes() };
                keep
            }
        });
        self.bytes -= freed;
    }

    /// Whether renders of that version share their decodes.
    fn is_shared(&self, version: &Version) -> bool {
        let is_recent = |last: Instant| last.elapsed() < TTL;
        let is_shared = |demand: &Demand| demand.renders > 1 || demand.last.is_some_and(is_recent);
        self.demand.get(version).is_some_and(|demand| !demand.is_unshared && is_shared(demand))
    }

    /// Evicts the least recently used images until `bytes` fit; `false`, and nothing evicted, where that is not enough.
    ///
    /// Images of originals that other renders wait for stay: under overload the queue holds more originals than fit, and each
    /// decode would evict what the next render of the queue needs.
    fn make_room(&mut self, bytes: u64, max_bytes: u64) -> bool {
        let is_waited_for = |version| self.demand.get(version).is_some_and(|demand| !demand.waiting.is_empty());
        let mut evictable: Vec<_> = self
            .images
            .iter()
            .filter_map(|(key, entry)| match entry {
                Entry::Ready { used, decoded } if !is_waited_for(&key.0) => Some((*used, *key, decoded.bytes())),
                _ => None,
            })
            .collect();
        let evictable_bytes: u64 = evictable.iter().map(|(_, _, bytes)| bytes).sum();
        if self.bytes - evictable_bytes + bytes > max_bytes {
            return false;
        }
        evictable.sort_by_key(|(used, ..)| *used);
        let mut oldest_first = evictable.iter();
        while self.bytes + bytes > max_bytes {
            let Some((_, key, _)) = oldest_first.next() else { return false };
            self.remove(key);
        }
        true
    }

    fn remove(&mut self, key: &(Version, DecodeKey)) {
        self.bytes -= match self.images.remove(key) {
            Some(Entry::Ready { decoded, .. }) => decoded.bytes(),
            Some(Entry::Pending(bytes)) => bytes,
            None => 0,
        };
    }
}

impl DecodeTicket {
    /// Whether another render decoded for this one, or this one for another, so that its time is not its own.
    pub(super) fn has_shared(&self) -> bool {
        self.has_shared.load(Ordering::Relaxed)
    }

    /// Takes an image from the cache, waits for its decode, or lets the caller decode it.
    fn claim(&self, scale: DecodeKey) -> Claim {
        let key = (self.version, scale);
        let mut state = self.cache.lock();
        state.demand.entry(self.version).and_modify(|demand| _ = demand.waiting.remove(&self.number));
        loop {
            match state.images.get_mut(&key) {
                Some(Entry::Ready { decoded, used }) => {
                    *used = Instant::now();
                    return Claim::Ready(Arc::clone(decoded));
                }
                // a decode that has started ends sooner than one that starts now
                Some(Entry::Pending(_)) => {
                    self.has_shared.store(true, Ordering::Relaxed);
                    state = self.cache.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                None => break,
            }
        }
        if self.cache.max_bytes == 0 || !state.is_shared(&self.version) {
            return Claim::Unshared;
        }
        state.images.insert(key, Entry::Pending(0));
        let others = state.demand.get(&self.version).filter(|demand| !demand.is_single_scale);
        let others = others.into_iter().flat_map(|demand| demand.waiting.values());
        Claim::Pending(others.take(MAX_LOOKAHEAD).cloned().collect())
    }
}

impl SharedDecodes for DecodeTicket {
    fn get_or_decode(&self, info: &Info, scale: DecodeKey, decode: Decode<'_>) -> render::Result<Arc<Decoded>> {
        let waiting = match self.claim(scale) {
            Claim::Ready(decoded) => {
                self.has_shared.store(true, Ordering::Relaxed);
                return Ok(decoded);
            }
            Claim::Unshared => return render::Unshared.get_or_decode(info, scale, decode),
            Claim::Pending(waiting) => waiting,
        };
        let mut pending = Pending { cache: &self.cache, version: self.version, scales: vec![scale] };
        if scale.is_shared_scale(info) {
            pending.reserve(info, &waiting);
        }
        let others = pending.scales[1..].to_vec();
        if !others.is_empty() {
            self.has_shared.store(true, Ordering::Relaxed);
        }
        let decoded = decode(&others).inspect_err(|error| {
            if !matches!(error, Error::Cancelled) {
                pending.update_demand(|demand| demand.is_unshared = true);
            }
        })?;
        Ok(pending.publish(decoded))
    }

    fn decline(&self) {
        self.cache.lock().demand.entry(self.version).and_modify(|demand| _ = demand.waiting.remove(&self.number));
    }

    fn is_shared(&self) -> bool {
        self.cache.max_bytes > 0 && self.cache.lock().is_shared(&self.version)
    }
}

impl Drop for DecodeTicket {
    fn drop(&mut self) {
        if let Some(demand) = self.cache.lock().demand.get_mut(&self.version) {
            demand.renders -= 1;
            demand.last = Some(Instant::now());
            demand.waiting.remove(&self.number);
        }
    }
}

/// A decode under way; dropping it wakes the renders that wait for it, however it ends.
struct Pending<'a> {
    cache: &'a DecodeCache,
    version: Version,
    /// The scales that are not published yet, the requested one first.
    scales: Vec<DecodeKey>,
}

impl Pending<'_> {
    /// Reserves memory for the scales that waiting renders will need and no other decode produces, as far as they fit.
    fn reserve(&mut self, info: &Info, waiting: &[Rendition]) {
        let scales = waiting.iter().filter_map(|(recipe, settings)| DecodeKey::wanted(info, recipe, settings));
        let scales: Vec<(DecodeKey, u64)> = scales.filter(|(scale, _)| scale.is_shared_scale(info)).collect();
        let mut state = self.cache.lock();
        for (scale, bytes) in scales {
            let key = (self.version, scale);
            if !state.images.contains_key(&key) && state.make_room(bytes, self.cache.max_bytes) {
                state.bytes += bytes;
                state.images.insert(key, Entry::Pending(bytes));
                self.scales.push(scale);
            }
        }
    }

    /// Caches the decoded images, as far as they fit, and returns the first, which is the requested one.
    fn publish(mut self, decoded: Vec<(DecodeKey, Decoded)>) -> Arc<Decoded> {
        let decoded: Vec<_> = decoded.into_iter().map(|(scale, decoded)| (scale, Arc::new(decoded))).collect();
        let requested = Arc::clone(&decoded[0].1);
        let is_single_scale = decoded.len() < self.scales.len();
        let mut state = self.cache.lock();
        for scale in self.scales.drain(..) {
            state.remove(&(self.version, scale));
        }
        let mut is_unshared = true;
        // the requested one last: memory was reserved for the others, and it is returned in any case
        for (scale, decoded) in decoded.into_iter().rev() {
            if state.make_room(decoded.bytes(), self.cache.max_bytes) {
                // an image that came twice counts once
                state.remove(&(self.version, scale));
                state.bytes += decoded.bytes();
                state.images.insert((self.version, scale), Entry::Ready { decoded, used: Instant::now() });
                is_unshared = false;
            }
        }
        drop(state);
        self.update_demand(|demand| {
            demand.is_single_scale |= is_single_scale;
            demand.is_unshared |= is_unshared;
        });
        requested
    }

    fn update_demand(&self, update: impl FnOnce(&mut Demand)) {
        self.cache.lock().demand.entry(self.version).and_modify(update);
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        for scale in &self.scales {
            state.remove(&(self.version, *scale));
        }
        drop(state);
        self.cache.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
