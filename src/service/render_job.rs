//! One render: the original is downloaded to this machine, the render waits for the resources that the header asks for, and
//! runs until it is done, its deadline has passed, or all its clients have left and others wait.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::decode_cache::DecodeTicket;
use super::header::Header;
use super::renderer::{Bounds, IsolationError, Monitor, RenderInput, Renderer, StageTimes};
use super::resolve::{ATTEMPTS, Failed};
use super::stats::Stats;
use super::workers::{Class, Grant, Need, Pressure, WorkError};
use super::{Error, Service, Timing};
use crate::cache::Waiters;
use crate::render::recipe::{Choice, Output};
use crate::render::{self, Estimate, Format, PictureKind, Progress, Recipe, Settings, Stage};
use crate::source::{self, ImageId, LocalCopy, Original, Version};

/// Renders that are estimated to take longer are heavy.
const HEAVY: Duration = Duration::from_millis(300);

impl Service {
    /// Fetches and renders. Runs in the cache's own task, so it outlives the client that caused it; but a render without
    /// waiters is not started.
    pub(super) async fn render(
        &self, id: &ImageId, version: Version, recipe: Recipe, settings: Arc<Settings>, waiters: Waiters,
    ) -> Result<(render::Encoded, Timing), Failed> {
        self.ensure_effective(version, &recipe, &settings)?;
        if self.crashes.is_refused(version) {
            return Err(IsolationError::Refused.into());
        }
        let recipe = Arc::new(recipe);
        // before the wait for a permit, so that the first of several renders knows about the others
        let ticket = Arc::new(self.decode_cache.join(version, &recipe, &settings));
        let mut admission = self.workers.admission();
        let deadline = admission.deadline();
        let mut downloading = Duration::ZERO;
        let mut attempts = 0;
        // what a job has read of a header that is too large to be remembered
        let mut read = None;
        loop {
            let header = read.take().or_else(|| self.headers.get(&version));
            let need = need(header.as_ref(), version, &recipe, &settings)?;
            // before the permit is taken, so that a slow origin never holds a core
            let (copy, took) = self.make_local(id, version, &waiters).await?;
            downloading += took;
            let permit = tokio::select! {
                biased;
                permit = admission.permit(need) => permit?,
                () = waiters.abandoned() => return Err(self.cancelled()),
            };
            if header.is_none() {
                // another render may have read the header meanwhile
                self.ensure_effective(version, &recipe, &settings)?;
            }
            let started = Instant::now();
            let Some(original) = self.fetch(id, version, &copy).await? else {
                // it was evicted while this waited for the permit, which is given back before it is downloaded again
                attempts += 1;
                match attempts < ATTEMPTS {
                    true => continue,
                    false => return Err(source::Error::Changing.into()),
                }
            };
            drop(copy);
            let queue = permit.queued.saturating_sub(downloading);
            let (source, length) = (downloading + started.elapsed(), original.bytes.len());
            let job = self.job((&ticket, &recipe, &settings), header, original, deadline);
            let backpressure = Some((waiters.clone(), self.workers.pressure()));
            let decode_cache = Arc::clone(&self.decode_cache);
            let ended = permit.run(move |grant| {
                let mut clock = Clock::new(deadline, backpressure);
                let ended = job.run(grant, &mut clock);
                // here, since nobody may await it any more
                decode_cache.sweep_later();
                (ended, Timing { queue, source, ..clock.finish() })
            });
            match self.finish((id, version, &recipe), length, deadline, ended.await?) {
                ControlFlow::Break(result) => return result,
                ControlFlow::Continue(header) => read = Some(header),
            }
        }
    }

    fn job(
        &self, (ticket, recipe, settings): (&Arc<DecodeTicket>, &Arc<Recipe>, &Arc<Settings>), header: Option<Header>,
        original: Original, deadline: Instant,
    ) -> Job {
        Job {
            ticket: Arc::clone(ticket),
            recipe: Arc::clone(recipe),
            settings: Arc::clone(settings),
            header,
            original,
            headers: self.headers.clone(),
            stats: Arc::clone(&self.stats),
            renderer: Arc::clone(&self.renderer),
            deadline,
        }
    }

    /// The result of a job. Where it needs more memory than is free, and waits for it without holding any, the header that says
    /// so.
    fn finish(
        &self, (id, version, recipe): (&ImageId, Version, &Recipe), length: usize, deadline: Instant,
        (ended, timing): (Ended, Timing),
    ) -> ControlFlow<Result<(render::Encoded, Timing), Failed>, Header> {
        ControlFlow::Break(match ended {
            Ended::Rendered(encoded) => {
                self.stats.count_render(&timing, length, &encoded);
                let (kind, content) = (encoded.kind.map(PictureKind::name), encoded.content.media_type());
                tracing::debug!(%id, %recipe, kind, content, bytes = encoded.bytes.len(), "rendered");
                Ok((encoded, timing))
            }
            Ended::NoMemory(header) => return ControlFlow::Continue(header),
            Ended::Reduced(recipe) => Err(Failed::Reduced(*recipe)),
            Ended::Failed(Error::Render(render::Error::Cancelled)) if Instant::now() < deadline => {
                Err(self.cancelled())
            }
            Ended::Failed(Error::Render(render::Error::Cancelled)) => Err(WorkError::DeadlineExceeded.into()),
            Ended::Failed(error) => {
                self.crashes.note(version, &error);
                Err(error.into())
            }
        })
    }

    /// Downloads the original to this machine, while a client waits for it; returns how long it took.
    async fn make_local(
        &self, id: &ImageId, version: Version, waiters: &Waiters,
    ) -> Result<(LocalCopy, Duration), Failed> {
        let started = Instant::now();
        let copy = tokio::select! {
            biased;
            copy = self.source.make_local(id, version) => copy?,
            () = waiters.abandoned() => return Err(self.cancelled()),
        };
        Ok((copy, started.elapsed()))
    }

    /// The downloaded original; `None` if it was evicted since.
    async fn fetch(&self, id: &ImageId, version: Version, copy: &LocalCopy) -> Result<Option<Original>, Failed> {
        match self.source.fetch_local(id, copy).await? {
            Some(original) if original.version != version => Err(Failed::Changed(original.version)),
            original => Ok(original),
        }
    }

    fn cancelled(&self) -> Failed {
        self.stats.cancelled.fetch_add(1, Ordering::Relaxed);
        Failed::Cancelled
    }

    /// Fails with the effective recipe where the original's header is known and makes it another one.
    fn ensure_effective(&self, version: Version, recipe: &Recipe, settings: &Settings) -> Result<(), Failed> {
        match self.effective(version, settings, recipe) {
            Some(effective) if effective != *recipe => Err(Failed::Reduced(effective)),
            _ => Ok(()),
        }
    }
}

/// The part of a render that runs under its permit.
struct Job {
    ticket: Arc<DecodeTicket>,
    recipe: Arc<Recipe>,
    settings: Arc<Settings>,
    /// `None` where the job has to read it.
    header: Option<Header>,
    original: Original,
    headers: moka::sync::Cache<Version, Header>,
    stats: Arc<Stats>,
    renderer: Arc<dyn Renderer>,
    deadline: Instant,
}

/// The outcome of a [`Job`].
enum Ended {
    Rendered(render::Encoded),
    Failed(Error),
    /// By the header, which was not known before, this recipe gives the same result.
    Reduced(Box<Recipe>),
    /// By the header, the render needs more memory than is free at present.
    NoMemory(Header),
}

impl Job {
    fn run(self, grant: &mut Grant<'_>, clock: &mut Clock) -> Ended {
        let Job { ticket, recipe, settings, header, original, headers, stats, renderer, deadline } = self;
        let mut bounds = Bounds { memory: unknown_memory(original.version), deadline, is_idle: false };
        clock.begin(Stage::Decode);
        let header = match header {
            Some(header) => header,
            None => match renderer.head(&original.bytes, &settings, bounds) {
                Ok(info) => {
                    let header = info.map_or(Header::Svg, |info| Header::Raster(Arc::new(info)));
                    headers.insert(original.version, header.clone());
                    let effective = header.effective(&recipe, &settings);
                    if effective != *recipe {
                        grant.exclude_from_stats();
                        return Ended::Reduced(Box::new(effective));
                    }
                    header
                }
                Err(error) => return Ended::Failed(error),
            },
        };
        let info = header.info().map(Arc::as_ref);
        if let Some(info) = info {
            match render::estimate(info, original.version.length, &recipe, &settings) {
                Ok(estimate) if grant.try_resize(need_of(&estimate, &recipe, &settings)) => {
                    bounds.memory = estimate.memory;
                }
                Ok(_) => return Ended::NoMemory(header),
                Err(error) => return Ended::Failed(error.into()),
            }
        }
        stats.renders.fetch_add(1, Ordering::Relaxed);
        let mut progress = JobProgress { clock, grant: &mut *grant };
        let work = RenderInput { original: &original.bytes, info, recipe: &recipe, settings: &settings, bounds };
        let result = renderer.render(&work, Some(&*ticket), &mut progress);
        if result.is_err() || ticket.has_shared() {
            grant.exclude_from_stats();
        }
        match result {
            Ok(encoded) => Ended::Rendered(encoded),
            Err(error) => Ended::Failed(error),
        }
    }
}

/// The resources of a render; before the header is known, those of a job that reads it.
fn need(header: Option<&Header>, version: Version, recipe: &Recipe, settings: &Settings) -> render::Result<Need> {
    match header.and_then(Header::info) {
        Some(info) => Ok(need_of(&render::estimate(info, version.length, recipe, settings)?, recipe, settings)),
        None => Ok(Need { class: class_of(recipe, settings, None), bytes: unknown_memory(version), time: None }),
    }
}

/// Bytes of memory of a job that reads the header first.
pub(super) fn unknown_memory(version: Version) -> u64 {
    version.length + render::FIXED_MEMORY
}

fn need_of(estimate: &Estimate, recipe: &Recipe, settings: &Settings) -> Need {
    let class = class_of(recipe, settings, Some(estimate.time));
    Need { class, bytes: estimate.memory, time: Some(estimate.time) }
}

/// The class of a recipe, by the estimated time where that is known. AVIF is heavy whatever its size, except by libaom at the
/// fast effort, which takes little more time than WebP.
pub(super) fn class_of(recipe: &Recipe, settings: &Settings, time: Option<Duration>) -> Class {
    let may_be_avif =
        matches!(recipe.encode.output, Output::Exactly(Format::Avif) | Output::Auto(Choice::Avif | Choice::AvifStill));
    let is_slow_avif = may_be_avif && !settings.encoding.is_fast_avif();
    let is_long = time.map_or(recipe.encode.lossless, |time| time > HEAVY);
    if is_slow_avif || is_long { Class::Heavy } else { Class::Light }
}

/// The progress of a job: its clock, and the threads that its grant has for the encoder.
struct JobProgress<'a, 'b> {
    clock: &'a mut Clock,
    grant: &'a mut Grant<'b>,
}

impl Progress for JobProgress<'_, '_> {
    fn begin(&mut self, stage: Stage) -> bool {
        self.clock.begin(stage)
    }

    fn keep_going(&mut self) -> bool {
        self.clock.keep_going()
    }

    fn threads(&mut self) -> u32 {
        self.grant.threads()
    }
}

impl Monitor for JobProgress<'_, '_> {
    fn spent(&mut self, times: StageTimes) {
        self.clock.spent(times);
    }
}

/// Measures the stages of one render. It stops the render at the deadline, and when all clients have left and others wait
/// for a worker.
pub(super) struct Clock {
    deadline: Instant,
    backpressure: Option<(Waiters, Pressure)>,
    started: Instant,
    stage: Option<Stage>,
    timing: Timing,
}

impl Clock {
    pub(super) fn new(deadline: Instant, backpressure: Option<(Waiters, Pressure)>) -> Clock {
        Clock { deadline, backpressure, started: Instant::now(), stage: None, timing: Timing::default() }
    }

    fn end_stage(&mut self, now: Instant) {
        let spent = now - self.started;
        match self.stage {
            Some(Stage::Decode) => self.timing.decode += spent,
            Some(Stage::Resize) => self.timing.resize += spent,
            Some(Stage::Encode) => self.timing.encode += spent,
            None => {}
        }
    }

    /// Divides the time since the last stage began by what another process measured; what that did not see is decoding.
    fn spent(&mut self, StageTimes { resize, encode, cpu: _ }: StageTimes) {
        let now = Instant::now();
        let elapsed = now - self.started;
        let resize = resize.min(elapsed);
        let encode = encode.min(elapsed - resize);
        self.timing.resize += resize;
        self.timing.encode += encode;
        self.timing.decode += elapsed - resize - encode;
        self.started = now;
    }

    fn finish(mut self) -> Timing {
        self.end_stage(Instant::now());
        self.timing
    }
}

impl Progress for Clock {
    fn begin(&mut self, stage: Stage) -> bool {
        let now = Instant::now();
        self.end_stage(now);
        self.stage = Some(stage);
        self.started = now;
        self.keep_going()
    }

    fn keep_going(&mut self) -> bool {
        // without others that wait, the render goes on, since the client may come back
        let is_abandoned = |(waiters, pressure): &(Waiters, Pressure)| waiters.is_empty() && pressure.has_waiters();
        Instant::now() < self.deadline && !self.backpressure.as_ref().is_some_and(is_abandoned)
    }
}
