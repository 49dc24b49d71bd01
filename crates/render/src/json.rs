//! `format=json`: the facts of an original, and placeholders to show until it has loaded.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use tintype_codecs::svg::stated_size;
use tintype_codecs::{Codec, EncodeInput, PictureData, PictureKind};
use tintype_pixels::{Error, Format, Frame, Info, Pixels, Result};

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
    let size = stated_size(text);
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

impl Recipe {
    /// The recipe of a description, which does not depend on other parameters.
    pub fn description() -> Recipe {
        Recipe::new(Output::Json, Quality::default())
    }
}
