//! Reverses the filters of scanlines (PNG, third edition, §9), four scanlines at a time.
//!
//! The Paeth filter predicts a pixel from the one to its left, so that the pixels of a scanline form a dependency chain. Four
//! scanlines are four neighbours that run in parallel, each one pixel behind the scanline above, whose pixels it needs. A SIMD register
//! of 16 bytes holds a pixel of each. A prototype with one scanline at a time took 2.5 times as long.
//!
//! [`unfilter`] and [`is_filter_type`] take bytes and slices, and no types of this project; they could be offered to the crate `png`.

use wide::u8x16;

/// Scanlines that are unfiltered together.
pub(super) const ROWS: usize = 4;

/// The filter type of a scanline (§9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Filter {
    None,
    Sub,
    Up,
    Average,
    Paeth,
}

impl Filter {
    /// `None` for an undefined filter type.
    fn from_byte(byte: u8) -> Option<Filter> {
        Some(match byte {
            0 => Filter::None,
            1 => Filter::Sub,
            2 => Filter::Up,
            3 => Filter::Average,
            4 => Filter::Paeth,
            _ => return None,
        })
    }

    /// Whether each pixel depends on the one before through several operations, so that one scanline alone is slow.
    fn has_long_dependency(self) -> bool {
        matches!(self, Filter::Average | Filter::Paeth)
    }
}

/// Whether a filter type is defined.
pub(super) fn is_filter_type(byte: u8) -> bool {
    Filter::from_byte(byte).is_some()
}

/// Reverses the filters of consecutive scanlines with `BYTES` a pixel (`bpp` of §9.2).
///
/// `filtered` has the filter type in front of each scanline, `out` has as many scanlines without it, and `above` is the unfiltered
/// scanline before the first, zeros at the top of an image or pass. Each scanline has `above.len()` bytes without its filter type.
/// Undefined filter types count as None.
pub(super) fn unfilter<const BYTES: usize>(filtered: &[u8], above: &[u8], out: &mut [u8]) {
    let stride = above.len();
    let mut above = above;
    let mut lines =
        filtered.chunks_exact(stride + 1).map(|line| (Filter::from_byte(line[0]).unwrap_or(Filter::None), &line[1..]));
    let mut rows = out.chunks_exact_mut(stride);
    while rows.len() > 0 {
        // `lines` has as many scanlines as `rows`; the default is not reached
        let mut next = || lines.next().unwrap_or((Filter::None, &[]));
        // four pixels of more than four bytes do not fit into 16 bytes
        if rows.len() < ROWS || BYTES > 4 {
            let row = rows.next().unwrap_or_default();
            let (filter, line) = next();
            unfilter_row::<BYTES>(filter, line, above, row);
            above = row;
            continue;
        }
        let [a, b, c, d] = [next(), next(), next(), next()];
        let [e, f, g, h] = std::array::from_fn(|_| rows.next().unwrap_or_default());
        let filters = [a.0, b.0, c.0, d.0];
        if filters == [Filter::Paeth; ROWS] {
            unfilter_four_rows::<BYTES, true>(filters, [a.1, b.1, c.1, d.1], above, [e, f, g, &mut *h]);
        } else if filters.iter().filter(|filter| filter.has_long_dependency()).count() > 1 {
            unfilter_four_rows::<BYTES, false>(filters, [a.1, b.1, c.1, d.1], above, [e, f, g, &mut *h]);
        } else {
            unfilter_row::<BYTES>(a.0, a.1, above, e);
            unfilter_row::<BYTES>(b.0, b.1, e, f);
            unfilter_row::<BYTES>(c.0, c.1, f, g);
            unfilter_row::<BYTES>(d.0, d.1, g, h);
        }
        above = h;
    }
}

/// Reverses the filter of one scanline.
fn unfilter_row<const BYTES: usize>(filter: Filter, line: &[u8], above: &[u8], row: &mut [u8]) {
    let (pixels, _) = line.as_chunks::<BYTES>();
    let (above_pixels, _) = above.as_chunks::<BYTES>();
    let (row_pixels, _) = row.as_chunks_mut::<BYTES>();
    let mut left = [0; BYTES];
    let mut upper_left = [0; BYTES];
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
                left = std::array::from_fn(|at| pixel[at].wrapping_add(paeth(left[at], up[at], upper_left[at])));
                upper_left = *up;
                *out = left;
            }
        }
    }
}

/// `PaethPredictor` (§9.4): the neighbour nearest to left + up - upper left.
fn paeth(left: u8, up: u8, upper_left: u8) -> u8 {
    let [a, b, c] = [left, up, upper_left].map(i16::from);
    let (from_left, from_up, from_upper_left) = ((b - c).abs(), (a - c).abs(), (a + b - 2 * c).abs());
    let nearer = if from_up < from_left { up } else { left };
    if from_upper_left < from_left.min(from_up) { upper_left } else { nearer }
}

/// 255 in the four bytes of each row whose filter is in `set`, else 0.
fn mask(filters: [Filter; ROWS], set: &[Filter]) -> u8x16 {
    u8x16::new(std::array::from_fn(|at| if set.contains(&filters[at / 4]) { 255 } else { 0 }))
}

/// Masks of the neighbours that the filter of each row uses.
struct Masks {
    left: u8x16,
    up: u8x16,
    upper_left: u8x16,
    average: u8x16,
}

/// Neighbours of the next pixels: one of each row, four bytes each.
#[derive(Clone, Copy)]
struct Neighbours {
    /// The last unfiltered pixels.
    left: u8x16,
    /// The pixels above `left`.
    upper_left: u8x16,
}

/// Unfilters the next pixel of each row; the pixels, and the pixels above them. `up` is the pixel above that of the first row; the
/// pixels above the other rows are in `left`, unfiltered one step before.
#[inline(always)]
fn step<const PAETH: bool>(
    masks: &Masks, left: u8x16, upper_left: u8x16, up: [u8; 4], pixels: u8x16,
) -> (u8x16, u8x16) {
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = left.to_array();
    let [m, n, o, p] = up;
    let up = u8x16::new([m, n, o, p, a, b, c, d, e, f, g, h, i, j, k, l]);
    if PAETH {
        return (pixels + predict(left, up, upper_left), up);
    }
    // the Paeth predictor of a single neighbour is that neighbour
    let (left, above) = (left & masks.left, up & masks.up);
    let odd = (left ^ above) & u8x16::splat(0xfe);
    // the lowest bit of each byte is 0, so that a shift of 16-bit lanes moves no bit to another byte
    let half: wide::u16x8 = bytemuck::cast(odd);
    let average = (left & above) + bytemuck::cast::<wide::u16x8, u8x16>(half >> 1);
    let predicted = masks.average.bitselect(average, predict(left, above, upper_left & masks.upper_left));
    (pixels + predicted, up)
}

/// [`paeth`] in 8-bit arithmetic. The distance of the estimate from the upper left pixel is the difference of the two other distances
/// if left and up are on either side of it; if they are on one side, it exceeds both.
#[inline(always)]
fn predict(left: u8x16, up: u8x16, upper_left: u8x16) -> u8x16 {
    let (above, below) = (up.saturating_sub(upper_left), upper_left.saturating_sub(up));
    let (greater, less) = (left.saturating_sub(upper_left), upper_left.saturating_sub(left));
    let (from_left, from_up) = (above | below, greater | less);
    let nearest = from_left.min(from_up);
    let nearer = nearest.simd_eq(from_left).bitselect(left, up);
    let from_upper_left = from_left.saturating_sub(from_up) | from_up.saturating_sub(from_left);
    let either_side = (above.min(greater) | below.min(less)).simd_eq(u8x16::ZERO);
    let not_upper_left = nearest.min(from_upper_left).simd_eq(nearest);
    (either_side & !not_upper_left).bitselect(upper_left, nearer)
}

/// Reverses the filters of four scanlines, all Paeth if `PAETH`. The first is three pixels ahead of the last. The bytes of a row in
/// [`Neighbours`] are zero before its first pixel and unused after its last.
#[inline(never)]
fn unfilter_four_rows<const BYTES: usize, const PAETH: bool>(
    filters: [Filter; ROWS], lines: [&[u8]; ROWS], above: &[u8], rows: [&mut [u8]; ROWS],
) {
    const BEHIND: usize = ROWS - 1;
    let masks = Masks {
        left: mask(filters, &[Filter::Sub, Filter::Average, Filter::Paeth]),
        up: mask(filters, &[Filter::Up, Filter::Average, Filter::Paeth]),
        upper_left: mask(filters, &[Filter::Paeth]),
        average: mask(filters, &[Filter::Average]),
    };
    let columns = above.len() / BYTES;
    let mut neighbours = Neighbours { left: u8x16::ZERO, upper_left: u8x16::ZERO };
    let [first, second, third, fourth] = rows;
    let edge = |neighbours: Neighbours, at: usize, rows: [&mut [u8]; ROWS]| {
        let pixel = |row: &[u8], behind: usize| {
            let mut pixel = [0; 4];
            if let Some(x) = at.checked_sub(behind).filter(|&x| x < columns) {
                pixel[..BYTES].copy_from_slice(&row[x * BYTES..][..BYTES]);
            }
            pixel
        };
        let pixels = std::array::from_fn(|row| pixel(lines[row], row));
        let (left, upper_left) =
            step::<PAETH>(&masks, neighbours.left, neighbours.upper_left, pixel(above, 0), pack(pixels));
        let unfiltered = left.to_array();
        for (behind, row) in rows.into_iter().enumerate() {
            if let Some(x) = at.checked_sub(behind).filter(|&x| x < columns) {
                row[x * BYTES..][..BYTES].copy_from_slice(&unfiltered[behind * 4..][..BYTES]);
            }
        }
        Neighbours { left, upper_left }
    };
    for at in 0..BEHIND {
        neighbours = edge(neighbours, at, [first, second, third, fourth]);
    }
    // pixels are read and written four bytes at a time; bytes behind a pixel belong to the next one, which overwrites them.
    // The last pixels of the first row have no bytes behind them
    let middle = columns.saturating_sub(ROWS.max(BEHIND - 1 + 4_usize.div_ceil(BYTES)));
    if middle > 0 {
        let length = (middle - 1) * BYTES + 4;
        let above = &above[BEHIND * BYTES..][..length];
        let [a, b, c, d] = std::array::from_fn(|row| &lines[row][(BEHIND - row) * BYTES..][..length]);
        let (e, f) = (&mut first[3 * BYTES..][..length], &mut second[2 * BYTES..][..length]);
        let (g, h) = (&mut third[BYTES..][..length], &mut fourth[..length]);
        neighbours = unfilter_columns::<BYTES, PAETH>(neighbours, &masks, above, [a, b, c, d], [e, f, g, h]);
    }
    for at in BEHIND + middle..columns + BEHIND {
        neighbours = edge(neighbours, at, [first, second, third, fourth]);
    }
}

/// Unfilters the columns between the edges, in slices of one length. A function of its own, so that the neighbours stay in registers:
/// variables borrowed by a closure are in memory, which is slow.
#[inline(never)]
fn unfilter_columns<const BYTES: usize, const PAETH: bool>(
    neighbours: Neighbours, masks: &Masks, above: &[u8], lines: [&[u8]; ROWS], rows: [&mut [u8]; ROWS],
) -> Neighbours {
    let length = above.len();
    let ([a, b, c, d], [e, f, g, h]) = (lines.map(|line| &line[..length]), rows.map(|row| &mut row[..length]));
    let Neighbours { mut left, mut upper_left } = neighbours;
    let mut at = 0;
    while at + 4 <= length {
        let pixels = pack([four_bytes(a, at), four_bytes(b, at), four_bytes(c, at), four_bytes(d, at)]);
        (left, upper_left) = step::<PAETH>(masks, left, upper_left, four_bytes(above, at), pixels);
        let unfiltered = left.to_array();
        e[at..at + 4].copy_from_slice(&unfiltered[..4]);
        f[at..at + 4].copy_from_slice(&unfiltered[4..8]);
        g[at..at + 4].copy_from_slice(&unfiltered[8..12]);
        h[at..at + 4].copy_from_slice(&unfiltered[12..]);
        at += BYTES;
    }
    Neighbours { left, upper_left }
}

#[inline(always)]
fn pack(pixels: [[u8; 4]; ROWS]) -> u8x16 {
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

    /// Filters byte by byte (§9.2).
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
        // in two parts, as the data are inflated
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
    fn each_pair_of_filters_is_reversed() {
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
        assert!(is_filter_type(4) && !is_filter_type(5));
    }

    #[test]
    fn predict_in_eight_bits_equals_paeth() {
        for (a, b) in (0..=255).flat_map(|a| (0..=255).map(move |b| (a, b))) {
            for upper_lefts in (0..=255).collect::<Vec<u8>>().chunks_exact(16) {
                let upper_lefts: [u8; 16] = upper_lefts.try_into().expect("sixteen");
                let found = predict(u8x16::splat(a), u8x16::splat(b), u8x16::new(upper_lefts)).to_array();
                assert_eq!(found, upper_lefts.map(|c| paeth(a, b, c)), "{a} {b} {upper_lefts:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn filtered_rows_are_restored(
            columns in 1_usize..40, filters in prop::collection::vec(0_u8..5, 1..12), bytes in 3_usize..5, seed: u32,
            smooth: bool,
        ) {
            check(columns, &filters, bytes, seed, smooth);
        }
    }
}
