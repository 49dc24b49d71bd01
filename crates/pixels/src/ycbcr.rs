//! Luma and chroma out of red, green and blue, and back: BT.601 in full range, as JFIF has it ("Conversion to and from
//! RGB"). Whole numbers throughout, so that every machine gives the same bytes.

use crate::geometry::Size;
use crate::pixels::Pixels;
use crate::planes::{ChromaSubsampling, Planes};

/// Where the point lies in the fixed-point numbers, and a half to round to nearest.
const POINT: u32 = 16;
const HALF: i32 = 1 << (POINT - 1);

/// Red, green and blue of each pixel.
pub fn to_rgb(luma: &[u8], cb: &[u8], cr: &[u8]) -> Vec<u8> {
    let mut out = vec![0; luma.len() * 3];
    write_rgb(&mut out, luma, cb, cr);
    out
}

/// The same, into `out`.
pub fn write_rgb(out: &mut [u8], luma: &[u8], cb: &[u8], cr: &[u8]) {
    // 1.402, 0.344136 and 0.714136, 1.772
    const RED: i32 = 91_881;
    const GREEN: (i32, i32) = (22_554, 46_802);
    const BLUE: i32 = 116_130;
    for (((pixel, &y), &cb), &cr) in out.as_chunks_mut::<3>().0.iter_mut().zip(luma).zip(cb).zip(cr) {
        let y = (i32::from(y) << POINT) + HALF;
        let (cb, cr) = (i32::from(cb) - 128, i32::from(cr) - 128);
        let level = |value: i32| (value >> POINT).clamp(0, 255) as u8;
        *pixel = [level(y + RED * cr), level(y - GREEN.0 * cb - GREEN.1 * cr), level(y + BLUE * cb)];
    }
}

/// The planes of a picture, alpha left out, with chroma halved both ways: the mean of two by two pixels.
pub fn halved(pixels: &Pixels) -> Planes {
    let Size { width, height } = pixels.size;
    let halves = Size::new(width.div_ceil(2), height.div_ceil(2));
    let columns = halves.width as usize * 2;
    let mut luma = Vec::with_capacity(columns * halves.height as usize * 2);
    let mut chroma = [Vec::new(), Vec::new()];
    chroma.iter_mut().for_each(|plane| plane.reserve_exact(halves.pixels() as usize));
    // a row of red, green and blue summed over two by two
    let mut sums: Vec<[i32; 3]> = vec![[0; 3]; halves.width as usize];
    for y in 0..halves.height * 2 {
        // an odd picture's last row and column count twice
        let row = y.min(height - 1) as usize * pixels.stride();
        let row = &pixels.data[row..row + pixels.stride()];
        let add = |x: usize, pixel: &[u8], sums: &mut [[i32; 3]]| {
            for (sum, &sample) in sums[x / 2].iter_mut().zip(pixel) {
                *sum += i32::from(sample);
            }
        };
        for (x, pixel) in row.chunks_exact(pixels.channels).enumerate() {
            luma.push(luma_of(pixel));
            add(x, &pixel[..3], &mut sums);
        }
        if width % 2 == 1 {
            let pixel = &row[row.len() - pixels.channels..][..3];
            luma.push(luma_of(pixel));
            add(columns - 1, pixel, &mut sums);
        }
        if y % 2 == 1 {
            for sum in &mut sums {
                let [r, g, b] = std::mem::take(sum);
                // 0.168736, 0.331264 and a half; a half, 0.418688 and 0.081312; the sums are of four
                let level = |value: i32| ((value + (128 << (POINT + 2)) + 2 * HALF * 2) >> (POINT + 2)) as u8;
                chroma[0].push(level(-11_059 * r - 21_709 * g + 32_767 * b));
                chroma[1].push(level(32_767 * r - 27_439 * g - 5_329 * b));
            }
        }
    }
    let [cb, cr] = chroma;
    luma.extend(cb);
    luma.extend(cr);
    Planes::new(pixels.size, Some(ChromaSubsampling::S420), luma)
}

fn luma_of(pixel: &[u8]) -> u8 {
    // 0.299, 0.587, 0.114
    ((19_595 * i32::from(pixel[0]) + 38_470 * i32::from(pixel[1]) + 7_471 * i32::from(pixel[2]) + HALF) >> POINT) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Y, Cb, Cr and the colour that they are.
    const COLOURS: [([u8; 3], [u8; 3]); 6] = [
        ([0, 128, 128], [0, 0, 0]),
        ([255, 128, 128], [255, 255, 255]),
        ([76, 85, 255], [254, 0, 0]),
        ([150, 44, 21], [0, 255, 1]),
        ([29, 255, 107], [0, 0, 254]),
        ([150, 100, 140], [167, 151, 100]),
    ];

    #[test]
    fn colours_are_those_of_jfif() {
        for (ycbcr, expected) in COLOURS {
            assert_eq!(to_rgb(&ycbcr[..1], &ycbcr[1..2], &ycbcr[2..]), expected, "{ycbcr:?}");
        }
    }

    #[test]
    fn there_and_back_is_the_same_within_a_level() {
        for (r, g, b) in [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (12, 130, 77), (1, 2, 3)] {
            for size in [Size::new(4, 4), Size::new(5, 3), Size::new(1, 1)] {
                let planes = halved(&Pixels::filled(size, &[r, g, b]));
                let [y, cb, cr] = planes.all().map(|plane| plane.data[0]);
                let back = to_rgb(&[y], &[cb], &[cr]);
                let near = back.iter().zip([r, g, b]).all(|(a, b)| a.abs_diff(b) <= 1);
                assert!(near, "{r},{g},{b} became {back:?}");
                assert!(planes.all().iter().all(|plane| plane.data.iter().all(|&level| level == plane.data[0])));
            }
        }
    }

    #[test]
    fn chroma_is_the_mean_of_four() {
        let mut pixels = Pixels::filled(Size::new(2, 2), &[100, 100, 100]);
        pixels.data[0] = 200;
        let planes = halved(&pixels);
        let mean = halved(&Pixels::filled(Size::new(2, 2), &[125, 100, 100]));
        assert_eq!(planes.chroma().0.map(|plane| plane.data[0]), mean.chroma().0.map(|plane| plane.data[0]));
        assert_ne!(planes.luma().0.data[0], planes.luma().0.data[1]);
    }
}
