//! One perceptual scale for all encoders: what each must be told so that the same number looks alike.
//!
//! JPEG's familiar numbers are the reference; the others are mapped by a table of what was measured.

use super::format::Format;
use super::recipe::Quality;

/// The encoder's own number for a quality on the common scale.
pub(crate) fn own(format: Format, quality: Quality) -> f32 {
    match format {
        Format::WebP => interpolate(&WEBP, quality),
        Format::Avif => interpolate(&AVIF, quality),
        // libjpeg's numbers are the scale; the others have no quality
        _ => f32::from(quality.get()),
    }
}

/// Quality on the common scale, and the encoder's own number.
type Table = [(f32, f32)];

const WEBP: [(f32, f32); 2] = [(1.0, 1.0), (100.0, 100.0)];
const AVIF: [(f32, f32); 5] = [(1.0, 1.0), (50.0, 42.0), (80.0, 62.0), (90.0, 75.0), (100.0, 100.0)];

/// Straight lines between the measured points.
fn interpolate(table: &Table, quality: Quality) -> f32 {
    let x = f32::from(quality.get());
    let after = table.iter().position(|&(at, _)| at >= x).unwrap_or(table.len() - 1).max(1);
    let ((x0, y0), (x1, y1)) = (table[after - 1], table[after]);
    y0 + (y1 - y0) * ((x - x0) / (x1 - x0)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_rise_over_the_whole_scale() {
        for table in [&WEBP[..], &AVIF[..]] {
            assert_eq!(table[0].0, 1.0);
            assert_eq!(table[table.len() - 1].0, 100.0);
            assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
        }
        let q = |value| Quality::new(value).expect("1 to 100");
        assert_eq!(own(Format::Jpeg, q(80)), 80.0);
        assert!(own(Format::Avif, q(1)) < own(Format::Avif, q(2)));
    }
}
