//! Luma and chroma out of red, green and blue, and back: BT.601 in full range, as JFIF has it ("Conversion to and from
//! RGB"). Whole numbers throughout, so that every machine gives the same bytes.

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

/// A sample of luma or chroma at full range: `u8` of 8 bits, or `u16` of 10.
pub trait Sample: Copy + Default {
    /// Of red, green and blue in luma, Cb and Cr.
    const WEIGHTS: [[i32; 3]; 3];
    /// Bits of a sample.
    const BITS: u32;
    /// The sample of that value, 0 to `1 << BITS`, exclusive.
    fn new(level: i32) -> Self;
    /// The sample that is as light as that one of 8 bits.
    fn from_luma(level: u8) -> Self;
}

impl Sample for u8 {
    // 0.299, 0.587, 0.114; 0.168736, 0.331264 and a half, which is a step less so that no sum exceeds 255; a half, 0.418688 and
    // 0.081312
    const WEIGHTS: [[i32; 3]; 3] = [[19_595, 38_470, 7_471], [-11_059, -21_709, 32_767], [32_767, -27_439, -5_329]];
    const BITS: u32 = 8;

    fn new(level: i32) -> u8 {
        level as u8
    }

    fn from_luma(level: u8) -> u8 {
        level
    }
}

impl Sample for u16 {
    // the same times 1023 / 255
    const WEIGHTS: [[i32; 3]; 3] =
        [[78_612, 154_331, 29_972], [-44_363, -87_094, 131_457], [131_457, -110_079, -21_378]];
    const BITS: u32 = 10;

    fn new(level: i32) -> u16 {
        level as u16
    }

    fn from_luma(level: u8) -> u16 {
        WIDENED_LUMA[usize::from(level)]
    }
}

/// The planes of a picture, alpha left out. A sample of chroma is the mean of its pixels.
pub fn planes<S: Sample>(pixels: &Pixels, subsampling: ChromaSubsampling) -> Planes<S> {
    let height = pixels.size.height as usize;
    let (luma_size, chroma_size) = Planes::stored(pixels.size, Some(subsampling));
    let mut data = vec![S::default(); Planes::<S>::samples(pixels.size, Some(subsampling))];
    let (luma, chroma) = data.split_at_mut(luma_size.pixels() as usize);
    let (cb, cr) = chroma.split_at_mut(chroma_size.pixels() as usize);
    let (stride, columns) = (luma_size.width as usize, chroma_size.width as usize);
    let down = subsampling.down as usize;
    // red, green and blue of a row, summed over the pixels of each sample of chroma
    let mut sums: Vec<[i32; 3]> = vec![[0; 3]; columns];
    let rows = luma.chunks_exact_mut(stride * down).zip(cb.chunks_exact_mut(columns).zip(cr.chunks_exact_mut(columns)));
    for (first, (luma, (cb, cr))) in (0..height).step_by(down).zip(rows) {
        sums.fill([0; 3]);
        for (y, luma) in (first..).zip(luma.chunks_exact_mut(stride)) {
            // an odd picture's last row and column count twice
            let row = &pixels.data[y.min(height - 1) * pixels.stride()..][..pixels.stride()];
            match pixels.channels {
                4 => add_row::<S, 4>(row, subsampling, luma, &mut sums),
                _ => add_row::<S, 3>(row, subsampling, luma, &mut sums),
            }
        }
        let shift = (subsampling.across * subsampling.down).ilog2();
        for ((sum, cb), cr) in sums.iter().zip(cb).zip(cr) {
            *cb = level(*sum, S::WEIGHTS[1], 1 << (S::BITS - 1), shift);
            *cr = level(*sum, S::WEIGHTS[2], 1 << (S::BITS - 1), shift);
        }
    }
    Planes::new(pixels.size, Some(subsampling), data)
}

/// Writes the luma of a row of pixels of `N` channels, and adds them to the sums for chroma.
fn add_row<S: Sample, const N: usize>(
    row: &[u8], subsampling: ChromaSubsampling, luma: &mut [S], sums: &mut [[i32; 3]],
) {
    let pixels = row.as_chunks::<N>().0;
    let rgb = |pixel: &[u8; N]| [pixel[0], pixel[1], pixel[2]].map(i32::from);
    for (luma, pixel) in luma.iter_mut().zip(pixels) {
        *luma = level(rgb(pixel), S::WEIGHTS[0], 0, 0);
    }
    let add = |sum: &mut [i32; 3], pixel: &[u8; N]| {
        for (sum, sample) in sum.iter_mut().zip(rgb(pixel)) {
            *sum += sample;
        }
    };
    if subsampling.across == 1 {
        sums.iter_mut().zip(pixels).for_each(|(sum, pixel)| add(sum, pixel));
        return;
    }
    for (sum, pair) in sums.iter_mut().zip(pixels.chunks(2)) {
        add(sum, &pair[0]);
        add(sum, &pair[pair.len() - 1]);
    }
    if let (Some(last), true) = (pixels.last(), luma.len() > pixels.len()) {
        luma[pixels.len()] = level(rgb(last), S::WEIGHTS[0], 0, 0);
    }
}

/// The sample of `1 << shift` pixels' sum.
fn level<S: Sample>(sum: [i32; 3], weights: [i32; 3], zero: i32, shift: u32) -> S {
    let value: i32 = sum.iter().zip(weights).map(|(sample, weight)| sample * weight).sum();
    S::new((value + (zero << (POINT + shift)) + (HALF << shift)) >> (POINT + shift))
}

/// Planes of 8 bits as planes of 10.
pub fn widened(planes: &Planes) -> Planes<u16> {
    let mut data = Vec::with_capacity(Planes::<u16>::samples(planes.size, planes.subsampling));
    let [luma, cb, cr] = planes.all();
    data.extend(luma.data.iter().map(|&level| u16::from_luma(level)));
    for plane in [cb, cr] {
        data.extend(plane.data.iter().map(|&level| WIDENED_CHROMA[usize::from(level)]));
    }
    Planes::new(planes.size, planes.subsampling, data)
}

/// Black and white are 0 and 1023.
const WIDENED_LUMA: [u16; 256] = widened_levels(0, 0);

/// No colour is 512.
const WIDENED_CHROMA: [u16; 256] = widened_levels(128, 512);

/// The 10-bit level of each 8-bit one.
const fn widened_levels(zero: i32, widened_zero: i32) -> [u16; 256] {
    let mut levels = [0; 256];
    let mut level = 0;
    while level < 256 {
        let widened = widened_zero + ((level - zero) * 2046 + 255).div_euclid(510);
        // the least 8-bit chroma lies outside of the range
        levels[level as usize] = if widened < 0 { 0 } else { widened as u16 };
        level += 1;
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;

    fn halved(pixels: &Pixels) -> Planes {
        planes(pixels, ChromaSubsampling::S420)
    }

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

    /// Luma, Cb and Cr of a picture of one colour.
    fn levels<S: Sample + PartialEq + std::fmt::Debug>(rgb: [u8; 3], subsampling: ChromaSubsampling) -> [S; 3] {
        let planes = planes::<S>(&Pixels::filled(Size::new(5, 3), &rgb), subsampling);
        let levels = planes.all().map(|plane| plane.data[0]);
        for (plane, level) in planes.all().iter().zip(levels) {
            assert!(plane.data.iter().all(|sample| *sample == level), "{rgb:?} at {subsampling:?}");
        }
        levels
    }

    #[test]
    fn ten_bit_levels_are_those_of_the_standard() {
        // BT.601 at full range (H.273 §8.3): black, white, and the primaries with their chroma's extremes
        let colours = [
            ([0, 0, 0], [0, 512, 512]),
            ([255, 255, 255], [1023, 512, 512]),
            ([255, 0, 0], [306, 339, 1023]),
            ([0, 255, 0], [601, 173, 84]),
            ([0, 0, 255], [117, 1023, 429]),
            ([0, 255, 255], [717, 685, 1]),
            ([255, 255, 0], [906, 1, 595]),
        ];
        for (rgb, expected) in colours {
            for subsampling in [ChromaSubsampling::S420, ChromaSubsampling::S444] {
                assert_eq!(levels::<u16>(rgb, subsampling), expected, "{rgb:?}");
            }
        }
    }

    #[test]
    fn widened_planes_span_the_full_range() {
        for (levels, expected) in
            [([0, 0, 1], [0, 0, 3]), ([128, 128, 127], [514, 512, 508]), ([255, 255, 254], [1023, 1021, 1017])]
        {
            let planes = Planes::new(Size::new(1, 1), Some(ChromaSubsampling::S444), levels.to_vec());
            assert_eq!(widened(&planes).all().map(|plane| plane.data[0]), expected, "{levels:?}");
        }
    }

    #[test]
    fn chroma_of_444_is_that_of_each_pixel() {
        let mut pixels = Pixels::filled(Size::new(3, 2), &[10, 200, 30, 255]);
        pixels.data[4..8].copy_from_slice(&[255, 0, 0, 0]);
        let planes = planes::<u8>(&pixels, ChromaSubsampling::S444);
        let [green, red] =
            [levels::<u8>([10, 200, 30], ChromaSubsampling::S444), levels([255, 0, 0], ChromaSubsampling::S444)];
        for (number, plane) in planes.all().iter().enumerate() {
            let expected: Vec<u8> = (0..6).map(|at| if at == 1 { red[number] } else { green[number] }).collect();
            assert_eq!(plane.data, expected);
        }
    }
}
