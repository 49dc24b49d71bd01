//! The blur against a Gaussian in f64.

use super::*;
use proptest::prelude::*;
use tintype_pixels::Size;

fn picture(width: u32, height: u32, channels: usize, at: impl Fn(u32, u32, usize) -> u8) -> Pixels {
    let mut data = Vec::new();
    for y in 0..height {
        for x in 0..width {
            data.extend((0..channels).map(|c| at(x, y, c)));
        }
    }
    Pixels { size: Size::new(width, height), channels, data }
}

fn noise(x: u32, y: u32, c: usize) -> u8 {
    let mut n = x
        .wrapping_mul(0x9E37_79B1)
        .wrapping_add(y.wrapping_mul(0x85EB_CA77))
        .wrapping_add((c as u32).wrapping_mul(0xC2B2_AE3D));
    n ^= n >> 15;
    n = n.wrapping_mul(0x2C1B_3C6D);
    (n ^ (n >> 12)) as u8
}

/// A cartoon of a photograph: gradients, hard edges of full contrast at odd places, a
/// disc, thin lines and a patch of noise.
fn scene(x: u32, y: u32, c: usize) -> u8 {
    let (fx, fy) = (f64::from(x), f64::from(y));
    let disc = (fx - 40.0).powi(2) + (fy - 50.0).powi(2) < 600.0;
    match (x, y) {
        _ if disc => [250, 200, 30][c % 3],
        (70.., 20..=44) => [0, 255, 255][c % 3],
        (90..=93, _) => 255,
        (_, 60..=61) => 0,
        (100.., 62..) => noise(x, y, c),
        _ => (fx * 1.3 + fy * 0.7 + 20.0 * c as f64) as u8,
    }
}

fn checker(x: u32, y: u32, _: usize) -> u8 {
    if (x / 37 + y / 29).is_multiple_of(2) { 255 } else { 0 }
}

/// How much each of `length` samples counts for each: the Gaussian out to 5 sigma, what
/// lies outside counting for the outermost sample. Only what is not 0 is listed.
fn weights(length: usize, sigma: f64) -> Vec<Vec<(usize, f64)>> {
    let radius = (5.0 * sigma).ceil() as i64;
    let kernel = |k: i64| (-((k * k) as f64) / (2.0 * sigma * sigma)).exp();
    let total: f64 = (-radius..=radius).map(kernel).sum();
    let last = length as i64 - 1;
    (0..=last)
        .map(|at| {
            let mut row = vec![0.0; length];
            for k in -radius..=radius {
                row[(at + k).clamp(0, last) as usize] += kernel(k) / total;
            }
            let row = row.into_iter().enumerate();
            row.filter(|(_, weight)| *weight > 0.0).collect()
        })
        .collect()
}

/// The Gaussian in f64, no tricks.
fn reference(pixels: &Pixels, sigma: f64) -> Vec<f64> {
    let (w, h, c) = (pixels.size.width as usize, pixels.size.height as usize, pixels.channels);
    let mut all: Vec<f64> = pixels.data.iter().map(|v| f64::from(*v)).collect();
    if c == 4 {
        for [r, g, b, a] in all.as_chunks_mut::<4>().0 {
            (*r, *g, *b) = (*r * *a / 255.0, *g * *a / 255.0, *b * *a / 255.0);
        }
    }
    let across = weights(w, sigma);
    let down = weights(h, sigma);
    let mut half = vec![0.0; all.len()];
    for (i, out) in half.iter_mut().enumerate() {
        let (row, x, channel) = (i / (w * c) * w * c, i / c % w, i % c);
        for (from, weight) in &across[x] {
            *out += weight * all[row + from * c + channel];
        }
    }
    all.fill(0.0);
    for (i, out) in all.iter_mut().enumerate() {
        let (y, along) = (i / (w * c), i % (w * c));
        for (from, weight) in &down[y] {
            *out += weight * half[from * w * c + along];
        }
    }
    if c == 4 {
        for [r, g, b, a] in all.as_chunks_mut::<4>().0 {
            let s = if *a > 0.0 { 255.0 / *a } else { 0.0 };
            (*r, *g, *b) = (*r * s, *g * s, *b * s);
        }
    }
    all
}

#[test]
fn stays_near_the_true_gaussian() {
    // (sigma, most that any sample may be off, in levels; rounding alone is 0.5)
    let table = [
        (0.3, 0.6),
        (0.5, 0.6),
        (1.0, 1.0),
        (2.0, 1.0),
        (3.0, 1.0),
        (3.99, 1.0),
        (4.0, 1.0),
        (4.5, 1.0),
        (5.0, 1.0),
        (5.99, 1.0),
        (6.0, 1.0),
        (8.0, 1.0),
        (13.7, 1.0),
        (40.0, 1.0),
        (100.0, 1.0),
    ];
    type Scene = fn(u32, u32, usize) -> u8;
    let scenes: [(&str, Scene); 3] = [("scene", scene), ("checker", checker), ("noise", noise)];
    for (name, at) in scenes {
        let original = picture(131, 87, 3, at);
        for (sigma, limit) in table {
            let mut blurred = original.clone();
            blur(&mut blurred, sigma);
            let worst = reference(&original, f64::from(sigma))
                .iter()
                .zip(&blurred.data)
                .map(|(a, b)| (a - f64::from(*b)).abs())
                .fold(0.0, f64::max);
            println!("{name} sigma {sigma}: off by {worst:.3}");
            assert!(worst <= limit, "{name}, sigma {sigma}: off by {worst}");
        }
    }
}

#[test]
fn alpha_is_near_the_true_gaussian_too() {
    let original = picture(90, 70, 4, |x, y, c| match c {
        3 if (x / 20 + y / 20) % 2 == 0 => 0,
        3 => 255 - (x % 64) as u8,
        _ => scene(x, y, c),
    });
    for sigma in [1.5, 4.0, 9.0] {
        let mut blurred = original.clone();
        blur(&mut blurred, sigma);
        let exact = reference(&original, f64::from(sigma));
        for (got, want) in blurred.data.as_chunks::<4>().0.iter().zip(exact.as_chunks::<4>().0) {
            assert!((f64::from(got[3]) - want[3]).abs() <= 1.5, "{sigma}");
            // a colour is worth as much as its alpha
            for c in 0..3 {
                let off = (f64::from(got[c]) - want[c]).abs() * want[3] / 255.0;
                assert!(off <= 2.0, "sigma {sigma}: {got:?} is not {want:?}");
            }
        }
    }
}

#[test]
fn transparent_colours_do_not_bleed() {
    // invisible green left, opaque red right
    for sigma in [1.0, 3.0, 5.0, 30.0] {
        let mut p = picture(64, 9, 4, |x, _, c| match (x < 32, c) {
            (true, 1) | (false, 0 | 3) => 255,
            _ => 0,
        });
        blur(&mut p, sigma);
        for px in p.data.as_chunks::<4>().0 {
            assert_eq!(px[1], 0, "sigma {sigma}");
            assert!(px[0] >= 254 || px[3] == 0, "sigma {sigma}: {px:?}");
        }
    }
}

#[test]
fn flat_stays_flat() {
    for (channels, value) in [(3, 0), (3, 1), (3, 128), (3, 255), (4, 255), (4, 77)] {
        for sigma in [0.3, 2.2, 4.0, 11.0, 100.0] {
            let original = picture(33, 21, channels, |_, _, c| if c == 3 { 200 } else { value });
            let mut p = original.clone();
            blur(&mut p, sigma);
            assert_eq!(p, original, "{channels} × {value}, sigma {sigma}");
        }
    }
}

#[test]
fn too_little_does_nothing() {
    let original = picture(20, 20, 3, noise);
    for sigma in [0.0, -3.0, 0.29, f32::NAN, f32::NEG_INFINITY] {
        let mut p = original.clone();
        blur(&mut p, sigma);
        assert_eq!(p, original, "{sigma}");
    }
    let mut most = original.clone();
    blur(&mut most, MAX_SIGMA);
    let mut more = original.clone();
    blur(&mut more, f32::INFINITY);
    assert_eq!(most, more);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every sample stays within the range of the input, in any shape of picture.
    #[test]
    fn stays_in_range(
        w in 1u32..40, h in 1u32..40, alpha: bool, sigma in 0.3f32..100.0, lo in 0u8..200, span in 0u8..55
    ) {
        let channels = if alpha { 4 } else { 3 };
        let mut p = picture(w, h, channels, |x, y, c| {
            if c == 3 { 255 } else { lo + noise(x, y, c) % (span + 1) }
        });
        let before = p.data.len();
        blur(&mut p, sigma);
        prop_assert_eq!(p.data.len(), before);
        for px in p.data.chunks(channels) {
            for v in &px[..3] {
                prop_assert!((lo..=lo + span).contains(v));
            }
        }
    }
}
