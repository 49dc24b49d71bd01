//! Decoding of VP8 key frames (RFC 6386), which lossy WebP files consist of, into planes, at full size or scaled while they are
//! decoded. Safe Rust.
//!
//! ```no_run
//! use tintype_pixels::geometry::DctScale;
//!
//! // the body of the `VP8 ` chunk of a WebP file
//! let chunk: Vec<u8> = std::fs::read("frame.vp8").expect("a file");
//! let frame = tintype_vp8::decode(&chunk, DctScale::new(2)).expect("an undamaged key frame");
//! println!("{} at 2/8: {} samples of luma a row", frame.size, frame.stride());
//! ```
//!
//! | module | RFC 6386 |
//! |---|---|
//! | `bool_decoder` | §7, the boolean entropy decoder |
//! | `header` | §9, the frame header, partitions |
//! | `modes` | §8, §11, prediction modes |
//! | `predict` | §12, intra prediction; §14, inverse transforms |
//! | `tokens` | §13, DCT coefficients |
//! | `loop_filter` | §15, the loop filter |
//! | `macroblock`, `decoder` | reconstruction, rows of macroblocks |
//! | `scaled` | box means of the rows, beyond the standard |
//! | `tables`, `mode_tables` | the constants of the standard |

#![forbid(unsafe_code)]

mod bool_decoder;
mod decoder;
mod header;
mod loop_filter;
mod macroblock;
mod mode_tables;
mod modes;
mod predict;
mod scaled;
mod tables;
mod tokens;

pub use decoder::{Frame, decode, decode_partial, decode_planes, decode_scaled};
pub use header::frame_size;
pub use scaled::{ScaledPlanes, macroblock_side};
