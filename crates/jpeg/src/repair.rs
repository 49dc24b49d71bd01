//! JPEG files that are not quite what the standard says: what is put right before they are decoded, and what their faults mean.
//!
//! Browsers show such files, as libjpeg goes on after what it calls a warning. Whether a picture is whole is another matter:
//! it is where all units of all scans came, whatever is wrong around them.
//!
//! | libjpeg's warning (`jerror.h`) | stands for | the picture is |
//! |---|---|---|
//! | `JWRN_ADOBE_XFORM` | a colour transform that does not exist; the usual one is taken | whole |
//! | `JWRN_JFIF_MAJOR` | another version of JFIF | whole |
//! | `JWRN_BOGUS_ICC` | a profile with pieces missing | whole |
//! | `JWRN_NOT_SEQUENTIAL` | a scan's header with a band or bits where there are none | whole |
//! | `JWRN_EXTRANEOUS_DATA` | bytes that belong to nothing: between segments and behind the last scan | whole |
//! | | the same before a restart or between scans, where they are more than filling | damaged |
//! | `JWRN_JPEG_EOF` | no end marker | whole where all scans came, else damaged |
//! | `JWRN_HIT_MARKER` | data that ends early | damaged |
//! | `JWRN_HUFF_BAD_CODE`, `JWRN_ARITH_BAD_CODE` | bits that are no code | damaged |
//! | `JWRN_MUST_RESYNC` | restart markers that are missing or in another order | damaged |
//! | `JWRN_BOGUS_PROGRESSION` | scans that do not fit each other | damaged |
//! | `JWRN_TOO_MUCH_DATA` | a fault of the program that calls it, never of a file | |
//!
//! Behind the last unit libjpeg may still give up, at a marker that must not be there. No browser minds, and here the file is
//! [cut](cut) before it.

use std::borrow::Cow;

use crate::FORMAT;
use crate::header::{Header, has_end, segments};
use crate::scans::{End, File, STANDARD_CODES};
use crate::verify::{Fault, Kind, verify};
use tintype_pixels::Integrity;
use tintype_pixels::{Error, Result};

const SOF2: u8 = 0xC2;
const DHT: u8 = 0xC4;
const ADOBE: u8 = 0xEE;
const END: [u8; 2] = [0xFF, 0xD9];

/// A file as it is given to decoders.
pub struct Repaired<'a> {
    pub bytes: Cow<'a, [u8]>,
    /// Whether it has an end marker of its own.
    pub has_end: bool,
}

/// Puts right what is wrong around the image data: an unknown colour transform, a sequential scan's header with a band or
/// bits, no tables of codes, segments too short for their own length, no end marker. Costs next to nothing where all is well.
pub fn repaired<'a>(original: &'a [u8], header: &Header) -> Repaired<'a> {
    let mut bytes = Cow::Borrowed(original);
    let mut scan = 2;
    let (mut has_codes, mut has_short_segments) = (false, false);
    for segment in segments(original) {
        scan = segment.end;
        has_codes |= segment.marker == DHT;
        let length = segment.end - segment.body.len() - 2;
        has_short_segments |= matches!(original[length..length + 2], [0, 0 | 1]);
        // the library takes the usual transform for so many components
        let usual = if header.components == 4 { 2 } else { 1 };
        let is_known = |transform: u8| transform == 0 || transform == usual;
        if segment.marker == ADOBE
            && segment.body.starts_with(b"Adobe")
            && segment.body.get(11).is_some_and(|&transform| !is_known(transform))
        {
            bytes.to_mut()[segment.end - segment.body.len() + 11] = usual;
        }
    }
    let is_sequential = matches!(header.marker, 0xC0..SOF2);
    if let Some(last) = original.get(scan..).and_then(scan_header).filter(|_| is_sequential) {
        let at = scan + last;
        if original[at..at + 3] != [0, 63, 0] {
            bytes.to_mut()[at..at + 3].copy_from_slice(&[0, 63, 0]);
        }
    }
    let has_end = has_end(original);
    if !has_end {
        bytes.to_mut().extend(END);
    }
    if is_sequential && !has_codes {
        let length = (STANDARD_CODES.len() as u16 + 2).to_be_bytes();
        bytes = Cow::Owned([&bytes[..2], &[0xFF, DHT], &length, &STANDARD_CODES, &bytes[2..]].concat());
    }
    if has_short_segments {
        bytes = Cow::Owned(without_oddities(&bytes));
    }
    Repaired { bytes, has_end }
}

/// The file without what stands between its segments, and without application segments but Adobe's, which says what
/// the colours are.
pub fn without_oddities(original: &[u8]) -> Vec<u8> {
    let mut out = vec![0xFF, 0xD8];
    let mut scan = 2;
    for segment in segments(original) {
        scan = segment.end;
        if matches!(segment.marker, 0xE0..=0xED | 0xEF | 0xFE) {
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

/// Where in the header of a scan the three bytes are that say which band and bits it sends, if a scan begins here.
fn scan_header(bytes: &[u8]) -> Option<usize> {
    let (&[0xFF, 0xDA, l1, l0, count], _) = bytes.split_first_chunk()? else { return None };
    let length = usize::from(u16::from_be_bytes([l1, l0]));
    (length == 6 + 2 * usize::from(count) && bytes.len() >= 2 + length).then_some(2 + length - 3)
}

/// A file without the first marker that makes libjpeg give up, and without all that is behind it; `None` where there is
/// no such marker, or it stands before the image data.
pub fn cut(bytes: &[u8]) -> Option<Vec<u8>> {
    match File::read(bytes)?.end {
        End::Refused(at) => Some([&bytes[..at], &END].concat()),
        End::Marked | End::Missing => None,
    }
}

/// Whether all of a picture is there, of a file that libjpeg has decoded with such a warning, or without.
///
/// # Errors
/// [`Error::Malformed`] where nothing of it is.
pub fn integrity(bytes: &[u8], has_end: bool, warning: Option<&str>) -> Result<Integrity> {
    let damaged = |reason: String| Ok(Integrity::Damaged(reason.into()));
    let told = warning.filter(|text| !is_about_surroundings(text));
    let Some(file) = File::read(bytes) else {
        // arithmetic codes and lossless pictures, of which the library's word is all that is known
        return match (told, has_end) {
            (None, true) => Ok(Integrity::Whole),
            (None, false) => damaged("its end is missing".into()),
            (Some(text), _) => damaged(plain(text)),
        };
    };
    let has_end = has_end && file.end == End::Marked;
    match (verify(bytes, &file, warning.is_some()), told) {
        (Err(Fault { kind: Kind::Ends, scan: 0, units: 0, .. }), _) => {
            Err(Error::malformed(FORMAT, "it ends before its first pixel"))
        }
        (Err(fault), _) => damaged(fault.text(&file)),
        (Ok(()), _) if !has_end && !file.is_complete() => damaged("it ends before its last scan".into()),
        (Ok(()), Some(text)) => damaged(plain(text)),
        (Ok(()), None) => Ok(Integrity::Whole),
    }
}

impl Fault {
    /// The fault, for people.
    fn text(&self, file: &File) -> String {
        let scan = match file.scans.len() {
            1 => String::new(),
            scans => format!(" in scan {} of {scans}", self.scan + 1),
        };
        let height = file.size.height;
        match self.kind {
            Kind::Ends => format!("the image data ends at row {} of {height}{scan}", self.row),
            Kind::Code => format!("the image data is corrupt from row {} of {height} on{scan}", self.row),
            Kind::Restart => format!("a restart marker is missing at row {} of {height}{scan}", self.row),
            Kind::Surplus => format!("the image data has surplus bytes at row {} of {height}{scan}", self.row),
            Kind::Order => format!("the scans do not fit each other{scan}"),
        }
    }
}

/// Whether a text of the library is a warning, after which all rows were put out (the texts are those of libjpeg's
/// `jerror.h`).
pub fn is_warning(text: &str) -> bool {
    const CORRUPT: &str = "Corrupt JPEG data: ";
    const PROGRESSION: &str = "Inconsistent progression sequence";
    is_about_surroundings(text) || text.contains(CORRUPT) || text.contains(PROGRESSION)
}

/// Whether a warning says nothing about the image data, or nothing that is not found out otherwise.
fn is_about_surroundings(text: &str) -> bool {
    [
        "extraneous bytes before marker",
        "unknown JFIF revision",
        "Unknown Adobe color transform",
        "bad ICC marker",
        "Invalid SOS parameters for sequential JPEG",
        "Premature end of JPEG file",
    ]
    .iter()
    .any(|known| text.contains(known))
}

/// The library's text without what every one begins with.
fn plain(text: &str) -> String {
    text.trim_start_matches("Corrupt JPEG data: ").to_owned()
}
