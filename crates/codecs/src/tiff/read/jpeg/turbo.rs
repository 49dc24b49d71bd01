//! Decoding streams by libjpeg-turbo.

use turbojpeg::{Decompressor, Image, PixelFormat};

use crate::tiff::read::Failure;

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
            Err(turbojpeg::Error::TurboJpegError(text)) if is_harmless(&text) => Ok(samples),
            result => result.map(|()| samples).map_err(fault),
        }
    }
}

fn fault(error: turbojpeg::Error) -> Failure {
    Failure::malformed(format!("a JPEG stream: {error}"))
}

/// Whether the picture is complete despite a warning (the text is that of `jerror.h` of libjpeg).
fn is_harmless(text: &str) -> bool {
    text.contains("extraneous bytes before marker")
}
