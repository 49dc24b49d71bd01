//! The image formats of tintype: one module a format, each with a [`Codec`] that probes, decodes and encodes it.
//!
//! Two rules hold for every decoder: it takes an [`Admitted`](tintype_pixels::Admitted), which exists only for an original within the
//! limits, and it is called through [`formats::of`], which turns a panic into [`Error::Malformed`](tintype_pixels::Error).
//!
//! To add a format: a variant and a row in `tintype_pixels::format`, a module here, an arm in [`formats::of`].

#![forbid(unsafe_code)]
// without native codecs JPEG has no planes
#![cfg_attr(not(feature = "native"), allow(dead_code))]

#[cfg(not(any(feature = "native", feature = "pure")))]
compile_error!(
    "no JPEG codec: use the default features (they need cmake and nasm), or `--no-default-features --features pure`"
);

mod avif;
mod bmp;
mod boxes;
mod canvas;
pub mod codec;
pub mod encode_input;
pub mod encoding;
pub mod formats;
mod gif;
mod ico;
pub mod indexed;
pub mod jpeg;
mod jxl;
mod lzw;
mod palette;
pub mod png;
mod pnm;
mod qoi;
mod quantise;
mod samples;
pub mod svg;
#[cfg(test)]
mod testing;
mod tiff;
mod unsupported;
mod webp;

pub use codec::{Codec, RowSink, ShouldContinue, Sink};
pub use encode_input::{EncodeInput, PictureData};
pub use encoding::{AvifEncoder, Effort, Encoding, PictureKind};
pub use formats::{BACKENDS, of};
pub use indexed::IndexedPixels;
