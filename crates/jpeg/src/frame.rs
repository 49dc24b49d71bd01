//! The frame header (ITU T.81 §B.2.2) of files that are decoded, and what their subsampling must be.

use tintype_pixels::{ChromaSubsampling, Size};

use crate::header::as_records;

/// The most blocks of an MCU (§B.2.3).
const MAX_MCU_BLOCKS: usize = 10;

/// A frame header: 8 bits a sample, one component or three.
pub(crate) struct FrameHeader {
    pub(crate) size: Size,
    pub(crate) components: Vec<FrameComponent>,
}

/// A component as the frame header describes it.
pub(crate) struct FrameComponent {
    /// Component identifier.
    pub(crate) id: u8,
    /// Horizontal and vertical sampling factor: the blocks of an interleaved MCU across and down. 1 where the component is the
    /// only one, since an MCU is one block then (§A.2.2).
    pub(crate) h: usize,
    pub(crate) v: usize,
    /// Destination of its quantisation table.
    pub(crate) tq: usize,
}

impl FrameHeader {
    /// Reads the body of a SOFn segment. `None` where an MCU would have more blocks than the standard allows, or none.
    pub(crate) fn read(body: &[u8]) -> Option<FrameHeader> {
        let &[8, y1, y0, x1, x0, nf, ref components @ ..] = body else { return None };
        let components = as_records::<3>(components)?;
        if !matches!(nf, 1 | 3) || components.len() != usize::from(nf) {
            return None;
        }
        let size = Size::new(u16::from_be_bytes([x1, x0]).into(), u16::from_be_bytes([y1, y0]).into());
        let components: Vec<FrameComponent> = components
            .iter()
            .map(|&[id, hv, tq]| {
                let (h, v) = if nf == 1 { (1, 1) } else { (usize::from(hv >> 4), usize::from(hv & 15)) };
                FrameComponent { id, h, v, tq: tq.into() }
            })
            .collect();
        let blocks: usize = components.iter().map(|component| component.h * component.v).sum();
        (components.len()..=MAX_MCU_BLOCKS).contains(&blocks).then_some(FrameHeader { size, components })
    }

    /// Whether chroma is subsampled like that, and luma not at all.
    pub(crate) fn has_subsampling(&self, subsampling: Option<ChromaSubsampling>) -> bool {
        let [luma, chroma @ ..] = &self.components[..] else { return false };
        match subsampling {
            None => chroma.is_empty(),
            Some(ChromaSubsampling { across, down }) => {
                chroma.iter().all(|chroma| (luma.h, luma.v) == (chroma.h * across as usize, chroma.v * down as usize))
            }
        }
    }

    /// Columns and rows of MCUs of an interleaved scan, where luma has the largest sampling factors.
    pub(crate) fn mcus(&self) -> Option<(usize, usize)> {
        let luma = self.components.first()?;
        let columns = (self.size.width as usize).div_ceil(8 * luma.h);
        let rows = (self.size.height as usize).div_ceil(8 * luma.v);
        Some((columns, rows))
    }
}
