//! Estimates of the memory and the time of decoding, resizing and encoding: every formula, by sizes alone.
//!
//! The figures were measured; `tests/memory.rs` compares them with real renders.

use tintype_codecs::{AvifEncoder, Effort, Encoding};
use tintype_pixels::{Format, Info, Size, VectorDrawing};

use crate::bands::{CUT_AT_ONCE, linear_rows_at_once, rows_at_once, window};
use crate::overlay::{self, MAX_OVERLAY_BYTES};
use crate::recipe::Encode;
use crate::score;

/// Bytes that neither pixels nor the original take: tables of codecs, small buffers, what an allocator rounds up.
pub const FIXED_MEMORY: u64 = 4 << 20;

/// Nanoseconds that do not depend on pixels: opening, parsing, starting an encoder.
pub(crate) const FIXED_TIME: f64 = 500_000.0;

/// Bytes that an original takes whatever its size: the tables of a profile's transform, and a large codec's own.
pub(crate) fn fixed_memory(info: &Info) -> u64 {
    let profile = if info.has_profile { 3 << 20 } else { 0 };
    profile + if info.format == Format::Jxl { 1 << 20 } else { 0 }
}

/// Bytes that a result of that many pixels and its encoder take. `may_be_drawing` tells that it may be encoded as a drawing.
pub(crate) fn encode_memory(
    format: Format, encode: &Encode, effort: Effort, pixels: u64, frames: u32, may_be_drawing: bool,
) -> u64 {
    // frames of an animation are allocated and freed between larger ones, which leaves gaps
    let frame = if frames > 1 { 6 } else { 4 };
    // lossless coding is tried
    let lossless = encode.lossless || may_be_drawing || has_full_chroma(format, encode);
    let encoder = format.encode_memory(lossless) + dense_memory(format, effort, lossless);
    let all = pixels * (frame * u64::from(frames) + encoder);
    // the exact colours are compared with those of a palette, or of a lossy WebP
    let is_compared = may_be_drawing
        && matches!(format, Format::Png | Format::WebP)
        && !encode.lossless
        && !encode.output.is_placeholder();
    all + if is_compared { comparison_memory(pixels) } else { 0 }
}

/// Bytes of the file of an overlay of `own` pixels, of its picture while it is decoded, and of the one of `drawn` pixels.
pub(crate) fn overlay_memory(own: Size, drawn: u64) -> u64 {
    MAX_OVERLAY_BYTES + own.pixels() * overlay::DECODE_MEMORY + drawn * 8
}

/// Nanoseconds of one core that decoding an overlay takes, and drawing it on `made` pixels.
pub(crate) fn overlay_time(own: Size, made: f64) -> f64 {
    own.pixels() as f64 * 40.0 + made * 4.0
}

/// Bytes for each pixel that the dense effort takes in addition: dense JPEG is made of planes of 4:2:0, or of 4:4:4 if `full_chroma`.
fn dense_memory(format: Format, effort: Effort, full_chroma: bool) -> u64 {
    match (format, effort) {
        (Format::Jpeg, Effort::Dense) if cfg!(feature = "native") => 2 + u64::from(full_chroma),
        _ => 0,
    }
}

/// Whether a photograph may be written with chroma of full resolution, or without loss, which takes more memory.
fn has_full_chroma(format: Format, encode: &Encode) -> bool {
    match format {
        Format::Jpeg => encode.quality.get() >= 90 || encode.target.is_some(),
        _ => is_exact(format, encode),
    }
}

/// Whether the encoder keeps every pixel.
pub(crate) fn is_exact(format: Format, encode: &Encode) -> bool {
    let is_best = encode.quality.get() == 100 && encode.target.is_none();
    encode.lossless || is_best && matches!(format, Format::Avif | Format::WebP)
}

/// Bytes that a search for a target takes: the comparison, the pixels that are compared, and the decoder.
pub(crate) fn search_memory(pixels: u64) -> u64 {
    pixels * (score::MEMORY + 24)
}

/// Bytes that a comparison in parts takes, the decoded file among them.
fn comparison_memory(pixels: u64) -> u64 {
    let part = u64::from(score::PART);
    pixels * 8 + pixels.min(part * part) * (score::MEMORY + 8)
}

/// Nanoseconds of one core that a render takes: `decoded` and `made` are pixels, frames included.
pub(crate) fn render_time(
    info: &Info, format: Format, lossless: bool, encoding: Encoding, decoded: f64, made: f64,
) -> f64 {
    let encode = format.encode_time(lossless) * effort_factor(format, lossless, encoding);
    FIXED_TIME + decoded * info.caps.time + made * encode
}

/// Nanoseconds of one core to parse a vector picture and to draw that many pixels of it.
pub(crate) fn drawing_time(vector: VectorDrawing, pixels: f64) -> f64 {
    const SHAPES: f64 = 15.0;
    const LAYER: f64 = 10.0;
    vector.time as f64 + pixels * (SHAPES + LAYER * f64::from(vector.layers))
}

/// How many times the time of the fast effort an encoder takes; for AVIF, of libaom's.
fn effort_factor(format: Format, lossless: bool, Encoding { effort, avif }: Encoding) -> f64 {
    match (format, avif, effort) {
        #[cfg(feature = "native")]
        (Format::Avif, AvifEncoder::Libaom, Effort::Balanced) => 9.0,
        #[cfg(feature = "native")]
        (Format::Avif, AvifEncoder::Libaom, Effort::Dense) => 58.0,
        #[cfg(feature = "ravif")]
        (Format::Avif, AvifEncoder::Ravif, effort) => match effort {
            Effort::Fast => 10.0,
            Effort::Balanced | Effort::Dense => 100.0,
        },
        (Format::WebP, _, Effort::Balanced) => 2.2,
        // another search for each of the last percents
        (Format::WebP, _, Effort::Dense) if lossless => 10.0,
        (Format::WebP, _, Effort::Dense) => 5.5,
        // several scans
        #[cfg(feature = "native")]
        (Format::Jpeg, _, Effort::Balanced) => 2.0,
        // trellis quantisation, too
        #[cfg(feature = "native")]
        (Format::Jpeg, _, Effort::Dense) => 4.0,
        (Format::Png, _, Effort::Dense) => 4.0,
        _ => 1.0,
    }
}

/// Nanoseconds of one core that the search for a target takes in addition to one encoding of `made` pixels: two more encodings,
/// three decodings and comparisons, and what the comparisons have in common.
pub(crate) fn search_time(format: Format, encoding: Encoding, made: f64) -> f64 {
    const COMPARISON: f64 = 130.0;
    const REFERENCE: f64 = 60.0;
    let encode = format.encode_time(false) * effort_factor(format, false, encoding);
    made * (2.0 * encode + 3.0 * (format.decode_time() + COMPARISON) + REFERENCE)
}

/// Results of fewer pixels are encoded in less time than a second thread saves.
const MIN_THREADED_PIXELS: u64 = 50_000;

/// Whether the encoder of that format is faster with a second thread. That of WebP hardly is: only its analysis has one, which is an
/// eighth of its instructions.
pub(crate) fn gains_by_threads(format: Format, encoding: Encoding, canvas: Size) -> bool {
    format == Format::Avif && encoding.has_libaom() && canvas.pixels() >= MIN_THREADED_PIXELS
}

/// Bytes that a resize of rows as they come holds in addition to its result, at most: each row of that stands for `down` rows of
/// the stored picture, and `between` pixels are held between its passes.
pub(crate) fn row_resize_memory(stored: Size, between: u64, down: f64, channels: usize, linear: bool) -> u64 {
    let row = u64::from(stored.width) * channels as u64;
    let window = |count| (u64::from(window(stored, down, count)) + CUT_AT_ONCE as u64) * row;
    if linear {
        window(linear_rows_at_once(down)) + linear_light_memory(stored, down)
    } else {
        window(rows_at_once(stored, down)) + between * channels as u64
    }
}

/// Bytes of a resize's filter for a region of so many columns and rows: each is in the filters of six of the result, which are
/// held as they are computed and as they are applied. Those of rows are long where planes are resized in one piece, which only
/// formats of limited size have.
pub(crate) fn filter_memory((columns, rows): (f64, f64)) -> u64 {
    const LONGEST_SIDE: f64 = 65_535.0;
    ((columns + rows.min(LONGEST_SIDE)) * 6.0 * 10.0) as u64
}

/// Bytes of the rows that are copied of a picture out of which a part was cut, at most.
pub(crate) fn cut_memory(stored: Size, down: f64, linear: bool) -> u64 {
    let count = if linear { linear_rows_at_once(down) } else { rows_at_once(stored, down) };
    (u64::from(window(stored, down, count)) + CUT_AT_ONCE as u64) * u64::from(stored.width) * 4
}

/// Bytes that a resize in linear light holds in addition to the image and the result, at most.
pub(crate) fn linear_light_memory(stored: Size, down: f64) -> u64 {
    // four samples as they are coded, and four of light
    u64::from(window(stored, down, linear_rows_at_once(down))) * u64::from(stored.width) * 12
}
