//! Tinting: shades of one colour, from black over the colour to white.
//!
//! A pixel's luminance, CIE Y of linear sRGB, gives the lightness L* of the result. Its a* and b* are those of the colour times
//! 1 − (L*/50 − 1)², which is 1 at a middle lightness and 0 at black and white. Colours outside of sRGB are clipped by channel.
//! sharp's `tint` is defined in the same way.

use std::sync::LazyLock;

use tintype_pixels::Pixels;

/// Steps of luminance, enough to tell the darkest greys apart.
const STEPS: usize = 4096;

/// Fractions of a step in the weighted parts of luminance.
const PARTS: u32 = 256;

/// Replaces each colour by a shade of `colour` of the same luminance; alpha stays.
pub(crate) fn tint(pixels: &mut Pixels, colour: [u8; 3]) {
    let shades = shades(colour);
    match pixels.channels {
        3 => apply::<3>(&mut pixels.data, &shades),
        _ => apply::<4>(&mut pixels.data, &shades),
    }
}

/// The shade of one colour.
pub(crate) fn shade([r, g, b]: [u8; 3], colour: [u8; 3]) -> [u8; 3] {
    let mut pixel = [r, g, b];
    apply::<3>(&mut pixel, &shades(colour));
    pixel
}

fn apply<const C: usize>(data: &mut [u8], shades: &[[u8; 3]; STEPS]) {
    let [red, green, blue] = &LUMINANCE.parts;
    let (pixels, _) = data.as_chunks_mut::<C>();
    for pixel in pixels {
        let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(usize::from);
        let step = (red[r] + green[g] + blue[b] + PARTS / 2) / PARTS;
        pixel[..3].copy_from_slice(&shades[step as usize % STEPS]);
    }
}

/// Tables of luminance.
struct Luminance {
    /// The luminance of each level of red, green and blue, in parts of steps.
    parts: [[u32; 256]; 3],
    /// The grey level of each step.
    grey: [u8; STEPS],
}

static LUMINANCE: LazyLock<Luminance> = LazyLock::new(|| {
    let most = (STEPS - 1) as f64;
    let part = |weight: f64, level: usize| (linear(level as u8) * weight * most * f64::from(PARTS)).round() as u32;
    Luminance {
        // IEC 61966-2-1
        parts: [0.2126, 0.7152, 0.0722].map(|weight| std::array::from_fn(|level| part(weight, level))),
        grey: std::array::from_fn(|step| coded(step as f64 / most)),
    }
});

/// The colour of each step of luminance.
fn shades(colour: [u8; 3]) -> Box<[[u8; 3]; STEPS]> {
    let [_, a, b] = to_lab(colour);
    let of_level = |level: usize| {
        let [lightness, ..] = to_lab([level as u8; 3]);
        let weight = 1.0 - (lightness / 50.0 - 1.0).powi(2);
        from_lab([lightness, a * weight, b * weight])
    };
    let levels: [[u8; 3]; 256] = std::array::from_fn(of_level);
    Box::new(LUMINANCE.grey.map(|level| levels[usize::from(level)]))
}

/// The light of a coded level, 0 to 1.
fn linear(level: u8) -> f64 {
    let coded = f64::from(level) / 255.0;
    if coded <= 0.04045 { coded / 12.92 } else { ((coded + 0.055) / 1.055).powf(2.4) }
}

/// The coded level of light; light beyond 0 to 1 is clipped.
fn coded(light: f64) -> u8 {
    let light = light.clamp(0.0, 1.0);
    let coded = if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
    (coded * 255.0).round() as u8
}

/// The white of sRGB, D65.
const WHITE: [f64; 3] = [0.950_47, 1.0, 1.088_83];

/// CIE 1976 L*a*b* of an sRGB colour.
fn to_lab(colour: [u8; 3]) -> [f64; 3] {
    let [r, g, b] = colour.map(linear);
    let xyz = [
        0.412_456_4 * r + 0.357_576_1 * g + 0.180_437_5 * b,
        0.212_672_9 * r + 0.715_152_2 * g + 0.072_175_0 * b,
        0.019_333_9 * r + 0.119_192_0 * g + 0.950_304_1 * b,
    ];
    let root = |t: f64| if t > 216.0 / 24_389.0 { t.cbrt() } else { (24_389.0 / 27.0 * t + 16.0) / 116.0 };
    let [x, y, z] = [0, 1, 2].map(|i| root(xyz[i] / WHITE[i]));
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// The nearest sRGB colour of an L*a*b* one.
fn from_lab([lightness, a, b]: [f64; 3]) -> [u8; 3] {
    let y = (lightness + 16.0) / 116.0;
    let cube = |f: f64| if f > 6.0 / 29.0 { f.powi(3) } else { (116.0 * f - 16.0) * 27.0 / 24_389.0 };
    let [x, y, z] = [cube(y + a / 500.0) * WHITE[0], cube(y) * WHITE[1], cube(y - b / 200.0) * WHITE[2]];
    [
        coded(3.240_454_2 * x - 1.537_138_5 * y - 0.498_531_4 * z),
        coded(-0.969_266_0 * x + 1.876_010_8 * y + 0.041_556_0 * z),
        coded(0.055_643_4 * x - 0.204_025_9 * y + 1.057_225_2 * z),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_pixels::Size;

    #[test]
    fn grey_tint_leaves_greys() {
        for level in 0..=255 {
            assert_eq!(shade([level; 3], [128; 3]), [level; 3]);
        }
    }

    #[test]
    fn shades_run_from_black_to_white() {
        let shades = |colour: [u8; 3]| [0, 60, 128, 200, 255].map(|level| shade([level; 3], colour));
        let [black, dark, middle, light, white] = shades([255, 0, 0]);
        assert_eq!((black, white), ([0; 3], [255; 3]));
        for [r, g, b] in [dark, middle, light] {
            assert!(r > g + 20 && r > b + 20, "{r} {g} {b}");
        }
        // the luminance stays where the colour is within sRGB
        let [_, _, [r, g, b], ..] = shades([255, 240, 16]);
        let luminance = 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
        assert!((luminance - linear(128)).abs() < 0.02, "{luminance}");
    }

    /// Colour, pixel and what `tint` of sharp 0.34.5 (libvips 8.17.3) makes of it.
    const SHARP: [([u8; 3], [u8; 3], [u8; 3]); 12] = [
        ([0, 80, 255], [200, 30, 40], [24, 82, 254]),
        ([0, 80, 255], [10, 90, 200], [0, 75, 242]),
        ([0, 80, 255], [128, 128, 128], [81, 106, 255]),
        ([0, 80, 255], [30, 30, 30], [14, 23, 80]),
        ([0, 80, 255], [240, 240, 230], [241, 234, 255]),
        ([0, 80, 255], [0, 255, 0], [222, 210, 255]),
        ([255, 240, 16], [200, 30, 40], [107, 106, 0]),
        ([255, 240, 16], [10, 90, 200], [99, 99, 0]),
        ([255, 240, 16], [30, 30, 30], [39, 31, 0]),
        ([255, 240, 16], [240, 240, 230], [248, 239, 202]),
        ([255, 240, 16], [0, 255, 0], [235, 221, 146]),
        ([255, 240, 16], [90, 200, 160], [195, 183, 28]),
    ];

    #[test]
    fn tint_equals_that_of_sharp() {
        for (colour, pixel, expected) in SHARP {
            let got = shade(pixel, colour);
            // libvips has coarser tables where a channel is nearly clipped
            let is_near = got.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 5);
            assert!(is_near, "{pixel:?} by {colour:?}: {got:?}, not {expected:?}");
        }
    }

    #[test]
    fn alpha_stays() {
        let mut pixels = Pixels { size: Size::new(2, 1), channels: 4, data: vec![255, 255, 255, 9, 0, 0, 0, 200] };
        tint(&mut pixels, [1, 200, 3]);
        assert_eq!(pixels.data, [255, 255, 255, 9, 0, 0, 0, 200]);
    }
}
