//! Turning and mirroring, on the pixels of the result.

use tintype_pixels::Orientation;
use tintype_pixels::Pixels;

/// Pixels of a block's side: a block of the source and one of the target stay in the first-level cache together, where
/// a whole column of a picture would not.
const BLOCK: usize = 32;

/// Turns and mirrors a picture.
pub(crate) fn orient(pixels: Pixels, orientation: Orientation) -> Pixels {
    if orientation == Orientation::UPRIGHT {
        return pixels;
    }
    match pixels.channels {
        3 => oriented::<3>(&pixels, orientation),
        _ => oriented::<4>(&pixels, orientation),
    }
}

fn oriented<const N: usize>(pixels: &Pixels, orientation: Orientation) -> Pixels {
    let size = orientation.apply(pixels.size);
    let (width, height) = (size.width as usize, size.height as usize);
    let stride = pixels.size.width as usize;
    let (from, _) = pixels.data.as_chunks::<N>();
    let mut data = vec![0; pixels.data.len()];
    let (to, _) = data.as_chunks_mut::<N>();
    for top in (0..height).step_by(BLOCK) {
        for left in (0..width).step_by(BLOCK) {
            for y in top..(top + BLOCK).min(height) {
                for x in left..(left + BLOCK).min(width) {
                    let (mut column, mut row) = (x, y);
                    if orientation.mirror_x {
                        column = width - 1 - column;
                    }
                    if orientation.mirror_y {
                        row = height - 1 - row;
                    }
                    if orientation.transpose {
                        (column, row) = (row, column);
                    }
                    to[y * width + x] = from[row * stride + column];
                }
            }
        }
    }
    Pixels { size, channels: N, data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_pixels::Size;

    /// The eight pictures of EXIF 2.32 §4.6.4: how the rows of `F`-like digits lie before and after.
    #[test]
    fn each_orientation_brings_the_picture_upright() {
        let upright = [1, 2, 3, 4, 5, 6];
        let check = |exif: u32, width: u32, stored: [u8; 6]| {
            let data = stored.iter().flat_map(|&v| [v; 3]).collect();
            let pixels = Pixels { size: Size::new(width, 6 / width), channels: 3, data };
            let out = orient(pixels, Orientation::from_exif(exif));
            assert_eq!(out.size, Size::new(3, 2), "EXIF {exif}");
            let got: Vec<u8> = out.data.chunks(3).map(|pixel| pixel[0]).collect();
            assert_eq!(got, upright, "EXIF {exif}");
        };
        check(1, 3, [1, 2, 3, 4, 5, 6]);
        check(2, 3, [3, 2, 1, 6, 5, 4]);
        check(3, 3, [6, 5, 4, 3, 2, 1]);
        check(4, 3, [4, 5, 6, 1, 2, 3]);
        check(5, 2, [1, 4, 2, 5, 3, 6]);
        check(6, 2, [3, 6, 2, 5, 1, 4]);
        check(7, 2, [6, 3, 5, 2, 4, 1]);
        check(8, 2, [4, 1, 5, 2, 6, 3]);
    }
}
