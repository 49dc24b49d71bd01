//! [`Codec`], the interface of all formats.

use tintype_pixels::DctScale;
use tintype_pixels::{
    Admitted, DecodeOptions, Decoded, Error, Info, Integrity, Pixels, Profile, Region, Result, Rows, Size,
};

use crate::encode_input::EncodeInput;
use crate::encoding::Encoding;

/// Receives each decoded frame in turn.
pub type Sink<'a> = &'a mut dyn FnMut(Decoded) -> Result<()>;

/// Receives the rows of a picture, and the profile of their samples; `None` is sRGB.
pub type RowSink<'a> = &'a mut dyn FnMut(&mut dyn Rows, Option<Profile>) -> Result<()>;

/// Called at intervals by encoders that can be stopped; `false` ends them with [`Error::Cancelled`].
pub type ShouldContinue<'a> = &'a mut dyn FnMut() -> bool;

/// The decoder and encoder of one format.
///
/// A damaged file is decoded as far as browsers do, with [`Integrity::Damaged`]: a still picture with its missing rows empty, or the
/// complete frames of an animation, at least one.
pub trait Codec: Sync {
    /// Reads headers and allocates no pixels. Most formats take microseconds; a PNG inflates its profile, GIF walks all of its blocks,
    /// JPEG XL reads the whole file, and SVG is parsed.
    ///
    /// # Errors
    /// [`Error::Malformed`]; [`Error::Unsupported`] for features that the codec lacks.
    fn probe(&self, original: &[u8]) -> Result<Info>;

    /// Passes the admitted number of frames to the sink, in order.
    ///
    /// # Errors
    /// As [`Codec::probe`], [`Error::Limit`] where the file needs more memory than was admitted, and the errors of the sink.
    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity>;

    /// Decodes a still picture once at the scale of `options` and at those of the `others` that the decoder can make in
    /// the same pass. The first element is that of `options`; each equals bit for bit the same scale decoded alone.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    fn decode_several(
        &self, original: &[u8], admitted: &Admitted<'_>, options: &DecodeOptions, _others: &[DctScale],
    ) -> Result<Vec<Decoded>> {
        let mut found = None;
        let integrity = self.decode(original, admitted, options, &mut |decoded| {
            found = Some(decoded);
            Ok(())
        })?;
        let found = found.map(|decoded| vec![Decoded { integrity, ..decoded }]);
        found.ok_or_else(|| Error::malformed(admitted.info().format, "it has no picture"))
    }

    /// Passes the rows of a still picture to the sink, for pictures with [`DecoderCaps::rows`](tintype_pixels::DecoderCaps::rows). The rows
    /// equal those of [`Codec::decode`], and damage behind the rows that the sink reads is reported, too.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    fn stream(&self, _original: &[u8], admitted: &Admitted<'_>, _sink: RowSink<'_>) -> Result<Integrity> {
        Err(Error::malformed(admitted.info().format, "it cannot be decoded by rows"))
    }

    /// Draws a region of a vector picture on a canvas of that size, for pictures with
    /// [`DecoderCaps::vector`](tintype_pixels::DecoderCaps::vector). The region is in pixels of the size that the header has; the
    /// pixels are RGBA.
    ///
    /// # Errors
    /// As [`Codec::decode`], and [`Error::Limit`] where drawing takes more time or memory than is allowed.
    fn draw(&self, _original: &[u8], admitted: &Admitted<'_>, _region: Region, _size: Size) -> Result<Pixels> {
        Err(Error::malformed(admitted.info().format, "it is no vector picture"))
    }

    /// Whether the encoder prefers a lossy picture of that size and quality, on its own scale, as Y'CbCr planes of 4:2:0.
    fn accepts_ycbcr(&self, _size: Size, _encoding: Encoding, _quality: f32) -> bool {
        false
    }

    /// Whether a file has the end marker of its format; true for formats without one.
    fn has_end(&self, _original: &[u8]) -> bool {
        true
    }

    /// Encodes a picture or an animation.
    ///
    /// # Errors
    /// [`Error::Encode`], [`Error::Cancelled`], and [`Error::Impossible`] for a format that is only read.
    fn encode(&self, _input: &EncodeInput, _should_continue: ShouldContinue<'_>) -> Result<Vec<u8>> {
        Err(Error::Impossible("this format is read but not written".into()))
    }
}
