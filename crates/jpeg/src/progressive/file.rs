//! The frame and the scans of a progressive file.

use crate::frame::FrameHeader;
use crate::header::as_records;
use crate::marker::{DHT, DNL, DQT, DRI, EOI, RST0, RST7, SOF0, SOF2, SOF15, SOI, SOS};
use crate::structure::MAX_SCANS;
use crate::tables::{HuffmanSpec, Tables};

/// A progressive file, all of whose coefficients are sent to the last bit.
pub(super) struct File<'a> {
    pub(super) frame: FrameHeader,
    pub(super) components: Vec<Component>,
    pub(super) scans: Vec<Scan<'a>>,
}

/// A component of the frame.
pub(super) struct Component {
    /// Component identifier.
    id: u8,
    /// Sampling factors: its blocks of an interleaved MCU across and down.
    pub(super) h: usize,
    pub(super) v: usize,
    /// In zigzag order.
    pub(super) quant_table: [u16; 64],
    /// Columns and rows of blocks of a scan that is not interleaved (§A.2.2): those that contain samples of the image.
    pub(super) columns: usize,
    pub(super) rows: usize,
}

pub(super) struct Scan<'a> {
    /// The index of each component, and its Huffman table; `None` for refinements of DC coefficients, which have no codes.
    pub(super) components: Vec<(usize, Option<HuffmanSpec<'a>>)>,
    /// Start and end of spectral selection: the first and the last coefficient in zigzag order.
    pub(super) ss: usize,
    pub(super) se: usize,
    /// Whether the scan refines, by one bit, coefficients that an earlier scan has sent (Ah is not 0).
    pub(super) refine: bool,
    /// Successive approximation bit position: the lowest bit that is known after the scan.
    pub(super) al: u8,
    /// MCUs of a restart interval; 0 for no restarts.
    pub(super) restart_interval: usize,
    /// Offsets in the file of the entropy-coded data and of the marker behind it.
    pub(super) data_start: usize,
    pub(super) data_end: usize,
}

/// By coefficient, the Al of the last scan that has sent it.
type Progress = [Option<u8>; 64];

/// The state while the segments of a file are read.
#[derive(Default)]
struct Segments<'a> {
    tables: Tables<'a>,
    frame: Option<FrameHeader>,
    components: Vec<Component>,
    progress: Vec<Progress>,
    scans: Vec<Scan<'a>>,
    restart_interval: usize,
}

impl<'a> File<'a> {
    /// Reads all segments. `None` for files that are damaged, not supported or incomplete.
    pub(super) fn read(original: &'a [u8]) -> Option<File<'a>> {
        let mut segments = Segments::default();
        let mut rest = original.strip_prefix(&[0xFF, SOI])?;
        loop {
            let &[0xFF, marker, ref after @ ..] = rest else { return None };
            if marker == EOI {
                break;
            }
            let length: usize = u16::from_be_bytes(*after.first_chunk()?).into();
            let (segment, behind) = after.split_at_checked(length)?;
            let start = original.len() - behind.len();
            rest = &original[segments.read(original, marker, segment.get(2..)?, start)?..];
        }
        // decoders differ in how they conceal coefficients that were never sent
        let is_complete = segments.progress.iter().flatten().all(|&al| al == Some(0));
        let frame = segments.frame.filter(|_| is_complete)?;
        Some(File { frame, components: segments.components, scans: segments.scans })
    }
}

impl<'a> Segments<'a> {
    /// Reads the body of a segment that ends at the offset `end`, and returns the offset of the next marker.
    fn read(&mut self, original: &'a [u8], marker: u8, body: &'a [u8], end: usize) -> Option<usize> {
        match marker {
            // a component uses the table that is there when its first scan begins
            DQT if self.scans.is_empty() => self.tables.read_dqt(body)?,
            DHT => self.tables.read_dht(body)?,
            DRI => self.restart_interval = u16::from_be_bytes(*body.first_chunk()?).into(),
            SOF2 if self.frame.is_none() => {
                let frame = FrameHeader::read(body)?;
                self.components = Component::of_frame(&frame)?;
                self.progress = vec![[None; 64]; self.components.len()];
                self.frame = Some(frame);
            }
            SOS => {
                let frame = self.frame.as_ref()?;
                if self.scans.is_empty() {
                    for (component, header) in self.components.iter_mut().zip(&frame.components) {
                        component.quant_table = (*self.tables.quant.get(header.tq)?)?;
                    }
                }
                let data_end = end + data_length(&original[end..])?;
                let scan = Scan::read(body, &self.components, &self.tables, &mut self.progress)?;
                let restart_interval = self.restart_interval;
                self.scans.push(Scan { restart_interval, data_start: end, data_end, ..scan });
                return (self.scans.len() <= MAX_SCANS).then_some(data_end);
            }
            DNL | DQT | 0x00..SOF0 | SOF0..=SOF15 | RST0..=RST7 => return None,
            _ => {}
        }
        Some(end)
    }
}

impl Component {
    /// The components of a frame whose first one, luma, has the largest sampling factors. Their quantisation tables are not yet
    /// known.
    fn of_frame(frame: &FrameHeader) -> Option<Vec<Component>> {
        let luma = frame.components.first().filter(|luma| luma.h > 0 && luma.v > 0)?;
        let component = |component: &crate::frame::FrameComponent| {
            let columns = (frame.size.width as usize * component.h).div_ceil(8 * luma.h);
            let rows = (frame.size.height as usize * component.v).div_ceil(8 * luma.v);
            Component { id: component.id, h: component.h, v: component.v, quant_table: [0; 64], columns, rows }
        };
        Some(frame.components.iter().map(component).collect())
    }
}

impl<'a> Scan<'a> {
    /// Reads a scan header (§B.2.3) and checks that it continues the progression of each coefficient (§G.1.1.1).
    fn read(body: &[u8], components: &[Component], tables: &Tables<'a>, progress: &mut [Progress]) -> Option<Scan<'a>> {
        let (specs, &[ss, se, ah_al]) = body.split_last_chunk()?;
        let (&ns, specs) = specs.split_first()?;
        let specs = as_records::<2>(specs)?;
        let (ss, se, ah, al) = (usize::from(ss), usize::from(se), ah_al >> 4, ah_al & 15);
        let is_ac = ss > 0 && ss <= se && se < 64 && ns == 1;
        let is_dc = ss == 0 && se == 0 && (1..=3).contains(&ns);
        let refine = ah > 0;
        if specs.len() != usize::from(ns) || !(is_ac || is_dc) || al > 13 || refine && ah != al + 1 {
            return None;
        }
        let mut of_scan = Vec::with_capacity(specs.len());
        // components come in the order of the frame
        let mut from = 0;
        for &[cs, td_ta] in specs {
            let component = from + components[from..].iter().position(|component| component.id == cs)?;
            from = component + 1;
            for known in &mut progress[component][ss..=se] {
                if *known != refine.then_some(ah) {
                    return None;
                }
                *known = Some(al);
            }
            let table = match (ss, refine) {
                (0, true) => None,
                (0, false) => Some(tables.dc.get(usize::from(td_ta >> 4))?.spec?),
                _ => Some(tables.ac.get(usize::from(td_ta & 15))?.spec?),
            };
            of_scan.push((component, table));
        }
        Some(Scan { components: of_scan, ss, se, refine, al, restart_interval: 0, data_start: 0, data_end: 0 })
    }
}

/// The length of a scan's data: up to the next marker that is neither a stuffed zero nor a restart.
fn data_length(data: &[u8]) -> Option<usize> {
    memchr::memchr_iter(0xFF, data).find(|&at| !matches!(data.get(at + 1), Some(0x00 | RST0..=RST7 | 0xFF) | None))
}
