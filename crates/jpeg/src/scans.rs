//! The scans of a JPEG file, found leniently: marker by marker, as libjpeg goes through it.
//!
//! This serves files that a decoder complains about. It says where the data of each scan is and which tables it uses, which
//! [`super::verify`] needs, and where something stands that makes libjpeg give up.

use std::rc::Rc;

use crate::codes::Codes;
use crate::header::whole;
use tintype_pixels::Size;

/// The marker codes that matter here (T.81 table B.1).
const TEM: u8 = 0x01;
const SOF0: u8 = 0xC0;
const SOF2: u8 = 0xC2;
const DHT: u8 = 0xC4;
const DAC: u8 = 0xCC;
pub const RST0: u8 = 0xD0;
pub const RST7: u8 = 0xD7;
pub const END_OF_IMAGE: u8 = 0xD9;
const SOS: u8 = 0xDA;
const DQT: u8 = 0xDB;
const DNL: u8 = 0xDC;
const DRI: u8 = 0xDD;
const COM: u8 = 0xFE;

/// The most scans that are looked at, which is as many as are decoded.
const MAX_SCANS: usize = 100;

/// A file of Huffman codes, sequential or progressive, from its first scan on.
pub struct File {
    pub size: Size,
    pub progressive: bool,
    pub components: Vec<Component>,
    pub scans: Vec<Scan>,
    pub end: End,
}

/// A component of the frame.
pub struct Component {
    id: u8,
    /// Its blocks in a unit of a scan of several components.
    pub across: usize,
    pub down: usize,
    /// Its quantisation table.
    table: u8,
    /// Columns and rows of blocks in a scan of it alone (§A.2.2).
    pub columns: usize,
    pub rows: usize,
    /// Down to which bit each coefficient is known after all scans, if at all.
    known: [Option<u8>; 64],
}

/// One scan.
pub struct Scan {
    pub parts: Vec<Part>,
    /// Which coefficients, in zigzag order.
    pub first: usize,
    pub last: usize,
    /// Whether it adds one bit to what an earlier scan has sent.
    pub finer: bool,
    /// Units between two restarts; 0 where there are none.
    pub interval: usize,
    /// Where in the file its data begins, and the marker behind it.
    pub start: usize,
    pub end: usize,
    /// Whether it fits what earlier scans have sent.
    pub is_in_order: bool,
}

/// A component of a scan, and the codes that it uses.
pub struct Part {
    pub component: usize,
    pub means: Option<Rc<Codes>>,
    pub others: Option<Rc<Codes>>,
}

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With its end marker.
    Marked,
    /// Without one.
    Missing,
    /// With a marker that libjpeg gives up at, which is here.
    Refused(usize),
}

impl File {
    /// Goes through a file. `None` where no scan is found in it that can be decoded, or it is coded otherwise.
    pub fn read(bytes: &[u8]) -> Option<File> {
        let mut reader = Reader { frame: None, tables: Tables::standard()?, scans: Vec::new(), interval: 0 };
        let mut at = 2;
        let end = loop {
            let Some(start) = next_marker(bytes, at) else { break End::Missing };
            let (marker, after) = (bytes[start + 1], start + 2);
            match marker {
                END_OF_IMAGE => break End::Marked,
                // a restart without an interval ends the data of a scan, and is passed over then
                TEM | RST0..=RST7 => at = after,
                _ => match reader.segment(bytes, marker, after) {
                    Some(next) => at = next,
                    None => break End::Refused(start),
                },
            }
        };
        let (frame, scans) = (reader.frame?, reader.scans);
        let Frame { size, progressive, components } = frame;
        (!scans.is_empty()).then_some(File { size, progressive, components, scans, end })
    }

    /// Whether all bits of all coefficients were to come in the scans that there are.
    pub fn is_complete(&self) -> bool {
        self.components.iter().flat_map(|component| &component.known).all(|&bit| bit == Some(0))
    }
}

/// The state while a file is walked.
struct Reader {
    frame: Option<Frame>,
    tables: Tables,
    scans: Vec<Scan>,
    interval: usize,
}

struct Frame {
    size: Size,
    progressive: bool,
    components: Vec<Component>,
}

impl Reader {
    /// Takes in the segment whose marker ends at `after` and says where to go on; `None` where libjpeg would give up.
    fn segment(&mut self, bytes: &[u8], marker: u8, after: usize) -> Option<usize> {
        let length = usize::from(u16::from_be_bytes(*bytes.get(after..)?.first_chunk()?));
        // too short a length is taken as that of nothing
        let end = after + length.max(2);
        let body = bytes.get(after + 2..end)?;
        match marker {
            0xE0..=0xEF | COM | DNL | DAC => {}
            DHT => self.tables.add_codes(body)?,
            DQT => self.tables.add_steps(body)?,
            DRI => self.interval = usize::from(u16::from_be_bytes(body.try_into().ok()?)),
            SOF0..=SOF2 if self.frame.is_none() => self.frame = Some(Frame::read(body, marker == SOF2)?),
            SOS => {
                let is_only = self.scans.len() == 1 && self.is_whole(&self.scans[0]);
                if is_only || self.scans.len() == MAX_SCANS {
                    return None;
                }
                let scan = self.scan(body)?;
                let start = end;
                let end = start + scan_length(&bytes[start..], scan.interval > 0);
                self.scans.push(Scan { start, end, ..scan });
                return Some(end);
            }
            _ => return None,
        }
        Some(end)
    }

    /// Whether a scan is all there is of a sequential file; libjpeg expects no other then.
    fn is_whole(&self, scan: &Scan) -> bool {
        self.frame.as_ref().is_some_and(|frame| !frame.progressive && frame.components.len() == scan.parts.len())
    }

    /// Reads a scan's header (§B.2.3).
    fn scan(&mut self, body: &[u8]) -> Option<Scan> {
        let Frame { progressive, components, .. } = self.frame.as_mut()?;
        let (said, &[first, last, bits]) = body.split_last_chunk()?;
        let (&count, said) = said.split_first()?;
        let said = whole::<2>(said)?;
        if said.len() != usize::from(count) || !(1..=4).contains(&count) {
            return None;
        }
        // a sequential scan is of all coefficients, whatever it says
        let (first, last, bits) = if *progressive { (first, last, bits) } else { (0, 63, 0) };
        let (first, last, high, low) = (usize::from(first), usize::from(last), bits >> 4, bits & 15);
        let is_band = first > 0 && first <= last && last < 64 && count == 1;
        if *progressive && (!(is_band || first == 0 && last == 0) || high > 0 && low + 1 != high || low > 13) {
            return None;
        }
        let mut parts: Vec<Part> = Vec::with_capacity(said.len());
        let mut is_in_order = true;
        for &[id, used] in said {
            let is_new = |at: &usize| parts.iter().all(|part| part.component != *at);
            let component = (0..components.len()).find(|at| components[*at].id == id && is_new(at))?;
            if !self.tables.has_steps[usize::from(components[component].table) & 3] {
                return None;
            }
            let known = &mut components[component].known;
            is_in_order &= first == 0 || known[0].is_some();
            for bit in &mut known[first..=last] {
                is_in_order &= !*progressive || bit.unwrap_or(0) == high;
                *bit = Some(low);
            }
            let (mut means, mut others) = (None, None);
            if first == 0 && high == 0 {
                means = Some(self.tables.codes(0, used >> 4).filter(|codes| codes.has_no_symbol_beyond(15))?);
            }
            if last > 0 {
                others = Some(self.tables.codes(1, used & 15)?);
            }
            parts.push(Part { component, means, others });
        }
        let finer = high > 0;
        Some(Scan { parts, first, last, finer, interval: self.interval, start: 0, end: 0, is_in_order })
    }
}

impl Frame {
    /// Reads the header of the frame (§B.2.2).
    fn read(body: &[u8], progressive: bool) -> Option<Frame> {
        let &[8, h1, h0, w1, w0, count, ref described @ ..] = body else { return None };
        let described = whole::<3>(described)?;
        if described.len() != usize::from(count) || !(1..=4).contains(&count) {
            return None;
        }
        let size = Size::new(u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into());
        let factors = |factors: u8| (usize::from(factors >> 4), usize::from(factors & 15));
        let are_sound = described.iter().all(|&[_, sampling, table]| {
            let (across, down) = factors(sampling);
            (1..=4).contains(&across) && (1..=4).contains(&down) && table < 4
        });
        if !are_sound || size.pixels() == 0 {
            return None;
        }
        let all = || described.iter().map(|&[_, sampling, _]| factors(sampling));
        let (widest, tallest) = (all().map(|(across, _)| across).max()?, all().map(|(_, down)| down).max()?);
        let component = |&[id, sampling, table]: &[u8; 3]| {
            let (across, down) = factors(sampling);
            let columns = (size.width as usize * across).div_ceil(8 * widest);
            let rows = (size.height as usize * down).div_ceil(8 * tallest);
            Component { id, across, down, table, columns, rows, known: [None; 64] }
        };
        Some(Frame { size, progressive, components: described.iter().map(component).collect() })
    }
}

/// The tables that were defined so far.
struct Tables {
    /// For means, and for other coefficients.
    codes: [[Option<Definition>; 4]; 2],
    has_steps: [bool; 4],
}

/// How many codes a table has of each length, their symbols, and what they were made into for the first scan that uses them.
#[derive(Clone)]
struct Definition {
    counts: [u8; 16],
    symbols: Vec<u8>,
    made: Option<Rc<Codes>>,
}

impl Tables {
    /// The tables of files that have none.
    fn standard() -> Option<Tables> {
        let mut tables = Tables { codes: Default::default(), has_steps: [false; 4] };
        tables.add_codes(&STANDARD_CODES)?;
        Some(tables)
    }

    fn add_codes(&mut self, mut body: &[u8]) -> Option<()> {
        while let [which, rest @ ..] = body {
            let (&counts, rest) = rest.split_first_chunk()?;
            let (symbols, rest) = rest.split_at_checked(counts.iter().map(|&count| usize::from(count)).sum())?;
            if which & !0x13 != 0 || symbols.len() > 256 {
                return None;
            }
            let definition = Definition { counts, symbols: symbols.to_vec(), made: None };
            self.codes[usize::from(which >> 4)][usize::from(which & 3)] = Some(definition);
            body = rest;
        }
        Some(())
    }

    fn add_steps(&mut self, mut body: &[u8]) -> Option<()> {
        while let [which, rest @ ..] = body {
            body = rest.get(if which >> 4 > 0 { 128 } else { 64 }..)?;
            *self.has_steps.get_mut(usize::from(which & 15))? = true;
        }
        Some(())
    }

    fn codes(&mut self, class: usize, which: u8) -> Option<Rc<Codes>> {
        let definition = self.codes[class].get_mut(usize::from(which))?.as_mut()?;
        if definition.made.is_none() {
            definition.made = Some(Rc::new(Codes::new(&definition.counts, &definition.symbols)?));
        }
        definition.made.clone()
    }
}

/// Where the next marker begins, from `at` on. Other bytes before it, and stuffed zeros, are passed over.
fn next_marker(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let found = memchr::memchr_iter(0xFF, rest).find(|&at| !matches!(rest.get(at + 1), Some(0x00 | 0xFF) | None))?;
    Some(at + found)
}

/// How long a scan's data is: up to the marker that ends it. Where there are restarts, their markers do not, nor do those
/// that do not exist, which libjpeg passes over when it looks for the next restart.
fn scan_length(data: &[u8], has_restarts: bool) -> usize {
    let ends = |code: u8| match code {
        0x00 | 0xFF => false,
        RST0..=RST7 | 0x01..SOF0 => !has_restarts,
        _ => true,
    };
    memchr::memchr_iter(0xFF, data).find(|&at| data.get(at + 1).is_some_and(|&code| ends(code))).unwrap_or(data.len())
}

/// The codes that files without any mean, as the body of a DHT segment (T.81 §K.3.3): those of motion JPEG.
#[rustfmt::skip]
pub const STANDARD_CODES: [u8; 416] = [
    0x00, 0x00, 0x01, 0x05, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
    0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x10, 0x00, 0x02, 0x01, 0x03, 0x03, 0x02, 0x04, 0x03,
    0x05, 0x05, 0x04, 0x04, 0x00, 0x00, 0x01, 0x7D, 0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41,
    0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xA1, 0x08, 0x23, 0x42, 0xB1, 0xC1, 0x15, 0x52,
    0xD1, 0xF0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0A, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x25, 0x26, 0x27, 0x28, 0x29,
    0x2A, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x53, 0x54, 0x55,
    0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78,
    0x79, 0x7A, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A,
    0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2,
    0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA, 0xE1, 0xE2,
    0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA, 0x01,
    0x00, 0x03, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02,
    0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x11, 0x00, 0x02, 0x01, 0x02, 0x04, 0x04, 0x03, 0x04, 0x07,
    0x05, 0x04, 0x04, 0x00, 0x01, 0x02, 0x77, 0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41,
    0x51, 0x07, 0x61, 0x71, 0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xA1, 0xB1, 0xC1, 0x09, 0x23, 0x33, 0x52,
    0xF0, 0x15, 0x62, 0x72, 0xD1, 0x0A, 0x16, 0x24, 0x34, 0xE1, 0x25, 0xF1, 0x17, 0x18, 0x19, 0x1A, 0x26, 0x27, 0x28,
    0x29, 0x2A, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x53, 0x54, 0x55,
    0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78,
    0x79, 0x7A, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
    0x9A, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA,
    0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA, 0xE2,
    0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_codes_are_four_tables() {
        let mut tables = Tables::standard().expect("sound tables");
        for (class, which) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            assert!(tables.codes(class, which).is_some(), "{class} {which}");
        }
        assert!(tables.codes(0, 2).is_none());
    }

    #[test]
    fn a_scan_ends_at_the_marker_that_libjpeg_stops_at() {
        for (data, plain, with_restarts) in [
            (&[1, 2, 3][..], 3, 3),
            (&[1, 0xFF, 0, 2, 0xFF, END_OF_IMAGE], 4, 4),
            (&[1, 0xFF, 0xFF, END_OF_IMAGE], 2, 2),
            (&[1, 0xFF, RST0, 2, 0xFF, END_OF_IMAGE], 1, 4),
            (&[1, 0xFF, 0x3C, 2, 0xFF, SOS], 1, 4),
            (&[1, 0xFF], 2, 2),
        ] {
            assert_eq!((scan_length(data, false), scan_length(data, true)), (plain, with_restarts), "{data:?}");
        }
    }
}
