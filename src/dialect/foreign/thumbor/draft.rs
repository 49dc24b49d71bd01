//! The values of a URL in thumbor's own terms, and the readers of filters.

use super::Flavour;
use crate::dialect::Error;
use crate::dialect::foreign::meaning::{invalid, unsupported};
use crate::dialect::foreign::values::{hex_colour, named_colour, number, whole};
use crate::dialect::foreign::watermark::Watermark;

/// A side of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Side {
    /// It follows from the other.
    #[default]
    None,
    Pixels(u32),
    Original,
}

/// How the picture fits the sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FitIn {
    /// It covers them.
    #[default]
    Off,
    On,
    Full,
}

/// The parts of a path and its filters.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) flavour: Flavour,
    /// The tolerance, 0 to 255.
    pub(super) trim: Option<u32>,
    /// Native `rect`.
    pub(super) rect: Option<String>,
    pub(super) fit_in: FitIn,
    pub(super) stretch: bool,
    pub(super) width: Side,
    pub(super) height: Side,
    /// Horizontally and vertically.
    pub(super) flip: [bool; 2],
    /// Top, right, bottom and left.
    pub(super) padding: Option<[u32; 4]>,
    /// 0 is left, 1 the centre, 2 right.
    pub(super) across: Option<u8>,
    /// 0 is top, 1 the middle, 2 bottom.
    pub(super) down: Option<u8>,
    pub(super) smart: bool,
    pub(super) format: Option<&'static str>,
    pub(super) quality: Option<u32>,
    pub(super) fill: Option<Fill>,
    pub(super) background: Option<[u8; 4]>,
    pub(super) no_upscale: bool,
    /// Whether `upscale` comes, and comes before `fill`.
    pub(super) upscale: bool,
    /// Quarter turns, clockwise.
    pub(super) turns: u8,
    pub(super) blur: Option<f64>,
    pub(super) sharpen: Option<f64>,
    /// From the left and from the top.
    pub(super) focal: Option<[f64; 2]>,
    pub(super) greyscale: bool,
    /// Its overlay as the URL names it.
    pub(super) watermark: Option<Watermark>,
    /// In unix seconds.
    pub(super) expires: Option<u64>,
    /// Empty for the name of the original.
    pub(super) attachment: Option<String>,
}

/// The filter `fill`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fill {
    pub(super) colour: [u8; 4],
    /// Whether it is also behind transparent pixels.
    pub(super) behind: bool,
    /// The filter before it that a canvas of native URLs would come before.
    pub(super) after: Option<&'static str>,
}

pub(super) fn format(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    draft.format = Some(match value.to_ascii_lowercase().as_str() {
        "jpeg" | "jpg" => "jpeg",
        "png" => "png",
        "gif" => "gif",
        "webp" => "webp",
        "avif" => "avif",
        _ => return Err(invalid(name, value, "jpeg, jpg, png, gif, webp or avif")),
    });
    Ok(())
}

pub(super) fn quality(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let quality = whole(value).filter(|quality| (1..=100).contains(quality));
    draft.quality = Some(quality.ok_or_else(|| invalid(name, value, "1 to 100"))?);
    Ok(())
}

pub(super) fn fill(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let (colour, behind) = value.split_once(',').unwrap_or((value, ""));
    let behind = match behind.trim() {
        "" | "0" | "false" | "False" => draft.flavour == Flavour::Imagor,
        "1" | "true" | "True" => true,
        other => return Err(invalid(name, other, "true or false")),
    };
    let after = match () {
        () if draft.greyscale => Some("grayscale"),
        () if draft.turns % 2 == 1 => Some("rotate"),
        () => None,
    };
    once(name, value, draft.fill.is_some())?;
    draft.fill = Some(Fill { colour: colour_of(name, colour.trim())?, behind, after });
    Ok(())
}

pub(super) fn background_color(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    once(name, value, draft.background.is_some())?;
    let colour = colour_of(name, value)?;
    if draft.greyscale && !is_grey(colour) {
        return Err(invalid(name, value, "before grayscale, or a grey"));
    }
    draft.background = Some(colour);
    Ok(())
}

/// Whether a colour is its own shade of grey: native URLs have no other colour around a grey picture.
pub(super) fn is_grey([r, g, b, _]: [u8; 4]) -> bool {
    r == g && g == b
}

fn colour_of(name: &str, text: &str) -> Result<[u8; 4], Error> {
    if matches!(text, "auto" | "blur") {
        return Err(unsupported(&format!("{name}({text})"), text, Some("natively `canvas` with a colour")));
    }
    let colour = if text == "none" { Some([0; 4]) } else { named_colour(text).or_else(|| hex_colour(text)) };
    colour.ok_or_else(|| invalid(name, text, "a CSS name, or hexadecimal digits without #"))
}

/// Filters run one after the other, so that the second of two equal ones has its own effect.
fn once(name: &str, value: &str, is_repeated: bool) -> Result<(), Error> {
    if is_repeated { Err(invalid(name, value, "it may be given only once")) } else { Ok(()) }
}

pub(super) fn no_upscale(draft: &mut Draft, _: &str, _: &str) -> Result<(), Error> {
    draft.no_upscale = true;
    Ok(())
}

pub(super) fn upscale(draft: &mut Draft, _: &str, _: &str) -> Result<(), Error> {
    // on thumbor's canvas, which has the requested size already, it has no effect
    draft.upscale |= draft.fill.is_none() || draft.flavour == Flavour::Imagor;
    Ok(())
}

pub(super) fn stretch(draft: &mut Draft, _: &str, _: &str) -> Result<(), Error> {
    draft.stretch = true;
    Ok(())
}

pub(super) fn rotate(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let degrees = value.trim().parse::<i32>().ok().filter(|degrees| degrees % 90 == 0);
    let degrees = degrees.ok_or_else(|| invalid(name, value, "a multiple of 90"))?;
    let clockwise = 4 - (degrees / 90).rem_euclid(4) as u8;
    draft.turns = (draft.turns + clockwise) % 4;
    Ok(())
}

pub(super) fn blur(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    once(name, value, draft.blur.is_some())?;
    let (radius, sigma) = value.split_once(',').unwrap_or((value, "0"));
    let amount = |text: &str| {
        let amount = number(text.trim()).filter(|amount| *amount >= 0.0);
        amount.ok_or_else(|| invalid(name, text, "a radius, and a sigma"))
    };
    let (radius, sigma) = (amount(radius)?, amount(sigma)?);
    draft.blur = Some(if sigma > 0.0 { sigma } else { radius });
    Ok(())
}

pub(super) fn sharpen(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    once(name, value, draft.sharpen.is_some())?;
    let text = value.split(',').next().unwrap_or_default().trim();
    draft.sharpen = Some(number(text).ok_or_else(|| invalid(name, value, "an amount of 0 to 10"))?);
    Ok(())
}

pub(super) fn focal(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    once(name, value, draft.focal.is_some())?;
    let wrong = || invalid(name, value, "AxB:CxD or X,Y, all from 0 to 1; natively `position`");
    let shares: Option<Vec<f64>> = value.split(['x', ':', ',']).map(|text| number(text.trim())).collect();
    let shares = shares.ok_or_else(wrong)?;
    if shares.iter().any(|share| !(0.0..=1.0).contains(share)) {
        return Err(wrong());
    }
    draft.focal = Some(match shares[..] {
        [left, top, right, bottom] if left < right && top < bottom => [(left + right) / 2.0, (top + bottom) / 2.0],
        [x, y] if x < 1.0 && y < 1.0 => [x, y],
        _ => return Err(wrong()),
    });
    Ok(())
}

pub(super) fn grayscale(draft: &mut Draft, _: &str, _: &str) -> Result<(), Error> {
    draft.greyscale = true;
    Ok(())
}

pub(super) fn watermark(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let wrong = || invalid(name, value, "image,x,y,alpha and the shares of width and height in percent");
    once(name, value, draft.watermark.is_some())?;
    let arguments: Vec<&str> = value.split(',').map(str::trim).collect();
    let (&[image, x, y, alpha], shares) = arguments.split_first_chunk().ok_or_else(wrong)?;
    let alpha = number(alpha).filter(|alpha| (0.0..=100.0).contains(alpha)).ok_or_else(wrong)?;
    let share = |at: usize| match shares.get(at).copied() {
        None | Some("none" | "") => Ok(None),
        Some(text) => {
            let percent = number(text).filter(|percent| (1.0..=100.0).contains(percent));
            percent.map(|percent| Some(percent / 100.0)).ok_or_else(wrong)
        }
    };
    let scale = match (share(0)?, share(1)?) {
        _ if shares.len() > 2 => return Err(wrong()),
        (None, None) => None,
        (width, height) => Some([width.unwrap_or(1.0), height.unwrap_or(1.0)]),
    };
    let (position, offset) = watermark_place(x, y).ok_or_else(wrong)?;
    let option = ("watermark", value.to_owned());
    draft.watermark =
        Some(Watermark { option, overlay: image.into(), position, offset, opacity: 100.0 - alpha, scale });
    Ok(())
}

/// The native position of a watermark, and its distance from there; `None` where there is none.
fn watermark_place(x: &str, y: &str) -> Option<(String, [f64; 2])> {
    if (x, y) == ("repeat", "repeat") {
        return Some(("repeat".into(), [0.0; 2]));
    }
    // 0 is left or top, 1 right or bottom
    let along = |text: &str, near: &str, far: &str| -> Option<(f64, f64)> {
        match text {
            "center" => return Some((0.5, 0.0)),
            _ if text == near => return Some((0.0, 0.0)),
            _ if text == far => return Some((1.0, 0.0)),
            _ => {}
        }
        let at = if text.starts_with('-') { 1.0 } else { 0.0 };
        let distance = match text.strip_suffix('p') {
            Some(percent) => number(percent).map(|percent| percent.abs() / 100.0).filter(|share| *share < 1.0)?,
            None => f64::from(whole(text.strip_prefix('-').unwrap_or(text))?),
        };
        Some((at, distance))
    };
    let ((left, x), (top, y)) = (along(x, "left", "right")?, along(y, "top", "bottom")?);
    Some((format!("{left}x{top}"), [x, y]))
}

pub(super) fn expire(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    let is_plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let milliseconds = is_plain.then(|| value.parse::<u64>().ok()).flatten();
    draft.expires = Some(milliseconds.ok_or_else(|| invalid(name, value, "unix milliseconds"))? / 1000);
    Ok(())
}

pub(super) fn attachment(draft: &mut Draft, _: &str, value: &str) -> Result<(), Error> {
    draft.attachment = Some(value.to_owned());
    Ok(())
}
