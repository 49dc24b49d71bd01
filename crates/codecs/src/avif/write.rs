//! Writing AVIF: which encoder runs, and how hard it tries.

#[cfg(feature = "native")]
mod libaom;
mod ravif;

use crate::Picture;
use crate::encoding::AvifEncoder;

/// An encoder of AVIF stills.
///
/// Qualities are its own, 0 to 100 and more is better; `render/quality.rs` maps the common scale to them for each effort.
trait Encoder: Sync {
    /// The file.
    ///
    /// # Errors
    /// The encoder's reason.
    fn encode(&self, picture: &Picture) -> Result<Vec<u8>, String>;
}

/// What writes and reads AVIF in this build, for people.
#[cfg(feature = "native")]
pub(crate) const BACKEND: &str = "avif: libaom or rav1e (writing), rav1d (reading)";
#[cfg(not(feature = "native"))]
pub(crate) const BACKEND: &str = "avif: rav1e without assembler (writing), rav1d without assembler (reading)";

fn encoder(encoder: AvifEncoder) -> &'static dyn Encoder {
    match encoder {
        #[cfg(feature = "native")]
        AvifEncoder::Libaom => &libaom::Libaom,
        AvifEncoder::Ravif => &ravif::Ravif,
    }
}

pub(super) fn encode(picture: &Picture) -> Result<Vec<u8>, String> {
    encoder(picture.encoding.avif).encode(picture)
}

/// Whether an encoder takes luma and chroma apart.
pub(super) fn accepts_ycbcr(encoder: AvifEncoder) -> bool {
    match encoder {
        #[cfg(feature = "native")]
        AvifEncoder::Libaom => true,
        AvifEncoder::Ravif => false,
    }
}
