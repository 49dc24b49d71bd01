//! The region of one original that is shown, its orientation, and its fit into the result.

use tintype_pixels::DctScale;
use tintype_pixels::{Error, Format, Info, Orientation, Rect, Region, Result, Size};

use crate::geometry::{Fitted, Gravity, Resize, Sizing, TargetSize};
use crate::kind;
use crate::recipe::{Geometry, Output, Recipe};
use crate::settings::Settings;

/// Pixels of the longest side of what a description computes hashes and colours from.
pub(crate) const THUMBNAIL_SIDE: u32 = 100;

/// Pixels of the longest side of a blurred placeholder.
pub(crate) const LQIP_SIDE: u32 = 32;

/// Pixels of the longest side of the picture that a description tells the kind from, which a thumbnail no longer shows.
const KIND_SIDE: u32 = 640;

/// A recipe's geometry in the pixels of one original, for a result of one format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Viewport<'a> {
    pub(crate) recipe: &'a Recipe,
    /// The size of the original as it is stored.
    pub(crate) stored: Size,
    /// The part of the displayed original that is used, by `rect` or `area` alone.
    pub(crate) region: Region,
    /// From the stored to the displayed picture: its orientation, `rotate` and `flip` in one.
    pub(crate) orientation: Orientation,
    /// Pixels of the longest side of the result.
    pub(crate) max_dimension: u32,
    /// Pixels of a result that is larger than its original, at most, and of any drawn vector picture.
    pub(crate) max_enlarged: u64,
    /// Whether pixels are averaged as light.
    pub(crate) linear: bool,
    /// Pixels of the longest side of the picture that a description is made from.
    description_side: u32,
    /// Whether it is a vector picture, to which no size is an enlargement.
    pub(crate) is_vector: bool,
}

/// Bounds on a result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Largest {
    /// Of both sides.
    pub(crate) sides: Size,
    /// Of all pixels, which may be fewer than both sides have at their bounds.
    pub(crate) pixels: u64,
}

/// Pixels of the longest side of a vector picture in which borders are looked for.
const INSPECTED_SIDE: u32 = 2048;

impl<'a> Viewport<'a> {
    /// # Errors
    /// [`Error::Impossible`] where `rect` lies outside of the original.
    pub(crate) fn new(info: &Info, recipe: &'a Recipe, settings: &Settings, format: Format) -> Result<Viewport<'a>> {
        let Geometry { orient, turn, .. } = recipe.geometry;
        let orientation = orient.unwrap_or(info.orientation);
        let upright = orientation.apply(info.size);
        let region = match recipe.geometry.part(upright) {
            None => Region::whole(upright),
            Some(rect) => Region::of_rect(rect, upright).ok_or_else(|| outside(rect, upright))?,
        };
        let description_side = if kind::is_classified(info) { KIND_SIDE } else { THUMBNAIL_SIDE };
        let side = match recipe.encode.output {
            // a crop keeps its shape, whatever its size
            Output::Dominant => description_side,
            Output::Lqip => LQIP_SIDE,
            _ => settings.max_dimension,
        };
        let viewport = Viewport {
            recipe,
            stored: info.size,
            region: turn.map(region, upright),
            orientation: orientation.then(turn),
            max_dimension: side.min(settings.max_dimension).min(format.longest_side()),
            max_enlarged: settings.max_enlarged,
            linear: settings.linear,
            description_side,
            is_vector: info.is_vector(),
        };
        let max_enlarged = if info.is_vector() { viewport.max_drawn(settings) } else { settings.max_enlarged };
        Ok(Viewport { max_enlarged, ..viewport })
    }

    /// Pixels of a drawn vector picture, at most. It has none of its own. Where trimming decides on its ratio, its size is not known
    /// before it is drawn; then it has no more pixels than without trimming, or than others may be enlarged to.
    fn max_drawn(&self, settings: &Settings) -> u64 {
        let Region { width, height, .. } = self.region;
        let untrimmed = || self.scaling(self.sizing()).fit(width, height, self.max_dimension).outer().pixels();
        match self.recipe.geometry.trim {
            Some(_) => settings.max_enlarged.max(untrimmed()),
            None => settings.max_pixels,
        }
    }

    /// Fits a part of the displayed original.
    pub(crate) fn fit(&self, region: Region) -> Fitted {
        self.fit_as(self.sizing(), region)
    }

    fn sizing(&self) -> Sizing {
        match self.recipe.encode.output {
            Output::Json => {
                let side = self.description_side;
                Resize::Contain(TargetSize { width: side, height: side, enlarge: false }).into()
            }
            _ => self.recipe.geometry.sizing(),
        }
    }

    /// Fits a part of the displayed original by another sizing than the recipe's.
    pub(crate) fn fit_as(&self, sizing: Sizing, region: Region) -> Fitted {
        let Region { width, height, .. } = region;
        self.scaling(sizing).fit_to_pixels(width, height, self.max_dimension, self.max_pixels(region))
    }

    /// Pixels of a result of that region, at most.
    fn max_pixels(&self, Region { width, height, .. }: Region) -> f64 {
        let max_enlarged = self.max_enlarged as f64;
        if self.is_vector { max_enlarged } else { max_enlarged.max(width * height) }
    }

    /// A sizing as it is for this original: no size of a vector picture is an enlargement.
    pub(crate) fn scaling(&self, sizing: Sizing) -> Sizing {
        if self.is_vector { sizing.enlarging() } else { sizing }
    }

    /// The largest result that there can be: of the size of the fit, unless trimming decides on the region.
    pub(crate) fn largest(&self, fitted: &Fitted) -> Largest {
        let outer = fitted.outer();
        if self.recipe.geometry.trim.is_none() {
            return Largest { sides: outer, pixels: outer.pixels() };
        }
        let Region { width, height, .. } = self.region;
        let sides = self.scaling(self.sizing()).largest(width, height, self.max_dimension);
        Largest { sides, pixels: sides.pixels().min(self.max_pixels(self.region).ceil() as u64) }
    }

    /// The longest side of the result if the format had no limit.
    pub(crate) fn longest_requested(&self, settings: &Settings) -> u32 {
        let Region { width, height, .. } = self.region;
        let sizing = self.scaling(self.recipe.geometry.sizing());
        let outer = sizing.fit(width, height, settings.max_dimension).outer();
        outer.width.max(outer.height)
    }

    /// Where a part of the displayed original lies in the stored picture, at that scale.
    pub(crate) fn stored_region(&self, displayed: Region, scale: DctScale) -> Region {
        let size = self.orientation.apply(self.stored);
        self.orientation.inverse().map(displayed, size).scaled(scale.factor())
    }

    /// The part of the displayed original that `rect`, `area` and `trim` leave, in whole pixels of the stored image at that scale; `None`
    /// if they leave all.
    pub(crate) fn bounds(&self, displayed: Region, scale: DctScale) -> Option<Rect> {
        if !self.recipe.geometry.is_cut() {
            return None;
        }
        let region = self.stored_region(displayed, scale);
        let size = self.stored.scaled(scale);
        let (x, y) = (region.x.max(0.0).floor() as u32, region.y.max(0.0).floor() as u32);
        let right = ((region.x + region.width).ceil() as u32).min(size.width);
        let bottom = ((region.y + region.height).ceil() as u32).min(size.height);
        let all = (x, y) == (0, 0) && (right, bottom) == (size.width, size.height);
        (!all).then(|| Rect { x, y, width: right - x, height: bottom - y })
    }

    /// The size at which a vector picture of that size is drawn to look for borders: its own, within a bound.
    pub(crate) fn inspected_size(&self, own: Size) -> Size {
        let factor = (f64::from(INSPECTED_SIDE) / f64::from(own.width.max(own.height))).min(1.0);
        let side = |length: u32| ((f64::from(length) * factor).round() as u32).max(1);
        match self.recipe.geometry.trim {
            Some(_) => Size::new(side(own.width), side(own.height)),
            None => Size::new(1, 1),
        }
    }

    /// Whether the pixels decide what is shown, so that all of them are looked at.
    pub(crate) fn inspects_pixels(&self, fitted: &Fitted) -> bool {
        self.recipe.geometry.trim.is_some() || fitted.gravity == Gravity::Smart
    }

    /// Pixels of the original for each pixel of the result, along the side where there are fewer.
    pub(crate) fn shrinks(&self, fitted: &Fitted) -> f64 {
        // trimming compares pixels of the original with each other
        if self.recipe.geometry.trim.is_some() {
            return 1.0;
        }
        (fitted.shown.0 / f64::from(fitted.size.width)).min(fitted.shown.1 / f64::from(fitted.size.height))
    }
}

/// Pixels of the original for each pixel of the result, along the side where there are more.
pub(crate) fn ratio(fitted: &Fitted) -> f64 {
    (fitted.shown.0 / f64::from(fitted.size.width)).max(fitted.shown.1 / f64::from(fitted.size.height))
}

fn outside(rect: Rect, size: Size) -> Error {
    Error::Impossible(format!("rect begins at {},{}, outside of the original's {size} pixels", rect.x, rect.y))
}
