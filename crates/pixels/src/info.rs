//! The facts in an original's header, and the capabilities of its decoder.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::colour::Profile;
use crate::exif;
use crate::format::Format;
use crate::geometry::{DctScale, Orientation, Size};
use crate::wire;

/// The facts in an original's header.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Info {
    /// The format, by its signature.
    pub format: Format,
    /// Columns and rows as stored, before the orientation is applied.
    pub size: Size,
    /// The transformation from the stored to the upright picture.
    pub orientation: Orientation,
    /// Number of frames; 1 for a still picture.
    #[serde(deserialize_with = "wire::positive")]
    pub frames: u32,
    /// How often an animation plays.
    #[serde(deserialize_with = "loops")]
    pub loops: Loops,
    /// Whether its pixels are indices of a palette, of up to 256 colours a frame.
    pub is_indexed: bool,
    /// Whether any pixel may be transparent.
    pub has_alpha: bool,
    /// Whether its colours are stated to be anything else than plain sRGB.
    pub has_profile: bool,
    /// The description inside its ICC profile.
    #[serde(deserialize_with = "wire::name")]
    pub profile_name: Option<String>,
    /// Whether it carries EXIF, XMP or comments.
    pub has_metadata: bool,
    /// Its EXIF block, without the prefix of its container.
    #[serde(with = "serde_bytes")]
    pub exif: Option<Vec<u8>>,
    /// The capabilities of the decoder for this file, and their cost.
    pub caps: DecoderCaps,
}

/// 1/8, 1/4, 1/2 and the full size, smallest first.
pub const POWER_OF_TWO_SCALES: [DctScale; 4] = [DctScale::new(1), DctScale::new(2), DctScale::new(4), DctScale::FULL];

/// Scales of the decoders of JPEG. 5/8 and 7/8 save next to nothing over 6/8 and 8/8, and the fewer scales there are, the more often
/// one decoding serves several results.
pub const JPEG_SCALES: [DctScale; 6] =
    [DctScale::new(1), DctScale::new(2), DctScale::new(3), DctScale::new(4), DctScale::new(6), DctScale::FULL];

/// All of them but the full size.
pub const REDUCED_JPEG_SCALES: &[DctScale] = JPEG_SCALES.split_last().expect("not empty").1;

/// Every list of scales in [`DecoderCaps`]: an [`Info`] from another process may have no other.
const SCALE_LISTS: [&[DctScale]; 5] = [&[], &[DctScale::FULL], &POWER_OF_TWO_SCALES, &JPEG_SCALES, REDUCED_JPEG_SCALES];

/// The capabilities of a decoder for one file, and their cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct DecoderCaps {
    /// The scales at which it decodes (scaled IDCT), smallest first; [`DctScale::FULL`] is the last.
    #[serde(deserialize_with = "scales")]
    pub scales: &'static [DctScale],
    /// By how much more a scaled picture must be oversampled than one from a scaled IDCT: box means blur what transforms keep.
    #[serde(deserialize_with = "wire::cost")]
    pub scale_margin: f64,
    /// Whether it has a loop filter that can be skipped.
    pub has_loop_filter: bool,
    /// Whether it can decode a region alone, where it returns planes.
    pub decodes_regions: bool,
    /// The scales of which it can make several in one pass, where it returns planes.
    #[serde(deserialize_with = "scales")]
    pub shared_scales: &'static [DctScale],
    /// How it returns rows one after the other, if it does.
    pub rows: Option<RowDecoding>,
    /// How it is drawn, if it is a vector picture.
    pub vector: Option<VectorDrawing>,
    /// Memory that decoding takes.
    pub memory: DecodeMemory,
    /// Frames of an animation that the decoder keeps.
    pub kept_frames: KeptFrames,
    /// Nanoseconds of one core for each stored pixel, as measured on one machine: only ratios matter.
    #[serde(deserialize_with = "wire::cost")]
    pub time: f64,
}

/// A picture that is decoded row by row.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RowDecoding {
    /// Samples of a pixel.
    #[serde(deserialize_with = "wire::channels")]
    pub channels: usize,
    /// Bytes that the decoder holds in addition to the rows that it returns.
    pub memory: u64,
}

/// A vector picture, which is drawn at the size of the result and has no pixels of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorDrawing {
    /// Bytes that the parsed document takes, whatever the size.
    pub memory: u64,
    /// Canvases of the drawn size that are held at a time in addition to the result: layers, masks and filters.
    pub layers: u32,
    /// Nanoseconds of one core that parsing takes.
    pub time: u64,
    /// Whether it has text, so that installed fonts shape the pixels.
    pub has_text: bool,
}

impl VectorDrawing {
    /// Bytes that drawing that many pixels takes, the result included.
    pub fn bytes(self, pixels: u64) -> u64 {
        self.memory.saturating_add(pixels.saturating_mul(4).saturating_mul(1 + u64::from(self.layers)))
    }
}

/// Bytes of memory that a decoder needs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct DecodeMemory {
    /// For each stored pixel, whatever the scale.
    #[serde(deserialize_with = "wire::cost")]
    pub per_stored_pixel: f64,
    /// For each decoded pixel, at the scale that is decoded.
    #[serde(deserialize_with = "wire::cost")]
    pub per_decoded_pixel: f64,
}

/// Frames that a decoder keeps, beside the current one, since later frames are predicted from them or blended over them.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct KeptFrames {
    /// The most frames that are kept.
    pub most: u32,
    /// Bytes for each stored pixel of each of them.
    #[serde(deserialize_with = "wire::cost")]
    pub per_stored_pixel: f64,
}

/// How often an animation plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loops {
    /// Without end.
    Forever,
    /// That many times in all, at least once.
    Times(u16),
}

/// Nanoseconds of one core to tone-map a pixel: between those of PQ and of HLG.
const HDR_TIME: f64 = 45.0;

impl Info {
    /// An upright, opaque, sRGB still picture of that size, which is what most headers say.
    pub fn new(format: Format, size: Size) -> Info {
        Info {
            format,
            size,
            orientation: Orientation::UPRIGHT,
            frames: 1,
            loops: Loops::Forever,
            is_indexed: false,
            has_alpha: false,
            has_profile: false,
            profile_name: None,
            has_metadata: false,
            exif: None,
            caps: DecoderCaps {
                scales: &[DctScale::FULL],
                scale_margin: 1.0,
                has_loop_filter: false,
                decodes_regions: false,
                shared_scales: &[],
                rows: None,
                vector: None,
                memory: DecodeMemory { per_stored_pixel: 1.0, per_decoded_pixel: 5.0 },
                kept_frames: KeptFrames::default(),
                time: format.decode_time(),
            },
        }
    }

    /// Adds an EXIF block, and with it the orientation that it states.
    #[must_use]
    pub fn with_exif(mut self, exif: Option<Vec<u8>>) -> Info {
        if let Some(exif) = exif {
            self.orientation = exif::orientation(&exif);
            self.has_metadata = true;
            self.exif = Some(exif);
        }
        self
    }

    /// Adds a colour profile.
    #[must_use]
    pub fn with_profile(mut self, profile: Option<&Profile>) -> Info {
        self.has_profile = profile.is_some();
        self.profile_name = profile.and_then(Profile::name);
        if profile.is_some_and(Profile::is_hdr) {
            self.caps.time += HDR_TIME;
        }
        self
    }

    /// Whether it is a vector picture, which has a size and no pixels.
    pub fn is_vector(&self) -> bool {
        self.caps.vector.is_some()
    }

    /// The size as displayed, orientation applied.
    pub fn displayed(&self) -> Size {
        self.orientation.apply(self.size)
    }

    /// Bytes that decoding so many frames, one after the other, holds at most at that scale, by estimate.
    pub fn decoding_bytes(&self, scale: DctScale, frames: u32) -> u64 {
        let KeptFrames { most, per_stored_pixel } = self.caps.kept_frames;
        let kept = f64::from(frames.saturating_sub(1).min(most));
        self.decoded_bytes(scale).saturating_add((self.size.pixels() as f64 * kept * per_stored_pixel) as u64)
    }

    /// Bytes that decoding one frame holds at most, at that scale, by estimate.
    pub fn decoded_bytes(&self, scale: DctScale) -> u64 {
        let stored = self.size.pixels() as f64;
        // some files are not scaled as planned, but to the next half
        let factor = scale.next_power_of_two().factor();
        let decoded = stored * factor * factor;
        let DecodeMemory { per_stored_pixel, per_decoded_pixel } = self.caps.memory;
        (stored * per_stored_pixel + decoded * per_decoded_pixel) as u64
    }
}

/// One of the lists of scales that decoders have.
fn scales<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static [DctScale], D::Error> {
    let scales: Vec<DctScale> = Deserialize::deserialize(deserializer)?;
    let known = SCALE_LISTS.into_iter().find(|list| **list == scales);
    known.ok_or_else(|| D::Error::custom("scales that no decoder has"))
}

/// The plays of an animation, at least one.
fn loops<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Loops, D::Error> {
    match Loops::deserialize(deserializer)? {
        Loops::Times(0) => Err(D::Error::custom("an animation that plays no time")),
        loops => Ok(loops),
    }
}
