//! AVIF: decoded by rav1d, a port of dav1d to Rust, and written by one of two encoders (`write.rs`).

mod read;
mod write;

pub(crate) use write::BACKEND;

use crate::codec::{Codec, ShouldContinue, Sink};
use crate::encode_input::EncodeInput;
use crate::encoding::Encoding;
use crate::samples;
use tintype_pixels::colour::{ColourModel, Profile};
use tintype_pixels::error::{Error, Result};
use tintype_pixels::format::Format;
use tintype_pixels::geometry::{Orientation, Size};
use tintype_pixels::{Admitted, DecodeMemory, DecodeOptions, Decoded, Info, Integrity, KeptFrames};

/// Decodes AVIF, image sequences among them, and encodes stills.
pub(crate) struct Avif;

const FORMAT: Format = Format::Avif;

/// Frames that an AV1 decoder keeps at most (AV1 specification, 3: `NUM_REF_FRAMES`).
const REFERENCE_FRAMES: u32 = 8;

impl Codec for Avif {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let header = read::probe(original).map_err(failed)?;
        let (_, _, width, height) = crop(&header);
        let info = Info::new(FORMAT, Size::new(width, height)).with_exif(header.exif.clone());
        let mut info = info.with_profile(profile(&header).as_ref());
        // EXIF orientation is ignored; rotation, which is anticlockwise, precedes mirroring (ISO/IEC 23000-22 §7.3.6.7)
        let turn = Orientation::quarter_turns(4 - u32::from(header.rotation % 4));
        let mirror =
            Orientation { transpose: false, mirror_x: header.mirror == Some(1), mirror_y: header.mirror == Some(0) };
        info.orientation = turn.then(mirror);
        info.has_alpha = header.has_alpha;
        info.has_metadata |= header.has_others;
        (info.frames, info.loops) = (header.frames, header.loops);
        let pixels = f64::from(width) * f64::from(height);
        info.caps.memory =
            DecodeMemory { per_stored_pixel: header.decoded_bytes as f64 / pixels, per_decoded_pixel: 8.0 };
        info.caps.kept_frames =
            KeptFrames { most: REFERENCE_FRAMES, per_stored_pixel: header.frame_bytes as f64 / pixels };
        Ok(info)
    }

    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity> {
        let info = admitted.info();
        let header = read::probe(original).map_err(failed)?;
        if admitted.frames() > 1 {
            return decode_frames(original, &header, admitted, options.keeps_profile, sink);
        }
        let decoded = read::decode(original, &header).map_err(failed)?;
        sink(shown(decoded, &header, info.size, options.keeps_profile)?)?;
        Ok(Integrity::Whole)
    }

    fn accepts_ycbcr(&self, _size: Size, encoding: Encoding, quality: f32) -> bool {
        write::accepts_ycbcr(encoding.avif, quality)
    }

    fn encode(&self, picture: &EncodeInput, _should_continue: ShouldContinue<'_>) -> Result<Vec<u8>> {
        write::encode(picture).map_err(|reason| Error::Encode { format: FORMAT, reason })
    }
}

/// Decodes the admitted number of frames of an image sequence, up to the first damaged one.
fn decode_frames(
    original: &[u8], header: &read::Header, admitted: &Admitted<'_>, keeps_profile: bool, sink: Sink<'_>,
) -> Result<Integrity> {
    let mut animation = read::Animation::open(original).map_err(failed)?;
    let frames = admitted.frames();
    for number in 0..frames {
        let (decoded, delay) = match animation.next() {
            Err(read::Failure::Damaged(reason)) if number > 0 => {
                return Ok(Integrity::Damaged(format!("{reason}: {number} of {frames} frames decoded").into()));
            }
            decoded => decoded.map_err(failed)?,
        };
        sink(Decoded { delay, ..shown(decoded, header, admitted.info().size, keeps_profile)? })?;
    }
    Ok(Integrity::Whole)
}

/// The part of a decoded picture that is shown.
fn shown(decoded: samples::Decoded, header: &read::Header, size: Size, keeps_profile: bool) -> Result<Decoded> {
    let (pixels, profile) = decoded.into_pixels(FORMAT, profile(header), keeps_profile)?;
    let (left, top, ..) = crop(header);
    let pixels = if pixels.size == size { pixels } else { pixels.cut(left, top, size) };
    Ok(Decoded::still(pixels, profile))
}

fn failed(failure: read::Failure) -> Error {
    match failure {
        read::Failure::Unsupported(reason) => Error::unsupported(FORMAT, reason),
        read::Failure::Damaged(reason) => Error::malformed(FORMAT, reason),
    }
}

/// The clean aperture, or the whole picture.
fn crop(header: &read::Header) -> read::Crop {
    header.clap.unwrap_or((0, 0, header.width, header.height))
}

/// The embedded profile, or else that of the code points.
fn profile(header: &read::Header) -> Option<Profile> {
    let model = ColourModel::of(if header.monochrome { 1 } else { 3 });
    if let Some(profile) = header.icc.as_deref().filter(|icc| model.is_of(icc)).and_then(Profile::from_icc) {
        return Some(profile);
    }
    let nclx = header.nclx?;
    Profile::from_cicp(nclx.primaries.try_into().ok()?, nclx.transfer.try_into().ok()?, header.peak)
}
