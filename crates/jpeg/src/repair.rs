//! Repair of what is wrong around the image data, before a file is decoded.
//!
//! libjpeg goes on after most faults with a warning, and browsers show such files. The repairs here keep libjpeg and other decoders from
//! giving up, or from warning where nothing is lost. The meaning of each warning for the image is in [`integrity`](crate::integrity).

use std::borrow::Cow;

use crate::header::{Header, Segment, has_end, segments};
use crate::lenient_tables::STANDARD_HUFFMAN_TABLES;
use crate::marker::{APP0, APP14, APP15, COM, DHT, EOI, SOF0, SOF2, SOI, SOS};
use crate::structure::{FileEnd, FileStructure};

/// A file as it is passed to decoders.
pub struct Repaired<'a> {
    /// The file, borrowed where nothing was repaired.
    pub bytes: Cow<'a, [u8]>,
    /// Whether the original has an EOI marker of its own.
    pub has_end: bool,
}

/// Repairs what is wrong around the image data: an unknown colour transform, a sequential scan header with a spectral selection or
/// successive approximation, missing Huffman tables, segments too short for their own length, a missing EOI. Costs next to nothing
/// where nothing is wrong.
pub fn repair<'a>(original: &'a [u8], header: &Header) -> Repaired<'a> {
    let mut bytes = Cow::Borrowed(original);
    let mut scan = 2;
    let (mut has_huffman_tables, mut has_short_segments) = (false, false);
    for segment in segments(original) {
        scan = segment.end;
        has_huffman_tables |= segment.marker == DHT;
        let length = segment.end - segment.body.len() - 2;
        has_short_segments |= matches!(original[length..length + 2], [0, 0 | 1]);
        if let Some((at, transform)) = colour_transform(&segment, header.components) {
            bytes.to_mut()[at] = transform;
        }
    }
    let is_sequential = matches!(header.sof, SOF0..SOF2);
    if let Some(last) = original.get(scan..).and_then(spectral_selection).filter(|_| is_sequential) {
        let at = scan + last;
        if original[at..at + 3] != [0, 63, 0] {
            bytes.to_mut()[at..at + 3].copy_from_slice(&[0, 63, 0]);
        }
    }
    let has_end = has_end(original);
    if !has_end {
        bytes.to_mut().extend([0xFF, EOI]);
    }
    if is_sequential && !has_huffman_tables {
        let length = (STANDARD_HUFFMAN_TABLES.len() as u16 + 2).to_be_bytes();
        bytes = Cow::Owned([&bytes[..2], &[0xFF, DHT], &length, &STANDARD_HUFFMAN_TABLES, &bytes[2..]].concat());
    }
    if has_short_segments {
        bytes = Cow::Owned(without_extraneous_data(&bytes));
    }
    Repaired { bytes, has_end }
}

/// The offset of the colour transform in Adobe's segment and the transform that libjpeg assumes for that many components, where the
/// segment has an unknown one.
fn colour_transform(segment: &Segment<'_>, components: u8) -> Option<(usize, u8)> {
    let assumed = if components == 4 { 2 } else { 1 };
    let is_adobe = segment.marker == APP14 && segment.body.starts_with(b"Adobe");
    let transform = *segment.body.get(11).filter(|_| is_adobe)?;
    let is_known = transform == 0 || transform == assumed;
    (!is_known).then_some((segment.end - segment.body.len() + 11, assumed))
}

/// The file without bytes between its segments, and without application segments but Adobe's, which says what the colours are.
pub fn without_extraneous_data(original: &[u8]) -> Vec<u8> {
    let mut out = vec![0xFF, SOI];
    let mut scan = 2;
    for segment in segments(original) {
        scan = segment.end;
        if matches!(segment.marker, APP0..=APP15 | COM) && segment.marker != APP14 {
            continue;
        }
        out.extend([0xFF, segment.marker]);
        out.extend((segment.body.len() as u16 + 2).to_be_bytes());
        out.extend(segment.body);
    }
    let rest = &original[scan.min(original.len())..];
    out.extend(&rest[rest.iter().position(|&b| b == 0xFF).unwrap_or(rest.len())..]);
    out
}

/// The offset of Ss, Se and Ah/Al in a scan header (§B.2.3), if the bytes begin with one.
fn spectral_selection(bytes: &[u8]) -> Option<usize> {
    let (&[0xFF, SOS, l1, l0, ns], _) = bytes.split_first_chunk()? else { return None };
    let length = usize::from(u16::from_be_bytes([l1, l0]));
    (length == 6 + 2 * usize::from(ns) && bytes.len() >= 2 + length).then(|| 2 + length - 3)
}

/// The file up to the first marker that makes libjpeg give up, and EOI; `None` where there is no such marker, or it stands before the
/// image data. No browser minds such markers.
pub fn before_refused_marker(bytes: &[u8]) -> Option<Vec<u8>> {
    match FileStructure::read(bytes)?.end {
        FileEnd::Refused(at) => Some([&bytes[..at], &[0xFF, EOI]].concat()),
        FileEnd::Eoi | FileEnd::Truncated => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spectral_selection_is_found_in_scan_headers_alone() {
        let cases: [(&[u8], Option<usize>); 6] = [
            (&[0xFF, SOS, 0, 8, 1, 1, 0, 0, 63, 0], Some(7)),
            (&[0xFF, SOS, 0, 6, 0, 0, 63, 0], Some(5)),
            (&[0xFF, SOS, 0, 8, 1, 1, 0, 0, 63], None),
            // lengths that are shorter than the header
            (&[0xFF, SOS, 0, 0, 1, 1, 0, 0, 63, 0], None),
            (&[0xFF, SOS, 0, 2, 253, 1, 0, 0, 63, 0], None),
            (&[0xFF, COM, 0, 8, 1, 1, 0, 0, 63, 0], None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(spectral_selection(bytes), expected, "{bytes:?}");
        }
    }
}
