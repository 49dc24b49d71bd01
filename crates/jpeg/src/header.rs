//! What a JPEG file says before its first scan, read without a decoder.

use crate::FORMAT;
use tintype_pixels::ColourModel;
use tintype_pixels::Size;
use tintype_pixels::{Error, Result};

/// The longest run of ICC segments that is put together: print profiles have about 2 MB.
const MAX_PROFILE: usize = 8 << 20;

/// What the segments before the first scan say (T.81 Annex B, JFIF 1.02, ICC.1 Annex B.4).
pub struct Header {
    pub size: Size,
    pub components: u8,
    /// Samples of all components together for each pixel: 1.5 for 4:2:0, 3 for 4:4:4.
    pub samples_per_pixel: f64,
    /// The marker of the frame, which says how it is coded.
    pub marker: u8,
    pub progressive: bool,
    pub lossless: bool,
    pub exif: Option<Vec<u8>>,
    pub profile: Option<Vec<u8>>,
    pub has_other_metadata: bool,
}

impl Header {
    pub fn read(bytes: &[u8]) -> Result<Header> {
        let mut frame = None;
        let mut exif = None;
        let mut has_other_metadata = false;
        let mut chunks: Vec<(u8, &[u8])> = Vec::new();
        for Segment { marker, body, .. } in segments(bytes) {
            match marker {
                // all the SOFn; C4 is DHT, C8 reserved, CC is DAC
                0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => frame = frame.or(Some((marker, body))),
                0xE1 if body.starts_with(b"Exif\0\0") => exif = exif.or(Some(body[6..].to_vec())),
                0xE2 if body.starts_with(b"ICC_PROFILE\0") && body.len() > 14 => chunks.push((body[12], &body[14..])),
                // JFIF and Adobe say what the samples are; everything else is somebody's
                0xE0 if body.starts_with(b"JFIF\0") => {}
                0xEE if body.starts_with(b"Adobe") => {}
                0xE0..=0xEF | 0xFE => has_other_metadata = true,
                _ => {}
            }
        }
        // whatever stands behind the end marker: a second picture, a movie, a note
        has_other_metadata |= !bytes.ends_with(&[0xFF, 0xD9]);
        let (marker, body) = frame.ok_or_else(|| Error::malformed(FORMAT, "it has no frame header"))?;
        let &[precision, h1, h0, w1, w0, components, ref table @ ..] = body else {
            return Err(Error::malformed(FORMAT, "its frame header is cut off"));
        };
        if precision != 8 {
            return Err(Error::unsupported(FORMAT, format!("it has {precision} bits a sample, only 8 are read")));
        }
        let size = Size::new(u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into());
        if size.width == 0 || size.height == 0 {
            return Err(Error::malformed(FORMAT, format!("its header says {size} pixels")));
        }
        Ok(Header {
            size,
            components,
            samples_per_pixel: samples_per_pixel(table),
            marker,
            progressive: matches!(marker, 0xC2 | 0xC6 | 0xCA | 0xCE),
            lossless: matches!(marker, 0xC3 | 0xC7 | 0xCB | 0xCF),
            exif,
            profile: assemble(chunks).filter(|icc| ColourModel::of(components).is_of(icc)),
            has_other_metadata,
        })
    }
}

/// From the sampling factors of the components, 3 bytes each: identifier, horizontal and vertical factor, table.
fn samples_per_pixel(table: &[u8]) -> f64 {
    let factors = || table.chunks_exact(3).map(|component| (component[1] >> 4, component[1] & 15));
    let widest = factors().map(|(h, _)| h).max().unwrap_or(1).max(1);
    let tallest = factors().map(|(_, v)| v).max().unwrap_or(1).max(1);
    let all: u32 = factors().map(|(h, v)| u32::from(h) * u32::from(v)).sum();
    f64::from(all) / (f64::from(widest) * f64::from(tallest))
}

/// One marker segment.
pub struct Segment<'a> {
    pub marker: u8,
    /// Without the length.
    pub body: &'a [u8],
    /// Where in the file it ends.
    pub end: usize,
}

/// The segments up to the first scan.
pub fn segments(bytes: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut at = 2;
    std::iter::from_fn(move || {
        loop {
            // anything before the next 0xFF is garbage that decoders skip; fill bytes are 0xFF themselves (B.1.1.2)
            at += bytes.get(at..)?.iter().position(|&b| b == 0xFF)?;
            at += bytes[at..].iter().position(|&b| b != 0xFF)?;
            let marker = bytes[at];
            at += 1;
            match marker {
                // stuffed zero, TEM and RSTn stand alone; a second SOI is met in files glued together
                0x00 | 0x01 | 0xD0..=0xD8 => continue,
                // EOI and SOS end the headers
                0xD9 | 0xDA => return None,
                _ => {}
            }
            let length = usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
            // libjpeg passes over nothing where a length is too short for itself
            let end = at + length.max(2);
            let body = bytes.get(at + 2..end)?;
            at = end;
            return Some(Segment { marker, body, end: at });
        }
    })
}

/// Whether all segments before the first scan lie within the beginning of a file.
pub fn has_all_segments(beginning: &[u8]) -> bool {
    let end = segments(beginning).last().map_or(2, |segment| segment.end);
    let rest = beginning.get(end..).unwrap_or_default();
    // the next marker, passing over what `segments` passes over
    let mut markers = rest.iter().skip_while(|&&byte| byte != 0xFF).skip_while(|&&byte| byte == 0xFF);
    markers.next() == Some(&0xDA)
}

/// Whether there is an end marker behind the first scan's header. Entropy-coded data has none: its 0xFF bytes are escaped
/// (T.81 §B.1.1.5).
pub fn has_end(bytes: &[u8]) -> bool {
    const END: [u8; 2] = [0xFF, 0xD9];
    let scans = segments(bytes).last().and_then(|segment| bytes.get(segment.end..)).unwrap_or_default();
    scans.ends_with(&END) || memchr::memmem::rfind(scans, &END).is_some()
}

/// Puts the numbered pieces of a profile in order.
fn assemble(mut chunks: Vec<(u8, &[u8])>) -> Option<Vec<u8>> {
    if chunks.is_empty() {
        return None;
    }
    chunks.sort_by_key(|(number, _)| *number);
    chunks.dedup_by_key(|(number, _)| *number);
    let length: usize = chunks.iter().map(|(_, piece)| piece.len()).sum();
    (length <= MAX_PROFILE).then(|| chunks.iter().flat_map(|(_, piece)| piece.iter().copied()).collect())
}

/// Records of `N` bytes, where there is nothing but them.
pub fn whole<const N: usize>(bytes: &[u8]) -> Option<&[[u8; N]]> {
    let (records, rest) = bytes.as_chunks();
    rest.is_empty().then_some(records)
}
