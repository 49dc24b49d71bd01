//! A decoder's result: an image, its colour profile, and whether all of its data was there.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::colour::Profile;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::geometry::{DctScale, Size};
use crate::limits::DecodeOptions;
use crate::pixels::Pixels;
use crate::planes::Planes;
use crate::wire;

/// One picture of an animation, or the only one.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The whole canvas as it is shown, earlier frames included.
    pub pixels: Pixels,
    /// How long it is shown, in milliseconds.
    pub delay: u32,
}

/// A picture in one of the two layouts.
#[derive(Debug)]
pub enum Samples {
    /// Interleaved red, green and blue, and alpha where there is any.
    Packed(Pixels),
    /// Planes of luma and chroma.
    Planes(Planes),
}

impl Samples {
    /// Columns and rows.
    pub fn size(&self) -> Size {
        match self {
            Samples::Packed(pixels) => pixels.size,
            Samples::Planes(planes) => planes.size,
        }
    }
}

/// Whether all data of a picture was there. Decoders show damaged files as browsers do and say so here; whether such a
/// picture is used is the caller's decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Integrity {
    /// Every pixel is what the file says. Optional parts, trailers and end markers may be missing or wrong.
    #[default]
    Whole,
    /// Pixel data ends early, or fails a checksum; the text says where, without the format's name.
    Damaged(#[serde(deserialize_with = "wire::text")] Cow<'static, str>),
}

impl Integrity {
    /// Whether data of the picture is missing or wrong.
    pub fn is_damaged(&self) -> bool {
        matches!(self, Integrity::Damaged(_))
    }

    /// The first damage of the two.
    #[must_use]
    pub fn and(self, other: Integrity) -> Integrity {
        if self.is_damaged() { self } else { other }
    }

    /// Turns damage into a failure.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the picture is damaged.
    pub fn require_whole(&self, format: Format) -> Result<()> {
        match self {
            Integrity::Whole => Ok(()),
            Integrity::Damaged(reason) => Err(Error::malformed(format, reason)),
        }
    }
}

/// One picture as it comes from a decoder: stored orientation, the original's own colours.
#[derive(Debug)]
pub struct Decoded {
    /// The pixels or planes.
    pub samples: Samples,
    /// The colours that the samples mean; `None` is sRGB.
    pub profile: Option<Profile>,
    /// The scale that it is decoded at, of which [`Size::scaled`] is the size; the last column and row may be parts of one.
    pub scale: DctScale,
    /// The left and the top edge of the decoded region, in pixels of the scaled picture.
    pub origin: (u32, u32),
    /// How long it is shown, in milliseconds.
    pub delay: u32,
    /// Whether all of its data was there; meaningful for a still picture only.
    pub integrity: Integrity,
}

impl Decoded {
    /// The region that was asked for, cut out of a picture in planes that was decoded whole. Equal to what decoding that region
    /// alone returns. Any other picture is returned as it is.
    #[must_use]
    pub fn region(self: Arc<Decoded>, stored: Size, options: &DecodeOptions) -> Arc<Decoded> {
        match (options.region, &self.samples) {
            (Some(region), Samples::Planes(planes))
                if self.scale == options.scale && planes.size == stored.scaled(options.scale) =>
            {
                let (samples, profile) = (Samples::Planes(planes.cut(region)), self.profile.clone());
                let integrity = self.integrity.clone();
                Arc::new(Decoded { samples, profile, origin: (region.x, region.y), integrity, ..*self })
            }
            _ => self,
        }
    }

    /// A still picture at full size. An opaque alpha channel is dropped, since three channels resize and encode for less.
    pub fn still(pixels: Pixels, profile: Option<Profile>) -> Decoded {
        Decoded {
            samples: Samples::Packed(pixels.without_opaque_alpha()),
            profile,
            scale: DctScale::FULL,
            origin: (0, 0),
            delay: 0,
            integrity: Integrity::Whole,
        }
    }

    /// Bytes of memory that the samples take.
    pub fn bytes(&self) -> u64 {
        match &self.samples {
            Samples::Packed(pixels) => pixels.data.len() as u64,
            Samples::Planes(planes) => Planes::bytes(planes.size, planes.subsampling) as u64,
        }
    }
}
