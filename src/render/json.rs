//! `format=json`: what an original is, and what to show in its place until it has loaded.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::codec::{Codec, Info, Loops, Picture, Shown, png};
use super::error::{Error, Result};
use super::format::Format;
use super::geometry::Size;
use super::ops;
use super::pixels::{Frame, Pixels};
use super::recipe::{Output, Quality, Recipe};
use super::settings::Encoding;
use super::{Content, Encoded, placeholder};

/// The longest side of the ready-to-paste picture: about 300 bytes, blurred by whoever shows it.
const PLACEHOLDER_SIDE: u32 = 16;

/// Describes a picture, of which a thumbnail was made.
pub(crate) fn describe(original: &[u8], info: &Info, thumbnail: &Pixels) -> Result<Encoded> {
    let size = info.displayed();
    let [r, g, b] = placeholder::dominant_color(thumbnail);
    let json = serde_json::json!({
        "format": info.format.name(),
        "width": size.width,
        "height": size.height,
        "frames": info.frames,
        "orientation": info.orientation.to_exif(),
        "has_alpha": info.has_alpha,
        "profile": info.profile_name,
        "bytes": original.len(),
        "dominant_color": format!("#{r:02x}{g:02x}{b:02x}"),
        "thumbhash": STANDARD.encode(placeholder::thumbhash(thumbnail)),
        "blurhash": placeholder::blurhash(thumbnail),
        "placeholder": data_uri(thumbnail)?,
    });
    Ok(Encoded { bytes: json.to_string().into_bytes(), content: Content::Json })
}

/// A tiny PNG as a URI.
fn data_uri(thumbnail: &Pixels) -> Result<String> {
    let pixels = ops::thumbnail(thumbnail, PLACEHOLDER_SIDE)?;
    let picture = Picture {
        shown: Shown::Frames(vec![Frame { pixels, delay: 0 }]),
        loops: Loops::Forever,
        quality: 100.0,
        lossless: true,
        encoding: Encoding::default(),
        exif: None,
        profile: None,
    };
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(png::Png.encode(&picture, &mut || true)?)))
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
    Ok(Encoded { bytes: json.to_string().into_bytes(), content: Content::Json })
}

/// The `width` and `height` of the outermost element, or its `viewBox` where these are absent or relative (SVG 2 §8.2).
pub(crate) fn svg_size(text: &str) -> Option<Size> {
    let start = text.find("<svg").or_else(|| text.find(":svg"))?;
    let tag = &text[start..start + text[start..].find('>')?];
    let whole = |length: f64| (length.is_finite() && (0.5..1e9).contains(&length)).then_some(length.round() as u32);
    let pixels = |name| whole(attribute(tag, name)?.trim().trim_end_matches("px").parse().ok()?);
    if let (Some(width), Some(height)) = (pixels("width"), pixels("height")) {
        return Some(Size::new(width, height));
    }
    let view_box = attribute(tag, "viewBox")?;
    let numbers: Vec<f64> = view_box
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    let &[_, _, width, height] = numbers.as_slice() else { return None };
    Some(Size::new(whole(width)?, whole(height)?))
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

/// The recipe of a description.
impl Recipe {
    /// What an original is; nothing else that was asked for makes a difference to it.
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
        check("<svg stroke-width='3'/>", None);
        check("<svg width='1e999' height='-1'/>", None);
        check("<svg width=", None);
    }
}
