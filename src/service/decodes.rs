//! Decoded originals, for as long as renditions of them are asked for together: a page whose `srcset` names six widths
//! has its photograph read once, not six times.
//!
//! Nothing is kept for a request that comes alone. A picture is kept when others of the same original wait, or one was
//! made within [`KEPT`]; it goes when it has not been used for so long, or when others need the room. Whoever decodes is
//! told what those who wait will want, and makes of the same work what comes of it. What is kept and what is put by for it
//! stays within the bound. Decoding gives the same picture every time, so results do not depend on what is kept here.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::render::codec::Info;
use crate::render::{self, Decode, Decoded, Error, Recipe, Scale, Settings};
use crate::source::Version;

/// How long a decoded picture is kept after its last use, and for how long another request of the same original counts
/// as made together with it.
const KEPT: Duration = Duration::from_secs(2);

/// Of how many that wait it is looked what they will want.
const LOOKED_AT: usize = 32;

/// The decoded pictures.
pub(super) struct Decodes {
    state: Mutex<State>,
    /// Something was decoded, or its decoding has failed.
    changed: Condvar,
    max_bytes: u64,
}

#[derive(Default)]
struct State {
    pictures: HashMap<(Version, Scale), Picture>,
    /// Of the pictures that are kept, and what is put by for those that are decoded for others.
    bytes: u64,
    asked: HashMap<Version, Asked>,
    /// How many have joined so far.
    joined: u64,
    /// Whether a task sees to it that what is kept goes.
    is_swept: bool,
}

/// Who wants renditions of a version.
#[derive(Default)]
struct Asked {
    /// How many renders there are, waiting ones included.
    renders: u32,
    /// When one was last made.
    last: Option<Instant>,
    /// What those want that have not asked for a picture yet, by their numbers.
    waiting: BTreeMap<u64, Rendition>,
    /// Its decoding has failed, or gave more than can be kept: each does it by itself, and none waits for another in vain.
    is_apart: bool,
    /// It was read for several and gave only what was wanted, as some damaged files do: that would be twice the work again.
    is_one_by_one: bool,
}

/// A rendition that is asked for.
type Rendition = (Arc<Recipe>, Arc<Settings>);

enum Picture {
    /// Somebody decodes it, and has so many bytes put by for it.
    Pending(u64),
    Ready {
        decoded: Arc<Decoded>,
        used: Instant,
    },
}

/// Says that a rendition of a version is wanted, until it is dropped.
pub(super) struct Together {
    all: Arc<Decodes>,
    version: Version,
    number: u64,
    /// Whether others decoded for it, or it for others.
    has_shared: AtomicBool,
}

/// What becomes of a wish for a picture.
enum Claim {
    /// It is there.
    Ready(Arc<Decoded>),
    /// Whoever wants it decodes it, and nobody else hears of it.
    Apart,
    /// Whoever wants it decodes it while others wait for it; these are what more may be wanted.
    Pending(Vec<Rendition>),
}

impl Decodes {
    /// A store of at most so many bytes of pixels.
    pub(super) fn new(max_bytes: u64) -> Arc<Decodes> {
        Arc::new(Decodes { state: Mutex::default(), changed: Condvar::new(), max_bytes })
    }

    /// To be called as soon as it is known that a rendition of that version has to be made.
    pub(super) fn join(
        self: &Arc<Decodes>, version: Version, recipe: &Arc<Recipe>, settings: &Arc<Settings>,
    ) -> Together {
        let mut state = self.lock();
        let now = Instant::now();
        state.sweep(now);
        state.joined += 1;
        let number = state.joined;
        let asked = state.asked.entry(version).or_default();
        asked.renders += 1;
        asked.waiting.insert(number, (Arc::clone(recipe), Arc::clone(settings)));
        Together { all: Arc::clone(self), version, number, has_shared: AtomicBool::new(false) }
    }

    /// Sees to it that what is kept goes when it is no longer used, though nobody may ask for anything any more.
    pub(super) fn sweep_later(self: &Arc<Decodes>) {
        let mut state = self.lock();
        if state.is_swept || state.pictures.is_empty() {
            return;
        }
        state.is_swept = true;
        drop(state);
        let all = Arc::clone(self);
        tokio::spawn(async move {
            while all.sweep() {
                tokio::time::sleep(KEPT / 2).await;
            }
        });
    }

    /// Drops what has not been used for a while. `true` where something is left to be dropped later.
    fn sweep(&self) -> bool {
        let mut state = self.lock();
        state.sweep(Instant::now());
        // in the same moment as it is seen that nothing is left, so that what comes then is not forgotten
        state.is_swept = !state.pictures.is_empty();
        state.is_swept
    }

    /// Bytes of the pictures that are kept, and of what is put by for those that are being decoded for others.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn sweep(&mut self, now: Instant) {
        let is_recent = |last: Instant| now.duration_since(last) < KEPT;
        self.asked.retain(|_, asked| asked.renders > 0 || asked.last.is_some_and(is_recent));
        let asked = &self.asked;
        let mut freed = 0;
        self.pictures.retain(|(version, _), picture| match picture {
            Picture::Pending(_) => true,
            Picture::Ready { decoded, used } => {
                let wanted = asked.get(version).is_some_and(|asked| asked.renders > 0);
                let keep = wanted || now.duration_since(*used) < KEPT;
                freed += if keep { 0 } else { decoded.bytes() };
                keep
            }
        });
        self.bytes -= freed;
    }

    /// Whether renditions of that version are made together.
    fn is_shared(&self, version: &Version) -> bool {
        let is_recent = |last: Instant| last.elapsed() < KEPT;
        let is_shared = |asked: &Asked| asked.renders > 1 || asked.last.is_some_and(is_recent);
        self.asked.get(version).is_some_and(|asked| !asked.is_apart && is_shared(asked))
    }

    /// Makes room by dropping what was used longest ago; `false`, and nothing dropped, where it would not be enough.
    fn make_room(&mut self, bytes: u64, max_bytes: u64) -> bool {
        let mut kept: Vec<_> = self
            .pictures
            .iter()
            .filter_map(|(key, picture)| match picture {
                Picture::Pending(_) => None,
                Picture::Ready { used, decoded } => Some((*used, *key, decoded.bytes())),
            })
            .collect();
        let droppable: u64 = kept.iter().map(|(_, _, bytes)| bytes).sum();
        if self.bytes - droppable + bytes > max_bytes {
            return false;
        }
        kept.sort_by_key(|(used, ..)| *used);
        let mut oldest_first = kept.iter();
        while self.bytes + bytes > max_bytes {
            let Some((_, key, _)) = oldest_first.next() else { return false };
            self.remove(key);
        }
        true
    }

    fn remove(&mut self, key: &(Version, Scale)) {
        self.bytes -= match self.pictures.remove(key) {
            Some(Picture::Ready { decoded, .. }) => decoded.bytes(),
            Some(Picture::Pending(bytes)) => bytes,
            None => 0,
        };
    }
}

impl Together {
    /// Whether others decoded for it, or it for others, so that the time it took is not its own.
    pub(super) fn has_shared(&self) -> bool {
        self.has_shared.load(Ordering::Relaxed)
    }

    /// Takes or waits for a picture, or says that it is made here.
    fn claim(&self, scale: Scale) -> Claim {
        let key = (self.version, scale);
        let mut state = self.all.lock();
        state.asked.entry(self.version).and_modify(|asked| _ = asked.waiting.remove(&self.number));
        loop {
            match state.pictures.get_mut(&key) {
                Some(Picture::Ready { decoded, used }) => {
                    *used = Instant::now();
                    return Claim::Ready(Arc::clone(decoded));
                }
                // it will be there sooner than if it were begun now
                Some(Picture::Pending(_)) => {
                    self.has_shared.store(true, Ordering::Relaxed);
                    state = self.all.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                None => break,
            }
        }
        if self.all.max_bytes == 0 || !state.is_shared(&self.version) {
            return Claim::Apart;
        }
        state.pictures.insert(key, Picture::Pending(0));
        let others = state.asked.get(&self.version).filter(|asked| !asked.is_one_by_one);
        let others = others.into_iter().flat_map(|asked| asked.waiting.values());
        Claim::Pending(others.take(LOOKED_AT).cloned().collect())
    }
}

impl render::Decodes for Together {
    fn get_or_decode(&self, info: &Info, scale: Scale, decode: Decode<'_>) -> render::Result<Arc<Decoded>> {
        let waiting = match self.claim(scale) {
            Claim::Ready(decoded) => {
                self.has_shared.store(true, Ordering::Relaxed);
                return Ok(decoded);
            }
            Claim::Apart => {
                let (_, decoded) = decode(&[])?.swap_remove(0);
                return Ok(Arc::new(decoded));
            }
            Claim::Pending(waiting) => waiting,
        };
        let mut pending = Pending { all: &self.all, version: self.version, scales: vec![scale] };
        if scale.comes_with_others(info) {
            pending.put_by(info, &waiting);
        }
        let others = pending.scales[1..].to_vec();
        if !others.is_empty() {
            self.has_shared.store(true, Ordering::Relaxed);
        }
        let decoded = decode(&others).inspect_err(|error| {
            if !matches!(error, Error::Cancelled) {
                pending.asked(|asked| asked.is_apart = true);
            }
        })?;
        Ok(pending.are_there(decoded))
    }

    fn do_without(&self) {
        self.all.lock().asked.entry(self.version).and_modify(|asked| _ = asked.waiting.remove(&self.number));
    }

    fn are_shared(&self) -> bool {
        self.all.max_bytes > 0 && self.all.lock().is_shared(&self.version)
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        if let Some(asked) = self.all.lock().asked.get_mut(&self.version) {
            asked.renders -= 1;
            asked.last = Some(Instant::now());
            asked.waiting.remove(&self.number);
        }
    }
}

/// Decodings under way; nobody waits for them in vain, however they end.
struct Pending<'a> {
    all: &'a Decodes,
    version: Version,
    /// Those that are not there yet, the wanted one first.
    scales: Vec<Scale>,
}

impl Pending<'_> {
    /// Puts by what else those who wait will want and nobody has or makes, as far as there is room.
    fn put_by(&mut self, info: &Info, waiting: &[Rendition]) {
        let wanted = waiting.iter().filter_map(|(recipe, settings)| Scale::wanted(info, recipe, settings));
        let wanted: Vec<(Scale, u64)> = wanted.filter(|(scale, _)| scale.comes_with_others(info)).collect();
        let mut state = self.all.lock();
        for (scale, bytes) in wanted {
            let key = (self.version, scale);
            if !state.pictures.contains_key(&key) && state.make_room(bytes, self.all.max_bytes) {
                state.bytes += bytes;
                state.pictures.insert(key, Picture::Pending(bytes));
                self.scales.push(scale);
            }
        }
    }

    /// Keeps what was decoded, as far as there is room, and gives the first, which is the wanted one.
    fn are_there(mut self, decoded: Vec<(Scale, Decoded)>) -> Arc<Decoded> {
        let decoded: Vec<_> = decoded.into_iter().map(|(scale, decoded)| (scale, Arc::new(decoded))).collect();
        let wanted = Arc::clone(&decoded[0].1);
        let is_one_by_one = decoded.len() < self.scales.len();
        let mut state = self.all.lock();
        for scale in self.scales.drain(..) {
            state.remove(&(self.version, scale));
        }
        let mut is_apart = false;
        for (number, (scale, decoded)) in decoded.into_iter().enumerate() {
            if state.make_room(decoded.bytes(), self.all.max_bytes) {
                state.bytes += decoded.bytes();
                state.pictures.insert((self.version, scale), Picture::Ready { decoded, used: Instant::now() });
            } else {
                is_apart |= number == 0;
            }
        }
        drop(state);
        self.asked(|asked| {
            asked.is_one_by_one |= is_one_by_one;
            asked.is_apart |= is_apart;
        });
        wanted
    }

    fn asked(&self, note: impl FnOnce(&mut Asked)) {
        self.all.lock().asked.entry(self.version).and_modify(note);
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let mut state = self.all.lock();
        for scale in &self.scales {
            state.remove(&(self.version, *scale));
        }
        drop(state);
        self.all.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
