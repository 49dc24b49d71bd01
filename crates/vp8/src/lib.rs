//! Key frames of VP8 (RFC 6386), which lossy WebP files are made of, decoded into planes, at full size or scaled down while they
//! are decoded. Safe Rust.

#![forbid(unsafe_code)]

mod constants;
mod decoder;
mod filter;
mod predict;
mod reduced;

pub use decoder::{decode, reduced, rows};
pub use reduced::{Reduced, side};
