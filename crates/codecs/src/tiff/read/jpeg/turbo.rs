//! Decoding streams by libjpeg-turbo.

use turbojpeg::{Decompressor, Image, PixelFormat};

use crate::tiff::read::Failure;
use tintype_jpeg::integrity::integrity;
use tintype_pixels::{Error, Format};

/// The most scans of a progressive stream, each of which costs a pass over all coefficients; as for JPEG files.
const MAX_SCANS: u32 = 100;

/// A decompressor, reused for all streams of a page.
pub(super) struct Library(Decompressor);

impl Library {
    pub(super) fn new() -> Result<Library, Failure> {
        let mut library = Decompressor::new().map_err(fault)?;
        library.set_scan_limit(MAX_SCANS).map_err(fault)?;
        Ok(Library(library))
    }

    /// Decodes to grey, RGB, or CMYK as stored.
    pub(super) fn decode(
        &mut self, stream: &[u8], width: u16, height: u16, components: u8,
    ) -> Result<Vec<u8>, Failure> {
        let pitch = usize::from(width) * usize::from(components);
        let mut samples = vec![0; pitch * usize::from(height)];
        let format = match components {
            1 => PixelFormat::GRAY,
            3 => PixelFormat::RGB,
            // the Adobe marker "no transform" leaves four components unconverted
            _ => PixelFormat::CMYK,
        };
        let image = Image { pixels: &mut samples[..], width: width.into(), pitch, height: height.into(), format };
        match self.0.decompress(stream, image) {
            // the library reports its first warning only, and data may be missing behind that one
            Err(turbojpeg::Error::TurboJpegError(text)) if is_harmless(&text) => {
                let integrity = integrity(stream, true, Some(text.as_str()));
                let whole = integrity.and_then(|integrity| integrity.require_whole(Format::Jpeg));
                whole.map(|()| samples).map_err(|error| match error {
                    Error::Malformed { reason, .. } => Failure::malformed(format!("a JPEG stream: {reason}")),
                    error => Failure::malformed(error.to_string()),
                })
            }
            result => result.map(|()| samples).map_err(fault),
        }
    }
}

fn fault(error: turbojpeg::Error) -> Failure {
    Failure::malformed(format!("a JPEG stream: {error}"))
}

/// Whether the picture may be complete despite a warning (the text is that of `jerror.h` of libjpeg).
fn is_harmless(text: &str) -> bool {
    text.contains("extraneous bytes before marker")
}
