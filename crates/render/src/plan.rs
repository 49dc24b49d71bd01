//! Exact numbers for one original: what is decoded, how, and what is made of it.
//!
//! A plan exists only for an original whose header was within every limit: it holds the [`Admitted`] that decoders take.

use tintype_codecs::{Codec, PictureKind};
use tintype_pixels::DctScale;
use tintype_pixels::{
    Admitted, DecodeOptions, Error, Format, Info, Orientation, PixelLayout, Rect, Result, RowDecoding, Size,
};

use crate::bands::is_rows_first;
use crate::cost;
use crate::geometry::Fitted;
use crate::kind;
use crate::quality::encoder_quality;
use crate::recipe::{Choice, Encode, LeftOut, Metadata, Output, Recipe};
use crate::settings::Settings;
use crate::viewport::{Largest, Viewport, ratio};

/// Bytes of the largest picture that is decoded whole for others where its rows could be used as they come.
const MAX_SHARED: u64 = 32 << 20;

/// The loop filter is skipped where the original has at least so many times the pixels that are needed on each side. At three
/// times as many pixels as requested, skipping it costs 0.7 to 2.3 of SSIMULACRA2 of 93, at twice as many 1.5 to 4.
const BLOCK_EDGES_HIDDEN: f64 = 1.5;

/// How an original is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeMode {
    /// It is a vector picture, and drawn at the size of the result.
    Drawn,
    /// Its rows are resized as they are decoded, and never held together.
    Rows,
    /// The region that is shown is decoded alone.
    Region,
    /// Its frames are decoded whole, one after the other.
    Whole,
    /// The picture is decoded whole, once for all who need it at that scale.
    SharedWhole,
}

/// The decisions for one original: format, decoding, size.
#[derive(Debug)]
pub struct Plan<'a> {
    pub(crate) viewport: Viewport<'a>,
    /// The ticket to the original's pixels.
    pub(crate) admitted: Admitted<'a>,
    /// The format of the result.
    pub(crate) format: Format,
    /// The decoder's options; the region is set where it is small enough to be decoded alone.
    options: DecodeOptions,
    /// How the original is decoded for this result alone.
    alone: DecodeMode,
    /// How it is decoded where others need it, too.
    shared: DecodeMode,
    /// How the encoder is given the pixels, where no profile is in the way.
    pub(crate) encode_layout: PixelLayout,
    /// The size of the result.
    pub canvas: Size,
    /// Pixels of the result at most, where trimming decides on its size.
    pub(crate) largest: u64,
    /// Whether the pixels tell what kind of picture it is; if not, it is a photograph.
    pub(crate) classifies: bool,
    /// The formats that a drawing is tried in beside that of the plan, where the recipe leaves them open.
    pub(crate) drawing_formats: &'static [Format],
    /// Whether the recipe's target is searched for.
    pub(crate) searches: bool,
    /// Steps that there is no memory for.
    pub(crate) left_out: LeftOut,
}

impl<'a> Plan<'a> {
    /// Checks an original's header against the limits and works out what the recipe means for it.
    ///
    /// # Errors
    /// [`Error::Limit`] where the original is too large, [`Error::Impossible`] where the recipe does not fit it.
    pub fn new(info: &'a Info, recipe: &'a Recipe, settings: &Settings) -> Result<Plan<'a>> {
        let mut formats = formats(info, recipe).into_iter().peekable();
        let mut left_out = LeftOut::default();
        loop {
            // there is always one
            let format = formats.next().unwrap_or(Format::Jpeg);
            let plan = Plan::of(info, recipe, settings, format);
            let plan =
                plan.map(|plan| Plan { left_out: LeftOut { formats: left_out.formats, ..plan.left_out }, ..plan });
            // a format that cannot hold the result, or needs more memory for it than there is, is passed over
            let is_over = match &plan {
                Ok(plan) => plan.format.longest_side() < plan.viewport.longest_requested(settings),
                Err(error) => matches!(error, Error::Limit(_)),
            };
            if !is_over || formats.peek().is_none() {
                return plan;
            }
            left_out.formats += u8::from(plan.is_err());
        }
    }

    /// The plan of a result in that format.
    fn of(info: &'a Info, recipe: &'a Recipe, settings: &Settings, format: Format) -> Result<Plan<'a>> {
        let viewport = Viewport::new(info, recipe, settings, format)?;
        let frames = frames(info, recipe, format);
        let limits = settings.limits();
        limits.check(info, frames)?;
        let fitted = viewport.fit(viewport.region);
        let largest = viewport.largest(&fitted);
        if let Output::Exactly(format) = recipe.encode.output {
            check_side(format, viewport.longest_requested(settings))?;
        }
        let draft = Draft { viewport, info, fitted, largest, frames, format };
        let encode_layout = draft.encode_layout(settings);
        let layout = draft.decode_layout(encode_layout);
        let scale = draft.scale(settings.oversampling);
        let hides_block_edges = viewport.shrinks(&fitted) >= BLOCK_EDGES_HIDDEN * f64::from(settings.oversampling);
        let skip_loop_filter = info.caps.has_loop_filter && hides_block_edges;
        let region = draft.region(scale, layout);
        let rows = info.caps.rows.filter(|_| draft.can_stream());
        let is_shareable =
            rows.is_none_or(|rows| info.size.pixels().saturating_mul(rows.channels as u64) <= MAX_SHARED);
        let decoding = match rows {
            _ if info.is_vector() => draft.drawing_memory(),
            Some(rows) if !is_shareable => rows.memory.saturating_add(draft.row_memory(rows)),
            _ => info.decoding_bytes(scale, frames).saturating_add(draft.copy_memory(scale)),
        };
        let filter =
            if fitted.resamples() && !info.is_vector() { cost::filter_memory(draft.stored_fit().0) } else { 0 };
        let decoding = decoding.saturating_add(filter + draft.padding_memory() + draft.overlay_memory());
        let encode_memory = |formats: &[Format], may_be_drawing: bool| {
            let effort = settings.encoding.effort;
            let pixels = largest.pixels;
            let memory =
                |format: &Format| cost::encode_memory(*format, &recipe.encode, effort, pixels, frames, may_be_drawing);
            formats.iter().map(memory).max().unwrap_or(0)
        };
        let admit = |encoding: u64| limits.admit(info, frames, "making", decoding.saturating_add(encoding));
        let is_admitted = |encoding: u64| admit(encoding).is_ok();
        // where there is no memory for what drawings take, all pictures are photographs
        let has_kind = frames == 1
            && kind::is_classified(info)
            && !matches!(recipe.encode.output, Output::Dominant | Output::Lqip);
        let classifies = has_kind && is_admitted(encode_memory(&[format], true));
        let encoding = encode_memory(&[format], classifies);
        let longest_side = largest.sides.width.max(largest.sides.height);
        let is_held = |format: &Format| format.longest_side() >= longest_side;
        let held_formats = Some(drawing_formats(info, recipe, format, frames)).filter(|all| all.iter().all(is_held));
        let held_formats = held_formats.unwrap_or_default();
        let has_room = classifies && is_admitted(encode_memory(held_formats, true));
        let drawing_formats = if has_room { held_formats } else { &[] };
        let encoding = encoding.max(encode_memory(drawing_formats, true));
        let measuring = encoding + cost::search_memory(largest.pixels);
        let is_searched = recipe.encode.target.is_some() && frames == 1;
        let searches = is_searched && is_admitted(measuring);
        let encoding = if searches { measuring } else { encoding };
        let left_out = LeftOut {
            search: is_searched && !searches,
            kind: has_kind && !classifies,
            drawing_formats: drawing_formats.len() < held_formats.len(),
            ..LeftOut::default()
        };
        let [alone, shared] = match info.is_vector() {
            true => [DecodeMode::Drawn; 2],
            false => modes(frames, rows.is_some(), is_shareable, region.is_some(), scale),
        };
        Ok(Plan {
            viewport,
            admitted: admit(encoding)?,
            format,
            options: DecodeOptions {
                scale,
                skip_loop_filter,
                layout,
                region,
                keeps_profile: info.has_profile && keeps_profile(recipe, format),
            },
            alone,
            shared,
            encode_layout,
            canvas: fitted.outer(),
            largest: largest.pixels,
            classifies,
            drawing_formats,
            searches,
            left_out,
        })
    }

    /// The recipe that is planned.
    pub(crate) fn recipe(&self) -> &'a Recipe {
        self.viewport.recipe
    }

    /// Number of frames that are decoded.
    pub(crate) fn frames(&self) -> u32 {
        self.admitted.frames()
    }

    /// Bytes that decoding and resizing hold at most, by estimate from the header.
    pub fn memory(&self) -> u64 {
        self.admitted.memory()
    }

    /// The size of the file that is made, unless trimming decides: the canvas, or one pixel for a dominant colour.
    pub fn result_size(&self) -> Size {
        match self.recipe().encode.output {
            Output::Dominant => Size::new(1, 1),
            _ => self.canvas,
        }
    }

    /// How the original is decoded, by whether others need it at the same scale.
    pub(crate) fn mode(&self, is_shared: bool) -> DecodeMode {
        if is_shared { self.shared } else { self.alone }
    }

    /// The decoder's options in that mode.
    pub(crate) fn options(&self, mode: DecodeMode) -> DecodeOptions {
        let region = self.options.region.filter(|_| mode == DecodeMode::Region);
        DecodeOptions { region, ..self.options }
    }

    /// The same, with the region that is shown, which is cut out of a picture that was decoded whole.
    pub(crate) fn shown_options(&self) -> &DecodeOptions {
        &self.options
    }

    /// Whether the result stays in the original's colours and carries its profile along.
    pub(crate) fn keeps_profile(&self) -> bool {
        keeps_profile(self.recipe(), self.format)
    }
}

/// Whether a result in that format stays in the original's colours.
fn keeps_profile(recipe: &Recipe, format: Format) -> bool {
    recipe.encode.metadata == Metadata::Keep && format.keeps_profile()
}

/// The decoding of a render alone, and of one that shares it with others.
fn modes(frames: u32, streams: bool, is_shareable: bool, has_region: bool, scale: DctScale) -> [DecodeMode; 2] {
    [false, true].map(|is_shared| match () {
        () if streams && !(is_shared && is_shareable) => DecodeMode::Rows,
        // at full size the region is not decoded by the decoder that decodes the whole
        () if has_region && (scale == DctScale::FULL || !is_shared) => DecodeMode::Region,
        () if frames > 1 => DecodeMode::Whole,
        () => DecodeMode::SharedWhole,
    })
}

/// The inputs of a plan's decisions.
struct Draft<'a> {
    viewport: Viewport<'a>,
    info: &'a Info,
    fitted: Fitted,
    largest: Largest,
    frames: u32,
    format: Format,
}

impl Draft<'_> {
    /// The encoder is given planes where nothing between resizing and encoding needs red, green and blue.
    fn encode_layout(&self, settings: &Settings) -> PixelLayout {
        let Recipe { effects, overlay, encode, .. } = self.viewport.recipe;
        // greyscale is planes without chroma
        let has_effects = !effects.is_empty() && !effects.is_greyscale_alone();
        let is_untouched = !has_effects && overlay.is_none() && !encode.lossless && !encode.output.is_placeholder();
        // a score is measured against all the colour that there was
        let is_measured = encode.target.is_some();
        // mirrored, an odd result's chroma would lie on the other side of the luma it belongs to
        let is_in_place = self.viewport.orientation == Orientation::UPRIGHT && self.fitted.outer() == self.fitted.size;
        // light is averaged in red, green and blue
        let is_averaged_as_light = self.viewport.linear && self.fitted.resamples();
        let accepts = || {
            let quality = encoder_quality(self.format, encode, settings.encoding, PictureKind::Photo);
            tintype_codecs::of(self.format).accepts_ycbcr(self.fitted.size, settings.encoding, quality)
        };
        let is_ycbcr =
            is_untouched && !is_measured && is_in_place && !is_averaged_as_light && self.frames == 1 && accepts();
        if is_ycbcr { PixelLayout::YCbCr } else { PixelLayout::Rgb }
    }

    /// Planes are less work, except where nothing is resampled and red, green and blue are needed in the end, since a decoder makes
    /// them for less, and where trimming looks at every pixel.
    fn decode_layout(&self, encode_layout: PixelLayout) -> PixelLayout {
        let is_less = self.fitted.resamples() || encode_layout == PixelLayout::YCbCr;
        if is_less && !self.trims() { PixelLayout::YCbCr } else { PixelLayout::Rgb }
    }

    /// The smallest scale that leaves at least `oversampling` times the requested pixels on each side. At twice as many there is no
    /// visible difference to decoding all of them, and the resampling filter does the rest.
    fn scale(&self, oversampling: u32) -> DctScale {
        let ratio = self.viewport.shrinks(&self.fitted);
        let least = f64::from(oversampling * 8) * self.info.caps.scale_margin;
        self.info
            .caps
            .scales
            .iter()
            .copied()
            .find(|scale| ratio * f64::from(scale.eighths()) >= least)
            .unwrap_or(DctScale::FULL)
    }

    /// The region that is read of the scaled picture, where it is little enough to be decoded alone. It begins where groups of blocks
    /// do, whatever the subsampling, and reaches as far as the filter.
    fn region(&self, scale: DctScale, layout: PixelLayout) -> Option<Rect> {
        let Draft { viewport, info, fitted, .. } = self;
        let is_ycbcr = layout == PixelLayout::YCbCr;
        if viewport.inspects_pixels(fitted) || self.frames > 1 || !is_ycbcr || !info.caps.decodes_regions {
            return None;
        }
        let decoded = info.size.scaled(scale);
        let region = viewport.stored_region(fitted.window(viewport.region), scale);
        // in columns of luma, of which up to four share one of chroma
        let reach = 4.0 * (3.0 * ratio(fitted).max(1.0) + 2.0);
        let first = |from: f64, multiple: u32| (from - reach).max(0.0) as u32 / multiple * multiple;
        let last = |to: f64, all: u32| ((to + reach).ceil() as u32).next_multiple_of(8).min(all);
        let (x, y) = (first(region.x, 32 * scale.eighths()), first(region.y, 4 * scale.eighths()));
        let (right, bottom) =
            (last(region.x + region.width, decoded.width), last(region.y + region.height, decoded.height));
        let (width, height) = (right.checked_sub(x)?, bottom.checked_sub(y)?);
        let pixels = u64::from(width) * u64::from(height);
        (pixels * 4 <= decoded.pixels() * 3).then_some(Rect { x, y, width, height })
    }

    /// Whether each row is needed once.
    fn can_stream(&self) -> bool {
        self.frames == 1 && !self.viewport.inspects_pixels(&self.fitted) && self.fitted.resamples()
    }

    /// Bytes that are held of rows that are resized as they come.
    fn row_memory(&self, rows: RowDecoding) -> u64 {
        let Draft { viewport, info, fitted, .. } = self;
        let (shown, made) = self.stored_fit();
        let between = match is_rows_first(shown, made) {
            true => u64::from(made.width) * u64::from(info.size.height),
            false => u64::from(info.size.width) * u64::from(made.height),
        };
        cost::row_resize_memory(info.size, between, ratio(fitted), rows.channels, viewport.linear)
    }

    /// The width and height of the part that is shown, and its size in the result, as the original is stored.
    fn stored_fit(&self) -> ((f64, f64), Size) {
        let Fitted { shown: (width, height), size, .. } = self.fitted;
        match self.viewport.orientation.transpose {
            true => ((height, width), size.transposed()),
            false => ((width, height), size),
        }
    }

    /// Bytes that a resize holds between its passes beyond what the figures of decoders include, which were measured with
    /// pictures that keep their ratio.
    fn stretch_memory(&self, scale: DctScale) -> u64 {
        let (shown, made) = self.stored_fit();
        if is_rows_first(shown, made) {
            return 0;
        }
        let rows_of_ratio = shown.1 / ratio(&self.fitted);
        let width = shown.0 * scale.next_power_of_two().factor();
        (width * (f64::from(made.height) - rows_of_ratio).max(0.0) * 4.0) as u64
    }

    /// Pixels of what is planned to have that size, or of the largest result where trimming decides on its size.
    fn at_most(&self, planned: Size) -> u64 {
        if self.trims() { self.largest.pixels } else { planned.pixels() }
    }

    fn trims(&self) -> bool {
        self.viewport.recipe.geometry.trim.is_some()
    }

    /// Bytes that drawing a vector picture takes.
    fn drawing_memory(&self) -> u64 {
        let Draft { viewport, info, fitted, .. } = self;
        let pixels = self.at_most(fitted.size).max(viewport.inspected_size(info.size).pixels());
        info.caps.vector.map_or(0, |vector| vector.bytes(pixels))
    }

    /// Bytes of the canvas that is copied into its padding.
    fn padding_memory(&self) -> u64 {
        let padding = if self.trims() { self.viewport.recipe.geometry.options.padding } else { self.fitted.padding };
        if padding.is_none() { 0 } else { self.at_most(self.fitted.canvas) * 4 }
    }

    /// Bytes of the overlay while it is decoded, and as it is drawn.
    fn overlay_memory(&self) -> u64 {
        let Draft { viewport, fitted, largest, .. } = self;
        let picture = if self.trims() { largest.sides } else { fitted.size };
        viewport.recipe.overlay.map_or(0, |overlay| {
            let drawn = overlay.size_on(picture).pixels().min(largest.pixels);
            cost::overlay_memory(overlay.id.size(), drawn)
        })
    }

    /// Bytes of the copies that operations make of what was decoded.
    fn copy_memory(&self, scale: DctScale) -> u64 {
        let Draft { viewport, info, fitted, .. } = self;
        let decoded = info.size.scaled(scale.next_power_of_two());
        let down = ratio(fitted) * scale.factor();
        let linear = if viewport.linear { cost::linear_light_memory(decoded, down) } else { 0 };
        let geometry = &viewport.recipe.geometry;
        // cutting copies the rest, a window of packed pixels or a plane at a time
        let cut =
            if geometry.is_cut() { decoded.pixels() + cost::cut_memory(decoded, down, viewport.linear) } else { 0 };
        let trimmed = if self.trims() { decoded.pixels() * 8 } else { 0 };
        linear + cut + trimmed + self.stretch_memory(scale)
    }
}

/// The ticket to all frames of an original, decoded one after the other.
///
/// # Errors
/// [`Error::Limit`].
pub(crate) fn admit_all_frames<'a>(info: &'a Info, settings: &Settings) -> Result<Admitted<'a>> {
    settings.limits().admit(info, info.frames, "decoding", info.decoding_bytes(DctScale::FULL, info.frames))
}

/// How many frames of the original are in a result of that format.
fn frames(info: &Info, recipe: &Recipe, format: Format) -> u32 {
    if recipe.encode.output.is_placeholder() {
        return 1;
    }
    // an animated PNG stays one where the original's own format is asked for
    let own =
        info.format == Format::Png && format == Format::Png && !matches!(recipe.encode.output, Output::Exactly(_));
    let moves = recipe.encode.animated && info.frames > 1 && (format.supports_animation() || own);
    if moves { info.frames } else { 1 }
}

/// The formats that a drawing is tried in beside `format`, which a recipe without a format prefers.
fn drawing_formats(info: &Info, recipe: &Recipe, format: Format, frames: u32) -> &'static [Format] {
    let Encode { output, lossless, .. } = recipe.encode;
    if frames > 1 || lossless || !kind::is_classified(info) {
        return &[];
    }
    match (output, format) {
        (Output::Auto(Choice::Avif), Format::Avif) => &[Format::WebP],
        (Output::Auto(_), Format::Avif | Format::Jpeg) => &[Format::Png],
        _ => &[],
    }
}

/// A format that was asked for by name is not quietly given a smaller picture than any other would have shown.
fn check_side(format: Format, requested: u32) -> Result<()> {
    let longest = format.longest_side();
    if requested > longest {
        let reason = format!("{format} holds at most {longest} pixels a side, the result has {requested}");
        return Err(Error::Impossible(reason));
    }
    Ok(())
}

/// The formats that the recipe's output can mean for this original, best first.
fn formats(info: &Info, recipe: &Recipe) -> Vec<Format> {
    let Encode { output, lossless, animated, .. } = recipe.encode;
    let moves = info.frames > 1 && animated;
    let covers = recipe.geometry.background.is_some_and(|background| background.0[3] == u8::MAX);
    let shows_through = info.has_alpha && !covers;
    let baseline = if shows_through || lossless { Format::Png } else { Format::Jpeg };
    // an animation stays what it is, as exactly as that can be: standing still it would lose more
    let is_written_moving = info.format.supports_animation() || info.format == Format::Png;
    let own = if moves && !is_written_moving {
        // every client that shows its format shows this one
        Format::WebP
    } else if info.format.is_output() && (!lossless || info.format.supports_lossless() || moves) {
        info.format
    } else {
        baseline
    };
    let last = match (moves, is_written_moving) {
        (false, _) => baseline,
        (true, true) => own,
        (true, false) => Format::Gif,
    };
    match output {
        Output::Exactly(format) => vec![format],
        Output::Json | Output::Dominant => vec![Format::Png],
        Output::Lqip => vec![Format::WebP],
        Output::Original => vec![own, last],
        Output::Auto(Choice::Avif) if !moves => vec![Format::Avif, Format::WebP, last],
        Output::Auto(Choice::AvifStill) if !moves => vec![Format::Avif, last],
        Output::Auto(Choice::Avif | Choice::WebP) => vec![Format::WebP, last],
        // an animated original stays what it is: a baseline that stands still would lose it
        Output::Auto(Choice::AvifStill | Choice::Baseline) => vec![last],
    }
}
