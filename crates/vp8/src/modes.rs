//! Prediction modes of macroblocks (RFC 6386 §8, §11).

use crate::bool_decoder::BoolDecoder;
use crate::mode_tables::KF_B_MODE_PROBS;

/// Modes of whole macroblocks. Modes of subblocks begin with the same, then LD, RD, VR, VL, HD and HU.
pub(crate) const DC_PRED: u8 = 0;
pub(crate) const TM_PRED: u8 = 1;
pub(crate) const V_PRED: u8 = 2;
pub(crate) const H_PRED: u8 = 3;
pub(crate) const B_LD_PRED: u8 = 4;
pub(crate) const B_RD_PRED: u8 = 5;
pub(crate) const B_VR_PRED: u8 = 6;
pub(crate) const B_VL_PRED: u8 = 7;
pub(crate) const B_HD_PRED: u8 = 8;

/// The prediction modes of a macroblock.
pub(crate) struct Modes {
    /// That of luma; `None` for B_PRED, where each subblock has its own.
    pub(crate) y: Option<u8>,
    /// The modes of the subblocks, for B_PRED.
    pub(crate) b: [u8; 16],
    /// That of chroma.
    pub(crate) uv: u8,
}

impl Modes {
    /// Reads the modes of a macroblock, by those of the subblocks above and to the left, which are updated.
    pub(crate) fn read(bits: &mut BoolDecoder<'_>, above: &mut [u8; 4], left: &mut [u8; 4]) -> Modes {
        let mut b = [DC_PRED; 16];
        let y = read_y_mode(bits);
        match y {
            Some(mode) => (*above, *left) = ([mode; 4], [mode; 4]),
            None => {
                for (row, left) in b.as_chunks_mut::<4>().0.iter_mut().zip(left) {
                    for (mode, above) in row.iter_mut().zip(above.iter_mut()) {
                        *mode = read_b_mode(bits, &KF_B_MODE_PROBS[usize::from(*above)][usize::from(*left)]);
                        (*above, *left) = (*mode, *mode);
                    }
                }
            }
        }
        Modes { y, b, uv: read_uv_mode(bits) }
    }
}

/// kf_ymode_tree (§11.2); `None` for B_PRED.
fn read_y_mode(bits: &mut BoolDecoder<'_>) -> Option<u8> {
    if !bits.read_bool(145) {
        return None;
    }
    Some(match bits.read_bool(156) {
        false if bits.read_bool(163) => V_PRED,
        false => DC_PRED,
        true if bits.read_bool(128) => TM_PRED,
        true => H_PRED,
    })
}

/// bmode_tree (§11.2, §11.3).
fn read_b_mode(bits: &mut BoolDecoder<'_>, probs: &[u8; 9]) -> u8 {
    /// By node and bool: the next node, or 0 and less for a mode.
    const B_MODE_TREE: [i8; 18] = [0, 2, -1, 4, -2, 6, 8, 12, -3, 10, -5, -6, -4, 14, -7, 16, -8, -9];
    let mut node = 0;
    loop {
        let next = B_MODE_TREE[node + usize::from(bits.read_bool(probs[node / 2]))];
        if next <= 0 {
            return (-next) as u8;
        }
        node = next as usize;
    }
}

/// uv_mode_tree (§11.4).
fn read_uv_mode(bits: &mut BoolDecoder<'_>) -> u8 {
    if !bits.read_bool(142) {
        DC_PRED
    } else if !bits.read_bool(114) {
        V_PRED
    } else if bits.read_bool(183) {
        TM_PRED
    } else {
        H_PRED
    }
}
