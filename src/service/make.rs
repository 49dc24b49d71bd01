//! Rendering for those who wait: what is needed is reckoned from the header, waited for, and worked with until it is done,
//! nobody waits any more, or the deadline has passed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::workers::{Account, Class, Need, Pressure, Refused};
use super::{Failed, Head, Service, Timing};
use crate::cache::Waiters;
use crate::render::recipe::{Choice, Output};
use crate::render::{self, Estimate, Format, Progress, Recipe, Settings, Stage};
use crate::source::{ImageId, Version};

/// What takes longer than this on the machine that estimates are made for is dear.
const DEAR: Duration = Duration::from_millis(300);

impl Service {
    /// Fetches and renders. Runs in the cache's own task, so it outlives whoever asked; but nothing is begun that nobody
    /// waits for.
    pub(super) async fn make(
        &self, id: &ImageId, version: Version, recipe: Recipe, settings: Arc<Settings>, waiters: Waiters,
    ) -> Result<(render::Encoded, Timing), Failed> {
        self.ensure_effective(version, &recipe, &settings)?;
        // said before the wait for a place, so that whoever goes first knows that others follow
        let recipe = Arc::new(recipe);
        let together = Arc::new(self.decodes.join(version, &recipe, &settings));
        let mut visit = self.workers.visit();
        let deadline = visit.deadline();
        loop {
            let head = self.heads.get(&version);
            let need = match head.as_ref().and_then(Head::info) {
                Some(info) => needed(&render::estimate(info, version.length, &recipe, &settings)?, &recipe),
                None => unknown(version, &recipe),
            };
            let place = tokio::select! {
                biased;
                place = visit.place(need) => place?,
                () = waiters.abandoned() => {
                    self.stats.deserted.fetch_add(1, Ordering::Relaxed);
                    return Err(Failed::Deserted);
                }
            };
            if head.is_none() {
                // others may have read the header while this one waited
                self.ensure_effective(version, &recipe, &settings)?;
            }
            let started = Instant::now();
            let original = self.source.fetch(id).await?;
            if original.version != version {
                return Err(Failed::Changed(original.version));
            }
            let (queued, fetched, length) = (place.queued, started.elapsed(), original.bytes.len());
            let crowd = Some((waiters.clone(), self.workers.pressure()));
            let (together, recipe, settings) = (Arc::clone(&together), Arc::clone(&recipe), Arc::clone(&settings));
            let (heads, stats) = (self.heads.clone(), Arc::clone(&self.stats));
            let work = move |account: &mut Account<'_>| {
                let mut clock = Clock::new(deadline, crowd);
                clock.begin(Stage::Decode);
                let failed = |error| Ran::Ended(Err(error), Timing::default());
                let head = match head {
                    Some(head) => head,
                    None => match render::head(&original.bytes, &settings) {
                        Ok(info) => {
                            let head = info.map_or(Head::Svg, |info| Head::Picture(Arc::new(info)));
                            heads.insert(version, head.clone());
                            let effective = head.effective(&recipe, &settings);
                            if effective != *recipe {
                                account.tells_nothing();
                                return Ran::Reduced(effective);
                            }
                            head
                        }
                        Err(error) => return failed(error),
                    },
                };
                if let Head::Picture(info) = &head {
                    match render::estimate(info, version.length, &recipe, &settings) {
                        Ok(estimate) if account.change(needed(&estimate, &recipe)) => {}
                        Ok(_) => return Ran::NoMemory,
                        Err(error) => return failed(error),
                    }
                }
                stats.renders.fetch_add(1, Ordering::Relaxed);
                let (original, head) = (&original.bytes, head.info().map(Arc::as_ref));
                let result = render::render_from(&*together, original, head, &recipe, &settings, &mut clock);
                if result.is_err() || together.has_shared() {
                    account.tells_nothing();
                }
                Ran::Ended(result, Timing { queue: queued, source: fetched, ..clock.finish() })
            };
            let ran = place.run(work).await;
            self.decodes.sweep_later();
            let (result, timing) = match ran? {
                Ran::Ended(result, timing) => (result, timing),
                Ran::Reduced(recipe) => return Err(Failed::Reduced(recipe)),
                // it takes more memory than is left, and waits for it without holding any
                Ran::NoMemory => continue,
            };
            return match result {
                Ok(encoded) => {
                    self.stats.rendered(&timing, length, &encoded);
                    Ok((encoded, timing))
                }
                Err(render::Error::Cancelled) if Instant::now() < deadline => {
                    self.stats.deserted.fetch_add(1, Ordering::Relaxed);
                    Err(Failed::Deserted)
                }
                Err(render::Error::Cancelled) => Err(Refused::Deadline.into()),
                Err(error) => Err(error.into()),
            };
        }
    }
}

/// The end of one turn of a worker.
enum Ran {
    /// The render succeeded or failed.
    Ended(render::Result<render::Encoded>, Timing),
    /// The header, read for the first time, says that this recipe is meant.
    Reduced(Recipe),
    /// The render takes more memory than is left at present.
    NoMemory,
}

impl Service {
    /// Fails with the effective recipe where the original's header is known and makes it another one.
    fn ensure_effective(&self, version: Version, recipe: &Recipe, settings: &Settings) -> Result<(), Failed> {
        match self.effective(version, settings, recipe) {
            Some(effective) if effective != *recipe => Err(Failed::Reduced(effective)),
            _ => Ok(()),
        }
    }
}

/// What is needed for what has been estimated.
fn needed(estimate: &Estimate, recipe: &Recipe) -> Need {
    let class = if estimate.time > DEAR { Class::Dear } else { class(recipe) };
    Need { class, bytes: estimate.memory, time: Some(estimate.time) }
}

/// What is needed to find out more about an original.
fn unknown(version: Version, recipe: &Recipe) -> Need {
    Need { class: class(recipe), bytes: version.length + render::FIXED_MEMORY, time: None }
}

/// How much work a recipe is, whatever the original.
fn class(recipe: &Recipe) -> Class {
    match recipe.output {
        Output::Exactly(Format::Avif) | Output::Auto(Choice::Avif | Choice::AvifStill) => Class::Dear,
        _ if recipe.lossless => Class::Dear,
        _ => Class::Cheap,
    }
}

/// Measures the stages of one render and ends it at its deadline, and when nobody waits for it but others wait for its
/// place.
pub(super) struct Clock {
    deadline: Instant,
    crowd: Option<(Waiters, Pressure)>,
    began: Instant,
    stage: Option<Stage>,
    timing: Timing,
}

impl Clock {
    pub(super) fn new(deadline: Instant, crowd: Option<(Waiters, Pressure)>) -> Clock {
        Clock { deadline, crowd, began: Instant::now(), stage: None, timing: Timing::default() }
    }

    fn end(&mut self, now: Instant) {
        let spent = now - self.began;
        match self.stage {
            Some(Stage::Decode) => self.timing.decode += spent,
            Some(Stage::Resize) => self.timing.resize += spent,
            Some(Stage::Encode) => self.timing.encode += spent,
            None => {}
        }
    }

    fn finish(mut self) -> Timing {
        self.end(Instant::now());
        self.timing
    }
}

impl Progress for Clock {
    fn begin(&mut self, stage: Stage) -> bool {
        let now = Instant::now();
        self.end(now);
        self.stage = Some(stage);
        self.began = now;
        self.goes_on()
    }

    fn goes_on(&mut self) -> bool {
        // what is nearly done is worth finishing where no one else needs the place: whoever left may come again
        let in_vain = |(waiters, pressure): &(Waiters, Pressure)| waiters.is_empty() && pressure.is_felt();
        Instant::now() < self.deadline && !self.crowd.as_ref().is_some_and(in_vain)
    }
}
