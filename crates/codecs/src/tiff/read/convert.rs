//! Conversion of decompressed rows to RGB, RGB with alpha, or CMYK.

use std::borrow::Cow;

use super::page::Page;
use super::samples::{lab_to_srgb, unpack, widen};
use super::tags::{Compression, Photometric, SampleFormat};

/// A decompressed strip or tile of one plane.
pub(super) struct Plane<'a> {
    pub(super) data: Cow<'a, [u8]>,
    pub(super) stride: usize,
}

impl Plane<'_> {
    pub(super) fn row(&self, y: usize) -> &[u8] {
        &self.data[y * self.stride..][..self.stride]
    }
}

/// A sample of the decoded picture.
pub(super) trait Sample: Copy {
    fn from_byte(byte: u8) -> Self;
    fn from_wide(wide: u16) -> Self;
}

impl Sample for u8 {
    fn from_byte(byte: u8) -> u8 {
        byte
    }

    fn from_wide(wide: u16) -> u8 {
        (wide >> 8) as u8
    }
}

impl Sample for u16 {
    fn from_byte(byte: u8) -> u16 {
        u16::from(byte) * 257
    }

    fn from_wide(wide: u16) -> u16 {
        wide
    }
}

/// Converts rows of a strip or tile to rows of the picture.
pub(super) struct Converter<'a, 'b> {
    page: &'b Page<'a>,
    channels: usize,
    /// The interpretation of decompressed samples.
    photometric: Photometric,
    palette: Vec<[u16; 3]>,
    /// The index of alpha among the samples of a pixel.
    alpha: Option<usize>,
    /// The samples of a row, [`Self::step`] a pixel.
    samples: Vec<u16>,
    step: usize,
    /// The pixel of every value, for pixels of one sample of up to 8 bits.
    lookup: Vec<[u16; 4]>,
}

impl<'a, 'b> Converter<'a, 'b> {
    pub(super) fn new(page: &'b Page<'a>) -> Converter<'a, 'b> {
        let photometric = match page.photometric {
            // the JPEG library converts to RGB
            Photometric::YCbCr if page.compression == Compression::Jpeg => Photometric::Rgb,
            other => other,
        };
        let alpha = page.alpha.filter(|_| page.has_alpha()).map(|alpha| alpha.index.into());
        let (step, alpha) = if page.planar {
            (page.planes().len(), alpha.map(|_| page.planes().len() - 1))
        } else {
            (page.interleaved_samples(), alpha)
        };
        let (channels, palette, samples) = (page.channels(), palette(page), Vec::new());
        let mut converter =
            Converter { page, channels, photometric, palette, alpha, samples, step, lookup: Vec::new() };
        converter.lookup = converter.build_lookup();
        converter
    }

    fn build_lookup(&self) -> Vec<[u16; 4]> {
        let bits = self.page.bits;
        if self.step != 1 || !matches!(bits, 1 | 2 | 4 | 8) {
            return Vec::new();
        }
        let mut pixels = Vec::with_capacity(1 << bits);
        for value in 0..1u16 << bits {
            unpack(self.page, &[(value << (8 - bits)) as u8], 1, |sample| pixels.push(self.pixel(&[sample])));
        }
        pixels
    }

    /// Converts row `y` of the planes of a strip or tile; `out` may be narrower.
    pub(super) fn convert<S: Sample>(&mut self, planes: &[Plane<'_>], y: usize, out: &mut [S]) {
        if self.is_plain() {
            // only cut to the visible columns
            let row = planes[0].row(y);
            out.iter_mut().zip(row).for_each(|(out, &byte)| *out = S::from_byte(byte));
            return;
        }
        if !self.lookup.is_empty() {
            self.apply_lookup(planes[0].row(y), out);
            return;
        }
        self.gather(planes, y, out.len() / self.channels);
        for (samples, out) in self.samples.chunks_exact(self.step).zip(out.chunks_exact_mut(self.channels)) {
            let pixel = self.pixel(samples);
            out.iter_mut().zip(pixel).for_each(|(out, wide)| *out = S::from_wide(wide));
        }
    }

    /// Whether the stored bytes are the output.
    fn is_plain(&self) -> bool {
        let page = self.page;
        let as_is = matches!(self.photometric, Photometric::Rgb | Photometric::Cmyk);
        let is_interleaved =
            !page.planar && self.step == self.channels && page.alpha.is_none_or(|alpha| !alpha.associated);
        as_is && is_interleaved && page.bits == 8 && page.format == SampleFormat::Unsigned
    }

    fn apply_lookup<S: Sample>(&self, row: &[u8], out: &mut [S]) {
        let bits = usize::from(self.page.bits);
        for (x, out) in out.chunks_exact_mut(self.channels).enumerate() {
            let at = x * bits;
            let value = row[at / 8] >> (8 - bits - at % 8) & (0xFF >> (8 - bits));
            let pixel = self.lookup[usize::from(value)];
            out.iter_mut().zip(pixel).for_each(|(out, wide)| *out = S::from_wide(wide));
        }
    }

    /// Interleaves the samples of the first pixels of a row.
    fn gather(&mut self, planes: &[Plane<'_>], y: usize, pixels: usize) {
        self.samples.clear();
        if self.page.is_subsampled() {
            self.gather_subsampled(&planes[0], y, pixels);
        } else if let [plane] = planes {
            unpack(self.page, plane.row(y), pixels * self.step, |sample| self.samples.push(sample));
        } else {
            self.samples.resize(pixels * self.step, 0);
            for (index, plane) in planes.iter().enumerate() {
                let mut slots = self.samples.iter_mut().skip(index).step_by(self.step);
                let put = |sample| slots.next().into_iter().for_each(|slot| *slot = sample);
                unpack(self.page, plane.row(y), pixels, put);
            }
        }
    }

    /// Data units of all Y of an area, then its Cb and Cr (TIFF 6.0 §21, "Ordering of Component Samples").
    fn gather_subsampled(&mut self, plane: &Plane<'_>, y: usize, pixels: usize) {
        let (across, down) = self.page.ycbcr.subsampling;
        let (across, down) = (across as usize, down as usize);
        let units = plane.row(y / down).chunks_exact(across * down + 2);
        let line = y % down * across;
        let triples = units.flat_map(|unit| {
            let [cb, cr] = [unit[across * down], unit[across * down + 1]];
            unit[line..line + across].iter().map(move |&luma| [luma, cb, cr])
        });
        self.samples.extend(triples.take(pixels).flatten().map(|byte| u16::from(byte) * 257));
    }

    /// Converts the samples of a pixel; the fourth value is used only with four channels.
    fn pixel(&self, samples: &[u16]) -> [u16; 4] {
        let alpha = self.alpha.map_or(u16::MAX, |index| samples[index]);
        let [r, g, b] = match self.photometric {
            Photometric::BlackIsZero => [samples[0]; 3],
            Photometric::WhiteIsZero => [u16::MAX - samples[0]; 3],
            Photometric::Rgb => [samples[0], samples[1], samples[2]],
            Photometric::Palette => {
                // alpha is unscaled, like the index
                let alpha = self.alpha.map_or(u16::MAX, |_| widen(alpha.into(), self.page.bits));
                let [r, g, b] = self.palette.get(usize::from(samples[0])).map_or([0; 3], |&colour| colour);
                return [r, g, b, alpha];
            }
            Photometric::Cmyk => return [samples[0], samples[1], samples[2], samples[3]],
            Photometric::YCbCr => self.from_ycbcr(samples),
            Photometric::CieLab | Photometric::IccLab => self.from_lab(samples),
        };
        if self.page.alpha.is_some_and(|alpha| alpha.associated) {
            return [unpremultiply(r, alpha), unpremultiply(g, alpha), unpremultiply(b, alpha), alpha];
        }
        [r, g, b, alpha]
    }

    /// TIFF 6.0 §20 "ReferenceBlackWhite" and §21 "RGB to YCbCr".
    #[expect(clippy::wrong_self_convention, reason = "it converts from YCbCr or L*a*b*, not from Self")]
    fn from_ycbcr(&self, samples: &[u16]) -> [u16; 3] {
        let parameters = &self.page.ycbcr;
        let full = |index: usize, range: f32| {
            let [black, white] = [parameters.reference[2 * index], parameters.reference[2 * index + 1]];
            (f32::from(samples[index] >> 8) - black) * range / (white - black)
        };
        let (y, cb, cr) = (full(0, 255.0), full(1, 127.0), full(2, 127.0));
        let [red, green, blue] = parameters.coefficients;
        let r = cr * (2.0 - 2.0 * red) + y;
        let b = cb * (2.0 - 2.0 * blue) + y;
        let g = (y - blue * b - red * r) / green;
        [r, g, b].map(|value| u16::from(value.round() as u8) * 257)
    }

    /// TIFF 6.0 §23; the white point is D50, as in prepress files.
    #[expect(clippy::wrong_self_convention, reason = "it converts from YCbCr or L*a*b*, not from Self")]
    fn from_lab(&self, samples: &[u16]) -> [u16; 3] {
        let chroma = |sample: u16| match (self.photometric, self.page.bits) {
            (Photometric::CieLab, 8) => f32::from((sample >> 8) as i8),
            (Photometric::CieLab, _) => f32::from(sample as i16) / 256.0,
            (_, 8) => f32::from(sample >> 8) - 128.0,
            _ => f32::from(sample) / 256.0 - 128.0,
        };
        lab_to_srgb(f32::from(samples[0]) / 655.35, chroma(samples[1]), chroma(samples[2]))
    }
}

/// ColorMap as RGB: all reds come first, then all greens, then all blues (TIFF 6.0 §5).
fn palette(page: &Page<'_>) -> Vec<[u16; 3]> {
    let Some(map) = page.color_map.filter(|_| page.photometric == Photometric::Palette) else { return Vec::new() };
    let size = 1 << page.bits;
    let value = |index| map.get(index).map_or(0, |value| value.min(u16::MAX.into()) as u16);
    // some writers store 8-bit values; libtiff detects them in the same way
    let factor = if (0..3 * size).all(|index| value(index) < 256) { 257 } else { 1 };
    (0..size).map(|index| [index, size + index, 2 * size + index].map(|index| value(index) * factor)).collect()
}

/// Converts associated alpha to straight alpha (TIFF 6.0 §18).
fn unpremultiply(colour: u16, alpha: u16) -> u16 {
    if alpha == 0 {
        return 0;
    }
    (u32::from(colour) * u32::from(u16::MAX) / u32::from(alpha)).min(u16::MAX.into()) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn associated_alpha_becomes_straight() {
        for (colour, alpha, wanted) in [(100, 0, 0), (100, 65535, 100), (100, 50, 65535), (1000, 32768, 1999)] {
            assert_eq!(unpremultiply(colour, alpha), wanted);
        }
    }
}
