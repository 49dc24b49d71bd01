//! The filter between blocks (RFC 6386 §15).

// what is filtered is one line of eight arrays, again and again
#![allow(clippy::needless_range_loop)]

/// How strongly edges are filtered (§15.2).
#[derive(Clone, Copy, Default)]
pub(crate) struct Strength {
    /// Twice the level and the inner limit; 0 for none.
    pub(crate) limit: i16,
    inner: i16,
    varies: i16,
}

impl Strength {
    /// By the level, 0 to 63, and the sharpness, 0 to 7, of a key frame.
    pub(crate) fn of(level: i32, sharpness: i32) -> Strength {
        if level == 0 {
            return Strength::default();
        }
        let mut inner = level;
        if sharpness > 0 {
            inner = (inner >> if sharpness > 4 { 2 } else { 1 }).min(9 - sharpness);
        }
        let inner = inner.max(1);
        let varies = match level {
            40.. => 2,
            15.. => 1,
            _ => 0,
        };
        Strength { limit: (2 * level + inner) as i16, inner: inner as i16, varies }
    }
}

/// Four pixels before an edge and four behind it, of as many lines as cross it.
type Across<const LINES: usize> = [[u8; LINES]; 8];

/// Filters an edge between rows: `at` is where the first row behind it begins.
#[inline(always)]
fn level<const LINES: usize>(plane: &mut [u8], at: usize, stride: usize, filter: impl FnOnce(&mut Across<LINES>)) {
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

/// Filters an edge between columns: `at` is the first pixel behind it.
#[inline(always)]
fn upright<const LINES: usize>(plane: &mut [u8], at: usize, stride: usize, filter: impl FnOnce(&mut Across<LINES>)) {
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

/// The simple filter, of luma alone, at and within a macroblock that begins at `at`.
pub(crate) fn simple_edges(
    plane: &mut [u8], at: usize, stride: usize, strength: Strength, within: bool, (left, above): (bool, bool),
) {
    let (outer, inner) = (2 * (strength.limit + 4) + 1, 2 * strength.limit + 1);
    for column in (0..16).step_by(4).filter(|&column| if column == 0 { left } else { within }) {
        let limit = if column == 0 { outer } else { inner };
        upright::<16>(plane, at + column, stride, |pixels| simple(pixels, limit));
    }
    for row in (0..16).step_by(4).filter(|&row| if row == 0 { above } else { within }) {
        let limit = if row == 0 { outer } else { inner };
        level::<16>(plane, at + row * stride, stride, |pixels| simple(pixels, limit));
    }
}

/// The normal filter, likewise, of any plane.
pub(crate) fn normal_edges<const SIDE: usize>(
    plane: &mut [u8], at: usize, stride: usize, strength: Strength, within: bool, (left, above): (bool, bool),
) {
    let Strength { limit, inner, varies } = strength;
    let (outer, limit) = (2 * (limit + 4) + 1, 2 * limit + 1);
    if left {
        upright::<SIDE>(plane, at, stride, |pixels| between_macroblocks(pixels, outer, inner, varies));
    }
    for column in (4..SIDE).step_by(4).filter(|_| within) {
        upright::<SIDE>(plane, at + column, stride, |pixels| between_blocks(pixels, limit, inner, varies));
    }
    if above {
        level::<SIDE>(plane, at, stride, |pixels| between_macroblocks(pixels, outer, inner, varies));
    }
    for row in (4..SIDE).step_by(4).filter(|_| within) {
        level::<SIDE>(plane, at + row * stride, stride, |pixels| between_blocks(pixels, limit, inner, varies));
    }
}

fn coded(level: i16) -> i16 {
    level.clamp(-128, 127)
}

fn pixel(level: i16) -> u8 {
    level.clamp(0, 255) as u8
}

/// Filters four pixels where the edge is not one of the picture's own (§15.2).
#[inline(always)]
fn simple<const LINES: usize>(pixels: &mut Across<LINES>, limit: i16) {
    for line in 0..LINES {
        let [p1, p0, q0, q1] = [2, 3, 4, 5].map(|at| i16::from(pixels[at][line]));
        let filters = 4 * (p0 - q0).abs() + (p1 - q1).abs() <= limit;
        let step = 3 * (q0 - p0) + coded(p1 - q1);
        let (more, less) = (coded(step + 4) >> 3, coded(step + 3) >> 3);
        if filters {
            pixels[3][line] = pixel(p0 + less);
            pixels[4][line] = pixel(q0 - more);
        }
    }
}

/// The normal filter within macroblocks (§15.3).
#[inline(always)]
fn between_blocks<const LINES: usize>(pixels: &mut Across<LINES>, limit: i16, inner: i16, varies: i16) {
    for line in 0..LINES {
        let [p3, p2, p1, p0, q0, q1, q2, q3] = std::array::from_fn(|at| i16::from(pixels[at][line]));
        let filters = is_filtered([p3, p2, p1, p0, q0, q1, q2, q3], limit, inner);
        let varied = (p1 - p0).abs() > varies || (q1 - q0).abs() > varies;
        let outer = if varied { coded(p1 - q1) } else { 0 };
        let step = 3 * (q0 - p0) + outer;
        let (more, less) = (coded(step + 4) >> 3, coded(step + 3) >> 3);
        let half = if varied { 0 } else { (more + 1) >> 1 };
        let keep = |new: i16, old: i16| if filters { pixel(new) } else { old as u8 };
        pixels[2][line] = keep(p1 + half, p1);
        pixels[3][line] = keep(p0 + less, p0);
        pixels[4][line] = keep(q0 - more, q0);
        pixels[5][line] = keep(q1 - half, q1);
    }
}

/// The normal filter between macroblocks (§15.3).
#[inline(always)]
fn between_macroblocks<const LINES: usize>(pixels: &mut Across<LINES>, limit: i16, inner: i16, varies: i16) {
    for line in 0..LINES {
        let [p3, p2, p1, p0, q0, q1, q2, q3] = std::array::from_fn(|at| i16::from(pixels[at][line]));
        let filters = is_filtered([p3, p2, p1, p0, q0, q1, q2, q3], limit, inner);
        let varied = (p1 - p0).abs() > varies || (q1 - q0).abs() > varies;
        let step = 3 * (q0 - p0) + coded(p1 - q1);
        let (more, less) = (coded(step + 4) >> 3, coded(step + 3) >> 3);
        let wide = coded(step);
        let (near, next, far) = ((27 * wide + 63) >> 7, (18 * wide + 63) >> 7, (9 * wide + 63) >> 7);
        let choose = |few: i16, many: i16| if varied { few } else { many };
        let keep = |new: i16, old: i16| if filters { pixel(new) } else { old as u8 };
        pixels[1][line] = keep(p2 + choose(0, far), p2);
        pixels[2][line] = keep(p1 + choose(0, next), p1);
        pixels[3][line] = keep(p0 + choose(less, near), p0);
        pixels[4][line] = keep(q0 - choose(more, near), q0);
        pixels[5][line] = keep(q1 - choose(0, next), q1);
        pixels[6][line] = keep(q2 - choose(0, far), q2);
    }
}

#[inline(always)]
fn is_filtered([p3, p2, p1, p0, q0, q1, q2, q3]: [i16; 8], limit: i16, inner: i16) -> bool {
    let near = |a: i16, b: i16| (a - b).abs() <= inner;
    (4 * (p0 - q0).abs() + (p1 - q1).abs() <= limit)
        & near(p3, p2)
        & near(p2, p1)
        & near(p1, p0)
        & near(q3, q2)
        & near(q2, q1)
        & near(q1, q0)
}
