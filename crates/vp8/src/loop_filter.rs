//! The loop filter (RFC 6386 §15).

// LLVM vectorises counted loops over eight arrays reliably
#![allow(clippy::needless_range_loop)]

/// How strongly a macroblock is filtered (§15.1).
#[derive(Clone, Copy, Default)]
pub(crate) struct FilterStrength {
    /// Twice the filter level plus the interior limit; 0 where the macroblock is not filtered.
    limit: i16,
    interior_limit: i16,
    hev_threshold: i16,
}

impl FilterStrength {
    /// By the filter level, 0 to 63, and the sharpness, 0 to 7, in a key frame.
    pub(crate) fn new(level: i32, sharpness: i32) -> FilterStrength {
        if level == 0 {
            return FilterStrength::default();
        }
        let mut interior_limit = level;
        if sharpness > 0 {
            interior_limit = (interior_limit >> if sharpness > 4 { 2 } else { 1 }).min(9 - sharpness);
        }
        let interior_limit = interior_limit.max(1);
        let hev_threshold = match level {
            40.. => 2,
            15.. => 1,
            _ => 0,
        };
        FilterStrength {
            limit: (2 * level + interior_limit) as i16,
            interior_limit: interior_limit as i16,
            hev_threshold,
        }
    }

    /// Whether the macroblock is not filtered.
    pub(crate) fn is_off(&self) -> bool {
        self.limit == 0
    }
}

/// The four pixels before an edge and the four behind it, of as many lines as cross it.
type EdgePixels<const LINES: usize> = [[u8; LINES]; 8];

/// Filters a horizontal edge: `at` is the index of the first pixel below it.
#[inline(always)]
fn horizontal_edge<const LINES: usize>(
    plane: &mut [u8], at: usize, stride: usize, filter: impl FnOnce(&mut EdgePixels<LINES>),
) {
    let mut pixels = [[0; LINES]; 8];
    let top = at - 4 * stride;
    for (row, pixels) in pixels.iter_mut().enumerate() {
        pixels.copy_from_slice(&plane[top + row * stride..][..LINES]);
    }
    filter(&mut pixels);
    for row in 1..7 {
        plane[top + row * stride..][..LINES].copy_from_slice(&pixels[row]);
    }
}

/// Filters a vertical edge: `at` is the index of the first pixel to the right of it.
#[inline(always)]
fn vertical_edge<const LINES: usize>(
    plane: &mut [u8], at: usize, stride: usize, filter: impl FnOnce(&mut EdgePixels<LINES>),
) {
    let mut pixels = [[0; LINES]; 8];
    for line in 0..LINES {
        let row: &[u8; 8] = plane[at + line * stride - 4..].first_chunk().unwrap_or(&[0; 8]);
        for (column, pixels) in pixels.iter_mut().enumerate() {
            pixels[line] = row[column];
        }
    }
    filter(&mut pixels);
    for line in 0..LINES {
        let row = &mut plane[at + line * stride - 4..][..8];
        for column in 1..7 {
            row[column] = pixels[column][line];
        }
    }
}

/// The simple filter (§15.2), which luma alone has, on the macroblock that begins at `at`: the edges of its subblocks if `subblocks`, and its own
/// left and upper edge where there is a macroblock.
pub(crate) fn filter_simple(
    plane: &mut [u8], at: usize, stride: usize, strength: FilterStrength, subblocks: bool, (left, above): (bool, bool),
) {
    let (mb_limit, sub_limit) = (2 * (strength.limit + 4) + 1, 2 * strength.limit + 1);
    for column in (0..16).step_by(4).filter(|&column| if column == 0 { left } else { subblocks }) {
        let limit = if column == 0 { mb_limit } else { sub_limit };
        vertical_edge::<16>(plane, at + column, stride, |pixels| simple_segment(pixels, limit));
    }
    for row in (0..16).step_by(4).filter(|&row| if row == 0 { above } else { subblocks }) {
        let limit = if row == 0 { mb_limit } else { sub_limit };
        horizontal_edge::<16>(plane, at + row * stride, stride, |pixels| simple_segment(pixels, limit));
    }
}

/// The normal filter (§15.3), likewise, on a macroblock of any plane.
pub(crate) fn filter_normal<const SIDE: usize>(
    plane: &mut [u8], at: usize, stride: usize, strength: FilterStrength, subblocks: bool, (left, above): (bool, bool),
) {
    let FilterStrength { limit, interior_limit, hev_threshold } = strength;
    let (mb_limit, sub_limit) = (2 * (limit + 4) + 1, 2 * limit + 1);
    if left {
        vertical_edge::<SIDE>(plane, at, stride, |pixels| {
            macroblock_filter(pixels, mb_limit, interior_limit, hev_threshold)
        });
    }
    for column in (4..SIDE).step_by(4).filter(|_| subblocks) {
        vertical_edge::<SIDE>(plane, at + column, stride, |pixels| {
            subblock_filter(pixels, sub_limit, interior_limit, hev_threshold)
        });
    }
    if above {
        horizontal_edge::<SIDE>(plane, at, stride, |pixels| {
            macroblock_filter(pixels, mb_limit, interior_limit, hev_threshold)
        });
    }
    for row in (4..SIDE).step_by(4).filter(|_| subblocks) {
        horizontal_edge::<SIDE>(plane, at + row * stride, stride, |pixels| {
            subblock_filter(pixels, sub_limit, interior_limit, hev_threshold)
        });
    }
}

/// Clamps to the range of a signed byte.
fn clamp_i8(level: i16) -> i16 {
    level.clamp(-128, 127)
}

/// Clamps to the range of a pixel.
fn pixel(level: i16) -> u8 {
    level.clamp(0, 255) as u8
}

/// Filters across an edge where it is not one of the image's own (§15.2).
#[inline(always)]
fn simple_segment<const LINES: usize>(pixels: &mut EdgePixels<LINES>, limit: i16) {
    for line in 0..LINES {
        let [p1, p0, q0, q1] = [2, 3, 4, 5].map(|at| i16::from(pixels[at][line]));
        let filters = 4 * (p0 - q0).abs() + (p1 - q1).abs() <= limit;
        let step = 3 * (q0 - p0) + clamp_i8(p1 - q1);
        let (more, less) = (clamp_i8(step + 4) >> 3, clamp_i8(step + 3) >> 3);
        if filters {
            pixels[3][line] = pixel(p0 + less);
            pixels[4][line] = pixel(q0 - more);
        }
    }
}

/// The normal filter at the edge of a subblock (§15.3).
#[inline(always)]
fn subblock_filter<const LINES: usize>(
    pixels: &mut EdgePixels<LINES>, edge_limit: i16, interior_limit: i16, hev_threshold: i16,
) {
    for line in 0..LINES {
        let [p3, p2, p1, p0, q0, q1, q2, q3] = std::array::from_fn(|at| i16::from(pixels[at][line]));
        let filters = should_filter([p3, p2, p1, p0, q0, q1, q2, q3], edge_limit, interior_limit);
        let hev = (p1 - p0).abs() > hev_threshold || (q1 - q0).abs() > hev_threshold;
        let outer = if hev { clamp_i8(p1 - q1) } else { 0 };
        let step = 3 * (q0 - p0) + outer;
        let (more, less) = (clamp_i8(step + 4) >> 3, clamp_i8(step + 3) >> 3);
        let half = if hev { 0 } else { (more + 1) >> 1 };
        let keep = |new: i16, old: i16| if filters { pixel(new) } else { old as u8 };
        pixels[2][line] = keep(p1 + half, p1);
        pixels[3][line] = keep(p0 + less, p0);
        pixels[4][line] = keep(q0 - more, q0);
        pixels[5][line] = keep(q1 - half, q1);
    }
}

/// The normal filter at the edge of a macroblock (§15.3).
#[inline(always)]
fn macroblock_filter<const LINES: usize>(
    pixels: &mut EdgePixels<LINES>, edge_limit: i16, interior_limit: i16, hev_threshold: i16,
) {
    for line in 0..LINES {
        let [p3, p2, p1, p0, q0, q1, q2, q3] = std::array::from_fn(|at| i16::from(pixels[at][line]));
        let filters = should_filter([p3, p2, p1, p0, q0, q1, q2, q3], edge_limit, interior_limit);
        let hev = (p1 - p0).abs() > hev_threshold || (q1 - q0).abs() > hev_threshold;
        let step = 3 * (q0 - p0) + clamp_i8(p1 - q1);
        let (more, less) = (clamp_i8(step + 4) >> 3, clamp_i8(step + 3) >> 3);
        let wide = clamp_i8(step);
        let (near, next, far) = ((27 * wide + 63) >> 7, (18 * wide + 63) >> 7, (9 * wide + 63) >> 7);
        let choose = |few: i16, many: i16| if hev { few } else { many };
        let keep = |new: i16, old: i16| if filters { pixel(new) } else { old as u8 };
        pixels[1][line] = keep(p2 + choose(0, far), p2);
        pixels[2][line] = keep(p1 + choose(0, next), p1);
        pixels[3][line] = keep(p0 + choose(less, near), p0);
        pixels[4][line] = keep(q0 - choose(more, near), q0);
        pixels[5][line] = keep(q1 - choose(0, next), q1);
        pixels[6][line] = keep(q2 - choose(0, far), q2);
    }
}

/// Whether the edge is not one of the image's own (§15.3).
#[inline(always)]
fn should_filter([p3, p2, p1, p0, q0, q1, q2, q3]: [i16; 8], edge_limit: i16, interior_limit: i16) -> bool {
    let near = |a: i16, b: i16| (a - b).abs() <= interior_limit;
    (4 * (p0 - q0).abs() + (p1 - q1).abs() <= edge_limit)
        & near(p3, p2)
        & near(p2, p1)
        & near(p1, p0)
        & near(q3, q2)
        & near(q2, q1)
        & near(q1, q0)
}
