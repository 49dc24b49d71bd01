//! The mean colours of a picture's quarters: a distance between pictures that survives encoders, and fits in a table.

use std::fmt;

/// Top left, top right, bottom left, bottom right, in sRGB over white.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Quarters([[u8; 3]; 4]);

impl Quarters {
    /// Of samples in rows, with 3 channels or with 4, of which the last is alpha.
    pub(crate) fn of(samples: &[u8], channels: usize, width: usize, height: usize) -> Quarters {
        // a middle column or row belongs to no quarter
        let (x, y) = ((width / 2).max(1), (height / 2).max(1));
        let columns = [(0, x), (width - x, width)];
        let rows = [(0, y), (height - y, height)];
        let mean = |(top, bottom): (usize, usize), (left, right): (usize, usize)| {
            let (mut sums, mut count) = ([0.0f64; 3], 0.0);
            for y in top..bottom {
                for x in left..right {
                    let pixel = &samples[(y * width + x) * channels..][..channels];
                    let alpha = if channels == 4 { f64::from(pixel[3]) / 255.0 } else { 1.0 };
                    for (sum, &sample) in sums.iter_mut().zip(pixel) {
                        *sum += f64::from(sample) * alpha + 255.0 * (1.0 - alpha);
                    }
                    count += 1.0;
                }
            }
            sums.map(|sum| (sum / count).round() as u8)
        };
        Quarters([
            mean(rows[0], columns[0]),
            mean(rows[0], columns[1]),
            mean(rows[1], columns[0]),
            mean(rows[1], columns[1]),
        ])
    }

    /// Reads `rrggbb;rrggbb;rrggbb;rrggbb`.
    pub(crate) fn parse(text: &str) -> Option<Quarters> {
        let colour = |hex: &str| {
            let [_, red, green, blue] = u32::from_str_radix(hex, 16).ok()?.to_be_bytes();
            (hex.len() == 6).then_some([red, green, blue])
        };
        let colours: Vec<[u8; 3]> = text.split(';').map(colour).collect::<Option<_>>()?;
        Some(Quarters(colours.try_into().ok()?))
    }

    /// Whether no sample differs by more than that many levels.
    pub(crate) fn is_near(&self, other: &Quarters, levels: u8) -> bool {
        self.0.iter().flatten().zip(other.0.iter().flatten()).all(|(a, b)| a.abs_diff(*b) <= levels)
    }
}

impl fmt::Display for Quarters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, [red, green, blue]) in self.0.iter().enumerate() {
            let separator = if number > 0 { ";" } else { "" };
            write!(f, "{separator}{red:02x}{green:02x}{blue:02x}")?;
        }
        Ok(())
    }
}
