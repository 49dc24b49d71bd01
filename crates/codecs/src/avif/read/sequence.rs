//! What the AV1 bitstream says before any pixel is decoded: the open bitstream
//! units (OBUs) of an item and its sequence header (AV1 specification, 5.3 to
//! 5.5).

use super::property::Nclx;

type Result<T> = std::result::Result<T, String>;

/// Most frames that are decoded until one is shown. A still has one, a layered
/// still up to four, the first sample of a sequence a few that others refer to.
const MAX_FRAMES: usize = 16;

/// Most operating points of a sequence (`operating_points_cnt_minus_1`, 5.5.1).
const MAX_OPERATING_POINTS: usize = 32;

const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_TEMPORAL_DELIMITER: u8 = 2;
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
    /// Bits a sample: 8, 10 or 12.
    pub(super) depth: u8,
    /// Whether there is no chroma.
    pub(super) monochrome: bool,
    /// Whether frame headers are those of a still picture, which is always shown.
    is_reduced: bool,
    /// The layers of each operating point (`operating_point_idc`): spatial ones from bit 8 on.
    operating_points: [u16; MAX_OPERATING_POINTS],
    pub(super) colour: Nclx,
    pub(super) chroma_position: ChromaPosition,
}

impl SequenceHeader {
    /// The highest spatial layer of an operating point. As in dav1d, an unknown one stands for the first.
    fn highest_layer(&self, operating_point: u8) -> u8 {
        let layers = self.operating_points.get(usize::from(operating_point)).filter(|&&layers| layers != 0);
        let layers = layers.unwrap_or(&self.operating_points[0]) >> 8;
        layers.checked_ilog2().unwrap_or(0) as u8
    }

    /// Whether the frame whose header begins with that byte is shown (5.9.2).
    fn is_shown(&self, first_byte: u8) -> bool {
        let shows_existing_frame = first_byte >> 7 == 1;
        let show_frame = first_byte >> 4 & 1 == 1;
        self.is_reduced || shows_existing_frame || show_frame
    }
}

/// The part of a bitstream that is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// Index of the operating point (`a1op`).
    pub(super) operating_point: u8,
    /// The spatial layer (`lsel`); `None` is the highest of the operating point.
    pub(super) layer: Option<u8>,
}

/// The bitstream of an item or sample, as far as it is known before decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bitstream {
    pub(super) header: SequenceHeader,
    /// Frames to decode until the selected one is there.
    pub(super) frames: usize,
    /// Bytes up to the end of the selected frame. Decoders do not look at what follows, be it damaged.
    pub(super) length: usize,
}

/// Walks the OBUs of an item or sample up to the end of the selected frame.
///
/// Fails where an OBU is cut, where sequence headers differ, where a selected
/// layer is missing, and where there are more frames than a still has.
pub(super) fn inspect(data: &[u8], selection: Selection) -> Result<Bitstream> {
    let mut header: Option<SequenceHeader> = None;
    let mut frames = 0;
    let mut is_complete = false;
    let mut rest = data;
    while !rest.is_empty() {
        let obu = match split_obu(rest) {
            Err(_) if is_complete => break,
            obu => obu?,
        };
        match obu.kind {
            OBU_SEQUENCE_HEADER | OBU_TEMPORAL_DELIMITER | OBU_FRAME_HEADER | OBU_FRAME if is_complete => break,
            OBU_SEQUENCE_HEADER => {
                let parsed = parse_sequence_header(obu.payload)?;
                if header.replace(parsed).is_some_and(|known| known != parsed) {
                    return Err("sequence headers differ".into());
                }
            }
            OBU_FRAME_HEADER | OBU_FRAME => {
                let header = header.as_ref().ok_or("an AV1 frame without a sequence header")?;
                frames += 1;
                let wanted = selection.layer.unwrap_or_else(|| header.highest_layer(selection.operating_point));
                let is_shown = obu.payload.first().is_some_and(|&byte| header.is_shown(byte));
                // a selection by operating point is of no effect where the sequence has no layers
                let is_wanted = obu.spatial_layer == wanted || selection.layer.is_none() && wanted == 0;
                is_complete |= is_shown && is_wanted;
            }
            _ => {}
        }
        if frames > MAX_FRAMES {
            return Err(format!("more than {MAX_FRAMES} AV1 frames in one picture"));
        }
        rest = obu.rest;
    }
    match (header, selection.layer) {
        (None, _) => Err("no AV1 sequence header".into()),
        _ if frames == 0 => Err("no AV1 frame".into()),
        (_, Some(layer)) if !is_complete => Err(format!("no layer {layer} in the AV1 data")),
        (Some(header), _) => Ok(Bitstream { header, frames, length: data.len() - rest.len() }),
    }
}

/// An open bitstream unit, and the data that follows.
struct Obu<'a> {
    kind: u8,
    /// `spatial_id`; 0 where there is no extension.
    spatial_layer: u8,
    payload: &'a [u8],
    rest: &'a [u8],
}

/// Splits the first OBU off (5.3).
fn split_obu(data: &[u8]) -> Result<Obu<'_>> {
    let cut = "AV1 data is cut";
    let (&header, mut rest) = data.split_first().ok_or(cut)?;
    let (kind, has_extension, has_size) = (header >> 3 & 15, header >> 2 & 1, header >> 1 & 1);
    let mut spatial_layer = 0;
    if has_extension == 1 {
        let (&extension, behind) = rest.split_first().ok_or(cut)?;
        spatial_layer = extension >> 3 & 3;
        rest = behind;
    }
    if has_size == 0 {
        return Ok(Obu { kind, spatial_layer, payload: rest, rest: &[] });
    }
    let (size, rest) = split_leb128(rest).ok_or(cut)?;
    let (payload, rest) = rest.split_at_checked(size).ok_or(cut)?;
    Ok(Obu { kind, spatial_layer, payload, rest })
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
    let ColourConfig { depth, monochrome, colour, chroma_position } = parse_colour_config(bits, profile)?;
    Ok(SequenceHeader {
        max_width,
        max_height,
        depth,
        monochrome,
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
    Ok(ColourConfig { depth, monochrome, colour, chroma_position })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may fail
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A reduced still picture header: 4x4, profile 0, 8 bits.
    const STILL: &[u8] = &[0x0a, 0x05, 0x18, 0x04, 0x7d, 0x81, 0x48];

    #[test]
    fn numbers_are_read_and_bounded() {
        assert_eq!(split_leb128(&[0xe5, 0x8e, 0x26, 9]), Some((624_485, &[9][..])));
        assert_eq!(split_leb128(&[0x80; 9]), None);
        assert_eq!(split_leb128(&[0x80]), None);
    }

    /// A temporal delimiter, and a frame of no data.
    const DELIMITER: &[u8] = &[0x12, 0x00];
    const FRAME: &[u8] = &[0x32, 0x00];

    fn inspect_all(data: &[u8]) -> Result<Bitstream> {
        inspect(data, Selection::default())
    }

    #[test]
    fn sequence_without_frame_is_refused() {
        assert_eq!(inspect_all(STILL), Err("no AV1 frame".into()));
        assert_eq!(inspect_all(&[FRAME, STILL].concat()), Err("an AV1 frame without a sequence header".into()));
    }

    #[test]
    fn size_and_depth_are_read() {
        let Bitstream { header, .. } = inspect_all(&[STILL, FRAME].concat()).unwrap();
        assert_eq!((header.max_width, header.max_height, header.depth), (4, 4, 8));
    }

    #[test]
    fn cut_data_is_refused_wherever_it_is_cut() {
        for length in 0..STILL.len() {
            assert!(inspect_all(&STILL[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn data_behind_the_shown_frame_is_left_out() {
        let shown = [STILL, &[0x32, 0x01, 0x00]].concat();
        let tails: [&[u8]; 5] = [&[], DELIMITER, &[0x32, 0x01, 0x00], &[0x32, 0x7f], &[0x0a, 0x02, 0xff, 0xff]];
        for tail in tails {
            let found = inspect_all(&[&shown, tail].concat());
            assert_eq!(found.map(|found| (found.frames, found.length)), Ok((1, shown.len())), "{tail:?}");
        }
    }

    #[test]
    fn missing_layer_is_refused() {
        let data = [STILL, &[0x32, 0x01, 0x00]].concat();
        let select = |layer| inspect(&data, Selection { operating_point: 0, layer: Some(layer) });
        assert!(select(0).is_ok());
        assert_eq!(select(1), Err("no layer 1 in the AV1 data".into()));
    }

    proptest! {
        #[test]
        fn hostile_data_never_panics(data in proptest::collection::vec(any::<u8>(), 0..200), layer in 0..4_u8) {
            for layer in [None, Some(layer)] {
                let _ = inspect(&data, Selection { operating_point: 0, layer });
                let _ = inspect(&[STILL, &data].concat(), Selection { operating_point: 31, layer });
            }
        }
    }
}
