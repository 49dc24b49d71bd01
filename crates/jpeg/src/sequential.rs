//! Sequential files (ITU T.81 Annex F) with Huffman coding and one scan.
//!
//! Decoding Huffman codes is most of the work of decoding a photograph, and most codes stand for AC coefficients that a smaller
//! image does not show. These are skipped, several codes at a time.
//!
//! At 4/8, 2/8 and 1/8 decoding takes 0.78, 0.66 and 0.52 of libjpeg-turbo's time (geometric means of fifteen photographs; the
//! worst, 0.24 megapixels at 4/8, takes 1.01, since building the tables is a good part of it). At 3/8 and 6/8 libjpeg-turbo has no
//! fast IDCT. At 8/8 libjpeg-turbo is faster, by its IDCT in assembler.
//!
//! Supported is what cameras and encoders write nearly always: one scan, 8 bits a sample, luma with or without chroma. Anything
//! else, and any damage, yields `None`: such files are left to a tolerant decoder.

use std::rc::Rc;

use crate::entropy::{EntropyReader, RestartCounter};
use crate::frame::{FrameComponent, FrameHeader};
use crate::header::{as_records, segments};
use crate::huffman::HuffmanTable;
use crate::marker::{DHT, DQT, DRI, EOI, SOF0, SOF1, SOF15, SOS};
use crate::request::{DecodeRequest, PlaneView};
use crate::tables::Tables;
use crate::zigzag::{Group, LANES, Zigzag};
use tintype_pixels::{DctScale, Planes};

/// Decodes a sequential file at the requested scales, in the order of the request. `None` for files that are damaged or not
/// supported.
pub fn planes(original: &[u8], request: &DecodeRequest<'_>) -> Option<Vec<(DctScale, Planes)>> {
    let scan = Scan::read(original)?;
    if scan.frame.size != request.size || !scan.frame.has_subsampling(request.subsampling) {
        return None;
    }
    match request.largest()?.eighths() {
        1 => scan.decode::<1>(original, request),
        2 => scan.decode::<2>(original, request),
        3 => scan.decode::<3>(original, request),
        4 => scan.decode::<4>(original, request),
        6 => scan.decode::<6>(original, request),
        8 => scan.decode::<8>(original, request),
        _ => None,
    }
}

/// The only scan of a file, and the tables that it uses.
struct Scan {
    frame: FrameHeader,
    components: Vec<Component>,
    /// MCUs of a restart interval; 0 for no restarts.
    restart_interval: usize,
    /// Offset of the entropy-coded data in the file.
    data_start: usize,
}

/// A component of the scan.
struct Component {
    /// Sampling factors: its blocks of an MCU across and down.
    h: usize,
    v: usize,
    /// In zigzag order.
    quant_table: [u16; 64],
    dc: Rc<HuffmanTable>,
    ac: Rc<HuffmanTable>,
}

impl Scan {
    /// Reads all segments up to the scan header (§B.2.3).
    fn read(original: &[u8]) -> Option<Scan> {
        let mut tables = Tables::default();
        let mut frame = None;
        let mut restart_interval = 0;
        let mut end = 2;
        for segment in segments(original) {
            match segment.marker {
                DQT => tables.read_dqt(segment.body)?,
                DHT => tables.read_dht(segment.body)?,
                DRI => restart_interval = u16::from_be_bytes(*segment.body.first_chunk()?).into(),
                SOF0 | SOF1 if frame.is_none() => frame = Some(segment.body),
                SOF0..=SOF15 => return None,
                _ => {}
            }
            end = segment.end;
        }
        let frame = FrameHeader::read(frame?)?;
        let &[0xFF, SOS, l1, l0, ref header @ ..] = original.get(end..)? else { return None };
        let length = usize::from(u16::from_be_bytes([l1, l0]));
        let (&ns, header) = header.get(..length.checked_sub(2)?)?.split_first()?;
        // Ss, Se, Ah and Al: all coefficients, to the last bit
        let (specs, [0, 63, 0]) = header.split_last_chunk()? else { return None };
        let specs = as_records::<2>(specs)?;
        if usize::from(ns) != frame.components.len() || specs.len() != frame.components.len() {
            return None;
        }
        let components = frame.components.iter().zip(specs);
        let components =
            components.map(|(component, &spec)| Component::new(&mut tables, component, spec)).collect::<Option<_>>()?;
        Some(Scan { frame, components, restart_interval, data_start: end + 2 + length })
    }

    /// Decodes with `N` × `N` coefficients of each block, where `N`/8 is the largest scale of the request.
    fn decode<const N: usize>(&self, original: &[u8], request: &DecodeRequest<'_>) -> Option<Vec<(DctScale, Planes)>> {
        let quant_tables = self.components.iter().map(|component| &component.quant_table);
        request.decode_into(quant_tables, |views| self.decode_mcus::<N>(original, views))
    }

    fn decode_mcus<const N: usize>(&self, original: &[u8], views: Vec<Vec<PlaneView<'_>>>) -> Option<()> {
        let components = self.components.iter().zip(views);
        let mut decoders: Vec<ComponentDecoder<'_>> =
            components.map(|(component, views)| ComponentDecoder::new(component, views)).collect();
        let (columns, rows) = self.frame.mcus()?;
        let mut entropy = EntropyReader::new(original, self.data_start);
        let mut restarts = RestartCounter::new(self.restart_interval);
        for y in 0..rows {
            for first in (0..columns).step_by(LANES) {
                for mcu in 0..LANES.min(columns - first) {
                    if restarts.restart_if_due(&mut entropy)? {
                        decoders.iter_mut().for_each(|decoder| decoder.dc_pred = 0);
                    }
                    restarts.advance(1);
                    entropy.fill_mcu()?;
                    for decoder in &mut decoders {
                        if decoder.is_requested(first, y) {
                            decoder.read_mcu::<N, true>(&mut entropy, mcu)?;
                        } else {
                            decoder.read_mcu::<N, false>(&mut entropy, mcu)?;
                        }
                    }
                }
                for decoder in &mut decoders {
                    decoder.write_mcus::<N>(first, y);
                }
            }
        }
        (entropy.finish_segment()? == EOI).then_some(())
    }
}

/// The state of one component while the scan is decoded.
struct ComponentDecoder<'a> {
    component: &'a Component,
    /// The DC prediction: the coefficient of the block before (§F.1.1.5.1).
    dc_pred: i32,
    /// The blocks of [`LANES`] MCUs: for each row of blocks `h` groups.
    groups: Vec<Group>,
    /// Its plane at each scale.
    views: Vec<PlaneView<'a>>,
}

impl<'a> ComponentDecoder<'a> {
    fn new(component: &'a Component, views: Vec<PlaneView<'a>>) -> ComponentDecoder<'a> {
        ComponentDecoder { component, dc_pred: 0, groups: vec![[0; 64 * LANES]; component.h * component.v], views }
    }

    /// Whether any plane contains a sample of the [`LANES`] MCUs that begin with column `first` of row `y`.
    #[inline(always)]
    fn is_requested(&self, first: usize, y: usize) -> bool {
        let Component { h, v, .. } = *self.component;
        self.views.iter().any(|view| view.intersects((first * h, y * v), (LANES * h, v)))
    }

    /// Decodes the blocks of one MCU, the `mcu`th of the group; unless `REQUESTED`, only the DC prediction is kept.
    #[inline(always)]
    fn read_mcu<const N: usize, const REQUESTED: bool>(
        &mut self, entropy: &mut EntropyReader<'_>, mcu: usize,
    ) -> Option<()> {
        let Component { h, v, ref dc, ref ac, .. } = *self.component;
        for row in 0..v {
            for column in 0..h {
                let block = mcu * h + column;
                let (group, lane) = (&mut self.groups[row * h + block / LANES], block % LANES);
                let last = if REQUESTED { Zigzag::<N>::LAST } else { 0 };
                let diff = entropy.decode_block(dc, ac, last, |k, value| {
                    let start = usize::from(Zigzag::<N>::STARTS[k & 63]);
                    // the mask changes nothing and spares a bounds check
                    group[(start + lane) & (64 * LANES - 1)] = value as i16;
                })?;
                self.dc_pred = self.dc_pred.wrapping_add(diff);
                group[lane] = self.dc_pred as i16;
            }
        }
        Some(())
    }

    /// Transforms the blocks of [`LANES`] MCUs into the planes and clears them.
    fn write_mcus<const N: usize>(&mut self, first: usize, y: usize) {
        let Component { h, v, .. } = *self.component;
        for (at, group) in self.groups.iter_mut().enumerate() {
            let (row, column) = (at / h, at % h);
            let block = (first * h + column * LANES, y * v + row);
            self.views.iter_mut().for_each(|view| view.write_group(group, N, block));
            group[..N * N * LANES].fill(0);
        }
    }
}

impl Component {
    /// The component of the frame with the tables that the scan header names: `cs`, its identifier, and `td_ta`, the destinations
    /// of its DC and AC tables.
    fn new(tables: &mut Tables<'_>, component: &FrameComponent, [cs, td_ta]: [u8; 2]) -> Option<Component> {
        if cs != component.id {
            return None;
        }
        Some(Component {
            h: component.h,
            v: component.v,
            quant_table: (*tables.quant.get(component.tq)?)?,
            dc: tables.dc.get_mut(usize::from(td_ta >> 4))?.table(HuffmanTable::dc)?,
            ac: tables.ac.get_mut(usize::from(td_ta & 15))?.table(HuffmanTable::ac)?,
        })
    }
}

#[cfg(test)]
mod tests;
