//! Denser renditions in idle time: what is asked for again and again is encoded once more with a higher effort, at the same
//! quality and in the same format, while no render waits and a core is free.
//!
//! A rendition becomes a candidate by its number of uses in memory, or of its file by a proxy. The candidates are in a list of
//! limited length, one job at a time works on them, and the CPU time of a day is limited. A result takes the place of the
//! former one only if it is smaller by 3 % (`WORTH` in `upgrade_job`) and the key still has the bytes that the job began with. The effort that was
//! tried is kept with the rendition, whether it was worth it or not.
//!
//! A further kind of upgrade is a variant of [`Upgrade`], its place in [`next`], and its settings in [`Upgrade::settings`].

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::Service;
use super::upgrade_job::{Candidate, Outcome};
use crate::cache::{Key, Upgrade};
use crate::clock;
use crate::render::{Effort, Recipe, Settings};
use crate::source::ImageId;
use crate::sync;

/// Uses after which a rendition is worth more work: the first is enough for a few times the work of its render, the second for
/// many times.
const BALANCED_USES: u32 = 16;
const DENSE_USES: u32 = 128;

/// One use of so many is looked at, so that a hit does no more than count.
const SAMPLED: u32 = 16;

/// Candidates at most; more are looked at when they are used again.
const MAX_CANDIDATES: usize = 1024;

/// How often a job that was stopped for requested renders starts again.
const MAX_ATTEMPTS: u32 = 4;

/// Renditions that cannot be upgraded, and files that are counted for a proxy: how many are remembered.
const MAX_REMEMBERED: u64 = 10_000;

/// The candidates, and the CPU time that is left.
pub(super) struct Upgrades {
    service: Weak<Service>,
    is_on: AtomicBool,
    state: Mutex<State>,
    /// Renditions that cannot be upgraded, by the kind that was tried.
    given_up: moka::sync::Cache<Key, Upgrade>,
    /// Uses of files by a proxy.
    file_uses: moka::sync::Cache<Key, Arc<AtomicU32>>,
}

#[derive(Default)]
struct State {
    candidates: HashMap<Key, Candidate>,
    /// Whether the task that works on them runs.
    is_running: bool,
    budget: Budget,
}

/// The CPU time that jobs may take on one day (UTC).
#[derive(Default)]
struct Budget {
    per_day: Duration,
    day: u64,
    spent: Duration,
}

impl Budget {
    fn left(&mut self, day: u64) -> Duration {
        if self.day != day {
            (self.day, self.spent) = (day, Duration::ZERO);
        }
        self.per_day.saturating_sub(self.spent)
    }
}

/// The upgrade that a rendition is worth after so many uses, where `tried` was the last one.
fn next(first: Effort, tried: Option<Upgrade>, uses: u32) -> Option<Upgrade> {
    let upgrade = match (first, tried) {
        (Effort::Fast, None) => Upgrade::Balanced,
        (Effort::Fast, Some(Upgrade::Balanced)) | (Effort::Balanced, None) => Upgrade::Dense,
        (Effort::Fast | Effort::Balanced, Some(_)) | (Effort::Dense, _) => return None,
    };
    let least = match upgrade {
        Upgrade::Balanced => BALANCED_USES,
        Upgrade::Dense => DENSE_USES,
    };
    (uses >= least).then_some(upgrade)
}

fn today() -> u64 {
    clock::seconds() / 86_400
}

impl Upgrades {
    pub(super) fn new(service: Weak<Service>) -> Upgrades {
        Upgrades {
            service,
            is_on: AtomicBool::new(false),
            state: Mutex::default(),
            given_up: moka::sync::Cache::new(MAX_REMEMBERED),
            file_uses: moka::sync::Cache::new(MAX_REMEMBERED),
        }
    }

    /// Sets the CPU time of a day; `None` switches upgrades off, except for a job that runs.
    fn set(&self, per_day: Option<Duration>) {
        let mut state = sync::lock(&self.state);
        state.budget.per_day = per_day.unwrap_or_default();
        if per_day.is_none() {
            state.candidates.clear();
        }
        self.is_on.store(per_day.is_some(), Ordering::Relaxed);
    }

    fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Adds a rendition to the candidates, and starts the task that works on them. Only called within the runtime.
    fn add(&self, key: Key, candidate: Candidate) {
        if self.given_up.get(&key).is_some_and(|tried| tried >= candidate.upgrade) {
            return;
        }
        let mut state = sync::lock(&self.state);
        if state.budget.left(today()).is_zero() {
            return;
        }
        let is_full = state.candidates.len() >= MAX_CANDIDATES;
        match state.candidates.entry(key) {
            Entry::Occupied(mut known) => known.get_mut().uses = candidate.uses,
            Entry::Vacant(place) if !is_full => drop(place.insert(candidate)),
            Entry::Vacant(_) => {}
        }
        if !std::mem::replace(&mut state.is_running, true) {
            drop(state);
            tokio::spawn(work(Weak::clone(&self.service)));
        }
    }

    /// The next candidate and the CPU time that is left for it: cheap upgrades first, and then what is used most. `None`
    /// ends the task.
    fn take(&self) -> Option<(Key, Candidate, Duration)> {
        let mut state = sync::lock(&self.state);
        let left = state.budget.left(today());
        let worth = |(_, one): &(&Key, &Candidate)| (Reverse(one.upgrade), one.uses);
        let key = state.candidates.iter().max_by_key(worth).map(|(key, _)| *key).filter(|_| !left.is_zero());
        let taken = key.and_then(|key| state.candidates.remove(&key).map(|candidate| (key, candidate, left)));
        if taken.is_none() {
            state.candidates.clear();
            state.is_running = false;
        }
        taken
    }

    /// Notes how a job ended, and puts its candidate back if it was stopped.
    fn end(&self, key: Key, candidate: Candidate, outcome: Outcome, cpu: Duration) {
        if outcome == Outcome::Skipped {
            self.given_up.insert(key, candidate.upgrade);
        }
        let mut state = sync::lock(&self.state);
        state.budget.spent += cpu;
        let attempts = candidate.attempts + 1;
        if outcome == Outcome::Stopped && attempts < MAX_ATTEMPTS && self.is_on() {
            state.candidates.entry(key).or_insert(Candidate { attempts, ..candidate });
        }
    }

    /// The number of candidates.
    fn len(&self) -> usize {
        sync::lock(&self.state).candidates.len()
    }
}

/// Works on the candidates until there is none.
async fn work(service: Weak<Service>) {
    // between two jobs nothing keeps the service
    while let Some(service) = service.upgrade()
        && let Some((key, candidate, left)) = service.upgrades.take()
    {
        let (outcome, cpu) = service.upgrade(key, &candidate, left).await;
        service.stats.count_upgrade(outcome, cpu);
        service.upgrades.end(key, candidate, outcome, cpu);
    }
}

impl Service {
    /// Switches upgrades in idle time on, with so much CPU time a day, or off.
    pub fn set_upgrades(&self, cpu_per_day: Option<Duration>) {
        self.upgrades.set(cpu_per_day);
    }

    /// Renditions that wait for an upgrade.
    pub fn upgrade_candidates(&self) -> usize {
        self.upgrades.len()
    }

    /// Notes that a rendition was found, the `uses`th time. Nearly always does nothing.
    #[inline]
    pub(super) fn note_use(
        &self, settings: &Arc<Settings>, id: &ImageId, recipe: &Recipe, key: Key, tried: Option<Upgrade>, uses: u32,
    ) {
        if uses.is_multiple_of(SAMPLED) && self.upgrades.is_on() {
            self.offer(settings, id, recipe, key, tried, uses);
        }
    }

    /// The same for a rendition that was found on disk, whose uses are not counted elsewhere.
    pub(super) fn note_disk_use(
        &self, settings: &Arc<Settings>, id: &ImageId, recipe: &Recipe, key: Key, tried: Option<Upgrade>,
    ) {
        if self.upgrades.is_on() {
            let uses = self.upgrades.file_uses.get_with(key, Arc::default).fetch_add(1, Ordering::Relaxed) + 1;
            self.note_use(settings, id, recipe, key, tried, uses);
        }
    }

    #[cold]
    fn offer(
        &self, settings: &Arc<Settings>, id: &ImageId, recipe: &Recipe, key: Key, tried: Option<Upgrade>, uses: u32,
    ) {
        if let Some(upgrade) = next(settings.encoding.effort, tried, uses) {
            let (settings, id, recipe) = (Arc::clone(settings), id.clone(), recipe.clone());
            self.upgrades.add(key, Candidate { settings, id, recipe, upgrade, uses, attempts: 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::recipe::{Output, Quality};

    fn candidate(upgrade: Upgrade, uses: u32) -> Candidate {
        let recipe = Recipe::new(Output::Original, Quality::default());
        let (settings, id) = (Arc::default(), ImageId::parse("/a").expect("a name"));
        Candidate { settings, id, recipe, upgrade, uses, attempts: 0 }
    }

    fn key(number: u16) -> Key {
        let mut digest = [0; 32];
        digest[8..10].copy_from_slice(&number.to_le_bytes());
        Key::new("/a", digest)
    }

    /// Upgrades without a service: the task ends at once, and the list stays.
    fn upgrades(per_day: Duration) -> Upgrades {
        let upgrades = Upgrades::new(Weak::new());
        upgrades.set(Some(per_day));
        upgrades
    }

    #[test]
    fn more_uses_are_worth_more_work() {
        let (balanced, dense) = (Some(Upgrade::Balanced), Some(Upgrade::Dense));
        for (first, tried, uses, expected) in [
            (Effort::Fast, None, 15, None),
            (Effort::Fast, None, 16, balanced),
            (Effort::Fast, None, 1000, balanced),
            (Effort::Fast, balanced, 127, None),
            (Effort::Fast, balanced, 128, dense),
            (Effort::Fast, dense, 1000, None),
            (Effort::Balanced, None, 127, None),
            (Effort::Balanced, None, 128, dense),
            (Effort::Balanced, dense, 1000, None),
            (Effort::Dense, None, 1000, None),
        ] {
            assert_eq!(next(first, tried, uses), expected, "{first:?} {tried:?} {uses}");
        }
    }

    #[tokio::test]
    async fn cheap_upgrades_and_frequent_renditions_go_first() {
        let upgrades = upgrades(Duration::from_secs(10));
        for (number, upgrade, uses) in [
            (1, Upgrade::Dense, 900),
            (2, Upgrade::Balanced, 16),
            (3, Upgrade::Balanced, 64),
            (2, Upgrade::Balanced, 32),
        ] {
            upgrades.add(key(number), candidate(upgrade, uses));
        }
        let mut order = Vec::new();
        while let Some((key, candidate, left)) = upgrades.take() {
            order.push((key, candidate.uses));
            upgrades.end(key, candidate, Outcome::Kept, Duration::from_secs(1));
            assert_eq!(left, Duration::from_secs(11 - order.len() as u64));
        }
        assert_eq!(order, [(key(3), 64), (key(2), 32), (key(1), 900)]);
    }

    #[tokio::test]
    async fn list_has_a_bound() {
        let upgrades = upgrades(Duration::from_secs(10));
        for number in 0..2000 {
            upgrades.add(key(number), candidate(Upgrade::Balanced, 16));
        }
        assert_eq!(upgrades.len(), MAX_CANDIDATES);
        upgrades.set(None);
        assert_eq!(upgrades.len(), 0);
    }

    #[tokio::test]
    async fn cpu_time_of_a_day_is_limited() {
        let mut budget = Budget { per_day: Duration::from_secs(10), ..Budget::default() };
        budget.spent += Duration::from_secs(7);
        assert_eq!(budget.left(0), Duration::from_secs(3));
        budget.spent += Duration::from_secs(7);
        assert_eq!(budget.left(0), Duration::ZERO);
        assert_eq!(budget.left(1), Duration::from_secs(10));
        let upgrades = upgrades(Duration::from_secs(10));
        for number in [1, 2] {
            upgrades.add(key(number), candidate(Upgrade::Balanced, 16));
        }
        let (taken, one, _) = upgrades.take().expect("one of two");
        upgrades.end(taken, one, Outcome::Kept, Duration::from_secs(10));
        assert!(upgrades.take().is_none());
        upgrades.add(key(3), candidate(Upgrade::Balanced, 16));
        assert_eq!(upgrades.len(), 0, "nothing is added until tomorrow");
    }

    #[tokio::test]
    async fn stopped_jobs_start_again_and_impossible_ones_do_not() {
        let upgrades = upgrades(Duration::from_secs(10));
        upgrades.add(key(1), candidate(Upgrade::Balanced, 16));
        let mut attempts = 0;
        while let Some((key, candidate, _)) = upgrades.take() {
            attempts += 1;
            upgrades.end(key, candidate, Outcome::Stopped, Duration::ZERO);
        }
        assert_eq!(attempts, MAX_ATTEMPTS);
        upgrades.add(key(1), candidate(Upgrade::Balanced, 32));
        let (taken, one, _) = upgrades.take().expect("offered again");
        upgrades.end(taken, one, Outcome::Skipped, Duration::ZERO);
        upgrades.add(key(1), candidate(Upgrade::Balanced, 48));
        assert_eq!(upgrades.len(), 0);
        upgrades.add(key(1), candidate(Upgrade::Dense, 128));
        assert_eq!(upgrades.len(), 1, "another kind may be possible");
    }
}
