//! The colour tables of a GIF.
//!
//! Where all frames together have at most 256 colours, the global table has exactly these. Otherwise it is made for all frames
//! together, or for the first one if all of them are too different. A frame that it does not show well gets a local table.

use super::write::ColourTable;
use crate::palette::{MAX_COLOURS, Palette};
use crate::quantise::{Histogram, LEVEL, Nearest, palette};
use tintype_pixels::Pixels;

/// Pixels of a lower alpha become transparent; GIF has no partial transparency.
pub(super) const OPAQUE: u8 = 128;

/// The colour of transparent pixels.
pub(super) const TRANSPARENT: [u8; 4] = [0; 4];

/// A pixel as GIF can show it: opaque, or [`TRANSPARENT`].
pub(super) fn shown(pixel: &[u8]) -> [u8; 4] {
    match *pixel {
        [r, g, b] => [r, g, b, 255],
        [r, g, b, alpha] if alpha >= OPAQUE => [r, g, b, 255],
        _ => TRANSPARENT,
    }
}

/// A colour table with the search for the nearest of its colours.
pub(super) struct Colours {
    pub(super) table: ColourTable,
    pub(super) nearest: Nearest,
}

impl Colours {
    /// Of opaque colours, at most 256, or 255 with a transparent index before them. LZW codes of a frame have the fewer bits the lower
    /// its indices are, so frequent colours come first.
    fn new(mut colours: Vec<[u8; 4]>, is_transparent: bool) -> Colours {
        if is_transparent {
            colours.insert(0, TRANSPARENT);
        }
        if colours.is_empty() {
            colours.push([0, 0, 0, 255]);
        }
        let nearest = Nearest::new(&colours);
        let transparent = is_transparent.then_some(0);
        let colours = colours.into_iter().map(|[r, g, b, _]| [r, g, b]).collect();
        Colours { table: ColourTable { colours, transparent }, nearest }
    }

    /// The colour of an index.
    pub(super) fn colour(&self, index: u8) -> [u8; 4] {
        if self.table.transparent == Some(index) {
            return TRANSPARENT;
        }
        let [r, g, b] = self.table.colours[usize::from(index)];
        [r, g, b, 255]
    }

    /// Whether the mean error of these colours in the table is tolerable.
    fn fits(&mut self, histogram: &Histogram) -> bool {
        let (error, pixels) = histogram.error(&mut self.nearest);
        error <= TOLERABLE * pixels
    }

    /// A local table for these colours, if this one shows them worse than is worth the bytes of another.
    pub(super) fn local(&mut self, histogram: &Histogram) -> Option<Colours> {
        if self.fits(histogram) {
            return None;
        }
        let mut local = Colours::new(palette(histogram, 1), true);
        let [worse, better] = [self, &mut local].map(|colours| histogram.error(&mut colours.nearest).0);
        (worse.saturating_sub(better) > WORTH_A_BYTE * local.table.bytes() as u64).then_some(local)
    }
}

/// The mean squared error that a table may have, that of four levels of luma. The best 256 colours of a photograph have two to three.
const TOLERABLE: u64 = (4 * LEVEL as u64).pow(2);

/// The sum of squared errors that a local table has to save for each of its bytes: 64 pixels that are a level nearer.
const WORTH_A_BYTE: u64 = 64 * (LEVEL as u64).pow(2);

/// The global colour table.
pub(super) struct Global {
    pub(super) colours: Colours,
    /// Whether all frames have only colours of the table.
    pub(super) is_exact: bool,
}

impl Global {
    /// The global table for these frames.
    pub(super) fn of(frames: &[&Pixels]) -> Global {
        // transparency codes pixels that stay as they are, too
        let wants_transparent = frames.len() > 1;
        let needs_transparent = frames.iter().any(|frame| has_transparent(frame));
        let most = MAX_COLOURS - usize::from(needs_transparent);
        let all = frames.iter().flat_map(|frame| frame.data.chunks_exact(frame.channels));
        if let Some(exact) = Palette::exact(all.map(shown).filter(|colour| *colour != TRANSPARENT), most) {
            let colours = histogram(frames).by_frequency(exact.colours());
            let is_transparent = needs_transparent || wants_transparent && colours.len() < MAX_COLOURS;
            return Global { colours: Colours::new(colours, is_transparent), is_exact: true };
        }
        let is_transparent = needs_transparent || wants_transparent;
        let reserved = usize::from(is_transparent);
        let all = histogram(frames);
        let mut colours = Colours::new(palette(&all, reserved), is_transparent);
        if frames.len() > 1 && !colours.fits(&all) {
            colours = Colours::new(palette(&histogram(&frames[..1]), reserved), is_transparent);
        }
        Global { colours, is_exact: false }
    }
}

fn has_transparent(pixels: &Pixels) -> bool {
    pixels.has_alpha() && pixels.data.chunks_exact(4).any(|pixel| pixel[3] < OPAQUE)
}

/// The opaque colours of frames; of many pixels only each second, third … row.
fn histogram(frames: &[&Pixels]) -> Histogram {
    const MOST: u64 = 1 << 22;
    let all: u64 = frames.iter().map(|frame| frame.size.pixels()).sum();
    let step = (all / MOST + 1) as usize;
    let mut histogram = Histogram::new();
    for (number, frame) in frames.iter().enumerate() {
        // not the same rows of each frame
        for row in frame.rows().skip(number % step).step_by(step) {
            histogram.add(row.chunks_exact(frame.channels).map(shown).filter(|colour| *colour != TRANSPARENT));
        }
    }
    histogram
}
