//! Exact numbers for one original, and the only gate to decoding: a decoder takes a [`Plan`], and a plan exists only
//! where the original's header was within every limit.

use super::codec::{self, Info};
use super::error::{Error, Result};
use super::format::Format;
use super::geometry::{Fitted, Gravity, Orientation, Rect, Region, Resize, Size, Wish};
use super::ops::{cut_bytes, light_bytes, streamed_bytes};
use super::recipe::{Choice, Metadata, Output, Recipe};
use super::settings::{Encoding, Settings};

/// The longest side of the picture that a description is made from.
const THUMBNAIL: u32 = 100;

/// Bytes of the largest picture that is held whole for others where its rows could be used as they come.
const SHARED: u64 = 32 << 20;

/// From so many times the pixels that are wanted at least on each side on, edges between blocks do not show: at three times as
/// many pixels as are wished, leaving them as they are coded costs 0.7 to 2.3 of SSIMULACRA2 of 93, at twice as many 1.5
/// to 4.
const EDGES_SHOW: f64 = 1.5;

/// What will be done with one original.
#[derive(Debug)]
pub struct Plan<'a> {
    /// What was asked for.
    pub(crate) recipe: &'a Recipe,
    /// The size of the original as it is stored.
    pub(crate) stored: Size,
    /// The part of the displayed original that is used, by `rect` alone.
    pub(crate) region: Region,
    /// From the stored to the displayed picture: EXIF orientation, `rotate` and `flip` in one.
    pub(crate) orientation: Orientation,
    /// The format of the result.
    pub(crate) format: Format,
    /// How many frames of the original are decoded.
    pub(crate) frames: u32,
    /// To how many eighths of its size a decoder scales it while decoding.
    pub(crate) eighths: u32,
    /// Whether edges between blocks are left as they are coded, since the picture gets so small that they do not show.
    pub(crate) leaves_edges: bool,
    /// Whether the decoder gives rows one after the other, and nothing here has to see all of them together.
    pub(crate) streams: bool,
    /// Whether the picture is small enough to be held whole all the same, where others need it, too.
    pub(crate) may_share: bool,
    /// The part of the scaled picture that is read, in its pixels, where that is little enough to be decoded by itself.
    pub(crate) part: Option<Rect>,
    /// Whether it is decoded by itself, rather than cut out of a picture that others need, too.
    pub(crate) decodes_part: bool,
    /// Whether a decoder that has luma and chroma apart should leave them so.
    pub(crate) wants_planes: bool,
    /// Whether the encoder is given them so, where no profile is in the way.
    pub(crate) feeds_planes: bool,
    /// The size of the result; nothing is made of what is only checked.
    pub(crate) canvas: Size,
    pub(crate) max_dimension: u32,
    /// The most pixels of a result that is larger than its original.
    max_enlarged: u64,
    pub(crate) linear: bool,
    /// Bytes that decoding and resizing will hold at most, by estimate.
    memory: u64,
    /// Nobody else makes a plan.
    _private: (),
}

impl<'a> Plan<'a> {
    /// Checks an original's header against the limits and works out what the recipe means for it.
    ///
    /// # Errors
    /// [`Error::Limit`] where the original is too large, [`Error::Impossible`] where the recipe does not fit it.
    pub fn new(info: &Info, recipe: &'a Recipe, settings: &Settings) -> Result<Plan<'a>> {
        let mut formats = formats(info, recipe).into_iter().peekable();
        loop {
            // there is always one
            let format = formats.next().unwrap_or(Format::Jpeg);
            let plan = Plan::of(info, recipe, settings, format);
            // a format that cannot hold the result, or needs more memory for it than there is, is passed over
            let is_over = match &plan {
                Ok(plan) => plan.format.longest_side() < plan.longest_wish(settings),
                Err(error) => matches!(error, Error::Limit(_)),
            };
            if !is_over || formats.peek().is_none() {
                return plan;
            }
        }
    }

    /// The plan of one in that format.
    fn of(info: &Info, recipe: &'a Recipe, settings: &Settings, format: Format) -> Result<Plan<'a>> {
        let upright = info.orientation.apply(info.size);
        let region = match recipe.rect {
            None => Region::whole(upright),
            Some(rect) => Region::of_rect(rect, upright).ok_or_else(|| outside(rect, upright))?,
        };
        let region = recipe.turn.map(region, upright);
        // a moving PNG stays one where the original's own format is what is wanted
        let own = info.format == Format::Png
            && format == Format::Png
            && !matches!(recipe.output, Output::Exactly(_) | Output::Json);
        let moves = recipe.animated && info.frames > 1 && (format.can_move() || own);
        let frames = if moves { info.frames } else { 1 };
        check_limits(info, frames, settings)?;
        let mut plan = Plan {
            recipe,
            stored: info.size,
            region,
            orientation: info.orientation.then(recipe.turn),
            format,
            frames,
            eighths: 8,
            leaves_edges: false,
            streams: false,
            may_share: true,
            part: None,
            decodes_part: false,
            wants_planes: false,
            feeds_planes: false,
            canvas: Size { width: 0, height: 0 },
            max_dimension: settings.max_dimension.min(format.longest_side()),
            max_enlarged: settings.max_enlarged,
            linear: settings.linear,
            memory: 0,
            _private: (),
        };
        let fitted = plan.fit(region);
        if let Output::Exactly(format) = recipe.output {
            check_side(format, recipe.resize, region, settings)?;
        }
        plan.canvas = fitted.canvas;
        plan.eighths = plan.eighths_for(&fitted, info, settings.oversampling);
        plan.leaves_edges = info.smooths && plan.shrinks(&fitted) >= EDGES_SHOW * f64::from(settings.oversampling);
        plan.feeds_planes = plan.could_feed_planes(&fitted, settings.encoding);
        plan.wants_planes = plan.could_use_planes(&fitted);
        plan.part = plan.part_of(info, &fitted);
        let streamed = info.streamed.filter(|_| plan.can_stream(&fitted));
        plan.streams = streamed.is_some();
        plan.may_share = streamed.is_none_or(|streamed| info.size.pixels() * streamed.channels as u64 <= SHARED);
        let decoding = match streamed {
            Some(streamed) if !plan.may_share => streamed.held + plan.passing(info, streamed.channels, &fitted),
            _ => info.decoded_bytes(plan.eighths) + plan.looked_at(info, &fitted),
        };
        plan.memory = decoding + encoding(&plan, fitted.canvas, frames);
        within_memory("making", plan.memory, settings)?;
        Ok(plan)
    }

    /// The plan of decoding all that there is, at full size, to make nothing of it.
    ///
    /// # Errors
    /// [`Error::Limit`] where the original is too large.
    pub(crate) fn to_decode(info: &Info, recipe: &'a Recipe, settings: &Settings) -> Result<Plan<'a>> {
        check_limits(info, info.frames, settings)?;
        let memory = info.decoded_bytes(8);
        within_memory("decoding", memory, settings)?;
        Ok(Plan {
            recipe,
            stored: info.size,
            region: Region::whole(info.orientation.apply(info.size)),
            orientation: info.orientation,
            format: info.format,
            frames: info.frames,
            eighths: 8,
            leaves_edges: false,
            streams: false,
            may_share: true,
            part: None,
            decodes_part: false,
            wants_planes: false,
            feeds_planes: false,
            canvas: Size { width: 0, height: 0 },
            max_dimension: settings.max_dimension,
            max_enlarged: settings.max_enlarged,
            linear: false,
            memory,
            _private: (),
        })
    }

    /// Bytes that decoding and resizing will hold at most, by estimate from the header.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// Whether a part is decoded by itself; at full size it is not decoded by whom the whole is.
    pub(crate) fn decodes_part_alone(&self, is_shared: bool) -> bool {
        self.part.is_some() && (self.eighths == 8 || !is_shared)
    }

    /// Whether the result stays in the original's colours and carries its profile along.
    pub(crate) fn keeps_profile(&self) -> bool {
        self.recipe.metadata == Metadata::Keep && matches!(self.format, Format::Jpeg | Format::Png | Format::WebP)
    }

    /// The longest side of the result, were there no format's limit.
    fn longest_wish(&self, settings: &Settings) -> u32 {
        let Region { width, height, .. } = self.region;
        let canvas = self.recipe.resize.fit(width, height, settings.max_dimension).canvas;
        canvas.width.max(canvas.height)
    }

    /// Fits a part of the displayed original.
    pub(crate) fn fit(&self, region: Region) -> Fitted {
        let resize = match self.recipe.output {
            // a description looks at a thumbnail
            Output::Json => Resize::Contain(Wish { width: THUMBNAIL, height: THUMBNAIL, enlarge: false }),
            _ => self.recipe.resize,
        };
        self.fit_as(resize, region)
    }

    /// Fits a part of the displayed original by another resize than the recipe's.
    pub(crate) fn fit_as(&self, resize: Resize, region: Region) -> Fitted {
        resize.fit_within(region.width, region.height, self.max_dimension, self.max_enlarged)
    }

    /// Where in a picture that a decoder scaled to so many eighths a part of the displayed original lies.
    pub(crate) fn stored_region(&self, displayed: Region, eighths: u32) -> Region {
        let size = self.orientation.apply(self.stored);
        self.orientation.inverse().map(displayed, size).scaled(f64::from(eighths) / 8.0)
    }

    /// What `rect` and `trim` left of the displayed original, in whole pixels of what a decoder scaled to so many eighths;
    /// `None` where they left all.
    pub(crate) fn bounds(&self, displayed: Region, eighths: u32) -> Option<Rect> {
        if self.recipe.rect.is_none() && self.recipe.trim.is_none() {
            return None;
        }
        let region = self.stored_region(displayed, eighths);
        let size = self.stored.eighths(eighths);
        let (x, y) = (region.x.max(0.0).floor() as u32, region.y.max(0.0).floor() as u32);
        let right = ((region.x + region.width).ceil() as u32).min(size.width);
        let bottom = ((region.y + region.height).ceil() as u32).min(size.height);
        let all = (x, y) == (0, 0) && (right, bottom) == (size.width, size.height);
        (!all).then(|| Rect { x, y, width: right - x, height: bottom - y })
    }

    /// The part that is read of what the decoder makes, which begins where groups of blocks do, whatever the sampling, and
    /// reaches as far as the filter.
    fn part_of(&self, info: &Info, fitted: &Fitted) -> Option<Rect> {
        let Recipe { trim, .. } = self.recipe;
        let looks = trim.is_some() || fitted.gravity == Gravity::Smart;
        if looks || self.frames > 1 || !self.wants_planes || !info.decodes_parts {
            return None;
        }
        let decoded = info.size.eighths(self.eighths);
        let region = self.stored_region(fitted.window(self.region), self.eighths);
        // in columns of luma, of which up to four share one of chroma
        let reach = 4.0 * (3.0 * ratio(fitted).max(1.0) + 2.0);
        let first = |from: f64, multiple: u32| (from - reach).max(0.0) as u32 / multiple * multiple;
        let last = |to: f64, all: u32| ((to + reach).ceil() as u32).next_multiple_of(8).min(all);
        let (x, y) = (first(region.x, 32 * self.eighths), first(region.y, 4 * self.eighths));
        let (right, bottom) =
            (last(region.x + region.width, decoded.width), last(region.y + region.height, decoded.height));
        let (width, height) = (right.checked_sub(x)?, bottom.checked_sub(y)?);
        let pixels = u64::from(width) * u64::from(height);
        (pixels * 4 <= decoded.pixels() * 3).then_some(Rect { x, y, width, height })
    }

    /// Whether each row is needed once.
    fn can_stream(&self, fitted: &Fitted) -> bool {
        let Recipe { trim, .. } = self.recipe;
        self.frames == 1 && trim.is_none() && fitted.gravity != Gravity::Smart && fitted.resamples()
    }

    /// Bytes that are held of rows that pass.
    fn passing(&self, info: &Info, channels: usize, fitted: &Fitted) -> u64 {
        let rows = self.orientation.inverse().apply(fitted.size).height;
        streamed_bytes(info.size, rows, ratio(fitted), channels, self.linear)
    }

    /// Bytes of the copies that operations make of what was decoded.
    fn looked_at(&self, info: &Info, fitted: &Fitted) -> u64 {
        let decoded = info.size.eighths(self.eighths.next_power_of_two());
        let down = ratio(fitted) * f64::from(self.eighths) / 8.0;
        let linear = if self.linear { light_bytes(decoded, down) } else { 0 };
        // what is cut off is cut off by copying what is left, a window of packed pixels or a plane at a time
        let is_cut = self.recipe.rect.is_some() || self.recipe.trim.is_some();
        let cut = if is_cut { decoded.pixels() + cut_bytes(decoded, down, self.linear) } else { 0 };
        linear + cut + if self.recipe.trim.is_some() { decoded.pixels() * 8 } else { 0 }
    }

    /// Whether nothing between resizing and encoding needs red, green and blue.
    fn could_feed_planes(&self, fitted: &Fitted, encoding: Encoding) -> bool {
        let Recipe { blur, sharpen, output, lossless, .. } = self.recipe;
        let untouched = blur.is_none() && sharpen.is_none() && !lossless && *output != Output::Json;
        // mirrored, an odd result's chroma would lie on the other side of the luma it belongs to
        let in_place = self.orientation == Orientation::UPRIGHT && fitted.canvas == fitted.size;
        // light is averaged in red, green and blue
        untouched
            && in_place
            && !(self.linear && fitted.resamples())
            && self.frames == 1
            && codec::of(self.format).takes_planes(fitted.size, encoding)
    }

    /// Whether planes are less work. Where nothing is resampled and red, green and blue are needed in the end, a decoder
    /// makes them for less; trimming looks at every pixel.
    fn could_use_planes(&self, fitted: &Fitted) -> bool {
        (fitted.resamples() || self.feeds_planes) && self.recipe.trim.is_none()
    }

    /// How many pixels of the original stand for one of the result, along the side where there are fewer.
    fn shrinks(&self, fitted: &Fitted) -> f64 {
        // trimming compares pixels of the original with each other
        if self.recipe.trim.is_some() {
            return 1.0;
        }
        (fitted.shown.0 / f64::from(fitted.size.width)).min(fitted.shown.1 / f64::from(fitted.size.height))
    }

    /// The fewest eighths that leave at least `oversampling` times the wished pixels on each side. At twice as many there
    /// is no visible difference to decoding all of them, and the resampling filter does the rest.
    fn eighths_for(&self, fitted: &Fitted, info: &Info, oversampling: u32) -> u32 {
        let ratio = self.shrinks(fitted);
        let least = f64::from(oversampling * 8) * info.margin;
        info.eighths.iter().copied().find(|&count| ratio * f64::from(count) >= least).unwrap_or(8)
    }
}

/// How many pixels of the original stand for one of the result, along the side where there are more.
fn ratio(fitted: &Fitted) -> f64 {
    (fitted.shown.0 / f64::from(fitted.size.width)).max(fitted.shown.1 / f64::from(fitted.size.height))
}

/// Bytes that the results' pixels and their encoder take, as measured for each pixel of the canvas.
fn encoding(plan: &Plan<'_>, canvas: Size, frames: u32) -> u64 {
    let encoder = match plan.format {
        Format::Avif => 28,
        Format::WebP if plan.recipe.lossless => 24,
        Format::WebP => 8,
        Format::Gif => 9,
        _ => 4,
    };
    // frames of a moving picture come and go between larger ones, which leaves gaps
    let frame = if frames > 1 { 6 } else { 4 };
    canvas.pixels() * (frame * u64::from(frames) + encoder)
}

fn outside(rect: Rect, size: Size) -> Error {
    Error::Impossible(format!("rect begins at {},{}, outside of the original's {size} pixels", rect.x, rect.y))
}

fn check_limits(info: &Info, frames: u32, settings: &Settings) -> Result<()> {
    let Size { width, height } = info.size;
    if width == 0 || height == 0 {
        return Err(Error::malformed(info.format, format!("its header says {width}x{height} pixels")));
    }
    if info.frames > settings.max_frames && frames > 1 {
        return Err(Error::Limit(format!("it has {} frames; {} are allowed", info.frames, settings.max_frames)));
    }
    let pixels = info.size.pixels().saturating_mul(frames.into());
    if pixels > settings.max_pixels {
        let what = if frames > 1 { format!("{frames} frames of {}", info.size) } else { info.size.to_string() };
        let limit = settings.max_pixels;
        return Err(Error::Limit(format!("it has {what} pixels, {pixels} in all; {limit} are allowed")));
    }
    Ok(())
}

fn within_memory(what: &str, bytes: u64, settings: &Settings) -> Result<()> {
    if bytes > settings.max_memory {
        let (needed, allowed) = (bytes.div_ceil(1 << 20), settings.max_memory >> 20);
        return Err(Error::Limit(format!("{what} it takes about {needed} MiB of memory; {allowed} MiB are allowed")));
    }
    Ok(())
}

/// A format that was asked for by name is not quietly given a smaller picture than any other would have shown.
fn check_side(format: Format, resize: Resize, region: Region, settings: &Settings) -> Result<()> {
    let canvas = resize.fit(region.width, region.height, settings.max_dimension).canvas;
    let longest = format.longest_side();
    if canvas.width.max(canvas.height) > longest {
        return Err(Error::Impossible(format!(
            "{format} holds at most {longest} pixels a side, the result has {canvas}"
        )));
    }
    Ok(())
}

/// The formats that the recipe's output can mean for this original, best first.
fn formats(info: &Info, recipe: &Recipe) -> Vec<Format> {
    let moves = info.frames > 1 && recipe.animated;
    let covers = recipe.background.is_some_and(|background| background.0[3] == u8::MAX);
    let shows_through = info.has_alpha && !covers;
    let baseline = if shows_through || recipe.lossless { Format::Png } else { Format::Jpeg };
    // what moves stays what it is, as exactly as that can be: standing still it would lose more
    let own = if info.format.is_output() && (!recipe.lossless || info.format.can_be_lossless() || moves) {
        info.format
    } else {
        baseline
    };
    let last = if moves { own } else { baseline };
    match recipe.output {
        Output::Exactly(format) => vec![format],
        Output::Json => vec![Format::Png],
        Output::Original => vec![own, last],
        Output::Auto(Choice::Avif) if !moves => vec![Format::Avif, Format::WebP, last],
        Output::Auto(Choice::AvifStill) if !moves => vec![Format::Avif, last],
        Output::Auto(Choice::Avif | Choice::WebP) => vec![Format::WebP, last],
        // a moving original stays what it is: a baseline that stands still would lose it
        Output::Auto(Choice::AvifStill | Choice::Baseline) => vec![last],
    }
}
