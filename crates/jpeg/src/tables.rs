//! What a JPEG file says before its scans, of quantisation, Huffman codes (T.81 §B.2.4) and sampling.

use std::rc::Rc;

use crate::huffman::Values;
use tintype_pixels::{ChromaSubsampling, Planes};
use tintype_pixels::{Rect, Size};

/// The tables that were defined so far.
#[derive(Default)]
pub(crate) struct Tables<'a> {
    pub(crate) steps: [Option<[u16; 64]>; 4],
    pub(crate) means: [Table<'a>; 4],
    pub(crate) others: [Table<'a>; 4],
}

/// How many codes a table has of each length, and their symbols.
pub(crate) type Definition<'a> = (&'a [u8; 16], &'a [u8]);

/// A table of codes.
#[derive(Default)]
pub(crate) struct Table<'a> {
    pub(crate) defined: Option<Definition<'a>>,
    /// What it was made into for the first component that uses it.
    values: Option<Rc<Values>>,
}

impl<'a> Tables<'a> {
    /// Takes in quantisation tables (§B.2.4.1).
    pub(crate) fn add_steps(&mut self, mut body: &[u8]) -> Option<()> {
        while let [which, rest @ ..] = body {
            let wide = which >> 4 > 0;
            let (steps, rest) = rest.split_at_checked(if wide { 128 } else { 64 })?;
            let step = |k: usize| match wide {
                true => u16::from_be_bytes([steps[2 * k], steps[2 * k + 1]]),
                false => steps[k].into(),
            };
            *self.steps.get_mut(usize::from(which & 15))? = Some(std::array::from_fn(step));
            body = rest;
        }
        Some(())
    }

    /// Takes in tables of codes (§B.2.4.2).
    pub(crate) fn add_codes(&mut self, mut body: &'a [u8]) -> Option<()> {
        while let [which, rest @ ..] = body {
            let (counts, rest) = rest.split_first_chunk()?;
            let (symbols, rest) = rest.split_at_checked(counts.iter().map(|&count| usize::from(count)).sum())?;
            let tables = match which >> 4 {
                0 => &mut self.means,
                1 => &mut self.others,
                _ => return None,
            };
            *tables.get_mut(usize::from(which & 15))? = Table { defined: Some((counts, symbols)), values: None };
            body = rest;
        }
        Some(())
    }
}

impl Table<'_> {
    /// Made once of each, for whoever asks first.
    pub(crate) fn values(&mut self, made: impl Fn(&[u8; 16], &[u8]) -> Option<Values>) -> Option<Rc<Values>> {
        if self.values.is_none() {
            let (counts, symbols) = self.defined?;
            self.values = Some(Rc::new(made(counts, symbols)?));
        }
        self.values.clone()
    }
}

/// All of a picture of that size.
pub(crate) fn whole_picture(size: Size) -> Rect {
    Rect { x: 0, y: 0, width: size.width, height: size.height }
}

/// For luma and each of chroma where among its samples the shown part begins, and the size it is stored in.
pub(crate) fn planes_shown(shown: Rect, subsampling: Option<ChromaSubsampling>) -> [((usize, usize), Size); 3] {
    let (luma, chroma) = Planes::stored(Size::new(shown.width, shown.height), subsampling);
    let (across, down) = subsampling.map_or((1, 1), |ChromaSubsampling { across, down }| (across, down));
    let origin = |across: u32, down: u32| ((shown.x / across) as usize, (shown.y / down) as usize);
    [(origin(1, 1), luma), (origin(across, down), chroma), (origin(across, down), chroma)]
}

/// Whether chroma is shared like that, and luma by nobody, by the sampling factors of all components.
pub(crate) fn shared(
    mut factors: impl Iterator<Item = (usize, usize)>, subsampling: Option<ChromaSubsampling>,
) -> bool {
    match (factors.next(), subsampling) {
        (Some(_), None) => factors.next().is_none(),
        (Some(luma), Some(ChromaSubsampling { across, down })) => {
            factors.all(|chroma| luma == (chroma.0 * across as usize, chroma.1 * down as usize))
        }
        (None, _) => false,
    }
}
