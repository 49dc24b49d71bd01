//! Decoding of key frames, macroblock row by macroblock row.
//!
//! Anything unusual about a frame, and any damage, yields `None`. Prediction uses pixels before the loop filter, so the filter follows one
//! row of macroblocks behind. Scaled frames are not filtered, as in libwebp: the filter changes details that are smaller than a pixel of the result.

use crate::bool_decoder::BoolDecoder;
use crate::header::{FrameHeader, first_partition, frame_size, token_partitions};
use crate::loop_filter::{FilterStrength, filter_normal, filter_simple};
use crate::macroblock::{FrameBuffer, MacroblockState, NonzeroContext};
use crate::modes::{DC_PRED, Modes};
use crate::scaled::{ScaledPlanes, macroblock_side};
use tintype_pixels::{DctScale, Size};

/// A decoded frame: Y, Cb and Cr with 4:2:0 subsampling, 16 to 235 and 16 to 240 (§9.2).
pub struct Frame {
    /// Columns and rows of the image, at the scale that it was decoded at.
    pub size: Size,
    /// Y, Cb and Cr, of whole macroblocks: rows and columns behind the image's last are padding.
    pub planes: [Vec<u8>; 3],
    scale: DctScale,
    /// Macroblocks of a row.
    columns: usize,
}

impl Frame {
    /// Samples from one row of Y to the next. Rows of Cb and Cr have half as many.
    pub fn stride(&self) -> usize {
        self.columns * 2 * self.scale.eighths() as usize
    }
}

/// Decodes a key frame, the body of a `VP8 ` chunk, at 8/8, 4/8, 2/8 or 1/8 of its size. `None` for other scales, and for frames that
/// are damaged or no key frames. Memory is not limited: check [`frame_size`] of frames that you do not trust.
pub fn decode(data: &[u8], scale: DctScale) -> Option<Frame> {
    let size = frame_size(data)?;
    let planes = match scale.eighths() {
        8 => decode_planes(data, size, true)?,
        1 | 2 | 4 => decode_scaled(data, ScaledPlanes::new(size, scale)).ok()?.planes,
        _ => return None,
    };
    Some(Frame { size: size.scaled(scale), planes, scale, columns: size.width.div_ceil(16) as usize })
}

/// The planes of a key frame of that size, of whole macroblocks, with or without the loop filter.
pub fn decode_planes(data: &[u8], size: Size, loop_filter: bool) -> Option<[Vec<u8>; 3]> {
    let (mut bits, mut decoder) = FrameDecoder::new(data, size, size.height.div_ceil(16) as usize, false)?;
    if !loop_filter {
        decoder.header.filter_strengths = Default::default();
    }
    (decoder.decode(&mut bits, None) == decoder.rows).then_some(decoder.buffer.planes)
}

/// The planes of a truncated or damaged key frame, as libwebp shows it while it loads: rows that did not come are black. Also returns
/// how many rows came; `None` where none did.
pub fn decode_partial(data: &[u8], size: Size, loop_filter: bool) -> Option<([Vec<u8>; 3], u32)> {
    let (mut bits, mut decoder) = FrameDecoder::new(data, size, size.height.div_ceil(16) as usize, true)?;
    if !loop_filter {
        decoder.header.filter_strengths = Default::default();
    }
    let complete = decoder.decode(&mut bits, None);
    if complete == decoder.rows {
        // as where only partitions of tokens are missing that no macroblock needs
        return Some((decoder.buffer.planes, size.height));
    }
    // rows that the filter would still change are left out, and the pair whose chroma is interpolated with that of the next
    let is_filtered = decoder.header.filter_strengths.as_flattened().iter().any(|strength| !strength.is_off());
    let unfinished = match (is_filtered, decoder.header.is_simple_filter) {
        (false, _) => 2,
        (true, true) => 4,
        (true, false) => 10,
    };
    let rows = (complete * 16).checked_sub(unfinished).filter(|&rows| rows > 0)?;
    let columns = decoder.buffer.columns;
    for (number, plane) in decoder.buffer.planes.iter_mut().enumerate() {
        let (black, rows) = if number == 0 { (16, rows) } else { (128, rows / 2) };
        plane[rows * columns * macroblock_side(number)..].fill(black);
    }
    Some((decoder.buffer.planes, rows as u32))
}

/// Decodes a key frame into empty [`ScaledPlanes`], without the loop filter.
///
/// # Errors
/// The planes, empty again, for frames that are damaged, no key frames, or of another size.
pub fn decode_scaled(data: &[u8], mut to: ScaledPlanes) -> Result<ScaledPlanes, ScaledPlanes> {
    let size = to.size();
    let mut decode = || {
        let (mut bits, mut decoder) = FrameDecoder::new(data, size, 2, false)?;
        (decoder.decode(&mut bits, Some(&mut to)) == decoder.rows).then_some(())
    };
    match decode() {
        Some(()) => Ok(to),
        None => Err(to.cleared()),
    }
}

/// The facts of a macroblock that the loop filter uses (§9.6, §15).
#[derive(Clone, Copy, Default)]
struct FilterInfo {
    strength: FilterStrength,
    /// Whether the edges of subblocks are filtered, too: they are where there are coefficients, or B_PRED.
    subblocks: bool,
}

/// The state while a frame is decoded.
struct FrameDecoder<'a> {
    header: FrameHeader,
    buffer: FrameBuffer,
    /// Rows of macroblocks.
    rows: usize,
    tokens: Vec<BoolDecoder<'a>>,
}

/// The context from the macroblocks above and to the left.
struct Neighbours {
    modes_above: Vec<[u8; 4]>,
    modes_left: [u8; 4],
    nonzero_above: Vec<NonzeroContext>,
    nonzero_left: NonzeroContext,
}

impl<'a> FrameDecoder<'a> {
    /// A decoder that holds so many rows of macroblocks, and the first partition behind its header. `None` unless the frame has that size.
    fn new(
        data: &'a [u8], size: Size, held_rows: usize, may_be_truncated: bool,
    ) -> Option<(BoolDecoder<'a>, FrameDecoder<'a>)> {
        frame_size(data).filter(|&stated| stated == size)?;
        let (mut bits, rest) = first_partition(data)?;
        let header = FrameHeader::read(&mut bits)?;
        let tokens = token_partitions(header.token_partitions, rest, may_be_truncated)?;
        let (columns, rows) = (size.width.div_ceil(16) as usize, size.height.div_ceil(16) as usize);
        let side = macroblock_side;
        let planes = std::array::from_fn(|plane| vec![0; columns * held_rows * side(plane) * side(plane)]);
        Some((bits, FrameDecoder { header, buffer: FrameBuffer { columns, planes }, rows, tokens }))
    }

    /// Decodes the frame, into scaled planes if there are any, and returns how many rows of macroblocks came.
    fn decode(&mut self, bits: &mut BoolDecoder<'_>, mut scaled: Option<&mut ScaledPlanes>) -> usize {
        let columns = self.buffer.columns;
        let mut neighbours = Neighbours {
            modes_above: vec![[DC_PRED; 4]; columns],
            modes_left: [DC_PRED; 4],
            nonzero_above: vec![NonzeroContext::default(); columns],
            nonzero_left: NonzeroContext::default(),
        };
        let mut filters = vec![FilterInfo::default(); columns];
        let mut filters_above = filters.clone();
        let mut state = MacroblockState::default();
        for y in 0..self.rows {
            // of a frame that is scaled only the last line of the row above is needed again
            let row = if scaled.is_some() { y.min(1) } else { y };
            if !self.decode_row(bits, (y, row), &mut state, &mut neighbours, &mut filters) {
                if y > 0 && scaled.is_none() {
                    self.filter_row(y - 1, &filters_above);
                }
                return y;
            }
            if let Some(scaled) = &mut scaled {
                self.scale_row((y, row), scaled);
                continue;
            }
            if y > 0 {
                self.filter_row(y - 1, &filters_above);
            }
            std::mem::swap(&mut filters, &mut filters_above);
        }
        if scaled.is_none() {
            self.filter_row(self.rows - 1, &filters_above);
        }
        self.rows
    }

    /// Decodes row `y` of macroblocks into row `row` of the buffer, and returns whether it came whole.
    fn decode_row(
        &mut self, bits: &mut BoolDecoder<'_>, (y, row): (usize, usize), state: &mut MacroblockState,
        neighbours: &mut Neighbours, filters: &mut [FilterInfo],
    ) -> bool {
        neighbours.modes_left = [DC_PRED; 4];
        neighbours.nonzero_left = NonzeroContext::default();
        let partition = y % self.tokens.len();
        let mut tokens = std::mem::replace(&mut self.tokens[partition], BoolDecoder::new(&[]));
        let Neighbours { modes_above, modes_left, nonzero_above, nonzero_left } = neighbours;
        for x in 0..self.buffer.columns {
            let segment = self.header.read_segment_id(bits);
            let is_skipped = self.header.prob_skip_false.is_some_and(|prob| bits.read_bool(prob));
            let modes = Modes::read(bits, &mut modes_above[x], modes_left);
            let has_y2 = modes.y.is_some();
            let (above, left) = (&mut nonzero_above[x], &mut *nonzero_left);
            let has_residual = if is_skipped {
                state.skip_residual(has_y2, above, left);
                false
            } else {
                let (probs, dequant) = (&self.header.coeff_probs, &self.header.dequant[segment]);
                state.read_residual(&mut tokens, probs, dequant, has_y2, above, left)
            };
            filters[x] = FilterInfo {
                strength: self.header.filter_strengths[segment][usize::from(!has_y2)],
                subblocks: has_residual || !has_y2,
            };
            state.reconstruct(&mut self.buffer, (x, row), &modes);
        }
        let is_whole = bits.is_valid() && tokens.is_valid();
        self.tokens[partition] = tokens;
        is_whole
    }

    /// Adds row `y` of macroblocks, which is row `row` of the buffer, to scaled planes, and keeps its last line for the next row.
    fn scale_row(&mut self, (y, row): (usize, usize), scaled: &mut ScaledPlanes) {
        for (number, plane) in self.buffer.planes.iter_mut().enumerate() {
            let (side, stride) = (macroblock_side(number), self.buffer.columns * macroblock_side(number));
            scaled.add_row(number, y, &plane[row * side * stride..][..side * stride]);
            let last = (row + 1) * side - 1;
            plane.copy_within(last * stride..(last + 1) * stride, (side - 1) * stride);
        }
    }

    /// Applies the loop filter to a row of macroblocks (§15).
    fn filter_row(&mut self, y: usize, filters: &[FilterInfo]) {
        let columns = self.buffer.columns;
        for (x, FilterInfo { strength, subblocks }) in filters.iter().enumerate() {
            if strength.is_off() {
                continue;
            }
            let has_neighbours = (x > 0, y > 0);
            if self.header.is_simple_filter {
                let stride = columns * 16;
                let plane = &mut self.buffer.planes[0][..];
                filter_simple(plane, y * 16 * stride + x * 16, stride, *strength, *subblocks, has_neighbours);
                continue;
            }
            self.buffer.planes.iter_mut().enumerate().for_each(|(number, plane)| {
                let side = macroblock_side(number);
                let stride = columns * side;
                let at = y * side * stride + x * side;
                if number == 0 {
                    filter_normal::<16>(plane, at, stride, *strength, *subblocks, has_neighbours);
                } else {
                    filter_normal::<8>(plane, at, stride, *strength, *subblocks, has_neighbours);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;
