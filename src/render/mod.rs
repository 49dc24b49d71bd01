//! Bytes and a recipe in, bytes out. Pure: no I/O, no async, no clock, no globals.
//!
//! [`render`] is the whole of it: probe the header, plan within the limits, decode, apply the operations, encode. The
//! server, `tintype convert`, the benches and the golden tests all call the same function.

pub mod codec;
mod error;
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

pub use error::{Error, Result};
pub use format::Format;
pub use recipe::Recipe;
pub use settings::Settings;

use codec::Info;
use pixels::Frame;
use plan::Plan;
use recipe::Output;

/// A finished rendition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The file.
    pub bytes: Vec<u8>,
    /// What it is.
    pub content: Content,
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
    /// Reading the header, planning and decoding. For a moving picture the operations run between its frames.
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

fn switched_off(format: Format) -> Error {
    Error::unsupported(format, "it is not among the formats that this server accepts")
}

/// Makes the rendition of `original` that `recipe` describes.
///
/// # Errors
/// All of [`Error`]; nothing is decoded before the limits in `settings` were checked against the header.
pub fn render(original: &[u8], recipe: &Recipe, settings: &Settings, progress: &mut dyn Progress) -> Result<Encoded> {
    let mut begin = |stage| if progress.begin(stage) { Ok(()) } else { Err(Error::Cancelled) };

    begin(Stage::Decode)?;
    let format = Format::sniff(original).ok_or(Error::UnknownFormat)?;
    if recipe.output == Output::Json && format == Format::Svg {
        return json::describe_svg(original);
    }
    if format == Format::Svg && recipe.output == Output::Original && recipe.only_recodes() {
        return Ok(Encoded { bytes: original.to_vec(), content: Content::Image(format) });
    }
    let info = probe_as(format, original, settings)?;
    let plan = Plan::new(&info, recipe, settings)?;

    let mut pipeline = ops::Pipeline::new(&plan);
    let mut frames: Vec<Frame> = Vec::new();
    codec::of(format).decode(original, &info, &plan, &mut |decoded| {
        begin(Stage::Resize)?;
        let delay = decoded.delay;
        frames.push(Frame { pixels: pipeline.apply(decoded)?, delay });
        begin(Stage::Decode)
    })?;
    if frames.is_empty() {
        return Err(Error::malformed(format, "it holds no picture"));
    }

    begin(Stage::Encode)?;
    if recipe.output == Output::Json {
        return json::describe(original, &info, &frames[0].pixels);
    }
    let metadata = exif::kept(recipe.metadata, &info);
    let encoded = codec::of(plan.format).encode(&codec::Picture {
        frames,
        loops: info.loops,
        quality: quality::own(plan.format, recipe.quality),
        lossless: recipe.lossless,
        exif: metadata,
        profile: pipeline.into_profile(),
    })?;
    if settings.smallest_wins && encoded.len() > original.len() && original_will_do(&info, &plan) {
        return Ok(Encoded { bytes: original.to_vec(), content: Content::Image(format) });
    }
    Ok(Encoded { bytes: encoded, content: Content::Image(plan.format) })
}

/// Whether sending the original instead would change nothing that was asked for: it needs no turning and no colour
/// conversion, carries nothing that should be removed, and is in a format the client takes.
fn original_will_do(info: &Info, plan: &Plan<'_>) -> bool {
    let recipe = plan.recipe;
    let acceptable = match recipe.output {
        Output::Exactly(format) => format == info.format,
        Output::Original => true,
        // a client that negotiates takes every format that was always there
        Output::Auto(_) => {
            matches!(info.format, Format::Jpeg | Format::Png | Format::Gif) || info.format == plan.format
        }
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
pub fn encode_at(pixels: pixels::Pixels, format: Format, own_quality: f32) -> Result<Vec<u8>> {
    codec::of(format).encode(&codec::Picture {
        frames: vec![Frame { pixels, delay: 0 }],
        loops: codec::Loops::Forever,
        quality: own_quality,
        lossless: false,
        exif: None,
        profile: None,
    })
}
