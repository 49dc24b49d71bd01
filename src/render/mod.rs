//! Bytes and a recipe in, bytes out. Pure: no I/O, no async, no clock, no globals.
//!
//! [`render`] is the whole of it: probe the header, plan within the limits, decode, apply the operations, encode. The
//! server, `tintype convert`, the benches and the golden tests all call the same function.

mod check;
pub mod codec;
mod effective;
mod error;
mod estimate;
mod exif;
pub mod format;
pub mod geometry;
mod json;
pub mod ops;
pub mod pixels;
mod placeholder;
pub mod plan;
mod quality;
pub mod recipe;
pub mod settings;
mod ycbcr;

pub use check::{Checked, check};
pub use error::{Error, Result};
pub use estimate::{Estimate, FIXED_MEMORY, estimate, estimate_check};
pub use format::Format;
pub use recipe::Recipe;
pub use settings::{AvifEncoder, Effort, Encoding, Settings};

pub use codec::Decoded;

use std::borrow::Cow;
use std::sync::Arc;

use codec::{Info, Integrity, Shown};
use pixels::{Frame, Samples};
use plan::Plan;
use recipe::{Choice, Output};

/// A finished rendition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The file.
    pub bytes: Vec<u8>,
    /// What it is.
    pub content: Content,
    /// Whether the original is damaged, so that this shows what there is of it.
    pub damaged: bool,
}

impl Encoded {
    fn whole(bytes: Vec<u8>, content: Content) -> Encoded {
        Encoded { bytes, content, damaged: false }
    }
}

/// What a rendition's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// A picture of that format.
    Image(Format),
    /// A description of the original.
    Json,
}

impl Content {
    /// The media type for `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            Content::Image(format) => format.media_type(),
            Content::Json => "application/json",
        }
    }

    /// The file name extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Content::Image(format) => format.extension(),
            Content::Json => "json",
        }
    }

    /// The content of that extension, as [`Content::extension`] writes it.
    pub fn from_extension(extension: &str) -> Option<Content> {
        if extension == "json" {
            return Some(Content::Json);
        }
        Format::all().find(|format| format.extension() == extension).map(Content::Image)
    }
}

/// A step of rendering, in order; each begins when the one before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading the header, planning and decoding. For a moving picture the operations run between its frames. A picture
    /// whose rows are used as they come is resized here, too.
    Decode,
    /// The operations on pixels, resizing above all.
    Resize,
    /// Writing the result.
    Encode,
}

/// Hears of each stage as it begins and says whether to go on; `false` ends the rendering with [`Error::Cancelled`].
///
/// This is how a caller measures time and stops work nobody waits for, while rendering itself knows neither.
pub trait Progress {
    /// A stage begins.
    fn begin(&mut self, stage: Stage) -> bool;

    /// Whether to go on within a stage; asked often by encoders that can be stopped half-way.
    fn goes_on(&mut self) -> bool {
        true
    }
}

impl<F: FnMut(Stage) -> bool> Progress for F {
    fn begin(&mut self, stage: Stage) -> bool {
        self(stage)
    }
}

/// What the header of an original says, without decoding it.
///
/// # Errors
/// [`Error::UnknownFormat`], [`Error::Unsupported`] or [`Error::Malformed`].
pub fn probe(original: &[u8]) -> Result<Info> {
    let format = Format::sniff(original).ok_or(Error::UnknownFormat)?;
    codec::of(format).probe(original)
}

/// The same, where originals of that format are accepted; `None` for one that has nothing to probe, which is SVG.
///
/// # Errors
/// As [`probe`], and [`Error::Unsupported`] for a format that is switched off.
pub fn head(original: &[u8], settings: &Settings) -> Result<Option<Info>> {
    match Format::sniff(original).ok_or(Error::UnknownFormat)? {
        Format::Svg => Ok(None),
        format => probe_as(format, original, settings).map(Some),
    }
}

/// The same, by the beginning and the last two bytes of an original, where these say all that the whole original would:
/// `None` where they do not, and for every format but JPEG.
pub fn head_of_beginning(beginning: &[u8], last: [u8; 2], settings: &Settings) -> Option<Info> {
    let is_enough = Format::sniff(beginning) == Some(Format::Jpeg) && codec::jpeg::has_all_segments(beginning);
    // a probe reads the segments before the first scan, and whether the file ends with an end marker
    let short = || [beginning, &last].concat();
    is_enough.then(|| probe_as(Format::Jpeg, &short(), settings).ok()).flatten()
}

/// Whether these bytes are an image that may be sent as it is: of a format that is read here. Damage does not matter to
/// bytes that nobody changes.
///
/// # Errors
/// [`Error::UnknownFormat`], and [`Error::Unsupported`] for a format or a form of one that is not read.
pub fn identify(original: &[u8], settings: &Settings) -> Result<Format> {
    let format = Format::sniff(original).ok_or(Error::UnknownFormat)?;
    if !settings.accepts(format) {
        return Err(switched_off(format));
    }
    // an SVG has no header to read, and no codec
    match codec::of(format).probe(original) {
        Err(error @ Error::Unsupported { .. }) if format != Format::Svg => Err(error),
        _ => Ok(format),
    }
}

fn probe_as(format: Format, original: &[u8], settings: &Settings) -> Result<Info> {
    if !settings.accepts(format) {
        return Err(switched_off(format));
    }
    codec::of(format).probe(original)
}

fn known_or_probed<'a>(
    info: Option<&'a Info>, format: Format, original: &[u8], settings: &Settings,
) -> Result<Cow<'a, Info>> {
    match info {
        Some(info) if settings.accepts(format) => Ok(Cow::Borrowed(info)),
        _ => probe_as(format, original, settings).map(Cow::Owned),
    }
}

fn switched_off(format: Format) -> Error {
    Error::unsupported(format, "it is not among the formats that this server accepts")
}

/// Decoded pictures of one original, for renditions that are made of it at about the same time.
pub trait Decodes {
    /// The picture at that scale, from here or else from `decode`, which makes the same pictures whenever it is called. It is
    /// told at which scales others wait for the picture, and may make some of those of the same work.
    ///
    /// # Errors
    /// What `decode` fails with.
    fn get_or_decode(&self, info: &Info, scale: Scale, decode: Decode<'_>) -> Result<Arc<Decoded>>;

    /// Says that the rendition is made without such a picture, so that nobody makes one for it.
    fn do_without(&self);

    /// Whether others need the picture, too, so that it is worth being held whole.
    fn are_shared(&self) -> bool;
}

/// Makes the picture that is wanted, and behind it those of the others that come of the same work.
pub type Decode<'a> = &'a mut dyn FnMut(&[Scale]) -> Result<Vec<(Scale, Decoded)>>;

/// Which of the pictures that a decoder can make of an original.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scale {
    eighths: u32,
    /// Whether luma and chroma stay apart.
    planes: bool,
    /// Whether edges between blocks are left as they are coded.
    leaves_edges: bool,
}

impl Scale {
    fn of(plan: &Plan<'_>) -> Scale {
        Scale { eighths: plan.eighths, planes: plan.wants_planes, leaves_edges: plan.leaves_edges }
    }

    /// Whether the decoder can make it of the same work as others.
    pub fn comes_with_others(self, info: &Info) -> bool {
        self.planes && !self.leaves_edges && info.together.contains(&self.eighths)
    }

    /// What a rendition will ask [`Decodes`] for where the original is shared, and how many bytes that has at most; `None`
    /// where it does not ask.
    pub fn wanted(info: &Info, recipe: &Recipe, settings: &Settings) -> Option<(Scale, u64)> {
        let plan = Plan::new(info, recipe, settings).ok()?;
        let is_held = plan.may_share || !plan.streams;
        let asks = is_held && plan.frames == 1 && !plan.decodes_part_alone(true);
        let size = info.size.eighths(plan.eighths);
        // planes may be padded, up to a whole group of chroma
        let bytes = match plan.wants_planes {
            true => geometry::Size::new(size.width + 4, size.height + 4).pixels() * 3,
            false => size.pixels() * 4,
        };
        asks.then(|| (Scale::of(&plan), bytes))
    }
}

/// Keeps nothing.
struct Apart;

impl Decodes for Apart {
    fn get_or_decode(&self, _info: &Info, _scale: Scale, decode: Decode<'_>) -> Result<Arc<Decoded>> {
        let (_, decoded) = decode(&[])?.swap_remove(0);
        Ok(Arc::new(decoded))
    }

    fn do_without(&self) {}

    fn are_shared(&self) -> bool {
        false
    }
}

/// Makes the rendition of `original` that `recipe` describes.
///
/// # Errors
/// All of [`Error`]; nothing is decoded before the limits in `settings` were checked against the header.
pub fn render(original: &[u8], recipe: &Recipe, settings: &Settings, progress: &mut dyn Progress) -> Result<Encoded> {
    render_from(&Apart, original, None, recipe, settings, progress)
}

/// The same, where others may have decoded the original already, and what its header says may be known. The bytes are the
/// same, too.
///
/// # Errors
/// As [`render`].
pub fn render_from(
    decodes: &dyn Decodes, original: &[u8], info: Option<&Info>, recipe: &Recipe, settings: &Settings,
    progress: &mut dyn Progress,
) -> Result<Encoded> {
    begin(progress, Stage::Decode)?;
    let format = Format::sniff(original).ok_or(Error::UnknownFormat)?;
    if recipe.output == Output::Json && format == Format::Svg {
        return json::describe_svg(original);
    }
    // a vector scales by itself
    if format == Format::Svg && recipe.passes_svg_through() {
        if !settings.accepts(format) {
            return Err(switched_off(format));
        }
        return Ok(Encoded::whole(original.to_vec(), Content::Image(format)));
    }
    let info = &*known_or_probed(info, format, original, settings)?;
    let recipe = &recipe.effective(info, settings);
    let mut plan = Plan::new(info, recipe, settings)?;
    plan.decodes_part = plan.decodes_part_alone(decodes.are_shared());
    let plan = plan;

    let mut pipeline = ops::Pipeline::new(&plan);
    let mut frames: Vec<Frame> = Vec::new();
    let mut planes = None;
    let mut integrity = Integrity::Whole;
    let codec = codec::of(format);
    let streams = plan.streams && !(plan.may_share && decodes.are_shared());
    if streams || plan.frames > 1 || plan.decodes_part {
        decodes.do_without();
    }
    if streams {
        integrity = codec.stream(original, info, &mut |rows, profile| {
            let mut rows = Watched { rows, progress: &mut *progress };
            frames.push(Frame { pixels: pipeline.apply_rows(&mut rows, profile)?, delay: 0 });
            Ok(())
        })?;
    }
    let mut take = |progress: &mut dyn Progress, decoded: Arc<Decoded>| {
        begin(progress, Stage::Resize)?;
        // a frame that stands still is shown as long as one likes, wherever it comes from
        let delay = if plan.frames > 1 { decoded.delay } else { 0 };
        match pipeline.apply(decoded)? {
            Samples::Packed(pixels) => frames.push(Frame { pixels, delay }),
            Samples::Planes(one) => planes = Some(one),
        }
        begin(progress, Stage::Decode)
    };
    if plan.frames > 1 {
        integrity = codec.decode(original, info, &plan, &mut |decoded| take(progress, Arc::new(decoded)))?;
    } else if !streams {
        let scale = Scale::of(&plan);
        let mut decode = |others: &[Scale]| {
            // it may have waited for another decoding that then failed
            if progress.goes_on() { several(codec, original, info, &plan, others) } else { Err(Error::Cancelled) }
        };
        let decoded = if plan.decodes_part {
            Apart.get_or_decode(info, scale, &mut decode)
        } else {
            decodes.get_or_decode(info, scale, &mut decode)
        };
        let decoded = decoded?.part(&plan);
        integrity = decoded.integrity.clone();
        take(progress, decoded)?;
    }
    if recipe.output == Output::Json && !integrity.is_damaged() {
        integrity = later_frames(codec, original, info, settings, progress)?;
    }
    if settings.refuse_damaged {
        integrity.require_whole(format)?;
    }
    let damaged = integrity.is_damaged();
    let shown = match planes {
        Some(planes) => Shown::Planes(planes),
        None if frames.is_empty() => return Err(Error::malformed(format, "it holds no picture")),
        None => Shown::Frames(frames),
    };

    begin(progress, Stage::Encode)?;
    let picture = codec::Picture {
        shown,
        loops: info.loops,
        quality: quality::own(plan.format, recipe.quality, settings.encoding),
        lossless: recipe.lossless,
        encoding: settings.encoding,
        exif: exif::kept(recipe.metadata, info),
        profile: pipeline.into_profile(),
    };
    if recipe.output == Output::Json {
        return json::describe(original, info, picture.first(), damaged);
    }
    let encoded = codec::of(plan.format).encode(&picture, &mut || progress.goes_on())?;
    if settings.smallest_wins && !damaged && encoded.len() > original.len() && original_will_do(info, &plan) {
        return Ok(Encoded::whole(original.to_vec(), Content::Image(format)));
    }
    Ok(Encoded { bytes: encoded, content: Content::Image(plan.format), damaged })
}

/// Whether the frames behind the first are whole: a description is of all of an animation, and made from its first frame.
fn later_frames(
    codec: codec::Guarded, original: &[u8], info: &Info, settings: &Settings, progress: &mut dyn Progress,
) -> Result<Integrity> {
    let recipe = check::everything();
    match Plan::to_decode(info, &recipe, settings) {
        Ok(plan) if info.frames > 1 => codec.decode(original, info, &plan, &mut |_| match progress.goes_on() {
            true => Ok(()),
            false => Err(Error::Cancelled),
        }),
        // an animation over a limit is described by its first frame
        _ => Ok(Integrity::Whole),
    }
}

/// Rows that stop coming when the rendering is to end.
struct Watched<'a> {
    rows: &'a mut dyn ops::Rows,
    progress: &'a mut dyn Progress,
}

impl Watched<'_> {
    fn watch(&mut self) -> Result<()> {
        if self.progress.goes_on() { Ok(()) } else { Err(Error::Cancelled) }
    }
}

impl ops::Rows for Watched<'_> {
    fn size(&self) -> geometry::Size {
        self.rows.size()
    }

    fn channels(&self) -> usize {
        self.rows.channels()
    }

    fn read(&mut self, out: &mut [u8]) -> Result<()> {
        self.watch()?;
        self.rows.read(out)
    }

    fn skip(&mut self, rows: u32) -> Result<()> {
        self.watch()?;
        self.rows.skip(rows)
    }
}

/// The picture that is planned, and behind it those of the others that come of the same work.
fn several(
    codec: codec::Guarded, original: &[u8], info: &Info, plan: &Plan<'_>, others: &[Scale],
) -> Result<Vec<(Scale, Decoded)>> {
    let scale = Scale::of(plan);
    let comes_along =
        |other: &&Scale| scale.comes_with_others(info) && other.comes_with_others(info) && **other != scale;
    let eighths: Vec<u32> = others.iter().filter(comes_along).map(|other| other.eighths).collect();
    let mut decoded = codec.decode_several(original, info, plan, &eighths)?.into_iter();
    // some files are not scaled as planned, and are the picture that was wanted all the same
    let first = decoded.next().ok_or_else(|| Error::malformed(info.format, "it holds no picture"))?;
    let others = decoded.map(|decoded| (Scale { eighths: decoded.eighths, ..scale }, decoded));
    Ok([(scale, first)].into_iter().chain(others).collect())
}

fn begin(progress: &mut dyn Progress, stage: Stage) -> Result<()> {
    if progress.begin(stage) { Ok(()) } else { Err(Error::Cancelled) }
}

/// Whether sending the original instead would change nothing that was asked for: it needs no turning and no colour
/// conversion, carries nothing that should be removed, and is in a format the client takes.
fn original_will_do(info: &Info, plan: &Plan<'_>) -> bool {
    let recipe = plan.recipe;
    let acceptable = match recipe.output {
        Output::Exactly(format) => format == info.format,
        Output::Original => true,
        Output::Auto(choice) => match info.format {
            // a client that negotiates takes every format that was always there
            Format::Jpeg | Format::Png | Format::Gif => true,
            // where it moves every client gets it
            Format::WebP => plan.format == Format::WebP || matches!(choice, Choice::Avif | Choice::WebP),
            format => format == plan.format,
        },
        Output::Json => false,
    };
    let pristine = info.orientation == geometry::Orientation::UPRIGHT && !info.has_profile && !info.has_metadata;
    let same_size = info.size.width.max(info.size.height) <= plan.max_dimension;
    let stays = info.frames == plan.frames || plan.recipe.animated && info.format.can_move();
    acceptable && pristine && same_size && stays && recipe.only_recodes()
}

/// Encodes opaque pixels at an encoder's own quality, beside the common scale: for the bench that measures that scale.
///
/// # Errors
/// [`Error::Encode`], [`Error::Impossible`].
pub fn encode_at(pixels: pixels::Pixels, format: Format, own_quality: f32, encoding: Encoding) -> Result<Vec<u8>> {
    let picture = codec::Picture {
        shown: Shown::Frames(vec![Frame { pixels, delay: 0 }]),
        loops: codec::Loops::Forever,
        quality: own_quality,
        lossless: false,
        encoding,
        exif: None,
        profile: None,
    };
    codec::of(format).encode(&picture, &mut || true)
}
