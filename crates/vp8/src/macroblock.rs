//! Reconstruction of macroblocks: residuals (RFC 6386 §14), prediction (§12) and their sum.

use crate::bool_decoder::BoolDecoder;
use crate::header::DequantFactors;
use crate::modes::Modes;
use crate::predict::{
    CHROMA_STRIDE, FIRST, LUMA_STRIDE, add_residual, inverse_wht, load_borders, predict_macroblock, predict_subblock,
    store,
};
use crate::tokens::{CoeffProbs, MAX_COEFF, MAX_Y2_COEFF, UV, Y_AFTER_Y2, Y_WITH_DC, Y2, read_block};

/// Blocks of a macroblock but Y2: 16 of Y, 4 of Cb, 4 of Cr.
const BLOCKS: usize = 24;

/// Which blocks at the right or the lower edge of a neighbour have coefficients: the context of the first token (§13.3).
#[derive(Clone, Copy, Default)]
pub(crate) struct NonzeroContext {
    y: [bool; 4],
    uv: [[bool; 2]; 2],
    y2: bool,
}

impl NonzeroContext {
    /// That of a macroblock without coefficients. Where it has no Y2 block, that of the neighbour before stays.
    fn skip(&mut self, has_y2: bool) {
        *self = NonzeroContext { y2: self.y2 && !has_y2, ..NonzeroContext::default() };
    }
}

/// The macroblock that is reconstructed.
pub(crate) struct MacroblockState {
    /// Its luma with a row above and columns to the left and right, rows of [`LUMA_STRIDE`].
    luma: [u8; LUMA_STRIDE * 17],
    /// One chroma plane, likewise.
    chroma: [u8; CHROMA_STRIDE * 9],
    /// Dequantised coefficients by block. Zero unless `has_residual`.
    coefficients: [[i16; 16]; BLOCKS],
    has_residual: [bool; BLOCKS],
}

/// Y, Cb and Cr planes of whole macroblocks.
pub(crate) struct FrameBuffer {
    /// Macroblocks of a row.
    pub(crate) columns: usize,
    /// The whole frame, or two rows of macroblocks of a frame that is scaled row by row.
    pub(crate) planes: [Vec<u8>; 3],
}

impl Default for MacroblockState {
    fn default() -> MacroblockState {
        MacroblockState {
            luma: [0; LUMA_STRIDE * 17],
            chroma: [0; CHROMA_STRIDE * 9],
            coefficients: [[0; 16]; BLOCKS],
            has_residual: [false; BLOCKS],
        }
    }
}

impl MacroblockState {
    /// Begins a macroblock without coefficients.
    pub(crate) fn skip_residual(&mut self, has_y2: bool, above: &mut NonzeroContext, left: &mut NonzeroContext) {
        above.skip(has_y2);
        left.skip(has_y2);
        self.has_residual = [false; BLOCKS];
    }

    /// Reads the coefficients of a macroblock, and returns whether there are any.
    pub(crate) fn read_residual(
        &mut self, tokens: &mut BoolDecoder<'_>, probs: &CoeffProbs, dequant: &DequantFactors, has_y2: bool,
        above: &mut NonzeroContext, left: &mut NonzeroContext,
    ) -> bool {
        let mut any = false;
        self.has_residual = [false; BLOCKS];
        let (block_type, first) = if has_y2 { (Y_AFTER_Y2, 1) } else { (Y_WITH_DC, 0) };
        if has_y2 {
            any |= self.read_y2(tokens, probs, dequant.y2, &mut above.y2, &mut left.y2);
        }
        for (y, left) in left.y.iter_mut().enumerate() {
            for (x, above) in above.y.iter_mut().enumerate() {
                let (at, context) = (4 * y + x, usize::from(*above) + usize::from(*left));
                let out = &mut self.coefficients[at];
                let end = read_block(tokens, &probs[block_type], context, first, dequant.y, MAX_COEFF, out);
                (*above, *left) = (end > first, end > first);
                self.has_residual[at] |= end > first;
                any |= end > first;
            }
        }
        for plane in 0..2 {
            for y in 0..2 {
                for x in 0..2 {
                    let at = 16 + 4 * plane + 2 * y + x;
                    let (above, left) = (&mut above.uv[plane][x], &mut left.uv[plane][y]);
                    let context = usize::from(*above) + usize::from(*left);
                    let out = &mut self.coefficients[at];
                    let end = read_block(tokens, &probs[UV], context, 0, dequant.uv, MAX_COEFF, out);
                    (*above, *left) = (end > 0, end > 0);
                    self.has_residual[at] = end > 0;
                    any |= end > 0;
                }
            }
        }
        any
    }

    /// Reads the Y2 block, whose transform is the DC coefficients of the Y blocks (§14.3). Returns whether any is not 0.
    fn read_y2(
        &mut self, tokens: &mut BoolDecoder<'_>, probs: &CoeffProbs, dequant: [i16; 2], above: &mut bool,
        left: &mut bool,
    ) -> bool {
        let mut y2 = [0; 16];
        let context = usize::from(*above) + usize::from(*left);
        let end = read_block(tokens, &probs[Y2], context, 0, dequant, MAX_Y2_COEFF, &mut y2);
        (*above, *left) = (end > 0, end > 0);
        let mut any = false;
        if end > 0 {
            for (at, dc) in inverse_wht(&y2).into_iter().enumerate() {
                if dc.abs() > MAX_COEFF {
                    tokens.fail();
                    continue;
                }
                self.coefficients[at][0] = dc as i16;
                self.has_residual[at] = dc != 0;
                any |= dc != 0;
            }
        }
        any
    }

    /// Predicts the macroblock in column `x` and row `y` of the buffer, adds its residual, and stores it.
    pub(crate) fn reconstruct(&mut self, to: &mut FrameBuffer, (x, y): (usize, usize), modes: &Modes) {
        let stride = to.columns * 16;
        load_borders::<16, LUMA_STRIDE>(&mut self.luma, &to.planes[0], stride, (x, y));
        match modes.y {
            Some(mode) => {
                predict_macroblock::<16, LUMA_STRIDE>(&mut self.luma, mode, (x, y));
                for at in 0..16 {
                    self.add_luma_residual(at);
                }
            }
            None => self.reconstruct_subblocks(to, stride, (x, y), &modes.b),
        }
        store::<16, LUMA_STRIDE>(&self.luma, &mut to.planes[0], stride, (x, y));
        let stride = to.columns * 8;
        for plane in 0..2 {
            load_borders::<8, CHROMA_STRIDE>(&mut self.chroma, &to.planes[1 + plane], stride, (x, y));
            predict_macroblock::<8, CHROMA_STRIDE>(&mut self.chroma, modes.uv, (x, y));
            for block in 0..4 {
                let at = 16 + 4 * plane + block;
                if self.has_residual[at] {
                    let place = (block / 2 * 4 + 1) * CHROMA_STRIDE + FIRST + block % 2 * 4;
                    add_residual(&mut self.chroma, place, CHROMA_STRIDE, &mut self.coefficients[at]);
                }
            }
            store::<8, CHROMA_STRIDE>(&self.chroma, &mut to.planes[1 + plane], stride, (x, y));
        }
    }

    /// Predicts each luma subblock by the reconstructed ones before it (§12.3).
    fn reconstruct_subblocks(&mut self, from: &FrameBuffer, stride: usize, (x, y): (usize, usize), modes: &[u8; 16]) {
        // all subblocks at the right edge use the pixels above and to the right of the macroblock
        let right = FIRST + 16;
        if y > 0 {
            let above = &from.planes[0][(y * 16 - 1) * stride..][..stride];
            match above.get((x + 1) * 16..(x + 1) * 16 + 4) {
                Some(next) => self.luma[right..right + 4].copy_from_slice(next),
                None => {
                    let last = above[x * 16 + 15];
                    self.luma[right..right + 4].fill(last);
                }
            }
        } else {
            self.luma[right..right + 4].fill(127);
        }
        for row in [4, 8, 12] {
            self.luma.copy_within(right..right + 4, row * LUMA_STRIDE + right);
        }
        for (at, &mode) in modes.iter().enumerate() {
            predict_subblock(&mut self.luma, (at / 4 * 4 + 1) * LUMA_STRIDE + FIRST + at % 4 * 4, mode);
            self.add_luma_residual(at);
        }
    }

    fn add_luma_residual(&mut self, at: usize) {
        if self.has_residual[at] {
            let place = (at / 4 * 4 + 1) * LUMA_STRIDE + FIRST + at % 4 * 4;
            add_residual(&mut self.luma, place, LUMA_STRIDE, &mut self.coefficients[at]);
        }
    }
}
