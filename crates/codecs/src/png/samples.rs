//! Samples as a PNG stores them, made 8-bit red, green and blue, and alpha where there is any.

use ::png::ColorType;

use super::header::{Header, Transparency};
use tintype_pixels::colour::{Narrowing, Profile};
use tintype_pixels::pixels::grey_to_rgb;

/// Converts a picture's samples to pixels.
pub(super) struct Samples<'a> {
    header: &'a Header,
    /// Samples of a pixel that comes out: 3 or 4.
    pub(super) channels: usize,
    /// Of samples of 16 bits, which are converted to sRGB at their full precision.
    narrowing: Option<Narrowing>,
    /// The colour of each place of the palette; one beyond it is black.
    colours: Box<[[u8; 4]; 256]>,
}

impl<'a> Samples<'a> {
    pub(super) fn of(header: &'a Header) -> Samples<'a> {
        let channels = channels(header);
        let narrowing = (header.depth == 16).then(|| Narrowing::new(channels, header.profile.as_ref()));
        Samples { header, channels, narrowing, colours: Box::new(colours(header)) }
    }

    /// The profile that the pixels are in.
    pub(super) fn profile(&self) -> Option<Profile> {
        self.header.profile.clone().filter(|_| self.narrowing.is_none())
    }

    /// A row of so many pixels.
    pub(super) fn to_rgb(&self, row: &[u8], width: usize) -> Vec<u8> {
        if let Some(narrowing) = &self.narrowing {
            let samples: Vec<u16> = row.as_chunks::<2>().0.iter().map(|&pair| u16::from_be_bytes(pair)).collect();
            return narrowing.apply(&self.expanded(samples, u16::MAX));
        }
        let samples = match self.header.depth {
            8 => row.to_vec(),
            depth => unpacked(row, depth, width),
        };
        if self.header.colours != ColorType::Indexed {
            return self.expanded(samples, u8::MAX);
        }
        let mut out = vec![0; samples.len() * self.channels];
        // each by itself, since a loop over parts of any length takes several times as long
        if self.channels == 4 {
            let pixels = out.as_chunks_mut::<4>().0.iter_mut().zip(&samples);
            pixels.for_each(|(pixel, &place)| *pixel = self.colours[usize::from(place)]);
        } else {
            for (pixel, &place) in out.as_chunks_mut::<3>().0.iter_mut().zip(&samples) {
                let [red, green, blue, _] = self.colours[usize::from(place)];
                *pixel = [red, green, blue];
            }
        }
        out
    }

    /// Whole pixels with an alpha where one colour is transparent, narrow greys stretched over all levels, and greys as red,
    /// green and blue.
    fn expanded<T: Copy + Default + From<u8> + Into<u16> + std::ops::Mul<Output = T>>(
        &self, samples: Vec<T>, opaque: T,
    ) -> Vec<T> {
        let stretch: T = match self.header.depth {
            1 => 255.into(),
            2 => 85.into(),
            4 => 17.into(),
            _ => 1.into(),
        };
        let alpha = |is_hole: bool| if is_hole { T::default() } else { opaque };
        match (self.header.colours, &self.header.transparency) {
            (ColorType::Grayscale, Some(Transparency::Colour([hole, ..]))) => {
                let pixel = |&grey: &T| {
                    let shown = grey * stretch;
                    [shown, shown, shown, alpha(grey.into() == *hole)]
                };
                samples.iter().flat_map(pixel).collect()
            }
            (ColorType::Grayscale, _) if self.header.depth < 8 => {
                samples.iter().flat_map(|&grey| [grey * stretch; 3]).collect()
            }
            (ColorType::Grayscale, _) => grey_to_rgb(&samples, 1),
            (ColorType::GrayscaleAlpha, _) => grey_to_rgb(&samples, 2),
            (ColorType::Rgb, Some(Transparency::Colour(hole))) => {
                let mut out = vec![T::default(); samples.len() / 3 * 4];
                let pixels = out.as_chunks_mut::<4>().0.iter_mut().zip(samples.as_chunks::<3>().0);
                pixels.for_each(|(out, &[r, g, b])| *out = [r, g, b, alpha([r, g, b].map(Into::into) == *hole)]);
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
    if let Some(Transparency::Places(alpha)) = &header.transparency {
        colours.iter_mut().zip(alpha).for_each(|(colour, &alpha)| colour[3] = alpha);
    }
    colours
}

/// Samples of a pixel that comes out.
pub(super) fn channels(header: &Header) -> usize {
    if header.has_alpha() { 4 } else { 3 }
}

/// A byte for each of so many samples of fewer bits, of which the first has the highest (PNG, third edition, §7.2).
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
