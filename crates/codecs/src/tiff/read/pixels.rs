//! From the samples as stored to RGB, RGB with alpha, or inks.
//!
//! Samples of all depths are taken to the range of 16 bits first, row by row, and cut to 8 at the end where the file
//! had no more: 257 times a byte, shifted back, is that byte.

use std::borrow::Cow;

use super::compression;
use super::ifd::unsigned;
use super::jpeg;
use super::page::{Format, Page, Photometric};
use super::{Failure, Samples};

/// Decodes the page.
pub(super) fn decode(page: &Page<'_>) -> Result<Samples, Failure> {
    let channels = page.channels();
    let count = page.width as usize * page.height as usize * channels;
    if page.is_deep() {
        let mut samples = vec![0u16; count];
        fill(page, &mut samples)?;
        return Ok(Samples::Sixteen(samples));
    }
    let mut samples = vec![0u8; count];
    fill(page, &mut samples)?;
    Ok(Samples::Eight(samples))
}

/// A sample of the decoded picture.
trait Sample: Copy {
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

/// A decompressed strip or tile of one plane.
struct Plane<'a> {
    data: Cow<'a, [u8]>,
    stride: usize,
}

impl Plane<'_> {
    fn row(&self, y: usize) -> &[u8] {
        &self.data[y * self.stride..][..self.stride]
    }
}

/// Decodes row after row into the picture.
fn fill<S: Sample>(page: &Page<'_>, out: &mut [S]) -> Result<(), Failure> {
    let mut lines = Lines::new(page)?;
    out.chunks_exact_mut(page.width as usize * page.channels()).try_for_each(|row| lines.paint(row))
}

/// The rows of a page one after the other.
pub(crate) struct Lines<'a, 'b> {
    page: &'b Page<'a>,
    jpeg: Option<jpeg::Reader>,
    painter: Painter<'a, 'b>,
    /// The planes of each strip or tile with the next row, from the left to the right.
    band: Vec<Vec<Plane<'a>>>,
    /// The row that comes next.
    next: u32,
}

impl<'a, 'b> Lines<'a, 'b> {
    /// All rows of a page, from the top.
    pub(crate) fn new(page: &'b Page<'a>) -> Result<Lines<'a, 'b>, Failure> {
        page.check_segments()?;
        let jpeg = if page.compression.is_jpeg() { Some(jpeg::Reader::new()?) } else { None };
        Ok(Lines { page, jpeg, painter: Painter::new(page), band: Vec::new(), next: 0 })
    }

    /// Columns and rows of the page, as stored.
    pub(crate) fn size(&self) -> (u32, u32) {
        (self.page.width, self.page.height)
    }

    /// Samples of a pixel.
    pub(crate) fn channels(&self) -> usize {
        self.page.channels()
    }

    /// Puts the next rows into `out`, as many as it has room for.
    pub(crate) fn paint_all(&mut self, out: &mut [u8]) -> Result<(), Failure> {
        out.chunks_exact_mut(self.page.width as usize * self.page.channels()).try_for_each(|row| self.paint(row))
    }

    /// Passes over the next rows; what they are made of is looked at all the same.
    pub(crate) fn pass_over(&mut self, rows: u32) -> Result<(), Failure> {
        for _ in 0..rows {
            self.load()?;
            self.next += 1;
        }
        Ok(())
    }

    /// Looks at what is left.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.pass_over(self.page.height - self.next)
    }

    fn paint<S: Sample>(&mut self, row: &mut [S]) -> Result<(), Failure> {
        self.load()?;
        let y = self.next % self.page.grid.rows;
        for (part, planes) in row.chunks_mut(self.page.grid.width as usize * self.page.channels()).zip(&self.band) {
            self.painter.row(planes, y as usize, part);
        }
        self.next += 1;
        Ok(())
    }

    /// Decompresses the strips or tiles with the next row, where it is their first.
    fn load(&mut self) -> Result<(), Failure> {
        let (page, grid) = (self.page, self.page.grid);
        if self.next >= page.height {
            return Err(Failure::malformed("it has fewer rows than its header says"));
        }
        if !self.next.is_multiple_of(grid.rows) {
            return Ok(());
        }
        let down = self.next / grid.rows;
        // what the last ones took is given back first
        self.band.clear();
        for across in 0..grid.across {
            let left = across * grid.width;
            let visible = (grid.width.min(page.width - left), page.rows_at(down).min(page.height - self.next));
            let decoded = page.planes().into_iter().map(|plane| match &mut self.jpeg {
                Some(reader) => jpeg_plane(page, reader, (plane, down, across), visible),
                None => plain_plane(page, (plane, down, across)),
            });
            self.band.push(decoded.collect::<Result<_, _>>()?);
        }
        Ok(())
    }
}

fn plain_plane<'a>(page: &Page<'a>, (plane, down, across): (u16, u32, u32)) -> Result<Plane<'a>, Failure> {
    let input = page.segment(plane, down, across)?;
    let data = compression::decompress(page, input, page.rows_at(down))?;
    Ok(Plane { data, stride: page.stride() as usize })
}

fn jpeg_plane<'a>(
    page: &Page<'a>, reader: &mut jpeg::Reader, (plane, down, across): (u16, u32, u32), visible: (u32, u32),
) -> Result<Plane<'a>, Failure> {
    let input = match page.old_jpeg.interchange {
        Some(stream) => stream,
        None => page.segment(plane, down, across)?,
    };
    let picture = reader.decode(page, input, page.rows_at(down))?;
    // a stream at the edges may be cut to what is seen, or hold a whole strip
    if picture.width < visible.0 || picture.height < visible.1 {
        let (width, height) = (picture.width, picture.height);
        return Err(Failure::malformed(format!("a JPEG stream has only {width}x{height} pixels")));
    }
    let stride = picture.width as usize * page.samples_together();
    Ok(Plane { data: Cow::Owned(picture.samples), stride })
}

/// Turns rows of planes into rows of the picture.
struct Painter<'a, 'b> {
    page: &'b Page<'a>,
    channels: usize,
    /// What the samples mean once they are decompressed.
    photometric: Photometric,
    palette: Vec<[u16; 3]>,
    /// Where alpha is among a pixel's samples.
    alpha: Option<usize>,
    /// The samples of a row, [`Self::step`] for each pixel.
    samples: Vec<u16>,
    step: usize,
    /// The pixel for each value of a sample, where that is all there is to a pixel.
    lookup: Vec<[u16; 4]>,
}

impl<'a, 'b> Painter<'a, 'b> {
    fn new(page: &'b Page<'a>) -> Painter<'a, 'b> {
        let photometric = match page.photometric {
            // the library has converted it
            Photometric::YCbCr if page.compression == super::page::Compression::Jpeg => Photometric::Rgb,
            other => other,
        };
        let alpha = page.alpha.filter(|_| page.has_alpha()).map(|alpha| alpha.index.into());
        let (step, alpha) = if page.planar {
            (page.planes().len(), alpha.map(|_| page.planes().len() - 1))
        } else {
            (page.samples_together(), alpha)
        };
        let (channels, palette, samples) = (page.channels(), palette(page), Vec::new());
        let mut painter = Painter { page, channels, photometric, palette, alpha, samples, step, lookup: Vec::new() };
        painter.lookup = painter.lookup();
        painter
    }

    fn lookup(&self) -> Vec<[u16; 4]> {
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

    fn row<S: Sample>(&mut self, planes: &[Plane<'_>], y: usize, out: &mut [S]) {
        if self.is_plain() {
            // nothing is to be done but to cut the tile to what is seen
            let row = planes[0].row(y);
            out.iter_mut().zip(row).for_each(|(out, &byte)| *out = S::from_byte(byte));
            return;
        }
        if !self.lookup.is_empty() {
            self.look_up(planes[0].row(y), out);
            return;
        }
        self.gather(planes, y, out.len() / self.channels);
        for (samples, out) in self.samples.chunks_exact(self.step).zip(out.chunks_exact_mut(self.channels)) {
            let pixel = self.pixel(samples);
            out.iter_mut().zip(pixel).for_each(|(out, wide)| *out = S::from_wide(wide));
        }
    }

    /// Whether the stored bytes are the picture's.
    fn is_plain(&self) -> bool {
        let page = self.page;
        let as_is = matches!(self.photometric, Photometric::Rgb | Photometric::Cmyk);
        let together = !page.planar && self.step == self.channels && page.alpha.is_none_or(|alpha| !alpha.associated);
        as_is && together && page.bits == 8 && page.format == Format::Unsigned
    }

    fn look_up<S: Sample>(&self, row: &[u8], out: &mut [S]) {
        let bits = usize::from(self.page.bits);
        for (x, out) in out.chunks_exact_mut(self.channels).enumerate() {
            let at = x * bits;
            let value = row[at / 8] >> (8 - bits - at % 8) & (0xFF >> (8 - bits));
            let pixel = self.lookup[usize::from(value)];
            out.iter_mut().zip(pixel).for_each(|(out, wide)| *out = S::from_wide(wide));
        }
    }

    /// Puts the samples of a row's first pixels side by side.
    fn gather(&mut self, planes: &[Plane<'_>], y: usize, pixels: usize) {
        self.samples.clear();
        if self.page.is_subsampled() {
            self.gather_subsampled(&planes[0], y, pixels);
        } else if let [plane] = planes {
            unpack(self.page, plane.row(y), pixels * self.step, |sample| self.samples.push(sample));
        } else {
            self.samples.resize(pixels * self.step, 0);
            for (index, plane) in planes.iter().enumerate() {
                let mut places = self.samples.iter_mut().skip(index).step_by(self.step);
                let put = |sample| places.next().into_iter().for_each(|place| *place = sample);
                unpack(self.page, plane.row(y), pixels, put);
            }
        }
    }

    /// TIFF 6.0 §21, "Ordering of Component Samples": data units of all the Y of an area, then its Cb and Cr.
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

    /// The pixel that a few samples stand for; the fourth value counts only where there are four channels.
    fn pixel(&self, samples: &[u16]) -> [u16; 4] {
        let alpha = self.alpha.map_or(u16::MAX, |index| samples[index]);
        let [r, g, b] = match self.photometric {
            Photometric::BlackIsZero => [samples[0]; 3],
            Photometric::WhiteIsZero => [u16::MAX - samples[0]; 3],
            Photometric::Rgb => [samples[0], samples[1], samples[2]],
            Photometric::Palette => {
                // alpha was left as it is stored, like the index
                let alpha = self.alpha.map_or(u16::MAX, |_| widen(alpha.into(), self.page.bits));
                let [r, g, b] = self.palette.get(usize::from(samples[0])).map_or([0; 3], |&colour| colour);
                return [r, g, b, alpha];
            }
            Photometric::Cmyk => return [samples[0], samples[1], samples[2], samples[3]],
            Photometric::YCbCr => self.from_ycbcr(samples),
            Photometric::CieLab | Photometric::IccLab => self.from_lab(samples),
        };
        if self.page.alpha.is_some_and(|alpha| alpha.associated) {
            return [straight(r, alpha), straight(g, alpha), straight(b, alpha), alpha];
        }
        [r, g, b, alpha]
    }

    /// TIFF 6.0 §20 "ReferenceBlackWhite" and §21 "RGB to YCbCr".
    #[expect(clippy::wrong_self_convention, reason = "the page says how it is converted")]
    fn from_ycbcr(&self, samples: &[u16]) -> [u16; 3] {
        let parameters = &self.page.ycbcr;
        let full = |index: usize, range: f32| {
            let [black, white] = [parameters.reference[2 * index], parameters.reference[2 * index + 1]];
            (f32::from(samples[index] >> 8) - black) * range / (white - black)
        };
        let (y, cb, cr) = (full(0, 255.0), full(1, 127.0), full(2, 127.0));
        let [red, green, blue] = parameters.luma;
        let r = cr * (2.0 - 2.0 * red) + y;
        let b = cb * (2.0 - 2.0 * blue) + y;
        let g = (y - blue * b - red * r) / green;
        [r, g, b].map(|value| u16::from(value.round() as u8) * 257)
    }

    /// TIFF 6.0 §23; the white is D50, as in all that print shops write.
    #[expect(clippy::wrong_self_convention, reason = "the page says how it is converted")]
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

/// The colour map as colours: all the reds come first, then the greens, then the blues (TIFF 6.0 §5).
fn palette(page: &Page<'_>) -> Vec<[u16; 3]> {
    let Some(map) = page.color_map.filter(|_| page.photometric == Photometric::Palette) else { return Vec::new() };
    let size = 1 << page.bits;
    let value = |index| map.get(index).map_or(0, |value| value.min(u16::MAX.into()) as u16);
    // some writers put 8 bits where 16 belong; libtiff tells it in the same way
    let factor = if (0..3 * size).all(|index| value(index) < 256) { 257 } else { 1 };
    (0..size).map(|index| [index, size + index, 2 * size + index].map(|index| value(index) * factor)).collect()
}

/// Takes back the multiplication with alpha (TIFF 6.0 §18).
fn straight(colour: u16, alpha: u16) -> u16 {
    if alpha == 0 {
        return 0;
    }
    (u32::from(colour) * u32::from(u16::MAX) / u32::from(alpha)).min(u16::MAX.into()) as u16
}

/// Hands on the first samples of a row, in the range of 16 bits; those that index a palette as they are.
fn unpack(page: &Page<'_>, row: &[u8], count: usize, mut put: impl FnMut(u16)) {
    let Page { bits, format, file, .. } = *page;
    let size = usize::from(bits / 8);
    if format == Format::Float {
        row.chunks_exact(size).take(count).for_each(|bytes| put(from_float(unsigned(bytes, file.big_endian), bits)));
        return;
    }
    let is_index = page.photometric == Photometric::Palette;
    let flip = if format == Format::Signed { 1 << (bits - 1) } else { 0 };
    let finish = |value: u64| if is_index { value as u16 } else { widen(value ^ flip, bits) };
    match bits {
        8 => row.iter().take(count).for_each(|&byte| put(finish(byte.into()))),
        _ if bits % 8 == 0 => {
            row.chunks_exact(size).take(count).for_each(|bytes| put(finish(unsigned(bytes, file.big_endian))));
        }
        _ => unpack_bits(row, bits.into(), count, |value| put(finish(value))),
    }
}

/// Samples that do not fill bytes stand side by side, the high bit first in either byte order (TIFF 6.0 §8,
/// BitsPerSample).
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

/// Takes a number of so many bits to 16.
fn widen(value: u64, bits: u16) -> u16 {
    match bits {
        8 => value as u16 * 257,
        16 => value as u16,
        ..16 => (value * 65535 / ((1 << bits) - 1)) as u16,
        _ => (value >> (bits - 16)) as u16,
    }
}

/// A floating point number of 16, 24, 32 or 64 bits, 0 being black and 1 white (Photoshop TIFF technical note 3).
fn from_float(number: u64, bits: u16) -> u16 {
    let value = match bits {
        16 => small_float(number, 5, 10),
        24 => small_float(number, 7, 16),
        32 => f32::from_bits(number as u32),
        _ => f64::from_bits(number) as f32,
    };
    // what is not a number becomes 0
    (value.clamp(0.0, 1.0) * 65535.0).round() as u16
}

/// IEEE 754's layout with other widths.
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

/// CIE L*a*b* with the white D50 to sRGB (CIE 15, IEC 61966-2-1, adapted by Bradford's matrix).
fn lab_to_srgb(lightness: f32, a: f32, b: f32) -> [u16; 3] {
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
    fn depths() {
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
    fn bits_across_bytes() {
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
    fn floats() {
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
    fn lab() {
        // of the D50 white: mid grey, and the three primaries of sRGB adapted to it
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

    #[test]
    fn alpha_is_taken_back() {
        for (colour, alpha, wanted) in [(100, 0, 0), (100, 65535, 100), (100, 50, 65535), (1000, 32768, 1999)] {
            assert_eq!(straight(colour, alpha), wanted);
        }
    }
}
