//! Matrix coefficients (ITU-T H.273, 8.3).

use super::failure::{Failure, Result};
use super::property::Nclx;

/// The conversion of Y'CbCr to RGB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Matrix {
    /// The planes are G, B and R.
    Identity,
    /// By the weights of red and blue in luma (KR and KB).
    Luma {
        red: f32,
        blue: f32,
    },
    YCgCo,
    /// YCgCo-Re and YCgCo-Ro: integer lifting, with fewer bits in RGB than in the planes.
    Lifting {
        /// The highest sample of the planes.
        coded_max: f32,
        /// The highest sample of RGB.
        rgb_max: f32,
    },
}

impl Matrix {
    /// The matrix of a `MatrixCoefficients` code (H.273, table 4), for planes of `depth` bits.
    ///
    /// The supported codes are those of libavif. Constant luminance (10, 13), ST 2085 (11), ICtCp (14) and IPT-C2 (15) depend on the
    /// transfer function.
    pub(super) fn new(colour: Nclx, depth: u8) -> Result<Self> {
        let (red, blue) = match colour.matrix {
            0 => return Ok(Self::Identity),
            8 => return Ok(Self::YCgCo),
            16 | 17 if colour.full_range => return Ok(Self::lifting(colour.matrix, depth)),
            16 | 17 => return Err(Failure::unsupported("YCgCo-R of limited range")),
            1 => (0.2126, 0.0722),
            4 => (0.30, 0.11),
            2 | 5 | 6 => (0.299, 0.114),
            7 => (0.212, 0.087),
            9 => (0.2627, 0.0593),
            12 => luma_weights(colour.primaries),
            code => return Err(Failure::unsupported(format_args!("the colour matrix {code}"))),
        };
        Ok(Self::Luma { red, blue })
    }

    fn lifting(code: u16, depth: u8) -> Self {
        let max = |bits: u8| f32::from((1_u16 << bits) - 1);
        Self::Lifting { coded_max: max(depth), rgb_max: max(rgb_depth(code, depth)) }
    }

    /// Converts rows of Y, Cb and Cr to rows of R, G and B in place.
    pub(super) fn apply(self, y: &mut [f32], u: &mut [f32], v: &mut [f32]) {
        let pixels = y.iter_mut().zip(u).zip(v);
        match self {
            Self::Identity => pixels.for_each(|((y, u), v)| (*y, *u, *v) = (*v, *y, *u)),
            Self::Luma { red, blue } => {
                let (from_v, from_u) = (2.0 * (1.0 - red), 2.0 * (1.0 - blue));
                let green = 1.0 - red - blue;
                let (green_v, green_u) = (from_v * red / green, from_u * blue / green);
                pixels.for_each(|((y, u), v)| {
                    let rgb = (*y + from_v * *v, *y - green_u * *u - green_v * *v, *y + from_u * *u);
                    (*y, *u, *v) = rgb;
                });
            }
            Self::YCgCo => pixels.for_each(|((y, u), v)| {
                (*y, *u, *v) = (*y - *u + *v, *y + *u, *y - *u - *v);
            }),
            Self::Lifting { coded_max, rgb_max } => pixels.for_each(|((y, u), v)| {
                let [luma, cg, co] = [*y, *u, *v].map(|value| (value * coded_max).round() as i32);
                let rgb = lift(luma, cg, co).map(|sample| (sample as f32).clamp(0.0, rgb_max) / rgb_max);
                [*y, *u, *v] = rgb;
            }),
        }
    }
}

/// R, G and B of YCgCo-R (H.273 of 2024, equations 62 to 65).
fn lift(luma: i32, cg: i32, co: i32) -> [i32; 3] {
    let shared = luma - (cg >> 1);
    let blue = shared - (co >> 1);
    [blue + co, shared + cg, blue]
}

/// Bits of an RGB sample for planes of `depth` bits. YCgCo-Re adds two bits to those of RGB, YCgCo-Ro one.
pub(super) fn rgb_depth(matrix: u16, depth: u8) -> u8 {
    match matrix {
        16 => depth - 2,
        17 => depth - 1,
        _ => depth,
    }
}

/// KR and KB by the primaries (H.273, equations 32 to 37). As in libavif, unknown primaries are those of BT.709.
fn luma_weights(primaries: u16) -> (f32, f32) {
    // chromaticities of red, green, blue and white (H.273, table 2)
    let [red, green, blue, white] = match primaries {
        4 => [(0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)],
        5 => [(0.64, 0.33), (0.29, 0.60), (0.15, 0.06), (0.3127, 0.3290)],
        6 | 7 => [(0.630, 0.340), (0.310, 0.595), (0.155, 0.070), (0.3127, 0.3290)],
        8 => [(0.681, 0.319), (0.243, 0.692), (0.145, 0.049), (0.310, 0.316)],
        9 => [(0.708, 0.292), (0.170, 0.797), (0.131, 0.046), (0.3127, 0.3290)],
        10 => [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1.0 / 3.0, 1.0 / 3.0)],
        11 => [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)],
        12 => [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290)],
        22 => [(0.630, 0.340), (0.295, 0.605), (0.155, 0.077), (0.3127, 0.3290)],
        _ => [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.3290)],
    };
    let z = |(x, y): (f64, f64)| 1.0 - x - y;
    let determinant = |[a, b, c]: [(f64, f64); 3]| {
        a.0 * (b.1 * z(c) - c.1 * z(b)) + a.1 * (c.0 * z(b) - b.0 * z(c)) + z(a) * (b.0 * c.1 - c.0 * b.1)
    };
    // the share of each primary in white (Cramer's rule), times its luma
    let whole = determinant([red, green, blue]) * white.1;
    let weight = |primary: (f64, f64), others: [(f64, f64); 3]| (primary.1 * determinant(others) / whole) as f32;
    (weight(red, [white, green, blue]), weight(blue, [red, green, white]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may fail
mod tests {
    use super::*;

    const BT601: Nclx = Nclx { primaries: 1, transfer: 13, matrix: 6, full_range: true };

    #[test]
    fn bt601_matrix_gives_red_for_red() {
        let (mut y, mut u, mut v) = ([0.299], [-0.168_736], [0.5]);
        Matrix::new(BT601, 8).unwrap().apply(&mut y, &mut u, &mut v);
        for (got, wanted) in [(y[0], 1.0), (u[0], 0.0), (v[0], 0.0)] {
            assert!((got - wanted).abs() < 1e-4_f32, "{got} is not {wanted}");
        }
    }

    #[test]
    fn unknown_matrix_is_unsupported() {
        for matrix in [3, 10, 11, 13, 14, 15, 18, 255, u16::MAX] {
            let Err(Failure::Unsupported(text)) = Matrix::new(Nclx { matrix, ..BT601 }, 10) else {
                panic!("{matrix} is accepted");
            };
            assert_eq!(text, format!("the colour matrix {matrix} is not supported"));
        }
        let limited = Nclx { matrix: 16, full_range: false, ..BT601 };
        assert!(matches!(Matrix::new(limited, 10), Err(Failure::Unsupported(_))));
    }

    #[test]
    fn luma_weights_follow_from_primaries() {
        // published values of BT.709, BT.2020 and Display P3
        for (primaries, red, blue) in
            [(1, 0.2126, 0.0722), (2, 0.2126, 0.0722), (9, 0.2627, 0.0593), (12, 0.2290, 0.0793)]
        {
            let (got_red, got_blue) = luma_weights(primaries);
            assert!(
                (got_red - red).abs() < 1e-4 && (got_blue - blue).abs() < 1e-4,
                "{primaries}: {got_red} {got_blue}"
            );
        }
    }

    #[test]
    fn lifting_round_trips_rgb() {
        for (matrix, depth) in [(16, 10), (16, 12), (17, 10), (17, 12)] {
            let max = (1 << rgb_depth(matrix, depth)) - 1;
            let coded_max = ((1 << depth) - 1) as f32;
            for rgb in
                [[0, 0, 0], [max, max, max], [max, 0, 0], [0, max, 0], [0, 0, max], [1, 2, 3], [max / 3, max / 2, 7]]
            {
                // H.273 of 2024, equations 58 to 61
                let co = rgb[0] - rgb[2];
                let shared = rgb[2] + (co >> 1);
                let cg = rgb[1] - shared;
                let luma = shared + (cg >> 1);
                assert_eq!(lift(luma, cg, co), rgb);
                let [mut y, mut u, mut v] = [luma, cg, co].map(|value| [value as f32 / coded_max]);
                Matrix::new(Nclx { matrix, ..BT601 }, depth).unwrap().apply(&mut y, &mut u, &mut v);
                let got = [y[0], u[0], v[0]].map(|value| (value * max as f32).round() as i32);
                assert_eq!(got, rgb, "{matrix} {depth}");
            }
        }
    }
}
