//! The types that tintype's codecs and operations share. No codec and no operation is here.
//!
//! | module | contents |
//! |---|---|
//! | [`geometry`] | sizes, scales, rectangles, regions, EXIF orientations |
//! | [`pixels`], [`planes`], [`rows`] | a picture as interleaved pixels, as planes of luma and chroma, as rows read once |
//! | [`colour`], [`ycbcr`] | ICC profiles and conversion to sRGB; Y′CbCr to RGB and back |
//! | [`exif`] | the EXIF fields that matter: orientation, artist, copyright |
//! | [`mod@format`], `signature` | the table of image formats: names, media types, capabilities; a format by its signature |
//! | [`info`] | what a header says, and what the decoder can do with the file |
//! | [`decoded`] | a decoder's result |
//! | [`limits`] | the check that every original passes before any of its pixels is decoded |
//! | [`error`] | why a picture was not made |
//! | `wire` | checks of these types where they arrive from another process |

#![forbid(unsafe_code)]

pub mod colour;
pub mod decoded;
pub mod error;
pub mod exif;
pub mod format;
pub mod geometry;
pub mod info;
pub mod limits;
pub mod pixels;
pub mod planes;
pub mod rows;
mod signature;
mod wire;
pub mod ycbcr;

pub use colour::{ColourModel, Profile};
pub use decoded::{Decoded, Frame, Integrity, Samples};
pub use error::{Error, Result};
pub use format::Format;
pub use geometry::{DctScale, Orientation, Rect, Region, Size};
pub use info::{DecodeMemory, DecoderCaps, Info, KeptFrames, Loops, RowDecoding, VectorDrawing};
pub use info::{JPEG_SCALES, POWER_OF_TWO_SCALES, REDUCED_JPEG_SCALES};
pub use limits::{Admitted, DecodeOptions, Limits, PixelLayout};
pub use pixels::Pixels;
pub use planes::{ChromaSubsampling, Plane, Planes};
pub use rows::Rows;
pub use signature::svg_attributes;
