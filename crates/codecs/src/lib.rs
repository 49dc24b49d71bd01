//! The image formats of tintype: one module a format, each with a [`Codec`] that probes, decodes and encodes it.
//!
//! Two gates stand around every decoder: it takes an [`Admitted`](tintype_pixels::Admitted), which exists only for an original
//! within the limits, and it is called through [`formats::of`], which turns a panic into [`Error::Malformed`](tintype_pixels::Error).
//!
//! To add a format: a variant and a row in `tintype_pixels::format`, a module here, an arm in [`formats::of`].

#![forbid(unsafe_code)]
// without native codecs JPEG has no planes
#![cfg_attr(not(feature = "native"), allow(dead_code))]

#[cfg(not(any(feature = "native", feature = "pure")))]
compile_error!(
    "no JPEG codec: take the default features (cmake and nasm build them), or `--no-default-features --features pure`"
);

mod avif;
mod bmp;
mod canvas;
pub mod codec;
pub mod encoding;
pub mod formats;
mod gif;
mod ico;
pub mod jpeg;
mod jxl;
mod lzw;
mod palette;
pub mod picture;
mod png;
mod pnm;
mod qoi;
mod refused;
mod samples;
#[cfg(test)]
mod testing;
mod tiff;
mod webp;

pub use codec::{Codec, KeepGoing, RowSink, Sink};
pub use encoding::{AvifEncoder, Effort, Encoding};
pub use formats::{BACKENDS, of};
pub use picture::{Picture, Shown};
