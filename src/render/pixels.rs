//! A decoded picture.

use super::format::Format;
use super::geometry::{Rect, Size};

/// 8-bit pixels, interleaved, rows packed from the top: width × height × channels, stride = width × channels bytes.
///
/// The colour space is the original's own until [`ops`](super::ops) has converted it; then it is sRGB. Alpha is straight.
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
    pub fn new(format: Format, size: Size, channels: usize, data: Vec<u8>) -> super::Result<Pixels> {
        let expected = size.pixels() * channels as u64;
        if data.len() as u64 != expected {
            let reason = format!("{} bytes of pixels where {expected} belong", data.len());
            return Err(super::Error::malformed(format, reason));
        }
        Ok(Pixels { size, channels, data })
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
    pub(crate) fn is_grey(&self) -> bool {
        self.data.chunks_exact(self.channels).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2])
    }

    /// One of red, green and blue for each pixel, where they are alike.
    pub(crate) fn grey(&self) -> Vec<u8> {
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
pub(crate) fn grey_to_rgb<T: Copy + Default>(samples: &[T], step: usize) -> Vec<T> {
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

/// One picture of an animation, or the only one.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The whole canvas as it is shown, earlier frames included.
    pub pixels: Pixels,
    /// How long it is shown, in milliseconds.
    pub delay: u32,
}

/// Luma and chroma apart, as JPEG keeps them: Y, Cb and Cr of BT.601 in their full range (JFIF 1.02), 8 bits a sample.
///
/// Chroma has its samples in the middle of the luma that they are shared by, as in JFIF and MPEG-1.
#[derive(Clone)]
pub(crate) struct Planes {
    /// Columns and rows of the picture.
    pub(crate) size: Size,
    /// How many columns and rows of luma share one sample of chroma; `None` for a picture without colour.
    pub(crate) sharing: Option<Sharing>,
    /// Columns and rows of luma as it is stored, which may be more than the picture's.
    luma: Size,
    /// Columns and rows of Cb and of Cr.
    chroma: Size,
    /// Y, Cb, Cr one after the other, rows packed.
    data: Vec<u8>,
}

/// How many columns and rows of luma share one sample of chroma.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sharing {
    pub(crate) across: u32,
    pub(crate) down: u32,
}

impl Sharing {
    /// Two by two, which is called 4:2:0.
    pub(crate) const HALVED: Sharing = Sharing { across: 2, down: 2 };
}

/// What Cb and Cr are where there is no colour.
pub(crate) const NO_COLOUR: u8 = 128;

/// Rows of 8-bit samples of one kind.
#[derive(Clone, Copy)]
pub(crate) struct Plane<'a> {
    pub(crate) data: &'a [u8],
    /// Bytes from one row to the next.
    pub(crate) stride: usize,
}

impl Planes {
    /// Bytes of the planes of a picture as [`Planes::new`] wants them.
    pub(crate) fn bytes(size: Size, sharing: Option<Sharing>) -> usize {
        let (luma, chroma) = Planes::stored(size, sharing);
        (luma.pixels() + 2 * chroma.pixels()) as usize
    }

    /// Wraps samples. Luma is stored with as many columns and rows as chroma stands for: 36 by 36 where a picture of 35
    /// by 35 halves its chroma.
    ///
    /// # Panics
    /// Where the samples are not of that length.
    pub(crate) fn new(size: Size, sharing: Option<Sharing>, data: Vec<u8>) -> Planes {
        let (luma, chroma) = Planes::stored(size, sharing);
        assert_eq!(data.len(), Planes::bytes(size, sharing), "planes of {size}");
        Planes { size, sharing, luma, chroma, data }
    }

    /// Columns and rows that luma is stored in, and those of Cb and of Cr.
    pub(crate) fn stored(size: Size, sharing: Option<Sharing>) -> (Size, Size) {
        let Some(Sharing { across, down }) = sharing else { return (size, Size::new(0, 0)) };
        let chroma = Size::new(size.width.div_ceil(across), size.height.div_ceil(down));
        (Size::new(chroma.width * across, chroma.height * down), chroma)
    }

    /// A part that begins with a sample of chroma, as planes of its own.
    pub(crate) fn cut(&self, part: Rect) -> Planes {
        let size = Size::new(part.width, part.height);
        let (luma, chroma) = Planes::stored(size, self.sharing);
        let (across, down) = self.sharing.map_or((1, 1), |Sharing { across, down }| (across, down));
        let mut data = Vec::with_capacity(Planes::bytes(size, self.sharing));
        let mut append = |plane: Plane<'_>, left: u32, top: u32, size: Size| {
            let rows = plane.data.chunks_exact(plane.stride.max(1)).skip(top as usize).take(size.height as usize);
            rows.for_each(|row| data.extend_from_slice(&row[left as usize..][..size.width as usize]));
        };
        let [y, cb, cr] = self.all();
        append(y, part.x, part.y, luma);
        for plane in [cb, cr] {
            append(plane, part.x / across, part.y / down, chroma);
        }
        Planes::new(size, self.sharing, data).edges_repeated()
    }

    /// With the last column and row of the picture in the place of whatever luma has behind them, since resampling looks
    /// there.
    pub(crate) fn edges_repeated(mut self) -> Planes {
        let (columns, rows) = (self.size.width as usize, self.size.height as usize);
        let stride = self.luma.width as usize;
        let luma = &mut self.data[..self.luma.pixels() as usize];
        if stride > columns {
            for row in luma.chunks_exact_mut(stride) {
                let last = row[columns - 1];
                row[columns..].fill(last);
            }
        }
        for row in rows..self.luma.height as usize {
            luma.copy_within((rows - 1) * stride..rows * stride, row * stride);
        }
        self
    }

    /// Y, and the size it is stored in.
    pub(crate) fn luma(&self) -> (Plane<'_>, Size) {
        (Plane { data: &self.data[..self.luma.pixels() as usize], stride: self.luma.width as usize }, self.luma)
    }

    /// Cb and Cr, and the size each is stored in; both are empty where there is no colour.
    pub(crate) fn chroma(&self) -> ([Plane<'_>; 2], Size) {
        let (cb, cr) = self.data[self.luma.pixels() as usize..].split_at(self.chroma.pixels() as usize);
        let stride = self.chroma.width as usize;
        ([cb, cr].map(|data| Plane { data, stride }), self.chroma)
    }

    /// Whether there is no colour anywhere.
    pub(crate) fn is_grey(&self) -> bool {
        self.chroma().0.iter().all(|plane| plane.data.iter().all(|&level| level == NO_COLOUR))
    }

    /// Y, Cb and Cr.
    pub(crate) fn all(&self) -> [Plane<'_>; 3] {
        let ([cb, cr], _) = self.chroma();
        [self.luma().0, cb, cr]
    }

    /// The samples of Y, and those of Cb and Cr, to be changed one by one.
    pub(crate) fn samples_mut(&mut self) -> (&mut [u8], &mut [u8]) {
        self.data.split_at_mut(self.luma.pixels() as usize)
    }
}

impl std::fmt::Debug for Planes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Planes({}, {:?})", self.size, self.sharing)
    }
}

/// A picture in one of the two ways that pictures go through here.
#[derive(Debug)]
pub(crate) enum Samples {
    /// Red, green and blue beside each other.
    Packed(Pixels),
    /// Luma and chroma apart.
    Planes(Planes),
}

impl Samples {
    /// Columns and rows.
    pub(crate) fn size(&self) -> Size {
        match self {
            Samples::Packed(pixels) => pixels.size,
            Samples::Planes(planes) => planes.size,
        }
    }
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
