//! [`IndexedPixels`], a picture of at most 256 colours.

use tintype_pixels::{Pixels, Size};

use crate::palette::{MAX_COLOURS, Palette, rgba};
use crate::quantise::{Histogram, Nearest, palette};

/// A picture as a palette and an index for each pixel.
#[derive(Clone, Debug)]
pub struct IndexedPixels {
    size: Size,
    /// Of the picture that was quantised.
    channels: usize,
    palette: Vec<[u8; 4]>,
    indices: Vec<u8>,
}

impl IndexedPixels {
    /// The picture in at most 256 colours that come near its own, without dithering; in 128, 64 … where these lose nothing visible.
    /// `None` for a picture with at most 256 colours, which encoders write exactly as it is.
    ///
    /// Transparent pixels stay transparent, and opaque ones opaque. The result is the same on every machine. It takes 60 ns a pixel of
    /// a photograph, 5 to 40 ns of a drawing, and one byte a pixel.
    pub fn quantised(pixels: &Pixels) -> Option<IndexedPixels> {
        let all = || rgba(&pixels.data, pixels.channels);
        if Palette::exact(all(), MAX_COLOURS).is_some() {
            return None;
        }
        let mut histogram = Histogram::new();
        histogram.add(all());
        let mut palette = palette(&histogram, 0);
        drop(histogram);
        // the alpha of opaque colours at the end is not written
        palette.sort_by_key(|colour| colour[3] == 255);
        let mut nearest = Nearest::new(&palette);
        let indices = all().map(|colour| nearest.find(colour).0).collect();
        Some(IndexedPixels { size: pixels.size, channels: pixels.channels, palette, indices })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The colours, RGBA with straight alpha, at most 256.
    pub fn palette(&self) -> &[[u8; 4]] {
        &self.palette
    }

    /// The indices of all pixels, row by row from the top.
    pub fn indices(&self) -> &[u8] {
        &self.indices
    }

    /// The colours of all pixels, with as many channels as the picture that was quantised.
    pub fn pixels(&self) -> Pixels {
        let mut data = Vec::with_capacity(self.indices.len() * self.channels);
        for &index in &self.indices {
            data.extend_from_slice(&self.palette[usize::from(index)][..self.channels]);
        }
        Pixels { size: self.size, channels: self.channels, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(channels: usize, bits: u32) -> Pixels {
        let size = Size::new(90, 70);
        let pixel = |at: u32| {
            let [r, g, b, alpha] =
                (at.wrapping_mul(2_654_435_761) >> (32 - bits)).wrapping_mul(0x9E37_79B1).to_le_bytes();
            let alpha = if at % 90 < 30 { alpha } else { 255 };
            [r, g / 4, b / 2, alpha].into_iter().take(channels)
        };
        Pixels { size, channels, data: (0..size.pixels() as u32).flat_map(pixel).collect() }
    }

    #[test]
    fn picture_of_few_colours_is_left_exact() {
        assert!(IndexedPixels::quantised(&picture(3, 8)).is_none());
        assert!(IndexedPixels::quantised(&picture(3, 9)).is_some());
    }

    #[test]
    fn quantised_pixels_are_near_the_exact_ones() {
        for channels in [3, 4] {
            let exact = picture(channels, 12);
            let indexed = IndexedPixels::quantised(&exact).expect("many colours");
            assert!(indexed.palette().len() <= 256 && indexed.indices().len() == 90 * 70);
            let quantised = indexed.pixels();
            assert_eq!((quantised.size, quantised.channels), (exact.size, channels));
            let visible = |pixels: &Pixels| -> Vec<u32> {
                let on_black =
                    |[r, g, b, alpha]: [u8; 4]| [r, g, b].map(|level| u32::from(level) * u32::from(alpha) / 255);
                rgba(&pixels.data, channels).flat_map(on_black).collect()
            };
            let differences =
                visible(&exact).into_iter().zip(visible(&quantised)).map(|(a, b)| u64::from(a.abs_diff(b)));
            let mean = differences.sum::<u64>() / (90 * 70 * 3);
            assert!(mean <= 9, "{mean}");
        }
    }

    // the histogram had room for 2^24 pixels: with those of one colour the palette was empty
    #[test]
    fn colours_behind_many_pixels_of_one_colour_are_in_the_palette() {
        let size = Size::new(4096, 4200);
        let (flat, all) = (4096 * 4097, size.pixels() as usize);
        let pixel = |at: usize| match at.checked_sub(flat) {
            None => [40, 80, 120],
            Some(at) => [200 + (at % 40) as u8, (at / 40 % 40) as u8, 10],
        };
        let exact = Pixels { size, channels: 3, data: (0..all).flat_map(pixel).collect() };
        let indexed = IndexedPixels::quantised(&exact).expect("many colours");
        let colour = |at: usize| indexed.palette()[usize::from(indexed.indices()[at])];
        assert_eq!(colour(0), [40, 80, 120, 255]);
        let [red, green, blue, alpha] = colour(all - 1);
        let [expected, ..] = pixel(all - 1);
        assert!(red.abs_diff(expected) < 30 && green < 60 && blue < 40 && alpha == 255, "{:?}", colour(all - 1));
    }

    #[test]
    fn translucent_colours_come_first() {
        let indexed = IndexedPixels::quantised(&picture(4, 12)).expect("many colours");
        assert!(indexed.palette().is_sorted_by_key(|colour| colour[3] == 255));
        assert!(indexed.palette()[0][3] < 255);
    }
}
