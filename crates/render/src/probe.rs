//! Reading an original's header, without decoding pixels.

use std::borrow::Cow;

use tintype_codecs::Codec;
use tintype_pixels::{Error, Format, Info, Result};

use crate::recipe::{Output, Recipe};
use crate::settings::Settings;

/// Reads the header of an original, without decoding pixels.
///
/// # Errors
/// [`Error::UnknownFormat`], [`Error::Unsupported`] or [`Error::Malformed`].
pub fn probe(original: &[u8]) -> Result<Info> {
    let format = Format::sniff(original).ok_or(Error::UnknownFormat)?;
    tintype_codecs::of(format).probe(original)
}

/// The same, where originals of that format are accepted; `None` for an SVG that is not drawn, whatever the reason: it may be sent as
/// it is all the same.
///
/// # Errors
/// As [`probe`], and [`Error::Unsupported`] for a format that is switched off.
pub fn head(original: &[u8], settings: &Settings) -> Result<Option<Info>> {
    match Format::sniff(original).ok_or(Error::UnknownFormat)? {
        Format::Svg if !settings.accepts(Format::Svg) => Err(switched_off(Format::Svg)),
        Format::Svg if settings.draws_svg() => Ok(probe_as(Format::Svg, original, settings).ok()),
        Format::Svg => Ok(None),
        format => probe_as(format, original, settings).map(Some),
    }
}

/// The same, by the beginning and the last two bytes of an original, where these say all that the whole original would:
/// `None` where they do not, and for every format but JPEG.
pub fn head_of_beginning(beginning: &[u8], last: [u8; 2], settings: &Settings) -> Option<Info> {
    let is_enough = Format::sniff(beginning) == Some(Format::Jpeg) && tintype_codecs::jpeg::has_all_segments(beginning);
    // a probe reads the segments before the first scan, and whether the file ends with an end marker
    let short = || [beginning, &last].concat();
    is_enough.then(|| probe_as(Format::Jpeg, &short(), settings).ok()).flatten()
}

/// Whether these bytes are an image that may be sent as it is: of a format that is read here. Damage does not matter to
/// bytes that nobody changes.
///
/// # Errors
/// [`Error::UnknownFormat`], and [`Error::Unsupported`] for a format or a form of one that is not read.
pub fn identify(original: &[u8], settings: &Settings) -> Result<Format> {
    let format = Format::sniff(original).ok_or(Error::UnknownFormat)?;
    if !settings.accepts(format) {
        return Err(switched_off(format));
    }
    // an SVG need not be drawn to be sent
    if format == Format::Svg {
        return Ok(format);
    }
    match tintype_codecs::of(format).probe(original) {
        Err(error @ Error::Unsupported { .. }) => Err(error),
        _ => Ok(format),
    }
}

/// Whether an SVG can be made into what a recipe asks for, by the settings alone.
///
/// # Errors
/// [`Error::Unsupported`].
pub fn check_svg_mode(recipe: &Recipe, settings: &Settings) -> Result<()> {
    match recipe.passes_svg_through() || recipe.encode.output == Output::Json || settings.draws_svg() {
        _ if !settings.accepts(Format::Svg) => Err(switched_off(Format::Svg)),
        true => Ok(()),
        false => Err(Error::unsupported(Format::Svg, "this server sends SVG as it is, and makes no pixels of it")),
    }
}

fn probe_as(format: Format, original: &[u8], settings: &Settings) -> Result<Info> {
    if !settings.accepts(format) {
        return Err(switched_off(format));
    }
    tintype_codecs::of(format).probe(original)
}

pub(crate) fn known_or_probed<'a>(
    info: Option<&'a Info>, format: Format, original: &[u8], settings: &Settings,
) -> Result<Cow<'a, Info>> {
    match info {
        Some(info) if settings.accepts(format) => Ok(Cow::Borrowed(info)),
        _ => probe_as(format, original, settings).map(Cow::Owned),
    }
}

pub(crate) fn switched_off(format: Format) -> Error {
    Error::unsupported(format, "it is not among the formats that this server accepts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn svg_that_is_switched_off_is_refused_by_its_header() {
        let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>";
        assert!(head(svg, &Settings::default()).is_ok());
        let formats_in = Format::all().filter(|&format| format != Format::Svg).collect();
        let off = Settings { formats_in, ..Settings::default() };
        assert!(matches!(head(svg, &off), Err(Error::Unsupported { .. })));
    }
}
