//! `format=json`: the facts of an original, and placeholders to show until it has loaded.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use tintype_codecs::{Codec, EncodeInput, PictureData, PictureKind};
use tintype_pixels::{Error, Format, Frame, Info, Pixels, Result, Size};

use crate::encoded::{Content, Encoded};
use crate::recipe::{Output, Quality, Recipe};
use crate::viewport::THUMBNAIL_SIDE;
use crate::{ops, placeholder};

/// Pixels of the longest side of the placeholder: about 300 bytes, which the page blurs.
const PLACEHOLDER_SIDE: u32 = 16;

/// Describes an original by a picture that was made of it.
pub(crate) fn describe(
    original: &[u8], info: &Info, kind: PictureKind, picture: &Pixels, damaged: bool,
) -> Result<Encoded> {
    let size = info.displayed();
    let thumbnail = &*thumbnail_of(picture)?;
    let [r, g, b] = placeholder::dominant_color(thumbnail);
    let mut json = serde_json::json!({
        "format": info.format.name(),
        "width": size.width,
        "height": size.height,
        "frames": info.frames,
        "orientation": info.orientation.to_exif(),
        "has_alpha": info.has_alpha,
        "kind": kind.name(),
        "profile": info.profile_name,
        "bytes": original.len(),
        "dominant_color": format!("#{r:02x}{g:02x}{b:02x}"),
        "thumbhash": STANDARD.encode(placeholder::thumbhash(thumbnail)),
        "blurhash": placeholder::blurhash(thumbnail),
        "placeholder": data_uri(thumbnail)?,
    });
    if damaged {
        json["damaged"] = true.into();
    }
    Ok(Encoded { bytes: json.to_string().into_bytes(), content: Content::Json, damaged, kind: Some(kind) })
}

/// The picture that placeholders are computed from.
pub(crate) fn thumbnail_of(picture: &Pixels) -> Result<Cow<'_, Pixels>> {
    match picture.size.width.max(picture.size.height) <= THUMBNAIL_SIDE {
        true => Ok(Cow::Borrowed(picture)),
        false => ops::resize::thumbnail(picture, THUMBNAIL_SIDE).map(Cow::Owned),
    }
}

/// A tiny PNG as a URI.
fn data_uri(thumbnail: &Pixels) -> Result<String> {
    let pixels = ops::resize::thumbnail(thumbnail, PLACEHOLDER_SIDE)?;
    let picture = EncodeInput {
        lossless: true,
        ..EncodeInput::new(PictureData::Frames(vec![Frame { pixels, delay: 0 }]), 100.0)
    };
    Ok(format!(
        "data:image/png;base64,{}",
        STANDARD.encode(tintype_codecs::of(Format::Png).encode(&picture, &mut || true)?)
    ))
}

/// Describes an SVG: its type, and its size where it states one in pixels.
pub(crate) fn describe_svg(original: &[u8]) -> Result<Encoded> {
    let text = std::str::from_utf8(original).map_err(|_| Error::malformed(Format::Svg, "it is no text in UTF-8"))?;
    let size = svg_size(text);
    let json = serde_json::json!({
        "format": Format::Svg.name(),
        "width": size.map(|size| size.width),
        "height": size.map(|size| size.height),
        "frames": 1,
        "orientation": 1,
        "has_alpha": true,
        "profile": null,
        "bytes": original.len(),
    });
    Ok(Encoded::whole(json.to_string().into_bytes(), Content::Json))
}

/// The `width` and `height` of the outermost element, or what its `viewBox` says of those that are absent or relative (SVG 2
/// §8.2).
pub(crate) fn svg_size(text: &str) -> Option<Size> {
    let start = text.find("<svg").or_else(|| text.find(":svg"))?;
    let tag = &text[start..start + text[start..].find('>')?];
    let whole = |length: f64| (0.5..1e9).contains(&length).then_some(length.round() as u32);
    let length = |name| pixels(attribute(tag, name)?);
    let view_box = attribute(tag, "viewBox").and_then(view_box);
    let (width, height) = match (length("width"), length("height"), view_box) {
        (Some(width), Some(height), _) => (width, height),
        // one side gives the other
        (Some(width), None, Some((w, h))) => (width, width * h / w),
        (None, Some(height), Some((w, h))) => (height * w / h, height),
        (None, None, Some(sides)) => sides,
        (_, _, None) => return None,
    };
    Some(Size::new(whole(width)?, whole(height)?))
}

/// A length in CSS pixels, of which an inch has 96 (CSS Values 4 §6.2); `None` where it depends on what is around it.
fn pixels(length: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 7] = [
        ("px", 1.0),
        ("in", 96.0),
        ("cm", 96.0 / 2.54),
        ("mm", 9.6 / 2.54),
        ("q", 2.4 / 2.54),
        ("pt", 4.0 / 3.0),
        ("pc", 16.0),
    ];
    let length = length.trim().to_ascii_lowercase();
    let unit = UNITS.iter().find_map(|&(unit, pixels)| Some((length.strip_suffix(unit)?, pixels)));
    let (number, pixels) = unit.unwrap_or((&length, 1.0));
    let number: f64 = number.trim_end().parse().ok()?;
    (number.is_finite() && number > 0.0).then_some(number * pixels)
}

/// The columns and rows of a `viewBox`.
fn view_box(text: &str) -> Option<(f64, f64)> {
    let parts = text.split(|c: char| c.is_whitespace() || c == ',').filter(|part| !part.is_empty());
    let numbers: Vec<f64> = parts.map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let &[_, _, width, height] = numbers.as_slice() else { return None };
    let is_length = |length: f64| length.is_finite() && length > 0.0;
    (is_length(width) && is_length(height)).then_some((width, height))
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let found = tag.match_indices(name).find(|&(at, _)| {
        let before = tag[..at].chars().next_back();
        let after = tag[at + name.len()..].trim_start();
        before.is_some_and(char::is_whitespace) && after.starts_with('=')
    });
    let value = tag[found?.0 + name.len()..].trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    value[1..].split(quote).next()
}

impl Recipe {
    /// The recipe of a description, which does not depend on other parameters.
    pub fn description() -> Recipe {
        Recipe::new(Output::Json, Quality::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn svg_sizes() {
        let check = |svg: &str, expected: Option<(u32, u32)>| {
            assert_eq!(svg_size(svg).map(|size| (size.width, size.height)), expected, "{svg}");
        };
        check("<svg width='10' height=\"20\">", Some((10, 20)));
        check("<?xml version='1.0'?><svg height = '20px' width='10.4px' viewBox='0 0 1 1'/>", Some((10, 20)));
        check("<svg viewBox='0 0 300,150'/>", Some((300, 150)));
        check("<svg width='100%' height='50%' viewBox='0 0 30 15'/>", Some((30, 15)));
        check("<svg width='100' viewBox='0 0 10 20'/>", Some((100, 200)));
        check("<svg width='auto' height='100' viewBox='0 0 10 20'/>", Some((50, 100)));
        check("<svg width='10in' height='25.4MM'/>", Some((960, 96)));
        check("<svg width='3pc' height='12 pt'/>", Some((48, 16)));
        check("<svg width='3em' height='12pt'/>", None);
        check("<svg viewBox='0 0 0 10'/>", None);
        check("<svg stroke-width='3'/>", None);
        check("<svg width='1e999' height='-1'/>", None);
        check("<svg width=", None);
    }
}
