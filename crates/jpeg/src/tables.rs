//! The tables that segments define: quantisation tables (ITU T.81 §B.2.4.1) and Huffman tables (§B.2.4.2).

use std::rc::Rc;

use crate::huffman::HuffmanTable;

/// The tables that were defined so far, by destination.
#[derive(Default)]
pub(crate) struct Tables<'a> {
    /// Quantisation tables in zigzag order.
    pub(crate) quant: [Option<[u16; 64]>; 4],
    pub(crate) dc: [HuffmanSlot<'a>; 4],
    pub(crate) ac: [HuffmanSlot<'a>; 4],
}

/// The lists BITS and HUFFVAL of a Huffman table: the number of codes by length, 1 to 16, and their symbols in order.
pub(crate) type HuffmanSpec<'a> = (&'a [u8; 16], &'a [u8]);

/// A Huffman table, built on its first use.
#[derive(Default)]
pub(crate) struct HuffmanSlot<'a> {
    pub(crate) spec: Option<HuffmanSpec<'a>>,
    built: Option<Rc<HuffmanTable>>,
}

impl<'a> Tables<'a> {
    /// Reads the body of a DQT segment.
    pub(crate) fn read_dqt(&mut self, mut body: &[u8]) -> Option<()> {
        while let [pq_tq, rest @ ..] = body {
            let is_16_bit = pq_tq >> 4 > 0;
            let (elements, rest) = rest.split_at_checked(if is_16_bit { 128 } else { 64 })?;
            let element = |k: usize| match is_16_bit {
                true => u16::from_be_bytes([elements[2 * k], elements[2 * k + 1]]),
                false => elements[k].into(),
            };
            *self.quant.get_mut(usize::from(pq_tq & 15))? = Some(std::array::from_fn(element));
            body = rest;
        }
        Some(())
    }

    /// Reads the body of a DHT segment.
    pub(crate) fn read_dht(&mut self, mut body: &'a [u8]) -> Option<()> {
        while let [tc_th, rest @ ..] = body {
            let (bits, rest) = rest.split_first_chunk()?;
            let (huffval, rest) = rest.split_at_checked(bits.iter().map(|&count| usize::from(count)).sum())?;
            let slots = match tc_th >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return None,
            };
            *slots.get_mut(usize::from(tc_th & 15))? = HuffmanSlot { spec: Some((bits, huffval)), built: None };
            body = rest;
        }
        Some(())
    }
}

impl HuffmanSlot<'_> {
    /// The table as built by `build`, which is called once for all components that use it.
    pub(crate) fn table(
        &mut self, build: impl Fn(&[u8; 16], &[u8]) -> Option<HuffmanTable>,
    ) -> Option<Rc<HuffmanTable>> {
        if self.built.is_none() {
            let (bits, huffval) = self.spec?;
            self.built = Some(Rc::new(build(bits, huffval)?));
        }
        self.built.clone()
    }
}
