//! The perceptual quality scale: each encoder's own number for a quality, so that the same quality looks alike in all formats.
//!
//! The reference is JPEG with the tables of T.81 Annex K, scaled by libjpeg's formula; encoders are mapped by measured tables.

use tintype_codecs::{AvifEncoder, Effort, Encoding, PictureKind};
use tintype_pixels::Format;

use crate::recipe::{Encode, Target};

/// The encoder's own number for what a recipe asks for.
pub(crate) fn encoder_quality(format: Format, encode: &Encode, encoding: Encoding, kind: PictureKind) -> f32 {
    let number = encode.target.map_or(f32::from(encode.quality.get()), number_for_score);
    own_number(format, number, encoding, kind)
}

/// The encoder's own number for one of the common scale, 1 to 100.
pub(crate) fn own_number(format: Format, number: f32, encoding: Encoding, kind: PictureKind) -> f32 {
    match format {
        Format::WebP => interpolate(webp(encoding.effort), number),
        Format::Avif => interpolate(avif(encoding, kind), number),
        Format::Jpeg => interpolate(jpeg(encoding.effort), number),
        // they have no quality
        _ => number,
    }
}

/// The number of the common scale at which photographs have that score on average.
pub(crate) fn number_for_score(target: Target) -> f32 {
    interpolate(&SCORES, target.get().into())
}

/// SSIMULACRA2 of photographs, and the number of the common scale at which they have it on average.
const SCORES: [(f32, f32); 9] = [
    (34.1, 20.0),
    (48.9, 30.0),
    (57.5, 40.0),
    (64.0, 50.0),
    (70.4, 65.0),
    (75.4, 75.0),
    (78.2, 80.0),
    (84.7, 90.0),
    (90.0, 97.0),
];

fn jpeg(effort: Effort) -> &'static Table {
    match effort {
        #[cfg(feature = "native")]
        Effort::Dense => &JPEG_DENSE,
        _ => &JPEG,
    }
}

fn webp(effort: Effort) -> &'static Table {
    match effort {
        Effort::Fast => &WEBP,
        Effort::Balanced | Effort::Dense => &WEBP_DENSE,
    }
}

fn avif(Encoding { effort, avif }: Encoding, kind: PictureKind) -> &'static Table {
    match (avif, kind, effort) {
        #[cfg(feature = "native")]
        (AvifEncoder::Libaom, PictureKind::Drawing, _) => &LIBAOM_DRAWING,
        #[cfg(feature = "native")]
        (AvifEncoder::Libaom, PictureKind::Photo, Effort::Fast) => &LIBAOM,
        #[cfg(feature = "native")]
        (AvifEncoder::Libaom, PictureKind::Photo, Effort::Balanced) => &LIBAOM_BALANCED,
        #[cfg(feature = "native")]
        (AvifEncoder::Libaom, PictureKind::Photo, Effort::Dense) => &LIBAOM_DENSE,
        #[cfg(feature = "ravif")]
        (AvifEncoder::Ravif, _, Effort::Fast) => &RAVIF,
        #[cfg(feature = "ravif")]
        (AvifEncoder::Ravif, _, Effort::Balanced | Effort::Dense) => &RAVIF_DENSE,
    }
}

/// The score that photographs have on average with what a recipe asks for.
pub(crate) fn expected_score(encode: &Encode) -> f64 {
    let by_number = SCORES.map(|(score, number)| (number, score));
    let number = || interpolate(&by_number, encode.quality.get().into());
    encode.target.map_or_else(|| number().into(), |target| target.get().into())
}

/// Quality on the common scale, and the encoder's own number.
type Table = [(f32, f32)];

// Measured in November 2026 with `cargo bench --bench quality` on twelve photographs of 640 columns (four each of the
// Kodak, CID22 and CLIC sets), libjpeg-turbo 4:2:0 with optimised tables as the reference: the number at which the median
// photograph has the SSIMULACRA2 that JPEG has. JPEG's mean scores: 50 gives 65.2, 65 gives 71.4, 80 gives 79.0, 90 gives 85.2.

/// libjpeg-turbo with other tables than Annex K's, on 35 photographs. The score is off by 0.9, 1.1, 0.8 and 0.6 (root mean square
/// over the photographs) at 50, 65, 80 and 89.3; the files have 0.93, 0.91, 0.93 and 0.93 times the reference's bytes. 90 is by
/// hand: chroma is whole from there on, which costs 1.2 times the bytes at equal score and leaves 3 percent more than the reference
/// at 95. At 100 all tables are ones.
const JPEG: [(f32, f32); 15] = [
    (1.0, 1.0),
    (10.0, 9.7),
    (20.0, 20.8),
    (30.0, 31.8),
    (40.0, 41.9),
    (50.0, 52.5),
    (60.0, 61.2),
    (65.0, 65.3),
    (70.0, 69.7),
    (75.0, 74.4),
    (80.0, 79.6),
    (85.0, 83.9),
    (90.0, 90.0),
    (95.0, 94.0),
    (100.0, 100.0),
];

/// The same with trellis quantisation, whose score is lower at the same tables: the numbers at which the 35 photographs have the mean
/// scores of [`JPEG`]. At equal scores of 65, 70, 75 and 80 the files have 0.93, 0.94, 0.95 and 0.95 of the bytes, and 0.85, 0.86, 0.87
/// and 0.88 of the reference's at 65, 70, 75 and 80.
#[cfg(feature = "native")]
const JPEG_DENSE: [(f32, f32); 15] = [
    (1.0, 1.0),
    (10.0, 10.8),
    (20.0, 23.0),
    (30.0, 34.8),
    (40.0, 45.7),
    (50.0, 56.6),
    (60.0, 63.7),
    (65.0, 68.6),
    (70.0, 72.0),
    (75.0, 76.4),
    (80.0, 81.2),
    (85.0, 85.2),
    (90.0, 90.7),
    (95.0, 94.4),
    (100.0, 100.0),
];

/// libwebp 1.3 at method 2. The score is off by 4.6, 4.6, 3.8 and 2.7 (root mean square over the photographs) at 50, 65,
/// 80 and 90; the files have 0.85, 0.83, 0.86 and 0.99 times JPEG's bytes. Both ends are by hand: below 20 even its worst
/// looks better, above 95 its halved colours no longer follow.
const WEBP: [(f32, f32); 15] = [
    (1.0, 1.0),
    (10.0, 4.0),
    (20.0, 9.8),
    (30.0, 26.9),
    (40.0, 43.1),
    (50.0, 55.3),
    (60.0, 67.0),
    (65.0, 73.5),
    (70.0, 77.4),
    (75.0, 79.7),
    (80.0, 84.5),
    (85.0, 88.2),
    (90.0, 93.3),
    (95.0, 98.0),
    (100.0, 100.0),
];

/// libwebp 1.3 at method 6. The score is off by 5.2, 4.9, 3.9 and 2.7 at 50, 65, 80 and 90; the files have
/// 0.79, 0.78, 0.78 and 0.89 times JPEG's bytes.
const WEBP_DENSE: [(f32, f32); 15] = [
    (1.0, 1.0),
    (10.0, 1.0),
    (20.0, 12.9),
    (30.0, 28.8),
    (40.0, 42.0),
    (50.0, 57.8),
    (60.0, 72.3),
    (65.0, 74.9),
    (70.0, 78.9),
    (75.0, 81.2),
    (80.0, 83.3),
    (85.0, 86.7),
    (90.0, 92.3),
    (95.0, 98.8),
    (100.0, 100.0),
];

/// libaom 3.11 at speed 9, 10 bits, chroma halved: the numbers at which 43 photographs of 400 to 640 columns have the reference's mean
/// score, grain and dense texture among them. The files have 0.69 to 0.72 times the reference's bytes from 40 to 90; scores
/// spread as much as the reference's (standard deviation 5.6 : 4.8 at 70, 4.1 : 4.9 at 80, 3.0 : 4.2 at 90).
#[cfg(feature = "native")]
const LIBAOM: [(f32, f32); 15] = [
    (1.0, 3.0),
    (10.0, 18.6),
    (20.0, 37.7),
    (30.0, 45.5),
    (40.0, 53.0),
    (50.0, 57.7),
    (60.0, 62.8),
    (65.0, 67.1),
    (70.0, 71.0),
    (75.0, 73.7),
    (80.0, 76.4),
    (85.0, 79.7),
    (90.0, 83.9),
    (95.0, 89.2),
    (100.0, 100.0),
];

/// libaom 3.11 at speed 7, measured as at speed 9. The files have 0.93 to 0.96 times its bytes at equal scores of 60 to 85.
#[cfg(feature = "native")]
const LIBAOM_BALANCED: [(f32, f32); 15] = [
    (1.0, 2.0),
    (10.0, 12.0),
    (20.0, 29.0),
    (30.0, 36.5),
    (40.0, 43.9),
    (50.0, 47.7),
    (60.0, 51.7),
    (65.0, 54.2),
    (70.0, 57.1),
    (75.0, 61.1),
    (80.0, 67.0),
    (85.0, 74.7),
    (90.0, 81.8),
    (95.0, 89.5),
    (100.0, 100.0),
];

/// libaom 3.11 at speed 5, measured as at speed 9. The files have 0.85 to 0.88 times its bytes at equal scores of 60 to 85.
#[cfg(feature = "native")]
const LIBAOM_DENSE: [(f32, f32); 15] = [
    (1.0, 2.0),
    (10.0, 12.0),
    (20.0, 29.0),
    (30.0, 35.5),
    (40.0, 42.1),
    (50.0, 46.3),
    (60.0, 50.2),
    (65.0, 52.2),
    (70.0, 55.5),
    (75.0, 59.9),
    (80.0, 65.4),
    (85.0, 71.8),
    (90.0, 79.5),
    (95.0, 88.5),
    (100.0, 100.0),
];

/// libaom 3.11 with settings for drawings, chroma of full resolution, at any effort. Drawings have higher scores than photographs at the
/// same quantiser: these numbers give screenshots, charts, code and text of 400 to 840 columns 80 to 84 at 75.
#[cfg(feature = "native")]
const LIBAOM_DRAWING: [(f32, f32); 15] = [
    (1.0, 3.0),
    (10.0, 12.0),
    (20.0, 22.0),
    (30.0, 30.0),
    (40.0, 36.0),
    (50.0, 41.0),
    (60.0, 46.0),
    (65.0, 48.0),
    (70.0, 50.0),
    (75.0, 53.0),
    (80.0, 58.0),
    (85.0, 66.0),
    (90.0, 78.0),
    (95.0, 91.0),
    (100.0, 100.0),
];

/// ravif 0.13 at speed 10, 8 bits. The score is off by 2.9, 2.6, 1.9 and 3.8 at 50, 65, 80 and 90; the files have 0.83,
/// 0.81, 0.80 and 0.95 times JPEG's bytes.
#[cfg(feature = "ravif")]
const RAVIF: [(f32, f32); 15] = [
    (1.0, 3.0),
    (10.0, 11.7),
    (20.0, 31.0),
    (30.0, 41.6),
    (40.0, 53.8),
    (50.0, 62.1),
    (60.0, 67.7),
    (65.0, 73.0),
    (70.0, 77.9),
    (75.0, 81.1),
    (80.0, 83.1),
    (85.0, 87.2),
    (90.0, 91.9),
    (95.0, 94.9),
    (100.0, 100.0),
];

/// ravif 0.13 at speed 6, 8 bits. The score is off by 3.7, 3.6, 2.4 and 1.6 at 50, 65, 80 and 90; the files have
/// 0.70, 0.69, 0.69 and 0.67 times JPEG's bytes.
#[cfg(feature = "ravif")]
const RAVIF_DENSE: [(f32, f32); 15] = [
    (1.0, 3.0),
    (10.0, 12.0),
    (20.0, 30.5),
    (30.0, 41.0),
    (40.0, 53.7),
    (50.0, 62.9),
    (60.0, 68.8),
    (65.0, 73.9),
    (70.0, 78.1),
    (75.0, 81.3),
    (80.0, 83.6),
    (85.0, 86.1),
    (90.0, 89.4),
    (95.0, 93.8),
    (100.0, 100.0),
];

/// Straight lines between the measured points.
fn interpolate(table: &Table, x: f32) -> f32 {
    let after = table.iter().position(|&(at, _)| at >= x).unwrap_or(table.len() - 1).max(1);
    let ((x0, y0), (x1, y1)) = (table[after - 1], table[after]);
    y0 + (y1 - y0) * ((x - x0) / (x1 - x0)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_tables_are_monotonic() {
        let tables = [
            &JPEG,
            #[cfg(feature = "native")]
            &JPEG_DENSE,
            &WEBP,
            &WEBP_DENSE,
            #[cfg(feature = "ravif")]
            &RAVIF,
            #[cfg(feature = "ravif")]
            &RAVIF_DENSE,
            #[cfg(feature = "native")]
            &LIBAOM,
            #[cfg(feature = "native")]
            &LIBAOM_DRAWING,
            #[cfg(feature = "native")]
            &LIBAOM_BALANCED,
            #[cfg(feature = "native")]
            &LIBAOM_DENSE,
        ];
        for table in tables {
            assert_eq!(table[0].0, 1.0);
            assert_eq!(table[table.len() - 1].0, 100.0);
            assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
        }
        let own = |format, number| own_number(format, number, Encoding::default(), PictureKind::Photo);
        assert_eq!([1.0, 75.0, 100.0].map(|number| own(Format::Jpeg, number)), [1.0, 74.4, 100.0]);
        assert!(own(Format::Avif, 1.0) < own(Format::Avif, 2.0));
    }
}
