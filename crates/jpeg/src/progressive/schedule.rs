//! Which scans are decoded for which scale, and when the planes of a scale are written.

use super::file::{File, Scan};
use crate::bit_reader::band;
use crate::zigzag::needed_coefficients;
use tintype_pixels::DctScale;

/// Whether a scan contributes to the image at a scale.
pub(super) type Contributes = fn(&Scan<'_>, DctScale) -> bool;

/// Whether a scan contributes visibly to the image at a scale. Measured by SSIMULACRA2 against all scans, on five photographs of 6
/// to 13 megapixels: 1/8 needs no more than the DC coefficients (100, as it uses nothing else); at 2/8 the lowest bit of the AC
/// coefficients can be skipped (above 96; the two lowest, 94 to 96); at 3/8 and 4/8 only that of chroma (luma's too, 93 to 95).
pub(super) fn contributes(scan: &Scan<'_>, scale: DctScale) -> bool {
    let is_last_bit = scan.refine && scan.al == 0;
    let is_of_luma = matches!(scan.components[..], [(0, _), ..]);
    match (scan.ss, scale.eighths()) {
        (0, _) => true,
        (_, 1) => false,
        (_, 2) => !is_last_bit,
        (_, 3 | 4) => is_of_luma || !is_last_bit,
        _ => true,
    }
}

/// The scans that one scale needs.
pub(super) struct ScanSet {
    pub(super) scale: DctScale,
    /// By scan.
    pub(super) is_needed: Vec<bool>,
}

impl ScanSet {
    /// The scans that contribute, and those without which a later one that contributes cannot be decoded.
    pub(super) fn new(file: &File<'_>, scale: DctScale, contributes: Contributes) -> ScanSet {
        let needed = needed_coefficients(scale);
        // by component, the coefficients of which a later scan must know whether they are zero
        let mut history = vec![0_u64; file.components.len()];
        let mut is_needed: Vec<bool> = file
            .scans
            .iter()
            .rev()
            .map(|scan| {
                let [(component, _), ..] = scan.components[..] else { return false };
                let band = band(scan.ss, scan.se);
                let is_needed = contributes(scan, scale) && band & (needed | history[component]) != 0;
                if is_needed && scan.refine {
                    history[component] |= band;
                }
                is_needed
            })
            .collect();
        is_needed.reverse();
        ScanSet { scale, is_needed }
    }
}

/// How several scales are decoded in one pass.
pub(super) struct Schedule {
    /// By scan, whether any scale needs it.
    pub(super) is_read: Vec<bool>,
    /// By scale and component, the scan before which its plane is written; the number of scans for after the last.
    pub(super) before: Vec<Vec<usize>>,
}

impl Schedule {
    /// Planes are written before the first scan that would change them and that their scale skips. `None` where a scale needs
    /// another scan after that.
    pub(super) fn new(file: &File<'_>, sets: &[&ScanSet]) -> Option<Schedule> {
        let is_read: Vec<bool> = (0..file.scans.len()).map(|at| sets.iter().any(|set| set.is_needed[at])).collect();
        let before = |set: &ScanSet, component: usize| {
            let needed = needed_coefficients(set.scale);
            let changes = |scan: &Scan<'_>| {
                band(scan.ss, scan.se) & needed != 0 && scan.components.iter().any(|&(of, _)| of == component)
            };
            let changing = || file.scans.iter().enumerate().filter(|(at, scan)| is_read[*at] && changes(scan));
            let before = changing().find(|(at, _)| !set.is_needed[*at]).map_or(file.scans.len(), |(at, _)| at);
            changing().all(|(at, _)| at < before || !set.is_needed[at]).then_some(before)
        };
        let all = |set: &&ScanSet| (0..file.components.len()).map(|component| before(set, component)).collect();
        let before: Option<Vec<Vec<usize>>> = sets.iter().map(all).collect();
        before.map(|before| Schedule { is_read, before })
    }
}
