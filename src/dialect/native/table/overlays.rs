//! The rows of overlays and of tints.

use super::{BASE, Control, Parameter, none};
use crate::dialect::native::params::{NO_OVERLAY, defaults};
use crate::dialect::native::values::*;

pub(super) const TINT: Parameter = parameter! {
    tint, aliases: [],
    allowed: "an opaque colour",
    default: none,
    about: "shades of one colour by luminance, canvas and background included",
    parse: opaque_colour,
    print: show_opaque_colour,
    control: Control::Colour,
};

pub(super) const OVERLAY: Parameter = parameter! {
    overlay, aliases: [],
    allowed: "the name of an overlay in the settings, or none",
    default: || NO_OVERLAY.into(),
    about: "puts a picture of the settings on the result",
    parse: preset,
    print: String::clone,
    control: Control::Overlay,
};

pub(super) const POSITION: Parameter = parameter! {
    overlay_position, aliases: [],
    allowed: "center, top, top-right … a compass word, a point such as 0.5x0.33, or repeat for tiles",
    default: || show_overlay_place(&defaults::OVERLAY_POSITION),
    about: "where the overlay is on the picture",
    parse: overlay_place,
    print: show_overlay_place,
    words: OVERLAY_PLACES,
};

pub(super) const OFFSET: Parameter = parameter! {
    overlay_offset, aliases: [],
    allowed: "dx,dy in pixels of the result; below 1 a share of the picture",
    default: || show_offset(&defaults::OFFSET),
    about: "moves the overlay away from the edge, or to the right and down; with repeat the gap between tiles",
    parse: offset,
    print: show_offset,
};

pub(super) const OPACITY: Parameter = parameter! {
    overlay_opacity, aliases: [],
    allowed: "1 to 100",
    default: || defaults::OVERLAY_OPACITY.to_string(),
    about: "how much of the overlay is seen, in percent",
    parse: opacity,
    print: u8::to_string,
    control: Control::Integer(1, 100),
};

pub(super) const SCALE: Parameter = parameter! {
    overlay_scale, aliases: [],
    allowed: "0.01 to 1 of the picture's width, or WxH of both sides",
    default: || "its own size".into(),
    about: "the box that the overlay fits",
    parse: overlay_scale,
    print: show_overlay_scale,
};
