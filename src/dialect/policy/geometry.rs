//! The geometry of parameters: requested sides, fit and orientation.

use super::conflict;
use crate::dialect::Error;
use crate::dialect::native::params::{Fit, Flip, Params, defaults};
use crate::render::Orientation;
use crate::render::geometry::{Resize, TargetSize};

/// The resize that parameters ask for, within `max` pixels a side.
///
/// # Errors
/// For sides together with an aspect ratio.
pub(super) fn resize(max: u32, params: &Params) -> Result<Resize, Error> {
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

/// Multiplies the sides by `dpr` and clamps them.
pub(super) fn apply_dpr(params: &mut Params, max: u32) {
    let dpr = f64::from(params.dpr.take().unwrap_or(defaults::DPR)) / 100.0;
    let sides = [params.width, params.height].map(|side| side.map(|side| f64::from(side) * dpr));
    [params.width, params.height] = clamp_sides(max, sides);
}

/// The sides in whole pixels. Where one is above `max`, both are scaled down, so that the box keeps its ratio.
fn clamp_sides(max: u32, sides: [Option<f64>; 2]) -> [Option<u32>; 2] {
    let longest = sides.into_iter().flatten().fold(1.0, f64::max);
    let scale = (f64::from(max) / longest).min(1.0);
    sides.map(|side| side.map(|side| ((side * scale).round() as u32).clamp(1, max)))
}
