//! DCT tokens: the coefficients of blocks (RFC 6386 §13).

use crate::bool_decoder::BoolDecoder;

/// Token probabilities: by block type, coefficient band, context, and node of the token tree.
pub(crate) type CoeffProbs = [[[[u8; 11]; 3]; 8]; 4];

/// Block types (§13.3).
pub(crate) const Y_AFTER_Y2: usize = 0;
pub(crate) const Y2: usize = 1;
pub(crate) const UV: usize = 2;
pub(crate) const Y_WITH_DC: usize = 3;

/// The place in a block, row by row, of each coefficient (§13).
const ZIGZAG: [u8; 16] = [0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15];
/// The band of each coefficient (§13.3), and of one behind the last.
const COEFF_BANDS: [u8; 17] = [0, 1, 2, 3, 6, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7, 0];

/// The largest coefficient that is accepted: ten times what any frame has, and so small that transforms do not overflow.
pub(crate) const MAX_COEFF: i32 = 12_000;
/// The same of Y2 blocks.
pub(crate) const MAX_Y2_COEFF: i32 = 32_767;

/// Reads the tokens of a block from coefficient `first` on, and writes dequantised coefficients. `context` is how many of the blocks above
/// and to the left have coefficients. Returns the index behind the last token, `first` for an empty block. Coefficients of more than
/// `max` are damage.
#[inline(always)]
pub(crate) fn read_block(
    bits: &mut BoolDecoder<'_>, probs: &[[[u8; 11]; 3]; 8], context: usize, first: usize, dequant: [i16; 2], max: i32,
    out: &mut [i16; 16],
) -> usize {
    let mut at = first;
    let mut p = &probs[usize::from(COEFF_BANDS[at])][context];
    while at < 16 {
        // dct_eob
        if !bits.read_bool(p[0]) {
            return at;
        }
        // DCT_0, which no EOB follows
        while !bits.read_bool(p[1]) {
            at += 1;
            if at == 16 {
                return 16;
            }
            p = &probs[usize::from(COEFF_BANDS[at])][0];
        }
        let next = &probs[usize::from(COEFF_BANDS[at + 1])];
        let magnitude = if bits.read_bool(p[2]) {
            let magnitude = read_large_token(bits, p);
            p = &next[2];
            magnitude
        } else {
            p = &next[1];
            1
        };
        let value = if bits.read_flag() { -magnitude } else { magnitude };
        let value = value * i32::from(dequant[usize::from(at > 0)]);
        if value.abs() > max {
            bits.fail();
            return 0;
        }
        out[usize::from(ZIGZAG[at])] = value as i16;
        at += 1;
    }
    16
}

/// The rest of a token of 2 or more, and its extra bits: the magnitude (§13.2).
fn read_large_token(bits: &mut BoolDecoder<'_>, p: &[u8; 11]) -> i32 {
    /// Probabilities of the extra bits of categories 3 to 6.
    const EXTRA_BITS: [&[u8]; 4] = [
        &[173, 148, 140],
        &[176, 155, 140, 135],
        &[180, 157, 141, 134, 130],
        &[254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129],
    ];
    if !bits.read_bool(p[3]) {
        return if bits.read_bool(p[4]) { 3 + i32::from(bits.read_bool(p[5])) } else { 2 };
    }
    if !bits.read_bool(p[6]) {
        if !bits.read_bool(p[7]) {
            return 5 + i32::from(bits.read_bool(159));
        }
        let high = 2 * i32::from(bits.read_bool(165));
        return 7 + high + i32::from(bits.read_bool(145));
    }
    let high = bits.read_bool(p[8]);
    let category = 2 * usize::from(high) + usize::from(bits.read_bool(p[9 + usize::from(high)]));
    let extra = EXTRA_BITS[category].iter().fold(0, |value, &prob| 2 * value + i32::from(bits.read_bool(prob)));
    3 + (8 << category) + extra
}
