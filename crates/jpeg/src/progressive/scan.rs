//! Decoding of the scans of a progressive file (ITU T.81 §G.1.2).

use super::coefficients::CoefficientBuffer;
use super::file::{Component, Scan};
use crate::entropy::{EntropyReader, RestartCounter};
use crate::huffman::HuffmanTable;
use crate::zigzag::Zigzag;

/// The state of one component of a DC scan.
struct DcDecoder {
    component: usize,
    /// Its Huffman table; `None` in refinement scans.
    table: Option<HuffmanTable>,
    /// Its blocks of an MCU across and down.
    h: usize,
    v: usize,
    /// The DC prediction: the coefficient of the block before.
    pred: i32,
}

impl Scan<'_> {
    /// Decodes the scan into the buffers of the frame's components; `mcus` are columns and rows of an interleaved scan.
    pub(super) fn decode<const N: usize>(
        &self, entropy: &mut EntropyReader<'_>, buffers: &mut [CoefficientBuffer<N>], components: &[Component],
        mcus: (usize, usize),
    ) -> Option<()> {
        let &[(component, table), ref others @ ..] = &self.components[..] else { return None };
        let Component { columns, rows, .. } = components[component];
        let blocks = (columns, rows);
        if self.ss == 0 {
            let mut decoders = self.dc_decoders(components)?;
            let mcus = if others.is_empty() { blocks } else { mcus };
            return self.decode_dc(entropy, buffers, &mut decoders, mcus);
        }
        let (bits, huffval) = table?;
        let table = HuffmanTable::progressive_ac(bits, huffval)?;
        match self.refine {
            false => self.decode_ac_first(entropy, &mut buffers[component], &table, blocks),
            true => self.decode_ac_refine(entropy, &mut buffers[component], &table, blocks),
        }
    }

    fn dc_decoders(&self, components: &[Component]) -> Option<Vec<DcDecoder>> {
        // a loop, since collecting into an option moves each of the large tables several times
        let mut decoders = Vec::with_capacity(self.components.len());
        for &(component, spec) in &self.components {
            let table = match spec {
                Some((bits, huffval)) => Some(HuffmanTable::dc(bits, huffval)?),
                None => None,
            };
            // an MCU of a scan that is not interleaved is one block
            let (h, v) = match self.components[..] {
                [_] => (1, 1),
                _ => (components[component].h, components[component].v),
            };
            decoders.push(DcDecoder { component, table, h, v, pred: 0 });
        }
        Some(decoders)
    }

    /// DC coefficients, first scan or refinement (§G.1.2.1).
    fn decode_dc<const N: usize>(
        &self, entropy: &mut EntropyReader<'_>, buffers: &mut [CoefficientBuffer<N>], decoders: &mut [DcDecoder],
        (columns, rows): (usize, usize),
    ) -> Option<()> {
        let mut restarts = RestartCounter::new(self.restart_interval);
        for y in 0..rows {
            for x in 0..columns {
                if restarts.restart_if_due(entropy)? {
                    decoders.iter_mut().for_each(|decoder| decoder.pred = 0);
                }
                restarts.advance(1);
                entropy.fill_mcu()?;
                for decoder in &mut *decoders {
                    let buffer = &mut buffers[decoder.component];
                    for row in 0..decoder.v {
                        for column in 0..decoder.h {
                            let (row, column) = (y * decoder.v + row, x * decoder.h + column);
                            let at = row * buffer.stride + CoefficientBuffer::<N>::index(column, 0, 0);
                            let coefficient = &mut buffer.coefficients[at];
                            match &decoder.table {
                                Some(table) => {
                                    decoder.pred = decoder.pred.wrapping_add(entropy.decode_dc_diff(table)?);
                                    *coefficient = (decoder.pred << self.al) as i16;
                                }
                                None => *coefficient |= entropy.read_bit() << self.al,
                            }
                        }
                    }
                }
            }
        }
        Some(())
    }

    /// The first scan of AC coefficients of one component (§G.1.2.2).
    fn decode_ac_first<const N: usize>(
        &self, entropy: &mut EntropyReader<'_>, buffer: &mut CoefficientBuffer<N>, table: &HuffmanTable,
        (columns, rows): (usize, usize),
    ) -> Option<()> {
        let mut restarts = RestartCounter::new(self.restart_interval);
        // how many more blocks have no coefficients in the band
        let mut eob_run = 0;
        for row in 0..rows {
            let (coefficients, nonzero, unheld) = buffer.row(row);
            let mut column = 0;
            while column < columns {
                if restarts.restart_if_due(entropy)? && eob_run > 0 {
                    return None;
                }
                if eob_run > 0 {
                    let skipped = (eob_run as usize).min(columns - column).min(restarts.left());
                    eob_run -= skipped as u32;
                    column += skipped;
                    restarts.advance(skipped);
                    continue;
                }
                entropy.fill_mcu()?;
                let mut found = 0;
                eob_run = entropy.decode_ac_first(table, self.ss, self.se, |k, value| {
                    found |= u64::from(value != 0) << (k & 63);
                    if k <= Zigzag::<N>::LAST {
                        coefficients[CoefficientBuffer::<N>::index(column, k, unheld)] = (value << self.al) as i16;
                    }
                })?;
                nonzero[column] |= found;
                column += 1;
                restarts.advance(1);
            }
        }
        (eob_run == 0).then_some(())
    }

    /// A refinement scan of AC coefficients of one component (§G.1.2.3).
    fn decode_ac_refine<const N: usize>(
        &self, entropy: &mut EntropyReader<'_>, buffer: &mut CoefficientBuffer<N>, table: &HuffmanTable,
        (columns, rows): (usize, usize),
    ) -> Option<()> {
        let mut restarts = RestartCounter::new(self.restart_interval);
        let band = (self.ss, self.se, Zigzag::<N>::LAST);
        let one = 1_i16 << self.al;
        // how many more blocks have correction bits alone
        let mut eob_run = 0;
        for row in 0..rows {
            let (coefficients, nonzero, unheld) = buffer.row(row);
            // two closures write to them in turn
            let coefficients = std::cell::Cell::from_mut(coefficients).as_slice_of_cells();
            for (column, nonzero) in nonzero.iter_mut().enumerate().take(columns) {
                if restarts.restart_if_due(entropy)? && eob_run > 0 {
                    return None;
                }
                restarts.advance(1);
                // away from zero
                let correct = |k: usize, bit: i16| {
                    let coefficient = &coefficients[CoefficientBuffer::<N>::index(column, k, unheld)];
                    let sign = coefficient.get() >> 15;
                    coefficient.set(coefficient.get().wrapping_add(((one & -bit) ^ sign) - sign));
                };
                entropy.fill_mcu()?;
                if eob_run > 0 {
                    eob_run -= 1;
                    entropy.read_corrections(band, *nonzero, correct);
                    continue;
                }
                let mut found = 0;
                eob_run = entropy.decode_ac_refine(table, band, *nonzero, correct, |k, sign| {
                    found |= 1 << (k & 63);
                    if k <= Zigzag::<N>::LAST {
                        coefficients[CoefficientBuffer::<N>::index(column, k, unheld)].set(sign * one);
                    }
                })?;
                *nonzero |= found;
            }
        }
        (eob_run == 0).then_some(())
    }
}
