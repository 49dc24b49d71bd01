//! Scaled decoding of JPEG (ITU T.81) into planes of luma and chroma, in safe Rust.
//!
//! ```no_run
//! use tintype_pixels::geometry::DctScale;
//!
//! let file = std::fs::read("photo.jpg").expect("a file");
//! // a quarter of the width and height
//! let planes = tintype_jpeg::decode(&file, DctScale::new(2)).expect("an undamaged JPEG file");
//! let [luma, cb, cr] = planes.all();
//! ```
//!
//! Supported are baseline and extended sequential files of one scan ([`sequential`]) and progressive files ([`progressive`]), with
//! Huffman coding, 8 bits a sample, one or three components. Coefficients that do not contribute to the scaled image are skipped in
//! the entropy-coded data instead of being dequantised and transformed, several scales are decoded in one pass, and outside of a
//! requested region only the entropy-coded data is read ([`DecodeRequest`]).
//!
//! The decoders are strict: any damage yields `None`, and such a file is left to a tolerant decoder such as libjpeg-turbo.
//! [`repair`] and [`integrity`] prepare files for that and judge the result.

#![forbid(unsafe_code)]

mod bit_reader;
mod decode;
mod entropy;
mod frame;
pub mod header;
mod huffman;
mod huffman_codes;
mod idct;
pub mod integrity;
mod lanes;
mod lenient_tables;
pub mod marker;
pub mod progressive;
#[cfg(test)]
mod reference;
pub mod repair;
mod request;
pub mod sequential;
pub mod structure;
mod tables;
#[cfg(test)]
mod testing;
pub mod verify;
mod zigzag;

pub use decode::decode;
pub use lenient_tables::STANDARD_HUFFMAN_TABLES;
pub use request::DecodeRequest;
use tintype_pixels::DctScale;

const FORMAT: tintype_pixels::Format = tintype_pixels::Format::Jpeg;

/// The scales at which files are decoded.
pub const SCALES: [DctScale; 6] = tintype_pixels::JPEG_SCALES;
