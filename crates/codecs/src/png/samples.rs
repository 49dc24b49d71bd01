//! Conversion of stored samples to 8-bit RGB or RGBA.

use ::png::ColorType;

use super::header::{Header, Transparency};
use tintype_pixels::colour::{Narrowing, Profile};
use tintype_pixels::pixels::grey_to_rgb;

/// Converts scanlines of one picture.
pub(super) struct Samples<'a> {
    header: &'a Header,
    /// Samples of an output pixel: 3 or 4.
    pub(super) channels: usize,
    /// Of 16-bit samples, which are converted to sRGB at full precision.
    narrowing: Option<Narrowing>,
    /// RGBA of every palette index; black behind the end of PLTE.
    colours: Box<[[u8; 4]; 256]>,
}

impl<'a> Samples<'a> {
    pub(super) fn of(header: &'a Header) -> Samples<'a> {
        let channels = channels(header);
        let narrowing = (header.depth == 16).then(|| Narrowing::new(channels, header.profile.as_ref()));
        Samples { header, channels, narrowing, colours: Box::new(colours(header)) }
    }

    /// The profile of the output; 16-bit samples become sRGB.
    pub(super) fn profile(&self) -> Option<Profile> {
        self.header.profile.clone().filter(|_| self.narrowing.is_none())
    }

    /// Converts an unfiltered scanline of `width` pixels.
    pub(super) fn to_rgb(&self, row: &[u8], width: usize) -> Vec<u8> {
        if let Some(narrowing) = &self.narrowing {
            let samples: Vec<u16> = row.as_chunks::<2>().0.iter().map(|&pair| u16::from_be_bytes(pair)).collect();
            return narrowing.apply(&self.expanded(samples, u16::MAX));
        }
        let samples = match self.header.depth {
            8 => row.to_vec(),
            depth => unpacked(row, depth, width),
        };
        if self.header.colour_type != ColorType::Indexed {
            return self.expanded(samples, u8::MAX);
        }
        let mut out = vec![0; samples.len() * self.channels];
        // two loops, since chunks of a length known at run time take several times as long
        if self.channels == 4 {
            let pixels = out.as_chunks_mut::<4>().0.iter_mut().zip(&samples);
            pixels.for_each(|(pixel, &index)| *pixel = self.colours[usize::from(index)]);
        } else {
            for (pixel, &index) in out.as_chunks_mut::<3>().0.iter_mut().zip(&samples) {
                let [red, green, blue, _] = self.colours[usize::from(index)];
                *pixel = [red, green, blue];
            }
        }
        out
    }

    /// Applies the transparent colour of tRNS, scales grey samples of less than 8 bits to the full range, and repeats grey as RGB.
    fn expanded<T: Copy + Default + From<u8> + Into<u16> + std::ops::Mul<Output = T>>(
        &self, samples: Vec<T>, opaque: T,
    ) -> Vec<T> {
        let scale: T = match self.header.depth {
            1 => 255.into(),
            2 => 85.into(),
            4 => 17.into(),
            _ => 1.into(),
        };
        let alpha = |is_transparent: bool| if is_transparent { T::default() } else { opaque };
        match (self.header.colour_type, &self.header.transparency) {
            (ColorType::Grayscale, Some(Transparency::Colour([transparent, ..]))) => {
                let pixel = |&grey: &T| {
                    let level = grey * scale;
                    [level, level, level, alpha(grey.into() == *transparent)]
                };
                samples.iter().flat_map(pixel).collect()
            }
            (ColorType::Grayscale, _) if self.header.depth < 8 => {
                samples.iter().flat_map(|&grey| [grey * scale; 3]).collect()
            }
            (ColorType::Grayscale, _) => grey_to_rgb(&samples, 1),
            (ColorType::GrayscaleAlpha, _) => grey_to_rgb(&samples, 2),
            (ColorType::Rgb, Some(Transparency::Colour(transparent))) => {
                let mut out = vec![T::default(); samples.len() / 3 * 4];
                let pixels = out.as_chunks_mut::<4>().0.iter_mut().zip(samples.as_chunks::<3>().0);
                pixels.for_each(|(out, &[r, g, b])| *out = [r, g, b, alpha([r, g, b].map(Into::into) == *transparent)]);
                out
            }
            _ => samples,
        }
    }
}

fn colours(header: &Header) -> [[u8; 4]; 256] {
    let mut colours = [[0, 0, 0, u8::MAX]; 256];
    for (colour, &[red, green, blue]) in colours.iter_mut().zip(&header.palette) {
        *colour = [red, green, blue, u8::MAX];
    }
    if let Some(Transparency::Palette(alpha)) = &header.transparency {
        colours.iter_mut().zip(alpha).for_each(|(colour, &alpha)| colour[3] = alpha);
    }
    colours
}

/// Samples of an output pixel.
pub(super) fn channels(header: &Header) -> usize {
    if header.has_alpha() { 4 } else { 3 }
}

/// One byte for each of `width` packed samples; the leftmost is in the high bits (PNG, third edition, §7.2).
fn unpacked(row: &[u8], depth: u8, width: usize) -> Vec<u8> {
    let depth = usize::from(depth);
    let (each, mask) = (8 / depth, (1_u16 << depth) as u8 - 1);
    let mut samples = Vec::with_capacity(row.len() * each);
    for &byte in row {
        (1..=each).for_each(|at| samples.push(byte >> (8 - depth * at) & mask));
    }
    samples.truncate(width);
    samples
}
