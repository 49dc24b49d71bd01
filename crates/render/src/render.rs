//! The path from an original's bytes to a rendition's: probe, plan, decode, operations, encode.

use std::sync::Arc;

use tintype_codecs::{Codec, EncodeInput, Encoding, PictureData, PictureKind};
use tintype_pixels::DctScale;
use tintype_pixels::{DecodeOptions, Decoded, Error, Format, Frame, Info, Integrity, Pixels, Planes, Result, Samples};

use crate::cost;
use crate::encoded::{Content, Encoded};
use crate::passthrough::can_send_original;
use crate::pipeline::Pipeline;
use crate::plan::{DecodeMode, Plan, admit_all_frames};
use crate::probe::{check_svg_mode, known_or_probed};
use crate::progress::{CancellableRows, Progress, Stage, begin};
use crate::recipe::{Output, Recipe};
use crate::settings::Settings;
use crate::shared::{DecodeKey, SharedDecodes, Unshared};
use crate::{encode, json, metadata, miniature};

/// Makes the rendition of `original` that `recipe` describes.
///
/// # Errors
/// All of [`Error`]; nothing is decoded before the limits in `settings` were checked against the header.
pub fn render(original: &[u8], recipe: &Recipe, settings: &Settings, progress: &mut dyn Progress) -> Result<Encoded> {
    render_from(&Unshared, original, None, recipe, settings, progress)
}

/// The same, where others may have decoded the original already, and what its header says may be known. The bytes are the
/// same, too.
///
/// # Errors
/// As [`render`].
pub fn render_from(
    decodes: &dyn SharedDecodes, original: &[u8], info: Option<&Info>, recipe: &Recipe, settings: &Settings,
    progress: &mut dyn Progress,
) -> Result<Encoded> {
    begin(progress, Stage::Decode)?;
    let format = Format::sniff(original).ok_or(Error::UnknownFormat)?;
    if format == Format::Svg
        && let Some(encoded) = svg(original, recipe, settings)
    {
        return encoded;
    }
    let info = &*known_or_probed(info, format, original, settings)?;
    let recipe = &recipe.effective(info, settings);
    let plan = Plan::new(info, recipe, settings)?;
    let mut pipeline = Pipeline::new(&plan, &settings.overlays);
    let (data, mut integrity) = decoded_data(decodes, original, &plan, &mut pipeline, progress)?;
    if recipe.encode.output == Output::Json && !integrity.is_damaged() {
        integrity = later_frames(original, info, settings, progress)?;
    }
    if settings.refuse_damaged {
        integrity.require_whole(format)?;
    }
    let damaged = integrity.is_damaged();

    begin(progress, Stage::Encode)?;
    let mut picture = EncodeInput {
        loops: info.loops,
        lossless: recipe.encode.lossless,
        encoding: settings.encoding,
        exif: metadata::exif(recipe.encode.metadata, info),
        threads: match cost::gains_by_threads(plan.format, settings.encoding, plan.canvas) {
            true => progress.threads(),
            false => 1,
        },
        profile: pipeline.into_profile(),
        // kind and quality are set for each format that is tried
        ..EncodeInput::new(data, 100.0)
    };
    if recipe.encode.output == Output::Json {
        return json::describe(original, info, encode::kind(&picture.data, &plan), picture.first(), damaged);
    }
    match recipe.encode.output {
        Output::Dominant => return miniature::dominant(picture.first(), damaged),
        Output::Lqip => return miniature::lqip(picture.first(), damaged),
        Output::Json | Output::Original | Output::Exactly(_) | Output::Auto(_) => {}
    }
    let made = encode::encode(&mut picture, &plan, settings, progress)?;
    let kind = Some(made.kind);
    if settings.smallest_wins && !damaged && made.bytes.len() > original.len() && can_send_original(info, &plan) {
        return Ok(Encoded { kind, ..Encoded::whole(original.to_vec(), Content::Image(format)) });
    }
    Ok(Encoded { bytes: made.bytes, content: Content::Image(made.format), damaged, kind })
}

/// Whether [`render_from`] reads the original's bytes beyond its signature if its picture was decoded before: for a description, and
/// where the original itself may be the result.
pub fn needs_original(info: &Info, recipe: &Recipe, settings: &Settings) -> bool {
    let may_be_sent = |plan: Plan<'_>| settings.smallest_wins && can_send_original(info, &plan);
    recipe.encode.output == Output::Json || Plan::new(info, recipe, settings).is_ok_and(may_be_sent)
}

/// Decodes the picture that [`render_from`] asks [`SharedDecodes`] for if the original is shared, and behind it those of `others` that
/// come of the same pass: for a process that decodes and leaves the rest to others.
///
/// # Errors
/// As [`render`], and [`Error::Impossible`] for a rendition that asks for no such picture: [`DecodeKey::wanted`] says so before.
pub fn decode_keys(
    original: &[u8], info: Option<&Info>, recipe: &Recipe, settings: &Settings, others: &[DecodeKey],
) -> Result<Vec<(DecodeKey, Decoded)>> {
    let format = Format::sniff(original).ok_or(Error::UnknownFormat)?;
    let info = &*known_or_probed(info, format, original, settings)?;
    let recipe = &recipe.effective(info, settings);
    let plan = Plan::new(info, recipe, settings)?;
    match plan.mode(true) {
        mode @ DecodeMode::SharedWhole => several(original, &plan, mode, others),
        _ => Err(Error::Impossible("its picture is not shared".into())),
    }
}

/// The rendition of an SVG that is not drawn: its description, or the file itself. `None` if pixels are requested.
fn svg(original: &[u8], recipe: &Recipe, settings: &Settings) -> Option<Result<Encoded>> {
    if let Err(refused) = check_svg_mode(recipe, settings) {
        return Some(Err(refused));
    }
    if recipe.encode.output == Output::Json {
        return Some(json::describe_svg(original));
    }
    // a vector scales by itself
    recipe.passes_svg_through().then(|| Ok(Encoded::whole(original.to_vec(), Content::Image(Format::Svg))))
}

/// Decodes as planned and applies the operations to each frame.
fn decoded_data(
    decodes: &dyn SharedDecodes, original: &[u8], plan: &Plan<'_>, pipeline: &mut Pipeline<'_>,
    progress: &mut dyn Progress,
) -> Result<(PictureData, Integrity)> {
    let info = plan.admitted.info();
    let codec = tintype_codecs::of(info.format);
    let mode = plan.mode(decodes.is_shared());
    if mode != DecodeMode::SharedWhole {
        decodes.decline();
    }
    let mut made = Made::default();
    let integrity = match mode {
        DecodeMode::Drawn => {
            let mut draw = |region, size| codec.draw(original, &plan.admitted, region, size);
            made.frames.push(Frame { pixels: pipeline.apply_drawn(&mut draw)?, delay: 0 });
            Integrity::Whole
        }
        DecodeMode::Rows => codec.stream(original, &plan.admitted, &mut |rows, profile| {
            let mut rows = CancellableRows { rows, progress: &mut *progress };
            made.frames.push(Frame { pixels: pipeline.apply_rows(&mut rows, profile)?, delay: 0 });
            Ok(())
        })?,
        DecodeMode::Whole => codec.decode(original, &plan.admitted, &plan.options(mode), &mut |decoded| {
            let delay = decoded.delay;
            made.add(pipeline, progress, Arc::new(decoded), delay)
        })?,
        DecodeMode::Region | DecodeMode::SharedWhole => {
            let key = DecodeKey::of(plan);
            let mut decode = |others: &[DecodeKey]| {
                // it may have waited for another decoding that then failed
                if !progress.keep_going() {
                    return Err(Error::Cancelled);
                }
                several(original, plan, mode, others)
            };
            let decoded = match mode {
                DecodeMode::Region => Unshared.get_or_decode(info, key, &mut decode),
                _ => decodes.get_or_decode(info, key, &mut decode),
            };
            let decoded = decoded?.region(info.size, plan.shown_options());
            let integrity = decoded.integrity.clone();
            // a still frame has no delay, wherever it comes from
            made.add(pipeline, progress, decoded, 0)?;
            integrity
        }
    };
    Ok((made.into_data(info.format)?, integrity))
}

/// The frames that were made so far.
#[derive(Default)]
struct Made {
    frames: Vec<Frame>,
    planes: Option<Planes>,
}

impl Made {
    /// Applies the operations to a decoded frame, which is shown for `delay` milliseconds.
    fn add(
        &mut self, pipeline: &mut Pipeline<'_>, progress: &mut dyn Progress, decoded: Arc<Decoded>, delay: u32,
    ) -> Result<()> {
        begin(progress, Stage::Resize)?;
        match pipeline.apply(decoded)? {
            Samples::Packed(pixels) => self.frames.push(Frame { pixels, delay }),
            Samples::Planes(planes) => self.planes = Some(planes),
        }
        begin(progress, Stage::Decode)
    }

    fn into_data(self, format: Format) -> Result<PictureData> {
        match self.planes {
            Some(planes) => Ok(PictureData::Planes(planes)),
            None if self.frames.is_empty() => Err(Error::malformed(format, "it holds no picture")),
            None => Ok(PictureData::Frames(self.frames)),
        }
    }
}

/// Whether the frames behind the first are whole: a description is of all of an animation, and made from its first frame.
fn later_frames(original: &[u8], info: &Info, settings: &Settings, progress: &mut dyn Progress) -> Result<Integrity> {
    match admit_all_frames(info, settings) {
        Ok(admitted) if info.frames > 1 => {
            tintype_codecs::of(info.format).decode(original, &admitted, &DecodeOptions::FULL, &mut |_| match progress
                .keep_going()
            {
                true => Ok(()),
                false => Err(Error::Cancelled),
            })
        }
        // an animation over a limit is described by its first frame
        _ => Ok(Integrity::Whole),
    }
}

/// The picture that is planned, and behind it those of the others that come of the same pass.
fn several(
    original: &[u8], plan: &Plan<'_>, mode: DecodeMode, others: &[DecodeKey],
) -> Result<Vec<(DecodeKey, Decoded)>> {
    let (info, key) = (plan.admitted.info(), DecodeKey::of(plan));
    let comes_along = |other: &&DecodeKey| key.is_shared_scale(info) && other.is_shared_scale(info) && **other != key;
    let scales: Vec<DctScale> = others.iter().filter(comes_along).map(|other| other.scale).collect();
    let codec = tintype_codecs::of(info.format);
    let mut decoded = codec.decode_several(original, &plan.admitted, &plan.options(mode), &scales)?.into_iter();
    // some files are not scaled as planned, and are the picture that was asked for all the same
    let first = decoded.next().ok_or_else(|| Error::malformed(info.format, "it holds no picture"))?;
    let others = decoded.map(|decoded| (DecodeKey { scale: decoded.scale, ..key }, decoded));
    Ok([(key, first)].into_iter().chain(others).collect())
}

/// Encodes opaque pixels at an encoder's own quality, beside the common scale, as a picture of that kind: for the bench that
/// measures that scale.
///
/// # Errors
/// [`Error::Encode`], [`Error::Impossible`].
pub fn encode_at(
    pixels: Pixels, format: Format, own_quality: f32, encoding: Encoding, kind: PictureKind,
) -> Result<Vec<u8>> {
    let data = PictureData::Frames(vec![Frame { pixels, delay: 0 }]);
    let picture = EncodeInput { encoding, kind, ..EncodeInput::new(data, own_quality) };
    tintype_codecs::of(format).encode(&picture, &mut || true)
}
