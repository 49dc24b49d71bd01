//! A picture as rows that are read once, from the top.

use crate::error::Result;
use crate::geometry::Size;

/// Rows of a picture of 8 bits a sample, each once and from the top.
pub trait Rows {
    /// Columns and rows.
    fn size(&self) -> Size;

    /// Samples of a pixel: 3 of red, green and blue, and one of alpha where there is any; or 1 that stands for all three.
    fn channels(&self) -> usize;

    /// Puts the next rows into `out`, as many as it has room for: width × channels bytes each, packed.
    ///
    /// # Errors
    /// For a file in which damage comes to light.
    fn read(&mut self, out: &mut [u8]) -> Result<()>;

    /// Passes over the next rows.
    ///
    /// # Errors
    /// As [`Rows::read`].
    fn skip(&mut self, rows: u32) -> Result<()>;
}
