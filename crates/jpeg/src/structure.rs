//! The scans of a file, found leniently: marker by marker, as libjpeg goes through it.
//!
//! For files that a decoder reports as damaged: locates the data of each scan and the tables that it uses, which
//! [`verify`](crate::verify) needs, and the marker that makes libjpeg give up.

use std::rc::Rc;

use crate::header::as_records;
use crate::huffman_codes::HuffmanCodes;
use crate::lenient_tables::Tables;
use crate::marker::{APP0, APP15, COM, DAC, DHT, DNL, DQT, DRI, EOI, RST0, RST7, SOF0, SOF2, SOS, TEM};
use tintype_pixels::Size;

/// The most scans of a file that is looked at or decoded, against files that cost minutes.
pub(crate) const MAX_SCANS: usize = 100;

/// A file with Huffman coding, sequential or progressive, up to its end or the first segment that libjpeg refuses.
pub struct FileStructure {
    pub(crate) size: Size,
    pub(crate) is_progressive: bool,
    pub(crate) components: Vec<Component>,
    /// At least one.
    pub(crate) scans: Vec<Scan>,
    pub(crate) end: FileEnd,
}

/// A component of the frame.
pub(crate) struct Component {
    /// Component identifier.
    id: u8,
    /// Sampling factors, 1 to 4: its blocks of an interleaved MCU across and down.
    pub(crate) h: usize,
    pub(crate) v: usize,
    /// Destination of its quantisation table.
    tq: u8,
    /// Columns and rows of blocks of a scan that is not interleaved (§A.2.2).
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    /// By coefficient, the Al of the last scan that has sent it.
    progress: [Option<u8>; 64],
}

pub(crate) struct Scan {
    pub(crate) components: Vec<ScanComponent>,
    /// Start and end of spectral selection; 0 and 63 in sequential files, whatever the header says.
    pub(crate) ss: usize,
    pub(crate) se: usize,
    /// Whether the scan refines, by one bit, coefficients that an earlier scan has sent.
    pub(crate) refine: bool,
    /// MCUs of a restart interval; 0 for no restarts.
    pub(crate) restart_interval: usize,
    /// Offsets in the file of the entropy-coded data and of the marker behind it.
    pub(crate) data_start: usize,
    pub(crate) data_end: usize,
    /// Whether it continues what earlier scans have sent.
    pub(crate) is_in_order: bool,
}

/// A component of a scan and the codes that it uses.
pub(crate) struct ScanComponent {
    /// Its index in the frame.
    pub(crate) component: usize,
    pub(crate) dc: Option<Rc<HuffmanCodes>>,
    pub(crate) ac: Option<Rc<HuffmanCodes>>,
}

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileEnd {
    /// With EOI.
    Eoi,
    /// Without a marker.
    Truncated,
    /// With a marker that libjpeg gives up at, which is at this offset.
    Refused(usize),
}

impl FileStructure {
    /// Reads all segments of a file. `None` where it has no scan that can be decoded, or is coded otherwise.
    pub fn read(bytes: &[u8]) -> Option<FileStructure> {
        let mut reader = Reader { frame: None, tables: Tables::standard()?, scans: Vec::new(), restart_interval: 0 };
        let mut at = 2;
        let end = loop {
            let Some(start) = next_marker(bytes, at) else { break FileEnd::Truncated };
            let (marker, after) = (bytes[start + 1], start + 2);
            match marker {
                EOI => break FileEnd::Eoi,
                // a restart marker without a restart interval ends the data of a scan, and is skipped then
                TEM | RST0..=RST7 => at = after,
                _ => match reader.read_segment(bytes, marker, after) {
                    Some(next) => at = next,
                    None => break FileEnd::Refused(start),
                },
            }
        };
        let (frame, scans) = (reader.frame?, reader.scans);
        let Frame { size, is_progressive, components } = frame;
        (!scans.is_empty()).then_some(FileStructure { size, is_progressive, components, scans, end })
    }

    /// Whether the scans send all bits of all coefficients.
    pub(crate) fn is_complete(&self) -> bool {
        self.components.iter().flat_map(|component| &component.progress).all(|&al| al == Some(0))
    }
}

/// The state while the segments of a file are read.
struct Reader {
    frame: Option<Frame>,
    tables: Tables,
    scans: Vec<Scan>,
    restart_interval: usize,
}

struct Frame {
    size: Size,
    is_progressive: bool,
    components: Vec<Component>,
}

impl Reader {
    /// Reads the segment whose marker ends at the offset `after`, and returns the offset to go on at; `None` where libjpeg gives up.
    fn read_segment(&mut self, bytes: &[u8], marker: u8, after: usize) -> Option<usize> {
        let length = usize::from(u16::from_be_bytes(*bytes.get(after..)?.first_chunk()?));
        // libjpeg takes a length that does not count itself for that of an empty segment
        let end = after + length.max(2);
        let body = bytes.get(after + 2..end)?;
        match marker {
            APP0..=APP15 | COM | DNL | DAC => {}
            DHT => self.tables.read_dht(body)?,
            DQT => self.tables.read_dqt(body)?,
            DRI => self.restart_interval = usize::from(u16::from_be_bytes(body.try_into().ok()?)),
            SOF0..=SOF2 if self.frame.is_none() => self.frame = Some(Frame::read(body, marker == SOF2)?),
            SOS => {
                let is_only = self.scans.len() == 1 && self.is_whole(&self.scans[0]);
                if is_only || self.scans.len() == MAX_SCANS {
                    return None;
                }
                let scan = self.read_sos(body)?;
                let data_start = end;
                let data_end = data_start + data_length(&bytes[data_start..], scan.restart_interval > 0);
                self.scans.push(Scan { data_start, data_end, ..scan });
                return Some(data_end);
            }
            _ => return None,
        }
        Some(end)
    }

    /// Whether a scan is all there is of a sequential file; libjpeg expects no other then.
    fn is_whole(&self, scan: &Scan) -> bool {
        self.frame
            .as_ref()
            .is_some_and(|frame| !frame.is_progressive && frame.components.len() == scan.components.len())
    }

    /// Reads a scan header (§B.2.3).
    fn read_sos(&mut self, body: &[u8]) -> Option<Scan> {
        let Frame { is_progressive, components, .. } = self.frame.as_mut()?;
        let (specs, &[ss, se, ah_al]) = body.split_last_chunk()?;
        let (&ns, specs) = specs.split_first()?;
        let specs = as_records::<2>(specs)?;
        if specs.len() != usize::from(ns) || !(1..=4).contains(&ns) {
            return None;
        }
        // libjpeg decodes all coefficients of a sequential scan, whatever its header says
        let (ss, se, ah_al) = if *is_progressive { (ss, se, ah_al) } else { (0, 63, 0) };
        let (ss, se, ah, al) = (usize::from(ss), usize::from(se), ah_al >> 4, ah_al & 15);
        let is_ac = ss > 0 && ss <= se && se < 64 && ns == 1;
        if *is_progressive && (!(is_ac || ss == 0 && se == 0) || ah > 0 && al + 1 != ah || al > 13) {
            return None;
        }
        let mut of_scan: Vec<ScanComponent> = Vec::with_capacity(specs.len());
        let mut is_in_order = true;
        for &[cs, td_ta] in specs {
            let is_new = |at: &usize| of_scan.iter().all(|other| other.component != *at);
            let component = (0..components.len()).find(|at| components[*at].id == cs && is_new(at))?;
            if !self.tables.has_quant_table[usize::from(components[component].tq) & 3] {
                return None;
            }
            let progress = &mut components[component].progress;
            is_in_order &= ss == 0 || progress[0].is_some();
            for known in &mut progress[ss..=se] {
                is_in_order &= !*is_progressive || known.unwrap_or(0) == ah;
                *known = Some(al);
            }
            let (mut dc, mut ac) = (None, None);
            if ss == 0 && ah == 0 {
                dc = Some(self.tables.codes(0, td_ta >> 4).filter(|codes| codes.are_dc())?);
            }
            if se > 0 {
                ac = Some(self.tables.codes(1, td_ta & 15)?);
            }
            of_scan.push(ScanComponent { component, dc, ac });
        }
        let (refine, restart_interval) = (ah > 0, self.restart_interval);
        Some(Scan { components: of_scan, ss, se, refine, restart_interval, data_start: 0, data_end: 0, is_in_order })
    }
}

impl Frame {
    /// Reads a frame header (§B.2.2).
    fn read(body: &[u8], is_progressive: bool) -> Option<Frame> {
        let &[8, y1, y0, x1, x0, nf, ref components @ ..] = body else { return None };
        let components = as_records::<3>(components)?;
        if components.len() != usize::from(nf) || !(1..=4).contains(&nf) {
            return None;
        }
        let size = Size::new(u16::from_be_bytes([x1, x0]).into(), u16::from_be_bytes([y1, y0]).into());
        let factors = |hv: u8| (usize::from(hv >> 4), usize::from(hv & 15));
        let are_valid = components.iter().all(|&[_, hv, tq]| {
            let (h, v) = factors(hv);
            (1..=4).contains(&h) && (1..=4).contains(&v) && tq < 4
        });
        if !are_valid || size.pixels() == 0 {
            return None;
        }
        let all = || components.iter().map(|&[_, hv, _]| factors(hv));
        let (h_max, v_max) = (all().map(|(h, _)| h).max()?, all().map(|(_, v)| v).max()?);
        let component = |&[id, hv, tq]: &[u8; 3]| {
            let (h, v) = factors(hv);
            let columns = (size.width as usize * h).div_ceil(8 * h_max);
            let rows = (size.height as usize * v).div_ceil(8 * v_max);
            Component { id, h, v, tq, columns, rows, progress: [None; 64] }
        };
        Some(Frame { size, is_progressive, components: components.iter().map(component).collect() })
    }
}

/// The offset of the next marker from `at` on. Other bytes before it, and stuffed zeros, are skipped.
fn next_marker(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let found = memchr::memchr_iter(0xFF, rest).find(|&at| !matches!(rest.get(at + 1), Some(0x00 | 0xFF) | None))?;
    Some(at + found)
}

/// The length of a scan's data: up to the marker that ends it. Where there are restarts, their markers do not end it, nor do markers
/// that do not exist, which libjpeg skips when it looks for the next restart.
fn data_length(data: &[u8], has_restarts: bool) -> usize {
    let ends = |code: u8| match code {
        0x00 | 0xFF => false,
        RST0..=RST7 | 0x01..SOF0 => !has_restarts,
        _ => true,
    };
    memchr::memchr_iter(0xFF, data).find(|&at| data.get(at + 1).is_some_and(|&code| ends(code))).unwrap_or(data.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scan_data_ends_at_the_marker_that_libjpeg_stops_at() {
        for (data, plain, with_restarts) in [
            (&[1, 2, 3][..], 3, 3),
            (&[1, 0xFF, 0, 2, 0xFF, EOI], 4, 4),
            (&[1, 0xFF, 0xFF, EOI], 2, 2),
            (&[1, 0xFF, RST0, 2, 0xFF, EOI], 1, 4),
            (&[1, 0xFF, 0x3C, 2, 0xFF, SOS], 1, 4),
            (&[1, 0xFF], 2, 2),
        ] {
            assert_eq!((data_length(data, false), data_length(data, true)), (plain, with_restarts), "{data:?}");
        }
    }
}
