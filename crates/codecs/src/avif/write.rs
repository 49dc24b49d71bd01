//! The encoders of AVIF.

#[cfg(feature = "native")]
mod libaom;
mod profile;
#[cfg(feature = "ravif")]
mod ravif;

use crate::EncodeInput;
use crate::encoding::AvifEncoder;

/// An encoder of AVIF stills.
///
/// Its quality is 0 to 100 on a scale of its own, more is better; `quality.rs` of `tintype-render` maps the common scale to it for each
/// effort.
trait Encoder: Sync {
    /// Encodes a still input.
    ///
    /// # Errors
    /// The reason of the encoder.
    fn encode(&self, input: &EncodeInput) -> Result<Vec<u8>, String>;
}

/// The libraries of this build, for display.
#[cfg(all(feature = "native", feature = "ravif"))]
pub(crate) const BACKEND: &str = "avif: libaom or rav1e (encoding), rav1d (decoding)";
#[cfg(all(feature = "native", not(feature = "ravif")))]
pub(crate) const BACKEND: &str = "avif: libaom (encoding), rav1d (decoding)";
#[cfg(not(feature = "native"))]
pub(crate) const BACKEND: &str = "avif: rav1e without assembler (encoding), rav1d without assembler (decoding)";

fn encoder(encoder: AvifEncoder) -> &'static dyn Encoder {
    match encoder {
        #[cfg(feature = "native")]
        AvifEncoder::Libaom => &libaom::Libaom,
        #[cfg(feature = "ravif")]
        AvifEncoder::Ravif => &ravif::Ravif,
    }
}

pub(super) fn encode(input: &EncodeInput) -> Result<Vec<u8>, String> {
    let file = encoder(input.encoding.avif).encode(input)?;
    match &input.profile {
        Some(icc) => profile::embed(file, icc).ok_or_else(|| "its profile cannot be embedded".to_owned()),
        None => Ok(file),
    }
}

/// Whether an encoder accepts Y'CbCr planes of 4:2:0 at that quality.
#[cfg_attr(not(feature = "native"), expect(unused_variables))]
pub(super) fn accepts_ycbcr(encoder: AvifEncoder, quality: f32) -> bool {
    match encoder {
        #[cfg(feature = "native")]
        AvifEncoder::Libaom => libaom::accepts_ycbcr(quality),
        #[cfg(feature = "ravif")]
        AvifEncoder::Ravif => false,
    }
}
