//! Decoding streams by the crate `jpeg-decoder`.

use jpeg_decoder::{Decoder, PixelFormat};

use crate::tiff::read::Failure;

/// `jpeg-decoder` keeps no state between streams.
pub(super) struct Library;

impl Library {
    pub(super) fn new() -> Result<Library, Failure> {
        Ok(Library)
    }

    /// Decodes to grey, RGB, or CMYK as stored.
    pub(super) fn decode(
        &mut self, stream: &[u8], width: u16, height: u16, components: u8,
    ) -> Result<Vec<u8>, Failure> {
        let fault = |error| Failure::malformed(format!("a JPEG stream: {error}"));
        let mut decoder = Decoder::new(stream);
        let length = usize::from(width) * usize::from(height) * usize::from(components);
        // samples, coefficients of a progressive stream, and planes
        decoder.set_max_decoding_buffer_size(length.saturating_mul(8));
        let mut samples = decoder.decode().map_err(fault)?;
        if samples.len() != length {
            return Err(Failure::malformed("a JPEG stream: it holds another number of samples"));
        }
        if decoder.info().is_some_and(|info| info.pixel_format == PixelFormat::CMYK32) {
            // it undoes the inversion of Adobe's CMYK, which is not inverted here
            samples.iter_mut().for_each(|sample| *sample = 255 - *sample);
        }
        Ok(samples)
    }
}
