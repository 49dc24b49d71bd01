//! The segments before the first scan (ITU T.81 Annex B), read without decoding.

use crate::FORMAT;
use crate::marker::{APP0, APP1, APP2, APP14, APP15, COM, DAC, DHT, EOI, JPG, RST0, SOF0, SOF15, SOI, SOS, TEM};
use tintype_pixels::{ColourModel, Error, Result, Size};

/// The largest ICC profile that is assembled, in bytes: print profiles have about 2 MB.
const MAX_PROFILE: usize = 8 << 20;

/// The contents of the segments before the first scan (T.81 Annex B, JFIF 1.02, ICC.1 Annex B.4).
pub struct Header {
    /// Columns and rows, neither of them 0.
    pub size: Size,
    /// Components of the frame: 1 for grey, 3 for Y′CbCr or RGB, 4 for CMYK or YCCK.
    pub components: u8,
    /// Samples of all components together for each pixel: 1.5 for 4:2:0, 3 for 4:4:4.
    pub samples_per_pixel: f64,
    /// The SOFn marker, which says how the frame is coded.
    pub(crate) sof: u8,
    /// Whether SOFn is a progressive mode, with Huffman or arithmetic coding.
    pub progressive: bool,
    /// Whether SOFn is a lossless mode.
    pub lossless: bool,
    /// Whether decoders hold all coefficients until the last scan: those of a progressive file, and of a sequential one whose
    /// first scan lacks components.
    pub has_several_scans: bool,
    /// The first EXIF segment, from the TIFF header on.
    pub exif: Option<Vec<u8>>,
    /// The ICC profile, if it fits the number of components.
    pub profile: Option<Vec<u8>>,
    /// Whether there is data behind EOI, a comment, or any application segment but JFIF, EXIF, ICC and Adobe.
    pub has_other_metadata: bool,
}

impl Header {
    /// Reads the segments up to the first scan.
    ///
    /// # Errors
    /// [`Error::Malformed`] without a valid frame header, [`Error::Unsupported`] for samples of other than 8 bits.
    pub fn read(bytes: &[u8]) -> Result<Header> {
        let mut frame = None;
        let mut exif = None;
        let mut has_other_metadata = false;
        let mut chunks: Vec<(u8, &[u8])> = Vec::new();
        let mut scan = 2;
        for Segment { marker, body, end } in segments(bytes) {
            scan = end;
            match marker {
                SOF0..=SOF15 if !matches!(marker, DHT | JPG | DAC) => frame = frame.or(Some((marker, body))),
                APP1 if body.starts_with(b"Exif\0\0") => exif = exif.or(Some(body[6..].to_vec())),
                APP2 if body.starts_with(b"ICC_PROFILE\0") && body.len() > 14 => chunks.push((body[12], &body[14..])),
                // JFIF and Adobe describe the samples
                APP0 if body.starts_with(b"JFIF\0") => {}
                APP14 if body.starts_with(b"Adobe") => {}
                APP0..=APP15 | COM => has_other_metadata = true,
                _ => {}
            }
        }
        // data behind EOI is a second image, a movie, a note
        has_other_metadata |= !bytes.ends_with(&[0xFF, EOI]);
        let (sof, body) = frame.ok_or_else(|| Error::malformed(FORMAT, "it has no frame header"))?;
        let &[precision, y1, y0, x1, x0, components, ref specs @ ..] = body else {
            return Err(Error::malformed(FORMAT, "its frame header is cut off"));
        };
        if precision != 8 {
            return Err(Error::unsupported(FORMAT, format!("it has {precision} bits a sample, only 8 are read")));
        }
        let size = Size::new(u16::from_be_bytes([x1, x0]).into(), u16::from_be_bytes([y1, y0]).into());
        if size.width == 0 || size.height == 0 {
            return Err(Error::malformed(FORMAT, format!("its header says {size} pixels")));
        }
        let progressive = matches!(sof, 0xC2 | 0xC6 | 0xCA | 0xCE);
        Ok(Header {
            size,
            components,
            samples_per_pixel: samples_per_pixel(specs),
            sof,
            progressive,
            has_several_scans: progressive || scan_components(bytes, scan) != Some(components),
            lossless: matches!(sof, 0xC3 | 0xC7 | 0xCB | 0xCF),
            exif,
            profile: assemble(chunks).filter(|icc| ColourModel::of(components).is_of(icc)),
            has_other_metadata,
        })
    }
}

/// By the components' specifications, 3 bytes each: identifier, sampling factors H and V, quantisation table.
fn samples_per_pixel(specs: &[u8]) -> f64 {
    let factors = || specs.chunks_exact(3).map(|component| (component[1] >> 4, component[1] & 15));
    let h_max = factors().map(|(h, _)| h).max().unwrap_or(1).max(1);
    let v_max = factors().map(|(_, v)| v).max().unwrap_or(1).max(1);
    let all: u32 = factors().map(|(h, v)| u32::from(h) * u32::from(v)).sum();
    f64::from(all) / (f64::from(h_max) * f64::from(v_max))
}

/// One marker segment.
pub(crate) struct Segment<'a> {
    /// The byte behind 0xFF.
    pub(crate) marker: u8,
    /// The parameters, without the length.
    pub(crate) body: &'a [u8],
    /// The offset in the file of the first byte behind it.
    pub(crate) end: usize,
}

/// The segments up to the first scan.
pub(crate) fn segments(bytes: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut at = 2;
    std::iter::from_fn(move || {
        let (marker, start) = next_marker(bytes, at).filter(|(marker, _)| !matches!(*marker, EOI | SOS))?;
        let length = usize::from(u16::from_be_bytes([*bytes.get(start)?, *bytes.get(start + 1)?]));
        // libjpeg takes a length that does not count itself for that of an empty segment
        let end = start + length.max(2);
        let body = bytes.get(start + 2..end)?;
        at = end;
        Some(Segment { marker, body, end })
    })
}

/// The next marker of a segment, or EOI, from `at` on, and the offset behind it.
fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        // decoders skip bytes before the next 0xFF; fill bytes are 0xFF themselves (§B.1.1.2)
        at += bytes.get(at..)?.iter().position(|&b| b == 0xFF)?;
        at += bytes[at..].iter().position(|&b| b != 0xFF)?;
        let marker = bytes[at];
        at += 1;
        // stuffed zeros, TEM and RSTn have no length; files that are joined have a second SOI
        if !matches!(marker, 0x00 | TEM | RST0..=SOI) {
            return Some((marker, at));
        }
    }
}

/// The components of the first scan (Ns, §B.2.3), whose header is the next one from `at` on.
fn scan_components(bytes: &[u8], at: usize) -> Option<u8> {
    let (_, start) = next_marker(bytes, at).filter(|(marker, _)| *marker == SOS)?;
    bytes.get(start + 2).copied()
}

/// Whether the beginning of a file contains all segments before the first scan, and the beginning of its header.
pub fn has_all_segments(beginning: &[u8]) -> bool {
    let end = segments(beginning).last().map_or(2, |segment| segment.end);
    scan_components(beginning, end).is_some()
}

/// Whether there is an EOI marker behind the header of the first scan. Entropy-coded data contains none: its 0xFF bytes are escaped
/// (T.81 §B.1.1.5).
pub fn has_end(bytes: &[u8]) -> bool {
    const END: [u8; 2] = [0xFF, EOI];
    let scans = segments(bytes).last().and_then(|segment| bytes.get(segment.end..)).unwrap_or_default();
    scans.ends_with(&END) || memchr::memmem::rfind(scans, &END).is_some()
}

/// Joins the numbered pieces of an ICC profile.
fn assemble(mut chunks: Vec<(u8, &[u8])>) -> Option<Vec<u8>> {
    if chunks.is_empty() {
        return None;
    }
    chunks.sort_by_key(|(number, _)| *number);
    chunks.dedup_by_key(|(number, _)| *number);
    let length: usize = chunks.iter().map(|(_, piece)| piece.len()).sum();
    (length <= MAX_PROFILE).then(|| chunks.iter().flat_map(|(_, piece)| piece.iter().copied()).collect())
}

/// The bytes as records of `N`; `None` where some are left over.
pub(crate) fn as_records<const N: usize>(bytes: &[u8]) -> Option<&[[u8; N]]> {
    let (records, rest) = bytes.as_chunks();
    rest.is_empty().then_some(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The segments of a file of three components, and a scan header of `ns`.
    fn file(sof: u8, ns: u8) -> Vec<u8> {
        let frame = [0xFF, sof, 0, 17, 8, 0, 16, 0, 16, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0];
        [&[0xFF, SOI][..], &frame, &[0xFF, 0xFF, SOS, 0, 6 + 2 * ns, ns]].concat()
    }

    #[test]
    fn several_scans_are_told_by_the_first() {
        let table = [
            ("one scan", 0xC0, 3, false),
            ("a scan for each component", 0xC0, 1, true),
            ("two scans", 0xC1, 2, true),
            ("progressive", 0xC2, 3, true),
            ("lossless, a scan for each component", 0xC3, 1, true),
        ];
        for (name, sof, ns, expected) in table {
            let header = Header::read(&file(sof, ns)).expect(name);
            assert_eq!(header.has_several_scans, expected, "{name}");
        }
    }

    #[test]
    fn all_segments_are_there_with_the_components_of_the_scan() {
        let file = file(0xC0, 3);
        for length in 0..file.len() {
            assert!(!has_all_segments(&file[..length]), "{length}");
        }
        assert!(has_all_segments(&file));
    }
}
