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

/// The code points of an HDR picture, or else the embedded profile, unless it is one of another colour model. As in Chromium, the
/// intensity target is no peak of the content.
fn profile(header: &read::Header) -> Option<Profile> {
    if let Some((primaries, transfer)) = header.hdr {
        return Profile::from_cicp(primaries, transfer, 0);
    }
    let model = ColourModel::of(if header.is_grey { 1 } else { 3 });
    header.icc.as_deref().filter(|icc| model.is_of(icc)).and_then(Profile::from_icc)
}

impl Codec for Jxl {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let header = read::probe(original).map_err(|reason| Error::malformed(FORMAT, reason))?;
        let profile = profile(&header);
        let exif = read::exif(original).map(<[u8]>::to_vec);
        let info = Info::new(FORMAT, Size::new(header.width, header.height)).with_exif(exif);
        let mut info = info.with_profile(profile.as_ref());
        // the decoder turns the picture upright by itself, whatever EXIF says
        info.orientation = Orientation::UPRIGHT;
        info.has_alpha = header.has_alpha;
        (info.frames, info.loops) = (header.frames, header.loops);
        // it works in floating point, with a copy or two of each channel
        let per_stored_pixel = if header.has_alpha || header.frames > 1 { 80.0 } else { 32.0 };
        info.caps.memory = DecodeMemory { per_stored_pixel, per_decoded_pixel: 8.0 };
        // it keeps every frame in floating point
        let kept = f64::from(header.samples_per_pixel) * 4.0;
        info.caps.kept_frames = KeptFrames { most: u32::MAX, per_stored_pixel: kept };
        Ok(info)
    }

    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity> {
        let failed = |reason: String| Error::malformed(FORMAT, reason);
        let header = read::probe(original).map_err(failed)?;
        let profile = profile(&header);
        let frames = admitted.frames();
        let picture = read::Picture::open(original, &header, frames).map_err(failed)?;
        let mut start = 0;
        for number in 0..frames {
            let decoded = match picture.frame(number) {
                Err(reason) if number > 0 => {
                    return Ok(Integrity::Damaged(format!("{reason}: {number} of {frames} frames decoded").into()));
                }
                decoded => decoded.map_err(failed)?,
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
