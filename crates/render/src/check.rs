//! Validation of a file by decoding all of it. Uploads are validated.
//!
//! The check is stricter than rendering: damage is refused, and so is a file without its end marker, which may have been truncated
//! on its way.

use quick_xml::events::Event;
use serde::{Deserialize, Serialize};

use tintype_codecs::Codec;
use tintype_codecs::svg::stated_size;
use tintype_pixels::{DctScale, DecodeOptions, Error, Format, Info, Result, Size};

use crate::probe::{known_or_probed, switched_off};
use crate::progress::{Progress, Stage, begin};
use crate::settings::Settings;

/// The facts of a valid file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The format, by its signature.
    pub format: Format,
    /// Its size as displayed; `None` for an SVG that states none.
    pub size: Option<Size>,
    /// How many pictures it shows one after the other.
    pub frames: u32,
}

/// Decodes all of an original, within the limits of `settings`. `info` is what its header says, where that is known.
///
/// # Errors
/// [`Error::UnknownFormat`], [`Error::Unsupported`], [`Error::Malformed`], [`Error::Limit`], [`Error::Cancelled`].
pub fn check(
    original: &[u8], info: Option<&Info>, settings: &Settings, progress: &mut dyn Progress,
) -> Result<Checked> {
    begin(progress, Stage::Decode)?;
    let format = Format::sniff(original).ok_or(Error::UnknownFormat)?;
    if format == Format::Svg {
        return if settings.accepts(format) { check_svg(original) } else { Err(switched_off(format)) };
    }
    let info = &*known_or_probed(info, format, original, settings)?;
    let admitted =
        settings.limits().admit(info, info.frames, "decoding", info.decoding_bytes(DctScale::FULL, info.frames))?;
    let codec = tintype_codecs::of(format);
    let integrity = codec.decode(original, &admitted, &DecodeOptions::FULL, &mut |_| {
        // each frame is freed before the next
        if progress.keep_going() { Ok(()) } else { Err(Error::Cancelled) }
    })?;
    integrity.require_whole(format)?;
    if !codec.has_end(original) {
        return Err(Error::malformed(format, "its end marker is missing; it may have been cut off"));
    }
    Ok(Checked { format, size: Some(info.displayed()), frames: info.frames })
}

/// An SVG is validated, not drawn: it must be well-formed XML, to the end of its outermost element.
fn check_svg(original: &[u8]) -> Result<Checked> {
    let damaged = |reason: &str| Error::malformed(Format::Svg, reason);
    let text = std::str::from_utf8(original).map_err(|_| damaged("it is no text in UTF-8"))?;
    let mut reader = quick_xml::Reader::from_str(text);
    let mut depth = 0_usize;
    let mut has_ended = false;
    loop {
        match reader.read_event().map_err(|error| damaged(&error.to_string()))? {
            Event::Start(_) | Event::Empty(_) if has_ended => return Err(damaged("it has two outermost elements")),
            Event::Start(_) => depth += 1,
            // the reader compares the names of start and end tags
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                has_ended = depth == 0;
            }
            Event::Empty(_) => has_ended = depth == 0,
            Event::Eof if has_ended => break,
            Event::Eof => return Err(damaged("it is cut off")),
            _ => {}
        }
    }
    Ok(Checked { format: Format::Svg, size: stated_size(text), frames: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(bytes: &[u8]) -> Result<Checked> {
        check(bytes, None, &Settings::default(), &mut |_: Stage| true)
    }

    #[test]
    fn svg_is_parsed_to_its_end() {
        let sound = |svg: &str| assert!(checked(svg.as_bytes()).is_ok(), "{svg}: {:?}", checked(svg.as_bytes()));
        sound("<svg/>");
        sound("<?xml version='1.0'?><!-- a --><svg width='3' height='4'><g><path d='M0 0'/></g></svg>\n");
        for svg in ["<svg>", "<svg><g></svg>", "<svg><path d='", "<svg></svg><svg></svg>", "<svg/><svg/>", "<svg></g>"]
        {
            assert!(matches!(checked(svg.as_bytes()), Err(Error::Malformed { .. })), "{svg}");
        }
        assert!(matches!(checked(b"<svg>\xff</svg>"), Err(Error::Malformed { .. })));
    }

    #[test]
    fn truncated_file_is_refused() {
        for name in ["photos/retina.jpg", "generated/alpha.png", "generated/animated.gif", "generated/alpha.webp"] {
            let file = tintype_testing::testdata(name);
            assert!(checked(&file).is_ok(), "{name}");
            for part in [file.len() / 3, file.len() / 2, file.len() * 9 / 10] {
                assert!(matches!(checked(&file[..part]), Err(Error::Malformed { .. })), "{name}, {part} bytes");
            }
        }
    }

    #[test]
    fn file_over_a_limit_is_refused() {
        let file = tintype_testing::testdata("photos/retina.jpg");
        for settings in
            [Settings { max_pixels: 1000, ..Settings::default() }, Settings { max_memory: 1000, ..Settings::default() }]
        {
            assert!(matches!(check(&file, None, &settings, &mut |_: Stage| true), Err(Error::Limit(_))));
        }
        assert!(matches!(check(&file, None, &Settings::default(), &mut |_: Stage| false), Err(Error::Cancelled)));
    }
}
