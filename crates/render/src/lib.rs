//! Bytes and a recipe in, bytes out. Pure: no async, no clock, no threads, and no I/O but for the files of [`fonts`].
//!
//! [`render`] is the whole of it: probe the header, plan within the limits, decode, apply the operations, encode. The server,
//! `tintype convert`, the benches and the golden tests all call the same function.
//!
//! In reading order:
//!
//! | module | contents |
//! |---|---|
//! | [`geometry`] | how a part of an original is fitted into a result |
//! | [`fonts`] | the fonts that text in SVGs is drawn with |
//! | [`recipe`], `overlay`, [`settings`] | what is asked for; files of overlays; limits and defaults |
//! | `bands`, `cost` | rows held at a time; every formula of memory and time |
//! | `quality`, `score` | the common scale in the numbers of each encoder; how near a picture comes to another |
//! | `kind` | drawings and photographs |
//! | `viewport`, [`plan`] | a recipe in the pixels of one original; what is decoded and how |
//! | `ops`, `pipeline` | the operations on pixels, and their order |
//! | `progress`, `encoded` | the caller of a render; its result |
//! | `target`, `encode` | the search for a promised score; from pixels to a file |
//! | `metadata`, `placeholder`, `json`, `miniature` | what encoders are told; descriptions; dominant colours and blurred previews |
//! | `probe`, `passthrough`, `effective`, `estimate` | questions that a header answers |
//! | `clamp`, `explain` | results that a limit made smaller; the decisions of a plan, for people |
//! | `shared`, `render`, `check` | decoded pictures that are shared; the whole path; validation of uploads |
//! | [`wire`] | all of these as bytes, for renders in another process |

#![forbid(unsafe_code)]

mod bands;
mod check;
mod clamp;
mod cost;
mod effective;
mod encode;
mod encoded;
mod estimate;
mod explain;
pub mod fonts;
pub mod geometry;
mod json;
mod kind;
mod metadata;
mod miniature;
mod ops;
mod overlay;
mod passthrough;
mod pipeline;
mod placeholder;
pub mod plan;
mod probe;
mod progress;
mod quality;
pub mod recipe;
mod render;
mod score;
pub mod settings;
mod shared;
mod target;
#[cfg(test)]
mod testing;
mod viewport;
pub mod wire;

pub use check::{Checked, check};
pub use clamp::{Clamp, ClampLimit, UNLIMITED};
pub use cost::FIXED_MEMORY;
pub use encoded::{Content, Encoded};
pub use estimate::{Estimate, estimate, estimate_check, gains_by_threads};
pub use explain::{COMPARE_MEMORY, Explanation, compare, explain};
pub use overlay::{MAX_OVERLAY_BYTES, OverlayFile, Overlays};
pub use probe::{check_svg_mode, head, head_of_beginning, identify, probe};
pub use progress::{Progress, Stage};
pub use recipe::Recipe;
pub use render::{decode_keys, encode_at, needs_original, render, render_from};
pub use settings::{Settings, SvgMode};
pub use shared::{Decode, DecodeKey, GivenDecode, SharedDecodes, Unshared};

pub use tintype_codecs::{AvifEncoder, BACKENDS, Effort, Encoding, PictureKind};
pub use tintype_pixels::{Decoded, Error, Format, Info, Limits, Orientation, Pixels, Rect, Result, Size};
