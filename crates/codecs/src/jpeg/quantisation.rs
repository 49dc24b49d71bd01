//! Quantisation tables and chroma subsampling by quality, for both encoders of JPEG.
//!
//! The tables are not those of T.81 Annex K. At equal SSIMULACRA2 on 35 photographs of 640 columns, files have 0.93, 0.91, 0.93
//! and 0.92 of the bytes at Annex K's qualities of 50, 70, 80 and 90; by butteraugli's 3-norm 0.97, 0.94, 0.95 and 0.96, by
//! DSSIM 0.96, 0.95, 0.95 and 0.94. Robidoux' table for both has 0.94, 0.93, 0.94 and 0.96 by SSIMULACRA2 and 0.98, 0.96, 0.98
//! and 1.02 by butteraugli, the MS-SSIM tables for both 0.90, 0.90, 0.93, 0.94 and 1.00, 0.97, 0.98, 0.98.

use crate::{EncodeInput, PictureData, PictureKind};

/// From this quality on chroma has the full resolution (4:4:4).
pub(super) const FULL_CHROMA_QUALITY: f32 = 90.0;

/// Photographs with full chroma have the tables of a quality this many times as far from 100: at 86.5 their score is what halved
/// chroma has at 90, for 1.17 times the bytes. At 90 it would be 3 higher for 1.4 times the bytes.
const FULL_CHROMA_DISTANCE: f32 = 1.35;

/// Luma's table at quality 50, in natural order: tuned for MS-SSIM, number 2 of mozjpeg's.
#[rustfmt::skip]
const LUMA: [u16; 64] = [
    12, 17, 20, 21, 30, 34, 56, 63,
    18, 20, 20, 26, 28, 51, 61, 55,
    19, 20, 21, 26, 33, 58, 69, 55,
    26, 26, 26, 30, 46, 87, 86, 66,
    31, 33, 36, 40, 46, 96, 100, 73,
    40, 35, 46, 62, 81, 100, 111, 91,
    46, 66, 76, 86, 102, 121, 120, 101,
    68, 90, 90, 96, 113, 102, 105, 103,
];

/// Chroma's table at quality 50, in natural order: by N. Robidoux for ImageMagick, number 3 of mozjpeg's.
#[rustfmt::skip]
const CHROMA: [u16; 64] = [
    16, 16, 16, 18, 25, 37, 56, 85,
    16, 17, 20, 27, 34, 40, 53, 75,
    16, 20, 24, 31, 43, 62, 91, 135,
    18, 27, 31, 40, 53, 74, 106, 156,
    25, 34, 43, 53, 69, 94, 131, 189,
    37, 40, 62, 74, 94, 124, 169, 238,
    56, 53, 91, 106, 131, 169, 226, 311,
    85, 75, 135, 156, 189, 238, 311, 418,
];

/// The quantisation tables and the chroma subsampling of one file.
#[derive(Debug, PartialEq)]
pub(super) struct Quantisation {
    /// The tables of luma and chroma in natural order.
    pub(super) tables: [[u16; 64]; 2],
    /// Whether chroma has half the resolution in both directions (4:2:0).
    pub(super) halves_chroma: bool,
}

impl Quantisation {
    /// For a picture of that kind and quality. Planes are 4:2:0 already.
    pub(super) fn of(input: &EncodeInput) -> Quantisation {
        let is_420 = matches!(input.data, PictureData::Planes(_));
        let quality = input.quality;
        match input.kind {
            _ if is_420 => Quantisation { tables: tables(quality), halves_chroma: true },
            PictureKind::Drawing => Quantisation { tables: tables(quality), halves_chroma: false },
            PictureKind::Photo if quality < FULL_CHROMA_QUALITY => {
                Quantisation { tables: tables(quality), halves_chroma: true }
            }
            PictureKind::Photo => {
                let quality = 100.0 - FULL_CHROMA_DISTANCE * (100.0 - quality);
                Quantisation { tables: tables(quality), halves_chroma: false }
            }
        }
    }
}

/// The tables of luma and chroma for a quality of 1 to 100 by libjpeg's formula, which leaves them as they are at 50 and has
/// ones at 100. Qualities between whole numbers have tables of their own.
fn tables(quality: f32) -> [[u16; 64]; 2] {
    let quality = quality.clamp(1.0, 100.0);
    let percent = if quality < 50.0 { 5000.0 / quality } else { 200.0 - 2.0 * quality };
    // baseline files have 8 bits for each
    [LUMA, CHROMA].map(|table| table.map(|value| (f32::from(value) * percent / 100.0 + 0.5).clamp(1.0, 255.0) as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_follow_libjpegs_formula() {
        assert_eq!(tables(50.0), [LUMA, CHROMA].map(|table| table.map(|value| value.min(255))));
        assert_eq!(tables(100.0), [[1; 64]; 2]);
        // (12 * 50 + 50) / 100 and (16 * 50 + 50) / 100, 500 and 5000 percent
        assert_eq!(tables(75.0).map(|table| table[0]), [6, 8]);
        assert_eq!(tables(10.0).map(|table| table[0]), [60, 80]);
        assert_eq!(tables(1.0), [[255; 64]; 2]);
    }

    #[test]
    fn higher_quality_never_has_larger_values() {
        let all: Vec<_> = (2..=200).map(|half| tables(half as f32 / 2.0)).collect();
        for pair in all.windows(2) {
            assert!(pair[0].as_flattened().iter().zip(pair[1].as_flattened()).all(|(low, high)| low >= high));
        }
        assert_ne!(tables(75.0), tables(75.5));
    }
}
