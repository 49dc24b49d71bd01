//! Scaled decoding of JPEG (ITU T.81) into planes of luma and chroma, in safe Rust.
//!
//! Baseline and extended sequential files ([`sequential`]) and progressive ones ([`progressive`]) with Huffman coding, 8 bits a
//! sample, one or three components. Coefficients that do not contribute to the scaled picture are skipped in the entropy-coded
//! data instead of being dequantised and transformed, and several scales are made in one pass.
//!
//! The decoders are strict: a file with any damage is left to a tolerant decoder such as libjpeg-turbo (`None`). What may be
//! repaired before decoding is in [`repair`], and whether all data of a file is there is found by [`verify`].

#![forbid(unsafe_code)]

mod bits;
mod codes;
pub mod header;
mod huffman;
mod idct;
#[cfg(test)]
mod library;
pub mod progressive;
pub mod repair;
pub mod scans;
pub mod sequential;
mod tables;
#[cfg(test)]
mod testing;
pub mod verify;
mod views;

use tintype_pixels::DctScale;
pub use views::Pictures;

const FORMAT: tintype_pixels::Format = tintype_pixels::Format::Jpeg;

/// The scales at which files are decoded. 5/8 and 7/8 save next to nothing over 6/8 and 8/8, and the fewer there are, the more
/// often one decoding serves several results.
pub const SCALES: [DctScale; 6] =
    [DctScale::new(1), DctScale::new(2), DctScale::new(3), DctScale::new(4), DctScale::new(6), DctScale::FULL];
