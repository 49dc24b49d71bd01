//! The encoders of libwebp and libaom behind safe functions: the only crate of tintype's codecs with `unsafe`.
//!
//! Each module states what its `unsafe` blocks rely on.

#[cfg(feature = "native")]
pub mod libaom;
pub mod libwebp;
