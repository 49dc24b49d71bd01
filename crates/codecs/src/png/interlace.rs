//! Adam7 interlacing (PNG, third edition, §8.1). Pixels of missing passes repeat the nearest decoded pixel to the left and above, as in
//! browsers.

use super::samples::Samples;
use super::scanlines::Scanlines;
use super::{Header, Size};

/// First column and row of each pass, and the steps between its columns and rows.
const PASSES: [[u32; 4]; 7] =
    [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

/// The spacing in columns and rows of the pixels that are complete after each pass.
const GRIDS: [[u32; 2]; 7] = [[8, 8], [4, 8], [4, 4], [2, 4], [2, 2], [1, 2], [1, 1]];

/// The passes that are not empty: their number and size.
fn passes(size: Size) -> impl Iterator<Item = (usize, Size)> {
    let count = |from: u32, step: u32, all: u32| all.saturating_sub(from).div_ceil(step);
    let sizes = PASSES.map(|[x, y, across, down]| Size::new(count(x, across, size.width), count(y, down, size.height)));
    sizes.into_iter().enumerate().filter(|(_, size)| size.width > 0 && size.height > 0)
}

/// Bytes of all scanlines with their filter bytes.
pub(super) fn bytes(header: &Header, size: Size) -> u64 {
    passes(size).map(|(_, size)| (header.stride(size.width) as u64 + 1) * u64::from(size.height)).sum()
}

/// Decodes a picture of that size into `out` as far as possible; `false` where there is no scanline.
pub(super) fn read(
    lines: &mut Scanlines<'_>, header: &Header, samples: &Samples<'_>, size: Size, out: &mut [u8],
) -> bool {
    let channels = samples.channels;
    let mut any_row = false;
    for (pass, Size { width, height }) in passes(size) {
        let [left, top, across, down] = PASSES[pass];
        let mut row = vec![0; header.stride(width)];
        lines.begin_pass(row.len());
        for y in 0..height {
            if lines.read(&mut row) == 0 {
                if any_row {
                    fill(out, size, channels, pass, y);
                }
                return any_row;
            }
            any_row = true;
            let line = &mut out[(top + y * down) as usize * size.width as usize * channels..];
            let pixels = samples.to_rgb(&row, width as usize);
            for (x, pixel) in (0..).zip(pixels.chunks_exact(channels)) {
                line[(left + x * across) as usize * channels..][..channels].copy_from_slice(pixel);
            }
        }
    }
    any_row
}

/// Fills in missing pixels where `rows` rows of `pass` and all passes before were decoded.
fn fill(out: &mut [u8], size: Size, channels: usize, pass: usize, rows: u32) {
    let stride = size.width as usize * channels;
    let [_, top, _, down] = PASSES[pass];
    for y in 0..size.height {
        let [_, step] = GRIDS[pass];
        let on_grid = y / step * step;
        let is_decoded = match on_grid.checked_sub(top) {
            Some(below) if below % down == 0 => below / down < rows,
            // the rows between those of this pass are from earlier passes
            _ => pass > 0,
        };
        let grid = if is_decoded { Some(GRIDS[pass]) } else { pass.checked_sub(1).map(|before| GRIDS[before]) };
        // rows below the last one of the first pass stay empty
        let Some([across, step]) = grid else { continue };
        let from = (y / step * step) as usize * stride;
        let to = y as usize * stride;
        for x in 0..size.width {
            let (x, source) = (x as usize * channels, (x / across * across) as usize * channels);
            if (from, source) != (to, x) {
                out.copy_within(from + source..from + source + channels, to + x);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_pixels_repeat_the_nearest_decoded_one() {
        let size = Size::new(19, 21);
        for (reached, [_, top, _, down]) in PASSES.into_iter().enumerate() {
            for rows in 0..(size.height - top).div_ceil(down) {
                // each decoded pixel holds its index
                let mut out = vec![0_u8; size.pixels() as usize * 3];
                let mut decoded = vec![false; size.pixels() as usize];
                for (pass, Size { width, height }) in passes(size).filter(|(pass, _)| *pass <= reached) {
                    let [left, top, across, down] = PASSES[pass];
                    for y in 0..if pass == reached { rows } else { height } {
                        for x in 0..width {
                            let at = ((top + y * down) * size.width + left + x * across) as usize;
                            decoded[at] = true;
                            out[at * 3..at * 3 + 2].copy_from_slice(&(at as u16 + 1).to_be_bytes());
                        }
                    }
                }
                fill(&mut out, size, 3, reached, rows);
                for (at, pixel) in (0..).zip(out.chunks_exact(3)) {
                    let number = u32::from(u16::from_be_bytes([pixel[0], pixel[1]]));
                    let (x, y) = (at % size.width, at / size.width);
                    if reached == 0 && number == 0 {
                        assert!(y >= rows * 8, "{x}, {y} of {rows} rows of the first pass");
                        continue;
                    }
                    let source =
                        number.checked_sub(1).unwrap_or_else(|| panic!("pass {reached}, {rows} rows: {x}, {y}"));
                    assert!(decoded[source as usize]);
                    let (from_x, from_y) = (source % size.width, source / size.width);
                    assert!(from_x <= x && from_y <= y && x - from_x < 8 && y - from_y < 8);
                    assert!(!decoded[at as usize] || source == at, "decoded pixels stay");
                }
            }
        }
    }
}
