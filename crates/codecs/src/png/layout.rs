//! The colour type and bit depth of the fewest bytes for a picture, and its samples in them (PNG, third edition, §6.1).

use std::borrow::Cow;

use ::png::{BitDepth, ColorType, Info};

use crate::encode_input::EncodeInput;
use crate::indexed::IndexedPixels;
use crate::palette::{MAX_COLOURS, Palette, rgba};
use tintype_pixels::Pixels;

/// Colour type and bit depth.
pub(super) enum Layout<'a> {
    /// Truecolour of 8 bits, with alpha if any frame has it.
    Colour { alpha: bool },
    /// Greyscale of 8 bits, with alpha if any frame has it.
    Grey { alpha: bool },
    /// Palette indices.
    Indexed(Palette),
    /// The palette and the indices of colours that only come near those of the pixels.
    Quantised(&'a IndexedPixels),
}

impl<'a> Layout<'a> {
    /// The layout of the fewest bytes that represents all frames losslessly, or as the input allows.
    pub(super) fn of(picture: &'a EncodeInput) -> Layout<'a> {
        let frames = picture.frames();
        let alpha = frames.iter().any(|frame| frame.pixels.has_alpha());
        let colours = frames.iter().flat_map(|frame| rgba(&frame.pixels.data, frame.pixels.channels));
        // an RGB profile is not allowed with greyscale (§11.3.2.3)
        let plain = if picture.is_grey() { Layout::Grey { alpha } } else { Layout::Colour { alpha } };
        let indexed = match (Palette::exact(colours, MAX_COLOURS), &picture.indexed) {
            (Some(palette), _) => Layout::Indexed(palette),
            (None, Some(indexed)) if frames.len() == 1 => Layout::Quantised(indexed),
            (None, _) => return plain,
        };
        let pixels: u64 = frames.iter().map(|frame| frame.pixels.size.pixels()).sum();
        let table = 8 * (24 + indexed.palette().len() as u64 * 4);
        // palette indices compress worse than filtered samples
        if 4 * (pixels * indexed.bits() + table) < 3 * pixels * plain.bits() { indexed } else { plain }
    }

    /// The colours that indices stand for; none of other layouts.
    fn palette(&self) -> &[[u8; 4]] {
        match self {
            Layout::Colour { .. } | Layout::Grey { .. } => &[],
            Layout::Indexed(palette) => palette.colours(),
            Layout::Quantised(indexed) => indexed.palette(),
        }
    }

    /// Whether samples are palette indices.
    pub(super) fn is_indexed(&self) -> bool {
        !self.palette().is_empty()
    }

    /// Bits of a pixel.
    fn bits(&self) -> u64 {
        match self {
            Layout::Colour { alpha } => 24 + 8 * u64::from(*alpha),
            Layout::Grey { alpha } => 8 + 8 * u64::from(*alpha),
            Layout::Indexed(_) | Layout::Quantised(_) => match self.palette().len() {
                0..=2 => 1,
                3..=4 => 2,
                5..=16 => 4,
                _ => 8,
            },
        }
    }

    /// Bytes of a row of `width` pixels.
    pub(super) fn stride(&self, width: u32) -> usize {
        (u64::from(width) * self.bits()).div_ceil(8) as usize
    }

    /// Sets colour type, bit depth, PLTE and tRNS of a header.
    pub(super) fn declare(&self, header: &mut Info<'_>) {
        header.bit_depth = BitDepth::Eight;
        match self {
            Layout::Colour { alpha } => header.color_type = if *alpha { ColorType::Rgba } else { ColorType::Rgb },
            Layout::Grey { alpha } => {
                header.color_type = if *alpha { ColorType::GrayscaleAlpha } else { ColorType::Grayscale };
            }
            Layout::Indexed(_) | Layout::Quantised(_) => {
                header.color_type = ColorType::Indexed;
                header.bit_depth = match self.bits() {
                    1 => BitDepth::One,
                    2 => BitDepth::Two,
                    4 => BitDepth::Four,
                    _ => BitDepth::Eight,
                };
                let colours = self.palette();
                header.palette = Some(colours.iter().flat_map(|colour| &colour[..3]).copied().collect());
                // opaque colours at the end need no alpha
                if let Some(last) = colours.iter().rposition(|colour| colour[3] < 255) {
                    header.trns = Some(colours[..=last].iter().map(|colour| colour[3]).collect());
                }
            }
        }
    }

    /// The samples of a frame from the top row on; rows are padded to bytes.
    pub(super) fn samples(&self, pixels: &'a Pixels) -> Cow<'a, [u8]> {
        match self {
            Layout::Colour { alpha } if *alpha == pixels.has_alpha() => Cow::Borrowed(&pixels.data),
            Layout::Quantised(indexed) if self.bits() == 8 => Cow::Borrowed(indexed.indices()),
            _ => Cow::Owned(self.samples_of(pixels)),
        }
    }

    /// A copy of the [`samples`](Self::samples) of a frame or a part of one.
    pub(super) fn samples_of(&self, pixels: &Pixels) -> Vec<u8> {
        let all = || rgba(&pixels.data, pixels.channels);
        match self {
            Layout::Colour { alpha } if *alpha == pixels.has_alpha() => pixels.data.clone(),
            // all frames have one layout: an opaque frame gets alpha if another has it
            Layout::Colour { .. } => all().flatten().collect(),
            Layout::Grey { alpha: true } => all().flat_map(|[grey, _, _, alpha]| [grey, alpha]).collect(),
            Layout::Grey { alpha: false } => pixels.grey(),
            Layout::Indexed(palette) => {
                let indices = |row: &[u8]| rgba(row, pixels.channels).map(|colour| palette.index(colour)).collect();
                pixels.rows().flat_map(|row| self.packed(indices(row))).collect()
            }
            Layout::Quantised(indexed) => {
                let rows = indexed.indices().chunks(pixels.size.width as usize);
                rows.flat_map(|row| self.packed(row.to_vec())).collect()
            }
        }
    }

    /// The indices of a row in as many bits as they have. The leftmost pixel is in the high bits (§7.2).
    fn packed(&self, mut row: Vec<u8>) -> Vec<u8> {
        let bits = self.bits() as usize;
        if bits == 8 {
            return row;
        }
        let each = 8 / bits;
        let bytes = row.len().div_ceil(each);
        for byte in 0..bytes {
            let indices = row[byte * each..].iter().take(each).zip(1..);
            row[byte] = indices.fold(0, |byte, (index, number)| byte | index << (8 - bits * number));
        }
        row.truncate(bytes);
        row
    }
}
