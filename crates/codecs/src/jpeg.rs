//! JPEG (ITU T.81). libjpeg-turbo decodes and encodes pixels; builds without native codecs use crates in pure Rust instead.
//!
//! `tintype-jpeg` decodes sequential files that are scaled down (`sequential.rs`) in 0.5 (at 1/8) to 0.8 (at 1/2) of
//! libjpeg-turbo's time, since it skips coefficients that the scale does not need, and progressive files at every scale
//! (`progressive.rs`).

#[cfg(test)]
mod damaged;
#[cfg(feature = "native")]
mod encode;
#[cfg(feature = "native")]
mod fdct;
#[cfg(not(feature = "native"))]
mod pure;
mod quantisation;
#[cfg(test)]
mod tests;
#[cfg(feature = "native")]
mod trellis;
#[cfg(feature = "native")]
mod turbo;

#[cfg(feature = "native")]
use encode::encode;
#[cfg(not(feature = "native"))]
use pure as library;
#[cfg(not(feature = "native"))]
use pure::encode;
#[cfg(feature = "native")]
use turbo as library;

use tintype_jpeg::header::Header;
pub use tintype_jpeg::header::{has_all_segments, has_end};

use crate::codec::{Codec, ShouldContinue, Sink};
use crate::encode_input::EncodeInput;
use crate::encoding::Encoding;
use tintype_pixels::colour::Profile;
use tintype_pixels::error::Result;
use tintype_pixels::format::Format;
use tintype_pixels::geometry::{DctScale, Size};
use tintype_pixels::{Admitted, DecodeMemory, DecodeOptions, Info, Integrity};

/// Decodes and encodes JPEG.
pub(crate) struct Jpeg;

const FORMAT: Format = Format::Jpeg;

/// The scales that decoders support.
#[cfg(feature = "native")]
const SCALES: [DctScale; 6] = tintype_jpeg::SCALES;
#[cfg(not(feature = "native"))]
const SCALES: [DctScale; 4] = tintype_pixels::POWER_OF_TWO_SCALES;

/// Scales that one pass over a progressive file decodes together.
#[cfg(feature = "native")]
const PROGRESSIVE_SHARED_SCALES: &[DctScale] = &SCALES;
/// The same for a sequential file; the library decodes those at full size.
#[cfg(feature = "native")]
const SEQUENTIAL_SHARED_SCALES: &[DctScale] = tintype_pixels::REDUCED_JPEG_SCALES;
#[cfg(not(feature = "native"))]
const PROGRESSIVE_SHARED_SCALES: &[DctScale] = &[];
#[cfg(not(feature = "native"))]
const SEQUENTIAL_SHARED_SCALES: &[DctScale] = &[];

/// The libraries of this build, for display.
pub(crate) const BACKEND: &str = if cfg!(feature = "native") {
    "jpeg: libjpeg-turbo; its own for progressive and smaller pictures"
} else {
    "jpeg: jpeg-decoder, jpeg-encoder"
};

impl Codec for Jpeg {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let header = Header::read(original)?;
        let profile = header.profile.as_deref().and_then(Profile::from_icc);
        let mut info = Info::new(FORMAT, header.size).with_exif(header.exif).with_profile(profile.as_ref());
        info.has_metadata |= header.has_other_metadata;
        // browsers differ on CMYK without a profile
        info.has_profile |= header.components == 4;
        if !header.lossless {
            info.caps.scales = &SCALES;
            info.caps.decodes_regions = cfg!(feature = "native");
            info.caps.shared_scales = match header.progressive {
                // CMYK is decoded by the library
                _ if header.components == 4 => &[],
                true => PROGRESSIVE_SHARED_SCALES,
                false => SEQUENTIAL_SHARED_SCALES,
            };
        }
        if header.progressive {
            // each of several scans refines all coefficients
            info.caps.time = 8.0;
        }
        let samples = f64::from(header.components.max(3));
        info.caps.memory = DecodeMemory {
            // coefficients that are held until the last scan have 16 bits each
            per_stored_pixel: if header.has_several_scans { 2.0 * header.samples_per_pixel + 0.1 } else { 0.1 },
            per_decoded_pixel: samples + if header.components == 4 { 3.0 } else { 0.5 },
        };
        Ok(info)
    }

    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity> {
        let decoded = library::decode(original, &Header::read(original)?, admitted, options)?;
        let integrity = decoded.integrity.clone();
        sink(decoded)?;
        Ok(integrity)
    }

    #[cfg(feature = "native")]
    fn decode_several(
        &self, original: &[u8], admitted: &Admitted<'_>, options: &DecodeOptions, others: &[DctScale],
    ) -> Result<Vec<tintype_pixels::Decoded>> {
        library::decode_several(original, &Header::read(original)?, admitted, options, others)
    }

    fn accepts_ycbcr(&self, _size: Size, _encoding: Encoding, quality: f32) -> bool {
        cfg!(feature = "native") && quality < quantisation::FULL_CHROMA_QUALITY
    }

    fn has_end(&self, original: &[u8]) -> bool {
        has_end(original)
    }

    fn encode(&self, picture: &EncodeInput, should_continue: ShouldContinue<'_>) -> Result<Vec<u8>> {
        Ok(with_metadata(encode(picture, should_continue)?, picture.exif.as_deref(), picture.profile.as_deref()))
    }
}

/// Inserts an APP1 segment of EXIF (EXIF 2.32 §4.7.2) and APP2 segments of the profile in numbered chunks (ICC.1 Annex B.4)
/// behind SOI, where decoders look for them.
fn with_metadata(jpeg: Vec<u8>, exif: Option<&[u8]>, profile: Option<&[u8]>) -> Vec<u8> {
    const MAX_PAYLOAD: usize = 65_533;
    let mut segments = Vec::new();
    let mut put = |marker: u8, parts: &[&[u8]]| {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        segments.extend([0xFF, marker]);
        segments.extend((length as u16 + 2).to_be_bytes());
        parts.iter().for_each(|part| segments.extend(*part));
    };
    if let Some(exif) = exif.filter(|exif| exif.len() + 6 <= MAX_PAYLOAD) {
        put(0xE1, &[b"Exif\0\0", exif]);
    }
    let profile_chunks: Vec<&[u8]> =
        profile.map(|profile| profile.chunks(MAX_PAYLOAD - 14).collect()).unwrap_or_default();
    if let Ok(count) = u8::try_from(profile_chunks.len()) {
        for (number, chunk) in (1..=count).zip(profile_chunks) {
            put(0xE2, &[b"ICC_PROFILE\0", &[number, count], chunk]);
        }
    }
    if segments.is_empty() { jpeg } else { [&jpeg[..2], &segments, &jpeg[2..]].concat() }
}
