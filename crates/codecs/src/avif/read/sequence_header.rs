//! The AV1 sequence header (AV1 specification, 5.5).

use super::property::Nclx;

type Result<T> = std::result::Result<T, String>;

/// The most operating points of a sequence (`operating_points_cnt_minus_1`, 5.5.1).
const MAX_OPERATING_POINTS: usize = 32;

/// The position of 4:2:0 chroma samples (`chroma_sample_position`, 6.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChromaPosition {
    /// In the middle of four luma samples; also for "unknown".
    Centre,
    /// On the left luma column, between two rows.
    Left,
    /// On the top left luma sample.
    TopLeft,
}

/// The fields of the sequence header that decoding a still needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::avif) struct SequenceHeader {
    /// In pixels; no frame is wider.
    pub(super) max_width: u32,
    /// In pixels; no frame is higher.
    pub(super) max_height: u32,
    /// Bits a sample: 8, 10 or 12.
    pub(in crate::avif) depth: u8,
    /// Whether there is no chroma.
    pub(in crate::avif) monochrome: bool,
    /// Whether chroma has half the columns and half the rows (4:2:0).
    pub(super) halves_chroma: bool,
    /// `reduced_still_picture_header`: every frame is shown.
    is_reduced: bool,
    /// `operating_point_idc`; spatial layers from bit 8 on.
    operating_points: [u16; MAX_OPERATING_POINTS],
    pub(super) colour: Nclx,
    pub(super) chroma_position: ChromaPosition,
}

impl SequenceHeader {
    /// The highest spatial layer of an operating point; of the first one for an unknown index, as in dav1d.
    pub(super) fn highest_layer(&self, operating_point: u8) -> u8 {
        let layers = self.operating_points.get(usize::from(operating_point)).filter(|&&layers| layers != 0);
        let layers = layers.unwrap_or(&self.operating_points[0]) >> 8;
        layers.checked_ilog2().unwrap_or(0) as u8
    }

    /// Whether a frame is shown, by the first byte of its header (5.9.2).
    pub(super) fn is_shown(&self, first_byte: u8) -> bool {
        let shows_existing_frame = first_byte >> 7 == 1;
        let show_frame = first_byte >> 4 & 1 == 1;
        self.is_reduced || shows_existing_frame || show_frame
    }
}

/// Reads bits from the most significant one of each byte on.
struct Bits<'a> {
    data: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    /// An unsigned number of up to 32 bits: `f(n)` in the specification.
    fn f(&mut self, count: u32) -> Result<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.data.get(self.position / 8).ok_or("the AV1 sequence header is truncated")?;
            value = value << 1 | u32::from(byte >> (7 - self.position % 8) & 1);
            self.position += 1;
        }
        Ok(value)
    }

    fn flag(&mut self) -> Result<bool> {
        Ok(self.f(1)? == 1)
    }

    /// Skips a variable-length number (4.10.3).
    fn skip_uvlc(&mut self) -> Result<()> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        if zeros < 32 {
            self.f(zeros)?;
        }
        Ok(())
    }
}

/// `sequence_header_obu` (5.5.1).
pub(in crate::avif) fn parse_sequence_header(payload: &[u8]) -> Result<SequenceHeader> {
    let bits = &mut Bits { data: payload, position: 0 };
    let profile = bits.f(3)?;
    let _still_picture = bits.flag()?;
    let reduced = bits.flag()?;
    let mut operating_points = [0; MAX_OPERATING_POINTS];
    if reduced {
        let _level = bits.f(5)?;
    } else {
        parse_operating_points(bits, &mut operating_points)?;
    }
    let (width_bits, height_bits) = (bits.f(4)? + 1, bits.f(4)? + 1);
    let (max_width, max_height) = (bits.f(width_bits)? + 1, bits.f(height_bits)? + 1);
    if !reduced && bits.flag()? {
        let _frame_id_lengths = bits.f(7)?;
    }
    let _superblocks_and_intra_tools = bits.f(3)?;
    if !reduced {
        skip_inter_tools(bits)?;
    }
    let _superres_cdef_restoration = bits.f(3)?;
    let ColourConfig { depth, monochrome, halves_chroma, colour, chroma_position } =
        parse_colour_config(bits, profile)?;
    Ok(SequenceHeader {
        max_width,
        max_height,
        depth,
        monochrome,
        halves_chroma,
        is_reduced: reduced,
        operating_points,
        colour,
        chroma_position,
    })
}

/// Timing information and operating points (5.5.1, 5.5.3 to 5.5.5).
fn parse_operating_points(bits: &mut Bits<'_>, layers: &mut [u16; MAX_OPERATING_POINTS]) -> Result<()> {
    let mut buffer_delay_bits = None;
    if bits.flag()? {
        let (_units_in_tick, _time_scale) = (bits.f(32)?, bits.f(32)?);
        if bits.flag()? {
            bits.skip_uvlc()?;
        }
        if bits.flag()? {
            buffer_delay_bits = Some(bits.f(5)? + 1);
            let _units_in_decoding_tick = bits.f(32)?;
            let _time_lengths = bits.f(10)?;
        }
    }
    let has_display_delay = bits.flag()?;
    let count = bits.f(5)? as usize + 1;
    for layers in layers.iter_mut().take(count) {
        *layers = bits.f(12)? as u16;
        if bits.f(5)? > 7 {
            let _tier = bits.flag()?;
        }
        if let Some(length) = buffer_delay_bits
            && bits.flag()?
        {
            let (_decoder_delay, _encoder_delay) = (bits.f(length)?, bits.f(length)?);
            let _low_delay = bits.flag()?;
        }
        if has_display_delay && bits.flag()? {
            let _delay = bits.f(4)?;
        }
    }
    Ok(())
}

/// The tools that `reduced_still_picture_header` leaves out (5.5.1).
fn skip_inter_tools(bits: &mut Bits<'_>) -> Result<()> {
    let _compound_warp_and_filter = bits.f(4)?;
    let has_order_hint = bits.flag()?;
    if has_order_hint {
        let _joint_compound_and_reference_mvs = bits.f(2)?;
    }
    let chooses_screen_content = bits.flag()?;
    let may_have_screen_content = chooses_screen_content || bits.flag()?;
    if may_have_screen_content && !bits.flag()? {
        let _force_integer_mv = bits.flag()?;
    }
    if has_order_hint {
        let _order_hint_bits = bits.f(3)?;
    }
    Ok(())
}

/// The fields of `color_config`.
struct ColourConfig {
    depth: u8,
    monochrome: bool,
    halves_chroma: bool,
    colour: Nclx,
    chroma_position: ChromaPosition,
}

/// `color_config` (5.5.2).
fn parse_colour_config(bits: &mut Bits<'_>, profile: u32) -> Result<ColourConfig> {
    let high_depth = bits.flag()?;
    let twelve_bits = profile == 2 && high_depth && bits.flag()?;
    let depth = if twelve_bits {
        12
    } else if high_depth {
        10
    } else {
        8
    };
    let monochrome = profile != 1 && bits.flag()?;
    let mut codes = [2_u16; 3];
    if bits.flag()? {
        for code in &mut codes {
            *code = bits.f(8)? as u16;
        }
    }
    let [primaries, transfer, matrix] = codes;
    let is_srgb_identity = !monochrome && codes == [1, 13, 0];
    let full_range = is_srgb_identity || bits.flag()?;
    let colour = Nclx { primaries, transfer, matrix, full_range };
    let halves_chroma = match profile {
        _ if monochrome || is_srgb_identity => false,
        0 => true,
        2 if twelve_bits => bits.flag()? && bits.flag()?,
        _ => false,
    };
    let position = if halves_chroma { bits.f(2)? } else { 0 };
    let chroma_position = match position {
        1 => ChromaPosition::Left,
        2 => ChromaPosition::TopLeft,
        _ => ChromaPosition::Centre,
    };
    Ok(ColourConfig { depth, monochrome, halves_chroma, colour, chroma_position })
}
