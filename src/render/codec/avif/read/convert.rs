//! From a decoded AV1 frame to RGB: chroma upsampling, matrix and range
//! (ITU-T H.273, 8.3; AV1 specification, 6.4.2).
//!
//! Works row by row in `f32`, 0 to 1, so that one path serves every depth and
//! subsampling, odd sizes included.

use re_rav1d::dav1d::{Picture, PixelLayout, PlanarImageComponent as Component};

use super::property::Nclx;
use super::sequence::ChromaPosition;
use crate::render::codec::samples::Samples;

type Result<T> = std::result::Result<T, String>;

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
enum Matrix {
    /// The planes are G, B and R.
    Identity,
    /// Weights of red and blue in luma.
    Luma {
        red: f32,
        blue: f32,
    },
    YCgCo,
}

impl Matrix {
    /// The matrix of that `MatrixCoefficients` code (H.273, table 4).
    fn new(colour: Nclx) -> Result<Self> {
        let (red, blue) = match (colour.matrix, colour.primaries) {
            (0, _) => return Ok(Self::Identity),
            (8, _) => return Ok(Self::YCgCo),
            (1, _) | (12, 1) => (0.2126, 0.0722),
            (4, _) => (0.30, 0.11),
            (2 | 5 | 6, _) => (0.299, 0.114),
            (7, _) => (0.212, 0.087),
            (9, _) | (12, 9) => (0.2627, 0.0593),
            (12, 12) => (0.228_97, 0.079_29),
            (code, _) => return Err(format!("matrix coefficients {code} are not supported")),
        };
        Ok(Self::Luma { red, blue })
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
        }
    }
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
            depth => Err(format!("frame of {depth} bits")),
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

/// The part of the frame that falls on the canvas at `(left, top)`, in pixels.
fn visible(canvas: &Canvas, picture: &Picture, left: usize, top: usize) -> (usize, usize) {
    let width = (picture.width() as usize).min(canvas.width.saturating_sub(left));
    let height = (picture.height() as usize).min(canvas.height.saturating_sub(top));
    (width, height)
}

/// Writes a frame's colour into the canvas at `(left, top)`.
pub(super) fn put_colour(
    canvas: &mut Canvas, picture: &Picture, (left, top): (usize, usize), colour: Nclx, position: ChromaPosition,
) -> Result<()> {
    if picture.pixel_layout() == PixelLayout::I400 {
        return put_grey(canvas, picture, (left, top), colour.full_range, 0..3);
    }
    let frame = &Frame::new(picture)?;
    let matrix = Matrix::new(colour)?;
    if matrix == Matrix::Identity && picture.pixel_layout() != PixelLayout::I444 {
        return Err("identity matrix with subsampled chroma".into());
    }
    let luma_scale = Scale::luma(frame.depth, colour.full_range);
    let chroma_scale = match matrix {
        Matrix::Identity => luma_scale,
        _ => Scale::chroma(frame.depth, colour.full_range),
    };
    let luma = picture.plane(Component::Y);
    let stride = picture.stride(Component::Y) as usize;
    let [mut cb, mut cr] =
        [Component::U, Component::V].map(|component| Chroma::new(frame, component, chroma_scale, position));
    let (width, height) = visible(canvas, picture, left, top);
    let [mut y_row, mut u_row, mut v_row] = [(); 3].map(|()| vec![0.0; width]);
    for y in 0..height {
        frame.read_row(&luma, stride, y, luma_scale, &mut y_row)?;
        cb.read_row(y, &mut u_row)?;
        cr.read_row(y, &mut v_row)?;
        matrix.apply(&mut y_row, &mut u_row, &mut v_row);
        for (channel, row) in [&y_row, &u_row, &v_row].into_iter().enumerate() {
            canvas.put(left, top + y, channel, row);
        }
    }
    Ok(())
}

/// Writes a frame's luma into some channels of the canvas at `(left, top)`:
/// all three of a monochrome picture, or alpha.
pub(super) fn put_grey(
    canvas: &mut Canvas, picture: &Picture, (left, top): (usize, usize), full_range: bool,
    channels: std::ops::Range<usize>,
) -> Result<()> {
    let frame = Frame::new(picture)?;
    let scale = Scale::luma(frame.depth, full_range);
    let luma = picture.plane(Component::Y);
    let stride = picture.stride(Component::Y) as usize;
    let (width, height) = visible(canvas, picture, left, top);
    let mut row = vec![0.0; width];
    for y in 0..height {
        frame.read_row(&luma, stride, y, scale, &mut row)?;
        for channel in channels.clone() {
            canvas.put(left, top + y, channel, &row);
        }
    }
    Ok(())
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
        Matrix::new(BT601).unwrap().apply(&mut y, &mut u, &mut v);
        for (got, wanted) in [(y[0], 1.0), (u[0], 0.0), (v[0], 0.0)] {
            assert!((got - wanted).abs() < 1e-4_f32, "{got} is not {wanted}");
        }
    }

    #[test]
    fn an_unknown_matrix_is_refused() {
        assert!(Matrix::new(Nclx { matrix: 14, ..BT601 }).is_err());
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
