//! Progressive files (ITU T.81 Annex G) with Huffman coding.
//!
//! A progressive file sends its coefficients in scans, coarse ones first, each of which goes through the whole image. Two things
//! make decoding expensive: all coefficients are held until the last scan, and the later scans add single bits to nonzero
//! coefficients, one by one. Here no more coefficients of a block are held than the scale needs, and a word of 64 bits that says
//! which of all are nonzero: a refinement scan needs no more of the others, and finds the places of bits by counting. Scans that
//! neither contribute to the image nor are needed to decode one that does are skipped.
//!
//! As in [`sequential`](crate::sequential), anything unusual and any damage yields `None`.

mod coefficients;
mod file;
mod scan;
mod schedule;
#[cfg(test)]
mod tests;

use crate::entropy::EntropyReader;
use crate::request::{DecodeRequest, PlaneView};
use coefficients::CoefficientBuffer;
use file::File;
use schedule::{Contributes, ScanSet, Schedule, contributes};
use tintype_pixels::{DctScale, Planes};

/// Decodes a progressive file at the requested scales, in the order of the request. Of those after the first some may be missing:
/// a scan that one scale skips may come before one that it needs. `None` for files that are damaged or not supported.
pub fn planes(original: &[u8], request: &DecodeRequest<'_>) -> Option<Vec<(DctScale, Planes)>> {
    planes_of_scans(original, request, contributes)
}

/// [`planes`] of the scans that `contributes` selects.
fn planes_of_scans(
    original: &[u8], request: &DecodeRequest<'_>, contributes: Contributes,
) -> Option<Vec<(DctScale, Planes)>> {
    let file = File::read(original)?;
    if file.frame.size != request.size || !file.frame.has_subsampling(request.subsampling) {
        return None;
    }
    let sets: Vec<ScanSet> = request.scales.iter().map(|&scale| ScanSet::new(&file, scale, contributes)).collect();
    let mut compatible: Vec<&ScanSet> = Vec::new();
    for set in &sets {
        compatible.push(set);
        if Schedule::new(&file, &compatible).is_none() {
            compatible.pop();
        }
    }
    let scales: Vec<DctScale> = compatible.iter().map(|set| set.scale).collect();
    let (request, schedule) = (DecodeRequest { scales: &scales, ..*request }, Schedule::new(&file, &compatible)?);
    match request.largest()?.eighths() {
        1 => file.decode::<1>(original, &request, &schedule),
        2 => file.decode::<2>(original, &request, &schedule),
        3 => file.decode::<3>(original, &request, &schedule),
        4 => file.decode::<4>(original, &request, &schedule),
        6 => file.decode::<6>(original, &request, &schedule),
        8 => file.decode::<8>(original, &request, &schedule),
        _ => None,
    }
}

impl File<'_> {
    /// Decodes with `N` × `N` coefficients of each block, where `N`/8 is the largest scale of the request.
    fn decode<const N: usize>(
        &self, original: &[u8], request: &DecodeRequest<'_>, schedule: &Schedule,
    ) -> Option<Vec<(DctScale, Planes)>> {
        let quant_tables = self.components.iter().map(|component| &component.quant_table);
        request.decode_into(quant_tables, |views| self.decode_scans::<N>(original, views, schedule))
    }

    fn decode_scans<const N: usize>(
        &self, original: &[u8], mut views: Vec<Vec<PlaneView<'_>>>, schedule: &Schedule,
    ) -> Option<()> {
        let mcus = self.frame.mcus()?;
        let mut buffers: Vec<CoefficientBuffer<N>> =
            self.components.iter().map(|component| CoefficientBuffer::new(component, mcus)).collect();
        // transforms the components that are complete before a scan
        let mut write = |buffers: &[CoefficientBuffer<N>], scan: usize| {
            for (component, (buffer, views)) in buffers.iter().zip(&mut views).enumerate() {
                let due = views.iter_mut().zip(&schedule.before).filter(|(_, before)| before[component] == scan);
                due.for_each(|(view, _)| buffer.write(view));
            }
        };
        for (number, scan) in self.scans.iter().enumerate().filter(|(number, _)| schedule.is_read[*number]) {
            write(&buffers, number);
            let mut entropy = EntropyReader::new(original, scan.data_start);
            scan.decode(&mut entropy, &mut buffers, &self.components, mcus)?;
            (entropy.finish_segment()? == original[scan.data_end + 1]).then_some(())?;
        }
        write(&buffers, self.scans.len());
        Some(())
    }
}
