//! What encoders are given.

use std::sync::Arc;

use tintype_pixels::{Frame, Loops, Pixels, Planes, Size};

use crate::encoding::Encoding;

/// What an encoder is given: pictures in sRGB or in `profile`, all of one size, and how to write them.
pub struct Picture {
    pub shown: Shown,
    pub loops: Loops,
    /// How good, in the encoder's own numbers: 1 to 100, more is better.
    pub quality: f32,
    pub lossless: bool,
    /// By what, and how hard to try.
    pub encoding: Encoding,
    /// An EXIF block to write along.
    pub exif: Option<Vec<u8>>,
    /// The ICC profile that the pixels are in, for formats that carry one; `None` is sRGB.
    pub profile: Option<Arc<[u8]>>,
}

/// What an encoder is given to write.
pub enum Shown {
    /// Pictures one after the other, at least one.
    Frames(Vec<Frame>),
    /// One picture, luma and chroma apart and chroma halved; only for codecs that take them.
    Planes(Planes),
}

impl Picture {
    /// The pictures.
    ///
    /// # Panics
    /// Where planes were given to a codec that does not take them.
    pub fn frames(&self) -> &[Frame] {
        match &self.shown {
            Shown::Frames(frames) => frames,
            Shown::Planes(_) => unreachable!("only codecs that take planes are given them"),
        }
    }

    /// Whether it may be written without colour: it has none, and no profile, since that would be one of colours.
    pub fn is_grey(&self) -> bool {
        let has_no_colour = || match &self.shown {
            Shown::Frames(frames) => frames.iter().all(|frame| frame.pixels.is_grey()),
            Shown::Planes(planes) => planes.is_grey(),
        };
        self.profile.is_none() && has_no_colour()
    }

    pub fn first(&self) -> &Pixels {
        &self.frames()[0].pixels
    }

    /// Columns and rows.
    pub fn size(&self) -> Size {
        match &self.shown {
            Shown::Frames(frames) => frames[0].pixels.size,
            Shown::Planes(planes) => planes.size,
        }
    }
}
