//! The encoders of libwebp, libaom and libjpeg-turbo behind safe functions: the only crate of tintype's codecs with `unsafe`.
//!
//! `mapping` maps files of fonts into memory. Each module states what its `unsafe` blocks rely on.

#[cfg(feature = "native")]
pub mod libaom;
#[cfg(feature = "native")]
pub mod libjpeg;
pub mod libwebp;
pub mod mapping;
