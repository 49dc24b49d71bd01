//! SVG, drawn by resvg at the size that is asked for.
//!
//! The file alone is read: pictures only as `data:`, no style sheets, no scripts, and text in the fonts that were
//! loaded when the process started. A document is checked three times before it is drawn: its text (`xml`), what it expands to
//! (`complexity`), and the time and the memory that drawing takes at that size (`cost`).

#[cfg(feature = "svg")]
mod complexity;
#[cfg(feature = "svg")]
mod cost;
#[cfg(feature = "svg")]
mod draw;
#[cfg(feature = "svg")]
mod faces;
mod fonts;
#[cfg(feature = "svg")]
mod images;
#[cfg(feature = "svg")]
mod numbers;
#[cfg(feature = "svg")]
mod references;
mod size;
#[cfg(feature = "svg")]
mod style;
#[cfg(feature = "svg")]
mod xml;

#[cfg(feature = "svg")]
pub(crate) use draw::Svg;
#[cfg(feature = "svg")]
pub use faces::{FontMemory, load_fonts};
pub use fonts::{FontFiles, installed};
pub use size::stated_size;

#[cfg(all(test, feature = "svg"))]
mod tests;
