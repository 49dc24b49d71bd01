//! The geometry of parameters: requested sides, fit and orientation.

use super::conflict;
use crate::dialect::Error;
use crate::dialect::native::Parameter;
use crate::dialect::native::params::{Fit, Flip, Params, defaults};
use crate::render::geometry::{Area, Gravity, Length, Limit, Offset, Ratio, Resize, ResizeOptions, Sizing, TargetSize};
use crate::render::{Orientation, Rect, UNLIMITED};

/// The sizing that parameters ask for, within `max` pixels a side.
///
/// # Errors
/// For sides together with an aspect ratio, and for an offset from a position that the pixels decide.
pub(super) fn sizing(max: u32, params: &Params) -> Result<Sizing, Error> {
    let resize = resize(max, params)?;
    let options = ResizeOptions {
        limit: params.limit.unwrap_or(defaults::LIMIT),
        // where it is still here it was not folded into the sides
        dpr: params.dpr.unwrap_or(defaults::DPR),
        offset: params.offset.unwrap_or(defaults::OFFSET),
        padding: params.padding.unwrap_or(defaults::PADDING),
    };
    if options.offset != defaults::OFFSET && params.position == Some(Gravity::Smart) {
        return Err(conflict("offset", &printed("offset", params), "with a position other than smart"));
    }
    Ok(Sizing { resize, options: options.canonical(resize) })
}

/// The sizing that parameters ask for, where a side of it is above `max`.
pub(super) fn requested(max: u32, params: &Params) -> Option<Sizing> {
    let mut params = params.clone();
    apply_dpr(&mut params, UNLIMITED);
    let [width, height] = [params.width, params.height].map(|side| f64::from(side.unwrap_or_default()));
    // the side that follows from the other
    let ratio = params.aspect_ratio.map_or(0.0, Ratio::value);
    let other = if width > 0.0 && ratio > 0.0 { width / ratio } else { height * ratio };
    let is_above = [width, height, other].into_iter().any(|side| side > f64::from(max));
    is_above.then(|| sizing(UNLIMITED, &params).ok()).flatten()
}

/// The part of the original that parameters ask for: in pixels, or relative to its size.
///
/// # Errors
/// Where more than one parameter states it.
pub(super) fn part(params: &Params) -> Result<(Option<Rect>, Option<Area>), Error> {
    let inset = params.inset.filter(|&inset| inset != defaults::INSET).map(Area::Inset);
    match (params.rect, params.window, inset) {
        (Some([x, y, width, height]), None, None) => Ok(match [x, y, width, height] {
            [Length::Pixels(x), Length::Pixels(y), Length::Pixels(width), Length::Pixels(height)] => {
                (Some(Rect { x, y, width, height }), None)
            }
            _ => (None, Some(Area::Rect { x, y, width, height })),
        }),
        (None, area, None) | (None, None, area) => Ok((None, area)),
        _ => {
            let name = if params.window.is_some() { "window" } else { "inset" };
            Err(conflict(name, &printed(name, params), "only one of rect, window and inset"))
        }
    }
}

/// The value of a parameter as a canonical URL has it.
fn printed(name: &str, params: &Params) -> String {
    Parameter::find(name).and_then(|parameter| parameter.value(params)).unwrap_or_default()
}

/// Whether the result has pixels that are not the original's.
pub(super) fn has_canvas(resize: Resize, options: ResizeOptions) -> bool {
    matches!(resize, Resize::Pad(..)) || !options.padding.is_none()
}

fn resize(max: u32, params: &Params) -> Result<Resize, Error> {
    let [mut width, mut height] = clamp_sides(max, [params.width, params.height].map(|side| side.map(f64::from)));
    let gravity = params.position.unwrap_or(defaults::POSITION);
    if let Some(ratio) = params.aspect_ratio {
        match (width, height) {
            (None, None) => return Ok(Resize::Crop(ratio, gravity)),
            (None, Some(h)) => {
                [width, height] = clamp_sides(max, [f64::from(h) * ratio.value(), f64::from(h)].map(Some));
            }
            (Some(w), None) => {
                [width, height] = clamp_sides(max, [f64::from(w), f64::from(w) / ratio.value()].map(Some));
            }
            _ => {
                let value = format!("{}:{}", ratio.width, ratio.height);
                return Err(conflict("aspect_ratio", &value, "with width or height, not with both"));
            }
        }
    }
    let [width, height] = [width, height].map(Option::unwrap_or_default);
    let target = TargetSize { width, height, enlarge: params.enlarge.unwrap_or(defaults::ENLARGE) };
    let resize = match params.fit.unwrap_or(default_fit(params)) {
        Fit::Contain => Resize::Contain(target),
        Fit::Cover => Resize::Cover(target, gravity),
        Fit::Fill => Resize::Fill(target),
        Fit::Outside => Resize::Outside(target),
        Fit::Pad => Resize::Pad(target, gravity),
        Fit::Auto => Resize::Auto(target, gravity),
    };
    Ok(resize.canonical())
}

/// `rotate`, then `flip`.
pub(super) fn turn(rotate: Option<u16>, flip: Option<Flip>) -> Orientation {
    let turn = Orientation::quarter_turns(u32::from(rotate.unwrap_or(defaults::ROTATE)) / 90);
    let flip = flip.map_or(Orientation::UPRIGHT, |flip| Orientation {
        transpose: false,
        mirror_x: flip.horizontal,
        mirror_y: flip.vertical,
    });
    turn.then(flip)
}

pub(super) fn default_fit(params: &Params) -> Fit {
    if params.aspect_ratio.is_some() { defaults::FIT_OF_RATIO } else { defaults::FIT }
}

/// Multiplies the sides by `dpr` and clamps them, unless the original, or a client hint, decides how much of `dpr` has an effect.
pub(super) fn apply_dpr(params: &mut Params, max: u32) {
    let is_auto = params.auto_width && params.width.is_none();
    if !is_auto && !depends_on_original(params) {
        return fold_dpr(params, max);
    }
    // beside `width=auto`, the default is there in place of a client hint
    params.dpr = params.dpr.filter(|&dpr| is_auto || dpr != defaults::DPR);
    [params.width, params.height] = clamp_sides(max, [params.width, params.height].map(|side| side.map(f64::from)));
}

/// Whether a small original reduces `dpr` together with something that the sides do not tell: the canvas, the padding, the offset.
fn depends_on_original(params: &Params) -> bool {
    let fit = params.fit.unwrap_or(default_fit(params));
    let is_by_sides = params.limit == Some(Limit::Sides) && matches!(fit, Fit::Cover | Fit::Fill | Fit::Auto);
    let is_padded = fit == Fit::Pad || params.padding.is_some_and(|padding| !padding.is_none());
    let is_moved = params.offset.is_some_and(Offset::is_in_pixels);
    !params.enlarge.unwrap_or(defaults::ENLARGE) && (is_by_sides || is_padded || is_moved)
}

/// Multiplies everything in pixels of the result by `dpr`, and clamps the sides.
pub(super) fn fold_dpr(params: &mut Params, max: u32) {
    let dpr = f64::from(params.dpr.take().unwrap_or(defaults::DPR)) / 100.0;
    params.padding = params.padding.map(|padding| padding.times(dpr));
    params.offset = params.offset.map(|offset| offset.times(dpr));
    let sides = [params.width, params.height].map(|side| side.map(|side| f64::from(side) * dpr));
    [params.width, params.height] = clamp_sides(max, sides);
}

/// The sides in whole pixels. Where one is above `max`, both are scaled down, so that the box keeps its ratio.
fn clamp_sides(max: u32, sides: [Option<f64>; 2]) -> [Option<u32>; 2] {
    let longest = sides.into_iter().flatten().fold(1.0, f64::max);
    let scale = (f64::from(max) / longest).min(1.0);
    sides.map(|side| side.map(|side| ((side * scale).round() as u32).clamp(1, max)))
}
