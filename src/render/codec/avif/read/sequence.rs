//! What the AV1 bitstream says before any pixel is decoded: the open bitstream
//! units (OBUs) of an item and its sequence header (AV1 specification, 5.3 to
//! 5.5).

use super::property::Nclx;

type Result<T> = std::result::Result<T, String>;

/// Most frames an item's temporal unit may hold. A still has one, a layered
/// still up to four; more is work that nobody sees.
const MAX_FRAMES: usize = 16;

const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_FRAME_HEADER: u8 = 3;
const OBU_FRAME: u8 = 6;

/// Where chroma samples of 4:2:0 lie (`chroma_sample_position`, 6.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChromaPosition {
    /// In the middle of four luma samples; also for "unknown".
    Centre,
    /// On the left luma column, between two rows.
    Left,
    /// On the top left luma sample.
    TopLeft,
}

/// The sequence header, as far as a still needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SequenceHeader {
    /// Pixels; no frame of the sequence is wider.
    pub(super) max_width: u32,
    /// Pixels; no frame of the sequence is higher.
    pub(super) max_height: u32,
    pub(super) colour: Nclx,
    pub(super) chroma_position: ChromaPosition,
}

/// Walks the OBUs of an item and returns its sequence header.
///
/// Fails where an OBU is cut, where sequence headers differ, and where there
/// are more frames than a still has.
pub(super) fn inspect(mut data: &[u8]) -> Result<SequenceHeader> {
    let mut header = None;
    let mut frames = 0;
    while !data.is_empty() {
        let (kind, payload, rest) = split_obu(data)?;
        data = rest;
        match kind {
            OBU_SEQUENCE_HEADER => {
                let parsed = parse_sequence_header(payload)?;
                if header.replace(parsed).is_some_and(|known| known != parsed) {
                    return Err("sequence headers differ".into());
                }
            }
            OBU_FRAME_HEADER | OBU_FRAME => frames += 1,
            _ => {}
        }
    }
    match (header, frames) {
        (None, _) => Err("no AV1 sequence header".into()),
        (_, 0) => Err("no AV1 frame".into()),
        (_, frames) if frames > MAX_FRAMES => Err(format!("{frames} AV1 frames in one item")),
        (Some(header), _) => Ok(header),
    }
}

/// Splits the first OBU off: its type, its payload and what follows (5.3).
fn split_obu(data: &[u8]) -> Result<(u8, &[u8], &[u8])> {
    let cut = "AV1 data is cut";
    let (&header, mut rest) = data.split_first().ok_or(cut)?;
    let (kind, has_extension, has_size) = (header >> 3 & 15, header >> 2 & 1, header >> 1 & 1);
    if has_extension == 1 {
        rest = rest.get(1..).ok_or(cut)?;
    }
    if has_size == 0 {
        return Ok((kind, rest, &[]));
    }
    let (size, rest) = split_leb128(rest).ok_or(cut)?;
    let (payload, rest) = rest.split_at_checked(size).ok_or(cut)?;
    Ok((kind, payload, rest))
}

/// A little-endian base 128 number of at most 8 bytes (4.10.5).
fn split_leb128(data: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (index, &byte) in data.iter().enumerate().take(8) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, data.get(index + 1..)?));
        }
    }
    None
}

/// Reads bits from the most significant on.
struct Bits<'a> {
    data: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    /// An unsigned number of up to 32 bits: `f(n)` in the specification.
    fn f(&mut self, count: u32) -> Result<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.data.get(self.position / 8).ok_or("AV1 sequence header is cut")?;
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
fn parse_sequence_header(payload: &[u8]) -> Result<SequenceHeader> {
    let bits = &mut Bits { data: payload, position: 0 };
    let profile = bits.f(3)?;
    let _still_picture = bits.flag()?;
    let reduced = bits.flag()?;
    if reduced {
        let _level = bits.f(5)?;
    } else {
        skip_operating_points(bits)?;
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
    let (colour, chroma_position) = parse_colour_config(bits, profile)?;
    Ok(SequenceHeader { max_width, max_height, colour, chroma_position })
}

/// Timing information and operating points (5.5.1, 5.5.3 to 5.5.5).
fn skip_operating_points(bits: &mut Bits<'_>) -> Result<()> {
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
    let count = bits.f(5)? + 1;
    for _ in 0..count {
        let _operating_point_idc = bits.f(12)?;
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

/// `color_config` (5.5.2).
fn parse_colour_config(bits: &mut Bits<'_>, profile: u32) -> Result<(Nclx, ChromaPosition)> {
    let high_depth = bits.flag()?;
    let twelve_bits = profile == 2 && high_depth && bits.flag()?;
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
    let halves_both = match profile {
        _ if monochrome || is_srgb_identity => false,
        0 => true,
        2 if twelve_bits => bits.flag()? && bits.flag()?,
        _ => false,
    };
    let position = if halves_both { bits.f(2)? } else { 0 };
    let chroma_position = match position {
        1 => ChromaPosition::Left,
        2 => ChromaPosition::TopLeft,
        _ => ChromaPosition::Centre,
    };
    Ok((colour, chroma_position))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may fail
mod tests {
    use super::*;

    /// A reduced still picture header: 4x4, profile 0, 8 bits.
    const STILL: &[u8] = &[0x0a, 0x05, 0x18, 0x04, 0x7d, 0x81, 0x48];

    #[test]
    fn numbers_are_read_and_bounded() {
        assert_eq!(split_leb128(&[0xe5, 0x8e, 0x26, 9]), Some((624_485, &[9][..])));
        assert_eq!(split_leb128(&[0x80; 9]), None);
        assert_eq!(split_leb128(&[0x80]), None);
    }

    #[test]
    fn a_sequence_without_a_frame_is_refused() {
        assert_eq!(inspect(STILL), Err("no AV1 frame".into()));
    }

    #[test]
    fn the_size_is_read() {
        let header = inspect(&[STILL, &[0x32, 0x00]].concat()).unwrap();
        assert_eq!((header.max_width, header.max_height), (4, 4));
    }

    #[test]
    fn cut_data_is_refused_wherever_it_is_cut() {
        for length in 0..STILL.len() {
            assert!(inspect(&STILL[..length]).is_err(), "{length}");
        }
    }
}
