//! What a decoder puts its blocks into: the planes of a picture, or of the same picture at several scales at once.
//!
//! Whoever needs a photograph at several widths needs it at several scales, and reading its codes is most of the work of
//! each. All are made of one reading: of the coefficients that the largest shows the smaller ones use what they would have
//! kept by themselves, so that each is to the bit what it is alone.

use crate::idct;
use crate::tables::{planes_shown, whole_picture};
use tintype_pixels::DctScale;
use tintype_pixels::{ChromaSubsampling, Planes};
use tintype_pixels::{Rect, Size};

/// The pictures that are made, the wanted one first.
pub struct Pictures<'a> {
    /// The scale of each.
    pub scales: &'a [DctScale],
    /// The part of it that is shown; only of one that is made alone.
    pub shown: Option<Rect>,
    /// The size of the original.
    pub size: Size,
    /// How chroma is shared; `None` where there is none.
    pub subsampling: Option<ChromaSubsampling>,
}

impl Pictures<'_> {
    /// The largest scale.
    pub fn largest(&self) -> Option<DctScale> {
        self.scales.iter().copied().max()
    }

    fn shown(&self, scale: DctScale) -> Rect {
        self.shown.unwrap_or_else(|| whole_picture(self.size.scaled(scale)))
    }

    /// Decodes into all of them: `decode` is given for each component its plane of each picture, and what its coefficients
    /// are multiplied with is by `steps`, each component's steps of quantisation. Nothing where it gives nothing, and where
    /// a part does not begin with a group of blocks.
    pub fn filled<'s>(
        &self, steps: impl Iterator<Item = &'s [u16; 64]> + Clone,
        decode: impl FnOnce(Vec<Vec<View<'_>>>) -> Option<()>,
    ) -> Option<Vec<(DctScale, Planes)>> {
        let size = |scale| {
            let Rect { width, height, .. } = self.shown(scale);
            Size::new(width, height)
        };
        let mut all: Vec<Vec<u8>> =
            self.scales.iter().map(|&scale| vec![0; Planes::bytes(size(scale), self.subsampling)]).collect();
        let mut views: Vec<Vec<View<'_>>> = steps.clone().map(|_| Vec::with_capacity(all.len())).collect();
        for (&scale, data) in self.scales.iter().zip(&mut all) {
            let mut rest = &mut data[..];
            let shown = planes_shown(self.shown(scale), self.subsampling);
            for ((steps, views), (origin, size)) in steps.clone().zip(&mut views).zip(shown) {
                let (plane, others) = rest.split_at_mut(size.pixels() as usize);
                rest = others;
                let factors = idct::factors_at(scale, steps);
                views.push(View { scale, factors, origin, plane, width: size.width as usize });
            }
        }
        let begin = views.iter().flatten().all(|view| idct::begins_with_group(view.scale, view.origin));
        begin.then(|| decode(views))??;
        let planes = |(&scale, data)| (scale, Planes::new(size(scale), self.subsampling, data).edges_repeated());
        Some(self.scales.iter().zip(all).map(planes).collect())
    }
}

/// The plane of one component in one picture.
pub struct View<'a> {
    scale: DctScale,
    /// What coefficients are multiplied with.
    factors: [f32; 64],
    /// Where the plane begins in the component's samples.
    origin: (usize, usize),
    plane: &'a mut [u8],
    width: usize,
}

impl View<'_> {
    /// Whether anything is seen of so many columns and rows of blocks, which begin with that one.
    #[inline(always)]
    pub fn shows(&self, (column, row): (usize, usize), (across, down): (usize, usize)) -> bool {
        let n = self.scale.eighths() as usize;
        let (left, top, height) = (column * n, row * n, self.plane.len() / self.width);
        let (x0, y0) = self.origin;
        (left + across * n > x0 && left < x0 + self.width) && (top + down * n > y0 && top < y0 + height)
    }

    /// Puts the samples of a group of blocks, which begins with that one and of which `held` by `held` coefficients are
    /// held, as far as the plane reaches.
    #[inline(always)]
    pub fn put(&mut self, group: &[i16], held: usize, block: (usize, usize)) {
        match self.scale.eighths() {
            1 => self.put_as::<1>(group, held, block),
            2 => self.put_as::<2>(group, held, block),
            3 => self.put_as::<3>(group, held, block),
            4 => self.put_as::<4>(group, held, block),
            6 => self.put_as::<6>(group, held, block),
            _ => self.put_as::<8>(group, held, block),
        }
    }

    #[inline(always)]
    fn put_as<const N: usize>(&mut self, group: &[i16], held: usize, (column, row): (usize, usize)) {
        let fewer;
        let group = if held == N {
            group
        } else {
            fewer = idct::fewer::<N>(group, held);
            &fewer[..]
        };
        idct::put_within::<N>(group, &self.factors, (column * N, row * N), self.origin, self.plane, self.width);
    }
}
