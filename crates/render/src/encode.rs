//! From finished pixels to a file: the kind of the picture, the formats that it is tried in, palettes.

use tintype_codecs::{Codec, EncodeInput, IndexedPixels, PictureData, PictureKind};
use tintype_pixels::{Error, Format, Info, Pixels, Result};

use crate::cost::is_exact;
use crate::kind;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::quality::{encoder_quality, expected_score};
use crate::score;
use crate::settings::Settings;
use crate::target;

/// The least score of a PNG whose colours were reduced to a palette, where the original had more.
const LEAST_PALETTE_SCORE: f64 = 85.0;

/// How many times the bytes of a lossy WebP a lossless one of a drawing may have and be sent in any case, and in no case.
const ALWAYS_LOSSLESS: f64 = 1.25;
const NEVER_LOSSLESS: f64 = 3.0;

/// By how much the score of a lossy WebP must be below that of photographs of the same quality for a lossless one.
const SMEARED: f64 = 12.0;

/// The share of different colours among the pixels, one of so many, up to which lossless WebP may be smaller than AVIF.
const FEW_COLOURS: u64 = 50;

/// An encoded file, its format, and the kind of its picture.
pub(crate) struct Made {
    pub(crate) bytes: Vec<u8>,
    pub(crate) format: Format,
    pub(crate) kind: PictureKind,
}

/// The kind of a picture that was made as planned.
pub(crate) fn kind(data: &PictureData, plan: &Plan<'_>) -> PictureKind {
    match data {
        PictureData::Frames(frames) if plan.classifies => kind::of(&frames[0].pixels),
        _ => PictureKind::Photo,
    }
}

/// Encodes a picture as planned; a drawing in each format that the recipe leaves open, of which the smallest file is returned.
///
/// # Errors
/// [`Error::Encode`], [`Error::Cancelled`].
pub(crate) fn encode(
    picture: &mut EncodeInput, plan: &Plan<'_>, settings: &Settings, progress: &mut dyn Progress,
) -> Result<Made> {
    let kind = kind(&picture.data, plan);
    picture.kind = kind;
    let mut made: Option<Made> = None;
    for format in formats(picture, plan) {
        let bytes = encode_as(format, picture, plan, settings, progress)?;
        if made.as_ref().is_none_or(|made| bytes.len() < made.bytes.len()) {
            made = Some(Made { bytes, format, kind });
        }
    }
    made.ok_or_else(|| Error::Encode { format: plan.format, reason: "there is no format to encode in".into() })
}

/// The formats that a picture is tried in.
fn formats(picture: &EncodeInput, plan: &Plan<'_>) -> Vec<Format> {
    let others = plan.drawing_formats.iter().copied();
    match picture.kind {
        PictureKind::Photo => vec![plan.format],
        // lossless coding of many colours takes long, and is never the smallest
        PictureKind::Drawing if plan.format == Format::Avif && !has_few_colours(picture.first()) => vec![plan.format],
        PictureKind::Drawing => [plan.format].into_iter().chain(others).collect(),
    }
}

fn encode_as(
    format: Format, picture: &mut EncodeInput, plan: &Plan<'_>, settings: &Settings, progress: &mut dyn Progress,
) -> Result<Vec<u8>> {
    let encode = &plan.recipe().encode;
    picture.quality = encoder_quality(format, encode, settings.encoding, picture.kind);
    let info = plan.admitted.info();
    let is_drawing = picture.kind == PictureKind::Drawing || info.is_indexed;
    if format == Format::Png
        && is_drawing
        && !picture.lossless
        && plan.frames() == 1
        && let Some(bytes) = with_palette(picture, info, progress)?
    {
        return Ok(bytes);
    }
    if format == Format::WebP && picture.kind == PictureKind::Drawing && !is_exact(format, encode) {
        return webp_drawing(picture, plan, settings, progress);
    }
    encode_lossy(format, picture, plan, settings, progress)
}

/// Encodes with the quality of the recipe, or to its target.
fn encode_lossy(
    format: Format, picture: &mut EncodeInput, plan: &Plan<'_>, settings: &Settings, progress: &mut dyn Progress,
) -> Result<Vec<u8>> {
    let encode = &plan.recipe().encode;
    if let Some(target) = encode.target.filter(|_| plan.searches && !format.ignores_quality()) {
        return target::encode(format, picture, target, settings.limits(), progress);
    }
    tintype_codecs::of(format).encode(picture, &mut || progress.keep_going())
}

/// A WebP with or without loss: lossy coding halves the resolution of chroma, which smears coloured text and lines at any quality, so
/// that a lossless file is worth more bytes where the score says so.
fn webp_drawing(
    picture: &mut EncodeInput, plan: &Plan<'_>, settings: &Settings, progress: &mut dyn Progress,
) -> Result<Vec<u8>> {
    picture.lossless = true;
    let exact = tintype_codecs::of(Format::WebP).encode(picture, &mut || progress.keep_going());
    picture.lossless = false;
    let (exact, lossy) = (exact?, encode_lossy(Format::WebP, picture, plan, settings, progress)?);
    let times = exact.len() as f64 / lossy.len() as f64;
    if times <= ALWAYS_LOSSLESS {
        return Ok(exact);
    }
    if times > NEVER_LOSSLESS {
        return Ok(lossy);
    }
    let expected = expected_score(&plan.recipe().encode);
    let score = score::in_parts(picture.first(), &target::decoded(&lossy, Format::WebP, settings.limits())?);
    Ok(if score.is_some_and(|score| score < expected - SMEARED) { exact } else { lossy })
}

/// A PNG of at most 256 colours, where it shows the same: the original had no more, or the score says so.
fn with_palette(picture: &mut EncodeInput, info: &Info, progress: &mut dyn Progress) -> Result<Option<Vec<u8>>> {
    // a picture of few colours is encoded as it is
    let indexed = IndexedPixels::quantised(picture.first());
    if let Some(indexed) = indexed.as_ref().filter(|_| !info.is_indexed) {
        let score = score::in_parts(picture.first(), &indexed.pixels());
        if score.is_none_or(|score| score < LEAST_PALETTE_SCORE) {
            return Ok(None);
        }
    }
    picture.indexed = indexed;
    let bytes = tintype_codecs::of(Format::Png).encode(picture, &mut || progress.keep_going());
    picture.indexed = None;
    bytes.map(Some)
}

/// Whether at most one of [`FEW_COLOURS`] pixels has a colour that none before it has, or few colours there are in any case.
fn has_few_colours(pixels: &Pixels) -> bool {
    const ALWAYS_FEW: u64 = 1024;
    let most = (pixels.size.pixels() / FEW_COLOURS).max(ALWAYS_FEW) as usize;
    let mut colours = std::collections::HashSet::with_capacity(most.min(1 << 16));
    let mut last = None;
    for pixel in pixels.data.chunks_exact(pixels.channels) {
        if last != Some(pixel) && colours.insert(pixel) && colours.len() > most {
            return false;
        }
        last = Some(pixel);
    }
    true
}
