//! The operations between decoder and encoder, in their order: the part that is shown, resize, orientation, colours, canvas,
//! effects, overlay, padding, background.
//!
//! Everything that can be done on the pixels of the result is done there and not on the original's, which are often twenty times
//! as many.

use std::sync::Arc;

use tintype_pixels::DctScale;
use tintype_pixels::colour::{from_srgb, to_srgb};
use tintype_pixels::{Decoded, PixelLayout, Pixels, Profile, Rect, Region, Result, Rows, Samples, Size};

use crate::geometry::{Fitted, Gravity};
use crate::ops;
use crate::ops::overlay::Stamp;
use crate::ops::pad::Colours;
use crate::overlay::Overlays;
use crate::plan::Plan;
use crate::recipe::{Effects, Overlay, Recipe, Rgba};

/// Applies a plan's operations to each frame of an original in turn.
pub(crate) struct Pipeline<'a> {
    plan: &'a Plan<'a>,
    /// The region that is shown, and its size. The first frame decides for all: a window that followed each frame's own borders or
    /// saliency would shake.
    placed: Option<Placed>,
    /// The original's profile, where the result keeps it.
    profile: Option<Arc<[u8]>>,
    /// The colours of the recipe as the first frame had them: all frames have one profile.
    painted: Option<Painted>,
    overlays: &'a Overlays,
    /// The overlay as the first frame had it, whose size and colours all frames have.
    stamp: Option<Stamp>,
}

/// The region of the stored image that is shown, and its size.
#[derive(Clone, Copy)]
struct Placed {
    /// The part that is read, in pixels of the original as it is displayed.
    window: Region,
    /// The region that `rect` and `trim` leave, which contains the window.
    remaining: Region,
    fitted: Fitted,
}

/// The colours of a recipe, in those of the pixels.
#[derive(Clone, Copy)]
struct Painted {
    canvas: Option<Rgba>,
    background: Option<Rgba>,
    tint: Option<[u8; 3]>,
}

impl Painted {
    /// For pixels in the colours of `profile`, or in sRGB.
    fn new(recipe: &Recipe, profile: Option<&Profile>) -> Painted {
        let Recipe { geometry, effects, .. } = recipe;
        // a grey picture has no colour around it either
        let shade = |colour: Rgba| if effects.greyscale { grey(colour) } else { colour };
        let own = |[r, g, b]: [u8; 3]| {
            let Some(profile) = profile else { return [r, g, b] };
            let pixel = from_srgb(Pixels::filled(Size::new(1, 1), &[r, g, b]), profile);
            pixel.data.first_chunk().copied().unwrap_or([r, g, b])
        };
        let painted = |colour: Rgba| {
            let Rgba([r, g, b, alpha]) = shade(colour);
            let [r, g, b] = own([r, g, b]);
            Rgba([r, g, b, alpha])
        };
        Painted {
            canvas: geometry.canvas.map(painted),
            background: geometry.background.map(painted),
            tint: effects.tint.map(own),
        }
    }
}

impl<'a> Pipeline<'a> {
    /// A pipeline for one original.
    pub(crate) fn new(plan: &'a Plan<'a>, overlays: &'a Overlays) -> Pipeline<'a> {
        Pipeline { plan, placed: None, profile: None, painted: None, overlays, stamp: None }
    }

    /// One frame from the decoder as it goes to the encoder. An image without other owners is consumed rather than copied.
    pub(crate) fn apply(&mut self, decoded: Arc<Decoded>) -> Result<Samples> {
        let plan = self.plan;
        let scale = decoded.scale;
        let Placed { window, remaining, fitted } = match self.placed {
            Some(placed) => placed,
            None => *self.placed.insert(place(&decoded.samples, plan, scale)?),
        };
        let (left, top) = decoded.origin;
        let region = plan.viewport.stored_region(window, scale);
        let region = Region { x: region.x - f64::from(left), y: region.y - f64::from(top), ..region };
        let within =
            plan.viewport.bounds(remaining, scale).and_then(|rect| rect.relative_to(left, top, decoded.samples.size()));
        let size = plan.viewport.orientation.inverse().apply(fitted.size);
        let profile = decoded.profile.clone().filter(|profile| !profile.is_srgb() || plan.keeps_profile());
        let pixels = match &decoded.samples {
            Samples::Planes(planes) if plan.encode_layout == PixelLayout::YCbCr && profile.is_none() => {
                let has_colour = !plan.recipe().effects.greyscale;
                return ops::planes::resized(planes, region, within, size, has_colour).map(Samples::Planes);
            }
            Samples::Planes(_) => part(&decoded.samples, region, within, size, plan.viewport.linear)?,
            Samples::Packed(_) => match Arc::try_unwrap(decoded).map(|decoded| decoded.samples) {
                Ok(Samples::Packed(pixels)) => ops::resize::resize(pixels, region, within, size, plan.viewport.linear)?,
                Ok(planes) => part(&planes, region, within, size, plan.viewport.linear)?,
                Err(shared) => part(&shared.samples, region, within, size, plan.viewport.linear)?,
            },
        };
        Ok(Samples::Packed(self.finish(pixels, fitted, profile)?))
    }

    /// The only frame, in rows that are used as they come; for plans in [`DecodeMode::Rows`](crate::plan::DecodeMode).
    pub(crate) fn apply_rows(&mut self, rows: &mut dyn Rows, profile: Option<Profile>) -> Result<Pixels> {
        let plan = self.plan;
        let fitted = plan.viewport.fit(plan.viewport.region);
        let region = plan.viewport.stored_region(fitted.window(plan.viewport.region), DctScale::FULL);
        let size = plan.viewport.orientation.inverse().apply(fitted.size);
        let within = plan
            .viewport
            .bounds(plan.viewport.region, DctScale::FULL)
            .and_then(|rect| rect.relative_to(0, 0, rows.size()));
        let pixels = ops::resize::streamed(rows, region, within, size, plan.viewport.linear)?;
        self.finish(pixels, fitted, profile.filter(|profile| !profile.is_srgb() || plan.keeps_profile()))
    }

    /// A vector picture: what is shown of it is drawn at the size at which it is shown. `draw` is given a region of the stored picture
    /// and the size of its canvas.
    pub(crate) fn apply_drawn(&mut self, draw: Draw<'_>) -> Result<Pixels> {
        let viewport = &self.plan.viewport;
        let region = match self.plan.recipe().geometry.trim {
            Some(tolerance) => trimmed_drawing(self.plan, tolerance, draw)?,
            None => viewport.region,
        };
        let fitted = viewport.fit(region);
        let window = match fitted.gravity {
            Gravity::Smart => interesting(self.plan, region, fitted, &mut |region, size| {
                draw(viewport.stored_region(region, DctScale::FULL), size)
            })?,
            Gravity::Point(..) => fitted.window(region),
        };
        let size = viewport.orientation.inverse().apply(fitted.size);
        let pixels = draw(viewport.stored_region(window, DctScale::FULL), size)?;
        self.finish(pixels, fitted, None)
    }

    /// The operations after resizing.
    fn finish(&mut self, pixels: Pixels, fitted: Fitted, profile: Option<Profile>) -> Result<Pixels> {
        let plan = self.plan;
        let Recipe { effects, overlay, .. } = plan.recipe();
        // a part may be opaque that is of what is not
        let pixels = if plan.frames() == 1 { pixels.without_opaque_alpha() } else { pixels };
        let mut pixels = ops::orient::orient(pixels, plan.viewport.orientation);
        if let Some(profile) = &profile {
            if plan.keeps_profile() && self.profile.is_none() {
                self.profile = profile.rgb_icc();
            }
            if self.profile.is_none() {
                pixels = to_srgb(pixels, profile);
            }
        }
        // the profile that the pixels are still in
        let kept = profile.as_ref().filter(|_| self.profile.is_some());
        let painted = *self.painted.get_or_insert_with(|| Painted::new(plan.recipe(), kept));
        let Painted { canvas, background, tint } = painted;
        let effects = Effects { tint, ..*effects };
        let colours = Colours { canvas, background, format_has_alpha: plan.format.supports_alpha() };
        pixels = ops::pad::pad(pixels, fitted, colours);
        for effect in effects.in_order() {
            ops::apply(effect, &mut pixels);
        }
        if let Some(overlay) = overlay {
            self.draw(overlay, &mut pixels, fitted, kept)?;
        }
        // what is added behind the effects has their colours all the same
        let shade = |colour: Option<Rgba>| match tint {
            Some(tint) => colour.map(|colour| tinted(colour, tint)),
            None => colour,
        };
        let colours = Colours { canvas: shade(canvas), background: shade(background), ..colours };
        pixels = ops::pad::frame(pixels, fitted, colours);
        Ok(ops::flatten::flatten(pixels, colours.background, colours.format_has_alpha))
    }
}

impl Pipeline<'_> {
    /// Draws the overlay on the picture, which may be less than its canvas, in the colours of `profile` or in sRGB.
    fn draw(
        &mut self, overlay: &Overlay, pixels: &mut Pixels, fitted: Fitted, profile: Option<&Profile>,
    ) -> Result<()> {
        let (x, y) = fitted.offset();
        let Size { width, height } = fitted.size;
        let stamp = match self.stamp.take() {
            Some(stamp) => stamp,
            None => {
                let file = self.overlays.get(overlay.id)?;
                Stamp::new(overlay, file, fitted.size, profile, self.plan.viewport.linear)?
            }
        };
        self.stamp.insert(stamp).draw(pixels, Rect { x, y, width, height });
        Ok(())
    }

    /// The profile that the pixels still are in; `None` is sRGB.
    pub(crate) fn into_profile(self) -> Option<Arc<[u8]>> {
        self.profile
    }
}

/// Draws a region of a vector picture on a canvas of that size.
pub(crate) type Draw<'a> = &'a mut dyn FnMut(Region, Size) -> Result<Pixels>;

/// The grey of the same luma.
fn grey(Rgba([r, g, b, alpha]): Rgba) -> Rgba {
    let luma = ops::adjust::luma([r, g, b]);
    Rgba([luma, luma, luma, alpha])
}

/// The shade of a tint.
fn tinted(Rgba([r, g, b, alpha]): Rgba, tint: [u8; 3]) -> Rgba {
    let [r, g, b] = ops::tint::shade([r, g, b], tint);
    Rgba([r, g, b, alpha])
}

/// Finds what is shown, looking at the pixels where the recipe asks for that.
fn place(samples: &Samples, plan: &Plan<'_>, scale: DctScale) -> Result<Placed> {
    let region = match plan.recipe().geometry.trim {
        Some(tolerance) => trimmed(samples, plan, tolerance)?,
        None => plan.viewport.region,
    };
    let fitted = plan.viewport.fit(region);
    let window = match fitted.gravity {
        Gravity::Smart => interesting(plan, region, fitted, &mut |region, size| {
            part(samples, plan.viewport.stored_region(region, scale), None, size, false)
        })?,
        Gravity::Point(..) => fitted.window(region),
    };
    Ok(Placed { window, remaining: region, fitted })
}

/// A part of what was decoded, which is still needed, in red, green and blue.
fn part(samples: &Samples, region: Region, within: Option<Rect>, size: Size, linear: bool) -> Result<Pixels> {
    match samples {
        Samples::Packed(pixels) => ops::resize::resized(pixels, region, within, size, linear),
        // luma is no measure of light where there is colour
        Samples::Planes(planes)
            if linear && (region.width, region.height) != (size.width.into(), size.height.into()) =>
        {
            ops::planes::to_rgb_as_light(planes, region, within, size)
        }
        Samples::Planes(planes) => ops::planes::to_rgb(planes, region, within, size),
    }
}

/// The part of the region that borders of one colour leave. Trimming is planned without scaling in the decoder, so that
/// pixels here are pixels of the original.
fn trimmed(samples: &Samples, plan: &Plan<'_>, tolerance: u8) -> Result<Region> {
    let stored = plan.viewport.stored_region(plan.viewport.region, DctScale::FULL);
    let size = Size::new(stored.width as u32, stored.height as u32);
    let part = part(samples, stored, None, size, false)?;
    let (x, y, width, height) = ops::trim::bounds(&ops::orient::orient(part, plan.viewport.orientation), tolerance);
    let Region { x: left, y: top, .. } = plan.viewport.region;
    Ok(Region { x: left + f64::from(x), y: top + f64::from(y), width: width.into(), height: height.into() })
}

/// The same of a vector picture, drawn at its own size.
fn trimmed_drawing(plan: &Plan<'_>, tolerance: u8, draw: Draw<'_>) -> Result<Region> {
    let viewport = &plan.viewport;
    let Region { x: left, y: top, width, height } = viewport.region;
    let size = viewport.inspected_size(Size::new(width.ceil() as u32, height.ceil() as u32));
    let stored = viewport.stored_region(viewport.region, DctScale::FULL);
    let pixels = draw(stored, viewport.orientation.inverse().apply(size))?;
    let (x, y, w, h) = ops::trim::bounds(&ops::orient::orient(pixels, viewport.orientation), tolerance);
    let (across, down) = (width / f64::from(size.width), height / f64::from(size.height));
    Ok(Region {
        x: left + f64::from(x) * across,
        y: top + f64::from(y) * down,
        width: f64::from(w) * across,
        height: f64::from(h) * down,
    })
}

/// The window on the region in which most is to be seen, by a look at a thumbnail. `look` makes one of that size of the region, not yet
/// turned.
fn interesting(plan: &Plan<'_>, region: Region, fitted: Fitted, look: Draw<'_>) -> Result<Region> {
    let factor = (f64::from(ops::smart::THUMBNAIL_SIDE) / region.width.max(region.height)).min(1.0);
    let side = |length: f64| ((length * factor).round() as u32).max(1);
    let size = Size::new(side(region.width), side(region.height));
    let stored = plan.viewport.orientation.inverse().apply(size);
    let thumbnail = look(region, stored)?;
    let thumbnail = ops::orient::orient(thumbnail, plan.viewport.orientation);
    let (across, down) = (f64::from(size.width) / region.width, f64::from(size.height) / region.height);
    let (left, top) = ops::smart::focus(&thumbnail, fitted.shown.0 * across, fitted.shown.1 * down);
    Ok(fitted.window_at(region, left / across, top / down))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Resize, TargetSize};
    use crate::recipe::{Metadata, Output, Quality};
    use crate::settings::Settings;
    use tintype_pixels::Format;

    #[test]
    fn canvas_beside_a_kept_profile_is_in_its_colours() {
        let original = tintype_testing::testdata("generated/p3.png");
        let size = TargetSize { width: 400, height: 400, enlarge: false };
        for (metadata, expected) in [(Metadata::None, [255, 0, 0]), (Metadata::Keep, [234, 51, 35])] {
            let pad = Resize::Pad(size, Gravity::CENTER);
            let mut recipe = Recipe::new(Output::Exactly(Format::Png), Quality::default()).with_resize(pad);
            recipe.geometry.background = Some(Rgba([255, 0, 0, 255]));
            (recipe.encode.metadata, recipe.encode.lossless) = (metadata, true);
            let settings = Settings::default();
            let made = crate::render(&original, &recipe, &settings, &mut |_| true).expect("a picture");
            let pixels = crate::target::decoded(&made.bytes, Format::Png, settings.limits()).expect("a PNG");
            let corner = &pixels.data[..3];
            let is_near = corner.iter().zip(expected).all(|(got, expected)| got.abs_diff(expected) <= 2);
            assert!(is_near, "{corner:?}, not {expected:?}");
        }
    }

    #[test]
    fn colours_of_a_recipe_keep_their_alpha_and_turn_grey() {
        let mut recipe = Recipe::new(Output::Original, Quality::default());
        recipe.geometry.canvas = Some(Rgba([255, 0, 0, 9]));
        recipe.effects.tint = Some([255, 0, 0]);
        let p3 = Profile::from_cicp(12, 13, 0).expect("a profile");
        let Painted { canvas, background, tint } = Painted::new(&recipe, Some(&p3));
        assert_eq!((canvas.map(|Rgba([.., alpha])| alpha), background), (Some(9), None));
        assert!(tint.is_some_and(|[r, g, b]| r < 240 && g > 40 && b > 25), "{tint:?}");
        recipe.effects.greyscale = true;
        let Some(Rgba([r, g, b, 9])) = Painted::new(&recipe, Some(&p3)).canvas else { panic!("no canvas") };
        assert!(r.abs_diff(g) <= 1 && g.abs_diff(b) <= 1, "{r} {g} {b}");
        assert_eq!(Painted::new(&recipe, None).tint, Some([255, 0, 0]));
    }
}
