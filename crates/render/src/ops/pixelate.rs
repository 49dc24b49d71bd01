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
    let width = pixels.size.width as usize;
    let (all, _) = pixels.data.as_chunks_mut::<C>();
    // one row of blocks after the other; the last may have fewer rows
    for rows in all.chunks_mut(width * side) {
        for left in (0..width).step_by(side) {
            let block = left..(left + side).min(width);
            let average = average(rows.chunks_exact(width).flat_map(|row| &row[block.clone()]));
            rows.chunks_exact_mut(width).for_each(|row| row[block.clone()].fill(average));
        }
    }
}

fn average<'a, const C: usize>(block: impl Iterator<Item = &'a [u8; C]>) -> [u8; C] {
    let (mut sums, mut weight, mut count) = ([0u64; 3], 0u64, 0u64);
    for pixel in block {
        let alpha = if C == 4 { u64::from(pixel[C - 1]) } else { 1 };
        sums.iter_mut().zip(pixel).for_each(|(sum, &sample)| *sum += alpha * u64::from(sample));
        weight += alpha;
        count += 1;
    }
    let rounded = |sum: u64, count: u64| ((sum + count / 2) / count.max(1)) as u8;
    let mut average = [0; C];
    average.iter_mut().zip(sums).for_each(|(out, sum)| *out = rounded(sum, weight));
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
