//! The input of an encoder: pixels, and how to write them.

use std::sync::Arc;

use tintype_pixels::{Frame, Loops, Pixels, Planes, Size};

use crate::encoding::{Encoding, PictureKind};
use crate::indexed::IndexedPixels;

/// The pixels of one output file, in sRGB or in `profile`, and how to write them.
pub struct EncodeInput {
    /// The frames, all of one size.
    pub data: PictureData,
    /// How often an animation is played.
    pub loops: Loops,
    /// 1 to 100 on the encoder's own scale; more is better.
    pub quality: f32,
    /// Whether the output decodes to exactly these pixels.
    pub lossless: bool,
    /// The encoder and its effort.
    pub encoding: Encoding,
    /// The kind of the picture.
    pub kind: PictureKind,
    /// The picture in colours that only come near those of `data`, if a still PNG may show these.
    pub indexed: Option<IndexedPixels>,
    /// Threads that the encoder may use, at least 1; the bytes are the same for any number.
    pub threads: u32,
    /// The contents of an EXIF block to embed, without its header.
    pub exif: Option<Vec<u8>>,
    /// The ICC profile that the pixels are in, for formats that carry one; `None` is sRGB.
    pub profile: Option<Arc<[u8]>>,
}

/// Pixels in one of the two layouts that encoders accept.
pub enum PictureData {
    /// Interleaved RGB or RGBA, in the order in which the frames are shown; at least one.
    Frames(Vec<Frame>),
    /// One frame as Y'CbCr planes, for codecs whose [`accepts_ycbcr`](crate::Codec::accepts_ycbcr) is true.
    Planes(Planes),
}

impl EncodeInput {
    /// The input with no metadata, sRGB, lossy, endless, of the default encoder, effort and kind, on one thread.
    pub fn new(data: PictureData, quality: f32) -> EncodeInput {
        EncodeInput {
            data,
            loops: Loops::Forever,
            quality,
            lossless: false,
            encoding: Encoding::default(),
            kind: PictureKind::Photo,
            indexed: None,
            threads: 1,
            exif: None,
            profile: None,
        }
    }

    /// All frames.
    ///
    /// # Panics
    /// On [`PictureData::Planes`].
    pub fn frames(&self) -> &[Frame] {
        match &self.data {
            PictureData::Frames(frames) => frames,
            PictureData::Planes(_) => unreachable!("only codecs that accept YCbCr are given planes"),
        }
    }

    /// Whether it may be written as greyscale: no pixel has colour, and there is no profile, since profiles of RGB pictures cannot
    /// be embedded in greyscale ones.
    pub fn is_grey(&self) -> bool {
        let has_no_colour = || match &self.data {
            PictureData::Frames(frames) => frames.iter().all(|frame| frame.pixels.is_grey()),
            PictureData::Planes(planes) => planes.is_grey(),
        };
        self.profile.is_none() && has_no_colour()
    }

    /// The pixels of the first frame.
    ///
    /// # Panics
    /// On [`PictureData::Planes`].
    pub fn first(&self) -> &Pixels {
        &self.frames()[0].pixels
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Size {
        match &self.data {
            PictureData::Frames(frames) => frames[0].pixels.size,
            PictureData::Planes(planes) => planes.size,
        }
    }
}
