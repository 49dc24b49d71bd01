//! The parts of a path and the filters of thumbor and imagor, in the order of their documentation.

use std::sync::LazyLock;

use super::draft::{self, Draft};
use crate::dialect::foreign::options::{ForeignOption as Row, Index};
use crate::dialect::foreign::values::number;

/// The parts of a path, for documentation: their order is their grammar.
#[rustfmt::skip]
pub(super) const PARTS: &[Row<Draft>] = &[
    Row::refused("debug", &[], ""),
    Row::refused("meta", &[], "natively `format=json`"),
    Row::read("trim", &[], "trim, trim:tolerance, trim:top-left:tolerance", "`trim`, approximately", ignore),
    Row::read("AxB:CxD", &[], "left, top, right and bottom in pixels; below 1 shares with `flavour = \"imagor\"`", "`rect`", ignore),
    Row::read("fit-in", &["full-fit-in"], "", "`fit=contain`, which never enlarges; full is `fit=outside`", ignore),
    Row::refused("adaptive-fit-in", &["adaptive-full-fit-in"], "natively `fit=contain` with the sides as you need them"),
    Row::read("stretch/", &[], "", "`fit=fill`", ignore),
    Row::read("WxH", &["-Wx-H"], "whole numbers, 0, orig or nothing", "`fit=cover&enlarge=true`; - is `flip`", ignore),
    Row::read("GxH:IxJ", &["GxH"], "left and top, right and bottom in pixels; with the filter fill", "`padding`", ignore),
    Row::read("left", &["right", "center"], "", "`position`", ignore),
    Row::read("top", &["bottom", "middle"], "", "`position`", ignore),
    Row::read("smart", &[], "", "`position=smart`", ignore),
];

/// The rows of [`FILTERS`] by name.
pub(super) static INDEX: LazyLock<Index<Draft>> = LazyLock::new(|| Index::new(FILTERS));

/// Every filter.
#[rustfmt::skip]
pub(super) const FILTERS: &[Row<Draft>] = &[
    Row::read("format", &[], "jpeg, jpg, png, gif, webp or avif", "`format`", draft::format),
    Row::read("quality", &[], "1 to 100", "`quality`", draft::quality),
    Row::read("fill", &[], "a CSS name, hexadecimal digits or none; and true for transparent pixels",
        "`fit=pad&canvas=…` under fit-in; for transparent pixels `background`", draft::fill),
    Row::read("background_color", &[], "a CSS name or hexadecimal digits",
        "`background`; before grayscale, and without fill for transparent pixels", draft::background_color),
    Row::read("no_upscale", &[], "", "no `enlarge`, and `limit=sides`", draft::no_upscale),
    Row::read("upscale", &[], "", "`enlarge` under fit-in", draft::upscale),
    Row::read("stretch", &[], "", "`fit=fill`", draft::stretch),
    Row::read("rotate", &[], "a multiple of 90", "`rotate`, counter-clockwise and after resizing", draft::rotate),
    Row::read("blur", &[], "a radius, and a sigma of 0.3 to 100", "`blur`", draft::blur),
    Row::read("sharpen", &[], "an amount of 0 to 10", "`sharpen`, approximately", draft::sharpen),
    Row::read("focal", &[], "AxB:CxD or X,Y from 0 to 1", "`position`", draft::focal),
    Row::read("grayscale", &[], "", "`greyscale`", draft::grayscale),
    Row::read("expire", &[], "unix milliseconds", "`expires`", draft::expire),
    Row::read("attachment", &[], "a file name, or nothing for that of the original",
        "`download`, with the extension of the result", draft::attachment),
    Row::ignored("strip_exif", &[], "no Exif is kept"),
    Row::ignored("strip_icc", &[], "colours are always converted to sRGB"),
    Row::ignored("max_age", &[], "freshness is a setting of this server"),
    Row::ignored("autojpg", &[], "the format is not negotiated here"),
    Row::ignored("preview", &[], "results are always stored"),
    Row::refused_unless("brightness", &[], "0", "natively `brightness`, a factor", is_zero),
    Row::refused_unless("contrast", &[], "0", "natively `contrast`, a factor", is_zero),
    Row::refused_unless("saturation", &[], "0", "natively `saturation`, a factor", is_zero),
    Row::refused_unless("hue", &[], "0", "", is_zero),
    Row::refused("colorize", &[], ""),
    Row::refused("convolution", &[], ""),
    Row::refused("cover", &[], "natively `animated=false`"),
    Row::refused("crop", &[], "natively `rect`, which is before resizing"),
    Row::refused("curve", &[], ""),
    Row::refused("distributed_collage", &[], ""),
    Row::refused("dpi", &[], ""),
    Row::refused("equalize", &[], ""),
    Row::refused("extract_focal", &[], ""),
    Row::refused("frame", &[], ""),
    Row::refused("gifv", &[], ""),
    Row::refused("image", &[], ""),
    Row::refused("label", &[], ""),
    Row::refused("max_bytes", &[], "one request is one encoding; natively `quality`"),
    Row::refused("max_frames", &[], "natively `animated=false`"),
    Row::refused("noise", &[], ""),
    Row::refused("orient", &[], "natively `rotate`"),
    Row::refused("padding", &[], "natively `padding`"),
    Row::refused("page", &[], ""),
    Row::refused("proportion", &[], "natively `width` with `dpr`"),
    Row::refused("raw", &[], "natively a URL without parameters"),
    Row::refused("redeye", &["red_eye"], ""),
    Row::refused("rgb", &[], ""),
    Row::refused("round_corner", &["round_corners"], ""),
    Row::refused("text", &[], ""),
    Row::refused("to_colorspace", &[], "colours are always converted to sRGB"),
    Row::refused("trim", &[], "as a part of the path"),
    Row::read("watermark", &[], "an overlay or its file, x, y, alpha, and shares of the sides in percent",
        "`overlay`; it comes behind the filters that change the picture, and without a canvas", draft::watermark),
];

/// The reader of a part, which its place in the path reads.
fn ignore(_: &mut Draft, _: &str, _: &str) -> Result<(), crate::dialect::Error> {
    Ok(())
}

fn is_zero(value: &str) -> bool {
    number(value.trim()) == Some(0.0)
}
