//! The recipe reduced to its effect on one original. Requests for the same image of an original, such as all widths above its own,
//! become one recipe, with one key and one file in the cache.
//!
//! [`render_from`](super::render_from) applies the reduction itself, so a recipe and its reduced form make the same
//! bytes by construction.

use tintype_pixels::{Format, Info, Rect, Region, Size};

use crate::geometry::{Fitted, Gravity, Limit, Resize, ResizeOptions, Sizing, TargetSize};
use crate::kind;
use crate::metadata;
use crate::passthrough::can_send_original;
use crate::plan::{Plan, admit_all_frames};
use crate::recipe::{Effects, Encode, Geometry, LeftOut, Metadata, Output, Quality, Recipe, Rgba};
use crate::settings::Settings;

impl Recipe {
    /// This recipe in its one form for an original with that header: sizes clamped, operations without effect left out,
    /// the format chosen. Reducing twice changes nothing. A recipe that cannot be made stays as it is.
    #[must_use]
    pub fn effective(&self, info: &Info, settings: &Settings) -> Recipe {
        if info.is_vector() && (self.passes_svg_through() || !settings.draws_svg()) {
            return if self.passes_svg_through() { Recipe::passthrough() } else { self.clone() };
        }
        match Plan::new(info, self, settings) {
            // a description has no size and no format
            Ok(plan) if self.encode.output == Output::Json => {
                let frames = info.frames > 1 && admit_all_frames(info, settings).is_err();
                Recipe { left_out: LeftOut { frames, ..plan.left_out }, ..self.clone() }
            }
            Ok(plan) => reduced(&plan, info, settings).unwrap_or_else(|| self.clone()),
            Err(_) => self.clone(),
        }
    }

    /// For an effective recipe whose result may be the original itself, since that may be smaller: the recipe of what it
    /// is compared with, which others may ask for by the format's name.
    pub fn with_chosen_format(&self, info: &Info, settings: &Settings) -> Option<Recipe> {
        if info.is_vector() || !matches!(self.encode.output, Output::Auto(_) | Output::Original) {
            return None;
        }
        let plan = Plan::new(info, self, settings).ok().filter(|plan| plan.drawing_formats.is_empty())?;
        let exact = self.clone().with_output(Output::Exactly(plan.format));
        let is_same = is_same(&plan, &Plan::new(info, &exact, settings).ok()?);
        is_same.then(|| exact.effective(info, settings))
    }

    /// For a recipe whose format the pixels decide: the effective recipe that names the format that they decided for, and gives the
    /// same file.
    pub fn with_format_chosen_by_pixels(&self, format: Format, info: &Info, settings: &Settings) -> Option<Recipe> {
        let plan = Plan::new(info, self, settings).ok().filter(|plan| !plan.drawing_formats.is_empty())?;
        // it may be the original itself
        if format == info.format && can_send_original(info, &plan) {
            return None;
        }
        let exact = self.clone().with_output(Output::Exactly(format));
        let exact_plan = Plan::new(info, &exact, settings).ok()?;
        let is_same = is_same_picture(&plan, &exact_plan)
            && (plan.searches, plan.keeps_profile()) == (exact_plan.searches, exact_plan.keeps_profile());
        is_same.then(|| exact.effective(info, settings))
    }

    /// The recipe of an original that is passed through as it is, in whatever size and quality.
    #[must_use]
    pub fn passthrough() -> Recipe {
        Recipe::new(Output::Original, Quality::default())
    }

    /// Whether an SVG is passed through: always, unless a format of pixels is named, or there is an overlay, which only pixels have.
    pub fn passes_svg_through(&self) -> bool {
        matches!(self.encode.output, Output::Original | Output::Auto(_)) && self.overlay.is_none()
    }
}

/// The reduced recipe; `None` where a step would change the picture, which the checks at its end rule out.
fn reduced(plan: &Plan<'_>, info: &Info, settings: &Settings) -> Option<Recipe> {
    let Recipe { geometry, effects, overlay, encode, fonts: _, left_out: _ } = plan.recipe();
    let Geometry { orient, rect: _, area: _, trim, turn, resize: _, options: _, canvas, background } = *geometry;
    // every operation has an effect, whatever the original
    let Effects { blur, sharpen, pixelate, brightness, contrast, saturation, gamma, greyscale, tint } = *effects;
    let orient = orient.filter(|orientation| *orientation != info.orientation);
    let upright = orient.unwrap_or(info.orientation).apply(info.size);
    let Sizing { resize, options } = sizing(plan);
    let sized = Recipe {
        geometry: Geometry {
            orient,
            rect: geometry.part(upright).and_then(|rect| clipped(rect, upright)),
            area: None,
            trim,
            turn,
            resize,
            options,
            canvas,
            background,
        },
        effects: Effects { blur, sharpen, pixelate, brightness, contrast, saturation, gamma, greyscale, tint },
        overlay: *overlay,
        encode: Encode { animated: encode.animated || info.frames == 1, ..*encode },
        fonts: info.caps.vector.map(|vector| if vector.has_text { settings.fonts } else { 0 }),
        left_out: LeftOut::default(),
    };
    let sized_plan = Plan::new(info, &sized, settings).ok().filter(|new| is_same(plan, new))?;
    let has_same_alternative = |new: &Plan<'_>| can_send_original(info, new) == can_send_original(info, &sized_plan);
    let exact = sized.clone().with_output(Output::Exactly(plan.format));
    let chosen = match Plan::new(info, &exact, settings) {
        // the pixels decide between several formats
        _ if !plan.drawing_formats.is_empty() => sized,
        _ if encode.output.is_placeholder() => sized,
        Ok(new) if is_same(plan, &new) && (!settings.smallest_wins || has_same_alternative(&new)) => exact,
        // the original may be sent in place of what was chosen, or a moving PNG is meant
        _ => sized,
    };
    let result = without_unused_fields(chosen, plan, info);
    let result_plan = Plan::new(info, &result, settings).ok()?;
    let (same, left_out) = (is_same(plan, &result_plan), result_plan.left_out);
    same.then_some(Recipe { left_out, ..result })
}

/// The part of a rectangle that lies in the picture; `None` where that is all of it.
fn clipped(rect: Rect, size: Size) -> Option<Rect> {
    let (width, height) = (rect.width.min(size.width - rect.x), rect.height.min(size.height - rect.y));
    let whole = Rect { x: 0, y: 0, width: size.width, height: size.height };
    Some(Rect { width, height, ..rect }).filter(|rect| *rect != whole)
}

/// The simplest sizing with the same result.
fn sizing(plan: &Plan<'_>) -> Sizing {
    let viewport = &plan.viewport;
    let geometry = &viewport.recipe.geometry;
    let own = Sizing { resize: geometry.resize, options: geometry.options.canonical(geometry.resize) };
    if geometry.trim.is_some() {
        return if viewport.is_vector { own } else { beyond_trim(own, viewport.region) };
    }
    let fitted = viewport.fit(viewport.region);
    // the padding of a fit is in pixels of the result
    let plain = ResizeOptions { padding: fitted.padding, ..ResizeOptions::default() };
    let candidates = resizes(&fitted, viewport.region).map(|resize| Sizing { resize, options: plain });
    let with_offset = |candidate: Sizing| {
        let options = ResizeOptions { offset: own.options.offset, ..plain };
        Sizing { options: options.canonical(candidate.resize), ..candidate }
    };
    let fits =
        |candidate: &Sizing| is_same_fit(&viewport.fit_as(*candidate, viewport.region), &fitted, viewport.region);
    candidates.into_iter().chain(candidates.map(with_offset)).find(fits).unwrap_or(own)
}

/// The resizes that may give that fit, the simplest first.
fn resizes(fitted: &Fitted, region: Region) -> [Resize; 11] {
    let Size { width, height } = fitted.canvas;
    let target = |width, height, enlarge| TargetSize { width, height, enlarge };
    let at = gravity(fitted, region);
    [
        Resize::Native,
        Resize::Contain(target(width, 0, false)),
        Resize::Contain(target(0, height, false)),
        Resize::Contain(target(width, 0, true)),
        Resize::Contain(target(0, height, true)),
        Resize::Fill(target(width, height, false)),
        Resize::Fill(target(width, height, true)),
        Resize::Cover(target(width, height, false), at),
        Resize::Cover(target(width, height, true), at),
        Resize::Pad(target(width, height, false), at),
        Resize::Pad(target(width, height, true), at),
    ]
}

/// The part that trimming leaves is known from the pixels only; but it is not larger than all.
fn beyond_trim(sizing: Sizing, region: Region) -> Sizing {
    let is_beyond = |side: u32, all: f64| side == 0 || f64::from(side) >= all;
    let ResizeOptions { limit, dpr, offset: _, padding: _ } = sizing.options;
    // these have an effect on a box that is too large
    let is_plain = limit == Limit::Ratio && dpr == ResizeOptions::default().dpr;
    match sizing.resize {
        Resize::Contain(target)
            if is_plain
                && !target.enlarge
                && is_beyond(target.width, region.width)
                && is_beyond(target.height, region.height) =>
        {
            Sizing { resize: Resize::Native, ..sizing }
        }
        _ => sizing,
    }
}

/// The gravity with the middle on each axis along which nothing is cut off or left over.
fn gravity(fitted: &Fitted, region: Region) -> Gravity {
    let is_free = |shown: f64, all: f64, size: u32, canvas: u32| shown < all || size < canvas;
    let across = is_free(fitted.shown.0, region.width, fitted.size.width, fitted.canvas.width);
    let down = is_free(fitted.shown.1, region.height, fitted.size.height, fitted.canvas.height);
    match fitted.gravity {
        Gravity::Point(x, y) => Gravity::Point(if across { x } else { 5000 }, if down { y } else { 5000 }),
        Gravity::Smart if across || down => Gravity::Smart,
        Gravity::Smart => Gravity::CENTER,
    }
}

fn is_same_fit(one: &Fitted, other: &Fitted, region: Region) -> bool {
    (one.shown, one.size, one.canvas, one.shift, one.padding)
        == (other.shown, other.size, other.canvas, other.shift, other.padding)
        && gravity(one, region) == gravity(other, region)
}

/// Whether two plans for one original show the same in the same format.
fn is_same(one: &Plan<'_>, other: &Plan<'_>) -> bool {
    one.format == other.format && is_same_picture(one, other)
}

/// Whether two plans for one original show the same.
fn is_same_picture(one: &Plan<'_>, other: &Plan<'_>) -> bool {
    let fits = || {
        is_same_fit(
            &one.viewport.fit(one.viewport.region),
            &other.viewport.fit(other.viewport.region),
            one.viewport.region,
        )
    };
    one.viewport.region == other.viewport.region
        && one.viewport.orientation == other.viewport.orientation
        && one.frames() == other.frames()
        && (one.recipe().geometry.trim.is_some() || fits())
}

/// Without the fields that do nothing in the format of the result, or for this original.
fn without_unused_fields(recipe: Recipe, plan: &Plan<'_>, info: &Info) -> Recipe {
    let Recipe { geometry, effects, overlay, encode, fonts, left_out } = recipe;
    let is_padded = matches!(geometry.resize, Resize::Pad(..)) || !geometry.options.padding.is_none();
    let canvas = geometry.canvas.filter(|_| is_padded);
    // frames of an animation are cleared, and rows of a truncated GIF are missing, whatever the header says of transparency
    let may_be_translucent = info.has_alpha || info.frames > 1 || info.format == Format::Gif;
    // seen through the original, and around it
    let is_seen = may_be_translucent || is_padded && canvas.is_none_or(|canvas| canvas.0[3] != u8::MAX);
    let background = geometry.background.filter(|_| is_seen);
    let is_opaque = |colour: Rgba| colour.0[3] == u8::MAX;
    let canvas = canvas.filter(|canvas| background != Some(*canvas) || !is_opaque(*canvas));
    let geometry = Geometry { canvas, background, ..geometry };
    let Output::Exactly(format) = encode.output else {
        return Recipe { geometry, effects, overlay, encode, fonts, left_out };
    };
    // these encoders have no use for a number
    let is_exact = format.ignores_quality();
    // a PNG of few colours has a palette that only comes near them, unless it must be exact
    let may_lose = plan.frames() == 1 && (kind::is_classified(info) || info.is_indexed);
    let lossless = encode.lossless && (!is_exact || format == Format::Png && may_lose);
    let target = encode.target.filter(|_| !encode.lossless && !is_exact);
    let quality = if lossless || is_exact || target.is_some() { Quality::default() } else { encode.quality };
    // a format without alpha is laid over white by itself
    let is_default = |colour: &Rgba| !format.supports_alpha() && *colour == Rgba::WHITE;
    let background = background.filter(|colour| !is_default(colour));
    let canvas = canvas.filter(|colour| background.is_some() || !is_default(colour));
    let keeps_profile = encode.metadata == Metadata::Keep && info.has_profile && plan.keeps_profile();
    let keeps_exif = metadata::exif(encode.metadata, info).is_some();
    let metadata = if keeps_profile || keeps_exif { encode.metadata } else { Metadata::None };
    // animated or not, such a format shows the first frame
    let animated = encode.animated || (plan.frames() == 1 && !format.supports_animation());
    Recipe {
        geometry: Geometry { canvas, background, ..geometry },
        effects,
        overlay,
        encode: Encode { lossless, quality, target, metadata, animated, ..encode },
        fonts,
        left_out,
    }
}

#[cfg(test)]
mod tests;
