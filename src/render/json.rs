//! `format=json`: what an original is.

use super::codec::Info;
use super::error::{Error, Result};
use super::format::Format;
use super::pixels::Pixels;
use super::{Content, Encoded};

/// Describes a picture.
pub(crate) fn describe(original: &[u8], info: &Info, _thumbnail: &Pixels) -> Result<Encoded> {
    let size = info.displayed();
    let json = serde_json::json!({
        "format": info.format.name(),
        "width": size.width,
        "height": size.height,
        "frames": info.frames,
        "orientation": info.orientation.to_exif(),
        "has_alpha": info.has_alpha,
        "profile": info.profile_name,
        "bytes": original.len(),
    });
    Ok(Encoded { bytes: json.to_string().into_bytes(), content: Content::Json })
}

/// Describes an SVG, whose size is only known where it says so.
pub(crate) fn describe_svg(_original: &[u8]) -> Result<Encoded> {
    Err(Error::unsupported(Format::Svg, "not yet described"))
}
