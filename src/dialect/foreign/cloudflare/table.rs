//! Cloudflare's options, in the order of its documentation.

use std::sync::LazyLock;

use super::draft::{self, Draft};
use crate::dialect::foreign::options::{ForeignOption as Row, Index};

const FACTOR: &str = "a factor; 1 and 0 change nothing";
const SIDE: &str = "a whole number from 1";

/// The rows of [`OPTIONS`] by name.
pub(super) static INDEX: LazyLock<Index<Draft>> = LazyLock::new(|| Index::new(OPTIONS));

/// Every option.
#[rustfmt::skip]
pub(super) const OPTIONS: &[Row<Draft>] = &[
    Row::read("anim", &[], "true or false", "`animated`", draft::anim),
    Row::read("background", &[], "a CSS name, #hex, rgb() or rgba()", "`background`", draft::background),
    Row::read("blur", &[], "1 to 250", "`blur` of half of it, approximately", draft::blur),
    Row::refused("border", &["border.color", "border.width", "border.top", "border.right", "border.bottom", "border.left"],
        "natively `padding` with `canvas`"),
    Row::read("brightness", &[], FACTOR, "`brightness`", draft::brightness),
    Row::ignored("compression", &[], "a hint about speed"),
    Row::read("contrast", &[], FACTOR, "`contrast`", draft::contrast),
    Row::read("dpr", &[], "0.1 to 5", "multiplies `width`, `height` and `inset`", draft::dpr),
    Row::refused("draw", &[], ""),
    Row::read("fit", &[], draft::FITS, "`fit` with `enlarge` and `limit`", draft::fit),
    Row::read("flip", &[], "h, v or hv", "`flip`, before `rotate`", draft::flip),
    Row::read("format", &["f"], draft::FORMATS, "`format`; webp with quality 100 is `lossless`", draft::format),
    Row::read("gamma", &[], FACTOR, "`gamma`", draft::gamma),
    Row::read("gravity", &["g"], "auto, face, left, right, top, bottom, center or XxY from 0 to 1",
        "`position`; auto and face are `smart`", draft::gravity),
    Row::read("height", &["h"], SIDE, "`height`", draft::height),
    Row::read("metadata", &[], "copyright, keep or none", "`metadata`; copyright is the default", draft::metadata),
    Row::ignored("onerror", &[], "it matters to failures alone"),
    Row::refused("origin-auth", &[], "originals are this server's own"),
    Row::read("quality", &["q"], "1 to 100, high, medium-high, medium-low or low", "`quality`", draft::quality),
    Row::read("rotate", &[], "0, 90, 180 or 270", "`rotate`", draft::rotate),
    Row::read("saturation", &[], "a factor; 1 changes nothing", "`saturation`, and for 0 `greyscale`", draft::saturation),
    Row::refused("segment", &[], ""),
    Row::read("sharpen", &[], "0 to 10", "`sharpen`, approximately", draft::sharpen),
    Row::ignored("slow-connection-quality", &["scq"], "it lowers the quality for clients that say that they are slow"),
    Row::read("trim", &[], "top;right;bottom;left in pixels, or border", "`inset`, or `trim`", draft::trim),
    Row::refused("trim.width", &["trim.height", "trim.left", "trim.top"], "natively `rect`"),
    Row::refused("trim.border.color", &["trim.border.tolerance", "trim.border.keep"], "natively `trim` with a tolerance"),
    Row::refused("upscale", &[], "natively `enlarge`"),
    Row::read("width", &["w"], "a whole number from 1, or auto", "`width`; auto is that of the client hints", draft::width),
    Row::refused("zoom", &["face-zoom"], "natively `position=smart`"),
];
