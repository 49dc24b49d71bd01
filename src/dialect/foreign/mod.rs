//! The URLs of other systems: each dialect reads its own grammar into the parameters of native URLs, so that both have one
//! rendition.
//!
//! | module | what it holds |
//! |---|---|
//! | [`options`] | the table of a dialect's options: the source of its parser, its suggestions and its documentation |
//! | [`meaning`] | [`Meaning`]: native parameters, set by name |
//! | [`source`] | the text that names a source to the name of an original |
//! | [`values`] | numbers, colours and percent-encoding |
//! | `overlays`, `watermark` | the names of overlays, and watermarks as overlays |
//! | `write` | native parameters in the words of each |
//! | others | a dialect each |
//!
//! To add a dialect: a module with a table of options and a type that implements [`Dialect`](super::Dialect), its settings in
//! `config/dialects.rs`, and its mount in `config/mounts/`. CONTRIBUTING.md has the checklist.

pub mod cloudflare;
pub mod imgix;
pub mod imgproxy;
pub mod ipx;
pub mod meaning;
pub mod next;
pub mod options;
mod overlays;
pub mod source;
pub mod templates;
#[cfg(test)]
mod tests;
pub mod thumbor;
pub mod values;
mod watermark;
mod write;
pub mod wsrv;

/// The names of all foreign dialects in settings, logs and metrics.
pub const NAMES: [&str; 8] = ["paths", "imgproxy", "cloudflare", "ipx", "thumbor", "imgix", "next", "wsrv"];

pub use meaning::Meaning;
pub use overlays::OverlayNames;
pub use source::Sources;
