//! The frame header of a key frame (RFC 6386 §9, §19.2).

use crate::bool_decoder::BoolDecoder;
use crate::loop_filter::FilterStrength;
use crate::tables::{AC_QUANT, COEFF_UPDATE_PROBS, DC_QUANT, DEFAULT_COEFF_PROBS};
use crate::tokens::CoeffProbs;
use tintype_pixels::Size;

/// Dequantisation factors of the blocks of a segment (§9.6, §14.1), each for the DC and for the AC coefficients.
#[derive(Clone, Copy, Default)]
pub(crate) struct DequantFactors {
    pub(crate) y: [i16; 2],
    pub(crate) y2: [i16; 2],
    pub(crate) uv: [i16; 2],
}

pub(crate) struct FrameHeader {
    /// The probabilities of the segment tree (§9.3), where each macroblock states its segment.
    pub(crate) segment_probs: Option<[u8; 3]>,
    /// By segment.
    pub(crate) dequant: [DequantFactors; 4],
    /// By segment, for macroblocks without and with a prediction mode for each subblock (B_PRED).
    pub(crate) filter_strengths: [[FilterStrength; 2]; 4],
    /// Whether the loop filter is the simple one (§15.2).
    pub(crate) is_simple_filter: bool,
    pub(crate) coeff_probs: Box<CoeffProbs>,
    /// The probability that a macroblock has coefficients, where each states whether it has.
    pub(crate) prob_skip_false: Option<u8>,
    /// How many partitions have the tokens: 1, 2, 4 or 8.
    pub(crate) token_partitions: usize,
}

/// The changes of each segment (§9.3).
#[derive(Default)]
struct Segmentation {
    probs: Option<[u8; 3]>,
    /// Whether the values replace those of the frame instead of being added to them.
    is_absolute: bool,
    quantizer: [Option<i32>; 4],
    filter_level: [Option<i32>; 4],
}

impl Segmentation {
    /// `None` for a header that relies on an earlier frame.
    fn read(bits: &mut BoolDecoder<'_>) -> Option<Segmentation> {
        if !bits.read_flag() {
            return Some(Segmentation::default());
        }
        let has_map = bits.read_flag();
        // update_segment_feature_data
        bits.read_flag().then_some(())?;
        let is_absolute = bits.read_flag();
        let quantizer = std::array::from_fn(|_| Some(bits.read_optional_signed(7)));
        let filter_level = std::array::from_fn(|_| Some(bits.read_optional_signed(6)));
        let mut prob = |_| if bits.read_flag() { bits.read_literal(8) as u8 } else { 255 };
        let probs = has_map.then(|| std::array::from_fn(&mut prob));
        Some(Segmentation { probs, is_absolute, quantizer, filter_level })
    }

    /// The value of a segment, by its own and the frame's.
    fn apply(&self, own: Option<i32>, of_frame: i32) -> i32 {
        match own {
            Some(own) if self.is_absolute => own,
            Some(delta) => of_frame + delta,
            None => of_frame,
        }
    }
}

impl FrameHeader {
    /// Reads the header from the first partition. `None` where it is not one of a key frame by itself.
    pub(crate) fn read(bits: &mut BoolDecoder<'_>) -> Option<FrameHeader> {
        // color_space: there is one
        (!bits.read_flag()).then_some(())?;
        // clamping_type: clamping does no harm where it is not required
        bits.read_flag();
        let segmentation = Segmentation::read(bits)?;
        let (is_simple_filter, filter_strengths) = read_loop_filter(bits, &segmentation);
        let token_partitions = 1 << bits.read_literal(2);
        let dequant = read_quantizers(bits, &segmentation);
        // refresh_entropy_probs concerns later frames
        bits.read_flag();
        let coeff_probs = read_coeff_probs(bits);
        let prob_skip_false = bits.read_flag().then(|| bits.read_literal(8) as u8);
        let segment_probs = segmentation.probs;
        Some(FrameHeader {
            segment_probs,
            dequant,
            filter_strengths,
            is_simple_filter,
            coeff_probs,
            prob_skip_false,
            token_partitions,
        })
    }

    /// The segment of the next macroblock (§10).
    pub(crate) fn read_segment_id(&self, bits: &mut BoolDecoder<'_>) -> usize {
        let Some(probs) = self.segment_probs else { return 0 };
        if bits.read_bool(probs[0]) {
            2 + usize::from(bits.read_bool(probs[2]))
        } else {
            usize::from(bits.read_bool(probs[1]))
        }
    }
}

/// The filter type, and the strengths by segment and by whether the mode is B_PRED (§9.6).
fn read_loop_filter(bits: &mut BoolDecoder<'_>, segmentation: &Segmentation) -> (bool, [[FilterStrength; 2]; 4]) {
    let is_simple = bits.read_flag();
    let (level, sharpness) = (bits.read_literal(6) as i32, bits.read_literal(3) as i32);
    // ref_frame_delta of the key frame itself, and mb_mode_delta of B_PRED
    let (mut intra_delta, mut b_pred_delta) = (0, 0);
    if bits.read_flag() && bits.read_flag() {
        let ref_frame_deltas: [i32; 4] = std::array::from_fn(|_| bits.read_optional_signed(6));
        let mb_mode_deltas: [i32; 4] = std::array::from_fn(|_| bits.read_optional_signed(6));
        (intra_delta, b_pred_delta) = (ref_frame_deltas[0], mb_mode_deltas[0]);
    }
    // at level 0 the frame is not filtered, whatever the segments say
    if level == 0 {
        return (is_simple, Default::default());
    }
    let strengths = segmentation.filter_level.map(|own| {
        let level = segmentation.apply(own, level).clamp(0, 63) + intra_delta;
        [0, b_pred_delta].map(|delta| FilterStrength::new((level + delta).clamp(0, 63), sharpness))
    });
    (is_simple, strengths)
}

/// The dequantisation factors by segment (§9.6).
fn read_quantizers(bits: &mut BoolDecoder<'_>, segmentation: &Segmentation) -> [DequantFactors; 4] {
    let y_ac_qi = bits.read_literal(7) as i32;
    let [y_dc_delta, y2_dc_delta, y2_ac_delta, uv_dc_delta, uv_ac_delta]: [i32; 5] =
        std::array::from_fn(|_| bits.read_optional_signed(4));
    segmentation.quantizer.map(|own| {
        let index = segmentation.apply(own, y_ac_qi);
        let at = |delta: i32| (index + delta).clamp(0, 127) as usize;
        DequantFactors {
            y: [DC_QUANT[at(y_dc_delta)], AC_QUANT[at(0)]],
            y2: [DC_QUANT[at(y2_dc_delta)] * 2, ((i32::from(AC_QUANT[at(y2_ac_delta)]) * 155 / 100) as i16).max(8)],
            uv: [DC_QUANT[at(uv_dc_delta)].min(132), AC_QUANT[at(uv_ac_delta)]],
        }
    })
}

/// The token probabilities: the defaults, some of them updated (§13.4).
fn read_coeff_probs(bits: &mut BoolDecoder<'_>) -> Box<CoeffProbs> {
    let mut coeff_probs = Box::new(DEFAULT_COEFF_PROBS);
    let probs = coeff_probs.as_flattened_mut().as_flattened_mut().as_flattened_mut();
    for (prob, &update_prob) in probs.iter_mut().zip(COEFF_UPDATE_PROBS.as_flattened().as_flattened().as_flattened()) {
        if bits.read_bool(update_prob) {
            *prob = bits.read_literal(8) as u8;
        }
    }
    coeff_probs
}

/// The size that the uncompressed header of a key frame states (§9.1), neither side 0; `None` where the data does not begin with such a
/// header.
pub fn frame_size(data: &[u8]) -> Option<Size> {
    let &[a, b, c, 0x9D, 0x01, 0x2A, w0, w1, h0, h1, ..] = data else { return None };
    // frame_type and show_frame: a key frame that is shown; version: 0 to 3, by which key frames do not differ
    if u32::from_le_bytes([a, b, c, 0]) & 0b1_1001 != 0b1_0000 {
        return None;
    }
    // the two highest bits ask for upscaling, which is left to the caller
    let (width, height) = (u16::from_le_bytes([w0, w1]) & 0x3FFF, u16::from_le_bytes([h0, h1]) & 0x3FFF);
    (width > 0 && height > 0).then(|| Size::new(width.into(), height.into()))
}

/// The first partition of a key frame, and what is behind it: the other partitions' sizes and the partitions (§9.1, §9.5).
pub(crate) fn first_partition(data: &[u8]) -> Option<(BoolDecoder<'_>, &[u8])> {
    let (&[a, b, c, ..], rest) = data.split_first_chunk::<10>()?;
    let (first, rest) = rest.split_at_checked((u32::from_le_bytes([a, b, c, 0]) >> 5) as usize)?;
    Some((BoolDecoder::new(first), rest))
}

/// The token partitions (§9.5). In a truncated frame they may end early.
pub(crate) fn token_partitions(count: usize, data: &[u8], may_be_truncated: bool) -> Option<Vec<BoolDecoder<'_>>> {
    let (sizes, mut rest) = data.split_at_checked(3 * (count - 1))?;
    let mut partitions = Vec::with_capacity(count);
    for &[a, b, c] in sizes.as_chunks::<3>().0 {
        let size = u32::from_le_bytes([a, b, c, 0]) as usize;
        let size = if may_be_truncated { size.min(rest.len()) } else { size };
        let (partition, others) = rest.split_at_checked(size)?;
        partitions.push(BoolDecoder::new(partition));
        rest = others;
    }
    partitions.push(BoolDecoder::new(rest));
    Some(partitions)
}
