//! Renders in worker processes that can open neither files nor connections (`crates/isolation`): a bug in a codec costs one
//! render, and an encoder that cannot be stopped is killed.
//!
//! A worker is given the bytes of one original at a time and answers with headers, pixels or files. Its answers are not
//! trusted: lengths are bounded, values are validated, and a file has the format and the size that was asked for. Decoded
//! images that renders share are kept by the service, so that two workers share a decode.

mod collector;
#[cfg(debug_assertions)]
mod fault_injection;
mod protocol;
mod validation;
pub(crate) mod worker;

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tintype_isolation::{
    CallError, Death, GRACE, Job, Limits, LockDown, Log, Pool, PoolConfig, Program, Reason, Report, StartError,
};
use tintype_store::LogThrottle;

use self::collector::Collector;
use self::protocol::{Answer, Request, Task, Times};
use self::validation::{are_as_asked, is_as_asked};
use super::Error;
use super::renderer::{Bounds, Isolation, IsolationError, Monitor, RenderInput, Renderer, StageTimes};
use crate::render::fonts::{self, FontFiles};
use crate::render::{
    self, Checked, DecodeKey, Decoded, Encoded, Format, Info, Progress, Settings, SharedDecodes, wire,
};
use crate::sync;

/// Jobs after which a worker is replaced, and bytes that an idle one may have grown by.
const MAX_JOBS: u64 = 500;
const MAX_GROWTH: u64 = 96 << 20;

/// Time until a worker is ready, which reads the fonts, perhaps from a cold disk.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of address space beside the estimate: tables of codecs, threads' stacks, and what an earlier job left unused.
const FIXED_ADDRESS_SPACE: u64 = (64 << 20) + MAX_GROWTH;

/// Bytes at the beginning of an original that tell its format.
const SIGNATURE: usize = 4 << 10;

/// Bytes of an answer beside pixels, profiles and files.
const MESSAGE_BYTES: usize = 64 << 10;

/// Bytes of the profile of a decoded image: more are not parsed, whatever the format.
const MAX_PROFILE_BYTES: usize = 10 << 20;

/// Which workers are started.
#[derive(Clone, Debug)]
pub struct Config {
    /// The program, whose `main` is `worker::serve`.
    pub program: Program,
    /// The argument that makes it a worker for idle work.
    pub idle_argument: &'static str,
    /// Renders at a time.
    pub workers: usize,
    /// Whether each call has a process of its own.
    pub per_job: bool,
}

impl Config {
    /// Workers of this program itself, which draw text in these fonts.
    pub fn this(workers: usize, per_job: bool, fonts: &FontFiles) -> Config {
        let envs = fonts::to_environment(fonts);
        let program = Program { envs, ..Program::this("tintype", [COMMAND]) };
        Config { program, idle_argument: IDLE_ARGUMENT, workers, per_job }
    }
}

/// The command of a worker, and its option for idle work.
pub(crate) const COMMAND: &str = "render-worker";
const IDLE_ARGUMENT: &str = "--idle";

/// Renders in worker processes.
pub struct Isolated {
    pool: Arc<Pool>,
    /// Of the lowest priority; started when it is needed, and again after that failed.
    idle: Mutex<Option<Arc<Pool>>>,
    config: Config,
    deaths: LogThrottle,
    failures: LogThrottle,
}

impl Isolated {
    /// Starts the workers.
    ///
    /// # Errors
    /// Where the first one cannot be started.
    pub fn start(config: Config) -> Result<Isolated, StartError> {
        // the next process is started while the last one is used
        let spare = if config.per_job { config.workers } else { 0 };
        let pool = Arc::new(Pool::start(pool_config(&config, config.workers + spare, false))?);
        Ok(Isolated {
            pool,
            idle: Mutex::default(),
            config,
            deaths: LogThrottle::default(),
            failures: LogThrottle::default(),
        })
    }

    /// Which layers of the lock-down hold.
    pub fn report(&self) -> &Report {
        self.pool.report()
    }

    fn pool(&self, is_idle: bool) -> Option<Arc<Pool>> {
        if !is_idle {
            return Some(Arc::clone(&self.pool));
        }
        let started = sync::lock(&self.idle).clone();
        started.or_else(|| self.start_idle())
    }

    /// Starts the pool for idle work. One job at a time calls this, and metrics must not wait for it.
    fn start_idle(&self) -> Option<Arc<Pool>> {
        match Pool::start(pool_config(&self.config, 1, true)) {
            Ok(pool) => Some(Arc::clone(sync::lock(&self.idle).get_or_insert(Arc::new(pool)))),
            Err(error) => {
                if let Some(suppressed) = self.failures.allow() {
                    tracing::warn!(%error, suppressed, "no worker for upgrades in idle time can be started");
                }
                None
            }
        }
    }

    /// Sends a request, and again if the worker was killed by another process; returns what was accepted of the answers.
    fn call<T>(
        &self, call: &Call<'_>, progress: &mut dyn Progress, accept: &dyn Fn(Answer, Vec<u8>) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let pool = self.pool(call.bounds.is_idle).ok_or(IsolationError::Unavailable)?;
        let message = protocol::encode(&call.request).map_err(|_| IsolationError::Crashed)?;
        let parts: Vec<&[u8]> = call.bytes.iter().copied().chain([message.as_slice()]).collect();
        let limits = call.limits();
        for _ in 0..ATTEMPTS {
            let mut collector = Collector::new(&mut *progress, accept);
            match pool.call(&Job::new(&parts), &limits, &mut collector) {
                Ok(()) => return collector.finish(),
                Err(CallError::Cancelled | CallError::DeadlineExceeded) => return Err(render::Error::Cancelled.into()),
                Err(CallError::Unavailable(why)) => {
                    if self.failures.allow().is_some() {
                        tracing::error!(why, "no render worker can be started");
                    }
                    return Err(IsolationError::Unavailable.into());
                }
                Err(CallError::Died(death)) => self.note_death(&death)?,
            }
        }
        Err(IsolationError::Unavailable.into())
    }

    /// Fails unless the job may be tried again.
    fn note_death(&self, death: &Death) -> Result<(), Error> {
        if let Some(suppressed) = self.deaths.allow() {
            tracing::warn!(%death, suppressed, "a render worker died");
        }
        match death.reason {
            reason if reason.is_external() => Ok(()),
            Reason::OutOfMemory => Err(IsolationError::OutOfMemory.into()),
            _ => Err(IsolationError::Crashed.into()),
        }
    }

    fn render_whole(&self, work: &RenderInput<'_>, monitor: &mut dyn Monitor) -> Result<Encoded, Error> {
        let overlay = overlay(work)?;
        let request = Request::Render { task: task(work, overlay), threads: threads(work, monitor) };
        self.rendered(work, request, &[work.original, overlay], monitor)
    }

    fn render_decoded(
        &self, work: &RenderInput<'_>, key: DecodeKey, decoded: &Decoded, monitor: &mut dyn Monitor,
    ) -> Result<Encoded, Error> {
        let (image, samples) = wire::decoded_parts(decoded).map_err(|_| IsolationError::Crashed)?;
        let needs_original = |info: &Info| render::needs_original(info, work.recipe, work.settings);
        let original = match work.info.is_none_or(needs_original) {
            true => work.original,
            false => &work.original[..work.original.len().min(SIGNATURE)],
        };
        let overlay = overlay(work)?;
        let (task, threads) = (task(work, overlay), threads(work, monitor));
        let request = Request::Finish { task, threads, key, image, samples: samples.len() };
        self.rendered(work, request, &[samples, original, overlay], monitor)
    }

    fn rendered(
        &self, work: &RenderInput<'_>, request: Request<'_>, bytes: &[&[u8]], monitor: &mut dyn Monitor,
    ) -> Result<Encoded, Error> {
        let answer_bytes = usize::try_from(work.bounds.memory).unwrap_or(usize::MAX);
        let call = Call { request, bytes, bounds: work.bounds, answers: 1, answer_bytes };
        let rendered = self.call(&call, &mut Stops(monitor), &|answer, file| match answer {
            Answer::Rendered(header, times) => {
                let encoded = wire::encoded_from(&header, file, MESSAGE_BYTES).ok()?;
                is_as_asked(work, &encoded).then_some((encoded, times))
            }
            _ => None,
        })?;
        let (encoded, Times { resize, encode, cpu }) = one(rendered)?;
        monitor.spent(StageTimes { resize, encode, cpu });
        Ok(encoded)
    }

    /// The image of that key, and behind it those of the others that came of the same pass.
    fn decode(
        &self, work: &RenderInput<'_>, info: &Info, key: DecodeKey, others: &[DecodeKey], progress: &mut dyn Progress,
    ) -> Result<Vec<(DecodeKey, Decoded)>, Error> {
        let request = Request::Decode { task: task(work, &[]), others: others.to_vec() };
        let samples = usize::try_from(info.size.pixels() * 4).unwrap_or(usize::MAX);
        let answer_bytes = samples.saturating_add(MAX_PROFILE_BYTES + MESSAGE_BYTES);
        let answers = others.len() + 1;
        let call = Call { request, bytes: &[work.original], bounds: work.bounds, answers, answer_bytes };
        let images = self.call(&call, progress, &|answer, samples| match answer {
            Answer::Image(made, header) if made == key || others.contains(&made) => {
                let decoded = wire::decoded_from(&header, samples, answer_bytes).ok()?;
                // every render of that version would get it
                made.fits(info, &decoded).then_some((made, decoded))
            }
            _ => None,
        })?;
        let keys: Vec<DecodeKey> = images.iter().map(|(made, _)| *made).collect();
        if are_as_asked(&keys, key) { Ok(images) } else { Err(IsolationError::Crashed.into()) }
    }
}

/// A job is tried again once, if its worker was killed by another process.
const ATTEMPTS: usize = 2;

fn pool_config(config: &Config, workers: usize, is_idle: bool) -> PoolConfig {
    let mut program = config.program.clone();
    program.args.extend(is_idle.then(|| config.idle_argument.into()));
    PoolConfig {
        workers,
        program,
        // encoders have a second thread where a core is free
        lock_down: LockDown { threads: true, ..LockDown::default() },
        start_timeout: START_TIMEOUT,
        max_jobs: if config.per_job { 1 } else { MAX_JOBS },
        max_growth: MAX_GROWTH,
        log: log(),
    }
}

/// Lines of the workers' standard error, most of them messages of panics.
fn log() -> Log {
    let throttle = LogThrottle::default();
    Arc::new(move |pid, line| {
        if let Some(suppressed) = throttle.allow() {
            tracing::warn!(pid, suppressed, line, "a render worker wrote");
        }
    })
}

/// One request.
struct Call<'a> {
    request: Request<'a>,
    bytes: &'a [&'a [u8]],
    bounds: Bounds,
    answers: usize,
    answer_bytes: usize,
}

impl Call<'_> {
    fn limits(&self) -> Limits {
        let Bounds { memory, deadline, .. } = self.bounds;
        Limits {
            deadline,
            grace: GRACE,
            memory: FIXED_ADDRESS_SPACE.saturating_add(memory.saturating_add(memory / 2)),
            answers: self.answers,
            answer_bytes: self.answer_bytes,
        }
    }
}

/// The only result of a request.
fn one<T>(results: Vec<T>) -> Result<T, Error> {
    results.into_iter().next().ok_or(IsolationError::Crashed.into())
}

fn task<'a>(work: &RenderInput<'a>, overlay: &[u8]) -> Task<'a> {
    let RenderInput { recipe, settings, info, .. } = *work;
    Task {
        recipe: Cow::Borrowed(recipe),
        settings: Cow::Borrowed(settings),
        info: info.map(Cow::Borrowed),
        overlay: overlay.len(),
    }
}

/// The file of the overlay that a render has; empty for none.
fn overlay<'a>(work: &RenderInput<'a>) -> Result<&'a [u8], Error> {
    match &work.recipe.overlay {
        Some(overlay) => Ok(work.settings.overlays.get(overlay.id)?.bytes()),
        None => Ok(&[]),
    }
}

/// Threads for the encoder, which are granted before the call.
fn threads(work: &RenderInput<'_>, monitor: &mut dyn Monitor) -> u32 {
    let gains = work.info.is_some_and(|info| render::gains_by_threads(info, work.recipe, work.settings));
    if gains { monitor.threads() } else { 1 }
}

impl Renderer for Isolated {
    fn head(&self, original: &[u8], settings: &Settings, bounds: Bounds) -> Result<Option<Info>, Error> {
        let request = Request::Head { settings: Cow::Borrowed(settings) };
        let answer_bytes = original.len().saturating_add(MESSAGE_BYTES);
        let call = Call { request, bytes: &[original], bounds, answers: 1, answer_bytes };
        let format = Format::sniff(original);
        let heads = self.call(&call, &mut |_: render::Stage| true, &|answer, _| match answer {
            Answer::Head(info) if info.as_ref().map_or(Some(Format::Svg), |info| Some(info.format)) == format => {
                Some(info)
            }
            _ => None,
        })?;
        one(heads)
    }

    fn render(
        &self, work: &RenderInput<'_>, decodes: Option<&dyn SharedDecodes>, monitor: &mut dyn Monitor,
    ) -> Result<Encoded, Error> {
        let Some(decodes) = decodes else { return self.render_whole(work, monitor) };
        let wanted = work.info.filter(|_| decodes.is_shared()).and_then(|info| {
            let (key, _) = DecodeKey::wanted(info, work.recipe, work.settings)?;
            Some((info, key))
        });
        let Some((info, key)) = wanted else {
            decodes.decline();
            return self.render_whole(work, monitor);
        };
        let mut crash = None;
        let decoded = decodes.get_or_decode(info, key, &mut |others| {
            let decoded = self.decode(work, info, key, others, &mut Stops(monitor));
            decoded.map_err(|error| match error {
                Error::Render(error) => error,
                error => {
                    crash = Some(error);
                    render::Error::Impossible("the decode crashed".into())
                }
            })
        });
        let decoded = decoded.map_err(|error| crash.unwrap_or(Error::Render(error)))?;
        self.render_decoded(work, key, &decoded, monitor)
    }

    fn check(
        &self, original: &[u8], info: Option<&Info>, settings: &Settings, bounds: Bounds, progress: &mut dyn Progress,
    ) -> Result<Checked, Error> {
        let request = Request::Check { settings: Cow::Borrowed(settings), info: info.map(Cow::Borrowed) };
        let call = Call { request, bytes: &[original], bounds, answers: 1, answer_bytes: MESSAGE_BYTES };
        let format = Format::sniff(original);
        let checked = self.call(&call, progress, &|answer, _| match answer {
            Answer::Checked(checked) if Some(checked.format) == format => Some(checked),
            _ => None,
        })?;
        one(checked)
    }

    fn isolation(&self) -> Option<Isolation> {
        let mut stats = self.pool.stats();
        if let Some(idle) = &*sync::lock(&self.idle) {
            let more = idle.stats();
            stats.started += more.started;
            more.deaths.into_iter().for_each(|(reason, count)| *stats.deaths.entry(reason).or_default() += count);
        }
        Some(Isolation { report: *self.report(), stats })
    }
}

/// The part of a monitor that a worker is stopped by.
struct Stops<'a>(&'a mut dyn Monitor);

impl Progress for Stops<'_> {
    fn begin(&mut self, _stage: render::Stage) -> bool {
        true
    }

    fn keep_going(&mut self) -> bool {
        self.0.keep_going()
    }
}

#[cfg(test)]
mod tests;
