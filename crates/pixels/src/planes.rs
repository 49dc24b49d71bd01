//! A picture as separate planes of luma and chroma.

use serde::{Deserialize, Serialize};

use crate::geometry::{Rect, Size};
use crate::wire;

/// Luma and chroma apart, as JPEG keeps them: Y, Cb and Cr of BT.601 in their full range (JFIF 1.02), 8 bits a sample; 10 bits in
/// `Planes<u16>`.
///
/// Chroma has its samples in the middle of the luma that they are shared by, as in JFIF and MPEG-1.
#[derive(Clone)]
pub struct Planes<S = u8> {
    /// Columns and rows of the picture.
    pub size: Size,
    /// How many columns and rows of luma share one sample of chroma; `None` for a picture without colour.
    pub subsampling: Option<ChromaSubsampling>,
    /// Columns and rows of luma as it is stored, which may be more than the picture's.
    luma: Size,
    /// Columns and rows of Cb and of Cr.
    chroma: Size,
    /// Y, Cb, Cr one after the other, rows packed.
    data: Vec<S>,
}

/// How many columns and rows of luma share one sample of chroma.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChromaSubsampling {
    /// Columns of luma for each sample of chroma.
    #[serde(deserialize_with = "wire::sampling")]
    pub across: u32,
    /// Rows of luma for each sample of chroma.
    #[serde(deserialize_with = "wire::sampling")]
    pub down: u32,
}

impl ChromaSubsampling {
    /// Two by two, which is called 4:2:0.
    pub const S420: ChromaSubsampling = ChromaSubsampling { across: 2, down: 2 };

    /// One by one, which is called 4:4:4: chroma in the resolution of luma.
    pub const S444: ChromaSubsampling = ChromaSubsampling { across: 1, down: 1 };
}

/// The value of Cb and Cr for grey.
pub const NO_COLOUR: u8 = 128;

/// Rows of samples of one kind.
#[derive(Clone, Copy)]
pub struct Plane<'a, S = u8> {
    /// The samples, rows of `stride` samples.
    pub data: &'a [S],
    /// Samples from one row to the next.
    pub stride: usize,
}

impl<S: Copy> Planes<S> {
    /// Samples of the planes of a picture as [`Planes::new`] wants them.
    pub fn samples(size: Size, subsampling: Option<ChromaSubsampling>) -> usize {
        let (luma, chroma) = Planes::stored(size, subsampling);
        (luma.pixels() + 2 * chroma.pixels()) as usize
    }

    /// Wraps samples. Luma is stored with as many columns and rows as chroma stands for: 36 by 36 where a picture of 35
    /// by 35 halves its chroma.
    ///
    /// # Panics
    /// Where the samples are not of that length.
    pub fn new(size: Size, subsampling: Option<ChromaSubsampling>, data: Vec<S>) -> Planes<S> {
        let (luma, chroma) = Planes::stored(size, subsampling);
        assert_eq!(data.len(), Planes::<S>::samples(size, subsampling), "planes of {size}");
        Planes { size, subsampling, luma, chroma, data }
    }

    /// The same, or `None` where the samples are not of that length or the picture has no pixels.
    pub fn checked(size: Size, subsampling: Option<ChromaSubsampling>, data: Vec<S>) -> Option<Planes<S>> {
        let is_valid = size.has_valid_sides() && data.len() == Planes::<S>::samples(size, subsampling);
        is_valid.then(|| Planes::new(size, subsampling, data))
    }

    /// Y, Cb and Cr one after the other, as [`Planes::new`] takes them.
    pub fn data(&self) -> &[S] {
        &self.data
    }

    /// Y, and the size it is stored in.
    pub fn luma(&self) -> (Plane<'_, S>, Size) {
        (Plane { data: &self.data[..self.luma.pixels() as usize], stride: self.luma.width as usize }, self.luma)
    }

    /// Cb and Cr, and the size each is stored in; both are empty where there is no colour.
    pub fn chroma(&self) -> ([Plane<'_, S>; 2], Size) {
        let (cb, cr) = self.data[self.luma.pixels() as usize..].split_at(self.chroma.pixels() as usize);
        let stride = self.chroma.width as usize;
        ([cb, cr].map(|data| Plane { data, stride }), self.chroma)
    }

    /// Y, Cb and Cr.
    pub fn all(&self) -> [Plane<'_, S>; 3] {
        let ([cb, cr], _) = self.chroma();
        [self.luma().0, cb, cr]
    }

    /// The samples of Y, and those of Cb and Cr, to be changed one by one.
    pub fn samples_mut(&mut self) -> (&mut [S], &mut [S]) {
        self.data.split_at_mut(self.luma.pixels() as usize)
    }
}

impl Planes {
    /// Bytes of the planes of a picture.
    pub fn bytes(size: Size, subsampling: Option<ChromaSubsampling>) -> usize {
        Planes::<u8>::samples(size, subsampling)
    }

    /// Columns and rows that luma is stored in, and those of Cb and of Cr.
    pub fn stored(size: Size, subsampling: Option<ChromaSubsampling>) -> (Size, Size) {
        let Some(ChromaSubsampling { across, down }) = subsampling else { return (size, Size::new(0, 0)) };
        let chroma = Size::new(size.width.div_ceil(across), size.height.div_ceil(down));
        (Size::new(chroma.width * across, chroma.height * down), chroma)
    }

    /// A part that begins with a sample of chroma, as planes of its own.
    pub fn cut(&self, part: Rect) -> Planes {
        let size = Size::new(part.width, part.height);
        let (luma, chroma) = Planes::stored(size, self.subsampling);
        let (across, down) = self.subsampling.map_or((1, 1), |ChromaSubsampling { across, down }| (across, down));
        let mut data = Vec::with_capacity(Planes::bytes(size, self.subsampling));
        let mut append = |plane: Plane<'_>, left: u32, top: u32, size: Size| {
            let rows = plane.data.chunks_exact(plane.stride.max(1)).skip(top as usize).take(size.height as usize);
            rows.for_each(|row| data.extend_from_slice(&row[left as usize..][..size.width as usize]));
        };
        let [y, cb, cr] = self.all();
        append(y, part.x, part.y, luma);
        for plane in [cb, cr] {
            append(plane, part.x / across, part.y / down, chroma);
        }
        Planes::new(size, self.subsampling, data).edges_repeated()
    }

    /// With the last column and row of the picture in the place of whatever luma has behind them, since resampling looks
    /// there.
    pub fn edges_repeated(mut self) -> Planes {
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

    /// Whether there is no colour anywhere.
    pub fn is_grey(&self) -> bool {
        self.chroma().0.iter().all(|plane| plane.data.iter().all(|&level| level == NO_COLOUR))
    }
}

impl<S> std::fmt::Debug for Planes<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Planes({}, {:?})", self.size, self.subsampling)
    }
}
