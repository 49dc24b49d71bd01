//! A decoded picture.

use crate::format::Format;
use crate::geometry::Size;

/// 8-bit pixels, interleaved, rows packed from the top: width × height × channels, stride = width × channels bytes.
///
/// The colour space is the original's own until it is converted to sRGB. Alpha is straight.
#[derive(Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Columns and rows.
    pub size: Size,
    /// 3 for RGB, 4 for RGBA with straight alpha.
    pub channels: usize,
    /// `size.pixels() × channels` bytes.
    pub data: Vec<u8>,
}

impl Pixels {
    /// Wraps samples; a length that does not match the size is the decoder's mistake and is refused as damage.
    pub fn new(format: Format, size: Size, channels: usize, data: Vec<u8>) -> crate::error::Result<Pixels> {
        let expected = size.pixels() * channels as u64;
        if data.len() as u64 != expected {
            let reason = format!("{} bytes of pixels where {expected} belong", data.len());
            return Err(crate::error::Error::malformed(format, reason));
        }
        Ok(Pixels { size, channels, data })
    }

    /// The same for samples from elsewhere; `None` where they are not of that length, are no colours, or the picture has no pixels.
    pub fn checked(size: Size, channels: usize, data: Vec<u8>) -> Option<Pixels> {
        let is_valid = size.has_valid_sides() && matches!(channels, 3 | 4);
        (is_valid && data.len() as u64 == size.pixels() * channels as u64).then_some(Pixels { size, channels, data })
    }

    /// A picture of one colour.
    pub fn filled(size: Size, pixel: &[u8]) -> Pixels {
        let data = pixel.repeat(size.pixels() as usize);
        Pixels { size, channels: pixel.len(), data }
    }

    /// Whether there is an alpha channel.
    pub fn has_alpha(&self) -> bool {
        self.channels == 4
    }

    /// Whether red, green and blue are alike everywhere.
    pub fn is_grey(&self) -> bool {
        self.data.chunks_exact(self.channels).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2])
    }

    /// One of red, green and blue for each pixel, where they are alike.
    pub fn grey(&self) -> Vec<u8> {
        self.data.iter().step_by(self.channels).copied().collect()
    }

    /// The rows, each width × channels bytes.
    pub fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.data.chunks_exact(self.stride())
    }

    /// Bytes from one row to the next.
    pub fn stride(&self) -> usize {
        self.size.width as usize * self.channels
    }

    /// The part of `size` whose corner is at `left`, `top`; it must lie within.
    pub fn cut(&self, left: u32, top: u32, size: Size) -> Pixels {
        let (start, length) = (left as usize * self.channels, size.width as usize * self.channels);
        let rows = self.rows().skip(top as usize).take(size.height as usize);
        let data = rows.flat_map(|row| &row[start..start + length]).copied().collect();
        Pixels { size, channels: self.channels, data }
    }

    /// The same with an alpha channel.
    pub fn with_alpha(self) -> Pixels {
        if self.has_alpha() {
            return self;
        }
        let data = self.data.chunks_exact(3).flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect();
        Pixels { size: self.size, channels: 4, data }
    }

    /// Drops an alpha channel that hides nothing: three channels resize and encode for less.
    pub fn without_opaque_alpha(self) -> Pixels {
        if !self.has_alpha() || self.data.chunks_exact(4).any(|pixel| pixel[3] != 255) {
            return self;
        }
        Pixels { size: self.size, channels: 3, data: drop_alpha(&self.data) }
    }
}

impl std::fmt::Debug for Pixels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pixels({}x{})", self.size, self.channels)
    }
}

fn drop_alpha(rgba: &[u8]) -> Vec<u8> {
    let mut rgb = vec![0; rgba.len() / 4 * 3];
    for (to, from) in rgb.chunks_exact_mut(3).zip(rgba.chunks_exact(4)) {
        to.copy_from_slice(&from[..3]);
    }
    rgb
}

/// Repeats the first of each `step` samples, one or two, three times and keeps the alpha behind it, if there is one.
pub fn grey_to_rgb<T: Copy + Default>(samples: &[T], step: usize) -> Vec<T> {
    let mut out = vec![T::default(); samples.len() / step * (step + 2)];
    // each by itself, since a loop over parts of any length takes ten times as long
    match step {
        1 => out.as_chunks_mut::<3>().0.iter_mut().zip(samples).for_each(|(out, &grey)| *out = [grey; 3]),
        _ => {
            let pixels = samples.as_chunks::<2>().0;
            let pairs = out.as_chunks_mut::<4>().0.iter_mut().zip(pixels);
            pairs.for_each(|(out, &[grey, alpha])| *out = [grey, grey, grey, alpha]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_becomes_rgb() {
        assert_eq!(grey_to_rgb(&[1, 2], 1), [1, 1, 1, 2, 2, 2]);
        assert_eq!(grey_to_rgb(&[1, 9, 2, 8], 2), [1, 1, 1, 9, 2, 2, 2, 8]);
    }
}
