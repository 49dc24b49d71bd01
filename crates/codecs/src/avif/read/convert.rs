//! Conversion of decoded AV1 frames to RGB: range, chroma upsampling and matrix
//! (ITU-T H.273, 8.3; AV1 specification, 6.4.2).
//!
//! It works row by row in `f32`, 0 to 1, in one code path for every depth, subsampling and odd size.

use re_rav1d::dav1d::{Picture, PixelLayout, PlanarImageComponent as Component};

use super::failure::{Failure, Result};
use super::matrix::Matrix;
use super::property::Nclx;
use super::scaler::Scaler;
use super::sequence_header::ChromaPosition;
use crate::samples::Samples;

/// The output picture, into which tiles are written.
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    /// 3 or 4.
    pub(super) channels: usize,
    pub(super) samples: Samples,
}

impl Canvas {
    /// A black canvas, with an alpha of 0 where it has 4 channels.
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

/// The mapping of coded samples to 0 to 1 (luma) and -0.5 to 0.5 (chroma):
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

/// A decoded frame and its depth.
pub(super) struct Frame<'a> {
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

    /// Reads the first `row.len()` samples of row `y` of a plane, scaled.
    fn read_row(&self, plane: &[u8], stride: usize, y: usize, scale: Scale, row: &mut [f32]) -> Result<()> {
        let wide = self.depth > 8;
        let start = y * stride;
        let length = row.len() << u32::from(wide);
        let bytes = plane.get(start..start + length).ok_or("the AV1 frame is smaller than its header states")?;
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

/// The two chroma samples next to a luma sample: the nearer, the farther, and the weight of
/// the farther. `last` is the last chroma index; `between` is true where chroma lies between luma samples.
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

/// Upsamples a chroma row linearly by 2.
fn upsample_row(chroma: &[f32], between: bool, row: &mut [f32]) {
    let last = chroma.len() - 1;
    for (x, value) in row.iter_mut().enumerate() {
        let (near, far, weight) = neighbours(x, last, between);
        *value = chroma[near] + (chroma[far] - chroma[near]) * weight;
    }
}

/// A chroma plane, upsampled to the resolution of luma.
pub(super) struct Chroma<'a> {
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

/// The rows of a frame, one `f32` row a channel: red, green and blue, or luma alone.
struct Rows<'a> {
    frame: &'a Frame<'a>,
    luma_scale: Scale,
    /// Cb, Cr and the matrix; `None` for a greyscale frame.
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
            // the limited range applies to RGB before the matrix, so that chroma has the factor of luma (H.273, 8.3)
            Matrix::YCgCo => Scale { factor: luma_scale.factor, ..Scale::chroma(frame.depth, colour.full_range) },
            _ => Scale::chroma(frame.depth, colour.full_range),
        };
        let chroma = |component| Chroma::new(frame, component, chroma_scale, position);
        let colour = Some((chroma(Component::U), chroma(Component::V), matrix));
        Ok(Self { frame, luma_scale, colour })
    }

    /// Reads the start of row `y`, as long as the output rows. Of a greyscale frame only the first one is written.
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

    /// The index of the row of [`Rows::read`] for each of three channels.
    fn channels(&self) -> [usize; 3] {
        if self.colour.is_some() { [0, 1, 2] } else { [0, 0, 0] }
    }
}

/// A rectangle of the canvas, in pixels. It may reach beyond the canvas at the right and the bottom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TileRect {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl TileRect {
    /// Width and height of the part that is on the canvas.
    fn visible(&self, canvas: &Canvas) -> (usize, usize) {
        let width = self.width.min(canvas.width.saturating_sub(self.left));
        let height = self.height.min(canvas.height.saturating_sub(self.top));
        (width, height)
    }
}

/// Writes the colour of a frame into a rectangle of the canvas.
pub(super) fn put_colour(
    canvas: &mut Canvas, picture: &Picture, place: TileRect, colour: Nclx, position: ChromaPosition,
) -> Result<()> {
    let frame = &Frame::new(picture)?;
    let mut rows = Rows::colour(frame, colour, position)?;
    let channels = rows.channels();
    put(canvas, &mut rows, place, &channels, 0)
}

/// Writes the luma of a frame into the alpha of a rectangle of the canvas.
pub(super) fn put_alpha(canvas: &mut Canvas, picture: &Picture, place: TileRect, full_range: bool) -> Result<()> {
    let frame = &Frame::new(picture)?;
    put(canvas, &mut Rows::grey(frame, full_range), place, &[0], 3)
}

/// Writes rows into channels of the canvas. `from` has the index of the row for each channel from `first_channel` on.
fn put(canvas: &mut Canvas, rows: &mut Rows<'_>, place: TileRect, from: &[usize], first_channel: usize) -> Result<()> {
    let picture = rows.frame.picture;
    let size = (picture.width() as usize, picture.height() as usize);
    let stated = (place.width, place.height);
    let (width, height) = place.visible(canvas);
    let mut scaler = (size != stated).then(|| Scaler::new(size, stated, width));
    let mut row = [(); 3].map(|()| vec![0.0; width]);
    for y in 0..height {
        match &mut scaler {
            None => rows.read(y, &mut row)?,
            Some(scaler) => scaler.read(|y, row| rows.read(y, row), y, &mut row)?,
        }
        for (channel, &source) in (first_channel..).zip(from) {
            canvas.put(place.left, place.top + y, channel, &row[source]);
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may fail
mod tests {
    use super::*;

    #[test]
    fn chroma_of_odd_width_repeats_its_last_sample() {
        let mut row = [0.0; 5];
        upsample_row(&[0.0, 4.0, 8.0], true, &mut row);
        assert_eq!(row, [0.0, 1.0, 3.0, 5.0, 7.0]);
        upsample_row(&[0.0, 4.0, 8.0], false, &mut row);
        assert_eq!(row, [0.0, 2.0, 4.0, 6.0, 8.0]);
        upsample_row(&[3.0], true, &mut row[..1]);
        assert_eq!(row[0], 3.0);
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
