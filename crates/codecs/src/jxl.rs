//! JPEG XL, decoded by jxl-oxide.

mod read;

use crate::codec::{Codec, Sink};
use tintype_pixels::colour::{ColourModel, Profile};
use tintype_pixels::error::{Error, Result};
use tintype_pixels::format::Format;
use tintype_pixels::geometry::{Orientation, Size};
use tintype_pixels::{Admitted, DecodeMemory, DecodeOptions, Decoded, Info, Integrity, KeptFrames};

/// Decodes JPEG XL, animations among them.
pub(crate) struct Jxl;

const FORMAT: Format = Format::Jxl;

/// Bytes of a pixel as it is passed on.
const WRITTEN: f64 = 8.0;

/// The code points of an HDR picture, or else the embedded profile, unless it is one of another colour model. As in Chromium, the
/// intensity target is no peak of the content.
fn profile(header: &read::Header) -> Option<Profile> {
    if let Some((primaries, transfer)) = header.hdr {
        return Profile::from_cicp(primaries, transfer, 0);
    }
    let model = ColourModel::of(if header.is_grey { 1 } else { 3 });
    header.icc.as_deref().filter(|icc| model.is_of(icc)).and_then(Profile::from_icc)
}

/// Bytes that decoding takes for each stored pixel, and those for each pixel of a frame that is kept. The decoder works in
/// floating point, with a copy or two of each channel, and keeps every frame.
fn memory_per_pixel(header: &read::Header) -> (f64, f64) {
    let samples = f64::from(header.samples_per_pixel);
    // the most that was measured
    let frame = if header.has_alpha || header.frames > 1 { 80.0 } else { 32.0 };
    let pixels = f64::from(header.width) * f64::from(header.height);
    let kept = 4.0 * samples;
    (f64::max(frame, 10.0 * samples - WRITTEN) + kept * header.extra_pixels as f64 / pixels.max(1.0), kept)
}

impl Codec for Jxl {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let header = read::probe(original).map_err(read::failed)?;
        let profile = profile(&header);
        let exif = read::exif(original).map(<[u8]>::to_vec);
        let info = Info::new(FORMAT, Size::new(header.width, header.height)).with_exif(exif);
        let mut info = info.with_profile(profile.as_ref());
        // the decoder turns the picture upright by itself, whatever EXIF says
        info.orientation = Orientation::UPRIGHT;
        info.has_alpha = header.has_alpha;
        (info.frames, info.loops) = (header.frames, header.loops);
        let (per_stored_pixel, kept) = memory_per_pixel(&header);
        info.caps.memory = DecodeMemory { per_stored_pixel, per_decoded_pixel: WRITTEN };
        info.caps.kept_frames = KeptFrames { most: u32::MAX, per_stored_pixel: kept };
        Ok(info)
    }

    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity> {
        let header = read::probe(original).map_err(read::failed)?;
        let profile = profile(&header);
        let frames = admitted.frames();
        let picture = read::Picture::open(original, &header, frames, admitted.memory())?;
        let mut start = 0;
        for number in 0..frames {
            let decoded = match picture.frame(number).map_err(read::failed) {
                Err(Error::Malformed { reason, .. }) if number > 0 => {
                    return Ok(Integrity::Damaged(format!("{reason}: {number} of {frames} frames decoded").into()));
                }
                decoded => decoded?,
            };
            let end = picture.end(number);
            let delay = u32::try_from(end.saturating_sub(start)).unwrap_or(u32::MAX);
            start = end;
            let (pixels, profile) = decoded.into_pixels(FORMAT, profile.clone(), options.keeps_profile)?;
            sink(Decoded { delay, ..Decoded::still(pixels, profile) })?;
        }
        Ok(Integrity::Whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::decode;
    use tintype_pixels::Loops;

    /// Its frames are blended over the first one, which covers the picture.
    const ANIMATED: &[u8] = include_bytes!("../../../testdata/jxl/animated.jxl");

    #[test]
    fn memory_estimate_includes_extra_channels_and_layers() {
        let opaque = read::Header {
            width: 20,
            height: 10,
            has_alpha: false,
            depth: 8,
            icc: None,
            is_grey: false,
            hdr: None,
            frames: 1,
            loops: Loops::Forever,
            samples_per_pixel: 4,
            extra_pixels: 0,
        };
        let with = |samples_per_pixel, extra_pixels| read::Header { samples_per_pixel, extra_pixels, ..opaque.clone() };
        let alpha = read::Header { has_alpha: true, ..opaque.clone() };
        let animated = read::Header { frames: 9, ..with(4, 200) };
        let table = [
            ("an opaque picture", opaque.clone(), (32.0, 16.0)),
            ("alpha", alpha, (80.0, 16.0)),
            ("five extra channels", with(8, 0), (72.0, 32.0)),
            ("ten extra channels", with(13, 0), (122.0, 52.0)),
            ("two layers besides the last", with(4, 400), (64.0, 16.0)),
            ("a reference frame of half the size", with(4, 100), (40.0, 16.0)),
            ("an animation with a layer", animated, (96.0, 16.0)),
        ];
        for (name, header, expected) in table {
            assert_eq!(memory_per_pixel(&header), expected, "{name}");
        }
    }

    #[test]
    fn animation_decodes_within_its_estimate() {
        let header = read::probe(ANIMATED).expect("a header");
        assert!(header.frames > 1);
        let pixels = u64::from(header.width) * u64::from(header.height);
        assert!(header.extra_pixels < pixels, "{} of {pixels}", header.extra_pixels);
        let (frames, integrity) = decode(&Jxl, ANIMATED, true).expect("frames");
        assert_eq!((frames.len(), integrity), (header.frames as usize, Integrity::Whole));
    }
}
