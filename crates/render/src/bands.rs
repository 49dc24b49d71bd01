//! The bands of rows in which a resize works: how many rows of the picture and of the result are held at a time.

use tintype_pixels::{Region, Size};

/// Rows that are read at a time where a part of each is needed: some decoders take less for several together.
pub(crate) const CUT_AT_ONCE: usize = 16;

/// Rows of a result that are made at a time: of about as many of the picture as a core's own cache holds. It does not
/// depend on where they come from, nor on how many samples a pixel has, since the last bit of a result may depend on it.
pub(crate) fn rows_at_once(stored: Size, down: f64) -> u32 {
    const CACHED: f64 = 512.0 * 1024.0;
    (CACHED / (f64::from(stored.width) * 4.0) / down).clamp(2.0, 4096.0) as u32
}

/// Rows of the picture that so many rows of the result are made from.
pub(crate) fn window(stored: Size, down: f64, rows_at_once: u32) -> u32 {
    ((f64::from(rows_at_once) * down + 2.0 * reach(down) + 2.0) as u32).min(stored.height)
}

/// Whether a resize makes rows shorter first, and then more of them. The other order is faster; but where a picture becomes much
/// narrower and much higher it holds more between the passes than the picture and the result have together.
pub(crate) fn is_rows_first((width, height): (f64, f64), size: Size) -> bool {
    height > 0.0 && f64::from(size.height) > 2.0 * height && width > 2.0 * f64::from(size.width)
}

/// The rows of the original from which one band of the result is made.
pub(crate) struct Band {
    /// The first row of the window.
    pub(crate) first: u32,
    /// Rows from there to where the band begins.
    pub(crate) from: f64,
    /// Rows that it stands for.
    pub(crate) height: f64,
    /// Rows of the result.
    pub(crate) made: u32,
}

/// Bands of `rows_at_once` rows of a result, each made from `window` rows.
pub(crate) fn bands(
    stored: Size, region: Region, size: Size, rows_at_once: u32, window: u32,
) -> impl Iterator<Item = Band> {
    let down = region.height / f64::from(size.height);
    (0..size.height).step_by(rows_at_once as usize).map(move |top| {
        let made = rows_at_once.min(size.height - top);
        let from = region.y + f64::from(top) * down;
        let first = ((from - reach(down)).max(0.0) as u32).min(stored.height - window);
        let from = from - f64::from(first);
        Band { first, from, height: (f64::from(made) * down).min(f64::from(window) - from), made }
    })
}

/// Rows of a result that are made at a time in linear light, where each stands for `down` of the picture. More rows would
/// take more memory, and fewer more time, since neighbouring bands read some of the same rows.
pub(crate) fn linear_rows_at_once(down: f64) -> u32 {
    (384.0 / down).clamp(8.0, 64.0) as u32
}

/// How far a result's row reads the picture up and down: as far as the filter reaches, and a row for rounding.
pub(crate) fn reach(down: f64) -> f64 {
    3.0 * down.max(1.0) + 1.0
}
