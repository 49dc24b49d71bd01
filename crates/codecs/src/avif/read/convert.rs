//! From a decoded AV1 frame to RGB: chroma upsampling, matrix and range
//! (ITU-T H.273, 8.3; AV1 specification, 6.4.2).
//!
//! Works row by row in `f32`, 0 to 1, so that one path serves every depth and
//! subsampling, odd sizes included.

use re_rav1d::dav1d::{Picture, PixelLayout, PlanarImageComponent as Component};

use super::failure::{Failure, Result};
use super::property::Nclx;
use super::sequence::ChromaPosition;
use crate::samples::Samples;

/// The picture that tiles are written into.
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    /// 3 or 4.
    pub(super) channels: usize,
    pub(super) samples: Samples,
}

impl Canvas {
    /// An empty canvas, its alpha (if it has one) at 0.
    pub(super) fn new(width: usize, height: usize, channels: usize, depth: u8) -> Self {
        let length = width * height * channels;
        let samples = if depth > 8 { Samples::Sixteen(vec![0; length]) } else { Samples::Eight(vec![0; length]) };
        Self { width, height, channels, samples }
    }

    /// Writes `values` (0 to 1) into one channel of a row, from pixel `x` on.
    fn put(&mut self, x: usize, y: usize, channel: usize, values: &[f32]) {
        let start = (y * self.width + x) * self.channels;
        let end = start + values.len() * self.channels;
        match &mut self.samples {
            Samples::Eight(all) => {
                let pixels = all[start..end].chunks_exact_mut(self.channels);
                for (pixel, value) in pixels.zip(values) {
                    pixel[channel] = (value * 255.0 + 0.5) as u8;
                }
            }
            Samples::Sixteen(all) => {
                let pixels = all[start..end].chunks_exact_mut(self.channels);
                for (pixel, value) in pixels.zip(values) {
                    pixel[channel] = (value * 65535.0 + 0.5) as u16;
                }
            }
        }
    }
}

/// How coded samples become 0 to 1 (luma) and -0.5 to 0.5 (chroma):
/// `(sample - offset) * factor`.
#[derive(Clone, Copy)]
struct Scale {
    offset: f32,
    factor: f32,
}

impl Scale {
    fn luma(depth: u8, full_range: bool) -> Self {
        let step = f32::from(1_u16 << (depth - 8));
        if full_range {
            Self { offset: 0.0, factor: 1.0 / (256.0 * step - 1.0) }
        } else {
            Self { offset: 16.0 * step, factor: 1.0 / (219.0 * step) }
        }
    }

    fn chroma(depth: u8, full_range: bool) -> Self {
        let step = f32::from(1_u16 << (depth - 8));
        let span = if full_range { 256.0 * step - 1.0 } else { 224.0 * step };
        Self { offset: 128.0 * step, factor: 1.0 / span }
    }
}

/// How Y, Cb and Cr become R, G and B.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Matrix {
    /// The planes are G, B and R.
    Identity,
    /// Weights of red and blue in luma.
    Luma {
        red: f32,
        blue: f32,
    },
    YCgCo,
    /// YCgCo-Re and YCgCo-Ro: whole numbers, and RGB of fewer bits than the planes have.
    Lifting {
        /// The highest sample of the planes.
        coded_max: f32,
        /// The highest sample of RGB.
        rgb_max: f32,
    },
}

impl Matrix {
    /// The matrix of that `MatrixCoefficients` code (H.273, table 4), for planes of `depth` bits.
    ///
    /// These are the codes that libavif converts. Constant luminance (10, 13), ST 2085 (11), ICtCp (14) and
    /// IPT-C2 (15) take their transfer functions into the matrix.
    pub(super) fn new(colour: Nclx, depth: u8) -> Result<Self> {
        let (red, blue) = match colour.matrix {
            0 => return Ok(Self::Identity),
            8 => return Ok(Self::YCgCo),
            16 | 17 if colour.full_range => return Ok(Self::lifting(colour.matrix, depth)),
            16 | 17 => return Err(Failure::unsupported("YCgCo-R of limited range")),
            1 => (0.2126, 0.0722),
            4 => (0.30, 0.11),
            2 | 5 | 6 => (0.299, 0.114),
            7 => (0.212, 0.087),
            9 => (0.2627, 0.0593),
            12 => luma_weights(colour.primaries),
            code => return Err(Failure::unsupported(format_args!("the colour matrix {code}"))),
        };
        Ok(Self::Luma { red, blue })
    }

    fn lifting(code: u16, depth: u8) -> Self {
        let max = |bits: u8| f32::from((1_u16 << bits) - 1);
        Self::Lifting { coded_max: max(depth), rgb_max: max(rgb_depth(code, depth)) }
    }

    /// Turns rows of Y, Cb and Cr into rows of R, G and B, in place.
    fn apply(self, y: &mut [f32], u: &mut [f32], v: &mut [f32]) {
        let pixels = y.iter_mut().zip(u).zip(v);
        match self {
            Self::Identity => pixels.for_each(|((y, u), v)| (*y, *u, *v) = (*v, *y, *u)),
            Self::Luma { red, blue } => {
                let (from_v, from_u) = (2.0 * (1.0 - red), 2.0 * (1.0 - blue));
                let green = 1.0 - red - blue;
                let (green_v, green_u) = (from_v * red / green, from_u * blue / green);
                pixels.for_each(|((y, u), v)| {
                    let rgb = (*y + from_v * *v, *y - green_u * *u - green_v * *v, *y + from_u * *u);
                    (*y, *u, *v) = rgb;
                });
            }
            Self::YCgCo => pixels.for_each(|((y, u), v)| {
                (*y, *u, *v) = (*y - *u + *v, *y + *u, *y - *u - *v);
            }),
            Self::Lifting { coded_max, rgb_max } => pixels.for_each(|((y, u), v)| {
                let [luma, cg, co] = [*y, *u, *v].map(|value| (value * coded_max).round() as i32);
                let rgb = lift(luma, cg, co).map(|sample| (sample as f32).clamp(0.0, rgb_max) / rgb_max);
                [*y, *u, *v] = rgb;
            }),
        }
    }
}

/// R, G and B of YCgCo-R (H.273 of 2024, equations 62 to 65).
fn lift(luma: i32, cg: i32, co: i32) -> [i32; 3] {
    let shared = luma - (cg >> 1);
    let blue = shared - (co >> 1);
    [blue + co, shared + cg, blue]
}

/// Bits a sample of RGB that a matrix makes of planes of `depth` bits. YCgCo-Re adds two bits to those of RGB, and
/// YCgCo-Ro one.
pub(super) fn rgb_depth(matrix: u16, depth: u8) -> u8 {
    match matrix {
        16 => depth - 2,
        17 => depth - 1,
        _ => depth,
    }
}

/// The weights of red and blue in luma that follow from the primaries (H.273, equations 32 to 37). As in libavif,
/// unknown primaries stand for those of BT.709.
fn luma_weights(primaries: u16) -> (f32, f32) {
    // chromaticities of red, green, blue and white (H.273, table 2)
    let [red, green, blue, white] = match primaries {
        4 => [(0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)],
        5 => [(0.64, 0.33), (0.29, 0.60), (0.15, 0.06), (0.3127, 0.3290)],
        6 | 7 => [(0.630, 0.340), (0.310, 0.595), (0.155, 0.070), (0.3127, 0.3290)],
        8 => [(0.681, 0.319), (0.243, 0.692), (0.145, 0.049), (0.310, 0.316)],
        9 => [(0.708, 0.292), (0.170, 0.797), (0.131, 0.046), (0.3127, 0.3290)],
        10 => [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1.0 / 3.0, 1.0 / 3.0)],
        11 => [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)],
        12 => [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290)],
        22 => [(0.630, 0.340), (0.295, 0.605), (0.155, 0.077), (0.3127, 0.3290)],
        _ => [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.3290)],
    };
    let z = |(x, y): (f64, f64)| 1.0 - x - y;
    let determinant = |[a, b, c]: [(f64, f64); 3]| {
        a.0 * (b.1 * z(c) - c.1 * z(b)) + a.1 * (c.0 * z(b) - b.0 * z(c)) + z(a) * (b.0 * c.1 - c.0 * b.1)
    };
    // how much of each primary makes white (Cramer), times its own luma
    let whole = determinant([red, green, blue]) * white.1;
    let weight = |primary: (f64, f64), others: [(f64, f64); 3]| (primary.1 * determinant(others) / whole) as f32;
    (weight(red, [white, green, blue]), weight(blue, [red, green, white]))
}

/// A frame's planes as bytes, with what is needed to read them.
struct Frame<'a> {
    picture: &'a Picture,
    depth: u8,
}

impl<'a> Frame<'a> {
    fn new(picture: &'a Picture) -> Result<Self> {
        match picture.bit_depth() {
            depth @ (8 | 10 | 12) => Ok(Self { picture, depth: depth as u8 }),
            depth => Err(format!("frame of {depth} bits").into()),
        }
    }

    /// Reads the first `row.len()` samples of a plane's row, scaled.
    fn read_row(&self, plane: &[u8], stride: usize, y: usize, scale: Scale, row: &mut [f32]) -> Result<()> {
        let wide = self.depth > 8;
        let start = y * stride;
        let length = row.len() << u32::from(wide);
        let bytes = plane.get(start..start + length).ok_or("frame is smaller than it says")?;
        let Scale { offset, factor } = scale;
        if wide {
            let (samples, _) = bytes.as_chunks::<2>();
            for (value, &sample) in row.iter_mut().zip(samples) {
                *value = (f32::from(u16::from_ne_bytes(sample)) - offset) * factor;
            }
        } else {
            for (value, &sample) in row.iter_mut().zip(bytes) {
                *value = (f32::from(sample) - offset) * factor;
            }
        }
        Ok(())
    }
}

/// Two neighbouring chroma samples for a luma sample: the nearer, the other,
/// and the weight of the other. `last` is the last chroma index.
fn neighbours(luma: usize, last: usize, between: bool) -> (usize, usize, f32) {
    let near = (luma / 2).min(last);
    let is_even = luma.is_multiple_of(2);
    match (between, is_even) {
        (true, true) => (near, near.saturating_sub(1), 0.25),
        (true, false) => (near, (near + 1).min(last), 0.25),
        (false, true) => (near, near, 0.0),
        (false, false) => (near, (near + 1).min(last), 0.5),
    }
}

/// Doubles a chroma row into `row`, linearly.
fn upsample_row(chroma: &[f32], between: bool, row: &mut [f32]) {
    let last = chroma.len() - 1;
    for (x, value) in row.iter_mut().enumerate() {
        let (near, far, weight) = neighbours(x, last, between);
        *value = chroma[near] + (chroma[far] - chroma[near]) * weight;
    }
}

/// A chroma plane that is read at luma's resolution.
struct Chroma<'a> {
    frame: &'a Frame<'a>,
    component: Component,
    stride: usize,
    scale: Scale,
    halves: (bool, bool),
    position: ChromaPosition,
    /// Two neighbouring rows at the plane's own resolution.
    rows: [Vec<f32>; 2],
}

impl<'a> Chroma<'a> {
    fn new(frame: &'a Frame<'a>, component: Component, scale: Scale, position: ChromaPosition) -> Self {
        let halves = match frame.picture.pixel_layout() {
            PixelLayout::I420 => (true, true),
            PixelLayout::I422 => (true, false),
            PixelLayout::I444 | PixelLayout::I400 => (false, false),
        };
        let width = (frame.picture.width() as usize).div_ceil(1 + usize::from(halves.0));
        let stride = frame.picture.stride(component) as usize;
        let rows = [vec![0.0; width], vec![0.0; width]];
        Self { frame, component, stride, scale, halves, position, rows }
    }

    /// The chroma of luma row `y`, interpolated to luma's width.
    fn read_row(&mut self, y: usize, row: &mut [f32]) -> Result<()> {
        let plane = self.frame.picture.plane(self.component);
        if !self.halves.0 {
            return self.frame.read_row(&plane, self.stride, y, self.scale, row);
        }
        let [first, second] = &mut self.rows;
        if self.halves.1 {
            let last = (self.frame.picture.height() as usize).div_ceil(2) - 1;
            let between = self.position != ChromaPosition::TopLeft;
            let (near, far, weight) = neighbours(y, last, between);
            self.frame.read_row(&plane, self.stride, near, self.scale, first)?;
            self.frame.read_row(&plane, self.stride, far, self.scale, second)?;
            for (value, other) in first.iter_mut().zip(second) {
                *value += (*other - *value) * weight;
            }
        } else {
            self.frame.read_row(&plane, self.stride, y, self.scale, first)?;
        }
        upsample_row(first, self.position == ChromaPosition::Centre, row);
        Ok(())
    }
}

/// The rows of a frame, as one `f32` row a channel: red, green and blue, or luma alone.
struct Rows<'a> {
    frame: &'a Frame<'a>,
    luma_scale: Scale,
    /// Chroma, and what makes RGB of it and luma; none of a grey frame.
    colour: Option<(Chroma<'a>, Chroma<'a>, Matrix)>,
}

impl<'a> Rows<'a> {
    fn grey(frame: &'a Frame<'a>, full_range: bool) -> Self {
        Self { frame, luma_scale: Scale::luma(frame.depth, full_range), colour: None }
    }

    fn colour(frame: &'a Frame<'a>, colour: Nclx, position: ChromaPosition) -> Result<Self> {
        let layout = frame.picture.pixel_layout();
        if layout == PixelLayout::I400 {
            return Ok(Self::grey(frame, colour.full_range));
        }
        let matrix = Matrix::new(colour, frame.depth)?;
        if matrix == Matrix::Identity && layout != PixelLayout::I444 {
            return Err(Failure::unsupported("the identity matrix with subsampled chroma"));
        }
        let luma_scale = Scale::luma(frame.depth, colour.full_range);
        let chroma_scale = match matrix {
            Matrix::Identity => luma_scale,
            // the range of RGB is limited ahead of the matrix, so that chroma is as steep as luma (H.273, 8.3)
            Matrix::YCgCo => Scale { factor: luma_scale.factor, ..Scale::chroma(frame.depth, colour.full_range) },
            _ => Scale::chroma(frame.depth, colour.full_range),
        };
        let chroma = |component| Chroma::new(frame, component, chroma_scale, position);
        let colour = Some((chroma(Component::U), chroma(Component::V), matrix));
        Ok(Self { frame, luma_scale, colour })
    }

    /// Reads the start of row `y`, as much as the rows take. Of a grey frame only the first row is written.
    fn read(&mut self, y: usize, [first, second, third]: &mut [Vec<f32>; 3]) -> Result<()> {
        let picture = self.frame.picture;
        let stride = picture.stride(Component::Y) as usize;
        self.frame.read_row(&picture.plane(Component::Y), stride, y, self.luma_scale, first)?;
        if let Some((cb, cr, matrix)) = &mut self.colour {
            cb.read_row(y, second)?;
            cr.read_row(y, third)?;
            matrix.apply(first, second, third);
        }
        Ok(())
    }

    /// Which row of [`Rows::read`] goes to each of three channels.
    fn channels(&self) -> [usize; 3] {
        if self.colour.is_some() { [0, 1, 2] } else { [0, 0, 0] }
    }
}

/// A rectangle of the canvas, in pixels. It may reach beyond the canvas at the right and the bottom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Place {
    /// Columns and rows of it that are on the canvas.
    fn visible(&self, canvas: &Canvas) -> (usize, usize) {
        let width = self.width.min(canvas.width.saturating_sub(self.left));
        let height = self.height.min(canvas.height.saturating_sub(self.top));
        (width, height)
    }
}

/// Writes a frame's colour into a part of the canvas.
pub(super) fn put_colour(
    canvas: &mut Canvas, picture: &Picture, place: Place, colour: Nclx, position: ChromaPosition,
) -> Result<()> {
    let frame = &Frame::new(picture)?;
    let mut rows = Rows::colour(frame, colour, position)?;
    let channels = rows.channels();
    put(canvas, &mut rows, place, &channels, 0)
}

/// Writes a frame's luma into the alpha of a part of the canvas.
pub(super) fn put_alpha(canvas: &mut Canvas, picture: &Picture, place: Place, full_range: bool) -> Result<()> {
    let frame = &Frame::new(picture)?;
    put(canvas, &mut Rows::grey(frame, full_range), place, &[0], 3)
}

/// Writes rows into channels of the canvas, from `first_channel` on. `from` says which row goes to which channel.
fn put(canvas: &mut Canvas, rows: &mut Rows<'_>, place: Place, from: &[usize], first_channel: usize) -> Result<()> {
    let picture = rows.frame.picture;
    let size = (picture.width() as usize, picture.height() as usize);
    let (width, height) = place.visible(canvas);
    let mut scaler = (size != (place.width, place.height)).then(|| Scaler::new(size, (place.width, place.height)));
    let mut row = [(); 3].map(|()| vec![0.0; width]);
    for y in 0..height {
        match &mut scaler {
            None => rows.read(y, &mut row)?,
            Some(scaler) => scaler.read(rows, y, &mut row)?,
        }
        for (channel, &source) in (first_channel..).zip(from) {
            canvas.put(place.left, place.top + y, channel, &row[source]);
        }
    }
    Ok(())
}

/// Scales a frame to the size that the container states for it, linearly, holding two rows at a time.
///
/// Layers of lower resolution are enlarged by it. Frames that are larger than stated are rare, and come out somewhat
/// sharp.
struct Scaler {
    from: (usize, usize),
    /// Rows of the scaled frame.
    height: usize,
    /// For each column of the scaled frame the one of the frame before it, and the weight of the next.
    columns: Vec<(usize, f32)>,
    /// Two neighbouring rows of the frame, at the index of their parity, and which they are.
    held: [(Option<usize>, [Vec<f32>; 3]); 2],
    blended: Vec<f32>,
}

impl Scaler {
    fn new(from: (usize, usize), to: (usize, usize)) -> Self {
        let row = || [(); 3].map(|()| vec![0.0; from.0]);
        let columns = (0..to.0).map(|x| sample_at(x, to.0, from.0)).collect();
        Self { from, height: to.1, columns, held: [(None, row()), (None, row())], blended: vec![0.0; from.0] }
    }

    /// Reads the start of row `y` of the scaled frame.
    fn read(&mut self, rows: &mut Rows<'_>, y: usize, row: &mut [Vec<f32>; 3]) -> Result<()> {
        let (upper, weight) = sample_at(y, self.height, self.from.1);
        let lower = (upper + 1).min(self.from.1 - 1);
        for wanted in [upper, lower] {
            let (held, samples) = &mut self.held[wanted % 2];
            if *held != Some(wanted) {
                rows.read(wanted, samples)?;
                *held = Some(wanted);
            }
        }
        let (upper, lower) = (&self.held[upper % 2].1, &self.held[lower % 2].1);
        for ((row, upper), lower) in row.iter_mut().zip(upper).zip(lower) {
            for ((blended, &upper), &lower) in self.blended.iter_mut().zip(upper).zip(lower) {
                *blended = upper + (lower - upper) * weight;
            }
            for (value, &(left, weight)) in row.iter_mut().zip(&self.columns) {
                let right = (left + 1).min(self.from.0 - 1);
                *value = self.blended[left] + (self.blended[right] - self.blended[left]) * weight;
            }
        }
        Ok(())
    }
}

/// Where the middle of sample `index` of `to` lies among `from` samples: the one before it, and the weight of the next.
fn sample_at(index: usize, to: usize, from: usize) -> (usize, f32) {
    let position = (index as f64 + 0.5) * from as f64 / to as f64 - 0.5;
    let position = position.clamp(0.0, (from - 1) as f64);
    (position as usize, position.fract() as f32)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may fail
mod tests {
    use super::*;

    const BT601: Nclx = Nclx { primaries: 1, transfer: 13, matrix: 6, full_range: true };

    #[test]
    fn chroma_rows_of_odd_width_end_on_their_last_sample() {
        let mut row = [0.0; 5];
        upsample_row(&[0.0, 4.0, 8.0], true, &mut row);
        assert_eq!(row, [0.0, 1.0, 3.0, 5.0, 7.0]);
        upsample_row(&[0.0, 4.0, 8.0], false, &mut row);
        assert_eq!(row, [0.0, 2.0, 4.0, 6.0, 8.0]);
        upsample_row(&[3.0], true, &mut row[..1]);
        assert_eq!(row[0], 3.0);
    }

    #[test]
    fn the_matrix_gives_red_for_red() {
        let (mut y, mut u, mut v) = ([0.299], [-0.168_736], [0.5]);
        Matrix::new(BT601, 8).unwrap().apply(&mut y, &mut u, &mut v);
        for (got, wanted) in [(y[0], 1.0), (u[0], 0.0), (v[0], 0.0)] {
            assert!((got - wanted).abs() < 1e-4_f32, "{got} is not {wanted}");
        }
    }

    #[test]
    fn unknown_matrix_is_not_supported() {
        for matrix in [3, 10, 11, 13, 14, 15, 18, 255, u16::MAX] {
            let Err(Failure::Unsupported(text)) = Matrix::new(Nclx { matrix, ..BT601 }, 10) else {
                panic!("{matrix} is taken");
            };
            assert_eq!(text, format!("the colour matrix {matrix} is not supported"));
        }
        let limited = Nclx { matrix: 16, full_range: false, ..BT601 };
        assert!(matches!(Matrix::new(limited, 10), Err(Failure::Unsupported(_))));
    }

    #[test]
    fn luma_weights_follow_from_primaries() {
        // those of BT.709, BT.2020 and Display P3 are published
        for (primaries, red, blue) in
            [(1, 0.2126, 0.0722), (2, 0.2126, 0.0722), (9, 0.2627, 0.0593), (12, 0.2290, 0.0793)]
        {
            let (got_red, got_blue) = luma_weights(primaries);
            assert!(
                (got_red - red).abs() < 1e-4 && (got_blue - blue).abs() < 1e-4,
                "{primaries}: {got_red} {got_blue}"
            );
        }
    }

    #[test]
    fn lifting_matrix_gives_back_rgb() {
        for (matrix, depth) in [(16, 10), (16, 12), (17, 10), (17, 12)] {
            let max = (1 << rgb_depth(matrix, depth)) - 1;
            let coded_max = ((1 << depth) - 1) as f32;
            for rgb in
                [[0, 0, 0], [max, max, max], [max, 0, 0], [0, max, 0], [0, 0, max], [1, 2, 3], [max / 3, max / 2, 7]]
            {
                // H.273 of 2024, equations 58 to 61
                let co = rgb[0] - rgb[2];
                let shared = rgb[2] + (co >> 1);
                let cg = rgb[1] - shared;
                let luma = shared + (cg >> 1);
                assert_eq!(lift(luma, cg, co), rgb);
                let [mut y, mut u, mut v] = [luma, cg, co].map(|value| [value as f32 / coded_max]);
                Matrix::new(Nclx { matrix, ..BT601 }, depth).unwrap().apply(&mut y, &mut u, &mut v);
                let got = [y[0], u[0], v[0]].map(|value| (value * max as f32).round() as i32);
                assert_eq!(got, rgb, "{matrix} {depth}");
            }
        }
    }

    #[test]
    fn scaled_samples_are_taken_from_their_middle() {
        // twice as many: a quarter of the way to the neighbours, and none beyond the edges
        let at = |index| sample_at(index, 4, 2);
        assert_eq!([at(0), at(1), at(2), at(3)], [(0, 0.0), (0, 0.25), (0, 0.75), (1, 0.0)]);
        assert_eq!(sample_at(0, 1, 4), (1, 0.5));
        assert_eq!(sample_at(9, 10, 1), (0, 0.0));
    }

    #[test]
    fn limited_range_spans_black_to_white() {
        for depth in [8, 10, 12] {
            let Scale { offset, factor } = Scale::luma(depth, false);
            let step = f32::from(1_u16 << (depth - 8));
            assert!(((235.0 * step - offset) * factor - 1.0).abs() < 1e-6);
            assert_eq!((16.0 * step - offset) * factor, 0.0);
        }
    }
}
