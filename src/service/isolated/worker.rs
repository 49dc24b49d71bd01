//! The worker's side: one original after the other, in a process that can open nothing.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tintype_isolation::{Answers, Canceller, Received, ServeError};

use super::protocol::{self, Answer, Request, Task, Times};
use crate::render::recipe::{Output, Quality};
use crate::render::wire::{self, WireError};
use crate::render::{
    self, Encoded, Encoding, Format, GivenDecode, OverlayFile, Pixels, Progress, Recipe, Settings, Size, Stage,
    Unshared,
};
use crate::service::workers::{IDLE_NICE, NICE};

/// Serves the parent on standard input until that closes it. Text in SVGs is drawn in the fonts of the environment. The process
/// must have one thread.
///
/// # Errors
/// Where standard input is no socket of a parent, or the process cannot be locked down.
pub(crate) fn serve(is_idle: bool) -> Result<(), ServeError> {
    // threads that answer requests go first; where it is not permitted, all processes have the same priority
    let _ = rustix::process::setpriority_process(None, if is_idle { IDLE_NICE } else { NICE });
    // in lists of processes; "exe" otherwise, after the link that it was started by
    let _ = rustix::thread::set_name(c"tintype-worker");
    tintype_isolation::serve(warm_up, work)
}

/// Columns and rows of the picture that warms up.
const TINY: Size = Size { width: 16, height: 16 };

/// A line of text, for which the fonts are read.
const TINY_SVG: &[u8] = b"<svg xmlns='http://www.w3.org/2000/svg' width='16' height='16'><text y='12'>a</text></svg>";

/// Reads a clock, loads fonts, and encodes and decodes a tiny picture in each format of results: what opens files does so at its first
/// use.
fn warm_up() {
    // the first call asks the kernel for the auxiliary vector, or reads it from /proc
    cpu_time();
    let settings = Settings::default();
    render::fonts::from_environment().install();
    render::fonts::load_mapped();
    let to_png = Recipe::new(Output::Exactly(Format::Png), Quality::default());
    // a build without SVG draws none
    let _ = render::render(TINY_SVG, &to_png, &settings, &mut |_: Stage| true);
    for format in Format::all().filter(|format| format.is_output()) {
        let pixels = Pixels { size: TINY, channels: 3, data: vec![128; TINY.pixels() as usize * 3] };
        // a codec that cannot do this fails the renders that need it
        if let Ok(file) = render::encode_at(pixels, format, 80.0, Encoding::default(), render::PictureKind::Photo) {
            let _ = render::render(&file, &Recipe::description(), &settings, &mut |_: Stage| true);
        }
    }
}

fn work(received: Received, canceller: &Canceller, answers: &mut Answers) -> io::Result<()> {
    let (request, length) = protocol::decode(received.bytes()).ok_or(io::ErrorKind::InvalidData)?;
    let bytes = &received.bytes()[..length];
    #[cfg(debug_assertions)]
    super::fault_injection::inject(bytes, canceller, answers)?;
    match request {
        Request::Head { settings } => send(answers, render::head(bytes, &settings).map(Answer::Head)),
        Request::Check { settings, info } => {
            let mut progress = WorkerProgress::new(canceller, 1);
            let checked = render::check(bytes, info.as_deref(), &settings, &mut progress);
            send(answers, checked.map(Answer::Checked))
        }
        Request::Decode { task, others } => decode(bytes, &task, &others, answers),
        Request::Render { task, threads } => {
            let mut progress = WorkerProgress::new(canceller, threads);
            let (bytes, settings) = with_overlay(bytes, &task)?;
            let (recipe, info) = (&task.recipe, task.info.as_deref());
            let rendered = render::render_from(&Unshared, bytes, info, recipe, &settings, &mut progress);
            send_rendered(answers, rendered, progress)
        }
        Request::Finish { task, threads, key, image, samples } => {
            let (original, settings) = with_overlay(bytes.get(samples..).ok_or(io::ErrorKind::InvalidData)?, &task)?;
            let original = original.to_vec();
            // not copied: they are the largest part
            let mut bytes = received.into_bytes();
            bytes.truncate(samples);
            let decoded = wire::decoded_from(&image, bytes, image.len()).map_err(invalid)?;
            let mut progress = WorkerProgress::new(canceller, threads);
            let (given, Task { recipe, info, .. }) = (GivenDecode::new(key, decoded), &task);
            let rendered = render::render_from(&given, &original, info.as_deref(), recipe, &settings, &mut progress);
            send_rendered(answers, rendered, progress)
        }
    }
}

/// The bytes of the original, and the settings with the overlay that stands behind it.
fn with_overlay<'a>(bytes: &'a [u8], task: &Task<'_>) -> io::Result<(&'a [u8], Settings)> {
    let end = bytes.len().checked_sub(task.overlay).ok_or(io::ErrorKind::InvalidData)?;
    let (original, file) = bytes.split_at(end);
    let files = task.recipe.overlay.map(|overlay| Arc::new(OverlayFile::validated(overlay.id, file.to_vec())));
    Ok((original, Settings { overlays: files.into_iter().collect(), ..task.settings.as_ref().clone() }))
}

fn decode(bytes: &[u8], task: &Task<'_>, others: &[render::DecodeKey], answers: &mut Answers) -> io::Result<()> {
    match render::decode_keys(bytes, task.info.as_deref(), &task.recipe, &task.settings, others) {
        Ok(images) => images.iter().try_for_each(|(key, decoded)| {
            let (header, samples) = wire::decoded_parts(decoded).map_err(invalid)?;
            send_with(answers, samples, &Answer::Image(*key, header))
        }),
        Err(error) => send_with(answers, &[], &Answer::Failed(error)),
    }
}

fn send_rendered(
    answers: &mut Answers, rendered: render::Result<Encoded>, progress: WorkerProgress<'_>,
) -> io::Result<()> {
    match rendered {
        Ok(encoded) => {
            let (header, file) = wire::encoded_parts(&encoded).map_err(invalid)?;
            send_with(answers, file, &Answer::Rendered(header, progress.finish()))
        }
        Err(error) => send_with(answers, &[], &Answer::Failed(error)),
    }
}

fn send(answers: &mut Answers, answer: render::Result<Answer>) -> io::Result<()> {
    send_with(answers, &[], &answer.unwrap_or_else(Answer::Failed))
}

fn send_with(answers: &mut Answers, bytes: &[u8], answer: &Answer) -> io::Result<()> {
    answers.send(&[bytes, &protocol::encode(answer).map_err(invalid)?])
}

fn invalid(error: WireError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Measures the stages, and stops when the parent says so.
struct WorkerProgress<'a> {
    canceller: &'a Canceller,
    threads: u32,
    stage: Stage,
    /// When the stage began.
    started: Instant,
    /// CPU time of the process before.
    cpu: Duration,
    times: Times,
}

impl WorkerProgress<'_> {
    fn new(canceller: &Canceller, threads: u32) -> WorkerProgress<'_> {
        let (stage, started) = (Stage::Decode, Instant::now());
        WorkerProgress { canceller, threads, stage, started, cpu: cpu_time(), times: Times::default() }
    }

    fn end_stage(&mut self) {
        let now = Instant::now();
        let spent = now - std::mem::replace(&mut self.started, now);
        match self.stage {
            Stage::Decode => {}
            Stage::Resize => self.times.resize += spent,
            Stage::Encode => self.times.encode += spent,
        }
    }

    fn finish(mut self) -> Times {
        self.end_stage();
        Times { cpu: cpu_time().saturating_sub(self.cpu), ..self.times }
    }
}

impl Progress for WorkerProgress<'_> {
    fn begin(&mut self, stage: Stage) -> bool {
        self.end_stage();
        self.stage = stage;
        self.keep_going()
    }

    fn keep_going(&mut self) -> bool {
        !self.canceller.is_cancelled()
    }

    fn threads(&mut self) -> u32 {
        self.threads
    }
}

/// CPU time of this process since its start.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
