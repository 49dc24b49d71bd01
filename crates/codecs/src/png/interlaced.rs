//! Interlaced pictures (Adam7; PNG, third edition, §8.1): seven passes, each of a picture of its own. Where passes are missing
//! each of their pixels is shown as the one to the left and above that came, as browsers do.

use super::samples::Samples;
use super::scanlines::Scanlines;
use super::{Header, Size};

/// First column and row of each pass, and the steps between its columns and rows.
const PASSES: [[u32; 4]; 7] =
    [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

/// After each pass every so many columns and rows have a pixel.
const GRIDS: [[u32; 2]; 7] = [[8, 8], [4, 8], [4, 4], [2, 4], [2, 2], [1, 2], [1, 1]];

/// Columns and rows of the passes that have any pixels, with the number of each.
fn passes(size: Size) -> impl Iterator<Item = (usize, Size)> {
    let count = |from: u32, step: u32, all: u32| all.saturating_sub(from).div_ceil(step);
    let sizes = PASSES.map(|[x, y, across, down]| Size::new(count(x, across, size.width), count(y, down, size.height)));
    sizes.into_iter().enumerate().filter(|(_, size)| size.width > 0 && size.height > 0)
}

/// Bytes of a picture of that size as it is stored.
pub(super) fn bytes(header: &Header, size: Size) -> u64 {
    passes(size).map(|(_, size)| (header.stride(size.width) as u64 + 1) * u64::from(size.height)).sum()
}

/// Reads a picture of that size into `out`, as far as it comes; whether anything of it does.
pub(super) fn read(
    lines: &mut Scanlines<'_>, header: &Header, samples: &Samples<'_>, size: Size, out: &mut [u8],
) -> bool {
    let channels = samples.channels;
    let mut any = false;
    for (pass, Size { width, height }) in passes(size) {
        let [left, top, across, down] = PASSES[pass];
        let mut row = vec![0; header.stride(width)];
        lines.begin(row.len());
        for y in 0..height {
            if lines.read(&mut row) == 0 {
                if any {
                    fill(out, size, channels, pass, y);
                }
                return any;
            }
            any = true;
            let line = &mut out[(top + y * down) as usize * size.width as usize * channels..];
            let pixels = samples.to_rgb(&row, width as usize);
            for (x, pixel) in (0..).zip(pixels.chunks_exact(channels)) {
                line[(left + x * across) as usize * channels..][..channels].copy_from_slice(pixel);
            }
        }
    }
    any
}

/// Fills in the pixels that did not come, where so many rows of a pass did and all passes before.
fn fill(out: &mut [u8], size: Size, channels: usize, pass: usize, rows: u32) {
    let stride = size.width as usize * channels;
    let [_, top, _, down] = PASSES[pass];
    for y in 0..size.height {
        let [_, step] = GRIDS[pass];
        let on_grid = y / step * step;
        let has_come = match on_grid.checked_sub(top) {
            Some(below) if below % down == 0 => below / down < rows,
            // of a pass that adds rows those between are of the passes before
            _ => pass > 0,
        };
        let grid = if has_come { Some(GRIDS[pass]) } else { pass.checked_sub(1).map(|before| GRIDS[before]) };
        // rows below the first pass' last one are not shown
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
    fn pixels_that_are_missing_are_filled_from_those_that_came() {
        let size = Size::new(19, 21);
        for (reached, [_, top, _, down]) in PASSES.into_iter().enumerate() {
            for rows in 0..(size.height - top).div_ceil(down) {
                // each pixel that came is its own number
                let mut out = vec![0_u8; size.pixels() as usize * 3];
                let mut came = vec![false; size.pixels() as usize];
                for (pass, Size { width, height }) in passes(size).filter(|(pass, _)| *pass <= reached) {
                    let [left, top, across, down] = PASSES[pass];
                    for y in 0..if pass == reached { rows } else { height } {
                        for x in 0..width {
                            let at = ((top + y * down) * size.width + left + x * across) as usize;
                            came[at] = true;
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
                    assert!(came[source as usize]);
                    let (from_x, from_y) = (source % size.width, source / size.width);
                    assert!(from_x <= x && from_y <= y && x - from_x < 8 && y - from_y < 8);
                    assert!(!came[at as usize] || source == at, "what came stays");
                }
            }
        }
    }
}
