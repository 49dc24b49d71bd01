//! JPEG: the header is read here; pixels are read and written by libjpeg-turbo, or in builds without native codecs by crates that are
//! Rust all through. Sequential files that are made smaller are read by a decoder of ours (`sequential.rs`), which takes
//! 0.5 (at an eighth) to 0.8 (at a half) of libjpeg-turbo's time, as it passes over what does not show; progressive ones of
//! any size by another (`progressive.rs`).

#[cfg(test)]
mod damaged;
#[cfg(not(feature = "native"))]
mod pure;
#[cfg(feature = "native")]
mod turbo;

#[cfg(not(feature = "native"))]
use pure as library;
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

/// Reads and writes JPEG.
pub(crate) struct Jpeg;

const FORMAT: Format = Format::Jpeg;

/// The scales at which a picture is decoded.
#[cfg(feature = "native")]
const SCALES: [DctScale; 6] = tintype_jpeg::SCALES;
#[cfg(not(feature = "native"))]
const SCALES: [DctScale; 4] = [DctScale::new(1), DctScale::new(2), DctScale::new(4), DctScale::FULL];

/// Of these several are made at once. A sequential file is the library's to read at full size.
#[cfg(feature = "native")]
const ALL_TOGETHER: &[DctScale] = &SCALES;
#[cfg(feature = "native")]
const SMALL_TOGETHER: &[DctScale] = SCALES.split_last().expect("not empty").1;
#[cfg(not(feature = "native"))]
const ALL_TOGETHER: &[DctScale] = &[];
#[cfg(not(feature = "native"))]
const SMALL_TOGETHER: &[DctScale] = &[];

/// What reads and writes JPEG in this build, for people.
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
        // CMYK has no profile-free meaning that a browser would show alike
        info.has_profile |= header.components == 4;
        if !header.lossless {
            info.caps.scales = &SCALES;
            info.caps.decodes_regions = cfg!(feature = "native");
            info.caps.shared_scales = match header.progressive {
                // inks are the library's to read
                _ if header.components == 4 => &[],
                true => ALL_TOGETHER,
                false => SMALL_TOGETHER,
            };
        }
        if header.progressive {
            // its coefficients are kept until the last of several scans
            info.caps.time = 8.0;
        }
        let samples = f64::from(header.components.max(3));
        info.caps.memory = DecodeMemory {
            // a progressive picture keeps all its coefficients, 16 bits each, until the last scan
            per_stored_pixel: if header.progressive { 2.0 * header.samples_per_pixel + 0.1 } else { 0.1 },
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

    fn accepts_ycbcr(&self, _size: Size, _encoding: Encoding) -> bool {
        cfg!(feature = "native")
    }

    fn has_end(&self, original: &[u8]) -> bool {
        has_end(original)
    }

    fn encode(&self, picture: &EncodeInput, _should_continue: ShouldContinue<'_>) -> Result<Vec<u8>> {
        Ok(with_metadata(library::encode(picture)?, picture.exif.as_deref(), picture.profile.as_deref()))
    }
}

/// Puts an EXIF block (EXIF 2.32 §4.7.2) and a profile in numbered pieces (ICC.1 Annex B.4) behind the start marker,
/// where readers look for them.
fn with_metadata(jpeg: Vec<u8>, exif: Option<&[u8]>, profile: Option<&[u8]>) -> Vec<u8> {
    const LONGEST: usize = 65_533;
    let mut segments = Vec::new();
    let mut put = |marker: u8, parts: &[&[u8]]| {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        segments.extend([0xFF, marker]);
        segments.extend((length as u16 + 2).to_be_bytes());
        parts.iter().for_each(|part| segments.extend(*part));
    };
    if let Some(exif) = exif.filter(|exif| exif.len() + 6 <= LONGEST) {
        put(0xE1, &[b"Exif\0\0", exif]);
    }
    let pieces: Vec<&[u8]> = profile.map(|profile| profile.chunks(LONGEST - 14).collect()).unwrap_or_default();
    if let Ok(count) = u8::try_from(pieces.len()) {
        for (number, piece) in (1..=count).zip(pieces) {
            put(0xE2, &[b"ICC_PROFILE\0", &[number, count], piece]);
        }
    }
    if segments.is_empty() { jpeg } else { [&jpeg[..2], &segments, &jpeg[2..]].concat() }
}
