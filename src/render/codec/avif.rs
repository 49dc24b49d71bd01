//! AVIF: read through rav1d, a port of dav1d to Rust, and written by one of two encoders (`write.rs`).

mod read;
mod write;

pub(crate) use write::BACKEND;

use super::{Codec, Cost, Decoded, GoOn, Info, Integrity, Picture, Plan, Sink};
use crate::render::error::{Error, Result};
use crate::render::format::Format;
use crate::render::geometry::{Orientation, Size};
use crate::render::ops::colour::Profile;
use crate::render::settings::Encoding;

/// Reads and writes AVIF stills.
pub(crate) struct Avif;

const FORMAT: Format = Format::Avif;

impl Codec for Avif {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let header = read::probe(original).map_err(|reason| Error::malformed(FORMAT, reason))?;
        let (_, _, width, height) = shown(&header);
        let info = Info::new(FORMAT, Size::new(width, height)).with_exif(header.exif.clone());
        let mut info = info.with_profile(profile(&header).as_ref());
        // whatever EXIF says of it: turned first, then mirrored (ISO/IEC 23000-22 §7.3.6.7); the container counts anticlockwise
        let turn = Orientation::quarter_turns(4 - u32::from(header.rotation % 4));
        let mirror =
            Orientation { transpose: false, mirror_x: header.mirror == Some(1), mirror_y: header.mirror == Some(0) };
        info.orientation = turn.then(mirror);
        info.has_alpha = header.has_alpha;
        info.has_metadata |= header.has_others;
        let bytes = if header.depth > 8 { 2.0 } else { 1.0 };
        let stored = f64::from(header.width) * f64::from(header.height);
        let part = stored / (f64::from(width) * f64::from(height));
        info.cost = Cost { per_stored_pixel: part * 10.0 * bytes, per_decoded_pixel: 8.0 };
        Ok(info)
    }

    fn decode(&self, original: &[u8], info: &Info, _plan: &Plan<'_>, sink: Sink<'_>) -> Result<Integrity> {
        let failed = |reason: String| Error::malformed(FORMAT, reason);
        let header = read::probe(original).map_err(failed)?;
        let stored = u64::from(header.width) * u64::from(header.height);
        let decoded = read::decode(original, &header, stored).map_err(failed)?;
        let (pixels, profile) = decoded.into_pixels(FORMAT, profile(&header))?;
        let (left, top, ..) = shown(&header);
        let pixels = if pixels.size == info.size { pixels } else { pixels.cut(left, top, info.size) };
        sink(Decoded::still(pixels, profile))?;
        Ok(Integrity::Whole)
    }

    fn takes_planes(&self, _size: Size, encoding: Encoding) -> bool {
        write::takes_planes(encoding.avif)
    }

    fn encode(&self, picture: &Picture, _go_on: GoOn<'_>) -> Result<Vec<u8>> {
        write::encode(picture).map_err(|reason| Error::Encode { format: FORMAT, reason })
    }
}

/// The part that is shown: left, top, columns, rows.
fn shown(header: &read::Header) -> read::Crop {
    header.clap.unwrap_or((0, 0, header.width, header.height))
}

/// An embedded profile, or what the code points stand for.
fn profile(header: &read::Header) -> Option<Profile> {
    if let Some(profile) = header.icc.as_deref().and_then(Profile::from_icc) {
        return Some(profile);
    }
    let nclx = header.nclx?;
    Profile::from_cicp(nclx.primaries.try_into().ok()?, nclx.transfer.try_into().ok()?)
}
