//! The transforms of VP8L (RFC 9649 §3.5).

use super::prefix::BitReader;
use super::{Pixel, blocks, read_image};

/// A transform (§3.5), undone after entropy decoding.
pub(super) enum Transform {
    /// Pixels are residuals of one of 14 prediction modes, chosen a block (§3.5.1).
    Predictor { modes: Vec<Pixel>, bits: u32 },
    /// Red and blue are residuals of a prediction from green and red (§3.5.2).
    Colour { factors: Vec<Pixel>, bits: u32 },
    /// Green was subtracted from red and blue (§3.5.3).
    SubtractGreen,
    /// Indices into a table of colours, up to 8 of them packed in a pixel (§3.5.4).
    ColourIndexing { table: Vec<Pixel>, bits: u32 },
}

/// Reads the transforms, and returns the width of the entropy-coded image, too.
pub(super) fn read_transforms(
    bits: &mut BitReader<'_>, width: usize, height: usize,
) -> Option<(Vec<Transform>, usize)> {
    let (mut found, mut width) = (Vec::new(), width);
    let mut kinds = 0_u8;
    while bits.read(1)? == 1 {
        let kind = bits.read(2)?;
        // each type at most once
        (kinds >> kind & 1 == 0).then_some(())?;
        kinds |= 1 << kind;
        found.push(match kind {
            0 | 1 => {
                let block = bits.read(3)? + 2;
                let image = read_image(bits, blocks(width, block), blocks(height, block))?;
                match kind {
                    0 => Transform::Predictor { modes: image, bits: block },
                    _ => Transform::Colour { factors: image, bits: block },
                }
            }
            2 => Transform::SubtractGreen,
            _ => {
                let colours = bits.read(8)? as usize + 1;
                let mut table = read_image(bits, colours, 1)?;
                for at in 1..table.len() {
                    table[at] = add_pixels(table[at], table[at - 1]);
                }
                let packed = match table.len() {
                    0..=2 => 3,
                    3..=4 => 2,
                    5..=16 => 1,
                    _ => 0,
                };
                width = blocks(width, packed);
                Transform::ColourIndexing { table, bits: packed }
            }
        });
    }
    Some((found, width))
}

fn add_pixels(a: Pixel, b: Pixel) -> Pixel {
    std::array::from_fn(|at| a[at].wrapping_add(b[at]))
}

impl Transform {
    /// Undoes the transform in the first `rows` rows, `row_width` pixels each; the width of a row then. `width` is that of the picture.
    pub(super) fn undo(&self, pixels: &mut [Pixel], row_width: usize, width: usize, rows: usize) -> usize {
        match self {
            Transform::Predictor { modes, bits } => {
                for at in 0..rows * row_width {
                    let (x, y) = (at % row_width, at / row_width);
                    let mode = modes[(y >> bits) * blocks(row_width, *bits) + (x >> bits)][1] & 15;
                    pixels[at] = add_pixels(pixels[at], predict(pixels, at, row_width, mode));
                }
            }
            Transform::Colour { factors, bits } => {
                for (at, pixel) in pixels[..rows * row_width].iter_mut().enumerate() {
                    let (x, y) = (at % row_width, at / row_width);
                    let [red_to_blue, green_to_blue, green_to_red, _] =
                        factors[(y >> bits) * blocks(row_width, *bits) + (x >> bits)];
                    let delta = |factor: u8, of: u8| {
                        ((i32::from(factor.cast_signed()) * i32::from(of.cast_signed())) >> 5) as u8
                    };
                    let [red, green, blue, _] = pixel;
                    *red = red.wrapping_add(delta(green_to_red, *green));
                    *blue = blue.wrapping_add(delta(green_to_blue, *green)).wrapping_add(delta(red_to_blue, *red));
                }
            }
            Transform::SubtractGreen => {
                for [red, green, blue, _] in &mut pixels[..rows * row_width] {
                    (*red, *blue) = (red.wrapping_add(*green), blue.wrapping_add(*green));
                }
            }
            Transform::ColourIndexing { table, bits } => {
                let (each, wide) = (1_usize << bits, 8 >> bits);
                // from the last pixel on, since rows become longer
                for at in (0..rows * width).rev() {
                    let (x, y) = (at % width, at / width);
                    let packed = u16::from(pixels[y * row_width + x / each][1]);
                    let index = packed >> (x % each * wide) & ((1 << wide) - 1);
                    pixels[at] = table.get(usize::from(index)).copied().unwrap_or_default();
                }
                return width;
            }
        }
        row_width
    }
}

/// The prediction of a pixel from its neighbours (§3.5.1).
fn predict(pixels: &[Pixel], at: usize, row_width: usize, mode: u8) -> Pixel {
    const BLACK: Pixel = [0, 0, 0, 255];
    let (x, y) = (at % row_width, at / row_width);
    match (x, y) {
        (0, 0) => return BLACK,
        (_, 0) => return pixels[at - 1],
        (0, _) => return pixels[at - row_width],
        _ => {}
    }
    let (left, above) = (pixels[at - 1], pixels[at - row_width]);
    // for the rightmost pixel, top-right is the first one of this row (§3.5.1)
    let (corner, right) = (pixels[at - row_width - 1], pixels[at - row_width + 1]);
    let mean = |a: Pixel, b: Pixel| -> Pixel { std::array::from_fn(|at| a[at].midpoint(b[at])) };
    let clamped = |value: i32| value.clamp(0, 255) as u8;
    match mode {
        1 => left,
        2 => above,
        3 => right,
        4 => corner,
        5 => mean(mean(left, right), above),
        6 => mean(left, corner),
        7 => mean(left, above),
        8 => mean(corner, above),
        9 => mean(above, right),
        10 => mean(mean(left, corner), mean(above, right)),
        11 => {
            let distance = |from: Pixel| -> u32 { (0..4).map(|at| u32::from(from[at].abs_diff(corner[at]))).sum() };
            // the one closer to left + above - corner
            if distance(above) < distance(left) { left } else { above }
        }
        12 => std::array::from_fn(|at| clamped(i32::from(left[at]) + i32::from(above[at]) - i32::from(corner[at]))),
        13 => {
            let mean = mean(left, above);
            std::array::from_fn(|at| {
                let value = i32::from(mean[at]);
                clamped(value + (value - i32::from(corner[at])) / 2)
            })
        }
        _ => BLACK,
    }
}
