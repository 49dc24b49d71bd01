//! Requests for a decoded image at one scale or at several, and the planes that are decoded into.
//!
//! A photograph at several widths is decoded at several scales, and decoding the Huffman codes is most of the work of each. All scales are made in one pass: the smaller ones use, of the coefficients that the largest needs, those that they would
//! have used by themselves, so that each is to the bit what it is alone.

use crate::idct;
use crate::zigzag::LANES;
use tintype_pixels::{ChromaSubsampling, DctScale, Planes, Rect, Size};

/// A request to decode a file.
pub struct DecodeRequest<'a> {
    /// The scales to decode at, of [`SCALES`](crate::SCALES), the most important one first.
    pub scales: &'a [DctScale],
    /// The region to decode, in pixels of the scaled image, for requests of one scale; `None` for all of it. Its left edge must be
    /// a multiple of 32 n and its top edge one of 4 n, where n/8 is the scale.
    pub region: Option<Rect>,
    /// The size of the original. Files of another size are refused.
    pub size: Size,
    /// The expected chroma subsampling; `None` for luma alone. Files of another one are refused.
    pub subsampling: Option<ChromaSubsampling>,
}

impl DecodeRequest<'_> {
    /// The largest scale; `None` for a request of none.
    pub fn largest(&self) -> Option<DctScale> {
        self.scales.iter().copied().max()
    }

    fn region(&self, scale: DctScale) -> Rect {
        let Size { width, height } = self.size.scaled(scale);
        self.region.unwrap_or(Rect { x: 0, y: 0, width, height })
    }

    /// Decodes into the planes of all scales. `decode` is passed, for each component, its plane at each scale; `quant_tables` are
    /// the components' quantisation tables. `None` where `decode` returns it, and where a region does not begin with a group of
    /// blocks.
    pub(crate) fn decode_into<'q>(
        &self, quant_tables: impl Iterator<Item = &'q [u16; 64]> + Clone,
        decode: impl FnOnce(Vec<Vec<PlaneView<'_>>>) -> Option<()>,
    ) -> Option<Vec<(DctScale, Planes)>> {
        let size = |scale| {
            let Rect { width, height, .. } = self.region(scale);
            Size::new(width, height)
        };
        let mut samples: Vec<Vec<u8>> =
            self.scales.iter().map(|&scale| vec![0; Planes::bytes(size(scale), self.subsampling)]).collect();
        let mut views: Vec<Vec<PlaneView<'_>>> =
            quant_tables.clone().map(|_| Vec::with_capacity(samples.len())).collect();
        for (&scale, samples) in self.scales.iter().zip(&mut samples) {
            let mut rest = &mut samples[..];
            let layout = plane_layout(self.region(scale), self.subsampling);
            for ((quant_table, views), (origin, size)) in quant_tables.clone().zip(&mut views).zip(layout) {
                let (plane, others) = rest.split_at_mut(size.pixels() as usize);
                rest = others;
                let factors = idct::factors_at(scale, quant_table);
                views.push(PlaneView { scale, factors, origin, plane, width: size.width as usize });
            }
        }
        let are_aligned = views.iter().flatten().all(|view| is_group_aligned(view.scale, view.origin));
        are_aligned.then(|| decode(views))??;
        let planes = |(&scale, samples)| (scale, Planes::new(size(scale), self.subsampling, samples).edges_repeated());
        Some(self.scales.iter().zip(samples).map(planes).collect())
    }
}

/// For Y, Cb and Cr: the origin of the region among the samples of the component, and the size that its plane is stored in.
fn plane_layout(region: Rect, subsampling: Option<ChromaSubsampling>) -> [((usize, usize), Size); 3] {
    let (luma, chroma) = Planes::stored(Size::new(region.width, region.height), subsampling);
    let (across, down) = subsampling.map_or((1, 1), |ChromaSubsampling { across, down }| (across, down));
    let origin = |across: u32, down: u32| ((region.x / across) as usize, (region.y / down) as usize);
    [(origin(1, 1), luma), (origin(across, down), chroma), (origin(across, down), chroma)]
}

/// Whether a region of a component's samples with that origin begins with a group of blocks, so that no group lies across its edge.
fn is_group_aligned(scale: DctScale, (left, top): (usize, usize)) -> bool {
    let n = scale.eighths() as usize;
    left.is_multiple_of(LANES * n) && top.is_multiple_of(n)
}

/// The plane of one component at one scale.
pub(crate) struct PlaneView<'a> {
    scale: DctScale,
    /// Factors of the coefficients: quantisation table and constants of the IDCT.
    factors: [f32; 64],
    /// The column and row of the component's samples that the plane begins with.
    origin: (usize, usize),
    plane: &'a mut [u8],
    /// Samples of a row.
    width: usize,
}

impl PlaneView<'_> {
    /// Whether the plane contains a sample of the `columns` × `rows` blocks that begin with the block `column`, `row`.
    #[inline(always)]
    pub(crate) fn intersects(&self, (column, row): (usize, usize), (columns, rows): (usize, usize)) -> bool {
        let n = self.scale.eighths() as usize;
        let (left, top, height) = (column * n, row * n, self.plane.len() / self.width);
        let (x0, y0) = self.origin;
        (left + columns * n > x0 && left < x0 + self.width) && (top + rows * n > y0 && top < y0 + height)
    }

    /// Transforms a group of blocks, `n` × `n` coefficients each, that begins with the block `column`, `row`, and writes those
    /// of its samples that lie in the plane.
    #[inline(always)]
    pub(crate) fn write_group(&mut self, group: &[i16], n: usize, block: (usize, usize)) {
        match self.scale.eighths() {
            1 => self.write_group_as::<1>(group, n, block),
            2 => self.write_group_as::<2>(group, n, block),
            3 => self.write_group_as::<3>(group, n, block),
            4 => self.write_group_as::<4>(group, n, block),
            6 => self.write_group_as::<6>(group, n, block),
            _ => self.write_group_as::<8>(group, n, block),
        }
    }

    #[inline(always)]
    fn write_group_as<const N: usize>(&mut self, group: &[i16], n: usize, (column, row): (usize, usize)) {
        let truncated;
        let group = if n == N {
            group
        } else {
            truncated = idct::truncate::<N>(group, n);
            &truncated[..]
        };
        idct::write_within::<N>(group, &self.factors, (column * N, row * N), self.origin, self.plane, self.width);
    }
}
