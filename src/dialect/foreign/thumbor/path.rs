//! The grammar of a path: parts in a fixed order, each optional, and the image.

use super::Flavour;
use super::draft::{Draft, FitIn, Side};
use super::table::{FILTERS, INDEX};
use crate::dialect::Error;
use crate::dialect::foreign::meaning::{invalid, unsupported};
use crate::dialect::foreign::options;
use crate::dialect::foreign::values::{number, percent_decode, show, whole};

/// The rest of a path, from which parts are taken.
struct Parts<'a>(&'a str);

impl<'a> Parts<'a> {
    /// Takes the next segment if `read` understands it and another one follows.
    fn take<T>(&mut self, read: impl FnOnce(&'a str) -> Option<T>) -> Option<T> {
        let (segment, rest) = self.0.split_once('/').filter(|(_, rest)| !rest.is_empty())?;
        let value = read(segment)?;
        self.0 = rest;
        Some(value)
    }

    fn take_word(&mut self, words: [&str; 3]) -> Option<u8> {
        self.take(|segment| words.iter().position(|word| *word == segment)).map(|at| at as u8)
    }

    fn take_flag(&mut self, word: &str) -> bool {
        self.take(|segment| (segment == word).then_some(())).is_some()
    }
}

/// The draft and the image of a path behind its signature, without a slash in front.
pub(super) fn read(path: &str, flavour: Flavour) -> Result<(Draft, &str), Error> {
    let mut draft = Draft { flavour, ..Draft::default() };
    let mut parts = Parts(path);
    for (word, instead) in [("debug", None), ("meta", Some("natively `format=json`"))] {
        if parts.take_flag(word) {
            return Err(unsupported(word, "", instead));
        }
    }
    draft.trim = parts.take(trim).transpose()?;
    if let Some(edges) = parts.take(edges) {
        draft.rect = rect(edges, flavour)?;
    }
    if let Some(fit_in) = parts.take(fit_in) {
        draft.fit_in = fit_in?;
    }
    draft.stretch = parts.take_flag("stretch");
    if let Some([(flip_x, width), (flip_y, height)]) = parts.take(sides) {
        (draft.flip, draft.width, draft.height) = ([flip_x, flip_y], width, height);
    }
    draft.padding = parts.take(padding);
    draft.across = parts.take_word(["left", "center", "right"]);
    draft.down = parts.take_word(["top", "middle", "bottom"]);
    draft.smart = parts.take_flag("smart");
    read_filters(&mut draft, &mut parts)?;
    Ok((draft, parts.0))
}

/// `trim`, a corner and a tolerance: the levels.
fn trim(segment: &str) -> Option<Result<u32, Error>> {
    let rest = segment.strip_prefix("trim")?;
    if rest.starts_with(":bottom-right") {
        return Some(Err(invalid("trim", rest, "top-left: the colour of the last pixel is not looked at")));
    }
    let rest = rest.strip_prefix(":top-left").unwrap_or(rest);
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Some(Ok(0)),
        None => None,
        Some(levels) => whole(levels).map(Ok),
    }
}

/// `AxB:CxD`: the texts of left, top, right and bottom.
fn edges(segment: &str) -> Option<[&str; 4]> {
    let (start, end) = segment.split_once(':')?;
    let ((left, top), (right, bottom)) = (start.split_once('x')?, end.split_once('x')?);
    let is_plain = |text: &str| number(text).is_some() && !text.starts_with(['-', '+']);
    let edges = [left, top, right, bottom];
    edges.into_iter().all(is_plain).then_some(edges)
}

/// Native `rect`; `None` where there is no area.
fn rect(edges: [&str; 4], flavour: Flavour) -> Result<Option<String>, Error> {
    let shown = || format!("{}x{}:{}x{}", edges[0], edges[1], edges[2], edges[3]);
    let shares = edges.map(|edge| number(edge).unwrap_or_default());
    // imagor reads 0x0:1x1 as all, thumbor as a pixel
    let are_shares = shares[0] < 1.0 && shares[1] < 1.0 && shares[2] <= 1.0 && shares[3] <= 1.0;
    if let ([Some(left), Some(top), Some(right), Some(bottom)], false) =
        (edges.map(whole), are_shares && flavour == Flavour::Imagor)
    {
        let has_area = left < right && top < bottom;
        return Ok(has_area.then(|| format!("{left},{top},{},{}", right - left, bottom - top)));
    }
    if !are_shares || flavour != Flavour::Imagor {
        return Err(invalid("crop", &shown(), "whole pixels; shares from 0 to 1 with `flavour = \"imagor\"`"));
    }
    let [left, top, right, bottom] = shares;
    let percent = |share: f64| format!("{}p", show(share * 100.0));
    let has_area = left < right && top < bottom;
    Ok(has_area.then(|| [left, top, right - left, bottom - top].map(percent).join(",")))
}

fn fit_in(segment: &str) -> Option<Result<FitIn, Error>> {
    Some(match segment {
        "fit-in" => Ok(FitIn::On),
        "full-fit-in" => Ok(FitIn::Full),
        "adaptive-fit-in" | "adaptive-full-fit-in" => {
            Err(unsupported(segment, "", Some("natively `fit=contain` with the sides as you need them")))
        }
        _ => return None,
    })
}

/// `-Wx-H`: for each side whether there is a minus, and its length.
fn sides(segment: &str) -> Option<[(bool, Side); 2]> {
    let side = |text: &str| -> Option<(bool, Side)> {
        let length = text.strip_prefix('-').unwrap_or(text);
        let side = match length {
            "" => Side::None,
            "orig" => Side::Original,
            digits => Side::Pixels(whole(digits)?),
        };
        Some((length.len() < text.len(), side))
    };
    let (width, height) = segment.split_once('x')?;
    Some([side(width)?, side(height)?])
}

/// `GxH:IxJ` or `GxH`: top, right, bottom and left.
fn padding(segment: &str) -> Option<[u32; 4]> {
    let (start, end) = segment.split_once(':').unwrap_or((segment, segment));
    let ((left, top), (right, bottom)) = (start.split_once('x')?, end.split_once('x')?);
    Some([whole(top)?, whole(right)?, whole(bottom)?, whole(left)?])
}

/// Reads `filters:a(…):b(…)/`, which ends where a bracket closes in front of a slash.
fn read_filters(draft: &mut Draft, parts: &mut Parts<'_>) -> Result<(), Error> {
    let Some(rest) = parts.0.strip_prefix("filters:") else { return Ok(()) };
    let ends = |text: &str| invalid("filters", text, "filters:name(arguments):… with a slash and an image behind it");
    let (text, image) = rest.split_once(")/").ok_or_else(|| ends(rest))?;
    parts.0 = image;
    let text = percent_decode(text).ok_or_else(|| ends(text))?;
    for filter in text.split("):").filter(|filter| !filter.is_empty()) {
        let (name, value) = filter.split_once('(').ok_or_else(|| ends(filter))?;
        if draft.watermark.is_some() && matches!(name, "blur" | "sharpen" | "grayscale" | "rotate" | "fill") {
            return Err(invalid(name, value, "before watermark, which it would change"));
        }
        match INDEX.find(name) {
            Some(option) => option.apply(draft, name, value)?,
            None => return Err(options::unknown(FILTERS, name, value)),
        }
    }
    Ok(())
}
