//! Walking the open bitstream units (OBUs) of an item or sample before it is decoded
//! (AV1 specification, 5.3).

use super::sequence_header::{SequenceHeader, parse_sequence_header};

type Result<T> = std::result::Result<T, String>;

/// The most frames that are decoded until one is shown. A still has one, a layered
/// still up to four, the first sample of a sequence a few reference frames.
const MAX_FRAMES: usize = 16;

const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_TEMPORAL_DELIMITER: u8 = 2;
const OBU_FRAME_HEADER: u8 = 3;
const OBU_FRAME: u8 = 6;
const OBU_REDUNDANT_FRAME_HEADER: u8 = 7;

/// The operating point and layer to decode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// Index of the operating point (`a1op`).
    pub(super) operating_point: u8,
    /// The spatial layer (`lsel`); `None` is the highest of the operating point.
    pub(super) layer: Option<u8>,
}

/// Properties of the bitstream of an item or sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bitstream {
    pub(super) header: SequenceHeader,
    /// Frames to decode up to the selected one.
    pub(super) frames: usize,
    /// Bytes up to the end of the selected frame; data behind it may be damaged.
    pub(super) length: usize,
}

/// Walks the OBUs of an item or sample up to the end of the selected frame.
///
/// # Errors
/// A truncated OBU, differing sequence headers, a missing layer, or more than [`MAX_FRAMES`] frames.
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
                // without layers the operating point has no effect
                let is_wanted = obu.spatial_layer == wanted || selection.layer.is_none() && wanted == 0;
                is_complete |= is_shown && is_wanted;
            }
            // where the header that it repeats is missing, decoders take it for one
            OBU_REDUNDANT_FRAME_HEADER => frames += 1,
            _ => {}
        }
        check_count(frames)?;
        rest = obu.rest;
    }
    match (header, selection.layer) {
        (None, _) => Err("no AV1 sequence header".into()),
        _ if frames == 0 => Err("no AV1 frame".into()),
        (_, Some(layer)) if !is_complete => Err(format!("no layer {layer} in the AV1 data")),
        (Some(header), _) => Ok(Bitstream { header, frames, length: data.len() - rest.len() }),
    }
}

/// Checks a further sample of a sequence, whose sequence header may be in an earlier one.
///
/// # Errors
/// More than [`MAX_FRAMES`] frames.
pub(super) fn check_frames(data: &[u8]) -> Result<()> {
    let (mut rest, mut frames) = (data, 0);
    // the decoder reports data that cannot be split
    while let Ok(obu) = split_obu(rest) {
        frames += usize::from(matches!(obu.kind, OBU_FRAME_HEADER | OBU_FRAME | OBU_REDUNDANT_FRAME_HEADER));
        rest = obu.rest;
    }
    check_count(frames)
}

fn check_count(frames: usize) -> Result<()> {
    if frames > MAX_FRAMES { Err(format!("more than {MAX_FRAMES} AV1 frames in one picture")) } else { Ok(()) }
}

/// An open bitstream unit, and the data behind it.
struct Obu<'a> {
    kind: u8,
    /// `spatial_id`; 0 where there is no extension.
    spatial_layer: u8,
    payload: &'a [u8],
    rest: &'a [u8],
}

/// Splits the first OBU off (5.3).
fn split_obu(data: &[u8]) -> Result<Obu<'_>> {
    let cut = "the AV1 data are truncated";
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

/// A LEB128 number of at most 8 bytes (4.10.5).
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

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may fail
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A reduced still picture header: 4x4, profile 0, 8 bits.
    const STILL: &[u8] = &[0x0a, 0x05, 0x18, 0x04, 0x7d, 0x81, 0x48];

    #[test]
    fn leb128_is_read_and_bounded() {
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
    fn size_and_depth_of_the_sequence_header_are_read() {
        let Bitstream { header, .. } = inspect_all(&[STILL, FRAME].concat()).unwrap();
        assert_eq!((header.max_width, header.max_height, header.depth), (4, 4, 8));
    }

    #[test]
    fn truncated_sequence_header_is_refused() {
        for length in 0..STILL.len() {
            assert!(inspect_all(&STILL[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn data_behind_the_shown_frame_are_ignored() {
        let shown = [STILL, &[0x32, 0x01, 0x00]].concat();
        let tails: [&[u8]; 5] = [&[], DELIMITER, &[0x32, 0x01, 0x00], &[0x32, 0x7f], &[0x0a, 0x02, 0xff, 0xff]];
        for tail in tails {
            let found = inspect_all(&[&shown, tail].concat());
            assert_eq!(found.map(|found| (found.frames, found.length)), Ok((1, shown.len())), "{tail:?}");
        }
    }

    #[test]
    fn frames_of_a_picture_are_bounded() {
        let [frame_header, redundant] = [&[0x1a, 0x00][..], &[0x3a, 0x00]];
        for obu in [FRAME, frame_header, redundant] {
            let of = |frames: usize| [DELIMITER, &obu.repeat(frames)].concat();
            assert_eq!(check_frames(&of(MAX_FRAMES)), Ok(()), "{obu:?}");
            assert!(check_frames(&of(MAX_FRAMES + 1)).is_err(), "{obu:?}");
            assert!(inspect_all(&[STILL, FRAME, &of(MAX_FRAMES - 1)].concat()).is_ok(), "{obu:?}");
            assert!(inspect_all(&[STILL, FRAME, &of(MAX_FRAMES)].concat()).is_err(), "{obu:?}");
        }
        assert_eq!(check_frames(&[0x32, 0x7f, 1]), Ok(()), "an OBU that is cut off");
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
