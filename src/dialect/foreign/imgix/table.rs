//! One row for each option of imgix, after its `imgix-url-params`; those that are refused alike share a row.

use std::sync::LazyLock;

use super::draft::{
    Draft, Fit, half_turn, image_format, number_in, orientation, ratio, shares_or_pixels, side, switch,
};
use super::{families, mark, words};
use crate::dialect::Error;
use crate::dialect::foreign::meaning::invalid;
use crate::dialect::foreign::options::{ForeignOption, Index};
use crate::dialect::foreign::values::{argb_colour, named_colour, number, show_colour, whole};

type Row = ForeignOption<Draft>;

const COLOUR: &str = "hex of 3, 4, 6 or 8 digits, where alpha is in front, or a CSS colour name";

/// The rows of [`OPTIONS`] by name.
pub(super) static INDEX: LazyLock<Index<Draft>> = LazyLock::new(|| Index::new(OPTIONS));

pub(super) const OPTIONS: &[Row] = &[
    Row::read("w", &["width"], "pixels, above 1", "`width`", |draft, name, value| {
        side(name, value).map(|side| draft.width = Some(side))
    }),
    Row::read("h", &["height"], "pixels, above 1", "`height`", |draft, name, value| {
        side(name, value).map(|side| draft.height = Some(side))
    }),
    Row::read("dpr", &[], "above 0, up to 5", "factor of `w` and `h`", |draft, name, value| {
        let dpr = number(value).filter(|&dpr| dpr > 0.0 && dpr <= 5.0);
        draft.dpr = Some(dpr.ok_or_else(|| invalid(name, value, "a number above 0, up to 5"))?);
        Ok(())
    }),
    Row::read(
        "fit",
        &["f"],
        "clip, max, min, crop, scale, fill or fillmax",
        "`fit`; clip, crop, scale and fill with `enlarge`",
        |draft, name, value| Fit::parse(name, value).map(|fit| draft.fit = fit),
    ),
    Row::read("ar", &[], "W:H", "`aspect_ratio`, with `fit=crop` and one side or none", |draft, name, value| {
        ratio(name, value).map(|ratio| draft.ratio = Some(ratio))
    }),
    Row::read(
        "crop",
        &[],
        "top, bottom, left, right, focalpoint, faces, entropy or edges",
        "`position`, with `fit=crop` and `fit=min`; faces, entropy and edges are smart",
        |draft, _, value| keep(&mut draft.crop, value),
    ),
    Row::read("fp-x", &[], "0 to 1", "`position`, with `crop=focalpoint`", |draft, name, value| {
        number_in(name, value, 0.0, 1.0).map(|x| draft.focal_point.0 = x)
    }),
    Row::read("fp-y", &[], "0 to 1", "`position`, with `crop=focalpoint`", |draft, name, value| {
        number_in(name, value, 0.0, 1.0).map(|y| draft.focal_point.1 = y)
    }),
    Row::refused_unless("fp-z", &[], "1", "", |value| value.is_empty() || number(value) == Some(1.0)),
    Row::read("rect", &[], "x,y,w,h in pixels, or in shares such as 0.25", "`rect`", |draft, name, value| {
        shares_or_pixels(name, value).map(|rect| draft.rect = Some(rect))
    }),
    Row::read(
        "auto",
        &[],
        "format, compress, enhance, redeye or true",
        "`format=auto`, `quality=45`; retouching is not done",
        |draft, name, value| {
            for word in words(value) {
                match word {
                    "format" => draft.negotiates = true,
                    "compress" => draft.compresses = true,
                    "enhance" | "redeye" | "true" | "" => {}
                    _ => return Err(invalid(name, value, "a list of format, compress, enhance and redeye")),
                }
            }
            Ok(())
        },
    ),
    Row::read("fm", &[], "jpg, pjpg, png, png8, png32, webp, avif or gif", "`format`", |draft, name, value| {
        image_format(name, value).map(|format| draft.format = Some(format))
    }),
    Row::read("q", &[], "an integer from 1 to 100", "`quality`", |draft, name, value| {
        let quality = whole(value).filter(|quality| (1..=100).contains(quality));
        draft.quality = Some(quality.ok_or_else(|| invalid(name, value, "an integer from 1 to 100"))?);
        Ok(())
    }),
    Row::read("lossless", &[], "1, true, 0 or false", "`lossless`, with `fm=webp`", |draft, name, value| {
        switch(name, value).map(|on| draft.is_lossless = on)
    }),
    Row::read("bg", &[], COLOUR, "`background`", |draft, name, value| {
        colour(name, value).map(|colour| draft.background = Some(colour))
    }),
    Row::read("fill-color", &["fillcolor"], COLOUR, "`background` where there is no `bg`", |draft, name, value| {
        colour(name, value).map(|colour| draft.fill_colour = Some(colour))
    }),
    Row::read("fill", &[], "solid", "of `fit=fill` and `fit=fillmax`", |draft, _, value| keep(&mut draft.fill, value)),
    Row::read("flip", &[], "h, v or hv", "`flip`", |draft, name, value| match value {
        "h" | "v" | "hv" => keep(&mut draft.flip, value),
        _ => Err(invalid(name, value, "h, v or hv")),
    }),
    Row::read("rot", &[], "0 or 180", "`rotate`", |draft, name, value| {
        half_turn(name, value).map(|is_turned| draft.is_turned = is_turned)
    }),
    Row::read("orient", &["or"], "0 to 8, 90, 180 or 270", "`orient`", |draft, name, value| {
        orientation(name, value).map(|orientation| draft.orientation = Some(orientation))
    }),
    Row::read("blur", &[], "0 to 2000", "`blur` of a twentieth, approximately", |draft, name, value| {
        number_in(name, value, 0.0, 2000.0).map(|blur| draft.blur = blur)
    }),
    Row::read("sharp", &[], "0 to 100", "`sharpen` of a tenth, approximately", |draft, name, value| {
        number_in(name, value, 0.0, 100.0).map(|sharpness| draft.sharpness = sharpness)
    }),
    Row::read("trim", &[], "auto", "`trim`, approximately", |draft, name, value| match value {
        "auto" => {
            draft.trims = true;
            Ok(())
        }
        _ => Err(invalid(name, value, "auto; native URLs have `trim` with a tolerance")),
    }),
    Row::read("px", &[], "an integer from 0 to 100", "`pixelate`", |draft, name, value| {
        let side = whole(value).filter(|&side| side <= 100);
        draft.blocks = side.ok_or_else(|| invalid(name, value, "an integer from 0 to 100"))?;
        Ok(())
    }),
    Row::read("sat", &[], "0 or -100", "-100 is `greyscale`", |draft, name, value| match number(value) {
        Some(-100.0) => {
            draft.is_grey = true;
            Ok(())
        }
        Some(0.0) => Ok(()),
        _ => Err(invalid(name, value, "0 or -100; native URLs have `saturation`, a factor")),
    }),
    Row::read("dl", &[], "a file name", "`download`", |draft, _, value| keep(&mut draft.download, value)),
    Row::read("expires", &[], "unix seconds", "`expires`", |draft, name, value| {
        let is_plain = whole(value).is_some();
        let expires = value.parse().ok().filter(|_| is_plain);
        draft.expires = Some(expires.ok_or_else(|| invalid(name, value, "unix seconds"))?);
        Ok(())
    }),
    Row::ignored("s", &[], "the signature, where URLs are signed"),
    Row::ignored("ixlib", &[], "the name of a library"),
    Row::ignored("ixid", &[], "for imgix's own statistics"),
    Row::ignored("ch", &[], "client hints are for native `width=auto`, where no width is stated"),
    Row::ignored("cs", &[], "colours are always converted to sRGB"),
    Row::ignored("iptc", &[], "metadata"),
    Row::ignored("dpi", &[], "metadata"),
    Row::ignored("chromasub", &[], "the encoder chooses"),
    Row::ignored("colorquant", &[], "the encoder chooses"),
    Row::ignored("jpg-progressive", &["jpeg-progressive"], "the encoder chooses"),
    Row::ignored("gif-q", &[], "the encoder chooses"),
    Row::ignored("svg-sanitize", &[], "an SVG original is sent with a strict Content-Security-Policy"),
    Row::ignored("faces", &[], "part of a JSON description of imgix"),
    // the sizes of other pictures, and those that depend on the original
    refused("max-w", &["max-width", "max-h", "max-height", "min-w", "min-width", "min-h", "min-height"], ""),
    refused("facepad", &["faceindex", "face-blur", "face-pixel", "face-pixelate"], ""),
    refused("fp-debug", &[], ""),
    refused("rot-type", &["rottype", "rott"], ""),
    refused("trim-tol", families::TRIM, "native URLs have `trim` with a tolerance"),
    refused("pad", &["pad-top", "pad-right", "pad-bottom", "pad-left"], "native URLs have `padding`"),
    refused("border", families::BORDER, ""),
    refused("fill-gen-prompt", families::FILL, ""),
    refused("bg-remove", families::BACKGROUND, ""),
    refused("bri", &["con", "gam"], "native URLs have `brightness`, `contrast` and `gamma`, which are factors"),
    refused(
        "exp",
        &["high", "shad", "hue", "vib", "htn", "sepia", "monochrome", "mono", "duotone", "duotone-alpha"],
        "",
    ),
    refused("invert", &["inv"], ""),
    refused("usm", &["usmrad"], "native URLs have `sharpen`"),
    refused("nr", &["nrs"], ""),
    refused("mask", &["mask-bg", "maskbg"], ""),
    Row::read("mark", &["m"], "an overlay of the settings or the name of its file", "`overlay`", |draft, _, value| {
        keep(&mut draft.mark.picture, value)
    }),
    Row::read(
        "mark-align",
        &["markalign", "ma"],
        "top, middle, bottom, left, center and right",
        "`overlay_position`",
        mark::align,
    ),
    Row::read("mark-alpha", &["markalpha", "malph"], "0 to 100", "`overlay_opacity`", mark::alpha),
    Row::read("mark-pad", &["markpad", "mp"], "pixels; 10 without it", "`overlay_offset`", mark::pad),
    Row::read("mark-scale", &["markscale", "ms"], "1 to 100", "`overlay_scale`", mark::scale),
    Row::read("mark-w", &["markw", "mw"], "0.01 to 1", "`overlay_scale`", mark::width),
    Row::read("mark-h", &["markh", "mh"], "0.01 to 1", "`overlay_scale`", mark::height),
    refused("mark-base", families::WATERMARK, ""),
    refused("blend", families::BLEND, ""),
    refused("txt", families::TEXT, ""),
    refused("upscale", &["upscale-fallback"], "native URLs have `enlarge`"),
    refused(
        "object-removal-rect",
        &[
            "object-removal-prompt",
            "object-removal-negative-prompt",
            "object-removal-seed",
            "lp-blur",
            "license-plate-blur",
        ],
        "",
    ),
    refused("palette", &["colors", "prefix"], ""),
    refused("transparency", &["grid-colors", "grid-size"], ""),
    refused("page", &["pdf-annotation", "annotation", "rasterize-bypass"], ""),
    refused("frame", families::ANIMATION, "native URLs have `animated=false`, the first frame"),
];

/// A row of options that are refused but for the values that switch them off.
const fn refused(name: &'static str, aliases: &'static [&'static str], about: &'static str) -> Row {
    Row::refused_unless(name, aliases, "0, false or empty", about, |value| {
        matches!(value, "" | "false") || number(value) == Some(0.0)
    })
}

/// Keeps a text.
fn keep(field: &mut Option<String>, value: &str) -> Result<(), Error> {
    *field = Some(value.to_owned());
    Ok(())
}

/// A colour as native parameters have it.
fn colour(name: &str, value: &str) -> Result<String, Error> {
    let colour = argb_colour(value).or_else(|| named_colour(value));
    colour.map(show_colour).ok_or_else(|| invalid(name, value, COLOUR))
}
