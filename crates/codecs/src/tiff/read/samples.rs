//! Conversion of stored samples to 16 bits.

use super::ifd::unsigned;
use super::page::Page;
use super::tags::{Photometric, SampleFormat};

/// Passes the first `count` samples of a row to `put`, scaled to 16 bits; palette indices unscaled.
pub(super) fn unpack(page: &Page<'_>, row: &[u8], count: usize, mut put: impl FnMut(u16)) {
    let Page { bits, format, file, .. } = *page;
    let size = usize::from(bits / 8);
    if format == SampleFormat::Float {
        row.chunks_exact(size).take(count).for_each(|bytes| put(from_float(unsigned(bytes, file.big_endian), bits)));
        return;
    }
    let is_index = page.photometric == Photometric::Palette;
    let flip = if format == SampleFormat::Signed { 1 << (bits - 1) } else { 0 };
    let finish = |value: u64| if is_index { value as u16 } else { widen(value ^ flip, bits) };
    match bits {
        8 => row.iter().take(count).for_each(|&byte| put(finish(byte.into()))),
        _ if bits % 8 == 0 => {
            row.chunks_exact(size).take(count).for_each(|bytes| put(finish(unsigned(bytes, file.big_endian))));
        }
        _ => unpack_bits(row, bits.into(), count, |value| put(finish(value))),
    }
}

/// Unpacks samples of a depth that is no multiple of 8; the high bit comes first in either byte order (TIFF 6.0 §8, BitsPerSample).
fn unpack_bits(row: &[u8], bits: u32, count: usize, mut put: impl FnMut(u64)) {
    let (mut window, mut held) = (0u64, 0);
    let mut bytes = row.iter();
    for _ in 0..count {
        while held < bits {
            window = window << 8 | bytes.next().map_or(0, |&byte| byte.into());
            held += 8;
        }
        held -= bits;
        put(window >> held & ((1 << bits) - 1));
    }
}

/// Scales a number of `bits` bits to 16 bits.
pub(super) fn widen(value: u64, bits: u16) -> u16 {
    match bits {
        8 => value as u16 * 257,
        16 => value as u16,
        ..16 => (value * 65535 / ((1 << bits) - 1)) as u16,
        _ => (value >> (bits - 16)) as u16,
    }
}

/// A floating point sample of 16, 24, 32 or 64 bits, where 0 is black and 1 white (Photoshop TIFF technical note 3).
fn from_float(number: u64, bits: u16) -> u16 {
    let value = match bits {
        16 => small_float(number, 5, 10),
        24 => small_float(number, 7, 16),
        32 => f32::from_bits(number as u32),
        _ => f64::from_bits(number) as f32,
    };
    // NaN becomes 0
    (value.clamp(0.0, 1.0) * 65535.0).round() as u16
}

/// A number in the layout of IEEE 754 with other widths.
fn small_float(number: u64, exponent_bits: u32, fraction_bits: u32) -> f32 {
    let fraction = (number & ((1 << fraction_bits) - 1)) as f32 / (1u32 << fraction_bits) as f32;
    let exponent = (number >> fraction_bits & ((1 << exponent_bits) - 1)) as i32;
    let bias = (1 << (exponent_bits - 1)) - 1;
    let size = match exponent {
        0 => fraction * 2f32.powi(1 - bias),
        _ if exponent == (1 << exponent_bits) - 1 => f32::INFINITY,
        _ => (1.0 + fraction) * 2f32.powi(exponent - bias),
    };
    if number >> (exponent_bits + fraction_bits) & 1 == 1 { -size } else { size }
}

/// CIE L*a*b* with the D50 white point to sRGB (CIE 15, IEC 61966-2-1, adapted by Bradford's matrix).
pub(super) fn lab_to_srgb(lightness: f32, a: f32, b: f32) -> [u16; 3] {
    const WHITE: [f32; 3] = [0.9642, 1.0, 0.8249];
    const TO_LINEAR: [[f32; 3]; 3] = [
        [3.133_856, -1.616_866_7, -0.490_614_6],
        [-0.978_768_4, 1.916_141_5, 0.033_454_0],
        [0.071_945_3, -0.228_991_4, 1.405_242_7],
    ];
    let middle = (lightness + 16.0) / 116.0;
    let inverse = |t: f32| if t > 6.0 / 29.0 { t * t * t } else { (t - 4.0 / 29.0) * (108.0 / 841.0) };
    let xyz = [inverse(middle + a / 500.0), inverse(middle), inverse(middle - b / 200.0)];
    TO_LINEAR.map(|row| {
        let linear: f32 = (0..3).map(|index| row[index] * xyz[index] * WHITE[index]).sum();
        let linear = linear.clamp(0.0, 1.0);
        let encoded = if linear <= 0.003_130_8 { linear * 12.92 } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
        (encoded * 65535.0).round() as u16
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_scaled_to_16_bits() {
        for (value, bits, wanted) in [
            (1, 1, 65535),
            (1, 2, 21845),
            (15, 4, 65535),
            (200, 8, 200 * 257),
            (1023, 10, 65535),
            (0x1234, 16, 0x1234),
            (0xABCDEF, 24, 0xABCD),
            (u64::MAX, 64, 65535),
        ] {
            assert_eq!(widen(value, bits), wanted, "{value} of {bits} bits");
        }
    }

    #[test]
    fn samples_across_bytes_are_unpacked() {
        for (bits, row, wanted) in [
            (1, &[0xA0][..], &[1, 0, 1][..]),
            (4, &[0x12, 0x30], &[1, 2, 3]),
            (12, &[0x12, 0x34, 0x56, 0x70], &[0x123, 0x456]),
            (31, &[0xFF, 0xFF, 0xFF, 0xFE], &[0x7FFF_FFFF]),
        ] {
            let mut found = Vec::new();
            unpack_bits(row, bits, wanted.len(), |value| found.push(value));
            assert_eq!(found, wanted);
        }
    }

    #[test]
    fn floats_are_clamped_to_0_and_1() {
        for (number, bits, wanted) in [
            (0x3C00, 16, 65535),
            (0x3800, 16, 32768),
            (0x0001, 16, 0),
            (0x7C00, 16, 65535),
            (0xFC00, 16, 0),
            (0x3F_0000, 24, 65535),
            (f32::to_bits(0.25).into(), 32, 16384),
            (f32::to_bits(-3.0).into(), 32, 0),
            (f64::to_bits(7.0), 64, 65535),
            (f64::to_bits(f64::NAN), 64, 0),
        ] {
            assert_eq!(from_float(number, bits), wanted, "{number:x} of {bits} bits");
        }
    }

    #[test]
    fn lab_is_converted_to_srgb() {
        // white point D50: mid grey, and the three primaries of sRGB adapted to it
        for (lab, wanted) in [
            ([53.585, 0.0, 0.0], [128, 128, 128]),
            ([54.29, 80.81, 69.89], [255, 0, 0]),
            ([87.82, -79.29, 80.99], [0, 255, 0]),
            ([29.57, 68.30, -112.03], [0, 0, 255]),
        ] {
            let found = lab_to_srgb(lab[0], lab[1], lab[2]).map(|value| (value >> 8) as u8);
            assert!(found.iter().zip(wanted).all(|(&a, b): (&u8, u8)| a.abs_diff(b) <= 3), "{lab:?}: {found:?}");
        }
    }
}
