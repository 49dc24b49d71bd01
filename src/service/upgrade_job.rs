//! One upgrade: the rendition is made again from its original, with the settings of the upgrade, and takes the place of the
//! former one if it is smaller.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::crashes::Crashes;
use super::renderer::{Bounds, IsolationError, Monitor, RenderInput, Renderer, StageTimes};
use super::workers::{Class, Grant, Need, Pressure, WorkError};
use super::{Error, Service};
use crate::cache::{Body, Entry, Key, Upgrade, rendition_key};
use crate::render::recipe::Output;
use crate::render::{self, Content, Effort, Encoded, Encoding, Estimate, Progress, Recipe, Settings, Stage};
use crate::source::{ImageId, Original, Version};

/// The share of the former bytes, in percent, that a result must save to take their place.
const WORTH: usize = 3;

/// A rendition that is requested often, and the upgrade that it is to get.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) settings: Arc<Settings>,
    pub(super) id: ImageId,
    pub(super) recipe: Recipe,
    pub(super) upgrade: Upgrade,
    pub(super) uses: u32,
    pub(super) attempts: u32,
}

/// How an upgrade ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The result took the place of the former rendition, and has so many bytes less.
    Replaced(u64),
    /// The result is not worth it.
    Kept,
    /// The rendition or its original is another one by now, or gone.
    Stale,
    /// Requested renders needed the cores or the memory, or the CPU time of the day is used up.
    Stopped,
    /// It would take too long or too much memory, or is of a kind that is not upgraded.
    Skipped,
}

impl Outcome {
    /// The names in metrics, by [`Outcome::index`].
    pub const NAMES: [&str; 5] = ["replaced", "kept", "stale", "stopped", "skipped"];

    /// The index of its name.
    pub fn index(self) -> usize {
        match self {
            Outcome::Replaced(_) => 0,
            Outcome::Kept => 1,
            Outcome::Stale => 2,
            Outcome::Stopped => 3,
            Outcome::Skipped => 4,
        }
    }
}

impl Upgrade {
    /// The settings of its render.
    fn settings(self, first: &Settings) -> Settings {
        let effort = match self {
            Upgrade::Balanced => Effort::Balanced,
            Upgrade::Dense => Effort::Dense,
        };
        Settings { encoding: Encoding { effort, ..first.encoding }, ..first.clone() }
    }

    /// The estimated time of one core that it may take at most: in this process some encoders cannot be stopped.
    fn longest(self) -> Duration {
        match self {
            Upgrade::Balanced => Duration::from_secs(2),
            Upgrade::Dense => Duration::from_secs(20),
        }
    }
}

impl Service {
    /// Runs one upgrade, which may take so much CPU time, as soon as it may run; returns the CPU time that it took as well.
    pub(super) async fn upgrade(
        self: &Arc<Self>, key: Key, candidate: &Candidate, left: Duration,
    ) -> (Outcome, Duration) {
        let mut cpu = Duration::ZERO;
        let outcome = self.try_upgrade(key, candidate, left, &mut cpu).await.unwrap_or_else(|outcome| outcome);
        (outcome, cpu)
    }

    async fn try_upgrade(
        &self, key: Key, candidate: &Candidate, left: Duration, cpu: &mut Duration,
    ) -> Result<Outcome, Outcome> {
        let Candidate { settings, id, upgrade, .. } = candidate;
        let version = self.source.version(id).await.map_err(|_| Outcome::Stale)?;
        let entry = self.cache.entry(key).filter(|entry| entry.upgrade < Some(*upgrade)).ok_or(Outcome::Stale)?;
        let recipe = self.recipe_of(key, version, candidate).ok_or(Outcome::Stale)?;
        let recipe = self.upgrade_recipe(version, settings, recipe, &entry).ok_or(Outcome::Skipped)?;
        if self.crashes.is_refused(version) {
            return Err(Outcome::Skipped);
        }

        let need = Need { class: Class::Idle, bytes: version.length + render::FIXED_MEMORY, time: None };
        let copy = self.source.make_local(id, version).await.map_err(|_| Outcome::Stale)?;
        let permit = self.workers.idle_permit(need).await.ok_or(Outcome::Skipped)?;
        let original =
            self.source.fetch_local(id, &copy).await.ok().flatten().filter(|original| original.version == version);
        let job = Job {
            original: original.ok_or(Outcome::Stale)?,
            recipe,
            settings: upgrade.settings(settings),
            longest: upgrade.longest(),
            left,
            pressure: self.workers.pressure(),
            renderer: Arc::clone(&self.renderer),
            crashes: self.crashes.clone(),
        };
        let done = permit.run_idle(move |grant| job.run(grant)).await;
        let ((result, elsewhere), took) = done.map_err(|_: WorkError| Outcome::Skipped)?;
        *cpu = took + elsewhere;
        let encoded = result?;
        if encoded.content != entry.content || encoded.damaged {
            return Err(Outcome::Skipped);
        }
        self.put_upgraded(key, candidate, &entry, encoded).await
    }

    /// Puts a result in the place of the rendition that the job began with, or notes that it is not worth it.
    async fn put_upgraded(
        &self, key: Key, Candidate { id, upgrade, .. }: &Candidate, entry: &Entry, encoded: Encoded,
    ) -> Result<Outcome, Outcome> {
        let length = encoded.bytes.len() as u64;
        if length * 100 > entry.length * (100 - WORTH as u64) {
            if self.cache.mark(id, key, entry.digest, *upgrade).await {
                return Ok(Outcome::Kept);
            }
            let is_current = self.cache.entry(key).is_some_and(|now| now.digest == entry.digest);
            // where the mark cannot be written, the next uses must not have it computed again
            return Err(if is_current { Outcome::Skipped } else { Outcome::Stale });
        }
        let body = Body { upgrade: Some(*upgrade), ..Body::new(encoded) };
        match self.cache.replace(id, key, entry.digest, body).await {
            true => Ok(Outcome::Replaced(entry.length - length)),
            false => Err(Outcome::Stale),
        }
    }

    /// The recipe that has this key for this version of the original, as the request that it was found for had it.
    fn recipe_of(
        &self, key: Key, version: Version, Candidate { settings, id, recipe, .. }: &Candidate,
    ) -> Option<Recipe> {
        let effective = self.effective(version, settings, recipe).unwrap_or_else(|| recipe.clone());
        let compared = self.compared(version, settings, &effective);
        [Some(effective), compared]
            .into_iter()
            .flatten()
            .find(|recipe| rendition_key(id, &version, recipe, settings) == key)
    }

    /// The recipe that gives the same picture in the same format; `None` for what is not upgraded.
    fn upgrade_recipe(&self, version: Version, settings: &Settings, recipe: Recipe, entry: &Entry) -> Option<Recipe> {
        let Content::Image(format) = entry.content else { return None };
        if entry.damaged || !format.is_output() {
            return None;
        }
        let exact = self.exact(version, settings, &recipe, entry.content);
        Some(exact.unwrap_or_else(|| recipe.with_output(Output::Exactly(format))))
    }
}

/// The part of an upgrade that runs on its own thread.
struct Job {
    original: Original,
    recipe: Recipe,
    settings: Settings,
    longest: Duration,
    left: Duration,
    pressure: Pressure,
    renderer: Arc<dyn Renderer>,
    crashes: Crashes,
}

/// How many times the estimated time an upgrade may take, in which its core may be busy with other work.
const PATIENCE: u32 = 30;

impl Job {
    /// The result, and the CPU time that another process took for it.
    fn run(self, grant: &mut Grant<'_>) -> (Result<Encoded, Outcome>, Duration) {
        let mut progress = IdleProgress { pressure: self.pressure.clone(), elsewhere: Duration::ZERO };
        let result = self.render(grant, &mut progress);
        (result, progress.elsewhere)
    }

    fn render(self, grant: &mut Grant<'_>, progress: &mut IdleProgress) -> Result<Encoded, Outcome> {
        let Job { original, recipe, settings, longest, left, pressure: _, renderer, crashes } = self;
        let Original { bytes, version } = &original;
        let deadline = Instant::now() + longest * PATIENCE;
        let outcome = |error: Error| {
            crashes.note(*version, &error);
            match error {
                Error::Render(render::Error::Cancelled) if Instant::now() < deadline => Outcome::Stopped,
                // no worker process can be started at present, and not for a fault of this rendition
                Error::Isolation(IsolationError::Unavailable) => Outcome::Stopped,
                _ => Outcome::Skipped,
            }
        };
        let mut bounds = Bounds { memory: version.length + render::FIXED_MEMORY, deadline, is_idle: true };
        let info = renderer.head(bytes, &settings, bounds).map_err(outcome)?.ok_or(Outcome::Skipped)?;
        // an animation takes many times as long
        if info.frames > 1 {
            return Err(Outcome::Skipped);
        }
        let estimate = render::estimate(&info, version.length, &recipe, &settings).map_err(|_| Outcome::Skipped)?;
        let Estimate { memory, time } = estimate;
        if time > longest {
            return Err(Outcome::Skipped);
        }
        if time > left || !grant.try_resize(Need { class: Class::Idle, bytes: memory, time: Some(time) }) {
            return Err(Outcome::Stopped);
        }
        // a denser encoder may leave no memory for what the first render had, and its result would be another picture
        let (now, first) = (recipe.effective(&info, &settings).left_out, recipe.left_out);
        if (now.search, now.kind) != (first.search, first.kind) {
            return Err(Outcome::Skipped);
        }
        bounds.memory = memory;
        let work = RenderInput { original: bytes, info: Some(&info), recipe: &recipe, settings: &settings, bounds };
        // decodings are not shared with requested renders: the original is most likely not decoded at present
        renderer.render(&work, None, progress).map_err(outcome)
    }
}

/// Stops a job as soon as requested renders need its core or memory.
struct IdleProgress {
    pressure: Pressure,
    /// CPU time of another process.
    elsewhere: Duration,
}

impl Progress for IdleProgress {
    fn begin(&mut self, _stage: Stage) -> bool {
        self.keep_going()
    }

    fn keep_going(&mut self) -> bool {
        !self.pressure.is_short()
    }
}

impl Monitor for IdleProgress {
    fn spent(&mut self, times: StageTimes) {
        self.elsewhere += times.cpu;
    }
}
