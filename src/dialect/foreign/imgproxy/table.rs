//! imgproxy's options, in the order of its documentation. Options of imgproxy Pro are rows, too, so that their refusal says so.

use std::sync::LazyLock;

use super::draft::Draft;
use super::readers;
use crate::dialect::foreign::options::{ForeignOption as Row, Index};

const WHOLE: &str = "a whole number; 0 for none";
const BOOLEAN: &str = "1, t or true; all else is false";
const GRAVITY: &str = "a side or a corner with x and y offset, sm, or fp with x and y from 0 to 1";
/// Limits protect this server, so no URL sets them.
const SERVER: &str = "limits are settings of this server";
const PRO: &str = "";
const VIDEO: &str = "videos are not read";

/// The rows of [`OPTIONS`] by name.
pub(super) static INDEX: LazyLock<Index<Draft>> = LazyLock::new(|| Index::new(OPTIONS));

/// Every option.
#[rustfmt::skip]
pub(super) const OPTIONS: &[Row<Draft>] = &[
    Row::read("resize", &["rs"], "type:width:height:enlarge:extend:gravity; each may be empty",
        "`fit` with `limit`, `width`, `height`, `enlarge`", readers::resize),
    Row::read("size", &["s"], "width:height:enlarge:extend:gravity; each may be empty",
        "`width`, `height`, `enlarge`", readers::size),
    Row::read("resizing_type", &["rt"], "fit, fill, fill-down, force or auto",
        "`fit`: contain, cover with `limit=sides`, cover, fill, auto", readers::resizing_type),
    Row::refused("resizing_algorithm", &["ra"], "there is one resampling filter"),
    Row::read("width", &["w"], WHOLE, "`width`", readers::width),
    Row::read("height", &["h"], WHOLE, "`height`", readers::height),
    Row::refused_unless("min-width", &["mw"], "0", "natively `fit=outside`", is_zero),
    Row::refused_unless("min-height", &["mh"], "0", "natively `fit=outside`", is_zero),
    Row::read("zoom", &["z"], "a number above 0, or the same twice", "multiplies `width` and `height`", readers::zoom),
    Row::read("dpr", &[], "0.1 to 5", "`dpr`", readers::dpr),
    Row::read("enlarge", &["el"], BOOLEAN, "`enlarge`", readers::enlarge),
    Row::read("extend", &["ex"], "a boolean, and a side or a corner with offsets",
        "`fit=pad` with `position` and `offset`; only with fit, width and height", readers::extend),
    Row::read("extend_aspect_ratio", &["extend_ar", "exar"], "a boolean, and a gravity",
        "refused where it would add something; natively `fit=pad`", readers::extend_ratio),
    Row::read("gravity", &["g"], GRAVITY, "`position` and `offset`", readers::gravity),
    Row::refused("objects_position", &["obj_pos", "op"], "natively `position=smart`"),
    Row::read("crop", &["c"], "width:height:gravity; below 1 a share, 0 for all", "`window`", readers::crop),
    Row::refused("crop_aspect_ratio", &["crop_ar", "car"], "natively `aspect_ratio`"),
    Row::read("trim", &["t"], "a threshold from 0, without colour and equal_hor", "`trim`, approximately", readers::trim),
    Row::read("padding", &["pd"], "top:right:bottom:left; each may be empty", "`padding`", readers::padding),
    Row::read("auto_rotate", &["ar"], BOOLEAN, "false is `orient=1`", readers::auto_rotate),
    Row::read("rotate", &["rot"], "a multiple of 90", "`rotate`", readers::rotate),
    Row::read("flip", &["fl"], "horizontal:vertical, booleans", "`flip`", readers::flip),
    Row::read("background", &["bg"], "3 or 6 hexadecimal digits, R:G:B, or nothing for none", "`background`",
        readers::background),
    Row::refused("background_alpha", &["bga"], "natively the last two digits of `background`"),
    Row::refused("adjust", &["a"], "natively `brightness`, `contrast` and `saturation`, as factors"),
    Row::refused("brightness", &["br"], "natively `brightness`, a factor"),
    Row::refused("contrast", &["co"], "natively `contrast`, a factor"),
    Row::refused("saturation", &["sa"], "natively `saturation`, a factor"),
    Row::refused("monochrome", &["mc"], "natively `greyscale`"),
    Row::refused("duotone", &["dt"], PRO),
    Row::read("blur", &["bl"], "0 for none, or 0.3 to 100", "`blur`", readers::blur),
    Row::read("sharpen", &["sh"], "0 to 10", "`sharpen`, approximately", readers::sharpen),
    Row::read("pixelate", &["pix"], "0 to 1000; up to 1 for none", "`pixelate`", readers::pixelate),
    Row::refused("unsharp_masking", &["unsharp_mask", "ush"], "natively `sharpen`"),
    Row::refused("blur_areas", &["ba"], PRO),
    Row::refused("progressive_blur", &["pbl"], PRO),
    Row::refused("blur_detections", &["bd"], PRO),
    Row::refused("draw_detections", &["dd"], PRO),
    // its short name co is that of contrast, too
    Row::refused("crop_objects", &[], PRO),
    Row::refused("colorize", &["col"], PRO),
    Row::refused("gradient", &["gr"], PRO),
    Row::read("watermark", &["wm"], "an opacity of 0 to 1, a position, offsets x and y, a scale of 0.01 to 1",
        "`overlay`, the one that `dialects.imgproxy.watermark` names; without extend and padding", readers::watermark),
    Row::refused("watermark_url", &["wmu"], PRO),
    Row::refused("watermark_text", &["wmt"], PRO),
    Row::refused("watermark_size", &["wms"], PRO),
    Row::refused("watermark_rotate", &["wm_rot", "wmr"], PRO),
    Row::refused("watermark_shadow", &["wmsh"], PRO),
    Row::refused("style", &["st"], "a server that sends SVG originals does not change them"),
    Row::read("strip_metadata", &["sm"], BOOLEAN, "false is `metadata=keep`", readers::strip_metadata),
    Row::read("keep_copyright", &["kcr"], BOOLEAN, "`metadata=copyright`, else `none`", readers::keep_copyright),
    Row::refused("dpi", &[], PRO),
    Row::ignored("strip_color_profile", &["scp"], "colours are always converted to sRGB"),
    Row::ignored("preserve_hdr", &["ph"], "results have 8 bits in each channel"),
    Row::refused("color_profile", &["cp", "icc"], "colours are always converted to sRGB"),
    Row::ignored("enforce_thumbnail", &["eth"], "embedded thumbnails are never used"),
    Row::read("quality", &["q"], "1 to 100; 0 for the default", "`quality`", readers::quality),
    Row::read("format_quality", &["fq"], "pairs of format and quality, beside a format",
        "`quality` of the format that the URL names", readers::format_quality),
    Row::refused("autoquality", &["aq"], "natively `target`"),
    Row::refused_unless("max_bytes", &["mb"], "0", "one request is one encoding; natively `quality`", is_zero),
    Row::refused("jpeg_options", &["jpgo"], PRO),
    Row::refused("png_options", &["pngo"], PRO),
    Row::refused("webp_options", &["webpo"], PRO),
    Row::refused("avif_options", &["avifo"], PRO),
    Row::read("format", &["f", "ext"], readers::FORMATS, "`format`; the extension of the source wins", readers::format),
    Row::refused("page", &["pg"], PRO),
    Row::refused("pages", &["pgs"], PRO),
    Row::refused("disable_animation", &["da"], "natively `animated=false`"),
    Row::refused("video_thumbnail_second", &["vts"], VIDEO),
    Row::refused("video_thumbnail_keyframes", &["vtk"], VIDEO),
    Row::refused("video_thumbnail_tile", &["vtt"], VIDEO),
    Row::refused("video_thumbnail_animation", &["vta"], VIDEO),
    Row::refused("fallback_image_url", &["fiu"], PRO),
    Row::refused_unless("skip_processing", &["skp"], "svg", "natively a URL without parameters", is_svg),
    Row::read("raw", &[], BOOLEAN, "the untouched original", readers::raw),
    Row::read("cachebuster", &["cb"], "any text", "`v`", readers::cache_buster),
    Row::refused("bypass_cache", &["bc"], SERVER),
    Row::refused("cache_tags", &["ct"], PRO),
    Row::read("expires", &["exp"], "unix seconds; 0 for never", "`expires`", readers::expires),
    Row::read("filename", &["fn"], "a percent-encoded name; base64url with a second argument that is true",
        "`download`, beside return_attachment", readers::filename),
    Row::read("return_attachment", &["att"], BOOLEAN,
        "`download`, with the extension of the result", readers::attachment),
    Row::read("preset", &["pr"], "names of `dialects.imgproxy.presets`", "the options of the presets", |_, _, _| Ok(())),
    Row::refused("hashsum", &["hs"], PRO),
    Row::refused("max_src_resolution", &["msr"], SERVER),
    Row::refused("max_src_file_size", &["msfs"], SERVER),
    Row::refused("max_animation_frames", &["maf"], SERVER),
    Row::refused("max_animation_frame_resolution", &["mafr"], SERVER),
    Row::refused("max_result_dimension", &["mrd"], SERVER),
];

fn is_zero(value: &str) -> bool {
    value.is_empty() || crate::dialect::foreign::values::number(value) == Some(0.0)
}

fn is_svg(value: &str) -> bool {
    matches!(value, "" | "svg")
}
