//! Whether an image is whole, after libjpeg has decoded it with or without a warning.
//!
//! An image is whole where all MCUs of all scans came, whatever is wrong around them.
//!
//! | libjpeg's warning (`jerror.h`) | cause | the image is |
//! |---|---|---|
//! | `JWRN_ADOBE_XFORM` | an unknown colour transform; the usual one is assumed | whole |
//! | `JWRN_JFIF_MAJOR` | an unknown version of JFIF | whole |
//! | `JWRN_BOGUS_ICC` | an ICC profile with missing pieces | whole |
//! | `JWRN_NOT_SEQUENTIAL` | a sequential scan header with a spectral selection | whole |
//! | `JWRN_EXTRANEOUS_DATA` | bytes between segments and behind the last scan | whole |
//! | | the same before a restart or between scans, unless they are padding | damaged |
//! | `JWRN_JPEG_EOF` | no EOI | whole where all scans came, else damaged |
//! | `JWRN_HIT_MARKER` | data that ends early | damaged |
//! | `JWRN_HUFF_BAD_CODE`, `JWRN_ARITH_BAD_CODE` | bits that are no code | damaged |
//! | `JWRN_MUST_RESYNC` | missing or misordered restart markers | damaged |
//! | `JWRN_BOGUS_PROGRESSION` | scans that do not continue each other | damaged |
//! | `JWRN_TOO_MUCH_DATA` | a fault of the calling program, never of a file | |

use crate::FORMAT;
use crate::structure::{FileEnd, FileStructure};
use crate::verify::{Fault, FaultKind, verify};
use tintype_pixels::{Error, Integrity, Result};

/// Whether an image is whole that libjpeg has decoded with that warning, or without. `has_end` says whether the original had an EOI.
///
/// # Errors
/// [`Error::Malformed`] where no MCU came.
pub fn integrity(bytes: &[u8], has_end: bool, warning: Option<&str>) -> Result<Integrity> {
    let damaged = |reason: String| Ok(Integrity::Damaged(reason.into()));
    let relevant = warning.filter(|text| !is_harmless(text));
    let Some(file) = FileStructure::read(bytes) else {
        // of arithmetic coding and lossless files nothing but the warning is known
        return match (relevant, has_end) {
            (None, true) => Ok(Integrity::Whole),
            (None, false) => damaged("its end is missing".into()),
            (Some(text), _) => damaged(without_prefix(text)),
        };
    };
    let has_end = has_end && file.end == FileEnd::Eoi;
    match (verify(bytes, &file, warning.is_some()), relevant) {
        (Err(Fault { kind: FaultKind::Truncated, scan: 0, mcus: 0, .. }), _) => {
            Err(Error::malformed(FORMAT, "it ends before its first pixel"))
        }
        (Err(fault), _) => damaged(fault.describe(&file)),
        (Ok(()), _) if !has_end && !file.is_complete() => damaged("it ends before its last scan".into()),
        (Ok(()), Some(text)) => damaged(without_prefix(text)),
        (Ok(()), None) => Ok(Integrity::Whole),
    }
}

impl Fault {
    /// The fault in words, for the log and for users.
    fn describe(&self, file: &FileStructure) -> String {
        let scan = match file.scans.len() {
            1 => String::new(),
            scans => format!(" in scan {} of {scans}", self.scan + 1),
        };
        let height = file.size.height;
        match self.kind {
            FaultKind::Truncated => format!("the image data ends at row {} of {height}{scan}", self.row),
            FaultKind::BadCode => format!("the image data is corrupt from row {} of {height} on{scan}", self.row),
            FaultKind::WrongRestart => format!("a restart marker is missing at row {} of {height}{scan}", self.row),
            FaultKind::ExtraneousData => {
                format!("the image data has surplus bytes at row {} of {height}{scan}", self.row)
            }
            FaultKind::BadProgression => format!("the scans do not fit each other{scan}"),
        }
    }
}

/// Whether a text of libjpeg is a warning, after which all rows were output (the texts are those of `jerror.h`).
pub fn is_warning(text: &str) -> bool {
    const CORRUPT: &str = "Corrupt JPEG data: ";
    const PROGRESSION: &str = "Inconsistent progression sequence";
    is_harmless(text) || text.contains(CORRUPT) || text.contains(PROGRESSION)
}

/// Whether a warning says nothing about the image data, or nothing that [`verify`] does not find.
fn is_harmless(text: &str) -> bool {
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

/// A warning without the words that most begin with.
fn without_prefix(text: &str) -> String {
    text.trim_start_matches("Corrupt JPEG data: ").to_owned()
}
