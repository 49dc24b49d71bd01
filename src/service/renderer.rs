//! Everything that reads an original beyond its first bytes: headers, renders and the validation of uploads, behind one
//! trait with two implementations, in this process and in worker processes that can touch nothing.
//!
//! Two reads of headers stay in this process whatever is configured: those of a JPEG's first bytes (`header.rs`), and the
//! identification of an original that is sent unchanged (`passthrough.rs`). Headers are parsed by safe Rust alone.

use std::time::{Duration, Instant};

use tintype_isolation::{Landlock, Report, Seccomp, Stats};

use super::Error;
use crate::render::{self, Checked, Encoded, Info, Progress, Recipe, Settings, SharedDecodes};

/// Reads and renders originals. The results of all implementations are equal to the byte.
pub trait Renderer: Send + Sync {
    /// The header of an original; `None` for an SVG.
    ///
    /// # Errors
    /// The errors of [`render::head`], and [`IsolationError`].
    fn head(&self, original: &[u8], settings: &Settings, bounds: Bounds) -> Result<Option<Info>, Error>;

    /// The rendition; `decodes` are the decoded images that concurrent renders share.
    ///
    /// # Errors
    /// The errors of [`render::render`], and [`IsolationError`]. At the deadline it is [`render::Error::Cancelled`].
    fn render(
        &self, work: &RenderInput<'_>, decodes: Option<&dyn SharedDecodes>, monitor: &mut dyn Monitor,
    ) -> Result<Encoded, Error>;

    /// Validates a file by decoding all of it.
    ///
    /// # Errors
    /// The errors of [`render::check`](render::check()), and [`IsolationError`].
    fn check(
        &self, original: &[u8], info: Option<&Info>, settings: &Settings, bounds: Bounds, progress: &mut dyn Progress,
    ) -> Result<Checked, Error>;

    /// The state of the worker processes; `None` where this process renders.
    fn isolation(&self) -> Option<Isolation>;
}

/// One render.
#[derive(Clone, Copy)]
pub struct RenderInput<'a> {
    /// The bytes of the original.
    pub original: &'a [u8],
    /// Its header; `None` for an SVG.
    pub info: Option<&'a Info>,
    /// The result that is asked for.
    pub recipe: &'a Recipe,
    /// Limits and defaults.
    pub settings: &'a Settings,
    /// Its share of this machine.
    pub bounds: Bounds,
}

/// The bounds of one call.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Estimated bytes of memory.
    pub memory: u64,
    /// When it is stopped.
    pub deadline: Instant,
    /// Whether it runs in idle time, with the lowest priority.
    pub is_idle: bool,
}

/// The caller of a render: is called at each stage, can stop it, and gets the times that another process measured.
pub trait Monitor: Progress {
    /// The times that another process measured, once at the end of a render.
    fn spent(&mut self, times: StageTimes);
}

/// Times of a render as the process measured them that rendered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// Of operations on pixels.
    pub resize: Duration,
    /// Of the encoder.
    pub encode: Duration,
    /// CPU time of the whole render.
    pub cpu: Duration,
}

/// Why a worker process has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsolationError {
    /// It died, or its answer was not what was asked for.
    #[error("the render crashed")]
    Crashed,
    /// It reached the limit of its memory.
    #[error("the render needs more memory than estimated")]
    OutOfMemory,
    /// Renders of this version of the original crashed several times within a minute.
    #[error("renders of this original crashed several times; it is refused for an hour")]
    Refused,
    /// No worker can be started, or workers are killed by another process.
    #[error("no render worker is available")]
    Unavailable,
}

/// The state of the worker processes: their lock-down, and counters.
#[derive(Clone, Debug)]
pub struct Isolation {
    /// Which layers of the lock-down hold.
    pub report: Report,
    /// Counters of all pools, idle work included.
    pub stats: Stats,
}

impl Isolation {
    /// Whether Landlock and seccomp hold.
    pub fn layers(&self) -> (bool, bool) {
        let landlock = matches!(self.report.landlock, Landlock::Enforced { .. });
        (landlock, self.report.seccomp == Seccomp::Kill)
    }
}

/// Renders in this process.
#[derive(Clone, Copy, Debug)]
pub struct InProcess;

impl Renderer for InProcess {
    fn head(&self, original: &[u8], settings: &Settings, _bounds: Bounds) -> Result<Option<Info>, Error> {
        Ok(render::head(original, settings)?)
    }

    fn render(
        &self, work: &RenderInput<'_>, decodes: Option<&dyn SharedDecodes>, monitor: &mut dyn Monitor,
    ) -> Result<Encoded, Error> {
        let &RenderInput { original, info, recipe, settings, bounds: _ } = work;
        Ok(match decodes {
            Some(decodes) => render::render_from(decodes, original, info, recipe, settings, monitor)?,
            None => render::render(original, recipe, settings, monitor)?,
        })
    }

    fn check(
        &self, original: &[u8], info: Option<&Info>, settings: &Settings, _bounds: Bounds, progress: &mut dyn Progress,
    ) -> Result<Checked, Error> {
        Ok(render::check(original, info, settings, progress)?)
    }

    fn isolation(&self) -> Option<Isolation> {
        None
    }
}
