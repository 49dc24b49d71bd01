//! Undoes the filters of scanlines (PNG, third edition, §9), four of them at a time.
//!
//! Paeth's filter predicts a pixel by the one to its left, so that one scanline is a chain of pixels that each wait for
//! the one before. Four scanlines are four chains, each a pixel behind the one above it, whose pixels it needs: like four
//! rowers in step. Sixteen bytes hold one pixel of each. A prototype with one chain at a time took 2.5 times as long.

use wide::u8x16;

/// Rows of one step.
pub(super) const ROWS: usize = 4;

/// How a scanline is filtered: the byte before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Filter {
    None,
    Sub,
    Up,
    Average,
    Paeth,
}

impl Filter {
    /// `None` for a byte that stands for none.
    pub(super) fn from_byte(byte: u8) -> Option<Filter> {
        Some(match byte {
            0 => Filter::None,
            1 => Filter::Sub,
            2 => Filter::Up,
            3 => Filter::Average,
            4 => Filter::Paeth,
            _ => return None,
        })
    }

    /// Whether a row by itself is a chain in which each pixel waits long for the one before.
    fn is_slow_alone(self) -> bool {
        matches!(self, Filter::Average | Filter::Paeth)
    }
}

/// Undoes the filters of scanlines that follow each other, `BYTES` a pixel: `filtered` has a byte for the filter before
/// each, `out` has as many rows without it, and `above` is the row before them, zeros before the first. All rows are of
/// `above.len()` bytes. A filter that is unknown counts as none.
pub(super) fn unfilter<const BYTES: usize>(filtered: &[u8], above: &[u8], out: &mut [u8]) {
    let stride = above.len();
    let mut above = above;
    let mut lines =
        filtered.chunks_exact(stride + 1).map(|line| (Filter::from_byte(line[0]).unwrap_or(Filter::None), &line[1..]));
    let mut rows = out.chunks_exact_mut(stride);
    while rows.len() > 0 {
        // an iterator at its end gives no row, and an empty one is nothing to do
        let mut next = || lines.next().unwrap_or((Filter::None, &[]));
        // sixteen bytes hold no four pixels of more bytes
        if rows.len() < ROWS || BYTES > 4 {
            let row = rows.next().unwrap_or_default();
            let (filter, line) = next();
            one::<BYTES>(filter, line, above, row);
            above = row;
            continue;
        }
        let [a, b, c, d] = [next(), next(), next(), next()];
        let [e, f, g, h] = std::array::from_fn(|_| rows.next().unwrap_or_default());
        let filters = [a.0, b.0, c.0, d.0];
        if filters == [Filter::Paeth; ROWS] {
            four::<BYTES, true>(filters, [a.1, b.1, c.1, d.1], above, [e, f, g, &mut *h]);
        } else if filters.iter().filter(|filter| filter.is_slow_alone()).count() > 1 {
            four::<BYTES, false>(filters, [a.1, b.1, c.1, d.1], above, [e, f, g, &mut *h]);
        } else {
            one::<BYTES>(a.0, a.1, above, e);
            one::<BYTES>(b.0, b.1, e, f);
            one::<BYTES>(c.0, c.1, f, g);
            one::<BYTES>(d.0, d.1, g, h);
        }
        above = h;
    }
}

/// One scanline.
fn one<const BYTES: usize>(filter: Filter, line: &[u8], above: &[u8], row: &mut [u8]) {
    let (pixels, _) = line.as_chunks::<BYTES>();
    let (above_pixels, _) = above.as_chunks::<BYTES>();
    let (row_pixels, _) = row.as_chunks_mut::<BYTES>();
    let mut left = [0; BYTES];
    let mut corner = [0; BYTES];
    match filter {
        Filter::None => row.copy_from_slice(line),
        Filter::Up => {
            for ((out, &sample), &up) in row.iter_mut().zip(line).zip(above) {
                *out = sample.wrapping_add(up);
            }
        }
        Filter::Sub => {
            for (out, pixel) in row_pixels.iter_mut().zip(pixels) {
                left = std::array::from_fn(|at| pixel[at].wrapping_add(left[at]));
                *out = left;
            }
        }
        Filter::Average => {
            for ((out, pixel), up) in row_pixels.iter_mut().zip(pixels).zip(above_pixels) {
                left = std::array::from_fn(|at| pixel[at].wrapping_add(left[at].midpoint(up[at])));
                *out = left;
            }
        }
        Filter::Paeth => {
            for ((out, pixel), up) in row_pixels.iter_mut().zip(pixels).zip(above_pixels) {
                left = std::array::from_fn(|at| pixel[at].wrapping_add(paeth(left[at], up[at], corner[at])));
                corner = *up;
                *out = left;
            }
        }
    }
}

/// The neighbour that is nearest to left + up - corner (§9.4).
fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let [a, b, c] = [left, up, corner].map(i16::from);
    let (from_left, from_up, from_corner) = ((b - c).abs(), (a - c).abs(), (a + b - 2 * c).abs());
    let nearer = if from_up < from_left { up } else { left };
    if from_corner < from_left.min(from_up) { corner } else { nearer }
}

/// For each of four rows 255 in its bytes where the filter is one of these, and else 0.
fn mask(filters: [Filter; ROWS], of: &[Filter]) -> u8x16 {
    u8x16::new(std::array::from_fn(|at| if of.contains(&filters[at / 4]) { 255 } else { 0 }))
}

/// Which neighbours count for the filter of each row.
struct Masks {
    left: u8x16,
    up: u8x16,
    corner: u8x16,
    average: u8x16,
}

/// What four chains know of the pixels before: a pixel of each row, four bytes each.
#[derive(Clone, Copy)]
struct Chains {
    /// What came out last.
    left: u8x16,
    /// What lay above that.
    corner: u8x16,
}

/// The next pixels of the chains, and what lay above them: `up` is the pixel above the first row's, those above the others
/// came out a step ago.
#[inline(always)]
fn step<const PAETH: bool>(masks: &Masks, left: u8x16, corner: u8x16, up: [u8; 4], pixels: u8x16) -> (u8x16, u8x16) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = left.to_array();
    let [m, n, o, p] = up;
    let up = u8x16::new([m, n, o, p, a, b, c, d, e, f, g, h, i, j, k, l]);
    if PAETH {
        return (pixels + predict(left, up, corner), up);
    }
    // Paeth's filter of one neighbour is that neighbour
    let (left, above) = (left & masks.left, up & masks.up);
    let odd = (left ^ above) & u8x16::splat(0xfe);
    // bits do not cross bytes: the lowest of each is 0
    let half: wide::u16x8 = bytemuck::cast(odd);
    let average = (left & above) + bytemuck::cast::<wide::u16x8, u8x16>(half >> 1);
    let predicted = masks.average.bitselect(average, predict(left, above, corner & masks.corner));
    (pixels + predicted, up)
}

/// [`paeth`], without leaving 8 bits: where left and up lie on either side of the corner, their sum is as far from it as
/// they differ in distance; on one side it is further than both.
#[inline(always)]
fn predict(left: u8x16, up: u8x16, corner: u8x16) -> u8x16 {
    let (above, below) = (up.saturating_sub(corner), corner.saturating_sub(up));
    let (right, wrong) = (left.saturating_sub(corner), corner.saturating_sub(left));
    let (from_left, from_up) = (above | below, right | wrong);
    let nearest = from_left.min(from_up);
    let nearer = nearest.simd_eq(from_left).bitselect(left, up);
    let from_corner = from_left.saturating_sub(from_up) | from_up.saturating_sub(from_left);
    let either_side = (above.min(right) | below.min(wrong)).simd_eq(u8x16::ZERO);
    let not_corner = nearest.min(from_corner).simd_eq(nearest);
    (either_side & !not_corner).bitselect(corner, nearer)
}

/// Four scanlines, all of Paeth's filter where `PAETH`. The first is three pixels ahead of the last; before its first
/// pixel and after its last a row's bytes of the chains are of no meaning, and zeros go in before.
#[inline(never)]
fn four<const BYTES: usize, const PAETH: bool>(
    filters: [Filter; ROWS], lines: [&[u8]; ROWS], above: &[u8], rows: [&mut [u8]; ROWS],
) {
    const BEHIND: usize = ROWS - 1;
    let masks = Masks {
        left: mask(filters, &[Filter::Sub, Filter::Average, Filter::Paeth]),
        up: mask(filters, &[Filter::Up, Filter::Average, Filter::Paeth]),
        corner: mask(filters, &[Filter::Paeth]),
        average: mask(filters, &[Filter::Average]),
    };
    let columns = above.len() / BYTES;
    let mut chains = Chains { left: u8x16::ZERO, corner: u8x16::ZERO };
    let [first, second, third, fourth] = rows;
    let edge = |chains: Chains, at: usize, rows: [&mut [u8]; ROWS]| {
        let pixel = |row: &[u8], behind: usize| {
            let mut pixel = [0; 4];
            if let Some(x) = at.checked_sub(behind).filter(|&x| x < columns) {
                pixel[..BYTES].copy_from_slice(&row[x * BYTES..][..BYTES]);
            }
            pixel
        };
        let pixels = std::array::from_fn(|row| pixel(lines[row], row));
        let (left, corner) = step::<PAETH>(&masks, chains.left, chains.corner, pixel(above, 0), joined(pixels));
        let made = left.to_array();
        for (behind, row) in rows.into_iter().enumerate() {
            if let Some(x) = at.checked_sub(behind).filter(|&x| x < columns) {
                row[x * BYTES..][..BYTES].copy_from_slice(&made[behind * 4..][..BYTES]);
            }
        }
        Chains { left, corner }
    };
    for at in 0..BEHIND {
        chains = edge(chains, at, [first, second, third, fourth]);
    }
    // pixels are read and written four bytes at a time, of which the last may be the next pixels' and are mended by them;
    // the first row's last pixels have none behind them
    let middle = columns.saturating_sub(ROWS.max(BEHIND - 1 + 4_usize.div_ceil(BYTES)));
    if middle > 0 {
        let length = (middle - 1) * BYTES + 4;
        let above = &above[BEHIND * BYTES..][..length];
        let [a, b, c, d] = std::array::from_fn(|row| &lines[row][(BEHIND - row) * BYTES..][..length]);
        let (e, f) = (&mut first[3 * BYTES..][..length], &mut second[2 * BYTES..][..length]);
        let (g, h) = (&mut third[BYTES..][..length], &mut fourth[..length]);
        chains = run::<BYTES, PAETH>(chains, &masks, above, [a, b, c, d], [e, f, g, h]);
    }
    for at in BEHIND + middle..columns + BEHIND {
        chains = edge(chains, at, [first, second, third, fourth]);
    }
}

/// What four does between the edges, with slices of one length. By itself, since what a closure borrows is kept in memory,
/// and a chain that goes through memory is a slow one.
#[inline(never)]
fn run<const BYTES: usize, const PAETH: bool>(
    chains: Chains, masks: &Masks, above: &[u8], lines: [&[u8]; ROWS], rows: [&mut [u8]; ROWS],
) -> Chains {
    let length = above.len();
    let ([a, b, c, d], [e, f, g, h]) = (lines.map(|line| &line[..length]), rows.map(|row| &mut row[..length]));
    let Chains { mut left, mut corner } = chains;
    let mut at = 0;
    while at + 4 <= length {
        let pixels = joined([four_bytes(a, at), four_bytes(b, at), four_bytes(c, at), four_bytes(d, at)]);
        (left, corner) = step::<PAETH>(masks, left, corner, four_bytes(above, at), pixels);
        let made = left.to_array();
        e[at..at + 4].copy_from_slice(&made[..4]);
        f[at..at + 4].copy_from_slice(&made[4..8]);
        g[at..at + 4].copy_from_slice(&made[8..12]);
        h[at..at + 4].copy_from_slice(&made[12..]);
        at += BYTES;
    }
    Chains { left, corner }
}

#[inline(always)]
fn joined(pixels: [[u8; 4]; ROWS]) -> u8x16 {
    bytemuck::cast(pixels)
}

#[inline(always)]
fn four_bytes(row: &[u8], at: usize) -> [u8; 4] {
    let bytes = &row[at..at + 4];
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Filters as §9.2 says, byte by byte.
    fn filtered(rows: &[u8], stride: usize, bytes: usize, filters: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (y, &filter) in filters.iter().enumerate() {
            out.push(filter);
            for x in 0..stride {
                let at = |x: Option<usize>, y: Option<usize>| match (x, y) {
                    (Some(x), Some(y)) => rows[y * stride + x],
                    _ => 0,
                };
                let (left, up) = (x.checked_sub(bytes), y.checked_sub(1));
                let (a, b, c) = (at(left, Some(y)), at(Some(x), up), at(left, up));
                let estimate = i32::from(a) + i32::from(b) - i32::from(c);
                let nearest = [a, b, c].into_iter().min_by_key(|&of| (estimate - i32::from(of)).abs());
                let predicted = match filter {
                    0 => 0,
                    1 => a,
                    2 => b,
                    3 => ((u16::from(a) + u16::from(b)) / 2) as u8,
                    _ => nearest.expect("one of three"),
                };
                out.push(rows[y * stride + x].wrapping_sub(predicted));
            }
        }
        out
    }

    fn check(columns: usize, filters: &[u8], bytes: usize, seed: u32, smooth: bool) {
        let stride = columns * bytes;
        let sample = |at: usize| {
            let noise = ((at as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 24) as u8;
            if smooth { (at / 3) as u8 ^ (noise & 3) } else { noise }
        };
        let rows: Vec<u8> = (0..stride * filters.len()).map(sample).collect();
        let lines = filtered(&rows, stride, bytes, filters);
        let mut out = vec![0xaa; rows.len()];
        // in two parts, as they come
        let (first, zeros) = (filters.len() / 3, vec![0; stride]);
        let (above, below) = out.split_at_mut(first * stride);
        let (some, rest) = lines.split_at(first * (stride + 1));
        let undo = match bytes {
            1 => unfilter::<1>,
            2 => unfilter::<2>,
            3 => unfilter::<3>,
            4 => unfilter::<4>,
            6 => unfilter::<6>,
            _ => unfilter::<8>,
        };
        undo(some, &zeros, above);
        let last = if first > 0 { &above[above.len() - stride..] } else { &zeros[..] };
        undo(rest, last, below);
        assert!(out == rows, "{columns} columns of {bytes} bytes, {filters:?}");
    }

    #[test]
    fn every_filter_alone_and_beside_every_other() {
        for bytes in [1, 2, 3, 4, 6, 8] {
            for columns in [1, 2, 3, 4, 5, 6, 7, 8, 17, 64] {
                for (a, b) in (0..5).flat_map(|a| (0..5).map(move |b| (a, b))) {
                    for filters in
                        [[a, b, a, b, a, b, a, b, a], [a, a, a, a, b, b, b, b, a], [b, a, a, a, a, b, a, a, b]]
                    {
                        check(columns, &filters, bytes, 7, columns % 2 == 0);
                    }
                }
            }
        }
        assert_eq!(Filter::from_byte(5), None);
    }

    #[test]
    fn prediction_of_eight_bits_is_that_of_sixteen() {
        for (a, b) in (0..=255).flat_map(|a| (0..=255).map(move |b| (a, b))) {
            for corners in (0..=255).collect::<Vec<u8>>().chunks_exact(16) {
                let corners: [u8; 16] = corners.try_into().expect("sixteen");
                let found = predict(u8x16::splat(a), u8x16::splat(b), u8x16::new(corners)).to_array();
                assert_eq!(found, corners.map(|c| paeth(a, b, c)), "{a} {b} {corners:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_rows_come_back(
            columns in 1_usize..40, filters in prop::collection::vec(0_u8..5, 1..12), bytes in 3_usize..5, seed: u32,
            smooth: bool,
        ) {
            check(columns, &filters, bytes, seed, smooth);
        }
    }
}
