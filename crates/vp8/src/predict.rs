//! Intra prediction (RFC 6386 §12) and inverse transforms (§14).
//!
//! A macroblock is reconstructed in a work area of its own, with the pixels around it.

use crate::modes::{B_HD_PRED, B_LD_PRED, B_RD_PRED, B_VL_PRED, B_VR_PRED, DC_PRED, H_PRED, TM_PRED, V_PRED};

/// Bytes of a row of the work area for luma.
pub(crate) const LUMA_STRIDE: usize = 32;
/// Bytes of a row of the work area for chroma.
pub(crate) const CHROMA_STRIDE: usize = 24;
/// The column of the first pixel of the macroblock in the work area. Row 0 is the row above the macroblock.
pub(crate) const FIRST: usize = 8;

/// Loads the pixels above and to the left of the macroblock in column `x` and row `y` of a plane; outside of the image they are 127
/// above and 129 to the left (§12.2).
pub(crate) fn load_borders<const SIDE: usize, const STRIDE: usize>(
    work: &mut [u8], plane: &[u8], stride: usize, (x, y): (usize, usize),
) {
    let at = y * SIDE * stride + x * SIDE;
    if y > 0 {
        work[FIRST..FIRST + SIDE].copy_from_slice(&plane[at - stride..][..SIDE]);
    } else {
        work[FIRST..FIRST + SIDE].fill(127);
    }
    work[FIRST - 1] = match (x, y) {
        (_, 0) => 127,
        (0, _) => 129,
        _ => plane[at - stride - 1],
    };
    for row in 0..SIDE {
        work[(row + 1) * STRIDE + FIRST - 1] = if x > 0 { plane[at + row * stride - 1] } else { 129 };
    }
}

/// Stores the macroblock in column `x` and row `y` of a plane.
pub(crate) fn store<const SIDE: usize, const STRIDE: usize>(
    work: &[u8], plane: &mut [u8], stride: usize, (x, y): (usize, usize),
) {
    let at = y * SIDE * stride + x * SIDE;
    for row in 0..SIDE {
        plane[at + row * stride..][..SIDE].copy_from_slice(&work[(row + 1) * STRIDE + FIRST..][..SIDE]);
    }
}

/// Predicts a macroblock of luma (§12.3) or chroma (§12.2).
pub(crate) fn predict_macroblock<const SIDE: usize, const STRIDE: usize>(
    work: &mut [u8], mode: u8, (x, y): (usize, usize),
) {
    let (above, rows) = work.split_at_mut(STRIDE);
    let corner = above[FIRST - 1];
    let above: [u8; SIDE] = std::array::from_fn(|at| above[FIRST + at]);
    let rows = rows.chunks_exact_mut(STRIDE).take(SIDE);
    match mode {
        V_PRED => rows.for_each(|row| row[FIRST..FIRST + SIDE].copy_from_slice(&above)),
        H_PRED => rows.for_each(|row| {
            let left = row[FIRST - 1];
            row[FIRST..FIRST + SIDE].fill(left);
        }),
        TM_PRED => rows.for_each(|row| {
            let more = i16::from(row[FIRST - 1]) - i16::from(corner);
            for (pixel, &above) in row[FIRST..FIRST + SIDE].iter_mut().zip(&above) {
                *pixel = (i16::from(above) + more).clamp(0, 255) as u8;
            }
        }),
        _ => {
            let rows: Vec<&mut [u8]> = rows.collect();
            let sum = |of: &mut dyn Iterator<Item = u8>| of.map(u32::from).sum::<u32>();
            let of_above = sum(&mut above.into_iter());
            let of_left = sum(&mut rows.iter().map(|row| row[FIRST - 1]));
            let count = SIDE as u32;
            let mean = match (x > 0, y > 0) {
                (true, true) => (of_above + of_left + count) / (2 * count),
                (true, false) => (of_left + count / 2) / count,
                (false, true) => (of_above + count / 2) / count,
                (false, false) => 128,
            };
            rows.into_iter().for_each(|row| row[FIRST..FIRST + SIDE].fill(mean as u8));
        }
    }
}

/// Predicts the subblock of luma whose first pixel is at index `at` of the work area (§12.3).
pub(crate) fn predict_subblock(work: &mut [u8; LUMA_STRIDE * 17], at: usize, mode: u8) {
    // the edge: from the lowest pixel to the left, round the corner, to the last above and to the right
    let mut e = [0_u8; 13];
    for row in 0..4 {
        e[3 - row] = work[at + row * LUMA_STRIDE - 1];
    }
    e[4..].copy_from_slice(&work[at - LUMA_STRIDE - 1..at - LUMA_STRIDE + 8]);
    let two = |a: usize| ((u16::from(e[a]) + u16::from(e[a + 1]) + 1) >> 1) as u8;
    let three = |a: usize| ((u16::from(e[a - 1]) + 2 * u16::from(e[a]) + u16::from(e[a + 1]) + 2) >> 2) as u8;
    let last = |a: usize, b: usize| ((u16::from(e[a]) + 3 * u16::from(e[b]) + 2) >> 2) as u8;
    let pixels: [[u8; 4]; 4] = match mode {
        DC_PRED => {
            let sum: u16 = e[..4].iter().chain(&e[5..9]).map(|&pixel| u16::from(pixel)).sum();
            [[((sum + 4) >> 3) as u8; 4]; 4]
        }
        TM_PRED => std::array::from_fn(|y| {
            let more = i16::from(e[3 - y]) - i16::from(e[4]);
            std::array::from_fn(|x| (i16::from(e[5 + x]) + more).clamp(0, 255) as u8)
        }),
        V_PRED => [[three(5), three(6), three(7), three(8)]; 4],
        H_PRED => [[three(3); 4], [three(2); 4], [three(1); 4], [last(1, 0); 4]],
        B_LD_PRED => {
            let line = [three(6), three(7), three(8), three(9), three(10), three(11), last(11, 12)];
            std::array::from_fn(|y| std::array::from_fn(|x| line[x + y]))
        }
        B_RD_PRED => std::array::from_fn(|y| std::array::from_fn(|x| three(4 + x - y))),
        B_VR_PRED => [
            [two(4), two(5), two(6), two(7)],
            [three(4), three(5), three(6), three(7)],
            [three(3), two(4), two(5), two(6)],
            [three(2), three(4), three(5), three(6)],
        ],
        B_VL_PRED => [
            [two(5), two(6), two(7), two(8)],
            [three(6), three(7), three(8), three(9)],
            [two(6), two(7), two(8), three(10)],
            [three(7), three(8), three(9), three(11)],
        ],
        B_HD_PRED => [
            [two(3), three(4), three(5), three(6)],
            [two(2), three(3), two(3), three(4)],
            [two(1), three(2), two(2), three(3)],
            [two(0), three(1), two(1), three(2)],
        ],
        // B_HU_PRED
        _ => [
            [two(2), three(2), two(1), three(1)],
            [two(1), three(1), two(0), last(1, 0)],
            [two(0), last(1, 0), e[0], e[0]],
            [e[0]; 4],
        ],
    };
    for (row, pixels) in pixels.iter().enumerate() {
        work[at + row * LUMA_STRIDE..][..4].copy_from_slice(pixels);
    }
}

/// The inverse Walsh–Hadamard transform of a Y2 block: the DC coefficients of the sixteen Y blocks (§14.3).
pub(crate) fn inverse_wht(y2: &[i16; 16]) -> [i32; 16] {
    let input = y2.map(i32::from);
    let mut half = [0; 16];
    for i in 0..4 {
        let (a, b) = (input[i] + input[12 + i], input[4 + i] + input[8 + i]);
        let (c, d) = (input[4 + i] - input[8 + i], input[i] - input[12 + i]);
        (half[i], half[4 + i], half[8 + i], half[12 + i]) = (a + b, c + d, a - b, d - c);
    }
    let mut out = [0; 16];
    for i in 0..4 {
        let [w, x, y, z] = [half[4 * i] + 3, half[4 * i + 1], half[4 * i + 2], half[4 * i + 3]];
        let (a, b, c, d) = (w + z, x + y, x - y, w - z);
        for (at, value) in [a + b, c + d, a - b, d - c].into_iter().enumerate() {
            out[4 * i + at] = value >> 3;
        }
    }
    out
}

/// Adds the inverse DCT of a block to its prediction (§14.4, §14.5), and clears the coefficients.
pub(crate) fn add_residual(work: &mut [u8], at: usize, stride: usize, coefficients: &mut [i16; 16]) {
    let input = std::mem::take(coefficients).map(i32::from);
    let wide = |a: i32| ((a * 20_091) >> 16) + a;
    let narrow = |a: i32| (a * 35_468) >> 16;
    let mut half = [0; 16];
    for i in 0..4 {
        let (a, b) = (input[i] + input[8 + i], input[i] - input[8 + i]);
        let c = narrow(input[4 + i]) - wide(input[12 + i]);
        let d = wide(input[4 + i]) + narrow(input[12 + i]);
        (half[4 * i], half[4 * i + 1], half[4 * i + 2], half[4 * i + 3]) = (a + d, b + c, b - c, a - d);
    }
    for i in 0..4 {
        let first = half[i] + 4;
        let (a, b) = (first + half[8 + i], first - half[8 + i]);
        let c = narrow(half[4 + i]) - wide(half[12 + i]);
        let d = wide(half[4 + i]) + narrow(half[12 + i]);
        let row = &mut work[at + i * stride..][..4];
        for (pixel, more) in row.iter_mut().zip([a + d, b + c, b - c, a - d]) {
            *pixel = (i32::from(*pixel) + (more >> 3)).clamp(0, 255) as u8;
        }
    }
}
