//! Values of overlays and of tints.

use super::geometry::{fraction, position, show_position};
use super::{colour, digits, show_colour};
use crate::render::geometry::Gravity;
use crate::render::recipe::{OverlayPlace, OverlayScale, Rgba};

/// The places of an overlay, each in its first spelling.
pub(in crate::dialect::native) const OVERLAY_PLACES: &[&str] =
    &["top-left", "top", "top-right", "left", "center", "right", "bottom-left", "bottom", "bottom-right", "repeat"];

/// A word of a position or a point, or `repeat`.
pub(in crate::dialect::native) fn overlay_place(text: &str) -> Option<OverlayPlace> {
    if text.eq_ignore_ascii_case("repeat") {
        return Some(OverlayPlace::Repeat);
    }
    match position(text)? {
        Gravity::Point(x, y) => Some(OverlayPlace::At(x, y)),
        Gravity::Smart => None,
    }
}

pub(in crate::dialect::native) fn show_overlay_place(place: &OverlayPlace) -> String {
    match *place {
        OverlayPlace::At(x, y) => show_position(&Gravity::Point(x, y)),
        OverlayPlace::Repeat => "repeat".into(),
    }
}

/// A percentage of 1 to 100.
pub(in crate::dialect::native) fn opacity(text: &str) -> Option<u8> {
    digits(text).filter(|percent| (1..=100).contains(percent))
}

/// A share of the width, or shares of the width and the height, each from 0.01 to 1.
pub(in crate::dialect::native) fn overlay_scale(text: &str) -> Option<OverlayScale> {
    const LEAST: u16 = OverlayScale::WHOLE / 100;
    let share = |text: &str| fraction(text).filter(|share| *share >= LEAST);
    Some(match text.split_once('x') {
        Some((width, height)) => OverlayScale { width: share(width)?, height: share(height)? },
        None => OverlayScale { width: share(text)?, height: OverlayScale::WHOLE },
    })
}

pub(in crate::dialect::native) fn show_overlay_scale(scale: &OverlayScale) -> String {
    let show = |share: u16| (f64::from(share) / f64::from(OverlayScale::WHOLE)).to_string();
    match scale.height {
        OverlayScale::WHOLE => show(scale.width),
        height => format!("{}x{}", show(scale.width), show(height)),
    }
}

/// An opaque colour.
pub(in crate::dialect::native) fn opaque_colour(text: &str) -> Option<[u8; 3]> {
    match colour(text)? {
        Rgba([r, g, b, u8::MAX]) => Some([r, g, b]),
        Rgba(_) => None,
    }
}

pub(in crate::dialect::native) fn show_opaque_colour([r, g, b]: &[u8; 3]) -> String {
    show_colour(&Rgba([*r, *g, *b, u8::MAX]))
}
