//! HDR pictures for SDR screens: PQ and HLG (ITU-R BT.2100) become sRGB as in Chromium.
//!
//! Light is relative to the reference white of 203 cd/m² (ITU-R BT.2408). The tone mapping is the *reference white tone mapping
//! operator* of SMPTE ST 2094-50, annex D, for a screen without headroom: a gain by the largest of red, green and blue in the
//! primaries of BT.2020, which keeps hue and saturation. Up to the reference white the gain is constant; above it, a curve leads
//! up to the peak of the picture, which becomes white. What is outside of sRGB is clipped.

use std::sync::{Arc, LazyLock};

use moxcms::{CicpProfile, CmsError, ColorProfile, MatrixCoefficients, TransferCharacteristics, TransformExecutor};
use serde::{Deserialize, Serialize};

/// The luminance of white paper in a picture, in cd/m² (BT.2408).
const REFERENCE_WHITE: f32 = 203.0;

/// The peak luminance of pictures that state none, and that of HLG, in cd/m².
const DEFAULT_PEAK: f32 = 1000.0;

/// The highest luminance of PQ, in cd/m².
const PQ_PEAK: f32 = 10_000.0;

/// Luminance of the primaries of BT.2020.
const LUMA: [f32; 3] = [0.2627, 0.6780, 0.0593];

/// Code point of the primaries of BT.2020 (ITU-T H.273, table 2).
const BT2020: u8 = 9;

/// A transfer function of HDR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum HdrTransfer {
    /// Perceptual quantisation (SMPTE ST 2084).
    Pq,
    /// Hybrid log-gamma (ARIB STD-B67).
    Hlg,
}

impl HdrTransfer {
    /// That of a code point (H.273, table 3).
    pub(super) fn of_cicp(transfer: u8) -> Option<HdrTransfer> {
        match transfer {
            16 => Some(HdrTransfer::Pq),
            18 => Some(HdrTransfer::Hlg),
            _ => None,
        }
    }

    /// Light of each of 65536 samples: in units of the reference white, that of HLG as captured, 0 to 1.
    fn light(self) -> &'static [f32] {
        static PQ: LazyLock<Box<[f32]>> = LazyLock::new(|| table(|signal| pq_eotf(signal) / REFERENCE_WHITE));
        static HLG: LazyLock<Box<[f32]>> = LazyLock::new(|| table(hlg_inverse_oetf));
        match self {
            HdrTransfer::Pq => &PQ,
            HdrTransfer::Hlg => &HLG,
        }
    }
}

fn table<T>(of: impl Fn(f32) -> T) -> Box<[T]> {
    (0..=u16::MAX).map(|sample| of(f32::from(sample) / 65535.0)).collect()
}

/// The light of a PQ signal in cd/m² (BT.2100, table 4).
fn pq_eotf(signal: f32) -> f32 {
    const M1: f64 = 2610.0 / 16384.0;
    const M2: f64 = 2523.0 / 4096.0 * 128.0;
    const C1: f64 = 3424.0 / 4096.0;
    const C2: f64 = 2413.0 / 4096.0 * 32.0;
    const C3: f64 = 2392.0 / 4096.0 * 32.0;
    let power = f64::from(signal).powf(1.0 / M2);
    (f64::from(PQ_PEAK) * ((power - C1).max(0.0) / (C2 - C3 * power)).powf(1.0 / M1)) as f32
}

/// The light that a camera captured for an HLG signal, 0 to 1 (BT.2100, table 5).
fn hlg_inverse_oetf(signal: f32) -> f32 {
    const A: f64 = 0.178_832_77;
    const B: f64 = 1.0 - 4.0 * A;
    let c = 0.5 - A * (4.0 * A).ln();
    let signal = f64::from(signal);
    let light = if signal <= 0.5 { signal * signal / 3.0 } else { (((signal - c) / A).exp() + B) / 12.0 };
    light as f32
}

/// The light of a screen of 1000 cd/m², in units of the reference white, for light of 0 to 1 that a camera captured (BT.2100,
/// table 5).
fn hlg_ootf(light: [f32; 3]) -> [f32; 3] {
    static FACTORS: LazyLock<Box<[f32]>> =
        LazyLock::new(|| table(|luminance| luminance.powf(0.2) * (DEFAULT_PEAK / REFERENCE_WHITE)));
    let luminance: f32 = light.iter().zip(LUMA).map(|(light, weight)| light * weight).sum();
    let factor = FACTORS[usize::from(quantised(luminance))];
    light.map(|light| light * factor)
}

/// One of 65536 steps; values out of 0 to 1 saturate.
fn quantised(value: f32) -> u16 {
    (value * 65535.0 + 0.5) as u16
}

/// The sRGB signal of light of 0 to 1 (IEC 61966-2-1).
fn srgb_oetf(light: f32) -> f32 {
    if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
}

/// 16-bit sRGB of 65536 steps of light.
fn srgb() -> &'static [u16] {
    static SRGB: LazyLock<Box<[u16]>> = LazyLock::new(|| table(|light| quantised(srgb_oetf(light))));
    &SRGB
}

/// The gain of tone mapping, by the largest of red, green and blue in units of the reference white.
struct Gain {
    /// Up to the reference white.
    below: f32,
    /// The peak.
    peak: f32,
    /// In equal steps from the reference white to the peak, and one more.
    curve: Box<[f32]>,
}

impl Gain {
    /// Steps of the curve.
    const STEPS: usize = 1024;

    /// For a picture of that peak luminance in cd/m².
    fn new(peak: f32) -> Gain {
        let peak = peak / REFERENCE_WHITE;
        if peak <= 1.0 {
            return Gain { below: 1.0, peak: 1.0, curve: Box::new([1.0; 2]) };
        }
        let points = points(peak);
        let step = |number| 1.0 + (peak - 1.0) * number as f32 / Self::STEPS as f32;
        let curve = (0..=Self::STEPS + 1).map(|number| interpolate(&points, step(number)).exp2()).collect();
        Gain { below: points[0].y.exp2(), peak, curve }
    }

    fn of(&self, largest: f32) -> f32 {
        if largest <= 1.0 {
            return self.below;
        }
        if largest >= self.peak {
            return 1.0 / largest;
        }
        let position = (largest - 1.0) / (self.peak - 1.0) * Self::STEPS as f32;
        let (number, part) = (position as usize, position.fract());
        let (from, to) = (self.curve[number], self.curve[number + 1]);
        from + (to - from) * part
    }
}

/// A control point of the curve of gain (ST 2094-50, clause 5.2): light, binary logarithm of the gain, and slope.
#[derive(Clone, Copy, Default)]
struct Point {
    x: f32,
    y: f32,
    slope: f32,
}

/// The control points for a peak above the reference white, in units of it, and a screen without headroom (annex D).
fn points(peak: f32) -> [Point; 8] {
    // the white of the picture is halved where its peak is 1000 cd/m² or more
    let headroom = (peak.log2() / (DEFAULT_PEAK / REFERENCE_WHITE).log2()).min(1.0);
    let white = 1.0 - 0.5 * headroom;
    // a quadratic Bézier curve from (1, white) to (peak, 1); its middle point is at this part of the way to their tangents' crossing
    const KAPPA: f32 = 0.65;
    let middle = ((1.0 - KAPPA) + KAPPA / white, (1.0 - KAPPA) * white + KAPPA);
    let (xa, ya) = (1.0 - 2.0 * middle.0 + peak, white - 2.0 * middle.1 + 1.0);
    let (xb, yb) = (2.0 * middle.0 - 2.0, 2.0 * middle.1 - 2.0 * white);
    let mut points = [Point::default(); 8];
    for (number, point) in points.iter_mut().enumerate() {
        let t = number as f32 / 7.0;
        let (x, y) = (1.0 + t * (xb + t * xa), white + t * (yb + t * ya));
        let slope = (2.0 * ya * t + yb) / (2.0 * xa * t + xb);
        *point = Point { x, y: (y / x).log2(), slope: (x * slope - y) / (std::f32::consts::LN_2 * x * y) };
    }
    points
}

/// The piecewise cubic function through the control points (formula 1).
fn interpolate(points: &[Point; 8], x: f32) -> f32 {
    let next = points.partition_point(|point| point.x <= x).clamp(1, 7);
    let (from, to) = (points[next - 1], points[next]);
    let width = to.x - from.x;
    let (m0, m1) = (from.slope * width, to.slope * width);
    let t = ((x - from.x) / width).clamp(0.0, 1.0);
    let c3 = 2.0 * from.y + m0 - 2.0 * to.y + m1;
    let c2 = -3.0 * from.y + 3.0 * to.y - 2.0 * m0 - m1;
    ((c3 * t + c2) * t + m0) * t + from.y
}

/// Nine factors between linear red, green and blue of two sets of primaries.
type Matrix = [[f32; 3]; 3];

fn apply(matrix: &Matrix, [r, g, b]: [f32; 3]) -> [f32; 3] {
    matrix.map(|[from_r, from_g, from_b]| from_r * r + from_g * g + from_b * b)
}

/// A profile of these primaries (H.273, table 2), with a curve that is of no matter.
fn primaries(code: u8) -> Option<ColorProfile> {
    // others are reserved
    if !matches!(code, 1 | 4..=12 | 22) {
        return None;
    }
    let cicp = CicpProfile {
        color_primaries: code.try_into().ok()?,
        transfer_characteristics: TransferCharacteristics::Srgb,
        matrix_coefficients: MatrixCoefficients::Identity,
        full_range: true,
    };
    super::profile::contained(|| Some(ColorProfile::new_from_cicp(cicp)))
}

fn matrix(from: &ColorProfile, to: &ColorProfile) -> Matrix {
    from.transform_matrix(to).v.map(|row| row.map(|factor| factor as f32))
}

/// The conversion of PQ or HLG to sRGB.
pub(super) struct ToneMap {
    channels: usize,
    transfer: HdrTransfer,
    /// From the picture's primaries to BT.2020's; `None` where they are the same.
    to_bt2020: Option<Matrix>,
    to_srgb: Matrix,
    gain: Gain,
}

impl ToneMap {
    /// For pixels of 3 or 4 channels. `peak` is in cd/m², 0 where it is not known.
    pub(super) fn new(channels: usize, transfer: HdrTransfer, code: u8, peak: f32) -> Option<Arc<ToneMap>> {
        let bt2020 = primaries(BT2020)?;
        // as in Chromium, unspecified primaries are those of BT.709
        let code = if code == 2 { 1 } else { code };
        let to_bt2020 = if code == BT2020 { None } else { Some(matrix(&primaries(code)?, &bt2020)) };
        let to_srgb = matrix(&bt2020, &super::srgb());
        let gain = Gain::new(if peak > 0.0 { peak.min(PQ_PEAK) } else { DEFAULT_PEAK });
        Some(Arc::new(ToneMap { channels, transfer, to_bt2020, to_srgb, gain }))
    }

    /// Light of sRGB's primaries, 0 to 1.
    fn map(&self, light: [f32; 3]) -> [f32; 3] {
        let light = self.to_bt2020.as_ref().map_or(light, |matrix| apply(matrix, light));
        let light = if self.transfer == HdrTransfer::Hlg { hlg_ootf(light.map(|light| light.max(0.0))) } else { light };
        let gain = self.gain.of(light[0].max(light[1]).max(light[2]));
        apply(&self.to_srgb, light.map(|light| light * gain))
    }

    fn convert<S: Copy>(&self, from: &[S], to: &mut [S], widen: impl Fn(S) -> u16, narrow: impl Fn(u16) -> S) {
        match self.channels {
            4 => self.convert_pixels::<S, 4>(from, to, widen, narrow),
            _ => self.convert_pixels::<S, 3>(from, to, widen, narrow),
        }
    }

    fn convert_pixels<S: Copy, const N: usize>(
        &self, from: &[S], to: &mut [S], widen: impl Fn(S) -> u16, narrow: impl Fn(u16) -> S,
    ) {
        let (light, srgb) = (self.transfer.light(), srgb());
        for (from, to) in from.as_chunks::<N>().0.iter().zip(to.as_chunks_mut::<N>().0) {
            let rgb = self.map([from[0], from[1], from[2]].map(|sample| light[usize::from(widen(sample))]));
            // alpha is kept
            *to = *from;
            for (to, light) in to.iter_mut().zip(rgb) {
                *to = narrow(srgb[usize::from(quantised(light))]);
            }
        }
    }
}

impl TransformExecutor<u8> for ToneMap {
    fn transform(&self, from: &[u8], to: &mut [u8]) -> Result<(), CmsError> {
        self.convert(from, to, |sample| u16::from(sample) * 257, super::narrow);
        Ok(())
    }
}

impl TransformExecutor<u16> for ToneMap {
    fn transform(&self, from: &[u16], to: &mut [u16]) -> Result<(), CmsError> {
        self.convert(from, to, |sample| sample, |sample| sample);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_near(got: f32, wanted: f32, tolerance: f32) -> bool {
        (got - wanted).abs() <= tolerance
    }

    #[test]
    fn transfer_functions_have_the_values_of_bt2408() {
        // table 1 of BT.2408: signal levels of reference white, and of the peak
        for (signal, light) in [(0.0, 0.0), (0.5081, 100.0), (0.5807, 203.0), (0.7518, 1000.0), (1.0, 10_000.0)] {
            assert!(is_near(pq_eotf(signal), light, light * 0.002), "PQ {signal} is {}", pq_eotf(signal));
        }
        for (signal, light) in [(0.0, 0.0), (0.5, 1.0 / 12.0), (1.0, 1.0)] {
            assert!(is_near(hlg_inverse_oetf(signal), light, 1e-5), "HLG {signal} is {}", hlg_inverse_oetf(signal));
        }
        // 75 % HLG is the reference white of a screen of 1000 cd/m²
        let [white, ..] = hlg_ootf([hlg_inverse_oetf(0.75); 3]);
        assert!(is_near(white, 1.0, 0.01), "{white}");
        assert!(is_near(hlg_ootf([1.0; 3])[0] * REFERENCE_WHITE, 1000.0, 0.1));
        assert_eq!([srgb_oetf(0.0), srgb_oetf(1.0)].map(|signal| (signal * 1e6).round()), [0.0, 1e6]);
    }

    #[test]
    fn gain_leads_the_peak_to_white() {
        for (peak, below) in [(100.0, 1.0), (203.0, 1.0), (1000.0, 0.5), (4000.0, 0.5), (10_000.0, 0.5)] {
            let gain = Gain::new(peak);
            assert!(
                is_near(gain.of(0.3), below, 1e-5) && is_near(gain.of(1.0), below, 1e-5),
                "{peak}: {}",
                gain.of(1.0)
            );
            // the standard's cubic pieces overshoot where the peak is far from the reference white, between 1 and 2 of it
            let dip = if peak > 4000.0 { 0.005 } else { 1e-4 };
            let mut last = 0.0;
            for step in 0..=1000 {
                let light = peak / REFERENCE_WHITE * step as f32 / 1000.0;
                let mapped = light * gain.of(light);
                assert!(mapped >= last - dip && mapped <= 1.001, "{peak}: {light} becomes {mapped} after {last}");
                last = mapped;
            }
            assert!(peak < REFERENCE_WHITE || is_near(last, 1.0, 1e-3), "{peak}: {last}");
        }
    }

    fn converted(transfer: HdrTransfer, primaries: u8, peak: f32, rgb: [u16; 3]) -> [u8; 3] {
        let tone_map = ToneMap::new(3, transfer, primaries, peak).expect("known primaries");
        let mut out = [0; 3];
        tone_map.transform(&rgb[..], &mut out[..]).expect("whole pixels");
        out.map(super::super::narrow)
    }

    #[test]
    fn reference_white_and_peak_become_grey_and_white() {
        let pq = |signal: f32| [(signal * 65535.0) as u16; 3];
        // half the light of white
        assert_eq!(converted(HdrTransfer::Pq, 9, 0.0, pq(0.5807)), [188; 3]);
        assert_eq!(converted(HdrTransfer::Pq, 12, 0.0, pq(0.5807)), [188; 3]);
        assert_eq!(converted(HdrTransfer::Pq, 9, 0.0, pq(0.7519)), [255; 3]);
        assert_eq!(converted(HdrTransfer::Pq, 9, 203.0, pq(0.5808)), [255; 3]);
        assert_eq!(converted(HdrTransfer::Hlg, 9, 0.0, [65535; 3]), [255; 3]);
        assert_eq!(converted(HdrTransfer::Hlg, 9, 0.0, [0; 3]), [0; 3]);
        // the most saturated green is outside of sRGB
        let [red, green, blue] = converted(HdrTransfer::Pq, 9, 0.0, [0, 35_000, 0]);
        assert!(red == 0 && blue == 0 && green > 100, "{red} {green} {blue}");
        assert!(ToneMap::new(3, HdrTransfer::Pq, 255, 0.0).is_none());
    }

    #[test]
    fn alpha_is_kept() {
        let tone_map = ToneMap::new(4, HdrTransfer::Hlg, 2, 0.0).expect("known primaries");
        let mut out = [0; 8];
        tone_map.transform(&[255_u8, 255, 255, 9, 0, 0, 0, 200][..], &mut out[..]).expect("whole pixels");
        assert_eq!(out, [255, 255, 255, 9, 0, 0, 0, 200]);
    }
}
