//! Blocks of one colour.

use tintype_pixels::Pixels;

/// Replaces each block of `side` × `side` pixels, counted from the top left corner, by its average; blocks at the right and the
/// bottom edge may be smaller. Colours weigh as much as they are opaque.
pub(crate) fn pixelate(pixels: &mut Pixels, side: u32) {
    if side < 2 {
        return;
    }
    match pixels.channels {
        3 => run::<3>(pixels, side as usize),
        _ => run::<4>(pixels, side as usize),
    }
}

fn run<const C: usize>(pixels: &mut Pixels, side: usize) {
    let stride = pixels.stride();
    // of the rows of a row of blocks: sums of samples times alpha, and of alpha
    let mut sums = vec![0; stride];
    let mut averages = vec![0; stride];
    for rows in pixels.data.chunks_mut(stride * side) {
        sums.fill(0);
        let count = rows.len() / stride;
        rows.chunks_exact(stride).for_each(|row| add::<C>(&mut sums, row));
        for (sums, averages) in sums.chunks(side * C).zip(averages.chunks_mut(side * C)) {
            let average = average::<C>(sums, count);
            averages.as_chunks_mut::<C>().0.fill(average);
        }
        rows.chunks_exact_mut(stride).for_each(|row| row.copy_from_slice(&averages));
    }
}

/// Adds a row to sums of columns: at most 1000 rows, so that they are within 32 bits.
fn add<const C: usize>(sums: &mut [u32], row: &[u8]) {
    if C == 3 {
        sums.iter_mut().zip(row).for_each(|(sum, &sample)| *sum += u32::from(sample));
        return;
    }
    for (sums, pixel) in sums.as_chunks_mut::<C>().0.iter_mut().zip(row.as_chunks::<C>().0) {
        let alpha = u32::from(pixel[C - 1]);
        sums[..3].iter_mut().zip(pixel).for_each(|(sum, &sample)| *sum += alpha * u32::from(sample));
        sums[C - 1] += alpha;
    }
}

/// The average of a block of that many rows, by the sums of its columns.
fn average<const C: usize>(columns: &[u32], rows: usize) -> [u8; C] {
    let mut sums = [0_u64; C];
    for column in columns.as_chunks::<C>().0 {
        sums.iter_mut().zip(column).for_each(|(sum, &column)| *sum += u64::from(column));
    }
    let count = (columns.len() / C * rows) as u64;
    let weight = if C == 4 { sums[C - 1] } else { count };
    let rounded = |sum: u64, count: u64| ((sum + count / 2) / count.max(1)) as u8;
    let mut average = sums.map(|sum| rounded(sum, weight));
    if C == 4 {
        average[C - 1] = rounded(weight, count);
    }
    average
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_pixels::Size;

    #[test]
    fn blocks_are_averages() {
        let data = [0, 10, 100, 20, 30, 200, 1, 2, 3].iter().flat_map(|&level| [level, 0, 255]).collect();
        let mut pixels = Pixels { size: Size::new(3, 3), channels: 3, data };
        pixelate(&mut pixels, 2);
        let red: Vec<u8> = pixels.data.chunks_exact(3).map(|pixel| pixel[0]).collect();
        assert_eq!(red, [15, 15, 150, 15, 15, 150, 2, 2, 3]);
        assert!(pixels.data.chunks_exact(3).all(|pixel| pixel[1..] == [0, 255]));
    }

    #[test]
    fn transparent_pixels_have_no_colour() {
        let mut pixels = Pixels { size: Size::new(2, 1), channels: 4, data: vec![200, 0, 0, 255, 0, 200, 0, 0] };
        pixelate(&mut pixels, 5);
        assert_eq!(pixels.data, [200, 0, 0, 128, 200, 0, 0, 128]);
        let mut empty = Pixels::filled(Size::new(3, 1), &[9, 9, 9, 0]);
        pixelate(&mut empty, 3);
        assert_eq!(empty.data, [0; 12]);
    }
}
